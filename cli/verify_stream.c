/* tlbc verify --stream: the model compiled for the whole sequence and as a step function, on the same sequences of random lengths. All bits
 * must be equal: of outputs that are sequences, everywhere; of the others, behind the last step. A length that the whole model does not take,
 * as where a table has no more positions, is left out, and so are longer ones: that is printed. */
#include "cli/file.h"
#include "cli/inspect.h"
#include "cli/steps.h"
#include "cli/verify.h"
#include "frontend/frontend.h"

enum { MAX_STEPS = 9 };

typedef struct stream_job {
    verify_job whole, step;
    cli_list dims;
    int64_t most; /* steps, where the length is open */
} stream_job;

bool verify_compile(verify_job *j, const ir_module *imported, const verify_stream_options *v,
                    cli_list states, cli_list streams, const char *name) {
    cli *c = j->c;
    ir_module *m = ir_module_clone(imported, c->arena);
    pass_options o = {.skip = v->skip,
                      .simplify = (pass_simplify_engine)v->simplify,
                      .command_line = "tlbc verify",
                      .states = states.items,
                      .n_states = states.n,
                      .streams = streams.items,
                      .n_streams = streams.n,
                      .batch_streams = v->batch_streams};
    if (!pass_options_add_environment(&o, &c->ctx) ||
        !pass_run(m, v->passes ? v->passes : "default", &o))
        return false;
    j->model = verify_build(j, m, name);
    return j->model != NULL;
}

/* The whole sequence without what step functions go without (passes/pack_weights.c). */
static bool compile_whole(stream_job *s, const ir_module *imported,
                          const verify_stream_options *v) {
    const char *apart = "pack_weights.winograd";
    verify_stream_options o = *v;
    cli_list none = {NULL, 0};
    o.skip = v->skip ? tl_arena_printf(s->whole.c->arena, "%s,%s", v->skip, apart) : apart;
    return verify_compile(&s->whole, imported, &o, none, none, "whole");
}

const char *verify_list_states(cli *c, const tlbc_model *m) {
    tl_str s;
    tl_str_init(&s, c->arena);
    for (uint32_t i = 0; i < m->n_states; i++)
        tl_str_printf(&s, "%s%s %s", i ? ", " : "", m->states[i].tensor.name,
                      model_type_text(c->arena, &m->states[i].tensor));
    return m->n_states ? s.data : "none";
}

/* ---- one sequence --------------------------------------------------------------------------------------------- */

/* How many positions: as many as the whole model says, or a random number; of whole steps, where the last one cannot have fewer. */
static int64_t choose_length(const stream_job *s, uint64_t seed, int32_t *symbol) {
    int64_t chunk = s->step.model->chunk;
    uint64_t random = seed * 2654435761u;
    *symbol = -1;
    for (uint32_t i = 0; i < s->step.model->n_inputs; i++) {
        const tlbc_tensor_info *part = &s->step.model->inputs[i];
        if (!part->sequence) continue;
        const tlbc_dim *whole = &s->whole.model->inputs[i].dims[part->sequence - 1];
        if (whole->value >= 0) return whole->value;
        *symbol = whole->bind;
        int64_t steps = 1 + (int64_t)(random >> 7) % s->most,
                rest = (int64_t)(random >> 19) % chunk;
        return steps * chunk - (s->step.model->tail ? rest : 0);
    }
    return chunk;
}

/* The length of the sequence beside the sizes that --dim gives. */
static cli_list add_length(cli *c, const stream_job *s, int32_t symbol, int64_t length) {
    const char **items = TL_NEW_ARRAY(c->arena, const char *, s->dims.n + 1);
    cli_list list = {items, 0};
    for (uint32_t i = 0; i < s->dims.n; i++)
        items[list.n++] = s->dims.items[i];
    if (symbol >= 0)
        items[list.n++] = tl_arena_printf(c->arena, "%s=%lld", s->whole.model->symbols[symbol],
                                          (long long)length);
    return list;
}

static bool compare(stream_job *s, int64_t run, uint32_t i, const tlbc_tensor *got,
                    const tlbc_tensor *want) {
    cli *c = s->whole.c;
    const char *name = s->whole.model->outputs[i].name, *text;
    if (data_same_bits(c->arena, got, want, &text)) return true;
    return diag_error(c->diag, NULL, "run %lld: output %u '%s' of the step function: %s",
                      (long long)run, i, name, text);
}

/* The whole sequence at once; false where that could not be tried. */
static bool run_whole(stream_job *s, model_tensors *t, tlbc_status *status) {
    verify_job *j = &s->whole;
    if (!model_session(j->c, j->model, j->threads, &j->session)) return false;
    *status = tlbc_shapes(j->session, t->in, t->out, NULL);
    if (*status) return true;
    if (!model_alloc_outputs(j->c, j->session, t)) return false;
    *status = tlbc_run(j->session, t->in, t->out);
    return true;
}

/* One step less, the last one whole; at least one step. */
static int64_t shorten(stream_job *s, int64_t length) {
    int64_t chunk = s->step.model->chunk;
    s->most = length > chunk ? (length - 1) / chunk : 1;
    return s->most * chunk;
}

/* The same with as many positions as the model takes, at most `length` or one step. */
static bool run_longest(stream_job *s, model_tensors *t, uint64_t seed, int32_t symbol,
                        int64_t length) {
    verify_job *j = &s->whole;
    tlbc_status status;
    for (;; length = shorten(s, length)) {
        model_tensors_init(j->c, j->model, t);
        if (!model_random_inputs(j->c, t, add_length(j->c, s, symbol, length), seed) ||
            !run_whole(s, t, &status))
            return false;
        bool refused = status == TLBC_ERROR_ARGUMENT || status == TLBC_ERROR_DATA;
        if (!refused || symbol < 0 || length == s->step.model->chunk) break;
        printf("the whole model does not take %lld positions: %s\n", (long long)length,
               tlbc_session_message(j->session));
        tlbc_session_free(j->session);
        j->session = NULL;
    }
    if (status) model_report(j->c, j->session, status, "the whole sequence");
    return status == TLBC_OK;
}

static bool run_steps(stream_job *s, model_tensors *t, step_plan *plan) {
    verify_job *j = &s->step;
    return steps_plan(j->c, t, plan) && model_session_for(j->c, t, j->threads, true, &j->session) &&
           steps_run(j->c, j->session, plan, t);
}

static void free_sessions(stream_job *s) {
    tlbc_session_free(s->whole.session);
    tlbc_session_free(s->step.session);
    s->whole.session = s->step.session = NULL;
}

static bool verify_sequence(stream_job *s, int64_t run, uint64_t seed) {
    cli *c = s->whole.c;
    int32_t symbol;
    int64_t length = choose_length(s, seed, &symbol);
    model_tensors whole, streamed;
    step_plan plan = {0};
    bool same = run_longest(s, &whole, seed, symbol, length);
    model_tensors_init(c, s->step.model, &streamed);
    streamed.in = whole.in;
    same = same && run_steps(s, &streamed, &plan);
    for (uint32_t i = 0; same && i < whole.model->n_outputs; i++)
        same = compare(s, run, i, &streamed.out[i], &whole.out[i]);
    printf("run %lld: %lld steps", (long long)run, (long long)plan.steps);
    if (plan.rest) printf(", of %lld positions in the last", (long long)plan.rest);
    puts(same ? ", all bits equal" : "");
    free_sessions(s);
    return same;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

/* As `tlbc compile` does, --dim fixes what the file leaves open, the length of the sequence, too. */
const ir_module *verify_read_module(cli *c, const char *path, cli_list dims) {
    tl_sv text;
    fe_options o = {0};
    if (!inspect_pins(c, dims, &o)) return NULL;
    if (strcmp(file_extension(path), ".tl")) return fe_import_file(&c->ctx, c->arena, path, &o);
    if (!file_read(c->diag, c->arena, path, &text)) return NULL;
    return ir_module_parse(&c->ctx, c->arena, path, text.data, text.len);
}

bool verify_stream(const verify_job *j, const char *path, const verify_stream_options *o) {
    stream_job s = {.whole = *j, .step = *j, .dims = o->dims, .most = MAX_STEPS};
    const ir_module *imported = verify_read_module(j->c, path, o->dims);
    cli_list none = {0};
    bool ok = imported && compile_whole(&s, imported, o) &&
              verify_compile(&s.step, imported, o, none, o->streams, "step");
    if (ok) printf("states: %s\n", verify_list_states(j->c, s.step.model));
    if (ok && s.step.model->no_tail)
        printf("the last step is a whole one: %s\n", s.step.model->no_tail);
    for (int64_t run = 0; ok && run < o->runs; run++)
        ok = verify_sequence(&s, run, (uint64_t)(o->seed + run));
    return ok;
}
