/* One hash map: 64-bit keys to 64-bit values (integers or pointers), open addressing, in an arena. Keys are never removed. */
#ifndef TLBC_IR_BASE_MAP_H
#define TLBC_IR_BASE_MAP_H

#include "ir/base/arena.h"

typedef struct tl_map_slot {
    uint64_t key, value;
    bool used;
} tl_map_slot;

typedef struct tl_map {
    tl_arena *arena;
    tl_map_slot *slots;
    uint32_t len, cap;
} tl_map;

void tl_map_init(tl_map *m, tl_arena *arena);
void tl_map_clear(tl_map *m);
/* The value's place, or NULL. Valid until the next insertion. */
uint64_t *tl_map_find(const tl_map *m, uint64_t key);
/* The value's place, made (0) where absent; *added says which, where not NULL. */
uint64_t *tl_map_insert(tl_map *m, uint64_t key, bool *added);

static inline void *tl_map_get_ptr(const tl_map *m, const void *key) {
    uint64_t *v = tl_map_find(m, (uint64_t)(uintptr_t)key);
    return v ? (void *)(uintptr_t)*v : NULL;
}
static inline void tl_map_set_ptr(tl_map *m, const void *key, const void *value) {
    *tl_map_insert(m, (uint64_t)(uintptr_t)key, NULL) = (uint64_t)(uintptr_t)value;
}

#endif
