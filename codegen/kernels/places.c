/* See places.h. */
#include "codegen/kernels/places.h"

#include "codegen/lower/short.h"
#include "ir/limits.h"

enum { TABLE_POINTERS = 1024, LEAST_BLOCK = 8, MAX_UNROLL = 8 };

int64_t cg_places_block(int64_t taps, int64_t most) {
    int64_t n = TABLE_POINTERS / taps;
    return n < LEAST_BLOCK ? LEAST_BLOCK : n < most ? n : most;
}

void cg_places_begin(cg_places *p, int64_t positions) {
    lp_builder *b = &p->k->b;
    p->table = lp_alloca(b, positions * p->taps * 8);
    if (!ir_window_is_padded(p->window)) return;
    p->pad_row = lp_alloca(b, p->channels);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, p->channels), lp_index(b, 1), NULL, 0);
    lp_store(b, p->pad_row, l.counter, lp_const_i(b, lp_scalar(DT_u8), p->pad));
    lp_for_end(b, &l, NULL);
}

lp_value *cg_places_get(const cg_places *p, lp_value *position, lp_value *tap) {
    lp_builder *b = &p->k->b;
    lp_value *at = add(b, mul(b, position, lp_index(b, p->taps)), tap);
    return lp_load(b, lp_scalar(LP_PTR), p->table, at);
}

/* A position of the result, and the taps of its window that are chosen so far. */
typedef struct place {
    lp_value *index[IR_MAX_RANK]; /* of the position: sample, then spatial axes */
    lp_value *offset;             /* in x */
    lp_value *inside;             /* NULL: nothing is padded */
    lp_value *slot;               /* in the table */
} place;

static void set_place(cg_places *p, const place *at) {
    lp_builder *b = &p->k->b;
    lp_value *pointer = lp_ptr_add(b, p->image, at->offset);
    if (at->inside) pointer = lp_select(b, at->inside, pointer, p->pad_row);
    lp_store(b, p->table, at->slot, pointer);
}

static void taps_of(cg_places *p, int32_t axis, const place *at);

/* Tap t of this axis, and all of the axes behind it. Below 0 is, as an unsigned number, beyond the end. */
static void one_tap(cg_places *p, int32_t axis, const place *at, lp_value *t) {
    lp_builder *b = &p->k->b;
    const ir_window *w = p->window;
    place next = *at;
    lp_value *i = mul(b, at->index[axis + 1], lp_index(b, w->stride[axis]));
    i = sub(b, i, cg_kernel_dim(p->k, w->before[axis]));
    i = add(b, i, mul(b, t, lp_index(b, w->dilation[axis])));
    next.offset = add(b, at->offset, mul(b, i, cg_kernel_dim(p->k, p->x->strides[axis + 1])));
    if (at->inside) {
        lp_value *size = lp_bitcast(b, cg_kernel_dim(p->k, w->size[axis]), DT_u64),
                 *here = lp_bin(b, LP_lt, lp_bitcast(b, i, DT_u64), size);
        next.inside = lp_bin(b, LP_and, at->inside, here);
    }
    next.slot = add(b, mul(b, at->slot, cg_kernel_dim(p->k, w->kernel[axis])), t);
    if (axis + 1 == w->axes)
        set_place(p, &next);
    else
        taps_of(p, axis + 1, &next);
}

static void taps_of(cg_places *p, int32_t axis, const place *at) {
    lp_builder *b = &p->k->b;
    int64_t kernel = 0;
    ir_dim_is_const(p->window->kernel[axis], &kernel);
    if (kernel <= MAX_UNROLL) {
        for (int64_t t = 0; t < kernel; t++)
            one_tap(p, axis, at, lp_index(b, t));
        return;
    }
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, kernel), lp_index(b, 1), NULL, 0);
    one_tap(p, axis, at, l.counter);
    lp_for_end(b, &l, NULL);
}

void cg_places_fill(cg_places *p, lp_value *lo, lp_value *hi) {
    lp_builder *b = &p->k->b;
    const ir_dim *dims[IR_MAX_RANK] = {p->x->dims[0]};
    int32_t rank = p->window->axes + 1;
    for (int32_t i = 1; i < rank; i++)
        dims[i] = p->window->out[i - 1];
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, 1), NULL, 0);
    place at = {.slot = sub(b, l.counter, lo)};
    cg_unravel(p->k, l.counter, dims, rank, at.index);
    at.offset = mul(b, at.index[0], cg_kernel_dim(p->k, p->x->strides[0]));
    if (p->pad_row) at.inside = lp_const_i(b, lp_scalar(DT_bool), 1);
    taps_of(p, 0, &at);
    lp_for_end(b, &l, NULL);
}

void cg_for_places(cg_places *p, int64_t block, cg_place_fn *fn, void *data) {
    lp_builder *b = &p->k->b;
    lp_value *size = lp_index(b, block);
    cg_places_begin(p, block);
    lp_loop l = lp_for_begin(b, p->k->begin, p->k->end, size, NULL, 0);
    lp_value *end = lp_bin(b, LP_min, add(b, l.counter, size), p->k->end);
    cg_places_fill(p, l.counter, end);
    lp_loop i = lp_for_begin(b, l.counter, end, lp_index(b, 1), NULL, 0);
    fn(data, i.counter, sub(b, i.counter, l.counter));
    lp_for_end(b, &i, NULL);
    lp_for_end(b, &l, NULL);
}
