#include "cli/data.h"

#include "cli/file.h"
#include "cli/model.h"
#include "codegen/output.h"
#include "frontend/frontend.h"
#include "ir/call.h"

#include <math.h>

tlbc_tensor data_from_ir(const ir_tensor *t) {
    tlbc_tensor out = {.data = (void *)(uintptr_t)t->data,
                       .bytes = t->bytes,
                       .dtype = (tlbc_dtype)t->type->dtype,
                       .rank = (uint32_t)t->type->rank};
    for (uint32_t i = 0; i < out.rank; i++)
        ir_dim_is_const(t->type->dims[i], &out.dims[i]);
    return out;
}

const ir_tensor *data_to_ir(cli *c, const tlbc_tensor *t) {
    const ir_type *type = ir_type_tensor_static(&c->ctx, (ir_dtype)t->dtype, (int32_t)t->rank,
                                                t->dims);
    return ir_tensor_create(c->arena, type, t->data);
}

static bool read_npy(cli *c, const char *path, tlbc_tensor *out) {
    tl_sv bytes;
    return file_read(c->diag, c->arena, path, &bytes) &&
           npy_read(c->diag, c->arena, path, bytes.data, bytes.len, out);
}

static bool read_npz(cli *c, const char *path, const char *name, tlbc_tensor *out) {
    npz_entry *entries;
    uint32_t n;
    if (!npz_read(c->diag, c->arena, path, &entries, &n)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (n == 1 || !strcmp(entries[i].name, name)) {
            *out = entries[i].tensor;
            return true;
        }
    return diag_error(c->diag, NULL, "%s: no array named '%s' among its %u", path, name, n);
}

static bool read_pb(cli *c, const char *path, tlbc_tensor *out) {
    const ir_tensor *t;
    if (!fe_read_tensor_pb(&c->ctx, c->arena, path, &t)) return false;
    if (t->type->rank > TLBC_MAX_RANK)
        return diag_error(c->diag, NULL, "%s: rank is %d, at most %d can be run", path,
                          t->type->rank, TLBC_MAX_RANK);
    *out = data_from_ir(t);
    return true;
}

bool data_read(cli *c, const char *path, const char *name, tlbc_tensor *out) {
    const char *ext = file_extension(path);
    if (!strcmp(ext, ".npy")) return read_npy(c, path, out);
    if (!strcmp(ext, ".npz")) return read_npz(c, path, name, out);
    if (!strcmp(ext, ".pb")) return read_pb(c, path, out);
    return diag_error(c->diag, NULL, "%s: unknown kind of data file, expected .npy, .npz or .pb",
                      path);
}

static const ir_type *type_of(cli *c, const tlbc_tensor_info *info) {
    switch (info->dtype) {
    case TLBC_SEQUENCE:
        return ir_type_sequence(&c->ctx, type_of(c, info->element));
    case TLBC_OPTIONAL:
        return ir_type_optional(&c->ctx, type_of(c, info->element));
    case TLBC_MAP:
        return ir_type_map(&c->ctx, (ir_dtype)info->element[0].dtype,
                           type_of(c, &info->element[1]));
    default:
        return ir_type_unranked(&c->ctx, (ir_dtype)info->dtype);
    }
}

bool data_read_value(cli *c, const char *path, const tlbc_tensor_info *info, tlbc_tensor *out) {
    ir_datum d = {0};
    if (!info->element) return data_read(c, path, "", out);
    if (!fe_read_value_pb(&c->ctx, c->arena, path, type_of(c, info), &d)) return false;
    if (!ir_datum_fits_runtime(&d))
        return diag_error(c->diag, NULL, "%s: a tensor of more than %d dimensions", path,
                          TLBC_MAX_RANK);
    ir_datum_to_runtime(c->arena, &d, out);
    return true;
}

bool data_write(cli *c, const char *folder, const char *name, const tlbc_tensor *t) {
    tl_str bytes;
    tl_str_init(&bytes, c->arena);
    if (t->dtype >= TLBC_SEQUENCE)
        return diag_error(c->diag, NULL, "output '%s' is a list: it has no .npy file", name);
    const char *path = tl_arena_printf(c->arena, "%s/%s.npy", folder,
                                       file_safe_name(c->arena, name));
    return npy_write(c->diag, path, t, &bytes) &&
           cg_file_write(&c->ctx, path, (tl_sv){bytes.data, bytes.len});
}

/* ---- comparison ----------------------------------------------------------------------------------------------- */

static bool same_shape(const tlbc_tensor *a, const tlbc_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    return a->rank == 0 || !memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]);
}

static size_t count_elements(const tlbc_tensor *t) {
    size_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (size_t)t->dims[i];
    return n;
}

const char *data_index_text(tl_arena *a, const tlbc_tensor *t, size_t at) {
    int64_t index[TLBC_MAX_RANK];
    tl_str s;
    tl_str_init(&s, a);
    for (uint32_t d = t->rank; d-- > 0; at /= (size_t)t->dims[d])
        index[d] = (int64_t)(at % (size_t)t->dims[d]);
    for (uint32_t d = 0; d < t->rank; d++)
        tl_str_printf(&s, "%s%lld", d ? "," : "[", (long long)index[d]);
    tl_str_puts(&s, t->rank ? "]" : "[]");
    return s.data;
}

static bool close_enough(double got, double want, data_tolerance tol) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got)) return got == want;
    return fabs(got - want) <= tol.atol + tol.rtol * fabs(want);
}

/* 64-bit integers do not fit into a double: equal ones are equal whatever their size. */
static bool element_equal(const tlbc_tensor *got, const tlbc_tensor *want, size_t i,
                          data_tolerance tol, double *g, double *w) {
    ir_dtype t = (ir_dtype)got->dtype;
    size_t parts = ir_dtype_get_class(t) == DTYPE_COMPLEX ? 2 : 1;
    if (parts == 2) t = t == DT_c64 ? DT_f32 : DT_f64;
    for (size_t p = i * parts; p < (i + 1) * parts; p++) {
        if ((t == DT_i64 || t == DT_u64) &&
            ir_element_get_i64(t, got->data, p) == ir_element_get_i64(t, want->data, p))
            continue;
        *g = ir_element_get_f64(t, got->data, p);
        *w = ir_element_get_f64(t, want->data, p);
        if (!close_enough(*g, *w, tol)) return false;
    }
    return true;
}

static bool compare_strings(tl_arena *a, const tlbc_tensor *got, const tlbc_tensor *want,
                            const char **text) {
    const tl_sv *g = got->data, *w = want->data;
    for (size_t i = 0, n = count_elements(got); i < n; i++) {
        if (tl_sv_equal(g[i], w[i])) continue;
        *text = tl_arena_printf(a, "element %s is '%.*s', expected '%.*s'",
                                data_index_text(a, got, i), (int)g[i].len, g[i].data, (int)w[i].len,
                                w[i].data);
        return false;
    }
    return true;
}

/* Lists of one length: item by item. */
static bool compare_lists(tl_arena *a, const tlbc_tensor *got, const tlbc_tensor *want,
                          data_tolerance tol, const char **text) {
    const tlbc_tensor *g = got->data, *w = want->data;
    for (int64_t i = 0; i < got->dims[0]; i++) {
        if (data_compare(a, &g[i], &w[i], tol, text)) continue;
        *text = tl_arena_printf(a, "item %lld %s", (long long)i, *text);
        return false;
    }
    return true;
}

bool data_compare(tl_arena *a, const tlbc_tensor *got, const tlbc_tensor *want, data_tolerance tol,
                  const char **text) {
    *text = NULL;
    if (!same_shape(got, want)) {
        *text = tl_arena_printf(a, "is %s, expected %s", tensor_type_text(a, got),
                                tensor_type_text(a, want));
        return false;
    }
    if (got->dtype >= TLBC_SEQUENCE) return compare_lists(a, got, want, tol, text);
    if (got->dtype == TLBC_STRING) return compare_strings(a, got, want, text);
    size_t n = count_elements(got), wrong = 0, first = 0;
    double g, w, first_g = 0, first_w = 0;
    for (size_t i = 0; i < n; i++) {
        if (element_equal(got, want, i, tol, &g, &w)) continue;
        if (!wrong++) first = i, first_g = g, first_w = w;
    }
    if (!wrong) return true;
    *text = tl_arena_printf(a, "%zu of %zu elements differ, the first at %s: %.9g, expected %.9g",
                            wrong, n, data_index_text(a, got, first), first_g, first_w);
    return false;
}

bool data_same_bits(tl_arena *a, const tlbc_tensor *got, const tlbc_tensor *want,
                    const char **text) {
    bool is_data = got->dtype < TLBC_SEQUENCE && got->dtype != TLBC_STRING;
    if (!data_compare(a, got, want, (data_tolerance){0}, text)) return false;
    if (!is_data || got->bytes == 0 || !memcmp(got->data, want->data, got->bytes)) return true;
    *text = "has zeros or NaNs with other bits";
    return false;
}
