/* Elementwise arithmetic on dimension expressions: what Add, Div, Equal, Where... give, or "?" where it is not the same
 * for all sizes.
 *
 * Integer division in ONNX truncates; floor division is that only where nothing is below zero. */
#include "ir/infer/known.h"

#include <stdlib.h>

static const ir_dim *truth(ir_ctx *c, bool b) {
    return ir_dim_const(c, b);
}

static bool is_float_op(const ir_node *n) {
    return ir_dtype_is_float(infer_in(n, 0)->dtype);
}

static const ir_dim *divide(ir_ctx *c, const ir_node *n, const ir_dim *a, const ir_dim *b) {
    int64_t x, y;
    const ir_dim *exact = ir_dim_div_exact(c, a, b);
    if (exact) return exact;
    if (is_float_op(n))
        return ir_dim_unknown(c); /* no integer; Floor and Ceil look at the Div themselves */
    if (ir_dim_is_const(a, &x) && ir_dim_is_const(b, &y) && y != 0 && y != -1)
        return ir_dim_const(c, x / y);
    bool positive = ir_dim_lower_bound(b) >= 0 && ir_dim_quotient_positive(a, b);
    return positive ? ir_dim_floordiv(c, a, b) : ir_dim_unknown(c);
}

/* fmod=0: the sign of the divisor, as floor division has it; fmod=1: the sign of the dividend. */
static const ir_dim *modulo(ir_ctx *c, const ir_node *n, const ir_dim *a, const ir_dim *b) {
    bool same = ir_dim_lower_bound(a) >= 0 && ir_dim_lower_bound(b) >= 0;
    bool floored = !ir_attr_int(n, "fmod", 0) &&
                   (ir_dim_is_const(b, NULL) || ir_dim_lower_bound(b) >= 0);
    return same || floored ? ir_dim_mod(c, a, b) : ir_dim_unknown(c);
}

/* a - b has a lower bound above zero, or the other way round, or they are equal. */
static const ir_dim *less(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    if (ir_dim_lower_bound(ir_dim_sub(c, b, a)) >= 1) return truth(c, true);
    if (ir_dim_lower_bound(ir_dim_sub(c, a, b)) >= 0) return truth(c, false);
    return ir_dim_unknown(c);
}

static const ir_dim *equal(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    if (ir_dim_equal(a, b)) return truth(c, true);
    if (ir_dim_lower_bound(ir_dim_sub(c, a, b)) >= 1 ||
        ir_dim_lower_bound(ir_dim_sub(c, b, a)) >= 1)
        return truth(c, false);
    return ir_dim_unknown(c);
}

static const ir_dim *negate_truth(ir_ctx *c, const ir_dim *a) {
    return ir_dim_is_const(a, NULL) ? truth(c, ir_dim_is(a, 0)) : ir_dim_unknown(c);
}

/* Decided by one operand where that is enough. */
static const ir_dim *logic(ir_ctx *c, op_id op, const ir_dim *a, const ir_dim *b) {
    bool enough = op == OP_Or;
    bool a_known = ir_dim_is_const(a, NULL), b_known = ir_dim_is_const(b, NULL);
    bool x = a_known && !ir_dim_is(a, 0), y = b_known && !ir_dim_is(b, 0);
    if (op != OP_Xor && ((a_known && x == enough) || (b_known && y == enough)))
        return truth(c, enough);
    if (!a_known || !b_known) return ir_dim_unknown(c);
    return truth(c, op == OP_And ? x && y : op == OP_Or ? x || y : x != y);
}

static const ir_dim *choose(ir_ctx *c, const ir_dim *condition, const ir_dim *a, const ir_dim *b) {
    if (ir_dim_is_const(condition, NULL)) return ir_dim_is(condition, 0) ? b : a;
    return ir_dim_equal(a, b) ? a : ir_dim_unknown(c);
}

static const ir_dim *magnitude(ir_ctx *c, const ir_dim *a) {
    const ir_dim *negated = ir_dim_sub(c, ir_dim_const(c, 0), a);
    if (ir_dim_lower_bound(a) >= 0) return a;
    return ir_dim_lower_bound(negated) >= 0 ? negated : ir_dim_unknown(c);
}

static const ir_dim *power(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    int64_t k;
    if (!ir_dim_is_const(b, &k) || k < 0 || k > 8) return ir_dim_unknown(c);
    const ir_dim *product = ir_dim_const(c, 1);
    while (k-- > 0)
        product = ir_dim_mul(c, product, a);
    return product;
}

/* Narrowing keeps the value: sizes fit. A truth value is known where the number is surely 0 or surely not. */
static const ir_dim *cast(ir_ctx *c, const ir_node *n, const ir_dim *a) {
    ir_dtype to = n->out[0].type->dtype;
    int64_t k, wrapped = 0;
    if (to == DT_bool) {
        if (ir_dim_is_const(a, NULL)) return truth(c, !ir_dim_is(a, 0));
        return ir_dim_lower_bound(a) >= 1 ? truth(c, true) : ir_dim_unknown(c);
    }
    if (!ir_dim_is_const(a, &k)) return a;
    if (ir_dtype_is_float(to))
        return llabs(k) <= 1 << 11 || (ir_dtype_bits(to) >= 32 && llabs(k) <= 1 << 24)
                   ? a
                   : ir_dim_unknown(c);
    ir_element_set_i64(to, &wrapped, 0, k);
    return ir_dim_const(c, ir_element_get_i64(to, &wrapped, 0));
}

static const ir_dim *fold(ir_ctx *c, const ir_node *n, const ir_dim *const *args,
                          const ir_dim *(*fn)(ir_ctx *, const ir_dim *, const ir_dim *)) {
    const ir_dim *d = args[0];
    for (uint32_t i = 1; i < n->n_in; i++)
        if (args[i]) d = fn(c, d, args[i]);
    return d;
}

static const ir_dim *clip(ir_ctx *c, const ir_node *n, const ir_dim *const *args) {
    const ir_dim *d = args[0];
    if (n->n_in > 1 && args[1]) d = ir_dim_max(c, d, args[1]);
    if (n->n_in > 2 && args[2]) d = ir_dim_min(c, d, args[2]);
    return d;
}

/* Operators of two elements. */
static const ir_dim *binary(ir_ctx *c, const ir_node *n, const ir_dim *a, const ir_dim *b) {
    switch (n->op) {
    case OP_Sub:
        return ir_dim_sub(c, a, b);
    case OP_Mul:
        return ir_dim_mul(c, a, b);
    case OP_Div:
        return divide(c, n, a, b);
    case OP_Mod:
        return modulo(c, n, a, b);
    case OP_Pow:
        return power(c, a, b);
    case OP_Equal:
        return equal(c, a, b);
    case OP_Less:
        return less(c, a, b);
    case OP_Greater:
        return less(c, b, a);
    case OP_LessOrEqual:
        return negate_truth(c, less(c, b, a));
    case OP_GreaterOrEqual:
        return negate_truth(c, less(c, a, b));
    default:
        return logic(c, n->op, a, b);
    }
}

const ir_dim *known_scalar(ir_ctx *c, const ir_node *n, const ir_dim *const *args) {
    bool is_float = is_float_op(n);
    for (uint32_t i = 0; is_float && i < n->n_in;
         i++) /* an element that is no integer may be NaN */
        if (args[i] && ir_dim_is_unknown(args[i])) return args[i];
    switch (n->op) {
    case OP_Cast:
        return cast(c, n, args[0]);
    case OP_Neg:
        return ir_dim_sub(c, ir_dim_const(c, 0), args[0]);
    case OP_Abs:
        return magnitude(c, args[0]);
    case OP_Relu:
        return ir_dim_max(c, args[0], ir_dim_const(c, 0));
    case OP_Not:
        return negate_truth(c, args[0]);
    case OP_Add:
    case OP_Sum:
        return fold(c, n, args, ir_dim_add);
    case OP_Max:
        return fold(c, n, args, ir_dim_max);
    case OP_Min:
        return fold(c, n, args, ir_dim_min);
    case OP_Clip:
        return clip(c, n, args);
    case OP_Where:
        return choose(c, args[0], args[1], args[2]);
    default:
        return binary(c, n, args[0], args[1]);
    }
}

bool known_has_scalar(op_id op) {
    switch (op) {
    case OP_Cast:
    case OP_Neg:
    case OP_Abs:
    case OP_Relu:
    case OP_Not:
    case OP_Add:
    case OP_Sum:
    case OP_Max:
    case OP_Min:
    case OP_Clip:
    case OP_Where:
    case OP_Sub:
    case OP_Mul:
    case OP_Div:
    case OP_Mod:
    case OP_Pow:
    case OP_Equal:
    case OP_Less:
    case OP_Greater:
    case OP_LessOrEqual:
    case OP_GreaterOrEqual:
    case OP_And:
    case OP_Or:
    case OP_Xor:
        return true;
    default:
        return false;
    }
}
