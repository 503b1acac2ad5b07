/* The position of the best column of each row of a product, while its tiles are made: sums are compared, never written.
 *
 *   best[row][lane] = value, position           of a block of rows, in the first-level cache; lanes are columns modulo their number
 *
 * Each tile's row is compared with its candidates (some 12 instructions for 16 columns), the lanes of a row with each other at the end of
 * the block. A thread looks at all columns of its rows. */
#ifndef TLBC_CODEGEN_KERNELS_MATMUL_BEST_H
#define TLBC_CODEGEN_KERNELS_MATMUL_BEST_H

#include "codegen/best.h"

typedef struct matmul_best {
    cg_kernel *k;
    cg_best rule;
    unsigned lanes;      /* the most that are compared at once */
    lp_value *first_row; /* of the block */
    lp_value *at[CG_CANDIDATE];
} matmul_best;

/* Room for blocks of that many rows; `rule` and `lanes` are set. */
void matmul_best_open(matmul_best *s, cg_kernel *k, int64_t rows);
/* Rows [lo, hi) begin. */
void matmul_best_begin(matmul_best *s, lp_value *lo, lp_value *hi);
/* Elements x of a row from this column on. */
void matmul_best_take(matmul_best *s, lp_value *row, lp_value *column, lp_value *x);
/* Positions of rows [lo, hi), to y[row * stride]. */
void matmul_best_store(matmul_best *s, lp_value *lo, lp_value *hi, lp_value *y, lp_value *stride);

#endif
