/* What LLVM knows about the machine the compiler runs on. No LLVM headers: for files that are not named llvm_*. */
#ifndef TLBC_CODEGEN_LLVM_HOST_H
#define TLBC_CODEGEN_LLVM_HOST_H

#include "ir/ctx.h"

const char *llvm_host_cpu_name(ir_ctx *c); /* "znver4": for instruction scheduling only */

#endif
