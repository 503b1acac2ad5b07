/* Masks of attention as functions of query i and key j: what a constant holds, or what the graph computes from positions.
 *
 *   And(LessOrEqual(j, i), Equal(Div(i, 4), Div(j, 4)))  with j = Range(0, T, 1), i = Unsqueeze(j, 1)
 *
 * mask_read computes so many rows and columns of it that a neighbourhood (ir/band.h) which agrees there agrees everywhere. That is all of
 * them where the sizes are known. Where they are not, every subexpression is known to be
 *
 *   (a*i + b*j)/over + r(i, j)     with r(i+period, j+period) = r(i, j) where i, j >= from, and r constant in steps of `period`
 *                                  along either axis where i and j are further than `reach` apart
 *
 * A comparison of such a thing with 0 is of the same kind (a = b = 0) where it depends on j - i, or on only one of both: then what happens
 * further out than from + reach + a few periods has happened before. */
#ifndef TLBC_PASSES_MASK_H
#define TLBC_PASSES_MASK_H

#include "ir/band.h"
#include "passes/pass.h"

enum { MASK_PARTS = 8 };

typedef struct mask_grid {
    int64_t queries, keys; /* rows and columns that were read */
    bool all;              /* there are no others */
    int64_t period, from, reach;
    const double *at
        [MASK_PARTS]; /* of each mask, [queries][keys]; booleans 0 and 1; NULL: no such function */
} mask_grid;

/* Masks whose last two axes are queries and keys of these extents. The number of those that are functions of them alone; *why: what is wrong
 * with one that is not. */
uint32_t mask_read(pass_ctx *ctx, ir_value *const *masks, uint32_t n, const ir_dim *queries,
                   const ir_dim *keys, mask_grid *g, const char **why);

/* The neighbourhood whose keys are seen[queries][keys]; false with *why where there is none. g says what is read of how much. */
bool mask_fit(const mask_grid *g, const uint8_t *seen, ir_band *band, const char **why);

#endif
