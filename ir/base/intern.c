#include "ir/base/intern.h"

#include "ir/base/hash.h"

#include <string.h>

typedef struct tl_intern_entry {
    struct tl_intern_entry *next;
    uint64_t hash;
    size_t len;
    char text[];
} tl_intern_entry;

void tl_intern_init(tl_intern *t, tl_arena *arena) {
    *t = (tl_intern){.arena = arena};
}

static void grow(tl_intern *t) {
    uint32_t cap = t->cap ? t->cap * 2 : 256;
    tl_intern_entry **buckets = TL_NEW_ARRAY(t->arena, tl_intern_entry *, cap);
    for (uint32_t i = 0; i < t->cap; i++) {
        for (tl_intern_entry *e = t->buckets[i], *next; e; e = next) {
            next = e->next;
            e->next = buckets[e->hash & (cap - 1)];
            buckets[e->hash & (cap - 1)] = e;
        }
    }
    t->buckets = buckets;
    t->cap = cap;
}

const char *tl_intern_get_n(tl_intern *t, const char *s, size_t n) {
    if (t->len >= t->cap) grow(t);
    uint64_t hash = tl_hash_bytes(0, s, n);
    for (tl_intern_entry *e = t->buckets[hash & (t->cap - 1)]; e; e = e->next)
        if (e->hash == hash && e->len == n && memcmp(e->text, s, n) == 0) return e->text;
    tl_intern_entry *e = tl_arena_alloc(t->arena, sizeof *e + n + 1, _Alignof(tl_intern_entry));
    e->hash = hash;
    e->len = n;
    memcpy(e->text, s, n);
    e->next = t->buckets[hash & (t->cap - 1)];
    t->buckets[hash & (t->cap - 1)] = e;
    t->len++;
    return e->text;
}

const char *tl_intern_get(tl_intern *t, const char *s) {
    return tl_intern_get_n(t, s, strlen(s));
}
