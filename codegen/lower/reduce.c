/* Reductions over any axes. The operand's axes are sorted into kept and reduced ones; then
 *   rows     the innermost reduced axis is contiguous: vectors along it, folded at the end
 *   columns  the innermost kept axis is contiguous: vectors across it, one accumulator per result
 * ReduceMean f32[2,3,64] over axis 2: rows; over axis 1: columns. Empty sets give the operation's neutral element. Roots and logarithms of
 * integers are f64 until the result is stored: exp(x - max) of whole numbers would be 0 or 1, and x - max of unsigned ones wraps. */
#include "codegen/dynamic.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

#include <math.h>

typedef struct reduction {
    cg *g;
    ir_node *node;
    cg_kernel k;
    const cg_view *x, *y;
    int32_t n_kept, n_reduced;
    const ir_dim *kept[IR_MAX_RANK], *kept_x[IR_MAX_RANK], *kept_y[IR_MAX_RANK];
    const ir_dim *reduced[IR_MAX_RANK], *reduced_x[IR_MAX_RANK];
    lp_value *px, *py;
    ir_dtype compute;
    lp_value *shift; /* ReduceLogSumExp: the maximum, second pass; else NULL */
    bool shifting;   /* second pass of ReduceLogSumExp */
} reduction;

/* ---- the operations ---------------------------------------------------------------------------------------------- */

static lp_value *number(lp_builder *b, ir_dtype t, unsigned lanes, double v) {
    lp_type type = lp_vec(t, lanes);
    return ir_dtype_is_float(t) ? lp_const_f(b, type, v) : lp_const_i(b, type, (int64_t)v);
}

static lp_value *extreme(lp_builder *b, ir_dtype t, unsigned lanes, bool largest) {
    lp_type type = lp_vec(t, lanes);
    if (ir_dtype_is_float(t)) return lp_const_f(b, type, largest ? INFINITY : -INFINITY);
    if (t == DT_bool) return lp_const_i(b, type, largest);
    uint32_t bits = ir_dtype_bits(t);
    if (!ir_dtype_is_signed(t)) return lp_const_i(b, type, largest ? -1 : 0);
    int64_t max = (int64_t)(UINT64_MAX >> (65 - bits));
    return lp_const_i(b, type, largest ? max : -max - 1);
}

static bool is_max(const reduction *r) {
    return r->node->op == OP_ReduceMax || (r->node->op == OP_ReduceLogSumExp && !r->shifting);
}

static lp_op combine_op(const reduction *r) {
    bool is_bool = r->compute == DT_bool;
    if (is_max(r)) return is_bool ? LP_or : LP_max;
    if (r->node->op == OP_ReduceMin) return is_bool ? LP_and : LP_min;
    return r->node->op == OP_ReduceProd ? LP_mul : LP_add;
}

static lp_value *neutral(const reduction *r, lp_builder *b, unsigned lanes) {
    if (is_max(r)) return extreme(b, r->compute, lanes, false);
    if (r->node->op == OP_ReduceMin) return extreme(b, r->compute, lanes, true);
    return number(b, r->compute, lanes, r->node->op == OP_ReduceProd);
}

/* What is combined: |x|, x*x, exp(x - max), or x itself. */
static lp_value *transform(const reduction *r, lp_builder *b, unsigned lanes, lp_value *x) {
    switch (r->node->op) {
    case OP_ReduceL1:
        return lp_un(b, LP_abs, x);
    case OP_ReduceL2:
    case OP_ReduceSumSquare:
        return lp_bin(b, LP_mul, x, x);
    case OP_ReduceLogSumExp: {
        if (!r->shifting) return x;
        bool fits = r->shift->type.lanes == lanes; /* columns: a vector of maxima */
        lp_value *d = lp_bin(b, LP_sub, x, fits ? r->shift : lp_broadcast(b, r->shift, lanes));
        return cg_vmath(b, SC_EXP, &d);
    }
    default:
        return x;
    }
}

static lp_value *reduced_count(reduction *r, lp_builder *b) {
    return lp_cast(b, cg_kernel_dim(&r->k, cg_dims_product(r->g, r->reduced, r->n_reduced)),
                   r->compute);
}

static lp_value *safe_divide(lp_builder *b, ir_dtype t, lp_value *x, lp_value *n) {
    if (!ir_dtype_is_float(t))
        n = lp_bin(b, LP_max, n, number(b, t, 1, 1)); /* the mean of nothing must not trap */
    return lp_bin(b, LP_div, x, lp_broadcast(b, n, x->type.lanes));
}

static lp_value *finish(reduction *r, lp_builder *b, lp_value *acc) {
    switch (r->node->op) {
    case OP_ReduceMean:
        return safe_divide(b, r->compute, acc, reduced_count(r, b));
    case OP_ReduceL2:
        return lp_un(b, LP_sqrt, acc);
    case OP_ReduceLogSum:
        return cg_vmath(b, SC_LOG, &acc);
    case OP_ReduceLogSumExp:
        return lp_bin(b, LP_add, cg_vmath(b, SC_LOG, &acc), r->shift);
    default:
        return acc;
    }
}

/* ---- loops over the reduced axes ---------------------------------------------------------------------------------- */

/* acc[0]: vector accumulator; acc[1]: scalar tail (rows only). */
typedef struct accumulators {
    lp_value *v[2];
    uint32_t n;
} accumulators;

static lp_value *step_to(reduction *r, lp_value *base, lp_value *i, int32_t axis) {
    lp_builder *b = &r->k.b;
    return lp_bin(b, LP_add, base, lp_bin(b, LP_mul, i, cg_kernel_dim(&r->k, r->reduced_x[axis])));
}

static void accumulate(reduction *r, accumulators *a, uint32_t which, unsigned lanes, lp_value *at,
                       lp_value *stride) {
    lp_builder *b = &r->k.b;
    lp_value *x = lp_cast(b, cg_load(b, r->x->dtype, lanes, r->px, at, stride), r->compute);
    a->v[which] = lp_bin(b, combine_op(r), a->v[which], transform(r, b, lanes, x));
}

/* for i = lo to hi step: accumulates into a->v[which]. */
static void inner_loop(reduction *r, accumulators *a, uint32_t which, unsigned lanes, lp_value *lo,
                       lp_value *hi, unsigned step, lp_value *base, int32_t axis,
                       lp_value *stride) {
    lp_builder *b = &r->k.b;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, step), &a->v[which], 1);
    a->v[which] = l.carried[0];
    accumulate(r, a, which, lanes, step_to(r, base, l.counter, axis), stride);
    lp_for_end(b, &l, &a->v[which]);
    a->v[which] = l.results[0];
}

/* Innermost reduced axis. rows: vectors along it and a tail; columns: single steps of `lanes` columns. */
static void last_axis(reduction *r, accumulators *a, unsigned lanes, bool columns, lp_value *base) {
    lp_builder *b = &r->k.b;
    int32_t axis = r->n_reduced - 1;
    lp_value *zero = lp_index(b, 0), *n = cg_kernel_dim(&r->k, r->reduced[axis]);
    if (columns || lanes == 1) {
        inner_loop(r, a, 0, lanes, zero, n, 1, base, axis, lp_index(b, 1));
        return;
    }
    lp_value *w = lp_index(b, lanes), *mid = lp_bin(b, LP_mul, lp_bin(b, LP_div, n, w), w);
    inner_loop(r, a, 0, lanes, zero, mid, lanes, base, axis, lp_index(b, 1));
    inner_loop(r, a, 1, 1, mid, n, 1, base, axis, lp_index(b, 1));
}

static void reduce_axes(reduction *r, accumulators *a, int32_t axis, unsigned lanes, bool columns,
                        lp_value *base) {
    lp_builder *b = &r->k.b;
    if (axis == r->n_reduced - 1) {
        last_axis(r, a, lanes, columns, base);
        return;
    }
    lp_value *n = cg_kernel_dim(&r->k, r->reduced[axis]);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), n, lp_index(b, 1), a->v, a->n);
    for (uint32_t i = 0; i < a->n; i++)
        a->v[i] = l.carried[i];
    reduce_axes(r, a, axis + 1, lanes, columns, step_to(r, base, l.counter, axis));
    lp_for_end(b, &l, a->v);
    for (uint32_t i = 0; i < a->n; i++)
        a->v[i] = l.results[i];
}

static lp_op reduce_lanes_op(const reduction *r) {
    switch (combine_op(r)) {
    case LP_max:
    case LP_or:
        return LP_reduce_max;
    case LP_min:
    case LP_and:
        return LP_reduce_min;
    case LP_mul:
        return LP_reduce_mul;
    default:
        return LP_reduce_add;
    }
}

static lp_value *one_pass(reduction *r, unsigned lanes, bool columns, lp_value *base) {
    lp_builder *b = &r->k.b;
    accumulators a = {.n = columns || lanes == 1 ? 1 : 2};
    a.v[0] = neutral(r, b, lanes);
    a.v[1] = neutral(r, b, 1);
    reduce_axes(r, &a, 0, lanes, columns, base);
    if (a.n == 1) return a.v[0];
    return lp_bin(b, combine_op(r), lp_reduce(b, reduce_lanes_op(r), a.v[0]), a.v[1]);
}

/* The maximum, with infinities replaced by 0: exp(x - inf) would be NaN where the result is infinite. */
static lp_value *finite_or_zero(reduction *r, lp_builder *b, lp_value *m) {
    unsigned lanes = m->type.lanes;
    lp_value *limit = extreme(b, r->compute, lanes, true), *size = lp_un(b, LP_abs, m);
    return lp_select(b, lp_bin(b, LP_eq, size, limit), number(b, r->compute, lanes, 0), m);
}

static void emit_result(reduction *r, unsigned lanes, bool columns, lp_value *x_base,
                        lp_value *y_at, lp_value *y_stride) {
    lp_builder *b = &r->k.b;
    r->shifting = false;
    lp_value *acc = one_pass(r, lanes, columns, x_base);
    if (r->node->op == OP_ReduceLogSumExp) {
        r->shift = finite_or_zero(r, b, acc);
        r->shifting = true;
        acc = one_pass(r, lanes, columns, x_base);
    }
    acc = lp_cast(b, finish(r, b, acc), ir_dtype_compute(r->y->dtype));
    cg_store(b, r->y->dtype, acc->type.lanes, r->py, y_at, y_stride, acc);
}

/* ---- loops over the results ----------------------------------------------------------------------------------------- */

static void kept_bases(reduction *r, lp_value *const *index, int32_t n, lp_value **x,
                       lp_value **y) {
    lp_builder *b = &r->k.b;
    *x = *y = lp_index(b, 0);
    for (int32_t i = 0; i < n; i++) {
        *x = lp_bin(b, LP_add, *x, lp_bin(b, LP_mul, index[i], cg_kernel_dim(&r->k, r->kept_x[i])));
        *y = lp_bin(b, LP_add, *y, lp_bin(b, LP_mul, index[i], cg_kernel_dim(&r->k, r->kept_y[i])));
    }
}

static void emit_columns(reduction *r, unsigned lanes, lp_value *x, lp_value *y) {
    lp_builder *b = &r->k.b;
    lp_value *n = cg_kernel_dim(&r->k, r->kept[r->n_kept - 1]), *w = lp_index(b, lanes),
             *one = lp_index(b, 1);
    lp_value *mid = lp_bin(b, LP_mul, lp_bin(b, LP_div, n, w), w);
    lp_loop v = lp_for_begin(b, lp_index(b, 0), mid, w, NULL, 0);
    lp_value *from = lp_bin(b, LP_add, x, v.counter), *to = lp_bin(b, LP_add, y, v.counter);
    emit_result(r, lanes, true, from, to, one);
    lp_for_end(b, &v, NULL);
    lp_loop s = lp_for_begin(b, mid, n, one, NULL, 0);
    from = lp_bin(b, LP_add, x, s.counter), to = lp_bin(b, LP_add, y, s.counter);
    emit_result(r, 1, true, from, to, one);
    lp_for_end(b, &s, NULL);
}

static void emit_kernel(reduction *r) {
    cg *g = r->g;
    int32_t last_kept = r->n_kept - 1;
    bool rows = ir_dim_is(r->reduced_x[r->n_reduced - 1], 1);
    bool columns = !rows && last_kept >= 0 && ir_dim_is(r->kept_x[last_kept], 1) &&
                   ir_dim_is(r->kept_y[last_kept], 1);
    int32_t outer = columns ? last_kept : r->n_kept;
    unsigned lanes = rows || columns ? g->target->lanes_f32 : 1;
    r->k = cg_kernel_begin(g, r->node, cg_dims_product(g, r->kept, outer));
    r->px = cg_kernel_in(&r->k, r->x, false);
    r->py = cg_kernel_out(&r->k, r->y, false);
    lp_builder *b = &r->k.b;
    lp_loop l = lp_for_begin(b, r->k.begin, r->k.end, lp_index(b, 1), NULL, 0);
    lp_value *index[IR_MAX_RANK], *x, *y;
    cg_unravel(&r->k, l.counter, r->kept, outer, index);
    kept_bases(r, index, outer, &x, &y);
    if (columns)
        emit_columns(r, lanes, x, y);
    else
        emit_result(r, lanes, false, x, y, lp_index(b, 1));
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&r->k, "%s", op_get(r->node->op)->name);
}

/* ---- sorting the axes ------------------------------------------------------------------------------------------------- */

static void add_reduced(reduction *r, const ir_dim *dim, const ir_dim *stride) {
    int32_t last = r->n_reduced - 1;
    if (last >= 0 && ir_dim_equal(r->reduced_x[last], ir_dim_mul(r->g->c, stride, dim))) {
        r->reduced[last] = ir_dim_mul(r->g->c, r->reduced[last], dim);
        r->reduced_x[last] = stride;
        return;
    }
    r->reduced[r->n_reduced] = dim;
    r->reduced_x[r->n_reduced++] = stride;
}

/* Which axes are reduced; false where the axes are not known. */
bool cg_reduced_axes(cg *g, const ir_node *n, int32_t rank, bool *reduced) {
    int64_t axes[IR_MAX_RANK];
    ir_value *v = ir_in(n, 1);
    bool empty = !v || (v->type->rank == 1 && ir_dim_is(v->type->dims[0], 0));
    int32_t count = empty ? 0 : ir_value_const_ints(v, axes, IR_MAX_RANK);
    if (count < 0) return cg_unsupported(g, n, "axes that are not constant");
    bool all = count == 0 && !ir_attr_int(n, "noop_with_empty_axes", 0);
    for (int32_t i = 0; i < rank; i++)
        reduced[i] = all;
    for (int32_t i = 0; i < count; i++)
        reduced[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;
    return true;
}

/* Axes that are data: every axis of the operand is walked twice, over the elements that are kept and over those that are reduced, one of
 * which is 1. The result lies densely over the former, whatever its rank. */
static bool reduce_by_data(cg *g, reduction *r) {
    int32_t rank = r->x->rank, first = r->y->rank;
    const ir_dim *stride = cg_dc(g, 1);
    r->n_kept = r->n_reduced = rank;
    for (int32_t i = rank - 1; i >= 0; i--) {
        r->kept[i] = cg_number(g, (uint32_t)(first + i));
        r->reduced[i] = cg_number(g, (uint32_t)(first + rank + i));
        r->kept_x[i] = r->reduced_x[i] = r->x->strides[i];
        r->kept_y[i] = stride;
        stride = ir_dim_mul(g->c, stride, r->kept[i]);
    }
    if (rank == 0) add_reduced(r, cg_dc(g, 1), cg_dc(g, 1));
    emit_kernel(r);
    return true;
}

static ir_dtype compute_type(const ir_node *n, ir_dtype t) {
    bool real = n->op == OP_ReduceL2 || n->op == OP_ReduceLogSum || n->op == OP_ReduceLogSumExp;
    return real && !ir_dtype_is_float(t) ? DT_f64 : ir_dtype_compute(t);
}

bool lower_reduce(cg *g, ir_node *n) {
    reduction *r = TL_NEW(g->arena, reduction);
    const ir_type *t = ir_in(n, 0)->type;
    bool reduced[IR_MAX_RANK], keep = ir_attr_int(n, "keepdims", 1);
    *r = (reduction){.g = g, .node = n, .compute = compute_type(n, t->dtype)};
    r->x = cg_read(g, ir_in(n, 0));
    r->y = cg_write(g, ir_out(n, 0));
    if (cg_shape_operands(n)) return reduce_by_data(g, r);
    if (!cg_reduced_axes(g, n, t->rank, reduced)) return false;
    for (int32_t i = 0, o = 0; i < t->rank; i++) {
        if (reduced[i]) {
            if (!ir_dim_is(t->dims[i], 1)) add_reduced(r, t->dims[i], r->x->strides[i]);
            o += keep;
            continue;
        }
        r->kept[r->n_kept] = t->dims[i];
        r->kept_x[r->n_kept] = r->x->strides[i];
        r->kept_y[r->n_kept++] = r->y->strides[o++];
    }
    if (!r->n_reduced) add_reduced(r, cg_dc(g, 1), cg_dc(g, 1));
    emit_kernel(r);
    return true;
}
