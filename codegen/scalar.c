/* Scalar definitions (ir/scalar.h) as loop-IR code on vectors: the code generation back end. Machine operations map one to one; those
 * that must not trap are guarded; transcendental functions go to vmath.c. */
#include "codegen/lower.h"

#include "ir/base/assert.h"

static lp_op machine_op(sc_op op) {
    switch (op) {
    case SC_ADD:
        return LP_add;
    case SC_SUB:
        return LP_sub;
    case SC_MUL:
        return LP_mul;
    case SC_MIN:
        return LP_min;
    case SC_MAX:
        return LP_max;
    case SC_AND:
        return LP_and;
    case SC_OR:
        return LP_or;
    case SC_XOR:
        return LP_xor;
    case SC_EQ:
        return LP_eq;
    case SC_NE:
        return LP_ne;
    case SC_LT:
        return LP_lt;
    case SC_LE:
        return LP_le;
    case SC_GT:
        return LP_gt;
    case SC_GE:
        return LP_ge;
    case SC_NEG:
        return LP_neg;
    case SC_ABS:
        return LP_abs;
    case SC_NOT:
        return LP_not;
    case SC_SQRT:
        return LP_sqrt;
    case SC_FLOOR:
        return LP_floor;
    case SC_CEIL:
        return LP_ceil;
    case SC_RINT:
        return LP_rint;
    case SC_TRUNC:
        return LP_trunc;
    default:
        return LP_OP_COUNT;
    }
}

/* x / y or x rem y on integers: 0 for y = 0; for y = -1 the negation (or 0), since INT_MIN / -1 traps. */
static lp_value *guarded_division(lp_builder *b, lp_op op, lp_value *x, lp_value *y) {
    lp_type t = x->type;
    lp_value *zero = lp_const_i(b, t, 0), *one = lp_const_i(b, t, 1);
    lp_value *bad = lp_bin(b, LP_eq, y, zero);
    lp_value *result_minus = NULL, *minus = NULL;
    if (ir_dtype_is_signed((ir_dtype)t.elem)) {
        minus = lp_bin(b, LP_eq, y, lp_const_i(b, t, -1));
        bad = lp_bin(b, LP_or, bad, minus);
        result_minus = op == LP_div ? lp_un(b, LP_neg, x) : zero;
    }
    lp_value *q = lp_bin(b, op, x, lp_select(b, bad, one, y));
    q = lp_select(b, lp_bin(b, LP_eq, y, zero), zero, q);
    return minus ? lp_select(b, minus, result_minus, q) : q;
}

static lp_value *emit_shift(lp_builder *b, lp_op op, lp_value *x, lp_value *y) {
    lp_value *width = lp_const_i(b, x->type, ir_dtype_bits((ir_dtype)x->type.elem));
    lp_value *fits = lp_bin(b, LP_lt, y, width), *zero = lp_const_i(b, x->type, 0);
    return lp_select(b, fits, lp_bin(b, op, x, lp_select(b, fits, y, zero)), zero);
}

static lp_value *emit_op(lp_builder *b, sc_op op, ir_dtype type, lp_value *const *x, unsigned n) {
    lp_op machine = machine_op(op);
    bool is_float = ir_dtype_is_float((ir_dtype)x[0]->type.elem);
    if (machine != LP_OP_COUNT)
        return n == 2 ? lp_bin(b, machine, x[0], x[1]) : lp_un(b, machine, x[0]);
    switch (op) {
    case SC_DIV:
        return is_float ? lp_bin(b, LP_div, x[0], x[1]) : guarded_division(b, LP_div, x[0], x[1]);
    case SC_REM:
        return is_float ? lp_bin(b, LP_rem, x[0], x[1]) : guarded_division(b, LP_rem, x[0], x[1]);
    case SC_SHL:
        return emit_shift(b, LP_shl, x[0], x[1]);
    case SC_SHR:
        return emit_shift(b, LP_shr, x[0], x[1]);
    case SC_FMA:
        return lp_fma(b, x[0], x[1], x[2]);
    case SC_SELECT:
        return lp_select(b, x[0], x[1], x[2]);
    case SC_CAST:
        return lp_cast(b, x[0], type);
    case SC_BITCAST:
        return lp_bitcast(b, x[0], type);
    default:
        return cg_vmath(b, op, x);
    }
}

static sc_val scalar_emit(sc_builder *base, sc_op op, ir_dtype type, const sc_val *args,
                          unsigned n) {
    cg_scalar *s = (cg_scalar *)base;
    lp_value *x[3];
    for (unsigned i = 0; i < n; i++)
        x[i] = cg_scalar_get(s, args[i]);
    return cg_scalar_value(s, emit_op(s->b, op, type, x, n));
}

static sc_val scalar_constant_f(sc_builder *base, ir_dtype type, double v) {
    cg_scalar *s = (cg_scalar *)base;
    return cg_scalar_value(s, lp_const_f(s->b, lp_vec(type, s->lanes), v));
}

static sc_val scalar_constant_i(sc_builder *base, ir_dtype type, int64_t v) {
    cg_scalar *s = (cg_scalar *)base;
    return cg_scalar_value(s, lp_const_i(s->b, lp_vec(type, s->lanes), v));
}

static ir_dtype scalar_type_of(sc_builder *base, sc_val v) {
    return (ir_dtype)cg_scalar_get((cg_scalar *)base, v)->type.elem;
}

void cg_scalar_init(cg_scalar *s, lp_builder *b, unsigned lanes, tl_arena *a) {
    *s = (cg_scalar){.base = {scalar_emit, scalar_constant_f, scalar_constant_i, scalar_type_of},
                     .b = b,
                     .lanes = lanes,
                     .arena = a};
}

sc_val cg_scalar_value(cg_scalar *s, lp_value *v) {
    tl_vec_push(s->arena, &s->values, v);
    return (sc_val){s->values.len - 1};
}

lp_value *cg_scalar_get(const cg_scalar *s, sc_val v) {
    return s->values.data[v.id];
}

lp_value *cg_scalar_node(lp_builder *b, unsigned lanes, tl_arena *a, const ir_node *n,
                         lp_value *const *in) {
    cg_scalar s;
    if (cg_is_narrow_cast(n)) return cg_narrow_cast(b, n, in[0]);
    cg_scalar_init(&s, b, lanes, a);
    sc_val *args = TL_NEW_ARRAY(a, sc_val, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        args[i] = in[i] ? cg_scalar_value(&s, in[i]) : (sc_val){UINT32_MAX};
    sc_val result = scalar_get(n->op)(&s.base, n, args, n->n_in);
    return cg_scalar_get(&s, result);
}
