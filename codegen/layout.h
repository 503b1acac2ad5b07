/* Channels last: how activations of convolutions lie in memory. The graph says [N,C,H,W] throughout; the view of a value says where its
 * elements are, and those that a convolution makes are at
 *
 *   n * H*W*C + c + h * W*C + w * C          f32[1,64,56,56] with strides [200704, 1, 3584, 64]
 *
 * so that the channels of a position fill vectors. A convolution chooses this (passes/pack_weights.c, codegen/kernels/conv_last.h); what
 * follows keeps the layout of its operand: elementwise operators, Concat, pooling, Resize. An operator that needs another order copies, as
 * with any strides. Results that have a place already (outputs of the model) keep the order of that place. */
#ifndef TLBC_CODEGEN_LAYOUT_H
#define TLBC_CODEGEN_LAYOUT_H

#include "codegen/lower.h"

/* Channels are contiguous, and the result of a convolution or of something that kept its layout. */
bool cg_is_last(const cg_view *v);
/* The same elements as [N,spatial...,C], and back. */
const cg_view *cg_to_last(cg *g, const cg_view *v);
const cg_view *cg_from_last(cg *g, const cg_view *v);
/* As cg_write; a value without a place gets one with channels last. */
const cg_view *cg_write_last(cg *g, ir_value *v);
/* As cg_write; a value without a place lies as `like` does, where that has as many axes. */
const cg_view *cg_write_like(cg *g, ir_value *v, const cg_view *like);

#endif
