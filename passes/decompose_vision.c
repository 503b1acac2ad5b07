/* Operators on images in simpler terms (see decompose.c):
 *
 *   %y = GlobalAveragePool(%x)   f32[N,C,H,W]   ->   ReduceMean(%x, {2, 3})
 *   %y = LRN(%x)                                ->   %x / (bias + alpha * AveragePool(%x * %x over channels))^beta
 *   %y = AffineGrid(%theta, {N,C,H,W})          ->   a matrix of all points' coordinates, times %theta
 *   %y = CenterCropPad(%x, {H,W})               ->   Pad(%x) by positive or negative amounts
 *   %y = MaxUnpool(%x, %i)                      ->   ScatterElements(zeros, %i, %x) over all elements in a row, reshaped */
#include "passes/decompose.h"

#include "ir/limits.h"
#include "passes/short.h"
#include "passes/util.h"

/* 0, 1, 2, ... as numbers of this type, along axis `axis` of `rank`. */
static ir_value *count_along(ir_builder *b, const ir_dim *n, ir_dtype t, uint32_t axis,
                             uint32_t rank) {
    ir_value *zero = build_scalar(b, DT_i64, 0), *one = build_scalar(b, DT_i64, 1);
    ir_value *v = build_op3(b, OP_Range, zero, build_dim_scalar(b, n), one);
    const ir_dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = i == axis ? n : ir_dim_const(b->m->ctx, 1);
    return build_reshape(b, build_cast(b, v, t), dims, rank);
}

/* The values side by side in a new last axis. */
static ir_value *stack_last(ir_builder *b, ir_value *const *v, uint32_t n) {
    ir_value *parts[IR_MAX_RANK];
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = -1};
    for (uint32_t i = 0; i < n; i++)
        parts[i] = build_op2(b, OP_Unsqueeze, v[i], build_i64s(b, (int64_t[]){-1}, 1));
    return &build_node(b, OP_Concat, parts, n, 1, &axis, 1)->out[0];
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
    const ir_type *t = n->out[0].type;
    const ir_dim *sizes[IR_MAX_RANK];
    const ir_type *it = n->in[1].value->type;
    if (!can_build_type(b, x->type) || !can_build_type(b, t) || !can_build_type(b, it))
        return false;
    pooled_sizes(c, n, x->type, sizes);
    if (!can_build_dims(b, sizes, (uint32_t)t->rank)) return false;
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

/* ---- AffineGrid ------------------------------------------------------------------------------------------------------- */

/* Coordinates of the elements of an axis: from -1 to 1 at the centres of the corners or at their outer edges. */
static ir_value *axis_coordinates(ir_builder *b, ir_dtype t, const ir_dim *n, bool align,
                                  uint32_t axis, uint32_t rank) {
    ir_ctx *c = b->m->ctx;
    ir_value *i = count_along(b, n, t, axis, rank);
    const ir_dim *parts = align ? ir_dim_sub(c, n, ir_dim_const(c, 1)) : n;
    ir_value *steps = build_cast(b, build_dim_scalar(b, ir_dim_max(c, parts, ir_dim_const(c, 1))),
                                 t);
    ir_value *twice = mul(b, i, like(b, i, 2));
    if (!align) twice = add(b, twice, like(b, i, 1));
    return sub(b, divide(b, twice, steps), like(b, i, 1));
}

/* [1, x, y, ...] by the rows of theta: a product with the points as rows. */
bool decompose_affine_grid(ir_builder *b, ir_node *n) {
    ir_value *theta = n->in[0].value, *columns[IR_MAX_RANK];
    const ir_type *out = n->out[0].type;
    ir_dtype t = ir_dtype_compute(theta->type->dtype);
    if (!can_build_type(b, out) || !can_build_type(b, theta->type)) return false;
    uint32_t axes = (uint32_t)out->rank - 2;
    const ir_dim *const *sizes = out->dims + 1;
    bool align = ir_attr_int(n, "align_corners", 0);
    for (uint32_t i = 0; i < axes; i++) { /* the last axis comes first */
        uint32_t axis = axes - 1 - i;
        ir_value *v = axis_coordinates(b, t, sizes[axis], align, axis, axes);
        columns[i] = build_op2(b, OP_Expand, v, build_dims(b, sizes, axes));
    }
    columns[axes] = build_op2(b, OP_Expand, build_scalar(b, t, 1), build_dims(b, sizes, axes));
    ir_value *points = stack_last(b, columns, axes + 1);
    const ir_dim *rows[] = {ir_dim_const(b->m->ctx, 1), ir_dim_const(b->m->ctx, axes + 1)};
    for (uint32_t i = 0; i < axes; i++)
        rows[0] = ir_dim_mul(b->m->ctx, rows[0], sizes[i]);
    points = build_reshape(b, points, rows, 2);
    ir_value *by_column = build_transpose(b, build_cast(b, theta, t), (int64_t[]){0, 2, 1}, 3);
    ir_value *y = build_op2(b, OP_MatMul, points, by_column);
    y = build_cast(b, y, theta->type->dtype);
    return decompose_give(n, 0, build_reshape(b, y, out->dims, axes + 2));
}

/* ---- CenterCropPad ---------------------------------------------------------------------------------------------------- */

/* Pads, or crops where they are below 0: half of the difference, rounded toward 0, in front. */
bool decompose_center_crop_pad(ir_builder *b, ir_node *n) {
    ir_ctx *c = b->m->ctx;
    ir_value *x = n->in[0].value;
    const ir_type *in = x->type, *out = n->out[0].type;
    const ir_dim *pads[2 * IR_MAX_RANK], *zero = ir_dim_const(c, 0), *two = ir_dim_const(c, 2);
    if (!can_build_type(b, in) || !can_build_type(b, out) || 2 * out->rank > IR_MAX_RANK * 2)
        return false;
    for (int32_t i = 0; i < out->rank; i++) {
        const ir_dim *more = ir_dim_sub(c, out->dims[i], in->dims[i]),
                     *less = ir_dim_sub(c, zero, more);
        pads[i] = ir_dim_sub(c, ir_dim_floordiv(c, ir_dim_max(c, more, zero), two),
                             ir_dim_floordiv(c, ir_dim_max(c, less, zero), two));
        pads[out->rank + i] = ir_dim_sub(c, more, pads[i]);
    }
    if (!can_build_dims(b, pads, 2 * (uint32_t)out->rank)) return false;
    ir_value *list = build_dims(b, pads, 2 * (uint32_t)out->rank);
    return decompose_give(n, 0, build_op2(b, OP_Pad, x, list));
}

/* ---- LRN -------------------------------------------------------------------------------------------------------------- */

/* The sum over neighbouring channels is a pooling over [N,1,C,plane]. */
bool decompose_lrn(ir_builder *b, ir_node *n) {
    ir_ctx *c = b->m->ctx;
    const ir_type *t = n->in[0].value->type;
    int64_t size = ir_attr_int(n, "size", 0);
    if (!can_build_type(b, t) || t->rank < 2 || size < 1) return false;
    ir_value *x = build_cast(b, n->in[0].value, ir_dtype_compute(t->dtype));
    const ir_dim *flat[] = {t->dims[0], ir_dim_const(c, 1), t->dims[1], ir_dim_const(c, 1)};
    for (int32_t i = 2; i < t->rank; i++)
        flat[3] = ir_dim_mul(c, flat[3], t->dims[i]);
    ir_value *squares = build_reshape(b, mul(b, x, x), flat, 4);
    int64_t kernel[] = {size, 1}, pads[] = {(size - 1) / 2, 0, size / 2, 0};
    ir_attr attrs[] = {{.name = "kernel_shape", .kind = ATTR_INTS, .n = 2, .v.ints = kernel},
                       {.name = "pads", .kind = ATTR_INTS, .n = 4, .v.ints = pads},
                       {.name = "count_include_pad", .kind = ATTR_INT, .v.i = 1}};
    ir_value *mean = &build_node(b, OP_AveragePool, &squares, 1, 1, attrs, 3)->out[0];
    mean = build_reshape(b, mean, t->dims, (uint32_t)t->rank);
    ir_value *scaled = mul(b, mean, like(b, x, ir_attr_float(n, "alpha", 1e-4f)));
    ir_value *base = add(b, scaled, like(b, x, ir_attr_float(n, "bias", 1)));
    ir_value *power = build_op2(b, OP_Pow, base, like(b, x, ir_attr_float(n, "beta", 0.75f)));
    return decompose_give(n, 0, build_cast(b, divide(b, x, power), t->dtype));
}

/* ---- Col2Im -------------------------------------------------------------------------------------------------------- */

/* Of bools a count of those that are true; of complex numbers each part; the rest has a nest of its own. */
bool decompose_col2im(ir_builder *b, ir_node *n) {
    ir_value *in[] = {n->in[0].value, n->in[1].value, n->in[2].value};
    if (in[0]->type->dtype != DT_bool) return decompose_by_parts(b, n);
    in[0] = build_cast(b, in[0], DT_i32);
    ir_value *count = build_node(b, OP_Col2Im, in, 3, 1, n->attrs, n->n_attrs)->out;
    return decompose_give(n, 0, build_cast(b, count, DT_bool));
}
