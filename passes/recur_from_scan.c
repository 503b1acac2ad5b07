/* recur_from_scan: every Scan becomes a Recur, the one form of recurrences that later passes and lowering know.
 *
 *   before:  %s, %ys = Scan<num_scan_inputs=1, scan_input_axes=[1]>(%s0, %x) {       // %x: f32[2,T,3]
 *              body(f32[2] %p, f32[2,3] %xi) {... yield %s1, %y}
 *            }
 *
 *   after:   %n = Shape<start=1, end=2>(%x)
 *            %s, %ys = Recur<carries=1, input_axes=[1]>(%n, %s0, %x) {
 *              body(i64[] %s.i, f32[2] %p, f32[2,3] %xi) {... yield %s1, %y}
 *            }
 *
 * The trip count is the length of the first input that is scanned. A state keeps its shape: ONNX demands it. Where inference cannot see
 * that it does, %s0 of f32[a] plus %xi of f32[b], a Reshape to the initial value's dims says so, and the run compares. Linear. */
#include "passes/recur.h"
#include "passes/util.h"

/* A Scan's list, if it is there. */
static void copy_list(pass_ctx *ctx, const ir_node *scan, const char *from, ir_node *recur,
                      const char *to) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(scan, from, &count);
    if (v) recur_set_list(ctx, recur, to, v, count);
}

static ir_value *trip_count(ir_builder *b, const loop_like *l, int64_t axis) {
    ir_value *x = loop_sliced(l, 0);
    int64_t at = normal_axis(axis, x->type->rank);
    ir_attr part[] = {{.name = "end", .kind = ATTR_INT, .v.i = at + 1},
                      {.name = "start", .kind = ATTR_INT, .v.i = at}};
    return build_node(b, OP_Shape, &x, 1, 1, part, 2)->out;
}

/* A symbol that stands for a dimension of a state is the initial value's. */
static const ir_dim *initial_dim(void *data, const char *symbol) {
    const loop_like *l = data;
    for (uint32_t i = 0; i < l->n_carried; i++) {
        const ir_type *t = loop_param(l, i)->type, *initial = loop_initial(l, i)->type;
        for (int32_t k = 0; k < t->rank; k++)
            if (ir_dim_is_symbol(t->dims[k]) && ir_dim_symbol_name(t->dims[k]) == symbol)
                return initial->dims[k];
    }
    return NULL;
}

/* The first round makes a state longer or shorter. */
static bool changes_shape(ir_ctx *c, const loop_like *l, uint32_t i) {
    const ir_type *before = loop_initial(l, i)->type, *next = loop_update(l, i)->type;
    int64_t more;
    for (int32_t k = 0; k < before->rank; k++) {
        const ir_dim *d = ir_dim_substitute(c, next->dims[k], initial_dim, (void *)(uintptr_t)l);
        if (ir_dim_is_const(ir_dim_sub(c, d, before->dims[k]), &more) && more) return true;
    }
    return false;
}

/* The states' shapes never change, as far as inference can see. */
static bool shapes_may_be_fixed(ir_ctx *c, const loop_like *l) {
    for (uint32_t i = 0; i < l->n_carried; i++) {
        const ir_type *t = loop_initial(l, i)->type, *param = loop_param(l, i)->type,
                      *next = loop_update(l, i)->type;
        bool ranked = ir_type_is_ranked(param) && ir_type_is_ranked(next) &&
                      type_is_computable(l->body->graph, t);
        if (!ranked || t->rank != param->rank || t->rank != next->rank) return false;
    }
    for (uint32_t i = 0; i < l->n_carried; i++)
        if (changes_shape(c, l, i)) return false;
    return true;
}

/* The body under parameters of the initial values' types, which its results get too. */
static bool fix_shapes(pass_ctx *ctx, const loop_like *l) {
    for (uint32_t i = 0; i < l->n_carried; i++)
        loop_param(l, i)->type = loop_initial(l, i)->type;
    ir_for_each_node (n, l->body)
        if (!ir_infer_node(ctx->c, n)) return false;
    ir_builder b = ir_build_at_end(l->body, l->node->loc);
    for (uint32_t i = 0; i < l->n_carried; i++) {
        const ir_type *t = loop_initial(l, i)->type;
        ir_value *next = loop_update(l, i);
        if (same_type(loop_initial(l, i), next)) continue;
        next = build_reshape(&b, next, t->dims, (uint32_t)t->rank);
        ir_node_set_operand(l->body->yield, i, next);
    }
    return true;
}

static bool is_regular(ir_ctx *c, const loop_like *l) {
    for (uint32_t i = 0; i < l->n_sliced; i++)
        if (!ir_type_is_ranked(loop_sliced(l, i)->type)) return false;
    return loop_types_are_fixed(l) || shapes_may_be_fixed(c, l);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    if (n->op != OP_Scan || !loop_like_get(n, &l) || !is_regular(ctx->c, &l) ||
        !ctx_take(ctx, "scans"))
        return PASS_SAME;
    if (!loop_types_are_fixed(&l) && !fix_shapes(ctx, &l)) return PASS_FAILED;
    ir_builder b = ir_build_before(n);
    ir_value **in = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in + 1);
    in[0] = trip_count(&b, &l, recur_list_at(n, "scan_input_axes", 0));
    for (uint32_t i = 0; i < n->n_in; i++)
        in[1 + i] = n->in[i].value;
    region_prepend_param(l.body, ir_type_scalar(ctx->c, DT_i64),
                         n->n_out ? ir_name_derive(ctx->m, n->out, "i") : NULL);
    ir_node *recur = node_become(ctx, n, OP_Recur, in, n->n_in + 1);
    recur_set_carries(ctx, recur, l.n_carried);
    copy_list(ctx, n, "scan_input_axes", recur, "input_axes");
    copy_list(ctx, n, "scan_input_directions", recur, "input_reverse");
    copy_list(ctx, n, "scan_output_axes", recur, "output_axes");
    copy_list(ctx, n, "scan_output_directions", recur, "output_reverse");
    return ir_infer_node(ctx->c, recur) ? PASS_CHANGED : PASS_FAILED;
}

pass_result pass_recur_from_scan(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
