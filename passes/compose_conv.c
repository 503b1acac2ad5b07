/* compose_conv: a convolution of a convolution is one, where windows lie side by side and that is less work.
 *
 *   before:  %a = Conv<strides=[22]>(%x, @v)      f32[1,128,30], kernel 22          after:  %y = Conv<strides=[66]>(%x, %w)
 *            %y = Conv<strides=[3]>(%a, @w)       f32[1,128,10], kernel 3                   // %w[o,i,3*22]: sum over m of @w[o,m,j] @v[m,i,t]
 *
 * Between the two nothing may happen but the bias. Kernel and stride are equal in both, so that element j*k + t of the new kernel is
 * element t below element j of the old ones; windows that no longer fit at the end are dropped the same way. The new kernel and bias are
 * computed from constants, and folded later. The first convolution goes where nobody else reads it.
 *
 * Work for each new window, in multiply-adds: channels * k * features, in place of middle * features, and of channels * k * middle where
 * the first one goes. Sums take another order, so --math=strict has none of it. Left alone: groups, padding, dilation, two kernels of one
 * element (they are products, which the rules of simplify_rules.def compose), kernels that are no constants. */
#include "passes/util.h"

#include "ir/limits.h"
#include "ir/window.h"

typedef struct patches {
    ir_node *conv;
    uint32_t axes;
    int64_t features, channels, kernel[IR_MAX_RANK], elements; /* of one kernel, in one channel */
} patches;

/* A constant, or what this pass has made of constants. */
static bool is_weight(const ir_value *v) {
    if (v->tensor) return !v->tensor->opaque;
    const ir_node *n = v->def;
    if (!n || (n->op != OP_MatMul && n->op != OP_Reshape && n->op != OP_Transpose &&
               n->op != OP_ReduceSum && n->op != OP_Add))
        return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!ir_in(n, i) || !is_weight(ir_in(n, i))) return false;
    return true;
}

static bool constant_dims(const ir_type *t, int64_t *sizes) {
    if (!ir_type_is_known(t)) return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (!ir_dim_is_const(t->dims[i], &sizes[i])) return false;
    return true;
}

/* n is a Conv of windows side by side, kernel and bias from constants. */
static bool find_patches(ir_ctx *c, ir_node *n, patches *p) {
    int64_t sizes[IR_MAX_RANK];
    ir_window window;
    if (!n || n->op != OP_Conv || ir_attr_int(n, "group", 1) != 1) return false;
    const ir_value *x = ir_in(n, 0), *w = ir_in(n, 1), *bias = ir_in(n, 2);
    if (!is_weight(w) || (bias && !is_weight(bias)) || !constant_dims(w->type, sizes) ||
        w->type->dtype != DT_f32 || !ir_type_is_known(x->type))
        return false;
    *p = (patches){n, (uint32_t)w->type->rank - 2, sizes[0], sizes[1], .elements = 1};
    if (2 + 2 * p->axes > IR_MAX_RANK ||
        ir_window_init(&window, c, n, (int32_t)p->axes, x->type->dims + 2, w->type->dims + 2) ||
        ir_window_is_padded(&window))
        return false;
    for (uint32_t i = 0; i < p->axes; i++) {
        p->kernel[i] = sizes[2 + i];
        p->elements *= p->kernel[i];
        if (window.stride[i] != p->kernel[i] || (window.dilation[i] != 1 && p->kernel[i] != 1))
            return false;
    }
    return true;
}

static bool is_less_work(const patches *first, const patches *second) {
    double read = (double)first->channels * (double)first->elements,
           features = (double)second->features, middle = (double)second->channels;
    bool goes = ir_value_has_one_use(&first->conv->out[0]);
    return read * features < middle * (features + (goes ? read : 0));
}

static ir_value *reshape(ir_builder *b, ir_value *x, const int64_t *sizes, uint32_t rank) {
    const ir_dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = ir_dim_const(b->m->ctx, sizes[i]);
    return build_reshape(b, x, dims, rank);
}

/* [features, middle, ...] -> [features * elements, middle] */
static ir_value *rows_of(ir_builder *b, const patches *p) {
    ir_value *w = reshape(b, ir_in(p->conv, 1), (int64_t[]){p->features, p->channels, p->elements},
                          3);
    w = build_transpose(b, w, (int64_t[]){0, 2, 1}, 3);
    return reshape(b, w, (int64_t[]){p->features * p->elements, p->channels}, 2);
}

/* Product of all elements of one kernel with all of the other, [features, j..., channels, t...] -> [features, channels, j * k + t, ...] */
static ir_value *compose_kernels(ir_builder *b, const patches *first, const patches *second,
                                 ir_value *rows) {
    int64_t apart[IR_MAX_RANK], together[IR_MAX_RANK], perm[IR_MAX_RANK];
    uint32_t axes = first->axes, rank = 2 + 2 * axes;
    int64_t flat[] = {first->features, first->channels * first->elements};
    ir_value *w = build_op2(b, OP_MatMul, rows, reshape(b, ir_in(first->conv, 1), flat, 2));
    apart[0] = together[0] = second->features;
    apart[1 + axes] = together[1] = first->channels;
    perm[0] = 0, perm[1] = 1 + axes;
    for (uint32_t i = 0; i < axes; i++) {
        apart[1 + i] = second->kernel[i], apart[2 + axes + i] = first->kernel[i];
        perm[2 + 2 * i] = 1 + i, perm[3 + 2 * i] = 2 + axes + i;
        together[2 + i] = second->kernel[i] * first->kernel[i];
    }
    w = build_transpose(b, reshape(b, w, apart, rank), perm, rank);
    return reshape(b, w, together, 2 + axes);
}

/* What the second one makes of the first one's bias, and its own; NULL without any. */
static ir_value *compose_biases(ir_builder *b, const patches *first, const patches *second,
                                ir_value *rows) {
    ir_value *inner = ir_in(first->conv, 2), *own = ir_in(second->conv, 2);
    if (!inner) return own;
    ir_value *all = build_op2(b, OP_MatMul, rows, inner);
    all = reshape(b, all, (int64_t[]){second->features, second->elements}, 2);
    ir_value *sum = build_op2_int(b, OP_ReduceSum, all, build_i64s(b, (int64_t[]){1}, 1),
                                  "keepdims", 0);
    return own ? build_op2(b, OP_Add, sum, own) : sum;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    patches first, second;
    if (!find_patches(ctx->c, n, &second) || !find_patches(ctx->c, ir_in(n, 0)->def, &first) ||
        first.axes != second.axes || first.features != second.channels ||
        (first.elements == 1 && second.elements == 1) || !is_less_work(&first, &second) ||
        !ctx_take(ctx, "composed"))
        return PASS_SAME;
    ir_builder b = ir_build_before(n);
    int64_t kernel[IR_MAX_RANK];
    for (uint32_t i = 0; i < first.axes; i++)
        kernel[i] = first.kernel[i] * second.kernel[i];
    ir_value *rows = rows_of(&b, &second);
    ir_value *in[] = {ir_in(first.conv, 0), compose_kernels(&b, &first, &second, rows),
                      compose_biases(&b, &first, &second, rows)};
    ir_attr strides = {.name = "strides", .kind = ATTR_INTS, .n = first.axes, .v.ints = kernel};
    ir_node *conv = build_node(&b, OP_Conv, in, in[2] ? 3 : 2, 1, &strides, 1);
    pass_replace(ctx, &n->out[0], &conv->out[0]);
    ir_node_remove(n);
    return PASS_CHANGED;
}

pass_result pass_compose_conv(pass_ctx *ctx, ir_graph *g) {
    return pass_get_math(ctx->options) == PASS_MATH_STRICT ? PASS_SAME
                                                           : pass_each_node(ctx, g, visit);
}
