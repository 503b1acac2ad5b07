/* Types, payloads of constants, and attributes of text IR; see parse_internal.h and docs/IR.md. */
#include "ir/base/hash.h"
#include "ir/base/vec.h"
#include "ir/literal.h"
#include "ir/parse_internal.h"

#include <stdlib.h>

const char *parse_name(parser *p, const char *what) {
    lexer *l = &p->lx;
    if (l->tok.kind != LEX_IDENT && l->tok.kind != LEX_STRING) {
        lex_error(l, "expected %s, found %s", what, lex_describe(l));
        return NULL;
    }
    tl_sv t = l->tok.text;
    if (t.len > IR_MAX_NAME || (t.len && memchr(t.data, 0, t.len))) {
        lex_error(l, "%s is too long or holds a NUL", what);
        return NULL;
    }
    const char *name = tl_intern_get_n(&p->c->names, t.data, t.len);
    lex_next(l);
    return l->failed ? NULL : name;
}

/* ---- types -------------------------------------------------------------------------------------------------- */

static bool next_char_is(const lexer *l, char c) {
    return l->at < l->end && *l->at == c;
}

static bool is_container(const lexer *l) {
    return lex_is_word(l, "seq") || lex_is_word(l, "opt") || lex_is_word(l, "map");
}

/* A word is a type only where its bracket follows at once. */
bool parse_type_starts(const parser *p) {
    const lexer *l = &p->lx;
    ir_dtype unused;
    if (lex_is(l, '?')) return true;
    if (l->tok.kind != LEX_IDENT) return false;
    if (is_container(l)) return next_char_is(l, '(');
    return next_char_is(l, '[') && ir_dtype_parse(l->tok.text.data, l->tok.text.len, &unused);
}

static bool parse_dtype(parser *p, ir_dtype *out) {
    lexer *l = &p->lx;
    if (l->tok.kind != LEX_IDENT || !ir_dtype_parse(l->tok.text.data, l->tok.text.len, out))
        return lex_error(l, "expected an element type, found %s", lex_describe(l));
    lex_next(l);
    return !l->failed;
}

static tl_sv trim(tl_sv s) {
    while (s.len && (*s.data == ' ' || *s.data == '\t' || *s.data == '\r'))
        s.data++, s.len--;
    while (s.len &&
           (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t' || s.data[s.len - 1] == '\r'))
        s.len--;
    return s;
}

/* One dimension expression from behind the current token up to a stop character, which becomes the current token. */
static bool parse_dim(parser *p, const char *stop, const ir_dim **out) {
    tl_sv text;
    if (!lex_raw(&p->lx, stop, &text)) return false;
    text = trim(text);
    *out = text.len ? ir_dim_parse(p->c, text.data, text.len) : NULL;
    if (*out) return true;
    return lex_error(&p->lx, "'%.*s' is not a dimension", (int)(text.len > 60 ? 60 : text.len),
                     text.data);
}

/* At the opening bracket of dims up to behind the closing one; -1 after reporting. */
static int32_t parse_dims(parser *p, const ir_dim **dims) {
    lexer *l = &p->lx;
    int32_t rank = 0;
    for (const char *c = l->at;; c++) {
        if (c < l->end && (*c == ' ' || *c == '\t')) continue;
        if (c >= l->end || *c != ']') break;
        lex_next(l); /* [] */
        lex_next(l);
        return l->failed ? -1 : 0;
    }
    do {
        if (rank == IR_MAX_RANK) {
            lex_error(l, "tensor has more than %d dimensions", IR_MAX_RANK);
            return -1;
        }
        int64_t size;
        if (!parse_dim(p, ",]", &dims[rank])) return -1;
        if (ir_dim_is_const(dims[rank++], &size) && size < 0) {
            lex_error(l, "dimension is negative");
            return -1;
        }
    } while (lex_is(l, ','));
    return lex_expect(l, ']') ? rank : -1;
}

static bool parse_tensor_type(parser *p, const ir_type **out) {
    lexer *l = &p->lx;
    ir_dtype t;
    if (!parse_dtype(p, &t)) return false;
    if (!lex_is(l, '[')) return lex_expect(l, '[');
    if (l->end - l->at >= 2 && l->at[0] == '*' && l->at[1] == ']') {
        lex_next(l);
        lex_next(l);
        lex_next(l);
        *out = ir_type_unranked(p->c, t);
        return !l->failed;
    }
    const ir_dim *dims[IR_MAX_RANK];
    int32_t rank = parse_dims(p, dims);
    if (rank < 0) return false;
    *out = ir_type_tensor(p->c, t, rank, dims);
    return true;
}

static bool parse_nested_type(parser *p, int depth, const ir_type **out);

static bool parse_container_type(parser *p, int depth, const ir_type **out) {
    lexer *l = &p->lx;
    char kind = l->tok.text.data[0];
    ir_dtype key = DT_undefined;
    const ir_type *element;
    lex_next(l);
    if (!lex_expect(l, '(')) return false;
    if (kind == 'm' && !(parse_dtype(p, &key) && lex_expect(l, ','))) return false;
    if (!parse_nested_type(p, depth + 1, &element) || !lex_expect(l, ')')) return false;
    if (!element) return lex_error(l, "the type inside must be known");
    if (kind == 's') *out = ir_type_sequence(p->c, element);
    if (kind == 'o') *out = ir_type_optional(p->c, element);
    if (kind == 'm') *out = ir_type_map(p->c, key, element);
    return true;
}

static bool parse_nested_type(parser *p, int depth, const ir_type **out) {
    *out = NULL;
    if (depth > IR_MAX_NESTING)
        return lex_error(&p->lx, "types are nested deeper than %d", IR_MAX_NESTING);
    if (lex_accept(&p->lx, '?')) return true;
    if (is_container(&p->lx)) return parse_container_type(p, depth, out);
    return parse_tensor_type(p, out);
}

bool parse_type(parser *p, const ir_type **out) {
    return parse_nested_type(p, 0, out);
}

/* ---- payloads ----------------------------------------------------------------------------------------------- */

bool parse_payload_starts(const parser *p) {
    const lexer *l = &p->lx;
    return lex_is(l, '{') || l->tok.kind == LEX_HASH || lex_is_word(l, "splat") ||
           lex_is_word(l, "rand") || lex_is_word(l, "opaque");
}

static const ir_tensor *no_tensor(bool unused) {
    (void)unused;
    return NULL;
}

static const ir_tensor *parse_elements(parser *p, const ir_type *type, size_t n) {
    lexer *l = &p->lx;
    /* Each element takes a character at least: a type that promises more than the text can hold allocates nothing. */
    if (n > (size_t)(l->end - l->at) + 1)
        return no_tensor(lex_error(l, "the type wants %zu elements", n));
    ir_tensor *t = ir_tensor_alloc(p->arena, type);
    void *data = ir_tensor_data(t);
    lex_next(l);
    for (size_t i = 0; i < n; i++) {
        if (i && lex_is(l, '}'))
            return no_tensor(lex_error(l, "found %zu elements, the type wants %zu", i, n));
        if (i && !lex_expect(l, ',')) return NULL;
        if (!literal_parse(l, type->dtype, data, i)) return NULL;
    }
    if (lex_is(l, ',')) return no_tensor(lex_error(l, "the type wants %zu elements, not more", n));
    if (!lex_expect(l, '}')) return NULL;
    ir_tensor_seal(t);
    return t;
}

/* Fresh memory for splat and rand, within the module's budget: few characters could ask for terabytes. */
static ir_tensor *generate(parser *p, const ir_type *type, size_t bytes) {
    uint64_t limit = p->options->max_generated ? p->options->max_generated : IR_MAX_GENERATED_BYTES;
    if (bytes > limit - p->generated) {
        lex_error(&p->lx, "constants made by splat and rand exceed %llu bytes",
                  (unsigned long long)limit);
        return NULL;
    }
    p->generated += bytes;
    return ir_tensor_alloc(p->arena, type);
}

/* Every element becomes what the first one is. Elements below a byte are packed, low bits first. */
static void spread_first(ir_dtype t, char *data, size_t n, size_t bytes) {
    uint32_t bits = ir_dtype_bits(t);
    size_t size = bits / 8;
    if (size) {
        for (size_t i = 1; i < n; i++)
            memcpy(data + i * size, data, size);
        return;
    }
    uint32_t first = (uint8_t)data[0] & ((1u << bits) - 1);
    memset(data, (int)(bits == 4 ? first * 0x11 : first * 0x55), bytes);
    uint32_t rest = (uint32_t)(n % (8 / bits)) * bits; /* unused bits of the last byte stay zero */
    if (rest) data[bytes - 1] = (char)((uint8_t)data[bytes - 1] & ((1u << rest) - 1));
}

static const ir_tensor *parse_splat(parser *p, const ir_type *type, size_t n, size_t bytes) {
    lex_next(&p->lx);
    if (n == 0) return no_tensor(lex_error(&p->lx, "a tensor without elements is written {}"));
    ir_tensor *t = generate(p, type, bytes);
    if (!t || !literal_parse(&p->lx, type->dtype, ir_tensor_data(t), 0)) return NULL;
    spread_first(type->dtype, ir_tensor_data(t), n, bytes);
    ir_tensor_seal(t);
    return t;
}

static const ir_tensor *parse_rand(parser *p, const ir_type *type, size_t n, size_t bytes) {
    lexer *l = &p->lx;
    uint64_t seed;
    lex_next(l);
    if (type->dtype == DT_str) return no_tensor(lex_error(l, "rand makes no strings"));
    if (l->tok.kind != LEX_NUMBER || !lex_parse_uint(l->tok.text, &seed))
        return no_tensor(lex_error(l, "expected a seed after 'rand', found %s", lex_describe(l)));
    ir_tensor *t = generate(p, type, bytes);
    if (!t) return NULL;
    literal_random(type->dtype, ir_tensor_data(t), n, seed);
    ir_tensor_seal(t);
    lex_next(l);
    return l->failed ? NULL : t;
}

static ir_tensor *opaque_tensor(parser *p, const ir_type *type, size_t bytes, uint64_t hash) {
    ir_tensor *t = TL_NEW(p->arena, ir_tensor);
    *t = (ir_tensor){.type = type, .bytes = bytes, .hash = hash, .opaque = true};
    return t;
}

/* #hash: the bytes come from the side file and must have that hash; without one the constant stays opaque. */
static const ir_tensor *parse_hash(parser *p, const ir_type *type, size_t bytes) {
    lexer *l = &p->lx;
    uint64_t hash = 0;
    lex_parse_hex(l->tok.text, &hash);
    const ir_parse_options *o = p->options;
    const void *data = o->payload && type->dtype != DT_str
                           ? o->payload(o->payload_data, hash, bytes)
                           : NULL;
    ir_tensor *t = data ? ir_tensor_create(p->arena, type, data)
                        : opaque_tensor(p, type, bytes, hash);
    if (t->hash != hash)
        return no_tensor(lex_error(l, "the side file holds other bytes under this hash"));
    lex_next(l);
    return l->failed ? NULL : t;
}

/* `opaque`: not even a hash is known; one name is one constant. */
static const ir_tensor *parse_opaque(parser *p, const ir_type *type, size_t bytes,
                                     const char *name) {
    uint64_t hash = tl_hash_bytes(tl_hash_mix(0, p->lx.tok.line), name ? name : "",
                                  name ? strlen(name) : 0);
    lex_next(&p->lx);
    return p->lx.failed ? NULL : opaque_tensor(p, type, bytes, hash);
}

const ir_tensor *parse_payload(parser *p, const ir_type *type, const char *name) {
    lexer *l = &p->lx;
    size_t n, bytes;
    if (!ir_type_is_static(type) || !ir_type_static_elements(type, &n) ||
        !ir_type_static_bytes(type, &bytes))
        return no_tensor(lex_error(l, "a constant needs a tensor type with known dimensions"));
    if (bytes > IR_MAX_TENSOR_BYTES)
        return no_tensor(lex_error(l, "constant has %zu bytes, too many", bytes));
    if (lex_is(l, '{')) return parse_elements(p, type, n);
    if (l->tok.kind == LEX_HASH) return parse_hash(p, type, bytes);
    if (lex_is_word(l, "splat")) return parse_splat(p, type, n, bytes);
    if (lex_is_word(l, "rand")) return parse_rand(p, type, n, bytes);
    if (lex_is_word(l, "opaque")) return parse_opaque(p, type, bytes, name);
    return no_tensor(lex_error(l, "expected a payload, found %s", lex_describe(l)));
}

/* ---- attributes --------------------------------------------------------------------------------------------- */

/* What the schema wants, so that `alpha=1` may stand for 1.0 and `[]` for an empty list of the right kind. */
static ir_schema_attr_type wanted_type(const ir_node *n, const char *name) {
    const ir_schema *s = op_schema(n->op);
    const ir_schema_attr *a = s ? ir_schema_attr_find(s, name) : NULL;
    return a ? (ir_schema_attr_type)a->type : IR_SCHEMA_ATTR_UNDEFINED;
}

/* inf, nan, -inf, 1.5, 1e3: a float; 0x1F and 12: an integer. */
static bool looks_like_float(const lexer *l) {
    if (l->tok.kind != LEX_NUMBER) return true;
    tl_sv t = l->tok.text;
    bool hex = t.len > 1 && memchr(t.data, 'x', t.len);
    for (size_t i = 0; i < t.len; i++)
        if (t.data[i] == '.' || t.data[i] == 'p' ||
            (!hex && (t.data[i] == 'e' || t.data[i] == 'E')))
            return true;
    return false;
}

static bool parse_number_attr(parser *p, bool want_float, ir_attr *a) {
    lexer *l = &p->lx;
    a->kind = want_float || looks_like_float(l) ? ATTR_FLOAT : ATTR_INT;
    if (a->kind == ATTR_FLOAT) return literal_parse(l, DT_f32, &a->v.f, 0);
    return literal_parse(l, DT_i64, &a->v.i, 0);
}

static bool starts_number(const lexer *l) {
    return l->tok.kind == LEX_NUMBER || lex_is(l, '-') || lex_is_word(l, "inf") ||
           lex_is_word(l, "nan");
}

/* A type alone, or a type and a payload. */
static bool parse_typed_attr(parser *p, ir_attr *a) {
    const ir_type *type;
    if (!parse_type(p, &type)) return false;
    if (!type) return lex_error(&p->lx, "an attribute's type must be known");
    a->kind = ATTR_TYPE;
    a->v.type = type;
    if (!parse_payload_starts(p)) return !p->lx.failed;
    a->kind = ATTR_TENSOR;
    a->v.t = parse_payload(p, type, a->name);
    return a->v.t != NULL;
}

static bool parse_string_attr(parser *p, ir_attr *a) {
    a->kind = ATTR_STRING;
    a->v.s = p->lx.tok.text;
    lex_next(&p->lx);
    return !p->lx.failed;
}

static bool parse_scalar_attr(parser *p, bool want_float, ir_attr *a) {
    if (starts_number(&p->lx)) return parse_number_attr(p, want_float, a);
    if (p->lx.tok.kind == LEX_STRING) return parse_string_attr(p, a);
    if (parse_type_starts(p)) return parse_typed_attr(p, a);
    return lex_error(&p->lx, "expected an attribute value, found %s", lex_describe(&p->lx));
}

typedef TL_VEC(ir_attr) attr_vec;

/* The elements, parsed one by one as attributes, become one array of the list kind. */
static bool join_list(parser *p, const attr_vec *items, ir_attr_kind kind, ir_attr *a) {
    uint32_t n = a->n = items->len;
    a->kind = kind;
    int64_t *ints = kind == ATTR_INTS ? TL_NEW_ARRAY(p->arena, int64_t, n) : NULL;
    float *floats = kind == ATTR_FLOATS ? TL_NEW_ARRAY(p->arena, float, n) : NULL;
    tl_sv *strings = kind == ATTR_STRINGS ? TL_NEW_ARRAY(p->arena, tl_sv, n) : NULL;
    const ir_tensor **tensors = kind == ATTR_TENSORS ? TL_NEW_ARRAY(p->arena, const ir_tensor *, n)
                                                     : NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (ints) ints[i] = items->data[i].v.i;
        if (floats) floats[i] = items->data[i].v.f;
        if (strings) strings[i] = items->data[i].v.s;
        if (tensors) tensors[i] = items->data[i].v.t;
    }
    if (ints) a->v.ints = ints;
    if (floats) a->v.floats = floats;
    if (strings) a->v.strings = strings;
    if (tensors) a->v.tensors = tensors;
    return true;
}

static bool list_kind(ir_attr_kind element, ir_attr_kind *list) {
    switch (element) {
    case ATTR_INT:
        *list = ATTR_INTS;
        return true;
    case ATTR_FLOAT:
        *list = ATTR_FLOATS;
        return true;
    case ATTR_STRING:
        *list = ATTR_STRINGS;
        return true;
    case ATTR_TENSOR:
        *list = ATTR_TENSORS;
        return true;
    default:
        return false;
    }
}

/* At '['. `kind` is what an empty list is. */
static bool parse_list_attr(parser *p, ir_attr_kind kind, ir_attr *a) {
    lexer *l = &p->lx;
    attr_vec items = {0};
    bool want_float = kind == ATTR_FLOATS;
    lex_next(l);
    while (!lex_is(l, ']')) {
        ir_attr item = {.name = a->name};
        ir_attr_kind found;
        if (items.len && !lex_expect(l, ',')) return false;
        if (!parse_scalar_attr(p, want_float, &item)) return false;
        if (!list_kind(item.kind, &found) || (items.len && found != kind))
            return lex_error(l, "the elements of a list must be of one kind");
        kind = found;
        want_float = kind == ATTR_FLOATS;
        tl_vec_push(p->arena, &items, item);
    }
    lex_next(l);
    return !l->failed && join_list(p, &items, kind, a);
}

static bool parse_dims_attr(parser *p, ir_attr *a) {
    lexer *l = &p->lx;
    TL_VEC(const ir_dim *) dims = {0};
    a->kind = ATTR_DIMS;
    lex_next(l); /* to '<' */
    if (next_char_is(l, '>')) {
        lex_next(l);
    } else {
        do {
            const ir_dim *d;
            if (!parse_dim(p, ",>", &d)) return false;
            tl_vec_push(p->arena, &dims, d);
        } while (lex_is(l, ','));
    }
    a->n = dims.len;
    a->v.dims = dims.data;
    return lex_expect(l, '>');
}

static ir_attr_kind empty_list_kind(ir_schema_attr_type wanted) {
    if (wanted == IR_SCHEMA_ATTR_FLOATS) return ATTR_FLOATS;
    if (wanted == IR_SCHEMA_ATTR_STRINGS) return ATTR_STRINGS;
    if (wanted == IR_SCHEMA_ATTR_TENSORS) return ATTR_TENSORS;
    return ATTR_INTS;
}

/* floats[] and the like: a list whose kind its elements could not tell. */
static bool parse_prefixed_list(parser *p, ir_attr *a, bool *found) {
    static const struct {
        const char *word;
        ir_attr_kind kind;
    } kinds[] = {{"ints", ATTR_INTS},
                 {"floats", ATTR_FLOATS},
                 {"strings", ATTR_STRINGS},
                 {"tensors", ATTR_TENSORS}};
    *found = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!lex_is_word(&p->lx, kinds[i].word) || !next_char_is(&p->lx, '[')) continue;
        *found = true;
        lex_next(&p->lx);
        return parse_list_attr(p, kinds[i].kind, a);
    }
    return true;
}

static bool parse_attr_value(parser *p, const ir_node *n, ir_attr *a) {
    lexer *l = &p->lx;
    bool found;
    ir_schema_attr_type wanted = wanted_type(n, a->name);
    if (lex_is(l, '[')) return parse_list_attr(p, empty_list_kind(wanted), a);
    if (lex_is_word(l, "dims") && next_char_is(l, '<')) return parse_dims_attr(p, a);
    if (!parse_prefixed_list(p, a, &found)) return false;
    return found || parse_scalar_attr(p, wanted == IR_SCHEMA_ATTR_FLOAT, a);
}

static int compare_attrs(const void *a, const void *b) {
    return strcmp(((const ir_attr *)a)->name, ((const ir_attr *)b)->name);
}

static bool parse_attr(parser *p, ir_node *n, ir_attr *a) {
    *a = (ir_attr){.name = parse_name(p, "an attribute name")};
    return a->name && lex_expect(&p->lx, '=') && parse_attr_value(p, n, a);
}

bool parse_attrs(parser *p, ir_node *n) {
    lexer *l = &p->lx;
    attr_vec attrs = {0};
    if (!lex_accept(l, '<')) return !l->failed;
    while (!lex_is(l, '>')) {
        ir_attr a;
        if (attrs.len && !lex_expect(l, ',')) return false;
        if (!parse_attr(p, n, &a)) return false;
        tl_vec_push(p->arena, &attrs, a);
    }
    lex_next(l);
    if (attrs.len) qsort(attrs.data, attrs.len, sizeof *attrs.data, compare_attrs);
    for (uint32_t i = 1; i < attrs.len; i++)
        if (attrs.data[i].name == attrs.data[i - 1].name)
            return lex_error(l, "attribute '%s' is given twice", attrs.data[i].name);
    n->attrs = attrs.data;
    n->n_attrs = attrs.len;
    return !l->failed;
}
