/* op_eval: from operators to their eval functions. A row of ops.def that names a missing function does not link. */
#include "ir/eval/eval_internal.h"

static ir_eval_fn *const table[OP_COUNT] = {
#define OP(name, since, infer, eval, lower, traits, summary) [OP_##name] = eval_##eval,
#include "ir/ops.def"
#undef OP
};

ir_eval_fn *op_eval(op_id op) {
    return table[op] ? table[op] : eval_none;
}

bool eval_none(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    (void)in, (void)out;
    return ev_error(e, n, "the reference evaluator does not know this operator");
}
