/* Neighbourhoods of LocalAttention: what ir/band.h computes in closed form, against its definition key by key. */
#include "ir/band.h"
#include "tests/support/check.h"

enum { POSITIONS = 23, LIMITS = 4 };

static bool in_chunks(const ir_band *b, int64_t p, int64_t j) {
    if (!b->chunk) return true;
    int64_t own = p / b->chunk, other = j / b->chunk;
    return other <= own && (b->chunks_before < 0 || own - other <= b->chunks_before);
}

static bool in_band(const ir_band *b, int64_t p, int64_t j) {
    if (b->before >= 0 && p - j > b->before) return false;
    return (b->after < 0 || j - p <= b->after) && in_chunks(b, p, j);
}

/* The rule of band.h, word by word. */
static bool is_seen(const ir_band *b, int64_t p, int64_t j) {
    if (b->causal && j > p) return false;
    return j < b->prefix || in_band(b, p, j);
}

static int failures;

static void complain(const ir_band *b, const char *what, int64_t p, int64_t j) {
    if (failures++ < 5)
        fprintf(stderr,
                "%s: before %lld after %lld chunk %lld, %lld before, prefix %lld, causal %d: %lld, "
                "%lld\n",
                what, (long long)b->before, (long long)b->after, (long long)b->chunk,
                (long long)b->chunks_before, (long long)b->prefix, b->causal, (long long)p,
                (long long)j);
}

static void check_keys(const ir_band *b) {
    for (int64_t p = 0; p < POSITIONS; p++) {
        int64_t lo, hi;
        ir_band_range(b, p, POSITIONS, &lo, &hi);
        for (int64_t j = 0; j < POSITIONS; j++) {
            bool ranged = (j >= lo && j < hi) || (j < b->prefix && (j <= p || !b->causal));
            if (ir_band_sees(b, p, j) != is_seen(b, p, j)) complain(b, "sees", p, j);
            if (ranged != is_seen(b, p, j)) complain(b, "range", p, j);
        }
    }
}

/* A kernel has room for `span` keys: those from the first that one of its queries sees to the last, and the prefix. */
static void check_span(const ir_band *b, int64_t queries) {
    int64_t span = ir_band_span(b, queries, POSITIONS);
    for (int64_t p = 0; p + queries <= POSITIONS; p++) {
        int64_t lo, hi, ignored;
        ir_band_range(b, p, POSITIONS, &lo, &ignored);
        ir_band_range(b, p + queries - 1, POSITIONS, &ignored, &hi);
        int64_t first = lo < b->prefix ? b->prefix : lo;
        int64_t keys = b->prefix + (hi > first ? hi - first : 0);
        if (keys > POSITIONS) keys = POSITIONS;
        if (keys > span) complain(b, "span", p, queries);
    }
}

static void check_band(const ir_band *b) {
    check_keys(b);
    for (int64_t queries = 1; queries <= 9; queries += 4)
        check_span(b, queries);
}

int main(void) {
    static const int64_t limits[LIMITS] = {IR_BAND_ALL, 0, 2, 30};
    static const int64_t chunks[LIMITS] = {0, 1, 5, 40};
    for (int i = 0; i < LIMITS * LIMITS * LIMITS * LIMITS * LIMITS * 2; i++) {
        const ir_band b = {.before = limits[i % LIMITS],
                           .after = limits[i / 4 % LIMITS],
                           .chunk = chunks[i / 16 % LIMITS],
                           .chunks_before = limits[i / 64 % LIMITS],
                           .prefix = chunks[i / 256 % LIMITS],
                           .causal = i / 1024};
        check_band(&b);
    }
    CHECK_EQ(failures, 0);
    const ir_band wrong = {.before = -2}, far = {.chunk = (int64_t)INT32_MAX + 1};
    CHECK(ir_band_problem(&wrong) && ir_band_problem(&far));
    const ir_band none = {.before = IR_BAND_ALL, .after = IR_BAND_ALL};
    ir_attr attrs[IR_BAND_ATTRS];
    CHECK(!ir_band_problem(&none));
    CHECK_EQ(ir_band_attrs(&none, attrs), 0);
    return check_done();
}
