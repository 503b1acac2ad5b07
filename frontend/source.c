/* Opening and mapping files. A mapping belongs to the context's cleanups, because constants of the
 * module point into it. A file that is cut short by another process while mapped ends this process
 * with SIGBUS: the price of not copying weights. */
#include "frontend/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void mapping_release(void *data) {
    fe_mapping *m = data;
    if (m->data) munmap(m->data, m->size);
}

fe_mapping *fe_mapping_create(ir_ctx *c) {
    fe_mapping *m = TL_NEW(&c->arena, fe_mapping);
    ir_ctx_add_cleanup(c, mapping_release, m);
    return m;
}

/* An empty file maps to no bytes. */
static int map_regular(int fd, fe_mapping *m) {
    struct stat st;
    if (fstat(fd, &st)) return errno;
    if (S_ISDIR(st.st_mode)) return EISDIR;
    if (!S_ISREG(st.st_mode)) return ENODEV;
    if (st.st_size == 0) return 0;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return errno;
    m->data = p;
    m->size = (size_t)st.st_size;
    return 0;
}

int fe_mapping_map(fe_mapping *m, int fd) {
    int error = map_regular(fd, m);
    close(fd);
    return error;
}

void fe_source_init_buffer(fe_source *s, ir_ctx *c, tl_arena *a, const char *name, fe_bytes bytes) {
    *s = (fe_source){.c = c, .arena = a, .bytes = bytes};
    s->path = ir_name(c, name);
    ir_loc *loc = TL_NEW(a, ir_loc);
    loc->file = s->path;
    s->loc = loc;
    tl_map_init(&s->externals, a);
}

static const char *folder_of(fe_source *s) {
    const char *slash = strrchr(s->path, '/');
    if (!slash) return ".";
    if (slash == s->path) return "/";
    return tl_arena_strndup(s->arena, s->path, (size_t)(slash - s->path));
}

bool fe_source_open(fe_source *s, ir_ctx *c, tl_arena *a, const char *path) {
    fe_source_init_buffer(s, c, a, path, (fe_bytes){NULL, 0});
    s->folder = folder_of(s);
    fe_mapping *m = fe_mapping_create(c);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return diag_error(&c->diag, s->loc, "cannot open: %s", strerror(errno));
    int error = fe_mapping_map(m, fd);
    if (error) return diag_error(&c->diag, s->loc, "cannot read: %s", strerror(error));
    s->bytes = (fe_bytes){m->data, m->size};
    return true;
}
