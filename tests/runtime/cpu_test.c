/* The processor's bits against what the compiler's own detection says, and the levels against each other. */
#include "runtime/cpu.h"
#include "tests/support/check.h"

#define AGREES(bit, name) CHECK_EQ((f & (bit)) != 0, __builtin_cpu_supports(name) != 0)

int main(void) {
    uint64_t f = tlbc_rt_cpu_features();
    CHECK((TLBC_CPU_X86_64_V3 & TLBC_CPU_X86_64_V2) == TLBC_CPU_X86_64_V2);
    CHECK((TLBC_CPU_X86_64_V4 & TLBC_CPU_X86_64_V3) == TLBC_CPU_X86_64_V3);
    CHECK_EQ(f, tlbc_rt_cpu_features());
#if defined(__x86_64__)
    __builtin_cpu_init();
    AGREES(TLBC_CPU_SSE3, "sse3");
    AGREES(TLBC_CPU_SSSE3, "ssse3");
    AGREES(TLBC_CPU_SSE41, "sse4.1");
    AGREES(TLBC_CPU_SSE42, "sse4.2");
    AGREES(TLBC_CPU_POPCNT, "popcnt");
    AGREES(TLBC_CPU_AVX, "avx");
    AGREES(TLBC_CPU_FMA, "fma");
    AGREES(TLBC_CPU_AVX2, "avx2");
    AGREES(TLBC_CPU_BMI1, "bmi");
    AGREES(TLBC_CPU_BMI2, "bmi2");
    AGREES(TLBC_CPU_AVX512F, "avx512f");
    AGREES(TLBC_CPU_AVX512DQ, "avx512dq");
    AGREES(TLBC_CPU_AVX512CD, "avx512cd");
    AGREES(TLBC_CPU_AVX512BW, "avx512bw");
    AGREES(TLBC_CPU_AVX512VL, "avx512vl");
    AGREES(TLBC_CPU_AVX512VBMI, "avx512vbmi");
    AGREES(TLBC_CPU_AVX512VNNI, "avx512vnni");
    AGREES(TLBC_CPU_AVX512BF16, "avx512bf16");
#else
    CHECK_EQ(f, 0);
#endif
    return check_done();
}
