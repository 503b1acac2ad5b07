/* codegen/llvm_*: every operation of the loop IR, for every element type and 1, 4, 8 and 16 lanes, compiled in memory and compared with
 * plain C on all pairs of awkward values. All CPU levels that this machine can run. */
#include "ir/tensor.h"
#include "tests/support/jit_fixture.h"

#include <inttypes.h>

enum { MAX_VALUES = 40, MAX_PAIRS = MAX_VALUES * MAX_VALUES, N_LANES = 4 };
static const int lane_counts[N_LANES] = {1, 4, 8, 16};

static const char *vector(fixture *x, const char *elem, int lanes) {
    if (lanes == 1) return elem;
    return tl_arena_printf(&x->ctx.arena, "%sx%d", elem, lanes);
}

/* A loop over the arrays around one operation: r = op(x, y, z). */
static const char *add_function(fixture *x, const char *op, const char *in, const char *out,
                                int arity, int lanes) {
    const char *from = vector(x, in, lanes), *to = vector(x, out, lanes);
    const char *name = tl_arena_printf(&x->ctx.arena, "%s_%s_%s_%d", op, in, out, lanes);
    tl_str *s = &x->text;
    bool converts = strcmp(op, "cast") == 0 || strcmp(op, "bitcast") == 0;
    tl_str_printf(s, "func @%s(ptr %%x, ptr %%y, ptr %%z, ptr %%r, i64 %%n) external {\n", name);
    tl_str_printf(s, "for %%i = 0 to %%n step %d {\n", lanes);
    for (int k = 0; k < arity; k++)
        tl_str_printf(s, "%%a%d = load %s %%%c[%%i]\n", k, from, "xyz"[k]);
    tl_str_printf(s, "%%v = %s %s %%a0", op, converts ? to : from);
    for (int k = 1; k < arity; k++)
        tl_str_printf(s, ", %%a%d", k);
    tl_str_printf(s, "\nstore %s %%r[%%i], %%v\n}\n}\n", to);
    return name;
}

/* ---- awkward values ------------------------------------------------------------------------------------------- */

typedef struct values {
    ir_dtype type;
    uint32_t n;
    uint64_t data[MAX_VALUES]; /* elements of the type, packed */
} values;

static const double awkward_floats[] = {
    0.0,      -0.0,    1.0,          -1.0,     0.5,       -0.5,         1.5,           2.5,
    -2.5,     3.7,     -3.7,         127.5,    -128.9,    255.5,        256.0,         32767.6,
    -32769.0, 65504.0, 65519.99,     65520.0,  -1e6,      2147483647.0, -2147483649.0, 4294967296.0,
    9.3e18,   -9.3e18, 1.9e19,       1e30,     -3.5e38,   1e300,        6e-8,          2.9e-8,
    -1e-40,   1e-45,   1.0009765625, INFINITY, -INFINITY, NAN,
};
static const int64_t awkward_ints[] = {
    0,
    1,
    -1,
    2,
    -2,
    3,
    7,
    -7,
    100,
    127,
    128,
    -128,
    -129,
    255,
    256,
    32767,
    -32768,
    65535,
    65536,
    16777217,
    2147483647,
    -2147483648LL,
    4294967295LL,
    123456789012345LL,
    9007199254740993LL,
    INT64_MAX,
    INT64_MIN,
    INT64_MAX - 511,
    0x7fffff4000000001LL,
    1000003,
};

static values values_of(ir_dtype t) {
    values v = {.type = t};
    if (ir_dtype_is_float(t)) {
        v.n = sizeof awkward_floats / sizeof *awkward_floats;
        for (uint32_t i = 0; i < v.n; i++)
            ir_element_set_f64(t, v.data, i, awkward_floats[i]);
    } else if (t == DT_bool) {
        v.n = 2;
        ((uint8_t *)v.data)[1] = 1;
    } else {
        v.n = sizeof awkward_ints / sizeof *awkward_ints;
        for (uint32_t i = 0; i < v.n; i++)
            ir_element_set_i64(t, v.data, i, awkward_ints[i]);
    }
    return v;
}

/* All pairs, and for the third operand yet another order; filled up to whole vectors of 16. */
typedef struct operands {
    uint32_t n;
    _Alignas(64) char x[MAX_PAIRS * 8 + 128], y[MAX_PAIRS * 8 + 128], z[MAX_PAIRS * 8 + 128],
        r[MAX_PAIRS * 8 + 128];
} operands;

static void copy_element(ir_dtype t, void *to, size_t i, const void *from, size_t j) {
    size_t size = ir_dtype_bits(t) / 8;
    memcpy((char *)to + i * size, (const char *)from + j * size, size);
}

static void fill(operands *o, ir_dtype t) {
    values v = values_of(t);
    uint32_t pairs = v.n * v.n;
    o->n = (pairs + 15) / 16 * 16;
    for (uint32_t i = 0; i < o->n; i++) {
        copy_element(t, o->x, i, v.data, i / v.n % v.n);
        copy_element(t, o->y, i, v.data, i % v.n);
        copy_element(t, o->z, i, v.data, (i * 7 + 3) % v.n);
    }
}

/* ---- plain C -------------------------------------------------------------------------------------------------- */

#define FLOAT_OPS(T, BITS, SUFFIX)                   \
    static T float_op_##T(lp_op op, T x, T y, T z) { \
        BITS a, b;                                   \
        memcpy(&a, &x, sizeof a);                    \
        memcpy(&b, &y, sizeof b);                    \
        switch (op) {                                \
        case LP_add:                                 \
            return x + y;                            \
        case LP_sub:                                 \
            return x - y;                            \
        case LP_mul:                                 \
            return x * y;                            \
        case LP_div:                                 \
            return x / y;                            \
        case LP_rem:                                 \
            return fmod##SUFFIX(x, y);               \
        case LP_min:                                 \
            return isnan(x) || x < y ? x : y;        \
        case LP_max:                                 \
            return isnan(x) || x > y ? x : y;        \
        case LP_lesser:                              \
            return x < y ? x : y;                    \
        case LP_greater:                             \
            return x > y ? x : y;                    \
        case LP_and:                                 \
            a &= b;                                  \
            break;                                   \
        case LP_or:                                  \
            a |= b;                                  \
            break;                                   \
        case LP_xor:                                 \
            a ^= b;                                  \
            break;                                   \
        case LP_neg:                                 \
            return -x;                               \
        case LP_abs:                                 \
            return fabs##SUFFIX(x);                  \
        case LP_sqrt:                                \
            return sqrt##SUFFIX(x);                  \
        case LP_floor:                               \
            return floor##SUFFIX(x);                 \
        case LP_ceil:                                \
            return ceil##SUFFIX(x);                  \
        case LP_rint:                                \
            return nearbyint##SUFFIX(x);             \
        case LP_trunc:                               \
            return trunc##SUFFIX(x);                 \
        case LP_fma:                                 \
            return fma##SUFFIX(x, y, z);             \
        default:                                     \
            return (T)123.25;                        \
        }                                            \
        memcpy(&x, &a, sizeof x);                    \
        return x;                                    \
    }
FLOAT_OPS(float, uint32_t, f)
FLOAT_OPS(double, uint64_t, )

/* Two's complement in 64 bits; the store wraps to the type. Booleans: 0 and 1. */
static int64_t int_op(lp_op op, ir_dtype t, int64_t x, int64_t y) {
    bool s = ir_dtype_is_signed(t), is_bool = t == DT_bool;
    uint64_t a = (uint64_t)x, b = (uint64_t)y;
    bool less = s ? x < y : a < b;
    switch (op) {
    case LP_add:
        return is_bool ? x | y : (int64_t)(a + b);
    case LP_sub:
        return (int64_t)(a - b);
    case LP_mul:
        return (int64_t)(a * b);
    case LP_div:
        return s ? x / y : (int64_t)(a / b);
    case LP_rem:
        return s ? x % y : (int64_t)(a % b);
    case LP_min:
    case LP_lesser:
        return less ? x : y;
    case LP_max:
    case LP_greater:
        return less ? y : x;
    case LP_and:
        return x & y;
    case LP_or:
        return x | y;
    case LP_xor:
        return x ^ y;
    case LP_shl:
        return (int64_t)(a << y);
    case LP_shr:
        return s ? x >> y : (int64_t)(a >> y);
    case LP_neg:
        return (int64_t)(0 - a);
    case LP_abs:
        return s && x < 0 ? (int64_t)(0 - a) : x;
    case LP_not:
        return is_bool ? !x : ~x;
    default:
        return 99;
    }
}

static bool compare_op(lp_op op, bool less, bool equal, bool unordered) {
    switch (op) {
    case LP_eq:
        return equal;
    case LP_ne:
        return !equal;
    case LP_lt:
        return less;
    case LP_le:
        return less || equal;
    case LP_gt:
        return !unordered && !less && !equal;
    default:
        return !unordered && !less;
    }
}

static bool compare_elements(lp_op op, ir_dtype t, const void *x, const void *y, size_t i) {
    if (ir_dtype_is_float(t)) {
        double a = ir_element_get_f64(t, x, i), b = ir_element_get_f64(t, y, i);
        return compare_op(op, a < b, a == b, isnan(a) || isnan(b));
    }
    int64_t a = ir_element_get_i64(t, x, i), b = ir_element_get_i64(t, y, i);
    bool less = ir_dtype_is_signed(t) ? a < b : (uint64_t)a < (uint64_t)b;
    return compare_op(op, less, a == b, false);
}

static void expected_element(lp_op op, ir_dtype t, const operands *o, size_t i, void *r) {
    if (lp_op_is_compare(op)) {
        *(uint8_t *)r = compare_elements(op, t, o->x, o->y, i);
    } else if (t == DT_f32) {
        const float *x = (const float *)o->x, *y = (const float *)o->y, *z = (const float *)o->z;
        *(float *)r = float_op_float(op, x[i], y[i], z[i]);
    } else if (t == DT_f64) {
        const double *x = (const double *)o->x, *y = (const double *)o->y;
        *(double *)r = float_op_double(op, x[i], y[i], ((const double *)o->z)[i]);
    } else {
        int64_t x = ir_element_get_i64(t, o->x, i), y = ir_element_get_i64(t, o->y, i);
        ir_element_set_i64(t, r, 0, int_op(op, t, x, y));
    }
}

/* The same bits, or both NaN. */
static bool same_element(ir_dtype t, const void *a, size_t i, const void *b, size_t j) {
    size_t size = ir_dtype_bits(t) / 8;
    if (memcmp((const char *)a + i * size, (const char *)b + j * size, size) == 0) return true;
    return ir_dtype_is_float(t) && isnan(ir_element_get_f64(t, a, i)) &&
           isnan(ir_element_get_f64(t, b, j));
}

/* ---- elementwise operations ----------------------------------------------------------------------------------- */

static const ir_dtype int_types[] = {DT_i8, DT_u8, DT_i16, DT_u16, DT_i32, DT_u32, DT_i64, DT_u64};
static const ir_dtype cast_types[] = {DT_bool, DT_i8,  DT_u8,  DT_i16,  DT_u16, DT_i32, DT_u32,
                                      DT_i64,  DT_u64, DT_f16, DT_bf16, DT_f32, DT_f64};
enum { N_INTS = 8, N_CASTS = 13 };

static const struct {
    lp_op op;
    const char *kinds; /* b: bool, i: integers, f: f32 and f64 */
} elementwise[] = {
    {LP_add, "bif"}, {LP_sub, "if"},  {LP_mul, "bif"},    {LP_div, "if"},      {LP_rem, "if"},
    {LP_min, "bif"}, {LP_max, "bif"}, {LP_lesser, "bif"}, {LP_greater, "bif"}, {LP_and, "bif"},
    {LP_or, "bif"},  {LP_xor, "bif"}, {LP_shl, "i"},      {LP_shr, "i"},       {LP_eq, "bif"},
    {LP_ne, "bif"},  {LP_lt, "bif"},  {LP_le, "bif"},     {LP_gt, "bif"},      {LP_ge, "bif"},
    {LP_neg, "if"},  {LP_abs, "if"},  {LP_not, "bi"},     {LP_sqrt, "f"},      {LP_floor, "f"},
    {LP_ceil, "f"},  {LP_rint, "f"},  {LP_trunc, "f"},    {LP_fma, "f"},
};
enum { N_ELEMENTWISE = sizeof elementwise / sizeof *elementwise };

static bool applies(int k, ir_dtype t) {
    char kind = t == DT_bool ? 'b' : ir_dtype_is_float(t) ? 'f' : 'i';
    return strchr(elementwise[k].kinds, kind) != NULL;
}

static const char *result_type(lp_op op, ir_dtype t) {
    return ir_dtype_name(lp_op_is_compare(op) ? DT_bool : t);
}

/* "Raw" operations: what the caller rules out. */
static bool allowed(lp_op op, ir_dtype t, const operands *o, size_t i) {
    if (ir_dtype_is_float(t)) return true;
    int64_t x = ir_element_get_i64(t, o->x, i), y = ir_element_get_i64(t, o->y, i);
    int64_t bits = ir_dtype_bits(t);
    if (op == LP_shl || op == LP_shr) return y >= 0 && y < bits;
    bool least = ir_dtype_is_signed(t) && x == (int64_t)((uint64_t)-1 << (bits - 1));
    return (op != LP_div && op != LP_rem) || (y != 0 && !(least && y == -1));
}

/* Pairs that are not allowed become 1 op 1. */
static void replace_forbidden(lp_op op, ir_dtype t, operands *o) {
    for (uint32_t i = 0; i < o->n; i++) {
        if (allowed(op, t, o, i)) continue;
        ir_element_set_i64(t, o->x, i, 1);
        ir_element_set_i64(t, o->y, i, 1);
    }
}

static operands o; /* large */

static void report(const char *name, size_t i, ir_dtype in, ir_dtype out, const void *expected) {
    fprintf(stderr,
            "  %s, element %zu: x %.17g (%" PRId64 "), y %.17g: got %.17g, expected %.17g\n", name,
            i, ir_element_get_f64(in, o.x, i), ir_element_get_i64(in, o.x, i),
            ir_element_get_f64(in, o.y, i), ir_element_get_f64(out, o.r, i),
            ir_element_get_f64(out, expected, 0));
}

static void check_elementwise(fixture *x, int k, ir_dtype t, const char *name) {
    lp_op op = elementwise[k].op;
    ir_dtype out = lp_op_is_compare(op) ? DT_bool : t;
    array_fn *f = find(x, name);
    if (!f) return;
    fill(&o, t);
    replace_forbidden(op, t, &o);
    memset(o.r, 0xcc, sizeof o.r);
    f(o.x, o.y, o.z, o.r, o.n);
    for (uint32_t i = 0; i < o.n; i++) {
        uint64_t expected = 0;
        expected_element(op, t, &o, i, &expected);
        if (CHECK(same_element(out, o.r, i, &expected, 0))) continue;
        report(name, i, t, out, &expected);
        return;
    }
}

static void each_elementwise(fixture *x, ir_dtype t, bool run) {
    for (int k = 0; k < N_ELEMENTWISE; k++) {
        lp_op op = elementwise[k].op;
        if (!applies(k, t)) continue;
        for (int l = 0; l < N_LANES; l++) {
            const char *in = ir_dtype_name(t), *out = result_type(op, t);
            if (run)
                check_elementwise(x, k, t,
                                  tl_arena_printf(&x->ctx.arena, "%s_%s_%s_%d", lp_op_name(op), in,
                                                  out, lane_counts[l]));
            else
                add_function(x, lp_op_name(op), in, out, lp_op_arity(op), lane_counts[l]);
        }
    }
}

static void test_elementwise(const cg_target *target) {
    fixture x;
    setup(&x, target);
    for (int run = 0; run < 2; run++) {
        if (run && !compile_checked(&x)) break;
        each_elementwise(&x, DT_bool, run);
        each_elementwise(&x, DT_f32, run);
        each_elementwise(&x, DT_f64, run);
        for (int i = 0; i < N_INTS; i++)
            each_elementwise(&x, int_types[i], run);
    }
    teardown(&x);
}

/* ---- conversions ---------------------------------------------------------------------------------------------- */

static int64_t saturated(ir_dtype to, double v) {
    uint32_t bits = ir_dtype_bits(to);
    bool s = ir_dtype_is_signed(to);
    double high = ldexp(1, (int)bits - s), low = s ? -high : 0;
    if (isnan(v)) return 0;
    v = trunc(v);
    if (v >= high) return s ? (int64_t)((UINT64_C(1) << (bits - 1)) - 1) : -1;
    if (v <= low) return s ? (int64_t)((uint64_t)-1 << (bits - 1)) : 0;
    return s ? (int64_t)v : (int64_t)(uint64_t)v;
}

static double int_as_double(ir_dtype from, int64_t v) {
    return from == DT_u64 ? (double)(uint64_t)v : (double)v;
}

static void expected_cast(ir_dtype from, ir_dtype to, const void *x, size_t i, void *r) {
    bool from_float = ir_dtype_is_float(from);
    double v = from_float ? ir_element_get_f64(from, x, i) : 0;
    int64_t k = from_float ? 0 : ir_element_get_i64(from, x, i);
    if (to == DT_bool)
        *(uint8_t *)r = from_float ? v != 0 : k != 0;
    else if (!ir_dtype_is_float(to))
        ir_element_set_i64(to, r, 0, from_float ? saturated(to, v) : k);
    else if (to == DT_f32 && !from_float)
        *(float *)r = from == DT_u64 ? (float)(uint64_t)k : (float)k;
    else
        ir_element_set_f64(to, r, 0, from_float ? v : int_as_double(from, k));
}

static void check_cast(fixture *x, ir_dtype from, ir_dtype to, const char *name) {
    array_fn *f = find(x, name);
    if (!f) return;
    fill(&o, from);
    memset(o.r, 0xcc, sizeof o.r);
    f(o.x, o.y, o.z, o.r, o.n);
    for (uint32_t i = 0; i < o.n; i++) {
        uint64_t expected = 0;
        expected_cast(from, to, o.x, i, &expected);
        if (CHECK(same_element(to, o.r, i, &expected, 0))) continue;
        report(name, i, from, to, &expected);
        return;
    }
}

static void test_casts(const cg_target *target) {
    fixture x;
    setup(&x, target);
    for (int run = 0; run < 2; run++) {
        if (run && !compile_checked(&x)) break;
        for (int k = 0; k < N_CASTS * N_CASTS * N_LANES; k++) {
            ir_dtype from = cast_types[k % N_CASTS], to = cast_types[k / N_CASTS % N_CASTS];
            const char *in = ir_dtype_name(from), *out = ir_dtype_name(to);
            int lanes = lane_counts[k / N_CASTS / N_CASTS];
            if (run)
                check_cast(&x, from, to,
                           tl_arena_printf(&x.ctx.arena, "cast_%s_%s_%d", in, out, lanes));
            else
                add_function(&x, "cast", in, out, 1, lanes);
        }
    }
    teardown(&x);
}

/* All 65536 values of a 16-bit float to f32, and back from there. */
static void test_small_floats(const cg_target *target) {
    static uint16_t bits[65536], back[65536];
    static float wide[65536];
    static const ir_dtype types[] = {DT_f16, DT_bf16};
    fixture x;
    setup(&x, target);
    for (int k = 0; k < 2; k++) {
        add_function(&x, "cast", ir_dtype_name(types[k]), "f32", 1, 8);
        add_function(&x, "cast", "f32", ir_dtype_name(types[k]), 1, 8);
    }
    if (!compile_checked(&x)) return;
    for (int i = 0; i < 65536; i++)
        bits[i] = (uint16_t)i;
    for (int k = 0; k < 2; k++) {
        const char *t = ir_dtype_name(types[k]);
        find(&x, tl_arena_printf(&x.ctx.arena, "cast_%s_f32_8", t))(bits, 0, 0, wide, 65536);
        find(&x, tl_arena_printf(&x.ctx.arena, "cast_f32_%s_8", t))(wide, 0, 0, back, 65536);
        int wrong = 0;
        for (size_t i = 0; i < 65536; i++) {
            double v = ir_element_get_f64(types[k], bits, i);
            wrong += isnan(v) ? !isnan(wide[i]) : v != (double)wide[i];
            wrong += !same_element(types[k], bits, i, back, i);
        }
        CHECK_EQ(wrong, 0);
    }
    teardown(&x);
}

/* f32 to the 16-bit floats around every rounding border: the middle between neighbours, and a last place off it. */
static void test_rounding_borders(const cg_target *target) {
    enum { N = 3 * 32768 };
    static float x32[N];
    static double x64[N];
    static uint16_t r[N];
    static const ir_dtype types[] = {DT_f16, DT_bf16};
    fixture x;
    setup(&x, target);
    for (int k = 0; k < 2; k++) {
        add_function(&x, "cast", "f32", ir_dtype_name(types[k]), 1, 8);
        add_function(&x, "cast", "f64", ir_dtype_name(types[k]), 1, 8);
    }
    if (!compile_checked(&x)) return;
    for (int k = 0; k < 2; k++) {
        const char *t = ir_dtype_name(types[k]);
        for (uint32_t i = 0; i < 32768; i++) {
            uint16_t pair[2] = {(uint16_t)i, (uint16_t)(i + 1)};
            double low = ir_element_get_f64(types[k], pair, 0),
                   middle = low + (ir_element_get_f64(types[k], pair, 1) - low) / 2;
            for (int j = 0; j < 3; j++) {
                double to = j == 1 ? INFINITY : -INFINITY;
                x32[3 * i + j] = j ? nextafterf((float)middle, (float)to) : (float)middle;
                x64[3 * i + j] = j ? nextafter(middle, to) : middle;
            }
        }
        for (int wide = 0; wide < 2; wide++) {
            const char *name = tl_arena_printf(&x.ctx.arena, "cast_f%d_%s_8", wide ? 64 : 32, t);
            find(&x, name)(wide ? (void *)x64 : (void *)x32, 0, 0, r, N);
            int wrong = 0;
            for (size_t i = 0; i < N; i++) {
                uint16_t expected = 0;
                ir_element_set_f64(types[k], &expected, 0, wide ? x64[i] : (double)x32[i]);
                wrong += !same_element(types[k], &expected, 0, r, i);
            }
            CHECK_EQ(wrong, 0);
        }
    }
    teardown(&x);
}

int main(void) {
    return run_on_each_cpu((cpu_test *const[]){test_elementwise, test_casts, test_small_floats,
                                               test_rounding_borders, NULL});
}
