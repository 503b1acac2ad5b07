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

static bool rms_norm(fe_node *n) {
    if (!need_inputs(n, 2, 2) || !one_output(n)) return false;
    if (fe_wants(n, 1)) return fe_error(n, "the inverse deviation is not supported");
    ir_attr attrs[] = {float_attr(n, "epsilon", 1e-5f),
                       {.name = "axis", .kind = ATTR_INT, .v.i = fe_attr_int(n, "axis", -1)}};
    return fe_finish(n, fe_build(n, OP_RMSNormalization, n->in.data, 2, attrs, 2));
}

/* ---- products with what surrounds them --------------------------------------------------------- */

/* The last two axes exchanged. */
static ir_value *turned(fe_node *n, ir_value *x, const char *attr) {
    int64_t perm[IR_MAX_RANK];
    int32_t rank = fe_rank(x);
    if (!fe_attr_int(n, attr, 0) || rank == 1) return x;
    if (rank < 0) return fe_error(n, "attribute '%s' needs a known rank", attr), NULL;
    for (int32_t i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return fe_transpose(n, x, perm, (uint32_t)rank);
}

static bool fused_matmul(fe_node *n) {
    if (!need_inputs(n, 2, 2) || !one_output(n)) return false;
    if (fe_attr_int(n, "transBatchA", 0) || fe_attr_int(n, "transBatchB", 0))
        return fe_error(n, "transposed batch axes are not supported");
    ir_value *y = fe_build2(n, OP_MatMul, turned(n, fe_in(n, 0), "transA"),
                            turned(n, fe_in(n, 1), "transB"));
    float alpha = fe_attr_float(n, "alpha", 1);
    if (y && alpha != 1) y = fe_build2(n, OP_Mul, y, fe_scalar(n, y->type->dtype, (double)alpha));
    return fe_finish(n, y);
}

/* Parameter i of the activation, by its own attribute (FusedGemm) or in the list (FusedConv). */
static float activation_param(const fe_node *n, const char *name, uint32_t i, float fallback) {
    const fe_attr *list = fe_find_attr(n, "activation_params");
    if (list && list->a.kind == ATTR_FLOATS && i < list->a.n) return list->a.v.floats[i];
    return fe_attr_float(n, name, fallback);
}

static ir_value *activate(fe_node *n, ir_value *x) {
    static const struct {
        const char *name;
        op_id op;
    } plain[] = {{"Relu", OP_Relu},
                 {"Tanh", OP_Tanh},
                 {"Sigmoid", OP_Sigmoid},
                 {"Softplus", OP_Softplus},
                 {"Softsign", OP_Softsign}};
    if (!x || !fe_find_attr(n, "activation") || fe_attr_is(n, "activation", "")) return x;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (fe_attr_is(n, "activation", plain[i].name)) return fe_build1(n, plain[i].op, x);
    ir_attr alpha = {.name = "alpha", .kind = ATTR_FLOAT};
    alpha.v.f = activation_param(n, "activation_alpha", 0, 0.01f);
    if (fe_attr_is(n, "activation", "LeakyRelu"))
        return fe_build(n, OP_LeakyRelu, &x, 1, &alpha, 1);
    if (fe_attr_is(n, "activation", "HardSigmoid")) {
        alpha.v.f = activation_param(n, "activation_alpha", 0, 0.2f);
        ir_attr attrs[] = {alpha, {.name = "beta", .kind = ATTR_FLOAT}};
        attrs[1].v.f = activation_param(n, "activation_beta", 1, 0.5f);
        return fe_build(n, OP_HardSigmoid, &x, 1, attrs, 2);
    }
    if (fe_attr_is(n, "activation", "Clip")) {
        ir_dtype t = x->type->dtype;
        ir_value *low = fe_scalar(n, t,
                                  (double)activation_param(n, "activation_alpha", 0, -3.4e38f));
        ir_value *high = fe_scalar(n, t,
                                   (double)activation_param(n, "activation_beta", 1, 3.4e38f));
        return fe_build(n, OP_Clip, (ir_value *[]){x, low, high}, 3, NULL, 0);
    }
    return fe_error(n, "attribute 'activation' is not known"), NULL;
}

/* The attributes that the plain operator has too. */
static const ir_attr *plain_attrs(fe_node *n, uint32_t *count) {
    ir_attr *attrs = TL_NEW_ARRAY(n->im->scratch, ir_attr, n->attrs.len + 1);
    *count = 0;
    for (uint32_t i = 0; i < n->attrs.len; i++)
        if (strncmp(n->attrs.data[i].a.name, "activation", 10) != 0)
            attrs[(*count)++] = n->attrs.data[i].a;
    return attrs;
}

static bool fused_gemm(fe_node *n) {
    uint32_t count;
    if (!need_inputs(n, 2, 3) || !one_output(n)) return false;
    const ir_attr *attrs = plain_attrs(n, &count);
    ir_value *y = fe_build(n, OP_Gemm, n->in.data, fe_in(n, 2) ? 3 : 2, attrs, count);
    return fe_finish(n, activate(n, y));
}

/* (x, w, bias?, z?): z is added before the activation. */
static bool fused_conv(fe_node *n) {
    uint32_t count;
    if (!need_inputs(n, 2, 4) || !one_output(n)) return false;
    const ir_attr *attrs = plain_attrs(n, &count);
    ir_value *y = fe_build(n, OP_Conv, n->in.data, fe_in(n, 2) ? 3 : 2, attrs, count);
    return fe_finish(n, activate(n, sum(n, y, fe_in(n, 3))));
}

/* ---- other forms of ONNX's operators ------------------------------------------------------------ */

static bool trilu(fe_node *n) {
    fe_rename(n, "Trilu");
    return true;
}

static bool expand_dims(fe_node *n) {
    int64_t axis;
    if (!need_inputs(n, 2, 2) || !one_output(n)) return false;
    if (ir_value_const_ints(fe_in(n, 1), &axis, 1) != 1)
        return fe_error(n, "input 1 is not a constant");
    return fe_finish(n, fe_unsqueeze(n, fe_in(n, 0), &axis, 1));
}

/* The amounts may be a matrix of one row. */
static bool pad(fe_node *n) {
    if (!need_inputs(n, 2, 3) || !one_output(n)) return false;
    if (fe_rank(fe_in(n, 1)) != 1) {
        ir_value *flat = fe_build2(n, OP_Reshape, fe_in(n, 1), fe_i64s(n, (int64_t[]){-1}, 1));
        if (!flat) return false;
        fe_set_in(n, 1, flat);
    }
    fe_rename(n, "Pad");
    return true;
}

/* ---- EmbedLayerNormalization -------------------------------------------------------------------- */

/* Rows of the positions: those given, else 0 ... length - 1. */
static ir_value *positions(fe_node *n) {
    if (fe_in(n, 8)) return fe_build2(n, OP_Gather, fe_in(n, 3), fe_in(n, 8));
    ir_value *shape = fe_shape(n, fe_in(n, 0)), *one = fe_i64s(n, (int64_t[]){1}, 1);
    ir_value *length = fe_build2(n, OP_Gather, shape, one);
    ir_value *in[] = {fe_in(n, 3), fe_i64s(n, (int64_t[]){0}, 1), length,
                      fe_i64s(n, (int64_t[]){0}, 1)};
    return fe_build(n, OP_Slice, in, 4, NULL, 0);
}

/* Number of ones in each row of the mask; zeros without a mask. */
static ir_value *mask_index(fe_node *n) {
    ir_value *mask = fe_in(n, 7) ? fe_cast(n, fe_in(n, 7), DT_i32) : NULL;
    if (!mask) {
        ir_value *ids = fe_cast(n, fe_in(n, 0), DT_i32);
        mask = fe_build2(n, OP_Sub, ids, ids);
    }
    ir_attr drop = {.name = "keepdims", .kind = ATTR_INT, .v.i = 0};
    ir_value *in[] = {mask, fe_i64s(n, (int64_t[]){1}, 1)};
    return fe_build(n, OP_ReduceSum, in, 2, &drop, 1);
}

/* (ids, segments?, words, positions, segments' rows?, gamma, beta, mask?, position ids?) -> (normalised, mask index, sum) */
static bool embed_layer_norm(fe_node *n) {
    if (!need_inputs(n, 1, 9) || !one_output(n)) return false;
    for (uint32_t i = 2; i < 7; i++)
        if (i != 4 && !fe_in(n, i)) return fe_error(n, "input %u is missing", i);
    ir_value *x = fe_build2(n, OP_Add, fe_build2(n, OP_Gather, fe_in(n, 2), fe_in(n, 0)),
                            positions(n));
    if (fe_in(n, 1) && fe_in(n, 4))
        x = fe_build2(n, OP_Add, x, fe_build2(n, OP_Gather, fe_in(n, 4), fe_in(n, 1)));
    ir_value *in[] = {x, fe_in(n, 5), fe_in(n, 6)};
    if (fe_wants(n, 1) && !(n->out[1] = mask_index(n))) return false;
    if (fe_wants(n, 2)) n->out[2] = x;
    ir_attr epsilon = float_attr(n, "epsilon", 1e-12f);
    return fe_finish(n, fe_build(n, OP_LayerNormalization, in, 3, &epsilon, 1));
}

/* ---- signals, matrices, sets ------------------------------------------------------------------ */

static ir_value *transform(fe_node *n, ir_value *x, int64_t axis, bool inverse, bool half) {
    ir_value *in[] = {x, &fe_omitted, fe_scalar(n, DT_i64, (double)axis)};
    ir_attr a[] = {{.name = "inverse", .kind = ATTR_INT, .v.i = inverse},
                   {.name = "onesided", .kind = ATTR_INT, .v.i = half}};
    return x ? fe_build(n, OP_DFT, in, 3, a, 2) : NULL;
}

/* The number of axes, the last ones, that are transformed: 0 after reporting. */
static int64_t signal_axes(fe_node *n) {
    int64_t axes = fe_attr_int(n, "signal_ndim", 1);
    if (!need_inputs(n, 1, 1) || !one_output(n)) return 0;
    if (axes >= 1 && axes <= 3 && fe_attr_int(n, "onesided", 1) && !fe_attr_int(n, "normalized", 0))
        return axes;
    fe_error(n, "signal_ndim must be 1, 2 or 3, onesided 1, normalized 0");
    return 0;
}

/* Real numbers to pairs: the last axis first, as half a spectrum. */
static bool rfft(fe_node *n) {
    int64_t axes = signal_axes(n), last = -1;
    if (!axes) return false;
    ir_value *y = transform(n, fe_unsqueeze(n, fe_in(n, 0), &last, 1), -2, false, true);
    for (int64_t i = 1; i < axes; i++)
        y = transform(n, y, -2 - i, false, false);
    return fe_finish(n, y);
}

static bool irfft(fe_node *n) {
    int64_t axes = signal_axes(n), last = -1;
    if (!axes) return false;
    ir_value *y = fe_in(n, 0);
    for (int64_t i = axes - 1; i > 0; i--)
        y = transform(n, y, -2 - i, true, false);
    y = transform(n, y, -2, true, true);
    return fe_finish(n, y ? fe_build2(n, OP_Squeeze, y, fe_i64s(n, &last, 1)) : NULL);
}

static bool inverse(fe_node *n) {
    if (!need_inputs(n, 1, 1) || !one_output(n)) return false;
    return fe_finish(n, fe_build1(n, OP_Inverse, fe_in(n, 0)));
}

/* (unique, where each element is among them, counts), in the order of their first places. */
static bool unique(fe_node *n) {
    ir_attr sorted = {.name = "sorted", .kind = ATTR_INT, .v.i = 0};
    if (!need_inputs(n, 1, 1) || !one_output(n)) return false;
    ir_value *x = fe_in(n, 0);
    ir_node *u = fe_build_node(n, OP_Unique, &x, 1, 4, &sorted, 1);
    if (!u) return false;
    n->out[0] = &u->out[0];
    for (uint32_t i = 1; i < n->n_out && i < 3; i++)
        n->out[i] = &u->out[i + 1];
    n->done = true;
    return true;
}

static int64_t positive_attr(fe_node *n, const char *name) {
    int64_t v = fe_attr_int(n, name, 1);
    if (v < 1) fe_error(n, "attribute '%s' is %lld, expected 1 or more", name, (long long)v);
    return v < 1 ? 0 : v;
}

/* (source, current, previous match, predicted?) -> (tokens, match) */
static bool bifurcation_detector(fe_node *n) {
    if (!need_inputs(n, 3, 4) || !one_output(n)) return false;
    int64_t least = positive_attr(n, "min_ngram_size"), most = positive_attr(n, "max_ngram_size");
    if (!least || !most) return false;
    ir_attr attrs[] = {{.name = "min_ngram_size", .kind = ATTR_INT, .v.i = least},
                       {.name = "max_ngram_size", .kind = ATTR_INT, .v.i = most}};
    ir_node *d = fe_build_node(n, OP_BifurcationDetector, n->in.data, fe_in(n, 3) ? 4 : 3, 2, attrs,
                               2);
    if (!d) return false;
    for (uint32_t i = 0; i < n->n_out && i < 2; i++)
        n->out[i] = &d->out[i];
    n->done = true;
    return true;
}

/* clang-format off */
const fe_rule fe_rules_microsoft[] = {
    {"com.microsoft", "Gelu", FE_ALWAYS, gelu, "Gelu"},
    {"com.microsoft", "BiasGelu", FE_ALWAYS, bias_gelu, "Gelu"},
    {"com.microsoft", "FastGelu", FE_ALWAYS, fast_gelu, "Gelu"},
    {"com.microsoft", "QuickGelu", FE_ALWAYS, quick_gelu, "Sigmoid"},
    {"com.microsoft", "SkipLayerNormalization", FE_ALWAYS, skip_layer_norm, "LayerNormalization"},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", FE_ALWAYS, skip_rms_norm, "RMSNormalization"},
    {"com.microsoft", "SimplifiedLayerNormalization", FE_ALWAYS, rms_norm, "RMSNormalization"},
    {"", "SimplifiedLayerNormalization", FE_ALWAYS, rms_norm, "RMSNormalization"},
    {"com.microsoft", "EmbedLayerNormalization", FE_ALWAYS, embed_layer_norm, "LayerNormalization"},
    {"com.microsoft", "FusedMatMul", FE_ALWAYS, fused_matmul, "MatMul"},
    {"com.microsoft", "FusedGemm", FE_ALWAYS, fused_gemm, "Gemm"},
    {"com.microsoft", "FusedConv", FE_ALWAYS, fused_conv, "Conv"},
    {"com.microsoft", "Rfft", FE_ALWAYS, rfft, "DFT"},
    {"com.microsoft", "Irfft", FE_ALWAYS, irfft, "DFT"},
    {"com.microsoft", "Inverse", FE_ALWAYS, inverse, "Inverse"},
    {"com.microsoft", "Unique", FE_ALWAYS, unique, "Unique"},
    {"com.microsoft", "BifurcationDetector", FE_ALWAYS, bifurcation_detector, "BifurcationDetector"},
    {"com.microsoft", "Trilu", FE_ALWAYS, trilu, "Trilu"},
    {"com.microsoft", "ExpandDims", FE_ALWAYS, expand_dims, "Unsqueeze"},
    {"com.microsoft", "Pad", FE_ALWAYS, pad, "Pad"},
    {0},
};
/* clang-format on */
