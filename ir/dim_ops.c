/* The operations of the dimension algebra that do not distribute: division, maximum, minimum; and the remainder.
 *
 *   (4*s + 7)/4         -> s + 1            divisible terms leave the quotient, the rest stays below the divisor
 *   (s + 3)/4           -> ceil(s/4)        one form for both spellings
 *   ((s/2) + 1)/2       -> (s + 2)/4        quotients of quotients
 *   s%4                 -> s - 4*(s/4)      no form of its own
 *   (1 - s)/4           -> -((s + 2)/4)
 *   (7*n - 1)/n         -> 6                divisors are at least 1: ceil(1/n) is 1
 *   (a*b)/(4*b)         -> a/4              common factors (divisors are not zero)
 *   max(s + 1, 1)       -> s + 1            by bounds
 *   max(max(c, a), b)   -> max(max(a, b), c)  sorted, each operand once */
#include "ir/dim_internal.h"

static int64_t gcd64(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b, b = r;
    }
    if (a == INT64_MIN) return 1; /* a divisor all the same */
    return a < 0 ? -a : a;
}

static bool is_negatable(const ir_dim *d) {
    for (uint32_t i = 0; i < d->n_terms; i++)
        if (d->terms[i].coef == INT64_MIN) return false;
    return true;
}

static const ir_dim *negate(ir_ctx *c, const ir_dim *d) {
    return ir_dim_sub(c, ir_dim_const(c, 0), d);
}

static const ir_dim *add_const(ir_ctx *c, const ir_dim *d, int64_t k) {
    return ir_dim_add(c, d, ir_dim_const(c, k));
}

/* a = k*q + r: r's coefficients are smaller than k in magnitude, its constant is in [0, k). */
static void split_const(ir_ctx *c, const ir_dim *a, int64_t k, const ir_dim **q, const ir_dim **r) {
    poly quotient, rest;
    poly_init(&quotient);
    poly_init(&rest);
    for (uint32_t i = 0; i < a->n_terms; i++) {
        const ir_dim_term *t = &a->terms[i];
        int64_t n = t->n_atoms ? t->coef / k : floor_div64(t->coef, k);
        poly_add_term(&quotient, n, t);
        poly_add_term(&rest, t->coef - n * k, t);
    }
    *q = poly_intern(c, &quotient);
    *r = poly_intern(c, &rest);
}

/* Greatest common divisor of k and of the coefficients that are not the constant's. */
static int64_t content(const ir_dim *r, int64_t k) {
    for (uint32_t i = 0; i < r->n_terms; i++)
        if (r->terms[i].n_atoms) k = gcd64(r->terms[i].coef, k);
    return k;
}

/* r with its constant rounded down to a multiple of g, divided by g. */
static const ir_dim *divide_content(ir_ctx *c, const ir_dim *r, int64_t g) {
    poly p;
    poly_init(&p);
    for (uint32_t i = 0; i < r->n_terms; i++)
        poly_add_term(&p, floor_div64(r->terms[i].coef, g), &r->terms[i]);
    return poly_intern(c, &p);
}

/* r = floor(x/j) + n or ceil(x/j) + n: floor(r/k) = floor((x + ...)/(j*k)). NULL where r is nothing like that. */
static const ir_dim *flatten_quotient(ir_ctx *c, const ir_dim *r, int64_t k) {
    int64_t n = dim_constant_term(r), j, jk, shift;
    const ir_dim_atom *a = dim_single_atom(add_const(c, r, -n));
    if (!a || (a->op != DIM_FLOORDIV && a->op != DIM_CEILDIV) || !ir_dim_is_const(a->b, &j) ||
        j < 1)
        return NULL;
    if (__builtin_mul_overflow(j, k, &jk) || __builtin_mul_overflow(j, n, &shift)) return NULL;
    if (a->op == DIM_CEILDIV && __builtin_add_overflow(shift, j - 1, &shift)) return NULL;
    return ir_dim_floordiv(c, add_const(c, a->a, shift), ir_dim_const(c, jk));
}

/* floor(-x) = -ceil(x): of the two spellings the one whose first coefficient is positive. */
static bool starts_negative(const ir_dim *r) {
    return r->n_terms && r->terms[0].coef < 0;
}

/* floor(r/k) as an atom; a constant of k-1 makes it the ceiling. */
static const ir_dim *quotient_atom(ir_ctx *c, const ir_dim *r, int64_t k) {
    const ir_dim *divisor = ir_dim_const(c, k);
    if (dim_constant_term(r) == k - 1)
        return dim_from_atom(c, DIM_CEILDIV, add_const(c, r, -(k - 1)), divisor);
    return dim_from_atom(c, DIM_FLOORDIV, r, divisor);
}

static const ir_dim *floordiv_const(ir_ctx *c, const ir_dim *a, int64_t k) {
    const ir_dim *q, *r;
    if (k == 1) return a;
    split_const(c, a, k, &q, &r);
    if (ir_dim_is_unknown(q) || ir_dim_is_unknown(r)) return ir_dim_unknown(c);
    int64_t g = content(r, k);
    if (g > 1) return ir_dim_add(c, q, floordiv_const(c, divide_content(c, r, g), k / g));
    if (dim_lower(r) >= 0 && dim_upper(r) < k) return q;
    if (starts_negative(r))
        return ir_dim_sub(c, q, floordiv_const(c, add_const(c, negate(c, r), k - 1), k));
    const ir_dim *flat = flatten_quotient(c, r, k);
    return ir_dim_add(c, q, flat ? flat : quotient_atom(c, r, k));
}

/* The atoms all terms of a and b have in common, and the common divisor of their coefficients. */
static ir_dim_term common_factor(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    ir_dim_term m = b->terms[0], rest;
    int64_t g = 0;
    const ir_dim_atom **kept = TL_NEW_ARRAY(&c->arena, const ir_dim_atom *, m.n_atoms + 1);
    const ir_dim *both[] = {a, b};
    uint32_t n = 0;
    for (uint32_t i = 0; i < m.n_atoms; i++) {
        kept[n] = m.atoms[i];
        ir_dim_term candidate = {1, n + 1, kept};
        bool divides = true;
        for (int k = 0; k < 2; k++)
            for (uint32_t j = 0; j < both[k]->n_terms && divides; j++)
                divides = monomial_divide(c, &both[k]->terms[j], &candidate, &rest);
        n += divides;
    }
    for (int k = 0; k < 2; k++)
        for (uint32_t j = 0; j < both[k]->n_terms; j++)
            g = gcd64(both[k]->terms[j].coef, g);
    return (ir_dim_term){g > 0 ? g : 1, n, kept};
}

/* Divides a and b by what all their terms share; true when that was something. */
static bool cancel(ir_ctx *c, const ir_dim **a, const ir_dim **b) {
    poly p;
    poly_init(&p);
    ir_dim_term m = common_factor(c, *a, *b);
    if (m.n_atoms == 0 && m.coef == 1) return false;
    poly_add_term(&p, m.coef, &m);
    const ir_dim *f = poly_intern(c, &p), *x = ir_dim_div_exact(c, *a, f),
                 *y = ir_dim_div_exact(c, *b, f);
    if (!x || !y) return false;
    *a = x, *b = y;
    return true;
}

/* a = b*q + r where terms of a are multiples of the one-term b; otherwise q = 0. */
static void split_symbolic(ir_ctx *c, const ir_dim *a, const ir_dim *b, const ir_dim **q,
                           const ir_dim **r) {
    *q = ir_dim_const(c, 0), *r = a;
    if (b->n_terms != 1) return;
    poly quotient;
    poly_init(&quotient);
    for (uint32_t i = 0; i < a->n_terms; i++) {
        ir_dim_term m;
        int64_t n = b->terms[0].coef == -1 ? 0 : a->terms[i].coef / b->terms[0].coef;
        if (n && monomial_divide(c, &a->terms[i], &b->terms[0], &m))
            poly_add_term(&quotient, n, &m);
    }
    *q = poly_intern(c, &quotient);
    *r = ir_dim_sub(c, a, ir_dim_mul(c, *q, b));
}

/* Division by an expression that is not constant; it is taken to be positive. */
static const ir_dim *divide_symbolic(ir_ctx *c, ir_dim_op op, const ir_dim *a, const ir_dim *b) {
    const ir_dim *q, *r, *exact = ir_dim_div_exact(c, a, b);
    if (exact) return exact;
    if (cancel(c, &a, &b))
        return op == DIM_FLOORDIV ? ir_dim_floordiv(c, a, b) : ir_dim_ceildiv(c, a, b);
    split_symbolic(c, a, b, &q, &r);
    if (ir_dim_is_unknown(q) || ir_dim_is_unknown(r)) return ir_dim_unknown(c);
    if (op == DIM_FLOORDIV && dim_lower(r) >= 0 && dim_at_least(add_const(c, b, -1), r)) return q;
    if (op == DIM_CEILDIV && dim_lower(r) >= 1 && (ir_dim_is(r, 1) || dim_at_least(b, r)))
        return add_const(c, q, 1);
    if (!starts_negative(r)) return ir_dim_add(c, q, dim_from_atom(c, op, r, b));
    r = negate(c, r);
    return ir_dim_sub(c, q,
                      op == DIM_FLOORDIV ? ir_dim_ceildiv(c, r, b) : ir_dim_floordiv(c, r, b));
}

/* What both divisions have in common: unknown and zero; divisors below zero turned around. False: *result is the answer. */
static bool prepare(ir_ctx *c, const ir_dim **a, const ir_dim **b, const ir_dim **result) {
    int64_t k;
    *result = ir_dim_unknown(c);
    if (ir_dim_is_unknown(*a) || ir_dim_is_unknown(*b) || ir_dim_is(*b, 0)) return false;
    if (!ir_dim_is_const(*b, &k) || k > 0) return true;
    if (!is_negatable(*a) || !is_negatable(*b)) return false;
    *a = negate(c, *a), *b = negate(c, *b);
    return true;
}

const ir_dim *ir_dim_floordiv(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    const ir_dim *result;
    int64_t k;
    if (!prepare(c, &a, &b, &result)) return result;
    return ir_dim_is_const(b, &k) ? floordiv_const(c, a, k)
                                  : divide_symbolic(c, DIM_FLOORDIV, a, b);
}

const ir_dim *ir_dim_ceildiv(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    const ir_dim *result;
    int64_t k;
    if (!prepare(c, &a, &b, &result)) return result;
    return ir_dim_is_const(b, &k) ? floordiv_const(c, add_const(c, a, k - 1), k)
                                  : divide_symbolic(c, DIM_CEILDIV, a, b);
}

/* Not an atom of its own: written with a quotient it cancels, so that t - t%4 is 4*(t/4). */
const ir_dim *ir_dim_mod(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    const ir_dim *q = ir_dim_floordiv(c, a, b);
    return ir_dim_is_unknown(q) ? q : ir_dim_sub(c, a, ir_dim_mul(c, b, q));
}

/* ---- maximum and minimum ---------------------------------------------------------------------------------------- */

enum { MAX_OPERANDS = 32 };

typedef struct operands {
    ir_dim_op op;
    uint32_t n;
    const ir_dim *d[MAX_OPERANDS];
} operands;

/* x makes y superfluous: max(x, y) = x. */
static bool covers(ir_dim_op op, const ir_dim *x, const ir_dim *y) {
    return op == DIM_MAX ? dim_at_least(x, y) : dim_at_least(y, x);
}

static void operands_insert(operands *o, const ir_dim *d) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < o->n; i++)
        if (covers(o->op, o->d[i], d)) return;
    for (uint32_t i = 0; i < o->n; i++)
        if (!covers(o->op, d, o->d[i])) o->d[kept++] = o->d[i];
    o->n = kept;
    while (kept > 0 && dim_compare(d, o->d[kept - 1]) < 0) {
        o->d[kept] = o->d[kept - 1];
        kept--;
    }
    o->d[kept] = d;
    o->n++;
}

/* Operands of nested max/min of the same kind; false when there are too many. */
static bool operands_collect(operands *o, const ir_dim *d) {
    for (;;) {
        const ir_dim_atom *a = dim_single_atom(d);
        if (o->n == MAX_OPERANDS) return false;
        if (!a || a->op != o->op) break;
        if (!operands_collect(o, a->b)) return false;
        d = a->a;
    }
    operands_insert(o, d);
    return true;
}

static const ir_dim *extreme(ir_ctx *c, ir_dim_op op, const ir_dim *a, const ir_dim *b) {
    operands o = {.op = op};
    if (ir_dim_is_unknown(a) || ir_dim_is_unknown(b)) return ir_dim_unknown(c);
    if (!operands_collect(&o, a) || !operands_collect(&o, b)) return ir_dim_unknown(c);
    const ir_dim *d = o.d[0];
    for (uint32_t i = 1; i < o.n && !ir_dim_is_unknown(d); i++)
        d = dim_from_atom(c, op, d, o.d[i]);
    return d;
}

const ir_dim *ir_dim_max(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    return extreme(c, DIM_MAX, a, b);
}
const ir_dim *ir_dim_min(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    return extreme(c, DIM_MIN, a, b);
}
