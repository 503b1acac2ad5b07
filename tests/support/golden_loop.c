/* Golden cases of loop IR; see golden.h. */
#include "codegen/cg.h"
#include "codegen/object.h"
#include "tests/support/golden.h"

#include <stdlib.h>

static bool print_and_reread(const golden_case *k, const lp_module *m, tl_arena *a, tl_str *out) {
    ir_ctx *c = m->ctx;
    lp_module_print(m, out);
    const lp_module *again = lp_module_parse(c, a, k->file, out->data, out->len);
    if (!again || again->n_funcs != m->n_funcs)
        return diag_error(&c->diag, NULL, "the printed functions do not parse:\n%s", out->data);
    for (const lp_func *f = m->funcs, *g = again->funcs; f; f = f->next, g = g->next)
        if (lp_func_hash(f) != lp_func_hash(g) || !lp_func_equal(f, g))
            return diag_error(&c->diag, NULL, "'@%s' reads back differently", f->name);
    return true;
}

static bool print_code(ir_ctx *c, const lp_module *m, const char *cpu, cg_form form, tl_str *out) {
    cg_target t;
    tl_sv text;
    if (!cg_target_find(c, cpu, &t)) return false;
    cg_unit *u = cg_unit_create(c, m, &(cg_unit_options){.target = &t});
    cg_unit_compile(u, form);
    if (!cg_unit_get_result(u, &text)) return false;
    for (size_t i = 0; i < text.len; i++) /* spaces are easier to write into checks */
        tl_str_putc(out, text.data[i] == '\t' ? ' ' : text.data[i]);
    return true;
}

static const char *after(const char *text, const char *prefix) {
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* "lower:x86-64-v3": graph IR to loop IR for that CPU. */
static bool lower_graph(const golden_case *k, ir_ctx *c, tl_arena *a, const char *cpu,
                        golden_result *r) {
    cg_target t;
    ir_module *m = ir_module_parse(c, a, k->file, k->text, k->text_len);
    if (!m || !cg_target_find(c, cpu, &t)) return false;
    cg_options o = {.targets = &t, .n_targets = 1, .name = "golden"};
    cg_model *model = cg_lower(m, &o);
    return model && print_and_reread(k, model->entries[0].variants[0].lp, a, &r->out);
}

/* "split:4": every function in pieces of 4 instructions. */
static bool split_funcs(const golden_case *k, lp_module *m, uint32_t most, tl_arena *a,
                        golden_result *r) {
    const lp_func *last = m->last;
    for (lp_func *f = m->funcs; f; f = f == last ? NULL : f->next)
        lp_func_split(f, most);
    return lp_module_verify(m, &m->ctx->diag) && print_and_reread(k, m, a, &r->out);
}

bool golden_run_loop(const golden_case *k, ir_ctx *c, tl_arena *a, golden_result *r) {
    const char *run = tl_arena_strndup(a, k->run.data, k->run.len);
    const char *asm_cpu = after(run, "asm:"), *llvm_cpu = after(run, "llvm:"),
               *lower_cpu = after(run, "lower:"), *split = after(run, "split:");
    if (lower_cpu) {
        r->ok = lower_graph(k, c, a, lower_cpu, r);
        return true;
    }
    if (strcmp(run, "loop") != 0 && !asm_cpu && !llvm_cpu && !split) return false;
    lp_module *m = lp_module_parse(c, a, k->file, k->text, k->text_len);
    if (!m || !lp_module_verify(m, &c->diag)) return true;
    if (split)
        r->ok = split_funcs(k, m, (uint32_t)strtoul(split, NULL, 10), a, r);
    else if (asm_cpu)
        r->ok = print_code(c, m, asm_cpu, CG_ASSEMBLY, &r->out);
    else if (llvm_cpu)
        r->ok = print_code(c, m, llvm_cpu, CG_LLVM_TEXT, &r->out);
    else
        r->ok = print_and_reread(k, m, a, &r->out);
    return true;
}
