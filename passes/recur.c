/* See recur.h. */
#include "passes/recur.h"

#include "passes/util.h"

ir_value *region_prepend_param(ir_region *r, const ir_type *type, const char *name) {
    ir_value *v = ir_region_add_param(r, type, name);
    for (uint32_t i = r->n_params; i-- > 1;) {
        r->params[i] = r->params[i - 1];
        r->params[i]->index = i;
    }
    r->params[0] = v;
    v->index = 0;
    return v;
}

int64_t recur_list_at(const ir_node *n, const char *list, uint32_t i) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(n, list, &count);
    return v && i < count ? v[i] : 0;
}

void recur_set_list(pass_ctx *ctx, ir_node *n, const char *list, const int64_t *v, uint32_t count) {
    bool zeros = true;
    for (uint32_t i = 0; i < count; i++)
        zeros &= v[i] == 0;
    ir_attr_remove(n, list);
    if (!zeros) ir_attr_set_ints(ctx->m, n, list, v, count);
}

/* One more entry behind `count` others. */
static void extend_list(pass_ctx *ctx, ir_node *n, const char *list, uint32_t count, int64_t v) {
    int64_t *all = TL_NEW_ARRAY(ctx->scratch, int64_t, count + 1);
    for (uint32_t i = 0; i < count; i++)
        all[i] = recur_list_at(n, list, i);
    all[count] = v;
    recur_set_list(ctx, n, list, all, count + 1);
}

ir_value *recur_add_slice(pass_ctx *ctx, ir_node *n, ir_value *v, int64_t axis, bool reverse) {
    uint32_t count = n->n_in - 1 - (uint32_t)ir_attr_int(n, "carries", 0);
    ir_node_add_operand(ctx->m, n, v);
    extend_list(ctx, n, "input_axes", count, axis);
    extend_list(ctx, n, "input_reverse", count, reverse);
    return ir_region_add_param(n->regions[0], NULL, NULL);
}

uint32_t recur_add_stacked(pass_ctx *ctx, ir_node *n, ir_value *element, int64_t axis,
                           bool reverse) {
    uint32_t count = n->n_out - (uint32_t)ir_attr_int(n, "carries", 0);
    ir_region_add_result(n->regions[0], element);
    ir_node_set_n_out(ctx->m, n, n->n_out + 1);
    extend_list(ctx, n, "output_axes", count, axis);
    extend_list(ctx, n, "output_reverse", count, reverse);
    return n->n_out - 1;
}

/* ---- rounds and windows ------------------------------------------------------------------------------------- */

const ir_dim *recur_trips(ir_ctx *c, const ir_node *n) {
    const ir_dim *d;
    if (ir_value_known_dims(c, ir_in(n, 0), &d, 1) != 1 || ir_dim_is_unknown(d)) return NULL;
    return ir_dim_max(c, d, ir_dim_const(c, 0));
}

bool recur_find_window(ir_ctx *c, const loop_like *l, const ir_dim *start, int64_t extent,
                       recur_window *w) {
    const ir_dim *counter = loop_counter(l), *trips = recur_trips(c, l->node);
    if (!counter || !trips || extent < 1) return false;
    const ir_dim *first = dim_replace(c, start, counter, ir_dim_const(c, 0)),
                 *second = dim_replace(c, start, counter, ir_dim_const(c, 1)),
                 *step = ir_dim_sub(c, second, first);
    bool forward = ir_dim_is(step, extent), backward = ir_dim_is(step, -extent);
    const ir_dim *moved = ir_dim_mul(c, step, counter);
    if ((!forward && !backward) || !ir_dim_equal(start, ir_dim_add(c, first, moved))) return false;
    const ir_dim *way = ir_dim_mul(c, ir_dim_sub(c, trips, ir_dim_const(c, 1)), step);
    w->extent = extent;
    w->reverse = backward;
    w->first = forward ? first : ir_dim_add(c, first, way);
    return true;
}

bool recur_window_range(ir_ctx *c, const loop_like *l, const recur_window *w, const ir_dim *size,
                        const ir_dim **last, bool *whole) {
    const ir_dim *trips = recur_trips(c, l->node);
    *last = ir_dim_add(c, w->first, ir_dim_mul(c, trips, ir_dim_const(c, w->extent)));
    *whole = ir_dim_is(w->first, 0) && ir_dim_equal(*last, size);
    const ir_dim *needed[] = {w->first, *last, size, trips};
    if (!dims_are_computable(l->node->parent->graph, needed, 4)) return false;
    return *whole || (ir_dim_lower_bound(w->first) >= 0 &&
                      ir_dim_lower_bound(ir_dim_sub(c, size, *last)) >= 0);
}

/* ---- questions ---------------------------------------------------------------------------------------------- */

const char *node_name(const ir_node *n) {
    return n->n_out && n->out[0].name ? n->out[0].name : op_get(n->op)->name;
}

bool loop_types_are_fixed(const loop_like *l) {
    for (uint32_t i = 0; i < l->n_carried; i++) {
        const ir_value *initial = loop_initial(l, i), *param = loop_param(l, i);
        if (!same_type(initial, param) || !same_type(param, loop_update(l, i))) return false;
    }
    return true;
}
