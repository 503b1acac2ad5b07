/* RegexFullMatch: RE2's language, run by its sets of states: linear in the text, whatever the pattern.
 *
 *   (\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|$)
 *
 * A pattern is compiled to a program of few instructions (a character class; a split; an empty-width test); all states that the
 * text so far can lead to advance together. Captures, greed and laziness make no difference to a full match and are read over.
 * Characters are code points. \w, \d, \s, \b are ASCII, as in RE2; classes of scripts (\pL) are not known. */
#include "runtime/calls/call.h"
#include "runtime/calls/utf8.h"

#include <string.h>

typedef enum rt_op { RT_CLASS, RT_SPLIT, RT_JUMP, RT_EMPTY, RT_MATCH } rt_op;
typedef enum rt_width {
    RT_BEGIN,
    RT_END,
    RT_LINE_BEGIN,
    RT_LINE_END,
    RT_WORD,
    RT_NOT_WORD
} rt_width;

typedef struct rt_instr {
    rt_op op;
    uint32_t a, b; /* split, jump: where to; class: ranges [a, b); empty: rt_width */
    bool negate, fold;
} rt_instr;

typedef struct rt_range {
    uint32_t first, last;
} rt_range;

enum {
    RT_MAX_INSTRUCTIONS = 100000,
    RT_MAX_RANGES = 100000,
    RT_MAX_REPEAT = 1000, /* RE2's */
    RT_MAX_NESTING = 200,
    RT_LAST = 0x10ffff
};

typedef struct rt_regex {
    tlbc_rt_call *c;
    tlbc_string pattern;
    size_t at;
    unsigned depth;
    bool fold, dot_all, lines;
    rt_instr *code;
    uint32_t n_code, code_cap;
    rt_range *ranges;
    uint32_t n_ranges, ranges_cap;
} rt_regex;

/* ---- the program ----------------------------------------------------------------------------------------------------- */

static bool rt_wrong(rt_regex *r, const char *why) {
    return tlbc_rt_call_fail(r->c, "pattern '%.*s': %s",
                             (int)(r->pattern.len < 100 ? r->pattern.len : 100), r->pattern.data,
                             why);
}

/* Makes room for one more of `size` bytes: the array doubles in fresh memory. */
static bool rt_grow(rt_regex *r, void **array, uint32_t n, uint32_t *cap, uint32_t limit,
                    size_t size) {
    if (n < *cap) return true;
    if (n >= limit) return rt_wrong(r, "is too large");
    uint32_t more = *cap ? 2 * *cap : 64;
    void *fresh = tlbc_rt_alloc(r->c, more, size);
    if (!fresh) return false;
    if (n) memcpy(fresh, *array, n * size);
    *array = fresh;
    *cap = more;
    return true;
}

static bool rt_push(rt_regex *r, rt_instr i) {
    void *array = r->code;
    if (!rt_grow(r, &array, r->n_code, &r->code_cap, RT_MAX_INSTRUCTIONS, sizeof i)) return false;
    r->code = array;
    r->code[r->n_code++] = i;
    return true;
}

static bool rt_emit(rt_regex *r, rt_instr i) {
    i.fold = r->fold;
    return rt_push(r, i);
}

/* Room for an instruction at `at`: what follows moves one place down. */
static bool rt_insert(rt_regex *r, uint32_t at, rt_instr i) {
    if (!rt_emit(r, i)) return false;
    memmove(r->code + at + 1, r->code + at, (r->n_code - 1 - at) * sizeof i);
    for (uint32_t k = at + 1; k < r->n_code; k++) {
        rt_instr *x = &r->code[k];
        bool jumps = x->op == RT_SPLIT || x->op == RT_JUMP;
        if (jumps && x->a >= at) x->a++;
        if (x->op == RT_SPLIT && x->b >= at) x->b++;
    }
    r->code[at] = i;
    return true;
}

static bool rt_add_range(rt_regex *r, uint32_t first, uint32_t last) {
    void *array = r->ranges;
    if (!rt_grow(r, &array, r->n_ranges, &r->ranges_cap, RT_MAX_RANGES, sizeof *r->ranges))
        return false;
    r->ranges = array;
    r->ranges[r->n_ranges++] = (rt_range){first, last};
    return true;
}

/* ---- characters ---------------------------------------------------------------------------------------------------------- */

static bool rt_more(const rt_regex *r) {
    return r->at < r->pattern.len;
}
static char rt_peek(const rt_regex *r) {
    return rt_more(r) ? r->pattern.data[r->at] : '\0';
}
static bool rt_accept(rt_regex *r, char c) {
    if (!rt_more(r) || r->pattern.data[r->at] != c) return false;
    r->at++;
    return true;
}
static bool rt_accept_text(rt_regex *r, const char *text) {
    size_t n = strlen(text);
    if (r->pattern.len - r->at < n || memcmp(r->pattern.data + r->at, text, n)) return false;
    r->at += n;
    return true;
}

/* Named sets: pairs of characters. */
static const struct {
    const char *name, *pairs;
} rt_sets[] = {
    {"d", "09"},           {"w", "09AZ__az"},   {"s", "\t\n\f\r  "}, {"alnum", "09AZaz"},
    {"alpha", "AZaz"},     {"ascii", "\1\x7f"}, {"blank", "\t\t  "}, {"cntrl", "\1\x1f\x7f\x7f"},
    {"digit", "09"},       {"graph", "!~"},     {"lower", "az"},     {"print", " ~"},
    {"punct", "!/:@[`{~"}, {"space", "\t\r  "}, {"upper", "AZ"},     {"word", "09AZ__az"},
    {"xdigit", "09AFaf"}};

static const char *rt_find_set(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof rt_sets / sizeof *rt_sets; i++)
        if (strlen(rt_sets[i].name) == len && !memcmp(rt_sets[i].name, name, len))
            return rt_sets[i].pairs;
    return NULL;
}

/* The pairs, or what is between them. */
static bool rt_add_set(rt_regex *r, const char *pairs, bool negate) {
    uint32_t next = 0;
    for (; *pairs; pairs += 2) {
        uint32_t first = (uint8_t)pairs[0], last = (uint8_t)pairs[1];
        if (first == 1) first = 0; /* the table cannot hold NUL */
        bool ok = !negate        ? rt_add_range(r, first, last)
                  : first > next ? rt_add_range(r, next, first - 1)
                                 : true;
        if (!ok) return false;
        next = last + 1;
    }
    return !negate || rt_add_range(r, next, RT_LAST);
}

static int rt_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

static uint32_t rt_number(rt_regex *r, int base, int most) {
    uint32_t v = 0;
    for (int i = 0; i < most && rt_more(r) && rt_digit(rt_peek(r)) < base; i++)
        v = v * (uint32_t)base + (uint32_t)rt_digit(r->pattern.data[r->at++]);
    return v;
}

static bool rt_hex(rt_regex *r, uint32_t *c) {
    bool open = rt_accept(r, '{');
    size_t from = r->at;
    *c = rt_number(r, 16, open ? 6 : 2);
    if (r->at == from || (open ? !rt_accept(r, '}') : r->at != from + 2) || *c > RT_LAST)
        return rt_wrong(r, "\\x wants hexadecimal digits");
    return true;
}

/* What follows a backslash and stands for one character. */
static bool rt_escaped(rt_regex *r, uint32_t *c) {
    static const char names[] = "aftnrv", values[] = "\a\f\t\n\r\v";
    if (!rt_more(r)) return rt_wrong(r, "ends with a backslash");
    *c = tlbc_rt_utf8_next(r->pattern, &r->at);
    if (*c == 'x') return rt_hex(r, c);
    if (*c >= '0' && *c <= '7') {
        r->at--;
        if (*c != '0') return rt_wrong(r, "back references are not regular");
        *c = rt_number(r, 8, 3);
        return true;
    }
    const char *name = *c < 0x80 ? memchr(names, (int)*c, sizeof names - 1) : NULL;
    bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
    if (name)
        *c = (uint8_t)values[name - names];
    else if (letter)
        return rt_wrong(r, "an escape that is not known");
    return true;
}

/* \d \D \w \W \s \S at the current place; *found tells. */
static bool rt_named_class(rt_regex *r, bool *found) {
    *found = false;
    if (rt_peek(r) != '\\' || r->at + 1 >= r->pattern.len) return true;
    char c = r->pattern.data[r->at + 1], lower = (char)(c | 0x20);
    if (lower != 'd' && lower != 'w' && lower != 's') return true;
    *found = true;
    r->at += 2;
    return rt_add_set(r, rt_find_set(&lower, 1), c != lower);
}

/* [:alpha:] inside of a bracket */
static bool rt_posix_class(rt_regex *r, bool *found) {
    *found = false;
    size_t at = r->at;
    if (!rt_accept_text(r, "[:")) return true;
    bool negate = rt_accept(r, '^');
    size_t from = r->at;
    while (rt_more(r) && rt_peek(r) != ':')
        r->at++;
    const char *pairs = rt_find_set(r->pattern.data + from, r->at - from);
    if (!rt_accept_text(r, ":]")) {
        r->at = at;
        return true;
    }
    *found = true;
    return pairs ? rt_add_set(r, pairs, negate) : rt_wrong(r, "a class that is not known");
}

static bool rt_one(rt_regex *r, uint32_t *c) {
    if (rt_accept(r, '\\')) return rt_escaped(r, c);
    *c = tlbc_rt_utf8_next(r->pattern, &r->at);
    return true;
}

static bool rt_bracket_item(rt_regex *r) {
    bool found;
    uint32_t first, last;
    if (!rt_posix_class(r, &found)) return false;
    if (!found && !rt_named_class(r, &found)) return false;
    if (found) return true;
    if (!rt_one(r, &first)) return false;
    last = first;
    bool range = rt_peek(r) == '-' && r->at + 1 < r->pattern.len &&
                 r->pattern.data[r->at + 1] != ']';
    if (range) {
        r->at++;
        if (!rt_one(r, &last)) return false;
    }
    return first <= last ? rt_add_range(r, first, last)
                         : rt_wrong(r, "a range that runs backwards");
}

static bool rt_bracket(rt_regex *r) {
    rt_instr i = {.op = RT_CLASS, .a = r->n_ranges, .negate = rt_accept(r, '^')};
    bool first = true;
    for (; first || rt_peek(r) != ']'; first = false) {
        if (!rt_more(r)) return rt_wrong(r, "a bracket is not closed");
        if (!rt_bracket_item(r)) return false;
    }
    r->at++;
    i.b = r->n_ranges;
    return rt_emit(r, i);
}

static bool rt_literal(rt_regex *r, uint32_t c) {
    rt_instr i = {.op = RT_CLASS, .a = r->n_ranges};
    if (!rt_add_range(r, c, c)) return false;
    i.b = r->n_ranges;
    return rt_emit(r, i);
}

/* ---- the grammar ------------------------------------------------------------------------------------------------------------- */

static bool rt_alternatives(rt_regex *r);

/* (?i) (?s-i) (?i: ; *group tells whether a group was opened. */
static bool rt_flags(rt_regex *r, bool *group) {
    bool on = true;
    *group = false;
    while (rt_more(r)) {
        switch (r->pattern.data[r->at++]) {
        case 'i':
            r->fold = on;
            break;
        case 's':
            r->dot_all = on;
            break;
        case 'm':
            r->lines = on;
            break;
        case 'U':
            break; /* greed does not matter */
        case '-':
            on = false;
            break;
        case ':':
            *group = true;
            return true;
        case ')':
            return true;
        default:
            return rt_wrong(r, "a flag that is not known");
        }
    }
    return rt_wrong(r, "a group is not closed");
}

static bool rt_group(rt_regex *r) {
    bool fold = r->fold, dot_all = r->dot_all, lines = r->lines, opened = true;
    if (rt_accept_text(r, "?P<") || rt_accept_text(r, "?<")) {
        while (rt_more(r) && rt_peek(r) != '>')
            r->at++;
        if (!rt_accept(r, '>')) return rt_wrong(r, "a name is not closed");
    } else if (rt_accept(r, '?') && !rt_flags(r, &opened)) {
        return false;
    }
    if (!opened) return true; /* flags for what follows */
    if (++r->depth > RT_MAX_NESTING) return rt_wrong(r, "is nested too deeply");
    if (!rt_alternatives(r)) return false;
    r->depth--;
    r->fold = fold, r->dot_all = dot_all, r->lines = lines;
    return rt_accept(r, ')') || rt_wrong(r, "a group is not closed");
}

static bool rt_empty(rt_regex *r, rt_width w) {
    return rt_emit(r, (rt_instr){.op = RT_EMPTY, .a = (uint32_t)w});
}

/* \Q...\E: all as it stands. */
static bool rt_quoted(rt_regex *r) {
    while (rt_more(r) && !rt_accept_text(r, "\\E"))
        if (!rt_literal(r, tlbc_rt_utf8_next(r->pattern, &r->at))) return false;
    return true;
}

static bool rt_backslash(rt_regex *r) {
    bool found;
    uint32_t c;
    rt_instr i = {.op = RT_CLASS, .a = r->n_ranges};
    if (rt_accept_text(r, "\\A")) return rt_empty(r, RT_BEGIN);
    if (rt_accept_text(r, "\\z")) return rt_empty(r, RT_END);
    if (rt_accept_text(r, "\\b")) return rt_empty(r, RT_WORD);
    if (rt_accept_text(r, "\\B")) return rt_empty(r, RT_NOT_WORD);
    if (rt_accept_text(r, "\\Q")) return rt_quoted(r);
    if (!rt_named_class(r, &found)) return false;
    i.b = r->n_ranges;
    if (found) return rt_emit(r, i);
    r->at++;
    return rt_escaped(r, &c) && rt_literal(r, c);
}

static bool rt_any(rt_regex *r) {
    rt_instr i = {.op = RT_CLASS, .a = r->n_ranges, .negate = true};
    if (!r->dot_all && !rt_add_range(r, '\n', '\n')) return false;
    i.b = r->n_ranges;
    return rt_emit(r, i);
}

static bool rt_atom(rt_regex *r) {
    switch (rt_peek(r)) {
    case '(':
        r->at++;
        return rt_group(r);
    case '[':
        r->at++;
        return rt_bracket(r);
    case '.':
        r->at++;
        return rt_any(r);
    case '^':
        r->at++;
        return rt_empty(r, r->lines ? RT_LINE_BEGIN : RT_BEGIN);
    case '$':
        r->at++;
        return rt_empty(r, r->lines ? RT_LINE_END : RT_END);
    case '\\':
        return rt_backslash(r);
    case '*':
    case '+':
    case '?':
        return rt_wrong(r, "nothing is there to repeat");
    default:
        return rt_literal(r, tlbc_rt_utf8_next(r->pattern, &r->at));
    }
}

/* Appends a copy of the code [from, to). */
static bool rt_append_copy(rt_regex *r, uint32_t from, uint32_t to) {
    uint32_t shift = r->n_code - from;
    for (uint32_t k = from; k < to; k++) {
        rt_instr i = r->code[k];
        if (i.op == RT_SPLIT || i.op == RT_JUMP) i.a += shift;
        if (i.op == RT_SPLIT) i.b += shift;
        if (!rt_push(r, i)) return false;
    }
    return true;
}

/* L: split next, end; code; jump L */
static bool rt_star(rt_regex *r, uint32_t from) {
    if (!rt_insert(r, from, (rt_instr){.op = RT_SPLIT, .a = from + 1})) return false;
    if (!rt_emit(r, (rt_instr){.op = RT_JUMP, .a = from})) return false;
    r->code[from].a = from + 1;
    r->code[from].b = r->n_code;
    return true;
}

static bool rt_maybe(rt_regex *r, uint32_t from) {
    if (!rt_insert(r, from, (rt_instr){.op = RT_SPLIT})) return false;
    r->code[from].a = from + 1;
    r->code[from].b = r->n_code;
    return true;
}

/* min copies, then max - min optional ones, or any number of them (max UINT32_MAX). */
static bool rt_repeat(rt_regex *r, uint32_t from, uint32_t min, uint32_t max) {
    uint32_t size = r->n_code - from;
    bool endless = max == UINT32_MAX;
    if (max == 0) {
        r->n_code = from;
        return true;
    }
    uint32_t copies = endless ? min + 1 : max;
    for (uint32_t i = 1; i < copies; i++) /* all made before the first is changed */
        if (!rt_append_copy(r, from, from + size)) return false;
    for (uint32_t i = copies; i-- > min;) {
        uint32_t at = from + i * size;
        if (endless ? !rt_star(r, at) : !rt_maybe(r, at)) return false;
    }
    return true;
}

/* {n} {n,} {n,m}; anything else in braces is text. */
static bool rt_counts(rt_regex *r, uint32_t *min, uint32_t *max) {
    size_t at = r->at, from;
    if (!rt_accept(r, '{')) return false;
    from = r->at;
    *min = *max = rt_number(r, 10, 6);
    bool ok = r->at > from;
    if (ok && rt_accept(r, ',')) {
        from = r->at;
        *max = rt_number(r, 10, 6);
        if (r->at == from) *max = UINT32_MAX;
    }
    ok = ok && rt_accept(r, '}');
    if (!ok) r->at = at;
    return ok;
}

static bool rt_repetitions(rt_regex *r, uint32_t from) {
    uint32_t min, max;
    for (;;) {
        if (rt_accept(r, '*'))
            min = 0, max = UINT32_MAX;
        else if (rt_accept(r, '+'))
            min = 1, max = UINT32_MAX;
        else if (rt_accept(r, '?'))
            min = 0, max = 1;
        else if (!rt_counts(r, &min, &max))
            return true;
        bool too_many = min > RT_MAX_REPEAT ||
                        (max != UINT32_MAX && (max > RT_MAX_REPEAT || max < min));
        if (too_many) return rt_wrong(r, "a repetition that is out of range");
        rt_accept(r, '?'); /* lazy */
        if (!rt_repeat(r, from, min, max)) return false;
    }
}

static bool rt_sequence(rt_regex *r) {
    while (rt_more(r) && rt_peek(r) != '|' && rt_peek(r) != ')') {
        uint32_t from = r->n_code;
        if (!rt_atom(r) || !rt_repetitions(r, from)) return false;
    }
    return true;
}

/* split A, B; A: ...; jump end; B: ... Until the end is known a jump names the jump before it. */
static bool rt_alternatives(rt_regex *r) {
    uint32_t jumps = UINT32_MAX, from = r->n_code;
    if (!rt_sequence(r)) return false;
    while (rt_accept(r, '|')) {
        if (!rt_insert(r, from, (rt_instr){.op = RT_SPLIT, .a = from + 1})) return false;
        uint32_t jump = r->n_code;
        if (!rt_emit(r, (rt_instr){.op = RT_JUMP, .a = jumps})) return false;
        r->code[from] = (rt_instr){.op = RT_SPLIT, .a = from + 1, .b = jump + 1};
        jumps = jump, from = jump + 1;
        if (!rt_sequence(r)) return false;
    }
    while (jumps != UINT32_MAX) {
        uint32_t before = r->code[jumps].a;
        r->code[jumps].a = r->n_code;
        jumps = before;
    }
    return true;
}

/* ---- matching ------------------------------------------------------------------------------------------------------------------ */

typedef struct rt_states {
    uint32_t *list, *mark, n;
    uint32_t generation;
} rt_states;

typedef struct rt_place {
    tlbc_string text;
    size_t at;
    uint32_t before, after; /* characters around; UINT32_MAX at an end */
} rt_place;

static bool rt_is_word(uint32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool rt_holds(rt_width w, const rt_place *p) {
    switch (w) {
    case RT_BEGIN:
        return p->before == UINT32_MAX;
    case RT_END:
        return p->after == UINT32_MAX;
    case RT_LINE_BEGIN:
        return p->before == UINT32_MAX || p->before == '\n';
    case RT_LINE_END:
        return p->after == UINT32_MAX || p->after == '\n';
    case RT_WORD:
        return rt_is_word(p->before) != rt_is_word(p->after);
    case RT_NOT_WORD:
        return rt_is_word(p->before) == rt_is_word(p->after);
    }
    return false;
}

/* Everything that is reached from s->list without a character; the list grows while it is walked. */
static void rt_close(const rt_regex *r, rt_states *s, const rt_place *p) {
    for (uint32_t i = 0; i < s->n; i++) {
        const rt_instr *x = &r->code[s->list[i]];
        uint32_t next[2], n = 0;
        if (x->op == RT_SPLIT) next[n++] = x->a, next[n++] = x->b;
        if (x->op == RT_JUMP) next[n++] = x->a;
        if (x->op == RT_EMPTY && rt_holds((rt_width)x->a, p)) next[n++] = s->list[i] + 1;
        for (uint32_t k = 0; k < n; k++) {
            if (s->mark[next[k]] == s->generation) continue;
            s->mark[next[k]] = s->generation;
            s->list[s->n++] = next[k];
        }
    }
}

static bool rt_in_ranges(const rt_regex *r, const rt_instr *x, uint32_t c) {
    for (uint32_t i = x->a; i < x->b; i++)
        if (c >= r->ranges[i].first && c <= r->ranges[i].last) return true;
    return false;
}

static bool rt_takes(const rt_regex *r, const rt_instr *x, uint32_t c) {
    bool in = rt_in_ranges(r, x, c);
    if (!in && x->fold)
        in = rt_in_ranges(r, x, tlbc_rt_lower(c)) || rt_in_ranges(r, x, tlbc_rt_upper(c));
    return in != x->negate;
}

static void rt_add_state(rt_states *s, uint32_t at) {
    if (s->mark[at] == s->generation) return;
    s->mark[at] = s->generation;
    s->list[s->n++] = at;
}

static uint32_t rt_char_at(tlbc_string s, size_t at) {
    return at < s.len ? tlbc_rt_utf8_next(s, &at) : UINT32_MAX;
}

static bool rt_full_match(const rt_regex *r, tlbc_string text, rt_states *now, rt_states *then) {
    rt_place p = {.text = text, .before = UINT32_MAX};
    now->n = 0, now->generation++;
    rt_add_state(now, 0);
    for (;;) {
        p.after = rt_char_at(text, p.at);
        rt_close(r, now, &p);
        if (p.at >= text.len) break;
        uint32_t c = tlbc_rt_utf8_next(text, &p.at);
        then->n = 0, then->generation++;
        for (uint32_t i = 0; i < now->n; i++) {
            const rt_instr *x = &r->code[now->list[i]];
            if (x->op == RT_CLASS && rt_takes(r, x, c)) rt_add_state(then, now->list[i] + 1);
        }
        rt_states *swap = now;
        now = then, then = swap;
        p.before = c;
    }
    for (uint32_t i = 0; i < now->n; i++)
        if (r->code[now->list[i]].op == RT_MATCH) return true;
    return false;
}

static bool rt_new_states(const rt_regex *r, rt_states *s) {
    *s = (rt_states){.list = tlbc_rt_alloc(r->c, r->n_code, sizeof *s->list),
                     .mark = tlbc_rt_alloc(r->c, r->n_code, sizeof *s->mark)};
    return s->list && s->mark;
}

bool tlbc_rt_op_RegexFullMatch(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    rt_regex r = {.c = c, .pattern = tlbc_rt_string(c, "pattern")};
    rt_states a, b;
    if (!rt_alternatives(&r)) return false;
    if (rt_more(&r)) return rt_wrong(&r, "a parenthesis too many");
    if (!rt_emit(&r, (rt_instr){.op = RT_MATCH})) return false;
    if (!rt_new_states(&r, &a) || !rt_new_states(&r, &b)) return false;
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_BOOL, x->rank, x->dims);
    for (int64_t i = 0; y && i < tlbc_rt_elements(x); i++)
        ((uint8_t *)y->data)[i] = rt_full_match(&r, tlbc_rt_text(x)[i], &a, &b);
    return y != NULL;
}
