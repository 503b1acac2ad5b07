/* Objects, weights and the runtime library to a shared object.
 *
 *   cg_link_options o = {.output = "model.so", .target = &t, .exports = names, .n_exports = 1,
 *                        .weights = &w, .weights_symbol = "model_weights"};
 *   cg_link_shared(ctx, &o, objects, n_objects);
 *
 * Runs ld.lld: the one found when tlbc was built, else that of $PATH, else ld. Inputs are handed over as unnamed files; the output
 * replaces an older one only when it is whole. The runtime library is inside the compiler, libc and libm are the system's. */
#ifndef TLBC_CODEGEN_LINK_H
#define TLBC_CODEGEN_LINK_H

#include "codegen/target.h"
#include "codegen/weights.h"

typedef struct cg_link_options {
    const char *output;
    const cg_target *target;
    const char *const *exports; /* the only symbols seen outside */
    uint32_t n_exports;
    const char *
        alias; /* "tlbc_model=digits_model": another name for a symbol; NULL: none; not for relocatable files */
    const cg_weights *weights; /* NULL: none */
    const char *weights_symbol;
    const char *linker; /* NULL: as above */
} cg_link_options;

bool cg_link_shared(ir_ctx *c, const cg_link_options *o, const tl_sv *objects, uint32_t n_objects);
/* One object file of all, without the runtime library: --emit=obj. */
bool cg_link_relocatable(ir_ctx *c, const cg_link_options *o, const tl_sv *objects,
                         uint32_t n_objects);

/* libtlbc_rt.a, for who links models statically. */
tl_sv cg_runtime_archive(void);

#endif
