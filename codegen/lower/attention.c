/* Attention: operands brought to [batch, heads, length, width] by strides alone, then one kernel (codegen/kernels/attention.c). */
#include "codegen/kernels/attention.h"

/* [batch, length, heads*width] or [batch, heads, length, width], as the latter; last axis contiguous. */
static const cg_view *heads_of(cg *g, ir_value *v, int64_t heads) {
    const cg_view *x = cg_read_rows(g, v);
    if (x->rank == 4) return x;
    const ir_dim *width = ir_dim_floordiv(g->c, x->dims[2], cg_dc(g, heads));
    const ir_dim *dims[4] = {x->dims[0], x->dims[1], cg_dc(g, heads), width};
    return cg_view_permute(g, cg_view_reshape(g, x, 4, dims), (int64_t[]){0, 2, 1, 3});
}

static const cg_view *result_of(cg *g, ir_value *v, const cg_view *q, const cg_view *value) {
    const cg_view *y = cg_write(g, v);
    if (y->rank == 4) return y;
    const ir_dim *dims[4] = {y->dims[0], y->dims[1], q->dims[1], value->dims[3]};
    const cg_view *split = cg_view_reshape(g, y, 4, dims);
    return split ? cg_view_permute(g, split, (int64_t[]){0, 2, 1, 3}) : NULL;
}

static const cg_view *mask_of(cg *g, ir_node *n, const cg_view *q, const cg_view *k) {
    ir_value *v = ir_in(n, 3);
    if (!v) return NULL;
    const ir_dim *dims[4] = {q->dims[0], q->dims[1], q->dims[2], k->dims[2]};
    return cg_view_broadcast(g, cg_read_rows(g, v), 4, dims);
}

static bool is_supported(cg *g, const ir_node *n) {
    for (uint32_t i = 4; i < n->n_in; i++)
        if (ir_in(n, i))
            return cg_unsupported(g, n, "input %u of this operator is not compiled yet", i);
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i].uses)
            return cg_unsupported(g, n, "output %u of this operator is not compiled yet", i);
    for (uint32_t i = 0; i < 3; i++)
        if (ir_in(n, i)->type->dtype != DT_f32)
            return cg_unsupported(g, n, "element types other than f32 are not compiled yet");
    ir_value *m = ir_in(n, 3);
    if (m && m->type->dtype != DT_f32 && m->type->dtype != DT_bool)
        return cg_unsupported(g, n, "mask is neither f32 nor bool");
    return true;
}

bool lower_attention(cg *g, ir_node *n) {
    if (!is_supported(g, n)) return false;
    int64_t q_heads = ir_attr_int(n, "q_num_heads", 1),
            kv_heads = ir_attr_int(n, "kv_num_heads", q_heads);
    cg_attention *a = TL_NEW(g->arena, cg_attention);
    *a = (cg_attention){.g = g, .node = n};
    a->q = heads_of(g, ir_in(n, 0), q_heads);
    a->k = heads_of(g, ir_in(n, 1), kv_heads);
    a->v = heads_of(g, ir_in(n, 2), kv_heads);
    a->y = result_of(g, &n->out[0], a->q, a->v);
    int64_t hq, hk;
    bool known = ir_dim_is_const(a->q->dims[3], &a->width) &&
                 ir_dim_is_const(a->v->dims[3], &a->value_width) &&
                 ir_dim_is_const(a->q->dims[1], &hq) && ir_dim_is_const(a->k->dims[1], &hk) &&
                 hk > 0 && hq % hk == 0;
    if (!known || !a->y) return cg_unsupported(g, n, "number or width of heads is not constant");
    a->group = hq / hk;
    a->scale = (double)ir_attr_float(n, "scale", (float)(1.0 / __builtin_sqrt((double)a->width)));
    a->softcap = (double)ir_attr_float(n, "softcap", 0);
    a->causal = ir_attr_int(n, "is_causal", 0);
    a->mask = mask_of(g, n, a->q, a->k);
    if (a->width > (int64_t)g->target->lanes_f32 * 8)
        return cg_unsupported(g, n, "heads wider than %u", g->target->lanes_f32 * 8);
    cg_attention_kernel(a);
    return true;
}
