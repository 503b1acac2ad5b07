/* For the files of ir/eval/: one function eval_<name>() per name in the eval column of ir/ops.def, grouped by family. */
#ifndef TLBC_IR_EVAL_INTERNAL_H
#define TLBC_IR_EVAL_INTERNAL_H

#include "ir/eval.h"

#define OP(name, since, infer, eval, lower, traits, summary) ir_eval_fn eval_##eval;
#include "ir/ops.def"
#undef OP

#endif
