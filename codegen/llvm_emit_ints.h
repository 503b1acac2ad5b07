/* Integer arithmetic on the bits of floats, in the emitter's conversions: each helper works in one integer type, a vector or not. */
#ifndef TLBC_CODEGEN_LLVM_EMIT_INTS_H
#define TLBC_CODEGEN_LLVM_EMIT_INTS_H

#include "codegen/llvm_emit_internal.h"

typedef struct ints {
    emitter *e;
    LLVMTypeRef type; /* integers the algorithm works in */
} ints;

static inline LLVMValueRef k_and(ints s, LLVMValueRef x, uint64_t c) {
    return LLVMBuildAnd(s.e->b, x, emit_int(s.type, c), "");
}
static inline LLVMValueRef k_or(ints s, LLVMValueRef x, uint64_t c) {
    return LLVMBuildOr(s.e->b, x, emit_int(s.type, c), "");
}
static inline LLVMValueRef k_add(ints s, LLVMValueRef x, uint64_t c) {
    return LLVMBuildAdd(s.e->b, x, emit_int(s.type, c), "");
}
static inline LLVMValueRef k_shl(ints s, LLVMValueRef x, unsigned n) {
    return LLVMBuildShl(s.e->b, x, emit_int(s.type, n), "");
}
static inline LLVMValueRef k_shr(ints s, LLVMValueRef x, unsigned n) {
    return LLVMBuildLShr(s.e->b, x, emit_int(s.type, n), "");
}
static inline LLVMValueRef k_above(ints s, LLVMValueRef x, uint64_t c) {
    return LLVMBuildICmp(s.e->b, LLVMIntUGT, x, emit_int(s.type, c), "");
}
static inline LLVMValueRef pick(ints s, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(s.e->b, c, x, y, "");
}

static inline LLVMTypeRef f32_type(emitter *e, unsigned lanes) {
    return emit_type(e, lp_vec(DT_f32, lanes));
}
static inline LLVMTypeRef int_type(emitter *e, unsigned bits, unsigned lanes) {
    return emit_vector_of(LLVMIntTypeInContext(e->ctx, bits), lanes);
}

#endif
