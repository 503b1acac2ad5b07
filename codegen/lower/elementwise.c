/* Elementwise operators and clusters of them: one nest whose body is scalar code (ir/scalar.h).
 *
 *   f32[2,3] %y = Fused(%a, %b) { body(f32[2,3] %x, f32[3] %s) { %t = Mul(%x, %s)  %u = Tanh(%t)  yield %u } }
 *   ->  load a, load b, mul, tanh, store y   for every element */
#include "codegen/layout.h"

#include "ir/base/assert.h"

/* f16 and bf16 results are rounded after every operator, also inside a cluster, as if they had been stored. */
static lp_value *round_to(lp_builder *b, ir_dtype t, lp_value *x) {
    ir_dtype compute = ir_dtype_compute(t);
    return compute == t ? x : lp_cast(b, lp_cast(b, x, t), compute);
}

lp_value *cg_const_value(lp_builder *b, const ir_value *v, unsigned lanes) {
    ir_dtype t = ir_dtype_compute(v->type->dtype);
    lp_type type = lp_vec(t, lanes);
    if (ir_dtype_is_float(t)) return lp_const_f(b, type, ir_tensor_get_f64(v->tensor, 0));
    return lp_const_i(b, type, ir_tensor_get_i64(v->tensor, 0));
}

bool cg_is_literal(const ir_value *v) {
    return ir_value_is_const(v) && !v->tensor->opaque && v->type->dtype != DT_str &&
           ir_dtype_get_class(v->type->dtype) != DTYPE_COMPLEX &&
           ir_tensor_elements(v->tensor) > 0 && ir_tensor_is_splat(v->tensor);
}

static lp_value *body_operand(lp_builder *b, unsigned lanes, ir_value *v) {
    if (!v) return NULL;
    if (v->tensor) return cg_const_value(b, v, lanes);
    return (lp_value *)(uintptr_t)v->scratch;
}

void cg_emit_body(lp_builder *b, unsigned lanes, tl_arena *a, const ir_region *r,
                  lp_value *const *params, lp_value **results) {
    lp_value *in[64];
    for (uint32_t i = 0; i < r->n_params; i++)
        r->params[i]->scratch = (uint64_t)(uintptr_t)params[i];
    ir_for_each_node (n, r) {
        TL_ASSERT(n->n_in <= 64);
        for (uint32_t i = 0; i < n->n_in; i++)
            in[i] = body_operand(b, lanes, n->in[i].value);
        lp_value *y = n->op == OP_Identity ? in[0] : cg_scalar_node(b, lanes, a, n, in);
        n->out[0].scratch = (uint64_t)(uintptr_t)round_to(b, n->out[0].type->dtype, y);
    }
    for (uint32_t i = 0; i < ir_region_n_results(r); i++)
        results[i] = body_operand(b, lanes, ir_region_result(r, i));
}

/* ---- the nest -------------------------------------------------------------------------------------------------- */

typedef struct elementwise {
    ir_node *node;
    int32_t
        slot[CG_MAX_NEST_VIEWS]; /* operand -> nest input, or -1 for literals and omitted ones */
} elementwise;

static void operand_values(cg_nest *s, const elementwise *e, unsigned lanes, lp_value *const *in,
                           lp_value **out) {
    for (uint32_t i = 0; i < e->node->n_in; i++) {
        ir_value *v = ir_in(e->node, i);
        out[i] = !v ? NULL : e->slot[i] >= 0 ? in[e->slot[i]] : cg_const_value(&s->k->b, v, lanes);
    }
}

static void scalar_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    const elementwise *e = s->data;
    lp_value *x[CG_MAX_NEST_VIEWS];
    operand_values(s, e, lanes, in, x);
    out[0] = cg_scalar_node(&s->k->b, lanes, s->g->arena, e->node, x);
}

static void fused_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    const elementwise *e = s->data;
    lp_value *x[CG_MAX_NEST_VIEWS];
    operand_values(s, e, lanes, in, x);
    cg_emit_body(&s->k->b, lanes, s->g->arena, e->node->regions[0], x, out);
}

static bool add_operands(cg_nest *s, elementwise *e) {
    for (uint32_t i = 0; i < e->node->n_in; i++) {
        ir_value *v = ir_in(e->node, i);
        e->slot[i] = -1;
        if (!v || cg_is_literal(v)) continue;
        if (s->n_in + s->n_out + 1 >= CG_MAX_NEST_VIEWS)
            return cg_unsupported(s->g, e->node, "has too many operands");
        e->slot[i] = (int32_t)s->n_in;
        s->in[s->n_in++] = cg_view_broadcast(s->g, cg_read(s->g, v), s->rank, s->dims);
    }
    return true;
}

static bool has_dims(const ir_type *v, const ir_type *t) {
    for (int32_t i = 0; i < t->rank; i++)
        if (v->rank != t->rank || !ir_dim_equal(v->dims[i], t->dims[i])) return false;
    return true;
}

/* An operand of the result's dims whose layout the result is to have, or NULL. */
static const cg_view *layout_of(const cg_nest *s, const ir_type *t) {
    const elementwise *e = s->data;
    for (uint32_t i = 0; i < e->node->n_in; i++) {
        if (e->slot[i] < 0) continue;
        const cg_view *v = s->in[e->slot[i]];
        if (cg_is_last(v) && has_dims(ir_in(e->node, i)->type, t)) return v;
    }
    return NULL;
}

static bool lower_nest(cg *g, ir_node *n, cg_nest_fn *fn, const char *summary) {
    if (n->n_in > CG_MAX_NEST_VIEWS) return cg_unsupported(g, n, "has too many operands");
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    elementwise *e = TL_NEW(g->arena, elementwise);
    const ir_type *t = n->out[0].type;
    *s = (cg_nest){.g = g, .node = n, .rank = t->rank, .fn = fn, .data = e, .summary = summary};
    e->node = n;
    for (int32_t i = 0; i < t->rank; i++)
        s->dims[i] = t->dims[i];
    if (!add_operands(s, e)) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        s->out[s->n_out++] = cg_write_like(g, ir_out(n, i), layout_of(s, t));
    cg_nest_run(s);
    return true;
}

bool lower_scalar(cg *g, ir_node *n) {
    return lower_nest(g, n, scalar_point, op_get(n->op)->name);
}

bool lower_fused(cg *g, ir_node *n) {
    return lower_nest(g, n, fused_point, "Fused");
}

/* ---- BitCast ---------------------------------------------------------------------------------------------------- */

static void bit_cast_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)lanes;
    out[0] = lp_bitcast(&s->k->b, in[0], s->out[0]->dtype);
}

bool lower_bit_cast(cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = t->rank,
                   .fn = bit_cast_point,
                   .moves = true,
                   .summary = "BitCast"};
    for (int32_t i = 0; i < t->rank; i++)
        s->dims[i] = t->dims[i];
    s->in[s->n_in++] = cg_read(g, ir_in(n, 0));
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}
