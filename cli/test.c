/* tlbc test: ONNX test-data folders. Every folder runs in a process of its own, so that a crash or an endless loop is one failed
 * test and not the end of the run. */
#define _GNU_SOURCE /* strsignal */
#include "cli/case.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "ir/base/vec.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct test_args {
    int simplify;
    double rtol, atol;
    int64_t threads, jobs, timeout;
    const char *skip_list, *cpu, *passes, *skip;
    bool evaluator, quiet;
} test_args;

static const test_args test_defaults = {
    .rtol = 1e-3, .atol = 1e-5, .threads = 1, .jobs = 1, .timeout = 120};

static const cli_option test_options[] = {
    CLI_NUMBER(test_args, rtol, "rtol", "R", "relative tolerance (0.001)"),
    CLI_NUMBER(test_args, atol, "atol", "A", "absolute tolerance (0.00001)"),
    CLI_INT(test_args, threads, "threads", "N",
            "run with 1 to N threads, which must agree to the bit (1)"),
    CLI_INT(test_args, jobs, "jobs", "N", "folders at the same time (1)"),
    CLI_INT(test_args, timeout, "timeout", "SECONDS", "limit for one folder, 0 = none (120)"),
    CLI_STRING(test_args, skip_list, "skip-list", "FILE",
               "lines of 'name reason': these may fail, and must"),
    CLI_FLAG(test_args, evaluator, "evaluator", "judge the reference evaluator, not compiled code"),
    CLI_FLAG(test_args, quiet, "quiet", "only failures and the sum"),
    CLI_STRING(test_args, cpu, "cpu", "CPU", "compile for this processor (native)"),
    CLI_STRING(test_args, passes, "passes", "LIST", "pass pipeline (default)"),
    CLI_SIMPLIFY(test_args, simplify),
    CLI_STRING(test_args, skip, "skip", "LIST", "passes to leave out"),
};

typedef TL_VEC(test_case) case_vec;

/* A folder being tested. */
typedef struct test_job {
    pid_t pid; /* 0 = free place */
    FILE *output;
    const test_case *test;
} test_job;

typedef struct test_sum {
    unsigned passed, failed, skipped;
} test_sum;

/* ---- which cases ---------------------------------------------------------------------------------------------- */

static const char *last_part(tl_arena *a, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t start = n;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return tl_arena_strndup(a, path + start, n - start);
}

static bool add_folder(cli *c, case_vec *cases, const char *folder) {
    const char *model = tl_arena_printf(c->arena, "%s/model.onnx", folder);
    if (!file_exists(model)) return false;
    tl_vec_push(c->arena, cases, (test_case){model, folder, last_part(c->arena, folder)});
    return true;
}

/* A model file, its folder, or a folder of such folders. */
static bool add_cases(cli *c, case_vec *cases, const char *path) {
    cli_list entries;
    uint32_t before = cases->len;
    if (!file_is_folder(path)) {
        const char *slash = strrchr(path, '/');
        const char *folder = slash ? tl_arena_strndup(c->arena, path, (size_t)(slash - path)) : ".";
        if (!file_exists(path)) return diag_error(c->diag, NULL, "cannot open '%s'", path);
        tl_vec_push(c->arena, cases, (test_case){path, folder, last_part(c->arena, folder)});
        return true;
    }
    if (add_folder(c, cases, path)) return true;
    if (!case_list(c->arena, path, "", &entries))
        return diag_error(c->diag, NULL, "cannot read the folder '%s'", path);
    for (uint32_t i = 0; i < entries.n; i++)
        add_folder(c, cases, tl_arena_printf(c->arena, "%s/%s", path, entries.items[i]));
    if (cases->len > before) return true;
    return diag_error(c->diag, NULL, "%s: no model.onnx in it or in its folders", path);
}

/* ---- the skip list -------------------------------------------------------------------------------------------- */

static const char *skip_reason(cli *c, tl_sv list, const char *name) {
    const char *p = list.data, *end = list.data + list.len;
    size_t n = strlen(name);
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (!eol) eol = end;
        if ((size_t)(eol - p) > n && !memcmp(p, name, n) && p[n] == ' ')
            return tl_arena_strndup(c->arena, p + n + 1, (size_t)(eol - p) - n - 1);
        p = eol + 1;
    }
    return NULL;
}

/* ---- jobs ----------------------------------------------------------------------------------------------------- */

static bool start_job(cli *c, test_job *job, const test_case *t, const case_options *o) {
    const test_args *args = c->args;
    *job = (test_job){.output = tmpfile(), .test = t};
    if (!job->output) return diag_error(c->diag, NULL, "cannot make a temporary file");
    fflush(NULL);
    job->pid = fork();
    if (job->pid < 0) {
        fclose(job->output);
        return diag_error(c->diag, NULL, "cannot start another process");
    }
    if (job->pid > 0) return true;
    dup2(fileno(job->output), STDOUT_FILENO);
    alarm((unsigned)args->timeout);
    case_run(c, t, o);
    fflush(NULL);
    _exit(0);
}

static const char *read_output(cli *c, FILE *f) {
    tl_str s;
    char block[4096];
    size_t n;
    tl_str_init(&s, c->arena);
    rewind(f);
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        tl_str_append(&s, block, n);
    fclose(f);
    return s.data;
}

/* Counts the verdict lines of a folder; what belongs to no verdict is text of the one above. */
static test_sum count_lines(const char *text) {
    test_sum sum = {0};
    for (const char *p = text; *p;) {
        if (!strncmp(p, "PASS ", 5)) sum.passed++;
        if (!strncmp(p, "FAIL ", 5)) sum.failed++;
        if (!strncmp(p, "SKIP ", 5)) sum.skipped++;
        const char *eol = strchr(p, '\n');
        if (!eol) break;
        p = eol + 1;
    }
    return sum;
}

static const char *how_it_ended(cli *c, int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return NULL;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return "took too long";
    if (WIFSIGNALED(status))
        return tl_arena_printf(c->arena, "crashed: %s", strsignal(WTERMSIG(status)));
    return "ended without a verdict";
}

static void finish_job(cli *c, test_job *job, int status, tl_sv skip_list, test_sum *total) {
    const test_args *args = c->args;
    const char *text = read_output(c, job->output), *end = how_it_ended(c, status);
    const char *reason = skip_reason(c, skip_list, job->test->name);
    test_sum sum = count_lines(text);
    if (end) {
        sum.failed++;
        text = tl_arena_printf(c->arena, "%sFAIL %s: %s\n", text, job->test->folder, end);
    }
    if (reason && sum.failed) {
        sum = (test_sum){.skipped = 1};
        text = tl_arena_printf(c->arena, "SKIP %s: %s\n", job->test->folder, reason);
    } else if (reason) {
        sum.failed++;
        text = tl_arena_printf(c->arena, "%sFAIL %s: passes, but is on the skip list\n", text,
                               job->test->folder);
    }
    if (!args->quiet || sum.failed) fputs(text, stdout);
    total->passed += sum.passed;
    total->failed += sum.failed;
    total->skipped += sum.skipped;
    job->pid = 0;
}

/* Waits for one of the children. */
static void finish_any(cli *c, test_job *jobs, uint32_t n, tl_sv skip_list, test_sum *total) {
    int status;
    pid_t pid = wait(&status);
    for (uint32_t i = 0; i < n; i++)
        if (pid > 0 && jobs[i].pid == pid) finish_job(c, &jobs[i], status, skip_list, total);
}

static uint32_t find_place(const test_job *jobs, uint32_t n) {
    uint32_t i = 0;
    while (i < n && jobs[i].pid)
        i++;
    return i;
}

static bool any_running(const test_job *jobs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (jobs[i].pid) return true;
    return false;
}

static bool run_cases(cli *c, const case_vec *cases, const case_options *o, tl_sv skip_list,
                      test_sum *total) {
    const test_args *args = c->args;
    uint32_t n = args->jobs < 1 ? 1 : args->jobs > 64 ? 64 : (uint32_t)args->jobs;
    test_job *jobs = TL_NEW_ARRAY(c->arena, test_job, n);
    bool ok = true;
    for (uint32_t i = 0; ok && i < cases->len; i++) {
        uint32_t place;
        while ((place = find_place(jobs, n)) == n)
            finish_any(c, jobs, n, skip_list, total);
        ok = start_job(c, &jobs[place], &cases->data[i], o);
    }
    while (any_running(jobs, n))
        finish_any(c, jobs, n, skip_list, total);
    return ok;
}

static int test_main(cli *c) {
    const test_args *args = c->args;
    case_options o = {.tolerance = {args->rtol, args->atol},
                      .threads = args->threads,
                      .evaluator = args->evaluator,
                      .source = {.cpu = args->cpu,
                                 .passes = args->passes,
                                 .skip = args->skip,
                                 .simplify = args->simplify}};
    case_vec cases = {0};
    test_sum total = {0};
    tl_sv skip_list = {"", 0};
    if (args->skip_list && !file_read(c->diag, c->arena, args->skip_list, &skip_list))
        return cli_report(c);
    for (uint32_t i = 0; i < c->positional.n; i++)
        if (!add_cases(c, &cases, c->positional.items[i])) return cli_report(c);
    bool ok = run_cases(c, &cases, &o, skip_list, &total);
    int status = cli_report(c);
    printf("%u passed, %u failed, %u skipped\n", total.passed, total.failed, total.skipped);
    if (!ok || total.failed || status) return CLI_FAILED;
    return cli_finish_output(c, stdout, "standard output");
}

const cli_command command_test = {
    .name = "test",
    .summary = "run ONNX test-data folders and compare",
    .usage = "DIR|MODEL.onnx|MODEL.so ... [--rtol R] [--atol A] [--threads N]",
    .text = "A folder holds model.onnx and test_data_set_N/ with input_I.pb and output_J.pb; a "
            "folder of\n"
            "such folders stands for all of them; a model file is tested with the data beside it. "
            "Every\n"
            "set is run: |found - expected| <= A + R * |expected|, NaN equals NaN, types and "
            "shapes must\n"
            "agree. A line for each set, the sum last; status 1 if one failed.\n\n"
            "  tlbc test tests/models/tlb_tiny\n"
            "  tlbc test --jobs 2 --skip-list skip.txt onnx/backend/test/data/node\n",
    .options = test_options,
    .n_options = sizeof test_options / sizeof test_options[0],
    .min_args = 1,
    .max_args = UINT32_MAX,
    .defaults = &test_defaults,
    .args_size = sizeof(test_args),
    .run = test_main,
};
