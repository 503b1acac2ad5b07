/* Inference rules, table-driven: tests/unit/infer/<family>.tl hold text modules whose results are written without types,
 * each with what must come out, and separated by a line "// ====":
 *
 *   graph g(f32[N,4] %x) => (y) { %y = Relu(%x) return %y }
 *   // TYPE f32[N,4]
 *
 * TYPE: types of the graph's results. KNOWN: symbolic contents of the first result, "none" for no contents. ERROR: part of
 * the first message; the module must then be refused. A case has at least one of them. */
#include "ir/ir.h"
#include "tests/support/check.h"

#include <stdlib.h>

/* One a line: many are added side by side. */
static const char *const families[] = {
    "elementwise", //
    "reduce",      //
    "matmul",      //
    "gather",      //
    "shape",       //
    "slice",       //
    "known",       //
    "sequence",    //
    "control",     //
    "recur",       //
    "internal",    //
    "loss",        //
    "rnn",         //
    "state",       //
    "signal",      //
};

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    size_t cap = 1 << 20;
    char *text = malloc(cap);
    size_t n = fread(text, 1, cap - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* The rest of the line that starts with "// KEY ", copied; NULL where there is none. */
static char *find_line(const char *text, const char *key) {
    const char *p = strstr(text, key);
    if (!p) return NULL;
    p += strlen(key);
    size_t n = strcspn(p, "\n");
    char *line = malloc(n + 1);
    memcpy(line, p, n);
    line[n] = 0;
    return line;
}

static void print_types(const ir_region *r, tl_str *out) {
    for (uint32_t i = 0; i < ir_region_n_results(r); i++) {
        if (i) tl_str_putc(out, ' ');
        ir_type_print(ir_region_result(r, i)->type, out);
    }
}

static void print_known(const ir_value *v, tl_str *out) {
    if (!v->known) {
        tl_str_puts(out, "none");
        return;
    }
    tl_str_putc(out, '{');
    for (uint32_t i = 0; i < v->known->n; i++) {
        if (i) tl_str_puts(out, ", ");
        ir_dim_print(v->known->dims[i], out);
    }
    tl_str_putc(out, '}');
}

/* Inference again must give the same types: it runs after every pass. */
static void check_stable(ir_ctx *c, const ir_region *r, const char *types) {
    tl_str again;
    tl_str_init(&again, &c->arena);
    ir_for_each_node (n, r)
        CHECK(ir_infer_node(c, n));
    print_types(r, &again);
    CHECK_STR(again.data, types);
}

static void check_results(ir_ctx *c, const ir_region *r, const char *types, const char *known) {
    tl_str found;
    tl_str_init(&found, &c->arena);
    print_types(r, &found);
    if (types) CHECK_STR(found.data, types);
    check_stable(c, r, found.data);
    if (!known) return;
    tl_str_clear(&found);
    print_known(ir_region_result(r, 0), &found);
    CHECK_STR(found.data, known);
}

static void check_error(const ir_ctx *c, const ir_module *m, const char *error) {
    const char *text = c->diag.n ? c->diag.entries[0].text : "(no message)";
    CHECK(!m);
    if (!CHECK(strstr(text, error) != NULL))
        fprintf(stderr, "  found:    %s\n  expected: %s\n", text, error);
}

static void run_case(const char *path, const char *text) {
    tl_fail fail = {0};
    ir_ctx c;
    int before = check_failed;
    char *types = find_line(text, "// TYPE "), *known = find_line(text, "// KNOWN "),
         *error = find_line(text, "// ERROR ");
    if (setjmp(fail.jump)) abort();
    ir_ctx_init(&c, &fail);
    ir_module *m = ir_module_parse(&c, &c.arena, path, text, strlen(text));
    CHECK(types || known || error);
    if (error)
        check_error(&c, m, error);
    else if (CHECK(m != NULL))
        check_results(&c, m->graphs->body, types, known);
    else
        fprintf(stderr, "  %s\n", c.diag.n ? c.diag.entries[0].text : "(no message)");
    if (check_failed != before) fprintf(stderr, "in %s:\n%s\n", path, text);
    ir_ctx_release(&c);
    free(types), free(known), free(error);
}

static void run_family(const char *name) {
    static const char separator[] = "// ====";
    char path[100];
    snprintf(path, sizeof path, "tests/unit/infer/%s.tl", name);
    char *text = read_file(path);
    if (!CHECK(text != NULL)) return;
    for (char *next, *p = text; p; p = next) {
        next = strstr(p, separator);
        if (next) *next = 0, next += sizeof separator - 1;
        run_case(path, p);
    }
    free(text);
}

int main(void) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        run_family(families[i]);
    return check_done();
}
