/* Shape and type rules: one function infer_<name>() per name in the infer column of ir/ops.def, grouped in files by family.
 * A rule reads operand types (and, for shapes that are data, infer_in_dims) and sets n->out[i].type. It is called again
 * whenever operands changed and must give the same answer for the same operands; dims that depend on data are symbols named
 * after the result, so that they are stable: a rule leaves them "?", and infer_set puts infer_data_dim() in their place.
 *
 * Before a rule runs, ir_node_verify has compared the node with the operator's schema: operands that must be there are there,
 * have types, and element types the operator takes. What is left to the rule: ranks, dims, attribute values.
 *
 * An operand of unknown rank is no error: the result is then unranked, or as much as is known. */
#ifndef TLBC_IR_INFER_INFER_H
#define TLBC_IR_INFER_INFER_H

#include "ir/ir.h"
#include "ir/limits.h"

#define OP(name, since, infer, eval, lower, traits, summary) ir_infer_fn infer_##infer;
#include "ir/ops.def"
#undef OP

/* A shape under construction. */
typedef struct ir_shape {
    int32_t rank;
    const ir_dim *dims[IR_MAX_RANK];
} ir_shape;

/* ---- reading operands and attributes ------------------------------------------------------------------------- */

const ir_type *infer_in(const ir_node *n, uint32_t i); /* NULL where omitted */
bool infer_is_ranked(const ir_node *n, uint32_t i);    /* there, and its rank is known */
ir_shape infer_in_shape(const ir_node *n, uint32_t i); /* of a ranked operand */
/* Contents of a small integer operand as dimension expressions, "?" for elements not known; -1 where nothing is known. */
int32_t infer_in_dims(ir_ctx *c, const ir_node *n, uint32_t i, const ir_dim *out[IR_MAX_KNOWN]);
/* Number of elements of a scalar or 1-D operand; -1 where not known. */
int64_t infer_in_length(const ir_node *n, uint32_t i);
/* Operand i must have this rank (or an unknown one). */
bool infer_expect_rank(ir_ctx *c, const ir_node *n, uint32_t i, int32_t rank);
/* Two dims that must be the same: false after reporting when both are constants and differ. */
bool infer_expect_dim(ir_ctx *c, const ir_node *n, uint32_t i, int32_t axis,
                      const ir_dim *expected);
/* Operand i, where it is there and of known rank, has these dims. */
bool infer_expect_dims(ir_ctx *c, const ir_node *n, uint32_t i, const ir_dim *const *dims,
                       int32_t rank);
/* Attribute `axis` brought into [0, rank); false after reporting when out of range. */
bool infer_axis(ir_ctx *c, const ir_node *n, int64_t axis, int32_t rank, int32_t *out);

typedef enum infer_answer { INFER_ERROR, INFER_UNKNOWN, INFER_KNOWN } infer_answer;
/* Operand i is a list of axes of a tensor of this rank: normalised, each once. `n_axes` is set where at least the number is
 * known (-1 otherwise). */
infer_answer infer_in_axes(ir_ctx *c, const ir_node *n, uint32_t i, int32_t rank,
                           int32_t axes[IR_MAX_RANK], int32_t *n_axes);

/* ---- setting results ----------------------------------------------------------------------------------------- */

/* Sets result i's type, met with what was declared for it before; reports a contradiction. No result i: does nothing. */
bool infer_set(ir_ctx *c, ir_node *n, uint32_t i, const ir_type *t);
bool infer_set_shape(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype t, const ir_shape *s);
bool infer_set_unranked(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype t);
/* Rank known, dims not. */
bool infer_set_rank(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype t, int64_t rank);
/* One more dimension; false after reporting when there are too many. */
bool infer_push(ir_ctx *c, const ir_node *n, ir_shape *s, const ir_dim *d);
/* Operand 0 times operand 1, both of known rank, by numpy's rule: a 1-D operand is a row (left) or a column (right) whose dimension of 1
 * disappears again (matmul.c). */
bool infer_product_shape(ir_ctx *c, const ir_node *n, ir_shape *out);
/* A dimension that only the data tells: the symbol "<result name>.d<axis>"; "?" for a result without a name. */
const ir_dim *infer_data_dim(ir_ctx *c, const ir_node *n, uint32_t result, uint32_t axis);
/* The type with its "?" dims, and those that depend on a loop's counter, replaced by data dims of the value of this name
 * ("x.d1", or "x.d1.max4" where 4 is an upper bound). */
const ir_type *infer_name_dims(ir_ctx *c, const ir_type *t, const char *name);

/* Error at n about operand i: "input 1 'W': " + text; the operand's type follows as a note. */
bool infer_error(ir_ctx *c, const ir_node *n, uint32_t i, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Text for messages, in the context's arena. */
const char *infer_type_text(ir_ctx *c, const ir_type *t);
const char *infer_dim_text(ir_ctx *c, const ir_dim *d);

/* What the schema alone says of result i's element type: that of the first operand that shares its type variable, else the
 * first type allowed; undefined where it is no tensor. */
ir_dtype infer_result_dtype(const ir_node *n, uint32_t i);

/* ---- shared rules -------------------------------------------------------------------------------------------- */

/* Numpy broadcasting of two shapes; false after reporting. Operand number `i` is named in the message. */
bool infer_broadcast_with(ir_ctx *c, const ir_node *n, uint32_t i, ir_shape *a, const ir_shape *b);
/* Contents of the parameters of a Loop's or Recur's body: the counter, what grows evenly (loop_values.c). Carried values are
 * operands and parameters from `first` on. */
void infer_loop_values(ir_ctx *c, const ir_node *n, ir_region *body, uint32_t first,
                       uint32_t n_carried);
/* The region's nodes, in order. Parameters have types. */
bool infer_region(ir_ctx *c, ir_region *r);

/* Symbolic contents of small integer results (shape arithmetic); called after the type rule. ir/infer/known.c */
void infer_known(ir_ctx *c, ir_node *n);

#endif
