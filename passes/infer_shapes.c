/* infer_shapes: types and symbolic contents of all values, in order.
 *
 *   before:  f32[*] %y = MatMul(%x, @w)          after:  f32[N,64] %y = MatMul(%x, @w)
 *
 * Rules live in ir/infer/; this pass only calls them for every node of the graph's body (a rule of an operator with regions sees
 * to its regions) and tells whether any type became more precise. Linear. */
#include "ir/base/hash.h"
#include "passes/pass.h"

static uint64_t hash_values(uint64_t h, const ir_value *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        h = tl_hash_mix(h, (uint64_t)(uintptr_t)v[i].type);
    return h;
}

/* Of all types in the region: types are interned, so their addresses identify them within a run. */
static uint64_t hash_types(uint64_t h, const ir_region *r) {
    for (uint32_t i = 0; i < r->n_params; i++)
        h = hash_values(h, r->params[i], 1);
    ir_for_each_node (n, r) {
        h = hash_values(h, n->out, n->n_out);
        for (uint32_t i = 0; i < n->n_regions; i++)
            h = hash_types(h, n->regions[i]);
    }
    return h;
}

pass_result pass_infer_shapes(pass_ctx *ctx, ir_graph *g) {
    uint64_t before = hash_types(0, g->body);
    ir_for_each_node (n, g->body)
        if (!ir_infer_node(ctx->c, n)) return PASS_FAILED;
    return hash_types(0, g->body) == before ? PASS_SAME : PASS_CHANGED;
}
