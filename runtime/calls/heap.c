/* A heap that is emptied at once; see heap.h. */
#include "runtime/calls/heap.h"

#include <stdint.h>
#include <string.h>

enum { RT_LINE = 64, RT_FIRST_PIECE = 16384 };

struct tlbc_rt_piece {
    tlbc_rt_piece *older;
    size_t bytes, used; /* of what follows the header, which takes one line */
};

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
    return p;
}

void *tlbc_rt_heap_take(tlbc_rt_heap *h, size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t need = (bytes + RT_LINE - 1) / RT_LINE * RT_LINE;
    if (!need) need = RT_LINE;
    tlbc_rt_piece *p = h->pieces;
    if ((!p || p->bytes - p->used < need) && !rt_new_piece(h, need)) return NULL;
    p = h->pieces;
    char *memory = (char *)p + RT_LINE + p->used;
    p->used += need;
    h->taken += need;
    memset(memory, 0, bytes);
    return memory;
}

static void rt_release_pieces(tlbc_rt_heap *h) {
    while (h->pieces) {
        tlbc_rt_piece *older = h->pieces->older;
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
    if (h->pieces) h->pieces->used = 0;
    h->taken = 0;
}

void tlbc_rt_heap_release(tlbc_rt_heap *h) {
    rt_release_pieces(h);
    h->taken = 0;
}
