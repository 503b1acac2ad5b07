/* fuse_conv: convolutions with constant kernels, and what follows them, become ConvPacked.
 *
 *   before:  %c = Conv<pads=[1,1,1,1]>(%x, @w, @b)    after:  %y = ConvPacked<features=64, kernel_shape=[3,3], pads=[1,1,1,1]>(%x, @w, @b.column) {
 *            %y = Relu(%c)                                      epilogue(%0, %1) { %2 = Add(%0, %1)  %y.inner = Relu(%2)  yield %y.inner }
 *                                                             }
 *
 * ConvPacked(X, W, extras...): the convolution of X with W (pack_weights changes W to the kernel's layout), then the region "epilogue"
 * on the result and the extras, as for MatMulPacked: one element, a value per channel [M,1,...], or all of the result. The bias is an
 * addition in the epilogue. */
#include "passes/epilogue.h"
#include "passes/util.h"

#include "ir/limits.h"

static bool is_easy_extra(const ir_value *v, const ir_type *t) {
    return chain_spans(v->type, t, 1, 2) || chain_spans(v->type, t, 0, t->rank);
}

/* The kernel's sizes are numbers and fit the operand's. */
static bool can_take(const ir_node *n) {
    if (n->op != OP_Conv || !n->out[0].uses || !ir_type_is_known(n->out[0].type)) return false;
    const ir_type *x = ir_in(n, 0)->type;
    const ir_value *w = ir_in(n, 1);
    int64_t channels, given, groups = ir_attr_int(n, "group", 1);
    if (!ir_value_is_const(w) || w->tensor->opaque || w->type->dtype != DT_f32 ||
        !ir_type_is_known(x) || !ir_tensor_elements(w->tensor))
        return false;
    ir_dim_is_const(w->type->dims[1], &channels);
    return ir_dim_is_const(x->dims[1], &given) && given == channels * groups;
}

/* The bias as an addition behind the convolution: [M] -> [M,1,...] */
static ir_node *add_bias(pass_ctx *ctx, ir_node *n) {
    ir_value *bias = ir_in(n, 2);
    if (!bias) return NULL;
    ir_builder b = ir_build_after(n);
    const ir_dim *dims[IR_MAX_RANK];
    uint32_t rank = (uint32_t)n->out[0].type->rank - 1;
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = i ? ir_dim_const(ctx->c, 1) : n->out[0].type->dims[1];
    if (ir_value_is_const(bias)) {
        const ir_type *t = ir_type_tensor(ctx->c, DT_f32, (int32_t)rank, dims);
        bias = ir_module_const(ctx->m, ir_tensor_create(ctx->m->arena, t, bias->tensor->data),
                               ir_name_derive(ctx->m, bias, "column"));
    } else {
        ir_builder before = ir_build_before(n);
        bias = build_reshape(&before, bias, dims, rank);
    }
    ir_value *sum = build_op2(&b, OP_Add, &n->out[0], bias);
    ir_value_replace_uses(&n->out[0], sum);
    ir_node_set_operand(sum->def, 0, &n->out[0]);
    sum->name = n->out[0].name;
    n->out[0].name = NULL;
    return sum->def;
}

static void copy_attrs(ir_module *m, const ir_node *from, ir_node *to) {
    static const char *const names[] = {"auto_pad", "dilations", "group", "pads", "strides"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const ir_attr *a = ir_attr_find(from, names[i]);
        if (a) ir_attr_set(m, to, a);
    }
}

static void set_sizes(pass_ctx *ctx, const ir_node *conv, ir_node *to) {
    const ir_type *w = ir_in(conv, 1)->type;
    int64_t features = 0, *kernel = TL_NEW_ARRAY(ctx->m->arena, int64_t, w->rank);
    ir_dim_is_const(w->dims[0], &features);
    for (int32_t i = 2; i < w->rank; i++)
        ir_dim_is_const(w->dims[i], &kernel[i - 2]);
    ir_attr_set_int(ctx->m, to, "features", features);
    ir_attr a = {.name = "kernel_shape", .kind = ATTR_INTS, .n = (uint32_t)w->rank - 2};
    a.v.ints = kernel;
    ir_attr_set(ctx->m, to, &a);
}

static bool fuse_one(pass_ctx *ctx, ir_node *n) {
    if (!can_take(n) || !ctx_take(ctx, "convolutions")) return false;
    add_bias(ctx, n);
    chain k = {.product = n, .is_easy = is_easy_extra};
    chain_follow(&k);
    ctx_count(ctx, "epilogue nodes", k.n);
    cluster c = chain_begin(ctx, &k, OP_ConvPacked);
    copy_attrs(ctx->m, n, c.node);
    set_sizes(ctx, n, c.node);
    cluster_add_operand(&c, ir_in(n, 0));
    cluster_add_operand(&c, ir_in(n, 1));
    chain_end(&c, &k);
    return true;
}

pass_result pass_fuse_conv(pass_ctx *ctx, ir_graph *g) {
    return chain_fuse_all(ctx, g->body, fuse_one) ? PASS_CHANGED : PASS_SAME;
}
