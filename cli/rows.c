/* Rows of streams in tensors; see rows.h. */
#include "cli/rows.h"

/* The dimension of info that counts streams; -1 where none does. */
static int32_t counting_axis(const tlbc_model *m, const tlbc_tensor_info *info) {
    const char *symbol = model_stream_symbol(m);
    for (uint32_t d = 0; symbol && d < info->rank; d++)
        if (info->dims[d].symbol && !strcmp(info->dims[d].symbol, symbol)) return (int32_t)d;
    return !symbol && info->rank && info->dims[0].value == 1 ? 0 : -1;
}

bool rows_find(const tlbc_model *m, const tlbc_tensor_info *info, const tlbc_tensor *row,
               row_layout *out) {
    int32_t axis = counting_axis(m, info);
    bool batched = model_stream_symbol(m) != NULL;
    if (batched && axis < 0) return false;
    *out = (row_layout){.outer = 1, .axis = axis < 0 ? 0 : (uint32_t)axis};
    out->inserted = batched ? row->rank + 1 == info->rank : axis < 0;
    for (uint32_t d = 0; d < out->axis; d++)
        out->outer *= (size_t)row->dims[d];
    out->inner = out->outer ? row->bytes / out->outer : 0;
    return true;
}

tlbc_tensor rows_shape(const row_layout *l, const tlbc_tensor *row, uint32_t n) {
    tlbc_tensor t = *row;
    t.data = NULL;
    t.bytes = row->bytes * n;
    if (l->inserted) {
        memmove(t.dims + 1, t.dims, t.rank * sizeof *t.dims);
        t.rank++;
    }
    t.dims[l->axis] = n;
    return t;
}

static char *part(const row_layout *l, const tlbc_tensor *all, uint32_t n, size_t o, uint32_t k) {
    return (char *)all->data + (o * n + k) * l->inner;
}

void rows_put(const row_layout *l, const tlbc_tensor *all, uint32_t n, uint32_t k,
              const tlbc_tensor *row) {
    for (size_t o = 0; l->inner && o < l->outer; o++)
        memcpy(part(l, all, n, o, k), (char *)row->data + o * l->inner, l->inner);
}

bool rows_equal(const row_layout *l, const tlbc_tensor *all, uint32_t n, uint32_t k,
                const tlbc_tensor *row) {
    bool same = all->bytes >= row->bytes * n;
    for (size_t o = 0; same && l->inner && o < l->outer; o++)
        same = !memcmp(part(l, all, n, o, k), (char *)row->data + o * l->inner, l->inner);
    return same;
}
