/* Large products of two run-time operands: the right one is packed into panels in the workspace, then the register-tiled kernel of
 * constants does the rest (codegen/kernels/matmul_packed.c). Packing reads and writes K*N elements once, the product takes M*K*N
 * multiply-adds, so that it pays from a few rows on. Results are the same bits on any number of threads, as with packed constants.
 *
 *   y[M,N] = a[M,K] b[K,N]   ->   w[p,k,j] = b[k, panel*p + j] or 0      y = a w
 *
 * A batch of up to MAX_BATCH products is packed at once; then one kernel is called for each. A constant batch of matrices is packed by the
 * compiler. Whole panels are copied as what they are, [matrices, panels, k, PANEL], so that matrices that lie transposed go through square
 * blocks (codegen/kernels/transposed_copy.h).
 *
 * Of a product whose rows are read on a diagonal only those panels are computed (diagonal.c).
 *
 * MatMulArg is such a product, of any size and with an epilogue, of which only the best column of each row is kept. */
#include "codegen/lower/matmul_runtime.h"

#include "codegen/kernels/matmul_packed.h"

#include "ir/limits.h"

#include <string.h>

enum { MIN_ROWS = 8, MIN_DEPTH = 16, PANEL = 16, MAX_BATCH = 128 };

typedef struct packing {
    const cg_view *b; /* [matrices, k, n] */
    int64_t n;
} packing;

/* Lanes lie along the columns of one panel. Columns from n on are zero. */
static void pack_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const packing *p = s->data;
    lp_builder *b = &s->k->b;
    lp_value *column = lp_bin(b, LP_add, lp_bin(b, LP_mul, s->index[1], lp_index(b, PANEL)),
                              s->index[3]);
    lp_value *from[] = {s->index[0], s->index[2]}, *row = cg_offset(s->k, p->b, from, 2);
    lp_value *n = lp_index(b, p->n), *ptr = cg_kernel_in(s->k, p->b, false);
    if (lanes > 1) {
        lp_value *left = lp_bin(b, LP_max, lp_bin(b, LP_sub, n, column), lp_index(b, 0));
        out[0] = lp_load_masked(b, lp_vec(DT_f32, lanes), ptr, lp_bin(b, LP_add, row, column),
                                left);
        return;
    }
    lp_value *inside = lp_bin(b, LP_min, column, lp_bin(b, LP_sub, n, lp_index(b, 1)));
    lp_value *at = lp_bin(b, LP_add, row,
                          lp_bin(b, LP_mul, inside, cg_kernel_dim(s->k, p->b->strides[2])));
    lp_value *x = lp_load(b, lp_scalar(DT_f32), ptr, at),
             *zero = lp_const_f(b, lp_scalar(DT_f32), 0);
    out[0] = lp_select(b, lp_bin(b, LP_lt, column, n), x, zero);
}

static void pack_with_tail(cg *g, ir_node *node, const cg_view *b, int64_t n, const cg_view *to) {
    packing *p = TL_NEW(g->arena, packing);
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *p = (packing){b, n};
    *s = (cg_nest){.g = g,
                   .node = node,
                   .rank = 4,
                   .fn = pack_point,
                   .data = p,
                   .needs_index = true,
                   .summary = "pack panels"};
    for (int32_t i = 0; i < 4; i++)
        s->dims[i] = to->dims[i];
    s->scalar = !ir_dim_is(b->strides[2], 1);
    s->out[s->n_out++] = to;
    cg_nest_run(s);
}

static void pack_whole(cg *g, const cg_view *b, const cg_view *to) {
    const ir_dim *dims[] = {to->dims[0], to->dims[2], to->dims[1], to->dims[3]};
    const cg_view *panels = cg_view_reshape(g, b, 4, dims); /* an axis cut in two: always a view */
    cg_copy(g, cg_view_permute(g, panels, (int64_t[]){0, 2, 1, 3}), to);
}

static const ir_type *packed_type(cg *g, int64_t matrices, int64_t k, int64_t n) {
    int64_t panels = (n + PANEL - 1) / PANEL;
    return ir_type_tensor_static(g->c, DT_f32, 4, (int64_t[]){matrices, panels, k, PANEL});
}

/* [matrices, panels, k, PANEL] of b [matrices, k, n]. */
static const cg_view *pack(cg *g, ir_node *node, const cg_view *b, int64_t matrices, int64_t k,
                           int64_t n) {
    const ir_type *t = packed_type(g, matrices, k, n);
    const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, 4));
    const cg_view *to = cg_view_dense(g, cg_buffer_create(g, bytes), t);
    if (n % PANEL)
        pack_with_tail(g, node, b, n, to);
    else
        pack_whole(g, b, to);
    return to;
}

/* The same of a constant, by the compiler. */
static const cg_view *pack_constant(cg *g, const ir_tensor *b, int64_t matrices, int64_t k,
                                    int64_t n) {
    ir_tensor *w = ir_tensor_alloc(g->arena, packed_type(g, matrices, k, n));
    float *to = ir_tensor_data(w);
    const float *from = b->data;
    for (int64_t i = 0; i < matrices; i++, from += k * n)
        for (int64_t first = 0; first < n; first += PANEL)
            for (int64_t row = 0; row < k; row++, to += PANEL) {
                int64_t columns = n - first < PANEL ? n - first : PANEL;
                memcpy(to, from + row * n + first, (size_t)columns * sizeof *to);
            }
    ir_tensor_seal(w);
    return cg_read(g, ir_module_const(g->m, w, NULL));
}

/* What is multiplied: a [batch, m, k] by matrix number which[i] of b. */
typedef struct products {
    cg *g;
    ir_node *node;
    int64_t batch, matrices, k, n;
    int64_t which[MAX_BATCH];
    const ir_dim *rows;
    const cg_diagonal *diagonal;
} products;

/* The matrix of b that each product reads: b's leading dims are the result's, or 1. */
static bool read_batch(products *p, const ir_type *b, const ir_type *y) {
    p->batch = p->matrices = 1;
    p->which[0] = 0;
    for (int32_t i = 0; i < y->rank - 2; i++) {
        int32_t at = i - (y->rank - b->rank);
        int64_t size, own = 1;
        if (!ir_dim_is_const(y->dims[i], &size) || (at >= 0 && !ir_dim_is_const(b->dims[at], &own)))
            return false;
        if (size < 1 || p->batch * size > MAX_BATCH || (own != size && own != 1)) return false;
        for (int64_t k = p->batch * size; k-- > 0;)
            p->which[k] = p->which[k / size] * own + (own > 1 ? k % size : 0);
        p->batch *= size, p->matrices *= own;
    }
    return true;
}

/* Every leading dim of a is the result's: nothing is repeated. */
static bool has_all_rows(const ir_type *a, const ir_type *y) {
    for (int32_t i = 0; i < y->rank - 2 && a->rank == y->rank; i++)
        if (!ir_dim_equal(a->dims[i], y->dims[i])) return false;
    return a->rank == y->rank;
}

/* What is multiplied, where it is f32 of static depth and width and nothing is repeated. With one matrix on the right a's leading dims
 * are rows, too; of y the leading dims are looked at. */
static bool read_shapes(products *p, const ir_type *a, const ir_type *b, const ir_type *y) {
    if (a->dtype != DT_f32 || b->rank < 2 || a->rank < 2 || b->rank > y->rank) return false;
    if (!ir_dim_is_const(b->dims[b->rank - 2], &p->k) ||
        !ir_dim_is_const(b->dims[b->rank - 1], &p->n))
        return false;
    if (b->rank == 2) {
        p->batch = p->matrices = 1, p->which[0] = 0;
        p->rows = cg_dims_product(p->g, a->dims, a->rank - 1);
        return true;
    }
    p->rows = a->dims[a->rank - 2];
    return has_all_rows(a, y) && read_batch(p, b, y);
}

static bool is_worth_it(const products *p) {
    int64_t rows;
    return p->k >= MIN_DEPTH && p->n >= PANEL &&
           (!ir_dim_is_const(p->rows, &rows) || rows >= MIN_ROWS);
}

/* v as [batch, rows, columns]; NULL where it does not lie so. */
static const cg_view *as_batch(const products *p, const cg_view *v, int64_t batch,
                               const ir_dim *rows, const ir_dim *columns) {
    const ir_dim *dims[] = {cg_dc(p->g, batch), rows, columns};
    const cg_view *y = cg_view_reshape(p->g, v, 3, dims);
    return y && ir_dim_is(y->strides[2], 1) ? y : NULL;
}

static const cg_view *matrix(const products *p, const cg_view *v, int64_t i) {
    cg *g = p->g;
    const cg_view *one = cg_view_slice(g, v, 0, cg_dc(g, i), cg_dc(g, 1), cg_dc(g, 1));
    return cg_view_drop_axis(g, one, 0);
}

/* b as [matrices, k, n], in any strides. */
static const cg_view *right_operand(const products *p) {
    cg *g = p->g;
    const cg_view *b = cg_read(g, ir_in(p->node, 1));
    const ir_dim *dims[] = {cg_dc(g, p->matrices), cg_dc(g, p->k), cg_dc(g, p->n)};
    const cg_view *y = cg_view_reshape(g, b, 3, dims);
    return y ? y : cg_view_reshape(g, cg_materialise(g, b), 3, dims);
}

static cg_matmul *product_of(const products *p, const cg_view *a, const cg_view *w,
                             const cg_view *y, int64_t i) {
    cg_matmul *mm = TL_NEW(p->g->arena, cg_matmul);
    *mm = (cg_matmul){.g = p->g,
                      .node = p->node,
                      .m = p->rows,
                      .k = p->k,
                      .n = p->n,
                      .panel = PANEL,
                      .a = matrix(p, a, i),
                      .w = matrix(p, w, p->which[i]),
                      .y = matrix(p, y, i),
                      .diagonal = p->diagonal};
    return mm;
}

static void multiply(const products *p, const cg_view *a, const cg_view *w, const cg_view *y) {
    for (int64_t i = 0; i < p->batch; i++)
        cg_matmul_packed(product_of(p, a, w, y, i));
}

static const cg_view *packed_operand(const products *p) {
    const ir_tensor *b = ir_in(p->node, 1)->tensor;
    if (b && !b->opaque && b->type->dtype == DT_f32)
        return pack_constant(p->g, b, p->matrices, p->k, p->n);
    return pack(p->g, p->node, right_operand(p), p->matrices, p->k, p->n);
}

/* a as [batch, rows, k] */
static const cg_view *left_operand(const products *p, const cg_view *a) {
    const cg_view *rows = as_batch(p, a, p->batch, p->rows, cg_dc(p->g, p->k));
    if (rows) return rows;
    return as_batch(p, cg_materialise(p->g, a), p->batch, p->rows, cg_dc(p->g, p->k));
}

bool cg_matmul_runtime(cg *g, ir_node *node) {
    products *p = TL_NEW(g->arena, products);
    *p = (products){.g = g, .node = node};
    const ir_type *t = node->out[0].type;
    if (!read_shapes(p, ir_in(node, 0)->type, ir_in(node, 1)->type, t) || !is_worth_it(p))
        return false;
    const cg_view *left = cg_read(g, ir_in(node, 0)), *w = packed_operand(p),
                  *rows = left_operand(p, left);
    const cg_view *dest = cg_write(g, &node->out[0]),
                  *y = as_batch(p, dest, p->batch, p->rows, cg_dc(g, p->n));
    const cg_view *temporary = NULL;
    if (!y) {
        const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, 4));
        temporary = cg_view_dense(g, cg_buffer_create(g, bytes), t);
        y = as_batch(p, temporary, p->batch, p->rows, cg_dc(g, p->n));
    }
    p->diagonal = cg_find_diagonal(g, node, p->rows);
    multiply(p, rows, w, y);
    if (temporary) cg_copy(g, temporary, dest);
    return true;
}

/* ---- MatMulArg ------------------------------------------------------------------------------------------------------------ */

/* v [..., m, n] of the i-th product. */
static const cg_view *entry(cg *g, const cg_view *v, int64_t i) {
    while (v->rank > 2) {
        int32_t axis = v->rank - 3;
        int64_t size = 1;
        ir_dim_is_const(v->dims[axis], &size);
        const ir_dim *one = cg_dc(g, 1);
        v = cg_view_drop_axis(g, cg_view_slice(g, v, axis, cg_dc(g, i % size), one, one), axis);
        i /= size;
    }
    return v;
}

/* Operands beside the i-th product. */
static void set_extras(const products *p, const ir_type *product, cg_matmul *mm, int64_t i) {
    cg *g = p->g;
    const ir_region *epilogue = ir_node_find_region(p->node, "epilogue");
    if (!epilogue || ir_region_result(epilogue, 0) == epilogue->params[0]) return;
    mm->epilogue = epilogue;
    for (uint32_t e = 2; e < p->node->n_in; e++) {
        ir_value *v = mm->extra_values[mm->n_extras] = ir_in(p->node, e);
        const cg_view *x = NULL;
        if (!cg_is_literal(v))
            x = cg_view_broadcast(g, cg_read(g, v), product->rank, product->dims);
        if (x) x = p->batch > 1 ? entry(g, x, i) : cg_as_matrix(g, x);
        mm->extras[mm->n_extras++] = x;
    }
}

/* a's dims with `columns` as the last. */
static const ir_type *with_columns(cg *g, const ir_type *a, int64_t columns) {
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0; i < a->rank; i++)
        dims[i] = i < a->rank - 1 ? a->dims[i] : cg_dc(g, columns);
    return ir_type_tensor(g->c, a->dtype, a->rank, dims);
}

/* The result as [batch, rows, 1]. */
static const cg_view *positions(const products *p, const cg_view *v) {
    const ir_dim *dims[] = {cg_dc(p->g, p->batch), p->rows, cg_dc(p->g, 1)};
    return cg_view_reshape(p->g, v, 3, dims);
}

bool lower_matmul_arg(cg *g, ir_node *n) {
    products *p = TL_NEW(g->arena, products);
    cg_matmul_arg *arg = TL_NEW(g->arena, cg_matmul_arg);
    *p = (products){.g = g, .node = n};
    *arg = (cg_matmul_arg){ir_attr_int(n, "largest", 0), ir_attr_int(n, "last", 0)};
    const ir_type *a = ir_in(n, 0)->type;
    if (!read_shapes(p, a, ir_in(n, 1)->type, a) || p->n < 1)
        return cg_unsupported(g, n, "products of this shape (without pass fuse_arg)");
    const ir_type *product = with_columns(g, a, p->n), *t = n->out[0].type;
    const cg_view *left = cg_read(g, ir_in(n, 0)), *w = packed_operand(p),
                  *rows = left_operand(p, left);
    const cg_view *dest = cg_write(g, &n->out[0]), *y = positions(p, dest), *own = NULL;
    if (!y) {
        const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, 8));
        own = cg_view_dense(g, cg_buffer_create(g, bytes), t);
        y = positions(p, own);
    }
    for (int64_t i = 0; i < p->batch; i++) {
        cg_matmul *mm = product_of(p, rows, w, y, i);
        mm->arg = arg;
        set_extras(p, product, mm, i);
        cg_matmul_packed(mm);
    }
    if (own) cg_copy(g, own, dest);
    return true;
}
