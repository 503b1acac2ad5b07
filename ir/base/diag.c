#include "ir/base/diag.h"

#include "ir/base/vec.h"

static const char *const severity_names[] = {"error", "warning", "note"};

void diag_init(diag *d, tl_arena *arena) {
    *d = (diag){.arena = arena};
}

void diag_clear(diag *d) {
    *d = (diag){.arena = d->arena, .entries = d->entries, .cap = d->cap};
}

static bool same_string(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_place(const ir_loc *a, const ir_loc *b) {
    if (a == b || !a || !b) return a == b;
    return a->index == b->index && a->line == b->line && a->column == b->column &&
           same_string(a->node, b->node) && same_string(a->op, b->op) &&
           same_string(a->path, b->path) && same_string(a->file, b->file);
}

enum { LOOK_BACK = 256 }; /* entries compared: there is no limit to warnings */

/* A note repeats only what is said about the same entry; all others are compared with everything kept. */
static bool is_repetition(const diag *d, const diag_entry *e) {
    for (uint32_t i = d->n; i-- > 0 && d->n - i <= LOOK_BACK;) {
        const diag_entry *before = &d->entries[i];
        if (e->severity == DIAG_NOTE && before->severity != DIAG_NOTE) return false;
        if (before->severity == e->severity && same_string(before->text, e->text) &&
            same_place(before->loc, e->loc))
            return true;
    }
    return false;
}

static bool is_kept(diag *d, const diag_entry *e) {
    bool repeated = is_repetition(d, e);
    if (e->severity == DIAG_NOTE) return !d->dropping && !repeated;
    if (e->severity == DIAG_ERROR && !repeated && d->n_kept == DIAG_MAX_ERRORS) d->n_hidden++;
    d->dropping = repeated || d->n_hidden;
    if (e->severity == DIAG_ERROR && !d->dropping) d->n_kept++;
    return !d->dropping;
}

static bool diag_add(diag *d, diag_severity severity, const ir_loc *loc, const char *format,
                     va_list args) {
    tl_str text;
    if (severity == DIAG_ERROR) d->n_errors++;
    if (d->n_hidden) { /* nothing is kept any more, so no text either: there may be millions */
        d->n_hidden += severity == DIAG_ERROR;
        return false;
    }
    tl_str_init(&text, d->arena);
    tl_str_vprintf(&text, format, args);
    diag_entry e = {severity, loc, text.data};
    if (!is_kept(d, &e)) return false;
    tl_vec_grow(d->arena, (void **)&d->entries, d->n, &d->cap, sizeof *d->entries);
    d->entries[d->n++] = e;
    return false;
}

#define DIAG_FUNCTION(name, severity)                                \
    bool name(diag *d, const ir_loc *loc, const char *format, ...) { \
        va_list args;                                                \
        va_start(args, format);                                      \
        diag_add(d, severity, loc, format, args);                    \
        va_end(args);                                                \
        return false;                                                \
    }

DIAG_FUNCTION(diag_error, DIAG_ERROR)
DIAG_FUNCTION(diag_warning, DIAG_WARNING)
DIAG_FUNCTION(diag_note, DIAG_NOTE)

static void render_place(const ir_loc *loc, tl_str *out) {
    if (!loc) return;
    if (loc->file) tl_str_printf(out, "%s:", loc->file);
    if (loc->line) tl_str_printf(out, "%u:%u:", loc->line, loc->column);
    if (loc->file || loc->line) tl_str_putc(out, ' ');
    if (!loc->op) return;
    if (loc->node && loc->node[0])
        tl_str_printf(out, "node '%s' (%s), ", loc->node, loc->op);
    else
        tl_str_printf(out, "node %u (%s), ", loc->index, loc->op);
}

/* The source line with a caret under the column, as compilers do. */
static void render_source(const ir_loc *loc, tl_str *out) {
    if (!loc || !loc->source_line) return;
    tl_str_printf(out, "    %s\n    ", loc->source_line);
    for (uint32_t i = 1; i < loc->column; i++)
        tl_str_putc(out, loc->source_line[i - 1] == '\t' ? '\t' : ' ');
    tl_str_puts(out, "^\n");
}

static void render_entry(const diag_entry *e, tl_str *out) {
    if (e->severity == DIAG_NOTE) {
        tl_str_printf(out, "    note: %s\n", e->text);
        return;
    }
    if (e->severity == DIAG_WARNING) tl_str_puts(out, "warning: ");
    render_place(e->loc, out);
    tl_str_printf(out, "%s\n", e->text);
    render_source(e->loc, out);
    if (e->loc && e->loc->path) tl_str_printf(out, "    in %s\n", e->loc->path);
}

void diag_render(const diag *d, tl_str *out) {
    for (uint32_t i = 0; i < d->n; i++)
        render_entry(&d->entries[i], out);
    if (d->n_hidden) tl_str_printf(out, "%u more errors not shown\n", d->n_hidden);
}

static void render_json_string(const char *s, tl_str *out) {
    tl_str_putc(out, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            tl_str_printf(out, "\\%c", c);
        else if (c < 0x20)
            tl_str_printf(out, "\\u%04x", c);
        else
            tl_str_putc(out, (char)c);
    }
    tl_str_putc(out, '"');
}

static void render_json_field(const char *name, const char *value, tl_str *out) {
    if (!value) return;
    tl_str_printf(out, ",\"%s\":", name);
    render_json_string(value, out);
}

void diag_render_json(const diag *d, tl_str *out) {
    tl_str_putc(out, '[');
    for (uint32_t i = 0; i < d->n; i++) {
        const diag_entry *e = &d->entries[i];
        tl_str_printf(out, "%s{\"severity\":\"%s\"", i ? "," : "", severity_names[e->severity]);
        render_json_field("text", e->text, out);
        if (e->loc) {
            render_json_field("file", e->loc->file, out);
            render_json_field("node", e->loc->node, out);
            render_json_field("op", e->loc->op, out);
            render_json_field("path", e->loc->path, out);
            if (e->loc->line)
                tl_str_printf(out, ",\"line\":%u,\"column\":%u", e->loc->line, e->loc->column);
        }
        tl_str_putc(out, '}');
    }
    tl_str_puts(out, "]\n");
}
