/* See loop_like.h. */
#include "passes/loop_like.h"

#include "ir/base/assert.h"
#include "passes/util.h"

static bool get_loop(ir_node *n, loop_like *l) {
    if (n->n_in < 2 || l->body->n_params != n->n_in) return false;
    l->first_in = l->first_param = 2;
    l->first_result = 1;
    l->n_carried = n->n_in - 2;
    return ir_region_n_results(l->body) == n->n_out + 1;
}

static bool get_scan(ir_node *n, loop_like *l) {
    int64_t sliced = ir_attr_int(n, "num_scan_inputs", -1);
    if (sliced < 1 || sliced > n->n_in || l->body->n_params != n->n_in) return false;
    l->first_in = l->first_param = l->first_result = 0;
    l->n_carried = n->n_in - (uint32_t)sliced;
    return ir_region_n_results(l->body) == n->n_out;
}

bool loop_like_get(ir_node *n, loop_like *l) {
    if ((n->op != OP_Loop && n->op != OP_Scan) || n->n_regions != 1) return false;
    *l = (loop_like){.node = n, .body = n->regions[0]};
    if (!(n->op == OP_Loop ? get_loop(n, l) : get_scan(n, l)) || n->n_out < l->n_carried)
        return false;
    l->n_stacked = n->n_out - l->n_carried;
    return true;
}

/* ---- questions ---------------------------------------------------------------------------------------------- */

static bool is_true(const ir_value *v) {
    int64_t x;
    return ir_value_const_i64(v, &x) && x != 0;
}

bool loop_is_counted(const loop_like *l) {
    const ir_value *start = ir_in(l->node, 1), *next = ir_region_result(l->body, 0);
    return (!start || is_true(start)) && (next == l->body->params[1] || is_true(next));
}

const ir_dim *loop_counter(const loop_like *l) {
    const ir_known *k = l->body->params[0]->known;
    return k && k->n == 1 && ir_dim_is_symbol(k->dims[0]) ? k->dims[0] : NULL;
}

ir_node *loop_list_insert(const loop_like *l, uint32_t i) {
    const ir_value *initial = loop_initial(l, i), *param = loop_param(l, i),
                   *update = loop_update(l, i);
    ir_node *n = update->def;
    if (!initial->def || initial->def->op != OP_SequenceEmpty) return NULL;
    if (!n || n->op != OP_SequenceInsert || n->parent != l->body || ir_in(n, 2)) return NULL;
    if (n->in[0].value != param || !ir_value_has_one_use(param)) return NULL;
    return ir_value_has_one_use(update) ? n : NULL;
}

typedef struct replacement {
    const char *symbol;
    const ir_dim *v;
} replacement;

static const ir_dim *replace_symbol(void *data, const char *symbol) {
    const replacement *r = data;
    return symbol == r->symbol ? r->v : NULL;
}

const ir_dim *dim_replace(ir_ctx *c, const ir_dim *d, const ir_dim *symbol, const ir_dim *v) {
    replacement r = {ir_dim_symbol_name(symbol), v};
    return ir_dim_substitute(c, d, replace_symbol, &r);
}

/* ---- changes ------------------------------------------------------------------------------------------------- */

/* The result takes over the identity of the old one. */
static void move_result(ir_value *from, ir_value *to) {
    to->type = from->type;
    to->name = from->name;
    to->known = from->known;
    from->name = NULL;
    ir_value_replace_uses(from, to);
}

ir_node *node_rebuild(pass_ctx *ctx, ir_node *n, ir_value *const *in, uint32_t n_in,
                      const bool *keep) {
    uint32_t n_out = 0;
    for (uint32_t i = 0; i < n->n_out; i++)
        n_out += keep[i];
    ir_node *copy = ir_node_create(ctx->m, n->op, in, n_in, n_out);
    for (uint32_t i = 0; i < n->n_attrs; i++)
        ir_attr_set(ctx->m, copy, &n->attrs[i]);
    copy->loc = n->loc;
    ir_node_insert_before(n, copy);
    move_regions(n, copy);
    for (uint32_t i = 0, at = 0; i < n->n_out; i++)
        if (keep[i]) move_result(&n->out[i], &copy->out[at++]);
    ir_node_remove(n);
    return copy;
}

/* Scan lists an axis and a direction for each stacked output. */
static void filter_list(pass_ctx *ctx, ir_node *n, const char *name, const bool *keep) {
    uint32_t count, left = 0;
    const int64_t *old = ir_attr_ints(n, name, &count);
    if (!old) return;
    int64_t *list = TL_NEW_ARRAY(ctx->scratch, int64_t, count);
    for (uint32_t i = 0; i < count; i++)
        if (keep[i]) list[left++] = old[i];
    if (left)
        ir_attr_set_ints(ctx->m, n, name, list, left);
    else
        ir_attr_remove(n, name);
}

/* The operands of keep[], starting at `first`. */
static uint32_t filter_operands(const ir_node *n, uint32_t first, uint32_t count, const bool *keep,
                                ir_value **out) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (i < first || i >= first + count || keep[i - first]) out[left++] = n->in[i].value;
    return left;
}

ir_node *loop_like_shrink(pass_ctx *ctx, const loop_like *l, const bool *keep) {
    ir_node *n = l->node;
    ir_value **list = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in + n->n_out + 1);
    uint32_t left = filter_operands(l->body->yield, l->first_result, n->n_out, keep, list);
    ir_region_set_results(l->body, list, left);
    for (uint32_t i = l->n_carried; i-- > 0;)
        if (!keep[i]) ir_region_remove_param(l->body, l->first_param + i);
    left = filter_operands(n, l->first_in, l->n_carried, keep, list);
    ir_node *copy = node_rebuild(ctx, n, list, left, keep);
    filter_list(ctx, copy, "scan_output_axes", keep + l->n_carried);
    filter_list(ctx, copy, "scan_output_directions", keep + l->n_carried);
    return copy;
}
