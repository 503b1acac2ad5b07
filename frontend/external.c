/* Tensors whose bytes lie in another file (external_data: location, offset, length).
 *
 * The location is a path that must stay below the model's folder: not absolute, no "..", and no
 * symbolic link that leads out. On Linux the kernel checks that while it opens the file
 * (openat2 with RESOLVE_BENEATH); where that call is missing, the resolved path is compared. */
#include "frontend/initializer.h"

#include "ir/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* One external file, mapped as a whole when the first tensor asks for it. */
typedef struct fe_external {
    fe_mapping *mapping; /* NULL: could not be opened, reported once */
} fe_external;

typedef struct external_ref {
    const char *location;
    uint64_t offset, length;
    bool has_length;
} external_ref;

/* Every component must be a plain name. */
static bool is_plain_relative(const char *path) {
    if (!*path || *path == '/') return false;
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') return false;
        p += n;
        p += strspn(p, "/");
    }
    return true;
}

/* Without help from the kernel: open, then compare where it led. -1 with errno set. */
static int open_checked(const char *folder, const char *location) {
    char base[PATH_MAX], full[PATH_MAX], joined[PATH_MAX];
    if ((size_t)snprintf(joined, sizeof joined, "%s/%s", folder, location) >= sizeof joined) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (!realpath(folder, base) || !realpath(joined, full)) return -1;
    size_t n = strlen(base);
    if (strcmp(base, "/") != 0 && (strncmp(full, base, n) != 0 || full[n] != '/')) {
        errno = EXDEV;
        return -1;
    }
    return open(full, OPEN_FLAGS | O_NOFOLLOW);
}

static int open_beneath(const char *folder, const char *location) {
#ifdef SYS_openat2
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return -1;
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir, location, &how, sizeof how);
    int error = errno;
    close(dir);
    errno = error;
    if (fd >= 0 || (error != ENOSYS && error != EPERM)) return fd;
#endif
    return open_checked(folder, location);
}

static fe_mapping *open_external(fe_source *s, const ir_loc *loc, const pb_tensor *t,
                                 const char *location) {
    fe_mapping *m = fe_mapping_create(s->c);
    int fd = open_beneath(s->folder, location);
    int error = fd < 0 ? errno : fe_mapping_map(m, fd);
    if (!error) return m;
    if (error == EXDEV)
        diag_error(&s->c->diag, loc, "tensor '%s': external data '%s' leads out of folder '%s'",
                   pb_text(t->name), location, s->folder);
    else
        diag_error(&s->c->diag, loc,
                   "tensor '%s': cannot read external data '%s' in folder '%s': %s",
                   pb_text(t->name), location, s->folder, strerror(error));
    return NULL;
}

static fe_mapping *find_external(fe_source *s, const ir_loc *loc, const pb_tensor *t,
                                 const char *location) {
    const char *key = ir_name(s->c, location);
    fe_external *e = tl_map_get_ptr(&s->externals, key);
    if (e) return e->mapping;
    e = TL_NEW(s->arena, fe_external);
    e->mapping = open_external(s, loc, t, location);
    tl_map_set_ptr(&s->externals, key, e);
    return e->mapping;
}

static bool parse_size(const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool read_entry(external_ref *r, const char *key, const char *value) {
    if (strcmp(key, "location") == 0) r->location = value;
    if (strcmp(key, "offset") == 0) return parse_size(value, &r->offset);
    if (strcmp(key, "length") != 0) return true;
    r->has_length = true;
    return parse_size(value, &r->length);
}

static bool read_ref(fe_source *s, const ir_loc *loc, const pb_tensor *t, external_ref *r) {
    *r = (external_ref){0};
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *key = pb_text(t->external_data[i]->key);
        const char *value = pb_text(t->external_data[i]->value);
        if (!read_entry(r, key, value))
            return diag_error(&s->c->diag, loc, "tensor '%s': external data has %s '%s'",
                              pb_text(t->name), key, value);
    }
    const char *name = pb_text(t->name);
    if (!r->location)
        return diag_error(&s->c->diag, loc, "tensor '%s': external data has no location", name);
    if (strlen(r->location) > IR_MAX_NAME || !is_plain_relative(r->location))
        return diag_error(&s->c->diag, loc,
                          "tensor '%s': external data '%.200s' is not below the model's folder",
                          name, r->location);
    return true;
}

bool fe_external_bytes(fe_source *s, const ir_loc *loc, const pb_tensor *t, size_t bytes,
                       const uint8_t **out) {
    if (!loc) loc = s->loc;
    const char *name = pb_text(t->name);
    if (!s->folder)
        return diag_error(&s->c->diag, loc, "tensor '%s': external data, but there is no folder",
                          name);
    external_ref r;
    if (!read_ref(s, loc, t, &r)) return false;
    if (r.has_length && r.length != bytes)
        return diag_error(&s->c->diag, loc,
                          "tensor '%s': external data has %llu bytes, its shape and type need %zu",
                          name, (unsigned long long)r.length, bytes);
    fe_mapping *m = find_external(s, loc, t, r.location);
    if (!m) return false;
    if (r.offset > m->size || m->size - r.offset < bytes)
        return diag_error(&s->c->diag, loc,
                          "tensor '%s': needs bytes %llu to %llu of '%s', which has %zu", name,
                          (unsigned long long)r.offset, (unsigned long long)(r.offset + bytes),
                          r.location, m->size);
    *out = (const uint8_t *)m->data + r.offset;
    return true;
}
