/* Are the types of a node's operands and results those that its operator allows, in the version the file means?
 *
 *     node 'r' (Relu), input 0 'X' has type bf16, which is allowed from opset 13 on; opset 6 takes f32, f16 or f64
 *     node 'a' (Add), input 1 'B' has type f64, but T is f32 already
 *
 * Inference, which knows the newest form of each operator alone, would take what came later. Operands are checked before
 * anything is upgraded, results (of a Cast, say) when they have types. Operators without a schema here (com.microsoft) are
 * left to their rules. Files that other tools accept keep to this: ONNX Runtime compares types by the same tables. */
#include "frontend/fe.h"

#include "ir/schema_type.h"

/* What the slots of inputs and outputs are asked for, in every version alike. */
typedef const ir_schema_slot *find_slot_fn(const ir_schema *s, size_t i);

/* The first opset above the file's in which operand (result) i may have this type; 0 where there is none. */
static int first_opset(const fe_node *n, const ir_schema *used, find_slot_fn *find, uint32_t i,
                       const ir_type *t) {
    int newest = ir_schema_find_opset(used->domain);
    for (int opset = n->opset + 1; opset <= newest; opset++) {
        const ir_schema *s = ir_schema_find(used->domain, used->name, opset);
        const ir_schema_slot *slot = find(s, i);
        if (slot && ir_schema_allows(ir_schema_slot_types(s, slot), t)) return opset;
    }
    return 0;
}

/* In the context's arena: for a message. */
static const char *type_text(const fe_node *n, const ir_type *t) {
    tl_str text;
    tl_str_init(&text, n->im->s->arena);
    ir_type_print_variable(t, &text);
    return text.data;
}

static bool refuse(fe_node *n, const ir_schema *s, find_slot_fn *find, const char *what, uint32_t i,
                   const ir_type *t) {
    const ir_schema_slot *slot = find(s, i);
    int later = first_opset(n, s, find, i, t);
    tl_str text;
    tl_str_init(&text, n->im->s->arena);
    tl_str_printf(&text, "%s %u '%s' has type %s", what, i, slot->name, type_text(n, t));
    if (later) tl_str_printf(&text, ", which is allowed from opset %d on", later);
    tl_str_printf(&text, "; opset %d%s%s takes ", n->opset, *s->domain ? " of " : "", s->domain);
    ir_schema_types_print(ir_schema_slot_types(s, slot), &text);
    return diag_error(&n->im->c->diag, n->loc, "%s", text.data);
}

/* Split took the lengths of its parts as an operand in opset 1 and again since 13. The schema of the former gives them the
 * data's type, so floats; files of that time have integers, which no reader refused. Both are taken. */
static bool is_split_length(const ir_schema *s, const ir_schema_slot *slot) {
    return s->since == 1 && slot == s->in + 1 && !*s->domain && strcmp(s->name, "Split") == 0;
}

/* Operand or result i; true for one that is not there, or that counting has to refuse. */
static bool check_slot(fe_node *n, fe_types *k, find_slot_fn *find, const char *what, uint32_t i,
                       const ir_value *v) {
    const ir_schema_slot *slot = find(k->schema, i);
    if (!slot || !v || !v->type || is_split_length(k->schema, slot)) return true;
    if (!ir_schema_allows(ir_schema_slot_types(k->schema, slot), v->type))
        return refuse(n, k->schema, find, what, i, v->type);
    if (slot->kind == IR_SCHEMA_VARIADIC && !slot->homogeneous) return true;
    const ir_type **bound = &k->bound[slot->constraint];
    if (!*bound) *bound = v->type;
    return ir_type_same_variable(*bound, v->type) ||
           diag_error(&n->im->c->diag, n->loc, "%s %u '%s' has type %s, but %s is %s already", what,
                      i, slot->name, type_text(n, v->type),
                      k->schema->constraints[slot->constraint].name, type_text(n, *bound));
}

bool fe_check_operand_types(fe_node *n, fe_types *k) {
    for (uint32_t i = 0; i < n->in.len; i++)
        if (!check_slot(n, k, ir_schema_find_input, "input", i, n->in.data[i])) return false;
    return true;
}

bool fe_check_result_types(fe_node *n, fe_types *k) {
    for (uint32_t i = 0; i < n->n_out; i++)
        if (*n->out_names[i] && !check_slot(n, k, ir_schema_find_output, "output", i, n->out[i]))
            return false;
    return true;
}
