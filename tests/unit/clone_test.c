/* Clones are equal, independent, and outlive what they were made from. */
#include "tests/support/module.h"

static const char *const source = "const @w f32[9] rand 3\n"
                                  "const @s str[2] {\"a\", \"b\"}\n"
                                  "const @dead f32[] {5}\n"
                                  "graph g(f32[9] %x, bool[] %p) => (f32[9] y, str[2] z) {\n"
                                  "  f32[9] %a = Add(%x, @w)\n"
                                  "  f32[9] %f = Fused<d=dims<N,2*N>, i=[1,2], k=f32[2] {1, 2}, "
                                  "n=1.5, s=[\"q\"], t=[f32[] {1}]>(%a) {\n"
                                  "    body(f32[9] %e) { f32[9] %r = Relu(%e) yield %r }\n"
                                  "  }\n"
                                  "  f32[9] %c = If(%p) {\n"
                                  "    then_branch() { f32[9] %t = Mul(%f, @w) yield %t }\n"
                                  "    else_branch() { yield %a }\n"
                                  "  }\n"
                                  "  return %c, @s\n"
                                  "}\n";

/* The old arena is gone (and, under a sanitizer, poisoned) before the copy is looked at. */
static void test_clone_outlives_its_source(void) {
    test_module t;
    test_module_init(&t);
    tl_arena other;
    tl_arena_init(&other, &t.fail);
    ir_module *m = test_parse(&t, source);
    m->producer = "someone";
    memset(m->sha256, 7, sizeof m->sha256);
    uint64_t hash = ir_module_hash(m);
    ir_print_options full = {.constants = IR_CONSTANTS_FULL};
    tl_str before, after;
    tl_str_init(&before, &other);
    tl_str_init(&after, &other);
    ir_module_print(m, &full, &before);
    ir_module *copy = ir_module_clone(m, &other);
    tl_arena_release(&t.arena);
    CHECK(ir_module_hash(copy) == hash);
    ir_module_print(copy, &full, &after);
    CHECK_STR(after.data, before.data);
    CHECK_EQ(copy->sha256[31], 7);
    for (const ir_const *k = copy->consts; k; k = k->next)
        CHECK(k->value.uses != NULL); /* the dead one stayed behind */
    tl_arena_release(&other);
    test_module_release(&t);
}

/* Payloads that do not lie in the arena are not copied. */
static void test_mapped_bytes_are_shared(void) {
    static const float weights[16] = {1, 2, 3};
    test_module t;
    test_module_init(&t);
    tl_arena other;
    tl_arena_init(&other, &t.fail);
    ir_module *m = test_parse(
        &t, "graph g(f32[16] %x) => (f32[16] y) { f32[16] %a = Neg(%x) return %a }");
    const ir_type *type = ir_type_tensor_static(&t.c, DT_f32, 1, (int64_t[]){16});
    ir_value *w = ir_module_const(m, ir_tensor_create(&t.arena, type, weights), "w");
    ir_node_set_operand(m->graphs->body->first, 0, w);
    ir_module *copy = ir_module_clone(m, &other);
    CHECK(copy->consts->value.tensor->data == weights);
    CHECK(copy->consts->value.tensor != w->tensor);
    tl_arena_release(&other);
    test_module_release(&t);
}

static void test_copies_are_independent(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, source);
    const char *before = test_print(&t, m);
    ir_module *copy = ir_module_clone(m, &t.arena);
    ir_node *f = test_node(copy->graphs, "f");
    ir_attr_set_float(copy, f, "n", 2.5f);
    ir_attr_remove(f, "i");
    ir_value_replace_uses(&test_node(copy->graphs, "a")->out[0], copy->graphs->body->params[0]);
    ir_node_remove(test_node(copy->graphs, "a"));
    CHECK_STR(test_print(&t, m), before);
    CHECK(ir_module_hash(copy) != ir_module_hash(m));
    test_module_release(&t);
}

static void test_node_clone(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, source);
    ir_node *c = test_node(m->graphs, "c");
    ir_node *copy = ir_node_clone(m, c, (ir_value *[]){m->graphs->body->params[1]});
    CHECK(!copy->parent && copy->regions[0] != c->regions[0]);
    CHECK(copy->regions[0]->graph == m->graphs);
    ir_node_insert_after(c, copy);
    ir_value_replace_uses(&c->out[0], &copy->out[0]);
    CHECK(ir_module_verify(m));
    ir_node_remove(c);
    CHECK(ir_module_verify(m));
    const char *text = test_print(&t, m);
    CHECK(strstr(text, "f32[9] %c = If(%p) {") != NULL);
    CHECK(strstr(text, "%t = Mul(%f, @w)") != NULL);
    test_module_release(&t);
}

/* A branch taken out in front of its node. */
static void test_inline_region(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, source);
    ir_node *f = test_node(m->graphs, "f");
    ir_value *result, *arg = &test_node(m->graphs, "a")->out[0];
    ir_region_inline(m, f->regions[0], &arg, f->parent, f, "in", &result);
    CHECK(result->def->op == OP_Relu && result->def->next == f);
    CHECK_STR(result->name, "r.in");
    ir_value_replace_uses(&f->out[0], result);
    ir_node_remove(f);
    CHECK(ir_module_verify(m));
    CHECK(strstr(test_print(&t, m), "  f32[9] %r.in = Relu(%a)\n  f32[9] %c = If") != NULL);
    test_module_release(&t);
}

/* A graph's body into another module: its constants move along; a result may be a parameter. */
static void test_inline_across_modules(void) {
    test_module t;
    test_module_init(&t);
    ir_module *from = test_parse(&t,
                                 "const @k f32[] {2} graph f(f32[] %a) => (f32[] p, f32[] q) {\n"
                                 "f32[] %b = Mul(%a, @k) return %b, %a }");
    ir_module *to = test_parse(
        &t,
        "const @two f32[] {2} graph g(f32[] %x) => (f32[] y) { f32[] %n = Neg(@two) return %n }");
    ir_value *x = to->graphs->body->params[0], *results[2];
    ir_region_inline(to, from->graphs->body, &x, to->graphs->body, NULL, NULL, results);
    CHECK(results[1] == x && results[0]->def->op == OP_Mul);
    CHECK(results[0]->def->in[1].value == &to->consts->value); /* equal content is one constant */
    CHECK(to->consts->next == NULL);
    CHECK(ir_module_verify(to) && ir_module_verify(from));
    test_module_release(&t);
}

int main(void) {
    test_clone_outlives_its_source();
    test_mapped_bytes_are_shared();
    test_copies_are_independent();
    test_node_clone();
    test_inline_region();
    test_inline_across_modules();
    return check_done();
}
