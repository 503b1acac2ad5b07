/* Elementwise operators: definitions (ir/scalar_defs.c) through the evaluator's host back end. */
#include "ir/scalar.h"
#include "tests/support/eval_fixture.h"

#define LEN(a) ((int64_t)(sizeof(a) / sizeof *(a)))

static void one(fixture *f, ir_node *n, ir_dtype t, const double *x, const double *y, int64_t count,
                double tolerance, int line) {
    fx_run(f, n, fx_vector(f, t, count, x));
    fx_expect_at(f, f->out[0].tensor, t, 1, &count, y, tolerance, __FILE__, line);
}
#define ONE(n, t, x, y, tolerance) one(&f, (n), (t), (x), (y), LEN(x), (tolerance), __LINE__)

/* The table of definitions has exactly the operators with the trait. */
static void test_table(void) {
    for (op_id op = 1; op < OP_COUNT; op++)
        CHECK_EQ(scalar_get(op) != NULL, op_is(op, OP_SCALAR));
    CHECK(!scalar_get(OP_None));
}

/* Expected values: python3 -c "import math; ..." with the formulas of the ONNX specification in double, e.g.
 * Gelu  [0.5*v*(1+math.erf(v/math.sqrt(2))) for v in (-2,-0.5,0,1,3)]
 * Mish  [v*math.tanh(math.log1p(math.exp(v))) ...],  Softplus [math.log1p(math.exp(v)) ...] */
static void test_activations(void) {
    fixture f;
    fx_open(&f);
    const double x[] = {-2, -0.5, 0, 1, 3};
    const double gelu[] = {-0.04550026389635842, -0.15426876936299344, 0, 0.8413447460685429,
                           2.99595030590511};
    ONE(fx_node(&f, OP_Gelu, 1, 1), DT_f32, x, gelu, 1e-6);
    ONE(fx_node(&f, OP_Gelu, 1, 1), DT_f64, x, gelu, 1e-14);
    const double gelu_tanh[] = {-0.045402305912224938, -0.15428599017485606, 0, 0.8411919906082768,
                                2.996362607918227};
    ir_node *n = fx_node(&f, OP_Gelu, 1, 1);
    ir_attr_set_string(f.module, n, "approximate", "tanh");
    ONE(n, DT_f64, x, gelu_tanh, 1e-14);
    const double mish[] = {-0.25250148269570881, -0.22074377465173, 0, 0.86509838826731033,
                           2.9865350049679575};
    ONE(fx_node(&f, OP_Mish, 1, 1), DT_f64, x, mish, 1e-13);
    const double softplus[] = {0.12692801104297249, 0.47407698418010669, 0.69314718055994529,
                               1.3132616875182228, 3.0485873515737421};
    ONE(fx_node(&f, OP_Softplus, 1, 1), DT_f64, x, softplus, 1e-14);
    const double sigmoid[] = {0.11920292202211755, 0.37754066879814541, 0.5, 0.7310585786300049,
                              0.95257412682243336};
    ONE(fx_node(&f, OP_Sigmoid, 1, 1), DT_f64, x, sigmoid, 1e-15);
    const double elu[] = {-0.8646647167633873, -0.3934693402873666, 0, 1, 3};
    ONE(fx_node(&f, OP_Elu, 1, 1), DT_f64, x, elu, 1e-15);
    const double selu[] = {-1.5201664733475926, -0.6917581899652425, 0, 1.0507010221481323,
                           3.1521030664443970};
    ONE(fx_node(&f, OP_Selu, 1, 1), DT_f64, x, selu, 1e-14);
    const double hard_swish[] = {-1.0 / 3, -0.5 * (0.5 - 0.5 / 6), 0, 2.0 / 3, 3};
    ONE(fx_node(&f, OP_HardSwish, 1, 1), DT_f64, x, hard_swish, 1e-14);
    const double relu[] = {0, 0, 0, 1, 3};
    ONE(fx_node(&f, OP_Relu, 1, 1), DT_f16, x, relu, 0);
    ONE(fx_node(&f, OP_Relu, 1, 1), DT_i8, ((const double[]){-2, -1, 0, 1, 3}), relu, 0);
    fx_close(&f);
}

static void test_extremes(void) {
    fixture f;
    fx_open(&f);
    const double x[] = {-INFINITY, -1000, 1000, INFINITY, NAN};
    ONE(fx_node(&f, OP_Sigmoid, 1, 1), DT_f32, x, ((const double[]){0, 0, 1, 1, NAN}), 0);
    ONE(fx_node(&f, OP_Softplus, 1, 1), DT_f32, x, ((const double[]){0, 0, 1000, INFINITY, NAN}),
        0);
    ONE(fx_node(&f, OP_Relu, 1, 1), DT_f32, x, ((const double[]){0, 0, 1000, INFINITY, NAN}), 0);
    ONE(fx_node(&f, OP_Elu, 1, 1), DT_f32, x, ((const double[]){-1, -1, 1000, INFINITY, NAN}), 0);
    ONE(fx_node(&f, OP_Celu, 1, 1), DT_f32, x, ((const double[]){-1, -1, 1000, INFINITY, NAN}), 0);
    ONE(fx_node(&f, OP_Sign, 1, 1), DT_f32, x, ((const double[]){-1, -1, 1, 1, NAN}), 0);
    ONE(fx_node(&f, OP_Round, 1, 1), DT_f32, ((const double[]){0.5, 1.5, 2.5, -0.5, -1.5}),
        ((const double[]){0, 2, 2, 0, -2}), 0);
    ONE(fx_node(&f, OP_Abs, 1, 1), DT_i8, ((const double[]){-128, -5, 5}),
        ((const double[]){-128, 5, 5}), 0);
    fx_close(&f);
}

static void two(fixture *f, ir_node *n, ir_dtype t, const double *x, ir_dtype u, const double *y,
                ir_dtype r, const double *z, int64_t count, int line) {
    fx_run(f, n, fx_vector(f, t, count, x), fx_vector(f, u, count, y));
    fx_expect_at(f, f->out[0].tensor, r, 1, &count, z, 1e-6, __FILE__, line);
}
#define TWO(n, t, x, u, y, r, z) two(&f, (n), (t), (x), (u), (y), (r), (z), LEN(z), __LINE__)
#define A(...)                   ((const double[]){__VA_ARGS__})

static void test_arithmetic(void) {
    fixture f;
    fx_open(&f);
    ir_node *divide = fx_node(&f, OP_Div, 2, 1), *mod = fx_node(&f, OP_Mod, 2, 1);
    const double q[] = {-3, 0, 3};
    TWO(divide, DT_i32, A(-7, 7, 7), DT_i32, A(2, 0, 2), DT_i32, q); /* toward zero; x/0 = 0 */
    const double least[] = {-128};
    TWO(divide, DT_i8, A(-128), DT_i8, A(-1), DT_i8, least);
    const double python[] = {2, -2, 1, -1, 0};
    TWO(mod, DT_i32, A(-4, 7, 7, -7, 5), DT_i32, A(3, -3, 3, -3, 0), DT_i32, python);
    ir_attr_set_int(f.module, mod, "fmod", 1);
    const double c[] = {-1, 1, 1, -1};
    TWO(mod, DT_f32, A(-4, 7, 7, -7), DT_f32, A(3, -3, 3, -3), DT_f32, c);
    ir_node *shift = fx_node(&f, OP_BitShift, 2, 1);
    ir_attr_set_string(f.module, shift, "direction", "LEFT");
    const double left[] = {2, 128, 0, 0};
    TWO(shift, DT_u8, A(1, 1, 1, 255), DT_u8, A(1, 7, 8, 200), DT_u8, left);
    ir_attr_set_string(f.module, shift, "direction", "RIGHT");
    const double right[] = {127, 1, 0};
    TWO(shift, DT_u8, A(255, 255, 255), DT_u8, A(1, 7, 8), DT_u8, right);
    const double sum[] = {-128, 4};
    TWO(fx_node(&f, OP_Add, 2, 1), DT_i8, A(127, 1), DT_i8, A(1, 3), DT_i8, sum);
    fx_close(&f);
}

static void test_pow(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_Pow, 2, 1);
    const double a[] = {1, 32, 729};
    TWO(n, DT_f32, A(1, 2, 3), DT_i64, A(4, 5, 6), DT_f32, a);
    TWO(n, DT_i32, A(1, 2, 3), DT_f32, A(4, 5, 6), DT_i32, a);
    TWO(n, DT_i64, A(1, 2, 3), DT_i32, A(4, 5, 6), DT_i64, a);
    const double root[] = {1, 3, 5}; /* truncated square roots of 2, 9, 26 */
    TWO(n, DT_i32, A(2, 9, 26), DT_f64, A(0.5, 0.5, 0.5), DT_i32, root);
    const double inverse[] = {0, 1, -1};
    TWO(n, DT_i32, A(2, 1, -1), DT_i32, A(-1, -2, -3), DT_i32, inverse);
    fx_close(&f);
}

static void test_min_max_clip(void) {
    fixture f;
    fx_open(&f);
    const double max[] = {NAN, NAN, 2}, min[] = {NAN, NAN, 1};
    TWO(fx_node(&f, OP_Max, 2, 1), DT_f32, A(NAN, 1, 1), DT_f32, A(1, NAN, 2), DT_f32, max);
    TWO(fx_node(&f, OP_Min, 2, 1), DT_f32, A(NAN, 1, 1), DT_f32, A(1, NAN, 2), DT_f32, min);
    ir_node *n = fx_node(&f, OP_Max, 3, 1);
    fx_run(&f, n, fx_vector(&f, DT_i32, 2, A(1, 9)), fx_scalar(&f, DT_i32, 4),
           fx_vector(&f, DT_i32, 1, A(2)));
    fx_expect_vector(&f, 0, DT_i32, 2, A(4, 9), 0);
    n = fx_node(&f, OP_Mean, 3, 1);
    fx_run(&f, n, fx_scalar(&f, DT_f32, 1), fx_scalar(&f, DT_f32, 4), fx_scalar(&f, DT_f32, 4));
    fx_expect_scalar(&f, 0, DT_f32, 3);
    ir_node *clip = fx_node(&f, OP_Clip, 3, 1);
    const ir_tensor *x = fx_vector(&f, DT_f32, 4, A(-5, 0.5, 5, NAN));
    fx_run(&f, clip, x, fx_scalar(&f, DT_f32, -1), fx_scalar(&f, DT_f32, 1));
    fx_expect_vector(&f, 0, DT_f32, 4, A(-1, 0.5, 1, NAN), 0);
    fx_run(&f, clip, x, NULL, fx_scalar(&f, DT_f32, 1));
    fx_expect_vector(&f, 0, DT_f32, 4, A(-5, 0.5, 1, NAN), 0);
    fx_run(&f, clip, x, fx_scalar(&f, DT_f32, 2), fx_scalar(&f, DT_f32, 1)); /* min > max: max */
    fx_expect_vector(&f, 0, DT_f32, 4, A(1, 1, 1, NAN), 0);
    fx_close(&f);
}

static void test_broadcast(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_Add, 2, 1);
    fx_run(&f, n, fx_matrix(&f, DT_i32, 2, 1, A(10, 20)), fx_vector(&f, DT_i32, 3, A(1, 2, 3)));
    fx_expect_matrix(&f, 0, DT_i32, 2, 3, A(11, 12, 13, 21, 22, 23), 0);
    fx_run(&f, n, fx_scalar(&f, DT_f64, 1), fx_scalar(&f, DT_f64, 2));
    fx_expect_scalar(&f, 0, DT_f64, 3);
    fx_run(&f, n, fx_matrix(&f, DT_i32, 0, 3, NULL), fx_matrix(&f, DT_i32, 1, 1, A(1)));
    fx_expect_matrix(&f, 0, DT_i32, 0, 3, NULL, 0);
    fx_run(&f, n, fx_vector(&f, DT_i32, 2, NULL), fx_vector(&f, DT_i32, 3, NULL));
    fx_expect_error(&f);
    fx_run(&f, n, fx_vector(&f, DT_i32, 2, NULL), fx_vector(&f, DT_f32, 2, NULL));
    fx_expect_error(&f);
    /* f16: one rounding per operator. 2048 + 1 rounds back to 2048. */
    fx_run(&f, n, fx_scalar(&f, DT_f16, 2048), fx_scalar(&f, DT_f16, 1));
    fx_expect_scalar(&f, 0, DT_f16, 2048);
    fx_close(&f);
}

static void test_predicates(void) {
    fixture f;
    fx_open(&f);
    const double x[] = {1, NAN, INFINITY, -INFINITY};
    fx_run(&f, fx_node(&f, OP_IsNaN, 1, 1), fx_vector(&f, DT_f32, 4, x));
    fx_expect_vector(&f, 0, DT_bool, 4, A(0, 1, 0, 0), 0);
    ir_node *n = fx_node(&f, OP_IsInf, 1, 1);
    fx_run(&f, n, fx_vector(&f, DT_f32, 4, x));
    fx_expect_vector(&f, 0, DT_bool, 4, A(0, 0, 1, 1), 0);
    ir_attr_set_int(f.module, n, "detect_negative", 0);
    fx_run(&f, n, fx_vector(&f, DT_f32, 4, x));
    fx_expect_vector(&f, 0, DT_bool, 4, A(0, 0, 1, 0), 0);
    const double less[] = {1, 0, 0};
    TWO(fx_node(&f, OP_Less, 2, 1), DT_u64, A(1, 18446744073709549568.0, 3), DT_u64, A(2, 5, 3),
        DT_bool, less);
    fx_run(&f, fx_node(&f, OP_Where, 3, 1), fx_vector(&f, DT_bool, 2, A(1, 0)),
           fx_vector(&f, DT_i4, 2, A(-7, 2)), fx_vector(&f, DT_i4, 2, A(3, 4)));
    fx_expect_vector(&f, 0, DT_i4, 2, A(-7, 4), 0);
    fx_close(&f);
}

static void test_strings(void) {
    fixture f;
    fx_open(&f);
    const char *a[] = {"one", "two", ""}, *b[] = {"one", "too", ""},
               *numbers[] = {"3.5", "-INF", "1e3"};
    fx_run(&f, fx_node(&f, OP_Equal, 2, 1), fx_strings(&f, 3, a), fx_strings(&f, 3, b));
    fx_expect_vector(&f, 0, DT_bool, 3, A(1, 0, 1), 0);
    ir_node *n = fx_node(&f, OP_Cast, 1, 1);
    ir_attr_set_int(f.module, n, "to", DT_f32);
    fx_run(&f, n, fx_strings(&f, 3, numbers));
    fx_expect_vector(&f, 0, DT_f32, 3, A(3.5, -INFINITY, 1000), 0);
    fx_run(&f, n, fx_strings(&f, 3, a)); /* "one" is no number */
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_Add, 2, 1), fx_strings(&f, 3, a), fx_strings(&f, 3, b));
    fx_expect_error(&f);
    fx_close(&f);
}

static void cast(fixture *f, ir_dtype from, ir_dtype to, int saturate, const double *x,
                 const double *y, int64_t n, int line) {
    ir_node *c = fx_node(f, OP_Cast, 1, 1);
    ir_attr_set_int(f->module, c, "to", to);
    ir_attr_set_int(f->module, c, "saturate", saturate);
    fx_run(f, c, fx_vector(f, from, n, x));
    fx_expect_at(f, f->out[0].tensor, to, 1, &n, y, 0, __FILE__, line);
}
#define CAST(from, to, saturate, x, y) \
    cast(&f, (from), (to), (saturate), (x), (y), LEN(y), __LINE__)

static void test_cast(void) {
    fixture f;
    fx_open(&f);
    const double truncated[] = {-1, 1, 127, -128, 0};
    CAST(DT_f32, DT_i8, 1, A(-1.9, 1.9, 300, -INFINITY, NAN), truncated);
    const double wrapped[] = {-56, 0, 1};
    CAST(DT_i32, DT_i8, 1, A(200, 256, 257), wrapped);
    const double truth[] = {1, 1, 0, 0, 1};
    CAST(DT_f32, DT_bool, 1, A(NAN, 0.3, 0, -0.0, -5), truth);
    /* One rounding: through f32, 1 + 2^-11 + 2^-40 would be a tie at f16 and go to 1. */
    const double once[] = {1.0009765625};
    CAST(DT_f64, DT_f16, 1, A(1 + 0x1p-11 + 0x1p-40), once);
    /* Largest finite values: 448 and 57344; ties at 464 and 61440. */
    const double e4m3[] = {448, 448, -448, 448, 1.125};
    CAST(DT_f32, DT_f8e4m3fn, 1, A(1000, INFINITY, -INFINITY, 464, 1.1), e4m3);
    const double e4m3_open[] = {NAN, NAN, 448};
    CAST(DT_f32, DT_f8e4m3fn, 0, A(1000, INFINITY, 464), e4m3_open);
    const double e5m2[] = {57344, 57344, -57344};
    CAST(DT_f32, DT_f8e5m2, 1, A(1e6, INFINITY, -INFINITY), e5m2);
    const double e5m2_open[] = {INFINITY, -INFINITY, 57344};
    CAST(DT_f32, DT_f8e5m2, 0, A(1e6, -61440, 61000), e5m2_open);
    const double f4[] = {6, -6, 0.5, 2};
    CAST(DT_f32, DT_f4e2m1, 1, A(100, -7, 0.5, 1.9), f4);
    /* A 64-bit integer to f32 in one rounding: 2^54 + 2^30 + 1 lies just above a tie (numpy: np.float32(np.int64(...))). */
    ir_node *c = fx_node(&f, OP_Cast, 1, 1);
    ir_attr_set_int(f.module, c, "to", DT_f32);
    ir_tensor *big = ir_tensor_alloc(&f.arena,
                                     ir_type_tensor_static(&f.ctx, DT_i64, 1, (int64_t[]){1}));
    ir_tensor_set_i64(big, 0, ((int64_t)1 << 54) + ((int64_t)1 << 30) + 1);
    fx_run(&f, c, big);
    fx_expect_vector(&f, 0, DT_f32, 1, A(0x1p54 + 0x1p31), 0);
    ir_attr_set_int(f.module, c, "to", 99);
    fx_run(&f, c, big);
    fx_expect_error(&f);
    fx_close(&f);
}

int main(void) {
    test_table();
    test_activations();
    test_extremes();
    test_arithmetic();
    test_pow();
    test_min_max_clip();
    test_broadcast();
    test_predicates();
    test_strings();
    test_cast();
    return check_done();
}
