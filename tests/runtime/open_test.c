/* tlbc_open, tlbc_close and the weights file. Arguments: a good library, one of another ABI version, one that is no model. */
#include "runtime/abi.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

static const float numbers[4] = {1, 2, 3, 4};

/* Writes the weights file beside the library; `bytes` of the numbers, with this hash. */
static void write_weights(const char *library, uint64_t hash, size_t bytes) {
    char path[4096];
    const char *slash = strrchr(library, '/');
    snprintf(path, sizeof path, "%.*s/" WEIGHTS_FILE, (int)(slash - library), library);
    remove(path);
    if (bytes == 0) return;
    tlbc_weights_header h = {.bytes = sizeof numbers, .hash = hash};
    memcpy(h.magic, TLBC_WEIGHTS_MAGIC, sizeof h.magic);
    FILE *f = fopen(path, "wb");
    if (!CHECK(f != NULL)) exit(1);
    CHECK_EQ(fwrite(&h, sizeof h, 1, f), 1);
    CHECK_EQ(fwrite(numbers, 1, bytes, f), bytes);
    fclose(f);
}

static const tlbc_model *open_good(const char *path) {
    const tlbc_model *m;
    char message[256];
    if (!CHECK_EQ(tlbc_open(path, &m, message, sizeof message), TLBC_OK)) exit(1);
    CHECK_STR(message, "");
    return m;
}

static void test_weights_run(const char *path) {
    const tlbc_model *m = open_good(path);
    CHECK_STR(m->name, "side");
    tlbc_session *s;
    float w[4] = {0};
    const int64_t four = 4;
    tlbc_tensor out = tlbc_tensor_f32(w, 1, &four);
    CHECK_EQ(tlbc_session_create(m, NULL, &s), TLBC_OK);
    CHECK_EQ(tlbc_run(s, NULL, &out), TLBC_OK);
    CHECK(memcmp(w, numbers, sizeof w) == 0);
    tlbc_session_free(s);
    tlbc_close(m);
}

static void test_weights_refused(const char *path) {
    const tlbc_model *m = open_good(path);
    tlbc_session *s;
    write_weights(path, 0x1234567890abcdefu, 0);
    CHECK_EQ(tlbc_session_create(m, NULL, &s), TLBC_ERROR_IO);
    write_weights(path, 0x1234567890abcdefu, 12);
    CHECK_EQ(tlbc_session_create(m, NULL, &s), TLBC_ERROR_IO);
    write_weights(path, 1, sizeof numbers);
    CHECK_EQ(tlbc_session_create(m, NULL, &s), TLBC_ERROR_VERSION);
    CHECK(s == NULL);
    tlbc_close(m);
}

/* The first `bytes` of the library in a file of its own. */
static void write_cut(const char *library, const char *to, long bytes) {
    FILE *in = fopen(library, "rb"), *out = fopen(to, "wb");
    if (!CHECK(in && out)) exit(1);
    for (long i = 0; i < bytes; i++)
        putc(getc(in), out);
    fclose(in);
    fclose(out);
}

static void test_cut_short(const char *path) {
    const tlbc_model *m;
    char message[256], cut[4096];
    snprintf(cut, sizeof cut, "%s.cut", path);
    static const long lengths[] = {0, 40, 100, 4096, 8192};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_cut(path, cut, lengths[i]);
        CHECK_EQ(tlbc_open(cut, &m, message, sizeof message), TLBC_ERROR_IO);
        CHECK(m == NULL && message[0]);
    }
    remove(cut);
}

/* After tlbc_close the library is really gone: dlopen with RTLD_NOLOAD's effect, seen through /proc/self/maps. */
static bool is_mapped(const char *name) {
    char line[4096];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f))
        found |= strstr(line, name) != NULL;
    if (f) fclose(f);
    return found;
}

static void test_close(const char *path) {
    const char *name = strrchr(path, '/') + 1;
    CHECK(!is_mapped(name));
    const tlbc_model *a = open_good(path), *b = open_good(path);
    CHECK(a == b);
    tlbc_close(a);
    CHECK(is_mapped(name));
    tlbc_close(b);
    CHECK(!is_mapped(name));
    tlbc_close(NULL);
}

static void test_plain_name(const char *path) {
    char folder[4096], here[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    CHECK(getcwd(here, sizeof here) != NULL);
    CHECK_EQ(chdir(folder), 0);
    tlbc_close(open_good(slash + 1));
    CHECK_EQ(chdir(here), 0);
}

static void expect_refused(const char *path, tlbc_status status, const char *text) {
    const tlbc_model *m;
    char message[512], tiny[8];
    CHECK_EQ(tlbc_open(path, &m, message, sizeof message), status);
    CHECK(m == NULL);
    if (!CHECK(strstr(message, text) != NULL)) fprintf(stderr, "  message: %s\n", message);
    CHECK_EQ(tlbc_open(path, &m, tiny, sizeof tiny), status);
    CHECK(strlen(tiny) < sizeof tiny);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    write_weights(argv[1], 0x1234567890abcdefu, sizeof numbers);
    test_weights_run(argv[1]);
    test_close(argv[1]);
    test_plain_name(argv[1]);
    test_cut_short(argv[1]);
    test_weights_refused(argv[1]);
    expect_refused(argv[2], TLBC_ERROR_VERSION, "made for version 999 of the model interface");
    expect_refused(argv[3], TLBC_ERROR_MODEL, "not a compiled model");
    expect_refused("/nonexistent/model.so", TLBC_ERROR_IO, "/nonexistent/model.so");
    return check_done();
}
