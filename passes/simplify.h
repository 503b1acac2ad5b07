/* Inside of simplify: the rules that are written in C, in rules_*.c; simplify_rules.def lists them among the others. */
#ifndef TLBC_PASSES_SIMPLIFY_H
#define TLBC_PASSES_SIMPLIFY_H

#include "passes/rule.h"

#define REWRITE(name, math, engines, text)
#define RULE(name, op, function, math, engines, text) rule_fn rule_##function;
#include "passes/simplify_rules.def"
#undef REWRITE
#undef RULE

#endif
