/* Programs with values whose size or kind only the run tells: they live in cells, their memory in a heap that is emptied before each run.
 *
 *   program:  barrier; thread 0: tlbc_rt_invoke(frame, 3); barrier; tlbc_rt_stop(frame, tid); n = cells[5].dims[1]; ...
 *
 * A call that fails stops the run: every thread returns from the program by a jump to where it entered. That is safe because generated
 * code holds no resources, and because all threads see the stop between the same two barriers. */
#include "runtime/calls/call.h"
#include "runtime/session.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the session's part --------------------------------------------------------------------------------------- */

static void *rt_allocate(void *context, size_t bytes) {
    (void)context;
    size_t room = (bytes + TLBC_RT_ALIGN - 1) / TLBC_RT_ALIGN * TLBC_RT_ALIGN;
    return room < bytes ? NULL : aligned_alloc(TLBC_RT_ALIGN, room);
}

static void rt_release(void *context, void *memory) {
    (void)context;
    free(memory);
}

bool tlbc_rt_cells_create(tlbc_session *s, const tlbc_session_options *o, uint32_t threads) {
    uint32_t n = s->model->program->n_cells;
    if (!n) return true;
    s->heap = (tlbc_rt_heap){.allocate = rt_allocate, .release = rt_release};
    if (o->allocate && o->release)
        s->heap = (tlbc_rt_heap){
            .allocate = o->allocate, .release = o->release, .context = o->allocator_context};
    s->cells = calloc(n, sizeof *s->cells);
    s->places = calloc(threads, sizeof *s->places);
    return s->cells && s->places;
}

void tlbc_rt_cells_free(tlbc_session *s) {
    tlbc_rt_heap_release(&s->heap);
    free(s->cells);
    free(s->places);
}

void tlbc_rt_cells_begin(tlbc_session *s, const tlbc_tensor *in) {
    const tlbc_program *p = s->model->program;
    tlbc_rt_heap_clear(&s->heap);
    s->stopped = TLBC_OK;
    for (uint32_t i = 0; i < p->n_cells; i++) {
        const tlbc_cell_info *info = &p->cells[i];
        if (info->input >= 0)
            s->cells[i] = in[info->input];
        else if (info->constant)
            s->cells[i] = *info->constant;
        else
            s->cells[i] = (tlbc_tensor){.dtype = (tlbc_dtype)info->dtype, .rank = info->rank};
    }
}

void tlbc_rt_cells_main(const tlbc_frame *frame, int64_t tid, int64_t n_threads) {
    jmp_buf place;
    tlbc_session *s = frame->session;
    s->places[tid] = &place;
    if (!_setjmp(place)) s->variant->main(frame, tid, n_threads);
}

/* The caller's memory where there is some, else the session's own. */
static tlbc_status rt_give(tlbc_session *s, uint32_t i, const tlbc_tensor *v, tlbc_tensor *out) {
    size_t bytes = 0;
    bool tensor = tlbc_rt_dtype_bits(v->dtype) != 0;
    void *data = out->data;
    if (tensor && !tlbc_rt_bytes(v->dtype, v->rank, v->dims, &bytes))
        return tlbc_rt_report(s, TLBC_ERROR_MEMORY, "output %u: its size overflows", i);
    if (!data || !tensor) {
        *out = *v;
        if (tensor) out->bytes = bytes;
        return TLBC_OK;
    }
    if (out->bytes < bytes)
        return tlbc_rt_report(s, TLBC_ERROR_MEMORY,
                              "output %u '%s': room for %zu bytes, this run needs %zu", i,
                              s->model->outputs[i].name, out->bytes, bytes);
    size_t room = out->bytes;
    *out = *v;
    out->data = data;
    out->bytes = room;
    if (bytes) memcpy(data, v->data, bytes);
    return TLBC_OK;
}

tlbc_status tlbc_rt_cells_give(tlbc_session *s, tlbc_tensor *out) {
    for (uint32_t i = 0; i < s->model->n_outputs; i++) {
        if (!tlbc_rt_is_cell_output(s, i)) continue;
        const tlbc_tensor *v = &s->cells[s->model->program->output_cells[i]];
        tlbc_status status = rt_give(s, i, v, &out[i]);
        if (status) return status;
    }
    return TLBC_OK;
}

/* ---- called by generated code ------------------------------------------------------------------------------------ */

static void rt_stop_all(tlbc_session *s, tlbc_status status) {
    s->stopped = status;
}

void tlbc_rt_stop(const tlbc_frame *frame, int64_t tid) {
    if (frame->session->stopped) _longjmp(*(jmp_buf *)frame->session->places[tid], 1);
}

void tlbc_rt_leave(const tlbc_frame *frame, int64_t tid, int64_t failure, int64_t a, int64_t b) {
    tlbc_rt_fail(frame, failure, a, b);
    _longjmp(*(jmp_buf *)frame->session->places[tid], 1);
}

void tlbc_rt_exchange(const tlbc_frame *frame, int64_t a, int64_t b) {
    tlbc_tensor t = frame->cells[a];
    frame->cells[a] = frame->cells[b];
    frame->cells[b] = t;
}

/* Memory of a cell that generated code fills. What is there is taken again where it is large enough: a loop's rounds share it. */
void tlbc_rt_grow(const tlbc_frame *frame, int64_t cell, int64_t bytes) {
    tlbc_session *s = frame->session;
    tlbc_tensor *t = &frame->cells[cell];
    if (s->stopped || (t->data && bytes >= 0 && (size_t)bytes <= t->bytes)) return;
    void *memory = bytes < 0 ? NULL : tlbc_rt_heap_take(&s->heap, (size_t)bytes);
    if (memory) {
        t->data = memory;
        t->bytes = (size_t)bytes;
        return;
    }
    if (bytes < 0)
        tlbc_rt_report(s, TLBC_ERROR_MEMORY,
                       "a value sized by data is larger than the address space");
    else
        tlbc_rt_report(s, TLBC_ERROR_MEMORY, "cannot allocate %lld bytes for a value sized by data",
                       (long long)bytes);
    rt_stop_all(s, TLBC_ERROR_MEMORY);
}

/* Room for `bytes` in a cell that has memory of its own, contents kept; grows by doubling. */
static bool rt_make_room(tlbc_session *s, tlbc_tensor *t, size_t bytes, size_t used) {
    if (t->data && bytes <= t->bytes) return true;
    size_t room = bytes > 2 * t->bytes ? bytes : 2 * t->bytes;
    void *memory = tlbc_rt_heap_take(&s->heap, room);
    if (!memory) {
        tlbc_rt_report(s, TLBC_ERROR_MEMORY, "cannot allocate %zu bytes for a value sized by data",
                       room);
        rt_stop_all(s, TLBC_ERROR_MEMORY);
        return false;
    }
    if (used) memcpy(memory, t->data, used);
    t->data = memory;
    t->bytes = room;
    return true;
}

static void rt_take_shape(tlbc_tensor *t, const tlbc_tensor *from) {
    t->dtype = from->dtype;
    t->rank = from->rank;
    memcpy(t->dims, from->dims, sizeof t->dims);
}

void tlbc_rt_copy_cell(const tlbc_frame *frame, int64_t to, int64_t from) {
    tlbc_tensor *t = &frame->cells[to];
    const tlbc_tensor *x = &frame->cells[from];
    size_t bytes = 0;
    if (frame->session->stopped) return;
    tlbc_rt_bytes(x->dtype, x->rank, x->dims, &bytes);
    if (!rt_make_room(frame->session, t, bytes, 0)) return;
    rt_take_shape(t, x);
    if (bytes) memcpy(t->data, x->data, bytes);
}

void tlbc_rt_assign(const tlbc_frame *frame, int64_t to, int64_t from) {
    const tlbc_program *p = frame->session->model->program;
    if (frame->session->stopped) return;
    if (!p->cells[from].borrowed) {
        frame->cells[to] = frame->cells[from];
        return;
    }
    frame->cells[to] = (tlbc_tensor){0};
    tlbc_rt_copy_cell(frame, to, from);
}

/* The first item says what the others must be. */
void tlbc_rt_append(const tlbc_frame *frame, int64_t to, int64_t item) {
    tlbc_session *s = frame->session;
    tlbc_tensor *t = &frame->cells[to];
    const tlbc_tensor *x = &frame->cells[item];
    size_t bytes = 0;
    if (s->stopped) return;
    tlbc_rt_bytes(x->dtype, x->rank, x->dims, &bytes);
    bool first = t->dims[0] == 0, fits = first || t->rank == x->rank + 1;
    for (uint32_t i = 0; !first && fits && i < x->rank; i++)
        fits = t->dims[i + 1] == x->dims[i];
    if (!fits || x->rank + 1 > TLBC_MAX_RANK) {
        tlbc_rt_report(s, TLBC_ERROR_DATA, "outputs of a loop that are stacked differ in shape");
        rt_stop_all(s, TLBC_ERROR_DATA);
        return;
    }
    size_t used = bytes * (size_t)t->dims[0];
    if (!rt_make_room(s, t, used + bytes, used)) return;
    t->rank = x->rank + 1;
    t->dims[0]++;
    for (uint32_t i = 0; i < x->rank; i++)
        t->dims[i + 1] = x->dims[i];
    if (bytes) memcpy((char *)t->data + used, x->data, bytes);
}

/* Operands that lie in memory of the plan, copied. */
static bool rt_own_operands(tlbc_rt_call *c, const tlbc_call_info *info, const tlbc_program *p,
                            const tlbc_tensor **in) {
    for (uint32_t i = 0; i < info->n_in; i++) {
        int32_t cell = info->cells[i];
        if (cell < 0 || !p->cells[cell].borrowed) continue;
        const tlbc_tensor *from = in[i];
        tlbc_tensor *copy = tlbc_rt_alloc(c, 1, sizeof *copy);
        if (!copy || !tlbc_rt_new_tensor(c, copy, from->dtype, from->rank, from->dims))
            return false;
        if (copy->bytes) memcpy(copy->data, from->data, copy->bytes);
        in[i] = copy;
    }
    return true;
}

static bool rt_run_call(tlbc_session *s, const tlbc_call_info *info, tlbc_rt_call *c) {
    const tlbc_tensor **in = tlbc_rt_alloc(c, info->n_in, sizeof *in);
    c->out = tlbc_rt_alloc(c, info->n_out, sizeof *c->out);
    if (!in || !c->out) return false;
    for (uint32_t i = 0; i < info->n_in; i++)
        in[i] = info->cells[i] >= 0 ? &s->cells[info->cells[i]] : NULL;
    c->in = in;
    for (uint32_t i = 0; i < info->n_out; i++) {
        int32_t cell = info->cells[info->n_in + i];
        if (cell >= 0) c->out[i].dtype = (tlbc_dtype)s->model->program->cells[cell].dtype;
    }
    if (info->keeps && !rt_own_operands(c, info, s->model->program, in)) return false;
    if (!info->fn(c)) return false;
    for (uint32_t i = 0; i < info->n_out; i++)
        if (info->cells[info->n_in + i] >= 0) s->cells[info->cells[info->n_in + i]] = c->out[i];
    return true;
}

void tlbc_rt_invoke(const tlbc_frame *frame, int64_t call) {
    tlbc_session *s = frame->session;
    const tlbc_call_info *info = &s->model->program->calls[call];
    tlbc_rt_call c = {.attrs = info->attrs,
                      .n_attrs = info->n_attrs,
                      .n_in = info->n_in,
                      .n_out = info->n_out,
                      .heap = &s->heap};
    if (s->stopped || rt_run_call(s, info, &c)) return;
    tlbc_rt_report(s, c.status, "%s: %s", info->where, c.message);
    rt_stop_all(s, c.status);
}
