/* Diagnostics: text, repetitions, the limit. */
#include "ir/base/diag.h"
#include "tests/support/check.h"

static const char *render(tl_arena *a, const diag *d) {
    tl_str s;
    tl_str_init(&s, a);
    diag_render(d, &s);
    return s.data;
}

static void test_text(tl_arena *a) {
    diag d;
    const ir_loc node = {.file = "m.onnx", .node = "conv1", .op = "Conv", .path = "graph 'main'"};
    const ir_loc line = {.file = "g.tl", .line = 2, .column = 3, .source_line = "  %a"};
    diag_init(&d, a);
    CHECK(!diag_error(&d, &node, "rank is %d", 3));
    CHECK(!diag_note(&d, &node, "declared there"));
    CHECK(!diag_warning(&d, &line, "odd"));
    CHECK_STR(render(a, &d), "m.onnx: node 'conv1' (Conv), rank is 3\n"
                             "    in graph 'main'\n"
                             "    note: declared there\n"
                             "warning: g.tl:2:3: odd\n"
                             "      %a\n"
                             "      ^\n");
    CHECK_EQ(d.n_errors, 1);
    diag_clear(&d);
    CHECK_STR(render(a, &d), "");
    CHECK_EQ(d.n_errors, 0);
}

/* Places are compared by what they say: the same node has several ir_loc where it was cloned. */
static void test_repetitions(tl_arena *a) {
    diag d;
    const ir_loc first = {.node = "a", .op = "Add"}, again = {.node = "a", .op = "Add"},
                 other = {.node = "b", .op = "Add"};
    diag_init(&d, a);
    diag_error(&d, &first, "wrong");
    diag_note(&d, NULL, "left");
    diag_note(&d, NULL, "left"); /* said twice about one entry */
    diag_error(&d, &other, "wrong");
    diag_note(&d, NULL, "left"); /* about another entry */
    diag_error(&d, &again, "wrong");
    diag_note(&d, NULL, "right"); /* belongs to what was dropped */
    diag_warning(&d, &again, "wrong");
    diag_error(&d, NULL, "wrong");
    CHECK_STR(render(a, &d), "node 'a' (Add), wrong\n"
                             "    note: left\n"
                             "node 'b' (Add), wrong\n"
                             "    note: left\n"
                             "warning: node 'a' (Add), wrong\n"
                             "wrong\n");
    CHECK_EQ(d.n_errors, 4); /* a repetition is still a failure: callers compare counts */
    diag_clear(&d);
    diag_error(&d, &first, "wrong");
    CHECK_EQ(d.n, 1);
}

static void test_limit(tl_arena *a) {
    diag d;
    diag_init(&d, a);
    for (int i = 0; i < DIAG_MAX_ERRORS; i++)
        for (int repeat = 0; repeat < 3; repeat++)
            diag_error(&d, NULL, "error %d", i);
    CHECK_EQ(d.n, DIAG_MAX_ERRORS);
    CHECK(!strstr(render(a, &d), "not shown"));
    diag_error(&d, NULL, "one more");
    diag_note(&d, NULL, "of it");
    diag_error(&d, NULL, "and one");
    diag_warning(&d, NULL, "late");
    CHECK_EQ(d.n, DIAG_MAX_ERRORS);
    CHECK(strstr(render(a, &d), "2 more errors not shown\n") != NULL);
}

int main(void) {
    tl_fail fail = {0};
    tl_arena a;
    tl_arena_init(&a, &fail);
    test_text(&a);
    test_repetitions(&a);
    test_limit(&a);
    tl_arena_release(&a);
    return check_done();
}
