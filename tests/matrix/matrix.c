/* Every operator with every type that its schema allows, as models of one node: imported, inferred, evaluated, compiled with fixed sizes and with
 * symbols, and run; machine code and evaluator must agree.
 *
 *   matrix FILE.txt...  [--known FILE] [--filter OP] [--write FOLDER] [--verbose]
 *   matrix --operators FILE.txt...             which operators of ONNX are in none of the files?
 *
 * The files hold recipes (recipe.h). A recipe is tried with every type of each of its type variables, the others having a usual one, for each version of
 * the operator from the one it names on; older versions are evaluated only, they mean what the newest one means. With symbols the code runs
 * with usual and with odd sizes, and with each size 0 in turn: where the evaluator then refuses, so must the code.
 *
 * An operator fails where no recipe of its has reached a type that its newest version allows in some operand or result.
 *
 * The file of --known lists what does not work, "OP VARIABLE TYPE,... text": of the message, or of what fails. What it lists and works fails, so that
 * it shrinks; "untested" and a reason says that no recipe reaches these types, "all" is every type.
 * --write: models and data in the layout of ONNX's test data, results from the evaluator, for tools/check_matrix.py.
 *
 * Each recipe runs in a process of its own with a time limit: a crash is one failure. */
#include "frontend/frontend.h"
#include "tests/differential/ulp.h"
#include "tests/matrix/instance.h"
#include "tests/support/compiled.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIME_LIMIT = 120, MAX_IO = 32, MAX_KNOWN = 400, MAX_OPERATORS = 400 };

/* What a child tells its parent, in memory that both see. */
typedef struct progress {
    char doing[512];
    uint32_t passed, failed, known;
    uint32_t covered[256][KIND_COUNT]; /* by constraint: masks of types */
    bool used[MAX_KNOWN];
} progress;

typedef struct known_row {
    char op[64], variable[64], text[256];
    uint32_t types;
} known_row;

typedef struct options {
    const char *filter, *folder;
    bool verbose;
    known_row known[MAX_KNOWN];
    uint32_t n_known;
} options;

/* One choice of types of one recipe. */
typedef struct trial {
    tl_fail fail;
    ir_ctx c;
    tl_arena a;
    const options *o;
    const instance *k;
    progress *p;
    const known_row *known; /* NULL: it has to work */
    bool newest, symbolic, was_known;
} trial;

static const sizes usual_sizes = {
    {2, 3, 4, 5, 6, 3, 4, 5, 2, 3, 4, 3, 4, 2, 3, 4, 5, 3, 3, 3, 4, 5, 6, 3, 4, 5}};
static const sizes odd_sizes = {
    {3, 5, 7, 9, 1, 5, 7, 9, 3, 5, 7, 5, 19, 17, 5, 7, 9, 5, 5, 5, 7, 9, 11, 5, 7, 9}};

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static bool same_strings(const ir_tensor *want, const ir_tensor *got) {
    const tl_sv *a = want->data, *b = got->data;
    for (size_t i = 0; i < ir_tensor_elements(want); i++)
        if (a[i].len != b[i].len || memcmp(a[i].data, b[i].data, a[i].len) != 0) return false;
    return true;
}

/* Real and imaginary parts, in parts of the largest of them. */
static bool same_complex(const ir_tensor *want, const ir_tensor *got) {
    ir_dtype part = want->type->dtype == DT_c64 ? DT_f32 : DT_f64;
    double size = 0, worst = 0;
    for (size_t i = 0; i < 2 * ir_tensor_elements(want); i++) {
        double w = ir_element_get_f64(part, want->data, i);
        size = fmax(size, fabs(w));
        worst = fmax(worst, fabs(w - ir_element_get_f64(part, got->data, i)));
    }
    return worst <= size * (part == DT_f32 ? 0x1p-20 : 0x1p-49);
}

static bool same_tensor(const instance *k, const ir_tensor *want, const ir_tensor *got) {
    if (want->type != got->type) return false;
    if (recipe_option(k->recipe, "random")) return true;
    ir_dtype t = want->type->dtype;
    if (t == DT_str) return same_strings(want, got);
    if (ir_dtype_get_class(t) == DTYPE_COMPLEX) return same_complex(want, got);
    const char *ulp = recipe_option(k->recipe, "ulp");
    bool is_float = ir_dtype_is_float(t);
    ulp_bound bound = {ulp ? atof(ulp) : 16, is_float ? ulp_mean_size(want) : 0};
    for (size_t i = 0; i < ir_tensor_elements(want); i++)
        if (!ulp_equal(want, got, i, bound))
            return printf("    [%zu]: compiled %.9g, evaluated %.9g\n", i,
                          ir_tensor_get_f64(got, i), ir_tensor_get_f64(want, i)),
                   false;
    return true;
}

static bool same_datum(const instance *k, const ir_datum *want, const ir_datum *got) {
    if (!want->tensor != !got->tensor || want->n != got->n) return false;
    if (want->tensor) return same_tensor(k, want->tensor, got->tensor);
    for (uint32_t i = 0; i < want->n; i++)
        if (!same_datum(k, &want->items[i], &got->items[i])) return false;
    return true;
}

/* ---- one model --------------------------------------------------------------------------------------------------- */

static const char *messages(trial *t) {
    tl_str text;
    tl_str_init(&text, &t->a);
    diag_render(&t->c.diag, &text);
    diag_clear(&t->c.diag);
    return text.data;
}

/* What is listed to fail and does so with the text that is listed is counted, nothing more. */
static bool fail(trial *t, const char *what) {
    const char *why = messages(t);
    t->was_known = t->known && (strstr(what, t->known->text) || strstr(why, t->known->text));
    if (t->was_known) {
        t->p->known++;
        t->p->used[t->known - t->o->known] = true;
        return false;
    }
    printf("FAIL %s: %s\n%s", t->p->doing, what, why);
    t->p->failed++;
    return false;
}

static bool evaluate(trial *t, const ir_graph *g, const ir_datum *data, ir_datum *out) {
    const ir_datum *in[MAX_IO];
    for (uint32_t i = 0; i < g->body->n_params; i++)
        in[i] = &data[i];
    ir_eval e;
    ir_eval_init(&e, &t->c, &t->a);
    memset(out, 0, MAX_IO * sizeof *out);
    return ir_eval_graph(&e, g, in, out);
}

static bool execute(trial *t, const tlbc_model *model, const ir_graph *g, const ir_datum *data,
                    ir_datum *out) {
    const ir_datum *in[MAX_IO];
    for (uint32_t i = 0; i < g->body->n_params; i++)
        in[i] = &data[i];
    memset(out, 0, MAX_IO * sizeof *out);
    return compiled_run(&t->c, &t->a, model, 2, in, out);
}

/* Data of these sizes through both. `must`: the evaluator has to take them. */
static bool run_sizes(trial *t, const ir_graph *g, const tlbc_model *model, const sizes *s,
                      bool must) {
    ir_datum data[MAX_IO], want[MAX_IO], got[MAX_IO];
    instance_data(t->k, &t->c, &t->a, s, data);
    bool taken = evaluate(t, g, data, want);
    if (!taken && must) return fail(t, "the evaluator refuses it");
    diag_clear(&t->c.diag);
    if (!model) return true;
    bool ran = execute(t, model, g, data, got);
    if (!taken && ran) return fail(t, "the run takes what the evaluator refuses");
    if (taken && !ran) return fail(t, "the run fails");
    diag_clear(&t->c.diag);
    for (uint32_t i = 0; taken && i < ir_region_n_results(g->body); i++)
        if (!same_datum(t->k, &want[i], &got[i])) return fail(t, "compiled and evaluated differ");
    return true;
}

static bool run_zeros(trial *t, const ir_graph *g, const tlbc_model *model) {
    uint32_t letters = instance_letters(t->k->recipe);
    for (uint32_t i = 0; i < 26; i++) {
        if (!(letters >> i & 1)) continue;
        sizes s = usual_sizes;
        s.of[i] = 0;
        if (!run_sizes(t, g, model, &s, false))
            return printf("    with %c = 0\n", (char)('a' + i)), false;
    }
    return true;
}

static void cover(trial *t, const ir_module *m) {
    const ir_schema *s = t->k->schema;
    const ir_region *body = m->graphs->body;
    uint32_t n = 0;
    if (!s) return;
    for (uint32_t i = 0; i < t->k->recipe->n_operands; i++) {
        const recipe_operand *o = &t->k->recipe->operands[i];
        const ir_schema_slot *slot = ir_schema_find_input(s, i);
        for (uint32_t v = 0; slot && v < t->k->n_variables && !o->omitted; v++)
            if (strcmp(t->k->variables[v].name, s->constraints[slot->constraint].name) == 0)
                t->p->covered[slot->constraint][o->kind] |= 1u << t->k->variables[v].type;
    }
    for (; n < ir_region_n_results(body); n++) {
        const ir_type *type = ir_region_result(body, n)->type;
        const ir_schema_slot *slot = ir_schema_find_output(s, n);
        recipe_kind kind = type->kind == IR_TYPE_SEQUENCE   ? KIND_SEQUENCE
                           : type->kind == IR_TYPE_OPTIONAL ? KIND_OPTIONAL
                                                            : KIND_TENSOR;
        while (type->kind == IR_TYPE_SEQUENCE || type->kind == IR_TYPE_OPTIONAL) {
            if (kind == KIND_OPTIONAL && type->kind == IR_TYPE_SEQUENCE)
                kind = KIND_OPTIONAL_SEQUENCE;
            type = type->element;
        }
        if (slot && type->kind == IR_TYPE_TENSOR)
            t->p->covered[slot->constraint][kind] |= 1u << type->dtype;
    }
}

/* ---- writing for other judges ------------------------------------------------------------------------------------ */

static void write_file(const char *path, tl_sv bytes) {
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fwrite(bytes.data, 1, bytes.len, f);
    fclose(f);
}

/* Lists and random results are left out: nothing else reads or makes the case then. */
static void write_case(trial *t, const ir_graph *g, tl_sv file) {
    static uint32_t number;
    if (recipe_option(t->k->recipe, "random")) return;
    ir_datum data[MAX_IO], want[MAX_IO];
    uint32_t n = instance_data(t->k, &t->c, &t->a, &usual_sizes, data),
             n_out = ir_region_n_results(g->body);
    if (!evaluate(t, g, data, want)) return;
    for (uint32_t i = 0; i < n + n_out; i++)
        if (!(i < n ? &data[i] : &want[i - n])->tensor) return;
    char *folder = tl_arena_printf(&t->a, "%s/%s_%d_%d", t->o->folder, t->k->recipe->op,
                                   (int)getpid(), (int)number++);
    mkdir(folder, 0777);
    mkdir(tl_arena_printf(&t->a, "%s/test_data_set_0", folder), 0777);
    write_file(tl_arena_printf(&t->a, "%s/model.onnx", folder), file);
    for (uint32_t i = 0; i < n + n_out; i++) {
        const char *path = tl_arena_printf(&t->a, "%s/test_data_set_0/%s_%u.pb", folder,
                                           i < n ? "input" : "output", i < n ? i : i - n);
        fe_write_tensor_pb(&t->c, path, NULL, (i < n ? &data[i] : &want[i - n])->tensor);
    }
}

/* ---- trials ------------------------------------------------------------------------------------------------------ */

static bool run_model(trial *t, tl_sv file) {
    ir_module *m = fe_import_buffer(&t->c, &t->a, "m.onnx", file.data, file.len, NULL);
    if (!m) return fail(t, "is not imported");
    const ir_module *reference = ir_module_clone(m, &t->a);
    if (t->o->folder && !t->symbolic) write_case(t, reference->graphs, file);
    cover(t, reference);
    const tlbc_model *model = t->newest ? compiled_load(m, "default") : NULL;
    if (t->newest && !model) return fail(t, "is not compiled");
    if (!run_sizes(t, reference->graphs, model, &usual_sizes, true)) return false;
    if (!t->symbolic) return true;
    return run_sizes(t, reference->graphs, model, &odd_sizes, true) &&
           run_zeros(t, reference->graphs, model);
}

static const known_row *find_known(const options *o, const instance *k, const variable *v) {
    for (uint32_t i = 0; v && i < o->n_known; i++)
        if (strncmp(o->known[i].text, "untested", 8) != 0 &&
            strcmp(o->known[i].op, k->recipe->op) == 0 &&
            strcmp(o->known[i].variable, v->name) == 0 && o->known[i].types >> v->type & 1)
            return &o->known[i];
    return NULL;
}

/* True where what failed is listed. */
static bool run_trial(const options *o, const instance *k, progress *p, bool newest, bool symbolic,
                      const variable *v) {
    trial t = {.o = o,
               .k = k,
               .p = p,
               .newest = newest,
               .symbolic = symbolic,
               .known = find_known(o, k, v)};
    if (setjmp(t.fail.jump)) return false;
    ir_ctx_init(&t.c, &t.fail);
    tl_arena_init(&t.a, &t.fail);
    tl_sv file = instance_model(k, &t.c, &t.a, symbolic ? NULL : &usual_sizes);
    p->passed += run_model(&t, file);
    for (uint32_t i = 0; t.was_known && k->schema && i < k->schema->n_constraints; i++)
        if (strcmp(k->schema->constraints[i].name, v->name) == 0)
            p->covered[i][v->kind] |= 1u << v->type;
    ir_ctx_release(&t.c);
    tl_arena_release(&t.a);
    return t.was_known;
}

static void run_both(const options *o, const instance *k, progress *p, bool newest,
                     const variable *v) {
    char *at = p->doing, *end = p->doing + sizeof p->doing;
    at += snprintf(at, (size_t)(end - at), "%s-%d", k->recipe->op,
                   k->schema ? (int)k->schema->since : 1);
    for (uint32_t i = 0; i < k->n_variables && at < end; i++)
        at += snprintf(at, (size_t)(end - at), " %s=%s", k->variables[i].name,
                       ir_dtype_name(k->variables[i].type));
    const known_row *row = find_known(o, k, v);
    bool known = run_trial(o, k, p, newest, false, v);
    if (newest && instance_letters(k->recipe) && !recipe_option(k->recipe, "static")) {
        snprintf(p->doing + strlen(p->doing), sizeof p->doing - strlen(p->doing), " symbolic");
        known |= run_trial(o, k, p, newest, true, v);
    }
    if (!row || known || !newest) return;
    printf("FAIL %s: is listed and works\n", p->doing);
    p->failed++;
}

/* Each type of each variable; the one where all have their usual types once. */
static void run_version(const options *o, const recipe *r, const ir_schema *s, progress *p,
                        bool newest) {
    instance k;
    bool usual_done = false;
    instance_init(&k, r, s);
    for (uint32_t i = 0; i < k.n_variables; i++) {
        ir_dtype usual = k.variables[i].type;
        for (int t = 1; t < DT_COUNT; t++) {
            if (!(k.variables[i].types >> t & 1) || (t == (int)usual && usual_done)) continue;
            usual_done |= t == (int)usual;
            instance_choose(&k, i, (ir_dtype)t);
            run_both(o, &k, p, newest, &k.variables[i]);
        }
        if (k.variables[i].types) instance_choose(&k, i, usual);
    }
    if (!usual_done) run_both(o, &k, p, newest, NULL);
}

static void run_recipe(const options *o, const recipe *r, progress *p) {
    const ir_schema *latest = ir_schema_find_latest(r->domain, r->op);
    if (!latest) {
        run_version(o, r, NULL, p, true);
        return;
    }
    const char *to = recipe_option(r, "to");
    for (int v = r->from; v <= latest->since && (!to || v <= atoi(to)); v++) {
        const ir_schema *s = ir_schema_find(r->domain, r->op, v);
        if (s && s->since == v) run_version(o, r, s, p, s == latest);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

typedef struct operator_row {
    const ir_schema *schema;
    uint32_t covered[256][KIND_COUNT];
} operator_row;

typedef struct run {
    options o;
    progress *p;
    operator_row operators[MAX_OPERATORS];
    uint32_t n_operators, crashed;
    bool only_list;
} run;

static void fork_recipe(run *u, const recipe *r) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        alarm(TIME_LIMIT);
        run_recipe(&u->o, r, u->p);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status == 0) return;
    u->crashed++;
    printf("CRASH %s\n    %s\n", u->p->doing, r->line);
}

static operator_row *find_operator(run *u, const ir_schema *s) {
    for (uint32_t i = 0; i < u->n_operators; i++)
        if (u->operators[i].schema == s) return &u->operators[i];
    if (u->n_operators == MAX_OPERATORS) abort();
    u->operators[u->n_operators].schema = s;
    return &u->operators[u->n_operators++];
}

static void do_recipe(run *u, const recipe *r) {
    const ir_schema *s = ir_schema_find_latest(r->domain, r->op);
    if (u->o.filter && strcmp(u->o.filter, r->op) != 0) return;
    operator_row *row = s ? find_operator(u, s) : NULL;
    if (u->only_list) return;
    memset(u->p->covered, 0, sizeof u->p->covered);
    fork_recipe(u, r);
    for (int i = 0; row && i < 256; i++)
        for (int k = 0; k < KIND_COUNT; k++)
            row->covered[i][k] |= u->p->covered[i][k];
}

static bool read_recipes(run *u, const char *path) {
    char line[1024];
    FILE *f = fopen(path, "r");
    bool ok = f != NULL;
    if (!f) fprintf(stderr, "cannot read %s\n", path);
    tl_fail on_fail = {0};
    tl_arena a;
    if (setjmp(on_fail.jump)) abort();
    tl_arena_init(&a, &on_fail);
    while (f && fgets(line, sizeof line, f)) {
        recipe *r = TL_NEW(&a, recipe);
        line[strcspn(line, "#\n")] = 0;
        if (!line[strspn(line, " ")]) continue;
        if (recipe_parse(&a, line, r))
            do_recipe(u, r);
        else
            ok = false;
    }
    if (f) fclose(f);
    tl_arena_release(&a);
    return ok;
}

static void read_known(options *o, const char *path) {
    char line[1024], types[512];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f) && o->n_known < MAX_KNOWN) {
        known_row *r = &o->known[o->n_known];
        if (*line == '#' ||
            sscanf(line, "%63s %63s %511s %255[^\n]", r->op, r->variable, types, r->text) != 4)
            continue;
        recipe all = {.options = {{"T", types}}, .n_options = 1};
        r->types = strcmp(types, "all") == 0 ? UINT32_MAX : recipe_types(&all, "T", UINT32_MAX);
        o->n_known++;
    }
    if (f) fclose(f);
}

/* ---- what was left out ------------------------------------------------------------------------------------------- */

static uint32_t report_missing(const ir_schema *s, const char *constraint, recipe_kind kind,
                               uint32_t missing) {
    static const char *const kinds[] = {"", "seq ", "opt ", "optseq "};
    if (!missing) return 0;
    printf("NO CASE %s %s: %s", s->name, constraint, kinds[kind]);
    for (int t = 1; t < DT_COUNT; t++)
        if (missing >> t & 1) printf("%s ", ir_dtype_name((ir_dtype)t));
    printf("\n");
    return 1;
}

static bool is_used(const ir_schema *s, uint32_t constraint) {
    for (uint32_t i = 0; i < s->n_in; i++)
        if (s->in[i].constraint == constraint) return true;
    for (uint32_t i = 0; i < s->n_out; i++)
        if (s->out[i].constraint == constraint) return true;
    return false;
}

/* Types that the list says no recipe reaches. */
static uint32_t untested(run *u, const ir_schema *s, uint32_t constraint) {
    uint32_t types = 0;
    for (uint32_t i = 0; i < u->o.n_known; i++) {
        const known_row *r = &u->o.known[i];
        if (strcmp(r->op, s->name) != 0 ||
            strcmp(r->variable, s->constraints[constraint].name) != 0 ||
            strncmp(r->text, "untested", 8) != 0)
            continue;
        types |= r->types;
        u->p->used[i] = true;
    }
    return types;
}

/* Types fixed by the schema are reached by any case. */
static uint32_t check_covered(run *u, const operator_row *row) {
    uint32_t missing = 0;
    const ir_schema *s = row->schema;
    for (uint32_t i = 0; i < s->n_constraints; i++) {
        const ir_schema_types *t = s->constraints[i].types;
        const uint32_t all[KIND_COUNT] = {t->tensor, t->seq, t->optional, t->optional_seq};
        bool fixed = strchr(s->constraints[i].name, '(') != NULL;
        for (int k = 0; !fixed && is_used(s, i) && k < KIND_COUNT; k++)
            missing += report_missing(s, s->constraints[i].name, (recipe_kind)k,
                                      all[k] & ~row->covered[i][k] & ~untested(u, s, i));
    }
    return missing;
}

/* Every operator in force has a recipe. */
static uint32_t check_operators(run *u) {
    uint32_t missing = 0, n = u->n_operators;
    for (size_t i = 0; i < ir_schema_count(); i++) {
        const ir_schema *s = ir_schema_get(i);
        if (s != ir_schema_find_latest(s->domain, s->name) || s->flags & IR_SCHEMA_DEPRECATED)
            continue;
        if (find_operator(u, s) < u->operators + n) continue;
        printf("NO RECIPE for %s\n", s->name);
        missing++;
    }
    return missing;
}

static uint32_t check_known(const run *u) {
    uint32_t unused = 0;
    for (uint32_t i = 0; i < u->o.n_known; i++) {
        bool here = false;
        for (uint32_t j = 0; j < u->n_operators; j++)
            here |= strcmp(u->operators[j].schema->name, u->o.known[i].op) == 0;
        if (!here || u->p->used[i]) continue;
        printf("NOT REACHED: row %s %s\n", u->o.known[i].op, u->o.known[i].variable);
        unused++;
    }
    return unused;
}

static uint32_t report(run *u) {
    uint32_t bad = u->p->failed + u->crashed;
    if (u->only_list) return check_operators(u);
    for (uint32_t i = 0; i < u->n_operators; i++)
        bad += check_covered(u, &u->operators[i]);
    bad += check_known(u);
    printf("%u passed, %u failed, %u crashed, %u fail as listed\n", u->p->passed, u->p->failed,
           u->crashed, u->p->known);
    return bad + (u->p->passed == 0);
}

int main(int argc, char **argv) {
    static run u;
    bool ok = true;
    u.p = mmap(NULL, sizeof *u.p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (u.p == MAP_FAILED) return 2;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--operators") == 0)
            u.only_list = true;
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            u.o.filter = argv[++i];
        else if (strcmp(argv[i], "--write") == 0 && i + 1 < argc)
            u.o.folder = argv[++i];
        else if (strcmp(argv[i], "--known") == 0 && i + 1 < argc)
            read_known(&u.o, argv[++i]);
        else
            ok = read_recipes(&u, argv[i]) && ok;
    }
    return report(&u) || !ok;
}
