/* Writes the cases of RNN, GRU and LSTM for tests/differential/differential.c: every direction, with and without lengths, both layouts,
 * five ways to set everything else; each case holds all kinds of layers with these settings.
 *
 *   rnn_cases FILE.tl
 *
 * What the evaluator computes is held to ONNX's cases and to PyTorch elsewhere; here compiled code is held to the evaluator. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { HIDDEN = 5, INPUT = 3, BATCH = 3, N_VARIANTS = 5 };

static const char *const directions[] = {"forward", "reverse", "bidirectional"};
static const char *const functions[] = {
    "Relu",       "Tanh",        "Sigmoid", "Affine",   "LeakyRelu", "ThresholdedRelu",
    "ScaledTanh", "HardSigmoid", "Elu",     "Softsign", "Softplus"};
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

/* What a case has in common. */
typedef struct settings {
    int direction, variant;
    bool lengths, batch_first;
    bool bias, initial, constant, activations, clip;
    char steps[4], batch[4];
} settings;

typedef struct layer {
    const char *name, *op;
    int gates, n_functions;
    const char *attrs;
    bool peepholes;
} layer;

static const layer layers[] = {
    {"r", "RNN", 1, 1, "", false},
    {"g", "GRU", 3, 2, "", false},
    {"a", "GRU", 3, 2, ", linear_before_reset=1", false},
    {"l", "LSTM", 4, 3, "", false},
    {"p", "LSTM", 4, 3, ", input_forget=1", true},
};
enum { N_LAYERS = sizeof layers / sizeof layers[0] };

static int n_directions(const settings *s) {
    return s->direction == 2 ? 2 : 1;
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

static void put_constants(FILE *f, const settings *s, const layer *l, int seed) {
    int d = n_directions(s), rows = l->gates * HIDDEN;
    if (s->constant) {
        fprintf(f, "const @%sw f32[%d,%d,%d] rand %d\n", l->name, d, rows, INPUT, seed);
        fprintf(f, "const @%sr f32[%d,%d,%d] rand %d\n", l->name, d, rows, HIDDEN, seed + 1);
    }
    if (s->bias) fprintf(f, "const @%sb f32[%d,%d] rand %d\n", l->name, d, 2 * rows, seed + 2);
    if (l->peepholes)
        fprintf(f, "const @%sp f32[%d,%d] rand %d\n", l->name, d, 3 * HIDDEN, seed + 3);
}

static void put_weight_inputs(FILE *f, const settings *s, const layer *l) {
    int d = n_directions(s), rows = l->gates * HIDDEN;
    if (s->constant) return;
    fprintf(f, ", f32[%d,%d,%d] %%%sw, f32[%d,%d,%d] %%%sr", d, rows, INPUT, l->name, d, rows,
            HIDDEN, l->name);
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

static void put_state_type(FILE *f, const settings *s) {
    if (s->batch_first)
        fprintf(f, "f32[%s,%d,%d]", s->batch, n_directions(s), HIDDEN);
    else
        fprintf(f, "f32[%d,%s,%d]", n_directions(s), s->batch, HIDDEN);
}

static void put_outputs(FILE *f, const settings *s, const layer *l, bool first) {
    int d = n_directions(s);
    if (s->batch_first)
        fprintf(f, "%sf32[%s,%s,%d,%d] %s_y, ", first ? "" : ", ", s->batch, s->steps, d, HIDDEN,
                l->name);
    else
        fprintf(f, "%sf32[%s,%d,%s,%d] %s_y, ", first ? "" : ", ", s->steps, d, s->batch, HIDDEN,
                l->name);
    put_state_type(f, s);
    fprintf(f, " %s_h", l->name);
    if (l->gates < 4) return;
    fprintf(f, ", ");
    put_state_type(f, s);
    fprintf(f, " %s_c", l->name);
}

static void put_signature(FILE *f, const settings *s) {
    const char *a = s->batch_first ? s->batch : s->steps, *b = s->batch_first ? s->steps : s->batch;
    fprintf(f, "graph main(f32[%s,%s,%d] %%x", a, b, INPUT);
    if (s->lengths) fprintf(f, ", i32[%s] %%n", s->batch);
    if (s->initial) {
        fprintf(f, ", ");
        put_state_type(f, s);
        fprintf(f, " %%h0, ");
        put_state_type(f, s);
        fprintf(f, " %%c0");
    }
    for (int i = 0; i < N_LAYERS; i++)
        put_weight_inputs(f, s, &layers[i]);
    fprintf(f, ") => (");
    for (int i = 0; i < N_LAYERS; i++)
        put_outputs(f, s, &layers[i], i == 0);
    fprintf(f, ") {\n");
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void put_activations(FILE *f, const settings *s, const layer *l) {
    int n = n_directions(s) * l->n_functions;
    fprintf(f, ", activations=[");
    for (int i = 0; i < n; i++)
        fprintf(f, "%s\"%s\"", i ? ", " : "",
                functions[(3 * s->variant + i + l->gates + s->direction) % N_FUNCTIONS]);
    /* The second list is too short for all: the rest have their defaults. */
    fprintf(f, "], activation_alpha=[0.3, 0.7, 0.4, 0.25], activation_beta=[%s]",
            s->variant % 2 ? "0.6" : "0.6, 0.2, 0.5, 0.1");
}

static void put_operands(FILE *f, const settings *s, const layer *l) {
    char sigil = s->constant ? '@' : '%';
    fprintf(f, "(%%x, %c%sw, %c%sr", sigil, l->name, sigil, l->name);
    fprintf(f, s->bias ? ", @%sb" : ", _", l->name);
    fprintf(f, s->lengths ? ", %%len" : ", _");
    fprintf(f, s->initial ? ", %%h0" : ", _");
    if (l->gates == 4) {
        fprintf(f, s->initial ? ", %%c0" : ", _");
        fprintf(f, l->peepholes ? ", @%sp" : ", _", l->name);
    }
    fprintf(f, ")\n");
}

static void put_node(FILE *f, const settings *s, const layer *l) {
    fprintf(f, "  %%%s_y, %%%s_h", l->name, l->name);
    if (l->gates == 4) fprintf(f, ", %%%s_c", l->name);
    fprintf(f, " = %s<direction=\"%s\", layout=%d%s", l->op, directions[s->direction],
            s->batch_first, l->attrs);
    if (s->clip) fprintf(f, ", clip=0.75");
    if (s->activations) put_activations(f, s, l);
    fprintf(f, ">");
    put_operands(f, s, l);
}

static void put_case(FILE *f, const settings *s) {
    /* Functions without bounds grow without a clip: small weights, and outputs that are far smaller than what they are sums of. */
    bool small = s->activations && !s->clip;
    fprintf(f, "// PASSES default\n// DIMS 0 1 2 7\n");
    fprintf(f, small ? "// RANGE -0.5 0.5\n// ULP 1024\n" : "// ULP 128\n");
    fprintf(f, "tlbc 1\n");
    for (int i = 0; i < N_LAYERS; i++)
        put_constants(f, s, &layers[i], 10 * i);
    fprintf(f, "const @two i32[] {2}\nconst @three i32[] {3}\n");
    put_signature(f, s);
    if (s->lengths) /* from -1 to 5: none, shorter, longer than the sequence */
        fprintf(f, "  %%twice = Mul(%%n, @two)\n  %%len = Add(%%twice, @three)\n");
    for (int i = 0; i < N_LAYERS; i++)
        put_node(f, s, &layers[i]);
    fprintf(f, "  return ");
    for (int i = 0; i < N_LAYERS; i++) {
        fprintf(f, "%s%%%s_y, %%%s_h", i ? ", " : "", layers[i].name, layers[i].name);
        if (layers[i].gates == 4) fprintf(f, ", %%%s_c", layers[i].name);
    }
    fprintf(f, "\n}\n");
}

/*  variant  weights    bias  initial states  functions  clip  steps  batch
 *  0        constants  no    no              default    no    T      3
 *  1        constants  yes   yes             default    no    T      B
 *  2        constants  yes   no              set        yes   5      B
 *  3        inputs     no    yes             set        yes   T      3
 *  4        inputs     yes   yes             set        no    4      3      */
static settings make_settings(int direction, bool lengths, bool batch_first, int variant) {
    settings s = {direction, variant, lengths, batch_first, .clip = variant == 2 || variant == 3};
    s.bias = variant != 0 && variant != 3;
    s.initial = variant != 0 && variant != 2;
    s.constant = variant < 3;
    s.activations = variant > 1;
    strcpy(s.steps, variant == 2 ? "5" : variant == 4 ? "4" : "T");
    strcpy(s.batch, variant == 1 || variant == 2 ? "B" : "3");
    return s;
}

int main(int argc, char **argv) {
    FILE *f = argc == 2 ? fopen(argv[1], "w") : NULL;
    if (!f) return fprintf(stderr, "usage: rnn_cases FILE.tl\n"), 2;
    enum { N_CASES = 3 * 2 * 2 * N_VARIANTS };
    for (int i = 0; i < N_CASES; i++) {
        settings s = make_settings(i % 3, i / 3 % 2, i / 6 % 2, i / 12);
        if (i) fprintf(f, "// ====\n");
        put_case(f, &s);
    }
    return fclose(f) != 0;
}
