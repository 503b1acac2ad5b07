/* From the text of a rule to its program; see rule.h. Names get registers in the order in which the pattern meets them. Operands that
 * are names or numbers are looked at before those that are nodes, and a condition as soon as all it asks about is there, so that what
 * cannot match is given up early. */
#include "ir/base/assert.h"
#include "ir/base/vec.h"
#include "passes/rule_internal.h"

enum { MAX_NAMES = 16 };

typedef struct named {
    const char *name;
    uint8_t at;
} named;

typedef struct names {
    named items[MAX_NAMES];
    uint32_t n;
} names;

typedef struct compiler {
    ir_ctx *c;
    tl_arena *arena;
    const char *rule;
    const rule_text *text;
    TL_VEC(rule_step) steps;
    names values, nodes, attrs;
    op_id node_op[RULE_NODES];
    uint32_t n_values, n_nodes, n_attrs;
    uint32_t asked; /* bit i: condition i has its step */
} compiler;

static bool error(compiler *k, const char *what, const char *word) {
    return diag_error(&k->c->diag, NULL, "rule '%s': %s '%s'", k->rule, what, word ? word : "");
}

static const named *find(const names *list, const char *name) {
    for (uint32_t i = 0; i < list->n && name; i++)
        if (strcmp(list->items[i].name, name) == 0) return &list->items[i];
    return NULL;
}

static bool add_name(compiler *k, names *list, const char *name, uint32_t at) {
    if (list->n == MAX_NAMES) return error(k, "too many names:", name);
    list->items[list->n++] = (named){name, (uint8_t)at};
    return true;
}

static rule_step *add_step(compiler *k, rule_step_kind kind, uint32_t at) {
    tl_vec_push(k->arena, &k->steps, (rule_step){.kind = kind, .at = (uint8_t)at, .node = -1});
    return &k->steps.data[k->steps.len - 1];
}

/* n registers in a row for values, the first one in *at. */
static bool take_values(compiler *k, uint32_t n, uint32_t *at) {
    *at = k->n_values;
    k->n_values += n;
    return k->n_values <= RULE_VALUES || error(k, "too many values", NULL);
}

/* ---- conditions ----------------------------------------------------------------------------------------------- */

static bool add_condition(compiler *k, const rule_term_condition *t, const rule_condition *c,
                          uint32_t first) {
    rule_step *s = add_step(k, STEP_CONDITION, 0);
    s->condition = c;
    s->negated = t->negated;
    for (s->n_args = 0; s->n_args < c->n_args; s->n_args++)
        s->args[s->n_args] = find(&k->values, t->args[first + s->n_args])->at;
    return true;
}

static bool ask(compiler *k, const rule_term_condition *t) {
    const rule_condition *c = rule_condition_find(t->word);
    if (!c) return error(k, "no such condition:", t->word);
    if (t->n_args % c->n_args || (c->n_args > 1 && t->n_args != c->n_args))
        return error(k, "wrong number of values for", t->word);
    for (uint32_t i = 0; i < t->n_args; i += c->n_args)
        if (!add_condition(k, t, c, i)) return false;
    return true;
}

static bool is_ready(const compiler *k, const rule_term_condition *t) {
    for (uint32_t i = 0; i < t->n_args; i++)
        if (!find(&k->values, t->args[i])) return false;
    return true;
}

static bool ask_what_is_ready(compiler *k) {
    for (uint32_t i = 0; i < k->text->n_conditions; i++) {
        if (k->asked >> i & 1 || !is_ready(k, &k->text->conditions[i])) continue;
        k->asked |= 1u << i;
        if (!ask(k, &k->text->conditions[i])) return false;
    }
    return true;
}

static bool all_are_asked(compiler *k) {
    for (uint32_t i = 0; i < k->text->n_conditions; i++)
        if (!(k->asked >> i & 1))
            return error(k, "a value is not in the pattern:", k->text->conditions[i].word);
    return true;
}

/* ---- the pattern ---------------------------------------------------------------------------------------------- */

static bool match_term(compiler *k, const rule_term *t, uint32_t at);

static bool match_name(compiler *k, const char *name, uint32_t at) {
    const named *bound = find(&k->values, name);
    if (bound) return add_step(k, STEP_SAME, at)->first = bound->at, true;
    return add_name(k, &k->values, name, at) && ask_what_is_ready(k);
}

static bool match_attr(compiler *k, const rule_term_attr *t, uint32_t node) {
    const named *bound = find(&k->attrs, t->variable);
    rule_step *s = add_step(k, t->variable ? STEP_ATTR : STEP_ATTR_INT, 0);
    s->node = (int8_t)node;
    s->n_attrs = 1;
    s->again = bound;
    s->attrs[0] = (rule_step_attr){ir_name(k->c, t->name), -1, t->number};
    if (!t->variable) return true;
    s->attrs[0].slot = (int32_t)(bound ? bound->at : k->n_attrs);
    if (bound) return true;
    return k->n_attrs < RULE_ATTRS ? add_name(k, &k->attrs, t->variable, k->n_attrs++)
                                   : error(k, "too many attributes:", t->name);
}

static bool match_operands(compiler *k, const rule_term *t, uint32_t first, bool nodes) {
    for (uint32_t i = 0; i < t->n_args; i++)
        if ((t->args[i]->kind == TERM_NODE) == nodes && !match_term(k, t->args[i], first + i))
            return false;
    return true;
}

/* The name in front of a colon: of the node where that stands for a class, else of the value. */
static bool name_node(compiler *k, const rule_term *t, uint32_t at, uint32_t node) {
    if (t->op_class) return add_name(k, &k->nodes, t->name, node);
    return !t->name || match_name(k, t->name, at);
}

static bool match_node(compiler *k, const rule_term *t, uint32_t at) {
    uint32_t first, node = k->n_nodes++;
    if (!t->op && !t->op_class) return error(k, "no such operator:", t->name);
    if (node == RULE_NODES) return error(k, "too many nodes", NULL);
    if (!take_values(k, t->n_args, &first)) return false;
    rule_step *s = add_step(k, STEP_BIND, at);
    *s = (rule_step){.kind = STEP_BIND,
                     .at = (uint8_t)at,
                     .first = (uint8_t)first,
                     .n_args = (uint8_t)t->n_args,
                     .rest = t->rest,
                     .op = t->op,
                     .node = (int8_t)node,
                     .op_class = t->op_class ? rule_class_find(t->op_class) : NULL};
    k->node_op[node] = t->op;
    if (!name_node(k, t, at, node)) return false;
    for (uint32_t i = 0; i < t->n_attrs; i++)
        if (!match_attr(k, &t->attrs[i], node)) return false;
    return match_operands(k, t, first, false) && match_operands(k, t, first, true);
}

static bool match_term(compiler *k, const rule_term *t, uint32_t at) {
    switch (t->kind) {
    case TERM_ANY:
        return true;
    case TERM_NAME:
        return match_name(k, t->name, at);
    case TERM_NUMBER:
        return add_step(k, STEP_NUMBER, at)->number = t->number, true;
    case TERM_NODE:
        return match_node(k, t, at);
    case TERM_CALL:
        break;
    }
    return error(k, "a function cannot be matched:", t->name);
}

/* ---- the replacement ------------------------------------------------------------------------------------------ */

static bool build_term(compiler *k, const rule_term *t, uint8_t *at);

static bool build_args(compiler *k, const rule_term *t, uint8_t *args) {
    if (t->rest) return error(k, "'...' cannot be built", t->name);
    for (uint32_t i = 0; i < t->n_args; i++)
        if (!build_term(k, t->args[i], &args[i])) return false;
    return true;
}

/* A step with these operands that makes a new value. */
static rule_step *add_maker(compiler *k, rule_step_kind kind, const rule_term *t, uint8_t *at) {
    uint8_t args[RULE_MAX_ARGS];
    uint32_t result;
    if (!build_args(k, t, args) || !take_values(k, 1, &result)) return NULL;
    *at = (uint8_t)result;
    rule_step *s = add_step(k, kind, result);
    s->n_args = (uint8_t)t->n_args;
    memcpy(s->args, args, sizeof args);
    return s;
}

static bool build_attrs(compiler *k, const rule_term *t, rule_step *s) {
    for (uint32_t i = 0; i < t->n_attrs; i++) {
        const rule_term_attr *a = &t->attrs[i];
        const named *bound = find(&k->attrs, a->variable);
        if (a->variable && !bound) return error(k, "attribute is not in the pattern:", a->variable);
        s->attrs[s->n_attrs++] = (rule_step_attr){ir_name(k->c, a->name), bound ? bound->at : -1,
                                                  a->number};
    }
    return true;
}

/* The pattern's node whose operator, or whose attributes (<*>), the new node takes over. */
static bool find_like(compiler *k, const rule_term *t, rule_step *s) {
    const named *named_node = t->op ? NULL : find(&k->nodes, t->name);
    if (named_node) s->node = (int8_t)named_node->at;
    for (uint32_t i = k->n_nodes; t->like && i-- > 0;)
        if (k->node_op[i] == t->op) s->node = (int8_t)i;
    if (s->node < 0 && (t->like || !t->op)) return error(k, "the pattern has no node for", t->name);
    return true;
}

static bool build_node_term(compiler *k, const rule_term *t, uint8_t *at) {
    rule_step *s = add_maker(k, STEP_BUILD, t, at);
    if (!s) return false;
    s->op = t->op;
    return find_like(k, t, s) && build_attrs(k, t, s);
}

static bool build_call(compiler *k, const rule_term *t, uint8_t *at) {
    const rule_function *f = rule_function_find(t->name);
    rule_step *s = add_maker(k, STEP_CALL, t, at);
    if (s) s->function = f;
    return s && (t->n_args == f->n_args || error(k, "wrong number of values for", t->name));
}

static bool build_number(compiler *k, const rule_term *t, uint8_t *at) {
    rule_step *s = add_maker(k, STEP_SCALAR, t, at);
    if (s) s->number = t->number;
    return s;
}

static bool build_term(compiler *k, const rule_term *t, uint8_t *at) {
    const named *bound = find(&k->values, t->name);
    switch (t->kind) {
    case TERM_NAME:
        if (!bound) return error(k, "value is not in the pattern:", t->name);
        return *at = bound->at, true;
    case TERM_NUMBER:
        return build_number(k, t, at);
    case TERM_NODE:
        return build_node_term(k, t, at);
    case TERM_CALL:
        return build_call(k, t, at);
    case TERM_ANY:
        break;
    }
    return error(k, "cannot be built:", t->name);
}

/* ---- whole rules ---------------------------------------------------------------------------------------------- */

static const rule_program *compile(compiler *k, const rule_term *from, const rule_term *to) {
    rule_program *p = TL_NEW(k->arena, rule_program);
    uint8_t result;
    k->n_values = 1;
    if (from->kind != TERM_NODE) return error(k, "a pattern is a node", from->name), NULL;
    if (!match_node(k, from, 0) || !all_are_asked(k)) return NULL;
    p->build = k->steps.len;
    if (!build_term(k, to, &result)) return NULL;
    add_step(k, STEP_RESULT, result);
    p->steps = k->steps.data;
    p->n = k->steps.len;
    return p;
}

uint32_t rule_compile(ir_ctx *c, tl_arena *a, const char *name, const char *text,
                      const rule_program *out[2]) {
    rule_text t;
    if (!rule_parse(c, a, name, text, &t)) return 0;
    for (uint32_t i = 0; i <= t.both_ways; i++) {
        compiler k = {.c = c, .arena = a, .rule = name, .text = &t};
        out[i] = compile(&k, i ? t.right : t.left, i ? t.left : t.right);
        if (!out[i]) return 0;
    }
    return 1 + t.both_ways;
}

op_id rule_program_op(const rule_program *p) {
    return p->steps[0].op;
}
