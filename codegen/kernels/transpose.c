/* Transposing square blocks in registers, in log2(lanes) levels. Every level pairs rows that are `step` apart and swaps the blocks of
 * `step` elements off the diagonal:
 *
 *   step 1   a0 a1   b0 b1      ->   a0 b0   a1 b1
 *   step 2   a0 a1 a2 a3 and b0 b1 b2 b3, two rows further   ->   a0 a1 b0 b1   a2 a3 b2 b3  */
#include "codegen/kernels/transpose.h"

/* Elements l of the two results: those of x and y at the same places, blocks off the diagonal exchanged. */
static void level_masks(unsigned lanes, unsigned step, int32_t *first, int32_t *second) {
    for (unsigned l = 0; l < lanes; l++) {
        bool odd = l & step;
        first[l] = (int32_t)(odd ? lanes + l - step : l);
        second[l] = (int32_t)(odd ? lanes + l : l + step);
    }
}

void cg_transpose(lp_builder *b, lp_value **x, unsigned lanes) {
    int32_t first[CG_TRANSPOSE_MAX], second[CG_TRANSPOSE_MAX];
    for (unsigned step = 1; step < lanes; step *= 2) {
        level_masks(lanes, step, first, second);
        for (unsigned i = 0; i < lanes; i++) {
            if (i & step) continue;
            lp_value *p = x[i], *q = x[i + step];
            x[i] = lp_shuffle(b, p, q, first, lanes);
            x[i + step] = lp_shuffle(b, p, q, second, lanes);
        }
    }
}
