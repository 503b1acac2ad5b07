/* Moving nodes into the region of the operator that executes them as one.
 *
 *   cluster k = cluster_begin(ctx, OP_Fused, before, "body");
 *   cluster_take(&k, n) ...                                  // in order; operands from outside become operands of the new node
 *   ir_node *fused = cluster_end(&k, v, v);                  // yields v, which the new node's result replaces outside
 *
 * The nodes themselves move, with names, attributes and locations. One-element constants are read inside the region as they are. */
#ifndef TLBC_PASSES_CLUSTER_H
#define TLBC_PASSES_CLUSTER_H

#include "passes/pass.h"

typedef struct cluster {
    pass_ctx *ctx;
    ir_node *node;
    ir_region *region;
    uint32_t n_taken; /* operands that stand for the last parameters */
} cluster;

cluster cluster_begin(pass_ctx *ctx, op_id op, ir_node *before, const char *region_name);
/* An operand of the new node that the region does not see. */
void cluster_add_operand(cluster *k, ir_value *v);
/* A parameter that stands for no operand. */
ir_value *cluster_add_param(cluster *k, const ir_type *t);
void cluster_take(cluster *k, ir_node *n);
/* The region yields `result`; outside the new node's result stands for `replaced`, which is mostly the same value. */
ir_node *cluster_end(cluster *k, ir_value *result, ir_value *replaced);

/* n is the result of all this: its region is not to be looked into by passes that make clusters. */
static inline bool cluster_is_node(const ir_node *n) {
    return n->op == OP_Fused || n->op == OP_MatMulPacked || n->op == OP_MatMulArg ||
           n->op == OP_ConvPacked || n->op == OP_ConvBytes;
}
/* One element, and a type that can be read inside a region. */
bool cluster_is_scalar_const(const ir_value *v);

#endif
