/* Recur: slices are read and stacked outputs written where they lie.
 *
 *   %h, %ys = Recur<carries=1>(%n, %h0, %xs) { body(%i, %p, %x) { ... yield %h1, %y } }
 *   ->  copy h0 -> H
 *       for %i = 0 to %n { kernels reading H and xs[%i], writing H and ys[%i] }
 *
 * Rounds that carry nothing are shared out among the threads, each of which runs its share alone. */
#include "codegen/dynamic.h"
#include "codegen/lower/rounds.h"
#include "codegen/steps.h"

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
    cg_set_view(g, param, rounds_part(g, x, axis, at, r->taken));
}

/* Stacked outputs are written where they belong. */
static bool output_init(loop_state *s, uint32_t i, ir_value *out, const ir_value *element,
                        const recur_rounds *r) {
    const ir_dim *at = round_position(s->g, r->symbol, r->trip,
                                      int_at(s->node, "output_reverse", i));
    int32_t axis = axis_at(s->node, "output_axes", i, out->type->rank);
    return rounds_stack(s, i, out, element, axis, at, r->taken);
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
    cg_step_add(g, CG_STEP_LOOP, NULL, s->node);
    bool ok = rounds_body(s, ir_dim_symbol_name(r->symbol), first, iter, NULL);
    cg_loop_end(g, &s->loop);
    cg_step_add(g, CG_STEP_END, NULL, NULL);
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
    loop_state *s = rounds_create(g, n, n_carry, n_stacked, n_carry);
    recur_rounds r = {.trip = recur_trip(g, n), .span = ir_attr_int(n, "span", 1)};
    if (!r.trip && n->n_in > 1 + n_carry)
        return cg_unsupported(g, n, "slices where the trip count is data");
    if (!rounds_stack_in_cells(s, r.trip != NULL)) return false;
    for (uint32_t i = 0; s->stack_cells && i < n_stacked; i++)
        if (r.span > 1 || int_at(n, "output_axes", i) || int_at(n, "output_reverse", i))
            return cg_unsupported(g, n, "stacked output %u of shapes that depend on data", i);
    r.symbol = rounds_counter(g, body->params[0], r.trip);
    r.taken = rounds_taken(n);
    for (uint32_t i = 1 + n_carry; i < n->n_in; i++)
        slice_init(s, i - 1 - n_carry, ir_in(n, i), body->params[i], &r);
    for (uint32_t i = 0; i < n_carry; i++)
        if (!rounds_carry(s, i, ir_in(n, 1 + i), body->params[1 + i], ir_region_result(body, i),
                          ir_out(n, i)))
            return false;
    for (uint32_t i = 0; !s->stack_cells && i < n_stacked; i++)
        if (!output_init(s, i, ir_out(n, n_carry + i), ir_region_result(body, n_carry + i), &r))
            return false;
    if (r.trip) rounds_set_trip(g, r.symbol, r.trip);
    if (runs_alone(&r, n_carry) && cg_is_planned_region(g, body))
        return own_rounds(s, &r, body->params[0]);
    lp_value *rounds = r.trip ? cg_dim(g, r.trip) : cg_load_scalar(g, ir_in(n, 0));
    if (!rounds_counted(s, ir_dim_symbol_name(r.symbol), rounds, body->params[0], NULL))
        return false;
    rounds_adopt(s);
    return true;
}
