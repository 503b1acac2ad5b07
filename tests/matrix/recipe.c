/* Reads the lines of tests/matrix/<family>.txt; see recipe.h. */
#include "tests/matrix/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool complain(const char *line, const char *what) {
    fprintf(stderr, "cannot read '%s': %s\n", line, what);
    return false;
}

/* The next word of *at, which moves behind it; NULL at the end. Blanks in quotes belong to the word. */
static char *next_word(char **at) {
    char *p = *at + strspn(*at, " \t");
    if (!*p) return NULL;
    char *start = p;
    for (bool quoted = false; *p && (quoted || !strchr(" \t", *p)); p++)
        if (*p == '"') quoted = !quoted;
    *at = *p ? p + 1 : p;
    *p = 0;
    return start;
}

/* The items of a list between brackets, each ended in place; the text behind the list, NULL without its end. */
static char *split_list(char *p, char close, char *items[], uint32_t *n, uint32_t max) {
    for (*n = 0; *p && *p != close && *n < max;) {
        items[(*n)++] = p;
        p += strcspn(p, close == ']' ? ",]" : close == '}' ? ",}" : ",)");
        if (*p != ',') break;
        *p++ = 0;
    }
    if (*p != close) return NULL;
    *p = 0;
    return p + 1;
}

static recipe_kind read_kind(char **word) {
    static const char *const names[] = {
        [KIND_SEQUENCE] = "seq", [KIND_OPTIONAL] = "opt", [KIND_OPTIONAL_SEQUENCE] = "optseq"};
    for (int k = KIND_COUNT - 1; k > KIND_TENSOR; k--) {
        size_t n = strlen(names[k]);
        if (strncmp(*word, names[k], n) != 0) continue;
        *word += n;
        return (recipe_kind)k;
    }
    return KIND_TENSOR;
}

static bool read_operand(tl_arena *a, char *word, recipe_operand *o) {
    char *items[RECIPE_LIST];
    uint32_t n;
    memset(o, 0, sizeof *o);
    if (strcmp(word, "_") == 0) return o->omitted = true;
    o->kind = read_kind(&word);
    size_t before = strcspn(word, "[{(");
    char open = word[before];
    if (!open) return false;
    if (before) o->type = tl_arena_printf(a, "%.*s", (int)before, word);
    char *rest = split_list(word + before + 1,
                            open == '['   ? ']'
                            : open == '{' ? '}'
                                          : ')',
                            items, &n, open == '[' ? RECIPE_RANK : RECIPE_LIST);
    if (!rest) return false;
    o->constant = open != '[';
    o->scalar = open == '(';
    o->rank = o->constant ? !o->scalar : (int32_t)n;
    o->n_values = n;
    for (uint32_t i = 0; i < n; i++)
        if (o->constant)
            o->values[i] = strtod(items[i], NULL);
        else
            o->dims[i] = tl_arena_strdup(a, items[i]);
    o->has_range = *rest == ':';
    return !*rest || sscanf(rest, ":%lf~%lf", &o->lo, &o->hi) == 2;
}

static bool read_pairs(tl_arena *a, char *text, recipe_pair *pairs, uint32_t *n, uint32_t max) {
    for (char *word; text && (word = next_word(&text));) {
        if (*n == max) return false;
        char *equals = strchr(word, '=');
        if (equals) *equals = 0;
        pairs[(*n)++] = (recipe_pair){tl_arena_strdup(a, word),
                                      tl_arena_strdup(a, equals ? equals + 1 : "")};
    }
    return true;
}

static void read_name(tl_arena *a, char *word, recipe *r) {
    char *colon = strchr(word, ':');
    if (colon) *colon = 0;
    r->domain = tl_arena_strdup(a, colon ? word : "");
    r->op = tl_arena_strdup(a, colon ? colon + 1 : word);
}

bool recipe_parse(tl_arena *a, const char *line, recipe *r) {
    char *text = tl_arena_strdup(a, line), *sections[3] = {text};
    *r = (recipe){.line = tl_arena_strdup(a, line)};
    for (int i = 1; i < 3 && sections[i - 1]; i++) {
        sections[i] = strchr(sections[i - 1], '|');
        if (sections[i]) *sections[i]++ = 0;
    }
    char *name = next_word(&text), *from = next_word(&text);
    if (!name || !from) return complain(line, "no operator and version");
    read_name(a, name, r);
    r->from = atoi(from);
    for (char *word; (word = next_word(&text));) {
        if (r->n_operands == RECIPE_OPERANDS) return complain(line, "too many operands");
        if (!read_operand(a, word, &r->operands[r->n_operands++]))
            return complain(line, "an operand");
    }
    return (read_pairs(a, sections[1], r->attrs, &r->n_attrs, RECIPE_ATTRS) &&
            read_pairs(a, sections[2], r->options, &r->n_options, RECIPE_OPTIONS)) ||
           complain(line, "too many attributes or options");
}

const char *recipe_option(const recipe *r, const char *name) {
    for (uint32_t i = 0; i < r->n_options; i++)
        if (strcmp(r->options[i].name, name) == 0) return r->options[i].text;
    return NULL;
}

uint32_t recipe_types(const recipe *r, const char *variable, uint32_t allowed) {
    const char *p = recipe_option(r, variable);
    if (!p || *p == '=') return allowed;
    bool without = *p == '-';
    uint32_t named = 0;
    for (p += without; *p;) {
        size_t n = strcspn(p, ",");
        ir_dtype t;
        if (ir_dtype_parse(p, n, &t)) named |= 1u << t;
        p += n + (p[n] == ',');
    }
    return without ? allowed & ~named : allowed & named;
}
