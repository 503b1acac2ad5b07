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
    l->n_sliced = (uint32_t)sliced;
    return ir_region_n_results(l->body) == n->n_out;
}

static bool get_recur(ir_node *n, loop_like *l) {
    int64_t carries = ir_attr_int(n, "carries", 0);
    if (carries < 0 || carries >= n->n_in || l->body->n_params != n->n_in) return false;
    l->first_in = l->first_param = 1;
    l->n_carried = (uint32_t)carries;
    l->n_sliced = n->n_in - 1 - l->n_carried;
    return ir_region_n_results(l->body) == n->n_out;
}

static bool get_parts(ir_node *n, loop_like *l) {
    switch (n->op) {
    case OP_Loop:
        return get_loop(n, l);
    case OP_Scan:
        return get_scan(n, l);
    case OP_Recur:
        return get_recur(n, l);
    default:
        return false;
    }
}

bool loop_like_get(ir_node *n, loop_like *l) {
    if (n->n_regions != 1) return false;
    *l = (loop_like){.node = n, .body = n->regions[0]};
    if (!get_parts(n, l) || n->n_out < l->n_carried) return false;
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

/* n's successor: before it, with its regions and results, without attributes. n has no users left. */
static ir_node *succeed(pass_ctx *ctx, ir_node *n, op_id op, ir_value *const *in, uint32_t n_in,
                        const bool *keep) {
    uint32_t n_out = 0;
    for (uint32_t i = 0; i < n->n_out; i++)
        n_out += !keep || keep[i];
    ir_node *copy = ir_node_create(ctx->m, op, in, n_in, n_out);
    copy->loc = n->loc;
    ir_node_insert_before(n, copy);
    move_regions(n, copy);
    for (uint32_t i = 0, at = 0; i < n->n_out; i++)
        if (!keep || keep[i]) move_result(&n->out[i], &copy->out[at++]);
    return copy;
}

ir_node *node_rebuild(pass_ctx *ctx, ir_node *n, ir_value *const *in, uint32_t n_in,
                      const bool *keep) {
    ir_node *copy = succeed(ctx, n, n->op, in, n_in, keep);
    for (uint32_t i = 0; i < n->n_attrs; i++)
        ir_attr_set(ctx->m, copy, &n->attrs[i]);
    ir_node_remove(n);
    return copy;
}

ir_node *node_become(pass_ctx *ctx, ir_node *n, op_id op, ir_value *const *in, uint32_t n_in) {
    ir_node *copy = succeed(ctx, n, op, in, n_in, NULL);
    ir_node_remove(n);
    return copy;
}

/* Scan and Recur list an axis and a direction for each stacked output, Recur for each slice. */
static void filter_list(pass_ctx *ctx, ir_node *n, const char *name, const bool *keep) {
    uint32_t count, left = 0;
    const int64_t *old = ir_attr_ints(n, name, &count);
    if (!old) return;
    int64_t *list = TL_NEW_ARRAY(ctx->scratch, int64_t, count);
    bool zeros = true; /* the default */
    for (uint32_t i = 0; i < count; i++) {
        if (!keep[i]) continue;
        zeros &= old[i] == 0;
        list[left++] = old[i];
    }
    if (!zeros)
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

/* What of the carried values (keep[] says it) and slices is read on; the rest of the parameters leave the body. */
static void drop_params(const loop_like *l, const bool *keep, bool *keep_in) {
    for (uint32_t i = l->n_carried + l->n_sliced; i-- > 0;) {
        bool sliced = i >= l->n_carried;
        keep_in[i] = sliced ? l->node->op != OP_Recur || loop_slice(l, i - l->n_carried)->uses
                            : keep[i];
        if (!keep_in[i]) ir_region_remove_param(l->body, l->first_param + i);
    }
}

void recur_set_carries(pass_ctx *ctx, ir_node *n, uint32_t count) {
    if (count)
        ir_attr_set_int(ctx->m, n, "carries", count);
    else
        ir_attr_remove(n, "carries");
}

static void filter_attributes(pass_ctx *ctx, ir_node *n, uint32_t n_carried, const bool *keep_in,
                              const bool *keep_out) {
    uint32_t left = 0;
    filter_list(ctx, n, "scan_output_axes", keep_out);
    filter_list(ctx, n, "scan_output_directions", keep_out);
    if (n->op != OP_Recur) return;
    for (uint32_t i = 0; i < n_carried; i++)
        left += keep_in[i];
    recur_set_carries(ctx, n, left);
    filter_list(ctx, n, "input_axes", keep_in + n_carried);
    filter_list(ctx, n, "input_reverse", keep_in + n_carried);
    filter_list(ctx, n, "output_axes", keep_out);
    filter_list(ctx, n, "output_reverse", keep_out);
}

ir_node *loop_like_shrink(pass_ctx *ctx, const loop_like *l, const bool *keep) {
    ir_node *n = l->node;
    ir_value **list = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in + n->n_out + 1);
    bool *keep_in = TL_NEW_ARRAY(ctx->scratch, bool, n->n_in + 1);
    uint32_t left = filter_operands(l->body->yield, l->first_result, n->n_out, keep, list);
    ir_region_set_results(l->body, list, left);
    drop_params(l, keep, keep_in);
    left = filter_operands(n, l->first_in, l->n_carried + l->n_sliced, keep_in, list);
    ir_node *copy = node_rebuild(ctx, n, list, left, keep);
    filter_attributes(ctx, copy, l->n_carried, keep_in, keep + l->n_carried);
    return copy;
}
