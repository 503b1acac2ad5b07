/* pack_weights: the constant of each MatMulPacked in the layout its kernel reads.
 *
 *   before:  MatMulPacked<n=40>(%x, @w)      @w f32[K,40]          after:  MatMulPacked<n=40>(%x, @w.packed)      @w.packed f32[3,K,16]
 *
 * Panel p holds columns [16 p, 16 p + 16) of every row of the matrix, one row after the other, so that a kernel of that width reads its
 * weights as one stream. Columns beyond n are zero. A weight that several nodes share is packed once. */
#include "passes/cluster.h"
#include "passes/match.h"

enum { DEFAULT_PANEL = 16 };

typedef struct packer {
    pass_ctx *ctx;
    int64_t panel;
    tl_map packed; /* weight -> packed weight */
} packer;

static void copy_panel(ir_tensor *to, int64_t p, const ir_tensor *from, int64_t rows,
                       int64_t columns, int64_t panel) {
    size_t size = ir_dtype_bits(from->type->dtype) / 8;
    int64_t first = p * panel, width = columns - first < panel ? columns - first : panel;
    for (int64_t r = 0; r < rows; r++) {
        char *at = (char *)ir_tensor_data(to) + (size_t)((p * rows + r) * panel) * size;
        memcpy(at, (const char *)from->data + (size_t)(r * columns + first) * size,
               (size_t)width * size);
    }
}

static ir_value *pack(packer *s, const ir_value *w) {
    int64_t rows = 0, columns = 0;
    ir_dim_is_const(w->type->dims[0], &rows);
    ir_dim_is_const(w->type->dims[1], &columns);
    int64_t panels = (columns + s->panel - 1) / s->panel;
    const ir_type *t = ir_type_tensor_static(s->ctx->c, w->type->dtype, 3,
                                             (int64_t[]){panels, rows, s->panel});
    ir_tensor *packed = ir_tensor_alloc(s->ctx->m->arena, t);
    for (int64_t p = 0; p < panels; p++)
        copy_panel(packed, p, w->tensor, rows, columns, s->panel);
    ir_tensor_seal(packed);
    return ir_module_const(s->ctx->m, packed, ir_name_derive(s->ctx->m, w, "packed"));
}

static ir_value *find_packed(packer *s, ir_value *w) {
    ir_value *packed = tl_map_get_ptr(&s->packed, w);
    if (packed) return packed;
    packed = pack(s, w);
    tl_map_set_ptr(&s->packed, w, packed);
    return packed;
}

static bool pack_region(packer *s, ir_region *r) {
    bool changed = false;
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_regions && !cluster_is_node(n); i++)
            changed = pack_region(s, n->regions[i]) || changed;
        if (n->op != OP_MatMulPacked || ir_in(n, 1)->type->rank != 2 || !ctx_take(s->ctx, "packed"))
            continue;
        ir_node_set_operand(n, 1, find_packed(s, ir_in(n, 1)));
        changed = true;
    }
    return changed;
}

pass_result pass_pack_weights(pass_ctx *ctx, ir_graph *g) {
    packer s = {.ctx = ctx,
                .panel = ctx->options && ctx->options->panel ? ctx->options->panel : DEFAULT_PANEL};
    tl_map_init(&s.packed, ctx->scratch);
    return pack_region(&s, g->body) ? PASS_CHANGED : PASS_SAME;
}
