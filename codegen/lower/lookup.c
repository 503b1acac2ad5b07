/* Lookup: for each byte the element at its place in a table, which stays in the first-level cache.
 *
 *   u8[1,32,80,80] %y = Lookup(%x, @table)      ->  load u8x32, lookup, store            for 32 elements at a time */
#include "codegen/lower.h"

enum { LANES = 32 }; /* of bytes, chosen by shuffles */

static void lookup_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    const cg_view *table = s->data;
    lp_builder *b = &s->k->b;
    lp_value *p = cg_kernel_in(s->k, table, false), *x = lp_bitcast(b, in[0], DT_u8);
    if (cg_elem_bytes(table->dtype) == 1)
        out[0] = lp_bitcast(b, lp_lookup(b, x, p), table->dtype);
    else
        out[0] = lp_gather(b, lp_vec(table->dtype, lanes), p, lp_cast(b, x, DT_i64));
}

/* All elements side by side, in x as in y: one axis of them. */
static void flatten(cg *g, cg_nest *s) {
    const ir_dim *all = cg_dims_product(g, s->dims, s->rank);
    const cg_view *x = cg_view_reshape(g, s->in[0], 1, &all),
                  *y = cg_view_reshape(g, s->out[0], 1, &all);
    if (!x || !y || !ir_dim_is(x->strides[0], 1) || !ir_dim_is(y->strides[0], 1)) return;
    s->rank = 1;
    s->dims[0] = all;
    s->in[0] = x, s->out[0] = y;
}

bool lower_lookup(cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = t->rank,
                   .fn = lookup_point,
                   .data = (void *)(uintptr_t)cg_read_dense(g, ir_in(n, 1)),
                   .moves = true,
                   .lanes = cg_elem_bytes(t->dtype) == 1 ? LANES : 0,
                   .summary = "Lookup"};
    for (int32_t i = 0; i < t->rank; i++)
        s->dims[i] = t->dims[i];
    s->in[s->n_in++] = cg_read(g, ir_in(n, 0));
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    flatten(g, s);
    cg_nest_run(s);
    return true;
}
