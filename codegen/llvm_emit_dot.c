/* Emitter: products of bytes, four to a lane, the inner step of integer matrix products.
 *
 *   dot4 i32x8 %x, %w, %sum     with VNNI     vpdpbusd
 *                               with AVX2     bytes 0 and 2, then 1 and 3, as pairs of 16 bits: two vpmaddwd, two vpaddd
 *   dot2 i32x8 %x, %w, %sum     with AVX2     vpmaddwd, vpaddd
 *   dot4n i32x8 %x, %w, %sum    with AVX2     vpmaddubsw, vpmaddwd by ones, vpaddd; else as dot4
 *   pairs i16x16 %x, %w         with AVX2     vpmaddubsw
 *
 * x holds unsigned bytes, w signed ones. No intermediate result of dot4 saturates (which vpmaddubsw would do): a pair of products is below
 * 2^17. Who writes dot4n or pairs has seen that all weights are small enough for that instruction.
 * Splitting x and w is written once per use; LLVM keeps one copy of equal ones. */
#include "codegen/llvm_emit_ints.h"

static bool is_x86(const emitter *e) {
    return strncmp(e->options->target->triple, "x86_64", 6) == 0;
}

/* Name of the instruction for vectors of so many lanes; NULL: there is none. */
static const char *vnni_name(const emitter *e, unsigned lanes) {
    if (!is_x86(e) || !e->options->target->has_vnni) return NULL;
    return lanes == 4    ? "llvm.x86.avx512.vpdpbusd.128"
           : lanes == 8  ? "llvm.x86.avx512.vpdpbusd.256"
           : lanes == 16 ? "llvm.x86.avx512.vpdpbusd.512"
                         : NULL;
}

static const char *pairs_name(const emitter *e, unsigned lanes) {
    unsigned most = e->options->target->lanes_f32;
    if (!is_x86(e) || lanes > most) return NULL;
    return lanes == 4    ? "llvm.x86.sse2.pmadd.wd"
           : lanes == 8  ? "llvm.x86.avx2.pmadd.wd"
           : lanes == 16 ? "llvm.x86.avx512.pmaddw.d.512"
                         : NULL;
}

/* Newer LLVM gives the bytes their own type. */
static LLVMValueRef emit_vnni(emitter *e, const char *name, LLVMValueRef x, LLVMValueRef w,
                              LLVMValueRef sum) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef params[3];
    LLVMGetParamTypes(LLVMIntrinsicGetType(e->ctx, id, NULL, 0), params);
    LLVMValueRef args[3] = {sum, LLVMBuildBitCast(e->b, x, params[1], ""),
                            LLVMBuildBitCast(e->b, w, params[2], "")};
    return emit_intrinsic(e, name, NULL, 0, args, 3);
}

static LLVMValueRef emit_pairs(emitter *e, const char *name, LLVMValueRef x, LLVMValueRef w,
                               LLVMValueRef sum, unsigned lanes) {
    LLVMTypeRef i16 = int_type(e, 16, 2 * lanes);
    ints s = {e, i16};
    x = LLVMBuildBitCast(e->b, x, i16, "");
    w = LLVMBuildBitCast(e->b, w, i16, "");
    LLVMValueRef eight = emit_int(i16, 8);
    LLVMValueRef even[2] = {k_and(s, x, 0xff), LLVMBuildAShr(e->b, k_shl(s, w, 8), eight, "")};
    LLVMValueRef odd[2] = {k_shr(s, x, 8), LLVMBuildAShr(e->b, w, eight, "")};
    sum = LLVMBuildAdd(e->b, sum, emit_intrinsic(e, name, NULL, 0, even, 2), "");
    return LLVMBuildAdd(e->b, sum, emit_intrinsic(e, name, NULL, 0, odd, 2), "");
}

static const char *narrow_name(const emitter *e, unsigned lanes) {
    if (!pairs_name(e, lanes) || e->options->target->lanes_f32 < 8) return NULL;
    return lanes == 4   ? "llvm.x86.ssse3.pmadd.ub.sw.128"
           : lanes == 8 ? "llvm.x86.avx2.pmadd.ub.sw"
                        : "llvm.x86.avx512.pmaddubs.w.512";
}

LLVMValueRef emit_pair_sums(emitter *e, unsigned lanes, LLVMValueRef *args) {
    if (narrow_name(e, lanes)) {
        LLVMTypeRef i8 = int_type(e, 8, 4 * lanes);
        LLVMValueRef bytes[2] = {LLVMBuildBitCast(e->b, args[0], i8, ""),
                                 LLVMBuildBitCast(e->b, args[1], i8, "")};
        return emit_intrinsic(e, narrow_name(e, lanes), NULL, 0, bytes, 2);
    }
    LLVMTypeRef i16 = int_type(e, 16, 2 * lanes);
    LLVMValueRef x = LLVMBuildBitCast(e->b, args[0], i16, ""),
                 w = LLVMBuildBitCast(e->b, args[1], i16, ""), eight = emit_int(i16, 8);
    ints s = {e, i16};
    LLVMValueRef low = LLVMBuildMul(e->b, k_and(s, x, 0xff),
                                    LLVMBuildAShr(e->b, k_shl(s, w, 8), eight, ""), "");
    LLVMValueRef high = LLVMBuildMul(e->b, k_shr(s, x, 8), LLVMBuildAShr(e->b, w, eight, ""), "");
    return LLVMBuildAdd(e->b, low, high, "");
}

static LLVMValueRef emit_narrow(emitter *e, LLVMValueRef *args, unsigned lanes) {
    LLVMValueRef pairs[2] = {emit_pair_sums(e, lanes, args),
                             emit_int(int_type(e, 16, 2 * lanes), 1)};
    return LLVMBuildAdd(e->b, args[2], emit_intrinsic(e, pairs_name(e, lanes), NULL, 0, pairs, 2),
                        "");
}

/* Byte by byte, in lanes of 32 bits: scalars, and machines without either instruction. */
static LLVMValueRef emit_bytes(emitter *e, LLVMValueRef x, LLVMValueRef w, LLVMValueRef sum) {
    ints s = {e, LLVMTypeOf(x)};
    LLVMValueRef top = emit_int(s.type, 24);
    for (unsigned j = 0; j < 4; j++) {
        LLVMValueRef a = k_and(s, k_shr(s, x, 8 * j), 0xff);
        LLVMValueRef b = LLVMBuildAShr(e->b, k_shl(s, w, 24 - 8 * j), top, "");
        sum = LLVMBuildAdd(e->b, sum, LLVMBuildMul(e->b, a, b, ""), "");
    }
    return sum;
}

LLVMValueRef emit_dot4(emitter *e, bool narrow, unsigned lanes, LLVMValueRef *args) {
    LLVMValueRef x = args[0], w = args[1], sum = args[2];
    const char *vnni = vnni_name(e, lanes), *pairs = pairs_name(e, lanes);
    if (vnni) return emit_vnni(e, vnni, x, w, sum);
    if (narrow && narrow_name(e, lanes)) return emit_narrow(e, args, lanes);
    return pairs ? emit_pairs(e, pairs, x, w, sum, lanes) : emit_bytes(e, x, w, sum);
}

LLVMValueRef emit_dot2(emitter *e, unsigned lanes, LLVMValueRef *args) {
    const char *pairs = pairs_name(e, lanes);
    LLVMValueRef x = args[0], w = args[1];
    if (pairs) {
        LLVMTypeRef i16 = int_type(e, 16, 2 * lanes);
        LLVMValueRef in[2] = {LLVMBuildBitCast(e->b, x, i16, ""),
                              LLVMBuildBitCast(e->b, w, i16, "")};
        return LLVMBuildAdd(e->b, args[2], emit_intrinsic(e, pairs, NULL, 0, in, 2), "");
    }
    ints s = {e, LLVMTypeOf(x)};
    LLVMValueRef half = emit_int(s.type, 16);
    LLVMValueRef low = LLVMBuildMul(e->b, LLVMBuildAShr(e->b, k_shl(s, x, 16), half, ""),
                                    LLVMBuildAShr(e->b, k_shl(s, w, 16), half, ""), "");
    LLVMValueRef high = LLVMBuildMul(e->b, LLVMBuildAShr(e->b, x, half, ""),
                                     LLVMBuildAShr(e->b, w, half, ""), "");
    return LLVMBuildAdd(e->b, args[2], LLVMBuildAdd(e->b, low, high, ""), "");
}
