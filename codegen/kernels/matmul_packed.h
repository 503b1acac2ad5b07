/* Product of a row-major matrix with a packed constant. The weight W[K][N] is stored in panels of `panel` columns,
 * [ceil(N/panel)][K][panel], zero padded. A register tile holds up to `max_rows` rows of one panel (or a few panels for very few rows);
 * each element of the result is one chain of fused multiply-adds in the order of k, whatever the tile, the number of threads or the
 * number of rows: that is what makes results the same bits in every arrangement.
 *
 * Integers: rows of u8 times a weight of i8, stored as lanes of four (k .. k+3 of one column), [ceil(N/panel)][ceil(K/4)][panel] i32,
 * zero padded; the sum is i32, exact, and a step takes four of k at once (`dot4`). Rows have room for whole quads.
 *
 * Without VNNI steps are grouped so that sums over a group have 16 bits (codegen/lower/group_bytes.c): for each run of steps of a panel
 * there are groups of three, then of two, then steps alone, each step with the number of the quad of the row that it meets.
 * Convolution is such a product of bytes whose rows are windows: k runs tap by tap, quads begin anew at each (places.h).
 *
 * Weights that stay quantised (passes/dequantized_weight.c): [ceil(N/panel)][ceil(K/block)] times scales f32[panel], zero points
 * u8[panel], codes u8[.][panel] of 8 / bits rows each; multiplied out in registers where there is one tile of rows, else panel by panel into
 * a buffer of the thread, once for all rows, while the codes of the next panel are fetched.
 *
 * Where only the position of the best column of each row is wanted (MatMulArg), tiles are compared and not written (matmul_best.h).
 *
 * Roofline on AVX2: 6 rows x 16 columns are 12 accumulators; a step of k takes 12 FMAs (6 cycles), 2 loads of W, 6 broadcasts of A. */
#ifndef TLBC_CODEGEN_KERNELS_MATMUL_PACKED_H
#define TLBC_CODEGEN_KERNELS_MATMUL_PACKED_H

#include "codegen/kernels/places.h"

enum { CG_MATMUL_GROUP_SIZES = 3 }; /* 3, 2, 1 steps */

/* Which column is the best. */
typedef struct cg_matmul_arg {
    bool largest, last; /* last: of equals */
} cg_matmul_arg;

/* Which columns of a row anybody reads: row i from first - slope * i on, `width` of them; all inside the row. */
typedef struct cg_diagonal {
    int64_t first, slope, width;
} cg_diagonal;

typedef struct cg_matmul {
    cg *g;
    ir_node *node;
    const ir_dim *m; /* rows */
    int64_t k, n, panel;
    bool quads;    /* u8 by i8 */
    int64_t bits;  /* of the codes of a quantised weight; 0: it is not */
    int64_t block; /* rows that share a scale */
    const ir_window *
        window; /* rows are windows of an image `a` u8[N,...,C]: k is taps * C; NULL: they are not */
    int64_t taps, run_steps, pad; /* run_steps: quads under a tap */
    /* Grouped steps (NULL: plain ones), then w is i32[steps,panel]: i32[panels * taps, 1 + sizes], the first step of a run, how many groups of
     * each size; i32[steps], their quads in the run. alone: no step is in a group, nor are its weights small. */
    const cg_view *counts, *steps;
    bool alone;
    const cg_view *a, *w,
        *y; /* 2-D: [m,k] and [m,n], contiguous along the last axis; w as packed */
    const cg_diagonal *diagonal; /* other columns may be left as they are; NULL: all are read */
    const cg_matmul_arg *arg;    /* y is i64 [m,1], positions; NULL: the product is wanted */
    const ir_region *epilogue;   /* parameters: the sum, then the extras; NULL = none */
    uint32_t n_extras;
    const cg_view
        *extras[CG_MAX_NEST_VIEWS]; /* 2-D [m,n] with strides 0 where broadcast; NULL = literal */
    ir_value *extra_values[CG_MAX_NEST_VIEWS];
} cg_matmul;

void cg_matmul_packed(cg_matmul *mm);

#endif
