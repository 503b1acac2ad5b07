/* simplify: small rewrites, as long as one applies.
 *
 *   before:  %a = Mul(%x, @one)                     after:  %r = Reshape(%x, @s)
 *            %b = Unsqueeze(%a, @axes)
 *            %c = Identity-like reshapes of %b
 *
 * The rules are data: simplify_rules.def lists them with what math they need. This file is the classical engine: it walks the graph
 * in order and offers each node to the rules of its operator, again and again until none wants it. The other engine is egraph.c. */
#include "passes/simplify.h"

#include "ir/base/assert.h"

/* ---- rules in text -------------------------------------------------------------------------------------------- */

static ir_node *next_maker(rule_host *h, const ir_value *v, const ir_node *after) {
    (void)h;
    return after ? NULL : v->def;
}

static ir_value *adopt(rule_host *h, ir_node *n) {
    (void)h;
    return &n->out[0];
}

static bool is_constant(const rule_host *h, const ir_value *v) {
    (void)h;
    return ir_value_is_const(v);
}

static bool keep_first(void *data, const rule_match *m) {
    *(rule_match *)data = *m;
    return true;
}

/* As far as both types are known they are the same. */
static bool can_replace(const ir_value *old, const ir_value *v) {
    if (v->type == old->type) return true;
    bool known = ir_type_is_known(v->type) && ir_type_is_known(old->type);
    return v->type->kind == old->type->kind && v->type->dtype == old->type->dtype &&
           (!known || same_dims(v->type, old->type));
}

static void remove_between(const ir_node *first, const ir_node *end) {
    while (end->prev != first)
        ir_node_remove(end->prev);
}

static ir_value *apply_text(const rule *r, ir_node *n) {
    rule_host h = {ir_build_before(n), next_maker, adopt, is_constant};
    rule_match m;
    if (!rule_match_each(&h, r->program, &n->out[0], n, keep_first, &m)) return NULL;
    const ir_node *before = n->prev;
    ir_value *v = rule_build(&h, r->program, &m);
    if (v && can_replace(&n->out[0], v)) return v;
    remove_between(before, n);
    return NULL;
}

/* ---- the engine ----------------------------------------------------------------------------------------------- */

/* The value takes the result's place; n goes. */
static void replace_node(pass_ctx *ctx, ir_node *n, ir_value *v) {
    TL_ASSERT(v->type && v->type->kind == n->out[0].type->kind);
    TL_ASSERT(v->type->dtype == n->out[0].type->dtype);
    pass_replace(ctx, &n->out[0], v);
    ir_node_remove(n);
}

/* Whether the rule's changes are allowed is known only by asking, and asking counts. So a rule that is skipped or beyond the
 * bisection must not run at all: ctx_may looks first. */
static ir_value *apply_rule(pass_ctx *ctx, const rule *r, ir_node *n) {
    if (r->engines == RULE_EGRAPH || r->math > pass_get_math(ctx->options)) return NULL;
    if (!ctx_may(ctx, r->name)) return NULL;
    ir_builder b = ir_build_before(n);
    ir_value *v = r->program ? apply_text(r, n) : r->apply(&b, n);
    if (v) ctx_take(ctx, r->name);
    return v;
}

static ir_value *apply_first(pass_ctx *ctx, ir_node *n) {
    const rule_set *s = rule_set_get(ctx);
    for (const uint32_t *i = s->of_op[n->op]; *i < s->n; i++) {
        ir_value *v = apply_rule(ctx, &s->rules[*i], n);
        if (v) return v;
    }
    return NULL;
}

static pass_result simplify_node(pass_ctx *ctx, ir_node *n) {
    pass_result result = PASS_SAME;
    if (n->n_out != 1 || !n->out[0].type) return PASS_SAME;
    for (ir_value *v; (v = apply_first(ctx, n));) {
        result = PASS_CHANGED;
        if (v == &n->out[0]) continue; /* changed in place: look again */
        ir_node *made = v->def;
        bool is_new = made && made == n->prev; /* built just now: it may simplify further */
        replace_node(ctx, n, v);
        if (!is_new || made->n_out != 1) break;
        n = made;
    }
    return result;
}

pass_result pass_simplify(pass_ctx *ctx, ir_graph *g) {
    if (ctx->options->simplify == PASS_SIMPLIFY_NONE) return PASS_SAME;
    return pass_each_node(ctx, g, simplify_node);
}
