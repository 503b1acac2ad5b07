/* CausalConvWithState with many taps, or with as many as only the run knows (passes/decompose.c makes products of views of a few): past
 * and input side by side in a buffer, then a nest over the result with a loop over the taps inside.
 *
 *   y[b,c,t] = bias[c] + sum over i of w[c,0,i] * p[b,c,t+i],  p = past, then x */
#include "codegen/lower.h"

typedef struct causal_conv {
    const cg_view *p, *w, *bias;
} causal_conv;

static lp_value *load_one(cg_nest *s, const cg_view *v, lp_value *const *index) {
    lp_value *at = cg_offset(s->k, v, index, v->rank);
    return cg_load(&s->k->b, v->dtype, 1, cg_kernel_in(s->k, v, false), at, lp_index(&s->k->b, 1));
}

static void taps_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const causal_conv *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *acc = lp_const_f(b, lp_vec(ir_dtype_compute(d->p->dtype), lanes), 0);
    if (d->bias) acc = lp_broadcast(b, load_one(s, d->bias, &s->index[1]), lanes);
    lp_value *p = cg_kernel_in(s->k, d->p, false), *first = cg_offset(s->k, d->p, s->index, 3);
    lp_value *taps = cg_kernel_dim(s->k, d->w->dims[2]), *one = lp_index(b, 1);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), taps, one, &acc, 1);
    lp_value *tap[3] = {s->index[1], lp_index(b, 0), l.counter};
    lp_value *w = lp_broadcast(b, load_one(s, d->w, tap), lanes);
    lp_value *x = cg_load(b, d->p->dtype, lanes, p, lp_bin(b, LP_add, first, l.counter), one);
    acc = lp_fma(b, x, w, l.carried[0]);
    lp_for_end(b, &l, &acc);
    out[0] = l.results[0];
}

/* Past and input in one buffer. */
static const cg_view *join(cg *g, const cg_view *past, const cg_view *x) {
    const ir_dim *dims[] = {x->dims[0], x->dims[1], ir_dim_add(g->c, past->dims[2], x->dims[2])};
    const ir_dim *bytes = ir_dim_mul(g->c, cg_dims_product(g, dims, 3),
                                     cg_dc(g, ir_dtype_bits(x->dtype) / 8));
    const cg_view *p = cg_view_dense(g, cg_buffer_create(g, bytes),
                                     ir_type_tensor(g->c, x->dtype, 3, dims));
    cg_copy(g, past, cg_view_slice(g, p, 2, cg_dc(g, 0), cg_dc(g, 1), past->dims[2]));
    cg_copy(g, x, cg_view_slice(g, p, 2, past->dims[2], cg_dc(g, 1), x->dims[2]));
    return p;
}

static void check_sizes(cg *g, const cg_view *x, const cg_view *past, const causal_conv *d) {
    for (int32_t i = 0; i < 2; i++)
        cg_check_equal(g, past->dims[i], x->dims[i]);
    cg_check_equal(g, ir_dim_add(g->c, past->dims[2], cg_dc(g, 1)), d->w->dims[2]);
    cg_check_equal(g, d->w->dims[0], x->dims[1]);
    cg_check_at_most(g, cg_dc(g, 1), d->w->dims[2]);
    if (d->bias) cg_check_equal(g, d->bias->dims[0], x->dims[1]);
}

bool lower_causal_conv(cg *g, ir_node *n) {
    if (!ir_in(n, 3) || strcmp(ir_attr_string(n, "activation", "none"), "none") != 0)
        return cg_unsupported(g, n, "sizes that depend on data");
    causal_conv *d = TL_NEW(g->arena, causal_conv);
    const cg_view *x = cg_read(g, ir_in(n, 0)), *past = cg_read(g, ir_in(n, 3));
    *d = (causal_conv){.w = cg_read(g, ir_in(n, 1))};
    if (ir_in(n, 2)) d->bias = cg_read(g, ir_in(n, 2));
    check_sizes(g, x, past, d);
    d->p = join(g, past, x);
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = 3,
                   .fn = taps_point,
                   .data = d,
                   .summary = "CausalConvWithState",
                   .needs_index = true};
    for (int32_t i = 0; i < 3; i++)
        s->dims[i] = x->dims[i];
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    if (n->n_out > 1)
        cg_copy(g, cg_view_slice(g, d->p, 2, x->dims[2], cg_dc(g, 1), past->dims[2]),
                cg_write(g, &n->out[1]));
    return true;
}
