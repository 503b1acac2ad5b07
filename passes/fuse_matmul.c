/* fuse_matmul: products with a constant matrix, and what follows them, become MatMulPacked.
 *
 *   before:  %p = MatMul(%x, @w)              after:  %y = MatMulPacked<n=256>(%x, @w, @b, %r) {
 *            %s = Add(%p, @b)                           epilogue(%0, %1, %2) { %s = Add(%0, %1)  %y.inner = Add(%s, %2)  yield %y.inner }
 *            %y = Add(%s, %r)                         }
 *
 * MatMulPacked(A, W, extras...): A[..., K] times W[K, N] (pack_weights changes W to the kernel's layout), then the region "epilogue" on
 * the product and the extras. The region takes the chain of elementwise operators behind the product as long as each value has one
 * reader and keeps the product's type. Other operands of the chain must be easy to read beside a tile of the product: one element, a
 * row [N], a column [..., M, 1] or all of [..., M, N]. The new node stands where the chain ended, so that all extras are there.
 *
 * MatMulPacked without a region (a weight that stays quantised, fuse_quantized) gets one in the same way. MatMulInteger of u8 by a constant
 * of i8 without zero points is such a product too, and ConvBytes; the chain behind it may change the element type, to f32 and back to bytes. */
#include "passes/epilogue.h"
#include "passes/util.h"

/* All of [..., M, N], a row [N], a column [..., M, 1]. */
static bool is_easy_extra(const ir_value *v, const ir_type *t) {
    int32_t last = t->rank - 1;
    return chain_spans(v->type, t, 0, t->rank) || chain_spans(v->type, t, last, t->rank) ||
           chain_spans(v->type, t, 0, last);
}

/* The weight as a matrix; NULL where it is no constant that can be packed. */
static ir_value *find_weight(pass_ctx *ctx, const ir_node *n) {
    ir_value *w = ir_in(n, 1);
    const ir_type *a = ir_in(n, 0)->type, *t = w->type;
    if (!ir_value_is_const(w) || w->tensor->opaque || !ir_type_is_ranked(a) || a->rank < 2 ||
        !ir_type_is_known(n->out[0].type))
        return NULL;
    bool fits = n->op == OP_MatMulInteger ? has_quad_kernel(n) : t->dtype == DT_f32;
    if (!fits || t->rank < 2 || t->rank > a->rank) return NULL;
    for (int32_t i = 0; i < t->rank - 2; i++)
        if (!ir_dim_is(t->dims[i], 1)) return NULL;
    if (t->rank == 2) return w;
    const ir_type *matrix = ir_type_tensor(ctx->c, t->dtype, 2, t->dims + t->rank - 2);
    return ir_module_const(ctx->m, ir_tensor_create(ctx->m->arena, matrix, w->tensor->data),
                           w->name);
}

static void build(pass_ctx *ctx, const chain *c, ir_value *weight) {
    int64_t columns = 0;
    bool is_conv = c->product->op == OP_ConvBytes;
    cluster k = chain_begin(ctx, c, is_conv ? OP_ConvBytes : OP_MatMulPacked);
    if (is_conv || c->product->op == OP_MatMulPacked)
        for (uint32_t i = 0; i < c->product->n_attrs; i++)
            ir_attr_set(ctx->m, k.node, &c->product->attrs[i]);
    else if (ir_dim_is_const(weight->type->dims[1], &columns))
        ir_attr_set_int(ctx->m, k.node, "n", columns);
    cluster_add_operand(&k, ir_in(c->product, 0));
    cluster_add_operand(&k, weight);
    chain_end(&k, c);
}

static bool fuse_product(pass_ctx *ctx, ir_node *n) {
    chain k = {.product = n, .is_easy = is_easy_extra};
    bool is_product = n->op == OP_MatMul || n->op == OP_MatMulInteger;
    ir_value *weight = is_product && n->out[0].uses ? find_weight(ctx, n) : NULL;
    if ((n->op == OP_MatMulPacked || n->op == OP_ConvBytes) && !n->n_regions) weight = ir_in(n, 1);
    if (!weight || !ctx_take(ctx, "products")) return false;
    chain_follow(&k);
    ctx_count(ctx, "epilogue nodes", k.n);
    build(ctx, &k, weight);
    return true;
}

pass_result pass_fuse_matmul(pass_ctx *ctx, ir_graph *g) {
    return chain_fuse_all(ctx, g->body, fuse_product) ? PASS_CHANGED : PASS_SAME;
}
