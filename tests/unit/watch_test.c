/* Guards behind workspace buffers in code that a sanitizer watches: the plan leaves room for them, the program says where they are, and
 * AddressSanitizer, where it is there, is told. */
#include "codegen/cg.h"
#include "codegen/watch.h"
#include "tests/support/module.h"

#include <stdlib.h>

static const cg_model *lower(test_module *t, bool watch) {
    cg_target *target = TL_NEW(&t->arena, cg_target);
    cg_options *o = TL_NEW(&t->arena, cg_options);
    *o = (cg_options){.targets = target, .n_targets = 1, .watch = watch};
    ir_module *m = test_parse(t, "const @zero i64[] {0}\n"
                                 "graph g(f32[3,5] %x, f32[n,5] %y) => (a, b) {"
                                 " %s = CumSum(%x, @zero) %a = CumSum(%s, @zero)"
                                 " %t = CumSum(%y, @zero) %b = CumSum(%t, @zero)"
                                 " return %a, %b }");
    if (!m || !CHECK(cg_target_find(&t->c, "x86-64-v3", target))) return NULL;
    return cg_lower(m, o);
}

static bool names(test_module *t, const cg_model *model, const char *what) {
    tl_str s;
    tl_str_init(&s, &t->arena);
    lp_module_print(model->entries[0].variants[0].lp, &s);
    return strstr(s.data, what) != NULL;
}

static void test_plan(void) {
    test_module t;
    test_module_init(&t);
    const cg_model *plain = lower(&t, false), *watched = lower(&t, true);
    if (CHECK(plain && watched)) {
        const cg_memory_plan *p = &plain->entries[0].variants[0].plan;
        const cg_memory_plan *w = &watched->entries[0].variants[0].plan;
        CHECK_EQ(p->static_bytes, 64); /* 3 x 5 floats */
        CHECK_EQ(w->static_bytes, 64 + CG_WATCH_GUARD);
        CHECK(p->n_slots == 1 && w->n_slots == 1);
        CHECK(!names(&t, plain, "@tlbc_watch_buffer"));
        CHECK(names(&t, watched, "@tlbc_watch_buffer"));
    }
    test_module_release(&t);
}

#ifdef TL_ASAN
static bool free_to_touch(char *p, size_t from, size_t to) {
    return !__asan_region_is_poisoned(p + from, to - from);
}

/* 100 bytes, and later 10 in the same memory: each ends where it ends. What another thread says of a buffer that is not its own counts
 * for nothing. */
static void test_books(void) {
    char *p = aligned_alloc(64, 256);
    if (!CHECK(p != NULL)) return;
    tlbc_watch_buffer(p, 100, 0);
    CHECK(free_to_touch(p, 0, 100));
    CHECK(!free_to_touch(p, 100, 101) && !free_to_touch(p, 191, 192));
    CHECK(free_to_touch(p, 192, 256));
    tlbc_watch_buffer(p + 64, 10, 1);
    CHECK(free_to_touch(p, 0, 100));
    tlbc_watch_buffer(p + 64, 10, 0);
    CHECK(free_to_touch(p, 0, 74) && !free_to_touch(p, 74, 75) && !free_to_touch(p, 191, 192));
    free(p);
}
#else
static void test_books(void) {}
#endif

int main(void) {
    test_plan();
    test_books();
    return check_done();
}
