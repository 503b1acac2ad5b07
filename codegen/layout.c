/* See layout.h. */
#include "codegen/layout.h"

#include "ir/limits.h"

bool cg_is_last(const cg_view *v) {
    return v->rank >= 3 && v->buffer->channels_last && ir_dim_is(v->strides[1], 1) &&
           !ir_dim_is(v->dims[1], 1);
}

const cg_view *cg_to_last(cg *g, const cg_view *v) {
    int64_t perm[IR_MAX_RANK] = {0};
    for (int32_t i = 1; i < v->rank; i++)
        perm[i] = i == v->rank - 1 ? 1 : i + 1;
    return cg_view_permute(g, v, perm);
}

const cg_view *cg_from_last(cg *g, const cg_view *v) {
    int64_t perm[IR_MAX_RANK] = {0};
    for (int32_t i = 1; i < v->rank; i++)
        perm[i] = i == 1 ? v->rank - 1 : i - 1;
    return cg_view_permute(g, v, perm);
}

const cg_view *cg_write_last(cg *g, ir_value *v) {
    const ir_type *t = v->type;
    if (tl_map_get_ptr(&g->dests, v) || t->rank < 3) return cg_write(g, v);
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = t->dims[!i ? 0 : i == t->rank - 1 ? 1 : i + 1];
    const ir_dim *bytes = ir_dim_mul(g->c, ir_type_elements(g->c, t),
                                     cg_dc(g, cg_elem_bytes(t->dtype)));
    cg_buffer *buffer = cg_buffer_create(g, bytes);
    buffer->channels_last = true;
    const cg_view *dense = cg_view_dense(g, buffer, ir_type_tensor(g->c, t->dtype, t->rank, dims)),
                  *view = cg_from_last(g, dense);
    cg_set_view(g, v, view);
    return view;
}

const cg_view *cg_write_like(cg *g, ir_value *v, const cg_view *like) {
    bool last = like && cg_is_last(like) && like->rank == v->type->rank;
    return last ? cg_write_last(g, v) : cg_write(g, v);
}
