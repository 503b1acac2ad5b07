/* Emitter: arithmetic, comparisons, bit operations on scalars and vectors.
 *
 *   greater f32x8 %x, %y   fcmp ogt + select: one maxps
 *   max f32x8 %x, %y       the same, and NaN where x is NaN; llvm.maximum would order the zeros too, at twice the price
 * No fast-math flags anywhere: the order of operations is the loop IR's. */
#include "codegen/llvm_emit_internal.h"

#include "ir/base/assert.h"

#include <math.h>

static LLVMValueRef intrinsic1(emitter *e, const char *name, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    return emit_intrinsic(e, name, &t, 1, &x, 1);
}

static LLVMValueRef intrinsic2(emitter *e, const char *name, LLVMValueRef x, LLVMValueRef y) {
    LLVMTypeRef t = LLVMTypeOf(x);
    return emit_intrinsic(e, name, &t, 1, (LLVMValueRef[]){x, y}, 2);
}

/* ---- one operand ---------------------------------------------------------------------------------------------- */

static LLVMValueRef emit_abs(emitter *e, lp_type t, LLVMValueRef x) {
    if (emit_is_float(t.elem)) return intrinsic1(e, "llvm.fabs", x);
    if (!emit_is_signed(t.elem)) return x;
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef wraps = LLVMConstInt(LLVMInt1TypeInContext(e->ctx), 0, false);
    return emit_intrinsic(e, "llvm.abs", &type, 1, (LLVMValueRef[]){x, wraps}, 2);
}

LLVMValueRef emit_unary(emitter *e, lp_op op, lp_type t, LLVMValueRef x) {
    bool is_float = emit_is_float(t.elem);
    switch (op) {
    case LP_neg:
        return is_float ? LLVMBuildFNeg(e->b, x, "") : LLVMBuildNeg(e->b, x, "");
    case LP_abs:
        return emit_abs(e, t, x);
    case LP_not:
        return LLVMBuildNot(e->b, x, "");
    case LP_sqrt:
        return intrinsic1(e, "llvm.sqrt", x);
    case LP_floor:
        return intrinsic1(e, "llvm.floor", x);
    case LP_ceil:
        return intrinsic1(e, "llvm.ceil", x);
    case LP_rint:
        return intrinsic1(e, "llvm.roundeven", x);
    case LP_trunc:
        return intrinsic1(e, "llvm.trunc", x);
    default:
        TL_UNREACHABLE();
    }
}

/* ---- floats --------------------------------------------------------------------------------------------------- */

/* The operand order matters: x86 takes the second where either is NaN or both are zero. */
static LLVMValueRef float_pick(emitter *e, LLVMRealPredicate p, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, p, x, y, ""), x, y, "");
}

/* NaN in y comes out of the pick already. (For NaN in x a constant: were it x itself, LLVM would merge the two selects into more
 * instructions than the one maxps.) */
static LLVMValueRef float_pick_nan(emitter *e, LLVMRealPredicate p, lp_type t, LLVMValueRef x,
                                   LLVMValueRef y) {
    LLVMValueRef is_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
    LLVMValueRef nan = emit_const(e, t, 0, (double)NAN);
    return LLVMBuildSelect(e->b, is_nan, nan, float_pick(e, p, x, y), "");
}

static LLVMValueRef float_bits(emitter *e, lp_op op, lp_type t, LLVMValueRef x, LLVMValueRef y) {
    int bits = t.elem == DT_f64 ? DT_i64 : DT_i32;
    lp_type as_int = {(uint8_t)bits, t.lanes};
    LLVMTypeRef type = emit_type(e, as_int);
    x = LLVMBuildBitCast(e->b, x, type, "");
    y = LLVMBuildBitCast(e->b, y, type, "");
    return LLVMBuildBitCast(e->b, emit_binary(e, op, as_int, x, y), emit_type(e, t), "");
}

static LLVMValueRef emit_float2(emitter *e, lp_op op, lp_type t, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = e->b;
    switch (op) {
    case LP_add:
        return LLVMBuildFAdd(b, x, y, "");
    case LP_sub:
        return LLVMBuildFSub(b, x, y, "");
    case LP_mul:
        return LLVMBuildFMul(b, x, y, "");
    case LP_div:
        return LLVMBuildFDiv(b, x, y, "");
    case LP_rem:
        return LLVMBuildFRem(b, x, y, "");
    case LP_min:
        return float_pick_nan(e, LLVMRealOLT, t, x, y);
    case LP_max:
        return float_pick_nan(e, LLVMRealOGT, t, x, y);
    case LP_lesser:
        return float_pick(e, LLVMRealOLT, x, y);
    case LP_greater:
        return float_pick(e, LLVMRealOGT, x, y);
    case LP_and:
    case LP_or:
    case LP_xor:
        return float_bits(e, op, t, x, y);
    case LP_eq:
        return LLVMBuildFCmp(b, LLVMRealOEQ, x, y, "");
    case LP_ne:
        return LLVMBuildFCmp(b, LLVMRealUNE, x, y, "");
    case LP_lt:
        return LLVMBuildFCmp(b, LLVMRealOLT, x, y, "");
    case LP_le:
        return LLVMBuildFCmp(b, LLVMRealOLE, x, y, "");
    case LP_gt:
        return LLVMBuildFCmp(b, LLVMRealOGT, x, y, "");
    case LP_ge:
        return LLVMBuildFCmp(b, LLVMRealOGE, x, y, "");
    default:
        TL_UNREACHABLE();
    }
}

/* ---- integers and booleans ------------------------------------------------------------------------------------ */

static LLVMValueRef emit_int_compare(emitter *e, lp_op op, bool is_signed, LLVMValueRef x,
                                     LLVMValueRef y) {
    static const LLVMIntPredicate predicates[][2] = {
        [LP_eq - LP_eq] = {LLVMIntEQ, LLVMIntEQ},   [LP_ne - LP_eq] = {LLVMIntNE, LLVMIntNE},
        [LP_lt - LP_eq] = {LLVMIntULT, LLVMIntSLT}, [LP_le - LP_eq] = {LLVMIntULE, LLVMIntSLE},
        [LP_gt - LP_eq] = {LLVMIntUGT, LLVMIntSGT}, [LP_ge - LP_eq] = {LLVMIntUGE, LLVMIntSGE},
    };
    return LLVMBuildICmp(e->b, predicates[op - LP_eq][is_signed], x, y, "");
}

/* Booleans: the algebra of 0 and 1 with saturating sums. */
static LLVMValueRef emit_bool2(emitter *e, lp_op op, LLVMValueRef x, LLVMValueRef y) {
    switch (op) {
    case LP_add:
    case LP_max:
    case LP_greater:
    case LP_or:
        return LLVMBuildOr(e->b, x, y, "");
    case LP_mul:
    case LP_min:
    case LP_lesser:
    case LP_and:
        return LLVMBuildAnd(e->b, x, y, "");
    case LP_xor:
        return LLVMBuildXor(e->b, x, y, "");
    default:
        return emit_int_compare(e, op, false, x, y);
    }
}

static LLVMValueRef emit_int2(emitter *e, lp_op op, bool is_signed, LLVMValueRef x,
                              LLVMValueRef y) {
    LLVMBuilderRef b = e->b;
    switch (op) {
    case LP_add:
        return LLVMBuildAdd(b, x, y, "");
    case LP_sub:
        return LLVMBuildSub(b, x, y, "");
    case LP_mul:
        return LLVMBuildMul(b, x, y, "");
    case LP_div:
        return is_signed ? LLVMBuildSDiv(b, x, y, "") : LLVMBuildUDiv(b, x, y, "");
    case LP_rem:
        return is_signed ? LLVMBuildSRem(b, x, y, "") : LLVMBuildURem(b, x, y, "");
    case LP_min:
    case LP_lesser:
        return intrinsic2(e, is_signed ? "llvm.smin" : "llvm.umin", x, y);
    case LP_max:
    case LP_greater:
        return intrinsic2(e, is_signed ? "llvm.smax" : "llvm.umax", x, y);
    case LP_and:
        return LLVMBuildAnd(b, x, y, "");
    case LP_or:
        return LLVMBuildOr(b, x, y, "");
    case LP_xor:
        return LLVMBuildXor(b, x, y, "");
    case LP_shl:
        return LLVMBuildShl(b, x, y, "");
    case LP_shr:
        return is_signed ? LLVMBuildAShr(b, x, y, "") : LLVMBuildLShr(b, x, y, "");
    default:
        return emit_int_compare(e, op, is_signed, x, y);
    }
}

LLVMValueRef emit_binary(emitter *e, lp_op op, lp_type t, LLVMValueRef x, LLVMValueRef y) {
    if (emit_is_float(t.elem)) return emit_float2(e, op, t, x, y);
    if (t.elem == DT_bool) return emit_bool2(e, op, x, y);
    return emit_int2(e, op, emit_is_signed(t.elem), x, y);
}
