/* Constants of a model as one block of bytes: in the .so, in a side file, or in memory. They never pass through LLVM.
 *
 *   cg_weights w = {spans, n, total};
 *   cg_weights_write_object(ctx, &w, CG_ELF_X86_64, "model_weights", fd);    // ELF object: section .tlbc.weights, hidden symbol
 *   cg_weights_write_side(ctx, &w, "model.weights");                         // runtime/weights.c maps it
 *   const void *p = cg_weights_load(ctx, &w);                                // for code in memory */
#ifndef TLBC_CODEGEN_WEIGHTS_H
#define TLBC_CODEGEN_WEIGHTS_H

#include "ir/ctx.h"

typedef struct cg_span {
    uint64_t offset; /* in the block */
    const void *data;
    uint64_t bytes;
} cg_span;

typedef struct cg_weights {
    const cg_span *spans; /* ascending, not overlapping; zeros between them */
    uint32_t n;
    uint64_t bytes; /* of the block */
} cg_weights;

uint64_t cg_weights_hash(const cg_weights *w);
/* The block and nothing around it, where the file stands. false: see errno; so below. */
bool cg_weights_write_block(const cg_weights *w, int fd);
/* machine: ELF's number, 62 for x86-64, 183 for AArch64. */
bool cg_weights_write_object(const cg_weights *w, uint16_t machine, const char *symbol, int fd);
/* The same object without the block: its section takes addresses only, on pages of its own (codegen/fill.h). */
bool cg_weights_write_room(const cg_weights *w, uint16_t machine, const char *symbol, int fd);
bool cg_weights_write_side(ir_ctx *c, const cg_weights *w, const char *path);
/* A 64-byte aligned copy, gone with the context. NULL after reporting that there is no memory for it. */
const void *cg_weights_load(ir_ctx *c, const cg_weights *w);

#endif
