/* Operators that are called and not compiled: which function is theirs, and their attributes as that function reads them. */
#ifndef TLBC_IR_CALL_H
#define TLBC_IR_CALL_H

#include "ir/ir.h"

#include "runtime/calls/call.h"

/* The function of an operator whose rows in ops.def say `call`. */
tlbc_rt_op *ir_call_function(op_id op);
/* The node's attributes and the schema's defaults; payloads are the node's. */
const tlbc_rt_attr *ir_call_attrs(tl_arena *a, const ir_node *n, uint32_t *count);

#endif
