/* See matmul_tile.h. */
#include "codegen/kernels/matmul_tile.h"

#include "codegen/lower/short.h"

lp_type matmul_sum_type(const matmul_state *s, unsigned lanes) {
    return lp_vec(s->mm->quads ? DT_i32 : DT_f32, lanes);
}

/* What a row contributes to a step: an element of A, or four bytes as one i32. */
static lp_value *row_operand(matmul_state *s, unsigned row, lp_value *row_at, lp_value *step) {
    lp_builder *b = &s->k.b;
    if (!s->mm->quads) return lp_load(b, lp_scalar(DT_f32), s->a, lp_bin(b, LP_add, row_at, step));
    lp_value *at = lp_bin(b, LP_mul, step, lp_index(b, 4)), *from = s->a;
    if (s->row_from)
        from = s->row_from[row];
    else
        at = lp_bin(b, LP_add, row_at, at);
    return lp_load_aligned(b, lp_scalar(DT_i32), lp_ptr_add(b, from, at), lp_index(b, 0), 1);
}

/* One step of k: vectors of W once, each row's element of A broadcast. */
static void tile_step(matmul_state *s, unsigned rows, unsigned vectors, lp_value *const *row_at,
                      lp_value *const *panel_at, lp_value *kk, int64_t offset, lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *at = lp_bin(b, LP_add, kk, lp_index(b, offset)), *w[MAX_TILE_VECTORS];
    for (unsigned v = 0; v < vectors; v++) {
        unsigned panel = v / s->vectors, column = v % s->vectors * s->lanes;
        lp_value *index = lp_bin(b, LP_add, lp_bin(b, LP_mul, at, lp_index(b, s->mm->panel)),
                                 lp_index(b, column));
        w[v] = lp_load(b, matmul_sum_type(s, s->lanes), panel_at[panel], index);
    }
    for (unsigned r = 0; r < rows; r++) {
        lp_value *x = lp_broadcast(b, row_operand(s, r, row_at[r], at), s->lanes);
        for (unsigned v = 0; v < vectors; v++) {
            lp_value **sum = &acc[r * vectors + v];
            *sum = s->mm->quads ? lp_dot4(b, x, w[v], *sum, false) : lp_fma(b, x, w[v], *sum);
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
    if (lo >= hi) return;
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lp_index(b, lo), lp_index(b, hi), lp_index(b, step), acc,
                             rows * vectors);
    lp_value *next[MAX_TILE_ROWS * MAX_TILE_VECTORS];
    memcpy(next, l.carried, rows * vectors * sizeof *next);
    if (step > 1) prefetch(s, l.counter);
    for (int64_t u = 0; u < step; u++)
        tile_step(s, rows, vectors, row_at, panel_at, l.counter, u, next);
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

int64_t matmul_block_bytes(const matmul_state *s) {
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
    lp_value *bytes = lp_bin(b, LP_mul, number, lp_index(b, matmul_block_bytes(s)));
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
    lp_value *x = lp_cast(b, code, DT_f32);
    return mul(b, sub(b, x, k->zero[v]), k->scale[v]);
}

/* The group-th bytes of the block, those of vector v. */
static lp_value *block_bytes(matmul_state *s, const code_block *k, lp_value *group, unsigned v) {
    lp_builder *b = &s->k.b;
    int64_t column = 5 * s->mm->panel + v % s->vectors * s->lanes;
    lp_value *at = lp_bin(b, LP_mul, group, lp_index(b, s->mm->panel));
    return load_bytes(s, k->panel_at[v / s->vectors], lp_bin(b, LP_add, at, lp_index(b, column)));
}

/* The `count` rows whose codes share a byte, the group-th of the block. */
static void block_step(matmul_state *s, const code_block *k, lp_value *group, int64_t count,
                       lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *bytes[MAX_TILE_VECTORS], *x[MAX_TILE_ROWS];
    lp_value *first = lp_bin(b, LP_mul, group, lp_index(b, rows_per_byte(s)));
    first = lp_bin(b, LP_add, k->first, first);
    for (unsigned v = 0; v < k->vectors; v++)
        bytes[v] = block_bytes(s, k, group, v);
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

static void unpack_rows(matmul_state *s, code_block *k, lp_value *group, int64_t count) {
    lp_builder *b = &s->k.b;
    lp_value *first = add(b, k->first, mul(b, group, lp_index(b, rows_per_byte(s))));
    for (unsigned v = 0; v < k->vectors; v++) {
        lp_value *bytes = block_bytes(s, k, group, v);
        for (int64_t j = 0; j < count; j++) {
            lp_value *to = mul(b, add(b, first, lp_index(b, j)), lp_index(b, s->mm->panel));
            lp_store(b, s->floats, add(b, to, lp_index(b, v * s->lanes)),
                     weights_of(s, k, v, bytes, j));
        }
    }
}

static void unpack_groups(matmul_state *s, code_block *k, int64_t lo, int64_t hi, int64_t step) {
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lp_index(b, lo), lp_index(b, hi), lp_index(b, step), NULL, 0);
    for (int64_t u = 0; u < step; u++)
        unpack_rows(s, k, add(b, l.counter, lp_index(b, u)), rows_per_byte(s));
    lp_for_end(b, &l, NULL);
}

static void unpack_block(matmul_state *s, lp_value *panel_at, lp_value *number, int64_t count) {
    code_block k = {.vectors = s->vectors};
    int64_t groups = count / rows_per_byte(s), rest = count % rows_per_byte(s);
    int64_t whole = groups / K_UNROLL * K_UNROLL;
    open_block(s, &k, &panel_at, number);
    unpack_groups(s, &k, 0, whole, K_UNROLL);
    unpack_groups(s, &k, whole, groups, 1);
    if (rest) unpack_rows(s, &k, lp_index(&s->k.b, groups), rest);
}

void matmul_unpack(matmul_state *s, lp_value *panel) {
    lp_builder *b = &s->k.b;
    lp_value *from = lp_ptr_add(b, s->w, mul(b, panel, lp_index(b, s->panel_bytes)));
    int64_t whole = s->mm->k / s->mm->block, rest = s->mm->k % s->mm->block;
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, whole), lp_index(b, 1), NULL, 0);
    unpack_block(s, from, l.counter, s->mm->block);
    lp_for_end(b, &l, NULL);
    if (rest) unpack_block(s, from, lp_index(b, whole), rest);
}

/* ---- groups of steps -------------------------------------------------------------------------------------------------- */

/* Steps [first, first + size) of the weight: sums of 16 bits over all of them, then widened. One that is alone may be large. */
static void group_step(matmul_state *s, unsigned rows, int64_t size, lp_value *const *row_at,
                       lp_value *first, lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *w[MAX_TILE_VECTORS], *sums[MAX_TILE_ROWS * MAX_TILE_VECTORS];
    for (int64_t j = 0; j < size; j++) {
        lp_value *at = add(b, first, lp_index(b, j));
        lp_value *quad = lp_cast(b, lp_load(b, lp_scalar(DT_i32), s->group_steps, at), DT_i64);
        for (unsigned v = 0; v < s->vectors; v++)
            w[v] = lp_load(
                b, matmul_sum_type(s, s->lanes), s->w,
                add(b, mul(b, at, lp_index(b, s->mm->panel)), lp_index(b, v * s->lanes)));
        for (unsigned r = 0; r < rows; r++) {
            lp_value *x = lp_broadcast(b, row_operand(s, r, row_at[r], quad), s->lanes);
            for (unsigned v = 0; v < s->vectors; v++) {
                unsigned i = r * s->vectors + v;
                if (s->mm->alone)
                    acc[i] = lp_dot4(b, x, w[v], acc[i], false);
                else
                    sums[i] = j ? add(b, sums[i], lp_pairs(b, x, w[v])) : lp_pairs(b, x, w[v]);
            }
        }
    }
    lp_type t = matmul_sum_type(s, s->lanes);
    for (unsigned i = 0; i < rows * s->vectors && !s->mm->alone; i++)
        acc[i] = lp_dot2(b, lp_regroup(b, sums[i], t), lp_const_i(b, t, 0x00010001), acc[i]);
}

/* The run-th of all panels' runs: groups of each size. */
static void sum_groups(matmul_state *s, unsigned rows, lp_value *const *row_at, lp_value *run,
                       lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *at = mul(b, run, lp_index(b, 1 + CG_MATMUL_GROUP_SIZES)),
             *next[MAX_TILE_ROWS * MAX_TILE_VECTORS];
    unsigned n = rows * s->vectors;
    lp_value *first = lp_cast(b, lp_load(b, lp_scalar(DT_i32), s->counts, at), DT_i64);
    for (int64_t i = 0; i < CG_MATMUL_GROUP_SIZES; i++) {
        int64_t size = CG_MATMUL_GROUP_SIZES - i;
        if (s->mm->alone && size > 1) continue;
        lp_value *count = lp_load(b, lp_scalar(DT_i32), s->counts, add(b, at, lp_index(b, 1 + i)));
        lp_value *end = add(b, first, mul(b, lp_cast(b, count, DT_i64), lp_index(b, size)));
        lp_loop l = lp_for_begin(b, first, end, lp_index(b, size), acc, n);
        memcpy(next, l.carried, n * sizeof *next);
        group_step(s, rows, size, row_at, l.counter, next);
        lp_for_end(b, &l, next);
        memcpy(acc, l.results, n * sizeof *acc);
        first = end;
    }
}

/* ---- runs ----------------------------------------------------------------------------------------------------------------- */

static void sum_run(matmul_state *s, unsigned rows, unsigned vectors, lp_value *const *row_at,
                    lp_value *const *panel_at, lp_value **acc) {
    int64_t k = s->run_steps, whole = k / K_UNROLL * K_UNROLL;
    tile_loop(s, rows, vectors, row_at, panel_at, 0, whole, K_UNROLL, acc);
    tile_loop(s, rows, vectors, row_at, panel_at, whole, k, 1, acc);
}

/* Rows that are windows: tap by tap, each row from where it reads. */
static void sum_taps(matmul_state *s, unsigned rows, unsigned vectors, lp_value *row,
                     lp_value *number, lp_value *const *row_at, lp_value *const *panel_at,
                     lp_value **acc) {
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
    lp_value *run = add(b, mul(b, number, lp_index(b, s->places.taps)), l.counter);
    if (s->counts)
        sum_groups(s, rows, row_at, run, next);
    else
        sum_run(s, rows, vectors, row_at, panel, next);
    s->row_from = NULL;
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n * sizeof *acc);
}

/* ---- tiles --------------------------------------------------------------------------------------------------------------- */

/* Results that are not in the second-level cache are on their way while the sums are made; a store would wait for its line, and what
 * follows for the store. */
static void fetch_results(matmul_state *s, unsigned rows, unsigned panels, lp_value *to,
                          lp_value *ld) {
    lp_builder *b = &s->k.b;
    int64_t bytes = s->mm->panel * panels * 4;
    for (unsigned r = 0; s->fetches_results && to != s->scratch && r < rows; r++) {
        lp_value *at = lp_bin(b, LP_mul, ld, lp_index(b, 4 * (int64_t)r));
        for (int64_t i = 0; i < bytes; i += CACHE_LINE)
            lp_prefetch(b, to, lp_bin(b, LP_add, at, lp_index(b, i)));
        if (s->mm->n * 4 % CACHE_LINE)
            lp_prefetch(b, to, lp_bin(b, LP_add, at, lp_index(b, bytes - 4)));
    }
}

/* rows x (panels * panel) results to `to` with row stride `ld`. */
static void emit_tile(matmul_state *s, unsigned rows, unsigned panels, lp_value *row,
                      lp_value *panel, lp_value *to, lp_value *ld) {
    lp_builder *b = &s->k.b;
    unsigned vectors = panels * s->vectors;
    lp_value *acc[MAX_TILE_ROWS * MAX_TILE_VECTORS], *row_at[MAX_TILE_ROWS],
        *panel_at[MAX_TILE_VECTORS];
    for (unsigned i = 0; i < rows * vectors; i++)
        acc[i] = lp_const_i(b, matmul_sum_type(s, s->lanes), 0);
    for (unsigned r = 0; r < rows; r++)
        row_at[r] = lp_bin(b, LP_mul, lp_bin(b, LP_add, row, lp_index(b, r)), s->lda);
    for (unsigned p = 0; p < panels; p++) {
        lp_value *bytes = lp_bin(b, LP_mul, lp_bin(b, LP_add, panel, lp_index(b, p)),
                                 lp_index(b, s->panel_bytes));
        panel_at[p] = s->unpacks ? s->floats : lp_ptr_add(b, s->w, bytes);
    }
    fetch_results(s, rows, panels, to, ld);
    if (s->mm->bits && !s->unpacks)
        tile_blocks(s, rows, vectors, row_at, panel_at, acc);
    else if (s->mm->window)
        sum_taps(s, rows, vectors, row, panel, row_at, panel_at, acc);
    else if (s->counts)
        sum_groups(s, rows, row_at, panel, acc);
    else
        sum_run(s, rows, vectors, row_at, panel_at, acc);
    for (unsigned r = 0; r < rows; r++)
        for (unsigned v = 0; v < vectors; v++) {
            lp_value *at = lp_bin(b, LP_add, lp_bin(b, LP_mul, ld, lp_index(b, r)),
                                  lp_index(b, v * s->lanes));
            lp_store(b, to, at, acc[r * vectors + v]);
        }
}

/* Tiles of every height there may be: if height == 1 … else if height == 2 … */
void matmul_tile(matmul_state *s, unsigned rows, unsigned panels, lp_value *height, lp_value *row,
                 lp_value *panel, lp_value *to, lp_value *ld) {
    lp_builder *b = &s->k.b;
    if (rows == 1) {
        emit_tile(s, rows, panels, row, panel, to, ld);
        return;
    }
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_eq, height, lp_index(b, rows)), NULL, 0);
    emit_tile(s, rows, panels, row, panel, to, ld);
    lp_if_else(b, &l, NULL);
    matmul_tile(s, rows - 1, panels, height, row, panel, to, ld);
    lp_if_end(b, &l, NULL);
}
