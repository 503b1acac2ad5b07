#include "cli/npz.h"

#include <zip.h>

enum { MAX_ENTRIES = 10000 };

static bool report(diag *d, const char *path, const char *entry, const char *text) {
    return diag_error(d, NULL, "%s: entry '%s': %s", path, entry, text);
}

/* The archive may claim any size: memory is taken as the data comes, never ahead of it by more than a factor of two. */
static bool read_bytes(zip_file_t *f, tl_arena *a, tl_str *out) {
    char block[1 << 16];
    zip_int64_t n;
    tl_str_init(out, a);
    while ((n = zip_fread(f, block, sizeof block)) > 0)
        tl_str_append(out, block, (size_t)n);
    return n == 0;
}

static const char *array_name(tl_arena *a, const char *file) {
    size_t n = strlen(file);
    if (n > 4 && !strcmp(file + n - 4, ".npy")) n -= 4;
    return tl_arena_strndup(a, file, n);
}

static bool read_entry(diag *d, tl_arena *a, const char *path, zip_t *z, zip_uint64_t i,
                       npz_entry *out) {
    const char *file = zip_get_name(z, i, 0);
    if (!file) return report(d, path, "?", zip_strerror(z));
    out->name = array_name(a, file);
    zip_file_t *f = zip_fopen_index(z, i, 0);
    if (!f) return report(d, path, out->name, zip_strerror(z));
    tl_str bytes;
    bool ok = read_bytes(f, a, &bytes);
    zip_fclose(f);
    if (!ok) return report(d, path, out->name, "damaged");
    const char *label = tl_arena_printf(a, "%s: %s", path, file);
    return npy_read(d, a, label, bytes.data, bytes.len, &out->tensor);
}

bool npz_read(diag *d, tl_arena *a, const char *path, npz_entry **entries, uint32_t *n) {
    int code = 0;
    zip_t *z = zip_open(path, ZIP_RDONLY, &code);
    if (!z) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        diag_error(d, NULL, "cannot open '%s': %s", path, zip_error_strerror(&error));
        zip_error_fini(&error);
        return false;
    }
    zip_int64_t count = zip_get_num_entries(z, 0);
    bool ok = count >= 0 && count <= MAX_ENTRIES;
    if (!ok) diag_error(d, NULL, "%s: more than %d entries", path, MAX_ENTRIES);
    *entries = ok ? TL_NEW_ARRAY(a, npz_entry, (size_t)count) : NULL;
    for (zip_int64_t i = 0; ok && i < count; i++)
        ok = read_entry(d, a, path, z, (zip_uint64_t)i, &(*entries)[i]);
    zip_discard(z);
    *n = ok ? (uint32_t)count : 0;
    return ok;
}
