/* Where workspace buffers lie. Two buffers may share memory when no moment (program.c) touches both.
 *
 *   static sizes     packed by best fit into one block at the start of the workspace; offsets are constants
 *   symbolic sizes   buffers of provably enough room share a slot; the slots' offsets are computed by the model's plan() from the
 *                    symbols, one after the other; per-thread slots take n_threads times their size */
#ifndef TLBC_CODEGEN_PLAN_MEMORY_H
#define TLBC_CODEGEN_PLAN_MEMORY_H

#include "codegen/lower.h"

typedef struct cg_slot {
    const ir_dim *bytes; /* rounded up to 64 */
    bool per_thread;
    uint64_t last; /* last moment of its current tenant */
} cg_slot;

typedef struct cg_memory_plan {
    int64_t static_bytes; /* the block of static buffers */
    cg_slot *slots;
    uint32_t n_slots;
    uint32_t n_buffers;
    /* For inspect: the sums of all static buffers, and of those alive at once, where they are most. No plan takes less than the latter. */
    int64_t total_static, most_alive;
} cg_memory_plan;

/* Gives every workspace buffer its place: buffer->offset, or buffer->slot >= 0. */
void cg_plan_memory(cg *g, cg_memory_plan *plan);
/* Replaces `buffer` instructions in the program by addresses. */
void cg_place_buffers(cg *g);
/* Appends the function that computes dimension expressions and slot offsets at run time (tlbc_plan_fn). */
void cg_emit_plan(cg *g, const cg_memory_plan *plan, const char *name, const ir_dim *const *exprs,
                  uint32_t n_exprs);

#endif
