/* The derivative of each operator. A rule gets operands x, result y and the derivative g of the target by y, and gives that by operand
 * i, still in the shape of the result where operands are broadcast:
 *
 *   Mul:  g * x[1 - i]          Tanh:  g * (1 - y * y)          MatMul, i = 0:  g x[1]^T */
#include "frontend/gradient_rule.h"

#include <math.h>

/* ---- elementwise ------------------------------------------------------------------------------- */

static ir_value *same_rule(const rule *r) {
    return r->g;
}
static ir_value *sub_rule(const rule *r) {
    return r->i ? neg(r, r->g) : r->g;
}
static ir_value *mul_rule(const rule *r) {
    return mul(r, r->g, r->x[1 - r->i]);
}
static ir_value *div_rule(const rule *r) {
    ir_value *d = divide(r, r->g, r->x[1]);
    return r->i ? neg(r, mul(r, d, r->y)) : d;
}
static ir_value *neg_rule(const rule *r) {
    return neg(r, r->g);
}
static ir_value *mean_rule(const rule *r) {
    return divide(r, r->g, number(r, r->n->n_in));
}
static ir_value *exp_rule(const rule *r) {
    return mul(r, r->g, r->y);
}
static ir_value *log_rule(const rule *r) {
    return divide(r, r->g, r->x[0]);
}
static ir_value *sqrt_rule(const rule *r) {
    return divide(r, mul(r, r->g, number(r, 0.5)), r->y);
}
static ir_value *reciprocal_rule(const rule *r) {
    return neg(r, mul(r, r->g, square(r, r->y)));
}
static ir_value *tanh_rule(const rule *r) {
    return mul(r, r->g, sub(r, number(r, 1), square(r, r->y)));
}
static ir_value *sigmoid_rule(const rule *r) {
    return mul(r, r->g, mul(r, r->y, sub(r, number(r, 1), r->y)));
}
static ir_value *relu_rule(const rule *r) {
    return g_where(r, op2(r, OP_Greater, r->x[0], number(r, 0)));
}
static ir_value *leaky_relu_rule(const rule *r) {
    ir_value *slope = number(r, (double)ir_attr_float(r->n, "alpha", 0.01f));
    return select(r, op2(r, OP_Greater, r->x[0], number(r, 0)), r->g, mul(r, r->g, slope));
}
static ir_value *abs_rule(const rule *r) {
    return mul(r, r->g, op1(r, OP_Sign, r->x[0]));
}
static ir_value *sin_rule(const rule *r) {
    return mul(r, r->g, op1(r, OP_Cos, r->x[0]));
}
static ir_value *cos_rule(const rule *r) {
    return neg(r, mul(r, r->g, op1(r, OP_Sin, r->x[0])));
}
static ir_value *softplus_rule(const rule *r) {
    return mul(r, r->g, op1(r, OP_Sigmoid, r->x[0]));
}
/* 2 / sqrt(pi) * exp(-x^2) */
static ir_value *erf_rule(const rule *r) {
    ir_value *bell = op1(r, OP_Exp, neg(r, square(r, r->x[0])));
    return mul(r, r->g, mul(r, bell, number(r, 2 / sqrt(acos(-1)))));
}
/* x0^x1: x1 * x0^(x1 - 1), and y * log(x0). The exponent may have another type. */
static ir_value *pow_rule(const rule *r) {
    if (r->i) return mul(r, r->g, mul(r, r->y, op1(r, OP_Log, r->x[0])));
    ir_value *one = fe_scalar(r->f, r->x[1]->type->dtype, 1);
    ir_value *power = op2(r, OP_Pow, r->x[0], sub(r, r->x[1], one));
    ir_value *factor = fe_build1_int(r->f, OP_Cast, r->x[1], "to", r->g->type->dtype);
    return mul(r, r->g, mul(r, factor, power));
}
/* Of equal operands each gets all. Clip likewise: where x was kept. */
static ir_value *chosen_rule(const rule *r) {
    return g_where(r, op2(r, OP_Equal, r->n->in[r->i].value, r->y));
}
static ir_value *where_rule(const rule *r) {
    ir_value *zero = number(r, 0);
    return r->i == 1 ? select(r, r->x[0], r->g, zero) : select(r, r->x[0], zero, r->g);
}
static ir_value *cast_rule(const rule *r) {
    return fe_build1_int(r->f, OP_Cast, r->g, "to", r->x[0]->type->dtype);
}

/* The distribution function of the normal one and its density, or the hyperbolic tangent in their place. */
static ir_value *gelu_rule(const rule *r) {
    ir_value *x = r->x[0], *half = number(r, 0.5), *one = number(r, 1);
    if (strcmp(ir_attr_string(r->n, "approximate", "none"), "tanh") == 0) {
        ir_value *inner = mul(r, number(r, 0.044715), square(r, x)),
                 *k = number(r, sqrt(2 / acos(-1)));
        ir_value *t = op1(r, OP_Tanh, mul(r, k, mul(r, x, op2(r, OP_Add, one, inner))));
        ir_value *slope = op2(r, OP_Add, one, mul(r, number(r, 3), inner));
        ir_value *bend = mul(r, mul(r, x, k), mul(r, slope, sub(r, one, square(r, t))));
        return mul(r, r->g, mul(r, half, op2(r, OP_Add, op2(r, OP_Add, one, t), bend)));
    }
    ir_value *below = op2(r, OP_Add, one, op1(r, OP_Erf, mul(r, x, number(r, sqrt(0.5)))));
    ir_value *bell = op1(r, OP_Exp, neg(r, mul(r, half, square(r, x))));
    ir_value *density = mul(r, bell, number(r, 1 / sqrt(2 * acos(-1))));
    return mul(r, r->g, op2(r, OP_Add, mul(r, half, below), mul(r, x, density)));
}
static ir_value *is_positive(const rule *r) {
    return op2(r, OP_Greater, r->x[0], number(r, 0));
}
static ir_value *elu_rule(const rule *r) {
    ir_value *slope = mul(r, number(r, (double)ir_attr_float(r->n, "alpha", 1)),
                          op1(r, OP_Exp, r->x[0]));
    return select(r, is_positive(r), r->g, mul(r, r->g, slope));
}
static ir_value *prelu_rule(const rule *r) {
    if (r->i == 0) return select(r, is_positive(r), r->g, mul(r, r->g, r->x[1]));
    return select(r, is_positive(r), number(r, 0), mul(r, r->g, r->x[0]));
}
static ir_value *hard_sigmoid_rule(const rule *r) {
    ir_value *alpha = number(r, (double)ir_attr_float(r->n, "alpha", 0.2f));
    ir_value *inside = op2(r, OP_And, op2(r, OP_Greater, r->y, number(r, 0)),
                           op2(r, OP_Less, r->y, number(r, 1)));
    return select(r, inside, mul(r, r->g, alpha), number(r, 0));
}
static ir_value *softsign_rule(const rule *r) {
    return divide(r, r->g, square(r, op2(r, OP_Add, number(r, 1), op1(r, OP_Abs, r->x[0]))));
}
static ir_value *tan_rule(const rule *r) {
    return mul(r, r->g, op2(r, OP_Add, number(r, 1), square(r, r->y)));
}
static ir_value *sinh_rule(const rule *r) {
    return mul(r, r->g, op1(r, OP_Cosh, r->x[0]));
}
static ir_value *cosh_rule(const rule *r) {
    return mul(r, r->g, op1(r, OP_Sinh, r->x[0]));
}
static ir_value *atan_rule(const rule *r) {
    return divide(r, r->g, op2(r, OP_Add, number(r, 1), square(r, r->x[0])));
}
static ir_value *asin_rule(const rule *r) {
    return divide(r, r->g, op1(r, OP_Sqrt, sub(r, number(r, 1), square(r, r->x[0]))));
}
static ir_value *acos_rule(const rule *r) {
    return neg(r, asin_rule(r));
}

/* ---- products ---------------------------------------------------------------------------------- */

/* The last two dims exchanged. */
static ir_value *turned(const rule *r, ir_value *x) {
    int64_t perm[IR_MAX_RANK];
    int32_t rank = fe_rank(x);
    if (rank < 2) return NULL;
    for (int32_t i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    ir_attr a = {.name = "perm", .kind = ATTR_INTS, .n = (uint32_t)rank, .v.ints = perm};
    return fe_build(r->f, OP_Transpose, &x, 1, &a, 1);
}

static ir_value *with_axis(const rule *r, ir_value *x, int64_t axis) {
    return x ? fe_unsqueeze(r->f, x, &axis, 1) : NULL;
}

/* Vectors as matrices of one row (left) or one column (right). */
static ir_value *matmul_rule(const rule *r) {
    ir_value *a = r->x[0], *b = r->x[1], *g = r->g;
    if (fe_rank(b) == 1) g = with_axis(r, g, -1), b = with_axis(r, b, 1);
    if (fe_rank(a) == 1) g = with_axis(r, g, -2), a = with_axis(r, a, 0);
    ir_value *d = r->i ? op2(r, OP_MatMul, turned(r, a), g) : op2(r, OP_MatMul, g, turned(r, b));
    if (!d || fe_rank(r->x[r->i]) != 1) return d;
    return r->i ? fe_build2(r->f, OP_Squeeze, d, fe_i64s(r->f, (int64_t[]){-1}, 1))
                : fe_build2(r->f, OP_Squeeze, d, fe_i64s(r->f, (int64_t[]){-2}, 1));
}

/* y = alpha A B + beta C with A and B transposed on demand. */
static ir_value *gemm_rule(const rule *r) {
    bool ta = ir_attr_int(r->n, "transA", 0) != 0, tb = ir_attr_int(r->n, "transB", 0) != 0;
    double factor = (double)ir_attr_float(r->n, r->i == 2 ? "beta" : "alpha", 1);
    ir_value *g = factor == 1 ? r->g : mul(r, r->g, number(r, factor));
    if (!g || r->i == 2) return g;
    ir_value *other = r->x[1 - r->i];
    bool turn = r->i ? !ta : !tb;
    if (turn) other = turned(r, other);
    ir_value *d = r->i ? op2(r, OP_MatMul, other, g) : op2(r, OP_MatMul, g, other);
    return d && (r->i ? tb : ta) ? turned(r, d) : d;
}

/* ---- shapes ------------------------------------------------------------------------------------ */

static ir_value *reshape_rule(const rule *r) {
    return fe_reshape_like(r->f, r->g, r->x[0]);
}

static ir_value *transpose_rule(const rule *r) {
    uint32_t count;
    const int64_t *perm = ir_attr_ints(r->n, "perm", &count);
    int64_t inverse[IR_MAX_RANK];
    ir_value *g = r->g;
    if (!perm) return fe_build1(r->f, OP_Transpose, g);
    for (uint32_t i = 0; i < count; i++)
        inverse[perm[i]] = i;
    ir_attr a = {.name = "perm", .kind = ATTR_INTS, .n = count, .v.ints = inverse};
    return fe_build(r->f, OP_Transpose, &g, 1, &a, 1);
}

/* The part of g that operand i has become. */
static ir_value *concat_rule(const rule *r) {
    int64_t axis = ir_attr_int(r->n, "axis", 0), zero = 0;
    ir_value *x = r->n->in[r->i].value, *start = fe_i64s(r->f, &zero, 1);
    if (axis < 0) axis += r->y->type->rank;
    for (uint32_t i = 0; i < r->i; i++)
        start = op2(r, OP_Add, start, dim_of(r, r->n->in[i].value, axis));
    ir_value *in[] = {r->g, start, op2(r, OP_Add, start, dim_of(r, x, axis)),
                      fe_i64s(r->f, &axis, 1)};
    ir_value *part = fe_build(r->f, OP_Slice, in, 4, NULL, 0);
    return part ? fe_reshape_like(r->f, part, x) : NULL;
}

/* Rows that are read several times sum up. */
static ir_value *gather_rule(const rule *r) {
    if (ir_attr_int(r->n, "axis", 0) != 0) return gradient_moved(r);
    ir_value *zero = sub(r, r->x[0], r->x[0]), *at = with_axis(r, r->x[1], -1);
    ir_value *in[] = {zero, at, r->g};
    ir_attr a = {.name = "reduction", .kind = ATTR_STRING, .v.s = tl_sv_from("add")};
    return fe_build(r->f, OP_ScatterND, in, 3, &a, 1);
}

/* ---- reductions -------------------------------------------------------------------------------- */

/* g with the reduced axes as 1 again. */
static ir_value *with_axes(const rule *r) {
    if (ir_attr_int(r->n, "keepdims", 1)) return r->g;
    if (r->x[1]) return op2(r, OP_Unsqueeze, r->g, r->x[1]);
    int64_t ones[IR_MAX_RANK];
    int32_t rank = fe_rank(r->x[0]);
    for (int32_t i = 0; i < rank; i++)
        ones[i] = 1;
    return rank < 0 ? NULL : op2(r, OP_Reshape, r->g, fe_i64s(r->f, ones, (uint32_t)rank));
}

static ir_value *sum_rule(const rule *r) {
    ir_value *g = with_axes(r);
    return g ? fe_build2(r->f, OP_Expand, g, fe_shape(r->f, r->x[0])) : NULL;
}

static ir_value *reduce_mean_rule(const rule *r) {
    ir_value *count = op2(r, OP_Div, op1(r, OP_Size, r->x[0]), op1(r, OP_Size, r->y));
    ir_value *g = sum_rule(r);
    if (!count || !g) return NULL;
    return divide(r, g, fe_build1_int(r->f, OP_Cast, count, "to", g->type->dtype));
}

/* The result with the reduced axes as 1 again. */
static ir_value *result_with_axes(const rule *r) {
    rule of_y = *r;
    of_y.g = r->y;
    return with_axes(&of_y);
}
/* Of equal largest ones each gets the same share. */
static ir_value *reduce_choice_rule(const rule *r) {
    ir_value *is_it = op2(r, OP_Equal, r->x[0], result_with_axes(r));
    ir_value *one = is_it ? fe_build1_int(r->f, OP_Cast, is_it, "to", r->g->type->dtype) : NULL;
    ir_value *in[] = {one, r->x[1]};
    ir_attr keep = {.name = "keepdims", .kind = ATTR_INT, .v.i = 1};
    ir_value *count = one ? fe_build(r->f, OP_ReduceSum, in, r->x[1] ? 2 : 1, &keep, 1) : NULL;
    return count ? mul(r, one, divide(r, with_axes(r), count)) : NULL;
}
static ir_value *reduce_square_rule(const rule *r) {
    return mul(r, mul(r, number(r, 2), r->x[0]), with_axes(r));
}
static ir_value *reduce_l2_rule(const rule *r) {
    return mul(r, divide(r, r->x[0], result_with_axes(r)), with_axes(r));
}
static ir_value *reduce_log_sum_exp_rule(const rule *r) {
    return mul(r, op1(r, OP_Exp, sub(r, r->x[0], result_with_axes(r))), with_axes(r));
}
static ir_value *running_sum_rule(const rule *r) {
    ir_attr a[] = {
        {.name = "exclusive", .kind = ATTR_INT, .v.i = ir_attr_int(r->n, "exclusive", 0)},
        {.name = "reverse", .kind = ATTR_INT, .v.i = !ir_attr_int(r->n, "reverse", 0)}};
    return fe_build(r->f, OP_CumSum, (ir_value *[]){r->g, r->x[1]}, 2, a, 2);
}

static int64_t axis_of(const rule *r) {
    return ir_attr_int(r->n, "axis", -1);
}

static ir_value *softmax_rule(const rule *r) {
    int64_t axis = axis_of(r);
    ir_value *sum = reduce(r, OP_ReduceSum, mul(r, r->g, r->y), &axis, 1, 1);
    return mul(r, r->y, sub(r, r->g, sum));
}

static ir_value *log_softmax_rule(const rule *r) {
    int64_t axis = axis_of(r);
    ir_value *sum = reduce(r, OP_ReduceSum, r->g, &axis, 1, 1);
    return sub(r, r->g, mul(r, op1(r, OP_Exp, r->y), sum));
}

/* ---- the table --------------------------------------------------------------------------------- */

/* clang-format off */
static rule_fn *const rules[OP_COUNT] = {
    [OP_Add] = same_rule, [OP_Sum] = same_rule, [OP_Identity] = same_rule, [OP_Expand] = same_rule,
    [OP_Sub] = sub_rule, [OP_Mul] = mul_rule, [OP_Div] = div_rule, [OP_Neg] = neg_rule, [OP_Mean] = mean_rule,
    [OP_Exp] = exp_rule, [OP_Log] = log_rule, [OP_Sqrt] = sqrt_rule, [OP_Reciprocal] = reciprocal_rule, [OP_Pow] = pow_rule,
    [OP_Tanh] = tanh_rule, [OP_Sigmoid] = sigmoid_rule, [OP_Relu] = relu_rule, [OP_LeakyRelu] = leaky_relu_rule,
    [OP_Abs] = abs_rule, [OP_Sin] = sin_rule, [OP_Cos] = cos_rule, [OP_Softplus] = softplus_rule, [OP_Erf] = erf_rule,
    [OP_Max] = chosen_rule, [OP_Min] = chosen_rule, [OP_Clip] = chosen_rule, [OP_Where] = where_rule, [OP_Cast] = cast_rule,
    [OP_MatMul] = matmul_rule, [OP_Gemm] = gemm_rule,
    [OP_Reshape] = reshape_rule, [OP_Flatten] = reshape_rule, [OP_Squeeze] = reshape_rule, [OP_Unsqueeze] = reshape_rule,
    [OP_Transpose] = transpose_rule, [OP_Concat] = concat_rule, [OP_Gather] = gather_rule,
    [OP_ReduceSum] = sum_rule, [OP_ReduceMean] = reduce_mean_rule,
    [OP_ReduceMax] = reduce_choice_rule, [OP_ReduceMin] = reduce_choice_rule, [OP_ReduceSumSquare] = reduce_square_rule,
    [OP_ReduceL2] = reduce_l2_rule, [OP_ReduceLogSumExp] = reduce_log_sum_exp_rule, [OP_CumSum] = running_sum_rule,
    [OP_Gelu] = gelu_rule, [OP_Elu] = elu_rule, [OP_PRelu] = prelu_rule, [OP_HardSigmoid] = hard_sigmoid_rule,
    [OP_Softsign] = softsign_rule, [OP_Tan] = tan_rule, [OP_Sinh] = sinh_rule, [OP_Cosh] = cosh_rule, [OP_Atan] = atan_rule,
    [OP_Asin] = asin_rule, [OP_Acos] = acos_rule,
    [OP_Conv] = gradient_conv, [OP_AveragePool] = gradient_average_pool, [OP_MaxPool] = gradient_max_pool,
    [OP_GlobalAveragePool] = reduce_mean_rule, [OP_LayerNormalization] = gradient_layer_norm,
    [OP_RMSNormalization] = gradient_layer_norm, [OP_InstanceNormalization] = gradient_instance_norm,
    [OP_BatchNormalization] = gradient_batch_norm,
    [OP_Slice] = gradient_moved, [OP_Pad] = gradient_moved, [OP_Tile] = gradient_moved, [OP_DepthToSpace] = gradient_moved,
    [OP_SpaceToDepth] = gradient_moved, [OP_ReverseSequence] = gradient_moved, [OP_GatherElements] = gradient_moved,
    [OP_GatherND] = gradient_moved, [OP_Compress] = gradient_moved, [OP_Split] = gradient_moved,
    [OP_Softmax] = softmax_rule, [OP_LogSoftmax] = log_softmax_rule,
};
/* clang-format on */

bool gradient_stops(const ir_node *n, uint32_t i) {
    switch (n->op) {
    case OP_Shape:
    case OP_Size:
    case OP_Sign:
    case OP_Floor:
    case OP_Ceil:
    case OP_Round:
    case OP_ConstantOfShape:
    case OP_EyeLike:
        return true;
    case OP_Clip: /* the limits */
    case OP_Pad:  /* what it fills with */
        return i > 0;
    default:
        return false;
    }
}

/* How operand axis i of x came to axis `of` of g: kept, repeated, or only the run knows. */
typedef enum spread { KEPT, REPEATED, UNKNOWN } spread;

static spread spread_of(const ir_dim *x, const ir_dim *g) {
    if (ir_dim_equal(x, g)) return KEPT;
    return ir_dim_is(x, 1) ? REPEATED : UNKNOWN;
}

/* g with each axis of size b that may have been repeated from size a, a = b or a = 1, as two: b / a, which is to be summed, and a. */
static ir_value *split_axes(const rule *r, ir_value *g, ir_value *x) {
    ir_value *dims[2 * IR_MAX_RANK], *one = fe_i64s(r->f, (int64_t[]){1}, 1);
    int32_t missing = fe_rank(g) - fe_rank(x), n = 0;
    for (int32_t i = 0; i < fe_rank(g); i++) {
        ir_value *b = dim_of(r, g, i);
        if (i >= missing && spread_of(x->type->dims[i - missing], g->type->dims[i]) == UNKNOWN) {
            ir_value *a = dim_of(r, x, i - missing);
            dims[n++] = op2(r, OP_Div, b, op2(r, OP_Max, a, one));
            b = a;
        }
        dims[n++] = b;
    }
    return reshape(r, g, dims, (uint32_t)n);
}

/* Sums over the axes along which an operand was repeated. */
static ir_value *unbroadcast(const rule *r, ir_value *g, ir_value *x) {
    int64_t axes[2 * IR_MAX_RANK], at = 0;
    uint32_t n = 0;
    bool split = false;
    if (!g || g->type == x->type) return g;
    if (fe_rank(g) < fe_rank(x) || fe_rank(x) < 0) return NULL;
    int32_t missing = fe_rank(g) - fe_rank(x);
    for (int32_t i = 0; i < fe_rank(g); i++, at++) {
        spread how = i < missing ? REPEATED
                                 : spread_of(x->type->dims[i - missing], g->type->dims[i]);
        if (how != KEPT) axes[n++] = at;
        if (how == UNKNOWN) split = true, at++;
    }
    if (split) g = split_axes(r, g, x);
    if (n) g = reduce(r, OP_ReduceSum, g, axes, n, split ? 0 : 1);
    return g && (missing || split) ? fe_reshape_like(r->f, g, x) : g;
}

ir_value *gradient_of_operand(fe_node *f, const ir_node *n, uint32_t i, uint32_t result,
                              ir_value *g) {
    rule r = {.f = f, .n = n, .i = i, .result = result, .y = (ir_value *)&n->out[result], .g = g};
    for (uint32_t k = 0; k < 3; k++)
        r.x[k] = ir_in(n, k);
    uint32_t errors = f->im->c->diag.n_errors;
    ir_value *d = rules[n->op] && (!result || n->op == OP_Split) ? rules[n->op](&r) : NULL;
    if (d) d = unbroadcast(&r, d, n->in[i].value);
    if (!d && f->im->c->diag.n_errors == errors)
        fe_error(f, "result %u of %s cannot be differentiated by operand %u here", result,
                 op_get(n->op)->name, i);
    return d;
}
