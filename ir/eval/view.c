/* Operators that move no data or pick a strided part: Identity, Reshape and its kin, Transpose, Expand, Slice, Split. */
#include "ir/eval/eval_internal.h"

bool eval_identity(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    if (!in[0]) return ev_error(e, n, "operand 0 is missing");
    out[0] = *in[0];
    return true;
}

bool eval_guard(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *condition = ev_need(e, n, in, 1);
    int64_t holds;
    if (!condition || !ev_scalar_i64(e, n, condition, &holds)) return false;
    if (!holds) return ev_error(e, n, "%s", ir_guard_message(n));
    return eval_identity(e, n, in, out);
}

/* ---- Reshape, Flatten, Squeeze, Unsqueeze ------------------------------------------------------------------------- */

/* 0 copies the input's dimension (unless allowzero), one -1 takes what is left. Copied dims are on both sides and do not take
 * part in that division: [0,-1] of an empty [0,3,4] is [0,12], as it is for any other size. */
static bool shape_reshape(ir_eval *e, const ir_node *n, const ir_tensor *x, const ir_tensor *wanted,
                          ev_shape *s) {
    ev_shape from = ev_shape_of(x);
    size_t count;
    const int64_t *dims = ev_i64s(e, wanted, &count);
    bool allow_zero = ir_attr_int(n, "allowzero", 0) != 0;
    int64_t known = 1, open_axes = 0, left[IR_MAX_RANK];
    if (count > IR_MAX_RANK) return ev_error(e, n, "%zu dimensions are too many", count);
    memcpy(left, from.dims, sizeof left);
    s->rank = (int32_t)count;
    for (int32_t i = 0; i < s->rank; i++) {
        bool copied = dims[i] == 0 && !allow_zero;
        if (copied && i >= from.rank)
            return ev_error(e, n, "dimension %d to copy is not there", (int)i);
        if (dims[i] < -1 || (dims[i] == -1 && open_axes++))
            return ev_error(e, n, "the shape wanted is not valid");
        s->dims[i] = copied ? from.dims[i] : dims[i];
        if (copied)
            left[i] = 1;
        else if (dims[i] > 0 && __builtin_mul_overflow(known, dims[i], &known))
            return ev_error(e, n, "too large");
        else if (dims[i] == 0)
            known = 0;
    }
    memcpy(from.dims, left, sizeof left);
    if (open_axes && known == 0)
        return ev_error(e, n, "a dimension of -1 beside one of 0 has no size");
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dims[i] == -1) s->dims[i] = ev_count(&from) / known;
    return true;
}

static bool shape_flatten(ir_eval *e, const ir_node *n, const ir_tensor *x, const ir_tensor *unused,
                          ev_shape *s) {
    (void)unused;
    ev_shape from = ev_shape_of(x);
    int64_t axis = ir_attr_int(n, "axis", 1);
    if (axis < -from.rank || axis > from.rank)
        return ev_error(e, n, "axis %lld is outside", (long long)axis);
    if (axis < 0) axis += from.rank;
    *s = (ev_shape){
        2, {ev_product(&from, 0, (int32_t)axis), ev_product(&from, (int32_t)axis, from.rank)}};
    return true;
}

/* Marks the axes listed (negative ones count from the end); reports one outside or listed twice. */
static bool mark_axes(ir_eval *e, const ir_node *n, const ir_tensor *axes, int32_t rank,
                      bool *marked) {
    size_t count;
    const int64_t *v = ev_i64s(e, axes, &count);
    for (size_t i = 0; i < count; i++) {
        int32_t axis;
        if (!ev_axis(e, n, v[i], rank, &axis)) return false;
        if (marked[axis]) return ev_error(e, n, "axis %d is listed twice", (int)axis);
        marked[axis] = true;
    }
    return true;
}

static bool shape_squeeze(ir_eval *e, const ir_node *n, const ir_tensor *x, const ir_tensor *axes,
                          ev_shape *s) {
    ev_shape from = ev_shape_of(x);
    bool drop[IR_MAX_RANK] = {0};
    if (axes && !mark_axes(e, n, axes, from.rank, drop)) return false;
    *s = (ev_shape){0};
    for (int32_t i = 0; i < from.rank; i++) {
        if (drop[i] && from.dims[i] != 1)
            return ev_error(e, n, "dimension %d is %lld, not 1", (int)i, (long long)from.dims[i]);
        if (!axes) drop[i] = from.dims[i] == 1;
        if (!drop[i]) s->dims[s->rank++] = from.dims[i];
    }
    return true;
}

static bool shape_unsqueeze(ir_eval *e, const ir_node *n, const ir_tensor *x, const ir_tensor *axes,
                            ev_shape *s) {
    ev_shape from = ev_shape_of(x);
    bool added[IR_MAX_RANK] = {0};
    size_t rank = (size_t)from.rank + ir_tensor_elements(axes);
    if (rank > IR_MAX_RANK) return ev_error(e, n, "%zu dimensions are too many", rank);
    s->rank = (int32_t)rank;
    if (!mark_axes(e, n, axes, s->rank, added)) return false;
    for (int32_t i = 0, k = 0; i < s->rank; i++)
        s->dims[i] = added[i] ? 1 : from.dims[k++];
    return true;
}

bool eval_reshape(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *how = ev_tensor(n, in, 1);
    ev_shape s;
    if (!x) return false;
    if (!how && (n->op == OP_Reshape || n->op == OP_Unsqueeze))
        return ev_error(e, n, "operand 1 is missing");
    bool (*rule)(ir_eval *, const ir_node *, const ir_tensor *, const ir_tensor *,
                 ev_shape *) = n->op == OP_Flatten   ? shape_flatten
                               : n->op == OP_Squeeze ? shape_squeeze
                                                     : shape_unsqueeze;
    if (n->op == OP_Reshape) rule = shape_reshape;
    if (!rule(e, n, x, how, &s)) return false;
    ev_shape from = ev_shape_of(x);
    if (ev_count(&s) != ev_count(&from))
        return ev_error(e, n, "%s cannot become %s", ev_shape_text(e, &from), ev_shape_text(e, &s));
    out[0].tensor = ev_alias(e, x, &s);
    return true;
}

/* ---- Transpose, Expand --------------------------------------------------------------------------------------------- */

/* Attribute perm, or the reversed order; false after reporting what is not a permutation. */
static bool read_perm(ir_eval *e, const ir_node *n, int32_t rank, int32_t *perm) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(n, "perm", &count);
    bool seen[IR_MAX_RANK] = {0};
    if (v && count != (uint32_t)rank)
        return ev_error(e, n, "perm has %u entries, the rank is %d", count, (int)rank);
    for (int32_t i = 0; i < rank; i++) {
        if (!ev_axis(e, n, v ? v[i] : rank - 1 - i, rank, &perm[i])) return false;
        if (seen[perm[i]]) return ev_error(e, n, "perm names axis %d twice", (int)perm[i]);
        seen[perm[i]] = true;
    }
    return true;
}

bool eval_transpose(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape from = ev_shape_of(x), s = {.rank = from.rank};
    int32_t perm[IR_MAX_RANK];
    int64_t own[IR_MAX_RANK], src[IR_MAX_RANK], dst[IR_MAX_RANK];
    if (!read_perm(e, n, from.rank, perm)) return false;
    ev_strides(&from, own);
    for (int32_t i = 0; i < s.rank; i++) {
        s.dims[i] = from.dims[perm[i]];
        src[i] = own[perm[i]];
    }
    ev_strides(&s, dst);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    ev_copy_nd(x->type->dtype, &s, ir_tensor_data(y), 0, dst, x->data, 0, src);
    out[0].tensor = y;
    return true;
}

bool eval_expand(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *shape = ev_need(e, n, in, 1);
    if (!x || !shape) return false;
    ev_shape from = ev_shape_of(x), s = {0};
    size_t count;
    const int64_t *dims = ev_i64s(e, shape, &count);
    if (count > IR_MAX_RANK) return ev_error(e, n, "%zu dimensions are too many", count);
    s.rank = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        s.dims[i] = dims[i];
    if (!ev_broadcast(e, n, &s, &from)) return false;
    int64_t src[IR_MAX_RANK], dst[IR_MAX_RANK];
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    ev_broadcast_strides(&from, &s, src);
    ev_strides(&s, dst);
    ev_copy_nd(x->type->dtype, &s, ir_tensor_data(y), 0, dst, x->data, 0, src);
    out[0].tensor = y;
    return true;
}

/* ---- Slice --------------------------------------------------------------------------------------------------------- */

static int64_t clamp(int64_t v, int64_t low, int64_t high) {
    return v < low ? low : v > high ? high : v;
}

/* The first element and the number of elements of start:end:step along a dimension of d. INT64_MIN and MAX are legal. */
static int64_t slice_range(int64_t d, int64_t *start, int64_t end, int64_t step) {
    int64_t first = *start < 0 ? *start + d : *start, last = end < 0 ? end + d : end;
    uint64_t width = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
    first = step > 0 ? clamp(first, 0, d) : clamp(first, 0, d - 1);
    last = step > 0 ? clamp(last, 0, d) : clamp(last, -1, d - 1);
    *start = first;
    int64_t span = step > 0 ? last - first : first - last;
    return d && span > 0 ? (int64_t)(((uint64_t)span - 1) / width + 1) : 0;
}

typedef struct slice_spec {
    size_t n;
    const int64_t *starts, *ends, *axes, *steps; /* axes, steps: NULL = 0, 1, 2, … and 1 */
} slice_spec;

static bool read_slice(ir_eval *e, const ir_node *n, const ir_datum *const *in, slice_spec *p) {
    const ir_tensor *t[5];
    size_t counts[5];
    const int64_t *v[5] = {0};
    for (uint32_t i = 1; i < 5; i++) {
        t[i] = ev_tensor(n, in, i);
        if (!t[i] && i < 3) return ev_error(e, n, "operand %u is missing", i);
        if (t[i]) v[i] = ev_i64s(e, t[i], &counts[i]);
        if (t[i] && counts[i] != counts[1])
            return ev_error(e, n, "operands 1 and %u differ in length", i);
    }
    *p = (slice_spec){counts[1], v[1], v[2], v[3], v[4]};
    return true;
}

bool eval_slice(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    slice_spec p;
    if (!x || !read_slice(e, n, in, &p)) return false;
    ev_shape s = ev_shape_of(x);
    int64_t src[IR_MAX_RANK], dst[IR_MAX_RANK], at = 0;
    ev_strides(&s, src);
    bool seen[IR_MAX_RANK] = {0};
    for (size_t i = 0; i < p.n; i++) {
        int32_t axis;
        int64_t start = p.starts[i], step = p.steps ? p.steps[i] : 1;
        if (!ev_axis(e, n, p.axes ? p.axes[i] : (int64_t)i, s.rank, &axis)) return false;
        if (seen[axis]) return ev_error(e, n, "axis %d is listed twice", (int)axis);
        if (step == 0) return ev_error(e, n, "a step of 0");
        seen[axis] = true;
        s.dims[axis] = slice_range(s.dims[axis], &start, p.ends[i], step);
        at += s.dims[axis] ? start * src[axis] : 0;
        src[axis] = s.dims[axis] > 1 ? src[axis] * step : 0;
    }
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    ev_strides(&s, dst);
    ev_copy_nd(x->type->dtype, &s, ir_tensor_data(y), 0, dst, x->data, at, src);
    out[0].tensor = y;
    return true;
}

/* ---- Split --------------------------------------------------------------------------------------------------------- */

/* Lengths of the parts: operand 1, or equal ones of which the last may be shorter. */
static const int64_t *split_lengths(ir_eval *e, const ir_node *n, const ir_tensor *split,
                                    int64_t d) {
    size_t count;
    if (split) {
        const int64_t *given = ev_i64s(e, split, &count);
        if (count != n->n_out)
            return ev_error(e, n, "%zu lengths for %u results", count, n->n_out), NULL;
        return given;
    }
    int64_t *v = TL_NEW_ARRAY(e->arena, int64_t, n->n_out + 1);
    int64_t each = n->n_out ? (d + n->n_out - 1) / n->n_out : 0, rest = d - each * (n->n_out - 1);
    if (rest < 0)
        return ev_error(e, n, "%lld elements in %u parts of %lld", (long long)d, n->n_out,
                        (long long)each),
               NULL;
    for (uint32_t i = 0; i < n->n_out; i++)
        v[i] = i + 1 < n->n_out ? each : rest;
    return v;
}

bool eval_split(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    int32_t axis;
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (!ev_axis(e, n, ir_attr_int(n, "axis", 0), s.rank, &axis)) return false;
    int64_t d = s.dims[axis], at = 0, src[IR_MAX_RANK], dst[IR_MAX_RANK];
    const int64_t *lengths = split_lengths(e, n, ev_tensor(n, in, 1), d);
    ev_strides(&s, src);
    for (uint32_t i = 0; lengths && i < n->n_out; i++) {
        if (lengths[i] < 0 || lengths[i] > d - at)
            return ev_error(e, n, "the parts exceed the dimension %lld", (long long)d);
        s.dims[axis] = lengths[i];
        ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
        if (!y) return false;
        ev_strides(&s, dst);
        ev_copy_nd(x->type->dtype, &s, ir_tensor_data(y), 0, dst, x->data, at * src[axis], src);
        out[i].tensor = y;
        at += lengths[i];
    }
    if (lengths && at != d)
        return ev_error(e, n, "the parts add up to %lld, the dimension is %lld", (long long)at,
                        (long long)d);
    return lengths != NULL;
}
