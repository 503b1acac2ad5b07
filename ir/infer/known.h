/* Inside known.c and known_scalar.c: small tensors of dimension expressions. */
#ifndef TLBC_IR_INFER_KNOWN_H
#define TLBC_IR_INFER_KNOWN_H

#include "ir/infer/infer.h"

/* Contents in row-major order, "?" where not known, and the static shape. */
typedef struct known_tensor {
    uint32_t n;
    int32_t rank;
    int64_t size[IR_MAX_RANK];
    const ir_dim *d[IR_MAX_KNOWN];
} known_tensor;

/* Sets n, rank and size for a type that is static and small enough. */
bool known_frame(const ir_type *t, known_tensor *k);
/* Contents of a constant or of a value that has some. */
bool known_read(ir_ctx *c, const ir_value *v, known_tensor *k);
bool known_in(ir_ctx *c, const ir_node *n, uint32_t i, known_tensor *k);

/* Elementwise operators: one element of the result from those of the operands (NULL where omitted). */
bool known_has_scalar(op_id op);
const ir_dim *known_scalar(ir_ctx *c, const ir_node *n, const ir_dim *const *args);

#endif
