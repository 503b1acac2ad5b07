/* Operators of models that generate step by step: linear attention and causal convolution with their states, rotary positions, the
 * cache that is written in place. */
#include "ir/infer/infer.h"

/* Unknown where the operand has no such axis: what it must have is checked later. */
static const ir_dim *dim_of(ir_ctx *c, const ir_node *n, uint32_t i, int32_t axis) {
    const ir_type *t = infer_in(n, i);
    return infer_is_ranked(n, i) && axis < t->rank ? t->dims[axis] : ir_dim_unknown(c);
}

/* ---- LinearAttention --------------------------------------------------------------------------------------------- */

enum { Q, K, V, PAST, DECAY, BETA };

static bool check_rule(ir_ctx *c, const ir_node *n) {
    const char *rule = ir_attr_string(n, "update_rule", "gated_delta");
    bool gated = strcmp(rule, "gated") == 0, delta = strcmp(rule, "delta") == 0;
    if (strcmp(rule, "gated_delta") == 0) gated = delta = true;
    if (!gated && !delta && strcmp(rule, "linear") != 0)
        return diag_error(&c->diag, n->loc, "attribute 'update_rule' is '%s'", rule);
    if (gated != (ir_in(n, DECAY) != NULL))
        return diag_error(&c->diag, n->loc, "update rule '%s' %s input 4 'decay'", rule,
                          gated ? "needs" : "has no");
    if (delta != (ir_in(n, BETA) != NULL))
        return diag_error(&c->diag, n->loc, "update rule '%s' %s input 5 'beta'", rule,
                          delta ? "needs" : "has no");
    return true;
}

/* The size of one head of operand i. */
static bool head_size(ir_ctx *c, const ir_node *n, uint32_t i, int64_t heads, const ir_dim **size) {
    int64_t width;
    const ir_dim *d = dim_of(c, n, i, 2);
    if (ir_dim_is_const(d, &width) && width % heads)
        return infer_error(c, n, i, "dimension 2 is %lld, expected a multiple of %lld heads",
                           (long long)width, (long long)heads);
    *size = ir_dim_floordiv(c, d, ir_dim_const(c, heads));
    return true;
}

/* A gate of one element per head, or of `other` in all. */
static bool check_gate(ir_ctx *c, const ir_node *n, uint32_t i, int64_t heads,
                       const ir_dim *other) {
    int64_t width;
    const ir_dim *dims[] = {dim_of(c, n, Q, 0), dim_of(c, n, Q, 1), dim_of(c, n, i, 2)};
    if (!infer_expect_dims(c, n, i, dims, 3)) return false;
    if (!ir_dim_is_const(dims[2], &width) || width == heads || !ir_dim_is_const(other, NULL) ||
        ir_dim_is(other, width))
        return true;
    return infer_error(c, n, i, "dimension 2 is %lld, expected %lld or %s", (long long)width,
                       (long long)heads, infer_dim_text(c, other));
}

static bool check_heads(ir_ctx *c, const ir_node *n, int64_t heads, int64_t kv_heads) {
    if (heads >= 1 && kv_heads >= 1 && heads % kv_heads == 0) return true;
    return diag_error(&c->diag, n->loc,
                      "attribute 'q_num_heads' is %lld, expected a multiple of the %lld of "
                      "'kv_num_heads'",
                      (long long)heads, (long long)kv_heads);
}

bool infer_linear_attention(ir_ctx *c, ir_node *n) {
    int64_t heads = ir_attr_int(n, "q_num_heads", 0), kv_heads = ir_attr_int(n, "kv_num_heads", 0);
    const ir_dim *dk, *dv;
    if (!check_rule(c, n) || !check_heads(c, n, heads, kv_heads)) return false;
    for (uint32_t i = Q; i <= V; i++)
        if (!infer_expect_rank(c, n, i, 3)) return false;
    if (!head_size(c, n, Q, heads, &dk) || !head_size(c, n, V, kv_heads, &dv)) return false;
    const ir_dim *batch = dim_of(c, n, Q, 0), *steps = dim_of(c, n, Q, 1),
                 *kv = ir_dim_const(c, kv_heads);
    const ir_dim *k[] = {batch, steps, ir_dim_mul(c, kv, dk)},
                 *v[] = {batch, steps, dim_of(c, n, V, 2)}, *past[] = {batch, kv, dk, dv};
    if (!infer_expect_dims(c, n, K, k, 3) || !infer_expect_dims(c, n, V, v, 3) ||
        !infer_expect_dims(c, n, PAST, past, 4) || !check_gate(c, n, DECAY, kv_heads, k[2]) ||
        !check_gate(c, n, BETA, kv_heads, ir_dim_const(c, 1)))
        return false;
    ir_shape y = {3, {batch, steps, ir_dim_mul(c, ir_dim_const(c, heads), dv)}},
             state = {4, {batch, kv, dk, dv}};
    ir_dtype state_type = infer_in(n, ir_in(n, PAST) ? PAST : Q)->dtype;
    return infer_set_shape(c, n, 0, infer_in(n, Q)->dtype, &y) &&
           infer_set_shape(c, n, 1, state_type, &state);
}

/* ---- CausalConvWithState ------------------------------------------------------------------------------------------ */

bool infer_causal_conv(ir_ctx *c, ir_node *n) {
    ir_dtype t = infer_in(n, 0)->dtype;
    const char *activation = ir_attr_string(n, "activation", "none");
    if (strcmp(activation, "none") != 0 && strcmp(activation, "silu") != 0 &&
        strcmp(activation, "swish") != 0)
        return diag_error(&c->diag, n->loc, "attribute 'activation' is '%s'", activation);
    if (!infer_expect_rank(c, n, 0, 3) || !infer_expect_rank(c, n, 1, 3)) return false;
    const ir_dim *batch = dim_of(c, n, 0, 0), *channels = dim_of(c, n, 0, 1),
                 *taps = dim_of(c, n, 1, 2), *one = ir_dim_const(c, 1);
    if (ir_dim_is(taps, 0)) return infer_error(c, n, 1, "dimension 2 is 0, expected 1 or more");
    const ir_dim *w[] = {channels, one, taps},
                 *past[] = {batch, channels, ir_dim_sub(c, taps, one)};
    if (!infer_expect_dims(c, n, 1, w, 3) || !infer_expect_dims(c, n, 2, &channels, 1) ||
        !infer_expect_dims(c, n, 3, past, 3))
        return false;
    return infer_set(c, n, 0, infer_in(n, 0)) &&
           infer_set_shape(c, n, 1, t, &(ir_shape){3, {past[0], past[1], past[2]}});
}

/* ---- RotaryEmbedding ---------------------------------------------------------------------------------------------- */

/* Batch, steps and size of a head of the first operand. */
static bool rotary_sizes(ir_ctx *c, const ir_node *n, const ir_dim **batch, const ir_dim **steps,
                         const ir_dim **size) {
    const ir_type *t = infer_in(n, 0);
    int64_t heads = ir_attr_int(n, "num_heads", 0);
    if (t->rank == 4) {
        *batch = t->dims[0], *steps = t->dims[2], *size = t->dims[3];
        return true;
    }
    if (t->rank != 3) return infer_error(c, n, 0, "rank is %d, expected 3 or 4", t->rank);
    if (heads <= 0)
        return infer_error(c, n, 0, "rank is 3, so attribute 'num_heads' must be above 0");
    *batch = t->dims[0], *steps = t->dims[1];
    return head_size(c, n, 0, heads, size);
}

static bool check_rotated(ir_ctx *c, const ir_node *n, const ir_dim *size, const ir_dim **half) {
    int64_t rotated = ir_attr_int(n, "rotary_embedding_dim", 0), width;
    if (rotated < 0 || rotated % 2 || (ir_dim_is_const(size, &width) && rotated > width))
        return diag_error(&c->diag, n->loc,
                          "attribute 'rotary_embedding_dim' is %lld, expected an even number up to "
                          "the size of a head, %s",
                          (long long)rotated, infer_dim_text(c, size));
    if (!rotated && ir_dim_is_const(size, &width) && width % 2)
        return infer_error(c, n, 0, "size of a head is %lld, expected an even number",
                           (long long)width);
    *half = rotated ? ir_dim_const(c, rotated / 2) : ir_dim_floordiv(c, size, ir_dim_const(c, 2));
    return true;
}

bool infer_rotary(ir_ctx *c, ir_node *n) {
    const ir_dim *batch, *steps, *size, *half;
    if (!infer_is_ranked(n, 0)) return infer_set(c, n, 0, infer_in(n, 0));
    if (!rotary_sizes(c, n, &batch, &steps, &size) || !check_rotated(c, n, size, &half))
        return false;
    const ir_dim *positions[] = {batch, steps}, *rows = dim_of(c, n, 1, 0);
    const ir_dim *by_position[] = {rows, half}, *by_step[] = {batch, steps, half};
    bool indexed = ir_in(n, 3) != NULL;
    for (uint32_t i = 1; i <= 2; i++)
        if (!infer_expect_dims(c, n, i, indexed ? by_position : by_step, indexed ? 2 : 3))
            return false;
    return infer_expect_dims(c, n, 3, positions, 2) && infer_set(c, n, 0, infer_in(n, 0));
}

/* ---- TensorScatter ------------------------------------------------------------------------------------------------ */

bool infer_tensor_scatter(ir_ctx *c, ir_node *n) {
    int32_t axis;
    int64_t size, most;
    const char *mode = ir_attr_string(n, "mode", "linear");
    if (strcmp(mode, "linear") != 0 && strcmp(mode, "circular") != 0)
        return diag_error(&c->diag, n->loc, "attribute 'mode' is '%s'", mode);
    if (!infer_is_ranked(n, 0)) return infer_set(c, n, 0, infer_in(n, 0));
    ir_shape cache = infer_in_shape(n, 0), update = cache;
    if (!infer_axis(c, n, ir_attr_int(n, "axis", -2), cache.rank, &axis)) return false;
    if (axis == 0) return diag_error(&c->diag, n->loc, "attribute 'axis' is that of the batch, 0");
    update.dims[axis] = ir_dim_unknown(c);
    if (!infer_expect_dims(c, n, 1, update.dims, cache.rank) ||
        !infer_expect_dims(c, n, 2, &cache.dims[0], 1))
        return false;
    if (ir_dim_is_const(dim_of(c, n, 1, axis), &size) && ir_dim_is_const(cache.dims[axis], &most) &&
        size > most)
        return infer_error(c, n, 1, "dimension %d is %lld, expected %lld at most", axis,
                           (long long)size, (long long)most);
    return infer_set(c, n, 0, infer_in(n, 0));
}
