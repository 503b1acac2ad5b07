/* Comparing the outcome of a golden case with what its file says; see golden.h. */
#include "tests/support/diff.h"
#include "tests/support/golden.h"

#include <regex.h>
#include <stdio.h>

/* ---- text ------------------------------------------------------------------------------------------------------ */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

tl_sv golden_trim(tl_sv s) {
    while (s.len && is_blank(s.data[0]))
        s.data++, s.len--;
    while (s.len && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool golden_next_line(tl_sv *text, tl_sv *line) {
    if (!text->len) return false;
    const char *e = memchr(text->data, '\n', text->len);
    size_t n = e ? (size_t)(e - text->data) : text->len;
    *line = (tl_sv){text->data, n};
    n += e != NULL;
    *text = (tl_sv){text->data + n, text->len - n};
    return true;
}

static const char *find(tl_sv text, const char *what) {
    size_t n = strlen(what);
    for (size_t i = 0; n <= text.len && i <= text.len - n; i++)
        if (memcmp(text.data + i, what, n) == 0) return text.data + i;
    return NULL;
}

bool golden_has(tl_sv text, const char *directive) {
    return find(text, directive) != NULL;
}

/* ---- EXPECT ---------------------------------------------------------------------------------------------------- */

bool golden_check_expect(const golden_case *k, tl_sv found) {
    tl_sv expected = golden_trim(k->expect);
    if (tl_sv_equal(expected, golden_trim(found))) return true;
    tl_fail fail = {0};
    if (setjmp(fail.jump)) return false;
    tl_arena a;
    tl_arena_init(&a, &fail);
    tl_str diff;
    tl_str_init(&diff, &a);
    diff_lines(expected, golden_trim(found), &diff);
    fprintf(stderr, "%s:%u: differs (- expected, + found; TLBC_UPDATE=1 rewrites)\n%s", k->file,
            k->line, diff.data);
    tl_arena_release(&a);
    return false;
}

/* ---- CHECK ----------------------------------------------------------------------------------------------------- */

/* "a {{[0-9]+}} b" as an extended regular expression: what is outside the braces stands for itself. */
static bool compile_pattern(tl_sv p, regex_t *re) {
    char text[4096];
    size_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < p.len && n + 3 < sizeof text; i++) {
        const char *brace = inside ? "}}" : "{{";
        if (p.len - i >= 2 && memcmp(p.data + i, brace, 2) == 0) {
            text[n++] = inside ? ')' : '(';
            inside = !inside;
            i++;
            continue;
        }
        if (!inside && strchr("\\^$.[]|()?*+{}", p.data[i])) text[n++] = '\\';
        text[n++] = p.data[i];
    }
    text[n] = 0;
    return !inside && regcomp(re, text, REG_EXTENDED | REG_NOSUB) == 0;
}

/* 1 or 0; -1 where the pattern is malformed. */
static int line_matches(tl_sv line, tl_sv pattern) {
    char text[16384];
    regex_t re;
    if (!compile_pattern(pattern, &re)) return -1;
    size_t n = line.len < sizeof text - 1 ? line.len : sizeof text - 1;
    memcpy(text, line.data, n);
    text[n] = 0;
    int match = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return match;
}

typedef struct checker {
    const golden_case *k;
    tl_sv rest;     /* of the output, behind the last match */
    tl_sv nots[16]; /* CHECK-NOTs since then */
    uint32_t n_nots;
    bool ok;
} checker;

static void complain(checker *c, const char *what, tl_sv pattern) {
    fprintf(stderr, "%s:%u: %s '%.*s'\n", c->k->file, c->k->line, what, (int)pattern.len,
            pattern.data);
    c->ok = false;
}

static void check_nots(checker *c, tl_sv between) {
    tl_sv line;
    while (golden_next_line(&between, &line))
        for (uint32_t i = 0; i < c->n_nots; i++)
            if (line_matches(line, c->nots[i]) != 0)
                complain(c, "found, but must not be there:", c->nots[i]);
    c->n_nots = 0;
}

static void check_forward(checker *c, tl_sv pattern) {
    tl_sv start = c->rest, line;
    while (golden_next_line(&c->rest, &line)) {
        int match = line_matches(line, pattern);
        if (match < 0) return complain(c, "malformed pattern", pattern);
        if (!match) continue;
        check_nots(c, (tl_sv){start.data, (size_t)(line.data - start.data)});
        return;
    }
    complain(c, "not found:", pattern);
    c->rest = start;
}

static void check_next(checker *c, tl_sv pattern) {
    tl_sv line;
    if (!golden_next_line(&c->rest, &line) || line_matches(line, pattern) != 1)
        complain(c, "not on the next line:", pattern);
}

/* The text behind a directive, or false where the line has none. */
static bool directive(tl_sv line, const char *name, tl_sv *rest) {
    const char *p = find(line, name);
    if (!p) return false;
    p += strlen(name);
    *rest = golden_trim((tl_sv){p, (size_t)(line.data + line.len - p)});
    return true;
}

bool golden_check_lines(const golden_case *k, tl_sv found) {
    checker c = {.k = k, .rest = found, .ok = true};
    tl_sv text = k->input, line, pattern;
    while (golden_next_line(&text, &line)) {
        if (directive(line, "// CHECK-NEXT:", &pattern))
            check_next(&c, pattern);
        else if (directive(line, "// CHECK-NOT:", &pattern) && c.n_nots < 16)
            c.nots[c.n_nots++] = pattern;
        else if (directive(line, "// CHECK:", &pattern))
            check_forward(&c, pattern);
    }
    check_nots(&c, c.rest);
    if (!c.ok) fprintf(stderr, "output:\n%.*s\n", (int)found.len, found.data);
    return c.ok;
}

/* ---- ERROR ----------------------------------------------------------------------------------------------------- */

/* Does an error on this line (any line, where it has no place) say this? */
static bool error_says(const diag_entry *e, uint32_t line, tl_sv wanted) {
    if (e->severity != DIAG_ERROR || (e->loc && e->loc->line && e->loc->line != line)) return false;
    tl_sv text = tl_sv_from(e->text);
    for (size_t i = 0; wanted.len <= text.len && i <= text.len - wanted.len; i++)
        if (memcmp(text.data + i, wanted.data, wanted.len) == 0) return true;
    return false;
}

static bool is_expected(const golden_case *k, const diag_entry *e) {
    tl_sv text = {k->text, k->text_len}, line, wanted;
    for (uint32_t number = 1; golden_next_line(&text, &line); number++)
        if (directive(line, "// ERROR:", &wanted) && error_says(e, number, wanted)) return true;
    return false;
}

static bool is_reported(const ir_ctx *c, uint32_t line, tl_sv wanted) {
    for (uint32_t i = 0; i < c->diag.n; i++)
        if (error_says(&c->diag.entries[i], line, wanted)) return true;
    return false;
}

bool golden_check_errors(const golden_case *k, const ir_ctx *c) {
    bool ok = true;
    tl_sv text = {k->text, k->text_len}, line, wanted;
    for (uint32_t number = 1; golden_next_line(&text, &line); number++) {
        if (!directive(line, "// ERROR:", &wanted) || is_reported(c, number, wanted)) continue;
        fprintf(stderr, "%s:%u: no error says '%.*s'\n", k->file, number, (int)wanted.len,
                wanted.data);
        ok = false;
    }
    for (uint32_t i = 0; i < c->diag.n; i++) {
        const diag_entry *e = &c->diag.entries[i];
        if (e->severity != DIAG_ERROR || is_expected(k, e)) continue;
        fprintf(stderr, "%s:%u: unexpected error: %s\n", k->file, e->loc ? e->loc->line : k->line,
                e->text);
        ok = false;
    }
    return ok;
}
