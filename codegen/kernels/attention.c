/* The attention kernel; see attention.h. */
#include "codegen/kernels/attention.h"

#include "ir/base/assert.h"

#include <math.h>

enum {
    MAX_QUERIES = 4,
    MAX_VECTORS = 8,
    MAX_PARTS = CG_ATTENTION_MAX_WIDTH / 4,
    STACK_BYTES = 64 << 10
};

typedef struct attention_state {
    cg_attention *a;
    cg_kernel k;
    unsigned lanes, n_q; /* n_q: queries done at once */
    lp_value *pq, *pk, *pv, *py, *pm, *scores;
    lp_value *length, *mask_keys; /* of this batch entry; NULL = no such limit */
    lp_value *q_base, *k_base, *v_base, *y_base, *m_base; /* of this batch entry and head */
    lp_value *n_keys, *keys_padded;
} attention_state;

static lp_type vec(const attention_state *s) {
    return lp_vec(DT_f32, s->lanes);
}
static lp_value *add(attention_state *s, lp_value *x, lp_value *y) {
    return lp_bin(&s->k.b, LP_add, x, y);
}
static lp_value *mul(attention_state *s, lp_value *x, lp_value *y) {
    return lp_bin(&s->k.b, LP_mul, x, y);
}
static lp_value *stride(attention_state *s, const cg_view *v, int axis) {
    return cg_kernel_dim(&s->k, v->strides[axis]);
}

/* Elements [d, d+lanes) of a row that ends at `width`. */
static lp_value *load_part(attention_state *s, lp_value *ptr, lp_value *row, int64_t d,
                           int64_t width) {
    lp_builder *b = &s->k.b;
    lp_value *at = add(s, row, lp_index(b, d));
    if (d + s->lanes <= width) return lp_load(b, vec(s), ptr, at);
    return lp_load_masked(b, vec(s), ptr, at, lp_index(b, width - d));
}

/* ---- transposing sums: `lanes` vectors to one whose lane i is the sum of vector i ---------------------------------------- */

/* Lanes taken for the two summands of x and y at this level; groups of 4 lanes are what x86 shuffles without crossing. */
static void level_masks(unsigned lanes, unsigned level, int32_t *lo, int32_t *hi) {
    for (unsigned i = 0; i < lanes; i++) {
        unsigned g = i / 4 * 4, j = i % 4;
        switch (level) {
        case 0: /* x0 y0 x1 y1 + x2 y2 x3 y3, in every group of 4 */
            lo[i] = (int32_t)(g + j / 2 + j % 2 * lanes);
            hi[i] = (int32_t)(g + 2 + j / 2 + j % 2 * lanes);
            break;
        case 1: /* x0 x1 y0 y1 + x2 x3 y2 y3 */
            lo[i] = (int32_t)(g + j % 2 + j / 2 * lanes);
            hi[i] = (int32_t)(g + 2 + j % 2 + j / 2 * lanes);
            break;
        case 2: { /* lower half of x and y + upper half of x and y */
            unsigned half = lanes / 2;
            lo[i] = (int32_t)(i < half ? i : i - half + lanes);
            hi[i] = lo[i] + (int32_t)half;
            break;
        }
        default: { /* 16 lanes: even groups + odd groups */
            unsigned group = i / 4, from = group % 2 * 2 * 4 + j + (group / 2) * lanes;
            lo[i] = (int32_t)from;
            hi[i] = (int32_t)from + 4;
        }
        }
    }
}

static lp_value *sum_transposed(attention_state *s, lp_value **x) {
    lp_builder *b = &s->k.b;
    unsigned n = s->lanes;
    int32_t lo[16], hi[16];
    for (unsigned level = 0; n > 1; level++, n /= 2) {
        level_masks(s->lanes, level, lo, hi);
        for (unsigned i = 0; i < n / 2; i++) {
            lp_value *first = lp_shuffle(b, x[2 * i], x[2 * i + 1], lo, s->lanes);
            lp_value *second = lp_shuffle(b, x[2 * i], x[2 * i + 1], hi, s->lanes);
            x[i] = add(s, first, second);
        }
    }
    return x[0];
}

/* ---- scores ---------------------------------------------------------------------------------------------------------------- */

static lp_value *key_row(attention_state *s, lp_value *key) {
    return add(s, s->k_base, mul(s, key, stride(s, s->a->k, 2)));
}

/* Dot products of one query row with keys [key, key+lanes); those from n_keys on repeat the last one and are masked later. */
static lp_value *raw_scores(attention_state *s, lp_value *const *q, unsigned n_parts, lp_value *key,
                            unsigned present, bool clamp) {
    lp_builder *b = &s->k.b;
    lp_value *acc[16], *last = lp_bin(b, LP_sub, s->n_keys, lp_index(b, 1));
    for (unsigned i = 0; i < s->lanes; i++)
        acc[i] = lp_const_f(b, vec(s), 0);
    for (unsigned i = 0; i < present; i++) {
        lp_value *at = add(s, key, lp_index(b, i));
        lp_value *row = key_row(s, clamp ? lp_bin(b, LP_min, at, last) : at);
        for (unsigned p = 0; p < n_parts; p++)
            acc[i] = lp_fma(b, q[p], load_part(s, s->pk, row, (int64_t)p * s->lanes, s->a->width),
                            acc[i]);
    }
    return sum_transposed(s, acc);
}

static lp_value *splat(attention_state *s, double v) {
    return lp_const_f(&s->k.b, vec(s), v);
}

static lp_value *soft_cap(attention_state *s, lp_value *x) {
    if (s->a->softcap == 0) return x;
    lp_value *t = lp_bin(&s->k.b, LP_div, x, splat(s, s->a->softcap));
    return mul(s, cg_vmath(&s->k.b, SC_TANH, &t), splat(s, s->a->softcap));
}

static lp_value *lane_numbers(attention_state *s, lp_value *first) {
    lp_builder *b = &s->k.b;
    return add(s, lp_broadcast(b, first, s->lanes), lp_iota(b, lp_vec(DT_i64, s->lanes)));
}

/* Mask elements for keys [key, key+lanes); reads only those there are. */
static lp_value *load_mask(attention_state *s, lp_value *row, lp_value *key, bool tail) {
    lp_builder *b = &s->k.b;
    const cg_view *m = s->a->mask;
    lp_value *step = stride(s, m, 3), *at = add(s, row, mul(s, key, step));
    lp_type t = lp_vec(m->dtype, s->lanes);
    if (s->mask_keys) return lp_load_masked(b, t, s->pm, at, lp_bin(b, LP_sub, s->mask_keys, key));
    if (ir_dim_is(m->strides[3], 0))
        return lp_broadcast(b, lp_load(b, lp_scalar(m->dtype), s->pm, row), s->lanes);
    if (!tail) return lp_load(b, t, s->pm, at);
    return lp_load_masked(b, t, s->pm, at, lp_bin(b, LP_sub, s->n_keys, key));
}

/* Keys from `limit` on get no weight. */
static lp_value *keep_below(attention_state *s, lp_value *x, lp_value *keys, lp_value *limit) {
    lp_builder *b = &s->k.b;
    lp_value *below = lp_bin(b, LP_lt, keys, lp_broadcast(b, limit, s->lanes));
    return lp_select(b, below, x, splat(s, -INFINITY));
}

static lp_value *apply_mask(attention_state *s, lp_value *x, lp_value *query, lp_value *mask_row,
                            lp_value *key, bool tail) {
    lp_builder *b = &s->k.b;
    const cg_attention *a = s->a;
    if (a->mask) {
        lp_value *m = load_mask(s, mask_row, key, tail);
        x = a->mask->dtype == DT_bool ? lp_select(b, m, x, splat(s, -INFINITY)) : add(s, x, m);
    }
    lp_value *keys = lane_numbers(s, key);
    if (s->mask_keys) x = keep_below(s, x, keys, s->mask_keys);
    if (a->causal) {
        lp_value *last = add(s, query, cg_kernel_dim(&s->k, a->past));
        x = keep_below(s, x, keys, add(s, last, lp_index(b, 1)));
    }
    if (s->length) x = keep_below(s, x, keys, s->length);
    return tail ? keep_below(s, x, keys, s->n_keys) : x;
}

typedef struct query_row {
    lp_value *q[MAX_PARTS];
    unsigned n_parts;
    lp_value *query, *mask_row, *scores; /* scores: index of the row in the scratch */
} query_row;

static lp_value *score_block(attention_state *s, query_row *r, lp_value *key, unsigned present,
                             bool clamp, lp_value *max) {
    lp_builder *b = &s->k.b;
    lp_value *x = raw_scores(s, r->q, r->n_parts, key, present, clamp);
    x = soft_cap(s, mul(s, x, splat(s, s->a->scale)));
    x = apply_mask(s, x, r->query, r->mask_row, key, clamp || present < s->lanes);
    lp_store(b, s->scores, add(s, r->scores, key), x);
    return lp_bin(b, LP_max, max, x);
}

/* All scores of one query; the result is the maximum by lanes. */
static lp_value *score_row(attention_state *s, query_row *r) {
    lp_builder *b = &s->k.b;
    lp_value *w = lp_index(b, s->lanes), *max = splat(s, -INFINITY);
    lp_value *whole = mul(s, lp_bin(b, LP_div, s->n_keys, w), w);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), whole, w, &max, 1);
    lp_value *next = score_block(s, r, l.counter, s->lanes, false, l.carried[0]);
    lp_for_end(b, &l, &next);
    max = l.results[0];
    int64_t n;
    if (lp_value_is_const_i(s->n_keys, &n)) {
        unsigned rest = (unsigned)(n % s->lanes);
        return rest ? score_block(s, r, whole, rest, false, max) : max;
    }
    lp_type t = vec(s);
    lp_loop tail = lp_if_begin(b, lp_bin(b, LP_lt, whole, s->n_keys), &t, 1);
    lp_value *with_tail = score_block(s, r, whole, s->lanes, true, max);
    lp_if_else(b, &tail, &with_tail);
    lp_if_end(b, &tail, &max);
    return tail.results[0];
}

/* Scores to exponentials in place; the result is 1 / their sum. */
static lp_value *exponentials(attention_state *s, query_row *r, lp_value *max) {
    lp_builder *b = &s->k.b;
    lp_value *m = lp_broadcast(b, lp_reduce(b, LP_reduce_max, max), s->lanes), *sum = splat(s, 0);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), s->keys_padded, lp_index(b, s->lanes), &sum, 1);
    lp_value *at = add(s, r->scores, l.counter);
    lp_value *d = lp_bin(b, LP_sub, lp_load(b, vec(s), s->scores, at), m),
             *e = cg_vmath(b, SC_EXP, &d);
    lp_store(b, s->scores, at, e);
    lp_value *next = add(s, l.carried[0], e);
    lp_for_end(b, &l, &next);
    lp_value *total = lp_reduce(b, LP_reduce_add, l.results[0]);
    return lp_bin(b, LP_div, lp_const_f(b, lp_scalar(DT_f32), 1), total);
}

/* ---- values ------------------------------------------------------------------------------------------------------------------ */

/* Output columns [first, first + n_parts*lanes) of n_q queries. */
static void weighted_sum(attention_state *s, query_row *rows, unsigned n_q,
                         lp_value *const *inverse, unsigned first_part, unsigned n_parts) {
    lp_builder *b = &s->k.b;
    int64_t width = s->a->value_width;
    lp_value *acc[MAX_QUERIES * MAX_VECTORS], *next[MAX_QUERIES * MAX_VECTORS];
    for (unsigned i = 0; i < n_q * n_parts; i++)
        acc[i] = splat(s, 0);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), s->n_keys, lp_index(b, 1), acc, n_q * n_parts);
    lp_value *v[MAX_VECTORS], *row = add(s, s->v_base, mul(s, l.counter, stride(s, s->a->v, 2)));
    for (unsigned p = 0; p < n_parts; p++)
        v[p] = load_part(s, s->pv, row, (int64_t)(first_part + p) * s->lanes, width);
    for (unsigned q = 0; q < n_q; q++) {
        lp_value *e = lp_load(b, lp_scalar(DT_f32), s->scores, add(s, rows[q].scores, l.counter));
        e = lp_broadcast(b, e, s->lanes);
        for (unsigned p = 0; p < n_parts; p++)
            next[q * n_parts + p] = lp_fma(b, e, v[p], l.carried[q * n_parts + p]);
    }
    lp_for_end(b, &l, next);
    for (unsigned q = 0; q < n_q; q++) {
        lp_value *to = add(s, s->y_base, mul(s, rows[q].query, stride(s, s->a->y, 2)));
        for (unsigned p = 0; p < n_parts; p++) {
            int64_t d = (int64_t)(first_part + p) * s->lanes;
            lp_value *y = mul(s, l.results[q * n_parts + p], lp_broadcast(b, inverse[q], s->lanes)),
                     *at = add(s, to, lp_index(b, d));
            if (d + s->lanes <= width)
                lp_store(b, s->py, at, y);
            else
                lp_store_masked(b, s->py, at, y, lp_index(b, width - d));
        }
    }
}

static void load_query(attention_state *s, query_row *r, lp_value *query, unsigned slot) {
    lp_builder *b = &s->k.b;
    lp_value *row = add(s, s->q_base, mul(s, query, stride(s, s->a->q, 2)));
    r->query = query;
    r->n_parts = (unsigned)((s->a->width + s->lanes - 1) / s->lanes);
    for (unsigned p = 0; p < r->n_parts; p++)
        r->q[p] = load_part(s, s->pq, row, (int64_t)p * s->lanes, s->a->width);
    r->scores = mul(s, lp_index(b, slot), s->keys_padded);
    if (s->a->mask) r->mask_row = add(s, s->m_base, mul(s, query, stride(s, s->a->mask, 2)));
}

static void query_block(attention_state *s, lp_value *query, unsigned n_q) {
    lp_builder *b = &s->k.b;
    query_row rows[MAX_QUERIES];
    lp_value *inverse[MAX_QUERIES];
    for (unsigned i = 0; i < n_q; i++) {
        load_query(s, &rows[i], add(s, query, lp_index(b, i)), i);
        inverse[i] = exponentials(s, &rows[i], score_row(s, &rows[i]));
    }
    unsigned parts = (unsigned)((s->a->value_width + s->lanes - 1) / s->lanes);
    for (unsigned p = 0; p < parts; p += MAX_VECTORS)
        weighted_sum(s, rows, n_q, inverse, p, parts - p < MAX_VECTORS ? parts - p : MAX_VECTORS);
}

static void all_queries(attention_state *s) {
    lp_builder *b = &s->k.b;
    lp_value *n = cg_kernel_dim(&s->k, s->a->q->dims[2]), *w = lp_index(b, s->n_q),
             *mid = lp_index(b, 0);
    if (s->n_q > 1) {
        mid = mul(s, lp_bin(b, LP_div, n, w), w);
        lp_loop l = lp_for_begin(b, lp_index(b, 0), mid, w, NULL, 0);
        query_block(s, l.counter, s->n_q);
        lp_for_end(b, &l, NULL);
        int64_t a, z;
        if (lp_value_is_const_i(mid, &a) && lp_value_is_const_i(n, &z) && a == z) return;
    }
    lp_loop l = lp_for_begin(b, mid, n, lp_index(b, 1), NULL, 0);
    query_block(s, l.counter, 1);
    lp_for_end(b, &l, NULL);
}

/* ---- the kernel ---------------------------------------------------------------------------------------------------------------- */

static lp_value *base_of(attention_state *s, const cg_view *v, lp_value *batch, lp_value *head) {
    return add(s, mul(s, batch, stride(s, v, 0)), mul(s, head, stride(s, v, 1)));
}

static const cg_view *scratch_view(attention_state *s, const ir_dim *padded) {
    cg *g = s->a->g;
    const ir_dim *n = ir_dim_mul(g->c, padded, cg_dc(g, s->n_q));
    cg_buffer *b = cg_buffer_create(
        g, ir_dim_mul(g->c, ir_dim_ceildiv(g->c, n, cg_dc(g, 16)), cg_dc(g, 64)));
    b->per_thread = true;
    return cg_view_dense(g, b, ir_type_tensor(g->c, DT_f32, 1, &n));
}

/* Room for n_q rows of scores, each padded to whole vectors: on the stack where that is small, else in the thread's workspace. */
static void bind_scores(attention_state *s) {
    cg *g = s->a->g;
    const ir_dim *keys = s->a->k->dims[2], *w = cg_dc(g, s->lanes);
    const ir_dim *padded = ir_dim_mul(g->c, ir_dim_ceildiv(g->c, keys, w), w);
    int64_t n;
    s->n_keys = cg_kernel_dim(&s->k, keys);
    s->keys_padded = cg_kernel_dim(&s->k, padded);
    if (ir_dim_is_const(padded, &n) && n * s->n_q * 4 <= STACK_BYTES)
        s->scores = lp_alloca(&s->k.b, n * s->n_q * 4);
    else
        s->scores = cg_kernel_out(&s->k, scratch_view(s, padded), false);
}

static void choose_blocks(attention_state *s) {
    s->lanes = s->a->g->target->lanes_f32;
    if (s->lanes > 16) s->lanes = 16;
    int64_t parts = (s->a->value_width + s->lanes - 1) / s->lanes;
    s->n_q = parts >= 8 ? 1 : (unsigned)(8 / (parts > 0 ? parts : 1));
    if (s->n_q > MAX_QUERIES) s->n_q = MAX_QUERIES;
    int64_t queries;
    if (ir_dim_is_const(s->a->q->dims[2], &queries) && queries < s->n_q)
        s->n_q = queries > 0 ? (unsigned)queries : 1;
}

void cg_attention_kernel(cg_attention *a) {
    cg *g = a->g;
    attention_state *s = TL_NEW(g->arena, attention_state);
    s->a = a;
    choose_blocks(s);
    s->k = cg_kernel_begin(g, a->node, ir_dim_mul(g->c, a->q->dims[0], a->q->dims[1]));
    s->pq = cg_kernel_in(&s->k, a->q, false);
    s->pk = cg_kernel_in(&s->k, a->k, false);
    s->pv = cg_kernel_in(&s->k, a->v, false);
    s->py = cg_kernel_out(&s->k, a->y, false);
    if (a->mask) s->pm = cg_kernel_in(&s->k, a->mask, false);
    if (a->mask_keys) s->mask_keys = cg_kernel_dim(&s->k, a->mask_keys);
    lp_value *lengths = a->lengths ? cg_kernel_in(&s->k, a->lengths, false) : NULL;
    bind_scores(s);
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, s->k.begin, s->k.end, lp_index(b, 1), NULL, 0);
    lp_value *index[2];
    cg_unravel(&s->k, l.counter, a->q->dims, 2, index);
    lp_value *kv_head = a->group == 1 ? index[1]
                                      : lp_bin(b, LP_div, index[1], lp_index(b, a->group));
    s->q_base = base_of(s, a->q, index[0], index[1]);
    s->k_base = base_of(s, a->k, index[0], kv_head);
    s->v_base = base_of(s, a->v, index[0], kv_head);
    s->y_base = base_of(s, a->y, index[0], index[1]);
    if (lengths)
        s->length = lp_load(b, LP_I64, lengths, mul(s, index[0], stride(s, a->lengths, 0)));
    if (a->mask) s->m_base = base_of(s, a->mask, index[0], index[1]);
    all_queries(s);
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&s->k, "Attention width %lld", (long long)a->width);
}
