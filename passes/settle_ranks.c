/* settle_ranks: values whose rank depends on data, where what reads them leaves one rank, or makes it all the same.
 *
 *   before:  %s = Squeeze(%x)              // x: f32[n,1,3], s: f32[3] or f32[n,3]
 *            %a, %b = Split<axis=1>(%s)
 *   after:   %s = Squeeze(%x, {1})         // with one axis the Split would fail
 *
 *   before:  %c = If(%p) {then() {yield @f32[]} else() {... yield %e}}      // e: f32[1]
 *            %y = Mul(%v, %c)                                               // v: f32[n]
 *   after:   the branch yields f32[1] too: broadcasting adds dimensions of 1 anyway
 *
 * Definitions of ONNX's functions are written so. Types follow with the next infer_shapes. Linear. */
#include "passes/util.h"

#include "ir/limits.h"

/* ---- Squeeze without axes ------------------------------------------------------------------------------------------- */

/* The rank that an operator asks of its operand at least. */
static int64_t least_rank(const ir_node *user) {
    if (user->op != OP_Split && user->op != OP_Concat) return 0;
    int64_t axis = ir_attr_int(user, "axis", 0);
    return axis < 0 ? -axis : axis + 1;
}

static int64_t demanded_rank(const ir_value *v) {
    int64_t most = 0;
    ir_for_each_use (u, v)
        most = least_rank(u->user) > most ? least_rank(u->user) : most;
    return most;
}

static bool settle_squeeze(pass_ctx *ctx, ir_node *n) {
    const ir_type *t = ir_in(n, 0)->type;
    if (ir_in(n, 1) || !ir_type_is_ranked(t) || ir_type_is_ranked(n->out[0].type)) return false;
    int64_t axes[IR_MAX_RANK];
    uint32_t count = 0;
    for (int32_t i = 0; i < t->rank; i++)
        if (ir_dim_is(t->dims[i], 1)) axes[count++] = i;
    if (demanded_rank(&n->out[0]) != (int64_t)t->rank - count || !ctx_take(ctx, "squeezes"))
        return false;
    ir_builder b = ir_build_before(n);
    ir_value *list = build_i64s(&b, axes, count);
    if (n->n_in > 1)
        ir_node_set_operand(n, 1, list);
    else
        ir_node_add_operand(ctx->m, n, list);
    return true;
}

/* ---- If ------------------------------------------------------------------------------------------------------------- */

/* All that reads the value broadcasts it to an operand of this rank at least. */
static bool is_broadcast(const ir_value *v, int32_t rank) {
    ir_for_each_use (u, v) {
        bool wide = false;
        if (!op_is(u->user->op, OP_SCALAR)) return false;
        for (uint32_t i = 0; i < u->user->n_in; i++) {
            const ir_value *other = ir_in(u->user, i);
            wide = wide || (other && ir_type_is_ranked(other->type) && other->type->rank >= rank);
        }
        if (!wide) return false;
    }
    return v->uses;
}

static void add_leading_ones(ir_region *r, uint32_t result, int32_t count) {
    int64_t axes[IR_MAX_RANK];
    for (int32_t i = 0; i < count; i++)
        axes[i] = i;
    ir_builder b = ir_build_at_end(r, r->yield->loc);
    ir_value *v = build_op2(&b, OP_Unsqueeze, ir_region_result(r, result),
                            build_i64s(&b, axes, (uint32_t)count));
    ir_node_set_operand(r->yield, result, v);
}

static bool settle_branches(pass_ctx *ctx, ir_node *n, uint32_t result) {
    int32_t rank[2], most;
    if (!ir_type_is_tensor(n->out[result].type) || ir_type_is_ranked(n->out[result].type))
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const ir_type *t = ir_region_result(n->regions[i], result)->type;
        if (!ir_type_is_ranked(t)) return false;
        rank[i] = t->rank;
    }
    most = rank[0] > rank[1] ? rank[0] : rank[1];
    if (rank[0] == rank[1] || !is_broadcast(&n->out[result], most) || !ctx_take(ctx, "branches"))
        return false;
    uint32_t lower = rank[0] < rank[1] ? 0 : 1;
    add_leading_ones(n->regions[lower], result, most - rank[lower]);
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    bool changed = n->op == OP_Squeeze && settle_squeeze(ctx, n);
    for (uint32_t i = 0; n->op == OP_If && n->n_regions == 2 && i < n->n_out; i++)
        changed |= settle_branches(ctx, n, i);
    return changed ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_settle_ranks(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
