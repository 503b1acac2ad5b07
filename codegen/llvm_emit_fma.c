/* Emitter: fused multiply-adds. Coefficients of polynomials come from memory as whole vectors.
 *
 *   fma f32x8 %y, %u, 0.5       with AVX2     vfmadd213ps .Lsplat, %ymm1, %ymm0: one instruction
 *                               else          the constant as it is
 *
 * With AVX2 LLVM makes a vector of equal constants by a broadcast, which no arithmetic instruction takes as an operand: a polynomial had twice the
 * instructions, and registers were moved about to hold what had been broadcast before the loop. A load of a vector that it cannot see into
 * becomes the multiply-add's operand in memory, in the loop or from the stack. AVX-512 broadcasts in the multiply-add itself. */
#include "codegen/llvm_emit_internal.h"

enum { LANES = 8 };

static bool broadcasts_cost(const emitter *e, lp_type t) {
    const cg_target *target = e->options->target;
    bool avx2 = strncmp(target->triple, "x86_64", 6) == 0 && target->lanes_f32 == LANES;
    return avx2 && target->has_fma && !target->has_avx512 && t.elem == DT_f32 &&
           t.lanes % LANES == 0;
}

/* The vector of equal numbers in memory, one for each number of the module; its contents are nothing that LLVM may rely on. */
static LLVMValueRef splat_in_memory(emitter *e, LLVMValueRef splat, unsigned lanes, double x) {
    float rounded = (float)x;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    const char *name = tl_arena_printf(e->arena, "splat.%u.%08x", lanes, bits);
    LLVMValueRef v = LLVMGetNamedGlobal(e->module, name);
    if (v) return v;
    v = LLVMAddGlobal(e->module, LLVMTypeOf(splat), name);
    LLVMSetInitializer(v, splat);
    LLVMSetGlobalConstant(v, true);
    LLVMSetExternallyInitialized(v, true);
    LLVMSetLinkage(v, LLVMPrivateLinkage);
    LLVMSetAlignment(v, sizeof(float) * LANES);
    return v;
}

static LLVMValueRef load_invariant(emitter *e, LLVMTypeRef type, LLVMValueRef p) {
    LLVMValueRef load = LLVMBuildLoad2(e->b, type, p, "");
    LLVMSetAlignment(load, sizeof(float) * LANES);
    LLVMSetMetadata(load, LLVMGetMDKindIDInContext(e->ctx, "invariant.load", 14),
                    LLVMMetadataAsValue(e->ctx, LLVMMDNodeInContext2(e->ctx, NULL, 0)));
    return load;
}

LLVMValueRef emit_fma(emitter *e, const lp_instr *i) {
    LLVMTypeRef type = emit_type(e, i->type);
    LLVMValueRef args[3];
    for (uint32_t k = 0; k < 3; k++)
        args[k] = emit_value(i->args[k]);
    const lp_instr *addend = i->args[2]->def;
    if (addend && addend->op == LP_const && addend->fimm != 0 && broadcasts_cost(e, i->type))
        args[2] = load_invariant(e, type, splat_in_memory(e, args[2], i->type.lanes, addend->fimm));
    return emit_intrinsic(e, "llvm.fma", &type, 1, args, 3);
}
