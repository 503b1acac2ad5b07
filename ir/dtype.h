/* Element types. Numbers equal ONNX's TensorProto.DataType. */
#ifndef TLBC_IR_DTYPE_H
#define TLBC_IR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ir_dtype {
#define DTYPE(name, onnx, bits, class) DT_##name = onnx,
#include "ir/dtype.def"
#undef DTYPE
    DT_COUNT
} ir_dtype;

typedef enum ir_dtype_class {
    DTYPE_OTHER,
    DTYPE_FLOAT,
    DTYPE_INT,
    DTYPE_UINT,
    DTYPE_BOOL,
    DTYPE_STRING,
    DTYPE_COMPLEX
} ir_dtype_class;

_Static_assert(DT_f32 == 1 && DT_bf16 == 16, "numbers equal ONNX TensorProto.DataType");

const char *ir_dtype_name(ir_dtype t); /* "f32" */
bool ir_dtype_parse(const char *name, size_t len, ir_dtype *out);
uint32_t ir_dtype_bits(ir_dtype t); /* 0 for undefined */
ir_dtype_class ir_dtype_get_class(ir_dtype t);
bool ir_dtype_is_float(ir_dtype t);
bool ir_dtype_is_int(ir_dtype t);    /* signed or unsigned, not bool */
bool ir_dtype_is_signed(ir_dtype t); /* signed integers and floats */
/* Bytes of n elements in ONNX's packing (4- and 2-bit elements share bytes, low bits first). */
bool ir_dtype_bytes(ir_dtype t, size_t n, size_t *bytes); /* false on overflow */
/* The type arithmetic is done in: f32 for f16, bf16 and the small floats, else the type itself. */
ir_dtype ir_dtype_compute(ir_dtype t);
/* What a quotient has whose precision is t (QuantizeLinear): t itself where that holds fractions; f64, in which the quotient of two i32 shows
 * to which integer it is nearest, for integers; f32 for f8e8m0, which only scales have. */
ir_dtype ir_dtype_quotient(ir_dtype t);

#endif
