/* tlbc inspect: what is in a model, compiled or not. */
#include "cli/inspect.h"

#include "cli/commands.h"
#include "cli/file.h"

#include <elf.h>

static const inspect_args inspect_defaults = {.threads = 1};

static const cli_option inspect_options[] = {
    CLI_LIST(inspect_args, dims, "dim", "NAME=SIZE",
             "pin a symbolic dimension (.onnx), or its size for the workspace (.so)"),
    CLI_FLAG(inspect_args, quick, "quick", "of an .onnx, only what needs no compilation"),
    CLI_SIMPLIFY(inspect_args, simplify),
    CLI_FLAG(inspect_args, json, "json", "one JSON object on standard output"),
    CLI_FLAG(inspect_args, schedule, "schedule",
             "of an .onnx: measure which kernels run when, and where threads wait"),
    CLI_INT(inspect_args, threads, "threads", "N", "threads of the schedule (1)"),
    CLI_STRING(inspect_args, svg, "svg", "FILE", "draw the schedule into this file, too"),
};

void inspect_facts_init(inspect_facts *f, const char *path) {
    *f = (inspect_facts){.path = path,
                         .parameters = -1,
                         .parameter_bytes = -1,
                         .weight_bytes = -1,
                         .static_bytes = -1,
                         .unshared_bytes = -1,
                         .n_buffers = -1,
                         .state_bytes = -1,
                         .chunk = -1,
                         .delay = -1,
                         .workspace_bytes = -1,
                         .n_kernels = -1,
                         .code_bytes = -1,
                         .file_bytes = -1};
}

/* ---- machine code --------------------------------------------------------------------------------------------- */

int64_t inspect_code_bytes(tl_sv elf) {
    Elf64_Ehdr h;
    int64_t bytes = 0;
    if (elf.len < sizeof h || memcmp(elf.data, ELFMAG, SELFMAG)) return -1;
    memcpy(&h, elf.data, sizeof h);
    for (uint32_t i = 0; i < h.e_shnum; i++) {
        Elf64_Shdr s;
        uint64_t at = h.e_shoff + (uint64_t)i * sizeof s;
        if (at > elf.len || elf.len - at < sizeof s) return -1;
        memcpy(&s, elf.data + at, sizeof s);
        if (s.sh_flags & SHF_EXECINSTR) bytes += (int64_t)s.sh_size;
    }
    return bytes;
}

/* ---- .so ------------------------------------------------------------------------------------------------------ */

static inspect_value *values_of(cli *c, const tlbc_tensor_info *t, uint32_t n) {
    inspect_value *v = TL_NEW_ARRAY(c->arena, inspect_value, n + 1);
    for (uint32_t i = 0; i < n; i++)
        v[i] = (inspect_value){t[i].name, model_type_text(c->arena, &t[i]), t[i].delay};
    return v;
}

/* "f32[1,batch,64], zero at first, new rows written in place" */
static void gather_states(cli *c, const tlbc_model *m, inspect_facts *f) {
    f->states = TL_NEW_ARRAY(c->arena, inspect_value, m->n_states + 1);
    f->n_states = m->n_states;
    if (m->n_states) f->state_bytes = 0;
    if (m->chunk) f->chunk = m->chunk, f->delay = m->delay;
    if (m->tail) f->last_step = "may have fewer positions";
    if (m->no_tail) f->last_step = tl_arena_printf(c->arena, "a whole one: %s", m->no_tail);
    for (uint32_t i = 0; i < m->n_states; i++) {
        const tlbc_state_info *info = &m->states[i];
        const char *type = model_type_text(c->arena, &info->tensor);
        f->states[i] = (inspect_value){
            info->tensor.name,
            tl_arena_printf(c->arena, "%s, %s at first%s", type, info->initial ? "given" : "zero",
                            info->in_place ? ", new rows written in place" : ""),
            0};
        f->state_bytes += (int64_t)info->bytes;
    }
}

static bool is_input_size(const tlbc_model *m, uint32_t symbol) {
    for (uint32_t i = 0; i < m->n_inputs; i++)
        for (uint32_t d = 0; m->inputs[i].dims && d < m->inputs[i].rank; d++)
            if (m->inputs[i].dims[d].bind == (int32_t)symbol) return true;
    return false;
}

/* The sizes that the caller's inputs have; how long its states are a session knows. */
static const char *list_symbols(cli *c, const tlbc_model *m) {
    tl_str s;
    tl_str_init(&s, c->arena);
    for (uint32_t i = 0; i < m->n_symbols; i++)
        if (is_input_size(m, i)) tl_str_printf(&s, "%s%s", s.len ? ", " : "", m->symbols[i]);
    return s.data;
}

/* Of the workspace for one thread: of the static shapes, or of those that --dim gives. */
static bool gather_workspace(cli *c, const tlbc_model *m, cli_list dims, inspect_facts *f) {
    model_tensors t;
    tlbc_session *s;
    size_t bytes;
    const char *open = list_symbols(c, m);
    if (open[0] && dims.n == 0) {
        f->open_symbols = open;
        return true;
    }
    model_tensors_init(c, m, &t);
    if (!model_random_inputs(c, &t, dims, 1) || !model_session(c, m, 1, &s)) return false;
    tlbc_status status = tlbc_shapes(s, t.in, t.out, &bytes);
    if (status) model_report(c, s, status, m->name);
    tlbc_session_free(s);
    f->workspace_bytes = (int64_t)bytes;
    return status == TLBC_OK;
}

static void gather_descriptor(cli *c, const tlbc_model *m, inspect_facts *f) {
    f->compiled = true;
    f->name = m->name;
    f->made_by = m->compiler;
    f->target = m->target;
    f->options = m->options;
    f->sha256 = m->sha256;
    f->inputs = values_of(c, m->inputs, m->n_inputs);
    f->outputs = values_of(c, m->outputs, m->n_outputs);
    f->n_inputs = m->n_inputs;
    f->n_outputs = m->n_outputs;
    gather_states(c, m, f);
    f->n_entries = m->n_entries;
    f->entries = m->entries;
    f->weight_bytes = (int64_t)m->weight_bytes;
    f->flops_number = m->flops;
}

/* Prints while the model is open: names point into it. */
static bool inspect_library(cli *c, const inspect_args *args, inspect_facts *f,
                            void (*print)(cli *c, const inspect_facts *f)) {
    model_source source = {.path = f->path};
    model_handle h;
    tl_sv bytes;
    if (!model_open(c, &source, &h)) return false;
    bool ok = file_read(c->diag, c->arena, f->path, &bytes);
    if (ok) {
        f->file_bytes = (int64_t)bytes.len;
        f->code_bytes = inspect_code_bytes(bytes);
        gather_descriptor(c, h.model, f);
        ok = gather_workspace(c, h.model, args->dims, f);
    }
    if (ok) print(c, f);
    cli_report(c);
    model_close(&h);
    return ok;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static void print(cli *c, const inspect_facts *f) {
    const inspect_args *args = c->args;
    if (args->json)
        inspect_print_json(c, f);
    else
        inspect_print_text(f);
}

/* What is known is shown even where the model cannot be compiled. */
static bool inspect_model(cli *c, const inspect_args *args, inspect_facts *f) {
    bool ok = inspect_onnx(c, args, f);
    if (f->n_ops) print(c, f);
    return ok;
}

static int inspect_schedule(cli *c, const inspect_args *args) {
    const char *path = c->positional.items[0];
    if (strcmp(file_extension(path), ".onnx"))
        return cli_usage(c, "--schedule: '%s' is no .onnx file", path);
    bool ok = inspect_onnx_schedule(c, args, path);
    return cli_report(c) == CLI_DONE && ok ? cli_finish_output(c, stdout, "standard output")
                                           : CLI_FAILED;
}

static int inspect_main(cli *c) {
    const inspect_args *args = c->args;
    if (args->schedule || args->svg) return inspect_schedule(c, args);
    inspect_facts f;
    inspect_facts_init(&f, c->positional.items[0]);
    bool ok = strcmp(file_extension(f.path), ".onnx") ? inspect_library(c, args, &f, print)
                                                      : inspect_model(c, args, &f);
    if (!ok) {
        cli_report(c);
        return CLI_FAILED;
    }
    return cli_finish_output(c, stdout, "standard output");
}

const cli_command command_inspect = {
    .name = "inspect",
    .summary = "show what is in a model: inputs, outputs, operators, sizes, arithmetic, memory",
    .usage = "MODEL.onnx|MODEL.so [--dim NAME=SIZE] [--json] [--schedule [--svg FILE]]",
    .text =
        "Of an .onnx: operators after upgrading to the newest opset, floating-point parameters,\n"
        "arithmetic of the matrix products, and of the code for this machine: its size, the number "
        "of\n"
        "different kernels, the workspace (one block of the buffers of fixed size, slots for the "
        "others).\n"
        "Of a compiled model: what its descriptor says, and the workspace one thread needs.\n\n"
        "With --schedule: a line for each phase, from loop to loop, a picture of each thread's "
        "time and\n"
        "the kernels that take most of it, measured on made-up inputs. Each step costs some 30 ns "
        "to\n"
        "measure. '.' in the picture is waiting for other threads.\n\n"
        "  tlbc inspect model.onnx --dim batch=1\n"
        "  tlbc inspect model.onnx --dim batch=1 --schedule --threads 2 --svg timeline.svg\n",
    .options = inspect_options,
    .n_options = sizeof inspect_options / sizeof inspect_options[0],
    .min_args = 1,
    .max_args = 1,
    .defaults = &inspect_defaults,
    .args_size = sizeof(inspect_args),
    .run = inspect_main,
};
