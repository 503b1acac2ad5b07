/* Golden tests: files of text IR that hold their own expectations.
 *
 *   // RUN: dce                                   what to do with every case of the file (golden.h)
 *   graph g(f32[2] %x) => (f32[2] y) { ... }
 *   // EXPECT                                     the exact result, or CHECK lines, or
 *   graph g(f32[2] %x) => (f32[2] y) { ... }
 *   // ====                                       next case; may have a RUN line of its own
 *   f32[2] %y = Add(%x)  // ERROR: too few        an error on this line that says this; no other errors
 *
 * golden FILE...        TLBC_UPDATE=1 rewrites the EXPECT parts; look at the difference before you commit it. */
#include "tests/support/golden.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct golden_file {
    const char *name;
    tl_sv text;
    tl_str updated; /* the file with EXPECT parts as found */
    bool changed;
    uint32_t passed, failed;
} golden_file;

static bool read_file(tl_arena *a, const char *name, tl_sv *out) {
    FILE *f = fopen(name, "rb");
    if (!f) return false;
    tl_str s;
    tl_str_init(&s, a);
    char buffer[65536];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;)
        tl_str_append(&s, buffer, n);
    bool ok = !ferror(f);
    fclose(f);
    *out = (tl_sv){s.data, s.len};
    return ok;
}

static bool write_file(const char *name, const tl_str *s) {
    FILE *f = fopen(name, "wb");
    if (!f) return false;
    bool ok = fwrite(s->data, 1, s->len, f) == s->len;
    return fclose(f) == 0 && ok;
}

static bool line_is(tl_sv line, const char *text) {
    return tl_sv_is(golden_trim(line), text);
}

static uint32_t count_lines(const char *from, const char *to) {
    uint32_t n = 1;
    for (; from < to; from++)
        n += *from == '\n';
    return n;
}

/* The text of a case up to its end, with everything in front of its input blanked. */
static void blank_before(tl_arena *a, const golden_file *f, golden_case *k) {
    size_t start = (size_t)(k->input.data - f->text.data);
    char *copy = tl_arena_strndup(a, f->text.data, start + k->input.len);
    for (size_t i = 0; i < start; i++)
        if (copy[i] != '\n') copy[i] = ' ';
    k->text = copy;
    k->text_len = start + k->input.len;
}

/* Splits one case: input, then EXPECT. A RUN line counts for the cases that follow, too. */
static void split_case(tl_arena *a, const golden_file *f, tl_sv text, tl_sv *run, golden_case *k) {
    tl_sv rest = text, line;
    *k = (golden_case){
        .file = f->name, .line = count_lines(f->text.data, text.data), .input = text};
    while (golden_next_line(&rest, &line)) {
        tl_sv t = golden_trim(line);
        if (t.len > 7 && memcmp(t.data, "// RUN:", 7) == 0)
            *run = golden_trim((tl_sv){t.data + 7, t.len - 7});
        if (!line_is(line, "// EXPECT")) continue;
        k->input.len = (size_t)(line.data - text.data);
        k->expect = rest;
        break;
    }
    k->run = *run;
    blank_before(a, f, k);
}

static bool check_case(const golden_case *k, const ir_ctx *c, const golden_result *r) {
    tl_sv found = {r->out.data, r->out.len};
    bool checks = golden_has(k->input, "// CHECK");
    /* An annotated print shows the errors itself. */
    bool annotated = k->expect.data && golden_has(k->run, "verify") &&
                     !golden_has(k->input, "// ERROR:");
    bool ok = annotated || golden_check_errors(k, c);
    if (k->expect.data) ok = golden_check_expect(k, found) && ok;
    if (checks) ok = golden_check_lines(k, found) && ok;
    if (k->expect.data || checks || golden_has(k->input, "// ERROR:")) return ok;
    fprintf(stderr, "%s:%u: the case expects nothing\n", k->file, k->line);
    return false;
}

static void update_case(golden_file *f, const golden_case *k, const golden_result *r, tl_sv text) {
    if (!k->expect.data) {
        tl_str_append(&f->updated, text.data, text.len);
        return;
    }
    tl_sv found = golden_trim((tl_sv){r->out.data, r->out.len});
    tl_str_append(&f->updated, text.data, (size_t)(k->expect.data - text.data));
    tl_str_append(&f->updated, found.data, found.len);
    tl_str_putc(&f->updated, '\n');
    if (!tl_sv_equal(found, golden_trim(k->expect))) f->changed = true;
}

static void run_case(golden_file *f, tl_sv text, tl_sv *run, bool update) {
    tl_fail fail = {0};
    ir_ctx c;
    tl_arena a;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    if (setjmp(fail.jump) == 0) {
        golden_case k;
        golden_result r;
        split_case(&a, f, text, run, &k);
        golden_run(&k, &c, &a, &r);
        if (update) update_case(f, &k, &r, text);
        if (check_case(&k, &c, &r))
            f->passed++;
        else
            f->failed++;
    } else {
        fprintf(stderr, "%s: out of memory\n", f->name);
        f->failed++;
    }
    ir_ctx_release(&c);
    tl_arena_release(&a);
}

/* Cases end at "// ====" lines. */
static void run_file(golden_file *f, bool update) {
    tl_sv rest = f->text, line, run = {"parse", 5};
    const char *start = rest.data;
    while (golden_next_line(&rest, &line)) {
        if (!line_is(line, "// ====")) continue;
        run_case(f, (tl_sv){start, (size_t)(line.data - start)}, &run, update);
        tl_str_append(&f->updated, line.data, line.len);
        tl_str_putc(&f->updated, '\n');
        start = rest.data;
    }
    run_case(f, (tl_sv){start, (size_t)(f->text.data + f->text.len - start)}, &run, update);
}

static bool run_path(const char *name, bool update, uint32_t *passed) {
    tl_fail fail = {0};
    if (setjmp(fail.jump)) return false;
    tl_arena a;
    tl_arena_init(&a, &fail);
    golden_file f = {.name = name};
    tl_str_init(&f.updated, &a);
    bool ok = read_file(&a, name, &f.text);
    if (!ok) fprintf(stderr, "%s: cannot read\n", name);
    if (ok) run_file(&f, update);
    if (ok && f.changed) ok = write_file(name, &f.updated);
    if (f.changed) printf("%s: rewritten\n", name);
    *passed += f.passed;
    tl_arena_release(&a);
    return ok && f.failed == 0;
}

int main(int argc, char **argv) {
    const char *update = getenv("TLBC_UPDATE");
    uint32_t failed = 0, passed = 0;
    for (int i = 1; i < argc; i++)
        if (!run_path(argv[i], update && strcmp(update, "1") == 0, &passed)) failed++;
    printf("%u cases passed, %u files failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
