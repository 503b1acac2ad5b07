/* Windows over channels that lie last; see window_last.h. */
#include "codegen/kernels/window_last.h"

#include "codegen/lower/short.h"
#include "ir/limits.h"

#include <math.h>

enum { MAX_TILE = 8, MAX_TAPS = 32 };

/* Taps of an axis inside the operand, the first tap being at element `start`. */
typedef struct tap_range {
    lp_value *start, *lo, *hi;
} tap_range;

typedef struct state {
    cg_window_last *w;
    cg_kernel k;
    ir_dtype compute;
    int32_t last; /* axis along which tiles lie */
    lp_value *x, *y, *weight;
    tap_range range[IR_MAX_RANK]; /* outer axes, of this row */
    lp_value *x_row, *y_row, *extra_row[CG_MAX_NEST_VIEWS];
} state;

/* Columns [first, first + n). */
typedef struct tile {
    unsigned n;
    lp_value *first;
    int64_t known; /* the first one, where it is known and taps may be missing; else -1 */
    tap_range
        *range; /* of the only column, where it is not known which taps are missing; else NULL */
} tile;

static lp_value *dim(state *s, const ir_dim *d) {
    return cg_kernel_dim(&s->k, d);
}

static int64_t number(const ir_dim *d) {
    int64_t n = 0;
    ir_dim_is_const(d, &n);
    return n;
}

/* ---- one row of taps ----------------------------------------------------------------------------------------------------- */

static lp_value *load_x(state *s, unsigned lanes, lp_value *at) {
    return cg_load(&s->k.b, s->w->x->dtype, lanes, s->x, at, lp_index(&s->k.b, 1));
}

static lp_value *join(state *s, lp_value *acc, lp_value *x, lp_value *weight) {
    lp_builder *b = &s->k.b;
    if (weight) return lp_fma(b, x, weight, acc);
    return s->w->kind == CG_WINDOW_MAX ? lp_bin(b, LP_max, acc, x) : add(b, acc, x);
}

/* Whether column j of the tile reads an element under this tap. */
static bool is_inside(const state *s, const tile *t, unsigned j, int64_t tap) {
    const ir_window *w = &s->w->window;
    if (t->known < 0) return true;
    int64_t at = (t->known + j) * w->stride[s->last] + tap * w->dilation[s->last] -
                 number(w->before[s->last]);
    return at >= 0 && at < number(w->size[s->last]);
}

static lp_value *load_weight(state *s, unsigned lanes, lp_value *at, int64_t tap) {
    lp_builder *b = &s->k.b;
    if (!s->w->weight) return NULL;
    at = add(b, at, mul(b, lp_index(b, tap), dim(s, s->w->weight->strides[1 + s->last])));
    return cg_load(b, s->w->weight->dtype, lanes, s->weight, at, lp_index(b, 1));
}

/* at: of the element under tap 0 of the tile's first column, in x; weight_at: of tap 0 in the weight. */
static void row_of_taps(state *s, const tile *t, unsigned lanes, lp_value *at, lp_value *weight_at,
                        lp_value **acc) {
    lp_builder *b = &s->k.b;
    const ir_window *w = &s->w->window;
    int64_t taps = number(w->kernel[s->last]), stride = w->stride[s->last],
            gap = w->dilation[s->last];
    lp_value *weights[MAX_TAPS], *step = dim(s, s->w->x->strides[1 + s->last]);
    for (int64_t i = 0; i < taps; i++)
        weights[i] = load_weight(s, lanes, weight_at, i);
    for (int64_t e = 0; e <= (t->n - 1) * stride + (taps - 1) * gap; e++) {
        lp_value *x = NULL;
        for (unsigned j = 0; j < t->n; j++) {
            int64_t far = e - j * stride, tap = far / gap;
            if (far < 0 || far % gap || tap >= taps || !is_inside(s, t, j, tap)) continue;
            if (!x) x = load_x(s, lanes, add(b, at, mul(b, lp_index(b, e), step)));
            acc[j] = join(s, acc[j], x, weights[tap]);
        }
    }
}

/* The same for one column whose taps only the run knows. */
static void taps_in_range(state *s, const tile *t, unsigned lanes, lp_value *at,
                          lp_value *weight_at, lp_value **acc) {
    lp_builder *b = &s->k.b;
    const ir_window *w = &s->w->window;
    lp_value *step = mul(b, dim(s, s->w->x->strides[1 + s->last]),
                         lp_index(b, w->dilation[s->last]));
    lp_loop l = lp_for_begin(b, t->range->lo, t->range->hi, lp_index(b, 1), acc, 1);
    lp_value *x = load_x(s, lanes, add(b, at, mul(b, l.counter, step))), *weight = NULL;
    if (s->w->weight) {
        lp_value *far = mul(b, l.counter, dim(s, s->w->weight->strides[1 + s->last]));
        weight = cg_load(b, s->w->weight->dtype, lanes, s->weight, add(b, weight_at, far),
                         lp_index(b, 1));
    }
    lp_value *next = join(s, l.carried[0], x, weight);
    lp_for_end(b, &l, &next);
    acc[0] = l.results[0];
}

/* ---- all taps ---------------------------------------------------------------------------------------------------------- */

static void taps_from(state *s, const tile *t, int32_t axis, unsigned lanes, lp_value *at,
                      lp_value *weight_at, lp_value **acc) {
    lp_builder *b = &s->k.b;
    if (axis == s->last) {
        (t->range ? taps_in_range : row_of_taps)(s, t, lanes, at, weight_at, acc);
        return;
    }
    const tap_range *r = &s->range[axis];
    lp_loop l = lp_for_begin(b, r->lo, r->hi, lp_index(b, 1), acc, t->n);
    lp_value *next[MAX_TILE], *i;
    memcpy(next, l.carried, t->n * sizeof *next);
    i = add(b, r->start, mul(b, l.counter, lp_index(b, s->w->window.dilation[axis])));
    at = add(b, at, mul(b, i, dim(s, s->w->x->strides[1 + axis])));
    if (s->w->weight)
        weight_at = add(b, weight_at, mul(b, l.counter, dim(s, s->w->weight->strides[1 + axis])));
    taps_from(s, t, axis + 1, lanes, at, weight_at, next);
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, t->n * sizeof *acc);
}

/* ---- results ----------------------------------------------------------------------------------------------------------- */

static lp_value *taps_that_count(state *s, const tile *t, unsigned j) {
    lp_builder *b = &s->k.b;
    const ir_window *w = &s->w->window;
    lp_value *count = lp_index(b, 1);
    for (int32_t i = 0; i <= s->last; i++) {
        const tap_range *r = i < s->last ? &s->range[i] : t->range;
        lp_value *n = dim(s, w->kernel[i]);
        if (!s->w->counts_padding && r) n = sub(b, r->hi, r->lo);
        if (!s->w->counts_padding && !r) {
            int64_t inside = 0;
            for (int64_t tap = 0; tap < number(w->kernel[i]); tap++)
                inside += is_inside(s, t, j, tap);
            n = lp_index(b, inside);
        }
        count = mul(b, count, n);
    }
    return lp_bin(b, LP_max, count, lp_index(b, 1));
}

static lp_value *finish(state *s, const tile *t, unsigned j, unsigned lanes, lp_value *channel,
                        lp_value *sum) {
    lp_builder *b = &s->k.b;
    const cg_epilogue *e = &s->w->epilogue;
    lp_value *places[CG_MAX_NEST_VIEWS], *column = add(b, t->first, lp_index(b, j));
    if (s->w->kind == CG_WINDOW_MEAN) {
        lp_value *n = lp_cast(b, taps_that_count(s, t, j), s->compute);
        return lp_bin(b, LP_div, sum, lp_broadcast(b, n, lanes));
    }
    for (uint32_t i = 0; i < e->n; i++) {
        const cg_view *v = e->views[i];
        if (!v) continue;
        places[i] = add(b, s->extra_row[i], mul(b, column, dim(s, v->strides[1 + s->last])));
        places[i] = add(b, places[i], mul(b, channel, dim(s, v->strides[2 + s->last])));
    }
    return cg_epilogue_apply(e, &s->k, lanes, places, 2 + s->last, sum);
}

static lp_value *first_value(state *s, unsigned lanes) {
    lp_type t = lp_vec(s->compute, lanes);
    bool is_float = ir_dtype_is_float(s->compute);
    if (s->w->kind != CG_WINDOW_MAX) return lp_const_f(&s->k.b, t, 0);
    if (is_float) return lp_const_f(&s->k.b, t, -INFINITY);
    uint32_t bits = ir_dtype_bits(s->compute);
    bool is_signed = ir_dtype_is_signed(s->compute);
    return lp_const_i(&s->k.b, t, is_signed ? -((int64_t)1 << (bits - 1)) : 0);
}

static void emit_channels(state *s, const tile *t, unsigned lanes, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    const ir_window *w = &s->w->window;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, lanes), NULL, 0);
    lp_value *acc[MAX_TILE], *column = mul(b, t->first, lp_index(b, w->stride[s->last]));
    column = sub(b, column, dim(s, w->before[s->last]));
    lp_value *at = add(b, s->x_row, mul(b, column, dim(s, s->w->x->strides[1 + s->last])));
    for (unsigned j = 0; j < t->n; j++)
        acc[j] = first_value(s, lanes);
    taps_from(s, t, 0, lanes, add(b, at, l.counter), l.counter, acc);
    for (unsigned j = 0; j < t->n; j++)
        acc[j] = finish(s, t, j, lanes, l.counter, acc[j]);
    for (unsigned j = 0; j < t->n; j++) {
        lp_value *place = mul(b, add(b, t->first, lp_index(b, j)),
                              dim(s, s->w->y->strides[1 + s->last]));
        cg_store(b, s->w->y->dtype, lanes, s->y, add(b, add(b, s->y_row, place), l.counter),
                 lp_index(b, 1), acc[j]);
    }
    lp_for_end(b, &l, NULL);
}

static void emit_tile(state *s, const tile *t) {
    lp_builder *b = &s->k.b;
    unsigned lanes = s->w->g->target->lanes_f32;
    int64_t channels;
    lp_value *n = dim(s, s->w->y->dims[2 + s->last]), *zero = lp_index(b, 0), *mid = zero;
    bool known = ir_dim_is_const(s->w->y->dims[2 + s->last], &channels);
    if (!known || channels >= lanes) {
        mid = mul(b, quotient(b, n, lp_index(b, lanes)), lp_index(b, lanes));
        emit_channels(s, t, lanes, zero, mid);
    }
    if (!known || channels % lanes) emit_channels(s, t, 1, mid, n);
}

/* ---- columns ----------------------------------------------------------------------------------------------------------- */

/* ceil(n / d) for n that may be below 0, where any result up to 0 is as good as another. */
static lp_value *steps_up(lp_builder *b, lp_value *n, int64_t d) {
    return d == 1 ? n : quotient(b, add(b, n, lp_index(b, d - 1)), lp_index(b, d));
}

static tap_range cut_range(state *s, int32_t axis, lp_value *position) {
    lp_builder *b = &s->k.b;
    const ir_window *w = &s->w->window;
    lp_value *zero = lp_index(b, 0), *size = dim(s, w->size[axis]);
    tap_range r;
    r.start = sub(b, mul(b, position, lp_index(b, w->stride[axis])), dim(s, w->before[axis]));
    r.lo = lp_bin(b, LP_max, steps_up(b, sub(b, zero, r.start), w->dilation[axis]), zero);
    r.hi = lp_bin(b, LP_min, steps_up(b, sub(b, size, r.start), w->dilation[axis]),
                  dim(s, w->kernel[axis]));
    return r;
}

/* Tiles of n columns [lo, hi) without padding, of which there are n at least; the last one ends at hi. */
static void emit_inner(state *s, unsigned n, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, n), NULL, 0);
    tile t = {.n = n, .known = -1};
    t.first = lp_bin(b, LP_min, l.counter, sub(b, hi, lp_index(b, n)));
    emit_tile(s, &t);
    lp_for_end(b, &l, NULL);
}

/* One by one. */
static void emit_singles(state *s, bool inside, lp_value *lo, lp_value *hi) {
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, 1), NULL, 0);
    tap_range r = cut_range(s, s->last, l.counter);
    tile t = {.n = 1, .known = -1, .first = l.counter, .range = inside ? NULL : &r};
    emit_tile(s, &t);
    lp_for_end(b, &l, NULL);
}

/* Columns [left, right) read no padding. */
static void inner_columns(const state *s, const ir_dim **left, const ir_dim **right) {
    ir_ctx *c = s->w->g->c;
    const ir_window *w = &s->w->window;
    const ir_dim *stride = cg_dc(s->w->g, w->stride[s->last]), *out = w->out[s->last];
    const ir_dim *room = ir_dim_sub(c, ir_dim_add(c, w->size[s->last], w->before[s->last]),
                                    ir_window_reach(w, c, s->last));
    *left = ir_dim_min(c, ir_dim_ceildiv(c, w->before[s->last], stride), out);
    *right = ir_dim_add(c, ir_dim_floordiv(c, room, stride), cg_dc(s->w->g, 1));
    *right = ir_dim_max(c, ir_dim_min(c, *right, out), *left);
}

/* As many columns as fit without repeating many. */
static unsigned choose_tile(int64_t columns) {
    unsigned best = 1;
    int64_t least = INT64_MAX;
    for (unsigned n = MAX_TILE; n >= MAX_TILE / 2; n--) {
        int64_t done = (columns + n - 1) / n * n;
        if (n > columns || done >= least) continue;
        least = done, best = n;
    }
    return best > 1 ? best : (unsigned)columns;
}

static void emit_known_tile(state *s, int64_t first, int64_t n) {
    tile t = {.n = (unsigned)n, .known = first, .first = lp_index(&s->k.b, first)};
    emit_tile(s, &t);
}

/* A row of known length: tiles for its ends, others between them. */
static void emit_known_row(state *s, int64_t columns, int64_t left, int64_t right) {
    lp_builder *b = &s->k.b;
    int64_t n = choose_tile(columns), lo = 0, hi = columns;
    if (!columns) return;
    while (lo < left) {
        emit_known_tile(s, lo, lo + n < hi ? n : hi - lo);
        lo = lo + n < hi ? lo + n : hi;
    }
    while (hi > lo && hi > right) {
        int64_t from = hi - n > lo ? hi - n : lo;
        emit_known_tile(s, from, hi - from);
        hi = from;
    }
    if (hi - lo >= n)
        emit_inner(s, (unsigned)n, lp_index(b, lo), lp_index(b, hi));
    else if (hi > lo)
        emit_known_tile(s, lo, hi - lo);
}

static void emit_row(state *s) {
    lp_builder *b = &s->k.b;
    const ir_dim *left, *right, *out = s->w->window.out[s->last];
    int64_t columns, size;
    inner_columns(s, &left, &right);
    if (ir_dim_is_const(out, &columns) && ir_dim_is_const(s->w->window.size[s->last], &size)) {
        emit_known_row(s, columns, number(left), number(right));
        return;
    }
    lp_value *lo = dim(s, left), *hi = dim(s, right), *n = lp_index(b, MAX_TILE / 2);
    emit_singles(s, false, lp_index(b, 0), lo);
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_ge, sub(b, hi, lo), n), NULL, 0);
    emit_inner(s, MAX_TILE / 2, lo, hi);
    lp_if_else(b, &l, NULL);
    emit_singles(s, true, lo, hi);
    lp_if_end(b, &l, NULL);
    emit_singles(s, false, hi, dim(s, out));
}

/* ---- the kernel -------------------------------------------------------------------------------------------------------- */

static void bind(state *s) {
    cg_window_last *w = s->w;
    s->x = cg_kernel_in(&s->k, w->x, false);
    s->y = cg_kernel_out(&s->k, w->y, cg_view_is_whole(w->g, w->y));
    if (w->weight) s->weight = cg_kernel_in(&s->k, w->weight, false);
    cg_epilogue_bind(&w->epilogue, &s->k);
}

void cg_window_last_run(cg_window_last *w) {
    cg *g = w->g;
    state *s = TL_NEW(g->arena, state);
    *s = (state){.w = w, .last = w->window.axes - 1, .compute = ir_dtype_compute(w->x->dtype)};
    s->k = cg_kernel_begin(g, w->node, cg_dims_product(g, w->y->dims, w->window.axes));
    bind(s);
    lp_builder *b = &s->k.b;
    lp_loop l = lp_for_begin(b, s->k.begin, s->k.end, lp_index(b, 1), NULL, 0);
    lp_value *index[IR_MAX_RANK];
    cg_unravel(&s->k, l.counter, w->y->dims, w->window.axes, index);
    for (int32_t i = 0; i < s->last; i++)
        s->range[i] = cut_range(s, i, index[1 + i]);
    s->x_row = mul(b, index[0], dim(s, w->x->strides[0]));
    s->y_row = cg_offset(&s->k, w->y, index, w->window.axes);
    for (uint32_t i = 0; i < w->epilogue.n; i++)
        if (w->epilogue.views[i])
            s->extra_row[i] = cg_offset(&s->k, w->epilogue.views[i], index, w->window.axes);
    emit_row(s);
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&s->k, "%s, channels last", op_get(w->node->op)->name);
}
