/* Reshaping, slicing, padding, splitting: what was an attribute became an input, so that it can be
 * computed. */
#include "frontend/upgrade.h"

static bool shape_to_input(fe_node *n) {
    if (fe_find_attr(n, "shape")) return fe_attr_to_input(n, "shape", 1);
    return fe_in(n, 1) || fe_error(n, "attribute 'shape' is missing");
}

static bool axes_to_input(fe_node *n) {
    return fe_attr_to_input(n, "axes", 1);
}

static bool slice_to_inputs(fe_node *n) {
    return fe_attr_to_input(n, "starts", 1) && fe_attr_to_input(n, "ends", 2) &&
           fe_attr_to_input(n, "axes", 3);
}

static bool split_to_input(fe_node *n) {
    ir_value *lengths = fe_in(n, 1); /* opset 1: floats, by its schema */
    if (lengths) fe_set_in(n, 1, fe_cast(n, lengths, DT_i64));
    return fe_attr_to_input(n, "split", 1);
}

/* Equal parts were counted by the results, now by an attribute. */
static bool split_count(fe_node *n) {
    if (!fe_in(n, 1)) fe_set_attr_int(n, "num_outputs", n->n_out);
    return true;
}

static bool pad_rename(fe_node *n) {
    const fe_attr *a = fe_find_attr(n, "paddings");
    ir_attr pads = a->a;
    pads.name = "pads";
    fe_remove_attr(n, "paddings");
    fe_set_attr(n, pads);
    return true;
}

static bool pad_to_inputs(fe_node *n) {
    float value = fe_attr_float(n, "value", 0);
    fe_remove_attr(n, "value");
    if (!fe_attr_to_input(n, "pads", 1)) return false;
    if (value == 0) return true;
    ir_dtype dtype;
    if (!fe_in_dtype(n, 0, &dtype)) return false;
    fe_set_in(n, 2, fe_scalar(n, dtype, (double)value));
    return true;
}

/* Before opset 6: one axis, repeated `tiles` times, both given as inputs. */
static bool tile_one_axis(fe_node *n) {
    int64_t tiles, axis;
    int32_t rank = fe_rank(fe_in(n, 0));
    double t, a; /* of the type of the data */
    if (rank < 0 || !ir_value_const_f64(fe_in(n, 1), &t) || !ir_value_const_f64(fe_in(n, 2), &a))
        return fe_error(n, "this form needs constant tiles and axis and a known rank");
    if (!(a >= 0 && a < rank) || !(t >= 0 && t < 0x1p62))
        return fe_error(n, "tiles or axis is out of range");
    tiles = (int64_t)t;
    axis = (int64_t)a;
    int64_t repeats[IR_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        repeats[i] = i == axis ? tiles : 1;
    n->in.len = 1;
    fe_set_in(n, 1, fe_i64s(n, repeats, (uint32_t)rank));
    return true;
}

static bool concat_default_axis(fe_node *n) {
    if (!fe_find_attr(n, "axis")) fe_set_attr_int(n, "axis", 1);
    return true;
}

static bool scatter_elements(fe_node *n) {
    fe_rename(n, "ScatterElements");
    return true;
}

static bool top_k_count(fe_node *n) {
    return fe_attr_to_input(n, "k", 1);
}

/* clang-format off */
const fe_rule fe_rules_shape[] = {
    {"", "Reshape", 5, shape_to_input, NULL},
    {"", "Squeeze", 13, axes_to_input, NULL},
    {"", "Unsqueeze", 13, axes_to_input, NULL},
    {"", "Slice", 10, slice_to_inputs, NULL},
    {"", "Split", 13, split_to_input, NULL},
    {"", "Split", 18, split_count, NULL},
    {"", "Pad", 2, pad_rename, NULL},
    {"", "Pad", 11, pad_to_inputs, NULL},
    {"", "Tile", 6, tile_one_axis, NULL},
    {"", "Concat", 4, concat_default_axis, NULL},
    {"", "Scatter", FE_ALWAYS, scatter_elements, "ScatterElements"},
    {"", "TopK", 10, top_k_count, NULL},
    {0},
};
/* clang-format on */
