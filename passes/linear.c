/* See linear.h. */
#include "passes/linear.h"

#include "passes/match.h"
#include "passes/util.h"

static bool is_f32_constant(const ir_value *v, int32_t rank) {
    return v && ir_value_is_const(v) && !v->tensor->opaque && v->type->dtype == DT_f32 &&
           v->type->rank == rank;
}

static int64_t constant_dim(const ir_value *v, int32_t axis) {
    int64_t size = 0;
    ir_dim_is_const(v->type->dims[axis], &size);
    return size;
}

bool linear_is_product(const ir_node *n) {
    return n->op == OP_MatMul && is_f32_constant(ir_in(n, 1), 2) &&
           ir_type_is_ranked(ir_in(n, 0)->type) && ir_in(n, 0)->type->rank >= 2;
}

/* The constant that n adds to v, or NULL. */
static ir_value *added_constant(const ir_node *n, const ir_value *v) {
    if (!n || n->op != OP_Add || n->out[0].type != v->type) return NULL;
    ir_value *other = ir_in(n, ir_in(n, 0) == v ? 1 : 0);
    return ir_value_is_const(other) && !other->tensor->opaque ? other : NULL;
}

bool linear_read(ir_value *v, linear *out) {
    ir_node *add = match_single(v, OP_Add);
    *out = (linear){0};
    for (uint32_t i = 0; add && i < 2 && !out->b; i++)
        if (match_single(ir_in(add, i), OP_MatMul)) out->b = added_constant(add, ir_in(add, i));
    if (add && !is_f32_constant(out->b, 1)) return false;
    if (add) v = ir_in(add, ir_in(add, 0) == out->b ? 1 : 0);
    out->product = match_single(v, OP_MatMul);
    if (!out->product || !linear_is_product(out->product)) return false;
    out->x = ir_in(out->product, 0);
    out->w = ir_in(out->product, 1);
    out->in = constant_dim(out->w, 0);
    out->out = constant_dim(out->w, 1);
    return !out->b || constant_dim(out->b, 0) == out->out;
}

void linear_shift(pass_ctx *ctx, ir_node *product, ir_value *shift) {
    ir_value *y = &product->out[0];
    ir_node *add = match_user(y);
    ir_value *bias = added_constant(add, y);
    if (bias) {
        ir_builder b = ir_build_before(add);
        ir_node_set_operand(add, ir_in(add, 0) == bias ? 0 : 1, build_op2(&b, OP_Add, bias, shift));
        return;
    }
    ir_builder b = ir_build_after(product);
    ir_value *sum = build_op2(&b, OP_Add, y, shift);
    pass_replace(ctx, y, sum);
    ir_node_set_operand(sum->def, 0, y);
}

bool norm_read(ir_node *n, norm_affine *out) {
    if (n->op != OP_LayerNormalization && n->op != OP_RMSNormalization) return false;
    const ir_type *t = ir_in(n, 0)->type;
    bool more = n->n_out > 1 && (n->out[1].uses || (n->n_out > 2 && n->out[2].uses));
    *out = (norm_affine){.node = n,
                         .x = ir_in(n, 0),
                         .g = ir_in(n, 1),
                         .c = n->op == OP_LayerNormalization ? ir_in(n, 2) : NULL};
    if (more || !ir_type_is_ranked(t) || t->dtype != DT_f32 || !is_f32_constant(out->g, 1) ||
        (out->c && !is_f32_constant(out->c, 1)))
        return false;
    out->width = constant_dim(out->g, 0);
    return normal_axis(ir_attr_int(n, "axis", -1), t->rank) == t->rank - 1 &&
           ir_dim_is(t->dims[t->rank - 1], out->width) &&
           (!out->c || constant_dim(out->c, 0) == out->width);
}

bool norm_is_plain(const norm_affine *n) {
    return !n->c && ir_value_is_splat(n->g, 1);
}

static ir_node *build_plain(ir_builder *b, const norm_affine *n, uint32_t n_out) {
    ir_value *in[] = {n->x, build_ones(b->m, n->g->type)};
    return build_node(b, n->node->op, in, 2, n_out, n->node->attrs, n->node->n_attrs);
}

ir_value *norm_build_plain(ir_builder *b, const norm_affine *n) {
    return &build_plain(b, n, 1)->out[0];
}

ir_value *norm_build_inverse(ir_builder *b, const norm_affine *n) {
    return &build_plain(b, n, 3)->out[2];
}

ir_value *linear_scale_rows(ir_builder *b, ir_value *w, ir_value *g) {
    return build_op2(b, OP_Mul, w, build_op2(b, OP_Unsqueeze, g, build_i64s(b, (int64_t[]){1}, 1)));
}

ir_value *linear_scale_columns(ir_builder *b, ir_value *w, ir_value *g) {
    return build_op2(b, OP_Mul, w, g);
}
