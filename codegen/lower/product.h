/* Between codegen/lower/matmul.c and conv_bytes.c. */
#ifndef TLBC_CODEGEN_LOWER_PRODUCT_H
#define TLBC_CODEGEN_LOWER_PRODUCT_H

#include "codegen/kernels/matmul_packed.h"

/* The node's product, whose operand (a, m, k, window), kind and panel are set: weight, epilogue and result are the node's. */
void cg_finish_product(cg_matmul *mm);

#endif
