/* Lookup: for each byte the element at its place in a table, which stays in the first-level cache.
 *
 *   u8[1,32,80,80] %y = Lookup(%x, @table)      ->  load x, load table[x], store y      for every element */
#include "codegen/lower.h"

static void lookup_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)lanes;
    const cg_view *table = s->data;
    lp_builder *b = &s->k->b;
    lp_value *at = lp_cast(b, lp_bitcast(b, in[0], DT_u8), DT_i64);
    out[0] = lp_load(b, lp_scalar(table->dtype), cg_kernel_in(s->k, table, false), at);
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
                   .scalar = true,
                   .summary = "Lookup"};
    for (int32_t i = 0; i < t->rank; i++)
        s->dims[i] = t->dims[i];
    s->in[s->n_in++] = cg_read(g, ir_in(n, 0));
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}
