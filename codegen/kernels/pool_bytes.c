/* See pool_bytes.h. */
#include "codegen/kernels/pool_bytes.h"

#include "codegen/lower/short.h"

enum { MAX_BLOCK = 64 };

typedef struct pool_state {
    cg_pool_bytes *p;
    cg_kernel k;
    cg_places places;
    lp_value *y;
} pool_state;

/* Channels [from, to), a multiple of `lanes` of them, at this position. */
static void emit_channels(pool_state *s, unsigned lanes, int64_t from, int64_t to,
                          lp_value *position, lp_value *row) {
    lp_builder *b = &s->k.b;
    lp_type t = lp_vec(s->p->y->dtype, lanes);
    if (from == to) return;
    lp_loop l = lp_for_begin(b, lp_index(b, from), lp_index(b, to), lp_index(b, lanes), NULL, 0);
    lp_value *most = lp_load(b, t, cg_places_get(&s->places, row, lp_index(b, 0)), l.counter);
    lp_loop tap = lp_for_begin(b, lp_index(b, 1), lp_index(b, s->p->taps), lp_index(b, 1), &most,
                               1);
    lp_value *x = lp_load(b, t, cg_places_get(&s->places, row, tap.counter), l.counter);
    lp_value *next = lp_bin(b, LP_max, tap.carried[0], x);
    lp_for_end(b, &tap, &next);
    lp_value *to_at = mul(b, position, cg_kernel_dim(&s->k, s->p->y->strides[0]));
    lp_store(b, s->y, add(b, to_at, l.counter), tap.results[0]);
    lp_for_end(b, &l, NULL);
}

static void emit_position(void *data, lp_value *position, lp_value *row) {
    static const unsigned widths[] = {32, 8, 1};
    pool_state *s = data;
    int64_t done = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int64_t to = s->p->channels / widths[i] * widths[i];
        emit_channels(s, widths[i], done, to, position, row);
        done = to;
    }
}

void cg_max_pool_bytes(cg_pool_bytes *p) {
    cg *g = p->g;
    pool_state *s = TL_NEW(g->arena, pool_state);
    s->p = p;
    s->k = cg_kernel_begin(g, p->node, p->y->dims[0]);
    s->y = cg_kernel_out(&s->k, p->y, cg_view_is_whole(g, p->y));
    s->places = (cg_places){.k = &s->k,
                            .window = p->window,
                            .x = p->x,
                            .image = cg_kernel_in(&s->k, p->x, false),
                            .channels = p->channels,
                            .taps = p->taps,
                            .pad = p->y->dtype == DT_i8 ? 0x80 : 0};
    cg_for_places(&s->places, cg_places_block(p->taps, MAX_BLOCK), emit_position, s);
    cg_kernel_end(&s->k, "MaxPool of bytes");
}
