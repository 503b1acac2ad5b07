/* Emitter: operations that move lanes, and reductions.
 *
 *   reduce_add f32 %x of 8 lanes:   4 = low half + high half;  2 = ...;  1        the order is fixed, the same on every machine */
#include "codegen/llvm_emit_internal.h"

#include "ir/base/assert.h"

static LLVMValueRef lane(emitter *e, uint64_t k) {
    return LLVMConstInt(LLVMInt32TypeInContext(e->ctx), k, false);
}

/* Lanes first ... first + n - 1 of x, and anything behind them up to `width` lanes. */
static LLVMValueRef slice(emitter *e, LLVMValueRef x, unsigned first, unsigned n, unsigned width) {
    LLVMValueRef mask[LP_MAX_LANES];
    TL_ASSERT(n <= width && width <= LP_MAX_LANES);
    for (unsigned k = 0; k < width; k++)
        mask[k] = k < n ? lane(e, first + k) : LLVMGetPoison(LLVMInt32TypeInContext(e->ctx));
    LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(x));
    return LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(mask, width), "");
}

static LLVMValueRef emit_reduce(emitter *e, const lp_instr *i) {
    static const lp_op ops[] = {[LP_reduce_add - LP_reduce_add] = LP_add,
                                [LP_reduce_mul - LP_reduce_add] = LP_mul,
                                [LP_reduce_min - LP_reduce_add] = LP_min,
                                [LP_reduce_max - LP_reduce_add] = LP_max};
    lp_type t = i->args[0]->type;
    LLVMValueRef x = emit_value(i->args[0]);
    if (t.lanes == 1) return x;
    /* Vectors stay 128 bits wide while their upper lanes die: narrower ones would be split into scalars. */
    unsigned least = t.elem == DT_bool ? t.lanes : 128 / ir_dtype_bits((ir_dtype)t.elem);
    for (unsigned n = t.lanes / 2; n >= 1; n /= 2) {
        unsigned width = n > least ? n : least < t.lanes ? least : t.lanes;
        LLVMValueRef high = slice(e, x, n, n, width);
        LLVMValueRef low = width < t.lanes ? slice(e, x, 0, n, width) : x;
        t.lanes = (uint16_t)width;
        x = emit_binary(e, ops[i->op - LP_reduce_add], t, low, high);
    }
    return LLVMBuildExtractElement(e->b, x, lane(e, 0), "");
}

static LLVMValueRef as_vector(emitter *e, LLVMValueRef x, lp_type t) {
    if (t.lanes > 1) return x;
    LLVMTypeRef type = LLVMVectorType(emit_elem_type(e, t.elem), 1);
    return LLVMBuildInsertElement(e->b, LLVMGetPoison(type), x, lane(e, 0), "");
}

static LLVMValueRef emit_shuffle(emitter *e, const lp_instr *i) {
    LLVMValueRef mask[LP_MAX_LANES];
    TL_ASSERT(i->type.lanes <= LP_MAX_LANES);
    for (unsigned k = 0; k < i->type.lanes; k++)
        mask[k] = i->mask[k] < 0 ? LLVMGetPoison(LLVMInt32TypeInContext(e->ctx))
                                 : lane(e, (uint64_t)i->mask[k]);
    LLVMValueRef x = as_vector(e, emit_value(i->args[0]), i->args[0]->type);
    LLVMValueRef y = as_vector(e, emit_value(i->args[1]), i->args[1]->type);
    LLVMValueRef selector = LLVMConstVector(mask, i->type.lanes);
    LLVMValueRef r = LLVMBuildShuffleVector(e->b, x, y, selector, "");
    return i->type.lanes > 1 ? r : LLVMBuildExtractElement(e->b, r, lane(e, 0), "");
}

static LLVMValueRef emit_broadcast(emitter *e, const lp_instr *i) {
    LLVMValueRef x = emit_value(i->args[0]);
    if (i->type.lanes == 1) return x;
    LLVMTypeRef type = emit_type(e, i->type);
    LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), x, lane(e, 0), "");
    LLVMValueRef zeros = emit_splat(lane(e, 0), i->type.lanes);
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type), zeros, "");
}

static LLVMValueRef emit_iota(emitter *e, lp_type t) {
    LLVMValueRef values[LP_MAX_LANES];
    TL_ASSERT(t.lanes <= LP_MAX_LANES);
    for (unsigned k = 0; k < t.lanes; k++)
        values[k] = emit_const(e, lp_scalar(t.elem), k, k);
    return t.lanes > 1 ? LLVMConstVector(values, t.lanes) : values[0];
}

static LLVMValueRef emit_extract(emitter *e, const lp_instr *i) {
    LLVMValueRef x = emit_value(i->args[0]);
    if (i->args[0]->type.lanes == 1) return x;
    return LLVMBuildExtractElement(e->b, x, lane(e, (uint64_t)i->imm), "");
}

static LLVMValueRef emit_insert(emitter *e, const lp_instr *i) {
    LLVMValueRef s = emit_value(i->args[1]);
    if (i->type.lanes == 1) return s;
    return LLVMBuildInsertElement(e->b, emit_value(i->args[0]), s, lane(e, (uint64_t)i->imm), "");
}

LLVMValueRef emit_vector(emitter *e, const lp_instr *i) {
    switch (i->op) {
    case LP_broadcast:
        return emit_broadcast(e, i);
    case LP_iota:
        return emit_iota(e, i->type);
    case LP_extract:
        return emit_extract(e, i);
    case LP_insert:
        return emit_insert(e, i);
    case LP_shuffle:
        return emit_shuffle(e, i);
    default:
        TL_ASSERT(lp_op_is_reduce(i->op));
        return emit_reduce(e, i);
    }
}
