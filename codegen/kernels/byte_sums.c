/* See byte_sums.h. */
#include "codegen/kernels/byte_sums.h"

#include "codegen/lower/short.h"

enum { MAX_BLOCK = 64 };

typedef struct sums_state {
    cg_depthwise *d;
    cg_kernel k;
    cg_places places;
    unsigned lanes;
    lp_value *y;
} sums_state;

/* sum + the channels at `from`, four to a lane as far as they go; the rest one by one into *single. */
static lp_value *add_run(sums_state *s, lp_value *from, lp_value *sum, lp_value **single) {
    lp_builder *b = &s->k.b;
    int64_t step = 4 * (int64_t)s->lanes, whole = s->d->channels / step * step;
    if (whole) {
        lp_value *ones = lp_const_i(b, sum->type, 0x01010101), *next;
        lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, whole), lp_index(b, step), &sum, 1);
        lp_value *x = lp_load_aligned(b, sum->type, lp_ptr_add(b, from, l.counter), lp_index(b, 0),
                                      1);
        next = lp_dot4(b, x, ones, l.carried[0], true);
        lp_for_end(b, &l, &next);
        sum = l.results[0];
    }
    if (whole == s->d->channels) return sum;
    lp_loop l = lp_for_begin(b, lp_index(b, whole), lp_index(b, s->d->channels), lp_index(b, 1),
                             single, 1);
    lp_value *x = lp_cast(b, lp_load(b, lp_scalar(DT_u8), from, l.counter), DT_i32);
    lp_value *next = add(b, l.carried[0], x);
    lp_for_end(b, &l, &next);
    *single = l.results[0];
    return sum;
}

static void emit_position(void *data, lp_value *position, lp_value *row) {
    sums_state *s = data;
    cg_depthwise *d = s->d;
    lp_builder *b = &s->k.b;
    lp_value *sums[2] = {lp_const_i(b, lp_vec(DT_i32, s->lanes), 0),
                         lp_const_i(b, lp_scalar(DT_i32), 0)},
             *places[CG_MAX_NEST_VIEWS];
    lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, d->taps), lp_index(b, 1), sums, 2);
    lp_value *next[2] = {l.carried[0], l.carried[1]};
    next[0] = add_run(s, cg_places_get(&s->places, row, l.counter), next[0], &next[1]);
    lp_for_end(b, &l, next);
    lp_value *sum = s->lanes > 1 ? lp_reduce(b, LP_reduce_add, l.results[0]) : l.results[0];
    sum = add(b, sum, l.results[1]);
    for (uint32_t i = 0; i < d->epilogue.n; i++)
        if (d->epilogue.views[i])
            places[i] = mul(b, position, cg_kernel_dim(&s->k, d->epilogue.views[i]->strides[0]));
    sum = cg_epilogue_apply(&d->epilogue, &s->k, 1, places, 1, sum);
    lp_value *to = mul(b, position, cg_kernel_dim(&s->k, d->y->strides[0]));
    cg_store(b, d->y->dtype, 1, s->y, to, lp_index(b, 1), sum);
}

void cg_byte_sums(cg_depthwise *d) {
    cg *g = d->g;
    sums_state *s = TL_NEW(g->arena, sums_state);
    *s = (sums_state){.d = d, .lanes = g->target->lanes_f32};
    s->k = cg_kernel_begin(g, d->node, d->y->dims[0]);
    s->y = cg_kernel_out(&s->k, d->y, cg_view_is_whole(g, d->y));
    s->places = cg_depthwise_places(d, &s->k);
    cg_epilogue_bind(&d->epilogue, &s->k);
    cg_for_places(&s->places, cg_places_block(d->taps, MAX_BLOCK), emit_position, s);
    cg_kernel_end(&s->k, "ConvBytes sums %lldx%lld", (long long)d->taps, (long long)d->channels);
}
