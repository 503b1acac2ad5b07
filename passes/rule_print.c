/* The program of a rule as text, a step a line; see rule.h. For tests, and for a look at what a rule has become. */
#include "passes/rule_internal.h"

static void print_args(const rule_step *s, tl_str *out) {
    for (uint32_t i = 0; i < s->n_args; i++)
        tl_str_printf(out, " r%u", s->kind == STEP_BIND ? s->first + i : s->args[i]);
}

static void print_bind(const rule_step *s, tl_str *out) {
    tl_str_printf(out, "bind r%u as n%d %s%s ->", s->at, s->node,
                  s->op ? op_get(s->op)->name : "class", s->rest ? "..." : "");
    print_args(s, out);
}

static void print_attr(const rule_step_attr *a, tl_str *out) {
    tl_str_printf(out, " %s=", a->name);
    if (a->slot >= 0)
        tl_str_printf(out, "a%d", a->slot);
    else
        tl_str_printf(out, "%lld", (long long)a->number);
}

static void print_build(const rule_step *s, tl_str *out) {
    tl_str_puts(out, "build");
    if (s->op) tl_str_printf(out, " %s", op_get(s->op)->name);
    if (s->node >= 0) tl_str_printf(out, " like n%d", s->node);
    for (uint32_t i = 0; i < s->n_attrs; i++)
        print_attr(&s->attrs[i], out);
    print_args(s, out);
    tl_str_printf(out, " -> r%u", s->at);
}

static void print_step(const rule_step *s, tl_str *out) {
    switch (s->kind) {
    case STEP_BIND:
        print_bind(s, out);
        break;
    case STEP_SAME:
        tl_str_printf(out, "same r%u r%u", s->at, s->first);
        break;
    case STEP_NUMBER:
        tl_str_printf(out, "number r%u %g", s->at, s->number);
        break;
    case STEP_ATTR:
    case STEP_ATTR_INT:
        tl_str_printf(out, "attribute%s n%d", s->again ? " again" : "", s->node);
        print_attr(&s->attrs[0], out);
        break;
    case STEP_CONDITION:
        tl_str_printf(out, "%s%s", s->negated ? "not " : "", s->condition->name);
        print_args(s, out);
        break;
    case STEP_BUILD:
        print_build(s, out);
        break;
    case STEP_CALL:
        tl_str_printf(out, "call %s", s->function->name);
        print_args(s, out);
        tl_str_printf(out, " -> r%u", s->at);
        break;
    case STEP_SCALAR:
        tl_str_printf(out, "scalar %g -> r%u", s->number, s->at);
        break;
    case STEP_RESULT:
        tl_str_printf(out, "result r%u", s->at);
        break;
    }
    tl_str_putc(out, '\n');
}

void rule_program_print(const rule_program *p, tl_str *out) {
    for (uint32_t i = 0; i < p->n; i++)
        print_step(&p->steps[i], out);
}
