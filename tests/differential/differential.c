/* Compiled code against the reference evaluator: every graph of the given text files is run both ways on random inputs, with several
 * values for its symbolic dimensions (0 and 1 among them), and the results are compared.
 *
 *   differential FILE.tl...          cases in a file are separated by a line "// ===="
 *   // RANGE lo hi                   in a case: input elements are drawn from [lo, hi] (default -2 2; integers: rounded)
 *   // ULP n                         allowed difference in units in the last place of the element or of the root mean square of
 *                                    its tensor, whichever is larger (sums cancel); default 16; 0 = equal bits
 *   // PASSES default                the compiled side goes through the whole pipeline first
 *   // DIMS a b c                    values tried for each symbol (default 1 3 8)                                             */
#include "codegen/cg.h"
#include "ir/eval.h"
#include "passes/pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_IO = 16, MAX_DIMS = 8 };

typedef struct settings {
    double lo, hi, ulp;
    int64_t dims[MAX_DIMS];
    uint32_t n_dims;
    const char *passes;
} settings;

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static double random_in(double lo, double hi) {
    return lo + (hi - lo) * ((double)(random_bits() >> 11) * 0x1p-53);
}

/* ---- directives ---------------------------------------------------------------------------------------------------- */

static void read_settings(const char *text, settings *s) {
    *s = (settings){.lo = -2, .hi = 2, .ulp = 16, .dims = {1, 3, 8}, .n_dims = 3};
    const char *p;
    if ((p = strstr(text, "// RANGE "))) sscanf(p, "// RANGE %lf %lf", &s->lo, &s->hi);
    if ((p = strstr(text, "// ULP "))) sscanf(p, "// ULP %lf", &s->ulp);
    if ((p = strstr(text, "// DIMS "))) {
        long long d[MAX_DIMS];
        int n = sscanf(p, "// DIMS %lld %lld %lld %lld", &d[0], &d[1], &d[2], &d[3]);
        s->n_dims = n > 0 ? (uint32_t)n : 0;
        for (uint32_t i = 0; i < s->n_dims; i++)
            s->dims[i] = d[i];
    }
    if (strstr(text, "// PASSES default")) s->passes = "default";
}

/* ---- inputs ---------------------------------------------------------------------------------------------------------- */

typedef struct choice {
    ir_ctx *c;
    int64_t value;
} choice;

static const ir_dim *pick(void *data, const char *symbol) {
    (void)symbol;
    choice *k = data;
    return ir_dim_const(k->c, k->value);
}

static ir_tensor *random_tensor(ir_ctx *c, tl_arena *a, const ir_type *t, const settings *s,
                                int64_t size) {
    const ir_dim *dims[32];
    choice k = {c, size};
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = ir_dim_substitute(c, t->dims[i], pick, &k);
    ir_tensor *x = ir_tensor_alloc(a, ir_type_tensor(c, t->dtype, t->rank, dims));
    for (size_t i = 0; i < ir_tensor_elements(x); i++) {
        double v = random_in(s->lo, s->hi);
        if (t->dtype == DT_bool)
            ir_tensor_set_i64(x, i, (int64_t)(random_bits() & 1));
        else if (ir_dtype_is_float(t->dtype))
            ir_tensor_set_f64(x, i, v);
        else
            ir_tensor_set_i64(x, i, (int64_t)floor(v));
    }
    ir_tensor_seal(x);
    return x;
}

/* ---- comparison -------------------------------------------------------------------------------------------------------- */

static double unit_in_last_place(ir_dtype t, double x) {
    int bits = t == DT_f64 ? 52 : t == DT_f16 ? 10 : t == DT_bf16 ? 7 : 23, e;
    frexp(x, &e);
    double u = ldexp(1, e - 1 - bits), smallest = t == DT_f16   ? 0x1p-24
                                                  : t == DT_f64 ? 0x1p-1074
                                                                : 0x1p-149;
    return u < smallest ? smallest : u;
}

static double root_mean_square(const ir_tensor *x) {
    double sum = 0;
    size_t n = ir_tensor_elements(x), finite = 0;
    for (size_t i = 0; i < n; i++) {
        double v = ir_tensor_get_f64(x, i);
        if (!isfinite(v)) continue;
        sum += v * v;
        finite++;
    }
    return finite ? sqrt(sum / (double)finite) : 0;
}

static bool same_element(ir_dtype t, const ir_tensor *want, const void *got, size_t i, double ulp,
                         double size) {
    if (!ir_dtype_is_float(t)) return ir_tensor_get_i64(want, i) == ir_element_get_i64(t, got, i);
    double w = ir_tensor_get_f64(want, i), g = ir_element_get_f64(t, got, i);
    if (isnan(w) || isnan(g)) return isnan(w) && isnan(g);
    if (w == g) return true;
    if (isinf(w) || isinf(g)) return false;
    return fabs(w - g) <= ulp * unit_in_last_place(t, fmax(fabs(w), size));
}

static bool compare(const char *name, const ir_tensor *want, const tlbc_tensor *got, double ulp) {
    if ((int32_t)got->rank != want->type->rank)
        return printf("    %s: rank %u, expected %d\n", name, got->rank, want->type->rank), false;
    for (uint32_t d = 0; d < got->rank; d++) {
        int64_t n;
        if (ir_dim_is_const(want->type->dims[d], &n) && n == got->dims[d]) continue;
        return printf("    %s: dimension %u is %lld\n", name, d, (long long)got->dims[d]), false;
    }
    double size = ir_dtype_is_float(want->type->dtype) ? root_mean_square(want) : 0;
    for (size_t i = 0; i < ir_tensor_elements(want); i++) {
        if (same_element(want->type->dtype, want, got->data, i, ulp, size)) continue;
        printf("    %s[%zu]: compiled %.9g, expected %.9g\n", name, i,
               ir_element_get_f64(want->type->dtype, got->data, i), ir_tensor_get_f64(want, i));
        return false;
    }
    return true;
}

/* ---- one case ------------------------------------------------------------------------------------------------------------ */

static tlbc_tensor to_runtime(const ir_tensor *x) {
    tlbc_tensor t = {
        .data = (void *)(uintptr_t)x->data, .bytes = x->bytes, .dtype = (tlbc_dtype)x->type->dtype};
    t.rank = (uint32_t)x->type->rank;
    for (uint32_t d = 0; d < t.rank; d++)
        ir_dim_is_const(x->type->dims[d], &t.dims[d]);
    return t;
}

static bool run_compiled(const tlbc_model *model, uint32_t threads, tlbc_tensor *in,
                         tlbc_tensor *out) {
    tlbc_session *session;
    tlbc_session_options o = {.threads = threads};
    if (tlbc_session_create(model, &o, &session)) return printf("    no session\n"), false;
    tlbc_status status = tlbc_shapes(session, in, out, NULL);
    for (uint32_t i = 0; !status && i < model->n_outputs; i++)
        out[i].data = malloc(out[i].bytes + 1);
    if (!status) status = tlbc_run(session, in, out);
    if (status) printf("    run: %s\n", tlbc_session_message(session));
    tlbc_session_free(session);
    return !status;
}

static bool run_sizes(ir_ctx *c, const ir_module *m, const tlbc_model *model, const settings *s,
                      int64_t size, uint32_t threads) {
    tl_arena a;
    tl_arena_init(&a, c->fail);
    const ir_region *body = m->graphs->body;
    ir_datum in[MAX_IO], want[MAX_IO];
    const ir_datum *refs[MAX_IO];
    tlbc_tensor x[MAX_IO], y[MAX_IO] = {{0}};
    memset(want, 0, sizeof want);
    for (uint32_t i = 0; i < body->n_params; i++) {
        in[i] = (ir_datum){.tensor = random_tensor(c, &a, body->params[i]->type, s, size)};
        refs[i] = &in[i];
        x[i] = to_runtime(in[i].tensor);
    }
    ir_eval e;
    ir_eval_init(&e, c, &a);
    bool ok = ir_eval_graph(&e, m->graphs, refs, want);
    if (!ok) printf("    the evaluator refuses it\n");
    ok = ok && run_compiled(model, threads, x, y);
    for (uint32_t i = 0; ok && i < ir_region_n_results(body); i++)
        ok = compare(m->graphs->outputs[i], want[i].tensor, &y[i], s->ulp);
    if (!ok) printf("    symbols = %lld, threads = %u\n", (long long)size, threads);
    for (uint32_t i = 0; i < MAX_IO; i++)
        free(y[i].data);
    tl_arena_release(&a);
    return ok;
}

static bool run_module(ir_ctx *c, tl_arena *a, const char *file, const char *text,
                       const settings *s) {
    ir_module *m = ir_module_parse(c, a, file, text, strlen(text));
    if (!m) return false;
    ir_module *reference = ir_module_clone(m, a);
    cg_target target;
    if (!cg_target_find(c, "native", &target)) return false;
    if (s->passes && !pass_run(m, s->passes, NULL)) return false;
    cg_options o = {.targets = &target, .n_targets = 1, .name = "model"};
    cg_model *model = cg_lower(m, &o);
    const tlbc_model *loaded = model ? cg_load_model(model) : NULL;
    bool ok = loaded;
    for (uint32_t i = 0; ok && i < s->n_dims; i++)
        for (uint32_t threads = 1; ok && threads <= 3; threads += 2)
            ok = run_sizes(c, reference, loaded, s, s->dims[i], threads);
    return ok;
}

static bool run_case(const char *file, const char *text) {
    tl_fail fail = {.countdown = 0};
    if (setjmp(fail.jump)) return printf("    out of memory\n"), false;
    ir_ctx c;
    tl_arena a;
    settings s;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    read_settings(text, &s);
    bool ok = run_module(&c, &a, file, text, &s);
    tl_str message;
    tl_str_init(&message, &a);
    diag_render(&c.diag, &message);
    if (!ok) fputs(message.data, stdout);
    ir_ctx_release(&c);
    tl_arena_release(&a);
    return ok;
}

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *text = malloc((size_t)n + 1);
    text[fread(text, 1, (size_t)n, f)] = 0;
    fclose(f);
    return text;
}

static void run_file(const char *path, int *passed, int *failed) {
    char *text = read_file(path);
    if (!text) {
        printf("cannot read '%s'\n", path);
        ++*failed;
        return;
    }
    int number = 0;
    for (char *at = text; at;) {
        char *end = strstr(at, "\n// ====");
        if (end) *end = 0;
        number++;
        bool ok = run_case(path, at);
        if (!ok) printf("FAIL %s case %d\n", path, number);
        ++*(ok ? passed : failed);
        at = end ? strchr(end + 1, '\n') : NULL;
    }
    free(text);
}

int main(int argc, char **argv) {
    int passed = 0, failed = 0;
    for (int i = 1; i < argc; i++)
        run_file(argv[i], &passed, &failed);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
