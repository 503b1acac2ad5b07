/* See pad_last.h. */
#include "codegen/kernels/pad_last.h"

#include "codegen/lower/short.h"
#include "ir/limits.h"

typedef struct padding {
    cg *g;
    cg_kernel k;
    const cg_view *x, *y;
    const ir_window *w;
    unsigned lanes;
    lp_value *from, *to;
} padding;

static lp_value *dim(padding *p, const ir_dim *d) {
    return cg_kernel_dim(&p->k, d);
}

/* n elements at `to`, in vectors and then one by one: zeros, or where `from` is not NULL, its elements. */
static void fill_part(padding *p, unsigned lanes, lp_value *lo, lp_value *hi, lp_value *to,
                      lp_value *from) {
    lp_builder *b = &p->k.b;
    lp_type t = lp_vec(DT_f32, lanes);
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, lanes), NULL, 0);
    lp_value *x = from ? lp_load(b, t, p->from, add(b, from, l.counter)) : lp_const_f(b, t, 0);
    lp_store(b, p->to, add(b, to, l.counter), x);
    lp_for_end(b, &l, NULL);
}

static void fill(padding *p, lp_value *n, lp_value *to, lp_value *from) {
    lp_builder *b = &p->k.b;
    lp_value *w = lp_index(b, p->lanes), *mid = mul(b, quotient(b, n, w), w);
    fill_part(p, p->lanes, lp_index(b, 0), mid, to, from);
    fill_part(p, 1, mid, n, to, from);
}

/* A row of the operand whose elements are not neighbours. */
static void copy_apart(padding *p, lp_value *to, lp_value *from) {
    lp_builder *b = &p->k.b;
    int32_t axes = p->w->axes;
    lp_value *channels = dim(p, p->x->dims[axes + 1]), *one = lp_index(b, 1);
    lp_loop c = lp_for_begin(b, lp_index(b, 0), channels, one, NULL, 0);
    lp_value *column = add(b, from, mul(b, c.counter, dim(p, p->x->strides[axes + 1])));
    lp_loop i = lp_for_begin(b, lp_index(b, 0), dim(p, p->x->dims[axes]), one, NULL, 0);
    lp_value *at = add(b, column, mul(b, i.counter, dim(p, p->x->strides[axes])));
    lp_store(b, p->to, add(b, add(b, to, mul(b, i.counter, channels)), c.counter),
             lp_load(b, lp_scalar(DT_f32), p->from, at));
    lp_for_end(b, &i, NULL);
    lp_for_end(b, &c, NULL);
}

static void copy_row(padding *p, lp_value *to, lp_value *from) {
    lp_builder *b = &p->k.b;
    int32_t axes = p->w->axes;
    const ir_dim *channels = p->x->dims[axes + 1];
    lp_value *inner = mul(b, dim(p, p->x->dims[axes]), dim(p, channels));
    lp_value *head = mul(b, dim(p, p->w->before[axes - 1]), dim(p, channels)),
             *tail = mul(b, dim(p, p->w->after[axes - 1]), dim(p, channels));
    bool together = ir_dim_is(p->x->strides[axes + 1], 1) &&
                    ir_dim_equal(p->x->strides[axes], channels);
    fill(p, head, to, NULL);
    to = add(b, to, head);
    if (together)
        fill(p, inner, to, from);
    else
        copy_apart(p, to, from);
    fill(p, tail, add(b, to, inner), NULL);
}

/* index: sample, then places in the copy along all spatial axes but the last. */
static void emit_row(padding *p, lp_value *row, lp_value *const *index) {
    lp_builder *b = &p->k.b;
    int32_t axes = p->w->axes;
    lp_value *width = mul(b, dim(p, p->y->dims[axes]), dim(p, p->y->dims[axes + 1]));
    lp_value *inside = lp_const_i(b, lp_scalar(DT_bool), 1), *zero = lp_index(b, 0),
             *from = mul(b, index[0], dim(p, p->x->strides[0])), *to = mul(b, row, width);
    for (int32_t i = 0; i < axes - 1; i++) {
        lp_value *at = sub(b, index[1 + i], dim(p, p->w->before[i]));
        lp_value *there = lp_bin(b, LP_and, lp_bin(b, LP_ge, at, zero),
                                 lp_bin(b, LP_lt, at, dim(p, p->x->dims[1 + i])));
        inside = lp_bin(b, LP_and, inside, there);
        from = add(b, from, mul(b, at, dim(p, p->x->strides[1 + i])));
    }
    lp_loop l = lp_if_begin(b, inside, NULL, 0);
    copy_row(p, to, from);
    lp_if_else(b, &l, NULL);
    fill(p, width, to, NULL);
    lp_if_end(b, &l, NULL);
}

static const cg_view *make_room(cg *g, const cg_view *x, const ir_window *w) {
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    for (int32_t i = 0; i < w->axes; i++)
        dims[1 + i] = ir_dim_add(g->c, dims[1 + i], ir_dim_add(g->c, w->before[i], w->after[i]));
    const ir_dim *bytes = ir_dim_mul(g->c, cg_dims_product(g, dims, x->rank), cg_dc(g, 4));
    return cg_view_dense(g, cg_buffer_create(g, bytes),
                         ir_type_tensor(g->c, x->dtype, x->rank, dims));
}

const cg_view *cg_pad_last(cg *g, const cg_view *x, const ir_window *w) {
    padding *p = TL_NEW(g->arena, padding);
    *p = (padding){.g = g, .x = x, .y = make_room(g, x, w), .w = w};
    p->lanes = g->target->lanes_f32;
    p->k = cg_kernel_begin(g, g->node, cg_dims_product(g, p->y->dims, w->axes));
    p->from = cg_kernel_in(&p->k, x, false);
    p->to = cg_kernel_out(&p->k, p->y, true);
    lp_builder *b = &p->k.b;
    lp_loop l = lp_for_begin(b, p->k.begin, p->k.end, lp_index(b, 1), NULL, 0);
    lp_value *index[IR_MAX_RANK];
    cg_unravel(&p->k, l.counter, p->y->dims, w->axes, index);
    emit_row(p, l.counter, index);
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&p->k, "copy with zeros around");
    return p->y;
}
