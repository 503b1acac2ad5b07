#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static cli_parsed wrong(cli_parse *p, const char *format,
                                                              ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, sizeof p->error, format, args);
    va_end(args);
    return CLI_WRONG;
}

bool cli_split(const char *text, const char **value, size_t *name_length) {
    const char *equal = strchr(text, '=');
    if (!equal || equal == text) return false;
    *name_length = (size_t)(equal - text);
    *value = equal + 1;
    return true;
}

bool cli_parse_int(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9') return false;
    long long v = strtoll(text, &end, 10);
    if (errno || *end) return false;
    *out = v;
    return true;
}

static bool parse_number(const char *text, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= 0) || isinf(v)) return false;
    *out = v;
    return true;
}

/* Which of the words, that have '|' between them, this is; -1 = none. */
static int find_word(const char *words, const char *text) {
    size_t n = strlen(text);
    for (int i = 0;; i++) {
        size_t length = strcspn(words, "|");
        if (n == length && memcmp(words, text, n) == 0) return i;
        if (!words[length]) return -1;
        words += length + 1;
    }
}

uint32_t cli_space_needed(const cli_command *c, int argc) {
    uint32_t lists = 1;
    for (uint32_t i = 0; i < c->n_options; i++)
        lists += c->options[i].kind == CLI_KIND_LIST;
    return lists * (uint32_t)(argc + 1);
}

static void give_space(cli_parse *p) {
    const cli_command *c = p->command;
    const char **next = p->space;
    *p->positional = (cli_list){next, 0};
    for (uint32_t i = 0; i < c->n_options; i++) {
        if (c->options[i].kind != CLI_KIND_LIST) continue;
        next += p->argc + 1;
        *(cli_list *)((char *)p->args + c->options[i].offset) = (cli_list){next, 0};
    }
}

/* The option that argument `text` ("--threads=2", "-o") names; its value behind '=' or NULL. */
static const cli_option *find_option(const cli_command *c, const char *text, const char **value) {
    const char *equal = strchr(text, '=');
    size_t n = equal ? (size_t)(equal - text) : strlen(text);
    *value = equal ? equal + 1 : NULL;
    for (uint32_t i = 0; i < c->n_options; i++) {
        const cli_option *o = &c->options[i];
        if (n == 2 && o->letter && text[1] == o->letter) return o;
        if (n > 2 && strlen(o->name) == n - 2 && memcmp(text, "--", 2) == 0 &&
            memcmp(text + 2, o->name, n - 2) == 0)
            return o;
    }
    return NULL;
}

static cli_parsed store(cli_parse *p, const cli_option *o, const char *value) {
    void *place = (char *)p->args + o->offset;
    cli_list *list = place;
    switch (o->kind) {
    case CLI_KIND_FLAG:
        *(bool *)place = true;
        break;
    case CLI_KIND_STRING:
        *(const char **)place = value;
        break;
    case CLI_KIND_INT:
        if (!cli_parse_int(value, place))
            return wrong(p, "--%s: '%s' is not a whole number", o->name, value);
        break;
    case CLI_KIND_NUMBER:
        if (!parse_number(value, place))
            return wrong(p, "--%s: '%s' is not a number, or negative", o->name, value);
        break;
    case CLI_KIND_CHOICE:
        *(int *)place = find_word(o->value, value);
        if (*(int *)place < 0)
            return wrong(p, "--%s: expected %s, found '%s'", o->name, o->value, value);
        break;
    case CLI_KIND_LIST:
        list->items[list->n++] = value;
        break;
    }
    return CLI_RUN;
}

/* Handles argv[*i], which starts with '-'; moves *i over a value of its own. */
static cli_parsed parse_option(cli_parse *p, int *i) {
    const char *text = p->argv[*i], *value;
    if (!strcmp(text, "--help") || !strcmp(text, "-h")) return CLI_HELP;
    const cli_option *o = find_option(p->command, text, &value);
    if (!o) return wrong(p, "unknown option '%s'", text);
    if (o->kind == CLI_KIND_FLAG)
        return value ? wrong(p, "--%s takes no value", o->name) : store(p, o, NULL);
    if (!value && *i + 1 == p->argc) return wrong(p, "--%s needs a value: %s", o->name, o->value);
    if (!value) value = p->argv[++*i];
    return store(p, o, value);
}

cli_parsed cli_parse_options(cli_parse *p) {
    const cli_command *c = p->command;
    bool options = true;
    give_space(p);
    for (int i = 1; i < p->argc; i++) {
        const char *text = p->argv[i];
        if (options && !strcmp(text, "--")) {
            options = false;
        } else if (options && text[0] == '-' && text[1]) {
            cli_parsed r = parse_option(p, &i);
            if (r != CLI_RUN) return r;
        } else {
            p->positional->items[p->positional->n++] = text;
        }
    }
    if (p->positional->n < c->min_args) return wrong(p, "an argument is missing: %s", c->usage);
    if (p->positional->n > c->max_args)
        return wrong(p, "unexpected argument '%s'", p->positional->items[c->max_args]);
    return CLI_RUN;
}

void cli_print_help(const cli_command *c, FILE *f) {
    fprintf(f, "usage: tlbc %s %s\n\n%s\n\n", c->name, c->usage, c->summary);
    for (uint32_t i = 0; i < c->n_options; i++) {
        const cli_option *o = &c->options[i];
        char left[64], letter[8] = "    ";
        if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        fprintf(f, "  %-28s %s\n", left, o->help);
    }
    fprintf(f, "  %-28s %s\n", "-h, --help", "this text");
    if (c->text) fprintf(f, "\n%s", c->text);
}
