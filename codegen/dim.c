/* Dimension expressions as code, and the scopes in which their values are known; see lower.h.
 *
 *   batch*time + 1   ->   %t = mul i64 %batch, %time    %n = add i64 %t, 1
 *
 * A value is computed once per scope (a loop's or branch's block); inner scopes see the outer ones'. */
#include "codegen/lower.h"

#include "ir/base/assert.h"

typedef lp_value *symbol_fn(void *data, const char *name);

/* Division rounding toward minus infinity; a divisor that may be 0 is taken as 1 (a shape with it is empty anyway). */
static lp_value *emit_floordiv(lp_builder *b, lp_value *x, lp_value *y, bool may_be_zero) {
    if (may_be_zero) y = lp_bin(b, LP_max, y, lp_index(b, 1));
    lp_value *q = lp_bin(b, LP_div, x, y), *r = lp_bin(b, LP_rem, x, y);
    lp_value *down = lp_bin(b, LP_lt, r, lp_index(b, 0));
    return lp_select(b, down, lp_bin(b, LP_sub, q, lp_index(b, 1)), q);
}

static lp_value *emit_atom(lp_builder *b, const ir_dim_atom *a, symbol_fn *symbol, void *data) {
    if (a->op == DIM_SYMBOL) return symbol(data, a->symbol);
    lp_value *x = cg_dim_emit(b, a->a, symbol, data), *y = cg_dim_emit(b, a->b, symbol, data);
    bool may_be_zero = ir_dim_lower_bound(a->b) <= 0;
    switch (a->op) {
    case DIM_FLOORDIV:
        return emit_floordiv(b, x, y, may_be_zero);
    case DIM_CEILDIV:
        return lp_un(b, LP_neg, emit_floordiv(b, lp_un(b, LP_neg, x), y, may_be_zero));
    case DIM_MAX:
        return lp_bin(b, LP_max, x, y);
    case DIM_MIN:
        return lp_bin(b, LP_min, x, y);
    case DIM_SYMBOL:
        break;
    }
    TL_UNREACHABLE();
}

lp_value *cg_dim_emit(lp_builder *b, const ir_dim *d, symbol_fn *symbol, void *data) {
    TL_ASSERT(!d->unknown);
    lp_value *sum = lp_index(b, 0);
    for (uint32_t i = 0; i < d->n_terms; i++) {
        const ir_dim_term *t = &d->terms[i];
        lp_value *product = lp_index(b, t->coef);
        for (uint32_t j = 0; j < t->n_atoms; j++)
            product = lp_bin(b, LP_mul, emit_atom(b, t->atoms[j], symbol, data), product);
        sum = lp_bin(b, LP_add, product, sum);
    }
    return sum;
}

/* ---- sizes in bytes -------------------------------------------------------------------------------------------------- */

static lp_value *about(lp_builder *b, const ir_dim *d, symbol_fn *symbol, void *data);

static lp_value *about_atom(lp_builder *b, const ir_dim_atom *a, symbol_fn *symbol, void *data) {
    if (a->op == DIM_SYMBOL) return lp_cast(b, symbol(data, a->symbol), DT_f64);
    lp_value *x = about(b, a->a, symbol, data), *y = about(b, a->b, symbol, data);
    if (a->op == DIM_MAX) return lp_bin(b, LP_max, x, y);
    if (a->op == DIM_MIN) return lp_bin(b, LP_min, x, y);
    lp_value *one = lp_const_f(b, lp_scalar(DT_f64), 1);
    return lp_bin(b, LP_div, x, lp_bin(b, LP_max, y, one));
}

/* The value as a double, which does not wrap. */
static lp_value *about(lp_builder *b, const ir_dim *d, symbol_fn *symbol, void *data) {
    lp_value *sum = lp_const_f(b, lp_scalar(DT_f64), 0);
    for (uint32_t i = 0; i < d->n_terms; i++) {
        const ir_dim_term *t = &d->terms[i];
        lp_value *product = lp_const_f(b, lp_scalar(DT_f64), (double)t->coef);
        for (uint32_t j = 0; j < t->n_atoms; j++)
            product = lp_bin(b, LP_mul, about_atom(b, t->atoms[j], symbol, data), product);
        sum = lp_bin(b, LP_add, product, sum);
    }
    return sum;
}

lp_value *cg_dim_emit_bytes(lp_builder *b, const ir_dim *d, symbol_fn *symbol, void *data) {
    int64_t value;
    lp_value *bytes = cg_dim_emit(b, d, symbol, data);
    if (ir_dim_is_const(d, &value)) return bytes;
    lp_value *limit = lp_const_f(b, lp_scalar(DT_f64), CG_MAX_BYTES);
    lp_value *large = lp_bin(b, LP_gt, about(b, d, symbol, data), limit);
    return lp_select(b, large, lp_index(b, -1), bytes);
}

/* ---- scopes ------------------------------------------------------------------------------------------------------------ */

void cg_scope_begin(cg *g) {
    cg_scope *s = TL_NEW(g->arena, cg_scope);
    s->outer = g->scope;
    tl_map_init(&s->symbols, g->arena);
    tl_map_init(&s->dims, g->arena);
    tl_map_init(&s->splits, g->arena);
    g->scope = s;
}

void cg_scope_end(cg *g) {
    g->scope = g->scope->outer;
}

void cg_symbol_set(cg *g, const char *name, lp_value *v) {
    tl_map_set_ptr(&g->scope->symbols, ir_name(g->c, name), v);
}

static lp_value *lookup_symbol(const cg *g, const char *name) {
    for (cg_scope *s = g->scope; s; s = s->outer) {
        lp_value *v = tl_map_get_ptr(&s->symbols, name);
        if (v) return v;
    }
    return NULL;
}

bool cg_symbol_is_set(cg *g, const char *name) {
    return lookup_symbol(g, ir_name(g->c, name));
}

static lp_value *find_symbol(void *data, const char *name) {
    cg *g = data;
    lp_value *v = lookup_symbol(g, name);
    if (v) return v;
    const ir_dim *meaning = ir_dim_meaning(ir_dim_symbol(g->c, name));
    if (meaning) return cg_dim(g, meaning);
    cg_unsupported(g, g->node, "dimension '%s' depends on data that is not known before the run",
                   name);
    return lp_index(&g->b, 0);
}

lp_value *cg_dim(cg *g, const ir_dim *d) {
    int64_t value;
    if (ir_dim_is_const(d, &value)) return lp_index(&g->b, value);
    for (cg_scope *s = g->scope; s; s = s->outer) {
        lp_value *v = tl_map_get_ptr(&s->dims, d);
        if (v) return v;
    }
    if (d->unknown) {
        cg_unsupported(g, g->node, "a dimension is not known");
        return lp_index(&g->b, 0);
    }
    lp_value *v = cg_dim_emit(&g->b, d, find_symbol, g);
    tl_map_set_ptr(&g->scope->dims, d, v);
    return v;
}

lp_value *cg_dim_bytes(cg *g, const ir_dim *bytes) {
    return cg_dim_emit_bytes(&g->b, bytes, find_symbol, g);
}

const ir_dim *cg_dc(cg *g, int64_t v) {
    return ir_dim_const(g->c, v);
}

const ir_dim *cg_dims_product(cg *g, const ir_dim *const *d, int32_t n) {
    const ir_dim *p = cg_dc(g, 1);
    for (int32_t i = 0; i < n; i++)
        p = ir_dim_mul(g->c, p, d[i]);
    return p;
}

/* ---- bounds -------------------------------------------------------------------------------------------------- */

/* The limit of a counter or of a bounded symbol; other symbols stay. */
static const ir_dim *limit_of(void *data, const char *name) {
    cg *g = data;
    const ir_dim *symbol = ir_dim_symbol(g->c, name);
    return ir_dim_is_symbol(symbol) ? symbol->terms[0].atoms[0]->b : NULL;
}

const ir_dim *cg_dim_limit(cg *g, const ir_dim *d) {
    for (uint32_t i = 0; i < d->n_terms; i++)
        if (d->terms[i].coef < 0) return d; /* not growing with its symbols */
    return ir_dim_substitute(g->c, d, limit_of, g);
}
