/* Convolution: x[N,C,...] by w[M,C/group,...] gives [N,M,...]; the spatial sizes are those of ir/window.h. */
#include "ir/infer/infer.h"
#include "ir/window.h"

/* Channels and groups fit; the bias has one element per output channel. */
static bool check_channels(ir_ctx *c, const ir_node *n, const ir_shape *w, uint32_t bias) {
    int64_t group = ir_attr_int(n, "group", 1), m;
    if (group < 1)
        return diag_error(&c->diag, n->loc, "attribute 'group' is %lld, expected 1 or more",
                          (long long)group);
    if (ir_dim_is_const(w->dims[0], &m) && m % group)
        return infer_error(c, n, 1, "dimension 0 is %lld, expected a multiple of %lld groups",
                           (long long)m, (long long)group);
    const ir_dim *channels = ir_dim_mul(c, w->dims[1], ir_dim_const(c, group));
    if (!infer_expect_dim(c, n, 0, 1, channels)) return false;
    if (n->op == OP_ConvInteger || !infer_is_ranked(n, bias)) return true; /* its zero point */
    return infer_expect_rank(c, n, bias, 1) && infer_expect_dim(c, n, bias, 0, w->dims[0]);
}

bool infer_conv(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_result_dtype(n, 0);
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape x = infer_in_shape(n, 0), out = x;
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    if (!infer_is_ranked(n, 1)) return infer_set_rank(c, n, 0, dtype, x.rank);
    ir_shape w = infer_in_shape(n, 1);
    if (!infer_expect_rank(c, n, 1, x.rank) || !check_channels(c, n, &w, 2)) return false;
    ir_window window;
    const char *problem = ir_window_init(&window, c, n, x.rank - 2, x.dims + 2, w.dims + 2);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    out.dims[1] = w.dims[0];
    for (int32_t i = 0; i < window.axes; i++)
        out.dims[2 + i] = window.out[i];
    return infer_set_shape(c, n, 0, dtype, &out);
}

/* ---- ConvTranspose: x[N,C,...] by w[C,M/group,...] gives [N,M,...] ------------------------------------------------------ */

bool infer_conv_transpose(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    int64_t group = ir_attr_int(n, "group", 1), channels;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape x = infer_in_shape(n, 0), out = x;
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    if (!infer_is_ranked(n, 1)) return infer_set_rank(c, n, 0, dtype, x.rank);
    ir_shape w = infer_in_shape(n, 1);
    if (!infer_expect_rank(c, n, 1, x.rank) || !infer_expect_dim(c, n, 0, 1, w.dims[0]))
        return false;
    if (group < 1 || (ir_dim_is_const(w.dims[0], &channels) && channels % group))
        return diag_error(&c->diag, n->loc,
                          "attribute 'group' is %lld, expected a divisor of the channels",
                          (long long)group);
    out.dims[1] = ir_dim_mul(c, w.dims[1], ir_dim_const(c, group));
    if (infer_is_ranked(n, 2) &&
        (!infer_expect_rank(c, n, 2, 1) || !infer_expect_dim(c, n, 2, 0, out.dims[1])))
        return false;
    ir_window window;
    const char *problem = ir_window_init_transposed(&window, c, n, x.rank - 2, x.dims + 2,
                                                    w.dims + 2);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    memcpy(out.dims + 2, window.out, (size_t)window.axes * sizeof *out.dims);
    return infer_set_shape(c, n, 0, dtype, &out);
}

/* ---- DeformConv ---------------------------------------------------------------------------------------------------------- */

/* offset[N, groups*taps*axes, ...], mask[N, groups*taps, ...] with the result's sizes */
static bool check_offsets(ir_ctx *c, const ir_node *n, uint32_t i, const ir_shape *out,
                          const ir_dim *rows) {
    if (!infer_expect_rank(c, n, i, out->rank)) return false;
    if (!infer_is_ranked(n, i)) return true;
    if (!infer_expect_dim(c, n, i, 0, out->dims[0]) || !infer_expect_dim(c, n, i, 1, rows))
        return false;
    for (int32_t k = 2; k < out->rank; k++)
        if (!infer_expect_dim(c, n, i, k, out->dims[k])) return false;
    return true;
}

bool infer_deform_conv(ir_ctx *c, ir_node *n) {
    if (!infer_is_ranked(n, 0) || !infer_is_ranked(n, 1))
        return infer_set_unranked(c, n, 0, infer_in(n, 0)->dtype);
    ir_shape x = infer_in_shape(n, 0), w = infer_in_shape(n, 1), out = x;
    int64_t groups = ir_attr_int(n, "offset_group", 1), channels;
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    if (!infer_expect_rank(c, n, 1, x.rank) || !check_channels(c, n, &w, 3)) return false;
    if (groups < 1 || (ir_dim_is_const(x.dims[1], &channels) && channels % groups))
        return diag_error(&c->diag, n->loc,
                          "attribute 'offset_group' is %lld, expected a divisor of the channels",
                          (long long)groups);
    ir_window window;
    const char *problem = ir_window_init(&window, c, n, x.rank - 2, x.dims + 2, w.dims + 2);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    out.dims[1] = w.dims[0];
    const ir_dim *taps = ir_dim_const(c, groups);
    for (int32_t i = 0; i < window.axes; i++) {
        out.dims[2 + i] = window.out[i];
        taps = ir_dim_mul(c, taps, window.kernel[i]);
    }
    const ir_dim *axes = ir_dim_const(c, window.axes);
    if (!check_offsets(c, n, 2, &out, ir_dim_mul(c, taps, axes)) ||
        !check_offsets(c, n, 4, &out, taps))
        return false;
    return infer_set_shape(c, n, 0, infer_in(n, 0)->dtype, &out);
}
