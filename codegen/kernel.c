/* Kernels: loop-IR functions over pointers and sizes, kept once per structure and called from the program; see lower.h.
 *
 *   func @k_add_2(i64 %begin, i64 %end, ptr %p0, ptr %p1, i64 %n0) noinline { ... }
 *   program:   call @k_add_2(%lo, %hi, %x, %y, %batch)
 *
 * Parameters appear in the order the body asks for them, so that nodes of the same structure build the same function. */
#include "codegen/steps.h"

#include "ir/base/assert.h"

#include <stdarg.h>
#include <stdio.h>

void cg_thread_share(cg *g, const ir_dim *units, lp_value *out[2]) {
    if (g->alone) {
        out[0] = lp_index(&g->b, 0);
        out[1] = cg_dim(g, units);
        return;
    }
    for (cg_scope *s = g->scope; s; s = s->outer) {
        lp_value **pair = tl_map_get_ptr(&s->splits, units);
        if (!pair) continue;
        out[0] = pair[0];
        out[1] = pair[1];
        return;
    }
    lp_value *n = cg_dim(g, units), *one = lp_index(&g->b, 1);
    lp_value *lo = lp_bin(&g->b, LP_mul, n, g->tid);
    lp_value *hi = lp_bin(&g->b, LP_mul, n, lp_bin(&g->b, LP_add, g->tid, one));
    lp_value **pair = TL_NEW_ARRAY(g->arena, lp_value *, 2);
    out[0] = pair[0] = lp_bin(&g->b, LP_div, lo, g->n_threads);
    out[1] = pair[1] = lp_bin(&g->b, LP_div, hi, g->n_threads);
    tl_map_set_ptr(&g->scope->splits, units, pair);
}

cg_kernel cg_kernel_begin(cg *g, const ir_node *n, const ir_dim *units) {
    char name[64]; /* what debuggers and profilers show */
    snprintf(name, sizeof name, "%s_%u", n ? op_get(n->op)->name : "Copy", g->lp->n_funcs);
    lp_func *f = lp_func_create(g->lp, name);
    f->noinline_ = true;
    cg_kernel k = {.g = g, .node = n, .units = units, .serial = ir_dim_is(units, 1)};
    k.b = lp_build_in(f);
    k.b.loc = n ? n->loc : NULL;
    k.b.line = f->line = cg_line(g, n);
    k.begin = lp_func_add_param(f, LP_I64, "begin", 0);
    k.end = lp_func_add_param(f, LP_I64, "end", 0);
    return k;
}

static lp_value *add_param(cg_kernel *k, lp_type t, const char *prefix, unsigned flags) {
    TL_ASSERT(k->n_args < CG_MAX_KERNEL_ARGS);
    char name[32];
    snprintf(name, sizeof name, "%s%u", prefix, k->n_args);
    return k->params[k->n_args++] = lp_func_add_param(k->b.func, t, name, flags);
}

static bool same_place(const cg_view *a, const cg_view *b) {
    return a->buffer == b->buffer && a->offset == b->offset;
}

static lp_value *pointer_param(cg_kernel *k, const cg_view *v, bool write, bool rowwise) {
    for (uint32_t i = 0; i < k->n_args; i++) {
        if (k->args[i].kind != CG_ARG_VIEW || !same_place(k->args[i].view, v)) continue;
        k->args[i].write |= write;
        k->args[i].read |= !write;
        k->args[i].rowwise &= rowwise;
        return k->params[i];
    }
    uint32_t i = k->n_args;
    lp_value *p = add_param(k, lp_scalar(LP_PTR), write ? "y" : "x", 0);
    k->args[i].kind = CG_ARG_VIEW;
    k->args[i].view = v;
    k->args[i].write = write;
    k->args[i].read = !write;
    k->args[i].rowwise = rowwise;
    return p;
}

lp_value *cg_kernel_in(cg_kernel *k, const cg_view *v, bool rowwise) {
    return pointer_param(k, v, false, rowwise);
}
lp_value *cg_kernel_out(cg_kernel *k, const cg_view *v, bool rowwise) {
    return pointer_param(k, v, true, rowwise);
}

lp_value *cg_kernel_dim(cg_kernel *k, const ir_dim *d) {
    int64_t value;
    if (ir_dim_is_const(d, &value)) return lp_index(&k->b, value);
    for (uint32_t i = 0; i < k->n_args; i++)
        if (k->args[i].kind == CG_ARG_DIM && k->args[i].dim == d) return k->params[i];
    uint32_t i = k->n_args;
    lp_value *p = add_param(k, LP_I64, "n", 0);
    k->args[i].kind = CG_ARG_DIM;
    k->args[i].dim = d;
    return p;
}

lp_value *cg_kernel_value(cg_kernel *k, lp_value *v) {
    uint32_t i = k->n_args;
    lp_value *p = add_param(k, v->type, "v", 0);
    k->args[i].kind = CG_ARG_VALUE;
    k->args[i].value = v;
    return p;
}

lp_value *cg_kernel_frame(cg_kernel *k) {
    for (uint32_t i = 0; i < k->n_args; i++)
        if (k->args[i].kind == CG_ARG_FRAME) return k->params[i];
    uint32_t i = k->n_args;
    lp_value *p = add_param(k, lp_scalar(LP_PTR), "frame", 0);
    k->args[i].kind = CG_ARG_FRAME;
    return p;
}

void cg_kernel_require(cg_kernel *k, const ir_dim *n, const ir_dim *work, int64_t failure) {
    if (ir_dim_lower_bound(n) > 0) return;
    lp_builder *b = &k->b;
    lp_value *zero = lp_index(b, 0), *size = cg_kernel_dim(k, n), *count = cg_kernel_dim(k, work);
    lp_value *empty = lp_bin(b, LP_le, size, zero);
    lp_value *bad = lp_bin(b, LP_and, empty, lp_bin(b, LP_gt, count, zero));
    cg_fail_if(k, bad, failure, zero, size);
    k->end = lp_select(b, empty, k->begin, k->end);
}

/* ---- hazards between threads -------------------------------------------------------------------------------- */

/* The same thread touches the same elements: row by row in the same division, or one thread all of them. */
static bool same_division(const cg_access *a, const ir_dim *units, bool rowwise) {
    if (!a->units || !ir_dim_equal(a->units, units)) return false;
    return (rowwise && a->rowwise) || ir_dim_is(units, 1);
}

/* Threads may still be writing what is read or written, or reading what is written. */
static bool needs_barrier(const cg *g, const cg_kernel *k) {
    if (g->alone) return false;
    for (uint32_t i = 0; i < k->n_args; i++) {
        if (k->args[i].kind != CG_ARG_VIEW) continue;
        const cg_buffer *b = k->args[i].view->buffer;
        bool rowwise = k->args[i].rowwise;
        if (cg_is_read_only(b->kind) || b->per_thread) continue;
        bool written = b->write.epoch == g->epoch && !same_division(&b->write, k->units, rowwise);
        bool being_read = b->read.epoch == g->epoch && !same_division(&b->read, k->units, rowwise);
        if (written || (k->args[i].write && being_read)) return true;
    }
    return false;
}

/* Joins this kernel's access with the earlier ones of the epoch: two different divisions are no division. */
static void note_access(const cg *g, cg_access *a, const ir_dim *units, bool rowwise) {
    if (a->epoch != g->epoch) {
        *a = (cg_access){.epoch = g->epoch, .units = units, .rowwise = rowwise};
        return;
    }
    bool same = a->units && ir_dim_equal(a->units, units);
    a->units = same ? units : NULL;
    a->rowwise = same && a->rowwise && rowwise;
}

static void note_accesses(cg *g, const cg_kernel *k) {
    for (uint32_t i = 0; i < k->n_args; i++) {
        if (k->args[i].kind != CG_ARG_VIEW) continue;
        cg_buffer *b = k->args[i].view->buffer;
        if (k->args[i].read) note_access(g, &b->read, k->units, k->args[i].rowwise);
        if (k->args[i].write) note_access(g, &b->write, k->units, k->args[i].rowwise);
    }
}

/* ---- the call ------------------------------------------------------------------------------------------------- */

static lp_value *argument(cg *g, const cg_kernel *k, uint32_t i) {
    switch (k->args[i].kind) {
    case CG_ARG_VIEW:
        return cg_pointer(g, k->args[i].view);
    case CG_ARG_DIM:
        return cg_dim(g, k->args[i].dim);
    case CG_ARG_VALUE:
        return k->args[i].value;
    case CG_ARG_FRAME:
        return g->frame;
    }
    TL_UNREACHABLE();
}

static void emit_call(cg *g, const cg_kernel *k, const lp_func *f) {
    lp_value *args[CG_MAX_KERNEL_ARGS + 2];
    cg_thread_share(g, k->units, args);
    g->serial = k->serial && !g->alone;
    for (uint32_t i = 0; i < k->n_args; i++)
        args[i + 2] = argument(g, k, i);
    g->serial = false;
    g->n_calls++;
    if (!k->serial || g->alone) {
        lp_call(&g->b, f->name, lp_scalar(LP_VOID), args, k->n_args + 2);
        return;
    }
    lp_loop alone = lp_if_begin(&g->b, lp_bin(&g->b, LP_eq, g->tid, lp_index(&g->b, 0)), NULL, 0);
    args[0] = lp_index(&g->b, 0);
    args[1] = lp_index(&g->b, 1);
    lp_call(&g->b, f->name, lp_scalar(LP_VOID), args, k->n_args + 2);
    lp_if_end(&g->b, &alone, NULL);
}

void cg_kernel_end(cg_kernel *k, const char *summary, ...) {
    cg *g = k->g;
    tl_str text;
    tl_str_init(&text, g->arena);
    va_list args;
    va_start(args, summary);
    tl_str_vprintf(&text, summary, args);
    va_end(args);
    k->b.func->summary = text.data;
    const lp_func *f = lp_module_merge(g->lp, k->b.func);
    if (needs_barrier(g, k)) cg_barrier(g);
    emit_call(g, k, f);
    cg_step_add(g, CG_STEP_CALL, f->name, k->node);
    note_accesses(g, k);
    if (g->alone) g->epoch++; /* the order of calls is the order of lifetimes */
}

/* ---- parts of kernels ----------------------------------------------------------------------------------------- */

const lp_func *cg_kernel_end_part(cg_kernel *part, const char *summary) {
    part->b.func->summary = summary;
    return lp_module_merge(part->g->lp, part->b.func);
}

void cg_kernel_call_part(cg_kernel *k, const lp_func *f, const cg_kernel *part,
                         lp_value *const *values) {
    lp_value *args[CG_MAX_KERNEL_ARGS + 2] = {values[0], values[1]};
    uint32_t next = 2;
    for (uint32_t i = 0; i < part->n_args; i++) {
        switch (part->args[i].kind) {
        case CG_ARG_VIEW:
            if (part->args[i].read) args[i + 2] = cg_kernel_in(k, part->args[i].view, false);
            if (part->args[i].write) args[i + 2] = cg_kernel_out(k, part->args[i].view, false);
            break;
        case CG_ARG_DIM:
            args[i + 2] = cg_kernel_dim(k, part->args[i].dim);
            break;
        case CG_ARG_VALUE:
            args[i + 2] = values[next++];
            break;
        case CG_ARG_FRAME:
            args[i + 2] = cg_kernel_frame(k);
            break;
        }
    }
    lp_call(&k->b, f->name, lp_scalar(LP_VOID), args, part->n_args + 2);
}
