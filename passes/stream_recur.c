/* Recurrences in a stream: what they carry becomes a state, and a step runs as many rounds as it has positions.
 *
 *   before:  %h, %ys = Recur<carries=1>(@16, @h0, %xs) { body(%i, %m, %x) {... %i ... yield %m1, %y} }
 *   after:   %h, %ys = Recur<carries=1>(@2, %m.0, %xs) { body(%i, %m, %x) uses(%base) { %k = Add(%i, %base) ... yield %m1, %y} }
 *            return ..., %h                                             // the new value of state m.0
 *
 * The body counts on from the positions of the steps before. The last values are what the sequence so far gives. A recurrence that runs
 * from the end of the sequence is refused; so is one that begins with what another one has at its end, which must be known before. */
#include "passes/recur.h"
#include "passes/stream.h"
#include "passes/util.h"

/* ---- which rounds --------------------------------------------------------------------------------------------- */

static int32_t list_axis(const ir_node *n, const char *list, uint32_t i, int32_t rank) {
    return normal_axis(recur_list_at(n, list, i), rank);
}

/* Rounds in a step, and in this call, from the first input that is the sequence sliced along its positions; 0 after reporting. */
static int64_t count_rounds(streamer *s, const loop_like *l, const ir_dim **count) {
    int64_t rounds = 0;
    for (uint32_t i = 0; i < l->n_sliced; i++) {
        const stream_value *v = stream_get(s, loop_sliced(l, i));
        if (v->kind != STREAM_PART) continue;
        if (v->axis != list_axis(l->node, "input_axes", i, v->whole->rank) || v->outer != 1)
            return stream_refuse(s, l->node, "its rounds run along another axis");
        if (v->lead || v->tail)
            return stream_refuse(s, l->node, "it runs over a sequence that was padded");
        if (recur_list_at(l->node, "input_reverse", i))
            return stream_refuse(s, l->node,
                                 "it looks ahead: it runs from the end of the sequence");
        if (rounds && rounds != v->step)
            return stream_refuse(s, l->node, "its inputs have different numbers of positions");
        rounds = v->step;
        *count = stream_count(s, v);
    }
    if (!rounds) stream_refuse(s, l->node, "it takes no position of the sequence in a round");
    return rounds;
}

static bool check_others(streamer *s, const loop_like *l) {
    for (uint32_t i = 0; i < l->n_carried; i++)
        if (stream_get(s, loop_initial(l, i))->kind != STREAM_FIXED)
            return stream_refuse(s, l->node, "what it begins with is computed from the sequence");
    for (uint32_t i = 0; i < l->n_stacked; i++)
        if (recur_list_at(l->node, "output_reverse", i))
            return stream_refuse(s, l->node,
                                 "it looks ahead: it writes from the end of the sequence");
    return true;
}

/* Inputs with a value for each position are cut to the step's. */
static bool cut_inputs(streamer *s, const loop_like *l, int64_t rounds, const ir_dim *count) {
    ir_builder b = ir_build_before(l->node);
    for (uint32_t i = 0; i < l->n_sliced; i++) {
        ir_value *v = loop_sliced(l, i);
        const stream_value *info = stream_get(s, v);
        if (info->kind == STREAM_PART) continue;
        if (info->kind != STREAM_FIXED || recur_list_at(l->node, "input_reverse", i))
            return stream_refuse(s, l->node, "operand %u is computed from the whole sequence",
                                 1 + l->n_carried + i);
        int32_t axis = list_axis(l->node, "input_axes", i, v->type->rank);
        ir_node_set_operand(l->node, l->first_in + l->n_carried + i,
                            stream_take(s, &b, v, axis, rounds, count));
    }
    return true;
}

/* ---- the body ------------------------------------------------------------------------------------------------- */

static bool has_counter(const ir_type *t) {
    for (int32_t i = 0; ir_type_is_ranked(t) && i < t->rank; i++)
        if (!ir_dim_is_unknown(t->dims[i]) && ir_dim_has_counter(t->dims[i])) return true;
    return false;
}

/* What is known of values in the body is known of the whole sequence's rounds; types that say so cannot be kept. */
static bool forget_counter(ir_region *r) {
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_out; i++) {
            if (has_counter(n->out[i].type)) return false;
            n->out[i].known = NULL;
        }
        for (uint32_t i = 0; i < n->n_regions; i++)
            if (!forget_counter(n->regions[i])) return false;
    }
    return true;
}

/* The counter goes on where the steps before ended. */
static bool shift_counter(streamer *s, const loop_like *l, int64_t rounds) {
    ir_value *counter = l->body->params[0];
    if (!counter->uses) return true;
    if (!forget_counter(l->body))
        return stream_refuse(s, l->node, "its rounds are of different sizes");
    ir_builder before = ir_build_before(l->node), inside = ir_build_at_start(l->body, NULL);
    ir_value *base = stream_base(s, &before, rounds);
    ir_value *shifted = build_op2(&inside, OP_Add, counter, base);
    for (ir_use *u = counter->uses, *next; u; u = next) {
        next = u->next;
        if (u->user != shifted->def)
            ir_node_set_operand(u->user, (uint32_t)(u - u->user->in), shifted);
    }
    counter->known = NULL;
    return true;
}

/* ---- the node ------------------------------------------------------------------------------------------------- */

static void carry_in_states(streamer *s, const loop_like *l) {
    for (uint32_t i = 0; i < l->n_carried; i++) {
        uint32_t index;
        const ir_value *param = loop_param(l, i);
        const char *name = param->name ? param->name : l->node->out[i].name;
        ir_value *state = stream_state(s, l->node, name ? name : "carried", loop_initial(l, i),
                                       param->type, &index);
        ir_node_set_operand(l->node, l->first_in + i, state);
        stream_set_next(s, index, &l->node->out[i]);
    }
}

static void set_results(streamer *s, const loop_like *l, int64_t rounds) {
    const stream_value round = {.step = rounds, .outer = 1};
    for (uint32_t i = 0; i < l->node->n_out; i++) {
        const ir_type *whole = l->node->out[i].type;
        if (i < l->n_carried)
            stream_set(s, &l->node->out[i], (stream_value){.kind = STREAM_FINAL, .whole = whole});
        else
            stream_follow(s, l->node, i, &round,
                          list_axis(l->node, "output_axes", i - l->n_carried, whole->rank));
    }
}

bool stream_recur(streamer *s, ir_node *n) {
    loop_like l;
    if (!loop_like_get(n, &l)) return stream_refuse(s, n, "it is malformed");
    const ir_dim *count;
    int64_t rounds = count_rounds(s, &l, &count);
    if (rounds <= 0 || !check_others(s, &l) || !cut_inputs(s, &l, rounds, count) ||
        !shift_counter(s, &l, rounds))
        return false;
    ir_builder b = ir_build_before(n);
    if (!s->tail) ir_node_set_operand(n, 0, build_scalar(&b, DT_i64, (double)rounds));
    set_results(s, &l, rounds);
    carry_in_states(s, &l);
    return stream_retype(s, n);
}
