/* See util.h. */
#include "passes/util.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

bool same_type(const ir_value *a, const ir_value *b) {
    return a && b && a->type && a->type == b->type && ir_type_is_known(a->type);
}

bool same_dims(const ir_type *a, const ir_type *b) {
    if (!ir_type_is_known(a) || !ir_type_is_known(b) || a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (!ir_dim_equal(a->dims[i], b->dims[i])) return false;
    return true;
}

bool is_cut_to(ir_ctx *c, const ir_dim *part, const ir_dim *whole) {
    if (ir_dim_equal(part, whole)) return true;
    if (ir_dim_is_unknown(part) || ir_dim_is_unknown(whole)) return false;
    int64_t most = ir_dim_upper_bound(part);
    return most > 1 && most < INT64_MAX &&
           ir_dim_equal(part, ir_dim_min(c, whole, ir_dim_const(c, most)));
}

/* False where a reshape would have to rely on dims being related (N = 1) that only the rest of the model implies. */
static bool same_elements(ir_ctx *c, const ir_type *a, const ir_type *b) {
    const ir_dim *n = ir_type_elements(c, a), *k = ir_type_elements(c, b);
    return ir_dim_is_unknown(n) || ir_dim_equal(n, k);
}

ir_value *build_reshape_to(ir_builder *b, ir_value *x, const ir_type *t) {
    if (!can_build_type(b, t) || !same_elements(b->m->ctx, x->type, t)) return NULL;
    return build_reshape(b, x, t->dims, (uint32_t)t->rank);
}

bool is_reshape_like(op_id op) {
    return op == OP_Reshape || op == OP_Squeeze || op == OP_Unsqueeze || op == OP_Flatten;
}

int32_t normal_axis(int64_t axis, int32_t rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int32_t)axis : -1;
}

bool get_perm(const ir_node *transpose, int64_t *perm, uint32_t *rank) {
    const ir_type *t = transpose->in[0].value->type;
    if (!ir_type_is_ranked(t)) return false;
    *rank = (uint32_t)t->rank;
    uint32_t n;
    const int64_t *given = ir_attr_ints(transpose, "perm", &n);
    if (given && n != *rank) return false;
    for (uint32_t i = 0; i < *rank; i++)
        perm[i] = given ? given[i] : *rank - 1 - i;
    return true;
}

static const int64_t head_swap[] = {0, 2, 1, 3};

bool is_head_swap(const ir_node *n) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    return n && n->op == OP_Transpose && get_perm(n, perm, &rank) && rank == 4 &&
           memcmp(perm, head_swap, sizeof head_swap) == 0;
}

ir_value *build_head_swap(ir_builder *b, ir_value *v) {
    return build_transpose(b, v, head_swap, 4);
}

int32_t optional_ints(const ir_value *v, int64_t *out, uint32_t max) {
    return v ? ir_value_const_ints(v, out, max) : 0;
}

void move_regions(ir_node *from, ir_node *to) {
    TL_ASSERT(to->n_regions == 0);
    to->regions = from->regions;
    to->n_regions = from->n_regions;
    for (uint32_t i = 0; i < to->n_regions; i++)
        to->regions[i]->owner = to;
    from->regions = NULL;
    from->n_regions = 0;
}

bool has_quad_kernel(const ir_node *n) {
    int64_t depth;
    if (n->op != OP_MatMulInteger || ir_in(n, 2) || ir_in(n, 3)) return false;
    const ir_value *w = ir_in(n, 1);
    const ir_type *a = ir_in(n, 0)->type, *t = w->type;
    bool constant = ir_value_is_const(w) && !w->tensor->opaque && t->rank >= 2;
    if (!constant || !ir_type_is_ranked(a) || a->rank < t->rank) return false;
    for (int32_t i = 0; i < t->rank - 2; i++)
        if (!ir_dim_is(t->dims[i], 1)) return false;
    return a->dtype == DT_u8 && t->dtype == DT_i8 && ir_type_is_known(n->out[0].type) &&
           ir_dim_is_const(a->dims[a->rank - 1], &depth) && depth > 0;
}

static bool knows_dims(ir_ctx *c, const ir_value *v) {
    const ir_dim *dims[IR_MAX_RANK];
    int32_t n = ir_value_known_dims(c, v, dims, IR_MAX_RANK);
    for (int32_t i = 0; i < n; i++)
        if (dims[i]->unknown) return false;
    return n >= 0;
}

bool node_can_fail(ir_ctx *c, const ir_node *n) {
    int64_t divisor;
    switch (n->op) {
    case OP_Gather:
    case OP_GatherElements:
    case OP_GatherND:
    case OP_ScatterElements:
    case OP_ScatterND:
        return !n->in[1].value->tensor;
    case OP_Reshape:
    case OP_Expand:
        return !knows_dims(c, n->in[1].value);
    case OP_Div:
    case OP_Mod:
        return !ir_dtype_is_float(n->out[0].type->dtype) &&
               !(ir_value_const_i64(n->in[1].value, &divisor) && divisor != 0);
    default:
        return false;
    }
}

ir_value *build_ones(ir_module *m, const ir_type *t) {
    ir_tensor *ones = ir_tensor_alloc(m->arena, t);
    for (size_t i = 0; i < ir_tensor_elements(ones); i++)
        ir_tensor_set_f64(ones, i, 1);
    ir_tensor_seal(ones);
    return ir_module_const(m, ones, NULL);
}
