/* Attention and LocalAttention: operands brought to [batch, heads, length, width] by strides alone, then one kernel (codegen/kernels/attention.c). */
#include "codegen/kernels/attention.h"

enum { Q, K, V, MASK, PAST_K, PAST_V, LENGTHS };
enum { FIRST = 4, BEGIN }; /* of LocalAttention */

static bool is_contiguous(const cg_view *v) {
    return ir_dim_is(v->strides[v->rank - 1], 1) || ir_dim_is(v->dims[v->rank - 1], 1);
}

/* [batch, length, heads*width] as [batch, heads, length, width] by strides; NULL where these cannot say it. */
static const cg_view *split_heads(cg *g, const cg_view *x, const ir_dim *heads) {
    const ir_dim *width = ir_dim_floordiv(g->c, x->dims[2], heads);
    const ir_dim *dims[4] = {x->dims[0], x->dims[1], heads, width};
    const cg_view *split = cg_view_reshape(g, x, 4, dims);
    return split ? cg_view_permute(g, split, (int64_t[]){0, 2, 1, 3}) : NULL;
}

/* An operand in either layout, last axis contiguous. */
static const cg_view *heads_of(cg *g, ir_value *v, int64_t heads) {
    const cg_view *x = cg_read_rows(g, v);
    if (x->rank == 4) return x;
    const cg_view *split = split_heads(g, x, cg_dc(g, heads));
    return split ? split : split_heads(g, cg_materialise(g, x), cg_dc(g, heads));
}

/* Where present keys or values go: the node's result, or a buffer of our own where nobody reads that. */
static const cg_view *present_place(cg *g, ir_node *n, uint32_t result, const cg_view *now,
                                    const ir_dim *total) {
    const ir_dim *dims[4] = {now->dims[0], now->dims[1], total, now->dims[3]};
    if (result < n->n_out && n->out[result].uses) return cg_write(g, &n->out[result]);
    const ir_type *t = ir_type_tensor(g->c, now->dtype, 4, dims);
    const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, 4));
    return cg_view_dense(g, cg_buffer_create(g, bytes), t);
}

/* Past in front of what is new; `now` itself where there is no past and nobody wants the result. */
static const cg_view *with_past(cg *g, ir_node *n, const cg_view *now, uint32_t past_operand,
                                uint32_t result) {
    bool wanted = result < n->n_out && n->out[result].uses;
    ir_value *v = ir_in(n, past_operand);
    if (!v && !wanted) return now;
    const cg_view *past = v ? cg_read(g, v) : NULL;
    const ir_dim *before = past ? past->dims[2] : cg_dc(g, 0), *one = cg_dc(g, 1);
    for (int i = 0; past && i < 4; i++)
        if (i != 2) cg_check_equal(g, past->dims[i], now->dims[i]);
    const cg_view *all = present_place(g, n, result, now, ir_dim_add(g->c, before, now->dims[2]));
    if (past) cg_copy(g, past, cg_view_slice(g, all, 2, cg_dc(g, 0), one, before));
    cg_copy(g, now, cg_view_slice(g, all, 2, before, one, now->dims[2]));
    return is_contiguous(all) ? all : cg_materialise(g, all);
}

static void set_mask(cg_attention *a) {
    cg *g = a->g;
    ir_value *v = ir_in(a->node, MASK);
    if (!v) return;
    const cg_view *m = cg_read_rows(g, v);
    const ir_dim *keys = a->k->dims[2], *columns = m->dims[m->rank - 1];
    if (!ir_dim_equal(columns, keys)) a->mask_keys = columns;
    const ir_dim *dims[4] = {a->q->dims[0], a->q->dims[1], a->q->dims[2], columns};
    a->mask = cg_view_broadcast(g, m, 4, dims);
}

static bool is_supported(cg *g, const ir_node *n) {
    if (n->n_out > 3 && n->out[3].uses)
        return cg_unsupported(g, n, "scores as a result (pass decompose)");
    for (uint32_t i = Q; i <= (n->op == OP_Attention ? PAST_V : MASK); i++) {
        if (!ir_in(n, i)) continue;
        ir_dtype t = ir_in(n, i)->type->dtype;
        if (t != DT_f32 && !(i == MASK && t == DT_bool))
            return cg_unsupported(g, n, "operand %u of type %s (pass decompose)", i,
                                  ir_dtype_name(t));
    }
    const ir_value *m = ir_in(n, MASK);
    return !m || (m->type->rank > 0 && m->type->rank <= 4) ||
           cg_unsupported(g, n, "mask of rank %d", (int)m->type->rank);
}

static bool set_heads(cg *g, ir_node *n, cg_attention *a) {
    int64_t hq, hk;
    bool known = ir_dim_is_const(a->q->dims[3], &a->width) &&
                 ir_dim_is_const(a->v->dims[3], &a->value_width) &&
                 ir_dim_is_const(a->q->dims[1], &hq) && ir_dim_is_const(a->k->dims[1], &hk) &&
                 hk > 0 && hq % hk == 0;
    if (!known)
        return cg_unsupported(g, n, "number or width of heads is not constant (pass decompose)");
    a->group = hq / hk;
    return a->width <= CG_ATTENTION_MAX_WIDTH ||
           cg_unsupported(g, n, "heads wider than %d (pass decompose)", CG_ATTENTION_MAX_WIDTH);
}

/* What the kernel takes from one operand and reads in another. */
static void check_shapes(const cg_attention *a) {
    cg *g = a->g;
    for (int i = 0; i < 3; i++)
        cg_check_equal(g, a->v->dims[i], a->k->dims[i]);
    cg_check_equal(g, a->k->dims[0], a->q->dims[0]);
    cg_check_equal(g, a->k->dims[3], a->q->dims[3]);
    const ir_value *lengths = a->lengths ? ir_in(a->node, LENGTHS) : NULL;
    if (lengths) cg_check_equal(g, lengths->type->dims[0], a->q->dims[0]);
}

/* The kernel writes rows: straight to the result where that lies so, else to a buffer that is copied there. */
static void run_to(cg_attention *a, const cg_view *dest) {
    cg *g = a->g;
    const cg_view *y = dest->rank == 4 ? dest : split_heads(g, dest, a->q->dims[1]);
    if (y && is_contiguous(y)) {
        a->y = y;
        cg_attention_kernel(a);
        return;
    }
    const ir_type *t = a->node->out[0].type;
    const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, 4));
    const cg_view *own = cg_view_dense(g, cg_buffer_create(g, bytes), t);
    a->y = own->rank == 4 ? own : split_heads(g, own, a->q->dims[1]);
    cg_attention_kernel(a);
    cg_copy(g, own, dest);
}

static cg_attention *new_attention(cg *g, ir_node *n) {
    cg_attention *a = TL_NEW(g->arena, cg_attention);
    *a = (cg_attention){.g = g, .node = n, .past = cg_dc(g, 0)};
    a->softcap = (double)ir_attr_float(n, "softcap", 0);
    return a;
}

/* What both operators have, once q, k and v are known. */
static bool lower_scores(cg_attention *a) {
    cg *g = a->g;
    ir_node *n = a->node;
    if (!set_heads(g, n, a)) return false;
    check_shapes(a);
    a->scale = ir_attr_has(n, "scale") ? (double)ir_attr_float(n, "scale", 1)
                                       : 1 / __builtin_sqrt((double)a->width);
    set_mask(a);
    run_to(a, cg_write(g, &n->out[0]));
    return true;
}

bool lower_attention(cg *g, ir_node *n) {
    if (!is_supported(g, n)) return false;
    int64_t q_heads = ir_attr_int(n, "q_num_heads", 1),
            kv_heads = ir_attr_int(n, "kv_num_heads", q_heads);
    cg_attention *a = new_attention(g, n);
    a->q = heads_of(g, ir_in(n, Q), q_heads);
    a->k = with_past(g, n, heads_of(g, ir_in(n, K), kv_heads), PAST_K, 1);
    a->v = with_past(g, n, heads_of(g, ir_in(n, V), kv_heads), PAST_V, 2);
    if (ir_in(n, PAST_K)) a->past = ir_in(n, PAST_K)->type->dims[2];
    if (ir_in(n, LENGTHS)) a->lengths = cg_read(g, ir_in(n, LENGTHS));
    a->causal = ir_attr_int(n, "is_causal", 0);
    return lower_scores(a);
}

bool lower_local_attention(cg *g, ir_node *n) {
    if (!is_supported(g, n)) return false;
    int64_t q_heads = ir_attr_int(n, "q_num_heads", 1),
            kv_heads = ir_attr_int(n, "kv_num_heads", q_heads);
    cg_attention *a = new_attention(g, n);
    a->q = heads_of(g, ir_in(n, Q), q_heads);
    a->k = heads_of(g, ir_in(n, K), kv_heads);
    a->v = heads_of(g, ir_in(n, V), kv_heads);
    a->local = true;
    a->band = ir_band_of(n);
    if (ir_in(n, FIRST)) a->first = cg_read(g, ir_in(n, FIRST));
    if (ir_in(n, BEGIN)) a->begin = cg_read(g, ir_in(n, BEGIN));
    return lower_scores(a);
}
