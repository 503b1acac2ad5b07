/* fuse_normalization: layer and root-mean-square normalisation that exporters spelled out, as one operator again.
 *
 *   before:  %m = ReduceMean(%x, @last)          after:  %y = LayerNormalization<axis=-1, epsilon=e>(%x, @gamma, @beta)
 *            %d = Sub(%x, %m)
 *            %p = Pow(%d, @two)
 *            %v = ReduceMean(%p, @last)
 *            %e = Add(%v, @eps)
 *            %s = Sqrt(%e)
 *            %n = Div(%d, %s)
 *            %g = Mul(%n, @gamma)
 *            %y = Add(%g, @beta)
 *
 * The anchor is the product of the centred values with 1/sqrt(variance + eps), in any spelling: Div by Sqrt, Mul with Reciprocal or
 * with a Pow, gamma multiplied to the inverse first, and the distributed form x g/s + (beta - mean g/s). Without the subtraction of
 * the mean it is RMSNormalization. Any trailing axes of static extent; gamma and beta of just these axes, else they stay outside.
 * f32 arithmetic between Casts on narrow values becomes the operator on the narrow values (stash_type is f32). Not done with strict
 * maths. */
#include "ir/limits.h"
#include "passes/match.h"
#include "passes/util.h"

typedef struct norm {
    ir_value *x;
    ir_value *result;       /* what is replaced */
    ir_value *gamma, *beta; /* NULL = none */
    ir_value *mean;         /* NULL = RMS */
    int64_t axis;           /* negative: -1 = the last */
    double epsilon;
} norm;

/* Number of trailing axes that n reduces; 0 where it is something else. */
static int64_t trailing_axes(const ir_node *n) {
    int64_t axes[IR_MAX_RANK], rank = ir_in(n, 0)->type->rank;
    int32_t count = optional_ints(ir_in(n, 1), axes, IR_MAX_RANK);
    uint64_t set = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = normal_axis(axes[i], (int32_t)rank);
        if (axis < 0) return 0;
        set |= (uint64_t)1 << (rank - 1 - axis);
    }
    return count > 0 && set == ((uint64_t)1 << count) - 1 ? count : 0;
}

/* t is x with 1 for its last `axes` dims. */
static bool keeps_dims(const ir_type *t, const ir_type *x, int64_t axes) {
    if (!ir_type_is_ranked(t) || t->rank != x->rank) return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (i < t->rank - axes ? !ir_dim_equal(t->dims[i], x->dims[i]) : !ir_dim_is(t->dims[i], 1))
            return false;
    return true;
}

/* v is the mean of *x over *axes trailing axes, which stay as 1; a Reshape may have brought them back. */
static bool match_mean(const ir_value *v, ir_value **x, int64_t *axes) {
    const ir_node *reshape = v->def && is_reshape_like(v->def->op) ? v->def : NULL;
    ir_node *n = match_def(reshape ? ir_in(reshape, 0) : v, OP_ReduceMean);
    if (!n || !ir_type_is_ranked(ir_in(n, 0)->type)) return false;
    *x = ir_in(n, 0);
    *axes = trailing_axes(n);
    return *axes > 0 && keeps_dims(v->type, (*x)->type, *axes);
}

/* v is mean(base^2) + epsilon. */
static bool match_variance(const ir_value *v, ir_value **base, int64_t *axes, double *epsilon) {
    ir_node *add = match_def(v, OP_Add);
    ir_value *square;
    uint32_t at = add && ir_value_const_f64(ir_in(add, 0), epsilon) ? 1 : 0;
    if (!add || (at == 0 && !ir_value_const_f64(ir_in(add, 1), epsilon)) || *epsilon < 0)
        return false;
    return match_mean(ir_in(add, at), &square, axes) && match_square(square, base);
}

static ir_value *sqrt_of(const ir_value *v) {
    double power;
    if (match_def(v, OP_Sqrt)) return ir_in(v->def, 0);
    if (match_def(v, OP_Pow) && ir_value_const_f64(ir_in(v->def, 1), &power) && power == 0.5)
        return ir_in(v->def, 0);
    return NULL;
}

static ir_value *reciprocal_of(const ir_value *v) {
    double one;
    if (match_def(v, OP_Reciprocal)) return ir_in(v->def, 0);
    if (match_def(v, OP_Div) && ir_value_const_f64(ir_in(v->def, 0), &one) && one == 1)
        return ir_in(v->def, 1);
    return NULL;
}

/* The e of v = 1 / sqrt(e). */
static ir_value *rsqrt_of(const ir_value *v) {
    double power;
    if (match_def(v, OP_Pow) && ir_value_const_f64(ir_in(v->def, 1), &power) && power == -0.5)
        return ir_in(v->def, 0);
    ir_value *root = reciprocal_of(v), *inverse = sqrt_of(v);
    if (root) return sqrt_of(root);
    return inverse ? reciprocal_of(inverse) : NULL;
}

/* v is 1 / sqrt(mean(base^2) + epsilon), or that times gamma. */
static bool match_inverse(const ir_value *v, norm *s, ir_value **base, int64_t *axes) {
    ir_value *e = rsqrt_of(v);
    if (e) return match_variance(e, base, axes, &s->epsilon);
    for (uint32_t i = 0; match_def(v, OP_Mul) && i < 2; i++) {
        e = rsqrt_of(ir_in(v->def, i));
        s->gamma = ir_in(v->def, 1 - i);
        if (e) return match_variance(e, base, axes, &s->epsilon);
    }
    s->gamma = NULL;
    return false;
}

/* v is x - mean(x) over `axes` axes. */
static bool is_centred(const ir_value *v, ir_value **x, int64_t axes) {
    ir_node *sub = match_def(v, OP_Sub);
    int64_t own;
    return sub && match_mean(ir_in(sub, 1), x, &own) && *x == ir_in(sub, 0) && own == axes;
}

/* base is x - mean(x), or base itself is x. */
static bool match_centred(norm *s, ir_value *base, int64_t axes) {
    s->axis = -axes;
    s->mean = is_centred(base, &s->x, axes) ? ir_in(base->def, 1) : NULL;
    if (!s->mean) s->x = base;
    return true;
}

/* The same value, or centred twice. */
static bool is_same(const ir_value *a, const ir_value *b, int64_t axes) {
    ir_value *x, *y;
    return a == b || (is_centred(a, &x, axes) && is_centred(b, &y, axes) && x == y);
}

/* v is base, or gamma * base with the gamma kept. */
static bool match_dividend(ir_value *v, norm *s, const ir_value *base, int64_t axes) {
    if (is_same(v, base, axes)) return true;
    for (uint32_t i = 0; !s->gamma && match_def(v, OP_Mul) && i < 2; i++) {
        if (!is_same(ir_in(v->def, i), base, axes)) continue;
        s->gamma = ir_in(v->def, 1 - i);
        return true;
    }
    return false;
}

/* n is base / sqrt(e) or base * (gamma / sqrt(e)), or gamma is with base. */
static bool match_product(ir_node *n, norm *s) {
    ir_value *base, *e;
    int64_t axes;
    s->result = &n->out[0];
    if (n->op == OP_Div) {
        e = sqrt_of(ir_in(n, 1));
        return e && match_variance(e, &base, &axes, &s->epsilon) &&
               match_dividend(ir_in(n, 0), s, base, axes) && match_centred(s, base, axes);
    }
    for (uint32_t i = 0; i < 2; i++)
        if (match_inverse(ir_in(n, i), s, &base, &axes))
            return match_dividend(ir_in(n, 1 - i), s, base, axes) && match_centred(s, base, axes);
    return false;
}

/* n is x g + (beta - mean g) with g = gamma / sqrt(e), as TensorFlow writes batch normalisation. */
static bool match_distributed(ir_node *n, norm *s) {
    for (uint32_t i = 0; i < 2; i++) {
        ir_node *product = match_def(ir_in(n, i), OP_Mul),
                *sub = match_def(ir_in(n, 1 - i), OP_Sub);
        ir_node *shift = sub ? match_def(ir_in(sub, 1), OP_Mul) : NULL;
        for (uint32_t j = 0; product && shift && j < 2; j++) {
            ir_value *g = ir_in(product, j), *base;
            int64_t axes;
            if (!match_inverse(g, s, &base, &axes) || !match_centred(s, base, axes) || !s->mean)
                continue;
            bool same = s->x == ir_in(product, 1 - j) &&
                        (ir_in(shift, 0) == g ? ir_in(shift, 1) : ir_in(shift, 0)) == s->mean;
            if (!same || (ir_in(shift, 0) != g && ir_in(shift, 1) != g)) continue;
            s->beta = ir_in(sub, 0);
            s->result = &n->out[0];
            return true;
        }
    }
    return false;
}

/* ---- gamma and beta -------------------------------------------------------------------------------------------- */

/* v has exactly the normalised dims of x, up to leading ones. */
static bool fits_axes(const ir_value *v, const ir_type *x, int64_t axis) {
    int32_t axes = (int32_t)-axis, extra = ir_type_is_ranked(v->type) ? v->type->rank - axes : -1;
    if (extra < 0 || v->type->rank > x->rank || v->type->dtype != x->dtype) return false;
    for (int32_t i = 0; i < v->type->rank; i++) {
        const ir_dim *d = v->type->dims[i];
        if (i < extra ? !ir_dim_is(d, 1) : !ir_dim_equal(d, x->dims[x->rank - axes + i - extra]))
            return false;
    }
    return true;
}

/* The operand that n combines with *result, where that is over the normalised axes; *result moves on. */
static ir_value *take_operand(norm *s, ir_node *n) {
    ir_value *v = ir_in(n, ir_in(n, 0) == s->result ? 1 : 0);
    if (n->parent != s->result->def->parent || v == s->result) return NULL;
    if (!fits_axes(v, s->x->type, s->axis) || !same_type(&n->out[0], s->x)) return NULL;
    s->result = &n->out[0];
    return v;
}

static ir_value *take_affine(norm *s, op_id op) {
    ir_node *user = match_user(s->result);
    return user && user->op == op ? take_operand(s, user) : NULL;
}

/* x is a narrow value cast to f32, and so is the result cast back: both casts belong to the operator. */
static void take_casts(norm *s) {
    ir_node *up = match_def(s->x, OP_Cast), *down = match_user(s->result);
    if (!up || !down || down->op != OP_Cast || s->gamma || s->x->type->dtype != DT_f32) return;
    ir_dtype narrow = ir_in(up, 0)->type->dtype;
    if ((narrow != DT_f16 && narrow != DT_bf16) || down->out[0].type->dtype != narrow ||
        down->parent != s->result->def->parent)
        return;
    s->x = ir_in(up, 0);
    s->result = &down->out[0];
}

static void take_scale_and_shift(norm *s) {
    if (s->beta) return;
    take_casts(s);
    if (!s->gamma) s->gamma = take_affine(s, OP_Mul);
    if (s->mean) s->beta = take_affine(s, OP_Add);
}

/* ---- building -------------------------------------------------------------------------------------------------- */

static const ir_type *affine_type(pass_ctx *ctx, const norm *s) {
    const ir_type *x = s->x->type;
    return ir_type_tensor(ctx->c, x->dtype, (int32_t)-s->axis, x->dims + x->rank + s->axis);
}

/* v without leading ones. */
static ir_value *build_affine(ir_builder *b, ir_value *v, const ir_type *t) {
    return v->type == t ? v : build_reshape(b, v, t->dims, (uint32_t)t->rank);
}

static void build_norm(pass_ctx *ctx, const norm *s) {
    ir_builder b = ir_build_before(s->result->def);
    const ir_type *t = affine_type(ctx, s);
    ir_value *in[3] = {s->x, s->gamma ? build_affine(&b, s->gamma, t) : build_ones(ctx->m, t),
                       NULL};
    if (s->beta) in[2] = build_affine(&b, s->beta, t);
    ir_attr attrs[] = {{.name = "epsilon", .kind = ATTR_FLOAT, .v.f = (float)s->epsilon},
                       {.name = "axis", .kind = ATTR_INT, .v.i = s->axis}};
    op_id op = s->mean ? OP_LayerNormalization : OP_RMSNormalization;
    /* the last axis is the default */
    ir_node *n = build_node(&b, op, in, s->beta ? 3 : 2, 1, attrs, s->axis == -1 ? 1 : 2);
    pass_replace(ctx, s->result, &n->out[0]);
}

/* Where all readers multiply by a gamma of their own, each gets an operator of its own, as if the statistics were not shared. */
static bool is_shared(const norm *s) {
    if (s->gamma || s->beta || match_user(s->result)) return false;
    ir_for_each_use (u, s->result) {
        norm part = *s;
        if (u->user->op != OP_Mul || !take_operand(&part, u->user)) return false;
    }
    return true;
}

static bool build_shared(pass_ctx *ctx, const norm *s) {
    bool changed = false;
    ir_for_each_use (u, s->result) {
        norm part = *s;
        part.gamma = take_operand(&part, u->user);
        if (!part.result->uses || !ctx_take(ctx, s->mean ? "layer" : "rms")) continue;
        take_scale_and_shift(&part);
        build_norm(ctx, &part);
        changed = true;
    }
    return changed;
}

static bool match_norm(pass_ctx *ctx, ir_node *n, norm *s) {
    bool product = n->op == OP_Div || n->op == OP_Mul;
    if (!product && n->op != OP_Add) return false;
    if (!ir_type_is_ranked(n->out[0].type) || !n->out[0].uses) return false;
    if (!(product ? match_product(n, s) : match_distributed(n, s))) return false;
    if (!same_type(s->x, s->result) || !ir_type_is_static(affine_type(ctx, s))) return false;
    if (s->gamma && !fits_axes(s->gamma, s->x->type, s->axis)) return false;
    return !s->beta || fits_axes(s->beta, s->x->type, s->axis);
}

static pass_result fuse_normalization_node(pass_ctx *ctx, ir_node *n) {
    norm s = {0};
    if (!match_norm(ctx, n, &s)) return PASS_SAME;
    if (is_shared(&s)) return build_shared(ctx, &s) ? PASS_CHANGED : PASS_SAME;
    take_scale_and_shift(&s);
    if (!ctx_take(ctx, s.mean ? "layer" : "rms")) return PASS_SAME;
    build_norm(ctx, &s);
    return PASS_CHANGED;
}

pass_result pass_fuse_normalization(pass_ctx *ctx, ir_graph *g) {
    if (pass_get_math(ctx->options) == PASS_MATH_STRICT) return PASS_SAME;
    return pass_each_node(ctx, g, fuse_normalization_node);
}
