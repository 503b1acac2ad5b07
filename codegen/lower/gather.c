/* Reading and writing by index: Gather, GatherElements, GatherND, ScatterElements, ScatterND, TensorScatter, ReverseSequence, OneHot. Indices are checked at run time;
 * one outside its axis fails the run with the node's name and is brought inside, so that nothing is ever read out of bounds.
 * Gather by a number known at compile time, by a loop's counter, or by constants that go evenly ([[0,1,2],[2,3,4]]: windows) is a view. */
#include "codegen/place.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

static int64_t normalised_axis(const ir_node *n, int64_t fallback, int32_t rank) {
    int64_t axis = ir_attr_int(n, "axis", fallback);
    return axis < 0 ? axis + rank : axis;
}

static lp_value *load_index(cg_nest *s, const cg_view *v, lp_value *const *index) {
    lp_builder *b = &s->k->b;
    lp_value *at = cg_offset(s->k, v, index, v->rank), *ptr = cg_kernel_in(s->k, v, false);
    return lp_cast(b, cg_load(b, v->dtype, 1, ptr, at, lp_index(b, 1)), DT_i64);
}

/* ---- Gather ---------------------------------------------------------------------------------------------------------- */

enum { MAX_COUNTED = 8 };

typedef struct gather {
    const cg_view *x, *indices;
    int32_t axis;
    int64_t failure;
    int32_t batch;
    int64_t tuple; /* length of the index tuples of GatherND, ScatterND */
} gather;

/* A state, or computed from states and constants alone: it counts where in a stream this step is. */
static bool is_counted(const ir_value *v, unsigned depth) {
    if (ir_value_is_const(v)) return true;
    if (!v->def)
        return v->region && v->region == v->region->graph->body &&
               v->index >= ir_graph_n_inputs(v->region->graph);
    if (v->def->op == OP_Dims) return true;
    bool counted = v->def->n_in && !v->def->n_regions && depth < MAX_COUNTED;
    for (uint32_t i = 0; counted && i < v->def->n_in; i++)
        counted = !v->def->in[i].value || is_counted(v->def->in[i].value, depth + 1);
    return counted;
}

static int64_t stream_failure(cg *g) {
    return cg_failure(g, "the stream is too long: position %%lld is outside the axis of %%lld");
}

static int64_t outside_failure(cg *g) {
    const ir_value *index = ir_in(g->node, 1);
    if (g->node->op == OP_Gather && !ir_value_is_const(index) && is_counted(index, 0))
        return stream_failure(g);
    return cg_failure(g, "input 1: index %%lld is outside the axis of %%lld");
}

/* An axis of no elements has no index that is inside: the run fails before anything is read. */
static void require_axes(cg_nest *s, gather *d, int32_t first, int32_t n) {
    d->failure = s->failure = outside_failure(s->g);
    s->required = cg_dims_product(s->g, d->x->dims + first, n);
}

static void gather_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const gather *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *i = load_index(s, d->indices, s->index + d->axis), *index[IR_MAX_RANK_NEST];
    i = cg_checked_index(s->k, i, cg_kernel_dim(s->k, d->x->dims[d->axis]), d->failure);
    for (int32_t a = 0; a < d->x->rank; a++) {
        if (a < d->axis)
            index[a] = s->index[a];
        else
            index[a] = a == d->axis ? i : s->index[a + d->indices->rank - 1];
    }
    lp_value *at = cg_offset(s->k, d->x, index, d->x->rank);
    lp_value *stride = cg_kernel_dim(s->k, d->x->strides[d->x->rank - 1]);
    out[0] = cg_load(b, d->x->dtype, lanes, cg_kernel_in(s->k, d->x, false), at, stride);
}

/* The position is proven to lie inside the axis: a constant below its extent, or the counter of a loop of that many rounds. */
static bool is_inside(cg *g, const ir_dim *at, const ir_dim *extent) {
    if (ir_dim_lower_bound(at) < 0) return false;
    const ir_dim *trip = tl_map_get_ptr(&g->trips, at);
    if (trip && ir_dim_equal(trip, extent)) return true;
    return ir_dim_lower_bound(ir_dim_sub(g->c, extent, at)) >= 1;
}

static bool gather_as_view(cg *g, ir_node *n, int32_t axis) {
    ir_value *indices = ir_in(n, 1);
    const ir_dim *at;
    if (indices->type->rank != 0 || ir_value_known_dims(g->c, indices, &at, 1) != 1) return false;
    const cg_view *x = cg_read(g, ir_in(n, 0));
    int64_t v;
    if (ir_dim_is_const(at, &v) && v < 0) at = ir_dim_add(g->c, x->dims[axis], at);
    if (!is_inside(g, at, x->dims[axis])) return false;
    cg_view *slice = cg_view_slice(g, x, axis, at, cg_dc(g, 1), cg_dc(g, 1));
    cg_set_view(g, &n->out[0], cg_view_drop_axis(g, slice, axis));
    return true;
}

typedef struct walk {
    int64_t start, steps[IR_MAX_RANK], least, most;
} walk;

/* The table's elements are start + sum of steps[i] * index i. */
static bool read_walk(const ir_tensor *t, walk *w) {
    int64_t size[IR_MAX_RANK], stride = 1;
    int32_t rank = t->type->rank;
    size_t n = ir_tensor_elements(t);
    if (t->opaque || !n) return false;
    *w = (walk){.start = ir_tensor_get_i64(t, 0)};
    w->least = w->most = w->start;
    for (int32_t i = rank; i-- > 0;) {
        ir_dim_is_const(t->type->dims[i], &size[i]);
        w->steps[i] = size[i] > 1 ? ir_tensor_get_i64(t, (size_t)stride) - w->start : 0;
        *(w->steps[i] < 0 ? &w->least : &w->most) += w->steps[i] * (size[i] - 1);
        stride *= size[i];
    }
    for (size_t at = 0; at < n; at++) {
        int64_t expected = w->start, rest = (int64_t)at;
        for (int32_t i = rank; i-- > 0; rest /= size[i])
            expected += w->steps[i] * (rest % size[i]);
        if (ir_tensor_get_i64(t, at) != expected) return false;
    }
    return true;
}

/* Constant indices that go evenly and stay inside the axis. */
static bool gather_as_walk(cg *g, ir_node *n, int32_t axis) {
    const ir_value *indices = ir_in(n, 1);
    const cg_view *x = cg_read(g, ir_in(n, 0));
    walk w;
    if (!ir_value_is_const(indices) || !read_walk(indices->tensor, &w) || w.least < 0 ||
        !is_inside(g, cg_dc(g, w.most), x->dims[axis]))
        return false;
    cg_set_view(
        g, &n->out[0],
        cg_view_walk_axis(g, x, axis, w.start, w.steps, indices->type->dims, indices->type->rank));
    return true;
}

bool lower_gather(cg *g, ir_node *n) {
    int32_t rank = ir_in(n, 0)->type->rank;
    int32_t axis = (int32_t)normalised_axis(n, 0, rank);
    bool dest = tl_map_get_ptr(&g->dests, &n->out[0]);
    if (!dest && (gather_as_view(g, n, axis) || gather_as_walk(g, n, axis))) return true;
    gather *d = TL_NEW(g->arena, gather);
    *d = (gather){.x = cg_read(g, ir_in(n, 0)), .indices = cg_read(g, ir_in(n, 1)), .axis = axis};
    cg_nest *s = cg_nest_over(g, n, n->out[0].type, gather_point, d);
    require_axes(s, d, axis, 1);
    s->scalar = axis == rank - 1;
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}

/* ---- GatherElements ------------------------------------------------------------------------------------------------------ */

static void gather_elements_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const gather *d = s->data;
    lp_value *index[IR_MAX_RANK_NEST], *i = load_index(s, d->indices, s->index);
    memcpy(index, s->index, sizeof index);
    index[d->axis] = cg_checked_index(s->k, i, cg_kernel_dim(s->k, d->x->dims[d->axis]),
                                      d->failure);
    lp_value *at = cg_offset(s->k, d->x, index, d->x->rank);
    out[0] = cg_load(&s->k->b, d->x->dtype, lanes, cg_kernel_in(s->k, d->x, false), at,
                     lp_index(&s->k->b, 1));
}

bool lower_gather_elements(cg *g, ir_node *n) {
    gather *d = TL_NEW(g->arena, gather);
    *d = (gather){.x = cg_read(g, ir_in(n, 0)), .indices = cg_read(g, ir_in(n, 1))};
    d->axis = (int32_t)normalised_axis(n, 0, d->x->rank);
    for (int32_t i = 0; i < d->x->rank; i++)
        if (i != d->axis) cg_check_at_most(g, d->indices->dims[i], d->x->dims[i]);
    cg_nest *s = cg_nest_over(g, n, n->out[0].type, gather_elements_point, d);
    require_axes(s, d, d->axis, 1);
    s->scalar = true;
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}

/* ---- GatherND -------------------------------------------------------------------------------------------------------------- */

/* Indices of [..., length] take as many axes of the data as are not in the result (the updates), whose rank is known. */
static bool set_tuple(cg *g, const ir_node *n, gather *d, int32_t data, int32_t rest) {
    d->tuple = (int64_t)d->indices->rank - 1 + data - rest;
    if (d->tuple < 0 || d->tuple > data)
        return cg_unsupported(g, n, "index tuples of %lld for %d axes", (long long)d->tuple, data);
    cg_check_equal(g, d->indices->dims[d->indices->rank - 1], cg_dc(g, d->tuple));
    return true;
}

/* The position that a tuple of `length` indices means: x's axes [first, first+length) replaced. */
static void load_tuple(cg_nest *s, const gather *d, lp_value *const *at, int32_t first,
                       int64_t length, lp_value **index) {
    lp_value *place[IR_MAX_RANK_NEST];
    memcpy(place, at, (size_t)(d->indices->rank - 1) * sizeof *place);
    for (int64_t i = 0; i < length; i++) {
        place[d->indices->rank - 1] = lp_index(&s->k->b, i);
        lp_value *v = load_index(s, d->indices, place);
        int32_t axis = first + (int32_t)i;
        index[axis] = cg_checked_index(s->k, v, cg_kernel_dim(s->k, d->x->dims[axis]), d->failure);
    }
}

static void gather_nd_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const gather *d = s->data;
    lp_value *index[IR_MAX_RANK_NEST];
    int32_t taken = d->batch + (int32_t)d->tuple;
    for (int32_t a = 0; a < d->batch; a++)
        index[a] = s->index[a];
    load_tuple(s, d, s->index, d->batch, d->tuple, index);
    for (int32_t a = taken; a < d->x->rank; a++)
        index[a] = s->index[d->indices->rank - 1 + a - taken];
    lp_value *at = cg_offset(s->k, d->x, index, d->x->rank);
    lp_value *stride = cg_kernel_dim(s->k, d->x->strides[d->x->rank - 1]);
    out[0] = cg_load(&s->k->b, d->x->dtype, lanes, cg_kernel_in(s->k, d->x, false), at, stride);
}

bool lower_gather_nd(cg *g, ir_node *n) {
    gather *d = TL_NEW(g->arena, gather);
    *d = (gather){.x = cg_read(g, ir_in(n, 0)),
                  .indices = cg_read(g, ir_in(n, 1)),
                  .batch = (int32_t)ir_attr_int(n, "batch_dims", 0)};
    if (!set_tuple(g, n, d, d->x->rank - d->batch, n->out[0].type->rank)) return false;
    for (int32_t i = 0; i < d->batch; i++)
        cg_check_equal(g, d->indices->dims[i], d->x->dims[i]);
    cg_nest *s = cg_nest_over(g, n, n->out[0].type, gather_nd_point, d);
    require_axes(s, d, d->batch, (int32_t)d->tuple);
    s->scalar = d->batch + d->tuple == d->x->rank;
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}

/* ---- ScatterElements, ScatterND: a copy, then updates in order ------------------------------------------------------------------- */

static lp_value *combined(cg *g, lp_builder *b, const ir_node *n, lp_value *old, lp_value *update) {
    (void)g;
    const char *how = ir_attr_string(n, "reduction", "none");
    if (strcmp(how, "add") == 0) return lp_bin(b, LP_add, old, update);
    if (strcmp(how, "mul") == 0) return lp_bin(b, LP_mul, old, update);
    if (strcmp(how, "max") == 0) return lp_bin(b, LP_max, old, update);
    if (strcmp(how, "min") == 0) return lp_bin(b, LP_min, old, update);
    return update;
}

struct scatter;
typedef void place_fn(cg_nest *s, const struct scatter *d, lp_value *const *at, lp_value **index);

typedef struct scatter {
    gather base; /* x: the result */
    const cg_view *updates, *saved;
    const ir_dim *indexed; /* product of the axes that indices choose from */
    place_fn *place;
} scatter;

/* Results that begin as the data does: what of it stays, and what is kept of the rest where the result lies in its place. */
typedef struct kept {
    ir_value *data;
    const cg_view *y;
    const ir_type *updates;
    const cg_view **saved;
} kept;

static void keep_rest(cg *g, ir_node *n, const kept *k, cg_undo_fn *move, void *data) {
    const cg_view *x = cg_read(g, k->data);
    if (k->y->buffer->kind != CG_PLACE || !cg_view_is_same(x, k->y)) {
        cg_copy(g, x, k->y);
        return;
    }
    const ir_type *t = ir_type_tensor(g->c, k->y->dtype, k->updates->rank, k->updates->dims);
    const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t),
                                     cg_dc(g, cg_elem_bytes(t->dtype)));
    *k->saved = cg_view_dense(g, cg_buffer_create(g, bytes), t);
    cg_place_save(g, n, move, data);
}

typedef enum move { UPDATE, SAVE, RESTORE } move;

/* for every element of the updates, in order, on one thread: duplicates must not race. The one unit of work is [0, 1), or [0, 0) where
 * the axes that indices choose from are empty. */
static void run_updates(cg *g, ir_node *n, const scatter *d, move how) {
    const cg_view *u = how == UPDATE ? d->updates : d->saved, *y = d->base.x;
    cg_kernel k = cg_kernel_begin(g, n, cg_dc(g, 1));
    cg_nest s = {.g = g, .node = n, .k = &k};
    lp_builder *b = &k.b;
    lp_value *pu = how == SAVE ? cg_kernel_out(&k, u, false) : cg_kernel_in(&k, u, false),
             *py = cg_kernel_in(&k, y, false), *one = lp_index(b, 1);
    if (how != SAVE) cg_kernel_out(&k, y, false);
    const ir_dim *count = cg_dims_product(g, u->dims, u->rank);
    cg_kernel_require(&k, d->indexed, count, d->base.failure);
    lp_loop l = lp_for_begin(b, k.begin, lp_bin(b, LP_mul, k.end, cg_kernel_dim(&k, count)), one,
                             NULL, 0);
    lp_value *at[IR_MAX_RANK_NEST], *index[IR_MAX_RANK_NEST];
    cg_unravel(&k, l.counter, u->dims, u->rank, at);
    d->place(&s, d, at, index);
    lp_value *to = cg_offset(&k, y, index, y->rank), *from = cg_offset(&k, u, at, u->rank);
    lp_value *old = cg_load(b, y->dtype, 1, py, to, one);
    if (how == SAVE) {
        cg_store(b, u->dtype, 1, pu, from, one, old);
    } else {
        lp_value *x = cg_load(b, u->dtype, 1, pu, from, one);
        if (how == UPDATE) x = combined(g, b, n, old, x);
        cg_store(b, y->dtype, 1, py, to, one, x);
    }
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&k, "%s", op_get(n->op)->name);
}

static void place_element(cg_nest *s, const scatter *d, lp_value *const *at, lp_value **index) {
    memcpy(index, at, (size_t)d->updates->rank * sizeof *index);
    lp_value *i = load_index(s, d->base.indices, at),
             *n = cg_kernel_dim(s->k, d->base.x->dims[d->base.axis]);
    index[d->base.axis] = cg_checked_index(s->k, i, n, d->base.failure);
}

static void place_slice(cg_nest *s, const scatter *d, lp_value *const *at, lp_value **index) {
    load_tuple(s, &d->base, at, 0, d->base.tuple, index);
    int32_t tuple_axes = d->base.indices->rank - 1;
    for (int32_t a = (int32_t)d->base.tuple; a < d->base.x->rank; a++)
        index[a] = at[tuple_axes + a - (int32_t)d->base.tuple];
}

static scatter *scatter_begin(cg *g, ir_node *n) {
    scatter *d = TL_NEW(g->arena, scatter);
    const cg_view *y = cg_write(g, &n->out[0]);
    d->base = (gather){.x = y, .indices = cg_read(g, ir_in(n, 1))};
    d->updates = cg_read(g, ir_in(n, 2));
    d->base.failure = outside_failure(g);
    return d;
}

static void move_elements(cg *g, ir_node *n, void *data, bool restore) {
    run_updates(g, n, data, restore ? RESTORE : SAVE);
}

static bool update(cg *g, ir_node *n, scatter *d) {
    keep_rest(g, n, &(kept){ir_in(n, 0), d->base.x, ir_in(n, 2)->type, &d->saved}, move_elements,
              d);
    run_updates(g, n, d, UPDATE);
    return true;
}

bool lower_scatter_elements(cg *g, ir_node *n) {
    scatter *d = scatter_begin(g, n);
    d->base.axis = (int32_t)normalised_axis(n, 0, d->base.x->rank);
    for (int32_t i = 0; i < d->base.x->rank; i++) {
        cg_check_equal(g, d->updates->dims[i], d->base.indices->dims[i]);
        if (i != d->base.axis) cg_check_at_most(g, d->base.indices->dims[i], d->base.x->dims[i]);
    }
    d->indexed = d->base.x->dims[d->base.axis];
    d->place = place_element;
    return update(g, n, d);
}

bool lower_scatter_nd(cg *g, ir_node *n) {
    scatter *d = scatter_begin(g, n);
    const cg_view *indices = d->base.indices, *y = d->base.x;
    if (!set_tuple(g, n, &d->base, y->rank, d->updates->rank)) return false;
    for (int32_t i = 0; i < d->updates->rank; i++) {
        int32_t behind = i - (indices->rank - 1);
        const ir_dim *expected = behind < 0 ? indices->dims[i] : y->dims[d->base.tuple + behind];
        cg_check_equal(g, d->updates->dims[i], expected);
    }
    d->indexed = cg_dims_product(g, y->dims, (int32_t)d->base.tuple);
    d->place = place_slice;
    return update(g, n, d);
}

/* ---- OneHot ---------------------------------------------------------------------------------------------------------------------- */

typedef struct one_hot {
    const cg_view *indices, *values;
    const ir_dim *depth;
    int32_t axis;
} one_hot;

static void one_hot_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)lanes;
    (void)in;
    const one_hot *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *at[IR_MAX_RANK_NEST], *zero = lp_index(b, 0), *one = lp_index(b, 1);
    for (int32_t a = 0; a < d->indices->rank; a++)
        at[a] = s->index[a < d->axis ? a : a + 1];
    lp_value *i = load_index(s, d->indices, at), *depth = cg_kernel_dim(s->k, d->depth);
    i = lp_select(b, lp_bin(b, LP_lt, i, zero), lp_bin(b, LP_add, i, depth), i);
    lp_value *values = cg_kernel_in(s->k, d->values, false);
    lp_value *off = cg_load(b, d->values->dtype, 1, values, zero, one),
             *on = cg_load(b, d->values->dtype, 1, values, one, one);
    out[0] = lp_select(b, lp_bin(b, LP_eq, i, s->index[d->axis]), on, off);
}

bool lower_one_hot(cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    if (!ir_type_is_known(t)) return cg_unsupported(g, n, "depth depends on data");
    one_hot *d = TL_NEW(g->arena, one_hot);
    *d = (one_hot){.indices = cg_read(g, ir_in(n, 0)), .values = cg_read_dense(g, ir_in(n, 2))};
    d->axis = (int32_t)normalised_axis(n, -1, t->rank);
    d->depth = t->dims[d->axis];
    cg_nest *s = cg_nest_over(g, n, t, one_hot_point, d);
    s->scalar = true;
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}

/* ---- ReverseSequence ------------------------------------------------------------------------------------------------------------- */

typedef struct reverse_sequence {
    const cg_view *x, *lengths;
    int64_t time, batch;
    int64_t failure;
} reverse_sequence;

static void reverse_sequence_point(cg_nest *s, unsigned lanes, lp_value *const *in,
                                   lp_value **out) {
    (void)in;
    const reverse_sequence *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *index[IR_MAX_RANK_NEST], *t = s->index[d->time], *zero = lp_index(b, 0);
    lp_value *length = load_index(s, d->lengths, &s->index[d->batch]);
    lp_value *most = cg_kernel_dim(s->k, d->x->dims[d->time]);
    lp_value *bad = lp_bin(b, LP_lt, length, zero);
    bad = lp_bin(b, LP_or, bad, lp_bin(b, LP_gt, length, most));
    cg_fail_if(s->k, bad, d->failure, length, most);
    length = lp_select(b, bad, zero, length);
    lp_value *mirrored = lp_bin(b, LP_sub, lp_bin(b, LP_sub, length, lp_index(b, 1)), t);
    memcpy(index, s->index, sizeof index);
    index[d->time] = lp_select(b, lp_bin(b, LP_lt, t, length), mirrored, t);
    lp_value *at = cg_offset(s->k, d->x, index, d->x->rank);
    lp_value *stride = cg_kernel_dim(s->k, d->x->strides[d->x->rank - 1]);
    out[0] = cg_load(b, d->x->dtype, lanes, cg_kernel_in(s->k, d->x, false), at, stride);
}

bool lower_reverse_sequence(cg *g, ir_node *n) {
    reverse_sequence *d = TL_NEW(g->arena, reverse_sequence);
    *d = (reverse_sequence){.x = cg_read(g, ir_in(n, 0)), .lengths = cg_read(g, ir_in(n, 1))};
    d->time = ir_attr_int(n, "time_axis", 0), d->batch = ir_attr_int(n, "batch_axis", 1);
    d->failure = cg_failure(g, "input 1: length %%lld of %%lld");
    cg_check_equal(g, d->lengths->dims[0], d->x->dims[d->batch]);
    cg_nest *s = cg_nest_over(g, n, n->out[0].type, reverse_sequence_point, d);
    s->scalar = d->x->rank == 2;
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}

/* ---- TensorScatter: a copy, then the update, every element of which has a place of its own --------------------------------------- */

typedef struct tensor_scatter {
    const cg_view *y, *update, *starts, *saved;
    int32_t axis;
    bool circular;
    int64_t failure;
} tensor_scatter;

/* Position of an element along the axis, brought inside; *inside: that it was there (NULL: always). */
static lp_value *cache_place(cg_nest *s, lp_value *at, lp_value *size, lp_value **inside) {
    const tensor_scatter *d = s->data;
    lp_builder *b = &s->k->b;
    *inside = NULL;
    if (d->starts) at = lp_bin(b, LP_add, at, load_index(s, d->starts, s->index));
    if (!d->circular) {
        lp_value *place = cg_checked_index(s->k, at, size, d->failure);
        lp_value *same = lp_bin(b, LP_eq, place, at), *end = lp_bin(b, LP_add, at, size);
        *inside = lp_bin(b, LP_or, same, lp_bin(b, LP_eq, place, end));
        return place;
    }
    lp_value *rest = lp_bin(b, LP_rem, at, size), *zero = lp_index(b, 0);
    return lp_select(b, lp_bin(b, LP_lt, rest, zero), lp_bin(b, LP_add, rest, size), rest);
}

/* Where in y an element of the update belongs. */
static lp_value *cache_offset(cg_nest *s, lp_value **inside) {
    const tensor_scatter *d = s->data;
    lp_value *index[IR_MAX_RANK_NEST], *size = cg_kernel_dim(s->k, d->y->dims[d->axis]);
    memcpy(index, s->index, sizeof index);
    index[d->axis] = cache_place(s, s->index[d->axis], size, inside);
    return cg_offset(s->k, d->y, index, d->y->rank);
}

static void tensor_gather_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const tensor_scatter *d = s->data;
    lp_value *stride = cg_kernel_dim(s->k, d->y->strides[d->y->rank - 1]), *inside,
             *at = cache_offset(s, &inside);
    out[0] = cg_load(&s->k->b, d->y->dtype, lanes, cg_kernel_in(s->k, d->y, false), at, stride);
}

/* What is outside is not written: two threads might bring rows to the same place. */
static void tensor_scatter_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)out;
    const tensor_scatter *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *inside, *to = cache_offset(s, &inside);
    lp_value *stride = cg_kernel_dim(s->k, d->y->strides[d->y->rank - 1]),
             *py = cg_kernel_out(s->k, d->y, false);
    lp_loop l;
    if (inside) l = lp_if_begin(b, inside, NULL, 0);
    cg_store(b, d->y->dtype, lanes, py, to, stride, in[0]);
    if (inside) lp_if_end(b, &l, NULL);
}

static cg_nest *over_rows(cg *g, ir_node *n, tensor_scatter *d, cg_nest_fn *fn) {
    cg_nest *s = cg_nest_over(g, n, ir_in(n, 1)->type, fn, d);
    s->scalar = d->axis == d->y->rank - 1;
    s->required = d->y->dims[d->axis], s->failure = d->failure;
    return s;
}

static void write_rows(cg *g, ir_node *n, tensor_scatter *d, const cg_view *from) {
    cg_nest *s = over_rows(g, n, d, tensor_scatter_point);
    s->in[s->n_in++] = from;
    cg_nest_run(s);
}

/* What the update will be written over, to `saved` or back from there. */
static void move_rows(cg *g, ir_node *n, void *data, bool restore) {
    tensor_scatter *d = data;
    if (restore) {
        write_rows(g, n, d, d->saved);
        return;
    }
    cg_nest *s = over_rows(g, n, d, tensor_gather_point);
    s->out[s->n_out++] = d->saved;
    cg_nest_run(s);
}

bool lower_tensor_scatter(cg *g, ir_node *n) {
    tensor_scatter *d = TL_NEW(g->arena, tensor_scatter);
    *d = (tensor_scatter){.y = cg_write(g, &n->out[0]), .update = cg_read(g, ir_in(n, 1))};
    if (ir_in(n, 2)) d->starts = cg_read(g, ir_in(n, 2));
    d->axis = (int32_t)normalised_axis(n, -2, d->y->rank);
    d->circular = strcmp(ir_attr_string(n, "mode", "linear"), "circular") == 0;
    bool counted = ir_in(n, 2) && !ir_value_is_const(ir_in(n, 2)) && is_counted(ir_in(n, 2), 0);
    d->failure = counted ? stream_failure(g)
                         : cg_failure(g, "input 2: position %%lld is outside the axis of %%lld");
    if (d->starts) cg_check_equal(g, d->starts->dims[0], d->y->dims[0]);
    cg_check_at_most(g, d->update->dims[d->axis], d->y->dims[d->axis]);
    for (int32_t i = 0; i < d->y->rank; i++)
        if (i != d->axis) cg_check_equal(g, d->update->dims[i], d->y->dims[i]);
    keep_rest(g, n, &(kept){ir_in(n, 0), d->y, ir_in(n, 1)->type, &d->saved}, move_rows, d);
    write_rows(g, n, d, d->update);
    return true;
}
