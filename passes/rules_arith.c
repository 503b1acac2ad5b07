/* Rules about numbers; listed in simplify_rules.def, conventions in simplify.h. */
#include "passes/simplify.h"

#include <math.h>
#include <stdlib.h>

#define RULE_FN(name) ir_value *rule_##name(ir_builder *b, ir_node *n)

/* The operand where the result has exactly its shape, so that dropping the rest of the node broadcasts nothing away. */
static ir_value *if_same_shape(const ir_node *n, ir_value *x) {
    return same_type(&n->out[0], x) ? x : NULL;
}

static bool is_float(const ir_value *v) {
    return ir_type_is_tensor(v->type) && ir_dtype_is_float(v->type->dtype);
}

/* The node that makes operand i, if it is an `op`. */
static ir_node *operand_node(const ir_node *n, uint32_t i, op_id op) {
    ir_node *def = n->in[i].value ? n->in[i].value->def : NULL;
    return def && def->op == op ? def : NULL;
}

static bool is_scalar_const(const ir_value *v) {
    double x;
    return ir_value_const_f64(v, &x) && v->type->rank == 0;
}

/* ---- neutral elements --------------------------------------------------------------------------------------- */

RULE_FN(commute) {
    (void)b;
    if (n->n_in != 2 || !ir_value_is_const(n->in[0].value) || ir_value_is_const(n->in[1].value))
        return NULL;
    ir_value *c = n->in[0].value;
    ir_node_set_operand(n, 0, n->in[1].value);
    ir_node_set_operand(n, 1, c);
    return n->out;
}

RULE_FN(one_right) {
    (void)b;
    return ir_value_is_splat(n->in[1].value, 1) ? if_same_shape(n, n->in[0].value) : NULL;
}

RULE_FN(minus_one_right) {
    ir_value *x = n->in[0].value;
    const ir_schema *neg = op_schema(OP_Neg);
    if (!ir_value_is_splat(n->in[1].value, -1) || !if_same_shape(n, x)) return NULL;
    if (!ir_schema_input_allows(neg, 0, x->type->dtype)) return NULL; /* unsigned */
    return build_op1(b, OP_Neg, x);
}

/* A constant whose elements are all 0 with this sign; integers count as +0 and as -0. */
static bool is_zero(const ir_value *v, bool negative) {
    if (!ir_value_is_splat(v, 0)) return false;
    return !is_float(v) || (signbit(ir_tensor_get_f64(v->tensor, 0)) != 0) == negative;
}

RULE_FN(add_zero) {
    (void)b;
    return is_zero(n->in[1].value, true) ? if_same_shape(n, n->in[0].value) : NULL;
}

RULE_FN(add_plus_zero) {
    (void)b;
    return is_zero(n->in[1].value, false) ? if_same_shape(n, n->in[0].value) : NULL;
}

RULE_FN(sub_zero) {
    (void)b;
    return is_zero(n->in[1].value, false) ? if_same_shape(n, n->in[0].value) : NULL;
}

/* ---- the same operator or operand again --------------------------------------------------------------------- */

RULE_FN(twice_is_none) {
    (void)b;
    ir_node *inner = operand_node(n, 0, n->op);
    return inner ? inner->in[0].value : NULL;
}

RULE_FN(twice_is_once) {
    (void)b;
    return operand_node(n, 0, n->op) ? n->in[0].value : NULL;
}

RULE_FN(self) {
    (void)b;
    return n->n_in == 2 && n->in[0].value == n->in[1].value ? n->in[0].value : NULL;
}

RULE_FN(abs_neg) {
    ir_node *neg = operand_node(n, 0, OP_Neg);
    return neg ? build_op1(b, OP_Abs, neg->in[0].value) : NULL;
}

RULE_FN(add_neg) {
    ir_node *neg = operand_node(n, 1, OP_Neg);
    return neg ? build_op2(b, OP_Sub, n->in[0].value, neg->in[0].value) : NULL;
}

RULE_FN(sub_neg) {
    ir_node *neg = operand_node(n, 1, OP_Neg);
    return neg ? build_op2(b, OP_Add, n->in[0].value, neg->in[0].value) : NULL;
}

/* x op neutral = x, in either order. */
static ir_value *drop_neutral(const ir_node *n, double neutral) {
    for (uint32_t i = 0; i < 2; i++)
        if (ir_value_is_splat(n->in[i].value, neutral)) return if_same_shape(n, n->in[1 - i].value);
    return NULL;
}

RULE_FN(and_constant) {
    (void)b;
    return drop_neutral(n, 1);
}

RULE_FN(or_constant) {
    (void)b;
    return drop_neutral(n, 0);
}

/* ---- powers and quotients ----------------------------------------------------------------------------------- */

/* x ^ c with a constant exponent that broadcasts nothing, for float x. */
static ir_value *float_base(const ir_node *n, double exponent) {
    ir_value *x = n->in[0].value;
    return is_float(x) && ir_value_is_splat(n->in[1].value, exponent) ? if_same_shape(n, x) : NULL;
}

RULE_FN(pow_two) {
    ir_value *x = float_base(n, 2);
    return x ? build_op2(b, OP_Mul, x, x) : NULL;
}

RULE_FN(pow_minus_one) {
    ir_value *x = float_base(n, -1);
    return x ? build_op1(b, OP_Reciprocal, x) : NULL;
}

RULE_FN(pow_half) {
    ir_value *x = float_base(n, 0.5);
    return x ? build_op1(b, OP_Sqrt, x) : NULL;
}

/* 1/c is exact, and neither side is subnormal in the type. */
static bool has_exact_reciprocal(double c, ir_dtype t) {
    int exponent, limit = t == DT_f64 ? 1000 : t == DT_f16 ? 14 : 120;
    if (c == 0 || !isfinite(c)) return false;
    return fabs(frexp(c, &exponent)) == 0.5 && abs(exponent) < limit;
}

static bool all_have_exact_reciprocals(const ir_value *v) {
    size_t n = ir_tensor_elements(v->tensor);
    for (size_t i = 0; i < n; i++)
        if (!has_exact_reciprocal(ir_tensor_get_f64(v->tensor, i), v->type->dtype)) return false;
    return n > 0;
}

static ir_value *reciprocal_constant(ir_builder *b, const ir_value *v) {
    ir_tensor *t = ir_tensor_alloc(b->m->arena, v->type);
    size_t n = ir_tensor_elements(t);
    for (size_t i = 0; i < n; i++)
        ir_tensor_set_f64(t, i, 1 / ir_tensor_get_f64(v->tensor, i));
    ir_tensor_seal(t);
    return ir_module_const(b->m, t, NULL);
}

static bool divides_by_float_constant(const ir_node *n) {
    const ir_value *c = n->in[1].value;
    return is_float(c) && ir_value_is_const(c) && !c->tensor->opaque &&
           ir_dtype_bits(c->type->dtype) >= 16;
}

RULE_FN(div_power_of_two) {
    if (!divides_by_float_constant(n) || !all_have_exact_reciprocals(n->in[1].value)) return NULL;
    return build_op2(b, OP_Mul, n->in[0].value, reciprocal_constant(b, n->in[1].value));
}

RULE_FN(div_constant) {
    if (!divides_by_float_constant(n) || ir_value_is_splat(n->in[1].value, 0)) return NULL;
    return build_op2(b, OP_Mul, n->in[0].value, reciprocal_constant(b, n->in[1].value));
}

/* ---- chains of constants ------------------------------------------------------------------------------------ */

/* (x op c) op d -> x op (c op d) for scalar constants; fold_constants computes c op d. */
static ir_value *reassociate(ir_builder *b, const ir_node *n) {
    ir_node *inner = operand_node(n, 0, n->op);
    if (!inner || !is_scalar_const(n->in[1].value) || !is_scalar_const(inner->in[1].value))
        return NULL;
    ir_value *c = build_op2(b, n->op, inner->in[1].value, n->in[1].value);
    return build_op2(b, n->op, inner->in[0].value, c);
}

RULE_FN(mul_mul) {
    return reassociate(b, n);
}

RULE_FN(add_add) {
    return reassociate(b, n);
}

RULE_FN(add_add_int) {
    return is_float(n->in[0].value) ? NULL : reassociate(b, n);
}

/* ---- choices and conversions -------------------------------------------------------------------------------- */

RULE_FN(where_constant) {
    (void)b;
    const ir_value *c = n->in[0].value;
    if (ir_value_is_splat(c, 1)) return if_same_shape(n, n->in[1].value);
    if (ir_value_is_splat(c, 0)) return if_same_shape(n, n->in[2].value);
    return NULL;
}

RULE_FN(where_same) {
    (void)b;
    return n->in[1].value == n->in[2].value ? if_same_shape(n, n->in[1].value) : NULL;
}

RULE_FN(cast_same) {
    (void)b;
    ir_value *x = n->in[0].value;
    return x->type->dtype == n->out[0].type->dtype ? x : NULL;
}

/* Bits of a float's significand, the hidden one included; 0 for other types. */
static int significand_bits(ir_dtype t) {
    switch (t) {
    case DT_f64:
        return 53;
    case DT_f32:
        return 24;
    case DT_f16:
        return 11;
    case DT_bf16:
        return 8;
    default:
        return 0;
    }
}

static bool is_integer_like(ir_dtype t) {
    return ir_dtype_is_int(t) || t == DT_bool;
}

/* Bits of magnitude an integer type needs. */
static int magnitude_bits(ir_dtype t) {
    if (t == DT_bool) return 1;
    return (int)ir_dtype_bits(t) - (ir_dtype_is_signed(t) ? 1 : 0);
}

/* Every value of `from` has an exact equal in `to`. */
static bool widens(ir_dtype from, ir_dtype to) {
    if (to == DT_bool) return from == DT_bool;
    if (is_integer_like(from)) {
        if (is_integer_like(to))
            return magnitude_bits(from) <= magnitude_bits(to) &&
                   (ir_dtype_is_signed(to) || !ir_dtype_is_signed(from) || from == DT_bool);
        return significand_bits(to) >= magnitude_bits(from) && to != DT_f16;
    }
    if (from == DT_f16) return to == DT_f32 || to == DT_f64;
    if (from == DT_bf16) return to == DT_f32 || to == DT_f64;
    return from == DT_f32 && to == DT_f64;
}

RULE_FN(cast_cast) {
    ir_node *inner = operand_node(n, 0, OP_Cast);
    if (!inner) return NULL;
    ir_value *x = inner->in[0].value;
    if (!widens(x->type->dtype, inner->out[0].type->dtype)) return NULL;
    return build_node(b, OP_Cast, &x, 1, 1, n->attrs, n->n_attrs)->out;
}

RULE_FN(softmax_one) {
    const ir_type *t = n->out[0].type;
    size_t elements;
    if (!ir_type_static_elements(t, &elements) || elements > 4096) return NULL;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", -1), t->rank);
    if (axis < 0 || !ir_dim_is(t->dims[axis], 1)) return NULL;
    ir_tensor *ones = ir_tensor_alloc(b->m->arena, t);
    for (size_t i = 0; i < elements; i++)
        ir_tensor_set_f64(ones, i, 1);
    ir_tensor_seal(ones);
    return ir_module_const(b->m, ones, NULL);
}

/* ---- broadcasting that happens anyway ----------------------------------------------------------------------- */

/* Dimension i of t counted from the last, or NULL beyond its rank. */
static const ir_dim *dim_from_end(const ir_type *t, int32_t i) {
    return i < t->rank ? t->dims[t->rank - 1 - i] : NULL;
}

/* The operands other than `without` have some dimension equal to d at that place. */
static bool others_have_dim(const ir_node *n, uint32_t without, int32_t i, const ir_dim *d) {
    for (uint32_t k = 0; k < n->n_in; k++) {
        if (k == without || !n->in[k].value) continue;
        const ir_dim *e = dim_from_end(n->in[k].value->type, i);
        if (e && ir_dim_equal(e, d)) return true;
    }
    return false;
}

/* The result keeps its shape when operand k has the type t instead. */
static bool shape_survives(const ir_node *n, uint32_t k, const ir_type *t) {
    const ir_type *out = n->out[0].type;
    for (int32_t i = 0; i < out->rank; i++) {
        const ir_dim *d = dim_from_end(out, i), *e = dim_from_end(t, i);
        if (e && ir_dim_equal(e, d)) continue;
        if (e && !ir_dim_is(e, 1)) return false;
        if (!others_have_dim(n, k, i, d)) return false;
    }
    return true;
}

static bool operands_are_ranked(const ir_node *n) {
    for (uint32_t k = 0; k < n->n_in; k++)
        if (n->in[k].value && !ir_type_is_known(n->in[k].value->type)) return false;
    return ir_type_is_known(n->out[0].type);
}

RULE_FN(expand_operand) {
    (void)b;
    if (!op_is(n->op, OP_SCALAR) || n->n_in < 2 || n->op == OP_Clip || !operands_are_ranked(n))
        return NULL;
    for (uint32_t k = 0; k < n->n_in; k++) {
        ir_node *expand = n->in[k].value ? operand_node(n, k, OP_Expand) : NULL;
        if (!expand || !ir_type_is_known(expand->in[0].value->type)) continue;
        if (!shape_survives(n, k, expand->in[0].value->type)) continue;
        ir_node_set_operand(n, k, expand->in[0].value);
        return n->out;
    }
    return NULL;
}
