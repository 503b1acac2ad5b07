#include "codegen/llvm_host.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <stdio.h>

const char *llvm_host_cpu_name(ir_ctx *c) {
    char name[64]; /* LLVM's own copy is gone before an allocation may jump */
    char *owned = LLVMGetHostCPUName();
    snprintf(name, sizeof name, "%s", owned);
    LLVMDisposeMessage(owned);
    return tl_arena_strdup(&c->arena, name);
}
