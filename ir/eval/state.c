/* Linear attention and causal convolution with their states, rotary positions; in double, rounded where a result is stored.
 *
 *   LinearAttention       S = exp(g) S;  v' = beta (v - S^T k);  S = S + k v'^T;  y = scale S^T q        per head and step
 *   CausalConvWithState   y[t] = bias + sum over i of w[i] p[t+i], p = past and input; state = the last k - 1 of p
 *   RotaryEmbedding       (a, b) -> (a cos - b sin, a sin + b cos)                                      per pair of a head */
#include "ir/eval/eval_internal.h"

#include <math.h>

static const double *optional_f64s(ir_eval *e, const ir_tensor *t) {
    return t ? ev_f64s(e, t) : NULL;
}

/* ---- LinearAttention --------------------------------------------------------------------------------------------- */

enum { Q, K, V, PAST, DECAY, BETA };

typedef struct linear_attention {
    int64_t batch, steps, heads, kv_heads, dk, dv;
    const double *q, *k, *v, *decay, *beta;
    int64_t decay_width, beta_width; /* of a row of all heads */
    double scale, *state, *written;
    ir_tensor *y;
} linear_attention;

static double *state_of(const linear_attention *a, int64_t b, int64_t h) {
    return a->state + (b * a->kv_heads + h) * a->dk * a->dv;
}

/* One key/value head's state takes up step t. */
static void update_state(const linear_attention *a, int64_t b, int64_t h, int64_t t) {
    int64_t row = b * a->steps + t;
    double *s = state_of(a, b, h);
    const double *k = a->k + (row * a->kv_heads + h) * a->dk,
                 *v = a->v + (row * a->kv_heads + h) * a->dv;
    for (int64_t i = 0; a->decay && i < a->dk; i++) {
        int64_t at = a->decay_width == a->kv_heads ? h : h * a->dk + i;
        double factor = exp(a->decay[row * a->decay_width + at]);
        for (int64_t j = 0; j < a->dv; j++)
            s[i * a->dv + j] *= factor;
    }
    for (int64_t j = 0; j < a->dv; j++) {
        double known = 0;
        for (int64_t i = 0; a->beta && i < a->dk; i++)
            known += s[i * a->dv + j] * k[i];
        double beta = a->beta ? a->beta[row * a->beta_width + (a->beta_width == 1 ? 0 : h)] : 1;
        a->written[j] = beta * (v[j] - known);
    }
    for (int64_t i = 0; i < a->dk; i++)
        for (int64_t j = 0; j < a->dv; j++)
            s[i * a->dv + j] += k[i] * a->written[j];
}

static void read_state(const linear_attention *a, int64_t b, int64_t head, int64_t t) {
    int64_t row = (b * a->steps + t) * a->heads + head;
    const double *s = state_of(a, b, head / (a->heads / a->kv_heads)), *q = a->q + row * a->dk;
    for (int64_t j = 0; j < a->dv; j++) {
        double sum = 0;
        for (int64_t i = 0; i < a->dk; i++)
            sum += q[i] * s[i * a->dv + j];
        ir_tensor_set_f64(a->y, (size_t)(row * a->dv + j), a->scale * sum);
    }
}

static bool read_widths(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                        linear_attention *a) {
    const ir_tensor *q = ev_need(e, n, in, Q), *v = ev_need(e, n, in, V);
    if (!q || !v || !ev_need(e, n, in, K)) return false;
    ev_shape sq = ev_shape_of(q), sv = ev_shape_of(v);
    a->heads = ir_attr_int(n, "q_num_heads", 0), a->kv_heads = ir_attr_int(n, "kv_num_heads", 0);
    if (sq.rank != 3 || sv.rank != 3 || a->kv_heads < 1 || a->heads < 1 || a->heads % a->kv_heads ||
        sq.dims[2] % a->heads || sv.dims[2] % a->kv_heads)
        return ev_error(e, n, "%s and %s for %lld and %lld heads", ev_shape_text(e, &sq),
                        ev_shape_text(e, &sv), (long long)a->heads, (long long)a->kv_heads);
    a->batch = sq.dims[0], a->steps = sq.dims[1];
    a->dk = sq.dims[2] / a->heads, a->dv = sv.dims[2] / a->kv_heads;
    ev_shape k = {3, {a->batch, a->steps, a->kv_heads * a->dk}},
             vv = {3, {a->batch, a->steps, a->kv_heads * a->dv}},
             past = {4, {a->batch, a->kv_heads, a->dk, a->dv}};
    return ev_expect_shape(e, n, in, K, &k) && ev_expect_shape(e, n, in, V, &vv) &&
           ev_expect_shape(e, n, in, PAST, &past);
}

/* A gate [batch, steps, width], where width is one of two. */
static bool read_gate(ir_eval *e, const ir_node *n, const ir_datum *const *in, uint32_t i,
                      const linear_attention *a, int64_t other, const double **gate,
                      int64_t *width) {
    const ir_tensor *t = ev_tensor(n, in, i);
    if (!t) return true;
    ev_shape s = ev_shape_of(t);
    *width = s.rank == 3 && s.dims[2] == other ? other : a->kv_heads;
    ev_shape expected = {3, {a->batch, a->steps, *width}};
    *gate = ev_f64s(e, t);
    return ev_expect_shape(e, n, in, i, &expected);
}

bool eval_linear_attention(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    linear_attention a = {0};
    if (!read_widths(e, n, in, &a)) return false;
    if (!read_gate(e, n, in, DECAY, &a, a.kv_heads * a.dk, &a.decay, &a.decay_width) ||
        !read_gate(e, n, in, BETA, &a, 1, &a.beta, &a.beta_width))
        return false;
    const ir_tensor *past = ev_tensor(n, in, PAST);
    ir_dtype type = in[Q]->tensor->type->dtype;
    ev_shape y = {3, {a.batch, a.steps, a.heads * a.dv}},
             state = {4, {a.batch, a.kv_heads, a.dk, a.dv}};
    ir_tensor *last = ev_alloc(e, n, past ? past->type->dtype : type, &state);
    if (!last || !(a.y = ev_alloc(e, n, type, &y))) return false;
    a.q = ev_f64s(e, in[Q]->tensor), a.k = ev_f64s(e, in[K]->tensor),
    a.v = ev_f64s(e, in[V]->tensor);
    a.state = ev_f64s(e, past ? past : last);
    a.written = TL_NEW_ARRAY(e->arena, double, (size_t)a.dv + 1);
    a.scale = (double)ir_attr_float(n, "scale", 0);
    if (a.scale == 0) a.scale = 1 / sqrt((double)a.dk);
    for (int64_t b = 0; b < a.batch; b++)
        for (int64_t t = 0; t < a.steps; t++) {
            for (int64_t h = 0; h < a.kv_heads; h++)
                update_state(&a, b, h, t);
            for (int64_t h = 0; h < a.heads; h++)
                read_state(&a, b, h, t);
        }
    for (int64_t i = 0; i < ev_count(&state); i++)
        ir_tensor_set_f64(last, (size_t)i, a.state[i]);
    out[0].tensor = a.y;
    if (n->n_out > 1) out[1].tensor = last;
    return true;
}

/* ---- CausalConvWithState ------------------------------------------------------------------------------------------ */

/* Past (or zeros) and input side by side: [batch, channels, taps - 1 + length]. */
static ir_tensor *padded_input(ir_eval *e, const ir_node *n, const ir_tensor *x,
                               const ir_tensor *past, int64_t taps) {
    ev_shape s = ev_shape_of(x);
    int64_t rows = s.dims[0] * s.dims[1], length = s.dims[2], before = taps - 1;
    s.dims[2] += before;
    ir_tensor *p = ev_alloc(e, n, x->type->dtype, &s);
    for (int64_t r = 0; p && r < rows; r++) {
        int64_t at = r * s.dims[2];
        if (past)
            ev_copy_run(x->type->dtype, ir_tensor_data(p), at, past->data, r * before, before);
        ev_copy_run(x->type->dtype, ir_tensor_data(p), at + before, x->data, r * length, length);
    }
    return p;
}

static bool check_causal_conv(ir_eval *e, const ir_node *n, const ir_datum *const *in, ev_shape *sx,
                              ev_shape *sw) {
    if (!ev_need(e, n, in, 0) || !ev_need(e, n, in, 1)) return false;
    *sx = ev_shape_of(in[0]->tensor), *sw = ev_shape_of(in[1]->tensor);
    if (sx->rank != 3 || sw->rank != 3 || sw->dims[2] < 1)
        return ev_error(e, n, "%s by %s", ev_shape_text(e, sx), ev_shape_text(e, sw));
    ev_shape w = {3, {sx->dims[1], 1, sw->dims[2]}}, bias = {1, {sx->dims[1]}},
             past = {3, {sx->dims[0], sx->dims[1], sw->dims[2] - 1}};
    return ev_expect_shape(e, n, in, 1, &w) && ev_expect_shape(e, n, in, 2, &bias) &&
           ev_expect_shape(e, n, in, 3, &past);
}

/* The last `before` elements of every row. */
static ir_tensor *last_state(ir_eval *e, const ir_node *n, const ir_tensor *p, int64_t before) {
    ev_shape s = ev_shape_of(p);
    int64_t rows = s.dims[0] * s.dims[1], length = s.dims[2];
    s.dims[2] = before;
    ir_tensor *t = ev_alloc(e, n, p->type->dtype, &s);
    for (int64_t r = 0; t && r < rows; r++)
        ev_copy_run(p->type->dtype, ir_tensor_data(t), r * before, p->data,
                    (r + 1) * length - before, before);
    return t;
}

bool eval_causal_conv(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    ev_shape sx, sw;
    if (!check_causal_conv(e, n, in, &sx, &sw)) return false;
    int64_t taps = sw.dims[2], length = sx.dims[2];
    const ir_tensor *x = in[0]->tensor;
    ir_tensor *p = padded_input(e, n, x, ev_tensor(n, in, 3), taps), *y;
    if (!p || !(y = ev_alloc(e, n, x->type->dtype, &sx))) return false;
    const double *v = ev_f64s(e, p), *w = ev_f64s(e, in[1]->tensor),
                 *bias = optional_f64s(e, ev_tensor(n, in, 2));
    bool silu = strcmp(ir_attr_string(n, "activation", "none"), "none") != 0;
    for (int64_t i = 0; i < ev_count(&sx); i++) {
        int64_t row = i / length, channel = row % sx.dims[1];
        double sum = bias ? bias[channel] : 0;
        for (int64_t k = 0; k < taps; k++)
            sum += w[channel * taps + k] * v[row * (length + taps - 1) + i % length + k];
        ir_tensor_set_f64(y, (size_t)i, silu ? sum / (1 + exp(-sum)) : sum);
    }
    out[0].tensor = y;
    return n->n_out < 2 || (out[1].tensor = last_state(e, n, p, taps - 1)) != NULL;
}

/* ---- RotaryEmbedding ---------------------------------------------------------------------------------------------- */

typedef struct rotary {
    int64_t batch, heads, steps, size, half; /* half: pairs that turn */
    int64_t step_head, step_step;
    bool interleaved;
    const double *x, *cos, *sin;
    const ir_tensor *positions;
    int64_t rows; /* of the caches, with positions */
} rotary;

static bool read_rotary(ir_eval *e, const ir_node *n, const ir_datum *const *in, rotary *r) {
    const ir_tensor *x = ev_need(e, n, in, 0), *cos = ev_need(e, n, in, 1);
    if (!x || !cos || !ev_need(e, n, in, 2)) return false;
    ev_shape s = ev_shape_of(x), sc = ev_shape_of(cos);
    int64_t heads = ir_attr_int(n, "num_heads", 0), rotated;
    bool packed = s.rank == 3 && heads > 0 && s.dims[2] % heads == 0;
    if (s.rank != 4 && !packed) return ev_error(e, n, "%s in heads", ev_shape_text(e, &s));
    *r = (rotary){.batch = s.dims[0], .heads = heads, .steps = s.dims[1]};
    r->size = packed ? s.dims[2] / heads : s.dims[3];
    if (!packed) r->heads = s.dims[1], r->steps = s.dims[2];
    r->step_head = packed ? r->size : r->steps * r->size;
    r->step_step = packed ? r->heads * r->size : r->size;
    rotated = ir_attr_int(n, "rotary_embedding_dim", 0);
    if (!rotated) rotated = r->size;
    if (rotated < 0 || rotated > r->size || rotated % 2)
        return ev_error(e, n, "%lld of %lld elements turn", (long long)rotated, (long long)r->size);
    r->half = rotated / 2;
    r->interleaved = ir_attr_int(n, "interleaved", 0) != 0;
    r->positions = ev_tensor(n, in, 3);
    r->rows = sc.rank ? sc.dims[0] : 0;
    ev_shape by_position = {2, {r->rows, r->half}}, by_step = {3, {r->batch, r->steps, r->half}},
             positions = {2, {r->batch, r->steps}};
    const ev_shape *cache = r->positions ? &by_position : &by_step;
    return ev_expect_shape(e, n, in, 1, cache) && ev_expect_shape(e, n, in, 2, cache) &&
           ev_expect_shape(e, n, in, 3, &positions);
}

/* One head at one step; `cache`: where its cosines and sines begin. */
static void rotate(const rotary *r, int64_t at, int64_t cache, ir_tensor *y) {
    for (int64_t i = 2 * r->half; i < r->size; i++)
        ir_tensor_set_f64(y, (size_t)(at + i), r->x[at + i]);
    for (int64_t i = 0; i < r->half; i++) {
        int64_t first = at + (r->interleaved ? 2 * i : i),
                second = r->interleaved ? first + 1 : first + r->half;
        double a = r->x[first], b = r->x[second], c = r->cos[cache + i], s = r->sin[cache + i];
        ir_tensor_set_f64(y, (size_t)first, a * c - b * s);
        ir_tensor_set_f64(y, (size_t)second, a * s + b * c);
    }
}

bool eval_rotary(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    rotary r;
    if (!read_rotary(e, n, in, &r)) return false;
    ev_shape s = ev_shape_of(in[0]->tensor);
    ir_tensor *y = ev_alloc(e, n, in[0]->tensor->type->dtype, &s);
    if (!y) return false;
    r.x = ev_f64s(e, in[0]->tensor), r.cos = ev_f64s(e, in[1]->tensor),
    r.sin = ev_f64s(e, in[2]->tensor);
    for (int64_t row = 0; row < r.batch * r.steps; row++) {
        int64_t b = row / r.steps, cache = row;
        if (r.positions) cache = ir_tensor_get_i64(r.positions, (size_t)row);
        if (r.positions && cache < 0) cache += r.rows;
        if (r.positions && (cache < 0 || cache >= r.rows))
            return ev_error(e, n, "position %lld is outside of %lld", (long long)cache,
                            (long long)r.rows);
        for (int64_t h = 0; h < r.heads; h++) {
            int64_t at = b * r.heads * r.steps * r.size + h * r.step_head +
                         row % r.steps * r.step_step;
            rotate(&r, at, cache * r.half, y);
        }
    }
    out[0].tensor = y;
    return true;
}
