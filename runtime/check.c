/* Checks of what a caller hands to a model, with messages that name the tensor, what was expected and what was given:
 *
 *   input 0 'x': dimension 1 is 5, expected 4 (given f32[1,5], expected f32[batch,4])
 *   output 0 'y': room for 8 bytes, f32[2,10] needs 80 */
#include "runtime/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Name and bits of an element, by ONNX number. A string is a pointer and a length. */
static const struct {
    const char *name;
    uint8_t bits;
} rt_dtypes[] = {
    {"undefined", 0},  {"f32", 32},  {"u8", 8},       {"i8", 8},         {"u16", 16},
    {"i16", 16},       {"i32", 32},  {"i64", 64},     {"str", 128},      {"bool", 8},
    {"f16", 16},       {"f64", 64},  {"u32", 32},     {"u64", 64},       {"c64", 64},
    {"c128", 128},     {"bf16", 16}, {"f8e4m3fn", 8}, {"f8e4m3fnuz", 8}, {"f8e5m2", 8},
    {"f8e5m2fnuz", 8}, {"u4", 4},    {"i4", 4},       {"f4e2m1", 4},     {"f8e8m0", 8},
    {"u2", 2},         {"i2", 2},
};

enum { N_DTYPES = sizeof rt_dtypes / sizeof rt_dtypes[0] };

static const char *rt_dtype_name(unsigned t) {
    return t < N_DTYPES ? rt_dtypes[t].name : "?";
}

tlbc_status tlbc_rt_report(tlbc_session *s, tlbc_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(s->message, sizeof s->message, format, args);
    va_end(args);
    return status;
}

/* A type in words: "f32[batch,4]"; cut where it does not fit. */
typedef struct rt_text {
    char data[256];
    size_t len;
} rt_text;

__attribute__((format(printf, 2, 3))) static void rt_append(rt_text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->data + t->len, sizeof t->data - t->len, format, args);
    va_end(args);
    t->len += n < 0 ? 0 : (size_t)n;
    if (t->len >= sizeof t->data) t->len = sizeof t->data - 1;
}

static rt_text rt_text_given(unsigned dtype, uint32_t rank, const int64_t *dims) {
    rt_text t = {.len = 0};
    rt_append(&t, "%s[", rt_dtype_name(dtype));
    for (uint32_t i = 0; i < rank && i < TLBC_MAX_RANK; i++)
        rt_append(&t, "%s%lld", i ? "," : "", (long long)dims[i]);
    rt_append(&t, "]");
    return t;
}

static rt_text rt_text_expected(const tlbc_tensor_info *info) {
    rt_text t = {.len = 0};
    rt_append(&t, "%s[", rt_dtype_name(info->dtype));
    if (info->rank == TLBC_ANY_RANK) rt_append(&t, "*");
    for (uint32_t i = 0; info->dims && i < info->rank; i++) {
        const tlbc_dim *d = &info->dims[i];
        if (d->value >= 0)
            rt_append(&t, "%s%lld", i ? "," : "", (long long)d->value);
        else
            rt_append(&t, "%s%s", i ? "," : "", d->symbol ? d->symbol : "?");
    }
    rt_append(&t, "]");
    return t;
}

tlbc_status tlbc_rt_bad_input(tlbc_session *s, const tlbc_tensor *in, uint32_t i,
                              const char *format, ...) {
    const tlbc_tensor_info *info = &s->model->inputs[i];
    rt_text what = {.len = 0}, given = rt_text_given(in[i].dtype, in[i].rank, in[i].dims),
            expected = rt_text_expected(info);
    va_list args;
    va_start(args, format);
    vsnprintf(what.data, sizeof what.data, format, args);
    va_end(args);
    return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "input %u '%s': %s (given %s, expected %s)", i,
                          info->name, what.data, given.data, expected.data);
}

bool tlbc_rt_tensor_bytes(unsigned dtype, uint32_t rank, const int64_t *dims, size_t *bytes) {
    size_t n = 1, bits = dtype < N_DTYPES ? rt_dtypes[dtype].bits : 0;
    bool empty = false;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] == 0) empty = true;
        if (dims[i] && __builtin_mul_overflow(n, (size_t)dims[i], &n)) return false;
    }
    if (__builtin_mul_overflow(n, bits, &n)) return false;
    *bytes = empty ? 0 : n / 8 + (n % 8 != 0);
    return true;
}

static tlbc_status rt_check_data(tlbc_session *s, const tlbc_tensor *in, uint32_t i) {
    size_t bytes;
    const tlbc_tensor *t = &in[i];
    const char *name = s->model->inputs[i].name;
    if (!tlbc_rt_tensor_bytes(t->dtype, t->rank, t->dims, &bytes))
        return tlbc_rt_bad_input(s, in, i, "its size overflows");
    if (bytes && !t->data)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "input %u '%s': data is NULL", i, name);
    if (t->bytes >= bytes) return TLBC_OK;
    rt_text given = rt_text_given(t->dtype, t->rank, t->dims);
    return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "input %u '%s': %zu bytes of data, %s needs %zu",
                          i, name, t->bytes, given.data, bytes);
}

/* What lists hold has the type that the model says, all the way down. Sizes are checked where they are used. */
static bool rt_items_fit(const tlbc_tensor *t, const tlbc_tensor_info *info) {
    if (t->dtype != info->dtype) return false;
    if (t->dtype < TLBC_SEQUENCE) {
        size_t bytes = 0;
        bool ranked = info->rank == TLBC_ANY_RANK || info->rank == t->rank;
        for (uint32_t i = 0; i < t->rank && i < TLBC_MAX_RANK; i++)
            ranked = ranked && t->dims[i] >= 0;
        return ranked && t->rank <= TLBC_MAX_RANK &&
               tlbc_rt_tensor_bytes(t->dtype, t->rank, t->dims, &bytes) && t->bytes >= bytes &&
               (t->data || !bytes);
    }
    const tlbc_tensor *items = t->data;
    bool map = t->dtype == TLBC_MAP, fits = t->rank == 1 && t->dims[0] >= 0;
    if (map) fits = fits && t->dims[0] == 2;
    if (t->dtype == TLBC_OPTIONAL) fits = fits && t->dims[0] <= 1;
    for (int64_t i = 0; fits && i < t->dims[0]; i++)
        fits = map ? items[i].dtype == info->element[i].dtype
                   : rt_items_fit(&items[i], info->element);
    return fits;
}

static tlbc_status rt_bad_positions(tlbc_session *s, const tlbc_tensor *in, uint32_t i,
                                    uint32_t axis) {
    long long chunk = s->model->inputs[i].dims[axis].value, given = in[i].dims[axis];
    const char *why = s->model->no_tail;
    if (s->model->tail && given)
        return tlbc_rt_bad_input(s, in, i,
                                 "a step takes at most %lld positions along axis %u, not %lld",
                                 chunk, axis, given);
    return tlbc_rt_bad_input(
        s, in, i,
        "a step takes %lld positions along axis %u, not %lld; the last one of a "
        "sequence%s%s%s",
        chunk, axis, given, s->model->tail ? " has at least one" : ", too", why ? ": " : "",
        why ? why : "");
}

static tlbc_status rt_check_input(tlbc_session *s, const tlbc_tensor *in, uint32_t i) {
    const tlbc_tensor_info *info = &s->model->inputs[i];
    const tlbc_tensor *t = &in[i];
    if (t->dtype != info->dtype)
        return tlbc_rt_bad_input(s, in, i, "element type is %s, expected %s",
                                 rt_dtype_name(t->dtype), rt_dtype_name(info->dtype));
    if (info->rank != TLBC_ANY_RANK && t->rank != info->rank)
        return tlbc_rt_bad_input(s, in, i, "rank is %u, expected %u", t->rank, info->rank);
    for (uint32_t d = 0; d < t->rank; d++) {
        static const tlbc_dim open = {-1, NULL, -1, -1};
        const tlbc_dim *dim = info->dims ? &info->dims[d] : &open;
        if (t->dims[d] < 0) return tlbc_rt_bad_input(s, in, i, "dimension %u is negative", d);
        bool fits = dim->value < 0 || t->dims[d] == dim->value;
        if (!fits && info->sequence == d + 1) return rt_bad_positions(s, in, i, d);
        if (!fits)
            return tlbc_rt_bad_input(s, in, i, "dimension %u is %lld, expected %lld", d,
                                     (long long)t->dims[d], (long long)dim->value);
        if (dim->bind >= 0) s->candidate[dim->bind] = t->dims[d];
    }
    return TLBC_OK;
}

tlbc_status tlbc_rt_check_inputs(tlbc_session *s, const tlbc_tensor *in, bool with_data) {
    for (uint32_t i = 0; i < s->model->n_inputs; i++) {
        tlbc_status status = rt_check_input(s, in, i);
        if (!status && with_data) status = rt_check_data(s, in, i);
        if (!status && with_data && s->model->inputs[i].element &&
            !rt_items_fit(&in[i], &s->model->inputs[i]))
            status = tlbc_rt_bad_input(s, in, i, "what it holds has another type");
        if (status) return status;
        s->inputs[i] = in[i].data;
    }
    return TLBC_OK;
}

tlbc_status tlbc_rt_check_exprs(tlbc_session *s, const tlbc_tensor *in) {
    for (uint32_t i = 0; i < s->model->n_inputs; i++) {
        const tlbc_tensor_info *info = &s->model->inputs[i];
        for (uint32_t d = 0; info->dims && d < info->rank; d++) {
            const tlbc_dim *dim = &info->dims[d];
            if (dim->value >= 0 || dim->bind >= 0 || dim->expr < 0) continue;
            int64_t expected = s->exprs[dim->expr];
            if (in[i].dims[d] != expected)
                return tlbc_rt_bad_input(s, in, i, "dimension %u is %lld, expected %s = %lld", d,
                                         (long long)in[i].dims[d], dim->symbol ? dim->symbol : "?",
                                         (long long)expected);
        }
    }
    return TLBC_OK;
}

static bool rt_fill_output(const tlbc_session *s, const tlbc_tensor_info *info, tlbc_tensor *t,
                           size_t *bytes) {
    t->dtype = info->dtype;
    t->rank = info->rank == TLBC_ANY_RANK ? 0 : info->rank;
    for (uint32_t d = 0; d < t->rank; d++) {
        const tlbc_dim *dim = &info->dims[d];
        t->dims[d] = dim->value >= 0 ? dim->value : dim->expr >= 0 ? s->exprs[dim->expr] : -1;
        if (dim->expr >= 0 && t->dims[d] < 0) return false;
    }
    return tlbc_rt_tensor_bytes(t->dtype, t->rank, t->dims, bytes);
}

static tlbc_status rt_check_room(tlbc_session *s, const tlbc_tensor *t, uint32_t i, size_t bytes) {
    const char *name = s->model->outputs[i].name;
    if (bytes && !t->data)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "output %u '%s': data is NULL", i, name);
    if (t->bytes >= bytes) return TLBC_OK;
    rt_text type = rt_text_given(t->dtype, t->rank, t->dims);
    return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                          "output %u '%s': room for %zu bytes, %s needs %zu", i, name, t->bytes,
                          type.data, bytes);
}

tlbc_status tlbc_rt_check_outputs(tlbc_session *s, tlbc_tensor *out, bool with_data) {
    for (uint32_t i = 0; i < s->model->n_outputs; i++) {
        const tlbc_tensor_info *info = &s->model->outputs[i];
        size_t bytes = 0;
        if (with_data && out[i].dtype && out[i].dtype != info->dtype)
            return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                                  "output %u '%s': element type is %s, expected %s", i, info->name,
                                  rt_dtype_name(out[i].dtype), rt_dtype_name(info->dtype));
        if (tlbc_rt_is_cell_output(s, i)) {
            if (!with_data) rt_fill_output(s, info, &out[i], &out[i].bytes), out[i].bytes = 0;
            continue;
        }
        if (!rt_fill_output(s, info, &out[i], &bytes))
            return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                                  "output %u '%s': its size is negative or overflows", i,
                                  info->name);
        if (!with_data) {
            out[i].bytes = bytes;
            continue;
        }
        tlbc_status status = rt_check_room(s, &out[i], i, bytes);
        if (status) return status;
        s->outputs[i] = out[i].data;
    }
    return TLBC_OK;
}
