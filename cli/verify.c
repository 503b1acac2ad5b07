/* tlbc verify: compiled code against the reference evaluator on the same inputs. Three comparisons find three kinds of bugs:
 *
 *   each node, on the operands that compiled code had      lowering, kernels
 *   the graph after all passes against the imported one    passes; the guilty one is searched for
 *   the compiled model's outputs                           all the rest: memory plan, barriers */
#include "cli/verify.h"

#include "cli/commands.h"
#include "frontend/frontend.h"

typedef struct verify_args {
    int simplify;
    cli_list inputs, dims, states, streams;
    const char *cpu, *passes, *skip;
    int64_t runs, threads, seed, n_streams;
    double ulp, rtol, atol;
} verify_args;

static const verify_args verify_defaults = {
    .runs = 3, .threads = 1, .seed = 1, .ulp = -1, .rtol = -1, .atol = -1};

static const cli_option verify_options[] = {
    CLI_INT(verify_args, runs, "runs", "N", "runs, each with other random inputs (3)"),
    CLI_INT(verify_args, threads, "threads", "N", "threads (1)"),
    CLI_INT(verify_args, seed, "seed", "N", "of the random inputs (1)"),
    CLI_NUMBER(verify_args, ulp, "ulp", "N",
               "units in the last place that are always fine (16); alone: nothing else is"),
    CLI_NUMBER(verify_args, rtol, "rtol", "R", "relative tolerance (0.0001)"),
    CLI_NUMBER(verify_args, atol, "atol", "A", "absolute tolerance (0.00001)"),
    CLI_LIST(verify_args, inputs, "input", "NAME=FILE",
             "value of an input; the others are made up"),
    CLI_LIST(verify_args, dims, "dim", "NAME=SIZE", "size of a symbolic dimension (1)"),
    CLI_STRING(verify_args, cpu, "cpu", "CPU", "compile for this processor (native)"),
    CLI_STRING(verify_args, passes, "passes", "LIST", "pass pipeline (default)"),
    CLI_SIMPLIFY(verify_args, simplify),
    CLI_STRING(verify_args, skip, "skip", "LIST", "passes to leave out"),
    CLI_LIST(verify_args, streams, "stream", "IN:AXIS:CHUNK",
             "instead: a step function against the whole sequence"),
    CLI_LIST(verify_args, states, "state", "IN=OUT[,...]",
             "instead: kept states against states that go in and out"),
    CLI_INT(verify_args, n_streams, "streams", "N",
            "instead: N streams in one session against sessions of one each"),
};

static verify_tolerance tolerance_of(const verify_args *a) {
    bool exact = a->ulp >= 0 && a->rtol < 0 && a->atol < 0;
    return (verify_tolerance){.ulp = a->ulp >= 0 ? a->ulp : 16,
                              .rtol = a->rtol >= 0 ? a->rtol
                                      : exact      ? 0
                                                   : 1e-4,
                              .atol = a->atol >= 0 ? a->atol
                                      : exact      ? 0
                                                   : 1e-5};
}

/* ---- evaluation ----------------------------------------------------------------------------------------------- */

bool verify_evaluate(verify_job *j, const ir_module *m, const model_tensors *t, ir_datum *out,
                     void (*on_node)(void *data, const ir_node *n, ir_datum *out), void *data) {
    uint32_t n = t->model->n_inputs;
    ir_eval e;
    ir_datum *in = TL_NEW_ARRAY(j->c->arena, ir_datum, n);
    const ir_datum **operands = TL_NEW_ARRAY(j->c->arena, const ir_datum *, n);
    for (uint32_t i = 0; i < n; i++) {
        in[i].tensor = data_to_ir(j->c, &t->in[i]);
        operands[i] = &in[i];
    }
    ir_eval_init(&e, &j->c->ctx, j->c->arena);
    e.on_node = on_node;
    e.on_node_data = data;
    return ir_eval_graph(&e, m->graphs, operands, out);
}

/* ---- passes --------------------------------------------------------------------------------------------------- */

typedef struct outputs {
    verify_job *j;
    const model_tensors *t;
    const ir_datum *want; /* of the graph as imported */
} outputs;

/* The first output that differs, or -1. A graph that cannot be evaluated differs, too. */
static int64_t find_difference(const outputs *o, const ir_module *m, const char **text) {
    verify_job *j = o->j;
    uint32_t n = j->model->n_outputs;
    ir_datum *got = TL_NEW_ARRAY(j->c->arena, ir_datum, n);
    *text = "cannot be evaluated";
    if (!verify_evaluate(j, m, o->t, got, NULL, NULL)) return 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!got[i].tensor || !o->want[i].tensor) continue;
        verify_result r = verify_compare(j->c->arena, &j->tolerance, got[i].tensor,
                                         o->want[i].tensor);
        *text = r.text;
        if (r.wrong) return i;
    }
    return -1;
}

static bool differs(void *data, const ir_module *m) {
    const outputs *o = data;
    const char *text;
    diag saved = o->j->c->ctx.diag;
    bool bad = find_difference(o, m, &text) >= 0;
    o->j->c->ctx.diag = saved;
    return bad;
}

static bool verify_passes(const outputs *o, int64_t run) {
    cli *c = o->j->c;
    const verify_args *args = c->args;
    const char *text;
    pass_trace culprit;
    pass_options options = {.skip = args->skip, .simplify = (pass_simplify_engine)args->simplify};
    int64_t output = find_difference(o, o->j->optimised, &text);
    if (output < 0) return true;
    diag_error(c->diag, NULL,
               "run %lld: the passes change what the graph computes: output %lld '%s': %s",
               (long long)run, (long long)output, o->j->model->outputs[output].name, text);
    if (pass_bisect(o->j->imported, args->passes ? args->passes : "default", &options, differs,
                    (void *)(uintptr_t)o, &culprit))
        diag_note(c->diag, NULL, "it is change %lld, by pass %s; --skip=%s leaves such changes out",
                  (long long)culprit.changes, culprit.last, culprit.last);
    return false;
}

/* ---- one run -------------------------------------------------------------------------------------------------- */

/* Lists and strings have no ULPs: they are compared as test data is. */
static bool compare_value(verify_job *j, int64_t run, uint32_t i, const tlbc_tensor *got,
                          const ir_datum *want) {
    const char *text, *name = j->model->outputs[i].name;
    tlbc_tensor expected;
    if (ir_datum_fits_runtime(want)) ir_datum_to_runtime(j->c->arena, want, &expected);
    bool same = ir_datum_fits_runtime(want) &&
                data_compare(j->c->arena, got, &expected, (data_tolerance){1e-3, 1e-7}, &text);
    printf("run %lld: output %u '%s' %s: %s\n", (long long)run, i, name,
           tensor_type_text(j->c->arena, got), same ? "equal" : "wrong");
    return same || diag_error(j->c->diag, NULL, "run %lld: output %u '%s' differs", (long long)run,
                              i, name);
}

static bool compare_output(verify_job *j, int64_t run, uint32_t i, const tlbc_tensor *got,
                           const ir_datum *want) {
    const char *name = j->model->outputs[i].name;
    if (got->dtype >= TLBC_SEQUENCE || got->dtype == TLBC_STRING)
        return compare_value(j, run, i, got, want);
    verify_result r = verify_compare(j->c->arena, &j->tolerance, data_to_ir(j->c, got),
                                     want->tensor);
    printf("run %lld: output %u '%s' %s: at most %.3g ULP, %zu wrong\n", (long long)run, i, name,
           tensor_type_text(j->c->arena, got), r.ulp, r.wrong);
    if (!r.wrong) return true;
    return diag_error(j->c->diag, NULL, "run %lld: output %u '%s': %s", (long long)run, i, name,
                      r.text);
}

static bool compare_outputs(const outputs *o, int64_t run) {
    bool same = true;
    for (uint32_t i = 0; i < o->j->model->n_outputs; i++)
        same &= compare_output(o->j, run, i, &o->t->out[i], &o->want[i]);
    return same;
}

static bool make_inputs(verify_job *j, int64_t run, model_tensors *t) {
    const verify_args *args = j->c->args;
    model_tensors_init(j->c, j->model, t);
    return model_bind_inputs(j->c, t, args->inputs) &&
           model_random_inputs(j->c, t, args->dims, (uint64_t)(args->seed + run)) &&
           model_alloc_outputs(j->c, j->session, t);
}

/* Not every model runs on made-up sizes. */
static bool explain_failure(const verify_job *j) {
    for (uint32_t i = 0; i < j->model->n_symbols; i++)
        diag_note(j->c->diag, NULL, "dimension '%s' may need another size: --dim %s=N",
                  j->model->symbols[i], j->model->symbols[i]);
    return false;
}

/* Nodes first: what is reported first is nearest to the cause. */
static bool verify_run(verify_job *j, int64_t run) {
    model_tensors t;
    ir_datum *want = TL_NEW_ARRAY(j->c->arena, ir_datum, j->model->n_outputs);
    outputs o = {j, &t, want};
    if (!make_inputs(j, run, &t)) return explain_failure(j);
    tlbc_status status = tlbc_run(j->session, t.in, t.out);
    if (status) {
        model_report(j->c, j->session, status, j->model->name);
        return false;
    }
    if (!verify_evaluate(j, j->imported, &t, want, NULL, NULL)) return explain_failure(j);
    bool nodes = verify_nodes_run(j, run, &t), passes = verify_passes(&o, run),
         same = compare_outputs(&o, run);
    return nodes && passes && same;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static bool optimise(verify_job *j) {
    const verify_args *args = j->c->args;
    ir_module *m = ir_module_clone(j->imported, j->c->arena), *compiled;
    pass_options o = {.skip = args->skip,
                      .simplify = (pass_simplify_engine)args->simplify,
                      .command_line = "tlbc verify"};
    if (!pass_options_add_environment(&o, &j->c->ctx) ||
        !pass_run(m, args->passes ? args->passes : "default", &o))
        return false;
    j->optimised = m;
    compiled = ir_module_clone(m, j->c->arena);
    j->model = verify_build(j, compiled, "model");
    return j->model && model_session(j->c, j->model, j->threads, &j->session);
}

static bool verify_model(cli *c, const char *path) {
    const verify_args *args = c->args;
    verify_job j = {
        .c = c, .tolerance = tolerance_of(args), .threads = args->threads, .cpu = args->cpu};
    j.imported = fe_import_file(&c->ctx, c->arena, path, NULL);
    bool ok = j.imported && optimise(&j) && verify_nodes_prepare(&j);
    for (int64_t run = 0; ok && run < args->runs; run++)
        ok = verify_run(&j, run);
    verify_nodes_release(&j);
    tlbc_session_free(j.session);
    return ok;
}

/* Bits, not tolerances: the two are to be the same program on the same data. */
static bool verify_steps(cli *c, const char *path) {
    const verify_args *args = c->args;
    verify_job j = {.c = c, .threads = args->threads, .cpu = args->cpu};
    verify_stream_options o = {.states = args->states,
                               .streams = args->streams,
                               .dims = args->dims,
                               .passes = args->passes,
                               .skip = args->skip,
                               .simplify = args->simplify,
                               .runs = args->runs,
                               .seed = args->seed,
                               .n_streams = args->n_streams};
    if (o.n_streams && !cli_check_streams(c, o.n_streams)) return false;
    if (o.n_streams) return verify_many(&j, path, &o);
    return o.streams.n ? verify_stream(&j, path, &o) : verify_state(&j, path, &o);
}

static int verify_main(cli *c) {
    const verify_args *args = c->args;
    const char *path = c->positional.items[0];
    bool steps = args->streams.n || args->states.n || args->n_streams;
    if (!(steps ? verify_steps(c, path) : verify_model(c, path))) {
        cli_report(c);
        return CLI_FAILED;
    }
    return cli_finish_output(c, stdout, "standard output");
}

const cli_command command_verify = {
    .name = "verify",
    .summary = "compare compiled code with the reference evaluator",
    .usage = "MODEL.onnx [--runs N] [--input NAME=FILE]",
    .text =
        "The evaluator computes every operator in plain loops. Each node of the graph after all "
        "passes\n"
        "is compared on the operands that compiled code had, so that the first one reported is the "
        "one\n"
        "at fault; then what the passes made of the imported graph, and where that differs, which "
        "change\n"
        "of which pass it is; then the model's outputs. Integers must be equal; floats may differ "
        "by\n"
        "--ulp units in the last place or by the tolerances. Status 1 where something differs.\n\n"
        "With --stream the model is compiled for the whole sequence and as a step function, and "
        "both "
        "run on\n"
        "sequences of random lengths: all bits must be equal. With --state a model that has its "
        "states\n"
        "as inputs and outputs runs beside the step function that keeps them. A .tl file will do, "
        "too.\n"
        "With --streams beside one of these (or of a .tl file with states), streams that join and "
        "leave at\n"
        "random share one session, with rows multiplied together where --batch-streams can do "
        "so.\n\n"
        "  tlbc verify model.onnx --dim batch=3 --runs 10\n"
        "  tlbc verify model.onnx --stream tokens:1:32 --runs 20\n"
        "  tlbc verify lstm.onnx --state h0=hn,c0=cn --streams 9\n",
    .options = verify_options,
    .n_options = sizeof verify_options / sizeof verify_options[0],
    .min_args = 1,
    .max_args = 1,
    .defaults = &verify_defaults,
    .args_size = sizeof(verify_args),
    .run = verify_main,
};
