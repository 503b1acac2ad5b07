/* Inside the dimension algebra: polynomials under construction, order of terms, interning of atoms. */
#ifndef TLBC_IR_DIM_INTERNAL_H
#define TLBC_IR_DIM_INTERNAL_H

#include "ir/ctx.h"
#include "ir/dim.h"
#include "ir/limits.h"

/* A sum being built, terms in canonical order. `failed`: overflow or too many terms; the result is then unknown. */
typedef struct poly {
    bool failed;
    uint32_t n;
    ir_dim_term terms[IR_MAX_DIM_TERMS];
} poly;

static inline void poly_init(poly *p) {
    p->n = 0, p->failed = false;
}
void poly_add_term(poly *p, int64_t coef, const ir_dim_term *monomial);
void poly_add_const(poly *p, int64_t value);
void poly_add_dim(poly *p, const ir_dim *d, int64_t scale);
void poly_scale(poly *p, int64_t scale);
const ir_dim *poly_intern(ir_ctx *c, const poly *p);

/* Total orders that do not depend on creation order, so that text is stable. */
int dim_compare(const ir_dim *a, const ir_dim *b);
int atom_compare(const ir_dim_atom *a, const ir_dim_atom *b);
int monomial_compare(const ir_dim_term *a, const ir_dim_term *b); /* coefficients ignored */

/* The dimension that is one atom, as it stands: simplification is the caller's. */
const ir_dim *dim_from_atom(ir_ctx *c, ir_dim_op op, const ir_dim *a, const ir_dim *b);
/* The only term's only atom, where the dimension is that with coefficient 1; else NULL. */
const ir_dim_atom *dim_single_atom(const ir_dim *d);
int64_t dim_constant_term(const ir_dim *d);
/* monomial a / b; false where b does not divide a. */
bool monomial_divide(ir_ctx *c, const ir_dim_term *a, const ir_dim_term *b, ir_dim_term *out);

/* Bounds that hold for all symbols >= 0; INT64_MIN, INT64_MAX = none. */
int64_t dim_lower(const ir_dim *d);
int64_t dim_upper(const ir_dim *d);
/* a - b >= 0 for all values of the symbols. */
bool dim_at_least(const ir_dim *a, const ir_dim *b);

int64_t floor_div64(int64_t a, int64_t b); /* b > 0 */

#endif
