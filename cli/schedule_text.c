/* A schedule as text: phases, a line of letters for each thread, the kernels that take most of the time. */
#include "cli/schedule.h"

#include <stdio.h>

enum { COLUMNS = 100, LETTERS = 26, MOST_KERNELS = 20 };

static double us(int64_t ns) {
    return (double)ns * 1e-3;
}

static double share(int64_t part, const schedule *s) {
    return s->total > 0 ? 100 * (double)part / (double)s->total : 0;
}

/* Of phases beyond Z: the last letter. */
static uint32_t letter_of(const schedule *s, uint32_t step) {
    uint32_t phase = s->phase_of[step];
    if (s->steps[step].kind == CG_STEP_BARRIER) return LETTERS;
    return phase < LETTERS ? phase : LETTERS - 1;
}

static void print_phase(const schedule *s, uint32_t i) {
    const schedule_phase *p = &s->phases[i];
    char letter = (char)('A' + (i < LETTERS ? i : LETTERS - 1));
    printf("  %c %8u %8u %10.1f %6.1f %% %8.1f  ", letter, p->calls, p->barriers, us(p->time),
           share(p->time, s), us(p->waiting));
    if (!p->loop) {
        printf("between loops\n");
        return;
    }
    printf("%s '%s', %u rounds, %s\n", op_get(p->loop->node->op)->name,
           schedule_node_name(p->loop->node), p->rounds,
           p->loop->alone ? "each by one thread" : "one after the other");
}

static void print_thread(cli *c, const schedule *s, uint32_t thread) {
    const uint32_t *columns = schedule_columns(c, s, thread, COLUMNS, letter_of, LETTERS + 1);
    const schedule_thread *t = &s->threads[thread];
    int64_t waiting = 0;
    char line[COLUMNS + 1] = {0};
    for (uint32_t i = 0; i < COLUMNS; i++)
        line[i] = columns[i] < LETTERS    ? (char)('A' + columns[i])
                  : columns[i] == LETTERS ? '.'
                                          : ' ';
    for (uint32_t i = 0; i < t->n; i++)
        if (s->steps[t->events[i].step].kind == CG_STEP_BARRIER)
            waiting += t->events[i].end - schedule_event_start(t, i);
    printf("  %2u |%s| waits %.1f %%\n", thread, line, share(waiting, s));
}

/* Of one thread: a call's work is shared among all, but for what a thread does alone. */
static void print_kernel(const schedule *s, const schedule_kernel *k) {
    const ir_node *n = k->step->node;
    printf("  %8u %10.1f %6.1f %%", k->calls, us(k->time), share(k->time, s));
    if (k->flops > 0 && k->time > 0)
        printf(" %8.1f", k->flops / (double)k->time);
    else
        printf(" %8s", "");
    printf("  %s%s%s\n", k->step->kernel, n ? "  for " : "", n ? schedule_node_name(n) : "");
}

static void print_kernels(cli *c, const schedule *s) {
    uint32_t n;
    const schedule_kernel *k = schedule_kernels(c, s, &n);
    printf("\n  %8s %10s %8s %8s  kernels of thread 0%s\n", "calls", "us", "share", "GFLOP/s",
           n > MOST_KERNELS ? ", those that take most" : "");
    for (uint32_t i = 0; i < n && i < MOST_KERNELS; i++)
        print_kernel(s, &k[i]);
}

void schedule_print(cli *c, const schedule *s) {
    printf("schedule of '%s' for %s, %u thread%s: %.1f us, the fastest of %u runs\n", s->name,
           s->target, s->n_threads, s->n_threads > 1 ? "s" : "", us(s->total), s->runs);
    if (s->cut) printf("  only the beginning: the run has more steps than are kept\n");
    printf("\n  phase  calls barriers         us    share  waiting\n");
    for (uint32_t i = 0; i < s->n_phases; i++)
        print_phase(s, i);
    putchar('\n');
    for (uint32_t i = 0; i < s->n_threads; i++)
        print_thread(c, s, i);
    print_kernels(c, s);
}
