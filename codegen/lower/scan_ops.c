/* Operators that walk an axis in order: ArgMax, ArgMin, CumSum, CumProd. */
#include "codegen/rows.h"

#include <math.h>

/* carry: best value, its position. NaN wins over numbers, as in numpy; ties keep the first (or the last). */
static void arg_row(cg_rows *r, const ir_node *n, uint32_t x, uint32_t y) {
    lp_builder *b = &r->k.b;
    bool last = ir_attr_int(n, "select_last_index", 0);
    lp_op better_op = n->op == OP_ArgMax ? (last ? LP_ge : LP_gt) : (last ? LP_le : LP_lt);
    lp_value *zero = lp_index(b, 0), *init[2] = {cg_row_load(r, x, 1, zero), zero};
    lp_loop l = lp_for_begin(b, lp_index(b, 1), r->length, lp_index(b, 1), init, 2);
    lp_value *v = cg_row_load(r, x, 1, l.counter), *best = l.carried[0];
    lp_value *better = lp_bin(b, better_op, v, best);
    if (ir_dtype_is_float((ir_dtype)v->type.elem)) {
        lp_value *first_nan = lp_bin(b, LP_and, lp_bin(b, LP_ne, v, v),
                                     lp_bin(b, LP_eq, best, best));
        better = lp_bin(b, LP_or, better, first_nan);
    }
    lp_for_end(b, &l,
               (lp_value *[]){lp_select(b, better, v, best),
                              lp_select(b, better, l.counter, l.carried[1])});
    cg_row_store(r, y, 1, zero, l.results[1]);
}

/* The result with its reduced axis kept as 1, whatever keepdims says. */
static const cg_view *keep_axis(cg *g, const cg_view *y, const ir_type *x, int32_t axis) {
    const ir_dim *dims[IR_MAX_RANK_NEST];
    for (int32_t i = 0; i < x->rank; i++)
        dims[i] = i == axis ? cg_dc(g, 1) : x->dims[i];
    return cg_view_reshape(g, y, x->rank, dims);
}

bool lower_arg_reduce(cg *g, ir_node *n) {
    const ir_type *t = ir_in(n, 0)->type;
    int64_t axis = ir_attr_int(n, "axis", 0);
    if (axis < 0) axis += t->rank;
    if (t->rank == 0) return cg_unsupported(g, n, "a scalar operand");
    const cg_view *x = cg_read(g, ir_in(n, 0)),
                  *y = keep_axis(g, cg_write(g, ir_out(n, 0)), t, (int32_t)axis);
    cg_rows r;
    cg_rows_begin(&r, g, n, t->rank, t->dims, (int32_t)axis);
    uint32_t ix = cg_rows_add(&r, x, false), iy = cg_rows_add(&r, y, true);
    cg_kernel_require(&r.k, t->dims[axis], r.units, cg_failure(g, "no elements along the axis"));
    cg_rows_loop(&r);
    arg_row(&r, n, ix, iy);
    cg_rows_end(&r, op_get(n->op)->name);
    return true;
}

static void running_row(cg_rows *r, const ir_node *n, uint32_t x, uint32_t y) {
    lp_builder *b = &r->k.b;
    bool product = n->op == OP_CumProd, exclusive = ir_attr_int(n, "exclusive", 0),
         reverse = ir_attr_int(n, "reverse", 0);
    lp_type t = lp_scalar(ir_dtype_compute(r->views[x].view->dtype));
    lp_value *init = ir_dtype_is_float((ir_dtype)t.elem) ? lp_const_f(b, t, product)
                                                         : lp_const_i(b, t, product);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), r->length, lp_index(b, 1), &init, 1);
    lp_value *at = l.counter;
    if (reverse) at = lp_bin(b, LP_sub, lp_bin(b, LP_sub, r->length, lp_index(b, 1)), at);
    lp_value *next = lp_bin(b, product ? LP_mul : LP_add, l.carried[0], cg_row_load(r, x, 1, at));
    cg_row_store(r, y, 1, at, exclusive ? l.carried[0] : next);
    lp_for_end(b, &l, &next);
}

static void scan_along(cg *g, ir_node *n, const cg_view *x, const cg_view *y, int32_t axis) {
    cg_rows r;
    cg_rows_begin(&r, g, n, x->rank, x->dims, axis);
    uint32_t ix = cg_rows_add(&r, x, false), iy = cg_rows_add(&r, y, true);
    cg_rows_loop(&r);
    running_row(&r, n, ix, iy);
    cg_rows_end(&r, op_get(n->op)->name);
}

/* An axis that only the run knows: the kernel of every axis, each under its condition. */
static void scan_along_any(cg *g, ir_node *n, const cg_view *x, const cg_view *y) {
    lp_builder *b = &g->b;
    lp_value *axis = lp_cast(b, cg_load_scalar(g, ir_in(n, 1)), DT_i64),
             *rank = lp_index(b, x->rank), *zero = lp_index(b, 0);
    axis = lp_select(b, lp_bin(b, LP_lt, axis, zero), lp_bin(b, LP_add, axis, rank), axis);
    lp_value *bad = lp_bin(b, LP_or, lp_bin(b, LP_lt, axis, zero), lp_bin(b, LP_ge, axis, rank));
    lp_value *failure = lp_index(b, cg_failure(g, "input 1: axis %%lld of %%lld dimensions"));
    lp_loop wrong = lp_if_begin(b, bad, NULL, 0);
    lp_call(b, "tlbc_rt_fail", lp_scalar(LP_VOID), (lp_value *[]){g->frame, failure, axis, rank},
            4);
    lp_if_end(b, &wrong, NULL);
    cg_barrier(g);
    for (int32_t a = 0; a < x->rank; a++) {
        lp_loop l = lp_if_begin(b, lp_bin(b, LP_eq, axis, lp_index(b, a)), NULL, 0);
        cg_scope_begin(g);
        scan_along(g, n, x, y, a);
        cg_barrier(g);
        cg_scope_end(g);
        lp_if_end(b, &l, NULL);
    }
}

bool lower_scan_sum(cg *g, ir_node *n) {
    const ir_type *t = ir_in(n, 0)->type;
    int64_t axis;
    if (t->rank == 0) return cg_unsupported(g, n, "a scalar operand");
    const cg_view *x = cg_read(g, ir_in(n, 0)), *y = cg_write(g, ir_out(n, 0));
    if (ir_value_const_i64(ir_in(n, 1), &axis))
        scan_along(g, n, x, y, (int32_t)(axis < 0 ? axis + t->rank : axis));
    else
        scan_along_any(g, n, x, y);
    return true;
}
