/* Speed of the packed matrix product, for the numbers of rows that chunked models have, as a share of the machine's measured peak.
 *
 *   bench_kernels                a table: rows x (k x n) -> GFLOP/s and share of the peak, best of many runs, one thread
 *   bench_kernels 100x512x1024   only these products: rows x k x n, any number of them
 *
 * Roofline: the peak is measured by a loop of independent FMAs on the same core just before; one row is bound by the bandwidth of the
 * cache that holds the weights (4 bytes for 2 operations). */
#include "cli/peak.h"
#include "codegen/cg.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* also what cli/peak.c measures with */
double cli_seconds(void);
double cli_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const tlbc_model *compile(ir_ctx *c, tl_arena *a, int rows, int k, int n, int panel) {
    char text[1024];
    snprintf(text, sizeof text,
             "tlbc 1\nconst @w f32[%d,%d,%d] rand 3\nconst @b f32[%d] rand 4\n"
             "graph main(f32[%d,%d] %%x) => (f32[%d,%d] y) {\n"
             "  %%y = MatMulPacked<n=%d>(%%x, @w, @b) {\n"
             "    epilogue(f32[%d,%d] %%s, f32[%d] %%c) { %%t = Add(%%s, %%c)  yield %%t }\n  }\n  "
             "return %%y\n}\n",
             (n + panel - 1) / panel, k, panel, n, rows, k, rows, n, n, rows, n, n);
    ir_module *m = ir_module_parse(c, a, "bench", text, strlen(text));
    static cg_target target;
    if (!m || !cg_target_find(c, "native", &target)) return NULL;
    cg_options o = {.targets = &target, .n_targets = 1, .name = "bench", .watch = CG_WATCHED};
    cg_model *model = cg_lower(m, &o);
    return model ? cg_load_model(model) : NULL;
}

/* Best time of a run in seconds. */
static double measure(const tlbc_model *model, int rows, int k, int n) {
    float *x = aligned_alloc(64, ((size_t)rows * (size_t)k * 4 + 63) / 64 * 64),
          *y = aligned_alloc(64, ((size_t)rows * (size_t)n * 4 + 63) / 64 * 64);
    for (int i = 0; i < rows * k; i++)
        x[i] = (float)(i % 17) * 0.125f - 1;
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){rows, k}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){rows, n});
    tlbc_session *s;
    if (tlbc_session_create(model, NULL, &s)) return 0;
    double best = 1e9, start = cli_seconds();
    while (cli_seconds() - start < 0.08) {
        double t = cli_seconds();
        for (int i = 0; i < 8; i++)
            tlbc_run(s, &in, &out);
        t = (cli_seconds() - t) / 8;
        if (t < best) best = t;
    }
    tlbc_session_free(s);
    free(x);
    free(y);
    return best;
}

static bool bench(int rows, int k, int n, int panel, double peak) {
    tl_fail fail = {.countdown = 0};
    if (setjmp(fail.jump)) return false;
    ir_ctx c;
    tl_arena a;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    const tlbc_model *model = compile(&c, &a, rows, k, n, panel);
    double t = model ? measure(model, rows, k, n) : 0,
           gflops = t > 0 ? 2.0 * rows * k * n / t * 1e-9 : 0;
    if (model)
        printf("%4d rows  %4d x %-4d  %8.2f us  %6.1f GFLOP/s  %3.0f %%\n", rows, k, n, t * 1e6,
               gflops, 100 * gflops / peak);
    ir_ctx_release(&c);
    tl_arena_release(&a);
    return model;
}

static int bench_given(int argc, char **argv, double peak) {
    for (int i = 1; i < argc; i++) {
        int m, k, n;
        if (sscanf(argv[i], "%dx%dx%d", &m, &k, &n) != 3 || m < 1 || k < 1 || n < 1) return 2;
        if (!bench(m, k, n, 16, peak)) return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    static const int rows[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 32, 60, 100},
                     shapes[][2] = {{64, 64},   {256, 256},  {256, 512},
                                    {512, 256}, {1024, 256}, {1024, 512}};
    double peak = peak_measure_f32();
    printf("peak %.1f GFLOP/s on one core\n", peak);
    if (argc > 1) return bench_given(argc, argv, peak);
    for (unsigned s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++)
            if (!bench(rows[r], shapes[s][0], shapes[s][1], 16, peak)) return 1;
    return 0;
}
