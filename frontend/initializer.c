/* Tensors of a file to constants of the module.
 *
 * raw_data and external data stay where they are: the constant points into the mapped file. Only
 * where the file keeps them misaligned for their element type (raw_data has no alignment) are they
 * copied once. Typed fields (float_data, int32_data, ...) are decoded by protobuf-c and copied.
 *
 * Nothing is allocated before the size the dims ask for was found in the file. */
#include "frontend/initializer.h"

#include "ir/limits.h"

#include <string.h>

/* A tensor under construction: its type, and how many bytes it must have. */
typedef struct layout {
    const ir_type *type;
    ir_dtype dtype;
    size_t elements, bytes;
    size_t unit; /* bytes of what the elements are stored in: 1 for packed ones */
} layout;

#define TENSOR_ERROR(s, loc, t, ...) \
    tensor_error((s), (loc), (t), tl_arena_printf((s)->arena, __VA_ARGS__))

static bool tensor_error(fe_source *s, const ir_loc *loc, const pb_tensor *t, const char *text) {
    return diag_error(&s->c->diag, loc ? loc : s->loc, "tensor '%s': %s", pb_text(t->name), text);
}

static size_t storage_unit(ir_dtype t) {
    uint32_t bits = ir_dtype_bits(t);
    if (t == DT_c64 || t == DT_c128) bits /= 2;
    return bits <= 8 ? 1 : bits / 8;
}

/* Number of elements of a shape, or false when it overflows. */
static bool count_elements(const int64_t *dims, size_t rank, size_t *n) {
    *n = 1;
    for (size_t i = 0; i < rank; i++)
        if (dims[i] == 0) *n = 0;
    for (size_t i = 0; i < rank && *n; i++)
        if (!tl_mul_size(*n, (size_t)dims[i], n)) return false;
    return true;
}

static bool check_dims(fe_source *s, const ir_loc *loc, const pb_tensor *t, const int64_t *dims,
                       size_t rank) {
    if (rank > IR_MAX_RANK)
        return TENSOR_ERROR(s, loc, t, "rank is %zu, the limit is %d", rank, IR_MAX_RANK);
    for (size_t i = 0; i < rank; i++)
        if (dims[i] < 0)
            return TENSOR_ERROR(s, loc, t, "dimension %zu is %lld", i, (long long)dims[i]);
    return true;
}

static bool find_layout(fe_source *s, const ir_loc *loc, const pb_tensor *t, const int64_t *dims,
                        size_t rank, uint64_t limit, layout *l) {
    if (!check_dims(s, loc, t, dims, rank)) return false;
    if (t->data_type <= 0 || t->data_type >= DT_COUNT)
        return TENSOR_ERROR(s, loc, t, "element type %d is not known", t->data_type);
    l->dtype = (ir_dtype)t->data_type;
    if (!count_elements(dims, rank, &l->elements) ||
        !ir_dtype_bytes(l->dtype, l->elements, &l->bytes) || l->bytes > limit)
        return TENSOR_ERROR(s, loc, t, "is too large");
    l->unit = storage_unit(l->dtype);
    l->type = ir_type_tensor_static(s->c, l->dtype, (int32_t)rank, dims);
    return true;
}

/* Booleans are 0 or 1 everywhere in the compiler, whatever the file holds. */
static void normalize_bools(ir_tensor *t) {
    uint8_t *p = ir_tensor_data(t);
    for (size_t i = 0; i < t->bytes; i++)
        p[i] = p[i] != 0;
}

static bool has_odd_bools(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] > 1) return true;
    return false;
}

static const ir_tensor *from_bytes(fe_source *s, const layout *l, const uint8_t *p) {
    bool aligned = (uintptr_t)p % l->unit == 0;
    bool odd = l->dtype == DT_bool && has_odd_bools(p, l->bytes);
    if (aligned && !odd) return ir_tensor_create(s->arena, l->type, p);
    ir_tensor *t = ir_tensor_alloc(s->arena, l->type);
    if (l->bytes) memcpy(ir_tensor_data(t), p, l->bytes);
    if (odd) normalize_bools(t);
    ir_tensor_seal(t);
    return t;
}

static fe_raw_ref raw_ref(const pb_tensor *t) {
    fe_raw_ref ref = {0};
    if (t->has_raw_data) memcpy(&ref, t->raw_data.data, sizeof ref); /* wire.c put it there */
    return ref;
}

static const ir_tensor *from_raw(fe_source *s, const ir_loc *loc, const pb_tensor *t,
                                 const layout *l) {
    fe_raw_ref ref = raw_ref(t);
    if (l->dtype == DT_str) {
        TENSOR_ERROR(s, loc, t, "strings in raw_data");
        return NULL;
    }
    if (ref.size != l->bytes) {
        TENSOR_ERROR(s, loc, t, "raw_data has %llu bytes, its shape and type need %zu",
                     (unsigned long long)ref.size, l->bytes);
        return NULL;
    }
    return from_bytes(s, l, s->bytes.data + ref.offset);
}

static const ir_tensor *from_external(fe_source *s, const ir_loc *loc, const pb_tensor *t,
                                      const layout *l) {
    const uint8_t *p;
    if (l->dtype == DT_str) {
        TENSOR_ERROR(s, loc, t, "strings in external data");
        return NULL;
    }
    return fe_external_bytes(s, loc, t, l->bytes, &p) ? from_bytes(s, l, p) : NULL;
}

/* One of the typed lists: n items of `width` bytes each, the low bytes of which are the elements. */
typedef struct typed_list {
    const char *name;
    const void *data;
    size_t n, width;
} typed_list;

static typed_list find_typed_list(const pb_tensor *t, ir_dtype dtype) {
    switch (dtype) {
    case DT_f32:
    case DT_c64:
        return (typed_list){"float_data", t->float_data, t->n_float_data, sizeof(float)};
    case DT_f64:
    case DT_c128:
        return (typed_list){"double_data", t->double_data, t->n_double_data, sizeof(double)};
    case DT_i64:
        return (typed_list){"int64_data", t->int64_data, t->n_int64_data, sizeof(int64_t)};
    case DT_u32:
    case DT_u64:
        return (typed_list){"uint64_data", t->uint64_data, t->n_uint64_data, sizeof(uint64_t)};
    default: /* also bit patterns of small floats, and packed elements: one byte of them per item */
        return (typed_list){"int32_data", t->int32_data, t->n_int32_data, sizeof(int32_t)};
    }
}

static const ir_tensor *from_typed_list(fe_source *s, const ir_loc *loc, const pb_tensor *t,
                                        const layout *l) {
    typed_list list = find_typed_list(t, l->dtype);
    if (list.n != l->bytes / l->unit) {
        TENSOR_ERROR(s, loc, t, "%s has %zu items, its shape and type need %zu", list.name, list.n,
                     l->bytes / l->unit);
        return NULL;
    }
    ir_tensor *out = ir_tensor_alloc(s->arena, l->type);
    char *p = ir_tensor_data(out);
    for (size_t i = 0; i < list.n; i++) /* little endian: the low bytes come first */
        memcpy(p + i * l->unit, (const char *)list.data + i * list.width, l->unit);
    if (l->dtype == DT_bool) normalize_bools(out);
    ir_tensor_seal(out);
    return out;
}

static void fill_strings(fe_source *s, tl_sv *out, const ProtobufCBinaryData *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i].data = tl_arena_strndup(s->arena, (const char *)items[i].data, items[i].len);
        out[i].len = items[i].len;
    }
}

const ir_tensor *fe_string_tensor(fe_source *s, int32_t rank, const ProtobufCBinaryData *items,
                                  size_t n) {
    int64_t dim = (int64_t)n;
    ir_tensor *t = ir_tensor_alloc(s->arena, ir_type_tensor_static(s->c, DT_str, rank, &dim));
    fill_strings(s, ir_tensor_data(t), items, n);
    ir_tensor_seal(t);
    return t;
}

static const ir_tensor *from_strings(fe_source *s, const ir_loc *loc, const pb_tensor *t,
                                     const layout *l) {
    if (t->n_string_data != l->elements) {
        TENSOR_ERROR(s, loc, t, "string_data has %zu items, its shape needs %zu", t->n_string_data,
                     l->elements);
        return NULL;
    }
    ir_tensor *out = ir_tensor_alloc(s->arena, l->type);
    fill_strings(s, ir_tensor_data(out), t->string_data, t->n_string_data);
    ir_tensor_seal(out);
    return out;
}

const ir_tensor *fe_tensor(fe_source *s, const ir_loc *loc, const pb_tensor *t) {
    layout l;
    if (!find_layout(s, loc, t, t->dims, t->n_dims, IR_MAX_TENSOR_BYTES, &l)) return NULL;
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return from_external(s, loc, t, &l);
    if (raw_ref(t).size) return from_raw(s, loc, t, &l);
    if (l.dtype == DT_str) return from_strings(s, loc, t, &l);
    return from_typed_list(s, loc, t, &l);
}

/* ---- sparse ----------------------------------------------------------------------------------- */

/* Flat position of entry i. The indices are flat already ([nnz]) or coordinates ([nnz, rank]). */
static bool sparse_position(const pb_sparse *t, const ir_tensor *indices, size_t i, size_t elements,
                            size_t *at) {
    size_t rank = t->n_dims;
    if (indices->type->rank == 1) {
        int64_t flat = ir_tensor_get_i64(indices, i);
        *at = (size_t)flat;
        return flat >= 0 && (size_t)flat < elements;
    }
    *at = 0;
    for (size_t k = 0; k < rank; k++) {
        int64_t x = ir_tensor_get_i64(indices, i * rank + k);
        if (x < 0 || x >= t->dims[k]) return false;
        *at = *at * (size_t)t->dims[k] + (size_t)x;
    }
    return true;
}

static bool check_sparse_indices(const pb_sparse *t, const ir_tensor *values,
                                 const ir_tensor *indices) {
    size_t nnz = ir_tensor_elements(values), n = ir_tensor_elements(indices);
    if (indices->type->dtype != DT_i64) return false;
    if (indices->type->rank == 1) return n == nnz;
    int64_t columns;
    return indices->type->rank == 2 && ir_dim_is_const(indices->type->dims[1], &columns) &&
           (size_t)columns == t->n_dims && n == nnz * t->n_dims;
}

static const ir_tensor *scatter(fe_source *s, const ir_loc *loc, const pb_sparse *t,
                                const layout *l, const ir_tensor *values,
                                const ir_tensor *indices) {
    ir_tensor *out = ir_tensor_alloc(s->arena, l->type);
    for (size_t i = 0; i < ir_tensor_elements(values); i++) {
        size_t at;
        if (!sparse_position(t, indices, i, l->elements, &at)) {
            TENSOR_ERROR(s, loc, t->values, "sparse index %zu lies outside its shape", i);
            return NULL;
        }
        memcpy((char *)ir_tensor_data(out) + at * l->unit, (const char *)values->data + i * l->unit,
               l->unit);
    }
    ir_tensor_seal(out);
    return out;
}

/* Dense size is limited further: nothing in the file backs it. */
const ir_tensor *fe_sparse_tensor(fe_source *s, const ir_loc *loc, const pb_sparse *t) {
    if (!t->values || !t->indices) {
        diag_error(&s->c->diag, loc ? loc : s->loc, "sparse tensor without values or indices");
        return NULL;
    }
    layout l;
    if (!find_layout(s, loc, t->values, t->dims, t->n_dims, IR_MAX_FOLD_BYTES, &l)) return NULL;
    if (ir_dtype_bits(l.dtype) < 8 || l.unit * 8 != ir_dtype_bits(l.dtype)) {
        TENSOR_ERROR(s, loc, t->values, "sparse tensors of %s are not supported",
                     ir_dtype_name(l.dtype));
        return NULL;
    }
    const ir_tensor *values = fe_tensor(s, loc, t->values);
    const ir_tensor *indices = values ? fe_tensor(s, loc, t->indices) : NULL;
    if (!indices) return NULL;
    if (!check_sparse_indices(t, values, indices)) {
        TENSOR_ERROR(s, loc, t->values, "sparse values, indices and shape do not fit each other");
        return NULL;
    }
    return scatter(s, loc, t, &l, values, indices);
}
