/* Complex numbers: Parts and FromParts, and operators on each part alone. */
#include "ir/eval/eval_internal.h"

static bool retyped(ir_eval *e, const ir_node *n, const ir_tensor *x, ir_dtype t, const ev_shape *s,
                    ir_datum *out) {
    ir_tensor *y = ev_alloc(e, n, t, s);
    if (y && y->bytes) memcpy(ir_tensor_data(y), x->data, y->bytes);
    out[0].tensor = y;
    return y != NULL;
}

bool eval_parts(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank == IR_MAX_RANK) return ev_error(e, n, "too many dimensions");
    s.dims[s.rank++] = 2;
    return retyped(e, n, x, x->type->dtype == DT_c64 ? DT_f32 : DT_f64, &s, out);
}

bool eval_from_parts(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank < 1 || s.dims[s.rank - 1] != 2)
        return ev_error(e, n, "the last dimension of %s is not 2", ev_shape_text(e, &s));
    s.rank--;
    return retyped(e, n, x, x->type->dtype == DT_f32 ? DT_c64 : DT_c128, &s, out);
}

/* ---- by parts ---------------------------------------------------------------------------------------------------------- */

/* Every second number of x, from `part` on, where it is `to`; else the other way round. */
static void copy_part(ir_tensor *real, ir_tensor *pairs, int part, bool to) {
    ir_dtype t = real->type->dtype;
    for (size_t i = 0; i < ir_tensor_elements(real); i++) {
        int64_t one = (int64_t)i, pair = 2 * (int64_t)i + part;
        if (to)
            ev_copy_run(t, ir_tensor_data(pairs), pair, real->data, one, 1);
        else
            ev_copy_run(t, ir_tensor_data(real), one, pairs->data, pair, 1);
    }
}

/* What is added to neither part: an imaginary one is extrapolated as 0. */
static ir_node without(ir_eval *e, const ir_node *n, const char *attr) {
    ir_node copy = *n;
    copy.attrs = TL_NEW_ARRAY(e->arena, ir_attr, n->n_attrs + 1);
    copy.n_attrs = 0;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, attr) != 0) copy.attrs[copy.n_attrs++] = n->attrs[i];
    return copy;
}

bool ev_by_parts(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out,
                 ir_eval_fn *fn) {
    const ir_datum **reals = TL_NEW_ARRAY(e->arena, const ir_datum *, n->n_in + 1);
    ir_tensor *x = (ir_tensor *)(uintptr_t)in[0]->tensor, *y = NULL;
    ir_dtype t = x->type->dtype, part = t == DT_c64 ? DT_f32 : DT_f64;
    ir_node imaginary = without(e, n, "extrapolation_value");
    memcpy(reals, in, n->n_in * sizeof *reals);
    for (int i = 0; i < 2; i++) {
        ev_shape s = ev_shape_of(x);
        ir_datum given = {0}, made = {0};
        ir_tensor *real = ev_alloc(e, n, part, &s);
        if (!real) return false;
        copy_part(real, x, i, false);
        given.tensor = real;
        reals[0] = &given;
        if (!fn(e, i ? &imaginary : n, reals, &made)) return false;
        s = ev_shape_of(made.tensor);
        if (!y) y = ev_alloc(e, n, t, &s);
        if (!y) return false;
        copy_part((ir_tensor *)(uintptr_t)made.tensor, y, i, true);
    }
    out[0].tensor = y;
    return true;
}
