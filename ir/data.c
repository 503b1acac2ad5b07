/* Side files of text IR: the bytes of constants, found by content hash. See text.h.
 *
 *   "tlbcdata", then per constant:  hash u64, bytes u64, padding up to a multiple of 64, payload
 *
 * Numbers are little endian. Files come from strangers: nothing is read outside of the given bytes, and the parser checks each
 * payload against its hash. */
#include "ir/text.h"

enum { ALIGN = 64, RECORD = 16 };

static const char magic[8] = {'t', 'l', 'b', 'c', 'd', 'a', 't', 'a'};

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void append_padding(tl_str *out, size_t start) {
    while ((out->len - start) % ALIGN)
        tl_str_putc(out, 0);
}

static void append_tensor(tl_str *out, size_t start, tl_map *seen, const ir_tensor *t) {
    bool added;
    if (t->opaque || t->type->dtype == DT_str) return; /* no bytes; bytes that are in the text */
    tl_map_insert(seen, t->hash, &added);
    if (!added) return;
    uint64_t record[2] = {t->hash, t->bytes};
    tl_str_append(out, (const char *)record, sizeof record);
    append_padding(out, start);
    tl_str_append(out, t->data, t->bytes);
}

static void append_region(tl_str *out, size_t start, tl_map *seen, const ir_region *r);

static void append_node(tl_str *out, size_t start, tl_map *seen, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const ir_attr *a = &n->attrs[i];
        if (a->kind == ATTR_TENSOR) append_tensor(out, start, seen, a->v.t);
        for (uint32_t k = 0; a->kind == ATTR_TENSORS && k < a->n; k++)
            append_tensor(out, start, seen, a->v.tensors[k]);
    }
    for (uint32_t i = 0; i < n->n_regions; i++)
        append_region(out, start, seen, n->regions[i]);
}

static void append_region(tl_str *out, size_t start, tl_map *seen, const ir_region *r) {
    ir_for_each_node (n, r)
        append_node(out, start, seen, n);
}

void ir_data_write(const ir_module *m, tl_str *out) {
    size_t start = out->len;
    tl_map seen;
    tl_map_init(&seen, out->arena);
    tl_str_append(out, magic, sizeof magic);
    for (const ir_const *k = m->consts; k; k = k->next)
        if (k->value.uses) append_tensor(out, start, &seen, k->value.tensor);
    for (const ir_graph *g = m->graphs; g; g = g->next)
        append_region(out, start, &seen, g->body);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

bool ir_data_init(ir_data *d, tl_arena *a, const void *bytes, size_t n) {
    *d = (ir_data){.bytes = bytes, .n = n};
    tl_map_init(&d->offsets, a);
    if (n < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0) return false;
    for (size_t at = sizeof magic; at < n;) {
        uint64_t record[2];
        if (n - at < RECORD) return false;
        memcpy(record, d->bytes + at, sizeof record);
        *tl_map_insert(&d->offsets, record[0], NULL) = at;
        at += RECORD;
        at += (ALIGN - at % ALIGN) % ALIGN;
        if (at > n || record[1] > n - at) return false;
        at += record[1];
    }
    return true;
}

const void *ir_data_find(void *data, uint64_t hash, size_t bytes) {
    const ir_data *d = data;
    const uint64_t *at = tl_map_find(&d->offsets, hash);
    uint64_t record[2];
    if (!at) return NULL;
    memcpy(record, d->bytes + *at, sizeof record);
    size_t payload = *at + RECORD + (ALIGN - (*at + RECORD) % ALIGN) % ALIGN;
    return record[1] == bytes ? d->bytes + payload : NULL;
}
