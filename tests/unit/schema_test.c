/* ir/schema: versions are found by opset, and the generated tables hold what the ONNX
 * specification says. The expected facts are typed in from the operator documents. */
#include <limits.h>

#include "ir/op.h"
#include "ir/schema.h"
#include "tests/support/check.h"

/* TensorProto.DataType */
enum { FLOAT = 1, UINT8 = 2, INT32 = 6, INT64 = 7, STRING = 8, BOOL = 9, FLOAT16 = 10, BF16 = 16 };

static int since(const char *domain, const char *name, int opset) {
    const ir_schema *s = ir_schema_find(domain, name, opset);
    return s ? s->since : 0;
}

static void test_find_by_opset(void) {
    CHECK_EQ(since("", "Add", 14), 14);
    CHECK_EQ(since("", "Add", 13), 13);
    CHECK_EQ(since("", "Add", 12), 7);
    CHECK_EQ(since("", "Add", 6), 6);
    CHECK_EQ(since("", "Add", 5), 1);
    CHECK_EQ(since("", "Add", 99), 14);
    CHECK_EQ(since("", "Add", 0), 0);
    CHECK_EQ(since("", "Add", INT_MIN), 0);
    CHECK_EQ(since("", "Gelu", 19), 0);
    CHECK_EQ(since("", "Gelu", 20), 20);
    CHECK_EQ(since("", "Scan", 8), 8);
    CHECK_EQ(since("", "Scan", 9), 9);
    CHECK_EQ(since("", "Scan", 10), 9);
    CHECK_EQ(since("", "Scan", 11), 11);
    CHECK_EQ(since("", "Scan", 15), 11);
    CHECK_EQ(since("", "Scan", 16), 16);
}

static void test_unknown_names(void) {
    CHECK(!ir_schema_find("", "Addd", 14));
    CHECK(!ir_schema_find("", "Ad", 14));
    CHECK(!ir_schema_find("", "", 14));
    CHECK(!ir_schema_find("", "~", 14)); /* sorts behind every name */
    CHECK(!ir_schema_find("", "Scaler", 14));
    CHECK(!ir_schema_find("com.microsoft", "Gelu", 1));
    CHECK(!ir_schema_find_latest("nowhere", "Add"));
}

static void test_domains(void) {
    const ir_schema *s = ir_schema_find("", "Add", 14);
    CHECK(ir_schema_find("ai.onnx", "Add", 14) == s);
    CHECK(ir_schema_find(NULL, "Add", 14) == s);
    CHECK(ir_schema_find_latest("", "Add") == s);
    CHECK_EQ(since("ai.onnx.ml", "Scaler", 5), 1);
    CHECK_EQ(since("ai.onnx.ml", "TreeEnsemble", 5), 5);
    CHECK_EQ(since("ai.onnx.preview.training", "Adam", 1), 1);
    CHECK_EQ(ir_schema_find_opset(""), 27);
    CHECK_EQ(ir_schema_find_opset("ai.onnx"), 27);
    CHECK_EQ(ir_schema_find_opset("ai.onnx.ml"), 5);
    CHECK_EQ(ir_schema_find_opset("com.microsoft"), 0);
}

static void test_slots(void) {
    const ir_schema *add = ir_schema_find("", "Add", 14);
    CHECK(add->n_in == 2 && add->min_in == 2 && add->max_in == 2);
    CHECK(add->n_out == 1 && add->min_out == 1 && add->max_out == 1);
    CHECK(strcmp(add->in[0].name, "A") == 0 && strcmp(add->out[0].name, "C") == 0);
    CHECK(add->in[0].constraint == add->in[1].constraint);
    CHECK(!ir_schema_find_input(add, 2));

    const ir_schema *conv = ir_schema_find("", "Conv", 11);
    CHECK(conv->n_in == 3 && conv->min_in == 2 && conv->max_in == 3);
    CHECK(conv->in[1].kind == IR_SCHEMA_SINGLE && strcmp(conv->in[1].name, "W") == 0);
    CHECK(conv->in[2].kind == IR_SCHEMA_OPTIONAL && strcmp(conv->in[2].name, "B") == 0);

    const ir_schema *lstm = ir_schema_find("", "LSTM", 14);
    CHECK(lstm->min_in == 3 && lstm->max_in == 8 && lstm->min_out == 0 && lstm->max_out == 3);
}

static void test_variadic(void) {
    const ir_schema *concat = ir_schema_find("", "Concat", 13);
    CHECK(concat->n_in == 1 && concat->min_in == 1 && concat->max_in >= INT16_MAX);
    CHECK(concat->in[0].kind == IR_SCHEMA_VARIADIC && concat->in[0].homogeneous);
    CHECK(ir_schema_find_input(concat, 70000) == &concat->in[0]);
    CHECK(!ir_schema_find_output(concat, 1));

    const ir_schema *loop = ir_schema_find("", "Loop", 13);
    CHECK(loop->n_in == 3 && loop->max_in == IR_SCHEMA_UNBOUNDED);
    CHECK(ir_schema_find_input(loop, 1)->kind == IR_SCHEMA_OPTIONAL);
    CHECK(ir_schema_find_input(loop, 9) == &loop->in[2] && !loop->in[2].homogeneous);
    CHECK(ir_schema_find_output(loop, 9)->kind == IR_SCHEMA_VARIADIC);
}

static void test_tensor_types(void) {
    const ir_schema *add7 = ir_schema_find("", "Add", 7);
    CHECK(ir_schema_input_allows(add7, 0, FLOAT) && ir_schema_input_allows(add7, 1, INT64));
    CHECK(!ir_schema_input_allows(add7, 0, BF16) && !ir_schema_input_allows(add7, 0, UINT8));
    const ir_schema *add = ir_schema_find("", "Add", 14);
    CHECK(ir_schema_input_allows(add, 0, BF16) && ir_schema_input_allows(add, 0, UINT8));
    CHECK(!ir_schema_input_allows(add, 0, BOOL) && !ir_schema_input_allows(add, 0, STRING));
    CHECK(!ir_schema_input_allows(add, 2, FLOAT));
    CHECK(!ir_schema_input_allows(add, 0, -1) && !ir_schema_input_allows(add, 0, 1000));

    const ir_schema *equal = ir_schema_find("", "Equal", 19);
    CHECK(ir_schema_input_allows(equal, 1, STRING));
    CHECK(ir_schema_output_allows(equal, 0, BOOL) && !ir_schema_output_allows(equal, 0, FLOAT));

    /* A slot of one fixed type: the shape operand of Reshape. */
    const ir_schema *reshape = ir_schema_find("", "Reshape", 14);
    CHECK(ir_schema_slot_types(reshape, &reshape->in[1])->tensor == 1u << INT64);
    CHECK(!ir_schema_input_allows(reshape, 1, INT32));
}

static void test_other_types(void) {
    const ir_schema *at = ir_schema_find("", "SequenceAt", 11);
    const ir_schema_types *t = ir_schema_slot_types(at, &at->in[0]);
    CHECK(ir_schema_has_type(t->seq, FLOAT) && t->tensor == 0 && t->optional == 0);

    const ir_schema *has = ir_schema_find("", "OptionalHasElement", 15);
    t = ir_schema_slot_types(has, &has->in[0]);
    CHECK(ir_schema_has_type(t->optional, FLOAT16) && ir_schema_has_type(t->optional_seq, STRING));

    const ir_schema *vectorizer = ir_schema_find("ai.onnx.ml", "DictVectorizer", 1);
    t = ir_schema_slot_types(vectorizer, &vectorizer->in[0]);
    CHECK((t->maps & IR_SCHEMA_MAP_STRING_FLOAT) && !(t->maps & IR_SCHEMA_SEQ_MAP_INT64_FLOAT));
    const ir_schema *zip = ir_schema_find("ai.onnx.ml", "ZipMap", 1);
    t = ir_schema_slot_types(zip, &zip->out[0]);
    CHECK(t->maps == (IR_SCHEMA_SEQ_MAP_INT64_FLOAT | IR_SCHEMA_SEQ_MAP_STRING_FLOAT));
}

static void test_attributes(void) {
    const ir_schema_attr *a = ir_schema_attr_find(ir_schema_find("", "Softmax", 13), "axis");
    CHECK(a && a->type == IR_SCHEMA_ATTR_INT && !a->required && a->has_default);
    CHECK(a && a->value.i == -1);
    a = ir_schema_attr_find(ir_schema_find("", "Softmax", 12), "axis");
    CHECK(a && a->has_default && a->value.i == 1);

    a = ir_schema_attr_find(ir_schema_find("", "If", 16), "then_branch");
    CHECK(a && a->type == IR_SCHEMA_ATTR_GRAPH && a->required && !a->has_default);
    a = ir_schema_attr_find(ir_schema_find("", "Concat", 13), "axis");
    CHECK(a && a->required && !a->has_default);
    a = ir_schema_attr_find(ir_schema_find("", "Conv", 11), "strides");
    CHECK(a && a->type == IR_SCHEMA_ATTR_INTS && !a->required && !a->has_default);
    CHECK(!ir_schema_attr_find(ir_schema_find("", "Conv", 11), "stride"));
    CHECK(!ir_schema_attr_find(ir_schema_find("", "Add", 14), "axis"));
}

static void test_attribute_defaults(void) {
    const ir_schema_attr *a = ir_schema_attr_find(ir_schema_find("", "Gemm", 13), "alpha");
    CHECK(a && a->type == IR_SCHEMA_ATTR_FLOAT && a->value.f == 1.0f);
    a = ir_schema_attr_find(ir_schema_find("", "LeakyRelu", 16), "alpha");
    CHECK(a && a->value.f == 0.01f);
    a = ir_schema_attr_find(ir_schema_find("", "Conv", 11), "auto_pad");
    CHECK(a && a->type == IR_SCHEMA_ATTR_STRING && strcmp(a->value.s, "NOTSET") == 0);
    a = ir_schema_attr_find(ir_schema_find("", "MeanVarianceNormalization", 13), "axes");
    CHECK(a && a->type == IR_SCHEMA_ATTR_INTS && a->value.ints.count == 3);
    CHECK(a && a->value.ints.data[0] == 0 && a->value.ints.data[2] == 3);
    a = ir_schema_attr_find(ir_schema_find("", "RNN", 14), "activations");
    CHECK(a && a->type == IR_SCHEMA_ATTR_STRINGS && a->value.strings.count == 2);
    CHECK(a && strcmp(a->value.strings.data[1], "Tanh") == 0);
}

static void test_flags(void) {
    CHECK(ir_schema_find("", "Upsample", 10)->flags & IR_SCHEMA_DEPRECATED);
    CHECK(!(ir_schema_find("", "Upsample", 9)->flags & IR_SCHEMA_DEPRECATED));
    CHECK(ir_schema_find("", "Scatter", 11)->flags & IR_SCHEMA_DEPRECATED);
    CHECK(ir_schema_find("", "Softplus", 22)->flags & IR_SCHEMA_FUNCTION);
    CHECK(ir_schema_find("", "Clip", 13)->flags & IR_SCHEMA_FUNCTION_BUILDER);
    CHECK(ir_schema_find("", "MatMul", 13)->flags == 0);
}

static int compare_entries(const ir_schema *a, const ir_schema *b) {
    int order = strcmp(a->domain, b->domain);
    if (!order) order = strcmp(a->name, b->name);
    return order ? order : a->since - b->since;
}

static bool slots_are_sound(const ir_schema *s, const ir_schema_slot *slots, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (slots[i].constraint >= s->n_constraints || !slots[i].name[0]) return false;
        if (slots[i].kind == IR_SCHEMA_VARIADIC && i + 1 != count) return false;
        const ir_schema_types *t = ir_schema_slot_types(s, &slots[i]);
        if (!(t->tensor | t->seq | t->optional | t->optional_seq | t->maps)) return false;
    }
    return true;
}

/* Every entry is reachable by its own name and version, in order, and consistent in itself. */
static void test_all_entries(void) {
    CHECK_EQ(ir_schema_count(), 639);
    CHECK(!ir_schema_get(ir_schema_count()));
    for (size_t i = 0; i < ir_schema_count(); i++) {
        const ir_schema *s = ir_schema_get(i);
        CHECK(ir_schema_find(s->domain, s->name, s->since) == s);
        CHECK(i == 0 || compare_entries(ir_schema_get(i - 1), s) < 0);
        CHECK(s->min_in <= s->max_in && s->min_out <= s->max_out);
        CHECK(s->since <= ir_schema_find_opset(s->domain));
        CHECK(slots_are_sound(s, s->in, s->n_in) && slots_are_sound(s, s->out, s->n_out));
        for (size_t k = 0; k < s->n_attrs; k++) {
            CHECK(ir_schema_attr_find(s, s->attrs[k].name) == &s->attrs[k]);
            CHECK(k == 0 || strcmp(s->attrs[k - 1].name, s->attrs[k].name) < 0);
            CHECK(s->attrs[k].type != IR_SCHEMA_ATTR_UNDEFINED);
        }
    }
}

static void check_row(const char *name, int since_column, uint32_t traits) {
    if (traits & OP_INTERNAL) return;
    const char *domain = traits & OP_ML ? "ai.onnx.ml" : "";
    const ir_schema *s = ir_schema_find(domain, name, since_column);
    bool ok = s && s->since == since_column && !(s->flags & IR_SCHEMA_DEPRECATED);
    if (!CHECK(ok)) fprintf(stderr, "  ops.def: %s %d\n", name, since_column);
}

/* Each row of ops.def names a version that exists. */
static void test_operator_table(void) {
#define OP(name, since, infer, eval, lower, traits, summary) check_row(#name, since, traits);
#include "ir/ops.def"
#undef OP
}

int main(void) {
    test_find_by_opset();
    test_unknown_names();
    test_domains();
    test_slots();
    test_variadic();
    test_tensor_types();
    test_other_types();
    test_attributes();
    test_attribute_defaults();
    test_flags();
    test_all_entries();
    test_operator_table();
    return check_done();
}
