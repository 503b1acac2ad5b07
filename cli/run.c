/* tlbc run: one run of a model on inputs from files, outputs as .npy files. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/file.h"
#include "cli/model.h"
#include "cli/state_file.h"
#include "cli/steps.h"

typedef struct run_args {
    model_source source; /* without the path */
    cli_list inputs;
    const char *output_dir, *load_state, *save_state;
    int64_t threads, seed;
    bool random;
} run_args;

static const run_args run_defaults = {.threads = 1};

static const cli_option run_options[] = {
    CLI_LIST(run_args, inputs, "input", "NAME=FILE",
             "value of an input; FILE.npz alone: all in it"),
    CLI_STRING(run_args, output_dir, "output-dir", "DIR", "write each output to DIR/NAME.npy"),
    CLI_FLAG(run_args, random, "random", "make up the inputs that are not given"),
    CLI_INT(run_args, threads, "threads", "N", "threads (1)"),
    CLI_INT(run_args, seed, "seed", "N",
            "what random operators without a seed of their own begin with (0)"),
    CLI_LIST(run_args, source.dims, "dim", "NAME=SIZE",
             "pin a symbolic dimension (.onnx), or its size for --random"),
    CLI_SOURCE(run_args),
    CLI_STRING(run_args, load_state, "load-state", "FILE",
               "begin with the states that --save-state wrote"),
    CLI_STRING(run_args, save_state, "save-state", "FILE", "write the states behind the last step"),
};

static bool write_outputs(cli *c, const run_args *args, const model_tensors *t) {
    if (args->output_dir && !file_make_folder(c->diag, args->output_dir)) return false;
    for (uint32_t i = 0; i < t->model->n_outputs; i++) {
        const char *name = t->model->outputs[i].name;
        printf("%s %s\n", name, tensor_type_text(c->arena, &t->out[i]));
        if (args->output_dir && !data_write(c, args->output_dir, name, &t->out[i])) return false;
    }
    return true;
}

/* A step function runs as many steps as the inputs are long. */
static bool run_steps(cli *c, const run_args *args, tlbc_session *s, model_tensors *t) {
    step_plan p;
    uint32_t streams = model_streams(t);
    if (args->load_state && !state_file_load(c, s, args->load_state, streams)) return false;
    if (!steps_plan(c, t, &p) || !steps_run(c, s, &p, t)) return false;
    if (args->save_state && !state_file_save(c, s, args->save_state, streams)) return false;
    printf("%lld step%s\n", (long long)p.steps, p.steps == 1 ? "" : "s");
    return write_outputs(c, args, t);
}

static bool run_session(cli *c, const run_args *args, tlbc_session *s, model_tensors *t) {
    const char *states = args->load_state ? args->load_state : args->save_state;
    if (model_is_step(t->model)) return run_steps(c, args, s, t);
    if (states)
        return diag_error(c->diag, NULL, "%s: %s is no step function: it has no states", states,
                          t->model->name);
    if (!model_alloc_outputs(c, s, t)) return false;
    tlbc_status status = tlbc_run(s, t->in, t->out);
    if (status) {
        model_report(c, s, status, t->model->name);
        return false;
    }
    return write_outputs(c, args, t);
}

static bool run_model(cli *c, const run_args *args, const tlbc_model *m) {
    model_tensors t;
    tlbc_session *s;
    model_tensors_init(c, m, &t);
    t.seed = (uint64_t)args->seed;
    if (!model_bind_inputs(c, &t, args->inputs)) return false;
    if (args->random && !model_random_inputs(c, &t, args->source.dims, 1)) return false;
    if (!args->random && !model_require_inputs(c, &t)) return false;
    if (!model_session_for(c, &t, args->threads, false, &s)) return false;
    bool ok = run_session(c, args, s, &t);
    tlbc_session_free(s);
    return ok;
}

static int run_main(cli *c) {
    const run_args *args = c->args;
    model_source source = args->source;
    model_handle h;
    source.path = c->positional.items[0];
    if (!model_open(c, &source, &h)) return cli_report(c);
    bool ok = run_model(c, args, h.model);
    int status = cli_report(c); /* before the model's strings go */
    model_close(&h);
    if (!ok) return CLI_FAILED;
    return status ? status : cli_finish_output(c, stdout, "standard output");
}

const cli_command command_run = {
    .name = "run",
    .summary = "run a model once",
    .usage = "MODEL.so|MODEL.onnx --input NAME=FILE ... [--output-dir DIR]",
    .text = "Inputs are .npy, .npz or .pb (ONNX TensorProto) files. Names and types of the outputs "
            "are\n"
            "printed, a line each; characters of a name that a file cannot have become '_'.\n\n"
            "  tlbc run mnist.so --input image=seven.npy --output-dir out\n"
            "  tlbc run model.onnx --random --dim batch=4\n\n"
            "A step function runs as many steps as its inputs are long; its states can go from one "
            "run to the\n"
            "next:\n\n"
            "  tlbc run step.so --input x=monday.npy --save-state monday.state\n"
            "  tlbc run step.so --input x=tuesday.npy --load-state monday.state\n",
    .options = run_options,
    .n_options = sizeof run_options / sizeof run_options[0],
    .min_args = 1,
    .max_args = 1,
    .defaults = &run_defaults,
    .args_size = sizeof(run_args),
    .run = run_main,
};
