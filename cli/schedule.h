/* The schedule of a model: in which order its kernels run, where threads wait for each other, and how long it all takes. Measured: the
 * program is compiled with a mark behind each of its steps (codegen/steps.h) and run several times; the fastest run counts.
 *
 *   schedule s;
 *   if (schedule_measure(c, m, &options, &s)) schedule_print(c, &s);
 *
 * A *phase* is what lies between two loops of the program, or one outermost loop: the letters of the picture.
 *
 *   0 |AABBBBBBBBBBBBBBBBCCCCCCCCCCCC.CCCCCCD|      A: before, B: chunks side by side, C: one chunk after the other, '.': waiting
 *   1 |AABBBBBBBBBBBBBBBBCCCCC.CCCCCCCCCCCCCD| */
#ifndef TLBC_CLI_SCHEDULE_H
#define TLBC_CLI_SCHEDULE_H

#include "cli/cli.h"
#include "codegen/steps.h"
#include "ir/ir.h"

typedef struct schedule_event {
    uint32_t step;
    int64_t end; /* ns since the first event of the first thread */
} schedule_event;

typedef struct schedule_thread {
    schedule_event *events;
    uint32_t n;
} schedule_thread;

typedef struct schedule_phase {
    const cg_step *loop;      /* NULL: what lies between loops */
    uint32_t rounds;          /* of all threads where each runs its own, else of one */
    uint32_t calls, barriers; /* of thread 0 */
    int64_t time, waiting;    /* of thread 0 */
} schedule_phase;

typedef struct schedule {
    const char *name, *target;
    const cg_step *steps;
    const uint32_t *phase_of; /* of a step */
    schedule_phase *phases;
    uint32_t n_steps, n_phases, n_threads, runs;
    schedule_thread *threads;
    int64_t total; /* ns */
    bool cut;      /* the run was longer than what is kept of it */
} schedule;

typedef struct schedule_options {
    cli_list dims; /* sizes of symbols that are still open */
    int64_t threads;
} schedule_options;

/* Compiles the module, which has been through the passes, and runs it on made-up inputs. false after reporting. */
bool schedule_measure(cli *c, ir_module *m, const schedule_options *o, schedule *s);

/* For each of n equal parts of the time: the class of steps that took most of it on this thread; n_classes where nothing ran. */
typedef uint32_t schedule_class_fn(const schedule *s, uint32_t step);
const uint32_t *schedule_columns(cli *c, const schedule *s, uint32_t thread, uint32_t n,
                                 schedule_class_fn *class_of, uint32_t n_classes);
/* When event i of the thread began. */
int64_t schedule_event_start(const schedule_thread *t, uint32_t i);

/* What thread 0 has done in a kernel, in all steps that call it. */
typedef struct schedule_kernel {
    const cg_step *step;
    uint32_t calls;
    int64_t time; /* ns */
    double flops; /* of the products in its calls, this thread's share; 0: none, or not known */
} schedule_kernel;

/* Those that take most first. */
const schedule_kernel *schedule_kernels(cli *c, const schedule *s, uint32_t *n);
/* The name that the file has for the node, or for its result. */
const char *schedule_node_name(const ir_node *n);

void schedule_print(cli *c, const schedule *s);
void schedule_print_json(cli *c, const schedule *s);
/* false after reporting. */
bool schedule_write_svg(cli *c, const schedule *s, const char *path);

#endif
