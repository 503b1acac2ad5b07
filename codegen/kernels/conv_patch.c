/* See conv_patch.h.
 *
 *   for runs                              positions of the panel in one row of the result
 *     for taps                            which rows of x they read, or padding
 *       for chunks of a vector of the run
 *         for channels                    load, store */
#include "codegen/kernels/conv_patch.h"

#include "codegen/lower/short.h"
#include "ir/limits.h"

/* A run of positions, and what it reads under one tap. */
typedef struct run {
    lp_value *offset, *length; /* in the panel */
    lp_value *at[IR_MAX_RANK]; /* the run's first position, along each axis */
    lp_value *tap;             /* number of the tap */
    lp_value *plane;           /* place in x of the row that is read, channel 0 */
    lp_value *inside;          /* that row exists */
    lp_value *start;           /* element along the last axis of the first position */
} run;

static lp_value *dim(cg_conv_patch *p, const ir_dim *d) {
    return cg_kernel_dim(p->k, d);
}

/* ---- copying ------------------------------------------------------------------------------------------------------------ */

static int32_t last_axis(const cg_conv_patch *p) {
    return p->c->window.axes - 1;
}

static const ir_dim *last_stride(const cg_conv_patch *p) {
    return p->c->x->strides[2 + last_axis(p)];
}

/* For every channel: fn stores something at `to`, from the channel's row. */
typedef void channel_fn(cg_conv_patch *p, const run *r, lp_value *chunk, lp_value *row,
                        lp_value *to);

static void for_channels(cg_conv_patch *p, const run *r, lp_value *chunk, channel_fn *fn) {
    lp_builder *b = &p->k->b;
    lp_value *channels = lp_index(b, p->c->channels), *panel = lp_index(b, p->panel);
    lp_value *first = mul(b, r->tap, mul(b, channels, panel));
    first = add(b, first, add(b, r->offset, chunk));
    lp_loop c = lp_for_begin(b, lp_index(b, 0), channels, lp_index(b, 1), NULL, 0);
    lp_value *row = add(b, r->plane, mul(b, c.counter, dim(p, p->c->x->strides[1])));
    fn(p, r, chunk, row, add(b, first, mul(b, c.counter, panel)));
    lp_for_end(b, &c, NULL);
}

static lp_value *px(cg_conv_patch *p) {
    return cg_kernel_in(p->k, p->c->x, false);
}

/* Lanes of the chunk that belong to the run, the others as they were. */
static void store_part(cg_conv_patch *p, const run *r, lp_value *chunk, lp_value *to, lp_value *v) {
    lp_builder *b = &p->k->b;
    lp_value *left = lp_broadcast(b, sub(b, r->length, chunk), p->lanes),
             *mine = lp_bin(b, LP_lt, lp_iota(b, lp_vec(DT_i64, p->lanes)), left);
    lp_value *old = lp_load(b, v->type, p->to, to);
    lp_store(b, p->to, to, lp_select(b, mine, v, old));
}

/* Contiguous: as many elements as x has from there on; zeros behind. */
static lp_value *load_row(cg_conv_patch *p, const run *r, lp_value *chunk, lp_value *row) {
    lp_builder *b = &p->k->b;
    lp_value *at = add(b, r->start, chunk),
             *n = sub(b, dim(p, p->c->window.size[last_axis(p)]), at);
    n = lp_select(b, r->inside, n, lp_index(b, 0));
    return lp_load_masked(b, lp_vec(DT_f32, p->lanes), px(p), add(b, row, at), n);
}

static void copy_whole(cg_conv_patch *p, const run *r, lp_value *chunk, lp_value *row,
                       lp_value *to) {
    lp_store(&p->k->b, p->to, to, load_row(p, r, chunk, row));
}

static void copy_part(cg_conv_patch *p, const run *r, lp_value *chunk, lp_value *row,
                      lp_value *to) {
    store_part(p, r, chunk, to, load_row(p, r, chunk, row));
}

/* Place in the row of lane i of the chunk, in elements along the last axis. */
static lp_value *element_of(cg_conv_patch *p, const run *r, lp_value *i) {
    lp_builder *b = &p->k->b;
    return add(b, r->start, mul(b, i, lp_index(b, p->c->window.stride[last_axis(p)])));
}

static void copy_strided(cg_conv_patch *p, const run *r, lp_value *chunk, lp_value *row,
                         lp_value *to) {
    lp_builder *b = &p->k->b;
    const ir_dim *step = ir_dim_mul(p->c->g->c, last_stride(p),
                                    cg_dc(p->c->g, p->c->window.stride[last_axis(p)]));
    lp_value *at = add(b, row, mul(b, element_of(p, r, chunk), dim(p, last_stride(p))));
    lp_store(b, p->to, to, cg_load(b, DT_f32, p->lanes, px(p), at, dim(p, step)));
}

/* One by one, each tested. */
static void copy_single(cg_conv_patch *p, const run *r, lp_value *chunk, lp_value *row,
                        lp_value *to) {
    lp_builder *b = &p->k->b;
    lp_value *zero = lp_index(b, 0), *left = sub(b, r->length, chunk),
             *n = lp_bin(b, LP_min, left, lp_index(b, p->lanes));
    lp_loop l = lp_for_begin(b, zero, n, lp_index(b, 1), NULL, 0);
    lp_value *at = element_of(p, r, add(b, chunk, l.counter)),
             *size = dim(p, p->c->window.size[last_axis(p)]);
    lp_value *there = lp_bin(
        b, LP_and, r->inside,
        lp_bin(b, LP_and, lp_bin(b, LP_ge, at, zero), lp_bin(b, LP_lt, at, size)));
    lp_value *none = lp_const_f(b, lp_scalar(DT_f32), 0);
    lp_loop i = lp_if_begin(b, there, &none->type, 1);
    lp_value *v = lp_load(b, none->type, px(p), add(b, row, mul(b, at, dim(p, last_stride(p)))));
    lp_if_else(b, &i, &v);
    lp_if_end(b, &i, &none);
    lp_store(b, p->to, add(b, to, l.counter), i.results[0]);
    lp_for_end(b, &l, NULL);
}

/* ---- chunks --------------------------------------------------------------------------------------------------------------- */

static bool is_contiguous(const cg_conv_patch *p) {
    return p->c->window.stride[last_axis(p)] == 1 && ir_dim_is(last_stride(p), 1);
}

/* A vector of neighbours that begins inside x (or is all padding); else the elements before x are tested. */
static void contiguous_chunk(cg_conv_patch *p, const run *r, lp_value *chunk) {
    lp_builder *b = &p->k->b;
    lp_value *at = add(b, r->start, chunk), *left = sub(b, r->length, chunk);
    lp_value *good = lp_bin(b, LP_or, lp_un(b, LP_not, r->inside),
                            lp_bin(b, LP_ge, at, lp_index(b, 0)));
    lp_loop l = lp_if_begin(b, good, NULL, 0);
    lp_loop w = lp_if_begin(b, lp_bin(b, LP_ge, left, lp_index(b, p->lanes)), NULL, 0);
    for_channels(p, r, chunk, copy_whole);
    lp_if_else(b, &w, NULL);
    for_channels(p, r, chunk, copy_part);
    lp_if_end(b, &w, NULL);
    lp_if_else(b, &l, NULL);
    for_channels(p, r, chunk, copy_single);
    lp_if_end(b, &l, NULL);
}

static void strided_chunk(cg_conv_patch *p, const run *r, lp_value *chunk) {
    lp_builder *b = &p->k->b;
    lp_value *last = add(b, chunk, lp_index(b, p->lanes - 1)),
             *size = dim(p, p->c->window.size[last_axis(p)]);
    lp_value *good = lp_bin(b, LP_and, lp_bin(b, LP_lt, last, r->length), r->inside);
    good = lp_bin(b, LP_and, good, lp_bin(b, LP_ge, element_of(p, r, chunk), lp_index(b, 0)));
    good = lp_bin(b, LP_and, good, lp_bin(b, LP_lt, element_of(p, r, last), size));
    lp_loop l = lp_if_begin(b, good, NULL, 0);
    for_channels(p, r, chunk, copy_strided);
    lp_if_else(b, &l, NULL);
    for_channels(p, r, chunk, copy_single);
    lp_if_end(b, &l, NULL);
}

/* ---- taps ------------------------------------------------------------------------------------------------------------------ */

/* Taps of the axes from `axis` on. */
static void for_taps(cg_conv_patch *p, run r, int32_t axis) {
    lp_builder *b = &p->k->b;
    const ir_window *w = &p->c->window;
    if (axis == w->axes) {
        lp_loop l = lp_for_begin(b, lp_index(b, 0), r.length, lp_index(b, p->lanes), NULL, 0);
        if (is_contiguous(p))
            contiguous_chunk(p, &r, l.counter);
        else
            strided_chunk(p, &r, l.counter);
        lp_for_end(b, &l, NULL);
        return;
    }
    lp_value *zero = lp_index(b, 0), *count = dim(p, w->kernel[axis]);
    lp_loop l = lp_for_begin(b, zero, count, lp_index(b, 1), NULL, 0);
    lp_value *i = mul(b, r.at[axis], lp_index(b, w->stride[axis]));
    i = sub(b, add(b, i, mul(b, l.counter, lp_index(b, w->dilation[axis]))),
            dim(p, w->before[axis]));
    r.tap = add(b, mul(b, r.tap, count), l.counter);
    if (axis == w->axes - 1) {
        r.start = i;
    } else {
        lp_value *there = lp_bin(b, LP_and, lp_bin(b, LP_ge, i, zero),
                                 lp_bin(b, LP_lt, i, dim(p, w->size[axis])));
        r.inside = lp_bin(b, LP_and, r.inside, there);
        r.plane = add(b, r.plane, mul(b, i, dim(p, p->c->x->strides[2 + axis])));
    }
    for_taps(p, r, axis + 1);
    lp_for_end(b, &l, NULL);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------- */

void cg_conv_pack_patch(cg_conv_patch *p) {
    lp_builder *b = &p->k->b;
    const ir_window *w = &p->c->window;
    lp_value *zero = lp_index(b, 0), *width = dim(p, w->out[w->axes - 1]);
    lp_value *channel = mul(b, p->group, lp_index(b, p->c->channels)),
             *plane = mul(b, p->sample, dim(p, p->c->x->strides[0]));
    plane = add(b, plane, mul(b, channel, dim(p, p->c->x->strides[1])));
    lp_loop l = lp_while_begin(b, &zero, 1);
    lp_while_do(b, &l, lp_bin(b, LP_lt, l.carried[0], p->positions));
    run r = {.offset = l.carried[0], .tap = zero, .plane = plane};
    r.inside = lp_const_i(b, lp_scalar(DT_bool), 1);
    cg_unravel(p->k, add(b, p->first, r.offset), w->out, w->axes, r.at);
    lp_value *in_row = sub(b, width, r.at[w->axes - 1]);
    r.length = lp_bin(b, LP_min, in_row, sub(b, p->positions, r.offset));
    for_taps(p, r, 0);
    lp_value *next = add(b, r.offset, r.length);
    lp_while_end(b, &l, &next);
}
