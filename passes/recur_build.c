/* See recur_build.h. */
#include "passes/recur_build.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

recur_draft recur_begin(ir_builder *outer, ir_value *trips) {
    recur_draft d = {.node = ir_node_create(outer->m, OP_Recur, &trips, 1, 0)};
    d.node->loc = outer->loc;
    if (outer->before)
        ir_node_insert_before(outer->before, d.node);
    else
        ir_node_append(outer->region, d.node);
    ir_region *body = ir_node_add_region(outer->m, d.node, "body");
    ir_region_add_param(body, ir_type_scalar(outer->m->ctx, DT_i64), NULL);
    d.b = ir_build_at_end(body, outer->loc);
    return d;
}

ir_value *recur_add_carried(recur_draft *d, ir_value *initial) {
    TL_ASSERT(d->n_sliced == 0);
    ir_node_add_operand(d->b.m, d->node, initial);
    d->n_carried++;
    return ir_region_add_param(d->b.region, initial->type, NULL);
}

ir_value *recur_add_sliced(recur_draft *d, ir_value *x, int64_t axis, bool reverse) {
    const ir_dim *dims[IR_MAX_RANK];
    const ir_type *t = x->type;
    TL_ASSERT(d->n_sliced < RECUR_DRAFT_SLICES && axis >= 0 && axis < t->rank);
    for (int32_t i = 0; i + 1 < t->rank; i++)
        dims[i] = t->dims[i < axis ? i : i + 1];
    ir_node_add_operand(d->b.m, d->node, x);
    d->axes[d->n_sliced] = axis;
    d->reverse[d->n_sliced++] = reverse;
    const ir_type *slice = ir_type_tensor(d->b.m->ctx, t->dtype, t->rank - 1, dims);
    return ir_region_add_param(d->b.region, slice, NULL);
}

static void set_list(recur_draft *d, const char *name, const int64_t *v, uint32_t count) {
    bool zeros = true;
    for (uint32_t i = 0; i < count; i++)
        zeros &= v[i] == 0;
    if (!zeros) ir_attr_set_ints(d->b.m, d->node, name, v, count);
}

ir_node *recur_end(recur_draft *d, ir_value *const *results, uint32_t n, int64_t axis,
                   bool reverse) {
    int64_t axes[RECUR_DRAFT_SLICES], reversed[RECUR_DRAFT_SLICES];
    uint32_t stacked = n - d->n_carried;
    TL_ASSERT(n >= d->n_carried && stacked <= RECUR_DRAFT_SLICES);
    for (uint32_t i = 0; i < stacked; i++)
        axes[i] = axis, reversed[i] = reverse;
    ir_attr_set_int(d->b.m, d->node, "carries", d->n_carried);
    set_list(d, "input_axes", d->axes, d->n_sliced);
    set_list(d, "input_reverse", d->reverse, d->n_sliced);
    set_list(d, "output_axes", axes, stacked);
    set_list(d, "output_reverse", reversed, stacked);
    ir_region_set_results(d->b.region, results, n);
    ir_node_set_n_out(d->b.m, d->node, n);
    bool inferred = ir_infer_node(d->b.m->ctx, d->node);
    TL_ASSERT(inferred);
    return d->node;
}
