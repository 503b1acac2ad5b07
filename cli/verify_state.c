/* tlbc verify --state: a model that carries its states through inputs and outputs, against the step function that keeps them. The first
 * gets what it returned as input of its next call; both run the same random inputs, STEPS calls in a row, from zeros. All bits of all
 * outputs must be equal after each call. */
#include "cli/verify.h"

enum { STEPS = 7 };

typedef struct state_job {
    verify_job plain, step;
    cli_list dims;
    uint32_t *
        fed_by; /* for each input of the plain model: 1 + the output that it is in the next call; 0: none */
    model_tensors before, now; /* of the plain model */
} state_job;

/* ---- which output feeds which input --------------------------------------------------------------------------- */

static bool is_name(const char *name, const char *text, size_t n) {
    return strlen(name) == n && !memcmp(name, text, n);
}

/* The caller of a model whose states grow, or are named by a pattern, would have to be played differently. */
static bool check_pairs(cli *c, cli_list states) {
    for (uint32_t i = 0; i < states.n; i++)
        if (strpbrk(states.items[i], "@*"))
            return diag_error(c->diag, NULL,
                              "--state %s: verify takes states that keep their size, named in full",
                              states.items[i]);
    return true;
}

/* --state has been accepted: its names are there. */
static void read_pairs(state_job *s, cli_list states) {
    const tlbc_model *m = s->plain.model;
    s->fed_by = TL_NEW_ARRAY(s->plain.c->arena, uint32_t, m->n_inputs);
    for (uint32_t k = 0; k < states.n; k++)
        for (const char *text = states.items[k]; *text;) {
            size_t in = strcspn(text, "="), all = strcspn(text, ","), out = all - in - 1;
            for (uint32_t i = 0; i < m->n_inputs; i++)
                for (uint32_t o = 0; o < m->n_outputs; o++)
                    if (is_name(m->inputs[i].name, text, in) &&
                        is_name(m->outputs[o].name, text + in + 1, out))
                        s->fed_by[i] = o + 1;
            text += all + (text[all] == ',');
        }
}

/* ---- one call ------------------------------------------------------------------------------------------------- */

static void carry(state_job *s, bool first) {
    for (uint32_t i = 0; i < s->plain.model->n_inputs; i++) {
        if (!s->fed_by[i]) continue;
        if (first)
            memset(s->now.in[i].data, 0, s->now.in[i].bytes);
        else
            s->now.in[i] = s->before.out[s->fed_by[i] - 1];
    }
}

/* Inputs and outputs of the step function are the plain model's, without the states. */
static uint32_t find_tensor(const tlbc_tensor_info *all, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(all[i].name, name)) return i;
    return n;
}

static void share_inputs(const state_job *s, model_tensors *t) {
    const tlbc_model *plain = s->plain.model, *step = s->step.model;
    for (uint32_t i = 0; i < step->n_inputs; i++)
        t->in[i] = s->now.in[find_tensor(plain->inputs, plain->n_inputs, step->inputs[i].name)];
}

/* A model may take no more: its table of positions, or its cache, ends. */
static bool is_end(tlbc_status status) {
    return status == TLBC_ERROR_ARGUMENT || status == TLBC_ERROR_DATA;
}

static bool run_plain(state_job *s, bool first, uint64_t seed, tlbc_status *status) {
    verify_job *j = &s->plain;
    s->before = s->now;
    model_tensors_init(j->c, j->model, &s->now);
    if (!model_random_inputs(j->c, &s->now, s->dims, seed)) return false;
    carry(s, first);
    if (!model_alloc_outputs(j->c, j->session, &s->now)) return false;
    *status = tlbc_run(j->session, s->now.in, s->now.out);
    if (!*status) return true;
    if (!first && is_end(*status)) {
        printf("the model takes no further step: %s\n", tlbc_session_message(j->session));
        return true;
    }
    model_report(j->c, j->session, *status, "with states as inputs");
    return false;
}

/* The step function has to end where the plain model does: `expected`. */
static bool run_step(state_job *s, model_tensors *t, tlbc_status expected) {
    verify_job *j = &s->step;
    model_tensors_init(j->c, j->model, t);
    share_inputs(s, t);
    if (!j->session && !model_session_for(j->c, t, j->threads, true, &j->session)) return false;
    if (!model_alloc_outputs(j->c, j->session, t)) return false;
    tlbc_status status = tlbc_step(j->session, t->in, t->out);
    if (status == expected) return true;
    if (!status) return diag_error(j->c->diag, NULL, "the step function goes on");
    model_report(j->c, j->session, status, "the step function");
    return false;
}

static bool compare(const state_job *s, int64_t run, int64_t step, const model_tensors *t) {
    cli *c = s->step.c;
    const tlbc_model *plain = s->plain.model;
    for (uint32_t i = 0; i < s->step.model->n_outputs; i++) {
        const char *name = s->step.model->outputs[i].name;
        const tlbc_tensor *got = &t->out[i],
                          *want = &s->now.out[find_tensor(plain->outputs, plain->n_outputs, name)];
        const char *text;
        if (data_same_bits(c->arena, got, want, &text)) continue;
        return diag_error(c->diag, NULL,
                          "run %lld, step %lld: output %u '%s' of the step function: %s",
                          (long long)run, (long long)step, i, name, text);
    }
    return true;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static bool verify_sequence(state_job *s, int64_t run, uint64_t seed) {
    bool same = true;
    tlbc_status status = TLBC_OK;
    int64_t steps = 0;
    for (; same && !status && steps < STEPS; steps += same && !status) {
        model_tensors t;
        same = run_plain(s, steps == 0, seed * STEPS + (uint64_t)steps, &status) &&
               run_step(s, &t, status) && (status || compare(s, run, steps, &t));
    }
    if (same) printf("run %lld: %lld steps, all bits equal\n", (long long)run, (long long)steps);
    tlbc_session_free(s->step.session);
    s->step.session = NULL;
    return same;
}

bool verify_state(const verify_job *j, const char *path, const verify_stream_options *o) {
    state_job s = {.plain = *j, .step = *j, .dims = o->dims};
    const ir_module *imported = verify_read_module(j->c, path, o->dims);
    cli_list none = {0};
    bool ok = check_pairs(j->c, o->states) && imported &&
              verify_compile(&s.plain, imported, o, none, none, "plain") &&
              verify_compile(&s.step, imported, o, o->states, none, "step") &&
              model_session(j->c, s.plain.model, j->threads, &s.plain.session);
    if (ok) read_pairs(&s, o->states);
    if (ok) printf("states: %s\n", verify_list_states(j->c, s.step.model));
    for (int64_t run = 0; ok && run < o->runs; run++)
        ok = verify_sequence(&s, run, (uint64_t)(o->seed + run));
    tlbc_session_free(s.plain.session);
    return ok;
}
