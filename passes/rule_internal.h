/* Inside of rules: the terms that rule_parse.c reads, the words that a rule may use, and the steps that rule_compile.c makes of
 * them for rule_match.c. */
#ifndef TLBC_PASSES_RULE_INTERNAL_H
#define TLBC_PASSES_RULE_INTERNAL_H

#include "passes/rule.h"

/* ---- text ----------------------------------------------------------------------------------------------------- */

enum { RULE_MAX_ARGS = 6, RULE_MAX_TERM_ATTRS = 3, RULE_MAX_CONDITIONS = 8 };

typedef enum rule_term_kind {
    TERM_ANY,    /* _ */
    TERM_NAME,   /* x */
    TERM_NUMBER, /* 1, -0, true */
    TERM_NODE,   /* Add(...), f:unary(...), f(...) */
    TERM_CALL    /* reciprocal(c): a constant that a function computes */
} rule_term_kind;

/* perm=p or axis=-1 */
typedef struct rule_term_attr {
    const char *name, *variable; /* variable NULL: the number */
    int64_t number;
} rule_term_attr;

typedef struct rule_term rule_term;
struct rule_term {
    rule_term_kind kind;
    const char
        *name; /* NAME: itself; NODE: what stands before the colon, or NULL; CALL: the function */
    double number;
    op_id op; /* NODE; OP_None: of `kind_of_op`, or the operator that the pattern calls `name` */
    const char *op_class; /* "unary", or NULL */
    bool like;            /* <*>: all attributes of the pattern's node of this operator */
    bool rest;            /* "...": more operands may follow */
    uint32_t n_attrs, n_args;
    rule_term_attr attrs[RULE_MAX_TERM_ATTRS];
    rule_term *args[RULE_MAX_ARGS];
};

typedef struct rule_term_condition {
    const char *word;
    bool negated;
    uint32_t n_args;
    const char *args[RULE_MAX_ARGS];
} rule_term_condition;

typedef struct rule_text {
    rule_term *left, *right;
    bool both_ways;
    uint32_t n_conditions;
    rule_term_condition conditions[RULE_MAX_CONDITIONS];
} rule_text;

/* rule_parse.c; false after reporting. */
bool rule_parse(ir_ctx *c, tl_arena *a, const char *name, const char *text, rule_text *out);

/* ---- words: rule_words.def ------------------------------------------------------------------------------------ */

typedef bool rule_condition_fn(const rule_host *h, const rule_match *m, ir_value *const *v);
typedef ir_value *rule_function_fn(rule_host *h, ir_value *const *v);

typedef struct rule_condition {
    const char *name;
    uint32_t n_args; /* 1: may be asked of several at once */
    rule_condition_fn *fn;
} rule_condition;

typedef struct rule_function {
    const char *name;
    uint32_t n_args;
    rule_function_fn *fn;
} rule_function;

const rule_condition *rule_condition_find(const char *name); /* NULL where absent */
const rule_function *rule_function_find(const char *name);
/* "unary", "binary": whether n is of that class; NULL for other names. */
typedef bool rule_class_fn(const ir_node *n);
rule_class_fn *rule_class_find(const char *name);

/* ---- steps ---------------------------------------------------------------------------------------------------- */

typedef enum rule_step_kind {
    STEP_BIND, /* value[at] is made by this operator or class: node[node], operands to value[first]... */
    STEP_SAME,     /* value[at] and value[first] are one */
    STEP_NUMBER,   /* all elements of value[at] are this number */
    STEP_ATTR,     /* attribute `attr` of node[node]: to attr[slot], or equal to it where `again` */
    STEP_ATTR_INT, /* is this integer */
    STEP_CONDITION, /* holds for args[] */
    STEP_BUILD,     /* value[at] = a node on args[] */
    STEP_CALL,      /* value[at] = function(args[]) */
    STEP_SCALAR,    /* value[at] = this number, in the result's element type */
    STEP_RESULT     /* the replacement is value[at] */
} rule_step_kind;

typedef struct rule_step_attr {
    const char *name;
    int32_t slot; /* -1: the number */
    int64_t number;
} rule_step_attr;

typedef struct rule_step {
    rule_step_kind kind;
    bool rest, again, negated;
    uint8_t at, first, n_args;
    int8_t node; /* BUILD: whose operator and attributes are taken over, -1 = none */
    op_id op;
    rule_class_fn *op_class;
    double number;
    const rule_condition *condition;
    const rule_function *function;
    rule_step_attr attrs[RULE_MAX_TERM_ATTRS];
    uint8_t n_attrs, args[RULE_MAX_ARGS];
} rule_step;

struct rule_program {
    const rule_step *steps;
    uint32_t n, build; /* steps from `build` on make the replacement */
};

#endif
