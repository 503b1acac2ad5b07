/* Operators: one row each in ops.def, facts from the ONNX schema in onnx_schema.inc (schema.h). */
#ifndef TLBC_IR_OP_H
#define TLBC_IR_OP_H

#include "ir/ctx.h"
#include "ir/schema.h"

typedef enum op_id {
    OP_None, /* no operator: zero-initialised memory is not a valid node */
#define OP(name, since, infer, eval, lower, traits, summary) OP_##name,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} op_id;

enum op_traits {
    OP_PURE =
        1u << 0, /* same inputs, same outputs; no effect: may be merged, moved, removed, folded */
    OP_COMMUTES = 1u << 1, /* the first two operands may be exchanged */
    OP_SCALAR = 1u << 2,   /* elementwise with broadcasting; defined in ir/scalar_defs.c */
    OP_VIEW = 1u << 3,     /* moves no data: output elements are input elements in another order */
    OP_REGIONS = 1u << 4,  /* has regions */
    OP_INTERNAL = 1u << 5, /* ours, not ONNX's: no schema */
    OP_ML = 1u << 6,       /* domain ai.onnx.ml */
    OP_FLOAT_ONLY =
        1u << 7,          /* outputs of the evaluator and of compiled code may differ by rounding */
    OP_SESSION = 1u << 8, /* the session has a say in it: no constant, though it has no operands */
};

typedef struct ir_node ir_node;
typedef struct ir_eval ir_eval;
struct ir_datum;

typedef bool ir_infer_fn(ir_ctx *c, ir_node *n);
typedef bool ir_eval_fn(ir_eval *e, const ir_node *n, const struct ir_datum *const *in,
                        struct ir_datum *out);

typedef struct op_info {
    const char *name;
    const char *domain; /* "" = ai.onnx; "tlbc" for internal ops */
    int since;          /* opset of the canonical form; 0 for internal ops */
    uint32_t traits;
    const char *summary;
    const char *infer_name, *eval_name, *lower_name;
} op_info;

const op_info *op_get(op_id op);
op_id op_find(const char *name);      /* OP_None where absent */
const ir_schema *op_schema(op_id op); /* of the canonical version; NULL for internal ops */
ir_infer_fn *op_infer(op_id op);      /* defined in ir/infer/table.c */
ir_eval_fn *op_eval(op_id op);        /* defined in ir/eval/table.c */

static inline bool op_is(op_id op, uint32_t trait) {
    return (op_get(op)->traits & trait) != 0;
}

#endif
