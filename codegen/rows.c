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

void cg_rows_loop(cg_rows *r) {
    lp_builder *b = &r->k.b;
    r->length = cg_kernel_dim(&r->k, r->length_dim);
    r->loop = lp_for_begin(b, r->k.begin, r->k.end, lp_index(b, 1), NULL, 0);
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

/* Runs body on vectors, then on single elements; the accumulators of the vector part are folded by `fold` before the tail. */
static void fold_lanes(lp_builder *b, lp_op fold, lp_value **acc, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (acc[i]->type.lanes > 1) acc[i] = lp_reduce(b, fold, acc[i]);
}

void cg_row_pass(cg_rows *r, unsigned lanes, lp_op fold, lp_value **acc, uint32_t n_acc,
                 cg_row_fn *fn, void *data) {
    lp_builder *b = &r->k.b;
    lp_value *zero = lp_index(b, 0), *mid = zero, *wide[4];
    TL_ASSERT(n_acc <= 4);
    if (lanes > 1) {
        lp_value *w = lp_index(b, lanes);
        mid = lp_bin(b, LP_mul, lp_bin(b, LP_div, r->length, w), w);
        for (uint32_t i = 0; i < n_acc; i++)
            wide[i] = lp_broadcast(b, acc[i], lanes);
        lp_loop l = lp_for_begin(b, zero, mid, w, wide, n_acc);
        for (uint32_t i = 0; i < n_acc; i++)
            wide[i] = l.carried[i];
        fn(r, lanes, l.counter, wide, data);
        lp_for_end(b, &l, wide);
        for (uint32_t i = 0; i < n_acc; i++)
            acc[i] = l.results[i];
        fold_lanes(b, fold, acc, n_acc);
        int64_t a, z;
        if (lp_value_is_const_i(mid, &a) && lp_value_is_const_i(r->length, &z) && a == z) return;
    }
    lp_loop l = lp_for_begin(b, mid, r->length, lp_index(b, 1), acc, n_acc);
    for (uint32_t i = 0; i < n_acc; i++)
        wide[i] = l.carried[i];
    fn(r, 1, l.counter, wide, data);
    lp_for_end(b, &l, wide);
    for (uint32_t i = 0; i < n_acc; i++)
        acc[i] = l.results[i];
}
