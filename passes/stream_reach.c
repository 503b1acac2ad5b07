/* See stream_reach.h. */
#include "passes/stream_reach.h"

reach *reach_new(delays *d, int32_t rank, const int64_t *dims) {
    reach *r = TL_NEW(d->s->ctx->scratch, reach);
    *r = (reach){.rank = rank, .n = 1};
    for (int32_t i = 0; i < rank; i++) {
        r->dims[i] = dims ? dims[i] : 1;
        r->n *= r->dims[i];
    }
    d->work += r->n;
    r->at = TL_NEW_ARRAY(d->s->ctx->scratch, int32_t, r->n + 1);
    for (int64_t i = 0; i < r->n; i++)
        r->at[i] = -1;
    return r;
}

reach *reach_uniform(delays *d, int32_t rank, int32_t latest) {
    reach *r = reach_new(d, rank, NULL);
    r->at[0] = latest;
    return r;
}

int32_t reach_latest(const reach *r) {
    int32_t most = -1;
    for (int64_t i = 0; i < r->n; i++)
        most = max32(most, r->at[i]);
    return most;
}

/* The element of r at these indices, of which more may stand in front. */
int64_t reach_element(const reach *r, const int64_t *index, int32_t rank) {
    int64_t at = 0;
    for (int32_t i = 0; i < r->rank; i++)
        at = at * r->dims[i] + (r->dims[i] == 1 ? 0 : index[rank - r->rank + i]);
    return at;
}

/* Row by row; false behind the last one. */
bool reach_next(const reach *r, int64_t *index) {
    for (int32_t i = r->rank - 1; i >= 0; i--) {
        if (++index[i] < r->dims[i]) return true;
        index[i] = 0;
    }
    return false;
}

/* b's elements are added to those of a, both stretched to each other. */
const reach *reach_join(delays *d, const reach *a, const reach *b) {
    if (a->rank < b->rank) return reach_join(d, b, a);
    int64_t dims[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, k = 0;
    for (int32_t i = 0; i < a->rank; i++) {
        int32_t j = i - (a->rank - b->rank);
        dims[i] = j >= 0 && b->dims[j] > a->dims[i] ? b->dims[j] : a->dims[i];
    }
    reach *r = reach_new(d, a->rank, dims);
    if (!r->n) return r;
    do
        r->at[k++] = max32(a->at[reach_element(a, index, a->rank)],
                           b->at[reach_element(b, index, a->rank)]);
    while (reach_next(r, index));
    return r;
}

/* The latest along an axis, of size 1 then. */
const reach *reach_collapse(delays *d, const reach *a, int32_t axis) {
    int64_t dims[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, k = 0;
    if (axis < 0 || axis >= a->rank || a->dims[axis] == 1) return a;
    memcpy(dims, a->dims, sizeof dims);
    dims[axis] = 1;
    reach *r = reach_new(d, a->rank, dims);
    if (!a->n) return r;
    do {
        int64_t at = reach_element(r, index, a->rank);
        r->at[at] = max32(r->at[at], a->at[k++]);
    } while (reach_next(a, index));
    return r;
}

/* The table of a result in which index i along the axis is what index source[i] was (-1: nothing), n of them. */
const reach *reach_pick(delays *d, const reach *a, int32_t axis, const int64_t *source, int64_t n) {
    int64_t dims[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, k = 0;
    memcpy(dims, a->dims, sizeof dims);
    dims[axis] = n;
    reach *r = reach_new(d, a->rank, dims);
    if (!r->n) return r;
    do {
        int64_t own = index[axis], from = source[own];
        index[axis] = a->dims[axis] == 1 ? 0 : from;
        r->at[k++] = from < 0 ? -1 : a->at[reach_element(a, index, a->rank)];
        index[axis] = own;
    } while (reach_next(r, index));
    return r;
}

/* Without an axis that is the same all along, or with one. */
const reach *reach_rerank(delays *d, const reach *a, int32_t axis, bool more) {
    int64_t dims[IR_MAX_RANK];
    int32_t rank = 0;
    if (!more) a = reach_collapse(d, a, axis);
    for (int32_t i = 0; i <= a->rank; i++) {
        if (more && i == axis) dims[rank++] = 1;
        if (i < a->rank && (more || i != axis)) dims[rank++] = a->dims[i];
    }
    reach *r = reach_new(d, rank, dims);
    memcpy(r->at, a->at, (size_t)a->n * sizeof *r->at);
    return r;
}
