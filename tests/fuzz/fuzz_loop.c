/* Fuzz target: text of the loop IR. Any bytes end in a module or in a message; a module that the verifier accepts prints, reads back to
 * the same text, is accepted again, and survives being split. */
#include "codegen/loop.h"
#include "tests/fuzz/contained.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8 }; /* instructions in a piece of a split function */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, ir_ctx *c, const char *text) {
    if (ok) return;
    tl_str s;
    tl_str_init(&s, &c->arena);
    diag_render(&c->diag, &s);
    fprintf(stderr, "%s\n%s\n%s\n", what, s.data, text);
    abort();
}

static const char *print(tl_arena *a, const lp_module *m) {
    tl_str s;
    tl_str_init(&s, a);
    lp_module_print(m, &s);
    return s.data ? s.data : "";
}

static void check_round_trip(ir_ctx *c, tl_arena *a, const lp_module *m) {
    const char *first = print(a, m);
    lp_module *again = lp_module_parse(c, a, "fuzz", first, strlen(first));
    require(again != NULL, "printed module does not parse:", c, first);
    require(!strcmp(first, print(a, again)), "printing is not stable:", c, first);
    require(lp_module_verify(again, &c->diag), "read back, it does not verify:", c, first);
    for (lp_func *f = again->funcs, *last = again->last; f; f = f == last ? NULL : f->next)
        if (f->result.elem == LP_VOID) lp_func_split(f, MOST);
    require(lp_module_verify(again, &c->diag), "split, it does not verify:", c, print(a, again));
}

static void run(ir_ctx *c, tl_arena *a, const uint8_t *data, size_t size) {
    lp_module *m = lp_module_parse(c, a, "fuzz", (const char *)data, size);
    if (!m) {
        require(c->diag.n_errors > 0, "failed without a message", c, "");
        return;
    }
    bool ok = lp_module_verify(m, &c->diag);
    require(ok == (c->diag.n_errors == 0), "the verifier's verdict and messages differ", c, "");
    if (ok) check_round_trip(c, a, m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_contained(run, data, size);
}
