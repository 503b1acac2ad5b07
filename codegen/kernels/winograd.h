/* Convolution of 3 x 3, stride 1, with channels last, by Winograd's algorithm F(4x4, 3x3): 16 results of a feature take 36 products for each
 * channel instead of 144.
 *
 *   for blocks of tiles of 4 x 4 positions
 *     for tiles, vectors of channels      V[36][tile][channel] = Bt d B       of the 6 x 6 elements d under the tile
 *     for panels of 16 features
 *       for 36 places                     M[36][tile][16] = V[place] * U[place]     products in register tiles
 *       for tiles                         y = At M A, epilogue
 *
 * U = G g Gt is made from the packed kernel g when the code is, in double, and rounded once. The interpolation points are 0, 1, -1, 2, -2 and
 * infinity; their transforms have factors up to 8, which costs bits: the error of a result is some 10 to 20 times that of a plain sum
 * (tests/differential/winograd.tl says how much), so that it is used under the default rules of arithmetic alone: passes/pack_weights.c
 * decides. Sums do not depend on how tiles are shared among threads. */
#ifndef TLBC_CODEGEN_KERNELS_WINOGRAD_H
#define TLBC_CODEGEN_KERNELS_WINOGRAD_H

#include "codegen/kernels/conv_last.h"

enum {
    CG_WINOGRAD_STEP = 4,
    CG_WINOGRAD_READS = 6
}; /* positions of a tile along an axis, elements that it reads */

/* The kernel's constant in the form above, from rows of CG_CONV_PANEL features. */
ir_value *cg_winograd_weight(cg *g, const ir_value *packed, int64_t channels);
/* As cg_conv_last, with such a weight. x: padded up to whole tiles. */
void cg_winograd(cg_conv_last_op *c);

#endif
