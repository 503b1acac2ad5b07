/* One channel under a window: MaxPool, AveragePool, LpPool, and convolutions of one channel per group. Rows of the result are split among the threads, and in each row
 *
 *   columns whose windows reach into the padding     one at a time, taps cut to those inside
 *   columns between                                  vectors of neighbours, all taps of the last axis
 *
 * Along the other axes the taps inside are the bounds of loops, computed once per row. So nothing is copied to be padded and no element
 * is tested for being inside. f32[N,C,H,W] with a 3x3 window: three vectors for each of the (up to) three rows of x. */
#include "codegen/kernels/epilogue.h"
#include "codegen/kernels/pool_bytes.h"
#include "codegen/kernels/window_last.h"
#include "codegen/layout.h"
#include "codegen/lower/conv_packed.h"
#include "codegen/lower/short.h"

#include "ir/window.h"

#include <math.h>

enum { MAX_UNROLL = 8, MAX_ACC = 2, MAX_BYTE_TAPS = 256 };

/* The taps of one axis that lie inside x: [lo, hi), the first tap being at element `start`. */
typedef struct tap_range {
    lp_value *start, *lo, *hi;
    lp_value *counted; /* that the mean divides by */
} tap_range;

typedef struct pool {
    cg *g;
    ir_node *node;
    cg_kernel k;
    const cg_view *x, *y, *indices; /* indices: NULL = not wanted */
    const cg_view *weight;          /* of a convolution: [features, 1, taps...]; else NULL */
    int64_t features;               /* per channel of x */
    cg_epilogue epilogue;
    ir_window w;
    ir_dtype compute;
    const ir_dim *place[IR_MAX_RANK]; /* what a step along an axis adds to an index */
    lp_value *px, *py, *pi, *pw;
    tap_range range[IR_MAX_RANK]; /* of this row; the last axis': of this column */
} pool;

/* ---- one tap ------------------------------------------------------------------------------------------------------ */

static bool is_max(const pool *p) {
    return p->node->op == OP_MaxPool;
}

static lp_value *lowest(lp_builder *b, ir_dtype t, unsigned lanes) {
    lp_type type = lp_vec(t, lanes);
    if (ir_dtype_is_float(t)) return lp_const_f(b, type, -INFINITY);
    uint32_t bits = ir_dtype_bits(t);
    return lp_const_i(b, type, ir_dtype_is_signed(t) ? -((int64_t)1 << (bits - 1)) : 0);
}

/* Value and place of the larger one; the earlier where they are equal, a NaN before all others. */
static void take_larger(pool *p, lp_value *v, lp_value *place, lp_value **acc) {
    lp_builder *b = &p->k.b;
    lp_value *take = lp_bin(b, LP_or, lp_bin(b, LP_gt, v, acc[0]),
                            lp_bin(b, LP_lt, acc[1], lp_index(b, 0)));
    if (ir_dtype_is_float(p->compute)) {
        lp_value *nan = lp_bin(b, LP_ne, v, v), *number = lp_bin(b, LP_eq, acc[0], acc[0]);
        take = lp_bin(b, LP_or, take, lp_bin(b, LP_and, nan, number));
    }
    acc[0] = lp_select(b, take, v, acc[0]);
    acc[1] = lp_select(b, take, place, acc[1]);
}

static void add_tap(pool *p, unsigned lanes, lp_value *at, lp_value *place, lp_value **acc) {
    lp_builder *b = &p->k.b;
    int32_t last = p->w.axes - 1;
    lp_value *step = cg_kernel_dim(
        &p->k, ir_dim_mul(p->g->c, p->x->strides[2 + last], cg_dc(p->g, p->w.stride[last])));
    lp_value *v = cg_load(b, p->x->dtype, lanes, p->px, at, step);
    int64_t power = ir_attr_int(p->node, "p", 2);
    if (p->weight) {
        lp_value *w = lp_load(b, lp_scalar(p->weight->dtype), p->pw, place);
        acc[0] = lp_fma(b, v, lp_broadcast(b, w, lanes), acc[0]);
    } else if (p->indices) {
        take_larger(p, v, place, acc);
    } else if (is_max(p)) {
        acc[0] = lp_bin(b, LP_max, acc[0], v);
    } else if (p->node->op == OP_AveragePool) {
        acc[0] = add(b, acc[0], v);
    } else if (power == 2) {
        acc[0] = lp_fma(b, v, v, acc[0]);
    } else {
        lp_value *x[2] = {lp_un(b, LP_abs, v), lp_const_f(b, v->type, (double)power)};
        acc[0] = add(b, acc[0], power == 1 ? x[0] : cg_vmath(b, SC_POW, x));
    }
}

/* ---- loops over taps ----------------------------------------------------------------------------------------------- */

static uint32_t n_acc(const pool *p) {
    return p->indices ? 2 : 1;
}

static void taps_from(pool *p, int32_t axis, unsigned lanes, lp_value *at, lp_value *place,
                      lp_value **acc);

/* Tap t of an axis, and all taps of the axes behind it. */
static void one_tap(pool *p, int32_t axis, unsigned lanes, lp_value *t, lp_value *at,
                    lp_value *place, lp_value **acc) {
    lp_builder *b = &p->k.b;
    lp_value *i = add(b, p->range[axis].start, mul(b, t, lp_index(b, p->w.dilation[axis])));
    at = add(b, at, mul(b, i, cg_kernel_dim(&p->k, p->x->strides[2 + axis])));
    if (p->indices) place = add(b, place, mul(b, i, cg_kernel_dim(&p->k, p->place[axis])));
    if (p->weight)
        place = add(b, place, mul(b, t, cg_kernel_dim(&p->k, p->weight->strides[2 + axis])));
    if (axis == p->w.axes - 1)
        add_tap(p, lanes, at, place, acc);
    else
        taps_from(p, axis + 1, lanes, at, place, acc);
}

static void taps_from(pool *p, int32_t axis, unsigned lanes, lp_value *at, lp_value *place,
                      lp_value **acc) {
    lp_builder *b = &p->k.b;
    const tap_range *r = &p->range[axis];
    int64_t lo, hi;
    if (lp_value_is_const_i(r->lo, &lo) && lp_value_is_const_i(r->hi, &hi) &&
        hi - lo <= MAX_UNROLL) {
        for (int64_t t = lo; t < hi; t++)
            one_tap(p, axis, lanes, lp_index(b, t), at, place, acc);
        return;
    }
    lp_loop l = lp_for_begin(b, r->lo, r->hi, lp_index(b, 1), acc, n_acc(p));
    lp_value *next[MAX_ACC];
    memcpy(next, l.carried, n_acc(p) * sizeof *next);
    one_tap(p, axis, lanes, l.counter, at, place, next);
    lp_for_end(b, &l, next);
    memcpy(acc, l.results, n_acc(p) * sizeof *acc);
}

/* ---- one window ---------------------------------------------------------------------------------------------------- */

static lp_value *mean(pool *p, lp_value *sum) {
    lp_builder *b = &p->k.b;
    lp_value *count = lp_index(b, 1);
    for (int32_t i = 0; i < p->w.axes; i++)
        count = mul(b, count, p->range[i].counted);
    count = lp_cast(b, lp_bin(b, LP_max, count, lp_index(b, 1)), p->compute);
    return lp_bin(b, LP_div, sum, lp_broadcast(b, count, sum->type.lanes));
}

static lp_value *root(pool *p, lp_value *sum) {
    lp_builder *b = &p->k.b;
    int64_t power = ir_attr_int(p->node, "p", 2);
    if (power == 1) return sum;
    if (power == 2) return lp_un(b, LP_sqrt, sum);
    lp_value *x[2] = {sum, lp_const_f(b, sum->type, 1 / (double)power)};
    return cg_vmath(b, SC_POW, x);
}

/* Places of a row's plane in x, of its first element in the results and beside them; its plane's number. */
typedef struct row {
    lp_value *x, *y, *i, *plane, *weight, *extras[CG_MAX_NEST_VIEWS];
} row;

static lp_value *finish(pool *p, const row *r, unsigned lanes, lp_value *column, lp_value *v) {
    lp_builder *b = &p->k.b;
    lp_value *at[CG_MAX_NEST_VIEWS];
    int32_t axis = p->y->rank - 1;
    if (p->node->op == OP_AveragePool) return mean(p, v);
    if (p->node->op == OP_LpPool) return root(p, v);
    for (uint32_t i = 0; i < p->epilogue.n; i++)
        if (p->epilogue.views[i])
            at[i] = add(b, r->extras[i],
                        mul(b, column, cg_kernel_dim(&p->k, p->epilogue.views[i]->strides[axis])));
    return cg_epilogue_apply(&p->epilogue, &p->k, lanes, at, axis, v);
}

/* The element (or `lanes` of them) at this column of a row. */
static void emit_window(pool *p, const row *r, unsigned lanes, lp_value *column) {
    lp_builder *b = &p->k.b;
    int32_t axis = p->y->rank - 1;
    lp_value *y_at = add(b, r->y, mul(b, column, cg_kernel_dim(&p->k, p->y->strides[axis])));
    lp_value *acc[MAX_ACC] = {is_max(p) ? lowest(b, p->compute, lanes)
                                        : lp_const_f(b, lp_vec(p->compute, lanes), 0),
                              lp_index(b, -1)};
    taps_from(p, 0, lanes, r->x, p->weight ? r->weight : lp_index(b, 0), acc);
    acc[0] = finish(p, r, lanes, column, acc[0]);
    cg_store(b, p->y->dtype, lanes, p->py, y_at, lp_index(b, 1), acc[0]);
    if (!p->indices) return;
    lp_value *size = cg_kernel_dim(&p->k, cg_dims_product(p->g, p->w.size, p->w.axes)),
             *none = lp_bin(b, LP_lt, acc[1], lp_index(b, 0));
    lp_value *index = lp_select(b, none, acc[1], add(b, mul(b, r->plane, size), acc[1]));
    lp_value *step = cg_kernel_dim(&p->k, p->indices->strides[axis]);
    lp_store(b, p->pi, add(b, r->i, mul(b, column, step)), index);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

/* ceil(n / d) for n that may be below 0, where any result up to 0 is as good as another. */
static lp_value *steps_up(lp_builder *b, lp_value *n, int64_t d) {
    return d == 1 ? n : lp_bin(b, LP_div, add(b, n, lp_index(b, d - 1)), lp_index(b, d));
}

/* Of the window at position `o` of an axis, taps inside x. */
static tap_range cut_range(pool *p, int32_t axis, lp_value *o) {
    lp_builder *b = &p->k.b;
    cg_kernel *k = &p->k;
    const ir_window *w = &p->w;
    lp_value *zero = lp_index(b, 0), *kernel = cg_kernel_dim(k, w->kernel[axis]),
             *size = cg_kernel_dim(k, w->size[axis]);
    tap_range r;
    r.start = sub(b, mul(b, o, lp_index(b, w->stride[axis])), cg_kernel_dim(k, w->before[axis]));
    r.lo = lp_bin(b, LP_max, steps_up(b, sub(b, zero, r.start), w->dilation[axis]), zero);
    r.hi = lp_bin(b, LP_min, steps_up(b, sub(b, size, r.start), w->dilation[axis]), kernel);
    if (ir_dim_is(w->before[axis], 0)) r.lo = zero;
    lp_value *end = r.hi, *first = r.lo;
    if (ir_attr_int(p->node, "count_include_pad", 0)) {
        lp_value *padded = add(b, size, cg_kernel_dim(k, w->after[axis]));
        end = steps_up(b, sub(b, padded, r.start), w->dilation[axis]);
        end = lp_bin(b, LP_min, end, kernel);
        first = zero;
    }
    r.counted = lp_bin(b, LP_max, sub(b, end, first), zero);
    return r;
}

/* The same where all taps are known to be inside. */
static tap_range whole_range(pool *p, int32_t axis, lp_value *o) {
    lp_builder *b = &p->k.b;
    tap_range r = cut_range(p, axis, o);
    r.lo = lp_index(b, 0);
    r.hi = r.counted = cg_kernel_dim(&p->k, p->w.kernel[axis]);
    return r;
}

static void emit_columns(pool *p, const row *r, unsigned lanes, bool inside, lp_value *lo,
                         lp_value *hi) {
    lp_builder *b = &p->k.b;
    int32_t last = p->w.axes - 1;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, lanes), NULL, 0);
    p->range[last] = inside ? whole_range(p, last, l.counter) : cut_range(p, last, l.counter);
    emit_window(p, r, lanes, l.counter);
    lp_for_end(b, &l, NULL);
}

/* Columns [left, right) read no padding. */
static void inner_columns(pool *p, const ir_dim **left, const ir_dim **right) {
    ir_ctx *c = p->g->c;
    const ir_window *w = &p->w;
    int32_t last = w->axes - 1;
    const ir_dim *stride = cg_dc(p->g, w->stride[last]), *out = w->out[last];
    const ir_dim *room = ir_dim_sub(c, ir_dim_add(c, w->size[last], w->before[last]),
                                    ir_window_reach(w, c, last));
    *left = ir_dim_min(c, ir_dim_ceildiv(c, w->before[last], stride), out);
    *right = ir_dim_add(c, ir_dim_floordiv(c, room, stride), cg_dc(p->g, 1));
    *right = ir_dim_max(c, ir_dim_min(c, *right, out), *left);
}

static unsigned choose_lanes(const pool *p) {
    int32_t last = p->w.axes - 1;
    unsigned lanes = p->g->target->lanes_f32;
    int64_t n;
    if (p->indices || !ir_dim_is(p->y->strides[2 + last], 1)) return 1;
    while (lanes > 1 && ir_dim_is_const(p->w.out[last], &n) && lanes > n)
        lanes /= 2;
    return lanes < 4 ? 1 : lanes;
}

static void emit_row(pool *p, const row *r) {
    lp_builder *b = &p->k.b;
    const ir_dim *left, *right;
    inner_columns(p, &left, &right);
    lp_value *lo = cg_kernel_dim(&p->k, left), *hi = cg_kernel_dim(&p->k, right), *mid = lo;
    unsigned lanes = choose_lanes(p);
    if (!ir_dim_is(left, 0)) emit_columns(p, r, 1, false, lp_index(b, 0), lo);
    if (lanes > 1) {
        lp_value *w = lp_index(b, lanes);
        mid = add(b, lo, mul(b, lp_bin(b, LP_div, sub(b, hi, lo), w), w));
        emit_columns(p, r, lanes, true, lo, mid);
    }
    emit_columns(p, r, 1, true, mid, hi);
    lp_value *end = cg_kernel_dim(&p->k, p->w.out[p->w.axes - 1]);
    if (!ir_dim_equal(right, p->w.out[p->w.axes - 1])) emit_columns(p, r, 1, false, hi, end);
}

static row place_row(pool *p, lp_value *const *index) {
    lp_builder *b = &p->k.b;
    int32_t outer = p->y->rank - 1;
    lp_value *at[2] = {index[0], index[1]};
    if (p->weight) at[1] = quotient(b, index[1], lp_index(b, p->features));
    row r = {.x = cg_offset(&p->k, p->x, at, 2), .y = cg_offset(&p->k, p->y, index, outer)};
    r.plane = add(b, mul(b, index[0], cg_kernel_dim(&p->k, p->x->dims[1])), index[1]);
    if (p->indices) r.i = cg_offset(&p->k, p->indices, index, outer);
    if (p->weight) r.weight = mul(b, index[1], cg_kernel_dim(&p->k, p->weight->strides[0]));
    for (uint32_t i = 0; i < p->epilogue.n; i++)
        if (p->epilogue.views[i])
            r.extras[i] = cg_offset(&p->k, p->epilogue.views[i], index, outer);
    return r;
}

static void emit_kernel(pool *p) {
    cg *g = p->g;
    int32_t outer = p->y->rank - 1;
    p->k = cg_kernel_begin(g, p->node, cg_dims_product(g, p->y->dims, outer));
    p->px = cg_kernel_in(&p->k, p->x, false);
    p->py = cg_kernel_out(&p->k, p->y, cg_view_is_whole(g, p->y));
    if (p->indices) p->pi = cg_kernel_out(&p->k, p->indices, cg_view_is_whole(g, p->indices));
    if (p->weight) p->pw = cg_kernel_in(&p->k, p->weight, false);
    cg_epilogue_bind(&p->epilogue, &p->k);
    lp_builder *b = &p->k.b;
    lp_loop l = lp_for_begin(b, p->k.begin, p->k.end, lp_index(b, 1), NULL, 0);
    lp_value *index[IR_MAX_RANK];
    cg_unravel(&p->k, l.counter, p->y->dims, outer, index);
    for (int32_t i = 0; i < p->w.axes - 1; i++)
        p->range[i] = cut_range(p, i, index[2 + i]);
    row r = place_row(p, index);
    emit_row(p, &r);
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&p->k, "%s", op_get(p->node->op)->name);
}

/* Indices count the plane's elements row by row, or (storage_order 1) with the first axis running fastest. */
static void set_places(pool *p) {
    bool column_major = ir_attr_int(p->node, "storage_order", 0);
    const ir_dim *step = cg_dc(p->g, 1);
    for (int32_t i = 0; i < p->w.axes; i++) {
        int32_t axis = column_major ? i : p->w.axes - 1 - i;
        p->place[axis] = step;
        step = ir_dim_mul(p->g->c, step, p->w.size[axis]);
    }
}

/* ---- bytes with channels last ---------------------------------------------------------------------------------------- */

static bool lower_byte_pool(pool *p) {
    cg *g = p->g;
    ir_node *n = p->node;
    const cg_view *x = p->x, *y;
    cg_pool_bytes *b = TL_NEW(g->arena, cg_pool_bytes);
    bool fits = is_max(p) && !(n->n_out > 1 && n->out[1].uses) && cg_elem_bytes(x->dtype) == 1 &&
                ir_dtype_is_int(x->dtype) && !cg_is_packed(x->dtype) &&
                ir_dim_is(x->strides[1], 1) && !ir_attr_int(n, "ceil_mode", 0) &&
                ir_dim_is_const(x->dims[1], &b->channels) && b->channels > 1 &&
                b->channels <= CG_PLACES_MAX_CHANNELS;
    b->taps = 1;
    for (int32_t i = 0; fits && i < p->w.axes; i++) {
        int64_t size = 0;
        fits = ir_dim_is_const(p->w.kernel[i], &size) && size > 0;
        b->taps *= size;
    }
    if (!fits || b->taps > MAX_BYTE_TAPS || tl_map_get_ptr(&g->dests, &n->out[0])) return false;
    y = cg_to_last(g, cg_write_last(g, &n->out[0]));
    b->g = g, b->node = n, b->window = &p->w, b->x = cg_to_last(g, x);
    const ir_dim *dims[2] = {cg_dims_product(g, y->dims, y->rank - 1), y->dims[y->rank - 1]};
    b->y = cg_view_reshape(g, y, 2, dims);
    cg_max_pool_bytes(b);
    return true;
}

/* ---- weights --------------------------------------------------------------------------------------------------------- */

/* A packed weight, [1, taps * M], as [1,taps...,M]. */
static const cg_view *side_by_side(cg *g, ir_value *v, const ir_window *w) {
    int64_t taps = 1, elements = 0, n;
    const ir_dim *dims[IR_MAX_RANK] = {cg_dc(g, 1)};
    for (int32_t i = 0; i < w->axes; i++) {
        dims[1 + i] = w->kernel[i];
        if (ir_dim_is_const(w->kernel[i], &n)) taps *= n;
    }
    ir_dim_is_const(v->type->dims[1], &elements);
    dims[1 + w->axes] = cg_dc(g, elements / taps);
    return cg_view_reshape(g, cg_read(g, v), w->axes + 2, dims);
}

/* [M,1,taps...], as the model has it or packed. */
static const cg_view *window_weight(cg *g, ir_value *v, const ir_window *w) {
    if (v->type->rank != 2) return cg_read(g, v);
    int64_t perm[IR_MAX_RANK] = {1, 0};
    for (int32_t i = 2; i < w->axes + 2; i++)
        perm[i] = i;
    return cg_view_permute(g, cg_from_last(g, side_by_side(g, v, w)), perm);
}

/* ---- channels last ------------------------------------------------------------------------------------------------- */

/* A few taps along the last axis, which are written out. */
static bool has_short_rows(const ir_window *w) {
    enum { MOST = 16 };
    int64_t taps;
    return ir_dim_is_const(w->kernel[w->axes - 1], &taps) && taps <= MOST;
}

static bool can_do_last(const pool *p, const ir_node *n) {
    bool mean = n->op == OP_AveragePool, plain = mean || n->op == OP_MaxPool || p->weight;
    if (!cg_is_last(p->x) || !plain || p->indices || !has_short_rows(&p->w)) return false;
    if (p->weight) return p->features == 1 && n->in[1].value->type->rank == 2;
    bool counts = ir_attr_int(n, "count_include_pad", 0), ceil = ir_attr_int(n, "ceil_mode", 0);
    return !mean || (ir_dtype_is_float(p->compute) && !(counts && ceil));
}

/* The kernel for channels last on the operand as it lies. Where the result has a place in another order, it is copied there. */
static void run_last(pool *p) {
    cg *g = p->g;
    ir_node *n = p->node;
    cg_window_last *w = TL_NEW(g->arena, cg_window_last);
    *w = (cg_window_last){.g = g, .node = n, .window = p->w, .x = cg_to_last(g, p->x)};
    w->kind = p->weight ? CG_WINDOW_CONV : n->op == OP_MaxPool ? CG_WINDOW_MAX : CG_WINDOW_MEAN;
    w->counts_padding = ir_attr_int(n, "count_include_pad", 0);
    if (p->weight) w->weight = side_by_side(g, ir_in(n, 1), &p->w);
    w->epilogue = p->epilogue;
    for (uint32_t i = 0; i < w->epilogue.n; i++)
        if (w->epilogue.views[i]) w->epilogue.views[i] = cg_to_last(g, w->epilogue.views[i]);
    const cg_view *y = cg_to_last(g, cg_write_last(g, &n->out[0])), *temporary = NULL;
    int32_t last = y->rank - 1;
    if (!ir_dim_is(y->strides[last], 1) && !ir_dim_is(y->dims[last], 1)) {
        const ir_type *t = ir_type_tensor(g->c, y->dtype, y->rank, y->dims);
        const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t),
                                         cg_dc(g, cg_elem_bytes(y->dtype)));
        temporary = cg_view_dense(g, cg_buffer_create(g, bytes), t);
    }
    w->y = temporary ? temporary : y;
    cg_window_last_run(w);
    if (temporary) cg_copy(g, cg_from_last(g, temporary), cg_read(g, &n->out[0]));
}

/* ---- the nodes ------------------------------------------------------------------------------------------------------- */

bool lower_pool(cg *g, ir_node *n) {
    pool *p = TL_NEW(g->arena, pool);
    *p = (pool){.g = g, .node = n, .x = cg_read(g, ir_in(n, 0))};
    p->compute = ir_dtype_compute(p->x->dtype);
    const char *problem = ir_window_init(&p->w, g->c, n, p->x->rank - 2, p->x->dims + 2, NULL);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    if (lower_byte_pool(p)) return true;
    bool wants_indices = n->n_out > 1 && n->out[1].uses;
    if (!wants_indices && can_do_last(p, n)) {
        run_last(p);
        return true;
    }
    p->y = cg_write(g, &n->out[0]);
    if (wants_indices) p->indices = cg_write(g, &n->out[1]);
    set_places(p);
    emit_kernel(p);
    return true;
}

bool cg_lower_depthwise(cg *g, ir_node *n) {
    pool *p = TL_NEW(g->arena, pool);
    *p = (pool){.g = g, .node = n, .x = cg_read(g, ir_in(n, 0))};
    p->compute = ir_dtype_compute(p->x->dtype);
    p->features = ir_attr_int(n, "features", 1) / ir_attr_int(n, "group", 1);
    const char *problem = ir_window_init(&p->w, g->c, n, p->x->rank - 2, p->x->dims + 2, NULL);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    p->weight = window_weight(g, ir_in(n, 1), &p->w);
    cg_epilogue_read(&p->epilogue, g, n);
    if (can_do_last(p, n)) {
        run_last(p);
        return true;
    }
    p->y = cg_write(g, &n->out[0]);
    emit_kernel(p);
    return true;
}
