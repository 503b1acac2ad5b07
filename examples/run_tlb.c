/* Reads handwritten digits with a compiled Temporal Latent Bottleneck: what a program needs to use a model is this file, the
 * model's .so and two headers. Loads it, shows a few digits with the model's opinion, then all held-out images: how many are
 * right, how long one takes, and how long it took from opening the file to the first result.
 *
 *   tlbc compile examples/digits/model.onnx -o digits.so
 *   cc -O2 -Iinclude examples/run_tlb.c -o run_tlb -ldl
 *   ./run_tlb digits.so examples/digits/heldout.bin */
#include "tlbc/runtime.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 10, SHOWN = 4 };

/* A record of heldout.bin. */
typedef struct digit {
    float pixels[PIXELS]; /* 0 ... 16, row by row */
    int32_t label;
} digit;

typedef struct digit_set {
    digit *digits;
    uint32_t count;
} digit_set;

static double seconds(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* "DGT1", the count, the records; little-endian. */
static digit_set read_digits(const char *path) {
    char magic[4];
    digit_set set = {NULL, 0};
    FILE *f = fopen(path, "rb");
    if (!f) fail(path, "cannot open");
    if (fread(magic, 4, 1, f) != 1 || memcmp(magic, "DGT1", 4) || fread(&set.count, 4, 1, f) != 1)
        fail(path, "not a set of digits");
    set.digits = malloc(set.count * sizeof *set.digits);
    if (!set.digits || fread(set.digits, sizeof *set.digits, set.count, f) != set.count)
        fail(path, "cut off");
    fclose(f);
    return set;
}

static int classify(tlbc_session *session, const float *pixels) {
    static const int64_t image_dims[] = {1, SIDE, SIDE}, logits_dims[] = {1, CLASSES};
    float logits[CLASSES];
    int best = 0;
    tlbc_tensor in = tlbc_tensor_f32((float *)pixels, 3, image_dims);
    tlbc_tensor out = tlbc_tensor_f32(logits, 2, logits_dims);
    if (tlbc_run(session, &in, &out)) fail("tlbc_run", tlbc_session_message(session));
    for (int i = 1; i < CLASSES; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* Two characters a pixel, since they are higher than wide. */
static void show(const digit *d, int answer) {
    static const char *const shades[] = {"  ", "..", "::", "++", "##"};
    for (int y = 0; y < SIDE; y++) {
        fputs("    ", stdout);
        for (int x = 0; x < SIDE; x++)
            fputs(shades[(int)(d->pixels[y * SIDE + x] * 4 / 16)], stdout);
        if (y == SIDE / 2)
            printf("    read as %d, %s", answer, answer == d->label ? "right" : "wrong");
        putchar('\n');
    }
    putchar('\n');
}

static void measure(tlbc_session *session, const digit_set *set) {
    uint32_t right = 0;
    double best = 1e9, start = seconds();
    for (uint32_t i = 0; i < set->count; i++) {
        double before = seconds();
        right += classify(session, set->digits[i].pixels) == set->digits[i].label;
        double took = seconds() - before;
        if (took < best) best = took;
    }
    printf("right: %u of %u (%.2f %%)\n", right, set->count, 100.0 * right / set->count);
    printf("time per image: %.1f us on average, %.1f us at best\n",
           (seconds() - start) / set->count * 1e6, best * 1e6);
}

int main(int argc, char **argv) {
    const tlbc_model *model;
    tlbc_session *session;
    char message[256];
    struct stat file;
    int answers[SHOWN];
    if (argc != 3) fail("usage", "run_tlb digits.so heldout.bin");
    digit_set set = read_digits(argv[2]);
    double start = seconds();
    if (tlbc_open(argv[1], &model, message, sizeof message)) fail("tlbc_open", message);
    tlbc_status status = tlbc_session_create(model, NULL, &session);
    if (status) fail("tlbc_session_create", tlbc_status_text(status));
    answers[0] = classify(session, set.digits[0].pixels);
    double first = seconds() - start;
    for (uint32_t i = 0; i < SHOWN && i < set.count; i++) {
        answers[i] = classify(session, set.digits[i].pixels);
        show(&set.digits[i], answers[i]);
    }
    measure(session, &set);
    printf("from opening the file to the first result: %.0f us\n", first * 1e6);
    if (stat(argv[1], &file) == 0) printf("size of %s: %ld bytes\n", argv[1], (long)file.st_size);
    tlbc_session_free(session);
    tlbc_close(model);
    free(set.digits);
    return 0;
}
