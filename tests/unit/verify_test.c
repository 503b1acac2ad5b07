/* The verifier finds links that are broken by hand. What text can express is in tests/golden/verify. */
#include "tests/support/module.h"

static const char *const source = "const @one f32[] {1}\n"
                                  "graph g(f32[2] %x, bool[] %p) => (f32[2] y) {\n"
                                  "  f32[2] %a = Add(%x, @one)\n"
                                  "  f32[2] %b = Relu(%a)\n"
                                  "  f32[2] %c = If(%p) {\n"
                                  "    then_branch() { f32[2] %t = Neg(%b) yield %t }\n"
                                  "    else_branch() { yield %a }\n"
                                  "  }\n"
                                  "  return %c\n"
                                  "}\n";

typedef void break_fn(test_module *t, ir_module *m);

/* Breaks a fresh module and expects the verifier to say this. */
static void expect(break_fn *damage, const char *message) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, source);
    CHECK(ir_module_verify(m));
    damage(&t, m);
    CHECK(!ir_module_verify(m));
    const char *found = test_messages(&t);
    if (!CHECK(strstr(found, message) != NULL))
        fprintf(stderr, "  found:    %s\n  expected: %s\n", found, message);
    tl_str s;
    tl_str_init(&s, &t.arena);
    CHECK(!ir_module_print_annotated(m, &s)); /* and shows it without falling over */
    CHECK(strstr(s.data, "// error: ") != NULL);
    test_module_release(&t);
}

static ir_node *node(ir_module *m, const char *name) {
    return test_node(m->graphs, name);
}

static void break_index(test_module *t, ir_module *m) {
    (void)t;
    node(m, "a")->out[0].index = 1;
}
static void break_def(test_module *t, ir_module *m) {
    (void)t;
    node(m, "b")->out[0].def = node(m, "a");
}
static void break_parent(test_module *t, ir_module *m) {
    (void)t;
    node(m, "a")->parent = node(m, "c")->regions[0];
}
static void break_list(test_module *t, ir_module *m) {
    (void)t;
    node(m, "b")->prev = NULL;
}
static void break_last(test_module *t, ir_module *m) {
    (void)t;
    m->graphs->body->last = node(m, "b");
}
static void break_user(test_module *t, ir_module *m) {
    (void)t;
    node(m, "b")->in[0].user = node(m, "a");
}
/* An operand changed behind the back of the use lists. */
static void break_operand(test_module *t, ir_module *m) {
    (void)t;
    node(m, "b")->in[0].value = m->graphs->body->params[0];
}
static void break_use_list(test_module *t, ir_module *m) {
    (void)t;
    node(m, "b")->out[0].uses = NULL;
}
static void break_use_cycle(test_module *t, ir_module *m) {
    (void)t;
    ir_use *u = node(m, "b")->out[0].uses;
    u->next = u;
    u->prev = u;
}
/* A node that was made but never put anywhere reads a value. */
static void break_stray_user(test_module *t, ir_module *m) {
    (void)t;
    ir_value *a = &node(m, "a")->out[0];
    ir_node_create(m, OP_Neg, &a, 1, 1);
}
static void break_order(test_module *t, ir_module *m) {
    (void)t;
    ir_node_move_before(node(m, "a"), node(m, "b"));
}
/* A value of a region read outside of it. */
static void break_scope(test_module *t, ir_module *m) {
    (void)t;
    ir_node *inner = node(m, "c")->regions[0]->first;
    ir_node_set_operand(m->graphs->body->yield, 0, &inner->out[0]);
}
static void break_removed(test_module *t, ir_module *m) {
    (void)t;
    ir_node *a = node(m, "a");
    ir_value x = a->out[0];
    a->out[0].uses = NULL; /* as a careless pass would */
    ir_node_remove(a);
    a->out[0].uses = x.uses;
}
static void break_const_type(test_module *t, ir_module *m) {
    m->consts->value.type = ir_type_scalar(&t->c, DT_i64);
}
static void break_owner(test_module *t, ir_module *m) {
    (void)t;
    node(m, "c")->regions[0]->owner = NULL;
}
static void break_attr_order(test_module *t, ir_module *m) {
    (void)t;
    ir_node *n = node(m, "b");
    ir_attr_set_int(m, n, "a", 1);
    ir_attr_set_int(m, n, "b", 1);
    n->attrs[0].name = "c";
}
static void break_output_name(test_module *t, ir_module *m) {
    (void)t;
    m->graphs->outputs[0] = NULL;
}
static void break_type(test_module *t, ir_module *m) {
    (void)t;
    node(m, "a")->out[0].type = NULL;
}
static void break_nesting(test_module *t, ir_module *m) {
    (void)t;
    ir_region *r = m->graphs->body;
    for (int i = 0; i < 70; i++) {
        ir_node *n = ir_node_create(m, OP_Fused, NULL, 0, 0);
        ir_node_append(r, n);
        r = ir_node_add_region(m, n, "body");
    }
}

int main(void) {
    expect(break_index, "result 0 does not know what it is");
    expect(break_def, "result 0 does not know what it is");
    expect(break_parent, "does not know its region");
    expect(break_list, "is badly linked to the node before");
    expect(break_last, "does not know its last node");
    expect(break_user, "operand 0 does not know its node");
    expect(break_operand, "the uses of 'a' hold one of another value");
    expect(break_use_list, "the uses of 'b' are fewer than the operands that read it");
    expect(break_use_cycle, "the uses of 'b' are more than the operands that read it");
    expect(break_stray_user, "the uses of 'a' are more than the operands that read it");
    expect(break_order, "operand 0, 'a', is not defined before");
    expect(break_scope, "operand 0, 't', is not visible here");
    expect(break_removed, "operand 0, 'a', is not defined before");
    expect(break_const_type, "constant 'one' has another type than its payload");
    expect(break_owner, "a region does not know its place");
    expect(break_attr_order, "attributes 'c' and 'b' are out of order");
    expect(break_output_name, "graph output without a name");
    expect(break_type, "result 0 has no type");
    expect(break_nesting, "regions are nested deeper than 64");
    return check_done();
}
