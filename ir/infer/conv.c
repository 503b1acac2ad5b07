/* Convolution: x[N,C,...] by w[M,C/group,...] gives [N,M,...]; the spatial sizes are those of ir/window.h. */
#include "ir/infer/infer.h"
#include "ir/window.h"

/* Channels and groups fit; the bias has one element per output channel. */
static bool check_channels(ir_ctx *c, const ir_node *n, const ir_shape *w) {
    int64_t group = ir_attr_int(n, "group", 1), m;
    if (group < 1)
        return diag_error(&c->diag, n->loc, "attribute 'group' is %lld, expected 1 or more",
                          (long long)group);
    if (ir_dim_is_const(w->dims[0], &m) && m % group)
        return infer_error(c, n, 1, "dimension 0 is %lld, expected a multiple of %lld groups",
                           (long long)m, (long long)group);
    const ir_dim *channels = ir_dim_mul(c, w->dims[1], ir_dim_const(c, group));
    if (!infer_expect_dim(c, n, 0, 1, channels)) return false;
    if (!infer_is_ranked(n, 2)) return true;
    return infer_expect_rank(c, n, 2, 1) && infer_expect_dim(c, n, 2, 0, w->dims[0]);
}

bool infer_conv(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape x = infer_in_shape(n, 0), out = x;
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    if (!infer_is_ranked(n, 1)) return infer_set_rank(c, n, 0, dtype, x.rank);
    ir_shape w = infer_in_shape(n, 1);
    if (!infer_expect_rank(c, n, 1, x.rank) || !check_channels(c, n, &w)) return false;
    ir_window window;
    const char *problem = ir_window_init(&window, c, n, x.rank - 2, x.dims + 2, w.dims + 2);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    out.dims[1] = w.dims[0];
    for (int32_t i = 0; i < window.axes; i++)
        out.dims[2 + i] = window.out[i];
    return infer_set_shape(c, n, 0, dtype, &out);
}
