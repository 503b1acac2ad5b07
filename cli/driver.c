/* The compile API (include/tlbc/tlbc.h): reads as the pipeline. Everything a call makes lives in its context; memory that runs out
 * anywhere lands in driver_guarded, which drops the context. */
#include "tlbc/tlbc.h"

#include "cli/options.h"
#include "codegen/cg.h"
#include "codegen/header.h"
#include "codegen/link.h"
#include "codegen/output.h"
#include "frontend/frontend.h"
#include "passes/pass.h"

#include <limits.h>
#include <locale.h>
#include <stdlib.h>

typedef struct driver {
    tl_fail fail;
    ir_ctx ctx;
    tl_arena arena; /* the module's */
    const char *onnx, *output;
    tlbc_compile_options options;
    const char *name; /* C identifier */
    ir_module *m;
    cg_options cg;
    cg_target targets[CG_MAX_TARGETS];
    cg_model *model;
    struct unit_parts {
        tl_sv *data; /* NULL: not made yet */
        uint32_t n;
    } parts[CG_LLVM_TEXT + 1]; /* per cg_form: machine code is made once for .so and .o */
    tl_str graph;              /* after all passes, as text; debug information points into it */
    tl_map lines;              /* node -> its line there */
    const tlbc_model *loaded;
    tlbc_status status; /* of a failure that is not the model's fault */
} driver;

struct tlbc_loaded {
    driver d;
};

static void stage(const driver *d, const char *name) {
    if (d->options.progress) d->options.progress(d->options.progress_data, name);
}

static bool fail_with(driver *d, tlbc_status status) {
    d->status = status;
    return false;
}

/* ---- options -------------------------------------------------------------------------------------------------- */

static void copy_options(driver *d, const tlbc_compile_options *o) {
    size_t size = o ? o->struct_size : 0;
    if (o) memcpy(&d->options, o, size < sizeof d->options ? size : sizeof d->options);
    if (!d->options.emit) d->options.emit = TLBC_EMIT_SO;
    if (!d->options.cpu) d->options.cpu = "native";
    if (!d->options.passes) d->options.passes = "default";
    d->fail.countdown = d->options.fail_allocation;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The path without the extension of its last part. */
static const char *path_stem(driver *d, const char *path) {
    const char *base = base_name(path), *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - path) : strlen(path);
    return tl_arena_strndup(&d->ctx.arena, path, n);
}

/* "my-model" -> "my_model", "3d" -> "m3d" */
static const char *identifier(driver *d, const char *text) {
    bool digit = text[0] >= '0' && text[0] <= '9';
    char *s = tl_arena_printf(&d->ctx.arena, "%s%s", digit || !text[0] ? "m" : "", text);
    for (char *p = s; *p; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!ok) *p = '_';
    }
    return s;
}

static bool parse_pins(driver *d, fe_options *o) {
    fe_pin *pins = TL_NEW_ARRAY(&d->ctx.arena, fe_pin, d->options.n_dims);
    for (uint32_t i = 0; i < d->options.n_dims; i++) {
        const char *text = d->options.dims[i], *value;
        size_t n;
        if (!cli_split(text, &value, &n) || !cli_parse_int(value, &pins[i].value)) {
            diag_error(&d->ctx.diag, NULL, "dimension '%s': expected NAME=SIZE", text);
            return fail_with(d, TLBC_ERROR_ARGUMENT);
        }
        pins[i].symbol = tl_arena_strndup(&d->ctx.arena, text, n);
    }
    o->pins = pins;
    o->n_pins = d->options.n_dims;
    return true;
}

/* ---- where the outputs go --------------------------------------------------------------------------------------- */

static const struct emit_kind {
    unsigned bit;
    const char *extension;
} emit_kinds[] = {
    {TLBC_EMIT_SO, ".so"},    {TLBC_EMIT_OBJ, ".o"},   {TLBC_EMIT_HEADER, ".h"},
    {TLBC_EMIT_ASM, ".s"},    {TLBC_EMIT_LLVM, ".ll"}, {TLBC_EMIT_LOOP, ".loop"},
    {TLBC_EMIT_GRAPH, ".tl"}, /* last: print_graph counts on it */
};

enum { N_KINDS = sizeof emit_kinds / sizeof emit_kinds[0] };

/* Where one kind goes: the output itself where it is the only one. */
static const char *emit_path(driver *d, const struct emit_kind *k) {
    if (d->options.emit == k->bit) return d->output;
    return tl_arena_printf(&d->ctx.arena, "%s%s", path_stem(d, d->output), k->extension);
}

/* ---- stages --------------------------------------------------------------------------------------------------- */

/* Names of entries become parts of C identifiers. */
static bool check_entry_name(driver *d, const char *name) {
    bool taken = strcmp(name, "main") == 0;
    for (const ir_graph *g = d->m->graphs; g; g = g->next)
        taken |= strcmp(g->name, name) == 0;
    if (!taken && name[0] && strcmp(identifier(d, name), name) == 0) return true;
    diag_error(&d->ctx.diag, NULL, "--entry '%s': %s", name,
               taken ? "there is an entry of this name already" : "not a name that C could have");
    return fail_with(d, TLBC_ERROR_ARGUMENT);
}

static bool import_entries(driver *d, const fe_options *o) {
    if (d->options.n_entries) d->m->graphs->name = ir_name(&d->ctx, "main");
    for (uint32_t i = 0; i < d->options.n_entries; i++) {
        const char *text = d->options.entries[i], *path;
        size_t n;
        if (!cli_split(text, &path, &n)) {
            diag_error(&d->ctx.diag, NULL, "--entry '%s': expected NAME=FILE.onnx", text);
            return fail_with(d, TLBC_ERROR_ARGUMENT);
        }
        const char *name = ir_name(&d->ctx, tl_arena_strndup(&d->ctx.arena, text, n));
        if (!check_entry_name(d, name) || !fe_import_another(d->m, path, name, o)) return false;
    }
    return true;
}

static bool import(driver *d) {
    fe_options o = {.loose_pins = d->options.n_entries > 0};
    stage(d, "import");
    if (!parse_pins(d, &o)) return false;
    d->m = fe_import_file(&d->ctx, &d->arena, d->onnx, &o);
    return d->m && import_entries(d, &o);
}

/* In the compiler's terms; the bytes are the caller's. */
static const pass_state_value *state_values(driver *d) {
    uint32_t n = d->options.n_state_values;
    pass_state_value *v = TL_NEW_ARRAY(&d->arena, pass_state_value, (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const tlbc_tensor *t = &d->options.state_values[i].value;
        const ir_type *type = ir_type_tensor_static(&d->ctx, (ir_dtype)t->dtype, (int32_t)t->rank,
                                                    t->dims);
        v[i] = (pass_state_value){d->options.state_values[i].name,
                                  ir_tensor_create(&d->arena, type, t->data)};
    }
    return v;
}

static bool optimise(driver *d) {
    static const pass_math math[] = {[TLBC_MATH_DEFAULT] = PASS_MATH_DEFAULT,
                                     [TLBC_MATH_STRICT] = PASS_MATH_STRICT,
                                     [TLBC_MATH_FAST] = PASS_MATH_FAST};
    static const pass_simplify_engine engines[] = {[TLBC_SIMPLIFY_CLASSIC] = PASS_SIMPLIFY_CLASSIC,
                                                   [TLBC_SIMPLIFY_NONE] = PASS_SIMPLIFY_NONE,
                                                   [TLBC_SIMPLIFY_EGRAPH] = PASS_SIMPLIFY_EGRAPH};
    pass_options o = {.math_plus_one = math[d->options.math] + 1,
                      .simplify = engines[d->options.simplify],
                      .skip = d->options.skip,
                      .explain = d->options.explain,
                      .command_line = d->options.command_line,
                      .states = d->options.states,
                      .n_states = d->options.n_states,
                      .state_values = state_values(d),
                      .n_state_values = d->options.n_state_values,
                      .streams = d->options.streams,
                      .n_streams = d->options.n_streams,
                      .batch_streams = d->options.batch_streams};
    stage(d, "passes");
    if (!pass_options_add_environment(&o, &d->ctx)) return false;
    return pass_run(d->m, d->options.passes, &o);
}

/* The absolute path of a file that is still to be written, so that debuggers find it from anywhere. */
static const char *absolute_path(driver *d, const char *path) {
    const char *base = base_name(path);
    const char *folder = base == path
                             ? "."
                             : tl_arena_strndup(&d->ctx.arena, path, (size_t)(base - path));
    char real[PATH_MAX];
    if (!realpath(folder, real)) return path;
    return tl_arena_printf(&d->ctx.arena, "%s/%s", strcmp(real, "/") ? real : "", base);
}

/* The graph is printed before it is lowered, since the code refers to its lines: who asks for the graph beside the code gets debug
 * information. */
static void print_graph(driver *d) {
    if (!(d->options.emit & TLBC_EMIT_GRAPH) || !d->output) return;
    tl_map_init(&d->lines, &d->arena);
    tl_str_init(&d->graph, &d->arena);
    const ir_print_options o = {.locations = true, .lines = &d->lines};
    ir_module_print(d->m, &o, &d->graph);
    d->cg.lines = &d->lines;
    d->cg.graph_path = absolute_path(d, emit_path(d, &emit_kinds[N_KINDS - 1]));
}

static bool lower(driver *d) {
    stage(d, "codegen");
    print_graph(d);
    if (!cg_target_parse_list(&d->ctx, d->options.cpu, d->targets, &d->cg.n_targets))
        return fail_with(d, TLBC_ERROR_ARGUMENT);
    d->cg.targets = d->targets;
    d->cg.name = d->name;
    d->cg.command_line = d->options.command_line;
    d->model = cg_lower(d->m, &d->cg);
    return d->model != NULL;
}

static bool compile(driver *d) {
    if (d->options.math > TLBC_MATH_FAST || d->options.weights > TLBC_WEIGHTS_FILE ||
        d->options.simplify > TLBC_SIMPLIFY_CLASSIC) {
        diag_error(&d->ctx.diag, NULL, "unknown value of an option");
        return fail_with(d, TLBC_ERROR_ARGUMENT);
    }
    return import(d) && optimise(d) && lower(d);
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

static bool write_text(driver *d, const char *path, const tl_str *text) {
    return cg_file_write(&d->ctx, path, (tl_sv){text->data, text->len}) ||
           fail_with(d, TLBC_ERROR_IO);
}

/* The bytes of all units in one form; NULL after reporting. */
static const struct unit_parts *unit_results(driver *d, cg_form form) {
    struct unit_parts *p = &d->parts[form];
    if (p->data) return p;
    stage(d, "llvm");
    cg_unit **units = cg_model_units(d->model, form, &p->n);
    if (!units) return NULL;
    tl_sv *data = TL_NEW_ARRAY(&d->arena, tl_sv, p->n);
    for (uint32_t i = 0; i < p->n; i++)
        if (!cg_unit_get_result(units[i], &data[i])) return NULL;
    p->data = data;
    return p;
}

static bool emit_linked(driver *d, unsigned kind, const char *path) {
    static const char *const exports[] = {"tlbc_model"};
    cg_weights w = cg_model_weights(d->model);
    const struct unit_parts *objects = unit_results(d, CG_OBJECT);
    if (!objects) return false;
    cg_link_options o = {.output = path,
                         .target = &d->targets[0],
                         .exports = exports,
                         .n_exports = 1,
                         .weights = d->cg.weights_file || !w.bytes ? NULL : &w,
                         .weights_symbol = d->model->weights_symbol};
    /* A model that is called "tlbc" has that name already: an alias of itself would be nothing, and the linker would drop it all. */
    if (strcmp(d->model->entries[0].symbol, exports[0]))
        o.alias = tl_arena_printf(&d->arena, "%s=%s", exports[0], d->model->entries[0].symbol);
    stage(d, "link");
    bool ok = kind == TLBC_EMIT_SO ? cg_link_shared(&d->ctx, &o, objects->data, objects->n)
                                   : cg_link_relocatable(&d->ctx, &o, objects->data, objects->n);
    return ok || fail_with(d, TLBC_ERROR_IO);
}

/* Assembly or LLVM IR: a section for every CPU. */
static bool emit_units(driver *d, cg_form form, const char *path) {
    tl_str text;
    const struct unit_parts *parts = unit_results(d, form);
    if (!parts) return false;
    tl_str_init(&text, &d->arena);
    for (uint32_t i = 0; i < parts->n; i++)
        tl_str_append(&text, parts->data[i].data, parts->data[i].len);
    return write_text(d, path, &text);
}

static bool emit_header(driver *d, const char *path) {
    tl_str text;
    tl_str_init(&text, &d->arena);
    cg_header_print(d->m, d->name, &text);
    return write_text(d, path, &text);
}

static bool emit_loop(driver *d, const char *path) {
    tl_str text;
    tl_str_init(&text, &d->arena);
    for (uint32_t i = 0; i < d->model->n_variants; i++) {
        if (d->model->n_variants > 1)
            tl_str_printf(&text, "// %s\n", d->model->entries[0].variants[i].target->name);
        lp_module_print(d->model->entries[0].variants[i].lp, &text);
    }
    return write_text(d, path, &text);
}

static bool emit_graph(driver *d, const char *path) {
    return write_text(d, path, &d->graph);
}

static bool emit_one(driver *d, const struct emit_kind *k) {
    const char *path = emit_path(d, k);
    switch (k->bit) {
    case TLBC_EMIT_HEADER:
        return emit_header(d, path);
    case TLBC_EMIT_ASM:
        return emit_units(d, CG_ASSEMBLY, path);
    case TLBC_EMIT_LLVM:
        return emit_units(d, CG_LLVM_TEXT, path);
    case TLBC_EMIT_LOOP:
        return emit_loop(d, path);
    case TLBC_EMIT_GRAPH:
        return emit_graph(d, path);
    default:
        return emit_linked(d, k->bit, path);
    }
}

static bool emit_weights(driver *d) {
    if (!d->cg.weights_file) return true;
    cg_weights w = cg_model_weights(d->model);
    const char *path = tl_arena_printf(&d->ctx.arena, "%s.weights", path_stem(d, d->output));
    return cg_weights_write_side(&d->ctx, &w, path) || fail_with(d, TLBC_ERROR_IO);
}

static bool emit_all(driver *d) {
    if (!emit_weights(d)) return false;
    for (int i = 0; i < N_KINDS; i++)
        if ((d->options.emit & emit_kinds[i].bit) && !emit_one(d, &emit_kinds[i])) return false;
    return true;
}

/* ---- one call ------------------------------------------------------------------------------------------------- */

typedef bool driver_fn(driver *d);

static bool run_to_files(driver *d) {
    if (d->options.weights == TLBC_WEIGHTS_FILE)
        d->cg.weights_file = base_name(
            tl_arena_printf(&d->ctx.arena, "%s.weights", path_stem(d, d->output)));
    return compile(d) && emit_all(d);
}

static bool run_to_memory(driver *d) {
    d->cg.watch = CG_WATCHED;
    if (!compile(d)) return false;
    stage(d, "llvm");
    d->loaded = cg_load_model(d->model);
    return d->loaded != NULL;
}

static void release(driver *d) {
    ir_ctx_release(&d->ctx);
    tl_arena_release(&d->arena);
}

/* What was reported, for the caller to free; NULL where nothing was. */
static char *take_message(driver *d) {
    tl_str text;
    if (d->ctx.diag.n == 0) return NULL;
    tl_str_init(&text, &d->ctx.arena);
    diag_render(&d->ctx.diag, &text);
    return strdup(text.data);
}

/* d is on the heap, so that it is whole after the jump. After a failure it is released. */
static tlbc_status driver_guarded(driver *d, driver_fn *run, char **message) {
    if (setjmp(d->fail.jump)) {
        release(d);
        return TLBC_ERROR_MEMORY;
    }
    ir_ctx_init(&d->ctx, &d->fail);
    tl_arena_init(&d->arena, &d->fail);
    const char *stem = path_stem(d, base_name(d->output ? d->output : d->onnx));
    d->name = identifier(d, d->options.name ? d->options.name : stem);
    bool ok = run(d);
    if (message) *message = take_message(d);
    if (ok) return TLBC_OK;
    release(d);
    return d->status ? d->status : TLBC_ERROR_MODEL;
}

/* Numbers in our texts have a point, whatever the locale of the program that calls. */
static tlbc_status driver_run(driver *d, driver_fn *run, char **message) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain) return TLBC_ERROR_MEMORY;
    locale_t callers = uselocale(plain);
    tlbc_status status = driver_guarded(d, run, message);
    uselocale(callers);
    freelocale(plain);
    return status;
}

static driver *driver_create(const char *onnx, const char *output, const tlbc_compile_options *o) {
    driver *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->onnx = onnx;
    d->output = output;
    copy_options(d, o);
    return d;
}

tlbc_status tlbc_compile_file(const char *onnx, const char *output,
                              const tlbc_compile_options *options, char **message) {
    if (message) *message = NULL;
    driver *d = driver_create(onnx, output, options);
    if (!d) return TLBC_ERROR_MEMORY;
    tlbc_status status = driver_run(d, run_to_files, message);
    if (!status) release(d);
    free(d);
    return status;
}

tlbc_status tlbc_compile_memory(const char *onnx, const tlbc_compile_options *options,
                                tlbc_loaded **out, char **message) {
    if (message) *message = NULL;
    *out = NULL;
    driver *d = driver_create(onnx, NULL, options);
    if (!d) return TLBC_ERROR_MEMORY;
    tlbc_status status = driver_run(d, run_to_memory, message);
    if (status)
        free(d);
    else
        *out = (tlbc_loaded *)d;
    return status;
}

const tlbc_model *tlbc_loaded_model(const tlbc_loaded *l) {
    return l->d.loaded;
}

void tlbc_loaded_free(tlbc_loaded *l) {
    if (!l) return;
    release(&l->d);
    free(l);
}

void tlbc_message_free(char *message) {
    free(message);
}

const char *tlbc_version(void) {
    return TLBC_VERSION;
}
