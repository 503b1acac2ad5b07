/* What the operators of this folder share: attributes, elements of any type, results; see call.h. */
#include "runtime/calls/call.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static const tlbc_rt_attr *rt_find(const tlbc_rt_call *c, const char *name, unsigned kind) {
    for (uint32_t i = 0; i < c->n_attrs; i++)
        if (c->attrs[i].kind == kind && strcmp(c->attrs[i].name, name) == 0) return &c->attrs[i];
    return NULL;
}

static const void *rt_list(const tlbc_rt_call *c, const char *name, unsigned kind, uint32_t *n) {
    const tlbc_rt_attr *a = rt_find(c, name, kind);
    *n = a ? a->n : 0;
    return a ? a->data : NULL;
}

int64_t tlbc_rt_int(const tlbc_rt_call *c, const char *name, int64_t fallback) {
    const tlbc_rt_attr *a = rt_find(c, name, TLBC_RT_INTS);
    return a && a->n ? *(const int64_t *)a->data : fallback;
}

float tlbc_rt_float(const tlbc_rt_call *c, const char *name, float fallback) {
    const tlbc_rt_attr *a = rt_find(c, name, TLBC_RT_FLOATS);
    return a && a->n ? *(const float *)a->data : fallback;
}

tlbc_string tlbc_rt_string(const tlbc_rt_call *c, const char *name) {
    const tlbc_rt_attr *a = rt_find(c, name, TLBC_RT_STRINGS);
    return a && a->n ? *(const tlbc_string *)a->data : (tlbc_string){NULL, 0};
}

bool tlbc_rt_string_is(const tlbc_rt_call *c, const char *name, const char *value) {
    return tlbc_rt_string_equal(tlbc_rt_string(c, name), (tlbc_string){value, strlen(value)});
}

const int64_t *tlbc_rt_ints(const tlbc_rt_call *c, const char *name, uint32_t *n) {
    return rt_list(c, name, TLBC_RT_INTS, n);
}
const float *tlbc_rt_floats(const tlbc_rt_call *c, const char *name, uint32_t *n) {
    return rt_list(c, name, TLBC_RT_FLOATS, n);
}
const tlbc_string *tlbc_rt_strings(const tlbc_rt_call *c, const char *name, uint32_t *n) {
    return rt_list(c, name, TLBC_RT_STRINGS, n);
}
const tlbc_tensor *tlbc_rt_tensor(const tlbc_rt_call *c, const char *name) {
    uint32_t n;
    return rt_list(c, name, TLBC_RT_TENSORS, &n);
}

/* ---- sizes -------------------------------------------------------------------------------------------------------- */

uint32_t tlbc_rt_dtype_bits(unsigned dtype) {
    /* by ONNX number; a string is a pointer and a length */
    static const uint8_t bits[] = {0,  32,  8,  8, 16, 16, 32, 64, 128, 8, 16, 64, 32, 64,
                                   64, 128, 16, 8, 8,  8,  8,  4,  4,   4, 8,  2,  2};
    return dtype < sizeof bits ? bits[dtype] : 0;
}

int64_t tlbc_rt_product(const tlbc_tensor *t, uint32_t from, uint32_t to) {
    int64_t n = 1;
    for (uint32_t i = from; i < to; i++) /* wraps only where another dim is 0 */
        n = (int64_t)((uint64_t)n * (uint64_t)t->dims[i]);
    return n;
}

int64_t tlbc_rt_elements(const tlbc_tensor *t) {
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dims[i] == 0) return 0;
    return tlbc_rt_product(t, 0, t->rank);
}

bool tlbc_rt_bytes(unsigned dtype, uint32_t rank, const int64_t *dims, size_t *bytes) {
    size_t n = 1;
    bool empty = false, fits = true;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 0) return false;
        if (dims[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(n, (size_t)dims[i], &n))
            fits = false;
    }
    if (__builtin_mul_overflow(n, (size_t)tlbc_rt_dtype_bits(dtype), &n)) fits = false;
    *bytes = empty ? 0 : n / 8 + (n % 8 != 0);
    return empty || fits;
}

bool tlbc_rt_axis(tlbc_rt_call *c, int64_t axis, uint32_t rank, uint32_t *out) {
    if (axis < -(int64_t)rank || axis >= (int64_t)rank)
        return tlbc_rt_call_fail(c, "axis %lld is outside of rank %u", (long long)axis, rank);
    *out = (uint32_t)(axis < 0 ? axis + rank : axis);
    return true;
}

/* ---- elements ------------------------------------------------------------------------------------------------------ */

static double rt_half(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent == 31  ? (fraction ? NAN : INFINITY)
               : exponent == 0 ? ldexp(fraction, -24)
                               : ldexp(fraction + 1024, exponent - 25);
    return h >> 15 ? -v : v;
}

static double rt_bfloat(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static int64_t rt_to_i64(double v) {
    if (!(v > -0x1p63)) return isnan(v) ? 0 : INT64_MIN;
    return v >= 0x1p63 ? INT64_MAX : (int64_t)v;
}

int64_t tlbc_rt_get_i64(const tlbc_tensor *t, int64_t i) {
    switch (t->dtype) {
    case TLBC_BOOL:
    case TLBC_U8:
        return ((const uint8_t *)t->data)[i];
    case TLBC_I8:
        return ((const int8_t *)t->data)[i];
    case TLBC_U16:
        return ((const uint16_t *)t->data)[i];
    case TLBC_I16:
        return ((const int16_t *)t->data)[i];
    case TLBC_U32:
        return ((const uint32_t *)t->data)[i];
    case TLBC_I32:
        return ((const int32_t *)t->data)[i];
    case TLBC_U64:
    case TLBC_I64:
        return ((const int64_t *)t->data)[i];
    default:
        break;
    }
    return rt_to_i64(tlbc_rt_get_f64(t, i));
}

double tlbc_rt_get_f64(const tlbc_tensor *t, int64_t i) {
    switch (t->dtype) {
    case TLBC_F32:
        return ((const float *)t->data)[i];
    case TLBC_F64:
        return ((const double *)t->data)[i];
    case TLBC_F16:
        return rt_half(((const uint16_t *)t->data)[i]);
    case TLBC_BF16:
        return rt_bfloat(((const uint16_t *)t->data)[i]);
    case TLBC_U64:
        return (double)((const uint64_t *)t->data)[i];
    case TLBC_BOOL:
    case TLBC_U8:
    case TLBC_I8:
    case TLBC_U16:
    case TLBC_I16:
    case TLBC_U32:
    case TLBC_I32:
    case TLBC_I64:
        return (double)tlbc_rt_get_i64(t, i);
    default:
        return 0;
    }
}

/* To nearest even through the bits of the double; what is too large becomes infinite. */
static uint16_t rt_to_half(double v) {
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    double size = fabs(v);
    if (isnan(v)) return (uint16_t)(sign | 0x7e00);
    if (size >= 65520) return (uint16_t)(sign | 0x7c00);
    if (size == 0) return sign;
    int exponent;
    frexp(size, &exponent); /* size in [2^(exponent-1), 2^exponent) */
    int step = exponent - 11 < -24 ? -24 : exponent - 11;
    double units = nearbyint(ldexp(size, -step)); /* at most 2048 */
    if (step == -24) return (uint16_t)(sign | (uint16_t)units);
    return (uint16_t)(sign + ((step + 24) << 10) + (uint16_t)units);
}

/* To nearest even in the upper half of an f32. */
static uint16_t rt_to_bfloat(double v) {
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (isnan(v)) return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void rt_set_whole(tlbc_tensor *t, int64_t i, int64_t v) {
    switch (tlbc_rt_dtype_bits(t->dtype)) {
    case 64:
        ((int64_t *)t->data)[i] = v;
        break;
    case 32:
        ((int32_t *)t->data)[i] = (int32_t)v;
        break;
    case 16:
        ((int16_t *)t->data)[i] = (int16_t)v;
        break;
    case 8:
        ((int8_t *)t->data)[i] = (int8_t)v;
        break;
    default:
        break;
    }
}

void tlbc_rt_set_f64(tlbc_tensor *t, int64_t i, double v) {
    if (t->dtype == TLBC_F32)
        ((float *)t->data)[i] = (float)v;
    else if (t->dtype == TLBC_F64)
        ((double *)t->data)[i] = v;
    else if (t->dtype == TLBC_F16)
        ((uint16_t *)t->data)[i] = rt_to_half(v);
    else if (t->dtype == TLBC_BF16)
        ((uint16_t *)t->data)[i] = rt_to_bfloat(v);
    else
        rt_set_whole(t, i, rt_to_i64(v));
}

/* Elements of less than a byte: the low bits come first. */
static void rt_copy_packed(uint32_t bits, uint8_t *to, int64_t to_at, const uint8_t *from,
                           int64_t from_at) {
    uint32_t per = 8 / bits, mask = (1u << bits) - 1;
    uint32_t down = (uint32_t)(from_at % per) * bits, up = (uint32_t)(to_at % per) * bits;
    uint8_t *p = &to[to_at / per];
    uint32_t v = (uint32_t)(from[from_at / per] >> down) & mask;
    *p = (uint8_t)((*p & ~(mask << up)) | (v << up));
}

void tlbc_rt_copy(unsigned dtype, void *to, int64_t to_at, const void *from, int64_t from_at,
                  int64_t n) {
    uint32_t bits = tlbc_rt_dtype_bits(dtype);
    size_t size = bits / 8;
    if (n <= 0) return;
    if (size)
        memcpy((char *)to + (size_t)to_at * size, (const char *)from + (size_t)from_at * size,
               (size_t)n * size);
    for (int64_t i = 0; !size && i < n; i++)
        rt_copy_packed(bits, to, to_at + i, from, from_at + i);
}

bool tlbc_rt_string_equal(tlbc_string a, tlbc_string b) {
    return a.len == b.len && (!a.len || memcmp(a.data, b.data, a.len) == 0);
}

int tlbc_rt_string_compare(tlbc_string a, tlbc_string b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* ---- sorting ------------------------------------------------------------------------------------------------------- */

static void rt_merge(const int64_t *from, int64_t *to, int64_t low, int64_t middle, int64_t high,
                     tlbc_rt_less *less, const void *data) {
    int64_t a = low, b = middle;
    for (int64_t i = low; i < high; i++) {
        bool second = a == middle || (b < high && less(data, from[b], from[a]));
        to[i] = second ? from[b++] : from[a++];
    }
}

/* Runs of 1, 2, 4, ... are merged from one array to the other. */
void tlbc_rt_sort(int64_t *order, int64_t *scratch, int64_t n, tlbc_rt_less *less,
                  const void *data) {
    int64_t *from = order, *to = scratch;
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t low = 0; low < n; low += 2 * run) {
            int64_t middle = low + run < n ? low + run : n;
            int64_t high = middle + run < n ? middle + run : n;
            rt_merge(from, to, low, middle, high, less, data);
        }
        int64_t *swap = from;
        from = to, to = swap;
    }
    if (from != order && n > 0) memcpy(order, from, (size_t)n * sizeof *order);
}

/* ---- results ------------------------------------------------------------------------------------------------------- */

bool tlbc_rt_call_fail(tlbc_rt_call *c, const char *format, ...) {
    if (c->status) return false; /* the first one counts */
    va_list args;
    va_start(args, format);
    vsnprintf(c->message, sizeof c->message, format, args);
    va_end(args);
    c->status = TLBC_ERROR_DATA;
    return false;
}

static void *rt_take(tlbc_rt_call *c, size_t bytes) {
    void *p = tlbc_rt_heap_take(c->heap, bytes);
    if (p || c->status) return p;
    tlbc_rt_call_fail(c, "cannot allocate %zu bytes", bytes);
    c->status = TLBC_ERROR_MEMORY;
    return NULL;
}

void *tlbc_rt_alloc(tlbc_rt_call *c, size_t n, size_t size) {
    size_t bytes;
    if (!__builtin_mul_overflow(n, size, &bytes)) return rt_take(c, bytes);
    tlbc_rt_call_fail(c, "a size overflows");
    return NULL;
}

bool tlbc_rt_new_tensor(tlbc_rt_call *c, tlbc_tensor *t, unsigned dtype, uint32_t rank,
                        const int64_t *dims) {
    *t = (tlbc_tensor){.dtype = (tlbc_dtype)dtype, .rank = rank};
    if (rank > TLBC_MAX_RANK) return tlbc_rt_call_fail(c, "a result of %u dimensions", rank);
    if (!tlbc_rt_bytes(dtype, rank, dims, &t->bytes))
        return tlbc_rt_call_fail(c, "the size of a result is negative or overflows");
    for (uint32_t i = 0; i < rank; i++)
        t->dims[i] = dims[i];
    t->data = rt_take(c, t->bytes);
    return t->data != NULL;
}

tlbc_tensor *tlbc_rt_result(tlbc_rt_call *c, uint32_t i, unsigned dtype, uint32_t rank,
                            const int64_t *dims) {
    tlbc_tensor *t = i < c->n_out ? &c->out[i] : tlbc_rt_alloc(c, 1, sizeof *t);
    return t && tlbc_rt_new_tensor(c, t, dtype, rank, dims) ? t : NULL;
}

tlbc_tensor *tlbc_rt_new_list(tlbc_rt_call *c, tlbc_tensor *t, unsigned kind, int64_t n) {
    *t = (tlbc_tensor){.dtype = (tlbc_dtype)kind, .rank = 1, .dims = {n}};
    t->data = tlbc_rt_alloc(c, (size_t)n, sizeof(tlbc_tensor));
    t->bytes = (size_t)n * sizeof(tlbc_tensor);
    return t->data;
}

bool tlbc_rt_new_string(tlbc_rt_call *c, tlbc_string *s, const char *data, size_t len) {
    char *copy = rt_take(c, len);
    if (!copy) return false;
    if (len) memcpy(copy, data, len);
    *s = (tlbc_string){copy, len};
    return true;
}
