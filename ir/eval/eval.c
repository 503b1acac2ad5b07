/* The evaluator's frame: runs graphs, regions and nodes, binds dimension symbols and checks shapes; see eval.h.
 *
 * Values live in one map, value -> datum, written when the value's definition runs and read by its users. Regions do not
 * recurse, so one map serves all of them: in a loop each iteration overwrites the entries of the one before.
 *
 * Every result is checked against the type that inference gave it, which makes each evaluation a test of the shape rules:
 * known dims must agree, and a symbol that only the data tells ("t.d0") takes its value from the first node that has it. */
#include "ir/eval/eval_internal.h"

struct ir_eval_frame {
    tl_map values; /* ir_value -> ir_datum */
};

void ir_eval_init(ir_eval *e, ir_ctx *c, tl_arena *a) {
    *e = (ir_eval){.ctx = c, .arena = a};
    tl_map_init(&e->symbols, a);
    tl_map_init(&e->binders, a);
    e->frame = TL_NEW(a, struct ir_eval_frame);
    tl_map_init(&e->frame->values, a);
}

static void frame_set(ir_eval *e, const ir_value *v, const ir_datum *d) {
    tl_map_set_ptr(&e->frame->values, v, d);
}

/* The datum of a value: of a constant made on the spot. NULL for an omitted operand. */
static const ir_datum *frame_get(ir_eval *e, const ir_value *v) {
    if (!v) return NULL;
    const ir_datum *d = tl_map_get_ptr(&e->frame->values, v);
    if (d || !v->tensor) return d;
    ir_datum *constant = TL_NEW(e->arena, ir_datum);
    constant->tensor = v->tensor;
    return constant;
}

/* ---- shapes against types --------------------------------------------------------------------------------------- */

static bool lookup_symbol(void *data, const char *symbol, int64_t *value) {
    const ir_eval *e = data;
    const uint64_t *slot = tl_map_find(&e->symbols, (uint64_t)(uintptr_t)symbol);
    if (slot) *value = (int64_t)*slot;
    return slot != NULL;
}

bool ev_dim(ir_eval *e, const ir_dim *d, int64_t *value) {
    return !ir_dim_is_unknown(d) && ir_dim_eval(d, lookup_symbol, e, value);
}

/* A symbol's value may change only by the node that gave it (in the next iteration of a loop). */
static void bind_symbol(ir_eval *e, const ir_node *n, const ir_dim *d, int64_t value) {
    if (!ir_dim_is_symbol(d)) return;
    const char *symbol = ir_dim_symbol_name(d);
    bool added;
    uint64_t *slot = tl_map_insert(&e->symbols, (uint64_t)(uintptr_t)symbol, &added);
    if (added && n) tl_map_set_ptr(&e->binders, symbol, n);
    if (added || (n && tl_map_get_ptr(&e->binders, symbol) == n)) *slot = (uint64_t)value;
}

static bool dim_agrees(ir_eval *e, const ir_dim *d, int64_t found) {
    int64_t expected;
    return !ev_dim(e, d, &expected) || expected == found;
}

static const char *type_text(ir_eval *e, const ir_type *t) {
    tl_str text;
    tl_str_init(&text, e->arena);
    ir_type_print(t, &text);
    return text.data;
}

/* what: "input", "result". n: whose result it is, NULL for inputs of the graph. */
static bool check_tensor(ir_eval *e, const ir_node *n, const char *what, const char *name,
                         const ir_type *type, const ir_tensor *t) {
    bool fits = t->type->dtype == type->dtype && (type->rank < 0 || t->type->rank == type->rank);
    ev_shape s = ev_shape_of(t);
    for (int32_t i = 0; fits && i < type->rank; i++)
        bind_symbol(e, n, type->dims[i], s.dims[i]);
    for (int32_t i = 0; fits && i < type->rank; i++)
        fits = dim_agrees(e, type->dims[i], s.dims[i]);
    if (fits) return true;
    return ev_error(e, n, "%s '%s' is %s%s, its type is %s", what, name ? name : "",
                    ir_dtype_name(t->type->dtype), ev_shape_text(e, &s), type_text(e, type));
}

static bool check_datum(ir_eval *e, const ir_node *n, const char *what, const char *name,
                        const ir_type *type, const ir_datum *d) {
    if (!type) return true;
    if (type->kind == IR_TYPE_TENSOR) {
        if (!d->tensor) return ev_error(e, n, "%s '%s' is not a tensor", what, name ? name : "");
        return check_tensor(e, n, what, name, type, d->tensor);
    }
    bool is_optional = type->kind == IR_TYPE_OPTIONAL;
    if (d->tensor && !is_optional)
        return ev_error(e, n, "%s '%s' is a tensor", what, name ? name : "");
    return true;
}

bool ev_bind_param(ir_eval *e, const ir_node *n, const ir_value *param, const ir_datum *d) {
    return check_datum(e, n, "parameter", param->name, param->type, d);
}

/* ---- nodes, regions, graphs -------------------------------------------------------------------------------------- */

static bool check_results(ir_eval *e, const ir_node *n, ir_datum *out) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        bool empty = !out[i].tensor && !out[i].is_sequence && !out[i].is_optional && !out[i].is_map;
        if (empty && !n->out[i].uses) continue;
        if (!check_datum(e, n, "result", n->out[i].name, n->out[i].type, &out[i])) return false;
    }
    return true;
}

static bool eval_one(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (in[i] && in[i]->tensor && in[i]->tensor->opaque)
            return ev_error(e, n, "operand %u has no contents", i);
    memset(out, 0, n->n_out * sizeof *out);
    return op_eval(n->op)(e, n, in, out) && check_results(e, n, out);
}

/* Gives computed tensors their content hash. Only for what leaves the evaluator: values inside a graph need none. */
static void seal(ir_datum *d, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (d[i].tensor && !d[i].tensor->hash) ir_tensor_seal((ir_tensor *)d[i].tensor);
}

bool ir_eval_node(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    if (!eval_one(e, n, in, out)) return false;
    seal(out, n->n_out);
    return true;
}

static bool run_node(ir_eval *e, const ir_node *n) {
    const ir_datum **in = TL_NEW_ARRAY(e->arena, const ir_datum *, n->n_in + 1);
    ir_datum *out = TL_NEW_ARRAY(e->arena, ir_datum, n->n_out + 1);
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = frame_get(e, ir_in(n, i));
        if (ir_in(n, i) && !in[i]) return ev_error(e, n, "operand %u has no value", i);
    }
    if (!eval_one(e, n, in, out)) return false;
    if (e->on_node) e->on_node(e->on_node_data, n, out);
    for (uint32_t i = 0; i < n->n_out; i++)
        frame_set(e, &n->out[i], &out[i]);
    return true;
}

bool ir_eval_region(ir_eval *e, const ir_region *r, const ir_datum *const *params,
                    ir_datum *results) {
    for (uint32_t i = 0; i < r->n_params; i++)
        frame_set(e, r->params[i], params[i]);
    ir_for_each_node (n, r) {
        if (!run_node(e, n)) return false;
    }
    for (uint32_t i = 0; i < ir_region_n_results(r); i++) {
        const ir_datum *d = frame_get(e, ir_region_result(r, i));
        if (!d) return ev_error(e, r->owner, "result %u of a region has no value", i);
        results[i] = *d;
    }
    return true;
}

bool ev_bind_inputs(ir_eval *e, const ir_graph *g, const ir_datum *const *inputs, uint32_t n) {
    tl_map_clear(&e->symbols);
    tl_map_clear(&e->binders);
    tl_map_clear(&e->frame->values);
    for (uint32_t i = 0; i < n; i++) {
        const ir_value *v = g->body->params[i];
        if (!inputs[i])
            return diag_error(&e->ctx->diag, NULL, "graph '%s': input '%s' is missing", g->name,
                              v->name);
        if (!check_datum(e, NULL, "input", v->name, v->type, inputs[i])) return false;
    }
    /* Once more, now that all symbols have values: an expression may use one that a later input binds. */
    for (uint32_t i = 0; i < n; i++) {
        const ir_value *v = g->body->params[i];
        if (!check_datum(e, NULL, "input", v->name, v->type, inputs[i])) return false;
    }
    return true;
}

bool ir_eval_graph(ir_eval *e, const ir_graph *g, const ir_datum *const *inputs,
                   ir_datum *outputs) {
    if (!ev_bind_inputs(e, g, inputs, g->body->n_params) ||
        !ir_eval_region(e, g->body, inputs, outputs))
        return false;
    seal(outputs, ir_region_n_results(g->body));
    return true;
}

bool ir_eval_can_fold(const ir_node *n) {
    if (!op_is(n->op, OP_PURE) || op_is(n->op, OP_SESSION) || n->n_regions || !n->n_out)
        return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = ir_in(n, i);
        if (v && (!ir_value_is_const(v) || v->tensor->opaque)) return false;
    }
    for (uint32_t i = 0; i < n->n_out; i++) {
        size_t bytes;
        const ir_type *t = n->out[i].type;
        if (!ir_type_is_tensor(t)) return false;
        if (ir_type_static_bytes(t, &bytes) && bytes > IR_MAX_FOLD_BYTES) return false;
    }
    return n->op != OP_Dims && ir_eval_knows(n->op);
}

bool ir_eval_knows(op_id op) {
    return op_eval(op) != eval_none;
}

ir_tensor *ir_eval_tensor(ir_eval *e, const ir_node *n, ir_dtype t, int32_t rank,
                          const int64_t *dims) {
    size_t bytes = 0;
    bool fits = rank >= 0 && rank <= IR_MAX_RANK;
    for (int32_t i = 0; fits && i < rank; i++)
        fits = dims[i] >= 0;
    if (!fits) {
        ev_error(e, n, "the result's shape is not valid");
        return NULL;
    }
    const ir_type *type = ir_type_tensor_static(e->ctx, t, rank, dims);
    if (!ir_type_static_bytes(type, &bytes) ||
        bytes > (e->max_bytes ? e->max_bytes : IR_MAX_TENSOR_BYTES)) {
        ev_error(e, n, "the result %s is larger than what is evaluated", type_text(e, type));
        return NULL;
    }
    return ir_tensor_alloc(e->arena, type);
}
