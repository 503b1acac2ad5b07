/* Features of ai.onnx.ml: picking, scaling, replacing, encoding. */
#include "runtime/calls/ml_scores.h"

#include <math.h>
#include <string.h>

bool tlbc_rt_op_ArrayFeatureExtractor(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *which = c->in[1];
    tlbc_tensor shape = *x;
    if (!x->rank) return tlbc_rt_call_fail(c, "the operand is a scalar");
    int64_t n = tlbc_rt_elements(which), length = x->dims[x->rank - 1];
    if (x->rank == 1) shape.rank = 2, shape.dims[0] = 1;
    shape.dims[shape.rank - 1] = n;
    tlbc_tensor *z = tlbc_rt_result(c, 0, x->dtype, shape.rank, shape.dims);
    int64_t outer = tlbc_rt_product(x, 0, x->rank - 1);
    for (int64_t i = 0; z && i < n; i++) {
        int64_t at = tlbc_rt_get_i64(which, i);
        if (at < 0 || at >= length)
            return tlbc_rt_call_fail(c, "feature %lld of %lld", (long long)at, (long long)length);
        for (int64_t o = 0; o < outer; o++)
            tlbc_rt_copy(x->dtype, z->data, o * n + i, x->data, o * length + at, 1);
    }
    return z != NULL;
}

bool tlbc_rt_op_Binarizer(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    double threshold = (double)tlbc_rt_float(c, "threshold", 0);
    tlbc_tensor *y = tlbc_rt_result(c, 0, x->dtype, x->rank, x->dims);
    for (int64_t i = 0; y && i < tlbc_rt_elements(x); i++)
        tlbc_rt_set_f64(y, i, tlbc_rt_get_f64(x, i) > threshold);
    return y != NULL;
}

/* One value for each column, or one for all. */
static float rt_by_column(const float *v, uint32_t n, int64_t column, float fallback) {
    return n == 0 ? fallback : n == 1 ? v[0] : v[column % n];
}

bool tlbc_rt_op_Scaler(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t n_scale, n_offset;
    const float *scale = tlbc_rt_floats(c, "scale", &n_scale),
                *offset = tlbc_rt_floats(c, "offset", &n_offset);
    int64_t columns = x->rank ? x->dims[x->rank - 1] : 1;
    bool fits = (n_scale <= 1 || n_scale == columns) && (n_offset <= 1 || n_offset == columns);
    if (!fits)
        return tlbc_rt_call_fail(c, "scale or offset do not fit %lld columns", (long long)columns);
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_F32, x->rank, x->dims);
    for (int64_t i = 0; y && i < tlbc_rt_elements(x); i++) {
        float shifted = (float)tlbc_rt_get_f64(x, i) -
                        rt_by_column(offset, n_offset, i % columns, 0);
        ((float *)y->data)[i] = shifted * rt_by_column(scale, n_scale, i % columns, 1);
    }
    return y != NULL;
}

/* MAX: by the largest element; L1: by the sum of sizes; L2: by the root of the sum of squares. A row of norm 0 stays as it is. */
bool tlbc_rt_op_Normalizer(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    bool l1 = tlbc_rt_string_is(c, "norm", "L1"), l2 = tlbc_rt_string_is(c, "norm", "L2");
    int64_t rows = tlbc_rt_rows(x), columns = tlbc_rt_columns(x);
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_F32, x->rank, x->dims);
    for (int64_t r = 0; y && r < rows; r++) {
        double norm = l1 || l2 ? 0 : -INFINITY;
        for (int64_t i = 0; i < columns; i++) {
            double v = tlbc_rt_get_f64(x, r * columns + i);
            if (l1 || l2)
                norm += l1 ? fabs(v) : v * v;
            else if (v > norm)
                norm = v;
        }
        if (l2) norm = sqrt(norm);
        for (int64_t i = 0; i < columns; i++) {
            double v = tlbc_rt_get_f64(x, r * columns + i);
            ((float *)y->data)[r * columns + i] = (float)(norm != 0 ? v / norm : v);
        }
    }
    return y != NULL;
}

static bool rt_is_float(const tlbc_tensor *x) {
    return x->dtype == TLBC_F32 || x->dtype == TLBC_F64;
}

/* The low bytes come first. */
static void rt_put_integer(tlbc_tensor *y, int64_t i, int64_t v) {
    size_t bytes = tlbc_rt_dtype_bits(y->dtype) / 8;
    memcpy((char *)y->data + (size_t)i * bytes, &v, bytes < sizeof v ? bytes : sizeof v);
}

bool tlbc_rt_op_Imputer(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t n_floats, n_ints;
    const float *floats = tlbc_rt_floats(c, "imputed_value_floats", &n_floats);
    const int64_t *ints = tlbc_rt_ints(c, "imputed_value_int64s", &n_ints);
    int64_t columns = x->rank ? x->dims[x->rank - 1] : 1, count = tlbc_rt_elements(x);
    uint32_t n = rt_is_float(x) ? n_floats : n_ints;
    if (n != 1 && n != columns)
        return tlbc_rt_call_fail(c, "%u values for %lld columns", n, (long long)columns);
    float lost = tlbc_rt_float(c, "replaced_value_float", 0);
    int64_t lost_int = tlbc_rt_int(c, "replaced_value_int64", 0);
    tlbc_tensor *y = tlbc_rt_result(c, 0, x->dtype, x->rank, x->dims);
    if (y) tlbc_rt_copy(x->dtype, y->data, 0, x->data, 0, count);
    for (int64_t i = 0; y && i < count; i++) {
        int64_t at = n == 1 ? 0 : i % columns;
        double v = tlbc_rt_get_f64(x, i);
        if (rt_is_float(x) && ((isnan(lost) && isnan(v)) || v == (double)lost))
            tlbc_rt_set_f64(y, i, (double)floats[at]);
        if (!rt_is_float(x) && tlbc_rt_get_i64(x, i) == lost_int) rt_put_integer(y, i, ints[at]);
    }
    return y != NULL;
}

/* The operands side by side, as floats: as many columns of each as `inputdimensions` says, what is missing is 0. */
bool tlbc_rt_op_FeatureVectorizer(tlbc_rt_call *c) {
    uint32_t n;
    const int64_t *wanted = tlbc_rt_ints(c, "inputdimensions", &n);
    int64_t rows = c->n_in ? tlbc_rt_rows(c->in[0]) : 0, width = 0, at = 0;
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (tlbc_rt_rows(c->in[i]) != rows)
            return tlbc_rt_call_fail(c, "operand %u has other rows", i);
        int64_t columns = i < n ? wanted[i] : tlbc_rt_columns(c->in[i]);
        if (columns < 0 || __builtin_add_overflow(width, columns, &width))
            return tlbc_rt_call_fail(c, "%lld columns of operand %u", (long long)columns, i);
    }
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_F32, 2, (int64_t[]){rows, width});
    for (uint32_t i = 0; y && i < c->n_in; i++) {
        const tlbc_tensor *x = c->in[i];
        int64_t have = tlbc_rt_columns(x), take = i < n ? wanted[i] : have;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < take && k < have; k++)
                ((float *)y->data)[r * width + at + k] = (float)tlbc_rt_get_f64(x, r * have + k);
        at += take;
    }
    return y != NULL;
}

/* ---- categories ---------------------------------------------------------------------------------------------------- */

static int64_t rt_find_string(tlbc_string s, const tlbc_string *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (tlbc_rt_string_equal(s, list[i])) return i;
    return -1;
}

static int64_t rt_find_int(int64_t v, const int64_t *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == v) return i;
    return -1;
}

bool tlbc_rt_op_CategoryMapper(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t n, n_ints;
    const tlbc_string *strings = tlbc_rt_strings(c, "cats_strings", &n);
    const int64_t *ints = tlbc_rt_ints(c, "cats_int64s", &n_ints);
    bool from_strings = x->dtype == TLBC_STRING;
    if (n != n_ints) return tlbc_rt_call_fail(c, "%u strings for %u numbers", n, n_ints);
    tlbc_tensor *y = tlbc_rt_result(c, 0, from_strings ? TLBC_I64 : TLBC_STRING, x->rank, x->dims);
    for (int64_t i = 0; y && i < tlbc_rt_elements(x); i++) {
        int64_t at = from_strings ? rt_find_string(tlbc_rt_text(x)[i], strings, n)
                                  : rt_find_int(tlbc_rt_get_i64(x, i), ints, n);
        if (from_strings)
            ((int64_t *)y->data)[i] = at < 0 ? tlbc_rt_int(c, "default_int64", -1) : ints[at];
        else
            tlbc_rt_text(y)[i] = at < 0 ? tlbc_rt_string(c, "default_string") : strings[at];
    }
    return y != NULL;
}

bool tlbc_rt_op_OneHotEncoder(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    tlbc_rt_labels cats = tlbc_rt_read_labels(c, "cats_int64s", "cats_strings");
    tlbc_tensor shape = *x;
    if (x->rank == TLBC_MAX_RANK) return tlbc_rt_call_fail(c, "too many dimensions");
    if ((x->dtype == TLBC_STRING) != (cats.strings != NULL))
        return tlbc_rt_call_fail(c, "the categories have another type than the operand");
    shape.dims[shape.rank++] = cats.n;
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_F32, shape.rank, shape.dims);
    for (int64_t i = 0; y && i < tlbc_rt_elements(x); i++) {
        int64_t at = cats.strings ? rt_find_string(tlbc_rt_text(x)[i], cats.strings, cats.n)
                                  : rt_find_int(tlbc_rt_get_i64(x, i), cats.ints, cats.n);
        if (at < 0 && !tlbc_rt_int(c, "zeros", 1))
            return tlbc_rt_call_fail(c, "element %lld is in no category", (long long)i);
        if (at >= 0) ((float *)y->data)[i * cats.n + at] = 1;
    }
    return y != NULL;
}

/* ---- LabelEncoder ------------------------------------------------------------------------------------------------------ */

/* A list that an attribute gives as a tensor, strings, integers or floats. */
static bool rt_read_list(tlbc_rt_call *c, const char *const names[4], tlbc_tensor *t) {
    uint32_t n;
    const tlbc_tensor *given = tlbc_rt_tensor(c, names[0]);
    if (given) *t = *given;
    const void *data = tlbc_rt_strings(c, names[1], &n);
    if (data) *t = (tlbc_tensor){(void *)(uintptr_t)data, 0, TLBC_STRING, 1, {n}};
    data = tlbc_rt_ints(c, names[2], &n);
    if (data) *t = (tlbc_tensor){(void *)(uintptr_t)data, 0, TLBC_I64, 1, {n}};
    data = tlbc_rt_floats(c, names[3], &n);
    if (data) *t = (tlbc_tensor){(void *)(uintptr_t)data, 0, TLBC_F32, 1, {n}};
    return t->dtype || tlbc_rt_call_fail(c, "'%s' or its like is missing", names[1]);
}

/* NaN is found among the keys; the last of equal keys counts. */
static int64_t rt_find_key(const tlbc_tensor *keys, const tlbc_tensor *x, int64_t i) {
    for (int64_t k = tlbc_rt_elements(keys); k-- > 0;) {
        if (x->dtype == TLBC_STRING) {
            if (tlbc_rt_string_equal(tlbc_rt_text(x)[i], tlbc_rt_text(keys)[k])) return k;
            continue;
        }
        double a = tlbc_rt_get_f64(x, i), b = tlbc_rt_get_f64(keys, k);
        bool whole = x->dtype != TLBC_F32 && x->dtype != TLBC_F64;
        if (whole ? tlbc_rt_get_i64(x, i) == tlbc_rt_get_i64(keys, k)
                  : a == b || (isnan(a) && isnan(b)))
            return k;
    }
    return -1;
}

static void rt_put_default(const tlbc_rt_call *c, tlbc_tensor *y, int64_t i) {
    const tlbc_tensor *given = tlbc_rt_tensor(c, "default_tensor");
    if (given && given->dtype == y->dtype && tlbc_rt_elements(given) == 1)
        tlbc_rt_copy(y->dtype, y->data, i, given->data, 0, 1);
    else if (y->dtype == TLBC_STRING)
        tlbc_rt_text(y)[i] = tlbc_rt_string(c, "default_string");
    else if (y->dtype == TLBC_F32 || y->dtype == TLBC_F64)
        tlbc_rt_set_f64(y, i, (double)tlbc_rt_float(c, "default_float", -0.0f));
    else
        rt_put_integer(y, i, tlbc_rt_int(c, "default_int64", -1));
}

bool tlbc_rt_op_LabelEncoder(tlbc_rt_call *c) {
    static const char *const key_names[] = {"keys_tensor", "keys_strings", "keys_int64s",
                                            "keys_floats"},
                             *const value_names[] = {"values_tensor", "values_strings",
                                                     "values_int64s", "values_floats"};
    const tlbc_tensor *x = c->in[0];
    tlbc_tensor keys = {0}, values = {0};
    if (!rt_read_list(c, key_names, &keys) || !rt_read_list(c, value_names, &values)) return false;
    if (tlbc_rt_elements(&keys) != tlbc_rt_elements(&values))
        return tlbc_rt_call_fail(c, "keys and values are not of one number");
    if ((keys.dtype == TLBC_STRING) != (x->dtype == TLBC_STRING))
        return tlbc_rt_call_fail(c, "the keys have another type than the operand");
    tlbc_tensor *y = tlbc_rt_result(c, 0, values.dtype, x->rank, x->dims);
    for (int64_t i = 0; y && i < tlbc_rt_elements(x); i++) {
        int64_t k = rt_find_key(&keys, x, i);
        if (k >= 0)
            tlbc_rt_copy(y->dtype, y->data, i, values.data, k, 1);
        else
            rt_put_default(c, y, i);
    }
    return y != NULL;
}
