/* CPUs that code is generated for; see target.h. A named CPU is a level of the x86-64 ABI plus a few features plus tuning: code for
 * "icelake-server" uses nothing that the bits in `required` do not name, whatever else that CPU can do. */
#include "codegen/target.h"

#include "codegen/llvm_host.h"
#include "runtime/cpu.h"

#include <unistd.h>

#define X86     "x86_64-unknown-linux-gnu"
#define AARCH64 "aarch64-unknown-linux-gnu"
#define V2      TLBC_CPU_X86_64_V2
#define V3      TLBC_CPU_X86_64_V3
#define V4      TLBC_CPU_X86_64_V4
#define VNNI    TLBC_CPU_AVX512VNNI
#define BF16    TLBC_CPU_AVX512BF16

typedef struct cpu_row {
    const char *name, *tune;
    uint64_t required;
    uint32_t l1_kib, l2_kib, l3_kib;
    const char *summary;
} cpu_row;

/* Caches: what one core of the smallest server part of that name has; L3 the part near the core. */
static const cpu_row cpus[] = {
    {"x86-64-v2", "x86-64", V2, 32, 256, 4096, "SSE4.2: any machine since 2009"},
    {"x86-64-v3", "haswell", V3, 32, 256, 8192, "AVX2 and FMA: since 2013"},
    {"x86-64-v4", "icelake-server", V4, 32, 1024, 16384, "AVX-512"},
    {"haswell", "haswell", V3, 32, 256, 8192, "Intel, AVX2"},
    {"skylake", "skylake", V3, 32, 256, 8192, "Intel, AVX2"},
    {"alderlake", "alderlake", V3 | TLBC_CPU_AVXVNNI, 48, 1280, 12288, "Intel, AVX2 with VNNI"},
    {"znver1", "znver1", V3, 32, 512, 8192, "AMD Zen, AVX2"},
    {"znver2", "znver2", V3, 32, 512, 16384, "AMD Zen 2, AVX2"},
    {"znver3", "znver3", V3, 32, 512, 32768, "AMD Zen 3, AVX2"},
    {"znver4", "znver4", V4 | VNNI | BF16, 32, 1024, 32768, "AMD Zen 4, AVX-512"},
    {"znver5", "znver4", V4 | VNNI | BF16, 48, 1024, 32768, "AMD Zen 5, AVX-512"},
    {"skylake-avx512", "skylake-avx512", V4, 32, 1024, 16384, "Intel, AVX-512"},
    {"cascadelake", "cascadelake", V4 | VNNI, 32, 1024, 16384, "Intel, AVX-512 with VNNI"},
    {"icelake-server", "icelake-server", V4 | VNNI, 48, 1280, 16384, "Intel, AVX-512 with VNNI"},
    {"sapphirerapids", "sapphirerapids", V4 | VNNI | BF16, 48, 2048, 16384,
     "Intel, AVX-512 with VNNI and BF16"},
};
enum { N_CPUS = sizeof cpus / sizeof *cpus };

/* Features beyond the levels that code generation makes use of. */
static const struct {
    const char *name;
    uint64_t bit;
} extra_features[] = {
    {"avx512vnni", VNNI},
    {"avx512bf16", BF16},
    {"avxvnni", TLBC_CPU_AVXVNNI},
};
enum { N_EXTRA = sizeof extra_features / sizeof *extra_features };

static bool has(uint64_t features, uint64_t wanted) {
    return (features & wanted) == wanted;
}

static const char *level_of(uint64_t features) {
    if (has(features, V4)) return "x86-64-v4";
    if (has(features, V3)) return "x86-64-v3";
    return has(features, V2) ? "x86-64-v2" : "x86-64";
}

static const char *feature_text(ir_ctx *c, uint64_t features) {
    tl_str s;
    tl_str_init(&s, &c->arena);
    for (int i = 0; i < N_EXTRA; i++)
        if (features & extra_features[i].bit)
            tl_str_printf(&s, "%s+%s", s.len ? "," : "", extra_features[i].name);
    return ir_name(c, s.data);
}

/* Everything that follows from the feature bits of an x86 CPU. */
static void fill_x86(ir_ctx *c, const char *name, uint64_t features, cg_target *t) {
    bool avx512 = has(features, V4), avx2 = has(features, V3);
    *t = (cg_target){.name = ir_name(c, name), .triple = X86, .required = features};
    t->cpu = level_of(features);
    t->features = feature_text(c, features);
    t->vector_bytes = avx512 ? 64 : avx2 ? 32 : 16;
    t->lanes_f32 = t->vector_bytes / 4;
    t->n_registers = avx512 ? 32 : 16;
    t->has_fma = t->has_f16c = avx2;
    t->has_avx512 = avx512;
    t->has_vnni = (features & (VNNI | TLBC_CPU_AVXVNNI)) != 0;
    t->has_bf16 = has(features, BF16);
}

static void fill_aarch64(ir_ctx *c, const char *name, cg_target *t) {
    *t = (cg_target){.name = ir_name(c, name), .triple = AARCH64, .cpu = "generic"};
    t->tune = "generic";
    t->features = "";
    t->vector_bytes = 16;
    t->lanes_f32 = 4;
    t->n_registers = 32;
    t->has_fma = t->has_f16c = true;
    t->l1_bytes = 32u << 10, t->l2_bytes = 512u << 10, t->l3_bytes = 2048u << 10;
}

/* ---- the machine at hand -------------------------------------------------------------------------------------- */

static uint32_t cache_bytes(int name, uint32_t fallback) {
    long n = sysconf(name);
    return n > 0 && n <= UINT32_MAX ? (uint32_t)n : fallback;
}

static void fill_caches_of_host(cg_target *t) {
    t->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32u << 10);
    t->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 256u << 10);
    t->l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 4u << 20);
}

static void fill_host(ir_ctx *c, cg_target *t) {
#if defined __x86_64__
    fill_x86(c, "native", tlbc_rt_cpu_features(), t);
#else
    fill_aarch64(c, "native", t);
#endif
    t->tune = ir_name(c, llvm_host_cpu_name(c));
    fill_caches_of_host(t);
}

/* ---- by name -------------------------------------------------------------------------------------------------- */

static bool is_name(const char *row, const char *name, size_t len) {
    return tl_sv_is((tl_sv){name, len}, row);
}

static bool find(ir_ctx *c, const char *name, size_t len, cg_target *out) {
    if (is_name("native", name, len)) {
        fill_host(c, out);
        return true;
    }
    if (is_name("aarch64", name, len)) {
        fill_aarch64(c, "aarch64", out);
        return true;
    }
    for (int i = 0; i < N_CPUS; i++) {
        const cpu_row *r = &cpus[i];
        if (!is_name(r->name, name, len)) continue;
        fill_x86(c, r->name, r->required, out);
        out->tune = r->tune;
        out->l1_bytes = r->l1_kib << 10;
        out->l2_bytes = r->l2_kib << 10;
        out->l3_bytes = r->l3_kib << 10;
        return true;
    }
    tl_str known;
    tl_str_init(&known, &c->arena);
    for (int i = 0; i < N_CPUS; i++)
        tl_str_printf(&known, " %s", cpus[i].name);
    return diag_error(&c->diag, NULL, "cpu '%.*s' is not known; known are native aarch64%s",
                      (int)len, name, known.data);
}

bool cg_target_find(ir_ctx *c, const char *name, cg_target *out) {
    return find(c, name, strlen(name), out);
}

bool cg_target_parse_list(ir_ctx *c, const char *list, cg_target *out, uint32_t *n) {
    *n = 0;
    for (const char *p = list;;) {
        size_t len = strcspn(p, ",");
        if (*n == CG_MAX_TARGETS)
            return diag_error(&c->diag, NULL, "more than %d cpus in '%s'", CG_MAX_TARGETS, list);
        if (!find(c, p, len, &out[*n])) return false;
        (*n)++;
        if (!p[len]) return true;
        p += len + 1;
    }
}

void cg_target_list(tl_str *out) {
    tl_str_printf(out, "%-16s %s\n", "native", "this machine");
    for (int i = 0; i < N_CPUS; i++)
        tl_str_printf(out, "%-16s %s\n", cpus[i].name, cpus[i].summary);
    tl_str_printf(out, "%-16s %s\n", "aarch64", "ARMv8-A, 128-bit vectors");
}
