/* Elements as text; see literal.h. */
#include "ir/literal.h"

#include "ir/base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_TEXT = 340 }; /* of one number: "%.0f" may write 310 characters */

/* A float type of at least one byte as its bits. */
static uint64_t get_bits(ir_dtype t, const void *data, size_t i) {
    size_t size = ir_dtype_bits(t) / 8;
    uint64_t bits = 0; /* little endian, as the payloads are */
    memcpy(&bits, (const char *)data + i * size, size);
    return bits;
}

static void set_bits(ir_dtype t, void *data, size_t i, uint64_t bits) {
    size_t size = ir_dtype_bits(t) / 8;
    memcpy((char *)data + i * size, &bits, size);
}

static bool has_whole_bytes(ir_dtype t) {
    return ir_dtype_bits(t) >= 8;
}

/* ---- printing ----------------------------------------------------------------------------------------------- */

/* Does this text give x again, once rounded to t? */
static bool reads_back(ir_dtype t, const char *text, double x) {
    if (t == DT_f32) return strtof(text, NULL) == (float)x;
    if (t == DT_f64) return strtod(text, NULL) == x;
    uint64_t buffer = 0;
    ir_element_set_f64(t, &buffer, 0, strtod(text, NULL));
    return ir_element_get_f64(t, &buffer, 0) == x;
}

/* The fewest digits that read back. More never read back worse, so they are found by halving. */
static int shortest_digits(ir_dtype t, double x) {
    char text[MAX_TEXT];
    int low = 1, high = t == DT_f64 ? 17 : 9;
    while (low < high) {
        int middle = (low + high) / 2;
        snprintf(text, sizeof text, "%.*g", middle, x);
        if (reads_back(t, text, x))
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

/* 448, not 4.5e+02: numbers with up to 15 digits before the point are written out. */
static void print_shortest(tl_str *out, ir_dtype t, double x) {
    char text[MAX_TEXT];
    int digits = shortest_digits(t, x);
    snprintf(text, sizeof text, "%.0f", fabs(x) < 1e15 ? x : 0);
    bool whole = fabs(x) >= 1 && fabs(x) < 1e15 && (int)strlen(text) >= digits &&
                 reads_back(t, text, x);
    if (!whole) snprintf(text, sizeof text, "%.*g", digits, x);
    tl_str_puts(out, text);
}

/* "nan" is what a NaN without further properties is stored as; all others show their bits. */
static void print_nan(tl_str *out, ir_dtype t, const void *data, size_t i) {
    uint64_t plain = 0;
    ir_element_set_f64(t, &plain, 0, (double)NAN);
    tl_str_puts(out, "nan");
    if (!has_whole_bytes(t) || get_bits(t, data, i) == get_bits(t, &plain, 0)) return;
    tl_str_printf(out, "(0x%" PRIx64 ")", get_bits(t, data, i));
}

static void print_float(tl_str *out, ir_dtype t, const void *data, size_t i) {
    double x = ir_element_get_f64(t, data, i);
    if (isnan(x))
        print_nan(out, t, data, i);
    else if (isinf(x))
        tl_str_puts(out, x < 0 ? "-inf" : "inf");
    else
        print_shortest(out, t, x);
}

/* Bytes other than 0 and 1 are not valid, but may be there: shown as they are. */
static void print_bool(tl_str *out, uint8_t b) {
    if (b > 1)
        tl_str_printf(out, "%u", b);
    else
        tl_str_puts(out, b ? "true" : "false");
}

static void print_complex(tl_str *out, ir_dtype part, const void *data, size_t i) {
    tl_str_putc(out, '(');
    print_float(out, part, data, 2 * i);
    tl_str_puts(out, ", ");
    print_float(out, part, data, 2 * i + 1);
    tl_str_putc(out, ')');
}

void literal_print(tl_str *out, ir_dtype t, const void *data, size_t i) {
    switch (ir_dtype_get_class(t)) {
    case DTYPE_FLOAT:
        print_float(out, t, data, i);
        break;
    case DTYPE_INT:
        tl_str_printf(out, "%" PRId64, ir_element_get_i64(t, data, i));
        break;
    case DTYPE_UINT:
        tl_str_printf(out, "%" PRIu64, (uint64_t)ir_element_get_i64(t, data, i));
        break;
    case DTYPE_BOOL:
        print_bool(out, ((const uint8_t *)data)[i]);
        break;
    case DTYPE_STRING:
        lex_print_string(out, ((const tl_sv *)data)[i]);
        break;
    case DTYPE_COMPLEX:
        print_complex(out, t == DT_c64 ? DT_f32 : DT_f64, data, i);
        break;
    case DTYPE_OTHER:
        tl_str_putc(out, '?');
        break;
    }
}

void literal_print_attr_float(tl_str *out, float f) {
    size_t start = out->len;
    print_float(out, DT_f32, &f, 0);
    if (strpbrk(out->data + start, ".einf") == NULL) tl_str_puts(out, ".0");
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static bool not_a(lexer *l, ir_dtype t) {
    return lex_error(l, "expected a value of type %s, found %s", ir_dtype_name(t), lex_describe(l));
}

/* Behind "nan": a NaN with these bits, or the plain one. */
static bool parse_nan(lexer *l, ir_dtype t, void *data, size_t i, bool negative) {
    uint64_t bits;
    lex_next(l);
    if (!lex_accept(l, '(')) {
        ir_element_set_f64(t, data, i, (double)(negative ? -NAN : NAN));
        if (!isnan(ir_element_get_f64(t, data, i)))
            return lex_error(l, "%s has no NaN", ir_dtype_name(t));
        return !l->failed;
    }
    if (l->tok.kind != LEX_NUMBER || !lex_parse_uint(l->tok.text, &bits)) return not_a(l, t);
    uint32_t width = ir_dtype_bits(t);
    if (negative || !has_whole_bytes(t) || (width < 64 && bits >> width))
        return lex_error(l, "%s has no such NaN", ir_dtype_name(t));
    set_bits(t, data, i, bits);
    if (!isnan(ir_element_get_f64(t, data, i)))
        return lex_error(l, "these bits are no NaN of %s", ir_dtype_name(t));
    lex_next(l);
    return lex_expect(l, ')');
}

/* Stored as it is: rounding to f8e5m2 would saturate. */
static bool parse_inf(lexer *l, ir_dtype t, void *data, size_t i, bool negative) {
    lex_next(l);
    if (t == DT_f8e5m2)
        set_bits(t, data, i, negative ? 0xfc : 0x7c);
    else
        ir_element_set_f64(t, data, i, (double)(negative ? -INFINITY : INFINITY));
    if (!isinf(ir_element_get_f64(t, data, i)))
        return lex_error(l, "%s has no infinity", ir_dtype_name(t));
    return !l->failed;
}

static bool parse_float(lexer *l, ir_dtype t, void *data, size_t i) {
    bool negative = lex_accept(l, '-');
    if (lex_is_word(l, "nan")) return parse_nan(l, t, data, i, negative);
    if (lex_is_word(l, "inf")) return parse_inf(l, t, data, i, negative);
    double x;
    float f;
    if (negative || l->tok.kind != LEX_NUMBER || !lex_parse_double(l->tok.text, &x))
        return not_a(l, t);
    if (t == DT_f32 && lex_parse_float(l->tok.text, &f))
        memcpy((float *)data + i, &f, sizeof f);
    else
        ir_element_set_f64(t, data, i, x);
    lex_next(l);
    return !l->failed;
}

static bool fits(ir_dtype t, int64_t x) {
    uint32_t bits = ir_dtype_bits(t);
    if (bits >= 64) return true;
    int64_t low = ir_dtype_is_signed(t) ? -(INT64_C(1) << (bits - 1)) : 0;
    int64_t high = ir_dtype_is_signed(t) ? (INT64_C(1) << (bits - 1)) - 1
                                         : (INT64_C(1) << bits) - 1;
    return x >= low && x <= high;
}

static bool parse_int(lexer *l, ir_dtype t, void *data, size_t i) {
    int64_t x;
    uint64_t u;
    if (l->tok.kind != LEX_NUMBER) return not_a(l, t);
    if (t == DT_u64) {
        if (!lex_parse_uint(l->tok.text, &u)) return not_a(l, t);
        x = (int64_t)u;
    } else if (!lex_parse_int(l->tok.text, &x) || !fits(t, x)) {
        return not_a(l, t);
    }
    ir_element_set_i64(t, data, i, x);
    lex_next(l);
    return !l->failed;
}

static bool parse_bool(lexer *l, void *data, size_t i) {
    uint64_t x;
    if (lex_is_word(l, "true"))
        x = 1;
    else if (lex_is_word(l, "false"))
        x = 0;
    else if (l->tok.kind != LEX_NUMBER || !lex_parse_uint(l->tok.text, &x) || x > 255)
        return not_a(l, DT_bool);
    ((uint8_t *)data)[i] = (uint8_t)x;
    lex_next(l);
    return !l->failed;
}

static bool parse_string(lexer *l, void *data, size_t i) {
    if (l->tok.kind != LEX_STRING) return not_a(l, DT_str);
    ((tl_sv *)data)[i] = l->tok.text; /* decoded in the lexer's arena */
    lex_next(l);
    return !l->failed;
}

static bool parse_complex(lexer *l, ir_dtype part, void *data, size_t i) {
    return lex_expect(l, '(') && parse_float(l, part, data, 2 * i) && lex_expect(l, ',') &&
           parse_float(l, part, data, 2 * i + 1) && lex_expect(l, ')');
}

bool literal_parse(lexer *l, ir_dtype t, void *data, size_t i) {
    switch (ir_dtype_get_class(t)) {
    case DTYPE_FLOAT:
        return parse_float(l, t, data, i);
    case DTYPE_INT:
    case DTYPE_UINT:
        return parse_int(l, t, data, i);
    case DTYPE_BOOL:
        return parse_bool(l, data, i);
    case DTYPE_STRING:
        return parse_string(l, data, i);
    case DTYPE_COMPLEX:
        return parse_complex(l, t == DT_c64 ? DT_f32 : DT_f64, data, i);
    case DTYPE_OTHER:
        break;
    }
    return not_a(l, t);
}

/* ---- test data ---------------------------------------------------------------------------------------------- */

static void random_element(ir_dtype t, void *data, size_t i, uint64_t r) {
    double unit = (double)(r >> 40) * 0x1p-23 - 1; /* 24 bits: exact in f32 */
    switch (ir_dtype_get_class(t)) {
    case DTYPE_FLOAT:
        ir_element_set_f64(t, data, i, t == DT_f8e8m0 ? fabs(unit) : unit);
        break;
    case DTYPE_INT:
        ir_element_set_i64(t, data, i, (int64_t)(r >> 60) - 8);
        break;
    case DTYPE_UINT:
        ir_element_set_i64(t, data, i, (int64_t)(r >> 60));
        break;
    case DTYPE_BOOL:
        ((uint8_t *)data)[i] = (uint8_t)(r >> 63);
        break;
    default:
        break;
    }
}

void literal_random(ir_dtype t, void *data, size_t n, uint64_t seed) {
    if (ir_dtype_get_class(t) == DTYPE_COMPLEX) {
        literal_random(t == DT_c64 ? DT_f32 : DT_f64, data, 2 * n, seed);
        return;
    }
    for (size_t i = 0; i < n; i++)
        random_element(t, data, i, tl_hash_mix(seed, i));
}
