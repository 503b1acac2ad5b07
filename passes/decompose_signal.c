/* Windows in simpler terms (see decompose.c).
 *
 *   %w = HannWindow(%n)          ->  0.5 - 0.5 Cos(2 pi Range(0, %n) / %n) */
#include "passes/decompose.h"

#include "passes/util.h"

/* a - b cos(x) + c cos(2x) over one period. */
bool decompose_window(ir_builder *b, ir_node *n) {
    ir_dtype to = n->out[0].type->dtype;
    ir_dtype t = ir_dtype_is_float(to) ? ir_dtype_compute(to) : DT_f32;
    double k[3] = {0.5, 0.5, 0};
    if (n->op == OP_HammingWindow) k[0] = 25.0 / 46, k[1] = 21.0 / 46;
    if (n->op == OP_BlackmanWindow) k[0] = 0.42, k[2] = 0.08;
    ir_value *size = build_cast(b, n->in[0].value, DT_i64), *one = build_scalar(b, DT_i64, 1);
    ir_value *i = build_op3(b, OP_Range, build_scalar(b, DT_i64, 0), size, one);
    ir_value *period = ir_attr_int(n, "periodic", 1) ? size : build_op2(b, OP_Sub, size, one);
    ir_value *x = build_op2(b, OP_Mul, build_cast(b, i, t),
                            build_scalar(b, t, 6.283185307179586476925));
    x = build_op2(b, OP_Div, x, build_cast(b, period, t));
    ir_value *wave = build_op2(b, OP_Mul, build_op1(b, OP_Cos, x), build_scalar(b, t, k[1]));
    ir_value *y = build_op2(b, OP_Sub, build_scalar(b, t, k[0]), wave);
    if (k[2] != 0) {
        ir_value *twice = build_op1(b, OP_Cos, build_op2(b, OP_Add, x, x));
        y = build_op2(b, OP_Add, y, build_op2(b, OP_Mul, twice, build_scalar(b, t, k[2])));
    }
    return decompose_give(n, 0, build_cast(b, y, to));
}
