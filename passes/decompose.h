/* Operators in terms of simpler ones. */
#ifndef TLBC_PASSES_DECOMPOSE_H
#define TLBC_PASSES_DECOMPOSE_H

#include "ir/build.h"

/* Builds n's definition at b, and makes users of n's results read it; n itself stays, without users. false, with nothing built,
 * where n's operator is not defined by others or the case is not covered (a rank that is not known). `strict`: every bit is as the
 * operator's definition says. */
bool decompose_node(ir_builder *b, ir_node *n, bool strict);
/* For definitions: users of n's result i read v from now on, which takes its name. Always true. */
bool decompose_give(ir_node *n, uint32_t result, ir_value *v);
bool decompose_attention(ir_builder *b, ir_node *n);  /* decompose_attention.c */
bool decompose_class_loss(ir_builder *b, ir_node *n); /* decompose_loss.c */
/* decompose_einsum.c; strict: no operand's zeros are taken as places where nothing is */
bool decompose_einsum(ir_builder *b, ir_node *n);
bool decompose_einsum_strict(ir_builder *b, ir_node *n);
/* decompose_signal.c */
bool decompose_window(ir_builder *b, ir_node *n);
/* decompose_vision.c */
bool decompose_global_pool(ir_builder *b, ir_node *n);
bool decompose_max_unpool(ir_builder *b, ir_node *n);
bool decompose_affine_grid(ir_builder *b, ir_node *n);
bool decompose_center_crop_pad(ir_builder *b, ir_node *n);
bool decompose_lrn(ir_builder *b, ir_node *n);
bool decompose_col2im(ir_builder *b, ir_node *n);
/* decompose_blocks.c */
bool decompose_depth_to_space(ir_builder *b, ir_node *n);
bool decompose_space_to_depth(ir_builder *b, ir_node *n);
/* decompose_conv.c */
bool decompose_conv(ir_builder *b, ir_node *n);
bool decompose_conv_transpose(ir_builder *b, ir_node *n);
bool decompose_deform_conv(ir_builder *b, ir_node *n);
bool decompose_causal_conv(ir_builder *b, ir_node *n); /* decompose_state.c */
bool decompose_by_parts(ir_builder *b, ir_node *n);    /* decompose_complex.c */
bool decompose_rotary(ir_builder *b, ir_node *n);
bool decompose_linear_attention(ir_builder *b, ir_node *n); /* decompose_linear_attention.c */
bool decompose_quantize(ir_builder *b, ir_node *n);         /* decompose_quantize.c */
bool decompose_dequantize(ir_builder *b, ir_node *n);
bool decompose_matmul_integer(ir_builder *b, ir_node *n);
bool decompose_conv_integer(ir_builder *b, ir_node *n);

#endif
