/* Operators that put elements in other places: Concat, Pad, Tile, DepthToSpace, SpaceToDepth. */
#include "ir/eval/eval_internal.h"

/* ---- Concat -------------------------------------------------------------------------------------------------------- */

/* The shape of the items joined along axis; all other dims must agree. */
static bool concat_shape(ir_eval *e, const ir_node *n, const ir_tensor *const *items,
                         uint32_t count, int32_t axis, ev_shape *s) {
    for (uint32_t i = 1; i < count; i++) {
        ev_shape own = ev_shape_of(items[i]);
        bool fits = own.rank == s->rank && items[i]->type->dtype == items[0]->type->dtype;
        for (int32_t k = 0; fits && k < s->rank; k++)
            fits = k == axis || own.dims[k] == s->dims[k];
        if (!fits)
            return ev_error(e, n, "operand %u %s does not fit %s", i, ev_shape_text(e, &own),
                            ev_shape_text(e, s));
        if (__builtin_add_overflow(s->dims[axis], own.dims[axis], &s->dims[axis]))
            return ev_error(e, n, "too large");
    }
    return true;
}

ir_tensor *ev_concat(ir_eval *e, const ir_node *n, const ir_tensor *const *items, uint32_t count,
                     int64_t wanted_axis) {
    int32_t axis;
    ev_shape s = ev_shape_of(items[0]);
    if (!ev_axis(e, n, wanted_axis, s.rank, &axis) || !concat_shape(e, n, items, count, axis, &s))
        return NULL;
    ir_tensor *y = ev_alloc(e, n, items[0]->type->dtype, &s);
    if (!y) return NULL;
    int64_t src[IR_MAX_RANK], dst[IR_MAX_RANK], at = 0;
    ev_strides(&s, dst);
    for (uint32_t i = 0; i < count; i++) {
        ev_shape own = ev_shape_of(items[i]);
        ev_strides(&own, src);
        ev_copy_nd(y->type->dtype, &own, ir_tensor_data(y), at * dst[axis], dst, items[i]->data, 0,
                   src);
        at += own.dims[axis];
    }
    return y;
}

bool eval_concat(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor **items = TL_NEW_ARRAY(e->arena, const ir_tensor *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!(items[i] = ev_need(e, n, in, i))) return false;
    out[0].tensor = ev_concat(e, n, items, n->n_in, ir_attr_int(n, "axis", 0));
    return out[0].tensor != NULL;
}

/* ---- Pad ----------------------------------------------------------------------------------------------------------- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

/* One axis: a negative pad crops [from, from + n) out of the input first, a positive one then extends that. */
typedef struct pad_axis {
    int64_t before, from, n;
} pad_axis;

static bool pad_mode_of(ir_eval *e, const ir_node *n, pad_mode *mode) {
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const char *name = ir_attr_string(n, "mode", "constant");
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *mode = (pad_mode)i;
        return true;
    }
    return ev_error(e, n, "mode '%s' is not known", name);
}

/* Where element i of the padded axis comes from in the cropped one of n elements; -1: from the constant. */
static int64_t pad_source(pad_mode mode, int64_t i, int64_t n) {
    if (i >= 0 && i < n) return i;
    if (mode == PAD_CONSTANT) return -1;
    if (mode == PAD_EDGE) return i < 0 ? 0 : n - 1;
    if (mode == PAD_WRAP) return ((i % n) + n) % n;
    int64_t period = n > 1 ? 2 * (n - 1) : 1;
    i = ((i % period) + period) % period;
    return i < n ? i : period - i;
}

/* Reads pads (and axes) into axes[] and turns *s into the padded shape. */
static bool read_pads(ir_eval *e, const ir_node *n, const ir_tensor *pads, const ir_tensor *axes,
                      ev_shape *s, pad_axis *out) {
    size_t count, n_axes;
    const int64_t *v = ev_i64s(e, pads, &count), *a = axes ? ev_i64s(e, axes, &n_axes) : NULL;
    if (!a) n_axes = (size_t)s->rank;
    if (count != 2 * n_axes) return ev_error(e, n, "%zu pads for %zu axes", count, n_axes);
    for (int32_t i = 0; i < s->rank; i++)
        out[i] = (pad_axis){.n = s->dims[i]};
    for (size_t i = 0; i < n_axes; i++) {
        int32_t axis;
        if (!ev_axis(e, n, a ? a[i] : (int64_t)i, s->rank, &axis)) return false;
        int64_t before = v[i], after = v[n_axes + i], d = s->dims[axis], length;
        if (__builtin_add_overflow(d, before, &length) ||
            __builtin_add_overflow(length, after, &length) || length < 0)
            return ev_error(e, n, "pads %lld and %lld of a dimension %lld", (long long)before,
                            (long long)after, (long long)d);
        pad_axis *p = &out[axis];
        p->before = before > 0 ? before : 0;
        p->from = before < 0 ? -before : 0;
        p->n = d - p->from - (after < 0 ? -after : 0);
        s->dims[axis] = length;
    }
    return true;
}

/* The input's element for the output's index, or -1. */
static int64_t pad_element(const pad_axis *p, pad_mode mode, const int64_t *index,
                           const int64_t *strides, int32_t rank) {
    int64_t at = 0;
    for (int32_t i = 0; i < rank; i++) {
        int64_t k = p[i].n > 0 ? pad_source(mode, index[i] - p[i].before, p[i].n) : -1;
        if (k < 0) return -1;
        at += (k + p[i].from) * strides[i];
    }
    return at;
}

bool eval_pad(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *pads = ev_need(e, n, in, 1),
                    *constant = ev_tensor(n, in, 2);
    pad_mode mode;
    pad_axis axes[IR_MAX_RANK];
    if (!x || !pads || !pad_mode_of(e, n, &mode)) return false;
    ev_shape from = ev_shape_of(x), s = from;
    if (!read_pads(e, n, pads, ev_tensor(n, in, 3), &s, axes)) return false;
    bool usable = constant && ir_tensor_elements(constant) == 1 &&
                  constant->type->dtype == x->type->dtype;
    if (constant && !usable)
        return ev_error(e, n, "the constant is not one element of the input's type");
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    int64_t strides[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, count = ev_count(&s);
    ev_strides(&from, strides);
    for (int64_t i = 0; i < count; i++, ev_next(&s, index)) {
        int64_t at = pad_element(axes, mode, index, strides, s.rank);
        if (at < 0 && mode != PAD_CONSTANT)
            return ev_error(e, n, "nothing to pad with: a dimension is 0");
        if (at >= 0)
            ev_copy_run(x->type->dtype, ir_tensor_data(y), i, x->data, at, 1);
        else if (constant)
            ev_copy_run(x->type->dtype, ir_tensor_data(y), i, constant->data, 0, 1);
    }
    out[0].tensor = y;
    return true;
}

/* ---- Tile ---------------------------------------------------------------------------------------------------------- */

bool eval_tile(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *repeats = ev_need(e, n, in, 1);
    if (!x || !repeats) return false;
    ev_shape from = ev_shape_of(x), s = from;
    size_t n_repeats;
    const int64_t *r = ev_i64s(e, repeats, &n_repeats);
    if (n_repeats != (size_t)s.rank)
        return ev_error(e, n, "%zu repeats for rank %d", n_repeats, (int)s.rank);
    for (int32_t i = 0; i < s.rank; i++)
        if (r[i] < 0 || __builtin_mul_overflow(s.dims[i], r[i], &s.dims[i]))
            return ev_error(e, n, "repeat %lld is not valid", (long long)r[i]);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    int64_t strides[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, count = ev_count(&s);
    ev_strides(&from, strides);
    for (int64_t i = 0; i < count; i++, ev_next(&s, index)) {
        int64_t at = 0;
        for (int32_t k = 0; k < s.rank; k++)
            at += index[k] % from.dims[k] * strides[k];
        ev_copy_run(x->type->dtype, ir_tensor_data(y), i, x->data, at, 1);
    }
    out[0].tensor = y;
    return true;
}

/* ---- DepthToSpace, SpaceToDepth ------------------------------------------------------------------------------------ */

/* The channel that holds channel c of the block's pixel (dy, dx). DCR (and SpaceToDepth): the pixel is the slower part;
 * CRD: the channel is. */
static int64_t block_channel(bool crd, int64_t channels, int64_t block, int64_t c, int64_t dy,
                             int64_t dx) {
    int64_t pixel = dy * block + dx;
    return crd ? c * block * block + pixel : pixel * channels + c;
}

/* Copies between the deep tensor [n, c*b*b, h, w] and the wide one [n, c, h*b, w*b]. */
static void copy_blocks(ir_dtype t, const ev_shape *wide, int64_t b, bool crd, bool to_wide,
                        void *dst, const void *src) {
    int64_t c_n = wide->dims[1], h = wide->dims[2] / b, w = wide->dims[3] / b,
            index[IR_MAX_RANK] = {0};
    int64_t count = ev_count(wide);
    for (int64_t i = 0; i < count; i++, ev_next(wide, index)) {
        int64_t channel = block_channel(crd, c_n, b, index[1], index[2] % b, index[3] % b);
        int64_t deep = ((index[0] * c_n * b * b + channel) * h + index[2] / b) * w + index[3] / b;
        ev_copy_run(t, dst, to_wide ? i : deep, src, to_wide ? deep : i, 1);
    }
}

static bool read_blocks(ir_eval *e, const ir_node *n, const ir_tensor *x, int64_t *block,
                        ev_shape *s) {
    *s = ev_shape_of(x);
    *block = ir_attr_int(n, "blocksize", 0);
    if (s->rank != 4) return ev_error(e, n, "rank is %d, expected 4", (int)s->rank);
    if (*block < 1 || *block > INT32_MAX)
        return ev_error(e, n, "blocksize is %lld", (long long)*block);
    return true;
}

bool eval_depth_to_space(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    ev_shape s;
    int64_t b;
    if (!x || !read_blocks(e, n, x, &b, &s)) return false;
    if (s.dims[1] % (b * b))
        return ev_error(e, n, "%lld channels are no multiple of %lld", (long long)s.dims[1],
                        (long long)(b * b));
    s = (ev_shape){4, {s.dims[0], s.dims[1] / (b * b), s.dims[2] * b, s.dims[3] * b}};
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    bool crd = strcmp(ir_attr_string(n, "mode", "DCR"), "CRD") == 0;
    copy_blocks(x->type->dtype, &s, b, crd, true, ir_tensor_data(y), x->data);
    out[0].tensor = y;
    return true;
}

bool eval_space_to_depth(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    ev_shape wide;
    int64_t b;
    if (!x || !read_blocks(e, n, x, &b, &wide)) return false;
    if (wide.dims[2] % b || wide.dims[3] % b)
        return ev_error(e, n, "the image is no multiple of the block %lld", (long long)b);
    ev_shape s = {4, {wide.dims[0], wide.dims[1] * b * b, wide.dims[2] / b, wide.dims[3] / b}};
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    copy_blocks(x->type->dtype, &wide, b, false, false, ir_tensor_data(y), x->data);
    out[0].tensor = y;
    return true;
}
