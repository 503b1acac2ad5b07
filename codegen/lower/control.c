/* If and Loop: structured control flow of the program (rounds.h, recur.c).
 *
 *   %s, %ys = Loop(%n, _, %s0) { body(%i, %c, %s) { ... yield %c, %s1, %y } }
 *   ->  copy s0 -> S
 *       for %i = 0 to %n { kernels reading S, writing S (or S1 and copy), writing ys[%i] }  */
#include "codegen/dynamic.h"
#include "codegen/lower/rounds.h"
#include "codegen/steps.h"
#include "ir/limits.h"

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

/* while (i < trip && cond): the condition's new value is read by all threads at the end of each round. */
static bool conditional_rounds(loop_state *s, const char *symbol, lp_value *trip, ir_value *iter,
                               ir_value *cond_param, lp_value *cond) {
    cg *g = s->g;
    lp_builder *b = &g->b;
    cg_loop_begin(g, &s->loop);
    lp_loop l = lp_while_begin(b, (lp_value *[]){lp_index(b, 0), cond}, 2);
    lp_while_do(b, &l, lp_bin(b, LP_and, lp_bin(b, LP_lt, l.carried[0], trip), l.carried[1]));
    lp_value *counter = l.carried[0];
    cg_step_add(g, CG_STEP_LOOP, NULL, s->node);
    bool ok = rounds_body(s, symbol, counter, iter, cond_param);
    lp_value *next = ok ? cg_load_scalar(g, ir_region_result(s->body, 0)) : cond;
    cg_loop_end(g, &s->loop);
    cg_step_add(g, CG_STEP_END, NULL, NULL);
    if (ok) cg_scope_end(g);
    lp_while_end(b, &l, (lp_value *[]){lp_bin(b, LP_add, counter, lp_index(b, 1)), next});
    return ok;
}

bool lower_loop(cg *g, ir_node *n) {
    ir_region *body = n->regions[0];
    uint32_t n_carry = body->n_params - 2, n_stacked = ir_region_n_results(body) - 1 - n_carry;
    bool counted = is_counted(n);
    loop_state *s = rounds_create(g, n, n_carry, n_stacked, 1 + n_carry);
    const ir_dim *trip_dim;
    lp_value *trip = trip_count(g, n, &trip_dim);
    if (!rounds_stack_in_cells(s, counted && trip_dim)) return false;
    const ir_dim *symbol = rounds_counter(g, body->params[0], trip_dim);
    if (trip_dim) rounds_set_trip(g, symbol, trip_dim);
    for (uint32_t i = 0; i < n_carry; i++)
        if (!rounds_carry(s, i, ir_in(n, 2 + i), body->params[2 + i], ir_region_result(body, 1 + i),
                          ir_out(n, i)))
            return false;
    for (uint32_t i = 0; !s->stack_cells && i < n_stacked; i++)
        if (!rounds_stack(s, i, ir_out(n, n_carry + i), ir_region_result(body, 1 + n_carry + i), 0,
                          symbol, NULL))
            return false;
    const char *name = ir_dim_symbol_name(symbol);
    ir_value *cond_param = counted && !is_read(body->params[1]) ? NULL : body->params[1];
    bool ok;
    if (counted) {
        ok = rounds_counted(s, name, trip, body->params[0], cond_param);
        if (ok) rounds_adopt(s);
        return ok;
    }
    lp_value *cond = ir_in(n, 1) ? cg_load_scalar(g, ir_in(n, 1))
                                 : lp_const_i(&g->b, lp_scalar(DT_bool), 1);
    ok = conditional_rounds(s, name, trip, body->params[0], cond_param, cond);
    if (ok) rounds_adopt(s);
    return ok;
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
        if (!rounds_same_shape(v->type, n->out[i].type))
            return cg_unsupported(g, n, "branches give result %u different shapes", i);
        bool produced = v->def && v->def->parent == r && !rounds_is_view(v->def) &&
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
            open = !rounds_same_shape(ir_region_result(branches[b], i)->type, v->type);
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
    g->branches++;
    lp_loop branch = lp_if_begin(&g->b, cond, NULL, 0);
    if (!lower_branch(g, n, ir_node_find_region(n, "then_branch"), to, cells)) return false;
    lp_if_else(&g->b, &branch, NULL);
    if (!lower_branch(g, n, ir_node_find_region(n, "else_branch"), to, cells)) return false;
    lp_if_end(&g->b, &branch, NULL);
    g->branches--;
    for (uint32_t i = 0; cells && i < n->n_out; i++)
        if (cells[i] >= 0) cg_adopt(g, &n->out[i], (uint32_t)cells[i]);
    return true;
}
