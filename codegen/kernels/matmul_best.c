/* See matmul_best.h. */
#include "codegen/kernels/matmul_best.h"

#include "codegen/lower/short.h"

#include <math.h>

static const ir_dtype types[CG_CANDIDATE] = {DT_f32, DT_i32};

static void load(matmul_best *s, lp_value *at, unsigned lanes, lp_value **v) {
    for (int32_t i = 0; i < CG_CANDIDATE; i++)
        v[i] = lp_load(&s->k->b, lp_vec(types[i], lanes), s->at[i], at);
}

static void store(matmul_best *s, lp_value *at, lp_value *const *v) {
    for (int32_t i = 0; i < CG_CANDIDATE; i++)
        lp_store(&s->k->b, s->at[i], at, v[i]);
}

/* Where the row's candidates are. */
static lp_value *place_of(matmul_best *s, lp_value *row) {
    lp_builder *b = &s->k->b;
    return mul(b, sub(b, row, s->first_row), lp_index(b, s->lanes));
}

void matmul_best_open(matmul_best *s, cg_kernel *k, int64_t rows) {
    s->k = k;
    s->rule.b = &k->b;
    for (int32_t i = 0; i < CG_CANDIDATE; i++)
        s->at[i] = lp_alloca(&k->b, rows * s->lanes * 4);
}

/* The worst there is, at position 0: that of a row which holds nothing else. */
void matmul_best_begin(matmul_best *s, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k->b;
    lp_value *worst[] = {
        lp_const_f(b, lp_vec(DT_f32, s->lanes), s->rule.largest ? -INFINITY : INFINITY),
        lp_const_i(b, lp_vec(DT_i32, s->lanes), 0)};
    s->first_row = lo;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, 1), NULL, 0);
    store(s, place_of(s, l.counter), worst);
    lp_for_end(b, &l, NULL);
}

void matmul_best_take(matmul_best *s, lp_value *row, lp_value *column, lp_value *x) {
    lp_builder *b = &s->k->b;
    unsigned lanes = x->type.lanes;
    lp_value *best[CG_CANDIDATE], *at = place_of(s, row);
    lp_value *position = lp_broadcast(b, lp_cast(b, column, DT_i32), lanes);
    if (lanes > 1) position = add(b, position, lp_iota(b, lp_vec(DT_i32, lanes)));
    lp_value *v[CG_CANDIDATE] = {x, position};
    load(s, at, lanes, best);
    cg_best_choose(&s->rule, cg_best_improves(&s->rule, x, best[0], s->rule.last), v, best);
    store(s, at, best);
}

/* The better half of a row's candidates, again and again. */
static lp_value *best_of_lanes(matmul_best *s, lp_value *at) {
    lp_builder *b = &s->k->b;
    lp_value *low[CG_CANDIDATE], *high[CG_CANDIDATE];
    for (unsigned lanes = s->lanes / 2; lanes; lanes /= 2) {
        load(s, at, lanes, low);
        load(s, add(b, at, lp_index(b, lanes)), lanes, high);
        cg_best_choose(&s->rule, cg_best_precedes(&s->rule, high, low), high, low);
        store(s, at, low);
    }
    return lp_load(b, lp_scalar(DT_i32), s->at[1], at);
}

void matmul_best_store(matmul_best *s, lp_value *lo, lp_value *hi, lp_value *y, lp_value *stride) {
    lp_builder *b = &s->k->b;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, 1), NULL, 0);
    lp_value *found = best_of_lanes(s, place_of(s, l.counter));
    lp_store(b, y, mul(b, l.counter, stride), to_i64(b, found));
    lp_for_end(b, &l, NULL);
}
