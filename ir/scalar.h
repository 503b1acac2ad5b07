/* Scalar operators, written once. Each elementwise ONNX operator is a small function over an abstract builder:
 *
 *   sc_val scalar_Softsign(sc_builder *b, const ir_node *n, const sc_val *x, unsigned n_x) {
 *       return sc_div(b, x[0], sc_add(b, sc_const(b, sc_type(b, x[0]), 1), sc_abs(b, x[0])));
 *   }
 *
 * Two back ends run these definitions: the reference evaluator (host arithmetic, ir/eval/scalar.c) and code generation
 * (vectors in loop IR, codegen/scalar.c), so folding, oracle and generated code cannot drift apart.
 *
 * Values have an element type. f16, bf16 and smaller floats never appear: operands are widened to f32 before and the result is
 * rounded after (once per operator). Booleans are DT_bool. Integers wrap. */
#ifndef TLBC_IR_SCALAR_H
#define TLBC_IR_SCALAR_H

#include "ir/ir.h"

typedef enum sc_op {
    /* two operands of the same type */
    SC_ADD,
    SC_SUB,
    SC_MUL,
    SC_DIV, /* integers: toward zero; x/0 = 0 and INT_MIN/-1 = INT_MIN, never a trap */
    SC_REM, /* C remainder, sign of the dividend; x rem 0 = 0; floats: fmod */
    SC_MIN,
    SC_MAX, /* NaN in either operand gives NaN */
    SC_AND,
    SC_OR,
    SC_XOR, /* integers and booleans */
    SC_SHL,
    SC_SHR, /* unsigned; a shift by the width or more gives 0 */
    SC_POW,
    SC_ATAN2,
    /* comparisons: bool; NaN compares false except NE */
    SC_EQ,
    SC_NE,
    SC_LT,
    SC_LE,
    SC_GT,
    SC_GE,
    /* one operand */
    SC_NEG,
    SC_ABS,
    SC_NOT, /* NOT: bitwise; booleans: logical */
    SC_SQRT,
    SC_FLOOR,
    SC_CEIL,
    SC_RINT,
    SC_TRUNC,
    SC_EXP,
    SC_LOG,
    SC_LOG1P,
    SC_EXPM1,
    SC_SIN,
    SC_COS,
    SC_TAN,
    SC_ASIN,
    SC_ACOS,
    SC_ATAN,
    SC_SINH,
    SC_COSH,
    SC_TANH,
    SC_ASINH,
    SC_ACOSH,
    SC_ATANH,
    SC_ERF,
    /* others */
    SC_FMA,    /* x*y + z, one rounding */
    SC_SELECT, /* bool ? y : z */
    SC_CAST, /* to the builder call's type: ONNX rules (float->int truncates, out of range saturates - to 4- and 2-bit integers
                       * it wraps -, NaN -> 0;
                       * int->int wraps; ->bool is != 0) */
    SC_BITCAST, /* same width */
    SC_OP_COUNT
} sc_op;

/* A value of the back end: an index into its own tables. */
typedef struct sc_val {
    uint32_t id;
} sc_val;

typedef struct sc_builder sc_builder;
struct sc_builder {
    /* type: of the result */
    sc_val (*emit)(sc_builder *b, sc_op op, ir_dtype type, const sc_val *args, unsigned n);
    sc_val (*constant_f)(sc_builder *b, ir_dtype type, double v);
    sc_val (*constant_i)(sc_builder *b, ir_dtype type, int64_t v);
    ir_dtype (*type_of)(sc_builder *b, sc_val v);
};

static inline ir_dtype sc_type(sc_builder *b, sc_val v) {
    return b->type_of(b, v);
}
/* A constant of any numeric type. */
sc_val sc_const(sc_builder *b, ir_dtype t, double v);
sc_val sc_const_i(sc_builder *b, ir_dtype t, int64_t v);
sc_val sc_op1(sc_builder *b, sc_op op, sc_val x);
sc_val sc_op2(sc_builder *b, sc_op op, sc_val x, sc_val y); /* comparisons give bool */
sc_val sc_fma(sc_builder *b, sc_val x, sc_val y, sc_val z);
sc_val sc_select(sc_builder *b, sc_val c, sc_val x, sc_val y);
sc_val sc_cast(sc_builder *b, sc_val x, ir_dtype to); /* x itself where it has that type */
sc_val sc_bitcast(sc_builder *b, sc_val x, ir_dtype to);
#define sc_add(b, x, y) sc_op2((b), SC_ADD, (x), (y))
#define sc_sub(b, x, y) sc_op2((b), SC_SUB, (x), (y))
#define sc_mul(b, x, y) sc_op2((b), SC_MUL, (x), (y))
#define sc_div(b, x, y) sc_op2((b), SC_DIV, (x), (y))
#define sc_min(b, x, y) sc_op2((b), SC_MIN, (x), (y))
#define sc_max(b, x, y) sc_op2((b), SC_MAX, (x), (y))
#define sc_lt(b, x, y)  sc_op2((b), SC_LT, (x), (y))
#define sc_gt(b, x, y)  sc_op2((b), SC_GT, (x), (y))
#define sc_neg(b, x)    sc_op1((b), SC_NEG, (x))
#define sc_abs(b, x)    sc_op1((b), SC_ABS, (x))
#define sc_exp(b, x)    sc_op1((b), SC_EXP, (x))

/* The definition of an operator with trait OP_SCALAR. `n` gives attributes (and operand types); in[i].id == UINT32_MAX marks an
 * omitted operand. Operands come in the compute type of their element type; the result is in the compute type of the output. */
typedef sc_val scalar_fn(sc_builder *b, const ir_node *n, const sc_val *in, unsigned n_in);
scalar_fn *scalar_get(op_id op); /* NULL where the operator is not elementwise */
static inline bool sc_is_omitted(sc_val v) {
    return v.id == UINT32_MAX;
}

#endif
