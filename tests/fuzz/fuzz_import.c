/* Fuzz target: ONNX files. Any bytes end in a module or in a message; a module passes the verifier.
 *
 * A time-out or too much memory is a finding too: what a file costs must follow from its size. */
#include "frontend/frontend.h"
#include "tests/fuzz/contained.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, const ir_ctx *c, tl_arena *a) {
    if (ok) return;
    tl_str s;
    tl_str_init(&s, a);
    diag_render(&c->diag, &s);
    fprintf(stderr, "%s\n%s\n", what, s.data);
    abort();
}

static void run(ir_ctx *c, tl_arena *a, const uint8_t *data, size_t size) {
    const ir_module *m = fe_import_buffer(c, a, "fuzz", data, size,
                                          &(fe_options){.max_nodes = 10000});
    require(m || c->diag.n_errors, "failed without a message", c, a);
    if (!m) return;
    require(!c->diag.n_errors, "imported, but with errors", c, a);
    require(ir_module_verify(m), "imported, but does not pass the verifier", c, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_contained(run, data, size);
}
