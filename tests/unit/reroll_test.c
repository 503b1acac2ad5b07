/* reroll on whole models, on random chains, and on many nodes. By hand: reroll_test [NUMBER OF A RANDOM CASE]. */
#include "codegen/cg.h"
#include "frontend/frontend.h"
#include "ir/eval.h"
#include "passes/pass.h"
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"

#include <elf.h>
#include <stdlib.h>
#include <time.h>

static uint32_t count_recurs(const ir_region *r) {
    uint32_t count = 0;
    ir_for_each_node (n, r) {
        count += n->op == OP_Recur;
        for (uint32_t i = 0; i < n->n_regions; i++)
            count += count_recurs(n->regions[i]);
    }
    return count;
}

/* Rounds of the first Recur; 0 without one. */
static int64_t first_rounds(const ir_region *r) {
    int64_t rounds;
    ir_for_each_node (n, r)
        if (n->op == OP_Recur && ir_value_const_i64(n->in[0].value, &rounds)) return rounds;
    return 0;
}

/* ---- inputs and results ------------------------------------------------------------------------------------------ */

enum { MAX_VALUES = 8 };

typedef struct values {
    ir_datum list[MAX_VALUES];
    const ir_datum *in[MAX_VALUES];
} values;

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static bool size_is_two(void *data, const char *symbol, int64_t *value) {
    (void)data, (void)symbol;
    *value = 2;
    return true;
}

static const ir_type *sized_type(ir_ctx *c, const ir_type *t) {
    int64_t dims[16];
    for (int32_t i = 0; i < t->rank; i++)
        ir_dim_eval(t->dims[i], size_is_two, NULL, &dims[i]);
    return ir_type_tensor_static(c, t->dtype, t->rank, dims);
}

/* Floats from -1 to 1, integers from 0 to 9: tokens. */
static void make_inputs(test_module *t, const ir_graph *g, values *v) {
    uint32_t seed = 7;
    for (uint32_t i = 0; i < g->body->n_params; i++) {
        ir_tensor *x = ir_tensor_alloc(&t->arena, sized_type(&t->c, g->body->params[i]->type));
        for (size_t k = 0; k < ir_tensor_elements(x); k++)
            if (ir_dtype_is_float(x->type->dtype))
                ir_tensor_set_f64(x, k, next_random(&seed) / 8388608.0 - 1);
            else
                ir_tensor_set_i64(x, k, next_random(&seed) % 10);
        ir_tensor_seal(x);
        v->list[i] = (ir_datum){.tensor = x};
        v->in[i] = &v->list[i];
    }
}

static bool evaluate(test_module *t, const ir_module *m, const values *in, ir_datum *out) {
    ir_eval e;
    ir_eval_init(&e, &t->c, &t->arena);
    return ir_eval_graph(&e, m->graphs, in->in, out);
}

/* ---- models ------------------------------------------------------------------------------------------------------- */

#define BEFORE "infer_shapes,fold_shapes,dce,cse"
#define AFTER                                                                             \
    "decompose,fix(infer_shapes,fold_shapes,cse,dce),fuse_normalization,fuse_activation," \
    "fuse_attention,decompose,infer_shapes,merge_matmul,fuse_matmul,pack_weights,"        \
    "fuse_elementwise,dce"

static ir_module *import(test_module *t, const char *name, const char *passes) {
    char path[256];
    snprintf(path, sizeof path, "tests/models/%s/model.onnx", name);
    ir_module *m = fe_import_file(&t->c, &t->arena, path, NULL);
    if (CHECK(m && pass_run(m, passes, NULL))) return m;
    fputs(test_messages(t), stderr);
    return NULL;
}

/* Every bit of the evaluator's results stays. */
static void check_evaluated(test_module *t, ir_module *m, const ir_module *rolled) {
    values in;
    ir_datum a[MAX_VALUES], b[MAX_VALUES];
    uint32_t n = ir_region_n_results(m->graphs->body);
    make_inputs(t, m->graphs, &in);
    if (!CHECK(evaluate(t, m, &in, a) && evaluate(t, rolled, &in, b)))
        fputs(test_messages(t), stderr);
    CHECK(compiled_same_bits(a, b, n));
}

/* So do those of compiled code, where nothing but reroll differs. In the default pipeline folding computes what a constant state leads to in
 * the first step, by the evaluator: other bits than those of the kernels, unless the steps have become a Recur before. */
static void check_compiled(test_module *t, ir_module *m, ir_module *rolled) {
    values in;
    ir_datum a[MAX_VALUES], b[MAX_VALUES];
    uint32_t n = ir_region_n_results(m->graphs->body);
    make_inputs(t, m->graphs, &in);
    const tlbc_model *plain = compiled_load(m, AFTER), *loop = compiled_load(rolled, AFTER);
    if (!CHECK(plain && loop && compiled_run(&t->c, &t->arena, plain, 1, in.in, a) &&
               compiled_run(&t->c, &t->arena, loop, 2, in.in, b)))
        fputs(test_messages(t), stderr);
    else
        CHECK(compiled_same_bits(a, b, n));
}

/* One Recur of so many rounds. */
static void test_model(const char *name, int64_t rounds) {
    test_module t;
    test_module_init(&t);
    int failed = check_failed;
    ir_module *m = import(&t, name, BEFORE), *rolled = import(&t, name, BEFORE ",reroll,dce");
    if (m && rolled) {
        CHECK_EQ(count_recurs(rolled->graphs->body), 1);
        CHECK_EQ(first_rounds(rolled->graphs->body), rounds);
        check_evaluated(&t, m, rolled);
        check_compiled(&t, m, rolled);
    }
    if (check_failed != failed) fprintf(stderr, "  in %s\n", name);
    test_module_release(&t);
}

static void test_models(void) {
    test_model("tlb_odd_unrolled_dynamo", 5);
    test_model("tlb_odd_unrolled_ts", 5);
    test_model("tlb_test_global", 5);
    test_model("tlb_test_keras_quirk", 4);
    test_model("tlb_test_mask", 5);
    test_model("tlb_test_ragged", 5); /* of 6: the last chunk is shorter */
    test_model("tlb_test_unrolled_batch", 5);
    test_model("tlb_test_unrolled_dynamo", 5);
    test_model("tlb_test_unrolled_dynamo20_batch", 5);
    test_model("tlb_test_unrolled_dynamo23_sdpa", 5);
    test_model("tlb_test_unrolled_ts", 5);
    test_model("tlb_test_unrolled_ts13", 5);
    test_model("tlb_test_unrolled_ts20_split", 5);
    test_model("tlb_tiny", 4);
}

/* Folding first: what the constant state leads to is gone from the first step, and becomes the first value of what is carried. */
static void test_folded_models(void) {
    static const char *const names[] = {"tlb_test_unrolled_ts", "tlb_test_mask", "tlb_tiny"};
    for (uint32_t i = 0; i < 3; i++) {
        test_module t;
        test_module_init(&t);
        const char *fold =
            "infer_shapes,decompose,fix(infer_shapes,fold_constants,simplify,cse,dce)";
        char passes[256];
        snprintf(passes, sizeof passes, "%s,reroll,dce", fold);
        ir_module *m = import(&t, names[i], fold), *rolled = import(&t, names[i], passes);
        if (m && rolled) {
            CHECK_EQ(first_rounds(rolled->graphs->body), i == 2 ? 4 : 5);
            check_evaluated(&t, m, rolled);
        }
        test_module_release(&t);
    }
}

/* ---- random chains -------------------------------------------------------------------------------------------- */

enum { MAX_OPS = 24, MAX_STEPS = 7, MAX_CARRIES = 3, MAX_NODES = MAX_OPS * MAX_STEPS };

/* One step: operand -1 - k is carried value k, -1 - MAX_CARRIES the step's input, others are operations of the step. */
typedef struct chain {
    uint32_t seed, n_ops, n_steps, n_carries;
    struct {
        const char *op;
        int a, b;
        bool weight; /* the second operand is a constant of its own */
    } ops[MAX_OPS];
    bool constant_state, concat;
} chain;

static int pick_operand(chain *c, uint32_t i) {
    uint32_t k = next_random(&c->seed) % (i + 2 + c->n_carries);
    return k < i ? (int)k : k < i + c->n_carries ? -1 - (int)(k - i) : -1 - MAX_CARRIES;
}

static void make_chain(chain *c, uint32_t seed) {
    static const char *const binary[] = {"Add", "Mul", "Sub", "Max"};
    static const char *const unary[] = {"Tanh", "Sigmoid", "Neg", "Erf"};
    *c = (chain){.seed = seed * 7919 + 1};
    c->n_carries = 1 + next_random(&c->seed) % MAX_CARRIES;
    c->n_steps = 4 + next_random(&c->seed) % (MAX_STEPS - 3);
    c->n_ops = 9 + next_random(&c->seed) % (MAX_OPS - 8);
    c->constant_state = next_random(&c->seed) % 2;
    c->concat = next_random(&c->seed) % 2;
    for (uint32_t i = 0; i < c->n_ops; i++) {
        uint32_t kind = next_random(&c->seed) % 3;
        c->ops[i].weight = kind == 0;
        c->ops[i].op = kind == 0 ? "MatMul"
                                 : (kind == 1 ? unary : binary)[next_random(&c->seed) % 4];
        c->ops[i].a = pick_operand(c, i);
        c->ops[i].b = kind == 2 ? pick_operand(c, i) : INT32_MIN;
    }
    /* A spine through all steps, with a weight and the input in it: every other operation, from the first state to the next one. */
    c->ops[2].op = "Add";
    c->ops[2].weight = false;
    c->ops[2].b = -1 - MAX_CARRIES;
    c->ops[0].op = "MatMul";
    c->ops[0].weight = true;
    c->ops[0].b = INT32_MIN;
    for (uint32_t i = 0; i < c->n_ops; i++)
        c->ops[i].a = i == 0 ? -1 : (int)(i % 2 ? i - 1 : i - 2);
}

/* Number of the operation that makes carried value k. */
static uint32_t update_of(const chain *c, uint32_t k) {
    return c->n_ops - 1 - k;
}

static void print_operand(const chain *c, tl_str *s, uint32_t step, int operand) {
    if (operand >= 0)
        tl_str_printf(s, "%%o%u_%d", step, operand);
    else if (operand == -1 - MAX_CARRIES)
        tl_str_printf(s, "%%x%u", step);
    else if (step)
        tl_str_printf(s, "%%o%u_%u", step - 1, update_of(c, (uint32_t)(-1 - operand)));
    else
        tl_str_printf(s, "%cm%d", c->constant_state ? '@' : '%', -1 - operand);
}

static void print_op(const chain *c, tl_str *s, uint32_t step, uint32_t i) {
    tl_str_printf(s, "  f32[2,4] %%o%u_%u = %s(", step, i, c->ops[i].op);
    print_operand(c, s, step, c->ops[i].a);
    if (c->ops[i].weight) tl_str_printf(s, ", @w%u", i);
    if (c->ops[i].b != INT32_MIN) {
        tl_str_printf(s, ", ");
        print_operand(c, s, step, c->ops[i].b);
    }
    tl_str_printf(s, ")\n");
}

static bool is_ready(const chain *c, const bool *done, uint32_t step, int operand) {
    if (operand == INT32_MIN || operand == -1 - MAX_CARRIES) return true;
    if (operand >= 0) return done[step * MAX_OPS + (uint32_t)operand];
    return !step || done[(step - 1) * MAX_OPS + update_of(c, (uint32_t)(-1 - operand))];
}

/* All operations in any order in which each stands behind what it reads. */
static void print_shuffled(chain *c, tl_str *s) {
    bool done[MAX_NODES] = {false};
    for (uint32_t left = c->n_ops * c->n_steps; left;) {
        uint32_t step = next_random(&c->seed) % c->n_steps, i = next_random(&c->seed) % c->n_ops;
        if (done[step * MAX_OPS + i] || !is_ready(c, done, step, c->ops[i].a) ||
            !is_ready(c, done, step, c->ops[i].b))
            continue;
        print_op(c, s, step, i);
        done[step * MAX_OPS + i] = true;
        left--;
    }
}

static void print_chain(chain *c, tl_str *s) {
    for (uint32_t i = 0; i < c->n_ops; i++)
        tl_str_printf(s, "const @w%u f32[4,4] rand %u\n", i, i + 1);
    for (uint32_t i = 0; i <= c->n_steps; i++)
        tl_str_printf(s, "const @at%u i64[1] {%u}\n", i, 2 * i);
    for (uint32_t k = 0; c->constant_state && k < c->n_carries; k++)
        tl_str_printf(s, "const @m%u f32[2,4] rand %u\n", k, 100 + k);
    tl_str_printf(s, "graph g(f32[%u,4] %%x", 2 * c->n_steps);
    for (uint32_t k = 0; !c->constant_state && k < c->n_carries; k++)
        tl_str_printf(s, ", f32[2,4] %%m%u", k);
    tl_str_printf(s, ") => (f32[2,4] last%s) {\n", c->concat ? ", all" : "");
    for (uint32_t i = 0; i < c->n_steps; i++)
        tl_str_printf(s, "  f32[2,4] %%x%u = Slice(%%x, @at%u, @at%u)\n", i, i, i + 1);
    print_shuffled(c, s);
    for (uint32_t i = 0; c->concat && i < c->n_steps; i++)
        tl_str_printf(s, i ? ", %%o%u_%u" : "  %%all = Concat<axis=0>(%%o%u_%u", i, c->n_ops / 2);
    tl_str_printf(s, "%s  return %%o%u_%u%s\n}\n", c->concat ? ")\n" : "", c->n_steps - 1,
                  c->n_ops - 1, c->concat ? ", %all" : "");
}

/* Whether it has become a Recur; that no bit changes is checked. */
static bool test_random(uint32_t number, bool explain) {
    test_module t;
    test_module_init(&t);
    chain c;
    tl_str text;
    tl_str_init(&text, &t.arena);
    make_chain(&c, number);
    print_chain(&c, &text);
    const char *fold = number % 2 ? "fold_constants,cse,dce" : "cse,dce";
    ir_module *m = test_parse(&t, text.data), *rolled = test_parse(&t, text.data);
    int failed = check_failed;
    bool found = false;
    if (m && rolled && CHECK(pass_run(m, fold, NULL)) && CHECK(pass_run(rolled, fold, NULL)) &&
        CHECK(pass_run(rolled, "reroll,dce",
                       &(pass_options){.explain = explain ? "reroll" : NULL}))) {
        if (explain) puts(text.data);
        found = count_recurs(rolled->graphs->body) > 0;
        check_evaluated(&t, m, rolled);
    }
    if (check_failed != failed) fprintf(stderr, "  in random case %u:\n%s", number, text.data);
    test_module_release(&t);
    return found;
}

static void test_randoms(void) {
    enum { N = 400 };
    uint32_t found = 0;
    for (uint32_t i = 0; i < N; i++)
        found += test_random(i, false);
    printf("%u of %d random chains became a Recur\n", found, (int)N);
    CHECK(found > N * 9 / 10);
}

/* ---- many nodes --------------------------------------------------------------------------------------------------- */

enum { LAYERS = 22 };

/* Six nodes. The last layers of a step read the state, too. */
static void print_layer(tl_str *s, uint32_t step, uint32_t i) {
    char state[32] = "%m";
    if (step) snprintf(state, sizeof state, "%%n%u_%d", step - 1, LAYERS);
    tl_str_printf(s, "  %%a%u_%u = LayerNormalization(%%n%u_%u, @g)\n", step, i, step, i);
    tl_str_printf(s, "  %%b%u_%u = MatMul(%%a%u_%u, @w%u)\n", step, i, step, i, i);
    tl_str_printf(s, "  %%c%u_%u = Gelu(%%b%u_%u)\n", step, i, step, i);
    tl_str_printf(s, "  %%d%u_%u = MatMul(%%c%u_%u, @v%u)\n", step, i, step, i, i);
    tl_str_printf(s, "  %%e%u_%u = Add(%%d%u_%u, %s)\n", step, i, step, i,
                  i < LAYERS - 4 ? "@g" : state);
    tl_str_printf(s, "  %%n%u_%u = Add(%%n%u_%u, %%e%u_%u)\n", step, i + 1, step, i, step, i);
}

/* As many nodes a step as a TLB of LRA Text has. */
static void print_many(tl_str *s, uint32_t steps) {
    for (uint32_t i = 0; i < LAYERS; i++)
        tl_str_printf(s, "const @w%u f32[4,4] rand %u\nconst @v%u f32[4,4] rand %u\n", i, i, i,
                      99 + i);
    tl_str_printf(s, "const @g f32[4] rand 50\n");
    for (uint32_t i = 0; i <= steps; i++)
        tl_str_printf(s, "const @at%u i64[1] {%u}\n", i, 2 * i);
    tl_str_printf(s, "graph g(f32[%u,4] %%x, f32[2,4] %%m) => (f32[2,4] last) {\n", 2 * steps);
    for (uint32_t k = 0; k < steps; k++) {
        tl_str_printf(s, "  %%n%u_0 = Slice(%%x, @at%u, @at%u)\n", k, k, k + 1);
        for (uint32_t i = 0; i < LAYERS; i++)
            print_layer(s, k, i);
    }
    tl_str_printf(s, "  return %%n%u_%d\n}\n", steps - 1, LAYERS);
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double time_of(uint32_t steps) {
    test_module t;
    test_module_init(&t);
    tl_str text;
    tl_str_init(&text, &t.arena);
    print_many(&text, steps);
    ir_module *m = test_parse(&t, text.data);
    double start = seconds_now();
    CHECK(m && pass_run(m, "reroll", NULL));
    double seconds = seconds_now() - start;
    if (m) CHECK_EQ(first_rounds(m->graphs->body), steps);
    test_module_release(&t);
    return seconds;
}

/* 53,200 nodes: 2 seconds, and twice as many nodes take twice the time (fewer would fit into a cache that these do not fit into). Other programs run on the machine, so the limits are generous, and
 * debug builds verify around the pass. */
static void test_many(void) {
#ifdef NDEBUG
    const double limit = 2;
#else
    const double limit = 15;
#endif
    double half = time_of(400), full = time_of(800);
    for (uint32_t i = 0; i < 2 && full > 3 * half; i++)
        half = time_of(400), full = time_of(800);
    printf("53,200 nodes in %.3f s, 106,400 in %.3f s\n", half, full);
    CHECK(full < limit);
    CHECK(full < 3 * half);
}

/* Bytes of machine code in an object file. */
static uint64_t code_bytes(tl_sv object) {
    Elf64_Ehdr head;
    uint64_t bytes = 0;
    memcpy(&head, object.data, sizeof head);
    for (uint32_t i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr section;
        memcpy(&section, object.data + head.e_shoff + i * sizeof section, sizeof section);
        if (section.sh_flags & SHF_EXECINSTR) bytes += section.sh_size;
    }
    return bytes;
}

static uint64_t code_of(uint32_t steps) {
    test_module t;
    test_module_init(&t);
    tl_str text;
    tl_sv object = {0};
    cg_target target;
    tl_str_init(&text, &t.arena);
    print_many(&text, steps);
    ir_module *m = test_parse(&t, text.data);
    cg_options o = {.targets = &target, .n_targets = 1, .name = "model"};
    if (m && CHECK(cg_target_find(&t.c, "x86-64-v3", &target) && pass_run(m, "default", NULL))) {
        cg_model *model = cg_lower(m, &o);
        uint32_t n;
        cg_unit **units = model ? cg_model_units(model, CG_OBJECT, &n) : NULL;
        CHECK(units && cg_unit_get_result(units[0], &object));
    }
    uint64_t bytes = object.len ? code_bytes(object) : 0;
    test_module_release(&t);
    return bytes;
}

/* Eight times the steps are the same code, but for numbers that take a byte more. */
static void test_code_size(void) {
    uint64_t few = code_of(8), many = code_of(64);
    printf("code for 8 steps %llu bytes, for 64 steps %llu\n", (unsigned long long)few,
           (unsigned long long)many);
    CHECK(few > 1000);
    CHECK(many < few + few / 50 + 64);
    CHECK(few < many + many / 50 + 64);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        uint32_t number = (uint32_t)strtoul(argv[1], NULL, 10);
        if (!test_random(number, true)) printf("no Recur\n");
        return check_done();
    }
    test_models();
    test_folded_models();
    test_randoms();
    test_many();
    test_code_size();
    return check_done();
}
