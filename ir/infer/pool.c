/* Pooling over windows, over whole planes, and over regions of interest. */
#include "ir/infer/infer.h"
#include "ir/window.h"

/* x[N,C,...] under windows of the attribute kernel_shape: [N,C,...] with the sizes of ir/window.h. Indices are shaped alike. */
bool infer_pool(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0))
        return infer_set_unranked(c, n, 0, dtype) && infer_set_unranked(c, n, 1, DT_i64);
    ir_shape x = infer_in_shape(n, 0), out = x;
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    ir_window w;
    const char *problem = ir_window_init(&w, c, n, x.rank - 2, x.dims + 2, NULL);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    for (int32_t i = 0; i < w.axes; i++)
        out.dims[2 + i] = w.out[i];
    return infer_set_shape(c, n, 0, dtype, &out) && infer_set_shape(c, n, 1, DT_i64, &out);
}

bool infer_global_pool(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape x = infer_in_shape(n, 0);
    if (x.rank < 2) return infer_error(c, n, 0, "rank is %d, expected 2 or more", x.rank);
    for (int32_t i = 2; i < x.rank; i++)
        x.dims[i] = ir_dim_const(c, 1);
    return infer_set_shape(c, n, 0, dtype, &x);
}

/* ---- MaxUnpool ------------------------------------------------------------------------------------------------------ */

/* Sizes that a pooling with these windows, side by side or overlapping, came from. */
static bool unpooled_sizes(ir_ctx *c, const ir_node *n, ir_shape *s) {
    uint32_t n_kernel, n_strides, n_pads;
    const int64_t *kernel = ir_attr_ints(n, "kernel_shape", &n_kernel),
                  *strides = ir_attr_ints(n, "strides", &n_strides),
                  *pads = ir_attr_ints(n, "pads", &n_pads);
    uint32_t axes = (uint32_t)s->rank - 2;
    if (!kernel || n_kernel != axes || (strides && n_strides != axes) ||
        (pads && n_pads != 2 * axes))
        return diag_error(&c->diag, n->loc,
                          "attributes kernel_shape, strides and pads must fit %u axes", axes);
    for (uint32_t i = 0; i < axes; i++) {
        int64_t padding = pads ? pads[i] + pads[axes + i] : 0;
        const ir_dim *steps = ir_dim_sub(c, s->dims[2 + i], ir_dim_const(c, 1)),
                     *reach = ir_dim_mul(c, steps, ir_dim_const(c, strides ? strides[i] : 1)),
                     *size = ir_dim_add(c, reach, ir_dim_const(c, kernel[i] - padding));
        s->dims[2 + i] = ir_dim_max(c, size, ir_dim_const(c, 0));
    }
    return true;
}

bool infer_max_unpool(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const ir_dim *given[IR_MAX_KNOWN];
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape s = infer_in_shape(n, 0);
    if (s.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", s.rank);
    if (!infer_expect_rank(c, n, 1, s.rank)) return false;
    for (int32_t i = 0; infer_is_ranked(n, 1) && i < s.rank; i++)
        if (!infer_expect_dim(c, n, 1, i, s.dims[i])) return false;
    if (!unpooled_sizes(c, n, &s)) return false;
    if (!ir_in(n, 2)) return infer_set_shape(c, n, 0, dtype, &s);
    int32_t count = infer_in_dims(c, n, 2, given);
    if (count < 0) return infer_set_rank(c, n, 0, dtype, s.rank);
    if (count != s.rank) return infer_error(c, n, 2, "%d elements, expected %d", count, s.rank);
    memcpy(s.dims, given, (size_t)count * sizeof *given);
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* ---- regions of interest --------------------------------------------------------------------------------------------- */

/* [regions, channels, height, width] */
static bool set_regions(ir_ctx *c, ir_node *n, int64_t columns, int64_t height, int64_t width) {
    if (!infer_expect_rank(c, n, 0, 4) || !infer_expect_rank(c, n, 1, 2)) return false;
    bool ranked = infer_is_ranked(n, 1);
    if (ranked && !infer_expect_dim(c, n, 1, 1, ir_dim_const(c, columns))) return false;
    ir_shape s = {4, {NULL}};
    s.dims[0] = ranked ? infer_in(n, 1)->dims[0] : ir_dim_unknown(c);
    s.dims[1] = infer_is_ranked(n, 0) ? infer_in(n, 0)->dims[1] : ir_dim_unknown(c);
    s.dims[2] = ir_dim_const(c, height), s.dims[3] = ir_dim_const(c, width);
    return infer_set_shape(c, n, 0, infer_in(n, 0)->dtype, &s);
}

bool infer_max_roi_pool(ir_ctx *c, ir_node *n) {
    uint32_t count;
    const int64_t *shape = ir_attr_ints(n, "pooled_shape", &count);
    if (!shape || count != 2 || shape[0] < 1 || shape[1] < 1)
        return diag_error(&c->diag, n->loc, "attribute 'pooled_shape' must be two numbers above 0");
    return set_regions(c, n, 5, shape[0], shape[1]);
}

bool infer_roi_align(ir_ctx *c, ir_node *n) {
    int64_t height = ir_attr_int(n, "output_height", 1), width = ir_attr_int(n, "output_width", 1);
    if (height < 1 || width < 1)
        return diag_error(&c->diag, n->loc, "the output is %lld by %lld, expected 1 or more",
                          (long long)height, (long long)width);
    if (!infer_expect_rank(c, n, 2, 1)) return false;
    if (infer_is_ranked(n, 1) && infer_is_ranked(n, 2) && infer_in(n, 1)->rank == 2 &&
        !infer_expect_dim(c, n, 2, 0, infer_in(n, 1)->dims[0]))
        return false;
    return set_regions(c, n, 4, height, width);
}
