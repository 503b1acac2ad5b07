/* Emitter: functions, blocks, control flow; see llvm_emit.h.
 *
 *   for %i = lo to hi step s carry(%a = %x)          guard:  br lo < hi, body, exit
 *                                                    body:   %i = phi [lo], [%next];  %a = phi [%x], [yielded]
 *                                                            ...  %next = add nsw %i, s;  br %next < hi, body, exit
 *                                                    exit:   results = phi of %x and what was yielded
 *
 * Loops are emitted with the test at the end, so no pass has to rotate them. Declarations come first: functions may call each other
 * in any order. */
#include "codegen/llvm_debug.h"

#include "ir/base/assert.h"

static void emit_block(emitter *e, const lp_block *b);

static bool is_terminator(const lp_instr *i) {
    return i->op == LP_yield || i->op == LP_return;
}

/* Values a block yields; n of them. */
static lp_value **yielded(const lp_block *b, uint32_t n) {
    if (n == 0) return NULL;
    TL_ASSERT(b->last && b->last->op == LP_yield && b->last->n_args == n);
    return b->last->args;
}

static LLVMBasicBlockRef create_bb(emitter *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->ctx, e->func, name);
}

static LLVMValueRef create_phi(emitter *e, lp_type t, LLVMValueRef from, LLVMBasicBlockRef bb) {
    LLVMValueRef phi = LLVMBuildPhi(e->b, emit_type(e, t), "");
    LLVMAddIncoming(phi, &from, &bb, 1);
    return phi;
}

/* ---- control flow --------------------------------------------------------------------------------------------- */

typedef enum loop_trips { TRIPS_UNKNOWN, TRIPS_NONE, TRIPS_ONE, TRIPS_SOME } loop_trips;

static loop_trips known_trips(const lp_instr *i) {
    int64_t lo, hi, step;
    bool known = lp_value_is_const_i(i->args[0], &lo) && lp_value_is_const_i(i->args[1], &hi);
    if (!known) return TRIPS_UNKNOWN;
    if (lo >= hi) return TRIPS_NONE;
    if (!lp_value_is_const_i(i->args[2], &step)) return TRIPS_SOME;
    return (uint64_t)step >= (uint64_t)hi - (uint64_t)lo ? TRIPS_ONE : TRIPS_SOME;
}

/* No turn or one: no loop. */
static void emit_for_straight(emitter *e, const lp_instr *i, bool once) {
    const lp_block *body = i->blocks[0];
    uint32_t n = i->n_results;
    lp_value **last = i->args + 3;
    if (once) {
        body->params[0]->scratch = i->args[0]->scratch;
        for (uint32_t k = 0; k < n; k++)
            body->params[1 + k]->scratch = i->args[3 + k]->scratch;
        emit_block(e, body);
        last = yielded(body, n);
    }
    for (uint32_t k = 0; k < n; k++)
        i->results[k]->scratch = last[k]->scratch;
}

/* Body of a loop entered from `before`; leaves the builder at its end and says what the next counter is. */
static LLVMValueRef emit_for_body(emitter *e, const lp_instr *i, LLVMBasicBlockRef before) {
    const lp_block *body = i->blocks[0];
    lp_value *counter = body->params[0];
    counter->scratch = create_phi(e, LP_I64, emit_value(i->args[0]), before);
    for (uint32_t k = 0; k < i->n_results; k++) {
        lp_value *p = body->params[1 + k];
        p->scratch = create_phi(e, p->type, emit_value(i->args[3 + k]), before);
    }
    emit_block(e, body);
    llvm_debug_instr(e, i);
    return LLVMBuildNSWAdd(e->b, emit_value(counter), emit_value(i->args[2]), "");
}

static void close_phis(const lp_instr *i, LLVMValueRef next, LLVMBasicBlockRef latch) {
    const lp_block *body = i->blocks[0];
    lp_value **values = yielded(body, i->n_results);
    LLVMAddIncoming(emit_value(body->params[0]), &next, &latch, 1);
    for (uint32_t k = 0; k < i->n_results; k++)
        LLVMAddIncoming(emit_value(body->params[1 + k]), (LLVMValueRef *)&values[k]->scratch,
                        &latch, 1);
}

static void emit_for_loop(emitter *e, const lp_instr *i, bool guarded) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef body = create_bb(e, "for"), after = create_bb(e, "");
    LLVMValueRef lo = emit_value(i->args[0]), hi = emit_value(i->args[1]);
    if (guarded)
        LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, lo, hi, ""), body, after);
    else
        LLVMBuildBr(e->b, body);
    LLVMPositionBuilderAtEnd(e->b, body);
    LLVMValueRef next = emit_for_body(e, i, before);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, hi, ""), body, after);
    close_phis(i, next, latch);
    LLVMMoveBasicBlockAfter(after, latch);
    LLVMPositionBuilderAtEnd(e->b, after);
    lp_value **values = yielded(i->blocks[0], i->n_results);
    for (uint32_t k = 0; k < i->n_results; k++) {
        LLVMValueRef phi = create_phi(e, i->results[k]->type, emit_value(values[k]), latch);
        if (guarded) LLVMAddIncoming(phi, (LLVMValueRef *)&i->args[3 + k]->scratch, &before, 1);
        i->results[k]->scratch = phi;
    }
}

static void emit_for(emitter *e, const lp_instr *i) {
    loop_trips trips = known_trips(i);
    if (trips == TRIPS_NONE || trips == TRIPS_ONE)
        emit_for_straight(e, i, trips == TRIPS_ONE);
    else
        emit_for_loop(e, i, trips == TRIPS_UNKNOWN);
}

static void emit_while(emitter *e, const lp_instr *i) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), head = create_bb(e, "while");
    LLVMBuildBr(e->b, head);
    LLVMPositionBuilderAtEnd(e->b, head);
    const lp_block *test = i->blocks[0], *body = i->blocks[1];
    for (uint32_t k = 0; k < i->n_args; k++) {
        lp_value *p = test->params[k];
        p->scratch = create_phi(e, p->type, emit_value(i->args[k]), before);
        body->params[k]->scratch = i->results[k]->scratch = p->scratch;
    }
    emit_block(e, test);
    LLVMBasicBlockRef turn = create_bb(e, "do"), after = create_bb(e, "");
    LLVMBuildCondBr(e->b, emit_value(yielded(test, 1)[0]), turn, after);
    LLVMPositionBuilderAtEnd(e->b, turn);
    emit_block(e, body);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, head);
    lp_value **values = yielded(body, i->n_args);
    for (uint32_t k = 0; k < i->n_args; k++)
        LLVMAddIncoming(emit_value(test->params[k]), (LLVMValueRef *)&values[k]->scratch, &latch,
                        1);
    LLVMMoveBasicBlockAfter(after, latch);
    LLVMPositionBuilderAtEnd(e->b, after);
}

/* Emits a branch of an if; the block it ends in. */
static LLVMBasicBlockRef emit_branch(emitter *e, const lp_block *b, LLVMBasicBlockRef at,
                                     LLVMBasicBlockRef after) {
    LLVMPositionBuilderAtEnd(e->b, at);
    emit_block(e, b);
    LLVMBuildBr(e->b, after);
    return LLVMGetInsertBlock(e->b);
}

static void emit_if(emitter *e, const lp_instr *i) {
    bool has_else = i->blocks[1] != NULL;
    LLVMBasicBlockRef yes = create_bb(e, "then"), no = has_else ? create_bb(e, "else") : NULL;
    LLVMBasicBlockRef after = create_bb(e, "");
    LLVMBuildCondBr(e->b, emit_value(i->args[0]), yes, has_else ? no : after);
    LLVMBasicBlockRef ends[2] = {emit_branch(e, i->blocks[0], yes, after), NULL};
    if (has_else) ends[1] = emit_branch(e, i->blocks[1], no, after);
    LLVMMoveBasicBlockAfter(after, LLVMGetInsertBlock(e->b));
    LLVMPositionBuilderAtEnd(e->b, after);
    for (uint32_t k = 0; k < i->n_results; k++) {
        LLVMValueRef x = emit_value(yielded(i->blocks[0], i->n_results)[k]);
        LLVMValueRef y = emit_value(yielded(i->blocks[1], i->n_results)[k]);
        LLVMValueRef phi = create_phi(e, i->results[k]->type, x, ends[0]);
        LLVMAddIncoming(phi, &y, &ends[1], 1);
        i->results[k]->scratch = phi;
    }
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static void add_attribute(emitter *e, LLVMValueRef f, LLVMAttributeIndex where, const char *name,
                          uint64_t value) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    TL_ASSERT(kind != 0);
    LLVMAddAttributeAtIndex(f, where, LLVMCreateEnumAttribute(e->ctx, kind, value));
}

/* How C passes integers narrower than a register; NULL: nothing to say. */
static const char *extension_of(lp_type t) {
    if (t.lanes > 1 || t.elem >= LP_PTR || ir_dtype_is_float((ir_dtype)t.elem)) return NULL;
    if (ir_dtype_bits((ir_dtype)t.elem) >= 32) return NULL;
    return emit_is_signed(t.elem) ? "signext" : "zeroext";
}

static void add_call_extension(emitter *e, LLVMValueRef call, LLVMAttributeIndex where, lp_type t) {
    const char *name = extension_of(t);
    if (!name) return;
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddCallSiteAttribute(call, where, LLVMCreateEnumAttribute(e->ctx, kind, 0));
}

/* Runtime functions are linked into the same object: hidden, so that calls need no table. The C library's are not. */
static LLVMValueRef declare_external(emitter *e, const lp_instr *i) {
    LLVMTypeRef *types = TL_NEW_ARRAY(e->arena, LLVMTypeRef, i->n_args + 1);
    for (uint32_t k = 0; k < i->n_args; k++)
        types[k] = emit_type(e, i->args[k]->type);
    LLVMTypeRef type = LLVMFunctionType(emit_type(e, i->type), types, i->n_args, false);
    LLVMValueRef f = LLVMAddFunction(e->module, i->callee, type);
    if (strncmp(i->callee, "tlbc_", 5) == 0) LLVMSetVisibility(f, LLVMHiddenVisibility);
    add_attribute(e, f, LLVMAttributeFunctionIndex, "nounwind", 0);
    return f;
}

static LLVMValueRef emit_call(emitter *e, const lp_instr *i) {
    LLVMValueRef f = LLVMGetNamedFunction(e->module, i->callee);
    if (!f) f = declare_external(e, i);
    LLVMValueRef *args = TL_NEW_ARRAY(e->arena, LLVMValueRef, i->n_args + 1);
    for (uint32_t k = 0; k < i->n_args; k++)
        args[k] = emit_value(i->args[k]);
    LLVMTypeRef type = LLVMGlobalGetValueType(f);
    LLVMValueRef call = LLVMBuildCall2(e->b, type, f, args, i->n_args, "");
    for (uint32_t k = 0; k < i->n_args; k++)
        add_call_extension(e, call, k + 1, i->args[k]->type);
    add_call_extension(e, call, LLVMAttributeReturnIndex, i->type);
    return i->n_results ? call : NULL;
}

/* ---- instructions --------------------------------------------------------------------------------------------- */

static LLVMValueRef emit_plain(emitter *e, const lp_instr *i) {
    LLVMValueRef args[5] = {NULL};
    for (uint32_t k = 0; k < i->n_args && k < 5; k++)
        args[k] = emit_value(i->args[k]);
    lp_type t = i->type;
    switch (i->op) {
    case LP_const:
        return emit_const(e, t, i->imm, i->fimm);
    case LP_select:
        return LLVMBuildSelect(e->b, args[0], args[1], args[2], "");
    case LP_cast:
        return emit_cast(e, args[0], i->args[0]->type.elem, t.elem, t.lanes);
    case LP_bitcast:
        return emit_bitcast(e, args[0], i->args[0]->type.elem, t.elem, t.lanes);
    case LP_call:
        return emit_call(e, i);
    case LP_fma:
        return emit_fma(e, i);
    case LP_dot4:
    case LP_dot4n:
        return emit_dot4(e, i->op == LP_dot4n, t.lanes, args);
    case LP_lookup:
        return emit_lookup(e, t.lanes, args);
    case LP_pairs:
        return emit_pair_sums(e, t.lanes / 2u, args);
    case LP_dot2:
        return emit_dot2(e, t.lanes, args);
    default:
        break;
    }
    if (i->op <= LP_ge) return emit_binary(e, i->op, t, args[0], args[1]);
    if (i->op <= LP_trunc) return emit_unary(e, i->op, t, args[0]);
    if (i->op <= LP_reduce_max) return emit_vector(e, i);
    return emit_memory(e, i);
}

static void emit_instr(emitter *e, const lp_instr *i) {
    switch (i->op) {
    case LP_for:
        emit_for(e, i);
        return;
    case LP_while:
        emit_while(e, i);
        return;
    case LP_if:
        emit_if(e, i);
        return;
    case LP_return:
        LLVMBuildRet(e->b, emit_value(i->args[0]));
        return;
    case LP_yield:
        return; /* read by the owner of the block */
    default:
        break;
    }
    LLVMValueRef r = emit_plain(e, i);
    if (i->n_results) i->results[0]->scratch = r;
}

static void emit_block(emitter *e, const lp_block *b) {
    for (const lp_instr *i = b->first; i; i = i->next) {
        TL_ASSERT(!is_terminator(i) || !i->next);
        llvm_debug_instr(e, i);
        emit_instr(e, i);
    }
}

/* ---- functions ------------------------------------------------------------------------------------------------ */

static void add_text_attribute(emitter *e, LLVMValueRef f, const char *name, const char *value) {
    LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(e->ctx, name, (unsigned)strlen(name), value,
                                                      (unsigned)strlen(value)));
}

/* The widest vectors of the machine are meant where they are written: LLVM must not split them. */
static void add_target_attributes(emitter *e, LLVMValueRef f) {
    const cg_target *t = e->options->target;
    const char *bits = t->vector_bytes >= 64 ? "512" : t->vector_bytes >= 32 ? "256" : "128";
    add_text_attribute(e, f, "target-cpu", t->cpu);
    add_text_attribute(e, f, "tune-cpu", t->tune);
    if (t->features[0]) add_text_attribute(e, f, "target-features", t->features);
    add_text_attribute(e, f, "prefer-vector-width", bits);
    add_text_attribute(e, f, "min-legal-vector-width", bits);
}

static void add_param_attributes(emitter *e, LLVMValueRef f, uint32_t i, lp_type t,
                                 unsigned flags) {
    const char *extension = extension_of(t);
    if (flags & LP_NOALIAS) add_attribute(e, f, i + 1, "noalias", 0);
    if (flags & LP_READONLY) add_attribute(e, f, i + 1, "readonly", 0);
    if (flags & LP_ALIGN64) add_attribute(e, f, i + 1, "align", 64);
    if (extension) add_attribute(e, f, i + 1, extension, 0);
}

static void add_func_attributes(emitter *e, LLVMValueRef v, const lp_func *f) {
    add_attribute(e, v, LLVMAttributeFunctionIndex, "nounwind", 0);
    if (f->noinline_) add_attribute(e, v, LLVMAttributeFunctionIndex, "noinline", 0);
    add_target_attributes(e, v);
}

static void declare_func(emitter *e, const lp_func *f) {
    LLVMTypeRef *types = TL_NEW_ARRAY(e->arena, LLVMTypeRef, f->n_params + 1);
    for (uint32_t i = 0; i < f->n_params; i++)
        types[i] = emit_type(e, f->params[i]->type);
    LLVMTypeRef type = LLVMFunctionType(emit_type(e, f->result), types, f->n_params, false);
    TL_ASSERT(!LLVMGetNamedFunction(e->module, f->name));
    LLVMValueRef v = LLVMAddFunction(e->module, f->name, type);
    LLVMSetLinkage(v, f->external ? LLVMExternalLinkage : LLVMInternalLinkage);
    add_func_attributes(e, v, f);
    if (extension_of(f->result))
        add_attribute(e, v, LLVMAttributeReturnIndex, extension_of(f->result), 0);
    for (uint32_t i = 0; i < f->n_params; i++)
        add_param_attributes(e, v, i, f->params[i]->type, f->param_flags[i]);
}

static void emit_func(emitter *e, const lp_func *f) {
    e->func = LLVMGetNamedFunction(e->module, f->name);
    for (uint32_t i = 0; i < f->n_params; i++)
        f->params[i]->scratch = LLVMGetParam(e->func, i);
    e->entry = create_bb(e, "entry");
    LLVMBasicBlockRef body = create_bb(e, "body");
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    llvm_debug_func(e, f);
    LLVMBuildBr(e->b, body);
    LLVMPositionBuilderAtEnd(e->b, body);
    emit_block(e, f->body);
    if (f->result.elem == LP_VOID) LLVMBuildRetVoid(e->b);
}

LLVMModuleRef llvm_emit(LLVMContextRef ctx, const lp_module *m, const llvm_emit_options *o) {
    emitter e = {.ctx = ctx, .arena = m->arena, .options = o};
    e.module = LLVMModuleCreateWithNameInContext("tlbc", ctx);
    e.b = o->builders->code = LLVMCreateBuilderInContext(ctx);
    LLVMSetTarget(e.module, o->target->triple);
    llvm_debug_begin(&e);
    for (const lp_func *f = m->funcs; f; f = f->next)
        declare_func(&e, f);
    for (const lp_func *f = m->funcs; f; f = f->next)
        emit_func(&e, f);
    llvm_debug_end(&e);
    LLVMDisposeBuilder(e.b);
    o->builders->code = NULL;
    return e.module;
}
