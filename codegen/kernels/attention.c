/* The attention kernel; see attention.h. Per batch entry, head and block of queries:
 *
 *   qt[d][query]        = scale * q, transposed                       in registers, once per block
 *   scores[key][query]  = mask, transposed likewise                   where each query has a row of its own
 *   scores[key][query]  = chain of FMAs over d, mask; running maximum  tiles of KEYS x vectors
 *   scores              = exp(scores - maximum); sum                   vectors along the queries: nothing is done across lanes
 *   y[query]            = chain of FMAs over the keys, / sum           tiles of queries x vectors along the head's width  */
#include "codegen/kernels/attention.h"

#include "codegen/kernels/transpose.h"
#include "ir/base/assert.h"

#include <math.h>

enum { MAX_VECTORS = 2, MAX_KEYS = 8, MAX_TILE = 16, WIDTH_UNROLL = 8, STACK_BYTES = 64 << 10 };

typedef struct attention_state {
    cg_attention *a;
    cg_kernel k;
    unsigned lanes, vectors,
        keys; /* a block is `vectors` vectors of queries; scores are made for `keys` keys at once */
    int64_t block; /* queries in it: lanes * vectors */
    lp_value *pq, *pk, *pv, *py, *pm;
    lp_value *qt, *scores, *inverse; /* scratch: [width][block], [keys][block], [block] */
    lp_value *q_base, *k_base, *v_base, *y_base, *m_base; /* of this batch entry and head */
    lp_value *n_keys; /* that this block can see: rows of the scores */
    lp_value *prefix,
        *skipped; /* local: the first rows are keys 0 ... prefix, the others so many further; NULL = 0 */
    lp_value *first, *begin;   /* local: key of the first query; NULL = 0 */
    lp_value *query, *present; /* first query, number of queries of the block */
    bool mask_in_place;        /* the block's part of the mask lies where its scores go */
} attention_state;

static lp_type vec(const attention_state *s) {
    return lp_vec(DT_f32, s->lanes);
}
static lp_value *splat(attention_state *s, double v) {
    return lp_const_f(&s->k.b, vec(s), v);
}
static lp_value *add(attention_state *s, lp_value *x, lp_value *y) {
    return lp_bin(&s->k.b, LP_add, x, y);
}
static lp_value *mul(attention_state *s, lp_value *x, lp_value *y) {
    return lp_bin(&s->k.b, LP_mul, x, y);
}
static lp_value *min(attention_state *s, lp_value *x, lp_value *y) {
    return lp_bin(&s->k.b, LP_min, x, y);
}
static lp_value *max(attention_state *s, lp_value *x, lp_value *y) {
    return lp_bin(&s->k.b, LP_max, x, y);
}
static lp_value *stride(attention_state *s, const cg_view *v, int axis) {
    return cg_kernel_dim(&s->k, v->strides[axis]);
}
/* x + i for a constant i */
static lp_value *plus(attention_state *s, lp_value *x, int64_t i) {
    return add(s, x, lp_index(&s->k.b, i));
}

/* Elements [d, d+lanes) of a row that ends at `width`. */
static lp_value *load_part(attention_state *s, lp_value *ptr, lp_value *row, int64_t d,
                           int64_t width) {
    lp_builder *b = &s->k.b;
    lp_value *at = plus(s, row, d);
    if (d + s->lanes <= width) return lp_load(b, vec(s), ptr, at);
    return lp_load_masked(b, vec(s), ptr, at, lp_index(b, width - d));
}

static lp_value *load_splat(attention_state *s, lp_value *ptr, lp_value *at) {
    lp_builder *b = &s->k.b;
    return lp_broadcast(b, lp_load(b, lp_scalar(DT_f32), ptr, at), s->lanes);
}

/* Number of the block's query q + i; that of the last one for those behind it. */
static lp_value *query_number(attention_state *s, unsigned i) {
    lp_value *last = plus(s, cg_kernel_dim(&s->k, s->a->q->dims[2]), -1);
    return min(s, plus(s, s->query, i), last);
}

/* ---- queries ----------------------------------------------------------------------------------------------------------- */

/* Columns [d, d+lanes) of the queries of vector v, transposed and scaled. */
static void transpose_square(attention_state *s, unsigned v, int64_t d) {
    lp_builder *b = &s->k.b;
    lp_value *x[CG_TRANSPOSE_MAX];
    int64_t width = s->a->width, present;
    bool fixed = lp_value_is_const_i(s->present, &present);
    for (unsigned i = 0; i < s->lanes; i++) {
        unsigned q = v * s->lanes + i;
        lp_value *row = add(s, s->q_base, mul(s, query_number(s, q), stride(s, s->a->q, 2)));
        x[i] = fixed && q >= present ? splat(s, 0) : load_part(s, s->pq, row, d, width);
    }
    cg_transpose(b, x, s->lanes, 1);
    for (unsigned i = 0; i < s->lanes && d + i < width; i++) {
        lp_value *at = lp_index(b, (d + i) * s->block + v * s->lanes);
        lp_store(b, s->qt, at, mul(s, x[i], splat(s, s->a->scale)));
    }
}

static void transpose_queries(attention_state *s) {
    for (unsigned v = 0; v < s->vectors; v++)
        for (int64_t d = 0; d < s->a->width; d += s->lanes)
            transpose_square(s, v, d);
}

/* ---- scores ------------------------------------------------------------------------------------------------------------ */

/* One step along the head's width: acc[key][vector] += k[key][d] * qt[d][vector]. */
static void score_step(attention_state *s, lp_value *const *k_at, unsigned n_keys, lp_value *d,
                       lp_value **acc) {
    lp_builder *b = &s->k.b;
    lp_value *q[MAX_VECTORS], *from = mul(s, d, lp_index(b, s->block));
    for (unsigned v = 0; v < s->vectors; v++)
        q[v] = lp_load(b, vec(s), s->qt, plus(s, from, v * s->lanes));
    for (unsigned i = 0; i < n_keys; i++) {
        lp_value *k = load_splat(s, s->pk, add(s, k_at[i], d));
        for (unsigned v = 0; v < s->vectors; v++)
            acc[i * s->vectors + v] = lp_fma(b, k, q[v], acc[i * s->vectors + v]);
    }
}

static void score_chain(attention_state *s, lp_value *const *k_at, unsigned n_keys,
                        lp_value **acc) {
    lp_builder *b = &s->k.b;
    int64_t width = s->a->width, whole = width / WIDTH_UNROLL * WIDTH_UNROLL;
    if (whole > WIDTH_UNROLL) {
        lp_value *next[MAX_KEYS * MAX_VECTORS];
        unsigned n = n_keys * s->vectors;
        lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, whole), lp_index(b, WIDTH_UNROLL),
                                 acc, n);
        memcpy(next, l.carried, n * sizeof *next);
        for (int64_t u = 0; u < WIDTH_UNROLL; u++)
            score_step(s, k_at, n_keys, plus(s, l.counter, u), next);
        lp_for_end(b, &l, next);
        memcpy(acc, l.results, n * sizeof *acc);
    } else {
        whole = 0;
    }
    for (int64_t d = whole; d < width; d++)
        score_step(s, k_at, n_keys, lp_index(b, d), acc);
}

static lp_value *soft_cap(attention_state *s, lp_value *x) {
    if (s->a->softcap == 0) return x;
    lp_value *t = lp_bin(&s->k.b, LP_div, x, splat(s, s->a->softcap));
    return mul(s, cg_vmath(&s->k.b, SC_TANH, &t), splat(s, s->a->softcap));
}

/* Numbers of the queries in vector v; clamp: those behind the last one repeat it. */
static lp_value *query_numbers(attention_state *s, unsigned v, bool clamp) {
    lp_builder *b = &s->k.b;
    lp_value *first = lp_broadcast(b, plus(s, s->query, v * s->lanes), s->lanes);
    lp_value *n = add(s, first, lp_iota(b, lp_vec(DT_i64, s->lanes)));
    if (!clamp) return n;
    lp_value *last = plus(s, cg_kernel_dim(&s->k, s->a->q->dims[2]), -1);
    return lp_bin(b, LP_min, n, lp_broadcast(b, last, s->lanes));
}

/* The mask's elements for one key and the queries of vector v. */
static lp_value *load_mask(attention_state *s, lp_value *key, unsigned v) {
    lp_builder *b = &s->k.b;
    const cg_view *m = s->a->mask;
    lp_value *column = add(s, s->m_base, mul(s, key, stride(s, m, 3)));
    if (ir_dim_is(m->strides[2], 0))
        return lp_broadcast(b, lp_load(b, lp_scalar(m->dtype), s->pm, column), s->lanes);
    lp_value *row = lp_broadcast(b, stride(s, m, 2), s->lanes);
    lp_value *at = add(s, lp_broadcast(b, column, s->lanes),
                       mul(s, query_numbers(s, v, true), row));
    return lp_gather(b, lp_vec(m->dtype, s->lanes), s->pm, at);
}

/* Keys [key, key + lanes) of the mask for the queries of vector v, those from n_keys on 0. */
static void transpose_mask(attention_state *s, unsigned v, lp_value *key, bool whole) {
    lp_builder *b = &s->k.b;
    lp_value *x[CG_TRANSPOSE_MAX], *left = lp_bin(b, LP_sub, s->n_keys, key);
    int64_t present;
    bool fixed = lp_value_is_const_i(s->present, &present);
    for (unsigned i = 0; i < s->lanes; i++) {
        unsigned q = v * s->lanes + i;
        lp_value *row = mul(s, query_number(s, q), stride(s, s->a->mask, 2));
        lp_value *at = add(s, add(s, s->m_base, row), key);
        x[i] = fixed && q >= present ? splat(s, 0)
               : whole               ? lp_load(b, vec(s), s->pm, at)
                                     : lp_load_masked(b, vec(s), s->pm, at, left);
    }
    cg_transpose(b, x, s->lanes, 1);
    for (unsigned i = 0; i < s->lanes; i++) {
        lp_value *at = mul(s, plus(s, key, i), lp_index(b, s->block));
        lp_store(b, s->scores, plus(s, at, v * s->lanes), x[i]);
    }
}

/* The block's part of the mask to where its scores go: squares in registers instead of a gather for each vector. */
static void place_mask(attention_state *s) {
    lp_builder *b = &s->k.b;
    lp_value *w = lp_index(b, s->lanes), *whole = mul(s, lp_bin(b, LP_div, s->n_keys, w), w);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), whole, w, NULL, 0);
    for (unsigned v = 0; v < s->vectors; v++)
        transpose_mask(s, v, l.counter, true);
    lp_for_end(b, &l, NULL);
    lp_loop rest = lp_for_begin(b, whole, s->n_keys, w, NULL, 0);
    for (unsigned v = 0; v < s->vectors; v++)
        transpose_mask(s, v, rest.counter, false);
    lp_for_end(b, &rest, NULL);
}

/* ---- neighbourhoods (LocalAttention) -------------------------------------------------------------------------------------- */

/* The key of a row of scores. */
static lp_value *key_of(attention_state *s, lp_value *row) {
    if (!s->skipped) return row;
    lp_value *local = add(s, row, s->skipped);
    if (!s->prefix) return local;
    return lp_select(&s->k.b, lp_bin(&s->k.b, LP_lt, row, s->prefix), row, local);
}

/* The first key of the chunk that is `further` ones behind that of position p, a scalar or a vector. */
static lp_value *chunk_start(attention_state *s, lp_value *p, unsigned lanes, int64_t further) {
    lp_builder *b = &s->k.b;
    lp_value *size = lp_broadcast(b, lp_index(b, s->a->band.chunk), lanes);
    lp_value *own = lp_bin(b, LP_div, p, size);
    return mul(s, add(s, own, lp_broadcast(b, lp_index(b, further), lanes)), size);
}

/* The keys around position p, which is no less than 0: [lo, hi); NULL where that end has no limit. */
static void band_ends(attention_state *s, lp_value *p, unsigned lanes, lp_value **lo,
                      lp_value **hi) {
    lp_builder *b = &s->k.b;
    const ir_band *band = &s->a->band;
    int64_t after = band->causal ? 0 : band->after;
    *lo = *hi = NULL;
    if (band->before >= 0) *lo = add(s, p, lp_broadcast(b, lp_index(b, -band->before), lanes));
    if (after >= 0) *hi = add(s, p, lp_broadcast(b, lp_index(b, after + 1), lanes));
    if (!band->chunk) return;
    if (band->chunks_before >= 0) {
        lp_value *start = chunk_start(s, p, lanes, -band->chunks_before);
        *lo = *lo ? max(s, *lo, start) : start;
    }
    lp_value *end = chunk_start(s, p, lanes, 1);
    *hi = *hi ? min(s, *hi, end) : end;
}

/* Which queries of vector v see the key. */
static lp_value *is_seen(attention_state *s, lp_value *key, unsigned v) {
    lp_builder *b = &s->k.b;
    const ir_band *band = &s->a->band;
    lp_value *lo, *hi, *seen = NULL, *p = query_numbers(s, v, false);
    if (s->first) p = add(s, p, lp_broadcast(b, s->first, s->lanes));
    band_ends(s, p, s->lanes, &lo, &hi);
    lp_value *keys = lp_broadcast(b, key, s->lanes);
    if (lo) seen = lp_bin(b, LP_ge, keys, lo);
    if (hi) {
        lp_value *below = lp_bin(b, LP_lt, keys, hi);
        seen = seen ? lp_bin(b, LP_and, seen, below) : below;
    }
    if (!seen) return lp_bin(b, LP_eq, keys, keys);
    if (!band->prefix) return seen; /* rows begin where `begin` allows it */
    lp_value *in = lp_bin(b, LP_lt, keys, lp_broadcast(b, lp_index(b, band->prefix), s->lanes));
    if (band->causal) in = lp_bin(b, LP_and, in, lp_bin(b, LP_le, keys, p));
    if (s->begin)
        in = lp_bin(b, LP_and, in, lp_bin(b, LP_ge, keys, lp_broadcast(b, s->begin, s->lanes)));
    return lp_bin(b, LP_or, seen, in);
}

/* The rows of scores: the keys of the prefix, then those that the first query of the block or one behind it sees, to those of the last. */
static void limit_local(attention_state *s) {
    lp_builder *b = &s->k.b;
    const ir_band *band = &s->a->band;
    lp_value *lo, *hi, *ignored, *zero = lp_index(b, 0), *begin = s->begin ? s->begin : zero;
    lp_value *p = s->first ? add(s, s->first, s->query) : s->query;
    lp_value *last = plus(s, add(s, p, s->present), -1), *all = s->n_keys;
    band_ends(s, p, 1, &lo, &ignored);
    band_ends(s, last, 1, &ignored, &hi);
    hi = hi ? min(s, hi, all) : all;
    lo = min(s, lo ? max(s, lo, begin) : begin, hi);
    if (band->prefix) {
        s->prefix = min(s, lp_index(b, band->prefix), all);
        if (band->causal) s->prefix = min(s, s->prefix, plus(s, last, 1));
        lo = max(s, lo, s->prefix);
        hi = max(s, hi, s->prefix);
    }
    lp_value *local = lp_bin(b, LP_sub, hi, lo);
    s->n_keys = s->prefix ? add(s, s->prefix, local) : local;
    s->skipped = s->prefix ? lp_bin(b, LP_sub, lo, s->prefix) : lo;
}

/* at: where the score goes. */
static lp_value *apply_mask(attention_state *s, lp_value *x, lp_value *key, unsigned v,
                            lp_value *at) {
    lp_builder *b = &s->k.b;
    const cg_attention *a = s->a;
    if (a->mask) {
        lp_value *m = s->mask_in_place ? lp_load(b, vec(s), s->scores, at) : load_mask(s, key, v);
        x = a->mask->dtype == DT_bool ? lp_select(b, m, x, splat(s, -INFINITY)) : add(s, x, m);
    }
    if (a->local) return lp_select(b, is_seen(s, key, v), x, splat(s, -INFINITY));
    if (!a->causal) return x;
    lp_value *past = lp_broadcast(b, cg_kernel_dim(&s->k, a->past), s->lanes);
    lp_value *seen = lp_bin(b, LP_le, lp_broadcast(b, key, s->lanes),
                            add(s, query_numbers(s, v, false), past));
    return lp_select(b, seen, x, splat(s, -INFINITY));
}

/* Scores of rows [row, row + n_keys); max: running maximum per vector. */
static void score_tile(attention_state *s, lp_value *row, unsigned n_keys, lp_value **max) {
    lp_builder *b = &s->k.b;
    lp_value *keys[MAX_KEYS], *k_at[MAX_KEYS], *acc[MAX_KEYS * MAX_VECTORS];
    for (unsigned i = 0; i < n_keys; i++) {
        keys[i] = key_of(s, plus(s, row, i));
        k_at[i] = add(s, s->k_base, mul(s, keys[i], stride(s, s->a->k, 2)));
    }
    for (unsigned i = 0; i < n_keys * s->vectors; i++)
        acc[i] = splat(s, 0);
    score_chain(s, k_at, n_keys, acc);
    for (unsigned i = 0; i < n_keys; i++)
        for (unsigned v = 0; v < s->vectors; v++) {
            lp_value *at = mul(s, plus(s, row, i), lp_index(b, s->block));
            at = plus(s, at, v * s->lanes);
            lp_value *x = soft_cap(s, acc[i * s->vectors + v]);
            x = apply_mask(s, x, keys[i], v, at);
            lp_store(b, s->scores, at, x);
            max[v] = lp_bin(b, LP_greater, x, max[v]); /* a NaN comes back in the exponentials */
        }
}

static void score_loop(attention_state *s, lp_value *lo, lp_value *hi, unsigned n_keys,
                       lp_value **max) {
    lp_builder *b = &s->k.b;
    lp_value *next[MAX_VECTORS];
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, n_keys), max, s->vectors);
    memcpy(next, l.carried, s->vectors * sizeof *next);
    score_tile(s, l.counter, n_keys, next);
    lp_for_end(b, &l, next);
    memcpy(max, l.results, s->vectors * sizeof *max);
}

static void all_scores(attention_state *s, lp_value **max) {
    lp_builder *b = &s->k.b;
    lp_value *w = lp_index(b, s->keys), *whole = mul(s, lp_bin(b, LP_div, s->n_keys, w), w);
    for (unsigned v = 0; v < s->vectors; v++)
        max[v] = splat(s, -INFINITY);
    score_loop(s, lp_index(b, 0), whole, s->keys, max);
    int64_t n;
    if (!lp_value_is_const_i(s->n_keys, &n))
        score_loop(s, whole, s->n_keys, 1, max);
    else if (n % s->keys)
        score_tile(s, whole, (unsigned)(n % s->keys), max);
}

/* The maxima of all vectors as one, by way of `inverse`. */
static lp_value *join_maxima(attention_state *s, lp_value *const *max, lp_type all) {
    lp_builder *b = &s->k.b;
    for (unsigned v = 0; v < s->vectors; v++)
        lp_store(b, s->inverse, lp_index(b, v * s->lanes), max[v]);
    return lp_load(b, all, s->inverse, lp_index(b, 0));
}

/* Scores to exponentials in place, all vectors of a key as one: what they need of constants is loaded once; 1 / their sums to `inverse`. */
static void exponentials(attention_state *s, lp_value *const *max) {
    lp_builder *b = &s->k.b;
    lp_type all = lp_vec(DT_f32, s->lanes * s->vectors);
    lp_value *most = join_maxima(s, max, all), *sum = lp_const_f(b, all, 0);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), s->n_keys, lp_index(b, 1), &sum, 1);
    lp_value *at = mul(s, l.counter, lp_index(b, s->block));
    lp_value *d = lp_bin(b, LP_sub, lp_load(b, all, s->scores, at), most);
    lp_value *e = cg_vmath(b, SC_EXP, &d);
    lp_store(b, s->scores, at, e);
    lp_value *next = add(s, l.carried[0], e);
    lp_for_end(b, &l, &next);
    lp_value *inverse = lp_bin(b, LP_div, lp_const_f(b, all, 1), l.results[0]);
    lp_store(b, s->inverse, lp_index(b, 0), inverse);
}

/* ---- values ------------------------------------------------------------------------------------------------------------ */

typedef struct value_tile {
    lp_value *row; /* first query of the tile, in the block */
    unsigned rows, parts;
    int64_t first; /* column */
} value_tile;

static void store_values(attention_state *s, const value_tile *t, lp_value *const *sums) {
    lp_builder *b = &s->k.b;
    int64_t width = s->a->value_width;
    for (unsigned r = 0; r < t->rows; r++) {
        lp_value *row = plus(s, t->row, r), *inverse = load_splat(s, s->inverse, row);
        lp_value *to = add(s, s->y_base, mul(s, add(s, s->query, row), stride(s, s->a->y, 2)));
        for (unsigned p = 0; p < t->parts; p++) {
            int64_t d = t->first + (int64_t)p * s->lanes;
            lp_value *y = mul(s, sums[r * t->parts + p], inverse), *at = plus(s, to, d);
            if (d + s->lanes <= width)
                lp_store(b, s->py, at, y);
            else
                lp_store_masked(b, s->py, at, y, lp_index(b, width - d));
        }
    }
}

static void emit_value_tile(attention_state *s, const value_tile *t) {
    lp_builder *b = &s->k.b;
    lp_value *acc[MAX_TILE], *next[MAX_TILE], *v[MAX_TILE];
    for (unsigned i = 0; i < t->rows * t->parts; i++)
        acc[i] = splat(s, 0);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), s->n_keys, lp_index(b, 1), acc, t->rows * t->parts);
    lp_value *from = add(s, s->v_base, mul(s, key_of(s, l.counter), stride(s, s->a->v, 2)));
    for (unsigned p = 0; p < t->parts; p++)
        v[p] = load_part(s, s->pv, from, t->first + (int64_t)p * s->lanes, s->a->value_width);
    lp_value *weights = add(s, mul(s, l.counter, lp_index(b, s->block)), t->row);
    for (unsigned r = 0; r < t->rows; r++) {
        lp_value *e = load_splat(s, s->scores, plus(s, weights, r));
        for (unsigned p = 0; p < t->parts; p++)
            next[r * t->parts + p] = lp_fma(b, e, v[p], l.carried[r * t->parts + p]);
    }
    lp_for_end(b, &l, next);
    store_values(s, t, l.results);
}

/* Columns [first, first + parts*lanes) of all queries of the block, `rows` at a time. */
static void value_columns(attention_state *s, int64_t first, unsigned parts) {
    lp_builder *b = &s->k.b;
    int64_t n;
    unsigned rows = parts == 1 ? 8 : lp_value_is_const_i(s->present, &n) ? 6 : 4;
    lp_value *w = lp_index(b, rows), *whole = mul(s, lp_bin(b, LP_div, s->present, w), w);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), whole, w, NULL, 0);
    emit_value_tile(s, &(value_tile){l.counter, rows, parts, first});
    lp_for_end(b, &l, NULL);
    if (lp_value_is_const_i(s->present, &n)) {
        if (n % rows) emit_value_tile(s, &(value_tile){whole, (unsigned)(n % rows), parts, first});
        return;
    }
    lp_loop rest = lp_for_begin(b, whole, s->present, lp_index(b, 1), NULL, 0);
    emit_value_tile(s, &(value_tile){rest.counter, 1, parts, first});
    lp_for_end(b, &rest, NULL);
}

static void values(attention_state *s) {
    int64_t width = s->a->value_width, step = 2 * (int64_t)s->lanes;
    for (int64_t d = 0; d < width; d += step)
        value_columns(s, d, width - d > s->lanes ? 2 : 1);
}

/* ---- the kernel -------------------------------------------------------------------------------------------------------- */

static lp_value *base_of(attention_state *s, const cg_view *v, lp_value *batch, lp_value *head) {
    return add(s, mul(s, batch, stride(s, v, 0)), mul(s, head, stride(s, v, 1)));
}

/* A scratch of `n` floats: on the stack where that is small, else in the thread's workspace. */
static lp_value *scratch(attention_state *s, const ir_dim *n) {
    cg *g = s->a->g;
    int64_t bytes;
    if (ir_dim_is_const(ir_dim_mul(g->c, n, cg_dc(g, 4)), &bytes) && bytes <= STACK_BYTES)
        return lp_alloca(&s->k.b, bytes);
    const ir_dim *room = ir_dim_mul(g->c, ir_dim_ceildiv(g->c, n, cg_dc(g, 16)), cg_dc(g, 64));
    cg_buffer *b = cg_thread_buffer(g, room);
    return cg_kernel_out(&s->k, cg_view_dense(g, b, ir_type_tensor(g->c, DT_f32, 1, &n)), false);
}

/* A vector of queries for short blocks, two where that keeps more chains of FMAs going. */
static void choose_block(attention_state *s) {
    s->lanes = s->a->g->target->lanes_f32;
    if (s->lanes > CG_TRANSPOSE_MAX) s->lanes = CG_TRANSPOSE_MAX;
    int64_t queries;
    bool few = ir_dim_is_const(s->a->q->dims[2], &queries) && queries <= s->lanes;
    s->vectors = few ? 1 : 2;
    const cg_attention *a = s->a;
    bool all = !a->causal && !a->local && !a->lengths && !a->mask_keys;
    int64_t keys;
    s->keys = few ? 8 : all && ir_dim_is_const(a->k->dims[2], &keys) ? 6 : 4;
    s->block = (int64_t)s->lanes * s->vectors;
}

/* Keys that the block's queries may look at: up to the mask's end, the entry's length, the last query; their neighbourhood. */
static void limit_keys(attention_state *s, lp_value *lengths, lp_value *batch) {
    cg_attention *a = s->a;
    lp_builder *b = &s->k.b;
    s->n_keys = cg_kernel_dim(&s->k, a->k->dims[2]);
    if (a->mask_keys) s->n_keys = min(s, s->n_keys, cg_kernel_dim(&s->k, a->mask_keys));
    if (lengths) {
        lp_value *at = mul(s, batch, stride(s, a->lengths, 0));
        s->n_keys = min(s, s->n_keys, lp_load(b, LP_I64, lengths, at));
    }
    if (a->local) limit_local(s);
    if (!a->causal) return;
    lp_value *seen = add(s, s->query, cg_kernel_dim(&s->k, a->past));
    s->n_keys = min(s, s->n_keys, add(s, seen, s->present));
}

static void emit_block(attention_state *s, lp_value *unit, const ir_dim *blocks,
                       lp_value *lengths) {
    cg_attention *a = s->a;
    lp_builder *b = &s->k.b;
    lp_value *index[3], *max[MAX_VECTORS], *n = cg_kernel_dim(&s->k, a->q->dims[2]);
    const ir_dim *dims[3] = {a->q->dims[0], a->q->dims[1], blocks};
    cg_unravel(&s->k, unit, dims, 3, index);
    lp_value *kv_head = a->group == 1 ? index[1]
                                      : lp_bin(b, LP_div, index[1], lp_index(b, a->group));
    s->q_base = base_of(s, a->q, index[0], index[1]);
    s->k_base = base_of(s, a->k, index[0], kv_head);
    s->v_base = base_of(s, a->v, index[0], kv_head);
    s->y_base = base_of(s, a->y, index[0], index[1]);
    if (a->mask) s->m_base = base_of(s, a->mask, index[0], index[1]);
    int64_t queries;
    bool fixed = ir_dim_is_const(a->q->dims[2], &queries);
    s->query = mul(s, index[2], lp_index(b, s->block));
    s->present = min(s, lp_bin(b, LP_sub, n, s->query), lp_index(b, s->block));
    if (fixed && queries <= s->block) s->present = n;
    if (fixed && queries % s->block == 0) s->present = lp_index(b, s->block);
    limit_keys(s, lengths, index[0]);
    transpose_queries(s);
    if (s->mask_in_place) place_mask(s);
    all_scores(s, max);
    exponentials(s, max);
    values(s);
}

static const ir_dim *product(cg *g, const ir_dim *x, int64_t y) {
    return ir_dim_mul(g->c, x, cg_dc(g, y));
}

/* Of a block, at most. */
static const ir_dim *most_keys(attention_state *s) {
    cg_attention *a = s->a;
    int64_t all = INT64_MAX, span;
    if (!a->local) return a->k->dims[2];
    ir_dim_is_const(a->k->dims[2], &all);
    span = ir_band_span(&a->band, s->block, all);
    return span == INT64_MAX ? a->k->dims[2] : cg_dc(a->g, span);
}

static bool can_place_mask(const cg_attention *a) {
    return a->mask && a->mask->dtype == DT_f32 && !a->local && ir_dim_is(a->mask->strides[3], 1) &&
           !ir_dim_is(a->mask->strides[2], 0);
}

/* A scalar operand, brought to 0 ... INT32_MAX. */
static lp_value *read_position(attention_state *s, const cg_view *v) {
    if (!v) return NULL;
    lp_value *x = lp_load(&s->k.b, LP_I64, cg_kernel_in(&s->k, v, false), lp_index(&s->k.b, 0));
    return min(s, max(s, x, lp_index(&s->k.b, 0)), lp_index(&s->k.b, INT32_MAX));
}

void cg_attention_kernel(cg_attention *a) {
    cg *g = a->g;
    attention_state *s = TL_NEW(g->arena, attention_state);
    s->a = a;
    choose_block(s);
    const ir_dim *blocks = ir_dim_ceildiv(g->c, a->q->dims[2], cg_dc(g, s->block));
    const ir_dim *heads = ir_dim_mul(g->c, a->q->dims[0], a->q->dims[1]);
    s->k = cg_kernel_begin(g, a->node, ir_dim_mul(g->c, heads, blocks));
    s->pq = cg_kernel_in(&s->k, a->q, false);
    s->pk = cg_kernel_in(&s->k, a->k, false);
    s->pv = cg_kernel_in(&s->k, a->v, false);
    s->py = cg_kernel_out(&s->k, a->y, false);
    if (a->mask) s->pm = cg_kernel_in(&s->k, a->mask, false);
    lp_value *lengths = a->lengths ? cg_kernel_in(&s->k, a->lengths, false) : NULL;
    s->first = read_position(s, a->first);
    s->begin = read_position(s, a->begin);
    s->qt = scratch(s, cg_dc(g, a->width * s->block));
    s->mask_in_place = can_place_mask(a);
    const ir_dim *rows = most_keys(
        s); /* the last square of a mask may be larger than what is left */
    if (s->mask_in_place) rows = ir_dim_add(g->c, rows, cg_dc(g, s->lanes - 1));
    s->scores = scratch(s, product(g, rows, s->block));
    s->inverse = scratch(s, cg_dc(g, s->block));
    lp_loop l = lp_for_begin(&s->k.b, s->k.begin, s->k.end, lp_index(&s->k.b, 1), NULL, 0);
    emit_block(s, l.counter, blocks, lengths);
    lp_for_end(&s->k.b, &l, NULL);
    cg_kernel_end(&s->k, "%s width %lld", op_get(a->node->op)->name, (long long)a->width);
}
