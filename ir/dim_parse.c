/* Reads dimension expressions: our own text, and what exporters write into dim_param (sympy's and Python's spelling).
 *
 *   expr    := product { ("+" | "-") product }
 *   product := factor { ("*" | "/" | "//" | "%") factor }
 *   factor  := "-" factor | primary [ ("**" | "^") integer ]
 *   primary := integer | name | "quoted name" | "?" | "(" expr ")" | function "(" expr { "," expr } ")"
 *
 * Functions: max, min, floor, ceil, and sympy's Max, Min, ceiling, Mod, FloorDiv, CeilDiv. "/" rounds down; inside floor()
 * and ceil() it is exact until the function rounds, so a value is carried as a fraction: floor(s/4 + 1/2) = (s + 2)/4.
 * A name may hold "-" between a letter or digit and a letter ("batch-size"): exporters write differences with spaces. */
#include "ir/dim_internal.h"

#include <ctype.h>

enum { MAX_DEPTH = 64 };

typedef struct fraction {
    const ir_dim *num, *den;
} fraction;

typedef struct parser {
    ir_ctx *c;
    const char *p, *end;
    uint32_t depth;
    bool exact; /* inside floor() or ceil(): "/" makes fractions */
    bool failed;
} parser;

static fraction parse_expr(parser *s);
static fraction parse_factor(parser *s);

static fraction whole(parser *s, const ir_dim *d) {
    return (fraction){d, ir_dim_const(s->c, 1)};
}

static fraction fail(parser *s) {
    s->failed = true;
    return whole(s, ir_dim_unknown(s->c));
}

static void skip_space(parser *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
        s->p++;
}

static bool accept(parser *s, const char *token) {
    size_t n = strlen(token);
    skip_space(s);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, token, n) != 0) return false;
    s->p += n;
    return true;
}

/* ---- fractions --------------------------------------------------------------------------------------------------- */

static fraction add(parser *s, fraction a, fraction b, bool subtract) {
    const ir_dim *x = ir_dim_mul(s->c, a.num, b.den), *y = ir_dim_mul(s->c, b.num, a.den);
    return (fraction){subtract ? ir_dim_sub(s->c, x, y) : ir_dim_add(s->c, x, y),
                      ir_dim_mul(s->c, a.den, b.den)};
}

static fraction mul(parser *s, fraction a, fraction b) {
    return (fraction){ir_dim_mul(s->c, a.num, b.num), ir_dim_mul(s->c, a.den, b.den)};
}

static fraction reciprocal(fraction a) {
    return (fraction){a.den, a.num};
}

static fraction round_down(parser *s, fraction a) {
    return whole(s, ir_dim_floordiv(s->c, a.num, a.den));
}
static fraction round_up(parser *s, fraction a) {
    return whole(s, ir_dim_ceildiv(s->c, a.num, a.den));
}

static fraction mod(parser *s, fraction a, fraction b) {
    fraction quotient = round_down(s, mul(s, a, reciprocal(b)));
    if (ir_dim_is(a.den, 1) && ir_dim_is(b.den, 1)) return whole(s, ir_dim_mod(s->c, a.num, b.num));
    return add(s, a, mul(s, quotient, b), true);
}

static fraction extreme(parser *s, fraction a, fraction b, bool max) {
    const ir_dim *x = ir_dim_mul(s->c, a.num, b.den), *y = ir_dim_mul(s->c, b.num, a.den);
    return (fraction){max ? ir_dim_max(s->c, x, y) : ir_dim_min(s->c, x, y),
                      ir_dim_mul(s->c, a.den, b.den)};
}

/* ---- tokens --------------------------------------------------------------------------------------------------- */

static fraction parse_integer(parser *s) {
    int64_t v = 0;
    bool overflow = false;
    for (; s->p < s->end && isdigit((unsigned char)*s->p); s->p++)
        overflow |= __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s->p - '0', &v);
    if (s->p < s->end && (isalpha((unsigned char)*s->p) || *s->p == '.' || *s->p == '_'))
        return fail(s);
    return whole(s, overflow ? ir_dim_unknown(s->c) : ir_dim_const(s->c, v));
}

static bool is_name_start(unsigned char ch) {
    return isalpha(ch) || ch == '_' || ch >= 0x80;
}
static bool is_name_char(unsigned char ch) {
    return is_name_start(ch) || isdigit(ch) || ch == '.' || ch == ':';
}

static tl_sv scan_name(parser *s) {
    const char *start = s->p;
    while (s->p < s->end) {
        bool hyphen = *s->p == '-' && s->p + 1 < s->end && is_name_start((unsigned char)s->p[1]);
        if (!is_name_char((unsigned char)*s->p) && !hyphen) break;
        s->p++;
    }
    return (tl_sv){start, (size_t)(s->p - start)};
}

static fraction symbol(parser *s, tl_sv name) {
    if (name.len == 0 || name.len > IR_MAX_NAME) return fail(s);
    return whole(s, ir_dim_symbol(s->c, tl_intern_get_n(&s->c->names, name.data, name.len)));
}

static int hex_digit(char ch) {
    if (isdigit((unsigned char)ch)) return ch - '0';
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* The byte after a backslash: \" \\ \xHH. 0 where malformed. */
static char parse_escape(parser *s) {
    if (s->p == s->end) return 0;
    char ch = *s->p++;
    if (ch != 'x') return ch == '"' || ch == '\\' ? ch : 0;
    if (s->end - s->p < 2) return 0;
    int high = hex_digit(s->p[0]), low = hex_digit(s->p[1]);
    s->p += 2;
    return high < 0 || low < 0 ? 0 : (char)(high * 16 + low);
}

static fraction parse_quoted(parser *s) {
    char *name = TL_NEW_ARRAY(&s->c->arena, char, (size_t)(s->end - s->p) + 1);
    size_t n = 0;
    while (s->p < s->end && *s->p != '"') {
        char ch = *s->p++;
        if (ch == '\\') ch = parse_escape(s);
        if (ch == 0) return fail(s);
        name[n++] = ch;
    }
    if (s->p == s->end) return fail(s);
    s->p++;
    return symbol(s, (tl_sv){name, n});
}

/* ---- grammar -------------------------------------------------------------------------------------------------- */

typedef enum function {
    FN_NONE,
    FN_MAX,
    FN_MIN,
    FN_FLOOR,
    FN_CEIL,
    FN_MOD,
    FN_FLOORDIV,
    FN_CEILDIV
} function;

static function find_function(tl_sv name) {
    static const struct {
        const char *name;
        function fn;
    } table[] = {{"max", FN_MAX},        {"Max", FN_MAX},           {"min", FN_MIN},
                 {"Min", FN_MIN},        {"floor", FN_FLOOR},       {"ceil", FN_CEIL},
                 {"ceiling", FN_CEIL},   {"Mod", FN_MOD},           {"mod", FN_MOD},
                 {"PythonMod", FN_MOD},  {"FloorDiv", FN_FLOORDIV}, {"CleanDiv", FN_FLOORDIV},
                 {"CeilDiv", FN_CEILDIV}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (tl_sv_is(name, table[i].name)) return table[i].fn;
    return FN_NONE;
}

static fraction apply(parser *s, function fn, fraction a, fraction b) {
    switch (fn) {
    case FN_MAX:
        return extreme(s, a, b, true);
    case FN_MIN:
        return extreme(s, a, b, false);
    case FN_MOD:
        return mod(s, a, b);
    case FN_FLOORDIV:
        return round_down(s, mul(s, a, reciprocal(b)));
    case FN_CEILDIV:
        return round_up(s, mul(s, a, reciprocal(b)));
    default:
        return fail(s);
    }
}

/* After "(": one argument for floor and ceil, two or more for max and min, two for the rest. */
static fraction parse_call(parser *s, function fn) {
    bool outer = s->exact, rounds = fn == FN_FLOOR || fn == FN_CEIL;
    s->exact = outer || rounds;
    fraction a = parse_expr(s);
    uint32_t n = 1;
    for (; !s->failed && accept(s, ","); n++)
        a = apply(s, fn, a, parse_expr(s));
    s->exact = outer;
    bool variadic = fn == FN_MAX || fn == FN_MIN;
    if (!accept(s, ")") || (rounds ? n != 1 : variadic ? n < 1 : n != 2)) return fail(s);
    if (!rounds) return a;
    return fn == FN_FLOOR ? round_down(s, a) : round_up(s, a);
}

static fraction parse_name(parser *s) {
    tl_sv name = scan_name(s);
    function fn = find_function(name);
    return fn != FN_NONE && accept(s, "(") ? parse_call(s, fn) : symbol(s, name);
}

static fraction parse_primary(parser *s) {
    skip_space(s);
    if (s->p == s->end) return fail(s);
    if (isdigit((unsigned char)*s->p)) return parse_integer(s);
    if (is_name_start((unsigned char)*s->p)) return parse_name(s);
    if (accept(s, "\"")) return parse_quoted(s);
    if (accept(s, "?")) return whole(s, ir_dim_unknown(s->c));
    if (!accept(s, "(")) return fail(s);
    fraction a = parse_expr(s);
    return accept(s, ")") ? a : fail(s);
}

static fraction power(parser *s, fraction base) {
    int64_t n;
    skip_space(s);
    if (s->p == s->end || !isdigit((unsigned char)*s->p)) return fail(s);
    fraction exponent = parse_integer(s), product = whole(s, ir_dim_const(s->c, 1));
    if (!ir_dim_is_const(exponent.num, &n) || n > MAX_DEPTH) return fail(s);
    while (n-- > 0)
        product = mul(s, product, base);
    return product;
}

static fraction negated_factor(parser *s) {
    /* The most negative integer has no positive twin: it is read as a whole. */
    static const char lowest[] = "9223372036854775808";
    if (accept(s, lowest)) return whole(s, ir_dim_const(s->c, INT64_MIN));
    return add(s, whole(s, ir_dim_const(s->c, 0)), parse_factor(s), true);
}

static fraction parse_factor(parser *s) {
    if (s->depth == MAX_DEPTH) return fail(s);
    s->depth++;
    fraction a = accept(s, "-") ? negated_factor(s) : parse_primary(s);
    s->depth--;
    return !s->failed && (accept(s, "**") || accept(s, "^")) ? power(s, a) : a;
}

static fraction divide(parser *s, fraction a, fraction b) {
    fraction q = mul(s, a, reciprocal(b));
    return s->exact ? q : round_down(s, q);
}

static fraction parse_product(parser *s) {
    fraction a = parse_factor(s);
    while (!s->failed) {
        if (accept(s, "*"))
            a = mul(s, a, parse_factor(s));
        else if (accept(s, "//"))
            a = round_down(s, mul(s, a, reciprocal(parse_factor(s))));
        else if (accept(s, "/"))
            a = divide(s, a, parse_factor(s));
        else if (accept(s, "%"))
            a = mod(s, a, parse_factor(s));
        else
            break;
    }
    return a;
}

static fraction parse_expr(parser *s) {
    fraction a = parse_product(s);
    while (!s->failed) {
        if (accept(s, "+"))
            a = add(s, a, parse_product(s), false);
        else if (accept(s, "-"))
            a = add(s, a, parse_product(s), true);
        else
            break;
    }
    return a;
}

const ir_dim *ir_dim_parse(ir_ctx *c, const char *text, size_t len) {
    parser s = {.c = c, .p = text, .end = text + len};
    fraction a = parse_expr(&s);
    skip_space(&s);
    if (s.failed || s.p != s.end) return NULL;
    return round_down(&s, a).num;
}
