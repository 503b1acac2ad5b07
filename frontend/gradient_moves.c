/* Derivatives of operators that only move elements, which one rule gives for all of them: the positions 0, 1, ... of the operand's elements
 * take the same way as the elements did, and tell where the derivative of each result belongs.
 *
 *   %y = Slice(%x, ...)     %at = Slice(Reshape(Range(0, Size(%x), 1), Shape(%x)), ...)
 *                           %dx = ScatterElements<reduction="add">(zeros of Size(%x), flat %at, flat %g), in the shape of %x
 *
 * What is in no result gets 0, what is in several the sum. Pad fills with a position behind the last one, which is cut off again. */
#include "frontend/gradient_rule.h"

static ir_value *flat(const rule *r, ir_value *v) {
    return op2(r, OP_Reshape, v, fe_i64s(r->f, (int64_t[]){-1}, 1));
}

/* The node once more on the positions in place of operand 0. */
static ir_value *moved_positions(const rule *r, ir_value *positions, ir_value *behind) {
    const ir_node *n = r->n;
    ir_value **in = TL_NEW_ARRAY(r->f->im->scratch, ir_value *, n->n_in + 1);
    uint32_t n_in = n->n_in;
    in[0] = positions;
    for (uint32_t i = 1; i < n->n_in; i++)
        in[i] = ir_in(n, i) ? ir_in(n, i) : &fe_omitted;
    if (n->op == OP_Pad) {
        for (; n_in < 3; n_in++)
            in[n_in] = &fe_omitted;
        in[2] = behind;
    }
    if (!positions || !behind) return NULL;
    ir_node *copy = fe_build_node(r->f, n->op, in, n_in, n->n_out, n->attrs, n->n_attrs);
    return copy ? &copy->out[r->result] : NULL;
}

static ir_value *add_at(const rule *r, ir_value *at, ir_value *size) {
    ir_value *one = fe_scalar(r->f, DT_i64, 1), *room = op2(r, OP_Add, size, one);
    ir_value *dims = fe_unsqueeze(r->f, room, (int64_t[]){0}, 1), *zero = number(r, 0);
    ir_value *in[] = {op2(r, OP_Expand, zero, dims), flat(r, at), flat(r, r->g)};
    ir_attr how = {.name = "reduction", .kind = ATTR_STRING, .v.s = tl_sv_from("add")};
    ir_value *sum = fe_build(r->f, OP_ScatterElements, in, 3, &how, 1);
    ir_value *part[] = {sum, fe_i64s(r->f, (int64_t[]){0}, 1),
                        fe_unsqueeze(r->f, size, (int64_t[]){0}, 1)};
    ir_value *cut = fe_build(r->f, OP_Slice, part, 3, NULL, 0);
    return cut ? fe_reshape_like(r->f, cut, r->x[0]) : NULL;
}

ir_value *gradient_moved(const rule *r) {
    if (r->i != 0) return NULL;
    ir_value *size = op1(r, OP_Size, r->x[0]);
    ir_value *range[] = {fe_scalar(r->f, DT_i64, 0), size, fe_scalar(r->f, DT_i64, 1)};
    ir_value *all = fe_build(r->f, OP_Range, range, 3, NULL, 0);
    ir_value *at = moved_positions(r, all ? fe_reshape_like(r->f, all, r->x[0]) : NULL, size);
    return at ? add_at(r, at, size) : NULL;
}

/* MaxPool tells the positions itself. */
ir_value *gradient_max_pool(const rule *r) {
    const ir_node *n = r->n;
    if (ir_attr_int(n, "storage_order", 0)) return NULL;
    ir_value *x = r->x[0];
    ir_node *copy = fe_build_node(r->f, OP_MaxPool, &x, 1, 2, n->attrs, n->n_attrs);
    return copy ? add_at(r, &copy->out[1], op1(r, OP_Size, x)) : NULL;
}
