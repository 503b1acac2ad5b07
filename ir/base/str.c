#include "ir/base/str.h"

#include <stdio.h>

void tl_str_init(tl_str *s, tl_arena *arena) {
    *s = (tl_str){.arena = arena, .cap = 64};
    s->data = tl_arena_alloc(arena, s->cap, 1);
}

void tl_str_clear(tl_str *s) {
    s->len = 0;
    s->data[0] = 0;
}

static void reserve(tl_str *s, size_t more) {
    if (s->len + more + 1 <= s->cap) return;
    size_t cap = s->cap * 2 > s->len + more + 1 ? s->cap * 2 : s->len + more + 1;
    char *data = tl_arena_alloc(s->arena, cap, 1);
    memcpy(data, s->data, s->len + 1);
    s->data = data;
    s->cap = cap;
}

void tl_str_append(tl_str *s, const char *bytes, size_t n) {
    reserve(s, n);
    if (n) memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = 0;
}

void tl_str_puts(tl_str *s, const char *text) {
    tl_str_append(s, text, strlen(text));
}

void tl_str_putc(tl_str *s, char c) {
    tl_str_append(s, &c, 1);
}

void tl_str_vprintf(tl_str *s, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(s->data + s->len, s->cap - s->len, format, args);
    if (n >= 0 && (size_t)n >= s->cap - s->len) {
        reserve(s, (size_t)n);
        vsnprintf(s->data + s->len, s->cap - s->len, format, again);
    }
    va_end(again);
    if (n > 0) s->len += (size_t)n;
}

void tl_str_printf(tl_str *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str_vprintf(s, format, args);
    va_end(args);
}

char *tl_arena_printf(tl_arena *a, const char *format, ...) {
    tl_str s;
    tl_str_init(&s, a);
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&s, format, args);
    va_end(args);
    return s.data;
}
