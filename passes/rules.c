/* All rules of simplify_rules.def, their texts compiled, by operator; see rule.h. */
#include "ir/base/assert.h"
#include "ir/base/vec.h"
#include "passes/simplify.h"

typedef struct row {
    const char *name;
    pass_math math;
    rule_engines engines;
    op_id op; /* rules in C */
    rule_fn *apply;
    const char *text; /* the others */
} row;

static const row rows[] = {
#define REWRITE(name, math, engines, text) \
    {#name, PASS_MATH_##math, RULE_##engines, OP_None, NULL, text},
#define RULE(name, op, function, math, engines, text) \
    {#name, PASS_MATH_##math, RULE_##engines, OP_##op, rule_##function, NULL},
#include "passes/simplify_rules.def"
#undef REWRITE
#undef RULE
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static bool add_text(ir_ctx *c, tl_arena *a, const row *r, rule *to, uint32_t *n) {
    const rule_program *p[2];
    uint32_t count = rule_compile(c, a, r->name, r->text, p);
    for (uint32_t i = 0; i < count; i++)
        to[(*n)++] = (rule){r->name, r->math, r->engines, rule_program_op(p[i]), NULL, p[i]};
    return count > 0;
}

/* Numbers of the rules that are for this operator, or for any. */
static const uint32_t *list_for(tl_arena *a, const rule_set *s, op_id op) {
    TL_VEC(uint32_t) list = {0};
    bool own = false;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->rules[i].op != op && s->rules[i].op != OP_None) continue;
        own = own || s->rules[i].op == op;
        tl_vec_push(a, &list, i);
    }
    if (!own && s->of_op[OP_None]) return s->of_op[OP_None];
    tl_vec_push(a, &list, s->n);
    return list.data;
}

rule_set *rule_set_create(ir_ctx *c, tl_arena *a) {
    rule_set *s = TL_NEW(a, rule_set);
    rule *rules = TL_NEW_ARRAY(a, rule, 2 * N_ROWS);
    bool good = true;
    for (uint32_t i = 0; i < N_ROWS; i++) {
        const row *r = &rows[i];
        if (r->text)
            good = add_text(c, a, r, rules, &s->n) && good;
        else
            rules[s->n++] = (rule){r->name, r->math, r->engines, r->op, r->apply, NULL};
    }
    s->rules = rules;
    for (uint32_t op = 0; op < OP_COUNT; op++)
        s->of_op[op] = list_for(a, s, (op_id)op);
    return good ? s : NULL;
}

const rule_set *rule_set_get(pass_ctx *ctx) {
    if (!ctx->rules) ctx->rules = rule_set_create(ctx->c, ctx->m->arena);
    TL_ASSERT(ctx->rules);
    return ctx->rules;
}
