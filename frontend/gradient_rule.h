/* Shared by the files of derivatives: short spellings for what a rule builds. Nothing is built behind a refusal: all of these hand a NULL
 * on (frontend/upgrade.h). */
#ifndef TLBC_FRONTEND_GRADIENT_RULE_H
#define TLBC_FRONTEND_GRADIENT_RULE_H

#include "frontend/gradient.h"

#include <string.h>

/* Operator n with operands x and result y, g the derivative by y: that by operand i is wanted. */
typedef struct rule {
    fe_node *f;
    const ir_node *n;
    uint32_t i, result;
    ir_value *x[3], *y, *g;
} rule;

typedef ir_value *rule_fn(const rule *r);

static inline ir_value *op1(const rule *r, op_id op, ir_value *x) {
    return fe_build1(r->f, op, x);
}
static inline ir_value *op2(const rule *r, op_id op, ir_value *x, ir_value *y) {
    return fe_build2(r->f, op, x, y);
}
static inline ir_value *mul(const rule *r, ir_value *x, ir_value *y) {
    return op2(r, OP_Mul, x, y);
}
static inline ir_value *sub(const rule *r, ir_value *x, ir_value *y) {
    return op2(r, OP_Sub, x, y);
}
static inline ir_value *divide(const rule *r, ir_value *x, ir_value *y) {
    return op2(r, OP_Div, x, y);
}
static inline ir_value *number(const rule *r, double x) {
    return fe_scalar(r->f, r->g->type->dtype, x);
}
static inline ir_value *neg(const rule *r, ir_value *x) {
    return op1(r, OP_Neg, x);
}
static inline ir_value *square(const rule *r, ir_value *x) {
    return mul(r, x, x);
}
static inline ir_value *select(const rule *r, ir_value *condition, ir_value *yes, ir_value *no) {
    return fe_build(r->f, OP_Where, (ir_value *[]){condition, yes, no}, 3, NULL, 0);
}
static inline ir_value *g_where(const rule *r, ir_value *condition) {
    return select(r, condition, r->g, number(r, 0));
}
static inline ir_value *reduce(const rule *r, op_id op, ir_value *x, const int64_t *axes,
                               uint32_t n, int64_t keepdims) {
    ir_value *in[] = {x, fe_i64s(r->f, axes, n)};
    return fe_build(r->f, op, in, 2,
                    &(ir_attr){.name = "keepdims", .kind = ATTR_INT, .v.i = keepdims}, 1);
}

/* Dimension i of v as a vector of one element. */
static inline ir_value *dim_of(const rule *r, ir_value *v, int64_t i) {
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = 0};
    return fe_build(r->f, OP_Gather, (ir_value *[]){fe_shape(r->f, v), fe_i64s(r->f, &i, 1)}, 2,
                    &axis, 1);
}

/* v with these vectors as its dims, one after the other; a 0 is no element, a -1 what is left. */
static inline ir_value *reshape(const rule *r, ir_value *v, ir_value *const *dims, uint32_t n) {
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = 0},
            zeros = {.name = "allowzero", .kind = ATTR_INT, .v.i = 1};
    ir_value *shape = fe_build(r->f, OP_Concat, dims, n, &axis, 1);
    return fe_build(r->f, OP_Reshape, (ir_value *[]){v, shape}, 2, &zeros, 1);
}

/* gradient_layers.c */
rule_fn gradient_conv, gradient_average_pool, gradient_max_pool, gradient_layer_norm,
    gradient_instance_norm, gradient_batch_norm;
/* gradient_moves.c: operators that only move elements of operand 0 */
rule_fn gradient_moved;

#endif
