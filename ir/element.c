/* Reading and writing single elements of any numeric type. */
#include "ir/tensor.h"

#include <math.h>

/* 4- and 2-bit elements share bytes, low bits first. */
static uint32_t get_packed(const void *data, size_t i, uint32_t bits) {
    uint32_t per_byte = 8 / bits;
    return ((const uint8_t *)data)[i / per_byte] >> (i % per_byte * bits) & ((1u << bits) - 1);
}

static void set_packed(void *data, size_t i, uint32_t bits, uint32_t value) {
    uint32_t per_byte = 8 / bits, shift = (uint32_t)(i % per_byte) * bits,
             mask = ((1u << bits) - 1) << shift;
    uint8_t *byte = (uint8_t *)data + i / per_byte;
    *byte = (uint8_t)((*byte & ~mask) | (value << shift & mask));
}

static int64_t sign_extend(uint32_t value, uint32_t bits) {
    int64_t sign = (int64_t)1 << (bits - 1);
    return ((int64_t)value ^ sign) - sign;
}

/* Data may lie unaligned in a mapped file: elements are copied out. */
static uint64_t load(const void *data, size_t i, uint32_t bytes) {
    uint64_t u = 0;
    memcpy(&u, (const char *)data + i * bytes, bytes);
    return u;
}

static void store(void *data, size_t i, uint32_t bytes, uint64_t value) {
    memcpy((char *)data + i * bytes, &value, bytes);
}

static double load_double(const void *data, size_t i, size_t stride) {
    double d;
    memcpy(&d, (const char *)data + i * stride, sizeof d);
    return d;
}

static float load_float(const void *data, size_t i, size_t stride) {
    float f;
    memcpy(&f, (const char *)data + i * stride, sizeof f);
    return f;
}

static uint16_t load_small_float(ir_dtype t, const void *data, size_t i) {
    uint32_t bits = ir_dtype_bits(t);
    return (uint16_t)(bits < 8 ? get_packed(data, i, bits) : load(data, i, bits / 8));
}

static double get_float(ir_dtype t, const void *data, size_t i) {
    switch (t) {
    case DT_f32:
        return load_float(data, i, 4);
    case DT_f64:
        return load_double(data, i, 8);
    case DT_c64:
        return load_float(data, i, 8);
    case DT_c128:
        return load_double(data, i, 16);
    default:
        return ir_float_decode(t, load_small_float(t, data, i));
    }
}

static int64_t get_int(ir_dtype t, const void *data, size_t i) {
    uint32_t bits = ir_dtype_bits(t);
    uint64_t u = bits < 8 ? get_packed(data, i, bits) : load(data, i, bits / 8);
    if (bits == 64 || !ir_dtype_is_signed(t)) return (int64_t)u;
    return sign_extend((uint32_t)u, bits);
}

/* Real and complex numbers that are read through their (real) floating point value. */
static bool has_float_value(ir_dtype t) {
    return ir_dtype_is_float(t) || ir_dtype_get_class(t) == DTYPE_COMPLEX;
}

double ir_element_get_f64(ir_dtype t, const void *data, size_t i) {
    if (t == DT_str) return NAN;
    if (has_float_value(t)) return get_float(t, data, i);
    int64_t v = get_int(t, data, i);
    return t == DT_u64 ? (double)(uint64_t)v : (double)v;
}

static int64_t truncate_to_i64(double v) {
    if (isnan(v)) return 0;
    if (v >= 0x1p63) return INT64_MAX;
    return v < -0x1p63 ? INT64_MIN : (int64_t)v;
}

int64_t ir_element_get_i64(ir_dtype t, const void *data, size_t i) {
    if (t == DT_str) return 0;
    return has_float_value(t) ? truncate_to_i64(get_float(t, data, i)) : get_int(t, data, i);
}

static void set_float(ir_dtype t, void *data, size_t i, double v) {
    char *p = data;
    float pair[2] = {(float)v, 0};
    double wide[2] = {v, 0};
    switch (t) {
    case DT_f32:
        memcpy(p + 4 * i, pair, 4);
        return;
    case DT_f64:
        memcpy(p + 8 * i, wide, 8);
        return;
    case DT_c64:
        memcpy(p + 8 * i, pair, 8);
        return;
    case DT_c128:
        memcpy(p + 16 * i, wide, 16);
        return;
    default:
        break;
    }
    uint32_t bits = ir_dtype_bits(t);
    uint16_t code = ir_float_encode(t, v, true);
    if (bits < 8)
        set_packed(data, i, bits, code);
    else
        store(data, i, bits / 8, code);
}

static void set_int(ir_dtype t, void *data, size_t i, uint64_t v) {
    uint32_t bits = ir_dtype_bits(t);
    if (t == DT_bool) v = v != 0;
    if (bits < 8)
        set_packed(data, i, bits, (uint32_t)(v & 0xff));
    else
        store(data, i, bits / 8, v);
}

void ir_element_set_f64(ir_dtype t, void *data, size_t i, double v) {
    if (has_float_value(t))
        set_float(t, data, i, v);
    else if (t == DT_bool)
        set_int(t, data, i, v != 0); /* NaN is true */
    else if (t == DT_u64 && v >= 0x1p63)
        set_int(t, data, i, v < 0x1p64 ? (uint64_t)v : UINT64_MAX);
    else if (t != DT_str)
        set_int(t, data, i, (uint64_t)truncate_to_i64(v));
}

/* A double that rounds to any shorter type as v itself would: what does not fit goes into an odd last bit. */
static double to_odd_double(int64_t v) {
    if ((v < 0 ? -(v + 1) : v) >> 53 && v & 0x3ff) v = (v & ~(int64_t)0x3ff) | 0x400;
    return (double)v;
}

void ir_element_set_i64(ir_dtype t, void *data, size_t i, int64_t v) {
    if (t == DT_f64 || t == DT_c128)
        set_float(t, data, i, (double)v);
    else if (has_float_value(t))
        set_float(t, data, i, to_odd_double(v));
    else if (t != DT_str)
        set_int(t, data, i, (uint64_t)v);
}
