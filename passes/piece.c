#include "passes/piece.h"

#include "passes/util.h"

/* Counts a negative position from the end, where that is known. */
static bool normalise_start(piece *p) {
    int64_t size;
    bool constant = ir_dim_is_const(p->from->type->dims[p->axis], &size);
    if (p->start < 0 && constant) p->start += size;
    return p->start >= 0 && (!constant || p->start + p->length <= size);
}

static bool piece_of_slice(const ir_node *n, piece *out) {
    int64_t start, axis = 0, step = 1;
    const ir_type *t = n->in[0].value->type;
    bool one = ir_value_const_ints(n->in[1].value, &start, 1) == 1 &&
               (!ir_in(n, 3) || ir_value_const_ints(ir_in(n, 3), &axis, 1) == 1) &&
               (!ir_in(n, 4) || ir_value_const_ints(ir_in(n, 4), &step, 1) == 1);
    if (!one || step != 1 || !ir_type_is_ranked(t)) return false;
    *out = (piece){.from = n->in[0].value, .axis = normal_axis(axis, t->rank), .start = start};
    return out->axis >= 0 && ir_dim_is_const(n->out[0].type->dims[out->axis], &out->length) &&
           normalise_start(out);
}

static bool piece_of_gather(const ir_node *n, piece *out) {
    const ir_type *t = n->in[0].value->type, *at = n->in[1].value->type;
    int64_t start;
    if (!ir_type_is_ranked(t) || !ir_type_is_ranked(at) || at->rank > 1) return false;
    if (ir_value_const_ints(n->in[1].value, &start, 1) != 1) return false;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), t->rank);
    *out = (piece){n->in[0].value, axis, start, 1, at->rank == 0};
    return axis >= 0 && normalise_start(out);
}

static bool piece_of_split(const ir_value *v, piece *out) {
    const ir_node *n = v->def;
    const ir_type *t = n->in[0].value->type;
    int64_t length;
    if (!ir_type_is_ranked(t)) return false;
    *out = (piece){.from = n->in[0].value, .axis = normal_axis(ir_attr_int(n, "axis", 0), t->rank)};
    for (uint32_t i = 0; out->axis >= 0 && i <= v->index; i++) {
        if (!ir_dim_is_const(n->out[i].type->dims[out->axis], &length)) return false;
        if (i < v->index) out->start += length;
    }
    out->length = length;
    return out->axis >= 0;
}

bool find_piece(const ir_value *v, piece *out) {
    if (!v->def) return false;
    switch (v->def->op) {
    case OP_Slice:
        return piece_of_slice(v->def, out);
    case OP_Gather:
        return piece_of_gather(v->def, out);
    case OP_Split:
        return piece_of_split(v, out);
    default:
        return false;
    }
}
