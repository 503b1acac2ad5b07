/* The compile API: results, messages, calls at the same time, and every allocation of a compilation made to fail in turn.
 *   api_test MODEL.onnx */
#define _GNU_SOURCE /* mkstemps */
#include "tests/support/check.h"
#include "tlbc/tlbc.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static tlbc_status load(const char *path, uint64_t fail_allocation, tlbc_loaded **out,
                        char **message) {
    tlbc_compile_options o = {.struct_size = sizeof o, .fail_allocation = fail_allocation};
    return tlbc_compile_memory(path, &o, out, message);
}

static void run_digits(const tlbc_model *m) {
    static const float image[64] = {0};
    float logits[10] = {0};
    const int64_t in_dims[] = {1, 8, 8}, out_dims[] = {1, 10};
    tlbc_tensor in = tlbc_tensor_f32((float *)(uintptr_t)image, 3, in_dims),
                out = tlbc_tensor_f32(logits, 2, out_dims);
    tlbc_session *s;
    if (!CHECK_EQ(tlbc_session_create(m, NULL, &s), TLBC_OK)) return;
    CHECK_EQ(tlbc_run(s, &in, &out), TLBC_OK);
    CHECK(logits[0] != 0);
    tlbc_session_free(s);
}

static void test_memory(const char *path) {
    tlbc_loaded *l;
    char *message;
    CHECK_EQ(load(path, 0, &l, &message), TLBC_OK);
    CHECK(message == NULL);
    run_digits(tlbc_loaded_model(l));
    tlbc_loaded_free(l);
    tlbc_loaded_free(NULL);
}

static void test_errors(void) {
    tlbc_loaded *l;
    char *message;
    CHECK_EQ(load("/nonexistent.onnx", 0, &l, &message), TLBC_ERROR_MODEL);
    CHECK(l == NULL);
    CHECK(message && strstr(message, "/nonexistent.onnx"));
    tlbc_message_free(message);
    CHECK_EQ(load("/nonexistent.onnx", 0, &l, NULL), TLBC_ERROR_MODEL);
    tlbc_compile_options o = {.struct_size = sizeof o, .math = (tlbc_math)99};
    CHECK_EQ(tlbc_compile_file("/nonexistent.onnx", "/nonexistent.so", &o, NULL),
             TLBC_ERROR_ARGUMENT);
}

static void count_llvm(void *data, const char *stage) {
    *(int *)data += strcmp(stage, "llvm") == 0;
}

/* Machine code is the slow part: it is made once, whatever is made from it. */
static void test_code_is_made_once(const char *path) {
    char output[] = "/tmp/tlbc-api-XXXXXX.so", object[sizeof output], graph[sizeof output];
    int file = mkstemps(output, 3), made = 0;
    if (!CHECK(file >= 0)) return;
    close(file);
    tlbc_compile_options o = {.struct_size = sizeof o,
                              .emit = TLBC_EMIT_SO | TLBC_EMIT_OBJ | TLBC_EMIT_GRAPH,
                              .progress = count_llvm,
                              .progress_data = &made};
    CHECK_EQ(tlbc_compile_file(path, output, &o, NULL), TLBC_OK);
    CHECK_EQ(made, 1);
    snprintf(object, sizeof object, "%.*s.o", (int)strlen(output) - 3, output);
    snprintf(graph, sizeof graph, "%.*s.tl", (int)strlen(output) - 3, output);
    CHECK(unlink(output) == 0 && unlink(object) == 0 && unlink(graph) == 0);
}

/* Out of memory at any allocation: the call says so, nothing leaks (the address sanitizer looks), nothing aborts. The steps grow,
 * so that early allocations are all tried and late ones sampled. */
static void test_out_of_memory(const char *path) {
    tlbc_status status;
    unsigned tries = 0;
    uint64_t n = 1;
    do {
        tlbc_loaded *l;
        char *message;
        status = load(path, n, &l, &message);
        if (status) CHECK_EQ(status, TLBC_ERROR_MEMORY);
        CHECK((l == NULL) == (status != TLBC_OK));
        tlbc_message_free(message);
        tlbc_loaded_free(l);
        tries++;
        n += 1 + n / 16;
    } while (status == TLBC_ERROR_MEMORY);
    CHECK_EQ(status, TLBC_OK);
    CHECK(tries > 50);
}

static void *compile_one(void *data) {
    tlbc_loaded *l = NULL;
    if (load(data, 0, &l, NULL)) return NULL;
    return l;
}

/* Contexts share nothing. */
static void test_at_the_same_time(char *path) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, compile_one, path), 0);
    for (int i = 0; i < 2; i++) {
        void *l;
        pthread_join(threads[i], &l);
        if (CHECK(l != NULL)) run_digits(tlbc_loaded_model(l));
        tlbc_loaded_free(l);
    }
}

static char *graph_text(const char *model) {
    static const char path[] = "api_test_locale.tl";
    tlbc_compile_options o = {.struct_size = sizeof o, .emit = TLBC_EMIT_GRAPH};
    CHECK_EQ(tlbc_compile_file(model, path, &o, NULL), TLBC_OK);
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (CHECK(f != NULL)) CHECK(fread(text, 1, (1 << 20) - 1, f) > 0);
    if (f) fclose(f);
    remove(path);
    return text;
}

/* A program whose numbers have a comma gets the same texts. Says nothing where the machine has no such locale. */
static void test_locale(const char *model) {
    char *with_point = graph_text(model);
    CHECK(strchr(with_point, '.') != NULL);
    if (setlocale(LC_ALL, "de_DE.UTF-8") || setlocale(LC_ALL, "fr_FR.UTF-8")) {
        char *with_comma = graph_text(model), half[8];
        CHECK_STR(with_comma, with_point);
        free(with_comma);
        snprintf(half, sizeof half, "%.1f", 0.5);
        CHECK_STR(half, "0,5"); /* the caller's locale is back */
        setlocale(LC_ALL, "C");
    } else {
        puts("# no locale with a comma: left out");
    }
    free(with_point);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    test_memory(argv[1]);
    test_errors();
    test_code_is_made_once(argv[1]);
    test_out_of_memory(argv[1]);
    test_at_the_same_time(argv[1]);
    test_locale(argv[1]);
    CHECK(strlen(tlbc_version()) > 0);
    return check_done();
}
