/* Sessions: what the functions of a model's descriptor point to (include/tlbc/runtime.h, session.h for the steps of a call). */
#include "runtime/session.h"

#include "runtime/cpu.h"

#include <stdlib.h>
#include <string.h>

/* ---- creation ------------------------------------------------------------------------------------------------ */

static const tlbc_variant *rt_choose_variant(const tlbc_program *p) {
    uint64_t features = tlbc_rt_cpu_features();
    for (uint32_t i = 0; i < p->n_variants; i++)
        if ((p->variants[i].features & ~features) == 0) return &p->variants[i];
    return NULL;
}

/* The session and its arrays are one block. Element counts are the model's own and small. */
static tlbc_session *rt_session_alloc(const tlbc_model *m) {
    const tlbc_program *p = m->program;
    size_t words = (size_t)m->n_symbols * 2 + p->n_exprs + p->n_slots;
    size_t pointers = (size_t)m->n_inputs + m->n_outputs;
    tlbc_session *s = calloc(1, sizeof *s + words * sizeof(int64_t) + pointers * sizeof(void *));
    if (!s) return NULL;
    s->symbols = (int64_t *)(s + 1);
    s->candidate = s->symbols + m->n_symbols;
    s->exprs = s->candidate + m->n_symbols;
    s->slots = s->exprs + p->n_exprs;
    s->inputs = (void **)(s->slots + p->n_slots);
    s->outputs = s->inputs + m->n_inputs;
    s->model = m;
    return s;
}

static void rt_session_free(tlbc_session *s) {
    if (!s) return;
    rt_session_free(s->tail);
    if (!s->is_tail) tlbc_rt_team_free(s->team);
    tlbc_rt_states_free(&s->states);
    tlbc_rt_cells_free(s);
    tlbc_rt_weights_release(&s->weights);
    if (s->own_workspace && !s->is_tail) free(s->workspace);
    free(s);
}

static void rt_init_frame(tlbc_session *s, uint64_t seed) {
    s->frame = (tlbc_frame){
        .weights = s->weights.data,
        .inputs = s->inputs,
        .outputs = s->outputs,
        .symbols = s->symbols,
        .slots = s->slots,
        .team = s->team,
        .status = s->status,
        .states = s->states.read,
        .next = s->states.write,
        .cells = s->cells,
        .session = s,
        .seed = seed,
    };
}

/* Failure i of the program with its two arguments. */
static tlbc_status rt_report_failure(tlbc_session *s, tlbc_status status, uint64_t i, int64_t a,
                                     int64_t b) {
    if (i >= s->model->program->n_failures)
        return tlbc_rt_report(s, TLBC_ERROR_INTERNAL, "unknown failure %llu",
                              (unsigned long long)i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return tlbc_rt_report(s, status, s->model->program->failures[i], (long long)a, (long long)b);
#pragma GCC diagnostic pop
}

/* The plan for s->candidate, unless it is the one already there. */
static tlbc_status rt_plan(tlbc_session *s) {
    size_t bytes = s->model->n_symbols * sizeof(int64_t);
    if (s->planned && memcmp(s->symbols, s->candidate, bytes) == 0) return TLBC_OK;
    s->planned = false;
    memcpy(s->symbols, s->candidate, bytes);
    int64_t needed = s->variant->plan(s->symbols, s->exprs, s->slots, tlbc_rt_team_size(s->team));
    if (needed <= -2) /* shapes that fit the declared ones but not each other */
        return rt_report_failure(s, TLBC_ERROR_ARGUMENT, (uint64_t)(-2 - needed), 0, 0);
    if (needed < 0)
        return tlbc_rt_report(s, TLBC_ERROR_MEMORY,
                              "the workspace for these shapes is larger than the address space");
    s->needed = (size_t)needed;
    s->planned = true;
    return TLBC_OK;
}

static tlbc_status rt_reserve(tlbc_session *s) {
    if (s->needed <= s->workspace_bytes) return TLBC_OK;
    if (!s->own_workspace)
        return tlbc_rt_report(s, TLBC_ERROR_MEMORY, "workspace: %zu bytes given, %zu needed",
                              s->workspace_bytes, s->needed);
    free(s->workspace);
    size_t bytes = s->needed > SIZE_MAX - TLBC_RT_ALIGN
                       ? SIZE_MAX / TLBC_RT_ALIGN * TLBC_RT_ALIGN
                       : (s->needed + TLBC_RT_ALIGN - 1) / TLBC_RT_ALIGN * TLBC_RT_ALIGN;
    s->workspace = aligned_alloc(TLBC_RT_ALIGN, bytes);
    s->workspace_bytes = s->workspace ? bytes : 0;
    if (s->workspace) return TLBC_OK;
    return tlbc_rt_report(s, TLBC_ERROR_MEMORY, "workspace: cannot allocate %zu bytes", bytes);
}

/* How long states are that grow is a symbol, which the session knows. */
static void rt_set_length(tlbc_session *s) {
    int32_t length = s->model->program->length_symbol;
    if (length) s->candidate[length - 1] = s->states.lengths[s->states.stream];
}

/* The workspace, where nothing but the number of streams and the length of their states is open: for all of them. Sizes that depend on
 * the length are planned for its limit. */
static tlbc_status rt_plan_ahead(tlbc_session *s) {
    int32_t streams = s->model->program->stream_symbol, length = s->model->program->length_symbol;
    if (s->model->n_symbols > (streams ? 1u : 0u) + (length ? 1u : 0u)) return TLBC_OK;
    if (streams) s->candidate[streams - 1] = s->states.one_by_one ? 1 : s->states.streams;
    rt_set_length(s);
    tlbc_status status = rt_plan(s);
    return status || !s->own_workspace ? status : rt_reserve(s);
}

/* The workspace is one: whichever of the two programs needs more has it grow. */
static void rt_lend(tlbc_session *from, tlbc_session *to) {
    to->workspace = from->workspace;
    to->workspace_bytes = from->workspace_bytes;
    to->own_workspace = from->own_workspace;
}

/* All symbols of the tail but the streams are the number of positions. A model may not take the most that can be left: the step says so. */
static tlbc_status rt_plan_tail(tlbc_session *s) {
    tlbc_session *t = s->tail;
    int32_t streams = t->model->program->stream_symbol;
    if (t->model->n_symbols != (streams ? 2u : 1u) || !s->own_workspace) return TLBC_OK;
    for (uint32_t i = 0; i < t->model->n_symbols; i++)
        t->candidate[i] = (int32_t)i + 1 == streams
                              ? (t->states.one_by_one ? 1 : (int64_t)s->states.streams)
                              : (int64_t)s->model->chunk - 1;
    if (rt_plan(t)) return TLBC_OK;
    rt_lend(s, t);
    tlbc_status status = rt_reserve(t);
    rt_lend(t, s);
    return status;
}

/* The end of a sequence is a program of its own, with the states, threads and workspace of this session. It is planned for as many
 * positions as it can have, so that no step allocates. */
static tlbc_status rt_open_tail(tlbc_session *s, const tlbc_session_options *o) {
    const tlbc_model *m = s->model->tail;
    if (!m) return TLBC_OK;
    tlbc_session *t = s->tail = rt_session_alloc(m);
    if (!t) return TLBC_ERROR_MEMORY;
    t->is_tail = true;
    t->variant = rt_choose_variant(m->program);
    t->team = s->team;
    t->exact_threads = s->exact_threads;
    tlbc_status status = tlbc_rt_weights_open(m, &t->weights);
    if (!status) status = tlbc_rt_states_open(t, s->states.streams, m->n_states ? s : NULL);
    if (status) return status;
    t->states.ended = s->states.ended; /* the tail may read no state at all */
    if (!tlbc_rt_cells_create(t, o, tlbc_rt_team_size(t->team))) return TLBC_ERROR_MEMORY;
    rt_init_frame(t, o->seed);
    return rt_plan_tail(s);
}

/* More threads than processors only take turns. */
static uint32_t rt_choose_threads(const tlbc_session_options *o) {
    if (o->threads <= 1) return 1;
    uint32_t processors = o->exact_threads ? o->threads : tlbc_rt_processors();
    return o->threads < processors ? o->threads : processors;
}

/* Threads, weights, states and, where no shape is open, the workspace: a static model never allocates again. */
static tlbc_status rt_session_open(tlbc_session *s, const tlbc_session_options *o) {
    s->variant = rt_choose_variant(s->model->program);
    if (!s->variant) return TLBC_ERROR_CPU;
    if (o->threads > TLBC_RT_MAX_THREADS) return TLBC_ERROR_ARGUMENT;
    if ((uintptr_t)o->workspace % TLBC_RT_ALIGN) return TLBC_ERROR_ARGUMENT;
    s->own_workspace = o->workspace == NULL;
    s->workspace = o->workspace;
    s->workspace_bytes = o->workspace ? o->workspace_bytes : 0;
    tlbc_status status = tlbc_rt_weights_open(s->model, &s->weights);
    if (status) return status;
    s->exact_threads = o->exact_threads != 0;
    s->team = tlbc_rt_team_create(rt_choose_threads(o), s->exact_threads);
    if (!s->team) return TLBC_ERROR_MEMORY;
    status = tlbc_rt_states_open(s, o->streams, o->states_of);
    if (status) return status;
    if (!tlbc_rt_cells_create(s, o, tlbc_rt_team_size(s->team))) return TLBC_ERROR_MEMORY;
    rt_init_frame(s, o->seed);
    status = rt_plan_ahead(s);
    return status ? status : rt_open_tail(s, o);
}

static tlbc_status rt_session_create(const tlbc_model *m, const tlbc_session_options *options,
                                     tlbc_session **out) {
    tlbc_session_options o = {0};
    if (options) {
        size_t size = options->struct_size ? options->struct_size : sizeof o;
        memcpy(&o, options, size < sizeof o ? size : sizeof o);
    }
    *out = NULL;
    tlbc_session *s = rt_session_alloc(m);
    if (!s) return TLBC_ERROR_MEMORY;
    tlbc_status status = rt_session_open(s, &o);
    if (status)
        rt_session_free(s);
    else
        *out = s;
    return status;
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static const char *rt_session_message(const tlbc_session *s) {
    return s->message;
}

/* All that comes before the run: shapes in, shapes out, sizes. */
static tlbc_status rt_prepare(tlbc_session *s, const tlbc_tensor *in, tlbc_tensor *out,
                              bool with_data) {
    s->message[0] = 0;
    if ((s->model->n_inputs && !in) || (s->model->n_outputs && !out))
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                              "%u inputs and %u outputs expected, given NULL", s->model->n_inputs,
                              s->model->n_outputs);
    rt_set_length(s);
    tlbc_status status = tlbc_rt_check_inputs(s, in, with_data);
    if (!status) status = rt_plan(s);
    if (!status) status = tlbc_rt_check_length(s);
    if (!status) status = tlbc_rt_check_exprs(s, in);
    if (!status) status = tlbc_rt_check_outputs(s, out, with_data);
    return status;
}

/* Of as many streams as the inputs hold: those of one, with room for all of them. */
static tlbc_status rt_shapes_of_rows(tlbc_session *s, const tlbc_tensor *in, tlbc_tensor *out) {
    tlbc_tensor *row_in = s->states.rows, *row_out = row_in + s->model->n_inputs;
    s->message[0] = 0;
    if ((s->model->n_inputs && !in) || (s->model->n_outputs && !out))
        return rt_prepare(s, in, out, false);
    uint64_t rows = tlbc_rt_rows_given(s, in);
    tlbc_status status = tlbc_rt_states_choose(s, NULL, 0, rows);
    if (!status) status = tlbc_rt_row_take(s, in, (uint32_t)rows, 0, false);
    if (!status) status = rt_prepare(s, row_in, row_out, false);
    return status ? status : tlbc_rt_rows_shapes(s, out, (uint32_t)rows);
}

/* The session whose program takes inputs of these shapes: the tail, where there is one and they hold fewer positions than a step. */
static tlbc_session *rt_session_for(tlbc_session *s, const tlbc_tensor *in) {
    for (uint32_t i = 0; s->tail && in && i < s->model->n_inputs; i++) {
        uint32_t axis = s->model->inputs[i].sequence - 1;
        if (!s->model->inputs[i].sequence) continue;
        if (in[i].rank == s->model->inputs[i].rank + 1)
            axis++; /* rows of streams in front (many.c) */
        bool fewer = in[i].rank > axis && in[i].rank <= TLBC_MAX_RANK && in[i].dims[axis] > 0 &&
                     in[i].dims[axis] < (int64_t)s->model->chunk;
        return fewer ? s->tail : s;
    }
    return s;
}

/* What was said of the tail is said of the session. */
static tlbc_status rt_pass_on(tlbc_session *s, const tlbc_session *from, tlbc_status status) {
    if (s != from) memcpy(s->message, from->message, sizeof s->message);
    return status;
}

static tlbc_status rt_shapes(tlbc_session *s, const tlbc_tensor *in, tlbc_tensor *out,
                             size_t *workspace_bytes) {
    tlbc_session *t = rt_session_for(s, in);
    tlbc_status status = t->states.one_by_one ? rt_shapes_of_rows(t, in, out)
                                              : rt_prepare(t, in, out, false);
    if (!status && workspace_bytes) *workspace_bytes = t->needed;
    return rt_pass_on(s, t, status);
}

static tlbc_status rt_failure(tlbc_session *s) {
    return rt_report_failure(s, TLBC_ERROR_DATA, (uint64_t)s->status[0] - 1, s->status[1],
                             s->status[2]);
}

/* A thread is worth waking for so many operations, some 25 microseconds: below that, meeting the others costs more than they do. */
enum { WORK_OF_A_THREAD = 2000000 };

static uint32_t rt_useful_threads(const tlbc_session *s) {
    const struct tlbc_program *p = s->model->program;
    uint32_t team = tlbc_rt_team_size(s->team);
    if (team == 1 || s->exact_threads) return team;
    int64_t threads = (p->work_expr < 0 ? p->work : s->exprs[p->work_expr]) / WORK_OF_A_THREAD;
    return threads < 1 ? 1 : threads < team ? (uint32_t)threads : team;
}

static tlbc_status rt_execute(tlbc_session *s, const tlbc_tensor *in, tlbc_tensor *out) {
    s->frame.workspace = s->workspace;
    s->status[0] = 0;
    if (!s->places) {
        tlbc_rt_team_run(s->team, s->variant->main, &s->frame, rt_useful_threads(s));
        return s->status[0] ? rt_failure(s) : TLBC_OK;
    }
    tlbc_rt_cells_begin(s, in);
    tlbc_rt_team_run(s->team, tlbc_rt_cells_main, &s->frame, rt_useful_threads(s));
    if (s->stopped) return s->stopped;
    return s->status[0] ? rt_failure(s) : tlbc_rt_cells_give(s, out);
}

static tlbc_status rt_run(tlbc_session *s, const tlbc_tensor *in, tlbc_tensor *out) {
    if (s->model->n_states)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                              "the model is a step function with %u states: tlbc_step, not "
                              "tlbc_run",
                              s->model->n_states);
    tlbc_status status = rt_prepare(s, in, out, true);
    if (!status) status = rt_reserve(s);
    return status ? status : rt_execute(s, in, out);
}

static tlbc_status rt_step_row(tlbc_session *s, uint32_t n, uint32_t k, const tlbc_tensor *in,
                               tlbc_tensor *out) {
    tlbc_tensor *row_in = s->states.rows, *row_out = row_in + s->model->n_inputs;
    tlbc_status status = tlbc_rt_row_take(s, in, n, k, true);
    if (!status && k == 0) status = rt_prepare(s, row_in, row_out, false);
    if (!status && k == 0) status = tlbc_rt_rows_room(s, out, n);
    if (!status) status = rt_prepare(s, row_in, row_out, true);
    if (!status) status = tlbc_rt_row_check(s, out, n);
    if (!status) status = rt_reserve(s);
    if (status) return status;
    tlbc_rt_states_bind_row(s, k);
    status = rt_execute(s, row_in, row_out);
    if (status) return status;
    tlbc_rt_states_ran_row(s, k);
    tlbc_rt_row_next(s);
    return TLBC_OK;
}

/* Row after row; no state changes before all have gone well. */
static tlbc_status rt_step_rows(tlbc_session *s, uint32_t n, const uint32_t *chosen,
                                const tlbc_tensor *in, tlbc_tensor *out) {
    s->message[0] = 0;
    if ((s->model->n_inputs && !in) || (s->model->n_outputs && !out))
        return rt_prepare(s, in, out, true);
    uint64_t rows = s->model->n_inputs || !chosen ? tlbc_rt_rows_given(s, in) : n;
    tlbc_status status = tlbc_rt_states_choose(s, chosen, n, rows);
    for (uint32_t k = 0; !status && k < rows; k++)
        status = rt_step_row(s, (uint32_t)rows, k, in, out);
    if (!status) tlbc_rt_states_commit(s);
    return status;
}

/* chosen NULL: the first streams, as many as the inputs hold. */
static tlbc_status rt_step_program(tlbc_session *s, uint32_t n, const uint32_t *chosen,
                                   const tlbc_tensor *in, tlbc_tensor *out) {
    if (s->states.one_by_one) return rt_step_rows(s, n, chosen, in, out);
    tlbc_status status = rt_prepare(s, in, out, true);
    if (!status) status = rt_reserve(s);
    if (!status) status = tlbc_rt_states_bind(s, chosen, n);
    if (!status) status = rt_execute(s, in, out);
    if (!status) tlbc_rt_states_commit(s);
    return status;
}

/* The last step of a sequence is its tail's, with the workspace of both. */
static tlbc_status rt_step_chosen(tlbc_session *s, uint32_t n, const uint32_t *chosen,
                                  const tlbc_tensor *in, tlbc_tensor *out) {
    tlbc_session *t = rt_session_for(s, in);
    if (t == s) return rt_step_program(s, n, chosen, in, out);
    rt_lend(s, t);
    tlbc_status status = rt_step_program(t, n, chosen, in, out);
    rt_lend(t, s);
    return rt_pass_on(s, t, status);
}

static tlbc_status rt_step(tlbc_session *s, const tlbc_tensor *in, tlbc_tensor *out) {
    return rt_step_chosen(s, 0, NULL, in, out);
}

static tlbc_status rt_step_many(tlbc_session *s, uint32_t n, const uint32_t *streams,
                                const tlbc_tensor *in, tlbc_tensor *out) {
    if (n && !streams)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "%u streams, their numbers are NULL", n);
    static const uint32_t none[1];
    return rt_step_chosen(s, n, streams ? streams : none, in, out);
}

const tlbc_api tlbc_rt_api = {
    .session_create = rt_session_create,
    .session_free = rt_session_free,
    .session_message = rt_session_message,
    .shapes = rt_shapes,
    .run = rt_run,
    .library_path = tlbc_rt_library_path,
    .step = rt_step,
    .step_many = rt_step_many,
    .reset = tlbc_rt_reset,
    .clone = tlbc_rt_clone,
    .state_save = tlbc_rt_state_save,
    .state_load = tlbc_rt_state_load,
};
