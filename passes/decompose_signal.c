/* Windows and Fourier transforms of frames in simpler terms (see decompose.c).
 *
 *   %w = HannWindow(%n)          ->  0.5 - 0.5 Cos(2 pi Range(0, %n) / %n)
 *   %y = STFT(%x, @8, %w)        ->  %f = Gather<axis=1>(%x, [[0, 1, ... 15], [8, 9, ... 23], ...])      a row per frame
 *                                    %y = DFT<axis=2, onesided=1>(Mul(%f, %w)) */
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

static ir_value *range(ir_builder *b, const ir_dim *n) {
    return build_op3(b, OP_Range, build_scalar(b, DT_i64, 0), build_dim_scalar(b, n),
                     build_scalar(b, DT_i64, 1));
}

static ir_value *add_axis(ir_builder *b, ir_value *x, int64_t axis) {
    return build_op2(b, OP_Unsqueeze, x, build_i64s(b, &axis, 1));
}

/* Frames of the signal as rows: [batch, frames, length, parts]. */
static ir_value *frames_of(ir_builder *b, ir_value *x, const ir_dim *count, const ir_dim *length,
                           const ir_dim *step) {
    ir_value *start = build_op2(b, OP_Mul, range(b, count), build_dim_scalar(b, step));
    ir_value *at = build_op2(b, OP_Add, add_axis(b, start, 1), range(b, length));
    return build_op2_int(b, OP_Gather, x, at, "axis", 1);
}

bool decompose_stft(ir_builder *b, ir_node *n) {
    const ir_type *t = n->in[0].value->type;
    const ir_dim *step[1], *length[1];
    if (!can_build_type(b, t) || !can_build_type(b, n->out[0].type)) return false;
    if (ir_value_known_dims(b->m->ctx, n->in[1].value, step, 1) != 1) return false;
    length[0] = ir_in(n, 2) ? n->in[2].value->type->dims[0] : t->dims[1];
    if (ir_in(n, 3) && ir_value_known_dims(b->m->ctx, n->in[3].value, length, 1) != 1) return false;
    if (!can_build_dims(b, step, 1) || !can_build_dims(b, length, 1)) return false;
    ir_dtype compute = ir_dtype_compute(t->dtype);
    ir_value *x = build_cast(b, n->in[0].value, compute);
    x = frames_of(b, x, n->out[0].type->dims[1], length[0], step[0]);
    if (ir_in(n, 2)) {
        ir_value *window = build_cast(b, n->in[2].value, compute);
        x = build_op2(b, OP_Mul, x, add_axis(b, window, 1));
    }
    ir_value *in[] = {x, NULL, build_scalar(b, DT_i64, 2)};
    ir_attr half = {.name = "onesided", .kind = ATTR_INT, .v.i = ir_attr_int(n, "onesided", 1)};
    ir_node *dft = build_node(b, OP_DFT, in, 3, 1, &half, 1);
    decompose_give(n, 0, build_cast(b, &dft->out[0], t->dtype));
    ir_builder at_dft = ir_build_before(dft);
    at_dft.sizes = dft;
    if (decompose_dft(&at_dft, dft)) ir_node_remove(dft);
    return true;
}
