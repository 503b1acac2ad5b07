/* Look-up in the generated operator tables. Each table is sorted by (domain, name, since), so
 * the version in force at an opset is the last entry that is not greater than
 * (domain, name, opset): one binary search, no index, no start-up cost. */
#include "ir/schema.h"

#include <limits.h>
#include <string.h>

#include "ir/onnx_schema.inc"

typedef struct schema_table {
    const ir_schema *rows;
    size_t count;
} schema_table;

typedef struct domain_opset {
    const char *domain;
    int opset;
} domain_opset;

/* A domain lives in one table. Operators outside the ONNX package (com.microsoft) get a table
 * of their own here, written by hand in the same form. */
static const schema_table tables[] = {
    {onnx_schemas, sizeof onnx_schemas / sizeof onnx_schemas[0]},
};

static const domain_opset domain_opsets[] = {
#define DOMAIN_OPSET(domain, opset) {domain, opset},
    ONNX_DOMAIN_OPSETS(DOMAIN_OPSET)
#undef DOMAIN_OPSET
};

enum {
    TABLE_COUNT = sizeof tables / sizeof tables[0],
    DOMAIN_COUNT = sizeof domain_opsets / sizeof domain_opsets[0],
};

static const char *canonical_domain(const char *domain) {
    return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

static int compare_schema(const ir_schema *s, const char *domain, const char *name, int opset) {
    int order = strcmp(s->domain, domain);
    if (!order) order = strcmp(s->name, name);
    if (!order) order = (s->since > opset) - (s->since < opset);
    return order;
}

static const ir_schema *find_in_table(const schema_table *t, const char *domain, const char *name,
                                      int opset) {
    size_t low = 0, high = t->count; /* rows below `low` are not greater, from `high` on greater */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_schema(&t->rows[middle], domain, name, opset) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (!low) return NULL;
    const ir_schema *s = &t->rows[low - 1];
    return strcmp(s->domain, domain) == 0 && strcmp(s->name, name) == 0 ? s : NULL;
}

const ir_schema *ir_schema_find(const char *domain, const char *name, int opset) {
    domain = canonical_domain(domain);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        const ir_schema *s = find_in_table(&tables[i], domain, name, opset);
        if (s) return s;
    }
    return NULL;
}

const ir_schema *ir_schema_find_latest(const char *domain, const char *name) {
    return ir_schema_find(domain, name, INT_MAX);
}

int ir_schema_find_opset(const char *domain) {
    domain = canonical_domain(domain);
    for (size_t i = 0; i < DOMAIN_COUNT; i++) {
        if (strcmp(domain_opsets[i].domain, domain) == 0) return domain_opsets[i].opset;
    }
    return 0;
}

/* At most two dozen attributes: a plain walk beats a search. */
const ir_schema_attr *ir_schema_attr_find(const ir_schema *s, const char *name) {
    for (size_t i = 0; i < s->n_attrs; i++) {
        if (strcmp(s->attrs[i].name, name) == 0) return &s->attrs[i];
    }
    return NULL;
}

static const ir_schema_slot *find_slot(const ir_schema_slot *slots, size_t count, size_t i) {
    if (i < count) return &slots[i];
    if (count && slots[count - 1].kind == IR_SCHEMA_VARIADIC) return &slots[count - 1];
    return NULL;
}

const ir_schema_slot *ir_schema_find_input(const ir_schema *s, size_t i) {
    return find_slot(s->in, s->n_in, i);
}

const ir_schema_slot *ir_schema_find_output(const ir_schema *s, size_t i) {
    return find_slot(s->out, s->n_out, i);
}

const ir_schema_types *ir_schema_slot_types(const ir_schema *s, const ir_schema_slot *slot) {
    return s->constraints[slot->constraint].types;
}

bool ir_schema_has_type(uint32_t mask, int elem_type) {
    return elem_type >= 0 && elem_type < 32 && (mask >> elem_type & 1u) != 0;
}

bool ir_schema_input_allows(const ir_schema *s, size_t i, int elem_type) {
    const ir_schema_slot *slot = ir_schema_find_input(s, i);
    return slot && ir_schema_has_type(ir_schema_slot_types(s, slot)->tensor, elem_type);
}

bool ir_schema_output_allows(const ir_schema *s, size_t i, int elem_type) {
    const ir_schema_slot *slot = ir_schema_find_output(s, i);
    return slot && ir_schema_has_type(ir_schema_slot_types(s, slot)->tensor, elem_type);
}

size_t ir_schema_count(void) {
    size_t count = 0;
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        count += tables[i].count;
    }
    return count;
}

const ir_schema *ir_schema_get(size_t index) {
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        if (index < tables[i].count) return &tables[i].rows[index];
        index -= tables[i].count;
    }
    return NULL;
}
