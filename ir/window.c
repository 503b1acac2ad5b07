/* See window.h. */
#include "ir/window.h"

#include "ir/ctx.h"

/* A list attribute of `count` integers, each at least `least`; `otherwise` for all where it is missing. */
static const char *read_list(ir_ctx *c, const ir_node *n, const char *name, int32_t count,
                             int64_t least, int64_t otherwise, int64_t *out) {
    uint32_t given;
    const int64_t *list = ir_attr_ints(n, name, &given);
    for (int32_t i = 0; i < count; i++)
        out[i] = otherwise;
    if (!list) return NULL;
    if (given != (uint32_t)count)
        return tl_arena_printf(&c->arena, "attribute '%s' has %u elements, expected %d", name,
                               given, count);
    for (int32_t i = 0; i < count; i++) {
        if (list[i] < least)
            return tl_arena_printf(&c->arena, "attribute '%s' holds %lld, expected %lld or more",
                                   name, (long long)list[i], (long long)least);
        out[i] = list[i];
    }
    return NULL;
}

static const char *read_kernel(ir_window *w, ir_ctx *c, const ir_node *n,
                               const ir_dim *const *kernel) {
    int64_t shape[IR_MAX_RANK], given;
    const char *problem = read_list(c, n, "kernel_shape", w->axes, 1, 0, shape);
    if (problem) return problem;
    for (int32_t i = 0; i < w->axes; i++) {
        if (!kernel) {
            if (!shape[i]) return "attribute 'kernel_shape' is missing";
            w->kernel[i] = ir_dim_const(c, shape[i]);
            continue;
        }
        bool known = ir_dim_is_const(kernel[i], &given);
        w->kernel[i] = !known && shape[i] ? ir_dim_const(c, shape[i]) : kernel[i];
        if (known && shape[i] && shape[i] != given)
            return tl_arena_printf(&c->arena,
                                   "attribute 'kernel_shape' holds %lld, but the kernel has %lld",
                                   (long long)shape[i], (long long)given);
    }
    return NULL;
}

const ir_dim *ir_window_reach(const ir_window *w, ir_ctx *c, int32_t i) {
    const ir_dim *one = ir_dim_const(c, 1), *steps = ir_dim_sub(c, w->kernel[i], one);
    return ir_dim_add(c, ir_dim_mul(c, steps, ir_dim_const(c, w->dilation[i])), one);
}

static void pad_same(ir_window *w, ir_ctx *c, int32_t i, bool odd_behind) {
    const ir_dim *zero = ir_dim_const(c, 0), *two = ir_dim_const(c, 2),
                 *stride = ir_dim_const(c, w->stride[i]);
    w->out[i] = ir_dim_ceildiv(c, w->size[i], stride);
    const ir_dim *last = ir_dim_mul(c, ir_dim_sub(c, w->out[i], ir_dim_const(c, 1)), stride),
                 *need = ir_dim_sub(c, ir_dim_add(c, last, ir_window_reach(w, c, i)), w->size[i]),
                 *total = ir_dim_max(c, need, zero), *half = ir_dim_floordiv(c, total, two);
    w->before[i] = odd_behind ? half : ir_dim_sub(c, total, half);
    w->after[i] = ir_dim_sub(c, total, w->before[i]);
}

/* round_up: a last window may reach beyond the padding, but must not start there. */
static void pad_given(ir_window *w, ir_ctx *c, int32_t i, int64_t before, int64_t after,
                      bool round_up) {
    w->before[i] = ir_dim_const(c, before);
    w->after[i] = ir_dim_const(c, after);
    const ir_dim *one = ir_dim_const(c, 1), *stride = ir_dim_const(c, w->stride[i]),
                 *start = ir_dim_add(c, w->size[i], w->before[i]),
                 *room = ir_dim_sub(c, ir_dim_add(c, start, w->after[i]), ir_window_reach(w, c, i)),
                 *out;
    if (round_up)
        out = ir_dim_min(c, ir_dim_add(c, ir_dim_ceildiv(c, room, stride), one),
                         ir_dim_ceildiv(c, start, stride));
    else
        out = ir_dim_add(c, ir_dim_floordiv(c, room, stride), one);
    w->out[i] = ir_dim_max(c, out, ir_dim_const(c, 0));
}

static const char *read_how(ir_ctx *c, const ir_node *n, const char **how) {
    static const char *const names[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    *how = ir_attr_string(n, "auto_pad", "NOTSET");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(*how, names[i]) == 0) return NULL;
    return tl_arena_printf(&c->arena, "attribute 'auto_pad' is '%s'", *how);
}

static bool is_same(const char *how) {
    return strncmp(how, "SAME", 4) == 0;
}

static const char *read_lists(ir_window *w, ir_ctx *c, const ir_node *n, const ir_dim *const *size,
                              const ir_dim *const *kernel, int64_t *pads) {
    const char *problem;
    memcpy(w->size, size, (size_t)w->axes * sizeof *size);
    if ((problem = read_list(c, n, "strides", w->axes, 1, 1, w->stride)) ||
        (problem = read_list(c, n, "dilations", w->axes, 1, 1, w->dilation)) ||
        (problem = read_list(c, n, "pads", 2 * w->axes, 0, 0, pads)))
        return problem;
    return read_kernel(w, c, n, kernel);
}

const char *ir_window_init(ir_window *w, ir_ctx *c, const ir_node *n, int32_t axes,
                           const ir_dim *const *size, const ir_dim *const *kernel) {
    int64_t pads[2 * IR_MAX_RANK];
    const char *how, *problem = read_how(c, n, &how);
    *w = (ir_window){.axes = axes};
    if (!problem) problem = read_lists(w, c, n, size, kernel, pads);
    if (problem) return problem;
    bool round_up = ir_attr_int(n, "ceil_mode", 0), given = strcmp(how, "NOTSET") == 0;
    for (int32_t i = 0; i < axes; i++) {
        if (is_same(how))
            pad_same(w, c, i, strcmp(how, "SAME_UPPER") == 0);
        else
            pad_given(w, c, i, given ? pads[i] : 0, given ? pads[axes + i] : 0, round_up);
    }
    return NULL;
}

/* Of `whole` elements `out` stay; the odd one is dropped in front, but for SAME_UPPER. */
static void cut_whole(ir_window *w, ir_ctx *c, int32_t i, const ir_dim *whole, const ir_dim *out,
                      bool odd_behind) {
    const ir_dim *zero = ir_dim_const(c, 0), *more = ir_dim_max(c, ir_dim_sub(c, whole, out), zero),
                 *half = ir_dim_floordiv(c, more, ir_dim_const(c, 2));
    w->out[i] = out;
    w->before[i] = odd_behind ? half : ir_dim_sub(c, more, half);
}

/* The attribute output_shape: sizes of the spatial axes, or of all. NULL: not given. */
static const char *read_output(ir_ctx *c, const ir_node *n, int32_t axes, const int64_t **sizes) {
    uint32_t given;
    *sizes = ir_attr_ints(n, "output_shape", &given);
    if (!*sizes || given == (uint32_t)axes) return NULL;
    if (given != (uint32_t)axes + 2)
        return tl_arena_printf(&c->arena, "attribute 'output_shape' has %u elements, expected %d",
                               given, axes);
    *sizes += 2;
    return NULL;
}

const char *ir_window_init_transposed(ir_window *w, ir_ctx *c, const ir_node *n, int32_t axes,
                                      const ir_dim *const *size, const ir_dim *const *kernel) {
    int64_t pads[2 * IR_MAX_RANK], more[IR_MAX_RANK];
    const int64_t *sizes;
    const char *how, *problem = read_how(c, n, &how);
    *w = (ir_window){.axes = axes};
    if (problem || (problem = read_lists(w, c, n, size, kernel, pads)) ||
        (problem = read_list(c, n, "output_padding", axes, 0, 0, more)) ||
        (problem = read_output(c, n, axes, &sizes)))
        return problem;
    bool given = strcmp(how, "NOTSET") == 0, upper = strcmp(how, "SAME_UPPER") == 0;
    for (int32_t i = 0; i < axes; i++) {
        const ir_dim *one = ir_dim_const(c, 1), *stride = ir_dim_const(c, w->stride[i]),
                     *whole = ir_dim_mul(c, ir_dim_sub(c, size[i], one), stride);
        whole = ir_dim_add(c, whole, ir_dim_const(c, more[i]));
        whole = ir_dim_add(c, whole, ir_window_reach(w, c, i));
        if (sizes && sizes[i] < 0) return "attribute 'output_shape' holds a number below 0";
        if (sizes) {
            cut_whole(w, c, i, whole, ir_dim_const(c, sizes[i]), upper);
        } else if (is_same(how)) {
            cut_whole(w, c, i, whole, ir_dim_mul(c, size[i], stride), upper);
        } else {
            int64_t before = given ? pads[i] : 0, after = given ? pads[axes + i] : 0;
            w->before[i] = ir_dim_const(c, before);
            const ir_dim *out = ir_dim_sub(c, whole, ir_dim_const(c, before + after));
            w->out[i] = ir_dim_max(c, out, ir_dim_const(c, 0));
        }
        w->after[i] = ir_dim_const(c, 0);
    }
    return NULL;
}

bool ir_window_is_padded(const ir_window *w) {
    for (int32_t i = 0; i < w->axes; i++)
        if (!ir_dim_is(w->before[i], 0) || !ir_dim_is(w->after[i], 0)) return true;
    return false;
}
