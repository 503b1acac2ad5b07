/* If, Loop, Recur: structured control flow of the program. Carried values live in one buffer each, updated in place where the body has
 * read the old value before the new one is made, copied at the end of the round otherwise. Outputs that are stacked over the rounds are
 * written by the kernel that makes them straight into their slice.
 *
 *   %s, %ys = Loop(%n, _, %s0) { body(%i, %c, %s) { ... yield %c, %s1, %y } }
 *   ->  copy s0 -> S
 *       for %i = 0 to %n { kernels reading S, writing S (or S1 and copy), writing ys[%i] }  */
#include "codegen/program.h"

#include "codegen/dynamic.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

/* ---- carried values ------------------------------------------------------------------------------------------------ */

typedef struct carried {
    ir_value *param, *next, *out; /* in the body, its new value, the result behind the loop */
    const cg_view *home;
    int32_t cell,
        fresh; /* of a value whose shape or kind changes: this round's, the next one's; else -1 */
} carried;

typedef struct loop_state {
    cg *g;
    ir_node *node;
    ir_region *body;
    carried *carry;
    uint32_t n_carry;
    const cg_view **stacked; /* whole stacked outputs */
    const cg_view **slices;  /* this round's part */
    int32_t *
        stack_cells; /* instead of both: what grows from round to round, NULL = the number of rounds is known */
    uint32_t n_stacked, first_stacked; /* body result number of the first stacked one */
    cg_loop loop;
} loop_state;

static bool same_shape(const ir_type *a, const ir_type *b) {
    if (!ir_type_is_known(a) || !ir_type_is_known(b) || a->rank != b->rank || a->dtype != b->dtype)
        return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (!ir_dim_equal(a->dims[i], b->dims[i])) return false;
    return true;
}

/* A value of another shape or kind in every round: two cells in turn. */
static bool carry_in_cells(cg *g, carried *c, ir_value *init) {
    cg_cells_begin(g);
    cg_cell cell = {.dtype = DT_u8, .input = -1};
    c->cell = (int32_t)cg_cell_create(g, &cell);
    c->fresh = (int32_t)cg_cell_create(g, &cell);
    cg_make_bindable(g, init);
    cg_barrier(g);
    uint32_t from = cg_as_cell(g, init);
    bool tensor = !cg_is_cell_value(init) && !cg_is_cell_value(c->param);
    cg_alone_call(g, tensor ? "tlbc_rt_copy_cell" : "tlbc_rt_assign", c->cell,
                  lp_index(&g->b, from));
    cg_sync(g);
    return true;
}

static bool carry_init(loop_state *s, uint32_t i, ir_value *init, ir_value *param, ir_value *next,
                       ir_value *out) {
    cg *g = s->g;
    carried *c = &s->carry[i];
    *c = (carried){.param = param, .next = next, .out = out, .cell = -1, .fresh = -1};
    if (cg_is_cell_value(param) || !same_shape(init->type, param->type) ||
        !same_shape(next->type, param->type))
        return carry_in_cells(g, c, init);
    c->home = cg_write(g, out);
    cg_copy(g, cg_read(g, init), c->home);
    cg_set_view(g, param, c->home);
    return true;
}

/* The node of region r that n is, or is nested in. */
static const ir_node *ancestor_in(const ir_region *r, const ir_node *n) {
    while (n && n->parent != r)
        n = n->parent->owner;
    return n;
}

static bool is_view(const ir_node *n) {
    return op_is(n->op, OP_VIEW) || n->op == OP_Gather;
}

/* `end` is elementwise and reads v itself, element by element where it writes. */
static bool reads_in_step(const ir_use *u, const ir_value *v, const ir_node *end) {
    bool elementwise = op_is(end->op, OP_SCALAR) || end->op == OP_Fused;
    for (uint32_t i = 0; i < end->n_out; i++) /* else the nest may come by v more than once */
        elementwise &= same_shape(v->type, end->out[i].type);
    return u->user == end && elementwise;
}

/* Every read of v, also through views of it, is by a node before `end` (numbers in scratch), or in step with its writes. */
static bool reads_end_before(const ir_region *r, const ir_value *v, const ir_node *end, int depth) {
    if (depth > 16) return false;
    ir_for_each_use (u, v) {
        if (depth == 0 && reads_in_step(u, v, end)) continue;
        const ir_node *n = ancestor_in(r, u->user);
        if (!n || n->op == OP_Yield || n->scratch >= end->scratch) return false;
        for (uint32_t i = 0; is_view(u->user) && i < u->user->n_out; i++)
            if (!reads_end_before(r, &u->user->out[i], end, depth + 1)) return false;
    }
    return true;
}

/* A result of the body that a kernel can write where we want it: made by a node of the body itself, and not a view. */
static bool is_produced(const loop_state *s, const ir_value *v) {
    return v->def && v->def->parent == s->body && !is_view(v->def) &&
           !tl_map_get_ptr(&s->g->dests, v);
}

static void number_nodes(const ir_region *r) {
    uint64_t i = 0;
    ir_for_each_node (n, r)
        n->scratch = i++;
}

static void assign_destinations(loop_state *s) {
    number_nodes(s->body);
    for (uint32_t i = 0; i < s->n_carry; i++) {
        carried *c = &s->carry[i];
        if (!c->home) continue;
        if (is_produced(s, c->next) && reads_end_before(s->body, c->param, c->next->def, 0))
            cg_set_dest(s->g, c->next, c->home);
    }
    for (uint32_t i = 0; !s->stack_cells && i < s->n_stacked; i++) {
        ir_value *v = ir_region_result(s->body, s->first_stacked + i);
        if (is_produced(s, v)) cg_set_dest(s->g, v, s->slices[i]);
    }
}

static bool is_home(const loop_state *s, const cg_view *v) {
    for (uint32_t i = 0; i < s->n_carry; i++)
        if (s->carry[i].home && s->carry[i].home->buffer == v->buffer) return true;
    return false;
}

/* Whether the loop has values that live in cells, carried or stacked without knowing how many there will be. */
static bool uses_cells(const loop_state *s) {
    for (uint32_t i = 0; i < s->n_carry; i++)
        if (!s->carry[i].home) return true;
    return s->stack_cells != NULL;
}

/* This round's cells under the parameters' names. */
static void begin_cells(loop_state *s) {
    for (uint32_t i = 0; i < s->n_carry; i++)
        if (!s->carry[i].home) cg_adopt(s->g, s->carry[i].param, (uint32_t)s->carry[i].cell);
}

static void append_stacked(loop_state *s, uint32_t i) {
    ir_value *v = ir_region_result(s->body, s->first_stacked + i);
    uint32_t item = cg_as_cell(s->g, v);
    cg_alone_call(s->g, "tlbc_rt_append", s->stack_cells[i], lp_index(&s->g->b, item));
}

/* All new values first, into the other cells, for one may be what another was. */
static void finish_cells(loop_state *s) {
    cg *g = s->g;
    if (!uses_cells(s)) return;
    for (uint32_t i = 0; i < s->n_carry; i++)
        if (!s->carry[i].home) cg_make_bindable(g, s->carry[i].next);
    for (uint32_t i = 0; s->stack_cells && i < s->n_stacked; i++)
        cg_make_bindable(g, ir_region_result(s->body, s->first_stacked + i));
    cg_barrier(g);
    for (uint32_t i = 0; i < s->n_carry; i++) {
        const carried *c = &s->carry[i];
        if (c->home) continue;
        bool tensor = !cg_is_cell_value(c->next) && !cg_is_cell_value(c->param);
        cg_alone_call(g, tensor ? "tlbc_rt_copy_cell" : "tlbc_rt_assign", c->fresh,
                      lp_index(&g->b, cg_as_cell(g, c->next)));
    }
    for (uint32_t i = 0; s->stack_cells && i < s->n_stacked; i++)
        append_stacked(s, i);
    for (uint32_t i = 0; i < s->n_carry; i++)
        if (!s->carry[i].home)
            cg_alone_call(g, "tlbc_rt_exchange", s->carry[i].cell,
                          lp_index(&g->b, s->carry[i].fresh));
    cg_sync(g);
}

/* Behind the loop. */
static void adopt_results(loop_state *s) {
    for (uint32_t i = 0; i < s->n_carry; i++)
        if (!s->carry[i].home) cg_adopt(s->g, s->carry[i].out, (uint32_t)s->carry[i].cell);
    for (uint32_t i = 0; s->stack_cells && i < s->n_stacked; i++)
        cg_adopt(s->g, ir_out(s->node, s->n_carry + i), (uint32_t)s->stack_cells[i]);
}

/* The round's new values to their homes. A value read from another home is taken aside first: it may be overwritten. */
static void finish_round(loop_state *s) {
    cg *g = s->g;
    const cg_view **from = TL_NEW_ARRAY(g->arena, const cg_view *, s->n_carry + 1);
    for (uint32_t i = 0; !s->stack_cells && i < s->n_stacked; i++) {
        const cg_view *v = cg_read(g, ir_region_result(s->body, s->first_stacked + i));
        if (v != s->slices[i]) cg_copy(g, v, s->slices[i]);
    }
    for (uint32_t i = 0; i < s->n_carry; i++) {
        if (!s->carry[i].home) continue;
        from[i] = cg_read(g, s->carry[i].next);
        bool settled = from[i] == s->carry[i].home;
        if (!settled && is_home(s, from[i])) from[i] = cg_materialise(g, from[i]);
    }
    finish_cells(s);
    for (uint32_t i = 0; i < s->n_carry; i++)
        if (from[i] != s->carry[i].home) cg_copy(g, from[i], s->carry[i].home);
}

/* ---- stacked outputs -------------------------------------------------------------------------------------------------- */

/* Part of the view along an axis: `taken` elements from `at` on; NULL: that one, without the axis. */
static cg_view *part_of(cg *g, const cg_view *v, int32_t axis, const ir_dim *at,
                        const ir_dim *taken) {
    const ir_dim *one = cg_dc(g, 1);
    cg_view *part = cg_view_slice(g, v, axis, at, one, taken ? taken : one);
    return taken ? part : cg_view_drop_axis(g, part, axis);
}

static bool stacked_init(loop_state *s, uint32_t i, ir_value *out, const ir_value *element,
                         int32_t axis, const ir_dim *at, const ir_dim *taken) {
    cg *g = s->g;
    if (!ir_type_is_known(element->type) || !ir_type_is_known(out->type))
        return cg_unsupported(g, s->node, "stacked output %u has no known shape", i);
    s->stacked[i] = cg_write(g, out);
    s->slices[i] = part_of(g, s->stacked[i], axis, at, taken);
    return true;
}

static loop_state *loop_state_create(cg *g, ir_node *n, uint32_t n_carry, uint32_t n_stacked,
                                     uint32_t first_stacked) {
    loop_state *s = TL_NEW(g->arena, loop_state);
    *s = (loop_state){
        .g = g, .node = n, .body = n->regions[0], .n_carry = n_carry, .n_stacked = n_stacked};
    s->first_stacked = first_stacked;
    s->carry = TL_NEW_ARRAY(g->arena, carried, n_carry + 1);
    s->stacked = TL_NEW_ARRAY(g->arena, const cg_view *, n_stacked + 1);
    s->slices = TL_NEW_ARRAY(g->arena, const cg_view *, n_stacked + 1);
    return s;
}

static void set_known(cg *g, ir_value *v, const ir_dim *d) {
    const ir_dim **dims = TL_NEW_ARRAY(g->arena, const ir_dim *, 1);
    ir_known *k = TL_NEW(g->arena, ir_known);
    dims[0] = d;
    *k = (ir_known){1, dims};
    v->known = k;
}

static const ir_dim *fresh_counter(cg *g, const ir_dim *trip) {
    const char *name = tl_arena_printf(g->arena, "loop%u.i", ++g->n_loops);
    return ir_dim_counter(g->c, name, trip ? ir_dim_sub(g->c, trip, cg_dc(g, 1)) : NULL);
}

/* What inference calls the counter of this Loop: its parameter's known content. */
static const ir_dim *loop_counter(cg *g, ir_value *iter, const ir_dim *trip) {
    if (iter->known && iter->known->n == 1 && ir_dim_is_symbol(iter->known->dims[0]))
        return iter->known->dims[0];
    const ir_dim *symbol = fresh_counter(g, trip);
    set_known(g, iter, symbol);
    return symbol;
}

/* The counter and the condition also lie in memory for kernels that read them as data. */
static void store_param(cg *g, ir_value *v, lp_value *x) {
    if (v->mark != g->demanded) return;
    cg_buffer *b = cg_buffer_create(g, cg_dc(g, 8));
    const cg_view *view = cg_view_dense(g, b, v->type);
    cg_set_view(g, v, view);
    lp_value *zero = lp_index(&g->b, 0), *who = g->alone ? zero : g->tid;
    lp_loop one = lp_if_begin(&g->b, lp_bin(&g->b, LP_eq, who, zero), NULL, 0);
    lp_store(&g->b, cg_pointer(g, view), zero, x);
    lp_if_end(&g->b, &one, NULL);
    b->write = (cg_access){.epoch = g->epoch};
}

/* iter, cond: the body's counter and condition, which holds in every round; NULL = none */
static bool lower_rounds(loop_state *s, const char *symbol, lp_value *counter, ir_value *iter,
                         ir_value *cond) {
    cg *g = s->g;
    cg_scope_begin(g);
    cg_symbol_set(g, symbol, counter);
    if (iter) store_param(g, iter, counter);
    if (cond) store_param(g, cond, lp_const_i(&g->b, lp_scalar(DT_bool), 1));
    begin_cells(s);
    assign_destinations(s);
    if (!cg_lower_region(g, s->body)) return false;
    g->node = s->node;
    finish_round(s);
    return true;
}

static void add_trip(cg *g, const ir_dim *symbol, const ir_dim *trip) {
    tl_map_set_ptr(&g->trips, symbol, trip);
}

/* ---- Loop ---------------------------------------------------------------------------------------------------------------- */

static bool is_true(const ir_value *v) {
    int64_t x;
    return !v || (ir_value_const_i64(v, &x) && x);
}

/* The condition never ends the loop: true at the start, and passed on or true in every round. */
static bool is_counted(const ir_node *n) {
    const ir_region *body = n->regions[0];
    const ir_value *next = ir_region_result(body, 0);
    return is_true(ir_in(n, 1)) && (next == body->params[1] || is_true(next));
}

/* The body does more with v than to hand it on. */
static bool is_read(const ir_value *v) {
    ir_for_each_use (u, v)
        if (u->user->op != OP_Yield) return true;
    return false;
}

static lp_value *trip_count(cg *g, ir_node *n, const ir_dim **dim) {
    ir_value *m = ir_in(n, 0);
    *dim = NULL;
    if (!m) return lp_index(&g->b, INT64_MAX);
    if (ir_value_known_dims(g->c, m, dim, 1) == 1)
        return lp_bin(&g->b, LP_max, cg_dim(g, *dim), lp_index(&g->b, 0));
    return cg_load_scalar(g, m);
}

static bool counted_rounds(loop_state *s, const char *symbol, lp_value *trip, ir_value *iter,
                           ir_value *cond) {
    cg *g = s->g;
    cg_loop_begin(g, &s->loop);
    lp_loop l = lp_for_begin(&g->b, lp_index(&g->b, 0), trip, lp_index(&g->b, 1), NULL, 0);
    bool ok = lower_rounds(s, symbol, l.counter, iter, cond);
    cg_loop_end(g, &s->loop);
    if (ok) cg_scope_end(g);
    lp_for_end(&g->b, &l, NULL);
    return ok;
}

/* while (i < trip && cond): the condition's new value is read by all threads at the end of each round. */
static bool conditional_rounds(loop_state *s, const char *symbol, lp_value *trip, ir_value *iter,
                               ir_value *cond_param, lp_value *cond) {
    cg *g = s->g;
    lp_builder *b = &g->b;
    cg_loop_begin(g, &s->loop);
    lp_loop l = lp_while_begin(b, (lp_value *[]){lp_index(b, 0), cond}, 2);
    lp_while_do(b, &l, lp_bin(b, LP_and, lp_bin(b, LP_lt, l.carried[0], trip), l.carried[1]));
    lp_value *counter = l.carried[0];
    bool ok = lower_rounds(s, symbol, counter, iter, cond_param);
    lp_value *next = ok ? cg_load_scalar(g, ir_region_result(s->body, 0)) : cond;
    cg_loop_end(g, &s->loop);
    if (ok) cg_scope_end(g);
    lp_while_end(b, &l, (lp_value *[]){lp_bin(b, LP_add, counter, lp_index(b, 1)), next});
    return ok;
}

/* Outputs that are stacked over a number of rounds nobody knows before, or of items nobody knows the shape of, grow in a cell each. An
 * empty one begins with the dims that are known. */
static bool stack_in_cells(loop_state *s, bool counted) {
    cg *g = s->g;
    bool known = counted;
    for (uint32_t i = 0; known && i < s->n_stacked; i++)
        known = cg_is_bounded_type(g, ir_region_result(s->body, s->first_stacked + i)->type);
    if (known || !s->n_stacked) return true;
    cg_cells_begin(g);
    s->stack_cells = TL_NEW_ARRAY(g->arena, int32_t, s->n_stacked);
    for (uint32_t i = 0; i < s->n_stacked; i++) {
        const ir_type *t = ir_out(s->node, s->n_carry + i)->type;
        if (!ir_type_is_ranked(t) || t->dtype == DT_str || cg_is_packed(t->dtype))
            return cg_unsupported(g, s->node, "stacked output %u", i);
        s->stack_cells[i] = (int32_t)cg_cell_create(
            g, &(cg_cell){.dtype = (uint32_t)t->dtype, .rank = (uint32_t)t->rank, .input = -1});
        const ir_dim *dims[IR_MAX_RANK] = {cg_dc(g, 0)}; /* no round yet */
        for (int32_t k = 1; k < t->rank; k++)
            dims[k] = t->dims[k];
        cg_cell_clear(g, (uint32_t)s->stack_cells[i],
                      ir_type_tensor(g->c, t->dtype, t->rank, dims));
    }
    return true;
}

bool lower_loop(cg *g, ir_node *n) {
    ir_region *body = n->regions[0];
    uint32_t n_carry = body->n_params - 2, n_stacked = ir_region_n_results(body) - 1 - n_carry;
    bool counted = is_counted(n);
    loop_state *s = loop_state_create(g, n, n_carry, n_stacked, 1 + n_carry);
    const ir_dim *trip_dim;
    lp_value *trip = trip_count(g, n, &trip_dim);
    if (!stack_in_cells(s, counted && trip_dim)) return false;
    const ir_dim *symbol = loop_counter(g, body->params[0], trip_dim);
    if (trip_dim) add_trip(g, symbol, trip_dim);
    for (uint32_t i = 0; i < n_carry; i++)
        if (!carry_init(s, i, ir_in(n, 2 + i), body->params[2 + i], ir_region_result(body, 1 + i),
                        ir_out(n, i)))
            return false;
    for (uint32_t i = 0; !s->stack_cells && i < n_stacked; i++)
        if (!stacked_init(s, i, ir_out(n, n_carry + i), ir_region_result(body, 1 + n_carry + i), 0,
                          symbol, NULL))
            return false;
    const char *name = ir_dim_symbol_name(symbol);
    ir_value *cond_param = counted && !is_read(body->params[1]) ? NULL : body->params[1];
    bool ok;
    if (counted) {
        ok = counted_rounds(s, name, trip, body->params[0], cond_param);
        if (ok) adopt_results(s);
        return ok;
    }
    lp_value *cond = ir_in(n, 1) ? cg_load_scalar(g, ir_in(n, 1))
                                 : lp_const_i(&g->b, lp_scalar(DT_bool), 1);
    ok = conditional_rounds(s, name, trip, body->params[0], cond_param, cond);
    if (ok) adopt_results(s);
    return ok;
}

/* ---- Recur ----------------------------------------------------------------------------------------------------------------- */

static int64_t int_at(const ir_node *n, const char *attr, uint32_t i) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(n, attr, &count);
    return i < count ? v[i] : 0;
}

/* Position in a sequence of `trip` for this round: forward or reverse. */
static const ir_dim *round_position(cg *g, const ir_dim *symbol, const ir_dim *trip, bool reverse) {
    if (!reverse) return symbol;
    return ir_dim_sub(g->c, ir_dim_sub(g->c, trip, cg_dc(g, 1)), symbol);
}

static int32_t axis_at(const ir_node *n, const char *attr, uint32_t i, int32_t rank) {
    int64_t axis = int_at(n, attr, i);
    return (int32_t)(axis < 0 ? axis + rank : axis);
}

/* The number of rounds as an expression over sizes; NULL where it is data. */
static const ir_dim *recur_trip(cg *g, const ir_node *n) {
    const ir_dim *dim;
    if (ir_value_known_dims(g->c, ir_in(n, 0), &dim, 1) != 1 || ir_dim_is_unknown(dim)) return NULL;
    return ir_dim_max(g->c, dim, cg_dc(g, 0));
}

/* How the rounds of a Recur are cut. */
typedef struct recur_rounds {
    const ir_dim *trip, *symbol; /* number of rounds, NULL = data; number of this one */
    int64_t span;                /* rounds done at once */
    const ir_dim *
        taken; /* rounds in this turn: `span`, or a symbol for at most so many; NULL = one, slices lack the axis */
} recur_rounds;

/* Sliced inputs are read where they lie. */
static void slice_init(loop_state *s, uint32_t i, ir_value *v, ir_value *param,
                       const recur_rounds *r) {
    cg *g = s->g;
    const cg_view *x = cg_read(g, v);
    int32_t axis = axis_at(s->node, "input_axes", i, x->rank);
    cg_check_equal(g, x->dims[axis], r->trip);
    const ir_dim *at = round_position(g, r->symbol, r->trip, int_at(s->node, "input_reverse", i));
    cg_set_view(g, param, part_of(g, x, axis, at, r->taken));
}

/* Stacked outputs are written where they belong. */
static bool output_init(loop_state *s, uint32_t i, ir_value *out, const ir_value *element,
                        const recur_rounds *r) {
    const ir_dim *at = round_position(s->g, r->symbol, r->trip,
                                      int_at(s->node, "output_reverse", i));
    int32_t axis = axis_at(s->node, "output_axes", i, out->type->rank);
    return stacked_init(s, i, out, element, axis, at, r->taken);
}

/* The extent that inference gave the slices. */
static const ir_dim *rounds_taken(const ir_node *n) {
    if (!ir_attr_has(n, "span")) return NULL;
    const ir_type *t = n->regions[0]->params[1]->type;
    return t->dims[axis_at(n, "input_axes", 0, t->rank)];
}

/* Rounds that hand nothing on: every thread runs its share of them by itself, from its own memory, with no barrier in between. */
static bool own_rounds(loop_state *s, const recur_rounds *r, ir_value *iter) {
    cg *g = s->g;
    bool was_alone = g->alone;
    lp_value *share[2];
    cg_loop_begin(g, &s->loop);
    cg_thread_share(g, ir_dim_ceildiv(g->c, r->trip, cg_dc(g, r->span)), share);
    g->alone = true;
    lp_value *one = lp_index(&g->b, 1), *width = lp_index(&g->b, r->span),
             *trip = cg_dim(g, r->trip);
    lp_loop l = lp_for_begin(&g->b, share[0], share[1], one, NULL, 0);
    lp_value *first = lp_bin(&g->b, LP_mul, l.counter, width);
    cg_scope_begin(g);
    if (r->taken && ir_dim_is_symbol(r->taken)) {
        lp_value *left = lp_bin(&g->b, LP_sub, trip, first);
        cg_symbol_set(g, ir_dim_symbol_name(r->taken), lp_bin(&g->b, LP_min, left, width));
    }
    bool ok = lower_rounds(s, ir_dim_symbol_name(r->symbol), first, iter, NULL);
    cg_loop_end(g, &s->loop);
    if (ok) cg_scope_end(g), cg_scope_end(g);
    lp_for_end(&g->b, &l, NULL);
    g->alone = was_alone;
    cg_barrier(g);
    return ok;
}

/* Few rounds are better shared out operation by operation; what does several at once was cut for this. */
static bool runs_alone(const recur_rounds *r, uint32_t n_carry) {
    enum { FEW_ROUNDS = 4 };
    int64_t rounds;
    if (n_carry || !r->trip) return false;
    return r->taken || !ir_dim_is_const(r->trip, &rounds) || rounds >= FEW_ROUNDS;
}

bool lower_recur(cg *g, ir_node *n) {
    ir_region *body = n->regions[0];
    uint32_t n_carry = (uint32_t)ir_attr_int(n, "carries", 0), n_stacked = n->n_out - n_carry;
    loop_state *s = loop_state_create(g, n, n_carry, n_stacked, n_carry);
    recur_rounds r = {.trip = recur_trip(g, n), .span = ir_attr_int(n, "span", 1)};
    if (!r.trip && n->n_in > 1 + n_carry)
        return cg_unsupported(g, n, "slices where the trip count is data");
    if (!stack_in_cells(s, r.trip != NULL)) return false;
    for (uint32_t i = 0; s->stack_cells && i < n_stacked; i++)
        if (r.span > 1 || int_at(n, "output_axes", i) || int_at(n, "output_reverse", i))
            return cg_unsupported(g, n, "stacked output %u of shapes that depend on data", i);
    r.symbol = loop_counter(g, body->params[0], r.trip);
    r.taken = rounds_taken(n);
    for (uint32_t i = 1 + n_carry; i < n->n_in; i++)
        slice_init(s, i - 1 - n_carry, ir_in(n, i), body->params[i], &r);
    for (uint32_t i = 0; i < n_carry; i++)
        if (!carry_init(s, i, ir_in(n, 1 + i), body->params[1 + i], ir_region_result(body, i),
                        ir_out(n, i)))
            return false;
    for (uint32_t i = 0; !s->stack_cells && i < n_stacked; i++)
        if (!output_init(s, i, ir_out(n, n_carry + i), ir_region_result(body, n_carry + i), &r))
            return false;
    if (r.trip) add_trip(g, r.symbol, r.trip);
    if (runs_alone(&r, n_carry) && cg_is_planned_region(g, body))
        return own_rounds(s, &r, body->params[0]);
    lp_value *rounds = r.trip ? cg_dim(g, r.trip) : cg_load_scalar(g, ir_in(n, 0));
    if (!counted_rounds(s, ir_dim_symbol_name(r.symbol), rounds, body->params[0], NULL))
        return false;
    adopt_results(s);
    return true;
}

/* ---- If -------------------------------------------------------------------------------------------------------------------- */

/* Results whose shape or kind only the run tells go to a cell each: what a branch gives is copied there. */
static void give_cells(cg *g, ir_node *n, ir_region *r, const int32_t *cells) {
    for (uint32_t i = 0; i < n->n_out; i++)
        if (cells[i] >= 0) cg_make_bindable(g, ir_region_result(r, i));
    cg_barrier(g);
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (cells[i] < 0) continue;
        uint32_t from = cg_as_cell(g, ir_region_result(r, i));
        cg_alone_call(g, "tlbc_rt_assign", cells[i], lp_index(&g->b, from));
    }
    cg_sync(g);
}

static bool lower_branch(cg *g, ir_node *n, ir_region *r, const cg_view *const *to,
                         const int32_t *cells) {
    cg_scope_begin(g);
    for (uint32_t i = 0; i < n->n_out; i++) {
        ir_value *v = ir_region_result(r, i);
        if (!to[i]) continue;
        if (!same_shape(v->type, n->out[i].type))
            return cg_unsupported(g, n, "branches give result %u different shapes", i);
        bool produced = v->def && v->def->parent == r && !is_view(v->def) &&
                        !tl_map_get_ptr(&g->dests, v);
        if (produced) cg_set_dest(g, v, to[i]);
    }
    if (!cg_lower_region(g, r)) return false;
    g->node = n;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!to[i]) continue;
        const cg_view *v = cg_read(g, ir_region_result(r, i));
        if (v != to[i]) cg_copy(g, v, to[i]);
    }
    if (cells)
        give_cells(g, n, r, cells);
    else
        cg_barrier(g);
    cg_scope_end(g);
    return true;
}

/* A cell for each result that both branches do not give the same shape; NULL where there is none. */
static int32_t *branch_cells(cg *g, ir_node *n) {
    int32_t *cells = NULL;
    ir_region *branches[2] = {ir_node_find_region(n, "then_branch"),
                              ir_node_find_region(n, "else_branch")};
    for (uint32_t i = 0; i < n->n_out; i++) {
        ir_value *v = &n->out[i];
        bool open = cg_is_cell_value(v);
        for (uint32_t b = 0; b < 2 && !open; b++)
            open = !same_shape(ir_region_result(branches[b], i)->type, v->type);
        if (!open) continue;
        if (!cells) {
            cells = TL_NEW_ARRAY(g->arena, int32_t, n->n_out);
            memset(cells, -1, n->n_out * sizeof *cells);
        }
        cells[i] = (int32_t)cg_value_cell(g, v);
    }
    return cells;
}

bool lower_if(cg *g, ir_node *n) {
    lp_value *cond = cg_load_scalar(g, ir_in(n, 0));
    const cg_view **to = TL_NEW_ARRAY(g->arena, const cg_view *, n->n_out);
    int32_t *cells = branch_cells(g, n);
    for (uint32_t i = 0; i < n->n_out; i++)
        to[i] = cells && cells[i] >= 0 ? NULL : cg_write(g, &n->out[i]);
    cg_barrier(g);
    lp_loop branch = lp_if_begin(&g->b, cond, NULL, 0);
    if (!lower_branch(g, n, ir_node_find_region(n, "then_branch"), to, cells)) return false;
    lp_if_else(&g->b, &branch, NULL);
    if (!lower_branch(g, n, ir_node_find_region(n, "else_branch"), to, cells)) return false;
    lp_if_end(&g->b, &branch, NULL);
    for (uint32_t i = 0; cells && i < n->n_out; i++)
        if (cells[i] >= 0) cg_adopt(g, &n->out[i], (uint32_t)cells[i]);
    return true;
}
