/* Operators of com.microsoft that are only other spellings of what ONNX can say. ONNX Runtime's
 * optimizer writes them into models. There is no schema here: each rule checks its operands. */
#include "frontend/upgrade.h"

static bool need_inputs(fe_node *n, uint32_t least, uint32_t most) {
    if (n->in.len > most) return fe_error(n, "%u inputs, at most %u are allowed", n->in.len, most);
    for (uint32_t i = 0; i < least; i++)
        if (!fe_in(n, i)) return fe_error(n, "input %u is missing", i);
    return true;
}

static bool one_output(fe_node *n) {
    return n->n_out >= 1 || fe_error(n, "there is no output");
}

static bool gelu(fe_node *n) {
    if (!need_inputs(n, 1, 1) || !one_output(n)) return false;
    fe_rename(n, "Gelu");
    return true;
}

static ir_value *sum(fe_node *n, ir_value *x, ir_value *bias) {
    return bias ? fe_build2(n, OP_Add, x, bias) : x;
}

static bool bias_gelu(fe_node *n) {
    if (!need_inputs(n, 2, 2) || !one_output(n)) return false;
    return fe_finish(n, fe_build1(n, OP_Gelu, sum(n, fe_in(n, 0), fe_in(n, 1))));
}

static bool fast_gelu(fe_node *n) {
    if (!need_inputs(n, 1, 2) || !one_output(n)) return false;
    ir_value *x = sum(n, fe_in(n, 0), fe_in(n, 1));
    ir_attr tanh = {.name = "approximate", .kind = ATTR_STRING, .v.s = tl_sv_from("tanh")};
    return fe_finish(n, fe_build(n, OP_Gelu, &x, 1, &tanh, 1));
}

/* x * sigmoid(alpha * x) */
static bool quick_gelu(fe_node *n) {
    if (!need_inputs(n, 1, 1) || !one_output(n)) return false;
    ir_value *x = fe_in(n, 0);
    ir_dtype dtype;
    if (!fe_in_dtype(n, 0, &dtype)) return false;
    ir_value *alpha = fe_scalar(n, dtype, (double)fe_attr_float(n, "alpha", 1.702f));
    ir_value *gate = fe_build1(n, OP_Sigmoid, fe_build2(n, OP_Mul, x, alpha));
    return fe_finish(n, fe_build2(n, OP_Mul, x, gate));
}

static ir_attr float_attr(const fe_node *n, const char *name, float fallback) {
    return (ir_attr){.name = name, .kind = ATTR_FLOAT, .v.f = fe_attr_float(n, name, fallback)};
}

/* (input, skip, gamma, beta?, bias?) -> (normalised, -, -, input + skip + bias) */
static bool skip_layer_norm(fe_node *n) {
    if (!need_inputs(n, 3, 5) || !one_output(n)) return false;
    if (fe_wants(n, 1) || fe_wants(n, 2))
        return fe_error(n, "mean and deviation are not supported");
    ir_value *x = sum(n, fe_build2(n, OP_Add, fe_in(n, 0), fe_in(n, 1)), fe_in(n, 4));
    if (!x) return false;
    if (fe_wants(n, 3)) n->out[3] = x;
    ir_value *in[] = {x, fe_in(n, 2), fe_in(n, 3)};
    ir_attr epsilon = float_attr(n, "epsilon", 1e-12f);
    return fe_finish(n, fe_build(n, OP_LayerNormalization, in, in[2] ? 3 : 2, &epsilon, 1));
}

/* (input, skip, gamma, bias?) -> (normalised, -, -, input + skip + bias) */
static bool skip_rms_norm(fe_node *n) {
    if (!need_inputs(n, 3, 4) || !one_output(n)) return false;
    if (fe_wants(n, 1) || fe_wants(n, 2))
        return fe_error(n, "mean and deviation are not supported");
    ir_value *x = sum(n, fe_build2(n, OP_Add, fe_in(n, 0), fe_in(n, 1)), fe_in(n, 3));
    if (!x) return false;
    if (fe_wants(n, 3)) n->out[3] = x;
    ir_attr epsilon = float_attr(n, "epsilon", 1e-12f);
    ir_value *in[] = {x, fe_in(n, 2)};
    return fe_finish(n, fe_build(n, OP_RMSNormalization, in, 2, &epsilon, 1));
}

/* clang-format off */
const fe_rule fe_rules_microsoft[] = {
    {"com.microsoft", "Gelu", FE_ALWAYS, gelu, "Gelu"},
    {"com.microsoft", "BiasGelu", FE_ALWAYS, bias_gelu, "Gelu"},
    {"com.microsoft", "FastGelu", FE_ALWAYS, fast_gelu, "Gelu"},
    {"com.microsoft", "QuickGelu", FE_ALWAYS, quick_gelu, "Sigmoid"},
    {"com.microsoft", "SkipLayerNormalization", FE_ALWAYS, skip_layer_norm, "LayerNormalization"},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", FE_ALWAYS, skip_rms_norm, "RMSNormalization"},
    {0},
};
/* clang-format on */
