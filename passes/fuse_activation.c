/* fuse_activation: activation functions that exporters spelled out, as one operator again.
 *
 *   before:  %d = Div(%x, @sqrt2)          after:  %y = Gelu(%x)
 *            %e = Erf(%d)
 *            %s = Add(%e, @one)
 *            %m = Mul(%x, %s)
 *            %y = Mul(%m, @half)
 *
 * A formula has an inner function t = f(a(x)) and a polynomial around it: Gelu is 0.5 x + 0.5 x t with t = erf(0.7071 x). Both a and
 * the polynomial are compared as such (match.h), so every association of every exporter is one case. Known: Gelu (erf, tanh, and the
 * tanh form written with sigmoid), Swish with any factor (SiLU, QuickGELU), HardSwish, Mish, Softplus, Softsign, Sigmoid from Exp.
 * Constants may be off by what a narrow element type does to them; the results then differ by as little. Not done with strict maths. */
#include "passes/match.h"
#include "passes/util.h"

enum { MAX_LEAVES = 12, MAX_CLIMB = 5 };

typedef struct formula {
    op_id inner;         /* t = inner(argument) */
    match_poly argument; /* in x */
    match_poly around;   /* in x and t */
    op_id result;
    const char *approximate; /* attribute of Gelu */
} formula;

#define X_T(k)           \
    {                    \
        .c[1] = { 0, k } \
    } /* k x t */
#define GELU_T      {.c[1] = {0.5, 0.5}}             /* 0.5 x (1 + t) */
#define CUBIC(a, b) {.c[1] = {a, 0}, .c[3] = {b, 0}} /* a x + b x^3 */

/* sqrt(1/2); sqrt(2/pi) and 0.044715 times that; twice these: tanh(z) = 2 sigmoid(2 z) - 1. */
static const formula formulas[] = {
    {OP_Erf, {.c[1] = {0.70710678118654752, 0}}, GELU_T, OP_Gelu, NULL},
    {OP_Tanh, CUBIC(0.79788456080286536, 0.035677408136300125), GELU_T, OP_Gelu, "tanh"},
    {OP_Sigmoid, CUBIC(1.5957691216057307, 0.07135481627260025), X_T(1), OP_Gelu, "tanh"},
    {OP_HardSigmoid, {.c[1] = {1, 0}}, X_T(1), OP_HardSwish, NULL},
    {OP_Clip, {.c[0] = {3, 0}, .c[1] = {1, 0}}, X_T(1.0 / 6), OP_HardSwish, NULL},
};

/* The value above t, and in use, whose polynomial in x and t is `around`; or NULL. */
static ir_value *find_root(ir_value *x, ir_value *t, const match_poly *around) {
    double tolerance = match_tolerance(x->type->dtype);
    ir_value *v = t;
    for (uint32_t i = 0; i < MAX_CLIMB; i++) {
        ir_node *user = match_user(v);
        if (!user || user->n_out != 1 || user->parent != t->def->parent) return NULL;
        v = &user->out[0];
        if (!v->uses) return NULL;
        match_poly p;
        if (match_poly_of(v, x, t, &p) && match_poly_near(&p, around, tolerance))
            return same_type(v, x) ? v : NULL;
    }
    return NULL;
}

static ir_node *replace(pass_ctx *ctx, ir_value *root, ir_value *x, op_id op, const ir_attr *attr) {
    if (!ctx_take(ctx, op_get(op)->name)) return NULL;
    ir_builder b = ir_build_before(root->def);
    ir_node *n = build_node(&b, op, &x, 1, 1, attr, attr ? 1 : 0);
    pass_replace(ctx, root, &n->out[0]); /* what is dead now is left to dce */
    return n;
}

static pass_result replace_by(pass_ctx *ctx, ir_value *root, ir_value *x, op_id op,
                              const ir_attr *attr) {
    return replace(ctx, root, x, op, attr) ? PASS_CHANGED : PASS_SAME;
}

/* HardSigmoid counts with its usual constants only, Clip with the limits 0 and 6. */
static bool inner_is_usual(const ir_node *n) {
    double low, high;
    if (n->op == OP_HardSigmoid)
        return match_near(ir_attr_float(n, "alpha", 0), 1.0 / 6, 1e-4) &&
               ir_attr_float(n, "beta", 0) == 0.5f;
    if (n->op != OP_Clip) return true;
    return ir_value_const_f64(ir_in(n, 1), &low) && ir_value_const_f64(ir_in(n, 2), &high) &&
           low == 0 && high == 6;
}

static pass_result try_formula(pass_ctx *ctx, ir_node *inner, const formula *f) {
    ir_value *leaves[MAX_LEAVES];
    uint32_t n = match_leaves(ir_in(inner, 0), leaves, MAX_LEAVES);
    for (uint32_t i = 0; i < n; i++) {
        match_poly a;
        if (!match_poly_of(ir_in(inner, 0), leaves[i], NULL, &a)) continue;
        if (!match_poly_near(&a, &f->argument, match_tolerance(leaves[i]->type->dtype))) continue;
        ir_value *root = find_root(leaves[i], &inner->out[0], &f->around);
        if (!root) continue;
        ir_attr attr = {.name = "approximate",
                        .kind = ATTR_STRING,
                        .v.s = tl_sv_from(f->approximate ? f->approximate : "")};
        return replace_by(ctx, root, leaves[i], f->result, f->approximate ? &attr : NULL);
    }
    return PASS_SAME;
}

/* x sigmoid(alpha x) */
static pass_result try_swish(pass_ctx *ctx, ir_node *sigmoid) {
    static const match_poly around = X_T(1);
    ir_value *x = ir_in(sigmoid, 0), *inner;
    double alpha = 1;
    ir_value *root = find_root(x, &sigmoid->out[0], &around);
    if (!root && match_scaled(x, &inner, &alpha))
        root = find_root(x = inner, &sigmoid->out[0], &around);
    if (!root) return PASS_SAME;
    ir_attr attr = {.name = "alpha", .kind = ATTR_FLOAT, .v.f = (float)alpha};
    return replace_by(ctx, root, x, OP_Swish, attr.v.f == 1 ? NULL : &attr);
}

/* x tanh(softplus(x)) */
static pass_result try_mish(pass_ctx *ctx, ir_node *tanh) {
    static const match_poly around = X_T(1);
    ir_node *softplus = match_def(ir_in(tanh, 0), OP_Softplus);
    ir_value *x = softplus ? ir_in(softplus, 0) : NULL;
    ir_value *root = x ? find_root(x, &tanh->out[0], &around) : NULL;
    return root ? replace_by(ctx, root, x, OP_Mish, NULL) : PASS_SAME;
}

static pass_result try_formulas(pass_ctx *ctx, ir_node *n) {
    for (uint32_t i = 0; i < sizeof formulas / sizeof *formulas; i++)
        if (formulas[i].inner == n->op && inner_is_usual(n) &&
            try_formula(ctx, n, &formulas[i]) == PASS_CHANGED)
            return PASS_CHANGED;
    if (n->op == OP_Sigmoid) return try_swish(ctx, n);
    return n->op == OP_Tanh ? try_mish(ctx, n) : PASS_SAME;
}

/* v is 1 + f(...), in either order: the node f. */
static ir_node *one_plus(const ir_value *v, op_id f) {
    ir_node *add = match_def(v, OP_Add), *inner;
    ir_value *one;
    double k;
    if (!add || !match_either(add, f, &inner, &one)) return NULL;
    return ir_value_const_f64(one, &k) && k == 1 ? inner : NULL;
}

/* The x of v = -x. */
static ir_value *negated(const ir_value *v) {
    ir_value *x;
    double k;
    if (match_def(v, OP_Neg)) return ir_in(v->def, 0);
    return match_scaled(v, &x, &k) && k == -1 ? x : NULL;
}

/* log(1 + exp(x)) */
static pass_result try_softplus(pass_ctx *ctx, ir_node *log) {
    ir_node *exp = one_plus(ir_in(log, 0), OP_Exp);
    if (!exp || !same_type(&log->out[0], ir_in(exp, 0))) return PASS_SAME;
    ir_node *softplus = replace(ctx, &log->out[0], ir_in(exp, 0), OP_Softplus, NULL);
    return softplus ? PASS_CHANGED : PASS_SAME;
}

/* 1 / (1 + exp(-x)), whose product with x is found at once; x / (1 + exp(-x)); x / (1 + |x|) */
static pass_result try_quotient(pass_ctx *ctx, ir_node *n) {
    bool reciprocal = n->op == OP_Reciprocal;
    ir_value *divisor = ir_in(n, reciprocal ? 0 : 1), *dividend = ir_in(n, 0);
    double one = 0;
    ir_node *exp = one_plus(divisor, OP_Exp), *abs = one_plus(divisor, OP_Abs);
    ir_value *x = exp ? negated(ir_in(exp, 0)) : abs ? ir_in(abs, 0) : NULL;
    if (!x || !same_type(x, &n->out[0])) return PASS_SAME;
    if (abs)
        return !reciprocal && dividend == x ? replace_by(ctx, &n->out[0], x, OP_Softsign, NULL)
                                            : PASS_SAME;
    if (!reciprocal && dividend == x) return replace_by(ctx, &n->out[0], x, OP_Swish, NULL);
    if (!reciprocal && (!ir_value_const_f64(dividend, &one) || one != 1)) return PASS_SAME;
    ir_node *sigmoid = replace(ctx, &n->out[0], x, OP_Sigmoid, NULL);
    if (sigmoid) try_formulas(ctx, sigmoid);
    return sigmoid ? PASS_CHANGED : PASS_SAME;
}

static pass_result fuse_activation_node(pass_ctx *ctx, ir_node *n) {
    if (n->n_out != 1 || !n->out[0].type || !ir_type_is_tensor(n->out[0].type) ||
        !ir_dtype_is_float(n->out[0].type->dtype))
        return PASS_SAME;
    switch (n->op) {
    case OP_Erf:
    case OP_Tanh:
    case OP_Sigmoid:
    case OP_HardSigmoid:
    case OP_Clip:
        return try_formulas(ctx, n);
    case OP_Log:
        return try_softplus(ctx, n);
    case OP_Div:
    case OP_Reciprocal:
        return try_quotient(ctx, n);
    default:
        return PASS_SAME;
    }
}

pass_result pass_fuse_activation(pass_ctx *ctx, ir_graph *g) {
    if (pass_get_math(ctx->options) == PASS_MATH_STRICT) return PASS_SAME;
    return pass_each_node(ctx, g, fuse_activation_node);
}
