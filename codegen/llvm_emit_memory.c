/* Emitter: loads, stores and their masked and indexed forms.
 *
 *   load_masked f32x8 %p[%i], %n      llvm.masked.load with the mask (0, 1, ... 7) < n
 *
 * LLVM 22 moved the alignment of the masked intrinsics from an operand to an attribute of the pointer: which form the library at hand
 * has is read from the intrinsic's own type. */
#include "codegen/llvm_emit_internal.h"

#include "ir/base/assert.h"

static uint32_t elem_bytes(lp_type t) {
    uint32_t bits = t.elem == LP_PTR ? 64 : ir_dtype_bits((ir_dtype)t.elem);
    return bits < 8 ? 1 : bits / 8;
}

/* Complex numbers and strings are aligned as their two parts. */
static unsigned alignment(const lp_instr *i) {
    return i->imm ? (unsigned)i->imm : elem_bytes(i->type) / (lp_is_moved(i->type) ? 2 : 1);
}

static LLVMValueRef to_memory(emitter *e, lp_type t, LLVMValueRef x) {
    return t.elem == DT_bool ? LLVMBuildZExt(e->b, x, emit_memory_type(e, t), "") : x;
}

/* Any byte but 0 is true: callers' buffers are not trusted to hold 1. */
static LLVMValueRef from_memory(emitter *e, lp_type t, LLVMValueRef x) {
    if (t.elem != DT_bool) return x;
    return LLVMBuildICmp(e->b, LLVMIntNE, x, emit_int(LLVMTypeOf(x), 0), "");
}

/* Pointer, or vector of pointers where the index is a vector. */
static LLVMValueRef address(emitter *e, const lp_instr *i) {
    LLVMTypeRef elem = emit_memory_type(e, lp_scalar(i->type.elem));
    LLVMValueRef index = emit_value(i->args[1]);
    return LLVMBuildGEP2(e->b, elem, emit_value(i->args[0]), &index, 1, "");
}

static LLVMValueRef lanes_of(emitter *e, const lp_instr *i) {
    return LLVMConstInt(LLVMInt64TypeInContext(e->ctx), i->type.lanes, false);
}

static LLVMValueRef emit_load(emitter *e, const lp_instr *i) {
    LLVMTypeRef type = emit_memory_type(e, i->type);
    LLVMValueRef p = address(e, i);
    emit_watch(e, false, p, lanes_of(e, i), elem_bytes(i->type));
    LLVMValueRef x = LLVMBuildLoad2(e->b, type, p, "");
    LLVMSetAlignment(x, alignment(i));
    return from_memory(e, i->type, x);
}

static void emit_store(emitter *e, const lp_instr *i) {
    LLVMValueRef x = to_memory(e, i->type, emit_value(i->args[2])), p = address(e, i);
    emit_watch(e, true, p, lanes_of(e, i), elem_bytes(i->type));
    LLVMSetAlignment(LLVMBuildStore(e->b, x, p), alignment(i));
}

/* ---- masked --------------------------------------------------------------------------------------------------- */

static LLVMValueRef clamp(emitter *e, LLVMValueRef n, unsigned lanes) {
    LLVMTypeRef i64 = LLVMInt64TypeInContext(e->ctx);
    LLVMValueRef low = LLVMConstInt(i64, 0, false), high = LLVMConstInt(i64, lanes, false);
    n = emit_intrinsic(e, "llvm.smax", &i64, 1, (LLVMValueRef[]){n, low}, 2);
    return emit_intrinsic(e, "llvm.smin", &i64, 1, (LLVMValueRef[]){n, high}, 2);
}

/* Lane < n, compared in integers as wide as the elements so that the mask needs no conversion. */
static LLVMValueRef lanes_below(emitter *e, LLVMValueRef n, lp_type t) {
    bool wide = elem_bytes(t) == 8;
    LLVMTypeRef elem = wide ? LLVMInt64TypeInContext(e->ctx) : LLVMInt32TypeInContext(e->ctx);
    LLVMTypeRef type = emit_vector_of(elem, t.lanes);
    n = LLVMBuildIntCast2(e->b, clamp(e, n, t.lanes), elem, false, "");
    LLVMValueRef zero = LLVMConstInt(LLVMInt32TypeInContext(e->ctx), 0, false);
    LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), n, zero, "");
    LLVMValueRef all = LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type),
                                              emit_splat(zero, t.lanes), "");
    return LLVMBuildICmp(e->b, LLVMIntSLT, emit_iota_int(elem, t.lanes), all, "");
}

/* args: as for LLVM 22, the pointer at position `ptr`; older libraries get the alignment behind it. */
static LLVMValueRef masked_call(emitter *e, const char *name, LLVMTypeRef *overloads,
                                LLVMValueRef *args, unsigned n_args, unsigned ptr, unsigned align) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef type = LLVMIntrinsicGetType(e->ctx, id, overloads, 2);
    LLVMValueRef with_align[5];
    if (LLVMCountParamTypes(type) > n_args) {
        unsigned n = 0;
        for (unsigned k = 0; k < n_args; k++) {
            with_align[n++] = args[k];
            if (k == ptr) with_align[n++] = LLVMConstInt(LLVMInt32TypeInContext(e->ctx), align, 0);
        }
        return emit_intrinsic(e, name, overloads, 2, with_align, n);
    }
    LLVMValueRef call = emit_intrinsic(e, name, overloads, 2, args, n_args);
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddCallSiteAttribute(call, ptr + 1, LLVMCreateEnumAttribute(e->ctx, kind, align));
    return call;
}

/* A scalar with a mask is a branch: the loop IR has it for uniformity, lowering does not use it in hot code. */
static LLVMValueRef as_vector_of_one(emitter *e, LLVMValueRef x) {
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(x), 1);
    LLVMValueRef zero = LLVMConstInt(LLVMInt32TypeInContext(e->ctx), 0, false);
    return LLVMBuildInsertElement(e->b, LLVMGetPoison(type), x, zero, "");
}

static LLVMValueRef first_lane(emitter *e, LLVMValueRef x) {
    LLVMValueRef zero = LLVMConstInt(LLVMInt32TypeInContext(e->ctx), 0, false);
    return LLVMBuildExtractElement(e->b, x, zero, "");
}

static LLVMValueRef scalar_mask(emitter *e, LLVMValueRef n) {
    LLVMValueRef zero = LLVMConstInt(LLVMInt64TypeInContext(e->ctx), 0, false);
    return as_vector_of_one(e, LLVMBuildICmp(e->b, LLVMIntSGT, n, zero, ""));
}

static LLVMValueRef emit_load_masked(emitter *e, const lp_instr *i) {
    bool scalar = i->type.lanes == 1;
    LLVMValueRef n = emit_value(i->args[2]), p = address(e, i);
    LLVMTypeRef type = emit_memory_type(e, i->type);
    if (scalar) type = LLVMVectorType(type, 1);
    LLVMValueRef mask = scalar ? scalar_mask(e, n) : lanes_below(e, n, i->type);
    LLVMTypeRef overloads[2] = {type, LLVMTypeOf(p)};
    emit_watch(e, false, p, clamp(e, n, i->type.lanes), elem_bytes(i->type));
    LLVMValueRef args[3] = {p, mask, LLVMConstNull(type)};
    LLVMValueRef x = masked_call(e, "llvm.masked.load", overloads, args, 3, 0, alignment(i));
    return from_memory(e, i->type, scalar ? first_lane(e, x) : x);
}

static void emit_store_masked(emitter *e, const lp_instr *i) {
    bool scalar = i->type.lanes == 1;
    LLVMValueRef n = emit_value(i->args[3]), p = address(e, i);
    LLVMValueRef x = to_memory(e, i->type, emit_value(i->args[2]));
    if (scalar) x = as_vector_of_one(e, x);
    LLVMValueRef mask = scalar ? scalar_mask(e, n) : lanes_below(e, n, i->type);
    LLVMTypeRef overloads[2] = {LLVMTypeOf(x), LLVMTypeOf(p)};
    emit_watch(e, true, p, clamp(e, n, i->type.lanes), elem_bytes(i->type));
    masked_call(e, "llvm.masked.store", overloads, (LLVMValueRef[]){x, p, mask}, 3, 1,
                alignment(i));
}

/* ---- indexed -------------------------------------------------------------------------------------------------- */

static LLVMValueRef all_true(emitter *e, unsigned lanes) {
    return emit_splat(LLVMConstInt(LLVMInt1TypeInContext(e->ctx), 1, false), lanes);
}

static LLVMValueRef emit_gather(emitter *e, const lp_instr *i) {
    if (i->type.lanes == 1) return emit_load(e, i);
    LLVMValueRef p = address(e, i);
    LLVMTypeRef type = emit_memory_type(e, i->type);
    LLVMTypeRef overloads[2] = {type, LLVMTypeOf(p)};
    emit_watch_lanes(e, false, p, i->type.lanes, elem_bytes(i->type));
    LLVMValueRef args[3] = {p, all_true(e, i->type.lanes), LLVMGetPoison(type)};
    LLVMValueRef x = masked_call(e, "llvm.masked.gather", overloads, args, 3, 0, alignment(i));
    return from_memory(e, i->type, x);
}

/* LLVM orders the stores of a scatter from the first lane to the last. */
static void emit_scatter(emitter *e, const lp_instr *i) {
    if (i->type.lanes == 1) {
        emit_store(e, i);
        return;
    }
    LLVMValueRef p = address(e, i), x = to_memory(e, i->type, emit_value(i->args[2]));
    LLVMTypeRef overloads[2] = {LLVMTypeOf(x), LLVMTypeOf(p)};
    emit_watch_lanes(e, true, p, i->type.lanes, elem_bytes(i->type));
    LLVMValueRef args[3] = {x, p, all_true(e, i->type.lanes)};
    masked_call(e, "llvm.masked.scatter", overloads, args, 3, 1, alignment(i));
}

/* ---- pointers ------------------------------------------------------------------------------------------------- */

static LLVMValueRef byte_offset(emitter *e, const lp_instr *i) {
    LLVMValueRef offset = emit_value(i->args[1]);
    LLVMTypeRef i8 = LLVMInt8TypeInContext(e->ctx);
    return LLVMBuildGEP2(e->b, i8, emit_value(i->args[0]), &offset, 1, "");
}

/* In the entry block, wherever it stands: once per function, not once per turn of a loop. */
static LLVMValueRef emit_alloca(emitter *e, const lp_instr *i) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMPositionBuilderBefore(e->b, LLVMGetBasicBlockTerminator(e->entry));
    LLVMTypeRef bytes = LLVMArrayType2(LLVMInt8TypeInContext(e->ctx), (uint64_t)i->imm);
    LLVMValueRef p = LLVMBuildAlloca(e->b, bytes, "");
    LLVMSetAlignment(p, 64);
    LLVMPositionBuilderAtEnd(e->b, here);
    return p;
}

static void emit_prefetch(emitter *e, const lp_instr *i) {
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->ctx);
    LLVMValueRef p = byte_offset(e, i);
    LLVMTypeRef type = LLVMTypeOf(p);
    LLVMValueRef args[4] = {p, LLVMConstInt(i32, 0, 0), LLVMConstInt(i32, 2, 0),
                            LLVMConstInt(i32, 1, 0)}; /* read, second level, data */
    emit_intrinsic(e, "llvm.prefetch", &type, 1, args, 4);
}

LLVMValueRef emit_memory(emitter *e, const lp_instr *i) {
    switch (i->op) {
    case LP_load:
        return emit_load(e, i);
    case LP_load_masked:
        return emit_load_masked(e, i);
    case LP_gather:
        return emit_gather(e, i);
    case LP_ptr_add:
        return byte_offset(e, i);
    case LP_alloca:
        return emit_alloca(e, i);
    case LP_store:
        emit_store(e, i);
        return NULL;
    case LP_store_masked:
        emit_store_masked(e, i);
        return NULL;
    case LP_scatter:
        emit_scatter(e, i);
        return NULL;
    case LP_prefetch:
        emit_prefetch(e, i);
        return NULL;
    default:
        TL_UNREACHABLE(); /* buffer: placement has replaced it */
    }
}
