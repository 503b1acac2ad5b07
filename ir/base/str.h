/* String views and a string buffer that grows in an arena. */
#ifndef TLBC_IR_BASE_STR_H
#define TLBC_IR_BASE_STR_H

#include "ir/base/arena.h"

#include <stdarg.h>
#include <string.h>

/* Bytes with a length; not NUL-terminated, may hold NULs (ONNX strings do). */
typedef struct tl_sv {
    const char *data;
    size_t len;
} tl_sv;

static inline tl_sv tl_sv_from(const char *s) {
    return (tl_sv){s, strlen(s)};
}
static inline bool tl_sv_is(tl_sv a, const char *s) {
    return a.len == strlen(s) && memcmp(a.data, s, a.len) == 0;
}
static inline bool tl_sv_equal(tl_sv a, tl_sv b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Text under construction; data is always NUL-terminated (also when empty: tl_str_init makes it so). */
typedef struct tl_str {
    tl_arena *arena;
    char *data;
    size_t len, cap;
} tl_str;

void tl_str_init(tl_str *s, tl_arena *arena);
void tl_str_clear(tl_str *s);
void tl_str_append(tl_str *s, const char *bytes, size_t n);
void tl_str_puts(tl_str *s, const char *text);
void tl_str_putc(tl_str *s, char c);
void tl_str_printf(tl_str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tl_str_vprintf(tl_str *s, const char *format, va_list args);
char *tl_arena_printf(tl_arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
