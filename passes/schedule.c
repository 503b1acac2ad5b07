/* schedule: rounds that hand nothing on are done several at once, as many as the caches like.
 *
 *   before:  f32[400,10,256] %y = Recur(@400, %x) {                     // %x: f32[400,10,256]
 *              body(i64[] %i, f32[10,256] %xi) {
 *                f32[10,1024] %h = MatMul(%xi, @w)  ...  yield %yi }}
 *
 *   after:   f32[400,10,256] %y = Recur<span=10>(@400, %x) {
 *              body(i64[] %i, f32[10,10,256] %xi) {
 *                f32[10,10,1024] %h = MatMul(%xi, @w)  ...  yield %yi }}
 *
 * A product of ten rows reads its matrix once for ten rows; of a hundred rows, once for a hundred. All rounds at once would read it just
 * once, but what lies between two products would have left the caches when it is read again: a turn of about TURN_ROWS rows goes
 * through the whole body before the next one begins. Turns are also the units that threads share (codegen/lower/control.c), so there
 * should be some: at least MIN_TURNS. Linear. */
#include "ir/limits.h"
#include "passes/recur_widen.h"
#include "passes/util.h"

enum { TURN_ROWS = 96, MIN_TURNS = 4 };

/* ---- how many rounds --------------------------------------------------------------------------------------------------- */

/* Every symbol is 1: sizes that are not known make products larger, not smaller. */
static const ir_dim *one_for(void *data, const char *symbol) {
    (void)symbol;
    return ir_dim_const(data, 1);
}

/* Rows that a product with a constant matrix has in one round; 0 where n is none. */
static int64_t rows_of(ir_ctx *c, const ir_node *n) {
    const ir_value *x = ir_in(n, 0), *w = ir_in(n, 1);
    int64_t rows = 1, d;
    if (n->op != OP_MatMul || !ir_value_is_const(w) || w->type->rank != 2) return 0;
    if (!ir_type_is_ranked(x->type)) return 0;
    for (int32_t i = 0; i + 1 < x->type->rank; i++) {
        const ir_dim *least = ir_dim_substitute(c, x->type->dims[i], one_for, c);
        if (!ir_dim_is_const(least, &d)) return 0;
        rows *= d;
    }
    return rows;
}

static int64_t round_rows(ir_ctx *c, const ir_region *body) {
    int64_t most = 0;
    ir_for_each_node (n, body) {
        int64_t rows = rows_of(c, n);
        if (rows > most) most = rows;
    }
    return most;
}

static int64_t choose_span(ir_ctx *c, const loop_like *l) {
    const ir_dim *trip;
    int64_t rows = round_rows(c, l->body), rounds;
    if (rows < 1 || rows > TURN_ROWS / 2) return 1;
    int64_t span = TURN_ROWS / rows;
    if (ir_value_known_dims(c, ir_in(l->node, 0), &trip, 1) == 1 &&
        ir_dim_is_const(trip, &rounds) && span > rounds / MIN_TURNS)
        span = rounds / MIN_TURNS;
    return span;
}

/* ---- the wide node ----------------------------------------------------------------------------------------------------- */

/* The value with axis `from` moved to `to`. */
static ir_value *move_axis(ir_builder *b, ir_value *v, int32_t from, int32_t to) {
    int64_t perm[IR_MAX_RANK];
    int32_t rank = v->type->rank;
    if (from == to) return v;
    for (int32_t i = 0, k = 0; i < rank; i++) {
        if (k == from) k++;
        perm[i] = i == to ? from : k++;
    }
    return build_transpose(b, v, perm, (uint32_t)rank);
}

/* A node with the same operands and a body that yields nothing yet. */
static ir_node *start_wide(pass_ctx *ctx, const loop_like *l, int64_t span) {
    ir_node *n = l->node;
    ir_value **in = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = ir_in(n, i);
    ir_node *wide = ir_node_create(ctx->m, OP_Recur, in, n->n_in, 0);
    if (ir_attr_has(n, "input_axes")) ir_attr_set(ctx->m, wide, ir_attr_find(n, "input_axes"));
    ir_attr_set_int(ctx->m, wide, "span", span);
    wide->loc = n->loc;
    ir_region *body = ir_node_add_region(ctx->m, wide, "body");
    for (uint32_t i = 0; i < l->body->n_params; i++)
        ir_region_add_param(body, l->body->params[i]->type, l->body->params[i]->name);
    ir_node_insert_before(n, wide);
    return wide;
}

/* Numbers of the rounds: the first one's and those behind it. */
static ir_value *round_numbers(widening *w, ir_builder *b, ir_value *first) {
    ir_value *none = build_scalar(b, DT_i64, 0), *one = build_scalar(b, DT_i64, 1);
    ir_value *count = build_op3(b, OP_Range, none, build_dim_scalar(b, w->trips), one);
    return build_op2(b, OP_Add, first, count);
}

/* What stands for the parameters: the wide node's, with the axis of the rounds in front. */
static void bind_params(widening *w, ir_builder *b, const loop_like *l, const ir_node *wide) {
    const ir_region *body = wide->regions[0];
    if (l->body->params[0]->uses)
        widening_set(w, l->body->params[0], round_numbers(w, b, body->params[0]));
    for (uint32_t i = 1; i < body->n_params; i++) {
        ir_value *v = body->params[i];
        int32_t axis = normal_axis(recur_list_at(wide, "input_axes", i - 1), v->type->rank);
        widening_set(w, l->body->params[i], move_axis(b, v, axis, 0));
    }
}

static bool varies(const widening *w, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !widening_is_fixed(w, ir_in(n, i))) return true;
    return false;
}

/* Every node has a rule and differs from round to round (recur_invariant has moved the others out); NULL, or the first that does not. */
static const ir_node *find_obstacle(widening *w, const ir_region *body) {
    ir_for_each_node (n, body) {
        if (!varies(w, n) || !widening_has_rule(w, n)) return n;
        for (uint32_t i = 0; i < n->n_out; i++)
            widening_mark(w, &n->out[i]);
    }
    return NULL;
}

static ir_value *stacked_result(widening *w, ir_builder *b, ir_value *v) {
    const ir_dim *dims[IR_MAX_RANK] = {w->trips};
    if (!widening_is_fixed(w, v)) return widening_get(w, b, v);
    for (int32_t i = 0; i < v->type->rank; i++)
        dims[i + 1] = v->type->dims[i];
    return build_op2(b, OP_Expand, v, build_dims(b, dims, (uint32_t)v->type->rank + 1));
}

static bool fill_wide(widening *w, ir_builder *b, const loop_like *l, ir_node *wide) {
    ir_region *body = wide->regions[0];
    ir_for_each_node (n, l->body) {
        b->loc = n->loc;
        widening_apply(w, b, n);
    }
    for (uint32_t i = 0; i < l->n_stacked; i++) {
        ir_value *v = stacked_result(w, b, loop_stacked(l, i));
        int32_t axis = normal_axis(recur_list_at(l->node, "output_axes", i), v->type->rank);
        ir_region_add_result(body, move_axis(b, v, 0, axis));
    }
    ir_node_set_n_out(w->ctx->m, wide, l->n_stacked);
    const ir_attr *axes = ir_attr_find(l->node, "output_axes");
    if (axes) ir_attr_set(w->ctx->m, wide, axes);
    return ir_infer_node(w->ctx->c, wide);
}

/* ---- the pass ---------------------------------------------------------------------------------------------------------- */

static bool fits(const loop_like *l) {
    const ir_node *n = l->node;
    bool reverse = ir_attr_has(n, "input_reverse") || ir_attr_has(n, "output_reverse");
    if (l->n_carried || !l->n_sliced || reverse || ir_attr_has(n, "span")) return false;
    for (uint32_t i = 0; i < l->n_sliced; i++)
        if (!ir_type_is_ranked(loop_sliced(l, i)->type)) return false;
    return true;
}

/* The extent of the slices, once their types are inferred. */
static const ir_dim *rounds_at_once(const ir_node *wide) {
    const ir_type *t = wide->regions[0]->params[1]->type;
    return t->dims[normal_axis(recur_list_at(wide, "input_axes", 0), t->rank)];
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    widening w;
    if (n->op != OP_Recur || !loop_like_get(n, &l) || !fits(&l)) return PASS_SAME;
    int64_t span = choose_span(ctx->c, &l);
    if (span < 2 || !ctx_may(ctx, "spans")) return PASS_SAME;
    ir_node *wide = start_wide(ctx, &l, span);
    if (!ir_infer_node(ctx->c, wide)) return PASS_FAILED;
    ir_builder b = ir_build_at_end(wide->regions[0], n->loc);
    widening_init_part(&w, ctx, &l, rounds_at_once(wide));
    bind_params(&w, &b, &l, wide);
    const ir_node *obstacle = find_obstacle(&w, l.body);
    if (obstacle || !ctx_take(ctx, "spans")) {
        if (obstacle) ctx_remark(ctx, "%s has no rule", node_name(obstacle));
        ir_node_remove(wide);
        return PASS_SAME;
    }
    if (!fill_wide(&w, &b, &l, wide)) return PASS_FAILED;
    ctx_remark(ctx, "%s: %lld rounds at once", node_name(n), (long long)span);
    for (uint32_t i = 0; i < n->n_out; i++)
        pass_replace(ctx, &n->out[i], &wide->out[i]);
    ir_node_remove(n);
    return PASS_CHANGED;
}

pass_result pass_schedule(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
