/* Lexer of the text forms (graph IR: docs/IR.md; loop IR uses the same words).
 *
 *   f32[2] %"a b" = Add<k=-1.5>(%x, @0)   // comment
 *
 * gives IDENT f32, '[', NUMBER 2, ']', VALUE "a b", '=', IDENT Add, '<', IDENT k, '=', NUMBER -1.5, '>', '(', ...
 *
 * One token of lookahead: `tok`; `at` stands right behind it. Text is hostile: it needs no NUL at its end, may hold any
 * byte, and the first mistake ends the token stream with LEX_ERROR, after one diagnostic. */
#ifndef TLBC_IR_LEX_H
#define TLBC_IR_LEX_H

#include "ir/ctx.h"

typedef enum lex_kind {
    LEX_END,
    LEX_ERROR,  /* reported already */
    LEX_IDENT,  /* graph, Conv, then_branch */
    LEX_VALUE,  /* %x  %0  %"any name" */
    LEX_CONST,  /* @W  @0  @"any name" */
    LEX_HASH,   /* #5d41402abc4b2a76 */
    LEX_NUMBER, /* 3  -0.5  1e+20  0x1.8p3; not checked further: lex_int, lex_double */
    LEX_STRING, /* "text\n" */
    LEX_ARROW,  /* => */
    LEX_PUNCT   /* any other printing character */
} lex_kind;

typedef struct lex_token {
    lex_kind kind;
    char punct;  /* LEX_PUNCT */
    bool quoted; /* VALUE, CONST: the name was in quotes, so %"0" is not %0 */
    tl_sv text;  /* without sigil and quotes, escapes decoded; NUL-terminated only where quoted */
    const char *start;
    uint32_t line, column;
} lex_token;

typedef struct lexer {
    ir_ctx *c;
    tl_arena *arena; /* decoded strings */
    const char *file;
    const char *at, *end, *line_start;
    uint32_t line;
    lex_token tok;
    bool failed;
    uint32_t cached_line; /* its copy is shared by all locations on it */
    const char *cached_text;
} lexer;

void lex_init(lexer *l, ir_ctx *c, tl_arena *a, const char *file, const char *text, size_t len);
void lex_next(lexer *l);
bool lex_is(const lexer *l, char punct);
bool lex_is_word(const lexer *l, const char *word);
/* Steps over it where it is there. */
bool lex_accept(lexer *l, char punct);
bool lex_accept_word(lexer *l, const char *word);
/* The same, or an error "expected ...". */
bool lex_expect(lexer *l, char punct);
/* Where the current token is: file, line, column, source line. Lives as long as the context. */
const ir_loc *lex_loc(lexer *l);
/* Reports at the current token, once: false. */
bool lex_error(lexer *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "'%x'", "end of text": the current token for messages. */
const char *lex_describe(lexer *l);
/* The raw text from behind the current token to one of the `stop` characters outside brackets and quotes, on this line;
 * that character becomes the current token. For expressions with a parser of their own (dimensions). */
bool lex_raw(lexer *l, const char *stop, tl_sv *out);

/* Numbers. False without a report where the text is not one or does not fit. */
bool lex_parse_int(tl_sv text, int64_t *out);
bool lex_parse_uint(tl_sv text, uint64_t *out);
bool lex_parse_double(tl_sv text, double *out);
bool lex_parse_float(tl_sv text, float *out);
bool lex_parse_hex(tl_sv text, uint64_t *out); /* 1 to 16 hexadecimal digits, no 0x */

/* The other direction. */
bool lex_is_plain(const char *name); /* letter or _, then letters, digits, _ and . */
void lex_print_name(tl_str *out, const char *sigil, const char *name); /* %x, %"a b" */
void lex_print_string(tl_str *out, tl_sv s);

#endif
