/* Which change of which pass makes a result wrong: halving the number of changes; see pass.h. */
#include "passes/pass.h"

typedef struct bisection {
    const ir_module *m;
    const char *passes;
    pass_options options;
    pass_is_bad_fn *is_bad;
    void *data;
    pass_trace trace;
    bool failed;
} bisection;

/* bisect: as in pass_options. */
static bool is_bad_after(bisection *b, int64_t bisect) {
    tl_arena arena;
    b->trace = (pass_trace){0};
    b->options.bisect = bisect;
    tl_arena_init(&arena, b->m->ctx->fail);
    ir_module *copy = ir_module_clone(b->m, &arena);
    b->failed = !pass_run(copy, b->passes, &b->options);
    bool bad = !b->failed && b->is_bad(b->data, copy);
    tl_arena_release(&arena);
    return bad;
}

bool pass_bisect(const ir_module *m, const char *passes, const pass_options *o,
                 pass_is_bad_fn *is_bad, void *data, pass_trace *culprit) {
    bisection b = {.m = m, .passes = passes, .is_bad = is_bad, .data = data};
    if (o) b.options = *o;
    b.options.trace = &b.trace;
    if (is_bad_after(&b, -1) || b.failed || !is_bad_after(&b, 0)) return false;
    int64_t good = 0, bad = b.trace.changes;
    while (bad - good > 1) {
        int64_t middle = good + (bad - good) / 2;
        bool is = is_bad_after(&b, middle);
        if (b.failed) return false;
        if (is)
            bad = middle;
        else
            good = middle;
    }
    if (!is_bad_after(&b, bad)) return false;
    *culprit = b.trace;
    return true;
}
