/* A copy whose elements lie side by side along one axis where they come from and along another where they go, in square blocks
 * (transpose.h):
 *
 *   to[j][i] = from[i][j]        8 rows of `from`, 8 elements each, are 8 rows of `to`: vectors in, vectors out
 *
 * Short runs that stay together move as one (a patch of 2 x 2 has rows of two), and several axes may alternate behind the last one of
 * `to` (64 channels of 2 rows). */
#ifndef TLBC_CODEGEN_KERNELS_TRANSPOSED_COPY_H
#define TLBC_CODEGEN_KERNELS_TRANSPOSED_COPY_H

#include "codegen/lower.h"

/* False where the views are not like that, or too small: nothing is built then. */
bool cg_copy_transposed(cg *g, const cg_view *from, const cg_view *to);

#endif
