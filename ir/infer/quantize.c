/* Quantised tensors: a scale and a zero point for all of x, for each index along an axis, or for each block along one.
 *
 *   DequantizeLinear<axis=1, block_size=32>(x i4[64,100], scale f16[64,4])  ->  f16[64,100]       the last block holds 4 */
#include "ir/infer/infer.h"

/* Scale and zero point (operands 1 and 2) of blocks along `axis`: as many as fit, the other dims as x has them. */
static bool check_blocks(ir_ctx *c, const ir_node *n, uint32_t i, const ir_shape *x, int32_t axis,
                         int64_t size) {
    if (!infer_is_ranked(n, i)) return true;
    if (!infer_expect_rank(c, n, i, x->rank)) return false;
    for (int32_t d = 0; d < x->rank; d++) {
        const ir_dim *expected = x->dims[d];
        if (d == axis) expected = ir_dim_ceildiv(c, expected, ir_dim_const(c, size));
        if (!infer_expect_dim(c, n, i, d, expected)) return false;
    }
    return true;
}

/* One element, or one for each index along the axis. */
static bool check_scale(ir_ctx *c, const ir_node *n, uint32_t i, const ir_shape *x) {
    int64_t size = ir_attr_int(n, "block_size", 0), axis = ir_attr_int(n, "axis", 1);
    int32_t at;
    if (!ir_in(n, i)) return true;
    if (size < 0)
        return diag_error(&c->diag, n->loc, "attribute 'block_size' is %lld", (long long)size);
    if (size > 0) return infer_axis(c, n, axis, x->rank, &at) && check_blocks(c, n, i, x, at, size);
    if (!infer_is_ranked(n, i) || infer_in(n, i)->rank == 0) return true;
    if (!infer_expect_rank(c, n, i, 1)) return false;
    int64_t count;
    if (!ir_dim_is_const(infer_in(n, i)->dims[0], &count) || count == 1) return true;
    if (x->rank == 1 && !ir_attr_find(n, "axis")) axis = 0;
    return infer_axis(c, n, axis, x->rank, &at) && infer_expect_dim(c, n, i, 0, x->dims[at]);
}

static bool finish(ir_ctx *c, ir_node *n, ir_dtype t) {
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, t);
    ir_shape x = infer_in_shape(n, 0);
    return check_scale(c, n, 1, &x) && check_scale(c, n, 2, &x) && infer_set_shape(c, n, 0, t, &x);
}

static bool output_type(ir_ctx *c, const ir_node *n, ir_dtype fallback, ir_dtype *t) {
    int64_t given = ir_attr_int(n, "output_dtype", 0);
    *t = given ? (ir_dtype)given : fallback;
    if (ir_schema_output_allows(op_schema(n->op), 0,
                                given > 0 && given < DT_COUNT ? (int)given : (int)*t))
        return true;
    return diag_error(&c->diag, n->loc, "attribute 'output_dtype' is %lld", (long long)given);
}

bool infer_dequantize(ir_ctx *c, ir_node *n) {
    ir_dtype t;
    return output_type(c, n, infer_in(n, 1)->dtype, &t) && finish(c, n, t);
}

static bool check_precision(ir_ctx *c, const ir_node *n) {
    int64_t t = ir_attr_int(n, "precision", 0);
    if (t == 0 || t == DT_f32 || t == DT_f16 || t == DT_bf16) return true;
    return diag_error(&c->diag, n->loc, "attribute 'precision' is %lld", (long long)t);
}

bool infer_quantize(ir_ctx *c, ir_node *n) {
    const ir_type *zero = infer_in(n, 2);
    ir_dtype t;
    if (!check_precision(c, n)) return false;
    if (!output_type(c, n, zero ? zero->dtype : DT_u8, &t)) return false;
    if (zero && zero->dtype != t)
        return infer_error(c, n, 2, "attribute 'output_dtype' is %s", ir_dtype_name(t));
    return finish(c, n, t);
}

bool infer_bit_cast(ir_ctx *c, ir_node *n) {
    int64_t to = ir_attr_int(n, "to", 0);
    ir_dtype from = infer_in(n, 0)->dtype;
    if (to <= 0 || to >= DT_COUNT || ir_dtype_bits((ir_dtype)to) != ir_dtype_bits(from))
        return diag_error(&c->diag, n->loc, "attribute 'to' is no element type as wide as %s",
                          ir_dtype_name(from));
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), (ir_dtype)to));
}
