/* See affine.h. */
#include "passes/affine.h"

#include "passes/util.h"

enum { MAX_DEPTH = 32, MAX_ELEMENTS = 1 << 16 };

static bool find(ir_ctx *c, const ir_value *v, affine *a, int depth);

static bool is_one(const ir_dim *d) {
    return ir_dim_is(d, 1);
}

/* ---- leaves ------------------------------------------------------------------------------------------------- */

static bool find_single(ir_ctx *c, const ir_value *v, affine *a) {
    if (ir_value_known_dims(c, v, &a->base, 1) != 1) return false;
    return !ir_dim_is_unknown(a->base);
}

/* Differences along each axis from element 0; then every element must agree. */
static bool find_constant(ir_ctx *c, const ir_value *v, affine *a) {
    const ir_type *t = v->type;
    size_t n = v->tensor ? ir_tensor_elements(v->tensor) : 0;
    int64_t dims[IR_MAX_RANK], stride = 1;
    if (!n || n > MAX_ELEMENTS || v->tensor->opaque || !ir_dtype_is_int(t->dtype)) return false;
    int64_t first = ir_tensor_get_i64(v->tensor, 0);
    for (int32_t i = t->rank; i-- > 0; stride *= dims[i]) {
        if (!ir_dim_is_const(t->dims[i], &dims[i])) return false;
        if (dims[i] > 1) a->step[i] = ir_tensor_get_i64(v->tensor, (size_t)stride) - first;
    }
    for (size_t k = 0; k < n; k++) {
        int64_t expected = first;
        size_t at = k;
        for (int32_t i = t->rank; i-- > 0; at /= (size_t)dims[i])
            expected += a->step[i] * (int64_t)(at % (size_t)dims[i]);
        if (ir_tensor_get_i64(v->tensor, k) != expected) return false;
    }
    a->base = ir_dim_const(c, first);
    return true;
}

static bool find_range(ir_ctx *c, const ir_node *n, affine *a) {
    return ir_value_const_i64(ir_in(n, 2), &a->step[0]) && find_single(c, ir_in(n, 0), a);
}

/* ---- views -------------------------------------------------------------------------------------------------- */

static bool find_slice(ir_ctx *c, const ir_node *n, affine *a, int depth) {
    const ir_dim *starts[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    const ir_type *t = n->in[0].value->type;
    int32_t count = ir_value_known_dims(c, ir_in(n, 1), starts, IR_MAX_RANK);
    if (count < 0 || !find(c, n->in[0].value, a, depth)) return false;
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    if (ir_in(n, 3) && ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) != count) return false;
    if (ir_in(n, 4) && ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) != count) return false;
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = normal_axis(axes[i], t->rank);
        if (axis < 0 || steps[i] < 1 || ir_dim_lower_bound(starts[i]) < 0) return false;
        const ir_dim *skipped = ir_dim_mul(c, starts[i], ir_dim_const(c, a->step[axis]));
        a->base = ir_dim_add(c, a->base, skipped);
        a->step[axis] *= steps[i];
    }
    return true;
}

/* Axes of extent 1 come and go; the others are the same in the same order. */
static bool find_reshaped(ir_ctx *c, const ir_node *n, affine *a, int depth) {
    const ir_type *from = n->in[0].value->type, *to = n->out[0].type;
    affine x = {0};
    if (!find(c, n->in[0].value, &x, depth)) return false;
    int32_t k = 0;
    for (int32_t i = 0; i < to->rank; i++) {
        if (is_one(to->dims[i])) continue;
        while (k < from->rank && is_one(from->dims[k]))
            k++;
        if (k == from->rank || !ir_dim_equal(from->dims[k], to->dims[i])) return false;
        a->step[i] = x.step[k++];
    }
    a->base = x.base;
    return true;
}

/* x where its elements are repeated: axes that are stretched, and new ones in front, have step 0. */
static void broadcast(const affine *x, const ir_type *from, int32_t rank, affine *a) {
    for (int32_t i = 0; i < from->rank; i++)
        a->step[rank - from->rank + i] = is_one(from->dims[i]) ? 0 : x->step[i];
    a->base = x->base;
}

static bool find_expanded(ir_ctx *c, const ir_node *n, affine *a, int depth) {
    affine x = {0};
    if (!find(c, n->in[0].value, &x, depth)) return false;
    broadcast(&x, n->in[0].value->type, n->out[0].type->rank, a);
    return true;
}

static bool find_transposed(ir_ctx *c, const ir_node *n, affine *a, int depth) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    affine x = {0};
    if (!get_perm(n, perm, &rank) || !find(c, n->in[0].value, &x, depth)) return false;
    for (uint32_t i = 0; i < rank; i++)
        a->step[i] = x.step[perm[i]];
    a->base = x.base;
    return true;
}

/* ---- arithmetic --------------------------------------------------------------------------------------------- */

static bool find_sum(ir_ctx *c, const ir_node *n, affine *a, int depth) {
    affine x = {0}, y = {0}, wide_x = {0}, wide_y = {0};
    int32_t rank = n->out[0].type->rank;
    if (!find(c, n->in[0].value, &x, depth) || !find(c, n->in[1].value, &y, depth)) return false;
    broadcast(&x, n->in[0].value->type, rank, &wide_x);
    broadcast(&y, n->in[1].value->type, rank, &wide_y);
    bool minus = n->op == OP_Sub;
    for (int32_t i = 0; i < rank; i++)
        a->step[i] = wide_x.step[i] + (minus ? -wide_y.step[i] : wide_y.step[i]);
    a->base = minus ? ir_dim_sub(c, x.base, y.base) : ir_dim_add(c, x.base, y.base);
    return true;
}

static bool find_scaled(ir_ctx *c, const ir_node *n, affine *a, int depth) {
    int64_t by;
    uint32_t k = ir_value_const_i64(ir_in(n, 1), &by) ? 0 : 1;
    affine x = {0};
    if (k == 1 && !ir_value_const_i64(ir_in(n, 0), &by)) return false;
    if (!find(c, n->in[k].value, &x, depth)) return false;
    broadcast(&x, n->in[k].value->type, n->out[0].type->rank, a);
    for (int32_t i = 0; i < n->out[0].type->rank; i++)
        a->step[i] *= by;
    a->base = ir_dim_mul(c, a->base, ir_dim_const(c, by));
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- */

static bool find_by_node(ir_ctx *c, const ir_node *n, affine *a, int depth) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i].value && !ir_type_is_ranked(n->in[i].value->type)) return false;
    if (is_reshape_like(n->op)) return find_reshaped(c, n, a, depth);
    switch (n->op) {
    case OP_Range:
        return find_range(c, n, a);
    case OP_Slice:
        return find_slice(c, n, a, depth);
    case OP_Expand:
        return find_expanded(c, n, a, depth);
    case OP_Transpose:
        return find_transposed(c, n, a, depth);
    case OP_Add:
    case OP_Sub:
        return find_sum(c, n, a, depth);
    case OP_Mul:
        return find_scaled(c, n, a, depth);
    case OP_Cast:
    case OP_Identity:
        return find(c, n->in[0].value, a, depth);
    default:
        return false;
    }
}

static bool find(ir_ctx *c, const ir_value *v, affine *a, int depth) {
    if (!ir_type_is_ranked(v->type) || !ir_dtype_is_int(v->type->dtype) || depth > MAX_DEPTH)
        return false;
    return find_single(c, v, a) || find_constant(c, v, a) ||
           (v->def && find_by_node(c, v->def, a, depth + 1));
}

bool affine_of(ir_ctx *c, const ir_value *v, affine *a) {
    *a = (affine){0};
    return find(c, v, a, 0);
}
