/* Operators on quantised tensors in terms of QuantizeLinear, DequantizeLinear and products of integers.
 *
 *   QLinearMatMul(a, as, az, b, bs, bz, ys, yz)
 *     ->  QuantizeLinear(Cast<to=f32>(MatMulInteger(a, b, az, bz)) * (as * bs / ys), 1, yz) */
#include "frontend/upgrade.h"

/* ---- pieces ------------------------------------------------------------------------------------ */

/* One value per channel as [C,1,...,1], with `behind` axes after it; a single value as it is. */
static ir_value *per_channel(fe_node *n, ir_value *v, int32_t behind) {
    int64_t axes[IR_MAX_RANK];
    if (fe_rank(v) != 1 || ir_dim_is(v->type->dims[0], 1) || behind <= 0) return v;
    for (int32_t i = 0; i < behind; i++)
        axes[i] = i + 1;
    return fe_unsqueeze(n, v, axes, (uint32_t)behind);
}

/* To the type of `zero`, or of `like` where there is none. */
static ir_value *quantize(fe_node *n, ir_value *x, ir_value *scale, ir_value *zero,
                          const ir_value *like) {
    ir_attr type = {.name = "output_dtype", .kind = ATTR_INT};
    if (!zero && like) type.v.i = like->type->dtype;
    return fe_build(n, OP_QuantizeLinear, (ir_value *[]){x, scale, zero}, zero ? 3 : 2, &type,
                    !zero && like);
}

static ir_value *dequantize(fe_node *n, uint32_t first) {
    ir_value *zero = fe_in(n, first + 2);
    return fe_build(n, OP_DequantizeLinear,
                    (ir_value *[]){fe_in(n, first), fe_in(n, first + 1), zero}, zero ? 3 : 2, NULL,
                    0);
}

/* sum (i32) * (x_scale * w_scale / y_scale), quantised. */
static bool requantize(fe_node *n, ir_value *sum, ir_value *x_scale, ir_value *w_scale,
                       ir_value *y_scale, ir_value *y_zero) {
    ir_value *factor = fe_build2(n, OP_Mul, fe_cast(n, x_scale, DT_f32),
                                 fe_cast(n, w_scale, DT_f32));
    factor = fe_build2(n, OP_Div, factor, fe_cast(n, y_scale, DT_f32));
    ir_value *y = fe_build2(n, OP_Mul, fe_cast(n, sum, DT_f32), factor);
    return fe_finish(n, quantize(n, y, fe_scalar(n, DT_f32, 1), y_zero, fe_in(n, 0)));
}

/* ---- QLinearMatMul, QLinearConv ---------------------------------------------------------------- */

static bool qlinear_matmul(fe_node *n) {
    ir_dtype t;
    if (!fe_need(n, 8) || !fe_in_dtype(n, 0, &t)) return false;
    if (ir_dtype_is_float(t)) {
        ir_value *y = fe_build2(n, OP_MatMul, dequantize(n, 0), dequantize(n, 3));
        return fe_finish(n, quantize(n, y, fe_in(n, 6), fe_in(n, 7), fe_in(n, 0)));
    }
    ir_value *in[4] = {fe_in(n, 0), fe_in(n, 3), fe_in(n, 2), fe_in(n, 5)};
    ir_value *sum = fe_build(n, OP_MatMulInteger, in, 4, NULL, 0);
    ir_value *rows = per_channel(n, fe_in(n, 1), fe_rank(fe_in(n, 0)) > 1 ? 1 : 0);
    return requantize(n, sum, rows, fe_in(n, 4), fe_in(n, 6), fe_in(n, 7));
}

static bool qlinear_conv(fe_node *n) {
    if (!fe_need(n, 8)) return false;
    int32_t rank = fe_rank(fe_in(n, 3));
    if (rank < 3) return fe_error(n, "input 3 needs a known rank of 3 or more");
    ir_value *in[4] = {fe_in(n, 0), fe_in(n, 3), fe_in(n, 2), fe_in(n, 5)}, *bias = fe_in(n, 8);
    ir_attr *attrs = TL_NEW_ARRAY(n->im->scratch, ir_attr, n->attrs.len + 1);
    for (uint32_t i = 0; i < n->attrs.len; i++)
        attrs[i] = n->attrs.data[i].a;
    ir_value *sum = fe_build(n, OP_ConvInteger, in, 4, attrs, n->attrs.len);
    if (bias) sum = fe_build2(n, OP_Add, sum, per_channel(n, bias, rank - 2));
    ir_value *scale = per_channel(n, fe_in(n, 4), rank - 2);
    return requantize(n, sum, fe_in(n, 1), scale, fe_in(n, 6), fe_in(n, 7));
}

/* ---- DynamicQuantizeLinear --------------------------------------------------------------------- */

static ir_value *extreme(fe_node *n, op_id reduce, op_id limit, ir_value *x) {
    ir_value *m = fe_build1_int(n, reduce, x, "keepdims", 0);
    return fe_build2(n, limit, m, fe_scalar(n, DT_f32, 0));
}

/* Range of x with 0 in it -> scale and zero point of u8. All zeros: scale 1/255. */
static void range_to_scale(fe_node *n, ir_value *x, ir_value **scale, ir_value **zero) {
    ir_value *high = extreme(n, OP_ReduceMax, OP_Max, x),
             *low = extreme(n, OP_ReduceMin, OP_Min, x);
    ir_value *range = fe_build2(n, OP_Sub, high, low), *one = fe_scalar(n, DT_f32, 1);
    ir_value *flat = fe_build2(n, OP_Equal, high, low), *most = fe_scalar(n, DT_f32, 255);
    range = fe_build(n, OP_Where, (ir_value *[]){flat, one, range}, 3, NULL, 0);
    *scale = fe_build2(n, OP_Div, range, most);
    ir_value *z = fe_build1(n, OP_Neg, fe_build2(n, OP_Div, low, *scale));
    z = fe_build(n, OP_Clip, (ir_value *[]){z, fe_scalar(n, DT_f32, 0), most}, 3, NULL, 0);
    *zero = fe_cast(n, fe_build1(n, OP_Round, z), DT_u8);
}

static bool dynamic_quantize(fe_node *n) {
    if (!fe_need(n, 1)) return false;
    ir_value *x = fe_in(n, 0), *out[3];
    range_to_scale(n, x, &out[1], &out[2]);
    out[0] = quantize(n, x, out[1], out[2], NULL);
    for (uint32_t i = 0; i < 3 && i < n->n_out; i++)
        n->out[i] = out[i];
    n->done = true;
    return out[0] && out[1] && out[2];
}

/* ---- com.microsoft: the same operators, more element types ------------------------------------- */

static bool rename_quantize(fe_node *n) {
    fe_rename(n, "QuantizeLinear");
    return true;
}

static bool rename_dequantize(fe_node *n) {
    fe_rename(n, "DequantizeLinear");
    return true;
}

/* ---- com.microsoft: one operator on dequantised operands ---------------------------------------- */

static bool qlinear_binary(fe_node *n, op_id op) {
    if (!fe_need(n, 2)) return false;
    if (!fe_in(n, 3) || !fe_in(n, 4) || !fe_in(n, 6)) return fe_error(n, "an input is missing");
    ir_value *y = fe_build2(n, op, dequantize(n, 0), dequantize(n, 3));
    return fe_finish(n, quantize(n, y, fe_in(n, 6), fe_in(n, 7), fe_in(n, 0)));
}

static bool qlinear_add(fe_node *n) {
    return qlinear_binary(n, OP_Add);
}

static bool qlinear_mul(fe_node *n) {
    return qlinear_binary(n, OP_Mul);
}

/* (x, x_scale, x_zero, y_scale, y_zero): y, computed from the dequantised x, is quantised. */
static bool requantized(fe_node *n, ir_value *y) {
    return fe_finish(n, quantize(n, y, fe_in(n, 3), fe_in(n, 4), fe_in(n, 0)));
}

static bool need_unary(fe_node *n) {
    return fe_need(n, 2) && (fe_in(n, 3) || fe_error(n, "input 3 is missing"));
}

static bool qlinear_sigmoid(fe_node *n) {
    return need_unary(n) && requantized(n, fe_build1(n, OP_Sigmoid, dequantize(n, 0)));
}

static bool qlinear_leaky_relu(fe_node *n) {
    ir_attr alpha = {.name = "alpha", .kind = ATTR_FLOAT, .v.f = fe_attr_float(n, "alpha", 0.01f)};
    if (!need_unary(n)) return false;
    ir_value *x = dequantize(n, 0);
    return requantized(n, fe_build(n, OP_LeakyRelu, &x, 1, &alpha, 1));
}

/* Until opset 13 all axes from `axis` on were one. */
static bool qlinear_softmax(fe_node *n) {
    int32_t rank = fe_rank(fe_in(n, 0));
    int64_t axis = fe_attr_int(n, "axis", -1);
    bool last = axis == -1 || (rank > 0 && axis == rank - 1);
    if (fe_attr_int(n, "opset", 13) < 13 && !last)
        return fe_error(n, "only the last axis is supported in the form of opset %lld",
                        (long long)fe_attr_int(n, "opset", 13));
    if (!need_unary(n)) return false;
    return requantized(n, fe_build1_int(n, OP_Softmax, dequantize(n, 0), "axis", axis));
}

static const int64_t to_last[] = {0, 2, 3, 1}, to_first[] = {0, 3, 1, 2};

static ir_value *dequantized_nchw(fe_node *n) {
    ir_value *x = dequantize(n, 0);
    return fe_attr_int(n, "channels_last", 0) ? fe_transpose(n, x, to_first, 4) : x;
}

static bool from_nchw(fe_node *n, ir_value *y) {
    return requantized(n, fe_attr_int(n, "channels_last", 0) ? fe_transpose(n, y, to_last, 4) : y);
}

static bool qlinear_global_average_pool(fe_node *n) {
    return need_unary(n) && from_nchw(n, fe_build1(n, OP_GlobalAveragePool, dequantized_nchw(n)));
}

/* The attributes but `channels_last`, in the importer's scratch memory. */
static const ir_attr *window_attrs(fe_node *n, uint32_t *count) {
    ir_attr *attrs = TL_NEW_ARRAY(n->im->scratch, ir_attr, n->attrs.len + 1);
    *count = 0;
    for (uint32_t i = 0; i < n->attrs.len; i++)
        if (strcmp(n->attrs.data[i].a.name, "channels_last") != 0)
            attrs[(*count)++] = n->attrs.data[i].a;
    return attrs;
}

static bool qlinear_average_pool(fe_node *n) {
    uint32_t count;
    if (!need_unary(n)) return false;
    const ir_attr *attrs = window_attrs(n, &count);
    ir_value *x = dequantized_nchw(n);
    return from_nchw(n, fe_build(n, OP_AveragePool, &x, 1, attrs, count));
}

static bool nhwc_max_pool(fe_node *n) {
    uint32_t count;
    if (!fe_need(n, 1)) return false;
    const ir_attr *attrs = window_attrs(n, &count);
    ir_value *x = fe_transpose(n, fe_in(n, 0), to_first, 4);
    return fe_finish(n, fe_transpose(n, fe_build(n, OP_MaxPool, &x, 1, attrs, count), to_last, 4));
}

/* (y_scale, y_zero, x, x_scale, x_zero, ...) */
static bool qlinear_concat(fe_node *n) {
    if (!fe_need(n, 4) || n->in.len % 3 != 2)
        return fe_error(n, "%u inputs, expected 2 and threes of them", n->in.len);
    uint32_t count = (n->in.len - 2) / 3;
    ir_value **parts = TL_NEW_ARRAY(n->im->scratch, ir_value *, count);
    for (uint32_t i = 0; i < count; i++)
        parts[i] = dequantize(n, 2 + 3 * i);
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = fe_attr_int(n, "axis", 1)};
    ir_value *y = fe_build(n, OP_Concat, parts, count, &axis, 1);
    return fe_finish(n, quantize(n, y, fe_in(n, 0), fe_in(n, 1), fe_in(n, 2)));
}

/* ---- com.microsoft: products ------------------------------------------------------------------- */

static ir_value *or_omitted(ir_value *v) {
    return v ? v : &fe_omitted;
}

static ir_value *integer_product(fe_node *n, ir_value *a, ir_value *b, ir_value *a_zero,
                                 ir_value *b_zero) {
    ir_value *in[4] = {a, b, or_omitted(a_zero), or_omitted(b_zero)};
    return fe_build(n, OP_MatMulInteger, in, b_zero ? 4 : a_zero ? 3 : 2, NULL, 0);
}

/* sum * (a_scale * b_scale) + bias */
static ir_value *scaled_product(fe_node *n, ir_value *sum, ir_value *a_scale, ir_value *b_scale,
                                ir_value *bias) {
    ir_value *y = fe_build2(n, OP_Mul, fe_cast(n, sum, DT_f32),
                            fe_build2(n, OP_Mul, a_scale, b_scale));
    return bias ? fe_build2(n, OP_Add, y, bias) : y;
}

/* (a, b, a_scale, b_scale, a_zero?, b_zero?, bias?) */
static bool matmul_integer_to_float(fe_node *n) {
    if (!fe_need(n, 4)) return false;
    ir_value *sum = integer_product(n, fe_in(n, 0), fe_in(n, 1), fe_in(n, 4), fe_in(n, 5));
    return fe_finish(n, scaled_product(n, sum, fe_in(n, 2), fe_in(n, 3), fe_in(n, 6)));
}

/* (a: f32, b, b_scale, b_zero?, bias?) */
static bool dynamic_quantize_matmul(fe_node *n) {
    if (!fe_need(n, 3)) return false;
    ir_value *scale, *zero, *a = fe_in(n, 0);
    range_to_scale(n, a, &scale, &zero);
    ir_value *q = quantize(n, a, scale, zero, NULL);
    ir_value *sum = integer_product(n, q, fe_in(n, 1), zero, fe_in(n, 3));
    return fe_finish(n, scaled_product(n, sum, scale, fe_in(n, 2), fe_in(n, 4)));
}

static ir_value *matrix(fe_node *n, uint32_t i, const char *transposed) {
    bool turn = fe_attr_int(n, transposed, 0) != 0;
    return turn ? fe_transpose(n, fe_in(n, i), (int64_t[]){1, 0}, 2) : fe_in(n, i);
}

/* (a, a_scale, a_zero, b, b_scale, b_zero, c: i32?, y_scale?, y_zero?): without y_scale the result is f32. */
static bool qgemm(fe_node *n) {
    if (!fe_need(n, 6)) return false;
    ir_value *sum = integer_product(n, matrix(n, 0, "transA"), matrix(n, 3, "transB"), fe_in(n, 2),
                                    fe_in(n, 5));
    if (fe_in(n, 6)) sum = fe_build2(n, OP_Add, sum, fe_in(n, 6));
    ir_value *scale = fe_in(n, 1);
    float alpha = fe_attr_float(n, "alpha", 1);
    if (alpha != 1) scale = fe_build2(n, OP_Mul, scale, fe_scalar(n, DT_f32, (double)alpha));
    if (fe_in(n, 7)) return requantize(n, sum, scale, fe_in(n, 4), fe_in(n, 7), fe_in(n, 8));
    return fe_finish(n, scaled_product(n, sum, scale, fe_in(n, 4), NULL));
}

/* ---- MatMulNBits ------------------------------------------------------------------------------- */

typedef struct nbits {
    int64_t k, n, bits, block, blocks; /* blocks per column */
} nbits;

static bool read_nbits(fe_node *n, nbits *d) {
    *d = (nbits){fe_attr_int(n, "K", 0), fe_attr_int(n, "N", 0), fe_attr_int(n, "bits", 4),
                 fe_attr_int(n, "block_size", 0), 0};
    bool ok = d->k > 0 && d->n > 0 && d->block >= 8 && d->k <= INT32_MAX && d->n <= INT32_MAX &&
              d->block <= INT32_MAX && (d->bits == 2 || d->bits == 4 || d->bits == 8);
    if (!ok) return fe_error(n, "attributes K, N, bits or block_size are missing or out of range");
    d->blocks = (d->k + d->block - 1) / d->block;
    return true;
}

/* Rows of `count` elements, each row beginning with a byte of its own every `row_bytes`, as one tensor u2, u4 or u8 [rows, count]. */
static ir_value *repack(fe_node *n, const ir_value *v, int64_t rows, int64_t count,
                        int64_t row_bytes, int64_t bits) {
    ir_dtype t = bits == 2 ? DT_u2 : bits == 4 ? DT_u4 : DT_u8;
    if (!ir_value_is_const(v) || v->tensor->opaque || v->type->dtype != DT_u8 ||
        v->tensor->bytes != (size_t)(rows * row_bytes))
        return NULL;
    ir_tensor *to = ir_tensor_alloc(
        n->im->s->arena, ir_type_tensor_static(n->im->c, t, 2, (int64_t[]){rows, count}));
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)v->tensor->data + r * row_bytes;
        for (int64_t i = 0; i < count; i++)
            ir_tensor_set_i64(to, (size_t)(r * count + i), ir_element_get_i64(t, row, (size_t)i));
    }
    ir_tensor_seal(to);
    return ir_module_const(n->im->m, to, fe_unique_const_name(n->im, v->name ? v->name : "weight"));
}

/* Zero points: packed like the weight, or of the scales' type; without any they are in the middle. */
static ir_value *nbits_zeros(fe_node *n, const nbits *d) {
    ir_value *zero = fe_in(n, 3);
    int64_t bytes = (d->blocks * d->bits + 7) / 8;
    if (zero) return repack(n, zero, d->n, d->blocks, bytes, d->bits);
    ir_dtype t = d->bits == 2 ? DT_u2 : d->bits == 4 ? DT_u4 : DT_u8;
    ir_tensor *z = ir_tensor_alloc(
        n->im->s->arena, ir_type_tensor_static(n->im->c, t, 2, (int64_t[]){d->n, d->blocks}));
    for (size_t i = 0; i < ir_tensor_elements(z); i++)
        ir_tensor_set_i64(z, i, (int64_t)1 << (d->bits - 1));
    ir_tensor_seal(z);
    return ir_module_const(n->im->m, z, fe_unique_const_name(n->im, "zero_points"));
}

/* (a, b: u8[N, blocks, block bytes], scales[N * blocks], zero_points?, g_idx?, bias?):
 *   a times the transpose of DequantizeLinear<axis=1, block_size>(b: u4[N,K], scales[N,blocks], zero_points) */
static bool matmul_nbits(fe_node *n) {
    nbits d;
    if (!fe_need(n, 3) || !read_nbits(n, &d)) return false;
    if (fe_in(n, 4)) return fe_error(n, "input 4 'g_idx' is not supported");
    int64_t bytes = d.blocks * d.block * d.bits / 8;
    ir_value *b = repack(n, fe_in(n, 1), d.n, d.k, bytes, d.bits), *zeros = nbits_zeros(n, &d);
    if (!b) return fe_error(n, "input 1 is no constant of %lld bytes", (long long)(d.n * bytes));
    if (!zeros) return fe_error(n, "input 3 is no constant of packed zero points");
    ir_value *shape = fe_i64s(n, (int64_t[]){d.n, d.blocks}, 2);
    ir_value *in[3] = {b, fe_build2(n, OP_Reshape, fe_in(n, 2), shape), zeros};
    ir_attr attrs[] = {{.name = "axis", .kind = ATTR_INT, .v.i = 1},
                       {.name = "block_size", .kind = ATTR_INT, .v.i = d.block}};
    ir_value *w = fe_build(n, OP_DequantizeLinear, in, 3, attrs, 2);
    w = fe_transpose(n, w, (int64_t[]){1, 0}, 2);
    ir_value *y = fe_build2(n, OP_MatMul, fe_in(n, 0), w);
    return fe_finish(n, fe_in(n, 5) ? fe_build2(n, OP_Add, y, fe_in(n, 5)) : y);
}

/* clang-format off */
const fe_rule fe_rules_quantize[] = {
    {"", "QLinearMatMul", FE_ALWAYS, qlinear_matmul, "MatMulInteger"},
    {"", "QLinearConv", FE_ALWAYS, qlinear_conv, "ConvInteger"},
    {"", "DynamicQuantizeLinear", FE_ALWAYS, dynamic_quantize, "QuantizeLinear"},
    {"com.microsoft", "QLinearAdd", FE_ALWAYS, qlinear_add, "Add"},
    {"com.microsoft", "QLinearMul", FE_ALWAYS, qlinear_mul, "Mul"},
    {"com.microsoft", "QLinearSigmoid", FE_ALWAYS, qlinear_sigmoid, "Sigmoid"},
    {"com.microsoft", "QLinearLeakyRelu", FE_ALWAYS, qlinear_leaky_relu, "LeakyRelu"},
    {"com.microsoft", "QLinearSoftmax", FE_ALWAYS, qlinear_softmax, "Softmax"},
    {"com.microsoft", "QLinearGlobalAveragePool", FE_ALWAYS, qlinear_global_average_pool, "GlobalAveragePool"},
    {"com.microsoft", "QLinearAveragePool", FE_ALWAYS, qlinear_average_pool, "AveragePool"},
    {"com.microsoft", "NhwcMaxPool", FE_ALWAYS, nhwc_max_pool, "MaxPool"},
    {"com.microsoft", "QLinearConcat", FE_ALWAYS, qlinear_concat, "Concat"},
    {"com.microsoft", "QuantizeLinear", FE_ALWAYS, rename_quantize, "QuantizeLinear"},
    {"com.microsoft", "DequantizeLinear", FE_ALWAYS, rename_dequantize, "DequantizeLinear"},
    {"com.microsoft", "MatMulIntegerToFloat", FE_ALWAYS, matmul_integer_to_float, "MatMulInteger"},
    {"com.microsoft", "DynamicQuantizeMatMul", FE_ALWAYS, dynamic_quantize_matmul, "MatMulInteger"},
    {"com.microsoft", "QGemm", FE_ALWAYS, qgemm, "MatMulInteger"},
    {"com.microsoft", "MatMulNBits", FE_ALWAYS, matmul_nbits, "DequantizeLinear"},
    {0},
};
/* clang-format on */
