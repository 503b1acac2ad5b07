/* Which graphs can have a C interface: ranks within the runtime's limit, dimensions of inputs that the inputs tell. */
#include "codegen/cg.h"
#include "tests/support/module.h"

static bool compiles(test_module *t, const char *text) {
    cg_target target;
    ir_module *m = test_parse(t, text);
    if (!CHECK(cg_target_find(&t->c, "x86-64-v3", &target)) || !m) return false;
    return cg_lower(m, &(cg_options){.targets = &target, .n_targets = 1}) != NULL;
}

static void refused(const char *text, const char *message) {
    test_module t;
    test_module_init(&t);
    CHECK(!compiles(&t, text));
    const char *found = test_messages(&t);
    if (!CHECK(strstr(found, message) != NULL)) fprintf(stderr, "%s", found);
    test_module_release(&t);
}

static void accepted(const char *text) {
    test_module t;
    test_module_init(&t);
    if (!CHECK(compiles(&t, text))) fputs(test_messages(&t), stderr);
    test_module_release(&t);
}

int main(void) {
    accepted("graph g(f32[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2] %x) => (y) { %y = Neg(%x) return %y }");
    refused("graph g(f32[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2] %x) => (y) { %y = Neg(%x) return %y }",
            "input 'x' has rank 17, the limit is 16");
    refused("const @a i64[16] {0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}"
            "graph g(f32[2] %x) => (y) { %y = Unsqueeze(%x, @a) return %y }",
            "output 'y' has rank 17, the limit is 16");
    refused("graph g(f32[*] %x) => (y) { %y = Neg(%x) return %y }",
            "'x' is a value this operator is not compiled for");
    refused("graph g(f32[2*n] %x) => (y) { %y = Neg(%x) return %y }",
            "input 'x': its shape depends on data ('n' is not a dimension of an input)");
    return check_done();
}
