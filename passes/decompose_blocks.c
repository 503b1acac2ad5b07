/* Blocks of pixels that are channels elsewhere, by their axes (see decompose.c):
 *
 *   %y = DepthToSpace<blocksize=2>(%x)     f32[N,4*C,H,W]   ->   Reshape to [N,2,2,C,H,W], Transpose, Reshape to [N,C,2*H,2*W]
 *   ... <mode="CRD">                                             Reshape to [N,C,2,2,H,W], ...
 *   %y = SpaceToDepth<blocksize=2>(%x)                      ->   the way back
 *
 * Channels that a convolution with constant kernels makes for CRD, the channel of the result before the place in its block, are made in the
 * order of DCR: each place's channels side by side, as they lie in the result where channels lie last (codegen/layout.h). The kernels
 * change places, no bit of a result does. Not where the result has few channels, which would not fill a vector. */
#include "passes/decompose.h"

#include "ir/limits.h"
#include "passes/short.h"
#include "passes/util.h"

enum { MIN_CHANNELS = 8 };

/* x -> reshape to six dims -> transpose -> reshape to the result's. */
static bool shuffle(ir_builder *b, ir_node *n, const ir_dim *const *six, const int64_t *perm) {
    if (!can_build_dims(b, six, 6) || !can_build_type(b, n->out[0].type)) return false;
    ir_value *x = build_reshape(b, n->in[0].value, six, 6);
    x = build_transpose(b, x, perm, 6);
    return decompose_give(n, 0, build_reshape_as(b, x, n->out[0].type));
}

static bool is_known_constant(const ir_value *v) {
    return v->tensor && !v->tensor->opaque;
}

/* A convolution whose features may change places: nobody but n reads them. */
static bool has_own_features(const ir_node *n) {
    const ir_value *x = ir_in(n, 0);
    const ir_node *conv = x->def;
    return conv && conv->op == OP_Conv && conv->parent == n->parent && ir_value_has_one_use(x) &&
           ir_attr_int(conv, "group", 1) == 1 && is_known_constant(ir_in(conv, 1)) &&
           (!ir_in(conv, 2) || is_known_constant(ir_in(conv, 2)));
}

/* [channels * places, ...] -> the same in the order [places * channels, ...] */
static ir_value *places_first(ir_builder *b, ir_value *v, int64_t channels, int64_t places) {
    const ir_type *t = v->type;
    const ir_dim *dims[IR_MAX_RANK] = {ir_dim_const(b->m->ctx, channels),
                                       ir_dim_const(b->m->ctx, places)};
    int64_t perm[IR_MAX_RANK] = {1, 0};
    for (int32_t i = 1; i < t->rank; i++)
        dims[i + 1] = t->dims[i], perm[i + 1] = i + 1;
    ir_value *apart = build_reshape(b, v, dims, (uint32_t)t->rank + 1);
    return build_reshape_as(b, build_transpose(b, apart, perm, (uint32_t)t->rank + 1), t);
}

/* From CRD to DCR, where that is a matter of constants. */
static bool swap_features(const ir_node *n) {
    int64_t channels, block = ir_attr_int(n, "blocksize", 1);
    if (!has_own_features(n) || !ir_dim_is_const(n->out[0].type->dims[1], &channels) ||
        channels < MIN_CHANNELS)
        return false;
    ir_node *conv = ir_in(n, 0)->def;
    ir_builder b = ir_build_before(conv);
    for (uint32_t i = 1; i < conv->n_in; i++)
        if (ir_in(conv, i))
            ir_node_set_operand(conv, i, places_first(&b, ir_in(conv, i), channels, block * block));
    return true;
}

bool decompose_depth_to_space(ir_builder *b, ir_node *n) {
    static const int64_t dcr[] = {0, 3, 4, 1, 5, 2}, crd[] = {0, 1, 4, 2, 5, 3};
    const ir_type *in = n->in[0].value->type, *out = n->out[0].type;
    if (!ir_type_is_ranked(in) || in->rank != 4 || !ir_type_is_ranked(out)) return false;
    const ir_dim *k = ir_dim_const(b->m->ctx, ir_attr_int(n, "blocksize", 1));
    const ir_dim *c = out->dims[1], *h = in->dims[2], *w = in->dims[3];
    const ir_dim *by_dcr[] = {in->dims[0], k, k, c, h, w}, *by_crd[] = {in->dims[0], c, k, k, h, w};
    if (!can_build_dims(b, by_dcr, 6) || !can_build_type(b, out)) return false;
    bool is_dcr = strcmp(ir_attr_string(n, "mode", "DCR"), "DCR") == 0 || swap_features(n);
    return shuffle(b, n, is_dcr ? by_dcr : by_crd, is_dcr ? dcr : crd);
}

bool decompose_space_to_depth(ir_builder *b, ir_node *n) {
    static const int64_t perm[] = {0, 3, 5, 1, 2, 4};
    const ir_type *in = n->in[0].value->type, *out = n->out[0].type;
    if (!ir_type_is_ranked(in) || in->rank != 4 || !ir_type_is_ranked(out)) return false;
    const ir_dim *k = ir_dim_const(b->m->ctx, ir_attr_int(n, "blocksize", 1));
    const ir_dim *six[] = {in->dims[0], in->dims[1], out->dims[2], k, out->dims[3], k};
    return shuffle(b, n, six, perm);
}
