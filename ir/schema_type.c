/* Types of values against the schemas' sets, and both as text for messages; see schema_type.h. */
#include "ir/schema_type.h"

/* The maps that schemas know, in the order of their bits; the last two stand in sequences. */
static const struct {
    uint32_t bit;
    ir_dtype key, value;
    bool in_sequence;
} maps[] = {
    {IR_SCHEMA_MAP_INT64_STRING, DT_i64, DT_str, false},
    {IR_SCHEMA_MAP_INT64_FLOAT, DT_i64, DT_f32, false},
    {IR_SCHEMA_MAP_INT64_DOUBLE, DT_i64, DT_f64, false},
    {IR_SCHEMA_MAP_STRING_INT64, DT_str, DT_i64, false},
    {IR_SCHEMA_MAP_STRING_FLOAT, DT_str, DT_f32, false},
    {IR_SCHEMA_MAP_STRING_DOUBLE, DT_str, DT_f64, false},
    {IR_SCHEMA_SEQ_MAP_INT64_FLOAT, DT_i64, DT_f32, true},
    {IR_SCHEMA_SEQ_MAP_STRING_FLOAT, DT_str, DT_f32, true},
};
enum { N_MAPS = sizeof maps / sizeof *maps };

static bool in_mask(uint32_t mask, const ir_type *t) {
    return t->kind == IR_TYPE_TENSOR && ir_schema_has_type(mask, (int)t->dtype);
}

static bool map_allowed(uint32_t allowed, const ir_type *t) {
    bool in_sequence = t->kind == IR_TYPE_SEQUENCE;
    if (in_sequence) t = t->element;
    if (t->kind != IR_TYPE_MAP || !ir_type_is_tensor(t->element)) return false;
    for (size_t i = 0; i < N_MAPS; i++)
        if (maps[i].in_sequence == in_sequence && maps[i].key == t->dtype &&
            maps[i].value == t->element->dtype)
            return (allowed & maps[i].bit) != 0;
    return false;
}

bool ir_schema_allows(const ir_schema_types *allowed, const ir_type *t) {
    if (in_mask(allowed->tensor, t)) return true;
    if (map_allowed(allowed->maps, t)) return true;
    if (t->kind == IR_TYPE_SEQUENCE) return in_mask(allowed->seq, t->element);
    if (t->kind != IR_TYPE_OPTIONAL) return false;
    if (t->element->kind == IR_TYPE_SEQUENCE)
        return in_mask(allowed->optional_seq, t->element->element);
    return in_mask(allowed->optional, t->element);
}

bool ir_type_same_variable(const ir_type *a, const ir_type *b) {
    for (; a && b; a = a->element, b = b->element) {
        if (a->kind != b->kind || a->dtype != b->dtype) return false;
        if (a->kind == IR_TYPE_TENSOR) return true;
    }
    return a == b;
}

void ir_type_print_variable(const ir_type *t, tl_str *out) {
    static const char *const open[] = {"", "seq(", "opt(", "map("};
    unsigned depth = 0;
    for (; t->kind != IR_TYPE_TENSOR; t = t->element, depth++) {
        tl_str_puts(out, open[t->kind]);
        if (t->kind == IR_TYPE_MAP) tl_str_printf(out, "%s,", ir_dtype_name(t->dtype));
    }
    tl_str_puts(out, ir_dtype_name(t->dtype));
    while (depth--)
        tl_str_puts(out, ")");
}

/* ---- lists of what is allowed ------------------------------------------------------------------------------------ */

static uint32_t count_bits(uint32_t mask) {
    return (uint32_t)__builtin_popcount(mask);
}

/* Puts what stands between two entries of a list behind the one just written. */
static void separate(tl_str *out, uint32_t *left) {
    --*left;
    if (*left) tl_str_puts(out, *left == 1 ? " or " : ", ");
}

static void print_mask(uint32_t mask, const char *open, const char *close, tl_str *out,
                       uint32_t *left) {
    for (int t = 1; t < DT_COUNT; t++) {
        if (!ir_schema_has_type(mask, t)) continue;
        tl_str_printf(out, "%s%s%s", open, ir_dtype_name((ir_dtype)t), close);
        separate(out, left);
    }
}

static void print_maps(uint32_t allowed, tl_str *out, uint32_t *left) {
    for (size_t i = 0; i < N_MAPS; i++) {
        if (!(allowed & maps[i].bit)) continue;
        tl_str_printf(out, maps[i].in_sequence ? "seq(map(%s,%s))" : "map(%s,%s)",
                      ir_dtype_name(maps[i].key), ir_dtype_name(maps[i].value));
        separate(out, left);
    }
}

void ir_schema_types_print(const ir_schema_types *allowed, tl_str *out) {
    uint32_t left = count_bits(allowed->tensor) + count_bits(allowed->seq) +
                    count_bits(allowed->optional) + count_bits(allowed->optional_seq) +
                    count_bits(allowed->maps);
    print_mask(allowed->tensor, "", "", out, &left);
    print_mask(allowed->seq, "seq(", ")", out, &left);
    print_mask(allowed->optional, "opt(", ")", out, &left);
    print_mask(allowed->optional_seq, "opt(seq(", "))", out, &left);
    print_maps(allowed->maps, out, &left);
}
