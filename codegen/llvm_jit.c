/* Code in memory: the object file that would have been written is linked into this process; see object.h. Taking the object and
 * not the LLVM module keeps one path through LLVM for both uses. */
#include "codegen/llvm_unit.h"

#include <llvm-c/LLJIT.h>

#include <inttypes.h>
#include <stdio.h>

struct cg_jit {
    ir_ctx *ctx;
    LLVMOrcLLJITRef lljit;
    uint32_t n_objects;
    char session_error
        [512]; /* what the linker inside LLVM said: it names the symbol that the error proper leaves out */
};

/* Called from inside LLVM: no allocation. */
static void on_session_error(void *data, LLVMErrorRef error) {
    cg_jit *j = data;
    char *text = LLVMGetErrorMessage(error);
    snprintf(j->session_error, sizeof j->session_error, "%s", text);
    LLVMDisposeErrorMessage(text);
}

static bool report(cg_jit *j, const char *doing, LLVMErrorRef error) {
    if (!error) return true;
    char *text = LLVMGetErrorMessage(error);
    diag_error(&j->ctx->diag, NULL, "LLVM JIT: %s: %s", doing,
               j->session_error[0] ? j->session_error : text);
    j->session_error[0] = 0;
    LLVMDisposeErrorMessage(text);
    return false;
}

static void release(void *data) {
    cg_jit *j = data;
    if (!j->lljit) return;
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(j->lljit);
    if (error) LLVMConsumeError(error);
    j->lljit = NULL;
}

void cg_jit_release(cg_jit *j) {
    release(j);
}

static bool define_symbols(cg_jit *j, const cg_symbol *symbols, uint32_t n) {
    LLVMOrcCSymbolMapPair *pairs = TL_NEW_ARRAY(&j->ctx->arena, LLVMOrcCSymbolMapPair, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        LLVMJITSymbolFlags flags = {LLVMJITSymbolGenericFlagsExported, 0};
        pairs[i].Name = LLVMOrcLLJITMangleAndIntern(j->lljit, symbols[i].name);
        pairs[i].Sym = (LLVMJITEvaluatedSymbol){(uintptr_t)symbols[i].address, flags};
    }
    LLVMOrcJITDylibRef main = LLVMOrcLLJITGetMainJITDylib(j->lljit);
    return report(j, "symbols", LLVMOrcJITDylibDefine(main, LLVMOrcAbsoluteSymbols(pairs, n)));
}

cg_jit *cg_jit_create(ir_ctx *c, const cg_symbol *symbols, uint32_t n) {
    cg_jit *j = TL_NEW(&c->arena, cg_jit);
    ir_ctx_add_cleanup(c, release, j);
    j->ctx = c;
    if (!report(j, "start", LLVMOrcCreateLLJIT(&j->lljit, NULL))) return NULL;
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(j->lljit),
                                            on_session_error, j);
    return n == 0 || define_symbols(j, symbols, n) ? j : NULL;
}

bool cg_jit_add(cg_jit *j, cg_unit *u) {
    tl_sv bytes;
    if (!cg_unit_get_result(u, &bytes)) return false;
    char name[32];
    snprintf(name, sizeof name, "unit%" PRIu32, j->n_objects++);
    LLVMMemoryBufferRef copy = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes.data, bytes.len,
                                                                         name);
    LLVMOrcJITDylibRef main = LLVMOrcLLJITGetMainJITDylib(j->lljit);
    return report(j, "add", LLVMOrcLLJITAddObjectFile(j->lljit, main, copy));
}

void *cg_jit_find(cg_jit *j, const char *name) {
    LLVMOrcExecutorAddress address = 0;
    if (!report(j, name, LLVMOrcLLJITLookup(j->lljit, &address, name))) return NULL;
    return (void *)(uintptr_t)address;
}
