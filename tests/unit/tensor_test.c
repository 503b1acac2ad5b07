/* Elements of every numeric type, exhaustive conversions of the small floats, hashes, splats. */
#include "ir/ctx.h"
#include "ir/tensor.h"
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>

/* Every pattern survives a trip through f32; the values around each midpoint go to the right neighbour. */
static void test_f32_round_trips(void) {
    int f16_bad = 0, bf16_bad = 0;
    for (uint32_t h = 0; h < 0x10000; h++) {
        f16_bad += ir_f32_to_f16(ir_f16_to_f32((uint16_t)h)) != h;
        bf16_bad += ir_f32_to_bf16(ir_bf16_to_f32((uint16_t)h)) != h;
    }
    CHECK_EQ(f16_bad, 0);
    CHECK_EQ(bf16_bad, 0);
    CHECK_EQ(ir_f32_to_f16(65519.0f), 0x7bff);
    CHECK_EQ(ir_f32_to_f16(65520.0f), 0x7c00);
    CHECK_EQ(ir_f32_to_f16(-1e30f), 0xfc00);
    CHECK_EQ(ir_f32_to_f16(0x1p-25f), 0);
    CHECK_EQ(ir_f32_to_f16(0x1.8p-25f), 1);
    CHECK_EQ(ir_f32_to_bf16(3.4e38f), 0x7f80);
    CHECK_EQ(ir_f32_to_bf16(1.00390625f), 0x3f80);
    CHECK_EQ(ir_f32_to_bf16(1.01171875f), 0x3f82);
    CHECK(ir_f16_to_f32(0x3555) == 0x1.554p-2f);
    CHECK(ir_f16_to_f32(0x0001) == 0x1p-24f);
    CHECK(isinf(ir_f16_to_f32(0xfc00)));
}

/* For each pair of neighbouring positive numbers a < b: the midpoint goes to the even code, values beside it to the nearer. */
static void check_rounding(ir_dtype t, uint16_t largest) {
    int bad = 0;
    for (uint16_t code = 0; code < largest; code++) {
        double a = ir_float_decode(t, code), b = ir_float_decode(t, code + 1), middle = (a + b) / 2;
        uint16_t even = code & 1 ? code + 1 : code;
        bad += !(a < b) || ir_float_encode(t, a, true) != code;
        bad += ir_float_encode(t, middle, true) != even;
        bad += ir_float_encode(t, nextafter(middle, a), true) != code;
        bad += ir_float_encode(t, nextafter(middle, b), true) != code + 1;
        if (code) bad += ir_float_decode(t, ir_float_encode(t, -a, true)) != -a;
    }
    if (!CHECK_EQ(bad, 0)) fprintf(stderr, "  type %s\n", ir_dtype_name(t));
}

/* Bits as the ml_dtypes package for Python gives them (saturating where ONNX does). */
static void test_special_values(void) {
    static const struct {
        ir_dtype t;
        double v;
        bool saturate;
        uint16_t bits;
    } cases[] = {
        {DT_f8e4m3fn, INFINITY, false, 0x7f}, {DT_f8e4m3fn, INFINITY, true, 0x7e},
        {DT_f8e4m3fn, -500, true, 0xfe},      {DT_f8e4m3fn, 448, false, 0x7e},
        {DT_f8e4m3fn, 1.5, true, 0x3c},       {DT_f8e4m3fn, -0.0, true, 0x80},
        {DT_f8e4m3fnuz, -0.0, true, 0x00},    {DT_f8e4m3fnuz, NAN, true, 0x80},
        {DT_f8e4m3fnuz, 1e9, false, 0x80},    {DT_f8e4m3fnuz, 1.5, true, 0x44},
        {DT_f8e5m2, INFINITY, false, 0x7c},   {DT_f8e5m2, INFINITY, true, 0x7c},
        {DT_f8e5m2, 1.5, true, 0x3e},         {DT_f8e5m2, -1e9, false, 0xfc},
        {DT_f8e5m2fnuz, 3.0, true, 0x46},     {DT_f8e5m2fnuz, -1e9, true, 0xff},
        {DT_f4e2m1, 1e9, false, 0x7},         {DT_f4e2m1, -1.0, true, 0xa},
        {DT_f4e2m1, 2.5, true, 0x4},          {DT_f4e2m1, 0.25, true, 0x0},
        {DT_f8e8m0, 1.0, true, 0x7f},         {DT_f8e8m0, 1.5, true, 0x80},
        {DT_f8e8m0, 3.0, true, 0x81},         {DT_f8e8m0, 0.75, true, 0x7f},
        {DT_f8e8m0, -1.0, true, 0xff},        {DT_f8e8m0, NAN, true, 0xff},
        {DT_f8e8m0, INFINITY, true, 0xff},    {DT_f8e8m0, 1.49, true, 0x7f},
        {DT_f4e2m1, NAN, true, 0x8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK_EQ(ir_float_encode(cases[i].t, cases[i].v, cases[i].saturate), cases[i].bits))
            fprintf(stderr, "  %s of %g\n", ir_dtype_name(cases[i].t), cases[i].v);
    CHECK(ir_float_decode(DT_f8e4m3fn, 0x7e) == 448);
    CHECK(ir_float_decode(DT_f8e4m3fnuz, 0x7f) == 240);
    CHECK(ir_float_decode(DT_f8e5m2, 0x7b) == 57344);
    CHECK(ir_float_decode(DT_f8e5m2fnuz, 0x7f) == 57344);
    CHECK(ir_float_decode(DT_f4e2m1, 0xf) == -6);
    CHECK(ir_float_decode(DT_f8e8m0, 0) == 0x1p-127);
    CHECK(isnan(ir_float_decode(DT_f8e8m0, 0xff)));
    CHECK(isnan(ir_float_decode(DT_f8e4m3fn, 0xff)));
    CHECK(isnan(ir_float_decode(DT_f8e5m2fnuz, 0x80)));
    CHECK(isinf(ir_float_decode(DT_f8e5m2, 0xfc)));
}

static void test_integers(void) {
    static const ir_dtype types[] = {DT_i2, DT_i4, DT_i8, DT_i16, DT_i32, DT_i64,
                                     DT_u2, DT_u4, DT_u8, DT_u16, DT_u32, DT_u64};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        ir_dtype t = types[k];
        uint32_t bits = ir_dtype_bits(t);
        uint8_t data[64] = {0};
        for (size_t i = 0; i < 7; i++) {
            ir_element_set_i64(t, data, i, (int64_t)i * 77 - 3);
            for (size_t j = 0; j <= i; j++) { /* earlier elements stay */
                int64_t x = (int64_t)j * 77 - 3;
                uint64_t kept = bits == 64 ? (uint64_t)x
                                           : (uint64_t)x & (((uint64_t)1 << bits) - 1);
                if (ir_dtype_is_signed(t) && bits < 64 && kept >> (bits - 1))
                    kept |= ~(uint64_t)0 << bits;
                CHECK_EQ(ir_element_get_i64(t, data, j), (int64_t)kept);
            }
        }
    }
    uint64_t u;
    ir_element_set_f64(DT_u64, &u, 0, 0x1.8p63);
    CHECK(u == (uint64_t)3 << 62);
    CHECK(ir_element_get_f64(DT_u64, &u, 0) == 0x1.8p63);
    int8_t b;
    ir_element_set_f64(DT_i8, &b, 0, -1.9);
    CHECK_EQ(b, -1);
    ir_element_set_f64(DT_i8, &b, 0, 300.0);
    CHECK_EQ(b, 44);
    bool truth;
    ir_element_set_f64(DT_bool, &truth, 0, 0.5);
    CHECK_EQ(truth, 1);
}

static void test_floats_as_integers(void) {
    float f;
    ir_element_set_f64(DT_f32, &f, 0, 1e30);
    CHECK_EQ(ir_element_get_i64(DT_f32, &f, 0), INT64_MAX);
    ir_element_set_f64(DT_f32, &f, 0, NAN);
    CHECK_EQ(ir_element_get_i64(DT_f32, &f, 0), 0);
    ir_element_set_f64(DT_f32, &f, 0, -2.9);
    CHECK_EQ(ir_element_get_i64(DT_f32, &f, 0), -2);
    /* Rounding through f64 first would lose the last bit and tie: 2^60 + 2^36 + 1 is just above the middle. */
    int64_t v = ((int64_t)1 << 60) + ((int64_t)1 << 36) + 1;
    ir_element_set_i64(DT_f32, &f, 0, v);
    CHECK(f == (float)v && f != 0x1p60f);
    ir_element_set_i64(DT_f32, &f, 0, -v);
    CHECK(f == (float)-v && f != -0x1p60f);
    ir_element_set_i64(DT_f32, &f, 0, INT64_MIN);
    CHECK(f == -0x1p63f);
    uint16_t half;
    ir_element_set_f64(DT_f16, &half, 0, 1.0 + 0x1p-11 + 0x1p-40); /* one rounding, not two */
    CHECK_EQ(half, 0x3c01);
    double c128[2];
    ir_element_set_f64(DT_c128, c128, 0, 2.5);
    CHECK(c128[0] == 2.5 && c128[1] == 0 && ir_element_get_f64(DT_c128, c128, 0) == 2.5);
}

static void test_tensors(ir_ctx *c) {
    int64_t dims[] = {2, 3};
    const ir_type *type = ir_type_tensor_static(c, DT_f32, 2, dims);
    float data[] = {1, 1, 1, 1, 1, 1};
    ir_tensor *a = ir_tensor_create(&c->arena, type, data), *b = ir_tensor_alloc(&c->arena, type);
    for (size_t i = 0; i < 6; i++)
        ir_tensor_set_f64(b, i, 1);
    ir_tensor_seal(b);
    CHECK_EQ(ir_tensor_elements(a), 6);
    CHECK(a->hash == b->hash && ir_tensor_equal(a, b));
    CHECK(ir_tensor_is_splat(a));
    ir_tensor_set_f64(b, 5, 2);
    ir_tensor_seal(b);
    CHECK(a->hash != b->hash && !ir_tensor_equal(a, b));
    CHECK(!ir_tensor_is_splat(b));
    const ir_type *flat = ir_type_tensor_static(c, DT_f32, 1, (int64_t[]){6});
    CHECK(ir_tensor_create(&c->arena, flat, data)->hash != a->hash); /* the shape is part of it */
    uint8_t nibbles[] = {0x33, 0x33, 0xf3};                          /* five elements and padding */
    const ir_type *five = ir_type_tensor_static(c, DT_u4, 1, (int64_t[]){5});
    CHECK(ir_tensor_is_splat(ir_tensor_create(&c->arena, five, nibbles)));
    tl_sv strings[] = {{"a", 1}, {"a", 1}, {"b", 1}};
    const ir_type *three = ir_type_tensor_static(c, DT_str, 1, (int64_t[]){3});
    const ir_type *two = ir_type_tensor_static(c, DT_str, 1, (int64_t[]){2});
    CHECK(!ir_tensor_is_splat(ir_tensor_create(&c->arena, three, strings)));
    CHECK(ir_tensor_is_splat(ir_tensor_create(&c->arena, two, strings)));
    const ir_type *empty = ir_type_tensor_static(c, DT_f32, 1, (int64_t[]){0});
    CHECK(!ir_tensor_is_splat(ir_tensor_alloc(&c->arena, empty)));
}

int main(void) {
    tl_fail fail = {0};
    ir_ctx c;
    if (setjmp(fail.jump)) return 1;
    ir_ctx_init(&c, &fail);
    test_f32_round_trips();
    check_rounding(DT_f16, 0x7bff);
    check_rounding(DT_bf16, 0x7f7f);
    check_rounding(DT_f8e4m3fn, 0x7e);
    check_rounding(DT_f8e4m3fnuz, 0x7f);
    check_rounding(DT_f8e5m2, 0x7b);
    check_rounding(DT_f8e5m2fnuz, 0x7f);
    check_rounding(DT_f4e2m1, 0x7);
    test_special_values();
    test_integers();
    test_floats_as_integers();
    test_tensors(&c);
    ir_ctx_release(&c);
    return check_done();
}
