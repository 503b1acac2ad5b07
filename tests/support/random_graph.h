/* Random valid graphs from bytes: the same bytes always give the same graph, other bytes mostly another one. */
#ifndef TLBC_TESTS_RANDOM_GRAPH_H
#define TLBC_TESTS_RANDOM_GRAPH_H

#include "ir/ir.h"

/* A module with one graph of up to 40 nodes: elementwise operators, products, reductions, views, shape arithmetic, branches, loops
 * with carried values, stacked outputs and lists. Every node passes the verifier and inference. */
ir_module *random_module(ir_ctx *c, tl_arena *a, const uint8_t *bytes, size_t n);

#endif
