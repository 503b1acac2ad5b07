/* Convolution of an operand with channels last (codegen/layout.h) with a packed constant, without patches: features are the lanes of vectors,
 * and a register tile holds 6 positions of 16 features.
 *
 *   for blocks of positions                 where each one's window begins goes to a table
 *     for panels of 16 features
 *       for tiles of 6 positions            for taps: for channels: acc[6][2] += x[position's window][channel] * w[tap, channel][16]
 *         epilogue, in registers where it is short
 *
 * The operand comes padded (codegen/lower/conv_last.c), so that no tap needs a test; taps side by side along the last axis are one run in memory,
 * as its channels are. Each element of the result is one chain of fused multiply-adds over taps, then channels, whatever the tile and the
 * number of threads; the last tile of a share reaches back into the one before it and makes the same bits again.
 *
 * Roofline on AVX2: a step of k takes 12 FMAs (6 cycles), 2 loads of the weight, 6 broadcasts of the operand. */
#ifndef TLBC_CODEGEN_KERNELS_CONV_LAST_H
#define TLBC_CODEGEN_KERNELS_CONV_LAST_H

#include "codegen/kernels/epilogue.h"
#include "codegen/kernels/feature_tile.h"
#include "ir/window.h"

typedef struct cg_conv_last {
    cg *g;
    ir_node *node;
    ir_window window;                   /* padding is in x */
    const cg_view *x;                   /* [N,spatial...,C], contiguous along C */
    const cg_view *w;                   /* [groups * panels, depth * CG_CONV_PANEL] */
    const cg_view *y;                   /* [N * positions, M], contiguous along M */
    int64_t groups, channels, features; /* of one group */
    cg_epilogue epilogue;               /* views [N * positions, M] */
} cg_conv_last_op;

void cg_conv_last(cg_conv_last_op *c);
/* The epilogue on `lanes` sums of features from `feature` on, at a position. */
lp_value *cg_conv_finish(const cg_conv_last_op *c, cg_kernel *k, unsigned lanes, lp_value *position,
                         lp_value *feature, lp_value *sum);
/* Of numbers that are not negative. */
static inline lp_value *cg_ceil_div(lp_builder *b, lp_value *n, lp_value *d) {
    return lp_bin(b, LP_div, lp_bin(b, LP_add, n, lp_bin(b, LP_sub, d, lp_index(b, 1))), d);
}

#endif
