/* Equations of Einsum: see the header. */
#include "ir/einsum.h"

#include <ctype.h>
#include <string.h>

typedef struct parser {
    ir_einsum *e;
    const char *at;                 /* in the equation, without spaces */
    int8_t letter[128];             /* its label, or -1 */
    uint32_t count[128];            /* how often a letter occurs in the terms */
    int32_t dots, max_dots;         /* axes "..." stands for: most of all operands */
    uint8_t dot_label[IR_MAX_RANK]; /* from the right */
} parser;

uint64_t ir_einsum_labels(const ir_einsum_term *t) {
    uint64_t set = 0;
    for (int32_t i = 0; i < t->rank; i++)
        set |= (uint64_t)1 << t->label[i];
    return set;
}

int32_t ir_einsum_axis(const ir_einsum_term *t, uint32_t label) {
    for (int32_t i = 0; i < t->rank; i++)
        if (t->label[i] == label) return i;
    return -1;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_dots(const char *s) {
    return strncmp(s, "...", 3) == 0;
}

static bool add_label(ir_einsum_term *t, uint32_t label) {
    if (t->rank == IR_MAX_RANK) return false;
    t->label[t->rank++] = (uint8_t)label;
    return true;
}

/* Letters of the term up to ',' or "->" or the end, and whether "..." is among them; false for anything else. */
static bool measure(const char *s, int32_t *letters, bool *dots) {
    *letters = 0, *dots = false;
    while (*s && *s != ',' && strncmp(s, "->", 2)) {
        if (is_letter(*s)) {
            ++*letters, s++;
        } else if (is_dots(s) && !*dots) {
            *dots = true, s += 3;
        } else {
            return false;
        }
    }
    return true;
}

static const char *add_letter(parser *p, ir_einsum_term *t, bool is_new) {
    int c = *p->at++;
    if (p->letter[c] < 0) {
        if (!is_new) return "a label of the result is in no operand";
        if (p->e->n_labels == IR_EINSUM_MAX_LABELS) return "there are more than 64 labels";
        p->letter[c] = (int8_t)p->e->n_labels++;
    }
    p->count[c]++;
    return add_label(t, (uint32_t)p->letter[c]) ? NULL : "a term has too many labels";
}

/* The `count` axes of "...": the last ones of all. */
static const char *add_dots(parser *p, ir_einsum_term *t, int32_t count) {
    while (p->max_dots < count) {
        if (p->e->n_labels == IR_EINSUM_MAX_LABELS) return "there are more than 64 labels";
        p->dot_label[p->max_dots++] = (uint8_t)p->e->n_labels++;
    }
    for (int32_t i = count; i-- > 0;)
        if (!add_label(t, p->dot_label[i])) return "a term has too many labels";
    return NULL;
}

static const char *parse_term(parser *p, ir_einsum_term *t, int32_t dots, bool is_new) {
    const char *problem = NULL;
    while (!problem && (is_letter(*p->at) || is_dots(p->at))) {
        if (is_letter(*p->at)) {
            problem = add_letter(p, t, is_new);
        } else {
            problem = add_dots(p, t, dots);
            p->at += 3;
        }
    }
    return problem;
}

static const char *parse_terms(parser *p, const int32_t *ranks, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        int32_t letters;
        bool dots;
        if (i && *p->at++ != ',') return "it has fewer terms than there are operands";
        if (!measure(p->at, &letters, &dots)) return "a term is not made of letters and one '...'";
        if (dots ? ranks[i] < letters : ranks[i] != letters)
            return "a term does not fit the rank of its operand";
        const char *problem = parse_term(p, &p->e->terms[i], ranks[i] - letters, true);
        if (problem) return problem;
    }
    return *p->at == ',' ? "it has more terms than there are operands" : NULL;
}

static const char *parse_result(parser *p) {
    int32_t letters;
    bool dots;
    ir_einsum_term *out = &p->e->out;
    p->at += 2;
    if (!measure(p->at, &letters, &dots)) return "its result is not made of letters and one '...'";
    const char *problem = parse_term(p, out, p->max_dots, false);
    if (problem) return problem;
    if (*p->at) return "something follows its result";
    for (int32_t i = 0; i < out->rank; i++)
        if (ir_einsum_axis(out, out->label[i]) != i) return "its result has a label twice";
    return NULL;
}

static const char *imply_result(parser *p) {
    const char *problem = add_dots(p, &p->e->out, p->max_dots);
    for (int c = 0; c < 128 && !problem; c++)
        if (p->count[c] == 1 && !add_label(&p->e->out, (uint32_t)p->letter[c]))
            problem = "its result has too many labels";
    return problem;
}

static const char *without_spaces(tl_arena *a, const char *s) {
    char *copy = TL_NEW_ARRAY(a, char, strlen(s) + 1), *to = copy;
    for (; *s; s++)
        if (!isspace((unsigned char)*s)) *to++ = *s;
    *to = 0;
    return copy;
}

const char *ir_einsum_parse(ir_einsum *e, tl_arena *a, const char *equation, const int32_t *ranks,
                            uint32_t n_operands) {
    parser p = {.e = e, .at = without_spaces(a, equation)};
    memset(p.letter, -1, sizeof p.letter);
    *e = (ir_einsum){.n_terms = n_operands};
    e->terms = TL_NEW_ARRAY(a, ir_einsum_term, n_operands + 1);
    const char *problem = parse_terms(&p, ranks, n_operands);
    if (problem) return problem;
    return *p.at ? parse_result(&p) : imply_result(&p);
}
