/* How far the outputs of a step are behind its inputs: what the stream pass has made, gone through once more, with nothing but "which
 * position of this step's input is the last one that this element depends on" in place of numbers.
 *
 *   %x  f32[1,8,64] along 1        [0 1 2 3 4 5 6 7] along axis 1, the same along all others
 *   Reshape {1,2,4,64}             [[0 1 2 3] [4 5 6 7]]
 *   Attention within chunks        [[3 3 3 3] [7 7 7 7]]
 *   %y  f32[1,8,64] along 1        3 3 3 3 7 7 7 7: the first element is 3 positions late, which is the delay
 *
 * -1 stands for what depends on no position of this step. A table has the size of the value along the axes where its elements differ, and
 * 1 along all others, so it is small. Bodies of recurrences are gone through round by round. An operator without a rule, or a size that is
 * not known, gives all elements the latest position of all operands: a delay is never too small. */
#include "ir/band.h"
#include "passes/recur.h"
#include "passes/stream_reach.h"
#include "passes/util.h"

static int64_t min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

enum { MAX_WORK = 1 << 24 }; /* elements of all tables; behind it all positions count */

static int32_t rank_of(const ir_value *v) {
    return v && ir_type_is_ranked(v->type) ? v->type->rank : 0;
}

static const reach *get(delays *d, const ir_value *v) {
    if (v && v->mark == d->mark) return (const reach *)(uintptr_t)v->scratch;
    return reach_uniform(d, rank_of(v), -1);
}

static void set(delays *d, ir_value *v, const reach *r) {
    v->mark = d->mark;
    v->scratch = (uint64_t)(uintptr_t)r;
}

/* ---- operators ------------------------------------------------------------------------------------------------------ */

typedef const reach *delay_rule(delays *d, const ir_node *n);

/* Size of a result's axis; -1 where that is no constant. */
static int64_t size_of(const ir_value *v, int32_t axis) {
    int64_t n;
    return ir_type_is_ranked(v->type) && ir_dim_is_const(v->type->dims[axis], &n) ? n : -1;
}

static const reach *all_operands(delays *d, const ir_node *n) {
    const reach *r = reach_uniform(
        d, n->out[0].type && n->out[0].type->rank > 0 ? n->out[0].type->rank : 0, -1);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i].value) r = reach_join(d, r, get(d, n->in[i].value));
    return r;
}

static const reach *of_product(delays *d, const ir_node *n) {
    const reach *a = get(d, n->in[0].value), *b = get(d, n->in[1].value);
    if (a->rank < 2 || b->rank < 2) return NULL;
    return reach_join(d, reach_collapse(d, a, a->rank - 1), reach_collapse(d, b, b->rank - 2));
}

static const reach *of_transpose(delays *d, const ir_node *n) {
    int64_t perm[IR_MAX_RANK], dims[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, from[IR_MAX_RANK],
                                                  k = 0;
    uint32_t rank;
    const reach *a = get(d, n->in[0].value);
    if (!get_perm(n, perm, &rank)) return NULL;
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = a->dims[perm[i]];
    reach *r = reach_new(d, (int32_t)rank, dims);
    do {
        for (uint32_t i = 0; i < rank; i++)
            from[perm[i]] = index[i];
        r->at[k++] = a->at[reach_element(a, from, (int32_t)rank)];
    } while (r->n && reach_next(r, index));
    return r;
}

static const reach *of_normalised(delays *d, const ir_node *n) {
    const reach *r = get(d, n->in[0].value);
    int32_t axis = normal_axis(ir_attr_int(n, "axis", -1), r->rank);
    for (int32_t i = axis; i < r->rank; i++)
        r = reach_collapse(d, r, i);
    return r;
}

static const reach *of_softmax(delays *d, const ir_node *n) {
    const reach *r = get(d, n->in[0].value);
    return reach_collapse(d, r, normal_axis(ir_attr_int(n, "axis", -1), r->rank));
}

/* Axes whose products agree, in the operand and in the result: elements keep their order within such a group. */
typedef struct regrouping {
    int32_t from, from_end, to, to_end;
    bool mixed; /* elements differ within it */
    int64_t n;
} regrouping;

static const ir_dim *take_axis(ir_ctx *c, const ir_type *t, int32_t *at) {
    return *at < t->rank ? t->dims[(*at)++] : ir_dim_const(c, 1);
}

/* false where the axes do not agree, or elements differ within a group whose size is not known. */
static bool next_group(delays *d, const ir_type *a, const ir_type *b, const reach *r,
                       regrouping *g) {
    ir_ctx *c = d->s->ctx->c;
    *g = (regrouping){g->from_end, g->from_end, g->to_end, g->to_end, false, 0};
    const ir_dim *x = take_axis(c, a, &g->from_end), *y = take_axis(c, b, &g->to_end);
    while (!ir_dim_equal(x, y)) {
        bool left = g->from_end < a->rank && (g->to_end == b->rank || ir_dim_div_exact(c, y, x));
        if (!left && g->to_end == b->rank) return false;
        if (left)
            x = ir_dim_mul(c, x, take_axis(c, a, &g->from_end));
        else
            y = ir_dim_mul(c, y, take_axis(c, b, &g->to_end));
    }
    for (int32_t i = g->from; i < g->from_end; i++)
        g->mixed |= r->dims[i] > 1;
    return !g->mixed || ir_dim_is_const(x, &g->n);
}

/* One group of the axes at a time: those of the result in place of the operand's. */
static const reach *regroup(delays *d, const reach *a, const ir_type *from, const ir_type *to,
                            const regrouping *g) {
    int64_t dims[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, old[IR_MAX_RANK], size, k = 0;
    int32_t rank = 0, shift = (g->to_end - g->to) - (g->from_end - g->from);
    for (int32_t i = 0; i < g->to; i++)
        dims[rank++] = a->dims[i];
    for (int32_t i = g->to; i < g->to_end; i++)
        dims[rank++] = g->mixed && ir_dim_is_const(to->dims[i], &size) ? size : 1;
    for (int32_t i = g->to + (g->from_end - g->from); i < a->rank; i++)
        dims[rank++] = a->dims[i];
    reach *r = reach_new(d, rank, dims);
    do {
        int64_t linear = 0;
        for (int32_t i = g->to; i < g->to_end; i++)
            linear = linear * dims[i] + index[i];
        memcpy(old, index, sizeof old);
        for (int32_t i = g->from_end - g->from - 1; i >= 0; i--) {
            ir_dim_is_const(from->dims[g->from + i], &size);
            old[g->to + i] = g->mixed ? linear % size : 0;
            linear = g->mixed ? linear / size : 0;
        }
        for (int32_t i = g->to_end; i < rank; i++)
            old[i - shift] = index[i];
        r->at[k++] = a->at[reach_element(a, old, a->rank)];
    } while (r->n && reach_next(r, index));
    return r;
}

static const reach *of_reshape(delays *d, const ir_node *n) {
    const ir_type *from = n->in[0].value->type, *to = n->out[0].type;
    const reach *original = get(d, n->in[0].value), *r = original;
    regrouping g = {0};
    if (!ir_type_is_ranked(from) || !ir_type_is_ranked(to)) return NULL;
    if (reach_latest(original) < 0) return reach_uniform(d, to->rank, -1);
    while (g.from_end < from->rank || g.to_end < to->rank) {
        if (!next_group(d, from, to, original, &g)) return NULL;
        r = regroup(d, r, from, to, &g);
    }
    return r;
}

static const reach *of_slice(delays *d, const ir_node *n) {
    const reach *r = get(d, n->in[0].value);
    int64_t starts[IR_MAX_RANK], axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    int32_t count = ir_value_const_ints(ir_in(n, 1), starts, IR_MAX_RANK);
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    if (count < 0 || (ir_in(n, 3) && ir_value_const_ints(ir_in(n, 3), axes, count) != count) ||
        (ir_in(n, 4) && ir_value_const_ints(ir_in(n, 4), steps, count) != count))
        return NULL;
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = normal_axis(axes[i], r->rank);
        int64_t length = r->dims[axis], size = size_of(&n->out[0], axis);
        if (length == 1) continue;
        if (size < 0) return NULL;
        int64_t first = starts[i] < 0 ? starts[i] + length : starts[i];
        first = first < 0 ? 0 : min64(first, length - (steps[i] < 0));
        int64_t *source = TL_NEW_ARRAY(d->s->ctx->scratch, int64_t, size + 1);
        for (int64_t k = 0; k < size; k++)
            source[k] = first + k * steps[i];
        r = reach_pick(d, r, axis, source, size);
    }
    return r;
}

/* Numbers of the positions that a part of an axis has: first, first + 1, ...; -1 before `from` and behind `to`. */
static const reach *place(delays *d, const reach *a, int32_t axis, int64_t first, int64_t length,
                          int64_t all) {
    int64_t *source = TL_NEW_ARRAY(d->s->ctx->scratch, int64_t, all + 1);
    for (int64_t i = 0; i < all; i++)
        source[i] = i < first || i >= first + length ? -1 : i - first;
    return reach_pick(d, a, axis, source, all);
}

static const reach *of_concat(delays *d, const ir_node *n) {
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), n->out[0].type->rank);
    int64_t all = size_of(&n->out[0], axis), first = 0;
    const reach *r = reach_uniform(d, n->out[0].type->rank, -1);
    if (reach_latest(all_operands(d, n)) < 0) return r;
    for (uint32_t i = 0; i < n->n_in; i++) {
        int64_t size = size_of(n->in[i].value, axis);
        if (all < 0 || size < 0) return NULL;
        r = reach_join(d, r, place(d, get(d, n->in[i].value), axis, first, size, all));
        first += size;
    }
    return r;
}

/* Each element a whole number of times. */
static const reach *of_resize(delays *d, const ir_node *n) {
    const reach *r = get(d, n->in[0].value);
    if (strcmp(ir_attr_string(n, "mode", "nearest"), "nearest") != 0 ||
        strcmp(ir_attr_string(n, "coordinate_transformation_mode", "half_pixel"), "asymmetric") !=
            0 ||
        strcmp(ir_attr_string(n, "nearest_mode", "round_prefer_floor"), "floor") != 0)
        return NULL;
    for (int32_t axis = 0; axis < r->rank; axis++) {
        int64_t size = size_of(&n->out[0], axis), length = r->dims[axis];
        if (length == 1) continue;
        if (size < 0 || size % length) return NULL;
        int64_t *source = TL_NEW_ARRAY(d->s->ctx->scratch, int64_t, size + 1);
        for (int64_t i = 0; i < size; i++)
            source[i] = i / (size / length);
        r = reach_pick(d, r, axis, source, size);
    }
    return r;
}

static const reach *of_pad(delays *d, const ir_node *n) {
    const reach *r = get(d, n->in[0].value);
    int64_t pads[2 * IR_MAX_RANK];
    if (ir_in(n, 3) || ir_value_const_ints(ir_in(n, 1), pads, 2 * IR_MAX_RANK) != 2 * r->rank)
        return NULL;
    for (int32_t i = 0; i < r->rank; i++) {
        int64_t all = size_of(&n->out[0], i);
        if (r->dims[i] == 1) continue;
        if (all < 0 || pads[i] < 0 || pads[i + r->rank] < 0) return NULL;
        r = place(d, r, i, pads[i], r->dims[i], all);
    }
    return r;
}

/* Rows by constant numbers, or any of them. */
static const reach *of_gather(delays *d, const ir_node *n) {
    const reach *data = get(d, n->in[0].value), *index = get(d, n->in[1].value);
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), rank_of(n->in[0].value));
    int32_t rank = n->out[0].type->rank;
    int64_t row, dims[IR_MAX_RANK];
    if (index->rank == 0 && ir_value_const_i64(n->in[1].value, &row) && data->dims[axis] > 1) {
        row += row < 0 ? data->dims[axis] : 0;
        return reach_rerank(d, reach_pick(d, data, axis, &row, 1), axis, false);
    }
    data = reach_collapse(d, data, axis);
    for (int32_t i = 0; i < rank; i++)
        dims[i] = i < axis                 ? data->dims[i]
                  : i < axis + index->rank ? 1
                                           : data->dims[i - index->rank + 1];
    reach *rows = reach_new(d, rank, dims);
    memcpy(rows->at, data->at, (size_t)data->n * sizeof *rows->at);
    const reach *r = index;
    while (r->rank < rank - axis)
        r = reach_rerank(d, r, r->rank, true);
    return reach_join(d, rows, r);
}

/* Each sees all before it, or all behind it. */
static const reach *of_cumsum(delays *d, const ir_node *n) {
    const reach *a = get(d, n->in[0].value);
    int64_t axis, index[IR_MAX_RANK] = {0}, k = 0;
    if (!ir_value_const_i64(n->in[1].value, &axis) || ir_attr_int(n, "reverse", 0)) return NULL;
    axis = normal_axis(axis, a->rank);
    reach *r = reach_new(d, a->rank, a->dims);
    do {
        int64_t before = index[axis];
        r->at[k] = a->at[k];
        if (before) {
            index[axis]--;
            r->at[k] = max32(r->at[k], r->at[reach_element(r, index, r->rank)]);
            index[axis]++;
        }
        k++;
    } while (r->n && reach_next(r, index));
    return r;
}

static const reach *of_reduction(delays *d, const ir_node *n) {
    const reach *r = get(d, n->in[0].value);
    int64_t axes[IR_MAX_RANK];
    int32_t count = ir_in(n, 1) ? ir_value_const_ints(ir_in(n, 1), axes, IR_MAX_RANK) : -1;
    if (count <= 0) return NULL;
    for (int32_t i = 0; i < count; i++)
        r = reach_collapse(d, r, axes[i] = normal_axis(axes[i], r->rank));
    for (int32_t k = r->rank - 1; !ir_attr_int(n, "keepdims", 1) && k >= 0; k--)
        for (int32_t i = 0; i < count; i++)
            if (axes[i] == k) {
                r = reach_rerank(d, r, k, false);
                break;
            }
    return r;
}

static int64_t along_axis(const ir_node *n, const char *list, int32_t i, int64_t otherwise) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(n, list, &count);
    return v && i >= 0 && (uint32_t)i < count ? v[i] : otherwise;
}

static const reach *of_conv(delays *d, const ir_node *n) {
    const reach *r = get(d, n->in[0].value);
    if (reach_latest(get(d, n->in[1].value)) >= 0 || r->rank < 3 ||
        strcmp(ir_attr_string(n, "auto_pad", "NOTSET"), "NOTSET"))
        return NULL;
    r = reach_collapse(d, r, 1);
    for (int32_t axis = 2; axis < r->rank; axis++) {
        int64_t out = size_of(&n->out[0], axis), taps = size_of(n->in[1].value, axis);
        int64_t length = r->dims[axis];
        if (length == 1) continue;
        if (out < 0 || taps < 0) return NULL;
        const reach *sum = reach_uniform(d, r->rank, -1);
        int64_t *source = TL_NEW_ARRAY(d->s->ctx->scratch, int64_t, out + 1);
        for (int64_t t = 0; t < taps; t++) {
            for (int64_t o = 0; o < out; o++) {
                int64_t at = o * along_axis(n, "strides", axis - 2, 1) +
                             t * along_axis(n, "dilations", axis - 2, 1) -
                             along_axis(n, "pads", axis - 2, 0);
                source[o] = at < length ? at : -1;
            }
            sum = reach_join(d, sum, reach_pick(d, r, axis, source, out));
        }
        r = sum;
    }
    return r;
}

/* A mask of the keys, along their axis; one of pairs counts whole. */
static const reach *of_mask(delays *d, const reach *mask, int32_t rank, int32_t axis,
                            int64_t keys) {
    int64_t dims[IR_MAX_RANK];
    if (keys != mask->n || mask->rank < 1 || mask->dims[mask->rank - 1] != keys)
        return reach_uniform(d, rank, reach_latest(mask));
    for (int32_t i = 0; i < rank; i++)
        dims[i] = i == axis ? keys : 1;
    reach *r = reach_new(d, rank, dims);
    memcpy(r->at, mask->at, (size_t)keys * sizeof *r->at);
    return r;
}

/* Which keys a query may see: as the neighbourhood says; masks are not looked into. */
static const reach *of_attention(delays *d, const ir_node *n) {
    const reach *q = get(d, n->in[0].value), *k = get(d, n->in[1].value),
                *v = get(d, n->in[2].value);
    int32_t rank = q->rank, axis = rank == 3 ? 1 : 2;
    const ir_band band = ir_band_of(n);
    int64_t keys = size_of(n->in[1].value, axis), queries = size_of(&n->out[0], axis), first = 0;
    if (n->n_out > 1 || (rank != 3 && rank != 4) || (n->op == OP_Attention && n->n_in > 4))
        return NULL;
    if (n->op == OP_LocalAttention && ir_in(n, 4)) ir_value_const_i64(ir_in(n, 4), &first);
    const reach *seen = reach_join(d, reach_collapse(d, k, rank - 1),
                                   reach_collapse(d, v, rank - 1));
    if (rank == 4) seen = reach_collapse(d, seen, 1); /* heads may be in groups */
    q = reach_collapse(d, rank == 4 ? reach_collapse(d, q, 1) : q, rank - 1);
    if (ir_in(n, 3)) seen = reach_join(d, seen, of_mask(d, get(d, ir_in(n, 3)), rank, axis, keys));
    if (seen->dims[axis] == 1) return reach_join(d, q, seen);
    if (queries < 0 || keys != seen->dims[axis]) return NULL;
    const reach *r = q;
    int64_t *source = TL_NEW_ARRAY(d->s->ctx->scratch, int64_t, queries + 1);
    for (int64_t key = 0; key < keys; key++) {
        bool any = false;
        for (int64_t i = 0; i < queries; i++) {
            source[i] = ir_band_sees(&band, first + i, key) ? key : -1;
            any |= source[i] >= 0;
        }
        if (any) r = reach_join(d, r, reach_pick(d, seen, axis, source, queries));
    }
    return r;
}

/* A cache, as in the first step. */
static const reach *of_scatter(delays *d, const ir_node *n) {
    const reach *cache = get(d, n->in[0].value), *x = get(d, n->in[1].value);
    int32_t axis = normal_axis(ir_attr_int(n, "axis", -2), cache->rank);
    int64_t all = size_of(&n->out[0], axis), size = size_of(n->in[1].value, axis);
    if (all < 0 || size < 0) return NULL;
    return reach_join(d, cache, place(d, x, axis, 0, size, all));
}

static delay_rule *rule_of(op_id op) {
    if (op_is(op, OP_SCALAR)) return all_operands;
    switch (op) {
    case OP_Identity:
    case OP_Expand:
    case OP_RotaryEmbedding:
        return all_operands;
    case OP_MatMul:
        return of_product;
    case OP_Transpose:
        return of_transpose;
    case OP_Softmax:
    case OP_LogSoftmax:
    case OP_Hardmax:
        return of_softmax;
    case OP_LayerNormalization:
    case OP_RMSNormalization:
        return of_normalised;
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Unsqueeze:
        return of_reshape;
    case OP_Slice:
        return of_slice;
    case OP_Concat:
        return of_concat;
    case OP_Pad:
        return of_pad;
    case OP_Resize:
        return of_resize;
    case OP_Gather:
        return of_gather;
    case OP_CumSum:
        return of_cumsum;
    case OP_ReduceMax:
    case OP_ReduceMean:
    case OP_ReduceMin:
    case OP_ReduceProd:
    case OP_ReduceSum:
        return of_reduction;
    case OP_Conv:
        return of_conv;
    case OP_Attention:
    case OP_LocalAttention:
        return of_attention;
    case OP_TensorScatter:
        return of_scatter;
    default:
        return NULL;
    }
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

static void visit_nodes(delays *d, const ir_region *r);

static int32_t latest_read(delays *d, const ir_node *n) {
    int32_t most = -1;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i].value) most = max32(most, reach_latest(get(d, n->in[i].value)));
    for (uint32_t k = 0; k < n->n_regions; k++) {
        ir_for_each_node (inner, n->regions[k])
            most = max32(most, latest_read(d, inner));
        most = max32(most, latest_read(d, n->regions[k]->yield));
    }
    return most;
}

/* Any of the results may depend on all that the node reads. */
static void visit_unknown(delays *d, ir_node *n) {
    int32_t most = latest_read(d, n);
    for (uint32_t i = 0; i < n->n_out; i++)
        set(d, &n->out[i], reach_uniform(d, rank_of(&n->out[i]), most));
}

static void begin_round(delays *d, const loop_like *l, const reach *const *carried, int64_t round) {
    set(d, l->body->params[0], reach_uniform(d, 0, -1));
    for (uint32_t i = 0; i < l->n_carried; i++)
        set(d, loop_param(l, i), carried[i]);
    for (uint32_t i = 0; i < l->n_sliced; i++) {
        const reach *all = get(d, loop_sliced(l, i));
        int32_t axis = normal_axis(recur_list_at(l->node, "input_axes", i), all->rank);
        set(d, l->body->params[1 + l->n_carried + i],
            reach_rerank(d, reach_pick(d, all, axis, &round, 1), axis, false));
    }
}

/* Puts the element of this round into the stacked output. */
static const reach *end_round(delays *d, const loop_like *l, uint32_t i, const reach *all,
                              int64_t round, int64_t rounds) {
    const reach *one = get(d, loop_stacked(l, i));
    int32_t axis = normal_axis(recur_list_at(l->node, "output_axes", i), all->rank);
    return reach_join(d, all, place(d, reach_rerank(d, one, axis, true), axis, round, 1, rounds));
}

static bool visit_recur(delays *d, ir_node *n) {
    loop_like l;
    int64_t rounds;
    if (!loop_like_get(n, &l) || !ir_value_const_i64(n->in[0].value, &rounds) || rounds < 1 ||
        ir_attr_has(n, "span"))
        return false;
    for (uint32_t i = 0; i < l.n_sliced; i++)
        if (recur_list_at(n, "input_reverse", i)) return false;
    for (uint32_t i = 0; i < l.n_stacked; i++)
        if (recur_list_at(n, "output_reverse", i)) return false;
    const reach **state = TL_NEW_ARRAY(d->s->ctx->scratch, const reach *, n->n_out + 1);
    for (uint32_t i = 0; i < n->n_out; i++)
        state[i] = i < l.n_carried ? get(d, loop_initial(&l, i))
                                   : reach_uniform(d, rank_of(&n->out[i]), -1);
    for (int64_t round = 0; round < rounds; round++) {
        if (d->work > MAX_WORK) return false;
        begin_round(d, &l, state, round);
        visit_nodes(d, l.body);
        for (uint32_t i = 0; i < n->n_out; i++)
            state[i] = i < l.n_carried ? get(d, loop_update(&l, i))
                                       : end_round(d, &l, i - l.n_carried, state[i], round, rounds);
    }
    for (uint32_t i = 0; i < n->n_out; i++)
        set(d, &n->out[i], state[i]);
    return true;
}

static void visit_node(delays *d, ir_node *n) {
    delay_rule *rule = n->n_regions || n->n_out != 1 ? NULL : rule_of(n->op);
    const reach *r = NULL;
    if (n->op == OP_Recur && visit_recur(d, n)) return;
    if (rule && d->work <= MAX_WORK && ir_type_is_ranked(n->out[0].type)) r = rule(d, n);
    if (r && r->rank == n->out[0].type->rank)
        set(d, &n->out[0], r);
    else
        visit_unknown(d, n);
}

static void visit_nodes(delays *d, const ir_region *r) {
    ir_for_each_node (n, r)
        visit_node(d, n);
}

/* ---- the step ---------------------------------------------------------------------------------------------------------- */

static const reach *of_input(delays *d, const ir_value *v, int32_t axis) {
    int64_t dims[IR_MAX_RANK];
    for (int32_t i = 0; i < v->type->rank; i++)
        dims[i] = i == axis ? d->s->chunk : 1;
    reach *r = reach_new(d, v->type->rank, dims);
    for (int64_t i = 0; i < r->n; i++)
        r->at[i] = (int32_t)i;
    return r;
}

/* An element of several positions, as a patch, is where its first one is. */
static int64_t delay_of(delays *d, const ir_value *v, int32_t axis) {
    const reach *r = get(d, v);
    int64_t index[IR_MAX_RANK] = {0}, size = size_of(v, axis), most = 0, k = 0;
    if (r->rank <= axis || size <= 0) return d->s->chunk - 1;
    if (r->dims[axis] == 1) return reach_latest(r) < 0 ? 0 : reach_latest(r);
    do {
        int64_t late = r->at[k++] - index[axis] * d->s->chunk / size;
        if (late > most) most = late;
    } while (r->n && reach_next(r, index));
    return most;
}

void stream_find_delays(streamer *s) {
    delays d = {.s = s, .mark = ir_new_mark(s->ctx->c)};
    ir_graph *g = s->g;
    for (uint32_t i = 0; i < ir_graph_n_inputs(g); i++) {
        ir_value *v = g->body->params[i];
        int32_t axis = ir_graph_along(g, v->name, false);
        if (axis >= 0) set(&d, v, of_input(&d, v, axis));
    }
    visit_nodes(&d, g->body);
    for (uint32_t i = 0; i < ir_graph_n_outputs(g); i++) {
        int64_t *delay = ir_graph_delay(g, g->outputs[i]);
        if (delay)
            *delay = delay_of(&d, ir_region_result(g->body, i),
                              ir_graph_along(g, g->outputs[i], true));
    }
}
