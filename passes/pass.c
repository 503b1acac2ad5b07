/* The pass manager: finds passes by name, runs lists and fix-point groups of them, keeps the books. What it checks around every
 * pass is in check.c. See pass.h.
 *
 *   list  = item { "," item }
 *   item  = NAME | "fix(" list ")" | "with_egraph(" list ")" | "default"
 *
 * fix(a,b) repeats a, b until a whole round changes nothing; with_egraph(a,b) is left out with --simplify=classic and none. */
#include "passes/manager.h"

#include "ir/base/assert.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 100 }; /* of a fix-point group: a set of passes that undo each other is a bug */

#define PASS(name, summary) pass_fn pass_##name;
#include "passes/passes.def"
#undef PASS

static const pass_info table[] = {
#define PASS(name, summary) {#name, summary, pass_##name},
#include "passes/passes.def"
#undef PASS
};
enum { N_PASSES = sizeof table / sizeof *table };

const pass_info *pass_list(uint32_t *count) {
    *count = N_PASSES;
    return table;
}

static const pass_info *find_in(const pass_info *list, uint32_t n, tl_sv name) {
    for (uint32_t i = 0; i < n; i++)
        if (tl_sv_is(name, list[i].name)) return &list[i];
    return NULL;
}

const pass_info *pass_find(const char *name) {
    return find_in(table, N_PASSES, tl_sv_from(name));
}

/* ---- options ------------------------------------------------------------------------------------------------ */

pass_math pass_get_math(const pass_options *o) {
    return o->math_plus_one ? (pass_math)(o->math_plus_one - 1) : PASS_MATH_DEFAULT;
}

void pass_options_add_debug(pass_options *o, const debug_flags *d) {
    o->verify |= d->verify;
    o->roundtrip |= d->roundtrip;
    o->eval |= d->eval;
    o->print |= d->print;
    o->print_changed |= d->print_changed;
    o->time |= d->time;
    o->stats |= d->stats;
    if (d->print_only) o->print_only = d->print_only;
    if (d->skip) o->skip = d->skip;
    if (d->explain) o->explain = d->explain;
    if (d->reproducer) o->reproducer = d->reproducer;
    if (d->bisect >= 0) o->bisect = d->bisect ? d->bisect : -1;
}

bool pass_options_add_environment(pass_options *o, ir_ctx *c) {
    debug_flags d;
    const char *error;
    if (!debug_parse(&d, &c->arena, getenv("TLBC_DEBUG"), &error))
        return diag_error(&c->diag, NULL, "%s", error);
    pass_options_add_debug(o, &d);
    return true;
}

/* True where the comma separated list holds "pass" (what NULL) or "pass.what". */
static bool list_has(const char *list, const char *pass, const char *what) {
    for (const char *p = list; p && *p;) {
        tl_sv item = {p, strcspn(p, ",")};
        size_t n = strlen(pass);
        if (item.len >= n && memcmp(item.data, pass, n) == 0) {
            tl_sv rest = {item.data + n, item.len - n};
            if (!what && rest.len == 0) return true;
            if (what && rest.len && rest.data[0] == '.' &&
                tl_sv_is((tl_sv){rest.data + 1, rest.len - 1}, what))
                return true;
        }
        p += item.len + (p[item.len] == ',');
    }
    return false;
}

/* ---- services for passes ------------------------------------------------------------------------------------ */

void ctx_count(pass_ctx *ctx, const char *what, uint32_t by) {
    pass_manager *pm = ctx->manager;
    const char *pass = pm->running->name;
    for (uint32_t i = 0; i < pm->counters.len; i++) {
        pass_counter *k = &pm->counters.data[i];
        if (k->pass != pass || strcmp(k->what, what) != 0) continue;
        k->n += by;
        return;
    }
    tl_vec_push(&pm->arena, &pm->counters,
                (pass_counter){pass, tl_arena_strdup(&pm->arena, what), by});
}

static bool bisect_ended(const pass_manager *pm) {
    int64_t limit = pm->options.bisect;
    return limit < 0 || (limit > 0 && pm->changes >= limit);
}

/* One more change happened; names the last one that bisect lets through. */
static void record_change(pass_manager *pm, const char *what) {
    pass_trace *trace = pm->options.trace;
    pm->changes++;
    if (trace) trace->changes = pm->changes;
    if (pm->changes != pm->options.bisect) return;
    const char *name = tl_arena_printf(&pm->ctx.c->arena, "%s%s%s", pm->running->name,
                                       what ? "." : "", what ? what : "");
    if (trace)
        trace->last = name;
    else
        fprintf(manager_log(pm), "bisect: change %lld is %s\n", (long long)pm->changes, name);
}

bool ctx_may(const pass_ctx *ctx, const char *what) {
    const pass_manager *pm = ctx->manager;
    return !bisect_ended(pm) && !list_has(pm->options.skip, pm->running->name, what);
}

bool ctx_take(pass_ctx *ctx, const char *what) {
    pass_manager *pm = ctx->manager;
    if (!ctx_may(ctx, what)) return false;
    pm->taken++;
    record_change(pm, what);
    ctx_count(ctx, what, 1);
    return true;
}

bool ctx_explains(const pass_ctx *ctx) {
    const pass_manager *pm = ctx->manager;
    return list_has(pm->options.explain, pm->running->name, NULL);
}

void ctx_remark(pass_ctx *ctx, const char *format, ...) {
    if (!ctx_explains(ctx)) return;
    pass_manager *pm = ctx->manager;
    va_list args;
    va_start(args, format);
    fprintf(manager_log(pm), "%s: ", pm->running->name);
    vfprintf(manager_log(pm), format, args);
    fputc('\n', manager_log(pm));
    va_end(args);
}

/* Both names mean the same value: what one type knows holds for the other. Inputs and constants keep their declared type. */
static void meet_types(pass_ctx *ctx, const ir_value *old, ir_value *v) {
    if (!v->def || !old->type || old->type == v->type) return;
    const ir_type *meet = ir_type_meet(ctx->c, v->type, old->type);
    if (meet) v->type = meet;
}

void pass_replace(pass_ctx *ctx, ir_value *old, ir_value *new_value) {
    TL_ASSERT(old != new_value);
    meet_types(ctx, old, new_value);
    if (!new_value->known && new_value->def) new_value->known = old->known;
    if (!new_value->name && new_value->def && old->def) {
        new_value->name = old->name;
        old->name = NULL;
    }
    ir_value_replace_uses(old, new_value);
}

static pass_result each_node_in(pass_ctx *ctx, ir_region *r, pass_node_fn *cb) {
    pass_result result = PASS_SAME;
    ir_for_each_node_safe (n, r) {
        for (uint32_t i = 0; i < n->n_regions; i++) {
            pass_result inner = each_node_in(ctx, n->regions[i], cb);
            if (inner == PASS_FAILED) return PASS_FAILED;
            if (inner == PASS_CHANGED) result = PASS_CHANGED;
        }
        pass_result here = cb(ctx, n);
        if (here == PASS_FAILED) return PASS_FAILED;
        if (here == PASS_CHANGED) result = PASS_CHANGED;
    }
    return result;
}

pass_result pass_each_node(pass_ctx *ctx, ir_graph *g, pass_node_fn *cb) {
    return each_node_in(ctx, g->body, cb);
}

/* ---- running one pass --------------------------------------------------------------------------------------- */

FILE *manager_log(const pass_manager *pm) {
    return pm->options.log ? pm->options.log : stderr;
}

void manager_print(pass_manager *pm, const char *title) {
    tl_str text;
    tl_str_init(&text, &pm->scratch);
    ir_module_print(pm->ctx.m, NULL, &text);
    fprintf(manager_log(pm), "// ---- %s\n%s\n", title, text.data);
}

static void print_after(pass_manager *pm, bool changed) {
    const pass_options *o = &pm->options;
    bool named = list_has(o->print_only, pm->running->name, NULL);
    if (!o->print && !named && !(o->print_changed && changed)) return;
    manager_print(pm, tl_arena_printf(&pm->scratch, "after %s%s", pm->running->name,
                                      changed ? "" : ": nothing changed"));
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool check_after(pass_manager *pm, pass_result result, uint64_t hash) {
    if (result == PASS_SAME) return !pm->checks || check_same(pm, hash);
    if (pm->checks && !check_verify(pm)) return false;
    if (pm->options.roundtrip && !check_roundtrip(pm)) return false;
    return !pm->options.eval || check_oracle(pm);
}

static bool report_failure(pass_manager *pm, uint32_t errors_before) {
    diag *d = &pm->ctx.c->diag;
    if (d->n_errors == errors_before)
        diag_error(d, NULL, "bug: pass '%s' failed without saying why", pm->running->name);
    return false;
}

/* Number i of all passes: those of the table, then the extra ones. */
static const pass_info *pass_number(const pass_manager *pm, uint32_t i) {
    return i < N_PASSES ? &table[i] : &pm->options.extra[i - N_PASSES];
}

static pass_time *time_of(const pass_manager *pm, const pass_info *pass) {
    uint32_t i = 0;
    while (pass_number(pm, i) != pass)
        i++;
    return &pm->times[i];
}

/* The pass on one graph; *changed tells. */
static bool run_on_graph(pass_manager *pm, ir_graph *g, bool *changed) {
    pass_time *t = time_of(pm, pm->running);
    uint32_t errors = pm->ctx.c->diag.n_errors;
    uint64_t hash = pm->checks ? ir_module_hash(pm->ctx.m) : 0;
    if (pm->checks) check_take_snapshot(pm);
    tl_arena_mark mark = tl_arena_get_mark(&pm->scratch);
    pm->taken = 0;
    double start = seconds_now();
    pass_result result = pm->running->fn(&pm->ctx, g);
    t->seconds += seconds_now() - start;
    t->runs++;
    if (result == PASS_FAILED) return report_failure(pm, errors);
    if (result == PASS_CHANGED && !pm->taken) record_change(pm, NULL);
    bool good = check_after(pm, result, hash);
    print_after(pm, result == PASS_CHANGED);
    tl_arena_reset(&pm->scratch, mark);
    t->changed += result == PASS_CHANGED;
    *changed |= result == PASS_CHANGED;
    return good;
}

static bool run_pass(pass_manager *pm, const pass_info *pass, bool *changed) {
    if (list_has(pm->options.skip, pass->name, NULL)) return true;
    pm->running = pass;
    bool good = true;
    for (ir_graph *g = pm->ctx.m->graphs; g && good && !bisect_ended(pm); g = g->next)
        good = run_on_graph(pm, g, changed);
    pm->running = NULL;
    return good;
}

/* ---- lists of passes ---------------------------------------------------------------------------------------- */

static bool run_list(pass_manager *pm, tl_sv list, bool *changed);

static bool run_fix(pass_manager *pm, tl_sv list, bool *changed) {
    for (int round = 0; round < MAX_ROUNDS; round++) {
        bool again = false;
        if (!run_list(pm, list, &again)) return false;
        if (!again) return true;
        *changed = true;
    }
    return diag_error(&pm->ctx.c->diag, NULL, "bug: passes 'fix(%.*s)' do not settle in %d rounds",
                      (int)list.len, list.data, MAX_ROUNDS);
}

static bool run_with_egraph(pass_manager *pm, tl_sv list, bool *changed) {
    return pm->options.simplify != PASS_SIMPLIFY_EGRAPH || run_list(pm, list, changed);
}

/* The list in "word(list)"; false where the item is something else. */
static bool is_group(tl_sv item, const char *word, tl_sv *list) {
    size_t n = strlen(word);
    if (item.len < n + 2 || memcmp(item.data, word, n) != 0 || item.data[n] != '(' ||
        item.data[item.len - 1] != ')')
        return false;
    *list = (tl_sv){item.data + n + 1, item.len - n - 2};
    return true;
}

static bool run_item(pass_manager *pm, tl_sv item, bool *changed) {
    tl_sv list;
    if (tl_sv_is(item, "default")) return run_list(pm, tl_sv_from(pipeline_default), changed);
    if (is_group(item, "fix", &list)) return run_fix(pm, list, changed);
    if (is_group(item, "with_egraph", &list)) return run_with_egraph(pm, list, changed);
    const pass_info *pass = find_in(table, N_PASSES, item);
    if (!pass) pass = find_in(pm->options.extra, pm->options.n_extra, item);
    if (!pass)
        return diag_error(&pm->ctx.c->diag, NULL, "pass '%.*s' does not exist", (int)item.len,
                          item.data);
    return run_pass(pm, pass, changed);
}

/* Up to the next comma outside parentheses. */
static size_t item_length(tl_sv list) {
    int depth = 0;
    for (size_t i = 0; i < list.len; i++) {
        char c = list.data[i];
        depth += (c == '(') - (c == ')');
        if (c == ',' && depth == 0) return i;
    }
    return list.len;
}

static tl_sv trim(tl_sv s) {
    while (s.len && strchr(" \n\t", s.data[0]))
        s.data++, s.len--;
    while (s.len && strchr(" \n\t", s.data[s.len - 1]))
        s.len--;
    return s;
}

static bool run_list(pass_manager *pm, tl_sv list, bool *changed) {
    while (list.len) {
        size_t n = item_length(list);
        tl_sv item = trim((tl_sv){list.data, n});
        if (item.len && !run_item(pm, item, changed)) return false;
        n += n < list.len; /* the comma */
        list.data += n;
        list.len -= n;
    }
    return true;
}

/* ---- the whole run ------------------------------------------------------------------------------------------ */

static void release(void *data) {
    pass_manager *pm = data;
    tl_assert_set_hook(NULL, NULL);
    tl_arena_release(&pm->arena);
    tl_arena_release(&pm->scratch);
    tl_arena_release(&pm->snapshot_arena);
}

/* Lives in the context, which releases the manager's arenas when an allocation fails on the way. */
static pass_manager *create(ir_module *m, const char *passes, const pass_options *o) {
    ir_ctx *c = m->ctx;
    pass_manager *pm = TL_NEW(&c->arena, pass_manager);
    ir_ctx_add_cleanup(c, release, pm);
    tl_arena_init(&pm->arena, c->fail);
    tl_arena_init(&pm->scratch, c->fail);
    tl_arena_init(&pm->snapshot_arena, c->fail);
    pm->passes = passes;
    if (o) pm->options = *o;
    pm->ctx = (pass_ctx){c, m, &pm->scratch, &pm->options, pm};
    pm->times = TL_NEW_ARRAY(&pm->arena, pass_time, N_PASSES + pm->options.n_extra);
    pm->checks = pm->options.verify;
#ifndef NDEBUG
    pm->checks = true;
#endif
    return pm;
}

static void print_times(const pass_manager *pm) {
    double total = 0;
    for (uint32_t i = 0; i < N_PASSES + pm->options.n_extra; i++) {
        const pass_time *t = &pm->times[i];
        if (!t->runs) continue;
        fprintf(manager_log(pm), "%10.3f ms  %-20s %u runs, %u changed\n", t->seconds * 1e3,
                pass_number(pm, i)->name, t->runs, t->changed);
        total += t->seconds;
    }
    fprintf(manager_log(pm), "%10.3f ms  all passes\n", total * 1e3);
}

static void print_stats(const pass_manager *pm) {
    for (uint32_t i = 0; i < pm->counters.len; i++) {
        const pass_counter *k = &pm->counters.data[i];
        fprintf(manager_log(pm), "%8u  %s.%s\n", k->n, k->pass, k->what);
    }
}

/* What the options ask for whichever passes follow. */
static bool run_first(pass_manager *pm, bool *changed) {
    if (!pm->options.n_states && !pm->options.n_streams) return true;
    return run_list(pm, tl_sv_from("infer_shapes, pair_states, stream_lengths"), changed);
}

/* A list of passes of one's own may lack the one that the option is for. */
static bool check_streamed(const pass_manager *pm) {
    if (!pm->options.n_streams || pm->ctx.m->graphs->n_along || bisect_ended(pm)) return true;
    return diag_error(&pm->ctx.c->diag, NULL, "--stream: the passes '%s' lack 'stream'",
                      pm->passes);
}

bool pass_run(ir_module *m, const char *passes, const pass_options *o) {
    pass_manager *pm = create(m, passes, o);
    check_take_snapshot(pm);
    tl_assert_set_hook(check_write_reproducer, pm);
    if (pm->options.eval) oracle_init(&pm->oracle, m, &pm->arena, 1);
    bool changed = false;
    bool good = run_first(pm, &changed) && run_list(pm, tl_sv_from(passes), &changed);
    good = good && check_streamed(pm);
    if (pm->options.time) print_times(pm);
    if (pm->options.stats) print_stats(pm);
    release(pm);
    return good;
}
