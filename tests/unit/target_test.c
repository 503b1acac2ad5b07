/* codegen/target: names, lists, and what follows from them. */
#include "codegen/object.h"
#include "codegen/target.h"
#include "runtime/cpu.h"
#include "tests/support/check.h"

static const char *messages(ir_ctx *c) {
    tl_str s;
    tl_str_init(&s, &c->arena);
    diag_render(&c->diag, &s);
    return s.data;
}

static void test_levels(ir_ctx *c) {
    static const struct {
        const char *name, *cpu;
        uint64_t required;
        uint32_t lanes, registers;
        bool fma;
    } rows[] = {
        {"x86-64-v2", "x86-64-v2", TLBC_CPU_X86_64_V2, 4, 16, false},
        {"x86-64-v3", "x86-64-v3", TLBC_CPU_X86_64_V3, 8, 16, true},
        {"x86-64-v4", "x86-64-v4", TLBC_CPU_X86_64_V4, 16, 32, true},
        {"znver3", "x86-64-v3", TLBC_CPU_X86_64_V3, 8, 16, true},
        {"icelake-server", "x86-64-v4", TLBC_CPU_X86_64_V4 | TLBC_CPU_AVX512VNNI, 16, 32, true},
        {"aarch64", "generic", 0, 4, 32, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cg_target t;
        CHECK(cg_target_find(c, rows[i].name, &t));
        CHECK_STR(t.name, rows[i].name);
        CHECK_STR(t.cpu, rows[i].cpu);
        CHECK(t.required == rows[i].required);
        CHECK_EQ(t.lanes_f32, rows[i].lanes);
        CHECK_EQ(t.vector_bytes, 4 * rows[i].lanes);
        CHECK_EQ(t.n_registers, rows[i].registers);
        CHECK_EQ(t.has_fma, rows[i].fma);
        CHECK(t.l1_bytes >= 32u << 10 && t.l2_bytes > t.l1_bytes && t.l3_bytes > t.l2_bytes);
    }
}

/* Never more than the machine has: code for "native" must run here. */
static void test_native(ir_ctx *c) {
    cg_target t;
    CHECK(cg_target_find(c, "native", &t));
    CHECK((t.required & ~tlbc_rt_cpu_features()) == 0);
    CHECK(t.lanes_f32 >= 4 && t.l1_bytes > 0 && t.tune[0]);
}

static void test_lists(ir_ctx *c) {
    cg_target t[CG_MAX_TARGETS];
    uint32_t n;
    CHECK(cg_target_parse_list(c, "x86-64-v4,native,znver2", t, &n));
    CHECK(n == 3 && t[0].lanes_f32 == 16 && strcmp(t[2].name, "znver2") == 0);
    CHECK(cg_target_parse_list(c, "x86-64-v2", t, &n) && n == 1);
    static const struct {
        const char *list, *message;
    } bad[] = {{"", "cpu '' is not known"},
               {"x86-64-v3,", "cpu '' is not known"},
               {"x86-64-v33", "cpu 'x86-64-v33' is not known; known are native"},
               {"x86-64", "cpu 'x86-64' is not known"},
               {"znver1,znver1,znver1,znver1,znver1,znver1,znver1,znver1,znver1", "more than 8"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        diag_clear(&c->diag);
        CHECK(!cg_target_parse_list(c, bad[i].list, t, &n));
        if (!CHECK(strstr(messages(c), bad[i].message))) fputs(messages(c), stderr);
    }
    diag_clear(&c->diag);
}

/* LLVM knows each CPU that --list-cpus shows, with its features. */
static void test_all_compile(ir_ctx *c) {
    tl_str list;
    tl_str_init(&list, &c->arena);
    cg_target_list(&list);
    static const char text[] = "func @f(ptr %x) external { %a = load f32x16 %x[0]\n"
                               "%b = fma f32x16 %a, %a, %a store f32x16 %x[0], %b }";
    int n = 0;
    for (const char *p = list.data; *p; p = strchr(p, '\n') + 1, n++) {
        const char *name = tl_arena_strndup(&c->arena, p, strcspn(p, " "));
        cg_target t;
        tl_sv code = {NULL, 0};
        if (!CHECK(cg_target_find(c, name, &t))) continue;
        lp_module *m = lp_module_parse(c, &c->arena, "t", text, strlen(text));
        cg_unit *u = cg_unit_create(c, m, &(cg_unit_options){.target = &t});
        cg_unit_compile(u, CG_OBJECT);
        if (!CHECK(cg_unit_get_result(u, &code) && code.len > 0))
            fprintf(stderr, "%s: %s", name, messages(c));
    }
    CHECK(n >= 17);
}

int main(void) {
    tl_fail fail = {0};
    ir_ctx c;
    ir_ctx_init(&c, &fail);
    test_levels(&c);
    test_native(&c);
    test_lists(&c);
    test_all_compile(&c);
    ir_ctx_release(&c);
    return check_done();
}
