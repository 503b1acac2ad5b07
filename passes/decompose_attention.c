/* Attention that has no kernel of its own, in simpler terms (see decompose.c):
 *
 *   %y = Attention(%q, %k, %v, %mask)   f16   ->   the same in f32, operands and results cast
 *   %y, _, _, %qk = Attention(...)            ->   %s = MatMul(%q, Transpose(%k)) * scale,  + mask,  Softmax,  MatMul(…, %v)
 *
 * The kernel (codegen/lower/attention.c) takes f32 whose number and width of heads are constants, past keys and values and lengths
 * included; it never shows its scores. The order of steps is ONNX's: scale, softcap, mask, softmax. */
#include "passes/decompose.h"

#include "passes/util.h"

#include <math.h>

enum { Q, K, V, MASK, PAST_K, PAST_V, LENGTHS, N_OPERANDS };
enum { MAX_KERNEL_WIDTH = 256 };

typedef struct attention {
    ir_builder *b;
    ir_node *n;
    ir_value *in[N_OPERANDS]; /* floats and added masks in the type computed in; NULL = omitted */
    ir_dtype type;
} attention;

/* ---- what the kernel takes ------------------------------------------------------------------------------------------ */

static bool is_result_used(const ir_node *n, uint32_t i) {
    return i < n->n_out && n->out[i].uses;
}

/* [.., heads, .., width] of operand i, where both are constants. */
static bool const_heads(const ir_node *n, uint32_t i, const char *attr, int64_t *heads,
                        int64_t *width) {
    const ir_type *t = n->in[i].value->type;
    if (!ir_type_is_ranked(t)) return false;
    if (t->rank == 4)
        return ir_dim_is_const(t->dims[1], heads) && ir_dim_is_const(t->dims[3], width);
    *heads = ir_attr_int(n, attr, 0);
    if (t->rank != 3 || *heads < 1 || !ir_dim_is_const(t->dims[2], width)) return false;
    *width /= *heads;
    return true;
}

static bool fits_kernel(const ir_node *n) {
    int64_t heads, width;
    for (uint32_t i = Q; i <= V; i++) {
        if (!const_heads(n, i, i == Q ? "q_num_heads" : "kv_num_heads", &heads, &width))
            return false;
        if (heads < 1 || width > MAX_KERNEL_WIDTH) return false;
    }
    return !is_result_used(n, 3);
}

static bool has_kernel_types(const ir_node *n) {
    for (uint32_t i = Q; i <= PAST_V; i++) {
        if (!ir_in(n, i)) continue;
        ir_dtype t = n->in[i].value->type->dtype;
        if (t != DT_f32 && !(i == MASK && t == DT_bool)) return false;
    }
    return true;
}

/* ---- operands ------------------------------------------------------------------------------------------------------------ */

static ir_value *like(const attention *a, double x) {
    return build_scalar(a->b, a->type, x);
}

static void read_operands(attention *a) {
    a->type = ir_dtype_compute(a->n->in[Q].value->type->dtype);
    for (uint32_t i = 0; i < N_OPERANDS; i++) {
        ir_value *v = ir_in(a->n, i);
        bool is_added = v && i == MASK && v->type->dtype != DT_bool;
        bool is_float = v && ir_dtype_is_float(v->type->dtype);
        a->in[i] = is_float || is_added ? build_cast(a->b, v, a->type) : v;
    }
}

static void give_as(const attention *a, uint32_t result, ir_value *v) {
    ir_value *out = ir_out(a->n, result);
    if (out && out->uses) decompose_give(a->n, result, build_cast(a->b, v, out->type->dtype));
}

static bool through_kernel(attention *a) {
    ir_node *n = a->n;
    ir_node *y = build_node(a->b, OP_Attention, a->in, n->n_in, n->n_out, n->attrs, n->n_attrs);
    for (uint32_t i = 0; i < n->n_out; i++)
        give_as(a, i, &y->out[i]);
    return true;
}

/* [batch, length, heads * width] as [batch, heads, length, width] */
static ir_value *to_heads(attention *a, ir_value *x, const char *attr) {
    if (x->type->rank == 4) return x;
    int64_t heads = ir_attr_int(a->n, attr, 1), width;
    const int64_t shape[] = {0, 0, heads,
                             ir_dim_is_const(x->type->dims[2], &width) ? width / heads : -1};
    x = build_op2(a->b, OP_Reshape, x, build_i64s(a->b, shape, 4));
    return build_transpose(a->b, x, (int64_t[]){0, 2, 1, 3}, 4);
}

static ir_value *with_past(attention *a, uint32_t i, uint32_t past) {
    ir_value *x = to_heads(a, a->in[i], "kv_num_heads");
    return a->in[past] ? build_op2_int(a->b, OP_Concat, a->in[past], x, "axis", 2) : x;
}

/* Key and value heads repeated for the query heads that share them. */
static ir_value *for_all_heads(attention *a, ir_value *x, const ir_dim *heads) {
    const ir_dim *const *d = x->type->dims;
    if (ir_dim_equal(d[1], heads)) return x;
    const ir_dim *group = ir_dim_floordiv(a->b->m->ctx, heads, d[1]);
    ir_value *apart = build_op2(a->b, OP_Unsqueeze, x, build_i64s(a->b, (int64_t[]){2}, 1));
    ir_value *shape = build_dims(a->b, (const ir_dim *[]){d[0], d[1], group, d[2], d[3]}, 5);
    return build_reshape(a->b, build_op2(a->b, OP_Expand, apart, shape),
                         (const ir_dim *[]){d[0], heads, d[2], d[3]}, 4);
}

/* ---- scores ---------------------------------------------------------------------------------------------------------------- */

static ir_value *scaled(attention *a, ir_value *scores, const ir_dim *width) {
    int64_t w;
    if (ir_attr_has(a->n, "scale"))
        return build_op2(a->b, OP_Mul, scores, like(a, (double)ir_attr_float(a->n, "scale", 1)));
    if (ir_dim_is_const(width, &w))
        return build_op2(a->b, OP_Mul, scores, like(a, 1 / sqrt((double)w)));
    ir_value *x = build_cast(a->b, build_dim_scalar(a->b, width), a->type);
    return build_op2(a->b, OP_Div, scores, build_op1(a->b, OP_Sqrt, x));
}

static ir_value *capped(attention *a, ir_value *scores) {
    double cap = (double)ir_attr_float(a->n, "softcap", 0);
    if (cap <= 0) return scores;
    ir_value *x = build_op2(a->b, OP_Div, scores, like(a, cap));
    return build_op2(a->b, OP_Mul, build_op1(a->b, OP_Tanh, x), like(a, cap));
}

static ir_value *keep_where(attention *a, ir_value *condition, ir_value *scores) {
    return build_op3(a->b, OP_Where, condition, scores, like(a, -INFINITY));
}

/* A mask of fewer columns than there are keys masks out the rest. */
static ir_value *full_mask(attention *a, const ir_dim *keys) {
    ir_value *m = a->in[MASK];
    ir_ctx *c = a->b->m->ctx;
    const ir_dim *pads[8];
    int32_t rank = m->type->rank;
    const ir_dim *missing = ir_dim_sub(c, keys, m->type->dims[rank - 1]);
    if (ir_dim_is(missing, 0)) return m;
    for (int32_t i = 0; i < 2 * rank; i++)
        pads[i] = i == 2 * rank - 1 ? missing : ir_dim_const(c, 0);
    ir_dtype t = m->type->dtype;
    return build_op3(a->b, OP_Pad, m, build_dims(a->b, pads, (uint32_t)(2 * rank)),
                     build_scalar(a->b, t, t == DT_bool ? 0 : -INFINITY));
}

static ir_value *masked(attention *a, ir_value *scores) {
    const ir_dim *queries = scores->type->dims[2], *keys = scores->type->dims[3];
    if (a->in[MASK]) {
        ir_value *m = full_mask(a, keys);
        scores = m->type->dtype == DT_bool ? keep_where(a, m, scores)
                                           : build_op2(a->b, OP_Add, scores, m);
    }
    if (ir_attr_int(a->n, "is_causal", 0)) {
        ir_value *last = build_op2(a->b, OP_Unsqueeze, build_range(a->b, queries),
                                   build_i64s(a->b, (int64_t[]){1}, 1));
        if (a->in[PAST_K])
            last = build_op2(a->b, OP_Add, last,
                             build_dim_scalar(a->b, a->in[PAST_K]->type->dims[2]));
        scores = keep_where(a, build_op2(a->b, OP_LessOrEqual, build_range(a->b, keys), last),
                            scores);
    }
    if (a->in[LENGTHS]) {
        ir_value *n = build_op2(a->b, OP_Reshape, a->in[LENGTHS],
                                build_i64s(a->b, (int64_t[]){-1, 1, 1, 1}, 4));
        scores = keep_where(a, build_op2(a->b, OP_Less, build_range(a->b, keys), n), scores);
    }
    return scores;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------- */

static bool is_expandable(const attention *a) {
    for (uint32_t i = 0; i < N_OPERANDS; i++) {
        const ir_value *v = ir_in(a->n, i);
        if (v && !can_build_type(a->b, v->type)) return false;
        if (v && i == MASK && (v->type->rank < 1 || v->type->rank > 4)) return false;
    }
    return true;
}

static ir_value *weights_of(attention *a, ir_value *q, ir_value *k) {
    int64_t mode = ir_attr_int(a->n, "qk_matmul_output_mode", 0);
    ir_value *stage[4], *kt = build_transpose(a->b, k, (int64_t[]){0, 1, 3, 2}, 4);
    stage[0] = scaled(a, build_op2(a->b, OP_MatMul, q, kt), q->type->dims[3]);
    stage[1] = capped(a, stage[0]);
    stage[2] = masked(a, stage[1]);
    stage[3] = build_op1_int(a->b, OP_Softmax, stage[2], "axis", -1);
    if (mode >= 0 && mode < 4) give_as(a, 3, stage[mode]);
    return stage[3];
}

/* Heads side by side again where the queries came so. */
static ir_value *as_queries(attention *a, ir_value *y) {
    if (a->in[Q]->type->rank == 4) return y;
    y = build_transpose(a->b, y, (int64_t[]){0, 2, 1, 3}, 4);
    ir_value *flat = build_reshape_to(a->b, y, a->n->out[0].type);
    return flat ? flat : build_op2(a->b, OP_Reshape, y, build_i64s(a->b, (int64_t[]){0, 0, -1}, 3));
}

bool decompose_attention(ir_builder *b, ir_node *n) {
    attention a = {.b = b, .n = n};
    bool kernel = fits_kernel(n);
    if ((kernel && has_kernel_types(n)) || !is_expandable(&a)) return false;
    read_operands(&a);
    if (kernel && a.type == DT_f32) return through_kernel(&a);
    ir_value *q = to_heads(&a, a.in[Q], "q_num_heads");
    ir_value *k = with_past(&a, K, PAST_K), *v = with_past(&a, V, PAST_V);
    give_as(&a, 1, k);
    give_as(&a, 2, v);
    const ir_dim *heads = q->type->dims[1];
    ir_value *weights = weights_of(&a, q, for_all_heads(&a, k, heads));
    ir_value *y = build_op2(b, OP_MatMul, weights, for_all_heads(&a, v, heads));
    give_as(&a, 0, as_queries(&a, y));
    return true;
}
