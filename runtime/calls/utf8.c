/* UTF-8 and case mappings; see utf8.h. */
#include "runtime/calls/utf8.h"

/* Length of the sequence that a first byte announces; 0 where it announces none. */
static size_t rt_length(uint8_t b) {
    return b < 0x80 ? 1 : b < 0xc2 ? 0 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : b < 0xf5 ? 4 : 0;
}

uint32_t tlbc_rt_utf8_next(tlbc_string s, size_t *at) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *p = (const uint8_t *)s.data + *at;
    size_t n = rt_length(*p);
    uint32_t c = n > 1 ? *p & (0x7fu >> n) : *p;
    bool valid = n && n <= s.len - *at;
    for (size_t i = 1; valid && i < n; i++) {
        valid = (p[i] & 0xc0) == 0x80;
        c = c << 6 | (p[i] & 0x3f);
    }
    valid = valid && c >= smallest[n] && c < 0x110000 && (c < 0xd800 || c > 0xdfff);
    *at += valid ? n : 1;
    return valid ? c : 0xdc00u + *p;
}

size_t tlbc_rt_utf8_put(char *to, uint32_t c) {
    uint8_t *p = (uint8_t *)to;
    if (c >= 0xdc80 && c <= 0xdcff) return *p = (uint8_t)(c - 0xdc00), 1;
    if (c < 0x80) return *p = (uint8_t)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        p[i] = (uint8_t)(0x80 | (c & 0x3f));
    *p = (uint8_t)((0xf00 >> n & 0xff) | c);
    return n;
}

bool tlbc_rt_is_space(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* first, first + step, ... up to last become themselves plus delta. */
typedef struct rt_case_range {
    uint32_t first, last;
    int32_t delta;
    uint32_t step;
} rt_case_range;

static const rt_case_range rt_to_lower[] = {
#include "runtime/calls/to_lower.inc"
};
static const rt_case_range rt_to_upper[] = {
#include "runtime/calls/to_upper.inc"
};

static uint32_t rt_map(const rt_case_range *r, size_t n, uint32_t c) {
    size_t low = 0, high = n; /* the ranges do not overlap, except where steps of 2 interleave */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (r[middle].first <= c)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i-- > 0 && i + 3 > low;)
        if (c <= r[i].last && (c - r[i].first) % r[i].step == 0)
            return (uint32_t)((int32_t)c + r[i].delta);
    return c;
}

uint32_t tlbc_rt_lower(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return rt_map(rt_to_lower, sizeof rt_to_lower / sizeof *rt_to_lower, c);
}

uint32_t tlbc_rt_upper(uint32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
    return rt_map(rt_to_upper, sizeof rt_to_upper / sizeof *rt_to_upper, c);
}
