/* Rules about sequences whose elements are known; listed in simplify_rules.def, conventions in rule.h. Unrolled code that
 * collects its steps in a list becomes plain tensor code this way. */
#include "passes/simplify.h"

#define RULE_FN(name) ir_value *rule_##name(ir_builder *b, ir_node *n)

/* The SequenceConstruct that makes operand 0, or NULL. */
static ir_node *construct(const ir_node *n) {
    ir_node *def = n->in[0].value ? n->in[0].value->def : NULL;
    return def && def->op == OP_SequenceConstruct ? def : NULL;
}

/* Elements of the list in operand 0 where it is SequenceEmpty (0) or SequenceConstruct; -1 otherwise. */
static int32_t list_length(const ir_node *n) {
    const ir_node *def = n->in[0].value ? n->in[0].value->def : NULL;
    if (def && def->op == OP_SequenceEmpty) return 0;
    return construct(n) ? (int32_t)construct(n)->n_in : -1;
}

/* A position in [-n, n) counted from the front; false where it is not constant or out of range. */
static bool position(const ir_value *v, int64_t n, int64_t *at) {
    if (!ir_value_const_i64(v, at)) return false;
    if (*at < 0) *at += n;
    return *at >= 0 && *at < n;
}

RULE_FN(insert_construct) {
    int32_t length = list_length(n);
    int64_t at = length;
    if (length < 0 || (ir_in(n, 2) && !position(n->in[2].value, length, &at))) return NULL;
    ir_value **in = TL_NEW_ARRAY(b->m->arena, ir_value *, (size_t)length + 1);
    for (int32_t i = 0; i < length; i++)
        in[i < at ? i : i + 1] = n->in[0].value->def->in[i].value;
    in[at] = n->in[1].value;
    return build_node(b, OP_SequenceConstruct, in, (uint32_t)length + 1, 1, NULL, 0)->out;
}

RULE_FN(at_construct) {
    (void)b;
    ir_node *list = construct(n);
    int64_t at;
    return list && position(n->in[1].value, list->n_in, &at) ? list->in[at].value : NULL;
}

RULE_FN(length_construct) {
    int32_t length = list_length(n);
    return length < 0 ? NULL : build_dim_scalar(b, ir_dim_const(b->m->ctx, length));
}

/* Elements joined along a new axis get a dimension of 1 each. */
RULE_FN(concat_construct) {
    ir_node *list = construct(n);
    if (!list) return NULL;
    int64_t axis = ir_attr_int(n, "axis", 0);
    bool new_axis = ir_attr_int(n, "new_axis", 0) != 0;
    ir_value **in = TL_NEW_ARRAY(b->m->arena, ir_value *, list->n_in);
    for (uint32_t i = 0; i < list->n_in; i++) {
        in[i] = list->in[i].value;
        if (new_axis) in[i] = build_op2(b, OP_Unsqueeze, in[i], build_i64s(b, &axis, 1));
    }
    ir_attr a = {.name = "axis", .kind = ATTR_INT, .v.i = axis};
    return build_node(b, OP_Concat, in, list->n_in, 1, &a, 1)->out;
}
