/* TopK: each row sorted by value, then by index. NaN counts as larger than everything, so that there is one order. */
#include "ir/eval/eval_internal.h"
#include "ir/eval/sc_host.h"

#include <math.h>
#include <stdlib.h>

typedef struct item {
    sc_cell value;
    int64_t index;
    const ir_dtype *type; /* of all items */
    bool largest;
} item;

/* Negative where a is smaller than b. */
static int compare_values(ir_dtype t, sc_cell a, sc_cell b) {
    if (ir_dtype_is_float(t)) {
        if (isnan(a.f) || isnan(b.f)) return (isnan(a.f) != 0) - (isnan(b.f) != 0);
        return (a.f > b.f) - (a.f < b.f);
    }
    if (t == DT_u64) {
        uint64_t x = (uint64_t)a.i, y = (uint64_t)b.i;
        return (x > y) - (x < y);
    }
    return (a.i > b.i) - (a.i < b.i);
}

/* The better one first. */
static int compare_items(const void *p, const void *q) {
    const item *a = p, *b = q;
    int order = compare_values(*a->type, a->value, b->value);
    if (order) return a->largest ? -order : order;
    return (a->index > b->index) - (a->index < b->index);
}

static void top_of_row(const ir_tensor *x, ev_lanes l, int64_t row, item *items) {
    for (int64_t i = 0; i < l.n; i++) {
        size_t at = (size_t)((row / l.inner * l.n + i) * l.inner + row % l.inner);
        items[i].value = sc_host_load(x->type->dtype, x->data, at);
        items[i].index = i;
    }
    qsort(items, (size_t)l.n, sizeof *items, compare_items);
}

bool eval_top_k(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *count = ev_need(e, n, in, 1);
    int64_t k;
    int32_t axis;
    if (!x || !count || !ev_scalar_i64(e, n, count, &k)) return false;
    ev_shape s = ev_shape_of(x);
    if (!ev_axis(e, n, ir_attr_int(n, "axis", -1), s.rank, &axis)) return false;
    ev_lanes l = ev_lanes_of(&s, axis);
    if (k < 0 || k > l.n)
        return ev_error(e, n, "%lld of %lld elements", (long long)k, (long long)l.n);
    s.dims[axis] = k;
    ir_tensor *values = ev_alloc(e, n, x->type->dtype, &s), *indices = ev_alloc(e, n, DT_i64, &s);
    if (!values || !indices) return false;
    item *items = TL_NEW_ARRAY(e->arena, item, (size_t)l.n + 1);
    for (int64_t i = 0; i < l.n; i++)
        items[i].type = &x->type->dtype, items[i].largest = ir_attr_int(n, "largest", 1) != 0;
    for (int64_t row = 0; k && row < l.outer * l.inner; row++) {
        top_of_row(x, l, row, items);
        for (int64_t i = 0; i < k; i++) {
            size_t at = (size_t)((row / l.inner * k + i) * l.inner + row % l.inner);
            sc_host_store(x->type->dtype, ir_tensor_data(values), at, items[i].value);
            ir_tensor_set_i64(indices, at, items[i].index);
        }
    }
    out[0].tensor = values;
    if (n->n_out > 1) out[1].tensor = indices;
    return true;
}
