/* Interned types; see type.h. */
#include "ir/type.h"

#include "ir/base/hash.h"
#include "ir/ctx.h"
#include "ir/limits.h"

static uint64_t type_hash(const ir_type *t) {
    uint64_t h = tl_hash_mix((uint64_t)t->kind, (uint64_t)t->dtype);
    h = tl_hash_mix(h, (uint64_t)(int64_t)t->rank);
    for (int32_t i = 0; i < t->rank; i++)
        h = tl_hash_mix(h, (uint64_t)(uintptr_t)t->dims[i]);
    return tl_hash_mix(h, (uint64_t)(uintptr_t)t->element);
}

static bool type_same(const ir_type *a, const ir_type *b) {
    if (a->kind != b->kind || a->dtype != b->dtype || a->rank != b->rank ||
        a->element != b->element)
        return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

/* The stored twin of *t. Hash collisions chain by probing successive keys. */
static const ir_type *type_intern(ir_ctx *c, const ir_type *t) {
    for (uint64_t key = type_hash(t);; key++) {
        bool added;
        uint64_t *slot = tl_map_insert(&c->types, key, &added);
        if (!added) {
            const ir_type *old = (const ir_type *)(uintptr_t)*slot;
            if (type_same(old, t)) return old;
            continue;
        }
        *slot = 0;
        ir_type *copy = TL_NEW(&c->arena, ir_type);
        *copy = *t;
        copy->dims = NULL;
        if (t->rank > 0) {
            const ir_dim **dims = TL_NEW_ARRAY(&c->arena, const ir_dim *, (size_t)t->rank);
            memcpy(dims, t->dims, (size_t)t->rank * sizeof *dims);
            copy->dims = dims;
        }
        *tl_map_find(&c->types, key) = (uint64_t)(uintptr_t)copy;
        return copy;
    }
}

const ir_type *ir_type_tensor(ir_ctx *c, ir_dtype t, int32_t rank, const ir_dim *const *dims) {
    return type_intern(c,
                       &(ir_type){.kind = IR_TYPE_TENSOR, .dtype = t, .rank = rank, .dims = dims});
}

const ir_type *ir_type_tensor_static(ir_ctx *c, ir_dtype t, int32_t rank, const int64_t *dims) {
    const ir_dim *d[IR_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        d[i] = ir_dim_const(c, dims[i]);
    return ir_type_tensor(c, t, rank, d);
}

const ir_type *ir_type_unranked(ir_ctx *c, ir_dtype t) {
    return ir_type_tensor(c, t, -1, NULL);
}
const ir_type *ir_type_scalar(ir_ctx *c, ir_dtype t) {
    return ir_type_tensor(c, t, 0, NULL);
}

const ir_type *ir_type_sequence(ir_ctx *c, const ir_type *element) {
    return type_intern(c, &(ir_type){.kind = IR_TYPE_SEQUENCE, .element = element});
}

const ir_type *ir_type_optional(ir_ctx *c, const ir_type *element) {
    return type_intern(c, &(ir_type){.kind = IR_TYPE_OPTIONAL, .element = element});
}

const ir_type *ir_type_map(ir_ctx *c, ir_dtype key, const ir_type *value) {
    return type_intern(c, &(ir_type){.kind = IR_TYPE_MAP, .dtype = key, .element = value});
}

const ir_type *ir_type_with_dtype(ir_ctx *c, const ir_type *t, ir_dtype dtype) {
    return ir_type_tensor(c, dtype, t->rank, t->dims);
}

bool ir_type_is_tensor(const ir_type *t) {
    return t && t->kind == IR_TYPE_TENSOR;
}
bool ir_type_is_ranked(const ir_type *t) {
    return ir_type_is_tensor(t) && t->rank >= 0;
}

bool ir_type_is_static(const ir_type *t) {
    if (!ir_type_is_ranked(t)) return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (!ir_dim_is_const(t->dims[i], NULL)) return false;
    return true;
}

bool ir_type_is_known(const ir_type *t) {
    if (!ir_type_is_ranked(t)) return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (ir_dim_is_unknown(t->dims[i])) return false;
    return true;
}

const ir_dim *ir_type_elements(ir_ctx *c, const ir_type *t) {
    if (!ir_type_is_ranked(t)) return ir_dim_unknown(c);
    const ir_dim *n = ir_dim_const(c, 1);
    for (int32_t i = 0; i < t->rank; i++)
        n = ir_dim_mul(c, n, t->dims[i]);
    return n;
}

bool ir_type_static_elements(const ir_type *t, size_t *n) {
    if (!ir_type_is_ranked(t)) return false;
    *n = 1;
    bool zero = false, fits = true;
    for (int32_t i = 0; i < t->rank; i++) {
        int64_t d;
        if (!ir_dim_is_const(t->dims[i], &d) || d < 0) return false;
        if (d == 0)
            zero = true;
        else
            fits = fits && tl_mul_size(*n, (size_t)d, n);
    }
    if (zero) *n = 0; /* a zero anywhere makes it empty, however large the rest */
    return zero || fits;
}

bool ir_type_static_bytes(const ir_type *t, size_t *n) {
    size_t elements;
    return ir_type_static_elements(t, &elements) && ir_dtype_bytes(t->dtype, elements, n);
}

const ir_type *ir_type_join(ir_ctx *c, const ir_type *a, const ir_type *b) {
    if (a == b) return a;
    if (!a || !b || a->kind != b->kind || a->dtype != b->dtype) return NULL;
    if (a->kind != IR_TYPE_TENSOR) {
        const ir_type *e = ir_type_join(c, a->element, b->element);
        return e ? type_intern(c, &(ir_type){.kind = a->kind, .dtype = a->dtype, .element = e})
                 : NULL;
    }
    if (a->rank != b->rank) return ir_type_unranked(c, a->dtype);
    const ir_dim *d[IR_MAX_RANK];
    for (int32_t i = 0; i < a->rank; i++)
        d[i] = ir_dim_equal(a->dims[i], b->dims[i]) ? a->dims[i] : ir_dim_unknown(c);
    return ir_type_tensor(c, a->dtype, a->rank, d);
}

/* The more precise of two dims; NULL on a contradiction. Two different symbolic dims: the first is kept. */
static const ir_dim *dim_meet(const ir_dim *a, const ir_dim *b) {
    int64_t x, y;
    if (ir_dim_is_unknown(a)) return b;
    if (ir_dim_is_unknown(b)) return a;
    bool ca = ir_dim_is_const(a, &x), cb = ir_dim_is_const(b, &y);
    if (ca && cb && x != y) return NULL;
    return !ca && cb ? b : a;
}

const ir_type *ir_type_meet(ir_ctx *c, const ir_type *a, const ir_type *b) {
    if (a == b || !b) return a;
    if (!a) return b;
    if (a->kind != b->kind || a->dtype != b->dtype) return NULL;
    if (a->kind != IR_TYPE_TENSOR) {
        const ir_type *e = ir_type_meet(c, a->element, b->element);
        return e ? type_intern(c, &(ir_type){.kind = a->kind, .dtype = a->dtype, .element = e})
                 : NULL;
    }
    if (a->rank < 0) return b;
    if (b->rank < 0) return a;
    if (a->rank != b->rank) return NULL;
    const ir_dim *d[IR_MAX_RANK];
    for (int32_t i = 0; i < a->rank; i++)
        if (!(d[i] = dim_meet(a->dims[i], b->dims[i]))) return NULL;
    return ir_type_tensor(c, a->dtype, a->rank, d);
}

static void print_tensor(const ir_type *t, tl_str *out) {
    tl_str_printf(out, "%s[", ir_dtype_name(t->dtype));
    if (t->rank < 0) tl_str_putc(out, '*');
    for (int32_t i = 0; i < t->rank; i++) {
        if (i) tl_str_putc(out, ',');
        ir_dim_print(t->dims[i], out);
    }
    tl_str_putc(out, ']');
}

void ir_type_print(const ir_type *t, tl_str *out) {
    static const char *const open[] = {"", "seq(", "opt(", "map("};
    if (!t) {
        tl_str_putc(out, '?');
        return;
    }
    if (t->kind == IR_TYPE_TENSOR) {
        print_tensor(t, out);
        return;
    }
    tl_str_puts(out, open[t->kind]);
    if (t->kind == IR_TYPE_MAP) tl_str_printf(out, "%s,", ir_dtype_name(t->dtype));
    ir_type_print(t->element, out);
    tl_str_putc(out, ')');
}
