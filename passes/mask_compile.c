/* From a graph to instructions; see mask_internal.h. Views change coordinates, everything else is an instruction. */
#include "passes/mask_internal.h"

#include "ir/limits.h"
#include "passes/util.h"

enum { MAX_DEPTH = 48 };

static int64_t absolute(int64_t x) {
    return x < 0 ? -x : x;
}

/* ---- instructions ----------------------------------------------------------------------------------------------- */

static bool emit(mask_reader *r, mask_instruction x, uint32_t *out) {
    if (r->n == MASK_INSTRUCTIONS) return mask_fail(r, "it is too large");
    *out = r->n;
    r->code[r->n++] = x;
    return true;
}

static bool emit_coord(mask_reader *r, mask_coord at, uint32_t *out) {
    mask_bounds b = {.a = at.i, .b = at.j, .over = 1, .period = 1, .slack = absolute(at.base)};
    return mask_bounds_are_small(r, &b) &&
           emit(r, (mask_instruction){.op = OP_None, .at = at, .bounds = b}, out);
}

static bool emit_number(mask_reader *r, double x, uint32_t *out) {
    mask_instruction c = {.op = OP_Dims, .bounds = mask_bounds_of_number(x)};
    if (!emit(r, c, out)) return false;
    r->code[*out].row = TL_NEW(r->ctx->scratch, double);
    *r->code[*out].row = x;
    return true;
}

/* ---- from the graph --------------------------------------------------------------------------------------------- */

static bool compile(mask_reader *r, const ir_value *v, const mask_coord *at, uint32_t depth,
                    uint32_t *out);

static bool is_fixed(const mask_coord *c) {
    return !c->i && !c->j;
}

static bool is_one(const ir_dim *d) {
    return ir_dim_is(d, 1);
}

static bool compile_table(mask_reader *r, const ir_value *v, const mask_coord *at, uint32_t *out) {
    const ir_type *t = v->type;
    mask_coord flat = {0};
    int64_t stride = 1;
    if (v->tensor->opaque || !ir_tensor_elements(v->tensor))
        return mask_fail(r, "a constant is not known");
    if (ir_tensor_is_splat(v->tensor)) return emit_number(r, ir_tensor_get_f64(v->tensor, 0), out);
    for (int32_t k = t->rank; k-- > 0;) {
        int64_t n = 1;
        ir_dim_is_const(t->dims[k], &n);
        if (n == 1) continue;
        bool by_query = at[k].i && !at[k].j, by_key = at[k].j && !at[k].i;
        if (is_fixed(&at[k]) && (at[k].base < 0 || at[k].base >= n))
            return mask_fail(r, "it reads behind the end of a constant");
        if (!is_fixed(&at[k]) && (at[k].i + at[k].j != 1 || at[k].base || by_query == by_key))
            return mask_fail(r, "it reads a constant in another order");
        if (by_query) r->rows = mask_min(r->rows, n);
        if (by_key) r->columns = mask_min(r->columns, n);
        flat.i += at[k].i * stride;
        flat.j += at[k].j * stride;
        flat.base += at[k].base * stride;
        stride *= n;
    }
    mask_instruction x = {.op = OP_None, .table = v->tensor, .at = flat};
    x.bounds = (mask_bounds){.over = 1, .period = 1};
    return emit(r, x, out);
}

/* 0, 1, 2, ... along one axis: a position, not a table. */
static bool is_iota(const ir_value *v, int32_t *axis) {
    const ir_type *t = v->type;
    int32_t found = -1;
    for (int32_t k = 0; k < t->rank; k++) {
        if (is_one(t->dims[k])) continue;
        if (found >= 0) return false;
        found = k;
    }
    if (found < 0 || !ir_dtype_is_int(t->dtype) || v->tensor->opaque) return false;
    size_t n = ir_tensor_elements(v->tensor);
    for (size_t k = 0; k < n; k++)
        if (ir_tensor_get_i64(v->tensor, k) != (int64_t)k) return false;
    *axis = found;
    return n > 1;
}

/* Coordinates of an operand that is stretched to the result. */
static void broadcast(const ir_type *from, int32_t rank, const mask_coord *at, mask_coord *out) {
    for (int32_t k = 0; k < from->rank; k++)
        out[k] = is_one(from->dims[k]) ? (mask_coord){0} : at[rank - from->rank + k];
}

/* Axes of extent 1 come and go; the others are the same in the same order. */
static bool compile_reshaped(mask_reader *r, const ir_node *n, const mask_coord *at, uint32_t depth,
                             uint32_t *out) {
    const ir_type *from = n->in[0].value->type, *to = n->out[0].type;
    mask_coord inner[IR_MAX_RANK] = {{0}};
    int32_t k = 0;
    for (int32_t i = 0; i < from->rank; i++) {
        if (is_one(from->dims[i])) continue;
        while (k < to->rank && is_one(to->dims[k]))
            k++;
        if (k == to->rank || !is_cut_to(r->ctx->c, from->dims[i], to->dims[k]))
            return mask_fail(r, "it is reshaped");
        inner[i] = at[k++];
    }
    while (k < to->rank && is_one(to->dims[k]))
        k++;
    return k == to->rank ? compile(r, n->in[0].value, inner, depth, out)
                         : mask_fail(r, "it is reshaped");
}

static bool compile_slice(mask_reader *r, const ir_node *n, const mask_coord *at, uint32_t depth,
                          uint32_t *out) {
    const ir_type *t = n->in[0].value->type;
    int64_t starts[IR_MAX_RANK], axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    mask_coord inner[IR_MAX_RANK];
    int32_t count = ir_value_const_ints(ir_in(n, 1), starts, IR_MAX_RANK);
    for (int32_t k = 0; k < IR_MAX_RANK; k++)
        axes[k] = k, steps[k] = 1;
    if (count < 0 ||
        (ir_in(n, 3) && ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) != count) ||
        (ir_in(n, 4) && ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) != count))
        return mask_fail(r, "where it is cut is not known");
    memcpy(inner, at, (size_t)t->rank * sizeof *at);
    for (int32_t k = 0; k < count; k++) {
        int32_t axis = normal_axis(axes[k], t->rank);
        if (axis < 0 || steps[k] < 1 || steps[k] > MASK_GRID || starts[k] < 0 ||
            starts[k] > MASK_NUMBER)
            return mask_fail(r, "it is cut from its end");
        mask_coord c = inner[axis];
        inner[axis] = (mask_coord){c.i * steps[k], c.j * steps[k], c.base * steps[k] + starts[k]};
    }
    return compile(r, n->in[0].value, inner, depth, out);
}

/* Rows picked by number: by one that is fixed, or by positions. */
static bool compile_gather(mask_reader *r, const ir_node *n, const mask_coord *at, uint32_t depth,
                           uint32_t *out) {
    const ir_type *data = n->in[0].value->type, *index = n->in[1].value->type;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), data->rank);
    mask_coord inner[IR_MAX_RANK];
    uint32_t which;
    if (axis < 0 || !compile(r, n->in[1].value, at + axis, depth, &which)) return false;
    const mask_instruction *x = &r->code[which];
    double k;
    if (mask_is_number(r, which, &k))
        inner[axis] = (mask_coord){.base = (int64_t)k};
    else if (x->op == OP_None && !x->table)
        inner[axis] = x->at;
    else
        return mask_fail(r, "it is picked by numbers that are not positions");
    for (int32_t i = 0; i < axis; i++)
        inner[i] = at[i];
    for (int32_t i = axis + 1; i < data->rank; i++)
        inner[i] = at[i + index->rank - 1];
    return compile(r, n->in[0].value, inner, depth, out);
}

static bool compile_transposed(mask_reader *r, const ir_node *n, const mask_coord *at,
                               uint32_t depth, uint32_t *out) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    mask_coord inner[IR_MAX_RANK];
    if (!get_perm(n, perm, &rank)) return mask_fail(r, "its rank is not known");
    for (uint32_t k = 0; k < rank; k++)
        inner[perm[k]] = at[k];
    return compile(r, n->in[0].value, inner, depth, out);
}

/* An operator of rows, with its bounds. */
static bool emit_op(mask_reader *r, op_id op, const ir_node *n, const uint32_t *in, uint32_t n_in,
                    uint32_t *out) {
    mask_instruction x = {.op = op, .node = n, .n_in = n_in};
    memcpy(x.in, in, n_in * sizeof *in);
    if (!mask_bounds_of(r, &x, &x.bounds)) {
        if (!r->whole) return false;
        x.bounds = (mask_bounds){.over = 1, .period = 1};
        r->why = NULL;
    }
    return emit(r, x, out);
}

/* The last two coordinates differ by k at least (or at most). */
static bool compile_diagonal(mask_reader *r, const mask_coord *row, const mask_coord *column,
                             op_id op, int64_t k, uint32_t *out) {
    mask_coord d = {column->i - row->i, column->j - row->j, column->base - row->base};
    uint32_t in[2];
    return emit_coord(r, d, &in[0]) && emit_number(r, (double)k, &in[1]) &&
           emit_op(r, op, NULL, in, 2, out);
}

static bool compile_trilu(mask_reader *r, const ir_node *n, const mask_coord *at, uint32_t depth,
                          uint32_t *out) {
    int32_t rank = n->out[0].type->rank;
    int64_t k = 0;
    uint32_t in[3];
    bool upper = ir_attr_int(n, "upper", 1);
    if (ir_in(n, 1) && !ir_value_const_i64(ir_in(n, 1), &k))
        return mask_fail(r, "its diagonal is not known");
    return compile_diagonal(r, &at[rank - 2], &at[rank - 1],
                            upper ? OP_GreaterOrEqual : OP_LessOrEqual, k, &in[0]) &&
           compile(r, n->in[0].value, at, depth, &in[1]) && emit_number(r, 0, &in[2]) &&
           emit_op(r, OP_Where, NULL, in, 3, out);
}

static bool compile_range(mask_reader *r, const ir_node *n, const mask_coord *at, uint32_t *out) {
    int64_t start, step;
    if (!ir_value_const_i64(ir_in(n, 0), &start) || !ir_value_const_i64(ir_in(n, 2), &step) ||
        absolute(step) > MASK_GRID || absolute(start) > MASK_NUMBER)
        return mask_fail(r, "a Range does not begin with a constant");
    return emit_coord(r, (mask_coord){at[0].i * step, at[0].j * step, at[0].base * step + start},
                      out);
}

static bool compile_filled(mask_reader *r, const ir_node *n, uint32_t *out) {
    const ir_attr *value = ir_attr_find(n, "value");
    bool given = value && value->kind == ATTR_TENSOR;
    return emit_number(r, given ? ir_tensor_get_f64(value->v.t, 0) : 0, out);
}

static bool is_pointwise(op_id op) {
    switch (op) {
    case OP_Add:
    case OP_Sub:
    case OP_Mul:
    case OP_Div:
    case OP_Mod:
    case OP_Abs:
    case OP_Neg:
    case OP_Sign:
    case OP_Floor:
    case OP_Ceil:
    case OP_Cast:
    case OP_Equal:
    case OP_Less:
    case OP_LessOrEqual:
    case OP_Greater:
    case OP_GreaterOrEqual:
    case OP_And:
    case OP_Or:
    case OP_Xor:
    case OP_Not:
    case OP_Where:
    case OP_Min:
    case OP_Max:
    case OP_IsNaN:
        return true;
    default:
        return false;
    }
}

static bool compile_pointwise(mask_reader *r, const ir_node *n, const mask_coord *at,
                              uint32_t depth, uint32_t *out) {
    uint32_t in[3];
    if (n->n_in > 3) return mask_fail(r, "it has too many operands");
    for (uint32_t i = 0; i < n->n_in; i++) {
        mask_coord inner[IR_MAX_RANK];
        broadcast(n->in[i].value->type, n->out[0].type->rank, at, inner);
        if (!compile(r, n->in[i].value, inner, depth, &in[i])) return false;
    }
    return emit_op(r, n->op, n, in, n->n_in, out);
}

static bool compile_node(mask_reader *r, const ir_node *n, const mask_coord *at, uint32_t depth,
                         uint32_t *out) {
    mask_coord inner[IR_MAX_RANK];
    if (is_reshape_like(n->op)) return compile_reshaped(r, n, at, depth, out);
    if (is_pointwise(n->op)) return compile_pointwise(r, n, at, depth, out);
    switch (n->op) {
    case OP_Identity:
        return compile(r, n->in[0].value, at, depth, out);
    case OP_Expand:
        broadcast(n->in[0].value->type, n->out[0].type->rank, at, inner);
        return compile(r, n->in[0].value, inner, depth, out);
    case OP_Transpose:
        return compile_transposed(r, n, at, depth, out);
    case OP_Slice:
        return compile_slice(r, n, at, depth, out);
    case OP_Gather:
        return compile_gather(r, n, at, depth, out);
    case OP_Trilu:
        return compile_trilu(r, n, at, depth, out);
    case OP_EyeLike:
        return compile_diagonal(r, &at[0], &at[1], OP_Equal, ir_attr_int(n, "k", 0), out);
    case OP_Range:
        return compile_range(r, n, at, out);
    case OP_ConstantOfShape:
        return compile_filled(r, n, out);
    default:
        return mask_fail(r, tl_arena_printf(r->ctx->scratch, "%s in it is no function of positions",
                                            op_get(n->op)->name));
    }
}

static bool is_readable(const ir_value *v) {
    if (!ir_type_is_tensor(v->type) || !ir_type_is_ranked(v->type)) return false;
    ir_dtype t = v->type->dtype;
    return t == DT_bool || t == DT_i32 || t == DT_i64 || ir_dtype_is_float(t);
}

static bool compile(mask_reader *r, const ir_value *v, const mask_coord *at, uint32_t depth,
                    uint32_t *out) {
    int64_t k;
    int32_t axis;
    if (!is_readable(v)) return mask_fail(r, "it is computed in another type");
    if (depth == 0) return mask_fail(r, "it is computed in too many steps");
    if (ir_value_is_const(v))
        return is_iota(v, &axis) ? emit_coord(r, at[axis], out) : compile_table(r, v, at, out);
    if (ir_dtype_is_int(v->type->dtype) && ir_value_const_i64(v, &k))
        return emit_number(r, (double)k, out);
    if (!v->def) return mask_fail(r, "it is an input, or the value of a loop");
    for (uint32_t i = 0; i < v->def->n_in; i++)
        if (!v->def->in[i].value)
            continue;
        else if (!ir_type_is_ranked(v->def->in[i].value->type))
            return mask_fail(r, "its rank is not known");
    return compile_node(r, v->def, at, depth - 1, out);
}

bool mask_compile(mask_reader *r, const ir_value *v, const mask_coord *at, uint32_t *out) {
    return compile(r, v, at, MAX_DEPTH, out);
}
