/* Loop nests over an index space, for everything elementwise: rows split among the threads, the innermost axis in vectors with a
 * scalar tail; see lower.h.
 *
 *   y[b,t,c] = f(x[b,t,c], s[c])  on [batch, 8, 256]   becomes
 *   for %row = %begin to %end {                         // batch*8 rows, merged since both operands step evenly
 *     for %j = 0 to 256 step 8 { ... f32x8 ... }
 *   }
 *
 * Axes are merged where all operands allow it. A last axis shorter than a few vectors is merged with the one before it, a longer one
 * stays apart, so that its rows are the same pieces as the rows of the products and normalisations around it (no barrier between). */
#include "codegen/kernels/transposed_copy.h"
#include "codegen/layout.h"

#include "ir/base/assert.h"

enum { MIN_ROW = 32, FLAT_BLOCK = 512, MAX_EVERY_SECOND = 32 };

/* ---- merging axes ---------------------------------------------------------------------------------------------- */

typedef struct space {
    int32_t rank;
    const ir_dim *dims[IR_MAX_RANK_NEST];
    const ir_dim *strides[CG_MAX_NEST_VIEWS][IR_MAX_RANK_NEST]; /* inputs, then outputs */
} space;

static uint32_t n_views(const cg_nest *s) {
    return s->n_in + s->n_out;
}
static const cg_view *view_at(const cg_nest *s, uint32_t i) {
    return i < s->n_in ? s->in[i] : s->out[i - s->n_in];
}

static bool can_merge(const cg_nest *s, const space *sp, int32_t outer, const ir_dim *inner_dim,
                      const ir_dim *const *inner_strides) {
    for (uint32_t i = 0; i < n_views(s); i++) {
        const ir_dim *step = ir_dim_mul(s->g->c, inner_strides[i], inner_dim);
        if (!ir_dim_equal(sp->strides[i][outer], step)) return false;
    }
    return true;
}

static bool is_long(const ir_dim *d) {
    int64_t n;
    return !ir_dim_is_const(d, &n) || n >= MIN_ROW;
}

/* Appends axis `d` of the nest to the space, into the last axis where that is possible and wanted. */
static void add_axis(const cg_nest *s, space *sp, int32_t d) {
    const ir_dim *strides[CG_MAX_NEST_VIEWS];
    for (uint32_t i = 0; i < n_views(s); i++)
        strides[i] = view_at(s, i)->strides[d];
    bool innermost = d == s->rank - 1;
    bool merge = sp->rank > 0 && !s->needs_index &&
                 can_merge(s, sp, sp->rank - 1, s->dims[d], strides) &&
                 !(innermost && is_long(s->dims[d]));
    int32_t at = merge ? sp->rank - 1 : sp->rank++;
    sp->dims[at] = merge ? ir_dim_mul(s->g->c, sp->dims[at], s->dims[d]) : s->dims[d];
    for (uint32_t i = 0; i < n_views(s); i++)
        sp->strides[i][at] = strides[i];
}

static void make_space(const cg_nest *s, space *sp) {
    sp->rank = 0;
    for (int32_t d = 0; d < s->rank; d++) {
        bool skip = ir_dim_is(s->dims[d], 1) && !s->needs_index;
        if (!skip) add_axis(s, sp, d);
    }
    if (sp->rank) return;
    sp->rank = 1;
    sp->dims[0] = cg_dc(s->g, 1);
    for (uint32_t i = 0; i < n_views(s); i++)
        sp->strides[i][0] = cg_dc(s->g, 0);
}

/* ---- loads and stores -------------------------------------------------------------------------------------------- */

static lp_value *lane_indices(lp_builder *b, unsigned lanes, lp_value *index, lp_value *stride) {
    lp_value *steps = lp_iota(b, lp_vec(DT_i64, lanes));
    steps = lp_bin(b, LP_mul, steps, lp_broadcast(b, stride, lanes));
    return lp_bin(b, LP_add, steps, lp_broadcast(b, index, lanes));
}

/* Two loads that overlap by an element, so that nothing is read behind the last one that counts. */
static lp_value *load_every_second(lp_builder *b, lp_type t, lp_value *ptr, lp_value *index) {
    int32_t mask[MAX_EVERY_SECOND], lanes = t.lanes;
    for (int32_t i = 0; i < lanes; i++)
        mask[i] = 2 * i < lanes ? 2 * i : 2 * i + 1;
    lp_value *low = lp_load(b, t, ptr, index),
             *high = lp_load(b, t, ptr, lp_bin(b, LP_add, index, lp_index(b, lanes - 1)));
    return lp_shuffle(b, low, high, mask, t.lanes);
}

static lp_value *load_as(lp_builder *b, ir_dtype t, ir_dtype as, unsigned lanes, lp_value *ptr,
                         lp_value *index, lp_value *stride) {
    int64_t step = 0;
    bool known = lp_value_is_const_i(stride, &step);
    if (lanes == 1 || (known && step == 0)) {
        lp_value *x = lp_load(b, lp_scalar(t), ptr, index);
        return lp_broadcast(b, lp_cast(b, x, as), lanes);
    }
    lp_type type = lp_vec(t, lanes);
    if (known && step == 1) return lp_cast(b, lp_load(b, type, ptr, index), as);
    if (known && step == 2 && lanes <= MAX_EVERY_SECOND)
        return lp_cast(b, load_every_second(b, type, ptr, index), as);
    return lp_cast(b, lp_gather(b, type, ptr, lane_indices(b, lanes, index, stride)), as);
}

lp_value *cg_load(lp_builder *b, ir_dtype t, unsigned lanes, lp_value *ptr, lp_value *index,
                  lp_value *stride) {
    return load_as(b, t, ir_dtype_compute(t), lanes, ptr, index, stride);
}

void cg_store(lp_builder *b, ir_dtype t, unsigned lanes, lp_value *ptr, lp_value *index,
              lp_value *stride, lp_value *x) {
    int64_t step = 0;
    if (x->type.elem != t) x = lp_cast(b, x, t);
    if (lanes == 1 || (lp_value_is_const_i(stride, &step) && step == 1))
        lp_store(b, ptr, index, x);
    else
        lp_scatter(b, ptr, lane_indices(b, lanes, index, stride), x);
}

lp_value *cg_offset(cg_kernel *k, const cg_view *v, lp_value *const *index, int32_t rank) {
    lp_value *sum = lp_index(&k->b, 0);
    for (int32_t i = 0; i < rank; i++) {
        if (ir_dim_is(v->strides[i], 0)) continue;
        sum = lp_bin(&k->b, LP_add, sum,
                     lp_bin(&k->b, LP_mul, index[i], cg_kernel_dim(k, v->strides[i])));
    }
    return sum;
}

void cg_unravel(cg_kernel *k, lp_value *row, const ir_dim *const *dims, int32_t rank,
                lp_value **index) {
    for (int32_t i = rank - 1; i > 0; i--) {
        if (ir_dim_is(dims[i], 1)) {
            index[i] = lp_index(&k->b, 0);
            continue;
        }
        lp_value *n = cg_kernel_dim(k, dims[i]);
        index[i] = lp_bin(&k->b, LP_rem, row, n);
        row = lp_bin(&k->b, LP_div, row, n);
    }
    if (rank > 0) index[0] = row;
}

void cg_fail_if(cg_kernel *k, lp_value *bad, int64_t failure, lp_value *x, lp_value *y) {
    lp_builder *b = &k->b;
    lp_loop l = lp_if_begin(b, bad, NULL, 0);
    lp_value *args[4] = {cg_kernel_frame(k), lp_index(b, failure), x, y};
    lp_call(b, "tlbc_rt_fail", lp_scalar(LP_VOID), args, 4);
    lp_if_end(b, &l, NULL);
}

lp_value *cg_checked_index(cg_kernel *k, lp_value *index, lp_value *n, int64_t failure) {
    lp_builder *b = &k->b;
    lp_value *zero = lp_index(b, 0), *negative = lp_bin(b, LP_lt, index, zero);
    lp_value *i = lp_select(b, negative, lp_bin(b, LP_add, index, n), index);
    lp_value *bad = lp_bin(b, LP_lt, i, zero);
    bad = lp_bin(b, LP_or, bad, lp_bin(b, LP_ge, i, n));
    cg_fail_if(k, bad, failure, index, n);
    return lp_bin(b, LP_max, lp_bin(b, LP_min, i, lp_bin(b, LP_sub, n, lp_index(b, 1))), zero);
}

bool cg_view_is_whole(cg *g, const cg_view *v) {
    if (!ir_dim_is(v->offset, 0) || !cg_view_is_dense(g, v) || !v->buffer->bytes) return false;
    const ir_dim *bytes = ir_dim_mul(g->c, cg_dims_product(g, v->dims, v->rank),
                                     cg_dc(g, cg_elem_bytes(v->dtype)));
    return ir_dim_equal(bytes, v->buffer->bytes);
}

/* ---- the kernel ---------------------------------------------------------------------------------------------------- */

typedef struct nest_state {
    cg_nest *s;
    const space *sp;
    cg_kernel *k;
    lp_value *ptr[CG_MAX_NEST_VIEWS];
    lp_value *base[CG_MAX_NEST_VIEWS];   /* offset of the current row */
    lp_value *stride[CG_MAX_NEST_VIEWS]; /* along the innermost axis */
} nest_state;

static void emit_point(nest_state *st, unsigned lanes, lp_value *j) {
    cg_nest *s = st->s;
    lp_builder *b = &st->k->b;
    lp_value *in[CG_MAX_NEST_VIEWS], *out[CG_MAX_NEST_VIEWS];
    if (s->needs_index && s->rank) s->index[s->rank - 1] = j;
    for (uint32_t i = 0; i < s->n_in; i++) {
        lp_value *at = lp_bin(b, LP_add, st->base[i], lp_bin(b, LP_mul, j, st->stride[i]));
        ir_dtype t = s->in[i]->dtype, as = s->moves ? t : ir_dtype_compute(t);
        in[i] = load_as(b, t, as, lanes, st->ptr[i], at, st->stride[i]);
    }
    s->fn(s, lanes, in, out);
    for (uint32_t i = s->n_in; i < n_views(s); i++) {
        lp_value *at = lp_bin(b, LP_add, st->base[i], lp_bin(b, LP_mul, j, st->stride[i]));
        cg_store(b, view_at(s, i)->dtype, lanes, st->ptr[i], at, st->stride[i], out[i - s->n_in]);
    }
}

/* Vectors from lo while a whole one fits, then single elements. */
static void emit_row(nest_state *st, lp_value *lo, lp_value *hi, unsigned lanes) {
    lp_builder *b = &st->k->b;
    lp_value *one = lp_index(b, 1), *w = lp_index(b, lanes), *mid = lo;
    if (lanes > 1) {
        lp_value *n = lp_bin(b, LP_sub, hi, lo);
        mid = lp_bin(b, LP_add, lo, lp_bin(b, LP_mul, lp_bin(b, LP_div, n, w), w));
        lp_loop l = lp_for_begin(b, lo, mid, w, NULL, 0);
        emit_point(st, lanes, l.counter);
        lp_for_end(b, &l, NULL);
        int64_t a, z;
        if (lp_value_is_const_i(mid, &a) && lp_value_is_const_i(hi, &z) && a == z) return;
    }
    lp_loop l = lp_for_begin(b, mid, hi, one, NULL, 0);
    emit_point(st, 1, l.counter);
    lp_for_end(b, &l, NULL);
}

/* Vector width: 1 where the row is too short or a result is not contiguous along it. */
static unsigned choose_lanes(const cg_nest *s, const space *sp) {
    unsigned lanes = s->scalar ? 1 : s->lanes ? s->lanes : s->g->target->lanes_f32;
    int64_t n;
    if (ir_dim_is_const(sp->dims[sp->rank - 1], &n))
        while (lanes > 1 && lanes > n)
            lanes /= 2;
    for (uint32_t i = s->n_in; i < n_views(s); i++)
        if (!ir_dim_is(sp->strides[i][sp->rank - 1], 1) || ir_dtype_bits(view_at(s, i)->dtype) > 64)
            return 1;
    return lanes < 4 ? 1 : lanes;
}

static void bind_pointers(nest_state *st, bool rowwise_allowed) {
    cg_nest *s = st->s;
    for (uint32_t i = 0; i < n_views(s); i++) {
        const cg_view *v = view_at(s, i);
        bool rowwise = rowwise_allowed && cg_view_is_whole(s->g, v);
        st->ptr[i] = i < s->n_in ? cg_kernel_in(st->k, v, rowwise)
                                 : cg_kernel_out(st->k, v, rowwise);
        st->stride[i] = cg_kernel_dim(st->k, st->sp->strides[i][st->sp->rank - 1]);
    }
}

static void set_bases(nest_state *st, lp_value *const *index) {
    lp_builder *b = &st->k->b;
    int32_t outer = st->sp->rank - 1;
    for (uint32_t i = 0; i < n_views(st->s); i++) {
        st->base[i] = lp_index(b, 0);
        for (int32_t d = 0; d < outer; d++) {
            lp_value *step = lp_bin(b, LP_mul, index[d],
                                    cg_kernel_dim(st->k, st->sp->strides[i][d]));
            st->base[i] = lp_bin(b, LP_add, st->base[i], step);
        }
    }
}

/* One axis only: blocks of it are the units. */
static void emit_flat(nest_state *st, unsigned lanes) {
    lp_builder *b = &st->k->b;
    lp_value *n = cg_kernel_dim(st->k, st->sp->dims[0]), *block = lp_index(b, FLAT_BLOCK);
    bind_pointers(st, false);
    set_bases(st, NULL);
    lp_value *lo = lp_bin(b, LP_mul, st->k->begin, block);
    lp_value *hi = lp_bin(b, LP_min, lp_bin(b, LP_mul, st->k->end, block), n);
    emit_row(st, lo, hi, lanes);
}

static void emit_rows(nest_state *st, unsigned lanes) {
    lp_builder *b = &st->k->b;
    bind_pointers(st, true);
    lp_loop row = lp_for_begin(b, st->k->begin, st->k->end, lp_index(b, 1), NULL, 0);
    lp_value *index[IR_MAX_RANK_NEST];
    int32_t outer = st->sp->rank - 1;
    cg_unravel(st->k, row.counter, st->sp->dims, outer, index);
    if (st->s->needs_index)
        for (int32_t d = 0; d < outer; d++)
            st->s->index[d] = index[d];
    set_bases(st, index);
    emit_row(st, lp_index(b, 0), cg_kernel_dim(st->k, st->sp->dims[outer]), lanes);
    lp_for_end(b, &row, NULL);
}

cg_nest *cg_nest_over(cg *g, ir_node *n, const ir_type *t, cg_nest_fn *fn, void *data) {
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = t->rank,
                   .fn = fn,
                   .data = data,
                   .needs_index = true,
                   .summary = op_get(n->op)->name};
    for (int32_t i = 0; i < t->rank; i++)
        s->dims[i] = t->dims[i];
    return s;
}

cg_nest *cg_nest_result(cg *g, ir_node *n, cg_nest_fn *fn, void *data) {
    cg_nest *s = cg_nest_over(g, n, n->out[0].type, fn, data);
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    return s;
}

/* A result with channels last is made in the order in which it lies. */
static void follow_layout(cg_nest *s) {
    if (s->needs_index || !s->n_out || !cg_is_last(s->out[0])) return;
    for (uint32_t i = 0; i < s->n_in; i++)
        s->in[i] = cg_to_last(s->g, s->in[i]);
    for (uint32_t i = 0; i < s->n_out; i++)
        s->out[i] = cg_to_last(s->g, s->out[i]);
    for (int32_t i = 0; i < s->rank; i++)
        s->dims[i] = s->out[0]->dims[i];
}

void cg_nest_run(cg_nest *s) {
    follow_layout(s);
    space *sp = TL_NEW(s->g->arena, space);
    make_space(s, sp);
    bool flat = sp->rank == 1;
    const ir_dim *units = flat ? ir_dim_ceildiv(s->g->c, sp->dims[0], cg_dc(s->g, FLAT_BLOCK))
                               : cg_dims_product(s->g, sp->dims, sp->rank - 1);
    cg_kernel k = cg_kernel_begin(s->g, s->node, units);
    if (s->required)
        cg_kernel_require(&k, s->required, cg_dims_product(s->g, s->dims, s->rank), s->failure);
    nest_state st = {.s = s, .sp = sp, .k = &k};
    s->k = &k;
    unsigned lanes = choose_lanes(s, sp);
    if (flat)
        emit_flat(&st, lanes);
    else
        emit_rows(&st, lanes);
    cg_kernel_end(&k, "%s", s->summary ? s->summary : "copy");
}

static void copy_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)s;
    (void)lanes;
    out[0] = in[0];
}

void cg_copy(cg *g, const cg_view *from, const cg_view *to) {
    if (cg_copy_transposed(g, from, to)) return;
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g,
                   .node = g->node,
                   .rank = to->rank,
                   .n_in = 1,
                   .n_out = 1,
                   .fn = copy_point,
                   .moves = true,
                   .summary = "copy"};
    for (int32_t i = 0; i < to->rank; i++)
        s->dims[i] = to->dims[i];
    s->in[0] = from;
    s->out[0] = to;
    cg_nest_run(s);
}
