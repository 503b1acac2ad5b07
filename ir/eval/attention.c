/* Attention (opset 23 and 24), one query row at a time:
 *
 *   score[j] = scale * (q . k[j]);  softcap: c * tanh(score / c);  + mask;  softmax over j;  y = sum of weight[j] * v[j]
 *
 * Forms: 4-D [batch, heads, length, size] or 3-D [batch, length, heads * size] with head counts as attributes; fewer
 * key/value heads than query heads are shared by groups of query heads in order; past keys and values come in front.
 * A mask shorter than the keys masks the rest out. is_causal: position i of the queries sees keys up to past + i.
 * qk_matmul_output shows the scores at one of four stages. Everything in double, rounded where the operator rounds.
 *
 * LocalAttention: query i stands at key first + i and sees what ir/band.h says, from key `begin` on. */
#include "ir/band.h"
#include "ir/eval/eval_internal.h"

#include <math.h>

/* One of q, k, v: how to find element (batch, head, position, i). */
typedef struct heads {
    const double *values;
    int64_t batch, n_heads, length, size;
    int64_t step_batch, step_head, step_length;
} heads;

typedef struct attention {
    heads q, k, v;
    int64_t past, total; /* keys before the new ones; all keys */
    const ir_tensor *mask, *kv_lengths;
    ev_shape mask_shape;
    int64_t mask_steps[4];
    double scale, softcap;
    ir_band band;
    int64_t begin; /* no query sees a key in front of this one */
    int64_t mode;
    ir_dtype type;
} attention;

static bool read_heads(ir_eval *e, const ir_node *n, const ir_tensor *t, int64_t n_heads,
                       heads *h) {
    ev_shape s = ev_shape_of(t);
    if (s.rank == 4) {
        *h = (heads){
            .batch = s.dims[0], .n_heads = s.dims[1], .length = s.dims[2], .size = s.dims[3]};
        h->step_length = h->size;
        h->step_head = h->length * h->size;
    } else if (s.rank == 3) {
        if (n_heads < 1 || s.dims[2] % n_heads)
            return ev_error(e, n, "%lld elements in %lld heads", (long long)s.dims[2],
                            (long long)n_heads);
        *h = (heads){.batch = s.dims[0],
                     .n_heads = n_heads,
                     .length = s.dims[1],
                     .size = s.dims[2] / n_heads};
        h->step_length = s.dims[2];
        h->step_head = h->size;
    } else {
        return ev_error(e, n, "rank is %d, expected 3 or 4", (int)s.rank);
    }
    h->step_batch = h->n_heads * h->length * h->size;
    h->values = ev_f64s(e, t);
    return true;
}

/* Joins past and new along the length into a tensor [batch, heads, total, size]; h then describes that. */
static ir_tensor *with_past(ir_eval *e, const ir_node *n, const ir_tensor *t, const ir_tensor *past,
                            heads *h) {
    ev_shape ps = past ? ev_shape_of(past) : (ev_shape){4, {h->batch, h->n_heads, 0, h->size}};
    bool fits = ps.rank == 4 && ps.dims[0] == h->batch && ps.dims[1] == h->n_heads &&
                ps.dims[3] == h->size;
    if (!fits) return ev_error(e, n, "the past %s does not fit", ev_shape_text(e, &ps)), NULL;
    ev_shape s = {4, {h->batch, h->n_heads, ps.dims[2] + h->length, h->size}}, now = s;
    ir_tensor *y = ev_alloc(e, n, t->type->dtype, &s);
    if (!y) return NULL;
    int64_t dst[IR_MAX_RANK], src[IR_MAX_RANK];
    ev_strides(&s, dst);
    ev_strides(&ps, src);
    if (past) ev_copy_nd(t->type->dtype, &ps, ir_tensor_data(y), 0, dst, past->data, 0, src);
    now.dims[2] = h->length;
    int64_t own[4] = {h->step_batch, h->step_head, h->step_length, 1};
    ev_copy_nd(t->type->dtype, &now, ir_tensor_data(y), ps.dims[2] * h->size, dst, t->data, 0, own);
    return read_heads(e, n, y, h->n_heads, h) ? y : NULL;
}

static bool read_mask(ir_eval *e, const ir_node *n, attention *a) {
    if (!a->mask) return true;
    ev_shape full = {4, {a->q.batch, a->q.n_heads, a->q.length, a->total}},
             own = ev_shape_of(a->mask);
    a->mask_shape = own;
    if (!own.rank || own.rank > 4) return ev_error(e, n, "the mask has rank %d", (int)own.rank);
    if (own.dims[own.rank - 1] != 1 && own.dims[own.rank - 1] < a->total)
        full.dims[3] = own.dims[own.rank - 1];
    /* A last dimension of 1 for several keys masks out the others; it does not broadcast. */
    if (own.dims[own.rank - 1] == 1) full.dims[3] = 1;
    if (!ev_broadcasts_to(&own, &full))
        return ev_error(e, n, "the mask %s does not fit %s", ev_shape_text(e, &own),
                        ev_shape_text(e, &full));
    ev_broadcast_strides(&own, &full, a->mask_steps);
    return true;
}

static bool read_operands(ir_eval *e, const ir_node *n, const ir_datum *const *in, attention *a) {
    const ir_tensor *q = ev_need(e, n, in, 0), *k = ev_need(e, n, in, 1), *v = ev_need(e, n, in, 2);
    if (!q || !k || !v) return false;
    int64_t q_heads = ir_attr_int(n, "q_num_heads", 0),
            kv_heads = ir_attr_int(n, "kv_num_heads", 0);
    return read_heads(e, n, q, q_heads, &a->q) && read_heads(e, n, k, kv_heads, &a->k) &&
           read_heads(e, n, v, kv_heads, &a->v);
}

/* What both operators have, once keys and values are known. */
static bool read_scores(ir_eval *e, const ir_node *n, const ir_datum *const *in, attention *a) {
    bool fits = a->k.batch == a->q.batch && a->v.batch == a->q.batch && a->k.size == a->q.size &&
                a->k.length == a->v.length && a->k.n_heads == a->v.n_heads &&
                (a->q.n_heads == 0 || (a->k.n_heads && a->q.n_heads % a->k.n_heads == 0));
    if (!fits) return ev_error(e, n, "queries, keys and values do not fit each other");
    a->total = a->k.length;
    a->mask = ev_tensor(n, in, 3);
    a->scale = ir_attr_has(n, "scale") ? ir_attr_float(n, "scale", 0) : 1 / sqrt((double)a->q.size);
    a->softcap = ir_attr_float(n, "softcap", 0);
    a->band = ir_band_of(n);
    a->type = in[0]->tensor->type->dtype;
    return true;
}

static bool read_attention(ir_eval *e, const ir_node *n, const ir_datum *const *in, attention *a,
                           ir_datum *out) {
    if (!read_operands(e, n, in, a)) return false;
    const ir_tensor *k = ev_tensor(n, in, 1), *v = ev_tensor(n, in, 2);
    const ir_tensor *past_k = ev_tensor(n, in, 4), *past_v = ev_tensor(n, in, 5);
    a->past = past_k ? ev_shape_of(past_k).dims[2] : 0;
    ir_tensor *present_k = with_past(e, n, k, past_k, &a->k),
              *present_v = present_k ? with_past(e, n, v, past_v, &a->v) : NULL;
    if (!present_v || !read_scores(e, n, in, a)) return false;
    a->kv_lengths = ev_tensor(n, in, 6);
    if (a->kv_lengths && ir_tensor_elements(a->kv_lengths) != (size_t)a->q.batch)
        return ev_error(e, n, "nonpad_kv_seqlen needs one length per batch entry");
    a->mode = ir_attr_int(n, "qk_matmul_output_mode", 0);
    if (n->n_out > 1) out[1].tensor = present_k;
    if (n->n_out > 2) out[2].tensor = present_v;
    return read_mask(e, n, a);
}

/* What is added to the score of query i and key j; -inf: masked out. */
static double bias_of(const attention *a, int64_t b, int64_t h, int64_t i, int64_t j) {
    if (j < a->begin || !ir_band_sees(&a->band, a->past + i, j)) return -INFINITY;
    if (a->kv_lengths && j >= ir_tensor_get_i64(a->kv_lengths, (size_t)b)) return -INFINITY;
    if (!a->mask) return 0;
    if (j >= a->mask_shape.dims[a->mask_shape.rank - 1]) return -INFINITY;
    size_t at = (size_t)ev_dot((int64_t[]){b, h, i, j}, a->mask_steps, 4);
    if (a->mask->type->dtype == DT_bool)
        return ((const uint8_t *)a->mask->data)[at] ? 0 : -INFINITY;
    return ir_tensor_get_f64(a->mask, at);
}

static void softmax_row(double *x, int64_t n) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (x[i] > max || isnan(x[i])) max = x[i];
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    for (int64_t i = 0; i < n; i++)
        x[i] = exp(x[i] - max) / sum;
}

static void show_scores(ir_tensor *t, int64_t at, const double *row, int64_t n) {
    for (int64_t j = 0; t && j < n; j++)
        ir_tensor_set_f64(t, (size_t)(at + j), row[j]);
}

/* Rounded, as the operator's addition is: a mask of -1e9 in a whole row takes the scores' digits away, and the weights become equal. */
static double masked_score(const attention *a, double score, double bias) {
    double sum = score + bias;
    return a->type == DT_f64 ? sum : (double)(float)sum;
}

/* One row of scores, turned into weights. scores (may be NULL) takes the stage that `mode` names. */
static void attention_row(const attention *a, int64_t b, int64_t h, int64_t i, double *row,
                          ir_tensor *scores) {
    int64_t kv = h / (a->q.n_heads / a->k.n_heads),
            at = ((b * a->q.n_heads + h) * a->q.length + i) * a->total;
    const double *q = a->q.values + b * a->q.step_batch + h * a->q.step_head + i * a->q.step_length;
    for (int64_t j = 0; j < a->total; j++) {
        const double *k = a->k.values + b * a->k.step_batch + kv * a->k.step_head +
                          j * a->k.step_length;
        row[j] = 0;
        for (int64_t d = 0; d < a->q.size; d++)
            row[j] += q[d] * k[d];
        row[j] *= a->scale;
    }
    if (a->mode == 0) show_scores(scores, at, row, a->total);
    for (int64_t j = 0; a->softcap > 0 && j < a->total; j++)
        row[j] = a->softcap * tanh(row[j] / a->softcap);
    if (a->mode == 1) show_scores(scores, at, row, a->total);
    for (int64_t j = 0; j < a->total; j++)
        row[j] = masked_score(a, row[j], bias_of(a, b, h, i, j));
    if (a->mode == 2) show_scores(scores, at, row, a->total);
    softmax_row(row, a->total);
    if (a->mode == 3) show_scores(scores, at, row, a->total);
}

/* The result element's place: like the queries', with the values' size. */
static int64_t result_at(const attention *a, bool flat, int64_t b, int64_t h, int64_t i) {
    if (flat) return ((b * a->q.length + i) * a->q.n_heads + h) * a->v.size;
    return ((b * a->q.n_heads + h) * a->q.length + i) * a->v.size;
}

static void weigh_values(const attention *a, const double *row, int64_t b, int64_t h, ir_tensor *y,
                         int64_t at) {
    int64_t kv = h / (a->q.n_heads / a->k.n_heads);
    for (int64_t d = 0; d < a->v.size; d++) {
        double sum = 0;
        for (int64_t j = 0; j < a->total; j++)
            sum +=
                row[j] *
                a->v.values[b * a->v.step_batch + kv * a->v.step_head + j * a->v.step_length + d];
        ir_tensor_set_f64(y, (size_t)(at + d), sum);
    }
}

static bool compute(ir_eval *e, const ir_node *n, const attention *a, bool flat, ir_datum *out) {
    ev_shape s = {4, {a->q.batch, a->q.n_heads, a->q.length, a->v.size}},
             all = {4, {a->q.batch, a->q.n_heads, a->q.length, a->total}};
    if (flat) s = (ev_shape){3, {a->q.batch, a->q.length, a->q.n_heads * a->v.size}};
    ir_tensor *y = ev_alloc(e, n, a->type, &s), *scores = NULL;
    if (!y || (n->n_out > 3 && !(scores = ev_alloc(e, n, a->type, &all)))) return false;
    double *row = TL_NEW_ARRAY(e->arena, double, (size_t)a->total + 1);
    int64_t rows = a->q.batch * a->q.n_heads * a->q.length;
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = r % a->q.length, h = r / a->q.length % a->q.n_heads,
                b = r / a->q.length / a->q.n_heads;
        attention_row(a, b, h, i, row, scores);
        weigh_values(a, row, b, h, y, result_at(a, flat, b, h, i));
    }
    out[0].tensor = y;
    if (scores) out[3].tensor = scores;
    return true;
}

bool eval_attention(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    attention a = {0};
    return read_attention(e, n, in, &a, out) &&
           compute(e, n, &a, in[0]->tensor->type->rank == 3, out);
}

/* An optional scalar, brought to 0 ... INT32_MAX. */
static bool read_position(ir_eval *e, const ir_node *n, const ir_tensor *t, int64_t *p) {
    if (!t) return true;
    if (!ev_scalar_i64(e, n, t, p)) return false;
    if (*p > INT32_MAX) *p = INT32_MAX;
    if (*p < 0) *p = 0;
    return true;
}

bool eval_local_attention(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    attention a = {0};
    const ir_tensor *first = ev_tensor(n, in, 4), *begin = ev_tensor(n, in, 5);
    return read_operands(e, n, in, &a) && read_scores(e, n, in, &a) && read_mask(e, n, &a) &&
           read_position(e, n, first, &a.past) && read_position(e, n, begin, &a.begin) &&
           compute(e, n, &a, in[0]->tensor->type->rank == 3, out);
}
