/* tlbc opt: text IR in, passes, text IR out; the golden tests' tool. */
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/model.h"
#include "codegen/output.h"
#include "frontend/frontend.h"
#include "passes/pass.h"

typedef struct opt_args {
    int simplify;
    const char *passes, *output, *constants, *math, *skip, *print_only, *explain;
    cli_list states, streams;
    int64_t bisect;
    bool verify, locations, print, print_changed, roundtrip, eval, time, stats, list, batch_streams;
} opt_args;

static const opt_args opt_defaults = {.passes = "", .constants = "hash", .math = "default"};

static const cli_option opt_options[] = {
    CLI_STRING(opt_args, passes, "passes", "LIST",
               "'a,b,fix(c,d)' or 'default'; none where not given"),
    {"output", "FILE", 'o', CLI_KIND_STRING, offsetof(opt_args, output),
     "write there (standard output)"},
    CLI_FLAG(opt_args, verify, "verify", "verify after every pass, and the input"),
    CLI_STRING(opt_args, constants, "constants", "HOW", "hash, full or none (hash)"),
    CLI_FLAG(opt_args, locations, "locations", "say which ONNX node a line comes from"),
    CLI_STRING(opt_args, math, "math", "LEVEL", "strict, default or fast (default)"),
    CLI_SIMPLIFY(opt_args, simplify),
    CLI_STRING(opt_args, skip, "skip", "LIST", "passes to leave out"),
    CLI_LIST(opt_args, states, "state", "IN=OUT[@N][,...]",
             "an input and an output that carry one state from step to step"),
    CLI_STRING(opt_args, explain, "explain", "PASS",
               "what this pass found and why, on standard error"),
    CLI_LIST(opt_args, streams, "stream", "IN:AXIS:CHUNK",
             "make a step function of CHUNK positions along an axis of an input"),
    CLI_BATCH_STREAMS(opt_args, batch_streams),
    CLI_INT(opt_args, bisect, "bisect", "N", "stop after N changes"),
    CLI_FLAG(opt_args, print, "print", "the graph after every pass, on standard error"),
    CLI_FLAG(opt_args, print_changed, "print-changed",
             "the same, only after passes that changed it"),
    CLI_STRING(opt_args, print_only, "print-only", "PASS", "the same, only after this pass"),
    CLI_FLAG(opt_args, roundtrip, "roundtrip", "print, parse and compare after every pass"),
    CLI_FLAG(opt_args, eval, "eval", "compare with the reference evaluator after every pass"),
    CLI_FLAG(opt_args, time, "time", "time of every pass, on standard error"),
    CLI_FLAG(opt_args, stats, "stats", "what every pass did, on standard error"),
    CLI_FLAG(opt_args, list, "list", "list the passes and end"),
};

static const char *const constants_names[] = {
    [IR_CONSTANTS_HASH] = "hash", [IR_CONSTANTS_FULL] = "full", [IR_CONSTANTS_NONE] = "none"};
static const char *const math_names[] = {
    [PASS_MATH_STRICT] = "strict", [PASS_MATH_DEFAULT] = "default", [PASS_MATH_FAST] = "fast"};

static int find_name(const char *const *names, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

static ir_module *read_module(cli *c, const char *path) {
    tl_sv text;
    if (!strcmp(file_extension(path), ".onnx"))
        return fe_import_file(&c->ctx, c->arena, path, NULL);
    if (!file_read(c->diag, c->arena, path, &text)) return NULL;
    return ir_module_parse(&c->ctx, c->arena, path, text.data, text.len);
}

static bool run_passes(cli *c, const opt_args *args, ir_module *m, pass_math math) {
    pass_options o = {
        .states = args->states.items,
        .n_states = args->states.n,
        .streams = args->streams.items,
        .n_streams = args->streams.n,
        .batch_streams = args->batch_streams,
        .math_plus_one = math + 1,
        .skip = args->skip,
        .simplify = (pass_simplify_engine)args->simplify,
        .bisect = args->bisect,
        .verify = args->verify,
        .print = args->print,
        .print_changed = args->print_changed,
        .roundtrip = args->roundtrip,
        .eval = args->eval,
        .time = args->time,
        .stats = args->stats,
        .print_only = args->print_only,
        .explain = args->explain,
        .command_line = tl_arena_printf(c->arena, "tlbc opt --passes=%s", args->passes)};
    if (!pass_options_add_environment(&o, &c->ctx)) return false;
    if (args->verify && !ir_module_verify(m)) return false;
    return (!args->passes[0] && !o.n_states) || pass_run(m, args->passes, &o);
}

static int write_module(cli *c, const opt_args *args, const ir_module *m, int constants) {
    tl_str text;
    ir_print_options o = {.locations = args->locations};
    o.constants = constants;
    tl_str_init(&text, c->arena);
    ir_module_print(m, &o, &text);
    if (args->output)
        return cg_file_write(&c->ctx, args->output, (tl_sv){text.data, text.len}) ? CLI_DONE
                                                                                  : cli_report(c);
    fwrite(text.data, 1, text.len, stdout);
    return cli_finish_output(c, stdout, "standard output");
}

static int list_passes(cli *c) {
    uint32_t n;
    const pass_info *p = pass_list(&n);
    for (uint32_t i = 0; i < n; i++)
        printf("%-24s %s\n", p[i].name, p[i].summary);
    return cli_finish_output(c, stdout, "standard output");
}

static int opt_main(cli *c) {
    const opt_args *args = c->args;
    int constants = find_name(constants_names, 3, args->constants);
    int math = find_name(math_names, 3, args->math);
    if (args->list) return list_passes(c);
    if (c->positional.n == 0) return cli_usage(c, "an argument is missing: FILE.tl");
    if (constants < 0) return cli_usage(c, "--constants: expected hash, full or none");
    if (math < 0) return cli_usage(c, "--math: expected strict, default or fast");
    ir_module *m = read_module(c, c->positional.items[0]);
    if (!m || !run_passes(c, args, m, (pass_math)math)) return cli_report(c);
    return write_module(c, args, m, constants);
}

const cli_command command_opt = {
    .name = "opt",
    .summary = "run passes on text IR (or an imported .onnx) and print it",
    .usage = "FILE.tl|MODEL.onnx [--passes=a,b] [--verify] [-o FILE]",
    .text = "  tlbc opt graph.tl --passes=fold_constants,dce --verify\n"
            "  tlbc opt model.onnx --constants=none            what the importer made of a model\n"
            "  tlbc opt model.onnx --passes=default --print-changed\n",
    .options = opt_options,
    .n_options = sizeof opt_options / sizeof opt_options[0],
    .min_args = 0,
    .max_args = 1,
    .defaults = &opt_defaults,
    .args_size = sizeof(opt_args),
    .run = opt_main,
};
