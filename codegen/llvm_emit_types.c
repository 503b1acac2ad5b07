/* Emitter: types, constants, intrinsics; see llvm_emit_internal.h. */
#include "codegen/llvm_emit_internal.h"

#include "ir/base/assert.h"
#include "ir/tensor.h"

LLVMTypeRef emit_elem_type(const emitter *e, int elem) {
    if (elem == LP_PTR) return LLVMPointerTypeInContext(e->ctx, 0);
    if (elem == LP_VOID) return LLVMVoidTypeInContext(e->ctx);
    if (elem == DT_bool) return LLVMInt1TypeInContext(e->ctx);
    if (elem == DT_f32) return LLVMFloatTypeInContext(e->ctx);
    if (elem == DT_f64) return LLVMDoubleTypeInContext(e->ctx);
    uint32_t bits = ir_dtype_bits((ir_dtype)elem);
    return LLVMIntTypeInContext(e->ctx, bits < 8 ? 8 : bits);
}

LLVMTypeRef emit_vector_of(LLVMTypeRef elem, unsigned lanes) {
    return lanes > 1 ? LLVMVectorType(elem, lanes) : elem;
}

LLVMTypeRef emit_type(const emitter *e, lp_type t) {
    return emit_vector_of(emit_elem_type(e, t.elem), t.lanes);
}

LLVMTypeRef emit_memory_type(const emitter *e, lp_type t) {
    if (t.elem != DT_bool) return emit_type(e, t);
    return emit_vector_of(LLVMInt8TypeInContext(e->ctx), t.lanes);
}

LLVMValueRef emit_splat(LLVMValueRef scalar, unsigned lanes) {
    LLVMValueRef values[LP_MAX_LANES];
    TL_ASSERT(lanes <= LP_MAX_LANES);
    if (lanes == 1) return scalar;
    for (unsigned i = 0; i < lanes; i++)
        values[i] = scalar;
    return LLVMConstVector(values, lanes);
}

static unsigned lanes_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 1;
}

LLVMValueRef emit_int(LLVMTypeRef type, uint64_t x) {
    unsigned lanes = lanes_of(type);
    LLVMTypeRef elem = lanes > 1 ? LLVMGetElementType(type) : type;
    return emit_splat(LLVMConstInt(elem, x, false), lanes);
}

LLVMValueRef emit_iota_int(LLVMTypeRef elem, unsigned lanes) {
    LLVMValueRef values[LP_MAX_LANES];
    TL_ASSERT(lanes <= LP_MAX_LANES);
    if (lanes == 1) return LLVMConstInt(elem, 0, false);
    for (unsigned i = 0; i < lanes; i++)
        values[i] = LLVMConstInt(elem, i, false);
    return LLVMConstVector(values, lanes);
}

/* Small floats are kept as bits. */
static LLVMValueRef small_float_const(emitter *e, int elem, double x) {
    uint16_t bits = ir_float_encode((ir_dtype)elem, x, true);
    return LLVMConstInt(emit_elem_type(e, elem), bits, false);
}

/* Newer LLVM insists that the number fits the type unsigned. */
static LLVMValueRef int_const(LLVMTypeRef type, int64_t x) {
    unsigned bits = LLVMGetIntTypeWidth(type);
    uint64_t mask = bits < 64 ? ((uint64_t)1 << bits) - 1 : UINT64_MAX;
    return LLVMConstInt(type, (uint64_t)x & mask, false);
}

LLVMValueRef emit_const(emitter *e, lp_type t, int64_t imm, double fimm) {
    LLVMValueRef scalar;
    if (emit_is_float(t.elem))
        scalar = LLVMConstReal(emit_elem_type(e, t.elem), fimm);
    else if (t.elem < LP_PTR && ir_dtype_is_float((ir_dtype)t.elem))
        scalar = small_float_const(e, t.elem, fimm);
    else
        scalar = int_const(emit_elem_type(e, t.elem), imm);
    return emit_splat(scalar, t.lanes);
}

LLVMValueRef emit_intrinsic(emitter *e, const char *name, LLVMTypeRef *overloads,
                            unsigned n_overloads, LLVMValueRef *args, unsigned n_args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    TL_ASSERT(id != 0);
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, overloads, n_overloads);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->ctx, id, overloads, n_overloads);
    return LLVMBuildCall2(e->b, type, f, args, n_args, "");
}
