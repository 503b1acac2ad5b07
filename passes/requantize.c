/* requantize: sums become bytes without a division, and without tests for what cannot be.
 *
 *   before:  %d = Div(%x, @scale)        %x f32, from integers        after:  %y = Requantize<scale=0.02, to=2, zero=3>(%x)
 *            %r = Round(%d)
 *            %a = Add(%r, @three)
 *            %c = Clip(%a, 0, 255)
 *            %y = Cast<to=2>(%c)
 *
 * Requantize multiplies by the scale's reciprocal and corrects the quotient by its remainder, which is exact in a fused multiply-add, then
 * rounds by adding 1.5 * 2^23. Both ask that x is a number, and not large beside the scale: told from where it comes, integers of known
 * bounds (sums of bytes by constant weights) with constants multiplied and added.
 *
 * Every bit stays. That is not taken from a theorem: whether a result is k or k + 1 is decided at one number x for each k, and for every k in
 * the range both ways are computed around it. A scale for which they differ keeps its division. */
#include "ir/base/assert.h"
#include "passes/match.h"
#include "passes/quantized.h"
#include "passes/util.h"

#include <math.h>

enum { MAX_DEPTH = 16, NEIGHBOURS = 8 };

/* ---- how large a value may be ------------------------------------------------------------------------------------- */

static double most_of(const ir_value *v, unsigned depth);

static double most_of_constant(const ir_value *v) {
    double most = 0;
    if (v->tensor->opaque || v->type->dtype == DT_str) return INFINITY;
    for (size_t i = 0; i < ir_tensor_elements(v->tensor); i++) {
        double x = fabs(ir_tensor_get_f64(v->tensor, i));
        if (!(x <= most)) most = isnan(x) ? INFINITY : x;
    }
    return most;
}

/* Bytes times the constant columns of w. */
static double most_of_product(const ir_value *w) {
    int64_t columns = 0;
    double most = 0;
    if (!ir_value_is_const(w) || w->tensor->opaque || w->type->rank != 2) return INFINITY;
    ir_dim_is_const(w->type->dims[1], &columns);
    size_t n = ir_tensor_elements(w->tensor);
    for (int64_t c = 0; c < columns; c++) {
        double sum = 0;
        for (size_t i = (size_t)c; i < n; i += (size_t)columns)
            sum += fabs(ir_tensor_get_f64(w->tensor, i));
        most = sum > most ? sum : most;
    }
    return 255 * most;
}

static double most_of_type(ir_dtype t) {
    return ir_dtype_is_int(t) ? ldexp(1, (int)ir_dtype_bits(t)) : INFINITY;
}

static double most_of_node(const ir_node *n, unsigned depth) {
    double a = n->n_in > 0 && ir_in(n, 0) ? most_of(ir_in(n, 0), depth) : INFINITY;
    switch (n->op) {
    case OP_Mul:
        return a * most_of(ir_in(n, 1), depth);
    case OP_Add:
    case OP_Sub:
        return a + most_of(ir_in(n, 1), depth);
    case OP_Cast:
    case OP_Relu:
    case OP_Neg:
    case OP_Reshape:
    case OP_Transpose:
        return a;
    case OP_MatMulInteger:
        return ir_in(n, 2) || ir_in(n, 3) ? INFINITY : most_of_product(ir_in(n, 1));
    case OP_ConvBytes:
    case OP_MatMulPacked:
        return n->n_regions || n->out[0].type->dtype != DT_i32 ? INFINITY
                                                               : most_of_product(ir_in(n, 1));
    default:
        return INFINITY;
    }
}

/* No element is further from 0; infinite where that is not known, or one may be no number. Integers that may wrap are as large as their
 * type. */
static double most_of(const ir_value *v, unsigned depth) {
    if (!ir_type_is_tensor(v->type)) return INFINITY;
    if (ir_value_is_const(v)) return most_of_constant(v);
    double type = most_of_type(v->type->dtype), most = INFINITY;
    if (v->def && depth < MAX_DEPTH) most = most_of_node(v->def, depth + 1);
    bool fits = most * 2 <= type || !ir_dtype_is_int(v->type->dtype);
    return fits && !isnan(most) ? most : type;
}

/* ---- whether the quotient is the same ----------------------------------------------------------------------------- */

static float by_division(float x, float scale) {
    return rintf(x / scale);
}

static float by_reciprocal(float x, float scale) {
    float r = 1 / scale, q = x * r;
    return rintf(fmaf(fmaf(-q, scale, x), r, q));
}

/* Around the number where k becomes k + 1. */
static bool agree_at(int k, float scale) {
    float x = (float)((k + 0.5) * (double)scale);
    for (int i = 0; i < NEIGHBOURS; i++)
        x = nextafterf(x, -INFINITY);
    for (int i = 0; i < 2 * NEIGHBOURS; i++, x = nextafterf(x, INFINITY))
        if (by_division(x, scale) != by_reciprocal(x, scale)) return false;
    return true;
}

/* For every result between that is not cut off. */
static bool is_exact(float scale) {
    if (!(scale > 0x1p-60f && scale < 0x1p60f)) return false;
    for (int k = -512; k < 512; k++)
        if (!agree_at(k, scale)) return false;
    return true;
}

/* ---- the pattern ---------------------------------------------------------------------------------------------------- */

typedef struct quantisation {
    ir_value *x;
    float scale;
    int64_t zero;
    ir_dtype to;
} quantisation;

/* The node of this operator that v comes from and that nobody else reads. */
static ir_node *only(ir_value *v, op_id op) {
    return v && match_user(v) ? match_def(v, op) : NULL;
}

static bool is_number(const ir_value *v, double *x) {
    if (!v || !ir_value_is_const(v) || v->tensor->opaque || v->type->dtype != DT_f32 ||
        v->type->rank || ir_tensor_elements(v->tensor) != 1)
        return false;
    *x = ir_tensor_get_f64(v->tensor, 0);
    return true;
}

/* Clips to all of the type's range. */
static bool clips_to(const ir_node *clip, ir_dtype t) {
    double low, high, least = t == DT_i8 ? -128 : 0;
    return is_number(ir_in(clip, 1), &low) && is_number(ir_in(clip, 2), &high) && low == least &&
           high == least + 255;
}

static bool find(const ir_node *cast, quantisation *q) {
    q->to = cast->out[0].type->dtype;
    if (cast->op != OP_Cast || (q->to != DT_u8 && q->to != DT_i8)) return false;
    ir_node *n = only(ir_in(cast, 0), OP_Clip);
    if (!n || ir_in(n, 0)->type->dtype != DT_f32 || !clips_to(n, q->to)) return false;
    double zero = 0, scale = 1;
    ir_node *add = only(ir_in(n, 0), OP_Add);
    if (add && !is_number(ir_in(add, 1), &zero)) return false;
    ir_node *round = only(add ? ir_in(add, 0) : ir_in(n, 0), OP_Round);
    if (!round || zero != rint(zero) || fabs(zero) > 255) return false;
    ir_node *div = only(ir_in(round, 0), OP_Div);
    if (div && !is_number(ir_in(div, 1), &scale)) return false;
    q->x = ir_in(div ? div : round, 0);
    q->scale = (float)scale, q->zero = (int64_t)zero;
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    quantisation q;
    if (!n->out[0].uses || !find(n, &q) || most_of(q.x, 0) / (double)q.scale > 0x1p21 ||
        !is_exact(q.scale) || !ctx_take(ctx, "quotients"))
        return PASS_SAME;
    ir_builder b = ir_build_before(n);
    ir_attr attrs[] = {{.name = "scale", .kind = ATTR_FLOAT},
                       {.name = "to", .kind = ATTR_INT, .v.i = q.to},
                       {.name = "zero", .kind = ATTR_INT, .v.i = q.zero}};
    attrs[0].v.f = q.scale;
    pass_replace(ctx, &n->out[0], build_node(&b, OP_Requantize, &q.x, 1, 1, attrs, 3)->out);
    ir_node_remove(n);
    return PASS_CHANGED;
}

pass_result pass_requantize(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
