/* A context and an arena for one test, and modules from text.
 *
 *   test_module t;
 *   test_module_init(&t);
 *   ir_module *m = test_parse(&t, "graph main(f32[] %x) => (f32[] y) { return %x }");
 *   test_module_release(&t); */
#ifndef TLBC_TESTS_MODULE_H
#define TLBC_TESTS_MODULE_H

#include "ir/ir.h"
#include "ir/text.h"
#include "tests/support/check.h"

#include <stdlib.h>

typedef struct test_module {
    tl_fail fail;
    ir_ctx c;
    tl_arena arena;
} test_module;

/* Out of memory ends the test program: nothing but the fuzzers gets there. */
static inline void test_module_init(test_module *t) {
    t->fail = (tl_fail){0};
    if (setjmp(t->fail.jump)) abort();
    ir_ctx_init(&t->c, &t->fail);
    tl_arena_init(&t->arena, &t->fail);
}

static inline void test_module_release(test_module *t) {
    tl_arena_release(&t->arena);
    ir_ctx_release(&t->c);
}

/* The messages so far, forgotten after. */
static inline const char *test_messages(test_module *t) {
    tl_str s;
    tl_str_init(&s, &t->arena);
    diag_render(&t->c.diag, &s);
    diag_clear(&t->c.diag);
    return s.data;
}

static inline ir_module *test_parse(test_module *t, const char *text) {
    ir_module *m = ir_module_parse(&t->c, &t->arena, "test.tl", text, strlen(text));
    if (!CHECK(m != NULL)) fputs(test_messages(t), stderr);
    return m;
}

static inline const char *test_print(test_module *t, const ir_module *m) {
    tl_str s;
    tl_str_init(&s, &t->arena);
    ir_module_print(m, NULL, &s);
    return s.data;
}

/* The first value of this name in the graph's outer region. */
static inline ir_node *test_node(const ir_graph *g, const char *result) {
    ir_for_each_node (n, g->body)
        if (n->n_out && n->out[0].name && strcmp(n->out[0].name, result) == 0) return n;
    return NULL;
}

#endif
