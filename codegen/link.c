/* Runs the linker; see link.h.
 *
 *   objects, weights, runtime archive, list of exports    unnamed files, named to the linker as /proc/self/fd/N
 *   model.so.tmp123                                       what the linker writes; renamed to model.so
 *
 * Many weights are not the linker's to copy: it leaves room for them, and codegen/fill.c puts them there. Where it has left none (ld),
 * it runs once more with the weights as an object like any other.
 *
 * Signals that end the process wait while the temporary exists; the linker gets them and stops. */
#define _GNU_SOURCE /* pipe2 */
#include "codegen/link.h"

#include "codegen/fill.h"
#include "codegen/output.h"
#include "ir/base/assert.h"
#include "ir/base/vec.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern const char cg_runtime_archive_begin[], cg_runtime_archive_end[];
extern char **environ;

tl_sv cg_runtime_archive(void) {
    return (tl_sv){cg_runtime_archive_begin,
                   (size_t)(cg_runtime_archive_end - cg_runtime_archive_begin)};
}

typedef TL_VEC(const char *) arg_list;
typedef TL_VEC(int) fd_list;

typedef struct link_job {
    ir_ctx *c;
    const cg_link_options *o;
    bool relocatable;
    bool room;     /* the linker leaves room for the weights and does not see them */
    bool no_room;  /* it did not */
    arg_list args; /* args.data[0]: the linker */
    fd_list fds;   /* scratch files */
} link_job;

static void add(link_job *j, const char *arg) {
    tl_vec_push(&j->c->arena, &j->args, arg);
}

static bool is_x86(const link_job *j) {
    return strncmp(j->o->target->triple, "x86_64", 6) == 0;
}

/* ---- inputs --------------------------------------------------------------------------------------------------- */

static bool report_write(link_job *j) {
    return diag_error(&j->c->diag, NULL, "cannot write '%s': %s", j->o->output, strerror(errno));
}

/* A scratch file whose name for the linker becomes prefix/proc/self/fd/N; -1 after reporting. */
static int add_scratch(link_job *j, const char *prefix) {
    int fd = cg_scratch_create(j->c, j->o->output);
    if (fd < 0) return -1;
    tl_vec_push(&j->c->arena, &j->fds, fd);
    add(j, tl_arena_printf(&j->c->arena, "%s/proc/self/fd/%d", prefix, fd));
    return fd;
}

static bool add_input(link_job *j, const char *prefix, tl_sv content) {
    int fd = add_scratch(j, prefix);
    if (fd < 0) return false;
    return cg_write_all(fd, content.data, content.len) || report_write(j);
}

static bool add_weights(link_job *j) {
    if (!j->o->weights) return true;
    int fd = add_scratch(j, "");
    if (fd < 0) return false;
    uint16_t machine = is_x86(j) ? EM_X86_64 : EM_AARCH64;
    bool (*write)(const cg_weights *, uint16_t, const char *,
                  int) = j->room ? cg_weights_write_room : cg_weights_write_object;
    return write(j->o->weights, machine, j->o->weights_symbol, fd) || report_write(j);
}

static bool add_exports(link_job *j) {
    tl_str s;
    tl_str_init(&s, &j->c->arena);
    tl_str_puts(&s, "{\n");
    for (uint32_t i = 0; i < j->o->n_exports; i++)
        tl_str_printf(&s, "%s%s;\n", i ? "" : "global: ", j->o->exports[i]);
    tl_str_puts(&s, "local: *;\n};\n");
    return add_input(j, "--version-script=", (tl_sv){s.data, s.len});
}

static bool add_inputs(link_job *j, const tl_sv *objects, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!add_input(j, "", objects[i])) return false;
    return add_weights(j);
}

/* ---- arguments ------------------------------------------------------------------------------------------------ */

/* The C library by file name: neither its development files nor a compiler driver are needed. The first folder that has it. */
static bool add_library(link_job *j, const char *name) {
    static const char *const folders[] = {
        "/lib/%s-linux-gnu", "/usr/lib/%s-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"};
    const char *machine = is_x86(j) ? "x86_64" : "aarch64";
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        tl_str path;
        tl_str_init(&path, &j->c->arena);
        const char *mark = strchr(folders[i], '%');
        if (mark)
            tl_str_printf(&path, "%.*s%s%s", (int)(mark - folders[i]), folders[i], machine,
                          mark + 2);
        else
            tl_str_puts(&path, folders[i]);
        tl_str_printf(&path, "/%s", name);
        if (access(path.data, R_OK) != 0) continue;
        add(j, path.data);
        return true;
    }
    return false;
}

/* Before glibc 2.34 threads and dlopen were libraries of their own; later they are empty and drop out. */
static bool add_libraries(link_job *j) {
    add(j, "--as-needed");
    if (!add_library(j, "libc.so.6") || !add_library(j, "libm.so.6"))
        return diag_error(&j->c->diag, NULL, "cannot link '%s': there is no libc.so.6 or libm.so.6",
                          j->o->output);
    add_library(j, "libpthread.so.0");
    add_library(j, "libdl.so.2");
    return true;
}

/* Models that decode images need the libraries that do; CMake has found their names. */
static bool add_image_libraries(link_job *j, const tl_sv *objects, uint32_t n) {
    static const char mark[] = "tlbc_rt_op_ImageDecoder";
    static const char *const names[] = {TLBC_IMAGE_LIBRARIES NULL};
    bool used = false;
    for (uint32_t i = 0; i < n && !used; i++)
        used = memmem(objects[i].data, objects[i].len, mark, sizeof mark);
    for (const char *const *name = names; used && *name; name++)
        if (!add_library(j, *name))
            return diag_error(&j->c->diag, NULL, "cannot link '%s': there is no %s", j->o->output,
                              *name);
    return true;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool add_shared_arguments(link_job *j) {
    static const char *const flags[] = {
        "-shared",
        "-Bsymbolic",
        "-z",
        "relro",
        "-z",
        "now",
        "-z",
        "noexecstack",
        "--no-undefined",
        "--gc-sections",
        "--exclude-libs",
        "ALL",
        "--hash-style=gnu",
        "--build-id=none",
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        add(j, flags[i]);
    add(j, "-soname");
    add(j, base_name(j->o->output));
    if (j->o->alias) add(j, tl_arena_printf(&j->c->arena, "--defsym=%s", j->o->alias));
    if (!add_exports(j)) return false;
    return add_input(j, "", cg_runtime_archive()) && add_libraries(j);
}

/* ---- running -------------------------------------------------------------------------------------------------- */

/* What the linker says, at most `size` - 1 bytes; reads to the end so that it never blocks. */
static void read_output(int fd, char *text, size_t size) {
    char rest[512];
    size_t n = 0;
    for (;;) {
        bool room = n + 1 < size;
        ssize_t got = read(fd, room ? text + n : rest, room ? size - 1 - n : sizeof rest);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        if (room) n += (size_t)got;
    }
    while (n && text[n - 1] == '\n')
        n--;
    text[n] = 0;
}

/* The child sees the scratch files under the numbers they have here, writes to `out`, and takes signals as usual. */
static int spawn(link_job *j, const char *linker, const void *mask, int out, pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    for (uint32_t i = 0; i < j->fds.len; i++)
        posix_spawn_file_actions_adddup2(&files, j->fds.data[i], j->fds.data[i]);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, out, 2);
    posix_spawnattr_setsigmask(&attributes, mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    j->args.data[0] = linker;
    int error = posix_spawnp(pid, linker, &files, &attributes, (char **)j->args.data, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* The first that there is. */
static int spawn_any(link_job *j, const void *mask, int out, pid_t *pid) {
    if (j->o->linker) return spawn(j, j->o->linker, mask, out, pid);
    static const char *const linkers[] = {TLBC_LINKER, "ld.lld", "ld"};
    int error = ENOENT;
    for (size_t i = 0; i < sizeof linkers / sizeof *linkers && error == ENOENT; i++)
        error = spawn(j, linkers[i], mask, out, pid);
    return error;
}

static bool wait_for(link_job *j, pid_t pid, const char *said) {
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFSIGNALED(status))
        return diag_error(&j->c->diag, NULL, "the linker '%s' was stopped by signal %d",
                          j->args.data[0], WTERMSIG(status));
    return diag_error(&j->c->diag, NULL, "cannot link '%s': %s", j->o->output,
                      said[0] ? said : "the linker failed without a word");
}

static bool run_linker(link_job *j, const void *mask) {
    int ends[2];
    pid_t pid;
    char said[2048];
    if (pipe2(ends, O_CLOEXEC) != 0) return report_write(j);
    int error = spawn_any(j, mask, ends[1], &pid);
    close(ends[1]);
    if (!error) read_output(ends[0], said, sizeof said);
    close(ends[0]);
    if (error)
        return diag_error(&j->c->diag, NULL, "cannot run the linker '%s': %s", j->args.data[0],
                          strerror(error));
    return wait_for(j, pid, said);
}

static bool fill_room(link_job *j, const char *path) {
    cg_fill_result result = cg_weights_fill(j->o->weights, path);
    j->no_room = result == CG_FILL_NO_ROOM;
    return result == CG_FILL_DONE || (result == CG_FILL_FAILED && report_write(j));
}

/* From here on a named temporary may exist. */
static bool produce(link_job *j) {
    const char *temporary = cg_temporary_name(j->c, j->o->output);
    if (!temporary) return false;
    add(j, "-o");
    add(j, temporary);
    tl_vec_push(&j->c->arena, &j->args, NULL);
    cg_signals *s = cg_signals_hold(j->c);
    bool ok = run_linker(j, cg_signals_mask(s)) && (!j->room || fill_room(j, temporary));
    if (ok)
        ok = cg_file_commit(j->c, temporary, j->o->output);
    else
        unlink(temporary);
    cg_signals_release(s);
    return ok;
}

static bool link_all(link_job *j, const tl_sv *objects, uint32_t n) {
    add(j, "");
    if (!add_inputs(j, objects, n)) return false;
    if (j->relocatable)
        add(j, "-r");
    else if (!add_shared_arguments(j) || !add_image_libraries(j, objects, n))
        return false;
    return produce(j);
}

static bool run_once(link_job *j, const tl_sv *objects, uint32_t n) {
    bool ok = link_all(j, objects, n);
    for (uint32_t i = 0; i < j->fds.len; i++)
        close(j->fds.data[i]);
    return ok;
}

/* Of less than a megabyte of weights the copy is cheaper than the pages it begins and ends on. */
static bool run_job(const link_job *job, const tl_sv *objects, uint32_t n) {
    enum { MANY = 1 << 20 };
    link_job first = *job, second = *job;
    first.room = job->o->weights && job->o->weights->bytes >= MANY;
    return run_once(&first, objects, n) || (first.no_room && run_once(&second, objects, n));
}

bool cg_link_shared(ir_ctx *c, const cg_link_options *o, const tl_sv *objects, uint32_t n_objects) {
    link_job j = {.c = c, .o = o};
#if defined __x86_64__
    bool has_runtime = is_x86(&j);
#else
    bool has_runtime = !is_x86(&j);
#endif
    if (!has_runtime)
        return diag_error(&c->diag, NULL,
                          "this tlbc has no runtime library for '%s': use --emit=obj",
                          o->target->triple);
    return run_job(&j, objects, n_objects);
}

bool cg_link_relocatable(ir_ctx *c, const cg_link_options *o, const tl_sv *objects,
                         uint32_t n_objects) {
    link_job j = {.c = c, .o = o, .relocatable = true};
    return run_job(&j, objects, n_objects);
}
