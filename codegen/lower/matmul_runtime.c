/* Large products of two run-time operands: the right one is packed into panels in the workspace, then the register-tiled kernel of
 * constants does the rest (codegen/kernels/matmul_packed.c). Packing reads and writes K*N elements once, the product takes M*K*N
 * multiply-adds, so that it pays from a few rows on. Results are the same bits on any number of threads, as with packed constants.
 *
 *   y[M,N] = a[M,K] b[K,N]   ->   w[p,k,j] = b[k, panel*p + j] or 0      y = a w */
#include "codegen/lower/matmul_runtime.h"

#include "codegen/kernels/matmul_packed.h"

enum { MIN_ROWS = 8, MIN_DEPTH = 16, PANEL = 16 };

typedef struct packing {
    const cg_view *b;
    int64_t n;
} packing;

/* Lanes lie along the columns of one panel. Columns from n on are zero. */
static void pack_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const packing *p = s->data;
    lp_builder *b = &s->k->b;
    lp_value *column = lp_bin(b, LP_add, lp_bin(b, LP_mul, s->index[0], lp_index(b, PANEL)),
                              s->index[2]);
    lp_value *row = lp_bin(b, LP_mul, s->index[1], cg_kernel_dim(s->k, p->b->strides[0]));
    lp_value *n = lp_index(b, p->n), *ptr = cg_kernel_in(s->k, p->b, false);
    if (lanes > 1) {
        lp_value *left = lp_bin(b, LP_max, lp_bin(b, LP_sub, n, column), lp_index(b, 0));
        out[0] = lp_load_masked(b, lp_vec(DT_f32, lanes), ptr, lp_bin(b, LP_add, row, column),
                                left);
        return;
    }
    lp_value *inside = lp_bin(b, LP_min, column, lp_bin(b, LP_sub, n, lp_index(b, 1)));
    lp_value *at = lp_bin(b, LP_add, row,
                          lp_bin(b, LP_mul, inside, cg_kernel_dim(s->k, p->b->strides[1])));
    lp_value *x = lp_load(b, lp_scalar(DT_f32), ptr, at),
             *zero = lp_const_f(b, lp_scalar(DT_f32), 0);
    out[0] = lp_select(b, lp_bin(b, LP_lt, column, n), x, zero);
}

static const cg_view *pack(cg *g, ir_node *node, const cg_view *b, int64_t k, int64_t n) {
    int64_t panels = (n + PANEL - 1) / PANEL;
    const ir_type *t = ir_type_tensor_static(g->c, DT_f32, 3, (int64_t[]){panels, k, PANEL});
    packing *p = TL_NEW(g->arena, packing);
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *p = (packing){b, n};
    *s = (cg_nest){.g = g,
                   .node = node,
                   .rank = 3,
                   .fn = pack_point,
                   .data = p,
                   .needs_index = true,
                   .summary = "pack panels"};
    for (int32_t i = 0; i < 3; i++)
        s->dims[i] = t->dims[i];
    s->scalar = !ir_dim_is(b->strides[1], 1);
    s->out[s->n_out++] = cg_view_dense(g, cg_buffer_create(g, cg_dc(g, panels * k * PANEL * 4)), t);
    cg_nest_run(s);
    return s->out[0];
}

/* Shapes for which it is done: f32, one matrix on the right, static depth and width, enough rows. */
static bool is_worth_it(const ir_type *a, const ir_type *b, int64_t *k, int64_t *n) {
    if (a->dtype != DT_f32 || b->rank != 2 || a->rank < 2) return false;
    if (!ir_dim_is_const(b->dims[0], k) || !ir_dim_is_const(b->dims[1], n)) return false;
    int64_t rows = 1, d;
    for (int32_t i = 0; i < a->rank - 1; i++) {
        if (!ir_dim_is_const(a->dims[i], &d)) return *k >= MIN_DEPTH && *n >= PANEL;
        rows *= d;
    }
    return rows >= MIN_ROWS && *k >= MIN_DEPTH && *n >= PANEL;
}

bool cg_matmul_runtime(cg *g, ir_node *node) {
    int64_t k, n;
    if (!is_worth_it(ir_in(node, 0)->type, ir_in(node, 1)->type, &k, &n)) return false;
    const cg_view *a = cg_as_matrix(g, cg_read(g, ir_in(node, 0)));
    const ir_type *t = node->out[0].type;
    const ir_dim *dims[2] = {a->dims[0], cg_dc(g, n)};
    if (!ir_dim_is(a->strides[1], 1)) a = cg_materialise(g, a);
    const cg_view *w = pack(g, node, cg_read(g, ir_in(node, 1)), k, n);
    const cg_view *dest = cg_write(g, &node->out[0]), *y = cg_view_reshape(g, dest, 2, dims);
    bool direct = y && ir_dim_is(y->strides[1], 1);
    const cg_view *temporary =
        direct
            ? NULL
            : cg_view_dense(
                  g, cg_buffer_create(g, ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, 4))),
                  t);
    cg_matmul *mm = TL_NEW(g->arena, cg_matmul);
    *mm = (cg_matmul){
        .g = g, .node = node, .m = a->dims[0], .k = k, .n = n, .panel = PANEL, .a = a, .w = w};
    mm->y = direct ? y : cg_view_reshape(g, temporary, 2, dims);
    cg_matmul_packed(mm);
    if (!direct) cg_copy(g, temporary, dest);
    return true;
}
