/* Import options, and what the module says about a model. Whether models mean the right thing is for the conformance run. */
#include "frontend/frontend.h"
#include "frontend/sha256.h"
#include "tests/support/check.h"

#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct fixture {
    tl_fail fail;
    ir_ctx c;
    tl_arena a;
    ir_module *m;
} fixture;

static void import(fixture *f, const char *name, const fe_options *o) {
    char path[256];
    *f = (fixture){0};
    ir_ctx_init(&f->c, &f->fail);
    tl_arena_init(&f->a, &f->fail);
    snprintf(path, sizeof path, "tests/data/import/good/%s/model.onnx", name);
    f->m = fe_import_file(&f->c, &f->a, path, o);
}

static void release(fixture *f) {
    tl_arena_release(&f->a);
    ir_ctx_release(&f->c);
}

static const char *messages(fixture *f) {
    tl_str s;
    tl_str_init(&s, &f->a);
    diag_render(&f->c.diag, &s);
    return s.data;
}

static const char *type_text(fixture *f, const ir_type *t) {
    tl_str s;
    tl_str_init(&s, &f->a);
    ir_type_print(t, &s);
    return s.data;
}

static const char *input_type(fixture *f, uint32_t i) {
    return type_text(f, f->m->graphs->body->params[i]->type);
}

static const char *output_type(fixture *f, uint32_t i) {
    return type_text(f, ir_region_result(f->m->graphs->body, i)->type);
}

static void test_description(void) {
    fixture f;
    import(&f, "softmax6", NULL);
    if (CHECK(f.m)) {
        CHECK_STR(f.m->graphs->name, "softmax6");
        CHECK_STR(f.m->producer, "test");
        CHECK_STR(f.m->graphs->outputs[0], "y");
        CHECK_STR(input_type(&f, 0), "f32[2,3,4,5]");
        CHECK(ir_module_verify(f.m));
    }
    release(&f);
}

/* The examples of FIPS 180-4, and lengths around the end of a block. */
static void check_digest(const char *text, size_t n, const char *expected) {
    uint8_t digest[32];
    char hex[65];
    fe_sha256(text, n, digest);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    CHECK_STR(hex, expected);
}

static void test_sha256(void) {
    static const char zeros[64];
    static char letters[1000000];
    memset(letters, 'a', sizeof letters);
    check_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_digest(zeros, 55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7");
    check_digest(zeros, 64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
    check_digest(letters, sizeof letters,
                 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_pins(void) {
    fixture f;
    fe_pin pins[] = {{"a0", 7}, {"a3", 2}};
    import(&f, "softmax6_dynamic", &(fe_options){.pins = pins, .n_pins = 2});
    if (CHECK(f.m)) {
        CHECK_STR(input_type(&f, 0), "f32[7,a1,a2,2]");
        CHECK_STR(output_type(&f, 0), "f32[7,a1,a2,2]");
    }
    release(&f);
    import(&f, "softmax6_dynamic", &(fe_options){.pins = &(fe_pin){"batch", 1}, .n_pins = 1});
    CHECK(!f.m);
    CHECK(strstr(messages(&f), "no input has a dimension 'batch'") != NULL);
    release(&f);
    import(&f, "softmax6_dynamic", &(fe_options){.pins = &(fe_pin){"a0", -1}, .n_pins = 1});
    CHECK(!f.m);
    release(&f);
}

static void test_symbolic_inputs(void) {
    fixture f;
    import(&f, "add6_axis", &(fe_options){.symbolic_inputs = true});
    if (CHECK(f.m)) CHECK_STR(input_type(&f, 1), "f32[b.d0,b.d1]");
    release(&f);
}

static void test_initialized_inputs(void) {
    fixture f;
    import(&f, "ir3_initializers", NULL);
    if (CHECK(f.m)) CHECK_EQ(f.m->graphs->body->n_params, 1);
    CHECK_STR(messages(&f), "");
    release(&f);
    import(&f, "default_input", NULL);
    if (CHECK(f.m)) CHECK_EQ(f.m->graphs->body->n_params, 1);
    CHECK(strstr(messages(&f), "input 'w' has a default value") != NULL);
    release(&f);
    import(&f, "default_input", &(fe_options){.keep_initialized_inputs = true});
    if (CHECK(f.m)) CHECK_EQ(f.m->graphs->body->n_params, 2);
    release(&f);
}

/* Calls of one function get values of different names, with the call's name in front. */
static void test_function_names(void) {
    fixture f;
    import(&f, "function_nested", NULL);
    if (CHECK(f.m)) {
        const ir_region *r = f.m->graphs->body;
        CHECK_EQ(ir_region_count_nodes(r), 8);
        CHECK_STR(r->last->out[0].name, "y");
        CHECK(strchr(r->first->out[0].name, '/') != NULL);
        CHECK(ir_module_verify(f.m));
    }
    release(&f);
}

static void test_max_nodes(void) {
    fixture f;
    import(&f, "function_nested", &(fe_options){.max_nodes = 5});
    CHECK(!f.m);
    CHECK(strstr(messages(&f), "more than 5 nodes") != NULL);
    release(&f);
}

static void test_buffers(void) {
    fixture f;
    import(&f, "softmax6", NULL);
    CHECK(!fe_import_buffer(&f.c, &f.a, "memory", "", 0, NULL));
    CHECK(strstr(messages(&f), "memory: not an ONNX model") != NULL);
    diag_clear(&f.c.diag);
    CHECK(!fe_import_file(&f.c, &f.a, "tests/data/import/nowhere.onnx", NULL));
    CHECK(strstr(messages(&f), "nowhere.onnx: cannot open: No such file") != NULL);
    diag_clear(&f.c.diag);
    CHECK(!fe_import_file(&f.c, &f.a, "tests", NULL));
    CHECK(strstr(messages(&f), "tests: cannot read: Is a directory") != NULL);
    release(&f);
}

static void check_written(fixture *f, const ir_tensor *t) {
    char path[] = "/tmp/tlbc-import-test-XXXXXX";
    int fd = mkstemp(path);
    if (!CHECK(fd >= 0)) return;
    close(fd);
    const ir_tensor *back = NULL;
    CHECK(fe_write_tensor_pb(&f->c, path, "x", t));
    CHECK(fe_read_tensor_pb(&f->c, &f->a, path, &back) && ir_tensor_equal(t, back));
    ir_datum d;
    CHECK(!fe_read_value_pb(&f->c, &f->a, path, ir_type_unranked(&f->c, DT_i8), &d));
    CHECK(strstr(messages(f), "the model declares i8") != NULL);
    unlink(path);
}

static void test_write_tensor(void) {
    fixture f;
    const char *const names[] = {"typed_f16", "strings", "typed_i4", "empty", "scalar"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        import(&f, names[i], NULL);
        if (CHECK(f.m)) check_written(&f, f.m->consts->value.tensor);
        release(&f);
    }
}

int main(void) {
    test_description();
    test_sha256();
    test_pins();
    test_symbolic_inputs();
    test_initialized_inputs();
    test_function_names();
    test_max_nodes();
    test_buffers();
    test_write_tensor();
    return check_done();
}
