/* Constant data with pointers in it, as LLVM globals; see cg_unit_add_data.
 *
 *   bytes 0..15, pointer to @x at 8      @name = constant <{ [8 x i8], ptr }> <{ [8 x i8] c"...", ptr @x }>, align 64 */
#include "codegen/llvm_unit.h"

#include "ir/base/assert.h"

static LLVMValueRef bytes_const(cg_unit *u, const char *bytes, size_t n) {
    return LLVMConstStringInContext2(u->llvm, bytes, n, true);
}

/* The symbol, declared hidden where the unit does not define it (yet). */
static LLVMValueRef symbol(cg_unit *u, const char *name) {
    LLVMValueRef v = LLVMGetNamedGlobal(u->module, name);
    if (!v) v = LLVMGetNamedFunction(u->module, name);
    if (v) return v;
    v = LLVMAddGlobal(u->module, LLVMInt8TypeInContext(u->llvm), name);
    LLVMSetVisibility(v, LLVMHiddenVisibility);
    return v;
}

static LLVMValueRef pointer_const(cg_unit *u, const cg_reloc *r) {
    LLVMTypeRef i64 = LLVMInt64TypeInContext(u->llvm), i8 = LLVMInt8TypeInContext(u->llvm);
    LLVMValueRef offset = LLVMConstInt(i64, (uint64_t)r->addend, false);
    LLVMValueRef v = symbol(u, r->symbol);
    return r->addend ? LLVMConstGEP2(i8, v, &offset, 1) : v;
}

static LLVMValueRef create_initializer(cg_unit *u, const char *bytes, size_t n,
                                       const cg_reloc *relocs, uint32_t n_relocs) {
    LLVMValueRef *parts = TL_NEW_ARRAY(&u->ctx->arena, LLVMValueRef, 2 * (size_t)n_relocs + 1);
    unsigned n_parts = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < n_relocs; i++) {
        TL_ASSERT(relocs[i].offset >= at && relocs[i].offset + 8 <= n);
        if (relocs[i].offset > at)
            parts[n_parts++] = bytes_const(u, bytes + at, relocs[i].offset - at);
        parts[n_parts++] = pointer_const(u, &relocs[i]);
        at = relocs[i].offset + 8;
    }
    if (at < n || n_parts == 0) parts[n_parts++] = bytes_const(u, bytes + at, n - at);
    return LLVMConstStructInContext(u->llvm, parts, n_parts, true);
}

/* A name that was referred to before it was defined: the definition takes its place. */
static LLVMValueRef define(cg_unit *u, const char *name, LLVMValueRef value) {
    LLVMValueRef old = LLVMGetNamedGlobal(u->module, name);
    if (old) LLVMSetValueName2(old, "", 0);
    LLVMValueRef v = LLVMAddGlobal(u->module, LLVMTypeOf(value), name);
    if (old) {
        TL_ASSERT(!LLVMGetInitializer(old));
        LLVMReplaceAllUsesWith(old, v);
        LLVMDeleteGlobal(old);
    }
    LLVMSetInitializer(v, value);
    return v;
}

void cg_unit_add_data(cg_unit *u, const char *name, const void *bytes, size_t n,
                      const cg_reloc *relocs, uint32_t n_relocs, unsigned flags) {
    LLVMValueRef value = create_initializer(u, bytes, n, relocs, n_relocs);
    LLVMValueRef v = define(u, name, value);
    LLVMSetGlobalConstant(v, !(flags & CG_DATA_WRITABLE));
    LLVMSetAlignment(v, 64);
    if (!(flags & CG_DATA_EXTERNAL)) LLVMSetVisibility(v, LLVMHiddenVisibility);
}
