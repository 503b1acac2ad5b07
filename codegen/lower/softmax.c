/* Softmax, LogSoftmax, Hardmax along one axis: maximum, sum of exponentials, scaling; three passes over a row that stays in cache. */
#include "codegen/rows.h"

#include <math.h>

typedef struct softmax {
    uint32_t x, y;
    op_id op;
    lp_value *max, *scale; /* scale: 1/sum, or log(sum) */
} softmax;

static lp_value *splat(lp_builder *b, lp_value *x, unsigned lanes) {
    return lp_broadcast(b, x, lanes);
}

static void max_pass(cg_rows *r, unsigned lanes, lp_value *j, lp_value **acc, void *data) {
    softmax *s = data;
    acc[0] = lp_bin(&r->k.b, LP_max, acc[0], cg_row_load(r, s->x, lanes, j));
}

static lp_value *shifted_exp(cg_rows *r, softmax *s, unsigned lanes, lp_value *j) {
    lp_builder *b = &r->k.b;
    lp_value *d = lp_bin(b, LP_sub, cg_row_load(r, s->x, lanes, j), splat(b, s->max, lanes));
    return cg_vmath(b, SC_EXP, &d);
}

static void exp_pass(cg_rows *r, unsigned lanes, lp_value *j, lp_value **acc, void *data) {
    softmax *s = data;
    lp_value *e = shifted_exp(r, s, lanes, j);
    acc[0] = lp_bin(&r->k.b, LP_add, acc[0], e);
    if (s->op == OP_Softmax) cg_row_store(r, s->y, lanes, j, e);
}

static void scale_pass(cg_rows *r, unsigned lanes, lp_value *j, lp_value **acc, void *data) {
    (void)acc;
    softmax *s = data;
    lp_builder *b = &r->k.b;
    lp_value *y;
    if (s->op == OP_Softmax) {
        y = lp_bin(b, LP_mul, cg_row_load(r, s->y, lanes, j), splat(b, s->scale, lanes));
    } else {
        lp_value *d = lp_bin(b, LP_sub, cg_row_load(r, s->x, lanes, j), splat(b, s->max, lanes));
        y = lp_bin(b, LP_sub, d, splat(b, s->scale, lanes));
    }
    cg_row_store(r, s->y, lanes, j, y);
}

/* Position of the first maximum, then a row of zeros with a one there. */
static void hardmax_row(cg_rows *r, softmax *s) {
    lp_builder *b = &r->k.b;
    ir_dtype t = ir_dtype_compute(r->views[s->x].view->dtype);
    lp_value *init[2] = {lp_const_f(b, lp_scalar(t), -INFINITY), lp_index(b, 0)};
    lp_loop l = lp_for_begin(b, lp_index(b, 0), r->length, lp_index(b, 1), init, 2);
    lp_value *x = cg_row_load(r, s->x, 1, l.counter);
    lp_value *better = lp_bin(b, LP_gt, x, l.carried[0]);
    lp_for_end(b, &l,
               (lp_value *[]){lp_select(b, better, x, l.carried[0]),
                              lp_select(b, better, l.counter, l.carried[1])});
    lp_value *at = l.results[1];
    lp_loop w = lp_for_begin(b, lp_index(b, 0), r->length, lp_index(b, 1), NULL, 0);
    lp_value *hit = lp_bin(b, LP_eq, w.counter, at);
    lp_value *y = lp_select(b, hit, lp_const_f(b, lp_scalar(t), 1), lp_const_f(b, lp_scalar(t), 0));
    cg_row_store(r, s->y, 1, w.counter, y);
    lp_for_end(b, &w, NULL);
}

static void softmax_row(cg_rows *r, softmax *s) {
    lp_builder *b = &r->k.b;
    unsigned lanes = cg_rows_lanes(r);
    lp_type t = lp_scalar(ir_dtype_compute(r->views[s->x].view->dtype));
    s->max = lp_const_f(b, t, -INFINITY);
    cg_row_pass(r, lanes, LP_reduce_max, &s->max, 1, max_pass, s);
    lp_value *sum = lp_const_f(b, t, 0);
    cg_row_pass(r, lanes, LP_reduce_add, &sum, 1, exp_pass, s);
    s->scale = s->op == OP_Softmax ? lp_bin(b, LP_div, lp_const_f(b, t, 1), sum)
                                   : cg_vmath(b, SC_LOG, &sum);
    cg_row_pass(r, lanes, LP_reduce_add, NULL, 0, scale_pass, s);
}

bool lower_softmax(cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    if (t->rank == 0) return cg_unsupported(g, n, "a scalar operand");
    int64_t axis = ir_attr_int(n, "axis", -1);
    if (axis < 0) axis += t->rank;
    softmax s = {.op = n->op};
    cg_rows r;
    const cg_view *x = cg_read(g, ir_in(n, 0)), *y = cg_write(g, ir_out(n, 0));
    cg_rows_begin(&r, g, n, t->rank, t->dims, (int32_t)axis);
    s.x = cg_rows_add(&r, x, false);
    s.y = cg_rows_add(&r, y, true);
    cg_rows_loop(&r);
    if (n->op == OP_Hardmax)
        hardmax_row(&r, &s);
    else
        softmax_row(&r, &s);
    cg_rows_end(&r, op_get(n->op)->name);
    return true;
}
