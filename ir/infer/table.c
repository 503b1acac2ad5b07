/* Rules by operator. A row of ops.def that names a missing rule does not link. */
#include "ir/infer/infer.h"

static ir_infer_fn *const rules[OP_COUNT] = {
    [OP_None] = infer_none,
#define OP(name, since, infer, eval, lower, traits, summary) [OP_##name] = infer_##infer,
#include "ir/ops.def"
#undef OP
};

ir_infer_fn *op_infer(op_id op) {
    return rules[op];
}
