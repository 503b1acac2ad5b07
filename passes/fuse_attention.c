/* fuse_attention: scaled dot-product attention that exporters spelled out becomes ONNX's Attention, in its 4-D form.
 *
 *   before:  %t = Transpose<perm=[0, 1, 3, 2]>(%k)       after:  %y = Attention<scale=s>(%q, %k, %v, %mask)
 *            %r = MatMul(%q, %t)
 *            %s = Mul(%r, @s)
 *            %a = Add(%s, %mask)
 *            %p = Softmax(%a)
 *            %y = MatMul(%p, %v)
 *
 * The anchor is the second MatMul. Between the scores and Softmax may be constant factors and masks in any number and order that
 * means the same; factors on q and k, before or after their Reshape and Transpose, join the scale. K may come transposed in any way:
 * the Transpose is changed, which costs nothing. Operands of rank 2 and 3 get leading dims of 1; of rank 5 and more, as chunks of a sequence
 * have them after a Reshape, all axes in front of the heads become one batch:
 *
 *   before:  %q = Transpose<perm=[0, 1, 3, 2, 4]>(%x)    after:  %x4 = Reshape(%x, [B*C,K,H,h])      (the same for k and v)
 *            ... f32[B,C,H,K,h]                                  %q = Transpose<perm=[0, 2, 1, 3]>(%x4)
 *                                                                %y = Reshape(Attention(%q, ...), [B,C,H,K,h])
 *
 * Masks: added floats as they are, subtracted ones negated. Where(c, s, -inf) is the boolean mask c. Where(c, s, m) with a large negative m is the added mask
 * Where(c, 0, m): adding m swallows the score, so that a row in which all is masked stays uniform as with Where. A causal mask becomes
 * the attribute is_causal. A guard
 * Where(IsNaN(p), 0, p) after Softmax, for rows in which all is -inf, moves behind the product with V and what moves its result: NaN weights make the
 * whole row NaN. merge_heads then absorbs the splitting and merging of heads. Not done with strict maths. */
#include "ir/limits.h"
#include "passes/causal.h"
#include "passes/match.h"
#include "passes/util.h"

#include <math.h>

enum { MAX_MASKS = 4 };

/* Where(c, s, m): what a score must be below so that adding it to any sensible score gives itself. */
static const double swallowing = -1e9;

typedef struct mask {
    ir_value *value; /* added; or the condition */
    bool is_where;
    bool negative;      /* subtracted */
    bool keep;          /* where the condition holds the score stays; else it is replaced */
    double replacement; /* -inf or large negative */
} mask;

typedef struct sdpa {
    ir_ctx *c;
    ir_value *q, *k, *v; /* k as MatMul read it: transposed */
    double scale;
    mask masks[MAX_MASKS]; /* the last applied first */
    uint32_t n_masks;
    bool guarded, causal;
} sdpa;

/* ---- matching -------------------------------------------------------------------------------------------------- */

static bool match_scores(ir_value *v, sdpa *s);

/* v is Where(c, scores, constant) or Where(c, constant, scores). */
static bool match_where(ir_node *n, sdpa *s) {
    if (s->n_masks == MAX_MASKS) return false;
    mask *m = &s->masks[s->n_masks++];
    *m = (mask){.value = ir_in(n, 0),
                .is_where = true,
                .keep = ir_value_const_f64(ir_in(n, 2), &m->replacement)};
    if (!ir_value_const_f64(ir_in(n, m->keep ? 2 : 1), &m->replacement) ||
        m->replacement > swallowing)
        return false;
    return match_scores(ir_in(n, m->keep ? 1 : 2), s);
}

/* v is scores + mask: whichever operand leads to the product; or scores - mask. */
static bool match_added(ir_node *n, sdpa *s) {
    if (s->n_masks == MAX_MASKS) return false;
    for (uint32_t i = 0; i < (n->op == OP_Sub ? 1 : 2); i++) {
        sdpa attempt = *s;
        attempt.masks[attempt.n_masks++] = (mask){.value = ir_in(n, 1 - i),
                                                  .negative = n->op == OP_Sub};
        if (!match_scores(ir_in(n, i), &attempt)) continue;
        *s = attempt;
        return true;
    }
    return false;
}

/* Every mask that was applied to the scores before they were multiplied by k is multiplied too. */
static bool match_factor(ir_value *inner, double k, sdpa *s) {
    uint32_t before = s->n_masks;
    if (!(k > 0) || !match_scores(inner, s)) return false;
    s->scale *= k;
    for (uint32_t i = before; i < s->n_masks; i++)
        if (!s->masks[i].is_where || !isinf(s->masks[i].replacement)) return false;
    return true;
}

static bool match_scores(ir_value *v, sdpa *s) {
    ir_node *n = v->def;
    ir_value *inner;
    double k;
    if (!n || !match_user(v)) return false;
    if (n->op == OP_MatMul) {
        s->q = ir_in(n, 0);
        s->k = ir_in(n, 1);
        return true;
    }
    if (match_scaled(v, &inner, &k)) return match_factor(inner, k, s);
    if (n->op == OP_Where) return match_where(n, s);
    return (n->op == OP_Add || n->op == OP_Sub) && match_added(n, s);
}

/* The p of v = Where(IsNaN(p), 0, p); both reads are within the guard. */
static ir_value *match_guard(const ir_value *v) {
    ir_node *where = match_def(v, OP_Where),
            *is_nan = where ? match_single(ir_in(where, 0), OP_IsNaN) : NULL;
    double zero;
    if (!is_nan || ir_in(is_nan, 0) != ir_in(where, 2) || ir_value_count_uses(ir_in(where, 2)) != 2)
        return NULL;
    return ir_value_const_f64(ir_in(where, 1), &zero) && zero == 0 ? ir_in(where, 2) : NULL;
}

static bool match_sdpa(ir_ctx *c, ir_node *n, sdpa *s) {
    *s = (sdpa){.c = c, .scale = 1, .v = ir_in(n, 1)};
    ir_value *p = ir_in(n, 0), *inner = match_guard(p);
    if (!match_user(p)) return false;
    s->guarded = inner != NULL;
    ir_node *softmax = match_def(inner ? inner : p, OP_Softmax);
    if (!softmax || !ir_type_is_ranked(p->type)) return false;
    if (normal_axis(ir_attr_int(softmax, "axis", -1), p->type->rank) != p->type->rank - 1)
        return false;
    return match_scores(ir_in(softmax, 0), s);
}

/* ---- shapes ---------------------------------------------------------------------------------------------------- */

/* q[..., T, h], k[..., h, M], v[..., M, w] with the same leading dims. */
static bool shapes_fit(const sdpa *s) {
    const ir_type *q = s->q->type, *k = s->k->type, *v = s->v->type;
    if (!ir_type_is_ranked(q) || !ir_type_is_ranked(k) || !ir_type_is_ranked(v)) return false;
    /* the attribute scale has f32's precision only */
    if (!ir_dtype_is_float(q->dtype) || q->dtype == DT_f64) return false;
    int32_t r = q->rank;
    if (r < 2 || k->rank != r || v->rank != r || k->dtype != q->dtype || v->dtype != q->dtype)
        return false;
    for (int32_t i = 0; i < r - 2; i++)
        if (!ir_dim_equal(q->dims[i], k->dims[i]) || !ir_dim_equal(q->dims[i], v->dims[i]))
            return false;
    return ir_dim_equal(q->dims[r - 1], k->dims[r - 2]) &&
           ir_dim_equal(k->dims[r - 1], v->dims[r - 2]);
}

/* The mask neither enlarges the scores nor is it short of keys; *expand: its last dim is a 1 that must be stretched. */
static bool mask_fits(const sdpa *s, const ir_value *m, bool *expand) {
    const ir_type *t = m->type, *q = s->q->type;
    if (!ir_type_is_ranked(t) || t->rank > q->rank) return false;
    const ir_dim *keys = s->k->type->dims[q->rank - 1];
    for (int32_t i = 0; i < t->rank; i++) {
        int32_t at = q->rank - t->rank + i;
        const ir_dim *d = at == q->rank - 1 ? keys : q->dims[at];
        if (!ir_dim_is(t->dims[i], 1) && !is_cut_to(s->c, t->dims[i], d)) return false;
    }
    *expand = t->rank == 0 || (!ir_dim_is(keys, 1) && ir_dim_is(t->dims[t->rank - 1], 1));
    return true;
}

/* All axes in front of the last three can become one. */
static bool can_join(const ir_graph *g, const sdpa *s) {
    const ir_type *q = s->q->type, *k = s->k->type, *v = s->v->type;
    uint32_t r = (uint32_t)q->rank;
    return r <= 4 || (dims_are_computable(g, q->dims, r) && dims_are_computable(g, k->dims, r) &&
                      dims_are_computable(g, v->dims, r));
}

static bool masks_fit(const ir_graph *g, const sdpa *s) {
    for (uint32_t i = 0; i < s->n_masks; i++) {
        bool expand;
        if (!mask_fits(s, s->masks[i].value, &expand)) return false;
        if (expand && !dims_are_computable(g, &s->k->type->dims[s->q->type->rank - 1], 1))
            return false;
        if (!s->masks[i].is_where && s->masks[i].value->type->dtype != s->q->type->dtype)
            return false;
    }
    return true;
}

/* ---- building -------------------------------------------------------------------------------------------------- */

/* v without its constant factor, which joins the scale, also where the factor is in front of reordering. */
static ir_value *strip_scale(ir_builder *b, ir_value *v, double *scale) {
    ir_value *inner;
    double k;
    if (match_scaled(v, &inner, &k)) {
        *scale *= k;
        return strip_scale(b, inner, scale);
    }
    if (!match_single(v, OP_Transpose) && !match_single(v, OP_Reshape)) return v;
    ir_node *n = v->def;
    inner = strip_scale(b, ir_in(n, 0), scale);
    if (inner == ir_in(n, 0)) return v;
    ir_value *in[2] = {inner, ir_in(n, 1)};
    return &build_node(b, n->op, in, n->n_in, 1, n->attrs, n->n_attrs)->out[0];
}

/* n regroups the axes in front of the last two only. */
static bool keeps_last_two(const ir_node *n) {
    const ir_type *from = ir_in(n, 0)->type, *to = n->out[0].type;
    if (!is_reshape_like(n->op) || !ir_type_is_ranked(from) || from->rank < 2 || to->rank < 2)
        return false;
    return ir_dim_equal(from->dims[from->rank - 1], to->dims[to->rank - 1]) &&
           ir_dim_equal(from->dims[from->rank - 2], to->dims[to->rank - 2]);
}

static const ir_type *exchanged_type(ir_ctx *c, const ir_type *t) {
    const ir_dim *dims[IR_MAX_RANK];
    memcpy(dims, t->dims, (size_t)t->rank * sizeof *dims);
    dims[t->rank - 1] = t->dims[t->rank - 2];
    dims[t->rank - 2] = t->dims[t->rank - 1];
    return ir_type_tensor(c, t->dtype, t->rank, dims);
}

/* x as type t, which holds the same elements: what x was reshaped from where that has the type. */
static ir_value *reshape_back(ir_builder *b, ir_value *x, const ir_type *t) {
    if (x->type == t) return x;
    if (x->def && is_reshape_like(x->def->op) && ir_in(x->def, 0)->type == t)
        return ir_in(x->def, 0);
    return build_reshape_to(b, x, t);
}

/* k with its last two axes exchanged. A Transpose that made it is replaced, not followed by another, also where a Reshape of the
 * axes in front of them came after it. */
static ir_value *untranspose(ir_builder *b, ir_value *k) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank = (uint32_t)k->type->rank;
    if (k->def && keeps_last_two(k->def) && match_def(ir_in(k->def, 0), OP_Transpose)) {
        ir_value *inner = untranspose(b, ir_in(k->def, 0));
        ir_value *y = reshape_back(b, inner, exchanged_type(b->m->ctx, k->type));
        if (y) return y;
    }
    ir_node *n = match_def(k, OP_Transpose);
    ir_value *from = n && get_perm(n, perm, &rank) ? ir_in(n, 0) : k;
    for (uint32_t i = 0; from == k && i < rank; i++)
        perm[i] = i;
    int64_t last = perm[rank - 1];
    perm[rank - 1] = perm[rank - 2];
    perm[rank - 2] = last;
    bool identity = true;
    for (uint32_t i = 0; i < rank; i++)
        identity = identity && perm[i] == i;
    return identity ? from : build_transpose(b, from, perm, rank);
}

/* t with all axes in front of the last three as one. */
static const ir_type *joined_type(ir_ctx *c, const ir_type *t) {
    int32_t leading = t->rank - 3;
    const ir_dim *dims[4] = {t->dims[0]};
    for (int32_t i = 1; i < leading; i++)
        dims[0] = ir_dim_mul(c, dims[0], t->dims[i]);
    memcpy(dims + 1, t->dims + leading, 3 * sizeof *dims);
    return ir_type_tensor(c, t->dtype, 4, dims);
}

/* n is a Transpose that leaves the axes in front of the last three where they are: how it moves those, and one in front of them. */
static bool get_perm_of_last(const ir_node *n, int64_t perm[4]) {
    int64_t all[IR_MAX_RANK];
    uint32_t rank;
    if (!n || n->op != OP_Transpose || !get_perm(n, all, &rank) || rank <= 4) return false;
    for (uint32_t i = 0; i < rank - 3; i++)
        if (all[i] != i) return false;
    perm[0] = 0;
    for (uint32_t i = 0; i < 3; i++)
        perm[1 + i] = all[rank - 3 + i] - (rank - 4);
    return true;
}

/* v with one axis in front of the last three. A Transpose that made it comes after the joining, where merge_heads looks for it. */
static ir_value *join_leading(ir_builder *b, ir_value *v) {
    int64_t perm[4];
    if (get_perm_of_last(v->def, perm))
        return build_transpose(b, join_leading(b, ir_in(v->def, 0)), perm, 4);
    return build_reshape_to(b, v, joined_type(b->m->ctx, v->type));
}

static ir_value *bring_to_4d(ir_builder *b, ir_value *v) {
    int64_t axes[4] = {0, 1, 2, 3};
    uint32_t rank = (uint32_t)v->type->rank;
    if (rank > 4) return join_leading(b, v);
    return rank < 4 ? build_op2(b, OP_Unsqueeze, v, build_i64s(b, axes, 4 - rank)) : v;
}

/* y as what n, which is `end` or makes what that transposes, has given. */
static ir_value *bring_from_4d(ir_builder *b, ir_value *y, const ir_node *n, const ir_node *end) {
    int64_t axes[4] = {0, 1, 2, 3}, perm[4];
    uint32_t rank = (uint32_t)n->out[0].type->rank;
    if (rank < 4) return build_op2(b, OP_Squeeze, y, build_i64s(b, axes, 4 - rank));
    if (rank == 4) return y;
    if (end != n && get_perm_of_last(end, perm)) y = build_transpose(b, y, perm, 4);
    return build_reshape_to(b, y, end->out[0].type);
}

/* The mask as a boolean one (`as_bool`) or as one to be added, with as many columns as there are keys. */
static ir_value *build_mask(ir_builder *b, const sdpa *s, const mask *m, bool as_bool) {
    ir_dtype t = s->q->type->dtype;
    ir_value *v = m->negative ? build_op1(b, OP_Neg, m->value) : m->value;
    if (m->is_where && as_bool && !m->keep) v = build_op1(b, OP_Not, v);
    if (m->is_where && !as_bool) {
        ir_value *zero = build_scalar(b, t, 0), *low = build_scalar(b, t, m->replacement);
        v = build_op3(b, OP_Where, v, m->keep ? zero : low, m->keep ? low : zero);
    }
    bool expand;
    if (!mask_fits(s, v, &expand) || !expand) return v;
    const ir_dim *dims[IR_MAX_RANK];
    int32_t rank = v->type->rank ? v->type->rank : 1;
    for (int32_t i = 0; i < rank - 1; i++)
        dims[i] = v->type->dims[i];
    dims[rank - 1] = s->k->type->dims[s->q->type->rank - 1];
    return build_op2(b, OP_Expand, v, build_dims(b, dims, (uint32_t)rank));
}

/* The first causal mask goes: the attribute says the same. */
static void take_causal(sdpa *s) {
    for (uint32_t i = 0; i < s->n_masks && !s->causal; i++) {
        const mask *m = &s->masks[i];
        s->causal = m->is_where ? causal_is_condition(m->value, m->keep)
                                : !m->negative && causal_is_added_mask(m->value, swallowing);
        if (s->causal) memmove(&s->masks[i], &s->masks[i + 1], (--s->n_masks - i) * sizeof *m);
    }
}

/* The scale; the usual one exactly, where rounding of roots has left it beside. */
static float usual_scale(const sdpa *s) {
    int64_t size;
    const ir_type *q = s->q->type;
    if (!ir_dim_is_const(q->dims[q->rank - 1], &size) || size < 1) return (float)s->scale;
    double usual = 1 / sqrt((double)size);
    return (float)(match_near(s->scale, usual, 1e-6) ? usual : s->scale);
}

/* All masks in one: a boolean one where all are conditions that let nothing through, else a sum. */
static ir_value *build_masks(ir_builder *b, const sdpa *s) {
    bool as_bool = true;
    for (uint32_t i = 0; i < s->n_masks; i++)
        as_bool = as_bool && s->masks[i].is_where && isinf(s->masks[i].replacement);
    ir_value *all = NULL;
    for (uint32_t i = s->n_masks; i > 0; i--) {
        ir_value *v = build_mask(b, s, &s->masks[i - 1], as_bool);
        all = all ? build_op2(b, as_bool ? OP_And : OP_Add, all, v) : v;
    }
    return all;
}

/* The mask with one axis in front of its last three, where it has any: one mask for each batch unless those are 1. */
static ir_value *join_mask(ir_builder *b, const sdpa *s, ir_value *v) {
    const ir_type *t = v->type, *q = s->q->type;
    const ir_dim *dims[IR_MAX_RANK];
    int32_t missing = q->rank - t->rank, leading = q->rank - 3;
    bool ones = true;
    if (q->rank <= 4 || t->rank <= 3) return v;
    for (int32_t i = missing; i < leading; i++)
        ones = ones && ir_dim_is(t->dims[i - missing], 1);
    if (ones) return t->rank == 4 ? v : join_leading(b, v);
    for (int32_t i = 0; i < q->rank; i++)
        dims[i] = i < leading ? q->dims[i] : t->dims[i - missing];
    return join_leading(b, build_op2(b, OP_Expand, v, build_dims(b, dims, (uint32_t)q->rank)));
}

/* The last of a chain of views that only move v: there a guard stands in no other pass's way. */
static ir_value *end_of_views(ir_value *v) {
    for (ir_node *user; (user = match_user(v)) && op_is(user->op, OP_VIEW) && user->n_out == 1;)
        v = &user->out[0];
    return v;
}

/* All readers of y read Where(IsNaN(y), 0, y). */
static void build_guard(pass_ctx *ctx, ir_value *y) {
    ir_builder b = ir_build_after(y->def);
    ir_value *is_nan = build_op1(&b, OP_IsNaN, y);
    ir_value *guarded = build_op3(&b, OP_Where, is_nan, build_scalar(&b, y->type->dtype, 0), y);
    pass_replace(ctx, y, guarded);
    ir_node_set_operand(is_nan->def, 0, y);
    ir_node_set_operand(guarded->def, 2, y);
}

static ir_value *build_attention(ir_builder *b, sdpa *s) {
    take_causal(s);
    ir_value *masks = s->n_masks ? join_mask(b, s, build_masks(b, s)) : NULL;
    ir_value *q = strip_scale(b, s->q, &s->scale);
    ir_value *k = untranspose(b, strip_scale(b, s->k, &s->scale));
    ir_value *in[] = {bring_to_4d(b, q), bring_to_4d(b, k), bring_to_4d(b, s->v), masks};
    ir_attr attrs[] = {{.name = "scale", .kind = ATTR_FLOAT, .v.f = usual_scale(s)},
                       {.name = "is_causal", .kind = ATTR_INT, .v.i = 1}};
    return &build_node(b, OP_Attention, in, masks ? 4 : 3, 1, attrs, s->causal ? 2 : 1)->out[0];
}

/* The node whose result Attention's is brought to: behind n the Transpose that merging heads begins with, for joined axes. */
static ir_node *end_of_joined(ir_node *n) {
    int64_t perm[4];
    ir_node *user = match_user(&n->out[0]);
    return user && get_perm_of_last(user, perm) ? user : n;
}

static pass_result fuse_attention_node(pass_ctx *ctx, ir_node *n) {
    sdpa s;
    if (n->op != OP_MatMul || !n->out[0].uses || !match_sdpa(ctx->c, n, &s)) return PASS_SAME;
    const ir_graph *g = n->parent->graph;
    if (!shapes_fit(&s) || !can_join(g, &s) || !masks_fit(g, &s) || !ctx_take(ctx, "fused"))
        return PASS_SAME;
    ir_builder b = ir_build_before(n);
    ir_node *end = end_of_joined(n);
    ir_value *y = bring_from_4d(&b, build_attention(&b, &s), n, end);
    pass_replace(ctx, &end->out[0], y);
    if (s.guarded) build_guard(ctx, end_of_views(y));
    return PASS_CHANGED;
}

pass_result pass_fuse_attention(pass_ctx *ctx, ir_graph *g) {
    if (pass_get_math(ctx->options) == PASS_MATH_STRICT) return PASS_SAME;
    return pass_each_node(ctx, g, fuse_attention_node);
}
