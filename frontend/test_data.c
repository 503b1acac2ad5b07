/* The .pb files of ONNX test data: one value each, of the message its declared type calls for. */
#include "frontend/frontend.h"
#include "frontend/initializer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool fill_value(fe_source *s, ProtobufCMessage *p, const ir_type *type, ir_datum *out);

static const ProtobufCMessageDescriptor *message_for(const ir_type *t) {
    if (t->kind == IR_TYPE_SEQUENCE) return &onnx__sequence_proto__descriptor;
    if (t->kind == IR_TYPE_OPTIONAL) return &onnx__optional_proto__descriptor;
    if (t->kind == IR_TYPE_MAP) return &onnx__map_proto__descriptor;
    return &onnx__tensor_proto__descriptor;
}

static bool fill_tensor(fe_source *s, const pb_tensor *p, const ir_type *type, ir_datum *out) {
    *out = (ir_datum){.has_value = true, .tensor = fe_tensor(s, NULL, p)};
    if (!out->tensor) return false;
    ir_dtype found = out->tensor->type->dtype;
    if (type && type->dtype != found)
        return diag_error(&s->c->diag, s->loc, "holds %s, the model declares %s",
                          ir_dtype_name(found), ir_dtype_name(type->dtype));
    return true;
}

/* The items as messages: the list that belongs to the element type. */
static ProtobufCMessage **sequence_items(const Onnx__SequenceProto *p, const ir_type *item,
                                         size_t *n) {
    switch (item->kind) {
    case IR_TYPE_TENSOR:
        *n = p->n_tensor_values;
        return (ProtobufCMessage **)p->tensor_values;
    case IR_TYPE_SEQUENCE:
        *n = p->n_sequence_values;
        return (ProtobufCMessage **)p->sequence_values;
    case IR_TYPE_OPTIONAL:
        *n = p->n_optional_values;
        return (ProtobufCMessage **)p->optional_values;
    case IR_TYPE_MAP:
        *n = p->n_map_values;
        return (ProtobufCMessage **)p->map_values;
    default:
        *n = 0;
        return NULL;
    }
}

static bool fill_sequence(fe_source *s, const Onnx__SequenceProto *p, const ir_type *type,
                          ir_datum *out) {
    size_t n;
    ProtobufCMessage **items = sequence_items(p, type->element, &n);
    *out = (ir_datum){.is_sequence = true, .has_value = true, .n = (uint32_t)n};
    out->items = TL_NEW_ARRAY(s->arena, ir_datum, n);
    for (size_t i = 0; i < n; i++)
        if (!fill_value(s, items[i], type->element, &out->items[i])) return false;
    return true;
}

static bool fill_optional(fe_source *s, const Onnx__OptionalProto *p, const ir_type *type,
                          ir_datum *out) {
    ProtobufCMessage *inside = NULL;
    if (type->element->kind == IR_TYPE_TENSOR) inside = (ProtobufCMessage *)p->tensor_value;
    if (type->element->kind == IR_TYPE_SEQUENCE) inside = (ProtobufCMessage *)p->sequence_value;
    if (type->element->kind == IR_TYPE_OPTIONAL) inside = (ProtobufCMessage *)p->optional_value;
    *out = (ir_datum){.is_optional = true, .has_value = inside != NULL, .n = inside != NULL};
    if (!inside) return true;
    out->items = TL_NEW(s->arena, ir_datum);
    return fill_value(s, inside, type->element, &out->items[0]);
}

/* The keys as a tensor: those of the list that belongs to their type. */
static const ir_tensor *map_keys(fe_source *s, const Onnx__MapProto *p, ir_dtype key) {
    if (key == DT_str) return fe_string_tensor(s, 1, p->string_keys, p->n_string_keys);
    int64_t n = (int64_t)p->n_keys;
    ir_tensor *t = ir_tensor_alloc(s->arena, ir_type_tensor_static(s->c, key, 1, &n));
    for (size_t i = 0; i < p->n_keys; i++)
        ir_tensor_set_i64(t, i, p->keys[i]);
    ir_tensor_seal(t);
    return t;
}

/* The values, a tensor of one element each, as one tensor. */
static const ir_tensor *map_values(fe_source *s, const Onnx__SequenceProto *p, ir_dtype dtype) {
    int64_t n = p ? (int64_t)p->n_tensor_values : 0;
    ir_tensor *t = ir_tensor_alloc(s->arena, ir_type_tensor_static(s->c, dtype, 1, &n));
    for (int64_t i = 0; i < n; i++) {
        const ir_tensor *v = fe_tensor(s, NULL, p->tensor_values[i]);
        if (!v) return NULL;
        if (v->type->dtype != dtype || ir_tensor_elements(v) != 1)
            return diag_error(&s->c->diag, s->loc, "a map's value is not one %s",
                              ir_dtype_name(dtype)),
                   NULL;
        size_t size = v->bytes;
        memcpy((char *)ir_tensor_data(t) + (size_t)i * size, v->data, size);
    }
    ir_tensor_seal(t);
    return t;
}

static bool fill_map(fe_source *s, const Onnx__MapProto *p, const ir_type *type, ir_datum *out) {
    *out = (ir_datum){.is_map = true, .has_value = true, .n = 2};
    out->items = TL_NEW_ARRAY(s->arena, ir_datum, 2);
    if (!ir_type_is_tensor(type->element))
        return diag_error(&s->c->diag, s->loc, "a map of other values than tensors");
    out->items[0].tensor = map_keys(s, p, type->dtype);
    out->items[1].tensor = map_values(s, p->values, type->element->dtype);
    if (!out->items[0].tensor || !out->items[1].tensor) return false;
    return ir_tensor_elements(out->items[0].tensor) == ir_tensor_elements(out->items[1].tensor) ||
           diag_error(&s->c->diag, s->loc, "a map has other numbers of keys and values");
}

static bool fill_value(fe_source *s, ProtobufCMessage *p, const ir_type *type, ir_datum *out) {
    switch (type->kind) {
    case IR_TYPE_TENSOR:
        return fill_tensor(s, (const pb_tensor *)p, type, out);
    case IR_TYPE_SEQUENCE:
        return fill_sequence(s, (const Onnx__SequenceProto *)p, type, out);
    case IR_TYPE_OPTIONAL:
        return fill_optional(s, (const Onnx__OptionalProto *)p, type, out);
    case IR_TYPE_MAP:
        return fill_map(s, (const Onnx__MapProto *)p, type, out);
    }
    return false;
}

bool fe_read_value_pb(ir_ctx *c, tl_arena *a, const char *path, const ir_type *expected,
                      ir_datum *out) {
    fe_source s;
    if (!fe_source_open(&s, c, a, path)) return false;
    fe_message *m = fe_message_decode(&s, message_for(expected));
    bool ok = m && fill_value(&s, m->root, expected, out);
    if (m) fe_message_release(m);
    return ok;
}

bool fe_read_tensor_pb(ir_ctx *c, tl_arena *a, const char *path, const ir_tensor **out) {
    fe_source s;
    if (!fe_source_open(&s, c, a, path)) return false;
    fe_message *m = fe_message_decode(&s, &onnx__tensor_proto__descriptor);
    *out = m ? fe_tensor(&s, NULL, (const pb_tensor *)m->root) : NULL;
    if (m) fe_message_release(m);
    return *out != NULL;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void fill_payload(tl_arena *a, const ir_tensor *t, pb_tensor *p) {
    if (t->type->dtype != DT_str) {
        p->has_raw_data = true;
        p->raw_data = (ProtobufCBinaryData){t->bytes, (uint8_t *)(uintptr_t)t->data};
        return;
    }
    const tl_sv *strings = t->data;
    p->n_string_data = ir_tensor_elements(t);
    p->string_data = TL_NEW_ARRAY(a, ProtobufCBinaryData, p->n_string_data);
    for (size_t i = 0; i < p->n_string_data; i++)
        p->string_data[i] = (ProtobufCBinaryData){strings[i].len,
                                                  (uint8_t *)(uintptr_t)strings[i].data};
}

static bool write_bytes(ir_ctx *c, const char *path, const uint8_t *data, size_t size) {
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, size, f) == size;
    int error = errno;
    if (f && fclose(f)) ok = false, error = errno;
    if (ok) return true;
    ir_loc *loc = TL_NEW(&c->arena, ir_loc);
    loc->file = ir_name(c, path);
    return diag_error(&c->diag, loc, "cannot write: %s", strerror(error));
}

bool fe_write_tensor_pb(ir_ctx *c, const char *path, const char *name, const ir_tensor *t) {
    tl_arena *a = &c->arena;
    pb_tensor p = ONNX__TENSOR_PROTO__INIT;
    int64_t *dims = TL_NEW_ARRAY(a, int64_t, (size_t)t->type->rank);
    for (int32_t i = 0; i < t->type->rank; i++)
        ir_dim_is_const(t->type->dims[i], &dims[i]);
    p.n_dims = (size_t)t->type->rank;
    p.dims = dims;
    p.has_data_type = true;
    p.data_type = t->type->dtype;
    p.name = name ? tl_arena_strdup(a, name) : NULL;
    fill_payload(a, t, &p);
    size_t size = onnx__tensor_proto__get_packed_size(&p);
    uint8_t *bytes = tl_arena_alloc(a, size, 1);
    onnx__tensor_proto__pack(&p, bytes);
    return write_bytes(c, path, bytes, size);
}
