#include "cli/json.h"

#include <math.h>

void json_begin(json_writer *w, tl_arena *a) {
    tl_str_init(&w->text, a);
    tl_str_putc(&w->text, '{');
    w->more = false;
}

static void put_quoted(tl_str *s, const char *value) {
    tl_str_putc(s, '"');
    for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
        if (*p == '"' || *p == '\\')
            tl_str_printf(s, "\\%c", *p);
        else if (*p < ' ')
            tl_str_printf(s, "\\u%04x", *p);
        else
            tl_str_putc(s, (char)*p);
    }
    tl_str_putc(s, '"');
}

static void put_comma(json_writer *w) {
    if (w->more) tl_str_puts(&w->text, ", ");
    w->more = true;
}

static void put_name(json_writer *w, const char *name) {
    put_comma(w);
    put_quoted(&w->text, name);
    tl_str_puts(&w->text, ": ");
}

void json_string(json_writer *w, const char *name, const char *value) {
    put_name(w, name);
    put_quoted(&w->text, value);
}

void json_number(json_writer *w, const char *name, double value) {
    put_name(w, name);
    if (!isfinite(value))
        tl_str_puts(&w->text, "null");
    else if (value == floor(value) && fabs(value) < 1e15)
        tl_str_printf(&w->text, "%.0f", value);
    else
        tl_str_printf(&w->text, "%.6g", value);
}

void json_bool(json_writer *w, const char *name, bool value) {
    put_name(w, name);
    tl_str_puts(&w->text, value ? "true" : "false");
}

void json_open(json_writer *w, const char *name, char bracket) {
    if (name)
        put_name(w, name);
    else
        put_comma(w);
    tl_str_putc(&w->text, bracket);
    w->more = false;
}

void json_close(json_writer *w, char bracket) {
    tl_str_putc(&w->text, bracket);
    w->more = true;
}

const char *json_end(json_writer *w) {
    tl_str_putc(&w->text, '}');
    return w->text.data;
}
