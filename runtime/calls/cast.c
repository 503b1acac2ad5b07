/* Cast between strings and numbers. Numbers become the shortest decimal that reads back as the same value of their type; INF, -INF, NaN
 * as ONNX spells them. */
#include "runtime/calls/call.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RT_NUMBER = 64 };

static double rt_rounded(unsigned dtype, double v) {
    uint64_t cell = 0;
    tlbc_tensor t = {.data = &cell, .dtype = (tlbc_dtype)dtype};
    if (dtype == TLBC_BF16) dtype = TLBC_F32; /* more digits than needed, and exact */
    t.dtype = (tlbc_dtype)dtype;
    tlbc_rt_set_f64(&t, 0, v);
    return tlbc_rt_get_f64(&t, 0);
}

static bool rt_is_float(unsigned dtype) {
    return dtype == TLBC_F32 || dtype == TLBC_F64 || dtype == TLBC_F16 || dtype == TLBC_BF16;
}

static int rt_float_text(unsigned dtype, double v, char *text) {
    if (isnan(v)) return snprintf(text, RT_NUMBER, "NaN");
    if (isinf(v)) return snprintf(text, RT_NUMBER, v < 0 ? "-INF" : "INF");
    int n = 0;
    for (int digits = 1; digits <= 17; digits++) {
        n = snprintf(text, RT_NUMBER, "%.*g", digits, v);
        if (rt_rounded(dtype, strtod(text, NULL)) == v) break;
    }
    return n;
}

static int rt_number_text(const tlbc_tensor *x, int64_t i, char *text) {
    if (rt_is_float(x->dtype)) return rt_float_text(x->dtype, tlbc_rt_get_f64(x, i), text);
    int64_t v = tlbc_rt_get_i64(x, i);
    if (x->dtype == TLBC_BOOL) return snprintf(text, RT_NUMBER, "%s", v ? "True" : "False");
    if (x->dtype == TLBC_U64) return snprintf(text, RT_NUMBER, "%llu", (unsigned long long)v);
    return snprintf(text, RT_NUMBER, "%lld", (long long)v);
}

static void rt_store_integer(tlbc_tensor *y, int64_t i, int64_t v) {
    if (y->dtype == TLBC_BOOL) v = v != 0;
    memcpy((char *)y->data + (size_t)i * tlbc_rt_dtype_bits(y->dtype) / 8, &v,
           tlbc_rt_dtype_bits(y->dtype) / 8); /* little endian: the low bytes come first */
}

static bool rt_read_number(tlbc_rt_call *c, tlbc_string s, tlbc_tensor *y, int64_t i) {
    char text[128], *end = text;
    if (s.len < sizeof text) {
        if (s.len) memcpy(text, s.data, s.len);
        text[s.len] = '\0';
        errno = 0;
        if (rt_is_float(y->dtype))
            tlbc_rt_set_f64(y, i, strtod(text, &end));
        else if (y->dtype == TLBC_U64)
            rt_store_integer(y, i, (int64_t)strtoull(text, &end, 10));
        else
            rt_store_integer(y, i, strtoll(text, &end, 10));
        while (*end == ' ' || (*end >= '\t' && *end <= '\r'))
            end++;
        bool fits = rt_is_float(y->dtype) || errno != ERANGE; /* a float is infinite then, or 0 */
        if (fits && end != text && end == text + s.len) return true;
    }
    return tlbc_rt_call_fail(c, "cannot convert '%.*s'", (int)(s.len < 100 ? s.len : 100),
                             s.data ? s.data : "");
}

bool tlbc_rt_op_Cast(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    int64_t to = tlbc_rt_int(c, "to", 0), n = tlbc_rt_elements(x);
    uint32_t bits = tlbc_rt_dtype_bits((unsigned)to);
    bool known = to == TLBC_STRING ||
                 (bits >= 8 && bits <= 64 && to != TLBC_BF16 && to < TLBC_BF16);
    if (!known || (x->dtype != TLBC_STRING && tlbc_rt_dtype_bits(x->dtype) < 8))
        return tlbc_rt_call_fail(c, "this conversion of strings is not supported");
    tlbc_tensor *y = tlbc_rt_result(c, 0, (unsigned)to, x->rank, x->dims);
    if (y && to == x->dtype) {
        tlbc_rt_copy(x->dtype, y->data, 0, x->data, 0, n);
        return true;
    }
    for (int64_t i = 0; y && i < n; i++) {
        char text[RT_NUMBER];
        if (x->dtype == TLBC_STRING && !rt_read_number(c, tlbc_rt_text(x)[i], y, i)) return false;
        if (to != TLBC_STRING) continue;
        int length = rt_number_text(x, i, text);
        if (!tlbc_rt_new_string(c, &tlbc_rt_text(y)[i], text, (size_t)length)) return false;
    }
    return y != NULL;
}
