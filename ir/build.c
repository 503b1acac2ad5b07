/* Builder; see build.h. */
#include "ir/build.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

ir_builder ir_build_before(ir_node *n) {
    return (ir_builder){n->parent->graph->module, n->parent, n->op == OP_Yield ? NULL : n, n->loc};
}

ir_builder ir_build_after(ir_node *n) {
    return (ir_builder){n->parent->graph->module, n->parent, n->next, n->loc};
}

ir_builder ir_build_at_end(ir_region *r, const ir_loc *loc) {
    return (ir_builder){r->graph->module, r, NULL, loc};
}

ir_builder ir_build_at_start(ir_region *r, const ir_loc *loc) {
    return (ir_builder){r->graph->module, r, r->first, loc};
}

static void insert(ir_builder *b, ir_node *n) {
    n->loc = b->loc;
    if (b->before)
        ir_node_insert_before(b->before, n);
    else
        ir_node_append(b->region, n);
}

ir_node *build_node(ir_builder *b, op_id op, ir_value *const *in, uint32_t n_in, uint32_t n_out,
                    const ir_attr *attrs, uint32_t n_attrs) {
    ir_node *n = ir_node_create(b->m, op, in, n_in, n_out);
    for (uint32_t i = 0; i < n_attrs; i++)
        ir_attr_set(b->m, n, &attrs[i]);
    insert(b, n);
    bool inferred = ir_infer_node(b->m->ctx, n);
    TL_ASSERT(inferred);
    return n;
}

ir_value *build_op1(ir_builder *b, op_id op, ir_value *x) {
    return build_node(b, op, &x, 1, 1, NULL, 0)->out;
}

ir_value *build_op2(ir_builder *b, op_id op, ir_value *x, ir_value *y) {
    return build_node(b, op, (ir_value *[]){x, y}, 2, 1, NULL, 0)->out;
}

ir_value *build_op3(ir_builder *b, op_id op, ir_value *x, ir_value *y, ir_value *z) {
    return build_node(b, op, (ir_value *[]){x, y, z}, 3, 1, NULL, 0)->out;
}

ir_value *build_op1_int(ir_builder *b, op_id op, ir_value *x, const char *attr, int64_t v) {
    return build_node(b, op, &x, 1, 1, &(ir_attr){.name = attr, .kind = ATTR_INT, .v.i = v}, 1)
        ->out;
}

ir_value *build_op2_int(ir_builder *b, op_id op, ir_value *x, ir_value *y, const char *attr,
                        int64_t v) {
    ir_attr a = {.name = attr, .kind = ATTR_INT, .v.i = v};
    return build_node(b, op, (ir_value *[]){x, y}, 2, 1, &a, 1)->out;
}

ir_value *build_op1_ints(ir_builder *b, op_id op, ir_value *x, const char *attr, const int64_t *v,
                         uint32_t n) {
    ir_attr a = {.name = attr, .kind = ATTR_INTS, .n = n, .v.ints = v};
    return build_node(b, op, &x, 1, 1, &a, 1)->out;
}

ir_value *build_scalar(ir_builder *b, ir_dtype t, double x) {
    ir_tensor *tensor = ir_tensor_alloc(b->m->arena, ir_type_scalar(b->m->ctx, t));
    ir_tensor_set_f64(tensor, 0, x);
    ir_tensor_seal(tensor);
    return ir_module_const(b->m, tensor, NULL);
}

static ir_value *const_ints(ir_builder *b, const ir_type *type, const int64_t *v, uint32_t n) {
    ir_tensor *tensor = ir_tensor_alloc(b->m->arena, type);
    for (uint32_t i = 0; i < n; i++)
        ir_tensor_set_i64(tensor, i, v[i]);
    ir_tensor_seal(tensor);
    return ir_module_const(b->m, tensor, NULL);
}

ir_value *build_i64s(ir_builder *b, const int64_t *v, uint32_t n) {
    return const_ints(b, ir_type_tensor_static(b->m->ctx, DT_i64, 1, (int64_t[]){n}), v, n);
}

ir_value *build_reshape(ir_builder *b, ir_value *x, const ir_dim *const *d, uint32_t n) {
    /* allowzero: a dimension that is 0 means 0, not "copy the input's" */
    return build_op2_int(b, OP_Reshape, x, build_dims(b, d, n), "allowzero", 1);
}

ir_value *build_reshape_as(ir_builder *b, ir_value *x, const ir_type *t) {
    return build_reshape(b, x, t->dims, (uint32_t)t->rank);
}

ir_value *build_transpose(ir_builder *b, ir_value *x, const int64_t *perm, uint32_t n) {
    return build_op1_ints(b, OP_Transpose, x, "perm", perm, n);
}

ir_value *build_cast(ir_builder *b, ir_value *x, ir_dtype to) {
    if (x->type->dtype == to) return x;
    return build_op1_int(b, OP_Cast, x, "to", to);
}
