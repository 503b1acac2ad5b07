/* Outputs and states of graphs; see ir.h.
 *
 *   graph main(f32[4] %x along 0, state f32[2] %m = @init) => (f32[4] y along 0, state f32[2] m) {
 *     ...
 *     return %y, %m1
 *   }
 *
 * States stand behind all inputs and behind all outputs, so that passes which know nothing of them see parameters and results. */
#include "ir/base/assert.h"
#include "ir/base/vec.h"
#include "ir/ir.h"

/* A result in front of position `at`; those behind move up. */
static void insert_result(ir_graph *g, uint32_t at, const char *name, ir_value *v) {
    tl_arena *a = g->module->arena;
    uint32_t n = g->body->yield->n_in;
    if (g->outputs_cap < n) g->outputs_cap = n; /* a list made in one piece */
    tl_vec_grow(a, (void **)&g->outputs, n, &g->outputs_cap, sizeof *g->outputs);
    ir_region_add_result(g->body, v);
    for (uint32_t i = n; i > at; i--) {
        g->outputs[i] = g->outputs[i - 1];
        ir_node_set_operand(g->body->yield, i, ir_region_result(g->body, i - 1));
    }
    g->outputs[at] = ir_name(g->module->ctx, name);
    ir_node_set_operand(g->body->yield, at, v);
}

void ir_graph_add_output(ir_graph *g, const char *name, ir_value *v) {
    insert_result(g, ir_graph_n_outputs(g), name, v);
}

ir_value *ir_graph_add_state(ir_graph *g, const ir_type *type, const char *name,
                             ir_value *initial) {
    ir_value *v = ir_region_add_param(g->body, type, name);
    if (!g->initial) {
        g->initial = ir_node_create(g->module, OP_Yield, NULL, 0, 0);
        g->initial->parent = g->body;
    }
    insert_result(g, g->body->yield->n_in, name, v);
    ir_node_add_operand(g->module, g->initial, initial);
    g->n_states++;
    return v;
}

void ir_graph_set_next(ir_graph *g, uint32_t i, ir_value *v) {
    ir_node_set_operand(g->body->yield, ir_graph_n_outputs(g) + i, v);
}

static bool has_limit(const ir_dim *d) {
    return ir_dim_is_symbol(d) && ir_dim_upper_bound(d) < INT64_MAX;
}

const ir_dim *ir_graph_state_limit(const ir_graph *g, uint32_t i) {
    const ir_type *t = ir_graph_state(g, i)->type;
    for (int32_t d = 0; ir_type_is_known(t) && d < t->rank; d++)
        if (has_limit(t->dims[d])) return t->dims[d];
    return NULL;
}

int32_t ir_graph_growing_axis(const ir_graph *g, uint32_t i) {
    const ir_type *t = ir_graph_state(g, i)->type, *next = ir_graph_next(g, i)->type;
    int32_t axis = -1;
    if (t == next || !ir_type_is_known(t) || !ir_type_is_known(next)) return -1;
    if (t->dtype != next->dtype || t->rank != next->rank) return -1;
    for (int32_t d = 0; d < t->rank; d++) {
        if (ir_dim_equal(t->dims[d], next->dims[d])) continue;
        if (axis >= 0 || !has_limit(t->dims[d])) return -1;
        axis = d;
    }
    return axis;
}

/* Operand i goes; the others move up. */
static void remove_operand(ir_node *n, uint32_t i) {
    for (; i + 1 < n->n_in; i++)
        ir_node_set_operand(n, i, n->in[i + 1].value);
    ir_node_drop_operands_from(n, n->n_in - 1);
}

void ir_graph_remove_state(ir_graph *g, uint32_t i) {
    TL_ASSERT(i < g->n_states);
    uint32_t result = ir_graph_n_outputs(g) + i, param = ir_graph_n_inputs(g) + i;
    for (uint32_t k = result; k + 1 < g->body->yield->n_in; k++)
        g->outputs[k] = g->outputs[k + 1];
    remove_operand(g->body->yield, result);
    remove_operand(g->initial, i);
    g->n_states--;
    ir_region_remove_param(g->body, param);
}

int64_t *ir_graph_delay(const ir_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_along; i++)
        if (g->along[i].output && !strcmp(g->along[i].name, name)) return &g->along[i].delay;
    return NULL;
}

void ir_graph_remove(ir_graph *g) {
    ir_graph **at = &g->module->graphs;
    TL_ASSERT(*at != g);
    ir_node_drop_operands_from(g->body->yield, 0);
    if (g->initial) ir_node_drop_operands_from(g->initial, 0);
    while (g->body->last)
        ir_node_remove(g->body->last);
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
}

int32_t ir_graph_along(const ir_graph *g, const char *name, bool output) {
    for (uint32_t i = 0; name && i < g->n_along; i++)
        if (g->along[i].output == output && !strcmp(g->along[i].name, name))
            return g->along[i].axis;
    return -1;
}

void ir_graph_set_along(ir_graph *g, const char *name, bool output, int32_t axis) {
    tl_vec_grow(g->module->arena, (void **)&g->along, g->n_along, &g->along_cap, sizeof *g->along);
    g->along[g->n_along++] = (ir_along){ir_name(g->module->ctx, name), output, axis, 0};
}
