/* See depthwise_bytes.h. */
#include "codegen/kernels/depthwise_bytes.h"

#include "codegen/lower/short.h"

enum { MAX_BLOCK = 64, MAX_LANES = 16 };

typedef struct depthwise_state {
    cg_depthwise *d;
    cg_kernel k;
    cg_places places;
    lp_value *w, *y;
} depthwise_state;

/* `lanes` channels under a tap, as bytes. */
static lp_value *load_tap(depthwise_state *s, unsigned lanes, lp_value *row, int64_t tap,
                          lp_value *channel) {
    lp_builder *b = &s->k.b;
    lp_value *from = cg_places_get(&s->places, row, lp_index(b, tap));
    return lp_load(b, lp_vec(DT_u8, lanes), from, channel);
}

/* Taps 2 i and 2 i + 1 of each channel as the halves of an i32. */
static lp_value *load_pair(depthwise_state *s, unsigned lanes, lp_value *row, int64_t pair,
                           lp_value *channel) {
    lp_builder *b = &s->k.b;
    lp_value *x = load_tap(s, lanes, row, 2 * pair, channel);
    if (2 * pair + 1 == s->d->taps) return lp_cast(b, x, DT_i32);
    lp_value *other = load_tap(s, lanes, row, 2 * pair + 1, channel);
    if (lanes == 1) {
        other = lp_bin(b, LP_shl, lp_cast(b, other, DT_i32), lp_const_i(b, lp_scalar(DT_i32), 16));
        return lp_bin(b, LP_or, lp_cast(b, x, DT_i32), other);
    }
    int32_t mask[2 * MAX_LANES];
    for (unsigned i = 0; i < 2 * lanes; i++)
        mask[i] = (int32_t)(i / 2 + i % 2 * lanes);
    x = lp_cast(b, lp_shuffle(b, x, other, mask, 2 * lanes), DT_i16);
    return lp_regroup(b, x, lp_vec(DT_i32, lanes));
}

static void emit_channels(depthwise_state *s, unsigned lanes, lp_value *position, lp_value *row,
                          lp_value *channel) {
    cg_depthwise *d = s->d;
    lp_builder *b = &s->k.b;
    lp_value *sum = lp_const_i(b, lp_vec(DT_i32, lanes), 0), *places[CG_MAX_NEST_VIEWS];
    for (int64_t i = 0; i < (d->taps + 1) / 2; i++) {
        lp_value *at = add(b, lp_index(b, i * d->channels), channel);
        lp_value *w = lp_load(b, lp_vec(DT_i32, lanes), s->w, at);
        sum = lp_dot2(b, load_pair(s, lanes, row, i, channel), w, sum);
    }
    for (uint32_t i = 0; i < d->epilogue.n; i++) {
        const cg_view *e = d->epilogue.views[i];
        if (!e) continue;
        places[i] = add(b, mul(b, position, cg_kernel_dim(&s->k, e->strides[0])),
                        mul(b, channel, cg_kernel_dim(&s->k, e->strides[1])));
    }
    sum = cg_epilogue_apply(&d->epilogue, &s->k, lanes, places, 1, sum);
    lp_value *to = add(b, mul(b, position, cg_kernel_dim(&s->k, d->y->strides[0])), channel);
    cg_store(b, d->y->dtype, lanes, s->y, to, lp_index(b, 1), sum);
}

static void emit_position(void *data, lp_value *position, lp_value *row) {
    depthwise_state *s = data;
    lp_builder *b = &s->k.b;
    unsigned lanes = s->d->g->target->lanes_f32;
    int64_t channels = s->d->channels, whole = channels / lanes * lanes;
    if (whole) {
        lp_loop l = lp_for_begin(b, lp_index(b, 0), lp_index(b, whole), lp_index(b, lanes), NULL,
                                 0);
        emit_channels(s, lanes, position, row, l.counter);
        lp_for_end(b, &l, NULL);
    }
    if (whole == channels) return;
    lp_loop l = lp_for_begin(b, lp_index(b, whole), lp_index(b, channels), lp_index(b, 1), NULL, 0);
    emit_channels(s, 1, position, row, l.counter);
    lp_for_end(b, &l, NULL);
}

cg_places cg_depthwise_places(const cg_depthwise *d, cg_kernel *k) {
    return (cg_places){.k = k,
                       .window = &d->window,
                       .x = d->x,
                       .image = cg_kernel_in(k, d->x, false),
                       .channels = d->channels,
                       .taps = d->taps,
                       .pad = d->pad};
}

void cg_depthwise_bytes(cg_depthwise *d) {
    cg *g = d->g;
    depthwise_state *s = TL_NEW(g->arena, depthwise_state);
    int64_t positions;
    s->d = d;
    s->k = cg_kernel_begin(g, d->node, d->y->dims[0]);
    s->w = cg_kernel_in(&s->k, d->w, false);
    s->y = cg_kernel_out(&s->k, d->y, cg_view_is_whole(g, d->y));
    s->places = cg_depthwise_places(d, &s->k);
    cg_epilogue_bind(&d->epilogue, &s->k);
    cg_for_places(&s->places, cg_places_block(d->taps, MAX_BLOCK), emit_position, s);
    if (ir_dim_is_const(d->y->dims[0], &positions))
        g->flops += 2.0 * (double)positions * (double)(d->channels * d->taps);
    cg_kernel_end(&s->k, "ConvBytes %lldx%lld by channel%s", (long long)d->taps,
                  (long long)d->channels, d->epilogue.region ? " + epilogue" : "");
}
