/* The operator table and its lookups; see op.h. */
#include "ir/op.h"

#include "ir/base/assert.h"

#include <string.h>

static const op_info ops[OP_COUNT] = {
    [OP_None] = {.name = "None", .domain = "tlbc", .traits = OP_INTERNAL, .summary = "no operator"},
#define OP(op_name, since_, infer, eval, lower, traits_, summary_)       \
    [OP_##op_name] = {.name = #op_name,                                  \
                      .domain = ((traits_) & OP_INTERNAL) ? "tlbc"       \
                                : ((traits_) & OP_ML)     ? "ai.onnx.ml" \
                                                          : "",              \
                      .since = since_,                                   \
                      .traits = (traits_),                               \
                      .summary = summary_,                               \
                      .infer_name = #infer,                              \
                      .eval_name = #eval,                                \
                      .lower_name = #lower},
#include "ir/ops.def"
#undef OP
};

const op_info *op_get(op_id op) {
    TL_ASSERT(op < OP_COUNT);
    return &ops[op];
}

op_id op_find(const char *name) {
    for (op_id op = 1; op < OP_COUNT; op++)
        if (strcmp(ops[op].name, name) == 0) return op;
    return OP_None;
}

const ir_schema *op_schema(op_id op) {
    const op_info *info = op_get(op);
    if (info->traits & OP_INTERNAL) return NULL;
    return ir_schema_find(info->domain, info->name, info->since);
}
