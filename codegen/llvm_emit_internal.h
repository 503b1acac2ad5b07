/* Shared by the files of the emitter: state, types, small builders. Values are LLVM values of the representation below.
 *
 *   loop IR     register                     memory
 *   bool        i1                           i8, 0 or 1
 *   f16, bf16   i16: the bits; only casts    i16
 *               look inside
 *   f8..., f4.. i8: the bits                 i8
 *   i4, u2, ... i8: the value                i8: one element per byte
 *   integers    iN, sign by operation        iN */
#ifndef TLBC_CODEGEN_LLVM_EMIT_INTERNAL_H
#define TLBC_CODEGEN_LLVM_EMIT_INTERNAL_H

#include "codegen/llvm_emit.h"

typedef struct emitter {
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMValueRef func;
    LLVMBasicBlockRef entry; /* holds the allocas; jumps to the body */
    tl_arena *arena;         /* of the loop module: argument arrays */
    const llvm_emit_options *options;
    struct llvm_debug *debug; /* NULL: none */
} emitter;

/* Types. */
LLVMTypeRef emit_elem_type(const emitter *e, int elem);
LLVMTypeRef emit_type(const emitter *e, lp_type t);
LLVMTypeRef emit_vector_of(LLVMTypeRef elem, unsigned lanes); /* lanes 1: elem */
LLVMTypeRef emit_memory_type(const emitter *e, lp_type t);

static inline LLVMValueRef emit_value(const lp_value *v) {
    return (LLVMValueRef)v->scratch;
}
static inline bool emit_is_float(int elem) {
    return elem == DT_f32 || elem == DT_f64;
}
static inline bool emit_is_signed(int elem) {
    return elem < LP_PTR && ir_dtype_is_signed((ir_dtype)elem);
}

/* Constants: splats. */
LLVMValueRef emit_splat(LLVMValueRef scalar, unsigned lanes);
LLVMValueRef emit_int(LLVMTypeRef type, uint64_t x); /* in all lanes of an integer type */
LLVMValueRef emit_const(emitter *e, lp_type t, int64_t imm, double fimm);
LLVMValueRef emit_iota_int(LLVMTypeRef elem, unsigned lanes);

/* name: "llvm.fma"; overloads: the types it is overloaded on. */
LLVMValueRef emit_intrinsic(emitter *e, const char *name, LLVMTypeRef *overloads,
                            unsigned n_overloads, LLVMValueRef *args, unsigned n_args);

/* Families of instructions; each returns the result, or NULL where there is none. */
LLVMValueRef emit_unary(emitter *e, lp_op op, lp_type t, LLVMValueRef x);
LLVMValueRef emit_binary(emitter *e, lp_op op, lp_type t, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef emit_vector(emitter *e, const lp_instr *i);
LLVMValueRef emit_fma(emitter *e, const lp_instr *i);
LLVMValueRef emit_memory(emitter *e, const lp_instr *i);
/* Nothing, or calls that tell ThreadSanitizer of an access: to `elements` elements from p on, to one at each of several pointers. */
void emit_watch(emitter *e, bool write, LLVMValueRef p, LLVMValueRef elements, uint32_t bytes);
void emit_watch_lanes(emitter *e, bool write, LLVMValueRef pointers, unsigned lanes,
                      uint32_t bytes);
LLVMValueRef emit_lookup(emitter *e, unsigned lanes, LLVMValueRef *args);
LLVMValueRef emit_pair_sums(emitter *e, unsigned lanes, LLVMValueRef *args);
LLVMValueRef emit_dot2(emitter *e, unsigned lanes, LLVMValueRef *args);
LLVMValueRef emit_dot4(emitter *e, bool narrow, unsigned lanes, LLVMValueRef *args);
LLVMValueRef emit_cast(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes);
LLVMValueRef emit_bitcast(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes);

/* Floats of a byte or less, as their bits; the value in the low bits of a byte made one of the type (llvm_emit_narrow.c). */
LLVMValueRef emit_narrow_to_f32(emitter *e, LLVMValueRef x, int from, unsigned lanes);
LLVMValueRef emit_f32_to_narrow(emitter *e, LLVMValueRef x, int to, unsigned lanes);
LLVMValueRef emit_wrap_byte(emitter *e, LLVMValueRef x, int to, unsigned lanes);

#endif
