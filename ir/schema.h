/* Facts of the published ONNX operators: slots, attributes with defaults, allowed types; one
 * entry for every version of every operator.
 *
 *     const ir_schema *s = ir_schema_find("", "Softmax", 12);     the version of opset 11
 *     const ir_schema_attr *a = ir_schema_attr_find(s, "axis");   INT, optional, default 1
 *     ir_schema_input_allows(s, 0, DT_i32);                       false
 *
 * Everything is constant data made by tools/gen_schema.py (ir/onnx_schema.inc): nothing is
 * allocated or initialised, pointers stay valid for ever, all functions are thread-safe.
 * Element types are numbered as in TensorProto.DataType, attribute types as in AttributeProto.
 *
 * The schema tells what a node may look like, not what tlbc can do with it: see ir/ops.def. */
#ifndef TLBC_IR_SCHEMA_H
#define TLBC_IR_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No upper limit on the number of inputs or outputs. */
#define IR_SCHEMA_UNBOUNDED UINT16_MAX

typedef enum ir_schema_slot_kind {
    IR_SCHEMA_SINGLE,
    IR_SCHEMA_OPTIONAL,
    IR_SCHEMA_VARIADIC, /* only ever the last slot */
} ir_schema_slot_kind;

typedef enum ir_schema_attr_type {
    IR_SCHEMA_ATTR_UNDEFINED,
    IR_SCHEMA_ATTR_FLOAT,
    IR_SCHEMA_ATTR_INT,
    IR_SCHEMA_ATTR_STRING,
    IR_SCHEMA_ATTR_TENSOR,
    IR_SCHEMA_ATTR_GRAPH,
    IR_SCHEMA_ATTR_FLOATS,
    IR_SCHEMA_ATTR_INTS,
    IR_SCHEMA_ATTR_STRINGS,
    IR_SCHEMA_ATTR_TENSORS,
    IR_SCHEMA_ATTR_GRAPHS,
    IR_SCHEMA_ATTR_SPARSE_TENSOR,
    IR_SCHEMA_ATTR_SPARSE_TENSORS,
    IR_SCHEMA_ATTR_TYPE_PROTO,
    IR_SCHEMA_ATTR_TYPE_PROTOS,
} ir_schema_attr_type;

typedef enum ir_schema_flags {
    IR_SCHEMA_DEPRECATED = 1u << 0,       /* withdrawn in this version: no node may use it */
    IR_SCHEMA_FUNCTION = 1u << 1,         /* ONNX gives a body of simpler operators */
    IR_SCHEMA_FUNCTION_BUILDER = 1u << 2, /* the body depends on the node's types or attributes */
} ir_schema_flags;

/* The map types ONNX operators know (ai.onnx.ml only). */
typedef enum ir_schema_maps {
    IR_SCHEMA_MAP_INT64_STRING = 1u << 0,
    IR_SCHEMA_MAP_INT64_FLOAT = 1u << 1,
    IR_SCHEMA_MAP_INT64_DOUBLE = 1u << 2,
    IR_SCHEMA_MAP_STRING_INT64 = 1u << 3,
    IR_SCHEMA_MAP_STRING_FLOAT = 1u << 4,
    IR_SCHEMA_MAP_STRING_DOUBLE = 1u << 5,
    IR_SCHEMA_SEQ_MAP_INT64_FLOAT = 1u << 6,
    IR_SCHEMA_SEQ_MAP_STRING_FLOAT = 1u << 7,
} ir_schema_maps;

/* A set of value types. In the masks bit t stands for element type t: `tensor` is tensor(t),
 * `seq` is seq(tensor(t)), `optional` is optional(tensor(t)), `optional_seq` is
 * optional(seq(tensor(t))). */
typedef struct ir_schema_types {
    uint32_t tensor, seq, optional, optional_seq;
    uint32_t maps; /* ir_schema_maps */
} ir_schema_types;

/* A type variable of one operator. Slots that name the same constraint have the same type
 * (unless the slot is variadic and not homogeneous). A slot of one fixed type has a constraint
 * named after that type, such as "tensor(int64)". */
typedef struct ir_schema_constraint {
    const char *name;
    const ir_schema_types *types;
} ir_schema_constraint;

typedef struct ir_schema_slot {
    const char *name;
    uint8_t kind;       /* ir_schema_slot_kind */
    uint8_t constraint; /* index into the schema's constraints */
    bool homogeneous;   /* variadic: all values have one type */
} ir_schema_slot;

typedef struct ir_schema_ints {
    const int64_t *data;
    size_t count;
} ir_schema_ints;

typedef struct ir_schema_strings {
    const char *const *data;
    size_t count;
} ir_schema_strings;

/* `value` counts only where has_default is set. Only attributes of type FLOAT, INT, STRING,
 * INTS and STRINGS ever have a default. */
typedef struct ir_schema_attr {
    const char *name;
    uint8_t type; /* ir_schema_attr_type */
    bool required;
    bool has_default;
    union {
        float f;
        int64_t i;
        const char *s;
        ir_schema_ints ints;
        ir_schema_strings strings;
    } value;
} ir_schema_attr;

typedef struct ir_schema {
    const char *domain; /* "" for ai.onnx */
    const char *name;
    uint16_t since; /* the opset that introduced this version */
    uint16_t flags; /* ir_schema_flags */
    uint16_t min_in, max_in, min_out, max_out;
    uint8_t n_in, n_out, n_constraints, n_attrs;
    const ir_schema_slot *in, *out;
    const ir_schema_constraint *constraints;
    const ir_schema_attr *attrs; /* sorted by name */
} ir_schema;

/* The version of an operator that a model importing `opset` of `domain` means: the newest one
 * whose `since` is not above it. NULL if there is none. The result may be deprecated.
 * Domains "ai.onnx", "" and NULL are the same. */
const ir_schema *ir_schema_find(const char *domain, const char *name, int opset);

/* The newest version of an operator, or NULL. */
const ir_schema *ir_schema_find_latest(const char *domain, const char *name);

/* The newest opset of a domain that the tables describe; 0 for a domain without a table. */
int ir_schema_find_opset(const char *domain);

const ir_schema_attr *ir_schema_attr_find(const ir_schema *s, const char *name);

/* The declaration that covers input (output) number `i`; a variadic one covers all that follow.
 * NULL if the operator has no such input (output). */
const ir_schema_slot *ir_schema_find_input(const ir_schema *s, size_t i);
const ir_schema_slot *ir_schema_find_output(const ir_schema *s, size_t i);

/* The types a slot of this schema may have. */
const ir_schema_types *ir_schema_slot_types(const ir_schema *s, const ir_schema_slot *slot);

/* True if bit `elem_type` of one of the masks in ir_schema_types is set; any int may be asked. */
bool ir_schema_has_type(uint32_t mask, int elem_type);

/* True if input (output) number `i` may be a tensor of this element type. */
bool ir_schema_input_allows(const ir_schema *s, size_t i, int elem_type);
bool ir_schema_output_allows(const ir_schema *s, size_t i, int elem_type);

/* All entries, for tables and tests: sorted by domain, name and version within each table. */
size_t ir_schema_count(void);
const ir_schema *ir_schema_get(size_t index);

#endif
