/* States of step functions: N streams in a session, of which any may take part in a step.
 *
 *   home       stream 0 | stream 1 | stream 2 | ...          what the states are
 *   gathered   the chosen streams as one batch               made where home is not that already
 *   next       the batch as the step leaves it               becomes home only when the step has gone well
 *
 * So a step that fails, even in the middle, leaves the states as they were. Where all streams take part in order, home and next
 * change places; with a single stream that is every step, and nothing is copied.
 *
 * States to which a step only adds rows have a place instead of home and next: place.c. */
#include "runtime/session.h"

#include <stdlib.h>
#include <string.h>

/* ---- hashes --------------------------------------------------------------------------------------------------- */

#define RT_HASH_START UINT64_C(0xcbf29ce484222325)

static uint64_t rt_hash(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return h;
}

static uint64_t rt_hash_tensor(uint64_t h, const tlbc_tensor_info *t) {
    uint32_t head[3] = {t->dtype, t->rank, t->sequence};
    h = rt_hash(h, t->name, strlen(t->name) + 1);
    h = rt_hash(h, head, sizeof head);
    for (uint32_t d = 0; d < t->rank; d++)
        h = rt_hash(h, &t->dims[d].value, sizeof t->dims[d].value);
    return h;
}

/* Of the model, what a step takes and what it carries on: states of equal layout mean the same. */
static uint64_t rt_layout(const tlbc_model *m) {
    uint64_t h = rt_hash(RT_HASH_START, m->sha256, sizeof m->sha256);
    for (uint32_t i = 0; i < m->n_inputs; i++)
        h = rt_hash_tensor(h, &m->inputs[i]);
    for (uint32_t i = 0; i < m->n_states; i++) {
        h = rt_hash_tensor(h, &m->states[i].tensor);
        h = rt_hash(h, &m->states[i].stream_axis, sizeof m->states[i].stream_axis);
    }
    return h;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static size_t rt_align(size_t n) {
    return (n + TLBC_RT_ALIGN - 1) / TLBC_RT_ALIGN * TLBC_RT_ALIGN;
}

static bool rt_has_place(const tlbc_model *m, uint32_t i) {
    return m->program->places && m->program->places[i].row_bytes;
}

static uint64_t rt_place_bytes(const tlbc_model *m, uint32_t i) {
    const tlbc_place *p = &m->program->places[i];
    return p->runs * (uint64_t)p->room * p->row_bytes;
}

/* How state i lies in memory; the number of streams has been checked, so that nothing overflows. */
static void rt_describe(tlbc_rt_states *t, const tlbc_model *m, uint32_t i) {
    const tlbc_state_info *info = &m->states[i];
    tlbc_rt_state *state = t->list[i] = &t->own[i];
    state->bytes = state->area = (size_t)info->bytes;
    if (rt_has_place(m, i)) state->area = (size_t)rt_place_bytes(m, i);
    state->outer = 1;
    for (int32_t d = 0; d < info->stream_axis && !t->one_by_one; d++)
        state->outer *= (size_t)info->tensor.dims[d].value;
    state->inner = state->outer ? state->area / state->outer : 0;
    t->bytes += state->bytes;
    t->shared |= info->stream_axis < 0 && !t->one_by_one;
}

/* Home, next and, where streams can be chosen, gathered. */
static size_t rt_area(const tlbc_rt_states *t, uint32_t i) {
    return rt_align(t->list[i]->area * t->streams);
}

static size_t rt_areas(const tlbc_rt_states *t) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < t->n; i++)
        bytes += (1 + !t->list[i]->first + (t->streams > 1)) * rt_area(t, i);
    return bytes;
}

static void rt_place(tlbc_rt_states *t) {
    char *at = t->memory;
    for (uint32_t i = 0; i < t->n; i++) {
        tlbc_rt_state *state = t->list[i];
        size_t area = rt_area(t, i);
        state->home = at;
        at += area;
        state->next = at;
        if (!state->first) at += area;
        state->gathered = at;
        if (t->streams > 1) at += area;
    }
}

static bool rt_fits(const tlbc_model *m, uint32_t streams) {
    uint64_t all = 0, one;
    for (uint32_t i = 0; i < m->n_states; i++) {
        one = rt_has_place(m, i) ? rt_place_bytes(m, i) : m->states[i].bytes;
        if (__builtin_add_overflow(all, one + TLBC_RT_ALIGN, &all)) return false;
    }
    return !__builtin_mul_overflow(all, (uint64_t)3 * streams, &all) && all < SIZE_MAX / 2;
}

static tlbc_status rt_allocate_lists(tlbc_rt_states *t, const tlbc_model *m) {
    t->list = calloc(t->n, sizeof *t->list);
    t->read = calloc(2 * (size_t)t->n, sizeof *t->read);
    t->stamps = calloc(t->streams, sizeof *t->stamps);
    t->next_lengths = calloc(t->streams, sizeof *t->next_lengths);
    t->rows = calloc((size_t)m->n_inputs + m->n_outputs + 1, sizeof *t->rows);
    t->ended = t->own_ended = calloc(t->streams, sizeof *t->ended);
    if (!t->list || !t->read || !t->stamps || !t->next_lengths || !t->rows || !t->ended)
        return TLBC_ERROR_MEMORY;
    t->write = t->read + t->n;
    return TLBC_OK;
}

static tlbc_status rt_allocate_states(tlbc_rt_states *t, const tlbc_model *m) {
    t->own = calloc(t->n, sizeof *t->own);
    t->lengths = t->own_lengths = calloc(t->streams, sizeof *t->lengths);
    if (m->program->places) t->firsts = calloc((size_t)t->n * t->streams, sizeof *t->firsts);
    if (!t->own || !t->lengths || (m->program->places && !t->firsts)) return TLBC_ERROR_MEMORY;
    for (uint32_t i = 0; i < t->n; i++) {
        rt_describe(t, m, i);
        if (rt_has_place(m, i)) t->own[i].first = t->firsts + (size_t)i * t->streams;
    }
    size_t bytes = rt_areas(t);
    t->memory = aligned_alloc(TLBC_RT_ALIGN, bytes ? bytes : TLBC_RT_ALIGN);
    if (!t->memory) return TLBC_ERROR_MEMORY;
    memset(t->memory, 0, bytes); /* what lies behind a state that grows is saved, too */
    rt_place(t);
    return TLBC_OK;
}

/* ---- states of another session -------------------------------------------------------------------------------- */

static bool rt_same_state(const tlbc_state_info *a, const tlbc_state_info *b) {
    if (strcmp(a->tensor.name, b->tensor.name) || a->tensor.dtype != b->tensor.dtype ||
        a->tensor.rank != b->tensor.rank || a->stream_axis != b->stream_axis)
        return false;
    for (uint32_t d = 0; d < a->tensor.rank; d++)
        if (a->tensor.dims[d].value != b->tensor.dims[d].value) return false;
    return true;
}

/* State i of m is one of the other session's. */
static bool rt_share_state(tlbc_rt_states *t, const tlbc_model *m, uint32_t i,
                           const tlbc_session *of) {
    for (uint32_t k = 0; k < of->states.n; k++) {
        if (!rt_same_state(&m->states[i], &of->model->states[k])) continue;
        t->list[i] = of->states.list[k];
        t->bytes += t->list[i]->bytes;
        t->shared |= m->states[i].stream_axis < 0 && !t->one_by_one;
        return true;
    }
    return false;
}

static tlbc_status rt_share_states(tlbc_session *s, const tlbc_session *of) {
    const tlbc_model *m = s->model;
    bool entry = m->n_entries && m->entries == of->model->entries;
    if (!entry && m != of->model->tail) return TLBC_ERROR_ARGUMENT;
    s->states.ended = of->states.ended;
    if (s->states.streams != of->states.streams) return TLBC_ERROR_ARGUMENT;
    s->states.lengths = of->states.lengths;
    for (uint32_t i = 0; i < m->n_states; i++)
        if (!rt_share_state(&s->states, m, i, of)) return TLBC_ERROR_ARGUMENT;
    return TLBC_OK;
}

/* The program takes one stream: nothing counts them, or each is as long as it is. */
static bool rt_is_one_by_one(const tlbc_model *m, uint32_t streams) {
    return streams > 1 && (!m->program->stream_symbol || m->program->length_symbol);
}

tlbc_status tlbc_rt_states_open(tlbc_session *s, uint32_t streams, tlbc_session *of) {
    const tlbc_model *m = s->model;
    if (!streams) streams = of ? of->states.streams : 1;
    s->states = (tlbc_rt_states){.n = m->n_states, .streams = streams};
    s->states.one_by_one = rt_is_one_by_one(m, streams);
    if (streams > 1 && (!m->n_states || (s->states.one_by_one && m->program->output_cells)))
        return TLBC_ERROR_ARGUMENT; /* what a run leaves in cells would be the last row's */
    if (!m->n_states) return of ? TLBC_ERROR_ARGUMENT : TLBC_OK;
    if (!rt_fits(m, streams)) return TLBC_ERROR_MEMORY;
    tlbc_status status = rt_allocate_lists(&s->states, m);
    if (!status) status = of ? rt_share_states(s, of) : rt_allocate_states(&s->states, m);
    if (status) return status;
    s->states.layout = rt_layout(m);
    return of ? TLBC_OK : tlbc_rt_reset(s, TLBC_ALL_STREAMS);
}

void tlbc_rt_states_free(tlbc_rt_states *t) {
    free(t->own);
    free(t->list);
    free(t->read);
    free(t->stamps);
    free(t->own_lengths);
    free(t->own_ended);
    free(t->next_lengths);
    free(t->rows);
    free(t->memory);
    free(t->firsts);
}

/* ---- length ---------------------------------------------------------------------------------------------------- */

static int64_t rt_next_length(const tlbc_session *s) {
    int32_t expr = s->model->program->length_expr;
    return expr < 0 ? s->states.lengths[s->states.stream] : s->exprs[expr];
}

tlbc_status tlbc_rt_check_length(tlbc_session *s) {
    const struct tlbc_program *p = s->model->program;
    if (!p->length_symbol || rt_next_length(s) <= p->length_limit) return TLBC_OK;
    return tlbc_rt_report(s, TLBC_ERROR_DATA,
                          "the stream is too long: '%s' would be %lld, the states have room for "
                          "%lld; tlbc_reset begins anew",
                          s->model->symbols[p->length_symbol - 1], (long long)rt_next_length(s),
                          (long long)p->length_limit);
}

/* ---- a step --------------------------------------------------------------------------------------------------- */

/* How many streams the inputs hold. */
static uint64_t rt_batch(const tlbc_session *s) {
    int32_t symbol = s->model->program->stream_symbol;
    return symbol ? (uint64_t)s->symbols[symbol - 1] : 1;
}

static tlbc_status rt_check_count(tlbc_session *s, const uint32_t *chosen, uint32_t count,
                                  uint64_t batch) {
    const tlbc_rt_states *t = &s->states;
    if (chosen && count != batch)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "%u streams are named, the inputs hold %llu",
                              count, (unsigned long long)batch);
    if (batch > t->streams)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                              "the inputs hold %llu streams, the session was made for %u",
                              (unsigned long long)batch, t->streams);
    if (t->n && t->shared && batch != t->streams)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                              "the inputs hold %llu streams; a state is one for all %u of the "
                              "session, which advance together",
                              (unsigned long long)batch, t->streams);
    return TLBC_OK;
}

/* Every stream there is and none twice; *neighbours: each is the one behind the one before. */
static tlbc_status rt_check_chosen(tlbc_session *s, const uint32_t *chosen, uint32_t count,
                                   bool *neighbours) {
    tlbc_rt_states *t = &s->states;
    *neighbours = true;
    if (!chosen) return TLBC_OK;
    if (++t->stamp == 0) { /* after 2^32 steps the stamps begin again */
        memset(t->stamps, 0, t->streams * sizeof *t->stamps);
        t->stamp = 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (chosen[i] >= t->streams)
            return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                                  "stream %u: the session was made for %u streams", chosen[i],
                                  t->streams);
        if (t->stamps && t->stamps[chosen[i]] == t->stamp)
            return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "stream %u is named twice", chosen[i]);
        if (t->stamps) t->stamps[chosen[i]] = t->stamp;
        *neighbours &= chosen[i] == chosen[0] + i;
    }
    if (*neighbours || !t->shared) return TLBC_OK;
    return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                          "streams must be named in order: a state is one for all of them");
}

/* Between a batch and the streams' homes. */
static void rt_gather(const tlbc_rt_states *t, const tlbc_rt_state *state) {
    for (size_t o = 0; o < state->outer; o++)
        for (uint32_t i = 0; i < t->count; i++)
            memcpy(state->gathered + (o * t->count + i) * state->inner,
                   state->home + tlbc_rt_stream(t, i) * state->bytes + o * state->inner,
                   state->inner);
}

static void rt_scatter(const tlbc_rt_states *t, const tlbc_rt_state *state) {
    for (size_t o = 0; o < state->outer; o++)
        for (uint32_t i = 0; i < t->count; i++)
            memcpy(state->home + tlbc_rt_stream(t, i) * state->bytes + o * state->inner,
                   state->next + (o * t->count + i) * state->inner, state->inner);
}

/* Neighbours, of which a batch lies as their homes do. */
static bool rt_lies_ready(const tlbc_rt_states *t, const tlbc_rt_state *state) {
    return !t->chosen && (t->count == 1 || state->outer == 1);
}

/* None of the chosen streams has had its last step. */
static tlbc_status rt_check_ended(tlbc_session *s) {
    const tlbc_rt_states *t = &s->states;
    for (uint32_t i = 0; t->ended && i < t->count; i++)
        if (t->ended[tlbc_rt_stream(t, i)])
            return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                                  "stream %u has ended with a step of fewer positions: tlbc_reset "
                                  "begins anew",
                                  tlbc_rt_stream(t, i));
    return TLBC_OK;
}

tlbc_status tlbc_rt_states_choose(tlbc_session *s, const uint32_t *chosen, uint32_t count,
                                  uint64_t batch) {
    tlbc_rt_states *t = &s->states;
    bool neighbours;
    tlbc_status status = rt_check_count(s, chosen, count, batch);
    if (!status) status = rt_check_chosen(s, chosen, count, &neighbours);
    if (status) return status;
    t->chosen = neighbours ? NULL : chosen;
    t->first = chosen && count ? chosen[0] : 0;
    t->count = (uint32_t)batch;
    return rt_check_ended(s);
}

void tlbc_rt_states_bind_row(tlbc_session *s, uint32_t k) {
    tlbc_rt_states *t = &s->states;
    for (uint32_t i = 0; i < t->n; i++) {
        const tlbc_rt_state *state = t->list[i];
        if (state->first) {
            t->read[i] = t->write[i] = tlbc_rt_place_bind_one(s, i, k);
            continue;
        }
        t->read[i] = state->home + tlbc_rt_stream(t, k) * state->bytes;
        t->write[i] = state->next + k * state->bytes;
    }
}

void tlbc_rt_states_ran_row(tlbc_session *s, uint32_t k) {
    s->states.next_lengths[k] = rt_next_length(s);
}

tlbc_status tlbc_rt_states_bind(tlbc_session *s, const uint32_t *chosen, uint32_t count) {
    tlbc_rt_states *t = &s->states;
    tlbc_status status = tlbc_rt_states_choose(s, chosen, count, rt_batch(s));
    if (status) return status;
    for (uint32_t i = 0; i < t->n; i++) {
        tlbc_rt_state *state = t->list[i];
        bool ready = rt_lies_ready(t, state);
        if (state->first) {
            t->read[i] = t->write[i] = tlbc_rt_place_bind(s, i, ready);
            continue;
        }
        if (!ready) rt_gather(t, state);
        t->read[i] = ready ? state->home + t->first * state->bytes : state->gathered;
        t->write[i] = state->next;
    }
    return TLBC_OK;
}

void tlbc_rt_states_commit(tlbc_session *s) {
    tlbc_rt_states *t = &s->states;
    for (uint32_t i = 0; s->is_tail && t->ended && i < t->count; i++)
        t->ended[tlbc_rt_stream(t, i)] = true;
    for (uint32_t i = 0; i < t->n; i++) {
        tlbc_rt_state *state = t->list[i];
        if (s->model->states[i].kept) continue;
        if (state->first)
            tlbc_rt_place_commit(s, i, t->one_by_one || rt_lies_ready(t, state));
        else if (rt_lies_ready(t, state) && t->count == t->streams) {
            char *home = state->home;
            state->home = state->next;
            state->next = home;
        } else {
            rt_scatter(t, state);
        }
    }
    if (!s->model->program->length_symbol) return;
    if (!t->one_by_one) t->next_lengths[0] = rt_next_length(s);
    for (uint32_t k = 0; k < (t->one_by_one ? t->count : 1); k++)
        t->lengths[tlbc_rt_stream(t, k)] = t->next_lengths[k];
}

/* ---- one stream ----------------------------------------------------------------------------------------------- */

/* `all`: TLBC_ALL_STREAMS is fine, too. */
static tlbc_status rt_check_stream(tlbc_session *s, uint32_t stream, bool all) {
    const tlbc_rt_states *t = &s->states;
    s->message[0] = 0;
    if (all && stream == TLBC_ALL_STREAMS) return TLBC_OK;
    if (stream >= t->streams)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                              "stream %u: the session was made for %u streams", stream, t->streams);
    if (!t->shared || t->streams == 1) return TLBC_OK;
    return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                          "stream %u cannot be taken alone: a state is one for all %u streams",
                          stream, t->streams);
}

static void rt_reset_one(const tlbc_session *s, uint32_t stream) {
    if (s->states.lengths) s->states.lengths[stream] = 0;
    if (s->states.ended) s->states.ended[stream] = false;
    for (uint32_t i = 0; i < s->states.n; i++) {
        const tlbc_rt_state *state = s->states.list[i];
        const void *initial = s->model->states[i].initial;
        if (state->first) {
            tlbc_rt_place_set(s, i, stream, initial);
            continue;
        }
        char *home = state->home + stream * state->bytes;
        if (initial)
            memcpy(home, initial, state->bytes);
        else
            memset(home, 0, state->bytes);
    }
}

tlbc_status tlbc_rt_reset(tlbc_session *s, uint32_t stream) {
    tlbc_status status = rt_check_stream(s, stream, true);
    if (status) return status;
    bool all = stream == TLBC_ALL_STREAMS;
    uint32_t end = all ? s->states.streams : stream + 1;
    for (uint32_t i = all ? 0 : stream; i < end; i++)
        rt_reset_one(s, i);
    return TLBC_OK;
}

tlbc_status tlbc_rt_clone(tlbc_session *to, uint32_t to_stream, const tlbc_session *from,
                          uint32_t from_stream) {
    tlbc_status status = rt_check_stream(to, to_stream, false);
    if (status) return status;
    if (from->model->abi_version != to->model->abi_version ||
        from->states.layout != to->states.layout)
        return tlbc_rt_report(to, TLBC_ERROR_ARGUMENT, "the states are another model's");
    if (from_stream >= from->states.streams || (from->states.shared && from->states.streams > 1))
        return tlbc_rt_report(
            to, TLBC_ERROR_ARGUMENT, "stream %u of the other session: it was made for %u streams%s",
            from_stream, from->states.streams, from->states.shared ? ", which share a state" : "");
    for (uint32_t i = 0; i < to->states.n; i++) {
        const tlbc_rt_state *a = to->states.list[i], *b = from->states.list[i];
        if (a->first)
            tlbc_rt_place_clone(to, to_stream, from, from_stream, i);
        else
            memmove(a->home + to_stream * a->bytes, b->home + from_stream * b->bytes, a->bytes);
    }
    if (to->states.n) to->states.lengths[to_stream] = from->states.lengths[from_stream];
    if (to->states.ended) to->states.ended[to_stream] = from->states.ended[from_stream];
    return TLBC_OK;
}

/* ---- saved states --------------------------------------------------------------------------------------------- */

_Static_assert(sizeof(tlbc_state_header) == 64, "the form of saved states is fixed");

/* Of all of it but the check itself, which counts as 0. */
static uint64_t rt_check_of(tlbc_state_header h, const void *states, size_t bytes) {
    h.check = 0;
    return rt_hash(rt_hash(RT_HASH_START, &h, sizeof h), states, bytes);
}

tlbc_status tlbc_rt_state_save(tlbc_session *s, uint32_t stream, void *data, size_t *bytes) {
    const tlbc_rt_states *t = &s->states;
    size_t room = *bytes, needed = sizeof(tlbc_state_header) + t->bytes;
    tlbc_status status = rt_check_stream(s, stream, false);
    if (status) return status;
    *bytes = needed;
    if (!data) return TLBC_OK;
    if (room < needed)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "room for %zu bytes, the states need %zu",
                              room, needed);
    tlbc_state_header h = {.magic = TLBC_STATE_MAGIC, .layout = t->layout, .bytes = t->bytes};
    if (t->n) h.length = t->lengths[stream];
    h.ended = t->ended && t->ended[stream];
    char *at = (char *)data + sizeof h;
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->list[i]->first)
            tlbc_rt_place_get(s, i, stream, at);
        else
            memcpy(at, t->list[i]->home + stream * t->list[i]->bytes, t->list[i]->bytes);
        at += t->list[i]->bytes;
    }
    h.check = rt_check_of(h, (char *)data + sizeof h, t->bytes);
    memcpy(data, &h, sizeof h);
    return TLBC_OK;
}

static tlbc_status rt_check_saved(tlbc_session *s, const void *data, size_t bytes) {
    const tlbc_rt_states *t = &s->states;
    tlbc_state_header h;
    if (bytes < sizeof h)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "%zu bytes are no saved state", bytes);
    memcpy(&h, data, sizeof h);
    if (memcmp(h.magic, TLBC_STATE_MAGIC, sizeof h.magic))
        return tlbc_rt_report(s, TLBC_ERROR_VERSION,
                              "not a saved state of the form that this model reads");
    if (h.layout != t->layout || h.bytes != t->bytes)
        return tlbc_rt_report(s, TLBC_ERROR_VERSION, "the saved state is another model's");
    if (bytes != sizeof h + t->bytes)
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "the saved state has %zu bytes, expected %zu",
                              bytes, sizeof h + t->bytes);
    if (h.length < 0 || h.ended > 1 || h.length > s->model->program->length_limit ||
        h.check != rt_check_of(h, (const char *)data + sizeof h, t->bytes))
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "the saved state is damaged");
    return TLBC_OK;
}

tlbc_status tlbc_rt_state_load(tlbc_session *s, uint32_t stream, const void *data, size_t bytes) {
    const tlbc_rt_states *t = &s->states;
    tlbc_status status = rt_check_stream(s, stream, false);
    if (!status) status = rt_check_saved(s, data, bytes);
    if (status) return status;
    const char *at = (const char *)data + sizeof(tlbc_state_header);
    tlbc_state_header h;
    memcpy(&h, data, sizeof h);
    if (t->n) t->lengths[stream] = h.length;
    if (t->ended) t->ended[stream] = h.ended;
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->list[i]->first)
            tlbc_rt_place_set(s, i, stream, at);
        else
            memcpy(t->list[i]->home + stream * t->list[i]->bytes, at, t->list[i]->bytes);
        at += t->list[i]->bytes;
    }
    return TLBC_OK;
}
