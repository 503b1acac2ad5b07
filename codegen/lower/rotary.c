/* RotaryEmbedding: one nest over the pairs of all heads, which reads both elements, cosine and sine, and writes both; elements that do
 * not turn are copied. With positions the rows of the caches have been gathered before (passes/decompose.c).
 *
 *   %y = RotaryEmbedding(%x, %cos, %sin)     y[.., i] = x[.., i] cos[i] - x[.., h+i] sin[i]
 *                                            y[.., h+i] = x[.., i] sin[i] + x[.., h+i] cos[i]                                    */
#include "codegen/lower.h"

static void rotate_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)lanes;
    lp_builder *b = &s->k->b;
    lp_value *a = in[0], *c = in[1], *cos = in[2], *sin = in[3];
    out[0] = lp_bin(b, LP_sub, lp_bin(b, LP_mul, a, cos), lp_bin(b, LP_mul, c, sin));
    out[1] = lp_bin(b, LP_add, lp_bin(b, LP_mul, a, sin), lp_bin(b, LP_mul, c, cos));
}

/* [batch, steps, heads * size] or [batch, heads, steps, size] as [batch, heads, steps, size]. */
static cg_view *in_heads(cg *g, const ir_node *n, const cg_view *x) {
    cg_view *v = cg_view_copy(g, x);
    if (x->rank == 4) return v;
    const ir_dim *heads = cg_dc(g, ir_attr_int(n, "num_heads", 1)),
                 *size = ir_dim_floordiv(g->c, x->dims[2], heads);
    cg_check_equal(g, ir_dim_mul(g->c, heads, size), x->dims[2]);
    v->rank = 4;
    v->dims = TL_NEW_ARRAY(g->arena, const ir_dim *, 4);
    v->strides = TL_NEW_ARRAY(g->arena, const ir_dim *, 4);
    const ir_dim *dims[] = {x->dims[0], heads, x->dims[1], size},
                 *strides[] = {x->strides[0], ir_dim_mul(g->c, size, x->strides[2]), x->strides[1],
                               x->strides[2]};
    memcpy(v->dims, dims, sizeof dims);
    memcpy(v->strides, strides, sizeof strides);
    return v;
}

/* [batch, steps, half] for all heads. */
static const cg_view *for_heads(cg *g, const cg_view *cache, const cg_view *x) {
    cg_check_equal(g, cache->dims[0], x->dims[0]);
    cg_check_equal(g, cache->dims[1], x->dims[2]);
    const ir_dim *dims[] = {cache->dims[0], cg_dc(g, 1), cache->dims[1], cache->dims[2]},
                 *all[] = {cache->dims[0], x->dims[1], cache->dims[1], cache->dims[2]};
    const cg_view *v = cg_view_reshape(g, cache, 4, dims);
    if (!v) v = cg_view_reshape(g, cg_materialise(g, cache), 4, dims);
    return cg_view_broadcast(g, v, 4, all);
}

static const cg_view *part(cg *g, const cg_view *v, const ir_dim *start, int64_t step,
                           const ir_dim *n) {
    return cg_view_slice(g, v, 3, start, cg_dc(g, step), n);
}

bool lower_rotary(cg *g, ir_node *n) {
    if (ir_in(n, 3)) return cg_unsupported(g, n, "positions of a shape that is not known");
    const cg_view *x = in_heads(g, n, cg_read(g, ir_in(n, 0))),
                  *y = in_heads(g, n, cg_write(g, &n->out[0])),
                  *cos = for_heads(g, cg_read(g, ir_in(n, 1)), x),
                  *sin = for_heads(g, cg_read(g, ir_in(n, 2)), x);
    const ir_dim *half = cos->dims[3], *turned = ir_dim_mul(g->c, half, cg_dc(g, 2)),
                 *rest = ir_dim_sub(g->c, x->dims[3], turned), *zero = cg_dc(g, 0);
    int64_t expected = ir_attr_int(n, "rotary_embedding_dim", 0);
    bool interleaved = ir_attr_int(n, "interleaved", 0) != 0;
    cg_check_equal(g, sin->dims[3], half);
    cg_check_equal(g, expected ? cg_dc(g, expected) : x->dims[3], turned);
    if (expected) cg_check_at_most(g, turned, x->dims[3]);
    int64_t step = interleaved ? 2 : 1;
    const ir_dim *second = interleaved ? cg_dc(g, 1) : half;
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g, .node = n, .rank = 4, .fn = rotate_point, .summary = "RotaryEmbedding"};
    for (int32_t i = 0; i < 4; i++)
        s->dims[i] = i < 3 ? x->dims[i] : half;
    const cg_view *in[] = {part(g, x, zero, step, half), part(g, x, second, step, half), cos, sin};
    memcpy(s->in, in, sizeof in);
    s->n_in = 4;
    s->out[s->n_out++] = part(g, y, zero, step, half);
    s->out[s->n_out++] = part(g, y, second, step, half);
    cg_nest_run(s);
    if (expected && !ir_dim_is(rest, 0))
        cg_copy(g, part(g, x, turned, 1, rest), part(g, y, turned, 1, rest));
    return true;
}
