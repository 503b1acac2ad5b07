/* ConvPacked with channels last: the operand brought into the form that the kernel reads (codegen/kernels/conv_last.c).
 *
 *   x [N,C,H,W] from a convolution, no padding     as it lies
 *   padding, or another order in memory            a copy with channels last and zeros around it (codegen/kernels/pad_last.c)
 *   1 x 1, stride 1                                all positions as one axis: a matrix product of the operand as it lies */
#include "codegen/kernels/conv_last.h"
#include "codegen/kernels/pad_last.h"
#include "codegen/kernels/winograd.h"
#include "codegen/layout.h"
#include "codegen/lower/conv_packed.h"

#include "ir/limits.h"

/* [N,spatial...,C] as rows of channels. */
static const cg_view *as_rows(cg *g, const cg_view *v) {
    const ir_dim *dims[2] = {cg_dims_product(g, v->dims, v->rank - 1), v->dims[v->rank - 1]};
    const cg_view *flat = cg_view_reshape(g, v, 2, dims);
    return flat ? flat : cg_view_reshape(g, cg_materialise(g, v), 2, dims);
}

static const cg_view *prepared_operand(cg *g, ir_value *v, const ir_window *w) {
    const cg_view *x = cg_to_last(g, cg_read(g, v));
    bool ready = !ir_window_is_padded(w) &&
                 (ir_dim_is(x->strides[x->rank - 1], 1) || ir_dim_is(x->dims[x->rank - 1], 1));
    return ready ? x : cg_pad_last(g, x, w);
}

/* Padding up to whole tiles of a Winograd kernel. */
static void pad_to_tiles(cg *g, ir_window *w) {
    for (int32_t i = 0; i < w->axes; i++) {
        const ir_dim *step = cg_dc(g, CG_WINOGRAD_STEP),
                     *tiles = ir_dim_ceildiv(g->c, w->out[i], step),
                     *reach = ir_dim_add(g->c, ir_dim_mul(g->c, tiles, step),
                                         cg_dc(g, CG_WINOGRAD_READS - CG_WINOGRAD_STEP));
        w->after[i] = ir_dim_sub(g->c, reach, ir_dim_add(g->c, w->size[i], w->before[i]));
    }
}

/* Extras as rows of features, like the result. */
static void set_epilogue(cg *g, ir_node *n, cg_epilogue *e) {
    cg_epilogue_read(e, g, n);
    for (uint32_t i = 0; i < e->n; i++)
        if (e->views[i]) e->views[i] = as_rows(g, cg_to_last(g, e->views[i]));
}

/* Where the kernel writes; `temporary` where that is not the result's place. */
static const cg_view *place_result(cg *g, ir_value *v, const cg_view **temporary) {
    const cg_view *y = cg_to_last(g, cg_write_last(g, v));
    const ir_dim *dims[2] = {cg_dims_product(g, y->dims, y->rank - 1), y->dims[y->rank - 1]};
    const cg_view *rows = cg_view_reshape(g, y, 2, dims);
    *temporary = NULL;
    if (rows && (ir_dim_is(rows->strides[1], 1) || ir_dim_is(rows->dims[1], 1))) return rows;
    const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, v->type), cg_dc(g, 4));
    *temporary = cg_view_dense(g, cg_buffer_create(g, bytes),
                               ir_type_tensor(g->c, y->dtype, y->rank, y->dims));
    return cg_view_reshape(g, *temporary, 2, dims);
}

bool cg_lower_conv_last(cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    cg_conv_last_op *c = TL_NEW(g->arena, cg_conv_last_op);
    *c = (cg_conv_last_op){.g = g, .node = n};
    const cg_view *given = cg_read(g, ir_in(n, 0)), *temporary;
    const char *problem = ir_window_init(&c->window, g->c, n, t->rank - 2, given->dims + 2, NULL);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    c->groups = ir_attr_int(n, "group", 1);
    c->features = ir_attr_int(n, "features", 0) / c->groups;
    c->channels = cg_conv_channels(n);
    cg_check_equal(g, given->dims[1], cg_dc(g, c->groups * c->channels));
    bool winograd = ir_attr_int(n, "winograd", 0);
    if (!winograd) c->w = cg_read(g, ir_in(n, 1));
    if (winograd) {
        c->w = cg_read(g, cg_winograd_weight(g, ir_in(n, 1), c->channels));
        pad_to_tiles(g, &c->window);
    }
    c->x = prepared_operand(g, ir_in(n, 0), &c->window);
    set_epilogue(g, n, &c->epilogue);
    c->y = place_result(g, &n->out[0], &temporary);
    (winograd ? cg_winograd : cg_conv_last)(c);
    if (temporary) cg_copy(g, cg_from_last(g, temporary), cg_read(g, &n->out[0]));
    return true;
}
