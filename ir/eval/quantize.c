/* QuantizeLinear, DequantizeLinear, products of integers with zero points, BitCast.
 *
 *   quantised = saturate(rint(x / scale) + zero)       the quotient rounded to the scale's type, or to that of `precision`; of
 *                                                      integers and by powers of two as ir_dtype_quotient() says
 *   x = (quantised - zero) * scale                     both steps rounded to f32, then to the result's type */
#include "ir/eval/eval_internal.h"

#include <math.h>

/* ---- scale and zero point per tensor, axis, or block -------------------------------------------------------------- */

typedef struct quantisation {
    ev_shape x;
    int64_t strides[IR_MAX_RANK]; /* of the scale; at `axis` for each block of `block` indices */
    int64_t block;
    int32_t axis;
    const double *scale, *zero; /* zero NULL: none */
} quantisation;

static bool blocks_fit(const quantisation *q, const ev_shape *s) {
    if (s->rank != q->x.rank) return false;
    for (int32_t d = 0; d < s->rank; d++) {
        int64_t size = q->x.dims[d];
        if (s->dims[d] != (d == q->axis ? (size + q->block - 1) / q->block : size)) return false;
    }
    return true;
}

static bool fits(ir_eval *e, const ir_node *n, quantisation *q, const ev_shape *s) {
    int64_t block = ir_attr_int(n, "block_size", 0), axis = ir_attr_int(n, "axis", 1);
    q->block = 1;
    if (block <= 0 && ev_count(s) == 1 && s->rank <= 1) return true;
    if (q->x.rank == 1 && !ir_attr_find(n, "axis")) axis = 0;
    if (!ev_axis(e, n, axis, q->x.rank, &q->axis)) return false;
    if (block > 0) {
        q->block = block;
        ev_strides(s, q->strides);
        return blocks_fit(q, s);
    }
    q->strides[q->axis] = 1;
    return s->rank == 1 && s->dims[0] == q->x.dims[q->axis];
}

static bool read_operands(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                          quantisation *q) {
    const ir_tensor *x = ev_need(e, n, in, 0), *scale = ev_need(e, n, in, 1),
                    *zero = ev_tensor(n, in, 2);
    if (!x || !scale) return false;
    *q = (quantisation){.x = ev_shape_of(x)};
    ev_shape s = ev_shape_of(scale), z = zero ? ev_shape_of(zero) : s;
    if (!fits(e, n, q, &s) || ev_count(&z) != ev_count(&s))
        return ev_error(e, n, "scale %s and zero point %s do not fit", ev_shape_text(e, &s),
                        ev_shape_text(e, &z));
    q->scale = ev_f64s(e, scale);
    q->zero = zero ? ev_f64s(e, zero) : NULL;
    return true;
}

/* The element type that an attribute names, `otherwise` where it is missing; DT_undefined after reporting one that there is not. */
static ir_dtype type_attr(ir_eval *e, const ir_node *n, const char *name, ir_dtype otherwise) {
    int64_t t = ir_attr_int(n, name, 0);
    if (t == 0) return otherwise;
    if (t > 0 && t < DT_COUNT && t != DT_str) return (ir_dtype)t;
    ev_error(e, n, "attribute '%s' is %lld", name, (long long)t);
    return DT_undefined;
}

static size_t scale_at(const quantisation *q, const int64_t *index) {
    int64_t at = 0;
    for (int32_t d = 0; d < q->x.rank; d++)
        at += (d == q->axis ? index[d] / q->block : index[d]) * q->strides[d];
    return (size_t)at;
}

/* ---- DequantizeLinear --------------------------------------------------------------------------------------------- */

bool eval_dequantize(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    quantisation q;
    if (!read_operands(e, n, in, &q)) return false;
    const ir_tensor *x = in[0]->tensor;
    ir_dtype t = type_attr(e, n, "output_dtype", in[1]->tensor->type->dtype);
    ir_tensor *y = t ? ev_alloc(e, n, t, &q.x) : NULL;
    if (!y) return false;
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(&q.x);
    for (int64_t i = 0; i < count; i++, ev_next(&q.x, index)) {
        size_t at = scale_at(&q, index);
        float v = (float)ir_tensor_get_f64(x, (size_t)i);
        if (q.zero) v -= (float)q.zero[at];
        ir_tensor_set_f64(y, (size_t)i, (double)(v * (float)q.scale[at]));
    }
    out[0].tensor = y;
    return true;
}

/* ---- QuantizeLinear ----------------------------------------------------------------------------------------------- */

static void store_integer(ir_tensor *y, size_t i, double quotient, double zero) {
    ir_dtype t = y->type->dtype;
    uint32_t bits = ir_dtype_bits(t);
    bool is_signed = ir_dtype_is_signed(t);
    double low = is_signed ? -ldexp(1, (int)bits - 1) : 0, high = low + ldexp(1, (int)bits) - 1;
    double v = (double)(float)(rint(quotient) + zero);
    ir_tensor_set_i64(y, i, isnan(v) ? 0 : (int64_t)fmax(low, fmin(high, v)));
}

bool eval_quantize(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    quantisation q;
    if (!read_operands(e, n, in, &q)) return false;
    const ir_tensor *x = in[0]->tensor, *zero = ev_tensor(n, in, 2);
    ir_dtype t = type_attr(e, n, "output_dtype", zero ? zero->type->dtype : DT_u8),
             precision = type_attr(e, n, "precision",
                                   ir_dtype_quotient(in[1]->tensor->type->dtype));
    ir_tensor *y = t && precision ? ev_alloc(e, n, t, &q.x) : NULL;
    if (!y) return false;
    bool is_float = ir_dtype_is_float(y->type->dtype);
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(&q.x);
    for (int64_t i = 0; i < count; i++, ev_next(&q.x, index)) {
        size_t at = scale_at(&q, index);
        double scale = ev_round(precision, q.scale[at]),
               v = ev_round(precision, ir_tensor_get_f64(x, (size_t)i));
        v = ev_round(precision, v / scale);
        if (q.zero && y->type->dtype == DT_f4e2m1) v = ev_round(precision, v + q.zero[at]);
        if (is_float)
            ev_store_float(n, y->type->dtype, ir_tensor_data(y), (size_t)i, v);
        else
            store_integer(y, (size_t)i, v, q.zero ? q.zero[at] : 0);
    }
    out[0].tensor = y;
    return true;
}

/* ---- MatMulInteger, ConvInteger ----------------------------------------------------------------------------------- */

/* x - zero as i32; zero has one element, or one for each index along `axis`. */
static ir_datum *centred(ir_eval *e, const ir_node *n, const ir_tensor *x, const ir_tensor *zero,
                         int32_t axis) {
    ev_shape s = ev_shape_of(x), z = zero ? ev_shape_of(zero) : (ev_shape){0};
    ir_datum *d = TL_NEW(e->arena, ir_datum);
    ir_tensor *y = ev_alloc(e, n, DT_i32, &s);
    d->tensor = y;
    int64_t step[IR_MAX_RANK] = {0}, index[IR_MAX_RANK] = {0}, count = ev_count(&s);
    bool single = ev_count(&z) == 1,
         per_axis = z.rank == 1 && axis >= 0 && axis < s.rank && z.dims[0] == s.dims[axis];
    if (!y) return NULL;
    if (!single && per_axis) {
        step[axis] = 1;
    } else if (!single) {
        ev_shape all = s;
        if (!ev_broadcasts_to(&z, &all))
            return ev_error(e, n, "zero point %s does not fit", ev_shape_text(e, &z)), NULL;
        ev_broadcast_strides(&z, &all, step);
    }
    for (int64_t i = 0; i < count; i++, ev_next(&s, index)) {
        int64_t v = ir_tensor_get_i64(x, (size_t)i);
        if (zero) v -= ir_tensor_get_i64(zero, (size_t)ev_dot(index, step, s.rank));
        ir_tensor_set_i64(y, (size_t)i, v);
    }
    return d;
}

static bool both_centred(ir_eval *e, const ir_node *n, const ir_datum *const *in, int32_t axis_a,
                         int32_t axis_b, const ir_datum **out) {
    const ir_tensor *a = ev_need(e, n, in, 0), *b = ev_need(e, n, in, 1);
    if (!a || !b) return false;
    out[0] = centred(e, n, a, ev_tensor(n, in, 2), axis_a < 0 ? a->type->rank + axis_a : axis_a);
    out[1] = centred(e, n, b, ev_tensor(n, in, 3), axis_b < 0 ? b->type->rank + axis_b : axis_b);
    return out[0] && out[1];
}

bool eval_matmul_integer(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_datum *plain[4] = {NULL};
    return both_centred(e, n, in, -2, -1, plain) && eval_matmul(e, n, plain, out);
}

bool eval_conv_integer(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_datum *plain[4] = {NULL};
    return both_centred(e, n, in, 1, 0, plain) && eval_conv(e, n, plain, out);
}

/* ---- BitCast ------------------------------------------------------------------------------------------------------- */

bool eval_bit_cast(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    ir_dtype to = type_attr(e, n, "to", DT_undefined);
    if (!x || !to) return false;
    if (ir_dtype_bits(to) != ir_dtype_bits(x->type->dtype))
        return ev_error(e, n, "%s is not as wide as %s", ir_dtype_name(to),
                        ir_dtype_name(x->type->dtype));
    ev_shape s = ev_shape_of(x);
    ir_tensor *y = ev_alloc(e, n, to, &s);
    if (!y) return false;
    if (x->bytes) memcpy(ir_tensor_data(y), x->data, x->bytes);
    out[0].tensor = y;
    return true;
}
