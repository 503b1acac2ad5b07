/* Row kernels: one loop over rows, the body of which reads and writes whole rows along one axis (softmax, normalisation, running sums,
 * index of the maximum); see rows.h. */
#include "codegen/rows.h"

#include "ir/base/assert.h"

void cg_rows_begin(cg_rows *r, cg *g, const ir_node *n, int32_t rank, const ir_dim *const *dims,
                   int32_t axis) {
    *r = (cg_rows){.g = g, .length_dim = dims[axis], .axis = axis, .rank = rank};
    for (int32_t i = 0; i < rank; i++)
        if (i != axis) r->outer[r->n_outer++] = dims[i];
    r->units = cg_dims_product(g, r->outer, r->n_outer);
    r->k = cg_kernel_begin(g, n, r->units);
}

uint32_t cg_rows_add(cg_rows *r, const cg_view *v, bool write) {
    TL_ASSERT(r->n < CG_MAX_ROW_VIEWS && v->rank == r->rank);
    /* rows are equal consecutive pieces of the buffer only if the axis is the last one */
    bool rowwise = r->axis == r->rank - 1 && cg_view_is_whole(r->g, v);
    cg_row_view *rv = &r->views[r->n];
    rv->view = v;
    rv->ptr = write ? cg_kernel_out(&r->k, v, rowwise) : cg_kernel_in(&r->k, v, rowwise);
    rv->stride = cg_kernel_dim(&r->k, v->strides[r->axis]);
    return r->n++;
}

void cg_rows_between(cg_rows *r, lp_value *lo, lp_value *hi) {
    lp_builder *b = &r->k.b;
    r->length = cg_kernel_dim(&r->k, r->length_dim);
    r->loop = lp_for_begin(b, lo, hi, lp_index(b, 1), NULL, 0);
    lp_value *index[IR_MAX_RANK_NEST];
    cg_unravel(&r->k, r->loop.counter, r->outer, r->n_outer, index);
    for (uint32_t i = 0; i < r->n; i++) {
        cg_row_view *rv = &r->views[i];
        rv->base = lp_index(b, 0);
        for (int32_t d = 0; d < r->n_outer; d++) {
            const ir_dim *stride = rv->view->strides[d < r->axis ? d : d + 1];
            lp_value *step = lp_bin(b, LP_mul, index[d], cg_kernel_dim(&r->k, stride));
            rv->base = lp_bin(b, LP_add, rv->base, step);
        }
    }
}

void cg_rows_loop(cg_rows *r) {
    cg_rows_between(r, r->k.begin, r->k.end);
}

void cg_rows_end(cg_rows *r, const char *summary) {
    lp_for_end(&r->k.b, &r->loop, NULL);
    cg_kernel_end(&r->k, "%s", summary);
}

lp_value *cg_row_load(cg_rows *r, uint32_t i, unsigned lanes, lp_value *j) {
    lp_builder *b = &r->k.b;
    cg_row_view *rv = &r->views[i];
    lp_value *at = lp_bin(b, LP_add, rv->base, lp_bin(b, LP_mul, j, rv->stride));
    return cg_load(b, rv->view->dtype, lanes, rv->ptr, at, rv->stride);
}

void cg_row_store(cg_rows *r, uint32_t i, unsigned lanes, lp_value *j, lp_value *x) {
    lp_builder *b = &r->k.b;
    cg_row_view *rv = &r->views[i];
    lp_value *at = lp_bin(b, LP_add, rv->base, lp_bin(b, LP_mul, j, rv->stride));
    cg_store(b, rv->view->dtype, lanes, rv->ptr, at, rv->stride, x);
}

bool cg_row_is_contiguous(const cg_rows *r, uint32_t i) {
    const ir_dim *s = r->views[i].view->strides[r->axis];
    return ir_dim_is(s, 1) || ir_dim_is(s, 0);
}

unsigned cg_rows_lanes(const cg_rows *r) {
    for (uint32_t i = 0; i < r->n; i++)
        if (!cg_row_is_contiguous(r, i)) return 1;
    unsigned lanes = r->g->target->lanes_f32;
    int64_t n;
    if (ir_dim_is_const(r->length_dim, &n))
        while (lanes > 1 && lanes > n)
            lanes /= 2;
    return lanes < 4 ? 1 : lanes;
}

/* ---- passes along a row ------------------------------------------------------------------------------------------ */

/* Vectors are added up in CHAINS interleaved chains, which hides the latency of an addition; then the chains are joined, then the lanes,
 * then the elements behind the last whole vector follow one by one:
 *
 *   for j = 0 to n/32*32 step 32   acc0 += x[j], acc1 += x[j+8], acc2 += x[j+16], acc3 += x[j+24]        (lanes 8)
 *   for j to n/8*8 step 8          acc0 += x[j]
 *   sum = lanes of (acc0 + acc1) + (acc2 + acc3);   for j to n   sum += x[j]  */
enum { CHAINS = 4, MAX_ACCUMULATORS = 4 };

typedef struct row_pass {
    cg_rows *r;
    uint32_t n_acc;
    cg_row_fn *fn;
    void *data;
} row_pass;

/* Elements [lo, hi), `chains` vectors at a time, each with accumulators of its own: acc[chain * n_acc + i]. */
static void pass_loop(const row_pass *p, unsigned lanes, unsigned chains, lp_value *lo,
                      lp_value *hi, lp_value **acc) {
    lp_builder *b = &p->r->k.b;
    lp_value *next[CHAINS * MAX_ACCUMULATORS];
    uint32_t n = chains * p->n_acc;
    int64_t from, to;
    if (lp_value_is_const_i(lo, &from) && lp_value_is_const_i(hi, &to) && from == to) return;
    lp_loop l = lp_for_begin(b, lo, hi, lp_index(b, (int64_t)lanes * chains), acc, n);
    for (uint32_t i = 0; i < n; i++)
        next[i] = l.carried[i];
    for (unsigned c = 0; c < chains; c++) {
        lp_value *at = lp_bin(b, LP_add, l.counter, lp_index(b, (int64_t)c * lanes));
        p->fn(p->r, lanes, at, next + c * p->n_acc, p->data);
    }
    lp_for_end(b, &l, next);
    for (uint32_t i = 0; i < n; i++)
        acc[i] = l.results[i];
}

static lp_op pair_op(lp_op fold) {
    return fold == LP_reduce_max ? LP_max : fold == LP_reduce_min ? LP_min : LP_add;
}

static lp_value *length_in(const row_pass *p, unsigned step) {
    lp_builder *b = &p->r->k.b;
    lp_value *w = lp_index(b, step);
    return lp_bin(b, LP_mul, lp_bin(b, LP_div, p->r->length, w), w);
}

/* All whole vectors; the result is where they end. */
static lp_value *vector_part(const row_pass *p, unsigned lanes, lp_op fold, lp_value **acc) {
    lp_builder *b = &p->r->k.b;
    lp_value *wide[CHAINS * MAX_ACCUMULATORS], *mid = length_in(p, lanes);
    lp_value *quads = length_in(p, lanes * CHAINS);
    uint32_t n = p->n_acc;
    for (uint32_t i = 0; i < n * CHAINS; i++)
        wide[i] = lp_broadcast(b, acc[i % n], lanes);
    pass_loop(p, lanes, CHAINS, lp_index(b, 0), quads, wide);
    pass_loop(p, lanes, 1, quads, mid, wide);
    for (uint32_t step = 1; step < CHAINS; step *= 2)
        for (uint32_t c = 0; c < CHAINS; c += 2 * step)
            for (uint32_t i = 0; i < n; i++)
                wide[c * n + i] = lp_bin(b, pair_op(fold), wide[c * n + i],
                                         wide[(c + step) * n + i]);
    for (uint32_t i = 0; i < n; i++)
        acc[i] = lp_reduce(b, fold, wide[i]);
    return mid;
}

void cg_row_pass(cg_rows *r, unsigned lanes, lp_op fold, lp_value **acc, uint32_t n_acc,
                 cg_row_fn *fn, void *data) {
    TL_ASSERT(n_acc <= MAX_ACCUMULATORS);
    TL_ASSERT(fold == LP_reduce_add || fold == LP_reduce_max || fold == LP_reduce_min);
    row_pass p = {r, n_acc, fn, data};
    lp_value *mid = lanes > 1 ? vector_part(&p, lanes, fold, acc) : lp_index(&r->k.b, 0);
    pass_loop(&p, 1, 1, mid, r->length, acc);
}
