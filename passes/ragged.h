/* Sizes in the body of a loop that are K in all rounds but the last one, where they may be smaller: rows of chunks of a sequence.
 *
 *   body(i64[] %i, ...) {                                       // ceil(time/4) rounds
 *     %from = 4*i   %to = min(4*i + 4, time)
 *     %chunk = Slice(%x, %from, %to, {1})                      // f32[batch,S,64]: at most 4, of time in all
 *
 * Shown by the size as a function of the counter, which the bounds of the Slice that makes it give, for a counter that ends
 * one round earlier. The total is then K*(n-1) and the size in round n-1. */
#ifndef TLBC_PASSES_RAGGED_H
#define TLBC_PASSES_RAGGED_H

#include "passes/loop_like.h"

typedef struct ragged_size {
    int64_t most;         /* K */
    const ir_dim *length; /* in a round, by the counter */
    const ir_dim *total;  /* of all rounds */
} ragged_size;

/* Whether this size of a value in the body is one; the total can be computed before the loop. */
bool ragged_size_get(pass_ctx *ctx, const loop_like *l, const ir_dim *size, ragged_size *r);
/* A counter like this one that ends before `end`, to be put in its place. */
const ir_dim *counter_to(ir_ctx *c, const ir_dim *counter, const char *suffix, const ir_dim *end);

#endif
