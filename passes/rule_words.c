/* The words of rule_words.def: conditions on what a pattern has matched, and functions that compute constants of a replacement. */
#include "ir/limits.h"
#include "passes/rule_internal.h"

#include <math.h>
#include <stdlib.h>

#define CONDITION_FN(name) \
    static bool rule_is_##name(const rule_host *h, const rule_match *m, ir_value *const *v)
#define FUNCTION_FN(name) static ir_value *rule_make_##name(rule_host *h, ir_value *const *v)

static bool is_float(const ir_value *v) {
    return ir_type_is_tensor(v->type) && ir_dtype_is_float(v->type->dtype);
}

/* The payload is there to be looked at. */
static bool has_numbers(const ir_value *v) {
    return ir_value_is_const(v) && !v->tensor->opaque && v->type->dtype != DT_str;
}

/* ---- types ---------------------------------------------------------------------------------------------------- */

CONDITION_FN(alike) {
    (void)h;
    return same_type(v[0], m->value[0]);
}

CONDITION_FN(same_type) {
    (void)h, (void)m;
    return same_type(v[0], v[1]);
}

CONDITION_FN(same_element) {
    (void)h;
    return v[0]->type->dtype == m->value[0]->type->dtype;
}

CONDITION_FN(float) {
    (void)h, (void)m;
    return is_float(v[0]);
}

CONDITION_FN(integer) {
    (void)h, (void)m;
    return !is_float(v[0]);
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

CONDITION_FN(widened) {
    (void)h, (void)m;
    ir_dtype from = v[0]->type->dtype, to = v[1]->type->dtype;
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

/* ---- constants ------------------------------------------------------------------------------------------------ */

CONDITION_FN(constant) {
    (void)m;
    return h->is_constant(h, v[0]);
}

CONDITION_FN(scalar) {
    (void)h, (void)m;
    double x;
    return ir_value_const_f64(v[0], &x) && v[0]->type->rank == 0;
}

/* 1/c is exact, and neither side is subnormal in the type. */
static bool has_exact_inverse(double c, ir_dtype t) {
    int exponent, limit = t == DT_f64 ? 1000 : t == DT_f16 ? 14 : 120;
    if (c == 0 || !isfinite(c)) return false;
    return fabs(frexp(c, &exponent)) == 0.5 && abs(exponent) < limit;
}

static bool is_float_divisor(const ir_value *v) {
    return is_float(v) && has_numbers(v) && ir_dtype_bits(v->type->dtype) >= 16;
}

CONDITION_FN(exact_inverse) {
    (void)h, (void)m;
    if (!is_float_divisor(v[0])) return false;
    size_t n = ir_tensor_elements(v[0]->tensor);
    for (size_t i = 0; i < n; i++)
        if (!has_exact_inverse(ir_tensor_get_f64(v[0]->tensor, i), v[0]->type->dtype)) return false;
    return n > 0;
}

CONDITION_FN(divisor) {
    (void)h, (void)m;
    return is_float_divisor(v[0]) && !ir_value_is_splat(v[0], 0);
}

FUNCTION_FN(inverse) {
    ir_module *m = h->builder.m;
    ir_tensor *t = ir_tensor_alloc(m->arena, v[0]->type);
    size_t n = ir_tensor_elements(t);
    for (size_t i = 0; i < n; i++)
        ir_tensor_set_f64(t, i, 1 / ir_tensor_get_f64(v[0]->tensor, i));
    ir_tensor_seal(t);
    return ir_module_const(m, t, NULL);
}

CONDITION_FN(same_ints) {
    (void)h, (void)m;
    int64_t x[IR_MAX_RANK], y[IR_MAX_RANK];
    if (v[0] == v[1]) return true;
    int32_t n = optional_ints(v[0], x, IR_MAX_RANK), k = optional_ints(v[1], y, IR_MAX_RANK);
    return n > 0 && n == k && memcmp(x, y, (size_t)n * sizeof *x) == 0;
}

/* ---- shapes --------------------------------------------------------------------------------------------------- */

CONDITION_FN(vector) {
    (void)h, (void)m;
    return v[0]->type->rank == 1;
}

CONDITION_FN(matrix) {
    (void)h, (void)m;
    return v[0]->type->rank == 2;
}

CONDITION_FN(stacked) {
    (void)h, (void)m;
    return v[0]->type->rank >= 2;
}

CONDITION_FN(square) {
    (void)h, (void)m;
    const ir_type *t = v[0]->type;
    return t->rank == 2 && ir_type_is_static(t) && t->dims[0] == t->dims[1];
}

CONDITION_FN(single) {
    (void)h, (void)m;
    return v[0]->type->rank == 0;
}

CONDITION_FN(same_rank) {
    (void)h, (void)m;
    return v[0]->type->rank == v[1]->type->rank;
}

CONDITION_FN(along_rows) {
    (void)h, (void)m;
    const ir_type *t = v[0]->type, *of = v[1]->type;
    if (t->rank == 0 || of->rank < 1) return t->rank == 0;
    return t->rank == 1 && ir_dim_equal(t->dims[0], of->dims[of->rank - 1]);
}

CONDITION_FN(neutral) {
    (void)h, (void)m;
    return ir_value_is_splat(v[0], 1);
}

/* A constant of this type with ones at every `step`-th element. */
static ir_value *make_ones(rule_host *h, const ir_type *type, size_t step) {
    ir_module *m = h->builder.m;
    ir_tensor *t = ir_tensor_alloc(m->arena, type);
    size_t n = ir_tensor_elements(t);
    for (size_t i = 0; i < n; i += step)
        ir_tensor_set_f64(t, i, 1);
    ir_tensor_seal(t);
    return ir_module_const(m, t, NULL);
}

FUNCTION_FN(identity) {
    int64_t n;
    return ir_dim_is_const(v[0]->type->dims[0], &n) ? make_ones(h, v[0]->type, (size_t)n + 1)
                                                    : NULL;
}

FUNCTION_FN(ones) {
    size_t bytes;
    return ir_type_static_bytes(v[0]->type, &bytes) ? make_ones(h, v[0]->type, 1) : NULL;
}

FUNCTION_FN(column) {
    if (v[0]->type->rank == 0) return v[0];
    ir_value *in[] = {v[0], build_i64s(&h->builder, (int64_t[]){1}, 1)};
    return rule_build_node(h, OP_Unsqueeze, in, 2, NULL, 0);
}

/* ---- classes of operators ------------------------------------------------------------------------------------- */

static bool is_unary(const ir_node *n) {
    return op_is(n->op, OP_SCALAR) && n->n_in == 1;
}

static bool is_binary(const ir_node *n) {
    return op_is(n->op, OP_SCALAR) && n->n_in == 2;
}

rule_class_fn *rule_class_find(const char *name) {
    if (strcmp(name, "unary") == 0) return is_unary;
    return strcmp(name, "binary") == 0 ? is_binary : NULL;
}

/* ---- by name -------------------------------------------------------------------------------------------------- */

static const rule_condition conditions[] = {
#define CONDITION(word, values, text) {#word, values, rule_is_##word},
#define FUNCTION(word, values, text)
#include "passes/rule_words.def"
#undef CONDITION
#undef FUNCTION
};

static const rule_function functions[] = {
#define CONDITION(word, values, text)
#define FUNCTION(word, values, text) {#word, values, rule_make_##word},
#include "passes/rule_words.def"
#undef CONDITION
#undef FUNCTION
};

const rule_condition *rule_condition_find(const char *name) {
    for (uint32_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        if (strcmp(conditions[i].name, name) == 0) return &conditions[i];
    return NULL;
}

const rule_function *rule_function_find(const char *name) {
    for (uint32_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0) return &functions[i];
    return NULL;
}
