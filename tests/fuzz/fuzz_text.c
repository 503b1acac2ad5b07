/* Fuzz target: text IR. Any bytes end in a module or a message; a module prints, reads back to the same text and hash, and
 * survives the verifier and cloning. What inference and the verifier think of it does not matter here. */
#include "ir/ir.h"
#include "ir/text.h"
#include "tests/fuzz/contained.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, const char *text) {
    if (ok) return;
    fprintf(stderr, "%s\n%s\n", what, text);
    abort();
}

static ir_module *parse(ir_ctx *c, tl_arena *a, const char *text, size_t size) {
    ir_parse_options o = {.max_generated = 1 << 20};
    return ir_module_parse_with(c, a, "fuzz", text, size, &o);
}

static const char *messages(ir_ctx *c, tl_arena *a) {
    tl_str s;
    tl_str_init(&s, a);
    diag_render(&c->diag, &s);
    return s.data;
}

static void check_round_trip(ir_ctx *c, tl_arena *a, const ir_module *m) {
    ir_print_options full = {.constants = IR_CONSTANTS_FULL};
    tl_str first, second;
    tl_str_init(&first, a);
    tl_str_init(&second, a);
    ir_module_print(m, &full, &first);
    ir_module *again = parse(c, a, first.data, first.len);
    if (!again) fputs(messages(c, a), stderr);
    require(again != NULL, "printed module does not parse:", first.data);
    ir_module_print(again, &full, &second);
    require(strcmp(first.data, second.data) == 0, "printing is not stable:", first.data);
    require(ir_module_hash(m) == ir_module_hash(again), "hash changed:", first.data);
    require(ir_module_hash(ir_module_clone(m, a)) == ir_module_hash(m),
            "clone has another hash:", first.data);
}

static void run(ir_ctx *c, tl_arena *a, const uint8_t *data, size_t size) {
    ir_module *m = parse(c, a, (const char *)data, size);
    if (!m) {
        require(c->diag.n_errors > 0, "failed without a message", "");
        messages(c, a);
        return;
    }
    check_round_trip(c, a, m);
    tl_str s;
    tl_str_init(&s, a);
    uint32_t before = c->diag.n_errors;
    bool ok = ir_module_verify(m);
    require(ok == (c->diag.n_errors == before), "the verifier's verdict and messages differ", "");
    require(ok == ir_module_print_annotated(m, &s), "annotated print differs from the verifier",
            "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_contained(run, data, size);
}
