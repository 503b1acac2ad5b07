/* Types of values: tensors, sequences, optionals, maps. Interned: pointer equality. Built by shape rules (ir/infer/). */
#ifndef TLBC_IR_TYPE_H
#define TLBC_IR_TYPE_H

#include "ir/dim.h"
#include "ir/dtype.h"

typedef enum ir_type_kind {
    IR_TYPE_TENSOR,
    IR_TYPE_SEQUENCE,
    IR_TYPE_OPTIONAL,
    IR_TYPE_MAP
} ir_type_kind;

typedef struct ir_type ir_type;
struct ir_type {
    ir_type_kind kind;
    ir_dtype dtype;            /* tensor: element; map: key */
    int32_t rank;              /* tensor: -1 = not known */
    const ir_dim *const *dims; /* tensor: rank of them */
    const ir_type *element;    /* sequence, optional: what is inside; map: value */
};

const ir_type *ir_type_tensor(ir_ctx *c, ir_dtype t, int32_t rank, const ir_dim *const *dims);
const ir_type *ir_type_tensor_static(ir_ctx *c, ir_dtype t, int32_t rank, const int64_t *dims);
const ir_type *ir_type_unranked(ir_ctx *c, ir_dtype t);
const ir_type *ir_type_scalar(ir_ctx *c, ir_dtype t); /* rank 0 */
const ir_type *ir_type_sequence(ir_ctx *c, const ir_type *element);
const ir_type *ir_type_optional(ir_ctx *c, const ir_type *element);
const ir_type *ir_type_map(ir_ctx *c, ir_dtype key, const ir_type *value);

/* The same dims with another element type; the same element type with other dims. */
const ir_type *ir_type_with_dtype(ir_ctx *c, const ir_type *t, ir_dtype dtype);

bool ir_type_is_tensor(const ir_type *t);
bool ir_type_is_ranked(const ir_type *t); /* a tensor whose rank is known */
bool ir_type_is_static(const ir_type *t); /* a tensor whose dims are all constants */
bool ir_type_is_known(const ir_type *t);  /* ranked, and no dim is "?" */
/* Number of elements, symbolic; unranked or "?" inside: unknown. */
const ir_dim *ir_type_elements(ir_ctx *c, const ir_type *t);
/* Static tensors: elements, and bytes; false when not static or on overflow. */
bool ir_type_static_elements(const ir_type *t, size_t *n);
bool ir_type_static_bytes(const ir_type *t, size_t *n);

/* What both are (for joining If branches, loop-carried values): equal dims stay, others become "?"; ranks that differ
 * make an unranked tensor. NULL where kinds or element types differ. */
const ir_type *ir_type_join(ir_ctx *c, const ir_type *a, const ir_type *b);
/* The more precise of two types of one value: known dims win over "?" and over symbols; NULL on a contradiction (3 and 4). */
const ir_type *ir_type_meet(ir_ctx *c, const ir_type *a, const ir_type *b);

void ir_type_print(
    const ir_type *t,
    tl_str *out); /* f32[batch,3], f32[*] unranked, seq(f32[?]), opt(...), map(i64,...) */

#endif
