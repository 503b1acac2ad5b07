/* Data movement: every element type, empty tensors, indices out of range. The values of the larger operators are covered
 * by ONNX's own node tests (tests/conformance). */
#include "tests/support/eval_fixture.h"

#define A(...) ((const double[]){__VA_ARGS__})
#define I(...) ((const int64_t[]){__VA_ARGS__})

static const ir_dtype all_types[] = {DT_f32, DT_f64, DT_f16,    DT_bf16,    DT_i8,
                                     DT_u8,  DT_i64, DT_u64,    DT_bool,    DT_i4,
                                     DT_u4,  DT_i2,  DT_f4e2m1, DT_f8e4m3fn};
enum { N_TYPES = sizeof all_types / sizeof *all_types };

/* 0/1 patterns are exact in every type (i2 included). */
static void test_all_types(void) {
    fixture f;
    fx_open(&f);
    for (int k = 0; k < N_TYPES; k++) {
        ir_dtype t = all_types[k];
        const ir_tensor *x = fx_matrix(&f, t, 2, 3, A(1, 0, 0, 0, 1, 1));
        fx_run(&f, fx_node(&f, OP_Transpose, 1, 1), x);
        fx_expect_matrix(&f, 0, t, 3, 2, A(1, 0, 0, 1, 0, 1), 0);
        ir_node *concat = fx_node(&f, OP_Concat, 2, 1);
        ir_attr_set_int(f.module, concat, "axis", 1);
        fx_run(&f, concat, x, fx_matrix(&f, t, 2, 1, A(1, 0)));
        fx_expect_matrix(&f, 0, t, 2, 4, A(1, 0, 0, 1, 0, 1, 1, 0), 0);
        ir_node *gather = fx_node(&f, OP_Gather, 2, 1);
        ir_attr_set_int(f.module, gather, "axis", 1);
        fx_run(&f, gather, x, fx_vector(&f, DT_i64, 2, A(-1, 0)));
        fx_expect_matrix(&f, 0, t, 2, 2, A(0, 1, 1, 0), 0);
        fx_run(&f, fx_node(&f, OP_Slice, 5, 1), x, fx_vector(&f, DT_i64, 1, A(2)),
               fx_vector(&f, DT_i64, 1, A(-9)), fx_vector(&f, DT_i64, 1, A(1)),
               fx_vector(&f, DT_i64, 1, A(-1)));
        fx_expect_matrix(&f, 0, t, 2, 3, A(0, 0, 1, 1, 1, 0), 0);
        fx_run(&f, fx_node(&f, OP_Tile, 2, 1), fx_vector(&f, t, 3, A(1, 0, 1)),
               fx_vector(&f, DT_i64, 1, A(2)));
        fx_expect_vector(&f, 0, t, 6, A(1, 0, 1, 1, 0, 1), 0);
        fx_run(&f, fx_node(&f, OP_Pad, 2, 1), fx_vector(&f, t, 3, A(1, 0, 1)),
               fx_vector(&f, DT_i64, 2, A(2, -1)));
        fx_expect_vector(&f, 0, t, 4, A(0, 0, 1, 0), 0);
        fx_run(&f, fx_node(&f, OP_ScatterElements, 3, 1), fx_vector(&f, t, 3, A(0, 0, 1)),
               fx_vector(&f, DT_i64, 2, A(-3, 2)), fx_vector(&f, t, 2, A(1, 0)));
        fx_expect_vector(&f, 0, t, 3, A(1, 0, 0), 0);
    }
    fx_close(&f);
}

static void test_strings(void) {
    fixture f;
    fx_open(&f);
    const char *words[] = {"a", "bc", ""};
    fx_run(&f, fx_node(&f, OP_Gather, 2, 1), fx_strings(&f, 3, words),
           fx_vector(&f, DT_i64, 2, A(1, -1)));
    if (CHECK(f.ok)) {
        const tl_sv *s = f.out[0].tensor->data;
        CHECK(tl_sv_is(s[0], "bc") && s[1].len == 0);
    }
    fx_run(&f, fx_node(&f, OP_Pad, 2, 1), fx_strings(&f, 3, words),
           fx_vector(&f, DT_i64, 2, A(1, 0)));
    if (CHECK(f.ok)) CHECK(((const tl_sv *)f.out[0].tensor->data)[0].len == 0);
    fx_close(&f);
}

static void test_reshape(void) {
    fixture f;
    fx_open(&f);
    const ir_tensor *x = fx_matrix(&f, DT_f32, 2, 3, A(1, 2, 3, 4, 5, 6));
    ir_node *n = fx_node(&f, OP_Reshape, 2, 1);
    fx_run(&f, n, x, fx_vector(&f, DT_i64, 2, A(-1, 2)));
    fx_expect_matrix(&f, 0, DT_f32, 3, 2, A(1, 2, 3, 4, 5, 6), 0);
    fx_run(&f, n, x, fx_vector(&f, DT_i64, 3, A(0, 1, -1)));
    fx_expect(&f, 0, DT_f32, 3, I(2, 1, 3), A(1, 2, 3, 4, 5, 6), 0);
    fx_run(&f, n, x, fx_vector(&f, DT_i64, 2, A(4, -1))); /* 6 is no multiple of 4 */
    fx_expect_error(&f);
    fx_run(&f, n, x, fx_vector(&f, DT_i64, 3, A(2, 3, 0))); /* nothing to copy at 2 */
    fx_expect_error(&f);
    fx_run(&f, n, fx_scalar(&f, DT_f32, 7), fx_vector(&f, DT_i64, 0, NULL));
    fx_expect_scalar(&f, 0, DT_f32, 7);
    ir_attr_set_int(f.module, n, "allowzero", 1);
    fx_run(&f, n, fx_vector(&f, DT_f32, 0, NULL), fx_vector(&f, DT_i64, 2, A(3, 0)));
    fx_expect_matrix(&f, 0, DT_f32, 3, 0, NULL, 0);
    fx_run(&f, fx_node(&f, OP_Squeeze, 2, 1), fx_matrix(&f, DT_f32, 1, 1, A(3)), NULL);
    fx_expect_scalar(&f, 0, DT_f32, 3);
    fx_run(&f, fx_node(&f, OP_Squeeze, 2, 1), x, fx_vector(&f, DT_i64, 1, A(0)));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_Unsqueeze, 2, 1), fx_scalar(&f, DT_f32, 3),
           fx_vector(&f, DT_i64, 2, A(0, -1)));
    fx_expect_matrix(&f, 0, DT_f32, 1, 1, A(3), 0);
    fx_close(&f);
}

/* INT64_MIN and INT64_MAX are legal ends; a zero step is not. */
static void test_slice_limits(void) {
    fixture f;
    fx_open(&f);
    const ir_tensor *x = fx_vector(&f, DT_i32, 4, A(1, 2, 3, 4));
    ir_tensor *low = ir_tensor_alloc(&f.arena, ir_type_tensor_static(&f.ctx, DT_i64, 1, I(1)));
    ir_tensor *high = ir_tensor_alloc(&f.arena, ir_type_tensor_static(&f.ctx, DT_i64, 1, I(1)));
    ir_tensor_set_i64(low, 0, INT64_MIN);
    ir_tensor_set_i64(high, 0, INT64_MAX);
    const ir_tensor *zero = fx_vector(&f, DT_i64, 1, A(0)),
                    *minus = fx_vector(&f, DT_i64, 1, A(-1));
    ir_node *n = fx_node(&f, OP_Slice, 5, 1);
    fx_run(&f, n, x, high, low, zero, minus);
    fx_expect_vector(&f, 0, DT_i32, 4, A(4, 3, 2, 1), 0);
    fx_run(&f, n, x, low, high, zero, high);
    fx_expect_vector(&f, 0, DT_i32, 1, A(1), 0);
    fx_run(&f, n, x, high, low, zero, low);
    fx_expect_vector(&f, 0, DT_i32, 1, A(4), 0);
    fx_run(&f, n, x, low, high, zero, zero);
    fx_expect_error(&f);
    fx_run(&f, n, fx_vector(&f, DT_i32, 0, NULL), high, low, zero, minus);
    fx_expect_vector(&f, 0, DT_i32, 0, NULL, 0);
    fx_close(&f);
}

static void test_bad_indices(void) {
    fixture f;
    fx_open(&f);
    const ir_tensor *x = fx_matrix(&f, DT_f32, 2, 2, A(1, 2, 3, 4));
    fx_run(&f, fx_node(&f, OP_Gather, 2, 1), x, fx_scalar(&f, DT_i64, 2));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_Gather, 2, 1), x, fx_scalar(&f, DT_i64, -3));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_GatherElements, 2, 1), x, fx_matrix(&f, DT_i64, 1, 2, A(0, 2)));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_GatherND, 2, 1), x, fx_matrix(&f, DT_i64, 1, 2, A(0, 2)));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_ScatterND, 3, 1), x, fx_matrix(&f, DT_i64, 1, 1, A(5)),
           fx_matrix(&f, DT_f32, 1, 2, NULL));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_ScatterElements, 3, 1), x, fx_matrix(&f, DT_i64, 1, 1, A(-3)),
           fx_matrix(&f, DT_f32, 1, 1, NULL));
    fx_expect_error(&f);
    ir_node *n = fx_node(&f, OP_Gather, 2, 1);
    ir_attr_set_int(f.module, n, "axis", 2);
    fx_run(&f, n, x, fx_scalar(&f, DT_i64, 0));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_ConstantOfShape, 1, 1), fx_vector(&f, DT_i64, 2, A(2, -1)));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_Range, 3, 1), fx_scalar(&f, DT_i64, 0), fx_scalar(&f, DT_i64, 4),
           fx_scalar(&f, DT_i64, 0));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_Relu, 1, 1), NULL);
    fx_expect_error(&f);
    fx_close(&f);
}

/* A result beyond max_bytes is refused before memory is taken. */
static void test_size_limit(void) {
    fixture f;
    fx_open(&f);
    f.eval.max_bytes = 1024;
    fx_run(&f, fx_node(&f, OP_Expand, 2, 1), fx_scalar(&f, DT_f32, 1),
           fx_vector(&f, DT_i64, 2, A(1e6, 1e6)));
    fx_expect_error(&f);
    fx_run(&f, fx_node(&f, OP_ConstantOfShape, 1, 1), fx_vector(&f, DT_i64, 1, A(256)));
    CHECK(f.ok);
    fx_run(&f, fx_node(&f, OP_ConstantOfShape, 1, 1), fx_vector(&f, DT_i64, 1, A(257)));
    fx_expect_error(&f);
    fx_close(&f);
}

/* Reductions over nothing have the neutral element; Softmax and MatMul over nothing read nothing. */
static void test_empty(void) {
    fixture f;
    fx_open(&f);
    const ir_tensor *x = fx_matrix(&f, DT_f32, 2, 0, NULL), *axes = fx_vector(&f, DT_i64, 1, A(1));
    static const struct {
        op_id op;
        double value;
    } neutral[] = {{OP_ReduceSum, 0},
                   {OP_ReduceProd, 1},
                   {OP_ReduceMax, -INFINITY},
                   {OP_ReduceMin, INFINITY},
                   {OP_ReduceMean, NAN},
                   {OP_ReduceLogSum, -INFINITY},
                   {OP_ReduceLogSumExp, -INFINITY},
                   {OP_ReduceL2, 0}};
    for (size_t i = 0; i < sizeof neutral / sizeof *neutral; i++) {
        fx_run(&f, fx_node(&f, neutral[i].op, 2, 1), x, axes);
        fx_expect_matrix(&f, 0, DT_f32, 2, 1, A(neutral[i].value, neutral[i].value), 0);
    }
    fx_run(&f, fx_node(&f, OP_ReduceMax, 2, 1), fx_matrix(&f, DT_i8, 1, 0, NULL), axes);
    fx_expect_matrix(&f, 0, DT_i8, 1, 1, A(-128), 0);
    fx_run(&f, fx_node(&f, OP_Softmax, 1, 1), x);
    fx_expect_matrix(&f, 0, DT_f32, 2, 0, NULL, 0);
    fx_run(&f, fx_node(&f, OP_MatMul, 2, 1), x, fx_matrix(&f, DT_f32, 0, 2, NULL));
    fx_expect_matrix(&f, 0, DT_f32, 2, 2, A(0, 0, 0, 0), 0);
    fx_run(&f, fx_node(&f, OP_ArgMax, 1, 1), fx_matrix(&f, DT_f32, 0, 2, NULL));
    fx_expect_error(&f);
    fx_close(&f);
}

/* numpy: np.argmax([1, nan, 3]) == 1, np.argmin([1, nan, 3]) == 1 */
static void test_nan(void) {
    fixture f;
    fx_open(&f);
    const ir_tensor *x = fx_vector(&f, DT_f32, 3, A(1, NAN, 3));
    fx_run(&f, fx_node(&f, OP_ArgMax, 1, 1), x);
    fx_expect_vector(&f, 0, DT_i64, 1, A(1), 0);
    fx_run(&f, fx_node(&f, OP_ArgMin, 1, 1), x);
    fx_expect_vector(&f, 0, DT_i64, 1, A(1), 0);
    fx_run(&f, fx_node(&f, OP_ReduceMax, 1, 1), x);
    fx_expect_vector(&f, 0, DT_f32, 1, A(NAN), 0);
    fx_close(&f);
}

/* 3 columns in panels of 2: {1,2 | 4,5}, {3,0 | 6,0} for the weight [[1,2,3],[4,5,6]]; the epilogue adds operand 2. */
static void test_matmul_packed(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_MatMulPacked, 3, 1);
    ir_attr_set_int(f.module, n, "n", 3);
    ir_region *r = ir_node_add_region(f.module, n, "epilogue");
    ir_value *product = ir_region_add_param(r, NULL, NULL),
             *bias = ir_region_add_param(r, NULL, NULL);
    ir_node *add = ir_node_create(f.module, OP_Add, (ir_value *[]){product, bias}, 2, 1);
    ir_node_append(r, add);
    ir_region_add_result(r, add->out);
    const ir_tensor *panels = fx_tensor(&f, DT_f32, 3, I(2, 2, 2), A(1, 2, 4, 5, 3, 0, 6, 0));
    fx_run(&f, n, fx_matrix(&f, DT_f32, 1, 2, A(10, 1)), panels, fx_scalar(&f, DT_f32, 100));
    fx_expect_matrix(&f, 0, DT_f32, 1, 3, A(114, 125, 136), 0);
    fx_close(&f);
}

int main(void) {
    test_all_types();
    test_strings();
    test_reshape();
    test_slice_limits();
    test_bad_indices();
    test_size_limit();
    test_empty();
    test_nan();
    test_matmul_packed();
    return check_done();
}
