/* Transposing square blocks in registers. */
#ifndef TLBC_CODEGEN_KERNELS_TRANSPOSE_H
#define TLBC_CODEGEN_KERNELS_TRANSPOSE_H

#include "codegen/loop.h"

enum { CG_TRANSPOSE_MAX = 16 };

/* x: lanes / run vectors of `lanes` (1, 2, 4, 8 or 16) elements, the rows of a square of runs, which have 1, 2 or 4 elements and stay
 * together; they become its columns. */
void cg_transpose(lp_builder *b, lp_value **x, unsigned lanes, unsigned run);

#endif
