/* Between the files of the pass fuse_quantized. */
#ifndef TLBC_PASSES_QUANTIZED_H
#define TLBC_PASSES_QUANTIZED_H

#include "passes/pass.h"

/* MatMul or Gemm of floats by a constant that is dequantised: the product reads the small integers (dequantized_weight.c). */
bool fuse_dequantized_weight(pass_ctx *ctx, ir_node *n);
/* ConvInteger, or Conv of dequantised operands, as MatMulInteger (fuse_quantized_conv.c). */
bool fuse_quantized_conv(pass_ctx *ctx, ir_node *n);
/* MatMulInteger by a constant in the form of the kernel; n is gone then. */
bool fuse_integer_product(pass_ctx *ctx, ir_node *n);
/* The DequantizeLinear to f32, without blocks, that v comes from; NULL: none. */
const ir_node *find_dequantized(const ir_value *v);
/* y * alpha + C * beta of a Gemm; y for a MatMul. */
ir_value *finish_gemm(ir_builder *b, const ir_node *n, ir_value *y);
/* One element, in a tensor of rank 0 or 1, or no value at all. */
bool is_single_element(const ir_value *v);

#endif
