/* Emitter: floats of a byte or less, by arithmetic on the bits of f32; the formats are rows of ir/float_formats.c.
 *
 *   f8e4m3fn -> f32     code << 20 read as f32, times 2^120: moves the exponent, and normalises denormals
 *   f32 -> f8e4m3fn     magnitude + half a last place (ties to even) >> 20, less 120 << 3; denormals by adding 2^14, whose last
 *                       place is the type's smallest number
 *
 * Rounding is to nearest even, once. What is too large becomes the largest number, infinity stays infinity where the type has it:
 * as ir_element_set_f64 does. Codes fill the low bits of a byte. */
#include "codegen/llvm_emit_ints.h"

#include "ir/tensor.h"

#include <math.h>

static LLVMValueRef as_bits(ints s, LLVMValueRef x) {
    return LLVMBuildBitCast(s.e->b, x, s.type, "");
}
static LLVMValueRef as_f32(ints s, LLVMValueRef x, unsigned lanes) {
    return LLVMBuildBitCast(s.e->b, x, f32_type(s.e, lanes), "");
}
static LLVMValueRef k_is(ints s, LLVMValueRef x, uint64_t c) {
    return LLVMBuildICmp(s.e->b, LLVMIntEQ, x, emit_int(s.type, c), "");
}
static uint32_t power_bits(int exponent) {
    return (uint32_t)(exponent + 127) << 23;
}

/* ---- exponents alone ------------------------------------------------------------------------------------------- */

/* Code c is 2^(c - 127): the exponent field of an f32, but for the smallest (a denormal there) and NaN. */
static LLVMValueRef e8m0_to_f32(ints s, LLVMValueRef code, unsigned lanes) {
    LLVMValueRef r = k_shl(s, code, 23);
    r = pick(s, k_is(s, code, 0), emit_int(s.type, 0x00400000), r);
    r = pick(s, k_is(s, code, IR_E8M0_NAN), emit_int(s.type, 0x7fc00000), r);
    return as_f32(s, r, lanes);
}

/* To the nearest power, 1.5 upward. Negative numbers, infinity and NaN have no code but NaN's. */
static LLVMValueRef f32_to_e8m0(ints s, LLVMValueRef u) {
    LLVMValueRef code = k_shr(s, k_add(s, u, 0x00400000), 23);
    LLVMValueRef denormal = LLVMBuildZExt(s.e->b, k_above(s, u, 0x005fffff), s.type, "");
    code = pick(s, k_above(s, u, 0x007fffff), code, denormal);
    code = pick(s, k_above(s, code, 0xfe), emit_int(s.type, 0xfe), code);
    LLVMValueRef none = k_above(s, u, 0x7f7fffff);
    code = pick(s, none, emit_int(s.type, IR_E8M0_NAN), code);
    return pick(s, k_is(s, u, 0x80000000), emit_int(s.type, 0), code);
}

/* ---- sign, exponent, mantissa ---------------------------------------------------------------------------------- */

static LLVMValueRef small_to_f32(ints s, const ir_float_format *f, LLVMValueRef code,
                                 unsigned lanes) {
    emitter *e = s.e;
    uint64_t sign_bit = (uint64_t)1 << (f->bits - 1);
    LLVMValueRef sign = k_shl(s, k_and(s, code, sign_bit), 32u - f->bits);
    LLVMValueRef magnitude = k_and(s, code, sign_bit - 1);
    LLVMValueRef moved = as_f32(s, k_shl(s, magnitude, 23u - f->mantissa), lanes);
    LLVMValueRef scale = emit_const(e, lp_vec(DT_f32, lanes), 0, ldexp(1, 127 - f->bias));
    LLVMValueRef r = as_bits(s, LLVMBuildFMul(e->b, moved, scale, ""));
    if (f->inf) r = pick(s, k_is(s, magnitude, f->inf), emit_int(s.type, 0x7f800000), r);
    if (f->nan && !f->unsigned_zero)
        r = pick(s, k_above(s, magnitude, f->inf ? f->inf : f->max), emit_int(s.type, 0x7fc00000),
                 r);
    r = LLVMBuildOr(e->b, r, sign, "");
    if (f->unsigned_zero) r = pick(s, k_is(s, code, f->nan), emit_int(s.type, 0x7fc00000), r);
    return as_f32(s, r, lanes);
}

/* Magnitudes from the type's smallest normal number on. */
static LLVMValueRef round_normal(ints s, const ir_float_format *f, LLVMValueRef magnitude) {
    unsigned drop = 23u - f->mantissa;
    LLVMValueRef odd = k_and(s, k_shr(s, magnitude, drop), 1);
    LLVMValueRef u = k_add(s, magnitude, ((uint64_t)1 << (drop - 1)) - 1);
    u = k_shr(s, LLVMBuildAdd(s.e->b, u, odd, ""), drop);
    uint32_t moved = (uint32_t)(127 - f->bias) << f->mantissa;
    return LLVMBuildSub(s.e->b, u, emit_int(s.type, moved), "");
}

static LLVMValueRef round_denormal(ints s, const ir_float_format *f, LLVMValueRef magnitude,
                                   unsigned lanes) {
    uint32_t base = power_bits(1 - f->bias - f->mantissa + 23);
    LLVMValueRef place = as_f32(s, emit_int(s.type, base), lanes);
    LLVMValueRef sum = LLVMBuildFAdd(s.e->b, as_f32(s, magnitude, lanes), place, "");
    return LLVMBuildSub(s.e->b, as_bits(s, sum), emit_int(s.type, base), "");
}

static LLVMValueRef f32_to_small(ints s, const ir_float_format *f, LLVMValueRef u, unsigned lanes) {
    LLVMValueRef magnitude = k_and(s, u, 0x7fffffff);
    LLVMValueRef sign = k_and(s, k_shr(s, u, 32u - f->bits), (uint64_t)1 << (f->bits - 1));
    LLVMValueRef is_normal = k_above(s, magnitude, power_bits(1 - f->bias) - 1);
    LLVMValueRef code = pick(s, is_normal, round_normal(s, f, magnitude),
                             round_denormal(s, f, magnitude, lanes));
    LLVMValueRef max = emit_int(s.type, f->max), is_nan = k_above(s, magnitude, 0x7f800000);
    code = pick(s, k_above(s, code, f->max), max, code);
    if (f->inf) code = pick(s, k_is(s, magnitude, 0x7f800000), emit_int(s.type, f->inf), code);
    LLVMValueRef nan = emit_int(s.type, f->nan ? f->nan : (uint64_t)1 << (f->bits - 1));
    if (f->unsigned_zero) sign = pick(s, k_is(s, code, 0), emit_int(s.type, 0), sign);
    LLVMValueRef r = LLVMBuildOr(s.e->b, code, sign, "");
    if (f->nan && !f->unsigned_zero) nan = LLVMBuildOr(s.e->b, nan, sign, "");
    return pick(s, is_nan, nan, r);
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

LLVMValueRef emit_narrow_to_f32(emitter *e, LLVMValueRef x, int from, unsigned lanes) {
    ints s = {e, int_type(e, 32, lanes)};
    LLVMValueRef code = LLVMBuildZExt(e->b, x, s.type, "");
    if (from == DT_f8e8m0) return e8m0_to_f32(s, code, lanes);
    return small_to_f32(s, ir_float_format_get((ir_dtype)from), code, lanes);
}

LLVMValueRef emit_f32_to_narrow(emitter *e, LLVMValueRef x, int to, unsigned lanes) {
    ints s = {e, int_type(e, 32, lanes)};
    LLVMValueRef u = as_bits(s, x);
    LLVMValueRef code = to == DT_f8e8m0
                            ? f32_to_e8m0(s, u)
                            : f32_to_small(s, ir_float_format_get((ir_dtype)to), u, lanes);
    return LLVMBuildTrunc(e->b, code, int_type(e, 8, lanes), "");
}

LLVMValueRef emit_wrap_byte(emitter *e, LLVMValueRef x, int to, unsigned lanes) {
    ints s = {e, int_type(e, 8, lanes)};
    unsigned bits = ir_dtype_bits((ir_dtype)to);
    if (!ir_dtype_is_int((ir_dtype)to) || !emit_is_signed(to))
        return k_and(s, x, ((uint64_t)1 << bits) - 1);
    return LLVMBuildAShr(e->b, k_shl(s, x, 8 - bits), emit_int(s.type, 8 - bits), "");
}
