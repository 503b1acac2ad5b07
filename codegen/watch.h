/* What code that is compiled into memory tells a sanitizer, in builds of the compiler with one. Others have none of it.
 *
 *   ThreadSanitizer      each load and store: two threads at one address with no barrier between them
 *   AddressSanitizer     the same, and the end of each workspace buffer where its address is taken: behind it and behind each constant
 *                        lie bytes that nobody may touch until another buffer has their place
 *
 * So a kernel that reads one vector too far, a buffer that was planned too small, a cache or a tail whose offset is wrong stop at the
 * access that is at fault, also where the bytes that are read happen to do no harm. Reading what another buffer has written over is
 * not seen: results tell. */
#ifndef TLBC_CODEGEN_WATCH_H
#define TLBC_CODEGEN_WATCH_H

#include "codegen/lower.h"

enum { CG_WATCH_GUARD = 64 }; /* bytes behind each buffer, besides what fills its last line */

/* The base of a buffer, told in the program where g->watch is set. */
lp_value *cg_watched_buffer(cg *g, const cg_buffer *b, lp_value *base);
void cg_watch_forbid(void *p, size_t bytes);

/* Called by generated code. */
void tlbc_watch_read(const void *p, int64_t bytes);
void tlbc_watch_write(void *p, int64_t bytes);
void tlbc_watch_buffer(void *p, int64_t bytes, int64_t tid);

#endif
