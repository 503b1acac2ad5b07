/* A step of several streams where the program takes one: a run for each, on row after row of the caller's tensors.
 *
 *   inputs of the program   f32[1,4,64] %x, f32[3] %h      a step of n streams is given   f32[n,4,64], f32[n,3]
 *
 * A row of a tensor is what a stream has: where the first dimension of the program's is 1 (or counts streams) it lies there, else there
 * is one dimension more in front. Each run writes its row of `next`; the states are taken over when all have gone well. */
#include "runtime/session.h"

#include <string.h>

/* Streams lie along the first dimension, not in front of it. */
static bool rt_leads(const tlbc_session *s, const tlbc_tensor_info *info) {
    int32_t symbol = s->model->program->stream_symbol;
    if (!info->rank || info->rank == TLBC_ANY_RANK) return false;
    const tlbc_dim *d = &info->dims[0];
    return d->value == 1 || (symbol && d->bind == symbol - 1) ||
           (symbol && d->symbol && !strcmp(d->symbol, s->model->symbols[symbol - 1]));
}

uint64_t tlbc_rt_rows_given(const tlbc_session *s, const tlbc_tensor *in) {
    if (!s->model->n_inputs || !in) return 1;
    const tlbc_tensor_info *info = &s->model->inputs[0];
    bool rows = in[0].rank && (rt_leads(s, info) || in[0].rank == info->rank + 1);
    return !rows ? 1 : in[0].dims[0] < 0 ? UINT64_MAX : (uint64_t)in[0].dims[0];
}

/* The shape of a row; false where the tensor has not n of them. */
static bool rt_row_shape(const tlbc_session *s, const tlbc_tensor_info *info, const tlbc_tensor *t,
                         uint32_t n, tlbc_tensor *row) {
    *row = *t;
    if (n == 1 && t->rank == info->rank) return true;
    if (!t->rank || t->dims[0] != (int64_t)n) return false;
    if (rt_leads(s, info)) {
        row->dims[0] = 1;
        return t->rank == info->rank;
    }
    row->rank--;
    memmove(row->dims, row->dims + 1, row->rank * sizeof *row->dims);
    return row->rank == info->rank;
}

static tlbc_status rt_row_of_input(tlbc_session *s, const tlbc_tensor *in, uint32_t i, uint32_t n,
                                   uint32_t k, bool with_data) {
    tlbc_tensor *row = &s->states.rows[i];
    size_t all, bytes;
    if (in[i].rank > TLBC_MAX_RANK || !rt_row_shape(s, &s->model->inputs[i], &in[i], n, row))
        return tlbc_rt_bad_input(s, in, i, "it does not hold %u streams, each with a row", n);
    if (!tlbc_rt_tensor_bytes(row->dtype, row->rank, row->dims, &bytes) ||
        !tlbc_rt_tensor_bytes(in[i].dtype, in[i].rank, in[i].dims, &all))
        return tlbc_rt_bad_input(s, in, i, "its size overflows");
    if (all != n * bytes) return tlbc_rt_bad_input(s, in, i, "rows are no whole bytes");
    row->bytes = bytes;
    if (!with_data) return TLBC_OK;
    if (in[i].bytes < all)
        return tlbc_rt_bad_input(s, in, i, "%zu bytes of data, %zu are needed", in[i].bytes, all);
    row->data = in[i].data ? (char *)in[i].data + k * bytes : NULL;
    return TLBC_OK;
}

tlbc_status tlbc_rt_row_take(tlbc_session *s, const tlbc_tensor *in, uint32_t n, uint32_t k,
                             bool with_data) {
    s->states.stream = tlbc_rt_stream(&s->states, k);
    for (uint32_t i = 0; i < s->model->n_inputs; i++) {
        tlbc_status status = rt_row_of_input(s, in, i, n, k, with_data);
        if (status) return status;
    }
    return TLBC_OK;
}

/* The caller's tensor, of n rows of this shape. */
static void rt_all_rows(const tlbc_session *s, const tlbc_tensor_info *info, const tlbc_tensor *row,
                        uint32_t n, tlbc_tensor *out) {
    bool leads = rt_leads(s, info);
    out->dtype = row->dtype;
    out->rank = row->rank + !leads;
    memmove(out->dims + !leads, row->dims, row->rank * sizeof *row->dims);
    out->dims[0] = n;
}

static tlbc_status rt_shape_of_rows(tlbc_session *s, tlbc_tensor *out, uint32_t i, uint32_t n,
                                    size_t *needed) {
    const tlbc_tensor_info *info = &s->model->outputs[i];
    const tlbc_tensor *row = &s->states.rows[s->model->n_inputs + i];
    size_t bytes;
    bool fits = row->rank + !rt_leads(s, info) <= TLBC_MAX_RANK;
    if (fits) rt_all_rows(s, info, row, n, &out[i]);
    if (!fits || __builtin_mul_overflow(row->bytes, (size_t)n, needed) ||
        !tlbc_rt_tensor_bytes(out[i].dtype, out[i].rank, out[i].dims, &bytes))
        return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "output %u '%s': its size overflows", i,
                              info->name);
    if (bytes == *needed) return TLBC_OK;
    return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT, "output %u '%s': rows are no whole bytes", i,
                          info->name);
}

tlbc_status tlbc_rt_rows_shapes(tlbc_session *s, tlbc_tensor *out, uint32_t n) {
    for (uint32_t i = 0; i < s->model->n_outputs; i++) {
        tlbc_status status = rt_shape_of_rows(s, out, i, n, &out[i].bytes);
        if (status) return status;
    }
    return TLBC_OK;
}

tlbc_status tlbc_rt_rows_room(tlbc_session *s, tlbc_tensor *out, uint32_t n) {
    for (uint32_t i = 0; i < s->model->n_outputs; i++) {
        size_t needed, room = out[i].data ? out[i].bytes : 0;
        tlbc_status status = rt_shape_of_rows(s, out, i, n, &needed);
        if (status) return status;
        if (room < needed)
            return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                                  "output %u '%s': room for %zu bytes, %u streams need %zu", i,
                                  s->model->outputs[i].name, room, n, needed);
        s->states.rows[s->model->n_inputs + i].data = out[i].data;
    }
    return TLBC_OK;
}

tlbc_status tlbc_rt_row_check(tlbc_session *s, const tlbc_tensor *out, uint32_t n) {
    for (uint32_t i = 0; i < s->model->n_outputs; i++) {
        tlbc_tensor expected = out[i], *row = &s->states.rows[s->model->n_inputs + i];
        rt_all_rows(s, &s->model->outputs[i], row, n, &expected);
        if (memcmp(expected.dims, out[i].dims, out[i].rank * sizeof *expected.dims))
            return tlbc_rt_report(s, TLBC_ERROR_ARGUMENT,
                                  "output %u '%s': it has another size for each stream of this "
                                  "step; take them one at a time",
                                  i, s->model->outputs[i].name);
    }
    return TLBC_OK;
}

void tlbc_rt_row_next(tlbc_session *s) {
    for (uint32_t i = 0; i < s->model->n_outputs; i++) {
        tlbc_tensor *row = &s->states.rows[s->model->n_inputs + i];
        row->data = row->data ? (char *)row->data + row->bytes : NULL;
    }
}
