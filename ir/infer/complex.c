/* Complex numbers as pairs of real ones: Parts, FromParts.
 *
 *   f32[2,3,2] %p = Parts(%z)          c64[2,3] %z: real and imaginary part in a new last axis
 *   c64[2,3] %w = FromParts(%p)        back */
#include "ir/infer/infer.h"

bool infer_parts(ir_ctx *c, ir_node *n) {
    ir_dtype t = infer_in(n, 0)->dtype, part = t == DT_c64 ? DT_f32 : DT_f64;
    if (ir_dtype_get_class(t) != DTYPE_COMPLEX)
        return infer_error(c, n, 0, "element type is %s, expected c64 or c128", ir_dtype_name(t));
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, part);
    ir_shape s = infer_in_shape(n, 0);
    return infer_push(c, n, &s, ir_dim_const(c, 2)) && infer_set_shape(c, n, 0, part, &s);
}

bool infer_from_parts(ir_ctx *c, ir_node *n) {
    ir_dtype part = infer_in(n, 0)->dtype, t = part == DT_f32 ? DT_c64 : DT_c128;
    if (part != DT_f32 && part != DT_f64)
        return infer_error(c, n, 0, "element type is %s, expected f32 or f64", ir_dtype_name(part));
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, t);
    ir_shape s = infer_in_shape(n, 0);
    if (s.rank < 1) return infer_error(c, n, 0, "rank is 0, expected 1 or more");
    if (!infer_expect_dim(c, n, 0, s.rank - 1, ir_dim_const(c, 2))) return false;
    s.rank--;
    return infer_set_shape(c, n, 0, t, &s);
}
