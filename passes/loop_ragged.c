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
 * That all parts but the last have K elements is shown by ragged.h; with no step at all the Slice of nothing is nothing. The list must
 * be joined along that very axis; its length may be asked for.
 * loop_lists makes a stacked output of what comes out. Cost: the body's nodes for each list, and one copy of the result. */
#include "ir/limits.h"
#include "passes/ragged.h"
#include "passes/util.h"

typedef struct ragged {
    ir_node *insert;
    int32_t axis;
    ragged_size size;
} ragged;

/* ---- recognition --------------------------------------------------------------------------------------------- */

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
    return ragged_size_get(ctx, l, t->dims[r->axis], &r->size);
}

/* ---- the change ---------------------------------------------------------------------------------------------- */

/* The element with size.most elements along the axis, zeros behind its own. */
static ir_value *fill_up(ir_builder *b, ir_value *e, const ragged *r) {
    ir_attr part[] = {{.name = "end", .kind = ATTR_INT, .v.i = r->axis + 1},
                      {.name = "start", .kind = ATTR_INT, .v.i = r->axis}};
    ir_value *length = build_node(b, OP_Shape, &e, 1, 1, part, 2)->out,
             *missing = build_op2(b, OP_Sub, build_i64s(b, &r->size.most, 1), length);
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
        ir_value *in[] = {all->out, build_i64s(&b, (int64_t[]){0}, 1),
                          build_dims(&b, &r->size.total, 1),
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
