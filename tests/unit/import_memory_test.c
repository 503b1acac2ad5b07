/* Import when memory runs out: the n-th allocation fails, for every n, until one import gets through. Nothing leaks (run
 * under a sanitizer) and nothing is half done; protobuf-c's allocations count as well. */
#include "frontend/frontend.h"
#include "tests/support/check.h"

#include <setjmp.h>

/* A local function, an external tensor, an If that captures, a Constant, an old opset. */
static const char *const models[] = {
    "function_branch_true", "external", "unordered_capture", "softmax6", "typed_f16", "strings"};

typedef enum outcome { IMPORTED, REFUSED, OUT_OF_MEMORY } outcome;

static outcome import_with(const char *path, uint64_t countdown) {
    tl_fail fail = {.countdown = countdown};
    ir_ctx c = {0};
    tl_arena a = {0};
    volatile outcome result = OUT_OF_MEMORY;
    if (!setjmp(fail.jump)) {
        ir_ctx_init(&c, &fail);
        tl_arena_init(&a, &fail);
        result = fe_import_file(&c, &a, path, NULL) ? IMPORTED : REFUSED;
    }
    tl_arena_release(&a);
    ir_ctx_release(&c);
    return result;
}

static void check_model(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "tests/data/import/good/%s/model.onnx", name);
    if (!CHECK_EQ(import_with(path, 0), IMPORTED)) return;
    uint64_t n = 1;
    outcome o;
    while ((o = import_with(path, n)) == OUT_OF_MEMORY)
        n++;
    CHECK_EQ(o, IMPORTED);
    CHECK(n > 50);
}

int main(void) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        check_model(models[i]);
    return check_done();
}
