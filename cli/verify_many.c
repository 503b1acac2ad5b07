/* tlbc verify --streams: N streams that join and leave at random in the steps of one session, made with --batch-streams, against sessions
 * of one stream each of the step function as it is otherwise. All bits of all outputs must be equal, and of all states in the end. A
 * stream that has come to its end (its table of positions, its cache) begins anew. */
#include "cli/rows.h"
#include "cli/verify.h"

enum { ROUNDS = 25 };

typedef struct many_job {
    verify_job one, many;
    cli_list dims;
    uint32_t n;
    tlbc_session **sessions; /* of one */
    uint32_t *chosen;
    uint64_t random;
} many_job;

static uint32_t next_random(many_job *s) {
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(s->random >> 33);
}

/* Of the sizes that are asked for, and a batch of 1. */
static cli_list dims_of_one(many_job *s) {
    const char *symbol = model_stream_symbol(s->one.model);
    const char **items = TL_NEW_ARRAY(s->one.c->arena, const char *, s->dims.n + 1);
    cli_list list = {items, 0};
    for (uint32_t i = 0; i < s->dims.n; i++)
        items[list.n++] = s->dims.items[i];
    if (symbol) items[list.n++] = tl_arena_printf(s->one.c->arena, "%s=1", symbol);
    return list;
}

/* Some of the streams, in random order; each fourth time all of them in theirs. */
static uint32_t choose(many_job *s, int64_t round) {
    for (uint32_t i = 0; i < s->n; i++)
        s->chosen[i] = i;
    if (round % 4 == 3) return s->n;
    for (uint32_t i = s->n; i > 1; i--) {
        uint32_t k = next_random(s) % i, t = s->chosen[k];
        s->chosen[k] = s->chosen[i - 1];
        s->chosen[i - 1] = t;
    }
    return 1 + next_random(s) % s->n;
}

static bool fail(const verify_job *j, tlbc_status status, const char *what) {
    model_report(j->c, j->session, status, what);
    return false;
}

static bool reset(many_job *s, uint32_t stream) {
    tlbc_status status = tlbc_reset(s->many.session, stream);
    return tlbc_reset(s->sessions[stream], 0) == TLBC_OK &&
           (status == TLBC_OK || fail(&s->many, status, "reset"));
}

/* A step of one stream by itself; at its end it begins anew. */
static bool step_alone(many_job *s, uint32_t stream, model_tensors *t) {
    verify_job *j = &s->one;
    model_tensors_init(j->c, j->model, t);
    j->session = s->sessions[stream];
    if (!model_random_inputs(j->c, t, dims_of_one(s), next_random(s))) return false;
    if (tlbc_shapes(j->session, t->in, t->out, NULL) == TLBC_ERROR_DATA && !reset(s, stream))
        return false;
    if (!model_alloc_outputs(j->c, j->session, t)) return false;
    tlbc_status status = tlbc_step(j->session, t->in, t->out);
    if (status == TLBC_ERROR_DATA) {
        if (!reset(s, stream)) return false;
        status = tlbc_step(j->session, t->in, t->out);
    }
    return status == TLBC_OK || fail(j, status, "a stream by itself");
}

static bool gather_inputs(many_job *s, const model_tensors *rows, uint32_t n, model_tensors *t) {
    cli *c = s->many.c;
    const tlbc_model *m = s->many.model;
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        row_layout l;
        if (!rows_find(m, &m->inputs[i], &rows[0].in[i], &l))
            return diag_error(c->diag, NULL, "input '%s' has no dimension that counts streams",
                              m->inputs[i].name);
        t->in[i] = rows_shape(&l, &rows[0].in[i], n);
        t->in[i].data = tl_arena_alloc(c->arena, t->in[i].bytes ? t->in[i].bytes : 1, 64);
        for (uint32_t k = 0; k < n; k++)
            rows_put(&l, &t->in[i], n, k, &rows[k].in[i]);
    }
    return true;
}

static bool compare_outputs(many_job *s, int64_t round, const model_tensors *rows, uint32_t n,
                            const model_tensors *t) {
    const tlbc_model *m = s->many.model;
    for (uint32_t i = 0; i < m->n_outputs; i++)
        for (uint32_t k = 0; k < n; k++) {
            row_layout l;
            if (rows_find(m, &m->outputs[i], &rows[k].out[i], &l) &&
                rows_equal(&l, &t->out[i], n, k, &rows[k].out[i]))
                continue;
            return diag_error(s->many.c->diag, NULL,
                              "step %lld of %u streams: output %u '%s' of stream %u is not what it "
                              "is alone",
                              (long long)round, n, i, m->outputs[i].name, s->chosen[k]);
        }
    return true;
}

static bool step_together(many_job *s, int64_t round, const model_tensors *rows, uint32_t n) {
    verify_job *j = &s->many;
    model_tensors t;
    model_tensors_init(j->c, j->model, &t);
    if (!gather_inputs(s, rows, n, &t) || !model_alloc_outputs(j->c, j->session, &t)) return false;
    tlbc_status status = tlbc_step_many(j->session, n, s->chosen, t.in, t.out);
    if (status) return fail(j, status, "streams together");
    return compare_outputs(s, round, rows, n, &t);
}

/* Saved states differ in the head, which knows the model; what follows is the states. */
static bool compare_states(many_job *s, uint32_t stream) {
    enum { HEAD = 64 };
    cli *c = s->one.c;
    size_t a = 0, b = 0;
    tlbc_state_save(s->sessions[stream], 0, NULL, &a);
    tlbc_state_save(s->many.session, stream, NULL, &b);
    char *x = tl_arena_alloc(c->arena, a, 64), *y = tl_arena_alloc(c->arena, b, 64);
    bool same = a == b && !tlbc_state_save(s->sessions[stream], 0, x, &a) &&
                !tlbc_state_save(s->many.session, stream, y, &b) &&
                !memcmp(x + HEAD, y + HEAD, a - HEAD);
    return same ||
           diag_error(c->diag, NULL, "the states of stream %u are not what they are alone", stream);
}

static bool open_sessions(many_job *s) {
    tlbc_session_options o = {.struct_size = sizeof o, .exact_threads = 1};
    o.threads = (uint32_t)s->many.threads;
    bool ok = true;
    for (uint32_t i = 0; i < s->n && ok; i++)
        ok = tlbc_session_create(s->one.model, &o, &s->sessions[i]) == TLBC_OK;
    o.streams = s->n;
    ok = ok && tlbc_session_create(s->many.model, &o, &s->many.session) == TLBC_OK;
    return ok || diag_error(s->one.c->diag, NULL, "cannot create sessions of %u streams", s->n);
}

static void close_sessions(many_job *s) {
    for (uint32_t i = 0; i < s->n; i++)
        tlbc_session_free(s->sessions[i]);
    tlbc_session_free(s->many.session);
    memset(s->sessions, 0, s->n * sizeof *s->sessions);
    s->many.session = NULL;
}

static bool verify_round(many_job *s, int64_t round, model_tensors *rows) {
    uint32_t n = choose(s, round);
    if (round % 5 == 4 && !reset(s, s->chosen[0])) return false;
    for (uint32_t k = 0; k < n; k++)
        if (!step_alone(s, s->chosen[k], &rows[k])) return false;
    return step_together(s, round, rows, n);
}

static bool verify_streams(many_job *s, int64_t run) {
    model_tensors *rows = TL_NEW_ARRAY(s->one.c->arena, model_tensors, s->n);
    bool same = open_sessions(s);
    for (int64_t round = 0; same && round < ROUNDS; round++)
        same = verify_round(s, round, rows);
    for (uint32_t i = 0; same && i < s->n; i++)
        same = compare_states(s, i);
    if (same)
        printf("run %lld: %d steps of at most %u streams, all bits equal\n", (long long)run, ROUNDS,
               s->n);
    close_sessions(s);
    return same;
}

bool verify_many(const verify_job *j, const char *path, const verify_stream_options *o) {
    cli *c = j->c;
    many_job s = {.one = *j, .many = *j, .dims = o->dims, .n = (uint32_t)o->n_streams};
    verify_stream_options batch = *o;
    batch.batch_streams = true;
    const ir_module *imported = verify_read_module(c, path, o->dims);
    bool ok = imported && verify_compile(&s.one, imported, o, o->states, o->streams, "one") &&
              verify_compile(&s.many, imported, &batch, o->states, o->streams, "many");
    if (!ok) return false;
    if (!s.one.model->n_states && o->streams.n) {
        printf("no states: steps do not depend on each other\n");
        return true;
    }
    if (!s.one.model->n_states)
        return diag_error(c->diag, NULL, "--streams: %s has no states", path);
    printf("states: %s\n%s\n", verify_list_states(c, s.many.model),
           model_stream_symbol(s.many.model) ? "streams are a batch" : "streams run one by one");
    s.sessions = TL_NEW_ARRAY(c->arena, tlbc_session *, s.n);
    s.chosen = TL_NEW_ARRAY(c->arena, uint32_t, s.n);
    for (int64_t run = 0; ok && run < o->runs; run++) {
        s.random = (uint64_t)(o->seed + run);
        ok = verify_streams(&s, run);
    }
    return ok;
}
