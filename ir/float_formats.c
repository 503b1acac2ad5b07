/* Floating point types of at most 16 bits: one table of formats, one decoder, one encoder with a single rounding. */
#include "ir/tensor.h"

#include "ir/base/assert.h"

#include <math.h>

static const ir_float_format formats[DT_COUNT] = {
    [DT_f16] = {10, 16, 15, 0x7bff, 0x7c00, 0x7e00, false},
    [DT_bf16] = {7, 16, 127, 0x7f7f, 0x7f80, 0x7fc0, false},
    [DT_f8e4m3fn] = {3, 8, 7, 0x7e, 0, 0x7f, false},
    [DT_f8e4m3fnuz] = {3, 8, 8, 0x7f, 0, 0x80, true},
    [DT_f8e5m2] = {2, 8, 15, 0x7b, 0x7c, 0x7e, false},
    [DT_f8e5m2fnuz] = {2, 8, 16, 0x7f, 0, 0x80, true},
    [DT_f4e2m1] = {1, 4, 1, 0x7, 0, 0, false},
};

const ir_float_format *ir_float_format_get(ir_dtype t) {
    return t < DT_COUNT && formats[t].bits ? &formats[t] : NULL;
}

static double decode_e8m0(uint16_t bits) {
    return bits == IR_E8M0_NAN ? NAN : ldexp(1.0, bits - IR_E8M0_BIAS);
}

/* Powers of two only, no sign, no zero (it becomes the smallest). As in ONNX the tie, 1.5, goes up. */
static uint16_t encode_e8m0(double v, bool saturate) {
    int e;
    if (!(v > 0)) return v == 0 ? 0 : IR_E8M0_NAN;
    if (isinf(v)) return IR_E8M0_NAN;
    double m = frexp(v, &e) * 2; /* v = m * 2^(e-1), m in [1, 2) */
    int code = e - 1 + IR_E8M0_BIAS;
    if (m >= 1.5) code++;
    if (code < 0) return 0;
    return code < IR_E8M0_NAN ? (uint16_t)code : saturate ? IR_E8M0_NAN - 1 : IR_E8M0_NAN;
}

double ir_float_decode(ir_dtype t, uint16_t bits) {
    if (t == DT_f8e8m0) return decode_e8m0(bits);
    const ir_float_format *f = &formats[t];
    TL_ASSERT(f->bits);
    uint16_t sign = (uint16_t)(1u << (f->bits - 1)), code = bits & (sign - 1);
    if (f->unsigned_zero && bits == sign) return NAN;
    if (code > f->max) return f->inf && code == f->inf ? (bits & sign ? -INFINITY : INFINITY) : NAN;
    int e = code >> f->mantissa;
    double m = code & ((1u << f->mantissa) - 1);
    if (e)
        m += 1u << f->mantissa;
    else
        e = 1; /* subnormal */
    double v = ldexp(m, e - f->bias - f->mantissa);
    return bits & sign ? -v : v;
}

/* Rounding may carry into the exponent, and subnormals are those without the hidden bit: both follow from adding the
 * rounded mantissa, hidden bit included, to the exponent field less one. */
static uint32_t encode_magnitude(const ir_float_format *f, double a) {
    int e;
    frexp(a, &e);
    int exponent = e - 1 + f->bias; /* biased */
    if (exponent < 1) exponent = 1;
    if (exponent > 1 << 10) return UINT32_MAX;
    double m = rint(ldexp(a, f->mantissa + f->bias - exponent));
    return ((uint32_t)(exponent - 1) << f->mantissa) + (uint32_t)m;
}

static uint16_t overflow_code(const ir_float_format *f, bool saturate) {
    bool ieee = f->bits == 16; /* these overflow to infinity whatever the caller asks for */
    if (saturate && !ieee) return f->max;
    return f->inf ? f->inf : f->nan ? f->nan : f->max;
}

uint16_t ir_float_encode(ir_dtype t, double v, bool saturate) {
    if (t == DT_f8e8m0) return encode_e8m0(v, saturate);
    const ir_float_format *f = &formats[t];
    TL_ASSERT(f->bits);
    uint16_t sign = (uint16_t)(signbit(v) ? 1u << (f->bits - 1) : 0);
    if (isnan(v))
        return f->nan ? f->nan | (f->unsigned_zero ? 0 : sign) : (uint16_t)(1u << (f->bits - 1));
    if (isinf(v) && f->inf) return f->inf | sign;
    uint32_t code = isinf(v) ? UINT32_MAX : v == 0 ? 0 : encode_magnitude(f, fabs(v));
    if (code > f->max) code = overflow_code(f, saturate);
    if (code == 0 && f->unsigned_zero) return 0;
    return (uint16_t)(code | sign);
}

static uint32_t float_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* NaNs keep their payload, so that a round trip through f32 gives the same bits. */
float ir_f16_to_f32(uint16_t h) {
    if ((h & 0x7fff) > 0x7c00)
        return float_from_bits((uint32_t)(h & 0x8000) << 16 | 0x7f800000u |
                               (uint32_t)(h & 0x3ff) << 13);
    return (float)ir_float_decode(DT_f16, h);
}

uint16_t ir_f32_to_f16(float f) {
    uint32_t u = float_bits(f);
    if ((u & 0x7fffffff) <= 0x7f800000) return ir_float_encode(DT_f16, f, false);
    uint16_t payload = (uint16_t)(u >> 13 & 0x3ff);
    return (uint16_t)(u >> 16 & 0x8000) | 0x7c00 | (payload ? payload : 0x200);
}

float ir_bf16_to_f32(uint16_t h) {
    return float_from_bits((uint32_t)h << 16);
}

uint16_t ir_f32_to_bf16(float f) {
    uint32_t u = float_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | (u & 0x7f0000 ? 0 : 0x40));
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
