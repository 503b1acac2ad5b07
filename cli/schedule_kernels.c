/* Calls and times of a schedule's kernels: the steps of thread 0, those that call the same kernel as one. */
#include "cli/schedule.h"
#include "ir/cost.h"

#include <stdlib.h>
#include <string.h>

const char *schedule_node_name(const ir_node *n) {
    if (n->loc && n->loc->node && n->loc->node[0]) return n->loc->node;
    return n->n_out && n->out[0].name ? n->out[0].name : "";
}

/* The arithmetic of the step's node, where this step is all that computes it. */
static double step_flops(cli *c, const schedule *s, uint32_t step) {
    const ir_node *n = s->steps[step].node;
    int64_t flops;
    if (!n || !ir_dim_is_const(ir_node_flops(&c->ctx, n), &flops)) return 0;
    for (uint32_t i = 0; i < s->n_steps; i++)
        if (i != step && s->steps[i].kind == CG_STEP_CALL && s->steps[i].node == n) return 0;
    return (double)flops / (s->steps[step].alone ? 1 : s->n_threads);
}

static int compare_times(const void *a, const void *b) {
    const schedule_kernel *x = a, *y = b;
    return (x->time < y->time) - (x->time > y->time);
}

static int compare_names(const void *a, const void *b) {
    const schedule_kernel *x = a, *y = b;
    return strcmp(x->step->kernel, y->step->kernel);
}

/* Sorted by name, then joined. */
static uint32_t join_same(schedule_kernel *k, uint32_t n) {
    uint32_t kept = 0;
    qsort(k, n, sizeof *k, compare_names);
    for (uint32_t i = 0; i < n; i++) {
        if (kept && compare_names(&k[kept - 1], &k[i]) == 0) {
            k[kept - 1].calls += k[i].calls;
            k[kept - 1].time += k[i].time;
            k[kept - 1].flops += k[i].flops;
            continue;
        }
        k[kept++] = k[i];
    }
    return kept;
}

/* One entry for each step that calls a kernel. */
static uint32_t sum_steps(cli *c, const schedule *s, schedule_kernel *k) {
    const schedule_thread *t = &s->threads[0];
    uint32_t n = 0, *index = TL_NEW_ARRAY(c->arena, uint32_t, s->n_steps + 1);
    for (uint32_t i = 0; i < s->n_steps; i++) {
        index[i] = n;
        if (s->steps[i].kind == CG_STEP_CALL) k[n++] = (schedule_kernel){.step = &s->steps[i]};
    }
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t step = t->events[i].step;
        if (s->steps[step].kind != CG_STEP_CALL) continue;
        k[index[step]].calls++;
        k[index[step]].time += t->events[i].end - schedule_event_start(t, i);
    }
    for (uint32_t i = 0; i < n; i++)
        k[i].flops = k[i].calls * step_flops(c, s, (uint32_t)(k[i].step - s->steps));
    return n;
}

const schedule_kernel *schedule_kernels(cli *c, const schedule *s, uint32_t *n) {
    schedule_kernel *k = TL_NEW_ARRAY(c->arena, schedule_kernel, s->n_steps + 1);
    *n = join_same(k, sum_steps(c, s, k));
    qsort(k, *n, sizeof *k, compare_times);
    return k;
}
