/* Random inputs and comparison of results by the reference evaluator; see oracle.h. */
#include "passes/oracle.h"

#include "ir/base/hash.h"
#include "ir/limits.h"

#include <math.h>

enum { ATTEMPTS = 9, STEPS = 3 };
#define MAX_EVAL_BYTES ((uint64_t)1 << 28)
static const double tolerance = 1e-4; /* relative to the largest magnitude of the tensor */

/* ---- random inputs ------------------------------------------------------------------------------------------ */

typedef struct sizes {
    uint64_t seed;
    int attempt;
} sizes;

/* A size for a symbol, the same wherever the symbol occurs: different ones first, then one for all, for graphs that ask them
 * to be equal to each other or to something. */
static bool symbol_size(void *data, const char *symbol, int64_t *value) {
    static const int64_t choices[ATTEMPTS][2] = {{2, 5}, {3, 4}, {2, 2},   {3, 3}, {4, 4},
                                                 {1, 1}, {8, 8}, {16, 12}, {1, 24}};
    const sizes *s = data;
    uint64_t h = tl_hash_bytes(s->seed, symbol, strlen(symbol));
    *value = choices[s->attempt][h & 1];
    return true;
}

static const ir_type *concrete_type(ir_ctx *c, const ir_type *t, sizes *s) {
    int64_t dims[IR_MAX_RANK];
    if (!ir_type_is_ranked(t)) return NULL;
    for (int32_t i = 0; i < t->rank; i++)
        if (ir_dim_is_unknown(t->dims[i]))
            dims[i] = 2;
        else if (!ir_dim_eval(t->dims[i], symbol_size, s, &dims[i]) || dims[i] < 0)
            return NULL;
    return ir_type_tensor_static(c, t->dtype, t->rank, dims);
}

/* Floats in (-2, 2); integers 0 and 1, which are valid as most indices. */
static void fill(ir_tensor *t, uint64_t seed) {
    size_t n = ir_tensor_elements(t);
    for (size_t i = 0; i < n; i++) {
        uint64_t h = tl_hash_mix(seed, i);
        if (ir_dtype_is_float(t->type->dtype))
            ir_tensor_set_f64(t, i, (double)(int64_t)(h >> 11) * 0x1p-51 - 2.0);
        else
            ir_tensor_set_i64(t, i, (int64_t)(h & 1));
    }
    ir_tensor_seal(t);
}

static const ir_datum *random_datum(tl_arena *a, ir_ctx *c, const ir_type *t, sizes *s,
                                    uint64_t seed) {
    if (!ir_type_is_tensor(t) || t->dtype == DT_str) return NULL;
    const ir_type *type = concrete_type(c, t, s);
    size_t bytes;
    if (!type || !ir_type_static_bytes(type, &bytes) || bytes > MAX_EVAL_BYTES) return NULL;
    ir_tensor *tensor = ir_tensor_alloc(a, type);
    fill(tensor, seed);
    ir_datum *d = TL_NEW(a, ir_datum);
    d->tensor = tensor;
    return d;
}

static bool make_inputs(pass_oracle *o, const ir_module *m, int attempt) {
    sizes s = {o->seed, attempt};
    const ir_region *body = m->graphs->body;
    o->inputs = TL_NEW_ARRAY(o->arena, const ir_datum *, o->n_in * o->n_steps);
    for (uint32_t i = 0; i < o->n_in * o->n_steps; i++) {
        uint64_t seed = tl_hash_mix(o->seed, i);
        const ir_type *type = body->params[i % o->n_in]->type;
        o->inputs[i] = random_datum(o->arena, m->ctx, type, &s, seed);
        if (!o->inputs[i]) return false;
    }
    return true;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

/* All steps of the entry graph. */
static bool run_steps(const pass_oracle *o, const ir_module *m, ir_datum *outputs) {
    ir_eval e;
    const ir_graph *g = m->graphs;
    ir_datum *states = TL_NEW_ARRAY(o->arena, ir_datum, g->n_states);
    ir_eval_init(&e, m->ctx, o->arena);
    e.max_bytes = MAX_EVAL_BYTES;
    for (uint32_t i = 0; i < o->n_steps; i++)
        if (!ir_eval_step(&e, g, o->inputs + i * o->n_in, states, outputs + i * o->n_out))
            return false;
    return true;
}

/* Runs the entry graph; diagnostics that appear meanwhile are dropped, the first one's text goes to *why. */
static bool run(const pass_oracle *o, const ir_module *m, ir_datum *outputs, const char **why) {
    diag saved = m->ctx->diag;
    bool ran = run_steps(o, m, outputs);
    const diag *now = &m->ctx->diag;
    *why = !ran && now->n > saved.n ? now->entries[saved.n].text : "evaluation failed";
    m->ctx->diag = saved;
    return ran;
}

/* Equal where the same inputs make sense. */
static uint64_t interface_of(const ir_graph *g) {
    uint64_t h = tl_hash_mix(ir_graph_n_inputs(g), ir_graph_n_outputs(g));
    for (uint32_t i = 0; i < ir_graph_n_inputs(g); i++)
        h = tl_hash_mix(h, (uint64_t)(uintptr_t)g->body->params[i]->type);
    return h;
}

bool oracle_init(pass_oracle *o, const ir_module *m, tl_arena *arena, uint64_t seed) {
    *o = (pass_oracle){.arena = arena, .seed = seed};
    const char *why;
    const ir_graph *g = m->graphs;
    o->n_in = ir_graph_n_inputs(g);
    o->n_out = ir_graph_n_outputs(g);
    o->n_steps = g->n_states ? STEPS : 1;
    o->interface = interface_of(g);
    o->outputs = TL_NEW_ARRAY(arena, ir_datum, o->n_out * o->n_steps);
    for (int attempt = 0; attempt < ATTEMPTS && !o->ready; attempt++)
        o->ready = make_inputs(o, m, attempt) && run(o, m, o->outputs, &why);
    return o->ready;
}

/* ---- comparison --------------------------------------------------------------------------------------------- */

static double largest_magnitude(const ir_tensor *t) {
    double largest = 1;
    size_t n = ir_tensor_elements(t);
    for (size_t i = 0; i < n; i++) {
        double x = fabs(ir_tensor_get_f64(t, i));
        if (isfinite(x) && x > largest) largest = x;
    }
    return largest;
}

/* One unit of rounding of the type, or the general tolerance where that is larger. */
static double tolerance_of(ir_dtype t) {
    if (t == DT_f16) return 4e-3;
    if (t == DT_bf16) return 3e-2;
    return ir_dtype_bits(t) < 16 ? 0.3 : tolerance;
}

static bool floats_agree(const ir_tensor *a, const ir_tensor *b) {
    double bound = tolerance_of(a->type->dtype) * largest_magnitude(a);
    size_t n = ir_tensor_elements(a);
    for (size_t i = 0; i < n; i++) {
        double x = ir_tensor_get_f64(a, i), y = ir_tensor_get_f64(b, i);
        if (x == y || (isnan(x) && isnan(y))) continue;
        if (!(fabs(x - y) <= bound)) return false;
    }
    return true;
}

static bool strings_agree(const ir_tensor *a, const ir_tensor *b) {
    size_t n = ir_tensor_elements(a);
    for (size_t i = 0; i < n; i++)
        if (!tl_sv_equal(((const tl_sv *)a->data)[i], ((const tl_sv *)b->data)[i])) return false;
    return true;
}

static bool tensors_agree(const ir_tensor *a, const ir_tensor *b) {
    if (!a || !b) return a == b;
    if (a->type != b->type) return false;
    if (ir_dtype_is_float(a->type->dtype)) return floats_agree(a, b);
    if (a->type->dtype == DT_str) return strings_agree(a, b);
    return memcmp(a->data, b->data, a->bytes) == 0;
}

static bool data_agree(const ir_datum *a, const ir_datum *b) {
    if (a->is_sequence != b->is_sequence || a->is_optional != b->is_optional || a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!data_agree(&a->items[i], &b->items[i])) return false;
    return tensors_agree(a->tensor, b->tensor);
}

bool oracle_agrees(pass_oracle *o, const ir_module *m, const char **why) {
    if (o->interface != interface_of(m->graphs)) {
        oracle_init(o, m, o->arena, o->seed);
        return true;
    }
    tl_arena_mark mark = tl_arena_get_mark(o->arena);
    ir_datum *outputs = TL_NEW_ARRAY(o->arena, ir_datum, o->n_out * o->n_steps);
    bool agree = run(o, m, outputs, why);
    for (uint32_t i = 0; i < o->n_out * o->n_steps && agree; i++) {
        agree = data_agree(&o->outputs[i], &outputs[i]);
        if (!agree)
            *why = tl_arena_printf(&m->ctx->arena, "output '%s' differs%s",
                                   m->graphs->outputs[i % o->n_out],
                                   i < o->n_out ? "" : " in a later step");
    }
    tl_arena_reset(o->arena, mark);
    return agree;
}
