/* States that have a place (tlbc_place): rows in blocks with room for more, of which the state is a window.
 *
 *   |. . o o o o o n .|      o the window, n what a step writes: no row of the window, so that a step that fails has done no harm
 *   |. . . o o o o o .|      the step has gone well: the window is a row further on
 *   |o o o o o . . . .|      where the next row would not fit, the window goes back to the beginning first
 *
 * A state that is written over fills its block; the program puts back what it has overwritten where a step fails (codegen/place.h).
 *
 * A state that grows begins with its block, and only its length counts on. Streams may have their windows at different rows; those of a
 * batch that is read where it lies begin at the same one. */
#include "runtime/session.h"

#include <string.h>

/* Rows in blocks of `room`, from this row on. */
typedef struct rt_rows {
    char *at;
    int64_t room, row;
} rt_rows;

static void rt_copy_rows(const tlbc_place *p, uint64_t runs, int64_t n, rt_rows to, rt_rows from) {
    if (n <= 0) return;
    for (uint64_t r = 0; r < runs; r++)
        memmove(to.at + ((int64_t)r * to.room + to.row) * (int64_t)p->row_bytes,
                from.at + ((int64_t)r * from.room + from.row) * (int64_t)p->row_bytes,
                (size_t)n * p->row_bytes);
}

static int64_t rt_rows_of(const tlbc_session *s, const tlbc_place *p, uint32_t stream) {
    return p->rows < 0 ? s->states.lengths[stream] : p->rows;
}

static rt_rows rt_window(const tlbc_place *p, const tlbc_rt_state *state, uint32_t stream) {
    return (rt_rows){state->home + stream * state->area, p->room, state->first[stream]};
}

static void rt_move_to_begin(const tlbc_place *p, const tlbc_rt_state *state, uint32_t stream,
                             int64_t rows) {
    rt_rows from = rt_window(p, state, stream), to = {from.at, p->room, 0};
    if (from.row) rt_copy_rows(p, p->runs, rows, to, from);
    state->first[stream] = 0;
}

/* ---- a step --------------------------------------------------------------------------------------------------- */

/* Streams of the step that have a window of their own; a state that is one for all streams has a single one. */
static uint32_t rt_count_windows(const tlbc_session *s, uint32_t i) {
    bool common = s->model->states[i].stream_axis < 0 && !s->states.one_by_one;
    return common ? 1 : s->states.count;
}

static void rt_make_room_for(const tlbc_session *s, uint32_t i, uint32_t stream, bool always) {
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = s->states.list[i];
    int64_t rows = rt_rows_of(s, p, stream);
    bool full = state->first[stream] + rows + p->advance > p->room;
    if (always || full) rt_move_to_begin(p, state, stream, rows);
}

/* Room behind every window of the step. */
static void rt_make_room(const tlbc_session *s, uint32_t i, bool together) {
    const tlbc_rt_states *t = &s->states;
    const tlbc_rt_state *state = t->list[i];
    int64_t first = state->first[tlbc_rt_stream(t, 0)];
    uint32_t n = rt_count_windows(s, i);
    bool all = false;
    for (uint32_t k = 0; together && k < n; k++)
        all |= state->first[tlbc_rt_stream(t, k)] != first;
    for (uint32_t k = 0; k < n; k++)
        rt_make_room_for(s, i, tlbc_rt_stream(t, k), all);
}

/* n rows from row `from` of the k-th stream in the batch to row `to` of its home, or back. */
static void rt_copy_stream(const tlbc_session *s, uint32_t i, uint32_t k, int64_t n, int64_t from,
                           int64_t to, bool gather) {
    const tlbc_rt_states *t = &s->states;
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = t->list[i];
    for (size_t o = 0; o < state->outer; o++) {
        rt_rows batch = {state->gathered + (o * t->count + k) * state->inner, p->room, from};
        rt_rows home = {state->home + tlbc_rt_stream(t, k) * state->area + o * state->inner,
                        p->room, to};
        rt_copy_rows(p, p->runs / state->outer, n, gather ? batch : home, gather ? home : batch);
    }
}

/* Where its window begins. */
static char *rt_begin(const tlbc_session *s, uint32_t i, uint32_t stream) {
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = s->states.list[i];
    return rt_window(p, state, stream).at + state->first[stream] * (int64_t)p->row_bytes;
}

char *tlbc_rt_place_bind(const tlbc_session *s, uint32_t i, bool ready) {
    const tlbc_rt_states *t = &s->states;
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = t->list[i];
    if (!t->count) return state->home;
    rt_make_room(s, i, ready);
    if (ready) return rt_begin(s, i, t->first);
    for (uint32_t k = 0; k < t->count; k++) {
        uint32_t stream = tlbc_rt_stream(t, k);
        rt_copy_stream(s, i, k, rt_rows_of(s, p, stream), 0, state->first[stream], true);
    }
    return state->gathered;
}

char *tlbc_rt_place_bind_one(const tlbc_session *s, uint32_t i, uint32_t k) {
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = s->states.list[i];
    uint32_t stream = tlbc_rt_stream(&s->states, k);
    rt_make_room_for(s, i, stream, false);
    if (!p->written) return rt_begin(s, i, stream);
    /* a later row may fail: this one's state is written over beside its home */
    rt_copy_stream(s, i, k, rt_rows_of(s, p, stream), 0, state->first[stream], true);
    return state->gathered + k * state->inner;
}

void tlbc_rt_place_commit(const tlbc_session *s, uint32_t i, bool ready) {
    const tlbc_rt_states *t = &s->states;
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = t->list[i];
    for (uint32_t k = 0; k < t->count && k < rt_count_windows(s, i); k++) {
        uint32_t stream = tlbc_rt_stream(t, k);
        int64_t *first = &state->first[stream], rows = rt_rows_of(s, p, stream);
        if (p->written && (!ready || t->one_by_one))
            rt_copy_stream(s, i, k, rows, 0, *first, false);
        else if (!ready)
            rt_copy_stream(s, i, k, p->advance, rows, *first + rows, false);
        *first += p->advance;
    }
}

/* ---- one stream ----------------------------------------------------------------------------------------------- */

void tlbc_rt_place_get(const tlbc_session *s, uint32_t i, uint32_t stream, char *dense) {
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = s->states.list[i];
    int64_t rows = rt_rows_of(s, p, stream);
    memset(dense, 0, state->bytes); /* behind a state that grows */
    rt_copy_rows(p, p->runs, rows, (rt_rows){dense, rows, 0}, rt_window(p, state, stream));
}

void tlbc_rt_place_set(const tlbc_session *s, uint32_t i, uint32_t stream, const char *dense) {
    const tlbc_place *p = &s->model->program->places[i];
    const tlbc_rt_state *state = s->states.list[i];
    int64_t rows = rt_rows_of(s, p, stream);
    state->first[stream] = 0;
    rt_rows to = rt_window(p, state, stream), from = {(char *)(uintptr_t)dense, rows, 0};
    if (dense)
        rt_copy_rows(p, p->runs, rows, to, from);
    else if (rows)
        memset(to.at, 0, state->area);
}

void tlbc_rt_place_clone(const tlbc_session *to, uint32_t to_stream, const tlbc_session *from,
                         uint32_t from_stream, uint32_t i) {
    const tlbc_place *p = &to->model->program->places[i];
    const tlbc_rt_state *a = to->states.list[i], *b = from->states.list[i];
    if (a == b && to_stream == from_stream) return;
    a->first[to_stream] = 0;
    rt_copy_rows(p, p->runs, rt_rows_of(from, p, from_stream), rt_window(p, a, to_stream),
                 rt_window(p, b, from_stream));
}
