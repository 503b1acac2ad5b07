/* attention_small: attention with one head multiplies by fewer matrices.
 *
 *   before:  %q = MatMul(%x, @wq), Add @bq         after:  %q = MatMul(%x, @a), Add @b           @a = wq wk', @b = bq wk'
 *            %k = MatMul(%y, @wk), Add @bk                 %o = Attention<..., scale=s>(%q, %y, %y)
 *            %v = MatMul(%y, @wv), Add @bv                 %z = MatMul(%o, @c), Add @d           @c = wv wo, @d = bv wo + bo
 *            %o = Attention<q_num_heads=1, kv_num_heads=1, scale=s>(%q, %k, %v)
 *            %z = MatMul(%o, @wo), Add @bo
 *
 * Scores are (x wq + bq)(y wk + bk)' = (x wq wk' + bq wk') y' + what is the same for all keys of a query, which softmax takes out. The weights of a
 * row sum to 1, so that A (y wv + bv) wo = (A y) wv wo + bv wo. Where y is a normalisation its scale and shift go the same way, and keys and
 * values are the normalised rows themselves: of a recurrent state nothing is left to be computed on the path from round to round but that.
 *
 * The keys' side and the values' side are decided each for itself, by the multiply-adds of both forms. A product that others read stays, and with
 * it its side. Where queries are no product with a constant they are multiplied by wk', which pays for few queries of many keys; so it is
 * behind A y where no product follows. With several heads each head's matrix would have the rows' full width: left alone, as are masks
 * (rows in which all is hidden have no weights that sum to 1), causal attention (its keys may be kept from step to step), softcap and strict
 * maths: rounding changes as with all products of constant matrices. Linear; for matrices
 * of up to 512 x 512. */
#include "passes/linear.h"
#include "passes/match.h"
#include "passes/recur.h"
#include "passes/util.h"

#include <math.h>

enum { Q, K, V };
/* Multiply-adds of a product of constants, which the compiler makes once. */
static const int64_t largest = (int64_t)512 * 512 * 512;

typedef struct small {
    pass_ctx *ctx;
    ir_node *n;
    int64_t queries,
        keys; /* both 1 where they are symbols and equal: then only what goes with their square must not grow */
    linear q, k, v, o;
    bool has_q, has_k, has_v, has_o;
} small;

/* ---- what is there ----------------------------------------------------------------------------------------------- */

static bool is_plain_attention(const ir_node *n) {
    if (n->op != OP_Attention || n->n_out != 1 || ir_in(n, Q)->type->dtype != DT_f32) return false;
    for (uint32_t i = 3; i < n->n_in; i++)
        if (ir_in(n, i)) return false;
    return ir_attr_int(n, "q_num_heads", 0) == 1 && ir_attr_int(n, "kv_num_heads", 0) == 1 &&
           !ir_attr_int(n, "is_causal", 0) && ir_attr_float(n, "softcap", 0) == 0;
}

static bool count_rows(small *s) {
    const ir_type *q = ir_in(s->n, Q)->type, *k = ir_in(s->n, K)->type;
    if (!ir_type_is_known(q) || !ir_type_is_known(k) || q->rank != 3) return false;
    s->queries = s->keys = 1;
    if (ir_dim_equal(q->dims[1], k->dims[1]) && !ir_dim_is_const(q->dims[1], NULL)) return true;
    return ir_dim_is_const(q->dims[1], &s->queries) && ir_dim_is_const(k->dims[1], &s->keys);
}

static bool fits(const linear *a, const linear *b) {
    return a->in <= largest / a->out / (b->in > b->out ? b->in : b->out);
}

/* Operand i is a product of rows [B,T,width] that is computed as often as the attention is. */
static bool find_side(const ir_node *n, uint32_t i, linear *side) {
    return linear_read(ir_in(n, i), side) && side->product->parent == n->parent &&
           side->x->type->rank == 3;
}

static bool find(small *s, ir_node *n) {
    s->n = n;
    if (!is_plain_attention(n) || !count_rows(s)) return false;
    s->has_q = find_side(n, Q, &s->q);
    s->has_k = find_side(n, K, &s->k);
    s->has_v = find_side(n, V, &s->v);
    ir_node *user = match_user(&n->out[0]);
    s->has_o = user && linear_is_product(user) && user->parent == n->parent;
    if (s->has_o) {
        s->o = (linear){.product = user, .w = ir_in(user, 1), .in = s->v.out};
        ir_dim_is_const(s->o.w->type->dims[1], &s->o.out);
    }
    s->has_q = s->has_q && (!s->has_k || fits(&s->q, &s->k));
    s->has_o = s->has_o && (!s->has_v || fits(&s->v, &s->o));
    return s->has_k || s->has_v;
}

/* ---- multiply-adds ------------------------------------------------------------------------------------------------- */

/* A side's width is that of its projection, or of the rows y: what scores (or weighted sums) cost more. */
static int64_t widening(const small *s, const linear *side) {
    return s->queries * s->keys * (side->in - side->out);
}

/* What is saved where queries (or results) take over the product of the keys (or values); `outer` is their product. */
static int64_t saved(const small *s, const linear *side, const linear *outer, int64_t width) {
    int64_t before = s->keys * side->in * side->out, after = s->queries * side->in * side->out;
    if (outer) {
        before += s->queries * width * side->out;
        after = s->queries * width * side->in;
    }
    return before - after - widening(s, side);
}

static int64_t saved_by_keys(const small *s) {
    return s->has_k ? saved(s, &s->k, s->has_q ? &s->q : NULL, s->q.in) : 0;
}

static int64_t saved_by_values(const small *s) {
    return s->has_v ? saved(s, &s->v, s->has_o ? &s->o : NULL, s->o.out) : 0;
}

/* ---- building -------------------------------------------------------------------------------------------------------- */

static bool feeds_products_only(const ir_node *n) {
    ir_for_each_use (u, &n->out[0])
        if (!linear_is_product(u->user) || u != &u->user->in[0]) return false;
    return true;
}

/* The rows that the side multiplies, in front of the scale and shift of a normalisation, which go into the side's w and b. */
static ir_value *absorb_norm(ir_builder *b, linear *side) {
    norm_affine n;
    if (!side->x->def || !norm_read(side->x->def, &n) || norm_is_plain(&n) ||
        !feeds_products_only(n.node))
        return side->x;
    ir_builder at = ir_build_before(n.node);
    if (n.c) {
        ir_value *shift = build_op2(b, OP_MatMul, n.c, side->w);
        side->b = side->b ? build_op2(b, OP_Add, side->b, shift) : shift;
    }
    side->w = linear_scale_rows(b, side->w, n.g);
    return norm_build_plain(&at, &n);
}

static ir_value *build_linear(ir_builder *b, ir_value *x, ir_value *w, ir_value *bias) {
    ir_value *y = build_op2(b, OP_MatMul, x, w);
    return bias ? build_op2(b, OP_Add, y, bias) : y;
}

/* Queries that meet the rows y themselves. */
static ir_value *build_queries(const small *s, ir_builder *b) {
    ir_value *w = build_transpose(b, s->k.w, (int64_t[]){1, 0}, 2), *bias = NULL;
    if (s->has_q && s->q.b) bias = build_op2(b, OP_MatMul, s->q.b, w);
    if (s->has_q) w = build_op2(b, OP_MatMul, s->q.w, w);
    return build_linear(b, s->has_q ? s->q.x : ir_in(s->n, Q), w, bias);
}

/* The same attention of other operands. What the widths have implied so far is said. */
static ir_value *build_attention(const small *s, ir_builder *b, ir_value *const *in) {
    int64_t width = 1;
    ir_dim_is_const(ir_in(s->n, Q)->type->dims[2], &width);
    float scale = ir_attr_float(s->n, "scale", (float)(1 / sqrt((double)width)));
    ir_node *n = build_node(b, OP_Attention, in, 3, 1, s->n->attrs, s->n->n_attrs);
    ir_attr_set_float(b->m, n, "scale", scale);
    return &n->out[0];
}

/* Sums of the rows y themselves, which are multiplied afterwards. */
static void finish_values(small *s, ir_builder *b, ir_value *sums) {
    if (!s->has_o) {
        pass_replace(s->ctx, &s->n->out[0], build_linear(b, sums, s->v.w, s->v.b));
        return;
    }
    ir_node *o = s->o.product;
    ir_value *shift = s->v.b ? build_op2(b, OP_MatMul, s->v.b, s->o.w) : NULL;
    ir_node_set_operand(o, 1, build_op2(b, OP_MatMul, s->v.w, s->o.w));
    ir_node_set_operand(o, 0, sums);
    if (shift) linear_shift(s->ctx, o, shift);
}

static void remark(const small *s, int64_t keys, int64_t values) {
    ctx_remark(s->ctx, "%s: %s%s%s from the rows themselves, %.1f kFLOP less for %lld queries",
               node_name(s->n), keys > 0 ? "scores" : "", keys > 0 && values > 0 ? " and " : "",
               values > 0 ? "sums" : "",
               2e-3 * (double)((keys > 0 ? keys : 0) + (values > 0 ? values : 0)),
               (long long)s->queries);
}

static pass_result attention_small_node(pass_ctx *ctx, ir_node *n) {
    small s = {.ctx = ctx};
    if (!find(&s, n)) return PASS_SAME;
    int64_t keys = saved_by_keys(&s), values = saved_by_values(&s);
    if ((keys <= 0 && values <= 0) || !ctx_take(ctx, "reassociated")) return PASS_SAME;
    ir_value *in[] = {ir_in(n, Q), ir_in(n, K), ir_in(n, V)};
    ir_builder b = ir_build_before(n);
    if (keys > 0) in[K] = absorb_norm(&b, &s.k);
    if (values > 0) in[V] = absorb_norm(&b, &s.v);
    if (keys > 0) in[Q] = build_queries(&s, &b);
    ir_value *y = build_attention(&s, &b, in);
    remark(&s, keys, values);
    if (values > 0)
        finish_values(&s, &b, y);
    else
        pass_replace(ctx, &n->out[0], y);
    return PASS_CHANGED;
}

pass_result pass_attention_small(pass_ctx *ctx, ir_graph *g) {
    if (pass_get_math(ctx->options) == PASS_MATH_STRICT) return PASS_SAME;
    return pass_each_node(ctx, g, attention_small_node);
}
