/* Operators that calculate with complex numbers in each part alone (see decompose.c): their weights are real.
 *
 *   c64[1,1,4,4] %y = Resize<mode="linear">(%x, _, @scales)
 *
 *   ->   f32[1,1,2,2,2] %p = Parts(%x)              no code: the same memory
 *        f32[1,1,2,2] %re = ...                      every second number of it, again no code
 *        f32[1,1,4,4] %a = Resize<mode="linear">(%re, _, @scales), and %b of %im
 *        c64[1,1,4,4] %y = FromParts(Concat<axis=-1>(Unsqueeze(%a), Unsqueeze(%b))) */
#include "passes/decompose.h"

#include "passes/util.h"

static ir_value *part_of(ir_builder *b, ir_value *pairs, int64_t i) {
    ir_value *last = build_i64s(b, (int64_t[]){-1}, 1);
    ir_value *in[] = {pairs, build_i64s(b, (int64_t[]){i}, 1), build_i64s(b, (int64_t[]){i + 1}, 1),
                      last};
    return build_op2(b, OP_Squeeze, build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out, last);
}

/* n on the real numbers x, with a new last axis. What an image is extended by is real: of an imaginary part nothing. */
static ir_value *on_part(ir_builder *b, const ir_node *n, ir_value *x, bool imaginary) {
    ir_value **in = TL_NEW_ARRAY(b->m->arena, ir_value *, n->n_in);
    ir_attr *attrs = TL_NEW_ARRAY(b->m->arena, ir_attr, n->n_attrs + 1);
    uint32_t n_attrs = 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = i ? n->in[i].value : x;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (!imaginary || strcmp(n->attrs[i].name, "extrapolation_value") != 0)
            attrs[n_attrs++] = n->attrs[i];
    ir_value *y = build_node(b, n->op, in, n->n_in, 1, attrs, n_attrs)->out;
    return build_op2(b, OP_Unsqueeze, y, build_i64s(b, (int64_t[]){-1}, 1));
}

bool decompose_by_parts(ir_builder *b, ir_node *n) {
    ir_value *x = n->in[0].value;
    if (ir_dtype_get_class(x->type->dtype) != DTYPE_COMPLEX || !ir_type_is_ranked(x->type))
        return false;
    ir_value *pairs = build_op1(b, OP_Parts, x);
    ir_value *re = on_part(b, n, part_of(b, pairs, 0), false);
    ir_value *im = on_part(b, n, part_of(b, pairs, 1), true);
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = -1};
    ir_value *both = build_node(b, OP_Concat, (ir_value *[]){re, im}, 2, 1, &axis, 1)->out;
    return decompose_give(n, 0, build_op1(b, OP_FromParts, both));
}
