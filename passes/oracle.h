/* Random inputs for a graph, and comparison of what two versions of it compute. Used by TLBC_DEBUG=eval and by the fuzzer.
 *
 *   pass_oracle o;
 *   if (oracle_init(&o, m, arena, seed)) ... passes ... oracle_agrees(&o, m, &why)
 *
 * Symbolic dimensions get small sizes; several are tried until the graph runs. Inputs of which no valid values are found (indices
 * that must relate to each other) make oracle_init fail, and nothing is compared. */
#ifndef TLBC_PASSES_ORACLE_H
#define TLBC_PASSES_ORACLE_H

#include "ir/eval.h"

typedef struct pass_oracle {
    tl_arena *arena;
    uint32_t n_in, n_out;
    const ir_datum **inputs;
    ir_datum *outputs;
    uint64_t seed;
    bool ready;
} pass_oracle;

/* Runs the module's entry graph on random inputs and keeps the results. Leaves no diagnostics behind. */
bool oracle_init(pass_oracle *o, const ir_module *m, tl_arena *arena, uint64_t seed);
/* Runs m's entry graph on the same inputs. false with *why (arena) where a result differs by more than rounding explains. */
bool oracle_agrees(const pass_oracle *o, const ir_module *m, const char **why);

#endif
