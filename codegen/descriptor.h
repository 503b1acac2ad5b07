/* The descriptor of a compiled model (struct tlbc_model and all it points to) as one block of bytes with relocations. */
#ifndef TLBC_CODEGEN_DESCRIPTOR_H
#define TLBC_CODEGEN_DESCRIPTOR_H

#include "codegen/cg.h"

/* The symbols of the inputs' dimensions in the order they are bound, and all dimension expressions of inputs and outputs. */
typedef struct cg_interface cg_interface;
struct cg_interface {
    TL_VEC(const char *) symbols;
    TL_VEC(const ir_dim *) exprs;
    const char *stream; /* the symbol that counts streams in the states' shapes; NULL = none */
    const ir_dim *length,
        *next_length; /* of states that grow: a symbol with a limit, and its value after a step; NULL = none, the same */
    const ir_dim *work; /* operations of a run, where the sizes of inputs tell; else NULL */
};

bool cg_interface_collect(ir_module *m, const ir_graph *g, tl_arena *a, cg_interface *out);
/* Of entry i, all of which have been lowered. */
void cg_descriptor_build(const cg_model *model, uint32_t i);

#endif
