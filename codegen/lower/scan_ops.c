/* Operators that walk an axis in order: ArgMax, ArgMin, CumSum, CumProd. */
#include "codegen/rows.h"

#include <math.h>

static bool known_axis(cg *g, const ir_node *n, ir_value *v, int64_t *axis) {
    if (ir_value_const_i64(v, axis)) return true;
    return cg_unsupported(g, n, "an axis that is not constant");
}

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

bool lower_scan_sum(cg *g, ir_node *n) {
    const ir_type *t = ir_in(n, 0)->type;
    int64_t axis;
    if (!known_axis(g, n, ir_in(n, 1), &axis)) return false;
    if (axis < 0) axis += t->rank;
    if (t->rank == 0) return cg_unsupported(g, n, "a scalar operand");
    cg_rows r;
    const cg_view *x = cg_read(g, ir_in(n, 0)), *y = cg_write(g, ir_out(n, 0));
    cg_rows_begin(&r, g, n, t->rank, t->dims, (int32_t)axis);
    uint32_t ix = cg_rows_add(&r, x, false), iy = cg_rows_add(&r, y, true);
    cg_rows_loop(&r);
    running_row(&r, n, ix, iy);
    cg_rows_end(&r, op_get(n->op)->name);
    return true;
}
