/* What all commands of the program share: memory, messages, exit status.
 *
 *   static int run_main(cli *c) {                               // cli/run.c
 *       const run_args *args = c->args;
 *       ...
 *       return cli_fail(c, "cannot open '%s'", path);           // message on stderr, exit status 1
 *   }
 *
 * Exit status: 0 done, 1 the model or the data is at fault, 2 wrong usage. Running out of memory anywhere ends in status 1:
 * cli_main sets the fail point that all arenas jump to. */
#ifndef TLBC_CLI_CLI_H
#define TLBC_CLI_CLI_H

#include "cli/options.h"
#include "ir/ctx.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

typedef struct cli {
    const cli_command *command;
    const void *args; /* the command's struct */
    cli_list positional;
    tl_fail fail;
    ir_ctx ctx;      /* its arena and diagnostics live as long as the command */
    tl_arena *arena; /* of ctx */
    diag *diag;      /* of ctx */
} cli;

/* Reports and returns CLI_FAILED or CLI_USAGE. Diagnostics collected so far are printed before. */
int cli_fail(cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_usage(cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints and clears the diagnostics; CLI_FAILED if one of them was an error, else CLI_DONE. */
int cli_report(cli *c);
/* The same as text, in the arena, without the last line's end. */
const char *cli_take_report(cli *c);
/* What the compiler's API gave back: text of errors or warnings (may be NULL; freed here) becomes diagnostics. */
void cli_take_message(cli *c, int status, const char *file, char *message);
/* Flushes stdout; a full disk or a closed pipe is an error like any other. */
int cli_finish_output(cli *c, FILE *f, const char *name);

/* A line about what is going on, on stderr, only where that is a terminal; the next one replaces it, NULL clears it. */
void cli_progress(const char *text);

#endif
