/* Interned dimensions: canonical polynomials, their sum and product, and walking them. Division, remainder, maximum and
 * minimum are in dim_ops.c, bounds in dim_bounds.c, text in dim_print.c and dim_parse.c.
 *
 * A dimension is a sorted list of terms; a term a coefficient and a sorted list of atoms. Terms are ordered by degree, then
 * by their atoms; that order is compatible with multiplication, which is what exact division needs. Equal polynomials have
 * one copy in the context, found by a hash of their terms, so equality is pointer equality. */
#include "ir/dim.h"

#include "ir/base/assert.h"
#include "ir/base/hash.h"
#include "ir/dim_internal.h"

/* ---- order ------------------------------------------------------------------------------------------------- */

int atom_compare(const ir_dim_atom *a, const ir_dim_atom *b) {
    if (a == b) return 0;
    if (a->op != b->op) return a->op < b->op ? -1 : 1;
    if (a->op == DIM_SYMBOL) return strcmp(a->symbol, b->symbol);
    int first = dim_compare(a->a, b->a);
    return first ? first : dim_compare(a->b, b->b);
}

int monomial_compare(const ir_dim_term *a, const ir_dim_term *b) {
    if (a->n_atoms != b->n_atoms) return a->n_atoms > b->n_atoms ? -1 : 1;
    for (uint32_t i = 0; i < a->n_atoms; i++) {
        int r = atom_compare(a->atoms[i], b->atoms[i]);
        if (r) return r;
    }
    return 0;
}

/* Constants come after everything else, as in "max(n, 1)". */
int dim_compare(const ir_dim *a, const ir_dim *b) {
    if (a == b) return 0;
    if (a->unknown != b->unknown) return a->unknown ? 1 : -1;
    for (uint32_t i = 0; i < a->n_terms && i < b->n_terms; i++) {
        int r = monomial_compare(&a->terms[i], &b->terms[i]);
        if (r) return r;
        if (a->terms[i].coef != b->terms[i].coef)
            return a->terms[i].coef < b->terms[i].coef ? -1 : 1;
    }
    if (a->n_terms == b->n_terms) return 0;
    return a->n_terms > b->n_terms ? -1 : 1;
}

/* ---- polynomials under construction --------------------------------------------------------------------------- */

static void poly_remove(poly *p, uint32_t i) {
    p->n--;
    memmove(&p->terms[i], &p->terms[i + 1], (p->n - i) * sizeof *p->terms);
}

static void poly_insert(poly *p, uint32_t i, const ir_dim_term *t) {
    if (p->n == IR_MAX_DIM_TERMS) {
        p->failed = true;
        return;
    }
    memmove(&p->terms[i + 1], &p->terms[i], (p->n - i) * sizeof *p->terms);
    p->terms[i] = *t;
    p->n++;
}

void poly_add_term(poly *p, int64_t coef, const ir_dim_term *monomial) {
    if (coef == 0) return;
    uint32_t i = 0;
    int order = -1;
    while (i < p->n && (order = monomial_compare(&p->terms[i], monomial)) < 0)
        i++;
    if (i == p->n || order != 0) {
        ir_dim_term t = *monomial;
        t.coef = coef;
        poly_insert(p, i, &t);
        return;
    }
    if (__builtin_add_overflow(p->terms[i].coef, coef, &p->terms[i].coef))
        p->failed = true;
    else if (p->terms[i].coef == 0)
        poly_remove(p, i);
}

void poly_add_const(poly *p, int64_t value) {
    poly_add_term(p, value, &(ir_dim_term){0});
}

void poly_add_dim(poly *p, const ir_dim *d, int64_t scale) {
    if (d->unknown) p->failed = true;
    for (uint32_t i = 0; i < d->n_terms && !p->failed; i++) {
        int64_t coef;
        if (__builtin_mul_overflow(d->terms[i].coef, scale, &coef))
            p->failed = true;
        else
            poly_add_term(p, coef, &d->terms[i]);
    }
}

void poly_scale(poly *p, int64_t scale) {
    if (scale == 0) p->n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        if (__builtin_mul_overflow(p->terms[i].coef, scale, &p->terms[i].coef)) p->failed = true;
}

/* ---- interning ------------------------------------------------------------------------------------------------ */

static uint64_t dim_hash(bool unknown, const ir_dim_term *terms, uint32_t n) {
    uint64_t h = tl_hash_mix(unknown, n);
    for (uint32_t i = 0; i < n; i++) {
        h = tl_hash_mix(h, (uint64_t)terms[i].coef);
        for (uint32_t j = 0; j < terms[i].n_atoms; j++)
            h = tl_hash_mix(h, terms[i].atoms[j]->id + 1);
    }
    return h;
}

static bool dim_same(const ir_dim *d, bool unknown, const ir_dim_term *terms, uint32_t n) {
    if (d->unknown != unknown || d->n_terms != n) return false;
    for (uint32_t i = 0; i < n; i++) {
        const ir_dim_term *a = &d->terms[i], *b = &terms[i];
        if (a->coef != b->coef || a->n_atoms != b->n_atoms) return false;
        /* Atoms are interned: their pointers tell. */
        if (a->n_atoms && memcmp(a->atoms, b->atoms, a->n_atoms * sizeof *a->atoms) != 0)
            return false;
    }
    return true;
}

static uint32_t atom_size(const ir_dim_atom *a) {
    return a->op == DIM_SYMBOL ? 1 : 1 + a->a->size + a->b->size;
}

static uint32_t terms_size(const ir_dim_term *terms, uint32_t n) {
    uint32_t size = 1;
    for (uint32_t i = 0; i < n; i++) {
        size++;
        for (uint32_t j = 0; j < terms[i].n_atoms && size <= IR_MAX_DIM_SIZE; j++)
            size += atom_size(terms[i].atoms[j]);
    }
    return size;
}

/* The stored twin of these terms. Colliding hashes probe successive keys. */
static const ir_dim *dim_intern(ir_ctx *c, bool unknown, const ir_dim_term *terms, uint32_t n) {
    for (uint64_t key = dim_hash(unknown, terms, n);; key++) {
        bool added;
        uint64_t *slot = tl_map_insert(&c->dims, key, &added);
        if (!added) {
            const ir_dim *old = (const ir_dim *)(uintptr_t)*slot;
            if (dim_same(old, unknown, terms, n)) return old;
            continue;
        }
        ir_dim *d = TL_NEW(&c->arena, ir_dim);
        ir_dim_term *copy = n ? TL_NEW_ARRAY(&c->arena, ir_dim_term, n) : NULL;
        if (n) memcpy(copy, terms, n * sizeof *copy);
        *d = (ir_dim){unknown, n, copy, terms_size(terms, n), c->n_dims++};
        *slot = (uint64_t)(uintptr_t)d;
        return d;
    }
}

/* The lowest integer has no positive twin: except as a constant it counts as overflow, so that all else can be negated. */
static bool has_lowest(const poly *p) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->terms[i].coef == INT64_MIN && (p->n > 1 || p->terms[i].n_atoms)) return true;
    return false;
}

const ir_dim *poly_intern(ir_ctx *c, const poly *p) {
    if (p->failed || has_lowest(p) || terms_size(p->terms, p->n) > IR_MAX_DIM_SIZE)
        return ir_dim_unknown(c);
    return dim_intern(c, false, p->terms, p->n);
}

static const ir_dim_atom *atom_intern(ir_ctx *c, const ir_dim_atom *a) {
    uint64_t h = tl_hash_mix(a->op, (uint64_t)(uintptr_t)a->symbol);
    h = tl_hash_mix(tl_hash_mix(h, (uint64_t)(uintptr_t)a->a), (uint64_t)(uintptr_t)a->b);
    for (;; h++) {
        bool added;
        uint64_t *slot = tl_map_insert(&c->dim_atoms, h, &added);
        if (!added) {
            const ir_dim_atom *old = (const ir_dim_atom *)(uintptr_t)*slot;
            bool symbol = a->op ==
                          DIM_SYMBOL; /* what a counter's a and b say is no part of its identity */
            if (old->op == a->op && old->symbol == a->symbol &&
                (symbol || (old->a == a->a && old->b == a->b)))
                return old;
            continue;
        }
        ir_dim_atom *copy = TL_NEW(&c->arena, ir_dim_atom);
        *copy = *a;
        copy->id = c->n_dim_atoms++;
        *slot = (uint64_t)(uintptr_t)copy;
        return copy;
    }
}

static const ir_dim *dim_of_atom(ir_ctx *c, const ir_dim_atom *atom) {
    if (atom_size(atom) > IR_MAX_DIM_SIZE) return ir_dim_unknown(c);
    const ir_dim_atom **atoms = TL_NEW_ARRAY(&c->arena, const ir_dim_atom *, 1);
    atoms[0] = atom;
    return dim_intern(c, false, &(ir_dim_term){1, 1, atoms}, 1);
}

const ir_dim *dim_from_atom(ir_ctx *c, ir_dim_op op, const ir_dim *a, const ir_dim *b) {
    return dim_of_atom(c, atom_intern(c, &(ir_dim_atom){.op = op, .a = a, .b = b}));
}

const ir_dim *ir_dim_const(ir_ctx *c, int64_t value) {
    return dim_intern(c, false, &(ir_dim_term){.coef = value}, value != 0);
}

const ir_dim *ir_dim_symbol(ir_ctx *c, const char *name) {
    return dim_of_atom(
        c, atom_intern(c, &(ir_dim_atom){.op = DIM_SYMBOL, .symbol = ir_name(c, name)}));
}

/* What is known of a counter hangs on the one atom of its name: set once, never changed. */
const ir_dim *ir_dim_counter(ir_ctx *c, const char *name, const ir_dim *last) {
    for (;; name = tl_arena_printf(&c->arena, "%s'", name)) {
        const ir_dim *d = ir_dim_symbol(c, name);
        ir_dim_atom *atom = (ir_dim_atom *)(uintptr_t)d->terms[0].atoms[0];
        if (last && last->unknown) last = NULL;
        if (atom->a && atom->b == last) return d;
        if (atom->a) continue;
        atom->a = ir_dim_const(c, 0);
        atom->b = last;
        return d;
    }
}

const ir_dim *ir_dim_bounded(ir_ctx *c, const char *name, int64_t max) {
    const ir_dim *d = ir_dim_symbol(c, name);
    ir_dim_atom *atom = (ir_dim_atom *)(uintptr_t)d->terms[0].atoms[0];
    atom->b = ir_dim_const(c, max);
    return d;
}

void ir_dim_stands_for(const ir_dim *symbol, const ir_dim *expression) {
    TL_ASSERT(ir_dim_is_symbol(symbol) && !expression->unknown);
    ((ir_dim_atom *)(uintptr_t)symbol->terms[0].atoms[0])->is = expression;
}

const ir_dim *ir_dim_meaning(const ir_dim *symbol) {
    return symbol->terms[0].atoms[0]->is;
}

bool ir_dim_has_counter(const ir_dim *d) {
    for (uint32_t i = 0; i < d->n_terms; i++)
        for (uint32_t j = 0; j < d->terms[i].n_atoms; j++) {
            const ir_dim_atom *a = d->terms[i].atoms[j];
            bool symbol = a->op == DIM_SYMBOL;
            if (symbol ? a->a != NULL : ir_dim_has_counter(a->a) || ir_dim_has_counter(a->b))
                return true;
        }
    return false;
}

const ir_dim *ir_dim_unknown(ir_ctx *c) {
    return dim_intern(c, true, NULL, 0);
}

/* ---- sum, product, exact quotient -------------------------------------------------------------------------- */

static const ir_dim *add_scaled(ir_ctx *c, const ir_dim *a, const ir_dim *b, int64_t scale) {
    poly p;
    poly_init(&p);
    poly_add_dim(&p, a, 1);
    poly_add_dim(&p, b, scale);
    return poly_intern(c, &p);
}

const ir_dim *ir_dim_add(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    return add_scaled(c, a, b, 1);
}
const ir_dim *ir_dim_sub(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    return add_scaled(c, a, b, -1);
}

/* Both lists of atoms merged; shares the other list where one is empty. */
static ir_dim_term monomial_multiply(ir_ctx *c, const ir_dim_term *a, const ir_dim_term *b) {
    if (a->n_atoms == 0) return *b;
    if (b->n_atoms == 0) return *a;
    uint32_t n = a->n_atoms + b->n_atoms, i = 0, j = 0;
    const ir_dim_atom **atoms = TL_NEW_ARRAY(&c->arena, const ir_dim_atom *, n);
    for (uint32_t k = 0; k < n; k++) {
        bool first = j == b->n_atoms ||
                     (i < a->n_atoms && atom_compare(a->atoms[i], b->atoms[j]) <= 0);
        atoms[k] = first ? a->atoms[i++] : b->atoms[j++];
    }
    return (ir_dim_term){1, n, atoms};
}

const ir_dim *ir_dim_mul(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    if (ir_dim_is(a, 0) || ir_dim_is(b, 1)) return a;
    if (ir_dim_is(b, 0) || ir_dim_is(a, 1)) return b;
    if (a->size + b->size > IR_MAX_DIM_SIZE) return ir_dim_unknown(c);
    poly p;
    poly_init(&p);
    p.failed = a->unknown || b->unknown;
    for (uint32_t i = 0; i < a->n_terms; i++)
        for (uint32_t j = 0; j < b->n_terms && !p.failed; j++) {
            int64_t coef;
            ir_dim_term m = monomial_multiply(c, &a->terms[i], &b->terms[j]);
            if (__builtin_mul_overflow(a->terms[i].coef, b->terms[j].coef, &coef))
                p.failed = true;
            else
                poly_add_term(&p, coef, &m);
        }
    return poly_intern(c, &p);
}

bool monomial_divide(ir_ctx *c, const ir_dim_term *a, const ir_dim_term *b, ir_dim_term *out) {
    if (b->n_atoms > a->n_atoms) return false;
    uint32_t n = a->n_atoms - b->n_atoms, k = 0, j = 0;
    const ir_dim_atom **atoms = n ? TL_NEW_ARRAY(&c->arena, const ir_dim_atom *, n) : NULL;
    for (uint32_t i = 0; i < a->n_atoms; i++) {
        if (j < b->n_atoms && a->atoms[i] == b->atoms[j])
            j++;
        else if (k == n)
            return false;
        else
            atoms[k++] = a->atoms[i];
    }
    *out = (ir_dim_term){1, n, atoms};
    return j == b->n_atoms;
}

/* p -= coef * m * b */
static void poly_subtract_multiple(ir_ctx *c, poly *p, int64_t coef, const ir_dim_term *m,
                                   const ir_dim *b) {
    for (uint32_t i = 0; i < b->n_terms; i++) {
        int64_t k;
        ir_dim_term t = monomial_multiply(c, m, &b->terms[i]);
        if (__builtin_mul_overflow(coef, b->terms[i].coef, &k) || k == INT64_MIN)
            p->failed = true;
        else
            poly_add_term(p, -k, &t);
    }
}

/* Long division by the leading term; any remainder means "not exact". */
const ir_dim *ir_dim_div_exact(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    if (a->unknown || b->unknown || b->n_terms == 0) return NULL;
    poly rest, quotient;
    poly_init(&quotient);
    poly_init(&rest);
    poly_add_dim(&rest, a, 1);
    while (rest.n && !rest.failed && !quotient.failed) {
        ir_dim_term m;
        int64_t ca = rest.terms[0].coef, cb = b->terms[0].coef;
        if ((cb == -1 && ca == INT64_MIN) || ca % cb != 0) return NULL;
        if (!monomial_divide(c, &rest.terms[0], &b->terms[0], &m)) return NULL;
        poly_add_term(&quotient, ca / cb, &m);
        poly_subtract_multiple(c, &rest, ca / cb, &m, b);
    }
    return rest.failed || quotient.failed ? NULL : poly_intern(c, &quotient);
}

/* ---- questions ------------------------------------------------------------------------------------------------ */

bool ir_dim_is_const(const ir_dim *d, int64_t *value) {
    if (d->unknown || d->n_terms > 1 || (d->n_terms == 1 && d->terms[0].n_atoms != 0)) return false;
    if (value) *value = d->n_terms ? d->terms[0].coef : 0;
    return true;
}

bool ir_dim_is(const ir_dim *d, int64_t value) {
    int64_t v;
    return ir_dim_is_const(d, &v) && v == value;
}

int64_t dim_constant_term(const ir_dim *d) {
    const ir_dim_term *last = d->n_terms ? &d->terms[d->n_terms - 1] : NULL;
    return last && last->n_atoms == 0 ? last->coef : 0;
}

const ir_dim_atom *dim_single_atom(const ir_dim *d) {
    bool single = !d->unknown && d->n_terms == 1 && d->terms[0].n_atoms == 1 &&
                  d->terms[0].coef == 1;
    return single ? d->terms[0].atoms[0] : NULL;
}

bool ir_dim_is_symbol(const ir_dim *d) {
    return ir_dim_symbol_name(d) != NULL;
}

const char *ir_dim_symbol_name(const ir_dim *d) {
    const ir_dim_atom *a = dim_single_atom(d);
    return a && a->op == DIM_SYMBOL ? a->symbol : NULL;
}

bool ir_dim_is_unknown(const ir_dim *d) {
    return d->unknown;
}
bool ir_dim_equal(const ir_dim *a, const ir_dim *b) {
    return a == b && !a->unknown;
}

/* ---- walking -------------------------------------------------------------------------------------------------- */

void ir_dim_each_symbol(const ir_dim *d, void (*fn)(void *data, const char *symbol), void *data) {
    for (uint32_t i = 0; i < d->n_terms; i++)
        for (uint32_t j = 0; j < d->terms[i].n_atoms; j++) {
            const ir_dim_atom *a = d->terms[i].atoms[j];
            if (a->op == DIM_SYMBOL) {
                fn(data, a->symbol);
                continue;
            }
            ir_dim_each_symbol(a->a, fn, data);
            ir_dim_each_symbol(a->b, fn, data);
        }
}

static const ir_dim *apply(ir_ctx *c, ir_dim_op op, const ir_dim *a, const ir_dim *b) {
    switch (op) {
    case DIM_FLOORDIV:
        return ir_dim_floordiv(c, a, b);
    case DIM_CEILDIV:
        return ir_dim_ceildiv(c, a, b);
    case DIM_MAX:
        return ir_dim_max(c, a, b);
    case DIM_MIN:
        return ir_dim_min(c, a, b);
    default:
        TL_UNREACHABLE();
    }
}

static const ir_dim *substitute_atom(ir_ctx *c, const ir_dim_atom *a, ir_dim_subst_fn *fn,
                                     void *data) {
    if (a->op != DIM_SYMBOL)
        return apply(c, a->op, ir_dim_substitute(c, a->a, fn, data),
                     ir_dim_substitute(c, a->b, fn, data));
    const ir_dim *with = fn(data, a->symbol);
    return with ? with : ir_dim_symbol(c, a->symbol);
}

const ir_dim *ir_dim_substitute(ir_ctx *c, const ir_dim *d, ir_dim_subst_fn *fn, void *data) {
    if (d->unknown || ir_dim_is_const(d, NULL)) return d;
    const ir_dim *sum = ir_dim_const(c, 0);
    for (uint32_t i = 0; i < d->n_terms; i++) {
        const ir_dim *product = ir_dim_const(c, d->terms[i].coef);
        for (uint32_t j = 0; j < d->terms[i].n_atoms; j++)
            product = ir_dim_mul(c, product, substitute_atom(c, d->terms[i].atoms[j], fn, data));
        sum = ir_dim_add(c, sum, product);
    }
    return sum;
}

int64_t floor_div64(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static bool eval_op(ir_dim_op op, int64_t x, int64_t y, int64_t *value) {
    if (op == DIM_MAX || op == DIM_MIN) {
        *value = (op == DIM_MAX) == (x > y) ? x : y;
        return true;
    }
    if (y == 0 || (x == INT64_MIN && y == -1)) return false;
    int64_t q = x / y, r = x % y;
    bool same_sign = (r < 0) == (y < 0);
    *value = op == DIM_CEILDIV ? q + (r != 0 && same_sign) : q - (r != 0 && !same_sign);
    return true;
}

static bool eval_atom(const ir_dim_atom *a, ir_dim_lookup_fn *fn, void *data, int64_t *value) {
    if (a->op == DIM_SYMBOL) return fn(data, a->symbol, value);
    int64_t x, y;
    return ir_dim_eval(a->a, fn, data, &x) && ir_dim_eval(a->b, fn, data, &y) &&
           eval_op(a->op, x, y, value);
}

bool ir_dim_eval(const ir_dim *d, ir_dim_lookup_fn *fn, void *data, int64_t *value) {
    int64_t sum = 0;
    if (d->unknown) return false;
    for (uint32_t i = 0; i < d->n_terms; i++) {
        int64_t product = d->terms[i].coef;
        for (uint32_t j = 0; j < d->terms[i].n_atoms; j++) {
            int64_t x;
            if (!eval_atom(d->terms[i].atoms[j], fn, data, &x)) return false;
            if (__builtin_mul_overflow(product, x, &product)) return false;
        }
        if (__builtin_add_overflow(sum, product, &sum)) return false;
    }
    *value = sum;
    return true;
}
