/* The register tile of convolutions with channels last: a few rows of an operand times 16 features of a weight, or fewer.
 *
 *   acc[row][v] += x[row][k] * w[k][16], vectors v of it, for k = 0 to run
 *
 *   cg_feature_tile t = {.b = b, .lanes = 8, .rows = 6, .vectors = 2};
 *   cg_feature_tile_run(&t, x, w, 64, acc);              // x: a pointer for each row; acc: rows * vectors sums
 *
 * Each sum is one chain of fused multiply-adds in the order of k. */
#ifndef TLBC_CODEGEN_KERNELS_FEATURE_TILE_H
#define TLBC_CODEGEN_KERNELS_FEATURE_TILE_H

#include "codegen/lower.h"

enum {
    CG_CONV_PANEL = 16, /* features of a packed row: passes/pack_weights.c */
    CG_TILE_ROWS = 12,
    CG_TILE_UNROLL = 4, /* steps of k in a round */
    CG_TILE_LINE = 64,
    CG_TILE_AHEAD = 2,
    CG_TILE_SUMS = 32 /* at most */
};

typedef struct cg_feature_tile {
    lp_builder *b;
    unsigned lanes, rows, vectors;
    struct {
        lp_value *from;
        unsigned lines;     /* of the cache, for CG_TILE_UNROLL steps of k */
    } ahead[CG_TILE_AHEAD]; /* fetched meanwhile: what will be read next; NULL: nothing */
} cg_feature_tile;

void cg_feature_tile_run(const cg_feature_tile *t, lp_value *const *x, lp_value *w, int64_t run,
                         lp_value **acc);
void cg_feature_tile_zero(const cg_feature_tile *t, lp_value **acc);
/* Rows that the target's registers have room for. */
unsigned cg_feature_tile_rows(const cg_target *target, unsigned vectors);
/* Of the vectors in a panel. */
unsigned cg_feature_lanes(const cg_target *target);

#endif
