/* Loop modules to machine code: object files, assembly, or functions in memory. LLVM stays behind these types.
 *
 *   cg_unit *u = cg_unit_create(ctx, module, &(cg_unit_options){.target = &target});   // one CPU; the module is not needed after
 *   cg_unit_compile(u, CG_OBJECT);                   // slow part; may run on another thread, one per unit
 *   tl_sv bytes;
 *   if (!cg_unit_get_result(u, &bytes)) return false;                // reported; bytes live as long as the context
 *
 *   cg_jit *j = cg_jit_create(ctx, symbols, n);      // symbols: what the code may call or read by name
 *   cg_jit_add(j, u);
 *   tlbc_main_fn *main = (tlbc_main_fn *)cg_jit_find(j, "main");
 *
 * Several units with different CPUs and one with data (cg_unit_add_data) make a model of several variants. Units and JITs are released
 * with their context. */
#ifndef TLBC_CODEGEN_OBJECT_H
#define TLBC_CODEGEN_OBJECT_H

#include "codegen/loop.h"
#include "codegen/target.h"

typedef struct cg_unit cg_unit;
typedef struct cg_jit cg_jit;

typedef enum cg_form { CG_OBJECT, CG_ASSEMBLY, CG_LLVM_TEXT } cg_form;

typedef struct cg_unit_options {
    const cg_target *target;
    const char *graph_path; /* printed graph IR that lines refer to; NULL: no debug information */
    bool no_passes;         /* code as emitted: for tests of the emitter */
    bool watch;             /* a sanitizer is told of each access (codegen/watch.h) */
} cg_unit_options;

cg_unit *cg_unit_create(ir_ctx *c, const lp_module *m, const cg_unit_options *o);
cg_unit *cg_unit_create_empty(ir_ctx *c, const cg_target *t); /* for data only */

/* A pointer inside a datum: the address of `symbol` plus addend at `offset`. Sorted by offset. */
typedef struct cg_reloc {
    uint64_t offset;
    const char *symbol;
    int64_t addend;
} cg_reloc;
enum cg_data_flags { CG_DATA_EXTERNAL = 1 /* seen outside the .so */, CG_DATA_WRITABLE = 2 };
/* 64-byte aligned constant. Symbols that are not defined in the unit are taken as hidden ones of another unit. */
void cg_unit_add_data(cg_unit *u, const char *name, const void *bytes, size_t n,
                      const cg_reloc *relocs, uint32_t n_relocs, unsigned flags);
void cg_unit_add_assembly(cg_unit *u, const char *text);

/* Optimises and emits; allocates nothing from arenas, so that units may be compiled on several threads at once. */
void cg_unit_compile(cg_unit *u, cg_form form);
void cg_units_compile(cg_unit *const *units, uint32_t n, cg_form form); /* that many at once */
bool cg_unit_get_result(cg_unit *u, tl_sv *out);

typedef struct cg_symbol {
    const char *name;
    const void *address;
} cg_symbol;
/* The compiler's own process is not searched: only these symbols, and those of the units, are known. NULL after an error. */
cg_jit *cg_jit_create(ir_ctx *c, const cg_symbol *symbols, uint32_t n);
bool cg_jit_add(cg_jit *j, cg_unit *u); /* compiled as CG_OBJECT */
void *cg_jit_find(cg_jit *j, const char *name);
void cg_jit_release(cg_jit *j); /* earlier than the context; its code must not run any more */

#endif
