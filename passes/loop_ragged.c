/* loop_ragged: parts of a list of which only the last one is shorter are filled up, so that all have one shape.
 *
 *   before:  %list = Loop(%n, _, %empty) {                                     // n = ceil(time/4)
 *              body(%i, %t, %l) {
 *                ... %e: f32[batch,S,64], S = min(4*i + 4, time) - 4*i
 *                %l2 = SequenceInsert(%l, %e)   yield %t, %l2}
 *            }
 *            %y = ConcatFromSequence<axis=1>(%list)
 *
 *   after:   %list = Loop(%n, _, %empty) {
 *              body(%i, %t, %l) {
 *                ... %p = Pad(%e, {0, 4 - S}, _, {1})                          // f32[batch,4,64]
 *                %l2 = SequenceInsert(%l, %p)   yield %t, %l2}
 *            }
 *            %all = ConcatFromSequence<axis=1>(%list)
 *            %y = Slice(%all, {0}, {time}, {1})
 *
 * With K the most a part can have, all but the last have K: shown by the part's length as a function of the counter, which the
 * bounds of the Slice that cuts it give, for a counter that ends one step earlier. The total is then K*(n-1) and the length at n-1; with no
 * step at all the Slice of nothing is nothing. The list must be joined along that very axis; its length may be asked for.
 * loop_lists makes a stacked output of what comes out. Cost: the body's nodes for each list, and one copy of the result. */
#include "ir/limits.h"
#include "passes/loop_like.h"
#include "passes/util.h"

typedef struct ragged {
    ir_node *insert;
    int32_t axis;
    int64_t most; /* K */
    const ir_dim *total;
} ragged;

/* ---- how long a part is -------------------------------------------------------------------------------------- */

typedef struct lengths {
    ir_ctx *c;
    const ir_region *body;
} lengths;

/* What inference computed for one axis of a Slice before it gave it a symbol; NULL where it could not. */
static const ir_dim *sliced_length(ir_ctx *c, const ir_node *n, int32_t axis) {
    const ir_dim *starts[IR_MAX_RANK], *ends[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    const ir_type *t = n->in[0].value->type;
    int32_t count = ir_value_known_dims(c, ir_in(n, 1), starts, IR_MAX_RANK);
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    bool known = count >= 0 && ir_value_known_dims(c, ir_in(n, 2), ends, IR_MAX_RANK) == count &&
                 (!ir_in(n, 3) || ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) == count) &&
                 (!ir_in(n, 4) || ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) == count);
    for (int32_t i = 0; known && i < count; i++)
        if (normal_axis(axes[i], t->rank) == axis)
            return infer_slice_length(c, t->dims[axis], starts[i], ends[i], steps[i]);
    return NULL;
}

/* The length that the symbol stands for, if a Slice of the body made it. */
static const ir_dim *find_length(void *data, const char *symbol) {
    const lengths *l = data;
    const ir_dim *d = ir_dim_symbol(l->c, symbol);
    ir_for_each_node (n, l->body) {
        if (n->op != OP_Slice || !ir_type_is_ranked(n->out[0].type)) continue;
        const ir_type *from = n->in[0].value->type, *to = n->out[0].type;
        for (int32_t a = 0; ir_type_is_ranked(from) && a < to->rank; a++)
            if (to->dims[a] == d && from->dims[a] != d) return sliced_length(l->c, n, a);
    }
    return NULL;
}

/* ---- the proof ----------------------------------------------------------------------------------------------- */

/* All parts but the last have r->most elements along the axis: sets the total of all. */
static bool find_total(pass_ctx *ctx, const loop_like *l, const ir_dim *size, ragged *r) {
    ir_ctx *c = ctx->c;
    const ir_dim *trips, *counter = loop_counter(l), *most = ir_dim_const(c, r->most);
    if (!counter || ir_value_known_dims(c, ir_in(l->node, 0), &trips, 1) != 1) return false;
    lengths where = {c, l->body};
    const ir_dim *length = ir_dim_substitute(c, size, find_length, &where);
    const ir_dim *last = ir_dim_sub(c, trips, ir_dim_const(c, 1));
    const ir_dim *early = ir_dim_counter(c, "early", ir_dim_sub(c, last, ir_dim_const(c, 1)));
    if (!ir_dim_equal(dim_replace(c, length, counter, early), most)) return false;
    r->total = ir_dim_add(c, ir_dim_mul(c, most, last), dim_replace(c, length, counter, last));
    return dims_are_computable(l->body->graph, &r->total, 1);
}

/* The one axis whose size is not computable; -1 where there is none, or more. */
static int32_t ragged_axis(const ir_graph *g, const ir_type *t) {
    int32_t axis = -1;
    for (int32_t i = 0; ir_type_is_ranked(t) && i < t->rank; i++) {
        if (dims_are_computable(g, &t->dims[i], 1)) continue;
        if (axis >= 0) return -1;
        axis = i;
    }
    return axis;
}

static bool readers_fit(const ir_value *list, int32_t axis, int32_t rank) {
    ir_for_each_use (u, list) {
        const ir_node *n = u->user;
        if (n->op == OP_SequenceLength) continue;
        if (n->op != OP_ConcatFromSequence || ir_attr_int(n, "new_axis", 0)) return false;
        if (normal_axis(ir_attr_int(n, "axis", 0), rank) != axis) return false;
    }
    return true;
}

static bool is_ragged(pass_ctx *ctx, const loop_like *l, uint32_t i, ragged *r) {
    *r = (ragged){.insert = loop_list_insert(l, i)};
    if (!r->insert) return false;
    const ir_type *t = r->insert->in[1].value->type;
    r->axis = ragged_axis(l->body->graph, t);
    if (r->axis < 0 || !readers_fit(&l->node->out[i], r->axis, t->rank)) return false;
    r->most = ir_dim_upper_bound(t->dims[r->axis]);
    return r->most < INT64_MAX && find_total(ctx, l, t->dims[r->axis], r);
}

/* ---- the change ---------------------------------------------------------------------------------------------- */

/* The element with r->most elements along the axis, zeros behind its own. */
static ir_value *fill_up(ir_builder *b, ir_value *e, const ragged *r) {
    ir_attr part[] = {{.name = "end", .kind = ATTR_INT, .v.i = r->axis + 1},
                      {.name = "start", .kind = ATTR_INT, .v.i = r->axis}};
    ir_value *length = build_node(b, OP_Shape, &e, 1, 1, part, 2)->out,
             *missing = build_op2(b, OP_Sub, build_i64s(b, &r->most, 1), length);
    ir_value *both[] = {build_i64s(b, (int64_t[]){0}, 1), missing};
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = 0};
    ir_value *pads = build_node(b, OP_Concat, both, 2, 1, &axis, 1)->out;
    ir_value *in[] = {e, pads, NULL, build_i64s(b, (int64_t[]){r->axis}, 1)};
    return build_node(b, OP_Pad, in, 4, 1, NULL, 0)->out;
}

/* y = Concat(list)  ->  all = Concat(list), y = all[: total] along the axis. */
static void cut_readers(pass_ctx *ctx, ir_value *list, const ragged *r) {
    uint32_t done = ir_new_mark(ctx->c);
    for (ir_use *u = list->uses; u;) {
        ir_node *n = u->user;
        u = u->next;
        if (n->op != OP_ConcatFromSequence || n->mark == done) continue;
        ir_builder b = ir_build_before(n);
        ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = r->axis};
        ir_node *all = build_node(&b, OP_ConcatFromSequence, &list, 1, 1, &axis, 1);
        all->mark = done;
        ir_value *in[] = {all->out, build_i64s(&b, (int64_t[]){0}, 1), build_dims(&b, &r->total, 1),
                          build_i64s(&b, (int64_t[]){r->axis}, 1)};
        ir_value *y = build_node(&b, OP_Slice, in, 4, 1, NULL, 0)->out;
        pass_replace(ctx, n->out, y);
        ir_node_remove(n);
    }
}

static bool make_even(pass_ctx *ctx, const loop_like *l, uint32_t i, const ragged *r) {
    ir_builder b = ir_build_before(r->insert);
    ir_node_set_operand(r->insert, 1, fill_up(&b, r->insert->in[1].value, r));
    r->insert->out[0].type = NULL; /* of elements that were shorter */
    if (!ir_infer_node(ctx->c, r->insert) || !ir_infer_node(ctx->c, l->node)) return false;
    cut_readers(ctx, &l->node->out[i], r);
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    ragged r;
    pass_result result = PASS_SAME;
    if (n->op != OP_Loop || !loop_like_get(n, &l) || !loop_is_counted(&l)) return PASS_SAME;
    for (uint32_t i = 0; i < l.n_carried; i++) {
        if (!is_ragged(ctx, &l, i, &r) || !ctx_take(ctx, "lists")) continue;
        if (!make_even(ctx, &l, i, &r)) return PASS_FAILED;
        result = PASS_CHANGED;
    }
    return result;
}

pass_result pass_loop_ragged(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
