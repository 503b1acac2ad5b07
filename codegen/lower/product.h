/* Between codegen/lower/matmul.c, conv_bytes.c and split_bytes.c. */
#ifndef TLBC_CODEGEN_LOWER_PRODUCT_H
#define TLBC_CODEGEN_LOWER_PRODUCT_H

#include "codegen/kernels/matmul_packed.h"

/* The node's product, whose operand (a, m, k, window), kind and panel are set: weight, epilogue and result are the node's. */
void cg_finish_product(cg_matmul *mm);
/* Sets what `dot4n` needs of a weight w of quads, mm->w included (split_bytes.c); false: too much would have to be split. */
bool cg_split_bytes(cg_matmul *mm, const ir_tensor *w);

#endif
