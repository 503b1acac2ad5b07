/* Between the files that lower matrix products; see matmul_runtime.c and matmul_rows.c. */
#ifndef TLBC_CODEGEN_LOWER_MATMUL_RUNTIME_H
#define TLBC_CODEGEN_LOWER_MATMUL_RUNTIME_H

#include "codegen/lower.h"

/* [..., m, n] as [m', n] with an even row stride; copied where its rows do not lie evenly. */
const cg_view *cg_as_matrix(cg *g, const cg_view *v);
/* Lowers MatMul n through panels packed at run time; false (nothing done) where that does not pay. */
bool cg_matmul_runtime(cg *g, ir_node *n);
/* Lowers any MatMul n of two run-time operands, row by row (matmul_rows.c). */
bool cg_matmul_rows(cg *g, ir_node *n);
/* What is read of the product's matrices, of so many rows each, where that is a diagonal band (diagonal.c); else NULL. */
const struct cg_diagonal *cg_find_diagonal(cg *g, const ir_node *product, const ir_dim *rows);

#endif
