/* Strings: StringConcat, Equal, StringSplit, StringNormalizer. Text is UTF-8; other bytes are passed on as they are. */
#include "runtime/calls/call.h"
#include "runtime/calls/utf8.h"

#include <string.h>

/* ---- StringConcat --------------------------------------------------------------------------------------------------- */

static int64_t rt_dim_from_right(const tlbc_tensor *t, uint32_t i) {
    return i < t->rank ? t->dims[t->rank - 1 - i] : 1;
}

/* The operands' shapes broadcast. */
static bool rt_broadcast(tlbc_rt_call *c, const tlbc_tensor *a, const tlbc_tensor *b,
                         int64_t *dims) {
    uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t p = rt_dim_from_right(a, i), q = rt_dim_from_right(b, i);
        if (p != q && p != 1 && q != 1)
            return tlbc_rt_call_fail(c, "dimensions %lld and %lld do not broadcast", (long long)p,
                                     (long long)q);
        dims[rank - 1 - i] = p == 1 ? q : p;
    }
    return true;
}

/* Where element `i` of the broadcast shape comes from. */
static int64_t rt_source(const tlbc_tensor *t, const tlbc_tensor *whole, int64_t i) {
    int64_t at = 0, step = 1;
    for (uint32_t k = 0; k < t->rank; k++) {
        int64_t d = t->dims[t->rank - 1 - k], extent = whole->dims[whole->rank - 1 - k];
        at += d == 1 ? 0 : i % extent * step;
        i /= extent;
        step *= d;
    }
    return at;
}

bool tlbc_rt_op_StringConcat(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *y = c->in[1];
    int64_t dims[TLBC_MAX_RANK];
    if (!rt_broadcast(c, x, y, dims)) return false;
    tlbc_tensor *z = tlbc_rt_result(c, 0, TLBC_STRING, x->rank > y->rank ? x->rank : y->rank, dims);
    for (int64_t i = 0; z && i < tlbc_rt_elements(z); i++) {
        tlbc_string a = tlbc_rt_text(x)[rt_source(x, z, i)],
                    b = tlbc_rt_text(y)[rt_source(y, z, i)];
        char *joined = tlbc_rt_alloc(c, a.len + b.len, 1);
        if (!joined) return false;
        if (a.len) memcpy(joined, a.data, a.len);
        if (b.len) memcpy(joined + a.len, b.data, b.len);
        tlbc_rt_text(z)[i] = (tlbc_string){joined, a.len + b.len};
    }
    return z != NULL;
}

bool tlbc_rt_op_Equal(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *y = c->in[1];
    int64_t dims[TLBC_MAX_RANK];
    if (!rt_broadcast(c, x, y, dims)) return false;
    tlbc_tensor *z = tlbc_rt_result(c, 0, TLBC_BOOL, x->rank > y->rank ? x->rank : y->rank, dims);
    for (int64_t i = 0; z && i < tlbc_rt_elements(z); i++)
        ((uint8_t *)z->data)[i] = tlbc_rt_string_equal(tlbc_rt_text(x)[rt_source(x, z, i)],
                                                       tlbc_rt_text(y)[rt_source(y, z, i)]);
    return z != NULL;
}

/* ---- StringSplit ------------------------------------------------------------------------------------------------------ */

static size_t rt_skip_space(tlbc_string s, size_t at) {
    while (at < s.len) {
        size_t next = at;
        if (!tlbc_rt_is_space(tlbc_rt_utf8_next(s, &next))) break;
        at = next;
    }
    return at;
}

/* The end of the word that begins at `at`. */
static size_t rt_word_end(tlbc_string s, size_t at) {
    while (at < s.len) {
        size_t next = at;
        if (tlbc_rt_is_space(tlbc_rt_utf8_next(s, &next))) break;
        at = next;
    }
    return at;
}

/* Words between white space; after `most` of them the rest is one. Parts go to out[] where it is not NULL. */
static int64_t rt_split_words(tlbc_string s, int64_t most, tlbc_string *out) {
    int64_t n = 0;
    for (size_t at = rt_skip_space(s, 0); at < s.len; n++) {
        size_t end = n < most ? rt_word_end(s, at) : s.len;
        if (out) out[n] = (tlbc_string){s.data + at, end - at};
        at = rt_skip_space(s, end);
    }
    return n;
}

static size_t rt_find(tlbc_string s, size_t from, tlbc_string what) {
    for (; from + what.len <= s.len; from++)
        if (memcmp(s.data + from, what.data, what.len) == 0) return from;
    return s.len;
}

static int64_t rt_split_at(tlbc_string s, tlbc_string delimiter, int64_t most, tlbc_string *out) {
    int64_t n = 0;
    size_t at = 0;
    for (;; n++) {
        size_t end = n < most ? rt_find(s, at, delimiter) : s.len;
        if (out) out[n] = (tlbc_string){s.data ? s.data + at : NULL, end - at};
        if (end + delimiter.len > s.len || n >= most) return n + 1;
        at = end + delimiter.len;
    }
}

static int64_t rt_split(tlbc_string s, tlbc_string delimiter, int64_t most, tlbc_string *out) {
    return delimiter.len ? rt_split_at(s, delimiter, most, out) : rt_split_words(s, most, out);
}

/* Rows of unequal length are filled up with empty strings. Parts share the operand's bytes. */
bool tlbc_rt_op_StringSplit(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    tlbc_string delimiter = tlbc_rt_string(c, "delimiter");
    int64_t most = tlbc_rt_int(c, "maxsplit", INT64_MAX), count = tlbc_rt_elements(x), widest = 0;
    tlbc_tensor *z = tlbc_rt_result(c, 1, TLBC_I64, x->rank, x->dims), shape = *x;
    if (!z) return false;
    if (most < 0) most = INT64_MAX;
    for (int64_t i = 0; i < count; i++) {
        int64_t n = rt_split(tlbc_rt_text(x)[i], delimiter, most, NULL);
        ((int64_t *)z->data)[i] = n;
        if (n > widest) widest = n;
    }
    if (x->rank == TLBC_MAX_RANK) return tlbc_rt_call_fail(c, "too many dimensions");
    shape.dims[shape.rank++] = widest;
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_STRING, shape.rank, shape.dims);
    for (int64_t i = 0; y && i < count; i++)
        rt_split(tlbc_rt_text(x)[i], delimiter, most, tlbc_rt_text(y) + i * widest);
    return y != NULL;
}

/* ---- StringNormalizer ---------------------------------------------------------------------------------------------------- */

typedef uint32_t rt_case(uint32_t c);

static bool rt_change_case(tlbc_rt_call *c, tlbc_string s, rt_case *change, tlbc_string *out) {
    char *text = tlbc_rt_alloc(c, s.len, 4); /* no character becomes longer than 4 bytes */
    size_t n = 0;
    if (!text) return false;
    for (size_t at = 0; at < s.len;)
        n += tlbc_rt_utf8_put(text + n, change(tlbc_rt_utf8_next(s, &at)));
    *out = (tlbc_string){text, n};
    return true;
}

static bool rt_is_listed(tlbc_string s, const tlbc_string *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (tlbc_rt_string_equal(s, list[i])) return true;
    return false;
}

/* The stop words as they are compared. */
static const tlbc_string *rt_stop_words(tlbc_rt_call *c, bool as_they_are, uint32_t *n) {
    const tlbc_string *words = tlbc_rt_strings(c, "stopwords", n);
    if (as_they_are || !words) return words;
    tlbc_string *lower = tlbc_rt_alloc(c, *n, sizeof *lower);
    for (uint32_t i = 0; lower && i < *n; i++)
        if (!rt_change_case(c, words[i], tlbc_rt_lower, &lower[i])) return NULL;
    return lower;
}

/* Operand [n] or [1, n]: without its stop words, in another case. Of nothing one empty string is left. */
bool tlbc_rt_op_StringNormalizer(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    bool exact = tlbc_rt_int(c, "is_case_sensitive", 0) != 0;
    rt_case *change = tlbc_rt_string_is(c, "case_change_action", "LOWER")   ? tlbc_rt_lower
                      : tlbc_rt_string_is(c, "case_change_action", "UPPER") ? tlbc_rt_upper
                                                                            : NULL;
    if (!(x->rank == 1 || (x->rank == 2 && x->dims[0] == 1)))
        return tlbc_rt_call_fail(c, "the operand is neither [n] nor [1, n]");
    int64_t count = tlbc_rt_elements(x), kept = 0;
    uint32_t n_stop;
    const tlbc_string *stop = rt_stop_words(c, exact, &n_stop);
    tlbc_string *out = tlbc_rt_alloc(c, (size_t)count + 1, sizeof *out);
    if (!out) return false;
    for (int64_t i = 0; i < count; i++) {
        tlbc_string s = tlbc_rt_text(x)[i], compared = s;
        if (!exact && n_stop && !rt_change_case(c, s, tlbc_rt_lower, &compared)) return false;
        if (rt_is_listed(compared, stop, stop ? n_stop : 0)) continue;
        if (change && !rt_change_case(c, s, change, &s)) return false;
        out[kept++] = s;
    }
    if (c->status) return false;
    int64_t dims[2] = {1, kept ? kept : 1};
    if (x->rank == 1) dims[0] = dims[1];
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_STRING, x->rank, dims);
    if (y) tlbc_rt_copy(TLBC_STRING, y->data, 0, out, 0, kept ? kept : 1);
    return y != NULL;
}
