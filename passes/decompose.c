/* decompose: operators that are defined by simpler ones.
 *
 *   before:  %y = Gemm<transB=1>(%x, @w, @c)        after:  %t = Transpose<perm=[1,0]>(@w)
 *                                                           %m = MatMul(%x, %t)
 *                                                           %y = Add(%m, @c)
 *
 * Everything whose row in ops.def says `decompose` in the lower column, Sum, Mean, Max, Min of other than two operands, and attention that
 * has no kernel. Normalisations
 * compute in f32 where the operands are narrower, as ONNX asks. Where the definitions here differ in rounding from the operator
 * evaluated in one step, they do so by the order of a few operations. */
#include "passes/decompose.h"

#include "ir/limits.h"
#include "passes/short.h"
#include "passes/util.h"

typedef bool decompose_fn(ir_builder *b, ir_node *n);

bool decompose_give(ir_node *n, uint32_t result, ir_value *v) {
    ir_value *out = &n->out[result];
    if (!v->name && v->def) {
        v->name = out->name;
        out->name = NULL;
    }
    ir_value_replace_uses(out, v);
    return true;
}

/* ---- several operands --------------------------------------------------------------------------------------- */

/* From left to right, as the reference does. Types narrower than f32 stay whole: they are rounded once, not at every step. */
static bool decompose_variadic(ir_builder *b, ir_node *n) {
    op_id op = n->op == OP_Sum || n->op == OP_Mean ? OP_Add : n->op;
    ir_value *v = n->in[0].value;
    bool ordered = n->op == OP_Max || n->op == OP_Min; /* never rounds */
    if (n->n_in == 2 && op == n->op) return false;
    if (!ordered && n->n_in > 2 && ir_dtype_compute(v->type->dtype) != v->type->dtype) return false;
    for (uint32_t i = 1; i < n->n_in; i++)
        v = build_op2(b, op, v, n->in[i].value);
    if (n->op == OP_Mean && n->n_in > 1) v = divide(b, v, like(b, v, n->n_in));
    return decompose_give(n, 0, v);
}

/* ---- Gemm --------------------------------------------------------------------------------------------------- */

static ir_value *maybe_transpose(ir_builder *b, const ir_node *n, uint32_t i, const char *attr) {
    ir_value *x = n->in[i].value;
    return ir_attr_int(n, attr, 0) ? build_transpose(b, x, (int64_t[]){1, 0}, 2) : x;
}

static ir_value *maybe_scale(ir_builder *b, const ir_node *n, ir_value *x, const char *attr) {
    float factor = ir_attr_float(n, attr, 1);
    return factor == 1 ? x : mul(b, x, like(b, x, factor));
}

/* Integer matrices with fractional factors have no definition in integers. */
static bool factors_fit(const ir_node *n) {
    float alpha = ir_attr_float(n, "alpha", 1), beta = ir_attr_float(n, "beta", 1);
    return ir_dtype_is_float(n->in[0].value->type->dtype) ||
           (alpha == (float)(int)alpha && beta == (float)(int)beta);
}

static bool decompose_gemm(ir_builder *b, ir_node *n) {
    if (!factors_fit(n)) return false;
    ir_value *x = maybe_transpose(b, n, 0, "transA"), *w = maybe_transpose(b, n, 1, "transB");
    ir_value *y = maybe_scale(b, n, build_op2(b, OP_MatMul, x, w), "alpha");
    if (ir_in(n, 2)) y = add(b, y, maybe_scale(b, n, n->in[2].value, "beta"));
    return decompose_give(n, 0, y);
}

/* ---- normalisations ----------------------------------------------------------------------------------------- */

static ir_value *reduce(ir_builder *b, op_id op, ir_value *x, const int64_t *axes, uint32_t n) {
    return build_op2(b, op, x, build_i64s(b, axes, n));
}

static ir_value *to_compute(ir_builder *b, ir_value *x) {
    return build_cast(b, x, ir_dtype_compute(x->type->dtype));
}

/* A value per channel as [C,1,...,1], in the type the computation has. */
static ir_value *per_channel(ir_builder *b, ir_value *v, ir_dtype t, int32_t rank) {
    int64_t shape[IR_MAX_RANK];
    for (int32_t i = 0; i < rank - 1; i++)
        shape[i] = i ? 1 : -1;
    v = build_cast(b, v, t);
    if (rank <= 2) return v;
    return build_op2(b, OP_Reshape, v, build_i64s(b, shape, (uint32_t)rank - 1));
}

/* (x - mean(x)) / sqrt(variance(x) + epsilon) over the axes. */
static ir_value *standardise(ir_builder *b, ir_value *x, const int64_t *axes, uint32_t n,
                             double epsilon) {
    ir_value *centred = sub(b, x, reduce(b, OP_ReduceMean, x, axes, n));
    ir_value *variance = reduce(b, OP_ReduceMean, mul(b, centred, centred), axes, n);
    ir_value *deviation = build_op1(b, OP_Sqrt, add(b, variance, like(b, x, epsilon)));
    return divide(b, centred, deviation);
}

/* Scale and bias per channel, and back to the operand's type. */
static bool give_affine(ir_builder *b, ir_node *n, ir_value *y, int32_t rank) {
    ir_dtype t = y->type->dtype;
    y = mul(b, y, per_channel(b, n->in[1].value, t, rank));
    y = add(b, y, per_channel(b, n->in[2].value, t, rank));
    return decompose_give(n, 0, build_cast(b, y, n->in[0].value->type->dtype));
}

static bool decompose_instance_norm(ir_builder *b, ir_node *n) {
    const ir_type *t = n->in[0].value->type;
    int64_t axes[IR_MAX_RANK];
    if (!ir_type_is_ranked(t) || t->rank < 3) return false;
    for (int32_t i = 2; i < t->rank; i++)
        axes[i - 2] = i;
    ir_value *x = to_compute(b, n->in[0].value);
    float epsilon = ir_attr_float(n, "epsilon", 1e-5f);
    return give_affine(b, n, standardise(b, x, axes, (uint32_t)t->rank - 2, epsilon), t->rank);
}

static bool decompose_group_norm(ir_builder *b, ir_node *n) {
    const ir_type *t = n->in[0].value->type;
    int64_t groups = ir_attr_int(n, "num_groups", 0);
    if (!ir_type_is_ranked(t) || t->rank < 2 || groups < 1) return false;
    if (!can_build_type(b, t)) return false;
    ir_value *x = to_compute(b, n->in[0].value);
    ir_value *rows = build_op2(b, OP_Reshape, x, build_i64s(b, (int64_t[]){0, groups, -1}, 3));
    float epsilon = ir_attr_float(n, "epsilon", 1e-5f);
    ir_value *y = standardise(b, rows, (int64_t[]){2}, 1, epsilon);
    return give_affine(b, n, build_reshape_as(b, y, t), t->rank);
}

/* y = x * factor + (bias - mean * factor) with factor = scale / sqrt(variance + epsilon): constants fold to two vectors. */
static bool normalise_batch(ir_builder *b, ir_node *n, ir_value *x, ir_value *mean,
                            ir_value *variance) {
    int32_t rank = x->type->rank;
    ir_dtype t = x->type->dtype;
    ir_value *scale = build_cast(b, n->in[1].value, t), *bias = build_cast(b, n->in[2].value, t);
    ir_value *shifted = add(b, variance, like(b, variance, ir_attr_float(n, "epsilon", 1e-5f)));
    ir_value *factor = divide(b, scale, build_op1(b, OP_Sqrt, shifted));
    ir_value *offset = sub(b, bias, mul(b, mean, factor));
    ir_value *y = mul(b, x, per_channel(b, factor, t, rank));
    y = add(b, y, per_channel(b, offset, t, rank));
    return decompose_give(n, 0, build_cast(b, y, n->in[0].value->type->dtype));
}

/* momentum * old + (1 - momentum) * batch's */
static ir_value *running(ir_builder *b, const ir_node *n, ir_value *old, ir_value *now) {
    double momentum = ir_attr_float(n, "momentum", 0.9f);
    ir_value *x = build_cast(b, old, now->type->dtype);
    x = mul(b, x, like(b, now, momentum));
    ir_value *y = add(b, x, mul(b, now, like(b, now, 1 - momentum)));
    return build_cast(b, y, old->type->dtype);
}

/* Statistics of the batch over all axes but the channels'; flat vectors of C. */
static void batch_statistics(ir_builder *b, ir_value *x, ir_value **mean, ir_value **variance) {
    int64_t axes[IR_MAX_RANK];
    uint32_t n = 0;
    for (int32_t i = 0; i < x->type->rank; i++)
        if (i != 1) axes[n++] = i;
    ir_value *m = reduce(b, OP_ReduceMean, x, axes, n), *centred = sub(b, x, m);
    ir_value *v = reduce(b, OP_ReduceMean, mul(b, centred, centred), axes, n);
    ir_value *flat = build_i64s(b, (int64_t[]){-1}, 1);
    *mean = build_op2(b, OP_Reshape, m, flat);
    *variance = build_op2(b, OP_Reshape, v, flat);
}

static bool decompose_batch_norm(ir_builder *b, ir_node *n) {
    const ir_type *t = n->in[0].value->type;
    if (!ir_type_is_ranked(t) || t->rank < 2) return false;
    ir_value *x = to_compute(b, n->in[0].value), *mean, *variance;
    if (!ir_attr_int(n, "training_mode", 0)) {
        mean = build_cast(b, n->in[3].value, x->type->dtype);
        variance = build_cast(b, n->in[4].value, x->type->dtype);
        return normalise_batch(b, n, x, mean, variance);
    }
    batch_statistics(b, x, &mean, &variance);
    if (n->n_out > 1) decompose_give(n, 1, running(b, n, n->in[3].value, mean));
    if (n->n_out > 2) decompose_give(n, 2, running(b, n, n->in[4].value, variance));
    return normalise_batch(b, n, x, mean, variance);
}

/* x / norm(x) along an axis; rows of zeros stay zeros. */
static bool decompose_lp_norm(ir_builder *b, ir_node *n) {
    int64_t axis = ir_attr_int(n, "axis", -1), p = ir_attr_int(n, "p", 2);
    if (p != 1 && p != 2) return false;
    ir_value *x = to_compute(b, n->in[0].value);
    ir_value *norm = reduce(b, p == 1 ? OP_ReduceL1 : OP_ReduceL2, x, &axis, 1);
    ir_value *is_zero = build_op2(b, OP_Equal, norm, like(b, x, 0));
    ir_value *y = divide(b, x, build_op3(b, OP_Where, is_zero, like(b, x, 1), norm));
    return decompose_give(n, 0, build_cast(b, y, n->in[0].value->type->dtype));
}

static bool decompose_mean_variance_norm(ir_builder *b, ir_node *n) {
    static const int64_t default_axes[] = {0, 2, 3};
    uint32_t n_axes;
    const int64_t *axes = ir_attr_ints(n, "axes", &n_axes);
    if (!axes) axes = default_axes, n_axes = 3;
    ir_value *x = to_compute(b, n->in[0].value);
    ir_value *centred = sub(b, x, reduce(b, OP_ReduceMean, x, axes, n_axes));
    ir_value *variance = reduce(b, OP_ReduceMean, mul(b, centred, centred), axes, n_axes);
    ir_value *deviation = build_op1(b, OP_Sqrt, variance);
    deviation = add(b, deviation, like(b, x, 1e-9));
    ir_value *y = divide(b, centred, deviation);
    return decompose_give(n, 0, build_cast(b, y, n->in[0].value->type->dtype));
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static decompose_fn *const definitions[OP_COUNT] = {
    [OP_Sum] = decompose_variadic,
    [OP_Mean] = decompose_variadic,
    [OP_Max] = decompose_variadic,
    [OP_Min] = decompose_variadic,
    [OP_Gemm] = decompose_gemm,
    [OP_Conv] = decompose_conv,
    [OP_InstanceNormalization] = decompose_instance_norm,
    [OP_GroupNormalization] = decompose_group_norm,
    [OP_BatchNormalization] = decompose_batch_norm,
    [OP_LpNormalization] = decompose_lp_norm,
    [OP_MeanVarianceNormalization] = decompose_mean_variance_norm,
    [OP_DepthToSpace] = decompose_depth_to_space,
    [OP_SpaceToDepth] = decompose_space_to_depth,
    [OP_Attention] = decompose_attention,
    [OP_HannWindow] = decompose_window,
    [OP_HammingWindow] = decompose_window,
    [OP_BlackmanWindow] = decompose_window,
    [OP_Einsum] = decompose_einsum,
    [OP_CausalConvWithState] = decompose_causal_conv,
    [OP_RotaryEmbedding] = decompose_rotary,
    [OP_LinearAttention] = decompose_linear_attention,
    [OP_QuantizeLinear] = decompose_quantize,
    [OP_DequantizeLinear] = decompose_dequantize,
    [OP_MatMulInteger] = decompose_matmul_integer,
    [OP_ConvInteger] = decompose_conv_integer,
    [OP_NegativeLogLikelihoodLoss] = decompose_class_loss,
    [OP_SoftmaxCrossEntropyLoss] = decompose_class_loss,
    [OP_GlobalAveragePool] = decompose_global_pool,
    [OP_GlobalMaxPool] = decompose_global_pool,
    [OP_GlobalLpPool] = decompose_global_pool,
    [OP_MaxUnpool] = decompose_max_unpool,
    [OP_AffineGrid] = decompose_affine_grid,
    [OP_CenterCropPad] = decompose_center_crop_pad,
    [OP_LRN] = decompose_lrn,
    [OP_ConvTranspose] = decompose_conv_transpose,
    [OP_DeformConv] = decompose_deform_conv,
    [OP_Resize] = decompose_by_parts,
    [OP_GridSample] = decompose_by_parts,
    [OP_Col2Im] = decompose_col2im,
};

bool decompose_node(ir_builder *b, ir_node *n, bool strict) {
    decompose_fn *fn = definitions[n->op];
    if (strict && n->op == OP_Einsum) fn = decompose_einsum_strict;
    return fn && fn(b, n);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    const char *name = op_get(n->op)->name;
    if (!definitions[n->op] || !ctx_may(ctx, name)) return PASS_SAME;
    ir_builder b = ir_build_before(n);
    b.sizes = n;
    if (!decompose_node(&b, n, pass_get_math(ctx->options) == PASS_MATH_STRICT)) return PASS_SAME;
    ctx_take(ctx, name);
    ir_node_remove(n);
    return PASS_CHANGED;
}

pass_result pass_decompose(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
