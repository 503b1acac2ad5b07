/* Sequences: values that hold tensors of different shapes. Items are shared, never copied. */
#include "ir/eval/eval_internal.h"

static const ir_datum *need_sequence(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                                     uint32_t i) {
    if (i < n->n_in && in[i] && in[i]->is_sequence) return in[i];
    ev_error(e, n, "operand %u is not a sequence", i);
    return NULL;
}

static ir_datum *new_sequence(ir_eval *e, ir_datum *out, uint32_t count) {
    *out = (ir_datum){.is_sequence = true,
                      .n = count,
                      .items = TL_NEW_ARRAY(e->arena, ir_datum, (size_t)count + 1)};
    return out->items;
}

/* Operand i as a position in [0, limit); `fallback` where omitted. */
static bool read_position(ir_eval *e, const ir_node *n, const ir_datum *const *in, uint32_t i,
                          int64_t count, int64_t limit, int64_t fallback, uint32_t *position) {
    const ir_tensor *t = ev_tensor(n, in, i);
    int64_t v = fallback;
    if (t && !ev_scalar_i64(e, n, t, &v)) return false;
    if (v < -count || v >= limit)
        return ev_error(e, n, "position %lld in a sequence of %lld", (long long)v,
                        (long long)count);
    *position = (uint32_t)(v < 0 ? v + count : v);
    return true;
}

bool eval_sequence_empty(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    (void)n, (void)in;
    new_sequence(e, out, 0);
    return true;
}

bool eval_sequence_construct(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                             ir_datum *out) {
    ir_datum *items = new_sequence(e, out, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!ev_need(e, n, in, i)) return false;
        items[i] = *in[i];
    }
    return true;
}

bool eval_sequence_insert(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_datum *s = need_sequence(e, n, in, 0);
    uint32_t at;
    if (!s || !ev_need(e, n, in, 1) ||
        !read_position(e, n, in, 2, s->n, (int64_t)s->n + 1, s->n, &at))
        return false;
    ir_datum *items = new_sequence(e, out, s->n + 1);
    for (uint32_t i = 0; i < s->n; i++)
        items[i + (i >= at)] = s->items[i];
    items[at] = *in[1];
    return true;
}

bool eval_sequence_erase(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_datum *s = need_sequence(e, n, in, 0);
    uint32_t at;
    if (!s || !read_position(e, n, in, 1, s->n, s->n, -1, &at)) return false;
    ir_datum *items = new_sequence(e, out, s->n - 1);
    for (uint32_t i = 0; i < s->n; i++)
        if (i != at) items[i - (i > at)] = s->items[i];
    return true;
}

bool eval_sequence_at(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_datum *s = need_sequence(e, n, in, 0);
    uint32_t at;
    if (!s || !ev_need(e, n, in, 1) || !read_position(e, n, in, 1, s->n, s->n, 0, &at))
        return false;
    *out = s->items[at];
    return true;
}

bool eval_sequence_length(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_datum *s = need_sequence(e, n, in, 0);
    ir_tensor *y = s ? ev_alloc(e, n, DT_i64, &(ev_shape){0}) : NULL;
    if (!y) return false;
    ir_tensor_set_i64(y, 0, s->n);
    out->tensor = y;
    return true;
}

/* ---- between tensors and sequences --------------------------------------------------------------------------------------- */

/* Copies [at, at + length) along the axis of x; drop: without that axis (length is 1). */
static ir_tensor *take_part(ir_eval *e, const ir_node *n, const ir_tensor *x, int32_t axis,
                            int64_t at, int64_t length, bool drop) {
    ev_shape whole = ev_shape_of(x), s = whole;
    ev_lanes l = ev_lanes_of(&whole, axis);
    s.dims[axis] = length;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return NULL;
    int64_t outer = ev_count(&s) ? l.outer : 0;
    for (int64_t o = 0; o < outer; o++)
        ev_copy_run(x->type->dtype, ir_tensor_data(y), o * length * l.inner, x->data,
                    (o * l.n + at) * l.inner, length * l.inner);
    if (!drop) return y;
    for (int32_t i = axis; i + 1 < s.rank; i++)
        s.dims[i] = s.dims[i + 1];
    s.rank--;
    return ev_alias(e, y, &s);
}

/* The lengths of the parts. Operand 1: a scalar (all of that length, the last may be shorter), a list, or omitted (1 each). */
static const int64_t *part_lengths(ir_eval *e, const ir_node *n, const ir_tensor *split, int64_t d,
                                   size_t *count) {
    if (split && split->type->rank > 0) {
        const int64_t *v = ev_i64s(e, split, count);
        int64_t left = d;
        for (size_t i = 0; i < *count; i++) {
            if (v[i] < 0 || v[i] > left)
                return ev_error(e, n, "the parts exceed the dimension %lld", (long long)d), NULL;
            left -= v[i];
        }
        return left == 0
                   ? v
                   : (ev_error(e, n, "the parts do not fill the dimension %lld", (long long)d),
                      NULL);
    }
    int64_t each = split ? ir_tensor_get_i64(split, 0) : 1;
    if (each < 1) return ev_error(e, n, "parts of length %lld", (long long)each), NULL;
    *count = (size_t)(d / each + (d % each != 0));
    int64_t *v = TL_NEW_ARRAY(e->arena, int64_t, *count + 1);
    for (size_t i = 0; i < *count; i++, d -= each)
        v[i] = d < each ? d : each;
    return v;
}

bool eval_split_to_sequence(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                            ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *split = ev_tensor(n, in, 1);
    int32_t axis;
    size_t count;
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (!ev_axis(e, n, ir_attr_int(n, "axis", 0), s.rank, &axis)) return false;
    const int64_t *lengths = part_lengths(e, n, split, s.dims[axis], &count);
    if (!lengths) return false;
    if (count >= UINT32_MAX) return ev_error(e, n, "too many parts");
    bool drop = !split && !ir_attr_int(n, "keepdims", 1);
    ir_datum *items = new_sequence(e, out, (uint32_t)count);
    int64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(items[i].tensor = take_part(e, n, x, axis, at, lengths[i], drop))) return false;
        at += lengths[i];
    }
    return true;
}

/* The shape of the items joined along `axis`, and of one item with the new axis where there is one. */
static bool joined_shape(ir_eval *e, const ir_node *n, const ir_datum *s, int32_t axis, bool fresh,
                         ev_shape *y) {
    ev_shape first = ev_shape_of(s->items[0].tensor);
    *y = first;
    if (fresh) {
        for (int32_t i = y->rank++; i > axis; i--)
            y->dims[i] = y->dims[i - 1];
        y->dims[axis] = s->n;
        return true;
    }
    y->dims[axis] = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        ev_shape own = ev_shape_of(s->items[i].tensor);
        if (own.rank == first.rank) y->dims[axis] += own.dims[axis];
    }
    return axis < first.rank || ev_error(e, n, "axis %d is outside", (int)axis);
}

static bool item_fits(const ir_tensor *item, const ir_tensor *first, int32_t axis, bool fresh) {
    ev_shape a = ev_shape_of(item), b = ev_shape_of(first);
    if (item->type->dtype != first->type->dtype || a.rank != b.rank) return false;
    for (int32_t i = 0; i < a.rank; i++)
        if (a.dims[i] != b.dims[i] && (fresh || i != axis)) return false;
    return true;
}

bool eval_concat_from_sequence(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                               ir_datum *out) {
    const ir_datum *s = need_sequence(e, n, in, 0);
    bool fresh = ir_attr_int(n, "new_axis", 0) != 0;
    int32_t axis;
    ev_shape shape;
    if (!s) return false;
    if (!s->n) return ev_error(e, n, "the sequence is empty");
    for (uint32_t i = 0; i < s->n; i++)
        if (!s->items[i].tensor) return ev_error(e, n, "item %u is not a tensor", i);
    const ir_tensor *first = s->items[0].tensor;
    if (first->type->rank + fresh > IR_MAX_RANK) return ev_error(e, n, "too many dimensions");
    if (!ev_axis(e, n, ir_attr_int(n, "axis", 0), first->type->rank + fresh, &axis)) return false;
    if (!joined_shape(e, n, s, axis, fresh, &shape)) return false;
    ir_tensor *y = ev_alloc(e, n, first->type->dtype, &shape);
    if (!y) return false;
    ev_lanes l = ev_lanes_of(&shape, axis);
    int64_t at = 0, outer = ev_count(&shape) ? l.outer : 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const ir_tensor *t = s->items[i].tensor;
        if (!item_fits(t, first, axis, fresh))
            return ev_error(e, n, "item %u does not fit item 0", i);
        int64_t length = fresh ? 1 : ev_shape_of(t).dims[axis];
        for (int64_t o = 0; o < outer; o++)
            ev_copy_run(t->type->dtype, ir_tensor_data(y), (o * l.n + at) * l.inner, t->data,
                        o * length * l.inner, length * l.inner);
        at += length;
    }
    out->tensor = y;
    return true;
}
