/* SequenceMap: a loop that takes the sequences apart and puts what the body makes of the items together again.
 *
 *   %y = SequenceMap(%xs, %w) { body(a, b) -> (c) }
 *   ->  %n = SequenceLength(%xs)
 *       %y = Loop(%n, true, SequenceEmpty()) { (i, go, ys) ->
 *           a = SequenceAt(%xs, i)    c = body(a, %w)    yield go, SequenceInsert(ys, c) } */
#include "frontend/upgrade.h"

/* The sequence the i-th result begins with. Its element type is what the body declares for that result. */
static ir_value *empty_result(fe_node *n, const fe_attr *body, uint32_t i) {
    if (i >= body->graph->n_output) return NULL; /* reported when the body is imported */
    const pb_value_info *p = body->graph->output[i];
    bool tensor = p->type && p->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    int64_t dtype = tensor ? p->type->tensor_type->elem_type : 0;
    if (dtype <= 0 || dtype >= DT_COUNT) {
        fe_error(n, "the body does not declare the element type of its output %u", i);
        return NULL;
    }
    return fe_build(n, OP_SequenceEmpty, NULL, 0,
                    &(ir_attr){.name = "dtype", .kind = ATTR_INT, .v.i = dtype}, 1);
}

/* What one round hands to the body: items of sequences, other operands as they are. */
static bool round_operands(fe_node *n, ir_value *counter, ir_value **args) {
    for (uint32_t i = 0; i < n->in.len; i++) {
        ir_value *v = n->in.data[i];
        bool is_list = v->type->kind == IR_TYPE_SEQUENCE;
        args[i] = is_list ? fe_build2(n, OP_SequenceAt, v, counter) : v;
        if (!args[i]) return false;
    }
    return true;
}

/* The loop's body, in region r whose parameters are counter, condition and the lists so far. */
static bool fill_body(fe_node *n, const fe_attr *body, ir_region *r) {
    fe_node inner = *n;
    tl_arena *a = n->im->scratch;
    ir_value **args = TL_NEW_ARRAY(a, ir_value *, (size_t)n->in.len + 1),
             **items = TL_NEW_ARRAY(a, ir_value *, (size_t)n->n_out + 1),
             **results = TL_NEW_ARRAY(a, ir_value *, (size_t)n->n_out + 1);
    inner.region = r;
    results[0] = r->params[1];
    if (!round_operands(&inner, r->params[0], args)) return false;
    if (!fe_inline_graph(&inner, body->scope, body->graph, "body", args, n->in.len, items))
        return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!ir_type_is_tensor(items[i]->type))
            return fe_error(n, "output %u of the body is not a tensor", i);
        results[i + 1] = fe_build2(&inner, OP_SequenceInsert, r->params[i + 2], items[i]);
        if (!results[i + 1]) return false;
    }
    ir_region_set_results(r, results, n->n_out + 1);
    return true;
}

static bool sequence_map(fe_node *n) {
    ir_module *m = n->im->m;
    const fe_attr *body = fe_find_attr(n, "body");
    if (!body || !body->graph) return fe_error(n, "attribute 'body' is missing");
    for (uint32_t i = 0; i < n->in.len; i++)
        if (!n->in.data[i]) return fe_error(n, "input %u is missing", i);
    if (!n->in.len || n->in.data[0]->type->kind != IR_TYPE_SEQUENCE)
        return fe_error(n, "input 0 is not a sequence");
    ir_value **in = TL_NEW_ARRAY(n->im->scratch, ir_value *, (size_t)n->n_out + 2);
    in[0] = fe_build1(n, OP_SequenceLength, n->in.data[0]);
    in[1] = fe_scalar(n, DT_bool, 1);
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!(in[i + 2] = empty_result(n, body, i))) return false;
    if (!in[0]) return false;
    ir_node *loop = ir_node_create(m, OP_Loop, in, n->n_out + 2, n->n_out);
    loop->loc = n->loc;
    ir_node_append(n->region, loop);
    ir_region *r = ir_node_add_region(m, loop, "body");
    ir_region_add_param(r, ir_type_scalar(n->im->c, DT_i64), NULL);
    ir_region_add_param(r, ir_type_scalar(n->im->c, DT_bool), NULL);
    for (uint32_t i = 0; i < n->n_out; i++)
        ir_region_add_param(r, in[i + 2]->type, NULL);
    if (!fill_body(n, body, r)) return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        n->out[i] = &loop->out[i];
        n->out[i]->name = fe_unique_name(n->im, n->scope, n->out_names[i]);
    }
    n->done = ir_infer_node(n->im->c, loop);
    return n->done;
}

/* clang-format off */
const fe_rule fe_rules_sequence[] = {
    {"", "SequenceMap", FE_ALWAYS, sequence_map, "Loop"},
    {0},
};
/* clang-format on */
