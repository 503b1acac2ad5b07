/* loop_lists: a list that a loop appends to becomes a stacked output of the loop.
 *
 *   before:  %empty = SequenceEmpty()
 *            %c, %list = Loop(%n, _, %c0, %empty) {
 *              body(%i, %t, %c1, %l) {... %l2 = SequenceInsert(%l, %e)   yield %t, %c2, %l2}
 *            }
 *            %y = ConcatFromSequence<axis=1, new_axis=0>(%list)             // %e: f32[batch,4,64]
 *
 *   after:   %c, %s = Loop(%n, _, %c0) {
 *              body(%i, %t, %c1) {... yield %t, %c2, %e}
 *            }                                                              // %s: f32[n,batch,4,64]
 *            %p = Transpose<perm=[1,0,2,3]>(%s)
 *            %y = Reshape(%p, Dims<dims=[batch, 4*n, 64]>)
 *
 * The list must start empty, be read by nothing but the one insertion at its end, and be used after the loop only by
 * ConcatFromSequence, SequenceAt and SequenceLength. The elements must have one shape: dims that are constant or
 * made of the graph's input dimensions: loop_ragged sees to a last part that is shorter. Linear. */
#include "ir/base/assert.h"
#include "ir/limits.h"
#include "passes/loop_like.h"
#include "passes/util.h"

/* ---- recognition -------------------------------------------------------------------------------------------- */

static bool is_reader(const ir_node *n) {
    return n->op == OP_ConcatFromSequence || n->op == OP_SequenceAt || n->op == OP_SequenceLength;
}

static bool only_readers(const ir_value *list) {
    ir_for_each_use (u, list)
        if (!is_reader(u->user) || u != &u->user->in[0]) return false;
    return true;
}

static ir_node *list_insert(const loop_like *l, uint32_t i) {
    ir_node *insert = loop_list_insert(l, i);
    if (!insert || !only_readers(&l->node->out[i])) return NULL;
    return type_is_computable(l->body->graph, insert->in[1].value->type) ? insert : NULL;
}

/* ---- readers ------------------------------------------------------------------------------------------------ */

/* Brings the stacking dimension from the front to `axis`. */
static ir_value *move_first_dim(ir_builder *b, ir_value *stacked, int32_t axis) {
    int64_t perm[IR_MAX_RANK];
    int32_t rank = stacked->type->rank;
    for (int32_t i = 0; i < rank; i++)
        perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    return axis ? build_transpose(b, stacked, perm, (uint32_t)rank) : stacked;
}

/* Merges dimensions `axis` and `axis + 1`. */
static ir_value *merge_dims(ir_builder *b, ir_value *v, int32_t axis) {
    const ir_dim *dims[IR_MAX_RANK];
    int32_t rank = 0;
    for (int32_t i = 0; i < v->type->rank; i++)
        if (i != axis) dims[rank++] = v->type->dims[i];
    const ir_dim *merged = ir_dim_mul(b->m->ctx, v->type->dims[axis], v->type->dims[axis + 1]);
    bool computable = dims_are_computable(b->region->graph, &merged, 1);
    dims[axis] = computable ? merged : ir_dim_const(b->m->ctx, -1);
    if (computable) return build_reshape(b, v, dims, (uint32_t)rank);
    return build_op2(b, OP_Reshape, v, build_dims(b, dims, (uint32_t)rank));
}

static ir_value *read_concat(ir_builder *b, const ir_node *n, ir_value *stacked) {
    bool new_axis = ir_attr_int(n, "new_axis", 0) != 0;
    int32_t rank = stacked->type->rank - (new_axis ? 0 : 1);
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), rank);
    if (axis < 0) return NULL;
    ir_value *moved = move_first_dim(b, stacked, axis);
    return new_axis ? moved : merge_dims(b, moved, axis);
}

static ir_value *read_length(ir_builder *b, ir_value *stacked) {
    const ir_dim *length = stacked->type->dims[0];
    if (dims_are_computable(b->region->graph, &length, 1)) return build_dim_scalar(b, length);
    ir_value *shape = build_op1(b, OP_Shape, stacked);
    return build_op2(b, OP_Gather, shape, build_dim_scalar(b, ir_dim_const(b->m->ctx, 0)));
}

static ir_value *read(ir_builder *b, const ir_node *n, ir_value *stacked) {
    if (n->op == OP_ConcatFromSequence) return read_concat(b, n, stacked);
    if (n->op == OP_SequenceLength) return read_length(b, stacked);
    return build_op2(b, OP_Gather, stacked, n->in[1].value);
}

static void rewrite_readers(pass_ctx *ctx, ir_value *list, ir_value *stacked) {
    while (list->uses) {
        ir_node *reader = list->uses->user;
        ir_builder b = ir_build_before(reader);
        ir_value *v = read(&b, reader, stacked);
        TL_ASSERT(v); /* readers_fit */
        pass_replace(ctx, &reader->out[0], v);
        ir_node_remove(reader);
    }
}

/* Axes are in range, so that every reader can be rewritten. */
static bool readers_fit(const ir_value *list, int32_t element_rank) {
    ir_for_each_use (u, list) {
        const ir_node *n = u->user;
        if (n->op != OP_ConcatFromSequence) continue;
        int32_t rank = element_rank + (ir_attr_int(n, "new_axis", 0) ? 1 : 0);
        if (normal_axis(ir_attr_int(n, "axis", 0), rank) < 0) return false;
    }
    return true;
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

/* A stacked output that collects v; the node's results move, so take them anew. */
static bool add_stacked(pass_ctx *ctx, loop_like *l, ir_value *v, const char *name) {
    ir_region_add_result(l->body, v);
    ir_node_set_n_out(ctx->m, l->node, l->node->n_out + 1);
    l->n_stacked++;
    l->node->out[l->node->n_out - 1].name = name;
    return ir_infer_node(ctx->c, l->node);
}

static ir_node *replace_list(pass_ctx *ctx, loop_like *l, uint32_t i, ir_node *insert) {
    const char *name = ir_name_derive(ctx->m, &l->node->out[i], "stacked");
    bool inferred = add_stacked(ctx, l, insert->in[1].value, name);
    TL_ASSERT(inferred);
    rewrite_readers(ctx, &l->node->out[i], &l->node->out[l->node->n_out - 1]);
    bool *keep = TL_NEW_ARRAY(ctx->scratch, bool, l->node->n_out);
    for (uint32_t k = 0; k < l->node->n_out; k++)
        keep[k] = k != i;
    ir_node_set_operand(l->body->yield, l->first_result + i, NULL);
    ir_node_remove(insert);
    return loop_like_shrink(ctx, l, keep);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    pass_result result = PASS_SAME;
    for (uint32_t i = 0; n->op == OP_Loop && loop_like_get(n, &l) && i < l.n_carried;) {
        ir_node *insert = list_insert(&l, i);
        bool fits = insert && readers_fit(&n->out[i], insert->in[1].value->type->rank);
        if (!fits || !ctx_take(ctx, "lists")) {
            i++;
            continue;
        }
        n = replace_list(ctx, &l, i, insert);
        result = PASS_CHANGED;
    }
    return result;
}

pass_result pass_loop_lists(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
