/* NonMaxSuppression: of boxes that overlap the one with the highest score stays.
 *
 *   boxes f32[batches, n, 4], scores f32[batches, classes, n]  ->  i64[found, 3] of (batch, class, box), by batch, class, score
 *
 * O(n log n + n * found) for each batch and class. */
#include "runtime/calls/call.h"

typedef struct rt_box {
    float y1, x1, y2, x2;
} rt_box;

/* The corners may come in any order; or centre, width, height. */
static rt_box rt_read_box(const float *p, bool centre) {
    if (centre) return (rt_box){p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2};
    return (rt_box){p[0] < p[2] ? p[0] : p[2], p[1] < p[3] ? p[1] : p[3], p[0] < p[2] ? p[2] : p[0],
                    p[1] < p[3] ? p[3] : p[1]};
}

static float rt_area(rt_box b) {
    return (b.y2 - b.y1) * (b.x2 - b.x1);
}

static bool rt_overlap(rt_box a, rt_box b, float limit) {
    rt_box both = {a.y1 > b.y1 ? a.y1 : b.y1, a.x1 > b.x1 ? a.x1 : b.x1, a.y2 < b.y2 ? a.y2 : b.y2,
                   a.x2 < b.x2 ? a.x2 : b.x2};
    if (both.y2 <= both.y1 || both.x2 <= both.x1) return false;
    float shared = rt_area(both), joined = rt_area(a) + rt_area(b) - shared;
    return joined > 0 && shared / joined > limit;
}

static bool rt_higher_score(const void *data, int64_t a, int64_t b) {
    const float *score = data;
    return score[a] > score[b];
}

typedef struct rt_nms {
    const float *boxes, *scores; /* of this batch and class */
    int64_t n, most;
    float overlap;
    const float *least; /* a score must be above it; NULL = any */
    bool centre;
    int64_t *order, *scratch;
} rt_nms;

/* Fills chosen[] with at most s->most boxes; their number. */
static int64_t rt_choose(rt_nms *s, int64_t *chosen) {
    int64_t candidates = 0, found = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (!s->least || s->scores[i] > *s->least) s->order[candidates++] = i;
    tlbc_rt_sort(s->order, s->scratch, candidates, rt_higher_score, s->scores);
    for (int64_t i = 0; i < candidates && found < s->most; i++) {
        rt_box box = rt_read_box(s->boxes + 4 * s->order[i], s->centre);
        bool free_of_all = true;
        for (int64_t k = 0; k < found && free_of_all; k++)
            free_of_all = !rt_overlap(rt_read_box(s->boxes + 4 * chosen[k], s->centre), box,
                                      s->overlap);
        if (free_of_all) chosen[found++] = s->order[i];
    }
    return found;
}

static bool rt_check_boxes(tlbc_rt_call *c, const tlbc_tensor *boxes, const tlbc_tensor *scores) {
    if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4)
        return tlbc_rt_call_fail(c, "boxes are [batches, n, 4], scores [batches, classes, n]");
    if (boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[2])
        return tlbc_rt_call_fail(c, "%lld batches of %lld boxes, %lld batches of %lld scores",
                                 (long long)boxes->dims[0], (long long)boxes->dims[1],
                                 (long long)scores->dims[0], (long long)scores->dims[2]);
    for (uint32_t i = 2; i < 5; i++)
        if (tlbc_rt_in(c, i) && tlbc_rt_elements(c->in[i]) != 1)
            return tlbc_rt_call_fail(c, "operand %u is not one element", i);
    return true;
}

static bool rt_put_triples(tlbc_rt_call *c, const int64_t *triples, int64_t n) {
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_I64, 2, (int64_t[]){n, 3});
    if (y) tlbc_rt_copy(TLBC_I64, y->data, 0, triples, 0, 3 * n);
    return y != NULL;
}

bool tlbc_rt_op_NonMaxSuppression(tlbc_rt_call *c) {
    const tlbc_tensor *boxes = c->in[0], *scores = c->in[1], *most = tlbc_rt_in(c, 2),
                      *overlap = tlbc_rt_in(c, 3), *least = tlbc_rt_in(c, 4);
    if (!rt_check_boxes(c, boxes, scores)) return false;
    int64_t batches = boxes->dims[0], classes = scores->dims[1], n = boxes->dims[1], found = 0;
    rt_nms s = {.n = n, .most = most ? tlbc_rt_get_i64(most, 0) : 0};
    s.overlap = overlap ? (float)tlbc_rt_get_f64(overlap, 0) : 0;
    s.least = least ? least->data : NULL;
    s.centre = tlbc_rt_int(c, "center_point_box", 0) != 0;
    if (s.most > n) s.most = n;
    if (s.most <= 0) return rt_put_triples(c, NULL, 0);
    s.order = tlbc_rt_alloc(c, (size_t)n, sizeof *s.order);
    s.scratch = tlbc_rt_alloc(c, (size_t)n, sizeof *s.scratch);
    int64_t *chosen = tlbc_rt_alloc(c, (size_t)n, sizeof *chosen);
    int64_t *triples = tlbc_rt_alloc(c, (size_t)(batches * classes * s.most), 3 * sizeof *triples);
    if (!s.order || !s.scratch || !chosen || !triples) return false;
    for (int64_t b = 0; b < batches; b++)
        for (int64_t k = 0; k < classes; k++) {
            s.boxes = (const float *)boxes->data + b * n * 4;
            s.scores = (const float *)scores->data + (b * classes + k) * n;
            int64_t count = rt_choose(&s, chosen);
            for (int64_t i = 0; i < count; i++, found++) {
                triples[3 * found] = b;
                triples[3 * found + 1] = k;
                triples[3 * found + 2] = chosen[i];
            }
        }
    return rt_put_triples(c, triples, found);
}
