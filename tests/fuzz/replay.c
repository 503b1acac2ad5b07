/* Runs a fuzz target on files: the corpus as an ordinary test, and single findings under a debugger. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *name) {
    FILE *f = fopen(name, "rb");
    if (!f) return fprintf(stderr, "%s: cannot open\n", name), 1;
    uint8_t *data = NULL;
    size_t size = 0, cap = 0;
    for (size_t n = 1; n > 0; size += n) {
        if (cap - size < 65536) {
            cap = cap * 2 + 65536;
            uint8_t *more = realloc(data, cap);
            if (!more) return free(data), fclose(f), 1;
            data = more;
        }
        n = fread(data + size, 1, cap - size, f);
    }
    fclose(f);
    /* A copy of the exact size, so that a sanitizer sees reads behind the end. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) return free(data), 1;
    for (size_t i = 0; i < size; i++)
        exact[i] = data[i];
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed += replay(argv[i]);
    printf("%d files replayed, %d failed\n", argc - 1, failed);
    return failed != 0 || argc < 2;
}
