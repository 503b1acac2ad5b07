/* One step of an optimizer (ai.onnx.preview.training), in terms of arithmetic.
 *
 *   (R, T, X1, X2, G1, G2, ...) -> (X1', X2', ...): the rate R, the number of the step T, then per parameter its value X, its gradient
 *   G and, as the operator has it, averages that are carried from step to step: kind after kind, not parameter after parameter. */
#include "frontend/upgrade.h"

typedef struct optimizer {
    fe_node *n;
    uint32_t n_kinds;  /* of inputs per parameter: value, gradient, averages */
    uint32_t n_params; /* parameters */
    ir_dtype type;     /* of the parameter at hand */
    ir_value *in[4];   /* its inputs */
} optimizer;

static ir_value *add(const optimizer *o, ir_value *x, ir_value *y) {
    return fe_build2(o->n, OP_Add, x, y);
}
static ir_value *mul(const optimizer *o, ir_value *x, ir_value *y) {
    return fe_build2(o->n, OP_Mul, x, y);
}
static ir_value *divide(const optimizer *o, ir_value *x, ir_value *y) {
    return fe_build2(o->n, OP_Div, x, y);
}
static ir_value *sub(const optimizer *o, ir_value *x, ir_value *y) {
    return fe_build2(o->n, OP_Sub, x, y);
}
static ir_value *number(const optimizer *o, double x) {
    return fe_scalar(o->n, o->type, x);
}

static double attr(const optimizer *o, const char *name, float fallback) {
    return (double)fe_attr_float(o->n, name, fallback);
}

static ir_value *cast(const optimizer *o, ir_value *x) {
    if (!x || x->type->dtype == o->type) return x;
    return fe_build1_int(o->n, OP_Cast, x, "to", o->type);
}

static ir_value *rate(const optimizer *o) {
    return cast(o, fe_in(o->n, 0));
}
static ir_value *step(const optimizer *o) {
    return cast(o, fe_in(o->n, 1));
}

/* G + norm_coefficient * X: the derivative of a penalty on large parameters added. */
static ir_value *gradient(const optimizer *o) {
    double k = attr(o, "norm_coefficient", 0);
    return k == 0 ? o->in[1] : add(o, o->in[1], mul(o, number(o, k), o->in[0]));
}

/* k * old + (1 - k) * now */
static ir_value *average(const optimizer *o, double k, ir_value *old, ir_value *now) {
    return add(o, mul(o, number(o, k), old), mul(o, number(o, 1 - k), now));
}

/* In step 0 one thing, in all later ones another. */
static ir_value *at_first(const optimizer *o, ir_value *first, ir_value *later) {
    ir_value *zero = fe_scalar(o->n, DT_i64, 0);
    ir_value *is_later = fe_build2(o->n, OP_Greater, fe_in(o->n, 1), zero);
    ir_value *v[] = {is_later, later, first};
    return fe_build(o->n, OP_Where, v, 3, NULL, 0);
}

/* ---- the three -------------------------------------------------------------------------------- */

typedef bool step_fn(optimizer *o, ir_value **out); /* new value, then new averages */

static bool adagrad_step(optimizer *o, ir_value **out) {
    ir_value *decay = mul(o, step(o), number(o, attr(o, "decay_factor", 0)));
    ir_value *r = divide(o, rate(o), add(o, number(o, 1), decay));
    ir_value *g = gradient(o);
    out[1] = add(o, o->in[2], mul(o, g, g));
    ir_value *root = out[1] ? fe_build1(o->n, OP_Sqrt, out[1]) : NULL;
    ir_value *divisor = add(o, root, number(o, attr(o, "epsilon", 1e-6f)));
    out[0] = sub(o, o->in[0], divide(o, mul(o, r, g), divisor));
    return out[0] != NULL;
}

/* 1 - k^T */
static ir_value *correction(const optimizer *o, double k) {
    return sub(o, number(o, 1), fe_build2(o->n, OP_Pow, number(o, k), step(o)));
}

static bool adam_step(optimizer *o, ir_value **out) {
    double alpha = attr(o, "alpha", 0.9f), beta = attr(o, "beta", 0.999f);
    ir_value *g = gradient(o);
    out[1] = average(o, alpha, o->in[2], g);
    out[2] = average(o, beta, o->in[3], mul(o, g, g));
    ir_value *root = out[2] ? fe_build1(o->n, OP_Sqrt, out[2]) : NULL;
    ir_value *divisor = add(o, root, number(o, attr(o, "epsilon", 1e-6f)));
    ir_value *unbiased = fe_build1(o->n, OP_Sqrt, correction(o, beta));
    ir_value *later = divide(o, mul(o, rate(o), unbiased), correction(o, alpha));
    ir_value *r = at_first(o, rate(o), later);
    out[0] = sub(o, o->in[0], mul(o, r, divide(o, out[1], divisor)));
    out[0] = mul(o, out[0], number(o, 1 - attr(o, "norm_coefficient_post", 0)));
    return out[0] != NULL;
}

static bool momentum_step(optimizer *o, ir_value **out) {
    bool nesterov = fe_attr_is(o->n, "mode", "nesterov");
    if (!nesterov && !fe_attr_is(o->n, "mode", "standard"))
        return fe_error(o->n, "attribute 'mode' is neither 'standard' nor 'nesterov'");
    ir_value *alpha = number(o, attr(o, "alpha", 0)), *g = gradient(o);
    ir_value *beta = at_first(o, number(o, 1), number(o, attr(o, "beta", 0)));
    out[1] = add(o, mul(o, alpha, o->in[2]), mul(o, beta, g));
    ir_value *move = nesterov ? add(o, g, mul(o, alpha, out[1])) : out[1];
    out[0] = sub(o, o->in[0], mul(o, rate(o), move));
    return out[0] != NULL;
}

/* ---- all parameters ----------------------------------------------------------------------------- */

static bool read_param(optimizer *o, uint32_t i) {
    for (uint32_t k = 0; k < o->n_kinds; k++) {
        uint32_t at = 2 + k * o->n_params + i;
        ir_dtype t;
        if (!fe_in_dtype(o->n, at, &t)) return false;
        if (k && t != o->type) return fe_error(o->n, "input %u has another element type", at);
        o->type = t;
        o->in[k] = fe_in(o->n, at);
    }
    return true;
}

static void name_result(fe_node *n, uint32_t i, ir_value *v) {
    n->out[i] = v;
    if (v && v->def && *n->out_names[i]) v->name = fe_unique_name(n->im, n->scope, n->out_names[i]);
}

static bool optimize(fe_node *n, uint32_t n_kinds, step_fn *fn) {
    optimizer o = {.n = n, .n_kinds = n_kinds};
    ir_dtype t;
    if (n->in.len < 2 || (n->in.len - 2) % n_kinds)
        return fe_error(n, "%u inputs, expected 2 and %u per parameter", n->in.len, n_kinds);
    o.n_params = (n->in.len - 2) / n_kinds;
    if (n->n_out > o.n_params * (n_kinds - 1))
        return fe_error(n, "%u outputs for %u parameters", n->n_out, o.n_params);
    if (!fe_in_dtype(n, 0, &t) || !fe_in_dtype(n, 1, &t)) return false;
    for (uint32_t i = 0; i < o.n_params; i++) {
        ir_value *out[3] = {0};
        if (!read_param(&o, i) || !fn(&o, out)) return false;
        for (uint32_t k = 0; k + 1 < n_kinds; k++)
            if (k * o.n_params + i < n->n_out) name_result(n, k * o.n_params + i, out[k]);
    }
    n->done = true;
    return true;
}

static bool adagrad(fe_node *n) {
    return optimize(n, 3, adagrad_step);
}
static bool adam(fe_node *n) {
    return optimize(n, 4, adam_step);
}
static bool momentum(fe_node *n) {
    return optimize(n, 3, momentum_step);
}

/* clang-format off */
#define TRAINING "ai.onnx.preview.training"
const fe_rule fe_rules_training[] = {
    {TRAINING, "Adagrad", FE_ALWAYS, adagrad, "Add"},
    {TRAINING, "Adam", FE_ALWAYS, adam, "Add"},
    {TRAINING, "Momentum", FE_ALWAYS, momentum, "Add"},
    {0},
};
/* clang-format on */
