/* Compiled code called with the evaluator's data; see compiled.h. */
#include "tests/support/compiled.h"

#include "codegen/cg.h"
#include "codegen/link.h"
#include "ir/call.h"
#include "passes/pass.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- loading --------------------------------------------------------------------------------------------------------- */

static cg_model *lower(ir_module *m, const char *passes, bool watch) {
    cg_target *targets = TL_NEW_ARRAY(m->arena, cg_target, CG_MAX_TARGETS);
    cg_options *o = TL_NEW(m->arena, cg_options);
    const char *cpus = getenv("TLBC_TEST_CPU");
    *o = (cg_options){.targets = targets, .name = "model", .watch = watch};
    if (passes && !pass_run(m, passes, NULL)) return NULL;
    if (!cg_target_parse_list(m->ctx, cpus ? cpus : "native", targets, &o->n_targets)) return NULL;
    return cg_lower(m, o);
}

static bool write_library(ir_ctx *c, const cg_model *model, const char *path) {
    static const char *const exports[] = {"tlbc_model"};
    uint32_t n;
    cg_weights w = cg_model_weights(model);
    cg_unit **units = cg_model_units(model, CG_OBJECT, &n);
    if (!units) return false;
    tl_sv *objects = TL_NEW_ARRAY(&c->arena, tl_sv, n);
    for (uint32_t i = 0; i < n; i++)
        if (!cg_unit_get_result(units[i], &objects[i])) return false;
    cg_link_options o = {.output = path,
                         .target = model->options->targets,
                         .exports = exports,
                         .n_exports = 1,
                         .alias = "tlbc_model=model_model",
                         .weights = w.bytes ? &w : NULL,
                         .weights_symbol = model->weights_symbol};
    return cg_link_shared(c, &o, objects, n);
}

/* The process ends with the library open. */
static const tlbc_model *load_library(ir_module *m, const char *passes, const char *folder) {
    static unsigned number;
    char message[1024];
    const tlbc_model *out;
    const char *path = tl_arena_printf(m->arena, "%s/%u.so", folder, ++number);
    if (access(path, F_OK)) {
        const cg_model *model = lower(m, passes, false);
        if (!model || !write_library(m->ctx, model, path)) return NULL;
    }
    if (tlbc_open(path, &out, message, sizeof message) == TLBC_OK) return out;
    diag_error(&m->ctx->diag, NULL, "%s", message);
    return NULL;
}

const tlbc_model *compiled_load(ir_module *m, const char *passes) {
    const char *folder = getenv("TLBC_TEST_LIBRARIES");
    if (folder) return load_library(m, passes, folder);
    const cg_model *model = lower(m, passes, CG_WATCHED);
    return model ? cg_load_model(model) : NULL;
}

/* ---- running --------------------------------------------------------------------------------------------------------- */

static bool to_runtime(ir_ctx *c, tl_arena *a, uint32_t i, const ir_datum *x, tlbc_tensor *t) {
    if (!ir_datum_fits_runtime(x))
        return diag_error(&c->diag, NULL, "input %u has more than %d dimensions", i, TLBC_MAX_RANK);
    ir_datum_to_runtime(a, x, t);
    return true;
}

/* The run says how large it is: nothing is given. */
static bool is_open(const tlbc_tensor_info *info, const tlbc_tensor *t) {
    bool open = info->element || info->rank == TLBC_ANY_RANK;
    for (uint32_t d = 0; !open && d < t->rank; d++)
        open = t->dims[d] < 0;
    return open || info->dtype == TLBC_STRING;
}

static void alloc_output(ir_ctx *c, tl_arena *a, tlbc_tensor *t) {
    const ir_type *type = ir_type_tensor_static(c, (ir_dtype)t->dtype, (int32_t)t->rank, t->dims);
    ir_tensor *y = ir_tensor_alloc(a, type);
    t->data = ir_tensor_data(y);
    t->bytes = y->bytes;
}

static tlbc_status run_session(ir_ctx *c, tl_arena *a, tlbc_session *s, const tlbc_tensor *in,
                               ir_datum *out) {
    const tlbc_model *model = tlbc_session_model(s);
    tlbc_tensor *y = TL_NEW_ARRAY(a, tlbc_tensor, model->n_outputs + 1);
    memset(y, 0, model->n_outputs * sizeof *y);
    tlbc_status status = tlbc_shapes(s, in, y, NULL);
    if (status) return status;
    for (uint32_t i = 0; i < model->n_outputs; i++)
        if (!is_open(&model->outputs[i], &y[i])) alloc_output(c, a, &y[i]);
    status = tlbc_run(s, in, y);
    for (uint32_t i = 0; i < model->n_outputs && !status; i++)
        ir_datum_take_runtime(c, a, &y[i], &out[i]);
    return status;
}

bool compiled_run(ir_ctx *c, tl_arena *a, const tlbc_model *model, uint32_t threads,
                  const ir_datum *const *in, ir_datum *out) {
    tlbc_session *s;
    tlbc_tensor *x = TL_NEW_ARRAY(a, tlbc_tensor, model->n_inputs + 1);
    for (uint32_t i = 0; i < model->n_inputs; i++)
        if (!to_runtime(c, a, i, in[i], &x[i])) return false;
    tlbc_status status = tlbc_session_create(
        model, &(tlbc_session_options){.threads = threads, .exact_threads = 1}, &s);
    if (status) return diag_error(&c->diag, NULL, "no session: %s", tlbc_status_text(status));
    status = run_session(c, a, s, x, out);
    if (status)
        diag_error(&c->diag, NULL, "run with %u threads: %s", threads, tlbc_session_message(s));
    tlbc_session_free(s);
    return !status;
}

bool compiled_same_bits(const ir_datum *a, const ir_datum *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (!a[i].tensor != !b[i].tensor || a[i].n != b[i].n) return false;
        bool same = a[i].tensor ? ir_tensor_equal(a[i].tensor, b[i].tensor)
                                : compiled_same_bits(a[i].items, b[i].items, a[i].n);
        if (!same) return false;
    }
    return true;
}
