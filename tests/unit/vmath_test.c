/* codegen/vmath*: every inlined function compiled in memory and compared with the C library in higher precision.
 *
 *   vmath_test             a sample of f32 and f64 numbers and the special ones; equal bits for 1, 4, 8 and 16 lanes
 *   vmath_test 1           all 2^32 f32 numbers
 *   vmath_test 31 tanh     every 31st, one function
 *
 * The bounds here are those stated in the heads of codegen/vmath_*.c. */
#include "codegen/lower.h"
#include "codegen/object.h"
#include "tests/support/check.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

typedef struct function {
    const char *name;
    sc_op op;
    double ulp_f32, ulp_f64; /* 0: not inlined */
    double (*f32)(double);
    long double (*f64)(long double);
} function;

static const function functions[] = {
    {"exp", SC_EXP, 1.75, 1.5, exp, expl},      {"expm1", SC_EXPM1, 2, 2, expm1, expm1l},
    {"sinh", SC_SINH, 2.5, 2.5, sinh, sinhl},   {"cosh", SC_COSH, 2, 2, cosh, coshl},
    {"tanh", SC_TANH, 2.75, 2.75, tanh, tanhl}, {"log", SC_LOG, 1.25, 1, log, logl},
    {"log1p", SC_LOG1P, 2, 2, log1p, log1pl},   {"asinh", SC_ASINH, 3, 3, asinh, asinhl},
    {"acosh", SC_ACOSH, 3, 3, acosh, acoshl},   {"atanh", SC_ATANH, 3, 3, atanh, atanhl},
    {"sin", SC_SIN, 1.5, 1.5, sin, sinl},       {"cos", SC_COS, 1.5, 1.5, cos, cosl},
    {"tan", SC_TAN, 3, 3, tan, tanl},           {"asin", SC_ASIN, 3, 0, asin, NULL},
    {"acos", SC_ACOS, 1.5, 0, acos, NULL},      {"atan", SC_ATAN, 2, 0, atan, NULL},
    {"erf", SC_ERF, 1.25, 0, erf, NULL},
};
typedef struct function2 {
    const char *name;
    sc_op op;
    double ulp_f32;
    double (*f32)(double, double);
} function2;
static const function2 functions2[] = {
    {"pow", SC_POW, 0.75, pow},
    {"atan2", SC_ATAN2, 2, atan2},
};
enum {
    N_FUNCTIONS = sizeof functions / sizeof functions[0],
    N_FUNCTIONS2 = sizeof functions2 / sizeof functions2[0]
};

enum { BLOCK = 1 << 14, PADDING = 16 };
static const unsigned lane_counts[] = {1, 4, 8, 16};

/* ---- compiling ------------------------------------------------------------------------------------------------------- */

typedef void kernel(const void *x, const void *y, void *out, int64_t n);

typedef struct fixture {
    tl_fail fail;
    ir_ctx ctx;
    lp_module *m;
    cg_target target;
    cg_jit *jit;
} fixture;

/* name_type_lanes: out[i] = op(x[i], y[i]) */
static void add_kernel(fixture *x, const char *name, sc_op op, int elem, unsigned lanes) {
    lp_func *f = lp_func_create(
        x->m, ir_name(&x->ctx, tl_arena_printf(&x->ctx.arena, "%s_%d_%u", name, elem, lanes)));
    f->external = true;
    lp_value *in[2] = {lp_func_add_param(f, lp_scalar(LP_PTR), "x", LP_READONLY | LP_NOALIAS),
                       lp_func_add_param(f, lp_scalar(LP_PTR), "y", LP_READONLY | LP_NOALIAS)};
    lp_value *out = lp_func_add_param(f, lp_scalar(LP_PTR), "out", LP_NOALIAS);
    lp_value *n = lp_func_add_param(f, LP_I64, "n", 0);
    lp_builder b = lp_build_in(f);
    lp_loop l = lp_for_begin(&b, lp_index(&b, 0), n, lp_index(&b, lanes), NULL, 0);
    lp_value *args[2];
    for (int i = 0; i < 2; i++)
        args[i] = lp_load(&b, lp_vec(elem, lanes), in[i], l.counter);
    lp_store(&b, out, l.counter, cg_vmath(&b, op, args));
    lp_for_end(&b, &l, NULL);
}

static void print_diag(fixture *x) {
    tl_str s;
    tl_str_init(&s, &x->ctx.arena);
    diag_render(&x->ctx.diag, &s);
    fputs(s.data, stderr);
}

#define FUNCTION(name) {#name, (const void *)(uintptr_t)(name)}
/* What huge arguments are left to. */
static const cg_symbol library[] = {FUNCTION(sin),  FUNCTION(cos),  FUNCTION(tan),
                                    FUNCTION(sinf), FUNCTION(cosf), FUNCTION(tanf)};

static void setup(fixture *x) {
    memset(x, 0, sizeof *x);
    ir_ctx_init(&x->ctx, &x->fail);
    x->m = lp_module_create(&x->ctx, &x->ctx.arena);
    CHECK(cg_target_find(&x->ctx, "native", &x->target));
    for (int i = 0; i < N_FUNCTIONS; i++)
        for (int l = 0; l < 4; l++) {
            add_kernel(x, functions[i].name, functions[i].op, DT_f32, lane_counts[l]);
            if (functions[i].ulp_f64)
                add_kernel(x, functions[i].name, functions[i].op, DT_f64, lane_counts[l]);
        }
    for (int i = 0; i < N_FUNCTIONS2; i++)
        for (int l = 0; l < 4; l++)
            add_kernel(x, functions2[i].name, functions2[i].op, DT_f32, lane_counts[l]);
    CHECK(lp_module_verify(x->m, &x->ctx.diag));
    cg_unit *u = cg_unit_create(&x->ctx, x->m, &(cg_unit_options){.target = &x->target});
    cg_unit_compile(u, CG_OBJECT);
    x->jit = cg_jit_create(&x->ctx, library, sizeof library / sizeof library[0]);
    if (!CHECK(x->jit && cg_jit_add(x->jit, u))) print_diag(x);
}

static kernel *find_kernel(fixture *x, const char *name, int elem, unsigned lanes) {
    char symbol[64];
    snprintf(symbol, sizeof symbol, "%s_%d_%u", name, elem, lanes);
    kernel *k = (kernel *)cg_jit_find(x->jit, symbol);
    CHECK(k != NULL);
    return k;
}

/* ---- errors ---------------------------------------------------------------------------------------------------------- */

/* Distance in units of the last place that the exact result has in a float of `digits` bits and least exponent `least`. Results that
 * round to zero, to infinity or are no numbers must be that, zeros with the right sign. */
static double distance(double found, long double exact, int digits, int least, double largest) {
    if (isnan(exact) || isnan(found)) return isnan(exact) && isnan(found) ? 0 : INFINITY;
    bool overflows = fabsl(exact) > largest;
    if (isinf(found)) return overflows && (found > 0) == (exact > 0) ? 0 : INFINITY;
    if (isinf(exact)) return INFINITY;
    if (exact == 0 || found == 0) {
        if (exact == 0 && found != 0) return INFINITY;
        if (!signbit(exact) != !signbit(found)) return INFINITY;
    }
    int e = exact == 0 ? least : ilogbl(exact) - (digits - 1);
    return (double)ldexpl(fabsl(found - exact), -(e > least ? e : least));
}

typedef struct worst {
    double ulp, x;
} worst;

static void note(worst *w, double ulp, double x) {
    if (ulp > w->ulp) *w = (worst){ulp, x};
}

/* The same for f32, short for the normal case. */
static double distance_f32(float found, double exact) {
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    int e = (int)(bits >> 52 & 2047) - 1023;
    double error = fabs(found - exact);
    if (e > -1000 && e < 127 && found != 0 && error < INFINITY) {
        bits = (uint64_t)(1023 + 23 - (e > -126 ? e : -126)) << 52;
        double scale;
        memcpy(&scale, &bits, sizeof scale);
        return error * scale;
    }
    return distance(found, exact, 24, -149, FLT_MAX);
}

static void check_worst(const char *name, const char *type, const worst *w, double bound) {
    printf("%-6s %s  largest error %.3f at %a\n", name, type, w->ulp, w->x);
    if (!CHECK(w->ulp <= bound)) fprintf(stderr, "  %s %s\n", name, type);
}

static const double specials[] = {
    0.0,       -0.0,     INFINITY, -INFINITY, NAN,     -NAN,    0x1p-1074, -0x1p-1074,
    0x1p-1022, DBL_MAX,  DBL_MIN,  1,         -1,      0.5,     -0.5,      2,
    709.78271, 709.8,    -745.13,  -745.14,   -708.4,  88.7228, 88.7229,   -87.34,
    -103.97,   -103.98,  0x1p-149, FLT_MAX,   FLT_MIN, 3.895,   -3.895,    0.70710678,
    1.4142135, 710.4758, 710.5,    89.4159,   89.42};
enum { N_SPECIALS = sizeof specials / sizeof specials[0] };

/* ---- f32 ------------------------------------------------------------------------------------------------------------- */

typedef struct task {
    const function *f;
    kernel *k;
    uint64_t first, count, step; /* bit patterns */
    worst worst;
} task;

static void *run_task(void *data) {
    task *t = data;
    static _Thread_local float x[BLOCK], y[BLOCK];
    for (uint64_t done = 0; done < t->count; done += BLOCK) {
        for (uint64_t i = 0; i < BLOCK; i++) {
            uint32_t bits = (uint32_t)(t->first + (done + i) * t->step);
            memcpy(&x[i], &bits, sizeof bits);
        }
        t->k(x, x, y, BLOCK);
        for (int i = 0; i < BLOCK; i++)
            note(&t->worst, distance_f32(y[i], t->f->f32(x[i])), x[i]);
    }
    return NULL;
}

/* All numbers whose bits are a multiple of step, on two threads. */
static void check_f32(fixture *x, const function *f, uint64_t step) {
    kernel *k = find_kernel(x, f->name, DT_f32, 8);
    if (!k) return;
    uint64_t n = ((uint64_t)1 << 32) / step;
    task t[2] = {{f, k, 0, n / 2, step, {0}}, {f, k, n / 2 * step, n - n / 2, step, {0}}};
    pthread_t other;
    bool started = pthread_create(&other, NULL, run_task, &t[0]) == 0;
    if (!started) run_task(&t[0]);
    run_task(&t[1]);
    if (started) pthread_join(other, NULL);
    for (int i = 0; i < N_SPECIALS; i++) {
        float one[BLOCK] = {(float)specials[i]}, y[BLOCK];
        k(one, one, y, 8);
        note(&t[0].worst, distance_f32(y[0], f->f32(one[0])), one[0]);
    }
    note(&t[0].worst, t[1].worst.ulp, t[1].worst.x);
    check_worst(f->name, "f32", &t[0].worst, f->ulp_f32);
}

/* ---- f64 ------------------------------------------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static double from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Any bits at all, numbers of everyday size, numbers close to 1, small ones. */
static double random_f64(void) {
    uint64_t bits = random_bits();
    double u = (double)(int64_t)random_bits() * 0x1p-63;
    switch (bits & 7) {
    case 0:
        return from_bits(random_bits());
    case 1:
        return u * 750;
    case 2:
        return 1 + u * 0.5;
    case 3:
        return u * 0x1p-20;
    default:
        return u * (double)(1 << (bits >> 60));
    }
}

static void check_f64(fixture *x, const function *f, int n_blocks) {
    static double in[BLOCK], out[BLOCK];
    kernel *k = find_kernel(x, f->name, DT_f64, 4);
    worst w = {0};
    for (int block = 0; k && block < n_blocks; block++) {
        for (int i = 0; i < BLOCK; i++)
            in[i] = block == 0 && i < N_SPECIALS ? specials[i] : random_f64();
        k(in, in, out, BLOCK);
        for (int i = 0; i < BLOCK; i++)
            note(&w, distance(out[i], f->f64(in[i]), 53, -1074, DBL_MAX), in[i]);
    }
    check_worst(f->name, "f64", &w, f->ulp_f64);
}

/* ---- two operands ------------------------------------------------------------------------------------------------------ */

/* Pairs of special numbers, then numbers whose power is in range, then any. */
static void random_pair(uint64_t n, float *x, float *y) {
    uint32_t a = (uint32_t)random_bits(), b = (uint32_t)(random_bits() >> 32);
    if (n < N_SPECIALS * N_SPECIALS) {
        *x = (float)specials[n / N_SPECIALS];
        *y = (float)specials[n % N_SPECIALS];
    } else if (n % 4 == 0) {
        memcpy(x, &a, sizeof a);
        memcpy(y, &b, sizeof b);
    } else {
        *x = (float)exp(((double)a * 0x1p-32 - 0.5) * (double)(1 << (n % 8)));
        *y = (float)(((double)b * 0x1p-32 - 0.5) * 200 / fmax(fabs(log(*x)), 0.01));
        if (n % 4 == 1) *x = -*x, *y = rintf(*y);
    }
}

static void check_pairs(fixture *x, const function2 *f, uint64_t n_blocks) {
    static float a[BLOCK], b[BLOCK], out[BLOCK];
    kernel *k = find_kernel(x, f->name, DT_f32, 8);
    worst w = {0};
    for (uint64_t block = 0; k && block < n_blocks; block++) {
        for (uint64_t i = 0; i < BLOCK; i++)
            random_pair(block * BLOCK + i, &a[i], &b[i]);
        k(a, b, out, BLOCK);
        for (int i = 0; i < BLOCK; i++) {
            double d = distance_f32(out[i], f->f32(a[i], b[i]));
            if (d > f->ulp_f32)
                fprintf(stderr, "  %s(%a, %a) = %a, not %a\n", f->name, a[i], b[i], out[i],
                        f->f32(a[i], b[i]));
            note(&w, d, a[i]);
        }
    }
    check_worst(f->name, "f32", &w, f->ulp_f32);
}

/* ---- lanes ----------------------------------------------------------------------------------------------------------- */

static void fill(void *x, int elem, int n) {
    for (int i = 0; i < n; i++) {
        double v = i < N_SPECIALS ? specials[i] : random_f64();
        if (elem == DT_f32)
            ((float *)x)[i] = (float)v;
        else
            ((double *)x)[i] = v;
    }
}

/* Of the NaNs, one: which it is may depend on how instructions are chosen. */
static void unify_nans(void *x, int elem, int n) {
    for (int i = 0; i < n; i++) {
        if (elem == DT_f32 && isnan(((float *)x)[i])) ((float *)x)[i] = NAN;
        if (elem == DT_f64 && isnan(((double *)x)[i])) ((double *)x)[i] = (double)NAN;
    }
}

/* Any number of lanes gives the same bits. */
static void check_lanes(fixture *x, const char *name, int elem) {
    static double in[2][BLOCK], first[BLOCK], other[BLOCK];
    fill(in[0], elem, BLOCK);
    fill(in[1], elem, BLOCK);
    for (int l = 0; l < 4; l++) {
        kernel *k = find_kernel(x, name, elem, lane_counts[l]);
        if (!k) return;
        k(in[0], in[1], l ? other : first, BLOCK);
        unify_nans(l ? other : first, elem, BLOCK);
        size_t bytes = elem == DT_f32 ? BLOCK * sizeof(float) : sizeof first;
        if (l > 0 && !CHECK(memcmp(first, other, bytes) == 0))
            fprintf(stderr, "  %s: %u lanes\n", name, lane_counts[l]);
    }
}

int main(int argc, char **argv) {
    fixture x;
    setup(&x);
    int step = argc > 1 ? atoi(argv[1]) : 1009;
    if (step <= 0) return 2;
    for (int i = 0; i < N_FUNCTIONS && x.jit; i++) {
        const function *f = &functions[i];
        if (argc > 2 && strcmp(argv[2], f->name) != 0) continue;
        check_f32(&x, f, (uint64_t)step);
        check_lanes(&x, f->name, DT_f32);
        if (!f->ulp_f64) continue;
        check_f64(&x, f, step == 1 ? 512 : 16);
        check_lanes(&x, f->name, DT_f64);
    }
    for (int i = 0; i < N_FUNCTIONS2 && x.jit; i++) {
        if (argc > 2 && strcmp(argv[2], functions2[i].name) != 0) continue;
        check_pairs(&x, &functions2[i], step == 1 ? 16384 : 32);
        check_lanes(&x, functions2[i].name, DT_f32);
    }
    ir_ctx_release(&x.ctx);
    return check_done();
}
