/* Loop IR: modules, functions, facts of operations, merging of equal kernels. The builder is in loop_build.c; see loop.h. */
#include "codegen/loop.h"

#include "ir/base/assert.h"
#include "ir/base/hash.h"

static const struct {
    const char *name;
    int arity;
} op_table[LP_OP_COUNT] = {
#define LP_OP(name, args, summary) [LP_##name] = {#name, args},
#include "codegen/loop_ops.def"
#undef LP_OP
};

const char *lp_op_name(lp_op op) {
    TL_ASSERT(op < LP_OP_COUNT);
    return op_table[op].name;
}

int lp_op_arity(lp_op op) {
    TL_ASSERT(op < LP_OP_COUNT);
    return op_table[op].arity;
}

bool lp_op_find(const char *name, size_t len, lp_op *out) {
    tl_sv wanted = {name, len};
    for (int i = 0; i < LP_OP_COUNT; i++) {
        if (!tl_sv_is(wanted, op_table[i].name)) continue;
        *out = (lp_op)i;
        return true;
    }
    return false;
}

lp_module *lp_module_create(ir_ctx *c, tl_arena *a) {
    lp_module *m = TL_NEW(a, lp_module);
    m->ctx = c;
    m->arena = a;
    tl_map_init(&m->by_hash, a);
    return m;
}

lp_func *lp_func_create(lp_module *m, const char *name) {
    lp_func *f = TL_NEW(m->arena, lp_func);
    f->module = m;
    f->name = ir_name(m->ctx, name);
    f->result = lp_scalar(LP_VOID);
    f->body = TL_NEW(m->arena, lp_block);
    f->body->func = f;
    f->prev = m->last;
    if (m->last)
        m->last->next = f;
    else
        m->funcs = f;
    m->last = f;
    m->n_funcs++;
    return f;
}

void lp_module_remove_last(lp_module *m) {
    TL_ASSERT(m->last);
    m->last = m->last->prev;
    *(m->last ? &m->last->next : &m->funcs) = NULL;
    m->n_funcs--;
}

lp_func *lp_module_find(const lp_module *m, const char *name) {
    for (lp_func *f = m->funcs; f; f = f->next)
        if (f->name == name || strcmp(f->name, name) == 0) return f;
    return NULL;
}

lp_value *lp_func_add_param(lp_func *f, lp_type t, const char *name, unsigned flags) {
    tl_arena *a = f->module->arena;
    uint32_t n = f->n_params;
    if ((n & (n - 1)) == 0) { /* full at powers of two: double */
        uint32_t cap = n ? 2 * n : 1;
        lp_value **params = TL_NEW_ARRAY(a, lp_value *, cap);
        uint8_t *all_flags = TL_NEW_ARRAY(a, uint8_t, cap);
        if (n) memcpy(params, f->params, n * sizeof *params);
        if (n) memcpy(all_flags, f->param_flags, n);
        f->params = params;
        f->param_flags = all_flags;
    }
    lp_value *v = TL_NEW(a, lp_value);
    v->type = t;
    v->name = name ? ir_name(f->module->ctx, name) : NULL;
    f->params[n] = v;
    f->param_flags[n] = (uint8_t)flags;
    f->n_params++;
    return v;
}

lp_func *lp_module_merge(lp_module *m, lp_func *f) {
    TL_ASSERT(f == m->last);
    f->hash = lp_func_hash(f);
    for (uint64_t key = f->hash;; key = tl_hash_mix(key, 1)) { /* unequal twins: next place */
        bool added;
        uint64_t *place = tl_map_insert(&m->by_hash, key, &added);
        if (added) {
            *place = (uint64_t)(uintptr_t)f;
            return f;
        }
        lp_func *twin = (lp_func *)(uintptr_t)*place;
        if (!lp_func_equal(twin, f)) continue;
        lp_module_remove_last(m);
        return twin;
    }
}

bool lp_value_is_const_i(const lp_value *v, int64_t *x) {
    if (!v->def || v->def->op != LP_const) return false;
    if (v->type.elem >= LP_PTR || ir_dtype_is_float((ir_dtype)v->type.elem)) return false;
    *x = v->def->imm;
    return true;
}
