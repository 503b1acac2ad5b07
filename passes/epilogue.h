/* The chain of elementwise operators behind a product, which becomes the region "epilogue" of the node that takes the product's place.
 *
 *   chain k = {.product = n, .is_easy = may_be_read};
 *   chain_follow(&k);                                        // as long as each value has one reader and keeps the product's type
 *                                                            // (products of integers: any number)
 *   cluster c = chain_begin(ctx, &k, OP_MatMulPacked);       // ... attributes, operands the region does not see ...
 *   chain_end(&c, &k);                                       // removes the product */
#ifndef TLBC_PASSES_EPILOGUE_H
#define TLBC_PASSES_EPILOGUE_H

#include "passes/cluster.h"

enum { CHAIN_MAX = 16, CHAIN_MAX_EXTRAS = 12 };

typedef struct chain {
    ir_node *product;
    /* Can v be read beside a tile of the product, whose type is t? */
    bool (*is_easy)(const ir_value *v, const ir_type *t);
    ir_node *nodes[CHAIN_MAX];
    uint32_t n, n_extras;
} chain;

void chain_follow(chain *k);
cluster chain_begin(pass_ctx *ctx, const chain *k, op_id op);
ir_node *chain_end(cluster *c, const chain *k);
/* Calls `fuse` for every node of r and of regions in it, but for those that fusion made; where it fused, it goes on behind the node before
 * the one that is gone. True where it did anywhere. */
bool chain_fuse_all(pass_ctx *ctx, ir_region *r, bool (*fuse)(pass_ctx *ctx, ir_node *n));
/* dims of v are those of t in axes [from, to) and 1 elsewhere. */
bool chain_spans(const ir_type *v, const ir_type *t, int32_t from, int32_t to);

#endif
