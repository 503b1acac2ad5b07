#include "cli/cli.h"

#include "tlbc/tlbc.h"

#include <errno.h>
#include <unistd.h>

static void print_line(const cli *c, const char *format, va_list args) {
    fprintf(stderr, "tlbc %s: ", c->command->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

const char *cli_take_report(cli *c) {
    tl_str text;
    tl_str_init(&text, c->arena);
    diag_render(c->diag, &text);
    diag_clear(c->diag);
    if (text.len && text.data[text.len - 1] == '\n') text.data[--text.len] = 0;
    return text.data;
}

int cli_report(cli *c) {
    int status = c->diag->n_errors ? CLI_FAILED : CLI_DONE;
    if (c->diag->n == 0) return status;
    cli_progress(NULL);
    fprintf(stderr, "%s\n", cli_take_report(c));
    return status;
}

/* The message is text as diag_render makes it: behind a compilation that went well it begins with "warning: ", and the lines that follow
 * say themselves what they are. */
void cli_take_message(cli *c, int status, const char *file, char *message) {
    static const char warning[] = "warning: ";
    const char *text = message ? message : "";
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        n--;
    if (status && n)
        diag_error(c->diag, NULL, "%.*s", (int)n, text);
    else if (status)
        diag_error(c->diag, NULL, "%s: %s", file, tlbc_status_text((tlbc_status)status));
    else if (strncmp(text, warning, strlen(warning)) == 0)
        diag_warning(c->diag, NULL, "%.*s", (int)(n - strlen(warning)), text + strlen(warning));
    else if (n)
        diag_note(c->diag, NULL, "%.*s", (int)n, text);
    tlbc_message_free(message);
}

int cli_fail(cli *c, const char *format, ...) {
    va_list args;
    cli_report(c);
    cli_progress(NULL);
    va_start(args, format);
    print_line(c, format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_usage(cli *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line(c, format, args);
    va_end(args);
    fprintf(stderr, "see tlbc %s --help\n", c->command->name);
    return CLI_USAGE;
}

int cli_finish_output(cli *c, FILE *f, const char *name) {
    bool ok = fflush(f) == 0 && !ferror(f);
    int error = errno;
    if (f != stdout && fclose(f)) ok = false, error = errno;
    return ok ? CLI_DONE : cli_fail(c, "cannot write '%s': %s", name, strerror(error));
}

void cli_progress(const char *text) {
    if (!isatty(STDERR_FILENO)) return;
    fprintf(stderr, "\r\x1b[K%s", text ? text : "");
    fflush(stderr);
}
