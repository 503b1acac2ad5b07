/* Fourier transforms as products of matrices (see decompose.c).
 *
 *   %y = DFT(%x)   f32[B,1024,1], axis 1   ->   [B,32,32] times a matrix of 32 x 64, factors of modulus 1, times a matrix of 64 x 64
 *
 * A transform of length n is a product with the n x n matrix of exp(-2 pi i j k / n). Long ones whose length is composite are taken apart,
 * n = p q, into q transforms of length p, n factors, and p transforms of length q (Cooley and Tukey), so that all lengths with small
 * divisors cost little more than n log n, in the form of products that have fast kernels. What no divisor of at most MAX_FACTOR divides
 * stays one product: n^2 operations. Matrices are built from Range, Cos and Sin in f64 and are constants where n is one; their angles are
 * taken of j k mod n, so that they are exact.
 *
 * Complex numbers lie in three ways along the last axis: real parts alone; real and imaginary part side by side; all real parts in front
 * of all imaginary ones, which is what runs between the stages. */
#include "passes/decompose.h"

#include "ir/limits.h"
#include "passes/util.h"

enum { MAX_FACTOR = 64 };

typedef enum layout { REAL, BESIDE, APART } layout;

typedef struct dft {
    ir_builder *b;
    ir_ctx *c;
    ir_dtype type;
    bool inverse, half;
    const ir_dim *length;
} dft;

static ir_value *op2(const dft *d, op_id op, ir_value *x, ir_value *y) {
    return build_op2(d->b, op, x, y);
}
static ir_value *join(const dft *d, ir_value *x, ir_value *y, int64_t axis) {
    return build_op2_int(d->b, OP_Concat, x, y, "axis", axis);
}
static ir_value *add_axis(const dft *d, ir_value *x, int64_t axis) {
    return op2(d, OP_Unsqueeze, x, build_i64s(d->b, &axis, 1));
}
static ir_value *neg(const dft *d, ir_value *x) {
    return build_op1(d->b, OP_Neg, x);
}
static const ir_dim *dim(const dft *d, int64_t v) {
    return ir_dim_const(d->c, v);
}

/* v with its last `n` axes in front of the given dims replaced by them. */
static ir_value *reshape_tail(const dft *d, ir_value *v, int32_t n, const ir_dim *const *dims,
                              int32_t n_dims) {
    const ir_dim *all[IR_MAX_RANK];
    int32_t kept = v->type->rank - n;
    for (int32_t i = 0; i < kept + n_dims; i++)
        all[i] = i < kept ? v->type->dims[i] : dims[i - kept];
    return build_reshape(d->b, v, all, (uint32_t)(kept + n_dims));
}

/* The last n axes in another order. */
static ir_value *permute_tail(const dft *d, ir_value *v, const int32_t *order, int32_t n) {
    int64_t perm[IR_MAX_RANK];
    int32_t kept = v->type->rank - n;
    for (int32_t i = 0; i < v->type->rank; i++)
        perm[i] = i < kept ? i : kept + order[i - kept];
    return build_transpose(d->b, v, perm, (uint32_t)v->type->rank);
}

/* Elements [from, to) of the last axis but `back`. */
static ir_value *slice_tail(const dft *d, ir_value *v, int32_t back, const ir_dim *from,
                            const ir_dim *to) {
    ir_value *in[] = {v, build_dims(d->b, &from, 1), build_dims(d->b, &to, 1),
                      build_i64s(d->b, (int64_t[]){v->type->rank - 1 - back}, 1)};
    return &build_node(d->b, OP_Slice, in, 4, 1, NULL, 0)->out[0];
}

/* ---- matrices ----------------------------------------------------------------------------------------------------------- */

/* cos and sin of 2 pi j k / n for j in [0, rows), k in [0, columns); the sine with the sign of the direction. */
static void waves(const dft *d, const ir_dim *rows, const ir_dim *columns, const ir_dim *n,
                  ir_value **cosine, ir_value **sine) {
    ir_builder *b = d->b;
    ir_value *zero = build_scalar(b, DT_i64, 0), *one = build_scalar(b, DT_i64, 1);
    ir_value *j = build_op3(b, OP_Range, zero, build_dim_scalar(b, rows), one);
    ir_value *k = build_op3(b, OP_Range, zero, build_dim_scalar(b, columns), one);
    ir_value *length = build_dim_scalar(b, n);
    ir_value *turn = op2(d, OP_Mod, op2(d, OP_Mul, add_axis(d, j, 1), k), length);
    ir_value *angle = op2(d, OP_Mul, build_cast(b, turn, DT_f64),
                          build_scalar(b, DT_f64, 6.283185307179586476925));
    angle = op2(d, OP_Div, angle, build_cast(b, length, DT_f64));
    *cosine = build_op1(b, OP_Cos, angle);
    *sine = build_op1(b, OP_Sin, angle);
    if (!d->inverse) *sine = neg(d, *sine);
}

/* Columns for the real and the imaginary part of each result. */
static ir_value *columns_of(const dft *d, ir_value *re, ir_value *im, layout to) {
    if (to == APART) return join(d, re, im, 1);
    const ir_dim *const *s = re->type->dims;
    ir_value *v = join(d, add_axis(d, re, 2), add_axis(d, im, 2), 2);
    return build_reshape(d->b, v, (const ir_dim *[]){s[0], ir_dim_mul(d->c, s[1], dim(d, 2))}, 2);
}

static ir_value *matrix(const dft *d, const ir_dim *n, const ir_dim *n_out, layout from,
                        layout to) {
    ir_value *c, *s;
    waves(d, n, n_out, n, &c, &s);
    ir_value *of_re = columns_of(d, c, s, to), *v = of_re;
    if (from != REAL) {
        ir_value *of_im = columns_of(d, neg(d, s), c, to);
        const ir_dim *const *size = of_re->type->dims;
        const ir_dim *both[] = {ir_dim_mul(d->c, n, dim(d, 2)), size[1]};
        v = from == APART
                ? join(d, of_re, of_im, 0)
                : build_reshape(d->b, join(d, add_axis(d, of_re, 1), add_axis(d, of_im, 1), 1),
                                both, 2);
    }
    return build_cast(d->b, v, d->type);
}

/* ---- stages --------------------------------------------------------------------------------------------------------------- */

/* The largest divisor of n up to MAX_FACTOR, or 1. */
static int64_t divisor(int64_t n) {
    for (int64_t f = MAX_FACTOR; f > 1; f--)
        if (n % f == 0) return f;
    return 1;
}

/* x: [..., p q in layout from] -> [..., q, p in the same layout]: element j of the transform number i is x[j q + i]. */
static ir_value *interleave(const dft *d, ir_value *x, int64_t p, int64_t q, layout from) {
    const ir_dim *dp = dim(d, p), *dq = dim(d, q), *two = dim(d, 2);
    if (from == REAL)
        return permute_tail(d, reshape_tail(d, x, 1, (const ir_dim *[]){dp, dq}, 2),
                            (int32_t[]){1, 0}, 2);
    const ir_dim *flat[] = {dq, dim(d, 2 * p)};
    ir_value *v = from == BESIDE
                      ? permute_tail(d, reshape_tail(d, x, 1, (const ir_dim *[]){dp, dq, two}, 3),
                                     (int32_t[]){1, 0, 2}, 3)
                      : permute_tail(d, reshape_tail(d, x, 1, (const ir_dim *[]){two, dp, dq}, 3),
                                     (int32_t[]){2, 0, 1}, 3);
    return reshape_tail(d, v, 3, flat, 2);
}

/* v: [..., q, p apart] times exp(-+ 2 pi i j k / (p q)), j < q, k < p -> [..., p, q apart] */
static ir_value *twiddle(const dft *d, ir_value *v, int64_t p, int64_t q) {
    ir_value *c, *s;
    waves(d, dim(d, q), dim(d, p), dim(d, p * q), &c, &s);
    c = build_cast(d->b, c, d->type), s = build_cast(d->b, s, d->type);
    ir_value *re = slice_tail(d, v, 0, dim(d, 0), dim(d, p));
    ir_value *im = slice_tail(d, v, 0, dim(d, p), dim(d, 2 * p));
    ir_value *r = op2(d, OP_Sub, op2(d, OP_Mul, re, c), op2(d, OP_Mul, im, s));
    ir_value *i = op2(d, OP_Add, op2(d, OP_Mul, re, s), op2(d, OP_Mul, im, c));
    static const int32_t turned[] = {1, 0};
    return join(d, permute_tail(d, r, turned, 2), permute_tail(d, i, turned, 2), -1);
}

/* [..., n in layout from] -> [..., n, 2] */
static ir_value *transform(const dft *d, ir_value *x, int64_t n, layout from) {
    int64_t p = n > MAX_FACTOR ? divisor(n) : 1, q = n / p;
    if (p == 1) {
        ir_value *y = op2(d, OP_MatMul, x, matrix(d, dim(d, n), dim(d, n), from, BESIDE));
        return reshape_tail(d, y, 1, (const ir_dim *[]){dim(d, n), dim(d, 2)}, 2);
    }
    ir_value *m = matrix(d, dim(d, p), dim(d, p), from, APART);
    ir_value *v = op2(d, OP_MatMul, interleave(d, x, p, q, from), m);
    v = transform(d, twiddle(d, v, p, q), q, APART);
    v = permute_tail(d, v, (int32_t[]){1, 0, 2},
                     3); /* [p, q, 2]: result k + p l of transform k is at [k, l] */
    return reshape_tail(d, v, 3, (const ir_dim *[]){dim(d, n), dim(d, 2)}, 2);
}

/* ---- directions ------------------------------------------------------------------------------------------------------------- */

/* n along the axis: cut off, or filled up with zeros. */
static ir_value *fit(const dft *d, ir_value *x, int32_t axis, const ir_dim *n) {
    int32_t rank = x->type->rank;
    const ir_dim *pads[2 * IR_MAX_RANK];
    const ir_dim *missing = ir_dim_sub(d->c, n, x->type->dims[axis]);
    if (ir_dim_is(missing, 0)) return x;
    for (int32_t i = 0; i < 2 * rank; i++)
        pads[i] = i == rank + axis ? missing : dim(d, 0);
    return op2(d, OP_Pad, x, build_dims(d->b, pads, (uint32_t)(2 * rank)));
}

static const ir_dim *half_of(const dft *d) {
    return ir_dim_add(d->c, ir_dim_floordiv(d->c, d->length, dim(d, 2)), dim(d, 1));
}

static ir_value *flat_parts(const dft *d, ir_value *x) {
    const ir_dim *const *s = x->type->dims + x->type->rank - 2;
    return reshape_tail(d, x, 2, (const ir_dim *[]){ir_dim_mul(d->c, s[0], s[1])}, 1);
}

/* Real numbers from half a spectrum: all but the first and (of an even length) the last element count twice, and of imaginary parts only
 * those whose sine is not 0 count. */
static ir_value *from_half(const dft *d, ir_value *x) {
    const ir_dim *rows = half_of(d), *two = dim(d, 2);
    ir_value *c, *s;
    waves(d, rows, d->length, d->length, &c, &s);
    ir_value *k = build_op3(d->b, OP_Range, build_scalar(d->b, DT_i64, 0),
                            build_dim_scalar(d->b, rows), build_scalar(d->b, DT_i64, 1));
    ir_value *twice = op2(d, OP_Mod, op2(d, OP_Mul, k, build_scalar(d->b, DT_i64, 2)),
                          build_dim_scalar(d->b, d->length));
    ir_value *single = op2(d, OP_Equal, twice, build_scalar(d->b, DT_i64, 0));
    ir_value *weight = build_op3(d->b, OP_Where, single, build_scalar(d->b, DT_f64, 1),
                                 build_scalar(d->b, DT_f64, 2));
    weight = add_axis(d, weight, 1);
    c = add_axis(d, op2(d, OP_Mul, c, weight), 1);
    s = add_axis(d, op2(d, OP_Mul, neg(d, s), weight), 1);
    ir_value *m = build_reshape(d->b, join(d, c, s, 1),
                                (const ir_dim *[]){ir_dim_mul(d->c, rows, two), d->length}, 2);
    return add_axis(d, op2(d, OP_MatMul, flat_parts(d, x), build_cast(d->b, m, d->type)), -1);
}

/* The other half of a spectrum of constant length: elements length/2 + 1, ... are those (length - 1)/2, ... 1, conjugated. */
static ir_value *whole_spectrum(const dft *d, ir_value *x, int64_t n) {
    ir_value *sign = build_cast(d->b, build_i64s(d->b, (int64_t[]){1, -1}, 2), d->type);
    ir_value *ends = build_i64s(d->b, (int64_t[]){0}, 1);
    ir_value *in[] = {x, build_i64s(d->b, (int64_t[]){(n - 1) / 2}, 1), ends,
                      build_i64s(d->b, (int64_t[]){x->type->rank - 2}, 1),
                      build_i64s(d->b, (int64_t[]){-1}, 1)};
    ir_value *mirror = &build_node(d->b, OP_Slice, in, 5, 1, NULL, 0)->out[0];
    return join(d, x, op2(d, OP_Mul, mirror, sign), -2);
}

static ir_value *to_real(const dft *d, ir_value *x) {
    int64_t n;
    x = fit(d, x, x->type->rank - 2, half_of(d));
    if (!ir_dim_is_const(d->length, &n) || n <= MAX_FACTOR || divisor(n) == 1)
        return from_half(d, x);
    ir_value *all = flat_parts(d, whole_spectrum(d, x, n));
    return slice_tail(d, transform(d, all, n, BESIDE), 0, dim(d, 0), dim(d, 1));
}

static ir_value *to_complex(const dft *d, ir_value *x) {
    int64_t n;
    layout from = ir_dim_is(x->type->dims[x->type->rank - 1], 1) ? REAL : BESIDE;
    const ir_dim *n_out = d->half ? half_of(d) : d->length;
    x = flat_parts(d, fit(d, x, x->type->rank - 2, d->length));
    if (ir_dim_is_const(d->length, &n) && n > MAX_FACTOR && divisor(n) > 1) {
        ir_value *y = transform(d, x, n, from);
        return d->half ? slice_tail(d, y, 1, dim(d, 0), n_out) : y;
    }
    ir_value *y = op2(d, OP_MatMul, x, matrix(d, d->length, n_out, from, BESIDE));
    return reshape_tail(d, y, 1, (const ir_dim *[]){n_out, dim(d, 2)}, 2);
}

/* ---- the node ----------------------------------------------------------------------------------------------------------------- */

static ir_value *exchange_axes(const dft *d, ir_value *x, int32_t a, int32_t b) {
    int64_t perm[IR_MAX_RANK];
    if (a == b) return x;
    for (int32_t i = 0; i < x->type->rank; i++)
        perm[i] = i == a ? b : i == b ? a : i;
    return build_transpose(d->b, x, perm, (uint32_t)x->type->rank);
}

/* The result's type tells the length, but not whether that of an odd or an even one was halved. */
static bool find_length(dft *d, const ir_node *n, const ir_dim *size) {
    const ir_dim *given[1];
    if (!ir_in(n, 1)) {
        d->length = size;
        if (d->half && d->inverse)
            d->length = ir_dim_mul(d->c, ir_dim_sub(d->c, size, dim(d, 1)), dim(d, 2));
        return true;
    }
    if (ir_value_known_dims(d->c, n->in[1].value, given, 1) != 1) return false;
    d->length = given[0];
    return true;
}

bool decompose_dft(ir_builder *b, ir_node *n) {
    ir_value *x = n->in[0].value;
    const ir_type *t = x->type;
    int64_t axis = -2, parts;
    dft d = {.b = b,
             .c = b->m->ctx,
             .inverse = ir_attr_int(n, "inverse", 0) != 0,
             .half = ir_attr_int(n, "onesided", 0) != 0};
    if (!can_build_type(b, t) || (ir_in(n, 2) && !ir_value_const_i64(ir_in(n, 2), &axis)))
        return false;
    int32_t at = normal_axis(axis, t->rank), last = t->rank - 2;
    if (at < 0 || at > last) return false;
    bool known = ir_dim_is_const(t->dims[t->rank - 1], &parts);
    if (!find_length(&d, n, t->dims[at]) || !can_build_dims(b, &d.length, 1)) return false;
    d.type = ir_dtype_compute(t->dtype);
    x = build_cast(b, x, d.type);
    if (!known || (d.half && d.inverse)) x = fit(&d, x, last + 1, dim(&d, 2));
    x = exchange_axes(&d, x, at, last);
    ir_value *y = d.half && d.inverse ? to_real(&d, x) : to_complex(&d, x);
    if (d.inverse) {
        ir_value *length = build_cast(b, build_dim_scalar(b, d.length), d.type);
        y = op2(&d, OP_Div, y, length);
    }
    return decompose_give(n, 0, build_cast(b, exchange_axes(&d, y, at, last), t->dtype));
}
