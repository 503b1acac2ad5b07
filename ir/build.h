/* Builder: a cursor and helpers that insert nodes there, with types inferred at once.
 *
 *   ir_builder b = ir_build_before(n);
 *   ir_value *half = build_scalar(&b, DT_f32, 0.5);
 *   ir_value *y = build_op2(&b, OP_Mul, x, half);
 *   ir_value_replace_uses(&n->out[0], y);
 *
 * A node the types of whose results cannot be inferred is a bug of the caller: the builder asserts. */
#ifndef TLBC_IR_BUILD_H
#define TLBC_IR_BUILD_H

#include "ir/ir.h"

typedef struct ir_builder {
    ir_module *m;
    ir_region *region;
    ir_node *before;      /* NULL = at the end of region */
    const ir_loc *loc;    /* given to new nodes */
    const ir_node *sizes; /* whose operands tell sizes that come from data; NULL = there are none */
} ir_builder;

ir_builder ir_build_before(ir_node *n); /* loc inherited from n */
ir_builder ir_build_after(ir_node *n);
ir_builder ir_build_at_end(ir_region *r, const ir_loc *loc);
ir_builder ir_build_at_start(ir_region *r, const ir_loc *loc);

/* The general form: attributes first, inference after. */
ir_node *build_node(ir_builder *b, op_id op, ir_value *const *in, uint32_t n_in, uint32_t n_out,
                    const ir_attr *attrs, uint32_t n_attrs);
ir_value *build_op1(ir_builder *b, op_id op, ir_value *x);
ir_value *build_op2(ir_builder *b, op_id op, ir_value *x, ir_value *y);
ir_value *build_op3(ir_builder *b, op_id op, ir_value *x, ir_value *y, ir_value *z);
/* One integer attribute: build_op1_int(&b, OP_Gather...) */
ir_value *build_op1_int(ir_builder *b, op_id op, ir_value *x, const char *attr, int64_t v);
ir_value *build_op2_int(ir_builder *b, op_id op, ir_value *x, ir_value *y, const char *attr,
                        int64_t v);
ir_value *build_op1_ints(ir_builder *b, op_id op, ir_value *x, const char *attr, const int64_t *v,
                         uint32_t n);

ir_value *build_scalar(ir_builder *b, ir_dtype t, double x);       /* rank 0 constant */
ir_value *build_i64s(ir_builder *b, const int64_t *v, uint32_t n); /* 1-D i64 constant */
ir_value *build_reshape(ir_builder *b, ir_value *x, const ir_dim *const *d, uint32_t n);
/* To all dims of a type, which must be such that build_dims can give them; the run compares the sizes. */
ir_value *build_reshape_as(ir_builder *b, ir_value *x, const ir_type *t);
ir_value *build_transpose(ir_builder *b, ir_value *x, const int64_t *perm, uint32_t n);
ir_value *build_cast(ir_builder *b, ir_value *x, ir_dtype to); /* x itself where it has that type */

/* ---- dimensions as values: build_dims.c ------------------------------------------------------------------------------- */
ir_value *build_dims(ir_builder *b, const ir_dim *const *d, uint32_t n); /* 1-D i64 */
ir_value *build_dim_scalar(ir_builder *b, const ir_dim *d);              /* rank 0 i64 */
ir_value *build_range(ir_builder *b, const ir_dim *n);                   /* 0, 1, ... n-1 */
/* What these can give: expressions of the inputs' dimensions, and of what b->sizes knows. */
bool can_build_dims(const ir_builder *b, const ir_dim *const *dims, uint32_t n);
bool can_build_type(const ir_builder *b, const ir_type *t); /* ranked, and its dims so */
/* True where the dims can be computed anywhere in the graph: all their symbols are dimensions of its inputs. Symbols that stand
 * for data (the number of nonzeros) or for what a loop makes are not. */
bool dims_are_computable(const ir_graph *g, const ir_dim *const *dims, uint32_t n);
bool type_is_computable(const ir_graph *g, const ir_type *t);

#endif
