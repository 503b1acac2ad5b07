/* Integer tensors whose elements are linear in their position, as exporters compute indices:
 *
 *   Range(0, time, 1)[4*i : 4*i + 4], expanded to [batch, 4]      ->  base 4*i, step {0, 1}
 */
#ifndef TLBC_PASSES_AFFINE_H
#define TLBC_PASSES_AFFINE_H

#include "ir/limits.h"
#include "passes/pass.h"

/* v[p0, p1, ...] = base + step[0]*p0 + step[1]*p1 + ... */
typedef struct affine {
    const ir_dim *base; /* may mention counters of loops */
    int64_t step[IR_MAX_RANK];
} affine;

/* false where v is not known to be linear. Axes of extent 1 have step 0. */
bool affine_of(ir_ctx *c, const ir_value *v, affine *a);

#endif
