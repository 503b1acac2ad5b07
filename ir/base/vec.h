/* Typed growing arrays in an arena.
 *
 *   TL_VEC(int) v = {0};
 *   tl_vec_push(arena, &v, 3);
 *   for (uint32_t i = 0; i < v.len; i++) use(v.data[i]);
 *
 * Growing leaves the old storage in the arena: twice the final size at most. */
#ifndef TLBC_IR_BASE_VEC_H
#define TLBC_IR_BASE_VEC_H

#include "ir/base/arena.h"

#include <string.h>

#define TL_VEC(T)          \
    struct {               \
        T *data;           \
        uint32_t len, cap; \
    }

#define tl_vec_push(arena, v, ...)                                                      \
    (tl_vec_grow((arena), (void **)&(v)->data, (v)->len, &(v)->cap, sizeof *(v)->data), \
     (void)((v)->data[(v)->len++] = (__VA_ARGS__)))

static inline void tl_vec_grow(tl_arena *a, void **data, uint32_t len, uint32_t *cap, size_t size) {
    if (len < *cap) return;
    uint32_t n = *cap ? *cap * 2 : 8;
    void *p = tl_arena_alloc_array(a, n, size, _Alignof(max_align_t));
    if (len) memcpy(p, *data, len * size);
    *data = p;
    *cap = n;
}

#endif
