/* Which neighbourhood (ir/band.h) a matrix of visible keys is: guesses from a few rows, each of which is then compared with all. */
#include "passes/mask.h"

typedef struct fitting {
    const mask_grid *g;
    const uint8_t *seen;
    bool causal;
    int64_t prefix;        /* the guess that is being tried */
    int64_t before, after; /* what the keys behind the prefix span; below 0: there are none */
    ir_band band;
} fitting;

static bool at(const fitting *f, int64_t i, int64_t j) {
    return f->seen[i * f->g->keys + j] != 0;
}

static bool row_agrees(const fitting *f, const ir_band *b, int64_t i) {
    int64_t lo, hi, n = f->g->keys;
    ir_band_range(b, i, n, &lo, &hi);
    for (int64_t j = 0; j < n; j++) {
        bool prefix = j < b->prefix && (j <= i || !b->causal);
        if (at(f, i, j) != (prefix || (j >= lo && j < hi))) return false;
    }
    return true;
}

/* What repeats in the band repeats in the mask, so that agreeing as far as was read is agreeing everywhere. */
static bool is_decided(const fitting *f, const ir_band *b) {
    const mask_grid *g = f->g;
    if (g->all) return true;
    if (b->chunk && g->period % b->chunk) return false;
    return b->prefix <= g->from && b->before <= g->reach && b->after <= g->reach &&
           b->chunk * (b->chunks_before + 2) <= g->reach + 2 * g->period;
}

static bool agrees(fitting *f, ir_band b) {
    b.causal = b.causal || b.after == 0;
    if (b.causal) b.after = IR_BAND_ALL;
    if (b.causal && !f->causal) { /* a prefix that all see, behind them too */
        b.causal = false;
        b.after = 0;
    }
    if (!is_decided(f, &b)) return false;
    for (int64_t i = 0; i < f->g->queries; i++)
        if (!row_agrees(f, &b, i)) return false;
    f->band = b;
    return true;
}

/* How far keys behind the prefix are from their query. */
static void measure(fitting *f) {
    int64_t queries = f->g->queries, keys = f->g->keys;
    f->before = f->after = -1;
    for (int64_t i = 0; i < queries; i++)
        for (int64_t j = f->prefix; j < keys; j++) {
            if (!at(f, i, j)) continue;
            if (i - j > f->before) f->before = i - j;
            if (j - i > f->after) f->after = j - i;
        }
    if (f->before >= queries - 1 - f->prefix) f->before = IR_BAND_ALL;
    if (f->after >= keys - 1) f->after = IR_BAND_ALL;
}

/* The first row that does not see the first key behind the prefix, or -1; *first: the first one that it sees. */
static int64_t find_step(const fitting *f, int64_t *first) {
    for (int64_t i = 0; i < f->g->queries; i++) {
        if (f->prefix < f->g->keys && at(f, i, f->prefix)) continue;
        for (*first = f->prefix; *first < f->g->keys; ++*first)
            if (at(f, i, *first)) return i;
    }
    return -1;
}

static int64_t seen_by_first(const fitting *f) {
    int64_t n = 0;
    while (n < f->g->keys && at(f, 0, n))
        n++;
    return n;
}

/* The band of a guess at chunks: none, with as much of the limits as is needed. */
static bool try_chunk(fitting *f, int64_t chunk, int64_t chunks_before) {
    ir_band b = {.before = IR_BAND_ALL,
                 .after = IR_BAND_ALL,
                 .chunk = chunk,
                 .chunks_before = chunks_before,
                 .prefix = f->prefix,
                 .causal = f->causal};
    if (agrees(f, b)) return true;
    b.before = f->before;
    if (agrees(f, b)) return true;
    b.after = f->after;
    return agrees(f, b);
}

static bool try_prefix(fitting *f, int64_t prefix) {
    int64_t first = 0;
    f->prefix = prefix;
    measure(f);
    if (try_chunk(f, 0, 0)) return true;
    int64_t row = find_step(f, &first);
    if (row > 0 && first > 0 && row % first == 0 && try_chunk(f, first, row / first - 1))
        return true;
    int64_t chunk = seen_by_first(f);
    return chunk > 1 && chunk < f->g->keys &&
           (try_chunk(f, chunk, IR_BAND_ALL) || try_chunk(f, chunk, 0));
}

/* Keys at the beginning that are seen apart from the others, by the row that sees most of them. */
static int64_t find_prefix(const fitting *f) {
    int64_t most = 0, keys = f->g->keys;
    for (int64_t i = 0; i < f->g->queries; i++) {
        int64_t n = 0, next;
        while (n < keys && at(f, i, n))
            n++;
        for (next = n; next < keys && !at(f, i, next); next++)
            ;
        if (next < keys && n > most) most = n;
    }
    return most;
}

/* Every row sees a key; whether none sees one behind its own number. */
static bool scan(fitting *f, const char **why) {
    f->causal = true;
    for (int64_t i = 0; i < f->g->queries; i++) {
        bool any = false;
        for (int64_t j = 0; j < f->g->keys; j++) {
            any |= at(f, i, j);
            f->causal &= j <= i || !at(f, i, j);
        }
        if (any) continue;
        *why = "a query sees no key";
        return false;
    }
    return true;
}

bool mask_fit(const mask_grid *g, const uint8_t *seen, ir_band *band, const char **why) {
    fitting f = {.g = g, .seen = seen};
    *why = "what it shows is no neighbourhood";
    if (!g->queries || !g->keys || !scan(&f, why)) return false;
    bool found = try_prefix(&f, 0) || (find_prefix(&f) && try_prefix(&f, find_prefix(&f))) ||
                 try_prefix(&f, seen_by_first(&f));
    *band = f.band;
    return found;
}
