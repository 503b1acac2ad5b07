/* See rnn.h. */
#include "ir/rnn.h"

#include "ir/ctx.h"

/* Defaults are those of the operators of the same name; Affine and ScaledTanh were operators once. */
static const struct {
    const char *name;
    bool has_alpha, has_beta;
    float alpha, beta;
} functions[RNN_FUNCTION_COUNT] = {
    [RNN_AFFINE] = {"Affine", true, true, 1, 0},
    [RNN_ELU] = {"Elu", true, false, 1, 0},
    [RNN_HARD_SIGMOID] = {"HardSigmoid", true, true, 0.2f, 0.5f},
    [RNN_LEAKY_RELU] = {"LeakyRelu", true, false, 0.01f, 0},
    [RNN_RELU] = {"Relu", false, false, 0, 0},
    [RNN_SCALED_TANH] = {"ScaledTanh", true, true, 1, 1},
    [RNN_SIGMOID] = {"Sigmoid", false, false, 0, 0},
    [RNN_SOFTPLUS] = {"Softplus", false, false, 0, 0},
    [RNN_SOFTSIGN] = {"Softsign", false, false, 0, 0},
    [RNN_TANH] = {"Tanh", false, false, 0, 0},
    [RNN_THRESHOLDED_RELU] = {"ThresholdedRelu", true, false, 1, 0},
};

static const struct {
    op_id op;
    uint32_t gates, n_functions;
    ir_rnn_function defaults[RNN_MAX_FUNCTIONS];
} kinds[] = {{OP_RNN, 1, 1, {RNN_TANH}},
             {OP_GRU, 3, 2, {RNN_SIGMOID, RNN_TANH}},
             {OP_LSTM, 4, 3, {RNN_SIGMOID, RNN_TANH, RNN_TANH}}};

static const char *read_direction(ir_rnn *r, ir_ctx *c, const ir_node *n) {
    const char *d = ir_attr_string(n, "direction", "forward");
    bool both = strcmp(d, "bidirectional") == 0, reverse = strcmp(d, "reverse") == 0;
    if (!both && !reverse && strcmp(d, "forward") != 0)
        return tl_arena_printf(&c->arena, "attribute 'direction' is '%s'", d);
    r->directions = both ? 2 : 1;
    r->reverse[0] = reverse;
    r->reverse[1] = true;
    return NULL;
}

static char lower(char x) {
    return (char)(x >= 'A' && x <= 'Z' ? x - 'A' + 'a' : x);
}

/* The case of letters does not matter: files have both. */
static bool same_word(tl_sv a, const char *b) {
    size_t i = 0;
    while (i < a.len && b[i] && lower(a.data[i]) == lower(b[i]))
        i++;
    return i == a.len && !b[i];
}

static bool find_function(tl_sv name, ir_rnn_function *fn) {
    for (int i = 0; i < RNN_FUNCTION_COUNT; i++)
        if (same_word(name, functions[i].name)) {
            *fn = (ir_rnn_function)i;
            return true;
        }
    return false;
}

static const char *read_names(ir_rnn *r, ir_ctx *c, const ir_node *n) {
    const ir_attr *a = ir_attr_find(n, "activations");
    uint32_t count = r->directions * r->n_functions;
    if (!a) return NULL;
    if (a->kind != ATTR_STRINGS || a->n != count)
        return tl_arena_printf(&c->arena, "attribute 'activations' has %u elements, expected %u",
                               a->n, count);
    for (uint32_t i = 0; i < count; i++) {
        tl_sv name = a->v.strings[i];
        if (!find_function(name, &r->functions[i / r->n_functions][i % r->n_functions].fn))
            return tl_arena_printf(&c->arena, "attribute 'activations' holds '%.*s'", (int)name.len,
                                   name.data);
    }
    return NULL;
}

/* The next element of a list; `otherwise` at its end. */
static float consume(const ir_attr *list, uint32_t *at, float otherwise) {
    return list && list->kind == ATTR_FLOATS && *at < list->n ? list->v.floats[(*at)++] : otherwise;
}

static void read_factors(ir_rnn *r, const ir_node *n) {
    const ir_attr *alpha = ir_attr_find(n, "activation_alpha"),
                  *beta = ir_attr_find(n, "activation_beta");
    uint32_t a = 0, b = 0;
    for (uint32_t i = 0; i < r->directions * r->n_functions; i++) {
        ir_rnn_activation *f = &r->functions[i / r->n_functions][i % r->n_functions];
        f->alpha = functions[f->fn].alpha, f->beta = functions[f->fn].beta;
        if (functions[f->fn].has_alpha) f->alpha = consume(alpha, &a, f->alpha);
        if (functions[f->fn].has_beta) f->beta = consume(beta, &b, f->beta);
    }
}

static void read_kind(ir_rnn *r, op_id op) {
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        if (kinds[k].op != op) continue;
        r->gates = kinds[k].gates, r->n_functions = kinds[k].n_functions;
        for (uint32_t i = 0; i < 2 * RNN_MAX_FUNCTIONS; i++)
            r->functions[i / RNN_MAX_FUNCTIONS][i % RNN_MAX_FUNCTIONS].fn =
                kinds[k].defaults[i % RNN_MAX_FUNCTIONS];
    }
}

const char *ir_rnn_read(ir_rnn *r, ir_ctx *c, const ir_node *n) {
    *r = (ir_rnn){0};
    read_kind(r, n->op);
    const char *problem = read_direction(r, c, n);
    if (problem || (problem = read_names(r, c, n))) return problem;
    read_factors(r, n);
    int64_t layout = ir_attr_int(n, "layout", 0);
    if (layout != 0 && layout != 1)
        return tl_arena_printf(&c->arena, "attribute 'layout' is %lld, expected 0 or 1",
                               (long long)layout);
    r->batch_first = layout == 1;
    r->linear_before_reset = ir_attr_int(n, "linear_before_reset", 0) != 0;
    r->input_forget = ir_attr_int(n, "input_forget", 0) != 0;
    r->clip = ir_attr_float(n, "clip", 0);
    if (ir_attr_has(n, "clip") && !(r->clip > 0))
        return tl_arena_printf(&c->arena, "attribute 'clip' is %g, expected more than 0",
                               (double)r->clip);
    r->hidden = ir_attr_int(n, "hidden_size", 0);
    if (r->hidden < 0 || (ir_attr_has(n, "hidden_size") && r->hidden == 0))
        return tl_arena_printf(&c->arena, "attribute 'hidden_size' is %lld", (long long)r->hidden);
    return NULL;
}
