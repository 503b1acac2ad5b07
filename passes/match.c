/* Recognising expressions; see match.h. */
#include "passes/match.h"

#include "passes/util.h"

#include <math.h>

ir_node *match_def(const ir_value *v, op_id op) {
    return v && v->def && v->def->op == op ? v->def : NULL;
}

ir_node *match_single(const ir_value *v, op_id op) {
    ir_node *n = match_def(v, op);
    return n && ir_value_has_one_use(v) ? n : NULL;
}

ir_node *match_user(const ir_value *v) {
    ir_node *user = v->uses ? v->uses->user : NULL;
    ir_for_each_use (u, v)
        if (u->user != user) return NULL;
    return user;
}

bool match_near(double a, double b, double tolerance) {
    if (b == 0) return fabs(a) < 1e-7;
    return fabs(a - b) <= tolerance * fabs(b);
}

double match_tolerance(ir_dtype t) {
    if (t == DT_f16) return 1e-3;
    if (t == DT_bf16) return 8e-3;
    return 1e-4;
}

bool match_scaled(const ir_value *v, ir_value **x, double *k) {
    ir_node *n = v->def;
    if (!n || (n->op != OP_Mul && n->op != OP_Div)) return false;
    uint32_t at = ir_value_const_f64(ir_in(n, 1), k) ? 1 : 0;
    if (at == 0 && (n->op == OP_Div || !ir_value_const_f64(ir_in(n, 0), k))) return false;
    *x = ir_in(n, 1 - at);
    if (n->op == OP_Div) *k = 1 / *k;
    return isfinite(*k) && same_type(v, *x);
}

bool match_square(const ir_value *v, ir_value **x) {
    ir_node *n = v->def;
    double power;
    *x = n ? ir_in(n, 0) : NULL;
    if (match_def(v, OP_Mul)) return ir_in(n, 0) == ir_in(n, 1);
    return match_def(v, OP_Pow) && ir_value_const_f64(ir_in(n, 1), &power) && power == 2;
}

bool match_either(const ir_node *n, op_id op, ir_node **a, ir_value **other) {
    for (uint32_t i = 0; i < 2; i++) {
        *a = match_def(ir_in(n, i), op);
        *other = ir_in(n, 1 - i);
        if (*a) return true;
    }
    return false;
}

/* ---- polynomials --------------------------------------------------------------------------------------------- */

/* The walk: an expression that shares subterms could be exponentially large as a tree, so steps are counted. */
typedef struct poly_walk {
    const ir_value *x, *t;
    uint32_t steps;
} poly_walk;

static bool walk(poly_walk *w, const ir_value *v, match_poly *p);

static match_poly poly_const(double k) {
    return (match_poly){.c[0][0] = k};
}

static bool poly_is_const(const match_poly *p) {
    for (int i = 0; i <= MATCH_DEGREE; i++)
        for (int j = 0; j < 2; j++)
            if ((i || j) && p->c[i][j] != 0) return false;
    return true;
}

static void poly_add(match_poly *p, const match_poly *b, double factor) {
    for (int i = 0; i <= MATCH_DEGREE; i++)
        for (int j = 0; j < 2; j++)
            p->c[i][j] += factor * b->c[i][j];
}

/* p += k x^i t^j b; false where the degree grows too large. */
static bool poly_add_shifted(match_poly *p, const match_poly *b, double k, int i, int j) {
    for (int bi = 0; bi <= MATCH_DEGREE; bi++)
        for (int bj = 0; bj < 2; bj++) {
            if (b->c[bi][bj] == 0) continue;
            if (i + bi > MATCH_DEGREE || j + bj > 1) return false;
            p->c[i + bi][j + bj] += k * b->c[bi][bj];
        }
    return true;
}

static bool poly_mul(match_poly *p, const match_poly *b) {
    match_poly product = {0};
    for (int i = 0; i <= MATCH_DEGREE; i++)
        for (int j = 0; j < 2; j++)
            if (p->c[i][j] != 0 && !poly_add_shifted(&product, b, p->c[i][j], i, j)) return false;
    *p = product;
    return true;
}

static bool walk_pow(const match_poly *exponent, match_poly *p) {
    double e = exponent->c[0][0];
    if (!poly_is_const(exponent) || (e != 1 && e != 2 && e != 3)) return false;
    match_poly base = *p;
    for (int i = 1; i < (int)e; i++)
        if (!poly_mul(p, &base)) return false;
    return true;
}

static bool walk_div(const match_poly *divisor, match_poly *p) {
    if (!poly_is_const(divisor) || divisor->c[0][0] == 0) return false;
    match_poly inverse = poly_const(1 / divisor->c[0][0]);
    return poly_mul(p, &inverse);
}

static bool walk_binary(poly_walk *w, const ir_node *n, match_poly *p) {
    match_poly b;
    if (!walk(w, ir_in(n, 0), p) || !walk(w, ir_in(n, 1), &b)) return false;
    switch (n->op) {
    case OP_Add:
        return poly_add(p, &b, 1), true;
    case OP_Sub:
        return poly_add(p, &b, -1), true;
    case OP_Mul:
        return poly_mul(p, &b);
    case OP_Div:
        return walk_div(&b, p);
    default:
        return walk_pow(&b, p);
    }
}

static bool is_arithmetic(op_id op) {
    return op == OP_Add || op == OP_Sub || op == OP_Mul || op == OP_Div || op == OP_Pow;
}

static bool walk(poly_walk *w, const ir_value *v, match_poly *p) {
    double k;
    *p = (match_poly){0};
    if (w->steps == 0) return false;
    w->steps--;
    if (v == w->x) return p->c[1][0] = 1, true;
    if (v == w->t) return p->c[0][1] = 1, true;
    if (ir_value_const_f64(v, &k)) return *p = poly_const(k), isfinite(k);
    if (!v->def) return false;
    if (is_arithmetic(v->def->op)) return walk_binary(w, v->def, p);
    if (v->def->op != OP_Neg) return false;
    match_poly minus = poly_const(-1);
    return walk(w, ir_in(v->def, 0), p) && poly_mul(p, &minus);
}

bool match_poly_of(const ir_value *v, const ir_value *x, const ir_value *t, match_poly *p) {
    poly_walk w = {x, t, 64};
    return walk(&w, v, p);
}

bool match_poly_near(const match_poly *a, const match_poly *b, double tolerance) {
    for (int i = 0; i <= MATCH_DEGREE; i++)
        for (int j = 0; j < 2; j++)
            if (!match_near(a->c[i][j], b->c[i][j], tolerance)) return false;
    return true;
}

static bool is_listed(ir_value *const *list, uint32_t n, const ir_value *v) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == v) return true;
    return false;
}

uint32_t match_leaves(ir_value *v, ir_value **out, uint32_t max) {
    uint32_t n = 0;
    out[n++] = v;
    for (uint32_t i = 0; i < n; i++) {
        ir_node *def = out[i]->def;
        if (!def || (!is_arithmetic(def->op) && def->op != OP_Neg)) continue;
        for (uint32_t j = 0; j < def->n_in && n < max; j++) {
            ir_value *in = ir_in(def, j);
            if (in && !in->tensor && !is_listed(out, n, in)) out[n++] = in;
        }
    }
    return n;
}
