/* Products of two run-time operands, row by row, both read as they lie: few rows, small matrices, types other than f32.
 *
 *   y[j .. j+8) = sum over k of a[k] * b[k][j .. j+8)             b's rows lie side by side: vectors of them
 *   w[0..8) = transposed b[j .. j+8)[k .. k+8)                    b lies transposed, as keys do: squares of it, turned in registers
 *
 * Each element is one chain of multiply-adds in the order of k. A chain waits for itself, so that several vectors of columns are under way
 * at once. Where the number of columns is known and no multiple of a vector's, the last vector reaches back over columns that are done: it
 * computes them again, with the same result. */
#include "codegen/kernels/transpose.h"
#include "codegen/lower/matmul_runtime.h"
#include "codegen/lower/short.h"

#include "ir/limits.h"

#include <string.h>

enum { MAX_VECTORS = 8, MAX_SQUARES = 2 };

typedef struct product {
    cg *g;
    cg_kernel k;
    const cg_view *a, *b,
        *y; /* broadcast to [batch..., m, k], [batch..., k, n], [batch..., m, n] */
    int32_t rank;
    ir_dtype compute;
    bool turned; /* b lies transposed: its columns are read in squares */
    lp_value *pa, *pb, *py, *base_a, *base_b, *base_y;
} product;

/* Columns of a row that are computed at once: vectors side by side. */
typedef struct columns {
    unsigned lanes, vectors;
    lp_value *first;
} columns;

static lp_value *zero_of(lp_builder *b, ir_dtype t, unsigned lanes) {
    return ir_dtype_is_float(t) ? lp_const_f(b, lp_vec(t, lanes), 0)
                                : lp_const_i(b, lp_vec(t, lanes), 0);
}

/* `lanes` elements of row k of b from column j on: side by side, or a stride apart. */
static lp_value *row_part(product *p, unsigned lanes, lp_value *k, lp_value *j) {
    lp_builder *b = &p->k.b;
    int32_t r = p->rank;
    lp_value *lane = cg_kernel_dim(&p->k, p->b->strides[r - 1]);
    lp_value *step = cg_kernel_dim(&p->k, p->b->strides[r - 2]);
    lp_value *at = add(b, p->base_b, mul(b, j, lane));
    return cg_load(b, p->b->dtype, lanes, p->pb, add(b, at, mul(b, k, step)), lane);
}

/* sum + a[k] * w, in each lane. */
static lp_value *add_product(product *p, unsigned lanes, lp_value *k, lp_value *w, lp_value *sum) {
    lp_builder *b = &p->k.b;
    lp_value *step = cg_kernel_dim(&p->k, p->a->strides[p->rank - 1]);
    lp_value *at = add(b, p->base_a, mul(b, k, step));
    lp_value *x = lp_broadcast(b, cg_load(b, p->a->dtype, 1, p->pa, at, step), lanes);
    return ir_dtype_is_float(p->compute) ? lp_fma(b, x, w, sum) : add(b, sum, mul(b, x, w));
}

static void add_step(product *p, const columns *c, lp_value *k, lp_value **sums) {
    lp_builder *b = &p->k.b;
    for (unsigned v = 0; v < c->vectors; v++) {
        lp_value *j = add(b, c->first, lp_index(b, v * c->lanes));
        lp_value *w = row_part(p, c->lanes, k, j);
        sums[v] = add_product(p, c->lanes, k, w, sums[v]);
    }
}

/* As many steps as a square has rows, from step k on. */
static void add_squares(product *p, const columns *c, lp_value *k, lp_value **sums) {
    lp_builder *b = &p->k.b;
    lp_value *square[CG_TRANSPOSE_MAX], *column = cg_kernel_dim(&p->k, p->b->strides[p->rank - 1]);
    for (unsigned v = 0; v < c->vectors; v++) {
        for (unsigned i = 0; i < c->lanes; i++) {
            lp_value *j = add(b, c->first, lp_index(b, v * c->lanes + i));
            lp_value *at = add(b, add(b, p->base_b, mul(b, j, column)), k);
            square[i] = lp_load(b, lp_vec(DT_f32, c->lanes), p->pb, at);
        }
        cg_transpose(b, square, c->lanes, 1);
        for (unsigned i = 0; i < c->lanes; i++)
            sums[v] = add_product(p, c->lanes, add(b, k, lp_index(b, i)), square[i], sums[v]);
    }
}

typedef void step_fn(product *p, const columns *c, lp_value *k, lp_value **sums);

/* Steps [from, to), `stride` of them in a round. */
static void sum_steps(product *p, const columns *c, lp_value *from, lp_value *to, unsigned stride,
                      step_fn *steps, lp_value **sums) {
    lp_builder *b = &p->k.b;
    lp_value *next[MAX_VECTORS];
    int64_t first, end;
    if (lp_value_is_const_i(from, &first) && lp_value_is_const_i(to, &end) && first == end) return;
    lp_loop l = lp_for_begin(b, from, to, lp_index(b, stride), sums, c->vectors);
    memcpy(next, l.carried, c->vectors * sizeof *next);
    steps(p, c, l.counter, next);
    lp_for_end(b, &l, next);
    memcpy(sums, l.results, c->vectors * sizeof *sums);
}

/* y[row, columns] */
static void product_columns(product *p, const columns *c) {
    lp_builder *b = &p->k.b;
    lp_value *sums[MAX_VECTORS], *from = lp_index(b, 0);
    lp_value *depth = cg_kernel_dim(&p->k, p->a->dims[p->rank - 1]);
    for (unsigned v = 0; v < c->vectors; v++)
        sums[v] = zero_of(b, p->compute, c->lanes);
    if (p->turned && c->lanes > 1) {
        lp_value *side = lp_index(b, c->lanes), *whole = mul(b, quotient(b, depth, side), side);
        sum_steps(p, c, from, whole, c->lanes, add_squares, sums);
        from = whole;
    }
    sum_steps(p, c, from, depth, 1, add_step, sums);
    lp_value *step = cg_kernel_dim(&p->k, p->y->strides[p->rank - 1]);
    for (unsigned v = 0; v < c->vectors; v++) {
        lp_value *j = add(b, c->first, lp_index(b, v * c->lanes));
        lp_value *at = add(b, p->base_y, mul(b, j, step));
        cg_store(b, p->y->dtype, c->lanes, p->py, at, step, sums[v]);
    }
}

/* Columns [from, to), as many at a time as c says. */
static void columns_between(product *p, columns c, lp_value *from, lp_value *to) {
    lp_builder *b = &p->k.b;
    lp_loop l = lp_for_begin(b, from, to, lp_index(b, c.lanes * c.vectors), NULL, 0);
    c.first = l.counter;
    product_columns(p, &c);
    lp_for_end(b, &l, NULL);
}

static void known_columns(product *p, unsigned lanes, unsigned most, int64_t n) {
    lp_builder *b = &p->k.b;
    int64_t width = lanes * most, whole = n / width * width, rest = (n - whole) / lanes;
    columns all = {lanes, most, NULL}, left = {lanes, (unsigned)rest, lp_index(b, whole)},
            last = {lanes, 1, lp_index(b, n - lanes)};
    if (whole) columns_between(p, all, lp_index(b, 0), lp_index(b, whole));
    if (rest) product_columns(p, &left);
    if (n % lanes) product_columns(p, &last);
}

static void any_columns(product *p, unsigned lanes, unsigned most) {
    lp_builder *b = &p->k.b;
    lp_value *n = cg_kernel_dim(&p->k, p->y->dims[p->rank - 1]), *from = lp_index(b, 0);
    for (columns c = {lanes, most, NULL}; c.lanes * c.vectors > 1;) {
        lp_value *width = lp_index(b, c.lanes * c.vectors);
        lp_value *to = mul(b, quotient(b, n, width), width);
        columns_between(p, c, from, to);
        from = to;
        c = c.vectors > 1 ? (columns){lanes, 1, NULL} : (columns){1, 1, NULL};
    }
    columns_between(p, (columns){1, 1, NULL}, from, n);
}

/* b's columns lie side by side, or its rows do. */
static bool is_turned(const product *p) {
    unsigned lanes = p->g->target->lanes_f32;
    return p->b->dtype == DT_f32 && ir_dim_is(p->b->strides[p->rank - 2], 1) &&
           !ir_dim_is(p->b->strides[p->rank - 1], 1) && lanes >= 4 && lanes <= CG_TRANSPOSE_MAX;
}

static void product_row(product *p) {
    int32_t last = p->rank - 1;
    p->turned = is_turned(p);
    bool vector = (p->turned || ir_dim_is(p->b->strides[last], 1)) &&
                  ir_dim_is(p->y->strides[last], 1);
    unsigned lanes = vector ? p->g->target->lanes_f32 : 1;
    unsigned most = lanes == 1 ? 1 : p->turned ? MAX_SQUARES : MAX_VECTORS;
    int64_t n;
    if (ir_dim_is_const(p->y->dims[last], &n) && n >= lanes)
        known_columns(p, lanes, most, n);
    else
        any_columns(p, lanes, most);
}

/* 1-D operands become matrices; batch axes broadcast against the result's. */
static const cg_view *operand(cg *g, ir_value *v, bool left, int32_t rank,
                              const ir_dim *const *batch) {
    const cg_view *x = cg_read(g, v);
    const ir_dim *one = cg_dc(g, 1), *dims[IR_MAX_RANK];
    if (x->rank == 1) {
        const ir_dim *matrix[2] = {left ? one : x->dims[0], left ? x->dims[0] : one};
        x = cg_view_reshape(g, x, 2, matrix) ? cg_view_reshape(g, x, 2, matrix)
                                             : cg_view_reshape(g, cg_materialise(g, x), 2, matrix);
    }
    for (int32_t i = 0; i < rank - 2; i++)
        dims[i] = batch[i];
    dims[rank - 2] = x->dims[x->rank - 2];
    dims[rank - 1] = x->dims[x->rank - 1];
    return cg_view_broadcast(g, x, rank, dims);
}

static int32_t matrix_rank(const ir_type *t) {
    return t->rank < 2 ? 2 : t->rank;
}

bool cg_matmul_rows(cg *g, ir_node *n) {
    const ir_type *ta = ir_in(n, 0)->type, *tb = ir_in(n, 1)->type, *t = n->out[0].type;
    product *p = TL_NEW(g->arena, product);
    int32_t rank = matrix_rank(ta) > matrix_rank(tb) ? matrix_rank(ta) : matrix_rank(tb);
    *p = (product){.g = g, .rank = rank, .compute = ir_dtype_compute(t->dtype)};
    p->a = operand(g, ir_in(n, 0), true, rank, t->dims);
    p->b = operand(g, ir_in(n, 1), false, rank, t->dims);
    cg_check_equal(g, p->a->dims[rank - 1], p->b->dims[rank - 2]);
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0; i < rank - 2; i++)
        dims[i] = t->dims[i];
    dims[rank - 2] = p->a->dims[rank - 2];
    dims[rank - 1] = p->b->dims[rank - 1];
    p->y = cg_view_reshape(g, cg_write(g, &n->out[0]), rank, dims);
    if (!p->y) return cg_unsupported(g, n, "result that lies unevenly in memory");
    p->k = cg_kernel_begin(g, n, cg_dims_product(g, dims, rank - 1));
    p->pa = cg_kernel_in(&p->k, p->a, false);
    p->pb = cg_kernel_in(&p->k, p->b, false);
    p->py = cg_kernel_out(&p->k, p->y, false);
    lp_builder *b = &p->k.b;
    lp_loop row = lp_for_begin(b, p->k.begin, p->k.end, lp_index(b, 1), NULL, 0);
    lp_value *index[IR_MAX_RANK];
    cg_unravel(&p->k, row.counter, dims, rank - 1, index);
    p->base_a = cg_offset(&p->k, p->a, index, rank - 1);
    p->base_y = cg_offset(&p->k, p->y, index, rank - 1);
    p->base_b = cg_offset(&p->k, p->b, index, rank - 2);
    product_row(p);
    lp_for_end(b, &row, NULL);
    cg_kernel_end(&p->k, "MatMul");
    return true;
}
