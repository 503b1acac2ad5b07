/* Bounds of dimension expressions over all symbols >= 0.
 *
 * Interval arithmetic over the terms, and, because that forgets that two terms speak of the same symbol, a case split on
 * atoms that stand alone in a term: with m = max(a, b), E(m) is at least the smaller of E(a) and E(b), and the larger where m
 * is added; k*floor(a/k) lies between a-k+1 and a. So max(s, 4) - s >= 0 and s - 4*(s/4) >= 0 are found,
 * and s - n*(s/n) for a symbol n. Divisors are 1 or more: (7*n - 1)/n >= 0. */
#include "ir/dim_internal.h"

enum { MAX_SPLITS = 3, MAX_CANDIDATES = 6 };

typedef struct range {
    int64_t lo, hi; /* INT64_MIN, INT64_MAX = unbounded */
} range;

static range dim_range(const ir_dim *d);

static int64_t saturate(__int128 x) {
    if (x <= INT64_MIN) return INT64_MIN;
    return x >= INT64_MAX ? INT64_MAX : (int64_t)x;
}

static bool is_infinite(int64_t x) {
    return x == INT64_MIN || x == INT64_MAX;
}

static int64_t mul_saturating(int64_t a, int64_t b) {
    if (a == 0 || b == 0) return 0;
    if (is_infinite(a) || is_infinite(b)) return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return saturate((__int128)a * b);
}

/* Lower bounds: minus infinity wins; upper bounds: plus infinity wins. */
static int64_t add_saturating(int64_t a, int64_t b, int64_t wins) {
    if (a == wins || b == wins) return wins;
    if (is_infinite(a)) return a;
    return is_infinite(b) ? b : saturate((__int128)a + b);
}

static int64_t min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t max64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static range range_mul(range a, range b) {
    int64_t p = mul_saturating(a.lo, b.lo), q = mul_saturating(a.lo, b.hi);
    int64_t r = mul_saturating(a.hi, b.lo), s = mul_saturating(a.hi, b.hi);
    return (range){min64(min64(p, q), min64(r, s)), max64(max64(p, q), max64(r, s))};
}

static range divide_range(range a, range b, bool ceil) {
    if (b.lo != b.hi || b.lo < 1) /* divisors are 1 or more: no further from 0 than a is */
        return (range){min64(a.lo, 0), max64(a.hi, 0)};
    int64_t k = b.lo, up = ceil ? k - 1 : 0;
    return (range){is_infinite(a.lo) ? a.lo : floor_div64(add_saturating(a.lo, up, INT64_MIN), k),
                   is_infinite(a.hi) ? a.hi : floor_div64(add_saturating(a.hi, up, INT64_MAX), k)};
}

static range atom_range(const ir_dim_atom *a) {
    if (a->op == DIM_SYMBOL) return (range){0, a->b ? dim_range(a->b).hi : INT64_MAX};
    range x = dim_range(a->a), y = dim_range(a->b);
    bool division = a->op == DIM_FLOORDIV || a->op == DIM_CEILDIV;
    if (division && x.lo < 0 && y.lo != y.hi && ir_dim_quotient_positive(a->a, a->b)) x.lo = 0;
    switch (a->op) {
    case DIM_MAX:
        return (range){max64(x.lo, y.lo), max64(x.hi, y.hi)};
    case DIM_MIN:
        return (range){min64(x.lo, y.lo), min64(x.hi, y.hi)};
    default:
        return divide_range(x, y, a->op == DIM_CEILDIV);
    }
}

static range terms_range(const ir_dim_term *terms, uint32_t n) {
    range sum = {0, 0};
    for (uint32_t i = 0; i < n; i++) {
        range product = {terms[i].coef, terms[i].coef};
        for (uint32_t j = 0; j < terms[i].n_atoms; j++)
            product = range_mul(product, atom_range(terms[i].atoms[j]));
        sum.lo = add_saturating(sum.lo, product.lo, INT64_MIN);
        sum.hi = add_saturating(sum.hi, product.hi, INT64_MAX);
    }
    return sum;
}

static range dim_range(const ir_dim *d) {
    return d->unknown ? (range){INT64_MIN, INT64_MAX} : terms_range(d->terms, d->n_terms);
}

static int64_t poly_lower(const poly *p, uint32_t splits);

/* Lower bound of scale*rest + coef*d + extra, divided by scale (rounded up). */
static int64_t lower_with(const poly *rest, int64_t scale, int64_t coef, const ir_dim *d,
                          int64_t extra, uint32_t splits) {
    poly p = *rest;
    poly_scale(&p, scale);
    poly_add_dim(&p, d, coef);
    poly_add_const(&p, extra);
    int64_t lower = poly_lower(&p, splits);
    return lower == INT64_MIN ? lower : -floor_div64(-lower, scale);
}

static int64_t lower_by_division(const poly *rest, int64_t coef, const ir_dim_atom *a,
                                 uint32_t splits) {
    int64_t k, extra;
    if (!ir_dim_is_const(a->b, &k) || k < 1) return INT64_MIN;
    bool slack = (a->op == DIM_FLOORDIV) == (coef > 0); /* the bound that is k-1 away from a */
    if (__builtin_mul_overflow(coef < 0 ? coef : -coef, k - 1, &extra)) return INT64_MIN;
    return lower_with(rest, k, coef, a->a, slack ? extra : 0, splits);
}

/* Lower bound found by replacing the term coef * atom of the sum, the rest of which is given. */
static int64_t lower_by_split(const poly *rest, int64_t coef, const ir_dim_atom *a,
                              uint32_t splits) {
    if (a->op == DIM_MAX || a->op == DIM_MIN) {
        int64_t x = lower_with(rest, 1, coef, a->a, 0, splits),
                y = lower_with(rest, 1, coef, a->b, 0, splits);
        return (a->op == DIM_MAX) == (coef > 0) ? max64(x, y) : min64(x, y);
    }
    if (a->op == DIM_SYMBOL) return lower_with(rest, 1, coef, a->b, 0, splits);
    return lower_by_division(rest, coef, a, splits);
}

/* coef * b * floor(a/b), which is coef * a but for at most b - 1; or the same with the ceiling. The rest is given. */
static int64_t lower_by_multiple(const poly *rest, const ir_dim_term *t, uint32_t splits) {
    for (uint32_t i = 0; i < 2; i++) {
        const ir_dim_atom *q = t->atoms[i], *b = t->atoms[1 - i];
        bool division = q->op == DIM_FLOORDIV || q->op == DIM_CEILDIV;
        if (!division || dim_single_atom(q->b) != b) continue;
        poly p = *rest;
        bool slack = (q->op == DIM_FLOORDIV) == (t->coef > 0);
        int64_t away = t->coef < 0 ? t->coef : -t->coef; /* times b - 1 */
        if (slack) poly_add_dim(&p, q->b, away);
        if (slack) poly_add_const(&p, -away);
        return lower_with(&p, 1, t->coef, q->a, 0, splits);
    }
    return INT64_MIN;
}

/* What can be split off: an atom that is no symbol, alone or times its own divisor; a symbol
 * with an upper bound that is subtracted. */
static bool is_candidate(const ir_dim_term *t) {
    if (t->coef == INT64_MIN) return false;
    if (t->n_atoms != 1 || t->atoms[0]->op != DIM_SYMBOL) return t->n_atoms == 1 || t->n_atoms == 2;
    return t->atoms[0]->b && t->coef < 0; /* a symbol with an upper bound */
}

static int64_t poly_lower(const poly *p, uint32_t splits) {
    if (p->failed) return INT64_MIN;
    int64_t best = terms_range(p->terms, p->n).lo;
    uint32_t candidates = 0;
    for (uint32_t i = 0; splits && i < p->n && candidates < MAX_CANDIDATES; i++) {
        const ir_dim_term *t = &p->terms[i];
        if (!is_candidate(t)) continue;
        candidates++;
        poly rest = *p;
        poly_add_term(&rest, -t->coef, t);
        int64_t lower = t->n_atoms == 1 ? lower_by_split(&rest, t->coef, t->atoms[0], splits - 1)
                                        : lower_by_multiple(&rest, t, splits - 1);
        best = max64(best, lower);
    }
    return best;
}

static int64_t lower_of_difference(const ir_dim *a, const ir_dim *b) {
    poly p;
    poly_init(&p);
    if (a) poly_add_dim(&p, a, 1);
    if (b) poly_add_dim(&p, b, -1);
    return poly_lower(&p, MAX_SPLITS);
}

int64_t dim_lower(const ir_dim *d) {
    return lower_of_difference(d, NULL);
}

int64_t dim_upper(const ir_dim *d) {
    int64_t lower = lower_of_difference(NULL, d);
    return lower == INT64_MIN ? INT64_MAX : -lower;
}

bool dim_at_least(const ir_dim *a, const ir_dim *b) {
    return lower_of_difference(a, b) >= 0;
}

int64_t ir_dim_lower_bound(const ir_dim *d) {
    return dim_lower(d);
}

int64_t ir_dim_upper_bound(const ir_dim *d) {
    return dim_upper(d);
}

/* With -k the lower bound of a: a - k*(b - 1) is not below 0, so a is not where b > 0. */
bool ir_dim_quotient_positive(const ir_dim *a, const ir_dim *b) {
    int64_t lower = terms_range(a->terms, a->n_terms).lo;
    poly p;
    if (a->unknown || b->unknown || lower >= 0) return !a->unknown && !b->unknown;
    if (lower == INT64_MIN) return false;
    poly_init(&p);
    poly_add_dim(&p, a, 1);
    poly_add_dim(&p, b, lower);
    poly_add_const(&p, -lower);
    return poly_lower(&p, MAX_SPLITS) >= 0;
}
