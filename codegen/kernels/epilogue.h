/* What follows a product inside its kernel: the node's region "epilogue" on sums and on operands that lie beside them.
 *
 *   cg_epilogue_read(&e, g, n);                     // operands from number 2 on, broadcast to the result's shape
 *   cg_epilogue_bind(&e, &k);
 *   x = cg_epilogue_apply(&e, &k, lanes, at, axis, x);      // at[i]: place in extra i; lanes run along this axis of the views */
#ifndef TLBC_CODEGEN_KERNELS_EPILOGUE_H
#define TLBC_CODEGEN_KERNELS_EPILOGUE_H

#include "codegen/lower.h"

typedef struct cg_epilogue {
    const ir_region *region; /* NULL = none, or nothing in it */
    uint32_t n;
    const cg_view *views[CG_MAX_NEST_VIEWS]; /* strides 0 where broadcast; NULL = literal */
    ir_value *values[CG_MAX_NEST_VIEWS];
    lp_value *pointers[CG_MAX_NEST_VIEWS];
} cg_epilogue;

void cg_epilogue_read(cg_epilogue *e, cg *g, ir_node *n);
/* The views with all axes from 2 on as one; copied where that takes it. */
void cg_epilogue_flatten(cg_epilogue *e, cg *g);
void cg_epilogue_bind(cg_epilogue *e, cg_kernel *k);
lp_value *cg_epilogue_apply(const cg_epilogue *e, cg_kernel *k, unsigned lanes, lp_value *const *at,
                            int32_t axis, lp_value *sum);
/* A few operations of an instruction or two: may be written out for every vector of a tile. */
bool cg_epilogue_is_short(const cg_epilogue *e);

#endif
