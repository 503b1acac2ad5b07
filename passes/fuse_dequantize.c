/* fuse_dequantize: dequantisation spelled out becomes one operator, which fuse_quantized and move_quantized know.
 *
 *   before:  %f = Cast<to=f32>(@q)              @q i8[384,1536]         after:  %w = DequantizeLinear<axis=1>(@q, @s, @z)      @s f32[1536]
 *            %c = Sub(%f, @zero)                @zero f32[] {3}                                                                @z i8[1536]
 *            %w = Mul(%c, @scale)               @scale f32[1,1536]
 *
 * The integers are a constant of at most eight bits and rank 2 or more; scale and zero points are one, or one for each index of an axis. f32
 * alone, in which both forms round alike. Where nothing wants the operator, decompose spells it out again.
 *
 * Scales and zero points of operators that are there already and are computed from constants, by a Reshape or a Cast, become constants: the
 * passes that follow want to see their numbers, and run before others are folded. Linear. */
#include "ir/build.h"
#include "passes/match.h"
#include "passes/util.h"

typedef struct spelled {
    const ir_value *codes;
    const ir_tensor *scale, *zero; /* zero NULL: none */
    int32_t axis;                  /* -1: one scale and one zero point for all */
    int64_t count;                 /* scales and zero points: as long as the axis, or 1 */
} spelled;

static const ir_tensor *known(const ir_value *v, ir_dtype t) {
    bool usable = v && ir_value_is_const(v) && !v->tensor->opaque && v->type->dtype == t;
    return usable ? v->tensor : NULL;
}

static const ir_value *find_codes(const ir_value *v) {
    const ir_node *cast = match_def(v, OP_Cast);
    if (!cast || v->type->dtype != DT_f32) return NULL;
    const ir_value *q = ir_in(cast, 0);
    ir_dtype t = q->type->dtype;
    bool is_small = ir_dtype_is_int(t) && ir_dtype_bits(t) <= 8;
    return is_small && q->type->rank >= 2 && known(q, t) ? q : NULL;
}

/* The tensor varies along one axis of the codes at most, the one that others have varied along. */
static bool take_axis(spelled *s, const ir_tensor *t) {
    const ir_type *codes = s->codes->type;
    int32_t ahead = codes->rank - t->type->rank;
    for (int32_t i = 0; i < t->type->rank; i++) {
        if (ir_dim_is(t->type->dims[i], 1)) continue;
        bool fits = ahead + i >= 0 && ir_dim_equal(t->type->dims[i], codes->dims[ahead + i]);
        if (!fits || (s->axis >= 0 && s->axis != ahead + i)) return false;
        s->axis = ahead + i;
        ir_dim_is_const(t->type->dims[i], &s->count);
    }
    return ahead >= 0;
}

/* Each zero point is a number that the codes' type has. */
static bool fit_type(const ir_tensor *zero, ir_dtype t) {
    int bits = (int)ir_dtype_bits(t);
    double low = ir_dtype_is_signed(t) ? -(double)(1 << (bits - 1)) : 0;
    for (size_t i = 0; i < ir_tensor_elements(zero); i++) {
        double z = ir_tensor_get_f64(zero, i);
        if (!(z >= low && z <= low + (1 << bits) - 1) || z != (double)(int64_t)z) return false;
    }
    return true;
}

static bool read_spelled(const ir_node *n, spelled *s) {
    for (uint32_t i = 0; n->op == OP_Mul && i < 2; i++) {
        const ir_node *sub = match_def(ir_in(n, i), OP_Sub);
        *s = (spelled){.axis = -1, .count = 1, .scale = known(ir_in(n, 1 - i), DT_f32)};
        s->codes = find_codes(sub ? ir_in(sub, 0) : ir_in(n, i));
        if (sub) s->zero = known(ir_in(sub, 1), DT_f32);
        if (!s->codes || !s->scale || (sub && !s->zero) || !take_axis(s, s->scale)) continue;
        if (!s->zero || (take_axis(s, s->zero) && fit_type(s->zero, s->codes->type->dtype)))
            return true;
    }
    return false;
}

/* As many elements as there are scales, of type dtype. */
static ir_value *spread(pass_ctx *ctx, const spelled *s, const ir_tensor *from, ir_dtype dtype,
                        const char *what) {
    const ir_type *t = ir_type_tensor_static(ctx->c, dtype, s->axis >= 0, &s->count);
    ir_tensor *to = ir_tensor_alloc(ctx->m->arena, t);
    bool single = ir_tensor_elements(from) == 1;
    for (size_t i = 0; i < (size_t)s->count; i++)
        ir_tensor_set_f64(to, i, ir_tensor_get_f64(from, single ? 0 : i));
    ir_tensor_seal(to);
    return ir_module_const(ctx->m, to, ir_name_derive(ctx->m, s->codes, what));
}

/* ---- operands ------------------------------------------------------------------------------------------------------- */

enum { MAX_CHAIN = 4 };

/* Operand i, where a few nodes compute it from constants, becomes one. */
static bool fold_operand(pass_ctx *ctx, ir_node *n, uint32_t i, unsigned depth) {
    ir_value *v = ir_in(n, i);
    if (!v || ir_value_is_const(v)) return false;
    ir_node *d = v->def;
    if (!d || d->n_out != 1 || !depth) return false;
    for (uint32_t k = 0; k < d->n_in; k++)
        fold_operand(ctx, d, k, depth - 1);
    return fold_by_evaluation(ctx, d);
}

static bool fold_operands(pass_ctx *ctx, ir_node *n) {
    bool scale = fold_operand(ctx, n, 1, MAX_CHAIN), zero = fold_operand(ctx, n, 2, MAX_CHAIN);
    return scale || zero;
}

static bool compose(pass_ctx *ctx, ir_node *n) {
    spelled s;
    if (!read_spelled(n, &s) || !ctx_take(ctx, "dequantisations")) return false;
    ir_builder b = ir_build_before(n);
    ir_value *in[3] = {(ir_value *)s.codes, spread(ctx, &s, s.scale, DT_f32, "scale")};
    if (s.zero) in[2] = spread(ctx, &s, s.zero, s.codes->type->dtype, "zero");
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = s.axis};
    ir_node *y = build_node(&b, OP_DequantizeLinear, in, s.zero ? 3 : 2, 1, &axis, s.axis >= 0);
    pass_replace(ctx, &n->out[0], y->out);
    ir_node_remove(n);
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    bool is_quantised = n->op == OP_DequantizeLinear || n->op == OP_QuantizeLinear;
    return (is_quantised ? fold_operands(ctx, n) : compose(ctx, n)) ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_fuse_dequantize(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
