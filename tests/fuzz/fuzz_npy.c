/* Fuzz target: .npy files. Any bytes end in an array that lies within its memory, or in one message; an array written back and
 * read again is the same. */
#include "cli/npy.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void check_round_trip(diag *d, tl_arena *a, const tlbc_tensor *t) {
    tlbc_tensor again;
    tl_str s;
    tl_str_init(&s, a);
    require(npy_write(d, "fuzz", t, &s), "an array that was read cannot be written");
    require(npy_read(d, a, "fuzz", s.data, s.len, &again),
            "an array that was written cannot be read");
    require(again.bytes == t->bytes && again.rank == t->rank && again.dtype == t->dtype,
            "the array has changed its type");
    require(t->bytes == 0 || !memcmp(again.data, t->data, t->bytes), "the array has changed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tl_fail fail = {0};
    tl_arena a;
    diag d;
    tlbc_tensor t;
    if (setjmp(fail.jump)) abort(); /* sizes are checked against the file before memory is taken */
    tl_arena_init(&a, &fail);
    diag_init(&d, &a);
    bool ok = npy_read(&d, &a, "fuzz", data, size, &t);
    require(ok == (d.n_errors == 0), "verdict and messages differ");
    if (ok) check_round_trip(&d, &a, &t);
    tl_arena_release(&a);
    return 0;
}
