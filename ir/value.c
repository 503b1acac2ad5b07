/* What is asked of values: uses, constants, known contents; see ir.h. */
#include "ir/base/assert.h"
#include "ir/base/vec.h"
#include "ir/ir.h"
#include "ir/limits.h"

#include <stdio.h>

void ir_value_replace_uses(ir_value *old, ir_value *new_value) {
    if (old == new_value) return;
    while (old->uses) {
        ir_use *u = old->uses;
        old->uses = u->next;
        if (u->next) u->next->prev = NULL;
        u->value = new_value;
        u->prev = NULL;
        u->next = new_value->uses;
        if (u->next) u->next->prev = u;
        new_value->uses = u;
    }
}

uint32_t ir_value_count_uses(const ir_value *v) {
    uint32_t n = 0;
    ir_for_each_use (u, v)
        n++;
    return n;
}

ir_region *ir_value_region(const ir_value *v) {
    return v->def ? v->def->parent : v->region;
}

bool ir_value_const_f64(const ir_value *v, double *x) {
    if (!ir_value_is_const(v) || v->tensor->opaque || ir_tensor_elements(v->tensor) != 1)
        return false;
    if (v->type->dtype == DT_str) return false;
    *x = ir_tensor_get_f64(v->tensor, 0);
    return true;
}

bool ir_value_const_i64(const ir_value *v, int64_t *x) {
    return v && ir_value_const_ints(v, x, 1) == 1;
}

bool ir_value_is_splat(const ir_value *v, double x) {
    if (!ir_value_is_const(v) || v->tensor->opaque || v->type->dtype == DT_str) return false;
    if (ir_tensor_elements(v->tensor) == 0 || !ir_tensor_is_splat(v->tensor)) return false;
    return ir_tensor_get_f64(v->tensor, 0) == x;
}

static bool is_integer_tensor(const ir_value *v) {
    return ir_type_is_tensor(v->type) &&
           (ir_dtype_is_int(v->type->dtype) || v->type->dtype == DT_bool);
}

int32_t ir_value_const_ints(const ir_value *v, int64_t *out, uint32_t max) {
    if (!v) return -1;
    if (v->tensor) {
        size_t n = ir_tensor_elements(v->tensor);
        if (v->tensor->opaque || !is_integer_tensor(v) || n > max) return -1;
        for (size_t i = 0; i < n; i++)
            out[i] = ir_tensor_get_i64(v->tensor, i);
        return (int32_t)n;
    }
    if (!v->known || v->known->n > max) return -1;
    for (uint32_t i = 0; i < v->known->n; i++)
        if (!ir_dim_is_const(v->known->dims[i], &out[i])) return -1;
    return (int32_t)v->known->n;
}

int32_t ir_value_known_dims(ir_ctx *c, const ir_value *v, const ir_dim **out, uint32_t max) {
    if (!v) return -1;
    if (v->tensor) {
        int64_t ints[IR_MAX_KNOWN];
        int32_t n = ir_value_const_ints(v, ints, max < IR_MAX_KNOWN ? max : IR_MAX_KNOWN);
        for (int32_t i = 0; i < n; i++)
            out[i] = ir_dim_const(c, ints[i]);
        return n;
    }
    if (!v->known || v->known->n > max) return -1;
    for (uint32_t i = 0; i < v->known->n; i++)
        out[i] = v->known->dims[i];
    return (int32_t)v->known->n;
}

const char *ir_name_derive(ir_module *m, const ir_value *base, const char *suffix) {
    if (!base || !base->name) return NULL;
    return ir_name(m->ctx, tl_arena_printf(m->arena, "%s.%s", base->name, suffix));
}
