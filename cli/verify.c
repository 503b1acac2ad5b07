/* tlbc verify: compiled code against the reference evaluator on the same inputs. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/model.h"
#include "frontend/frontend.h"

#include <math.h>

typedef struct verify_args {
    cli_list inputs, dims;
    const char *cpu, *passes, *skip;
    int64_t runs, threads, seed, ulp;
    double rtol, atol;
} verify_args;

static const verify_args verify_defaults = {
    .runs = 3, .threads = 1, .seed = 1, .ulp = 16, .rtol = 1e-4, .atol = 1e-5};

static const cli_option verify_options[] = {
    CLI_INT(verify_args, runs, "runs", "N", "runs, each with other random inputs (3)"),
    CLI_INT(verify_args, threads, "threads", "N", "threads (1)"),
    CLI_INT(verify_args, seed, "seed", "N", "of the random inputs (1)"),
    CLI_INT(verify_args, ulp, "ulp", "N", "units in the last place that are always fine (16)"),
    CLI_NUMBER(verify_args, rtol, "rtol", "R", "relative tolerance (0.0001)"),
    CLI_NUMBER(verify_args, atol, "atol", "A", "absolute tolerance (0.00001)"),
    CLI_LIST(verify_args, inputs, "input", "NAME=FILE",
             "value of an input; the others are made up"),
    CLI_LIST(verify_args, dims, "dim", "NAME=SIZE", "size of a symbolic dimension (1)"),
    CLI_STRING(verify_args, cpu, "cpu", "CPU", "compile for this processor (native)"),
    CLI_STRING(verify_args, passes, "passes", "LIST", "pass pipeline (default)"),
    CLI_STRING(verify_args, skip, "skip", "LIST", "passes to leave out"),
};

/* What is compared: the compiled model, and the graph as it was imported. */
typedef struct verify_job {
    cli *c;
    const verify_args *args;
    const ir_graph *graph;
    const tlbc_model *model;
    tlbc_session *session;
} verify_job;

/* The largest distance found in one output. */
typedef struct verify_worst {
    double ulp;
    double got, want;
    size_t index, wrong;
} verify_worst;

/* ---- distance in units in the last place ---------------------------------------------------------------------- */

/* Mantissa bits with the hidden one, and the smallest exponent. */
static void float_format(ir_dtype t, int *bits, int *min_exponent) {
    *bits = t == DT_f64 ? 53 : t == DT_f16 ? 11 : t == DT_bf16 ? 8 : 24;
    *min_exponent = t == DT_f64 ? -1022 : t == DT_f16 ? -14 : -126;
}

static double ulp_of(ir_dtype t, double want) {
    int bits, min_exponent, e;
    float_format(t, &bits, &min_exponent);
    frexp(want, &e);
    e = e - 1 < min_exponent ? min_exponent : e - 1;
    return ldexp(1, e - bits + 1);
}

static double distance(ir_dtype t, double got, double want) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want) ? 0 : INFINITY;
    if (got == want) return 0;
    if (isinf(got) || isinf(want)) return INFINITY;
    if (!ir_dtype_is_float(t)) return fabs(got - want);
    return fabs(got - want) / ulp_of(t, want);
}

static bool is_fine(const verify_args *a, ir_dtype t, double got, double want, double ulp) {
    if (!ir_dtype_is_float(t)) return ulp == 0;
    return ulp <= (double)a->ulp || fabs(got - want) <= a->atol + a->rtol * fabs(want);
}

static verify_worst find_worst(const verify_args *a, const tlbc_tensor *got,
                               const ir_tensor *want) {
    ir_dtype t = want->type->dtype;
    verify_worst w = {0};
    for (size_t i = 0, n = ir_tensor_elements(want); i < n; i++) {
        double x = ir_element_get_f64(t, got->data, i), y = ir_tensor_get_f64(want, i);
        double ulp = distance(t, x, y);
        if (!is_fine(a, t, x, y, ulp)) w.wrong++;
        if (ulp > w.ulp) w = (verify_worst){ulp, x, y, i, w.wrong};
    }
    return w;
}

/* ---- one run -------------------------------------------------------------------------------------------------- */

static bool evaluate(verify_job *j, const model_tensors *t, ir_datum *out) {
    uint32_t n = t->model->n_inputs;
    ir_eval e;
    ir_datum *in = TL_NEW_ARRAY(j->c->arena, ir_datum, n);
    const ir_datum **operands = TL_NEW_ARRAY(j->c->arena, const ir_datum *, n);
    for (uint32_t i = 0; i < n; i++) {
        in[i].tensor = data_to_ir(j->c, &t->in[i]);
        operands[i] = &in[i];
    }
    ir_eval_init(&e, &j->c->ctx, j->c->arena);
    return ir_eval_graph(&e, j->graph, operands, out);
}

/* The node that makes an output, for the message. */
static const char *node_of(cli *c, const ir_value *v) {
    const ir_node *n = v->def;
    if (!n) return "";
    const char *name = n->loc && n->loc->node ? n->loc->node : v->name ? v->name : "";
    return tl_arena_printf(c->arena, " (node '%s', %s)", name, op_get(n->op)->name);
}

static bool compare_output(verify_job *j, int64_t run, uint32_t i, const tlbc_tensor *got,
                           const ir_datum *want) {
    const char *name = j->model->outputs[i].name, *text;
    tlbc_tensor expected = data_from_ir(want->tensor);
    bool same_type = expected.dtype == got->dtype && expected.rank == got->rank &&
                     !memcmp(expected.dims, got->dims, got->rank * sizeof got->dims[0]);
    if (!same_type || got->dtype == TLBC_STRING) {
        if (data_compare(j->c->arena, got, &expected, (data_tolerance){0}, &text)) return true;
        return diag_error(j->c->diag, NULL, "run %lld, output %u '%s': %s", (long long)run, i, name,
                          text);
    }
    verify_worst w = find_worst(j->args, got, want->tensor);
    printf("run %lld: output %u '%s' %s: at most %.3g ULP, %zu wrong\n", (long long)run, i, name,
           tensor_type_text(j->c->arena, got), w.ulp, w.wrong);
    if (!w.wrong) return true;
    return diag_error(
        j->c->diag, NULL,
        "run %lld, output %u '%s'%s: %zu elements differ, the worst is number %zu: %.9g, "
        "expected %.9g (%.3g ULP)",
        (long long)run, i, name, node_of(j->c, ir_region_result(j->graph->body, i)), w.wrong,
        w.index, w.got, w.want, w.ulp);
}

static bool verify_run(verify_job *j, int64_t run) {
    model_tensors t;
    ir_datum *want = TL_NEW_ARRAY(j->c->arena, ir_datum, j->model->n_outputs);
    bool ok = true;
    model_tensors_init(j->c, j->model, &t);
    if (!model_bind_inputs(j->c, &t, j->args->inputs) ||
        !model_random_inputs(j->c, &t, j->args->dims, (uint64_t)(j->args->seed + run)) ||
        !model_alloc_outputs(j->c, j->session, &t))
        return false;
    tlbc_status status = tlbc_run(j->session, t.in, t.out);
    if (status) {
        model_report(j->c, j->session, status, j->model->name);
        return false;
    }
    if (!evaluate(j, &t, want)) return false;
    for (uint32_t i = 0; i < j->model->n_outputs; i++)
        ok &= compare_output(j, run, i, &t.out[i], &want[i]);
    return ok;
}

static bool verify_model(cli *c, const char *path) {
    const verify_args *args = c->args;
    verify_job j = {.c = c, .args = args};
    model_source source = {
        .path = path, .cpu = args->cpu, .passes = args->passes, .skip = args->skip};
    model_handle h;
    ir_module *m = fe_import_file(&c->ctx, c->arena, path, NULL);
    if (!m) return false;
    j.graph = m->graphs;
    if (!model_open(c, &source, &h)) return false;
    j.model = h.model;
    bool ok = model_session(c, j.model, args->threads, &j.session);
    for (int64_t run = 0; ok && run < args->runs; run++)
        ok = verify_run(&j, run);
    tlbc_session_free(j.session);
    cli_report(c); /* while the model's names are there */
    model_close(&h);
    return ok;
}

static int verify_main(cli *c) {
    if (!verify_model(c, c->positional.items[0])) {
        cli_report(c);
        return CLI_FAILED;
    }
    return cli_finish_output(c, stdout, "standard output");
}

const cli_command command_verify = {
    .name = "verify",
    .summary = "compare compiled code with the reference evaluator",
    .usage = "MODEL.onnx [--runs N] [--input NAME=FILE]",
    .text = "The graph as it was imported is evaluated operator by operator in plain loops; the "
            "compiled\n"
            "model runs on the same inputs. Integers must be equal; floats may differ by --ulp "
            "units in\n"
            "the last place or by the tolerances. Status 1 where an output differs.\n\n"
            "  tlbc verify model.onnx --dim batch=3 --runs 10\n",
    .options = verify_options,
    .n_options = sizeof verify_options / sizeof verify_options[0],
    .min_args = 1,
    .max_args = 1,
    .defaults = &verify_defaults,
    .args_size = sizeof(verify_args),
    .run = verify_main,
};
