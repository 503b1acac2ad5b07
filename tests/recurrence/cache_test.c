/* A decoder with a cache of keys and values, as PyTorch exports it: with the cache as a state that grows, against the same model with
 * the cache handed in and out by hand. The same bits in every step.
 *   cache_test MODEL.onnx        (tests/models/gpt_cache) */
#include "tests/support/check.h"
#include "tlbc/tlbc.h"

#include <stdlib.h>

enum { LAYERS = 2, HEADS = 4, WIDTH = 8, WORDS = 50, MOST = 12 };

static tlbc_loaded *load(const char *path, const char *state) {
    tlbc_loaded *l = NULL;
    char *message = NULL;
    tlbc_compile_options o = {.struct_size = sizeof o, .states = &state, .n_states = state != NULL};
    CHECK_EQ(tlbc_compile_memory(path, &o, &l, &message), TLBC_OK);
    if (message) fputs(message, stderr);
    tlbc_message_free(message);
    return l;
}

static tlbc_session *session(const tlbc_loaded *l, uint32_t threads) {
    tlbc_session *s = NULL;
    tlbc_session_options o = {.struct_size = sizeof o, .threads = threads, .exact_threads = 1};
    CHECK_EQ(tlbc_session_create(tlbc_loaded_model(l), &o, &s), TLBC_OK);
    return s;
}

static tlbc_tensor cache_of(float *data, int64_t length) {
    return tlbc_tensor_f32(data, 6, (int64_t[]){LAYERS, 2, 1, HEADS, length, WIDTH});
}

static tlbc_tensor tokens_of(int64_t *data, int64_t n) {
    return tlbc_tensor_of(data, TLBC_I64, sizeof *data, 2, (int64_t[]){1, n});
}

/* By hand: what comes out as the cache goes in again. */
static void run(tlbc_session *s, int64_t *tokens, int64_t n, float *cache, int64_t length,
                float *logits) {
    static float present[LAYERS * 2 * HEADS * MOST * WIDTH];
    tlbc_tensor in[2] = {tokens_of(tokens, n), cache_of(cache, length)},
                out[2] = {tlbc_tensor_f32(logits, 2, (int64_t[]){1, WORDS}),
                          cache_of(present, length + n)};
    if (!CHECK_EQ(tlbc_run(s, in, out), TLBC_OK)) fprintf(stderr, "%s\n", tlbc_session_message(s));
    memcpy(cache, present, out[1].bytes);
}

static void test_stream(const tlbc_loaded *plain, const tlbc_loaded *stream, uint32_t threads) {
    static const int64_t steps[] = {4, 1, 2, 1, 3, 1};
    static float cache[LAYERS * 2 * HEADS * MOST * WIDTH];
    int64_t tokens[4] = {0}, length = 0;
    uint32_t seed = 11;
    tlbc_session *a = session(plain, 1), *b = session(stream, threads);
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        float want[WORDS] = {0}, got[WORDS] = {1};
        for (int64_t i = 0; i < steps[k]; i++) {
            seed = seed * 1664525u + 1013904223u;
            tokens[i] = (seed >> 16) % WORDS;
        }
        run(a, tokens, steps[k], cache, length, want);
        tlbc_tensor in = tokens_of(tokens, steps[k]),
                    out = tlbc_tensor_f32(got, 2, (int64_t[]){1, WORDS});
        if (!CHECK_EQ(tlbc_step(b, &in, &out), TLBC_OK))
            fprintf(stderr, "%s\n", tlbc_session_message(b));
        CHECK(memcmp(got, want, sizeof got) == 0);
        length += steps[k];
    }
    tlbc_tensor in = tokens_of(tokens, 1), out = tlbc_tensor_f32(cache, 2, (int64_t[]){1, WORDS});
    CHECK_EQ(tlbc_step(b, &in, &out), TLBC_ERROR_DATA); /* full */
    tlbc_session_free(b);
    tlbc_session_free(a);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    tlbc_loaded *plain = load(argv[1], NULL), *stream = load(argv[1], "past=present@12");
    for (uint32_t threads = 1; plain && stream && threads <= 3; threads++)
        test_stream(plain, stream, threads);
    tlbc_loaded_free(stream);
    tlbc_loaded_free(plain);
    return check_done();
}
