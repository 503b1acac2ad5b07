/* The register tile of the packed product: up to MAX_TILE_ROWS rows by some vectors of panels, whose sums stay in registers over all
 * steps of k. A step takes an f32 of each row, or four bytes; weights are numbers, bytes, or blocks of small codes.
 *
 *   for k:  w[v] = load panel[k][v]                        once for all rows
 *           acc[r][v] += broadcast a[r][k] * w[v]
 *   store acc */
#ifndef TLBC_CODEGEN_KERNELS_MATMUL_TILE_H
#define TLBC_CODEGEN_KERNELS_MATMUL_TILE_H

#include "codegen/kernels/matmul_best.h"
#include "codegen/kernels/matmul_packed.h"

enum { CACHE_LINE = 64, K_UNROLL = 4, MAX_TILE_ROWS = 14, MAX_TILE_VECTORS = 8 };

/* What all parts of one product's kernel know. */
typedef struct matmul_state {
    cg_matmul *mm;
    cg_kernel k;
    unsigned lanes, vectors;  /* per panel */
    unsigned max_rows, group; /* group: panels done at once */
    bool by_panels;           /* threads share the panels instead of the rows */
    bool staged;              /* results are not as wide as sums: a tile is made apart */
    bool fetches_results;     /* they are too many for the second-level cache */
    int64_t steps;            /* of k */
    int64_t
        run_steps; /* of what lies side by side in a row: all of k, or the channels under a tap */
    cg_places places; /* rows that are windows of an image */
    int64_t row_block;
    lp_value *first_row;       /* of the block */
    lp_value *const *row_from; /* windows: the tap's elements of each row of the tile */
    int64_t panel_bytes;       /* of the weight */
    lp_value *counts, *group_steps;
    const cg_view
        *floats_view; /* of a weight in blocks: a panel multiplied out, one for each thread */
    lp_value *floats;
    bool unpacks; /* tiles read that; else they multiply the weight out in registers */
    lp_value *a, *w, *y, *lda, *ldy, *scratch;
    lp_value *extra[CG_MAX_NEST_VIEWS], *extra_row[CG_MAX_NEST_VIEWS],
        *extra_col[CG_MAX_NEST_VIEWS];
    unsigned ahead_lines;         /* of the next panel, fetched in K_UNROLL steps of k; 0: none */
    lp_value *ahead, *ahead_step; /* where this tile fetches, bytes a step */
    matmul_best best;             /* where mm->arg is */
    int64_t n_panels, tail;       /* tail: columns of the last panel, 0 = it is full */
} matmul_state;

/* Of `lanes` sums: f32, or i32 of bytes. */
lp_type matmul_sum_type(const matmul_state *s, unsigned lanes);
/* Of a block of codes in a panel, with its scales and zero points. */
int64_t matmul_block_bytes(const matmul_state *s);
/* A panel of a weight in blocks to s->floats, f32[k][panel]. */
void matmul_unpack(matmul_state *s, lp_value *panel);
/* Sums of `height` rows (1 to `rows`, known when it runs) by `panels` panels, to `to` with row stride `ld`. */
void matmul_tile(matmul_state *s, unsigned rows, unsigned panels, lp_value *height, lp_value *row,
                 lp_value *panel, lp_value *to, lp_value *ld);

#endif
