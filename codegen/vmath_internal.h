/* Shared by codegen/vmath*.c: short spellings for building vector code on f32 or f64, and the functions that dispatch chooses from.
 *
 *   vm v = vm_of(b, x);                         // the builder, the element type and its layout
 *   lp_value *u = vm_mul(&v, x, x);
 *   return vm_poly(&v, u, table, 5);            // table: of doubles, rounded to the element type
 *
 * Every function is the same sequence of lane-wise operations for any number of lanes, multiplications are fused only where fma is
 * written, so a scalar and a lane of a vector give the same bits. NaN comes out where NaN goes in. */
#ifndef TLBC_CODEGEN_VMATH_INTERNAL_H
#define TLBC_CODEGEN_VMATH_INTERNAL_H

#include "codegen/lower.h"
#include "codegen/vmath_tables.h"

typedef struct vm {
    lp_builder *b;
    bool wide; /* f64 */
    int elem, bits_type, unsigned_type;
    int64_t mantissa, bias; /* 23 and 127, or 52 and 1023 */
    unsigned lanes;
} vm;

static inline vm vm_of_type(lp_builder *b, int elem, unsigned lanes) {
    bool wide = elem == DT_f64;
    return (vm){.b = b,
                .wide = wide,
                .elem = elem,
                .bits_type = wide ? DT_i64 : DT_i32,
                .unsigned_type = wide ? DT_u64 : DT_u32,
                .mantissa = wide ? 52 : 23,
                .bias = wide ? 1023 : 127,
                .lanes = lanes};
}
static inline vm vm_of(lp_builder *b, const lp_value *x) {
    return vm_of_type(b, x->type.elem, x->type.lanes);
}

/* ---- floats ---- */
static inline lp_value *vm_c(const vm *v, double c) {
    return lp_const_f(v->b, lp_vec(v->elem, v->lanes), c);
}
static inline lp_value *vm_add(const vm *v, lp_value *x, lp_value *y) {
    return lp_bin(v->b, LP_add, x, y);
}
static inline lp_value *vm_sub(const vm *v, lp_value *x, lp_value *y) {
    return lp_bin(v->b, LP_sub, x, y);
}
static inline lp_value *vm_mul(const vm *v, lp_value *x, lp_value *y) {
    return lp_bin(v->b, LP_mul, x, y);
}
static inline lp_value *vm_div(const vm *v, lp_value *x, lp_value *y) {
    return lp_bin(v->b, LP_div, x, y);
}
static inline lp_value *vm_fma(const vm *v, lp_value *x, lp_value *y, lp_value *z) {
    return lp_fma(v->b, x, y, z);
}
static inline lp_value *vm_abs(const vm *v, lp_value *x) {
    return lp_un(v->b, LP_abs, x);
}
static inline lp_value *vm_neg(const vm *v, lp_value *x) {
    return lp_un(v->b, LP_neg, x);
}
/* min(x, c), max(x, c) in one instruction; NaN stays: the comparison is false and the second operand is taken */
static inline lp_value *vm_at_most(const vm *v, lp_value *x, double c) {
    return lp_bin(v->b, LP_lesser, vm_c(v, c), x);
}
static inline lp_value *vm_at_least(const vm *v, lp_value *x, double c) {
    return lp_bin(v->b, LP_greater, vm_c(v, c), x);
}
static inline lp_value *vm_cmp(const vm *v, lp_op op, lp_value *x, double c) {
    return lp_bin(v->b, op, x, vm_c(v, c));
}
static inline lp_value *vm_select(const vm *v, lp_value *c, lp_value *x, lp_value *y) {
    return lp_select(v->b, c, x, y);
}

/* ---- their bits ---- */
static inline lp_value *vm_bits(const vm *v, lp_value *x) {
    return lp_bitcast(v->b, x, v->bits_type);
}
static inline lp_value *vm_float(const vm *v, lp_value *x) {
    return lp_bitcast(v->b, x, v->elem);
}
static inline lp_value *vm_i(const vm *v, const lp_value *like, int64_t c) {
    return lp_const_i(v->b, like->type, c);
}
static inline lp_value *vm_int(const vm *v, lp_op op, lp_value *x, int64_t c) {
    return lp_bin(v->b, op, x, vm_i(v, x, c));
}
/* Shift right with zeros: of signed 64-bit lanes AVX2 has no other. */
static inline lp_value *vm_shr(const vm *v, lp_value *x, int64_t n) {
    lp_value *u = vm_int(v, LP_shr, lp_bitcast(v->b, x, v->unsigned_type), n);
    return lp_bitcast(v->b, u, v->bits_type);
}

/* ---- vmath.c ---- */
/* c[0] + c[1] x + … by Horner's rule */
lp_value *vm_horner(const vm *v, lp_value *x, const vm_table *table);
/* The same; table: that of f32, followed by that of f64 where there is one. */
static inline lp_value *vm_poly(const vm *v, lp_value *x, const vm_table *table) {
    return vm_horner(v, x, &table[v->wide]);
}
/* The same with the odd powers beside the even ones: half as many operations wait for each other, where nothing else is to be done meanwhile. */
lp_value *vm_halves(const vm *v, lp_value *x, const vm_table *table);
/* |x| with the sign of y */
lp_value *vm_with_sign(const vm *v, lp_value *x, lp_value *y);

/* n = round(x / step), r = x - n step: |r| <= step / 2. |n| < 2^(mantissa - 2). */
typedef struct vm_reduced {
    lp_value *n, *r;
    lp_value *bits; /* n + bias in the lowest bits, something else above them */
} vm_reduced;
/* step = parts[0] + parts[1] + …, times a power of two. */
vm_reduced vm_reduce(const vm *v, lp_value *x, const double *parts, int n_parts, double times,
                     int64_t bias);
/* 2^(bits - v->bias); the exponent must be that of a normal number. */
lp_value *vm_power(const vm *v, const vm_reduced *k);

/* op of the C library, lane by lane. */
lp_value *vm_call_library(lp_builder *b, sc_op op, lp_value *const *x);

typedef lp_value *vm_fn(const vm *v, lp_value *x);
typedef lp_value *vm_fn2(const vm *v, lp_value *x, lp_value *y);
/* vmath_exp.c */
vm_fn vm_exp, vm_expm1, vm_sinh, vm_cosh, vm_tanh;
/* vmath_log.c */
/* x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), of a normal x > 0 */
typedef struct vm_split {
    lp_value *k; /* too large by `offset` */
    lp_value *f;
    lp_value *shift; /* bits of k << mantissa */
    double offset;
} vm_split;
vm_split vm_split_float(const vm *v, lp_value *x);
vm_fn vm_log, vm_log1p, vm_asinh, vm_acosh, vm_atanh;
/* vmath_trig.c */
vm_fn vm_sin, vm_cos, vm_tan;
/* vmath_arc.c, vmath_erf.c, vmath_pow.c: f32 only */
vm_fn vm_asin, vm_acos, vm_atan, vm_erf;
vm_fn2 vm_atan2, vm_pow;
lp_value *vm_pow_i64(lp_builder *b, lp_value *x, lp_value *y);

#endif
