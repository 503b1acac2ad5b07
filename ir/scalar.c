/* Helpers over the abstract scalar builder, and the table of definitions; see scalar.h.
 *
 * Every operator whose eval column in ops.def says `scalar` must have a definition scalar_<Name>() in
 * scalar_defs.c: a row without one does not link. */
#include "ir/scalar.h"

#include "ir/base/assert.h"

sc_val sc_const(sc_builder *b, ir_dtype t, double v) {
    return ir_dtype_is_float(t) ? b->constant_f(b, t, v) : b->constant_i(b, t, (int64_t)v);
}

sc_val sc_const_i(sc_builder *b, ir_dtype t, int64_t v) {
    return ir_dtype_is_float(t) ? b->constant_f(b, t, (double)v) : b->constant_i(b, t, v);
}

sc_val sc_op1(sc_builder *b, sc_op op, sc_val x) {
    return b->emit(b, op, sc_type(b, x), &x, 1);
}

sc_val sc_op2(sc_builder *b, sc_op op, sc_val x, sc_val y) {
    TL_ASSERT(sc_type(b, x) == sc_type(b, y));
    bool compares = op >= SC_EQ && op <= SC_GE;
    return b->emit(b, op, compares ? DT_bool : sc_type(b, x), (sc_val[]){x, y}, 2);
}

sc_val sc_fma(sc_builder *b, sc_val x, sc_val y, sc_val z) {
    return b->emit(b, SC_FMA, sc_type(b, x), (sc_val[]){x, y, z}, 3);
}

sc_val sc_select(sc_builder *b, sc_val c, sc_val x, sc_val y) {
    TL_ASSERT(sc_type(b, c) == DT_bool && sc_type(b, x) == sc_type(b, y));
    return b->emit(b, SC_SELECT, sc_type(b, x), (sc_val[]){c, x, y}, 3);
}

sc_val sc_cast(sc_builder *b, sc_val x, ir_dtype to) {
    return sc_type(b, x) == to ? x : b->emit(b, SC_CAST, to, &x, 1);
}

sc_val sc_bitcast(sc_builder *b, sc_val x, ir_dtype to) {
    return sc_type(b, x) == to ? x : b->emit(b, SC_BITCAST, to, &x, 1);
}

/* Picks the rows whose eval column is `scalar`: only PROBE_scalar is a macro, and it shifts a 1 into second place. */
#define PROBE_scalar      ~, 1
#define SECOND(a, b, ...) b
#define SECOND_OF(...)    SECOND(__VA_ARGS__, 0, ~)
#define JOIN_(a, b)       a##b
#define JOIN(a, b)        JOIN_(a, b)
#define IF_SCALAR(eval)   JOIN(ROW_, SECOND_OF(PROBE_##eval))

#define ROW_0(name)
#define ROW_1(name)                                          scalar_fn scalar_##name;
#define OP(name, since, infer, eval, lower, traits, summary) IF_SCALAR(eval)(name)
#include "ir/ops.def"
#undef OP
#undef ROW_1

#define ROW_1(name) [OP_##name] = scalar_##name,
static scalar_fn *const definitions[OP_COUNT] = {
#define OP(name, since, infer, eval, lower, traits, summary) IF_SCALAR(eval)(name)
#include "ir/ops.def"
#undef OP
};

scalar_fn *scalar_get(op_id op) {
    return definitions[op];
}
