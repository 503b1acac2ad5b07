/* Running the programs of rules; see rule.h. A `bind` that several nodes answer is where matching comes back to when something later
 * fails; all other steps only look. Programs are a dozen steps long, and so is the recursion. */
#include "passes/rule_internal.h"

#include <math.h>

typedef struct run {
    rule_host *host;
    const rule_program *p;
    rule_match m;
    ir_node *outermost; /* the first bind looks at this node alone */
    rule_found_fn *found;
    void *data;
} run;

static bool run_from(run *r, uint32_t at);

/* ---- looking -------------------------------------------------------------------------------------------------- */

static bool fits(const rule_step *s, const ir_node *n) {
    if (s->op ? n->op != s->op : !s->op_class(n)) return false;
    return n->n_out == 1 && (n->n_in == s->n_args || (s->rest && n->n_in > s->n_args));
}

static bool take_operands(run *r, const rule_step *s, ir_node *n) {
    r->m.node[s->node] = n;
    for (uint32_t i = 0; i < s->n_args; i++) {
        r->m.value[s->first + i] = ir_in(n, i);
        if (!ir_in(n, i)) return false;
    }
    return true;
}

static bool has_another_order(const run *r, const rule_step *s, const ir_node *n) {
    return r->host->either_order && s->n_args == 2 && op_is(n->op, OP_COMMUTES) &&
           ir_in(n, 0) != ir_in(n, 1);
}

static bool take_exchanged(run *r, const rule_step *s, ir_node *n) {
    r->m.node[s->node] = n;
    r->m.value[s->first] = ir_in(n, 1);
    r->m.value[s->first + 1] = ir_in(n, 0);
    return true;
}

static bool bind(run *r, const rule_step *s, ir_node *n, uint32_t at) {
    if (!fits(s, n) || !take_operands(r, s, n)) return false;
    if (run_from(r, at + 1)) return true;
    return has_another_order(r, s, n) && take_exchanged(r, s, n) && run_from(r, at + 1);
}

static bool bind_each(run *r, const rule_step *s, uint32_t at) {
    const ir_value *v = r->m.value[s->at];
    if (at == 0) return bind(r, s, r->outermost, at);
    for (ir_node *n = NULL; (n = r->host->next_maker(r->host, v, n));)
        if (bind(r, s, n, at)) return true;
    return false;
}

/* 0 and -0 are two numbers, but to integers. */
static bool is_number(const ir_value *v, double number) {
    if (!ir_value_is_splat(v, number)) return false;
    if (number != 0 || !ir_dtype_is_float(v->type->dtype)) return true;
    return signbit(ir_tensor_get_f64(v->tensor, 0)) == signbit(number);
}

static bool same_attr(const ir_attr *a, const ir_attr *b) {
    return a && b ? ir_attr_equal(a, b) : a == b;
}

static bool look_at_attr(run *r, const rule_step *s) {
    const ir_attr *a = ir_attr_find(r->m.node[s->node], s->attrs[0].name),
                  **to = &r->m.attr[s->attrs[0].slot];
    if (s->again) return same_attr(*to, a);
    *to = a;
    return true;
}

static bool holds(const run *r, const rule_step *s) {
    ir_value *v[RULE_MAX_ARGS];
    for (uint32_t i = 0; i < s->n_args; i++)
        v[i] = r->m.value[s->args[i]];
    return s->condition->fn(r->host, &r->m, v) != s->negated;
}

static bool look(run *r, const rule_step *s) {
    switch (s->kind) {
    case STEP_SAME:
        return r->m.value[s->at] == r->m.value[s->first];
    case STEP_NUMBER:
        return is_number(r->m.value[s->at], s->number);
    case STEP_ATTR:
        return look_at_attr(r, s);
    case STEP_ATTR_INT:
        return ir_attr_int(r->m.node[s->node], s->attrs[0].name, 0) == s->attrs[0].number;
    default:
        return holds(r, s);
    }
}

static bool run_from(run *r, uint32_t at) {
    for (; at < r->p->build; at++) {
        const rule_step *s = &r->p->steps[at];
        if (s->kind == STEP_BIND) return bind_each(r, s, at);
        if (!look(r, s)) return false;
    }
    return r->found(r->data, &r->m);
}

bool rule_match_each(rule_host *h, const rule_program *p, ir_value *root, ir_node *n,
                     rule_found_fn *found, void *data) {
    run r = {.host = h, .p = p, .m.value[0] = root, .outermost = n, .found = found, .data = data};
    return run_from(&r, 0);
}

/* ---- building ------------------------------------------------------------------------------------------------- */

/* Inference with nothing reported. */
static bool types_fit(ir_ctx *c, ir_node *n) {
    diag saved = c->diag;
    bool fit = ir_infer_node(c, n);
    c->diag = saved;
    return fit;
}

ir_value *rule_build_node(rule_host *h, op_id op, ir_value *const *in, uint32_t n_in,
                          const ir_attr *attrs, uint32_t n_attrs) {
    ir_builder *b = &h->builder;
    ir_node *n = ir_node_create(b->m, op, in, n_in, 1);
    n->loc = b->loc;
    for (uint32_t i = 0; i < n_attrs; i++)
        ir_attr_set(b->m, n, &attrs[i]);
    if (b->before)
        ir_node_insert_before(b->before, n);
    else
        ir_node_append(b->region, n);
    if (types_fit(b->m->ctx, n)) return h->adopt(h, n);
    ir_node_remove(n);
    return NULL;
}

static ir_value *build_step(rule_host *h, const rule_step *s, const rule_match *m, ir_value **in) {
    const ir_node *like = s->node < 0 ? NULL : m->node[s->node];
    if (like) return rule_build_node(h, like->op, in, s->n_args, like->attrs, like->n_attrs);
    ir_attr attrs[RULE_MAX_TERM_ATTRS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_attrs; i++) {
        const rule_step_attr *a = &s->attrs[i];
        if (a->slot < 0)
            attrs[n++] = (ir_attr){.name = a->name, .kind = ATTR_INT, .v.i = a->number};
        else if (m->attr[a->slot]) {
            attrs[n] = *m->attr[a->slot];
            attrs[n++].name = a->name;
        }
    }
    return rule_build_node(h, s->op, in, s->n_args, attrs, n);
}

static ir_value *make(rule_host *h, const rule_step *s, const rule_match *m) {
    ir_value *in[RULE_MAX_ARGS];
    for (uint32_t i = 0; i < s->n_args; i++)
        in[i] = m->value[s->args[i]];
    if (s->kind == STEP_SCALAR)
        return build_scalar(&h->builder, m->value[0]->type->dtype, s->number);
    return s->kind == STEP_CALL ? s->function->fn(h, in) : build_step(h, s, m, in);
}

ir_value *rule_build(rule_host *h, const rule_program *p, rule_match *m) {
    for (uint32_t i = p->build; p->steps[i].kind != STEP_RESULT; i++) {
        const rule_step *s = &p->steps[i];
        m->value[s->at] = make(h, s, m);
        if (!m->value[s->at]) return NULL;
    }
    return m->value[p->steps[p->n - 1].at];
}
