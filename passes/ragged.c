/* See ragged.h. */
#include "passes/ragged.h"

#include "ir/limits.h"
#include "passes/util.h"

typedef struct lengths {
    ir_ctx *c;
    const ir_region *body;
} lengths;

/* What inference computed for one axis of a Slice before it gave it a symbol; NULL where it could not. */
static const ir_dim *sliced_length(ir_ctx *c, const ir_node *n, int32_t axis) {
    const ir_dim *starts[IR_MAX_RANK], *ends[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    const ir_type *t = n->in[0].value->type;
    int32_t count = ir_value_known_dims(c, ir_in(n, 1), starts, IR_MAX_RANK);
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    bool known = count >= 0 && ir_value_known_dims(c, ir_in(n, 2), ends, IR_MAX_RANK) == count &&
                 (!ir_in(n, 3) || ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) == count) &&
                 (!ir_in(n, 4) || ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) == count);
    for (int32_t i = 0; known && i < count; i++)
        if (normal_axis(axes[i], t->rank) == axis)
            return infer_slice_length(c, t->dims[axis], starts[i], ends[i], steps[i]);
    return NULL;
}

/* The length that the symbol stands for, if a Slice of the body made it. */
static const ir_dim *find_length(void *data, const char *symbol) {
    const lengths *l = data;
    const ir_dim *d = ir_dim_symbol(l->c, symbol);
    ir_for_each_node (n, l->body) {
        if (n->op != OP_Slice || !ir_type_is_ranked(n->out[0].type)) continue;
        const ir_type *from = n->in[0].value->type, *to = n->out[0].type;
        for (int32_t a = 0; ir_type_is_ranked(from) && a < to->rank; a++)
            if (to->dims[a] == d && from->dims[a] != d) return sliced_length(l->c, n, a);
    }
    return NULL;
}

const ir_dim *counter_to(ir_ctx *c, const ir_dim *counter, const char *suffix, const ir_dim *end) {
    const char *name = tl_arena_printf(&c->arena, "%s.%s", ir_dim_symbol_name(counter), suffix);
    return ir_dim_counter(c, name, ir_dim_sub(c, end, ir_dim_const(c, 1)));
}

bool ragged_size_get(pass_ctx *ctx, const loop_like *l, const ir_dim *size, ragged_size *r) {
    ir_ctx *c = ctx->c;
    const ir_dim *trips, *counter = loop_counter(l);
    *r = (ragged_size){.most = ir_dim_upper_bound(size)};
    if (r->most == INT64_MAX || !counter) return false;
    if (ir_value_known_dims(c, ir_in(l->node, 0), &trips, 1) != 1) return false;
    lengths where = {c, l->body};
    const ir_dim *most = ir_dim_const(c, r->most), *one = ir_dim_const(c, 1);
    const ir_dim *last = ir_dim_sub(c, trips, one);
    const ir_dim *early = counter_to(c, counter, "early", last);
    r->length = ir_dim_substitute(c, size, find_length, &where);
    if (!ir_dim_equal(dim_replace(c, r->length, counter, early), most)) return false;
    r->total = ir_dim_add(c, ir_dim_mul(c, most, last), dim_replace(c, r->length, counter, last));
    return dims_are_computable(l->body->graph, &r->total, 1);
}
