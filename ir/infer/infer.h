/* Shape and type rules: one function infer_<name>() per name in the infer column of ir/ops.def, grouped in files by family.
 * A rule reads operand types (and, for shapes that are data, ir_value_known_dims) and sets n->out[i].type. It is called again
 * whenever operands changed and must give the same answer for the same operands; dims that depend on data are symbols named
 * after the result, so that they are stable: infer_data_dim(). */
#ifndef TLBC_IR_INFER_INFER_H
#define TLBC_IR_INFER_INFER_H

#include "ir/ir.h"

#define OP(name, since, infer, eval, lower, traits, summary) ir_infer_fn infer_##infer;
#include "ir/ops.def"
#undef OP

/* Sets result i's type, met with what was declared for it before; reports a contradiction. */
bool infer_set(ir_ctx *c, ir_node *n, uint32_t i, const ir_type *t);
/* Error at n about operand i: "input 1 'W': " + text. */
bool infer_error(ir_ctx *c, const ir_node *n, uint32_t i, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Numpy broadcasting of two shapes; false after reporting. */
bool infer_broadcast_dims(ir_ctx *c, ir_node *n, const ir_type *a, const ir_type *b, int32_t *rank,
                          const ir_dim **out);
/* A dimension that only the data tells: the symbol "<result name>.d<axis>". */
const ir_dim *infer_data_dim(ir_ctx *c, const ir_node *n, uint32_t result, uint32_t axis);
/* Attribute `axis` brought into [0, rank); false after reporting when out of range. */
bool infer_axis(ir_ctx *c, const ir_node *n, int64_t axis, int32_t rank, int32_t *out);
/* Symbolic contents of small integer results (shape arithmetic); called after the type rule. ir/infer/known.c */
void infer_known(ir_ctx *c, ir_node *n);

#endif
