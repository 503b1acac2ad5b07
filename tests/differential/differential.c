/* Compiled code against the reference evaluator: every graph of the given text files is run both ways on random inputs, with several
 * values for its symbolic dimensions, and the results are compared; with 2, 3 and 4 threads they must be the bits of one.
 *
 *   differential FILE.tl...          cases in a file are separated by a line "// ===="
 *   // RANGE lo hi                   in a case: input elements are drawn from [lo, hi] (default -2 2; integers: rounded)
 *   // ULP n                         allowed difference in units in the last place of the element or of the root mean square of
 *                                    its tensor, whichever is larger (sums cancel); default 16; 0 = equal bits
 *   // PARTS n                       the same for each part of complex numbers; default 0: most operators only move them
 *   // PASSES default                 run these first (default: none)
 *   // DIMS a b c                    values tried for each symbol (default 1 3 8)
 *   // FAILS text                    the evaluator refuses the inputs, and the run ends with a message that holds this text     */
#include "tests/differential/ulp.h"
#include "tests/support/compiled.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_IO = 16, MAX_DIMS = 8 };

typedef struct settings {
    double lo, hi, ulp, parts;
    int64_t dims[MAX_DIMS];
    uint32_t n_dims;
    const char *passes;
    char fails[128]; /* empty: the case does not */
} settings;

static uint64_t random_state;

/* The inputs of a case are its own, wherever it stands and whatever ran before: FNV-1a of its text. */
static void seed_random(const char *text) {
    random_state = 0xcbf29ce484222325u;
    for (; *text; text++)
        random_state = (random_state ^ (unsigned char)*text) * 0x100000001b3u;
    if (!random_state) random_state = 1;
}

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
    if ((p = strstr(text, "// PARTS "))) sscanf(p, "// PARTS %lf", &s->parts);
    if ((p = strstr(text, "// DIMS "))) {
        long long d[MAX_DIMS];
        int n = sscanf(p, "// DIMS %lld %lld %lld %lld", &d[0], &d[1], &d[2], &d[3]);
        s->n_dims = n > 0 ? (uint32_t)n : 0;
        for (uint32_t i = 0; i < s->n_dims; i++)
            s->dims[i] = d[i];
    }
    if (strstr(text, "// PASSES default")) s->passes = "default";
    if ((p = strstr(text, "// FAILS "))) sscanf(p, "// FAILS %127[^\n]", s->fails);
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

static bool is_complex(const ir_tensor *x) {
    return ir_dtype_get_class(x->type->dtype) == DTYPE_COMPLEX;
}

/* Real and imaginary part, each with bits of its own. */
static void random_parts(ir_tensor *x, const settings *s) {
    ir_dtype part = x->type->dtype == DT_c64 ? DT_f32 : DT_f64;
    for (size_t i = 0; i < 2 * ir_tensor_elements(x); i++)
        ir_element_set_f64(part, ir_tensor_data(x), i, random_in(s->lo, s->hi));
}

/* Without bytes, with a zero among them, of several bytes to a character, not ended by anything. */
static void random_strings(ir_tensor *x) {
    static const tl_sv some[] = {{NULL, 0},       {"", 0},
                                 {"a", 1},        {"b", 1},
                                 {"ab cd", 4},    {"zero\0in", 7},
                                 {"-1.5", 4},     {"word", 4},
                                 {"\xc3\xa4", 2}, {"a long string of forty characters, or so", 40}};
    for (size_t i = 0; i < ir_tensor_elements(x); i++)
        ((tl_sv *)ir_tensor_data(x))[i] = some[random_bits() % (sizeof some / sizeof *some)];
}

static ir_tensor *random_tensor(ir_ctx *c, tl_arena *a, const ir_type *t, const settings *s,
                                int64_t size) {
    const ir_dim *dims[32];
    choice k = {c, size};
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = ir_dim_substitute(c, t->dims[i], pick, &k);
    ir_tensor *x = ir_tensor_alloc(a, ir_type_tensor(c, t->dtype, t->rank, dims));
    if (is_complex(x)) random_parts(x, s);
    if (t->dtype == DT_str) random_strings(x);
    bool numbers = !is_complex(x) && t->dtype != DT_str;
    for (size_t i = 0; numbers && i < ir_tensor_elements(x); i++) {
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

/* ---- comparison ------------------------------------------------------------------------------------------------------ */

/* Complex numbers as twice as many real ones. */
static const ir_tensor *parts_of(ir_ctx *c, tl_arena *a, const ir_tensor *x) {
    ir_dtype part = x->type->dtype == DT_c64 ? DT_f32 : DT_f64;
    int64_t n = 2 * (int64_t)ir_tensor_elements(x);
    return is_complex(x) ? ir_tensor_create(a, ir_type_tensor_static(c, part, 1, &n), x->data) : x;
}

static bool compare(const char *name, const ir_tensor *want, const ir_tensor *got, double ulp) {
    if (want->type != got->type) return printf("    %s: another type or shape\n", name), false;
    if (want->type->dtype == DT_str)
        return ir_tensor_equal(want, got) || (printf("    %s: other strings\n", name), false);
    bool is_float = ir_dtype_is_float(want->type->dtype);
    ulp_bound bound = {ulp, is_float && ulp > 0 ? ulp_mean_size(want) : 0};
    for (size_t i = 0; i < ir_tensor_elements(want); i++) {
        if (ulp_equal(want, got, i, bound)) continue;
        printf("    %s[%zu]: compiled %.9g, expected %.9g\n", name, i, ir_tensor_get_f64(got, i),
               ir_tensor_get_f64(want, i));
        return false;
    }
    return true;
}

/* ---- one case ------------------------------------------------------------------------------------------------------------ */

/* With 1 to 4 threads; the first is judged by the evaluator, the others must give its bits. */
static bool run_threads(ir_ctx *c, tl_arena *a, const tlbc_model *model, const ir_graph *g,
                        const ir_datum *const *in, const ir_datum *want, const settings *s) {
    ir_datum first[MAX_IO], again[MAX_IO];
    uint32_t n = ir_region_n_results(g->body);
    if (!compiled_run(c, a, model, 1, in, first)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (!compare(g->outputs[i], parts_of(c, a, want[i].tensor), parts_of(c, a, first[i].tensor),
                     is_complex(want[i].tensor) ? s->parts : s->ulp))
            return false;
    for (uint32_t threads = 2; threads <= 4; threads++) {
        if (!compiled_run(c, a, model, threads, in, again)) return false;
        if (!compiled_same_bits(first, again, n))
            return printf("    %u threads give other bits\n", threads), false;
    }
    return true;
}

static bool was_said(ir_ctx *c, tl_arena *a, const char *text) {
    tl_str all;
    tl_str_init(&all, a);
    diag_render(&c->diag, &all);
    return strstr(all.data, text) != NULL;
}

/* With one thread and with three. */
static bool fails_as_told(ir_ctx *c, tl_arena *a, const tlbc_model *model, const ir_graph *g,
                          const ir_datum *const *in, const char *text) {
    ir_datum out[MAX_IO];
    ir_eval e;
    memset(out, 0, sizeof out);
    ir_eval_init(&e, c, a);
    if (ir_eval_graph(&e, g, in, out)) return printf("    the evaluator takes it\n"), false;
    for (uint32_t threads = 1; threads <= 3; threads += 2)
        if (compiled_run(c, a, model, threads, in, out))
            return printf("    %u threads do not fail\n", threads), false;
    return was_said(c, a, text) || (printf("    the message is another one\n"), false);
}

static bool run_sizes(ir_ctx *c, const ir_module *m, const tlbc_model *model, const settings *s,
                      int64_t size) {
    tl_arena a;
    tl_arena_init(&a, c->fail);
    const ir_region *body = m->graphs->body;
    ir_datum in[MAX_IO], want[MAX_IO];
    const ir_datum *refs[MAX_IO];
    memset(want, 0, sizeof want);
    for (uint32_t i = 0; i < body->n_params; i++) {
        in[i] = (ir_datum){.tensor = random_tensor(c, &a, body->params[i]->type, s, size)};
        refs[i] = &in[i];
    }
    ir_eval e;
    bool ok;
    ir_eval_init(&e, c, &a);
    if (*s->fails) {
        ok = fails_as_told(c, &a, model, m->graphs, refs, s->fails);
    } else {
        ok = ir_eval_graph(&e, m->graphs, refs, want);
        if (!ok) printf("    the evaluator refuses it\n");
        ok = ok && run_threads(c, &a, model, m->graphs, refs, want, s);
    }
    if (!ok) printf("    symbols = %lld\n", (long long)size);
    tl_arena_release(&a);
    return ok;
}

static bool run_module(ir_ctx *c, tl_arena *a, const char *file, const char *text,
                       const settings *s) {
    ir_module *m = ir_module_parse(c, a, file, text, strlen(text));
    if (!m) return false;
    const ir_module *reference = ir_module_clone(m, a);
    const tlbc_model *model = compiled_load(m, s->passes);
    bool ok = model;
    for (uint32_t i = 0; ok && i < s->n_dims; i++)
        ok = run_sizes(c, reference, model, s, s->dims[i]);
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
    seed_random(text);
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
