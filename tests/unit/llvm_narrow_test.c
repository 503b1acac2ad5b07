/* codegen/llvm_emit_narrow.c: every code of every float of a byte or less to f32 and back; f32 and f64 to them around every rounding
 * border, with the largest numbers, infinities and NaN; integers narrower than a byte. Expected: ir/float_formats.c. Also the products of
 * bytes of codegen/llvm_emit_dot.c. */
#include "ir/tensor.h"
#include "tests/support/jit_fixture.h"

static const ir_dtype types[] = {DT_f8e4m3fn,   DT_f8e4m3fnuz, DT_f8e5m2,
                                 DT_f8e5m2fnuz, DT_f8e8m0,     DT_f4e2m1};
enum { N_TYPES = sizeof types / sizeof *types };

/* @cast_FROM_TO: n elements, 8 at a time. */
static void add_cast(fixture *x, const char *from, const char *to) {
    tl_str_printf(&x->text,
                  "func @cast_%s_%s(ptr %%x, ptr %%y, ptr %%z, ptr %%r, i64 %%n) external {\n"
                  "  for %%i = 0 to %%n step 8 {\n    %%v = load %sx8 %%x[%%i]\n"
                  "    %%c = cast %sx8 %%v\n    store %sx8 %%r[%%i], %%c\n  }\n}\n",
                  from, to, from, to, to);
}

static array_fn *cast_function(fixture *x, const char *from, const char *to) {
    return find(x, tl_arena_printf(&x->ctx.arena, "cast_%s_%s", from, to));
}

static bool same_number(double a, double b) {
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

/* Codes of one type; NaN has several in some, of which one comes back. */
static void check_codes(fixture *x, ir_dtype t) {
    uint8_t codes[256], back[256];
    float wide[256];
    int n = t == DT_f4e2m1 ? 16 : 256, wrong = 0;
    for (int i = 0; i < n; i++)
        codes[i] = (uint8_t)i;
    cast_function(x, ir_dtype_name(t), "f32")(codes, 0, 0, wide, n);
    cast_function(x, "f32", ir_dtype_name(t))(wide, 0, 0, back, n);
    for (int i = 0; i < n; i++) {
        double v = ir_float_decode(t, (uint16_t)i);
        wrong += !same_number(v, (double)wide[i]);
        wrong += !same_number(v, ir_float_decode(t, back[i]));
    }
    CHECK_EQ(wrong, 0);
}

/* Numbers at, just below and just above x, with both signs. */
static uint32_t around(double *out, double x, bool single) {
    for (uint32_t i = 0; i < 6; i++) {
        double to = i % 3 == 1 ? INFINITY : -INFINITY, v = x;
        if (i % 3) v = single ? (double)nextafterf((float)x, (float)to) : nextafter(x, to);
        out[i] = i < 3 ? v : -v;
    }
    return 6;
}

static uint32_t borders(ir_dtype t, bool single, double *out) {
    uint32_t n = 0;
    double specials[] = {0,       INFINITY,  NAN,      1e30,       1e-30,
                         0x1p127, 0x1.8p127, 0x1p-126, 0x1.8p-127, 1e-40};
    for (uint32_t i = 0; i < sizeof specials / sizeof *specials; i++)
        n += around(out + n, specials[i], single);
    for (uint16_t code = 0; code < (t == DT_f8e8m0 ? 254 : t == DT_f4e2m1 ? 7 : 0x7e); code++) {
        double low = ir_float_decode(t, code), high = ir_float_decode(t, code + 1);
        if (isnan(low) || isnan(high) || isinf(high)) continue;
        n += around(out + n, low + (high - low) / 2, single);
        n += around(out + n, high + (high - low) / 2, single);
    }
    while (n % 8)
        out[n++] = 1;
    return n;
}

static void check_borders(fixture *x, ir_dtype t, bool single) {
    static double v64[4096];
    static float v32[4096];
    static uint8_t r[4096];
    int wrong = 0;
    uint32_t n = borders(t, single, v64);
    for (uint32_t i = 0; i < n; i++)
        v32[i] = (float)v64[i];
    cast_function(x, single ? "f32" : "f64", ir_dtype_name(t))(single ? (void *)v32 : (void *)v64,
                                                               0, 0, r, n);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t want = ir_float_encode(t, v64[i], true);
        wrong += !same_number(ir_float_decode(t, want), ir_float_decode(t, r[i]));
    }
    CHECK_EQ(wrong, 0);
}

static void test_floats(const cg_target *target) {
    fixture x;
    setup(&x, target);
    for (int k = 0; k < N_TYPES; k++) {
        add_cast(&x, ir_dtype_name(types[k]), "f32");
        add_cast(&x, "f32", ir_dtype_name(types[k]));
        add_cast(&x, "f64", ir_dtype_name(types[k]));
    }
    if (!compile_checked(&x)) return;
    for (int k = 0; k < N_TYPES; k++) {
        check_codes(&x, types[k]);
        check_borders(&x, types[k], true);
        check_borders(&x, types[k], false);
    }
    teardown(&x);
}

/* One element to a byte: integers wrap to their own width. */
static void test_integers(const cg_target *target) {
    static const struct {
        ir_dtype type;
        int bits;
    } kinds[] = {{DT_i4, 4}, {DT_u4, 4}, {DT_i2, 2}, {DT_u2, 2}};
    int32_t x32[64];
    int8_t r[64];
    fixture x;
    setup(&x, target);
    for (int k = 0; k < 4; k++)
        add_cast(&x, "i32", ir_dtype_name(kinds[k].type));
    if (!compile_checked(&x)) return;
    for (int i = 0; i < 64; i++)
        x32[i] = i - 32;
    for (int k = 0; k < 4; k++) {
        cast_function(&x, "i32", ir_dtype_name(kinds[k].type))(x32, 0, 0, r, 64);
        int wrong = 0, size = 1 << kinds[k].bits;
        for (int i = 0; i < 64; i++) {
            int want = ((x32[i] % size) + size) % size;
            if (ir_dtype_is_signed(kinds[k].type) && want >= size / 2) want -= size;
            wrong += r[i] != want;
        }
        CHECK_EQ(wrong, 0);
    }
    teardown(&x);
}

/* ---- products of bytes ----------------------------------------------------------------------------------------- */

static int32_t dot4(uint32_t x, uint32_t w, int32_t sum) {
    uint32_t s = (uint32_t)sum;
    for (int j = 0; j < 4; j++)
        s += (uint32_t)((int32_t)(uint8_t)(x >> 8 * j) * (int8_t)(w >> 8 * j));
    return (int32_t)s;
}

static int32_t dot2(uint32_t x, uint32_t w, int32_t sum) {
    uint32_t s = (uint32_t)sum;
    for (int j = 0; j < 2; j++)
        s += (uint32_t)((int32_t)(int16_t)(x >> 16 * j) * (int16_t)(w >> 16 * j));
    return (int32_t)s;
}

/* Bytes of -64 to 64 in place of these: two of them times 255 fit in 16 bits. */
static uint32_t small_bytes(uint32_t w) {
    uint32_t small = 0;
    for (int j = 0; j < 4; j++)
        small |= (uint32_t)(uint8_t)((int8_t)(w >> 8 * j) * 64 / 127) << 8 * j;
    return small;
}

/* sums: pairs, widened by dot2. The extreme bytes together, where an intermediate result of 16 bits would saturate, and all others in turn. */
static void check_dot(const cg_target *target, const char *op) {
    bool sums = strcmp(op, "pairs") == 0, narrow = sums || strcmp(op, "dot4n") == 0,
         halves = strcmp(op, "dot2") == 0;
    static const int lanes[] = {1, 4, 8, 16};
    static uint32_t x[256], w[256];
    static int32_t z[256], r[256];
    fixture f;
    setup(&f, target);
    for (int k = 0; k < 4; k++) {
        char type[16] = "i32";
        if (lanes[k] > 1) snprintf(type, sizeof type, "i32x%d", lanes[k]);
        tl_str_printf(&f.text,
                      "func @dot%d(ptr %%x, ptr %%y, ptr %%z, ptr %%r, i64 %%n) external {\n"
                      "  for %%i = 0 to %%n step %d {\n    %%a = load %s %%x[%%i]\n"
                      "    %%b = load %s %%y[%%i]\n    %%c = load %s %%z[%%i]\n",
                      lanes[k], lanes[k], type, type, type);
        if (sums)
            tl_str_printf(&f.text,
                          "    %%e = pairs i16x%d %%a, %%b\n    %%f = bitcast %s %%e\n"
                          "    %%g = const %s 65537\n    %%d = dot2 %s %%f, %%g, %%c\n",
                          2 * lanes[k], type, type, type);
        else
            tl_str_printf(&f.text, "    %%d = %s %s %%a, %%b, %%c\n", op, type);
        tl_str_printf(&f.text, "    store %s %%r[%%i], %%d\n  }\n}\n", type);
    }
    if (!compile_checked(&f)) return;
    for (uint32_t i = 0; i < 256; i++) {
        x[i] = i < 4 ? UINT32_MAX : i * 2654435761u;
        w[i] = i < 2 ? 0x80808080u : i < 4 ? 0x7f7f7f7fu : i * 40503u * 65537u;
        if (narrow) w[i] = i == 0 ? 0x00800080u : small_bytes(w[i]); /* -128 beside 0 is the most */
        z[i] = i % 2 ? INT32_MAX - (int32_t)i : (int32_t)i;
    }
    for (int k = 0; k < 4; k++) {
        int wrong = 0;
        find(&f, tl_arena_printf(&f.ctx.arena, "dot%d", lanes[k]))(x, w, z, r, 256);
        for (int i = 0; i < 256; i++)
            wrong += r[i] != (halves ? dot2 : dot4)(x[i], w[i], z[i]);
        CHECK_EQ(wrong, 0);
    }
    teardown(&f);
}

static void test_dot(const cg_target *target) {
    check_dot(target, "dot4");
    check_dot(target, "dot4n");
    check_dot(target, "dot2");
    check_dot(target, "pairs");
}

int main(void) {
    return run_on_each_cpu((cpu_test *const[]){test_floats, test_integers, test_dot, NULL});
}
