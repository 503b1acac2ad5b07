/* The whole compiler when memory runs out: the n-th allocation fails, for n = 1, 2, ... until one compilation gets through. Every
 * one before must end in TLBC_ERROR_MEMORY with nothing leaked (run under a sanitizer), no file left behind and the file that
 * was there untouched. Large models take steps; a first argument of 1 makes every allocation fail in turn.
 *
 *   oom_test tests/models/tlb_test_unrolled_ts13/model.onnx 997
 *
 * A step must be odd, best a prime: then different stages of a pattern that repeats are hit. */
#include "tests/support/check.h"
#include "tlbc/tlbc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/tlbc-oom-XXXXXX";
static char output[64], old[64];

static tlbc_status compile_to(const char *model, uint64_t n, uint32_t emit, const char *path) {
    tlbc_compile_options o = {.struct_size = sizeof o,
                              .emit = emit,
                              .fail_allocation = n,
                              .simplify = emit == TLBC_EMIT_SO ? TLBC_SIMPLIFY_CLASSIC
                                                               : TLBC_SIMPLIFY_EGRAPH};
    char *message = NULL;
    tlbc_status status = tlbc_compile_file(model, path, &o, &message);
    if (status && status != TLBC_ERROR_MEMORY)
        fprintf(stderr, "  n = %llu: %s\n", (unsigned long long)n,
                message ? message : "no message");
    tlbc_message_free(message);
    return status;
}

static tlbc_status load(const char *model, uint64_t n) {
    tlbc_compile_options o = {.struct_size = sizeof o, .fail_allocation = n};
    tlbc_loaded *l;
    tlbc_status status = tlbc_compile_memory(model, &o, &l, NULL);
    CHECK((status == TLBC_OK) == (l != NULL));
    tlbc_loaded_free(l);
    return status;
}

static void write_old(void) {
    FILE *f = fopen(old, "w");
    if (!CHECK(f != NULL)) return;
    fputs("old", f);
    fclose(f);
}

static bool old_is_there(void) {
    struct stat s;
    return !stat(old, &s) && s.st_size == 3;
}

/* Everything but the machine code, which is the same work for every n: graph (with the e-graph), loops, header. */
static void check_files(const char *model, uint64_t step) {
    enum { TEXTS = TLBC_EMIT_LOOP };
    uint64_t n = 1;
    tlbc_status status;
    write_old();
    while ((status = compile_to(model, n, TEXTS, old)) == TLBC_ERROR_MEMORY) {
        if (!CHECK(old_is_there())) break;
        n += step;
    }
    CHECK_EQ(status, TLBC_OK);
    CHECK(!old_is_there());
    CHECK(n > 500);
    printf("# %s: %llu allocations\n", model, (unsigned long long)n);
}

/* Objects, linked or loaded: LLVM is at work between our allocations, so few steps. */
static void check_code(const char *model, uint64_t step) {
    uint64_t n = 1;
    while (load(model, n) == TLBC_ERROR_MEMORY)
        n += step;
    n = 1;
    while (compile_to(model, n, TLBC_EMIT_SO, output) == TLBC_ERROR_MEMORY) {
        CHECK(access(output, F_OK) != 0);
        n += step;
    }
    CHECK(access(output, F_OK) == 0);
}

int main(int argc, char **argv) {
    uint64_t step = argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
             code_step = argc > 3 ? strtoull(argv[3], NULL, 10) : step;
    if (argc < 2 || !step || !code_step) {
        fprintf(stderr, "usage: oom_test MODEL [STEP [STEP-OF-CODE]]\n");
        return 2;
    }
    if (!CHECK(mkdtemp(folder) != NULL)) return check_done();
    snprintf(output, sizeof output, "%s/m.so", folder);
    snprintf(old, sizeof old, "%s/old.loop", folder);
    check_files(argv[1], step);
    check_code(argv[1], code_step);
    unlink(output);
    unlink(old);
    CHECK(rmdir(folder) == 0); /* nothing else is there */
    return check_done();
}
