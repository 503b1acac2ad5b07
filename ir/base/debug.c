/* TLBC_DEBUG; see debug.h. */
#include "ir/base/debug.h"

#include <errno.h>
#include <stdlib.h>

static bool parse_flag(tl_sv item, const char *spelling, bool *field) {
    if (!tl_sv_is(item, spelling)) return false;
    *field = true;
    return true;
}

/* What follows "spelling:" or "spelling=", or NULL. */
static const char *after_spelling(tl_sv item, const char *spelling) {
    size_t n = strlen(spelling);
    if (item.len <= n + 1 || memcmp(item.data, spelling, n) != 0) return NULL;
    return item.data[n] == ':' || item.data[n] == '=' ? item.data + n + 1 : NULL;
}

static bool parse_text(tl_arena *a, tl_sv item, const char *spelling, const char **field) {
    const char *value = after_spelling(item, spelling);
    if (!value) return false;
    int n = (int)(item.data + item.len - value);
    *field = *field ? tl_arena_printf(a, "%s,%.*s", *field, n, value)
                    : tl_arena_strndup(a, value, (size_t)n);
    return true;
}

static bool parse_number(tl_arena *a, tl_sv item, const char *spelling, int64_t *field) {
    const char *value = after_spelling(item, spelling);
    if (!value) return false;
    char *text = tl_arena_strndup(a, value, (size_t)(item.data + item.len - value)), *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end || errno || v < 0) return false;
    *field = v;
    return true;
}

static bool parse_item(debug_flags *d, tl_arena *a, tl_sv item) {
#define DEBUG_FLAG(field, spelling, summary) \
    if (parse_flag(item, spelling, &d->field)) return true;
#define DEBUG_TEXT(field, spelling, what, summary) \
    if (parse_text(a, item, spelling, &d->field)) return true;
#define DEBUG_NUMBER(field, spelling, summary) \
    if (parse_number(a, item, spelling, &d->field)) return true;
#include "ir/base/debug.def"
#undef DEBUG_FLAG
#undef DEBUG_TEXT
#undef DEBUG_NUMBER
    return false;
}

static debug_flags defaults(void) {
    debug_flags d = {0};
#define DEBUG_FLAG(field, spelling, summary)
#define DEBUG_TEXT(field, spelling, what, summary)
#define DEBUG_NUMBER(field, spelling, summary) d.field = -1;
#include "ir/base/debug.def"
#undef DEBUG_FLAG
#undef DEBUG_TEXT
#undef DEBUG_NUMBER
    return d;
}

bool debug_parse(debug_flags *d, tl_arena *a, const char *text, const char **error) {
    *d = defaults();
    while (text && *text) {
        tl_sv item = {text, strcspn(text, ",")};
        if (item.len && !parse_item(d, a, item)) {
            *error = tl_arena_printf(a,
                                     "TLBC_DEBUG: '%.*s' is not known; the list: tlbc --help-debug",
                                     (int)item.len, item.data);
            return false;
        }
        text += item.len + (text[item.len] == ',');
    }
    return true;
}

static void print_line(tl_str *out, const char *spelling, const char *value, const char *summary) {
    size_t from = out->len;
    tl_str_printf(out, "  %s%s", spelling, value);
    while (out->len < from + 18) /* two of them are the indentation */
        tl_str_putc(out, ' ');
    tl_str_printf(out, " %s\n", summary);
}

void debug_print_help(tl_str *out) {
#define DEBUG_FLAG(field, spelling, summary)       print_line(out, spelling, "", summary);
#define DEBUG_TEXT(field, spelling, what, summary) print_line(out, spelling, ":" what, summary);
#define DEBUG_NUMBER(field, spelling, summary)     print_line(out, spelling, "=N", summary);
#include "ir/base/debug.def"
#undef DEBUG_FLAG
#undef DEBUG_TEXT
#undef DEBUG_NUMBER
}
