/* Short spellings for lowerings that do arithmetic on indices and coordinates. */
#ifndef TLBC_CODEGEN_LOWER_SHORT_H
#define TLBC_CODEGEN_LOWER_SHORT_H

#include "codegen/lower.h"

static inline lp_value *add(lp_builder *b, lp_value *x, lp_value *y) {
    return lp_bin(b, LP_add, x, y);
}
static inline lp_value *sub(lp_builder *b, lp_value *x, lp_value *y) {
    return lp_bin(b, LP_sub, x, y);
}
static inline lp_value *mul(lp_builder *b, lp_value *x, lp_value *y) {
    return lp_bin(b, LP_mul, x, y);
}
static inline lp_value *quotient(lp_builder *b, lp_value *x, lp_value *y) {
    return lp_bin(b, LP_div, x, y);
}
/* Where NaN need not come through: one instruction each; NaN in x gives y. */
static inline lp_value *largest(lp_builder *b, lp_value *x, lp_value *y) {
    return lp_bin(b, LP_greater, x, y);
}
static inline lp_value *least(lp_builder *b, lp_value *x, lp_value *y) {
    return lp_bin(b, LP_lesser, x, y);
}
static inline lp_value *clamp_between(lp_builder *b, lp_value *x, lp_value *low, lp_value *high) {
    return lp_bin(b, LP_max, lp_bin(b, LP_min, x, high), low);
}
static inline lp_value *to_f64(lp_builder *b, lp_value *x) {
    return lp_cast(b, x, DT_f64);
}
static inline lp_value *to_i64(lp_builder *b, lp_value *x) {
    return lp_cast(b, x, DT_i64);
}
static inline lp_value *f64_of(lp_builder *b, unsigned lanes, double v) {
    return lp_const_f(b, lp_vec(DT_f64, lanes), v);
}
static inline lp_value *f64(lp_builder *b, double v) {
    return f64_of(b, 1, v);
}

#endif
