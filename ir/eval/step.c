/* Step functions: one call of a graph with states.
 *
 *   ir_datum *states = TL_NEW_ARRAY(a, ir_datum, g->n_states);      empty ones stand for the initial values
 *   ir_eval_step(&e, g, inputs, states, outputs);
 *   ir_eval_step(&e, g, next_inputs, states, outputs); */
#include "ir/eval/eval_internal.h"

/* The initial value stretched to the state's shape, whose symbols the inputs have bound. */
static bool make_initial(ir_eval *e, const ir_graph *g, uint32_t i, ir_datum *out) {
    const ir_tensor *from = ir_graph_initial(g, i)->tensor;
    const ir_type *t = ir_graph_state(g, i)->type;
    const char *name = ir_graph_state(g, i)->name;
    ev_shape s = {.rank = t->rank}, given = ev_shape_of(from);
    int64_t from_strides[IR_MAX_RANK], strides[IR_MAX_RANK];
    if (from->opaque) return ev_error(e, NULL, "state '%s': its initial value is not known", name);
    const ir_dim *growing = ir_graph_state_limit(g, i);
    for (int32_t d = 0; d < t->rank; d++)
        if (t->dims[d] == growing)
            s.dims[d] = 0;
        else if (!ev_dim(e, t->dims[d], &s.dims[d]))
            return ev_error(e, NULL, "state '%s': the inputs do not tell its size", name);
    if (!ev_broadcasts_to(&given, &s))
        return ev_error(e, NULL, "state '%s': its initial value has another shape", name);
    ir_tensor *y = ir_eval_tensor(e, NULL, t->dtype, s.rank, s.dims);
    if (!y) return false;
    ev_strides(&s, strides);
    ev_broadcast_strides(&given, &s, from_strides);
    ev_copy_nd(t->dtype, &s, ir_tensor_data(y), 0, strides, from->data, 0, from_strides);
    out->tensor = y;
    return true;
}

static bool make_all_initial(ir_eval *e, const ir_graph *g, const ir_datum *const *inputs,
                             ir_datum *states) {
    if (!ev_bind_inputs(e, g, inputs, ir_graph_n_inputs(g))) return false;
    for (uint32_t i = 0; i < g->n_states; i++)
        if (!states[i].tensor && !make_initial(e, g, i, &states[i])) return false;
    return true;
}

bool ir_eval_step(ir_eval *e, const ir_graph *g, const ir_datum *const *inputs, ir_datum *states,
                  ir_datum *outputs) {
    uint32_t n_in = ir_graph_n_inputs(g), n_out = ir_graph_n_outputs(g);
    const ir_datum **params = TL_NEW_ARRAY(e->arena, const ir_datum *, n_in + g->n_states);
    ir_datum *results = TL_NEW_ARRAY(e->arena, ir_datum, n_out + g->n_states);
    if (!make_all_initial(e, g, inputs, states)) return false;
    for (uint32_t i = 0; i < n_in + g->n_states; i++)
        params[i] = i < n_in ? inputs[i] : &states[i - n_in];
    if (!ir_eval_graph(e, g, params, results)) return false;
    for (uint32_t i = 0; i < n_out; i++)
        outputs[i] = results[i];
    for (uint32_t i = 0; i < g->n_states; i++)
        states[i] = results[n_out + i];
    return true;
}
