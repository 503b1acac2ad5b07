/* fuse_quantized: products of quantised tensors are made in integers, before anything folds the constants to floats.
 *
 *   before:  %x = DequantizeLinear(%qx, @sx, @zx)           after:  %p = MatMulInteger(%qx, @w.i8)               u8 by i8: i32, exact
 *            %w = DequantizeLinear(@qw, @sw, @zw)                   %c = Sub(%p, @correction)                    zero points
 *            %y = MatMul(%x, %w)                                    %y = Mul(Cast<to=f32>(%c), Mul(@sx, @sw))
 *
 * x has one scale, the constant w one for each column or one. MatMulInteger that is there already loses its zero points in the same way:
 *
 *   sum (x - zx)(w - zw)  =  sum x w  -  zx (sum w - K zw)  -  zw sum x
 *
 * w - zw becomes the weight, in eight bits, or in sixteen where just a few weights need more (the kernel makes of one two that have eight).
 * Where many do, zw stays in part. What follows is elementwise and goes into the kernel's epilogue (fuse_matmul),
 * a QuantizeLinear of the result included. x of i8 is moved to u8. Costs one pass over each weight.
 *
 * Where only the weight is quantised, the product is one of floats: dequantized_weight.c. Convolutions: fuse_quantized_conv.c. */
#include "ir/build.h"
#include "ir/limits.h"
#include "passes/match.h"
#include "passes/quantized.h"
#include "passes/util.h"

/* ---- the weight ----------------------------------------------------------------------------------------------------- */

static bool is_small_int(ir_dtype t) {
    return ir_dtype_is_int(t) && ir_dtype_bits(t) <= 8;
}

/* The constant is one matrix of small integers, its zero point constant too: one, or one per column. */
static bool is_usable(const ir_value *w, const ir_value *zero, bool transposed) {
    int64_t k, n, count;
    if (!w || !ir_value_is_const(w) || w->tensor->opaque || !is_small_int(w->type->dtype))
        return false;
    const ir_type *t = w->type;
    if (t->rank < 2 || (transposed && t->rank != 2)) return false;
    for (int32_t i = 0; i < t->rank - 2; i++)
        if (!ir_dim_is(t->dims[i], 1)) return false;
    if (!ir_dim_is_const(t->dims[t->rank - 1 - transposed], &n) ||
        !ir_dim_is_const(t->dims[t->rank - 2 + transposed], &k) || k < 1 || n < 1)
        return false;
    if (!zero) return true;
    if (!ir_value_is_const(zero) || zero->tensor->opaque) return false;
    count = (int64_t)ir_tensor_elements(zero->tensor);
    return count == 1 || (zero->type->rank == 1 && count == n);
}

int64_t zero_of(const ir_value *zero, int64_t column) {
    if (!zero) return 0;
    bool single = ir_tensor_elements(zero->tensor) == 1;
    return ir_tensor_get_i64(zero->tensor, single ? 0 : (size_t)column);
}

/* So many weights in each that needs more than eight bits less its zero point are few. */
enum { FEW = 64 };

/* How much is taken from the elements of a column: all of its zero point where the rest fits, else what makes them i8. */
static int64_t shift_of(const ir_tensor *w, const ir_value *zero, int64_t column, int64_t rows,
                        int64_t row_step, int64_t column_step) {
    int64_t z = zero_of(zero, column), low = INT64_MAX, high = INT64_MIN;
    for (int64_t r = 0; r < rows; r++) {
        int64_t v = ir_tensor_get_i64(w, (size_t)(r * row_step + column * column_step));
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    if (low - z >= -128 && high - z <= 127) return z;
    return w->type->dtype == DT_u8 ? 128 : 0;
}

/* Some weights need more than eight bits less their zero points, but few. */
static bool is_wide(const byte_matrix *d, const ir_value *w, const ir_value *zero, int64_t row_step,
                    int64_t column_step) {
    int64_t large = 0;
    for (int64_t c = 0; c < d->columns; c++)
        for (int64_t r = 0; r < d->rows; r++) {
            int64_t v = ir_tensor_get_i64(w->tensor, (size_t)(r * row_step + c * column_step));
            v -= zero_of(zero, c);
            large += v < INT8_MIN || v > INT8_MAX;
        }
    return large > 0 && large * FEW <= d->rows * d->columns;
}

byte_matrix prepare_bytes(pass_ctx *ctx, const ir_value *w, const ir_value *zero, bool transposed) {
    byte_matrix d = {0};
    const ir_type *t = w->type;
    ir_dim_is_const(t->dims[t->rank - 1 - transposed], &d.columns);
    ir_dim_is_const(t->dims[t->rank - 2 + transposed], &d.rows);
    int64_t row_step = transposed ? 1 : d.columns, column_step = transposed ? d.rows : 1;
    tl_arena *a = ctx->m->arena;
    bool wide = is_wide(&d, w, zero, row_step, column_step);
    ir_tensor *matrix = ir_tensor_alloc(
        a, ir_type_tensor_static(ctx->c, wide ? DT_i16 : DT_i8, 2, (int64_t[]){d.rows, d.columns}));
    d.zeros = ir_tensor_alloc(a, ir_type_tensor_static(ctx->c, DT_i32, 1, &d.columns));
    d.sums = ir_tensor_alloc(a, ir_type_tensor_static(ctx->c, DT_i32, 1, &d.columns));
    for (int64_t c = 0; c < d.columns; c++) {
        int64_t sum = 0, shift = wide ? zero_of(zero, c)
                                      : shift_of(w->tensor, zero, c, d.rows, row_step, column_step);
        int64_t left = zero_of(zero, c) - shift;
        for (int64_t r = 0; r < d.rows; r++) {
            size_t at = (size_t)(r * row_step + c * column_step);
            int64_t v = ir_tensor_get_i64(w->tensor, at) - shift;
            ir_tensor_set_i64(matrix, (size_t)(r * d.columns + c), v);
            sum += v - left;
        }
        d.has_zeros = d.has_zeros || left;
        ir_tensor_set_i64(d.zeros, (size_t)c, left);
        ir_tensor_set_i64(d.sums, (size_t)c, sum);
    }
    ir_tensor_seal(matrix), ir_tensor_seal(d.zeros), ir_tensor_seal(d.sums);
    d.matrix = ir_module_const(ctx->m, matrix, ir_name_derive(ctx->m, w, wide ? "i16" : "i8"));
    return d;
}

/* ---- the product ---------------------------------------------------------------------------------------------------- */

bool is_single_element(const ir_value *v) {
    const ir_type *t = v ? v->type : NULL;
    return !t ||
           (ir_type_is_ranked(t) && (t->rank == 0 || (t->rank == 1 && ir_dim_is(t->dims[0], 1))));
}

/* A zero point as an i32 of rank 0; `moved`: of x moved from i8 to u8. NULL: it is 0. */
static ir_value *row_zero(ir_builder *b, ir_value *zero, bool moved) {
    ir_value *offset = build_scalar(b, DT_i32, 128);
    if (!zero) return moved ? offset : NULL;
    zero = build_cast(b, zero, DT_i32);
    if (zero->type->rank) zero = build_op2(b, OP_Reshape, zero, build_i64s(b, NULL, 0));
    return moved ? build_op2(b, OP_Add, zero, offset) : zero;
}

ir_value *to_unsigned(ir_builder *b, ir_value *x) {
    if (x->type->dtype == DT_u8) return x;
    return build_op2(b, OP_BitwiseXor, build_cast(b, x, DT_u8), build_scalar(b, DT_u8, 128));
}

ir_value *less_row_zero(pass_ctx *ctx, ir_builder *b, ir_value *y, ir_value *zero, bool moved,
                        const ir_tensor *sums, const ir_value *of) {
    zero = row_zero(b, zero, moved);
    if (!zero) return y;
    ir_value *s = ir_module_const(ctx->m, ir_tensor_create(ctx->m->arena, sums->type, sums->data),
                                  ir_name_derive(ctx->m, of, "sums"));
    return build_op2(b, OP_Sub, y, build_op2(b, OP_Mul, s, zero));
}

/* The product of u8 by the matrix alone. MatMulInteger has no operands of i16. */
static ir_value *build_product(ir_builder *b, ir_value *x, const byte_matrix *w) {
    if (w->matrix->type->dtype == DT_i8) return build_op2(b, OP_MatMulInteger, x, w->matrix);
    ir_attr n = {.name = "n", .kind = ATTR_INT, .v.i = w->columns};
    return build_node(b, OP_MatMulPacked, (ir_value *[]){x, w->matrix}, 2, 1, &n, 1)->out;
}

/* sum (x - zx)(w - zw) over k as i32[..., N]. */
static ir_value *product(pass_ctx *ctx, ir_builder *b, ir_value *x, ir_value *zero,
                         const byte_matrix *w) {
    bool moved = x->type->dtype == DT_i8;
    x = to_unsigned(b, x);
    ir_value *y = build_product(b, x, w);
    y = less_row_zero(ctx, b, y, zero, moved, w->sums, w->matrix);
    if (!w->has_zeros) return y;
    ir_value *rows = build_op2(b, OP_ReduceSum, build_cast(b, x, DT_i32),
                               build_i64s(b, (int64_t[]){-1}, 1));
    ir_value *zeros = ir_module_const(ctx->m, w->zeros, ir_name_derive(ctx->m, w->matrix, "zeros"));
    return build_op2(b, OP_Sub, y, build_op2(b, OP_Mul, rows, zeros));
}

/* Rows of bytes whose length is known: what the kernel reads. */
static bool is_byte_matrix(const ir_value *x, int32_t least_rank) {
    int64_t k;
    const ir_type *t = x->type;
    return (t->dtype == DT_u8 || t->dtype == DT_i8) && ir_type_is_known(t) &&
           t->rank >= least_rank && ir_dim_is_const(t->dims[t->rank - 1], &k);
}

static bool give(ir_node *n, ir_value *y) {
    ir_value_replace_uses(&n->out[0], y);
    ir_node_remove(n);
    return true;
}

bool fuse_integer_product(pass_ctx *ctx, ir_node *n) {
    ir_value *x = ir_in(n, 0), *w = ir_in(n, 1);
    if (has_quad_kernel(n) || !is_usable(w, ir_in(n, 3), false)) return false;
    bool fits = is_byte_matrix(x, w->type->rank) && is_single_element(ir_in(n, 2));
    if (!fits || !ctx_take(ctx, "integer products")) return false;
    byte_matrix d = prepare_bytes(ctx, w, ir_in(n, 3), false);
    ir_builder b = ir_build_before(n);
    return give(n, product(ctx, &b, x, ir_in(n, 2), &d));
}

/* ---- dequantised operands ------------------------------------------------------------------------------------------- */

const ir_node *find_dequantized(const ir_value *v) {
    const ir_node *n = match_def(v, OP_DequantizeLinear);
    if (!n || v->type->dtype != DT_f32 || ir_in(n, 1)->type->dtype != DT_f32) return NULL;
    return ir_attr_int(n, "block_size", 0) == 0 ? n : NULL;
}

/* The scale of the columns: one, or one for each of them. */
static bool scales_columns(const ir_node *dq, bool transposed) {
    const ir_type *w = ir_in(dq, 0)->type, *s = ir_in(dq, 1)->type;
    if (is_single_element(ir_in(dq, 1))) return true;
    int32_t axis = normal_axis(ir_attr_int(dq, "axis", 1), w->rank);
    return ir_type_is_ranked(s) && s->rank == 1 && axis == w->rank - 1 - transposed;
}

static ir_value *flat_scale(ir_builder *b, ir_value *s) {
    bool single = is_single_element(s) && s->type->rank;
    return single ? build_op2(b, OP_Reshape, s, build_i64s(b, NULL, 0)) : s;
}

ir_value *finish_gemm(ir_builder *b, const ir_node *n, ir_value *y) {
    if (n->op != OP_Gemm) return y;
    float alpha = ir_attr_float(n, "alpha", 1), beta = ir_attr_float(n, "beta", 1);
    ir_value *c = ir_in(n, 2);
    if (alpha != 1) y = build_op2(b, OP_Mul, y, build_scalar(b, DT_f32, (double)alpha));
    if (c && beta != 1) c = build_op2(b, OP_Mul, c, build_scalar(b, DT_f32, (double)beta));
    return c ? build_op2(b, OP_Add, y, c) : y;
}

static bool fuse_dequantised(pass_ctx *ctx, ir_node *n) {
    bool is_gemm = n->op == OP_Gemm, transposed = is_gemm && ir_attr_int(n, "transB", 0);
    const ir_node *x = find_dequantized(ir_in(n, 0)), *w = find_dequantized(ir_in(n, 1));
    if (!x || !w || (is_gemm && ir_attr_int(n, "transA", 0))) return false;
    if (!is_single_element(ir_in(x, 1)) || !is_single_element(ir_in(x, 2)) ||
        !scales_columns(w, transposed))
        return false;
    if (!is_byte_matrix(ir_in(x, 0), ir_in(w, 0)->type->rank) ||
        !is_usable(ir_in(w, 0), ir_in(w, 2), transposed) || !ctx_take(ctx, "dequantised products"))
        return false;
    byte_matrix d = prepare_bytes(ctx, ir_in(w, 0), ir_in(w, 2), transposed);
    ir_builder b = ir_build_before(n);
    ir_value *y = build_cast(&b, product(ctx, &b, ir_in(x, 0), ir_in(x, 2), &d), DT_f32);
    ir_value *scale = flat_scale(&b, ir_in(w, 1));
    scale = build_op2(&b, OP_Mul, scale, flat_scale(&b, ir_in(x, 1)));
    y = build_op2(&b, OP_Mul, y, scale);
    return give(n, finish_gemm(&b, n, y));
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    bool changed = false;
    if (n->op == OP_MatMulInteger) changed = fuse_integer_product(ctx, n);
    if (n->op == OP_MatMul || n->op == OP_Gemm)
        changed = fuse_dequantised(ctx, n) || fuse_dequantized_weight(ctx, n);
    if (n->op == OP_Conv || n->op == OP_ConvInteger) changed = fuse_quantized_conv(ctx, n);
    return changed ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_fuse_quantized(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
