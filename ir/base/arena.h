/* Bump allocation. All compiler memory lives in arenas; freeing an arena frees everything in it, nobody frees one object.
 *
 * Allocation never returns NULL. When memory runs out the arena jumps to where its `tl_fail.jump` was set (the API
 * entry), which drops its arenas and reports TLBC_ERROR_MEMORY. Two rules keep that jump sound: never allocate from an arena
 * inside a callback called by foreign code, and never hold a lock across an allocation.
 *
 *   tl_fail fail = {0};
 *   if (setjmp(fail.jump)) { tl_arena_release(&a); return TLBC_ERROR_MEMORY; }
 *   tl_arena_init(&a, &fail);
 *   int *v = TL_NEW_ARRAY(&a, int, n);                                   // zeroed
 *
 * Tests make the n-th allocation fail: `fail.countdown = n` (0 = never). */
#ifndef TLBC_IR_BASE_ARENA_H
#define TLBC_IR_BASE_ARENA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where allocation failure lands, and how tests provoke it. One per API call; shared by all arenas of that call. */
typedef struct tl_fail {
    jmp_buf jump;
    uint64_t countdown; /* the allocation that brings this from 1 to 0 fails; 0 = none does */
} tl_fail;

typedef struct tl_arena_chunk tl_arena_chunk;

typedef struct tl_arena {
    tl_fail *fail;
    tl_arena_chunk *chunk; /* newest first */
    char *next, *end;
    size_t total; /* bytes handed out */
} tl_arena;

/* A position to return to: tl_arena_reset frees all that came after. */
typedef struct tl_arena_mark {
    tl_arena_chunk *chunk;
    char *next;
    size_t total;
} tl_arena_mark;

void tl_arena_init(tl_arena *a, tl_fail *fail);
void tl_arena_release(tl_arena *a);
void *tl_arena_alloc(tl_arena *a, size_t bytes, size_t align); /* zeroed */
char *tl_arena_strndup(tl_arena *a, const char *s, size_t n);
char *tl_arena_strdup(tl_arena *a, const char *s);
tl_arena_mark tl_arena_get_mark(const tl_arena *a);
void tl_arena_reset(tl_arena *a, tl_arena_mark mark);
bool tl_arena_contains(const tl_arena *a, const void *p); /* O(chunks) */

/* n * size with overflow treated as out of memory. */
void *tl_arena_alloc_array(tl_arena *a, size_t n, size_t size, size_t align);

#define TL_NEW(a, T)          ((T *)tl_arena_alloc((a), sizeof(T), _Alignof(T)))
#define TL_NEW_ARRAY(a, T, n) ((T *)tl_arena_alloc_array((a), (n), sizeof(T), _Alignof(T)))

/* Checked arithmetic for everything that comes from a file: false on overflow. */
static inline bool tl_mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool tl_add_size(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

#endif
