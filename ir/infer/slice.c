/* Cutting and joining: Slice, Split, Concat, Pad, Tile.
 *
 * Slice follows ONNX: a negative start or end counts from the end of the axis, both are clamped to it, and the length is
 * max(ceil((end - start) / step), 0). With symbolic sizes this gives, for an axis of size d:
 *     x[:3]  -> min(d, 3)      x[3:]  -> max(d - 3, 0)      x[-3:] -> min(d, 3)      x[::2] -> ceil(d/2) */
#include "ir/infer/infer.h"

/* Exporters write "to the end" as the largest number of either width. */
enum { FAR = INT32_MAX };

typedef struct bound {
    const ir_dim *at;      /* counted from the start, not clamped; NULL = sign not known */
    bool at_start, at_end; /* surely at or before the first element; at or behind the last */
} bound;

static bound read_bound(ir_ctx *c, const ir_dim *v, const ir_dim *size) {
    int64_t k;
    if (ir_dim_is_const(v, &k)) {
        if (k >= FAR) return (bound){size, false, true};
        if (k <= -FAR) return (bound){ir_dim_const(c, 0), true, false};
        const ir_dim *at = k < 0 ? ir_dim_add(c, size, v) : v;
        return (bound){at, k == 0, false};
    }
    if (ir_dim_is_unknown(v)) return (bound){NULL, false, false};
    if (ir_dim_equal(v, size)) return (bound){v, false, true}; /* a size is never below 0 */
    if (ir_dim_lower_bound(v) >= 0) return (bound){v, false, false};
    /* below zero for all values of the symbols */
    const ir_dim *negated = ir_dim_sub(c, ir_dim_const(c, 0), v);
    if (ir_dim_lower_bound(negated) >= 1) return (bound){ir_dim_add(c, size, v), false, false};
    return (bound){NULL, false, false};
}

static const ir_dim *at_least_zero(ir_ctx *c, const ir_dim *d) {
    return ir_dim_max(c, d, ir_dim_const(c, 0));
}

static const ir_dim *ceil_steps(ir_ctx *c, const ir_dim *distance, int64_t step) {
    return at_least_zero(c, ir_dim_ceildiv(c, distance, ir_dim_const(c, step)));
}

/* The distance of two bounds that are clamped to [0, size]: with one of them at an end it is written without a clamp of the
 * other, which simplifies better: size - min(a, size) = max(size - a, 0). */
static const ir_dim *forward_length(ir_ctx *c, bound from, bound to, const ir_dim *size,
                                    int64_t step) {
    const ir_dim *zero = ir_dim_const(c, 0);
    if (from.at_start && to.at_end) return ceil_steps(c, size, step);
    if (to.at_end) { /* the part from `from` on, which is all of it where that lies before the start */
        const ir_dim *rest = ir_dim_sub(c, size, from.at);
        return ceil_steps(c, ir_dim_min(c, rest, size), step);
    }
    const ir_dim *end = ir_dim_min(c, at_least_zero(c, to.at), size);
    const ir_dim *start = from.at_start ? zero : ir_dim_min(c, at_least_zero(c, from.at), size);
    return ceil_steps(c, ir_dim_sub(c, end, start), step);
}

/* Start is clamped to [0, size - 1], end to [-1, size - 1]. */
static const ir_dim *backward_length(ir_ctx *c, bound from, bound to, const ir_dim *size,
                                     int64_t step, bool to_start) {
    const ir_dim *last = ir_dim_sub(c, size, ir_dim_const(c, 1)), *minus_one = ir_dim_const(c, -1);
    const ir_dim *start = from.at_end ? last : ir_dim_min(c, at_least_zero(c, from.at), last);
    const ir_dim *end = to_start ? minus_one : ir_dim_min(c, ir_dim_max(c, to.at, minus_one), last);
    return ceil_steps(c, ir_dim_sub(c, end, start), step);
}

/* "?" where the bounds' signs are not known. */
const ir_dim *infer_slice_length(ir_ctx *c, const ir_dim *size, const ir_dim *start,
                                 const ir_dim *end, int64_t step) {
    int64_t k;
    bound from = read_bound(c, start, size), to = read_bound(c, end, size);
    if (!from.at || !to.at || ir_dim_is_unknown(size)) return ir_dim_unknown(c);
    if (step > 0) return forward_length(c, from, to, size, step);
    bool to_start = ir_dim_is_const(end, &k) && k <= -FAR;
    return backward_length(c, from, to, size, step, to_start);
}

/* The values of starts, ends, axes or steps; where omitted 0, 1, 2... or 1. */
static int32_t slice_operand(ir_ctx *c, const ir_node *n, uint32_t i, int64_t count,
                             const ir_dim **out) {
    if (ir_in(n, i)) return infer_in_dims(c, n, i, out);
    for (int64_t k = 0; k < count; k++)
        out[k] = ir_dim_const(c, i == 3 ? k : 1);
    return (int32_t)count;
}

/* Axes that are known; all others are left to the data. */
static bool slice_axes(ir_ctx *c, ir_node *n, ir_shape *s, int32_t count, const int32_t *axes) {
    const ir_dim *starts[IR_MAX_KNOWN], *ends[IR_MAX_KNOWN], *steps[IR_MAX_KNOWN];
    bool bounded = infer_in_dims(c, n, 1, starts) == count && infer_in_dims(c, n, 2, ends) == count;
    bool stepped = slice_operand(c, n, 4, count, steps) == count;
    for (int32_t i = 0; i < count; i++) {
        int64_t step;
        const ir_dim **d = &s->dims[axes[i]];
        if (!stepped || !ir_dim_is_const(steps[i], &step)) {
            *d = ir_dim_unknown(c);
            continue;
        }
        if (step == 0) return infer_error(c, n, 4, "step is 0, expected another");
        *d = bounded ? infer_slice_length(c, *d, starts[i], ends[i], step) : ir_dim_unknown(c);
    }
    return true;
}

bool infer_slice(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    if (!ir_type_is_ranked(t)) return infer_set_unranked(c, n, 0, t->dtype);
    ir_shape s = infer_in_shape(n, 0);
    int32_t axes[IR_MAX_RANK], n_axes;
    infer_answer known = INFER_KNOWN;
    for (uint32_t i = 2; i < n->n_in; i++) {
        int64_t x = infer_in_length(n, 1), y = infer_in_length(n, i);
        if (ir_in(n, i) && x >= 0 && y >= 0 && x != y)
            return infer_error(c, n, i, "%lld elements, expected %lld as in 'starts'", (long long)y,
                               (long long)x);
    }
    if (ir_in(n, 3)) {
        known = infer_in_axes(c, n, 3, s.rank, axes, &n_axes);
    } else {
        n_axes = (int32_t)infer_in_length(n, 1);
        if (n_axes > s.rank)
            return infer_error(c, n, 1, "%d axes, expected %d at most", n_axes, s.rank);
        for (int32_t i = 0; i < n_axes; i++)
            axes[i] = i;
    }
    if (known == INFER_ERROR) return false;
    if (known == INFER_UNKNOWN || n_axes < 0) return infer_set_rank(c, n, 0, t->dtype, t->rank);
    return slice_axes(c, n, &s, n_axes, axes) && infer_set_shape(c, n, 0, t->dtype, &s);
}

/* ---- Split -------------------------------------------------------------------------------------------------------- */

static bool check_split(ir_ctx *c, const ir_node *n, const ir_dim *const *sizes,
                        const ir_dim *size) {
    int64_t sum = 0, part, total;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!ir_dim_is_const(sizes[i], &part)) return true;
        if (part < 0)
            return infer_error(c, n, 1, "part %u is %lld, expected 0 or more", i, (long long)part);
        if (__builtin_add_overflow(sum, part, &sum))
            return infer_error(c, n, 1, "the parts' sum overflows");
    }
    if (!ir_dim_is_const(size, &total) || sum == total) return true;
    return infer_error(c, n, 1, "the parts' sum is %lld, expected %lld", (long long)sum,
                       (long long)total);
}

/* Parts of equal size; what does not divide makes the last one smaller. */
static void equal_parts(ir_ctx *c, const ir_node *n, const ir_dim *size, const ir_dim **sizes) {
    const ir_dim *count = ir_dim_const(c, n->n_out), *part = ir_dim_ceildiv(c, size, count);
    const ir_dim *before = ir_dim_mul(c, part, ir_dim_const(c, (int64_t)n->n_out - 1));
    for (uint32_t i = 0; i < n->n_out; i++)
        sizes[i] = part;
    sizes[n->n_out - 1] = at_least_zero(c, ir_dim_sub(c, size, before));
}

static bool split_sizes(ir_ctx *c, const ir_node *n, const ir_dim *size, const ir_dim **sizes) {
    const ir_dim *given[IR_MAX_KNOWN];
    int64_t length = infer_in_length(n, 1), parts = ir_attr_int(n, "num_outputs", n->n_out);
    if (!ir_in(n, 1)) {
        if (parts != n->n_out)
            return diag_error(&c->diag, n->loc, "attribute 'num_outputs' is %lld, expected %u",
                              (long long)parts, n->n_out);
        equal_parts(c, n, size, sizes);
        return true;
    }
    if (length >= 0 && length != n->n_out)
        return infer_error(c, n, 1, "%lld parts, expected %u as there are outputs",
                           (long long)length, n->n_out);
    bool known = infer_in_dims(c, n, 1, given) == (int32_t)n->n_out;
    for (uint32_t i = 0; i < n->n_out; i++)
        sizes[i] = known ? given[i] : ir_dim_unknown(c);
    return check_split(c, n, sizes, size);
}

bool infer_split(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const ir_dim **sizes = TL_NEW_ARRAY(&c->arena, const ir_dim *, n->n_out);
    int32_t axis = 0;
    ir_shape s = {.rank = -1};
    if (infer_is_ranked(n, 0)) {
        s = infer_in_shape(n, 0);
        if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), s.rank, &axis)) return false;
    }
    if (!split_sizes(c, n, s.rank < 0 ? ir_dim_unknown(c) : s.dims[axis], sizes)) return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (s.rank >= 0) s.dims[axis] = sizes[i];
        if (!infer_set_shape(c, n, i, dtype, &s)) return false;
    }
    return true;
}

/* ---- Concat, Pad, Tile ------------------------------------------------------------------------------------------ */

/* Of two dims that are equal in every valid run the one that says more. */
static const ir_dim *better(const ir_dim *a, const ir_dim *b) {
    if (ir_dim_is_const(a, NULL)) return a;
    return ir_dim_is_unknown(a) || ir_dim_is_const(b, NULL) ? b : a;
}

bool infer_concat(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    ir_shape s = {.rank = -1};
    bool all = true;
    int32_t axis = 0;
    const ir_dim *sum = ir_dim_const(c, 0);
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!ir_in(n, i)) continue;
        if (!infer_is_ranked(n, i)) {
            all = false;
            continue;
        }
        if (s.rank < 0) s = infer_in_shape(n, i);
        if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), s.rank, &axis) ||
            !infer_expect_rank(c, n, i, s.rank))
            return false;
        ir_shape t = infer_in_shape(n, i);
        sum = ir_dim_add(c, sum, t.dims[axis]);
        for (int32_t k = 0; k < s.rank; k++) {
            if (k != axis && !infer_expect_dim(c, n, i, k, s.dims[k])) return false;
            s.dims[k] = better(s.dims[k], t.dims[k]);
        }
    }
    if (s.rank < 0) return infer_set_unranked(c, n, 0, dtype);
    s.dims[axis] = all ? sum : ir_dim_unknown(c);
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* Operand 1 holds what is added (or, below zero, cut) in front along each axis, then what is added behind. */
bool infer_pad(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape s = infer_in_shape(n, 0);
    int32_t axes[IR_MAX_RANK], count = s.rank;
    for (int32_t i = 0; i < s.rank; i++)
        axes[i] = i;
    infer_answer known = ir_in(n, 3) ? infer_in_axes(c, n, 3, s.rank, axes, &count) : INFER_KNOWN;
    if (known == INFER_ERROR) return false;
    if (known == INFER_UNKNOWN) return infer_set_rank(c, n, 0, dtype, s.rank);
    const ir_dim *pads[IR_MAX_KNOWN];
    int64_t length = infer_in_length(n, 1);
    if (length >= 0 && length != 2 * count)
        return infer_error(c, n, 1, "%lld elements, expected %d, two for each axis",
                           (long long)length, 2 * count);
    bool pads_known = infer_in_dims(c, n, 1, pads) == 2 * count;
    for (int32_t i = 0; i < count; i++) {
        const ir_dim **d = &s.dims[axes[i]];
        *d = pads_known ? ir_dim_add(c, *d, ir_dim_add(c, pads[i], pads[count + i]))
                        : ir_dim_unknown(c);
    }
    return infer_set_shape(c, n, 0, dtype, &s);
}

bool infer_tile(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape s = infer_in_shape(n, 0);
    const ir_dim *repeats[IR_MAX_KNOWN];
    int64_t length = infer_in_length(n, 1);
    if (length >= 0 && length != s.rank)
        return infer_error(c, n, 1, "%lld elements, expected %d as the rank", (long long)length,
                           s.rank);
    if (infer_in_dims(c, n, 1, repeats) != s.rank) return infer_set_rank(c, n, 0, dtype, s.rank);
    for (int32_t i = 0; i < s.rank; i++)
        s.dims[i] = ir_dim_mul(c, s.dims[i], repeats[i]);
    return infer_set_shape(c, n, 0, dtype, &s);
}
