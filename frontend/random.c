/* Random numbers in terms of arithmetic on the numbers of the elements: no state, any element by itself, the same for any number of
 * threads.
 *
 *   %y = RandomUniform<shape=[2,3]>()   ->   %z = key + Range(0, 6) * 0x9e3779b97f4a7c15   u64
 *                                            three rounds of %z = (%z ^ %z >> a) * b
 *                                            %y = low + (high - low) * 2^-53 * (%z >> 11)
 *
 * The rounds are the finaliser of the generator SplitMix64. The key comes from the attribute `seed`; without one from the session's seed
 * (operator Seed) and the name of the result, so that every node has numbers of its own. With one seed a model gives the same numbers in
 * every run. */
#include "frontend/upgrade.h"

#include <math.h>

typedef struct generator {
    fe_node *n;
    ir_dtype type; /* f32 or f64: that of the numbers */
    uint64_t key;
    ir_value *session; /* u64: to be added to the key; NULL: the model alone says */
} generator;

static ir_value *op2(const generator *g, op_id op, ir_value *x, ir_value *y) {
    return fe_build2(g->n, op, x, y);
}
static ir_value *cast(const generator *g, ir_value *x, int64_t to) {
    return x ? fe_build1_int(g->n, OP_Cast, x, "to", to) : NULL;
}
static ir_value *number(const generator *g, double x) {
    return fe_scalar(g->n, g->type, x);
}

/* fe_scalar has room for 53 bits only. */
static ir_value *word(const generator *g, uint64_t x) {
    fe_import *im = g->n->im;
    ir_tensor *t = ir_tensor_alloc(im->s->arena, ir_type_scalar(im->c, DT_u64));
    ir_tensor_set_i64(t, 0, (int64_t)x);
    ir_tensor_seal(t);
    return ir_module_const(im->m, t, NULL);
}

static ir_value *shift_right(const generator *g, ir_value *x, uint64_t bits) {
    ir_attr right = {.name = "direction", .kind = ATTR_STRING, .v.s = tl_sv_from("RIGHT")};
    return fe_build(g->n, OP_BitShift, (ir_value *[]){x, word(g, bits)}, 2, &right, 1);
}

static ir_value *mix(const generator *g, ir_value *x, uint64_t bits) {
    return op2(g, OP_BitwiseXor, x, shift_right(g, x, bits));
}

/* ---- numbers ---------------------------------------------------------------------------------- */

/* In [0, 1), as many as the 1-D shape says. Streams of one generator are independent of each other. */
static ir_value *uniform(const generator *g, ir_value *shape, uint64_t stream) {
    ir_value *zero = fe_scalar(g->n, DT_i64, 0), *one = fe_scalar(g->n, DT_i64, 1), *count;
    count = shape ? fe_build1_int(g->n, OP_ReduceProd, shape, "keepdims", 0) : NULL;
    ir_value *z = fe_build(g->n, OP_Range, (ir_value *[]){zero, count, one}, 3, NULL, 0);
    z = op2(g, OP_Mul, cast(g, z, DT_u64), word(g, 0x9e3779b97f4a7c15u));
    z = op2(g, OP_Add, z, word(g, g->key + stream * 0xd1342543de82ef95u));
    if (g->session) z = op2(g, OP_Add, z, g->session);
    z = op2(g, OP_Mul, mix(g, z, 30), word(g, 0xbf58476d1ce4e5b9u));
    z = op2(g, OP_Mul, mix(g, z, 27), word(g, 0x94d049bb133111ebu));
    int bits = g->type == DT_f64 ? 53 : 24; /* what the type holds exactly: 1 is never reached */
    z = cast(g, shift_right(g, mix(g, z, 31), (uint64_t)(64 - bits)), g->type);
    z = op2(g, OP_Mul, z, number(g, ldexp(1, -bits)));
    return op2(g, OP_Reshape, z, shape);
}

/* Two uniform numbers make one that is normal (Box and Muller). */
static ir_value *normal(const generator *g, ir_value *shape) {
    ir_value *u = uniform(g, shape, 0), *v = uniform(g, shape, 1);
    ir_value *log = u ? fe_build1(g->n, OP_Log, op2(g, OP_Sub, number(g, 1), u)) : NULL;
    ir_value *square = op2(g, OP_Mul, log, number(g, -2));
    ir_value *angle = op2(g, OP_Mul, v, number(g, 2 * acos(-1)));
    if (!square || !angle) return NULL;
    return op2(g, OP_Mul, fe_build1(g->n, OP_Sqrt, square), fe_build1(g->n, OP_Cos, angle));
}

/* ---- nodes ------------------------------------------------------------------------------------ */

static uint64_t hash(const void *data, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return h;
}

/* Seeds that are neighbours become keys far apart. */
static void take_session(generator *g) {
    const char *name = g->n->n_out ? g->n->out_names[0] : "";
    g->key = hash(name, strlen(name));
    g->session = op2(g, OP_Mul, fe_build(g->n, OP_Seed, NULL, 0, NULL, 0),
                     word(g, 0xda942042e4dd58b5u));
}

static generator begin(fe_node *n, ir_dtype type) {
    generator g = {.n = n, .type = type == DT_f64 ? DT_f64 : DT_f32};
    const fe_attr *seed = fe_find_attr(n, "seed");
    if (!seed)
        take_session(&g);
    else
        g.key = hash(&seed->a.v, seed->a.kind == ATTR_FLOAT ? sizeof(float) : sizeof(int64_t));
    return g;
}

ir_value *fe_random(fe_node *n, ir_value *shape) {
    generator g = begin(n, DT_f64);
    return uniform(&g, shape, 0);
}

/* Attribute dtype, or `fallback`; false after reporting one that no number has. */
static bool wanted_type(fe_node *n, int64_t fallback, bool floats, ir_dtype *t) {
    int64_t v = fe_attr_int(n, "dtype", fallback);
    *t = v > 0 && v < DT_COUNT ? (ir_dtype)v : DT_undefined;
    bool ok = *t && (ir_dtype_is_float(*t) || (!floats && (ir_dtype_is_int(*t) || *t == DT_bool)));
    return ok || fe_error(n, "attribute 'dtype' is %lld, which is not possible here", (long long)v);
}

static ir_value *shape_attribute(fe_node *n) {
    const fe_attr *a = fe_find_attr(n, "shape");
    for (uint32_t i = 0; i < a->a.n; i++)
        if (a->a.v.ints[i] < 0) {
            fe_error(n, "attribute 'shape' has a negative dimension");
            return NULL;
        }
    return fe_i64s(n, a->a.v.ints, a->a.n);
}

/* The operand's shape, its element type where the attribute does not say another. */
static bool like_operand(fe_node *n, ir_value **shape, ir_dtype *t) {
    const ir_value *x = fe_in(n, 0);
    if (!x || !ir_type_is_tensor(x->type)) return fe_error(n, "input 0 is not a tensor");
    *shape = fe_shape(n, fe_in(n, 0));
    return *shape && wanted_type(n, x->type->dtype, true, t);
}

static bool give_uniform(fe_node *n, ir_value *shape, ir_dtype t) {
    generator g = begin(n, t);
    double low = (double)fe_attr_float(n, "low", 0), high = (double)fe_attr_float(n, "high", 1);
    ir_value *y = op2(&g, OP_Mul, uniform(&g, shape, 0), number(&g, high - low));
    return fe_finish(n, cast(&g, op2(&g, OP_Add, y, number(&g, low)), t));
}

static bool give_normal(fe_node *n, ir_value *shape, ir_dtype t) {
    generator g = begin(n, t);
    ir_value *scale = number(&g, (double)fe_attr_float(n, "scale", 1));
    ir_value *y = op2(&g, OP_Mul, normal(&g, shape), scale);
    y = op2(&g, OP_Add, y, number(&g, (double)fe_attr_float(n, "mean", 0)));
    return fe_finish(n, cast(&g, y, t));
}

static bool random_uniform(fe_node *n) {
    ir_dtype t;
    ir_value *shape = shape_attribute(n);
    return shape && wanted_type(n, DT_f32, true, &t) && give_uniform(n, shape, t);
}

static bool random_uniform_like(fe_node *n) {
    ir_dtype t;
    ir_value *shape;
    return like_operand(n, &shape, &t) && give_uniform(n, shape, t);
}

static bool random_normal(fe_node *n) {
    ir_dtype t;
    ir_value *shape = shape_attribute(n);
    return shape && wanted_type(n, DT_f32, true, &t) && give_normal(n, shape, t);
}

static bool random_normal_like(fe_node *n) {
    ir_dtype t;
    ir_value *shape;
    return like_operand(n, &shape, &t) && give_normal(n, shape, t);
}

/* 1 with the probability that the operand says. */
static bool bernoulli(fe_node *n) {
    ir_dtype from, t;
    if (!fe_in_dtype(n, 0, &from) || !wanted_type(n, from, false, &t)) return false;
    generator g = begin(n, from);
    ir_value *shape = fe_shape(n, fe_in(n, 0));
    ir_value *p = cast(&g, fe_in(n, 0), g.type);
    return fe_finish(n, cast(&g, op2(&g, OP_Less, uniform(&g, shape, 0), p), t));
}

/* ---- Multinomial ------------------------------------------------------------------------------ */

/* Sums of the probabilities of the classes up to each but the last: [batch, 1, classes - 1]. */
static ir_value *thresholds(const generator *g, ir_value *x) {
    fe_node *n = g->n;
    ir_value *p = fe_build1_int(n, OP_Softmax, cast(g, x, g->type), "axis", 1);
    ir_value *sums = op2(g, OP_CumSum, p, fe_scalar(n, DT_i64, 1));
    const int64_t zero = 0, last = -1, one = 1;
    ir_value *in[] = {sums, fe_i64s(n, &zero, 1), fe_i64s(n, &last, 1), fe_i64s(n, &one, 1)};
    sums = fe_build(n, OP_Slice, in, 4, NULL, 0);
    return sums ? fe_unsqueeze(n, sums, &one, 1) : NULL;
}

/* [batch, samples]: batch is the operand's. */
static ir_value *sample_shape(const generator *g, ir_value *x, int64_t samples) {
    ir_attr attrs[] = {{.name = "start", .kind = ATTR_INT, .v.i = 0},
                       {.name = "end", .kind = ATTR_INT, .v.i = 1}};
    ir_value *parts[] = {fe_build(g->n, OP_Shape, &x, 1, attrs, 2), fe_i64s(g->n, &samples, 1)};
    return fe_build(g->n, OP_Concat, parts, 2, &(ir_attr){.name = "axis", .kind = ATTR_INT}, 1);
}

/* The operand holds logarithms of probabilities up to a constant. A sample is the number of thresholds that a random number reaches. */
static bool multinomial(fe_node *n) {
    ir_dtype from;
    int64_t samples = fe_attr_int(n, "sample_size", 1), to = fe_attr_int(n, "dtype", DT_i32);
    const int64_t last = -1;
    if (!fe_in_dtype(n, 0, &from)) return false;
    if (fe_rank(fe_in(n, 0)) != 2) return fe_error(n, "input 0: expected rank 2");
    if (samples < 1) return fe_error(n, "attribute 'sample_size' is %lld", (long long)samples);
    if (to != DT_i32 && to != DT_i64)
        return fe_error(n, "attribute 'dtype' is %lld, expected i32 or i64", (long long)to);
    generator g = begin(n, from);
    ir_value *u = uniform(&g, sample_shape(&g, fe_in(n, 0), samples), 0);
    ir_value *limits = thresholds(&g, fe_in(n, 0));
    u = u ? fe_unsqueeze(n, u, &last, 1) : NULL;
    ir_value *reached = cast(&g, op2(&g, OP_GreaterOrEqual, u, limits), DT_i64);
    ir_value *in[] = {reached, fe_i64s(n, &last, 1)};
    ir_attr keep = {.name = "keepdims", .kind = ATTR_INT, .v.i = 0};
    return fe_finish(n, cast(&g, fe_build(n, OP_ReduceSum, in, 2, &keep, 1), to));
}

/* clang-format off */
const fe_rule fe_rules_random[] = {
    {"", "RandomUniform", FE_ALWAYS, random_uniform, "BitShift"},
    {"", "RandomUniformLike", FE_ALWAYS, random_uniform_like, "BitShift"},
    {"", "RandomNormal", FE_ALWAYS, random_normal, "BitShift"},
    {"", "RandomNormalLike", FE_ALWAYS, random_normal_like, "BitShift"},
    {"", "Bernoulli", FE_ALWAYS, bernoulli, "BitShift"},
    {"", "Multinomial", FE_ALWAYS, multinomial, "BitShift"},
    {0},
};
/* clang-format on */
