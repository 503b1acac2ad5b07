/* Widening: nodes that say what one round of a recurrence does, built anew for several rounds at once. Every value that differs from
 * round to round gets a leading axis with that many elements; what is the same in all rounds stays as it is.
 *
 *   one round                                        three rounds
 *   f32[4,8] %a = MatMul(%x, %w)      %x: f32[4,8]   f32[3,4,8] %a = MatMul(%x, %w)      %x: f32[3,4,8]
 *   f32[4,8] %b = Add(%a, %bias)      f32[8]         f32[3,4,8] %b = Add(%a, %bias)
 *   f32[8] %m = ReduceMean(%b, @0)                   f32[3,8] %m = ReduceMean(%b, @-2)
 *
 * Each element is computed by the same operations in the same order: the bits are the same. */
#ifndef TLBC_PASSES_WIDEN_H
#define TLBC_PASSES_WIDEN_H

#include "passes/pass.h"

typedef struct widen {
    pass_ctx *ctx;
    ir_builder b;         /* where the wide nodes go */
    const ir_dim *rounds; /* extent of the leading axis */
    tl_map
        values; /* ir_value * of one round -> its wide one; the others are outer values, or nodes that do not differ */
} widen;

void widen_init(widen *w, pass_ctx *ctx, ir_builder b, const ir_dim *rounds);
/* `wide` stands for v in all rounds. */
void widen_set(widen *w, const ir_value *v, ir_value *wide);
/* Builds all nodes of the region at w->b; false where an operator has no rule, or none for these operands: *obstacle is the node. What
 * has been built until then is in nobody's way: nothing uses it. */
bool widen_region(widen *w, const ir_region *r, const ir_node **obstacle);
/* What stands for v, with the leading axis in any case. */
ir_value *widen_get(widen *w, ir_value *v);

#endif
