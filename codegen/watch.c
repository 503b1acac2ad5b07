/* Generated code under a sanitizer; see watch.h. The sanitizers' own functions for one access have no header. */
#include "codegen/watch.h"

#include "ir/base/asan.h"

#if defined __SANITIZE_THREAD__
void __tsan_read_range(void *p, long n);
void __tsan_write_range(void *p, long n);
#define READ(p, n)  __tsan_read_range((void *)(uintptr_t)(p), n)
#define WRITE(p, n) __tsan_write_range(p, n)
#elif defined TL_ASAN
void __asan_loadN(void *p, long n);
void __asan_storeN(void *p, long n);
#define READ(p, n)  __asan_loadN((void *)(uintptr_t)(p), n)
#define WRITE(p, n) __asan_storeN(p, n)
#else
#define READ(p, n)  ((void)(p), (void)(n))
#define WRITE(p, n) ((void)(p), (void)(n))
#endif

void tlbc_watch_read(const void *p, int64_t bytes) {
    READ(p, bytes);
}

void tlbc_watch_write(void *p, int64_t bytes) {
    WRITE(p, bytes);
}

void cg_watch_forbid(void *p, size_t bytes) {
    ASAN_POISON_MEMORY_REGION(p, bytes);
}

/* All threads come by where the address is taken. What several of them touch has its place to itself for the whole epoch, and they say
 * the same; what thread 0 touches alone changes places within one. */
void tlbc_watch_buffer(void *p, int64_t bytes, int64_t tid) {
    if (tid != 0 || bytes < 0) return;
    ASAN_UNPOISON_MEMORY_REGION(p, (size_t)bytes);
    cg_watch_forbid((char *)p + bytes, (size_t)((-bytes & 63) + CG_WATCH_GUARD));
}

lp_value *cg_watched_buffer(cg *g, const cg_buffer *b, lp_value *base) {
    if (!g->watch) return base;
    lp_value *bytes = cg_dim_bytes(g, b->bytes);
    if (b->per_thread) bytes = lp_bin(&g->b, LP_mul, bytes, g->n_threads);
    lp_value *tid = g->serial ? g->tid : lp_index(&g->b, 0);
    lp_call(&g->b, "tlbc_watch_buffer", lp_scalar(LP_VOID), (lp_value *[]){base, bytes, tid}, 3);
    return base;
}
