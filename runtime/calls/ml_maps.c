/* Maps of ai.onnx.ml: CastMap, DictVectorizer, ZipMap. A map is two 1-D tensors, keys and values. */
#include "runtime/calls/ml_scores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool rt_open_map(tlbc_rt_call *c, const tlbc_tensor *m, const tlbc_tensor **keys,
                        const tlbc_tensor **values) {
    const tlbc_tensor *items = m->data;
    if (m->dtype != TLBC_MAP || m->dims[0] != 2)
        return tlbc_rt_call_fail(c, "the operand is not a map");
    *keys = &items[0];
    *values = &items[1];
    return tlbc_rt_elements(*keys) == tlbc_rt_elements(*values) ||
           tlbc_rt_call_fail(c, "the map has other numbers of keys and values");
}

static bool rt_key_less(const void *data, int64_t a, int64_t b) {
    return tlbc_rt_get_i64(data, a) < tlbc_rt_get_i64(data, b);
}

static bool rt_cast_value(tlbc_rt_call *c, const tlbc_tensor *from, int64_t i, tlbc_tensor *y,
                          int64_t at) {
    char text[64];
    if (from->dtype == TLBC_STRING && y->dtype == TLBC_STRING) {
        tlbc_rt_text(y)[at] = tlbc_rt_text(from)[i];
        return true;
    }
    if (y->dtype == TLBC_STRING) {
        int n = snprintf(text, sizeof text, "%.9g", tlbc_rt_get_f64(from, i));
        return tlbc_rt_new_string(c, &tlbc_rt_text(y)[at], text, (size_t)n);
    }
    double v = 0;
    if (from->dtype == TLBC_STRING) {
        tlbc_string s = tlbc_rt_text(from)[i];
        size_t n = s.len < sizeof text - 1 ? s.len : sizeof text - 1;
        if (n) memcpy(text, s.data, n);
        text[n] = '\0';
        v = strtod(text, NULL);
    } else {
        v = tlbc_rt_get_f64(from, i);
    }
    tlbc_rt_set_f64(y, at, v);
    return true;
}

/* DENSE: values in the order of their keys. SPARSE: at the place of their keys among `max_map`, zeros elsewhere. */
bool tlbc_rt_op_CastMap(tlbc_rt_call *c) {
    const tlbc_tensor *keys, *values;
    if (!rt_open_map(c, c->in[0], &keys, &values)) return false;
    int64_t n = tlbc_rt_elements(keys), width = n;
    bool sparse = tlbc_rt_string_is(c, "map_form", "SPARSE");
    unsigned to = tlbc_rt_string_is(c, "cast_to", "TO_STRING")  ? TLBC_STRING
                  : tlbc_rt_string_is(c, "cast_to", "TO_INT64") ? TLBC_I64
                                                                : TLBC_F32;
    int64_t *order = tlbc_rt_alloc(c, (size_t)n, 8), *scratch = tlbc_rt_alloc(c, (size_t)n, 8);
    if (!order || !scratch) return false;
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    tlbc_rt_sort(order, scratch, n, rt_key_less, keys);
    if (sparse) width = tlbc_rt_int(c, "max_map", 1);
    tlbc_tensor *y = tlbc_rt_result(c, 0, to, 2, (int64_t[]){1, width});
    for (int64_t i = 0; y && i < n; i++) {
        int64_t at = sparse ? tlbc_rt_get_i64(keys, order[i]) : i;
        if (at < 0 || at >= width)
            return tlbc_rt_call_fail(c, "key %lld of %lld", (long long)at, (long long)width);
        if (!rt_cast_value(c, values, order[i], y, at)) return false;
    }
    return y != NULL;
}

static bool rt_is_key(const tlbc_tensor *keys, int64_t i, const tlbc_rt_labels *words, uint32_t k) {
    if (words->strings) return tlbc_rt_string_equal(tlbc_rt_text(keys)[i], words->strings[k]);
    return tlbc_rt_get_i64(keys, i) == words->ints[k];
}

/* The values in the order of the vocabulary; what the map does not have is zero or empty. */
bool tlbc_rt_op_DictVectorizer(tlbc_rt_call *c) {
    const tlbc_tensor *keys, *values;
    tlbc_rt_labels words = tlbc_rt_read_labels(c, "int64_vocabulary", "string_vocabulary");
    if (!rt_open_map(c, c->in[0], &keys, &values)) return false;
    if ((keys->dtype == TLBC_STRING) != (words.strings != NULL))
        return tlbc_rt_call_fail(c, "the vocabulary has another type than the keys");
    tlbc_tensor *y = tlbc_rt_result(c, 0, values->dtype, 2, (int64_t[]){1, words.n});
    for (uint32_t k = 0; y && k < words.n; k++)
        for (int64_t i = 0; i < tlbc_rt_elements(keys); i++)
            if (rt_is_key(keys, i, &words, k))
                tlbc_rt_copy(y->dtype, y->data, k, values->data, i, 1);
    return y != NULL;
}

/* A map for each row, from the labels to the row's elements. */
bool tlbc_rt_op_ZipMap(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    tlbc_rt_labels labels = tlbc_rt_read_labels(c, "classlabels_int64s", "classlabels_strings");
    int64_t rows = tlbc_rt_rows(x), columns = tlbc_rt_columns(x);
    if (columns != labels.n)
        return tlbc_rt_call_fail(c, "%lld columns, %u labels", (long long)columns, labels.n);
    tlbc_tensor *maps = tlbc_rt_new_list(c, &c->out[0], TLBC_SEQUENCE, rows);
    for (int64_t r = 0; maps && r < rows; r++) {
        tlbc_tensor *both = tlbc_rt_new_list(c, &maps[r], TLBC_MAP, 2);
        unsigned key = labels.strings ? TLBC_STRING : TLBC_I64;
        if (!both || !tlbc_rt_new_tensor(c, &both[0], key, 1, &columns) ||
            !tlbc_rt_new_tensor(c, &both[1], TLBC_F32, 1, &columns))
            return false;
        const void *names = labels.strings ? (const void *)labels.strings : labels.ints;
        tlbc_rt_copy(key, both[0].data, 0, names, 0, columns);
        tlbc_rt_copy(TLBC_F32, both[1].data, 0, x->data, r * columns, columns);
    }
    return maps != NULL;
}
