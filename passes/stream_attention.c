/* Attention of each position to earlier ones, in a stream: the keys and values that a later step needs are states.
 *
 *   LocalAttention<before=15, is_causal=1>(%q, %k, %v)        a window: the last 15 rows stand in front of the step's
 *     -> %ks = Concat(%keys, %k)  %vs = Concat(%values, %v)   states f32[B,H,15,h]; behind the step the last 15 rows of %ks, %vs
 *        LocalAttention<before=15, is_causal=1>(%q, %ks, %vs, _, @15, 15 - position)
 *
 *   LocalAttention<chunk=4>(%q, %k, %v)                       steps of whole chunks: no state; causal in larger chunks: a window of the rest
 *   Attention<is_causal=1>(%q, %k, %v)    T known: 1024       a cache: states f32[B,H,1024,h], rows are written at the position
 *     -> %ks = TensorScatter(%keys, %k, position) ...         LocalAttention<is_causal=1>(%q, %ks, %vs, _, position)
 *   LocalAttention<before=7, prefix=2, is_causal=1>           the first rows are a state of their own in front of the window
 *
 * Rows that are not there yet are hidden by `begin`, or lie behind the query. Keys keep their order and hidden ones add exact zeros, so the
 * bits are those of the whole sequence. Attention to something that is the same in all steps needs no state. What may attend to any number
 * of earlier positions of a sequence of any length is refused, and so is what looks ahead. */
#include "ir/band.h"
#include "passes/stream.h"
#include "passes/util.h"

enum { Q, K, V, MASK, FIRST, BEGIN, N_OPERANDS };

typedef struct attending {
    streamer *s;
    ir_node *n;
    ir_band band;
    int64_t step, rows;  /* positions in a step; rows of the window that stand in front of them */
    const ir_dim *count; /* positions in this call */
    ir_value *in[N_OPERANDS];
} attending;

static int32_t length_axis(const ir_value *v) {
    return v->type->rank == 3 ? 1 : 2;
}

static bool is_even(const stream_value *v) {
    return v->outer == 1 && !v->lead && !v->tail;
}

/* ---- batches ------------------------------------------------------------------------------------------------------ */

/* Sequences beside each other, a step's rows of a batch: each attends within itself. */
static bool is_batch(streamer *s, const ir_node *n) {
    bool batch = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const stream_value *v = stream_get(s, ir_in(n, i));
        if (v->kind != STREAM_PART) continue;
        if (v->axis != 0 || v->whole->rank < 3) return false;
        batch = true;
    }
    return batch;
}

static bool attend_in_batch(streamer *s, ir_node *n) {
    const stream_value *like = stream_get(s, ir_in(n, Q));
    for (uint32_t i = Q; i <= V; i++) {
        const stream_value *v = stream_get(s, ir_in(n, i));
        if (v->kind != STREAM_PART)
            return stream_refuse(s, n, "operand %u is one for all positions", i);
        if (v->step != like->step || v->outer != like->outer || v->lead || v->tail)
            return stream_refuse(s, n, "its operands have different positions");
    }
    stream_follow(s, n, 0, like, 0);
    return stream_retype(s, n);
}

/* ---- what is not in the sequence ------------------------------------------------------------------------------------ */

/* Keys and values are the same in all steps. */
static bool attend_to_fixed(streamer *s, ir_node *n) {
    const stream_value *q = stream_get(s, ir_in(n, Q));
    const ir_value *mask = ir_in(n, MASK);
    ir_band band = ir_band_of(n);
    bool all = band.before < 0 && band.after < 0 && !band.chunk && !band.causal;
    for (uint32_t i = K; i < n->n_in; i++)
        if (stream_get(s, ir_in(n, i))->kind == STREAM_LENGTH)
            return stream_refuse(s, n, "operand %u is computed from the length of the sequence", i);
    if (mask && (stream_is_part(s, mask) ||
                 (mask->type->rank > 1 && !ir_dim_is(mask->type->dims[mask->type->rank - 2], 1))))
        return stream_refuse(s, n, "its mask has values for each position");
    if (!all || n->n_in > FIRST)
        return stream_refuse(s, n, "its mask depends on where in the sequence a position is");
    stream_follow(s, n, 0, q, q->axis);
    return stream_retype(s, n);
}

/* ---- what each step needs of those before ------------------------------------------------------------------------- */

static bool refuse_ahead(attending *a) {
    const ir_band *b = &a->band;
    bool past = b->causal || b->after == 0;
    if (!past && b->chunk && a->step % b->chunk)
        return stream_refuse(a->s, a->n,
                             "it looks ahead: a position attends to its whole chunk of %lld, of "
                             "which a step of %lld has not a whole number",
                             (long long)b->chunk, (long long)a->step);
    if (!past && !b->chunk && b->after < 0)
        return stream_refuse(a->s, a->n, "it looks ahead: each position attends to all others");
    if (!past && !b->chunk)
        return stream_refuse(a->s, a->n, "it looks ahead: a position attends to the %lld behind it",
                             (long long)b->after);
    if (b->prefix > a->step && !b->causal)
        return stream_refuse(a->s, a->n,
                             "it looks ahead: all positions attend to the first %lld, which a step "
                             "of %lld does not hold",
                             (long long)b->prefix, (long long)a->step);
    return true;
}

/* Rows of the window; -1 where it has no end. */
static int64_t window_rows(const attending *a) {
    const ir_band *b = &a->band;
    if (b->chunk && b->chunks_before >= 0) {
        int64_t rest = a->step % b->chunk ? b->chunk - a->step : 0;
        return b->chunks_before * b->chunk + rest;
    }
    return b->before;
}

static bool measure(attending *a) {
    const ir_band *b = &a->band;
    if (!refuse_ahead(a)) return false;
    bool chunks = b->chunk && b->chunks_before >= 0;
    if (chunks && a->step % b->chunk && (b->chunk % a->step || b->chunk < a->step))
        return stream_refuse(a->s, a->n, "its chunks of %lld are no whole number of steps of %lld",
                             (long long)b->chunk, (long long)a->step);
    if (b->chunk && b->chunks_before < 0 && a->step % b->chunk && !b->causal)
        return stream_refuse(a->s, a->n, "its chunks of %lld do not fill steps of %lld",
                             (long long)b->chunk, (long long)a->step);
    if (b->chunk && b->prefix)
        return stream_refuse(a->s, a->n, "it attends to chunks and to a prefix of the sequence");
    a->rows = window_rows(a);
    return true;
}

/* ---- windows -------------------------------------------------------------------------------------------------------- */

static ir_value *number(ir_builder *b, int64_t x) {
    return build_scalar(b, DT_i64, (double)x);
}

/* Operand i with the rows of the steps before in front of it; the last of them all are the state. */
static void join_window(attending *a, uint32_t i, const char *what) {
    ir_value *x = a->in[i];
    int32_t axis = stream_get(a->s, x)->axis;
    ir_builder b = ir_build_before(a->n);
    ir_value *zero = build_scalar(&b, x->type->dtype, 0);
    stream_joined j = stream_join(a->s, a->n, x, what, zero, a->rows);
    b = ir_build_before(a->n);
    stream_set_next(a->s, j.state, stream_slice(&b, j.value, axis, a->step, a->step + a->rows));
    a->in[i] = j.value;
}

/* The first key that is there, as rows of the window are numbered: none before the sequence begins, none before the query's own chunk and
 * those in front of it, where a step is a part of one. */
static ir_value *first_row(attending *a, ir_builder *b) {
    ir_value *position = stream_base(a->s, b, a->step);
    ir_value *begin = build_op2(b, OP_Sub, number(b, a->rows), position);
    int64_t chunk = a->band.chunk;
    if (!chunk || a->step % chunk == 0) return begin;
    ir_value *own = build_op2(b, OP_Div, position, number(b, chunk));
    ir_value *first = build_op2(b, OP_Sub, own, number(b, a->band.chunks_before));
    ir_value *start = build_op2(b, OP_Mul, first, number(b, chunk));
    return build_op2(b, OP_Add, begin, build_op2(b, OP_Max, start, number(b, 0)));
}

static void attend_to_window(attending *a) {
    if (!a->rows) return;
    join_window(a, K, "keys");
    join_window(a, V, "values");
    if (a->in[MASK]) join_window(a, MASK, "mask");
    ir_builder b = ir_build_before(a->n);
    a->in[FIRST] = number(&b, a->rows);
    a->in[BEGIN] = first_row(a, &b);
    if (a->band.chunk && a->step % a->band.chunk) a->band.chunk = a->band.chunks_before = 0;
}

/* ---- a prefix besides ------------------------------------------------------------------------------------------------- */

/* 0, 1, ... n-1 as [n,1] */
static ir_value *counted_column(attending *a, ir_builder *b, const ir_dim *n) {
    ir_value *row = stream_counted(a->s, b, n);
    return build_op2(b, OP_Unsqueeze, row, build_i64s(b, (int64_t[]){1}, 1));
}

/* The first rows of all, as far as they have come: those of this step, or the state's. */
static ir_value *keep_prefix(attending *a, uint32_t i, const char *what) {
    streamer *s = a->s;
    ir_value *x = a->in[i];
    int32_t axis = stream_get(s, x)->axis;
    uint32_t state;
    const ir_dim *prefix = ir_dim_const(s->ctx->c, a->band.prefix);
    ir_builder b = ir_build_before(a->n);
    ir_value *zero = build_scalar(&b, x->type->dtype, 0);
    const ir_type *t = stream_part_type(s, x->type, axis, a->band.prefix);
    ir_value *kept = stream_state(s, a->n, what, zero, t, &state);
    b = ir_build_before(a->n);
    ir_value *position = stream_base(s, &b, a->step);
    ir_value *at = build_op2(&b, OP_Sub, stream_counted(s, &b, prefix), position);
    ir_value *first = build_op2(&b, OP_Max, at, number(&b, 0));
    const ir_dim *last = ir_dim_sub(s->ctx->c, a->count, ir_dim_const(s->ctx->c, 1));
    ir_value *inside = build_op2(&b, OP_Min, first, stream_number(&b, last));
    ir_value *rows = build_op2_int(&b, OP_Gather, x, inside, "axis", axis);
    ir_value *now = build_op2(&b, OP_GreaterOrEqual, at, number(&b, 0));
    now = build_op2(&b, OP_And, now, build_op2(&b, OP_Less, at, stream_number(&b, a->count)));
    int64_t axes[2] = {1, 2};
    if (axis + 1 < x->type->rank)
        now = build_op2(&b, OP_Unsqueeze, now,
                        build_i64s(&b, axes, (uint32_t)(x->type->rank - axis - 1)));
    ir_value *all = build_op3(&b, OP_Where, now, rows, kept);
    stream_set_next(s, state, all);
    return all;
}

/* Query i sees row c of the prefix where that has come and is not behind it, and rows of the window that are not the prefix's. */
static ir_value *prefix_mask(attending *a, ir_builder *b) {
    ir_ctx *ctx = a->s->ctx->c;
    int64_t prefix = a->band.prefix;
    const ir_dim *all = ir_dim_add(ctx, a->count, ir_dim_const(ctx, prefix + a->rows));
    ir_value *position = stream_base(a->s, b, a->step);
    ir_value *c = stream_counted(a->s, b, all);
    ir_value *in_prefix = build_op2(b, OP_Less, c, number(b, prefix));
    ir_value *row = build_op2(b, OP_Add, c, build_op2(b, OP_Sub, position, number(b, a->rows)));
    ir_value *window = build_op2(b, OP_GreaterOrEqual, row, number(b, 2 * prefix));
    ir_value *seen = in_prefix;
    if (a->band.causal) {
        ir_value *query = build_op2(b, OP_Add, counted_column(a, b, a->count), position);
        seen = build_op2(b, OP_And, in_prefix, build_op2(b, OP_LessOrEqual, c, query));
    }
    window = build_op2(b, OP_And, window, build_op1(b, OP_Not, in_prefix));
    return build_op2(b, OP_Or, seen, window);
}

static bool attend_to_prefix(attending *a) {
    if (a->in[MASK]) return stream_refuse(a->s, a->n, "it has a mask and a prefix");
    ir_value *k = keep_prefix(a, K, "first_keys"), *v = keep_prefix(a, V, "first_values");
    int32_t k_axis = stream_get(a->s, a->in[K])->axis, v_axis = stream_get(a->s, a->in[V])->axis;
    if (a->rows) {
        join_window(a, K, "keys");
        join_window(a, V, "values");
    }
    ir_builder b = ir_build_before(a->n);
    a->in[K] = build_op2_int(&b, OP_Concat, k, a->in[K], "axis", k_axis);
    a->in[V] = build_op2_int(&b, OP_Concat, v, a->in[V], "axis", v_axis);
    a->in[MASK] = prefix_mask(a, &b);
    a->in[FIRST] = number(&b, a->band.prefix + a->rows);
    return true;
}

/* ---- caches ----------------------------------------------------------------------------------------------------------- */

/* Operand i as all rows so far, of `length` that there can be. */
static void join_cache(attending *a, uint32_t i, const char *what, int64_t length) {
    streamer *s = a->s;
    ir_value *x = a->in[i];
    int32_t axis = stream_get(s, x)->axis;
    uint32_t state;
    ir_builder b = ir_build_before(a->n);
    const ir_type *t = stream_part_type(s, x->type, axis, length);
    ir_value *zero = build_scalar(&b, x->type->dtype, 0);
    ir_value *cache = stream_state(s, a->n, what, zero, t, &state);
    b = ir_build_before(a->n);
    ir_value *starts = stream_base(s, &b, a->step);
    starts = build_op2(&b, OP_Expand, starts, build_dims(&b, x->type->dims, 1));
    ir_value *in[] = {cache, x, starts};
    ir_attr attr = {.name = "axis", .kind = ATTR_INT, .v.i = axis};
    a->in[i] = build_node(&b, OP_TensorScatter, in, 3, 1, &attr, 1)->out;
    stream_set_next(s, state, a->in[i]);
}

static bool attend_to_all(attending *a) {
    int64_t length;
    const stream_value *k = stream_get(a->s, a->in[K]);
    if (!ir_dim_is_const(k->whole->dims[k->axis], &length))
        return stream_refuse(a->s, a->n,
                             "it attends to all earlier positions, of which there may be any "
                             "number: fix the length of the axis (--dim), which is then the "
                             "longest stream");
    if (a->in[MASK] && a->in[MASK]->type->rank < 2)
        return stream_refuse(a->s, a->n, "its mask has no batch");
    join_cache(a, K, "keys", length);
    join_cache(a, V, "values", length);
    if (a->in[MASK]) join_cache(a, MASK, "mask", length);
    ir_builder b = ir_build_before(a->n);
    a->in[FIRST] = stream_base(a->s, &b, a->step);
    return true;
}

/* ---- the node --------------------------------------------------------------------------------------------------------- */

/* A mask of the keys alone, a part of which each step has. */
static bool check_mask(attending *a) {
    const ir_value *m = a->in[MASK];
    if (!m) return true;
    const stream_value *v = stream_get(a->s, m);
    bool keys = v->kind == STREAM_PART && v->axis == v->whole->rank - 1 && is_even(v) &&
                v->step == a->step && (v->axis == 0 || ir_dim_is(v->whole->dims[v->axis - 1], 1));
    return keys || stream_refuse(a->s, a->n, "its mask has values for pairs of positions");
}

static bool check_operands(attending *a) {
    for (uint32_t i = Q; i <= V; i++) {
        const stream_value *v = stream_get(a->s, a->in[i]);
        if (v->kind != STREAM_PART)
            return stream_refuse(a->s, a->n, "operand %u is one for all positions", i);
        if (v->axis != length_axis(a->in[i]) || !is_even(v) || v->step != a->step)
            return stream_refuse(a->s, a->n, "it looks ahead: each position attends to all others");
    }
    for (uint32_t i = MASK + 1; i < a->n->n_in; i++)
        if (ir_in(a->n, i))
            return stream_refuse(a->s, a->n, "it has past keys, positions or lengths of its own");
    return (a->n->n_out == 1 || stream_refuse(a->s, a->n, "its keys or scores are a result")) &&
           check_mask(a);
}

static void build(attending *a) {
    ir_node *n = a->n;
    ir_attr *attrs = TL_NEW_ARRAY(a->s->ctx->scratch, ir_attr, n->n_attrs + IR_BAND_ATTRS);
    uint32_t n_attrs = 0, n_in = N_OPERANDS;
    static const char *const kept[] = {"scale", "softcap", "q_num_heads", "kv_num_heads"};
    for (uint32_t i = 0; i < n->n_attrs; i++)
        for (uint32_t k = 0; k < 4; k++)
            if (!strcmp(n->attrs[i].name, kept[k])) attrs[n_attrs++] = n->attrs[i];
    n_attrs += ir_band_attrs(&a->band, attrs + n_attrs);
    while (!a->in[n_in - 1])
        n_in--;
    ir_builder b = ir_build_before(n);
    stream_value info = *stream_get(a->s, a->in[Q]);
    ir_value *y = build_node(&b, OP_LocalAttention, a->in, n_in, 1, attrs, n_attrs)->out;
    stream_replace(a->s, n, y, info);
}

bool stream_attention(streamer *s, ir_node *n) {
    attending a = {.s = s, .n = n, .band = ir_band_of(n)};
    if (is_batch(s, n)) return attend_in_batch(s, n);
    for (uint32_t i = Q; i <= MASK; i++)
        a.in[i] = ir_in(n, i);
    if (!stream_is_part(s, a.in[K]) && !stream_is_part(s, a.in[V]) && stream_is_part(s, a.in[Q]) &&
        stream_get(s, a.in[Q])->axis == length_axis(a.in[Q]))
        return attend_to_fixed(s, n);
    a.step = stream_get(s, a.in[Q])->step;
    if (stream_is_part(s, a.in[Q])) a.count = stream_count(s, stream_get(s, a.in[Q]));
    if (!check_operands(&a) || !measure(&a)) return false;
    if (a.rows < 0 && !attend_to_all(&a)) return false;
    if (a.rows >= 0 && a.band.prefix && !attend_to_prefix(&a)) return false;
    if (a.rows >= 0 && !a.band.prefix) attend_to_window(&a);
    build(&a);
    return true;
}
