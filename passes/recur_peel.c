/* recur_peel: chunks of which only the last may be shorter are done in two Recurs: all whole ones, and the one that is left.
 *
 *   before:  %h = Recur<carries=1>(%n, %h0) {                                     // n = ceil(time/4)
 *              body(%i, %p) {
 *                %chunk = Slice(%x, 4*i, min(4*i + 4, time), {1})     // f32[batch,S,16], S at most 4
 *                ... yield %h1}}
 *
 *   after:   %whole = Recur<carries=1>(time/4, %h0) {
 *              body(%i, %p) {
 *                %chunk = Slice(%x, 4*i, min(4*i + 4, time), {1})     // f32[batch,4,16]
 *                ... yield %h1}}
 *            %h = Recur<carries=1>(ceil(time/4) - time/4, %whole) {             // one round, or none
 *              body(%j, %p) {
 *                %i = Add(%j, time/4)   ... as before ...}}
 *
 * Sizes are known in the first one: its Slices become slices in recur_slices, what needs no carried value leaves it in recur_split.
 * Stacked outputs of the two are put one behind the other; sliced inputs, which models do not have next to such chunks, leave the loop
 * whole. The second Recur keeps its counter, so that nothing of it is computed where there is no rest. Cost: the body twice. */
#include "ir/limits.h"
#include "passes/ragged.h"
#include "passes/recur.h"
#include "passes/util.h"

typedef struct peeling {
    pass_ctx *ctx;
    loop_like l;
    const ir_dim *whole; /* rounds of the first Recur */
    const ir_dim *rest;  /* of the second */
} peeling;

/* ---- recognition -------------------------------------------------------------------------------------------- */

/* All sizes K in the first `whole` rounds; at most K behind them. */
static bool is_even_before(const peeling *p, const ragged_size *r) {
    ir_ctx *c = p->ctx->c;
    const ir_dim *counter = loop_counter(&p->l), *early = counter_to(c, counter, "whole", p->whole),
                 *late = counter_to(c, counter, "rest", p->rest);
    late = ir_dim_add(c, p->whole, late);
    return ir_dim_is(dim_replace(c, r->length, counter, early), r->most) &&
           ir_dim_upper_bound(dim_replace(c, r->length, counter, late)) <= r->most;
}

/* The size that a Slice of the body makes and that is ragged. */
static bool find_ragged(const peeling *p, const ir_node *n, ragged_size *r) {
    if (n->op != OP_Slice || !ir_type_is_ranked(n->out[0].type)) return false;
    const ir_type *t = n->out[0].type;
    for (int32_t i = 0; i < t->rank; i++)
        if (ir_dim_is_symbol(t->dims[i]) &&
            !dims_are_computable(p->l.body->graph, &t->dims[i], 1) &&
            ragged_size_get(p->ctx, &p->l, t->dims[i], r))
            return true;
    return false;
}

/* Sets how many rounds there are with whole chunks; false where there are no chunks, or chunks that do not agree. */
static bool find_rounds(peeling *p) {
    ir_ctx *c = p->ctx->c;
    const ir_dim *trips = recur_trips(c, p->l.node);
    ragged_size r;
    ir_for_each_node (n, p->l.body) {
        if (!find_ragged(p, n, &r) || r.most < 1) continue;
        const ir_dim *whole = ir_dim_floordiv(c, r.total, ir_dim_const(c, r.most));
        if (p->whole && !ir_dim_equal(p->whole, whole)) return false;
        p->whole = whole;
        p->rest = ir_dim_sub(c, trips, whole);
        if (!is_even_before(p, &r)) return false;
    }
    if (!p->whole || ir_dim_is(p->whole, 0)) return false;
    return dims_are_computable(p->l.body->graph, (const ir_dim *[]){p->whole, p->rest}, 2);
}

/* What a carried integer that grows with the counter is after the whole rounds; NULL where it is none. */
static const ir_dim *known_behind(const peeling *p, uint32_t i) {
    const ir_known *k = loop_param(&p->l, i)->known;
    return k && k->n == 1 ? dim_replace(p->ctx->c, k->dims[0], loop_counter(&p->l), p->whole)
                          : NULL;
}

static const char *why_not(const peeling *p) {
    const ir_graph *g = p->l.body->graph;
    if (p->l.n_sliced) return "it has sliced inputs";
    if (ir_attr_has(p->l.node, "span")) return "it does several rounds at once";
    for (uint32_t i = 0; i < p->l.n_carried; i++) {
        const ir_dim *d = known_behind(p, i);
        if (d && !dims_are_computable(g, &d, 1)) return "what it counts is data";
    }
    for (uint32_t i = 0; i < p->l.n_stacked; i++)
        if (!type_is_computable(g, loop_stacked(&p->l, i)->type))
            return "a stacked output has parts of different sizes";
    return NULL;
}

/* ---- types -------------------------------------------------------------------------------------------------- */

/* The type without sizes that only hold in the body as it was. */
static const ir_type *general_type(const peeling *p, const ir_type *t) {
    const ir_dim *dims[IR_MAX_RANK];
    if (!t || !ir_type_is_ranked(t)) return t && ir_type_is_tensor(t) ? t : NULL;
    for (int32_t i = 0; i < t->rank; i++) {
        bool kept = dims_are_computable(p->l.body->graph, &t->dims[i], 1);
        dims[i] = kept ? t->dims[i] : ir_dim_unknown(p->ctx->c);
    }
    return ir_type_tensor(p->ctx->c, t->dtype, t->rank, dims);
}

static void generalise(const peeling *p, ir_region *r) {
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_out; i++) {
            n->out[i].type = general_type(p, n->out[i].type);
            n->out[i].known = NULL;
        }
        for (uint32_t i = 0; i < n->n_regions; i++) {
            ir_region *inner = n->regions[i];
            for (uint32_t k = 0; k < inner->n_params; k++)
                inner->params[k]->type = general_type(p, inner->params[k]->type);
            generalise(p, inner);
        }
    }
}

/* ---- the two Recurs ----------------------------------------------------------------------------------------- */

/* A Recur with this number of rounds and these initial values, without a body and names. */
static ir_node *start_part(const peeling *p, ir_builder *b, const ir_dim *rounds,
                           ir_value *const *initial) {
    const loop_like *l = &p->l;
    ir_value **in = TL_NEW_ARRAY(p->ctx->scratch, ir_value *, 1 + l->n_carried);
    in[0] = build_dim_scalar(b, rounds);
    for (uint32_t i = 0; i < l->n_carried; i++)
        in[1 + i] = initial[i];
    ir_node *part = ir_node_create(p->ctx->m, OP_Recur, in, 1 + l->n_carried, l->node->n_out);
    part->loc = l->node->loc;
    for (uint32_t i = 0; i < l->node->n_attrs; i++)
        ir_attr_set(p->ctx->m, part, &l->node->attrs[i]);
    ir_node_insert_before(l->node, part);
    return part;
}

static void name_results(const peeling *p, ir_node *whole) {
    for (uint32_t i = 0; i < whole->n_out; i++) {
        const ir_value *old = &p->l.node->out[i];
        if (old->name) whole->out[i].name = ir_name_derive(p->ctx->m, old, "whole");
    }
}

/* A copy of the body, for rounds that are counted from `whole`. */
static void fill_rest(const peeling *p, ir_node *rest, ir_value *whole) {
    const loop_like *l = &p->l;
    ir_module *m = p->ctx->m;
    ir_region *body = ir_node_add_region(m, rest, "body");
    uint32_t n = ir_region_n_results(l->body);
    ir_value **args = TL_NEW_ARRAY(p->ctx->scratch, ir_value *, l->body->n_params),
             **results = TL_NEW_ARRAY(p->ctx->scratch, ir_value *, n);
    for (uint32_t i = 0; i < l->body->n_params; i++) {
        const ir_value *old = l->body->params[i];
        args[i] = ir_region_add_param(body, old->type,
                                      old->name ? ir_name_derive(m, old, "rest") : NULL);
    }
    ir_builder b = ir_build_at_end(body, rest->loc);
    args[0] = build_op2(&b, OP_Add, args[0], whole);
    ir_region_inline(m, l->body, args, body, NULL, "rest", results);
    ir_region_set_results(body, results, n);
    generalise(p, body);
}

/* Carried values behind the whole rounds; those that count are told by size, which inference can follow. */
static ir_value **initial_rest(const peeling *p, ir_builder *b, const ir_node *whole) {
    ir_value **initial = TL_NEW_ARRAY(p->ctx->scratch, ir_value *, p->l.n_carried + 1);
    for (uint32_t i = 0; i < p->l.n_carried; i++) {
        const ir_type *t = loop_param(&p->l, i)->type;
        const ir_dim *d = known_behind(p, i);
        initial[i] = &whole->out[i];
        if (!d) continue;
        ir_value *v = t->rank ? build_dims(b, &d, 1) : build_dim_scalar(b, d);
        initial[i] = build_cast(b, v, t->dtype);
    }
    return initial;
}

/* The results of the loop from those of its two parts. */
static void join_results(const peeling *p, ir_builder *b, ir_node *whole, ir_node *rest) {
    ir_node *n = p->l.node;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (i < p->l.n_carried) {
            pass_replace(p->ctx, &n->out[i], &rest->out[i]);
            continue;
        }
        uint32_t k = i - p->l.n_carried;
        bool reverse = recur_list_at(n, "output_reverse", k) != 0;
        ir_value *parts[] = {&whole->out[i], &rest->out[i]};
        ir_value *ordered[] = {parts[reverse], parts[!reverse]};
        ir_attr axis = {
            .name = "axis", .kind = ATTR_INT, .v.i = recur_list_at(n, "output_axes", k)};
        pass_replace(p->ctx, &n->out[i], build_node(b, OP_Concat, ordered, 2, 1, &axis, 1)->out);
    }
    ir_node_remove(n);
}

static bool peel(const peeling *p) {
    const loop_like *l = &p->l;
    ir_builder b = ir_build_before(l->node);
    ir_value **initial = TL_NEW_ARRAY(p->ctx->scratch, ir_value *, l->n_carried + 1);
    for (uint32_t i = 0; i < l->n_carried; i++)
        initial[i] = loop_initial(l, i);
    ir_node *whole = start_part(p, &b, p->whole, initial);
    name_results(p, whole);
    initial = initial_rest(p, &b, whole);
    ir_value *first = build_dim_scalar(&b, p->whole);
    ir_node *rest = start_part(p, &b, p->rest, initial);
    fill_rest(p, rest, first);
    move_regions(l->node, whole);
    generalise(p, whole->regions[0]);
    if (!ir_infer_node(p->ctx->c, whole) || !ir_infer_node(p->ctx->c, rest)) return false;
    join_results(p, &b, whole, rest);
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    peeling p = {.ctx = ctx};
    if (n->op != OP_Recur || !loop_like_get(n, &p.l) || !recur_trips(ctx->c, n) || !find_rounds(&p))
        return PASS_SAME;
    const char *reason = why_not(&p);
    if (reason) ctx_remark(ctx, "%s stays whole: %s", node_name(n), reason);
    if (reason || !ctx_take(ctx, "loops")) return PASS_SAME;
    return peel(&p) ? PASS_CHANGED : PASS_FAILED;
}

pass_result pass_recur_peel(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
