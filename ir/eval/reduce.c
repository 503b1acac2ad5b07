/* Reductions: Reduce*, ArgMax/ArgMin, CumSum/CumProd.
 *
 * The elements that fall together are gathered into a row, and the row is folded: floats in double, integers in int64
 * (wrapping). Over an empty set: sum 0, product 1, maximum -inf or the type's smallest value, minimum the opposite,
 * logarithm of the sum -inf, mean NaN. NaN in gives NaN out; ArgMax takes the first NaN, as numpy does. */
#include "ir/eval/eval_internal.h"
#include "ir/eval/sc_host.h"

#include <math.h>

/* ---- folding one row ------------------------------------------------------------------------------------------------ */

static double sum_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static double extreme_of(const double *x, int64_t n, double sign) {
    double best = -INFINITY; /* of sign * x */
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i])) return x[i];
        if (sign * x[i] > best) best = sign * x[i];
    }
    return sign * best;
}

static double log_sum_exp(const double *x, int64_t n) {
    double max = extreme_of(x, n, 1), sum = 0;
    if (isnan(max) || isinf(max)) return max;
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

static double fold_f64(op_id op, double *x, int64_t n) {
    double product = 1;
    switch (op) {
    case OP_ReduceMax:
        return extreme_of(x, n, 1);
    case OP_ReduceMin:
        return extreme_of(x, n, -1);
    case OP_ReduceSum:
        return sum_of(x, n);
    case OP_ReduceMean:
        return sum_of(x, n) / (double)n;
    case OP_ReduceLogSum:
        return log(sum_of(x, n));
    case OP_ReduceLogSumExp:
        return log_sum_exp(x, n);
    case OP_ReduceProd:
        for (int64_t i = 0; i < n; i++)
            product *= x[i];
        return product;
    case OP_ReduceL1:
        for (int64_t i = 0; i < n; i++)
            x[i] = fabs(x[i]);
        return sum_of(x, n);
    case OP_ReduceL2:
    case OP_ReduceSumSquare:
        for (int64_t i = 0; i < n; i++)
            x[i] *= x[i];
        return op == OP_ReduceL2 ? sqrt(sum_of(x, n)) : sum_of(x, n);
    default:
        TL_UNREACHABLE();
    }
}

/* Through the scalar primitives, which know each type's wrapping and order. */
static int64_t accumulate(sc_op op, ir_dtype t, int64_t start, const int64_t *x, int64_t n,
                          bool square, bool absolute) {
    sc_cell acc = {.i = start};
    for (int64_t i = 0; i < n; i++) {
        sc_cell v[3] = {{.i = x[i]}, {.i = x[i]}};
        if (square) v[0] = sc_host_apply(SC_MUL, t, t, v);
        if (absolute) v[0] = sc_host_apply(SC_ABS, t, t, v);
        acc = sc_host_apply(op, t, t, (sc_cell[3]){acc, v[0]});
    }
    return acc.i;
}

static int64_t fold_i64(op_id op, ir_dtype t, const int64_t *x, int64_t n) {
    int64_t smallest = sc_host_to_int(t, -INFINITY), largest = sc_host_to_int(t, INFINITY);
    switch (op) {
    case OP_ReduceMax:
        return accumulate(t == DT_bool ? SC_OR : SC_MAX, t, t == DT_bool ? 0 : smallest, x, n,
                          false, false);
    case OP_ReduceMin:
        return accumulate(t == DT_bool ? SC_AND : SC_MIN, t, t == DT_bool ? 1 : largest, x, n,
                          false, false);
    case OP_ReduceSum:
        return accumulate(SC_ADD, t, 0, x, n, false, false);
    case OP_ReduceProd:
        return accumulate(SC_MUL, t, 1, x, n, false, false);
    case OP_ReduceL1:
        return accumulate(SC_ADD, t, 0, x, n, false, true);
    case OP_ReduceSumSquare:
        return accumulate(SC_ADD, t, 0, x, n, true, false);
    case OP_ReduceMean: {
        sc_cell v[3] = {{.i = accumulate(SC_ADD, t, 0, x, n, false, false)}, {.i = n}};
        return sc_host_apply(SC_DIV, t, t, v).i;
    }
    default:
        TL_UNREACHABLE(); /* the others go through fold_f64 */
    }
}

/* ---- Reduce* -------------------------------------------------------------------------------------------------------- */

/* Which axes go: operand 1, or all of them, or (noop_with_empty_axes) none. */
static bool reduced_axes(ir_eval *e, const ir_node *n, const ir_tensor *axes, int32_t rank,
                         bool *reduced) {
    size_t count = 0;
    const int64_t *v = axes ? ev_i64s(e, axes, &count) : NULL;
    bool all = count == 0 && !ir_attr_int(n, "noop_with_empty_axes", 0);
    for (int32_t i = 0; i < rank; i++)
        reduced[i] = all;
    for (size_t i = 0; i < count; i++) {
        int32_t axis;
        if (!ev_axis(e, n, v[i], rank, &axis)) return false;
        reduced[axis] = true;
    }
    return true;
}

/* Splits the input's dims and strides in those kept and those reduced; the result's shape. */
typedef struct reduction {
    ev_shape kept, reduced, result;
    int64_t kept_strides[IR_MAX_RANK], reduced_strides[IR_MAX_RANK];
} reduction;

static void split_shape(const ev_shape *s, const bool *reduced, bool keepdims, reduction *r) {
    int64_t strides[IR_MAX_RANK];
    ev_strides(s, strides);
    *r = (reduction){0};
    for (int32_t i = 0; i < s->rank; i++) {
        ev_shape *part = reduced[i] ? &r->reduced : &r->kept;
        (reduced[i] ? r->reduced_strides : r->kept_strides)[part->rank] = strides[i];
        part->dims[part->rank++] = s->dims[i];
        if (!reduced[i] || keepdims) r->result.dims[r->result.rank++] = reduced[i] ? 1 : s->dims[i];
    }
}

static void fold_row(const ir_node *n, const reduction *r, const ir_tensor *x, int64_t at,
                     ir_tensor *y, int64_t to, void *row) {
    ir_dtype t = x->type->dtype;
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(&r->reduced);
    bool exact = !ir_dtype_is_float(t) && n->op != OP_ReduceL2 && n->op != OP_ReduceLogSum &&
                 n->op != OP_ReduceLogSumExp;
    double *f = row;
    int64_t *k = row;
    for (int64_t i = 0; i < count; i++, ev_next(&r->reduced, index)) {
        size_t from = (size_t)(at + ev_dot(index, r->reduced_strides, r->reduced.rank));
        if (exact)
            k[i] = sc_host_load(t, x->data, from).i;
        else
            f[i] = ir_tensor_get_f64(x, from);
    }
    if (exact)
        ir_tensor_set_i64(y, (size_t)to, fold_i64(n->op, t, k, count));
    else if (ir_dtype_is_float(t))
        ir_tensor_set_f64(y, (size_t)to, fold_f64(n->op, f, count));
    else
        ir_tensor_set_i64(y, (size_t)to, sc_host_to_int(t, fold_f64(n->op, f, count)));
}

bool eval_reduce(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    bool axes[IR_MAX_RANK];
    reduction r;
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (!reduced_axes(e, n, ev_tensor(n, in, 1), s.rank, axes)) return false;
    split_shape(&s, axes, ir_attr_int(n, "keepdims", 1) != 0, &r);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &r.result);
    if (!y) return false;
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(&r.kept);
    if (count == 0) return (out[0].tensor = y) != NULL;
    void *row = TL_NEW_ARRAY(e->arena, double, (size_t)ev_count(&r.reduced) + 1);
    for (int64_t i = 0; i < count; i++, ev_next(&r.kept, index))
        fold_row(n, &r, x, ev_dot(index, r.kept_strides, r.kept.rank), y, i, row);
    out[0].tensor = y;
    return true;
}

/* ---- ArgMax, ArgMin ---------------------------------------------------------------------------------------------------- */

/* a is better than the best so far. */
static bool improves(ir_dtype t, sc_cell a, sc_cell best, bool max, bool or_equal) {
    if (ir_dtype_is_float(t)) {
        if (isnan(best.f)) return or_equal && isnan(a.f);
        if (isnan(a.f)) return true;
    }
    sc_op op = max ? (or_equal ? SC_GE : SC_GT) : (or_equal ? SC_LE : SC_LT);
    return sc_host_apply(op, DT_bool, ir_dtype_compute(t), (sc_cell[3]){a, best}).i != 0;
}

/* Position of the best of the n elements from `base` on, `step` apart. */
static int64_t best_of(const ir_tensor *x, int64_t base, int64_t step, int64_t n, bool max,
                       bool last) {
    ir_dtype t = x->type->dtype;
    sc_cell best = sc_host_load(t, x->data, (size_t)base);
    int64_t found = 0;
    for (int64_t i = 1; i < n; i++) {
        sc_cell v = sc_host_load(t, x->data, (size_t)(base + i * step));
        if (!improves(t, v, best, max, last)) continue;
        best = v;
        found = i;
    }
    return found;
}

bool eval_arg_reduce(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    int32_t axis;
    if (!x) return false;
    ev_shape s = ev_shape_of(x), r = {0};
    if (!ev_axis(e, n, ir_attr_int(n, "axis", 0), s.rank, &axis)) return false;
    bool keep = ir_attr_int(n, "keepdims", 1) != 0,
         last = ir_attr_int(n, "select_last_index", 0) != 0;
    for (int32_t i = 0; i < s.rank; i++)
        if (i != axis || keep) r.dims[r.rank++] = i == axis ? 1 : s.dims[i];
    ir_tensor *y = ev_alloc(e, n, DT_i64, &r);
    if (!y) return false;
    ev_lanes l = ev_lanes_of(&s, axis);
    int64_t rows = ev_count(&r);
    if (l.n == 0 && rows) return ev_error(e, n, "no elements along axis %d", (int)axis);
    for (int64_t row = 0; row < rows; row++) {
        int64_t base = row / l.inner * l.n * l.inner + row % l.inner;
        ir_tensor_set_i64(y, (size_t)row, best_of(x, base, l.inner, l.n, n->op == OP_ArgMax, last));
    }
    out[0].tensor = y;
    return true;
}

/* The product, what the epilogue makes of it, and the best along each row. */
bool eval_matmul_arg(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    ir_datum product = {0}, scores = {0};
    if (!eval_matmul(e, n, in, &product) || !ev_epilogue(e, n, in, product.tensor, &scores))
        return false;
    ev_shape s = ev_shape_of(scores.tensor);
    int64_t columns = s.rank ? s.dims[s.rank - 1] : 0;
    if (columns < 1) return ev_error(e, n, "no elements in a row");
    s.rank--;
    ir_tensor *y = ev_alloc(e, n, DT_i64, &s);
    if (!y) return false;
    bool max = ir_attr_int(n, "largest", 0) != 0, last = ir_attr_int(n, "last", 0) != 0;
    for (int64_t row = 0; row < ev_count(&s); row++)
        ir_tensor_set_i64(y, (size_t)row,
                          best_of(scores.tensor, row * columns, 1, columns, max, last));
    out[0].tensor = y;
    return true;
}

/* ---- CumSum, CumProd --------------------------------------------------------------------------------------------------- */

static void scan_lane(const ir_node *n, const ir_tensor *x, ir_tensor *y, int64_t base,
                      int64_t count, int64_t stride) {
    bool exclusive = ir_attr_int(n, "exclusive", 0) != 0,
         reverse = ir_attr_int(n, "reverse", 0) != 0;
    bool sum = n->op == OP_CumSum;
    ir_dtype t = x->type->dtype, wide = ir_dtype_is_float(t) ? DT_f64 : t;
    sc_cell acc = {.i = sum ? 0 : 1};
    if (ir_dtype_is_float(t)) acc.f = sum ? 0 : 1;
    for (int64_t i = 0; i < count; i++) {
        size_t at = (size_t)(base + (reverse ? count - 1 - i : i) * stride);
        sc_cell v = sc_host_load(t, x->data, at), before = acc;
        acc = sc_host_apply(sum ? SC_ADD : SC_MUL, wide, wide, (sc_cell[3]){acc, v});
        sc_host_store(t, ir_tensor_data(y), at, exclusive ? before : acc);
    }
}

bool eval_scan_sum(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    int64_t wanted;
    int32_t axis;
    if (!x || !ev_scalar_i64(e, n, ev_need(e, n, in, 1), &wanted)) return false;
    ev_shape s = ev_shape_of(x);
    if (!ev_axis(e, n, wanted, s.rank, &axis)) return false;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    out[0].tensor = y;
    ev_lanes l = ev_lanes_of(&s, axis);
    if (ev_count(&s) == 0) return true;
    for (int64_t row = 0; row < l.outer * l.inner; row++)
        scan_lane(n, x, y, row / l.inner * l.n * l.inner + row % l.inner, l.n, l.inner);
    return true;
}
