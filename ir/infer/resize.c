/* Resampling: Resize, GridSample, AffineGrid; cutting to size: CenterCropPad; blocks back to images: Col2Im; files to images. */
#include "ir/resize.h"
#include "ir/infer/infer.h"
#include "ir/window.h"

/* Strings are chosen among, and have no mean. */
static bool expect_choice(ir_ctx *c, const ir_node *n, const char *otherwise) {
    const char *mode = ir_attr_string(n, "mode", otherwise);
    if (infer_in(n, 0)->dtype != DT_str || strcmp(mode, "nearest") == 0) return true;
    return infer_error(c, n, 0, "strings have no mean: mode is '%s', expected 'nearest'", mode);
}

/* ---- Resize ------------------------------------------------------------------------------------------------------- */

/* An operand that is omitted, or empty as opset 11 wrote it where only the other one counts. */
static bool is_absent(const ir_node *n, uint32_t i) {
    return !ir_in(n, i) || infer_in_length(n, i) == 0;
}

/* A constant's elements as doubles; NULL where it is none. */
static const double *constant_list(ir_ctx *c, const ir_node *n, uint32_t i, int32_t *count) {
    const ir_value *v = ir_in(n, i);
    *count = 0;
    if (!v || !v->tensor || v->tensor->opaque) return NULL;
    *count = (int32_t)ir_tensor_elements(v->tensor);
    double *list = TL_NEW_ARRAY(&c->arena, double, *count + 1);
    for (int32_t k = 0; k < *count; k++)
        list[k] = ir_tensor_get_f64(v->tensor, (size_t)k);
    return list;
}

/* By scales that are data: axes that they are for have a size that is data too. */
static bool scaled_by_data(ir_ctx *c, ir_node *n, ir_shape *s) {
    uint32_t count;
    const int64_t *axes = ir_attr_ints(n, "axes", &count);
    int32_t axis = 0;
    if (!axes) count = (uint32_t)s->rank;
    for (uint32_t i = 0; i < count; i++) {
        if (!infer_axis(c, n, axes ? axes[i] : (int64_t)i, s->rank, &axis)) return false;
        s->dims[axis] = ir_dim_unknown(c);
    }
    return infer_set_shape(c, n, 0, infer_in(n, 0)->dtype, s);
}

bool infer_resize(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const ir_dim *sizes[IR_MAX_KNOWN];
    int32_t n_roi;
    if (!expect_choice(c, n, "nearest")) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape x = infer_in_shape(n, 0);
    bool no_scales = is_absent(n, 2), no_sizes = is_absent(n, 3);
    if (no_scales && no_sizes)
        return diag_error(&c->diag, n->loc, "neither scales nor sizes are given");
    ir_resize_lists lists = {.roi = constant_list(c, n, 1, &n_roi), .sizes = sizes};
    if (!no_scales) lists.scales = constant_list(c, n, 2, &lists.n_scales);
    if (!no_sizes) lists.n_sizes = infer_in_dims(c, n, 3, sizes);
    if (!no_scales && !lists.scales) return scaled_by_data(c, n, &x);
    if (lists.n_sizes < 0) return infer_set_rank(c, n, 0, dtype, x.rank);
    uint32_t n_axes;
    if (!ir_attr_ints(n, "axes", &n_axes)) n_axes = (uint32_t)x.rank;
    if (n_roi != 2 * (int32_t)n_axes) lists.roi = NULL;
    ir_resize r;
    const char *problem = ir_resize_init(&r, c, n, x.rank, x.dims, &lists);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    memcpy(x.dims, r.out, (size_t)x.rank * sizeof *x.dims);
    return infer_set_shape(c, n, 0, dtype, &x);
}

/* ---- GridSample, AffineGrid ------------------------------------------------------------------------------------------ */

/* x[N,C,...] at grid[N,...,axes]: [N,C,...] */
bool infer_grid_sample(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!expect_choice(c, n, "linear")) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape x = infer_in_shape(n, 0);
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    if (!infer_is_ranked(n, 1)) return infer_set_rank(c, n, 0, dtype, x.rank);
    if (!infer_expect_rank(c, n, 1, x.rank) || !infer_expect_dim(c, n, 1, 0, x.dims[0]) ||
        !infer_expect_dim(c, n, 1, x.rank - 1, ir_dim_const(c, x.rank - 2)))
        return false;
    ir_shape grid = infer_in_shape(n, 1);
    for (int32_t i = 2; i < x.rank; i++)
        x.dims[i] = grid.dims[i - 1];
    return infer_set_shape(c, n, 0, dtype, &x);
}

/* theta[N,axes,axes+1] for a size N,C,...: [N,...,axes] */
bool infer_affine_grid(ir_ctx *c, ir_node *n) {
    const ir_dim *size[IR_MAX_KNOWN];
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_expect_rank(c, n, 0, 3) || !infer_expect_rank(c, n, 1, 1)) return false;
    int64_t length = infer_in_length(n, 1);
    if (length < 0) return infer_set_unranked(c, n, 0, dtype);
    if (length != 4 && length != 5)
        return infer_error(c, n, 1, "%lld elements, expected 4 or 5", (long long)length);
    if (infer_is_ranked(n, 0) && (!infer_expect_dim(c, n, 0, 1, ir_dim_const(c, length - 2)) ||
                                  !infer_expect_dim(c, n, 0, 2, ir_dim_const(c, length - 1))))
        return false;
    if (infer_in_dims(c, n, 1, size) != length) return infer_set_rank(c, n, 0, dtype, length);
    ir_shape s = {(int32_t)length, {size[0]}};
    for (int32_t i = 2; i < s.rank; i++)
        s.dims[i - 1] = size[i];
    s.dims[s.rank - 1] = ir_dim_const(c, length - 2);
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* ---- CenterCropPad --------------------------------------------------------------------------------------------------- */

bool infer_center_crop_pad(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const ir_dim *size[IR_MAX_KNOWN];
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    if (!infer_expect_rank(c, n, 1, 1)) return false;
    ir_shape s = infer_in_shape(n, 0);
    uint32_t n_axes;
    const int64_t *axes = ir_attr_ints(n, "axes", &n_axes);
    if (!axes) n_axes = (uint32_t)s.rank;
    int64_t length = infer_in_length(n, 1);
    if (length >= 0 && length != n_axes)
        return infer_error(c, n, 1, "%lld elements for %u axes", (long long)length, n_axes);
    bool known = infer_in_dims(c, n, 1, size) == (int32_t)n_axes;
    for (uint32_t i = 0; i < n_axes; i++) {
        int32_t axis = (int32_t)i;
        if (axes && !infer_axis(c, n, axes[i], s.rank, &axis)) return false;
        s.dims[axis] = known ? size[i] : ir_dim_unknown(c);
    }
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* ---- Col2Im ----------------------------------------------------------------------------------------------------------- */

/* x[N, C * block, blocks]: [N,C,image...] */
bool infer_col2im(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const ir_dim *image[IR_MAX_KNOWN], *block[IR_MAX_KNOWN];
    if (dtype == DT_str) return infer_error(c, n, 0, "strings have no sum");
    if (!infer_expect_rank(c, n, 0, 3) || !infer_expect_rank(c, n, 1, 1) ||
        !infer_expect_rank(c, n, 2, 1))
        return false;
    int64_t axes = infer_in_length(n, 1);
    if (axes < 0) axes = infer_in_length(n, 2);
    if (axes < 0) return infer_set_unranked(c, n, 0, dtype);
    if (axes < 1 || axes + 2 > IR_MAX_RANK ||
        (infer_in_length(n, 2) >= 0 && infer_in_length(n, 2) != axes))
        return infer_error(c, n, 2, "%lld elements for an image of %lld axes",
                           (long long)infer_in_length(n, 2), (long long)axes);
    if (infer_in_dims(c, n, 1, image) != axes || infer_in_dims(c, n, 2, block) != axes ||
        !infer_is_ranked(n, 0))
        return infer_set_rank(c, n, 0, dtype, axes + 2);
    ir_window w;
    const char *problem = ir_window_init(&w, c, n, (int32_t)axes, image, block);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    const ir_type *x = infer_in(n, 0);
    ir_shape s = {(int32_t)axes + 2, {x->dims[0]}};
    const ir_dim *taps = ir_dim_const(c, 1), *blocks = taps;
    for (int32_t i = 0; i < axes; i++) {
        s.dims[2 + i] = image[i];
        taps = ir_dim_mul(c, taps, block[i]);
        blocks = ir_dim_mul(c, blocks, w.out[i]);
    }
    int64_t rows, per_channel;
    if (ir_dim_is_const(taps, &per_channel) && per_channel < 1)
        return infer_error(c, n, 2, "blocks of %lld elements", (long long)per_channel);
    if (ir_dim_is_const(x->dims[1], &rows) && ir_dim_is_const(taps, &per_channel) &&
        rows % per_channel)
        return infer_error(c, n, 0, "dimension 1 is %lld, expected a multiple of %lld",
                           (long long)rows, (long long)per_channel);
    if (!infer_expect_dim(c, n, 0, 2, blocks)) return false;
    s.dims[1] = ir_dim_floordiv(c, x->dims[1], taps);
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* ---- ImageDecoder ----------------------------------------------------------------------------------------------------- */

/* bytes of a file: [height,width,colours] */
bool infer_image_decoder(ir_ctx *c, ir_node *n) {
    const char *format = ir_attr_string(n, "pixel_format", "RGB");
    bool gray = strcmp(format, "Grayscale") == 0;
    if (!gray && strcmp(format, "RGB") != 0 && strcmp(format, "BGR") != 0)
        return diag_error(&c->diag, n->loc,
                          "attribute 'pixel_format' is '%s', expected RGB, BGR or Grayscale",
                          format);
    if (!infer_expect_rank(c, n, 0, 1)) return false;
    ir_shape s = {3, {ir_dim_unknown(c), ir_dim_unknown(c), ir_dim_const(c, gray ? 1 : 3)}};
    return infer_set_shape(c, n, 0, DT_u8, &s);
}
