/* Which states have a place, and where their next values go; see place.h.
 *
 * The question is asked backwards: can the state's next value lie at this view of the block? A value can, where it is
 *
 *   a part of the state that lies there already       Slice, Split, Reshape, Transpose of the parameter
 *   a view of a value that can lie there              the view is undone on the place
 *   Concat along the rows of a part that ends with the last row, and of anything    what is behind it is new
 *   Concat of values that can each lie in their part of it
 *   TensorScatter, ScatterElements, ScatterND into what lies there already, which nobody reads behind them
 *
 * Only Concats and these are told where to write; lowering one copies those operands that do not lie there already (codegen/lower/join.c). */
#include "codegen/place.h"

#include "codegen/program.h"

#include "ir/base/assert.h"
#include "ir/limits.h"
#include "runtime/abi.h"

typedef struct placing {
    cg *g;
    const ir_graph *graph;
    const ir_value *state;
    cg_place *place;
    const ir_dim *row; /* stride of the rows */
    tl_map
        found; /* ir_value * of a Concat, or of one that writes over -> cg_view *: where it writes */
} placing;

/* A part of the state as it is before the step. */
typedef struct old_part {
    const cg_view *view; /* NULL: it is none */
    int64_t first;       /* row, of those of the window */
} old_part;

bool cg_view_is_same(const cg_view *a, const cg_view *b) {
    if (a->buffer != b->buffer || a->rank != b->rank || !ir_dim_equal(a->offset, b->offset))
        return false;
    for (int32_t i = 0; i < a->rank; i++) {
        if (!ir_dim_equal(a->dims[i], b->dims[i])) return false;
        if (!ir_dim_is(a->dims[i], 1) && !ir_dim_equal(a->strides[i], b->strides[i])) return false;
    }
    return true;
}

/* ---- slices ------------------------------------------------------------------------------------------------------- */

typedef struct cut {
    int64_t start[IR_MAX_RANK]; /* along each axis */
} cut;

/* Constant starts, steps of 1, inside of sizes that are known where anything is cut off. */
static bool read_cut(const ir_node *n, cut *c) {
    const ir_type *t = n->in[0].value->type;
    int64_t starts[IR_MAX_RANK], axes[IR_MAX_RANK], steps[IR_MAX_RANK], size;
    int32_t count = ir_value_const_ints(ir_in(n, 1), starts, IR_MAX_RANK);
    *c = (cut){0};
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    if (count < 0 ||
        (ir_in(n, 3) && ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) != count) ||
        (ir_in(n, 4) && ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) != count))
        return false;
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = (int32_t)(axes[i] < 0 ? axes[i] + t->rank : axes[i]);
        if (steps[i] != 1 || axis < 0 || axis >= t->rank) return false;
        if (starts[i] == 0) continue;
        if (!ir_dim_is_const(t->dims[axis], &size)) return false;
        if (starts[i] < 0) starts[i] += size;
        if (starts[i] < 0 || starts[i] > size) return false;
        c->start[axis] = starts[i];
    }
    return true;
}

/* The same for result `out` of a Split. */
static bool read_split(const ir_node *n, uint32_t out, cut *c) {
    int64_t axis = ir_attr_int(n, "axis", 0), size;
    if (axis < 0) axis += n->in[0].value->type->rank;
    *c = (cut){0};
    for (uint32_t i = 0; i < out; i++) {
        if (!ir_dim_is_const(n->out[i].type->dims[axis], &size)) return false;
        c->start[axis] += size;
    }
    return true;
}

static bool read_part(const ir_value *v, cut *c) {
    return v->def->op == OP_Slice ? read_cut(v->def, c) : read_split(v->def, v->index, c);
}

/* The view moved by `sign` times the starts, with the dimensions of t. */
static const cg_view *moved(placing *p, const cg_view *v, const cut *c, const ir_type *t,
                            int64_t sign) {
    cg *g = p->g;
    for (int32_t i = 0; i < v->rank; i++)
        v = cg_view_slice(g, v, i, cg_dc(g, sign * c->start[i]), cg_dc(g, 1), t->dims[i]);
    return v;
}

static bool is_along_rows(const placing *p, const cg_view *v, int32_t axis) {
    return ir_dim_equal(v->strides[axis], p->row);
}

/* ---- parts of the state as it was ----------------------------------------------------------------------------------- */

static bool is_in_graph(const placing *p, const ir_value *v) {
    return v->def && v->def->parent == p->graph->body && ir_type_is_known(v->type);
}

static old_part old_part_of(placing *p, const ir_value *v);

static old_part cut_out(placing *p, const ir_value *v) {
    old_part x = old_part_of(p, v->def->in[0].value);
    cut c;
    if (!x.view || !read_part(v, &c)) return (old_part){0};
    for (int32_t i = 0; i < x.view->rank; i++)
        if (is_along_rows(p, x.view, i)) x.first += c.start[i];
    x.view = moved(p, x.view, &c, v->type, 1);
    return x;
}

static const int64_t *perm_of(const ir_node *n, int64_t reverse[IR_MAX_RANK]) {
    uint32_t count;
    int32_t rank = n->in[0].value->type->rank;
    const int64_t *perm = ir_attr_ints(n, "perm", &count);
    for (int32_t i = 0; i < rank; i++)
        reverse[i] = rank - 1 - i;
    return perm ? perm : reverse;
}

static old_part old_part_of(placing *p, const ir_value *v) {
    int64_t reverse[IR_MAX_RANK];
    if (v == p->state) return (old_part){p->place->now, 0};
    if (!is_in_graph(p, v)) return (old_part){0};
    switch (v->def->op) {
    case OP_Slice:
    case OP_Split:
        return cut_out(p, v);
    case OP_Identity:
    case OP_Reshape:
    case OP_Squeeze:
    case OP_Unsqueeze:
    case OP_Flatten: {
        old_part x = old_part_of(p, v->def->in[0].value);
        if (x.view) x.view = cg_view_reshape(p->g, x.view, v->type->rank, v->type->dims);
        return x;
    }
    case OP_Transpose: {
        old_part x = old_part_of(p, v->def->in[0].value);
        if (x.view) x.view = cg_view_permute(p->g, x.view, perm_of(v->def, reverse));
        return x;
    }
    default:
        return (old_part){0};
    }
}

/* ---- can this value lie here? --------------------------------------------------------------------------------------- */

static bool can_lie(placing *p, ir_value *v, const cg_view *at);

/* The first operand is what the state was, up to its last row, and lies here: what follows is new. */
static bool can_append(placing *p, const ir_node *n, const cg_view *first, int32_t axis) {
    old_part old = old_part_of(p, n->in[0].value);
    if (!old.view || !is_along_rows(p, first, axis) || !cg_view_is_same(old.view, first))
        return false;
    const ir_dim *all = p->state->type->dims[p->place->axis];
    return ir_dim_equal(ir_dim_add(p->g->c, first->dims[axis], cg_dc(p->g, old.first)), all);
}

static bool can_join(placing *p, ir_node *n, const cg_view *at) {
    cg *g = p->g;
    int32_t axis = (int32_t)ir_attr_int(n, "axis", 0);
    const ir_dim *start = cg_dc(g, 0);
    if (axis < 0) axis += at->rank;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_dim *size = n->in[i].value->type->dims[axis];
        const cg_view *part = cg_view_slice(g, at, axis, start, cg_dc(g, 1), size);
        if (i == 0 && can_append(p, n, part, axis)) break;
        if (!can_lie(p, n->in[i].value, part)) return false;
        start = ir_dim_add(g->c, start, size);
    }
    tl_map_set_ptr(&p->found, n->out, at);
    return true;
}

/* Both in the same region. Walks from both at once: the answer is as far away as they are from each other, or from the end. */
static bool is_behind(const ir_node *n, const ir_node *of) {
    const ir_node *behind = of->next, *behind_n = n->next;
    for (; behind && behind != n; behind = behind->next) {
        if (!behind_n) return false;
        if (behind_n == of) return false;
        behind_n = behind_n->next;
    }
    return behind != NULL;
}

/* Results may be views of the operand. */
static bool makes_views(const ir_node *n) {
    return op_is(n->op, OP_VIEW) || n->op == OP_Gather || n->op == OP_Guard;
}

/* Not the data that n writes over. */
static bool is_other_operand(const ir_node *n, const ir_value *v) {
    for (uint32_t i = 1; i < n->n_in; i++)
        if (ir_in(n, i) == v) return true;
    return false;
}

/* All that read v, or a view of it, stand before n in the graph. */
static bool is_read_before(const placing *p, const ir_value *v, const ir_node *n) {
    for (const ir_use *u = v->uses; u; u = u->next) {
        const ir_node *user = u->user;
        if (user == n && !is_other_operand(n, v)) continue;
        if (user == n) return false;
        if (user->parent != p->graph->body || user == p->graph->body->yield || is_behind(user, n))
            return false;
        for (uint32_t i = 0; makes_views(user) && i < user->n_out; i++)
            if (!is_read_before(p, &user->out[i], n)) return false;
    }
    return true;
}

/* The elements that stay lie here; what writes over the others is not read as data itself. */
static bool can_write_over(placing *p, ir_node *n, const cg_view *at) {
    if (!p->place->written) return false;
    old_part old = old_part_of(p, n->in[0].value);
    if (!old.view || !cg_view_is_same(old.view, at) || !is_read_before(p, p->state, n))
        return false;
    for (uint32_t i = 1; i < n->n_in; i++)
        if (ir_in(n, i) && old_part_of(p, ir_in(n, i)).view) return false;
    tl_map_set_ptr(&p->found, n->out, at);
    return true;
}

/* Back over a Slice: what it cuts off in front lies before this place. */
static bool can_lie_uncut(placing *p, const ir_value *v, const cg_view *at) {
    ir_value *x = v->def->in[0].value;
    cut c;
    if (!ir_type_is_known(x->type) || !read_part(v, &c)) return false;
    for (int32_t i = 0; i < at->rank; i++)
        if (!is_along_rows(p, at, i) && !ir_dim_equal(x->type->dims[i], at->dims[i])) return false;
    return can_lie(p, x, moved(p, at, &c, x->type, -1));
}

static bool can_lie_reshaped(placing *p, const ir_value *v, const cg_view *at) {
    ir_value *x = v->def->in[0].value;
    if (!ir_type_is_known(x->type)) return false;
    at = cg_view_reshape(p->g, at, x->type->rank, x->type->dims);
    return at && can_lie(p, x, at);
}

static bool can_lie_permuted(placing *p, const ir_value *v, const cg_view *at) {
    int64_t reverse[IR_MAX_RANK], back[IR_MAX_RANK];
    const int64_t *perm = perm_of(v->def, reverse);
    for (int32_t i = 0; i < at->rank; i++)
        back[perm[i]] = i;
    return can_lie(p, v->def->in[0].value, cg_view_permute(p->g, at, back));
}

static bool can_lie(placing *p, ir_value *v, const cg_view *at) {
    old_part old = old_part_of(p, v);
    if (old.view) return cg_view_is_same(old.view, at);
    const cg_view *before = tl_map_get_ptr(&p->found, v);
    if (before) return cg_view_is_same(before, at);
    if (!is_in_graph(p, v)) return false;
    switch (v->def->op) {
    case OP_Concat:
        return can_join(p, v->def, at);
    case OP_Slice:
        return can_lie_uncut(p, v, at);
    case OP_Identity:
    case OP_Reshape:
    case OP_Squeeze:
    case OP_Unsqueeze:
    case OP_Flatten:
        return can_lie_reshaped(p, v, at);
    case OP_Transpose:
        return can_lie_permuted(p, v, at);
    case OP_TensorScatter:
    case OP_ScatterElements:
    case OP_ScatterND:
        return can_write_over(p, v->def, at);
    default:
        return false;
    }
}

/* ---- a state of a graph --------------------------------------------------------------------------------------------- */

/* The state's dimensions in its block. */
static cg_view *view_in_block(cg *g, cg_buffer *b, const ir_type *t, const cg_place *place) {
    cg_view *v = cg_view_dense(g, b, t);
    const ir_dim *stride = cg_dc(g, 1);
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        v->strides[i] = stride;
        stride = ir_dim_mul(g->c, stride, i == place->axis ? cg_dc(g, place->room) : t->dims[i]);
    }
    return v;
}

/* Fills in where the state and its next value lie; false where the next value cannot lie there. */
static bool try_place(placing *p, uint32_t i) {
    cg *g = p->g;
    cg_place *place = p->place;
    ir_value *next = ir_graph_next(p->graph, i);
    cg_buffer *b = TL_NEW(g->arena, cg_buffer);
    *b = (cg_buffer){.kind = CG_PLACE, .number = i};
    place->now = view_in_block(g, b, p->state->type, place);
    p->row = place->now->strides[place->axis];
    const cg_view *begin = view_in_block(g, b, next->type, place);
    place->next = cg_view_slice(g, begin, place->axis, cg_dc(g, place->advance), cg_dc(g, 1),
                                next->type->dims[place->axis]);
    return cg_state_is_kept(p->graph, i) || can_lie(p, next, place->next);
}

static placing start_placing(cg *g, const ir_graph *graph, uint32_t i, cg_place *place) {
    placing p = {.g = g, .graph = graph, .state = ir_graph_state(graph, i), .place = place};
    tl_map_init(&p.found, g->arena);
    return p;
}

/* How many rows the first Slice on the way from the next value to the state drops in front, whatever the axis; 0: none. */
static int64_t dropped_rows(const ir_graph *graph, const ir_value *v) {
    cut c;
    while (v->def && v->def->parent == graph->body && v->def->n_in && ir_in(v->def, 0)) {
        const ir_node *n = v->def;
        if (n->op != OP_Concat && !op_is(n->op, OP_VIEW)) return 0;
        if (n->op == OP_Slice && read_cut(n, &c))
            for (int32_t i = 0; i < n->in[0].value->type->rank; i++)
                if (c.start[i]) return c.start[i];
        v = n->in[0].value;
    }
    return 0;
}

/* Streams are whole pieces of a batch: what counts them stands in front of the rows. */
static bool is_open_in_front(const ir_type *t, int32_t axis) {
    for (int32_t i = axis + 1; i < t->rank; i++)
        if (!ir_dim_is_const(t->dims[i], NULL)) return false;
    return true;
}

static bool find_growing(cg *g, const ir_graph *graph, uint32_t i, cg_place *place) {
    int32_t axis = ir_graph_growing_axis(graph, i);
    if (axis < 0) return false;
    int64_t most = ir_dim_upper_bound(ir_graph_state(graph, i)->type->dims[axis]);
    *place = (cg_place){.used = true, .grows = true, .axis = axis, .rows = most, .room = most};
    placing p = start_placing(g, graph, i, place);
    return is_open_in_front(p.state->type, axis) && try_place(&p, i);
}

/* A window that drops as many rows as a step adds; not worth it where a step adds more than the window holds. */
static bool find_window(cg *g, const ir_graph *graph, uint32_t i, cg_place *place) {
    const ir_type *t = ir_graph_state(graph, i)->type;
    int64_t rows, step = dropped_rows(graph, ir_graph_next(graph, i));
    if (step <= 0 || t != ir_graph_next(graph, i)->type) return false;
    for (int32_t axis = 0; axis < t->rank; axis++) {
        if (!ir_dim_is_const(t->dims[axis], &rows) || rows < step || !is_open_in_front(t, axis))
            continue;
        *place = (cg_place){.used = true, .axis = axis, .rows = rows, .advance = step};
        place->room = 2 * rows + step;
        placing p = start_placing(g, graph, i, place);
        if (try_place(&p, i)) return true;
    }
    return false;
}

/* As large as it is, in one piece behind the axis that counts streams. */
static bool find_written(cg *g, const ir_graph *graph, uint32_t i, cg_place *place) {
    const ir_type *t = ir_graph_state(graph, i)->type;
    int32_t axis = 0;
    int64_t rows;
    while (axis < t->rank && !is_open_in_front(t, axis - 1))
        axis++;
    if (axis >= t->rank || t != ir_graph_next(graph, i)->type ||
        !ir_dim_is_const(t->dims[axis], &rows))
        return false;
    *place = (cg_place){.used = true, .written = true, .axis = axis, .rows = rows, .room = rows};
    placing p = start_placing(g, graph, i, place);
    return try_place(&p, i);
}

static bool find_place(cg *g, const ir_graph *graph, uint32_t i, cg_place *place) {
    const ir_type *t = ir_graph_state(graph, i)->type;
    if (!ir_type_is_known(t) || !ir_type_is_known(ir_graph_next(graph, i)->type)) return false;
    if (t->dtype == DT_str || cg_is_packed(t->dtype)) return false;
    return find_growing(g, graph, i, place) || find_window(g, graph, i, place) ||
           find_written(g, graph, i, place);
}

/* ---- the module ------------------------------------------------------------------------------------------------------ */

static int64_t state_index(const ir_graph *graph, const char *name) {
    for (uint32_t i = 0; i < graph->n_states; i++)
        if (ir_graph_state(graph, i)->name == name) return i;
    return -1;
}

/* Two states become the same value: only one of them can lie where it is written. */
static bool is_shared_next(const ir_graph *graph, uint32_t i) {
    for (uint32_t k = 0; k < graph->n_states; k++)
        if (k != i && ir_graph_next(graph, k) == ir_graph_next(graph, i)) return true;
    return false;
}

/* One place for the state in all graphs, each of which appends to it or only reads it; `step`: the most rows that one adds. */
static bool agree(cg *g, const ir_module *m, const char *name, cg_place *common) {
    int64_t step = 0;
    *common = (cg_place){.used = false};
    for (const ir_graph *h = m->graphs; h; h = h->next) {
        int64_t i = state_index(h, name);
        cg_place place;
        if (i < 0 || cg_state_is_kept(h, (uint32_t)i)) continue;
        if (is_shared_next(h, (uint32_t)i) || !find_place(g, h, (uint32_t)i, &place)) return false;
        if (common->used && (common->axis != place.axis || common->grows != place.grows ||
                             common->written != place.written))
            return false;
        *common = place;
        if (place.advance > step) step = place.advance;
    }
    if (!common->grows && !common->written) common->room = 2 * common->rows + step;
    return common->used;
}

/* The place as this graph uses it. */
static cg_place place_in(cg *g, const ir_graph *graph, uint32_t i, const cg_place *common) {
    cg_place place = *common;
    place.advance = 0;
    if (!cg_state_is_kept(graph, i) && !find_place(g, graph, i, &place)) TL_UNREACHABLE();
    place.room = common->room;
    return place;
}

cg_place **cg_places_decide(ir_module *m, tl_arena *a) {
    cg *g = TL_NEW(a, cg); /* for views; nothing is built */
    *g = (cg){.c = m->ctx, .arena = a, .m = m};
    uint32_t n = 0, k = 0;
    for (const ir_graph *h = m->graphs; h; h = h->next)
        n++;
    cg_place **places = TL_NEW_ARRAY(a, cg_place *, n);
    for (const ir_graph *h = m->graphs; h; h = h->next, k++) {
        places[k] = h->n_states ? TL_NEW_ARRAY(a, cg_place, h->n_states) : NULL;
        for (uint32_t i = 0; i < h->n_states; i++) {
            cg_place common;
            places[k][i] = (cg_place){.used = false};
            if (agree(g, m, ir_graph_state(h, i)->name, &common))
                places[k][i] = place_in(g, h, i, &common);
        }
    }
    return places;
}

/* ---- lowering -------------------------------------------------------------------------------------------------------- */

static void set_dests(placing *p) {
    ir_for_each_node (n, p->graph->body) {
        const cg_view *at = n->n_out ? tl_map_get_ptr(&p->found, n->out) : NULL;
        if (at) tl_map_set_ptr(&p->g->dests, n->out, at);
    }
}

void cg_places_bind(cg *g, const ir_graph *graph) {
    for (uint32_t i = 0; i < graph->n_states; i++) {
        if (!g->places[i].used) continue;
        placing p = start_placing(g, graph, i, &g->places[i]);
        bool placed = try_place(&p, i);
        TL_ASSERT(placed);
        cg_set_view(g, ir_graph_state(graph, i), g->places[i].now);
        set_dests(&p);
    }
}

/* ---- what is written over --------------------------------------------------------------------------------------------- */

struct cg_undo {
    ir_node *node;
    cg_undo_fn *run;
    void *data;
    struct cg_undo *next;
};

void cg_place_save(cg *g, ir_node *n, cg_undo_fn *run, void *data) {
    cg_undo *u = TL_NEW(g->arena, cg_undo);
    *u = (cg_undo){n, run, data, g->undo};
    run(g, n, data, false);
    g->undo = u;
}

static lp_value *has_failed(cg *g) {
    lp_builder *b = &g->b;
    lp_value *zero = lp_index(b, 0);
    lp_value *member = lp_ptr_add(b, g->frame, lp_index(b, (int64_t)offsetof(tlbc_frame, status)));
    lp_value *status = lp_load(b, lp_scalar(LP_PTR), member, zero);
    return lp_bin(b, LP_ne, lp_load(b, LP_I64, status, zero), zero);
}

void cg_places_end(cg *g) {
    if (!g->undo) return;
    cg_barrier(g); /* no thread finds anything wrong any more */
    lp_loop l = lp_if_begin(&g->b, has_failed(g), NULL, 0);
    cg_scope_begin(g);
    for (cg_undo *u = g->undo; u; u = u->next) {
        cg_barrier(g); /* all have seen it; indices that are wrong are reported once more */
        g->node = u->node;
        u->run(g, u->node, u->data, true);
    }
    cg_scope_end(g);
    lp_if_end(&g->b, &l, NULL);
}

void cg_places_drop_written(cg_place *const *places, const ir_module *m) {
    for (const ir_graph *h = m->graphs; h; h = h->next, places++)
        for (uint32_t i = 0; i < h->n_states; i++)
            if ((*places)[i].written) (*places)[i].used = false;
}
