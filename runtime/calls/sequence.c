/* Sequences and optionals: values that hold values. Items are shared, never copied. */
#include "runtime/calls/call.h"

#include <string.h>

static bool rt_is(tlbc_rt_call *c, uint32_t i, tlbc_dtype kind) {
    if (tlbc_rt_in(c, i) && c->in[i]->dtype == kind) return true;
    return tlbc_rt_call_fail(c, "operand %u is not %s", i,
                             kind == TLBC_SEQUENCE ? "a sequence" : "an optional");
}

static const tlbc_tensor *rt_items(const tlbc_tensor *s) {
    return s->data;
}

/* Operand i as a position in [0, limit); `fallback` where omitted. */
static bool rt_position(tlbc_rt_call *c, uint32_t i, int64_t count, int64_t limit, int64_t fallback,
                        int64_t *position) {
    const tlbc_tensor *t = tlbc_rt_in(c, i);
    if (t && tlbc_rt_elements(t) != 1)
        return tlbc_rt_call_fail(c, "the position is not one element");
    int64_t v = t ? tlbc_rt_get_i64(t, 0) : fallback;
    if (v < -count || v >= limit)
        return tlbc_rt_call_fail(c, "position %lld in a sequence of %lld", (long long)v,
                                 (long long)count);
    *position = v < 0 ? v + count : v;
    return true;
}

bool tlbc_rt_op_SequenceEmpty(tlbc_rt_call *c) {
    return tlbc_rt_new_list(c, &c->out[0], TLBC_SEQUENCE, 0) != NULL;
}

bool tlbc_rt_op_SequenceConstruct(tlbc_rt_call *c) {
    tlbc_tensor *items = tlbc_rt_new_list(c, &c->out[0], TLBC_SEQUENCE, c->n_in);
    for (uint32_t i = 0; items && i < c->n_in; i++)
        items[i] = *c->in[i];
    return items != NULL;
}

bool tlbc_rt_op_SequenceInsert(tlbc_rt_call *c) {
    const tlbc_tensor *s = c->in[0];
    int64_t at;
    if (!rt_is(c, 0, TLBC_SEQUENCE)) return false;
    int64_t n = s->dims[0];
    if (!rt_position(c, 2, n, n + 1, n, &at)) return false;
    tlbc_tensor *items = tlbc_rt_new_list(c, &c->out[0], TLBC_SEQUENCE, n + 1);
    for (int64_t i = 0; items && i < n; i++)
        items[i + (i >= at)] = rt_items(s)[i];
    if (items) items[at] = *c->in[1];
    return items != NULL;
}

bool tlbc_rt_op_SequenceErase(tlbc_rt_call *c) {
    const tlbc_tensor *s = c->in[0];
    int64_t at;
    if (!rt_is(c, 0, TLBC_SEQUENCE)) return false;
    int64_t n = s->dims[0];
    if (!rt_position(c, 1, n, n, -1, &at)) return false;
    tlbc_tensor *items = tlbc_rt_new_list(c, &c->out[0], TLBC_SEQUENCE, n - 1);
    for (int64_t i = 0; items && i < n; i++)
        if (i != at) items[i - (i > at)] = rt_items(s)[i];
    return items != NULL;
}

bool tlbc_rt_op_SequenceAt(tlbc_rt_call *c) {
    int64_t at;
    if (!rt_is(c, 0, TLBC_SEQUENCE) ||
        !rt_position(c, 1, c->in[0]->dims[0], c->in[0]->dims[0], 0, &at))
        return false;
    c->out[0] = rt_items(c->in[0])[at];
    return true;
}

bool tlbc_rt_op_SequenceLength(tlbc_rt_call *c) {
    tlbc_tensor *y = rt_is(c, 0, TLBC_SEQUENCE) ? tlbc_rt_result(c, 0, TLBC_I64, 0, NULL) : NULL;
    if (y) *(int64_t *)y->data = c->in[0]->dims[0];
    return y != NULL;
}

/* ---- between tensors and sequences --------------------------------------------------------------------------------- */

/* The lengths of the parts. Operand 1: a scalar (all of that length, the last may be shorter), a list, or omitted (1 each). */
static int64_t *rt_part_lengths(tlbc_rt_call *c, int64_t d, int64_t *count) {
    const tlbc_tensor *split = tlbc_rt_in(c, 1);
    if (split && split->rank > 0) {
        int64_t left = d;
        *count = tlbc_rt_elements(split);
        int64_t *v = tlbc_rt_alloc(c, (size_t)*count, sizeof *v);
        for (int64_t i = 0; v && i < *count; i++) {
            v[i] = tlbc_rt_get_i64(split, i);
            if (v[i] < 0 || v[i] > left)
                return tlbc_rt_call_fail(c, "the parts exceed the dimension %lld", (long long)d),
                       NULL;
            left -= v[i];
        }
        if (!left) return v;
        return tlbc_rt_call_fail(c, "the parts do not fill the dimension %lld", (long long)d), NULL;
    }
    int64_t each = split ? tlbc_rt_get_i64(split, 0) : 1;
    if (each < 1) return tlbc_rt_call_fail(c, "parts of length %lld", (long long)each), NULL;
    *count = d / each + (d % each != 0);
    int64_t *v = tlbc_rt_alloc(c, (size_t)*count, sizeof *v);
    for (int64_t i = 0; v && i < *count; i++, d -= each)
        v[i] = d < each ? d : each;
    return v;
}

static void rt_drop_axis(tlbc_tensor *t, uint32_t axis) {
    for (uint32_t i = axis; i + 1 < t->rank; i++)
        t->dims[i] = t->dims[i + 1];
    t->rank--;
}

/* Copies [at, at + length) along the axis of x. */
static bool rt_take_part(tlbc_rt_call *c, const tlbc_tensor *x, uint32_t axis, int64_t at,
                         int64_t length, tlbc_tensor *part) {
    tlbc_tensor shape = *x;
    int64_t d = x->dims[axis], inner = tlbc_rt_product(x, axis + 1, x->rank),
            outer = tlbc_rt_product(x, 0, axis);
    shape.dims[axis] = length;
    if (!tlbc_rt_new_tensor(c, part, x->dtype, x->rank, shape.dims)) return false;
    for (int64_t o = 0; part->bytes && o < outer; o++)
        tlbc_rt_copy(x->dtype, part->data, o * length * inner, x->data, (o * d + at) * inner,
                     length * inner);
    return true;
}

bool tlbc_rt_op_SplitToSequence(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t axis;
    int64_t count, at = 0;
    if (!tlbc_rt_axis(c, tlbc_rt_int(c, "axis", 0), x->rank, &axis)) return false;
    const int64_t *lengths = rt_part_lengths(c, x->dims[axis], &count);
    tlbc_tensor *items = lengths ? tlbc_rt_new_list(c, &c->out[0], TLBC_SEQUENCE, count) : NULL;
    if (!items) return false;
    bool drop = !tlbc_rt_in(c, 1) && !tlbc_rt_int(c, "keepdims", 1);
    for (int64_t i = 0; i < count; i++) {
        if (!rt_take_part(c, x, axis, at, lengths[i], &items[i])) return false;
        if (drop) rt_drop_axis(&items[i], axis);
        at += lengths[i];
    }
    return true;
}

/* Whether the item joins the first one along `axis` (or along a new axis). */
static bool rt_item_fits(const tlbc_tensor *item, const tlbc_tensor *first, uint32_t axis,
                         bool fresh) {
    if (item->dtype != first->dtype || item->rank != first->rank) return false;
    for (uint32_t i = 0; i < item->rank; i++)
        if (item->dims[i] != first->dims[i] && (fresh || i != axis)) return false;
    return true;
}

/* The shape of all items joined. */
static bool rt_joined_shape(tlbc_rt_call *c, uint32_t axis, bool fresh, tlbc_tensor *y) {
    const tlbc_tensor *items = rt_items(c->in[0]);
    int64_t n = c->in[0]->dims[0], length = 0;
    *y = items[0];
    for (int64_t i = 0; i < n; i++) {
        if (!rt_item_fits(&items[i], &items[0], axis, fresh))
            return tlbc_rt_call_fail(c, "item %lld does not fit item 0", (long long)i);
        length += fresh ? 1 : items[i].dims[axis];
    }
    if (fresh) {
        memmove(&y->dims[axis + 1], &y->dims[axis], (y->rank - axis) * sizeof *y->dims);
        y->rank++;
    }
    y->dims[axis] = length;
    return true;
}

bool tlbc_rt_op_ConcatFromSequence(tlbc_rt_call *c) {
    const tlbc_tensor *s = c->in[0];
    bool fresh = tlbc_rt_int(c, "new_axis", 0) != 0;
    uint32_t axis;
    tlbc_tensor shape;
    if (!rt_is(c, 0, TLBC_SEQUENCE)) return false;
    if (!s->dims[0]) return tlbc_rt_call_fail(c, "the sequence is empty");
    uint32_t rank = rt_items(s)[0].rank + fresh;
    if (rank > TLBC_MAX_RANK) return tlbc_rt_call_fail(c, "too many dimensions");
    if (!tlbc_rt_axis(c, tlbc_rt_int(c, "axis", 0), rank, &axis)) return false;
    if (!rt_joined_shape(c, axis, fresh, &shape)) return false;
    tlbc_tensor *y = tlbc_rt_result(c, 0, shape.dtype, shape.rank, shape.dims);
    if (!y) return false;
    int64_t inner = tlbc_rt_product(y, axis + 1, rank), outer = tlbc_rt_product(y, 0, axis), at = 0;
    for (int64_t i = 0; y->bytes && i < s->dims[0]; i++) {
        const tlbc_tensor *t = &rt_items(s)[i];
        int64_t length = fresh ? 1 : t->dims[axis];
        for (int64_t o = 0; o < outer; o++)
            tlbc_rt_copy(y->dtype, y->data, (o * y->dims[axis] + at) * inner, t->data,
                         o * length * inner, length * inner);
        at += length;
    }
    return true;
}

/* ---- optionals --------------------------------------------------------------------------------------------------------- */

bool tlbc_rt_op_Optional(tlbc_rt_call *c) {
    const tlbc_tensor *x = tlbc_rt_in(c, 0);
    tlbc_tensor *item = tlbc_rt_new_list(c, &c->out[0], TLBC_OPTIONAL, x != NULL);
    if (item && x) *item = *x;
    return item != NULL;
}

/* What is no optional is its own content. */
bool tlbc_rt_op_OptionalGetElement(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    bool wrapped = x->dtype == TLBC_OPTIONAL;
    if (wrapped && !x->dims[0]) return tlbc_rt_call_fail(c, "the optional is empty");
    c->out[0] = wrapped ? rt_items(x)[0] : *x;
    return true;
}

bool tlbc_rt_op_OptionalHasElement(tlbc_rt_call *c) {
    const tlbc_tensor *x = tlbc_rt_in(c, 0);
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_BOOL, 0, NULL);
    if (y) *(uint8_t *)y->data = x && (x->dtype != TLBC_OPTIONAL || x->dims[0] > 0);
    return y != NULL;
}
