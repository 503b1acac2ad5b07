/* Units: LLVM module to object, assembly or text; see object.h.
 *
 * Loop IR arrives tiled, vectorised and scheduled. The passes below remove what emission repeats: addresses, constants, loads of one
 * location, work that does not change in a loop. No inlining, unrolling or vectorising: those are decisions of the lowering. */
#include "codegen/llvm_unit.h"

#include "ir/base/assert.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <pthread.h>
#include <stdio.h>

/* A second run that would still find something is no error, as it is when instcombine is named without its option. */
static const char passes[] =
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
    "loop-mssa(licm),early-cse<memssa>,instcombine<no-verify-fixpoint>,dse,simplifycfg)";

/* ---- set-up of the library ------------------------------------------------------------------------------------ */

/* LLVM ends the process after this. */
static void fatal(const char *reason) {
    fprintf(stderr, "tlbc: LLVM: %s\n", reason);
}

/* Process-wide by LLVM's design: the tables of targets and the handler. */
static void init_library(void) {
    LLVMInstallFatalErrorHandler(fatal);
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
#ifdef TLBC_LLVM_HAS_AARCH64
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
#endif
}

static void init_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
}

/* ---- creation ------------------------------------------------------------------------------------------------- */

/* Keeps the first error; may run on any thread. */
static void set_error(cg_unit *u, const char *text) {
    if (!u->error) u->error = LLVMCreateMessage(text);
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *data) {
    cg_unit *u = data;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    set_error(u, text);
    LLVMDisposeMessage(text);
}

static void release(void *data) {
    cg_unit *u = data;
    if (u->result) LLVMDisposeMemoryBuffer(u->result);
    if (u->text) LLVMDisposeMessage(u->text);
    if (u->error) LLVMDisposeMessage(u->error);
    if (u->builders.code) LLVMDisposeBuilder(u->builders.code);
    if (u->builders.debug) LLVMDisposeDIBuilder(u->builders.debug);
    if (u->module) LLVMDisposeModule(u->module);
    if (u->llvm) LLVMContextDispose(u->llvm);
    *u = (cg_unit){0};
}

static cg_unit *create(ir_ctx *c, const cg_target *t) {
    init_once();
    cg_unit *u = TL_NEW(&c->arena, cg_unit);
    ir_ctx_add_cleanup(c, release, u);
    u->ctx = c;
    u->target = *t;
    u->llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(u->llvm, on_diagnostic, u);
    return u;
}

cg_unit *cg_unit_create(ir_ctx *c, const lp_module *m, const cg_unit_options *o) {
    cg_unit *u = create(c, o->target);
    u->no_passes = o->no_passes;
    u->module = llvm_emit(u->llvm, m,
                          &(llvm_emit_options){.target = &u->target,
                                               .watch = o->watch,
                                               .builders = &u->builders,
                                               .graph_path = o->graph_path});
    return u;
}

cg_unit *cg_unit_create_empty(ir_ctx *c, const cg_target *t) {
    cg_unit *u = create(c, t);
    u->module = LLVMModuleCreateWithNameInContext("tlbc", u->llvm);
    LLVMSetTarget(u->module, t->triple);
    return u;
}

void cg_unit_add_assembly(cg_unit *u, const char *text) {
    LLVMAppendModuleInlineAsm(u->module, text, strlen(text));
}

/* ---- compilation ---------------------------------------------------------------------------------------------- */

static LLVMTargetMachineRef create_machine(cg_unit *u) {
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(u->target.triple, &target, &message)) {
        set_error(u, message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    return LLVMCreateTargetMachine(target, u->target.triple, u->target.cpu, u->target.features,
                                   LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
}

static bool verify(cg_unit *u) {
    char *message = NULL;
    bool bad = LLVMVerifyModule(u->module, LLVMReturnStatusAction, &message);
    if (bad) set_error(u, message);
    LLVMDisposeMessage(message);
    return !bad;
}

static bool run_passes(cg_unit *u, LLVMTargetMachineRef machine) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(u->module, passes, machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error) return true;
    char *text = LLVMGetErrorMessage(error);
    set_error(u, text);
    LLVMDisposeErrorMessage(text);
    return false;
}

static void emit(cg_unit *u, LLVMTargetMachineRef machine, cg_form form) {
    if (form == CG_LLVM_TEXT) {
        u->text = LLVMPrintModuleToString(u->module);
        return;
    }
    LLVMCodeGenFileType type = form == CG_OBJECT ? LLVMObjectFile : LLVMAssemblyFile;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, u->module, type, &message, &u->result)) {
        set_error(u, message);
        LLVMDisposeMessage(message);
    }
}

static void compile(cg_unit *u, LLVMTargetMachineRef machine, cg_form form) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(u->module, layout);
    LLVMDisposeTargetData(layout);
#ifndef NDEBUG
    if (!verify(u)) return;
#else
    (void)verify;
#endif
    if (!u->no_passes && !run_passes(u, machine)) return;
    emit(u, machine, form);
}

void cg_unit_compile(cg_unit *u, cg_form form) {
    LLVMTargetMachineRef machine = create_machine(u);
    if (!machine) return;
    compile(u, machine, form);
    LLVMDisposeTargetMachine(machine);
}

bool cg_unit_get_result(cg_unit *u, tl_sv *out) {
    if (u->error)
        return diag_error(&u->ctx->diag, NULL, "LLVM cannot compile for '%s': %s", u->target.name,
                          u->error);
    TL_ASSERT(u->result || u->text);
    if (u->text)
        *out = tl_sv_from(u->text);
    else
        *out = (tl_sv){LLVMGetBufferStart(u->result), LLVMGetBufferSize(u->result)};
    return true;
}
