/* What spreads elements over windows, turned round: every element of the result adds up what the windows that cover it bring, in the order
 * of the taps, so that no thread writes what another one does.
 *
 *   Col2Im          y[n,c,o] = sum over taps t with o + before - t*dilation = stride*q of x[n, c*taps + t, q]
 *   ConvTranspose   y[n,m,o] = bias[m] + sum over those taps and the channels of x[n,c,q] * w[c,m,t]
 *
 * ConvTranspose gets here only where its kernel's sizes are not known: else it is a convolution (passes/decompose_conv.c). */
#include "codegen/lower/short.h"

#include "ir/limits.h"
#include "ir/window.h"

typedef struct spread {
    const cg_view *x, *w, *bias; /* w: ConvTranspose */
    ir_window window;
    ir_dtype compute;
    int64_t groups;
} spread;

static lp_value *zero_of(lp_builder *b, ir_dtype t) {
    return ir_dtype_is_float(t) ? lp_const_f(b, lp_scalar(t), 0) : lp_const_i(b, lp_scalar(t), 0);
}

static lp_value *step(cg_nest *s, lp_value *at, lp_value *i, const ir_dim *stride) {
    lp_builder *b = &s->k->b;
    return add(b, at, mul(b, i, cg_kernel_dim(s->k, stride)));
}

static lp_value *load(cg_nest *s, const cg_view *v, lp_value *at) {
    return cg_load(&s->k->b, v->dtype, 1, cg_kernel_in(s->k, v, false), at, lp_index(&s->k->b, 1));
}

/* ---- one tap --------------------------------------------------------------------------------------------------------- */

/* Numbers made of a tap's and its block's places along the axes so far; places in w and x. */
typedef struct tap {
    lp_value *number, *block; /* Col2Im */
    lp_value *w, *x;          /* ConvTranspose */
    lp_value *covered;        /* NULL: no axis yet */
} tap;

static lp_value *add_block(cg_nest *s, const tap *t, lp_value *sum) {
    const spread *d = s->data;
    lp_value *at = step(s, lp_index(&s->k->b, 0), s->index[0], d->x->strides[0]);
    at = step(s, at, t->number, d->x->strides[1]);
    return add(&s->k->b, sum, load(s, d->x, step(s, at, t->block, d->x->strides[2])));
}

static lp_value *add_channels(cg_nest *s, const tap *t, lp_value *sum) {
    const spread *d = s->data;
    lp_builder *b = &s->k->b;
    ir_ctx *c = s->g->c;
    lp_value *features = cg_kernel_dim(s->k, d->w->dims[1]),
             *group = quotient(b, s->index[1], features),
             *feature = lp_bin(b, LP_rem, s->index[1], features);
    const ir_dim *channels = ir_dim_floordiv(c, d->w->dims[0], cg_dc(s->g, d->groups));
    lp_value *count = cg_kernel_dim(s->k, channels), *first = mul(b, group, count);
    lp_value *x = step(s, step(s, t->x, s->index[0], d->x->strides[0]), first, d->x->strides[1]),
             *w = step(s, step(s, t->w, first, d->w->strides[0]), feature, d->w->strides[1]);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), count, lp_index(b, 1), &sum, 1);
    lp_value *next = lp_fma(b, load(s, d->x, step(s, x, l.counter, d->x->strides[1])),
                            load(s, d->w, step(s, w, l.counter, d->w->strides[0])), l.carried[0]);
    lp_for_end(b, &l, &next);
    return l.results[0];
}

/* ---- all taps ---------------------------------------------------------------------------------------------------------- */

static lp_value *add_taps(cg_nest *s, int32_t axis, tap t, lp_value *sum);

/* Tap i of an axis: what it brings to this element, and from where. */
static tap tap_of(cg_nest *s, int32_t axis, tap t, lp_value *i) {
    const spread *d = s->data;
    const ir_window *w = &d->window;
    lp_builder *b = &s->k->b;
    lp_value *zero = lp_index(b, 0), *stride = lp_index(b, w->stride[axis]),
             *from = add(b, s->index[2 + axis], cg_kernel_dim(s->k, w->before[axis])),
             *far = sub(b, from, mul(b, i, lp_index(b, w->dilation[axis]))),
             *q = quotient(b, far, stride);
    const ir_dim *blocks = d->w ? d->x->dims[2 + axis] : w->out[axis];
    lp_value *count = cg_kernel_dim(s->k, blocks),
             *inside = lp_bin(b, LP_and, lp_bin(b, LP_ge, far, zero), lp_bin(b, LP_lt, q, count));
    inside = lp_bin(b, LP_and, inside, lp_bin(b, LP_eq, mul(b, q, stride), far));
    t.covered = t.covered ? lp_bin(b, LP_and, t.covered, inside) : inside;
    if (d->w) {
        t.x = step(s, t.x, q, d->x->strides[2 + axis]);
        t.w = step(s, t.w, i, d->w->strides[2 + axis]);
        return t;
    }
    t.number = add(b, mul(b, t.number, cg_kernel_dim(s->k, w->kernel[axis])), i);
    t.block = add(b, mul(b, t.block, count), q);
    return t;
}

static lp_value *add_taps(cg_nest *s, int32_t axis, tap t, lp_value *sum) {
    const spread *d = s->data;
    lp_builder *b = &s->k->b;
    if (axis == d->window.axes) {
        lp_loop l = lp_if_begin(b, t.covered, &sum->type, 1);
        lp_value *v = d->w ? add_channels(s, &t, sum) : add_block(s, &t, sum);
        lp_if_else(b, &l, &v);
        lp_if_end(b, &l, &sum);
        return l.results[0];
    }
    lp_value *count = cg_kernel_dim(s->k, d->window.kernel[axis]);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), count, lp_index(b, 1), &sum, 1);
    lp_value *next = add_taps(s, axis + 1, tap_of(s, axis, t, l.counter), l.carried[0]);
    lp_for_end(b, &l, &next);
    return l.results[0];
}

static void spread_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in, (void)lanes;
    const spread *d = s->data;
    lp_value *zero = lp_index(&s->k->b, 0), *sum = zero_of(&s->k->b, d->compute);
    tap t = {.number = s->index[1], .block = zero, .w = zero, .x = zero};
    if (d->bias) sum = load(s, d->bias, step(s, zero, s->index[1], d->bias->strides[0]));
    out[0] = add_taps(s, 0, t, sum);
}

static bool run(cg *g, ir_node *n, spread *d) {
    const ir_type *t = n->out[0].type;
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = t->rank,
                   .fn = spread_point,
                   .data = d,
                   .summary = op_get(n->op)->name,
                   .needs_index = true,
                   .scalar = true};
    memcpy(s->dims, t->dims, (size_t)t->rank * sizeof *s->dims);
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}

/* ---- the nodes --------------------------------------------------------------------------------------------------------- */

bool lower_col2im(cg *g, ir_node *n) {
    ir_dtype type = n->out[0].type->dtype;
    if (type == DT_bool || ir_dtype_get_class(type) == DTYPE_COMPLEX) return lower_decompose(g, n);
    spread *d = TL_NEW(g->arena, spread);
    const ir_dim *image[IR_MAX_RANK], *block[IR_MAX_RANK], *blocks = cg_dc(g, 1);
    const ir_type *t = n->out[0].type;
    int32_t axes = t->rank - 2;
    *d = (spread){.x = cg_read(g, ir_in(n, 0)), .compute = ir_dtype_compute(t->dtype)};
    if (ir_value_known_dims(g->c, ir_in(n, 1), image, IR_MAX_RANK) != axes ||
        ir_value_known_dims(g->c, ir_in(n, 2), block, IR_MAX_RANK) != axes)
        return cg_unsupported(g, n, "image or block whose size depends on data");
    const char *problem = ir_window_init(&d->window, g->c, n, axes, image, block);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    for (int32_t i = 0; i < axes; i++)
        blocks = ir_dim_mul(g->c, blocks, d->window.out[i]);
    cg_check_equal(g, d->x->dims[2], blocks);
    cg_check_equal(g, d->x->dims[1], ir_dim_mul(g->c, t->dims[1], cg_dims_product(g, block, axes)));
    return run(g, n, d);
}

bool lower_conv_transpose(cg *g, ir_node *n) {
    spread *d = TL_NEW(g->arena, spread);
    const ir_type *t = n->out[0].type;
    *d = (spread){.x = cg_read(g, ir_in(n, 0)), .w = cg_read(g, ir_in(n, 1))};
    d->groups = ir_attr_int(n, "group", 1);
    d->compute = ir_dtype_compute(t->dtype);
    if (ir_in(n, 2)) d->bias = cg_read(g, ir_in(n, 2));
    const char *problem = ir_window_init_transposed(&d->window, g->c, n, t->rank - 2,
                                                    d->x->dims + 2, d->w->dims + 2);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    cg_check_equal(g, d->x->dims[1], d->w->dims[0]);
    cg_check_equal(g, ir_dim_mod(g->c, d->w->dims[0], cg_dc(g, d->groups)), cg_dc(g, 0));
    if (d->bias) cg_check_equal(g, d->bias->dims[0], t->dims[1]);
    for (int32_t i = 0; i < d->window.axes; i++)
        cg_check_equal(g, d->window.kernel[i], d->w->dims[2 + i]);
    return run(g, n, d);
}
