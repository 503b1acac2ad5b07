/* See feature_tile.h. */
#include "codegen/kernels/feature_tile.h"

#include "codegen/lower/short.h"

enum { PANEL = CG_CONV_PANEL, K_UNROLL = CG_TILE_UNROLL };

static void step(const cg_feature_tile *t, lp_value *const *x, lp_value *w, lp_value *k,
                 int64_t offset, lp_value **acc) {
    lp_builder *b = t->b;
    lp_value *at = add(b, k, lp_index(b, offset)), *weights[PANEL];
    for (unsigned v = 0; v < t->vectors; v++) {
        lp_value *i = add(b, mul(b, at, lp_index(b, PANEL)), lp_index(b, v * t->lanes));
        weights[v] = lp_load(b, lp_vec(DT_f32, t->lanes), w, i);
    }
    for (unsigned r = 0; r < t->rows; r++) {
        lp_value *value = lp_broadcast(b, lp_load(b, lp_scalar(DT_f32), x[r], at), t->lanes);
        for (unsigned v = 0; v < t->vectors; v++) {
            lp_value **sum = &acc[r * t->vectors + v];
            *sum = lp_fma(b, value, weights[v], *sum);
        }
    }
}

/* The parts of what comes next that belong to the K_UNROLL steps from k on. */
static void fetch_ahead(const cg_feature_tile *t, lp_value *k) {
    lp_builder *b = t->b;
    for (unsigned n = 0; n < CG_TILE_AHEAD && t->ahead[n].from; n++) {
        int64_t apart = (int64_t)t->ahead[n].lines * CG_TILE_LINE / K_UNROLL;
        lp_value *at = mul(b, k, lp_index(b, apart));
        for (unsigned i = 0; i < t->ahead[n].lines; i++)
            lp_prefetch(b, t->ahead[n].from, add(b, at, lp_index(b, (int64_t)i * CG_TILE_LINE)));
    }
}

static void steps(const cg_feature_tile *t, lp_value *const *x, lp_value *w, int64_t lo, int64_t hi,
                  int64_t unroll, lp_value **acc) {
    if (lo >= hi) return;
    lp_builder *b = t->b;
    uint32_t n = t->rows * t->vectors;
    lp_loop l = lp_for_begin(b, lp_index(b, lo), lp_index(b, hi), lp_index(b, unroll), acc, n);
    lp_value *next[CG_TILE_SUMS];
    memcpy(next, l.carried, n * sizeof *next);
    if (unroll > 1) fetch_ahead(t, l.counter);
    for (int64_t u = 0; u < unroll; u++)
        step(t, x, w, l.counter, u, next);
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n * sizeof *acc);
}

void cg_feature_tile_run(const cg_feature_tile *t, lp_value *const *x, lp_value *w, int64_t run,
                         lp_value **acc) {
    int64_t whole = run / K_UNROLL * K_UNROLL;
    steps(t, x, w, 0, whole, K_UNROLL, acc);
    steps(t, x, w, whole, run, 1, acc);
}

void cg_feature_tile_zero(const cg_feature_tile *t, lp_value **acc) {
    for (unsigned i = 0; i < t->rows * t->vectors; i++)
        acc[i] = lp_const_f(t->b, lp_vec(DT_f32, t->lanes), 0);
}

unsigned cg_feature_tile_rows(const cg_target *target, unsigned vectors) {
    unsigned most = (target->n_registers - vectors - 1) / vectors;
    return most < CG_TILE_ROWS ? most : CG_TILE_ROWS;
}

unsigned cg_feature_lanes(const cg_target *target) {
    return target->lanes_f32 < PANEL ? target->lanes_f32 : PANEL;
}
