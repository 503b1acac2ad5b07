/* Normalisations and dropout. */
#include "frontend/upgrade.h"

/* ---- Dropout ---------------------------------------------------------------------------------- */

/* All true, in the shape of x; before opset 10 of its type. */
static ir_value *full_mask(fe_node *n, ir_value *x) {
    ir_dtype dtype;
    int64_t one = 1;
    if (!fe_in_dtype(n, 0, &dtype)) return NULL;
    if (n->opset >= 10) dtype = DT_bool;
    ir_tensor *t = ir_tensor_alloc(n->im->s->arena,
                                   ir_type_tensor_static(n->im->c, dtype, 1, &one));
    ir_tensor_set_i64(t, 0, 1);
    ir_tensor_seal(t);
    ir_value *shape = fe_shape(n, x);
    ir_attr value = {.name = "value", .kind = ATTR_TENSOR, .v.t = t};
    return fe_build(n, OP_ConstantOfShape, &shape, 1, &value, 1);
}

/* The flag is an input since opset 12; before that, a model for inference simply has no random
 * numbers in mind, whatever is_test says. */
static bool drops_nothing(const fe_node *n) {
    double training, ratio;
    if (!fe_in(n, 2)) return true;
    if (ir_value_const_f64(fe_in(n, 2), &training) && training == 0) return true;
    return fe_in(n, 1) && ir_value_const_f64(fe_in(n, 1), &ratio) && ratio == 0;
}

/* With a seed in the model, numpy's numbers of that seed, which ONNX's tests expect. */
static ir_value *chances(fe_node *n, ir_value *shape) {
    const fe_attr *seed = fe_find_attr(n, "seed");
    if (!seed || seed->a.kind != ATTR_INT) return fe_random(n, shape);
    ir_attr number = {.name = "seed", .kind = ATTR_INT, .v.i = seed->a.v.i};
    return fe_build(n, OP_Mt19937, &shape, 1, &number, 1);
}

/* Where the flag is set, elements of which a random number in [0, 1) is below the ratio become 0, and the others are scaled so that the
 * sum stays the same in the mean. */
static bool drop_some(fe_node *n) {
    ir_dtype t;
    ir_value *x = fe_in(n, 0), *ratio = fe_in(n, 1), *training = fe_in(n, 2),
             *shape = fe_shape(n, x);
    if (!shape || !fe_in_dtype(n, 0, &t)) return false;
    ir_value *u = chances(n, shape), *one = fe_scalar(n, DT_f64, 1);
    ratio = ratio ? fe_build1_int(n, OP_Cast, ratio, "to", DT_f64) : fe_scalar(n, DT_f64, 0.5);
    ir_value *keep = fe_build2(n, OP_Or, fe_build1(n, OP_Not, training),
                               fe_build2(n, OP_GreaterOrEqual, u, ratio));
    ir_value *scale = fe_build2(n, OP_Div, one, fe_build2(n, OP_Sub, one, ratio));
    scale = fe_build(n, OP_Where, (ir_value *[]){training, scale, one}, 3, NULL, 0);
    ir_dtype c = t == DT_f64 ? DT_f64 : DT_f32;
    ir_value *y = fe_build2(n, OP_Mul, fe_build1_int(n, OP_Cast, x, "to", c),
                            fe_build1_int(n, OP_Cast, scale, "to", c));
    y = fe_build(n, OP_Where, (ir_value *[]){keep, y, fe_scalar(n, c, 0)}, 3, NULL, 0);
    if (fe_wants(n, 1)) n->out[1] = keep;
    return fe_finish(n, fe_build1_int(n, OP_Cast, y, "to", t));
}

static bool dropout(fe_node *n) {
    if (!drops_nothing(n)) return drop_some(n);
    if (fe_wants(n, 1) && !(n->out[1] = full_mask(n, fe_in(n, 0)))) return false;
    return fe_finish(n, fe_in(n, 0));
}

/* ---- BatchNormalization ----------------------------------------------------------------------- */

/* spatial=0: statistics per element instead of per channel, so plain broadcasting does it:
 *   (x - mean) / sqrt(var + epsilon) * scale + bias */
static bool batch_norm_per_element(fe_node *n) {
    ir_dtype dtype;
    if (!fe_in_dtype(n, 4, &dtype)) return false;
    ir_value *epsilon = fe_scalar(n, dtype, (double)fe_attr_float(n, "epsilon", 1e-5f));
    ir_value *deviation = fe_build1(n, OP_Sqrt, fe_build2(n, OP_Add, fe_in(n, 4), epsilon));
    ir_value *centred = fe_build2(n, OP_Sub, fe_in(n, 0), fe_in(n, 3));
    ir_value *y = fe_build2(n, OP_Div, centred, deviation);
    y = fe_build2(n, OP_Mul, y, fe_in(n, 1));
    return fe_finish(n, fe_build2(n, OP_Add, y, fe_in(n, 2)));
}

static ir_value *mean_over(fe_node *n, ir_value *x, ir_value *axes, bool keep) {
    ir_attr keepdims = {.name = "keepdims", .kind = ATTR_INT, .v.i = keep};
    return fe_build(n, OP_ReduceMean, (ir_value *[]){x, axes}, 2, &keepdims, 1);
}

/* Results 3 and 4, before opset 14: mean and variance of the batch, which the backward pass wanted. */
static bool batch_norm_saved(fe_node *n) {
    int64_t axes[IR_MAX_RANK];
    int32_t rank = fe_rank(fe_in(n, 0));
    if (rank < 2) return fe_error(n, "saved statistics need an input of known rank");
    for (int32_t i = 1; i < rank; i++)
        axes[i - 1] = i == 1 ? 0 : i;
    ir_value *x = fe_in(n, 0), *list = fe_i64s(n, axes, (uint32_t)rank - 1);
    ir_value *centred = fe_build2(n, OP_Sub, x, mean_over(n, x, list, true));
    ir_value *variance = mean_over(n, fe_build2(n, OP_Mul, centred, centred), list, false);
    ir_attr attrs[] = {
        {.name = "epsilon", .kind = ATTR_FLOAT, .v.f = fe_attr_float(n, "epsilon", 1e-5f)},
        {.name = "momentum", .kind = ATTR_FLOAT, .v.f = fe_attr_float(n, "momentum", 0.9f)},
        {.name = "training_mode", .kind = ATTR_INT, .v.i = 1}};
    ir_node *node = fe_build_node(n, OP_BatchNormalization, n->in.data, n->in.len, 3, attrs, 3);
    ir_value *all[] = {node ? &node->out[0] : NULL, node ? &node->out[1] : NULL,
                       node ? &node->out[2] : NULL, mean_over(n, x, list, false), variance};
    for (uint32_t i = 0; i < n->n_out && i < 5; i++)
        n->out[i] = all[i];
    return n->done = node && all[3] && variance;
}

/* Whether it trains was told by is_test, then by the number of results, then by an attribute. */
static bool batch_norm(fe_node *n) {
    bool more = false;
    for (uint32_t i = 1; i < n->n_out; i++)
        more = more || fe_wants(n, i);
    bool training = more && !fe_attr_int(n, "is_test", 0);
    bool per_element = !fe_attr_int(n, "spatial", 1);
    fe_remove_attr(n, "is_test");
    fe_remove_attr(n, "spatial");
    if (per_element && more) return fe_error(n, "training with spatial=0 is not supported");
    if (per_element) return batch_norm_per_element(n);
    if (training && (fe_wants(n, 3) || fe_wants(n, 4))) return batch_norm_saved(n);
    if (training) fe_set_attr_int(n, "training_mode", 1);
    n->n_out = !training ? 1 : n->n_out > 3 ? 3 : n->n_out;
    return true;
}

/* ---- GroupNormalization ----------------------------------------------------------------------- */

/* One factor per group becomes one per channel: [G] -> [G,1] -> [G,C/G] -> [C]. */
static ir_value *per_channel(fe_node *n, ir_value *v, ir_value *sizes, ir_value *channels) {
    ir_value *column = fe_unsqueeze(n, v, (int64_t[]){1}, 1);
    return fe_build2(n, OP_Reshape, fe_build2(n, OP_Expand, column, sizes), channels);
}

/* The number of channels as a 1-D tensor of one element. */
static ir_value *count_channels(fe_node *n, ir_value *x) {
    ir_attr attrs[] = {{.name = "start", .kind = ATTR_INT, .v.i = 1},
                       {.name = "end", .kind = ATTR_INT, .v.i = 2}};
    int64_t c;
    if (fe_rank(x) > 1 && ir_dim_is_const(x->type->dims[1], &c)) return fe_i64s(n, &c, 1);
    return fe_build(n, OP_Shape, &x, 1, attrs, 2);
}

static bool group_norm_channels(fe_node *n) {
    int64_t groups = fe_attr_int(n, "num_groups", 0), one = 1;
    if (groups < 1) return fe_error(n, "attribute 'num_groups' is %lld", (long long)groups);
    ir_value *channels = count_channels(n, fe_in(n, 0));
    if (!channels) return false;
    ir_value *size = fe_build2(n, OP_Div, channels, fe_i64s(n, &groups, 1));
    ir_value *sizes = fe_build(n, OP_Concat, (ir_value *[]){fe_i64s(n, &one, 1), size}, 2,
                               &(ir_attr){.name = "axis", .kind = ATTR_INT}, 1);
    ir_value *scale = per_channel(n, fe_in(n, 1), sizes, channels);
    ir_value *bias = per_channel(n, fe_in(n, 2), sizes, channels);
    if (!scale || !bias) return false;
    fe_set_in(n, 1, scale);
    fe_set_in(n, 2, bias);
    return true;
}

/* clang-format off */
const fe_rule fe_rules_norm[] = {
    {"", "Dropout", FE_ALWAYS, dropout, "Identity"},
    {"", "BatchNormalization", 14, batch_norm, NULL},
    {"", "GroupNormalization", 21, group_norm_channels, NULL},
    {0},
};
/* clang-format on */
