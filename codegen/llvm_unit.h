/* Inside of cg_unit, for the llvm_* files. */
#ifndef TLBC_CODEGEN_LLVM_UNIT_H
#define TLBC_CODEGEN_LLVM_UNIT_H

#include "codegen/llvm_emit.h"
#include "codegen/object.h"

struct cg_unit {
    ir_ctx *ctx;
    cg_target target;
    bool no_passes;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    llvm_builders builders;
    LLVMMemoryBufferRef result; /* object or assembly */
    char *text;                 /* LLVM IR */
    char *error;                /* LLVM's words; kept until somebody asks for the result */
};

#endif
