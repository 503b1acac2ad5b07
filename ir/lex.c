/* Lexer of the text forms; see lex.h. */
#include "ir/lex.h"

#include "ir/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NUMBER = 400 }; /* characters of one number */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_name_char(char c) {
    return is_letter(c) || is_digit(c) || c == '.';
}

/* ---- errors and places -------------------------------------------------------------------------------------- */

/* The line that holds the current token, copied once per line. */
static const char *source_line(lexer *l) {
    if (l->cached_text && l->cached_line == l->line) return l->cached_text;
    const char *e = l->line_start;
    while (e < l->end && *e != '\n')
        e++;
    l->cached_line = l->line;
    return l->cached_text = tl_arena_strndup(&l->c->arena, l->line_start,
                                             (size_t)(e - l->line_start));
}

/* A token never crosses a line end, so the current line is the token's unless the text ended. */
const ir_loc *lex_loc(lexer *l) {
    ir_loc *loc = TL_NEW(&l->c->arena, ir_loc);
    *loc = (ir_loc){.file = l->file, .line = l->tok.line, .column = l->tok.column};
    loc->source_line = source_line(l);
    return loc;
}

bool lex_error(lexer *l, const char *format, ...) {
    if (l->failed) return false;
    va_list args;
    va_start(args, format);
    tl_str text;
    tl_str_init(&text, l->arena);
    tl_str_vprintf(&text, format, args);
    va_end(args);
    diag_error(&l->c->diag, lex_loc(l), "%s", text.data);
    l->failed = true;
    l->tok.kind = LEX_ERROR;
    return false;
}

const char *lex_describe(lexer *l) {
    if (l->tok.kind == LEX_END) return "end of text";
    size_t n = (size_t)(l->at - l->tok.start);
    return tl_arena_printf(l->arena, "'%.*s'", (int)(n > 60 ? 60 : n), l->tok.start);
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

static void skip_blanks(lexer *l) {
    for (; l->at < l->end; l->at++) {
        if (*l->at == '\n') {
            l->line++;
            l->line_start = l->at + 1;
        } else if (*l->at == '/' && l->end - l->at > 1 && l->at[1] == '/') {
            while (l->at + 1 < l->end && l->at[1] != '\n')
                l->at++;
        } else if (*l->at != ' ' && *l->at != '\t' && *l->at != '\r') {
            return;
        }
    }
}

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One escape behind its backslash; false where it is none. */
static bool read_escape(lexer *l, char *out) {
    if (l->at >= l->end) return false;
    char c = *l->at++;
    if (c == 'n') return *out = '\n', true;
    if (c == 't') return *out = '\t', true;
    if (c == 'r') return *out = '\r', true;
    if (c == '"' || c == '\\') return *out = c, true;
    if (c != 'x' || l->end - l->at < 2) return false;
    int high = hex_value(l->at[0]), low = hex_value(l->at[1]);
    if (high < 0 || low < 0) return false;
    l->at += 2;
    *out = (char)(high * 16 + low);
    return true;
}

/* From behind the opening quote to behind the closing one. */
static bool read_quoted(lexer *l) {
    tl_str s;
    tl_str_init(&s, l->arena);
    for (; l->at < l->end && *l->at != '\n';) {
        char c = *l->at++;
        if (c == '"') {
            l->tok.text = (tl_sv){s.data, s.len};
            l->tok.quoted = true;
            return true;
        }
        if (c == '\\' && !read_escape(l, &c)) return lex_error(l, "unknown escape in a string");
        tl_str_putc(&s, c);
    }
    return lex_error(l, "string is not closed on its line");
}

static void read_word(lexer *l) {
    const char *start = l->at;
    while (l->at < l->end && is_name_char(*l->at))
        l->at++;
    l->tok.text = (tl_sv){start, (size_t)(l->at - start)};
}

/* Names are C strings further on: no NUL in them, and not endless. */
static bool read_name(lexer *l, lex_kind kind) {
    l->at++;
    if (l->at < l->end && *l->at == '"') {
        l->at++;
        if (!read_quoted(l)) return false;
        if (l->tok.text.len && memchr(l->tok.text.data, 0, l->tok.text.len))
            return lex_error(l, "name holds a NUL");
    } else {
        read_word(l);
        if (!l->tok.text.len) return lex_error(l, "expected a name after '%c'", *l->tok.start);
    }
    if (l->tok.text.len > IR_MAX_NAME)
        return lex_error(l, "name has %zu bytes, the limit is %d", l->tok.text.len, IR_MAX_NAME);
    l->tok.kind = kind;
    return true;
}

/* Everything that could belong to a number; whether it is one is found out when its value is asked for. */
static bool read_number(lexer *l) {
    const char *start = l->at++;
    bool hex = false;
    for (; l->at < l->end; l->at++) {
        char c = *l->at, before = l->at[-1];
        if (c == 'x' || c == 'X') hex = true;
        bool exponent = before == 'p' || before == 'P' ||
                        (!hex && (before == 'e' || before == 'E'));
        if (!is_name_char(c) && !((c == '+' || c == '-') && exponent)) break;
    }
    l->tok.text = (tl_sv){start, (size_t)(l->at - start)};
    if (l->tok.text.len > MAX_NUMBER)
        return lex_error(l, "number is longer than %d characters", MAX_NUMBER);
    l->tok.kind = LEX_NUMBER;
    return true;
}

static bool starts_number(const lexer *l) {
    const char *p = l->at;
    if (*p == '-' || *p == '+') p++;
    if (p < l->end && *p == '.') p++;
    return p < l->end && is_digit(*p);
}

static bool read_hash(lexer *l) {
    l->at++;
    read_word(l);
    uint64_t unused;
    if (!lex_parse_hex(l->tok.text, &unused))
        return lex_error(l, "expected hexadecimal digits after '#'");
    l->tok.kind = LEX_HASH;
    return true;
}

static bool read_punct(lexer *l) {
    char c = *l->at;
    if (c < 0x20 || c == 0x7f || (unsigned char)c >= 0x80)
        return lex_error(l, "unexpected byte 0x%02x", (unsigned char)c);
    l->at++;
    l->tok.kind = LEX_PUNCT;
    l->tok.punct = c;
    if (c == '=' && l->at < l->end && *l->at == '>') {
        l->at++;
        l->tok.kind = LEX_ARROW;
    }
    return true;
}

/* The end of the text is right behind its last token, not lines of blanks later: that is where messages point. */
static void read_end(lexer *l, const lexer *before) {
    l->line = before->line;
    l->line_start = before->line_start;
    l->tok = (lex_token){.kind = LEX_END, .start = l->at, .line = l->line};
    l->tok.column = (uint32_t)(before->at - l->line_start) + 1;
}

void lex_next(lexer *l) {
    if (l->failed) return;
    const lexer before = *l;
    skip_blanks(l);
    if (l->at >= l->end) {
        read_end(l, &before);
        return;
    }
    l->tok = (lex_token){.start = l->at, .line = l->line};
    l->tok.column = (uint32_t)(l->at - l->line_start) + 1;
    char c = *l->at;
    if (c == '%') {
        read_name(l, LEX_VALUE);
    } else if (c == '@') {
        read_name(l, LEX_CONST);
    } else if (c == '#') {
        read_hash(l);
    } else if (c == '"') {
        l->at++;
        l->tok.kind = LEX_STRING;
        read_quoted(l);
    } else if (is_letter(c)) {
        l->tok.kind = LEX_IDENT;
        read_word(l);
    } else if (starts_number(l)) {
        read_number(l);
    } else {
        read_punct(l);
    }
}

void lex_init(lexer *l, ir_ctx *c, tl_arena *a, const char *file, const char *text, size_t len) {
    *l = (lexer){.c = c, .arena = a, .file = file ? ir_name(c, file) : NULL};
    l->at = l->line_start = text;
    l->end = text + len;
    l->line = 1;
    lex_next(l);
}

bool lex_is(const lexer *l, char punct) {
    return l->tok.kind == LEX_PUNCT && l->tok.punct == punct;
}

bool lex_is_word(const lexer *l, const char *word) {
    return l->tok.kind == LEX_IDENT && tl_sv_is(l->tok.text, word);
}

bool lex_accept(lexer *l, char punct) {
    if (!lex_is(l, punct)) return false;
    lex_next(l);
    return true;
}

bool lex_accept_word(lexer *l, const char *word) {
    if (!lex_is_word(l, word)) return false;
    lex_next(l);
    return true;
}

bool lex_expect(lexer *l, char punct) {
    if (lex_accept(l, punct)) return true;
    return lex_error(l, "expected '%c', found %s", punct, lex_describe(l));
}

bool lex_raw(lexer *l, const char *stop, tl_sv *out) {
    const char *start = l->at;
    int depth = 0;
    bool quoted = false;
    for (; l->at < l->end && *l->at != '\n' && *l->at; l->at++) {
        char c = *l->at;
        if (quoted && c == '\\' && l->end - l->at > 1 && l->at[1] != '\n')
            l->at++;
        else if (c == '"')
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (depth == 0 && strchr(stop, c))
            break;
        else if (c == '(')
            depth++;
        else if (c == ')')
            depth--;
    }
    *out = (tl_sv){start, (size_t)(l->at - start)};
    lex_next(l);
    return !l->failed;
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* The C library wants a NUL behind the number. */
static bool terminated(tl_sv text, char buffer[MAX_NUMBER + 1]) {
    if (text.len == 0 || text.len > MAX_NUMBER) return false;
    memcpy(buffer, text.data, text.len);
    buffer[text.len] = 0;
    return strlen(buffer) == text.len;
}

static int number_base(const char *s) {
    if (*s == '-' || *s == '+') s++;
    return s[0] == '0' && (s[1] == 'x' || s[1] == 'X') ? 16 : 10;
}

bool lex_parse_int(tl_sv text, int64_t *out) {
    char s[MAX_NUMBER + 1], *end;
    if (!terminated(text, s)) return false;
    errno = 0;
    *out = strtoll(s, &end, number_base(s));
    return !*end && end != s && errno == 0;
}

bool lex_parse_uint(tl_sv text, uint64_t *out) {
    char s[MAX_NUMBER + 1], *end;
    if (!terminated(text, s) || s[0] == '-') return false;
    errno = 0;
    *out = strtoull(s, &end, number_base(s));
    return !*end && end != s && errno == 0;
}

bool lex_parse_double(tl_sv text, double *out) {
    char s[MAX_NUMBER + 1], *end;
    if (!terminated(text, s)) return false;
    *out = strtod(s, &end); /* too large gives infinity, too small zero: the nearest values */
    return !*end && end != s;
}

bool lex_parse_float(tl_sv text, float *out) {
    char s[MAX_NUMBER + 1], *end;
    if (!terminated(text, s)) return false;
    *out = strtof(s, &end);
    return !*end && end != s;
}

bool lex_parse_hex(tl_sv text, uint64_t *out) {
    *out = 0;
    if (text.len == 0 || text.len > 16) return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_value(text.data[i]);
        if (digit < 0) return false;
        *out = *out << 4 | (uint64_t)digit;
    }
    return true;
}

/* ---- printing ----------------------------------------------------------------------------------------------- */

bool lex_is_plain(const char *name) {
    if (!is_letter(*name)) return false;
    for (; *name; name++)
        if (!is_name_char(*name)) return false;
    return true;
}

void lex_print_string(tl_str *out, tl_sv s) {
    tl_str_putc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c == '"' || c == '\\')
            tl_str_printf(out, "\\%c", c);
        else if (c == '\n')
            tl_str_puts(out, "\\n");
        else if (c == '\t')
            tl_str_puts(out, "\\t");
        else if (c == '\r')
            tl_str_puts(out, "\\r");
        else if (c < 0x20 || c == 0x7f)
            tl_str_printf(out, "\\x%02x", c);
        else
            tl_str_putc(out, (char)c);
    }
    tl_str_putc(out, '"');
}

void lex_print_name(tl_str *out, const char *sigil, const char *name) {
    tl_str_puts(out, sigil);
    if (lex_is_plain(name))
        tl_str_puts(out, name);
    else
        lex_print_string(out, tl_sv_from(name));
}
