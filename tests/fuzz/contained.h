/* Runs a target's function on one input with a context and an arena of its own; where memory runs out it ends early, as programs do. */
#ifndef TLBC_TESTS_FUZZ_CONTAINED_H
#define TLBC_TESTS_FUZZ_CONTAINED_H
#include "ir/ir.h"

typedef void fuzz_run_fn(ir_ctx *c, tl_arena *a, const uint8_t *data, size_t size);

static inline int fuzz_contained(fuzz_run_fn *run, const uint8_t *data, size_t size) {
    tl_fail fail = {0};
    ir_ctx c = {0};
    tl_arena a = {0};
    if (setjmp(fail.jump) == 0) {
        ir_ctx_init(&c, &fail);
        tl_arena_init(&a, &fail);
        run(&c, &a, data, size);
    }
    tl_arena_release(&a);
    ir_ctx_release(&c);
    return 0;
}

#endif
