/* For upgrade rules: reading and changing a draft, and emitting nodes.
 *
 * A rule either changes the draft in place (attributes, operands, its operator) and returns true, or
 * emits what the node means and sets n->out and n->done. It returns false after reporting.
 *
 * Emitting never asserts: the operands come from a file. fe_build* return NULL once inference has
 * refused something, and NULL again when an operand is such a NULL, so rules check at the end:
 *
 *     ir_value *flat = fe_build1_int(n, OP_Flatten, x, "axis", axis);
 *     ir_value *y = fe_build1(n, OP_Softmax, flat);
 *     return fe_finish(n, y);                                            // false when y is NULL */
#ifndef TLBC_FRONTEND_UPGRADE_H
#define TLBC_FRONTEND_UPGRADE_H

#include "frontend/fe.h"

typedef bool fe_rule_fn(fe_node *n);

typedef struct fe_rule {
    const char *domain, *op;
    int below; /* applies to nodes of an older opset than this */
    fe_rule_fn *fn;
    const char *becomes; /* NULL: the same operator. Else one of ops.def, for check_ops.c */
} fe_rule;

enum { FE_ALWAYS = INT32_MAX }; /* below: whatever the opset */

/* One table per family of rules; rows of one operator in ascending order of `below`. */
extern const fe_rule fe_rules_basic[], fe_rules_shape[], fe_rules_norm[], fe_rules_other[],
    fe_rules_sequence[], fe_rules_quantize[], fe_rules_microsoft[], fe_rules_ms_attention[],
    fe_rules_ms_crop[], fe_rules_flex[], fe_rules_training[], fe_rules_gradient[],
    fe_rules_random[], fe_rules_sizes[];

/* ---- the draft -------------------------------------------------------------------------------- */
static inline ir_value *fe_in(const fe_node *n, uint32_t i) {
    return i < n->in.len ? n->in.data[i] : NULL;
}
/* The element type of operand i; false after reporting where it is not a tensor of numbers or booleans. */
bool fe_in_dtype(fe_node *n, uint32_t i, ir_dtype *out);
bool fe_need(fe_node *n, uint32_t count); /* the first so many operands and a result are there */
bool fe_wants(const fe_node *n, uint32_t output);    /* somebody reads that result */
void fe_set_in(fe_node *n, uint32_t i, ir_value *v); /* with omitted operands up to there */
void fe_rename(fe_node *n, const char *op);          /* into domain ai.onnx */
void fe_remove_attr(fe_node *n, const char *name);
void fe_set_attr(fe_node *n, ir_attr a); /* replaces one of the same name */
void fe_set_attr_int(fe_node *n, const char *name, int64_t v);
void fe_set_attr_text(fe_node *n, const char *name, const char *v); /* v: a literal */
int64_t fe_attr_int(const fe_node *n, const char *name, int64_t fallback);
float fe_attr_float(const fe_node *n, const char *name, float fallback);
bool fe_attr_is(const fe_node *n, const char *name, const char *text);
/* Attribute (INT, INTS or FLOATS) `name`, where present, becomes operand i. */
bool fe_attr_to_input(fe_node *n, const char *name, uint32_t i);
/* Numbers in [0, 1) for each element of this 1-D shape, as f64: of the attribute `seed` or, without one, the session's. */
ir_value *fe_random(fe_node *n, ir_value *shape);
bool fe_error(fe_node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- emitting --------------------------------------------------------------------------------- */
ir_value *fe_build(fe_node *n, op_id op, ir_value *const *in, uint32_t n_in, const ir_attr *attrs,
                   uint32_t n_attrs);
/* The node itself, for several results; &fe_omitted among the operands is one that is left out. */
ir_node *fe_build_node(fe_node *n, op_id op, ir_value *const *in, uint32_t n_in, uint32_t n_out,
                       const ir_attr *attrs, uint32_t n_attrs);
ir_value *fe_build1(fe_node *n, op_id op, ir_value *x);
ir_value *fe_build2(fe_node *n, op_id op, ir_value *x, ir_value *y);
ir_value *fe_build1_int(fe_node *n, op_id op, ir_value *x, const char *attr, int64_t v);
ir_value *fe_i64s(fe_node *n, const int64_t *v, uint32_t count);
ir_value *fe_scalar(fe_node *n, ir_dtype t, double x);
ir_value *fe_cast(fe_node *n, ir_value *x, ir_dtype to);
ir_value *fe_transpose(fe_node *n, ir_value *x, const int64_t *perm, uint32_t count);
ir_value *fe_shape(fe_node *n, ir_value *x); /* its dimensions as a 1-D tensor */
ir_value *fe_reshape_like(fe_node *n, ir_value *x, ir_value *like);
ir_value *fe_unsqueeze(fe_node *n, ir_value *x, const int64_t *axes, uint32_t count);
/* The only (wanted) result is y, which may be NULL: false then. */
bool fe_finish(fe_node *n, ir_value *y);

/* Rank, or -1 where it is not known. */
static inline int32_t fe_rank(const ir_value *v) {
    return v && v->type && v->type->kind == IR_TYPE_TENSOR ? v->type->rank : -1;
}

#endif
