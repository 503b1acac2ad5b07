/* Transposing square blocks in registers, in log2(rows) levels. Every level pairs rows that are `step` apart and swaps the blocks of
 * `step` elements, or runs, off the diagonal:
 *
 *   step 1   a0 a1   b0 b1      ->   a0 b0   a1 b1
 *   step 2   a0 a1 a2 a3 and b0 b1 b2 b3, two rows further   ->   a0 a1 b0 b1   a2 a3 b2 b3  */
#include "codegen/kernels/transpose.h"

/* Elements l of the two results: those of x and y at the same places, blocks off the diagonal exchanged. */
static void level_masks(unsigned lanes, unsigned run, unsigned step, int32_t *first,
                        int32_t *second) {
    for (unsigned l = 0; l < lanes; l++) {
        bool odd = l / run & step;
        first[l] = (int32_t)(odd ? lanes + l - step * run : l);
        second[l] = (int32_t)(odd ? lanes + l : l + step * run);
    }
}

void cg_transpose(lp_builder *b, lp_value **x, unsigned lanes, unsigned run) {
    int32_t first[CG_TRANSPOSE_MAX], second[CG_TRANSPOSE_MAX];
    unsigned rows = lanes / run;
    for (unsigned step = 1; step < rows; step *= 2) {
        level_masks(lanes, run, step, first, second);
        for (unsigned i = 0; i < rows; i++) {
            if (i & step) continue;
            lp_value *p = x[i], *q = x[i + step];
            x[i] = lp_shuffle(b, p, q, first, lanes);
            x[i + step] = lp_shuffle(b, p, q, second, lanes);
        }
    }
}
