/* Windows over single channels where these lie last (codegen/layout.h): convolutions with one channel per group, maxima, means.
 *
 *   for rows of the result
 *     for tiles of up to 8 columns
 *       for vectors of channels
 *         for taps of the outer axes inside the operand
 *           for elements of the operand's row under the tile:  loaded once, into the sums of all columns that read it
 *         epilogue, store
 *
 * Columns at the ends of a row, whose windows reach into the padding, have tiles of their own where the row's length is known: their code
 * leaves these taps out. Where the length is not known, they are made one by one. Each result is one chain in the order of the taps. */
#ifndef TLBC_CODEGEN_KERNELS_WINDOW_LAST_H
#define TLBC_CODEGEN_KERNELS_WINDOW_LAST_H

#include "codegen/kernels/epilogue.h"
#include "ir/window.h"

typedef enum cg_window_kind { CG_WINDOW_CONV, CG_WINDOW_MAX, CG_WINDOW_MEAN } cg_window_kind;

typedef struct cg_window_last {
    cg *g;
    ir_node *node;
    cg_window_kind kind;
    ir_window window;
    const cg_view *x, *y;  /* [N,spatial...,C], contiguous along C */
    const cg_view *weight; /* [1,taps...,C]; NULL but for convolutions */
    bool counts_padding;   /* the mean divides by all taps */
    cg_epilogue epilogue;  /* views like y */
} cg_window_last;

void cg_window_last_run(cg_window_last *w);

#endif
