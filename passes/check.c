/* What the pass manager checks around every pass: the verifier, the honesty of PASS_SAME, the round trip through text, agreement
 * with the reference evaluator. A finding is a bug of the pass: it is reported as a diagnostic, and the IR before the pass is
 * written to tlbc-repro.tl as a golden-style file:
 *
 *   // tlbc compile model.onnx -o model.so
 *   // RUN: fold_constants
 *   tlbc 1 ...
 *
 * so that `tlbc opt tlbc-repro.tl --passes=fold_constants` shows it again. Assertions come here through tl_assert_set_hook. */
#include "passes/manager.h"

#include <stdio.h>

enum {
    INLINE_CONSTANT_BYTES = 1 << 20
}; /* the reproducer holds the constants where they are small */

void check_take_snapshot(pass_manager *pm) {
    pm->snapshot = NULL;
    tl_arena_release(&pm->snapshot_arena);
    pm->snapshot = ir_module_clone(pm->ctx.m, &pm->snapshot_arena);
}

/* ---- reproducer --------------------------------------------------------------------------------------------- */

static size_t constant_bytes(const ir_module *m) {
    size_t bytes = 0;
    for (const ir_const *k = m->consts; k; k = k->next)
        bytes += k->value.tensor->bytes;
    return bytes;
}

static void print_reproducer(pass_manager *pm, tl_str *text) {
    const char *command = pm->options.command_line;
    const char *run = pm->checks && pm->running ? pm->running->name : pm->passes;
    bool small = constant_bytes(pm->snapshot) <= INLINE_CONSTANT_BYTES;
    ir_print_options o = {.constants = small ? IR_CONSTANTS_FULL : IR_CONSTANTS_HASH};
    tl_str_printf(text, "// %s\n// RUN: %s\n", command ? command : "tlbc", run);
    ir_module_print(pm->snapshot, &o, text);
}

static void write_file(const pass_manager *pm, const tl_str *text) {
    const char *path = pm->options.reproducer ? pm->options.reproducer : "tlbc-repro.tl";
    FILE *f = fopen(path, "w");
    bool written = f && fwrite(text->data, 1, text->len, f) == text->len;
    if (f && fclose(f) != 0) written = false;
    fprintf(manager_log(pm), written ? "reproducer: %s\n" : "cannot write the reproducer '%s'\n",
            path);
}

void check_write_reproducer(void *data) {
    pass_manager *pm = data;
    if (!pm->snapshot) return;
    tl_str text;
    tl_str_init(&text, &pm->arena);
    print_reproducer(pm, &text);
    write_file(pm, &text);
}

/* false, after saying what is wrong with the running pass. */
static bool bug(pass_manager *pm, const char *what, const char *detail) {
    check_write_reproducer(pm);
    return diag_error(&pm->ctx.c->diag, NULL, "bug: pass '%s' %s%s%s", pm->running->name, what,
                      detail ? ": " : "", detail ? detail : "");
}

/* ---- checks ------------------------------------------------------------------------------------------------- */

bool check_verify(pass_manager *pm) {
    return ir_module_verify(pm->ctx.m) || bug(pm, "broke the IR", NULL);
}

bool check_same(pass_manager *pm, uint64_t hash_before) {
    if (ir_module_hash(pm->ctx.m) == hash_before) return true;
    return bug(pm, "changed the IR and said it did not", NULL);
}

bool check_roundtrip(pass_manager *pm) {
    tl_str text;
    tl_str_init(&text, &pm->scratch);
    ir_module_print(pm->ctx.m, NULL, &text);
    ir_module *back = ir_module_parse(pm->ctx.c, &pm->scratch, "<round trip>", text.data, text.len);
    if (!back) return bug(pm, "made IR whose text does not parse", NULL);
    if (ir_module_hash(back) == ir_module_hash(pm->ctx.m)) return true;
    tl_str again;
    tl_str_init(&again, &pm->scratch);
    ir_module_print(back, NULL, &again);
    size_t i = 0;
    while (i < text.len && text.data[i] == again.data[i])
        i++;
    return bug(pm, "made IR that reads back differently",
               tl_arena_printf(&pm->scratch, "at '%.60s'", text.data + i));
}

bool check_oracle(pass_manager *pm) {
    const char *why;
    if (!pm->oracle.ready || oracle_agrees(&pm->oracle, pm->ctx.m, &why)) return true;
    return bug(pm, "changed what the graph computes", why);
}
