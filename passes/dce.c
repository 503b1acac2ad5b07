/* dce: drop what nobody reads.
 *
 *   before:  %a = Add(%x, %y)                      after:  (nothing: %a has no users)
 *            %b, %c = Loop(%n, %t, %s, %u) {...}           %b = Loop(%n, %t, %s) {...}
 *                     // %c unused, and %u only feeds itself
 *
 * One backward walk: users go before what they use. Results of If, Loop, Scan and Recur that nobody reads are dropped together with
 * the state that only they need, and slices of a Recur that the body does not read; state is alive when its result is read after the
 * loop or the living part of the body reads it. States of a step function stay where an output depends on them, in this call or a
 * later one. Constants without users leave the module. Inputs of the graph stay: they are its interface. */
#include "ir/base/vec.h"
#include "passes/loop_like.h"

typedef struct dce {
    pass_ctx *ctx;
    bool changed;
    bool forced; /* a change that was allowed needs this removal */
} dce;

static void dce_region(dce *s, ir_region *r);

static bool is_used(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i].uses) return true;
    return false;
}

/* ONNX operators have no effect but their results, random ones included; ours say so. */
static bool is_removable(const ir_node *n) {
    if (op_is(n->op, OP_INTERNAL) && !op_is(n->op, OP_PURE | OP_REGIONS)) return false;
    for (uint32_t i = 0; i < n->n_regions; i++)
        ir_for_each_node (inner, n->regions[i])
            if (!is_removable(inner)) return false;
    return true;
}

/* ---- If ----------------------------------------------------------------------------------------------------- */

static uint32_t find_used(const ir_node *n, bool *keep) {
    uint32_t unused = 0;
    for (uint32_t i = 0; i < n->n_out; i++) {
        keep[i] = n->out[i].uses;
        unused += !keep[i];
    }
    return unused;
}

static void shrink_branch(dce *s, ir_region *r, const bool *keep) {
    uint32_t n = ir_region_n_results(r), left = 0;
    ir_value **results = TL_NEW_ARRAY(s->ctx->scratch, ir_value *, n);
    for (uint32_t i = 0; i < n; i++)
        if (keep[i]) results[left++] = ir_region_result(r, i);
    ir_region_set_results(r, results, left);
}

static ir_node *shrink_if(dce *s, ir_node *n) {
    bool *keep = TL_NEW_ARRAY(s->ctx->scratch, bool, n->n_out);
    if (!find_used(n, keep) || !ctx_take(s->ctx, "if_result")) return n;
    for (uint32_t i = 0; i < n->n_regions; i++)
        shrink_branch(s, n->regions[i], keep);
    s->changed = true;
    return node_rebuild(s->ctx, n, (ir_value *[]){n->in[0].value}, 1, keep);
}

/* ---- Loop, Scan, Recur -------------------------------------------------------------------------------------- */

typedef struct liveness {
    const loop_like *loop;
    tl_arena *arena;
    TL_VEC(const ir_value *) work;
    uint32_t mark; /* of values that are alive */
    bool *keep;
} liveness;

static void add_live(liveness *w, ir_value *v) {
    if (!v || v->mark == w->mark) return;
    v->mark = w->mark;
    tl_vec_push(w->arena, &w->work, v);
}

/* Everything the node reads, in its regions too. */
static void add_operands(liveness *w, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        add_live(w, n->in[i].value);
    for (uint32_t i = 0; i < n->n_regions; i++) {
        ir_for_each_node (inner, n->regions[i])
            add_operands(w, inner);
        add_operands(w, n->regions[i]->yield);
    }
}

static void add_carried(liveness *w, uint32_t i) {
    w->keep[i] = true;
    add_live(w, loop_update(w->loop, i));
}

/* State i of a graph whose tail reads it, too. */
static bool tail_reads(const ir_graph *g, uint32_t i) {
    const ir_graph *tail = ir_graph_tail(g);
    for (uint32_t k = 0; tail && k < tail->n_states; k++)
        if (!strcmp(ir_graph_state(tail, k)->name, ir_graph_state(g, i)->name)) return true;
    return false;
}

static void add_roots(liveness *w) {
    const loop_like *l = w->loop;
    for (uint32_t i = 0; !l->node && i < l->n_carried; i++)
        if (tail_reads(l->body->graph, i)) add_carried(w, i);
    for (uint32_t i = 0; i < l->first_result; i++) /* the condition; a graph's outputs */
        add_live(w, ir_region_result(l->body, i));
    for (uint32_t i = 0; l->node && i < l->n_carried; i++)
        if (l->node->out[i].uses) add_carried(w, i);
    for (uint32_t i = 0; i < l->n_stacked; i++)
        if (l->node->out[l->n_carried + i].uses) {
            w->keep[l->n_carried + i] = true;
            add_live(w, loop_stacked(l, i));
        }
    ir_for_each_node (n, l->body)
        if (!is_removable(n)) add_operands(w, n);
}

static void spread(liveness *w) {
    const loop_like *l = w->loop;
    while (w->work.len) {
        const ir_value *v = w->work.data[--w->work.len];
        if (v->region == l->body && v->index >= l->first_param &&
            v->index < l->first_param + l->n_carried)
            add_carried(w, v->index - l->first_param);
        if (v->def && ir_region_is_inside(v->def->parent, l->body)) add_operands(w, v->def);
    }
}

/* Which carried values and stacked outputs are alive; true where some are not. */
static bool find_dead(dce *s, const loop_like *l, bool *keep) {
    liveness w = {
        .loop = l, .arena = s->ctx->scratch, .keep = keep, .mark = ir_new_mark(s->ctx->c)};
    add_roots(&w);
    spread(&w);
    for (uint32_t i = 0; i < l->n_carried + l->n_stacked; i++)
        if (!keep[i]) return true;
    return false;
}

/* Dead results read nothing for now, so that what computes them has no users and goes. */
static void detach_dead(const loop_like *l, const bool *keep) {
    for (uint32_t i = 0; i < l->n_carried + l->n_stacked; i++)
        if (!keep[i]) ir_node_set_operand(l->body->yield, l->first_result + i, NULL);
}

/* ONNX wants a Scan to have at least one. */
static bool has_unread_slice(const loop_like *l) {
    for (uint32_t i = 0; l->node->op == OP_Recur && i < l->n_sliced; i++)
        if (!loop_slice(l, i)->uses) return true;
    return false;
}

static void shrink_loop(dce *s, ir_node *n) {
    loop_like l;
    if (!loop_like_get(n, &l)) return;
    bool *keep = TL_NEW_ARRAY(s->ctx->scratch, bool, n->n_out);
    bool shrinks = find_dead(s, &l, keep) || has_unread_slice(&l);
    if (!shrinks || !ctx_take(s->ctx, "loop_state")) return;
    detach_dead(&l, keep);
    bool forced = s->forced;
    s->forced = true;
    dce_region(s, l.body);
    s->forced = forced;
    s->changed = true;
    loop_like_shrink(s->ctx, &l, keep);
}

/* ---- states ------------------------------------------------------------------------------------------------- */

/* A graph with states is the body of a loop around all calls, of which nobody reads the last states. Beside other entry points it may
 * make states for them; a tail makes none. */
static void shrink_states(dce *s, ir_graph *g) {
    loop_like l = {.body = g->body,
                   .n_carried = g->n_states,
                   .first_param = ir_graph_n_inputs(g),
                   .first_result = ir_graph_n_outputs(g)};
    bool *keep = TL_NEW_ARRAY(s->ctx->scratch, bool, g->n_states);
    bool alone = g->tail ||
                 (s->ctx->m->graphs == g && (!g->next || (g->next->tail && !g->next->next)));
    if (!g->n_states || !alone || !find_dead(s, &l, keep) || !ctx_take(s->ctx, "state")) return;
    detach_dead(&l, keep);
    bool forced = s->forced;
    s->forced = true;
    dce_region(s, g->body);
    s->forced = forced;
    s->changed = true;
    for (uint32_t i = g->n_states; i-- > 0;)
        if (!keep[i]) ir_graph_remove_state(g, i);
}

/* ---- all nodes ---------------------------------------------------------------------------------------------- */

static void dce_node(dce *s, ir_node *n) {
    if (!is_used(n) && is_removable(n)) {
        if (!s->forced && !ctx_take(s->ctx, "removed")) return;
        ir_node_remove(n);
        s->changed = true;
        return;
    }
    if (n->op == OP_If) n = shrink_if(s, n);
    for (uint32_t i = 0; i < n->n_regions; i++)
        dce_region(s, n->regions[i]);
    shrink_loop(s, n);
}

static void dce_region(dce *s, ir_region *r) {
    for (ir_node *n = r->last, *prev; n; n = prev) {
        prev = n->prev;
        dce_node(s, n);
    }
}

pass_result pass_dce(pass_ctx *ctx, ir_graph *g) {
    dce s = {.ctx = ctx};
    shrink_states(&s, g);
    dce_region(&s, g->body);
    uint32_t swept = ir_module_sweep_consts(ctx->m);
    if (swept) ctx_count(ctx, "constants", swept);
    return s.changed ? PASS_CHANGED
                     : PASS_SAME; /* unused constants are not part of what the module says */
}
