/* The lower column of ir/ops.def as a table: a row that names a missing function does not link. */
#include "codegen/lower.h"

static cg_lower_fn *const table[OP_COUNT] = {
#define OP(name, since, infer, eval, lower, traits, summary) [OP_##name] = lower_##lower,
#include "ir/ops.def"
#undef OP
};

cg_lower_fn *cg_lower_get(op_id op) {
    return table[op];
}

/* Forms for which there is no code but a function of runtime/calls/. */
bool cg_is_called(const ir_node *n) {
    switch (n->op) {
    case OP_Equal:
    case OP_Cast:
        return ir_in(n, 0)->type->dtype == DT_str || n->out[0].type->dtype == DT_str;
    default:
        return cg_lower_get(n->op) == lower_call;
    }
}

bool lower_none(cg *g, ir_node *n) {
    return cg_unsupported(g, n, "is not compiled in this form");
}
bool lower_decompose(cg *g, ir_node *n) {
    return cg_unsupported(g, n, "was not decomposed before code generation");
}
