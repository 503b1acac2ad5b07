/* Every type that an operand may have, or may not: for each version of each operator in the schema tables, for each operand, models of one
 * node whose opset is that version's. What the version allows is not refused for its type; what it does not is, with a message that
 * names operand, type, opset, and the first later opset that allows it. So Relu takes bf16 in opset 13 and not in 6.
 *
 * The other operands have types that fit and no shapes, so that no other rule is broken first; whether the node is
 * whole beyond its types is not asked. */
#include "frontend/frontend.h"
#include "tests/support/check.h"
#include "tests/support/one_node.h"

#include <setjmp.h>

/* What one constraint of the schema is bound to: a tensor, a sequence or an optional of this element type. */
typedef struct kind_of_value {
    enum { TENSOR, SEQUENCE, OPTIONAL, OPTIONAL_SEQUENCE, MAP } kind;
    ir_dtype t;
} kind_of_value;

typedef struct trial {
    tl_fail fail;
    ir_ctx c;
    tl_arena a;
    const ir_schema *schema;
    uint32_t operand; /* the one in question */
    kind_of_value value;
} trial;

static uint32_t mask_of(const ir_schema_types *types, int kind) {
    const uint32_t masks[] = {types->tensor, types->seq, types->optional, types->optional_seq};
    return kind < MAP ? masks[kind] : 0;
}

static bool allows(const ir_schema *s, const ir_schema_slot *slot, kind_of_value v) {
    return ir_schema_has_type(mask_of(ir_schema_slot_types(s, slot), (int)v.kind), (int)v.t);
}

static const ir_type *type_of(trial *k, kind_of_value v) {
    const ir_type *t = ir_type_unranked(&k->c, v.t);
    if (v.kind == MAP) return ir_type_map(&k->c, DT_i64, t);
    if (v.kind == SEQUENCE || v.kind == OPTIONAL_SEQUENCE) t = ir_type_sequence(&k->c, t);
    return v.kind >= OPTIONAL ? ir_type_optional(&k->c, t) : t;
}

/* Something that the slot takes: every schema has one with f32 or i64 where it has any. */
static kind_of_value fitting(const ir_schema *s, const ir_schema_slot *slot) {
    for (int kind = TENSOR; kind < MAP; kind++)
        for (int t = 1; t < DT_COUNT; t++) {
            kind_of_value v = {(unsigned)kind, (ir_dtype)t};
            if (allows(s, slot, v)) return v;
        }
    bool strings = (ir_schema_slot_types(s, slot)->maps & IR_SCHEMA_MAP_INT64_STRING) != 0;
    return (kind_of_value){MAP, strings ? DT_str : DT_f32};
}

static void add_attribute(trial *k, one_node *m, const ir_schema_attr *a) {
    pb_attr *p = one_node_attr(m, a->name, (ir_schema_attr_type)a->type);
    int64_t zero = 0;
    p->has_i = p->has_f = false;
    if (a->type == IR_SCHEMA_ATTR_INT) p->has_i = true;
    if (a->type == IR_SCHEMA_ATTR_FLOAT) p->has_f = true;
    if (a->type == IR_SCHEMA_ATTR_STRING) p->has_s = true;
    if (a->type == IR_SCHEMA_ATTR_TENSOR)
        p->t = one_node_tensor(
            &k->a, "", ir_tensor_alloc(&k->a, ir_type_tensor_static(&k->c, DT_f32, 0, &zero)));
    if (a->type == IR_SCHEMA_ATTR_GRAPH) {
        p->g = TL_NEW(&k->a, pb_graph);
        *p->g = (pb_graph)ONNX__GRAPH_PROTO__INIT;
    }
}

static tl_sv make_model(trial *k) {
    const ir_schema *s = k->schema;
    const ir_schema_slot *asked = ir_schema_find_input(s, k->operand);
    one_node m;
    one_node_init(&m, &k->a, s->domain, s->name, s->since);
    for (uint32_t i = 0; i < s->n_in; i++) {
        const ir_schema_slot *slot = &s->in[i];
        bool same = slot->constraint == asked->constraint;
        one_node_input(&m, type_of(k, same ? k->value : fitting(s, slot)));
    }
    for (uint32_t i = 0; i < s->n_attrs; i++)
        if (s->attrs[i].required) add_attribute(k, &m, &s->attrs[i]);
    one_node_outputs(&m, s->min_out ? s->min_out : 1);
    return one_node_pack(&m);
}

/* The first version above this one that allows the type there; 0: none. */
static int allowed_later(const trial *k) {
    for (size_t i = 0; i < ir_schema_count(); i++) {
        const ir_schema *s = ir_schema_get(i);
        bool later = strcmp(s->domain, k->schema->domain) == 0 &&
                     strcmp(s->name, k->schema->name) == 0 && s->since > k->schema->since;
        const ir_schema_slot *slot = later ? ir_schema_find_input(s, k->operand) : NULL;
        if (slot && allows(s, slot, k->value)) return s->since;
    }
    return 0;
}

static bool says(const char *text, const char *what) {
    bool found = strstr(text, what) != NULL;
    if (!found) fprintf(stderr, "not said: %s\nbut: %s\n", what, text);
    return found;
}

/* The operand that is named is the first that shares the type variable. */
static bool refused_well(trial *k, const char *text) {
    const ir_schema_slot *slot = ir_schema_find_input(k->schema, k->operand);
    uint32_t first = 0;
    while (k->schema->in[first].constraint != slot->constraint)
        first++;
    if (first != k->operand) return says(text, "has type"); /* asked as that operand already */
    const char *operand = tl_arena_printf(&k->a, "input %u '%s' has type ", first, slot->name);
    const char *opset = tl_arena_printf(&k->a, "; opset %d%s%s takes ", k->schema->since,
                                        *k->schema->domain ? " of " : "", k->schema->domain);
    int later = allowed_later(k);
    if (!says(text, operand) || !says(text, opset) || !says(text, ir_dtype_name(k->value.t)))
        return false;
    if (!later) return strstr(text, "is allowed from opset") == NULL;
    return says(text, tl_arena_printf(&k->a, "which is allowed from opset %d on;", later));
}

/* Splits by the published schema are of the type of the data, in the version that had them as an operand; see check_types.c. */
static bool is_lax(const trial *k) {
    return strcmp(k->schema->name, "Split") == 0 && k->schema->since == 1;
}

static bool check_message(trial *k, bool allowed) {
    tl_str text;
    tl_str_init(&text, &k->a);
    diag_render(&k->c.diag, &text);
    if (!allowed) return refused_well(k, text.data);
    bool refused = strstr(text.data, " takes ") && strstr(text.data, " has type ");
    if (refused) fprintf(stderr, "refused: %s\n", text.data);
    return !refused;
}

static bool run_trial(const ir_schema *s, uint32_t operand, kind_of_value v) {
    trial k = {.schema = s, .operand = operand, .value = v};
    if (setjmp(k.fail.jump)) return false;
    ir_ctx_init(&k.c, &k.fail);
    tl_arena_init(&k.a, &k.fail);
    tl_sv file = make_model(&k);
    fe_import_buffer(&k.c, &k.a, "m.onnx", file.data, file.len, NULL);
    bool ok = check_message(&k, allows(s, ir_schema_find_input(s, operand), v)) || is_lax(&k);
    if (!ok)
        fprintf(stderr, "%s %s-%u, operand %u of %s\n", s->domain, s->name, s->since, operand,
                ir_dtype_name(v.t));
    tl_arena_release(&k.a);
    ir_ctx_release(&k.c);
    return ok;
}

/* Tensors of every element type; of lists and optionals enough to know one from another. */
static void check_operand(const ir_schema *s, uint32_t operand) {
    for (int t = 1; t < DT_COUNT; t++)
        CHECK(run_trial(s, operand, (kind_of_value){TENSOR, (ir_dtype)t}));
    for (int kind = SEQUENCE; kind < MAP; kind++) {
        CHECK(run_trial(s, operand, (kind_of_value){(unsigned)kind, DT_f32}));
        CHECK(run_trial(s, operand, (kind_of_value){(unsigned)kind, DT_bf16}));
    }
}

/* Relu and a few more, typed in from ONNX's change log: not what the table says, but what is true. */
static void check_known(void) {
    static const struct {
        const char *op;
        int opset;
        ir_dtype t;
        bool allowed;
    } known[] = {
        {"Relu", 6, DT_bf16, false}, {"Relu", 13, DT_bf16, true}, {"Relu", 13, DT_i8, false},
        {"Relu", 14, DT_i8, true},   {"Add", 6, DT_i32, true},    {"Add", 1, DT_i32, false},
        {"Add", 13, DT_i8, false},   {"Add", 14, DT_i8, true},    {"Pad", 2, DT_i32, false},
        {"Pad", 11, DT_i32, true},   {"Abs", 1, DT_i32, false},   {"Abs", 6, DT_i32, true}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const ir_schema *s = ir_schema_find("", known[i].op, known[i].opset);
        kind_of_value v = {TENSOR, known[i].t};
        CHECK_EQ(allows(s, s->in, v), known[i].allowed);
        CHECK(run_trial(s, 0, v));
    }
}

int main(void) {
    for (size_t i = 0; i < ir_schema_count(); i++) {
        const ir_schema *s = ir_schema_get(i);
        if (s->flags & IR_SCHEMA_DEPRECATED) continue;
        for (uint32_t operand = 0; operand < s->n_in; operand++)
            check_operand(s, operand);
    }
    check_known();
    return check_done();
}
