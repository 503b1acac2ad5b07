#include "runtime/cpu.h"

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
