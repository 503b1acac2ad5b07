/* The packed matrix product; see matmul_packed.h.
 *
 *   for blocks of rows                      (kept in the second-level cache)
 *     for panels                            (a panel stays in the first-level cache over the block)
 *       for tiles of 1 … max_rows rows:     acc[r][v] += a[r][k] * w[k][v]
 *         store the tile, apply the epilogue to it while it is in the first-level cache
 *
 * Where rows are read on a diagonal, blocks of rows are small and take the panels alone that one of their rows is read in.
 *
 * Large weights come from memory or the third-level cache: each tile fetches a part of the next panel, all tiles together all of it. */
#include "codegen/kernels/matmul_tile.h"

#include "codegen/lower/short.h"

enum { PREFETCH_BYTES = 128 << 10 }; /* larger weights are fetched ahead */
enum { LARGE_WEIGHT = 1 << 20 };     /* bytes: of a second-level cache */
enum { LARGE_RESULT = 256 << 10 };
enum { ROW_BLOCK = 96 };
enum { FEW_ROWS = 4 }; /* up to here weights in blocks are multiplied out in registers */
/* Rows of a block where each row is read elsewhere: the fewer, the less is computed for nothing. */
enum { DIAGONAL_ROWS = 24 };

/* ---- epilogue ---------------------------------------------------------------------------------------------------------- */

static void apply_epilogue(matmul_state *s, unsigned lanes, lp_value *row, lp_value *column,
                           lp_value *sum, lp_value **result) {
    cg_matmul *mm = s->mm;
    lp_builder *b = &s->k.b;
    lp_value *params[CG_MAX_NEST_VIEWS + 1] = {sum};
    for (uint32_t i = 0; i < mm->n_extras; i++) {
        if (!mm->extras[i]) {
            params[i + 1] = cg_const_value(b, mm->extra_values[i], lanes);
            continue;
        }
        lp_value *at = lp_bin(b, LP_mul, row, s->extra_row[i]);
        at = lp_bin(b, LP_add, at, lp_bin(b, LP_mul, column, s->extra_col[i]));
        params[i + 1] = cg_load(b, mm->extras[i]->dtype, lanes, s->extra[i], at, s->extra_col[i]);
    }
    cg_emit_body(b, lanes, mm->g->arena, mm->epilogue, params, result);
}

/* Two registers' worth where there are as many columns: what they need of constants is loaded once. */
static unsigned lanes_of(const matmul_state *s, int64_t columns) {
    return columns >= 2 * (int64_t)s->lanes ? 2 * s->lanes : columns >= s->lanes ? s->lanes : 1;
}

/* One row of a panel: full vectors, then single columns up to `columns`. from: the raw sums. */
static void epilogue_row(matmul_state *s, lp_value *row, lp_value *first_column, int64_t columns,
                         lp_value *from, lp_value *from_at, lp_value *to_at) {
    lp_builder *b = &s->k.b;
    for (int64_t c = 0; c < columns;) {
        unsigned lanes = lanes_of(s, columns - c);
        lp_value *offset = lp_index(b, c), *column = lp_bin(b, LP_add, first_column, offset);
        lp_value *x = lp_load(b, matmul_sum_type(s, lanes), from,
                              lp_bin(b, LP_add, from_at, offset));
        if (s->mm->epilogue) apply_epilogue(s, lanes, row, column, x, &x);
        if (s->mm->arg)
            matmul_best_take(&s->best, row, column, x);
        else
            cg_store(b, s->mm->y->dtype, lanes, s->y, lp_bin(b, LP_add, to_at, offset),
                     lp_index(b, 1), x);
        c += lanes;
    }
}

static void epilogue_tile(matmul_state *s, lp_value *row, lp_value *height, lp_value *first_column,
                          int64_t columns, lp_value *from, lp_value *ld) {
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lp_index(b, 0), height, lp_index(b, 1), NULL, 0);
    lp_value *r = lp_bin(b, LP_add, row, l.counter);
    lp_value *to_at = lp_bin(b, LP_add, lp_bin(b, LP_mul, r, s->ldy), first_column);
    epilogue_row(s, r, first_column, columns, from, lp_bin(b, LP_mul, l.counter, ld), to_at);
    lp_for_end(b, &l, NULL);
}

/* ---- height of the tile --------------------------------------------------------------------------------------------- */

static unsigned accumulators_of(const matmul_state *s) {
    const cg_target *t = s->mm->g->target;
    /* without VNNI a step splits both operands in two; groups have sums of their own */
    bool splits = s->mm->quads && !t->has_vnni, grouped = s->mm->counts && !s->mm->alone;
    unsigned work = grouped                      ? s->vectors + 2
                    : splits                     ? 2 * s->vectors + 3
                    : s->mm->bits && !s->unpacks ? 3 * s->vectors + 1
                                                 : s->vectors + 1;
    return (t->n_registers - work) / (1 + grouped);
}

static unsigned rows_of_tile(const matmul_state *s) {
    unsigned rows = accumulators_of(s) / s->vectors;
    return rows > MAX_TILE_ROWS ? MAX_TILE_ROWS : rows < 1 ? 1 : rows;
}

/* ---- loops over tiles ---------------------------------------------------------------------------------------------------- */

static void full_tile(matmul_state *s, unsigned panels, lp_value *height, lp_value *row,
                      lp_value *panel) {
    lp_builder *b = &s->k.b;
    lp_value *column = lp_bin(b, LP_mul, panel, lp_index(b, s->mm->panel));
    if (s->staged) {
        lp_value *ld = lp_index(b, s->mm->panel * panels);
        matmul_tile(s, s->max_rows, panels, height, row, panel, s->scratch, ld);
        epilogue_tile(s, row, height, column, s->mm->panel * panels, s->scratch, ld);
        return;
    }
    lp_value *at = lp_bin(b, LP_add, lp_bin(b, LP_mul, row, s->ldy), column);
    lp_value *to = lp_ptr_add(b, s->y, lp_bin(b, LP_mul, at, lp_index(b, 4)));
    matmul_tile(s, s->max_rows, panels, height, row, panel, to, s->ldy);
    if (s->mm->epilogue) epilogue_tile(s, row, height, column, s->mm->panel * panels, to, s->ldy);
}

/* The last panel where N is no multiple of the panel: through a scratch tile. */
static void tail_tile(matmul_state *s, lp_value *height, lp_value *row) {
    lp_builder *b = &s->k.b;
    lp_value *panel = lp_index(b, s->n_panels - 1), *ld = lp_index(b, s->mm->panel);
    lp_value *column = lp_index(b, (s->n_panels - 1) * s->mm->panel);
    matmul_tile(s, s->max_rows, 1, height, row, panel, s->scratch, ld);
    epilogue_tile(s, row, height, column, s->tail, s->scratch, ld);
}

typedef struct panel_tile {
    lp_value *panel;
    unsigned panels;
} panel_tile;

/* The tile-th of `tiles` that read these panels brings its share of as many more into the cache. */
static void aim_prefetch(matmul_state *s, const panel_tile *p, lp_value *tile, lp_value *tiles) {
    lp_builder *b = &s->k.b;
    lp_value *bytes = lp_index(b, s->mm->panel * 4 * p->panels);
    s->ahead_step = lp_bin(b, LP_div, bytes, tiles);
    lp_value *from = lp_bin(b, LP_add, p->panel, lp_index(b, p->panels));
    from = lp_bin(b, LP_mul, from, lp_index(b, s->panel_bytes));
    lp_value *done = lp_bin(b, LP_mul, lp_index(b, s->steps), s->ahead_step);
    from = lp_bin(b, LP_add, from, lp_bin(b, LP_mul, tile, done));
    s->ahead = lp_ptr_add(b, s->w, from);
}

/* The same of codes, which are to be there when their panel is multiplied out. */
static void fetch_codes(matmul_state *s, const panel_tile *p, lp_value *tile, lp_value *tiles) {
    lp_builder *b = &s->k.b;
    lp_value *lines = lp_index(b, s->panel_bytes / CACHE_LINE), *one = lp_index(b, 1);
    lp_value *next = lp_bin(b, LP_mul, lp_bin(b, LP_add, p->panel, one),
                            lp_index(b, s->panel_bytes));
    lp_value *from = lp_ptr_add(b, s->w, next);
    lp_value *lo = lp_bin(b, LP_div, lp_bin(b, LP_mul, lines, tile), tiles);
    lp_value *hi = lp_bin(b, LP_mul, lines, lp_bin(b, LP_add, tile, one));
    lp_loop l = lp_for_begin(b, lo, lp_bin(b, LP_div, hi, tiles), one, NULL, 0);
    lp_prefetch(b, from, lp_bin(b, LP_mul, l.counter, lp_index(b, CACHE_LINE)));
    lp_for_end(b, &l, NULL);
}

typedef void tile_fn(matmul_state *s, lp_value *height, lp_value *row, const panel_tile *p);

/* Cuts rows [lo, hi) into tiles of nearly equal height <= max_rows. */
static void for_tiles(matmul_state *s, lp_value *lo, lp_value *hi, tile_fn *fn,
                      const panel_tile *p) {
    lp_builder *b = &s->k.b;
    lp_value *one = lp_index(b, 1), *max = lp_index(b, s->max_rows), *n = lp_bin(b, LP_sub, hi, lo);
    lp_value *tiles = lp_bin(b, LP_div, lp_bin(b, LP_add, n, lp_index(b, s->max_rows - 1)), max);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), tiles, one, &lo, 1);
    lp_value *left = lp_bin(b, LP_sub, tiles, l.counter), *row = l.carried[0];
    lp_value *rest = lp_bin(b, LP_sub, hi, row);
    rest = lp_bin(b, LP_add, rest, lp_bin(b, LP_sub, left, one));
    lp_value *height = lp_bin(b, LP_div, rest, left);
    if (p && s->ahead_lines) aim_prefetch(s, p, l.counter, tiles);
    if (p && s->unpacks) fetch_codes(s, p, l.counter, tiles);
    fn(s, height, row, p);
    s->ahead = NULL;
    lp_value *next = lp_bin(b, LP_add, row, height);
    lp_for_end(b, &l, &next);
}

static void full_tile_fn(matmul_state *s, lp_value *height, lp_value *row, const panel_tile *p) {
    full_tile(s, p->panels, height, row, p->panel);
}

static void tail_tile_fn(matmul_state *s, lp_value *height, lp_value *row, const panel_tile *p) {
    (void)p;
    tail_tile(s, height, row);
}

static void for_panels(matmul_state *s, lp_value *lo, lp_value *hi, unsigned panels,
                       lp_value *row_lo, lp_value *row_hi) {
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, panels), NULL, 0);
    if (s->unpacks) matmul_unpack(s, l.counter);
    for_tiles(s, row_lo, row_hi, full_tile_fn, &(panel_tile){l.counter, panels});
    lp_for_end(b, &l, NULL);
}

/* Panels [lo, hi) of rows [row_lo, row_hi): groups, single ones, the tail. */
static void emit_panels(matmul_state *s, lp_value *lo, lp_value *hi, lp_value *row_lo,
                        lp_value *row_hi) {
    lp_builder *b = &s->k.b;
    lp_value *full = lp_index(b, s->n_panels - (s->tail != 0)), *end = lp_bin(b, LP_min, hi, full),
             *mid = lo;
    if (s->group > 1) {
        lp_value *g = lp_index(b, s->group),
                 *n = lp_bin(b, LP_max, lp_bin(b, LP_sub, end, lo), lp_index(b, 0));
        mid = lp_bin(b, LP_add, lo, lp_bin(b, LP_mul, lp_bin(b, LP_div, n, g), g));
        for_panels(s, lo, mid, s->group, row_lo, row_hi);
    }
    for_panels(s, mid, end, 1, row_lo, row_hi);
    if (!s->tail) return;
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_gt, hi, full), NULL, 0);
    if (s->unpacks) matmul_unpack(s, full);
    for_tiles(s, row_lo, row_hi, tail_tile_fn, NULL);
    lp_if_end(b, &l, NULL);
}

/* A weight in blocks is multiplied out for each tile where these are few, else once for all of them. */
static void emit_either(matmul_state *s, lp_value *lo, lp_value *hi, lp_value *row_lo,
                        lp_value *row_hi) {
    lp_builder *b = &s->k.b;
    unsigned few = s->max_rows;
    lp_value *rows = lp_bin(b, LP_sub, row_hi, row_lo);
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_gt, rows, lp_index(b, FEW_ROWS)), NULL, 0);
    s->unpacks = true, s->max_rows = rows_of_tile(s);
    emit_panels(s, lo, hi, row_lo, row_hi);
    lp_if_else(b, &l, NULL);
    s->unpacks = false, s->max_rows = few;
    emit_panels(s, lo, hi, row_lo, row_hi);
    lp_if_end(b, &l, NULL);
}

static void emit_block(matmul_state *s, lp_value *lo, lp_value *hi, lp_value *row_lo,
                       lp_value *row_hi) {
    s->first_row = row_lo;
    if (s->mm->arg) matmul_best_begin(&s->best, row_lo, row_hi);
    if (s->mm->window) cg_places_fill(&s->places, row_lo, row_hi);
    if (s->floats && !s->unpacks)
        emit_either(s, lo, hi, row_lo, row_hi);
    else
        emit_panels(s, lo, hi, row_lo, row_hi);
    if (s->mm->arg) matmul_best_store(&s->best, row_lo, row_hi, s->y, s->ldy);
}

/* Rows [lo, hi), those panels that any of them is read in. */
static void emit_diagonal(matmul_state *s, lp_value *lo, lp_value *hi) {
    const cg_diagonal *d = s->mm->diagonal;
    lp_builder *b = &s->k.b;
    lp_value *slope = lp_index(b, d->slope), *panel = lp_index(b, s->mm->panel);
    lp_value *last = lp_bin(b, LP_mul, slope, lp_bin(b, LP_sub, hi, lp_index(b, 1)));
    lp_value *from = lp_bin(b, LP_sub, lp_index(b, d->first), last);
    lp_value *to = lp_bin(b, LP_sub, lp_index(b, d->first + d->width),
                          lp_bin(b, LP_mul, slope, lo));
    to = lp_bin(b, LP_add, to, lp_index(b, s->mm->panel - 1));
    emit_block(s, lp_bin(b, LP_div, from, panel), lp_bin(b, LP_div, to, panel), lo, hi);
}

static void emit_row_blocks(matmul_state *s) {
    lp_builder *b = &s->k.b;
    lp_value *zero = lp_index(b, 0), *panels = lp_index(b, s->n_panels),
             *block = lp_index(b, s->row_block);
    int64_t m;
    if (s->by_panels) {
        emit_block(s, s->k.begin, s->k.end, zero, cg_kernel_dim(&s->k, s->mm->m));
        return;
    }
    if (!s->mm->diagonal && ir_dim_is_const(s->mm->m, &m) && m <= s->row_block) {
        emit_block(s, zero, panels, s->k.begin, s->k.end);
        return;
    }
    lp_loop l = lp_for_begin(b, s->k.begin, s->k.end, block, NULL, 0);
    lp_value *end = lp_bin(b, LP_min, lp_bin(b, LP_add, l.counter, block), s->k.end);
    if (s->mm->diagonal)
        emit_diagonal(s, l.counter, end);
    else
        emit_block(s, zero, panels, l.counter, end);
    lp_for_end(b, &l, NULL);
}

/* ---- choice of the tile ---------------------------------------------------------------------------------------------------- */

/* Weights in blocks are multiplied out apart where there are more rows. */
static bool may_unpack(const matmul_state *s) {
    int64_t m;
    return s->mm->bits && !(ir_dim_is_const(s->mm->m, &m) && m <= FEW_ROWS);
}

/* A few rows give too few tiles to share. Weights beyond the second-level cache are read by each thread that has rows: where these are few,
 * memory would be the limit. And what is multiplied out is so once if threads share the panels. */
static bool threads_share_panels(const matmul_state *s, int64_t rows) {
    return rows < 8 || (rows < 48 && s->panel_bytes * s->n_panels > LARGE_WEIGHT) ||
           (s->unpacks && rows < 4 * s->row_block);
}

static void choose_tile(matmul_state *s) {
    int64_t m;
    s->lanes = s->mm->g->target->lanes_f32;
    while (s->lanes > s->mm->panel)
        s->lanes /= 2;
    s->vectors = (unsigned)(s->mm->panel / s->lanes);
    s->group = 1;
    bool fixed = ir_dim_is_const(s->mm->m, &m);
    s->unpacks = fixed && may_unpack(s);
    s->max_rows = rows_of_tile(s);
    s->by_panels = fixed && !s->mm->arg && !s->mm->diagonal && threads_share_panels(s, m);
    if (!fixed || m > s->max_rows) return;
    s->max_rows = (unsigned)(m > 0 ? m : 1);
    /* sums of integers do not wait for each other; one panel is multiplied out at a time */
    if (s->mm->counts || s->unpacks) return;
    /* few rows: several panels at once, for enough independent chains to hide the latency of an FMA */
    while (s->group < 4 && s->group * 2 <= s->n_panels &&
           s->group * 2 * s->vectors <= MAX_TILE_VECTORS &&
           s->max_rows * s->group * 2 * s->vectors <= accumulators_of(s))
        s->group *= 2;
}

static void choose_prefetch(matmul_state *s) {
    int64_t m, tiles = K_UNROLL;
    if (s->mm->quads || s->mm->bits || s->panel_bytes * s->n_panels < PREFETCH_BYTES) return;
    if (ir_dim_is_const(s->mm->m, &m)) tiles = m / s->max_rows + (m % s->max_rows != 0);
    unsigned lines = (unsigned)(s->mm->panel * 4 * s->group * K_UNROLL / CACHE_LINE);
    s->ahead_lines = tiles >= lines ? 1 : tiles > 0 ? lines / (unsigned)tiles : 0;
}

static void choose_fetch(matmul_state *s) {
    int64_t m;
    bool few = ir_dim_is_const(s->mm->m, &m) && m * s->mm->n * 4 < LARGE_RESULT;
    s->fetches_results = !s->staged && !few && s->steps >= 32;
}

static void bind(matmul_state *s) {
    cg_matmul *mm = s->mm;
    bool rows = !s->by_panels;
    s->a = cg_kernel_in(&s->k, mm->a, rows && !mm->window && cg_view_is_whole(mm->g, mm->a));
    s->w = cg_kernel_in(&s->k, mm->w, false);
    if (mm->counts) s->counts = cg_kernel_in(&s->k, mm->counts, false);
    if (mm->counts) s->group_steps = cg_kernel_in(&s->k, mm->steps, false);
    s->y = cg_kernel_out(&s->k, mm->y, rows && cg_view_is_whole(mm->g, mm->y));
    s->lda = cg_kernel_dim(&s->k, mm->a->strides[0]);
    s->ldy = cg_kernel_dim(&s->k, mm->y->strides[0]);
    for (uint32_t i = 0; i < mm->n_extras; i++) {
        const cg_view *e = mm->extras[i];
        if (!e) continue;
        s->extra[i] = cg_kernel_in(&s->k, e, rows && cg_view_is_whole(mm->g, e));
        s->extra_row[i] = cg_kernel_dim(&s->k, e->strides[0]);
        s->extra_col[i] = cg_kernel_dim(&s->k, e->strides[1]);
    }
    if (s->floats_view) s->floats = cg_kernel_out(&s->k, s->floats_view, false);
    if (s->tail || s->staged) {
        int64_t tile = s->floats ? MAX_TILE_ROWS : s->max_rows * s->group;
        s->scratch = lp_alloca(&s->k.b, tile * mm->panel * 4);
    }
}

/* Room for a panel that is multiplied out. */
static void make_room(matmul_state *s) {
    cg *g = s->mm->g;
    if (!may_unpack(s)) return;
    const ir_dim *n = cg_dc(g, s->mm->k * s->mm->panel);
    cg_buffer *b = cg_thread_buffer(g, cg_dc(g, s->mm->k * s->mm->panel * 4));
    s->floats_view = cg_view_dense(g, b, ir_type_tensor(g->c, DT_f32, 1, &n));
}

static void open_best(matmul_state *s) {
    const cg_matmul_arg *arg = s->mm->arg;
    if (!arg) return;
    s->best.rule = (cg_best){.largest = arg->largest, .last = arg->last};
    s->best.lanes = lanes_of(s, s->mm->panel);
    matmul_best_open(&s->best, &s->k, s->row_block);
}

static void open_places(matmul_state *s) {
    cg_matmul *mm = s->mm;
    int64_t rows = s->row_block;
    if (!mm->window) return;
    s->places = (cg_places){.k = &s->k,
                            .window = mm->window,
                            .x = mm->a,
                            .image = s->a,
                            .channels = s->run_steps * 4,
                            .taps = mm->taps,
                            .pad = mm->pad};
    if (s->by_panels) ir_dim_is_const(mm->m, &rows);
    cg_places_begin(&s->places, rows);
}

void cg_matmul_packed(cg_matmul *mm) {
    matmul_state *s = TL_NEW(mm->g->arena, matmul_state);
    s->mm = mm;
    s->n_panels = (mm->n + mm->panel - 1) / mm->panel;
    s->tail = mm->n % mm->panel;
    s->run_steps = mm->window ? mm->run_steps : mm->quads ? (mm->k + 3) / 4 : mm->k;
    s->steps = mm->window ? mm->taps * s->run_steps : s->run_steps;
    s->row_block = mm->window     ? cg_places_block(mm->taps, ROW_BLOCK)
                   : mm->diagonal ? DIAGONAL_ROWS
                                  : ROW_BLOCK;
    s->panel_bytes = s->steps * mm->panel * 4;
    if (mm->bits) s->panel_bytes = (mm->k + mm->block - 1) / mm->block * matmul_block_bytes(s);
    s->staged = cg_elem_bytes(mm->y->dtype) != 4;
    choose_tile(s);
    choose_prefetch(s);
    choose_fetch(s);
    make_room(s);
    s->k = cg_kernel_begin(mm->g, mm->node, s->by_panels ? cg_dc(mm->g, s->n_panels) : mm->m);
    bind(s);
    open_best(s);
    open_places(s);
    emit_row_blocks(s);
    int64_t m, columns = mm->n;
    if (mm->diagonal) columns = mm->diagonal->width;
    if (ir_dim_is_const(mm->m, &m))
        mm->g->flops += 2.0 * (double)m * (double)mm->k * (double)columns;
    const char *kept = mm->arg ? " + best" : mm->diagonal ? " on a diagonal" : "";
    cg_kernel_end(&s->k, "MatMulPacked %lldx%lld%s%s", (long long)mm->k, (long long)mm->n,
                  mm->epilogue ? " + epilogue" : "", kept);
}
