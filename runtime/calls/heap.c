/* A heap that is emptied at once; see heap.h. AddressSanitizer sees a piece as one object: it is told what of it was taken. */
#include "runtime/calls/heap.h"

#include <stdint.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define RT_ASAN
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined RT_ASAN
#include <sanitizer/asan_interface.h>
enum { RT_GUARD = 64 }; /* bytes behind what is taken that nobody may touch */
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
enum { RT_GUARD = 0 };
#endif

enum { RT_LINE = 64, RT_FIRST_PIECE = 16384 };

struct tlbc_rt_piece {
    tlbc_rt_piece *older;
    size_t bytes, used; /* of what follows the header, which takes one line */
};

static void rt_forbid(tlbc_rt_piece *p) {
    ASAN_POISON_MEMORY_REGION((char *)p + RT_LINE, p->bytes);
}

static void *rt_new_piece(tlbc_rt_heap *h, size_t bytes) {
    size_t most = SIZE_MAX / 2 - RT_LINE;
    if (bytes > most) return NULL;
    size_t size = h->pieces ? h->pieces->bytes : RT_FIRST_PIECE / 2;
    size = size > most / 2 ? most : 2 * size;
    if (size < bytes) size = bytes;
    tlbc_rt_piece *p = h->allocate(h->context, size + RT_LINE);
    if (!p) return NULL;
    *p = (tlbc_rt_piece){.older = h->pieces, .bytes = size};
    h->pieces = p;
    rt_forbid(p);
    return p;
}

void *tlbc_rt_heap_take(tlbc_rt_heap *h, size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t need = (bytes + RT_GUARD + RT_LINE - 1) / RT_LINE * RT_LINE;
    if (!need) need = RT_LINE;
    tlbc_rt_piece *p = h->pieces;
    if ((!p || p->bytes - p->used < need) && !rt_new_piece(h, need)) return NULL;
    p = h->pieces;
    char *memory = (char *)p + RT_LINE + p->used;
    p->used += need;
    h->taken += need;
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
    memset(memory, 0, bytes);
    return memory;
}

static void rt_release_pieces(tlbc_rt_heap *h) {
    while (h->pieces) {
        tlbc_rt_piece *older = h->pieces->older;
        ASAN_UNPOISON_MEMORY_REGION(h->pieces, RT_LINE + h->pieces->bytes);
        h->release(h->context, h->pieces);
        h->pieces = older;
    }
}

/* Where several pieces were needed, one takes their place the next time. */
void tlbc_rt_heap_clear(tlbc_rt_heap *h) {
    if (h->pieces && h->pieces->older) {
        rt_release_pieces(h);
        rt_new_piece(h, h->taken); /* on failure the next take tries again */
    }
    if (h->pieces) h->pieces->used = 0, rt_forbid(h->pieces);
    h->taken = 0;
}

void tlbc_rt_heap_release(tlbc_rt_heap *h) {
    rt_release_pieces(h);
    h->taken = 0;
}
