#include "cli/peak.h"

#include "cli/model.h"
#include "runtime/cpu.h"

/* Enough independent chains to hide the latency of a multiply-add (4 or 5 cycles, 2 a cycle), few enough for 16 registers. */
enum { CHAINS = 12, STEPS = 200000, ROUNDS = 30 };

typedef float peak_fn(float a, float b);

#define PEAK_EACH(X)  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define PEAK_START(i) acc##i = b * (float)i,
/* The compiler makes one multiply-add of this where the target has it; the empty assembly keeps it from seeing through. */
#define PEAK_STEP(i)         \
    acc##i = acc##i * a + b; \
    __asm__ volatile("" : "+v"(acc##i));
#define PEAK_SUM(i) +acc##i

/* One loop for each vector width. */
#define PEAK_LOOP(name, lanes, ...)                                                \
    typedef float name##_vec __attribute__((vector_size(4 * (lanes))));            \
    __attribute__((noinline, __VA_ARGS__)) static float name(float fa, float fb) { \
        name##_vec a = (name##_vec){0} + fa, b = (name##_vec){0} + fb;             \
        name##_vec PEAK_EACH(PEAK_START) sum;                                      \
        for (int step = 0; step < STEPS; step++) {                                 \
            PEAK_EACH(PEAK_STEP)                                                   \
        }                                                                          \
        sum = PEAK_EACH(PEAK_SUM);                                                 \
        return sum[0] + sum[(lanes) - 1];                                          \
    }

#if defined(__x86_64__)
PEAK_LOOP(peak_sse, 4, target("sse2"))
PEAK_LOOP(peak_avx2, 8, target("avx2,fma"))
PEAK_LOOP(peak_avx512, 16, target("avx512f"))

static peak_fn *choose_loop(unsigned *lanes) {
    uint64_t f = tlbc_rt_cpu_features();
    if (f & TLBC_CPU_AVX512F) return *lanes = 16, peak_avx512;
    if ((f & TLBC_CPU_AVX2) && (f & TLBC_CPU_FMA)) return *lanes = 8, peak_avx2;
    return *lanes = 4, peak_sse;
}
#else
static float peak_portable(float a, float b) {
    float acc[4 * CHAINS] = {0}, sum = 0;
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < 4 * CHAINS; i++)
            acc[i] = acc[i] * a + b;
    for (int i = 0; i < 4 * CHAINS; i++)
        sum += acc[i];
    return sum;
}

static peak_fn *choose_loop(unsigned *lanes) {
    return *lanes = 4, peak_portable;
}
#endif

double peak_measure_f32(void) {
    unsigned lanes;
    peak_fn *loop = choose_loop(&lanes);
    double best = 0, flops = 2.0 * CHAINS * STEPS * lanes;
    volatile float a = 0.999f, b = 1e-3f, sink;
    for (int i = 0; i < ROUNDS; i++) {
        double start = cli_seconds();
        sink = loop(a, b);
        double rate = flops / (cli_seconds() - start) * 1e-9;
        if (rate > best) best = rate;
    }
    (void)sink;
    return best;
}
