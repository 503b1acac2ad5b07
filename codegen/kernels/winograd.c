/* Winograd's convolution; see winograd.h. */
#include "codegen/kernels/winograd.h"

#include "codegen/lower/short.h"

enum { PANEL = CG_CONV_PANEL, STEP = CG_WINOGRAD_STEP, READS = CG_WINOGRAD_READS };
enum { PLACES = READS * READS, MOST_TILES = 24 };

typedef struct state {
    cg_conv_last_op *c;
    cg_kernel k;
    unsigned lanes;
    int64_t panels, room;   /* room: tiles of a block */
    int64_t v_step, m_step; /* from place to place */
    const ir_dim *tiles[3]; /* samples, rows, columns of tiles */
    const cg_view *v_view, *m_view;
    lp_value *x, *w, *y, *v, *m, *part, *result; /* part, result: of one tile */
    lp_value *first, *count;                     /* tiles of the block */
} state;

/* ---- the kernel's transform ---------------------------------------------------------------------------------------------- */

static const double G[READS][3] = {{1.0 / 4, 0, 0},
                                   {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                   {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                   {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                   {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                   {0, 0, 1}};

/* from: nine taps, `apart` elements each; the place-th element of the transform. */
static double transform_taps(const float *from, int64_t apart, int64_t place) {
    const double *left = G[place / READS], *right = G[place % READS];
    double sum = 0;
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 3; j++)
            sum += left[i] * right[j] * (double)from[(i * 3 + j) * apart];
    return sum;
}

ir_value *cg_winograd_weight(cg *g, const ir_value *packed, int64_t channels) {
    int64_t panels = 0, row = channels * PANEL;
    ir_dim_is_const(packed->type->dims[0], &panels);
    const ir_type *t = ir_type_tensor_static(g->c, DT_f32, 3, (int64_t[]){panels, PLACES, row});
    ir_tensor *u = ir_tensor_alloc(g->m->arena, t);
    float *to = ir_tensor_data(u);
    for (int64_t p = 0; p < panels; p++) {
        const float *from = (const float *)packed->tensor->data + p * 9 * row;
        for (int64_t place = 0; place < PLACES; place++)
            for (int64_t i = 0; i < row; i++)
                *to++ = (float)transform_taps(from + i, row, place);
    }
    ir_tensor_seal(u);
    return ir_module_const(g->m, u, ir_name_derive(g->m, packed, "winograd"));
}

/* ---- transforms of one axis ---------------------------------------------------------------------------------------------- */

static lp_value *times(lp_builder *b, double factor, lp_value *x, lp_value *plus) {
    return lp_fma(b, lp_const_f(b, x->type, factor), x, plus);
}

/* Bt d */
static void spread(lp_builder *b, lp_value *const *d, lp_value **out) {
    lp_value *even = times(b, -4, d[2], d[4]), *odd = times(b, -4, d[1], d[3]),
             *far = sub(b, d[4], d[2]), *side = sub(b, d[3], d[1]);
    out[0] = times(b, 4, d[0], times(b, -5, d[2], d[4]));
    out[1] = add(b, even, odd);
    out[2] = sub(b, even, odd);
    out[3] = times(b, 2, side, far);
    out[4] = times(b, -2, side, far);
    out[5] = times(b, 4, d[1], times(b, -5, d[3], d[5]));
}

/* At m */
static void gather(lp_builder *b, lp_value *const *m, lp_value **out) {
    lp_value *near = add(b, m[1], m[2]), *apart = sub(b, m[1], m[2]), *far = add(b, m[3], m[4]),
             *wide = sub(b, m[3], m[4]);
    out[0] = add(b, add(b, m[0], near), far);
    out[1] = times(b, 2, wide, apart);
    out[2] = times(b, 4, far, near);
    out[3] = add(b, times(b, 8, wide, apart), m[5]);
}

/* ---- the operand's transform ----------------------------------------------------------------------------------------------- */

static lp_value *at(lp_builder *b, lp_value *base, int64_t i, lp_value *step) {
    return add(b, base, mul(b, lp_index(b, i), step));
}

/* from: first element of the tile, at some channel; to: its place in V[0]. */
static void spread_vector(state *s, lp_value *from, lp_value *to) {
    lp_builder *b = &s->k.b;
    const cg_view *x = s->c->x;
    lp_type t = lp_vec(DT_f32, s->lanes);
    lp_value *d[READS], *out[READS], *line = cg_kernel_dim(&s->k, x->strides[1]),
                                     *element = cg_kernel_dim(&s->k, x->strides[2]);
    for (int64_t i = 0; i < READS; i++) {
        lp_value *row = at(b, from, i, line);
        for (int64_t j = 0; j < READS; j++)
            d[j] = lp_load(b, t, s->x, at(b, row, j, element));
        spread(b, d, out);
        for (int64_t j = 0; j < READS; j++)
            lp_store(b, s->part, lp_index(b, (i * READS + j) * s->lanes), out[j]);
    }
    for (int64_t j = 0; j < READS; j++) {
        for (int64_t i = 0; i < READS; i++)
            d[i] = lp_load(b, t, s->part, lp_index(b, (i * READS + j) * s->lanes));
        spread(b, d, out);
        for (int64_t i = 0; i < READS; i++)
            lp_store(b, s->v, add(b, to, lp_index(b, (i * READS + j) * s->v_step)), out[i]);
    }
}

static void spread_tiles(state *s) {
    lp_builder *b = &s->k.b;
    const cg_view *x = s->c->x;
    lp_value *zero = lp_index(b, 0), *index[3], *channels = lp_index(b, s->c->channels);
    lp_loop l = lp_for_begin(b, zero, s->count, lp_index(b, 1), NULL, 0);
    cg_unravel(&s->k, add(b, s->first, l.counter), s->tiles, 3, index);
    lp_value *from = mul(b, index[0], cg_kernel_dim(&s->k, x->strides[0]));
    for (int32_t i = 1; i < 3; i++)
        from = add(
            b, from,
            mul(b, mul(b, index[i], lp_index(b, STEP)), cg_kernel_dim(&s->k, x->strides[i])));
    lp_loop c = lp_for_begin(b, zero, channels, lp_index(b, s->lanes), NULL, 0);
    spread_vector(s, add(b, from, c.counter), add(b, mul(b, l.counter, channels), c.counter));
    lp_for_end(b, &c, NULL);
    lp_for_end(b, &l, NULL);
}

/* ---- products ---------------------------------------------------------------------------------------------------------------- */

/* The tile's share of the next place's weights, a panel of which is as many lines as there are channels: they come from the third-level cache,
 * since each block of tiles reads all of U once. And the operand's rows of the next tile, from the second. */
static void plan_fetching(state *s, cg_feature_tile *t, lp_value *x, lp_value *w, lp_value *tile) {
    lp_builder *b = &s->k.b;
    int64_t shares = s->room > t->rows ? s->room / t->rows : 1,
            lines = (CG_TILE_UNROLL + shares - 1) / shares;
    if (PANEL * 4 != CG_TILE_LINE) return;
    lp_value *share = quotient(b, tile, lp_index(b, t->rows));
    int64_t bytes = s->c->channels / CG_TILE_UNROLL * lines * CG_TILE_LINE;
    lp_value *next = lp_index(b, s->c->channels * PANEL * 4);
    t->ahead[0].from = lp_ptr_add(b, w, add(b, next, mul(b, share, lp_index(b, bytes))));
    t->ahead[0].lines = (unsigned)lines;
    t->ahead[1].from = lp_ptr_add(b, x, lp_index(b, t->rows * s->c->channels * 4));
    t->ahead[1].lines = (t->rows + 3) / 4;
}

static void product_tile(state *s, unsigned rows, unsigned vectors, lp_value *place, lp_value *w,
                         lp_value *tile) {
    lp_builder *b = &s->k.b;
    cg_feature_tile t = {b, s->lanes, rows, vectors, {{0}}};
    lp_value *x[CG_TILE_ROWS], *acc[CG_TILE_SUMS];
    for (unsigned r = 0; r < rows; r++) {
        lp_value *row = mul(b, add(b, tile, lp_index(b, r)), lp_index(b, s->c->channels));
        row = add(b, row, mul(b, place, lp_index(b, s->v_step)));
        x[r] = lp_ptr_add(b, s->v, mul(b, row, lp_index(b, 4)));
    }
    plan_fetching(s, &t, x[0], w, tile);
    cg_feature_tile_zero(&t, acc);
    cg_feature_tile_run(&t, x, w, s->c->channels, acc);
    for (unsigned i = 0; i < rows * vectors; i++) {
        lp_value *to = mul(b, add(b, tile, lp_index(b, i / vectors)), lp_index(b, PANEL));
        to = add(b, to, mul(b, place, lp_index(b, s->m_step)));
        lp_store(b, s->m, add(b, to, lp_index(b, i % vectors * s->lanes)), acc[i]);
    }
}

/* As many rows at once as there are registers; the last ones once more where they are not as many. */
static void product_tiles(state *s, unsigned rows, unsigned vectors, lp_value *place, lp_value *w) {
    lp_builder *b = &s->k.b;
    lp_value *step = lp_index(b, rows), *last = sub(b, s->count, step);
    lp_loop l = {0};
    if (rows > 1) l = lp_if_begin(b, lp_bin(b, LP_ge, s->count, step), NULL, 0);
    lp_loop t = lp_for_begin(b, lp_index(b, 0), s->count, step, NULL, 0);
    product_tile(s, rows, vectors, place, w,
                 rows > 1 ? lp_bin(b, LP_min, t.counter, last) : t.counter);
    lp_for_end(b, &t, NULL);
    if (rows == 1) return;
    lp_if_else(b, &l, NULL);
    product_tiles(s, rows / 2, vectors, place, w);
    lp_if_end(b, &l, NULL);
}

static void products(state *s, unsigned vectors, lp_value *panel) {
    lp_builder *b = &s->k.b;
    lp_value *places = lp_index(b, PLACES), *bytes = lp_index(b, s->c->channels * PANEL * 4);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), places, lp_index(b, 1), NULL, 0);
    lp_value *number = add(b, mul(b, panel, places), l.counter);
    lp_value *w = lp_ptr_add(b, s->w, mul(b, number, bytes));
    product_tiles(s, cg_feature_tile_rows(s->c->g->target, vectors), vectors, l.counter, w);
    lp_for_end(b, &l, NULL);
}

/* ---- results ----------------------------------------------------------------------------------------------------------------- */

/* Vector `v` of the panel for a tile of the block: 16 sums to s->result. */
static void gather_vector(state *s, lp_value *tile, unsigned v) {
    lp_builder *b = &s->k.b;
    lp_type t = lp_vec(DT_f32, s->lanes);
    lp_value *m[READS], *out[STEP];
    lp_value *from = add(b, mul(b, tile, lp_index(b, PANEL)), lp_index(b, v * s->lanes));
    for (int64_t i = 0; i < READS; i++) {
        for (int64_t j = 0; j < READS; j++)
            m[j] = lp_load(b, t, s->m, add(b, from, lp_index(b, (i * READS + j) * s->m_step)));
        gather(b, m, out);
        for (int64_t j = 0; j < STEP; j++)
            lp_store(b, s->part, lp_index(b, (i * STEP + j) * s->lanes), out[j]);
    }
    for (int64_t j = 0; j < STEP; j++) {
        for (int64_t i = 0; i < READS; i++)
            m[i] = lp_load(b, t, s->part, lp_index(b, (i * STEP + j) * s->lanes));
        gather(b, m, out);
        for (int64_t i = 0; i < STEP; i++)
            lp_store(b, s->result, lp_index(b, (i * STEP + j) * PANEL + v * s->lanes), out[i]);
    }
}

/* The columns of one position, from s->result + from. */
static void finish(state *s, lp_value *position, lp_value *from, lp_value *feature,
                   int64_t columns) {
    lp_builder *b = &s->k.b;
    for (int64_t i = 0; i < columns;) {
        unsigned lanes = columns - i >= PANEL ? PANEL : columns - i >= s->lanes ? s->lanes : 1;
        lp_value *column = add(b, feature, lp_index(b, i));
        lp_value *sum = lp_load(b, lp_vec(DT_f32, lanes), s->result, add(b, from, lp_index(b, i)));
        sum = cg_conv_finish(s->c, &s->k, lanes, position, column, sum);
        lp_value *row = mul(b, position, cg_kernel_dim(&s->k, s->c->y->strides[0]));
        lp_store(b, s->y, add(b, row, column), sum);
        i += lanes;
    }
}

/* Positions of the tile that there are. */
static void finish_tile(state *s, lp_value *const *index, lp_value *feature, int64_t columns) {
    lp_builder *b = &s->k.b;
    const ir_window *w = &s->c->window;
    lp_value *zero = lp_index(b, 0), *one = lp_index(b, 1), *step = lp_index(b, STEP),
             *height = cg_kernel_dim(&s->k, w->out[0]), *width = cg_kernel_dim(&s->k, w->out[1]);
    lp_value *top = mul(b, index[1], step), *left = mul(b, index[2], step);
    lp_loop i = lp_for_begin(b, zero, lp_bin(b, LP_min, sub(b, height, top), step), one, NULL, 0);
    lp_value *line = add(b, add(b, mul(b, index[0], height), top), i.counter),
             *position = add(b, mul(b, line, width), left);
    lp_loop j = lp_for_begin(b, zero, lp_bin(b, LP_min, sub(b, width, left), step), one, NULL, 0);
    lp_value *from = mul(b, add(b, mul(b, i.counter, step), j.counter), lp_index(b, PANEL));
    finish(s, add(b, position, j.counter), from, feature, columns);
    lp_for_end(b, &j, NULL);
    lp_for_end(b, &i, NULL);
}

static void emit_panel(state *s, lp_value *panel, int64_t columns) {
    lp_builder *b = &s->k.b;
    unsigned vectors = (unsigned)((columns + s->lanes - 1) / s->lanes);
    products(s, vectors, panel);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), s->count, lp_index(b, 1), NULL, 0);
    lp_value *index[3];
    cg_unravel(&s->k, add(b, s->first, l.counter), s->tiles, 3, index);
    for (unsigned v = 0; v < vectors; v++)
        gather_vector(s, l.counter, v);
    finish_tile(s, index, mul(b, panel, lp_index(b, PANEL)), columns);
    lp_for_end(b, &l, NULL);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------------------ */

static void emit_block(state *s) {
    lp_builder *b = &s->k.b;
    int64_t whole = s->c->features / PANEL, rest = s->c->features % PANEL;
    spread_tiles(s);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, whole), lp_index(b, 1), NULL, 0);
    emit_panel(s, l.counter, PANEL);
    lp_for_end(b, &l, NULL);
    if (rest) emit_panel(s, lp_index(b, whole), rest);
}

static const cg_view *make_room(cg *g, int64_t elements) {
    const ir_dim *n = cg_dc(g, elements);
    cg_buffer *b = cg_thread_buffer(g, cg_dc(g, elements * 4));
    return cg_view_dense(g, b, ir_type_tensor(g->c, DT_f32, 1, &n));
}

/* As many tiles as keep V in a part of the second-level cache: at each place the panel of U is read for all of them. */
static int64_t choose_room(const state *s) {
    int64_t tile = PLACES * s->c->channels * 4, bytes = s->c->g->target->l2_bytes / 4 * 3,
            rows = cg_feature_tile_rows(s->c->g->target, PANEL / s->lanes), n = bytes / tile;
    n = n < MOST_TILES ? n : MOST_TILES;
    return n > rows ? n / rows * rows : rows;
}

static void bind(state *s) {
    cg_conv_last_op *c = s->c;
    s->x = cg_kernel_in(&s->k, c->x, false);
    s->w = cg_kernel_in(&s->k, c->w, false);
    s->y = cg_kernel_out(&s->k, c->y, false);
    s->v = cg_kernel_out(&s->k, s->v_view, false);
    s->m = cg_kernel_out(&s->k, s->m_view, false);
    s->part = lp_alloca(&s->k.b, PLACES * s->lanes * 4);
    s->result = lp_alloca(&s->k.b, STEP * STEP * PANEL * 4);
    cg_epilogue_bind(&c->epilogue, &s->k);
}

static void set_sizes(state *s) {
    cg *g = s->c->g;
    s->lanes = cg_feature_lanes(g->target);
    s->panels = (s->c->features + PANEL - 1) / PANEL;
    s->room = choose_room(s);
    s->tiles[0] = s->c->x->dims[0];
    for (int32_t i = 0; i < 2; i++)
        s->tiles[1 + i] = ir_dim_ceildiv(g->c, s->c->window.out[i], cg_dc(g, STEP));
    /* a line more, so that places are not all in the same lines of the cache */
    s->v_step = s->room * s->c->channels + PANEL;
    s->m_step = s->room * PANEL + PANEL;
    s->v_view = make_room(g, PLACES * s->v_step);
    s->m_view = make_room(g, PLACES * s->m_step);
}

void cg_winograd(cg_conv_last_op *c) {
    cg *g = c->g;
    state *s = TL_NEW(g->arena, state);
    s->c = c;
    set_sizes(s);
    s->k = cg_kernel_begin(g, c->node, cg_dims_product(g, s->tiles, 3));
    bind(s);
    lp_builder *b = &s->k.b;
    lp_value *n = sub(b, s->k.end, s->k.begin), *one = lp_index(b, 1);
    lp_value *blocks = cg_ceil_div(b, n, lp_index(b, s->room));
    lp_value *block = cg_ceil_div(b, n, lp_bin(b, LP_max, blocks, one));
    lp_loop l = lp_for_begin(b, s->k.begin, s->k.end, lp_bin(b, LP_max, block, one), NULL, 0);
    s->first = l.counter;
    s->count = lp_bin(b, LP_min, block, sub(b, s->k.end, l.counter));
    emit_block(s);
    lp_for_end(b, &l, NULL);
    int64_t positions;
    if (ir_dim_is_const(c->y->dims[0], &positions))
        g->flops += 18.0 * (double)positions * (double)c->features * (double)c->channels;
    cg_kernel_end(&s->k, "Conv %lldx%lld, Winograd%s", (long long)c->channels * 9,
                  (long long)c->features, c->epilogue.region ? " + epilogue" : "");
}
