/* Operators that are calls, with attributes that a file may hold and no exporter writes: an error, never a wrong access. Good values
 * are covered by tests/data/ml and ONNX's own node tests. */
#include "tests/support/eval_fixture.h"

#define A(...) ((const double[]){__VA_ARGS__})
#define I(...) \
    (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static void set_ints(fixture *f, ir_node *n, const char *name, const int64_t *v, size_t count) {
    ir_attr_set_ints(f->module, n, name, v, (uint32_t)count);
}

static void set_floats(fixture *f, ir_node *n, const char *name, const float *v, uint32_t count) {
    ir_attr_set(f->module, n,
                &(ir_attr){ir_name(&f->ctx, name), ATTR_FLOATS, count, {.floats = v}});
}

static void set_strings(fixture *f, ir_node *n, const char *name, const tl_sv *v, uint32_t count) {
    ir_attr_set(f->module, n,
                &(ir_attr){ir_name(&f->ctx, name), ATTR_STRINGS, count, {.strings = v}});
}

static void set_tensor(fixture *f, ir_node *n, const char *name, const ir_tensor *t) {
    ir_attr_set(f->module, n, &(ir_attr){ir_name(&f->ctx, name), ATTR_TENSOR, 0, {.t = t}});
}

/* A list of one element under as many dimensions as a tensor may have, more than the runtime's tensors do. */
static const ir_tensor *deep(fixture *f, ir_dtype t, double v) {
    int64_t dims[IR_MAX_RANK];
    for (int32_t i = 0; i < IR_MAX_RANK; i++)
        dims[i] = 1;
    return fx_tensor(f, t, IR_MAX_RANK, dims, &v);
}

static void test_deep_attributes(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_LabelEncoder, 1, 1);
    set_tensor(&f, n, "keys_tensor", deep(&f, DT_i64, 3));
    set_tensor(&f, n, "values_tensor", deep(&f, DT_f32, 5));
    set_tensor(&f, n, "default_tensor", deep(&f, DT_f32, 7));
    fx_run(&f, n, fx_vector(&f, DT_i64, 2, A(3, 4)));
    fx_expect_vector(&f, 0, DT_f32, 2, A(5, 7), 0);
    fx_close(&f);
}

/* A tree of two leaves; the row ends in the one that has no votes. */
static void test_class_out_of_range(void) {
    static const tl_sv modes[] = {{"BRANCH_LEQ", 10}, {"LEAF", 4}, {"LEAF", 4}};
    static const float values[] = {0, 0, 0}, weights[] = {1};
    for (int64_t class_id = -1; class_id <= 2; class_id++) {
        fixture f;
        fx_open(&f);
        ir_node *n = fx_node(&f, OP_TreeEnsembleClassifier, 1, 2);
        set_ints(&f, n, "classlabels_int64s", I(10, 20));
        set_ints(&f, n, "nodes_treeids", I(0, 0, 0));
        set_ints(&f, n, "nodes_nodeids", I(0, 1, 2));
        set_ints(&f, n, "nodes_featureids", I(0, 0, 0));
        set_ints(&f, n, "nodes_truenodeids", I(1, 0, 0));
        set_ints(&f, n, "nodes_falsenodeids", I(2, 0, 0));
        set_floats(&f, n, "nodes_values", values, 3);
        set_strings(&f, n, "nodes_modes", modes, 3);
        set_ints(&f, n, "class_treeids", I(0));
        set_ints(&f, n, "class_nodeids", I(2));
        set_ints(&f, n, "class_ids", I(class_id));
        set_floats(&f, n, "class_weights", weights, 1);
        fx_run(&f, n, fx_matrix(&f, DT_f32, 1, 1, A(-1)));
        if (class_id < 0 || class_id > 1)
            fx_expect_error(&f);
        else
            fx_expect_vector(&f, 0, DT_i64, 1, A(10), 0);
        fx_close(&f);
    }
}

static void test_branch_out_of_range(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_TreeEnsemble, 1, 1);
    set_ints(&f, n, "tree_roots", I(0));
    set_ints(&f, n, "nodes_featureids", I(0));
    set_ints(&f, n, "nodes_truenodeids", I(INT64_MAX));
    set_ints(&f, n, "nodes_falsenodeids", I(INT64_MIN));
    set_ints(&f, n, "nodes_trueleafs", I(1));
    set_ints(&f, n, "nodes_falseleafs", I(1));
    set_ints(&f, n, "leaf_targetids", I(0));
    set_tensor(&f, n, "nodes_modes", fx_vector(&f, DT_u8, 1, A(0)));
    set_tensor(&f, n, "nodes_splits", fx_vector(&f, DT_f32, 1, A(0)));
    set_tensor(&f, n, "leaf_weights", fx_vector(&f, DT_f32, 1, A(1)));
    fx_run(&f, n, fx_matrix(&f, DT_f32, 1, 1, A(-1)));
    fx_expect_error(&f);
    fx_run(&f, n, fx_matrix(&f, DT_f32, 1, 1, A(1)));
    fx_expect_error(&f);
    fx_close(&f);
}

static void test_sizes_overflow(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_LinearRegressor, 1, 1);
    ir_attr_set_int(f.module, n, "targets", INT64_MAX / 2 + 1);
    fx_run(&f, n, fx_matrix(&f, DT_f32, 1, 4, A(1, 2, 3, 4)));
    fx_expect_error(&f);
    n = fx_node(&f, OP_FeatureVectorizer, 1, 1);
    set_ints(&f, n, "inputdimensions", I(INT64_MAX));
    fx_run(&f, n, fx_matrix(&f, DT_f32, 1, 1, A(1)));
    fx_expect_error(&f);
    n = fx_node(&f, OP_FeatureVectorizer, 2, 1);
    set_ints(&f, n, "inputdimensions", I(-64, 65));
    fx_run(&f, n, fx_matrix(&f, DT_f32, 1, 1, A(1)), fx_matrix(&f, DT_f32, 1, 1, A(1)));
    fx_expect_error(&f);
    fx_close(&f);
}

static ir_node *grams(fixture *f, int64_t column) {
    ir_node *n = fx_node(f, OP_TfIdfVectorizer, 1, 1);
    ir_attr_set_string(f->module, n, "mode", "TF");
    ir_attr_set_int(f->module, n, "min_gram_length", 2);
    ir_attr_set_int(f->module, n, "max_gram_length", 2);
    ir_attr_set_int(f->module, n, "max_skip_count", INT64_MAX);
    set_ints(f, n, "pool_int64s", I(1, 2));
    set_ints(f, n, "ngram_counts", I(0, 0));
    set_ints(f, n, "ngram_indexes", I(column));
    return n;
}

/* A gap of any length: 1 before 2 three times. */
static void test_endless_skips(void) {
    fixture f;
    fx_open(&f);
    const ir_tensor *x = fx_vector(&f, DT_i64, 5, A(1, 2, 1, 3, 2));
    fx_run(&f, grams(&f, 0), x);
    fx_expect_vector(&f, 0, DT_f32, 1, A(3), 0);
    fx_run(&f, grams(&f, INT64_MAX), x);
    fx_expect_error(&f);
    fx_close(&f);
}

/* Integers that no double holds. */
static void test_imputed_integers(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_Imputer, 1, 1);
    set_ints(&f, n, "imputed_value_int64s", I(INT64_MAX));
    ir_attr_set_int(f.module, n, "replaced_value_int64", 4);
    fx_run(&f, n, fx_vector(&f, DT_i64, 2, A(4, 5)));
    if (CHECK(f.ok)) {
        CHECK(ir_tensor_get_i64(f.out[0].tensor, 0) == INT64_MAX);
        CHECK(ir_tensor_get_i64(f.out[0].tensor, 1) == 5);
    }
    fx_close(&f);
}

/* As many alternatives as a program may have: none takes a frame of the stack. */
static void test_many_alternatives(void) {
    enum { LENGTH = 45000 };
    static char pattern[LENGTH + 3];
    fixture f;
    fx_open(&f);
    memset(pattern, '|', LENGTH);
    pattern[LENGTH] = 'b', pattern[LENGTH + 1] = '|';
    ir_node *n = fx_node(&f, OP_RegexFullMatch, 1, 1);
    ir_attr_set_string(f.module, n, "pattern", pattern);
    fx_run(&f, n, fx_strings(&f, 3, (const char *[]){"", "b", "bb"}));
    fx_expect_vector(&f, 0, DT_bool, 3, A(1, 1, 0), 0);
    fx_close(&f);
}

int main(void) {
    test_deep_attributes();
    test_class_out_of_range();
    test_branch_out_of_range();
    test_sizes_overflow();
    test_endless_skips();
    test_imputed_integers();
    test_many_alternatives();
    return check_done();
}
