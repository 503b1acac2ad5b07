/* simplify: small rewrites, as long as one applies.
 *
 *   before:  %a = Mul(%x, @one)                     after:  %r = Reshape(%x, @s)
 *            %b = Unsqueeze(%a, @axes)
 *            %c = Identity-like reshapes of %b
 *
 * The rules are data: simplify_rules.def lists them with what math they need, rules_*.c holds a short function for each. This file
 * walks the graph in order and offers each node to the rules of its operator, again and again until none wants it. */
#include "passes/simplify.h"

#include "ir/base/assert.h"

typedef struct rule {
    const char *name;
    op_id op;
    rule_fn *apply;
    pass_math math;
} rule;

static const rule rules[] = {
#define RULE(rule_name, rule_op, function, rule_math, text) \
    {#rule_name, OP_##rule_op, rule_##function, PASS_MATH_##rule_math},
#include "passes/simplify_rules.def"
#undef RULE
};
enum { N_RULES = sizeof rules / sizeof *rules };

/* The value takes the result's place; n goes. */
static void replace_node(pass_ctx *ctx, ir_node *n, ir_value *v) {
    TL_ASSERT(v->type && v->type->kind == n->out[0].type->kind);
    TL_ASSERT(v->type->dtype == n->out[0].type->dtype);
    pass_replace(ctx, &n->out[0], v);
    ir_node_remove(n);
}

static bool rule_is_for(const rule *r, const ir_node *n, pass_math math) {
    return (r->op == n->op || r->op == OP_None) && r->math <= math;
}

/* Whether the rule's changes are allowed is known only by asking, and asking counts. So a rule that is skipped or beyond the
 * bisection must not run at all: ctx_may looks first. */
static ir_value *apply_rule(pass_ctx *ctx, const rule *r, ir_node *n) {
    if (!ctx_may(ctx, r->name)) return NULL;
    ir_builder b = ir_build_before(n);
    ir_value *v = r->apply(&b, n);
    if (v) ctx_take(ctx, r->name);
    return v;
}

static ir_value *apply_first(pass_ctx *ctx, ir_node *n, pass_math math) {
    for (uint32_t i = 0; i < N_RULES; i++) {
        if (!rule_is_for(&rules[i], n, math)) continue;
        ir_value *v = apply_rule(ctx, &rules[i], n);
        if (v) return v;
    }
    return NULL;
}

static pass_result simplify_node(pass_ctx *ctx, ir_node *n) {
    pass_math math = pass_get_math(ctx->options);
    pass_result result = PASS_SAME;
    if (n->n_out != 1 || !n->out[0].type) return PASS_SAME;
    for (ir_value *v; (v = apply_first(ctx, n, math));) {
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
    return pass_each_node(ctx, g, simplify_node);
}
