/* Operators of models that generate step by step, in simpler terms (see decompose.c):
 *
 *   %y, %s = CausalConvWithState(%x, @w, @b, %past)   ->   %p = Concat<axis=2>(%past, %x)
 *                                                          %y = @b + @w[0] * %p[0:T] + @w[1] * %p[1:T+1] + ...
 *                                                          %s = %p[T:]
 *   %y = RotaryEmbedding(%x, %cos, %sin, %positions)  ->   rows of the caches gathered, then RotaryEmbedding without positions
 *
 * A few taps are products of views, one nest after fuse_elementwise; more have a kernel (codegen/lower/causal_conv.c). */
#include "passes/decompose.h"

#include "passes/util.h"

enum { MAX_TAPS = 16 };

/* ---- CausalConvWithState ------------------------------------------------------------------------------------------ */

typedef struct causal_conv {
    ir_builder *b;
    ir_node *n;
    const ir_dim *length, *taps, *before; /* before: taps - 1 */
    ir_value *padded;
    ir_dtype type; /* that is computed in */
} causal_conv;

static ir_value *slice(ir_builder *b, ir_value *x, int64_t axis, const ir_dim *start,
                       const ir_dim *end) {
    ir_value *in[] = {x, build_dims(b, &start, 1), build_dims(b, &end, 1), build_i64s(b, &axis, 1)};
    return &build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out[0];
}

static ir_value *pad_front(causal_conv *v) {
    ir_value *x = v->n->in[0].value;
    const ir_dim *zero = ir_dim_const(v->b->m->ctx, 0);
    if (ir_in(v->n, 3)) return build_op2_int(v->b, OP_Concat, v->n->in[3].value, x, "axis", 2);
    if (ir_dim_is(v->before, 0)) return x;
    const ir_dim *pads[] = {zero, zero, v->before, zero, zero, zero};
    return build_op2(v->b, OP_Pad, x, build_dims(v->b, pads, 6));
}

/* [channels, 1] of a tap or of the bias: broadcasts over batch and time. */
static ir_value *per_channel(causal_conv *v, ir_value *x) {
    return build_op2(v->b, OP_Reshape, build_cast(v->b, x, v->type),
                     build_i64s(v->b, (int64_t[]){-1, 1}, 2));
}

static ir_value *sum_of_taps(causal_conv *v, int64_t taps) {
    ir_ctx *c = v->b->m->ctx;
    ir_value *sum = ir_in(v->n, 2) ? per_channel(v, v->n->in[2].value) : NULL;
    for (int64_t i = 0; i < taps; i++) {
        const ir_dim *at = ir_dim_const(c, i), *next = ir_dim_const(c, i + 1);
        ir_value *x = slice(v->b, v->padded, 2, at, ir_dim_add(c, v->length, at));
        ir_value *w = per_channel(v, slice(v->b, v->n->in[1].value, 2, at, next));
        ir_value *product = build_op2(v->b, OP_Mul, build_cast(v->b, x, v->type), w);
        sum = sum ? build_op2(v->b, OP_Add, sum, product) : product;
    }
    return sum;
}

/* Many taps: the operator itself, from a past that is given; zeros where there is none. */
static ir_value *through_kernel(causal_conv *v) {
    ir_builder *b = v->b;
    ir_node *n = v->n;
    ir_value *in[4] = {n->in[0].value, n->in[1].value, ir_in(n, 2), ir_in(n, 3)};
    const ir_type *x = in[0]->type;
    const ir_dim *dims[] = {x->dims[0], x->dims[1], v->before};
    if (!in[3])
        in[3] = build_op2(b, OP_Expand, build_scalar(b, x->dtype, 0), build_dims(b, dims, 3));
    ir_node *y = build_node(b, OP_CausalConvWithState, in, 4, 2, NULL, 0);
    if (n->n_out > 1) decompose_give(n, 1, &y->out[1]);
    return &y->out[0];
}

static ir_value *through_products(causal_conv *v, int64_t taps) {
    ir_ctx *c = v->b->m->ctx;
    v->padded = pad_front(v);
    if (v->n->n_out > 1)
        decompose_give(v->n, 1,
                       slice(v->b, v->padded, 2, v->length, ir_dim_add(c, v->length, v->before)));
    return sum_of_taps(v, taps);
}

bool decompose_causal_conv(ir_builder *b, ir_node *n) {
    const ir_type *x = n->in[0].value->type, *w = n->in[1].value->type;
    int64_t taps = 0;
    if (!can_build_type(b, x) || !can_build_type(b, w)) return false;
    bool few = ir_dim_is_const(w->dims[2], &taps) && taps <= MAX_TAPS;
    bool plain = strcmp(ir_attr_string(n, "activation", "none"), "none") == 0;
    if (!few && plain && ir_in(n, 3)) return false;
    causal_conv v = {b, n, x->dims[2], w->dims[2], .type = ir_dtype_compute(x->dtype)};
    v.before = ir_dim_sub(b->m->ctx, v.taps, ir_dim_const(b->m->ctx, 1));
    ir_value *y = few ? through_products(&v, taps) : build_cast(b, through_kernel(&v), v.type);
    if (!plain) y = build_op2(b, OP_Mul, y, build_op1(b, OP_Sigmoid, y));
    return decompose_give(n, 0, build_cast(b, y, x->dtype));
}

/* ---- RotaryEmbedding ---------------------------------------------------------------------------------------------- */

bool decompose_rotary(ir_builder *b, ir_node *n) {
    if (!ir_in(n, 3)) return false;
    ir_value *in[3] = {n->in[0].value};
    for (uint32_t i = 1; i <= 2; i++) {
        if (!ir_type_is_ranked(n->in[i].value->type)) return false;
        in[i] = build_op2_int(b, OP_Gather, n->in[i].value, n->in[3].value, "axis", 0);
    }
    ir_node *y = build_node(b, OP_RotaryEmbedding, in, 3, 1, n->attrs, n->n_attrs);
    return decompose_give(n, 0, &y->out[0]);
}
