/* ConvBytes: sums of all bytes of a window (attribute `sums`: a weight of ones for one feature) go to a kernel that adds them; others to
 * the packed product whose rows are windows, or, with one channel per group, to the kernel that has channels in its lanes. */
#include "codegen/kernels/byte_sums.h"
#include "codegen/lower/matmul_runtime.h"
#include "codegen/lower/product.h"

#include "ir/limits.h"

/* The image with its channels side by side. */
static const cg_view *side_by_side(cg *g, const cg_view *x) {
    const ir_dim *step = x->strides[x->rank - 1];
    return ir_dim_is(step, 1) || ir_dim_is(x->dims[x->rank - 1], 1) ? x : cg_materialise(g, x);
}

const cg_view *cg_whole_quads(cg *g, const cg_view *x) {
    const ir_dim *dims[IR_MAX_RANK];
    int64_t last = 0;
    ir_dim_is_const(x->dims[x->rank - 1], &last);
    if (last % 4 == 0) return x;
    for (int32_t i = 0; i < x->rank - 1; i++)
        dims[i] = x->dims[i];
    dims[x->rank - 1] = cg_dc(g, (last + 3) / 4 * 4);
    const ir_type *t = ir_type_tensor(g->c, x->dtype, x->rank, dims);
    const cg_view *all = cg_view_dense(g, cg_buffer_create(g, ir_type_elements(g->c, t)), t);
    const ir_dim *zero = cg_dc(g, 0), *one = cg_dc(g, 1);
    const cg_view *part = cg_view_slice(g, all, x->rank - 1, zero, one, x->dims[x->rank - 1]);
    cg_copy(g, x, part);
    return part;
}

static int64_t count_taps(const ir_window *w) {
    int64_t taps = 1, size = 1;
    for (int32_t i = 0; i < w->axes; i++)
        if (ir_dim_is_const(w->kernel[i], &size)) taps *= size;
    return taps;
}

static bool lower_dense(cg *g, ir_node *n, const cg_view *x, const ir_window *w) {
    const ir_type *wt = ir_in(n, 1)->type, *t = n->out[0].type;
    int64_t channels = 0;
    if (wt->rank != 3) return cg_unsupported(g, n, "weight is not packed (pass pack_weights)");
    ir_window *window = TL_NEW(g->arena, ir_window);
    *window = *w;
    cg_matmul *mm = TL_NEW(g->arena, cg_matmul);
    *mm = (cg_matmul){.g = g, .node = n, .quads = true, .window = window};
    mm->taps = count_taps(w);
    mm->pad = ir_attr_int(n, "pad", 0);
    ir_dim_is_const(x->dims[x->rank - 1], &channels);
    mm->a = cg_whole_quads(g, side_by_side(g, x));
    ir_dim_is_const(wt->dims[2], &mm->panel);
    mm->k = mm->taps * channels;
    mm->m = cg_dims_product(g, t->dims, t->rank - 1);
    return cg_finish_product(mm);
}

/* Operands of the epilogue as [positions, C]. */
static void flatten_epilogue(cg *g, cg_epilogue *e) {
    for (uint32_t i = 0; i < e->n; i++)
        if (e->views[i]) e->views[i] = cg_as_matrix(g, e->views[i]);
}

static bool lower_by_position(cg *g, ir_node *n, const cg_view *x, const ir_window *w) {
    const ir_type *wt = ir_in(n, 1)->type, *t = n->out[0].type;
    bool sums = ir_attr_int(n, "sums", 0);
    if (wt->dtype != DT_i32)
        return cg_unsupported(g, n, "weight is not packed (pass pack_weights)");
    cg_depthwise *d = TL_NEW(g->arena, cg_depthwise);
    *d = (cg_depthwise){.g = g, .node = n, .window = *w, .w = cg_read(g, ir_in(n, 1))};
    d->x = side_by_side(g, x);
    d->taps = count_taps(w);
    d->pad = ir_attr_int(n, "pad", 0);
    ir_dim_is_const(x->dims[x->rank - 1], &d->channels);
    cg_epilogue_read(&d->epilogue, g, n);
    flatten_epilogue(g, &d->epilogue);
    const cg_view *dest = cg_write(g, &n->out[0]), *temporary = NULL;
    const ir_dim *dims[2] = {cg_dims_product(g, t->dims, t->rank - 1), t->dims[t->rank - 1]};
    d->y = cg_view_reshape(g, dest, 2, dims);
    if (!d->y || !(ir_dim_is(d->y->strides[1], 1) || d->channels == 1)) {
        const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t),
                                         cg_dc(g, cg_elem_bytes(t->dtype)));
        temporary = cg_view_dense(g, cg_buffer_create(g, bytes), t);
        d->y = cg_view_reshape(g, temporary, 2, dims);
    }
    (sums ? cg_byte_sums : cg_depthwise_bytes)(d);
    if (temporary) cg_copy(g, temporary, dest);
    return true;
}

bool lower_conv_bytes(cg *g, ir_node *n) {
    const cg_view *x = cg_read(g, ir_in(n, 0));
    ir_window w;
    const char *problem = ir_window_init(&w, g->c, n, x->rank - 2, x->dims + 1, NULL);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    bool by_position = ir_attr_int(n, "group", 1) > 1 || ir_attr_int(n, "sums", 0);
    return by_position ? lower_by_position(g, n, x, &w) : lower_dense(g, n, x, &w);
}
