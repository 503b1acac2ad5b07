/* A model to run, whatever file it comes from: a compiled .so, or an .onnx that is compiled in memory first. And what all
 * commands that run models do with it: inputs, outputs, sessions.
 *
 *   model_source src = {.path = "m.onnx", .dims = args->dims, .cpu = args->cpu};
 *   model_run r;
 *   if (!model_open(c, &src, &r.model)) return CLI_FAILED;
 *   ...
 *   model_close(&r.model); */
#ifndef TLBC_CLI_MODEL_H
#define TLBC_CLI_MODEL_H

#include "cli/cli.h"
#include "tlbc/tlbc.h"

typedef struct model_source {
    const char *path;
    cli_list dims;   /* "batch=4" */
    const char *cpu; /* NULL = native; only for .onnx */
    const char *passes, *skip;
    int simplify;             /* tlbc_simplify */
    cli_list states, streams; /* "h0=hn", "x:1:4"; only for .onnx */
    bool batch_streams;
    const char *entry; /* of a library with several entry points; NULL = the first */
} model_source;

/* An option of all commands that compile: a tlbc_simplify. */
#define CLI_SIMPLIFY(S, member) \
    CLI_CHOICE(S, member, "simplify", "egraph|none|classic", "how rewrite rules are run (egraph)")
/* The same, a bool. */
#define CLI_BATCH_STREAMS(S, member)     \
    CLI_FLAG(S, member, "batch-streams", \
             "make a step function of one stream one of many, whose rows are multiplied together")
/* Options of commands that run one model, but for --dim, which has a meaning of its own in each: the member `source`. */
#define CLI_SOURCE(S)                                                                           \
    CLI_STRING(S, source.cpu, "cpu", "CPU", "compile for this processor (.onnx only; native)"), \
        CLI_STRING(S, source.entry, "entry", "NAME",                                            \
                   "entry point of a library that has several (main)"),                         \
        CLI_STRING(S, source.passes, "passes", "LIST", "pass pipeline (.onnx only; default)"),  \
        CLI_SIMPLIFY(S, source.simplify),                                                       \
        CLI_STRING(S, source.skip, "skip", "LIST", "passes to leave out (.onnx only)"),         \
        CLI_LIST(S, source.states, "state", "IN=OUT[@N][,...]",                                 \
                 "an input and an output that are one state (.onnx only)"),                     \
        CLI_LIST(S, source.streams, "stream", "IN:AXIS:CHUNK",                                  \
                 "make a step function (.onnx only)"),                                          \
        CLI_BATCH_STREAMS(S, source.batch_streams)

typedef struct model_handle {
    const tlbc_model *model;
    tlbc_loaded *loaded; /* compiled in memory; NULL: opened */
    double open_seconds; /* dlopen, or the whole compilation */
} model_handle;

bool model_open(cli *c, const model_source *s, model_handle *out); /* false after reporting */
void model_close(model_handle *h);

/* All tensors of one run. Inputs are bound by name, then missing ones are refused or made up. */
typedef struct model_tensors {
    const tlbc_model *model;
    tlbc_tensor *in, *out;
    bool *given;   /* per input */
    uint64_t seed; /* of the session */
} model_tensors;

void model_tensors_init(cli *c, const tlbc_model *m, model_tensors *t);
/* "NAME=FILE" (.npy, .npz: the entry NAME, .pb) or "FILE.npz" (all entries by their names). false after reporting. */
bool model_bind_input(cli *c, model_tensors *t, const char *spec);
bool model_bind_inputs(cli *c, model_tensors *t, cli_list specs);
bool model_require_inputs(cli *c, const model_tensors *t); /* reports those that are missing */
/* Fills the inputs that are not given: floats in [-1, 1), small integers, booleans; the same for the same seed. Symbols take
 * the values in dims ("batch=4"), else those of the inputs that are given, else 1. */
bool model_random_inputs(cli *c, model_tensors *t, cli_list dims, uint64_t seed);
/* Memory for the outputs, as the session says for these inputs; false after reporting. */
bool model_alloc_outputs(cli *c, tlbc_session *s, model_tensors *t);

/* Reports what the session's last call said. */
void model_report(cli *c, const tlbc_session *s, tlbc_status status, const char *what);
/* Made to be called once for each part of a sequence. */
bool model_is_step(const tlbc_model *m);
/* All threads take part in each run. */
bool model_session(cli *c, const tlbc_model *m, int64_t threads, tlbc_session **out);
/* The same for a step function whose inputs are these, or several steps of them: with as many streams as they hold. exact: all threads take part. */
bool model_session_for(cli *c, const model_tensors *t, int64_t threads, bool exact,
                       tlbc_session **out);
/* How many streams the inputs hold. */
uint32_t model_streams(const model_tensors *t);
/* A number of streams that a command is asked for; false after reporting. */
bool cli_check_streams(cli *c, int64_t n);
/* With so many streams. */
bool model_session_of(cli *c, const tlbc_model *m, int64_t threads, uint32_t streams, bool exact,
                      tlbc_session **out);
/* The name of the symbol that counts streams; NULL where none does. */
const char *model_stream_symbol(const tlbc_model *m);

double cli_seconds(void); /* monotonic clock */
/* "f32[batch,64]" */
const char *model_type_text(tl_arena *a, const tlbc_tensor_info *info);
const char *tensor_type_text(tl_arena *a, const tlbc_tensor *t);

#endif
