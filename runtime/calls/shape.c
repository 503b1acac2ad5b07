/* Shapes that are data. Each function gets the node's operands, of which those that hold sizes have contents and the others their
 * dimensions alone, and gives numbers: the dimensions of the result, then what else the operator's code wants to know.
 *
 *   Reshape   dims                                  Slice     dims, start and step by axis
 *   Split     the size of each part                 Pad       dims, what is put in front by axis
 *   Reduce    dims, then by axis of the operand: elements kept, elements reduced
 *   Resize    dims, then by axis how many elements of the operand one of the result is made of
 *
 * Wrong contents are an error of this run. */
#include "runtime/calls/call.h"

#include <math.h>

static int64_t *rt_numbers(tlbc_rt_call *c, uint32_t n) {
    tlbc_tensor *t = tlbc_rt_result(c, 0, TLBC_I64, 1, (int64_t[]){n});
    return t ? t->data : NULL;
}

/* The dimensions of a result that need not be anywhere in memory, of as many elements as memory could hold: what follows computes with
 * the products of dimensions. */
static bool rt_checked(tlbc_rt_call *c, const int64_t *dims, uint32_t n) {
    double elements = 1;
    for (uint32_t i = 0; dims && i < n; i++)
        elements *= (double)dims[i];
    if (!dims || elements <= 0x1p46) return dims != NULL;
    tlbc_rt_call_fail(c, "a result of about %.3g elements", elements);
    c->status = TLBC_ERROR_MEMORY;
    return false;
}

static uint32_t rt_count(const tlbc_tensor *t) {
    return t ? (uint32_t)tlbc_rt_elements(t) : 0;
}

/* Operand i lists axes: which of `rank` they are. false after reporting; `given` tells whether there are any. */
static bool rt_axes(tlbc_rt_call *c, uint32_t i, uint32_t rank, bool *is_axis) {
    const tlbc_tensor *t = tlbc_rt_in(c, i);
    for (uint32_t k = 0; k < rank; k++)
        is_axis[k] = false;
    for (uint32_t k = 0; k < rt_count(t); k++) {
        uint32_t axis;
        if (!tlbc_rt_axis(c, tlbc_rt_get_i64(t, k), rank, &axis)) return false;
        if (is_axis[axis]) return tlbc_rt_call_fail(c, "axis %u is given twice", axis);
        is_axis[axis] = true;
    }
    return true;
}

/* ---- Reshape -------------------------------------------------------------------------------------------------------- */

/* The dimension -1, such that all elements have a place. */
static bool rt_infer_dim(tlbc_rt_call *c, int64_t elements, int64_t *dims, uint32_t n,
                         uint32_t at) {
    int64_t rest = 1;
    for (uint32_t i = 0; i < n; i++)
        if (i != at && __builtin_mul_overflow(rest, dims[i], &rest))
            return tlbc_rt_call_fail(c, "the shape overflows");
    if (rest == 0 || elements % rest)
        return tlbc_rt_call_fail(c, "%lld elements do not divide among %lld", (long long)elements,
                                 (long long)rest);
    dims[at] = elements / rest;
    return true;
}

bool tlbc_rt_shape_Reshape(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *shape = c->in[1];
    uint32_t n = rt_count(shape), open = UINT32_MAX;
    bool literal = tlbc_rt_int(c, "allowzero", 0) != 0;
    int64_t *dims = rt_numbers(c, n), elements = tlbc_rt_elements(x), product = 1;
    for (uint32_t i = 0; dims && i < n; i++) {
        dims[i] = tlbc_rt_get_i64(shape, i);
        if (dims[i] == 0 && !literal) {
            if (i >= x->rank) return tlbc_rt_call_fail(c, "0 at place %u copies no dimension", i);
            dims[i] = x->dims[i];
        }
        bool second = dims[i] == -1 && open != UINT32_MAX;
        if (dims[i] < -1 || second)
            return tlbc_rt_call_fail(c, "the shape has %lld at place %u", (long long)dims[i], i);
        if (dims[i] == -1) open = i;
    }
    if (!dims || (open < n && !rt_infer_dim(c, elements, dims, n, open))) return false;
    for (uint32_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(product, dims[i], &product))
            return tlbc_rt_call_fail(c, "the shape overflows");
    if (product == elements) return true;
    return tlbc_rt_call_fail(c, "%lld elements do not fit a shape of %lld", (long long)elements,
                             (long long)product);
}

static bool rt_squeezed(tlbc_rt_call *c, bool *drop) {
    const tlbc_tensor *x = c->in[0];
    if (!rt_axes(c, 1, x->rank, drop)) return false;
    for (uint32_t i = 0; i < x->rank; i++)
        if (drop[i] && x->dims[i] != 1)
            return tlbc_rt_call_fail(c, "dimension %u is %lld, not 1", i, (long long)x->dims[i]);
    return true;
}

bool tlbc_rt_shape_Squeeze(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    bool drop[TLBC_MAX_RANK];
    uint32_t at = 0;
    if (!rt_squeezed(c, drop)) return false;
    int64_t *dims = rt_numbers(c, x->rank - rt_count(c->in[1]));
    for (uint32_t i = 0; dims && i < x->rank; i++)
        if (!drop[i]) dims[at++] = x->dims[i];
    return dims != NULL;
}

bool tlbc_rt_shape_Unsqueeze(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t rank = x->rank + rt_count(c->in[1]), at = 0;
    bool fresh[TLBC_MAX_RANK];
    if (rank > TLBC_MAX_RANK) return tlbc_rt_call_fail(c, "a result of %u dimensions", rank);
    if (!rt_axes(c, 1, rank, fresh)) return false;
    int64_t *dims = rt_numbers(c, rank);
    for (uint32_t i = 0; dims && i < rank; i++)
        dims[i] = fresh[i] ? 1 : x->dims[at++];
    return dims != NULL;
}

/* ---- filling, repeating ----------------------------------------------------------------------------------------------- */

bool tlbc_rt_shape_ConstantOfShape(tlbc_rt_call *c) {
    uint32_t n = rt_count(c->in[0]);
    int64_t *dims = rt_numbers(c, n);
    for (uint32_t i = 0; dims && i < n; i++) {
        dims[i] = tlbc_rt_get_i64(c->in[0], i);
        if (dims[i] < 0) return tlbc_rt_call_fail(c, "dimension %u is %lld", i, (long long)dims[i]);
    }
    return rt_checked(c, dims, n);
}

bool tlbc_rt_shape_Expand(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *shape = c->in[1];
    uint32_t n = rt_count(shape), rank = n > x->rank ? n : x->rank;
    int64_t *dims = rt_numbers(c, rank);
    for (uint32_t i = 1; dims && i <= rank; i++) {
        int64_t a = i <= x->rank ? x->dims[x->rank - i] : 1,
                b = i <= n ? tlbc_rt_get_i64(shape, n - i) : 1;
        if (b < 0 || (a != b && a != 1 && b != 1))
            return tlbc_rt_call_fail(c, "dimension %lld does not expand to %lld", (long long)a,
                                     (long long)b);
        dims[rank - i] = a == 1 ? b : a;
    }
    return rt_checked(c, dims, rank);
}

bool tlbc_rt_shape_Tile(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *repeats = c->in[1];
    int64_t *dims = rt_numbers(c, x->rank);
    if (dims && rt_count(repeats) != x->rank)
        return tlbc_rt_call_fail(c, "%u repeats for %u dimensions", rt_count(repeats), x->rank);
    for (uint32_t i = 0; dims && i < x->rank; i++) {
        int64_t times = tlbc_rt_get_i64(repeats, i);
        if (times < 0 || __builtin_mul_overflow(x->dims[i], times, &dims[i]))
            return tlbc_rt_call_fail(c, "dimension %u repeated %lld times", i, (long long)times);
    }
    return rt_checked(c, dims, x->rank);
}

/* max(ceil((limit - start) / delta), 0) of whole numbers. The distance may need 64 bits without a sign; 128 would be divided by a function
 * of the compiler's library, which a model is not linked with. */
static double whole_steps(int64_t start, int64_t limit, int64_t delta) {
    if (start == limit || (start < limit) != (delta > 0)) return 0;
    uint64_t a = (uint64_t)start, b = (uint64_t)limit, d = (uint64_t)delta;
    uint64_t way = delta > 0 ? b - a : a - b, step = delta > 0 ? d : 0 - d;
    return (double)(way / step + (way % step != 0));
}

/* max(ceil((limit - start) / delta), 0), in the type of the operands */
bool tlbc_rt_shape_Range(tlbc_rt_call *c) {
    const tlbc_tensor *x[3] = {c->in[0], c->in[1], c->in[2]};
    int64_t *dims = rt_numbers(c, 1);
    for (uint32_t i = 0; dims && i < 3; i++)
        if (tlbc_rt_elements(x[i]) != 1)
            return tlbc_rt_call_fail(c, "operand %u is not one element", i);
    if (!dims) return false;
    bool whole = x[0]->dtype == TLBC_I64 || x[0]->dtype == TLBC_I32 || x[0]->dtype == TLBC_I16;
    double start = tlbc_rt_get_f64(x[0], 0), limit = tlbc_rt_get_f64(x[1], 0),
           delta = tlbc_rt_get_f64(x[2], 0), distance = limit - start;
    if (delta == 0) return tlbc_rt_call_fail(c, "the step is 0");
    if (x[0]->dtype == TLBC_F32) distance = (float)distance;
    double length = ceil(distance / delta);
    if (whole)
        length = whole_steps(tlbc_rt_get_i64(x[0], 0), tlbc_rt_get_i64(x[1], 0),
                             tlbc_rt_get_i64(x[2], 0));
    if (isnan(length)) return tlbc_rt_call_fail(c, "the range has no length");
    dims[0] = length > 0 ? (int64_t)fmin(length, 0x1p60) : 0;
    return rt_checked(c, dims, 1);
}

bool tlbc_rt_shape_OneHot(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t axis, at = 0;
    if (tlbc_rt_elements(c->in[1]) != 1) return tlbc_rt_call_fail(c, "depth is not one element");
    int64_t depth = tlbc_rt_get_i64(c->in[1], 0);
    if (depth < 0) return tlbc_rt_call_fail(c, "depth is %lld", (long long)depth);
    if (!tlbc_rt_axis(c, tlbc_rt_int(c, "axis", -1), x->rank + 1, &axis)) return false;
    int64_t *dims = rt_numbers(c, x->rank + 1);
    for (uint32_t i = 0; dims && i <= x->rank; i++)
        dims[i] = i == axis ? depth : x->dims[at++];
    return rt_checked(c, dims, x->rank + 1);
}

bool tlbc_rt_shape_TopK(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t axis;
    if (tlbc_rt_elements(c->in[1]) != 1) return tlbc_rt_call_fail(c, "k is not one element");
    int64_t k = tlbc_rt_get_i64(c->in[1], 0);
    if (!tlbc_rt_axis(c, tlbc_rt_int(c, "axis", -1), x->rank, &axis)) return false;
    if (k < 0 || k > x->dims[axis])
        return tlbc_rt_call_fail(c, "the best %lld of %lld", (long long)k,
                                 (long long)x->dims[axis]);
    int64_t *dims = rt_numbers(c, x->rank);
    for (uint32_t i = 0; dims && i < x->rank; i++)
        dims[i] = i == axis ? k : x->dims[i];
    return dims != NULL;
}

/* ---- Pad, Slice, Split ------------------------------------------------------------------------------------------------- */

bool tlbc_rt_shape_Pad(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *pads = c->in[1], *axes = tlbc_rt_in(c, 3);
    uint32_t n = axes ? rt_count(axes) : x->rank;
    int64_t *out = rt_numbers(c, 2 * x->rank);
    if (out && rt_count(pads) != 2 * n)
        return tlbc_rt_call_fail(c, "%u pads for %u axes", rt_count(pads), n);
    for (uint32_t i = 0; out && i < x->rank; i++)
        out[i] = x->dims[i];
    for (uint32_t i = 0; out && i < n; i++) {
        uint32_t axis = i;
        if (axes && !tlbc_rt_axis(c, tlbc_rt_get_i64(axes, i), x->rank, &axis)) return false;
        int64_t before = tlbc_rt_get_i64(pads, i), after = tlbc_rt_get_i64(pads, n + i);
        bool fits = !__builtin_add_overflow(out[axis], before, &out[axis]) &&
                    !__builtin_add_overflow(out[axis], after, &out[axis]);
        if (!fits || out[axis] < 0)
            return tlbc_rt_call_fail(c, "pads %lld and %lld on a dimension of %lld",
                                     (long long)before, (long long)after, (long long)x->dims[axis]);
        out[x->rank + axis] = before;
    }
    return rt_checked(c, out, x->rank);
}

static int64_t rt_clamp(int64_t v, int64_t low, int64_t high) {
    return v < low ? low : v > high ? high : v;
}

/* Start and length of start:end:step on a dimension of d, by ONNX's rules. */
static int64_t rt_slice_length(int64_t d, int64_t *start, int64_t end, int64_t step) {
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? d - 1 : d;
    *start = rt_clamp(*start < 0 && *start >= -d ? *start + d : *start, 0, high < 0 ? 0 : high);
    end = rt_clamp(end < 0 && end >= -d ? end + d : end, low, high);
    if (d == 0) return 0;
    if (step > 0) return end > *start ? (end - *start - 1) / step + 1 : 0;
    if (step == INT64_MIN) return *start > end;
    return *start > end ? (*start - end - 1) / -step + 1 : 0;
}

bool tlbc_rt_shape_Slice(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *starts = c->in[1], *ends = c->in[2], *axes = tlbc_rt_in(c, 3),
                      *steps = tlbc_rt_in(c, 4);
    uint32_t n = rt_count(starts);
    bool known[TLBC_MAX_RANK];
    int64_t *out = rt_numbers(c, 3 * x->rank);
    if (!out || !rt_axes(c, 3, x->rank, known)) return false;
    if (n > x->rank || rt_count(ends) != n || (axes && rt_count(axes) != n) ||
        (steps && rt_count(steps) != n))
        return tlbc_rt_call_fail(c, "starts, ends, axes and steps are not of one length");
    for (uint32_t i = 0; i < x->rank; i++)
        out[i] = x->dims[i], out[2 * x->rank + i] = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = i;
        int64_t start = tlbc_rt_get_i64(starts, i), step = steps ? tlbc_rt_get_i64(steps, i) : 1;
        if (axes && !tlbc_rt_axis(c, tlbc_rt_get_i64(axes, i), x->rank, &axis)) return false;
        if (step == 0) return tlbc_rt_call_fail(c, "the step is 0");
        out[axis] = rt_slice_length(x->dims[axis], &start, tlbc_rt_get_i64(ends, i), step);
        out[x->rank + axis] = start;
        out[2 * x->rank + axis] = out[axis] > 1 ? step
                                                : 1; /* no step is taken: nothing overflows */
    }
    return true;
}

bool tlbc_rt_shape_Split(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *sizes = c->in[1];
    uint32_t axis, n = rt_count(sizes);
    int64_t *out = rt_numbers(c, n), left;
    if (!out || !tlbc_rt_axis(c, tlbc_rt_int(c, "axis", 0), x->rank, &axis)) return false;
    left = x->dims[axis];
    for (uint32_t i = 0; i < n; i++) {
        out[i] = tlbc_rt_get_i64(sizes, i);
        if (out[i] < 0 || out[i] > left)
            return tlbc_rt_call_fail(c, "part %u is %lld, %lld are left", i, (long long)out[i],
                                     (long long)left);
        left -= out[i];
    }
    return !left || tlbc_rt_call_fail(c, "the parts leave %lld over", (long long)left);
}

/* ---- Resize by scales ------------------------------------------------------------------------------------------------------ */

/* Elements within the filter's reach on both sides, which grows where the axis shrinks and antialias is on. */
static int64_t rt_taps(const tlbc_rt_call *c, double scale) {
    int64_t reach = tlbc_rt_string_is(c, "mode", "linear")  ? 1
                    : tlbc_rt_string_is(c, "mode", "cubic") ? 2
                                                            : 0;
    if (!reach) return 1;
    if (!tlbc_rt_int(c, "antialias", 0) || scale >= 1) return 2 * reach;
    return 2 * (int64_t)fmin(ceil((double)reach / scale), 0x1p31);
}

bool tlbc_rt_shape_Resize(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *scales = c->in[2];
    uint32_t n, rank = x->rank;
    const int64_t *axes = tlbc_rt_ints(c, "axes", &n);
    if (!axes) n = rank;
    if (rt_count(scales) != n)
        return tlbc_rt_call_fail(c, "%u scales for %u axes", rt_count(scales), n);
    int64_t *out = rt_numbers(c, 2 * rank);
    for (uint32_t i = 0; out && i < rank; i++)
        out[i] = x->dims[i], out[rank + i] = rt_taps(c, 1);
    for (uint32_t i = 0; out && i < n; i++) {
        uint32_t axis;
        double scale = tlbc_rt_get_f64(scales, i);
        if (!tlbc_rt_axis(c, axes ? axes[i] : i, rank, &axis)) return false;
        if (!(scale > 0 && scale < 0x1p40)) return tlbc_rt_call_fail(c, "a scale is %g", scale);
        out[axis] = (int64_t)fminl(floorl((long double)x->dims[axis] * scale), 0x1p60L);
        out[rank + axis] = rt_taps(c, scale);
    }
    return rt_checked(c, out, rank);
}

/* ---- reductions ---------------------------------------------------------------------------------------------------------- */

bool tlbc_rt_shape_Reduce(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    bool reduced[TLBC_MAX_RANK], keep = tlbc_rt_int(c, "keepdims", 1) != 0;
    if (!rt_axes(c, 1, x->rank, reduced)) return false;
    bool all = !rt_count(tlbc_rt_in(c, 1)) && !tlbc_rt_int(c, "noop_with_empty_axes", 0);
    uint32_t rank = 0, at = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        reduced[i] = reduced[i] || all;
        rank += keep || !reduced[i];
    }
    int64_t *out = rt_numbers(c, rank + 2 * x->rank);
    for (uint32_t i = 0; out && i < x->rank; i++) {
        if (keep || !reduced[i]) out[at++] = reduced[i] ? 1 : x->dims[i];
        out[rank + i] = reduced[i] ? 1 : x->dims[i];
        out[rank + x->rank + i] = reduced[i] ? x->dims[i] : 1;
    }
    return out != NULL;
}
