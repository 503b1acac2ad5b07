/* Masks that show the first rows of many; see prefix.h. Rows 0 to count, of 200:
 *
 *   %last = Min(%count, 199)    %n = Add(%last, 1)    %n = Max(%n, 0)      i64[1]
 *   %here = Slice(@iota, 0, %n)                                            i64[k]: a size of its own
 *   %k = Shape(%here)                                                      i64[1] that is known to hold k
 *
 * A count that is negative or too large means what the comparison meant. */
#include "passes/prefix.h"

#include "ir/base/assert.h"
#include "passes/match.h"

/* ---- finding -------------------------------------------------------------------------------------------------------- */

/* The one axis of v's type whose size is not 1, counted from the back, and that size; false where there are others, or none. */
static bool find_long_axis(const ir_value *v, int32_t *from_back, int64_t *size) {
    int64_t d;
    if (!ir_type_is_known(v->type)) return false;
    *from_back = 0;
    for (int32_t i = 0; i < v->type->rank; i++) {
        if (!ir_dim_is_const(v->type->dims[i], &d) || (d != 1 && *from_back)) return false;
        if (d == 1) continue;
        *from_back = v->type->rank - i;
        *size = d;
    }
    return *from_back > 0;
}

/* The constant 0, 1, 2... along its only long axis. */
static bool is_table(ir_value *v, prefix *p) {
    int32_t axis;
    if (!v->tensor || v->tensor->opaque || (v->type->dtype != DT_i64 && v->type->dtype != DT_i32) ||
        !find_long_axis(v, &axis, &p->rows))
        return false;
    for (int64_t i = 0; i < p->rows; i++)
        if (ir_tensor_get_i64(v->tensor, (size_t)i) != i) return false;
    p->table = v;
    return true;
}

static bool is_one_element(const ir_value *v) {
    int64_t size = 1, d;
    for (int32_t i = 0; ir_type_is_known(v->type) && i < v->type->rank; i++)
        size = ir_dim_is_const(v->type->dims[i], &d) ? size * d : 0;
    return ir_type_is_known(v->type) && size == 1;
}

static op_id mirrored(op_id op) {
    return op == OP_Less             ? OP_Greater
           : op == OP_LessOrEqual    ? OP_GreaterOrEqual
           : op == OP_Greater        ? OP_Less
           : op == OP_GreaterOrEqual ? OP_LessOrEqual
                                     : op;
}

/* n compares the table with the end, either way round. */
static bool is_comparison(ir_node *n, prefix *p) {
    if (n->n_in != 2) return false;
    bool swapped = is_table(ir_in(n, 1), p);
    if (!swapped && !is_table(ir_in(n, 0), p)) return false;
    op_id op = swapped ? mirrored(n->op) : n->op; /* table op end */
    p->end = ir_in(n, swapped ? 0 : 1);
    p->is_last = op == OP_LessOrEqual || op == OP_Greater;
    p->is_negated = op == OP_Greater || op == OP_GreaterOrEqual;
    return (p->is_last || p->is_negated || op == OP_Less) && is_one_element(p->end) &&
           !p->end->tensor;
}

bool prefix_find(ir_value *mask, prefix *p) {
    bool flipped = false;
    int64_t size;
    if (!find_long_axis(mask, &p->from_back, &size)) return false;
    for (ir_value *v = mask; v->def; v = ir_in(v->def, 0)) {
        if (is_comparison(v->def, p)) {
            p->is_negated ^= flipped;
            return p->rows == size;
        }
        if (v->def->op == OP_Not)
            flipped = !flipped;
        else if (!is_reshape_like(v->def->op) &&
                 (v->def->op != OP_Cast || ir_in(v->def, 0)->type->dtype != DT_bool))
            return false;
    }
    return false;
}

/* ---- its length ----------------------------------------------------------------------------------------------------- */

static ir_value *i64s_of_one(ir_builder *b, ir_value *v) {
    return build_reshape(b, build_cast(b, v, DT_i64),
                         (const ir_dim *[]){ir_dim_const(b->m->ctx, 1)}, 1);
}

ir_value *prefix_length(ir_builder *b, const prefix *p, const char *name) {
    ir_value *zero = build_i64s(b, (int64_t[]){0}, 1), *n = i64s_of_one(b, p->end);
    if (p->is_last) {
        n = build_op2(b, OP_Min, n, build_i64s(b, (int64_t[]){p->rows - 1}, 1));
        n = build_op2(b, OP_Add, n, build_i64s(b, (int64_t[]){1}, 1));
    }
    ir_value *table = build_reshape(b, p->table,
                                    (const ir_dim *[]){ir_dim_const(b->m->ctx, p->rows)}, 1);
    ir_value *here = build_op3(b, OP_Slice, table, zero, build_op2(b, OP_Max, n, zero));
    here->name = name;
    bool inferred = ir_infer_node(b->m->ctx, here->def);
    TL_ASSERT(inferred);
    return build_op1(b, OP_Shape, here);
}

/* x, where v is op(x, k) or op(k, x); else NULL. */
static const ir_value *with_constant(const ir_value *v, op_id op, int64_t k) {
    const ir_node *n = v ? match_def(v, op) : NULL;
    int64_t found;
    for (uint32_t i = 0; n && i < 2; i++)
        if (ir_value_const_i64(ir_in(n, i), &found) && found == k) return ir_in(n, 1 - i);
    return NULL;
}

/* The same number in another form. */
static const ir_value *behind(const ir_value *v) {
    while (v->def &&
           (is_reshape_like(v->def->op) || (v->def->op == OP_Cast && v->type->dtype == DT_i64 &&
                                            ir_in(v->def, 0)->type->dtype == DT_i32)))
        v = ir_in(v->def, 0);
    return v;
}

bool prefix_is_length(const ir_value *length, const prefix *p) {
    int64_t start;
    const ir_node *shape = match_def(length, OP_Shape),
                  *slice = shape ? match_def(ir_in(shape, 0), OP_Slice) : NULL;
    if (!slice || slice->n_in != 3 || !ir_dim_is(ir_in(slice, 0)->type->dims[0], p->rows) ||
        !ir_value_const_i64(ir_in(slice, 1), &start) || start != 0)
        return false;
    const ir_value *n = with_constant(ir_in(slice, 2), OP_Max, 0);
    if (p->is_last) n = with_constant(with_constant(n, OP_Add, 1), OP_Min, p->rows - 1);
    return n && behind(n) == behind(p->end);
}
