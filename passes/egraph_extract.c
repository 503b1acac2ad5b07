/* The cheapest form of what an e-graph holds.
 *
 * What is wanted is the least sum over all nodes that the roots need, each counted once however many read it. To find it is hard in
 * general (it is a set cover), so two starts are improved step by step, and the better end is taken:
 *
 *   greedy   each class takes the node that is cheapest as a tree, that is with everything below counted for each use
 *   graph    each class takes the graph's own node
 *   a step   one class takes another of its nodes, where the sum then is less: what only the old one needed goes, what only the new one
 *            needs comes, by counting references
 *
 * The second start makes sure that the result is never worse than the graph. Steps that close a cycle are not taken. Constants are leaves:
 * they cost their bytes, and what it takes to compute them now counts only between forms of one constant.
 *
 * Cost: nodes of the e-graph times the part of a form that a step changes; a few rounds over all classes. */
#include "passes/egraph.h"

#include <math.h>

enum { MAX_ROUNDS = 6, MAX_DEPTH = 200 };
static const double folding = 1e-6; /* of a cycle now, per cycle of each run */

typedef struct extraction {
    egraph *g;
    eclass *const *roots;
    uint32_t n_roots, visit;
    double total;
    TL_VEC(eclass *) stack;
} extraction;

/* ---- prices ----------------------------------------------------------------------------------------------------- */

static eclass *operand(const extraction *x, const enode *e, uint32_t i) {
    const ir_value *v = ir_in(e->node, i);
    return v ? eclass_of_value(x->g, v) : NULL;
}

/* Of the class alone, with the form that is chosen. */
static double own_price(const eclass *k, const enode *e) {
    if (!k->constant && !k->is_leaf && !e) return INFINITY;
    if (k->constant) return egraph_constant_cycles(k->value->type);
    return k->is_leaf ? 0 : e->cycles;
}

/* As an operand, by its cheapest tree. */
static double tree_price(const eclass *k) {
    return k->constant ? egraph_constant_cycles(k->value->type) + k->cost : k->cost;
}

static double tree_cost(const extraction *x, const eclass *k, const enode *e) {
    double sum = k->constant ? e->cycles * folding : e->cycles;
    for (uint32_t i = 0; i < e->node->n_in; i++) {
        const eclass *o = operand(x, e, i);
        if (!o) continue;
        if (k->constant && !o->constant) return INFINITY;
        sum += k->constant ? o->cost : tree_price(o);
    }
    return sum;
}

/* ---- the cheapest trees ------------------------------------------------------------------------------------------ */

static void prepare_class(egraph *g, eclass *k) {
    k->original = k->best = NULL;
    for (enode *e = k->first; e; e = e->next_in_class) {
        e->cycles = egraph_node_cycles(g->ctx->c, e->node);
        if (e->original && (!k->original || e->position < k->original->position)) k->original = e;
    }
    k->is_leaf = k->leaf && (!k->original || k->leaf_position < k->original->position);
    k->cost = k->is_leaf ? 0 : INFINITY;
    k->visit = 0;
}

/* True where e is cheaper than what was known. */
static bool relax(extraction *x, enode *e) {
    eclass *k = eclass_of(x->g, e);
    double cost = e->gone || k->is_leaf ? INFINITY : tree_cost(x, k, e);
    if (!(cost < k->cost)) return false;
    k->cost = cost;
    k->best = e;
    return true;
}

/* Operands come first as a rule, so that one round finds most of it. */
static void find_best(extraction *x) {
    bool better = true;
    for (uint32_t round = 0; better && round < MAX_DEPTH; round++) {
        better = false;
        for (uint32_t i = 0; i < x->g->nodes.len; i++)
            better = relax(x, x->g->nodes.data[i]) || better;
    }
}

/* ---- choosing ----------------------------------------------------------------------------------------------------- */

static void push(extraction *x, eclass *k) {
    tl_vec_push(x->g->arena, &x->stack, k);
}

static bool has_operands(const eclass *k) {
    return !k->constant && !k->is_leaf && k->chosen;
}

static void push_operands(extraction *x, const enode *e) {
    for (uint32_t i = 0; i < e->node->n_in; i++) {
        eclass *o = operand(x, e, i);
        if (o) push(x, o);
    }
}

/* One more reader of all on the stack; what had none is paid for now. */
static void take(extraction *x) {
    while (x->stack.len) {
        eclass *k = x->stack.data[--x->stack.len];
        if (k->references++) continue;
        x->total += own_price(k, k->chosen);
        if (has_operands(k)) push_operands(x, k->chosen);
    }
}

static void release(extraction *x) {
    while (x->stack.len) {
        eclass *k = x->stack.data[--x->stack.len];
        if (--k->references) continue;
        x->total -= own_price(k, k->chosen);
        if (has_operands(k)) push_operands(x, k->chosen);
    }
}

static void count_references(extraction *x) {
    for (uint32_t i = 0; i < x->g->classes.len; i++)
        x->g->classes.data[i]->references = 0;
    x->total = 0;
    for (uint32_t i = 0; i < x->n_roots; i++)
        push(x, x->roots[i]);
    take(x);
}

/* Every class can be put behind all that it needs. */
static bool is_acyclic(extraction *x) {
    uint32_t needed = 0, sorted = 0;
    for (uint32_t i = 0; i < x->g->classes.len; i++) {
        x->g->classes.data[i]->arrivals = 0;
        needed += x->g->classes.data[i]->references > 0;
    }
    for (uint32_t i = 0; i < x->n_roots; i++)
        push(x, x->roots[i]);
    while (x->stack.len) {
        eclass *k = x->stack.data[--x->stack.len];
        if (++k->arrivals < k->references) continue;
        sorted++;
        if (has_operands(k)) push_operands(x, k->chosen);
    }
    return sorted == needed;
}

/* From e's operands, by chosen forms, to k. */
static bool leads_to(extraction *x, const enode *e, const eclass *k) {
    bool found = false;
    x->visit++;
    push_operands(x, e);
    while (x->stack.len) {
        eclass *o = x->stack.data[--x->stack.len];
        if (o->visit == x->visit) continue;
        o->visit = x->visit;
        found = found || o == k;
        if (!found && has_operands(o)) push_operands(x, o->chosen);
    }
    return found;
}

/* ---- steps -------------------------------------------------------------------------------------------------------- */

static bool can_be_made(const extraction *x, const enode *e) {
    for (uint32_t i = 0; i < e->node->n_in; i++) {
        const eclass *o = operand(x, e, i);
        if (o && !o->chosen && !o->is_leaf) return false;
    }
    return true;
}

static void change(extraction *x, eclass *k, enode *to) {
    enode *from = k->chosen;
    x->total += to->cycles - from->cycles;
    push_operands(x, to);
    take(x);
    push_operands(x, from);
    release(x);
    k->chosen = to;
}

static bool try_node(extraction *x, eclass *k, enode *e) {
    double before = x->total;
    enode *old = k->chosen;
    if (e == old || !can_be_made(x, e)) return false;
    change(x, k, e);
    if (x->total < before * (1 - 1e-9) && !leads_to(x, e, k)) return true;
    change(x, k, old);
    x->total = before;
    return false;
}

static bool improve_class(extraction *x, eclass *k) {
    bool better = false;
    if (!k->references || !has_operands(k)) return false;
    for (enode *e = k->first; e; e = e->next_in_class)
        better = try_node(x, k, e) || better;
    return better;
}

static void improve(extraction *x) {
    bool better = true;
    for (uint32_t round = 0; better && round < MAX_ROUNDS; round++) {
        better = false;
        for (uint32_t i = x->g->classes.len; i-- > 0;)
            better = improve_class(x, x->g->classes.data[i]) || better;
    }
}

/* ---- two starts --------------------------------------------------------------------------------------------------- */

static void choose_best(extraction *x) {
    for (uint32_t i = 0; i < x->g->classes.len; i++)
        x->g->classes.data[i]->chosen = x->g->classes.data[i]->best;
    count_references(x);
}

static void choose_originals(extraction *x) {
    for (uint32_t i = 0; i < x->g->classes.len; i++) {
        eclass *k = x->g->classes.data[i];
        k->chosen = k->original && !k->constant ? k->original : k->best;
    }
    count_references(x);
}

static enode **remember(const extraction *x) {
    enode **chosen = TL_NEW_ARRAY(x->g->arena, enode *, x->g->classes.len);
    for (uint32_t i = 0; i < x->g->classes.len; i++)
        chosen[i] = x->g->classes.data[i]->chosen;
    return chosen;
}

static void choose(extraction *x, enode *const *chosen) {
    for (uint32_t i = 0; i < x->g->classes.len; i++)
        x->g->classes.data[i]->chosen = chosen[i];
    count_references(x);
}

/* ---- can it be written? ------------------------------------------------------------------------------------------- */

/* Whether all leaves of k's form are there in front of this position; what is written before it is not looked at again. */
static bool is_ready(extraction *x, eclass *k, uint32_t position) {
    bool ready = true;
    x->visit++;
    push_operands(x, k->chosen);
    while (x->stack.len) {
        eclass *o = x->stack.data[--x->stack.len];
        if (o->visit == x->visit) continue;
        o->visit = x->visit;
        if (o->is_leaf && o->leaf_position >= position) ready = false;
        if (has_operands(o) && !(o->original && o->original->position < position))
            push_operands(x, o->chosen);
    }
    return ready;
}

/* A class is written where the graph has it for the first time: all it needs must be there. */
static bool can_be_written(extraction *x) {
    for (uint32_t i = 0; i < x->g->classes.len; i++) {
        eclass *k = x->g->classes.data[i];
        if (!k->references || !k->original || !has_operands(k)) continue;
        if (!is_ready(x, k, k->original->position)) return false;
    }
    return true;
}

egraph_choice egraph_extract(egraph *g, eclass *const *roots, uint32_t n) {
    extraction x = {.g = g, .roots = roots, .n_roots = n};
    for (uint32_t i = 0; i < g->classes.len; i++)
        prepare_class(g, g->classes.data[i]);
    find_best(&x);
    choose_originals(&x);
    improve(&x);
    double from_graph = x.total;
    enode **chosen = remember(&x);
    choose_best(&x);
    if (isfinite(x.total) && is_acyclic(&x)) {
        improve(&x);
        if (x.total < from_graph) chosen = remember(&x);
    }
    choose(&x, chosen);
    return (egraph_choice){x.total, can_be_written(&x)};
}
