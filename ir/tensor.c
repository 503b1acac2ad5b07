/* Constant payloads: creation, content hash, comparison; single elements are in element.c. */
#include "ir/tensor.h"

#include "ir/base/assert.h"
#include "ir/base/hash.h"

static uint64_t hash_strings(uint64_t h, const tl_sv *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        h = tl_hash_bytes(tl_hash_mix(h, s[i].len), s[i].data, s[i].len);
    return h;
}

/* Stable across runs: made of the type's numbers, not of pointers. */
static uint64_t tensor_hash(const ir_tensor *t) {
    uint64_t h = tl_hash_mix((uint64_t)t->type->dtype, (uint64_t)t->type->rank);
    for (int32_t i = 0; i < t->type->rank; i++) {
        int64_t d = 0;
        ir_dim_is_const(t->type->dims[i], &d);
        h = tl_hash_mix(h, (uint64_t)d);
    }
    if (t->type->dtype == DT_str) return hash_strings(h, t->data, ir_tensor_elements(t));
    return tl_hash_bytes(h, t->data, t->bytes);
}

ir_tensor *ir_tensor_create(tl_arena *a, const ir_type *type, const void *data) {
    ir_tensor *t = TL_NEW(a, ir_tensor);
    *t = (ir_tensor){.type = type, .data = data};
    TL_ASSERT(ir_type_static_bytes(type, &t->bytes));
    ir_tensor_seal(t);
    return t;
}

ir_tensor *ir_tensor_alloc(tl_arena *a, const ir_type *type) {
    ir_tensor *t = TL_NEW(a, ir_tensor);
    t->type = type;
    TL_ASSERT(ir_type_static_bytes(type, &t->bytes));
    t->data = tl_arena_alloc(a, t->bytes ? t->bytes : 1, 64);
    return t;
}

ir_tensor *ir_tensor_copy(tl_arena *a, const ir_tensor *t) {
    ir_tensor *y = ir_tensor_alloc(a, t->type);
    if (t->bytes) memcpy(ir_tensor_data(y), t->data, t->bytes);
    if (t->type->dtype == DT_str) {
        tl_sv *s = ir_tensor_data(y);
        for (size_t i = 0; i < ir_tensor_elements(t); i++)
            s[i].data = s[i].len ? tl_arena_strndup(a, s[i].data, s[i].len) : NULL;
    }
    y->hash = t->hash;
    return y;
}

void *ir_tensor_data(ir_tensor *t) {
    return (void *)(uintptr_t)t->data;
}

void ir_tensor_seal(ir_tensor *t) {
    t->hash = tensor_hash(t);
}

size_t ir_tensor_elements(const ir_tensor *t) {
    size_t n;
    return ir_type_static_elements(t->type, &n) ? n : 0;
}

static bool strings_equal(const tl_sv *a, const tl_sv *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!tl_sv_equal(a[i], b[i])) return false;
    return true;
}

bool ir_tensor_equal(const ir_tensor *a, const ir_tensor *b) {
    if (a == b) return true;
    if (a->type != b->type || a->hash != b->hash || a->opaque != b->opaque) return false;
    if (a->opaque || a->data == b->data || a->bytes == 0) return true;
    if (a->type->dtype == DT_str) return strings_equal(a->data, b->data, ir_tensor_elements(a));
    return memcmp(a->data, b->data, a->bytes) == 0;
}

/* Elements of less than a byte: the first one repeated over a byte, compared with all full bytes and the rest. */
static bool is_packed_splat(const uint8_t *p, size_t n, uint32_t bits) {
    size_t per_byte = 8 / bits;
    uint32_t mask = (1u << bits) - 1;
    for (size_t i = 1; i < n; i++)
        if ((p[i / per_byte] >> (i % per_byte * bits) & mask) != (p[0] & mask)) return false;
    return true;
}

bool ir_tensor_is_splat(const ir_tensor *t) {
    size_t n = ir_tensor_elements(t);
    if (n == 0 || t->opaque) return false;
    if (t->type->dtype == DT_str) {
        const tl_sv *s = t->data;
        for (size_t i = 1; i < n; i++)
            if (!tl_sv_equal(s[i], s[0])) return false;
        return true;
    }
    uint32_t bits = ir_dtype_bits(t->type->dtype);
    if (bits < 8) return is_packed_splat(t->data, n, bits);
    /* Equal to itself one element further on. */
    return memcmp(t->data, (const char *)t->data + bits / 8, t->bytes - bits / 8) == 0;
}

double ir_tensor_get_f64(const ir_tensor *t, size_t i) {
    return ir_element_get_f64(t->type->dtype, t->data, i);
}
int64_t ir_tensor_get_i64(const ir_tensor *t, size_t i) {
    return ir_element_get_i64(t->type->dtype, t->data, i);
}
void ir_tensor_set_f64(ir_tensor *t, size_t i, double v) {
    ir_element_set_f64(t->type->dtype, ir_tensor_data(t), i, v);
}
void ir_tensor_set_i64(ir_tensor *t, size_t i, int64_t v) {
    ir_element_set_i64(t->type->dtype, ir_tensor_data(t), i, v);
}
