/* The first look at a protobuf file. One pass over the wire format, with the messages' descriptors
 * in hand, does four things that protobuf-c cannot:
 *   - says what is wrong with a damaged file, and where;
 *   - bounds what decoding may cost: nesting (protobuf-c recurses), the memory of the decoded
 *     messages, and repeated single submessages (protobuf-c merges them in quadratic time);
 *   - leaves out what the compiler ignores: documentation, metadata, unknown fields. In files from
 *     PyTorch that is most of the text;
 *   - keeps weights out of memory: raw_data becomes a fe_raw_ref to the bytes in the file.
 * The result is a message of the same type. Its submessage lengths are varints padded to five
 * bytes, so that they can be filled in afterwards. */
#include "frontend/wire.h"

#include "ir/limits.h"

#include <string.h>

enum {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
    PADDED_VARINT = 5,
    MAX_VARINT = 10,
    /* a subgraph is graph > node > attribute > graph; 16 for what is above and below */
    MAX_DEPTH = 3 * IR_MAX_NESTING + 16,
};

/* Decoded messages are larger than their encoding: an empty node takes 2 bytes of a file and 150 of
 * memory. */
static const uint64_t max_decoded_bytes = (uint64_t)8 << 30;

typedef struct slimmer {
    const fe_source *s;
    tl_str *out;
    uint64_t decoded; /* estimate of the bytes protobuf-c will allocate */
    unsigned depth;
    bool failed;
} slimmer;

/* One field as it lies in the file. */
typedef struct wire_field {
    uint32_t number;
    unsigned type;
    const uint8_t *start;         /* of the tag */
    const uint8_t *payload, *end; /* bytes: without the length */
} wire_field;

static bool fail(slimmer *m, const uint8_t *at, const char *what) {
    if (!m->failed)
        diag_error(&m->s->c->diag, m->s->loc, "not a valid ONNX file: %s at byte %zu of %zu", what,
                   (size_t)(at - m->s->bytes.data), m->s->bytes.size);
    m->failed = true;
    return false;
}

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned i = 0; i < MAX_VARINT && *p < end; i++) {
        uint8_t byte = *(*p)++;
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) return true;
    }
    return false;
}

/* Moves f->payload and f->end to the field's content, given its wire type. */
static bool read_payload(slimmer *m, wire_field *f, const uint8_t *end) {
    const uint8_t *p = f->payload;
    size_t left = (size_t)(end - p);
    uint64_t value;
    switch (f->type) {
    case WIRE_VARINT:
        if (!read_varint(&p, end, &value)) return fail(m, f->start, "unfinished number");
        f->end = p;
        return true;
    case WIRE_FIXED64:
    case WIRE_FIXED32: {
        size_t n = f->type == WIRE_FIXED64 ? 8 : 4;
        if (left < n) return fail(m, f->start, "unfinished number");
        f->end = p + n;
        return true;
    }
    case WIRE_BYTES:
        if (!read_varint(&p, end, &value)) return fail(m, f->start, "unfinished length");
        if (value > (uint64_t)(end - p))
            return fail(m, f->start, "a field that is longer than what is left (cut short?)");
        f->payload = p;
        f->end = p + value;
        return true;
    default:
        return fail(m, f->start, "unknown wire type");
    }
}

static bool read_field(slimmer *m, const uint8_t *p, const uint8_t *end, wire_field *f) {
    *f = (wire_field){.start = p};
    uint64_t tag;
    if (!read_varint(&p, end, &tag)) return fail(m, f->start, "unfinished field");
    if (tag >> 3 == 0 || tag > UINT32_MAX) return fail(m, f->start, "impossible field number");
    f->number = (uint32_t)(tag >> 3);
    f->type = (unsigned)(tag & 7);
    f->payload = p;
    return read_payload(m, f, end);
}

static bool is_ignored(const ProtobufCFieldDescriptor *d) {
    static const char *const names[] = {"doc_string",
                                        "metadata_props",
                                        "quantization_annotation",
                                        "device_configurations",
                                        "configuration",
                                        "training_info",
                                        "denotation"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(d->name, names[i]) == 0) return true;
    return false;
}

static bool is_length_prefixed(const ProtobufCFieldDescriptor *d) {
    return d->type == PROTOBUF_C_TYPE_MESSAGE || d->type == PROTOBUF_C_TYPE_BYTES ||
           d->type == PROTOBUF_C_TYPE_STRING;
}

/* Bytes protobuf-c allocates for this field, from above. */
static uint64_t decoded_size(const ProtobufCFieldDescriptor *d, const wire_field *f) {
    uint64_t n = (uint64_t)(f->end - f->payload);
    if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessageDescriptor *child = d->descriptor;
        return child->sizeof_message + 32;
    }
    if (is_length_prefixed(d)) return n + 48;
    return f->type == WIRE_BYTES ? n * 8 + 16 : 8; /* packed list, or one number */
}

static bool account(slimmer *m, const wire_field *f, uint64_t bytes) {
    m->decoded += bytes;
    return m->decoded <= max_decoded_bytes || fail(m, f->start, "more content than tlbc accepts");
}

static void put_varint(slimmer *m, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        tl_str_putc(m->out, (char)(v | 0x80));
    tl_str_putc(m->out, (char)v);
}

static void put_tag(slimmer *m, const wire_field *f) {
    put_varint(m, (uint64_t)f->number << 3 | f->type);
}

static bool slim_message(slimmer *m, const uint8_t *p, const uint8_t *end,
                         const ProtobufCMessageDescriptor *d);

static bool put_message(slimmer *m, const wire_field *f, const ProtobufCMessageDescriptor *d) {
    if (m->depth >= MAX_DEPTH) return fail(m, f->start, "nested too deeply");
    put_tag(m, f);
    size_t length_at = m->out->len;
    tl_str_append(m->out, "\0\0\0\0\0", PADDED_VARINT);
    m->depth++;
    if (!slim_message(m, f->payload, f->end, d)) return false;
    m->depth--;
    uint64_t n = m->out->len - length_at - PADDED_VARINT;
    if (n > UINT32_MAX) return fail(m, f->start, "more content than tlbc accepts");
    for (unsigned i = 0; i < PADDED_VARINT; i++) {
        unsigned more = i + 1 < PADDED_VARINT ? 0x80 : 0;
        m->out->data[length_at + i] = (char)((n >> (7 * i) & 0x7f) | more);
    }
    return true;
}

static void put_raw_ref(slimmer *m, const wire_field *f) {
    fe_raw_ref ref = {(uint64_t)(f->payload - m->s->bytes.data), (uint64_t)(f->end - f->payload)};
    put_tag(m, f);
    put_varint(m, sizeof ref);
    tl_str_append(m->out, (const char *)&ref, sizeof ref);
}

static void put_copy(slimmer *m, const wire_field *f) {
    put_tag(m, f);
    if (f->type == WIRE_BYTES) put_varint(m, (uint64_t)(f->end - f->payload));
    tl_str_append(m->out, (const char *)f->payload, (size_t)(f->end - f->payload));
}

/* `seen`: single submessages this message already had, one bit each. */
static bool slim_field(slimmer *m, const wire_field *f, const ProtobufCFieldDescriptor *d,
                       unsigned field_index, uint64_t *seen) {
    if (is_length_prefixed(d) && f->type != WIRE_BYTES)
        return fail(m, f->start, "a number where a text or a message belongs");
    if (d->type == PROTOBUF_C_TYPE_STRING && f->end - f->payload > IR_MAX_NAME)
        return fail(m, f->start, "a name that is too long");
    if (!account(m, f, decoded_size(d, f))) return false;
    if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
        uint64_t bit = (uint64_t)1 << (field_index & 63);
        if (d->label != PROTOBUF_C_LABEL_REPEATED && *seen & bit)
            return fail(m, f->start, "a single message given twice");
        *seen |= bit;
        return put_message(m, f, d->descriptor);
    }
    if (d->type == PROTOBUF_C_TYPE_BYTES && strcmp(d->name, "raw_data") == 0)
        put_raw_ref(m, f);
    else
        put_copy(m, f);
    return true;
}

static bool slim_message(slimmer *m, const uint8_t *p, const uint8_t *end,
                         const ProtobufCMessageDescriptor *d) {
    uint64_t seen = 0;
    while (p < end) {
        wire_field f;
        if (!read_field(m, p, end, &f)) return false;
        p = f.end;
        const ProtobufCFieldDescriptor *fd = protobuf_c_message_descriptor_get_field(d, f.number);
        if (!fd || is_ignored(fd)) continue;
        if (!slim_field(m, &f, fd, (unsigned)(fd - d->fields), &seen)) return false;
    }
    return true;
}

bool fe_slim(const fe_source *s, tl_arena *scratch, const ProtobufCMessageDescriptor *d,
             tl_str *out) {
    tl_str_init(out, scratch);
    slimmer m = {.s = s, .out = out};
    if (s->bytes.size == 0) return true; /* there may be no data at all to point at */
    return slim_message(&m, s->bytes.data, s->bytes.data + s->bytes.size, d);
}
