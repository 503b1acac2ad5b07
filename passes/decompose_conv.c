/* Convolutions of other kinds as plain ones (see decompose.c):
 *
 *   %y = Conv<strides=[2,2]>(%x, %w)   kernel 2x2   ->   patches as rows, times a matrix
 *   %y = ConvTranspose<strides=[2]>(%x, %w)         ->   Conv with 2 results per feature, which take turns along the axis
 *   %y = DeformConv(%x, %w, %offset)                ->   GridSample at every tap, Conv of one element */
#include "passes/decompose.h"

#include "ir/limits.h"
#include "ir/window.h"
#include "passes/match.h"
#include "passes/util.h"

/* ---- Conv --------------------------------------------------------------------------------------------------- */

/* Elements along an axis that windows without a gap between them read. */
static const ir_dim *elements_read(ir_ctx *c, const ir_window *w, int32_t i) {
    return ir_dim_mul(c, w->out[i], w->kernel[i]);
}

/* Windows of stride 1 and one element, or side by side: every element is read by one window. There may be a rest where the size is a
 * symbol: the same model of a known size has none, and gets the same bits. */
static bool windows_tile(ir_ctx *c, const ir_window *w) {
    if (ir_window_is_padded(w)) return false;
    for (int32_t i = 0; i < w->axes; i++) {
        bool single = ir_dim_is(w->kernel[i], 1);
        if (!ir_dim_is(w->kernel[i], w->stride[i]) || (w->dilation[i] != 1 && !single))
            return false;
        bool rest = !ir_dim_equal(elements_read(c, w, i), w->size[i]);
        if (rest && (ir_dim_is_const(w->size[i], NULL) || ir_dim_is_unknown(w->out[i])))
            return false;
    }
    return true;
}

/* Without what no window reads. */
static ir_value *cut_rest(ir_builder *b, ir_value *x, const ir_window *w) {
    ir_ctx *c = b->m->ctx;
    for (int32_t i = 0; i < w->axes; i++) {
        const ir_dim *read = elements_read(c, w, i);
        int64_t zero = 0, axis = 2 + i;
        if (ir_dim_equal(read, w->size[i])) continue;
        ir_value *in[] = {x, build_i64s(b, &zero, 1), build_dims(b, &read, 1),
                          build_i64s(b, &axis, 1)};
        x = build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out;
    }
    return x;
}

/* x[N,C,O1*k1,...] -> [N,C,O1,k1,...] -> [N,O1,...,C,k1,...] -> [N,O1*...,C*k1*...]: a row for each window. */
static ir_value *gather_windows(ir_builder *b, ir_value *x, const ir_window *w) {
    ir_ctx *c = b->m->ctx;
    const ir_dim *split[IR_MAX_RANK],
        *rows[] = {x->type->dims[0], ir_dim_const(c, 1), x->type->dims[1]};
    int64_t perm[IR_MAX_RANK];
    uint32_t axes = (uint32_t)w->axes, rank = 2 + 2 * axes;
    split[0] = x->type->dims[0], split[1] = x->type->dims[1];
    perm[0] = 0, perm[1 + axes] = 1;
    for (uint32_t i = 0; i < axes; i++) {
        split[2 + 2 * i] = w->out[i], split[3 + 2 * i] = w->kernel[i];
        perm[1 + i] = 2 + 2 * i, perm[2 + axes + i] = 3 + 2 * i;
        rows[1] = ir_dim_mul(c, rows[1], w->out[i]);
        rows[2] = ir_dim_mul(c, rows[2], w->kernel[i]);
    }
    ir_value *v = build_transpose(b, build_reshape(b, x, split, rank), perm, rank);
    return build_reshape(b, v, rows, 3);
}

/* A constant kernel of one element mixes channels where they lie: the convolution's own kernel does that, unless they are to be moved to the
 * end anyway. */
static bool stays_in_place(const ir_node *n, const ir_window *w) {
    const ir_value *x = ir_in(n, 0);
    if (!ir_value_is_const(ir_in(n, 1)) || x->type->dtype != DT_f32) return false;
    for (int32_t i = 0; i < w->axes; i++)
        if (!ir_dim_is(w->kernel[i], 1)) return false;
    const ir_node *user = match_user(&n->out[0]);
    return !match_def(x, OP_Transpose) && !(user && user->op == OP_Transpose);
}

/* Patches that do not overlap times a matrix of the kernels. */
bool decompose_conv(ir_builder *b, ir_node *n) {
    ir_value *x = n->in[0].value, *w = n->in[1].value;
    ir_window window;
    if (ir_attr_int(n, "group", 1) != 1 || !ir_type_is_known(n->out[0].type)) return false;
    if (!can_build_type(b, x->type) || !can_build_type(b, w->type) ||
        2 * x->type->rank > IR_MAX_RANK)
        return false;
    int32_t axes = x->type->rank - 2;
    const ir_dim *const *xd = x->type->dims, *const *wd = w->type->dims;
    if (ir_window_init(&window, b->m->ctx, n, axes, xd + 2, wd + 2) ||
        !windows_tile(b->m->ctx, &window) || stays_in_place(n, &window))
        return false;
    ir_value *rows = gather_windows(b, cut_rest(b, x, &window), &window);
    const ir_dim *matrix[] = {wd[0], rows->type->dims[2]};
    ir_value *kernels = build_transpose(b, build_reshape(b, w, matrix, 2), (int64_t[]){1, 0}, 2);
    ir_value *y = build_op2(b, OP_MatMul, rows, kernels);
    if (ir_in(n, 2)) y = build_op2(b, OP_Add, y, n->in[2].value);
    y = build_transpose(b, y, (int64_t[]){0, 2, 1}, 3);
    return decompose_give(n, 0, build_reshape(b, y, n->out[0].type->dims, (uint32_t)axes + 2));
}

/* ---- ConvTranspose ---------------------------------------------------------------------------------------------------- */

/* Element o of the result, counted from its uncut start, gets x[i] * w[k] for o = i * stride + k. With o = stride * q + r and
 * k = stride * j + r that is a convolution over j = q - i for each remainder r: `stride` results per feature and q. */
typedef struct transposed {
    ir_builder *b;
    ir_node *n;
    ir_window w;
    uint32_t axes;
    int64_t groups, channels, features; /* per group: of x, of the result */
    int64_t turns[IR_MAX_RANK];         /* results that take turns: the stride */
    int64_t taps[IR_MAX_RANK];          /* of the convolution */
    int64_t dilation[IR_MAX_RANK];
    int64_t all_turns;
} transposed;

static ir_value *pad_with(ir_builder *b, ir_value *x, const int64_t *pads) {
    uint32_t count = 2 * (uint32_t)x->type->rank;
    for (uint32_t i = 0; i < count; i++)
        if (pads[i]) return build_op2(b, OP_Pad, x, build_i64s(b, pads, count));
    return x;
}

static ir_value *reshape_to(ir_builder *b, ir_value *x, const int64_t *sizes, uint32_t rank) {
    const ir_dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = ir_dim_const(b->m->ctx, sizes[i]);
    return build_reshape(b, x, dims, rank);
}

/* Sizes that the transformation needs as numbers; false where they are none, or there are too many axes. */
static bool set_transposed(transposed *t) {
    const ir_type *x = t->n->in[0].value->type, *w = t->n->in[1].value->type;
    int64_t channels;
    t->axes = (uint32_t)x->rank - 2;
    t->groups = ir_attr_int(t->n, "group", 1);
    if (3 + 2 * t->axes > IR_MAX_RANK || !ir_dim_is_const(w->dims[0], &channels) ||
        !ir_dim_is_const(w->dims[1], &t->features) || !ir_dim_is(x->dims[1], channels))
        return false;
    t->channels = channels / t->groups;
    t->all_turns = 1;
    if (ir_window_init_transposed(&t->w, t->b->m->ctx, t->n, (int32_t)t->axes, x->dims + 2,
                                  w->dims + 2))
        return false;
    for (uint32_t i = 0; i < t->axes; i++) {
        int64_t kernel;
        if (!ir_dim_is_const(t->w.kernel[i], &kernel) || kernel < 1) return false;
        t->turns[i] = t->w.stride[i];
        bool spread = t->turns[i] > 1 && t->w.dilation[i] > 1;
        t->dilation[i] = spread ? 1 : t->w.dilation[i];
        int64_t reach = spread ? kernel * t->w.dilation[i] : kernel;
        t->taps[i] = (reach + t->turns[i] - 1) / t->turns[i];
        t->all_turns *= t->turns[i];
    }
    return true;
}

/* Zeros between the taps of axes that have both a stride and a dilation, and behind, up to a multiple of the stride. */
static ir_value *fill_kernel(transposed *t, ir_value *w) {
    ir_builder *b = t->b;
    for (uint32_t i = 0; i < t->axes; i++) {
        int64_t sizes[IR_MAX_RANK], pads[2 * IR_MAX_RANK] = {0};
        uint32_t rank = (uint32_t)w->type->rank;
        for (uint32_t k = 0; k < rank; k++)
            ir_dim_is_const(w->type->dims[k], &sizes[k]);
        int64_t kernel = sizes[2 + i], spread = t->w.dilation[i] / t->dilation[i];
        if (spread > 1) {
            int64_t apart[IR_MAX_RANK], zeros[2 * IR_MAX_RANK] = {0};
            memcpy(apart, sizes, (3 + i) * sizeof *apart);
            apart[3 + i] = 1;
            memcpy(apart + 4 + i, sizes + 3 + i, (rank - 3 - i) * sizeof *apart);
            zeros[rank + 1 + 3 + i] = spread - 1;
            w = pad_with(b, reshape_to(b, w, apart, rank + 1), zeros);
            sizes[2 + i] = kernel * spread;
            w = reshape_to(b, w, sizes, rank);
        }
        pads[rank + 2 + i] = t->taps[i] * t->turns[i] - sizes[2 + i];
        w = pad_with(b, w, pads);
    }
    return w;
}

/* w[g*C, M, taps*turns...] -> taps backwards -> [g*turns...*M, C, taps...]: features that are neighbours in the result are neighbours */
static ir_value *turn_kernel(transposed *t, ir_value *w) {
    ir_builder *b = t->b;
    uint32_t axes = t->axes, rank = 3 + 2 * axes;
    int64_t split[IR_MAX_RANK] = {t->groups, t->channels, t->features}, perm[IR_MAX_RANK] = {0},
            joined[IR_MAX_RANK] = {t->groups * t->features * t->all_turns, t->channels},
            starts[IR_MAX_RANK], ends[IR_MAX_RANK], over[IR_MAX_RANK], steps[IR_MAX_RANK];
    perm[1 + axes] = 2, perm[2 + axes] = 1;
    for (uint32_t i = 0; i < axes; i++) {
        split[3 + 2 * i] = t->taps[i], split[4 + 2 * i] = t->turns[i];
        perm[1 + i] = 4 + 2 * i, perm[3 + axes + i] = 3 + 2 * i;
        joined[2 + i] = t->taps[i];
        starts[i] = -1, ends[i] = INT64_MIN + 1, over[i] = 3 + 2 * i, steps[i] = -1;
    }
    w = reshape_to(b, w, split, rank);
    ir_value *in[] = {w, build_i64s(b, starts, axes), build_i64s(b, ends, axes),
                      build_i64s(b, over, axes), build_i64s(b, steps, axes)};
    w = &build_node(b, OP_Slice, in, 5, 1, NULL, 0)->out[0];
    w = build_transpose(b, w, perm, rank);
    return reshape_to(b, w, joined, 2 + axes);
}

/* A value per feature, for each of its results. */
static ir_value *repeat_bias(transposed *t, ir_value *bias) {
    ir_builder *b = t->b;
    int64_t once[] = {t->groups, 1, t->features}, all[] = {t->groups, t->all_turns, t->features};
    ir_value *row = reshape_to(b, bias, once, 3);
    row = build_op2(b, OP_Expand, row, build_i64s(b, all, 3));
    return reshape_to(b, row, (int64_t[]){t->groups * t->all_turns * t->features}, 1);
}

static ir_value *convolve(transposed *t, ir_value *bias) {
    ir_builder *b = t->b;
    ir_value *w = turn_kernel(t, fill_kernel(t, t->n->in[1].value));
    ir_value *in[] = {t->n->in[0].value, w, bias};
    int64_t pads[2 * IR_MAX_RANK];
    for (uint32_t i = 0; i < t->axes; i++)
        pads[i] = pads[t->axes + i] = (t->taps[i] - 1) * t->dilation[i];
    ir_attr attrs[] = {
        {.name = "group", .kind = ATTR_INT, .v.i = t->groups},
        {.name = "dilations", .kind = ATTR_INTS, .n = t->axes, .v.ints = t->dilation},
        {.name = "pads", .kind = ATTR_INTS, .n = 2 * t->axes, .v.ints = pads}};
    return &build_node(b, OP_Conv, in, bias ? 3 : 2, 1, attrs, 3)->out[0];
}

/* [N, turns...*M, Q...] -> [N, M, Q, turns, ...] -> [N, M, Q*turns...], with groups before the turns where there are several */
static ir_value *take_turns(transposed *t, ir_value *y) {
    ir_builder *b = t->b;
    ir_ctx *c = b->m->ctx;
    uint32_t axes = t->axes, first = t->groups > 1 ? 2 : 1;
    const ir_dim *split[IR_MAX_RANK], *joined[IR_MAX_RANK];
    int64_t perm[IR_MAX_RANK] = {0, 1};
    if (t->all_turns == 1) return y;
    split[0] = joined[0] = y->type->dims[0];
    split[1] = ir_dim_const(c, t->groups);
    split[first + axes] = ir_dim_const(c, t->features);
    joined[1] = ir_dim_const(c, t->groups * t->features);
    perm[first] = first + axes;
    for (uint32_t i = 0; i < axes; i++) {
        split[first + i] = ir_dim_const(c, t->turns[i]);
        split[first + 1 + axes + i] = y->type->dims[2 + i];
        perm[first + 1 + 2 * i] = first + 1 + axes + i, perm[first + 2 + 2 * i] = first + i;
        joined[2 + i] = ir_dim_mul(c, y->type->dims[2 + i], split[first + i]);
    }
    uint32_t rank = first + 1 + 2 * axes;
    y = build_transpose(b, build_reshape(b, y, split, rank), perm, rank);
    return build_reshape(b, y, joined, 2 + axes);
}

/* What the uncut result lacks at the end of each axis; at most 0 where nothing is missing. */
static const ir_dim *missing(const transposed *t, uint32_t i) {
    ir_ctx *c = t->b->m->ctx;
    const ir_dim *x = t->n->in[0].value->type->dims[2 + i];
    int64_t behind = (t->taps[i] - 1) * t->dilation[i];
    const ir_dim *whole = ir_dim_mul(c, ir_dim_add(c, x, ir_dim_const(c, behind)),
                                     ir_dim_const(c, t->turns[i]));
    return ir_dim_sub(c, ir_dim_add(c, t->w.before[i], t->w.out[i]), whole);
}

/* From `before` on, as many as the result has. */
static ir_value *cut(transposed *t, ir_value *y) {
    ir_builder *b = t->b;
    ir_ctx *c = b->m->ctx;
    const ir_dim *ends[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < t->axes; i++) {
        ends[i] = ir_dim_add(c, t->w.before[i], t->w.out[i]);
        axes[i] = 2 + i;
    }
    ir_value *in[] = {y, build_dims(b, t->w.before, t->axes), build_dims(b, ends, t->axes),
                      build_i64s(b, axes, t->axes)};
    return &build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out[0];
}

/* Zeros at the ends that are too short, then the bias of what is only bias. */
static ir_value *lengthen(transposed *t, ir_value *y, ir_value *bias) {
    ir_builder *b = t->b;
    ir_ctx *c = b->m->ctx;
    const ir_dim *pads[2 * IR_MAX_RANK], *zero = ir_dim_const(c, 0);
    uint32_t rank = t->axes + 2;
    for (uint32_t i = 0; i < rank; i++) {
        pads[i] = zero;
        pads[rank + i] = i < 2 ? zero : ir_dim_max(c, missing(t, i - 2), zero);
    }
    y = cut(t, build_op2(b, OP_Pad, y, build_dims(b, pads, 2 * rank)));
    if (!bias) return y;
    int64_t column[IR_MAX_RANK] = {t->groups * t->features};
    for (uint32_t i = 0; i < t->axes; i++)
        column[1 + i] = 1;
    return build_op2(b, OP_Add, y, reshape_to(b, bias, column, 1 + t->axes));
}

bool decompose_conv_transpose(ir_builder *b, ir_node *n) {
    transposed *t = &(transposed){.b = b, .n = n};
    ir_value *bias = ir_in(n, 2);
    if (!can_build_type(b, n->in[0].value->type) || !can_build_type(b, n->out[0].type) ||
        !ir_type_is_known(n->in[1].value->type) || !set_transposed(t))
        return false;
    if (bias && !ir_dim_is(bias->type->dims[0], t->groups * t->features)) return false;
    bool is_short = false;
    for (uint32_t i = 0; i < t->axes; i++) {
        const ir_dim *d = missing(t, i);
        if (ir_dim_is_unknown(d)) return false;
        is_short = is_short || ir_dim_upper_bound(d) > 0;
    }
    ir_value *y = take_turns(t, convolve(t, bias && !is_short ? repeat_bias(t, bias) : NULL));
    y = is_short ? lengthen(t, y, bias) : cut(t, y);
    return decompose_give(n, 0, build_reshape_as(b, y, n->out[0].type));
}

/* ---- DeformConv -------------------------------------------------------------------------------------------------------- */

typedef struct deform {
    ir_builder *b;
    ir_node *n;
    ir_window w;
    uint32_t axes;
    int64_t groups;
    const ir_dim *taps;    /* of a kernel */
    const ir_dim *samples; /* N * groups */
} deform;

static const ir_dim *constant(const deform *d, int64_t v) {
    return ir_dim_const(d->b->m->ctx, v);
}

/* Numbers of the taps along axis a, one for each tap of the kernel, times the dilation, less the padding: [taps,1,...] */
static ir_value *tap_places(const deform *d, uint32_t a) {
    ir_builder *b = d->b;
    const ir_dim *inner = constant(d, 1), *dims[IR_MAX_RANK] = {d->taps};
    for (uint32_t i = a + 1; i < d->axes; i++)
        inner = ir_dim_mul(b->m->ctx, inner, d->w.kernel[i]);
    ir_value *tap = build_range(b, d->taps);
    tap = build_op2(b, OP_Div, tap, build_dim_scalar(b, inner));
    tap = build_op2(b, OP_Mod, tap, build_dim_scalar(b, d->w.kernel[a]));
    tap = build_op2(b, OP_Mul, tap, build_scalar(b, DT_i64, (double)d->w.dilation[a]));
    tap = build_op2(b, OP_Sub, tap, build_dim_scalar(b, d->w.before[a]));
    for (uint32_t i = 0; i < d->axes; i++)
        dims[1 + i] = constant(d, 1);
    return build_reshape(b, build_cast(b, tap, DT_f64), dims, 1 + d->axes);
}

/* 0, stride, 2 * stride, ... along axis a of the result. */
static ir_value *window_places(const deform *d, uint32_t a) {
    ir_builder *b = d->b;
    const ir_dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < d->axes; i++)
        dims[i] = i == a ? d->w.out[i] : constant(d, 1);
    ir_value *places = build_cast(b, build_range(b, d->w.out[a]), DT_f64),
             *stride = build_scalar(b, DT_f64, (double)d->w.stride[a]);
    return build_reshape(b, build_op2(b, OP_Mul, places, stride), dims, d->axes);
}

/* offset[N*groups, taps, a, ...] + places, as a coordinate from -1 to 1: (2 p + 1) / size - 1. */
static ir_value *coordinates(const deform *d, ir_value *offset, uint32_t a) {
    ir_builder *b = d->b;
    int64_t from = a;
    ir_value *moved = build_op2_int(b, OP_Gather, offset, build_scalar(b, DT_i64, (double)from),
                                    "axis", 2);
    ir_value *taps = tap_places(d, a);
    ir_value *places = build_op2(b, OP_Add, taps, window_places(d, a)),
             *p = build_op2(b, OP_Add, build_cast(b, moved, DT_f64), places);
    ir_value *size = build_cast(b, build_dim_scalar(b, d->w.size[a]), DT_f64),
             *twice = build_op2(b, OP_Mul, p, build_scalar(b, DT_f64, 2)),
             *one = build_scalar(b, DT_f64, 1);
    ir_value *part = build_op2(b, OP_Div, build_op2(b, OP_Add, twice, one), size);
    return build_op2(b, OP_Sub, part, one);
}

/* x at every tap of every window: [N, C, taps, result's sizes...] */
static ir_value *sample_taps(const deform *d) {
    ir_builder *b = d->b;
    ir_ctx *c = b->m->ctx;
    const ir_dim *dims[IR_MAX_RANK], *x_dims[IR_MAX_RANK], *per_group;
    ir_value *x = d->n->in[0].value, *columns[IR_MAX_RANK];
    uint32_t axes = d->axes;
    dims[0] = x_dims[0] = d->samples, dims[1] = d->taps, dims[2] = constant(d, axes);
    x_dims[1] = per_group = ir_dim_floordiv(c, x->type->dims[1], constant(d, d->groups));
    for (uint32_t i = 0; i < axes; i++) {
        dims[3 + i] = d->w.out[i];
        x_dims[2 + i] = x->type->dims[2 + i];
    }
    ir_value *offset = build_reshape(b, d->n->in[2].value, dims, 3 + axes);
    for (uint32_t i = 0; i < axes; i++) /* the last axis comes first */
        columns[i] = build_op2(b, OP_Unsqueeze, coordinates(d, offset, axes - 1 - i),
                               build_i64s(b, (int64_t[]){-1}, 1));
    ir_attr last = {.name = "axis", .kind = ATTR_INT, .v.i = -1};
    ir_value *grid = &build_node(b, OP_Concat, columns, axes, 1, &last, 1)->out[0];
    const ir_dim *flat[IR_MAX_RANK] = {d->samples, ir_dim_mul(c, dims[1], d->w.out[0])};
    for (uint32_t i = 1; i < axes; i++)
        flat[1 + i] = d->w.out[i];
    flat[1 + axes] = constant(d, axes);
    grid = build_reshape(b, grid, flat, 2 + axes);
    return build_op2(b, OP_GridSample, build_reshape(b, x, x_dims, 2 + axes), grid);
}

static ir_value *apply_mask(const deform *d, ir_value *v, ir_value *mask) {
    ir_builder *b = d->b;
    ir_ctx *c = b->m->ctx;
    const ir_dim *dims[IR_MAX_RANK] = {
        d->samples, ir_dim_floordiv(c, d->n->in[0].value->type->dims[1], constant(d, d->groups)),
        d->taps};
    for (uint32_t i = 0; i < d->axes; i++)
        dims[3 + i] = d->w.out[i];
    v = build_reshape(b, v, dims, 3 + d->axes);
    if (!mask) return v;
    dims[1] = constant(d, 1);
    return build_op2(b, OP_Mul, v, build_reshape(b, mask, dims, 3 + d->axes));
}

/* Shapes that do not fit each other fail as reshapes of the wrong size, here or when it runs. */
static bool set_deform(deform *d) {
    ir_ctx *c = d->b->m->ctx;
    const ir_type *x = d->n->in[0].value->type, *w = d->n->in[1].value->type;
    d->axes = (uint32_t)x->rank - 2;
    d->groups = ir_attr_int(d->n, "offset_group", 1);
    if (d->axes + 4 > IR_MAX_RANK || d->groups < 1) return false;
    if (ir_window_init(&d->w, c, d->n, (int32_t)d->axes, x->dims + 2, w->dims + 2)) return false;
    d->taps = constant(d, 1);
    for (uint32_t i = 0; i < d->axes; i++)
        d->taps = ir_dim_mul(c, d->taps, d->w.kernel[i]);
    d->samples = ir_dim_mul(c, x->dims[0], constant(d, d->groups));
    return !ir_dim_is(d->taps, 0) && can_build_dims(d->b, d->w.before, d->axes) &&
           can_build_dims(d->b, d->w.out, d->axes);
}

bool decompose_deform_conv(ir_builder *b, ir_node *n) {
    ir_ctx *c = b->m->ctx;
    deform *d = &(deform){.b = b, .n = n};
    ir_value *mask = ir_in(n, 4);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !can_build_type(b, ir_in(n, i)->type)) return false;
    if (!can_build_type(b, n->out[0].type) || !set_deform(d)) return false;
    const ir_type *x = n->in[0].value->type, *w = n->in[1].value->type;
    ir_value *v = apply_mask(d, sample_taps(d), mask);
    const ir_dim *rows[IR_MAX_RANK] = {x->dims[0], ir_dim_mul(c, x->dims[1], d->taps)};
    const ir_dim *kernel[IR_MAX_RANK] = {w->dims[0], ir_dim_mul(c, w->dims[1], d->taps)};
    for (uint32_t i = 0; i < d->axes; i++) {
        rows[2 + i] = d->w.out[i];
        kernel[2 + i] = constant(d, 1);
    }
    ir_value *in[] = {build_reshape(b, v, rows, 2 + d->axes),
                      build_reshape(b, n->in[1].value, kernel, 2 + d->axes), ir_in(n, 3)};
    ir_attr group = {.name = "group", .kind = ATTR_INT, .v.i = ir_attr_int(n, "group", 1)};
    ir_value *y = &build_node(b, OP_Conv, in, in[2] ? 3 : 2, 1, &group, 1)->out[0];
    return decompose_give(n, 0, build_reshape_as(b, y, n->out[0].type));
}
