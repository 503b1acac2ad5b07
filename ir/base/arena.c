/* Bump allocation with a failure jump; see arena.h. AddressSanitizer sees a chunk as one object: it is told of each piece. */
#include "ir/base/arena.h"

#include "ir/base/asan.h"

#include <stdlib.h>
#include <string.h>

#ifdef TL_ASAN
/* Bytes behind each allocation that nobody may touch; whole shadow granules, as the next allocation starts after them. */
enum { GUARD = 16, LEAST_ALIGN = 8 };
#else
enum { GUARD = 0, LEAST_ALIGN = 1 };
#endif

enum { CHUNK_BYTES = 64 << 10 };

struct tl_arena_chunk {
    tl_arena_chunk *older;
    size_t bytes;
};

static _Noreturn void arena_fail(tl_arena *a) {
    longjmp(a->fail->jump, 1);
}

void tl_arena_init(tl_arena *a, tl_fail *fail) {
    *a = (tl_arena){.fail = fail};
}

static void forbid_rest(tl_arena *a) {
    if (a->next) ASAN_POISON_MEMORY_REGION(a->next, (size_t)(a->end - a->next));
}

static void free_chunks_until(tl_arena *a, tl_arena_chunk *keep) {
    while (a->chunk != keep) {
        tl_arena_chunk *older = a->chunk->older;
        free(a->chunk);
        a->chunk = older;
    }
}

void tl_arena_release(tl_arena *a) {
    free_chunks_until(a, NULL);
    *a = (tl_arena){.fail = a->fail};
}

static void arena_grow(tl_arena *a, size_t need) {
    size_t bytes;
    if (!tl_add_size(need, sizeof(tl_arena_chunk), &bytes)) arena_fail(a);
    if (bytes < CHUNK_BYTES) bytes = CHUNK_BYTES;
    tl_arena_chunk *c = need > CHUNK_BYTES ? calloc(1, bytes) : malloc(bytes);
    if (!c) arena_fail(a);
    *c = (tl_arena_chunk){.older = a->chunk, .bytes = bytes};
    a->chunk = c;
    a->next = (char *)(c + 1);
    a->end = (char *)c + bytes;
    forbid_rest(a);
}

static char *align_up(char *p, size_t align) {
    return (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
}

void *tl_arena_alloc(tl_arena *a, size_t bytes, size_t align) {
    if (a->fail->countdown && --a->fail->countdown == 0) arena_fail(a);
    if (bytes > SIZE_MAX / 2) arena_fail(a);
    if (align < LEAST_ALIGN) align = LEAST_ALIGN;
    char *p = align_up(a->next, align);
    bool cleared = false;
    if (!a->next || p > a->end || (size_t)(a->end - p) < bytes + GUARD) {
        arena_grow(a, bytes + GUARD + align);
        cleared = bytes > CHUNK_BYTES; /* fresh pages, mostly: not touched before they are used */
        p = align_up(a->next, align);
    }
    a->next = p + bytes + GUARD;
    a->total += bytes;
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
    return cleared ? p : memset(p, 0, bytes);
}

void *tl_arena_alloc_array(tl_arena *a, size_t n, size_t size, size_t align) {
    size_t bytes;
    if (!tl_mul_size(n, size, &bytes)) arena_fail(a);
    return tl_arena_alloc(a, bytes, align);
}

char *tl_arena_strndup(tl_arena *a, const char *s, size_t n) {
    char *copy = tl_arena_alloc(a, n + 1, 1);
    if (n) memcpy(copy, s, n);
    return copy;
}

char *tl_arena_strdup(tl_arena *a, const char *s) {
    return tl_arena_strndup(a, s, strlen(s));
}

tl_arena_mark tl_arena_get_mark(const tl_arena *a) {
    return (tl_arena_mark){.chunk = a->chunk, .next = a->next, .total = a->total};
}

void tl_arena_reset(tl_arena *a, tl_arena_mark mark) {
    free_chunks_until(a, mark.chunk);
    a->next = mark.next;
    a->end = mark.chunk ? (char *)mark.chunk + mark.chunk->bytes : NULL;
    a->total = mark.total;
    forbid_rest(a);
}

bool tl_arena_contains(const tl_arena *a, const void *p) {
    for (const tl_arena_chunk *c = a->chunk; c; c = c->older) {
        uintptr_t start = (uintptr_t)(c + 1);
        if ((uintptr_t)p >= start && (uintptr_t)p <= (uintptr_t)c + c->bytes) return true;
    }
    return false;
}
