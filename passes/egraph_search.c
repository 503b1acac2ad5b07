/* Equality saturation: all rules on all nodes of an e-graph, again and again.
 *
 *   iteration   1. look for matches of every rule; nothing changes meanwhile
 *               2. build their replacements, and merge each with the class of the node that matched
 *               3. egraph_rebuild
 *
 * A rule that finds more matches than it is allowed (associativity does) finds none: it waits for some iterations, after which it may
 * have twice as many, and would wait twice as long. It ends when nothing new has come and nobody waits, or at a limit. All limits but the
 * time come to the same result on every machine; the time is there for graphs that nobody has thought of.
 *
 * A match that has been applied is not applied again: what the rule has made is there for good. */
#include "passes/egraph.h"

#include "ir/base/assert.h"
#include "ir/base/hash.h"

#include <time.h>

/* Text: the registers. C: the node, and the node that is to be seen as the maker of its first operand. */
typedef struct found {
    const rule *rule;
    enode *e, *maker;
    rule_match m;
} found;

typedef struct waiting {
    uint32_t bans, until;
} waiting;

typedef struct search {
    egraph *g;
    const rule_set *set;
    egraph_limits limits;
    waiting *waiting; /* of each rule */
    TL_VEC(found) found;
    tl_map done; /* matches applied */
    uint32_t iteration, first_of_rule, first_node, banned;
    const rule *rule;
    enode *e;
    bool changed, waits;
    double end;
    uint32_t work; /* since the clock was read */
} search;

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Within an iteration the clock is read after so many nodes that reading it costs nothing beside them: a graph of many Ifs is as many
 * e-graphs of a few nodes each. */
static bool is_late(search *s, uint32_t work) {
    enum { BETWEEN = 1 << 12 };
    s->work += work;
    if (s->work < BETWEEN) return false;
    s->work = 0;
    return seconds_now() > s->end;
}

/* ---- the host ------------------------------------------------------------------------------------------------- */

static ir_node *next_maker(rule_host *h, const ir_value *v, const ir_node *after) {
    egraph *g = (egraph *)h;
    enode *e = after ? enode_of(after)->next_in_class : eclass_of_value(g, v)->first;
    return e ? e->node : NULL;
}

static ir_value *adopt(rule_host *h, ir_node *n) {
    egraph *g = (egraph *)h;
    const enode *e = egraph_add(g, n);
    return e ? eclass_of(g, e)->value : NULL;
}

static bool is_constant(const rule_host *h, const ir_value *v) {
    return eclass_of_value((egraph *)h, v)->constant;
}

static void init_host(egraph *g) {
    g->host = (rule_host){ir_build_at_end(g->nowhere, NULL), next_maker, adopt, is_constant, true};
}

/* ---- looking -------------------------------------------------------------------------------------------------- */

static uint32_t match_limit(const search *s, uint32_t number) {
    uint32_t doubled = s->waiting[number].bans < 10 ? s->waiting[number].bans : 10;
    return s->limits.matches << doubled;
}

static uint64_t hash_match(const search *s, const found *f) {
    uint64_t h = tl_hash_mix((uint64_t)(f->rule - s->set->rules), f->e->id);
    if (f->maker) return tl_hash_mix(h, f->maker->id);
    for (uint32_t i = 1; i < RULE_NODES && f->m.node[i]; i++)
        h = tl_hash_mix(h, enode_of(f->m.node[i])->id);
    for (uint32_t i = 0; i < RULE_VALUES; i++)
        if (f->m.value[i]) h = tl_hash_mix(h, f->m.value[i]->scratch * RULE_VALUES + i);
    return h;
}

/* True, which ends the search for matches, when there are too many. */
static bool remember(search *s, const found *f) {
    if (tl_map_find(&s->done, hash_match(s, f))) return false;
    tl_vec_push(s->g->arena, &s->found, *f);
    return s->found.len - s->first_of_rule > match_limit(s, (uint32_t)(f->rule - s->set->rules));
}

static bool remember_match(void *data, const rule_match *m) {
    search *s = data;
    return remember(s, &(found){.rule = s->rule, .e = s->e, .m = *m});
}

/* A rule in C sees one node behind the first operand at a time. */
static bool look_with_makers(search *s) {
    const ir_value *operand = ir_in(s->e->node, 0);
    enode *maker = operand ? eclass_of_value(s->g, operand)->first : NULL;
    do {
        if (remember(s, &(found){.rule = s->rule, .e = s->e, .maker = maker})) return true;
        maker = maker ? maker->next_in_class : NULL;
    } while (maker);
    return false;
}

static bool look_at(search *s, enode *e) {
    eclass *k = eclass_of(s->g, e);
    s->e = e;
    if (e->gone || k->constant || (s->rule->op && s->rule->op != e->node->op)) return false;
    if (!s->rule->program) return look_with_makers(s);
    return rule_match_each(&s->g->host, s->rule->program, k->value, e->node, remember_match, s);
}

static void make_wait(search *s, uint32_t number) {
    waiting *w = &s->waiting[number];
    s->found.len = s->first_of_rule;
    w->until = s->iteration + (5u << (w->bans < 10 ? w->bans : 10));
    w->bans++;
    s->banned++;
    s->waits = true;
}

static void look_for(search *s, uint32_t number) {
    s->rule = &s->set->rules[number];
    s->first_of_rule = s->found.len;
    if (s->rule->engines == RULE_CLASSIC || s->rule->math > pass_get_math(s->g->ctx->options))
        return;
    if (!ctx_may(s->g->ctx, s->rule->name)) return;
    if (s->waiting[number].until > s->iteration) {
        s->waits = true;
        return;
    }
    for (uint32_t i = 0; i < s->g->nodes.len; i++)
        if (look_at(s, s->g->nodes.data[i])) return make_wait(s, number);
}

/* ---- applying ------------------------------------------------------------------------------------------------- */

/* What a rule in C has built is entered in order; the class of v, which may be among it. NULL where something cannot be. */
static eclass *enter_built(egraph *g, ir_node *before, ir_value *v) {
    const enode *result = NULL;
    for (ir_node *n = before ? before->next : g->nowhere->first, *next; n; n = next) {
        next = n->next;
        bool is_result = v->def == n;
        const enode *made = egraph_add(g, n);
        if (!made) return NULL;
        if (is_result) result = made;
    }
    if (result) return eclass_of(g, result);
    return v->mark == g->mark ? eclass_of_value(g, v) : eclass_of_outer(g, v, EGRAPH_OUTSIDE);
}

static eclass *apply_in_c(egraph *g, const found *f) {
    ir_value *operand = ir_in(f->e->node, 0);
    ir_node *last = g->nowhere->last;
    if (f->maker && f->maker->gone) return NULL;
    if (operand) operand->def = f->maker ? f->maker->node : NULL;
    ir_value *v = f->rule->apply(&g->host.builder, f->e->node);
    if (operand) operand->def = NULL;
    return v ? enter_built(g, last, v) : NULL;
}

static eclass *apply_text(egraph *g, found *f) {
    for (uint32_t i = 0; i < RULE_VALUES; i++)
        if (f->m.value[i]) f->m.value[i] = eclass_of_value(g, f->m.value[i])->value;
    ir_value *v = rule_build(&g->host, f->rule->program, &f->m);
    if (!v) return NULL;
    return v->mark == g->mark ? eclass_of_value(g, v) : eclass_of_outer(g, v, EGRAPH_OUTSIDE);
}

static const enode_origin *origin_of(egraph *g, const found *f) {
    enode_origin *o = TL_NEW(g->arena, enode_origin);
    o->rule = f->rule;
    o->from[o->n++] = f->e;
    if (f->maker) o->from[o->n++] = f->maker;
    for (uint32_t i = 1; i < RULE_NODES && f->m.node[i]; i++)
        o->from[o->n++] = enode_of(f->m.node[i]);
    return o;
}

static void apply(search *s, found *f) {
    egraph *g = s->g;
    if (f->e->gone) return;
    *tl_map_insert(&s->done, hash_match(s, f), NULL) = 1;
    g->origin = origin_of(g, f);
    g->host.builder.loc = f->e->node->loc;
    eclass *k = f->rule->program ? apply_text(g, f) : apply_in_c(g, f);
    if (k && egraph_merge(g, eclass_of(g, f->e), eclass_find(g, eclass_number(k))))
        eclass_of(g, f->e)->merged_by = f->rule;
}

/* ---- iterations ----------------------------------------------------------------------------------------------- */

static bool is_full(const search *s) {
    return s->g->nodes.len - s->first_node > s->limits.nodes;
}

static void apply_all(search *s) {
    for (uint32_t i = 0; i < s->found.len && !is_full(s); i++) {
        if (is_late(s, 16)) break;
        apply(s, &s->found.data[i]);
    }
}

static void iterate(search *s) {
    uint32_t nodes = s->g->nodes.len, merged = s->g->n_merged;
    s->found.len = 0;
    s->waits = false;
    for (uint32_t i = 0; i < s->set->n && !is_late(s, nodes); i++)
        look_for(s, i);
    apply_all(s);
    egraph_rebuild(s->g);
    s->changed = nodes != s->g->nodes.len || merged != s->g->n_merged;
}

static egraph_stop run(search *s) {
    while (s->iteration < s->limits.iterations) {
        iterate(s);
        s->iteration++;
        if (is_full(s)) return EGRAPH_NODES;
        if (seconds_now() > s->end) return EGRAPH_TIME;
        if (!s->changed && !s->waits) return EGRAPH_SATURATED;
    }
    return EGRAPH_ITERATIONS;
}

static egraph_limits with_defaults(const egraph *g, const egraph_limits *given) {
    egraph_limits l = given ? *given : (egraph_limits){0};
    if (!l.iterations) l.iterations = 12;
    if (!l.nodes) l.nodes = 20000 + g->nodes.len;
    if (!l.matches) l.matches = 1000;
    if (l.seconds <= 0) l.seconds = 1.5;
    return l;
}

static uint32_t count_classes(egraph *g) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->classes.len; i++)
        n += g->classes.data[i]->parent == i;
    return n;
}

egraph_report egraph_saturate(egraph *g, const egraph_limits *limits) {
    search s = {.g = g, .set = rule_set_get(g->ctx), .limits = with_defaults(g, limits)};
    s.waiting = TL_NEW_ARRAY(g->arena, waiting, s.set->n);
    s.first_node = g->nodes.len;
    s.end = seconds_now() + s.limits.seconds;
    tl_map_init(&s.done, g->arena);
    init_host(g);
    egraph_rebuild(g);
    egraph_stop stop = run(&s);
    return (egraph_report){stop, s.iteration, count_classes(g), g->n_live, s.banned};
}
