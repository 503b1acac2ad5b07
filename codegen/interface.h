/* The interface of a graph, as the descriptor states it and as plan() numbers its arguments.
 *
 *   main(f32[batch,2*time,8] %x) => (f32[batch,time + 1] y)     symbols: batch, time; expressions: batch, 2*time, time + 1 */
#ifndef TLBC_CODEGEN_INTERFACE_H
#define TLBC_CODEGEN_INTERFACE_H

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

/* false after reporting a shape of an input or a state that only data tells, or too many dimensions. */
bool cg_interface_collect(ir_module *m, const ir_graph *g, tl_arena *a, cg_interface *out);
/* Their places in the lists above, or -1. */
int32_t cg_interface_symbol(const cg_interface *io, const char *name);
int32_t cg_interface_expr(const cg_interface *io, const ir_dim *d);

#endif
