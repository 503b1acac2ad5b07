/* tlbc bench: how long a run takes, against what the machine can do. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/model.h"
#include "cli/peak.h"
#include "cli/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct bench_args {
    model_source source; /* without the path */
    cli_list inputs;
    int64_t threads, runs, n_streams, after;
    double seconds;
    bool json, step;
} bench_args;

static const bench_args bench_defaults = {.threads = 1, .seconds = 1};

static const cli_option bench_options[] = {
    CLI_INT(bench_args, threads, "threads", "N", "threads (1)"),
    CLI_INT(bench_args, runs, "runs", "N",
            "timed runs (as many as fit into --seconds, 10 at least)"),
    CLI_NUMBER(bench_args, seconds, "seconds", "S", "time to spend where --runs is not given (1)"),
    CLI_LIST(bench_args, inputs, "input", "NAME=FILE", "value of an input; the others are made up"),
    CLI_LIST(bench_args, source.dims, "dim", "NAME=SIZE", "size of a symbolic dimension (1)"),
    CLI_FLAG(bench_args, step, "step", "steps of a step function; others are refused"),
    CLI_INT(bench_args, after, "after", "N",
            "steps that no time is taken of, after each time the states begin anew (0)"),
    CLI_INT(bench_args, n_streams, "streams", "N", "streams in a step (1)"),
    CLI_FLAG(bench_args, json, "json", "one JSON object on standard output"),
    CLI_SOURCE(bench_args),
};

/* Seconds, but for what the names say. */
typedef struct bench_result {
    double open, session, first, min, median, p99, mean, peak_gflops;
    uint32_t runs;
    size_t workspace_bytes, rss_bytes;
    long grown_pages; /* of the process, from the first timed run to the last */
} bench_result;

enum { MAX_RUNS = 1000000, MIN_RUNS = 10, WARM_RUNS = 3 };

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tlbc_status time_call(tlbc_session *s, model_tensors *t, double *seconds) {
    double start = cli_seconds();
    tlbc_status status = t->model->n_states ? tlbc_step(s, t->in, t->out)
                                            : tlbc_run(s, t->in, t->out);
    *seconds = cli_seconds() - start;
    return status;
}

/* The states as they are after so many steps from the beginning. */
static tlbc_status begin_anew(tlbc_session *s, model_tensors *t, int64_t steps) {
    double seconds;
    tlbc_status status = tlbc_reset(s, TLBC_ALL_STREAMS);
    for (int64_t i = 0; i < steps && !status; i++)
        status = time_call(s, t, &seconds);
    return status;
}

/* Streams that are as long as the model allows, as where it has a table of positions, begin anew. */
static bool timed_run(cli *c, const bench_args *args, tlbc_session *s, model_tensors *t,
                      double *seconds) {
    tlbc_status status = time_call(s, t, seconds);
    if (status == TLBC_ERROR_DATA && t->model->n_states) {
        status = begin_anew(s, t, args->after);
        if (!status) status = time_call(s, t, seconds);
    }
    if (status) model_report(c, s, status, t->model->name);
    return status == TLBC_OK;
}

static uint32_t choose_runs(const bench_args *args, double estimate) {
    if (args->runs) return args->runs < MAX_RUNS ? (uint32_t)args->runs : MAX_RUNS;
    double n = args->seconds / (estimate > 1e-7 ? estimate : 1e-7);
    return n < MIN_RUNS ? MIN_RUNS : n > MAX_RUNS ? MAX_RUNS : (uint32_t)n;
}

/* Pages of memory that the process has now; 0 where that cannot be told. */
static long resident_pages(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long size, resident = 0;
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &size, &resident) != 2) resident = 0;
    fclose(f);
    return resident;
}

static bool time_runs(cli *c, const bench_args *args, tlbc_session *s, model_tensors *t,
                      bench_result *r) {
    double estimate = 0, sum = 0;
    if (!timed_run(c, args, s, t, &r->first)) return false;
    if (args->after && begin_anew(s, t, args->after))
        return diag_error(c->diag, NULL, "--after: %s", tlbc_session_message(s));
    for (int i = 0; i < WARM_RUNS; i++)
        if (!timed_run(c, args, s, t, &estimate)) return false;
    r->runs = choose_runs(args, estimate);
    double *times = TL_NEW_ARRAY(c->arena, double, r->runs);
    for (uint32_t i = 0; i < r->runs; i++)
        times[i] = estimate; /* pages that are there before the measurement */
    long before = resident_pages();
    for (uint32_t i = 0; i < r->runs; i++) {
        if (!timed_run(c, args, s, t, &times[i])) return false;
        sum += times[i];
    }
    r->grown_pages = resident_pages() - before;
    qsort(times, r->runs, sizeof *times, compare_doubles);
    r->min = times[0];
    r->median = times[r->runs / 2];
    r->p99 = times[(uint32_t)((r->runs - 1) * 0.99 + 0.5)];
    r->mean = sum / r->runs;
    return true;
}

static size_t peak_rss(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (size_t)u.ru_maxrss * 1024;
}

static bool bench_session(cli *c, const bench_args *args, tlbc_session *s, model_tensors *t,
                          bench_result *r) {
    if (!model_alloc_outputs(c, s, t)) return false;
    tlbc_shapes(s, t->in, t->out, &r->workspace_bytes);
    double before = peak_measure_f32();
    if (!time_runs(c, args, s, t, r)) return false;
    double after = peak_measure_f32(); /* the clock may have changed: the better one is the limit */
    r->peak_gflops = before > after ? before : after;
    r->rss_bytes = peak_rss();
    return true;
}

static double gflops(const tlbc_model *m, const bench_result *r) {
    return m->flops / r->min * 1e-9;
}

static double peak_share(const bench_args *args, const tlbc_model *m, const bench_result *r) {
    double threads = args->threads > 1 ? (double)args->threads : 1;
    return gflops(m, r) / (r->peak_gflops * threads);
}

static void print_json(cli *c, const bench_args *args, const model_tensors *t,
                       const bench_result *r) {
    json_writer w;
    json_begin(&w, c->arena);
    json_string(&w, "model", t->model->name);
    json_string(&w, "target", t->model->target);
    json_number(&w, "threads", args->threads > 1 ? (double)args->threads : 1);
    json_number(&w, "runs", r->runs);
    json_number(&w, "min_us", r->min * 1e6);
    json_number(&w, "median_us", r->median * 1e6);
    json_number(&w, "p99_us", r->p99 * 1e6);
    json_number(&w, "mean_us", r->mean * 1e6);
    json_number(&w, "open_us", r->open * 1e6);
    json_number(&w, "session_us", r->session * 1e6);
    json_number(&w, "first_us", r->first * 1e6);
    json_number(&w, "flops", t->model->flops);
    json_number(&w, "gflops", gflops(t->model, r));
    json_number(&w, "peak_gflops", r->peak_gflops);
    json_number(&w, "peak_share", peak_share(args, t->model, r));
    json_number(&w, "weight_bytes", (double)t->model->weight_bytes);
    json_number(&w, "workspace_bytes", (double)r->workspace_bytes);
    json_number(&w, "rss_bytes", (double)r->rss_bytes);
    json_number(&w, "grown_bytes", (double)r->grown_pages * (double)sysconf(_SC_PAGESIZE));
    puts(json_end(&w));
}

static void print_text(cli *c, const bench_args *args, const model_tensors *t,
                       const bench_result *r) {
    printf("%s for %s, %lld thread%s, %u runs\n", t->model->name, t->model->target,
           (long long)(args->threads > 1 ? args->threads : 1), args->threads > 1 ? "s" : "",
           r->runs);
    for (uint32_t i = 0; i < t->model->n_inputs; i++)
        printf("  input %s %s\n", t->model->inputs[i].name, tensor_type_text(c->arena, &t->in[i]));
    printf("  time       min %.1f us, median %.1f us, p99 %.1f us\n", r->min * 1e6, r->median * 1e6,
           r->p99 * 1e6);
    printf("  start      open %.1f us, session %.1f us, first run %.1f us\n", r->open * 1e6,
           r->session * 1e6, r->first * 1e6);
    if (t->model->flops > 0)
        printf("  arithmetic %.2f GFLOP/s, %.1f %% of the measured peak of %.1f a core\n",
               gflops(t->model, r), 100 * peak_share(args, t->model, r), r->peak_gflops);
    printf("  memory     weights %.1f kB, workspace %.1f kB, process at most %.1f MB, "
           "grown by %ld pages\n",
           (double)t->model->weight_bytes * 1e-3, (double)r->workspace_bytes * 1e-3,
           (double)r->rss_bytes * 1e-6, r->grown_pages);
}

/* The sizes that --dim gives, and the number of streams. */
static bool step_dims(cli *c, const bench_args *args, const tlbc_model *m, cli_list *dims) {
    const char *symbol = model_stream_symbol(m);
    *dims = args->source.dims;
    if (args->step && !model_is_step(m))
        return diag_error(c->diag, NULL, "%s is no step function: it has no states", m->name);
    if (!args->n_streams) return true;
    if (!cli_check_streams(c, args->n_streams)) return false;
    if (!model_is_step(m)) return diag_error(c->diag, NULL, "--streams: %s has no states", m->name);
    if (!symbol) return true;
    const char **items = TL_NEW_ARRAY(c->arena, const char *, dims->n + 1);
    if (dims->n) memcpy(items, dims->items, dims->n * sizeof *items);
    items[dims->n] = tl_arena_printf(c->arena, "%s=%lld", symbol, (long long)args->n_streams);
    *dims = (cli_list){items, dims->n + 1};
    return true;
}

/* Where the program takes one stream: each has the same inputs. */
static void repeat_inputs(cli *c, model_tensors *t, uint32_t n) {
    for (uint32_t i = 0; i < t->model->n_inputs; i++) {
        tlbc_tensor row = t->in[i];
        row_layout l;
        if (!rows_find(t->model, &t->model->inputs[i], &row, &l)) continue;
        t->in[i] = rows_shape(&l, &row, n);
        t->in[i].data = tl_arena_alloc(c->arena, t->in[i].bytes ? t->in[i].bytes : 1, 64);
        for (uint32_t k = 0; k < n; k++)
            rows_put(&l, &t->in[i], n, k, &row);
    }
}

static bool bench_model(cli *c, const bench_args *args, const model_handle *h) {
    model_tensors t;
    cli_list dims;
    tlbc_session *s;
    bench_result r = {.open = h->open_seconds};
    model_tensors_init(c, h->model, &t);
    if (!model_bind_inputs(c, &t, args->inputs)) return false;
    if (!step_dims(c, args, h->model, &dims) || !model_random_inputs(c, &t, dims, 1)) return false;
    if (args->n_streams && !model_stream_symbol(h->model))
        repeat_inputs(c, &t, (uint32_t)args->n_streams);
    double start = cli_seconds();
    if (args->n_streams) {
        if (!model_session_of(c, h->model, args->threads, (uint32_t)args->n_streams, false, &s))
            return false;
    } else if (!model_session_for(c, &t, args->threads, false, &s)) {
        return false;
    }
    r.session = cli_seconds() - start;
    bool ok = bench_session(c, args, s, &t, &r);
    tlbc_session_free(s);
    if (!ok) return false;
    if (args->json)
        print_json(c, args, &t, &r);
    else
        print_text(c, args, &t, &r);
    return true;
}

static int bench_main(cli *c) {
    const bench_args *args = c->args;
    model_source source = args->source;
    model_handle h;
    source.path = c->positional.items[0];
    if (!model_open(c, &source, &h)) return cli_report(c);
    bool ok = bench_model(c, args, &h);
    int status = cli_report(c);
    model_close(&h);
    return ok && !status ? cli_finish_output(c, stdout, "standard output") : CLI_FAILED;
}

const cli_command command_bench = {
    .name = "bench",
    .summary = "measure a model: time, GFLOP/s, share of the machine's peak, memory",
    .usage = "MODEL.so|MODEL.onnx [--threads N] [--runs N] [--json]",
    .text =
        "The peak is that of fp32 multiply-adds on one core, measured before and after the runs.\n"
        "GFLOP/s count the arithmetic of the compiled model, at the fastest run; 0 where the "
        "amount\n"
        "depends on symbolic dimensions (pin them when compiling). For .onnx the time to open is\n"
        "that of compiling. "
        "A step function is timed step by step; with --streams N as many streams advance in "
        "one.\n\n"
        "  tlbc bench model.so --threads 2\n"
        "  tlbc bench step.so --step --streams 8 --runs 100000\n"
        "  tlbc bench model.onnx --dim batch=4 --runs 200 --json\n",
    .options = bench_options,
    .n_options = sizeof bench_options / sizeof bench_options[0],
    .min_args = 1,
    .max_args = 1,
    .defaults = &bench_defaults,
    .args_size = sizeof(bench_args),
    .run = bench_main,
};
