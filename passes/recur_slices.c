/* recur_slices: parts of outer values that the body of a Recur cuts out at its counter become slices, which are read where they lie
 * and tell later passes that the rounds have nothing to do with each other there.
 *
 *   before:  Recur<carries=1>(%n, %h0) {                                         // n = T/4
 *              body(%i, %p) {
 *                %from = Mul(%i, @four)   %to = Add(%from, @four)
 *                %x4 = Slice(%x, %from, %to, @axis1)                             // x: f32[batch,T,16]
 *                %t = Gather<axis=0>(%table, %i)   ...}}                         // table: f32[T/4,16]
 *
 *   after:   %whole = Slice(%x, {0}, {4*(T/4)}, @axis1)                          // nothing where it is all of x
 *            %chunks = Reshape(%whole, {batch, T/4, 4, 16})
 *            Recur<carries=1, input_axes=[1,0]>(%n, %h0, %chunks, %table) {
 *              body(%i, %p, f32[batch,4,16] %x4, f32[16] %t) {...}}
 *
 * The part must have one length in all rounds and move by just that each round, up or down. A last part that may be shorter
 * (the length of x is no multiple of 4) stays a Slice, in a Recur of its own where recur_peel could make one. Linear. */
#include "ir/limits.h"
#include "passes/affine.h"
#include "passes/recur.h"
#include "passes/util.h"

/* One axis of an outer value cut by a node of the body. */
typedef struct cut {
    ir_value *x;
    recur_window w;
    bool drops_axis; /* Gather by a scalar */
} cut;

static bool is_outer(const loop_like *l, const ir_value *v) {
    return v->tensor || !ir_region_is_inside(ir_value_region(v), l->body);
}

/* ---- recognition -------------------------------------------------------------------------------------------- */

/* One axis, step 1, and as long as the bounds say: nothing was cut off at the ends. */
static bool is_slice(pass_ctx *ctx, const loop_like *l, const ir_node *n, cut *k) {
    const ir_dim *start, *end;
    int64_t axis = 0, step = 1, extent;
    if (ir_value_known_dims(ctx->c, ir_in(n, 1), &start, 1) != 1 ||
        ir_value_known_dims(ctx->c, ir_in(n, 2), &end, 1) != 1)
        return false;
    if (ir_in(n, 3) && ir_value_const_ints(ir_in(n, 3), &axis, 1) != 1) return false;
    if (ir_in(n, 4) && (ir_value_const_ints(ir_in(n, 4), &step, 1) != 1 || step != 1)) return false;
    k->w.axis = normal_axis(axis, k->x->type->rank);
    if (k->w.axis < 0 || !ir_dim_is_const(ir_dim_sub(ctx->c, end, start), &extent)) return false;
    if (!ir_dim_is(n->out[0].type->dims[k->w.axis], extent) || ir_dim_lower_bound(start) < 0)
        return false;
    return recur_find_window(ctx->c, l, start, extent, &k->w);
}

/* By a scalar, or by consecutive numbers. */
static bool is_gather(pass_ctx *ctx, const loop_like *l, const ir_node *n, cut *k) {
    const ir_value *index = ir_in(n, 1);
    affine a;
    int64_t extent = 1;
    k->w.axis = normal_axis(ir_attr_int(n, "axis", 0), k->x->type->rank);
    if (k->w.axis < 0 || !ir_type_is_ranked(index->type) || index->type->rank > 1) return false;
    k->drops_axis = index->type->rank == 0;
    if (!k->drops_axis && !ir_dim_is_const(index->type->dims[0], &extent)) return false;
    if (!affine_of(ctx->c, index, &a) || (extent > 1 && a.step[0] != 1)) return false;
    return recur_find_window(ctx->c, l, a.base, extent, &k->w);
}

static bool find_cut(pass_ctx *ctx, const loop_like *l, const ir_node *n, cut *k) {
    if (n->op != OP_Slice && n->op != OP_Gather) return false;
    *k = (cut){.x = ir_in(n, 0)};
    if (!is_outer(l, k->x) || !ir_type_is_ranked(k->x->type) || k->x->type->rank == IR_MAX_RANK)
        return false;
    return n->op == OP_Slice ? is_slice(ctx, l, n, k) : is_gather(ctx, l, n, k);
}

/* ---- the change --------------------------------------------------------------------------------------------- */

/* The elements of all rounds, in order, before the Recur. */
static ir_value *take_range(ir_builder *b, const cut *k, const ir_dim *last, bool whole) {
    if (whole) return k->x;
    ir_value *in[] = {k->x, build_dims(b, &k->w.first, 1), build_dims(b, &last, 1),
                      build_i64s(b, (int64_t[]){k->w.axis}, 1)};
    return build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out;
}

/* [.., trips * extent, ..] -> [.., trips, extent, ..] */
static ir_value *split_axis(ir_builder *b, ir_value *v, const cut *k, const ir_dim *trips) {
    const ir_dim *dims[IR_MAX_RANK + 1];
    int32_t rank = 0;
    for (int32_t i = 0; i < v->type->rank; i++) {
        dims[rank++] = i == k->w.axis ? trips : v->type->dims[i];
        if (i == k->w.axis) dims[rank++] = ir_dim_const(b->m->ctx, k->w.extent);
    }
    return build_reshape(b, v, dims, (uint32_t)rank);
}

static bool take_cut(pass_ctx *ctx, const loop_like *l, ir_node *n, const cut *k) {
    const ir_dim *last, *size = k->x->type->dims[k->w.axis];
    bool whole;
    if (!recur_window_range(ctx->c, l, &k->w, size, &last, &whole)) return false;
    if (!k->drops_axis && !type_is_computable(n->parent->graph, k->x->type)) return false;
    if (!ctx_take(ctx, "slices")) return false;
    ir_builder b = ir_build_before(l->node);
    ir_value *v = take_range(&b, k, last, whole);
    if (!k->drops_axis) v = split_axis(&b, v, k, recur_trips(ctx->c, l->node));
    ir_value *slice = recur_add_slice(ctx, l->node, v, k->w.axis, k->w.reverse);
    slice->type = n->out[0].type;
    slice->name = n->out[0].name;
    n->out[0].name = NULL;
    pass_replace(ctx, n->out, slice);
    ir_node_remove(n);
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *recur) {
    loop_like l;
    cut k;
    bool changed = false;
    if (recur->op != OP_Recur || !loop_like_get(recur, &l)) return PASS_SAME;
    ir_for_each_node_safe (n, l.body) {
        if (find_cut(ctx, &l, n, &k)) changed |= take_cut(ctx, &l, n, &k);
    }
    if (!changed) return PASS_SAME;
    return ir_infer_node(ctx->c, recur) ? PASS_CHANGED : PASS_FAILED;
}

pass_result pass_recur_slices(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
