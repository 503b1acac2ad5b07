/* merge_norms: normalisations of one value become one; their scales and shifts join the products that read them.
 *
 *   before:  %k = LayerNormalization(%s, @gk, @ck)      after:  %n = LayerNormalization(%s, @ones)
 *            %q = LayerNormalization(%s, @gq)                   %a = MatMul(%n, @ak)             @ak = diag(gk) wk
 *            %a = MatMul(%k, @wk)                               %a2 = Add(%a, @bk)               @bk = ck wk
 *            %b = MatMul(%q, @wq)                               %b = MatMul(%n, @bq)             @bq = diag(gq) wq
 *
 * In a Temporal Latent Bottleneck every block that looks at the state normalises it in its own way. Afterwards merge_matmul sees products of one
 * value: the keys and values of all blocks, and the queries of the one that makes the next state, are one product, in which threads meet once.
 *
 * Only where a value has several normalisations that can be merged: all readers are products with constant matrices, or there is no scale and
 * shift (cse makes such ones one node). A matrix that others read in another way stays, so that weights do not multiply. Folding scales
 * into weights changes rounding: not with strict maths. Linear. */
#include "passes/linear.h"
#include "passes/match.h"
#include "passes/util.h"

static bool norms_are_alike(const norm_affine *a, const norm_affine *b) {
    return a->node->op == b->node->op && a->node->parent == b->node->parent && a->x == b->x &&
           ir_attr_float(a->node, "epsilon", 1e-5f) == ir_attr_float(b->node, "epsilon", 1e-5f);
}

/* n reads constants only, also by way of a node that does: what folding one copy of a body has left. */
static bool is_constant_node(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = ir_in(n, i);
        const ir_node *def = v && !ir_value_is_const(v) ? v->def : NULL;
        if (v && !ir_value_is_const(v) &&
            (!def || def->op != OP_Unsqueeze || !is_constant_node(def)))
            return false;
    }
    return true;
}

/* All readers of w multiply by it what was scaled and shifted in the same way. */
static bool is_own_weight(const ir_value *w, const norm_affine *n) {
    norm_affine other;
    ir_for_each_use (u, w) {
        if (is_constant_node(u->user)) continue;
        if (!linear_is_product(u->user) || u != &u->user->in[1]) return false;
        ir_node *def = ir_in(u->user, 0)->def;
        if (!def || !norm_read(def, &other) || other.g != n->g || other.c != n->c) return false;
    }
    return true;
}

static bool can_fold(const norm_affine *n) {
    ir_for_each_use (u, &n->node->out[0])
        if (!linear_is_product(u->user) || u != &u->user->in[0] ||
            !is_own_weight(ir_in(u->user, 1), n))
            return false;
    return n->node->out[0].uses != NULL;
}

static bool has_partner(const norm_affine *n) {
    norm_affine other;
    ir_for_each_use (u, n->x)
        if (u->user != n->node && norm_read(u->user, &other) && norms_are_alike(n, &other) &&
            (norm_is_plain(&other) || can_fold(&other)))
            return true;
    return false;
}

/* (norm(x) g + c) w = norm(x) diag(g) w + c w; `plain` is norm(x). */
static void fold_product(pass_ctx *ctx, const norm_affine *n, ir_node *product, ir_value *plain) {
    ir_builder b = ir_build_before(product);
    ir_value *w = ir_in(product, 1);
    ir_value *shift = n->c ? build_op2(&b, OP_MatMul, n->c, w) : NULL;
    ir_node_set_operand(product, 0, plain);
    ir_node_set_operand(product, 1, linear_scale_rows(&b, w, n->g));
    if (shift) linear_shift(ctx, product, shift);
}

static pass_result merge_norms_node(pass_ctx *ctx, ir_node *node) {
    norm_affine n;
    if (!norm_read(node, &n) || norm_is_plain(&n) || !can_fold(&n) || !has_partner(&n) ||
        !ctx_take(ctx, "merged"))
        return PASS_SAME;
    ir_builder b = ir_build_before(node);
    ir_value *plain = norm_build_plain(&b, &n);
    while (node->out[0].uses)
        fold_product(ctx, &n, node->out[0].uses->user, plain);
    return PASS_CHANGED;
}

pass_result pass_merge_norms(pass_ctx *ctx, ir_graph *g) {
    if (pass_get_math(ctx->options) == PASS_MATH_STRICT) return PASS_SAME;
    return pass_each_node(ctx, g, merge_norms_node);
}
