/* Random inputs for a graph, and comparison of what two versions of it compute. Used by TLBC_DEBUG=eval and by the fuzzer.
 *
 *   pass_oracle o;
 *   if (oracle_init(&o, m, arena, seed)) ... passes ... oracle_agrees(&o, m, &why)
 *
 * Symbolic dimensions get small sizes; several are tried until the graph runs. Inputs of which no valid values are found (indices
 * that must relate to each other) make oracle_init fail, and nothing is compared. A step function runs several steps, each on inputs
 * of its own, from its initial states on. */
#ifndef TLBC_PASSES_ORACLE_H
#define TLBC_PASSES_ORACLE_H

#include "ir/eval.h"

typedef struct pass_oracle {
    tl_arena *arena;
    uint32_t n_in, n_out, n_steps; /* per step */
    const ir_datum **inputs;       /* those of step 0, of step 1, ... */
    ir_datum *outputs;
    uint64_t seed, interface; /* of what kind the inputs are */
    bool ready;
} pass_oracle;

/* Runs the module's entry graph on random inputs and keeps the results. Leaves no diagnostics behind. */
bool oracle_init(pass_oracle *o, const ir_module *m, tl_arena *arena, uint64_t seed);
/* Runs m's entry graph on the same inputs. Where it has come to want others, its results on new ones are what the next comparison is
 * with. false with *why (arena) where a result differs by more than rounding explains. */
bool oracle_agrees(pass_oracle *o, const ir_module *m, const char **why);

#endif
