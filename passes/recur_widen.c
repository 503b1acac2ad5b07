/* See recur_widen.h. A rule says for an operator whether a node fits (which operands may vary, what has to be constant) and builds
 * its widened form. Axes are counted from the end, so that the new one in front does not move them. */
#include "passes/recur_widen.h"

#include "ir/base/assert.h"
#include "ir/limits.h"
#include "passes/util.h"

typedef struct widen_rule {
    op_id op;
    bool (*fits)(const widening *w, const ir_node *n);
    void (*build)(widening *w, ir_builder *b, ir_node *n);
} widen_rule;

/* ---- stacked values --------------------------------------------------------------------------------------------- */

void widening_init(widening *w, pass_ctx *ctx, const loop_like *l) {
    *w = (widening){.ctx = ctx, .loop = l, .trips = recur_trips(ctx->c, l->node)};
    w->graph = l->body->graph;
    w->varies = ir_new_mark(ctx->c);
    w->reverse = l->n_sliced && recur_list_at(l->node, "input_reverse", 0) != 0;
    tl_map_init(&w->values, ctx->scratch);
}

void widening_init_part(widening *w, pass_ctx *ctx, const loop_like *l, const ir_dim *rounds) {
    widening_init(w, ctx, l);
    w->trips = rounds;
}

void widening_init_graph(widening *w, pass_ctx *ctx, const ir_graph *g, const ir_dim *count) {
    *w = (widening){.ctx = ctx, .graph = g, .trips = count, .varies = ir_new_mark(ctx->c)};
    tl_map_init(&w->values, ctx->scratch);
}

void widening_mark(widening *w, ir_value *v) {
    v->mark = w->varies;
}

void widening_set(widening *w, ir_value *v, ir_value *stacked) {
    tl_map_set_ptr(&w->values, v, stacked);
    widening_mark(w, v);
}

bool widening_is_fixed(const widening *w, const ir_value *v) {
    return !v || v->mark != w->varies;
}

static bool is_slice(const widening *w, const ir_value *v) {
    return w->loop && v->region == w->loop->body &&
           v->index >= w->loop->first_param + w->loop->n_carried;
}

static bool is_counter(const widening *w, const ir_value *v) {
    return w->loop && v->region == w->loop->body && v->index == 0;
}

bool widening_can_get(const widening *w, const ir_value *v) {
    if (tl_map_get_ptr(&w->values, v)) return true;
    if (is_slice(w, v)) {
        uint32_t i = v->index - w->loop->first_param - w->loop->n_carried;
        const ir_type *t = loop_sliced(w->loop, i)->type;
        if (!ir_type_is_known(t)) return false;
        int32_t axis = normal_axis(recur_list_at(w->loop->node, "input_axes", i), t->rank);
        return ir_dim_equal(t->dims[axis], w->trips);
    }
    return is_counter(w, v);
}

/* The axis of the rounds in front, in the common order. */
static ir_value *stack_slice(widening *w, ir_builder *b, uint32_t i) {
    ir_value *v = loop_sliced(w->loop, i);
    int64_t perm[IR_MAX_RANK];
    int32_t rank = v->type->rank,
            axis = normal_axis(recur_list_at(w->loop->node, "input_axes", i), rank);
    bool reverse = recur_list_at(w->loop->node, "input_reverse", i) != 0;
    for (int32_t k = 0; k < rank; k++)
        perm[k] = k == 0 ? axis : k <= axis ? k - 1 : k;
    if (axis) v = build_transpose(b, v, perm, (uint32_t)rank);
    if (reverse == w->reverse) return v;
    ir_value *in[] = {v, build_i64s(b, (int64_t[]){-1}, 1),
                      build_i64s(b, (int64_t[]){INT64_MIN}, 1), build_i64s(b, (int64_t[]){0}, 1),
                      build_i64s(b, (int64_t[]){-1}, 1)};
    return build_node(b, OP_Slice, in, 5, 1, NULL, 0)->out;
}

static ir_value *stack_counter(widening *w, ir_builder *b) {
    ir_ctx *c = w->ctx->c;
    const ir_dim *last = ir_dim_sub(c, w->trips, ir_dim_const(c, 1));
    ir_value *from = w->reverse ? build_dim_scalar(b, last) : build_scalar(b, DT_i64, 0),
             *to = w->reverse ? build_scalar(b, DT_i64, -1) : build_dim_scalar(b, w->trips);
    return build_op3(b, OP_Range, from, to, build_scalar(b, DT_i64, w->reverse ? -1 : 1));
}

ir_value *widening_get(widening *w, ir_builder *b, ir_value *v) {
    ir_value *stacked = tl_map_get_ptr(&w->values, v);
    if (stacked || !widening_can_get(w, v)) return stacked;
    stacked = is_counter(w, v)
                  ? stack_counter(w, b)
                  : stack_slice(w, b, v->index - w->loop->first_param - w->loop->n_carried);
    tl_map_set_ptr(&w->values, v, stacked);
    return stacked;
}

/* [trips, dims of t] */
static uint32_t stacked_dims(const widening *w, const ir_type *t, const ir_dim **dims) {
    dims[0] = w->trips;
    for (int32_t i = 0; i < t->rank; i++)
        dims[1 + i] = t->dims[i];
    return (uint32_t)t->rank + 1;
}

/* v stacked, with ones behind the first axis as if v had this rank: broadcasts as v did. Itself where it does not vary. */
static ir_value *aligned(widening *w, ir_builder *b, ir_value *v, int32_t rank) {
    const ir_dim *dims[IR_MAX_RANK];
    if (widening_is_fixed(w, v)) return v;
    ir_value *stacked = widening_get(w, b, v);
    int32_t own = v->type->rank, n = 0;
    if (own >= rank) return stacked;
    dims[n++] = w->trips;
    for (int32_t i = own; i < rank; i++)
        dims[n++] = ir_dim_const(w->ctx->c, 1);
    for (int32_t i = 0; i < own; i++)
        dims[n++] = v->type->dims[i];
    return build_reshape(b, stacked, dims, (uint32_t)n);
}

ir_value *widening_get_all(widening *w, ir_builder *b, ir_value *v) {
    const ir_dim *dims[IR_MAX_RANK];
    if (!widening_is_fixed(w, v)) return widening_get(w, b, v);
    uint32_t rank = stacked_dims(w, v->type, dims);
    return build_op2(b, OP_Expand, v, build_dims(b, dims, rank));
}

/* ---- what rules ask and do --------------------------------------------------------------------------------------- */

static bool only_first_varies(const widening *w, const ir_node *n) {
    for (uint32_t i = 1; i < n->n_in; i++)
        if (!widening_is_fixed(w, ir_in(n, i))) return false;
    return true;
}

static bool any(const widening *w, const ir_node *n) {
    (void)w, (void)n;
    return true;
}

/* A copy of n with these operands; results that are not asked for yet have no types. */
static ir_node *copy_node(widening *w, ir_builder *b, ir_node *n, ir_value *const *in) {
    ir_node *copy = ir_node_clone(w->ctx->m, n, in);
    copy->loc = n->loc;
    for (uint32_t i = 0; i < copy->n_out; i++) {
        copy->out[i].name = ir_name_derive(w->ctx->m, &n->out[i], "all");
        copy->out[i].type = NULL;
        copy->out[i].known = NULL;
    }
    if (b->before)
        ir_node_insert_before(b->before, copy);
    else
        ir_node_append(b->region, copy);
    return copy;
}

static void finish(widening *w, ir_node *n, ir_node *copy) {
    bool inferred = ir_infer_node(w->ctx->c, copy);
    TL_ASSERT(inferred);
    for (uint32_t i = 0; i < n->n_out; i++)
        tl_map_set_ptr(&w->values, &n->out[i], &copy->out[i]);
}

/* n again, with operand 0 stacked and the rest as they are. */
static ir_node *copy_with_first(widening *w, ir_builder *b, ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = ir_in(n, i);
    in[0] = widening_get(w, b, ir_in(n, 0));
    return copy_node(w, b, n, in);
}

static int64_t from_end(int64_t axis, int32_t rank) {
    return axis < 0 ? axis : axis - rank;
}

/* ---- rules --------------------------------------------------------------------------------------------------------- */

/* Scalars of Clip stay scalars. */
static bool fits_elementwise(const widening *w, const ir_node *n) {
    return n->op != OP_Clip || only_first_varies(w, n);
}

static void widen_elementwise(widening *w, ir_builder *b, ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = ir_in(n, i) ? aligned(w, b, ir_in(n, i), n->out[0].type->rank) : NULL;
    finish(w, n, copy_node(w, b, n, in));
}

/* Along an axis that an attribute names. */
static void widen_axis(widening *w, ir_builder *b, ir_node *n) {
    int64_t axis = ir_attr_int(n, "axis", -1);
    ir_node *copy = copy_with_first(w, b, n);
    ir_attr_set_int(w->ctx->m, copy, "axis", from_end(axis, ir_in(n, 0)->type->rank));
    finish(w, n, copy);
}

/* Axes are constants of an operand, or missing: then all (or the first ones, in order) are meant. */
static bool has_known_axes(const widening *w, const ir_node *n, uint32_t operand) {
    int64_t axes[IR_MAX_RANK];
    return only_first_varies(w, n) &&
           (!ir_in(n, operand) || ir_value_const_ints(ir_in(n, operand), axes, IR_MAX_RANK) >= 0);
}

static void set_axes(widening *w, ir_builder *b, ir_node *copy, uint32_t operand, int32_t rank,
                     uint32_t n_default) {
    int64_t axes[IR_MAX_RANK];
    uint32_t count = n_default;
    ir_value *given = ir_in(copy, operand);
    for (uint32_t i = 0; i < n_default; i++)
        axes[i] = i;
    if (given) count = (uint32_t)ir_value_const_ints(given, axes, IR_MAX_RANK);
    for (uint32_t i = 0; i < count; i++)
        axes[i] = from_end(axes[i], rank);
    while (copy->n_in <= operand)
        ir_node_add_operand(w->ctx->m, copy, NULL);
    ir_node_set_operand(copy, operand, build_i64s(b, axes, count));
}

static bool fits_reduce(const widening *w, const ir_node *n) {
    int64_t axes[IR_MAX_RANK];
    bool empty = !ir_in(n, 1) || ir_value_const_ints(ir_in(n, 1), axes, IR_MAX_RANK) == 0;
    return has_known_axes(w, n, 1) && !(empty && ir_attr_int(n, "noop_with_empty_axes", 0)) &&
           !(empty && ir_in(n, 1));
}

static void widen_reduce(widening *w, ir_builder *b, ir_node *n) {
    ir_node *copy = copy_with_first(w, b, n);
    int32_t rank = ir_in(n, 0)->type->rank;
    set_axes(w, b, copy, 1, rank, (uint32_t)rank);
    finish(w, n, copy);
}

static bool fits_slice(const widening *w, const ir_node *n) {
    const ir_type *t = ir_in(n, 1)->type;
    return has_known_axes(w, n, 3) && ir_type_is_ranked(t) && ir_dim_is_const(t->dims[0], NULL);
}

static void widen_slice(widening *w, ir_builder *b, ir_node *n) {
    ir_node *copy = copy_with_first(w, b, n);
    int64_t count = 0;
    ir_dim_is_const(ir_in(n, 1)->type->dims[0], &count);
    set_axes(w, b, copy, 3, ir_in(n, 0)->type->rank, (uint32_t)count);
    finish(w, n, copy);
}

static bool fits_pad(const widening *w, const ir_node *n) {
    return has_known_axes(w, n, 3);
}

static void widen_pad(widening *w, ir_builder *b, ir_node *n) {
    ir_node *copy = copy_with_first(w, b, n);
    int32_t rank = ir_in(n, 0)->type->rank;
    set_axes(w, b, copy, 3, rank, (uint32_t)rank);
    finish(w, n, copy);
}

static void widen_concat(widening *w, ir_builder *b, ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = widening_get_all(w, b, ir_in(n, i));
    ir_node *copy = copy_node(w, b, n, in);
    int64_t axis = from_end(ir_attr_int(n, "axis", 0), n->out[0].type->rank);
    ir_attr_set_int(w->ctx->m, copy, "axis", axis);
    finish(w, n, copy);
}

static void widen_reshape(widening *w, ir_builder *b, ir_node *n) {
    const ir_dim *dims[IR_MAX_RANK];
    uint32_t rank = stacked_dims(w, n->out[0].type, dims);
    ir_value *y = build_reshape(b, widening_get(w, b, ir_in(n, 0)), dims, rank);
    tl_map_set_ptr(&w->values, &n->out[0], y);
}

static void widen_expand(widening *w, ir_builder *b, ir_node *n) {
    const ir_dim *dims[IR_MAX_RANK];
    uint32_t rank = stacked_dims(w, n->out[0].type, dims);
    ir_value *x = aligned(w, b, ir_in(n, 0), n->out[0].type->rank);
    tl_map_set_ptr(&w->values, &n->out[0], build_op2(b, OP_Expand, x, build_dims(b, dims, rank)));
}

/* The axis is a constant scalar. */
static bool fits_running_sum(const widening *w, const ir_node *n) {
    int64_t axis;
    return only_first_varies(w, n) && ir_value_const_i64(ir_in(n, 1), &axis);
}

static void widen_running_sum(widening *w, ir_builder *b, ir_node *n) {
    int64_t axis = 0;
    ir_node *copy = copy_with_first(w, b, n);
    ir_value_const_i64(ir_in(n, 1), &axis);
    axis = from_end(axis, ir_in(n, 0)->type->rank);
    ir_node_set_operand(copy, 1, build_scalar(b, DT_i64, (double)axis));
    finish(w, n, copy);
}

/* Counts its axes from the end by itself. */
static void widen_first(widening *w, ir_builder *b, ir_node *n) {
    finish(w, n, copy_with_first(w, b, n));
}

static bool fits_transpose(const widening *w, const ir_node *n) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    (void)w;
    return get_perm(n, perm, &rank);
}

static void widen_transpose(widening *w, ir_builder *b, ir_node *n) {
    int64_t perm[IR_MAX_RANK], wide[IR_MAX_RANK + 1] = {0};
    uint32_t rank;
    get_perm(n, perm, &rank);
    for (uint32_t i = 0; i < rank; i++)
        wide[1 + i] = perm[i] + 1;
    ir_value *y = build_transpose(b, widening_get(w, b, ir_in(n, 0)), wide, rank + 1);
    tl_map_set_ptr(&w->values, &n->out[0], y);
}

/* Rows of a table that is the same in all rounds, or fixed rows of each round's. */
static bool fits_gather(const widening *w, const ir_node *n) {
    bool data = widening_is_fixed(w, ir_in(n, 0)), index = widening_is_fixed(w, ir_in(n, 1));
    int64_t axis = ir_attr_int(n, "axis", 0);
    return data != index && (index || axis == 0 || axis == -ir_in(n, 0)->type->rank);
}

static void widen_gather(widening *w, ir_builder *b, ir_node *n) {
    bool data = !widening_is_fixed(w, ir_in(n, 0));
    ir_value *in[] = {data ? widening_get(w, b, ir_in(n, 0)) : ir_in(n, 0),
                      data ? ir_in(n, 1) : widening_get(w, b, ir_in(n, 1))};
    ir_node *copy = copy_node(w, b, n, in);
    int64_t axis = ir_attr_int(n, "axis", 0);
    if (data) ir_attr_set_int(w->ctx->m, copy, "axis", from_end(axis, ir_in(n, 0)->type->rank));
    finish(w, n, copy);
}

/* Vectors have rules of their own in ONNX: the stacked ones are a matrix already, where the other operand is one. */
static bool fits_matmul(const widening *w, const ir_node *n) {
    int32_t left = ir_in(n, 0)->type->rank, right = ir_in(n, 1)->type->rank;
    if (left == 1) return right == 2 && widening_is_fixed(w, ir_in(n, 1));
    return left >= 2 && right >= 2;
}

static void widen_matmul(widening *w, ir_builder *b, ir_node *n) {
    int32_t rank = n->out[0].type->rank;
    ir_value *in[] = {aligned(w, b, ir_in(n, 0), rank), aligned(w, b, ir_in(n, 1), rank)};
    finish(w, n, copy_node(w, b, n, in)); /* a vector's product has its rank */
}

/* The first axis of a batch: [trips, batch, ...] as [trips * batch, ...], and back. */
static ir_value *merge_batch(widening *w, ir_builder *b, ir_value *stacked, const ir_type *t) {
    const ir_dim *dims[IR_MAX_RANK];
    dims[0] = ir_dim_mul(w->ctx->c, w->trips, t->dims[0]);
    for (int32_t i = 1; i < t->rank; i++)
        dims[i] = t->dims[i];
    return build_reshape(b, stacked, dims, (uint32_t)t->rank);
}

static void split_batch(widening *w, ir_builder *b, ir_node *n, ir_node *copy) {
    const ir_dim *dims[IR_MAX_RANK];
    finish(w, n, copy);
    uint32_t rank = stacked_dims(w, n->out[0].type, dims);
    tl_map_set_ptr(&w->values, &n->out[0], build_reshape(b, copy->out, dims, rank));
}

static bool fits_batch(const widening *w, const ir_node *n) {
    return only_first_varies(w, n) && n->n_out == 1 && ir_in(n, 0)->type->rank >= 2 &&
           type_is_computable(n->parent->graph, ir_in(n, 0)->type);
}

static void widen_batch(widening *w, ir_builder *b, ir_node *n) {
    ir_value *x = merge_batch(w, b, widening_get(w, b, ir_in(n, 0)), ir_in(n, 0)->type);
    ir_node *copy = copy_with_first(w, b, n);
    ir_node_set_operand(copy, 0, x);
    split_batch(w, b, n, copy);
}

/* Queries, keys and values, and a mask whose first axis is the batch; no past, no lengths, nothing but the result. */
static bool fits_attention(const widening *w, const ir_node *n) {
    const ir_value *mask = ir_in(n, 3);
    bool fits = n->n_out == 1 || (!n->out[1].uses && (n->n_out < 3 || !n->out[2].uses) &&
                                  (n->n_out < 4 || !n->out[3].uses));
    for (uint32_t i = 4; i < n->n_in; i++)
        fits &= !ir_in(n, i);
    for (uint32_t i = 0; i < 3; i++)
        fits &= type_is_computable(n->parent->graph, ir_in(n, i)->type);
    if (!mask || !fits) return fits;
    bool alike = mask->type->rank == 4 && type_is_computable(n->parent->graph, mask->type);
    return alike || (widening_is_fixed(w, mask) && mask->type->rank < 4);
}

/* One value for each round and batch entry. */
static ir_value *batch_operand(widening *w, ir_builder *b, ir_value *v, const ir_dim *batch) {
    const ir_dim *dims[IR_MAX_RANK], *all[IR_MAX_RANK];
    ir_value *x = widening_is_fixed(w, v) ? v : widening_get(w, b, v);
    bool whole = !widening_is_fixed(w, v) && ir_dim_equal(v->type->dims[0], batch);
    uint32_t rank = stacked_dims(w, v->type, dims);
    dims[1] = batch;
    if (!whole) x = build_op2(b, OP_Expand, x, build_dims(b, dims, rank));
    all[0] = ir_dim_mul(w->ctx->c, w->trips, batch);
    for (uint32_t i = 2; i < rank; i++)
        all[i - 1] = dims[i];
    return build_reshape(b, x, all, rank - 1);
}

static void widen_attention(widening *w, ir_builder *b, ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, n->n_in);
    const ir_dim *batch = ir_in(n, 0)->type->dims[0];
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = ir_in(n, i);
        bool shared = i == 3 && v && v->type->rank == 4 && widening_is_fixed(w, v) &&
                      ir_dim_is(v->type->dims[0], 1);
        in[i] = !v || shared || v->type->rank < 3 || (i == 3 && v->type->rank == 3)
                    ? v
                    : batch_operand(w, b, v, batch);
    }
    split_batch(w, b, n, copy_node(w, b, n, in));
}

static const widen_rule rules[] = {
    {OP_LayerNormalization, only_first_varies, widen_axis},
    {OP_RMSNormalization, only_first_varies, widen_axis},
    {OP_Softmax, any, widen_axis},
    {OP_LogSoftmax, any, widen_axis},
    {OP_Hardmax, any, widen_axis},
    {OP_ArgMax, any, widen_axis},
    {OP_ArgMin, any, widen_axis},
    {OP_Split, only_first_varies, widen_axis},
    {OP_ReduceL1, fits_reduce, widen_reduce},
    {OP_ReduceL2, fits_reduce, widen_reduce},
    {OP_ReduceLogSum, fits_reduce, widen_reduce},
    {OP_ReduceLogSumExp, fits_reduce, widen_reduce},
    {OP_ReduceMax, fits_reduce, widen_reduce},
    {OP_ReduceMean, fits_reduce, widen_reduce},
    {OP_ReduceMin, fits_reduce, widen_reduce},
    {OP_ReduceProd, fits_reduce, widen_reduce},
    {OP_ReduceSum, fits_reduce, widen_reduce},
    {OP_ReduceSumSquare, fits_reduce, widen_reduce},
    {OP_Slice, fits_slice, widen_slice},
    {OP_Pad, fits_pad, widen_pad},
    {OP_Concat, any, widen_concat},
    {OP_Reshape, only_first_varies, widen_reshape},
    {OP_Flatten, any, widen_reshape},
    {OP_Squeeze, only_first_varies, widen_reshape},
    {OP_Unsqueeze, only_first_varies, widen_reshape},
    {OP_Expand, only_first_varies, widen_expand},
    {OP_Transpose, fits_transpose, widen_transpose},
    {OP_Gather, fits_gather, widen_gather},
    {OP_CumSum, fits_running_sum, widen_running_sum},
    {OP_Trilu, only_first_varies, widen_first},
    {OP_MatMul, fits_matmul, widen_matmul},
    {OP_Conv, fits_batch, widen_batch},
    {OP_ConvTranspose, fits_batch, widen_batch},
    {OP_MaxPool, fits_batch, widen_batch},
    {OP_AveragePool, fits_batch, widen_batch},
    {OP_Attention, fits_attention, widen_attention},
    {OP_LocalAttention, fits_attention, widen_attention},
};

static const widen_rule elementwise = {OP_None, fits_elementwise, widen_elementwise};

static const widen_rule *find_rule(op_id op) {
    if (op_is(op, OP_SCALAR)) return &elementwise;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == op) return &rules[i];
    return NULL;
}

bool widening_is_shaped(const widening *w, const ir_value *v) {
    return !v || (ir_type_is_tensor(v->type) && ir_type_is_known(v->type) &&
                  v->type->rank < IR_MAX_RANK - 1 && type_is_computable(w->graph, v->type));
}

bool widening_has_rule(const widening *w, const ir_node *n) {
    const widen_rule *r = find_rule(n->op);
    if (!r || n->n_regions) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!widening_is_shaped(w, ir_in(n, i))) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!widening_is_shaped(w, &n->out[i])) return false;
    return r->fits(w, n);
}

void widening_apply(widening *w, ir_builder *b, ir_node *n) {
    find_rule(n->op)->build(w, b, n);
}
