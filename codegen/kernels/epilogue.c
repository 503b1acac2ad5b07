/* See epilogue.h. */
#include "codegen/kernels/epilogue.h"

#include "ir/limits.h"

void cg_epilogue_read(cg_epilogue *e, cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    const ir_region *r = ir_node_find_region(n, "epilogue");
    *e = (cg_epilogue){0};
    if (!r || ir_region_result(r, 0) == r->params[0]) return;
    e->region = r;
    for (uint32_t i = 2; i < n->n_in; i++, e->n++) {
        ir_value *v = e->values[e->n] = ir_in(n, i);
        if (!cg_is_literal(v))
            e->views[e->n] = cg_view_broadcast(g, cg_read(g, v), t->rank, t->dims);
    }
}

static const cg_view *flatten(cg *g, const cg_view *v) {
    const ir_dim *dims[3] = {v->dims[0], v->dims[1], cg_dims_product(g, v->dims + 2, v->rank - 2)};
    const cg_view *flat = cg_view_reshape(g, v, 3, dims);
    return flat ? flat : cg_view_reshape(g, cg_materialise(g, v), 3, dims);
}

void cg_epilogue_flatten(cg_epilogue *e, cg *g) {
    for (uint32_t i = 0; i < e->n; i++)
        if (e->views[i]) e->views[i] = flatten(g, e->views[i]);
}

void cg_epilogue_bind(cg_epilogue *e, cg_kernel *k) {
    for (uint32_t i = 0; i < e->n; i++)
        if (e->views[i]) e->pointers[i] = cg_kernel_in(k, e->views[i], false);
}

lp_value *cg_epilogue_apply(const cg_epilogue *e, cg_kernel *k, unsigned lanes, lp_value *const *at,
                            int32_t axis, lp_value *sum) {
    lp_value *params[CG_MAX_NEST_VIEWS + 1] = {sum};
    if (!e->region) return sum;
    for (uint32_t i = 0; i < e->n; i++) {
        const cg_view *v = e->views[i];
        params[i + 1] = v ? cg_load(&k->b, v->dtype, lanes, e->pointers[i], at[i],
                                    cg_kernel_dim(k, v->strides[axis]))
                          : cg_const_value(&k->b, e->values[i], lanes);
    }
    cg_emit_body(&k->b, lanes, k->g->arena, e->region, params, &sum);
    return sum;
}

bool cg_epilogue_is_short(const cg_epilogue *e) {
    enum { SHORT = 5 };
    unsigned count = 0;
    if (!e->region) return true;
    ir_for_each_node (n, e->region) {
        bool simple = n->op == OP_Add || n->op == OP_Mul || n->op == OP_Sub || n->op == OP_Relu ||
                      n->op == OP_Clip || n->op == OP_Max || n->op == OP_Min;
        if (!simple || ++count > SHORT) return false;
    }
    return true;
}
