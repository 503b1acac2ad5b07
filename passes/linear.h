/* Products with constant matrices and the normalisations in front of them, as passes see them that move constants from one to the other:
 *
 *   linear       x w + b
 *   norm_affine  norm(x) g + c, where norm(x) is LayerNormalization or RMSNormalization over the last axis with a scale of ones
 *
 * What is made of constants here are nodes; fold_constants computes them. */
#ifndef TLBC_PASSES_LINEAR_H
#define TLBC_PASSES_LINEAR_H

#include "passes/pass.h"

#include "ir/build.h"

typedef struct linear {
    ir_node *product;
    ir_value *x, *w, *b; /* w f32[in,out]; b f32[out], or NULL */
    int64_t in, out;
} linear;

typedef struct norm_affine {
    ir_node *node;
    ir_value *x, *g, *c; /* g f32[width]; c f32[width], or NULL */
    int64_t width;
} norm_affine;

/* n = MatMul(x, w) by a constant f32 matrix. */
bool linear_is_product(const ir_node *n);
/* v = x w + b, or x w, of which nothing has another reader; v is read once, too. */
bool linear_read(ir_value *v, linear *out);
/* Adds a constant row to the product's result: to the constant that is added there already, where one is. */
void linear_shift(pass_ctx *ctx, ir_node *product, ir_value *shift);

bool norm_read(ir_node *n, norm_affine *out);
bool norm_is_plain(const norm_affine *n);
/* norm(x) without scale and shift, at the cursor. */
ir_value *norm_build_plain(ir_builder *b, const norm_affine *n);
/* 1 / deviation of each row of a LayerNormalization's operand, its third result. */
ir_value *norm_build_inverse(ir_builder *b, const norm_affine *n);
/* diag(g) w and w diag(g) */
ir_value *linear_scale_rows(ir_builder *b, ir_value *w, ir_value *g);
ir_value *linear_scale_columns(ir_builder *b, ir_value *w, ir_value *g);

#endif
