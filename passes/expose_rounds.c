/* expose_rounds: what the rounds of a Recur compute becomes stacked outputs of it. Not for speed: `tlbc verify` looks at each value.
 *
 *   before:  %h = Recur<carries=1>(%n, %h0, %xs) {
 *              body(%i, %p, %x) { %s = Add(%p, %x)   %t = Tanh(%s)   yield %t }}
 *
 *   after:   %h, %1, %2 = Recur<carries=1>(%n, %h0, %xs) {
 *              body(%i, %p, %x) { %s = Add(%p, %x)   %t = Tanh(%s)   yield %t, %s, %t }}
 *
 * Only what can be stacked: tensors of a known type whose dims do not change from round to round. Where a body does several rounds at
 * once, those that have an axis of them. */
#include "ir/limits.h"
#include "passes/recur.h"
#include "passes/util.h"

typedef struct exposure {
    ir_node *recur;
    tl_map sizes;         /* interned names that the graph's inputs define */
    const ir_dim *rounds; /* in one turn of a body that does several; NULL = it does one */
} exposure;

static void note_symbol(void *data, const char *name) {
    tl_map_set_ptr(data, name, data);
}

typedef struct symbol_check {
    const tl_map *sizes;
    bool known;
} symbol_check;

static void check_symbol(void *data, const char *name) {
    symbol_check *s = data;
    s->known &= tl_map_get_ptr(s->sizes, name) != NULL;
}

/* The same in every round. */
static bool is_fixed(const exposure *e, const ir_dim *d) {
    symbol_check s = {&e->sizes, !ir_dim_is_unknown(d)};
    ir_dim_each_symbol(d, check_symbol, &s);
    return s.known;
}

/* The axis along which v can be stacked: a new one, or that of its rounds. -1 = none. */
static int64_t stacking_axis(const exposure *e, const ir_value *v) {
    const ir_type *t = v->type;
    int64_t axis = e->rounds ? -1 : 0;
    if (!t || !ir_type_is_known(t) || t->rank + 1 >= IR_MAX_RANK) return -1;
    if (t->dtype == DT_str || ir_dtype_bits(t->dtype) < 8) return -1;
    for (int32_t i = 0; i < t->rank; i++) {
        if (axis < 0 && ir_dim_equal(t->dims[i], e->rounds))
            axis = i;
        else if (!is_fixed(e, t->dims[i]))
            return -1;
    }
    return axis;
}

static uint32_t expose_node(pass_ctx *ctx, const exposure *e, ir_node *n) {
    uint32_t exposed = 0;
    for (uint32_t i = 0; i < n->n_out; i++) {
        int64_t axis = n->out[i].uses ? stacking_axis(e, &n->out[i]) : -1;
        if (axis < 0 || !ctx_take(ctx, "exposed")) continue;
        recur_add_stacked(ctx, e->recur, &n->out[i], axis, false);
        exposed++;
    }
    return exposed;
}

static const ir_dim *rounds_of_turn(const ir_node *recur) {
    if (!ir_attr_has(recur, "span")) return NULL;
    const ir_type *slice = recur->regions[0]->params[1]->type;
    int64_t axis = recur_list_at(recur, "input_axes", 0);
    return slice->dims[axis < 0 ? axis + slice->rank : axis];
}

static pass_result visit(pass_ctx *ctx, ir_node *recur) {
    loop_like l;
    uint32_t exposed = 0;
    if (recur->op != OP_Recur || recur->parent->owner || !loop_like_get(recur, &l))
        return PASS_SAME;
    exposure e = {.recur = recur, .rounds = rounds_of_turn(recur)};
    const ir_region *graph = recur->parent;
    tl_map_init(&e.sizes, ctx->m->arena);
    for (uint32_t i = 0; i < graph->n_params; i++)
        for (int32_t d = 0; d < graph->params[i]->type->rank; d++)
            ir_dim_each_symbol(graph->params[i]->type->dims[d], note_symbol, &e.sizes);
    ir_for_each_node (n, l.body)
        exposed += expose_node(ctx, &e, n);
    if (!exposed) return PASS_SAME;
    return ir_infer_node(ctx->c, recur) ? PASS_CHANGED : PASS_FAILED;
}

pass_result pass_expose_rounds(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
