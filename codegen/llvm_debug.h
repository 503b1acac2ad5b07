/* Debug information of generated code: debuggers and profilers show the lines of the printed graph IR, and the ONNX nodes that code came
 * from as if they were inlined functions.
 *
 *   kernel f, summary "MatMul 8x256x512"     DISubprogram "MatMul 8x256x512", linkage name f, line of its first use
 *   instruction of node 'layer1/fc', line 7  line 7 in DISubprogram "layer1/fc", inlined at line 7 of the kernel
 *
 * All functions do nothing where the emitter has no graph path. */
#ifndef TLBC_CODEGEN_LLVM_DEBUG_H
#define TLBC_CODEGEN_LLVM_DEBUG_H

#include "codegen/llvm_emit_internal.h"

void llvm_debug_begin(emitter *e);
void llvm_debug_func(emitter *e, const lp_func *f); /* e->func is about to be filled */
void llvm_debug_instr(emitter *e, const lp_instr *i);
void llvm_debug_end(emitter *e);

#endif
