/* One node against the ONNX schema: counts, types, attributes, regions; see verify_internal.h.
 *
 *   f32[2] %y = Add<axis=1>(%x)      too few operands: 1, expected 2
 *                                    unknown attribute 'axis'
 *
 * Looks at the node alone, so that it can also guard inference on nodes that a stranger wrote. */
#include "ir/verify_internal.h"

#include "ir/base/assert.h"
#include "ir/schema_type.h"

/* ---- types against the schema's sets ------------------------------------------------------------------------ */

static const char *type_text(verifier *s, const ir_type *t) {
    tl_str text;
    tl_str_init(&text, s->arena);
    ir_type_print(t, &text);
    return text.data;
}

static const char *variable_text(verifier *s, const ir_type *t) {
    tl_str text;
    tl_str_init(&text, s->arena);
    ir_type_print_variable(t, &text);
    return text.data;
}

/* What the type variables of one node are bound to; the first operand that names one decides. */
typedef struct bindings {
    const ir_schema *schema;
    const ir_type *bound[UINT8_MAX + 1];
} bindings;

/* Operand or result i, of this type, in this slot. */
static void check_slot(verifier *s, const ir_node *n, bindings *b, const ir_schema_slot *slot,
                       const char *what, uint32_t i, const ir_type *t) {
    const ir_schema_constraint *c = &b->schema->constraints[slot->constraint];
    if (!ir_schema_allows(c->types, t)) {
        verify_error(s, n, "%s %u '%s' has type %s, which %s does not allow", what, i, slot->name,
                     type_text(s, t), c->name);
        return;
    }
    if (slot->kind == IR_SCHEMA_VARIADIC && !slot->homogeneous) return;
    const ir_type **bound = &b->bound[slot->constraint];
    if (!*bound) *bound = t;
    verify_that(s, n, ir_type_same_variable(*bound, t),
                "%s %u '%s' has type %s, but %s is %s already", what, i, slot->name,
                type_text(s, t), c->name, variable_text(s, *bound));
}

/* ---- operands and results ----------------------------------------------------------------------------------- */

static void check_count(verifier *s, const ir_node *n, const char *what, uint32_t found,
                        uint32_t min, uint32_t max) {
    verify_that(s, n, found >= min, "too few %s: %u, expected %s%u", what, found,
                min == max ? "" : "at least ", min);
    if (max != IR_SCHEMA_UNBOUNDED)
        verify_that(s, n, found <= max, "too many %s: %u, expected %s%u", what, found,
                    min == max ? "" : "at most ", max);
}

static void check_operand(verifier *s, const ir_node *n, bindings *b, uint32_t i) {
    const ir_schema_slot *slot = ir_schema_find_input(b->schema, i);
    const ir_value *v = n->in[i].value;
    if (!slot) return; /* counted already */
    if (!v)
        verify_that(s, n, slot->kind == IR_SCHEMA_OPTIONAL,
                    "operand %u '%s' is omitted, but required", i, slot->name);
    else if (verify_that(s, n, v->type, "operand %u '%s' has no type", i, slot->name))
        check_slot(s, n, b, slot, "operand", i, v->type);
}

static void check_operands(verifier *s, const ir_node *n, bindings *b) {
    check_count(s, n, "operands", n->n_in, b->schema->min_in, b->schema->max_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        check_operand(s, n, b, i);
}

/* Results that are not inferred yet have no type: the module's verifier complains about those, not this. */
static void check_results(verifier *s, const ir_node *n, bindings *b) {
    check_count(s, n, "results", n->n_out, b->schema->min_out, b->schema->max_out);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_schema_slot *slot = ir_schema_find_output(b->schema, i);
        if (slot && n->out[i].type) check_slot(s, n, b, slot, "result", i, n->out[i].type);
    }
}

/* ---- attributes --------------------------------------------------------------------------------------------- */

static const char *const attr_kind_names[ATTR_KIND_COUNT] = {
    [ATTR_INT] = "an integer",  [ATTR_FLOAT] = "a float",   [ATTR_STRING] = "a string",
    [ATTR_TENSOR] = "a tensor", [ATTR_TYPE] = "a type",     [ATTR_INTS] = "integers",
    [ATTR_FLOATS] = "floats",   [ATTR_STRINGS] = "strings", [ATTR_TENSORS] = "tensors",
    [ATTR_DIMS] = "dimensions",
};

/* The kind that holds values of a schema type; ATTR_KIND_COUNT where the IR has none (graphs are regions). */
static ir_attr_kind kind_of(uint8_t schema_type) {
    switch ((ir_schema_attr_type)schema_type) {
    case IR_SCHEMA_ATTR_INT:
        return ATTR_INT;
    case IR_SCHEMA_ATTR_FLOAT:
        return ATTR_FLOAT;
    case IR_SCHEMA_ATTR_STRING:
        return ATTR_STRING;
    case IR_SCHEMA_ATTR_TENSOR:
        return ATTR_TENSOR;
    case IR_SCHEMA_ATTR_TYPE_PROTO:
        return ATTR_TYPE;
    case IR_SCHEMA_ATTR_INTS:
        return ATTR_INTS;
    case IR_SCHEMA_ATTR_FLOATS:
        return ATTR_FLOATS;
    case IR_SCHEMA_ATTR_STRINGS:
        return ATTR_STRINGS;
    case IR_SCHEMA_ATTR_TENSORS:
        return ATTR_TENSORS;
    default:
        return ATTR_KIND_COUNT;
    }
}

static void check_attr(verifier *s, const ir_node *n, const ir_schema *schema, const ir_attr *a) {
    const ir_schema_attr *known = ir_schema_attr_find(schema, a->name);
    if (!verify_that(s, n, known, "unknown attribute '%s'", a->name)) return;
    ir_attr_kind kind = kind_of(known->type);
    if (!verify_that(s, n, kind != ATTR_KIND_COUNT, "'%s' cannot be an attribute", a->name)) return;
    verify_that(s, n, a->kind == kind, "attribute '%s' is %s, expected %s", a->name,
                attr_kind_names[a->kind], attr_kind_names[kind]);
}

static void check_attrs(verifier *s, const ir_node *n, const ir_schema *schema) {
    for (uint32_t i = 0; i < n->n_attrs; i++)
        check_attr(s, n, schema, &n->attrs[i]);
    for (uint32_t i = 0; i < schema->n_attrs; i++) {
        const ir_schema_attr *a = &schema->attrs[i];
        if (!a->required || a->type == IR_SCHEMA_ATTR_GRAPH) continue;
        verify_that(s, n, ir_attr_has(n, a->name), "attribute '%s' is missing", a->name);
    }
}

/* ---- regions ------------------------------------------------------------------------------------------------ */

static void check_arity(verifier *s, const ir_node *n, const ir_region *r, uint32_t params,
                        uint32_t results) {
    verify_that(s, n, r->n_params == params, "region '%s' has %u parameters, expected %u", r->name,
                r->n_params, params);
    verify_that(s, n, ir_region_n_results(r) == results,
                "region '%s' yields %u values, expected %u", r->name, ir_region_n_results(r),
                results);
}

static void check_loop(verifier *s, const ir_node *n, const ir_region *body) {
    uint32_t carried = n->n_in > 2 ? n->n_in - 2 : 0;
    verify_that(s, n, n->n_out >= carried, "has %u results for %u carried values", n->n_out,
                carried);
    check_arity(s, n, body, 2 + carried, 1 + n->n_out);
}

static void check_scan(verifier *s, const ir_node *n, const ir_region *body) {
    int64_t scanned = ir_attr_int(n, "num_scan_inputs", 0);
    verify_that(s, n, scanned >= 1 && scanned <= n->n_in,
                "num_scan_inputs is %lld, expected 1 to the number of operands, %u",
                (long long)scanned, n->n_in);
    verify_that(s, n, scanned > n->n_in || n->n_out >= n->n_in - scanned,
                "has fewer results than states");
    check_arity(s, n, body, n->n_in, n->n_out);
}

static const ir_region *require_region(verifier *s, const ir_node *n, const char *name) {
    const ir_region *r = ir_node_find_region(n, name);
    verify_that(s, n, r, "region '%s' is missing", name);
    return r;
}

static void check_if(verifier *s, const ir_node *n) {
    const ir_region *then_branch = require_region(s, n, "then_branch");
    const ir_region *else_branch = require_region(s, n, "else_branch");
    if (then_branch) check_arity(s, n, then_branch, 0, n->n_out);
    if (else_branch) check_arity(s, n, else_branch, 0, n->n_out);
}

/* The epilogue's first parameter is the product; what follows are the operands it reads besides. */
static void check_epilogue(verifier *s, const ir_node *n) {
    const ir_region *r = ir_node_find_region(n, "epilogue");
    verify_that(s, n, n->n_regions == (r ? 1u : 0u), "has regions other than 'epilogue'");
    if (!r) return;
    verify_that(s, n, r->n_params >= 1, "region 'epilogue' has no parameter for the product");
    verify_that(s, n, ir_region_n_results(r) == n->n_out,
                "region 'epilogue' yields %u values, expected %u", ir_region_n_results(r),
                n->n_out);
}

static void check_regions(verifier *s, const ir_node *n) {
    const ir_region *body;
    uint32_t expected = 1;
    switch (n->op) {
    case OP_If:
        expected = 2;
        check_if(s, n);
        break;
    case OP_Loop:
        body = require_region(s, n, "body");
        if (body) check_loop(s, n, body);
        break;
    case OP_Scan:
        body = require_region(s, n, "body");
        if (body) check_scan(s, n, body);
        break;
    case OP_Recur:
        body = require_region(s, n, "body");
        if (body) verify_recur(s, n, body);
        break;
    case OP_Fused:
        body = require_region(s, n, "body");
        if (body) check_arity(s, n, body, n->n_in, n->n_out);
        break;
    case OP_MatMulPacked:
    case OP_MatMulArg:
    case OP_ConvPacked:
    case OP_ConvBytes:
        check_epilogue(s, n);
        return;
    default:
        if (op_is(n->op, OP_REGIONS)) return;
        expected = 0;
    }
    verify_that(s, n, n->n_regions <= expected, "has %u regions, expected %u", n->n_regions,
                expected); /* fewer were reported by name */
}

/* ------------------------------------------------------------------------------------------------------------- */

void verify_node_schema(verifier *s, const ir_node *n) {
    if (!verify_that(s, n, n->op != OP_None && n->op < OP_COUNT && n->op != OP_Yield,
                     "is no operator"))
        return;
    const ir_schema *schema = op_schema(n->op);
    TL_ASSERT(schema || op_is(n->op, OP_INTERNAL));
    check_regions(s, n);
    if (!schema) return;
    bindings b = {.schema = schema};
    check_operands(s, n, &b);
    check_results(s, n, &b);
    check_attrs(s, n, schema);
}

bool ir_node_verify(ir_ctx *c, const ir_node *n) {
    verifier s = {.c = c, .arena = &c->arena};
    verify_node_schema(&s, n);
    return s.n_errors == 0;
}
