/* BifurcationDetector (com.microsoft), for decoding that guesses its next tokens from a source text: how much of a guess was right, and
 * where in the source to go on.
 *
 *   source [1 2 3 4 5], current [9 1], previous match 1, predicted [2 3 7 0 0]
 *   tokens [9 1 2 3 7]      the prediction, up to and with its first token that is not the source's
 *   match  -1               behind the only place of the source that ends as tokens do; -1: none, or several
 *
 * Ends of min_ngram_size, then more tokens are looked for, up to max_ngram_size: a longer end decides between several places of a shorter
 * one; one that is nowhere leaves what the shorter one said. */
#include "runtime/calls/call.h"

#include <string.h>

typedef struct rt_tokens {
    const int64_t *at;
    int64_t n;
} rt_tokens;

static rt_tokens rt_tokens_of(const tlbc_tensor *t) {
    return (rt_tokens){t->data, t->dims[0]};
}

/* The first place of `part` in `all` from `from` on; -1: none. */
static int64_t rt_find(rt_tokens all, rt_tokens part, int64_t from) {
    for (int64_t i = from; i + part.n <= all.n; i++)
        if (!memcmp(all.at + i, part.at, (size_t)part.n * sizeof *part.at)) return i;
    return -1;
}

static int64_t rt_match(rt_tokens source, rt_tokens tokens, int64_t least, int64_t most) {
    int64_t match = -1;
    for (int64_t n = least; n <= most && n <= tokens.n; n++) {
        rt_tokens end = {tokens.at + tokens.n - n, n};
        int64_t at = rt_find(source, end, 0);
        if (at < 0) break;
        match = at + n;
        if (match >= source.n) break;
        if (rt_find(source, end, at + 1) >= 0) match = -1;
    }
    return match;
}

/* How many predicted tokens are taken; -1 after reporting. */
static int64_t rt_taken(tlbc_rt_call *c, rt_tokens source, rt_tokens predicted, int64_t previous) {
    if (previous < 0 || previous > source.n) {
        tlbc_rt_call_fail(c, "previous match %lld of a source of %lld tokens", (long long)previous,
                          (long long)source.n);
        return -1;
    }
    int64_t rest = source.n - previous, same = 0;
    if (predicted.n != rest + 1) {
        tlbc_rt_call_fail(c, "%lld predicted tokens, expected %lld", (long long)predicted.n,
                          (long long)rest + 1);
        return -1;
    }
    while (same < rest && predicted.at[same] == source.at[previous + same])
        same++;
    return same + 1;
}

bool tlbc_rt_op_BifurcationDetector(tlbc_rt_call *c) {
    const tlbc_tensor *predicted = tlbc_rt_in(c, 3), *previous = c->in[2];
    rt_tokens source = rt_tokens_of(c->in[0]), current = rt_tokens_of(c->in[1]);
    int64_t taken = 0;
    if (tlbc_rt_elements(previous) != 1)
        return tlbc_rt_call_fail(c, "%lld previous matches, expected 1",
                                 (long long)tlbc_rt_elements(previous));
    if (predicted)
        taken = rt_taken(c, source, rt_tokens_of(predicted), *(const int64_t *)previous->data);
    if (taken < 0) return false;
    int64_t n = current.n + taken, *tokens;
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_I64, 1, &n),
                *match = y ? tlbc_rt_result(c, 1, TLBC_I64, previous->rank, previous->dims) : NULL;
    if (!match) return false;
    tokens = y->data;
    if (current.n) memcpy(tokens, current.at, (size_t)current.n * sizeof *tokens);
    if (taken) memcpy(tokens + current.n, predicted->data, (size_t)taken * sizeof *tokens);
    *(int64_t *)match->data = rt_match(source, (rt_tokens){tokens, n},
                                       tlbc_rt_int(c, "min_ngram_size", 1),
                                       tlbc_rt_int(c, "max_ngram_size", 1));
    return true;
}
