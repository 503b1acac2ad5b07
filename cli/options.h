/* The option parser: each command describes its arguments as a table, the values land in a struct.
 *
 *   typedef struct run_args { const char *model; cli_list inputs; int64_t threads; bool quiet; } run_args;
 *   static const cli_option run_options[] = {
 *       CLI_LIST(run_args, inputs, "input", "NAME=FILE", "value of an input"),
 *       CLI_INT(run_args, threads, "threads", "N", "threads, 1 where not given"),
 *       CLI_FLAG(run_args, quiet, "quiet", "print nothing"),
 *   };
 *
 * `--name value`, `--name=value`, `-o value` where the option has a letter; `--` ends the options; --help is always there. The
 * help text is made from the same table. Nothing is allocated: strings point into argv, lists into the space the caller gives. */
#ifndef TLBC_CLI_OPTIONS_H
#define TLBC_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cli_list {
    const char **items;
    uint32_t n;
} cli_list;

typedef enum cli_kind {
    CLI_KIND_FLAG,   /* bool */
    CLI_KIND_STRING, /* const char * */
    CLI_KIND_INT,    /* int64_t, not negative */
    CLI_KIND_NUMBER, /* double, not negative */
    CLI_KIND_CHOICE, /* int: which of the words in `value`, "strict|default|fast", it is */
    CLI_KIND_LIST    /* cli_list: may be given several times */
} cli_kind;

typedef struct cli_option {
    const char *name, *value; /* "threads", "N" */
    char letter;              /* 0 = none */
    cli_kind kind;
    size_t offset; /* in the struct of arguments */
    const char *help;
} cli_option;

#define CLI_FLAG(S, member, name, help) {name, NULL, 0, CLI_KIND_FLAG, offsetof(S, member), help}
#define CLI_STRING(S, member, name, value, help) \
    {name, value, 0, CLI_KIND_STRING, offsetof(S, member), help}
#define CLI_INT(S, member, name, value, help) \
    {name, value, 0, CLI_KIND_INT, offsetof(S, member), help}
#define CLI_NUMBER(S, member, name, value, help) \
    {name, value, 0, CLI_KIND_NUMBER, offsetof(S, member), help}
#define CLI_CHOICE(S, member, name, words, help) \
    {name, words, 0, CLI_KIND_CHOICE, offsetof(S, member), help}
#define CLI_LIST(S, member, name, value, help) \
    {name, value, 0, CLI_KIND_LIST, offsetof(S, member), help}

struct cli;

typedef struct cli_command {
    const char *name, *summary; /* "run", "run a model once" */
    const char *usage;          /* what follows "tlbc run": "MODEL [options]" */
    const char *text;           /* paragraphs behind the options, examples included */
    const cli_option *options;
    uint32_t n_options;
    uint32_t min_args, max_args; /* positional ones */
    const void *defaults;        /* the struct of arguments before parsing */
    size_t args_size;
    int (*run)(struct cli *c);
} cli_command;

typedef enum cli_parsed { CLI_RUN, CLI_HELP, CLI_WRONG } cli_parsed;

/* argv[0] is the command's name. `args` is the command's struct, filled with its defaults; `positional` gets the rest. Room for
 * all lists together comes from `space` (argc pointers are always enough for each of them: n_lists * argc).
 * CLI_HELP: --help was given (print it); CLI_WRONG: a message is in `error`. */
typedef struct cli_parse {
    const cli_command *command;
    int argc;
    char **argv;
    void *args;
    cli_list *positional;
    const char **space;
    char error[256];
} cli_parse;

uint32_t cli_space_needed(const cli_command *c, int argc); /* pointers in `space` */
cli_parsed cli_parse_options(cli_parse *p);
void cli_print_help(const cli_command *c, FILE *f);

/* "name=value" split at the first '='; false where there is none or the name is empty. */
bool cli_split(const char *text, const char **value, size_t *name_length);
bool cli_parse_int(const char *text, int64_t *out); /* decimal, not negative, nothing behind it */

#endif
