/* Recognising expressions, however an exporter happened to write them.
 *
 *   ir_node *s = match_def(ir_in(n, 0), OP_Softmax);                     // the Softmax that makes operand 0, or NULL
 *   if (match_scaled(v, &x, &k)) ...                                     // v = k * x, by Mul or Div with a constant
 *
 * Arithmetic is compared as polynomials, so that all associations, orders and distributions of one formula look alike:
 *
 *   0.5 * x * (1 + t),  x * (t * 0.5 + 0.5),  (x / 2) + (x / 2) * t      are all  { x: 0.5, x t: 0.5 } */
#ifndef TLBC_PASSES_MATCH_H
#define TLBC_PASSES_MATCH_H

#include "passes/pass.h"

/* The node that makes v, where that is of this operator; else NULL. */
ir_node *match_def(const ir_value *v, op_id op);
/* The same, where nobody else reads v: the node may be absorbed. */
ir_node *match_single(const ir_value *v, op_id op);
/* The only node that reads v (it may read it several times), or NULL. */
ir_node *match_user(const ir_value *v);
/* Equal within the relative tolerance; zero equals only what is tiny. */
bool match_near(double a, double b, double tolerance);
/* Relative error of a constant that was rounded to this type on its way through an exporter; at least 1e-4. */
double match_tolerance(ir_dtype t);
/* v is k * x, by one Mul or Div with a one-element constant that does not change the type. */
bool match_scaled(const ir_value *v, ir_value **x, double *k);
/* v is x * x: Mul with itself, or Pow 2. */
bool match_square(const ir_value *v, ir_value **x);
/* The operands of a commutative n: `a` is the one made by op. */
bool match_either(const ir_node *n, op_id op, ir_node **a, ir_value **other);

enum { MATCH_DEGREE = 3 };
/* Sum of c[i][j] x^i t^j. */
typedef struct match_poly {
    double c[MATCH_DEGREE + 1][2];
} match_poly;

/* v as a polynomial in x and t (t may be NULL); false where it is none of this degree or is too large. */
bool match_poly_of(const ir_value *v, const ir_value *x, const ir_value *t, match_poly *p);
bool match_poly_near(const match_poly *a, const match_poly *b, double tolerance);
/* Values that v is computed from by arithmetic, v first, in breadth-first order: candidates for x. */
uint32_t match_leaves(ir_value *v, ir_value **out, uint32_t max);

#endif
