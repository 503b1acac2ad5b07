/* LinearAttention as a recurrence over its matrix state (see decompose.c):
 *
 *   %y, %s = LinearAttention<update_rule="gated_delta">(%q, %k, %v, %s0, %g, %b)
 *   ->  %s, %ys = Recur<carries=1>(%T, %s0, %q * scale, %k, %v, Exp(%g), %b) {          // sliced along time, [batch, heads, ...]
 *         body(%i, %s, %q, %k, %v, %e, %b) {
 *           %d = Mul(%s, %e)                                                            // gated
 *           %w = Mul(%b, Sub(%v, MatMul(%k, %d)))                                       // delta
 *           %s1 = Add(%d, Mul(Transpose(%k), %w))
 *           yield %s1, MatMul(%q, %s1)
 *         } }
 *
 * Query heads that share a state are the rows of one product. Computed in f32 where the operands are narrower. */
#include "passes/decompose.h"
#include "passes/recur_build.h"
#include "passes/util.h"

#include <math.h>

enum { Q, K, V, PAST, DECAY, BETA };

typedef struct linear_attention {
    ir_builder *b;
    ir_node *n;
    ir_dtype type;
    const ir_dim *batch, *steps, *kv, *group, *dk, *dv, *one;
} linear_attention;

static void read_dims(linear_attention *a) {
    ir_ctx *c = a->b->m->ctx;
    const ir_dim *const *q = a->n->in[Q].value->type->dims;
    int64_t heads = ir_attr_int(a->n, "q_num_heads", 1), kv = ir_attr_int(a->n, "kv_num_heads", 1);
    a->type = ir_dtype_compute(a->n->in[Q].value->type->dtype);
    a->batch = q[0], a->steps = q[1];
    a->kv = ir_dim_const(c, kv), a->group = ir_dim_const(c, heads / kv),
    a->one = ir_dim_const(c, 1);
    a->dk = ir_dim_floordiv(c, q[2], ir_dim_const(c, heads));
    a->dv = ir_dim_floordiv(c, a->n->in[V].value->type->dims[2], a->kv);
}

/* Operand i as [batch, steps, heads, x, y], in the type that is computed in. */
static ir_value *in_heads(const linear_attention *a, uint32_t i, const ir_dim *x, const ir_dim *y) {
    const ir_dim *dims[] = {a->batch, a->steps, a->kv, x, y};
    return build_cast(a->b, build_reshape(a->b, a->n->in[i].value, dims, 5), a->type);
}

/* A gate [batch, steps, width] as [batch, steps, dims[2], dims[3], 1]: repeated where there is one element for
 * all. heads, each: the axes 2 and 3 that the width makes, one of them -1. */
static ir_value *gate(const linear_attention *a, uint32_t i, int64_t heads, int64_t each,
                      const ir_dim *const *dims) {
    const int64_t apart[] = {0, 0, heads, each, 1};
    ir_value *x = build_cast(a->b, a->n->in[i].value, a->type);
    x = build_op2(a->b, OP_Reshape, x, build_i64s(a->b, apart, 5));
    const ir_dim *const *own = x->type->dims;
    bool fits = true;
    for (int k = 2; k < 4; k++)
        fits = fits && (ir_dim_is(own[k], 1) || ir_dim_equal(own[k], dims[k]));
    if (fits) return x;
    x = build_op2(a->b, OP_Expand, x, build_dims(a->b, dims, 5));
    return build_reshape(a->b, x, dims, 5);
}

/* One factor for each head, or for each element of its keys; the factors of all steps at once. */
static ir_value *decay_of(const linear_attention *a) {
    const ir_dim *dims[] = {a->batch, a->steps, a->kv, a->dk, a->one};
    int64_t kv = ir_attr_int(a->n, "kv_num_heads", 1);
    return build_op1(a->b, OP_Exp, gate(a, DECAY, kv, -1, dims));
}

static ir_value *beta_of(const linear_attention *a) {
    const ir_dim *dims[] = {a->batch, a->steps, a->kv, a->one, a->one};
    return gate(a, BETA, -1, 1, dims);
}

static ir_value *scaled_queries(const linear_attention *a) {
    ir_value *q = in_heads(a, Q, a->group, a->dk);
    double scale = (double)ir_attr_float(a->n, "scale", 0);
    int64_t width;
    if (scale == 0 && ir_dim_is_const(a->dk, &width)) scale = 1 / sqrt((double)width);
    if (scale != 0) return build_op2(a->b, OP_Mul, q, build_scalar(a->b, a->type, scale));
    ir_value *size = build_cast(a->b, build_dim_scalar(a->b, a->dk), a->type);
    return build_op2(a->b, OP_Div, q, build_op1(a->b, OP_Sqrt, size));
}

static ir_value *initial_state(const linear_attention *a) {
    const ir_dim *dims[] = {a->batch, a->kv, a->dk, a->dv};
    if (ir_in(a->n, PAST)) {
        ir_value *past = build_cast(a->b, a->n->in[PAST].value, a->type);
        return build_reshape(a->b, past, dims, 4);
    }
    ir_value *zero = build_scalar(a->b, a->type, 0);
    return build_op2(a->b, OP_Expand, zero, build_dims(a->b, dims, 4));
}

/* One step: the new state; e, beta: NULL where the rule has none. */
static ir_value *update(ir_builder *b, ir_value *s, ir_value *k, ir_value *v, ir_value *e,
                        ir_value *beta) {
    if (e) s = build_op2(b, OP_Mul, s, e);
    if (beta)
        v = build_op2(b, OP_Mul, beta, build_op2(b, OP_Sub, v, build_op2(b, OP_MatMul, k, s)));
    ir_value *column = build_transpose(b, k, (int64_t[]){0, 1, 3, 2}, 4);
    return build_op2(b, OP_Add, s, build_op2(b, OP_Mul, column, v));
}

static ir_node *build_loop(const linear_attention *a) {
    ir_value *q = scaled_queries(a), *k = in_heads(a, K, a->one, a->dk),
             *v = in_heads(a, V, a->one, a->dv), *s0 = initial_state(a),
             *e = ir_in(a->n, DECAY) ? decay_of(a) : NULL,
             *beta = ir_in(a->n, BETA) ? beta_of(a) : NULL;
    recur_draft r = recur_begin(a->b, build_dim_scalar(a->b, a->steps));
    ir_value *s = recur_add_carried(&r, s0);
    q = recur_add_sliced(&r, q, 1, false);
    k = recur_add_sliced(&r, k, 1, false);
    v = recur_add_sliced(&r, v, 1, false);
    if (e) e = recur_add_sliced(&r, e, 1, false);
    if (beta) beta = recur_add_sliced(&r, beta, 1, false);
    s = update(&r.b, s, k, v, e, beta);
    ir_value *results[] = {s, build_op2(&r.b, OP_MatMul, q, s)};
    return recur_end(&r, results, 2, 1, false);
}

bool decompose_linear_attention(ir_builder *b, ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !can_build_type(b, n->in[i].value->type)) return false;
    linear_attention a = {.b = b, .n = n};
    read_dims(&a);
    ir_node *loop = build_loop(&a);
    const ir_dim *packed[] = {a.batch, a.steps, n->out[0].type->dims[2]};
    ir_value *y = build_reshape(b, &loop->out[1], packed, 3);
    decompose_give(n, 0, build_cast(b, y, n->out[0].type->dtype));
    if (n->n_out > 1) decompose_give(n, 1, build_cast(b, &loop->out[0], n->out[1].type->dtype));
    return true;
}
