/* Small questions that several passes ask. */
#ifndef TLBC_PASSES_UTIL_H
#define TLBC_PASSES_UTIL_H

#include "passes/pass.h"

#include "ir/build.h"

/* Both have the same type, and it is known completely ("?" equals nothing). */
bool same_type(const ir_value *a, const ir_value *b);
/* Type known completely, but for the same element type: the same dims. */
bool same_dims(const ir_type *a, const ir_type *b);
/* `part` is `whole`, or min(whole, 64): a table cut to a length. Where both are broadcast to each other they must be equal. */
bool is_cut_to(ir_ctx *c, const ir_dim *part, const ir_dim *whole);
/* Reshape of x to exactly the dims of t; NULL where they are not computable, or not clearly of as many elements. */
ir_value *build_reshape_to(ir_builder *b, ir_value *x, const ir_type *t);
/* Reshape, Squeeze, Unsqueeze, Flatten: the same elements in the same order under other dims. */
bool is_reshape_like(op_id op);
/* Axis in [0, rank), or -1. */
int32_t normal_axis(int64_t axis, int32_t rank);
/* The node's perm, or the reversal that is its default; false where the rank is not known. */
bool get_perm(const ir_node *transpose, int64_t *perm, uint32_t *rank);
/* n is Transpose<perm=[0,2,1,3]>: [batch, heads, rows, width] to [batch, rows, heads, width] or back; and a new one. */
bool is_head_swap(const ir_node *n);
ir_value *build_head_swap(ir_builder *b, ir_value *v);
/* The operand's integers: as ir_value_const_ints, with an omitted operand giving none (0). */
int32_t optional_ints(const ir_value *v, int64_t *out, uint32_t max);
/* fold_shapes.c: results of n whose contents inference knows become constants or Dims nodes; true where one did. */
bool fold_known(pass_ctx *ctx, ir_node *n);
/* cse.c: the same operator, attributes and operands, the first two of commutative operators in either order; and a hash of these. */
bool nodes_are_alike(const ir_node *a, const ir_node *b);
uint64_t node_hash(const ir_node *n);
/* fold_constants.c: whether the results are small enough beside the operands to become constants of the module. */
bool fold_fits(const ir_node *n);
/* The results of a node on these constants, in the module's arena; false where evaluation fails, with nothing reported. */
bool fold_evaluate(pass_ctx *ctx, const ir_node *n, struct ir_datum *out);
/* Constants instead of n's results, if all its operands are; n is gone then. */
bool fold_by_evaluation(pass_ctx *ctx, ir_node *n);
/* MatMulInteger as the kernels have it: u8 by a constant of i8 that is one matrix, no zero points, sizes known. */
bool has_quad_kernel(const ir_node *n);
/* Whether n can end the run for what its operands hold, beyond their shapes: then computing it where the model does not would be noticed. */
bool node_can_fail(ir_ctx *c, const ir_node *n);
/* Moves all regions of one node to another of the same kind, which must have none. */
void move_regions(ir_node *from, ir_node *to);

/* A constant all of whose elements are 1. */
ir_value *build_ones(ir_module *m, const ir_type *t);

#endif
