/* Models that must be refused: tests/data/import/bad, made by tools/make_bad_models.py. Every one ends
 * in a message that holds the lines of its .expect file, whatever is wrong with it. */
#include "frontend/frontend.h"
#include "tests/support/check.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdlib.h>

static const char *const folder = "tests/data/import/bad";

static char *read_text(const char *path) {
    static char text[1 << 16];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f) fclose(f);
    return text;
}

/* Every line of `expected` is somewhere in `text`. */
static void check_lines(const char *name, const char *text, char *expected) {
    CHECK(*expected);
    for (char *line = strtok(expected, "\n"); line; line = strtok(NULL, "\n"))
        if (!CHECK(strstr(text, line) != NULL))
            fprintf(stderr, "  %s: '%s' is not in:\n%s\n", name, line, text);
}

static void check_refused(const char *name) {
    char path[512];
    tl_fail fail = {0};
    ir_ctx c;
    tl_arena a;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
    if (setjmp(fail.jump)) {
        CHECK(!"out of memory");
    } else {
        const ir_module *m = fe_import_file(&c, &a, path, &(fe_options){.max_nodes = 1000});
        if (!CHECK(!m)) fprintf(stderr, "  %s was imported\n", name);
        CHECK(c.diag.n_errors > 0);
        tl_str text;
        tl_str_init(&text, &c.arena);
        diag_render(&c.diag, &text);
        snprintf(path, sizeof path, "%s/%s.expect", folder, name);
        check_lines(name, text.data, read_text(path));
    }
    tl_arena_release(&a);
    ir_ctx_release(&c);
}

int main(void) {
    DIR *d = opendir(folder);
    if (!CHECK(d != NULL)) return check_done();
    for (struct dirent *e; (e = readdir(d));) {
        char *end = strrchr(e->d_name, '.');
        if (!end || strcmp(end, ".onnx") != 0) continue;
        *end = 0;
        check_refused(e->d_name);
    }
    closedir(d);
    return check_done();
}
