/* Sliding windows: the geometry that convolutions (and poolings) share, from the attributes strides, dilations, pads, auto_pad,
 * ceil_mode and kernel_shape. All sizes are dimension expressions: inference and code generation have symbols, the evaluator constants.
 *
 *   size 12, kernel 3, stride 3, no pads             -> out 4
 *   size d, kernel 3, dilation 2, pads 1 and 1       -> out d - 2
 *   size d, kernel 3, stride 2, auto_pad SAME_UPPER  -> out ceil(d/2), pads so that it fits, the odd one behind */
#ifndef TLBC_IR_WINDOW_H
#define TLBC_IR_WINDOW_H

#include "ir/ir.h"
#include "ir/limits.h"

typedef struct ir_window {
    int32_t axes; /* spatial ones: operand axes 2, 3, ... */
    int64_t stride[IR_MAX_RANK], dilation[IR_MAX_RANK];
    const ir_dim *size[IR_MAX_RANK], *kernel[IR_MAX_RANK];
    const ir_dim *before[IR_MAX_RANK], *after[IR_MAX_RANK]; /* padding */
    const ir_dim *out[IR_MAX_RANK];
} ir_window;

/* size, kernel: one for each spatial axis; a kernel that is no constant gives way to the attribute kernel_shape, and `kernel` may be NULL
 * where that attribute must be there. NULL, or what is wrong with the attributes, in words. */
const char *ir_window_init(ir_window *w, ir_ctx *c, const ir_node *n, int32_t axes,
                           const ir_dim *const *size, const ir_dim *const *kernel);
/* The same for ConvTranspose: `before` of the uncut result's elements are dropped (attributes pads, auto_pad, output_shape,
 * output_padding). Where that has less than before + out along an axis, zeros follow; `after` says nothing. */
const char *ir_window_init_transposed(ir_window *w, ir_ctx *c, const ir_node *n, int32_t axes,
                                      const ir_dim *const *size, const ir_dim *const *kernel);
bool ir_window_is_padded(const ir_window *w);
/* Elements from the first to the last that one window reads along an axis. */
const ir_dim *ir_window_reach(const ir_window *w, ir_ctx *c, int32_t axis);

#endif
