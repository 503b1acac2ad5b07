/* Compiled code in memory, called with the evaluator's data: for tests that compare the two.
 *
 *   const tlbc_model *model = compiled_load(m, "default");
 *   ok = model && compiled_run(&ctx, &arena, model, 2, inputs, outputs);     // two threads
 *
 * Needs a program linked with tlbc_passes and tlbc_codegen. */
#ifndef TLBC_TESTS_SUPPORT_COMPILED_H
#define TLBC_TESTS_SUPPORT_COMPILED_H

#include "include/tlbc/runtime.h"
#include "ir/eval.h"

/* Runs the passes (NULL: none), lowers the first graph for this machine (or the CPUs that the environment names as TLBC_TEST_CPU) and
 * links it into this process. The module is changed. NULL after reporting to its context, with which the code goes away.
 * Where the environment names a folder as TLBC_TEST_LIBRARIES, the n-th model of the process is n.so in it: opened where that is there,
 * else compiled into it. So one machine runs what another one has compiled (tools/wide.sh). */
const tlbc_model *compiled_load(ir_module *m, const char *passes);
/* One run with this many threads; results are fresh tensors in the arena. false after reporting. */
bool compiled_run(ir_ctx *c, tl_arena *a, const tlbc_model *model, uint32_t threads,
                  const ir_datum *const *in, ir_datum *out);
/* Types, shapes and bytes are equal. */
bool compiled_same_bits(const ir_datum *a, const ir_datum *b, uint32_t n);

#endif
