/* Einsum: a convolution or its transpose written as one (see decompose_einsum.c).
 *
 *   Einsum<equation="nci,koi,dck->ndo">(%x, @P, %w)      P is 1 where i = stride * o - pad + dilation * k   ->   Conv(%x, %w)
 *   Einsum<equation="ndo,koi,dck->nci">(%v, @P, %w)      the same pattern, but i is in the result           ->   ConvTranspose(%v, %w)
 *
 * Two tensors and a pattern for each axis of space; each pattern has an axis that one tensor has, one that the other has, both
 * summed, and one of the result. Whose axis is the even sum of the other two says what it is: a tensor's, then that tensor is
 * convolved with the other; the result's, then it is the transpose. Labels of both tensors and the result are groups, of both tensors alone
 * channels, of one tensor and the result batch or features. A kernel larger than the result (a derivative by weights) is left
 * alone: look-ups and one product are better then. */
#include "passes/einsum.h"

#include "passes/util.h"

enum { MAX_AXES = 6 };

typedef struct spatial {
    uint32_t moving, kernel, out; /* labels: of x, of w, of the result */
    int64_t stride, dilation, pad;
} spatial;

typedef struct conv {
    einsum *s;
    const factor *x, *w;
    bool transposed;
    uint32_t axes;
    spatial axis[MAX_AXES];
    label_set groups, channels, batch, features, space; /* space: labels of patterns */
} conv;

static int64_t size_of(const conv *c, uint32_t label) {
    int64_t size = 0;
    ir_dim_is_const(c->s->size[label], &size);
    return size;
}

/* The only label of the pattern that is in the set, or -1. */
static int32_t only_label(const factor *p, label_set set) {
    label_set common = factor_labels(p) & set;
    return common && !(common & (common - 1)) ? __builtin_ctzll(common) : -1;
}

/* The pattern's even sum, by its labels: label `sum` = -pad + stride * (label first) + dilation * (label second). */
static bool read_steps(const factor *p, uint32_t sum, uint32_t first, spatial *a) {
    affine_pattern f;
    int32_t axis = ir_einsum_axis(&p->term, sum), other = axis == 0 ? 1 : 0;
    if (!einsum_pattern_affine(p->pattern, axis, &f)) return false;
    bool in_order = p->term.label[other] == first;
    a->stride = in_order ? f.a : f.b, a->dilation = in_order ? f.b : f.a, a->pad = -f.offset;
    return a->stride > 0 && a->dilation > 0 && a->pad >= 0;
}

static bool read_axis(conv *c, const factor *p) {
    spatial *a = &c->axis[c->axes];
    label_set out = ir_einsum_labels(&c->s->e.out);
    int32_t moving = only_label(p, factor_labels(c->x) & ~out),
            kernel = only_label(p, factor_labels(c->w) & ~out), result = only_label(p, out);
    if (moving < 0 || kernel < 0 || result < 0 || p->term.rank != 3 || c->axes == MAX_AXES ||
        moving == kernel)
        return false;
    *a = (spatial){.moving = (uint32_t)moving, .kernel = (uint32_t)kernel, .out = (uint32_t)result};
    if (factor_labels(p) & c->space) return false;
    c->space |= factor_labels(p);
    c->axes++;
    return c->transposed ? read_steps(p, a->out, a->moving, a)
                         : read_steps(p, a->moving, a->out, a);
}

static bool read_axes(conv *c) {
    c->axes = 0, c->space = 0;
    for (uint32_t i = 0; i < c->s->n; i++)
        if (c->s->factors[i].pattern && !read_axis(c, &c->s->factors[i])) return false;
    return c->axes > 0;
}

/* Every label of the tensors has one of the four parts, and sizes other than the batch are numbers. */
static bool read_labels(conv *c) {
    label_set x = factor_labels(c->x) & ~c->space, w = factor_labels(c->w) & ~c->space,
              out = ir_einsum_labels(&c->s->e.out) & (x | w);
    c->groups = x & w & out, c->channels = x & w & ~out;
    c->batch = x & out & ~w, c->features = w & out & ~x;
    if ((x | w) & ~(c->groups | c->channels | c->batch | c->features)) return false;
    for (label_set set = c->groups | c->channels | c->features; set; set &= set - 1)
        if (!ir_dim_is_const(c->s->size[__builtin_ctzll(set)], NULL)) return false;
    return true;
}

static bool kernel_is_smaller(const conv *c) {
    double kernel = 1, rest = 1;
    for (uint32_t i = 0; i < c->axes; i++) {
        kernel *= (double)size_of(c, c->axis[i].kernel);
        rest *= (double)size_of(c, c->transposed ? c->axis[i].moving : c->axis[i].out);
    }
    return kernel <= rest;
}

/* What the padding behind must be, so that the result is as long as the pattern says; may be negative. */
static int64_t pad_behind(const conv *c, const spatial *a) {
    uint32_t whole = c->transposed ? a->out : a->moving, steps = c->transposed ? a->moving : a->out;
    int64_t reach = (size_of(c, steps) - 1) * a->stride +
                    (size_of(c, a->kernel) - 1) * a->dilation + 1;
    return reach - size_of(c, whole) - a->pad;
}

/* Positions behind the last window: a convolution ignores them, a transposed one adds that many zeros, while they are fewer than the
 * stride. */
static bool rests_fit(const conv *c) {
    for (uint32_t i = 0; i < c->axes; i++)
        if (-pad_behind(c, &c->axis[i]) >= c->axis[i].stride) return false;
    return true;
}

/* ---- building ------------------------------------------------------------------------------------------------------------- */

static ir_einsum_term in_order(const conv *c, const factor *f, label_set first, label_set second,
                               label_set third, bool is_x) {
    ir_einsum_term t = {0};
    einsum_append(&t, &f->term, first);
    einsum_append(&t, &f->term, second);
    einsum_append(&t, &f->term, third);
    for (uint32_t i = 0; i < c->axes; i++)
        t.label[t.rank++] = (uint8_t)(is_x ? c->axis[i].moving : c->axis[i].kernel);
    return t;
}

/* f as [first, rest, space...], where `rest` may be two kinds of labels. */
static ir_value *as_operand(const conv *c, const factor *f, const ir_einsum_term *order,
                            label_set first, label_set rest) {
    int32_t runs[2 + MAX_AXES] = {__builtin_popcountll(first), __builtin_popcountll(rest)};
    for (uint32_t i = 0; i < c->axes; i++)
        runs[2 + i] = 1;
    return einsum_merge_axes(c->s, einsum_arranged(c->s, f, order), runs, 2 + c->axes);
}

static int64_t product_of(const conv *c, label_set set) {
    int64_t n = 1;
    for (; set; set &= set - 1)
        n *= size_of(c, (uint32_t)__builtin_ctzll(set));
    return n;
}

static ir_value *build_conv(const conv *c, ir_value *x, ir_value *w) {
    int64_t pads[2 * MAX_AXES], strides[MAX_AXES], dilations[MAX_AXES], more[MAX_AXES];
    for (uint32_t i = 0; i < c->axes; i++) {
        int64_t behind = pad_behind(c, &c->axis[i]);
        pads[i] = c->axis[i].pad, pads[c->axes + i] = behind < 0 ? 0 : behind;
        strides[i] = c->axis[i].stride, dilations[i] = c->axis[i].dilation;
        more[i] = behind < 0 ? -behind : 0;
    }
    ir_attr attrs[] = {{.name = "group", .kind = ATTR_INT, .v.i = product_of(c, c->groups)},
                       {.name = "dilations", .kind = ATTR_INTS, .n = c->axes, .v.ints = dilations},
                       {.name = "pads", .kind = ATTR_INTS, .n = 2 * c->axes, .v.ints = pads},
                       {.name = "strides", .kind = ATTR_INTS, .n = c->axes, .v.ints = strides},
                       {.name = "output_padding", .kind = ATTR_INTS, .n = c->axes, .v.ints = more}};
    ir_value *in[] = {x, w};
    return &build_node(c->s->b, c->transposed ? OP_ConvTranspose : OP_Conv, in, 2, 1, attrs,
                       c->transposed ? 5 : 4)
                ->out[0];
}

/* The result's axes as labels of their own again. */
static factor with_labels(const conv *c, ir_value *y) {
    factor r = {0};
    const ir_dim *dims[IR_MAX_RANK];
    einsum_append(&r.term, &c->x->term, c->batch);
    einsum_append(&r.term, &c->x->term, c->groups);
    einsum_append(&r.term, &c->w->term, c->features);
    for (uint32_t i = 0; i < c->axes; i++)
        r.term.label[r.term.rank++] = (uint8_t)c->axis[i].out;
    for (int32_t i = 0; i < r.term.rank; i++)
        dims[i] = c->s->size[r.term.label[i]];
    r.v = build_reshape(c->s->b, y, dims, (uint32_t)r.term.rank);
    return r;
}

static factor build_all(conv *c) {
    ir_einsum_term x = in_order(c, c->x, c->batch, c->groups, c->channels, true);
    label_set first = c->transposed ? c->channels : c->features,
              second = c->transposed ? c->features : c->channels;
    ir_einsum_term w = in_order(c, c->w, c->groups, first, second, false);
    /* Groups stand in x's order; the kernel's must too. */
    ir_einsum_term groups = {0};
    einsum_append(&groups, &c->x->term, c->groups);
    for (int32_t i = 0; i < groups.rank; i++)
        w.label[i] = groups.label[i];
    ir_einsum_term channels = {0};
    einsum_append(&channels, &c->x->term, c->channels);
    int32_t at = groups.rank + (c->transposed ? 0 : __builtin_popcountll(c->features));
    for (int32_t i = 0; i < channels.rank; i++)
        w.label[at + i] = channels.label[i];
    ir_value *xv = as_operand(c, c->x, &x, c->batch, c->groups | c->channels);
    ir_value *wv = as_operand(c, c->w, &w, c->groups | first, second);
    return with_labels(c, build_conv(c, xv, wv));
}

/* The two operands that are no patterns. */
static bool read_factors(conv *c) {
    for (uint32_t i = 0; i < c->s->n; i++) {
        const factor *f = &c->s->factors[i];
        if (f->pattern) continue;
        if (c->w) return false;
        if (c->x)
            c->w = f;
        else
            c->x = f;
    }
    return c->w && c->x->v->type->dtype == DT_f32;
}

static bool fits(conv *c, bool swapped, bool transposed) {
    const factor *x = c->x, *w = c->w;
    if (swapped) c->x = w, c->w = x;
    c->transposed = transposed;
    if (read_axes(c) && read_labels(c) && kernel_is_smaller(c) && rests_fit(c)) return true;
    c->x = x, c->w = w;
    return false;
}

bool einsum_as_conv(einsum *s, factor *result) {
    conv c = {.s = s};
    if (!read_factors(&c)) return false;
    bool second_moves = ir_value_is_const(c.x->v) && !ir_value_is_const(c.w->v);
    if (!fits(&c, false, false) && !fits(&c, true, false) && !fits(&c, second_moves, true) &&
        !fits(&c, !second_moves, true))
        return false;
    *result = build_all(&c);
    return true;
}
