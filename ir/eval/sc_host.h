/* Host arithmetic on single elements: the primitives of scalar.h with the rounding of their type. */
#ifndef TLBC_IR_EVAL_SC_HOST_H
#define TLBC_IR_EVAL_SC_HOST_H

#include "ir/scalar.h"

/* One element: floats in f (f32 as a double that is exactly an f32), all else in i (u64: its bits; bool: 0 or 1). */
typedef union sc_cell {
    double f;
    int64_t i;
} sc_cell;

sc_cell sc_host_load(ir_dtype t, const void *data, size_t at);
void sc_host_store(ir_dtype t, void *data, size_t at,
                   sc_cell v); /* t may be narrower than the value's compute type */
/* arg_type: of the operands (of the last one for SC_SELECT); type: of the result. */
sc_cell sc_host_apply(sc_op op, ir_dtype type, ir_dtype arg_type, const sc_cell *x);
/* The same for n elements: x[0], x[1], x[2] are rows of them. */
void sc_host_apply_row(sc_op op, ir_dtype type, ir_dtype arg_type, const sc_cell *const *x,
                       int64_t n, sc_cell *y);
/* Brings an integer into the range of its type, modulo 2^bits. */
int64_t sc_host_wrap(ir_dtype t, int64_t v);
/* Truncates toward zero, NaN -> 0. Out of range: saturates, but for 4- and 2-bit integers, which wrap (so do ONNX's tests). */
int64_t sc_host_to_int(ir_dtype t, double v);

#endif
