/* Det: one matrix per unit, eliminated in a copy; the pivot of each column is its largest element. */
#include "codegen/lower.h"

typedef struct det {
    cg_kernel k;
    lp_builder *b;
    lp_type type;      /* computed in */
    lp_value *n, *one; /* rows; 1 */
    lp_value *work;    /* pointer to the matrix at hand */
} det;

static lp_value *add(const det *d, lp_value *x, lp_value *y) {
    return lp_bin(d->b, LP_add, x, y);
}
static lp_value *mul(const det *d, lp_value *x, lp_value *y) {
    return lp_bin(d->b, LP_mul, x, y);
}
static lp_value *at(const det *d, lp_value *i, lp_value *j) {
    return add(d, mul(d, i, d->n), j);
}
static lp_value *load(const det *d, lp_value *i, lp_value *j) {
    return lp_load(d->b, d->type, d->work, at(d, i, j));
}
static void store(const det *d, lp_value *i, lp_value *j, lp_value *v) {
    lp_store(d->b, d->work, at(d, i, j), v);
}
static lp_loop count(const det *d, lp_value *from, lp_value *const *init, uint32_t n) {
    return lp_for_begin(d->b, from, d->n, d->one, init, n);
}

/* The row from k on with the largest element in column k. */
static lp_value *find_pivot(const det *d, lp_value *k) {
    lp_value *init[] = {lp_un(d->b, LP_abs, load(d, k, k)), k};
    lp_loop l = count(d, add(d, k, d->one), init, 2);
    lp_value *v = lp_un(d->b, LP_abs, load(d, l.counter, k));
    lp_value *better = lp_bin(d->b, LP_gt, v, l.carried[0]);
    lp_for_end(d->b, &l,
               (lp_value *[]){lp_select(d->b, better, v, l.carried[0]),
                              lp_select(d->b, better, l.counter, l.carried[1])});
    return l.results[1];
}

static void swap_rows(const det *d, lp_value *k, lp_value *row) {
    lp_loop l = count(d, k, NULL, 0);
    lp_value *x = load(d, k, l.counter), *y = load(d, row, l.counter);
    store(d, k, l.counter, y);
    store(d, row, l.counter, x);
    lp_for_end(d->b, &l, NULL);
}

/* Subtracts multiples of row k from those below; of a column of zeros, nothing. */
static void eliminate(const det *d, lp_value *k, lp_value *pivot) {
    lp_value *next = add(d, k, d->one), *zero = lp_const_f(d->b, d->type, 0);
    lp_value *is_zero = lp_bin(d->b, LP_eq, pivot, zero);
    lp_loop rows = count(d, next, NULL, 0);
    lp_value *factor = lp_bin(d->b, LP_div, load(d, rows.counter, k), pivot);
    factor = lp_select(d->b, is_zero, zero, factor);
    lp_loop l = count(d, next, NULL, 0);
    lp_value *v = mul(d, factor, load(d, k, l.counter));
    store(d, rows.counter, l.counter, lp_bin(d->b, LP_sub, load(d, rows.counter, l.counter), v));
    lp_for_end(d->b, &l, NULL);
    lp_for_end(d->b, &rows, NULL);
}

static lp_value *determinant(const det *d) {
    lp_value *init = lp_const_f(d->b, d->type, 1);
    lp_loop l = count(d, lp_index(d->b, 0), &init, 1);
    lp_value *k = l.counter, *row = find_pivot(d, k), *pivot = load(d, row, k);
    swap_rows(d, k, row);
    eliminate(d, k, pivot);
    lp_value *same = lp_bin(d->b, LP_eq, row, k);
    lp_value *sign = lp_select(d->b, same, pivot, lp_un(d->b, LP_neg, pivot));
    lp_for_end(d->b, &l, (lp_value *[]){mul(d, l.carried[0], sign)});
    return l.results[0];
}

static void copy_matrix(const det *d, lp_value *x, ir_dtype t, lp_value *from, lp_value *size) {
    lp_loop l = lp_for_begin(d->b, lp_index(d->b, 0), size, d->one, NULL, 0);
    lp_value *v = cg_load(d->b, t, 1, x, add(d, from, l.counter), d->one);
    lp_store(d->b, d->work, l.counter, v);
    lp_for_end(d->b, &l, NULL);
}

/* Room for one matrix per thread. */
static const cg_view *work_space(cg *g, const ir_type *t, ir_dtype compute) {
    const ir_dim *n = t->dims[t->rank - 1];
    const ir_dim *bytes = ir_dim_mul(g->c, ir_dim_mul(g->c, n, n),
                                     cg_dc(g, ir_dtype_bits(compute) / 8));
    cg_buffer *b = cg_buffer_create(g, bytes);
    b->per_thread = true;
    return cg_view_dense(g, b, ir_type_tensor(g->c, compute, 2, (const ir_dim *[]){n, n}));
}

bool lower_det(cg *g, ir_node *n) {
    const ir_type *t = ir_in(n, 0)->type;
    ir_dtype compute = ir_dtype_compute(t->dtype);
    cg_check_equal(g, t->dims[t->rank - 2], t->dims[t->rank - 1]);
    const cg_view *x = cg_read_dense(g, ir_in(n, 0)), *y = cg_write(g, ir_out(n, 0));
    const cg_view *work = work_space(g, t, compute);
    det d = {.k = cg_kernel_begin(g, n, cg_dims_product(g, t->dims, t->rank - 2)),
             .type = lp_scalar(compute)};
    d.b = &d.k.b;
    lp_value *px = cg_kernel_in(&d.k, x, cg_view_is_whole(g, x)), *index[IR_MAX_RANK_NEST];
    d.work = cg_kernel_out(&d.k, work, false);
    lp_value *py = cg_kernel_out(&d.k, y, cg_view_is_whole(g, y));
    d.n = cg_kernel_dim(&d.k, t->dims[t->rank - 1]);
    d.one = lp_index(d.b, 1);
    lp_value *size = mul(&d, d.n, d.n);
    lp_loop l = lp_for_begin(d.b, d.k.begin, d.k.end, d.one, NULL, 0);
    copy_matrix(&d, px, t->dtype, mul(&d, l.counter, size), size);
    cg_unravel(&d.k, l.counter, t->dims, t->rank - 2, index);
    lp_value *to = cg_offset(&d.k, y, index, t->rank - 2);
    cg_store(d.b, t->dtype, 1, py, to, d.one, determinant(&d));
    lp_for_end(d.b, &l, NULL);
    cg_kernel_end(&d.k, "Det");
    return true;
}
