/* Cast to floats of two bytes and less: one rounding from the source's exact value, and the attributes `saturate` and `round_mode`.
 *
 *   f8e5m2 Cast<saturate=0>(f32 %x)     |x| >= 61440 ? copysign(inf, x) : x, then rounded
 *   f8e8m0 Cast<round_mode="down">      the exponent of x, cut off in f64, where every f32 is normal
 *
 * The result comes back in the compute type (f32), which holds it exactly, so that storing it rounds nothing again. */
#include "codegen/lower.h"
#include "ir/tensor.h"

#include <math.h>

static lp_value *number(lp_builder *b, lp_value *like, double v) {
    return lp_const_f(b, like->type, v);
}

/* With the sign of x; NaN where the type has no infinity. */
static lp_value *too_large(lp_builder *b, const ir_float_format *f, lp_value *x) {
    if (!f->inf) return number(b, x, NAN);
    lp_value *negative = lp_bin(b, LP_lt, x, number(b, x, 0));
    return lp_select(b, negative, number(b, x, -INFINITY), number(b, x, INFINITY));
}

/* The middle between the largest number and the next that is none rounds up where the largest code is odd. */
static lp_value *limit_float8(lp_builder *b, const ir_float_format *f, ir_dtype to, bool saturate,
                              lp_value *x) {
    double max = ir_float_decode(to, f->max), below = ir_float_decode(to, f->max - 1);
    if (saturate) {
        lp_value *low = lp_bin(b, LP_max, x, number(b, x, -max));
        return lp_bin(b, LP_min, low, number(b, x, max));
    }
    lp_value *middle = number(b, x, max + (max - below) / 2);
    lp_value *over = lp_bin(b, f->max & 1 ? LP_ge : LP_gt, lp_un(b, LP_abs, x), middle);
    return lp_select(b, over, too_large(b, f, x), x);
}

/* |x| as a power of two, in f64; zero and NaN stay. */
static lp_value *round_to_power(lp_builder *b, const char *mode, lp_value *x) {
    lp_value *size = lp_un(b, LP_abs, x), *u = lp_bitcast(b, size, DT_i64);
    int64_t one = (int64_t)1 << 52;
    int64_t more = strcmp(mode, "up") == 0 ? one - 1 : strcmp(mode, "nearest") == 0 ? one / 2 : 0;
    u = lp_bin(b, LP_add, u, lp_const_i(b, u->type, more));
    u = lp_bin(b, LP_and, u, lp_const_i(b, u->type, -one));
    return lp_select(b, lp_bin(b, LP_ne, x, x), x, lp_bitcast(b, u, DT_f64));
}

static lp_value *limit_power(lp_builder *b, const char *mode, bool saturate, lp_value *x) {
    x = lp_un(b, LP_abs, lp_cast(b, x, DT_f64));
    lp_value *max = number(b, x, 0x1p127);
    if (saturate) return round_to_power(b, mode, lp_bin(b, LP_min, x, max));
    x = round_to_power(b, mode, x);
    return lp_select(b, lp_bin(b, LP_gt, x, max), number(b, x, NAN), x);
}

bool cg_is_narrow_cast(const ir_node *n) {
    ir_dtype to = (ir_dtype)ir_attr_int(n, "to", DT_f32);
    return n->op == OP_Cast && ir_dtype_is_float(to) && ir_dtype_bits(to) <= 16;
}

lp_value *cg_narrow_cast(lp_builder *b, const ir_node *n, lp_value *x) {
    ir_dtype to = (ir_dtype)ir_attr_int(n, "to", DT_f32);
    bool saturate = ir_attr_int(n, "saturate", 1) != 0;
    const ir_float_format *f = ir_float_format_get(to);
    if (f && f->bits == 8) {
        if (!ir_dtype_is_float((ir_dtype)x->type.elem)) x = lp_cast(b, x, DT_f32);
        x = limit_float8(b, f, to, saturate, x);
    }
    if (to == DT_f8e8m0) x = limit_power(b, ir_attr_string(n, "round_mode", "up"), saturate, x);
    return lp_cast(b, lp_cast(b, x, to), DT_f32);
}
