/* View operators: another index map over the same memory, no data moved. A reshape that strides cannot express copies first. */
#include "codegen/lower.h"

#include "ir/limits.h"

/* The operand's view in the result's dimensions. */
static const cg_view *reshaped(cg *g, ir_value *x, const ir_type *t) {
    const cg_view *from = cg_read(g, x), *to = cg_view_reshape(g, from, t->rank, t->dims);
    return to ? to : cg_view_reshape(g, cg_materialise(g, from), t->rank, t->dims);
}

static const cg_view *transposed(cg *g, const ir_node *n) {
    const cg_view *x = cg_read(g, ir_in(n, 0));
    uint32_t count;
    const int64_t *perm = ir_attr_ints(n, "perm", &count);
    int64_t reverse[IR_MAX_RANK];
    for (int32_t i = 0; i < x->rank; i++)
        reverse[i] = x->rank - 1 - i;
    return cg_view_permute(g, x, perm ? perm : reverse);
}

/* ---- Slice --------------------------------------------------------------------------------------------------------- */

/* ONNX: a negative start counts from the end; then it is clamped to [0, d], or [0, d-1] when stepping down. */
static const ir_dim *slice_start(cg *g, const ir_dim *start, const ir_dim *d, bool down) {
    int64_t s;
    const ir_dim *zero = cg_dc(g, 0), *top = down ? ir_dim_sub(g->c, d, cg_dc(g, 1)) : d;
    if (ir_dim_is_const(start, &s) && s < 0) {
        if (s < -((int64_t)1 << 40)) return zero;
        return ir_dim_max(g->c, ir_dim_add(g->c, d, start), zero);
    }
    if (ir_dim_is_const(start, &s) && s > ((int64_t)1 << 40)) return top;
    return ir_dim_min(g->c, start, top);
}

typedef struct slice_axis {
    int32_t axis;
    int64_t step;
    const ir_dim *start, *end;
} slice_axis;

static bool sign_is_known(const ir_dim *d) {
    return ir_dim_is_const(d, NULL) || ir_dim_lower_bound(d) >= 0;
}

/* The operands as known dimension expressions; the number of axes, or -1. */
static int32_t read_slice(cg *g, ir_node *n, int32_t rank, slice_axis *out) {
    const ir_dim *starts[IR_MAX_RANK], *ends[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    int32_t count = ir_value_known_dims(g->c, ir_in(n, 1), starts, IR_MAX_RANK);
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    bool known = count >= 0 && ir_value_known_dims(g->c, ir_in(n, 2), ends, IR_MAX_RANK) == count &&
                 (!ir_in(n, 3) || ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) == count) &&
                 (!ir_in(n, 4) || ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) == count);
    for (int32_t i = 0; known && i < count; i++) {
        known = sign_is_known(starts[i]);
        out[i] = (slice_axis){(int32_t)(axes[i] < 0 ? axes[i] + rank : axes[i]), steps[i],
                              starts[i], ends[i]};
    }
    return known ? count : -1;
}

/* A length that depends on a loop's counter has a symbol of its own in the result's type: this is where it gets its value. */
static void bind_length(cg *g, const ir_dim *declared, const ir_dim *size, const slice_axis *s) {
    if (!ir_dim_is_symbol(declared) || cg_symbol_is_set(g, ir_dim_symbol_name(declared))) return;
    const ir_dim *length = infer_slice_length(g->c, size, s->start, s->end, s->step);
    if (!ir_dim_equal(length, declared) && !ir_dim_is_unknown(length))
        cg_symbol_set(g, ir_dim_symbol_name(declared), cg_dim(g, length));
}

static const cg_view *sliced(cg *g, ir_node *n) {
    slice_axis axes[IR_MAX_RANK];
    const cg_view *v = cg_read(g, ir_in(n, 0));
    int32_t count = read_slice(g, n, v->rank, axes);
    if (count < 0) {
        cg_unsupported(g, n, "bounds that depend on data");
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t a = axes[i].axis;
        const ir_dim *start = slice_start(g, axes[i].start, v->dims[a], axes[i].step < 0),
                     *length = n->out[0].type->dims[a];
        bind_length(g, length, v->dims[a], &axes[i]);
        v = cg_view_slice(g, v, a, start, cg_dc(g, axes[i].step), length);
    }
    return v;
}

static void split(cg *g, ir_node *n) {
    const cg_view *x = cg_read(g, ir_in(n, 0));
    int64_t axis = ir_attr_int(n, "axis", 0);
    if (axis < 0) axis += x->rank;
    const ir_dim *start = cg_dc(g, 0);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_dim *size = n->out[i].type->dims[axis];
        cg_set_view(g, &n->out[i], cg_view_slice(g, x, (int32_t)axis, start, cg_dc(g, 1), size));
        start = ir_dim_add(g->c, start, size);
    }
}

bool lower_view(cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    if (!ir_type_is_known(t))
        return cg_unsupported(g, n, "the shape of its result depends on data");
    const cg_view *v = NULL;
    switch (n->op) {
    case OP_Identity:
        v = cg_read(g, ir_in(n, 0));
        break;
    case OP_Transpose:
        v = transposed(g, n);
        break;
    case OP_Expand:
        v = cg_view_broadcast(g, cg_read(g, ir_in(n, 0)), t->rank, t->dims);
        break;
    case OP_Slice:
        v = sliced(g, n);
        break;
    case OP_Split:
        split(g, n);
        return true;
    default:
        v = reshaped(g, ir_in(n, 0), t);
        break;
    }
    if (!v) return false;
    cg_set_view(g, &n->out[0], v);
    return true;
}
