/* tlbc compile: a model to a shared object, or to any of the forms on the way. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/file.h"
#include "cli/model.h"
#include "codegen/target.h"

#include <unistd.h>

typedef struct compile_args {
    int simplify;
    const char *output, *emit, *cpu, *passes, *skip, *explain, *math, *weights, *name;
    cli_list dims, states, first, streams, entries;
    bool list_cpus, quiet, batch_streams;
} compile_args;

static const compile_args compile_defaults = {.emit = "so", .math = "default", .weights = "embed"};

static const cli_option compile_options[] = {
    {"output", "FILE", 'o', CLI_KIND_STRING, offsetof(compile_args, output),
     "what to write (the model's name with .so, here)"},
    CLI_STRING(compile_args, emit, "emit", "KINDS",
               "list of so, obj, header, asm, llvm, loop, graph (so)"),
    CLI_STRING(compile_args, cpu, "cpu", "CPUS",
               "native, or a list for one .so with several versions (native)"),
    CLI_LIST(compile_args, dims, "dim", "NAME=SIZE", "pin a symbolic dimension of the inputs"),
    CLI_LIST(compile_args, states, "state", "IN=OUT[@N][,...]",
             "an input and an output that carry one state from step to step"),
    CLI_LIST(compile_args, first, "first", "STATE=FILE",
             "what a state of --state begins with: .npy or .pb (zeros)"),
    CLI_LIST(compile_args, streams, "stream", "IN:AXIS:CHUNK",
             "make a step function of CHUNK positions along an axis of an input"),
    CLI_BATCH_STREAMS(compile_args, batch_streams),
    CLI_LIST(compile_args, entries, "entry", "NAME=FILE.onnx",
             "another entry point; states of the same names are one"),
    CLI_STRING(compile_args, math, "math", "LEVEL",
               "how far rounding may change: strict, default, fast (default)"),
    CLI_STRING(compile_args, weights, "weights", "WHERE",
               "embed, or file: NAME.weights beside the .so (embed)"),
    CLI_STRING(compile_args, name, "name", "NAME",
               "of the model, for its header and symbols (the file's)"),
    CLI_STRING(compile_args, passes, "passes", "LIST", "pass pipeline (default)"),
    CLI_SIMPLIFY(compile_args, simplify),
    CLI_STRING(compile_args, skip, "skip", "LIST", "passes to leave out"),
    CLI_STRING(compile_args, explain, "explain", "PASS",
               "what this pass found and why, on standard error"),
    CLI_FLAG(compile_args, list_cpus, "list-cpus", "list the processors --cpu knows and end"),
    CLI_FLAG(compile_args, quiet, "quiet", "no line about what was written"),
};

static const struct {
    const char *name;
    unsigned bit;
} emit_names[] = {
    {"so", TLBC_EMIT_SO},       {"obj", TLBC_EMIT_OBJ},   {"header", TLBC_EMIT_HEADER},
    {"asm", TLBC_EMIT_ASM},     {"llvm", TLBC_EMIT_LLVM}, {"loop", TLBC_EMIT_LOOP},
    {"graph", TLBC_EMIT_GRAPH},
};

enum { N_EMIT = sizeof emit_names / sizeof emit_names[0] };

/* The bits of "so,header"; 0 where a word is unknown. */
static unsigned parse_emit(const char *list) {
    unsigned bits = 0;
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        unsigned bit = 0;
        for (int i = 0; i < N_EMIT; i++)
            if (strlen(emit_names[i].name) == n && !memcmp(p, emit_names[i].name, n))
                bit = emit_names[i].bit;
        if (!bit) return 0;
        bits |= bit;
        p += n;
        if (!*p) return bits;
    }
}

static bool parse_word(const char *text, const char *const *words, int n, int *out) {
    for (*out = 0; *out < n; ++*out)
        if (!strcmp(text, words[*out])) return true;
    return false;
}

/* NULL after reporting. */
static const tlbc_state_value *read_first(cli *c, cli_list first) {
    tlbc_state_value *v = TL_NEW_ARRAY(c->arena, tlbc_state_value, (size_t)first.n + 1);
    for (uint32_t i = 0; i < first.n; i++) {
        const char *path;
        size_t n;
        if (!cli_split(first.items[i], &path, &n)) {
            diag_error(c->diag, NULL, "--first '%s': expected STATE=FILE", first.items[i]);
            return NULL;
        }
        v[i].name = tl_arena_strndup(c->arena, first.items[i], n);
        if (!data_read(c, path, "", &v[i].value)) return NULL;
    }
    return v;
}

/* The flags that shape the model, as they are recorded in it; paths do not belong there. */
static const char *describe(cli *c, const compile_args *args) {
    tl_str s;
    tl_str_init(&s, c->arena);
    tl_str_printf(&s, "--cpu=%s", args->cpu ? args->cpu : "native");
    for (uint32_t i = 0; i < args->dims.n; i++)
        tl_str_printf(&s, " --dim %s", args->dims.items[i]);
    for (uint32_t i = 0; i < args->states.n; i++)
        tl_str_printf(&s, " --state %s", args->states.items[i]);
    for (uint32_t i = 0; i < args->first.n; i++)
        tl_str_printf(&s, " --first %.*s", (int)strcspn(args->first.items[i], "="),
                      args->first.items[i]);
    for (uint32_t i = 0; i < args->streams.n; i++)
        tl_str_printf(&s, " --stream %s", args->streams.items[i]);
    if (args->batch_streams) tl_str_printf(&s, " --batch-streams");
    for (uint32_t i = 0; i < args->entries.n; i++)
        tl_str_printf(&s, " --entry %s", args->entries.items[i]);
    if (strcmp(args->math, "default")) tl_str_printf(&s, " --math=%s", args->math);
    if (strcmp(args->weights, "embed")) tl_str_printf(&s, " --weights=%s", args->weights);
    if (args->simplify)
        tl_str_printf(&s, " --simplify=%s",
                      args->simplify == TLBC_SIMPLIFY_NONE ? "none" : "classic");
    if (args->passes) tl_str_printf(&s, " --passes=%s", args->passes);
    if (args->skip) tl_str_printf(&s, " --skip=%s", args->skip);
    return s.data;
}

static void show_stage(void *data, const char *stage) {
    char text[256];
    snprintf(text, sizeof text, "%s: %s", (const char *)data, stage);
    cli_progress(text);
}

static int list_cpus(cli *c) {
    tl_str s;
    tl_str_init(&s, c->arena);
    cg_target_list(&s);
    fputs(s.data, stdout);
    return cli_finish_output(c, stdout, "standard output");
}

static int compile_model(cli *c, const compile_args *args, const char *onnx,
                         tlbc_compile_options *o) {
    const char *output = args->output
                             ? args->output
                             : tl_arena_printf(c->arena, "%s.so", file_stem(c->arena, onnx));
    char *message;
    double start = cli_seconds();
    tlbc_status status = tlbc_compile_file(onnx, output, o, &message);
    cli_progress(NULL);
    cli_take_message(c, status, onnx, message);
    int result = cli_report(c);
    if (status || result) return CLI_FAILED;
    if (!args->quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "%s: compiled in %.2f s\n", output, cli_seconds() - start);
    return CLI_DONE;
}

static int compile_main(cli *c) {
    static const char *const math[] = {"default", "strict", "fast"}, *const weights[] = {"embed",
                                                                                         "file"};
    const compile_args *args = c->args;
    const char *onnx;
    int math_number, weights_number;
    unsigned emit = parse_emit(args->emit);
    if (args->list_cpus) return list_cpus(c);
    if (c->positional.n == 0) return cli_usage(c, "an argument is missing: MODEL.onnx");
    if (!emit)
        return cli_usage(c, "--emit: '%s' is not a list of so, obj, header, asm, llvm, loop, graph",
                         args->emit);
    if (!parse_word(args->math, math, 3, &math_number))
        return cli_usage(c, "--math: expected strict, default or fast");
    if (!parse_word(args->weights, weights, 2, &weights_number))
        return cli_usage(c, "--weights: expected embed or file");
    onnx = c->positional.items[0];
    tlbc_compile_options o = {.struct_size = sizeof o,
                              .emit = emit,
                              .name = args->name,
                              .cpu = args->cpu,
                              .dims = args->dims.items,
                              .n_dims = args->dims.n,
                              .math = (tlbc_math)math_number,
                              .weights = (tlbc_weights)weights_number,
                              .passes = args->passes,
                              .skip = args->skip,
                              .simplify = (tlbc_simplify)args->simplify,
                              .explain = args->explain,
                              .command_line = describe(c, args),
                              .progress = show_stage,
                              .progress_data = (void *)(uintptr_t)onnx,
                              .states = args->states.items,
                              .n_states = args->states.n,
                              .streams = args->streams.items,
                              .n_streams = args->streams.n,
                              .batch_streams = args->batch_streams,
                              .entries = args->entries.items,
                              .n_entries = args->entries.n,
                              .n_state_values = args->first.n};
    o.state_values = read_first(c, args->first);
    if (!o.state_values) return 1;
    return compile_model(c, args, onnx, &o);
}

const cli_command command_compile = {
    .name = "compile",
    .summary = "compile a model to a shared object",
    .usage = "MODEL.onnx [-o MODEL.so] [--emit=KINDS] [--cpu=CPUS] [--dim NAME=SIZE]",
    .text = "With one kind of output, -o is exactly that file; with several, its name without "
            "extension is\n"
            "used for all of them (.so .o .h .s .ll .loop .tl). A file appears only when it is "
            "complete.\n"
            "With graph beside so or obj, the code has debug information that points into it.\n\n"
            "  tlbc compile model.onnx -o model.so --emit=so,header --dim batch=1\n"
            "  tlbc compile model.onnx -o model.so --cpu=x86-64-v4,x86-64-v3,x86-64-v2\n"
            "  tlbc compile model.onnx -o model.loop --emit=loop\n",
    .options = compile_options,
    .n_options = sizeof compile_options / sizeof compile_options[0],
    .min_args = 0,
    .max_args = 1,
    .defaults = &compile_defaults,
    .args_size = sizeof(compile_args),
    .run = compile_main,
};
