#include "ir/dtype.h"

#include "ir/base/str.h"

static const struct {
    const char *name;
    uint8_t bits, class;
} dtypes[DT_COUNT] = {
#define DTYPE(name, onnx, bits, class) [onnx] = {#name, bits, DTYPE_##class},
#include "ir/dtype.def"
#undef DTYPE
};

const char *ir_dtype_name(ir_dtype t) {
    return dtypes[t].name;
}

bool ir_dtype_parse(const char *name, size_t len, ir_dtype *out) {
    for (int t = 1; t < DT_COUNT; t++) {
        if (!tl_sv_is((tl_sv){name, len}, dtypes[t].name)) continue;
        *out = (ir_dtype)t;
        return true;
    }
    return false;
}

uint32_t ir_dtype_bits(ir_dtype t) {
    return dtypes[t].bits;
}
ir_dtype_class ir_dtype_get_class(ir_dtype t) {
    return (ir_dtype_class)dtypes[t].class;
}
bool ir_dtype_is_float(ir_dtype t) {
    return dtypes[t].class == DTYPE_FLOAT;
}
bool ir_dtype_is_int(ir_dtype t) {
    return dtypes[t].class == DTYPE_INT || dtypes[t].class == DTYPE_UINT;
}
bool ir_dtype_is_signed(ir_dtype t) {
    return dtypes[t].class == DTYPE_INT || dtypes[t].class == DTYPE_FLOAT;
}

bool ir_dtype_bytes(ir_dtype t, size_t n, size_t *bytes) {
    if (dtypes[t].bits >= 8) return tl_mul_size(n, dtypes[t].bits / 8, bytes);
    size_t per_byte = dtypes[t].bits ? 8 / dtypes[t].bits : 1;
    *bytes = n / per_byte + (n % per_byte != 0);
    return true;
}

ir_dtype ir_dtype_compute(ir_dtype t) {
    return ir_dtype_is_float(t) && t != DT_f64 ? DT_f32 : t;
}

ir_dtype ir_dtype_quotient(ir_dtype t) {
    if (t == DT_f8e8m0) return DT_f32;
    return ir_dtype_is_float(t) ? t : DT_f64;
}
