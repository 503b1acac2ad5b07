#include "codegen/llvm_debug.h"

#include <llvm-c/DebugInfo.h>

struct llvm_debug {
    LLVMDIBuilderRef builder;
    LLVMMetadataRef file, unit, type; /* type: of a function nobody calls by hand */
    LLVMMetadataRef func;
    unsigned func_line;
    tl_map nodes; /* name of an ONNX node (interned) -> its DISubprogram */
};

static void add_flag(emitter *e, const char *key, unsigned value) {
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->ctx);
    LLVMMetadataRef v = LLVMValueAsMetadata(LLVMConstInt(i32, value, false));
    LLVMAddModuleFlag(e->module, LLVMModuleFlagBehaviorWarning, key, strlen(key), v);
}

static LLVMMetadataRef create_file(LLVMDIBuilderRef b, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t folder = slash ? (size_t)(slash - path) : 1;
    return LLVMDIBuilderCreateFile(b, name, strlen(name), slash ? path : ".", folder);
}

void llvm_debug_begin(emitter *e) {
    if (!e->options->graph_path) return;
    struct llvm_debug *d = e->debug = TL_NEW(e->arena, struct llvm_debug);
    static const char producer[] = "tlbc";
    tl_map_init(&d->nodes, e->arena);
    add_flag(e, "Debug Info Version", LLVMDebugMetadataVersion());
    add_flag(e, "Dwarf Version", 4);
    d->builder = e->options->builders->debug = LLVMCreateDIBuilder(e->module);
    d->file = create_file(d->builder, e->options->graph_path);
    d->unit = LLVMDIBuilderCreateCompileUnit(d->builder, LLVMDWARFSourceLanguageC99, d->file,
                                             producer, sizeof producer - 1, true, "", 0, 0, "", 0,
                                             LLVMDWARFEmissionFull, 0, false, false, "", 0, "", 0);
    d->type = LLVMDIBuilderCreateSubroutineType(d->builder, d->file, NULL, 0, LLVMDIFlagZero);
}

static LLVMMetadataRef create_subprogram(struct llvm_debug *d, const char *name,
                                         const char *linkage, unsigned line) {
    return LLVMDIBuilderCreateFunction(d->builder, d->file, name, strlen(name), linkage,
                                       strlen(linkage), d->file, line, d->type, true, true, line,
                                       LLVMDIFlagZero, true);
}

static LLVMMetadataRef location(emitter *e, unsigned line, LLVMMetadataRef scope,
                                LLVMMetadataRef inlined_at) {
    return LLVMDIBuilderCreateDebugLocation(e->ctx, line, 0, scope, inlined_at);
}

void llvm_debug_func(emitter *e, const lp_func *f) {
    struct llvm_debug *d = e->debug;
    if (!d) return;
    d->func = create_subprogram(d, f->summary ? f->summary : f->name, f->name, f->line);
    d->func_line = f->line;
    LLVMSetSubprogram(e->func, d->func);
    LLVMSetCurrentDebugLocation2(e->b, location(e, f->line, d->func, NULL));
}

static LLVMMetadataRef subprogram_of(emitter *e, const lp_instr *i) {
    struct llvm_debug *d = e->debug;
    LLVMMetadataRef s = tl_map_get_ptr(&d->nodes, i->loc->node);
    if (s) return s;
    s = create_subprogram(d, i->loc->node, "", i->line);
    tl_map_set_ptr(&d->nodes, i->loc->node, s);
    return s;
}

void llvm_debug_instr(emitter *e, const lp_instr *i) {
    struct llvm_debug *d = e->debug;
    if (!d) return;
    unsigned line = i->line ? i->line : d->func_line;
    LLVMMetadataRef at = location(e, line, d->func, NULL);
    if (i->loc && i->loc->node) at = location(e, line, subprogram_of(e, i), at);
    LLVMSetCurrentDebugLocation2(e->b, at);
}

void llvm_debug_end(emitter *e) {
    if (!e->debug) return;
    LLVMDIBuilderFinalize(e->debug->builder);
    LLVMDisposeDIBuilder(e->debug->builder);
    e->options->builders->debug = NULL;
}
