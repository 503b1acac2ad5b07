/* The steps of a program in the order in which lowering emitted them: what a timeline is drawn from (tlbc inspect --schedule).
 *
 *   before the loop      call MatMulPacked_0 | barrier | loop Recur 'cell', alone | call Attention_3 | end | barrier | ...
 *
 * With cg_options.mark the program tells when each step is done: `mark(data, thread, step)` is called by every thread behind every call,
 * barrier, and head and end of a round, and once in the beginning with step 0. Such a program is for this process only. */
#ifndef TLBC_CODEGEN_STEPS_H
#define TLBC_CODEGEN_STEPS_H

#include "codegen/lower.h"

typedef enum cg_step_kind {
    CG_STEP_BEGIN,
    CG_STEP_CALL,
    CG_STEP_BARRIER,
    CG_STEP_LOOP,
    CG_STEP_END
} cg_step_kind;

typedef struct cg_step {
    cg_step_kind kind;
    const char *kernel;  /* CALL: the function's name in the program */
    const ir_node *node; /* CALL: what it computes, NULL = a copy; LOOP: the loop */
    bool alone;          /* LOOP: each thread runs rounds by itself */
    uint32_t depth;      /* how many loops are around it */
} cg_step;

/* A step of the program; emits its mark where the program is marked. */
void cg_step_add(cg *g, cg_step_kind kind, const char *kernel, const ir_node *node);

#endif
