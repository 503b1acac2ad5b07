/* See resize.h. */
#include "ir/resize.h"

#include "ir/ctx.h"

#include <math.h>

static const char *read_axes(ir_resize *r, ir_ctx *c, const ir_node *n) {
    uint32_t count;
    const int64_t *axes = ir_attr_ints(n, "axes", &count);
    for (int32_t i = 0; i < r->rank; i++)
        r->place[i] = axes ? -1 : i;
    r->n_axes = axes ? (int32_t)count : r->rank;
    for (uint32_t i = 0; axes && i < count; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + r->rank : axes[i];
        if (axis < 0 || axis >= r->rank || r->place[axis] >= 0)
            return tl_arena_printf(&c->arena, "attribute 'axes' holds %lld, the rank is %d",
                                   (long long)axes[i], r->rank);
        r->place[axis] = (int32_t)i;
    }
    return NULL;
}

/* floor(d * scale): a double is a whole number of parts of a power of two. */
static const ir_dim *scaled(ir_ctx *c, const ir_dim *d, double scale) {
    int exponent;
    int64_t whole = (int64_t)ldexp(frexp(scale, &exponent), 53), parts = 1;
    for (exponent -= 53; exponent < 0 && whole % 2 == 0; exponent++)
        whole /= 2;
    if (exponent < -62 || exponent > 9) return ir_dim_unknown(c);
    if (exponent > 0) whole <<= exponent;
    if (exponent < 0) parts <<= -exponent;
    const ir_dim *product = ir_dim_mul(c, d, ir_dim_const(c, whole));
    return ir_dim_floordiv(c, product, ir_dim_const(c, parts));
}

static void set_scaled(ir_resize *r, const ir_dim *const *scaled) {
    r->by_scales = true;
    for (int32_t i = 0; i < r->rank; i++) {
        bool listed = r->place[i] >= 0;
        r->scale[i] = listed ? NAN : 1;
        r->out[i] = listed ? scaled[i] : r->in[i];
    }
}

static const char *set_by_scales(ir_resize *r, ir_ctx *c, const double *scales) {
    r->by_scales = true;
    for (int32_t i = 0; i < r->rank; i++) {
        r->scale[i] = r->place[i] < 0 ? 1 : scales[r->place[i]];
        if (!(r->scale[i] > 0 && r->scale[i] < 0x1p40))
            return tl_arena_printf(&c->arena, "a scale is %g, expected above 0", r->scale[i]);
        r->out[i] = scaled(c, r->in[i], r->scale[i]);
    }
    return NULL;
}

/* round(in[i] * min or max over k of wanted[k] / in[k]), halves up. */
static const ir_dim *fitted(const ir_resize *r, ir_ctx *c, int32_t i) {
    const ir_dim *best = NULL, *two = ir_dim_const(c, 2);
    for (int32_t k = 0; k < r->rank; k++) {
        if (r->place[k] < 0) continue;
        const ir_dim *twice = ir_dim_mul(c, two, ir_dim_mul(c, r->wanted[k], r->in[i])),
                     *d = ir_dim_floordiv(c, ir_dim_add(c, twice, r->in[k]),
                                          ir_dim_mul(c, two, r->in[k]));
        best = !best                         ? d
               : r->fit == RESIZE_NOT_LARGER ? ir_dim_min(c, best, d)
                                             : ir_dim_max(c, best, d);
    }
    return best;
}

static const char *set_by_sizes(ir_resize *r, ir_ctx *c, const ir_node *n,
                                const ir_dim *const *sizes) {
    const char *policy = ir_attr_string(n, "keep_aspect_ratio_policy", "stretch");
    bool larger = strcmp(policy, "not_larger") == 0, smaller = strcmp(policy, "not_smaller") == 0;
    if (!larger && !smaller && strcmp(policy, "stretch") != 0)
        return tl_arena_printf(&c->arena, "attribute 'keep_aspect_ratio_policy' is '%s'", policy);
    r->fit = larger ? RESIZE_NOT_LARGER : smaller ? RESIZE_NOT_SMALLER : RESIZE_STRETCH;
    for (int32_t i = 0; i < r->rank; i++) {
        r->wanted[i] = r->place[i] < 0 ? r->in[i] : sizes[r->place[i]];
        int64_t size;
        if (ir_dim_is_const(r->wanted[i], &size) && size < 0)
            return tl_arena_printf(&c->arena, "a size is %lld", (long long)size);
    }
    for (int32_t i = 0; i < r->rank; i++)
        r->out[i] = r->fit == RESIZE_STRETCH || r->place[i] < 0 ? r->wanted[i] : fitted(r, c, i);
    return NULL;
}

/* Nothing to do along an axis that keeps its size and its scale, unless a region is cut out of it. */
static bool is_resized(const ir_resize *r, const ir_node *n, int32_t i, const double *roi) {
    bool crops = strcmp(ir_attr_string(n, "coordinate_transformation_mode", "half_pixel"),
                        "tf_crop_and_resize") == 0;
    if (r->place[i] < 0) return false;
    if (crops && !(roi && roi[r->place[i]] == 0 && roi[r->n_axes + r->place[i]] == 1)) return true;
    return r->by_scales ? r->scale[i] != 1 : !ir_dim_equal(r->in[i], r->out[i]);
}

const char *ir_resize_init(ir_resize *r, ir_ctx *c, const ir_node *n, int32_t rank,
                           const ir_dim *const *dims, const ir_resize_lists *lists) {
    *r = (ir_resize){.rank = rank};
    memcpy(r->in, dims, (size_t)rank * sizeof *dims);
    const char *problem = read_axes(r, c, n);
    if (problem) return problem;
    bool by_scales = lists->n_scales > 0;
    int32_t given = by_scales ? lists->n_scales : lists->n_sizes;
    if (by_scales && lists->n_sizes > 0) return "scales and sizes are both given";
    if (given != r->n_axes)
        return tl_arena_printf(&c->arena, "%d %s for %d axes", given,
                               by_scales ? "scales" : "sizes", r->n_axes);
    if (by_scales && !lists->scales)
        set_scaled(r, lists->scaled);
    else
        problem = by_scales ? set_by_scales(r, c, lists->scales)
                            : set_by_sizes(r, c, n, lists->sizes);
    for (int32_t i = 0; !problem && i < rank; i++)
        r->resized[i] = is_resized(r, n, i, lists->roi);
    return problem;
}

int ir_resize_support(const ir_node *n) {
    const char *mode = ir_attr_string(n, "mode", "nearest");
    return strcmp(mode, "linear") == 0 ? 1 : strcmp(mode, "cubic") == 0 ? 2 : 0;
}

const ir_dim *ir_resize_taps(const ir_resize *r, ir_ctx *c, const ir_node *n, int32_t axis) {
    int support = ir_resize_support(n);
    const ir_dim *two = ir_dim_const(c, 2), *least = ir_dim_const(c, support), *reach = least;
    if (!support) return ir_dim_const(c, 1);
    if (!ir_attr_int(n, "antialias", 0)) return ir_dim_mul(c, two, least);
    for (int32_t k = 0; k < r->rank; k++) {
        bool counts = k == axis || (r->fit != RESIZE_STRETCH && r->place[k] >= 0);
        if (!counts) continue;
        const ir_dim *far;
        if (r->by_scales)
            far = ir_dim_const(c, (int64_t)fmin(ceil(support / r->scale[k]), 0x1p31));
        else
            far = ir_dim_ceildiv(c, ir_dim_mul(c, least, r->in[k]),
                                 ir_dim_max(c, r->wanted[k], ir_dim_const(c, 1)));
        reach = ir_dim_max(c, reach, far);
    }
    return ir_dim_mul(c, two, reach);
}
