/* View operators: another index map over the same memory, no data moved. A reshape that strides cannot express copies first. */
#include "codegen/dynamic.h"
#include "codegen/layout.h"

#include "ir/limits.h"

/* A copy whose channels, the same in the operand and the result, stay last; NULL where they are not. */
static const cg_view *copied_last(cg *g, const cg_view *from, ir_value *y) {
    bool same = from->rank >= 3 && y->type->rank >= 3 &&
                ir_dim_equal(from->dims[1], y->type->dims[1]);
    if (!same || !cg_is_last(from) || tl_map_get_ptr(&g->dests, y)) return NULL;
    const cg_view *to = cg_write_last(g, y),
                  *apart = cg_view_reshape(g, to, from->rank, from->dims);
    if (!apart) return NULL;
    cg_copy(g, from, apart);
    return to;
}

/* The operand's view in the result's dimensions. */
static const cg_view *reshaped(cg *g, ir_value *x, ir_value *y) {
    const cg_view *from = cg_read(g, x);
    const ir_type *t = y->type;
    cg_check_equal(g, ir_type_elements(g->c, x->type), ir_type_elements(g->c, t));
    const cg_view *to = cg_view_reshape(g, from, t->rank, t->dims);
    if (!to) to = copied_last(g, from, y);
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

/* ---- complex numbers ------------------------------------------------------------------------------------------------ */

static const cg_view *parts(cg *g, const cg_view *x, ir_dtype t) {
    cg_view *v = TL_NEW(g->arena, cg_view);
    const ir_dim *two = cg_dc(g, 2);
    *v = (cg_view){.buffer = x->buffer, .dtype = t, .rank = x->rank + 1};
    v->offset = ir_dim_mul(g->c, x->offset, two);
    v->dims = TL_NEW_ARRAY(g->arena, const ir_dim *, v->rank);
    v->strides = TL_NEW_ARRAY(g->arena, const ir_dim *, v->rank);
    for (int32_t i = 0; i < x->rank; i++) {
        v->dims[i] = x->dims[i];
        v->strides[i] = ir_dim_mul(g->c, x->strides[i], two);
    }
    v->dims[x->rank] = two;
    v->strides[x->rank] = cg_dc(g, 1);
    return v;
}

/* Pairs that lie side by side, from a place on where a whole number of pairs does. */
static const cg_view *from_parts(cg *g, ir_value *x, const ir_type *t) {
    const cg_view *v = cg_read_dense(g, x);
    if (!ir_dim_is(v->offset, 0)) v = cg_materialise(g, v);
    return cg_view_dense(g, v->buffer, t);
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
    const ir_dim *start, *end; /* unknown: only in the operand's data */
} slice_axis;

/* A start that only the run knows becomes a symbol of the program: clamped, and the run fails where the n elements do not fit behind it. */
static const ir_dim *run_time_start(cg *g, lp_value *start, const ir_dim *extent, int64_t step,
                                    const ir_dim *n) {
    lp_builder *b = &g->b;
    lp_value *d = cg_dim(g, extent), *zero = lp_index(b, 0);
    lp_value *reach = lp_bin(b, LP_mul, lp_bin(b, LP_sub, cg_dim(g, n), lp_index(b, 1)),
                             lp_index(b, step));
    lp_value *lowest = lp_un(b, LP_neg, lp_bin(b, LP_min, reach, zero)),
             *highest = lp_bin(b, LP_sub, lp_bin(b, LP_sub, d, lp_index(b, 1)),
                               lp_bin(b, LP_max, reach, zero));
    lp_value *down = lp_bin(b, LP_lt, start, zero);
    start = lp_select(b, down, lp_bin(b, LP_add, start, d), start);
    lp_value *last = step < 0 ? lp_bin(b, LP_sub, d, lp_index(b, 1)) : d;
    start = lp_bin(b, LP_max, lp_bin(b, LP_min, start, last), zero);
    lp_value *bad = lp_bin(b, LP_or, lp_bin(b, LP_lt, start, lowest),
                           lp_bin(b, LP_gt, start, highest));
    bad = lp_bin(b, LP_and, bad, lp_bin(b, LP_gt, cg_dim(g, n), zero));
    int64_t failure = cg_failure(g, "input 1: start %%lld leaves too few elements of %%lld");
    lp_loop l = lp_if_begin(b, bad, NULL, 0);
    lp_call(b, "tlbc_rt_fail", lp_scalar(LP_VOID),
            (lp_value *[]){g->frame, lp_index(b, failure), start, d}, 4);
    lp_if_end(b, &l, NULL);
    start = lp_bin(b, LP_max, lp_bin(b, LP_min, start, highest), lowest);
    const char *name = tl_arena_printf(g->arena, "slice%u.start", ++g->n_loops);
    const ir_dim *symbol = ir_dim_symbol(g->c, name);
    cg_symbol_set(g, name, start);
    return symbol;
}

/* Starts along count axes, normalised; -1 where their number is not known. */
static int32_t slice_starts(cg *g, const ir_node *n, const ir_dim **starts) {
    ir_value *v = ir_in(n, 1);
    int64_t count;
    if (cg_knows_contents(v)) return ir_value_known_dims(g->c, v, starts, IR_MAX_RANK);
    if (v->type->rank != 1 || !ir_dim_is_const(v->type->dims[0], &count) || count > IR_MAX_RANK)
        return -1;
    for (int64_t i = 0; i < count; i++)
        starts[i] = ir_dim_unknown(g->c);
    return (int32_t)count;
}

/* The operands by axis; their number, or -1 where it, the axes or the steps are not known. */
static int32_t read_slice(cg *g, ir_node *n, int32_t rank, slice_axis *out) {
    const ir_dim *starts[IR_MAX_RANK], *ends[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    int32_t count = slice_starts(g, n, starts);
    for (int32_t i = 0; i < count; i++)
        axes[i] = i, steps[i] = 1;
    bool known = count >= 0 &&
                 (!ir_in(n, 3) || ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) == count) &&
                 (!ir_in(n, 4) || ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) == count);
    bool ends_known = ir_value_known_dims(g->c, ir_in(n, 2), ends, IR_MAX_RANK) == count;
    for (int32_t i = 0; known && i < count; i++)
        out[i] = (slice_axis){(int32_t)(axes[i] < 0 ? axes[i] + rank : axes[i]), steps[i],
                              starts[i], ends_known ? ends[i] : ir_dim_unknown(g->c)};
    return known ? count : -1;
}

/* A length that depends on a loop's counter has a symbol of its own in the result's type: this is where it gets its value. */
static void bind_length(cg *g, const ir_dim *declared, const ir_dim *size, const slice_axis *s) {
    if (!ir_dim_is_symbol(declared) || cg_symbol_is_set(g, ir_dim_symbol_name(declared))) return;
    if (ir_dim_is_unknown(s->start) || ir_dim_is_unknown(s->end)) return;
    const ir_dim *length = infer_slice_length(g->c, size, s->start, s->end, s->step);
    if (!ir_dim_equal(length, declared) && !ir_dim_is_unknown(length))
        cg_symbol_set(g, ir_dim_symbol_name(declared), cg_dim(g, length));
}

static const ir_dim *start_along(cg *g, ir_node *n, int32_t i, const slice_axis *s,
                                 const ir_dim *extent, const ir_dim *length) {
    bool unknown = ir_dim_is_unknown(s->start);
    if (!unknown && (ir_dim_is_const(s->start, NULL) || ir_dim_lower_bound(s->start) >= 0))
        return slice_start(g, s->start, extent, s->step < 0);
    lp_value *v = unknown ? lp_cast(&g->b, cg_load_element(g, ir_in(n, 1), i), DT_i64)
                          : cg_dim(g, s->start);
    return run_time_start(g, v, extent, s->step, length);
}

/* The steps by axis, 0 where an axis is left alone; false where axes or steps depend on data. */
static bool steps_by_axis(const ir_node *n, int32_t rank, int64_t *by_axis) {
    int64_t axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    int32_t count = ir_in(n, 3) ? ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) : -1;
    bool stepped = ir_in(n, 4) != NULL;
    if (count < 0 || (stepped && ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) != count))
        return false;
    for (int32_t i = 0; i < rank; i++)
        by_axis[i] = 0;
    for (int32_t k = 0; k < count; k++)
        by_axis[axes[k] < 0 ? axes[k] + rank : axes[k]] = stepped ? steps[k] : 1;
    return true;
}

/* From the shape function: length, start and step of each axis, but for what constants say. Rows of a slice whose ends only the run knows
 * are rows without gaps all the same. */
static const cg_view *sliced_by_data(cg *g, const ir_node *n, const cg_view *v) {
    int64_t steps[IR_MAX_RANK];
    int32_t rank = v->rank;
    bool known = steps_by_axis(n, rank, steps);
    for (int32_t i = 0; i < rank; i++) {
        if (known && !steps[i]) continue;
        const ir_dim *start = cg_number(g, (uint32_t)(rank + i)),
                     *step = known ? cg_dc(g, steps[i]) : cg_number(g, (uint32_t)(2 * rank + i));
        v = cg_view_slice(g, v, i, start, step, n->out[0].type->dims[i]);
    }
    return v;
}

static const cg_view *sliced(cg *g, ir_node *n) {
    slice_axis axes[IR_MAX_RANK];
    const cg_view *v = cg_read(g, ir_in(n, 0));
    if (cg_shape_operands(n)) return sliced_by_data(g, n, v);
    int32_t count = read_slice(g, n, v->rank, axes);
    if (count < 0) {
        cg_unsupported(g, n, "axes or steps that depend on data");
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t a = axes[i].axis;
        const ir_dim *length = n->out[0].type->dims[a];
        bind_length(g, length, v->dims[a], &axes[i]);
        const ir_dim *start = start_along(g, n, i, &axes[i], v->dims[a], length);
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
    cg_check_equal(g, start, x->dims[axis]);
}

bool lower_view(cg *g, ir_node *n) {
    const ir_type *t = n->out[0].type;
    if (n->op == OP_Identity && cg_is_cell_value(ir_in(n, 0))) {
        cg_cells_begin(g);
        cg_set_cell(g, &n->out[0], cg_value_cell(g, ir_in(n, 0)));
        return true;
    }
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
    case OP_Parts:
        v = parts(g, cg_read(g, ir_in(n, 0)), t->dtype);
        break;
    case OP_FromParts:
        v = from_parts(g, ir_in(n, 0), t);
        break;
    case OP_Split:
        split(g, n);
        return true;
    default:
        v = reshaped(g, ir_in(n, 0), &n->out[0]);
        break;
    }
    if (!v) return false;
    cg_set_view(g, &n->out[0], v);
    return true;
}

/* The run goes on with the branch that there is, and ends in an error. */
bool lower_guard(cg *g, ir_node *n) {
    int64_t failure = cg_failure(g, "%s", ir_guard_message(n));
    lp_builder *b = &g->b;
    lp_value *holds = cg_load_scalar(g, ir_in(n, 1)), *zero = lp_index(b, 0);
    lp_value *fails = lp_bin(b, LP_eq, lp_cast(b, holds, DT_i64), zero);
    lp_loop l = lp_if_begin(b, fails, NULL, 0);
    lp_call(b, "tlbc_rt_fail", lp_scalar(LP_VOID),
            (lp_value *[]){g->frame, lp_index(b, failure), zero, zero}, 4);
    lp_if_end(b, &l, NULL);
    cg_set_view(g, &n->out[0], cg_read(g, ir_in(n, 0)));
    return true;
}
