#define _GNU_SOURCE /* dladdr */
#include "runtime/weights.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(tlbc_weights_header) == 64, "the weights behind it stay aligned");

const char *tlbc_rt_library_path(const tlbc_model *m) {
    Dl_info info;
    return dladdr(m, &info) && info.dli_fname && info.dli_fname[0] ? info.dli_fname : NULL;
}

/* The side file's name: a plain name, looked for beside the model. */
static bool rt_side_path(const tlbc_model *m, char *path, size_t size) {
    const char *library = tlbc_rt_library_path(m), *name = m->program->weights_file;
    if (!name || strchr(name, '/')) return false;
    const char *slash = library ? strrchr(library, '/') : NULL;
    int folder = slash ? (int)(slash - library + 1) : 0;
    int n = snprintf(path, size, "%.*s%s", folder, library ? library : "", name);
    return n > 0 && (size_t)n < size;
}

static tlbc_status rt_check_header(const tlbc_program *p, const void *map, size_t bytes) {
    tlbc_weights_header h;
    memcpy(&h, map, sizeof h);
    if (memcmp(h.magic, TLBC_WEIGHTS_MAGIC, sizeof h.magic) || h.hash != p->weights_hash)
        return TLBC_ERROR_VERSION;
    return h.bytes == bytes - sizeof h ? TLBC_OK : TLBC_ERROR_IO;
}

static tlbc_status rt_map(const char *path, tlbc_rt_weights *w) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return TLBC_ERROR_IO;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
              (size_t)st.st_size >= sizeof(tlbc_weights_header);
    void *map = ok ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (map == MAP_FAILED) return TLBC_ERROR_IO;
    *w = (tlbc_rt_weights){(const char *)map + sizeof(tlbc_weights_header), map,
                           (size_t)st.st_size};
    return TLBC_OK;
}

tlbc_status tlbc_rt_weights_open(const tlbc_model *m, tlbc_rt_weights *w) {
    const tlbc_program *p = m->program;
    *w = (tlbc_rt_weights){.data = p->weights};
    if (p->weights || !p->weights_file) return TLBC_OK;
    char path[PATH_MAX];
    if (!rt_side_path(m, path, sizeof path)) return TLBC_ERROR_IO;
    tlbc_status status = rt_map(path, w);
    if (status) return status;
    status = rt_check_header(p, w->map, w->map_bytes);
    if (status) tlbc_rt_weights_release(w);
    return status;
}

void tlbc_rt_weights_release(tlbc_rt_weights *w) {
    if (w->map) munmap(w->map, w->map_bytes);
    *w = (tlbc_rt_weights){0};
}
