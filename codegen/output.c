#define _GNU_SOURCE /* O_TMPFILE, memfd_create */
#include "codegen/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool report(ir_ctx *c, const char *path) {
    return diag_error(&c->diag, NULL, "cannot write '%s': %s", path, strerror(errno));
}

static const char *folder_of(ir_ctx *c, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return ".";
    return slash == path ? "/" : tl_arena_strndup(&c->arena, path, (size_t)(slash - path));
}

int cg_scratch_create(ir_ctx *c, const char *near) {
    int fd = open(folder_of(c, near), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool unsupported = fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);
    if (unsupported) fd = memfd_create("tlbc", MFD_CLOEXEC);
    if (fd < 0) report(c, near);
    return fd;
}

bool cg_write_all(int fd, const void *data, size_t n) {
    const char *p = data;
    while (n) {
        ssize_t done = write(fd, p, n < (1u << 30) ? n : 1u << 30);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

bool cg_write_zeros(int fd, uint64_t n) {
    static const char zeros[4096];
    for (; n; n -= n < sizeof zeros ? n : sizeof zeros)
        if (!cg_write_all(fd, zeros, n < sizeof zeros ? n : sizeof zeros)) return false;
    return true;
}

/* ---- named files ---------------------------------------------------------------------------------------------- */

const char *cg_temporary_name(ir_ctx *c, const char *path) {
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        diag_error(&c->diag, NULL, "cannot write '%s': %s", path,
                   S_ISDIR(st.st_mode) ? "it is a folder" : "it is not a regular file");
        return NULL;
    }
    const char *name = tl_arena_printf(&c->arena, "%s.tmp%ld", path, (long)getpid());
    unlink(name); /* of a process long gone */
    return name;
}

bool cg_file_commit(ir_ctx *c, const char *temporary, const char *path) {
    if (rename(temporary, path) == 0) return true;
    report(c, path);
    unlink(temporary);
    return false;
}

static bool write_new(const char *path, tl_sv content) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool ok = cg_write_all(fd, content.data, content.len);
    int error = errno;
    if (close(fd) != 0 && ok) return false;
    errno = error;
    return ok;
}

bool cg_file_write(ir_ctx *c, const char *path, tl_sv content) {
    const char *temporary = cg_temporary_name(c, path);
    if (!temporary) return false;
    cg_signals *s = cg_signals_hold(c);
    bool ok = write_new(temporary, content);
    if (!ok) {
        report(c, path);
        unlink(temporary);
    }
    ok = ok && cg_file_commit(c, temporary, path);
    cg_signals_release(s);
    return ok;
}

/* ---- signals -------------------------------------------------------------------------------------------------- */

struct cg_signals {
    sigset_t before;
    bool held;
};

static void release(void *data) {
    cg_signals *s = data;
    if (s->held) pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    s->held = false;
}

/* Memory may run out before cg_signals_release: then the context's end lets the signals in. */
cg_signals *cg_signals_hold(ir_ctx *c) {
    cg_signals *s = TL_NEW(&c->arena, cg_signals);
    ir_ctx_add_cleanup(c, release, s);
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    s->held = pthread_sigmask(SIG_BLOCK, &ending, &s->before) == 0;
    return s;
}

void cg_signals_release(cg_signals *s) {
    release(s);
}

const void *cg_signals_mask(const cg_signals *s) {
    return &s->before;
}
