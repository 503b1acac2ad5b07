/* Inside of simplify: what a rule is. The rules are listed in simplify_rules.def and written in rules_*.c. */
#ifndef TLBC_PASSES_SIMPLIFY_H
#define TLBC_PASSES_SIMPLIFY_H

#include "passes/util.h"

/* Looks at n, builds what it needs at b (in front of n) and returns the value that replaces n's only result. NULL: the rule does
 * not apply, and then nothing was built. &n->out[0] itself: n was changed in place. */
typedef ir_value *rule_fn(ir_builder *b, ir_node *n);

#define RULE(name, op, function, math, text) rule_fn rule_##function;
#include "passes/simplify_rules.def"
#undef RULE

#endif
