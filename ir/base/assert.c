#include "ir/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static _Thread_local tl_assert_hook *hook_function;
static _Thread_local void *hook_data;

void tl_assert_set_hook(tl_assert_hook *hook, void *data) {
    hook_function = hook;
    hook_data = data;
}

_Noreturn void tl_assert_failed(const char *condition, const char *file, int line,
                                const char *function) {
    fprintf(stderr, "tlbc: bug: %s: %s:%d in %s\n", condition, file, line, function);
    tl_assert_hook *hook = hook_function;
    hook_function = NULL; /* the hook itself may assert */
    if (hook) hook(hook_data);
    abort();
}
