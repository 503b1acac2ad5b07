/* See widen.h. One rule per kind of operator; docs/RECURRENCE.md says what they are for. */
#include "passes/widen.h"

#include "ir/limits.h"
#include "passes/util.h"

/* ---- values ------------------------------------------------------------------------------------------------------------ */

void widen_init(widen *w, pass_ctx *ctx, ir_builder b, const ir_dim *rounds) {
    *w = (widen){.ctx = ctx, .b = b, .rounds = rounds};
    tl_map_init(&w->values, ctx->scratch);
}

void widen_set(widen *w, const ir_value *v, ir_value *wide) {
    tl_map_set_ptr(&w->values, v, wide);
}

/* What stands for v: wide, or the same in all rounds. */
static ir_value *get(widen *w, ir_value *v) {
    ir_value *to = v ? tl_map_get_ptr(&w->values, v) : NULL;
    return to ? to : v;
}

/* Its leading axis is that of the rounds. */
static bool is_wide(const widen *w, const ir_value *v) {
    const ir_value *to = v ? tl_map_get_ptr(&w->values, v) : NULL;
    return to && to->type->rank == v->type->rank + 1;
}

static bool any_wide(const widen *w, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (is_wide(w, ir_in(n, i))) return true;
    return false;
}

/* The wide value with 1s behind the leading axis, as if it had had `rank` dimensions before. */
static ir_value *with_rank(widen *w, ir_value *v, int32_t rank) {
    const ir_dim *dims[IR_MAX_RANK];
    int32_t own = v->type->rank, more = rank - own, n = 0;
    ir_value *wide = get(w, v);
    if (more <= 0) return wide;
    dims[n++] = w->rounds;
    for (int32_t i = 0; i < more; i++)
        dims[n++] = ir_dim_const(w->ctx->c, 1);
    for (int32_t i = 0; i < own; i++)
        dims[n++] = v->type->dims[i];
    return build_reshape(&w->b, wide, dims, (uint32_t)n);
}

/* [rounds] + the dims of t */
static uint32_t wide_dims(const widen *w, const ir_type *t, const ir_dim **dims) {
    dims[0] = w->rounds;
    for (int32_t i = 0; i < t->rank; i++)
        dims[i + 1] = t->dims[i];
    return (uint32_t)t->rank + 1;
}

ir_value *widen_get(widen *w, ir_value *v) {
    const ir_dim *dims[IR_MAX_RANK];
    if (is_wide(w, v)) return get(w, v);
    uint32_t n = wide_dims(w, v->type, dims);
    return build_op2(&w->b, OP_Expand, get(w, v), build_dims(&w->b, dims, n));
}

/* ---- building ---------------------------------------------------------------------------------------------------------- */

/* n with other operands, at the cursor, its types inferred; its results stand for n's. NULL where inference refuses. */
static ir_node *rebuild(widen *w, const ir_node *n, ir_value *const *in) {
    ir_node *copy = ir_node_clone(w->ctx->m, n, in);
    for (uint32_t i = 0; i < copy->n_out; i++)
        copy->out[i].type = NULL, copy->out[i].known = NULL;
    ir_node_append(w->b.region, copy);
    for (uint32_t i = 0; i < n->n_out; i++)
        widen_set(w, &n->out[i], &copy->out[i]);
    return copy;
}

static bool infer(widen *w, ir_node *n) {
    return ir_infer_node(w->ctx->c, n);
}

/* The same with each operand replaced by what stands for it. */
static ir_node *rebuild_same(widen *w, const ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, n->n_in + 1);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = get(w, ir_in(n, i));
    return rebuild(w, n, in);
}

/* Only operand 0 differs from round to round. */
static bool only_first(const widen *w, const ir_node *n) {
    for (uint32_t i = 1; i < n->n_in; i++)
        if (is_wide(w, ir_in(n, i))) return false;
    return is_wide(w, ir_in(n, 0));
}

/* An axis of one round among those of all: counted from the end. */
static int64_t from_end(int64_t axis, int32_t rank) {
    return axis < 0 ? axis : axis - rank;
}

/* ---- rules ------------------------------------------------------------------------------------------------------------- */

typedef bool rule_fn(widen *w, const ir_node *n);

/* Elementwise: operands are aligned at their ends, so shorter ones need 1s behind the leading axis. */
static bool rule_scalar(widen *w, const ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, n->n_in + 1);
    if (n->op == OP_Clip && !only_first(w, n)) return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = ir_in(n, i);
        in[i] = is_wide(w, v) ? with_rank(w, v, n->out[0].type->rank) : get(w, v);
    }
    return infer(w, rebuild(w, n, in));
}

static bool rule_matmul(widen *w, const ir_node *n) {
    ir_value *x = ir_in(n, 0), *y = ir_in(n, 1);
    int32_t rx = x->type->rank, ry = y->type->rank, rank = rx > ry ? rx : ry;
    if (is_wide(w, y) && (rx < 2 || ry < 2)) return false;
    if (is_wide(w, x) && rx < 2 && ry > 2) return false;
    ir_value *in[] = {is_wide(w, x) && rx > 1 ? with_rank(w, x, rank) : get(w, x),
                      is_wide(w, y) ? with_rank(w, y, rank) : get(w, y)};
    return infer(w, rebuild(w, n, in));
}

/* Along one axis, or all from it on, which the attribute says: by default the last one. */
static bool rule_axis(widen *w, const ir_node *n, int64_t fallback) {
    if (!only_first(w, n)) return false;
    ir_node *copy = rebuild_same(w, n);
    int64_t axis = ir_attr_int(n, "axis", fallback);
    ir_attr_set_int(w->ctx->m, copy, "axis", from_end(axis, ir_in(n, 0)->type->rank));
    return infer(w, copy);
}

static bool rule_last_axis(widen *w, const ir_node *n) {
    return rule_axis(w, n, -1);
}
static bool rule_first_axis(widen *w, const ir_node *n) {
    return rule_axis(w, n, 0);
}

/* Axes in operand i, all where it is omitted. */
static bool wide_axes(widen *w, const ir_node *n, uint32_t i, ir_value **axes) {
    int64_t list[IR_MAX_RANK];
    int32_t rank = ir_in(n, 0)->type->rank, count = optional_ints(ir_in(n, i), list, IR_MAX_RANK);
    if (count < 0 || (ir_in(n, i) && ir_in(n, i)->type->rank != 1)) return false;
    if (count == 0 && ir_in(n, i)) return false;
    for (int32_t k = 0; count == 0 && k < rank; k++)
        list[k] = k;
    if (count == 0) count = rank;
    for (int32_t k = 0; k < count; k++)
        list[k] = from_end(list[k], rank);
    *axes = build_i64s(&w->b, list, (uint32_t)count);
    return count > 0;
}

static bool rule_reduce(widen *w, const ir_node *n) {
    ir_value *in[2] = {get(w, ir_in(n, 0))};
    if (!only_first(w, n) || !wide_axes(w, n, 1, &in[1])) return false;
    if (!ir_in(n, 1) && ir_attr_int(n, "noop_with_empty_axes", 0)) return false;
    ir_node *copy = ir_node_create(w->ctx->m, n->op, in, 2, 1);
    ir_attr_set_int(w->ctx->m, copy, "keepdims", ir_attr_int(n, "keepdims", 1));
    ir_node_append(w->b.region, copy);
    widen_set(w, &n->out[0], &copy->out[0]);
    return infer(w, copy);
}

static bool rule_reshape(widen *w, const ir_node *n) {
    const ir_dim *dims[IR_MAX_RANK];
    const ir_type *t = n->out[0].type;
    if (!only_first(w, n) || !ir_type_is_known(t) || t->rank == IR_MAX_RANK) return false;
    uint32_t rank = wide_dims(w, t, dims);
    widen_set(w, &n->out[0], build_reshape(&w->b, get(w, ir_in(n, 0)), dims, rank));
    return true;
}

static bool rule_transpose(widen *w, const ir_node *n) {
    int64_t perm[IR_MAX_RANK], wide[IR_MAX_RANK] = {0};
    uint32_t rank;
    if (!get_perm(n, perm, &rank) || rank == IR_MAX_RANK) return false;
    for (uint32_t i = 0; i < rank; i++)
        wide[i + 1] = perm[i] + 1;
    widen_set(w, &n->out[0], build_transpose(&w->b, get(w, ir_in(n, 0)), wide, rank + 1));
    return true;
}

static bool rule_expand(widen *w, const ir_node *n) {
    const ir_dim *dims[IR_MAX_RANK];
    const ir_type *t = n->out[0].type;
    if (!only_first(w, n) || !ir_type_is_known(t) || t->rank == IR_MAX_RANK) return false;
    uint32_t rank = wide_dims(w, t, dims);
    ir_value *x = with_rank(w, ir_in(n, 0), t->rank);
    widen_set(w, &n->out[0], build_op2(&w->b, OP_Expand, x, build_dims(&w->b, dims, rank)));
    return true;
}

static bool rule_slice(widen *w, const ir_node *n) {
    ir_value *in[5] = {0};
    int64_t starts[IR_MAX_RANK];
    if (!only_first(w, n)) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = get(w, ir_in(n, i));
    if (ir_in(n, 3)) {
        if (!wide_axes(w, n, 3, &in[3])) return false;
    } else { /* the first axes, as many as there are starts */
        int32_t count = optional_ints(ir_in(n, 1), starts, IR_MAX_RANK);
        if (count <= 0) return false;
        for (int32_t k = 0; k < count; k++)
            starts[k] = k + 1;
        in[3] = build_i64s(&w->b, starts, (uint32_t)count);
    }
    ir_node *copy = ir_node_create(w->ctx->m, OP_Slice, in, in[4] ? 5 : 4, 1);
    ir_node_append(w->b.region, copy);
    widen_set(w, &n->out[0], &copy->out[0]);
    return infer(w, copy);
}

static bool rule_concat(widen *w, const ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = widen_get(w, ir_in(n, i));
    ir_node *copy = rebuild(w, n, in);
    int64_t axis = ir_attr_int(n, "axis", 0);
    ir_attr_set_int(w->ctx->m, copy, "axis", from_end(axis, n->out[0].type->rank));
    return infer(w, copy);
}

/* Rows of a table by indices of each round, or the same rows of each round's table. */
static bool rule_gather(widen *w, const ir_node *n) {
    bool indices = is_wide(w, ir_in(n, 1));
    int64_t axis = normal_axis(ir_attr_int(n, "axis", 0), ir_in(n, 0)->type->rank);
    if (indices && (axis != 0 || is_wide(w, ir_in(n, 0)))) return false;
    ir_node *copy = rebuild_same(w, n);
    ir_attr_set_int(w->ctx->m, copy, "axis", indices ? 0 : axis + 1);
    return infer(w, copy);
}

/* The last two axes, or what has no place: independent of those in front. */
static bool rule_same(widen *w, const ir_node *n) {
    return only_first(w, n) && infer(w, rebuild_same(w, n));
}

/* ---- attention --------------------------------------------------------------------------------------------------------- */

/* [rounds, batch, ...] as [rounds * batch, ...]: rounds are more of the batch. */
static ir_value *join_batch(widen *w, ir_value *v) {
    const ir_dim *dims[IR_MAX_RANK];
    const ir_type *t = v->type;
    ir_value *wide = widen_get(w, v);
    dims[0] = ir_dim_mul(w->ctx->c, w->rounds, t->dims[0]);
    for (int32_t i = 1; i < t->rank; i++)
        dims[i] = t->dims[i];
    return build_reshape(&w->b, wide, dims, (uint32_t)t->rank);
}

/* A mask for the joined batch; NULL where it would have to be repeated. */
static ir_value *join_mask(widen *w, ir_value *m, const ir_dim *batch) {
    const ir_dim *dims[4];
    const ir_type *t = m->type;
    if (!is_wide(w, m)) {
        bool for_all = t->rank <= 3 || ir_dim_is(t->dims[0], 1);
        return for_all ? get(w, m) : ir_dim_is_const(t->dims[0], NULL) ? join_batch(w, m) : NULL;
    }
    if (t->rank == 4 && ir_dim_equal(t->dims[0], batch)) return join_batch(w, m);
    if (t->rank < 2 || t->rank > 3 || !ir_dim_is(batch, 1)) return NULL;
    dims[0] = w->rounds;
    for (int32_t i = 1; i < 4; i++)
        dims[i] = i < 4 - t->rank ? ir_dim_const(w->ctx->c, 1) : t->dims[i - (4 - t->rank)];
    return build_reshape(&w->b, get(w, m), dims, 4);
}

static bool rule_attention(widen *w, const ir_node *n) {
    const ir_dim *dims[IR_MAX_RANK];
    ir_value *in[4] = {0};
    const ir_type *t = n->out[0].type;
    for (uint32_t i = 4; i < n->n_in; i++)
        if (ir_in(n, i)) return false;
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i].uses) return false;
    for (uint32_t i = 0; i < 3; i++) {
        if (!ir_type_is_known(ir_in(n, i)->type)) return false;
        in[i] = join_batch(w, ir_in(n, i));
    }
    if (ir_in(n, 3) && !(in[3] = join_mask(w, ir_in(n, 3), ir_in(n, 0)->type->dims[0])))
        return false;
    ir_node *copy = ir_node_create(w->ctx->m, OP_Attention, in, in[3] ? 4 : 3, 1);
    for (uint32_t i = 0; i < n->n_attrs; i++)
        ir_attr_set(w->ctx->m, copy, &n->attrs[i]);
    ir_node_append(w->b.region, copy);
    if (!infer(w, copy)) return false;
    uint32_t rank = wide_dims(w, t, dims);
    widen_set(w, &n->out[0], build_reshape(&w->b, &copy->out[0], dims, rank));
    return true;
}

/* ---- the table --------------------------------------------------------------------------------------------------------- */

static rule_fn *rule_of(op_id op) {
    if (op_is(op, OP_SCALAR)) return rule_scalar;
    switch (op) {
    case OP_Identity:
    case OP_Trilu:
        return rule_same;
    case OP_MatMul:
        return rule_matmul;
    case OP_LayerNormalization:
    case OP_RMSNormalization:
    case OP_Softmax:
    case OP_LogSoftmax:
    case OP_Hardmax:
        return rule_last_axis;
    case OP_ReduceL1:
    case OP_ReduceL2:
    case OP_ReduceLogSum:
    case OP_ReduceLogSumExp:
    case OP_ReduceMax:
    case OP_ReduceMean:
    case OP_ReduceMin:
    case OP_ReduceProd:
    case OP_ReduceSum:
    case OP_ReduceSumSquare:
        return rule_reduce;
    case OP_ArgMax:
    case OP_ArgMin:
    case OP_Split:
        return rule_first_axis;
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Unsqueeze:
        return rule_reshape;
    case OP_Transpose:
        return rule_transpose;
    case OP_Expand:
        return rule_expand;
    case OP_Slice:
        return rule_slice;
    case OP_Concat:
        return rule_concat;
    case OP_Gather:
        return rule_gather;
    case OP_Attention:
        return rule_attention;
    default:
        return NULL;
    }
}

/* All that a rule may ask for is known. */
static bool has_types(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !ir_type_is_ranked(ir_in(n, i)->type)) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!ir_type_is_ranked(n->out[i].type) || n->out[i].type->rank == IR_MAX_RANK) return false;
    return true;
}

bool widen_region(widen *w, const ir_region *r, const ir_node **obstacle) {
    ir_for_each_node (n, r) {
        *obstacle = n;
        if (!any_wide(w, n)) {
            if (n->n_regions || !infer(w, rebuild_same(w, n))) return false;
            continue;
        }
        rule_fn *rule = rule_of(n->op);
        if (!rule || !has_types(n) || !rule(w, n)) return false;
    }
    *obstacle = NULL;
    return true;
}
