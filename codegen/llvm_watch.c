/* A sanitizer's view of generated code (codegen/watch.h): code compiled into memory tells it each access.
 *
 *   store f32x8 %p[%i], %x     call @tlbc_watch_write(%p + 4*%i, 32)
 *
 * Calls and not LLVM's own passes: ThreadSanitizer's leaves out what is wider than 16 bytes. */
#include "codegen/llvm_emit_internal.h"

#include <string.h>

static void watch(emitter *e, bool write, LLVMValueRef p, LLVMValueRef bytes) {
    const char *name = write ? "tlbc_watch_write" : "tlbc_watch_read";
    LLVMTypeRef types[2] = {LLVMPointerTypeInContext(e->ctx, 0), LLVMInt64TypeInContext(e->ctx)};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(e->ctx), types, 2, false);
    LLVMValueRef f = LLVMGetNamedFunction(e->module, name);
    if (!f) f = LLVMAddFunction(e->module, name, type);
    LLVMBuildCall2(e->b, type, f, (LLVMValueRef[]){p, bytes}, 2, "");
}

static LLVMValueRef number(emitter *e, uint64_t x) {
    return LLVMConstInt(LLVMInt64TypeInContext(e->ctx), x, false);
}

void emit_watch(emitter *e, bool write, LLVMValueRef p, LLVMValueRef elements, uint32_t bytes) {
    if (!e->options->watch) return;
    watch(e, write, p, LLVMBuildMul(e->b, elements, number(e, bytes), ""));
}

void emit_watch_lanes(emitter *e, bool write, LLVMValueRef pointers, unsigned lanes,
                      uint32_t bytes) {
    for (unsigned i = 0; e->options->watch && i < lanes; i++)
        watch(e, write, LLVMBuildExtractElement(e->b, pointers, number(e, i), ""),
              number(e, bytes));
}
