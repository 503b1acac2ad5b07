/* Unique: the different elements, or slices along an axis, in their order (`sorted`) or that of their first occurrence.
 *
 *   Unique([2, 1, 1, 3])  ->  [1, 2, 3], first [1, 0, 3], inverse [1, 0, 0, 2], counts [2, 1, 1]
 *
 * Equal ones are found by a stable sort: O(n log n) comparisons. NaN comes last and equals itself. */
#include "runtime/calls/call.h"

typedef struct rt_slices {
    const tlbc_tensor *x;
    int64_t n, outer, inner; /* slice i holds the elements (o * n + i) * inner + k */
} rt_slices;

static int rt_order(double a, double b) {
    if (a != a || b != b) return (a != a) - (b != b);
    return a < b ? -1 : a > b;
}

static int rt_order_u64(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int rt_compare_elements(const tlbc_tensor *x, int64_t a, int64_t b) {
    tlbc_tensor parts = *x;
    switch (x->dtype) {
    case TLBC_STRING:
        return tlbc_rt_string_compare(tlbc_rt_text(x)[a], tlbc_rt_text(x)[b]);
    case TLBC_C64:
    case TLBC_C128: {
        parts.dtype = x->dtype == TLBC_C64 ? TLBC_F32 : TLBC_F64;
        int real = rt_order(tlbc_rt_get_f64(&parts, 2 * a), tlbc_rt_get_f64(&parts, 2 * b));
        if (real) return real;
        return rt_order(tlbc_rt_get_f64(&parts, 2 * a + 1), tlbc_rt_get_f64(&parts, 2 * b + 1));
    }
    case TLBC_U64:
        return rt_order_u64((uint64_t)tlbc_rt_get_i64(x, a), (uint64_t)tlbc_rt_get_i64(x, b));
    case TLBC_I64: {
        int64_t p = tlbc_rt_get_i64(x, a), q = tlbc_rt_get_i64(x, b);
        return p < q ? -1 : p > q;
    }
    default:
        return rt_order(tlbc_rt_get_f64(x, a), tlbc_rt_get_f64(x, b));
    }
}

static int rt_compare_slices(const rt_slices *s, int64_t a, int64_t b) {
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t k = 0; k < s->inner; k++) {
            int order = rt_compare_elements(s->x, (o * s->n + a) * s->inner + k,
                                            (o * s->n + b) * s->inner + k);
            if (order) return order;
        }
    return 0;
}

static bool rt_slice_less(const void *data, int64_t a, int64_t b) {
    return rt_compare_slices(data, a, b) < 0;
}

/* Groups by their first members. */
static bool rt_first_less(const void *data, int64_t a, int64_t b) {
    const int64_t *first = data;
    return first[a] < first[b];
}

/* The groups of equal slices: first member and size of each, and each slice's group. Their number; -1 after reporting. */
static int64_t rt_find_groups(tlbc_rt_call *c, const rt_slices *s, int64_t *first, int64_t *counts,
                              int64_t *group_of) {
    int64_t *order = tlbc_rt_alloc(c, (size_t)s->n, sizeof *order),
            *scratch = tlbc_rt_alloc(c, (size_t)s->n, sizeof *scratch), groups = 0;
    if (!order || !scratch) return -1;
    for (int64_t i = 0; i < s->n; i++)
        order[i] = i;
    tlbc_rt_sort(order, scratch, s->n, rt_slice_less, s);
    for (int64_t i = 0; i < s->n; i++) {
        bool fresh = i == 0 || rt_compare_slices(s, order[i - 1], order[i]) != 0;
        if (fresh) first[groups++] = order[i];
        counts[groups - 1]++;
        group_of[order[i]] = groups - 1;
    }
    return groups;
}

static bool rt_put_indices(tlbc_rt_call *c, uint32_t i, int64_t n, const int64_t *values,
                           const int64_t *order) {
    tlbc_tensor *t = tlbc_rt_result(c, i, TLBC_I64, 1, &n);
    for (int64_t k = 0; t && k < n; k++)
        ((int64_t *)t->data)[k] = values[order ? order[k] : k];
    return t != NULL;
}

static bool rt_put_slices(tlbc_rt_call *c, const rt_slices *s, tlbc_tensor shape,
                          const int64_t *first, const int64_t *order, int64_t groups) {
    tlbc_tensor *y = tlbc_rt_result(c, 0, s->x->dtype, shape.rank, shape.dims);
    for (int64_t o = 0; y && o < s->outer; o++)
        for (int64_t g = 0; g < groups; g++)
            tlbc_rt_copy(y->dtype, y->data, (o * groups + g) * s->inner, s->x->data,
                         (o * s->n + first[order[g]]) * s->inner, s->inner);
    return y != NULL;
}

bool tlbc_rt_op_Unique(tlbc_rt_call *c) {
    tlbc_tensor shape = *c->in[0];
    uint32_t n_axes, axis = 0;
    const int64_t *wanted = tlbc_rt_ints(c, "axis", &n_axes);
    if (!wanted) shape.rank = 1, shape.dims[0] = tlbc_rt_elements(c->in[0]);
    if (wanted && !tlbc_rt_axis(c, *wanted, shape.rank, &axis)) return false;
    rt_slices s = {.x = c->in[0], .n = shape.dims[axis]};
    s.inner = tlbc_rt_product(&shape, axis + 1, shape.rank);
    s.outer = tlbc_rt_product(&shape, 0, axis);
    size_t n = (size_t)s.n;
    int64_t *first = tlbc_rt_alloc(c, n, 8), *counts = tlbc_rt_alloc(c, n, 8),
            *group_of = tlbc_rt_alloc(c, n, 8), *order = tlbc_rt_alloc(c, n, 8),
            *rank = tlbc_rt_alloc(c, n, 8);
    if (!first || !counts || !group_of || !order || !rank) return false;
    int64_t groups = rt_find_groups(c, &s, first, counts, group_of);
    if (groups < 0) return false;
    for (int64_t g = 0; g < groups; g++)
        order[g] = g;
    if (!tlbc_rt_int(c, "sorted", 1)) tlbc_rt_sort(order, rank, groups, rt_first_less, first);
    for (int64_t g = 0; g < groups; g++)
        rank[order[g]] = g;
    shape.dims[axis] = groups;
    return rt_put_slices(c, &s, shape, first, order, groups) &&
           rt_put_indices(c, 1, groups, first, order) &&
           rt_put_indices(c, 2, s.n, rank, group_of) && rt_put_indices(c, 3, groups, counts, order);
}
