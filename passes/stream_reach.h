/* Tables of the pass `stream`: for each element of a value the last position of the step's input that it depends on, -1 where it depends on
 * none (stream_delay.c). A table has the size of the value along the axes where elements differ, 1 along all others. They live in the scratch
 * arena; what is handed in is never changed.
 *
 *   [0 1 2 3], collapsed: [3]        [0 1 2 3] picked at {1, 1, -1}: [1 1 -1]        [0 1] joined with [[1] [0]]: [[1 1] [0 1]] */
#ifndef TLBC_PASSES_STREAM_REACH_H
#define TLBC_PASSES_STREAM_REACH_H

#include "ir/limits.h"
#include "passes/stream.h"

typedef struct reach {
    int32_t rank;
    int64_t dims[IR_MAX_RANK]; /* 1: the same along it */
    int64_t n;
    int32_t *at;
} reach;

typedef struct delays {
    streamer *s;
    uint32_t mark;
    int64_t work;
} delays;

static inline int32_t max32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* All elements -1. dims NULL: all 1. */
reach *reach_new(delays *d, int32_t rank, const int64_t *dims);
reach *reach_uniform(delays *d, int32_t rank, int32_t latest);
int32_t reach_latest(const reach *r);
/* The number of the element at these `rank` indices; of those more than r has the last ones count. */
int64_t reach_element(const reach *r, const int64_t *index, int32_t rank);
/* Moves on row by row; false behind the last one. */
bool reach_next(const reach *r, int64_t *index);
/* The later of the two, both stretched to each other. */
const reach *reach_join(delays *d, const reach *a, const reach *b);
/* The latest along an axis, of size 1 then. */
const reach *reach_collapse(delays *d, const reach *a, int32_t axis);
/* Index i along the axis is what index source[i] was (-1: nothing), n of them. */
const reach *reach_pick(delays *d, const reach *a, int32_t axis, const int64_t *source, int64_t n);
/* With one axis more, that is the same all along, or without one. */
const reach *reach_rerank(delays *d, const reach *a, int32_t axis, bool more);

#endif
