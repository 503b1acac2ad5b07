/* move_quantized: tensors are moved about as the bytes they were quantised to.
 *
 *   before:  %x = DequantizeLinear(%qx, @s, @z)         after:  %t = Transpose(%qx)
 *            %t = Transpose(%x)                                 %y = MaxPool(%t)
 *            %m = MaxPool(%t)
 *            %y = QuantizeLinear(%m, @s, @z)
 *
 * DequantizeLinear of bytes with one scale goes behind what only moves elements, or takes the largest of them (the scale is above 0);
 * QuantizeLinear goes in front of a Concat that it alone reads and whose operands are dequantised. Where the two meet with the same scale and
 * zero point, both go away: (q - z) s / s rounds to q - z for every byte, as the quotient is wrong by less than a part in 2^22. With other
 * scales tabulate makes a table of them.
 *
 * Also a table of embeddings is dequantised behind Gather, a few rows of it; where rows have scales of their own, these are picked as the
 * rows are, and are then one for each block, the row. Constants else stay as they are: folding takes them. */
#include "passes/match.h"
#include "passes/quantized.h"
#include "passes/util.h"

#include <math.h>

/* ---- what is quantised how ------------------------------------------------------------------------------------------ */

static bool is_byte_type(ir_dtype t) {
    return t == DT_u8 || t == DT_i8;
}

/* One constant above 0, far from the ends of the type's range. */
static bool is_plain_scale(const ir_value *s) {
    if (!ir_value_is_const(s) || s->tensor->opaque || !is_single_element(s)) return false;
    double v = ir_tensor_get_f64(s->tensor, 0);
    return v > ldexp(1, -100) && v < ldexp(1, 100);
}

/* The DequantizeLinear of bytes with one plain scale that v comes from. */
static const ir_node *find_plain(const ir_value *v) {
    const ir_node *d = v ? find_dequantized(v) : NULL;
    if (!d || !is_byte_type(ir_in(d, 0)->type->dtype)) return NULL;
    bool plain = is_plain_scale(ir_in(d, 1)) && is_single_element(ir_in(d, 2)) &&
                 (!ir_in(d, 2) || ir_value_is_const(ir_in(d, 2)));
    return plain ? d : NULL;
}

static bool same_constant(const ir_value *a, const ir_value *b) {
    if (a == b) return true;
    return a && b && ir_value_is_const(a) && ir_value_is_const(b) && !a->tensor->opaque &&
           !b->tensor->opaque && a->type->dtype == b->type->dtype &&
           ir_tensor_get_f64(a->tensor, 0) == ir_tensor_get_f64(b->tensor, 0);
}

static bool is_zero(const ir_value *zero) {
    return !zero || ir_tensor_get_i64(zero->tensor, 0) == 0;
}

static bool same_zero(const ir_value *a, const ir_value *b) {
    return same_constant(a, b) || (is_zero(a) && is_zero(b));
}

/* Quantises to the bytes that `d` has dequantised. */
static bool undoes(const ir_node *q, const ir_node *d) {
    const ir_value *zero = ir_in(q, 2);
    if (!d || ir_attr_int(q, "block_size", 0) || ir_attr_int(q, "precision", 0) ||
        (zero && !(ir_value_is_const(zero) && is_single_element(zero))))
        return false;
    return q->out[0].type->dtype == ir_in(d, 0)->type->dtype &&
           same_constant(ir_in(q, 1), ir_in(d, 1)) && same_zero(zero, ir_in(d, 2));
}

/* ---- DequantizeLinear behind what moves elements ---------------------------------------------------------------------- */

static bool moves_elements(const ir_node *n) {
    switch (n->op) {
    case OP_Transpose:
    case OP_Slice:
    case OP_Split:
    case OP_Expand:
        return true;
    case OP_MaxPool:
        return n->n_out == 1 || !n->out[1].uses;
    case OP_Resize:
        return strcmp(ir_attr_string(n, "mode", "nearest"), "nearest") == 0 &&
               strcmp(ir_attr_string(n, "coordinate_transformation_mode", "half_pixel"),
                      "tf_crop_and_resize") != 0;
    default:
        return is_reshape_like(n->op);
    }
}

/* The constant table of Gather is worth moving; other constants are folded. */
static bool may_sink(const ir_node *n, const ir_node *d) {
    return ir_value_is_const(ir_in(d, 0)) ? n->op == OP_Gather
                                          : n->op == OP_Gather || moves_elements(n);
}

static bool sink(pass_ctx *ctx, ir_node *n) {
    const ir_node *d = n->n_in && n->n_in <= 8 ? find_plain(ir_in(n, 0)) : NULL;
    if (!d || !may_sink(n, d) || !ctx_take(ctx, "dequantised later")) return false;
    ir_builder b = ir_build_before(n);
    ir_value *in[8] = {ir_in(d, 0)};
    for (uint32_t i = 1; i < n->n_in; i++)
        in[i] = ir_in(n, i);
    ir_node *moved = build_node(&b, n->op, in, n->n_in, n->n_out, n->attrs, n->n_attrs);
    for (uint32_t i = 0; i < n->n_out; i++) {
        ir_value *of[3] = {&moved->out[i], ir_in(d, 1), ir_in(d, 2)};
        if (!n->out[i].uses) continue;
        ir_node *f = build_node(&b, OP_DequantizeLinear, of, d->n_in, 1, d->attrs, d->n_attrs);
        pass_replace(ctx, &n->out[i], f->out);
    }
    ir_node_remove(n);
    return true;
}

/* ---- rows of a table ---------------------------------------------------------------------------------------------------- */

/* Scales or zero points of the rows in a table of codes[rows, row], as a table themselves: by blocks, or a block for each row. */
static ir_value *table_of(ir_builder *b, ir_value *v) {
    return v->type->rank == 2 ? v
                              : build_op2(b, OP_Reshape, v, build_i64s(b, (int64_t[]){-1, 1}, 2));
}

/* The DequantizeLinear of a constant table whose scales lie along a row: by blocks, or one for each row. Its block: *block. */
static const ir_node *find_table(const ir_node *n, int64_t *block) {
    const ir_node *d = n->op == OP_Gather ? match_def(ir_in(n, 0), OP_DequantizeLinear) : NULL;
    if (!d || !ir_value_is_const(ir_in(d, 0)) || ir_in(d, 0)->type->rank != 2 ||
        !is_byte_type(ir_in(d, 0)->type->dtype)) /* Gather has none of four bits */
        return NULL;
    const ir_type *s = ir_in(d, 1)->type;
    int32_t axis = normal_axis(ir_attr_int(d, "axis", 1), 2);
    *block = ir_attr_int(d, "block_size", 0);
    bool by_row = *block == 0 && axis == 0 && ir_type_is_ranked(s) && s->rank == 1 &&
                  !is_single_element(ir_in(d, 1));
    if (by_row) return ir_dim_is_const(ir_in(d, 0)->type->dims[1], block) && *block > 0 ? d : NULL;
    return *block > 0 && axis == 1 ? d : NULL;
}

static bool pick_rows(pass_ctx *ctx, ir_node *n) {
    int64_t block;
    const ir_node *d = find_table(n, &block);
    if (!d || normal_axis(ir_attr_int(n, "axis", 0), 2) != 0 || !ir_type_is_ranked(n->out[0].type))
        return false;
    if (!ctx_take(ctx, "rows dequantised later")) return false;
    ir_builder b = ir_build_before(n);
    ir_value *in[3] = {NULL};
    for (uint32_t i = 0; i < d->n_in; i++)
        if (ir_in(d, i)) in[i] = build_op2(&b, OP_Gather, table_of(&b, ir_in(d, i)), ir_in(n, 1));
    ir_attr attrs[] = {{.name = "axis", .kind = ATTR_INT, .v.i = n->out[0].type->rank - 1},
                       {.name = "block_size", .kind = ATTR_INT, .v.i = block}};
    pass_replace(ctx, &n->out[0],
                 build_node(&b, OP_DequantizeLinear, in, d->n_in, 1, attrs, 2)->out);
    ir_node_remove(n);
    return true;
}

/* ---- QuantizeLinear --------------------------------------------------------------------------------------------------- */

static bool is_plain_quantize(const ir_node *q) {
    return q->op == OP_QuantizeLinear && is_byte_type(q->out[0].type->dtype) &&
           is_plain_scale(ir_in(q, 1)) && is_single_element(ir_in(q, 2));
}

static bool cancel(pass_ctx *ctx, ir_node *q) {
    const ir_node *d = find_plain(ir_in(q, 0));
    if (!undoes(q, d) || !ctx_take(ctx, "quantised again")) return false;
    pass_replace(ctx, &q->out[0], ir_in(d, 0));
    ir_node_remove(q);
    return true;
}

static bool hoist(pass_ctx *ctx, ir_node *q) {
    ir_node *n = match_single(ir_in(q, 0), OP_Concat);
    for (uint32_t i = 0; n && i < n->n_in; i++)
        if (!find_plain(ir_in(n, i))) return false;
    if (!n || !ctx_take(ctx, "quantised before")) return false;
    ir_builder b = ir_build_before(q);
    ir_value **in = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *of[3] = {ir_in(n, i), ir_in(q, 1), ir_in(q, 2)};
        const ir_node *d = find_plain(of[0]);
        in[i] = undoes(q, d) ? ir_in(d, 0)
                             : build_node(&b, q->op, of, q->n_in, 1, q->attrs, q->n_attrs)->out;
    }
    pass_replace(ctx, &q->out[0],
                 build_node(&b, OP_Concat, in, n->n_in, 1, n->attrs, n->n_attrs)->out);
    ir_node_remove(q);
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    bool changed = is_plain_quantize(n) ? cancel(ctx, n) || hoist(ctx, n)
                                        : sink(ctx, n) || pick_rows(ctx, n);
    return changed ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_move_quantized(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
