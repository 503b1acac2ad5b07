/* Constant nodes: no node in the module, but one of its constants. */
#include "frontend/fe.h"

static const ir_tensor *number_list(fe_node *n, ir_dtype dtype, const fe_attr *a, int32_t rank) {
    int64_t count = rank ? a->a.n : 1;
    const ir_type *type = ir_type_tensor_static(n->im->c, dtype, rank, &count);
    ir_tensor *t = ir_tensor_alloc(n->im->s->arena, type);
    if (dtype == DT_f32) {
        float *p = ir_tensor_data(t);
        for (int64_t i = 0; i < count; i++)
            p[i] = rank ? a->a.v.floats[i] : a->a.v.f;
    } else {
        int64_t *p = ir_tensor_data(t);
        for (int64_t i = 0; i < count; i++)
            p[i] = rank ? a->a.v.ints[i] : a->a.v.i;
    }
    ir_tensor_seal(t);
    return t;
}

static const ir_tensor *string_list(fe_node *n, const tl_sv *items, uint32_t count, int32_t rank) {
    int64_t dim = count;
    const ir_type *type = ir_type_tensor_static(n->im->c, DT_str, rank, &dim);
    ir_tensor *t = ir_tensor_alloc(n->im->s->arena, type);
    if (count) memcpy(ir_tensor_data(t), items, count * sizeof *items);
    ir_tensor_seal(t);
    return t;
}

static const ir_tensor *attribute_tensor(fe_node *n, const fe_attr *a) {
    switch (a->a.kind) {
    case ATTR_TENSOR:
        return a->a.v.t;
    case ATTR_FLOAT:
        return number_list(n, DT_f32, a, 0);
    case ATTR_FLOATS:
        return number_list(n, DT_f32, a, 1);
    case ATTR_INT:
        return number_list(n, DT_i64, a, 0);
    case ATTR_INTS:
        return number_list(n, DT_i64, a, 1);
    case ATTR_STRING:
        return string_list(n, &a->a.v.s, 1, 0);
    case ATTR_STRINGS:
        return string_list(n, a->a.v.strings, a->a.n, 1);
    default:
        return NULL;
    }
}

bool fe_constant_node(fe_node *n) {
    if (n->attrs.len != 1 || n->attrs.data[0].graph || n->n_out != 1)
        return diag_error(&n->im->c->diag, n->loc,
                          "a Constant has one value and one output, this one "
                          "has %u and %u",
                          n->attrs.len, n->n_out);
    const ir_tensor *t = attribute_tensor(n, &n->attrs.data[0]);
    if (!t)
        return diag_error(&n->im->c->diag, n->loc, "attribute '%s' is no value for a Constant",
                          n->attrs.data[0].a.name);
    n->out[0] = ir_module_const(n->im->m, t, fe_unique_const_name(n->im, n->out_names[0]));
    n->done = true;
    return true;
}
