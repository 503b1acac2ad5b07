/* codegen/link, weights, output: shared objects are made whole or not at all, and show only what they are told to. */
#define _GNU_SOURCE
#include "codegen/link.h"
#include "codegen/object.h"
#include "codegen/output.h"
#include "runtime/abi.h"
#include "runtime/cpu.h"
#include "tests/support/check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    tl_fail fail;
    ir_ctx ctx;
    cg_target target;
    char folder[64];
} fixture;

static void setup(fixture *x) {
    memset(x, 0, sizeof *x);
    ir_ctx_init(&x->ctx, &x->fail);
    CHECK(cg_target_find(&x->ctx, "x86-64-v2", &x->target));
    snprintf(x->folder, sizeof x->folder, "/tmp/tlbc-link-XXXXXX");
    CHECK(mkdtemp(x->folder) != NULL);
}

static const char *path_of(fixture *x, const char *name) {
    return tl_arena_printf(&x->ctx.arena, "%s/%s", x->folder, name);
}

static int count_files(fixture *x) {
    int n = 0;
    DIR *d = opendir(x->folder);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void remove_file(fixture *x, const char *name) {
    unlink(path_of(x, name));
}

static void teardown(fixture *x) {
    CHECK_EQ(count_files(x), 0);
    rmdir(x->folder);
    ir_ctx_release(&x->ctx);
}

static const char *messages(fixture *x) {
    tl_str s;
    tl_str_init(&s, &x->ctx.arena);
    diag_render(&x->ctx.diag, &s);
    return s.data;
}

/* int64_t add(const void *p, int64_t i) { return ((int64_t *)p)[i] + 1; }   and a table with pointers. */
static tl_sv compile_object(fixture *x, const char *extra_call) {
    lp_module *m = lp_module_create(&x->ctx, &x->ctx.arena);
    lp_func *f = lp_func_create(m, "add");
    f->external = true;
    f->result = LP_I64;
    lp_value *p = lp_func_add_param(f, lp_scalar(LP_PTR), "p", LP_READONLY);
    lp_value *i = lp_func_add_param(f, LP_I64, "i", 0);
    lp_builder b = lp_build_in(f);
    lp_value *v = lp_load(&b, LP_I64, p, i);
    if (extra_call) v = lp_call(&b, extra_call, LP_I64, &v, 1);
    lp_return(&b, lp_bin(&b, LP_add, v, lp_index(&b, 1)));
    cg_unit *u = cg_unit_create(&x->ctx, m, &(cg_unit_options){.target = &x->target});
    const void *table[3] = {NULL, (void *)7, NULL};
    cg_reloc relocs[2] = {{0, "block", 8}, {16, "add", 0}};
    cg_unit_add_data(u, "table", table, sizeof table, relocs, 2, CG_DATA_EXTERNAL);
    cg_unit_compile(u, CG_OBJECT);
    tl_sv bytes = {NULL, 0};
    if (!CHECK(cg_unit_get_result(u, &bytes))) fputs(messages(x), stderr);
    return bytes;
}

static const char *const exports[] = {"table"};
static const int64_t block_words[] = {10, 20, 30};
static const cg_span block_spans[] = {{0, block_words, 8}, {64, block_words + 1, 16}};
static const cg_weights block = {block_spans, 2, 200};

static cg_link_options options_for(fixture *x, const char *path) {
    return (cg_link_options){.output = path,
                             .target = &x->target,
                             .exports = exports,
                             .n_exports = 1,
                             .weights = &block,
                             .weights_symbol = "block"};
}

static void test_shared(const char *linker) {
    fixture x;
    setup(&x);
    const char *path = path_of(&x, "m.so");
    cg_link_options o = options_for(&x, path);
    o.linker = linker;
    tl_sv object = compile_object(&x, NULL);
    if (!CHECK(cg_link_shared(&x.ctx, &o, &object, 1))) fputs(messages(&x), stderr);
    CHECK_EQ(count_files(&x), 1);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!CHECK(so != NULL)) {
        fprintf(stderr, "%s\n", dlerror());
        return;
    }
    void **table = dlsym(so, "table");
    CHECK(table && table[1] == (void *)7);
    CHECK(!dlsym(so, "add") && !dlsym(so, "block")); /* not exported */
    const char *base = (const char *)table[0] - 8;
    CHECK((uintptr_t)base % 64 == 0);
    int64_t words[25];
    memcpy(words, base, 200);
    CHECK(words[0] == 10 && words[1] == 0 && words[7] == 0 && words[8] == 20 && words[9] == 30);
    CHECK(words[10] == 0 && words[24] == 0);
    int64_t (*add)(const void *, int64_t) = (int64_t (*)(const void *, int64_t))table[2];
    CHECK_EQ(add(base, 8), 21);
    dlclose(so);
    remove_file(&x, "m.so");
    teardown(&x);
}

/* Weights that the linker does not see (codegen/fill.h), or sees after all: ld leaves no room for them. */
enum { MANY_WORDS = 300000 };

static const cg_weights *make_many(fixture *x) {
    int64_t *words = TL_NEW_ARRAY(&x->ctx.arena, int64_t, MANY_WORDS);
    for (int64_t i = 0; i < MANY_WORDS; i++)
        words[i] = i * i;
    cg_span *spans = TL_NEW_ARRAY(&x->ctx.arena, cg_span, 2);
    spans[0] = (cg_span){0, words, 8};
    spans[1] = (cg_span){64, words + 8, (MANY_WORDS - 8) * 8};
    cg_weights *w = TL_NEW(&x->ctx.arena, cg_weights);
    *w = (cg_weights){spans, 2, MANY_WORDS * 8 + 24};
    return w;
}

static int count_wrong(const int64_t *words) {
    int wrong = 0;
    for (int64_t i = 0; i < MANY_WORDS + 3; i++)
        wrong += words[i] != (i < 8 || i >= MANY_WORDS ? 0 : i * i);
    return wrong;
}

static void test_many_weights(const char *linker) {
    fixture x;
    setup(&x);
    const char *path = path_of(&x, "m.so");
    cg_link_options o = options_for(&x, path);
    o.linker = linker;
    o.weights = make_many(&x);
    tl_sv object = compile_object(&x, NULL);
    if (!CHECK(cg_link_shared(&x.ctx, &o, &object, 1))) fputs(messages(&x), stderr);
    CHECK_EQ(count_files(&x), 1);
    struct stat st;
    CHECK(stat(path, &st) == 0 && (size_t)st.st_size < o.weights->bytes + (64 << 10));
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void **table = so ? dlsym(so, "table") : NULL;
    if (CHECK(table != NULL)) {
        const int64_t *words = (const int64_t *)((const char *)table[0] - 8);
        CHECK((uintptr_t)words % (linker ? 64 : 4096) == 0);
        CHECK_EQ(count_wrong(words), 0);
        int64_t (*add)(const void *, int64_t) = (int64_t (*)(const void *, int64_t))table[2];
        CHECK_EQ(add(words, 100), 10001);
        dlclose(so);
    }
    remove_file(&x, "m.so");
    teardown(&x);
}

/* One step more: an object with many weights, linked by someone else. */
static void test_many_weights_relocatable(void) {
    fixture x;
    setup(&x);
    const char *object_path = path_of(&x, "m.o"), *path = path_of(&x, "m.so");
    cg_link_options o = options_for(&x, object_path);
    o.weights = make_many(&x);
    tl_sv object = compile_object(&x, NULL);
    if (!CHECK(cg_link_relocatable(&x.ctx, &o, &object, 1))) fputs(messages(&x), stderr);
    int fd = open(object_path, O_RDONLY);
    struct stat st;
    CHECK(fstat(fd, &st) == 0);
    char *bytes = tl_arena_alloc(&x.ctx.arena, (size_t)st.st_size, 64);
    CHECK_EQ(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    tl_sv again = {bytes, (size_t)st.st_size};
    o = options_for(&x, path);
    o.weights = NULL;
    if (!CHECK(cg_link_shared(&x.ctx, &o, &again, 1))) fputs(messages(&x), stderr);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void **table = so ? dlsym(so, "table") : NULL;
    if (CHECK(table != NULL)) {
        CHECK_EQ(count_wrong((const int64_t *)((const char *)table[0] - 8)), 0);
        dlclose(so);
    }
    remove_file(&x, "m.o");
    remove_file(&x, "m.so");
    teardown(&x);
}

/* Parts of the runtime library come in where they are called, and stay inside. */
static void test_runtime(void) {
    fixture x;
    setup(&x);
    const char *path = path_of(&x, "m.so");
    cg_link_options o = options_for(&x, path);
    tl_sv object = compile_object(&x, "tlbc_rt_cpu_features");
    if (!CHECK(cg_link_shared(&x.ctx, &o, &object, 1))) fputs(messages(&x), stderr);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(so && !dlsym(so, "tlbc_rt_cpu_features"));
    void **table = dlsym(so, "table");
    int64_t (*add)(const void *, int64_t) = (int64_t (*)(const void *, int64_t))table[2];
    CHECK_EQ(add(table, 1), (int64_t)tlbc_rt_cpu_features() + 1);
    dlclose(so);
    remove_file(&x, "m.so");
    teardown(&x);
}

static void test_failure_keeps_the_old_file(void) {
    fixture x;
    setup(&x);
    const char *path = path_of(&x, "m.so");
    CHECK(cg_file_write(&x.ctx, path, tl_sv_from("old")));
    cg_link_options o = options_for(&x, path);
    tl_sv object = compile_object(&x, "nobody_has_this");
    CHECK(!cg_link_shared(&x.ctx, &o, &object, 1));
    CHECK(strstr(messages(&x), "nobody_has_this") != NULL);
    CHECK_EQ(count_files(&x), 1);
    char text[4] = {0};
    int fd = open(path, O_RDONLY);
    CHECK(read(fd, text, 3) == 3);
    close(fd);
    CHECK_STR(text, "old");
    remove_file(&x, "m.so");
    teardown(&x);
}

static void test_no_linker(void) {
    fixture x;
    setup(&x);
    cg_link_options o = options_for(&x, path_of(&x, "m.so"));
    o.linker = "/nonexistent/ld";
    tl_sv object = compile_object(&x, NULL);
    CHECK(!cg_link_shared(&x.ctx, &o, &object, 1));
    CHECK(strstr(messages(&x), "cannot run the linker '/nonexistent/ld'") != NULL);
    teardown(&x);
}

static void test_unwritable(void) {
    fixture x;
    setup(&x);
    tl_sv object = compile_object(&x, NULL);
    cg_link_options o = options_for(&x, "/nonexistent/folder/m.so");
    CHECK(!cg_link_shared(&x.ctx, &o, &object, 1));
    CHECK(strstr(messages(&x), "cannot write '/nonexistent/folder/m.so'") != NULL);
    diag_clear(&x.ctx.diag);
    o.output = x.folder;
    CHECK(!cg_link_shared(&x.ctx, &o, &object, 1));
    CHECK(strstr(messages(&x), "it is a folder") != NULL);
    diag_clear(&x.ctx.diag);
    CHECK(!cg_file_write(&x.ctx, "/dev/null", tl_sv_from("x")));
    CHECK(strstr(messages(&x), "not a regular file") != NULL);
    teardown(&x);
}

/* A disk that is full after some bytes, played by the limit on file sizes: for our own files, then for the linker's. */
static void test_disk_full(void) {
    static const rlim_t limits[] = {100, 8192};
    for (int i = 0; i < 2; i++) {
        fixture x;
        setup(&x);
        const char *path = path_of(&x, "m.so");
        CHECK(cg_file_write(&x.ctx, path, tl_sv_from("old")));
        cg_link_options o = options_for(&x, path);
        tl_sv object = compile_object(&x, NULL);
        struct rlimit before, little;
        CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
        little = (struct rlimit){limits[i], before.rlim_max};
        signal(SIGXFSZ, SIG_IGN);
        CHECK(setrlimit(RLIMIT_FSIZE, &little) == 0);
        bool ok = cg_link_shared(&x.ctx, &o, &object, 1);
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        signal(SIGXFSZ, SIG_DFL);
        CHECK(!ok && x.ctx.diag.n_errors == 1 && strstr(messages(&x), "m.so"));
        struct stat st;
        CHECK(stat(path, &st) == 0 && st.st_size == 3);
        remove_file(&x, "m.so");
        teardown(&x);
    }
}

static void test_side_file(void) {
    fixture x;
    setup(&x);
    const char *path = path_of(&x, "m.weights");
    CHECK(cg_weights_write_side(&x.ctx, &block, path));
    char bytes[64 + 200 + 1];
    int fd = open(path, O_RDONLY);
    CHECK_EQ(read(fd, bytes, sizeof bytes), 64 + 200);
    close(fd);
    tlbc_weights_header h;
    memcpy(&h, bytes, sizeof h);
    CHECK(memcmp(h.magic, TLBC_WEIGHTS_MAGIC, 8) == 0 && h.bytes == 200);
    CHECK(h.hash == cg_weights_hash(&block));
    const char *loaded = cg_weights_load(&x.ctx, &block);
    CHECK((uintptr_t)loaded % 64 == 0 && memcmp(loaded, bytes + 64, 200) == 0);
    remove_file(&x, "m.weights");
    teardown(&x);
}

static void test_relocatable(void) {
    fixture x;
    setup(&x);
    const char *object_path = path_of(&x, "m.o");
    cg_link_options o = options_for(&x, object_path);
    tl_sv object = compile_object(&x, NULL);
    if (!CHECK(cg_link_relocatable(&x.ctx, &o, &object, 1))) fputs(messages(&x), stderr);
    struct stat st;
    CHECK(stat(object_path, &st) == 0 && st.st_size > 400);
    remove_file(&x, "m.o");
    teardown(&x);
}

int main(void) {
    test_shared(NULL);
    if (access("/usr/bin/ld", X_OK) == 0) test_shared("/usr/bin/ld");
    test_many_weights(NULL);
    if (access("/usr/bin/ld", X_OK) == 0) test_many_weights("/usr/bin/ld");
    test_many_weights_relocatable();
    test_runtime();
    test_failure_keeps_the_old_file();
    test_no_linker();
    test_unwritable();
    test_disk_full();
    test_side_file();
    test_relocatable();
    return check_done();
}
