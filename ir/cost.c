#include "ir/cost.h"

#include "ir/band.h"
#include "ir/einsum.h"

/* The cost of a node that is no loop or branch, and of two branches of which one runs: what a sum over a graph is made of. */
typedef struct cost_kind {
    const ir_dim *(*node)(ir_ctx *c, const ir_node *n);
    const ir_dim *(*either)(ir_ctx *c, const ir_dim *a, const ir_dim *b);
} cost_kind;

static const ir_dim *region_cost(ir_ctx *c, const ir_region *r, const cost_kind *k);

static const ir_dim *elements_of(ir_ctx *c, const ir_value *v) {
    return v && v->type ? ir_type_elements(c, v->type) : ir_dim_unknown(c);
}

/* Dimension `axis` of v, counted from the end where negative; unknown where there is none. */
static const ir_dim *dim_of(ir_ctx *c, const ir_value *v, int32_t axis) {
    if (!v || !v->type || !ir_type_is_ranked(v->type)) return ir_dim_unknown(c);
    if (axis < 0) axis += v->type->rank;
    return axis >= 0 && axis < v->type->rank ? v->type->dims[axis] : ir_dim_unknown(c);
}

/* 2 * a * b */
static const ir_dim *multiply_adds(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    return ir_dim_mul(c, ir_dim_const(c, 2), ir_dim_mul(c, a, b));
}

/* Keys that a query of LocalAttention sees. */
static const ir_dim *local_keys(ir_ctx *c, const ir_node *n, const ir_dim *keys) {
    ir_band band = ir_band_of(n);
    int64_t all = INT64_MAX, span;
    ir_dim_is_const(keys, &all);
    span = ir_band_span(&band, 1, all);
    return span == INT64_MAX ? keys : ir_dim_const(c, span);
}

/* Scores and mixing: every element of Q, and of the result, meets every key that it sees; half of those of a causal mask count as all. */
static const ir_dim *attention_flops(ir_ctx *c, const ir_node *n) {
    const ir_value *q = ir_in(n, 0), *k = ir_in(n, 1);
    const ir_value *past = n->op == OP_Attention ? ir_in(n, 4) : NULL;
    const ir_dim *keys = dim_of(c, k, -2);
    if (past) keys = ir_dim_add(c, keys, dim_of(c, past, -2));
    if (n->op == OP_LocalAttention) keys = local_keys(c, n, keys);
    const ir_dim *both = ir_dim_add(c, elements_of(c, q), elements_of(c, ir_out(n, 0)));
    return multiply_adds(c, both, keys);
}

typedef struct span_trips {
    ir_ctx *c;
    const ir_dim *symbol, *trips;
} span_trips;

static const ir_dim *all_rounds(void *data, const char *symbol) {
    const span_trips *s = data;
    return ir_dim_symbol(s->c, symbol) == s->symbol ? s->trips : NULL;
}

/* A body that does several rounds at once takes so many times the arithmetic of one: as if it did all of them. */
static const ir_dim *span_cost(ir_ctx *c, const ir_node *n, const ir_dim *body,
                               const ir_dim *trips) {
    int64_t span = ir_attr_int(n, "span", 0), axis = 0;
    const ir_type *t = n->regions[0]->params[1]->type;
    uint32_t count;
    const int64_t *axes = ir_attr_ints(n, "input_axes", &count);
    if (axes && count) axis = axes[0] < 0 ? axes[0] + t->rank : axes[0];
    const ir_dim *taken = t->dims[axis];
    if (!ir_dim_is_const(taken, NULL))
        return ir_dim_substitute(c, body, all_rounds, &(span_trips){c, taken, trips});
    return ir_dim_mul(c, body, ir_dim_floordiv(c, trips, ir_dim_const(c, span)));
}

static const ir_dim *loop_cost(ir_ctx *c, const ir_node *n, const cost_kind *k) {
    const ir_dim *trips;
    const ir_dim *body = region_cost(c, n->regions[0], k);
    if (ir_dim_is(body, 0)) return body;
    if (!ir_in(n, 0) || ir_value_known_dims(c, ir_in(n, 0), &trips, 1) != 1)
        return ir_dim_unknown(c);
    return ir_attr_has(n, "span") ? span_cost(c, n, body, trips) : ir_dim_mul(c, trips, body);
}

static const ir_dim *scan_cost(ir_ctx *c, const ir_node *n, const cost_kind *k) {
    const ir_dim *body = region_cost(c, n->regions[0], k);
    uint32_t scanned = (uint32_t)ir_attr_int(n, "num_scan_inputs", 1), count;
    if (ir_dim_is(body, 0)) return body;
    if (scanned == 0 || scanned > n->n_in) return ir_dim_unknown(c);
    const int64_t *axes = ir_attr_ints(n, "scan_input_axes", &count);
    int32_t axis = axes && count ? (int32_t)axes[0] : 0;
    return ir_dim_mul(c, dim_of(c, ir_in(n, n->n_in - scanned), axis), body);
}

/* Every element of the result: the channels of a group times the taps. Winograd's algorithm has a quarter of the products (36 for the 144 of
 * a whole tile, codegen/kernels/winograd.h); what tiles reach beyond the result is not counted. */
static const ir_dim *conv_flops(ir_ctx *c, const ir_node *n) {
    const ir_type *x = ir_in(n, 0)->type, *w = ir_in(n, 1)->type;
    int64_t groups = ir_attr_int(n, "group", 1);
    uint32_t count;
    const int64_t *kernel = ir_attr_ints(n, "kernel_shape", &count);
    if (!ir_type_is_ranked(x) || x->rank < 3 || groups < 1) return ir_dim_unknown(c);
    const ir_dim *depth = ir_dim_floordiv(c, x->dims[1], ir_dim_const(c, groups));
    bool whole = n->op == OP_Conv && ir_type_is_ranked(w) && w->rank == x->rank;
    for (int32_t i = 0; i < x->rank - 2; i++) {
        const ir_dim *taps = whole                          ? w->dims[2 + i]
                             : kernel && (int32_t)count > i ? ir_dim_const(c, kernel[i])
                                                            : ir_dim_unknown(c);
        depth = ir_dim_mul(c, depth, taps);
    }
    const ir_dim *flops = multiply_adds(c, elements_of(c, ir_out(n, 0)), depth);
    return ir_attr_int(n, "winograd", 0) ? ir_dim_floordiv(c, flops, ir_dim_const(c, 4)) : flops;
}

/* The same with channels last. */
static const ir_dim *conv_bytes_flops(ir_ctx *c, const ir_node *n) {
    int64_t taps = 1;
    uint32_t count = 0;
    const int64_t *kernel = ir_attr_ints(n, "kernel_shape", &count);
    for (uint32_t i = 0; kernel && i < count; i++)
        taps *= kernel[i];
    const ir_dim *depth = ir_dim_const(c, taps);
    if (ir_attr_int(n, "group", 1) == 1) depth = ir_dim_mul(c, depth, dim_of(c, ir_in(n, 0), -1));
    return multiply_adds(c, elements_of(c, ir_out(n, 0)), depth);
}

static const ir_dim *product_flops(ir_ctx *c, const ir_node *n) {
    switch (n->op) {
    case OP_MatMul:
        return multiply_adds(c, elements_of(c, ir_out(n, 0)), dim_of(c, ir_in(n, 0), -1));
    case OP_Gemm:
        return multiply_adds(c, elements_of(c, ir_out(n, 0)),
                             dim_of(c, ir_in(n, 0), ir_attr_int(n, "transA", 0) ? 0 : 1));
    case OP_MatMulPacked:
        return multiply_adds(c, elements_of(c, ir_in(n, 0)),
                             ir_dim_const(c, ir_attr_int(n, "n", 0)));
    case OP_MatMulArg:
        return multiply_adds(c, elements_of(c, ir_in(n, 0)), dim_of(c, ir_in(n, 1), -1));
    case OP_Conv:
    case OP_ConvPacked:
        return conv_flops(c, n);
    case OP_ConvBytes:
        return conv_bytes_flops(c, n);
    case OP_Attention:
    case OP_LocalAttention:
        return attention_flops(c, n);
    default:
        return ir_dim_const(c, 0);
    }
}

static const ir_dim *equal_or_unknown(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    return ir_dim_equal(a, b) ? a : ir_dim_unknown(c);
}

static const cost_kind flops_kind = {product_flops, equal_or_unknown};

static const ir_dim *node_cost(ir_ctx *c, const ir_node *n, const cost_kind *k) {
    switch (n->op) {
    case OP_Loop:
    case OP_Recur:
        return loop_cost(c, n, k);
    case OP_Scan:
        return scan_cost(c, n, k);
    case OP_If:
        return k->either(c, region_cost(c, n->regions[0], k), region_cost(c, n->regions[1], k));
    default:
        return k->node(c, n);
    }
}

static const ir_dim *region_cost(ir_ctx *c, const ir_region *r, const cost_kind *k) {
    const ir_dim *sum = ir_dim_const(c, 0);
    ir_for_each_node (n, r) {
        const ir_dim *f = node_cost(c, n, k);
        if (!ir_dim_is(f, 0)) sum = ir_dim_add(c, sum, f);
    }
    return sum;
}

const ir_dim *ir_node_flops(ir_ctx *c, const ir_node *n) {
    return node_cost(c, n, &flops_kind);
}

/* ---- what passes take apart ----------------------------------------------------------------------------------- */

/* Of two operands: each element of one meets, of the other, what it shares labels with. More are multiplied in an order that a pass chooses. */
static const ir_dim *einsum_flops(ir_ctx *c, const ir_node *n) {
    ir_einsum e;
    int32_t ranks[2];
    if (n->n_in == 1) return ir_dim_const(c, 0);
    if (n->n_in > 2) return ir_dim_unknown(c);
    for (uint32_t i = 0; i < 2; i++) {
        const ir_type *t = ir_in(n, i)->type;
        if (!ir_type_is_ranked(t)) return ir_dim_unknown(c);
        ranks[i] = t->rank;
    }
    if (ir_einsum_parse(&e, &c->arena, ir_attr_string(n, "equation", ""), ranks, 2))
        return ir_dim_unknown(c);
    const ir_dim *depth = ir_dim_const(c, 1);
    for (uint32_t label = 0; label < e.n_labels; label++) {
        int32_t a = ir_einsum_axis(&e.terms[0], label), b = ir_einsum_axis(&e.terms[1], label);
        if (ir_einsum_axis(&e.out, label) < 0)
            depth = ir_dim_mul(c, depth, dim_of(c, ir_in(n, a < 0), a < 0 ? b : a));
    }
    return multiply_adds(c, elements_of(c, ir_out(n, 0)), depth);
}

/* Every row of every step times both matrices. */
static const ir_dim *rnn_flops(ir_ctx *c, const ir_node *n) {
    const ir_value *x = ir_in(n, 0);
    const ir_dim *weights = ir_dim_add(c, elements_of(c, ir_in(n, 1)), elements_of(c, ir_in(n, 2)));
    return multiply_adds(c, ir_dim_mul(c, dim_of(c, x, 0), dim_of(c, x, 1)), weights);
}

/* Every element of the input: the features of a group times the taps. */
static const ir_dim *conv_transpose_flops(ir_ctx *c, const ir_node *n) {
    const ir_dim *taps = ir_dim_floordiv(c, elements_of(c, ir_in(n, 1)), dim_of(c, ir_in(n, 1), 0));
    return multiply_adds(c, elements_of(c, ir_in(n, 0)), taps);
}

static const ir_dim *written_flops(ir_ctx *c, const ir_node *n) {
    switch (n->op) {
    case OP_Einsum:
        return einsum_flops(c, n);
    case OP_RNN:
    case OP_GRU:
    case OP_LSTM:
        return rnn_flops(c, n);
    case OP_ConvTranspose:
        return conv_transpose_flops(c, n);
    default:
        return product_flops(c, n);
    }
}

const ir_dim *ir_graph_flops(ir_ctx *c, const ir_graph *g) {
    static const cost_kind written_kind = {written_flops, equal_or_unknown};
    return region_cost(c, g->body, &written_kind);
}

/* ---- work ----------------------------------------------------------------------------------------------------- */

/* An element that is computed without products is worth so many operations of one: loaded, a few functions, stored. */
enum { ELEMENT_WORK = 20 };

static const ir_dim *node_work(ir_ctx *c, const ir_node *n) {
    const ir_dim *sum = product_flops(c, n);
    if (op_is(n->op, OP_VIEW) || !ir_dim_is(sum, 0)) return sum;
    for (uint32_t i = 0; i < n->n_out; i++)
        sum = ir_dim_add(c, sum, elements_of(c, ir_out(n, i)));
    return ir_dim_mul(c, sum, ir_dim_const(c, ELEMENT_WORK));
}

const ir_dim *ir_graph_work(ir_ctx *c, const ir_graph *g) {
    static const cost_kind work_kind = {node_work, ir_dim_max};
    return region_cost(c, g->body, &work_kind);
}

static bool is_serial(const ir_node *n) {
    return n->op == OP_Loop || (n->op == OP_Recur && ir_attr_int(n, "carries", 0) > 0);
}

const ir_dim *ir_graph_serial_flops(ir_ctx *c, const ir_graph *g) {
    const ir_dim *sum = ir_dim_const(c, 0);
    ir_for_each_node (n, g->body)
        if (is_serial(n)) sum = ir_dim_add(c, sum, ir_node_flops(c, n));
    return sum;
}

double ir_graph_flops_const(ir_ctx *c, const ir_graph *g) {
    int64_t v;
    return ir_dim_is_const(ir_graph_flops(c, g), &v) ? (double)v : 0;
}

void ir_module_count_parameters(const ir_module *m, uint64_t *elements, uint64_t *bytes) {
    *elements = *bytes = 0;
    for (const ir_const *k = m->consts; k; k = k->next) {
        const ir_tensor *t = k->value.tensor;
        if (!k->value.uses || !ir_dtype_is_float(t->type->dtype)) continue;
        *elements += ir_tensor_elements(t);
        *bytes += t->bytes;
    }
}
