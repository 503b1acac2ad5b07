/* Inlined vector mathematics on loop IR; see lower.h. Each function states its method and its largest error in units in the last place;
 * tests/unit/vmath_test.c checks the bound over the whole float range against double precision. What has no vector form here calls the C
 * library lane by lane. */
#include "codegen/lower.h"

#include "ir/base/assert.h"

#include <math.h>

static lp_value *f32(lp_builder *b, const lp_value *like, double v) {
    return lp_const_f(b, lp_vec(DT_f32, like->type.lanes), v);
}
static lp_value *i32(lp_builder *b, const lp_value *like, int64_t v) {
    return lp_const_i(b, lp_vec(DT_i32, like->type.lanes), v);
}

/* c[0] + c[1] x + … + c[n-1] x^(n-1), Horner with fused steps */
static lp_value *polynomial(lp_builder *b, lp_value *x, const double *c, int n) {
    lp_value *y = f32(b, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        y = lp_fma(b, y, x, f32(b, x, c[i]));
    return y;
}

/* 2^n as a float, -126 <= n <= 127 */
static lp_value *power_of_two(lp_builder *b, lp_value *n) {
    lp_value *bits = lp_bin(b, LP_shl, lp_bin(b, LP_add, n, i32(b, n, 127)), i32(b, n, 23));
    return lp_bitcast(b, bits, DT_f32);
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, ln 2 in two parts so that r is exact; exp(r) by its series to r^7 (error
 * below 2^-28 there). The scale is applied in two factors, so that results down to the smallest subnormal and overflow come out right. */
static lp_value *emit_exp_f32(lp_builder *b, lp_value *x) {
    static const double c[] = {1, 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040};
    /* NaN passes through both: the comparison is false and the second operand is taken */
    lp_value *t = lp_bin(b, LP_greater, f32(b, x, -104), lp_bin(b, LP_lesser, f32(b, x, 89), x));
    lp_value *n = lp_un(b, LP_rint, lp_bin(b, LP_mul, t, f32(b, x, 1.44269504088896341)));
    lp_value *r = lp_fma(b, n, f32(b, x, -0x1.62e4p-1), t);
    r = lp_fma(b, n, f32(b, x, -1.42860682030941723e-6), r);
    lp_value *p = polynomial(b, r, c, 8);
    lp_value *k = lp_cast(b, n, DT_i32), *half = lp_bin(b, LP_shr, k, i32(b, k, 1));
    lp_value *y = lp_bin(b, LP_mul, p, power_of_two(b, half));
    return lp_bin(b, LP_mul, y, power_of_two(b, lp_bin(b, LP_sub, k, half)));
}

/* ---- the C library, lane by lane --------------------------------------------------------------------------------------- */

static const char *library_name(sc_op op) {
    switch (op) {
    case SC_EXP:
        return "exp";
    case SC_LOG:
        return "log";
    case SC_LOG1P:
        return "log1p";
    case SC_EXPM1:
        return "expm1";
    case SC_SIN:
        return "sin";
    case SC_COS:
        return "cos";
    case SC_TAN:
        return "tan";
    case SC_ASIN:
        return "asin";
    case SC_ACOS:
        return "acos";
    case SC_ATAN:
        return "atan";
    case SC_SINH:
        return "sinh";
    case SC_COSH:
        return "cosh";
    case SC_TANH:
        return "tanh";
    case SC_ASINH:
        return "asinh";
    case SC_ACOSH:
        return "acosh";
    case SC_ATANH:
        return "atanh";
    case SC_ERF:
        return "erf";
    case SC_POW:
        return "pow";
    case SC_ATAN2:
        return "atan2";
    default:
        break;
    }
    TL_UNREACHABLE();
}

static lp_value *call_library(lp_builder *b, sc_op op, lp_value *const *x) {
    unsigned n = op == SC_POW || op == SC_ATAN2 ? 2 : 1, lanes = x[0]->type.lanes;
    bool single = x[0]->type.elem == DT_f32;
    const char *name = ir_name(
        b->m->ctx, tl_arena_printf(b->m->arena, "%s%s", library_name(op), single ? "f" : ""));
    lp_value *result = lp_const_f(b, x[0]->type, 0), *args[2];
    for (unsigned lane = 0; lane < lanes; lane++) {
        for (unsigned i = 0; i < n; i++)
            args[i] = lanes == 1 ? x[i] : lp_extract(b, x[i], lane);
        lp_value *y = lp_call(b, name, lp_scalar(x[0]->type.elem), args, n);
        if (lanes == 1) return y;
        result = lp_insert(b, result, y, lane);
    }
    return result;
}

/* Integers go through double precision: Pow of integers, ReduceLogSum of integers. */
static lp_value *through_f64(lp_builder *b, sc_op op, lp_value *const *x) {
    int elem = x[0]->type.elem;
    lp_value *wide[2] = {lp_cast(b, x[0], DT_f64), NULL};
    if (op == SC_POW || op == SC_ATAN2) wide[1] = lp_cast(b, x[1], DT_f64);
    return lp_cast(b, cg_vmath(b, op, wide), elem);
}

lp_value *cg_vmath(lp_builder *b, sc_op op, lp_value *const *x) {
    if (!ir_dtype_is_float((ir_dtype)x[0]->type.elem)) return through_f64(b, op, x);
    if (x[0]->type.elem == DT_f32 && op == SC_EXP) return emit_exp_f32(b, x[0]);
    return call_library(b, op, x);
}
