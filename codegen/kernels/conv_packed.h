/* Convolution of an operand that lies as the model has it, [N,C,...], with a packed constant. Positions of the result, one after the other
 * through all spatial axes, are the lanes of vectors; a register tile holds 6 features of two vectors of positions.
 *
 *   for units of positions                  (a panel: two vectors; a panel times a share of the features where panels are few)
 *     pack                                  x under every tap for these positions, [taps * C][panel]: edges become zeros here
 *     for tiles of 6 features               acc[6][2] += w[k][6] * patch[k][2], k over taps, then channels
 *       epilogue, in registers where it is short
 *
 * Packing is a function of its own: what it keeps in registers must not spill sums. The patches are in the second-level cache at most: a panel is read by all features before the next one is made. Each element of the
 * result is one chain of fused multiply-adds in the order of k, whatever the tile and the number of threads.
 *
 * Roofline on AVX2: a step of k takes 12 FMAs (6 cycles), 2 loads of the patch, 6 broadcasts of the weight. */
#ifndef TLBC_CODEGEN_KERNELS_CONV_PACKED_H
#define TLBC_CODEGEN_KERNELS_CONV_PACKED_H

#include "codegen/kernels/epilogue.h"
#include "ir/window.h"

enum { CG_CONV_ROWS = 6 }; /* features of a packed row: passes/pack_weights.c */

typedef struct cg_conv {
    cg *g;
    ir_node *node;
    ir_window window;
    const cg_view *x;                   /* [N,C,...], any strides */
    const cg_view *w;                   /* [groups * rows, depth * CG_CONV_ROWS] */
    const cg_view *y;                   /* [N,M,positions], contiguous along the last axis */
    int64_t groups, channels, features; /* of one group */
    int64_t taps;
    cg_epilogue epilogue; /* views [N,M,positions] */
} cg_conv;

void cg_conv_packed(cg_conv *c);

#endif
