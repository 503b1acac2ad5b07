/* See rnn_cell.h. The equations are those at the head of ir/eval/rnn.c. */
#include "passes/rnn_cell.h"

#include "ir/base/assert.h"
#include "passes/short.h"

/* ---- activation functions --------------------------------------------------------------------------------------- */

static ir_value *affine(ir_builder *b, ir_value *x, const ir_rnn_activation *a) {
    ir_value *scaled = mul(b, x, like(b, x, (double)a->alpha));
    return add(b, scaled, like(b, x, (double)a->beta));
}

static ir_value *scaled_tanh(ir_builder *b, ir_value *x, const ir_rnn_activation *a) {
    ir_value *t = build_op1(b, OP_Tanh, mul(b, x, like(b, x, (double)a->beta)));
    return mul(b, t, like(b, x, (double)a->alpha));
}

/* ONNX's operator of this name wants x > alpha; here x = alpha stays. */
static ir_value *thresholded_relu(ir_builder *b, ir_value *x, const ir_rnn_activation *a) {
    ir_value *above = build_op2(b, OP_GreaterOrEqual, x, like(b, x, (double)a->alpha));
    return build_op3(b, OP_Where, above, x, like(b, x, 0));
}

static ir_value *with_factors(ir_builder *b, op_id op, ir_value *x, const ir_rnn_activation *a) {
    ir_attr attrs[] = {{.name = "alpha", .kind = ATTR_FLOAT, .v.f = a->alpha},
                       {.name = "beta", .kind = ATTR_FLOAT, .v.f = a->beta}};
    return &build_node(b, op, &x, 1, 1, attrs, op == OP_HardSigmoid ? 2 : 1)->out[0];
}

static ir_value *apply(ir_builder *b, ir_value *x, const ir_rnn_activation *a) {
    switch (a->fn) {
    case RNN_AFFINE:
        return affine(b, x, a);
    case RNN_ELU:
        return with_factors(b, OP_Elu, x, a);
    case RNN_HARD_SIGMOID:
        return with_factors(b, OP_HardSigmoid, x, a);
    case RNN_LEAKY_RELU:
        return with_factors(b, OP_LeakyRelu, x, a);
    case RNN_RELU:
        return build_op1(b, OP_Relu, x);
    case RNN_SCALED_TANH:
        return scaled_tanh(b, x, a);
    case RNN_SIGMOID:
        return build_op1(b, OP_Sigmoid, x);
    case RNN_SOFTPLUS:
        return build_op1(b, OP_Softplus, x);
    case RNN_SOFTSIGN:
        return build_op1(b, OP_Softsign, x);
    case RNN_TANH:
        return build_op1(b, OP_Tanh, x);
    case RNN_THRESHOLDED_RELU:
        return thresholded_relu(b, x, a);
    case RNN_FUNCTION_COUNT:
        break;
    }
    TL_UNREACHABLE();
}

/* Of a gate: what enters is bounded. */
static ir_value *activate(const rnn_cell *k, ir_builder *b, uint32_t function, ir_value *x) {
    double clip = (double)k->spec->clip;
    if (clip > 0) {
        ir_value *least = like(b, x, -clip), *most = like(b, x, clip);
        x = build_op3(b, OP_Clip, x, least, most);
    }
    return apply(b, x, &k->functions[function]);
}

/* ---- cells ------------------------------------------------------------------------------------------------------ */

static void split(ir_builder *b, ir_value *x, uint32_t n, ir_value **parts) {
    ir_attr attrs[] = {{.name = "axis", .kind = ATTR_INT, .v.i = x->type->rank - 1},
                       {.name = "num_outputs", .kind = ATTR_INT, .v.i = n}};
    ir_node *s = build_node(b, OP_Split, &x, 1, n, attrs, 2);
    for (uint32_t i = 0; i < n; i++)
        parts[i] = &s->out[i];
}

/* (1 - z) n + z h */
static ir_value *blend(ir_builder *b, ir_value *z, ir_value *n, ir_value *h) {
    ir_value *rest = build_op2(b, OP_Sub, like(b, z, 1), z), *new = mul(b, rest, n);
    return add(b, new, mul(b, z, h));
}

static ir_value *gru_after_product(const rnn_cell *k, ir_builder *b, ir_value *const *x,
                                   ir_value *h) {
    ir_value *s[3], *product = build_op2(b, OP_MatMul, h, k->r);
    split(b, k->state_bias ? add(b, product, k->state_bias) : product, 3, s);
    ir_value *z = activate(k, b, 0, add(b, x[0], s[0])), *r = activate(k, b, 0, add(b, x[1], s[1]));
    ir_value *n = activate(k, b, 1, add(b, x[2], mul(b, r, s[2])));
    return blend(b, z, n, h);
}

static ir_value *gru_before_product(const rnn_cell *k, ir_builder *b, ir_value *const *x,
                                    ir_value *h) {
    ir_value *s[2];
    split(b, build_op2(b, OP_MatMul, h, k->r), 2, s);
    ir_value *z = activate(k, b, 0, add(b, x[0], s[0])), *r = activate(k, b, 0, add(b, x[1], s[1]));
    ir_value *reset = build_op2(b, OP_MatMul, mul(b, r, h), k->r_candidate);
    return blend(b, z, activate(k, b, 1, add(b, x[2], reset)), h);
}

static ir_value *with_peephole(const rnn_cell *k, ir_builder *b, ir_value *x, uint32_t which,
                               ir_value *c) {
    return k->peepholes[which] ? add(b, x, mul(b, k->peepholes[which], c)) : x;
}

/* Gates and peepholes are stored i o f (c); o sees the new cell. */
static ir_value *lstm(const rnn_cell *k, ir_builder *b, ir_value *x, ir_value *h, ir_value *c,
                      ir_value **next_c) {
    ir_value *s[4];
    split(b, add(b, build_op2(b, OP_MatMul, h, k->r), x), 4, s);
    ir_value *i = activate(k, b, 0, with_peephole(k, b, s[0], 0, c));
    ir_value *f = k->spec->input_forget ? build_op2(b, OP_Sub, like(b, i, 1), i)
                                        : activate(k, b, 0, with_peephole(k, b, s[2], 2, c));
    ir_value *g = activate(k, b, 1, s[3]);
    ir_value *kept = mul(b, f, c);
    *next_c = add(b, kept, mul(b, i, g));
    ir_value *o = activate(k, b, 0, with_peephole(k, b, s[1], 1, *next_c));
    return mul(b, o, apply(b, *next_c, &k->functions[2]));
}

ir_value *rnn_cell_step(const rnn_cell *k, ir_builder *b, ir_value *x, ir_value *h, ir_value *c,
                        ir_value **next_c) {
    ir_value *gates[3];
    if (k->op == OP_LSTM) return lstm(k, b, x, h, c, next_c);
    if (k->op == OP_RNN) return activate(k, b, 0, add(b, build_op2(b, OP_MatMul, h, k->r), x));
    split(b, x, 3, gates);
    return k->r_candidate ? gru_before_product(k, b, gates, h) : gru_after_product(k, b, gates, h);
}
