/* What sees a limited piece of the past, or a summary of it, in a stream: running sums, reductions over all positions so far, causal
 * convolutions.
 *
 *   %c = CumSum(%x, @1)               ->  %j = Concat(%sum, %x)  %k = CumSum(%j, @1)  %c = Slice(%k, 1 ...); the last row is the state
 *   %m = ReduceMean(%x, @1)           ->  %r = ReduceSum(Concat(%sum, %x), @1)  %m = Div(%r, positions so far); %r is the state
 *   %y = Conv<pads=[2,0]>(%x, @w3)    ->  %j = Concat(%tail, %x)  %y = Conv(%j, @w3); the last 2 columns of %j are the state
 *   %y = Resize(%x, _, [1,1,2])       ->  the same: each position twice, or any whole number of times
 *   Slice(Concat(%first, %x), :-1)    ->  %j = Concat(%last, %x)  Slice(%j, :-1); the last row of %j is the state, %first its beginning
 *   Slice(Concat(%old, %x), -6:)      ->  %j = Concat(%kept, %x)  Slice(%j, -6:), which is the state; begins with the end of %old
 *
 * The state stands in front of the step's positions, so that everything is added in the order in which the whole sequence is. */
#include "passes/stream.h"

#include "ir/limits.h"
#include "passes/util.h"

#include <math.h>

/* ---- a state in front of the step's positions ------------------------------------------------------------------- */

/* x's type with `n` elements along its axis. */
const ir_type *stream_part_type(streamer *s, const ir_type *t, int32_t axis, int64_t n) {
    const ir_dim **dims = TL_NEW_ARRAY(s->ctx->scratch, const ir_dim *, t->rank);
    memcpy(dims, t->dims, (size_t)t->rank * sizeof *dims);
    dims[axis] = ir_dim_const(s->ctx->c, n);
    return ir_type_tensor(s->ctx->c, t->dtype, t->rank, dims);
}

stream_joined stream_join(streamer *s, ir_node *n, ir_value *x, const char *what, ir_value *initial,
                          int64_t before) {
    int32_t axis = stream_get(s, x)->axis;
    stream_joined j = {.before = before};
    ir_value *state = stream_state(s, n, what, initial, stream_part_type(s, x->type, axis, before),
                                   &j.state);
    ir_builder b = ir_build_before(n);
    j.value = build_op2_int(&b, OP_Concat, state, x, "axis", axis);
    return j;
}

ir_value *stream_slice(ir_builder *b, ir_value *x, int32_t axis, int64_t from, int64_t to) {
    int64_t at = axis;
    ir_value *in[] = {x, build_i64s(b, &from, 1), build_i64s(b, &to, 1), build_i64s(b, &at, 1)};
    return build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out;
}

void stream_replace(streamer *s, ir_node *n, ir_value *with, stream_value info) {
    info.whole = n->out[0].type;
    if (!with->name) {
        with->name = n->out[0].name;
        n->out[0].name = NULL;
    }
    ir_value_replace_uses(&n->out[0], with);
    stream_set(s, with, info);
    ir_node_remove(n);
}

static bool is_summable(streamer *s, const ir_node *n, const stream_value *v) {
    if (v->outer == 1 && !v->lead && !v->tail) return true;
    return stream_refuse(s, n, "the positions of a step are not one piece of its axis");
}

/* ---- running sums ----------------------------------------------------------------------------------------------- */

bool stream_cumsum(streamer *s, ir_node *n) {
    const stream_value *v = stream_get(s, n->in[0].value);
    int64_t axis;
    if (v->kind != STREAM_PART || !ir_value_const_i64(n->in[1].value, &axis))
        return stream_refuse(s, n, "its axis is not known");
    if (normal_axis(axis, v->whole->rank) != v->axis) {
        stream_follow(s, n, 0, v, v->axis);
        return stream_retype(s, n);
    }
    if (ir_attr_int(n, "reverse", 0))
        return stream_refuse(s, n, "it looks ahead: it sums from the end of the sequence");
    if (!is_summable(s, n, v)) return false;
    stream_value info = *v;
    bool exclusive = ir_attr_int(n, "exclusive", 0);
    ir_builder b = ir_build_before(n);
    ir_value *zero = build_scalar(&b, n->in[0].value->type->dtype, 0);
    stream_joined j = stream_join(s, n, n->in[0].value, "sum", zero, 1);
    ir_value *sums = build_op2(&b, OP_CumSum, j.value, n->in[1].value);
    stream_set_next(s, j.state, stream_slice(&b, sums, info.axis, info.step, info.step + 1));
    int64_t end = s->tail ? (exclusive ? -1 : INT64_MAX) : info.step + !exclusive;
    stream_replace(s, n, stream_slice(&b, sums, info.axis, !exclusive, end), info);
    return true;
}

/* ---- reductions over the positions ------------------------------------------------------------------------------- */

/* What a reduction begins with; false where there is none for this operator. */
static bool neutral(const ir_node *n, double *x) {
    ir_dtype t = n->in[0].value->type->dtype;
    switch (n->op) {
    case OP_ReduceSum:
    case OP_ReduceMean:
        *x = 0;
        return true;
    case OP_ReduceProd:
        *x = 1;
        return true;
    case OP_ReduceMax:
        *x = -(double)INFINITY;
        return ir_dtype_is_float(t);
    case OP_ReduceMin:
        *x = (double)INFINITY;
        return ir_dtype_is_float(t);
    default:
        return false;
    }
}

/* Divided by the number of positions so far. */
static ir_value *average(streamer *s, ir_builder *b, ir_value *sum, const stream_value *v) {
    ir_value *count = stream_base(s, b, v->step);
    count = build_op2(b, OP_Add, count, stream_number(b, stream_count(s, v)));
    return build_op2(b, OP_Div, sum, build_cast(b, count, sum->type->dtype));
}

bool stream_reduce(streamer *s, ir_node *n) {
    const stream_value v = *stream_get(s, n->in[0].value);
    double start;
    int64_t axis = v.axis, given[2];
    bool one = ir_in(n, 1) ? ir_value_const_ints(n->in[1].value, given, 2) == 1
                           : v.whole->rank == 1;
    if (!one || !neutral(n, &start))
        return stream_refuse(s, n, "it looks ahead: it needs all positions");
    if (!is_summable(s, n, &v)) return false;
    bool mean = n->op == OP_ReduceMean, keep = ir_attr_int(n, "keepdims", 1);
    ir_builder b = ir_build_before(n);
    ir_value *initial = build_scalar(&b, n->in[0].value->type->dtype, start);
    stream_joined j = stream_join(s, n, n->in[0].value, "reduced", initial, 1);
    ir_value *axes = build_i64s(&b, &axis, 1);
    ir_value *r = build_op2(&b, mean ? OP_ReduceSum : n->op, j.value, axes);
    stream_set_next(s, j.state, r);
    if (mean) r = average(s, &b, r, &v);
    if (!keep) r = build_op2(&b, OP_Squeeze, r, axes);
    stream_replace(s, n, r, (stream_value){.kind = STREAM_FINAL});
    return true;
}

/* ---- padding ------------------------------------------------------------------------------------------------------ */

/* The number in pads for the beginning of `axis`; the end's is `count` further. -1: the axis is not padded. */
static int32_t find_pad(const ir_node *n, int32_t rank, int32_t axis, int32_t count) {
    int64_t axes[IR_MAX_RANK];
    if (!ir_in(n, 3)) return axis;
    if (ir_value_const_ints(n->in[3].value, axes, IR_MAX_RANK) != count) return -1;
    for (int32_t i = 0; i < count; i++)
        if (normal_axis(axes[i], rank) == axis) return i;
    return -1;
}

bool stream_pad(streamer *s, ir_node *n) {
    const stream_value *v = stream_get(s, n->in[0].value);
    int64_t pads[2 * IR_MAX_RANK];
    int32_t count = v->kind == STREAM_PART
                        ? ir_value_const_ints(n->in[1].value, pads, 2 * IR_MAX_RANK) / 2
                        : -1;
    bool done = false;
    if (count < 0 && s->tail && (!stream_tail_pad(s, n, &done) || done)) return done;
    if (count < 0) return stream_refuse(s, n, "how much it pads is not known");
    int32_t at = find_pad(n, v->whole->rank, v->axis, count);
    int64_t front = at < 0 ? 0 : pads[at], behind = at < 0 ? 0 : pads[at + count];
    if (front < 0 || behind < 0 || v->tail || (v->lead && (front || behind)) || v->outer != 1)
        return stream_refuse(s, n, "it cuts positions off the sequence, or pads it twice");
    if ((front || behind) && strcmp(ir_attr_string(n, "mode", "constant"), "constant"))
        return stream_refuse(s, n, "it repeats positions of the sequence at its ends");
    ir_builder b = ir_build_before(n);
    stream_value out = *v;
    if (front || behind) out.pad = ir_in(n, 2);
    out.lead += front;
    out.tail += behind;
    if (at >= 0) pads[at] = pads[at + count] = 0;
    ir_node_set_operand(n, 1, build_i64s(&b, pads, (uint32_t)count * 2));
    stream_follow(s, n, 0, &out, v->axis);
    return stream_retype(s, n);
}

/* ---- what stands in front of the sequence ---------------------------------------------------------------------------- */

/* The sequence, `lead` rows further on: what was in front of it comes first, its last rows are cut off. */
static bool shift(streamer *s, ir_node *n, const stream_value *v) {
    stream_value out = *v;
    ir_builder b = ir_build_before(n);
    ir_value *x = n->in[n->n_in > 1 && n->op == OP_Concat].value;
    ir_value *initial = v->pad ? v->pad : build_scalar(&b, x->type->dtype, 0);
    stream_joined j = stream_join(s, n, x, "last", initial, v->lead);
    b = ir_build_before(n);
    stream_set_next(s, j.state, stream_slice(&b, j.value, v->axis, v->step, v->step + v->lead));
    out.lead = out.tail = 0;
    out.pad = NULL;
    stream_replace(s, n, stream_slice(&b, j.value, v->axis, 0, -v->lead), out);
    return true;
}

/* The last `rows` of all so far, of which some stood in front of the sequence. */
static bool keep_last(streamer *s, ir_node *n, const stream_value *v, int64_t rows) {
    ir_builder b = ir_build_before(n);
    ir_value *x = n->in[0].value, *initial = v->pad;
    if (!initial) initial = build_scalar(&b, x->type->dtype, 0);
    if (initial->type->rank && v->lead != rows)
        initial = stream_slice(&b, initial, v->axis, v->lead - rows, v->lead);
    stream_joined j = stream_join(s, n, x, "last", initial, rows);
    b = ir_build_before(n);
    ir_value *last = stream_slice(&b, j.value, v->axis, -rows, INT64_MAX);
    stream_set_next(s, j.state, last);
    stream_replace(s, n, last, (stream_value){.kind = STREAM_FINAL});
    return true;
}

bool stream_prepend(streamer *s, ir_node *n, uint32_t i) {
    stream_value v = *stream_get(s, ir_in(n, i));
    const ir_value *first = n->in[0].value;
    int64_t rows;
    bool fits = n->n_in == 2 && i == 1 && stream_get(s, first)->kind == STREAM_FIXED &&
                ir_dim_is_const(first->type->dims[v.axis], &rows) && v.outer == 1 && !v.lead &&
                (v.tail == 0 || v.tail == -rows);
    if (!fits) return stream_refuse(s, n, "it joins something to the sequence, along it");
    v.lead = rows;
    v.pad = n->in[0].value;
    if (v.tail) return shift(s, n, &v);
    ir_builder b = ir_build_before(n);
    ir_value *x = n->in[1].value;
    stream_replace(s, n, build_op1(&b, OP_Identity, x), v);
    return true;
}

/* Where n cuts the sequence and nothing else, by numbers; `size`: of the sequence, with all that stands in front of it. */
static bool read_cut(const ir_node *n, const stream_value *v, int64_t *start, int64_t *end,
                     int64_t *size) {
    int64_t axis = 0, step = 1;
    if (v->kind != STREAM_PART || v->outer != 1 || v->tail) return false;
    if (!ir_dim_is_const(v->whole->dims[v->axis], size)) *size = INT64_MAX;
    return ir_value_const_ints(ir_in(n, 1), start, 1) == 1 &&
           ir_value_const_ints(ir_in(n, 2), end, 1) == 1 &&
           (!ir_in(n, 3) || ir_value_const_ints(ir_in(n, 3), &axis, 1) == 1) &&
           (!ir_in(n, 4) || ir_value_const_ints(ir_in(n, 4), &step, 1) == 1) && step == 1 &&
           normal_axis(axis, v->whole->rank) == v->axis;
}

/* Nothing is done with it but that something comes in front. */
static bool is_joined(const ir_node *n) {
    ir_for_each_use (u, &n->out[0])
        if (u->user->op != OP_Concat) return false;
    return true;
}

bool stream_slice_joined(streamer *s, ir_node *n, bool *done) {
    stream_value v = *stream_get(s, n->in[0].value);
    int64_t start, end, size;
    *done = false;
    if (!read_cut(n, &v, &start, &end, &size)) return true;
    bool to_end = end >= size || end >= INT32_MAX;
    if (end >= 0 && !to_end && size == INT64_MAX) return true;
    int64_t behind = to_end ? 0 : end < 0 ? -end : size - end; /* rows that are cut off there */
    int64_t rows = start < 0 ? -start : size - start;
    *done = true;
    if (v.lead && start == 0 && behind && behind == v.lead) return shift(s, n, &v);
    if (v.lead && to_end && rows <= v.lead) return keep_last(s, n, &v, rows);
    bool own = v.lead && start == v.lead && to_end;
    *done = own || (!v.lead && start == 0 && behind && is_joined(n));
    if (!*done) return true;
    v.lead = 0;
    v.pad = NULL;
    v.tail = -behind;
    ir_builder b = ir_build_before(n);
    stream_replace(s, n, build_op1(&b, OP_Identity, n->in[0].value), v);
    return true;
}

/* ---- convolutions --------------------------------------------------------------------------------------------------- */

static int64_t window_int(const ir_node *n, const char *list, int32_t i, int64_t otherwise) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(n, list, &count);
    return v && (uint32_t)i < count ? v[i] : otherwise;
}

typedef struct window {
    int64_t past;          /* positions before its own that a window sees */
    int64_t stride;        /* positions between two windows */
    int64_t front, behind; /* padding */
} window;

static window window_of(const ir_node *n, const stream_value *v) {
    int32_t i = v->axis - 2, spatial = v->whole->rank - 2;
    int64_t size = 1;
    ir_dim_is_const(n->in[1].value->type->dims[v->axis], &size);
    return (window){
        .past = (size - 1) * window_int(n, "dilations", i, 1),
        .stride = window_int(n, "strides", i, 1),
        .front = v->lead + window_int(n, "pads", i, 0),
        .behind = v->tail + window_int(n, "pads", i + spatial, 0),
    };
}

/* The padding of the streamed axis is the state's now. */
static void drop_pads(streamer *s, ir_node *n, int32_t i, int32_t spatial) {
    uint32_t count;
    const int64_t *old = ir_attr_ints(n, "pads", &count);
    int64_t pads[2 * IR_MAX_RANK];
    if (!old) return;
    memcpy(pads, old, count * sizeof *pads);
    pads[i] = pads[i + spatial] = 0;
    ir_attr_set_ints(s->ctx->m, n, "pads", pads, count);
}

static bool check_window(streamer *s, const ir_node *n, const stream_value *v, const window *w) {
    const char *pad = ir_attr_string(n, "auto_pad", "NOTSET");
    if (stream_get(s, n->in[1].value)->kind != STREAM_FIXED || v->axis < 2 || v->outer != 1)
        return stream_refuse(s, n, "it brings together different positions of the sequence");
    if (strcmp(pad, "NOTSET") && strcmp(pad, "VALID"))
        return stream_refuse(s, n, "it looks ahead: auto_pad centres its window");
    if (w->behind < 0) return stream_refuse(s, n, "the last positions of the sequence are cut off");
    if (w->front < w->past)
        return stream_refuse(s, n, "it looks ahead: a position needs the %lld behind it",
                             (long long)(w->past - w->front));
    if (w->front > w->past || (v->pad && window_int(n, "pads", v->axis - 2, 0)))
        return stream_refuse(s, n, "it is padded by more than its window sees");
    if (v->step % w->stride)
        return stream_refuse(s, n,
                             "it takes every %lldth position, of which a step of %lld has "
                             "not a whole number",
                             (long long)w->stride, (long long)v->step);
    return true;
}

bool stream_conv(streamer *s, ir_node *n) {
    const stream_value v = *stream_get(s, n->in[0].value);
    if (v.kind == STREAM_PART && v.axis == 0 && !v.lead && !v.tail) {
        stream_follow(s, n, 0, &v, 0); /* a batch */
        return stream_retype(s, n);
    }
    window w = v.kind == STREAM_PART && v.axis >= 2 ? window_of(n, &v) : (window){.stride = 1};
    if (!check_window(s, n, &v, &w)) return false;
    stream_value out = v;
    out.step /= w.stride;
    out.lead = 0;
    out.pad = NULL;
    out.tail = w.behind;
    if (w.past) {
        ir_builder b = ir_build_before(n);
        ir_dtype t = n->in[0].value->type->dtype;
        stream_joined j = stream_join(s, n, n->in[0].value, "past",
                                      v.pad ? v.pad : build_scalar(&b, t, 0), w.past);
        stream_set_next(s, j.state, stream_slice(&b, j.value, v.axis, v.step, v.step + w.past));
        ir_node_set_operand(n, 0, j.value);
    }
    drop_pads(s, n, v.axis - 2, v.whole->rank - 2);
    stream_follow(s, n, 0, &out, v.axis);
    return stream_retype(s, n);
}

/* ---- repetition ----------------------------------------------------------------------------------------------------- */

/* The scale of an axis, from a constant list; 1 where the list leaves it out, 0 where it is not known. */
static double scale_of(const ir_node *n, int32_t axis) {
    uint32_t count;
    const int64_t *axes = ir_attr_ints(n, "axes", &count);
    const ir_value *scales = ir_in(n, 2);
    if (!scales || !scales->tensor) return 0;
    int32_t rank = n->in[0].value->type->rank, place = axes ? -1 : axis;
    for (uint32_t i = 0; axes && i < count; i++)
        if (normal_axis(axes[i], rank) == axis) place = (int32_t)i;
    if (place < 0) return 1;
    return ir_element_get_f64(scales->type->dtype, scales->tensor->data, (size_t)place);
}

/* Element i of the result is element i / scale of the operand. */
static bool is_repetition(const ir_node *n, double scale) {
    const char *where = ir_attr_string(n, "coordinate_transformation_mode", "half_pixel");
    return scale >= 1 && scale <= 1 << 20 && scale == (double)(int64_t)scale &&
           !strcmp(ir_attr_string(n, "mode", "nearest"), "nearest") &&
           !strcmp(where, "asymmetric") &&
           !strcmp(ir_attr_string(n, "nearest_mode", "round_prefer_floor"), "floor");
}

/* Each position several times over. */
bool stream_resize(streamer *s, ir_node *n) {
    stream_value v = *stream_get(s, n->in[0].value);
    if (v.kind != STREAM_PART) return stream_refuse(s, n, "its size is the sequence's");
    double scale = scale_of(n, v.axis);
    if (scale == 1) {
        stream_follow(s, n, 0, &v, v.axis);
        return stream_retype(s, n);
    }
    if (v.lead || v.tail || v.outer != 1 || !is_repetition(n, scale))
        return stream_refuse(s, n,
                             "it brings together different positions of the sequence, or repeats "
                             "them by no whole number");
    v.step *= (int64_t)scale;
    stream_follow(s, n, 0, &v, v.axis);
    return stream_retype(s, n);
}
