/* decompose: quantised tensors in terms of conversions and arithmetic, which make one nest with what is around them.
 *
 *   before:  %y = QuantizeLinear(%x, @scale, @zero)        @zero u8[]
 *   after:   %q = Div(%x, @scale)     %r = Round(%q)     %s = Add(%r, Cast(@zero))
 *            %t = Clip(%s, 0, 255)    %y = Cast<to=u8>(%t)
 *
 * Products of integers with zero points become products of i32, convolutions those of f64, which holds their sums exactly; the pass
 * fuse_quantized takes those it has kernels for before. */
#include "ir/limits.h"
#include "passes/decompose.h"
#include "passes/util.h"

#include <math.h>

/* ---- scale and zero point beside x --------------------------------------------------------------------------------- */

/* v[C] as [C,1,...,1]: `behind` axes follow. */
static ir_value *with_axes_behind(ir_builder *b, ir_value *v, int32_t behind) {
    int64_t shape[IR_MAX_RANK] = {-1};
    for (int32_t i = 1; i <= behind; i++)
        shape[i] = 1;
    return behind ? build_op2(b, OP_Reshape, v, build_i64s(b, shape, (uint32_t)behind + 1)) : v;
}

/* v[..., B, ...] with every element of `axis` repeated `size` times, cut to x's length; one block broadcasts. */
static ir_value *spread_blocks(ir_builder *b, ir_value *v, const ir_type *x, int32_t axis,
                               int64_t size) {
    ir_ctx *c = b->m->ctx;
    const ir_dim *dims[IR_MAX_RANK + 1], *bs = ir_dim_const(c, size), *blocks = v->type->dims[axis];
    int32_t rank = v->type->rank;
    if (ir_dim_is(blocks, 1)) return v;
    for (int32_t i = 0; i < rank; i++)
        dims[i <= axis ? i : i + 1] = v->type->dims[i];
    dims[axis + 1] = bs;
    v = build_op2(b, OP_Unsqueeze, v, build_i64s(b, (int64_t[]){axis + 1}, 1));
    v = build_op2(b, OP_Expand, v, build_dims(b, dims, (uint32_t)rank + 1));
    dims[axis] = ir_dim_mul(c, blocks, bs);
    for (int32_t i = axis + 1; i < rank; i++)
        dims[i] = dims[i + 1];
    v = build_reshape(b, v, dims, (uint32_t)rank);
    if (ir_dim_equal(dims[axis], x->dims[axis])) return v;
    ir_value *in[4] = {v, build_i64s(b, (int64_t[]){0}, 1), build_dims(b, &x->dims[axis], 1),
                       build_i64s(b, (int64_t[]){axis}, 1)};
    return build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out;
}

/* Operand i (scale or zero point) in type t, so that it broadcasts to x; NULL where its place is not known. */
static ir_value *beside(ir_builder *b, const ir_node *n, uint32_t i, ir_dtype t) {
    const ir_type *x = ir_in(n, 0)->type;
    ir_value *v = ir_in(n, i);
    int64_t size = ir_attr_int(n, "block_size", 0), axis = ir_attr_int(n, "axis", 1);
    if (!ir_type_is_ranked(x) || !ir_type_is_ranked(v->type)) return NULL;
    v = build_cast(b, v, t);
    if (size <= 0 && v->type->rank == 0) return v;
    if (size <= 0 && ir_dim_is(v->type->dims[0], 1)) {
        return build_op2(b, OP_Reshape, v, build_i64s(b, NULL, 0));
    }
    if (x->rank == 1 && !ir_attr_find(n, "axis")) axis = 0;
    int32_t at = normal_axis(axis, x->rank);
    if (at < 0) return NULL;
    if (size <= 0) return with_axes_behind(b, v, x->rank - 1 - at);
    bool computable = can_build_type(b, v->type) && can_build_type(b, x);
    if (!computable || x->rank + 1 > IR_MAX_RANK) return NULL;
    return spread_blocks(b, v, x, at, size);
}

/* ---- QuantizeLinear, DequantizeLinear ------------------------------------------------------------------------------ */

bool decompose_dequantize(ir_builder *b, ir_node *n) {
    ir_value *x = build_cast(b, ir_in(n, 0), DT_f32), *scale = beside(b, n, 1, DT_f32);
    ir_value *zero = ir_in(n, 2) && scale ? beside(b, n, 2, DT_f32) : NULL;
    if (!scale || (ir_in(n, 2) && !zero)) return false;
    if (zero) x = build_op2(b, OP_Sub, x, zero);
    x = build_op2(b, OP_Mul, x, scale);
    return decompose_give(n, 0, build_cast(b, x, n->out[0].type->dtype));
}

/* rint(x) + zero, brought into the range of the integers of type t, still as f32. */
static ir_value *round_and_limit(ir_builder *b, ir_value *x, ir_value *zero, ir_dtype t) {
    int bits = (int)ir_dtype_bits(t);
    double low = ir_dtype_is_signed(t) ? -ldexp(1, bits - 1) : 0;
    if (x->type->dtype == DT_f64) x = build_op1(b, OP_Round, x); /* as f32 it might become a tie */
    x = build_op1(b, OP_Round, build_cast(b, x, DT_f32));
    if (zero) x = build_op2(b, OP_Add, x, zero);
    return build_op3(b, OP_Clip, x, build_scalar(b, DT_f32, low),
                     build_scalar(b, DT_f32, low + ldexp(1, bits) - 1));
}

bool decompose_quantize(ir_builder *b, ir_node *n) {
    ir_dtype precision = (ir_dtype)ir_attr_int(n, "precision", 0), t = n->out[0].type->dtype;
    if (!precision) precision = ir_dtype_quotient(ir_in(n, 1)->type->dtype);
    bool is_float = ir_dtype_is_float(t);
    ir_value *scale = beside(b, n, 1, precision);
    bool has_zero = ir_in(n, 2) && (!is_float || t == DT_f4e2m1); /* of f8 it only names the type */
    ir_value *zero = has_zero && scale ? beside(b, n, 2, is_float ? precision : DT_f32) : NULL;
    if (!scale || (has_zero && !zero)) return false;
    ir_value *x = build_op2(b, OP_Div, build_cast(b, ir_in(n, 0), precision), scale);
    if (!is_float)
        x = round_and_limit(b, x, zero, t);
    else if (zero)
        x = build_op2(b, OP_Add, x, zero);
    ir_attr attrs[] = {{.name = "to", .kind = ATTR_INT, .v.i = t},
                       {.name = "saturate", .kind = ATTR_INT, .v.i = 0}};
    bool keeps = is_float && !ir_attr_int(n, "saturate", 1);
    return decompose_give(n, 0, build_node(b, OP_Cast, &x, 1, 1, attrs, keeps ? 2 : 1)->out);
}

/* ---- products of integers ------------------------------------------------------------------------------------------ */

/* Operand i less its zero point, in type t. A zero point of rank 1 holds one element for each index of the axis that has `behind` axes
 * behind it. NULL where that is not known. */
static ir_value *centred(ir_builder *b, const ir_node *n, uint32_t i, int32_t behind, ir_dtype t) {
    ir_value *x = build_cast(b, ir_in(n, i), t), *zero = ir_in(n, i + 2);
    if (!zero) return x;
    if (!ir_type_is_ranked(zero->type) || !ir_type_is_ranked(x->type)) return NULL;
    zero = build_cast(b, zero, t);
    if (zero->type->rank == 1 && ir_dim_is(zero->type->dims[0], 1))
        zero = build_op2(b, OP_Reshape, zero, build_i64s(b, NULL, 0));
    if (zero->type->rank == 1) zero = with_axes_behind(b, zero, behind);
    return build_op2(b, OP_Sub, x, zero);
}

bool decompose_matmul_integer(ir_builder *b, ir_node *n) {
    const ir_type *a = ir_in(n, 0)->type;
    if (!ir_type_is_ranked(a) || has_quad_kernel(n)) return false;
    ir_value *x = centred(b, n, 0, a->rank > 1 ? 1 : 0, DT_i32), *w = centred(b, n, 1, 0, DT_i32);
    return x && w && decompose_give(n, 0, build_op2(b, OP_MatMul, x, w));
}

bool decompose_conv_integer(ir_builder *b, ir_node *n) {
    const ir_type *t = ir_in(n, 0)->type;
    if (!ir_type_is_ranked(t)) return false;
    ir_value *in[2] = {centred(b, n, 0, t->rank - 2, DT_f64),
                       centred(b, n, 1, t->rank - 1, DT_f64)};
    if (!in[0] || !in[1]) return false;
    ir_node *conv = build_node(b, OP_Conv, in, 2, 1, n->attrs, n->n_attrs);
    return decompose_give(n, 0, build_cast(b, conv->out, DT_i32));
}
