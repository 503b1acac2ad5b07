#include "cli/npy.h"

#include <stdio.h>

/* Type codes of .npy and ONNX's types. `part` is what byte order applies to: half an element for complex numbers. ORDER: the
 * first row of a type is the one that is written. */
static const struct npy_code {
    char kind;
    uint8_t bytes, part;
    tlbc_dtype dtype;
} npy_codes[] = {
    {'f', 4, 4, TLBC_F32},        {'f', 8, 8, TLBC_F64},        {'f', 2, 2, TLBC_F16},
    {'i', 1, 1, TLBC_I8},         {'i', 2, 2, TLBC_I16},        {'i', 4, 4, TLBC_I32},
    {'i', 8, 8, TLBC_I64},        {'u', 1, 1, TLBC_U8},         {'u', 2, 2, TLBC_U16},
    {'u', 4, 4, TLBC_U32},        {'u', 8, 8, TLBC_U64},        {'b', 1, 1, TLBC_BOOL},
    {'c', 8, 4, TLBC_C64},        {'c', 16, 8, TLBC_C128},      {'V', 2, 2, TLBC_BF16},
    {'V', 1, 1, TLBC_F8E4M3FN},   {'V', 1, 1, TLBC_F8E4M3FNUZ}, {'V', 1, 1, TLBC_F8E5M2},
    {'V', 1, 1, TLBC_F8E5M2FNUZ}, {'V', 1, 1, TLBC_F8E8M0},
};

enum { N_CODES = sizeof npy_codes / sizeof npy_codes[0], MAGIC = 6 };

static const char npy_magic[MAGIC] = "\x93NUMPY";

/* What the header says. */
typedef struct npy_header {
    const struct npy_code *code;
    bool big_endian, fortran;
    uint32_t rank;
    int64_t dims[TLBC_MAX_RANK];
} npy_header;

/* ---- header: a Python dictionary ------------------------------------------------------------------------------ */

typedef struct cursor {
    const char *p, *end;
} cursor;

static void skip_space(cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t'))
        c->p++;
}

static bool eat(cursor *c, char ch) {
    skip_space(c);
    if (c->p == c->end || *c->p != ch) return false;
    c->p++;
    return true;
}

static bool eat_word(cursor *c, const char *word) {
    size_t n = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n)) return false;
    c->p += n;
    return true;
}

static bool eat_string(cursor *c, tl_sv *out) {
    skip_space(c);
    if (c->p == c->end || (*c->p != '\'' && *c->p != '"')) return false;
    char quote = *c->p++;
    const char *start = c->p;
    while (c->p < c->end && *c->p != quote)
        c->p++;
    if (c->p == c->end) return false;
    *out = (tl_sv){start, (size_t)(c->p - start)};
    c->p++;
    return true;
}

static bool eat_size(cursor *c, int64_t *out) {
    int64_t v = 0;
    skip_space(c);
    const char *start = c->p;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->p - '0', &v))
            return false;
    *out = v;
    return c->p > start;
}

/* "(3, 4)", "(3,)", "()" */
static bool read_shape(cursor *c, npy_header *h) {
    if (!eat(c, '(')) return false;
    while (!eat(c, ')')) {
        if (h->rank == TLBC_MAX_RANK || !eat_size(c, &h->dims[h->rank])) return false;
        h->rank++;
        if (!eat(c, ',')) return eat(c, ')');
    }
    return true;
}

/* "'<f4'": byte order, kind, bytes. */
static bool read_descr(cursor *c, npy_header *h) {
    tl_sv s;
    int64_t bytes;
    if (!eat_string(c, &s) || s.len < 3 || !memchr("<>|=", s.data[0], 4)) return false;
    cursor digits = {s.data + 2, s.data + s.len};
    if (!eat_size(&digits, &bytes) || digits.p != digits.end) return false;
    h->big_endian = s.data[0] == '>';
    for (int i = 0; i < N_CODES && !h->code; i++)
        if (npy_codes[i].kind == s.data[1] && npy_codes[i].bytes == bytes) h->code = &npy_codes[i];
    return true;
}

static bool read_bool(cursor *c, bool *out) {
    *out = eat_word(c, "True");
    return *out || eat_word(c, "False");
}

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

/* One "'key': value"; which key it was, 0 = none of the three or a bad value. */
static int read_entry(cursor *c, npy_header *h) {
    tl_sv key;
    if (!eat_string(c, &key) || !eat(c, ':')) return 0;
    if (tl_sv_is(key, "descr")) return read_descr(c, h) ? HAS_DESCR : 0;
    if (tl_sv_is(key, "fortran_order")) return read_bool(c, &h->fortran) ? HAS_ORDER : 0;
    if (tl_sv_is(key, "shape")) return read_shape(c, h) ? HAS_SHAPE : 0;
    return 0;
}

static bool read_header(cursor c, npy_header *h) {
    int seen = 0;
    *h = (npy_header){0};
    if (!eat(&c, '{')) return false;
    while (!eat(&c, '}')) {
        int key = read_entry(&c, h);
        if (!key || seen & key) return false;
        seen |= key;
        if (eat(&c, ',')) continue;
        if (!eat(&c, '}')) return false;
        break;
    }
    skip_space(&c);
    return seen == HAS_ALL && c.p == c.end;
}

/* ---- payload -------------------------------------------------------------------------------------------------- */

static void swap_bytes(char *data, size_t bytes, size_t part) {
    for (size_t i = 0; i < bytes; i += part)
        for (size_t j = 0; j < part / 2; j++) {
            char t = data[i + j];
            data[i + j] = data[i + part - 1 - j];
            data[i + part - 1 - j] = t;
        }
}

/* Column-major to row-major: walks the source in its order, with the target's strides. */
static void reorder(char *to, const char *from, const npy_header *h, size_t n) {
    size_t size = h->code->bytes, stride[TLBC_MAX_RANK], at = 0;
    int64_t index[TLBC_MAX_RANK] = {0};
    for (uint32_t d = h->rank; d-- > 0;)
        stride[d] = d + 1 == h->rank ? 1 : stride[d + 1] * (size_t)h->dims[d + 1];
    for (size_t i = 0; i < n; i++) {
        memcpy(to + at * size, from + i * size, size);
        for (uint32_t d = 0; d < h->rank; d++) {
            at += stride[d];
            if (++index[d] < h->dims[d]) break;
            at -= stride[d] * (size_t)h->dims[d];
            index[d] = 0;
        }
    }
}

static bool count_elements(const npy_header *h, size_t *n) {
    *n = 1;
    for (uint32_t d = 0; d < h->rank; d++)
        if (!tl_mul_size(*n, (size_t)h->dims[d], n)) return false;
    return true;
}

static bool read_payload(diag *d, const ir_loc *loc, tl_arena *a, const npy_header *h, cursor data,
                         tlbc_tensor *out) {
    size_t n, bytes;
    if (!count_elements(h, &n) || !tl_mul_size(n, h->code->bytes, &bytes))
        return diag_error(d, loc, "the array's size overflows");
    if ((size_t)(data.end - data.p) != bytes)
        return diag_error(d, loc, "%zu bytes of data, the header asks for %zu",
                          (size_t)(data.end - data.p), bytes);
    char *memory = tl_arena_alloc(a, bytes ? bytes : 1, 64);
    if (h->fortran && h->rank > 1)
        reorder(memory, data.p, h, n);
    else if (bytes)
        memcpy(memory, data.p, bytes);
    if (h->big_endian) swap_bytes(memory, bytes, h->code->part);
    *out = tlbc_tensor_of(memory, h->code->dtype, h->code->bytes, h->rank, h->dims);
    return true;
}

/* Splits the file into header text and payload. */
static bool split_file(diag *d, const ir_loc *loc, const char *bytes, size_t size, cursor *header,
                       cursor *data) {
    const unsigned char *b = (const unsigned char *)bytes;
    if (size < 10 || memcmp(bytes, npy_magic, MAGIC)) return diag_error(d, loc, "not an .npy file");
    unsigned version = b[6];
    if (version < 1 || version > 3)
        return diag_error(d, loc, ".npy version %u.%u, expected 1 to 3", version, b[7]);
    size_t start = version == 1 ? 10 : 12;
    size_t n = b[8] | (size_t)b[9] << 8;
    if (version > 1 && size >= 12) n |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (size < start || n > size - start)
        return diag_error(d, loc, "the file ends within its header");
    *header = (cursor){bytes + start, bytes + start + n};
    *data = (cursor){bytes + start + n, bytes + size};
    return true;
}

/* The header's text for a message: one line, printable, not too long. */
static const char *show(tl_arena *a, cursor text) {
    size_t n = (size_t)(text.end - text.p);
    char *s = tl_arena_strndup(a, text.p, n < 100 ? n : 100);
    for (char *p = s; *p; p++)
        if (*p < ' ' || *p > '~') *p = ' ';
    return s;
}

bool npy_read(diag *d, tl_arena *a, const char *name, const void *bytes, size_t size,
              tlbc_tensor *out) {
    ir_loc *loc = TL_NEW(a, ir_loc);
    cursor text, data;
    npy_header h;
    loc->file = tl_arena_strdup(a, name);
    if (!split_file(d, loc, bytes, size, &text, &data)) return false;
    if (!read_header(text, &h))
        return diag_error(d, loc, "the header does not describe a plain array: %s", show(a, text));
    if (!h.code) return diag_error(d, loc, "the element type is not supported: %s", show(a, text));
    return read_payload(d, loc, a, &h, data, out);
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static const struct npy_code *find_code(tlbc_dtype t) {
    for (int i = 0; i < N_CODES; i++)
        if (npy_codes[i].dtype == t) return &npy_codes[i];
    return NULL;
}

static void put_header(tl_str *out, const char *descr, const tlbc_tensor *t) {
    size_t start = out->len;
    tl_str_append(out, npy_magic, MAGIC);
    tl_str_append(out, "\x01\x00\x00\x00", 4);
    tl_str_printf(out, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (uint32_t d = 0; d < t->rank; d++)
        tl_str_printf(out, "%s%lld", d ? ", " : "", (long long)t->dims[d]);
    tl_str_puts(out, t->rank == 1 ? ",), }" : "), }");
    while ((out->len - start) % 64 != 63) /* the data is aligned to 64 bytes */
        tl_str_putc(out, ' ');
    tl_str_putc(out, '\n');
    size_t n = out->len - start - 10;
    out->data[start + 8] = (char)(n & 255);
    out->data[start + 9] = (char)(n >> 8);
}

/* Elements of `bits` (4 or 2) bits, a byte each, signs extended. */
static void put_unpacked(tl_str *out, const tlbc_tensor *t, size_t n, unsigned bits,
                         bool is_signed) {
    const unsigned char *data = t->data;
    for (size_t i = 0; i < n; i++) {
        unsigned v = data[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
        if (is_signed && v >> (bits - 1)) v |= 0xffu << bits;
        tl_str_putc(out, (char)v);
    }
}

static bool put_small(tl_str *out, const tlbc_tensor *t, size_t n) {
    bool is_signed = t->dtype == TLBC_I4 || t->dtype == TLBC_I2;
    unsigned bits = t->dtype == TLBC_U2 || t->dtype == TLBC_I2 ? 2 : 4;
    if (t->dtype < TLBC_U4 || t->dtype > TLBC_I2 || t->dtype == TLBC_F8E8M0) return false;
    put_header(out, is_signed ? "|i1" : "|u1", t);
    put_unpacked(out, t, n, bits, is_signed);
    return true;
}

bool npy_write(diag *d, const char *name, const tlbc_tensor *t, tl_str *out) {
    char descr[16];
    size_t n = 1;
    const struct npy_code *code = find_code(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (size_t)t->dims[i];
    if (!code) {
        if (put_small(out, t, n)) return true;
        return diag_error(d, NULL, "%s: element type %d cannot be written as .npy", name,
                          (int)t->dtype);
    }
    snprintf(descr, sizeof descr, "%c%c%u", code->bytes == 1 ? '|' : '<', code->kind, code->bytes);
    put_header(out, descr, t);
    tl_str_append(out, t->data, n * code->bytes);
    return true;
}
