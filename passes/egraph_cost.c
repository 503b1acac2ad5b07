/* What a node costs: cycles of one core, roughly. Only the order of forms of one computation matters, so the numbers are round ones, for a
 * processor with 8 lanes and two multiply-adds a cycle:
 *
 *   products, convolutions, attention   32 operations a cycle (ir/cost.h counts them), and their results written
 *   elementwise                         an operation takes 1/4 of a cycle an element, a division 1, exp and its kin 2
 *   along rows                          Softmax 3 cycles an element, normalisation 2 and 1/8 for a scale or bias that is more than 1 or 0
 *   views                               nothing but their overhead; a Transpose may have to be written, half a cycle an element
 *   other movement                      half a cycle an element
 *   every node                          30 cycles of overhead, a view 2
 *   a constant                          its bytes, 16 a cycle, once however many nodes read it
 *
 * Elements wider or narrower than f32 count in proportion. Sizes that only the run knows count as 64. */
#include "ir/cost.h"
#include "passes/egraph.h"

enum { USUAL_SIZE = 64 };

/* ---- sizes ---------------------------------------------------------------------------------------------------- */

static bool usual_size(void *data, const char *symbol, int64_t *value) {
    (void)data, (void)symbol;
    *value = USUAL_SIZE;
    return true;
}

static double size_of(const ir_dim *d) {
    int64_t v;
    if (ir_dim_is_unknown(d) || !ir_dim_eval(d, usual_size, NULL, &v)) return USUAL_SIZE;
    return v > 0 ? (double)v : 0;
}

static double elements(const ir_type *t) {
    double n = 1;
    if (!ir_type_is_ranked(t)) return USUAL_SIZE;
    for (int32_t i = 0; i < t->rank; i++)
        n *= size_of(t->dims[i]);
    return n;
}

/* Elements as if they were f32. */
static double words(const ir_type *t) {
    double bits = ir_type_is_tensor(t) ? ir_dtype_bits(t->dtype) : 32;
    return elements(t) * (bits ? bits : 64) / 32;
}

static double result_words(const ir_node *n) {
    double sum = 0;
    for (uint32_t i = 0; i < n->n_out; i++)
        sum += words(n->out[i].type);
    return sum;
}

/* ---- kinds of nodes ------------------------------------------------------------------------------------------- */

/* Cycles an element of an elementwise operator. */
static double scalar_cycles(op_id op) {
    switch (op) {
    case OP_Div:
    case OP_Sqrt:
    case OP_Reciprocal:
    case OP_Mod:
        return 1;
    case OP_Exp:
    case OP_Log:
    case OP_Tanh:
    case OP_Sigmoid:
    case OP_Erf:
    case OP_Gelu:
    case OP_Pow:
    case OP_Sin:
    case OP_Cos:
    case OP_Softplus:
    case OP_Mish:
    case OP_Swish:
    case OP_Elu:
    case OP_Selu:
    case OP_Celu:
        return 2;
    default:
        return 0.25;
    }
}

static bool is_neutral(const ir_value *v, double x) {
    return !v || ir_value_is_splat(v, x);
}

/* An operand that is read once a row, unless it does nothing. */
static double affine_cycles(const ir_node *n) {
    return (is_neutral(ir_in(n, 1), 1) ? 0 : 0.125) + (is_neutral(ir_in(n, 2), 0) ? 0 : 0.125);
}

static double moving_cycles(const ir_node *n) {
    if (n->op == OP_Transpose) return 0.5 * result_words(n);
    if (op_is(n->op, OP_VIEW)) return 0;
    return 0.5 * result_words(n);
}

static bool is_reduction(op_id op) {
    return op == OP_ReduceSum || op == OP_ReduceMean || op == OP_ReduceMax || op == OP_ReduceMin ||
           op == OP_ReduceProd || op == OP_ReduceSumSquare || op == OP_ReduceL2 ||
           op == OP_ReduceL1;
}

static double row_cycles(const ir_node *n) {
    switch (n->op) {
    case OP_Softmax:
    case OP_LogSoftmax:
        return 3 * result_words(n);
    case OP_LayerNormalization:
    case OP_RMSNormalization:
        return (2 + affine_cycles(n)) * result_words(n);
    default:
        return is_reduction(n->op) ? 0.25 * words(ir_in(n, 0)->type) : moving_cycles(n);
    }
}

double egraph_node_cycles(ir_ctx *c, const ir_node *n) {
    const ir_dim *flops = ir_node_flops(c, n);
    double overhead = op_is(n->op, OP_VIEW) && n->op != OP_Transpose ? 2 : 30;
    if (!ir_dim_is(flops, 0)) return overhead + size_of(flops) / 32 + 0.25 * result_words(n);
    if (op_is(n->op, OP_SCALAR)) return overhead + scalar_cycles(n->op) * result_words(n);
    return overhead + row_cycles(n);
}

double egraph_constant_cycles(const ir_type *t) {
    return words(t) * 4 / 16;
}
