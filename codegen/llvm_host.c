#include "codegen/llvm_host.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

const char *llvm_host_cpu_name(ir_ctx *c) {
    char *owned = LLVMGetHostCPUName();
    char *name = tl_arena_strdup(&c->arena,
                                 owned); /* on failure the jump leaks some bytes, no more */
    LLVMDisposeMessage(owned);
    return name;
}
