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
/* A matrix of i8 or i16, what is left of its zero points per column, and the sums of its columns less K of those. */
typedef struct byte_matrix {
    ir_value *matrix;
    ir_tensor *zeros, *sums; /* i32[N] */
    bool has_zeros;
    int64_t rows, columns;
} byte_matrix;
/* Of the constant w; zero: one, one per column, or NULL. `transposed`: w is [N,K]. */
byte_matrix prepare_bytes(pass_ctx *ctx, const ir_value *w, const ir_value *zero, bool transposed);
/* The zero point of column c of `zero`, which may be NULL. */
int64_t zero_of(const ir_value *zero, int64_t column);
/* x of i8 as u8: the sign bit is turned over. */
ir_value *to_unsigned(ir_builder *b, ir_value *x);
/* y - zero * sums, `zero` being x's (NULL: 0) before it was turned from i8, if it was `moved`; `of` gives the constant its name. */
ir_value *less_row_zero(pass_ctx *ctx, ir_builder *b, ir_value *y, ir_value *zero, bool moved,
                        const ir_tensor *sums, const ir_value *of);
/* One element, in a tensor of rank 0 or 1, or no value at all. */
bool is_single_element(const ir_value *v);

#endif
