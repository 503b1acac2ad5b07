/* Elements of constants and attributes as text, exactly: what is printed reads back with the same bits.
 *
 *   f32  0.1        shortest decimal           u8   255          bool  true
 *   f16  -inf  nan  nan(0x7e01): other NaNs    i64  -3           c64   (1, -2)       str  "a\n" */
#ifndef TLBC_IR_LITERAL_H
#define TLBC_IR_LITERAL_H

#include "ir/lex.h"
#include "ir/tensor.h"

/* Element i of an array in the packing of ir_tensor. */
void literal_print(tl_str *out, ir_dtype t, const void *data, size_t i);
/* A float attribute: as f32, and never like an integer: 1.0 */
void literal_print_attr_float(tl_str *out, float f);
/* Reads one element at the current token and stores it; strings are copied to the lexer's arena. False after reporting. */
bool literal_parse(lexer *l, ir_dtype t, void *data, size_t i);
/* Fills an array with numbers that depend only on the seed: floats in [-1, 1), integers in [-8, 8) or [0, 16). */
void literal_random(ir_dtype t, void *data, size_t n, uint64_t seed);

#endif
