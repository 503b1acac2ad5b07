/* Operators that are called and not compiled: which function is theirs, and their attributes as that function reads them. */
#ifndef TLBC_IR_CALL_H
#define TLBC_IR_CALL_H

#include "ir/eval.h"

#include "runtime/calls/call.h"

/* The function of an operator whose rows in ops.def say `call`. */
tlbc_rt_op *ir_call_function(op_id op);
/* The node's attributes and the schema's defaults; payloads are the node's. */
const tlbc_rt_attr *ir_call_attrs(tl_arena *a, const ir_node *n, uint32_t *count);

/* The evaluator's values as the runtime's and back; memory is shared, lists are made in the arena. A rank above TLBC_MAX_RANK has no
 * place in the runtime's tensors. Tensors that come back have no content hash. */
bool ir_datum_fits_runtime(const ir_datum *d);
void ir_datum_to_runtime(tl_arena *a, const ir_datum *d, tlbc_tensor *t);
void ir_datum_from_runtime(ir_ctx *c, tl_arena *a, const tlbc_tensor *t, ir_datum *d);
/* The same with all memory copied, and hashes. */
void ir_datum_take_runtime(ir_ctx *c, tl_arena *a, const tlbc_tensor *t, ir_datum *d);

#endif
