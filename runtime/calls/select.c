/* Elements by what they hold: NonZero, Compress. */
#include "runtime/calls/call.h"

static bool rt_is_nonzero(const tlbc_tensor *t, int64_t i) {
    if (t->dtype == TLBC_STRING) return tlbc_rt_text(t)[i].len != 0;
    if (t->dtype == TLBC_C64 || t->dtype == TLBC_C128) {
        tlbc_tensor parts = *t;
        parts.dtype = t->dtype == TLBC_C64 ? TLBC_F32 : TLBC_F64;
        return tlbc_rt_get_f64(&parts, 2 * i) != 0 || tlbc_rt_get_f64(&parts, 2 * i + 1) != 0;
    }
    return tlbc_rt_get_f64(t, i) != 0;
}

/* Column j of the result is the index of the j-th element that is not zero. */
bool tlbc_rt_op_NonZero(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    int64_t count = tlbc_rt_elements(x), found = 0, column = 0;
    for (int64_t i = 0; i < count; i++)
        found += rt_is_nonzero(x, i);
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_I64, 2, (int64_t[]){x->rank, found});
    if (!y) return false;
    int64_t *index = y->data;
    for (int64_t i = 0; i < count; i++) {
        if (!rt_is_nonzero(x, i)) continue;
        int64_t rest = i;
        for (uint32_t d = x->rank; d-- > 0; rest /= x->dims[d])
            index[d * found + column] = rest % x->dims[d];
        column++;
    }
    return true;
}

/* Slices along the axis, or of the flattened operand, where the condition holds. It may be shorter than the axis; what it
 * does not mention is left out. */
bool tlbc_rt_op_Compress(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *condition = c->in[1];
    uint32_t n_axes, axis = 0;
    const int64_t *wanted = tlbc_rt_ints(c, "axis", &n_axes);
    tlbc_tensor flat = *x;
    if (!wanted) flat.rank = 1, flat.dims[0] = tlbc_rt_elements(x);
    if (wanted && !tlbc_rt_axis(c, *wanted, x->rank, &axis)) return false;
    int64_t length = flat.dims[axis], listed = tlbc_rt_elements(condition), kept = 0;
    const uint8_t *keep = condition->data;
    if (listed > length)
        return tlbc_rt_call_fail(c, "the condition has %lld elements for %lld slices",
                                 (long long)listed, (long long)length);
    for (int64_t i = 0; i < listed; i++)
        kept += keep[i] != 0;
    int64_t inner = tlbc_rt_product(&flat, axis + 1, flat.rank),
            outer = tlbc_rt_product(&flat, 0, axis);
    flat.dims[axis] = kept;
    tlbc_tensor *y = tlbc_rt_result(c, 0, x->dtype, flat.rank, flat.dims);
    if (!y) return false;
    int64_t at = 0;
    for (int64_t o = 0; tlbc_rt_elements(y) && o < outer; o++)
        for (int64_t i = 0; i < listed; i++) {
            if (!keep[i]) continue;
            tlbc_rt_copy(x->dtype, y->data, at, x->data, (o * length + i) * inner, inner);
            at += inner;
        }
    return true;
}
