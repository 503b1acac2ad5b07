/* Attributes of a node as runtime/calls/ reads them; see call.h. */
#include "ir/call.h"

#include "ir/base/assert.h"
#include "ir/base/vec.h"

static tlbc_rt_op *const functions[OP_COUNT] = {
#define CALL(name) [OP_##name] = tlbc_rt_op_##name,
#include "runtime/calls/calls.def"
#undef CALL
};

tlbc_rt_op *ir_call_function(op_id op) {
    TL_ASSERT(functions[op]);
    return functions[op];
}

typedef TL_VEC(tlbc_rt_attr) attr_list;

/* As lists: a file's tensor may have more dimensions than the runtime's, and no operator asks for them. */
static tlbc_tensor *tensors_of(tl_arena *a, const ir_tensor *const *t, uint32_t n) {
    tlbc_tensor *out = TL_NEW_ARRAY(a, tlbc_tensor, (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++)
        out[i] = (tlbc_tensor){.data = (void *)(uintptr_t)t[i]->data,
                               .bytes = t[i]->bytes,
                               .dtype = (tlbc_dtype)t[i]->type->dtype,
                               .rank = 1,
                               .dims = {(int64_t)ir_tensor_elements(t[i])}};
    return out;
}

/* False for kinds no function reads: types, dims. */
static bool convert(tl_arena *a, const ir_attr *x, tlbc_rt_attr *y) {
    *y = (tlbc_rt_attr){.name = x->name, .n = 1, .data = &x->v};
    switch (x->kind) {
    case ATTR_INT:
        y->kind = TLBC_RT_INTS;
        return true;
    case ATTR_FLOAT:
        y->kind = TLBC_RT_FLOATS;
        return true;
    case ATTR_STRING:
        y->kind = TLBC_RT_STRINGS;
        return true;
    case ATTR_TENSOR:
        y->kind = TLBC_RT_TENSORS;
        y->data = tensors_of(a, &x->v.t, 1);
        return true;
    case ATTR_INTS:
        *y = (tlbc_rt_attr){x->name, TLBC_RT_INTS, x->n, x->v.ints};
        return true;
    case ATTR_FLOATS:
        *y = (tlbc_rt_attr){x->name, TLBC_RT_FLOATS, x->n, x->v.floats};
        return true;
    case ATTR_STRINGS:
        *y = (tlbc_rt_attr){x->name, TLBC_RT_STRINGS, x->n, x->v.strings};
        return true;
    case ATTR_TENSORS:
        *y = (tlbc_rt_attr){x->name, TLBC_RT_TENSORS, x->n, tensors_of(a, x->v.tensors, x->n)};
        return true;
    case ATTR_TYPE:
    case ATTR_DIMS:
    case ATTR_KIND_COUNT:
        break;
    }
    return false;
}

/* Single values alone: no operator that is called has a list as default. */
static bool convert_default(tl_arena *a, const ir_schema_attr *x, tlbc_rt_attr *y) {
    *y = (tlbc_rt_attr){.name = x->name, .n = 1, .data = &x->value};
    switch (x->type) {
    case IR_SCHEMA_ATTR_INT:
        y->kind = TLBC_RT_INTS;
        return true;
    case IR_SCHEMA_ATTR_FLOAT:
        y->kind = TLBC_RT_FLOATS;
        return true;
    case IR_SCHEMA_ATTR_STRING: {
        tl_sv *s = TL_NEW(a, tl_sv);
        *s = tl_sv_from(x->value.s);
        y->kind = TLBC_RT_STRINGS;
        y->data = s;
        return true;
    }
    default:
        return false;
    }
}

const tlbc_rt_attr *ir_call_attrs(tl_arena *a, const ir_node *n, uint32_t *count) {
    const ir_schema *s = op_schema(n->op);
    attr_list list = {0};
    tlbc_rt_attr attr;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (convert(a, &n->attrs[i], &attr)) tl_vec_push(a, &list, attr);
    for (uint32_t i = 0; s && i < s->n_attrs; i++) {
        const ir_schema_attr *x = &s->attrs[i];
        if (!x->has_default || ir_attr_has(n, x->name)) continue;
        if (convert_default(a, x, &attr)) tl_vec_push(a, &list, attr);
    }
    *count = list.len;
    return list.data;
}
