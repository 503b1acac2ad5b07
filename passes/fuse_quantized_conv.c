/* fuse_quantized, convolutions: with channels last, and the zero point around the image, they are products of integers.
 *
 *   before:  %y = ConvInteger(%x, @w, @zx)             %x u8[N,C,H,W], @w i8[M,C,3,3]
 *   after:   %t = Transpose<perm=[0,2,3,1]>(%x)        channels last
 *            %s = ConvBytes<features=M, pad=zx, ...>(%t, @w.rows)        [N,H',W',M]; @w.rows: [9 C, M]
 *            %z = Sub(%s, zx * column sums of @w.rows)
 *            %y = Transpose<perm=[0,3,1,2]>(%z)
 *
 * A Conv of dequantised operands becomes the same, its scales and bias behind the product. With one channel per group the rows are [9,C], as
 * i16, which holds weights less any zero point. A kernel of one tap that reads every position is MatMulInteger. So is one whose zero points
 * only the run knows, of rows that are put together before:
 *
 *            %p = Pad(%t, pads, %zx)
 *            %r = Concat<axis=3>(9 slices of %p)       [N,H',W',9 C]: a row for each position
 *            %s = MatMulInteger(%r, @w.rows, %zx)
 *
 * What follows element by element (Relu, Clip, QuantizeLinear) is done before the last Transpose, in the product's epilogue; that Transpose
 * and the next convolution's first one cancel. Other groups stay as they are. */
#include "ir/limits.h"
#include "ir/window.h"
#include "passes/match.h"
#include "passes/quantized.h"
#include "passes/util.h"

enum { MAX_TAPS = 64, MAX_CHANNELS = 8192 };

typedef struct conv {
    ir_value *x, *x_zero, *w, *w_zero; /* bytes; the zero points may be NULL */
    const ir_node *node;
    ir_window window;
    int64_t channels, features, taps, groups; /* channels: of x */
    int32_t rank;
} conv;

/* ---- what it is ----------------------------------------------------------------------------------------------------- */

static bool is_byte(const ir_value *v) {
    return v && (v->type->dtype == DT_u8 || v->type->dtype == DT_i8);
}

/* All channels meet all features, or each its own. */
static bool has_plain_groups(const conv *k) {
    const ir_type *w = k->w->type;
    if (k->groups == 1) return ir_dim_is(w->dims[1], k->channels);
    return ir_dim_is(w->dims[1], 1) && k->groups == k->channels && k->groups == k->features;
}

static bool is_direct(const conv *k);

static bool fits(ir_builder *b, const ir_node *n, conv *k) {
    if (!is_byte(k->x) || !is_byte(k->w) || !ir_value_is_const(k->w) || k->w->tensor->opaque)
        return false;
    const ir_type *x = k->x->type, *w = k->w->type;
    k->node = n;
    k->groups = ir_attr_int(n, "group", 1);
    bool sized = ir_type_is_known(n->out[0].type) && x->rank >= 3 && w->rank == x->rank &&
                 type_is_computable(b->region->graph, x);
    if (!sized || !ir_dim_is_const(x->dims[1], &k->channels) ||
        !ir_dim_is_const(w->dims[0], &k->features) || !has_plain_groups(k))
        return false;
    k->rank = x->rank;
    k->taps = 1;
    for (int32_t i = 2; i < k->rank; i++) {
        int64_t d = 0;
        if (!ir_dim_is_const(w->dims[i], &d) || d < 1 || d > MAX_TAPS) return false;
        k->taps *= d;
    }
    if (k->taps > MAX_TAPS || k->channels < 1 || k->features < 1) return false;
    return is_single_element(k->x_zero) && (k->groups == 1 || is_direct(k)) &&
           !ir_window_init(&k->window, b->m->ctx, n, k->rank - 2, x->dims + 2, w->dims + 2);
}

/* ---- rows and matrix ------------------------------------------------------------------------------------------------ */

static ir_value *channels_last(ir_builder *b, ir_value *x, int32_t rank) {
    int64_t perm[IR_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        perm[i] = i == 0 ? 0 : i == rank - 1 ? 1 : i + 1;
    return build_transpose(b, x, perm, (uint32_t)rank);
}

static ir_value *channels_first(ir_builder *b, ir_value *x, int32_t rank) {
    int64_t perm[IR_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        perm[i] = i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
    return build_transpose(b, x, perm, (uint32_t)rank);
}

/* With the zero point around it, which stands for 0. */
static ir_value *padded(ir_builder *b, const conv *k, ir_value *x) {
    const ir_dim *pads[2 * IR_MAX_RANK], *none = ir_dim_const(b->m->ctx, 0);
    if (!ir_window_is_padded(&k->window)) return x;
    for (int32_t i = 0; i < k->rank; i++) {
        bool spatial = i > 0 && i < k->rank - 1;
        pads[i] = spatial ? k->window.before[i - 1] : none;
        pads[k->rank + i] = spatial ? k->window.after[i - 1] : none;
    }
    ir_value *zero = k->x_zero ? k->x_zero : build_scalar(b, x->type->dtype, 0);
    if (zero->type->rank) zero = build_op2(b, OP_Reshape, zero, build_i64s(b, NULL, 0));
    return build_op3(b, OP_Pad, x, build_dims(b, pads, 2 * (uint32_t)k->rank), zero);
}

/* What one tap of the kernel sees: an element of each window. */
static ir_value *tap_view(ir_builder *b, const conv *k, ir_value *x, int64_t tap) {
    ir_ctx *c = b->m->ctx;
    int64_t start[IR_MAX_RANK], axes[IR_MAX_RANK];
    const ir_dim *end[IR_MAX_RANK];
    for (int32_t i = k->rank - 3; i >= 0; i--) {
        int64_t size = 1;
        ir_dim_is_const(k->window.kernel[i], &size);
        start[i] = tap % size * k->window.dilation[i];
        tap /= size;
        axes[i] = i + 1;
        const ir_dim *span = ir_dim_sub(c, k->window.out[i], ir_dim_const(c, 1));
        span = ir_dim_mul(c, span, ir_dim_const(c, k->window.stride[i]));
        end[i] = ir_dim_add(c, span, ir_dim_const(c, start[i] + 1));
    }
    uint32_t count = (uint32_t)k->rank - 2;
    ir_value *in[5] = {x, build_i64s(b, start, count), build_dims(b, end, count),
                       build_i64s(b, axes, count), build_i64s(b, k->window.stride, count)};
    return build_node(b, OP_Slice, in, 5, 1, NULL, 0)->out;
}

static bool steps(const conv *k) {
    for (int32_t i = 0; i < k->window.axes; i++)
        if (k->window.stride[i] != 1) return true;
    return false;
}

static ir_value *rows_of(ir_builder *b, const conv *k) {
    ir_value *parts[MAX_TAPS], *x = padded(b, k, channels_last(b, k->x, k->rank));
    if (k->taps == 1 && !steps(k)) return x;
    for (int64_t t = 0; t < k->taps; t++)
        parts[t] = tap_view(b, k, x, t);
    if (k->taps == 1) return parts[0];
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = k->rank - 1};
    return build_node(b, OP_Concat, parts, (uint32_t)k->taps, 1, &axis, 1)->out;
}

/* w[M,C,taps] as [taps * C, M]; C is 1 where each channel has its own kernel. */
static ir_value *matrix_of(ir_builder *b, const conv *k) {
    int64_t channels = k->groups == 1 ? k->channels : 1;
    int64_t dims[2] = {k->taps * channels, k->features};
    ir_tensor *t = ir_tensor_alloc(b->m->arena,
                                   ir_type_tensor_static(b->m->ctx, k->w->type->dtype, 2, dims));
    const uint8_t *from = k->w->tensor->data;
    uint8_t *to = ir_tensor_data(t);
    for (int64_t m = 0; m < k->features; m++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t tap = 0; tap < k->taps; tap++)
                to[(tap * channels + c) * k->features + m] =
                    from[(m * channels + c) * k->taps + tap];
    ir_tensor_seal(t);
    return ir_module_const(b->m, t, ir_name_derive(b->m, k->w, "rows"));
}

/* ---- ConvBytes ------------------------------------------------------------------------------------------------------ */

/* Zero points are constants, as is what stands in the padding. */
static bool is_direct(const conv *k) {
    bool known = (!k->x_zero || ir_value_is_const(k->x_zero)) &&
                 (!k->w_zero || (ir_value_is_const(k->w_zero) && !k->w_zero->tensor->opaque));
    int64_t zeros = k->w_zero && known ? (int64_t)ir_tensor_elements(k->w_zero->tensor) : 1;
    return known && k->channels <= MAX_CHANNELS && (zeros == 1 || zeros == k->features) &&
           !(k->x_zero && k->x_zero->tensor->opaque);
}

static ir_value *build_windows(pass_ctx *ctx, ir_builder *b, const conv *k, ir_value *w) {
    static const char *const names[] = {"auto_pad", "dilations", "pads", "strides"};
    bool moved = k->x->type->dtype == DT_i8;
    int64_t pad = (k->x_zero ? ir_tensor_get_i64(k->x_zero->tensor, 0) : 0) + (moved ? 128 : 0);
    ir_value *x = to_unsigned(b, channels_last(b, k->x, k->rank));
    int64_t *kernel = TL_NEW_ARRAY(ctx->m->arena, int64_t, k->rank);
    for (int32_t i = 2; i < k->rank; i++)
        ir_dim_is_const(k->w->type->dims[i], &kernel[i - 2]);
    ir_attr attrs[8] = {{.name = "features", .kind = ATTR_INT, .v.i = k->features},
                        {.name = "group", .kind = ATTR_INT, .v.i = k->groups},
                        {.name = "pad", .kind = ATTR_INT, .v.i = pad},
                        {.name = "kernel_shape", .kind = ATTR_INTS, .n = (uint32_t)k->rank - 2}};
    uint32_t count = 4;
    attrs[3].v.ints = kernel;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const ir_attr *a = ir_attr_find(k->node, names[i]);
        if (a) attrs[count++] = *a;
    }
    return build_node(b, OP_ConvBytes, (ir_value *[]){x, w}, 2, 1, attrs, count)->out;
}

/* Weights less their zero points, and their sums for each channel. */
static ir_value *by_channel(pass_ctx *ctx, ir_builder *b, const conv *k, const ir_value *rows) {
    ir_tensor *w = ir_tensor_alloc(ctx->m->arena, ir_type_with_dtype(ctx->c, rows->type, DT_i16));
    ir_tensor *sums = ir_tensor_alloc(ctx->m->arena,
                                      ir_type_tensor_static(ctx->c, DT_i32, 1, &k->channels));
    for (int64_t i = 0; i < k->taps * k->channels; i++) {
        size_t c = (size_t)(i % k->channels);
        int64_t v = ir_tensor_get_i64(rows->tensor, (size_t)i) - zero_of(k->w_zero, (int64_t)c);
        ir_tensor_set_i64(w, (size_t)i, v);
        ir_tensor_set_i64(sums, c, ir_tensor_get_i64(sums, c) + v);
    }
    ir_tensor_seal(w), ir_tensor_seal(sums);
    ir_value *weight = ir_module_const(ctx->m, w, ir_name_derive(ctx->m, rows, "i16"));
    ir_value *y = build_windows(ctx, b, k, weight);
    return less_row_zero(ctx, b, y, k->x_zero, k->x->type->dtype == DT_i8, sums, weight);
}

/* The sums of x under each window, for one feature. */
static ir_value *window_sums(pass_ctx *ctx, ir_builder *b, const conv *k, int64_t rows) {
    ir_tensor *t = ir_tensor_alloc(ctx->m->arena,
                                   ir_type_tensor_static(ctx->c, DT_i8, 2, (int64_t[]){rows, 1}));
    memset(ir_tensor_data(t), 1, (size_t)rows);
    ir_tensor_seal(t);
    conv one = *k;
    one.features = 1;
    ir_value *y = build_windows(ctx, b, &one, ir_module_const(ctx->m, t, NULL));
    ir_attr_set_int(ctx->m, y->def, "sums", 1);
    return y;
}

/* NULL: a plain product will do. */
static ir_value *all_channels(pass_ctx *ctx, ir_builder *b, const conv *k, const ir_value *rows) {
    byte_matrix w = prepare_bytes(ctx, rows, k->w_zero, false);
    bool every = k->taps == 1 && !steps(k) && !ir_window_is_padded(&k->window);
    if (every && !w.has_zeros) return NULL;
    ir_value *y = build_windows(ctx, b, k, w.matrix);
    if (w.has_zeros) {
        ir_value *zeros = ir_module_const(ctx->m, w.zeros, ir_name_derive(ctx->m, rows, "zeros"));
        ir_value *sums = window_sums(ctx, b, k, w.rows);
        y = build_op2(b, OP_Sub, y, build_op2(b, OP_Mul, sums, zeros));
    }
    return less_row_zero(ctx, b, y, k->x_zero, k->x->type->dtype == DT_i8, w.sums, w.matrix);
}

/* [N, positions..., M] in i32. */
static ir_value *product(pass_ctx *ctx, ir_builder *b, const conv *k) {
    ir_value *w = matrix_of(b, k), *direct = NULL;
    if (k->groups > 1) return by_channel(ctx, b, k, w);
    if (is_direct(k)) direct = all_channels(ctx, b, k, w);
    if (direct) return direct;
    ir_value *in[4] = {rows_of(b, k), w, k->x_zero, k->w_zero};
    ir_node *y = build_node(b, OP_MatMulInteger, in, k->w_zero ? 4 : k->x_zero ? 3 : 2, 1, NULL, 0);
    ir_value *copy = build_op1(b, OP_Identity, y->out); /* survives when the product is replaced */
    fuse_integer_product(ctx, y);
    return copy->def->in[0].value;
}

/* ---- what follows --------------------------------------------------------------------------------------------------- */

static bool is_pointwise(const ir_node *n) {
    if (n->op != OP_QuantizeLinear && !op_is(n->op, OP_SCALAR)) return false;
    for (uint32_t i = 1; i < n->n_in; i++) {
        const ir_value *v = ir_in(n, i);
        if (v && (!ir_value_is_const(v) || !is_single_element(v))) return false;
    }
    return n->n_in > 0 && n->n_out == 1;
}

/* Moves the pointwise users of n's result behind y; `*last` becomes the value they end in. Those nodes stay, without users. */
static ir_value *take_followers(ir_builder *b, ir_node *n, ir_value *y, ir_value **last) {
    *last = &n->out[0];
    for (ir_node *u; (u = match_user(*last)) && u->parent == n->parent && is_pointwise(u) &&
                     ir_in(u, 0) == *last;) {
        ir_value *in[8] = {y};
        if (u->n_in > 8) break;
        for (uint32_t i = 1; i < u->n_in; i++)
            in[i] = ir_in(u, i);
        y = build_node(b, u->op, in, u->n_in, 1, u->attrs, u->n_attrs)->out;
        *last = &u->out[0];
    }
    return y;
}

static bool give(ir_builder *b, ir_node *n, const conv *k, ir_value *y) {
    ir_value *last;
    y = take_followers(b, n, y, &last);
    ir_value_replace_uses(last, channels_first(b, y, k->rank));
    return true;
}

/* ---- the two forms -------------------------------------------------------------------------------------------------- */

static bool fuse_conv_integer(pass_ctx *ctx, ir_node *n) {
    conv k = {.x = ir_in(n, 0), .x_zero = ir_in(n, 2), .w = ir_in(n, 1), .w_zero = ir_in(n, 3)};
    ir_builder b = ir_build_before(n);
    if (!fits(&b, n, &k) || !ctx_take(ctx, "integer convolutions")) return false;
    return give(&b, n, &k, product(ctx, &b, &k));
}

/* One scale, or one for each feature. */
static bool scales_features(const ir_node *dq) {
    const ir_value *s = ir_in(dq, 1);
    if (is_single_element(s)) return true;
    int32_t axis = normal_axis(ir_attr_int(dq, "axis", 1), ir_in(dq, 0)->type->rank);
    return axis == 0 && ir_type_is_ranked(s->type) && s->type->rank == 1;
}

static ir_value *flat(ir_builder *b, ir_value *s) {
    bool single = is_single_element(s) && s->type->rank;
    return single ? build_op2(b, OP_Reshape, s, build_i64s(b, NULL, 0)) : s;
}

static bool fuse_dequantized_conv(pass_ctx *ctx, ir_node *n) {
    const ir_node *x = find_dequantized(ir_in(n, 0)), *w = find_dequantized(ir_in(n, 1));
    if (!x || !w || !is_single_element(ir_in(x, 1)) || !scales_features(w)) return false;
    conv k = {.x = ir_in(x, 0), .x_zero = ir_in(x, 2), .w = ir_in(w, 0), .w_zero = ir_in(w, 2)};
    ir_builder b = ir_build_before(n);
    if (!fits(&b, n, &k) || !ctx_take(ctx, "dequantised convolutions")) return false;
    ir_value *y = build_cast(&b, product(ctx, &b, &k), DT_f32);
    ir_value *scale = flat(&b, ir_in(w, 1));
    scale = build_op2(&b, OP_Mul, scale, flat(&b, ir_in(x, 1)));
    y = build_op2(&b, OP_Mul, y, scale);
    if (ir_in(n, 2)) y = build_op2(&b, OP_Add, y, ir_in(n, 2));
    return give(&b, n, &k, y);
}

bool fuse_quantized_conv(pass_ctx *ctx, ir_node *n) {
    if (!n->out[0].uses) return false;
    return n->op == OP_ConvInteger ? fuse_conv_integer(ctx, n) : fuse_dequantized_conv(ctx, n);
}
