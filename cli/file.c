#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(diag *d, const char *what, const char *path) {
    return diag_error(d, NULL, "cannot %s '%s': %s", what, path, strerror(errno));
}

bool file_read(diag *d, tl_arena *a, const char *path, tl_sv *out) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(d, "open", path);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        if (S_ISDIR(st.st_mode)) errno = EISDIR;
        close(fd);
        return fail(d, "read", path);
    }
    size_t size = (size_t)st.st_size, got = 0;
    char *data = tl_arena_alloc(a, size + 1, 64);
    while (got < size) {
        ssize_t n = read(fd, data + got, size - got);
        if (n <= 0) break;
        got += (size_t)n;
    }
    close(fd);
    if (got < size) return fail(d, "read", path);
    *out = (tl_sv){data, size};
    return true;
}

bool file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

bool file_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_make_folder(diag *d, const char *path) {
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && file_is_folder(path))) return true;
    return fail(d, "make the folder", path);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *file_extension(const char *path) {
    const char *dot = strrchr(base_name(path), '.');
    return dot ? dot : "";
}

const char *file_stem(tl_arena *a, const char *path) {
    const char *base = base_name(path), *dot = strrchr(base, '.');
    return tl_arena_strndup(a, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

const char *file_safe_name(tl_arena *a, const char *name) {
    char *s = tl_arena_strdup(a, name[0] ? name : "_");
    for (char *p = s; *p; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                  (*p >= '0' && *p <= '9') || *p == '_' || *p == '-' || (*p == '.' && p > s);
        if (!ok) *p = '_';
    }
    return s;
}
