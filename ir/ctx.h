/* The compiler's context: what lives as long as one compilation and is shared by all its modules. One thread at a time;
 * different contexts are independent (no global state). */
#ifndef TLBC_IR_CTX_H
#define TLBC_IR_CTX_H

#include "ir/base/arena.h"
#include "ir/base/diag.h"
#include "ir/base/intern.h"
#include "ir/base/map.h"

/* Something that must be given back when the context ends: a mapped file, an LLVM object. */
typedef struct ir_cleanup {
    struct ir_cleanup *next;
    void (*fn)(void *data);
    void *data;
} ir_cleanup;

typedef struct ir_ctx {
    tl_fail *fail;
    tl_arena arena; /* interned strings, types, dims, diagnostics */
    tl_intern names;
    tl_map types;           /* hash -> const ir_type *  (type.c) */
    tl_map dims, dim_atoms; /* hash -> const ir_dim *, const ir_dim_atom *  (dim.c) */
    uint32_t n_dims, n_dim_atoms;
    diag diag;
    ir_cleanup *cleanups;
    uint32_t mark; /* last scratch mark handed out: ir_new_mark */
} ir_ctx;

void ir_ctx_init(ir_ctx *c, tl_fail *fail);
void ir_ctx_release(ir_ctx *c); /* runs the cleanups, newest first, then frees all */
void ir_ctx_add_cleanup(ir_ctx *c, void (*fn)(void *data), void *data);
const char *ir_name(ir_ctx *c, const char *s); /* interned */

#endif
