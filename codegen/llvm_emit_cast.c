/* Emitter: conversions between element types, one rounding each.
 *
 *   cast i32x8 %f32      clamp, vcvttps2dq, and two selects: saturates, NaN gives 0
 *   cast f16x8 %f32      vcvtps2ph where the machine has F16C, else integer arithmetic
 *   cast bf16x8 %f32     integer arithmetic: add half of the last place, ties to even
 *   cast i4x8 %i32       the low four bits, sign extended in a byte
 *
 * f16 and bf16 are i16 values here; for the floats of a byte or less see llvm_emit_narrow.c. Everything goes through f32, except f64 to them, which first rounds to odd so that the second
 * rounding sees what the first one dropped. No conversion calls a library function. */
#include "codegen/llvm_emit_ints.h"

#include <math.h>

static bool is_small_float(int elem) {
    return ir_dtype_is_float((ir_dtype)elem) && ir_dtype_bits((ir_dtype)elem) <= 16;
}

static bool is_packed_int(int elem) {
    return elem < LP_PTR && ir_dtype_is_int((ir_dtype)elem) && ir_dtype_bits((ir_dtype)elem) < 8;
}

static int byte_type(int elem) {
    return emit_is_signed(elem) ? DT_i8 : DT_u8;
}

/* ---- bf16 ----------------------------------------------------------------------------------------------------- */

static LLVMValueRef bf16_to_f32(emitter *e, LLVMValueRef x, unsigned lanes) {
    ints s = {e, int_type(e, 32, lanes)};
    LLVMValueRef wide = k_shl(s, LLVMBuildZExt(e->b, x, s.type, ""), 16);
    return LLVMBuildBitCast(e->b, wide, f32_type(e, lanes), "");
}

/* Half a unit of the last kept place, less one, plus the last kept bit: ties go to even. A NaN keeps its high bits and is made quiet. */
static LLVMValueRef f32_to_bf16(emitter *e, LLVMValueRef x, unsigned lanes) {
    ints s = {e, int_type(e, 32, lanes)};
    LLVMValueRef u = LLVMBuildBitCast(e->b, x, s.type, "");
    LLVMValueRef odd = k_and(s, k_shr(s, u, 16), 1);
    LLVMValueRef rounded = LLVMBuildAdd(e->b, k_add(s, u, 0x7fff), odd, "");
    LLVMValueRef is_nan = k_above(s, k_and(s, u, 0x7fffffff), 0x7f800000);
    LLVMValueRef r = pick(s, is_nan, k_or(s, u, 0x00400000), rounded);
    return LLVMBuildTrunc(e->b, k_shr(s, r, 16), int_type(e, 16, lanes), "");
}

/* ---- f16 ------------------------------------------------------------------------------------------------------ */

/* Exponents move by 112 = 127 - 15. Infinity and NaN move by as much again; denormals come out of a subtraction that normalises. */
static LLVMValueRef f16_bits_to_f32(emitter *e, LLVMValueRef x, unsigned lanes) {
    ints s = {e, int_type(e, 32, lanes)};
    LLVMTypeRef f32 = f32_type(e, lanes);
    LLVMValueRef u = LLVMBuildZExt(e->b, x, s.type, "");
    LLVMValueRef sign = k_shl(s, k_and(s, u, 0x8000), 16);
    LLVMValueRef magnitude = k_shl(s, k_and(s, u, 0x7fff), 13);
    LLVMValueRef normal = k_add(s, magnitude, 112u << 23);
    LLVMValueRef special = k_add(s, magnitude, 224u << 23);
    LLVMValueRef tiny = LLVMBuildBitCast(e->b, k_add(s, magnitude, 113u << 23), f32, "");
    LLVMValueRef least = LLVMBuildBitCast(e->b, emit_int(s.type, 113u << 23), f32, "");
    tiny = LLVMBuildBitCast(e->b, LLVMBuildFSub(e->b, tiny, least, ""), s.type, "");
    LLVMValueRef r = pick(s, k_above(s, magnitude, 0x0f7fffff), special, normal);
    r = pick(s, k_above(s, magnitude, 0x007fffff), r, tiny);
    return LLVMBuildBitCast(e->b, LLVMBuildOr(e->b, r, sign, ""), f32, "");
}

/* Values that become denormal: adding 0.5 puts their last place where f32 rounds. */
static LLVMValueRef round_denormal(emitter *e, ints s, LLVMValueRef magnitude, unsigned lanes) {
    LLVMTypeRef f32 = f32_type(e, lanes);
    LLVMValueRef half = LLVMBuildBitCast(e->b, emit_int(s.type, 126u << 23), f32, "");
    LLVMValueRef x = LLVMBuildBitCast(e->b, magnitude, f32, "");
    LLVMValueRef sum = LLVMBuildBitCast(e->b, LLVMBuildFAdd(e->b, x, half, ""), s.type, "");
    return LLVMBuildSub(e->b, sum, emit_int(s.type, 126u << 23), "");
}

static LLVMValueRef f32_to_f16_bits(emitter *e, LLVMValueRef x, unsigned lanes) {
    ints s = {e, int_type(e, 32, lanes)};
    LLVMValueRef u = LLVMBuildBitCast(e->b, x, s.type, "");
    LLVMValueRef magnitude = k_and(s, u, 0x7fffffff);
    LLVMValueRef sign = k_and(s, k_shr(s, u, 16), 0x8000);
    LLVMValueRef odd = k_and(s, k_shr(s, u, 13), 1);
    LLVMValueRef normal = k_add(s, magnitude, (uint32_t)0xfff - (112u << 23));
    normal = k_shr(s, LLVMBuildAdd(e->b, normal, odd, ""), 13);
    LLVMValueRef is_nan = k_above(s, magnitude, 0x7f800000);
    LLVMValueRef special = pick(s, is_nan, emit_int(s.type, 0x7e00), emit_int(s.type, 0x7c00));
    LLVMValueRef r = pick(s, k_above(s, magnitude, (113u << 23) - 1), normal,
                          round_denormal(e, s, magnitude, lanes));
    r = pick(s, k_above(s, magnitude, 0x477fffff), special, r);
    return LLVMBuildTrunc(e->b, LLVMBuildOr(e->b, r, sign, ""), int_type(e, 16, lanes), "");
}

static LLVMValueRef f16_to_f32(emitter *e, LLVMValueRef x, unsigned lanes) {
    if (!e->options->target->has_f16c) return f16_bits_to_f32(e, x, lanes);
    LLVMTypeRef half = emit_vector_of(LLVMHalfTypeInContext(e->ctx), lanes);
    return LLVMBuildFPExt(e->b, LLVMBuildBitCast(e->b, x, half, ""), f32_type(e, lanes), "");
}

static LLVMValueRef f32_to_f16(emitter *e, LLVMValueRef x, unsigned lanes) {
    if (!e->options->target->has_f16c) return f32_to_f16_bits(e, x, lanes);
    LLVMTypeRef half = emit_vector_of(LLVMHalfTypeInContext(e->ctx), lanes);
    LLVMValueRef h = LLVMBuildFPTrunc(e->b, x, half, "");
    return LLVMBuildBitCast(e->b, h, int_type(e, 16, lanes), "");
}

/* ---- through f32 ---------------------------------------------------------------------------------------------- */

static LLVMValueRef small_to_f32(emitter *e, LLVMValueRef x, int from, unsigned lanes) {
    if (ir_dtype_bits((ir_dtype)from) <= 8) return emit_narrow_to_f32(e, x, from, lanes);
    return from == DT_f16 ? f16_to_f32(e, x, lanes) : bf16_to_f32(e, x, lanes);
}

static LLVMValueRef f32_to_small(emitter *e, LLVMValueRef x, int to, unsigned lanes) {
    if (ir_dtype_bits((ir_dtype)to) <= 8) return emit_f32_to_narrow(e, x, to, lanes);
    return to == DT_f16 ? f32_to_f16(e, x, lanes) : f32_to_bf16(e, x, lanes);
}

/* f64 to f32 rounded to odd: toward zero, and the last bit set where anything was dropped. */
static LLVMValueRef f64_to_odd_f32(emitter *e, LLVMValueRef x, unsigned lanes) {
    ints s = {e, int_type(e, 32, lanes)};
    LLVMTypeRef f64 = LLVMTypeOf(x), f32 = f32_type(e, lanes);
    LLVMValueRef near = LLVMBuildFPTrunc(e->b, x, f32, "");
    LLVMValueRef back = LLVMBuildFPExt(e->b, near, f64, "");
    LLVMValueRef abs_back = emit_unary(e, LP_abs, lp_vec(DT_f64, lanes), back);
    LLVMValueRef abs_x = emit_unary(e, LP_abs, lp_vec(DT_f64, lanes), x);
    LLVMValueRef went_up = LLVMBuildFCmp(e->b, LLVMRealOGT, abs_back, abs_x, "");
    LLVMValueRef inexact = LLVMBuildFCmp(e->b, LLVMRealUNE, back, x, "");
    LLVMValueRef u = LLVMBuildBitCast(e->b, near, s.type, "");
    u = LLVMBuildSub(e->b, u, LLVMBuildZExt(e->b, went_up, s.type, ""), "");
    u = LLVMBuildOr(e->b, u, LLVMBuildZExt(e->b, inexact, s.type, ""), "");
    return LLVMBuildBitCast(e->b, u, f32, "");
}

/* ---- plain conversions ---------------------------------------------------------------------------------------- */

static LLVMValueRef to_bool(emitter *e, LLVMValueRef x, int from) {
    LLVMTypeRef type = LLVMTypeOf(x);
    if (emit_is_float(from)) return LLVMBuildFCmp(e->b, LLVMRealUNE, x, LLVMConstNull(type), "");
    return LLVMBuildICmp(e->b, LLVMIntNE, x, LLVMConstNull(type), "");
}

/* Bounds of an integer type: as real numbers the float can hold, rounded toward zero. */
typedef struct int_range {
    double low, high;
    uint64_t max;
    bool high_is_exact;
} int_range;

static int_range range_of(int to, int from) {
    unsigned bits = ir_dtype_bits((ir_dtype)to), value_bits = bits - emit_is_signed(to);
    unsigned precision = from == DT_f32 ? 24 : 53;
    int_range r = {.low = emit_is_signed(to) ? -ldexp(1, (int)value_bits) : 0};
    r.max = UINT64_MAX >> (64 - value_bits);
    r.high_is_exact = value_bits <= precision;
    r.high = ldexp(1, (int)value_bits) -
             (r.high_is_exact ? 1 : ldexp(1, (int)(value_bits - precision)));
    return r;
}

/* Clamps, converts, and puts right what clamping cannot say: the largest integer, and NaN. LLVM's own saturating conversion does the
 * same one lane at a time. */
static LLVMValueRef floats_to_ints(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes) {
    lp_type ft = lp_vec(from, lanes);
    int_range range = range_of(to, from);
    LLVMTypeRef type = emit_type(e, lp_vec(to, lanes));
    LLVMValueRef low = emit_const(e, ft, 0, range.low), high = emit_const(e, ft, 0, range.high);
    LLVMValueRef in = emit_binary(e, LP_lesser, ft, x, high);
    in = emit_binary(e, LP_greater, ft, in, low);
    bool narrow = ir_dtype_bits((ir_dtype)to) < 32;
    LLVMTypeRef wide = narrow ? int_type(e, 32, lanes) : type;
    LLVMValueRef r = narrow || emit_is_signed(to) ? LLVMBuildFPToSI(e->b, in, wide, "")
                                                  : LLVMBuildFPToUI(e->b, in, wide, "");
    if (narrow) r = LLVMBuildTrunc(e->b, r, type, "");
    if (!range.high_is_exact) {
        LLVMValueRef above = LLVMBuildFCmp(e->b, LLVMRealOGT, x, high, "");
        r = LLVMBuildSelect(e->b, above, emit_int(type, range.max), r, "");
    }
    LLVMValueRef is_number = LLVMBuildFCmp(e->b, LLVMRealORD, x, x, "");
    return LLVMBuildSelect(e->b, is_number, r, LLVMConstNull(type), "");
}

static LLVMValueRef float_to_int(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes) {
    if (lanes > 1) return floats_to_ints(e, x, from, to, lanes);
    LLVMTypeRef overloads[2] = {emit_elem_type(e, to), LLVMTypeOf(x)};
    const char *name = emit_is_signed(to) ? "llvm.fptosi.sat" : "llvm.fptoui.sat";
    return emit_intrinsic(e, name, overloads, 2, &x, 1);
}

static LLVMValueRef int_to_float(emitter *e, LLVMValueRef x, int from, LLVMTypeRef type) {
    return emit_is_signed(from) ? LLVMBuildSIToFP(e->b, x, type, "")
                                : LLVMBuildUIToFP(e->b, x, type, "");
}

/* Integers that f32 would round go to the types of f32's range through f64. (The others end where f32 is still exact.) */
static LLVMValueRef to_small_float(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes) {
    bool rounds = !emit_is_float(from) && ir_dtype_bits((ir_dtype)from) > 24;
    if ((to == DT_bf16 || to == DT_f8e8m0) && rounds) {
        x = emit_cast(e, x, from, DT_f64, lanes);
        from = DT_f64;
    }
    x = from == DT_f64 ? f64_to_odd_f32(e, x, lanes) : emit_cast(e, x, from, DT_f32, lanes);
    return f32_to_small(e, x, to, lanes);
}

/* The low bits, as wrapping has it; floats by way of the widest integer. */
static LLVMValueRef to_packed_int(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes) {
    if (emit_is_float(from)) {
        x = emit_cast(e, x, from, DT_i64, lanes);
        from = DT_i64;
    }
    return emit_wrap_byte(e, emit_cast(e, x, from, byte_type(to), lanes), to, lanes);
}

LLVMValueRef emit_cast(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes) {
    if (from == to) return x;
    if (is_small_float(from))
        return emit_cast(e, small_to_f32(e, x, from, lanes), DT_f32, to, lanes);
    if (is_small_float(to)) return to_small_float(e, x, from, to, lanes);
    if (is_packed_int(from)) return emit_cast(e, x, byte_type(from), to, lanes);
    if (is_packed_int(to)) return to_packed_int(e, x, from, to, lanes);
    if (to == DT_bool) return to_bool(e, x, from);
    LLVMTypeRef type = emit_type(e, lp_vec(to, lanes));
    if (emit_is_float(from) && emit_is_float(to)) return LLVMBuildFPCast(e->b, x, type, "");
    if (emit_is_float(from)) return float_to_int(e, x, from, to, lanes);
    if (emit_is_float(to)) return int_to_float(e, x, from, type);
    return LLVMBuildIntCast2(e->b, x, type, emit_is_signed(from), "");
}

/* bool is a byte of 0 or 1 seen as bits; of a type narrower than a byte only its own bits count. */
LLVMValueRef emit_bitcast(emitter *e, LLVMValueRef x, int from, int to, unsigned lanes) {
    if (from == DT_bool) x = LLVMBuildZExt(e->b, x, int_type(e, 8, lanes), "");
    if (to == DT_bool) return to_bool(e, x, DT_u8);
    if (ir_dtype_bits((ir_dtype)to) < 8) return emit_wrap_byte(e, x, to, lanes);
    return LLVMBuildBitCast(e->b, x, emit_type(e, lp_vec(to, lanes)), "");
}
