/* Is a mask the causal one: position i sees positions 0 to i? For fuse_attention, which then needs no mask at all. */
#ifndef TLBC_PASSES_CAUSAL_H
#define TLBC_PASSES_CAUSAL_H

#include "passes/pass.h"

/* v, added to scores, leaves those on and below the diagonal as they are and takes all others (by a number of `limit` or less). */
bool causal_is_added_mask(const ir_value *v, double limit);
/* v is true just on and below the diagonal (`below`), or just above it. */
bool causal_is_condition(const ir_value *v, bool below);

#endif
