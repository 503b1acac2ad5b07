/* The elementwise operators, each written once against the builder of scalar.h:
 *
 *   Softplus(x) = log(1 + exp(x))      scalar_Softplus: max(x, 0) + log1p(exp(-|x|)), which overflows nowhere
 *
 * Rules for definitions: operands come in their compute type (never f16), all operands of one primitive have the same
 * type, the result is in the compute type of the node's output. NaN must come out where NaN goes in, so comparisons
 * are arranged such that "false" leads to the branch that computes with x. Attribute defaults are the schema's. */
#include "ir/scalar.h"

#define SCALAR(name)                                                                      \
    sc_val scalar_##name(sc_builder *b, const ir_node *n, const sc_val *x, unsigned n_x); \
    sc_val scalar_##name(sc_builder *b, const ir_node *n, const sc_val *x, unsigned n_x)
#define UNUSED_NODE ((void)n, (void)n_x)

/* A definition that is one primitive. */
#define UNARY(name, op)             \
    SCALAR(name) {                  \
        UNUSED_NODE;                \
        return sc_op1(b, op, x[0]); \
    }
#define BINARY(name, op)                  \
    SCALAR(name) {                        \
        UNUSED_NODE;                      \
        return sc_op2(b, op, x[0], x[1]); \
    }

/* A constant of the type of v. */
static sc_val like(sc_builder *b, sc_val v, double c) {
    return sc_const(b, sc_type(b, v), c);
}
static sc_val attr(sc_builder *b, const ir_node *n, sc_val v, const char *name, double fallback) {
    return like(b, v, ir_attr_float(n, name, (float)fallback));
}

/* ---- one primitive -------------------------------------------------------------------------------------------- */
UNARY(Acos, SC_ACOS)
UNARY(Acosh, SC_ACOSH)
UNARY(Asin, SC_ASIN)
UNARY(Asinh, SC_ASINH)
UNARY(Atan, SC_ATAN)
UNARY(Atanh, SC_ATANH)
UNARY(BitwiseNot, SC_NOT)
UNARY(Ceil, SC_CEIL)
UNARY(Cos, SC_COS)
UNARY(Cosh, SC_COSH)
UNARY(Erf, SC_ERF)
UNARY(Exp, SC_EXP)
UNARY(Floor, SC_FLOOR)
UNARY(Log, SC_LOG)
UNARY(Neg, SC_NEG)
UNARY(Not, SC_NOT)
UNARY(Round, SC_RINT)
UNARY(Sin, SC_SIN)
UNARY(Sinh, SC_SINH)
UNARY(Sqrt, SC_SQRT)
UNARY(Tan, SC_TAN)
UNARY(Tanh, SC_TANH)
UNARY(Abs, SC_ABS)

BINARY(Add, SC_ADD)
BINARY(Sub, SC_SUB)
BINARY(Mul, SC_MUL)
BINARY(Div, SC_DIV)
BINARY(BitwiseAnd, SC_AND)
BINARY(BitwiseOr, SC_OR)
BINARY(BitwiseXor, SC_XOR)
BINARY(And, SC_AND)
BINARY(Or, SC_OR)
BINARY(Xor, SC_XOR)
BINARY(Equal, SC_EQ)
BINARY(Greater, SC_GT)
BINARY(GreaterOrEqual, SC_GE)
BINARY(Less, SC_LT)
BINARY(LessOrEqual, SC_LE)

/* ---- activations ---------------------------------------------------------------------------------------------- */

/* 1 / (1 + exp(-x)). exp may overflow to infinity: the quotient is then 0, as it should be. */
static sc_val sigmoid(sc_builder *b, sc_val x) {
    sc_val one = like(b, x, 1);
    return sc_div(b, one, sc_add(b, one, sc_exp(b, sc_neg(b, x))));
}

static sc_val softplus(sc_builder *b, sc_val x) {
    sc_val tail = sc_op1(b, SC_LOG1P, sc_exp(b, sc_neg(b, sc_abs(b, x))));
    return sc_add(b, sc_max(b, x, like(b, x, 0)), tail);
}

static sc_val clamp(sc_builder *b, sc_val x, double low, double high) {
    return sc_max(b, like(b, x, low), sc_min(b, like(b, x, high), x));
}

SCALAR(Sigmoid) {
    UNUSED_NODE;
    return sigmoid(b, x[0]);
}

SCALAR(Softplus) {
    UNUSED_NODE;
    return softplus(b, x[0]);
}

SCALAR(Softsign) {
    UNUSED_NODE;
    return sc_div(b, x[0], sc_add(b, like(b, x[0], 1), sc_abs(b, x[0])));
}

SCALAR(Relu) {
    UNUSED_NODE;
    return sc_max(b, x[0], like(b, x[0], 0));
}

SCALAR(LeakyRelu) {
    (void)n_x;
    sc_val scaled = sc_mul(b, attr(b, n, x[0], "alpha", 0.01), x[0]);
    return sc_select(b, sc_lt(b, x[0], like(b, x[0], 0)), scaled, x[0]);
}

SCALAR(PRelu) {
    UNUSED_NODE;
    return sc_select(b, sc_lt(b, x[0], like(b, x[0], 0)), sc_mul(b, x[1], x[0]), x[0]);
}

SCALAR(ThresholdedRelu) {
    (void)n_x;
    sc_val below = sc_op2(b, SC_LE, x[0], attr(b, n, x[0], "alpha", 1));
    return sc_select(b, below, like(b, x[0], 0), x[0]);
}

SCALAR(Elu) {
    (void)n_x;
    sc_val low = sc_mul(b, attr(b, n, x[0], "alpha", 1), sc_op1(b, SC_EXPM1, x[0]));
    return sc_select(b, sc_lt(b, x[0], like(b, x[0], 0)), low, x[0]);
}

/* max(0, x) + min(0, alpha (exp(x / alpha) - 1)) */
SCALAR(Celu) {
    (void)n_x;
    sc_val zero = like(b, x[0], 0), alpha = attr(b, n, x[0], "alpha", 1);
    sc_val low = sc_mul(b, alpha, sc_op1(b, SC_EXPM1, sc_div(b, x[0], alpha)));
    return sc_add(b, sc_max(b, zero, x[0]), sc_min(b, zero, low));
}

SCALAR(Selu) {
    (void)n_x;
    sc_val low = sc_mul(b, attr(b, n, x[0], "alpha", 1.67326319217681884765625),
                        sc_op1(b, SC_EXPM1, x[0]));
    sc_val y = sc_select(b, sc_gt(b, x[0], like(b, x[0], 0)), x[0], low);
    return sc_mul(b, attr(b, n, x[0], "gamma", 1.05070102214813232421875), y);
}

SCALAR(HardSigmoid) {
    (void)n_x;
    sc_val line = sc_mul(b, attr(b, n, x[0], "alpha", 0.2), x[0]);
    return clamp(b, sc_add(b, line, attr(b, n, x[0], "beta", 0.5)), 0, 1);
}

SCALAR(HardSwish) {
    UNUSED_NODE;
    sc_val line = sc_add(b, sc_mul(b, x[0], like(b, x[0], 1.0 / 6)), like(b, x[0], 0.5));
    return sc_mul(b, x[0], clamp(b, line, 0, 1));
}

/* none: x/2 (1 + erf(x / sqrt 2)); tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
/* x/2 (1 + tanh u) = x / (1 + exp(-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3): nothing cancels, and an exponential is cheaper. */
static sc_val gelu_tanh(sc_builder *b, sc_val v) {
    const double c = -1.59576912160573071176; /* -2 sqrt(2/pi) */
    sc_val cubic = sc_fma(b, sc_mul(b, v, v), like(b, v, c * 0.044715), like(b, v, c));
    sc_val e = sc_exp(b, sc_mul(b, v, cubic));
    return sc_div(b, v, sc_add(b, like(b, v, 1), e));
}

SCALAR(Gelu) {
    (void)n_x;
    sc_val v = x[0];
    if (strcmp(ir_attr_string(n, "approximate", "none"), "tanh") == 0) return gelu_tanh(b, v);
    sc_val g = sc_op1(b, SC_ERF, sc_mul(b, v, like(b, v, 0.70710678118654752440)));
    return sc_mul(b, sc_mul(b, like(b, v, 0.5), v), sc_add(b, like(b, v, 1), g));
}

SCALAR(Mish) {
    UNUSED_NODE;
    return sc_mul(b, x[0], sc_op1(b, SC_TANH, softplus(b, x[0])));
}

SCALAR(Swish) {
    (void)n_x;
    return sc_mul(b, x[0], sigmoid(b, sc_mul(b, attr(b, n, x[0], "alpha", 1), x[0])));
}

/* x < -lambd: x + bias; x > lambd: x - bias; else 0. Integers are computed as floats, since the attributes are. */
SCALAR(Shrink) {
    (void)n_x;
    ir_dtype t = sc_type(b, x[0]);
    sc_val v = ir_dtype_is_float(t) ? x[0] : sc_cast(b, x[0], DT_f64);
    sc_val bias = attr(b, n, v, "bias", 0), lambd = attr(b, n, v, "lambd", 0.5);
    sc_val inner = sc_select(b, sc_gt(b, v, lambd), sc_sub(b, v, bias), like(b, v, 0));
    sc_val y = sc_select(b, sc_lt(b, v, sc_neg(b, lambd)), sc_add(b, v, bias), inner);
    return sc_cast(b, y, t);
}

/* ---- arithmetic ----------------------------------------------------------------------------------------------- */
SCALAR(Reciprocal) {
    UNUSED_NODE;
    return sc_div(b, like(b, x[0], 1), x[0]);
}

/* x == 0 ? 0 : x, so that -0 gives 0 and NaN stays. */
SCALAR(Sign) {
    UNUSED_NODE;
    sc_val v = x[0], zero = like(b, v, 0);
    sc_val y = sc_select(b, sc_op2(b, SC_EQ, v, zero), zero, v);
    if (ir_dtype_is_signed(sc_type(b, v))) y = sc_select(b, sc_lt(b, v, zero), like(b, v, -1), y);
    return sc_select(b, sc_gt(b, v, zero), like(b, v, 1), y);
}

/* fmod=1: C remainder. fmod=0: Python's, with the sign of the divisor. */
SCALAR(Mod) {
    (void)n_x;
    sc_val r = sc_op2(b, SC_REM, x[0], x[1]), zero = like(b, r, 0);
    if (ir_attr_int(n, "fmod", 0) || !ir_dtype_is_signed(sc_type(b, r))) return r;
    sc_val differ = sc_op2(b, SC_XOR, sc_lt(b, r, zero), sc_lt(b, x[1], zero));
    sc_val adjust = sc_op2(b, SC_AND, differ, sc_op2(b, SC_NE, r, zero));
    return sc_select(b, adjust, sc_add(b, r, x[1]), r);
}

SCALAR(BitShift) {
    (void)n_x;
    bool left = strcmp(ir_attr_string(n, "direction", "LEFT"), "LEFT") == 0;
    return sc_op2(b, left ? SC_SHL : SC_SHR, x[0], x[1]);
}

/* The result has the base's type; the exponent may have another one. Integers to integer powers are exact (wrapping);
 * an integer base with a fractional exponent goes through f64; a float base takes the exponent in its own type. */
SCALAR(Pow) {
    UNUSED_NODE;
    ir_dtype base = sc_type(b, x[0]), exponent = sc_type(b, x[1]), t = base;
    if (!ir_dtype_is_float(base))
        t = ir_dtype_is_float(exponent) ? DT_f64 : DT_i64;
    else if (exponent == DT_f64)
        t = DT_f64;
    return sc_cast(b, sc_op2(b, SC_POW, sc_cast(b, x[0], t), sc_cast(b, x[1], t)), base);
}

static sc_val fold(sc_builder *b, sc_op op, const sc_val *x, unsigned n_x) {
    sc_val y = x[0];
    for (unsigned i = 1; i < n_x; i++)
        y = sc_op2(b, op, y, x[i]);
    return y;
}

SCALAR(Max) {
    (void)n;
    return fold(b, SC_MAX, x, n_x);
}

SCALAR(Min) {
    (void)n;
    return fold(b, SC_MIN, x, n_x);
}

SCALAR(Sum) {
    (void)n;
    return fold(b, SC_ADD, x, n_x);
}

SCALAR(Mean) {
    (void)n;
    sc_val sum = fold(b, SC_ADD, x, n_x);
    return n_x == 1 ? sum : sc_div(b, sum, like(b, sum, n_x));
}

/* min(high, max(x, low)): high everywhere when low > high. Both bounds are optional. */
SCALAR(Clip) {
    (void)n;
    sc_val y = x[0];
    if (n_x > 1 && !sc_is_omitted(x[1])) y = sc_max(b, y, x[1]);
    if (n_x > 2 && !sc_is_omitted(x[2])) y = sc_min(b, y, x[2]);
    return y;
}

/* ---- choice, predicates, conversion --------------------------------------------------------------------------- */
SCALAR(Where) {
    UNUSED_NODE;
    return sc_select(b, x[0], x[1], x[2]);
}

SCALAR(IsNaN) {
    UNUSED_NODE;
    return sc_op2(b, SC_NE, x[0], x[0]);
}

SCALAR(IsInf) {
    (void)n_x;
    sc_val y = sc_const_i(b, DT_bool, 0);
    if (ir_attr_int(n, "detect_positive", 1))
        y = sc_op2(b, SC_OR, y, sc_op2(b, SC_EQ, x[0], like(b, x[0], __builtin_inf())));
    if (ir_attr_int(n, "detect_negative", 1))
        y = sc_op2(b, SC_OR, y, sc_op2(b, SC_EQ, x[0], like(b, x[0], -__builtin_inf())));
    return y;
}

/* To the compute type of the target; what is narrower is rounded when the result is stored. The evaluator converts to
 * narrow floats and strings by itself (ir/eval/cast.c): they need one rounding from the source, and `saturate`. */
SCALAR(Cast) {
    (void)n_x;
    return sc_cast(b, x[0], ir_dtype_compute((ir_dtype)ir_attr_int(n, "to", DT_f32)));
}

/* saturate(rint(x / scale) + zero) of a number whose quotient is below 2^22: the quotient by the reciprocal and its remainder (the pass
 * requantize has seen that this is exact), its integer in the low bits of the sum with 1.5 * 2^23. */
SCALAR(Requantize) {
    (void)n_x;
    const int64_t magic = 0x4b400000; /* the bits of 1.5 * 2^23 */
    bool is_signed = ir_attr_int(n, "to", DT_u8) == DT_i8;
    int64_t least = is_signed ? -128 : 0;
    float scale = ir_attr_float(n, "scale", 1);
    sc_val q = x[0];
    if (scale != 1) {
        sc_val r = like(b, q, (double)(1 / scale));
        q = sc_mul(b, x[0], r);
        q = sc_fma(b, sc_fma(b, sc_neg(b, q), like(b, q, (double)scale), x[0]), r, q);
    }
    sc_val i = sc_bitcast(b, sc_add(b, q, like(b, q, 0x1.8p23)), DT_i32);
    i = sc_sub(b, i, like(b, i, (double)(magic - ir_attr_int(n, "zero", 0))));
    i = sc_max(b, sc_min(b, i, like(b, i, (double)(least + 255))), like(b, i, (double)least));
    return sc_cast(b, i, is_signed ? DT_i8 : DT_u8);
}
