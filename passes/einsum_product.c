/* Einsum: two operands multiplied and summed (see decompose_einsum.c). */
#include "passes/einsum.h"

void einsum_append(ir_einsum_term *t, const ir_einsum_term *from, label_set which) {
    for (int32_t i = 0; i < from->rank; i++)
        if (which & einsum_bit(from->label[i])) t->label[t->rank++] = from->label[i];
}

ir_value *einsum_arranged(einsum *s, const factor *f, const ir_einsum_term *order) {
    int64_t perm[IR_MAX_RANK], added[IR_MAX_RANK];
    uint32_t n = 0, n_added = 0;
    bool sorted = true;
    for (int32_t i = 0; i < order->rank; i++) {
        int32_t axis = ir_einsum_axis(&f->term, order->label[i]);
        if (axis < 0) {
            added[n_added++] = i;
            continue;
        }
        sorted = sorted && axis == (int32_t)n;
        perm[n++] = axis;
    }
    ir_value *v = sorted ? f->v : build_transpose(s->b, f->v, perm, n);
    return n_added ? build_op2(s->b, OP_Unsqueeze, v, build_i64s(s->b, added, n_added)) : v;
}

ir_value *einsum_merge_axes(einsum *s, ir_value *v, const int32_t *n, uint32_t n_runs) {
    const ir_dim *dims[IR_MAX_RANK];
    bool same = true;
    int32_t axis = 0;
    for (uint32_t r = 0; r < n_runs; r++) {
        dims[r] = ir_dim_const(s->b->m->ctx, 1);
        for (int32_t i = 0; i < n[r]; i++)
            dims[r] = ir_dim_mul(s->b->m->ctx, dims[r], v->type->dims[axis++]);
        same = same && n[r] == 1;
    }
    return same ? v : build_reshape(s->b, v, dims, n_runs);
}

/* v with `batch` axes, then n and m axes each merged into one. */
static ir_value *as_matrices(einsum *s, ir_value *v, int32_t batch, int32_t n, int32_t m) {
    int32_t runs[IR_MAX_RANK + 2];
    for (int32_t i = 0; i < batch; i++)
        runs[i] = 1;
    runs[batch] = n, runs[batch + 1] = m;
    return einsum_merge_axes(s, v, runs, (uint32_t)batch + 2);
}

/* The product's rows and columns as axes of their own again. */
static ir_value *from_matrices(einsum *s, ir_value *v, const ir_einsum_term *t, const factor *x,
                               const factor *y) {
    const ir_dim *dims[IR_MAX_RANK];
    int32_t batch = v->type->rank - 2, rows = 0;
    for (int32_t i = batch; i < t->rank; i++)
        rows += ir_einsum_axis(&x->term, t->label[i]) >= 0;
    if (rows == 1 && t->rank == batch + 2) return v;
    for (int32_t i = 0; i < t->rank; i++) {
        int32_t in_x = ir_einsum_axis(&x->term, t->label[i]);
        int32_t in_y = ir_einsum_axis(&y->term, t->label[i]);
        dims[i] = i < batch   ? v->type->dims[i]
                  : in_x >= 0 ? x->v->type->dims[in_x]
                              : y->v->type->dims[in_y];
    }
    return build_reshape(s->b, v, dims, (uint32_t)t->rank);
}

factor einsum_multiply(einsum *s, const factor *x, const factor *y, label_set needed) {
    label_set lx = factor_labels(x), ly = factor_labels(y), both = lx & ly;
    if (einsum_is_lookup(lx, y, needed)) return einsum_look_up(s, x, y);
    if (einsum_is_lookup(ly, x, needed)) return einsum_look_up(s, y, x);
    factor r = {0};
    einsum_append(&r.term, &x->term, both & needed);
    int32_t batch = r.term.rank;
    ir_einsum_term left = r.term, right = r.term;
    einsum_append(&r.term, &x->term, lx & ~ly);
    einsum_append(&r.term, &y->term, ly & ~lx);
    if (!(both & ~needed)) {
        ir_value *of_x = einsum_arranged(s, x, &r.term), *of_y = einsum_arranged(s, y, &r.term);
        r.v = build_op2(s->b, OP_Mul, of_x, of_y);
        return r;
    }
    einsum_append(&left, &x->term, lx & ~ly);
    int32_t rows = left.rank - batch;
    einsum_append(&left, &x->term, both & ~needed);
    einsum_append(&right, &x->term, both & ~needed);
    int32_t depth = right.rank - batch;
    einsum_append(&right, &y->term, ly & ~lx);
    ir_value *a = as_matrices(s, einsum_arranged(s, x, &left), batch, rows, depth);
    ir_value *b = as_matrices(s, einsum_arranged(s, y, &right), batch, depth,
                              right.rank - batch - depth);
    r.v = from_matrices(s, build_op2(s->b, OP_MatMul, a, b), &r.term, x, y);
    return r;
}
