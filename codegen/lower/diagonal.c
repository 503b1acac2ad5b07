/* Relative positions: of a product [..., I, R] only the columns are read that a shift of the rows leaves.
 *
 *   %p = MatMul(%q, %table)                    f32[12,512,1024]: each query times the positions from 512 behind it to 511 before it
 *   %a = Reshape(%p)                           f32[1,12,1024,512]
 *   %b = Slice(%a, 1, 1024, axis 2)            f32[1,12,1023,512]
 *   %c = Reshape(%b)                           f32[1,12,512,1023]
 *   %d = Slice(%c, 0, 512, axis 3)             f32[1,12,512,512]       d[i,j] = p[i, 512 - i + j]
 *
 * All of these are views, no element moves (codegen/view.c). With `start` rows of I elements gone, element [i,j] is the product's at
 * start * I + i * (R - start) + j, which is row i, column start * (I - i) + j, as long as that is inside the row: a diagonal band, of
 * half of the columns here. */
#include "codegen/kernels/matmul_packed.h"
#include "codegen/lower/matmul_runtime.h"

/* The last two dims, as constants. */
static bool matrix_dims(const ir_value *v, int64_t out[2]) {
    const ir_type *t = v->type;
    return ir_type_is_ranked(t) && t->rank >= 2 && ir_dim_is_const(t->dims[t->rank - 2], &out[0]) &&
           ir_dim_is_const(t->dims[t->rank - 1], &out[1]);
}

/* What the only reader of v makes of it, where that is of this operator. */
static const ir_value *next_view(const ir_value *v, op_id op) {
    if (!ir_value_has_one_use(v)) return NULL;
    const ir_node *n = v->uses->user;
    return n->op == op && ir_in(n, 0) == v ? &n->out[0] : NULL;
}

/* v reshaped to [..., rows, columns], each matrix staying in one piece. */
static const ir_value *reshaped(const ir_value *v, int64_t rows, int64_t columns) {
    const ir_value *y = next_view(v, OP_Reshape);
    int64_t now[2];
    return y && matrix_dims(y, now) && now[0] == rows && now[1] == columns ? y : NULL;
}

static bool is_one_int(const ir_value *v, int64_t *out) {
    return v && ir_value_const_ints(v, out, 1) == 1;
}

/* v from `start` on along the axis that is the from_last-th from the end, and no other. */
static const ir_value *sliced(const ir_value *v, int32_t from_last, int64_t *start) {
    const ir_value *y = next_view(v, OP_Slice);
    int64_t axis, step = 1;
    if (!y) return NULL;
    const ir_node *n = y->def;
    if (!is_one_int(ir_in(n, 1), start) || !is_one_int(ir_in(n, 3), &axis)) return NULL;
    if (ir_in(n, 4) && !is_one_int(ir_in(n, 4), &step)) return NULL;
    if (axis < 0) axis += v->type->rank;
    return *start >= 0 && step == 1 && axis == v->type->rank - from_last ? y : NULL;
}

const cg_diagonal *cg_find_diagonal(cg *g, const ir_node *product, const ir_dim *rows) {
    int64_t size[2], left[2], start, first;
    const ir_value *v = &product->out[0];
    if (!matrix_dims(v, size) || !ir_dim_is(rows, size[0])) return NULL;
    v = reshaped(v, size[1], size[0]);
    if (v) v = sliced(v, 2, &start);
    if (v) v = reshaped(v, size[0], size[1] - start);
    if (v) v = sliced(v, 1, &first);
    if (!v || !matrix_dims(v, left) || left[1] < 1) return NULL;
    first += start * size[0];
    if (first + left[1] > size[1] || start < 1) return NULL;
    cg_diagonal *d = TL_NEW(g->arena, cg_diagonal);
    *d = (cg_diagonal){first, start, left[1]};
    return d;
}
