/* Operators on images in simpler terms (see decompose.c):
 *
 *   %y = GlobalAveragePool(%x)   f32[N,C,H,W]   ->   ReduceMean(%x, {2, 3})
 *   %y = MaxUnpool(%x, %i)                      ->   ScatterElements(zeros, %i, %x) over all elements in a row, reshaped */
#include "passes/decompose.h"

#include "ir/limits.h"
#include "passes/util.h"

static ir_value *like(ir_builder *b, const ir_value *x, double c) {
    return build_scalar(b, x->type->dtype, c);
}

/* ---- pooling ------------------------------------------------------------------------------------------------------- */

static ir_value *p_norm(ir_builder *b, ir_value *x, ir_value *axes, int64_t p) {
    if (p == 1) return build_op2(b, OP_ReduceL1, x, axes);
    if (p == 2) return build_op2(b, OP_ReduceL2, x, axes);
    ir_dtype t = x->type->dtype;
    x = build_op1(b, OP_Abs, build_cast(b, x, ir_dtype_compute(t)));
    ir_value *powers = build_op2(b, OP_Pow, x, like(b, x, (double)p)),
             *sum = build_op2(b, OP_ReduceSum, powers, axes);
    return build_cast(b, build_op2(b, OP_Pow, sum, like(b, x, 1 / (double)p)), t);
}

bool decompose_global_pool(ir_builder *b, ir_node *n) {
    ir_value *x = n->in[0].value;
    int64_t axes[IR_MAX_RANK], p = ir_attr_int(n, "p", 2);
    if (!ir_type_is_ranked(x->type) || x->type->rank < 2) return false;
    uint32_t n_axes = (uint32_t)x->type->rank - 2;
    if (!n_axes)
        return decompose_give(n, 0, n->op == OP_GlobalLpPool ? build_op1(b, OP_Abs, x) : x);
    for (uint32_t i = 0; i < n_axes; i++)
        axes[i] = i + 2;
    ir_value *list = build_i64s(b, axes, n_axes);
    if (n->op == OP_GlobalLpPool) return decompose_give(n, 0, p_norm(b, x, list, p));
    op_id op = n->op == OP_GlobalMaxPool ? OP_ReduceMax : OP_ReduceMean;
    return decompose_give(n, 0, build_op2(b, op, x, list));
}

/* ---- MaxUnpool ----------------------------------------------------------------------------------------------------- */

/* What was pooled: the result's type but for an output_shape that is larger. */
static void pooled_sizes(ir_ctx *c, const ir_node *n, const ir_type *x, const ir_dim **dims) {
    uint32_t count, axes = (uint32_t)x->rank - 2;
    const int64_t *kernel = ir_attr_ints(n, "kernel_shape", &count),
                  *strides = ir_attr_ints(n, "strides", &count),
                  *pads = ir_attr_ints(n, "pads", &count);
    dims[0] = x->dims[0], dims[1] = x->dims[1];
    for (uint32_t i = 0; i < axes; i++) {
        int64_t padding = pads ? pads[i] + pads[axes + i] : 0;
        const ir_dim *steps = ir_dim_sub(c, x->dims[2 + i], ir_dim_const(c, 1)),
                     *reach = ir_dim_mul(c, steps, ir_dim_const(c, strides ? strides[i] : 1)),
                     *size = ir_dim_add(c, reach, ir_dim_const(c, kernel[i] - padding));
        dims[2 + i] = ir_dim_max(c, size, ir_dim_const(c, 0));
    }
}

/* Zeros behind every axis, up to these sizes. */
static ir_value *extend(ir_builder *b, ir_value *x, const ir_dim *const *sizes) {
    const ir_dim *pads[2 * IR_MAX_RANK];
    int32_t rank = x->type->rank;
    bool same = true;
    for (int32_t i = 0; i < rank; i++) {
        pads[i] = ir_dim_const(b->m->ctx, 0);
        pads[rank + i] = ir_dim_sub(b->m->ctx, sizes[i], x->type->dims[i]);
        same = same && ir_dim_is(pads[rank + i], 0);
    }
    return same ? x : build_op2(b, OP_Pad, x, build_dims(b, pads, 2 * (uint32_t)rank));
}

bool decompose_max_unpool(ir_builder *b, ir_node *n) {
    ir_ctx *c = b->m->ctx;
    ir_value *x = n->in[0].value;
    const ir_graph *g = b->region->graph;
    const ir_type *t = n->out[0].type;
    const ir_dim *sizes[IR_MAX_RANK];
    const ir_type *it = n->in[1].value->type;
    if (!type_is_computable(g, x->type) || !type_is_computable(g, t) || !type_is_computable(g, it))
        return false;
    pooled_sizes(c, n, x->type, sizes);
    if (!dims_are_computable(g, sizes, (uint32_t)t->rank)) return false;
    const ir_dim *total = ir_dim_const(c, 1);
    for (int32_t i = 0; i < t->rank; i++)
        total = ir_dim_mul(c, total, sizes[i]);
    ir_value *zeros = build_op2(b, OP_Expand, like(b, x, 0), build_dims(b, &total, 1));
    const ir_dim *counts[] = {ir_type_elements(c, it), ir_type_elements(c, x->type)};
    ir_value *indices = build_reshape(b, n->in[1].value, &counts[0], 1),
             *values = build_reshape(b, x, &counts[1], 1);
    ir_value *y = build_op3(b, OP_ScatterElements, zeros, indices, values);
    y = build_reshape(b, y, sizes, (uint32_t)t->rank);
    return decompose_give(n, 0, extend(b, y, t->dims));
}
