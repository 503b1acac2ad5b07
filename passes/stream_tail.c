/* The last part of a sequence, which is shorter than a step: a graph of its own behind the step's.
 *
 *   graph g(f32[1,4,8] %x along 1, state f32[8] %m = @h0) => (...)
 *   tail graph g_tail(f32[1,time,8] %x along 1, state f32[8] %m = @h0) => (...) { ... return ..., %m }
 *
 * It is the model itself, on `time` positions that are left, with what the steps before have made of the states where the model begins
 * with constants. Nothing comes behind it, so that it may look ahead and hands no state on. What loops do with a last chunk that is
 * shorter is still in it: stream_lengths has made this copy before the length became a number of steps.
 *
 * The whole sequence has CHUNK*steps + time positions. An expression over the length that does not change with `steps` is the same
 * here and there: what is computed from such things alone is what the whole model has (FINAL), as the chunk that is left behind all whole
 * ones, x[3*(time/3) : time]. One that grows by k with each step is an axis of which the steps have had k elements each, and this
 * graph has the rest (PART). All else, as a position compared with the length, makes that there is no tail; so does a state that the step
 * does not have. Then the graph goes, and why is kept for those who ask. Linear. */
#include "passes/stream.h"

#include "ir/limits.h"
#include "passes/util.h"

/* ---- expressions over the length -------------------------------------------------------------------------------- */

static const ir_dim *meaning_of(void *data, const char *symbol) {
    const streamer *s = data;
    return ir_dim_meaning(ir_dim_symbol(s->ctx->c, symbol));
}

/* The length with `steps` steps in front of it. */
static const ir_dim *whole_length(void *data, const char *symbol) {
    const streamer *s = data;
    ir_ctx *c = s->ctx->c;
    if (symbol != ir_dim_symbol_name(s->length)) return NULL;
    const ir_dim *before = ir_dim_mul(c, ir_dim_const(c, s->chunk), ir_dim_symbol(c, s->g->steps));
    return ir_dim_add(c, before, s->length);
}

bool stream_tail_moves(streamer *s, const ir_dim *d, int64_t *by) {
    ir_ctx *c = s->ctx->c;
    if (ir_dim_is_unknown(d)) return false;
    d = ir_dim_substitute(c, d, meaning_of, s);
    const ir_dim *grown = ir_dim_sub(c, ir_dim_substitute(c, d, whole_length, s), d);
    *by = 0;
    if (ir_dim_is(grown, 0)) return true;
    const ir_dim *each = ir_dim_div_exact(c, grown, ir_dim_symbol(c, s->g->steps));
    return each && ir_dim_is_const(each, by);
}

static bool is_settled(streamer *s, const ir_dim *d) {
    int64_t by;
    return stream_tail_moves(s, d, &by) && by == 0;
}

/* All elements of v are known and do not change with the steps before. */
static bool is_settled_value(streamer *s, const ir_value *v) {
    const ir_dim *dims[IR_MAX_KNOWN];
    int32_t n = ir_value_known_dims(s->ctx->c, v, dims, IR_MAX_KNOWN);
    for (int32_t i = 0; i < n; i++)
        if (!is_settled(s, dims[i])) return false;
    return n >= 0;
}

static const ir_dim *no_length(void *data, const char *symbol) {
    const streamer *s = data;
    bool own = symbol == ir_dim_symbol_name(s->length);
    return own ? ir_dim_const(s->ctx->c, 0) : NULL;
}

/* Nothing of it is computed from the length. */
static bool is_free_value(streamer *s, const ir_value *v) {
    const ir_dim *dims[IR_MAX_KNOWN];
    ir_ctx *c = s->ctx->c;
    int32_t n = ir_value_known_dims(c, v, dims, IR_MAX_KNOWN);
    for (int32_t i = 0; i < n; i++) {
        const ir_dim *d = ir_dim_is_unknown(dims[i]) ? NULL
                                                     : ir_dim_substitute(c, dims[i], meaning_of, s);
        if (!d || !ir_dim_equal(ir_dim_substitute(c, d, no_length, s), d)) return false;
    }
    return n >= 0;
}

static bool is_shape_arithmetic(const ir_value *v) {
    return ir_type_is_ranked(v->type) && v->type->rank <= 1 && ir_dtype_is_int(v->type->dtype);
}

void stream_tail_lengths(streamer *s, ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        stream_kind kind = is_settled_value(s, &n->out[i]) ? STREAM_FINAL : STREAM_LENGTH;
        if (is_free_value(s, &n->out[i])) continue;
        if (kind == STREAM_LENGTH && !is_shape_arithmetic(&n->out[i]))
            stream_refuse(s, n, "it reads the length of the sequence");
        stream_set(s, &n->out[i], (stream_value){.kind = kind, .whole = n->out[i].type});
    }
}

/* ---- pieces of an axis ------------------------------------------------------------------------------------------------ */

typedef struct piece {
    const ir_dim *start, *end; /* along the axis of the positions; NULL = not cut there */
    int64_t step;
} piece;

static bool find_piece(streamer *s, const ir_node *n, const stream_value *v, piece *p) {
    const ir_dim *starts[IR_MAX_RANK], *ends[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    int32_t count = ir_value_known_dims(s->ctx->c, ir_in(n, 1), starts, IR_MAX_RANK);
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    *p = (piece){0};
    if (count < 0 || ir_value_known_dims(s->ctx->c, ir_in(n, 2), ends, IR_MAX_RANK) != count)
        return false;
    if (ir_in(n, 3) && ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) != count) return false;
    if (ir_in(n, 4) && ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) != count) return false;
    for (int32_t i = 0; i < count; i++)
        if (normal_axis(axes[i], v->whole->rank) == v->axis)
            *p = (piece){starts[i], ends[i], steps[i]};
    return true;
}

/* Positions that only this call has: as many whatever the number of steps, from where they begin to where they end. */
static bool is_rest(streamer *s, const ir_node *n, const stream_value *v, const piece *p) {
    int64_t start, size;
    int32_t axis = v->axis;
    if (p->step != 1 || v->outer != 1 || v->lead || v->tail) return false;
    return stream_tail_moves(s, p->start, &start) && start == v->step &&
           stream_tail_moves(s, n->out[0].type->dims[axis], &size) && size == 0;
}

/* From the first position to one that moves with the steps. */
static bool is_front(streamer *s, const ir_node *n, const stream_value *v, const piece *p) {
    int64_t size;
    if (p->step != 1 || v->outer != 1 || v->lead || v->tail || !ir_dim_is(p->start, 0))
        return false;
    return stream_tail_moves(s, n->out[0].type->dims[v->axis], &size) && size == v->step;
}

bool stream_tail_slice(streamer *s, ir_node *n, bool *done) {
    const stream_value *v = stream_get(s, n->in[0].value);
    piece p;
    *done = false;
    if (v->kind != STREAM_PART || !find_piece(s, n, v, &p) || !p.start) return true;
    if (is_rest(s, n, v, &p)) {
        stream_set(s, &n->out[0], (stream_value){.kind = STREAM_FINAL, .whole = n->out[0].type});
        return *done = true;
    }
    if (!is_front(s, n, v, &p)) return true;
    stream_follow(s, n, 0, v, v->axis);
    return *done = true;
}

/* Filled up behind the last position. */
bool stream_tail_pad(streamer *s, ir_node *n, bool *done) {
    const stream_value *v = stream_get(s, n->in[0].value);
    const ir_dim *pads[2 * IR_MAX_RANK];
    int32_t count = ir_value_known_dims(s->ctx->c, ir_in(n, 1), pads, 2 * IR_MAX_RANK) / 2;
    *done = false;
    if (v->kind != STREAM_PART || v->outer != 1 || v->lead || v->tail || ir_in(n, 3) ||
        count != v->whole->rank || strcmp(ir_attr_string(n, "mode", "constant"), "constant"))
        return true;
    if (!ir_dim_is(pads[v->axis], 0) || !is_settled(s, pads[v->axis + count])) return true;
    stream_follow(s, n, 0, v, v->axis);
    return *done = true;
}

/* What is left stands behind what belongs to whole chunks. */
bool stream_tail_concat(streamer *s, ir_node *n, bool *done) {
    const stream_value *v = stream_get(s, n->in[0].value);
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), n->out[0].type->rank);
    *done = false;
    if (v->kind != STREAM_PART || v->axis != axis || v->outer != 1 || v->lead || v->tail)
        return true;
    for (uint32_t i = 1; i < n->n_in; i++)
        if (stream_get(s, n->in[i].value)->kind != STREAM_FINAL) return true;
    stream_follow(s, n, 0, v, axis);
    return *done = true;
}

/* ---- regions that read positions from outside ------------------------------------------------------------------------- */

static bool visit_region(streamer *s, const ir_node *owner, const ir_region *r);

static bool visit_inner(streamer *s, ir_node *n) {
    bool part = false, length = false, done = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        stream_kind kind = stream_get(s, n->in[i].value)->kind;
        part |= kind == STREAM_PART;
        length |= kind == STREAM_LENGTH;
    }
    for (uint32_t i = 0; i < n->n_regions; i++)
        if (!visit_region(s, n, n->regions[i])) return false;
    if (part && n->op == OP_Slice) {
        const stream_value *v = stream_get(s, n->in[0].value);
        if (!stream_tail_slice(s, n, &done)) return false;
        if (done && stream_get(s, &n->out[0])->kind == STREAM_FINAL) return true;
        return stream_refuse(s, n, "it takes positions along axis %d that are not the last chunk's",
                             v->axis);
    }
    if (part) return stream_refuse(s, n, "its region reads positions of the sequence");
    if (n->op == OP_Dims || length) stream_tail_lengths(s, n);
    return !s->reason;
}

static bool visit_region(streamer *s, const ir_node *owner, const ir_region *r) {
    ir_for_each_node (n, r)
        if (!visit_inner(s, n)) return false;
    for (uint32_t i = 0; i < ir_region_n_results(r); i++) {
        stream_kind kind = stream_get(s, ir_region_result(r, i))->kind;
        if (kind == STREAM_PART || kind == STREAM_LENGTH)
            return stream_refuse(s, owner, "its region gives positions of the sequence back");
    }
    return true;
}

/* The round that does the last chunk, where that is shorter: all that it reads is what the whole model has there. */
bool stream_tail_region(streamer *s, ir_node *n) {
    for (uint32_t i = 0; i < n->n_regions; i++)
        if (!visit_region(s, n, n->regions[i])) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        stream_set(s, &n->out[i], (stream_value){.kind = STREAM_FINAL, .whole = n->out[i].type});
    return true;
}

/* ---- the graph --------------------------------------------------------------------------------------------------------- */

bool stream_tail_check(streamer *s, const ir_node *n) {
    for (uint32_t i = 0; n->parent && i < n->n_out; i++) {
        const stream_value *v = stream_get(s, &n->out[i]);
        int64_t by;
        if (v->kind != STREAM_PART || v->lead || v->tail) continue;
        if (!stream_tail_moves(s, n->out[i].type->dims[v->axis], &by) || by != v->step * v->outer)
            return stream_refuse(s, n, "steps do not have the same share of it");
    }
    return true;
}

stream_origin *stream_find_origin(streamer *s, const ir_node *n, const char *what,
                                  const ir_type *type) {
    for (uint32_t i = 0; i < s->origins.len; i++) {
        stream_origin *o = &s->origins.data[i];
        if (o->taken || o->loc != (n ? n->loc : NULL) || strcmp(o->what, what)) continue;
        if (ir_graph_state(s->of, o->state)->type == type) return o;
    }
    s->reason = tl_arena_printf(s->ctx->m->arena, "a step has no state '%s'", what);
    return NULL;
}

/* One position more than a number that may be 0: a last part has at least one. */
static const ir_dim *one_more(void *data, const char *symbol) {
    const streamer *s = data;
    bool own = symbol == ir_dim_symbol_name(s->length);
    return own ? ir_dim_add(s->ctx->c, s->length, ir_dim_const(s->ctx->c, 1)) : NULL;
}

static bool same_form(streamer *s, const ir_type *a, const ir_type *b) {
    ir_ctx *c = s->ctx->c;
    if (a == b) return true;
    bool ranked = ir_type_is_ranked(a) && ir_type_is_ranked(b);
    if (!ranked || a->rank != b->rank || a->dtype != b->dtype) return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (!ir_dim_equal(ir_dim_substitute(c, a->dims[i], one_more, s),
                          ir_dim_substitute(c, b->dims[i], one_more, s)))
            return false;
    return true;
}

/* Outputs are parts where the step's are, and of the types that the model gives so many positions. */
static bool check_outputs(streamer *s, const ir_type *const *types) {
    for (uint32_t i = 0; i < ir_graph_n_outputs(s->g); i++) {
        const char *name = s->g->outputs[i];
        bool same = ir_graph_along(s->g, name, true) == ir_graph_along(s->of, name, true) &&
                    same_form(s, ir_region_result(s->g->body, i)->type, types[i]);
        if (same) continue;
        s->reason = tl_arena_printf(s->ctx->m->arena, "output '%s' has another form in it", name);
        return false;
    }
    return true;
}

static bool make(streamer *s) {
    uint32_t n = ir_graph_n_outputs(s->g);
    const ir_type **types = TL_NEW_ARRAY(s->ctx->scratch, const ir_type *, n);
    for (uint32_t i = 0; i < n; i++)
        types[i] = ir_region_result(s->g->body, i)->type;
    return stream_graph(s) && check_outputs(s, types);
}

/* Errors that were reported on the way are the reason; the step itself is fine. */
static void take_errors(streamer *s, const diag *before) {
    diag *d = &s->ctx->c->diag;
    if (!s->reason && d->n > before->n) s->reason = d->entries[before->n].text;
    d->n = before->n;
    d->n_errors = before->n_errors;
    d->n_kept = before->n_kept;
    d->n_hidden = before->n_hidden;
    d->dropping = before->dropping;
}

void stream_make_tail(streamer *s) {
    ir_graph *step = s->g, *g = ir_graph_tail(step);
    int64_t length;
    if (!g && s->chunk > 1 && ir_dim_is_const(s->length, &length))
        step->no_tail = ir_name(
            s->ctx->c,
            tl_arena_printf(
                s->ctx->scratch,
                "the model was exported for %lld positions: what it does with others is not in it",
                (long long)length));
    if (!g) return;
    streamer t = {.ctx = s->ctx, .g = g, .mark = ir_new_mark(s->ctx->c), .tail = true, .of = step};
    const diag before = s->ctx->c->diag;
    t.origins.data = s->origins.data;
    t.origins.len = s->origins.len;
    bool made = make(&t);
    take_errors(&t, &before);
    g->steps = NULL;
    if (made) return;
    step->no_tail = ir_name(s->ctx->c, t.reason ? t.reason : "?");
    ctx_remark(s->ctx, "no last part that is shorter: %s", step->no_tail);
    ir_graph_remove(g);
}
