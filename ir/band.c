/* See band.h. */
#include "ir/band.h"

ir_band ir_band_of(const ir_node *n) {
    return (ir_band){
        .before = ir_attr_int(n, "before", IR_BAND_ALL),
        .after = ir_attr_int(n, "after", IR_BAND_ALL),
        .chunk = ir_attr_int(n, "chunk", 0),
        .chunks_before = ir_attr_int(n, "chunks_before", 0),
        .prefix = ir_attr_int(n, "prefix", 0),
        .causal = ir_attr_int(n, "is_causal", 0) != 0,
    };
}

uint32_t ir_band_attrs(const ir_band *b, ir_attr out[IR_BAND_ATTRS]) {
    const ir_attr all[IR_BAND_ATTRS] = {
        {.name = "before", .kind = ATTR_INT, .v.i = b->before},
        {.name = "after", .kind = ATTR_INT, .v.i = b->after},
        {.name = "chunk", .kind = ATTR_INT, .v.i = b->chunk},
        {.name = "chunks_before", .kind = ATTR_INT, .v.i = b->chunks_before},
        {.name = "prefix", .kind = ATTR_INT, .v.i = b->prefix},
        {.name = "is_causal", .kind = ATTR_INT, .v.i = b->causal},
    };
    const int64_t usual[IR_BAND_ATTRS] = {IR_BAND_ALL, IR_BAND_ALL};
    uint32_t n = 0;
    for (uint32_t i = 0; i < IR_BAND_ATTRS; i++)
        if (all[i].v.i != usual[i]) out[n++] = all[i];
    return n;
}

const char *ir_band_problem(const ir_band *b) {
    const int64_t values[] = {b->before, b->after, b->chunks_before, b->chunk, b->prefix};
    for (int i = 0; i < 5; i++)
        if (values[i] < (i < 3 ? IR_BAND_ALL : 0) || values[i] > INT32_MAX)
            return "attributes 'before', 'after', 'chunks_before', 'chunk' and 'prefix' are counts";
    return NULL;
}

static int64_t floor_div(int64_t x, int64_t y) {
    return x / y - (x % y < 0);
}

void ir_band_range(const ir_band *b, int64_t p, int64_t n, int64_t *lo, int64_t *hi) {
    *lo = 0;
    *hi = n;
    if (b->before >= 0 && p - b->before > *lo) *lo = p - b->before;
    if (b->after >= 0 && p + b->after < *hi - 1) *hi = p + b->after + 1;
    if (b->causal && p < *hi - 1) *hi = p + 1;
    if (!b->chunk) return;
    int64_t own = floor_div(p, b->chunk), first = (own - b->chunks_before) * b->chunk;
    if (b->chunks_before >= 0 && first > *lo) *lo = first;
    if ((own + 1) * b->chunk < *hi) *hi = (own + 1) * b->chunk;
}

bool ir_band_sees(const ir_band *b, int64_t p, int64_t j) {
    int64_t lo, hi;
    if (b->causal && j > p) return false;
    ir_band_range(b, p, INT64_MAX, &lo, &hi);
    return j < b->prefix || (j >= lo && j < hi);
}

static int64_t min(int64_t x, int64_t y) {
    return x < y ? x : y;
}

int64_t ir_band_span(const ir_band *b, int64_t queries, int64_t n) {
    int64_t span = n;
    int64_t after = b->causal ? 0 : b->after;
    if (b->before >= 0 && after >= 0 && b->before < n && after < n)
        span = min(span, b->before + after + queries);
    if (b->chunk && b->chunks_before >= 0 && b->chunk < n && b->chunks_before < n) {
        int64_t chunks = b->chunks_before + 1 + (queries + b->chunk - 2) / b->chunk;
        if (chunks < n) span = min(span, chunks * b->chunk);
    }
    return b->prefix < n - span ? span + b->prefix : n;
}
