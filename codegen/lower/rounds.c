/* See rounds.h. */
#include "codegen/lower/rounds.h"

#include "codegen/dynamic.h"
#include "codegen/steps.h"
#include "ir/limits.h"

/* ---- carried values ------------------------------------------------------------------------------------------------ */

bool rounds_same_shape(const ir_type *a, const ir_type *b) {
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

bool rounds_carry(loop_state *s, uint32_t i, ir_value *init, ir_value *param, ir_value *next,
                  ir_value *out) {
    cg *g = s->g;
    carried *c = &s->carry[i];
    *c = (carried){.param = param, .next = next, .out = out, .cell = -1, .fresh = -1};
    if (cg_is_cell_value(param) || !rounds_same_shape(init->type, param->type) ||
        !rounds_same_shape(next->type, param->type))
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

bool rounds_is_view(const ir_node *n) {
    return op_is(n->op, OP_VIEW) || n->op == OP_Gather;
}

/* `end` is elementwise and reads v itself, element by element where it writes. */
static bool reads_in_step(const ir_use *u, const ir_value *v, const ir_node *end) {
    bool elementwise = op_is(end->op, OP_SCALAR) || end->op == OP_Fused;
    for (uint32_t i = 0; i < end->n_out; i++) /* else the nest may come by v more than once */
        elementwise &= rounds_same_shape(v->type, end->out[i].type);
    return u->user == end && elementwise;
}

/* Every read of v, also through views of it, is by a node before `end` (numbers in scratch), or in step with its writes. */
static bool reads_end_before(const ir_region *r, const ir_value *v, const ir_node *end, int depth) {
    if (depth > 16) return false;
    ir_for_each_use (u, v) {
        if (depth == 0 && reads_in_step(u, v, end)) continue;
        const ir_node *n = ancestor_in(r, u->user);
        if (!n || n->op == OP_Yield || n->scratch >= end->scratch) return false;
        for (uint32_t i = 0; rounds_is_view(u->user) && i < u->user->n_out; i++)
            if (!reads_end_before(r, &u->user->out[i], end, depth + 1)) return false;
    }
    return true;
}

/* A result of the body that a kernel can write where we want it: made by a node of the body itself, and not a view. */
static bool is_produced(const loop_state *s, const ir_value *v) {
    return v->def && v->def->parent == s->body && !rounds_is_view(v->def) &&
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
void rounds_adopt(loop_state *s) {
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
cg_view *rounds_part(cg *g, const cg_view *v, int32_t axis, const ir_dim *at, const ir_dim *taken) {
    const ir_dim *one = cg_dc(g, 1);
    cg_view *part = cg_view_slice(g, v, axis, at, one, taken ? taken : one);
    return taken ? part : cg_view_drop_axis(g, part, axis);
}

bool rounds_stack(loop_state *s, uint32_t i, ir_value *out, const ir_value *element, int32_t axis,
                  const ir_dim *at, const ir_dim *taken) {
    cg *g = s->g;
    if (!ir_type_is_known(element->type) || !ir_type_is_known(out->type))
        return cg_unsupported(g, s->node, "stacked output %u has no known shape", i);
    s->stacked[i] = cg_write(g, out);
    s->slices[i] = rounds_part(g, s->stacked[i], axis, at, taken);
    return true;
}

/* Outputs that are stacked over a number of rounds nobody knows before, or of items nobody knows the shape of, grow in a cell each. An
 * empty one begins with the dims that are known. */
bool rounds_stack_in_cells(loop_state *s, bool counted) {
    cg *g = s->g;
    bool known = counted;
    for (uint32_t i = 0; known && i < s->n_stacked; i++)
        known = cg_is_bounded_type(g, ir_region_result(s->body, s->first_stacked + i)->type);
    if (known || !s->n_stacked) return true;
    cg_cells_begin(g);
    s->stack_cells = TL_NEW_ARRAY(g->arena, int32_t, s->n_stacked);
    for (uint32_t i = 0; i < s->n_stacked; i++) {
        const ir_type *t = ir_out(s->node, s->n_carry + i)->type;
        if (!ir_type_is_ranked(t)) return cg_unsupported(g, s->node, "stacked output %u", i);
        s->stack_cells[i] = (int32_t)cg_cell_create(
            g, &(cg_cell){.dtype = cg_is_packed(t->dtype) ? DT_u8 : (uint32_t)t->dtype,
                          .rank = (uint32_t)t->rank,
                          .input = -1});
        const ir_dim *dims[IR_MAX_RANK] = {cg_dc(g, 0)}; /* no round yet */
        for (int32_t k = 1; k < t->rank; k++)
            dims[k] = t->dims[k];
        cg_cell_clear(g, (uint32_t)s->stack_cells[i],
                      ir_type_tensor(g->c, t->dtype, t->rank, dims));
    }
    return true;
}

loop_state *rounds_create(cg *g, ir_node *n, uint32_t n_carry, uint32_t n_stacked,
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
const ir_dim *rounds_counter(cg *g, ir_value *iter, const ir_dim *trip) {
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
bool rounds_body(loop_state *s, const char *symbol, lp_value *counter, ir_value *iter,
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

void rounds_set_trip(cg *g, const ir_dim *symbol, const ir_dim *trip) {
    tl_map_set_ptr(&g->trips, symbol, trip);
}

bool rounds_counted(loop_state *s, const char *symbol, lp_value *trip, ir_value *iter,
                    ir_value *cond) {
    cg *g = s->g;
    cg_loop_begin(g, &s->loop);
    lp_loop l = lp_for_begin(&g->b, lp_index(&g->b, 0), trip, lp_index(&g->b, 1), NULL, 0);
    cg_step_add(g, CG_STEP_LOOP, NULL, s->node);
    bool ok = rounds_body(s, symbol, l.counter, iter, cond);
    cg_loop_end(g, &s->loop);
    cg_step_add(g, CG_STEP_END, NULL, NULL);
    if (ok) cg_scope_end(g);
    lp_for_end(&g->b, &l, NULL);
    return ok;
}
