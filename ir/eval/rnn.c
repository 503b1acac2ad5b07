/* RNN, GRU and LSTM by their equations, one row of one step at a time, in double; rounded where a result is stored.
 *
 *   RNN    h' = f(W x + Wb + R h + Rb)
 *   GRU    z = f(..), r = f(..), n = g(Wn x + Wbn + Rn (r h) + Rbn); linear_before_reset: r (Rn h + Rbn)
 *          h' = (1 - z) n + z h
 *   LSTM   i = f(.. + Pi c), f = f(.. + Pf c), g = g(..), c' = f c + i g, o = f(.. + Po c'), h' = o h(c')
 *
 * A row of length n stops after n steps: what follows of y is 0, the last states are those it had then. In reverse it starts at its own
 * last element. */
#include "ir/rnn.h"

#include "ir/eval/eval_internal.h"

#include <math.h>

typedef struct rnn {
    ir_rnn spec;
    op_id op;
    int64_t steps, batch, input, hidden;
    const double *x, *w, *r, *b, *p; /* b, p: NULL = omitted */
    const ir_tensor *lengths;
    double *h, *c;        /* states of all rows: [directions, batch, hidden] */
    double *gates, *next; /* of one row: RNN_MAX_GATES * hidden, hidden */
    ir_tensor *y;         /* NULL = not wanted */
} rnn;

/* One row of one direction; weights are the direction's. */
typedef struct row {
    const ir_rnn_activation *f;
    const double *x, *w, *r, *wb, *rb, *p;
    double *h, *c;
} row;

static double apply(const ir_rnn_activation *a, double x) {
    switch (a->fn) {
    case RNN_AFFINE:
        return (double)a->alpha * x + (double)a->beta;
    case RNN_ELU:
        return x >= 0 ? x : (double)a->alpha * expm1(x);
    case RNN_HARD_SIGMOID:
        return fmin(fmax((double)a->alpha * x + (double)a->beta, 0), 1);
    case RNN_LEAKY_RELU:
        return x >= 0 ? x : (double)a->alpha * x;
    case RNN_RELU:
        return x > 0 ? x : 0;
    case RNN_SCALED_TANH:
        return (double)a->alpha * tanh((double)a->beta * x);
    case RNN_SIGMOID:
        return 1 / (1 + exp(-x));
    case RNN_SOFTPLUS:
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case RNN_SOFTSIGN:
        return x / (1 + fabs(x));
    case RNN_TANH:
        return tanh(x);
    case RNN_THRESHOLDED_RELU:
        return x >= (double)a->alpha ? x : 0;
    case RNN_FUNCTION_COUNT:
        break;
    }
    TL_UNREACHABLE();
}

/* Of a gate: what enters is bounded. NaN stays. */
static double activate(const rnn *k, const ir_rnn_activation *a, double x) {
    double clip = (double)k->spec.clip;
    if (clip > 0) x = x > clip ? clip : x < -clip ? -clip : x;
    return isnan(x) ? x : apply(a, x);
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Element `at` of the gates: what the input gives. */
static double from_input(const rnn *k, const row *w, int64_t at) {
    return dot(w->x, w->w + at * k->input, k->input) + (w->wb ? w->wb[at] : 0);
}

/* What the state gives. */
static double from_state(const rnn *k, const row *w, int64_t at, const double *h) {
    return dot(h, w->r + at * k->hidden, k->hidden) + (w->rb ? w->rb[at] : 0);
}

static void rnn_step(const rnn *k, const row *w) {
    for (int64_t j = 0; j < k->hidden; j++)
        k->next[j] = activate(k, &w->f[0], from_input(k, w, j) + from_state(k, w, j, w->h));
}

static void gru_step(const rnn *k, const row *w) {
    int64_t n = k->hidden;
    double *z = k->gates, *r = z + n, *reset = r + n;
    for (int64_t j = 0; j < 2 * n; j++)
        z[j] = activate(k, &w->f[0], from_input(k, w, j) + from_state(k, w, j, w->h));
    for (int64_t j = 0; j < n; j++)
        reset[j] = r[j] * w->h[j];
    for (int64_t j = 0; j < n; j++) {
        double s = k->spec.linear_before_reset ? r[j] * from_state(k, w, 2 * n + j, w->h)
                                               : from_state(k, w, 2 * n + j, reset);
        double new_h = activate(k, &w->f[1], from_input(k, w, 2 * n + j) + s);
        k->next[j] = (1 - z[j]) * new_h + z[j] * w->h[j];
    }
}

static double peephole(const rnn *k, const row *w, int64_t which, int64_t j) {
    return w->p ? w->p[which * k->hidden + j] * w->c[j] : 0;
}

/* Gates are stored i o f c, peepholes i o f; o sees the new cell. */
static void lstm_step(const rnn *k, const row *w) {
    int64_t n = k->hidden;
    for (int64_t j = 0; j < 4 * n; j++)
        k->gates[j] = from_input(k, w, j) + from_state(k, w, j, w->h);
    for (int64_t j = 0; j < n; j++) {
        double i = activate(k, &w->f[0], k->gates[j] + peephole(k, w, 0, j));
        double f = activate(k, &w->f[0], k->gates[2 * n + j] + peephole(k, w, 2, j));
        double g = activate(k, &w->f[1], k->gates[3 * n + j]);
        if (k->spec.input_forget) f = 1 - i;
        w->c[j] = f * w->c[j] + i * g;
        double o = activate(k, &w->f[0], k->gates[n + j] + peephole(k, w, 1, j));
        k->next[j] = o * (isnan(w->c[j]) ? w->c[j] : apply(&w->f[2], w->c[j]));
    }
}

static void step(const rnn *k, const row *w) {
    if (k->op == OP_RNN) rnn_step(k, w);
    if (k->op == OP_GRU) gru_step(k, w);
    if (k->op == OP_LSTM) lstm_step(k, w);
    memcpy(w->h, k->next, (size_t)k->hidden * sizeof *w->h);
}

/* ---- all rows ------------------------------------------------------------------------------------------------------------ */

static row row_of(const rnn *k, uint32_t d, int64_t b) {
    int64_t rows = k->spec.gates * k->hidden, state = (d * k->batch + b) * k->hidden;
    return (row){.f = k->spec.functions[d],
                 .w = k->w + d * rows * k->input,
                 .r = k->r + d * rows * k->hidden,
                 .wb = k->b ? k->b + d * 2 * rows : NULL,
                 .rb = k->b ? k->b + d * 2 * rows + rows : NULL,
                 .p = k->p ? k->p + d * 3 * k->hidden : NULL,
                 .h = k->h + state,
                 .c = k->c + state};
}

static void store_step(const rnn *k, uint32_t d, int64_t b, int64_t t, const double *h) {
    int64_t at = k->spec.batch_first ? (b * k->steps + t) * k->spec.directions + d
                                     : (t * k->spec.directions + d) * k->batch + b;
    for (int64_t j = 0; k->y && j < k->hidden; j++)
        ir_tensor_set_f64(k->y, (size_t)(at * k->hidden + j), h[j]);
}

static void run_row(const rnn *k, uint32_t d, int64_t b) {
    row w = row_of(k, d, b);
    int64_t length = k->steps;
    if (k->lengths) length = ir_tensor_get_i64(k->lengths, (size_t)b);
    if (length > k->steps) length = k->steps;
    for (int64_t i = 0; i < length; i++) {
        int64_t t = k->spec.reverse[d] ? length - 1 - i : i;
        w.x = k->x + (k->spec.batch_first ? b * k->steps + t : t * k->batch + b) * k->input;
        step(k, &w);
        store_step(k, d, b, t, w.h);
    }
}

/* ---- operands and results -------------------------------------------------------------------------------------------------- */

static ev_shape state_shape(const rnn *k) {
    if (k->spec.batch_first) return (ev_shape){3, {k->batch, k->spec.directions, k->hidden}};
    return (ev_shape){3, {k->spec.directions, k->batch, k->hidden}};
}

static bool read_sizes(ir_eval *e, const ir_node *n, const ir_datum *const *in, rnn *k) {
    const ir_tensor *x = ev_need(e, n, in, RNN_X), *r = ev_need(e, n, in, RNN_R);
    if (!x || !ev_need(e, n, in, RNN_W) || !r) return false;
    ev_shape sx = ev_shape_of(x), sr = ev_shape_of(r);
    if (sx.rank != 3 || sr.rank != 3) return ev_error(e, n, "operands of rank 3 are expected");
    k->steps = sx.dims[k->spec.batch_first ? 1 : 0];
    k->batch = sx.dims[k->spec.batch_first ? 0 : 1];
    k->input = sx.dims[2];
    k->hidden = k->spec.hidden ? k->spec.hidden : sr.dims[2];
    int64_t d = k->spec.directions, rows = k->spec.gates * k->hidden;
    ev_shape w = {3, {d, rows, k->input}}, rr = {3, {d, rows, k->hidden}}, b = {2, {d, 2 * rows}},
             lengths = {1, {k->batch}}, state = state_shape(k), p = {2, {d, 3 * k->hidden}};
    return ev_expect_shape(e, n, in, RNN_W, &w) && ev_expect_shape(e, n, in, RNN_R, &rr) &&
           ev_expect_shape(e, n, in, RNN_B, &b) &&
           ev_expect_shape(e, n, in, RNN_LENGTHS, &lengths) &&
           ev_expect_shape(e, n, in, RNN_INITIAL_H, &state) &&
           ev_expect_shape(e, n, in, RNN_INITIAL_C, &state) && ev_expect_shape(e, n, in, RNN_P, &p);
}

/* Where element j of the state of row (d, b) stands in an operand or result. */
static size_t state_at(const rnn *k, uint32_t d, int64_t b, int64_t j) {
    int64_t at = k->spec.batch_first ? b * k->spec.directions + d : d * k->batch + b;
    return (size_t)(at * k->hidden + j);
}

static double *read_state(ir_eval *e, const rnn *k, const ir_tensor *t) {
    size_t count = (size_t)(k->spec.directions * k->batch * k->hidden);
    double *s = TL_NEW_ARRAY(e->arena, double, count + 1);
    for (uint32_t d = 0; t && d < k->spec.directions; d++)
        for (int64_t b = 0; b < k->batch; b++)
            for (int64_t j = 0; j < k->hidden; j++)
                s[(d * k->batch + b) * k->hidden + j] = ir_tensor_get_f64(t, state_at(k, d, b, j));
    return s;
}

static bool store_state(ir_eval *e, const ir_node *n, const rnn *k, const double *s, ir_dtype type,
                        ir_datum *out) {
    ev_shape shape = state_shape(k);
    ir_tensor *t = ev_alloc(e, n, type, &shape);
    for (uint32_t d = 0; t && d < k->spec.directions; d++)
        for (int64_t b = 0; b < k->batch; b++)
            for (int64_t j = 0; j < k->hidden; j++)
                ir_tensor_set_f64(t, state_at(k, d, b, j), s[(d * k->batch + b) * k->hidden + j]);
    return (out->tensor = t) != NULL;
}

static const double *optional_f64s(ir_eval *e, const ir_tensor *t) {
    return t ? ev_f64s(e, t) : NULL;
}

static void read_operands(ir_eval *e, const ir_node *n, const ir_datum *const *in, rnn *k) {
    k->x = ev_f64s(e, in[RNN_X]->tensor);
    k->w = ev_f64s(e, in[RNN_W]->tensor);
    k->r = ev_f64s(e, in[RNN_R]->tensor);
    k->b = optional_f64s(e, ev_tensor(n, in, RNN_B));
    k->p = optional_f64s(e, ev_tensor(n, in, RNN_P));
    k->lengths = ev_tensor(n, in, RNN_LENGTHS);
    k->h = read_state(e, k, ev_tensor(n, in, RNN_INITIAL_H));
    k->c = read_state(e, k, ev_tensor(n, in, RNN_INITIAL_C));
    k->gates = TL_NEW_ARRAY(e->arena, double, (size_t)(RNN_MAX_GATES * k->hidden) + 1);
    k->next = TL_NEW_ARRAY(e->arena, double, (size_t)k->hidden + 1);
}

bool eval_rnn(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    rnn k = {.op = n->op};
    const char *problem = ir_rnn_read(&k.spec, e->ctx, n);
    if (problem) return ev_error(e, n, "%s", problem);
    if (!read_sizes(e, n, in, &k)) return false;
    read_operands(e, n, in, &k);
    ir_dtype type = in[RNN_X]->tensor->type->dtype;
    int64_t d = k.spec.directions;
    ev_shape y = {4, {k.steps, d, k.batch, k.hidden}};
    if (k.spec.batch_first) y = (ev_shape){4, {k.batch, k.steps, d, k.hidden}};
    if (!(k.y = ev_alloc(e, n, type, &y))) return false;
    for (uint32_t i = 0; i < k.spec.directions; i++)
        for (int64_t b = 0; b < k.batch; b++)
            run_row(&k, i, b);
    out[RNN_Y].tensor = k.y;
    return (n->n_out <= RNN_LAST_H || store_state(e, n, &k, k.h, type, &out[RNN_LAST_H])) &&
           (n->n_out <= RNN_LAST_C || store_state(e, n, &k, k.c, type, &out[RNN_LAST_C]));
}
