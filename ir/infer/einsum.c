/* Einsum: the sizes of the labels of its result. */
#include "ir/infer/infer.h"

#include "ir/einsum.h"

/* Size of each label, from all operands that have it; sizes of 1 are repeated. */
static bool label_sizes(ir_ctx *c, const ir_node *n, const ir_einsum *e, ir_shape *sizes) {
    for (uint32_t i = 0; i < e->n_labels; i++)
        sizes[i] = (ir_shape){1, {ir_dim_const(c, 1)}};
    for (uint32_t i = 0; i < e->n_terms; i++) {
        ir_shape s = infer_in_shape(n, i);
        for (int32_t k = 0; k < s.rank; k++) {
            ir_shape one = {1, {s.dims[k]}};
            if (!infer_broadcast_with(c, n, i, &sizes[e->terms[i].label[k]], &one)) return false;
        }
    }
    return true;
}

bool infer_einsum(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    ir_shape sizes[IR_EINSUM_MAX_LABELS], out = {.rank = 0};
    int32_t *ranks = TL_NEW_ARRAY(&c->arena, int32_t, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!infer_is_ranked(n, i)) return infer_set_unranked(c, n, 0, dtype);
        ranks[i] = infer_in(n, i)->rank;
    }
    ir_einsum e;
    const char *equation = ir_attr_string(n, "equation", "");
    const char *problem = ir_einsum_parse(&e, &c->arena, equation, ranks, n->n_in);
    if (problem) return diag_error(&c->diag, n->loc, "equation '%s': %s", equation, problem);
    if (!label_sizes(c, n, &e, sizes)) return false;
    for (int32_t i = 0; i < e.out.rank; i++)
        out.dims[out.rank++] = sizes[e.out.label[i]].dims[0];
    return infer_set_shape(c, n, 0, dtype, &out);
}
