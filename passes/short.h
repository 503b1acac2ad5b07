/* Short spellings for passes that write formulas as graphs. */
#ifndef TLBC_PASSES_SHORT_H
#define TLBC_PASSES_SHORT_H

#include "ir/build.h"

static inline ir_value *add(ir_builder *b, ir_value *x, ir_value *y) {
    return build_op2(b, OP_Add, x, y);
}
static inline ir_value *sub(ir_builder *b, ir_value *x, ir_value *y) {
    return build_op2(b, OP_Sub, x, y);
}
static inline ir_value *mul(ir_builder *b, ir_value *x, ir_value *y) {
    return build_op2(b, OP_Mul, x, y);
}
static inline ir_value *divide(ir_builder *b, ir_value *x, ir_value *y) {
    return build_op2(b, OP_Div, x, y);
}
/* The number c in x's type. */
static inline ir_value *like(ir_builder *b, const ir_value *x, double c) {
    return build_scalar(b, x->type->dtype, c);
}

#endif
