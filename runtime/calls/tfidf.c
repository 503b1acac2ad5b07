/* TfIdfVectorizer: how often each n-gram of a pool occurs in a row, weighted.
 *
 *   pool_int64s [2,3, 5,4, 5,6]  ngram_counts [0,0]: no 1-grams, three 2-grams   ->   one column for each, ngram_indexes says which
 *
 * With skips the members of an n-gram stand `skip` apart. Every place of a row is compared with every n-gram of the pool:
 * O(row * pool * skips), simple on purpose. */
#include "runtime/calls/call.h"

typedef struct rt_grams {
    const int64_t *pool_ints, *counts, *columns;
    const tlbc_string *pool_strings;
    const float *weights;
    uint32_t pool, n_counts, n_columns, n_weights;
    int64_t min, max, skips;
    bool use_counts, use_weights;
} rt_grams;

static bool rt_same(const rt_grams *g, const tlbc_tensor *x, int64_t at, uint32_t member) {
    if (x->dtype == TLBC_STRING)
        return tlbc_rt_string_equal(tlbc_rt_text(x)[at], g->pool_strings[member]);
    return tlbc_rt_get_i64(x, at) == g->pool_ints[member];
}

static bool rt_matches(const rt_grams *g, const tlbc_tensor *x, int64_t at, int64_t step,
                       uint32_t member, int64_t n) {
    for (int64_t k = 0; k < n; k++)
        if (!rt_same(g, x, at + k * step, member + (uint32_t)k)) return false;
    return true;
}

/* Counts the grams of n members, `first` in the pool to `last`, `column` on. */
static void rt_count(const rt_grams *g, const tlbc_tensor *x, int64_t row, int64_t length,
                     int64_t n, uint32_t first, uint32_t last, uint32_t column, float *counts) {
    int64_t skips = n == 1 ? 0 : g->skips; /* one word has no gaps */
    for (int64_t step = 1; step - 1 <= skips && (step == 1 || step < length); step++)
        for (int64_t at = 0; at + (n - 1) * step < length; at++) {
            uint32_t k = column;
            for (uint32_t m = first; m < last; m += (uint32_t)n, k++)
                if (rt_matches(g, x, row + at, step, m, n)) counts[g->columns[k]] += 1;
        }
}

static void rt_count_row(const rt_grams *g, const tlbc_tensor *x, int64_t row, int64_t length,
                         float *counts) {
    uint32_t column = 0;
    for (uint32_t i = 0; i < g->n_counts; i++) {
        int64_t n = i + 1;
        uint32_t first = (uint32_t)g->counts[i],
                 last = i + 1 < g->n_counts ? (uint32_t)g->counts[i + 1] : g->pool;
        if (n >= g->min && n <= g->max) rt_count(g, x, row, length, n, first, last, column, counts);
        column += (last - first) / (uint32_t)n;
    }
}

/* Weights go by columns of the result, as in ONNX's reference implementation. */
static void rt_weigh(const rt_grams *g, float *counts, int64_t width) {
    for (int64_t k = 0; k < width; k++) {
        if (!g->use_counts) counts[k] = counts[k] > 0;
        if (g->use_weights && k < g->n_weights) counts[k] *= g->weights[k];
    }
}

static bool rt_read_grams(tlbc_rt_call *c, rt_grams *g) {
    uint32_t n_strings;
    g->pool_ints = tlbc_rt_ints(c, "pool_int64s", &g->pool);
    g->pool_strings = tlbc_rt_strings(c, "pool_strings", &n_strings);
    if (c->in[0]->dtype == TLBC_STRING) g->pool = n_strings;
    g->counts = tlbc_rt_ints(c, "ngram_counts", &g->n_counts);
    g->columns = tlbc_rt_ints(c, "ngram_indexes", &g->n_columns);
    g->weights = tlbc_rt_floats(c, "weights", &g->n_weights);
    g->min = tlbc_rt_int(c, "min_gram_length", 1);
    g->max = tlbc_rt_int(c, "max_gram_length", 1);
    g->skips = tlbc_rt_int(c, "max_skip_count", 0);
    g->use_counts = !tlbc_rt_string_is(c, "mode", "IDF");
    g->use_weights = !tlbc_rt_string_is(c, "mode", "TF") && g->n_weights;
    int64_t grams = 0, before = 0;
    for (uint32_t i = 0; i < g->n_counts; i++) {
        int64_t last = i + 1 < g->n_counts ? g->counts[i + 1] : g->pool;
        bool ordered = g->counts[i] >= before && last >= g->counts[i] && last <= g->pool;
        if (!ordered || (last - g->counts[i]) % (i + 1))
            return tlbc_rt_call_fail(c, "'ngram_counts' does not fit the pool");
        before = g->counts[i];
        grams += (last - g->counts[i]) / (i + 1);
    }
    if (g->skips < 0 || grams > g->n_columns)
        return tlbc_rt_call_fail(c, "%lld n-grams, but %u in 'ngram_indexes'", (long long)grams,
                                 g->n_columns);
    return true;
}

bool tlbc_rt_op_TfIdfVectorizer(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    rt_grams g = {0};
    int64_t width = 0;
    if (!rt_read_grams(c, &g)) return false;
    if (x->rank > 2) return tlbc_rt_call_fail(c, "the operand has %u dimensions", x->rank);
    for (uint32_t i = 0; i < g.n_columns; i++) {
        if (g.columns[i] < 0 || g.columns[i] > INT32_MAX)
            return tlbc_rt_call_fail(c, "'ngram_indexes' holds %lld", (long long)g.columns[i]);
        if (g.columns[i] >= width) width = g.columns[i] + 1;
    }
    int64_t rows = x->rank == 2 ? x->dims[0] : 1, length = x->rank ? x->dims[x->rank - 1] : 1;
    int64_t dims[2] = {rows, width};
    tlbc_tensor *y = x->rank == 2 ? tlbc_rt_result(c, 0, TLBC_F32, 2, dims)
                                  : tlbc_rt_result(c, 0, TLBC_F32, 1, &width);
    for (int64_t i = 0; y && i < rows; i++) {
        float *counts = (float *)y->data + i * width;
        rt_count_row(&g, x, i * length, length, counts);
        rt_weigh(&g, counts, width);
    }
    return y != NULL;
}
