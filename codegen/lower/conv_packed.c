/* ConvPacked, by the form of its weight (passes/pack_weights.c): rows of 16 features to the kernel for channels last
 * (codegen/lower/conv_last.c), rows of 6 to the one with positions in vectors (codegen/kernels/conv_packed.c); one channel per group to the
 * kernels for windows over one channel (codegen/lower/window.c). */
#include "codegen/kernels/conv_packed.h"
#include "codegen/kernels/conv_last.h"
#include "codegen/lower/conv_packed.h"

#include "ir/limits.h"

/* All spatial axes as one where every position reads just its own element. */
static bool flatten_points(cg_conv *c, const ir_window *w) {
    cg *g = c->g;
    if (ir_window_is_padded(w)) return false;
    for (int32_t i = 0; i < w->axes; i++)
        if (!ir_dim_is(w->kernel[i], 1) || w->stride[i] != 1) return false;
    const ir_dim *dims[3] = {c->x->dims[0], c->x->dims[1], cg_dims_product(g, w->size, w->axes)};
    const cg_view *flat = cg_view_reshape(g, c->x, 3, dims);
    if (!flat) return false;
    const ir_dim *one = cg_dc(g, 1), *zero = cg_dc(g, 0);
    c->x = flat;
    c->window = (ir_window){.axes = 1,
                            .stride = {1},
                            .dilation = {1},
                            .size = {dims[2]},
                            .kernel = {one},
                            .before = {zero},
                            .after = {zero},
                            .out = {dims[2]}};
    return true;
}

static int64_t taps_of(const ir_window *w) {
    int64_t all = 1, taps = 1;
    for (int32_t i = 0; i < w->axes; i++) {
        ir_dim_is_const(w->kernel[i], &taps);
        all *= taps;
    }
    return all;
}

int64_t cg_conv_channels(const ir_node *n) {
    int64_t channels = 0, groups = ir_attr_int(n, "group", 1);
    return ir_dim_is_const(ir_in(n, 0)->type->dims[1], &channels) ? channels / groups : 0;
}

static void set_sizes(cg_conv *c, const ir_node *n) {
    c->groups = ir_attr_int(n, "group", 1);
    c->features = ir_attr_int(n, "features", 0) / c->groups;
    c->taps = taps_of(&c->window);
    c->channels = cg_conv_channels(n);
}

/* Features side by side in a row of the packed weight. */
static int64_t row_width(const ir_node *n, const ir_window *w) {
    int64_t elements = 0, depth = cg_conv_channels(n) * taps_of(w);
    ir_dim_is_const(ir_in(n, 1)->type->dims[1], &elements);
    return depth ? elements / depth : 0;
}

/* [taps, M] of a convolution with one channel per group, few features of it. */
static bool is_windows(const ir_node *n) {
    const ir_type *w = ir_in(n, 1)->type;
    if (w->rank != 2) return ir_dim_is(w->dims[1], 1);
    return ir_dim_is(w->dims[0], 1) && ir_attr_int(n, "group", 1) > 1;
}

bool lower_conv_packed(cg *g, ir_node *n) {
    const ir_type *wt = ir_in(n, 1)->type, *t = n->out[0].type;
    if (is_windows(n)) return cg_lower_depthwise(g, n);
    if (wt->rank != 2) return cg_unsupported(g, n, "weight is not packed (pass pack_weights)");
    cg_conv *c = TL_NEW(g->arena, cg_conv);
    *c = (cg_conv){.g = g, .node = n, .x = cg_read(g, ir_in(n, 0))};
    const char *problem = ir_window_init(&c->window, g->c, n, t->rank - 2, c->x->dims + 2, NULL);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    if (!cg_conv_channels(n)) return cg_unsupported(g, n, "number of channels is not known");
    if (row_width(n, &c->window) == CG_CONV_PANEL) return cg_lower_conv_last(g, n);
    c->w = cg_read(g, ir_in(n, 1));
    ir_window window = c->window;
    flatten_points(c, &window);
    set_sizes(c, n);
    cg_check_equal(g, c->x->dims[1], cg_dc(g, c->groups * c->channels));
    cg_epilogue_read(&c->epilogue, g, n);
    cg_epilogue_flatten(&c->epilogue, g);
    const cg_view *dest = cg_write(g, &n->out[0]);
    const ir_dim *dims[3] = {t->dims[0], t->dims[1], cg_dims_product(g, t->dims + 2, t->rank - 2)};
    const cg_view *y = cg_view_reshape(g, dest, 3, dims), *temporary = NULL;
    if (!y || !ir_dim_is(y->strides[2], 1)) {
        const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, 4));
        temporary = cg_view_dense(g, cg_buffer_create(g, bytes), t);
        y = cg_view_reshape(g, temporary, 3, dims);
    }
    c->y = y;
    cg_conv_packed(c);
    if (temporary) cg_copy(g, temporary, dest);
    return true;
}
