/* Rewrite rules: what a rule is, for both engines that run them (simplify.c, egraph.c). How one is written: docs/SIMPLIFY.md.
 *
 *   REWRITE(sub_neg, STRICT, BOTH, "Sub(x, Neg(y)) => Add(x, y)")
 *
 * The text is read once (rule_parse.c) and becomes a small program (rule_compile.c) over registers that hold values:
 *
 *   0: the result of the matched node
 *   bind   r0 as Sub  -> r1 r2       one of the nodes that make r0, if it is a Sub; else try the next one, or give up
 *   bind   r2 as Neg  -> r3
 *   build  Add r1 r3  -> r4
 *   result r4
 *
 * An engine is a *host* to these programs (rule_match.c): it says which nodes make a value, and where new ones go. In a graph one
 * node makes a value; in an e-graph every node of its class does. Values are ir_values to both, so conditions are written once. */
#ifndef TLBC_PASSES_RULE_H
#define TLBC_PASSES_RULE_H

#include "passes/util.h"

typedef struct rule_program rule_program;
typedef struct rule_host rule_host;

/* Looks at n, builds what it needs at b (in front of n) and returns the value that replaces n's only result. NULL: the rule does
 * not apply, and then nothing was built. &n->out[0] itself: n was changed in place, which CLASSIC rules alone may do. */
typedef ir_value *rule_fn(ir_builder *b, ir_node *n);

typedef enum rule_engines { RULE_BOTH, RULE_CLASSIC, RULE_EGRAPH } rule_engines;

typedef struct rule {
    const char *name;
    pass_math math;
    rule_engines engines;
    op_id op;                    /* of the node it is about; OP_None = any */
    rule_fn *apply;              /* rules in C */
    const rule_program *program; /* rules in text */
} rule;

typedef struct rule_set {
    const rule *rules;
    uint32_t n;
    const uint32_t
        *of_op[OP_COUNT]; /* numbers of the rules for this operator, ends with n; NULL = none */
} rule_set;

/* All rules of simplify_rules.def, in order; read at the first call of a run. */
const rule_set *rule_set_get(pass_ctx *ctx);
/* The same with a message where a text is wrong (then NULL), for the test that looks at each of them. */
rule_set *rule_set_create(ir_ctx *c, tl_arena *a);

/* ---- programs ------------------------------------------------------------------------------------------------- */

/* "pattern => replacement if conditions"; with `<=>` the two directions in out[0], out[1]. Returns how many, 0 after reporting to
 * c->diag, where `name` says which rule is wrong. */
uint32_t rule_compile(ir_ctx *c, tl_arena *a, const char *name, const char *text,
                      const rule_program *out[2]);
op_id rule_program_op(
    const rule_program *p); /* of the outermost node; OP_None = a kind of operators */
void rule_program_print(const rule_program *p, tl_str *out); /* a step a line, as above */

enum { RULE_VALUES = 24, RULE_NODES = 8, RULE_ATTRS = 4 };

/* What the names in a pattern stand for: the program's registers. */
typedef struct rule_match {
    ir_value *value[RULE_VALUES]; /* [0]: the result that is replaced */
    ir_node *node[RULE_NODES];
    const ir_attr *attr[RULE_ATTRS]; /* NULL = not set on the node */
} rule_match;

struct rule_host {
    ir_builder builder; /* where new nodes go */
    /* The next node after `after` (NULL: the first) that makes v; NULL at the end. */
    ir_node *(*next_maker)(rule_host *h, const ir_value *v, const ir_node *after);
    /* The value that stands for the result of a node just built. */
    ir_value *(*adopt)(rule_host *h, ir_node *n);
    bool (*is_constant)(const rule_host *h, const ir_value *v);
    bool
        either_order; /* operands of commutative operators match in both; else rules make one of them the usual one */
};

/* Calls found() for every way to match the program's pattern to n, which makes `root`, until it returns true; whether it did. */
typedef bool rule_found_fn(void *data, const rule_match *m);
bool rule_match_each(rule_host *h, const rule_program *p, ir_value *root, ir_node *n,
                     rule_found_fn *found, void *data);
/* Builds the replacement. NULL where its types do not fit; nodes may then be left behind, in front of the builder's place. */
ir_value *rule_build(rule_host *h, const rule_program *p, rule_match *m);
/* A node built at the host's place, or NULL where its types do not fit. */
ir_value *rule_build_node(rule_host *h, op_id op, ir_value *const *in, uint32_t n_in,
                          const ir_attr *attrs, uint32_t n_attrs);

#endif
