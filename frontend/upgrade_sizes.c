/* Sizes that are data. Operators whose result is as large as an operand says get it by way of a tensor of those sizes that nobody
 * stores:
 *
 *   %y = CenterCropPad(%x, %sizes)   ->   %a = Expand(@0, %sizes)      the run checks them, and gives %a.d0, %a.d1 their values
 *                                         %s = Shape(%a)               known to be {%a.d0, %a.d1}
 *                                         %y = CenterCropPad(%x, %s)   f32[%a.d0,%a.d1]
 *
 * A length that must not be 0 goes through as one less, so that inference knows it to be 1 at least.
 * So one operator knows what to do with sizes that only the run tells, and to all others they are symbols. Operators that have a shape
 * function of their own (Reshape, Slice, Pad, ...) need none of this, nor does an operand whose contents are known. */
#include "frontend/upgrade.h"

static bool is_known(const ir_value *v) {
    if (v->tensor) return true;
    for (uint32_t i = 0; v->known && i < v->known->n; i++)
        if (ir_dim_is_unknown(v->known->dims[i])) return false;
    return v->known;
}

/* Operand i holds `count` sizes, any number of them where that is 0; none is below `least`. */
static bool by_expand(fe_node *n, uint32_t i, int64_t count, int64_t least) {
    ir_value *v = fe_in(n, i);
    int32_t rank = fe_rank(v);
    if (!v || rank < 0 || rank > 1 || is_known(v) || !ir_dtype_is_int(v->type->dtype)) return true;
    bool has_length = rank == 0 || ir_dim_is_const(v->type->dims[0], &count);
    if (!has_length && !count) return true;
    if (has_length && rank == 1 && (count < 1 || count > IR_MAX_RANK)) return true;
    ir_value *list = fe_cast(n, v, DT_i64);
    if (rank == 0) list = fe_unsqueeze(n, list, (int64_t[]){0}, 1);
    if (!has_length) list = fe_build2(n, OP_Reshape, list, fe_i64s(n, &count, 1));
    ir_value *offset = least ? fe_i64s(n, &least, 1) : NULL;
    if (least) list = fe_build2(n, OP_Sub, list, offset);
    ir_value *s = fe_shape(n, fe_build2(n, OP_Expand, fe_scalar(n, DT_u8, 0), list));
    if (least) s = fe_build2(n, OP_Add, s, offset);
    if (rank == 0) s = fe_build2(n, OP_Squeeze, s, fe_i64s(n, (int64_t[]){0}, 1));
    s = fe_cast(n, s, v->type->dtype);
    fe_set_in(n, i, s);
    return s;
}

static bool window(fe_node *n) {
    return by_expand(n, 0, 0, 0);
}

/* As many as axes: those named, or all of the operand's. */
static int64_t count_axes(const fe_node *n) {
    const fe_attr *axes = fe_find_attr(n, "axes");
    int32_t rank = fe_rank(fe_in(n, 0));
    if (axes && axes->a.kind == ATTR_INTS) return axes->a.n;
    return rank > 0 ? rank : 0;
}

static bool center_crop_pad(fe_node *n) {
    return by_expand(n, 1, count_axes(n), 0);
}

static bool resize(fe_node *n) {
    return by_expand(n, 3, count_axes(n), 0);
}

static bool max_unpool(fe_node *n) {
    int32_t rank = fe_rank(fe_in(n, 0));
    return by_expand(n, 2, rank > 0 ? rank : 0, 0);
}

static bool affine_grid(fe_node *n) {
    return by_expand(n, 1, 0, 0);
}

static bool col2im(fe_node *n) {
    return by_expand(n, 1, 0, 0) && by_expand(n, 2, 0, 0);
}

static bool dft(fe_node *n) {
    return by_expand(n, 1, 0, 1);
}

static bool stft(fe_node *n) {
    return by_expand(n, 1, 0, 1) && by_expand(n, 3, 0, 1);
}

/* clang-format off */
const fe_rule fe_rules_sizes[] = {
    {"", "AffineGrid", FE_ALWAYS, affine_grid, NULL},
    {"", "BlackmanWindow", FE_ALWAYS, window, NULL},
    {"", "CenterCropPad", FE_ALWAYS, center_crop_pad, NULL},
    {"", "Col2Im", FE_ALWAYS, col2im, NULL},
    {"", "DFT", FE_ALWAYS, dft, NULL},
    {"", "HammingWindow", FE_ALWAYS, window, NULL},
    {"", "HannWindow", FE_ALWAYS, window, NULL},
    {"", "MaxUnpool", FE_ALWAYS, max_unpool, NULL},
    {"", "Resize", FE_ALWAYS, resize, NULL},
    {"", "STFT", FE_ALWAYS, stft, NULL},
    {0},
};
/* clang-format on */
