/* Control flow: If, Loop, Scan, Recur, and regions that are bodies of compiler ops (Fused).
 *
 * A loop's body runs with its own arena, which is emptied after each iteration; carried values are copied out of it into
 * one of two arenas in turn (iteration i reads those of i - 1), stacked outputs into the evaluator's. So a loop needs
 * memory for two iterations and its results, whatever its length. */
#include "ir/eval/eval_internal.h"

/* ---- If, Fused --------------------------------------------------------------------------------------------------------- */

bool eval_if(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *condition = ev_need(e, n, in, 0);
    if (!condition) return false;
    if (condition->type->dtype != DT_bool || ir_tensor_elements(condition) != 1)
        return ev_error(e, n, "the condition is not one boolean");
    const ir_region *r = ir_node_find_region(
        n, ((const uint8_t *)condition->data)[0] ? "then_branch" : "else_branch");
    if (!r || ir_region_n_results(r) != n->n_out)
        return ev_error(e, n, "the branch has another number of results");
    return ir_eval_region(e, r, NULL, out);
}

bool eval_fused(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    if (n->n_regions != 1 || n->regions[0]->n_params != n->n_in ||
        ir_region_n_results(n->regions[0]) != n->n_out)
        return ev_error(e, n, "the body does not fit");
    return ir_eval_region(e, n->regions[0], in, out);
}

/* ---- memory of loops ----------------------------------------------------------------------------------------------------- */

typedef struct loop_memory {
    tl_arena body, carried[2];
    tl_arena *outer; /* the evaluator's */
} loop_memory;

static void release_memory(void *data) {
    loop_memory *m = data;
    tl_arena_release(&m->body);
    tl_arena_release(&m->carried[0]);
    tl_arena_release(&m->carried[1]);
}

/* Registered with the context, so that running out of memory inside the body leaks nothing. */
static loop_memory *open_memory(ir_eval *e) {
    loop_memory *m = TL_NEW(&e->ctx->arena, loop_memory);
    tl_arena_init(&m->body, e->arena->fail);
    tl_arena_init(&m->carried[0], e->arena->fail);
    tl_arena_init(&m->carried[1], e->arena->fail);
    m->outer = e->arena;
    ir_ctx_add_cleanup(e->ctx, release_memory, m);
    return m;
}

/* Runs the body in its own arena; the results are good until the next call. */
static bool run_body(ir_eval *e, loop_memory *m, const ir_region *body,
                     const ir_datum *const *params, ir_datum *results) {
    tl_arena_release(&m->body);
    tl_arena_init(&m->body, m->outer->fail);
    e->arena = &m->body;
    bool ok = ir_eval_region(e, body, params, results);
    e->arena = m->outer;
    return ok;
}

/* Carried values of iteration i, copied out of the body's arena; those of i - 1 stay. */
static void carry(ir_eval *e, loop_memory *m, int64_t i, const ir_datum *results,
                  const ir_datum **params, uint32_t n) {
    tl_arena *a = &m->carried[i & 1];
    tl_arena_release(a);
    tl_arena_init(a, m->outer->fail);
    for (uint32_t k = 0; k < n; k++)
        params[k] = ev_copy_datum(e, a, &results[k]);
}

/* ---- stacked outputs ----------------------------------------------------------------------------------------------------- */

typedef struct stack {
    ir_datum *items;
    uint32_t n, cap;
} stack;

static void push(ir_eval *e, stack *s, const ir_datum *d) {
    if (s->n == s->cap) {
        ir_datum *old = s->items;
        s->cap = s->cap ? 2 * s->cap : 8;
        s->items = TL_NEW_ARRAY(e->arena, ir_datum, s->cap);
        if (s->n) memcpy(s->items, old, s->n * sizeof *old);
    }
    s->items[s->n++] = *ev_copy_datum(e, e->arena, d);
}

/* One more axis in front for an output no iteration gave: 0 there, the known dims of the result's type elsewhere. */
static bool empty_stack(ir_eval *e, const ir_node *n, const ir_type *type, const ir_type *item,
                        int32_t axis, ir_datum *out) {
    ev_shape s = {0};
    ir_dtype t = item ? item->dtype : type ? type->dtype : DT_f32;
    if (type && type->rank > 0)
        s.rank = type->rank;
    else
        s.rank = item && item->rank >= 0 ? item->rank + 1 : 1;
    if (axis < 0) axis += s.rank;
    for (int32_t i = 0; i < s.rank; i++)
        if (i != axis && type && type->rank > 0) ev_dim(e, type->dims[i], &s.dims[i]);
    out->tensor = ev_alloc(e, n, t, &s);
    return out->tensor != NULL;
}

/* Joins the items along a new axis; reversed: the last one first. */
static bool join_stack(ir_eval *e, const ir_node *n, const stack *k, int64_t wanted_axis,
                       bool reversed, ir_datum *out) {
    const ir_tensor *first = k->items[0].tensor;
    int32_t axis;
    if (!first) return ev_error(e, n, "a stacked output is not a tensor");
    ev_shape item = ev_shape_of(first), s = item;
    if (item.rank + 1 > IR_MAX_RANK || !ev_axis(e, n, wanted_axis, item.rank + 1, &axis))
        return false;
    for (int32_t i = s.rank++; i > axis; i--)
        s.dims[i] = s.dims[i - 1];
    s.dims[axis] = k->n;
    ir_tensor *y = ev_alloc(e, n, first->type->dtype, &s);
    if (!y) return false;
    ev_lanes l = ev_lanes_of(&s, axis);
    int64_t outer = ev_count(&s) ? l.outer : 0;
    for (uint32_t i = 0; i < k->n; i++) {
        const ir_tensor *t = k->items[reversed ? k->n - 1 - i : i].tensor;
        ev_shape own = ev_shape_of(t);
        if (!ev_shape_equal(&own, &item))
            return ev_error(e, n, "stacked outputs of shapes %s and %s", ev_shape_text(e, &item),
                            ev_shape_text(e, &own));
        for (int64_t o = 0; o < outer; o++)
            ev_copy_run(t->type->dtype, ir_tensor_data(y), (o * l.n + i) * l.inner, t->data,
                        o * l.inner, l.inner);
    }
    out->tensor = y;
    return true;
}

/* The same where the items have the axis already. */
static bool join_spans(ir_eval *e, const ir_node *n, const stack *k, int64_t axis, ir_datum *out) {
    const ir_tensor **items = TL_NEW_ARRAY(e->arena, const ir_tensor *, k->n);
    for (uint32_t i = 0; i < k->n; i++)
        if (!(items[i] = k->items[i].tensor))
            return ev_error(e, n, "a stacked output is not a tensor");
    out->tensor = ev_concat(e, n, items, k->n, axis);
    return out->tensor != NULL;
}

/* ---- Loop ---------------------------------------------------------------------------------------------------------------- */

static bool read_condition(ir_eval *e, const ir_node *n, const ir_datum *d, bool *go) {
    const ir_tensor *t = d ? d->tensor : NULL;
    if (!t || t->type->dtype != DT_bool || ir_tensor_elements(t) != 1)
        return ev_error(e, n, "the condition is not one boolean");
    *go = ((const uint8_t *)t->data)[0] != 0;
    return true;
}

static const ir_datum *scalar_datum(ir_eval *e, tl_arena *a, ir_dtype t, int64_t v) {
    ir_datum *d = TL_NEW(a, ir_datum);
    ir_tensor *y = ir_tensor_alloc(a, ir_type_scalar(e->ctx, t));
    ir_tensor_set_i64(y, 0, v);
    d->tensor = y;
    return d;
}

/* Body: (iteration, condition, carried…) -> (condition, carried…, stacked…). */
static bool run_loop(ir_eval *e, const ir_node *n, const ir_region *body, int64_t trips, bool go,
                     const ir_datum **params, uint32_t carried, stack *stacks) {
    uint32_t n_results = ir_region_n_results(body);
    ir_datum *results = TL_NEW_ARRAY(e->arena, ir_datum, n_results + 1);
    loop_memory *m = open_memory(e);
    bool ok = true;
    for (int64_t i = 0; ok && go && i < trips; i++) {
        tl_arena *a = &m->carried[(i & 1) ^ 1]; /* lives as long as this iteration's operands */
        params[0] = scalar_datum(e, a, DT_i64, i);
        params[1] = scalar_datum(e, a, DT_bool, go);
        ok = run_body(e, m, body, params, results) && read_condition(e, n, &results[0], &go);
        if (!ok) break;
        carry(e, m, i, results + 1, params + 2, carried);
        for (uint32_t k = 1 + carried; k < n_results; k++)
            push(e, &stacks[k - 1 - carried], &results[k]);
    }
    for (uint32_t k = 0; ok && k < carried; k++)
        params[2 + k] = ev_copy_datum(e, e->arena, params[2 + k]);
    release_memory(m);
    return ok;
}

bool eval_loop(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_region *body = ir_node_find_region(n, "body");
    const ir_tensor *limit = ev_tensor(n, in, 0);
    uint32_t carried = n->n_in > 2 ? n->n_in - 2 : 0;
    int64_t trips = INT64_MAX;
    bool go = true;
    bool fits = body && body->n_params == carried + 2 &&
                ir_region_n_results(body) == n->n_out + 1 && n->n_out >= carried;
    if (!fits) return ev_error(e, n, "the body does not fit");
    if (limit && !ev_scalar_i64(e, n, limit, &trips)) return false;
    if (n->n_in > 1 && in[1] && !read_condition(e, n, in[1], &go)) return false;
    const ir_datum **params = TL_NEW_ARRAY(e->arena, const ir_datum *, carried + 2);
    stack *stacks = TL_NEW_ARRAY(e->arena, stack, n->n_out + 1);
    for (uint32_t i = 0; i < carried; i++)
        if (!(params[i + 2] = in[i + 2])) return ev_error(e, n, "operand %u is missing", i + 2);
    if (!run_loop(e, n, body, trips, go, params, carried, stacks)) return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_value *r = i < carried ? NULL : ir_region_result(body, i + 1);
        bool ok = true;
        if (i < carried)
            out[i] = *params[i + 2];
        else if (stacks[i - carried].n)
            ok = join_stack(e, n, &stacks[i - carried], 0, false, &out[i]);
        else
            ok = empty_stack(e, n, n->out[i].type, r ? r->type : NULL, 0, &out[i]);
        if (!ok) return false;
    }
    return true;
}

/* ---- Scan, Recur --------------------------------------------------------------------------------------------------------- */

/* Rounds over slices. Operands and the body's parameters correspond one to one: `first` of them (the counter), then `states`
 * carried values, then slices. */
typedef struct sliced_loop {
    const ir_node *node;
    const ir_region *body;
    uint32_t first, states;
    int64_t trips;
    int64_t span; /* rounds done at once; 0: one, and slices do not have the axis */
    const char *input_axes, *input_reverse, *output_axes, *output_reverse; /* attributes */
} sliced_loop;

typedef struct sliced_input {
    const ir_tensor *tensor;
    int32_t axis;
    bool reversed;
} sliced_input;

static int64_t list_entry(const ir_node *n, const char *name, uint32_t i) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(n, name, &count);
    return i < count ? v[i] : 0;
}

/* Elements from `at` on along the input's axis: as many as the span says, or one, without that axis. */
static const ir_datum *slice_input(ir_eval *e, const sliced_loop *loop, tl_arena *a,
                                   const sliced_input *s, int64_t at) {
    const ir_node *n = loop->node;
    ev_shape shape = ev_shape_of(s->tensor);
    ev_lanes l = ev_lanes_of(&shape, s->axis);
    int64_t taken = loop->span ? (l.n - at < loop->span ? l.n - at : loop->span) : 1;
    if (s->reversed) at = l.n - 1 - at;
    shape.dims[s->axis] = taken;
    for (int32_t i = s->axis; !loop->span && i + 1 < shape.rank; i++)
        shape.dims[i] = shape.dims[i + 1];
    shape.rank -= !loop->span;
    tl_arena *outer = e->arena;
    e->arena = a;
    ir_tensor *y = ev_alloc(e, n, s->tensor->type->dtype, &shape);
    e->arena = outer;
    if (!y) return NULL;
    int64_t count = ev_count(&shape) ? l.outer : 0;
    for (int64_t o = 0; o < count; o++)
        ev_copy_run(y->type->dtype, ir_tensor_data(y), o * taken * l.inner, s->tensor->data,
                    (o * l.n + at) * l.inner, taken * l.inner);
    ir_datum *d = TL_NEW(a, ir_datum);
    d->tensor = y;
    return d;
}

/* The operands after the states; their lengths along the axes sliced must agree. trips < 0: they say how many rounds. */
static bool read_sliced(ir_eval *e, sliced_loop *l, const ir_datum *const *in,
                        sliced_input *inputs) {
    const ir_node *n = l->node;
    uint32_t before = l->first + l->states;
    for (uint32_t i = 0; i < n->n_in - before; i++) {
        sliced_input *s = &inputs[i];
        if (!(s->tensor = ev_need(e, n, in, before + i))) return false;
        ev_shape shape = ev_shape_of(s->tensor);
        if (!ev_axis(e, n, list_entry(n, l->input_axes, i), shape.rank, &s->axis)) return false;
        s->reversed = list_entry(n, l->input_reverse, i) != 0;
        if (l->trips < 0) l->trips = shape.dims[s->axis];
        if (shape.dims[s->axis] != l->trips)
            return ev_error(e, n, "sliced input %u has length %lld, expected %lld", i,
                            (long long)shape.dims[s->axis], (long long)l->trips);
    }
    return true;
}

static bool run_sliced(ir_eval *e, const sliced_loop *l, const ir_datum **params,
                       const sliced_input *inputs, stack *stacks) {
    const ir_node *n = l->node;
    uint32_t n_results = ir_region_n_results(l->body), before = l->first + l->states;
    ir_datum *results = TL_NEW_ARRAY(e->arena, ir_datum, n_results + 1);
    loop_memory *m = open_memory(e);
    bool ok = true;
    int64_t step = l->span ? l->span : 1;
    for (int64_t i = 0, turn = 0; ok && i < l->trips; i += step, turn++) {
        tl_arena *a = &m->carried[(turn & 1) ^ 1];
        if (l->first) params[0] = scalar_datum(e, a, DT_i64, i);
        for (uint32_t k = before; ok && k < n->n_in; k++)
            ok = (params[k] = slice_input(e, l, a, &inputs[k - before], i)) != NULL &&
                 (!l->span || ev_bind_param(e, n, l->body->params[k], params[k]));
        ok = ok && run_body(e, m, l->body, params, results);
        if (!ok) break;
        carry(e, m, turn, results, params + l->first, l->states);
        for (uint32_t k = l->states; k < n_results; k++)
            push(e, &stacks[k - l->states], &results[k]);
    }
    for (uint32_t k = l->first; ok && k < before; k++)
        params[k] = ev_copy_datum(e, e->arena, params[k]);
    release_memory(m);
    return ok;
}

static bool finish_sliced(ir_eval *e, const sliced_loop *l, const ir_datum *const *params,
                          const stack *stacks, ir_datum *out) {
    const ir_node *n = l->node;
    for (uint32_t i = 0; i < n->n_out; i++) {
        uint32_t k = i - l->states;
        bool ok = true;
        if (i < l->states)
            out[i] = *params[l->first + i];
        else if (l->trips > 0 && l->span)
            ok = join_spans(e, n, &stacks[k], list_entry(n, l->output_axes, k), &out[i]);
        else if (l->trips > 0)
            ok = join_stack(e, n, &stacks[k], list_entry(n, l->output_axes, k),
                            list_entry(n, l->output_reverse, k) != 0, &out[i]);
        else
            ok = empty_stack(e, n, n->out[i].type, ir_region_result(l->body, i)->type,
                             (int32_t)list_entry(n, l->output_axes, k), &out[i]);
        if (!ok) return false;
    }
    return true;
}

static bool eval_sliced(ir_eval *e, sliced_loop *l, const ir_datum *const *in, ir_datum *out) {
    const ir_node *n = l->node;
    sliced_input *inputs = TL_NEW_ARRAY(e->arena, sliced_input, n->n_in);
    const ir_datum **params = TL_NEW_ARRAY(e->arena, const ir_datum *, n->n_in);
    stack *stacks = TL_NEW_ARRAY(e->arena, stack, n->n_out + 1);
    if (!read_sliced(e, l, in, inputs)) return false;
    for (uint32_t i = l->first; i < l->first + l->states; i++)
        if (!(params[i] = in[i])) return ev_error(e, n, "operand %u is missing", i);
    return run_sliced(e, l, params, inputs, stacks) && finish_sliced(e, l, params, stacks, out);
}

static bool body_fits(const sliced_loop *l) {
    return l->body && l->body->n_params == l->node->n_in &&
           ir_region_n_results(l->body) == l->node->n_out && l->node->n_out >= l->states;
}

bool eval_scan(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    int64_t n_inputs = ir_attr_int(n, "num_scan_inputs", 0);
    sliced_loop l = {.node = n,
                     .body = ir_node_find_region(n, "body"),
                     .states = n->n_in - (uint32_t)n_inputs,
                     .trips = -1,
                     .input_axes = "scan_input_axes",
                     .input_reverse = "scan_input_directions",
                     .output_axes = "scan_output_axes",
                     .output_reverse = "scan_output_directions"};
    if (n_inputs <= 0 || n_inputs > n->n_in || !body_fits(&l))
        return ev_error(e, n, "the body does not fit");
    return eval_sliced(e, &l, in, out);
}

bool eval_recur(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    int64_t carries = ir_attr_int(n, "carries", 0);
    sliced_loop l = {.node = n,
                     .body = ir_node_find_region(n, "body"),
                     .first = 1,
                     .states = (uint32_t)carries,
                     .span = ir_attr_int(n, "span", 0),
                     .input_axes = "input_axes",
                     .input_reverse = "input_reverse",
                     .output_axes = "output_axes",
                     .output_reverse = "output_reverse"};
    if (carries < 0 || carries + 1 > n->n_in || l.span < 0 || !body_fits(&l))
        return ev_error(e, n, "the body does not fit");
    const ir_tensor *trips = ev_need(e, n, in, 0);
    if (!trips || !ev_scalar_i64(e, n, trips, &l.trips)) return false;
    if (l.trips < 0) l.trips = 0;
    return eval_sliced(e, &l, in, out);
}
