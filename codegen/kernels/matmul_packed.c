/* The packed matrix product; see matmul_packed.h.
 *
 *   for blocks of rows                      (kept in the second-level cache)
 *     for panels                            (a panel stays in the first-level cache over the block)
 *       for tiles of 1 … max_rows rows:     acc[r][v] += a[r][k] * w[k][v]
 *         store the tile, apply the epilogue to it while it is in the first-level cache
 *
 * Large weights come from memory or the third-level cache: each tile fetches a part of the next panel, all tiles together all of it. */
#include "codegen/kernels/matmul_packed.h"

#include "codegen/lower/short.h"
#include "ir/base/assert.h"

enum { CACHE_LINE = 64, PREFETCH_BYTES = 128 << 10 }; /* larger weights are fetched ahead */
enum { LARGE_WEIGHT = 1 << 20 };                      /* bytes: of a second-level cache */
enum { ROW_BLOCK = 96, K_UNROLL = CG_MATMUL_UNROLL, MAX_TILE_ROWS = 14, MAX_TILE_VECTORS = 8 };

typedef struct matmul_state {
    cg_matmul *mm;
    cg_kernel k;
    unsigned lanes, vectors;  /* per panel */
    unsigned max_rows, group; /* group: panels done at once */
    bool by_panels;           /* threads share the panels instead of the rows */
    bool staged;              /* results are not as wide as sums: a tile is made apart */
    int64_t steps;            /* of k */
    int64_t run,
        run_steps; /* elements of a row side by side, their steps: all of k, or the channels under a tap */
    bool ragged;      /* the last quad of a run must not be read whole */
    cg_places places; /* rows that are windows of an image */
    int64_t row_block;
    lp_value *first_row;       /* of the block */
    lp_value *const *row_from; /* windows: the tap's elements of each row of the tile */
    int64_t panel_bytes;       /* of the weight */
    lp_value *rest, *rest_steps;
    lp_value *a, *w, *y, *lda, *ldy, *scratch;
    lp_value *extra[CG_MAX_NEST_VIEWS], *extra_row[CG_MAX_NEST_VIEWS],
        *extra_col[CG_MAX_NEST_VIEWS];
    unsigned ahead_lines;         /* of the next panel, fetched in K_UNROLL steps of k; 0: none */
    lp_value *ahead, *ahead_step; /* where this tile fetches, bytes a step */
    int64_t n_panels, tail;       /* tail: columns of the last panel, 0 = it is full */
} matmul_state;

/* ---- the register tile ------------------------------------------------------------------------------------------------ */

static lp_type sum_type(const matmul_state *s, unsigned lanes) {
    return lp_vec(s->mm->quads ? DT_i32 : DT_f32, lanes);
}

/* The last of a run, of which there are fewer than four; the weight's are zeros behind them. */
static lp_value *partial_quad(matmul_state *s, lp_value *from, lp_value *at, int64_t count) {
    lp_builder *b = &s->k.b;
    lp_value *quad = lp_const_i(b, lp_scalar(DT_u32), 0);
    for (int64_t i = 0; i < count; i++) {
        lp_value *byte = lp_load(b, lp_scalar(DT_u8), from, lp_bin(b, LP_add, at, lp_index(b, i)));
        byte = lp_cast(b, byte, DT_u32);
        quad = lp_bin(b, LP_or, quad, lp_bin(b, LP_shl, byte, lp_const_i(b, quad->type, 8 * i)));
    }
    return lp_bitcast(b, quad, DT_i32);
}

/* What a row contributes to a step: an element of A, or four bytes as one i32. */
static lp_value *row_operand(matmul_state *s, unsigned row, lp_value *row_at, lp_value *step,
                             bool last) {
    lp_builder *b = &s->k.b;
    if (!s->mm->quads) return lp_load(b, lp_scalar(DT_f32), s->a, lp_bin(b, LP_add, row_at, step));
    lp_value *at = lp_bin(b, LP_mul, step, lp_index(b, 4)), *from = s->a;
    if (s->row_from)
        from = s->row_from[row];
    else
        at = lp_bin(b, LP_add, row_at, at);
    if (last && s->ragged) return partial_quad(s, from, at, s->run % 4);
    return lp_load_aligned(b, lp_scalar(DT_i32), lp_ptr_add(b, from, at), lp_index(b, 0), 1);
}

/* One step of k: vectors of W once, each row's element of A broadcast. */
static void tile_step(matmul_state *s, unsigned rows, unsigned vectors, lp_value *const *row_at,
                      lp_value *const *panel_at, lp_value *kk, int64_t offset, bool last,
                      lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *at = lp_bin(b, LP_add, kk, lp_index(b, offset)), *w[MAX_TILE_VECTORS];
    for (unsigned v = 0; v < vectors; v++) {
        unsigned panel = v / s->vectors, column = v % s->vectors * s->lanes;
        lp_value *index = lp_bin(b, LP_add, lp_bin(b, LP_mul, at, lp_index(b, s->mm->panel)),
                                 lp_index(b, column));
        w[v] = lp_load(b, sum_type(s, s->lanes), panel_at[panel], index);
    }
    for (unsigned r = 0; r < rows; r++) {
        lp_value *x = lp_broadcast(b, row_operand(s, r, row_at[r], at, last), s->lanes);
        for (unsigned v = 0; v < vectors; v++) {
            lp_value **sum = &acc[r * vectors + v];
            *sum = s->mm->quads ? lp_dot4(b, x, w[v], *sum, s->mm->narrow)
                                : lp_fma(b, x, w[v], *sum);
        }
    }
}

/* Two steps of bytes, whose sums of four products have 16 bits. */
static void tile_oct(matmul_state *s, unsigned rows, unsigned vectors, lp_value *const *row_at,
                     lp_value *const *panel_at, lp_value *kk, int64_t offset, lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *at[2], *w[2][MAX_TILE_VECTORS];
    for (int j = 0; j < 2; j++) {
        at[j] = add(b, kk, lp_index(b, offset + j));
        for (unsigned v = 0; v < vectors; v++) {
            lp_value *index = add(b, mul(b, at[j], lp_index(b, s->mm->panel)),
                                  lp_index(b, v % s->vectors * s->lanes));
            w[j][v] = lp_load(b, sum_type(s, s->lanes), panel_at[v / s->vectors], index);
        }
    }
    for (unsigned r = 0; r < rows; r++) {
        lp_value *x[2];
        for (int j = 0; j < 2; j++)
            x[j] = lp_broadcast(b, row_operand(s, r, row_at[r], at[j], false), s->lanes);
        for (unsigned v = 0; v < vectors; v++) {
            lp_value **sum = &acc[r * vectors + v];
            *sum = lp_dot8(b, (lp_value *[]){x[0], w[0][v], x[1], w[1][v]}, *sum);
        }
    }
}

/* A part of the next panel, as large as this tile's of all that read this one. */
static void prefetch(matmul_state *s, lp_value *kk) {
    lp_builder *b = &s->k.b;
    if (!s->ahead) return;
    lp_value *at = lp_bin(b, LP_mul, kk, s->ahead_step);
    for (unsigned i = 0; i < s->ahead_lines; i++)
        lp_prefetch(b, s->ahead, lp_bin(b, LP_add, at, lp_index(b, (int64_t)i * CACHE_LINE)));
}

static void tile_loop(matmul_state *s, unsigned rows, unsigned vectors, lp_value *const *row_at,
                      lp_value *const *panel_at, int64_t lo, int64_t hi, int64_t step,
                      lp_value **acc) {
    bool last = hi == s->run_steps && step == 1;
    if (lo >= hi) return;
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lp_index(b, lo), lp_index(b, hi), lp_index(b, step), acc,
                             rows * vectors);
    lp_value *next[MAX_TILE_ROWS * MAX_TILE_VECTORS];
    memcpy(next, l.carried, rows * vectors * sizeof *next);
    if (step > 1) prefetch(s, l.counter);
    bool octs = s->mm->octs && step == K_UNROLL;
    for (int64_t u = 0; u < step; u += 1 + octs) {
        if (octs)
            tile_oct(s, rows, vectors, row_at, panel_at, l.counter, u, next);
        else
            tile_step(s, rows, vectors, row_at, panel_at, l.counter, u, last, next);
    }
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, rows * vectors * sizeof *acc);
}

/* ---- weights in blocks ------------------------------------------------------------------------------------------------- */

/* A block under way: its parts of the panels at hand, scales and zero points in registers. */
typedef struct code_block {
    unsigned rows, vectors;
    lp_value *const *row_at;
    lp_value *panel_at[MAX_TILE_VECTORS];
    lp_value *scale[MAX_TILE_VECTORS], *zero[MAX_TILE_VECTORS];
    lp_value *first; /* of k */
} code_block;

static int64_t rows_per_byte(const matmul_state *s) {
    return 8 / s->mm->bits;
}

static int64_t block_bytes(const matmul_state *s) {
    return s->mm->panel * (5 + (s->mm->block * s->mm->bits + 7) / 8);
}

/* `lanes` bytes as i32. */
static lp_value *load_bytes(matmul_state *s, lp_value *at, lp_value *index) {
    lp_builder *b = &s->k.b;
    return lp_cast(b, lp_load(b, lp_vec(DT_u8, s->lanes), at, index), DT_i32);
}

static void open_block(matmul_state *s, code_block *k, lp_value *const *panel_at,
                       lp_value *number) {
    lp_builder *b = &s->k.b;
    lp_value *bytes = lp_bin(b, LP_mul, number, lp_index(b, block_bytes(s)));
    k->first = lp_bin(b, LP_mul, number, lp_index(b, s->mm->block));
    for (unsigned p = 0; p < k->vectors / s->vectors; p++)
        k->panel_at[p] = lp_ptr_add(b, panel_at[p], bytes);
    for (unsigned v = 0; v < k->vectors; v++) {
        lp_value *at = k->panel_at[v / s->vectors];
        int64_t column = v % s->vectors * s->lanes;
        lp_value *zero = load_bytes(s, at, lp_index(b, 4 * s->mm->panel + column));
        k->scale[v] = lp_load(b, lp_vec(DT_f32, s->lanes), at, lp_index(b, column));
        k->zero[v] = lp_cast(b, zero, DT_f32);
    }
}

/* Weights of row `j` of those in the bytes: (code - zero) * scale. */
static lp_value *weights_of(matmul_state *s, const code_block *k, unsigned v, lp_value *bytes,
                            int64_t j) {
    lp_builder *b = &s->k.b;
    lp_value *code = bytes;
    if (j) code = lp_bin(b, LP_shr, code, lp_const_i(b, code->type, j * s->mm->bits));
    if (s->mm->bits < 8)
        code = lp_bin(b, LP_and, code, lp_const_i(b, code->type, (1 << s->mm->bits) - 1));
    lp_value *x = lp_bin(b, LP_sub, lp_cast(b, code, DT_f32), k->zero[v]);
    return lp_bin(b, LP_mul, x, k->scale[v]);
}

/* The `count` rows whose codes share a byte, the group-th of the block. */
static void block_step(matmul_state *s, const code_block *k, lp_value *group, int64_t count,
                       lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *bytes[MAX_TILE_VECTORS], *x[MAX_TILE_ROWS];
    lp_value *first = lp_bin(b, LP_mul, group, lp_index(b, rows_per_byte(s)));
    first = lp_bin(b, LP_add, k->first, first);
    for (unsigned v = 0; v < k->vectors; v++) {
        int64_t column = 5 * s->mm->panel + v % s->vectors * s->lanes;
        lp_value *at = lp_bin(b, LP_mul, group, lp_index(b, s->mm->panel));
        bytes[v] = load_bytes(s, k->panel_at[v / s->vectors],
                              lp_bin(b, LP_add, at, lp_index(b, column)));
    }
    for (int64_t j = 0; j < count; j++) {
        lp_value *at = lp_bin(b, LP_add, first, lp_index(b, j));
        for (unsigned r = 0; r < k->rows; r++) {
            x[r] = lp_load(b, lp_scalar(DT_f32), s->a, lp_bin(b, LP_add, k->row_at[r], at));
            x[r] = lp_broadcast(b, x[r], s->lanes);
        }
        for (unsigned v = 0; v < k->vectors; v++) {
            lp_value *w = weights_of(s, k, v, bytes[v], j);
            for (unsigned r = 0; r < k->rows; r++)
                acc[r * k->vectors + v] = lp_fma(b, x[r], w, acc[r * k->vectors + v]);
        }
    }
}

static void block_groups(matmul_state *s, const code_block *k, int64_t lo, int64_t hi, int64_t step,
                         lp_value **acc) {
    lp_builder *b = &s->k.b;
    unsigned n = k->rows * k->vectors;
    if (lo >= hi) return;
    lp_loop l = lp_for_begin(b, lp_index(b, lo), lp_index(b, hi), lp_index(b, step), acc, n);
    lp_value *next[MAX_TILE_ROWS * MAX_TILE_VECTORS];
    memcpy(next, l.carried, n * sizeof *next);
    for (int64_t u = 0; u < step; u++)
        block_step(s, k, lp_bin(b, LP_add, l.counter, lp_index(b, u)), rows_per_byte(s), next);
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n * sizeof *acc);
}

/* The number-th block, `count` rows of it. */
static void one_block(matmul_state *s, code_block *k, lp_value *const *panel_at, lp_value *number,
                      int64_t count, lp_value **acc) {
    int64_t groups = count / rows_per_byte(s), rest = count % rows_per_byte(s);
    int64_t unroll = K_UNROLL / rows_per_byte(s), whole = groups / unroll * unroll;
    open_block(s, k, panel_at, number);
    block_groups(s, k, 0, whole, unroll, acc);
    block_groups(s, k, whole, groups, 1, acc);
    if (rest) block_step(s, k, lp_index(&s->k.b, groups), rest, acc);
}

static void tile_blocks(matmul_state *s, unsigned rows, unsigned vectors, lp_value *const *row_at,
                        lp_value *const *panel_at, lp_value **acc) {
    lp_builder *b = &s->k.b;
    code_block k = {.rows = rows, .vectors = vectors, .row_at = row_at};
    int64_t whole = s->mm->k / s->mm->block, rest = s->mm->k % s->mm->block;
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, whole), lp_index(b, 1), acc,
                             rows * vectors);
    lp_value *next[MAX_TILE_ROWS * MAX_TILE_VECTORS];
    memcpy(next, l.carried, rows * vectors * sizeof *next);
    one_block(s, &k, panel_at, l.counter, s->mm->block, next);
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, rows * vectors * sizeof *acc);
    if (rest) one_block(s, &k, panel_at, lp_index(b, whole), rest, acc);
}

/* ---- runs ----------------------------------------------------------------------------------------------------------------- */

static void sum_run(matmul_state *s, unsigned rows, unsigned vectors, lp_value *const *row_at,
                    lp_value *const *panel_at, lp_value **acc) {
    int64_t k = s->run_steps, end = s->ragged ? k - 1 : k, whole = end / K_UNROLL * K_UNROLL;
    tile_loop(s, rows, vectors, row_at, panel_at, 0, whole, K_UNROLL, acc);
    tile_loop(s, rows, vectors, row_at, panel_at, whole, end, 1, acc);
    tile_loop(s, rows, vectors, row_at, panel_at, end, k, 1, acc);
}

/* Rows that are windows: tap by tap, each row from where it reads. */
static void sum_taps(matmul_state *s, unsigned rows, unsigned vectors, lp_value *row,
                     lp_value *const *row_at, lp_value *const *panel_at, lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *from[MAX_TILE_ROWS], *panel[MAX_TILE_VECTORS],
        *next[MAX_TILE_ROWS * MAX_TILE_VECTORS], *one = lp_index(b, 1);
    unsigned n = rows * vectors;
    lp_value *first = sub(b, row, s->first_row);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, s->places.taps), one, acc, n);
    memcpy(next, l.carried, n * sizeof *next);
    for (unsigned r = 0; r < rows; r++)
        from[r] = cg_places_get(&s->places, add(b, first, lp_index(b, r)), l.counter);
    lp_value *bytes = mul(b, l.counter, lp_index(b, s->run_steps * s->mm->panel * 4));
    for (unsigned p = 0; p < vectors / s->vectors; p++)
        panel[p] = lp_ptr_add(b, panel_at[p], bytes);
    s->row_from = from;
    sum_run(s, rows, vectors, row_at, panel, next);
    s->row_from = NULL;
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n * sizeof *acc);
}

/* What was cut off the weights of panel p of the tile, with the bytes of the steps it was cut from. */
static void sum_rests(matmul_state *s, unsigned rows, unsigned vectors, unsigned p, lp_value *row,
                      lp_value *panel, lp_value *const *row_at, lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *rests = lp_index(b, s->mm->rests), *next[MAX_TILE_ROWS * MAX_TILE_VECTORS];
    lp_value *first = mul(b, add(b, panel, lp_index(b, p)), rests), *from[MAX_TILE_ROWS];
    unsigned n = rows * vectors;
    lp_loop l = lp_for_begin(b, lp_index(b, 0), rests, lp_index(b, 1), acc, n);
    memcpy(next, l.carried, n * sizeof *next);
    lp_value *number = add(b, first, l.counter);
    lp_value *step = lp_cast(b, lp_load(b, lp_scalar(DT_i32), s->rest_steps, number), DT_i64);
    if (s->mm->window) {
        lp_value *run = lp_index(b, s->run_steps), *tap = quotient(b, step, run);
        for (unsigned r = 0; r < rows; r++)
            from[r] = cg_places_get(&s->places, add(b, sub(b, row, s->first_row), lp_index(b, r)),
                                    tap);
        step = lp_bin(b, LP_rem, step, run);
        s->row_from = from;
    }
    for (unsigned v = 0; v < s->vectors; v++) {
        lp_value *at = add(b, mul(b, number, lp_index(b, s->mm->panel)), lp_index(b, v * s->lanes));
        lp_value *w = lp_load(b, sum_type(s, s->lanes), s->rest, at);
        for (unsigned r = 0; r < rows; r++) {
            lp_value *x = lp_broadcast(b, row_operand(s, r, row_at[r], step, false), s->lanes);
            lp_value **sum = &next[r * vectors + p * s->vectors + v];
            *sum = lp_dot4(b, x, w, *sum, true);
        }
    }
    s->row_from = NULL;
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n * sizeof *acc);
}

/* ---- tiles --------------------------------------------------------------------------------------------------------------- */

/* rows x (panels * panel) results to `to` with row stride `ld`. */
static void emit_tile(matmul_state *s, unsigned rows, unsigned panels, lp_value *row,
                      lp_value *panel, lp_value *to, lp_value *ld) {
    lp_builder *b = &s->k.b;
    unsigned vectors = panels * s->vectors;
    lp_value *acc[MAX_TILE_ROWS * MAX_TILE_VECTORS], *row_at[MAX_TILE_ROWS],
        *panel_at[MAX_TILE_VECTORS];
    for (unsigned i = 0; i < rows * vectors; i++)
        acc[i] = lp_const_i(b, sum_type(s, s->lanes), 0);
    for (unsigned r = 0; r < rows; r++)
        row_at[r] = lp_bin(b, LP_mul, lp_bin(b, LP_add, row, lp_index(b, r)), s->lda);
    for (unsigned p = 0; p < panels; p++) {
        lp_value *bytes = lp_bin(b, LP_mul, lp_bin(b, LP_add, panel, lp_index(b, p)),
                                 lp_index(b, s->panel_bytes));
        panel_at[p] = lp_ptr_add(b, s->w, bytes);
    }
    if (s->mm->bits)
        tile_blocks(s, rows, vectors, row_at, panel_at, acc);
    else if (s->mm->window)
        sum_taps(s, rows, vectors, row, row_at, panel_at, acc);
    else
        sum_run(s, rows, vectors, row_at, panel_at, acc);
    for (unsigned p = 0; p < panels && s->mm->rests; p++)
        sum_rests(s, rows, vectors, p, row, panel, row_at, acc);
    for (unsigned r = 0; r < rows; r++)
        for (unsigned v = 0; v < vectors; v++) {
            lp_value *at = lp_bin(b, LP_add, lp_bin(b, LP_mul, ld, lp_index(b, r)),
                                  lp_index(b, v * s->lanes));
            lp_store(b, to, at, acc[r * vectors + v]);
        }
}

/* Tiles of every height there may be: if height == 1 … else if height == 2 … */
static void emit_tile_of(matmul_state *s, unsigned rows, unsigned panels, lp_value *height,
                         lp_value *row, lp_value *panel, lp_value *to, lp_value *ld) {
    lp_builder *b = &s->k.b;
    if (rows == 1) {
        emit_tile(s, rows, panels, row, panel, to, ld);
        return;
    }
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_eq, height, lp_index(b, rows)), NULL, 0);
    emit_tile(s, rows, panels, row, panel, to, ld);
    lp_if_else(b, &l, NULL);
    emit_tile_of(s, rows - 1, panels, height, row, panel, to, ld);
    lp_if_end(b, &l, NULL);
}

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
        lp_value *at = lp_bin(b, LP_add, lp_bin(b, LP_mul, row, s->extra_row[i]),
                              lp_bin(b, LP_mul, column, s->extra_col[i]));
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
        lp_value *x = lp_load(b, sum_type(s, lanes), from, lp_bin(b, LP_add, from_at, offset));
        if (s->mm->epilogue) apply_epilogue(s, lanes, row, column, x, &x);
        cg_store(b, s->mm->y->dtype, lanes, s->y, lp_bin(b, LP_add, to_at, offset), lp_index(b, 1),
                 x);
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

/* ---- loops over tiles ---------------------------------------------------------------------------------------------------- */

static void full_tile(matmul_state *s, unsigned panels, lp_value *height, lp_value *row,
                      lp_value *panel) {
    lp_builder *b = &s->k.b;
    lp_value *column = lp_bin(b, LP_mul, panel, lp_index(b, s->mm->panel));
    if (s->staged) {
        lp_value *ld = lp_index(b, s->mm->panel * panels);
        emit_tile_of(s, s->max_rows, panels, height, row, panel, s->scratch, ld);
        epilogue_tile(s, row, height, column, s->mm->panel * panels, s->scratch, ld);
        return;
    }
    lp_value *at = lp_bin(b, LP_add, lp_bin(b, LP_mul, row, s->ldy), column);
    lp_value *to = lp_ptr_add(b, s->y, lp_bin(b, LP_mul, at, lp_index(b, 4)));
    emit_tile_of(s, s->max_rows, panels, height, row, panel, to, s->ldy);
    if (s->mm->epilogue) epilogue_tile(s, row, height, column, s->mm->panel * panels, to, s->ldy);
}

/* The last panel where N is no multiple of the panel: through a scratch tile. */
static void tail_tile(matmul_state *s, lp_value *height, lp_value *row) {
    lp_builder *b = &s->k.b;
    lp_value *panel = lp_index(b, s->n_panels - 1), *ld = lp_index(b, s->mm->panel);
    lp_value *column = lp_index(b, (s->n_panels - 1) * s->mm->panel);
    emit_tile_of(s, s->max_rows, 1, height, row, panel, s->scratch, ld);
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

typedef void tile_fn(matmul_state *s, lp_value *height, lp_value *row, const panel_tile *p);

/* Cuts rows [lo, hi) into tiles of nearly equal height <= max_rows. */
static void for_tiles(matmul_state *s, lp_value *lo, lp_value *hi, tile_fn *fn,
                      const panel_tile *p) {
    lp_builder *b = &s->k.b;
    lp_value *one = lp_index(b, 1), *max = lp_index(b, s->max_rows), *n = lp_bin(b, LP_sub, hi, lo);
    lp_value *tiles = lp_bin(b, LP_div, lp_bin(b, LP_add, n, lp_index(b, s->max_rows - 1)), max);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), tiles, one, &lo, 1);
    lp_value *left = lp_bin(b, LP_sub, tiles, l.counter), *row = l.carried[0];
    lp_value *rest = lp_bin(b, LP_add, lp_bin(b, LP_sub, hi, row), lp_bin(b, LP_sub, left, one));
    lp_value *height = lp_bin(b, LP_div, rest, left);
    if (p && s->ahead_lines) aim_prefetch(s, p, l.counter, tiles);
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
    for_tiles(s, row_lo, row_hi, full_tile_fn, &(panel_tile){l.counter, panels});
    lp_for_end(b, &l, NULL);
}

/* Panels [lo, hi) of rows [row_lo, row_hi): groups, single ones, the tail. */
static void emit_block(matmul_state *s, lp_value *lo, lp_value *hi, lp_value *row_lo,
                       lp_value *row_hi) {
    lp_builder *b = &s->k.b;
    lp_value *full = lp_index(b, s->n_panels - (s->tail != 0)), *end = lp_bin(b, LP_min, hi, full),
             *mid = lo;
    s->first_row = row_lo;
    if (s->mm->window) cg_places_fill(&s->places, row_lo, row_hi);
    if (s->group > 1) {
        lp_value *g = lp_index(b, s->group),
                 *n = lp_bin(b, LP_max, lp_bin(b, LP_sub, end, lo), lp_index(b, 0));
        mid = lp_bin(b, LP_add, lo, lp_bin(b, LP_mul, lp_bin(b, LP_div, n, g), g));
        for_panels(s, lo, mid, s->group, row_lo, row_hi);
    }
    for_panels(s, mid, end, 1, row_lo, row_hi);
    if (!s->tail) return;
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_gt, hi, full), NULL, 0);
    for_tiles(s, row_lo, row_hi, tail_tile_fn, NULL);
    lp_if_end(b, &l, NULL);
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
    if (ir_dim_is_const(s->mm->m, &m) && m <= s->row_block) {
        emit_block(s, zero, panels, s->k.begin, s->k.end);
        return;
    }
    lp_loop l = lp_for_begin(b, s->k.begin, s->k.end, block, NULL, 0);
    lp_value *end = lp_bin(b, LP_min, lp_bin(b, LP_add, l.counter, block), s->k.end);
    emit_block(s, zero, panels, l.counter, end);
    lp_for_end(b, &l, NULL);
}

/* ---- choice of the tile ---------------------------------------------------------------------------------------------------- */

/* A few rows give too few tiles to share. Weights beyond the second-level cache are read by each thread that has rows: where these are few,
 * memory would be the limit. */
static bool threads_share_panels(const matmul_state *s, int64_t rows) {
    return rows < 8 || (rows < 48 && s->panel_bytes * s->n_panels > LARGE_WEIGHT);
}

static void choose_tile(matmul_state *s) {
    const cg_target *t = s->mm->g->target;
    int64_t m;
    s->lanes = t->lanes_f32;
    while (s->lanes > s->mm->panel)
        s->lanes /= 2;
    s->vectors = (unsigned)(s->mm->panel / s->lanes);
    /* without VNNI a step splits both operands in two, or has sums on the way */
    bool splits = s->mm->quads && !t->has_vnni;
    unsigned work = s->mm->octs                ? 2 * s->vectors + 4
                    : splits && !s->mm->narrow ? 2 * s->vectors + 3
                    : splits                   ? s->vectors + 2
                    : s->mm->bits              ? 3 * s->vectors + 1
                                               : s->vectors + 1;
    unsigned accumulators = t->n_registers - work;
    s->max_rows = accumulators / s->vectors;
    if (s->max_rows > MAX_TILE_ROWS) s->max_rows = MAX_TILE_ROWS;
    if (s->max_rows < 1) s->max_rows = 1;
    s->group = 1;
    bool fixed = ir_dim_is_const(s->mm->m, &m);
    s->by_panels = fixed && threads_share_panels(s, m);
    if (!fixed || m > s->max_rows) return;
    s->max_rows = (unsigned)(m > 0 ? m : 1);
    /* few rows: several panels at once, for enough independent chains to hide the latency of an FMA */
    while (s->group < 4 && s->group * 2 <= s->n_panels &&
           s->group * 2 * s->vectors <= MAX_TILE_VECTORS &&
           s->max_rows * s->group * 2 * s->vectors <= accumulators)
        s->group *= 2;
}

static void choose_prefetch(matmul_state *s) {
    int64_t m, tiles = K_UNROLL;
    if (s->mm->quads || s->mm->bits || s->panel_bytes * s->n_panels < PREFETCH_BYTES) return;
    if (ir_dim_is_const(s->mm->m, &m)) tiles = m / s->max_rows + (m % s->max_rows != 0);
    unsigned lines = (unsigned)(s->mm->panel * 4 * s->group * K_UNROLL / CACHE_LINE);
    s->ahead_lines = tiles >= lines ? 1 : tiles > 0 ? lines / (unsigned)tiles : 0;
}

static void bind(matmul_state *s) {
    cg_matmul *mm = s->mm;
    bool rows = !s->by_panels;
    s->a = cg_kernel_in(&s->k, mm->a, rows && !mm->window && cg_view_is_whole(mm->g, mm->a));
    s->w = cg_kernel_in(&s->k, mm->w, false);
    if (mm->rests) s->rest = cg_kernel_in(&s->k, mm->rest, false);
    if (mm->rests) s->rest_steps = cg_kernel_in(&s->k, mm->rest_steps, false);
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
    if (s->tail || s->staged)
        s->scratch = lp_alloca(&s->k.b, (int64_t)s->max_rows * s->group * mm->panel * 4);
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
    s->run = mm->window ? mm->k / mm->taps : mm->k;
    s->run_steps = mm->quads ? (s->run + 3) / 4 : s->run;
    s->ragged = mm->quads && s->run % 4 && !mm->whole_quads;
    s->steps = mm->window ? mm->taps * s->run_steps : s->run_steps;
    s->row_block = mm->window ? cg_places_block(mm->taps, ROW_BLOCK) : ROW_BLOCK;
    s->panel_bytes = s->steps * mm->panel * 4;
    if (mm->bits) s->panel_bytes = (mm->k + mm->block - 1) / mm->block * block_bytes(s);
    s->staged = cg_elem_bytes(mm->y->dtype) != 4;
    choose_tile(s);
    choose_prefetch(s);
    s->k = cg_kernel_begin(mm->g, mm->node, s->by_panels ? cg_dc(mm->g, s->n_panels) : mm->m);
    bind(s);
    open_places(s);
    emit_row_blocks(s);
    int64_t m;
    if (ir_dim_is_const(mm->m, &m)) mm->g->flops += 2.0 * (double)m * (double)mm->k * (double)mm->n;
    cg_kernel_end(&s->k, "MatMulPacked %lldx%lld%s", (long long)mm->k, (long long)mm->n,
                  mm->epilogue ? " + epilogue" : "");
}
