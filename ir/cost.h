/* How much arithmetic a graph asks for: the multiply-adds of its products (MatMul, Gemm, Attention, …), two operations each.
 * Elementwise work is not counted: the number is what a machine's multiply-add peak is compared with.
 *
 *   const ir_dim *f = ir_graph_flops(c, g);      // "131072*batch", a constant where all shapes are
 *
 * Exact for any sizes of the symbols; unknown ("?") where a product's shape or a loop's trip count is not known, where the
 * branches of an If differ, or where an Einsum has more than two operands. */
#ifndef TLBC_IR_COST_H
#define TLBC_IR_COST_H

#include "ir/ir.h"

/* Of one node, regions included; of operators that passes take apart (Einsum, RNN, GRU, LSTM, ConvTranspose) nothing: what decides by this decides
 * behind those passes. */
const ir_dim *ir_node_flops(ir_ctx *c, const ir_node *n);
const ir_dim *ir_graph_flops(ir_ctx *c, const ir_graph *g);
/* The same as a plain number; 0 where it depends on symbols or is not known. */
double ir_graph_flops_const(ir_ctx *c, const ir_graph *g);
/* All that the graph computes, in operations of its products: what is done element by element counts by a rule of thumb. For decisions,
 * not for reports. */
const ir_dim *ir_graph_work(ir_ctx *c, const ir_graph *g);
/* The part of it inside of loops whose rounds wait for each other: Loop, and Recur with carried values. */
const ir_dim *ir_graph_serial_flops(ir_ctx *c, const ir_graph *g);
/* Elements and bytes of the module's constants that have payloads of floats: its parameters. */
void ir_module_count_parameters(const ir_module *m, uint64_t *elements, uint64_t *bytes);

#endif
