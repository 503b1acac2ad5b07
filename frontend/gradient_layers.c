/* Derivatives of layers: convolutions, average pooling, normalisations.
 *
 *   %y = Conv(%x, %w, %b)    %dx = ConvTranspose(%g, %w)          with the same strides, as long as %x
 *                            %dw = Conv(%x turned, %g turned)     channels and samples exchanged, strides and dilations exchanged
 *                            %db = sum of %g over all but the channels
 *
 * With auto_pad or a rounding up of pooling's sizes they are refused. */
#include "frontend/gradient_rule.h"

/* ---- windows ------------------------------------------------------------------------------------------------------ */

enum { MOST_AXES = IR_MAX_RANK - 2 };

typedef struct window {
    uint32_t n; /* axes */
    int64_t strides[MOST_AXES], dilations[MOST_AXES], pads[2 * MOST_AXES], kernel[MOST_AXES];
} window;

static void read_ints(const ir_node *n, const char *name, int64_t fallback, int64_t *out,
                      uint32_t count) {
    uint32_t given;
    const int64_t *v = ir_attr_ints(n, name, &given);
    for (uint32_t i = 0; i < count; i++)
        out[i] = v && i < given ? v[i] : fallback;
}

static bool read_window(const rule *r, window *w) {
    int32_t rank = fe_rank(r->x[0]);
    const char *pad = ir_attr_string(r->n, "auto_pad", "NOTSET");
    bool plain = strcmp(pad, "NOTSET") == 0 || strcmp(pad, "VALID") == 0;
    if (rank < 3 || !plain || ir_attr_int(r->n, "ceil_mode", 0)) return false;
    *w = (window){.n = (uint32_t)rank - 2};
    read_ints(r->n, "strides", 1, w->strides, w->n);
    read_ints(r->n, "dilations", 1, w->dilations, w->n);
    read_ints(r->n, "pads", 0, w->pads, 2 * w->n);
    read_ints(r->n, "kernel_shape", 0, w->kernel, w->n);
    return true;
}

static ir_attr ints(const char *name, const int64_t *v, uint32_t n) {
    return (ir_attr){.name = name, .kind = ATTR_INTS, .n = n, .v.ints = (int64_t *)v};
}

static ir_value *conv(const rule *r, ir_value *x, ir_value *w, const window *s, int64_t group) {
    ir_attr a[] = {ints("dilations", s->dilations, s->n),
                   {.name = "group", .kind = ATTR_INT, .v.i = group},
                   ints("pads", s->pads, 2 * s->n),
                   ints("strides", s->strides, s->n)};
    return x && w ? fe_build(r->f, OP_Conv, (ir_value *[]){x, w}, 2, a, 4) : NULL;
}

/* The front of v, as large as `like`. */
static ir_value *cut_like(const rule *r, ir_value *v, ir_value *like) {
    static const int64_t zeros[IR_MAX_RANK];
    if (!v) return NULL;
    ir_value *in[] = {v, fe_i64s(r->f, zeros, (uint32_t)fe_rank(like)), fe_shape(r->f, like)};
    ir_value *cut = fe_build(r->f, OP_Slice, in, 3, NULL, 0);
    return cut ? fe_reshape_like(r->f, cut, like) : NULL;
}

/* Back to where the windows of x were. Strides may have left the end of x out: as much as can have been is made, and cut off. */
static ir_value *spread_back(const rule *r, ir_value *g, ir_value *w, const window *s,
                             int64_t group, ir_value *x) {
    int64_t extra[MOST_AXES];
    for (uint32_t i = 0; i < s->n; i++)
        extra[i] = s->strides[i] - 1;
    ir_attr a[] = {ints("dilations", s->dilations, s->n),
                   {.name = "group", .kind = ATTR_INT, .v.i = group},
                   ints("output_padding", extra, s->n),
                   ints("pads", s->pads, 2 * s->n),
                   ints("strides", s->strides, s->n)};
    if (!g || !w) return NULL;
    return cut_like(r, fe_build(r->f, OP_ConvTranspose, (ir_value *[]){g, w}, 2, a, 5), x);
}

/* ---- Conv ------------------------------------------------------------------------------------------------------------ */

static ir_value *exchange(const rule *r, ir_value *v, int32_t a, int32_t b) {
    int64_t perm[IR_MAX_RANK];
    for (int32_t i = 0; i < fe_rank(v); i++)
        perm[i] = i == a ? b : i == b ? a : i;
    return v ? fe_transpose(r->f, v, perm, (uint32_t)fe_rank(v)) : NULL;
}

static ir_value *one_number(const rule *r, int64_t v) {
    return fe_i64s(r->f, &v, 1);
}

/* x under other leading dims in place of its first two. */
static ir_value *with_leading(const rule *r, ir_value *x, ir_value *const *leading, uint32_t n) {
    ir_value *dims[IR_MAX_RANK + 1];
    memcpy(dims, leading, n * sizeof(ir_value *));
    for (int32_t i = 2; i < fe_rank(x); i++)
        dims[n++] = dim_of(r, x, i);
    return reshape(r, x, dims, n);
}

/* [N, group * c, ...] as [c, group * N, ...] */
static ir_value *channels_first(const rule *r, ir_value *x, int64_t group) {
    if (group == 1) return exchange(r, x, 0, 1);
    if (fe_rank(x) + 1 > IR_MAX_RANK) return NULL;
    ir_value *rest = one_number(r, -1), *groups = one_number(r, group), *c = dim_of(r, r->x[1], 1);
    ir_value *v = exchange(r, with_leading(r, x, (ir_value *[]){rest, groups, c}, 3), 0, 2),
             *all[IR_MAX_RANK];
    if (!v) return NULL;
    all[0] = c, all[1] = rest;
    for (int32_t i = 2; i < fe_rank(x); i++)
        all[i] = dim_of(r, x, i);
    return reshape(r, v, all, (uint32_t)fe_rank(x));
}

static ir_value *by_weights(const rule *r, const window *s, int64_t group) {
    window turned = *s;
    memcpy(turned.strides, s->dilations, sizeof turned.strides);
    memcpy(turned.dilations, s->strides, sizeof turned.dilations);
    ir_value *x = channels_first(r, r->x[0], group), *g = exchange(r, r->g, 0, 1);
    ir_value *d = conv(r, x, g, &turned, group);
    return d ? cut_like(r, exchange(r, d, 0, 1), r->x[1]) : NULL;
}

/* Over all axes but that of the channels. */
static ir_value *sum_by_channel(const rule *r, ir_value *v) {
    int64_t axes[IR_MAX_RANK] = {0};
    uint32_t n = 1;
    for (int32_t i = 2; i < fe_rank(r->x[0]); i++)
        axes[n++] = i;
    return reduce(r, OP_ReduceSum, v, axes, n, 0);
}

ir_value *gradient_conv(const rule *r) {
    window s;
    int64_t group = ir_attr_int(r->n, "group", 1);
    if (r->i == 2) return sum_by_channel(r, r->g);
    if (!read_window(r, &s)) return NULL;
    return r->i ? by_weights(r, &s, group) : spread_back(r, r->g, r->x[1], &s, group, r->x[0]);
}

/* ---- pooling --------------------------------------------------------------------------------------------------------- */

/* Every channel of every sample by itself, so that their number need not be known. */
static ir_value *one_channel(const rule *r, ir_value *v) {
    return with_leading(r, v, (ir_value *[]){one_number(r, -1), one_number(r, 1)}, 2);
}

static ir_value *kernel_of_ones(const rule *r, const window *s) {
    int64_t shape[IR_MAX_RANK] = {1, 1};
    memcpy(shape + 2, s->kernel, s->n * sizeof *shape);
    return op2(r, OP_Expand, number(r, 1), fe_i64s(r->f, shape, s->n + 2));
}

/* Each result is divided by how many elements it is the mean of. */
ir_value *gradient_average_pool(const rule *r) {
    window s;
    int64_t all = 1;
    if (!read_window(r, &s)) return NULL;
    for (uint32_t i = 0; i < s.n; i++)
        all *= s.kernel[i];
    ir_value *kernel = kernel_of_ones(r, &s), *count = number(r, (double)all);
    ir_value *x = one_channel(r, r->x[0]), *g = one_channel(r, r->g);
    if (x && !ir_attr_int(r->n, "count_include_pad", 0))
        count = conv(r, op2(r, OP_Expand, number(r, 1), fe_shape(r->f, x)), kernel, &s, 1);
    ir_value *d = x && g && count ? spread_back(r, divide(r, g, count), kernel, &s, 1, x) : NULL;
    return d ? fe_reshape_like(r->f, d, r->x[0]) : NULL;
}

/* ---- normalisations ------------------------------------------------------------------------------------------------------ */

typedef struct normal {
    ir_value *centred, *inverse, *x; /* x - mean, 1 / deviation, their product */
} normal;

static ir_value *inverse_deviation(const rule *r, ir_value *variance) {
    ir_value *e = number(r, (double)ir_attr_float(r->n, "epsilon", 1e-5f));
    return op1(r, OP_Reciprocal, op1(r, OP_Sqrt, op2(r, OP_Add, variance, e)));
}

/* dx = (gs - mean(gs) - x mean(gs x)) / deviation, gs = g scale, x normalised; without a mean, without the middle term. */
static ir_value *through(const rule *r, ir_value *scale, const int64_t *axes, uint32_t n,
                         bool centred) {
    normal v = {.centred = r->x[0]};
    if (centred) v.centred = sub(r, r->x[0], reduce(r, OP_ReduceMean, r->x[0], axes, n, 1));
    v.inverse = inverse_deviation(r, reduce(r, OP_ReduceMean, square(r, v.centred), axes, n, 1));
    v.x = mul(r, v.centred, v.inverse);
    if (r->i == 1) return mul(r, r->g, v.x);
    ir_value *gs = mul(r, r->g, scale);
    ir_value *d = sub(r, gs, mul(r, v.x, reduce(r, OP_ReduceMean, mul(r, gs, v.x), axes, n, 1)));
    if (centred) d = sub(r, d, reduce(r, OP_ReduceMean, gs, axes, n, 1));
    return mul(r, d, v.inverse);
}

static uint32_t axes_from(const rule *r, int64_t first, int64_t *axes) {
    uint32_t n = 0;
    if (first < 0) first += fe_rank(r->x[0]);
    for (; first < fe_rank(r->x[0]); first++)
        axes[n++] = first;
    return n;
}

ir_value *gradient_layer_norm(const rule *r) {
    int64_t axes[IR_MAX_RANK];
    if (r->i == 2) return r->g;
    uint32_t n = axes_from(r, ir_attr_int(r->n, "axis", -1), axes);
    return through(r, r->x[1], axes, n, r->n->op == OP_LayerNormalization);
}

/* A vector over the channels, to be broadcast. */
static ir_value *by_channel(const rule *r, ir_value *v) {
    int64_t axes[IR_MAX_RANK];
    uint32_t n = 0;
    for (int32_t i = 2; i < fe_rank(r->x[0]); i++)
        axes[n] = n + 1, n++;
    return n ? fe_unsqueeze(r->f, v, axes, n) : v;
}

ir_value *gradient_instance_norm(const rule *r) {
    int64_t axes[IR_MAX_RANK];
    if (r->i == 2) return sum_by_channel(r, r->g);
    uint32_t n = axes_from(r, 2, axes);
    ir_value *d = through(r, by_channel(r, r->x[1]), axes, n, true);
    return r->i == 1 && d ? sum_by_channel(r, d) : d;
}

/* Of inference: mean and variance are operands. */
ir_value *gradient_batch_norm(const rule *r) {
    if (ir_attr_int(r->n, "training_mode", 0)) return NULL;
    if (r->i == 2) return sum_by_channel(r, r->g);
    ir_value *inverse = by_channel(r, inverse_deviation(r, ir_in(r->n, 4)));
    ir_value *centred = sub(r, r->x[0], by_channel(r, ir_in(r->n, 3)));
    if (r->i == 1) return sum_by_channel(r, mul(r, r->g, mul(r, centred, inverse)));
    ir_value *d = mul(r, mul(r, r->g, by_channel(r, r->x[1])), inverse);
    if (r->i == 0) return d;
    if (r->i == 3) return neg(r, sum_by_channel(r, d));
    ir_value *by_variance = mul(r, mul(r, d, centred), square(r, inverse));
    return sum_by_channel(r, mul(r, by_variance, number(r, -0.5)));
}
