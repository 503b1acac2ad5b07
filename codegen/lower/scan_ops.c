/* Operators that walk an axis in order: ArgMax, ArgMin, CumSum, CumProd.
 *
 *   %i = ArgMin<axis=-1>(f32[1536,8192] %d)     4 x 8 candidates go along each row
 *   %s = CumSum(f32[4,100] %x, @1)              one sum goes along each row */
#include "codegen/best.h"
#include "codegen/rows.h"

#include <math.h>

/* ---- ArgMax, ArgMin ------------------------------------------------------------------------------------------------ */

/* Where the axis is contiguous, CHAINS vectors of candidates go along it, each lane with the best element it has seen and where that was.
 * Then chains and lanes are compared with each other, positions deciding between equals, and the last elements follow one by one. */
enum { CHAINS = 4, CANDIDATE = CG_CANDIDATE };

typedef struct arg_search {
    cg_rows *r;
    cg_best best;
    uint32_t x;
    ir_dtype position; /* i32 where the length allows it: the lanes of f32 */
} arg_search;

/* Elements [lo, hi), `chains` vectors at a time; candidates[chain * CANDIDATE ...]. */
static void arg_loop(const arg_search *s, unsigned lanes, unsigned chains, lp_value *lo,
                     lp_value *hi, lp_value **candidates) {
    lp_builder *b = &s->r->k.b;
    uint32_t n = chains * CANDIDATE;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, (int64_t)lanes * chains), candidates, n);
    for (uint32_t i = 0; i < n; i++)
        candidates[i] = l.carried[i];
    for (unsigned c = 0; c < chains; c++) {
        lp_value *at = lp_bin(b, LP_add, l.counter, lp_index(b, (int64_t)c * lanes)),
                 **best = candidates + c * CANDIDATE,
                 *first = lp_broadcast(b, lp_cast(b, at, s->position), lanes);
        lp_value *v[CANDIDATE] = {cg_row_load(s->r, s->x, lanes, at), first};
        if (lanes > 1) v[1] = lp_bin(b, LP_add, first, lp_iota(b, lp_vec(s->position, lanes)));
        cg_best_choose(&s->best, cg_best_improves(&s->best, v[0], best[0], s->best.last), v, best);
    }
    lp_for_end(b, &l, candidates);
    for (uint32_t i = 0; i < n; i++)
        candidates[i] = l.results[i];
}

/* best: the first element and its position; then the best of all whole vectors. Gives the place behind them. */
static lp_value *arg_vectors(const arg_search *s, unsigned lanes, lp_value **best) {
    lp_builder *b = &s->r->k.b;
    lp_value *wide[CHAINS * CANDIDATE], *ends[2];
    for (unsigned i = 0; i < 2; i++) {
        lp_value *step = lp_index(b, i ? lanes : lanes * CHAINS);
        ends[i] = lp_bin(b, LP_mul, lp_bin(b, LP_div, s->r->length, step), step);
    }
    for (uint32_t i = 0; i < CHAINS * CANDIDATE; i++)
        wide[i] = lp_broadcast(b, best[i % CANDIDATE], lanes);
    arg_loop(s, lanes, CHAINS, lp_index(b, 0), ends[0], wide);
    arg_loop(s, lanes, 1, ends[0], ends[1], wide);
    for (uint32_t c = 1; c < CHAINS; c++)
        cg_best_choose(&s->best, cg_best_precedes(&s->best, wide + c * CANDIDATE, wide),
                       wide + c * CANDIDATE, wide);
    for (unsigned lane = 0; lane < lanes; lane++) {
        lp_value *v[CANDIDATE] = {lp_extract(b, wide[0], lane), lp_extract(b, wide[1], lane)};
        cg_best_choose(&s->best, cg_best_precedes(&s->best, v, best), v, best);
    }
    return ends[1];
}

static void arg_row(cg_rows *r, const ir_node *n, uint32_t x, uint32_t y) {
    lp_builder *b = &r->k.b;
    bool last = ir_attr_int(n, "select_last_index", 0);
    arg_search s = {r, {b, n->op == OP_ArgMax, last}, x, DT_i64};
    unsigned lanes = ir_dim_is(r->views[x].view->strides[r->axis], 1) ? r->g->target->lanes_f32 : 1;
    int64_t length;
    if (ir_dim_is_const(r->length_dim, &length)) {
        if (length <= INT32_MAX) s.position = DT_i32;
        if (length < 2 * (int64_t)lanes) lanes = 1;
    }
    lp_value *zero = lp_index(b, 0), *rest = zero,
             *best[CANDIDATE] = {cg_row_load(r, x, 1, zero), lp_cast(b, zero, s.position)};
    if (lanes > 1) rest = arg_vectors(&s, lanes, best);
    arg_loop(&s, 1, 1, rest, r->length, best);
    cg_row_store(r, y, 1, zero, lp_cast(b, best[1], DT_i64));
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

/* ---- CumSum, CumProd ------------------------------------------------------------------------------------------------- */

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
