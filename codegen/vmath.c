/* Inlined vector mathematics on loop IR: which function computes what, and the steps that they share; see lower.h, vmath_internal.h.
 *
 *   f32   all inlined
 *   f64   all but erf, asin, acos, atan, atan2 and pow, which call the C library lane by lane
 *
 * sin, cos and tan of huge arguments call the library as well (vmath_trig.c). The largest errors are in the heads of the other files;
 * tests/unit/vmath_test.c checks them: f32 on a sample and on special values, on every number there is with the label slow. */
#include "codegen/vmath_internal.h"

#include "ir/base/assert.h"

#include <math.h>

/* ---- shared steps ------------------------------------------------------------------------------------------------------ */

lp_value *vm_horner(const vm *v, lp_value *x, const vm_table *t) {
    lp_value *y = vm_c(v, t->c[t->n - 1]);
    for (int i = t->n - 2; i >= 0; i--)
        y = vm_fma(v, y, x, vm_c(v, t->c[i]));
    return y;
}

lp_value *vm_halves(const vm *v, lp_value *x, const vm_table *table) {
    const vm_table *t = &table[v->wide];
    lp_value *square = vm_mul(v, x, x), *y[2];
    for (int i = t->n - 1; i >= 0; i--)
        y[i & 1] = i >= t->n - 2 ? vm_c(v, t->c[i]) : vm_fma(v, y[i & 1], square, vm_c(v, t->c[i]));
    return vm_fma(v, y[1], x, y[0]);
}

lp_value *vm_with_sign(const vm *v, lp_value *x, lp_value *y) {
    return lp_bin(v->b, LP_or, vm_abs(v, x), lp_bin(v->b, LP_and, y, vm_c(v, -0.0)));
}

/* Adding 1.5 * 2^mantissa pushes the fraction out, rounded to nearest: what stays lowest in the bits is the integer. No conversion
 * between floats and integers is needed, and none has to be made safe for large numbers. With fma the subtractions round only what
 * lies below the last place of r: n * part is exact there, and the leading digits cancel. */
vm_reduced vm_reduce(const vm *v, lp_value *x, const double *parts, int n_parts, double times,
                     int64_t bias) {
    lp_value *magic = vm_c(v, ldexp(1.5, (int)v->mantissa) + (double)bias);
    lp_value *t = vm_fma(v, x, vm_c(v, 1 / (parts[0] * times)), magic);
    vm_reduced k = {.n = vm_sub(v, t, magic), .r = x, .bits = vm_bits(v, t)};
    for (int i = 0; i < n_parts; i++)
        k.r = vm_fma(v, k.n, vm_c(v, -parts[i] * times), k.r);
    return k;
}

lp_value *vm_power(const vm *v, const vm_reduced *k) {
    return vm_float(v, vm_int(v, LP_shl, k->bits, v->mantissa));
}

/* ---- the C library, lane by lane --------------------------------------------------------------------------------------- */

static const char *library_name(sc_op op) {
    static const char *const names[SC_OP_COUNT] = {
        [SC_EXP] = "exp",   [SC_LOG] = "log",     [SC_LOG1P] = "log1p", [SC_EXPM1] = "expm1",
        [SC_SIN] = "sin",   [SC_COS] = "cos",     [SC_TAN] = "tan",     [SC_ASIN] = "asin",
        [SC_ACOS] = "acos", [SC_ATAN] = "atan",   [SC_SINH] = "sinh",   [SC_COSH] = "cosh",
        [SC_TANH] = "tanh", [SC_ASINH] = "asinh", [SC_ACOSH] = "acosh", [SC_ATANH] = "atanh",
        [SC_ERF] = "erf",   [SC_POW] = "pow",     [SC_ATAN2] = "atan2",
    };
    TL_ASSERT(names[op]);
    return names[op];
}

lp_value *vm_call_library(lp_builder *b, sc_op op, lp_value *const *x) {
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

/* Integers go through double precision, as in ReduceLogSum; but powers of integers are exact, modulo 2^64. */
static lp_value *of_integers(lp_builder *b, sc_op op, lp_value *const *x) {
    int elem = x[0]->type.elem;
    if (op == SC_POW) {
        lp_value *y = vm_pow_i64(b, lp_cast(b, x[0], DT_i64), lp_cast(b, x[1], DT_i64));
        return lp_cast(b, y, elem);
    }
    lp_value *wide[2] = {lp_cast(b, x[0], DT_f64), NULL};
    if (op == SC_ATAN2) wide[1] = lp_cast(b, x[1], DT_f64);
    return lp_cast(b, cg_vmath(b, op, wide), elem);
}

/* ---- dispatch ---------------------------------------------------------------------------------------------------------- */

static vm_fn *const functions[SC_OP_COUNT] = {
    [SC_EXP] = vm_exp,     [SC_EXPM1] = vm_expm1, [SC_SINH] = vm_sinh,   [SC_COSH] = vm_cosh,
    [SC_TANH] = vm_tanh,   [SC_LOG] = vm_log,     [SC_LOG1P] = vm_log1p, [SC_ASINH] = vm_asinh,
    [SC_ACOSH] = vm_acosh, [SC_ATANH] = vm_atanh, [SC_SIN] = vm_sin,     [SC_COS] = vm_cos,
    [SC_TAN] = vm_tan,     [SC_ASIN] = vm_asin,   [SC_ACOS] = vm_acos,   [SC_ATAN] = vm_atan,
    [SC_ERF] = vm_erf,
};
static vm_fn2 *const functions2[SC_OP_COUNT] = {[SC_POW] = vm_pow, [SC_ATAN2] = vm_atan2};

static bool is_inlined(sc_op op, bool wide) {
    bool only_f32 = op == SC_ERF || op == SC_ASIN || op == SC_ACOS || op == SC_ATAN ||
                    op == SC_POW || op == SC_ATAN2;
    return !(wide && only_f32);
}

lp_value *cg_vmath(lp_builder *b, sc_op op, lp_value *const *x) {
    if (!ir_dtype_is_float((ir_dtype)x[0]->type.elem)) return of_integers(b, op, x);
    vm v = vm_of(b, x[0]);
    if (!is_inlined(op, v.wide)) return vm_call_library(b, op, x);
    if (functions2[op]) return functions2[op](&v, x[0], x[1]);
    TL_ASSERT(functions[op]);
    return functions[op](&v, x[0]);
}
