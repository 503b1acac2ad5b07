#include "ir/base/map.h"

#include "ir/base/hash.h"

void tl_map_init(tl_map *m, tl_arena *arena) {
    *m = (tl_map){.arena = arena};
}

void tl_map_clear(tl_map *m) {
    for (uint32_t i = 0; i < m->cap; i++)
        m->slots[i].used = false;
    m->len = 0;
}

/* The slot that holds `key`, or the free one where it belongs. */
static tl_map_slot *probe(const tl_map *m, uint64_t key) {
    uint32_t i = (uint32_t)tl_hash_mix(0, key) & (m->cap - 1);
    while (m->slots[i].used && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void grow(tl_map *m) {
    tl_map bigger = {.arena = m->arena, .cap = m->cap ? m->cap * 2 : 16};
    bigger.slots = TL_NEW_ARRAY(m->arena, tl_map_slot, bigger.cap);
    for (uint32_t i = 0; i < m->cap; i++)
        if (m->slots[i].used) *probe(&bigger, m->slots[i].key) = m->slots[i];
    bigger.len = m->len;
    *m = bigger;
}

uint64_t *tl_map_find(const tl_map *m, uint64_t key) {
    if (!m->len) return NULL;
    tl_map_slot *s = probe(m, key);
    return s->used ? &s->value : NULL;
}

uint64_t *tl_map_insert(tl_map *m, uint64_t key, bool *added) {
    if ((m->len + 1) * 4 > m->cap * 3) grow(m);
    tl_map_slot *s = probe(m, key);
    if (added) *added = !s->used;
    if (!s->used) {
        *s = (tl_map_slot){.key = key, .used = true};
        m->len++;
    }
    return &s->value;
}
