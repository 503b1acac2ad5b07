/* Typed attribute access: the node's own value, or the schema's default; see ir.h. */
#include "ir/base/vec.h"
#include "ir/ir.h"

const ir_attr *ir_attr_find(const ir_node *n, const char *name) {
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0) return &n->attrs[i];
    return NULL;
}

bool ir_attr_has(const ir_node *n, const char *name) {
    return ir_attr_find(n, name) != NULL;
}

/* The schema's entry for an attribute that has a default, or NULL. */
static const ir_schema_attr *schema_default(const ir_node *n, const char *name) {
    const ir_schema *s = op_schema(n->op);
    const ir_schema_attr *a = s ? ir_schema_attr_find(s, name) : NULL;
    return a && a->has_default ? a : NULL;
}

int64_t ir_attr_int(const ir_node *n, const char *name, int64_t fallback) {
    const ir_attr *a = ir_attr_find(n, name);
    if (a && a->kind == ATTR_INT) return a->v.i;
    const ir_schema_attr *d = schema_default(n, name);
    return d ? d->value.i : fallback;
}

float ir_attr_float(const ir_node *n, const char *name, float fallback) {
    const ir_attr *a = ir_attr_find(n, name);
    if (a && a->kind == ATTR_FLOAT) return a->v.f;
    const ir_schema_attr *d = schema_default(n, name);
    return d ? d->value.f : fallback;
}

const char *ir_attr_string(const ir_node *n, const char *name, const char *fallback) {
    const ir_attr *a = ir_attr_find(n, name);
    if (a && a->kind == ATTR_STRING) return a->v.s.data;
    const ir_schema_attr *d = schema_default(n, name);
    return d ? d->value.s : fallback;
}

const int64_t *ir_attr_ints(const ir_node *n, const char *name, uint32_t *count) {
    const ir_attr *a = ir_attr_find(n, name);
    *count = a && a->kind == ATTR_INTS ? a->n : 0;
    return a && a->kind == ATTR_INTS ? a->v.ints : NULL;
}

/* Payloads of list attributes and strings are copied, so that callers may pass locals. */
static ir_attr own_payload(ir_module *m, const ir_attr *a) {
    ir_attr copy = *a;
    copy.name = ir_name(m->ctx, a->name);
    size_t size = 0;
    if (a->kind == ATTR_INTS) size = sizeof *a->v.ints;
    if (a->kind == ATTR_FLOATS) size = sizeof *a->v.floats;
    if (a->kind == ATTR_STRINGS) size = sizeof *a->v.strings;
    if (a->kind == ATTR_TENSORS) size = sizeof *a->v.tensors;
    if (a->kind == ATTR_DIMS) size = sizeof *a->v.dims;
    if (size) {
        void *p = tl_arena_alloc_array(m->arena, a->n, size, 8);
        if (a->n) memcpy(p, a->v.ints, a->n * size);
        copy.v.ints = p;
    }
    if (a->kind == ATTR_STRING) copy.v.s.data = tl_arena_strndup(m->arena, a->v.s.data, a->v.s.len);
    return copy;
}

static void make_room(ir_module *m, ir_node *n) {
    if (n->n_attrs < n->attrs_cap) return;
    n->attrs_cap = n->n_attrs < 4 ? 4 : 2 * n->n_attrs;
    ir_attr *attrs = TL_NEW_ARRAY(m->arena, ir_attr, n->attrs_cap);
    if (n->n_attrs) memcpy(attrs, n->attrs, n->n_attrs * sizeof *attrs);
    n->attrs = attrs;
}

void ir_attr_set(ir_module *m, ir_node *n, const ir_attr *attr) {
    ir_attr copy = own_payload(m, attr);
    uint32_t at = 0;
    while (at < n->n_attrs && strcmp(n->attrs[at].name, copy.name) < 0)
        at++;
    if (at == n->n_attrs || strcmp(n->attrs[at].name, copy.name) != 0) {
        make_room(m, n);
        memmove(n->attrs + at + 1, n->attrs + at, (n->n_attrs - at) * sizeof *n->attrs);
        n->n_attrs++;
    }
    n->attrs[at] = copy;
}

void ir_attr_set_int(ir_module *m, ir_node *n, const char *name, int64_t v) {
    ir_attr_set(m, n, &(ir_attr){.name = name, .kind = ATTR_INT, .v.i = v});
}

void ir_attr_set_float(ir_module *m, ir_node *n, const char *name, float v) {
    ir_attr_set(m, n, &(ir_attr){.name = name, .kind = ATTR_FLOAT, .v.f = v});
}

void ir_attr_set_string(ir_module *m, ir_node *n, const char *name, const char *v) {
    ir_attr_set(m, n, &(ir_attr){.name = name, .kind = ATTR_STRING, .v.s = tl_sv_from(v)});
}

void ir_attr_set_ints(ir_module *m, ir_node *n, const char *name, const int64_t *v,
                      uint32_t count) {
    ir_attr_set(m, n, &(ir_attr){.name = name, .kind = ATTR_INTS, .n = count, .v.ints = v});
}

void ir_attr_set_dims(ir_module *m, ir_node *n, const char *name, const ir_dim *const *v,
                      uint32_t count) {
    ir_attr_set(m, n, &(ir_attr){.name = name, .kind = ATTR_DIMS, .n = count, .v.dims = v});
}

void ir_attr_set_type(ir_module *m, ir_node *n, const char *name, const ir_type *t) {
    ir_attr_set(m, n, &(ir_attr){.name = name, .kind = ATTR_TYPE, .v.type = t});
}

void ir_attr_remove(ir_node *n, const char *name) {
    const ir_attr *a = ir_attr_find(n, name);
    if (!a) return;
    uint32_t at = (uint32_t)(a - n->attrs);
    memmove(n->attrs + at, n->attrs + at + 1, (n->n_attrs - at - 1) * sizeof *n->attrs);
    n->n_attrs--;
}

static bool strings_equal(const ir_attr *a, const ir_attr *b) {
    for (uint32_t i = 0; i < a->n; i++)
        if (!tl_sv_equal(a->v.strings[i], b->v.strings[i])) return false;
    return true;
}

static bool tensors_equal(const ir_attr *a, const ir_attr *b) {
    for (uint32_t i = 0; i < a->n; i++)
        if (!ir_tensor_equal(a->v.tensors[i], b->v.tensors[i])) return false;
    return true;
}

/* Lists of plain words: ints, floats, dims. Floats compare by bits, so that NaN equals itself. */
static bool words_equal(const ir_attr *a, const ir_attr *b, size_t size) {
    return a->n == 0 || memcmp(a->v.ints, b->v.ints, a->n * size) == 0;
}

bool ir_attr_equal(const ir_attr *a, const ir_attr *b) {
    if (a->name != b->name || a->kind != b->kind || a->n != b->n) return false;
    switch (a->kind) {
    case ATTR_INT:
        return a->v.i == b->v.i;
    case ATTR_FLOAT:
        return memcmp(&a->v.f, &b->v.f, sizeof a->v.f) == 0;
    case ATTR_STRING:
        return tl_sv_equal(a->v.s, b->v.s);
    case ATTR_TENSOR:
        return ir_tensor_equal(a->v.t, b->v.t);
    case ATTR_TYPE:
        return a->v.type == b->v.type;
    case ATTR_INTS:
        return words_equal(a, b, sizeof(int64_t));
    case ATTR_FLOATS:
        return words_equal(a, b, sizeof(float));
    case ATTR_DIMS:
        return words_equal(a, b, sizeof(const ir_dim *));
    case ATTR_STRINGS:
        return strings_equal(a, b);
    case ATTR_TENSORS:
        return tensors_equal(a, b);
    case ATTR_KIND_COUNT:
        break;
    }
    return false;
}
