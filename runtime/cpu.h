/* What this machine's processor and operating system can run, as bits.
 *
 *   if ((tlbc_rt_cpu_features() & variant->features) == variant->features) ...   // the variant runs here
 *
 * A bit is set only where the operating system saves the registers as well (AVX, AVX-512). Codegen writes the same bits
 * into struct tlbc_variant; the x86-64 levels are unions of them. Other processors have no bits: 0 is the only requirement
 * they meet. */
#ifndef TLBC_RUNTIME_CPU_H
#define TLBC_RUNTIME_CPU_H

#include <stdint.h>

#define TLBC_CPU_SSE3       (UINT64_C(1) << 0)
#define TLBC_CPU_SSSE3      (UINT64_C(1) << 1)
#define TLBC_CPU_SSE41      (UINT64_C(1) << 2)
#define TLBC_CPU_SSE42      (UINT64_C(1) << 3)
#define TLBC_CPU_POPCNT     (UINT64_C(1) << 4)
#define TLBC_CPU_CX16       (UINT64_C(1) << 5)
#define TLBC_CPU_LAHF       (UINT64_C(1) << 6)
#define TLBC_CPU_AVX        (UINT64_C(1) << 7)
#define TLBC_CPU_F16C       (UINT64_C(1) << 8)
#define TLBC_CPU_FMA        (UINT64_C(1) << 9)
#define TLBC_CPU_MOVBE      (UINT64_C(1) << 10)
#define TLBC_CPU_LZCNT      (UINT64_C(1) << 11)
#define TLBC_CPU_BMI1       (UINT64_C(1) << 12)
#define TLBC_CPU_BMI2       (UINT64_C(1) << 13)
#define TLBC_CPU_AVX2       (UINT64_C(1) << 14)
#define TLBC_CPU_AVX512F    (UINT64_C(1) << 15)
#define TLBC_CPU_AVX512DQ   (UINT64_C(1) << 16)
#define TLBC_CPU_AVX512CD   (UINT64_C(1) << 17)
#define TLBC_CPU_AVX512BW   (UINT64_C(1) << 18)
#define TLBC_CPU_AVX512VL   (UINT64_C(1) << 19)
#define TLBC_CPU_AVX512VBMI (UINT64_C(1) << 20)
#define TLBC_CPU_AVX512VNNI (UINT64_C(1) << 21)
#define TLBC_CPU_AVX512BF16 (UINT64_C(1) << 22)
#define TLBC_CPU_AVX512FP16 (UINT64_C(1) << 23)
#define TLBC_CPU_AVXVNNI    (UINT64_C(1) << 24)

/* The levels of the x86-64 psABI. */
#define TLBC_CPU_X86_64_V1 UINT64_C(0)
#define TLBC_CPU_X86_64_V2                                                                \
    (TLBC_CPU_SSE3 | TLBC_CPU_SSSE3 | TLBC_CPU_SSE41 | TLBC_CPU_SSE42 | TLBC_CPU_POPCNT | \
     TLBC_CPU_CX16 | TLBC_CPU_LAHF)
#define TLBC_CPU_X86_64_V3                                                               \
    (TLBC_CPU_X86_64_V2 | TLBC_CPU_AVX | TLBC_CPU_F16C | TLBC_CPU_FMA | TLBC_CPU_MOVBE | \
     TLBC_CPU_LZCNT | TLBC_CPU_BMI1 | TLBC_CPU_BMI2 | TLBC_CPU_AVX2)
#define TLBC_CPU_X86_64_V4                                                           \
    (TLBC_CPU_X86_64_V3 | TLBC_CPU_AVX512F | TLBC_CPU_AVX512DQ | TLBC_CPU_AVX512CD | \
     TLBC_CPU_AVX512BW | TLBC_CPU_AVX512VL)

/* Asks the processor (some microseconds in a virtual machine); the same answer every time. */
uint64_t tlbc_rt_cpu_features(void);
/* Processors that this process can keep busy, at least 1: those that the calling thread may run on, or fewer where a control group (version
 * 2) is allowed less time than they have; a part of one counts as one. */
uint32_t tlbc_rt_processors(void);

#endif
