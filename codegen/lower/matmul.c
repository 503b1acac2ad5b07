/* Matrix products. MatMulPacked (a packed constant, with what follows it) goes to the register-tiled kernel; MatMul of two run-time
 * operands to a simpler one that reads both as they lie. */
#include "codegen/kernels/matmul_packed.h"
#include "codegen/lower/matmul_runtime.h"
#include "codegen/lower/product.h"

#include "ir/limits.h"

const cg_view *cg_as_matrix(cg *g, const cg_view *v) {
    const ir_dim *dims[2] = {cg_dims_product(g, v->dims, v->rank - 1), v->dims[v->rank - 1]};
    const cg_view *flat = cg_view_reshape(g, v, 2, dims);
    bool usable = flat && (ir_dim_is(flat->strides[1], 1) || ir_dim_is(flat->strides[1], 0));
    return usable ? flat : cg_view_reshape(g, cg_materialise(g, v), 2, dims);
}

static void add_extras(cg_matmul *mm, const ir_type *t) {
    cg *g = mm->g;
    for (uint32_t i = 2; i < mm->node->n_in; i++) {
        ir_value *v = ir_in(mm->node, i);
        mm->extra_values[mm->n_extras] = v;
        bool literal = cg_is_literal(v);
        mm->extras[mm->n_extras++] = literal ? NULL
                                             : cg_as_matrix(g, cg_view_broadcast(g, cg_read(g, v),
                                                                                 t->rank, t->dims));
    }
}

/* k: for bytes the packed weight only tells it in steps of four. */
static bool set_depth(cg_matmul *mm, const ir_dim *of_rows, const ir_dim *of_weight) {
    if (mm->quads || mm->bits) return ir_dim_is_const(of_rows, &mm->k);
    cg_check_equal(mm->g, of_rows, of_weight);
    return ir_dim_is_const(of_weight, &mm->k);
}

bool cg_finish_product(cg_matmul *mm) {
    cg *g = mm->g;
    ir_node *n = mm->node;
    const ir_type *t = n->out[0].type;
    const ir_region *epilogue = ir_node_find_region(n, "epilogue");
    if (epilogue && ir_region_result(epilogue, 0) != epilogue->params[0]) mm->epilogue = epilogue;
    const ir_tensor *w = ir_in(n, 1)->tensor;
    bool grouped = mm->quads && w && cg_group_bytes(mm, w);
    if (mm->quads && !grouped && ir_in(n, 1)->type->dtype == DT_i64)
        return cg_unsupported(g, n, "weights of i16 that are not known");
    if (!grouped) mm->w = cg_read(g, ir_in(n, 1));
    ir_dim_is_const(t->dims[t->rank - 1], &mm->n);
    if (mm->epilogue) add_extras(mm, t);
    const cg_view *dest = cg_write(g, &n->out[0]);
    const ir_dim *dims[2] = {mm->m, cg_dc(g, mm->n)};
    const cg_view *y = cg_view_reshape(g, dest, 2, dims), *temporary = NULL;
    if (!y || !(ir_dim_is(y->strides[1], 1) || mm->n == 1)) {
        const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t),
                                         cg_dc(g, cg_elem_bytes(t->dtype)));
        temporary = cg_view_dense(g, cg_buffer_create(g, bytes), t);
        y = cg_view_reshape(g, temporary, 2, dims);
    }
    mm->y = y;
    cg_matmul_packed(mm);
    if (temporary) cg_copy(g, temporary, dest);
    return true;
}

bool lower_matmul_packed(cg *g, ir_node *n) {
    const ir_type *at = ir_in(n, 0)->type;
    cg_matmul *mm = TL_NEW(g->arena, cg_matmul);
    const ir_type *wt = ir_in(n, 1)->type;
    if (wt->rank != 3) return cg_unsupported(g, n, "weight is not packed (pass pack_weights)");
    *mm = (cg_matmul){.g = g, .node = n};
    mm->quads = at->dtype == DT_u8 && (wt->dtype == DT_i32 || wt->dtype == DT_i64);
    mm->bits = ir_attr_int(n, "bits", 0);
    mm->block = ir_attr_int(n, "block", 0);
    if (!mm->quads && !mm->bits && wt->dtype != DT_f32)
        return cg_unsupported(g, n, "packed weight is not f32");
    if (!set_depth(mm, at->dims[at->rank - 1], wt->dims[1]))
        return cg_unsupported(g, n, "length of the products is not known");
    ir_dim_is_const(wt->dims[2], &mm->panel);
    if (mm->bits) mm->panel = ir_attr_int(n, "panel", 16);
    const cg_view *a = cg_as_matrix(g, cg_read(g, ir_in(n, 0)));
    mm->a = ir_dim_is(a->strides[1], 1) || mm->k == 1 ? a : cg_materialise(g, a);
    mm->m = a->dims[0];
    if (mm->quads) mm->a = cg_whole_quads(g, mm->a);
    return cg_finish_product(mm);
}

/* ---- two run-time operands ------------------------------------------------------------------------------------------------ */

typedef struct product {
    cg *g;
    cg_kernel k;
    const cg_view *a, *b,
        *y; /* broadcast to [batch..., m, k], [batch..., k, n], [batch..., m, n] */
    int32_t rank;
    ir_dtype compute;
    lp_value *pa, *pb, *py, *base_a, *base_b, *base_y;
} product;

static lp_value *zero_of(lp_builder *b, ir_dtype t, unsigned lanes) {
    return ir_dtype_is_float(t) ? lp_const_f(b, lp_vec(t, lanes), 0)
                                : lp_const_i(b, lp_vec(t, lanes), 0);
}

/* y[row, j .. j+lanes) */
static void product_point(product *p, unsigned lanes, lp_value *j) {
    lp_builder *b = &p->k.b;
    int32_t r = p->rank;
    lp_value *depth = cg_kernel_dim(&p->k, p->a->dims[r - 1]), *acc = zero_of(b, p->compute, lanes);
    lp_value *a_step = cg_kernel_dim(&p->k, p->a->strides[r - 1]),
             *b_step = cg_kernel_dim(&p->k, p->b->strides[r - 2]);
    lp_value *b_lane = cg_kernel_dim(&p->k, p->b->strides[r - 1]);
    lp_value *b_at = lp_bin(b, LP_add, p->base_b, lp_bin(b, LP_mul, j, b_lane));
    lp_loop l = lp_for_begin(b, lp_index(b, 0), depth, lp_index(b, 1), &acc, 1);
    lp_value *x = cg_load(b, p->a->dtype, 1, p->pa,
                          lp_bin(b, LP_add, p->base_a, lp_bin(b, LP_mul, l.counter, a_step)),
                          a_step);
    lp_value *w = cg_load(b, p->b->dtype, lanes, p->pb,
                          lp_bin(b, LP_add, b_at, lp_bin(b, LP_mul, l.counter, b_step)), b_lane);
    x = lp_broadcast(b, x, lanes);
    lp_value *next = ir_dtype_is_float(p->compute)
                         ? lp_fma(b, x, w, l.carried[0])
                         : lp_bin(b, LP_add, l.carried[0], lp_bin(b, LP_mul, x, w));
    lp_for_end(b, &l, &next);
    lp_value *y_step = cg_kernel_dim(&p->k, p->y->strides[r - 1]);
    cg_store(b, p->y->dtype, lanes, p->py,
             lp_bin(b, LP_add, p->base_y, lp_bin(b, LP_mul, j, y_step)), y_step, l.results[0]);
}

static void product_row(product *p) {
    lp_builder *b = &p->k.b;
    int32_t r = p->rank;
    bool vector = ir_dim_is(p->b->strides[r - 1], 1) && ir_dim_is(p->y->strides[r - 1], 1);
    unsigned lanes = vector ? p->g->target->lanes_f32 : 1;
    lp_value *n = cg_kernel_dim(&p->k, p->y->dims[r - 1]), *mid = lp_index(b, 0),
             *w = lp_index(b, lanes);
    if (lanes > 1) {
        mid = lp_bin(b, LP_mul, lp_bin(b, LP_div, n, w), w);
        lp_loop l = lp_for_begin(b, lp_index(b, 0), mid, w, NULL, 0);
        product_point(p, lanes, l.counter);
        lp_for_end(b, &l, NULL);
    }
    lp_loop l = lp_for_begin(b, mid, n, lp_index(b, 1), NULL, 0);
    product_point(p, 1, l.counter);
    lp_for_end(b, &l, NULL);
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

bool lower_matmul(cg *g, ir_node *n) {
    if (cg_matmul_runtime(g, n)) return true;
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
