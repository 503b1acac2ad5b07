/* The descriptor of a compiled model (struct tlbc_model and all it points to) as one block of bytes with relocations. */
#ifndef TLBC_CODEGEN_DESCRIPTOR_H
#define TLBC_CODEGEN_DESCRIPTOR_H

#include "codegen/interface.h"

/* Of entry i, all of which have been lowered. */
void cg_descriptor_build(const cg_model *model, uint32_t i);

#endif
