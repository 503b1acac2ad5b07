/* Operators along one axis of a value of which a step has the next part: where that is another axis than the positions', a step does the same.
 *
 *   %s = Softmax<axis=2>(%x)       %x f32[1,T,8] along 1: the same on the step's positions
 *   %s = Softmax<axis=1>(%x)       refused: it needs all positions
 *   %y = ReduceSum(%x, @1)         the sum so far: stream_window.c */
#include "passes/stream.h"

#include "ir/limits.h"
#include "passes/util.h"

static const stream_value *part(const streamer *s, const ir_node *n, uint32_t i) {
    return stream_get(s, ir_in(n, i));
}

bool stream_softmax(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (!stream_alone(s, n)) return false;
    if (normal_axis(ir_attr_int(n, "axis", -1), v->whole->rank) == v->axis)
        return stream_refuse(s, n, "it looks ahead: it needs all positions");
    return stream_follow_all(s, n, v->axis);
}

/* Normalises everything from `axis` on. */
bool stream_normalise(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (!stream_alone(s, n)) return false;
    if (normal_axis(ir_attr_int(n, "axis", -1), v->whole->rank) <= v->axis)
        return stream_refuse(s, n, "it looks ahead: it needs all positions");
    return stream_follow_all(s, n, v->axis);
}

bool stream_reduce_axes(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    int64_t axes[IR_MAX_RANK];
    if (!stream_alone(s, n)) return false;
    bool keep = ir_attr_int(n, "keepdims", 1), all = !ir_in(n, 1);
    int32_t count = all ? 0 : ir_value_const_ints(n->in[1].value, axes, IR_MAX_RANK), below = 0;
    if (count == 0 && ir_attr_int(n, "noop_with_empty_axes", 0))
        return stream_follow_all(s, n, v->axis);
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = normal_axis(axes[i], v->whole->rank);
        all |= axis == v->axis;
        below += axis < v->axis;
    }
    if (all || count <= 0) return stream_reduce(s, n);
    return stream_follow_all(s, n, keep ? v->axis : v->axis - below);
}

bool stream_arg_reduce(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (!stream_alone(s, n)) return false;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), v->whole->rank);
    if (axis == v->axis) return stream_refuse(s, n, "it looks ahead: it needs all positions");
    bool drops = !ir_attr_int(n, "keepdims", 1) && axis < v->axis;
    return stream_follow_all(s, n, v->axis - drops);
}

/* The elements along an axis come in their order, or as frequencies: all of them are needed. */
bool stream_rearrange(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    int64_t axis = n->op == OP_DFT ? -2 : ir_attr_int(n, "axis", -1);
    if (!stream_alone(s, n)) return false;
    if (n->op == OP_DFT && ir_in(n, 2) && !ir_value_const_i64(n->in[2].value, &axis))
        return stream_refuse(s, n, "its axis is not known");
    if (normal_axis(axis, v->whole->rank) == v->axis)
        return stream_refuse(s, n, "it looks ahead: it needs all positions");
    return stream_follow_all(s, n, v->axis);
}

bool stream_reverse(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    bool along = v->kind == STREAM_PART && v->axis == ir_attr_int(n, "time_axis", 0);
    return stream_refuse(s, n,
                         along ? "it looks ahead: it turns the sequence around"
                               : "positions are told which of them to turn around");
}

bool stream_one_hot(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (!stream_alone(s, n)) return false;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", -1), n->out[0].type->rank);
    return stream_follow_all(s, n, v->axis + (axis <= v->axis));
}

bool stream_trilu(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (!stream_alone(s, n)) return false;
    if (v->axis >= v->whole->rank - 2)
        return stream_refuse(s, n, "it depends on where in the sequence a position is");
    return stream_follow_all(s, n, v->axis);
}

/* Rotary positions: the tables, or the numbers that pick their rows, are those of the step. */
bool stream_rotary(streamer *s, ir_node *n) {
    const stream_value *v = part(s, n, 0);
    if (v->kind != STREAM_PART) return stream_refuse(s, n, "operand 0 is no sequence");
    bool by_number = ir_in(n, 3) != NULL;
    if (!stream_is_even(s, n, v)) return false;
    if (v->axis != v->whole->rank - 2 && !(v->whole->rank == 3 && v->axis == 1))
        return stream_refuse(s, n, "it rotates along the sequence");
    for (uint32_t i = by_number ? 3 : 1; i < (by_number ? 4 : 3); i++) {
        const stream_value *p = part(s, n, i);
        bool same = p->kind == STREAM_PART && p->axis == 1 && stream_agree(p, v);
        if (!same && p->kind != STREAM_FIXED)
            return stream_refuse(s, n, "operand %u has other positions", i);
        if (!same && !stream_cut_operand(s, n, i, v, by_number ? 1 : 2)) return false;
    }
    return stream_follow_all(s, n, v->axis);
}
