/* See random_graph.h. Each generator takes some of the values made so far and proposes a node; what inference refuses is dropped
 * again. So generators need not know the rules of shapes, and the graphs still are valid. */
#include "tests/support/random_graph.h"

#include "ir/base/vec.h"
#include "ir/build.h"
#include "ir/text.h"

#include <stdio.h>

enum { MAX_NODES = 40, MAX_ELEMENTS = 4096 };

typedef struct source {
    const uint8_t *bytes;
    size_t n, at;
} source;

typedef struct gen {
    source *src;
    ir_module *m;
    ir_region *region;
    uint32_t depth;
    TL_VEC(ir_value *) values; /* that may be used here */
    TL_VEC(ir_value *)
    finals; /* results of the graph that nothing else uses: their dims are not known to fit anything */
} gen;

/* ---- choices ------------------------------------------------------------------------------------------------ */

static uint32_t choose(gen *g, uint32_t below) {
    source *s = g->src;
    return s->at < s->n ? s->bytes[s->at++] % below : 0;
}

static bool at_end(const gen *g) {
    return g->src->at >= g->src->n;
}

static ir_value *any(gen *g) {
    /* rather a recent one */
    uint32_t back = choose(g, 8), len = g->values.len;
    return g->values.data[back < 5 && back < len ? len - 1 - back : choose(g, len)];
}

/* A value of this element type, looked for from a random one on. */
static ir_value *any_of(gen *g, ir_dtype t) {
    uint32_t len = g->values.len, start = choose(g, len);
    for (uint32_t i = 0; i < len; i++) {
        ir_value *v = g->values.data[(start + i) % len];
        if (v->type->kind == IR_TYPE_TENSOR && v->type->dtype == t) return v;
    }
    return NULL;
}

/* An integer tensor whose contents inference knows: a shape that is right or refused, not one that fails later. */
static ir_value *any_shape(gen *g) {
    ir_value *v = any_of(g, DT_i64);
    const ir_dim *dims[8];
    int32_t n = ir_value_known_dims(g->m->ctx, v, dims, 8);
    for (int32_t i = 0; i < n; i++)
        if (ir_dim_is_unknown(dims[i])) return NULL;
    return n >= 0 ? v : NULL;
}

static ir_builder builder(gen *g) {
    return ir_build_at_end(g->region, NULL);
}

static ir_value *constant(gen *g, ir_dtype t, int32_t rank, const int64_t *dims) {
    static const double values[] = {0, 1, -1, 2, 0.5, 3, -0.0, 4};
    ir_tensor *k = ir_tensor_alloc(g->m->arena, ir_type_tensor_static(g->m->ctx, t, rank, dims));
    uint32_t first = choose(g, 8), step = choose(g, 2);
    for (size_t i = 0; i < ir_tensor_elements(k); i++)
        ir_tensor_set_f64(k, i, values[(first + i * step) % 8]);
    ir_tensor_seal(k);
    return ir_module_const(g->m, k, NULL);
}

static ir_value *ints(gen *g, const int64_t *v, uint32_t n) {
    ir_builder b = builder(g);
    return build_i64s(&b, v, n);
}

/* ---- proposing nodes ---------------------------------------------------------------------------------------- */

static bool too_large(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_type *t = n->out[i].type;
        size_t elements;
        if (!ir_type_is_tensor(t)) continue;
        bool from_list = n->op ==
                         OP_ConcatFromSequence; /* of as many parts as the loop has steps */
        if (!(ir_type_is_known(t) || from_list) || t->rank > 5) return true;
        if (ir_type_static_elements(t, &elements) && elements > MAX_ELEMENTS) return true;
    }
    return false;
}

/* Keeps the node where verifier and inference accept it, and offers its results; else drops it. */
static bool accept(gen *g, ir_node *n) {
    diag saved = g->m->ctx->diag;
    bool good = ir_node_verify(g->m->ctx, n) && ir_infer_node(g->m->ctx, n) && !too_large(n);
    g->m->ctx->diag = saved;
    if (!good) {
        ir_node_remove(n);
        return false;
    }
    for (uint32_t i = 0; i < n->n_out; i++)
        tl_vec_push(g->m->arena, &g->values, &n->out[i]);
    return true;
}

static bool propose(gen *g, op_id op, ir_value *const *in, uint32_t n_in, const ir_attr *attrs,
                    uint32_t n_attrs) {
    for (uint32_t i = 0; i < n_in; i++)
        if (!in[i]) return false;
    ir_node *n = ir_node_create(g->m, op, in, n_in, 1);
    for (uint32_t i = 0; i < n_attrs; i++)
        ir_attr_set(g->m, n, &attrs[i]);
    ir_node_append(g->region, n);
    return accept(g, n);
}

static ir_attr int_attr(const char *name, int64_t v) {
    return (ir_attr){.name = name, .kind = ATTR_INT, .v.i = v};
}

/* ---- generators --------------------------------------------------------------------------------------------- */

static void gen_unary(gen *g) {
    static const op_id ops[] = {OP_Neg,      OP_Abs,     OP_Relu, OP_Tanh,
                                OP_Identity, OP_Sigmoid, OP_Exp,  OP_Sqrt};
    op_id op = ops[choose(g, 8)];
    propose(g, op, (ir_value *[]){any_of(g, DT_f32)}, 1, NULL, 0);
}

static void gen_binary(gen *g) {
    static const op_id ops[] = {OP_Add, OP_Mul, OP_Sub, OP_Div, OP_Max, OP_Min, OP_Pow, OP_Sum};
    op_id op = ops[choose(g, 8)];
    ir_value *x = any(g);
    if (!ir_type_is_tensor(x->type)) return;
    ir_value *y = choose(g, 2) ? any_of(g, x->type->dtype) : constant(g, x->type->dtype, 0, NULL);
    if (choose(g, 2))
        propose(g, op, (ir_value *[]){x, y}, 2, NULL, 0);
    else
        propose(g, op, (ir_value *[]){y, x}, 2, NULL, 0);
}

static void gen_integer(gen *g) {
    static const op_id ops[] = {OP_Add, OP_Mul, OP_Sub, OP_Div, OP_Max, OP_Min};
    op_id op = ops[choose(g, 6)];
    ir_value *x = any_of(g, DT_i64),
             *y = choose(g, 2) ? any_of(g, DT_i64) : constant(g, DT_i64, 0, NULL);
    propose(g, op, (ir_value *[]){x, y}, 2, NULL, 0);
}

static void gen_compare(gen *g) {
    static const op_id ops[] = {OP_Less, OP_Equal, OP_Greater, OP_And, OP_Or};
    op_id op = ops[choose(g, 5)];
    ir_dtype t = op == OP_And || op == OP_Or ? DT_bool : choose(g, 2) ? DT_f32 : DT_i64;
    propose(g, op, (ir_value *[]){any_of(g, t), any_of(g, t)}, 2, NULL, 0);
}

static void gen_where(gen *g) {
    ir_value *x = any(g), *c = choose(g, 3) ? any_of(g, DT_bool) : constant(g, DT_bool, 0, NULL);
    if (!ir_type_is_tensor(x->type)) return;
    propose(g, OP_Where, (ir_value *[]){c, x, any_of(g, x->type->dtype)}, 3, NULL, 0);
}

static void gen_cast(gen *g) {
    static const ir_dtype types[] = {DT_f32, DT_i64, DT_i32, DT_bool, DT_f64, DT_f16};
    ir_attr to = int_attr("to", types[choose(g, 6)]);
    propose(g, OP_Cast, (ir_value *[]){any(g)}, 1, &to, 1);
}

static void gen_transpose(gen *g) {
    ir_value *x = any(g);
    int64_t perm[8];
    if (!ir_type_is_ranked(x->type) || x->type->rank > 5) return;
    uint32_t rank = (uint32_t)x->type->rank;
    for (uint32_t i = 0; i < rank; i++)
        perm[i] = i;
    for (uint32_t i = rank; i > 1; i--) {
        uint32_t k = choose(g, i);
        int64_t t = perm[i - 1];
        perm[i - 1] = perm[k];
        perm[k] = t;
    }
    ir_attr a = {.name = "perm", .kind = ATTR_INTS, .n = rank, .v.ints = perm};
    propose(g, OP_Transpose, &x, 1, &a, 1);
}

static void gen_reshape(gen *g) {
    static const int64_t shapes[][3] = {{0, -1, 0}, {-1, 2, 3}, {1, -1, 1},
                                        {-1, 1, 1}, {0, 0, -1}, {2, -1, 2}};
    uint32_t which = choose(g, 6), rank = 1 + choose(g, 3);
    ir_value *shape = choose(g, 3) ? ints(g, shapes[which], rank) : any_shape(g);
    propose(g, OP_Reshape, (ir_value *[]){any(g), shape}, 2, NULL, 0);
}

static void gen_rank(gen *g) {
    static const op_id ops[] = {OP_Unsqueeze, OP_Squeeze, OP_Flatten};
    op_id op = ops[choose(g, 3)];
    int64_t axis = (int64_t)choose(g, 4) - 1;
    ir_attr a = int_attr("axis", axis);
    if (op == OP_Flatten)
        propose(g, op, (ir_value *[]){any(g)}, 1, &a, 1);
    else
        propose(g, op, (ir_value *[]){any(g), ints(g, &axis, 1)}, 2, NULL, 0);
}

static void gen_slice(gen *g) {
    static const int64_t ends[] = {1, 2, 3, -1, INT64_MAX};
    int64_t start = choose(g, 3), end = ends[choose(g, 5)], axis = choose(g, 3),
            step = 1 + choose(g, 2);
    ir_value *in[] = {any(g), ints(g, &start, 1), ints(g, &end, 1), ints(g, &axis, 1),
                      ints(g, &step, 1)};
    propose(g, OP_Slice, in, 5, NULL, 0);
}

static void gen_concat(gen *g) {
    ir_value *x = any(g);
    if (!ir_type_is_tensor(x->type)) return;
    ir_attr a = int_attr("axis", choose(g, 3));
    ir_value *in[] = {x, any_of(g, x->type->dtype), x};
    propose(g, OP_Concat, in, 1 + choose(g, 3), &a, 1);
}

static void gen_gather(gen *g) {
    static const int64_t rows[][2] = {{0, 1}, {1, 0}, {-1, 0}, {0, 0}};
    const int64_t *row = rows[choose(g, 4)];
    ir_builder b = builder(g);
    ir_attr a = int_attr("axis", choose(g, 2));
    ir_value *index = choose(g, 2) ? ints(g, row, 2)
                                   : build_dim_scalar(&b, ir_dim_const(g->m->ctx, row[0]));
    propose(g, OP_Gather, (ir_value *[]){any(g), index}, 2, &a, 1);
}

static void gen_reduce(gen *g) {
    static const op_id ops[] = {OP_ReduceSum, OP_ReduceMean, OP_ReduceMax, OP_ReduceL2};
    op_id op = ops[choose(g, 4)];
    int64_t axis = choose(g, 3);
    ir_attr a = int_attr("keepdims", choose(g, 2));
    propose(g, op, (ir_value *[]){any_of(g, DT_f32), ints(g, &axis, 1)}, 2, &a, 1);
}

static void gen_softmax(gen *g) {
    ir_attr a = int_attr("axis", (int64_t)choose(g, 3) - 1);
    propose(g, OP_Softmax, (ir_value *[]){any_of(g, DT_f32)}, 1, &a, 1);
}

static void gen_matmul(gen *g) {
    propose(g, OP_MatMul, (ir_value *[]){any_of(g, DT_f32), any_of(g, DT_f32)}, 2, NULL, 0);
}

static void gen_gemm(gen *g) {
    ir_value *x = any_of(g, DT_f32), *w = any_of(g, DT_f32);
    ir_attr a[] = {{.name = "alpha", .kind = ATTR_FLOAT, .v.f = choose(g, 2) ? 1 : 0.5f},
                   int_attr("transA", choose(g, 2)),
                   int_attr("transB", choose(g, 2))};
    propose(g, OP_Gemm, (ir_value *[]){x, w}, 2, a, 3);
}

static void gen_shape(gen *g) {
    propose(g, choose(g, 3) ? OP_Shape : OP_Size, (ir_value *[]){any(g)}, 1, NULL, 0);
}

static void gen_expand(gen *g) {
    static const int64_t shapes[][2] = {{2, 3}, {1, 1}, {3, 1}, {2, 1}};
    ir_value *shape = choose(g, 2) ? ints(g, shapes[choose(g, 4)], 2) : any_shape(g);
    propose(g, OP_Expand, (ir_value *[]){any(g), shape}, 2, NULL, 0);
}

static void gen_constant(gen *g) {
    static const int64_t shapes[][2] = {{2, 3}, {3, 2}, {3, 3}, {1, 3}, {2, 1}};
    ir_dtype t = choose(g, 3) ? DT_f32 : DT_i64;
    const int64_t *dims = shapes[choose(g, 5)];
    tl_vec_push(g->m->arena, &g->values, constant(g, t, (int32_t)choose(g, 3), dims));
}

/* ---- regions ------------------------------------------------------------------------------------------------ */

static void fill_region(gen *outer, ir_region *r, uint32_t n_nodes, gen *inner);

/* A value of exactly this type: one of the region's, or the fallback. */
static ir_value *result_of_type(gen *g, const ir_type *t, ir_value *fallback) {
    for (uint32_t i = g->values.len; i-- > 0;)
        if (g->values.data[i]->type == t) return g->values.data[i];
    return fallback;
}

static void gen_if(gen *g) {
    if (g->depth > 1) return;
    ir_value *c = choose(g, 2) ? any_of(g, DT_bool) : constant(g, DT_bool, 0, NULL), *x = any(g);
    if (!c || c->type->rank != 0) return;
    ir_node *n = ir_node_create(g->m, OP_If, &c, 1, 1);
    ir_node_append(g->region, n);
    for (int i = 0; i < 2; i++) {
        gen inner;
        ir_region *r = ir_node_add_region(g->m, n, i ? "else_branch" : "then_branch");
        fill_region(g, r, 1 + choose(g, 3), &inner);
        ir_region_add_result(r, result_of_type(&inner, x->type, x));
    }
    accept(g, n);
}

static void add_loop_params(gen *g, ir_region *r, const ir_value *x, const ir_type *list) {
    ir_region_add_param(r, ir_type_scalar(g->m->ctx, DT_i64), NULL);
    ir_region_add_param(r, ir_type_scalar(g->m->ctx, DT_bool), NULL);
    ir_region_add_param(r, x->type, NULL);
    ir_region_add_param(r, x->type, NULL);
    if (list) ir_region_add_param(r, list, NULL);
}

static ir_value *insert_in_list(gen *g, ir_region *r, ir_value *list, ir_value *v) {
    ir_builder b = ir_build_at_end(r, NULL);
    (void)g;
    return build_op2(&b, OP_SequenceInsert, list, v);
}

/* Two carried values like x, one of them handed on as it is; a stacked output, or a list that is joined afterwards. */
static void gen_loop(gen *g) {
    ir_value *x = any_of(g, DT_f32);
    if (g->depth > 1 || !x || !ir_type_is_known(x->type) || x->type->rank < 1) return;
    ir_builder b = builder(g);
    bool with_list = choose(g, 2);
    ir_value *trips = build_dim_scalar(&b, ir_dim_const(g->m->ctx, choose(g, 4)));
    ir_value *yes = build_scalar(&b, DT_bool, 1), *empty = NULL;
    ir_attr dtype = int_attr("dtype", DT_f32);
    if (with_list) empty = build_node(&b, OP_SequenceEmpty, NULL, 0, 1, &dtype, 1)->out;
    ir_value *in[] = {trips, choose(g, 2) ? yes : NULL, x, x, empty};
    ir_node *n = ir_node_create(g->m, OP_Loop, in, with_list ? 5 : 4, 3);
    ir_node_append(g->region, n);
    ir_region *r = ir_node_add_region(g->m, n, "body");
    add_loop_params(g, r, x, with_list ? ir_type_sequence(g->m->ctx, x->type) : NULL);
    gen inner;
    fill_region(g, r, 1 + choose(g, 4), &inner);
    ir_value *next = result_of_type(&inner, x->type, r->params[2]);
    ir_region_set_results(r, (ir_value *[]){r->params[1], next, r->params[3]}, 3);
    ir_region_add_result(r, with_list ? insert_in_list(g, r, r->params[4], next) : next);
    if (!accept(g, n) || !with_list) return;
    g->values.len--; /* the list itself serves nothing else */
    ir_attr a[] = {int_attr("axis", choose(g, 2)), int_attr("new_axis", choose(g, 2))};
    if (propose(g, OP_ConcatFromSequence, (ir_value *[]){&n->out[2]}, 1, a, 2))
        tl_vec_push(g->m->arena, &g->finals, g->values.data[--g->values.len]);
}

typedef void generator(gen *g);
static generator *const generators[] = {
    gen_unary,     gen_binary,  gen_integer, gen_compare, gen_where,    gen_cast,
    gen_transpose, gen_reshape, gen_rank,    gen_slice,   gen_concat,   gen_gather,
    gen_reduce,    gen_matmul,  gen_gemm,    gen_softmax, gen_shape,    gen_expand,
    gen_unary,     gen_binary,  gen_if,      gen_loop,    gen_constant, gen_integer,
};

static void fill_region(gen *outer, ir_region *r, uint32_t n_nodes, gen *inner) {
    *inner = (gen){.src = outer->src, .m = outer->m, .region = r, .depth = outer->depth + 1};
    for (uint32_t i = 0; i < outer->values.len; i++)
        tl_vec_push(outer->m->arena, &inner->values, outer->values.data[i]);
    for (uint32_t i = 0; i < r->n_params; i++)
        if (ir_type_is_tensor(r->params[i]->type))
            tl_vec_push(outer->m->arena, &inner->values, r->params[i]);
    for (uint32_t i = 0; i < n_nodes && !at_end(inner); i++)
        generators[choose(inner, sizeof generators / sizeof *generators)](inner);
}

/* ---- the module --------------------------------------------------------------------------------------------- */

static void add_input(gen *g, const char *name, ir_dtype t, int32_t rank,
                      const ir_dim *const *dims) {
    const ir_type *type = ir_type_tensor(g->m->ctx, t, rank, dims);
    tl_vec_push(g->m->arena, &g->values, ir_region_add_param(g->region, type, name));
}

static void add_inputs(gen *g) {
    ir_ctx *c = g->m->ctx;
    const ir_dim *n = ir_dim_symbol(c, "N"), *two = ir_dim_const(c, 2), *three = ir_dim_const(c, 3);
    add_input(g, "x", DT_f32, 2, (const ir_dim *[]){n, three});
    add_input(g, "w", DT_f32, 2, (const ir_dim *[]){three, three});
    add_input(g, "y", DT_f32, 2, (const ir_dim *[]){two, three});
    add_input(g, "i", DT_i64, 1, (const ir_dim *[]){two});
    add_input(g, "p", DT_bool, 0, NULL);
}

static void add_output(ir_graph *graph, ir_value *v) {
    char name[16];
    snprintf(name, sizeof name, "out%u", ir_region_n_results(graph->body));
    ir_graph_add_output(graph, name, v);
}

/* All tensors that nothing reads, so that every node counts. */
static void add_outputs(gen *g, ir_graph *graph) {
    for (uint32_t i = 0; i < g->values.len; i++)
        if (ir_type_is_tensor(g->values.data[i]->type) && !g->values.data[i]->uses)
            add_output(graph, g->values.data[i]);
    for (uint32_t i = 0; i < g->finals.len; i++)
        add_output(graph, g->finals.data[i]);
}

ir_module *random_module(ir_ctx *c, tl_arena *a, const uint8_t *bytes, size_t n) {
    source s = {bytes, n, 0};
    gen g = {.src = &s, .m = ir_module_create(c, a)};
    ir_graph *graph = ir_graph_create(g.m, "g");
    g.region = graph->body;
    add_inputs(&g);
    for (int i = 0; i < MAX_NODES && !at_end(&g); i++)
        generators[choose(&g, sizeof generators / sizeof *generators)](&g);
    add_outputs(&g, graph);
    return g.m;
}
