/* Constant payloads: typed bytes with a content hash. Never copied by a pass; may point into a mapped model file. */
#ifndef TLBC_IR_TENSOR_H
#define TLBC_IR_TENSOR_H

#include "ir/type.h"

typedef struct ir_tensor ir_tensor;
struct ir_tensor {
    const ir_type *type; /* static tensor type */
    const void *data;    /* ONNX packing, little endian; str: array of tl_sv. NULL with `opaque` */
    size_t bytes;
    uint64_t hash; /* of type and content; computed by ir_tensor_create */
    bool
        opaque; /* typed but without bytes (text IR whose side file is missing): folds never, compares by hash */
};

/* data is borrowed and must live as long as the arena (mapped file or arena memory). */
ir_tensor *ir_tensor_create(tl_arena *a, const ir_type *type, const void *data);
/* Fresh zeroed memory in the arena for `type` (static); fill it through ir_tensor_data, then ir_tensor_seal. */
ir_tensor *ir_tensor_alloc(tl_arena *a, const ir_type *type);
/* The same bytes, strings too, in other memory. */
ir_tensor *ir_tensor_copy(tl_arena *a, const ir_tensor *t);
void *ir_tensor_data(ir_tensor *t);
void ir_tensor_seal(ir_tensor *t); /* computes the hash */

size_t ir_tensor_elements(const ir_tensor *t);
bool ir_tensor_equal(const ir_tensor *a, const ir_tensor *b); /* type and bytes */
/* All elements have the same bits; false where there is none. */
bool ir_tensor_is_splat(const ir_tensor *t);

/* Element i as a number, whatever the numeric type (f16, bf16, small floats and sub-byte types are decoded). */
double ir_tensor_get_f64(const ir_tensor *t, size_t i);
int64_t ir_tensor_get_i64(const ir_tensor *t,
                          size_t i); /* floats: truncated and saturated; u64: reinterpreted */
/* Stores with the type's rounding (floats to nearest even) or wrapping (integers). */
void ir_tensor_set_f64(ir_tensor *t, size_t i, double v);
void ir_tensor_set_i64(ir_tensor *t, size_t i, int64_t v);

/* The same on plain memory of n-element arrays. */
double ir_element_get_f64(ir_dtype t, const void *data, size_t i);
int64_t ir_element_get_i64(ir_dtype t, const void *data, size_t i);
void ir_element_set_f64(ir_dtype t, void *data, size_t i, double v);
void ir_element_set_i64(ir_dtype t, void *data, size_t i, int64_t v);

/* Floats of at most 16 bits. Codes without the sign bit; `inf` and `nan` are 0 where the format has none; `unsigned_zero`: the
 * pattern of -0 is NaN. f8e8m0 has no row: it is an exponent alone. */
typedef struct ir_float_format {
    uint8_t mantissa, bits;
    int16_t bias;
    uint16_t max, inf, nan;
    bool unsigned_zero;
} ir_float_format;
const ir_float_format *ir_float_format_get(ir_dtype t); /* NULL: not such a type */
enum { IR_E8M0_BIAS = 127, IR_E8M0_NAN = 0xff };

/* The encoder rounds once, to nearest even. What is too large becomes infinity in f16 and bf16; in the smaller types the largest
 * number with `saturate` (what element_set does), else infinity or NaN as the type has it. Infinity itself stays infinity where
 * there is one. */
double ir_float_decode(ir_dtype t, uint16_t bits);
uint16_t ir_float_encode(ir_dtype t, double v, bool saturate);

/* Bit conversions, exact and to nearest even; NaNs keep their payload. */
float ir_f16_to_f32(uint16_t h);
uint16_t ir_f32_to_f16(float f);
float ir_bf16_to_f32(uint16_t h);
uint16_t ir_f32_to_bf16(float f);

#endif
