/* A schedule as one JSON object: `tlbc inspect --schedule --json`.
 *
 *   {"name": "main_graph", "target": "x86-64-v3", "threads": 1, "us": 14.6, "runs": 30, "cut": false,
 *    "phases": [{"calls": 19, "barriers": 7, "us": 5.7, "waiting_us": 0.2},
 *               {"loop": "Recur", "node": "/net/cell", "rounds": 5, "calls": 75, ...}],
 *    "kernels": [{"kernel": "MatMulPacked_8", "op": "MatMulPacked", "node": "/net/mlp", "calls": 2, "us": 1.6, "flops": 41943}]}
 *
 * Calls, barriers, times and flops are those of thread 0. */
#include "cli/json.h"
#include "cli/schedule.h"

#include <stdio.h>

static double us(int64_t ns) {
    return (double)ns * 1e-3;
}

static void put_phase(json_writer *w, const schedule_phase *p) {
    json_open(w, NULL, '{');
    if (p->loop) {
        json_string(w, "loop", op_get(p->loop->node->op)->name);
        json_string(w, "node", schedule_node_name(p->loop->node));
        json_number(w, "rounds", p->rounds);
    }
    json_number(w, "calls", p->calls);
    json_number(w, "barriers", p->barriers);
    json_number(w, "us", us(p->time));
    json_number(w, "waiting_us", us(p->waiting));
    json_close(w, '}');
}

static void put_kernel(json_writer *w, const schedule_kernel *k) {
    const ir_node *n = k->step->node;
    json_open(w, NULL, '{');
    json_string(w, "kernel", k->step->kernel);
    if (n) {
        json_string(w, "op", op_get(n->op)->name);
        json_string(w, "node", schedule_node_name(n));
    }
    json_number(w, "calls", k->calls);
    json_number(w, "us", us(k->time));
    if (k->flops > 0) json_number(w, "flops", k->flops);
    json_close(w, '}');
}

void schedule_print_json(cli *c, const schedule *s) {
    json_writer w;
    uint32_t n;
    const schedule_kernel *k = schedule_kernels(c, s, &n);
    json_begin(&w, c->arena);
    json_string(&w, "name", s->name);
    json_string(&w, "target", s->target);
    json_number(&w, "threads", s->n_threads);
    json_number(&w, "us", us(s->total));
    json_number(&w, "runs", s->runs);
    json_bool(&w, "cut", s->cut);
    json_open(&w, "phases", '[');
    for (uint32_t i = 0; i < s->n_phases; i++)
        put_phase(&w, &s->phases[i]);
    json_close(&w, ']');
    json_open(&w, "kernels", '[');
    for (uint32_t i = 0; i < n; i++)
        put_kernel(&w, &k[i]);
    json_close(&w, ']');
    puts(json_end(&w));
}
