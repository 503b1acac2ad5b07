/* Elementwise operators, casts, softmax, reductions. */
#include "frontend/upgrade.h"

/* Before opset 7 the second operand was not aligned at the last axis, but from `axis` on:
 *   Add<axis=1, broadcast=1>(a: f32[2,3,4,5], b: f32[3,4])  ->  Add(a, Unsqueeze(b, {2})) */
static bool broadcast_from_axis(fe_node *n) {
    int64_t axis = fe_attr_int(n, "axis", -1);
    bool aligned = !fe_find_attr(n, "axis") || !fe_attr_int(n, "broadcast", 0);
    fe_remove_attr(n, "axis");
    fe_remove_attr(n, "broadcast");
    if (aligned) return true;
    int32_t rank_a = fe_rank(fe_in(n, 0)), rank_b = fe_rank(fe_in(n, 1));
    if (rank_a < 0 || rank_b < 0)
        return fe_error(n, "attribute 'axis' needs operands of known rank");
    if (axis < 0) axis += rank_a;
    int64_t missing = rank_a - axis - rank_b;
    if (axis < 0 || missing < 0 || missing > rank_a)
        return fe_error(n, "attribute 'axis' is out of range");
    if (!missing || !rank_b) return true;
    int64_t axes[IR_MAX_RANK];
    for (int32_t i = 0; i < missing; i++)
        axes[i] = rank_b + i;
    ir_value *b = fe_unsqueeze(n, fe_in(n, 1), axes, (uint32_t)missing);
    if (b) fe_set_in(n, 1, b);
    return b != NULL;
}

/* A slope per channel lay along axis 1 before opset 7. */
static bool prelu_channels(fe_node *n) {
    int32_t rank = fe_rank(fe_in(n, 0));
    if (fe_rank(fe_in(n, 1)) != 1 || rank < 3) return true;
    int64_t axes[IR_MAX_RANK];
    for (int32_t i = 0; i < rank - 2; i++)
        axes[i] = i + 1;
    ir_value *slope = fe_unsqueeze(n, fe_in(n, 1), axes, (uint32_t)rank - 2);
    if (slope) fe_set_in(n, 1, slope);
    return slope != NULL;
}

static void limit_to_input(fe_node *n, ir_dtype dtype, const char *name, uint32_t i) {
    const fe_attr *a = fe_find_attr(n, name);
    if (!a) return;
    fe_set_in(n, i, fe_scalar(n, dtype, (double)a->a.v.f));
    fe_remove_attr(n, name);
}

/* Without an attribute opset 6 limited to the largest finite number, which only infinities notice:
 * like every runtime, we do not. */
static bool clip_limits(fe_node *n) {
    ir_dtype dtype;
    if (!fe_in_dtype(n, 0, &dtype)) return false;
    limit_to_input(n, dtype, "min", 1);
    limit_to_input(n, dtype, "max", 2);
    return true;
}

/* Types were spelled out before opset 6. */
static bool cast_by_name(fe_node *n) {
    static const char *const names[] = {
        "",       "FLOAT", "UINT8",   "INT8",   "UINT16", "INT16",  "INT32",     "INT64",
        "STRING", "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128"};
    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++)
        if (fe_attr_is(n, "to", names[i])) {
            fe_set_attr_int(n, "to", (int64_t)i);
            return true;
        }
    return fe_error(n, "attribute 'to' is no element type");
}

static bool cast_like(fe_node *n) {
    const ir_type *t = fe_in(n, 1)->type;
    if (!t || t->kind != IR_TYPE_TENSOR) return fe_error(n, "input 1 is not a tensor");
    fe_set_attr_int(n, "to", t->dtype);
    fe_rename(n, "Cast");
    n->in.len = 1;
    return true;
}

/* Before opset 13 these three saw a matrix: all axes from `axis` on were one.
 *   Softmax<axis=1>(x: f32[2,3,4])  ->  Reshape(Softmax<axis=-1>(Flatten<axis=1>(x)), {2,3,4}) */
static bool softmax_of_matrix(fe_node *n) {
    ir_value *x = fe_in(n, 0);
    int64_t axis = fe_attr_int(n, "axis", 1);
    int32_t rank = fe_rank(x);
    if (rank >= 0 && (axis < -rank || axis > rank))
        return fe_error(n, "attribute 'axis' is %lld, the rank is %d", (long long)axis, rank);
    if (axis == -1 || (rank > 0 && axis == rank - 1)) {
        fe_set_attr_int(n, "axis", -1);
        return true;
    }
    op_id op = fe_op_id(n->im, "", n->op);
    ir_value *y = fe_build1_int(n, op, fe_build1_int(n, OP_Flatten, x, "axis", axis), "axis", -1);
    return fe_finish(n, fe_reshape_like(n, y, x));
}

static bool axes_to_input(fe_node *n) {
    return fe_attr_to_input(n, "axes", 1);
}

/* clang-format off */
/* Before opset 13 of integers too; the result is cut off, as a Cast does. */
static bool erf_of_integers(fe_node *n) {
    ir_dtype t;
    if (!fe_need(n, 1) || !fe_in_dtype(n, 0, &t)) return false;
    if (!ir_dtype_is_int(t)) return true;
    ir_value *y = fe_build1(n, OP_Erf, fe_cast(n, fe_in(n, 0), DT_f64));
    return fe_finish(n, fe_cast(n, y, t));
}

const fe_rule fe_rules_basic[] = {
    {"", "Erf", 13, erf_of_integers, NULL},
    {"", "Add", 7, broadcast_from_axis, NULL},
    {"", "Sub", 7, broadcast_from_axis, NULL},
    {"", "Mul", 7, broadcast_from_axis, NULL},
    {"", "Div", 7, broadcast_from_axis, NULL},
    {"", "Pow", 7, broadcast_from_axis, NULL},
    {"", "And", 7, broadcast_from_axis, NULL},
    {"", "Or", 7, broadcast_from_axis, NULL},
    {"", "Xor", 7, broadcast_from_axis, NULL},
    {"", "Equal", 7, broadcast_from_axis, NULL},
    {"", "Greater", 7, broadcast_from_axis, NULL},
    {"", "Less", 7, broadcast_from_axis, NULL},
    {"", "PRelu", 7, prelu_channels, NULL},
    {"", "Clip", 11, clip_limits, NULL},
    {"", "Cast", 6, cast_by_name, NULL},
    {"", "CastLike", FE_ALWAYS, cast_like, "Cast"},
    {"", "Softmax", 13, softmax_of_matrix, NULL},
    {"", "LogSoftmax", 13, softmax_of_matrix, NULL},
    {"", "Hardmax", 13, softmax_of_matrix, NULL},
    {"", "ReduceL1", 18, axes_to_input, NULL},
    {"", "ReduceL2", 18, axes_to_input, NULL},
    {"", "ReduceLogSum", 18, axes_to_input, NULL},
    {"", "ReduceLogSumExp", 18, axes_to_input, NULL},
    {"", "ReduceMax", 18, axes_to_input, NULL},
    {"", "ReduceMean", 18, axes_to_input, NULL},
    {"", "ReduceMin", 18, axes_to_input, NULL},
    {"", "ReduceProd", 18, axes_to_input, NULL},
    {"", "ReduceSum", 13, axes_to_input, NULL},
    {"", "ReduceSumSquare", 18, axes_to_input, NULL},
    {0},
};
/* clang-format on */
