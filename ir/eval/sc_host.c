/* Host arithmetic on single elements; see sc_host.h. f32 operations are computed in double and rounded once, which for
 * + - * / and the square root gives the correctly rounded f32 result, and for the transcendental functions a result
 * that is better than what compiled code is held to. */
#include "ir/eval/sc_host.h"

#include "ir/base/assert.h"
#include "ir/tensor.h"

#include <math.h>

int64_t sc_host_wrap(ir_dtype t, int64_t v) {
    uint32_t bits = ir_dtype_bits(t);
    if (t == DT_bool) return v != 0;
    if (bits >= 64) return v;
    uint64_t mask = ((uint64_t)1 << bits) - 1, low = (uint64_t)v & mask;
    bool negative = ir_dtype_get_class(t) == DTYPE_INT && (low >> (bits - 1)) != 0;
    return (int64_t)(negative ? low | ~mask : low);
}

int64_t sc_host_to_int(ir_dtype t, double v) {
    uint32_t bits = ir_dtype_bits(t);
    if (isnan(v)) return 0;
    if (bits < 8) return sc_host_wrap(t, sc_host_to_int(DT_i64, v));
    if (ir_dtype_get_class(t) == DTYPE_UINT) {
        if (v <= 0) return 0;
        if (v >= ldexp(1, (int)bits))
            return (int64_t)(bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1);
        return (int64_t)(uint64_t)v;
    }
    double limit = ldexp(1, (int)bits - 1);
    int64_t max = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
    if (v >= limit) return max;
    if (v <= -limit) return -max - 1;
    return (int64_t)v;
}

sc_cell sc_host_load(ir_dtype t, const void *data, size_t at) {
    if (ir_dtype_is_float(t)) return (sc_cell){.f = ir_element_get_f64(t, data, at)};
    return (sc_cell){.i = t == DT_bool ? ((const uint8_t *)data)[at] != 0
                                       : ir_element_get_i64(t, data, at)};
}

void sc_host_store(ir_dtype t, void *data, size_t at, sc_cell v) {
    if (ir_dtype_is_float(t))
        ir_element_set_f64(t, data, at, v.f);
    else
        ir_element_set_i64(t, data, at, v.i);
}

static double apply_f1(sc_op op, double x) {
    switch (op) {
    case SC_NEG:
        return -x;
    case SC_ABS:
        return fabs(x);
    case SC_SQRT:
        return sqrt(x);
    case SC_FLOOR:
        return floor(x);
    case SC_CEIL:
        return ceil(x);
    case SC_RINT:
        return nearbyint(x); /* the rounding mode is to nearest even */
    case SC_TRUNC:
        return trunc(x);
    case SC_EXP:
        return exp(x);
    case SC_LOG:
        return log(x);
    case SC_LOG1P:
        return log1p(x);
    case SC_EXPM1:
        return expm1(x);
    case SC_SIN:
        return sin(x);
    case SC_COS:
        return cos(x);
    case SC_TAN:
        return tan(x);
    case SC_ASIN:
        return asin(x);
    case SC_ACOS:
        return acos(x);
    case SC_ATAN:
        return atan(x);
    case SC_SINH:
        return sinh(x);
    case SC_COSH:
        return cosh(x);
    case SC_TANH:
        return tanh(x);
    case SC_ASINH:
        return asinh(x);
    case SC_ACOSH:
        return acosh(x);
    case SC_ATANH:
        return atanh(x);
    case SC_ERF:
        return erf(x);
    default:
        TL_UNREACHABLE();
    }
}

static double min_f(double x, double y) {
    return isnan(x) ? x : isnan(y) ? y : x < y ? x : y;
}
static double max_f(double x, double y) {
    return isnan(x) ? x : isnan(y) ? y : x > y ? x : y;
}

static double apply_f2(sc_op op, double x, double y) {
    switch (op) {
    case SC_ADD:
        return x + y;
    case SC_SUB:
        return x - y;
    case SC_MUL:
        return x * y;
    case SC_DIV:
        return x / y;
    case SC_REM:
        return fmod(x, y);
    case SC_MIN:
        return min_f(x, y);
    case SC_MAX:
        return max_f(x, y);
    case SC_POW:
        return pow(x, y);
    case SC_ATAN2:
        return atan2(x, y);
    default:
        TL_UNREACHABLE();
    }
}

static double apply_float(sc_op op, ir_dtype t, const sc_cell *x) {
    double y;
    if (op == SC_FMA)
        y = t == DT_f32 ? fmaf((float)x[0].f, (float)x[1].f, (float)x[2].f)
                        : fma(x[0].f, x[1].f, x[2].f);
    else
        y = op >= SC_NEG && op <= SC_ERF ? apply_f1(op, x[0].f) : apply_f2(op, x[0].f, x[1].f);
    return t == DT_f32 ? (float)y : y;
}

/* -1, 0, 1 */
static int compare_int(ir_dtype t, int64_t x, int64_t y) {
    if (t == DT_u64) return ((uint64_t)x > (uint64_t)y) - ((uint64_t)x < (uint64_t)y);
    return (x > y) - (x < y);
}

/* x/0 = 0, x rem 0 = 0, INT_MIN/-1 = INT_MIN (by wrapping). */
static int64_t divide(ir_dtype t, int64_t x, int64_t y, bool rem) {
    if (y == 0) return 0;
    if (t == DT_u64) return (int64_t)(rem ? (uint64_t)x % (uint64_t)y : (uint64_t)x / (uint64_t)y);
    if (y == -1) return rem ? 0 : (int64_t)(0 - (uint64_t)x);
    return rem ? x % y : x / y;
}

static int64_t shift(sc_op op, ir_dtype t, int64_t x, int64_t y) {
    if ((uint64_t)y >= ir_dtype_bits(t)) return 0;
    uint64_t mask = ir_dtype_bits(t) == 64 ? UINT64_MAX : ((uint64_t)1 << ir_dtype_bits(t)) - 1;
    uint64_t u = (uint64_t)x & mask;
    return (int64_t)(op == SC_SHL ? u << y : u >> y);
}

/* By squaring, modulo 2^64. A negative exponent gives the truncated fraction: 0 but for bases 1 and -1. */
static int64_t power(int64_t base, int64_t exponent) {
    if (exponent < 0) {
        if (base == 1) return 1;
        return base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    }
    uint64_t y = 1, b = (uint64_t)base;
    for (uint64_t k = (uint64_t)exponent; k; k >>= 1, b *= b)
        if (k & 1) y *= b;
    return (int64_t)y;
}

static int64_t apply_int(sc_op op, ir_dtype t, int64_t x, int64_t y, int64_t z) {
    uint64_t a = (uint64_t)x, b = (uint64_t)y;
    switch (op) {
    case SC_ADD:
        return (int64_t)(a + b);
    case SC_SUB:
        return (int64_t)(a - b);
    case SC_MUL:
        return (int64_t)(a * b);
    case SC_FMA:
        return (int64_t)(a * b + (uint64_t)z);
    case SC_DIV:
        return divide(t, x, y, false);
    case SC_REM:
        return divide(t, x, y, true);
    case SC_MIN:
        return compare_int(t, x, y) < 0 ? x : y;
    case SC_MAX:
        return compare_int(t, x, y) > 0 ? x : y;
    case SC_AND:
        return x & y;
    case SC_OR:
        return x | y;
    case SC_XOR:
        return x ^ y;
    case SC_SHL:
    case SC_SHR:
        return shift(op, t, x, y);
    case SC_POW:
        return power(x, y);
    case SC_NEG:
        return (int64_t)(0 - a);
    case SC_ABS:
        return ir_dtype_is_signed(t) && x < 0 ? (int64_t)(0 - a) : x;
    case SC_NOT:
        return t == DT_bool ? !x : ~x;
    case SC_SQRT:
        return (int64_t)sqrt((double)x);
    case SC_FLOOR:
    case SC_CEIL:
    case SC_RINT:
    case SC_TRUNC:
        return x;
    default:
        TL_UNREACHABLE();
    }
}

static bool compare(sc_op op, ir_dtype t, sc_cell x, sc_cell y) {
    if (ir_dtype_is_float(t)) {
        switch (op) {
        case SC_EQ:
            return x.f == y.f;
        case SC_NE:
            return x.f != y.f;
        case SC_LT:
            return x.f < y.f;
        case SC_LE:
            return x.f <= y.f;
        case SC_GT:
            return x.f > y.f;
        default:
            return x.f >= y.f;
        }
    }
    int c = compare_int(t, x.i, y.i);
    switch (op) {
    case SC_EQ:
        return c == 0;
    case SC_NE:
        return c != 0;
    case SC_LT:
        return c < 0;
    case SC_LE:
        return c <= 0;
    case SC_GT:
        return c > 0;
    default:
        return c >= 0;
    }
}

static double int_to_float(ir_dtype from, ir_dtype to, int64_t v) {
    if (to == DT_f32) return from == DT_u64 ? (float)(uint64_t)v : (float)v;
    return from == DT_u64 ? (double)(uint64_t)v : (double)v;
}

static sc_cell cast(ir_dtype from, ir_dtype to, sc_cell x) {
    if (ir_dtype_is_float(from)) {
        if (ir_dtype_is_float(to)) return (sc_cell){.f = to == DT_f32 ? (float)x.f : x.f};
        return (sc_cell){.i = to == DT_bool ? x.f != 0 : sc_host_to_int(to, x.f)};
    }
    if (ir_dtype_is_float(to)) return (sc_cell){.f = int_to_float(from, to, x.i)};
    return (sc_cell){.i = sc_host_wrap(to, x.i)};
}

static sc_cell bitcast(ir_dtype from, ir_dtype to, sc_cell x) {
    uint64_t bits = 0;
    sc_host_store(from, &bits, 0, x);
    return sc_host_load(to, &bits, 0);
}

sc_cell sc_host_apply(sc_op op, ir_dtype type, ir_dtype arg_type, const sc_cell *x) {
    if (op == SC_SELECT) return x[0].i ? x[1] : x[2];
    if (op == SC_CAST) return cast(arg_type, type, x[0]);
    if (op == SC_BITCAST) return bitcast(arg_type, type, x[0]);
    if (op >= SC_EQ && op <= SC_GE) return (sc_cell){.i = compare(op, arg_type, x[0], x[1])};
    if (ir_dtype_is_float(type)) return (sc_cell){.f = apply_float(op, type, x)};
    return (sc_cell){.i = sc_host_wrap(type, apply_int(op, type, x[0].i, x[1].i, x[2].i))};
}

/* + - * / of floats, a loop each; double gives the f32 result when rounded once more. False: another operation. */
static bool apply_arithmetic(sc_op op, const sc_cell *a, const sc_cell *b, int64_t n, sc_cell *y) {
    switch (op) {
    case SC_ADD:
        for (int64_t i = 0; i < n; i++)
            y[i].f = a[i].f + b[i].f;
        return true;
    case SC_SUB:
        for (int64_t i = 0; i < n; i++)
            y[i].f = a[i].f - b[i].f;
        return true;
    case SC_MUL:
        for (int64_t i = 0; i < n; i++)
            y[i].f = a[i].f * b[i].f;
        return true;
    case SC_DIV:
        for (int64_t i = 0; i < n; i++)
            y[i].f = a[i].f / b[i].f;
        return true;
    default:
        return false;
    }
}

void sc_host_apply_row(sc_op op, ir_dtype type, ir_dtype arg_type, const sc_cell *const *x,
                       int64_t n, sc_cell *y) {
    if (ir_dtype_is_float(type) && apply_arithmetic(op, x[0], x[1], n, y)) {
        for (int64_t i = 0; type == DT_f32 && i < n; i++)
            y[i].f = (float)y[i].f;
        return;
    }
    for (int64_t i = 0; i < n; i++)
        y[i] = sc_host_apply(op, type, arg_type, (sc_cell[3]){x[0][i], x[1][i], x[2][i]});
}
