/* Is this node what its operator allows? Number of operands and attributes, checked against the schema
 * of the version the file means, before anything is changed, so that messages speak of what the file
 * says. Types are for check_types.c. */
#include "frontend/fe.h"

static const char *slot_name(const ir_schema_slot *slot) {
    return slot ? slot->name : "?";
}

static bool check_inputs(fe_node *n, const ir_schema *s) {
    diag *d = &n->im->c->diag;
    if (s->max_in != IR_SCHEMA_UNBOUNDED && n->in.len > s->max_in)
        return diag_error(d, n->loc, "%u inputs, at most %u are allowed", n->in.len, s->max_in);
    for (uint32_t i = 0; i < n->in.len || i < s->min_in; i++) {
        const ir_schema_slot *slot = ir_schema_find_input(s, i);
        bool given = i < n->in.len && n->in.data[i];
        bool needed = slot && (slot->kind == IR_SCHEMA_SINGLE ||
                               (slot->kind == IR_SCHEMA_VARIADIC && i < n->in.len));
        if (!given && needed)
            return diag_error(d, n->loc, "input %u '%s' is missing", i, slot_name(slot));
        if (i >= n->in.len) tl_vec_push(n->im->scratch, &n->in, NULL);
    }
    return true;
}

static bool check_outputs(fe_node *n, const ir_schema *s) {
    uint32_t max_out = s->max_out == IR_SCHEMA_UNBOUNDED ? UINT32_MAX : s->max_out;
    while (n->n_out > max_out && !*n->out_names[n->n_out - 1])
        n->n_out--;
    if (n->n_out > max_out)
        return diag_error(&n->im->c->diag, n->loc, "%u outputs, at most %u are possible", n->n_out,
                          max_out);
    if (n->n_out < s->min_out)
        return diag_error(&n->im->c->diag, n->loc, "%u outputs, at least %u are needed", n->n_out,
                          s->min_out);
    return true;
}

static bool has_type(const fe_attr *a, ir_schema_attr_type type) {
    if (a->graph) return type == IR_SCHEMA_ATTR_GRAPH;
    switch (type) {
    case IR_SCHEMA_ATTR_FLOAT:
        return a->a.kind == ATTR_FLOAT;
    case IR_SCHEMA_ATTR_INT:
        return a->a.kind == ATTR_INT;
    case IR_SCHEMA_ATTR_STRING:
        return a->a.kind == ATTR_STRING;
    case IR_SCHEMA_ATTR_TENSOR:
    case IR_SCHEMA_ATTR_SPARSE_TENSOR:
        return a->a.kind == ATTR_TENSOR;
    case IR_SCHEMA_ATTR_FLOATS:
        return a->a.kind == ATTR_FLOATS;
    case IR_SCHEMA_ATTR_INTS:
        return a->a.kind == ATTR_INTS;
    case IR_SCHEMA_ATTR_STRINGS:
        return a->a.kind == ATTR_STRINGS;
    case IR_SCHEMA_ATTR_TENSORS:
        return a->a.kind == ATTR_TENSORS;
    case IR_SCHEMA_ATTR_TYPE_PROTO:
        return a->a.kind == ATTR_TYPE;
    default:
        return false;
    }
}

/* An empty list of a file of IR 1 does not say its type. */
static bool check_attributes(fe_node *n, const ir_schema *s) {
    diag *d = &n->im->c->diag;
    for (uint32_t i = 0; i < n->attrs.len; i++) {
        const fe_attr *a = &n->attrs.data[i];
        const ir_schema_attr *expected = ir_schema_attr_find(s, a->a.name);
        if (!expected)
            return diag_error(d, n->loc, "there is no attribute '%s' in opset %d", a->a.name,
                              n->opset);
        if (!has_type(a, expected->type))
            return diag_error(d, n->loc, "attribute '%s' has the wrong type", a->a.name);
    }
    for (uint32_t i = 0; i < s->n_attrs; i++)
        if (s->attrs[i].required && !fe_find_attr(n, s->attrs[i].name) &&
            strcmp(s->attrs[i].name, "consumed_inputs") != 0)
            return diag_error(d, n->loc, "attribute '%s' is missing", s->attrs[i].name);
    return true;
}

bool fe_check_draft(fe_node *n, const ir_schema *s) {
    return check_inputs(n, s) && check_outputs(n, s) && check_attributes(n, s);
}
