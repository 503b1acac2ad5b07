/* Between codegen/lower/matmul.c, conv_bytes.c and group_bytes.c. */
#ifndef TLBC_CODEGEN_LOWER_PRODUCT_H
#define TLBC_CODEGEN_LOWER_PRODUCT_H

#include "codegen/kernels/matmul_packed.h"

/* The node's product, whose operand (a, m, k, window), kind and panel are set: weight, epilogue and result are the node's. False after
 * reporting. */
bool cg_finish_product(cg_matmul *mm);
/* The steps of a packed weight of bytes in groups, mm->w included (group_bytes.c); false: plain steps are as good, or have to do. */
bool cg_group_bytes(cg_matmul *mm, const ir_tensor *w);
/* x with room for whole quads behind the elements of its last axis; what lies there meets weights of 0. */
const cg_view *cg_whole_quads(cg *g, const cg_view *x);

#endif
