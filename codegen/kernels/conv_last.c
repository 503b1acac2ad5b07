/* Convolution with channels last; see conv_last.h. */
#include "codegen/kernels/conv_last.h"

#include "codegen/lower/short.h"
#include "ir/limits.h"

enum {
    PANEL = CG_CONV_PANEL,
    BLOCK = 96 /* positions */,
    MAX_TILE_ROWS = CG_TILE_ROWS,
    MAX_SUMS = CG_TILE_SUMS
};

typedef struct conv_state {
    cg_conv_last_op *c;
    cg_kernel k;
    unsigned lanes;
    int64_t panels, depth; /* panels: of a group */
    int64_t run;           /* of k, contiguous in x */
    int32_t loops;         /* axes with a loop over their taps; the others are in the run */
    bool by_panels;        /* threads share the panels instead of the positions */
    lp_value *x, *w, *y, *table, *scratch;
    lp_value *first; /* position of the block */
} conv_state;

/* Features of a panel for the positions of a share. */
typedef struct panel {
    unsigned vectors;
    int64_t columns;    /* that are features */
    lp_value *w;        /* its weights */
    lp_value *x_column; /* first channel of its group */
    lp_value *feature;  /* first one */
} panel;

/* ---- the register tile ------------------------------------------------------------------------------------------------ */

typedef struct tile {
    const panel *p;
    unsigned rows;
    cg_feature_tile sums;
    lp_value *position;          /* the first one */
    lp_value *at[MAX_TILE_ROWS]; /* bytes to the window of each */
} tile;

/* The taps whose elements are one run: `place` elements behind the window's first, the tap-th run of the weight. */
static void sum_run(conv_state *s, const tile *t, lp_value *place, lp_value *tap, lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *bytes = mul(b, place, lp_index(b, 4)), *x[MAX_TILE_ROWS];
    for (unsigned r = 0; r < t->rows; r++)
        x[r] = lp_ptr_add(b, s->x, add(b, t->at[r], bytes));
    lp_value *w = lp_ptr_add(b, t->p->w, mul(b, tap, lp_index(b, s->run * PANEL * 4)));
    cg_feature_tile_run(&t->sums, x, w, s->run, acc);
}

static void sum_taps(conv_state *s, const tile *t, int32_t axis, lp_value *place, lp_value *tap,
                     lp_value **acc) {
    const ir_window *w = &s->c->window;
    if (axis == s->loops) {
        sum_run(s, t, place, tap, acc);
        return;
    }
    if (ir_dim_is(w->kernel[axis], 1)) {
        sum_taps(s, t, axis + 1, place, tap, acc);
        return;
    }
    lp_builder *b = &s->k.b;
    uint32_t n = t->rows * t->p->vectors;
    const ir_dim *step = ir_dim_mul(s->c->g->c, s->c->x->strides[1 + axis],
                                    cg_dc(s->c->g, w->dilation[axis]));
    lp_value *count = cg_kernel_dim(&s->k, w->kernel[axis]), *next[MAX_SUMS];
    lp_loop l = lp_for_begin(b, lp_index(b, 0), count, lp_index(b, 1), acc, n);
    memcpy(next, l.carried, n * sizeof *next);
    sum_taps(s, t, axis + 1, add(b, place, mul(b, l.counter, cg_kernel_dim(&s->k, step))),
             add(b, mul(b, tap, count), l.counter), next);
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n * sizeof *acc);
}

/* ---- epilogue ---------------------------------------------------------------------------------------------------------- */

lp_value *cg_conv_finish(const cg_conv_last_op *c, cg_kernel *k, unsigned lanes, lp_value *position,
                         lp_value *feature, lp_value *sum) {
    lp_builder *b = &k->b;
    const cg_epilogue *e = &c->epilogue;
    lp_value *places[CG_MAX_NEST_VIEWS];
    for (uint32_t i = 0; i < e->n; i++) {
        if (!e->views[i]) continue;
        places[i] = add(b, mul(b, position, cg_kernel_dim(k, e->views[i]->strides[0])),
                        mul(b, feature, cg_kernel_dim(k, e->views[i]->strides[1])));
    }
    return cg_epilogue_apply(e, k, lanes, places, 1, sum);
}

static lp_value *place_of(conv_state *s, lp_value *position, lp_value *feature) {
    lp_builder *b = &s->k.b;
    return add(b, mul(b, position, cg_kernel_dim(&s->k, s->c->y->strides[0])), feature);
}

/* All of the tile in registers: results are stored when no operand is read any more. */
static void finish_direct(conv_state *s, const tile *t, lp_value **acc) {
    lp_builder *b = &s->k.b;
    unsigned n = t->p->vectors;
    for (unsigned i = 0; i < t->rows * n; i++) {
        lp_value *position = add(b, t->position, lp_index(b, i / n)),
                 *feature = add(b, t->p->feature, lp_index(b, i % n * s->lanes));
        acc[i] = cg_conv_finish(s->c, &s->k, s->lanes, position, feature, acc[i]);
    }
    for (unsigned i = 0; i < t->rows * n; i++) {
        lp_value *position = add(b, t->position, lp_index(b, i / n)),
                 *feature = add(b, t->p->feature, lp_index(b, i % n * s->lanes));
        lp_store(b, s->y, place_of(s, position, feature), acc[i]);
    }
}

/* Two registers' worth where there are as many columns: what they need of constants is loaded once. */
static unsigned lanes_of(const conv_state *s, int64_t columns) {
    return columns >= 2 * (int64_t)s->lanes ? 2 * s->lanes : columns >= s->lanes ? s->lanes : 1;
}

static void finish_scratch(conv_state *s, const tile *t, lp_value **acc) {
    lp_builder *b = &s->k.b;
    unsigned n = t->p->vectors;
    for (unsigned i = 0; i < t->rows * n; i++)
        lp_store(b, s->scratch, lp_index(b, i / n * PANEL + i % n * s->lanes), acc[i]);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, t->rows), lp_index(b, 1), NULL, 0);
    lp_value *position = add(b, t->position, l.counter),
             *row = mul(b, l.counter, lp_index(b, PANEL));
    for (int64_t i = 0; i < t->p->columns;) {
        unsigned lanes = lanes_of(s, t->p->columns - i);
        lp_value *feature = add(b, t->p->feature, lp_index(b, i));
        lp_value *sum = lp_load(b, lp_vec(DT_f32, lanes), s->scratch, add(b, row, lp_index(b, i)));
        sum = cg_conv_finish(s->c, &s->k, lanes, position, feature, sum);
        lp_store(b, s->y, place_of(s, position, feature), sum);
        i += lanes;
    }
    lp_for_end(b, &l, NULL);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------- */

static void emit_tile(conv_state *s, const panel *p, unsigned rows, lp_value *position) {
    lp_builder *b = &s->k.b;
    tile t = {.p = p, .rows = rows, .position = position};
    t.sums = (cg_feature_tile){b, s->lanes, rows, p->vectors};
    lp_value *acc[MAX_SUMS], *in_block = sub(b, position, s->first);
    for (unsigned r = 0; r < rows; r++) {
        lp_value *at = lp_load(b, LP_I64, s->table, add(b, in_block, lp_index(b, r)));
        t.at[r] = mul(b, add(b, at, p->x_column), lp_index(b, 4));
    }
    cg_feature_tile_zero(&t.sums, acc);
    sum_taps(s, &t, 0, lp_index(b, 0), lp_index(b, 0), acc);
    bool full = p->columns == (int64_t)p->vectors * s->lanes;
    if (full && cg_epilogue_is_short(&s->c->epilogue))
        finish_direct(s, &t, acc);
    else
        finish_scratch(s, &t, acc);
}

/* Positions [lo, hi) in tiles of as many rows; the last one ends where they end. Fewer of them: in smaller tiles. */
static void emit_tiles(conv_state *s, const panel *p, unsigned rows, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    lp_value *step = lp_index(b, rows), *n = sub(b, hi, lo);
    lp_loop l = {0};
    if (rows > 1) l = lp_if_begin(b, lp_bin(b, LP_ge, n, step), NULL, 0);
    lp_value *last = sub(b, hi, step);
    lp_loop t = lp_for_begin(b, lo, hi, step, NULL, 0);
    emit_tile(s, p, rows, rows > 1 ? lp_bin(b, LP_min, t.counter, last) : t.counter);
    lp_for_end(b, &t, NULL);
    if (rows == 1) return;
    lp_if_else(b, &l, NULL);
    emit_tiles(s, p, rows / 2, lo, hi);
    lp_if_end(b, &l, NULL);
}

/* As high as the registers allow; where the positions are few and known, so that the last tile repeats few of them. */
static unsigned tile_rows(const conv_state *s, unsigned vectors) {
    enum { CHAINS = 8 }; /* that hide the latency of a multiply-add */
    unsigned most = cg_feature_tile_rows(s->c->g->target, vectors);
    int64_t n, best = INT64_MAX;
    unsigned rows = most;
    if (!s->by_panels || !ir_dim_is_const(s->c->y->dims[0], &n)) return most;
    for (unsigned r = most; r * vectors >= CHAINS; r--) {
        int64_t done = (n + r - 1) / r * r;
        if (done >= best) continue;
        best = done, rows = r;
    }
    return rows;
}

/* ---- panels ------------------------------------------------------------------------------------------------------------ */

static void emit_panel(conv_state *s, lp_value *group, lp_value *number, int64_t columns,
                       lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    cg_conv_last_op *c = s->c;
    panel p = {.vectors = (unsigned)((columns + s->lanes - 1) / s->lanes), .columns = columns};
    lp_value *row = add(b, mul(b, group, lp_index(b, s->panels)), number);
    p.w = lp_ptr_add(b, s->w, mul(b, row, lp_index(b, s->depth * PANEL * 4)));
    p.x_column = mul(b, group, lp_index(b, c->channels));
    p.feature = add(b, mul(b, group, lp_index(b, c->features)), mul(b, number, lp_index(b, PANEL)));
    emit_tiles(s, &p, tile_rows(s, p.vectors), lo, hi);
}

/* Units [from, to) of groups * panels; the last panel of a group may have fewer features. */
static void emit_panels(conv_state *s, lp_value *from, lp_value *to, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    int64_t rest = s->c->features % PANEL;
    lp_loop l = lp_for_begin(b, from, to, lp_index(b, 1), NULL, 0);
    lp_value *panels = lp_index(b, s->panels), *group = quotient(b, l.counter, panels),
             *number = sub(b, l.counter, mul(b, group, panels));
    if (!rest) {
        emit_panel(s, group, number, PANEL, lo, hi);
    } else if (s->panels == 1) {
        emit_panel(s, group, number, rest, lo, hi);
    } else {
        lp_value *whole = lp_bin(b, LP_lt, number, lp_index(b, s->panels - 1));
        lp_loop w = lp_if_begin(b, whole, NULL, 0);
        emit_panel(s, group, number, PANEL, lo, hi);
        lp_if_else(b, &w, NULL);
        emit_panel(s, group, number, rest, lo, hi);
        lp_if_end(b, &w, NULL);
    }
    lp_for_end(b, &l, NULL);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------------ */

/* Where in x the windows of positions [lo, hi) begin, in elements. */
static void fill_table(conv_state *s, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    const cg_view *x = s->c->x;
    const ir_window *w = &s->c->window;
    const ir_dim *dims[IR_MAX_RANK] = {x->dims[0]};
    lp_value *index[IR_MAX_RANK], *next[IR_MAX_RANK], *one = lp_index(b, 1), *zero = lp_index(b, 0);
    memcpy(dims + 1, w->out, (size_t)w->axes * sizeof *dims);
    cg_unravel(&s->k, lo, dims, w->axes + 1, index);
    lp_loop l = lp_for_begin(b, lo, hi, one, index, (uint32_t)w->axes + 1);
    lp_value *at = mul(b, l.carried[0], cg_kernel_dim(&s->k, x->strides[0])), *carry = one;
    for (int32_t i = 1; i <= w->axes; i++) {
        const ir_dim *step = ir_dim_mul(s->c->g->c, x->strides[i],
                                        cg_dc(s->c->g, w->stride[i - 1]));
        at = add(b, at, mul(b, l.carried[i], cg_kernel_dim(&s->k, step)));
    }
    lp_store(b, s->table, sub(b, l.counter, lo), at);
    for (int32_t i = w->axes; i > 0; i--) {
        lp_value *up = add(b, l.carried[i], carry),
                 *over = lp_bin(b, LP_eq, up, cg_kernel_dim(&s->k, dims[i]));
        next[i] = lp_select(b, over, zero, up);
        carry = lp_select(b, over, one, zero);
    }
    next[0] = add(b, l.carried[0], carry);
    lp_for_end(b, &l, next);
}

static void emit_block(conv_state *s, lp_value *from, lp_value *to, lp_value *lo, lp_value *hi) {
    s->first = lo;
    fill_table(s, lo, hi);
    emit_panels(s, from, to, lo, hi);
}

static void emit_blocks(conv_state *s) {
    lp_builder *b = &s->k.b;
    lp_value *zero = lp_index(b, 0), *lo = s->k.begin, *hi = s->k.end, *from = zero,
             *to = lp_index(b, s->c->groups * s->panels);
    if (s->by_panels) {
        from = lo, to = hi;
        lo = zero, hi = cg_kernel_dim(&s->k, s->c->y->dims[0]);
    }
    /* of nearly the same size */
    lp_value *n = sub(b, hi, lo), *blocks = cg_ceil_div(b, n, lp_index(b, BLOCK));
    lp_value *block = cg_ceil_div(b, n, lp_bin(b, LP_max, blocks, lp_index(b, 1)));
    block = lp_bin(b, LP_max, block, lp_index(b, 1));
    lp_loop l = lp_for_begin(b, lo, hi, block, NULL, 0);
    emit_block(s, from, to, l.counter, lp_bin(b, LP_min, add(b, l.counter, block), hi));
    lp_for_end(b, &l, NULL);
}

/* ---- the kernel -------------------------------------------------------------------------------------------------------- */

/* Taps along the last axis are neighbours in memory where there are no gaps and no other group's channels between them. */
static void choose_run(conv_state *s) {
    const ir_window *w = &s->c->window;
    int32_t last = w->axes - 1;
    int64_t taps = 1;
    s->loops = w->axes;
    s->run = s->c->channels;
    ir_dim_is_const(w->kernel[last], &taps);
    if (taps != 1 && (w->dilation[last] != 1 || !ir_dim_is(s->c->x->strides[w->axes], s->run)))
        return;
    s->loops = last;
    s->run *= taps;
}

/* Few positions are few tiles to share. */
static bool threads_share_panels(const conv_state *s) {
    enum { FEW = 64, ENOUGH_PANELS = 8 };
    int64_t n;
    return ir_dim_is_const(s->c->y->dims[0], &n) && n < FEW &&
           s->c->groups * s->panels >= ENOUGH_PANELS;
}

static void bind(conv_state *s) {
    cg_conv_last_op *c = s->c;
    s->x = cg_kernel_in(&s->k, c->x, false);
    s->w = cg_kernel_in(&s->k, c->w, false);
    s->y = cg_kernel_out(&s->k, c->y, !s->by_panels && cg_view_is_whole(c->g, c->y));
    s->table = lp_alloca(&s->k.b, BLOCK * 8);
    s->scratch = lp_alloca(&s->k.b, MAX_TILE_ROWS * PANEL * 4);
    cg_epilogue_bind(&c->epilogue, &s->k);
}

void cg_conv_last(cg_conv_last_op *c) {
    cg *g = c->g;
    conv_state *s = TL_NEW(g->arena, conv_state);
    s->c = c;
    s->lanes = cg_feature_lanes(g->target);
    s->panels = (c->features + PANEL - 1) / PANEL;
    int64_t columns = 0;
    ir_dim_is_const(c->w->dims[1], &columns);
    s->depth = columns / PANEL;
    s->by_panels = threads_share_panels(s);
    choose_run(s);
    s->k = cg_kernel_begin(g, c->node,
                           s->by_panels ? cg_dc(g, c->groups * s->panels) : c->y->dims[0]);
    bind(s);
    emit_blocks(s);
    int64_t positions;
    if (ir_dim_is_const(c->y->dims[0], &positions))
        g->flops += 2.0 * (double)positions * (double)(c->groups * c->features) * (double)s->depth;
    cg_kernel_end(&s->k, "Conv %lldx%lld, channels last%s", (long long)s->depth,
                  (long long)(c->features * c->groups), c->epilogue.region ? " + epilogue" : "");
}
