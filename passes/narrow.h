/* What the pass `narrow` can move a Slice in front of; see narrow.c. */
#ifndef TLBC_PASSES_NARROW_H
#define TLBC_PASSES_NARROW_H

#include "ir/ir.h"

/* Elements of n's result along some axis need elements of its operands at their own place only. */
bool narrow_has_rule(const ir_node *n);

#endif
