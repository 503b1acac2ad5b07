/* See window.h. */
#include "ir/eval/window.h"

#include "ir/window.h"

static void as_dims(ir_ctx *c, const int64_t *sizes, int32_t n, ev_shape *out,
                    const ir_dim **dims) {
    out->rank = n;
    for (int32_t i = 0; i < n; i++) {
        out->dims[i] = sizes[i];
        dims[i] = ir_dim_const(c, sizes[i]);
    }
}

bool ev_window_init(ir_eval *e, const ir_node *n, ev_window *w, const ev_shape *x,
                    const ev_shape *kernel) {
    const ir_dim *size[IR_MAX_RANK], *taps[IR_MAX_RANK];
    ir_window window;
    *w = (ev_window){.axes = x->rank - 2};
    as_dims(e->ctx, x->dims + 2, w->axes, &w->in, size);
    if (kernel) as_dims(e->ctx, kernel->dims, w->axes, &w->kernel, taps);
    const char *problem = ir_window_init(&window, e->ctx, n, w->axes, size, kernel ? taps : NULL);
    if (problem) return ev_error(e, n, "%s", problem);
    w->kernel.rank = w->out.rank = w->axes;
    for (int32_t i = 0; i < w->axes; i++) {
        w->stride[i] = window.stride[i], w->dilation[i] = window.dilation[i];
        if (!ir_dim_is_const(window.before[i], &w->before[i]) ||
            !ir_dim_is_const(window.after[i], &w->after[i]) ||
            !ir_dim_is_const(window.kernel[i], &w->kernel.dims[i]) ||
            !ir_dim_is_const(window.out[i], &w->out.dims[i]))
            return ev_error(e, n, "sizes overflow");
    }
    ev_strides(&w->in, w->in_strides);
    return true;
}

int64_t ev_window_source(const ev_window *w, const int64_t *at, const int64_t *tap) {
    int64_t sum = 0;
    for (int32_t i = 0; i < w->axes; i++) {
        int64_t p = at[i] * w->stride[i] + tap[i] * w->dilation[i] - w->before[i];
        if (p < 0 || p >= w->in.dims[i]) return -1;
        sum += p * w->in_strides[i];
    }
    return sum;
}

ev_shape ev_window_result(const ev_window *w, const ev_shape *x, int64_t channels) {
    ev_shape s = {w->axes + 2, {x->dims[0], channels}};
    for (int32_t i = 0; i < w->axes; i++)
        s.dims[2 + i] = w->out.dims[i];
    return s;
}
