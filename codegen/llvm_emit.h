/* Loop IR to LLVM IR through LLVM's C API. Only files named llvm_* see LLVM's headers.
 *
 *   LLVMModuleRef m = llvm_emit(context, module, &(llvm_emit_options){.target = &target, .builders = &b});
 *
 * What comes out is LLVM IR that any pass pipeline may take: no fast-math flags, no contraction, and no calls that the module does
 * not ask for, except fma on machines without it and fmod (libm), memcpy and memset (libc). */
#ifndef TLBC_CODEGEN_LLVM_EMIT_H
#define TLBC_CODEGEN_LLVM_EMIT_H

#include "codegen/loop.h"
#include "codegen/target.h"

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>

/* Set while llvm_emit runs. Where memory runs out it does not come back: the caller, who owns the context, disposes of them. */
typedef struct llvm_builders {
    LLVMBuilderRef code;
    LLVMDIBuilderRef debug;
} llvm_builders;

typedef struct llvm_emit_options {
    const cg_target *target;
    llvm_builders *builders;
    const char
        *graph_path; /* printed graph IR that line numbers refer to; NULL: no debug information */
    bool watch;      /* accesses are told to a sanitizer (llvm_watch.c) */
} llvm_emit_options;

LLVMModuleRef llvm_emit(LLVMContextRef ctx, const lp_module *m, const llvm_emit_options *o);

#endif
