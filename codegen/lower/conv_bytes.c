/* ConvBytes: sums of all bytes of a window (attribute `sums`: a weight of ones for one feature) go to a kernel that adds them; others to
 * the packed product whose rows are windows, or, with one channel per group, to the kernel that has channels in its lanes.
 *
 * Of few channels a tap is a quad or a few, too short a run for groups of steps and for the table of places. The image is copied with its
 * padding around it; then the taps of a row of the kernel lie side by side, a run each:
 *
 *   x u8[1,224,224,3], kernel 7 x 7, pads 3     ->      u8[1,230,230,4], 7 taps whose runs are 7 quads */
#include "codegen/kernels/byte_sums.h"
#include "codegen/lower/matmul_runtime.h"
#include "codegen/lower/product.h"

#include "ir/limits.h"

enum { FEW_CHANNELS = 16 };

/* The image with its channels side by side. */
static const cg_view *side_by_side(cg *g, const cg_view *x) {
    const ir_dim *step = x->strides[x->rank - 1];
    return ir_dim_is(step, 1) || ir_dim_is(x->dims[x->rank - 1], 1) ? x : cg_materialise(g, x);
}

static const cg_view *fresh_bytes(cg *g, int32_t rank, const ir_dim *const *dims) {
    const ir_type *t = ir_type_tensor(g->c, DT_u8, rank, dims);
    return cg_view_dense(g, cg_buffer_create(g, ir_type_elements(g->c, t)), t);
}

static const cg_view *cut(cg *g, const cg_view *v, int32_t axis, const ir_dim *from,
                          const ir_dim *n) {
    return cg_view_slice(g, v, axis, from, cg_dc(g, 1), n);
}

const cg_view *cg_whole_quads(cg *g, const cg_view *x) {
    const ir_dim *dims[IR_MAX_RANK];
    int64_t last = 0;
    ir_dim_is_const(x->dims[x->rank - 1], &last);
    if (last % 4 == 0) return x;
    for (int32_t i = 0; i < x->rank - 1; i++)
        dims[i] = x->dims[i];
    dims[x->rank - 1] = cg_dc(g, (last + 3) / 4 * 4);
    const cg_view *all = fresh_bytes(g, x->rank, dims);
    const cg_view *part = cut(g, all, x->rank - 1, cg_dc(g, 0), x->dims[x->rank - 1]);
    cg_copy(g, x, part);
    return part;
}

static int64_t count_taps(const ir_window *w) {
    int64_t taps = 1, size = 1;
    for (int32_t i = 0; i < w->axes; i++)
        if (ir_dim_is_const(w->kernel[i], &size)) taps *= size;
    return taps;
}

/* ---- few channels ----------------------------------------------------------------------------------------------------- */

static bool has_few_channels(const ir_window *w, int64_t channels) {
    int32_t last = w->axes - 1;
    return channels <= FEW_CHANNELS && w->dilation[last] == 1 && !ir_dim_is(w->kernel[last], 1);
}

static void fill(cg *g, const cg_view *to, int64_t value) {
    ir_tensor *t = ir_tensor_alloc(g->arena, ir_type_tensor_static(g->c, DT_u8, 0, NULL));
    ir_tensor_set_i64(t, 0, value);
    ir_tensor_seal(t);
    const cg_view *from = cg_read(g, ir_module_const(g->m, t, NULL));
    cg_copy(g, cg_view_broadcast(g, from, to->rank, to->dims), to);
}

/* x with its padding around it, and room for whole quads of channels. */
static const cg_view *framed(cg *g, const cg_view *x, const ir_window *w, int64_t pad) {
    const ir_dim *dims[IR_MAX_RANK], *zero = cg_dc(g, 0);
    int32_t last = x->rank - 1;
    int64_t channels = 0;
    ir_dim_is_const(x->dims[last], &channels);
    dims[0] = x->dims[0];
    for (int32_t i = 0; i < w->axes; i++)
        dims[i + 1] = ir_dim_add(g->c, ir_dim_add(g->c, w->before[i], w->size[i]), w->after[i]);
    dims[last] = cg_dc(g, (channels + 3) / 4 * 4);
    const cg_view *all = fresh_bytes(g, x->rank, dims);
    const cg_view *inner = cut(g, all, last, zero, x->dims[last]);
    for (int32_t i = 0; i < w->axes; i++) {
        const ir_dim *end = ir_dim_add(g->c, w->before[i], w->size[i]);
        if (!ir_dim_is(w->before[i], 0)) fill(g, cut(g, inner, i + 1, zero, w->before[i]), pad);
        if (!ir_dim_is(w->after[i], 0)) fill(g, cut(g, inner, i + 1, end, w->after[i]), pad);
        inner = cut(g, inner, i + 1, w->before[i], w->size[i]);
    }
    cg_copy(g, x, inner);
    return all;
}

/* Rows of the kernel become taps of one position. */
static void join_rows(cg_matmul *mm, const cg_view *x, ir_window *w) {
    cg *g = mm->g;
    int32_t last = w->axes - 1;
    int64_t size = 1;
    mm->a = framed(g, x, w, mm->pad);
    for (int32_t i = 0; i < w->axes; i++) {
        w->size[i] = mm->a->dims[i + 1];
        w->before[i] = w->after[i] = cg_dc(g, 0);
    }
    ir_dim_is_const(w->kernel[last], &size);
    w->kernel[last] = cg_dc(g, 1);
    mm->taps /= size;
    mm->run_steps *= size;
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
    mm->run_steps = (channels + 3) / 4;
    mm->k = mm->taps * channels;
    if (has_few_channels(w, channels))
        join_rows(mm, x, window);
    else
        mm->a = cg_whole_quads(g, side_by_side(g, x));
    ir_dim_is_const(wt->dims[2], &mm->panel);
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
