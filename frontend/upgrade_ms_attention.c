/* Attention and rotary embeddings of com.microsoft by ONNX's Attention (opset 24) and arithmetic.
 *
 *   Attention(x, weights, bias, mask)   ->  q, k, v = Split(MatMul(x, weights) + bias)
 *                                           Attention<q_num_heads, kv_num_heads>(q, k, v, (1 - mask) * mask_filter_value)
 *
 * Masks become biases of the scores, [batch, 1, 1 or rows, columns], as ONNX Runtime adds them. */
#include "frontend/upgrade.h"

/* ---- pieces ------------------------------------------------------------------------------------ */

static ir_value *or_omitted(ir_value *v) {
    return v ? v : &fe_omitted;
}

static ir_value *reshape(fe_node *n, ir_value *x, const int64_t *shape, uint32_t rank) {
    return fe_build2(n, OP_Reshape, x, fe_i64s(n, shape, rank));
}

static ir_value *slice(fe_node *n, ir_value *x, int64_t axis, int64_t from, int64_t to) {
    ir_value *in[] = {x, fe_i64s(n, &from, 1), fe_i64s(n, &to, 1), fe_i64s(n, &axis, 1)};
    return fe_build(n, OP_Slice, in, 4, NULL, 0);
}

/* Dimension i of x as a scalar. */
static ir_value *dimension(fe_node *n, ir_value *x, int64_t i) {
    ir_value *at = fe_scalar(n, DT_i64, (double)i);
    return fe_build2(n, OP_Gather, fe_build1(n, OP_Shape, x), at);
}

/* 0 ... count - 1 as i64. */
static ir_value *count_up(fe_node *n, ir_value *count) {
    ir_value *in[] = {fe_scalar(n, DT_i64, 0), count, fe_scalar(n, DT_i64, 1)};
    return fe_build(n, OP_Range, in, 3, NULL, 0);
}

static ir_value *concat(fe_node *n, ir_value *const *parts, uint32_t count, int64_t axis) {
    return fe_build(n, OP_Concat, parts, count,
                    &(ir_attr){.name = "axis", .kind = ATTR_INT, .v.i = axis}, 1);
}

/* y may be absent; a NULL for x is an error that is passed on. */
static ir_value *plus(fe_node *n, ir_value *x, ir_value *y) {
    return x && y ? fe_build2(n, OP_Add, x, y) : x;
}

/* ---- masks ------------------------------------------------------------------------------------- */

/* 0 where `keep` (boolean) holds, else the filter value. */
static ir_value *keep_bias(fe_node *n, ir_value *keep, ir_dtype t) {
    double filter = (double)fe_attr_float(n, "mask_filter_value", -10000.0f);
    ir_value *in[] = {keep, fe_scalar(n, t, 0), fe_scalar(n, t, filter)};
    return fe_build(n, OP_Where, in, 3, NULL, 0);
}

/* Row i of limits [rows,B], as [B,1,1,1]. */
static ir_value *limit(fe_node *n, ir_value *limits, int64_t i) {
    static const int64_t behind[] = {1, 2, 3};
    ir_value *row = fe_build2(n, OP_Gather, limits, fe_scalar(n, DT_i64, (double)i));
    return row ? fe_unsqueeze(n, row, behind, 3) : NULL;
}

/* The mask, where its length is B or 2 B; the run fails where it is not. */
static ir_value *checked_limits(fe_node *n, ir_value *mask, ir_value *samples) {
    ir_attr message = {.name = "message", .kind = ATTR_STRING};
    message.v.s = tl_sv_from(
        "a mask of rank 1 needs one length, or an end and a start, for each sample");
    ir_value *length = dimension(n, mask, 0);
    ir_value *twice = fe_build2(n, OP_Mul, samples, fe_scalar(n, DT_i64, 2));
    ir_value *fits = fe_build2(n, OP_Or, fe_build2(n, OP_Equal, length, samples),
                               fe_build2(n, OP_Equal, length, twice));
    return fe_build(n, OP_Guard, (ir_value *[]){mask, fits}, 2, &message, 1);
}

/* What is kept of the columns, by mask i32[B] of lengths, or [2 B] of ends and then starts. Which it is may be known in the run alone: a
 * row of zeros behind those that are there is the start that a length stands for. */
static ir_value *keep_columns(fe_node *n, ir_value *mask, ir_value *like, ir_value *columns) {
    static const int64_t front[] = {0};
    ir_value *at = count_up(n, columns), *limits = fe_cast(n, mask, DT_i64);
    if (mask->type->dims[0] == like->type->dims[0]) {
        limits = fe_unsqueeze(n, limits, front, 1);
        return fe_build2(n, OP_Less, at, limit(n, limits, 0));
    }
    ir_value *samples = dimension(n, like, 0), *one = fe_i64s(n, (int64_t[]){1}, 1);
    ir_value *per_sample = samples ? fe_unsqueeze(n, samples, front, 1) : NULL;
    ir_value *two[] = {fe_i64s(n, (int64_t[]){-1}, 1), per_sample};
    limits = fe_build2(n, OP_Reshape, checked_limits(n, limits, samples), concat(n, two, 2, 0));
    ir_value *shape = concat(n, (ir_value *[]){one, per_sample}, 2, 0);
    ir_value *zeros = fe_build2(n, OP_Expand, fe_scalar(n, DT_i64, 0), shape);
    limits = concat(n, (ir_value *[]){limits, zeros}, 2, 0);
    return fe_build2(n, OP_And, fe_build2(n, OP_Less, at, limit(n, limits, 0)),
                     fe_build2(n, OP_GreaterOrEqual, at, limit(n, limits, 1)));
}

/* Neither one number for each sample nor two, whatever the run says. */
static bool cannot_be_limits(const ir_value *mask, const ir_value *like) {
    int64_t samples, length;
    if (!like->type || fe_rank(like) < 1) return true;
    return ir_dim_is_const(mask->type->dims[0], &length) &&
           ir_dim_is_const(like->type->dims[0], &samples) && length != samples &&
           length != 2 * samples;
}

/* mask: limits i32[B] or [2 B], or what is kept i32[B,T] or [B,S,T]; `columns`: T as a scalar. */
static ir_value *mask_bias(fe_node *n, ir_value *mask, ir_value *like, ir_value *columns) {
    static const int64_t inner[] = {1, 2}, rows[] = {1};
    int32_t rank = fe_rank(mask);
    ir_value *keep;
    if (rank == 1) {
        if (cannot_be_limits(mask, like))
            return fe_error(
                       n,
                       "a mask of rank 1 needs one length, or an end and a start, for each sample"),
                   NULL;
        keep = keep_columns(n, mask, like, columns);
    } else if (rank == 2 || rank == 3) {
        ir_value *zero = fe_scalar(n, mask->type->dtype, 0);
        keep = fe_build1(n, OP_Not, fe_build2(n, OP_Equal, mask, zero));
        keep = fe_unsqueeze(n, keep, rank == 2 ? inner : rows, rank == 2 ? 2 : 1);
    } else {
        return fe_error(n, "a mask of rank %d is not supported", rank), NULL;
    }
    return keep_bias(n, keep, like->type->dtype);
}

/* ---- the call ---------------------------------------------------------------------------------- */

typedef struct attention {
    ir_value *q, *k, *v, *bias, *past_key, *past_value; /* the last three may be NULL */
    int64_t heads, kv_heads;
    bool causal, wants_present;
} attention;

static float scale_of(const fe_node *n) {
    return fe_attr_float(n, "scale", 0);
}

static ir_node *call(fe_node *n, const attention *a) {
    ir_attr attrs[] = {
        {.name = "q_num_heads", .kind = ATTR_INT, .v.i = a->heads},
        {.name = "kv_num_heads", .kind = ATTR_INT, .v.i = a->kv_heads},
        {.name = "is_causal", .kind = ATTR_INT, .v.i = a->causal},
        {.name = "softcap", .kind = ATTR_FLOAT, .v.f = fe_attr_float(n, "softcap", 0)},
        {.name = "scale", .kind = ATTR_FLOAT, .v.f = scale_of(n)}};
    ir_value *in[] = {
        a->q, a->k, a->v, or_omitted(a->bias), or_omitted(a->past_key), or_omitted(a->past_value)};
    uint32_t n_in = a->past_key ? 6 : a->bias ? 4 : 3, n_out = a->wants_present ? 3 : 1;
    return fe_build_node(n, OP_Attention, in, n_in, n_out, attrs, scale_of(n) != 0 ? 5 : 4);
}

/* ---- Attention, QAttention --------------------------------------------------------------------- */

/* past: [2, batch, heads, length, size]; part 0 the keys, 1 the values. */
static ir_value *past_part(fe_node *n, ir_value *past, int64_t part) {
    return fe_build2(n, OP_Gather, past, fe_scalar(n, DT_i64, (double)part));
}

static ir_value *join_present(fe_node *n, const ir_node *y) {
    static const int64_t front[] = {0};
    ir_value *parts[] = {fe_unsqueeze(n, (ir_value *)&y->out[1], front, 1),
                         fe_unsqueeze(n, (ir_value *)&y->out[2], front, 1)};
    return concat(n, parts, 2, 0);
}

/* Widths of q, k and v in the projection. */
static bool read_widths(fe_node *n, const ir_value *projected, int64_t widths[3]) {
    const fe_attr *a = fe_find_attr(n, "qkv_hidden_sizes");
    int64_t all;
    if (a && a->a.kind == ATTR_INTS && a->a.n == 3) {
        for (int i = 0; i < 3; i++) {
            widths[i] = a->a.v.ints[i];
            if (widths[i] < 0 || widths[i] > INT32_MAX)
                return fe_error(n, "attribute 'qkv_hidden_sizes' holds %lld", (long long)widths[i]);
        }
        return true;
    }
    if (fe_rank(projected) != 3 || !ir_dim_is_const(projected->type->dims[2], &all) || all % 3)
        return fe_error(n, "input 1 needs a constant width of three equal parts");
    widths[0] = widths[1] = widths[2] = all / 3;
    return true;
}

/* projected: [batch, length, q + k + v]. */
static bool attend_projected(fe_node *n, ir_value *projected, ir_value *mask, ir_value *past,
                             ir_value *scores) {
    int64_t w[3];
    attention a = {.heads = fe_attr_int(n, "num_heads", 0)};
    if (!projected || !read_widths(n, projected, w)) return false;
    a.kv_heads = a.heads;
    a.causal = fe_attr_int(n, "unidirectional", 0) != 0;
    a.wants_present = fe_wants(n, 1);
    a.q = slice(n, projected, 2, 0, w[0]);
    a.k = slice(n, projected, 2, w[0], w[0] + w[1]);
    a.v = slice(n, projected, 2, w[0] + w[1], w[0] + w[1] + w[2]);
    if (!a.q || !a.k || !a.v) return false;
    if (past) a.past_key = past_part(n, past, 0), a.past_value = past_part(n, past, 1);
    if (mask) {
        ir_value *columns = dimension(n, a.k, 1);
        if (past) columns = fe_build2(n, OP_Add, columns, dimension(n, past, 3));
        if (!(a.bias = mask_bias(n, mask, a.q, columns))) return false;
    }
    a.bias = a.bias ? plus(n, a.bias, scores) : scores;
    ir_node *y = call(n, &a);
    if (!y) return false;
    if (a.wants_present && !(n->out[1] = join_present(n, y))) return false;
    return fe_finish(n, &y->out[0]);
}

/* (x, weights, bias?, mask?, past?, scores' bias?, past length?) */
static bool ms_attention(fe_node *n) {
    if (!fe_need(n, 2)) return false;
    if (fe_in(n, 6) || fe_attr_int(n, "do_rotary", 0))
        return fe_error(n, "shared past buffers and rotary embeddings are not supported");
    ir_value *x = fe_build2(n, OP_MatMul, fe_in(n, 0), fe_in(n, 1));
    return attend_projected(n, plus(n, x, fe_in(n, 2)), fe_in(n, 3), fe_in(n, 4), fe_in(n, 5));
}

/* (x, weights, bias, x_scale, weights_scale, mask?, x_zero?, weights_zero?, past?) */
static bool qattention(fe_node *n) {
    if (!fe_need(n, 5)) return false;
    if (fe_attr_int(n, "do_rotary", 0)) return fe_error(n, "rotary embeddings are not supported");
    ir_value *in[] = {fe_in(n, 0), fe_in(n, 1), or_omitted(fe_in(n, 6)), or_omitted(fe_in(n, 7))};
    ir_value *x = fe_build(n, OP_MatMulInteger, in, 4, NULL, 0);
    ir_value *scale = fe_build2(n, OP_Mul, fe_in(n, 3), fe_in(n, 4));
    x = fe_build2(n, OP_Mul, fe_cast(n, x, DT_f32), scale);
    return attend_projected(n, plus(n, x, fe_in(n, 2)), fe_in(n, 5), fe_in(n, 8), NULL);
}

/* ---- MultiHeadAttention ------------------------------------------------------------------------ */

/* x[batch, length, heads, parts, size] -> part i as [batch, length, heads * size] */
static ir_value *packed_part(fe_node *n, ir_value *x, int64_t i) {
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = 3};
    ir_value *in[] = {x, fe_scalar(n, DT_i64, (double)i)};
    return reshape(n, fe_build(n, OP_Gather, in, 2, &axis, 1), (int64_t[]){0, 0, -1}, 3);
}

/* The third of the common bias that belongs to part i. */
static ir_value *bias_part(fe_node *n, ir_value *bias, int64_t i) {
    int64_t all;
    if (fe_rank(bias) != 1 || !ir_dim_is_const(bias->type->dims[0], &all) || all % 3)
        return fe_error(n, "input 3 needs three equal parts"), NULL;
    return slice(n, bias, 0, i * (all / 3), (i + 1) * (all / 3));
}

static ir_value *split_heads(fe_node *n, ir_value *x, int64_t heads) {
    if (fe_rank(x) == 4) return x;
    x = reshape(n, x, (int64_t[]){0, 0, heads, -1}, 4);
    return fe_transpose(n, x, (int64_t[]){0, 2, 1, 3}, 4);
}

static ir_value *merge_heads(fe_node *n, ir_value *x) {
    x = fe_transpose(n, x, (int64_t[]){0, 2, 1, 3}, 4);
    return reshape(n, x, (int64_t[]){0, 0, -1}, 3);
}

/* q alone may hold all three, k may hold v. */
static bool unpack_operands(fe_node *n, attention *a) {
    a->q = fe_in(n, 0), a->k = fe_in(n, 1), a->v = fe_in(n, 2);
    if (fe_rank(a->q) == 5) {
        ir_value *x = a->q;
        a->q = packed_part(n, x, 0), a->k = packed_part(n, x, 1), a->v = packed_part(n, x, 2);
    } else if (fe_rank(a->k) == 5) {
        ir_value *x = a->k;
        a->k = packed_part(n, x, 0), a->v = packed_part(n, x, 1);
    }
    if (!a->q || !a->k || !a->v) return fe_error(n, "query, key or value is missing");
    return true;
}

static bool add_biases(fe_node *n, attention *a) {
    ir_value *bias = fe_in(n, 3);
    if (!bias) return true;
    bool whole = fe_rank(a->k) == 4; /* keys and values are there already: the query's part alone */
    a->q = fe_build2(n, OP_Add, a->q, bias_part(n, bias, 0));
    if (!whole) a->k = fe_build2(n, OP_Add, a->k, bias_part(n, bias, 1));
    if (!whole) a->v = fe_build2(n, OP_Add, a->v, bias_part(n, bias, 2));
    return a->q && a->k && a->v;
}

static bool give_attention(fe_node *n, attention *a, bool by_heads) {
    a->wants_present = fe_wants(n, 1) || fe_wants(n, 2);
    ir_node *y = call(n, a);
    if (!y) return false;
    for (uint32_t i = 1; i < 3; i++)
        if (fe_wants(n, i)) n->out[i] = &y->out[i];
    return fe_finish(n, by_heads ? merge_heads(n, &y->out[0]) : &y->out[0]);
}

/* (q, k?, v?, bias?, key mask?, scores' bias?, past keys?, past values?) */
static bool multi_head_attention(fe_node *n) {
    attention a = {.heads = fe_attr_int(n, "num_heads", 0)};
    if (!fe_need(n, 1) || !unpack_operands(n, &a) || !add_biases(n, &a)) return false;
    if (n->in.len > 8 && (fe_in(n, 8) || fe_in(n, 9)))
        return fe_error(n, "shared past buffers are not supported");
    a.kv_heads = a.heads;
    a.causal = fe_attr_int(n, "unidirectional", 0) != 0;
    a.past_key = fe_in(n, 6), a.past_value = fe_in(n, 7);
    ir_value *mask = fe_in(n, 4);
    if (mask) {
        ir_value *columns = dimension(n, a.k, fe_rank(a.k) == 4 ? 2 : 1);
        if (a.past_key) columns = fe_build2(n, OP_Add, columns, dimension(n, a.past_key, 2));
        if (!(a.bias = mask_bias(n, mask, a.q, columns))) return false;
    }
    a.bias = a.bias ? plus(n, a.bias, fe_in(n, 5)) : fe_in(n, 5);
    bool by_heads = fe_rank(a.k) == 4;
    if (by_heads) a.q = split_heads(n, a.q, a.heads), a.v = split_heads(n, a.v, a.heads);
    return give_attention(n, &a, by_heads);
}

/* ---- rotary embeddings ------------------------------------------------------------------------- */

/* Pairs (x1, x2) turned by the angle: (x1 cos - x2 sin, x1 sin + x2 cos). */
static void turn(fe_node *n, ir_value *x1, ir_value *x2, ir_value *cos, ir_value *sin,
                 ir_value *out[2]) {
    out[0] = fe_build2(n, OP_Sub, fe_build2(n, OP_Mul, x1, cos), fe_build2(n, OP_Mul, x2, sin));
    out[1] = fe_build2(n, OP_Add, fe_build2(n, OP_Mul, x1, sin), fe_build2(n, OP_Mul, x2, cos));
}

/* x[batch, heads, length, size]; cos, sin: [batch or 1, 1, length, half], the first 2 * half of size are turned; what is behind them may
 * turn out to be nothing. Pairs lie half apart, or side by side (interleaved). */
static ir_value *rotate(fe_node *n, ir_value *x, ir_value *cos, ir_value *sin, int64_t half,
                        bool interleaved) {
    static const int64_t last[] = {4};
    int64_t size = INT64_MAX;
    if (!x || fe_rank(x) != 4) return NULL;
    if (ir_dim_is_const(x->type->dims[3], &size) && size / 2 < half)
        return fe_error(n, "the size of a head is %lld, too small", (long long)size), NULL;
    ir_value *head = size > 2 * half ? slice(n, x, 3, 0, 2 * half) : x, *parts[2], *turned;
    if (interleaved) {
        ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = 4};
        ir_value *pairs = reshape(n, head, (int64_t[]){0, 0, 0, half, 2}, 5), *xs[2];
        for (int i = 0; i < 2; i++) {
            ir_value *in[] = {pairs, fe_scalar(n, DT_i64, i)};
            xs[i] = fe_build(n, OP_Gather, in, 2, &axis, 1);
        }
        turn(n, xs[0], xs[1], cos, sin, parts);
        ir_value *both[] = {fe_unsqueeze(n, parts[0], last, 1), fe_unsqueeze(n, parts[1], last, 1)};
        turned = reshape(n, concat(n, both, 2, 4), (int64_t[]){0, 0, 0, 2 * half}, 4);
    } else {
        turn(n, slice(n, head, 3, 0, half), slice(n, head, 3, half, 2 * half), cos, sin, parts);
        turned = concat(n, parts, 2, 3);
    }
    if (size == 2 * half) return turned;
    return concat(n, (ir_value *[]){turned, slice(n, x, 3, 2 * half, size)}, 2, 3);
}

/* Rows of a cache [positions, half] for positions[batch or 1, length], with an axis for the heads. */
static ir_value *angles(fe_node *n, ir_value *cache, ir_value *positions) {
    static const int64_t heads[] = {1};
    return fe_unsqueeze(n, fe_build2(n, OP_Gather, cache, positions), heads, 1);
}

/* (x, position ids [1] or [batch, length], cos, sin) */
static bool rotary_embedding(fe_node *n) {
    int64_t half, heads = fe_attr_int(n, "num_heads", 0), width;
    if (!fe_need(n, 4)) return false;
    ir_value *x = fe_in(n, 0), *at = fe_in(n, 1), *cos = fe_in(n, 2), *sin = fe_in(n, 3);
    bool flat = fe_rank(x) == 3;
    if (fe_attr_int(n, "is_packed_batching", 0) || (!flat && fe_rank(x) != 4))
        return fe_error(n, "packed batches are not supported");
    if (fe_rank(cos) != 2 || !ir_dim_is_const(cos->type->dims[1], &half) || half < 1)
        return fe_error(n, "input 2 needs a constant width");
    if (flat && !heads && ir_dim_is_const(x->type->dims[2], &width)) heads = width / 2 / half;
    if (flat && heads < 1 && fe_attr_int(n, "rotary_embedding_dim", 0))
        return fe_error(n, "attribute 'num_heads' is missing");
    if (fe_rank(at) == 1) {
        at = fe_build2(n, OP_Add, at, count_up(n, dimension(n, x, flat ? 1 : 2)));
        at = reshape(n, at, (int64_t[]){1, -1}, 2);
    }
    ir_value *y = x; /* without num_heads all of a head is turned */
    if (flat && heads)
        y = split_heads(n, x, heads);
    else if (flat)
        y = fe_transpose(n, reshape(n, x, (int64_t[]){0, 0, -1, 2 * half}, 4),
                         (int64_t[]){0, 2, 1, 3}, 4);
    y = rotate(n, y, angles(n, cos, at), angles(n, sin, at), half,
               fe_attr_int(n, "interleaved", 0));
    return fe_finish(n, flat ? merge_heads(n, y) : y);
}

/* ---- GroupQueryAttention ----------------------------------------------------------------------- */

/* Keys that a query sees: those at its position or before, bool[batch, 1, length, total]. lengths: of all keys, less one, i32[batch].
 * Sets the queries' positions [batch, length]. */
static ir_value *causal_mask(fe_node *n, ir_value *lengths, ir_value *length, ir_value *total,
                             ir_value **positions) {
    static const int64_t row[] = {1}, heads[] = {1}, columns[] = {3};
    ir_value *first = fe_build2(n, OP_Sub, fe_cast(n, lengths, DT_i64), length);
    first = fe_build2(n, OP_Add, first, fe_scalar(n, DT_i64, 1));
    first = reshape(n, first, (int64_t[]){-1}, 1);
    *positions = fe_build2(n, OP_Add, fe_unsqueeze(n, first, row, 1), count_up(n, length));
    ir_value *limit = fe_unsqueeze(n, fe_unsqueeze(n, *positions, heads, 1), columns, 1);
    return fe_build2(n, OP_LessOrEqual, count_up(n, total), limit);
}

/* q holds k and v too: heads of all three behind each other. */
static bool split_packed(fe_node *n, attention *a) {
    int64_t all, heads = a->heads + 2 * a->kv_heads, axis = 2, size = 1;
    if (fe_rank(a->q) != 3) return fe_error(n, "input 0 has no rank of 3");
    ir_value *x = a->q;
    if (!ir_dim_is_const(x->type->dims[2], &all))
        x = split_heads(n, x, heads), axis = 1; /* [batch, heads, length, size] */
    else if (all % heads)
        return fe_error(n, "input 0 has %lld columns for %lld heads", (long long)all,
                        (long long)heads);
    else
        size = all / heads;
    if (!x) return false;
    int64_t q = a->heads * size, k = a->kv_heads * size;
    a->q = slice(n, x, axis, 0, q);
    a->k = slice(n, x, axis, q, q + k);
    a->v = slice(n, x, axis, q + k, q + 2 * k);
    return true;
}

static bool check_group_query(fe_node *n, const attention *a) {
    if (a->heads < 1 || a->kv_heads < 1 || a->heads > INT32_MAX || a->kv_heads > INT32_MAX)
        return fe_error(n, "attribute 'num_heads' or 'kv_num_heads' is missing or too large");
    if (fe_attr_int(n, "local_window_size", -1) != -1 || fe_attr_int(n, "smooth_softmax", 0))
        return fe_error(n, "local windows and smooth softmax are not supported");
    for (uint32_t i = 9; i < n->in.len; i++)
        if (fe_in(n, i)) return fe_error(n, "input %u is not supported", i);
    return fe_in(n, 5) || fe_error(n, "input 5 is missing");
}

/* (q, k?, v?, past keys?, past values?, lengths - 1, greatest length, cos?, sin?) */
static bool group_query_attention(fe_node *n) {
    attention a = {.heads = fe_attr_int(n, "num_heads", 0),
                   .kv_heads = fe_attr_int(n, "kv_num_heads", 0)};
    int64_t half;
    if (!fe_need(n, 1) || !check_group_query(n, &a)) return false;
    a.q = fe_in(n, 0), a.k = fe_in(n, 1), a.v = fe_in(n, 2);
    if (!a.k && !split_packed(n, &a)) return false;
    a.past_key = fe_in(n, 3), a.past_value = fe_in(n, 4);
    ir_value *length = dimension(n, a.q, fe_rank(a.q) == 4 ? 2 : 1), *total = length, *positions;
    if (a.past_key) total = fe_build2(n, OP_Add, total, dimension(n, a.past_key, 2));
    a.bias = causal_mask(n, fe_in(n, 5), length, total, &positions);
    a.q = split_heads(n, a.q, a.heads);
    a.k = split_heads(n, a.k, a.kv_heads);
    a.v = split_heads(n, a.v, a.kv_heads);
    if (fe_attr_int(n, "do_rotary", 0)) {
        ir_value *cos = fe_in(n, 7), *sin = fe_in(n, 8);
        bool interleaved = fe_attr_int(n, "rotary_interleaved", 0);
        if (!cos || !sin || fe_rank(cos) != 2 || !ir_dim_is_const(cos->type->dims[1], &half))
            return fe_error(n, "input 7 or 8 is missing");
        cos = angles(n, cos, positions), sin = angles(n, sin, positions);
        a.q = rotate(n, a.q, cos, sin, half, interleaved);
        a.k = rotate(n, a.k, cos, sin, half, interleaved);
    }
    return give_attention(n, &a, true);
}

/* clang-format off */
const fe_rule fe_rules_ms_attention[] = {
    {"com.microsoft", "Attention", FE_ALWAYS, ms_attention, "Attention"},
    {"com.microsoft", "QAttention", FE_ALWAYS, qattention, "Attention"},
    {"com.microsoft", "MultiHeadAttention", FE_ALWAYS, multi_head_attention, "Attention"},
    {"com.microsoft", "GroupQueryAttention", FE_ALWAYS, group_query_attention, "Attention"},
    {"com.microsoft", "RotaryEmbedding", FE_ALWAYS, rotary_embedding, "Mul"},
    {0},
};
/* clang-format on */
