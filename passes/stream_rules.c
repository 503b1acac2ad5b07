/* What operators do to a value of which a step has the next part: where its axis is in the result, and what has to be cut to the step.
 *
 *   %y = Add(%x, @positions)       f32[1,T,8], @positions f32[1,16,8]  ->  %y = Add(%x, Gather(@positions, position + 0 ... chunk-1))
 *   %z = Reshape(%x, {1,4,4,8})    chunks of 4: with 8 positions a step {1,2,4,8}; with 2 positions refused
 *   %s = Softmax<axis=1>(%x)       refused: it needs all positions
 *
 * A rule looks at types over the whole sequence (stream_whole), since one that a step has may be ambiguous, and finds operands in front of it
 * changed already. */
#include "passes/stream.h"

#include "ir/limits.h"
#include "passes/util.h"

static const stream_value *part(const streamer *s, const ir_node *n, uint32_t i) {
    return stream_get(s, ir_in(n, i));
}

bool stream_is_even(streamer *s, const ir_node *n, const stream_value *v) {
    if (!v->lead && !v->tail) return true;
    return stream_refuse(s, n,
                         "it is applied to a sequence that was padded or cut at its ends; only a "
                         "convolution can be");
}

bool stream_alone(streamer *s, const ir_node *n) {
    for (uint32_t i = 1; i < n->n_in; i++)
        if (part(s, n, i)->kind == STREAM_PART)
            return stream_refuse(s, n, "operand %u is a sequence, too", i);
    return part(s, n, 0)->kind == STREAM_PART ? stream_is_even(s, n, part(s, n, 0))
                                              : stream_refuse(s, n, "operand 0 is no sequence");
}

bool stream_follow_all(streamer *s, ir_node *n, int32_t axis) {
    for (uint32_t i = 0; i < n->n_out; i++)
        stream_follow(s, n, i, part(s, n, 0), axis);
    return stream_retype(s, n);
}

/* ---- elementwise ---------------------------------------------------------------------------------------------- */

bool stream_agree(const stream_value *a, const stream_value *b) {
    return a->step == b->step && a->outer == b->outer && a->lead == b->lead;
}

bool stream_cut_operand(streamer *s, ir_node *n, uint32_t i, const stream_value *like,
                        int32_t from_right) {
    ir_value *v = n->in[i].value;
    if (!v) return true;
    if (part(s, n, i)->kind == STREAM_LENGTH)
        return stream_refuse(s, n, "operand %u is computed from the length of the sequence", i);
    int32_t at = v->type->rank - from_right;
    if (at < 0 || ir_dim_is(v->type->dims[at], 1)) return true;
    if (like->outer != 1)
        return stream_refuse(s, n, "operand %u has values for each position of several sequences",
                             i);
    ir_builder b = ir_build_before(n);
    ir_node_set_operand(n, i, stream_take(s, &b, v, at, like->step, stream_count(s, like)));
    return true;
}

static bool rule_pointwise(streamer *s, ir_node *n) {
    const stream_value *like = NULL;
    int32_t from_right = 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const stream_value *v = part(s, n, i);
        if (v->kind != STREAM_PART) continue;
        int32_t here = v->whole->rank - v->axis;
        if (!like) like = v, from_right = here;
        if (!stream_is_even(s, n, v)) return false;
        if (here != from_right || !stream_agree(v, like))
            return stream_refuse(s, n, "it brings together different positions of the sequence");
    }
    for (uint32_t i = 0; i < n->n_in; i++)
        if (part(s, n, i)->kind != STREAM_PART && !stream_cut_operand(s, n, i, like, from_right))
            return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        stream_follow(s, n, i, like, n->out[i].type->rank - from_right);
    return stream_retype(s, n);
}

/* ---- products ------------------------------------------------------------------------------------------------- */

/* The axis of the result that axis `axis` of operand `i` becomes; -1: it is summed over. */
static int32_t product_axis(const ir_node *n, uint32_t i, const ir_type *t, int32_t axis) {
    int32_t rank = n->out[0].type->rank, other = n->in[1 - i].value->type->rank;
    int32_t from_right = t->rank - axis, summed = i == 0 ? 1 : 2;
    if (t->rank == 1 || from_right == summed) return -1;
    return rank - from_right + (other == 1);
}

static bool rule_matmul(streamer *s, ir_node *n) {
    const stream_value *a = part(s, n, 0), *b = part(s, n, 1);
    int32_t axes[2] = {-1, -1};
    for (uint32_t i = 0; i < 2; i++) {
        const stream_value *v = i ? b : a;
        if (v->kind == STREAM_LENGTH)
            return stream_refuse(s, n, "operand %u is computed from the length of the sequence", i);
        if (v->kind != STREAM_PART) continue;
        axes[i] = product_axis(n, i, v->whole, v->axis);
        if (!stream_is_even(s, n, v)) return false;
        if (axes[i] < 0) return stream_refuse(s, n, "it looks ahead: it sums over all positions");
    }
    bool both = a->kind == STREAM_PART && b->kind == STREAM_PART;
    if (both && (axes[0] != axes[1] || !stream_agree(a, b)))
        return stream_refuse(s, n,
                             "it looks ahead: it brings each position together with all "
                             "others");
    uint32_t from = a->kind == STREAM_PART ? 0 : 1;
    const stream_value *v = part(s, n, from);
    int32_t from_right = n->out[0].type->rank - axes[from];
    const ir_value *other = n->in[1 - from].value;
    bool batch = from_right > 2 && other->type->rank >= from_right;
    if (!both && batch && !stream_cut_operand(s, n, 1 - from, v, from_right)) return false;
    stream_follow(s, n, 0, v, axes[from]);
    return stream_retype(s, n);
}

/* ---- views ---------------------------------------------------------------------------------------------------- */

static bool rule_transpose(streamer *s, ir_node *n) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    const stream_value *v = part(s, n, 0);
    if (!stream_alone(s, n) || !get_perm(n, perm, &rank)) return false;
    int32_t axis = 0;
    while (perm[axis] != v->axis)
        axis++;
    return stream_follow_all(s, n, axis);
}

static const ir_dim *product(ir_ctx *c, const ir_type *t, int32_t n) {
    const ir_dim *d = ir_dim_const(c, 1);
    for (int32_t i = 0; i < n; i++)
        d = ir_dim_mul(c, d, t->dims[i]);
    return d;
}

/* Elements of a step where the whole sequence has `whole`, and a step `step` of those that there are `of` in all; -1: not a whole
 * number of them. */
static int64_t scale(streamer *s, const ir_dim *whole, const ir_dim *of, int64_t step) {
    int64_t n, total;
    if (ir_dim_is_const(whole, &n) && ir_dim_is_const(of, &total))
        return total > 0 && n * step % total == 0 ? n * step / total : -1;
    n = stream_step_of(s, whole);
    total = stream_step_of(s, of);
    return n > 0 && total > 0 && (n % total == 0 || total % n == 0) ? n : -1;
}

/* Where the sequence's axis is in a reshaped value: the first one that what lies in front of it does not explain. */
static int32_t find_reshaped(streamer *s, const ir_node *n, const stream_value *v,
                             stream_value *out) {
    ir_ctx *c = s->ctx->c;
    const ir_type *from = v->whole, *to = n->out[0].type;
    const ir_dim *blocks = ir_dim_const(c, v->outer),
                 *front = ir_dim_mul(c, product(c, from, v->axis), blocks);
    const ir_dim *length = ir_dim_div_exact(c, from->dims[v->axis], blocks);
    for (int32_t i = 0; length && i < to->rank; i++) {
        const ir_dim *before = ir_dim_div_exact(c, front, product(c, to, i));
        int64_t outer;
        if (!before) return -1;
        if (ir_dim_div_exact(c, front, product(c, to, i + 1))) continue;
        const ir_dim *here = ir_dim_div_exact(c, to->dims[i], before);
        if (!here || !ir_dim_is_const(before, &outer)) return -1;
        *out = *v;
        out->outer = outer;
        out->axis = i;
        out->step = scale(s, here, length, v->step);
        return i;
    }
    return -1;
}

/* The type that the result has in a step. */
static const ir_dim **step_dims(streamer *s, const ir_type *whole, const stream_value *v) {
    ir_ctx *c = s->ctx->c;
    const ir_dim **dims = TL_NEW_ARRAY(s->ctx->scratch, const ir_dim *, whole->rank + 1);
    if (whole->rank) memcpy(dims, whole->dims, (size_t)whole->rank * sizeof *dims);
    dims[v->axis] = ir_dim_const(c, v->step * v->outer);
    return dims;
}

static bool rule_reshape(streamer *s, ir_node *n) {
    stream_value v;
    if (!stream_alone(s, n)) return false;
    const ir_type *whole = n->out[0].type;
    if (find_reshaped(s, n, part(s, n, 0), &v) < 0)
        return stream_refuse(s, n, "it merges positions of the sequence with what is not one");
    if (v.step <= 0)
        return stream_refuse(s, n,
                             "it takes positions in groups, which a step of %lld does not "
                             "fill",
                             (long long)s->chunk);
    if (n->op == OP_Reshape && !s->tail) {
        ir_builder b = ir_build_before(n);
        ir_node_set_operand(n, 1, build_dims(&b, step_dims(s, whole, &v), (uint32_t)whole->rank));
        ir_attr_remove(n, "allowzero");
    }
    stream_follow(s, n, 0, &v, v.axis);
    return stream_retype(s, n);
}

/* The only axis of the type that is as long as the sequence, where its length is a symbol. */
static int32_t find_length(streamer *s, const ir_type *t) {
    int32_t found = -1;
    for (int32_t i = 0; i < t->rank; i++) {
        if (!stream_has_length(s, t->dims[i])) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

/* A value repeated for each position, of a symbolic number of them. */
static bool rule_fill(streamer *s, ir_node *n) {
    const ir_type *whole = n->out[0].type;
    int32_t axis = ir_type_is_ranked(whole) ? find_length(s, whole) : -1;
    if (axis < 0)
        return stream_refuse(s, n, "it does not have one axis that is as long as the sequence");
    stream_value v = {.kind = STREAM_PART,
                      .axis = axis,
                      .step = stream_step_of(s, whole->dims[axis]),
                      .outer = 1};
    stream_follow(s, n, 0, &v, axis);
    return stream_retype(s, n);
}

static bool rule_expand(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (v->kind != STREAM_PART) return rule_fill(s, n);
    const ir_type *whole = n->out[0].type;
    stream_value out = *v;
    out.axis = whole->rank - (v->whole->rank - v->axis);
    if (!stream_is_even(s, n, v)) return false;
    if (!s->tail) {
        ir_builder b = ir_build_before(n);
        ir_node_set_operand(n, 1, build_dims(&b, step_dims(s, whole, &out), (uint32_t)whole->rank));
    }
    stream_follow(s, n, 0, v, out.axis);
    return stream_retype(s, n);
}

/* Positions: 0, 1, 2, ... of the whole sequence, in each step from where the last one ended. */
static bool rule_range(streamer *s, ir_node *n) {
    const ir_type *whole = n->out[0].type;
    int64_t step = stream_step_of(s, whole->dims[0]);
    ir_dtype t = whole->dtype;
    if (part(s, n, 0)->kind != STREAM_FIXED || part(s, n, 2)->kind != STREAM_FIXED || step <= 0)
        return stream_refuse(s, n, "it does not count positions");
    stream_value v = {.kind = STREAM_PART, .axis = 0, .step = step, .outer = 1, .whole = whole};
    if (!stream_retype(s, n)) return false;
    ir_builder b = ir_build_after(n);
    ir_value *base = build_cast(&b, stream_base(s, &b, step), t);
    ir_value *shift = build_op2(&b, OP_Mul, base, n->in[2].value);
    ir_value *counted = build_op2(&b, OP_Add, &n->out[0], shift);
    ir_use *own = NULL;
    ir_for_each_use (u, &n->out[0])
        if (u->user == counted->def) own = u;
    ir_value_replace_uses(&n->out[0], counted);
    ir_node_set_operand(counted->def, (uint32_t)(own - counted->def->in), &n->out[0]);
    stream_set(s, counted, v);
    return true;
}

/* ---- parts ---------------------------------------------------------------------------------------------------- */

static bool rule_concat(streamer *s, ir_node *n) {
    const stream_value *like = NULL;
    bool done = false;
    if (s->tail && (!stream_tail_concat(s, n, &done) || done)) return done;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), n->out[0].type->rank);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const stream_value *v = part(s, n, i);
        if (v->kind != STREAM_PART) continue;
        if (v->axis == axis) return stream_prepend(s, n, i);
        if (!like) like = v;
        if (!stream_is_even(s, n, v)) return false;
        if (v->axis != like->axis || !stream_agree(v, like))
            return stream_refuse(s, n, "it brings together different positions of the sequence");
    }
    for (uint32_t i = 0; i < n->n_in; i++)
        if (part(s, n, i)->kind != STREAM_PART &&
            !stream_cut_operand(s, n, i, like, like->whole->rank - like->axis))
            return false;
    stream_follow(s, n, 0, like, like->axis);
    return stream_retype(s, n);
}

static bool rule_split(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (!stream_alone(s, n)) return false;
    if (normal_axis(ir_attr_int(n, "axis", 0), v->whole->rank) == v->axis)
        return stream_refuse(s, n, "it takes the sequence apart, along it");
    return stream_follow_all(s, n, v->axis);
}

/* A constant list, or what the operand leaves out. */
static bool read_list(const ir_node *n, uint32_t i, int64_t *out, uint32_t count, bool axes) {
    for (uint32_t k = 0; k < count; k++)
        out[k] = axes ? (int64_t)k : 1;
    return !ir_in(n, i) || ir_value_const_ints(n->in[i].value, out, count) == (int32_t)count;
}

/* The last position alone: what the sequence so far ends with. */
static bool take_last(streamer *s, ir_node *n, uint32_t k, const int64_t *starts,
                      const int64_t *ends, uint32_t count) {
    ir_builder b = ir_build_before(n);
    int64_t from[IR_MAX_RANK], to[IR_MAX_RANK];
    const ir_type *whole = n->out[0].type;
    for (uint32_t i = 0; i < count; i++) {
        from[i] = i == k ? -1 : starts[i];
        to[i] = i == k ? INT64_MAX : ends[i];
    }
    ir_node_set_operand(n, 1, build_i64s(&b, from, count));
    ir_node_set_operand(n, 2, build_i64s(&b, to, count));
    stream_set(s, &n->out[0], (stream_value){.kind = STREAM_FINAL, .whole = whole});
    return stream_retype(s, n);
}

/* What padding behind the last position gave is cut off again: nothing that a step has. */
static bool cuts_tail(const stream_value *v, int64_t start, int64_t end, int64_t length) {
    return v->tail && !v->lead && start == 0 && (end == -v->tail || end == length - v->tail);
}

/* As many rows of a constant as the sequence has positions: in each step the next ones. */
static bool slice_positions(streamer *s, ir_node *n) {
    int64_t start, axis = 0, step = 1, rows_of_step = 0;
    const ir_dim *end;
    ir_value *data = n->in[0].value;
    bool simple = ir_value_const_ints(n->in[1].value, &start, 1) == 1 && start == 0 &&
                  ir_value_known_dims(s->ctx->c, n->in[2].value, &end, 1) == 1 &&
                  (rows_of_step = stream_step_of(s, end)) > 0 && read_list(n, 3, &axis, 1, true) &&
                  read_list(n, 4, &step, 1, false) && step == 1;
    if (!simple || part(s, n, 0)->kind != STREAM_FIXED)
        return stream_refuse(s, n, "it cuts something by the length of the sequence");
    ir_builder b = ir_build_before(n);
    int32_t at = normal_axis(axis, data->type->rank);
    ir_value *rows = stream_take(s, &b, data, at, rows_of_step, end);
    stream_value v = {.kind = STREAM_PART, .axis = at, .step = rows_of_step, .outer = 1};
    v.whole = s->tail ? rows->type : n->out[0].type;
    stream_set(s, rows, v);
    ir_value_replace_uses(&n->out[0], rows);
    ir_node_remove(n);
    return true;
}

/* One position of each m, as a token of one kind where kinds take turns; a step has whole groups of m, and so has the sequence. */
static bool takes_every(const streamer *s, const stream_value *v, int64_t start, int64_t m) {
    const ir_dim *whole = v->whole->dims[v->axis];
    return m > 1 && start >= 0 && start < m && v->outer == 1 && !v->lead && !v->tail &&
           v->step % m == 0 && ir_dim_div_exact(s->ctx->c, whole, ir_dim_const(s->ctx->c, m));
}

static bool rule_slice(streamer *s, ir_node *n) {
    stream_value copy = *part(s, n, 0), *v = &copy;
    bool done = false;
    if (v->kind == STREAM_FIXED && part(s, n, 2)->kind == STREAM_LENGTH)
        return slice_positions(s, n);
    if (!stream_slice_joined(s, n, &done) || done) return done;
    if (s->tail && (!stream_tail_slice(s, n, &done) || done)) return done;
    int64_t starts[IR_MAX_RANK], ends[IR_MAX_RANK], axes[IR_MAX_RANK], steps[IR_MAX_RANK], length;
    if (v->kind != STREAM_PART)
        return stream_refuse(s, n, "it cuts something by the length of the sequence");
    int32_t count = ir_value_const_ints(n->in[1].value, starts, IR_MAX_RANK);
    if (count < 0 || !read_list(n, 2, ends, (uint32_t)count, false) ||
        !read_list(n, 3, axes, (uint32_t)count, true) ||
        !read_list(n, 4, steps, (uint32_t)count, false))
        return stream_refuse(s, n, "where it cuts is not known");
    if (!ir_dim_is_const(v->whole->dims[v->axis], &length)) length = INT64_MAX;
    for (uint32_t k = 0; k < (uint32_t)count; k++) {
        if (normal_axis(axes[k], v->whole->rank) != v->axis) continue;
        if (cuts_tail(v, starts[k], ends[k], length) && steps[k] == 1) {
            v->tail = 0;
            ir_builder b = ir_build_before(n);
            ends[k] = INT64_MAX;
            ir_node_set_operand(n, 2, build_i64s(&b, ends, (uint32_t)count));
            continue;
        }
        bool to_end = ends[k] >= length || ends[k] >= INT32_MAX;
        bool all = starts[k] == 0 && to_end && steps[k] == 1;
        bool last = (starts[k] == -1 || starts[k] == length - 1) && to_end && steps[k] == 1;
        if (last && v->outer == 1) return take_last(s, n, k, starts, ends, (uint32_t)count);
        if (to_end && takes_every(s, v, starts[k], steps[k])) {
            v->step /= steps[k];
            continue;
        }
        if (steps[k] < 0)
            return stream_refuse(s, n, "it looks ahead: it turns the sequence around");
        if (!all)
            return stream_refuse(s, n, "it takes some positions of the sequence, from %lld on",
                                 (long long)starts[k]);
    }
    if (!stream_is_even(s, n, v)) return false;
    stream_follow(s, n, 0, v, v->axis);
    return stream_retype(s, n);
}

/* One index into the sequence, which must be the last position's. */
static bool gather_last(streamer *s, ir_node *n, const stream_value *v) {
    int64_t index, length;
    if (!ir_dim_is_const(v->whole->dims[v->axis], &length)) length = 0;
    if (ir_value_const_ints(n->in[1].value, &index, 1) != 1 ||
        (index != -1 && index != length - 1) || v->outer != 1)
        return stream_refuse(s, n, "it picks positions of the sequence");
    ir_builder b = ir_build_before(n);
    int64_t last = -1;
    ir_value *at = n->in[1].value->type->rank ? build_i64s(&b, &last, 1)
                                              : build_scalar(&b, DT_i64, -1);
    ir_node_set_operand(n, 1, at);
    stream_set(s, &n->out[0], (stream_value){.kind = STREAM_FINAL, .whole = n->out[0].type});
    return stream_retype(s, n);
}

static bool rule_gather(streamer *s, ir_node *n) {
    const stream_value *data = part(s, n, 0), *index = part(s, n, 1);
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), stream_whole(s, n->in[0].value)->rank);
    if (data->kind == STREAM_LENGTH || index->kind == STREAM_LENGTH)
        return stream_refuse(s, n, "it reads the length of the sequence");
    if (data->kind == STREAM_PART && index->kind == STREAM_PART)
        return stream_refuse(s, n, "it picks positions of the sequence");
    if (index->kind == STREAM_PART) {
        if (!stream_is_even(s, n, index)) return false;
        stream_follow(s, n, 0, index, axis + index->axis);
        return stream_retype(s, n);
    }
    if (!stream_is_even(s, n, data)) return false;
    if (axis == data->axis) return gather_last(s, n, data);
    return stream_follow_all(
        s, n, data->axis < axis ? data->axis : data->axis + n->in[1].value->type->rank - 1);
}

/* ---- the table ------------------------------------------------------------------------------------------------ */

stream_rule *stream_rule_of(op_id op) {
    if (op_is(op, OP_SCALAR)) return rule_pointwise;
    switch (op) {
    case OP_Identity:
        return rule_pointwise;
    case OP_MatMul:
        return rule_matmul;
    case OP_Transpose:
        return rule_transpose;
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Unsqueeze:
        return rule_reshape;
    case OP_Expand:
        return rule_expand;
    case OP_ConstantOfShape:
        return rule_fill;
    case OP_Range:
        return rule_range;
    case OP_Concat:
        return rule_concat;
    case OP_Split:
        return rule_split;
    case OP_Slice:
        return rule_slice;
    case OP_Gather:
        return rule_gather;
    case OP_Softmax:
    case OP_LogSoftmax:
    case OP_Hardmax:
        return stream_softmax;
    case OP_LayerNormalization:
    case OP_RMSNormalization:
        return stream_normalise;
    case OP_ReduceL1:
    case OP_ReduceL2:
    case OP_ReduceLogSum:
    case OP_ReduceLogSumExp:
    case OP_ReduceMax:
    case OP_ReduceMean:
    case OP_ReduceMin:
    case OP_ReduceProd:
    case OP_ReduceSum:
    case OP_ReduceSumSquare:
        return stream_reduce_axes;
    case OP_ArgMax:
    case OP_ArgMin:
        return stream_arg_reduce;
    case OP_TopK:
    case OP_DFT:
        return stream_rearrange;
    case OP_ReverseSequence:
        return stream_reverse;
    case OP_OneHot:
        return stream_one_hot;
    case OP_Trilu:
        return stream_trilu;
    case OP_RotaryEmbedding:
        return stream_rotary;
    case OP_Attention:
    case OP_LocalAttention:
        return stream_attention;
    case OP_Recur:
        return stream_recur;
    case OP_CumSum:
        return stream_cumsum;
    case OP_Pad:
        return stream_pad;
    case OP_Conv:
        return stream_conv;
    case OP_Resize:
        return stream_resize;
    default:
        return NULL;
    }
}
