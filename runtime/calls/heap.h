/* Memory for values whose size only the run tells: handed out from a few large pieces, all of it taken back at once before the next
 * run. A piece that was too small is replaced by one that holds what the last run needed, so that runs of like data allocate nothing.
 *
 *   tlbc_rt_heap h = {.allocate = ..., .release = ..., .context = ...};
 *   void *p = tlbc_rt_heap_take(&h, bytes);         zeroed, 64-byte aligned; NULL where there is no more
 *   tlbc_rt_heap_clear(&h);                         all that was taken is void
 *   tlbc_rt_heap_release(&h); */
#ifndef TLBC_RUNTIME_HEAP_H
#define TLBC_RUNTIME_HEAP_H

#include <stddef.h>

typedef struct tlbc_rt_piece tlbc_rt_piece;

typedef struct tlbc_rt_heap {
    void *(*allocate)(void *context, size_t bytes); /* 64-byte aligned; NULL on failure */
    void (*release)(void *context, void *memory);
    void *context;
    tlbc_rt_piece *pieces; /* the newest first */
    size_t taken;          /* since the last clear, with what alignment costs */
} tlbc_rt_heap;

void *tlbc_rt_heap_take(tlbc_rt_heap *h, size_t bytes);
void tlbc_rt_heap_clear(tlbc_rt_heap *h);
void tlbc_rt_heap_release(tlbc_rt_heap *h);

#endif
