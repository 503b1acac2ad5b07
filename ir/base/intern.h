/* Strings stored once: equal strings have equal pointers. */
#ifndef TLBC_IR_BASE_INTERN_H
#define TLBC_IR_BASE_INTERN_H

#include "ir/base/map.h"

typedef struct tl_intern {
    tl_arena *arena;
    struct tl_intern_entry **buckets;
    uint32_t len, cap;
} tl_intern;

void tl_intern_init(tl_intern *t, tl_arena *arena);
const char *tl_intern_get(tl_intern *t, const char *s);
const char *tl_intern_get_n(tl_intern *t, const char *s,
                            size_t n); /* s must hold no NUL in its first n bytes */

#endif
