/* FlexAttention, attention with graphs that change its scores and its weights:
 *
 *   FlexAttention { score_mod, prob_mod }(q, k, v)  ->  MatMul, score_mod's nodes, Softmax, prob_mod's nodes, MatMul */
#include "frontend/upgrade.h"

/* ---- FlexAttention ---------------------------------------------------------------------------- */

static ir_value *dim_of(fe_node *n, ir_value *x, int64_t axis) {
    ir_attr attrs[] = {{.name = "start", .kind = ATTR_INT, .v.i = axis},
                       {.name = "end", .kind = ATTR_INT, .v.i = axis + 1}};
    int64_t size;
    if (ir_dim_is_const(x->type->dims[axis], &size)) return fe_i64s(n, &size, 1);
    return fe_build(n, OP_Shape, &x, 1, attrs, 2);
}

static ir_value *join(fe_node *n, ir_value *const *parts, uint32_t count) {
    return fe_build(n, OP_Concat, parts, count, &(ir_attr){.name = "axis", .kind = ATTR_INT}, 1);
}

/* Keys or values repeated for the queries' heads that share them: [B,H,S,D] -> [B,H,G,S,D] -> [B,H*G,S,D]. */
static ir_value *for_all_heads(fe_node *n, ir_value *x, ir_value *q) {
    if (ir_dim_equal(x->type->dims[1], q->type->dims[1])) return x;
    ir_value *batch = dim_of(n, x, 0), *heads = dim_of(n, x, 1), *all = dim_of(n, q, 1);
    ir_value *length = dim_of(n, x, 2), *width = dim_of(n, x, 3);
    ir_value *group = fe_build2(n, OP_Div, all, heads);
    ir_value *apart = fe_unsqueeze(n, x, (int64_t[]){2}, 1);
    apart = fe_build2(n, OP_Expand, apart,
                      join(n, (ir_value *[]){batch, heads, group, length, width}, 5));
    return fe_build2(n, OP_Reshape, apart, join(n, (ir_value *[]){batch, all, length, width}, 4));
}

/* The root of the factor: it is applied to both sides of the product, so that narrow types do not overflow. */
static ir_value *root_of_scale(fe_node *n, ir_value *q, ir_dtype t) {
    ir_value *scale;
    if (fe_find_attr(n, "scale")) {
        scale = fe_scalar(n, DT_f32, (double)fe_attr_float(n, "scale", 1));
    } else {
        ir_value *width = fe_build1_int(n, OP_Cast, dim_of(n, q, 3), "to", DT_f32);
        if (!width) return NULL;
        scale = fe_build1(n, OP_Reciprocal, fe_build1(n, OP_Sqrt, width));
    }
    ir_value *root = scale ? fe_build1(n, OP_Sqrt, scale) : NULL;
    return root ? fe_build1_int(n, OP_Cast, root, "to", t) : NULL;
}

static ir_value *modified(fe_node *n, const char *name, ir_value *x) {
    const fe_attr *a = fe_find_attr(n, name);
    ir_value *y = NULL;
    if (!a || !x) return x;
    return fe_inline_graph(n, a->scope, a->graph, name, &x, 1, &y) ? y : NULL;
}

static ir_value *weights_of(fe_node *n, ir_value *q, ir_value *k, ir_dtype t, int64_t precision) {
    ir_value *root = root_of_scale(n, q, t);
    ir_value *kt = fe_build(
        n, OP_Transpose, &k, 1,
        &(ir_attr){.name = "perm", .kind = ATTR_INTS, .n = 4, .v.ints = (int64_t[]){0, 1, 3, 2}},
        1);
    ir_value *scores = fe_build2(n, OP_MatMul, fe_build2(n, OP_Mul, q, root),
                                 fe_build2(n, OP_Mul, kt, root));
    scores = modified(n, "score_mod", fe_build1_int(n, OP_Cast, scores, "to", precision));
    return modified(n, "prob_mod", fe_build1_int(n, OP_Softmax, scores, "axis", -1));
}

/* Without graphs it is Attention. */
static bool flex_attention(fe_node *n) {
    ir_dtype t;
    if (!fe_in_dtype(n, 0, &t)) return false;
    for (uint32_t i = 0; i < 3; i++)
        if (fe_rank(fe_in(n, i)) != 4) return fe_error(n, "input %u: expected rank 4", i);
    if (!fe_find_attr(n, "score_mod") && !fe_find_attr(n, "prob_mod"))
        return fe_rename(n, "Attention"), true;
    int64_t precision = fe_attr_int(n, "softmax_precision", t == DT_f64 ? DT_f64 : DT_f32);
    ir_value *q = fe_in(n, 0), *k = for_all_heads(n, fe_in(n, 1), q);
    ir_value *v = for_all_heads(n, fe_in(n, 2), q);
    ir_value *weights = k && v ? weights_of(n, q, k, t, precision) : NULL;
    if (!weights) return false;
    ir_value *y = fe_build2(n, OP_MatMul, weights, fe_build1_int(n, OP_Cast, v, "to", precision));
    return fe_finish(n, fe_build1_int(n, OP_Cast, y, "to", t));
}

/* clang-format off */
const fe_rule fe_rules_flex[] = {
    {"ai.onnx.preview", "FlexAttention", FE_ALWAYS, flex_attention, "Attention"},
    {0},
};
/* clang-format on */
