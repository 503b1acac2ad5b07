/* Fuzz target: .npz archives. Any bytes end in arrays that lie within their memory, or in one message; an archive that claims to unpack to
 * more memory than there is ends where memory is taken. */
#include "cli/npz.h"
#include "tests/support/memory_file.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void run(tl_arena *a, const char *path) {
    diag d;
    npz_entry *entries;
    uint32_t n;
    unsigned sum = 0;
    diag_init(&d, a);
    bool ok = npz_read(&d, a, path, &entries, &n);
    require(ok == (d.n_errors == 0), "verdict and messages differ");
    for (uint32_t i = 0; ok && i < n; i++)
        for (size_t k = 0; k < entries[i].tensor.bytes; k++)
            sum += ((const uint8_t *)entries[i].tensor.data)[k];
    volatile unsigned used = sum;
    (void)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tl_fail fail = {0};
    tl_arena a;
    memory_file file;
    memory_file_open(&file, data, size);
    tl_arena_init(&a, &fail);
    if (setjmp(fail.jump) == 0) run(&a, file.path);
    tl_arena_release(&a);
    memory_file_close(&file);
    return 0;
}
