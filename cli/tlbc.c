/* The program: one command each in a file of its own (compile.c, run.c, …), chosen here by name. */
#include "cli/commands.h"
#include "ir/base/debug.h"

#include <stdlib.h>

static const cli_command *const commands[] = {
#define COMMAND(name) &command_##name,
#include "cli/commands.def"
#undef COMMAND
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_overview(FILE *f) {
    fputs("tlbc " TLBC_VERSION ": compiles ONNX models into native shared objects\n\n"
          "usage: tlbc COMMAND [arguments]\n\n",
          f);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(f, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\ntlbc COMMAND --help tells more about one; tlbc --version prints the version.\n"
          "tlbc --help-debug lists what TLBC_DEBUG may hold, for people who work on the compiler.\n"
          "Exit status: 0 done, 1 the model or the data is at fault, 2 wrong usage.\n",
          f);
}

static const cli_command *find_command(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

/* Runs the command inside the fail point: memory that runs out lands here. `c` lives on the heap, where longjmp leaves it be. */
static int run_guarded(cli *c) {
    if (setjmp(c->fail.jump)) {
        ir_ctx_release(&c->ctx);
        cli_progress(NULL);
        fprintf(stderr, "tlbc %s: out of memory\n", c->command->name);
        return CLI_FAILED;
    }
    ir_ctx_init(&c->ctx, &c->fail);
    c->arena = &c->ctx.arena;
    c->diag = &c->ctx.diag;
    int status = c->command->run(c);
    if (cli_report(c) == CLI_FAILED && status == CLI_DONE) status = CLI_FAILED;
    ir_ctx_release(&c->ctx);
    return status;
}

static int parse_and_run(cli *c, cli_parse *p) {
    c->args = p->args;
    cli_parsed parsed = cli_parse_options(p);
    c->positional = *p->positional;
    if (parsed == CLI_WRONG) return cli_usage(c, "%s", p->error);
    if (parsed == CLI_HELP) {
        cli_print_help(c->command, stdout);
        return fflush(stdout) ? CLI_FAILED : CLI_DONE;
    }
    return run_guarded(c);
}

static int run_command(const cli_command *command, int argc, char **argv) {
    int status = CLI_FAILED;
    cli *c = calloc(1, sizeof *c);
    void *args = malloc(command->args_size);
    const char **space = malloc(cli_space_needed(command, argc) * sizeof *space);
    if (c && args && space) {
        memcpy(args, command->defaults, command->args_size);
        c->command = command;
        cli_parse p = {.command = command,
                       .argc = argc,
                       .argv = argv,
                       .args = args,
                       .positional = &c->positional,
                       .space = space};
        status = parse_and_run(c, &p);
    } else {
        fputs("tlbc: out of memory\n", stderr);
    }
    free(space);
    free(args);
    free(c);
    return status;
}

/* The flags of TLBC_DEBUG, from ir/base/debug.def. */
static int print_debug_help(void) {
    tl_fail fail = {0};
    tl_arena a;
    tl_str text;
    if (setjmp(fail.jump)) return CLI_FAILED; /* out of memory; the process ends */
    tl_arena_init(&a, &fail);
    tl_str_init(&text, &a);
    tl_str_puts(&text, "TLBC_DEBUG=FLAG,FLAG,...\n\n");
    debug_print_help(&text);
    fputs(text.data, stdout);
    tl_arena_release(&a);
    return fflush(stdout) ? CLI_FAILED : CLI_DONE;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        const cli_command *about = argc > 2 ? find_command(argv[2]) : NULL;
        if (about)
            cli_print_help(about, stdout);
        else
            print_overview(stdout);
        return fflush(stdout) ? CLI_FAILED : CLI_DONE;
    }
    if (!strcmp(name, "--version")) {
        puts("tlbc " TLBC_VERSION);
        return fflush(stdout) ? CLI_FAILED : CLI_DONE;
    }
    if (!strcmp(name, "--help-debug")) return print_debug_help();
    const cli_command *command = find_command(name);
    if (command) return run_command(command, argc - 1, argv + 1);
    fprintf(stderr, "tlbc: unknown command '%s'; see tlbc --help\n", name);
    return CLI_USAGE;
}
