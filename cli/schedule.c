/* Measuring a schedule; see schedule.h. */
#include "cli/schedule.h"

#include "cli/model.h"
#include "codegen/cg.h"

#include <string.h>
#include <time.h>

/* What is kept of a run: 16 MB a thread. */
enum { MAX_EVENTS = 1 << 20, LEAST_RUNS = 3, MOST_RUNS = 300, MAX_THREADS = 64 };
static const double LONGEST = 0.5; /* seconds, where these suffice for the least runs */

/* ---- the marks ------------------------------------------------------------------------------------------------ */

/* One of each thread, written by that thread alone. */
typedef struct recorder {
    schedule_thread threads[MAX_THREADS];
} recorder;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void on_mark(void *data, int64_t thread, int64_t step) {
    schedule_thread *t = &((recorder *)data)->threads[thread];
    if (step == 0) t->n = 0;
    if (t->n < MAX_EVENTS) t->events[t->n++] = (schedule_event){(uint32_t)step, now()};
}

static int64_t run_time(const recorder *r, uint32_t n_threads) {
    int64_t first = INT64_MAX, last = 0;
    for (uint32_t i = 0; i < n_threads; i++) {
        const schedule_thread *t = &r->threads[i];
        if (t->n == 0) continue;
        if (t->events[0].end < first) first = t->events[0].end;
        if (t->events[t->n - 1].end > last) last = t->events[t->n - 1].end;
    }
    return last - first;
}

static void keep_run(const recorder *r, schedule *s, int64_t total) {
    int64_t start = INT64_MAX;
    s->total = total;
    for (uint32_t i = 0; i < s->n_threads; i++)
        if (r->threads[i].n && r->threads[i].events[0].end < start)
            start = r->threads[i].events[0].end;
    for (uint32_t i = 0; i < s->n_threads; i++) {
        const schedule_thread *from = &r->threads[i];
        s->threads[i].n = from->n;
        s->cut |= from->n == MAX_EVENTS;
        for (uint32_t k = 0; k < from->n; k++)
            s->threads[i].events[k] = (schedule_event){from->events[k].step,
                                                       from->events[k].end - start};
    }
}

/* ---- runs ----------------------------------------------------------------------------------------------------- */

static bool run_marked(cli *c, tlbc_session *session, model_tensors *t, const recorder *r,
                       schedule *s) {
    if (!model_alloc_outputs(c, session, t)) return false;
    double end = cli_seconds() + LONGEST;
    for (s->runs = 0; s->runs < LEAST_RUNS || (s->runs < MOST_RUNS && cli_seconds() < end);
         s->runs++) {
        tlbc_status status = t->model->n_states ? tlbc_step(session, t->in, t->out)
                                                : tlbc_run(session, t->in, t->out);
        if (status) {
            model_report(c, session, status, t->model->name);
            return false;
        }
        int64_t total = run_time(r, s->n_threads);
        if (s->runs == 0 || total < s->total) keep_run(r, s, total);
    }
    return true;
}

static schedule_event *new_events(cli *c) {
    return TL_NEW_ARRAY(c->arena, schedule_event, MAX_EVENTS);
}

static bool run_model(cli *c, const tlbc_model *model, const schedule_options *o, recorder *r,
                      schedule *s) {
    model_tensors t;
    tlbc_session *session;
    for (uint32_t i = 0; i < s->n_threads; i++) {
        r->threads[i].events = new_events(c);
        s->threads[i].events = new_events(c);
    }
    model_tensors_init(c, model, &t);
    if (!model_random_inputs(c, &t, o->dims, 1) ||
        !model_session_for(c, &t, o->threads, true, &session))
        return false;
    bool ok = run_marked(c, session, &t, r, s);
    tlbc_session_free(session);
    return ok;
}

/* ---- phases --------------------------------------------------------------------------------------------------- */

/* Outermost loops with what is in them, and what lies between. */
static void find_phases(cli *c, schedule *s) {
    uint32_t *phase_of = TL_NEW_ARRAY(c->arena, uint32_t, s->n_steps + 1), n = 0;
    bool in_loop = false;
    s->phases = TL_NEW_ARRAY(c->arena, schedule_phase, s->n_steps + 1);
    for (uint32_t i = 0; i < s->n_steps; i++) {
        const cg_step *step = &s->steps[i];
        bool begins = step->kind == CG_STEP_LOOP && step->depth == 0;
        if (i == 0 || begins || (in_loop && step->depth == 0 && step->kind != CG_STEP_END)) {
            s->phases[n++] = (schedule_phase){.loop = begins ? step : NULL};
            in_loop = begins;
        }
        phase_of[i] = n - 1;
    }
    s->phase_of = phase_of;
    s->n_phases = n;
}

int64_t schedule_event_start(const schedule_thread *t, uint32_t i) {
    return i ? t->events[i - 1].end : t->events[0].end;
}

static void add_event(schedule *s, const schedule_thread *t, uint32_t i) {
    const cg_step *step = &s->steps[t->events[i].step];
    schedule_phase *p = &s->phases[s->phase_of[t->events[i].step]];
    int64_t time = t->events[i].end - schedule_event_start(t, i);
    p->time += time;
    p->calls += step->kind == CG_STEP_CALL;
    if (step->kind != CG_STEP_BARRIER) return;
    p->barriers++;
    p->waiting += time;
}

static void sum_phases(schedule *s) {
    for (uint32_t i = 0; i < s->threads[0].n; i++)
        add_event(s, &s->threads[0], i);
    for (uint32_t k = 0; k < s->n_threads; k++)
        for (uint32_t i = 0; i < s->threads[k].n; i++) {
            uint32_t step = s->threads[k].events[i].step;
            schedule_phase *p = &s->phases[s->phase_of[step]];
            if (p->loop == &s->steps[step]) p->rounds += k == 0 || p->loop->alone;
        }
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

bool schedule_measure(cli *c, ir_module *m, const schedule_options *o, schedule *s) {
    cg_target *target = TL_NEW(c->arena, cg_target);
    cg_options *options = TL_NEW(c->arena, cg_options);
    recorder *r = TL_NEW(c->arena, recorder);
    *r = (recorder){0};
    *options = (cg_options){.name = "model",
                            .targets = target,
                            .n_targets = 1,
                            .mark = on_mark,
                            .mark_data = r,
                            .watch = CG_WATCHED};
    if (!cg_target_find(&c->ctx, "native", target)) return false;
    cg_model *model = cg_lower(m, options);
    const tlbc_model *loaded = model ? cg_load_model(model) : NULL;
    if (!loaded) return false;
    *s = (schedule){.name = m->graphs->name,
                    .target = target->cpu,
                    .steps = model->entries[0].variants[0].steps,
                    .n_steps = model->entries[0].variants[0].n_steps,
                    .n_threads = o->threads > 1 ? (uint32_t)o->threads : 1};
    if (s->n_threads > MAX_THREADS)
        return diag_error(c->diag, NULL, "--threads: a schedule shows %d threads at most",
                          MAX_THREADS);
    s->threads = TL_NEW_ARRAY(c->arena, schedule_thread, s->n_threads);
    if (!run_model(c, loaded, o, r, s)) return false;
    find_phases(c, s);
    sum_phases(s);
    return true;
}

/* ---- pictures ------------------------------------------------------------------------------------------------- */

/* Adds the time from a to b to the columns that it is in. */
static void add_time(double *columns, uint32_t n, uint32_t n_classes, uint32_t class, double a,
                     double b) {
    for (uint32_t i = (uint32_t)a; i < n && i < b; i++) {
        double from = a > i ? a : i, to = b < i + 1.0 ? b : i + 1.0;
        columns[(size_t)i * n_classes + class] += to - from;
    }
}

const uint32_t *schedule_columns(cli *c, const schedule *s, uint32_t thread, uint32_t n,
                                 schedule_class_fn *class_of, uint32_t n_classes) {
    const schedule_thread *t = &s->threads[thread];
    double *columns = TL_NEW_ARRAY(c->arena, double, (size_t)n *n_classes);
    uint32_t *out = TL_NEW_ARRAY(c->arena, uint32_t, n);
    double scale = s->total > 0 ? n / (double)s->total : 0;
    memset(columns, 0, (size_t)n * n_classes * sizeof *columns);
    for (uint32_t i = 0; i < t->n; i++)
        add_time(columns, n, n_classes, class_of(s, t->events[i].step),
                 (double)schedule_event_start(t, i) * scale, (double)t->events[i].end * scale);
    for (uint32_t i = 0; i < n; i++) {
        const double *column = columns + (size_t)i * n_classes;
        uint32_t best = 0;
        for (uint32_t k = 1; k < n_classes; k++)
            if (column[k] > column[best]) best = k;
        out[i] = column[best] > 0 ? best : n_classes;
    }
    return out;
}
