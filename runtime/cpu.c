#define _GNU_SOURCE /* sched_getaffinity */
#include "runtime/cpu.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* One feature: which CPUID leaf (index into rt_leaves), register and bit tell of it, and which state components the operating
 * system must save for it (XCR0). */
typedef struct rt_feature {
    uint8_t leaf, reg, bit;
    uint32_t xcr0;
    uint64_t feature;
} rt_feature;

enum { LEAF_1, LEAF_7_0, LEAF_7_1, LEAF_EXT, N_LEAVES };
enum { EAX, EBX, ECX, EDX };
enum { NONE = 0, YMM = 0x6, ZMM = 0xe6 };

static const struct {
    uint32_t leaf, subleaf;
} rt_leaves[N_LEAVES] = {{1, 0}, {7, 0}, {7, 1}, {0x80000001u, 0}};

static const rt_feature rt_features[] = {
    {LEAF_1, ECX, 0, NONE, TLBC_CPU_SSE3},        {LEAF_1, ECX, 9, NONE, TLBC_CPU_SSSE3},
    {LEAF_1, ECX, 19, NONE, TLBC_CPU_SSE41},      {LEAF_1, ECX, 20, NONE, TLBC_CPU_SSE42},
    {LEAF_1, ECX, 23, NONE, TLBC_CPU_POPCNT},     {LEAF_1, ECX, 13, NONE, TLBC_CPU_CX16},
    {LEAF_EXT, ECX, 0, NONE, TLBC_CPU_LAHF},      {LEAF_1, ECX, 28, YMM, TLBC_CPU_AVX},
    {LEAF_1, ECX, 29, YMM, TLBC_CPU_F16C},        {LEAF_1, ECX, 12, YMM, TLBC_CPU_FMA},
    {LEAF_1, ECX, 22, NONE, TLBC_CPU_MOVBE},      {LEAF_EXT, ECX, 5, NONE, TLBC_CPU_LZCNT},
    {LEAF_7_0, EBX, 3, NONE, TLBC_CPU_BMI1},      {LEAF_7_0, EBX, 8, NONE, TLBC_CPU_BMI2},
    {LEAF_7_0, EBX, 5, YMM, TLBC_CPU_AVX2},       {LEAF_7_0, EBX, 16, ZMM, TLBC_CPU_AVX512F},
    {LEAF_7_0, EBX, 17, ZMM, TLBC_CPU_AVX512DQ},  {LEAF_7_0, EBX, 28, ZMM, TLBC_CPU_AVX512CD},
    {LEAF_7_0, EBX, 30, ZMM, TLBC_CPU_AVX512BW},  {LEAF_7_0, EBX, 31, ZMM, TLBC_CPU_AVX512VL},
    {LEAF_7_0, ECX, 1, ZMM, TLBC_CPU_AVX512VBMI}, {LEAF_7_0, ECX, 11, ZMM, TLBC_CPU_AVX512VNNI},
    {LEAF_7_1, EAX, 5, ZMM, TLBC_CPU_AVX512BF16}, {LEAF_7_0, EDX, 23, ZMM, TLBC_CPU_AVX512FP16},
    {LEAF_7_1, EAX, 4, YMM, TLBC_CPU_AVXVNNI},
};

/* XCR0: which register states the operating system saves. */
static uint64_t rt_saved_states(uint32_t leaf_1_ecx) {
    if (!(leaf_1_ecx & (1u << 27))) return 0; /* OSXSAVE */
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint64_t tlbc_rt_cpu_features(void) {
    uint32_t regs[N_LEAVES][4] = {{0}};
    for (int i = 0; i < N_LEAVES; i++)
        __get_cpuid_count(rt_leaves[i].leaf, rt_leaves[i].subleaf, &regs[i][EAX], &regs[i][EBX],
                          &regs[i][ECX], &regs[i][EDX]);
    uint64_t states = rt_saved_states(regs[LEAF_1][ECX]), found = 0;
    for (unsigned i = 0; i < sizeof rt_features / sizeof rt_features[0]; i++) {
        const rt_feature *f = &rt_features[i];
        if ((states & f->xcr0) != f->xcr0) continue;
        if (regs[f->leaf][f->reg] >> f->bit & 1) found |= f->feature;
    }
    return found;
}

#else

uint64_t tlbc_rt_cpu_features(void) {
    return 0;
}

#endif

/* ---- processors ---------------------------------------------------------------------------------------------------- */

enum { PATH = 4096, MANY = 1 << 20 };

/* The start of a small file as a string; false where there is none. */
static bool rt_read_file(const char *path, char *text, size_t room) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    text[fread(text, 1, room - 1, f)] = 0;
    fclose(f);
    return true;
}

/* "150000 100000" (time in a period) is 2, "max 100000" no limit. */
static uint32_t rt_quota(const char *text) {
    char *rest;
    unsigned long long time = strtoull(text, &rest, 10), period = strtoull(rest, NULL, 10);
    if (rest == text || period == 0) return MANY;
    unsigned long long n = (time + period - 1) / period;
    return n < 1 ? 1 : n < MANY ? (uint32_t)n : MANY;
}

/* The least that the process's control group and the groups around it are allowed. */
static uint32_t rt_group_processors(void) {
    char groups[PATH], file[2 * PATH], text[64];
    uint32_t least = MANY;
    if (!rt_read_file("/proc/self/cgroup", groups, sizeof groups)) return least;
    bool first = strncmp(groups, "0::", 3) == 0;
    char *group = first ? groups : strstr(groups, "\n0::");
    if (!group) return least;
    group += first ? 3 : 4;
    group[strcspn(group, "\n")] = 0;
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        *end = 0;
        snprintf(file, sizeof file, "/sys/fs/cgroup%s/cpu.max", group);
        if (!rt_read_file(file, text, sizeof text)) continue;
        uint32_t n = rt_quota(text);
        if (n < least) least = n;
    }
    return least;
}

uint32_t tlbc_rt_processors(void) {
    cpu_set_t set;
    uint32_t allowed = sched_getaffinity(0, sizeof set, &set) ? MANY : (uint32_t)CPU_COUNT(&set);
    uint32_t group = rt_group_processors();
    return group < allowed ? group : allowed;
}
