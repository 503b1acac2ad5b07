/* batch_streams: a step function for one stream becomes one for a batch of them (--batch-streams), so that tlbc_step_many multiplies the
 * rows of all streams with a weight at once.
 *
 *   before:  graph g(f32[1,4] %x, state f32[3] %h = @zero) => (f32[1,2] y, state f32[3] h) {
 *              %a = MatMul(%x, @w)
 *              ...
 *   after:   graph g(f32[streams,4] %x, state f32[streams,3] %h = @zero) => (f32[streams,2] y, state f32[streams,3] h) {
 *              %x1 = Reshape(%x, [streams, 1, 4])
 *              %a = MatMul(%x1, @w)                               // f32[streams,1,4], which is one product of all rows
 *              ...
 *
 * At the interface streams take the place of a first dimension that is 1, and else stand in front of all dimensions; it is the same in
 * memory. Inside, whatever depends on an input or a state gets an axis in front, by the rules of recur_widen.h, by which recur_split does
 * the rounds of a loop at once: each element is computed from the same operands in the same order, a stream gets the bits that it gets
 * alone. A Recur runs for all streams together; a value that it carries gets the axis where one of them may change it. What has no rule,
 * or another number of rounds for each stream, is done stream by stream in a Recur over the streams, which carries nothing.
 *
 * A model that has a batch and beside it a state that all its entries have in common, as a position, is one for one stream first: its
 * batch becomes 1. Left alone, with the reason as a remark: states that grow (each stream is as long as it is), states that have a batch already, and
 * values whose size only the run tells. Of several entry points all are changed or none. Linear, but for the rounds in which
 * it finds out what a Recur carries. */
#include "ir/base/assert.h"
#include "ir/base/vec.h"
#include "ir/limits.h"
#include "passes/recur_build.h"
#include "passes/recur_widen.h"
#include "passes/stream.h"
#include "passes/util.h"

typedef struct batcher {
    pass_ctx *ctx;
    ir_graph *g;
    widening w;
    uint32_t looped; /* nodes that are done stream by stream */
} batcher;

/* ---- what depends on the stream ---------------------------------------------------------------------------------- */

static bool reads_varying(const batcher *b, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!widening_is_fixed(&b->w, ir_in(n, i))) return true;
    for (uint32_t r = 0; r < n->n_regions; r++) {
        ir_for_each_node (inner, n->regions[r])
            if (reads_varying(b, inner)) return true;
        if (reads_varying(b, n->regions[r]->yield)) return true;
    }
    return false;
}

static bool mark_value(const batcher *b, ir_value *v, bool varies) {
    if (!varies || !widening_is_fixed(&b->w, v)) return false;
    v->mark = b->w.varies;
    return true;
}

static void mark_region(batcher *b, ir_region *r);

/* A round's values vary where what they start from does, or what a round makes of them. Where the number of rounds does, all do. */
static void mark_recur(batcher *b, const loop_like *l) {
    bool changed = true;
    if (!widening_is_fixed(&b->w, ir_in(l->node, 0))) return;
    for (uint32_t i = 0; i < l->n_sliced; i++)
        mark_value(b, loop_slice(l, i), !widening_is_fixed(&b->w, loop_sliced(l, i)));
    for (uint32_t i = 0; i < l->n_carried; i++)
        mark_value(b, loop_param(l, i), !widening_is_fixed(&b->w, loop_initial(l, i)));
    while (changed) {
        changed = false;
        mark_region(b, l->body);
        for (uint32_t i = 0; i < l->n_carried; i++)
            changed |= mark_value(b, loop_param(l, i),
                                  !widening_is_fixed(&b->w, loop_update(l, i)));
    }
}

/* Its results: those of carried values and of stacked ones that vary. */
static void mark_results_of_recur(batcher *b, const loop_like *l) {
    bool all = !widening_is_fixed(&b->w, ir_in(l->node, 0));
    for (uint32_t i = 0; i < l->n_carried; i++)
        mark_value(b, &l->node->out[i], all || !widening_is_fixed(&b->w, loop_param(l, i)));
    for (uint32_t i = 0; i < l->n_stacked; i++)
        mark_value(b, &l->node->out[l->n_carried + i],
                   all || !widening_is_fixed(&b->w, loop_stacked(l, i)));
}

static void mark_region(batcher *b, ir_region *r) {
    loop_like l;
    ir_for_each_node (n, r) {
        if (!reads_varying(b, n)) continue;
        n->mark = b->w.varies;
        if (n->op == OP_Recur && loop_like_get(n, &l)) {
            mark_recur(b, &l);
            mark_results_of_recur(b, &l);
            continue;
        }
        for (uint32_t i = 0; i < n->n_out; i++)
            mark_value(b, &n->out[i], true);
    }
}

static void mark_graph(batcher *b) {
    for (uint32_t i = 0; i < b->g->body->n_params; i++)
        widening_mark(&b->w, b->g->body->params[i]);
    mark_region(b, b->g->body);
}

/* ---- what can be done ----------------------------------------------------------------------------------------------- */

static bool is_wanted(const ir_value *v) {
    return v->uses != NULL;
}

static bool region_fits(batcher *b, const ir_region *r, const ir_node **culprit);

/* A Recur that runs for all streams together. */
static bool recur_fits(batcher *b, ir_node *n) {
    loop_like l;
    const ir_node *inside;
    if (n->op != OP_Recur || ir_attr_has(n, "span") || !loop_like_get(n, &l)) return false;
    if (!widening_is_fixed(&b->w, ir_in(n, 0)) || !loop_types_are_fixed(&l)) return false;
    for (uint32_t i = 0; i < l.body->n_params; i++)
        if (!widening_is_shaped(&b->w, l.body->params[i])) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!widening_is_shaped(&b->w, &n->out[i])) return false;
    return region_fits(b, l.body, &inside);
}

static void add_once(ir_value *v, ir_value **list, uint32_t *n) {
    for (uint32_t i = 0; i < *n; i++)
        if (list[i] == v) return;
    if (*n <= RECUR_DRAFT_SLICES) list[(*n)++] = v;
}

static bool is_made_inside(const ir_node *n, const ir_value *v) {
    for (uint32_t r = 0; v && r < n->n_regions; r++)
        if (!v->tensor && ir_region_is_inside(ir_value_region(v), n->regions[r])) return true;
    return false;
}

/* Values from outside of `n` that vary and that `reader`, it or a node in its regions, reads; each once. At most RECUR_DRAFT_SLICES + 1,
 * which are too many. */
static void list_varying(const batcher *b, const ir_node *n, const ir_node *reader, ir_value **list,
                         uint32_t *count) {
    for (uint32_t i = 0; i < reader->n_in; i++) {
        ir_value *v = ir_in(reader, i);
        if (!widening_is_fixed(&b->w, v) && !is_made_inside(n, v)) add_once(v, list, count);
    }
    for (uint32_t r = 0; r < reader->n_regions; r++) {
        ir_for_each_node (inner, reader->regions[r])
            list_varying(b, n, inner, list, count);
        list_varying(b, n, reader->regions[r]->yield, list, count);
    }
}

/* One that is done stream by stream: what it reads can be sliced, what it makes stacked. */
static bool loop_fits(batcher *b, const ir_node *n) {
    ir_value *in[RECUR_DRAFT_SLICES + 1];
    uint32_t n_in = 0, wanted = 0;
    list_varying(b, n, n, in, &n_in);
    for (uint32_t i = 0; i < n->n_out; i++) {
        wanted += is_wanted(&n->out[i]);
        if (is_wanted(&n->out[i]) && !widening_is_shaped(&b->w, &n->out[i])) return false;
    }
    for (uint32_t i = 0; i < n_in; i++)
        if (!widening_is_shaped(&b->w, in[i])) return false;
    return n_in <= RECUR_DRAFT_SLICES && wanted <= RECUR_DRAFT_SLICES;
}

static bool node_fits(batcher *b, ir_node *n) {
    return widening_has_rule(&b->w, n) || recur_fits(b, n) || loop_fits(b, n);
}

static bool region_fits(batcher *b, const ir_region *r, const ir_node **culprit) {
    ir_for_each_node (n, r)
        if (n->mark == b->w.varies && !node_fits(b, n)) {
            *culprit = n;
            return false;
        }
    return true;
}

/* ---- building: one node ------------------------------------------------------------------------------------------------ */

/* v is to get a type with the axis of streams: those who read it read a stand-in of its old type, for which v is the stacked value. */
static ir_value *stand_in(batcher *b, ir_builder *at, ir_value *v) {
    ir_node *n = ir_node_create(b->ctx->m, OP_Identity, NULL, 0, 1);
    if (at->before)
        ir_node_insert_before(at->before, n);
    else
        ir_node_append(at->region, n);
    n->out->type = v->type;
    n->out->known = v->known;
    n->mark = b->w.varies;
    ir_value_replace_uses(v, n->out);
    widening_set(&b->w, n->out, v);
    return n->out;
}

/* v is what its stand-in stands for: nobody asks for its old type any more. */
static void forget_type(ir_value *v) {
    v->type = NULL;
    v->known = NULL;
    v->mark = 0;
}

static const ir_type *stacked_type(const batcher *b, const ir_type *t) {
    const ir_dim *dims[IR_MAX_RANK];
    dims[0] = b->w.trips;
    for (int32_t i = 0; i < t->rank; i++)
        dims[1 + i] = t->dims[i];
    return ir_type_tensor(b->ctx->c, t->dtype, t->rank + 1, dims);
}

/* Within the regions of a copy, what is sliced. */
static void replace_inside(const ir_node *n, const ir_value *old, ir_value *v) {
    for (uint32_t r = 0; r < n->n_regions; r++) {
        ir_node *yield = n->regions[r]->yield;
        ir_for_each_node (inner, n->regions[r]) {
            for (uint32_t i = 0; i < inner->n_in; i++)
                if (ir_in(inner, i) == old) ir_node_set_operand(inner, i, v);
            replace_inside(inner, old, v);
        }
        for (uint32_t i = 0; i < yield->n_in; i++)
            if (ir_in(yield, i) == old) ir_node_set_operand(yield, i, v);
    }
}

static ir_node *copy_for_slices(batcher *b, recur_draft *d, ir_node *n, ir_value **from,
                                ir_value **to, uint32_t count) {
    ir_value **in = TL_NEW_ARRAY(b->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = ir_in(n, i);
        for (uint32_t k = 0; k < count; k++)
            if (in[i] == from[k]) in[i] = to[k];
    }
    ir_node *copy = ir_node_clone(b->ctx->m, n, in);
    copy->loc = n->loc;
    ir_node_append(d->b.region, copy);
    for (uint32_t k = 0; k < count; k++)
        replace_inside(copy, from[k], to[k]);
    bool inferred = ir_infer_node(b->ctx->c, copy);
    TL_ASSERT(inferred);
    return copy;
}

/* Recur over the streams: slices of what varies, stacked results. */
static void build_loop(batcher *b, ir_builder *at, ir_node *n) {
    ir_value *in[RECUR_DRAFT_SLICES + 1], *slice[RECUR_DRAFT_SLICES], *out[RECUR_DRAFT_SLICES];
    uint32_t n_in = 0, n_out = 0;
    list_varying(b, n, n, in, &n_in);
    recur_draft d = recur_begin(at, build_dim_scalar(at, b->w.trips));
    for (uint32_t i = 0; i < n_in; i++)
        slice[i] = recur_add_sliced(&d, widening_get(&b->w, at, in[i]), 0, false);
    ir_node *copy = copy_for_slices(b, &d, n, in, slice, n_in);
    for (uint32_t i = 0; i < n->n_out; i++)
        if (is_wanted(&n->out[i])) out[n_out++] = &copy->out[i];
    ir_node *recur = recur_end(&d, out, n_out, 0, false);
    n_out = 0;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (is_wanted(&n->out[i])) widening_set(&b->w, &n->out[i], &recur->out[n_out++]);
    b->looped++;
    ctx_remark(b->ctx, "%s (%s) is done stream by stream", node_name(n), op_get(n->op)->name);
}

static void build_region(batcher *b, ir_region *r);
static void drop_old(batcher *b, ir_region *r);

/* ---- building: a Recur for all streams ----------------------------------------------------------------------------------- */

/* Parameters that vary get their new types. */
static void widen_params(batcher *b, const loop_like *l) {
    ir_builder at = ir_build_at_start(l->body, l->node->loc);
    for (uint32_t i = l->first_param; i < l->body->n_params; i++) {
        ir_value *p = l->body->params[i];
        if (widening_is_fixed(&b->w, p)) continue;
        stand_in(b, &at, p);
        const ir_type *t = stacked_type(b, p->type);
        forget_type(p);
        p->type = t;
    }
}

/* Axes of slices and stacked values that vary move by the one in front. */
static void move_axes(batcher *b, const loop_like *l, const char *list, uint32_t n, bool outputs) {
    int64_t *axes = TL_NEW_ARRAY(b->ctx->scratch, int64_t, n);
    for (uint32_t i = 0; i < n; i++) {
        const ir_value *v = outputs ? loop_stacked(l, i) : loop_sliced(l, i);
        axes[i] = normal_axis(recur_list_at(l->node, list, i), v->type->rank + outputs) +
                  !widening_is_fixed(&b->w, v);
    }
    recur_set_list(b->ctx, l->node, list, axes, n);
}

static void widen_operands(batcher *b, ir_builder *at, const loop_like *l, const bool *carried) {
    move_axes(b, l, "input_axes", l->n_sliced, false);
    for (uint32_t i = 0; i < l->n_carried; i++)
        if (carried[i])
            ir_node_set_operand(l->node, l->first_in + i,
                                widening_get_all(&b->w, at, loop_initial(l, i)));
    for (uint32_t i = 0; i < l->n_sliced; i++)
        if (!widening_is_fixed(&b->w, loop_sliced(l, i)))
            ir_node_set_operand(l->node, l->first_in + l->n_carried + i,
                                widening_get(&b->w, at, loop_sliced(l, i)));
}

/* What a round hands on and collects; a carried value that varies is stretched where a round makes it anew for all. */
static void widen_yield(batcher *b, const loop_like *l, const bool *carried) {
    ir_builder at = ir_build_at_end(l->body, l->node->loc);
    for (uint32_t i = 0; i < l->n_carried + l->n_stacked; i++) {
        ir_value *v = ir_region_result(l->body, i);
        bool varies = !widening_is_fixed(&b->w, v);
        if (varies || (i < l->n_carried && carried[i]))
            ir_node_set_operand(l->body->yield, i, widening_get_all(&b->w, &at, v));
    }
}

static void build_recur(batcher *b, ir_builder *at, ir_node *n) {
    loop_like l;
    bool found = loop_like_get(n, &l);
    TL_ASSERT(found);
    bool *carried = TL_NEW_ARRAY(b->ctx->scratch, bool, l.n_carried);
    for (uint32_t i = 0; i < l.n_carried; i++)
        carried[i] = !widening_is_fixed(&b->w, loop_param(&l, i));
    widen_params(b, &l);
    build_region(b, l.body);
    move_axes(b, &l, "output_axes", l.n_stacked, true);
    widen_operands(b, at, &l, carried);
    widen_yield(b, &l, carried);
    drop_old(b, l.body);
    ir_builder behind = ir_build_after(n);
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (widening_is_fixed(&b->w, &n->out[i])) continue;
        stand_in(b, &behind, &n->out[i]);
        forget_type(&n->out[i]);
    }
    n->mark = 0; /* stays */
    bool inferred = ir_infer_node(b->ctx->c, n);
    TL_ASSERT(inferred);
}

/* ---- building: all ---------------------------------------------------------------------------------------------------------- */

static bool is_read(const ir_node *n) {
    bool read = false;
    for (uint32_t i = 0; i < n->n_out; i++)
        read |= is_wanted(&n->out[i]);
    return read;
}

static void widen_node(batcher *b, ir_node *n) {
    ir_builder at = ir_build_before(n);
    if (widening_has_rule(&b->w, n))
        widening_apply(&b->w, &at, n);
    else if (recur_fits(b, n))
        build_recur(b, &at, n);
    else if (is_read(n))
        build_loop(b, &at, n);
}

static bool is_stand_in(const ir_node *n) {
    return n->op == OP_Identity && n->n_in == 0;
}

static void build_region(batcher *b, ir_region *r) {
    ir_for_each_node (n, r)
        if (n->mark == b->w.varies && !is_stand_in(n)) widen_node(b, n);
}

/* What is done for all streams has names of its own; the old ones are free when it is gone. */
static void take_name(batcher *b, ir_value *old) {
    ir_value *v = tl_map_get_ptr(&b->w.values, old);
    if (!old->name || !v || !v->def || v->tensor) return;
    v->name = old->name;
    old->name = NULL;
}

static void drop_old(batcher *b, ir_region *r) {
    for (ir_node *n = r->last, *prev; n; n = prev) {
        prev = n->prev;
        if (n->mark != b->w.varies) continue;
        for (uint32_t i = 0; i < n->n_out && !is_stand_in(n); i++)
            take_name(b, &n->out[i]);
        ir_node_remove(n);
    }
}

/* ---- the interface -------------------------------------------------------------------------------------------------------------- */

/* Streams take the place of the first dimension. */
static bool leads(const ir_type *t) {
    return t->rank > 0 && ir_dim_is(t->dims[0], 1);
}

/* Of an input, output or state that is t for one stream. */
static const ir_type *outer_type(const batcher *b, const ir_type *t) {
    const ir_dim *dims[IR_MAX_RANK];
    if (!leads(t)) return stacked_type(b, t);
    memcpy(dims, t->dims, (size_t)t->rank * sizeof *dims);
    dims[0] = b->w.trips;
    return ir_type_tensor(b->ctx->c, t->dtype, t->rank, dims);
}

static void move_along(const batcher *b, const char *name, bool output, const ir_type *t) {
    for (uint32_t i = 0; i < b->g->n_along && !leads(t); i++)
        if (b->g->along[i].output == output && !strcmp(b->g->along[i].name, name))
            b->g->along[i].axis++;
}

static void widen_inputs(batcher *b) {
    ir_builder at = ir_build_at_start(b->g->body, NULL);
    for (uint32_t i = 0; i < b->g->body->n_params; i++) {
        ir_value *p = b->g->body->params[i];
        const ir_type *t = p->type;
        if (i < ir_graph_n_inputs(b->g)) move_along(b, p->name, false, t);
        ir_value *old = stand_in(b, &at, p);
        forget_type(p);
        p->type = outer_type(b, t);
        if (leads(t)) widening_set(&b->w, old, build_reshape_as(&at, p, stacked_type(b, t)));
    }
}

/* v with the dims of the interface; what has just been given the others is taken as it was. */
static ir_value *outer_value(batcher *b, ir_builder *at, ir_value *v) {
    const ir_type *t = outer_type(b, v->type);
    ir_value *stacked = widening_get_all(&b->w, at, v);
    const ir_node *def = stacked->def;
    if (!leads(v->type)) return stacked;
    if (def && def->op == OP_Reshape && ir_in(def, 0)->type == t) return ir_in(def, 0);
    return build_reshape_as(at, stacked, t);
}

static void widen_outputs(batcher *b) {
    ir_node *yield = b->g->body->yield;
    ir_builder at = ir_build_at_end(b->g->body, NULL);
    for (uint32_t i = 0; i < yield->n_in; i++) {
        ir_value *v = ir_in(yield, i);
        if (i < ir_graph_n_outputs(b->g)) move_along(b, b->g->outputs[i], true, v->type);
        ir_node_set_operand(yield, i, outer_value(b, &at, v));
    }
}

/* ---- whether -------------------------------------------------------------------------------------------------------------------- */

static bool refuse(batcher *b, const char *what, const char *why) {
    ctx_remark(b->ctx, "%s is left for one stream: %s%s", b->g->name, what, why);
    return false;
}

static bool states_fit(batcher *b) {
    for (uint32_t i = 0; i < b->g->n_states; i++) {
        const ir_value *s = ir_graph_state(b->g, i), *next = ir_graph_next(b->g, i);
        const char *name = tl_arena_printf(b->ctx->scratch, "state '%s' ", s->name);
        if (!ir_type_is_known(s->type) || s->type->dtype == DT_str)
            return refuse(b, name, "has no fixed size");
        if (ir_graph_state_limit(b->g, i)) return refuse(b, name, "is as long as its stream");
        for (int32_t d = 0; d < s->type->rank; d++)
            if (!ir_dim_is_const(s->type->dims[d], NULL))
                return refuse(b, name, "has a dimension that counts streams");
        if (!same_type(s, next)) return refuse(b, name, "changes its type");
    }
    return true;
}

static bool outside_fits(batcher *b) {
    const ir_node *yield = b->g->body->yield;
    for (uint32_t i = 0; i < b->g->body->n_params; i++)
        if (!widening_is_shaped(&b->w, b->g->body->params[i]))
            return refuse(b, b->g->body->params[i]->name, " is no tensor of known rank");
    for (uint32_t i = 0; i < yield->n_in; i++)
        if (!widening_is_shaped(&b->w, ir_in(yield, i)))
            return refuse(b, b->g->outputs[i], " has a size that only the run tells");
    return true;
}

static bool graph_fits(batcher *b) {
    const ir_node *culprit;
    if (!b->g->n_states) return refuse(b, "it", " has no states");
    if (!ir_graph_n_inputs(b->g)) return refuse(b, "it has no input", " that could tell how many");
    if (!states_fit(b) || !outside_fits(b)) return false;
    mark_graph(b);
    if (region_fits(b, b->g->body, &culprit)) return true;
    const char *name = tl_arena_printf(b->ctx->scratch, "%s (%s) ", node_name(culprit),
                                       op_get(culprit->op)->name);
    return refuse(b, name, "has no rule, and sizes that are not known before the run");
}

typedef struct name_search {
    const char *name;
    bool found;
} name_search;

static void compare_name(void *data, const char *symbol) {
    name_search *s = data;
    s->found |= strcmp(s->name, symbol) == 0;
}

/* "streams", or what no input uses. */
static const char *free_name(const pass_ctx *ctx) {
    name_search s = {.name = "streams", .found = true};
    while (s.found) {
        s.found = false;
        for (const ir_graph *g = ctx->m->graphs; g; g = g->next)
            for (uint32_t i = 0; i < g->body->n_params; i++) {
                const ir_type *t = g->body->params[i]->type;
                for (int32_t d = 0; ir_type_is_known(t) && d < t->rank; d++)
                    ir_dim_each_symbol(t->dims[d], compare_name, &s);
            }
        if (s.found) s.name = tl_arena_printf(ctx->scratch, "%s_", s.name);
    }
    return s.name;
}

static void batcher_init(batcher *b, pass_ctx *ctx, ir_graph *g) {
    *b = (batcher){.ctx = ctx, .g = g};
    widening_init_graph(&b->w, ctx, g, ir_dim_symbol(ctx->c, free_name(ctx)));
}

static void apply(batcher *b) {
    widen_inputs(b);
    build_region(b, b->g->body);
    widen_outputs(b);
    drop_old(b, b->g->body);
}

/* The symbol in the shape of a state. */
static const char *batch_symbol(const ir_graph *g) {
    for (uint32_t i = 0; i < g->n_states; i++) {
        const ir_type *t = ir_graph_state(g, i)->type;
        for (int32_t d = 0; ir_type_is_known(t) && d < t->rank; d++)
            if (ir_dim_is_symbol(t->dims[d])) return ir_dim_symbol_name(t->dims[d]);
    }
    return NULL;
}

static bool has_symbol(const ir_type *t, const char *symbol) {
    for (int32_t d = 0; ir_type_is_known(t) && d < t->rank; d++)
        if (ir_dim_is_symbol(t->dims[d]) && !strcmp(ir_dim_symbol_name(t->dims[d]), symbol))
            return true;
    return false;
}

/* A state, such as a position, is one for all streams of the model's own batch: its streams could not join at different times. As a model
 * for one stream it gets streams that have one each. */
static bool drop_own_batch(pass_ctx *ctx, ir_graph *g) {
    const char *symbol = batch_symbol(g);
    bool common = false;
    for (uint32_t i = 0; symbol && i < g->n_states; i++) {
        common |= !has_symbol(ir_graph_state(g, i)->type, symbol);
        if (ir_graph_state_limit(g, i)) return false;
    }
    if (!common || !ctx_take(ctx, "batch")) return false;
    for (ir_graph *h = g; h; h = h->next)
        graph_set_symbol(ctx, h, symbol, ir_dim_const(ctx->c, 1));
    ctx_remark(ctx, "%s: '%s' is 1: its streams have a state in common", g->name, symbol);
    return true;
}

/* All graphs of the module, when the first one's turn comes: they have their states in common. */
pass_result pass_batch_streams(pass_ctx *ctx, ir_graph *g) {
    batcher b;
    if (!ctx->options->batch_streams || g != ctx->m->graphs) return PASS_SAME;
    pass_result before = drop_own_batch(ctx, g) ? PASS_CHANGED : PASS_SAME;
    for (ir_graph *h = g; h; h = h->next) {
        batcher_init(&b, ctx, h);
        if (!graph_fits(&b)) return before;
    }
    if (!ctx_take(ctx, "graph")) return before;
    const char *name = free_name(ctx);
    for (ir_graph *h = g; h; h = h->next) {
        batcher_init(&b, ctx, h);
        b.w.trips = ir_dim_symbol(ctx->c, name);
        mark_graph(&b);
        apply(&b);
        ctx_remark(ctx, "%s takes a batch of streams; %u nodes are done stream by stream", h->name,
                   b.looped);
    }
    return PASS_CHANGED;
}
