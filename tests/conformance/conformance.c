/* ONNX's own backend tests, run by the reference evaluator or as compiled code.
 *
 *   conformance DATA [CATEGORY…] [--skip FILE]… [--filter TEXT] [--tolerance T] [--symbolic] [--passes LIST] [--compiled] [--bind]
 *               [--constant] [--verbose]
 *
 * DATA holds the categories (by default node, simple, pytorch-operator, pytorch-converted), each a folder of cases: model.onnx and
 * test_data_set_0, test_data_set_1, ….
 * A case whose model uses an operator tlbc does not know is skipped. FILE lists cases that are known to fail, a line each:
 * `name reason`; they run too, and one that passes makes the run fail, so that the list stays true.
 *
 * --symbolic: every dimension of every input becomes a symbol of its own before anything is inferred. The evaluator checks
 * each result against its type, so this puts the shape rules for unknown sizes to the test.
 *
 * --passes: the model goes through these passes ("default": all of them) first, with the verifier and the round trip after each.
 *
 * --compiled: the default passes and machine code instead of the evaluator, with 1, 2 and 3 threads, whose results must be the same
 * bits. Together with --symbolic: one code for all shapes.
 *
 * --bind: scalar inputs, and integers of rank 1 (axes, shapes, starts, counts) and scales become constants with the first set's contents, as exporters
 * write them: the official models hand them in as inputs, where compiled code cannot know the shapes that follow from them.
 *
 * --constant: every input that is a tensor becomes a constant with the first set's contents, so that the evaluator folds the model within
 * the passes. What is left (sequences, optionals, random numbers) is computed as without it.
 *
 * Each case runs in a process of its own with a time limit: a crash is one failure, not the end of the run.
 * Tolerance and rules are those of ONNX's runner: relative 1e-3, absolute 1e-7, shapes and types exact. --tolerance: another one,
 * relative and absolute.
 * Category "light" holds whole networks (ONNX calls these tests "real"): light_NAME.onnx with light_NAME_output_0.pb; the input of n
 * elements is 0, 1/n, 2/n, ..., as ONNX's runner makes it. Too much for the evaluator.
 *
 * Exit status: 0 all as expected, 1 not, 77 no data (CTest: skipped). */
#include "frontend/frontend.h"
#include "ir/base/vec.h"
#include "ir/limits.h"
#include "passes/pass.h"
#include "tests/conformance/compare.h"
#include "tests/support/compiled.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIME_LIMIT = 60 };

typedef enum outcome { PASSED, FAILED, UNSUPPORTED } outcome;

/* How the cases run. */
typedef struct options {
    const char *filter;
    tolerance tolerance;
    bool verbose, symbolic, compiled, bind, constant;
    bool networks;      /* the cases of this category are files beside each other, not folders */
    const char *passes; /* run on the model first; NULL = none */
} options;

typedef struct result {
    outcome outcome;
    char why[1024];
} result;

/* ---- one case ---------------------------------------------------------------------------------------------------- */

typedef struct test_case {
    ir_ctx ctx;
    tl_arena arena;
    const char *folder;
    const options *options;
    uint32_t set;            /* of the case's data sets, the one being run */
    const tlbc_model *model; /* NULL: the evaluator runs */
    result *result;
} test_case;

static bool finish(test_case *t, outcome o, const char *why) {
    t->result->outcome = o;
    snprintf(t->result->why, sizeof t->result->why, "%s", why);
    return o == PASSED;
}

/* Fails with what was reported; a model that needs an unknown operator is not a failure. */
static bool finish_reported(test_case *t) {
    tl_str text;
    tl_str_init(&text, &t->arena);
    diag_render(&t->ctx.diag, &text);
    return finish(t, strstr(text.data, "not supported yet") ? UNSUPPORTED : FAILED, text.data);
}

static bool read_value(test_case *t, const char *kind, uint32_t i, const ir_type *type,
                       ir_datum *out) {
    const char *path = t->options->networks
                           ? tl_arena_printf(&t->arena, "%s_%s_%u.pb", t->folder, kind, i)
                           : tl_arena_printf(&t->arena, "%s/test_data_set_%u/%s_%u.pb", t->folder,
                                             t->set, kind, i);
    return fe_read_value_pb(&t->ctx, &t->arena, path, type, out);
}

/* 0, 1/n, 2/n, ... */
static void make_ramp(test_case *t, const ir_type *type, ir_datum *d) {
    ir_tensor *x = ir_tensor_alloc(&t->arena, type);
    size_t n = ir_tensor_elements(x);
    for (size_t i = 0; i < n; i++)
        ir_tensor_set_f64(x, i, (double)((float)i / (float)n));
    d->tensor = x;
}

static bool read_inputs(test_case *t, const ir_region *r, const ir_datum **inputs) {
    for (uint32_t i = 0; i < r->n_params; i++) {
        ir_datum *d = TL_NEW(&t->arena, ir_datum);
        if (t->options->networks)
            make_ramp(t, r->params[i]->type, d);
        else if (!read_value(t, "input", i, r->params[i]->type, d))
            return false;
        inputs[i] = d;
    }
    return true;
}

static bool compare_outputs(test_case *t, const ir_region *r, const ir_datum *outputs) {
    tl_str why;
    tl_str_init(&why, &t->arena);
    for (uint32_t i = 0; i < ir_region_n_results(r); i++) {
        ir_datum expected = {0};
        if (!read_value(t, "output", i, ir_region_result(r, i)->type, &expected))
            return finish_reported(t);
        tl_str_printf(&why, "set %u, output %u: ", t->set, i);
        if (!compare_data(&outputs[i], &expected, t->options->tolerance, &why))
            return finish(t, FAILED, why.data);
        tl_str_clear(&why);
    }
    return finish(t, PASSED, "");
}

static bool has_set(test_case *t) {
    if (t->options->networks) return t->set == 0;
    return access(tl_arena_printf(&t->arena, "%s/test_data_set_%u", t->folder, t->set), R_OK) == 0;
}

static bool evaluate(test_case *t, const ir_graph *g, const ir_datum *const *inputs,
                     ir_datum *outputs) {
    ir_eval e;
    ir_eval_init(&e, &t->ctx, &t->arena);
    return ir_eval_graph(&e, g, inputs, outputs) || finish_reported(t);
}

static bool run_compiled(test_case *t, const ir_graph *g, const ir_datum *const *inputs,
                         ir_datum *outputs) {
    uint32_t n = ir_region_n_results(g->body);
    ir_datum *again = TL_NEW_ARRAY(&t->arena, ir_datum, n + 1);
    if (!compiled_run(&t->ctx, &t->arena, t->model, 1, inputs, outputs)) return finish_reported(t);
    for (uint32_t threads = 2; threads <= 3; threads++) {
        if (!compiled_run(&t->ctx, &t->arena, t->model, threads, inputs, again))
            return finish_reported(t);
        if (!compiled_same_bits(outputs, again, n))
            return finish(t, FAILED, "more threads give other bits");
    }
    return true;
}

static bool run_set(test_case *t, const ir_graph *g) {
    const ir_datum **inputs = TL_NEW_ARRAY(&t->arena, const ir_datum *, g->body->n_params + 1);
    ir_datum *outputs = TL_NEW_ARRAY(&t->arena, ir_datum, ir_region_n_results(g->body) + 1);
    if (!read_inputs(t, g->body, inputs)) return finish_reported(t);
    bool ok = t->model ? run_compiled(t, g, inputs, outputs) : evaluate(t, g, inputs, outputs);
    return ok && compare_outputs(t, g->body, outputs);
}

/* Region and scales of a Resize. */
static bool is_scales(const ir_value *v) {
    for (const ir_use *u = v->uses; u; u = u->next)
        if (u->user->op == OP_Resize && u->value != ir_in(u->user, 0)) return true;
    return false;
}

static bool is_setting(const ir_value *v) {
    const ir_type *t = v->type;
    if (!ir_type_is_ranked(t)) return false;
    return t->rank == 0 || (t->rank == 1 && (ir_dtype_is_int(t->dtype) || is_scales(v)));
}

static bool is_bound(const options *o, const ir_value *v) {
    return o->constant ? ir_type_is_tensor(v->type) : o->bind && is_setting(v);
}

static bool bind_inputs(test_case *t, ir_module *m) {
    const ir_region *r = m->graphs->body;
    for (uint32_t i = 0; i < r->n_params; i++) {
        ir_datum d = {0};
        if (!is_bound(t->options, r->params[i])) continue;
        if (!read_value(t, "input", i, r->params[i]->type, &d)) return false;
        ir_value_replace_uses(r->params[i], ir_module_const(m, d.tensor, NULL));
    }
    return true;
}

static bool run_passes(const test_case *t, ir_module *m) {
    pass_options o = {.verify = true, .roundtrip = true};
    return !t->options->passes || pass_run(m, t->options->passes, &o);
}

static bool run_loaded(test_case *t) {
    const char *file = t->options->networks ? "%s.onnx" : "%s/model.onnx";
    const char *path = tl_arena_printf(&t->arena, file, t->folder);
    ir_module *m = fe_import_file(&t->ctx, &t->arena, path,
                                  &(fe_options){.symbolic_inputs = t->options->symbolic});
    bool ready = m && bind_inputs(t, m) && run_passes(t, m);
    if (!ready) return finish_reported(t);
    const ir_graph *g = m->graphs;
    if (t->options->compiled &&
        !(t->model = compiled_load(m, t->options->passes ? NULL : "default")))
        return finish_reported(t);
    if (!has_set(t)) return finish(t, FAILED, "no test_data_set_0");
    for (; has_set(t); t->set++)
        if (!run_set(t, g)) return false;
    return true;
}

static void run_case(const char *folder, const options *o, result *r) {
    tl_fail fail = {0};
    test_case t = {.folder = folder, .options = o, .result = r};
    ir_ctx_init(&t.ctx, &fail);
    tl_arena_init(&t.arena, &fail);
    if (setjmp(fail.jump))
        finish(&t, FAILED, "out of memory");
    else
        run_loaded(&t);
    tl_arena_release(&t.arena);
    ir_ctx_release(&t.ctx);
}

/* ---- in a process of its own --------------------------------------------------------------------------------------- */

static void run_child(const char *folder, const options *o, int to) {
    result r = {0};
    alarm(TIME_LIMIT);
    run_case(folder, o, &r);
    bool written = write(to, &r, sizeof r) == (ssize_t)sizeof r;
    _exit(written ? 0 : 1);
}

static void run_apart(const char *folder, const options *o, result *r) {
    int ends[2], status = 0;
    *r = (result){.outcome = FAILED};
    fflush(NULL);
    if (pipe(ends) != 0) return;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        run_child(folder, o, ends[1]);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(ends[0], (char *)r + got, sizeof *r - got)) > 0;)
        got += (size_t)n;
    close(ends[0]);
    if (child > 0) waitpid(child, &status, 0);
    if (got == sizeof *r && WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    r->outcome = FAILED;
    snprintf(r->why, sizeof r->why, "ended by signal %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* ---- the list of known failures -------------------------------------------------------------------------------------- */

typedef struct known {
    char name[256];
    bool used;
} known;

typedef struct run {
    tl_arena arena;
    TL_VEC(known) known;
    const char *data;
    TL_VEC(const char *) categories;
    options options;
    uint32_t passed, failed, skipped, listed;
} run;

static bool read_known(run *s, const char *path) {
    FILE *f = fopen(path, "r");
    char line[1024];
    if (!f) return fprintf(stderr, "cannot read '%s'\n", path), false;
    while (fgets(line, sizeof line, f)) {
        known k = {0};
        if (line[0] != '#' && sscanf(line, "%255s", k.name) == 1)
            tl_vec_push(&s->arena, &s->known, k);
    }
    fclose(f);
    return true;
}

static known *find_known(run *s, const char *name) {
    for (uint32_t i = 0; i < s->known.len; i++)
        if (strcmp(s->known.data[i].name, name) == 0) return &s->known.data[i];
    return NULL;
}

/* ---- all cases --------------------------------------------------------------------------------------------------------- */

static void one_line(char *text) {
    for (; *text; text++)
        if (*text == '\n') *text = text[1] ? ';' : '\0';
}

/* Libraries that are optional are not there. */
static bool lacks_library(const result *r) {
    return r->outcome == FAILED && strstr(r->why, "this tlbc was built without");
}

static void count(run *s, const char *name, result *r) {
    known *k = find_known(s, name);
    one_line(r->why);
    if (lacks_library(r)) r->outcome = UNSUPPORTED;
    if (k) k->used = true;
    if (r->outcome == UNSUPPORTED) {
        s->skipped++;
        if (s->options.verbose) printf("skip %s: %s\n", name, r->why);
    } else if (r->outcome == PASSED) {
        s->passed += !k;
        s->failed += k != NULL;
        if (k)
            printf("FAIL %s: passes, but is listed as failing\n", name);
        else if (s->options.verbose)
            printf("pass %s\n", name);
    } else if (k) {
        s->skipped++;
        s->listed++;
        if (s->options.verbose) printf("known %s: %s\n", name, r->why);
    } else {
        s->failed++;
        printf("FAIL %s: %s\n", name, r->why);
    }
}

/* The entry is a case: a folder with a model, or (networks) a model, whose name it gets without ".onnx". */
static bool is_case(run *s, const char *folder, char *name) {
    size_t n = strlen(name);
    if (name[0] == '.' || (s->options.filter && !strstr(name, s->options.filter))) return false;
    if (!s->options.networks)
        return access(tl_arena_printf(&s->arena, "%s/%s/model.onnx", folder, name), R_OK) == 0;
    if (n < 6 || strcmp(name + n - 5, ".onnx") != 0) return false;
    name[n - 5] = 0;
    return true;
}

static void run_category(run *s, const char *category) {
    struct dirent **entries;
    const char *folder = tl_arena_printf(&s->arena, "%s/%s", s->data, category);
    int n = scandir(folder, &entries, NULL, alphasort);
    s->options.networks = strcmp(category, "light") == 0;
    for (int i = 0; i < n; i++) {
        char *name = entries[i]->d_name;
        if (is_case(s, folder, name)) {
            result r;
            run_apart(tl_arena_printf(&s->arena, "%s/%s", folder, name), &s->options, &r);
            count(s, name, &r);
        }
        free(entries[i]);
    }
    if (n >= 0) free(entries);
}

static int report(run *s) {
    if (s->passed + s->failed + s->skipped == 0) {
        printf("LEFT OUT: no test data in '%s' (tools/onnx_data.sh fetches ONNX's)\n", s->data);
        return 77;
    }
    for (uint32_t i = 0; i < s->known.len && !s->options.filter; i++) {
        if (s->known.data[i].used) continue;
        printf("FAIL %s: is listed as failing, but there is no such case\n", s->known.data[i].name);
        s->failed++;
    }
    printf(
        "%u of the skipped are listed as failing, %u need operators that are not supported yet\n",
        s->listed, s->skipped - s->listed);
    printf("%u passed, %u failed, %u skipped\n", s->passed, s->failed, s->skipped);
    return s->failed || !s->passed;
}

/* An option that takes a value; false where it is not one or the value is not usable. */
static bool read_option(run *s, const char *name, const char *value) {
    if (!value) return false;
    if (strcmp(name, "--skip") == 0) return read_known(s, value);
    if (strcmp(name, "--filter") == 0) {
        s->options.filter = value;
        return true;
    }
    if (strcmp(name, "--passes") == 0) {
        s->options.passes = value;
        return true;
    }
    double t = strtod(value, NULL);
    s->options.tolerance = (tolerance){t, t};
    return strcmp(name, "--tolerance") == 0 && t > 0;
}

static bool read_arguments(run *s, int argc, char **argv) {
    static const char *const official[] = {"node", "simple", "pytorch-operator",
                                           "pytorch-converted"};
    s->options.tolerance = (tolerance){1e-3, 1e-7};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--symbolic") == 0)
            s->options.symbolic = true;
        else if (strcmp(argv[i], "--compiled") == 0)
            s->options.compiled = true;
        else if (strcmp(argv[i], "--bind") == 0)
            s->options.bind = true;
        else if (strcmp(argv[i], "--constant") == 0)
            s->options.constant = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            s->options.verbose = true;
        else if (argv[i][0] != '-' && !s->data)
            s->data = argv[i];
        else if (argv[i][0] != '-')
            tl_vec_push(&s->arena, &s->categories, argv[i]);
        else if (read_option(s, argv[i], argv[i + 1]))
            i++;
        else
            return false;
    }
    bool given = s->categories.len > 0;
    for (int i = 0; i < 4 && !given; i++)
        tl_vec_push(&s->arena, &s->categories, official[i]);
    return s->data != NULL;
}

int main(int argc, char **argv) {
    tl_fail fail = {0};
    run s = {0};
    tl_arena_init(&s.arena, &fail);
    if (setjmp(fail.jump)) return fprintf(stderr, "out of memory\n"), 1;
    if (!read_arguments(&s, argc, argv)) {
        fprintf(stderr,
                "usage: %s DATA [CATEGORY...] [--skip FILE] [--filter TEXT] [--tolerance T] "
                "[--symbolic] [--passes LIST] [--compiled] [--bind] [--constant] "
                "[--verbose]\n",
                argv[0]);
        return 2;
    }
    for (uint32_t i = 0; i < s.categories.len; i++)
        run_category(&s, s.categories.data[i]);
    int status = report(&s);
    tl_arena_release(&s.arena);
    return status;
}
