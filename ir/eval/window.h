/* Sliding windows with run-time sizes: ir/window.h for the evaluator. */
#ifndef TLBC_IR_EVAL_WINDOW_H
#define TLBC_IR_EVAL_WINDOW_H

#include "ir/eval/eval_internal.h"

typedef struct ev_window {
    int32_t axes;
    int64_t stride[IR_MAX_RANK], dilation[IR_MAX_RANK], before[IR_MAX_RANK], after[IR_MAX_RANK];
    ev_shape in, kernel, out;        /* spatial sizes */
    int64_t in_strides[IR_MAX_RANK]; /* of the spatial axes of x */
} ev_window;

/* x: all of the operand's shape; kernel: spatial sizes, or NULL where the attribute kernel_shape tells. */
bool ev_window_init(ir_eval *e, const ir_node *n, ev_window *w, const ev_shape *x,
                    const ev_shape *kernel);
/* Position in x's plane that a tap of the window at this place reads, or -1 in the padding. */
int64_t ev_window_source(const ev_window *w, const int64_t *at, const int64_t *tap);
/* The result's shape: x's samples, `channels`, the window's sizes. */
ev_shape ev_window_result(const ev_window *w, const ev_shape *x, int64_t channels);

#endif
