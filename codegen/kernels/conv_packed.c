/* The packed convolution; see conv_packed.h. */
#include "codegen/kernels/conv_packed.h"

#include "codegen/kernels/conv_patch.h"
#include "codegen/lower/short.h"

enum { ROWS = CG_CONV_ROWS, MAX_TILES = 2, MAX_VECTORS = 2, K_UNROLL = 4 };

typedef struct conv_state {
    cg_conv *c;
    cg_kernel k;
    unsigned lanes, tiles;       /* tiles: rows of the weight done at once */
    int64_t depth, rows, blocks; /* k's, rows of the weight per group, shares of them */
    cg_kernel part;              /* makes the patches */
    const lp_func *patches;
    const cg_view *patch_view;
    lp_value *patch, *scratch, *w, *y;
    /* of the unit: */
    lp_value *group, *positions, *first; /* positions: of the panel, first: the first one */
    lp_value *y_at,
        *extra_at[CG_MAX_NEST_VIEWS]; /* of feature 0 of the group at the first position */
} conv_state;

static int64_t panel_of(const conv_state *s) {
    return (int64_t)s->lanes * MAX_VECTORS;
}

/* ---- the register tile ------------------------------------------------------------------------------------------------ */

typedef struct tile {
    unsigned rows, vectors; /* rows: of all tiles done at once */
    lp_value *w_at;         /* bytes from the first weight */
    lp_value *feature;      /* first one, in the group */
} tile;

static void tile_step(conv_state *s, const tile *t, lp_value *kk, int64_t offset, lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *at = add(b, kk, lp_index(b, offset)), *x[MAX_VECTORS];
    for (unsigned v = 0; v < t->vectors; v++) {
        lp_value *i = add(b, mul(b, at, lp_index(b, panel_of(s))), lp_index(b, v * s->lanes));
        x[v] = lp_load(b, lp_vec(DT_f32, s->lanes), s->patch, i);
    }
    lp_value *w = lp_ptr_add(b, s->w, t->w_at);
    for (unsigned r = 0; r < t->rows; r++) {
        int64_t far = r / ROWS * s->depth * ROWS + r % ROWS;
        lp_value *i = add(b, mul(b, at, lp_index(b, ROWS)), lp_index(b, far));
        lp_value *f = lp_broadcast(b, lp_load(b, lp_scalar(DT_f32), w, i), s->lanes);
        for (unsigned v = 0; v < t->vectors; v++)
            acc[r * t->vectors + v] = lp_fma(b, f, x[v], acc[r * t->vectors + v]);
    }
}

static void tile_loop(conv_state *s, const tile *t, int64_t lo, int64_t hi, int64_t step,
                      lp_value **acc) {
    if (lo >= hi) return;
    lp_builder *b = &s->k.b;
    uint32_t n = t->rows * t->vectors;
    lp_loop l = lp_for_begin(b, lp_index(b, lo), lp_index(b, hi), lp_index(b, step), acc, n);
    lp_value *next[MAX_TILES * ROWS * MAX_VECTORS];
    memcpy(next, l.carried, n * sizeof *next);
    for (int64_t u = 0; u < step; u++)
        tile_step(s, t, l.counter, u, next);
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n * sizeof *acc);
}

static void sum_tile(conv_state *s, const tile *t, lp_value **acc) {
    int64_t whole = s->depth / K_UNROLL * K_UNROLL;
    for (unsigned i = 0; i < t->rows * t->vectors; i++)
        acc[i] = lp_const_f(&s->k.b, lp_vec(DT_f32, s->lanes), 0);
    tile_loop(s, t, 0, whole, K_UNROLL, acc);
    tile_loop(s, t, whole, s->depth, 1, acc);
}

/* ---- epilogue ---------------------------------------------------------------------------------------------------------- */

/* `lanes` sums of a feature, `column` positions behind the panel's first, to the result. */
static void finish(conv_state *s, unsigned lanes, lp_value *feature, lp_value *column,
                   lp_value *sum) {
    cg_conv *c = s->c;
    lp_builder *b = &s->k.b;
    lp_value *places[CG_MAX_NEST_VIEWS];
    for (uint32_t i = 0; i < c->epilogue.n; i++) {
        const cg_view *e = c->epilogue.views[i];
        if (!e) continue;
        places[i] = add(b, s->extra_at[i], mul(b, feature, cg_kernel_dim(&s->k, e->strides[1])));
        places[i] = add(b, places[i], mul(b, column, cg_kernel_dim(&s->k, e->strides[2])));
    }
    sum = cg_epilogue_apply(&c->epilogue, &s->k, lanes, places, 2, sum);
    lp_value *row = mul(b, feature, cg_kernel_dim(&s->k, c->y->strides[1]));
    lp_store(b, s->y, add(b, add(b, s->y_at, row), column), sum);
}

/* From the scratch tile: `rows` features, the panel's positions in vectors, then one by one. */
static void finish_scratch(conv_state *s, const tile *t, lp_value *rows) {
    lp_builder *b = &s->k.b;
    lp_value *zero = lp_index(b, 0), *one = lp_index(b, 1), *w = lp_index(b, s->lanes),
             *whole = mul(b, quotient(b, s->positions, w), w);
    lp_loop r = lp_for_begin(b, zero, rows, one, NULL, 0);
    lp_value *feature = add(b, t->feature, r.counter),
             *from = mul(b, r.counter, lp_index(b, panel_of(s)));
    lp_loop v = lp_for_begin(b, zero, whole, w, NULL, 0);
    finish(s, s->lanes, feature, v.counter,
           lp_load(b, lp_vec(DT_f32, s->lanes), s->scratch, add(b, from, v.counter)));
    lp_for_end(b, &v, NULL);
    lp_loop e = lp_for_begin(b, whole, s->positions, one, NULL, 0);
    finish(s, 1, feature, e.counter,
           lp_load(b, lp_scalar(DT_f32), s->scratch, add(b, from, e.counter)));
    lp_for_end(b, &e, NULL);
    lp_for_end(b, &r, NULL);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------- */

static void emit_tile(conv_state *s, const tile *t, bool direct, lp_value *rows) {
    lp_builder *b = &s->k.b;
    lp_value *acc[MAX_TILES * ROWS * MAX_VECTORS];
    sum_tile(s, t, acc);
    for (unsigned r = 0; r < t->rows; r++)
        for (unsigned v = 0; v < t->vectors; v++) {
            lp_value *sum = acc[r * t->vectors + v], *column = lp_index(b, v * s->lanes);
            if (direct)
                finish(s, s->lanes, add(b, t->feature, lp_index(b, r)), column, sum);
            else
                lp_store(b, s->scratch, lp_index(b, r * panel_of(s) + v * s->lanes), sum);
        }
    if (!direct) finish_scratch(s, t, rows);
}

/* Rows [lo, hi) of the weight, `tiles` at once; the last features of the group may be fewer than a row. */
static void emit_rows(conv_state *s, unsigned tiles, unsigned vectors, bool direct, lp_value *lo,
                      lp_value *hi) {
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, tiles), NULL, 0);
    lp_value *row = add(b, mul(b, s->group, lp_index(b, s->rows)), l.counter);
    tile t = {.rows = tiles * ROWS, .vectors = vectors};
    t.w_at = mul(b, row, lp_index(b, s->depth * ROWS * 4));
    t.feature = mul(b, l.counter, lp_index(b, ROWS));
    lp_value *left = sub(b, lp_index(b, s->c->features), t.feature);
    emit_tile(s, &t, direct, lp_bin(b, LP_min, left, lp_index(b, t.rows)));
    lp_for_end(b, &l, NULL);
}

/* All rows of the unit's share: as many at once as there are registers, single ones, the last one where it is not full. */
static void emit_share(conv_state *s, unsigned vectors, bool full, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    bool direct = full && cg_epilogue_is_short(&s->c->epilogue);
    lp_value *whole = lp_bin(b, LP_min, hi, lp_index(b, s->c->features / ROWS)), *mid = lo;
    if (s->tiles > 1) {
        lp_value *n = lp_bin(b, LP_max, sub(b, whole, lo), lp_index(b, 0)),
                 *step = lp_index(b, s->tiles);
        mid = add(b, lo, mul(b, quotient(b, n, step), step));
        emit_rows(s, s->tiles, vectors, direct, lo, mid);
    }
    emit_rows(s, 1, vectors, direct, mid, whole);
    if (s->c->features % ROWS) emit_rows(s, 1, vectors, false, lp_bin(b, LP_max, mid, whole), hi);
}

/* ---- units ------------------------------------------------------------------------------------------------------------- */

/* unit -> sample, group, share of the rows, panel; the last running fastest, so that a thread keeps its weights. */
static void set_unit(conv_state *s, lp_value *unit, const ir_dim *panels, lp_value **sample,
                     lp_value **share) {
    cg_conv *c = s->c;
    cg *g = c->g;
    lp_builder *b = &s->k.b;
    const ir_dim *dims[] = {c->y->dims[0], cg_dc(g, c->groups), cg_dc(g, s->blocks), panels};
    lp_value *index[4];
    cg_unravel(&s->k, unit, dims, 4, index);
    *sample = index[0], s->group = index[1], *share = index[2];
    s->first = mul(b, index[3], lp_index(b, panel_of(s)));
    lp_value *left = sub(b, cg_kernel_dim(&s->k, c->y->dims[2]), s->first);
    s->positions = lp_bin(b, LP_min, left, lp_index(b, panel_of(s)));
    lp_value *at[3] = {index[0], mul(b, s->group, lp_index(b, c->features)), s->first};
    s->y_at = cg_offset(&s->k, c->y, at, 3);
    for (uint32_t i = 0; i < c->epilogue.n; i++)
        if (c->epilogue.views[i]) s->extra_at[i] = cg_offset(&s->k, c->epilogue.views[i], at, 3);
}

static void emit_unit(conv_state *s, lp_value *unit, const ir_dim *panels) {
    lp_builder *b = &s->k.b;
    lp_value *sample, *share, *one = lp_index(b, 1), *blocks = lp_index(b, s->blocks),
                              *rows = lp_index(b, s->rows);
    set_unit(s, unit, panels, &sample, &share);
    lp_value *values[] = {s->first, s->positions, sample, s->group};
    cg_kernel_call_part(&s->k, s->patches, &s->part, values);
    lp_value *lo = quotient(b, mul(b, rows, share), blocks),
             *hi = quotient(b, mul(b, rows, add(b, share, one)), blocks);
    lp_value *full = lp_bin(b, LP_eq, s->positions, lp_index(b, panel_of(s)));
    lp_loop l = lp_if_begin(b, full, NULL, 0);
    emit_share(s, MAX_VECTORS, true, lo, hi);
    lp_if_else(b, &l, NULL);
    lp_loop m = lp_if_begin(b, lp_bin(b, LP_gt, s->positions, lp_index(b, s->lanes)), NULL, 0);
    emit_share(s, MAX_VECTORS, false, lo, hi);
    lp_if_else(b, &m, NULL);
    emit_share(s, 1, false, lo, hi);
    lp_if_end(b, &m, NULL);
    lp_if_end(b, &l, NULL);
}

/* ---- the kernel -------------------------------------------------------------------------------------------------------- */

/* Where panels are few, their features are shared among the threads too, at the price of packing them again. */
static int64_t choose_blocks(const conv_state *s, const ir_dim *panels) {
    enum { ENOUGH_UNITS = 16, LEAST_ROWS = 10 };
    int64_t n, units;
    const ir_dim *all = ir_dim_mul(s->c->g->c, ir_dim_mul(s->c->g->c, panels, s->c->y->dims[0]),
                                   cg_dc(s->c->g, s->c->groups));
    if (!ir_dim_is_const(all, &units) || units < 1 || units >= ENOUGH_UNITS) return 1;
    n = (ENOUGH_UNITS + units - 1) / units;
    int64_t most = s->rows / LEAST_ROWS;
    return most < 1 ? 1 : n < most ? n : most;
}

static const cg_view *make_patch(conv_state *s) {
    cg *g = s->c->g;
    const ir_dim *n = cg_dc(g, (s->depth * panel_of(s) + 15) / 16 * 16 + 16);
    cg_buffer *b = cg_buffer_create(g, ir_dim_mul(g->c, n, cg_dc(g, 4)));
    b->per_thread = true;
    return cg_view_dense(g, b, ir_type_tensor(g->c, DT_f32, 1, &n));
}

/* The patches are made by a function of their own: the masks it keeps would take registers from the tiles. */
static void build_patches(conv_state *s) {
    cg *g = s->c->g;
    s->patch_view = make_patch(s);
    s->part = cg_kernel_begin(g, s->c->node, cg_dc(g, 1));
    lp_value *any = lp_index(&s->part.b, 0);
    cg_conv_patch p = {.c = s->c,
                       .k = &s->part,
                       .lanes = s->lanes,
                       .panel = panel_of(s),
                       .first = s->part.begin,
                       .positions = s->part.end,
                       .sample = cg_kernel_value(&s->part, any),
                       .group = cg_kernel_value(&s->part, any),
                       .to = cg_kernel_out(&s->part, s->patch_view, false)};
    cg_conv_pack_patch(&p);
    s->patches = cg_kernel_end_part(&s->part, "ConvPacked patches");
}

static void bind(conv_state *s) {
    cg_conv *c = s->c;
    s->w = cg_kernel_in(&s->k, c->w, false);
    s->y = cg_kernel_out(&s->k, c->y, false);
    s->patch = cg_kernel_out(&s->k, s->patch_view, false);
    s->scratch = lp_alloca(&s->k.b, s->tiles * ROWS * panel_of(s) * 4);
    cg_epilogue_bind(&c->epilogue, &s->k);
}

void cg_conv_packed(cg_conv *c) {
    cg *g = c->g;
    conv_state *s = TL_NEW(g->arena, conv_state);
    s->c = c;
    s->lanes = g->target->lanes_f32;
    s->tiles = g->target->n_registers >= 32 ? MAX_TILES : 1;
    s->depth = c->channels * c->taps;
    s->rows = (c->features + ROWS - 1) / ROWS;
    const ir_dim *panels = ir_dim_ceildiv(g->c, c->y->dims[2], cg_dc(g, panel_of(s)));
    s->blocks = choose_blocks(s, panels);
    const ir_dim *dims[] = {c->y->dims[0], cg_dc(g, c->groups * s->blocks), panels};
    build_patches(s);
    s->k = cg_kernel_begin(g, c->node, cg_dims_product(g, dims, 3));
    bind(s);
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, s->k.begin, s->k.end, lp_index(b, 1), NULL, 0);
    emit_unit(s, l.counter, panels);
    lp_for_end(b, &l, NULL);
    int64_t positions;
    if (ir_dim_is_const(ir_dim_mul(g->c, c->y->dims[0], c->y->dims[2]), &positions))
        g->flops += 2.0 * (double)positions * (double)(c->groups * c->features) * (double)s->depth;
    cg_kernel_end(&s->k, "ConvPacked %lldx%lld%s", (long long)s->depth,
                  (long long)(c->features * c->groups), c->epilogue.region ? " + epilogue" : "");
}
