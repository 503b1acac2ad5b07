/* Shared by the builder and the parser of the loop IR. */
#ifndef TLBC_CODEGEN_LOOP_INTERNAL_H
#define TLBC_CODEGEN_LOOP_INTERNAL_H

#include "codegen/loop.h"

/* An empty block; its parameters are to be filled in. */
lp_block *lp_block_create(lp_builder *b, lp_instr *owner, uint32_t n_params);
/* A block of a `while`: parameters of the types of its operands. */
lp_block *lp_block_create_carried(lp_builder *b, lp_instr *i);

#endif
