/* The text of a rewrite rule, read with the lexer of the text IR:
 *
 *   rule       =  term ("=>" | "<=>") term [ "if" condition { "," condition } ]
 *   term       =  "_" | NAME | NUMBER | "true" | "false" | [ NAME ":" ] NAME [ attributes ] "(" [ operands ] ")"
 *   operands   =  term { "," term } [ "," "..." ]
 *   attributes =  "<" ( "*" | NAME "=" ( NAME | INTEGER ) { "," ... } ) ">"
 *   condition  =  [ "not" ] NAME "(" NAME { "," NAME } ")"
 *
 * In front of "(" stands an operator (Add), the name of a class behind a colon (f:unary), such a name again (f), or a function of
 * rule_words.def (inverse). */
#include "ir/base/assert.h"
#include "ir/lex.h"
#include "passes/rule_internal.h"

enum { MAX_DEPTH = 8 };

static rule_term *read_term(lexer *l, int depth);

static const char *read_name(lexer *l) {
    if (l->tok.kind != LEX_IDENT)
        return lex_error(l, "expected a name, found %s", lex_describe(l)), NULL;
    const char *name = tl_arena_strndup(l->arena, l->tok.text.data, l->tok.text.len);
    lex_next(l);
    return name;
}

/* ---- terms ---------------------------------------------------------------------------------------------------- */

static bool read_attr(lexer *l, rule_term *t) {
    rule_term_attr *a = &t->attrs[t->n_attrs];
    if (t->n_attrs == RULE_MAX_TERM_ATTRS) return lex_error(l, "too many attributes");
    a->name = read_name(l);
    if (!a->name || !lex_expect(l, '=')) return false;
    t->n_attrs++;
    if (l->tok.kind != LEX_NUMBER) return (a->variable = read_name(l));
    if (!lex_parse_int(l->tok.text, &a->number)) return lex_error(l, "expected an integer");
    lex_next(l);
    return true;
}

static bool read_attrs(lexer *l, rule_term *t) {
    if (!lex_accept(l, '<')) return true;
    t->like = lex_accept(l, '*');
    if (t->like) return lex_expect(l, '>');
    do {
        if (!read_attr(l, t)) return false;
    } while (lex_accept(l, ','));
    return lex_expect(l, '>');
}

static bool read_rest(lexer *l, rule_term *t) {
    for (int i = 0; i < 3; i++)
        if (!lex_expect(l, '.')) return false;
    return t->rest = true;
}

static bool read_operands(lexer *l, rule_term *t, int depth) {
    if (!lex_expect(l, '(')) return false;
    if (lex_accept(l, ')')) return true;
    do {
        if (t->n_args == RULE_MAX_ARGS) return lex_error(l, "too many operands");
        if (lex_is(l, '.')) return read_rest(l, t) && lex_expect(l, ')');
        rule_term *arg = read_term(l, depth + 1);
        if (!arg) return false;
        t->args[t->n_args++] = arg;
    } while (lex_accept(l, ','));
    return lex_expect(l, ')');
}

/* What stands in front of the operands: an operator, a class of them, a name, or a function. */
static bool set_head(lexer *l, rule_term *t, const char *word) {
    t->op = op_find(word);
    if (t->op) return true;
    if (t->name) {
        t->op_class = word;
        return rule_class_find(word) ||
               lex_error(l, "'%s' is neither an operator nor a class of them", word);
    }
    t->name = word;
    if (rule_function_find(word)) t->kind = TERM_CALL;
    return true;
}

static rule_term *read_number(lexer *l, rule_term *t, double number) {
    t->kind = TERM_NUMBER;
    t->number = number;
    lex_next(l);
    return t;
}

static rule_term *read_node(lexer *l, rule_term *t, const char *word, int depth) {
    t->kind = TERM_NODE;
    return set_head(l, t, word) && read_attrs(l, t) && read_operands(l, t, depth) ? t : NULL;
}

static rule_term *read_term(lexer *l, int depth) {
    rule_term *t = TL_NEW(l->arena, rule_term);
    double number;
    if (depth > MAX_DEPTH) return lex_error(l, "the term is nested too deeply"), NULL;
    if (l->tok.kind == LEX_NUMBER && lex_parse_double(l->tok.text, &number))
        return read_number(l, t, number);
    if (lex_is_word(l, "true")) return read_number(l, t, 1);
    if (lex_is_word(l, "false")) return read_number(l, t, 0);
    const char *word = read_name(l);
    if (!word) return NULL;
    if (lex_accept(l, ':')) {
        t->name = word;
        word = read_name(l);
        return word ? read_node(l, t, word, depth) : NULL;
    }
    if (lex_is(l, '(') || lex_is(l, '<')) return read_node(l, t, word, depth);
    t->kind = strcmp(word, "_") == 0 ? TERM_ANY : TERM_NAME;
    t->name = word;
    return t;
}

/* ---- rules ---------------------------------------------------------------------------------------------------- */

static bool read_condition(lexer *l, rule_text *r) {
    rule_term_condition *k = &r->conditions[r->n_conditions];
    if (r->n_conditions == RULE_MAX_CONDITIONS) return lex_error(l, "too many conditions");
    k->negated = lex_accept_word(l, "not");
    k->word = read_name(l);
    if (!k->word || !lex_expect(l, '(')) return false;
    do {
        if (k->n_args == RULE_MAX_ARGS) return lex_error(l, "too many values");
        k->args[k->n_args] = read_name(l);
        if (!k->args[k->n_args++]) return false;
    } while (lex_accept(l, ','));
    r->n_conditions++;
    return lex_expect(l, ')');
}

static bool read_conditions(lexer *l, rule_text *r) {
    if (!lex_accept_word(l, "if")) return true;
    do {
        if (!read_condition(l, r)) return false;
    } while (lex_accept(l, ','));
    return true;
}

static bool read_arrow(lexer *l, rule_text *r) {
    r->both_ways = lex_accept(l, '<');
    if (l->tok.kind != LEX_ARROW)
        return lex_error(l, "expected => or <=>, found %s", lex_describe(l));
    lex_next(l);
    return true;
}

bool rule_parse(ir_ctx *c, tl_arena *a, const char *name, const char *text, rule_text *out) {
    lexer l;
    *out = (rule_text){0};
    lex_init(&l, c, a, name, text, strlen(text));
    out->left = read_term(&l, 0);
    if (!out->left || !read_arrow(&l, out)) return false;
    out->right = read_term(&l, 0);
    if (!out->right || !read_conditions(&l, out)) return false;
    return l.tok.kind == LEX_END || lex_error(&l, "expected the end, found %s", lex_describe(&l));
}
