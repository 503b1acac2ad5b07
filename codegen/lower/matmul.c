/* Matrix products. MatMulPacked (a packed constant, with what follows it) goes to the register-tiled kernel; MatMul of two run-time
 * operands to one whose right operand is packed as the program runs, or to one that reads both as they lie. */
#include "codegen/kernels/matmul_packed.h"
#include "codegen/lower/matmul_runtime.h"
#include "codegen/lower/product.h"

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

bool lower_matmul(cg *g, ir_node *n) {
    return cg_matmul_runtime(g, n) || cg_matmul_rows(g, n);
}
