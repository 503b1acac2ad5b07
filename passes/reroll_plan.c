/* From links to a proof: which steps are one body repeated. See reroll.h.
 *
 * Orbits are laid on a line of steps: the first member as early as what it reads allows. Copies that the first step lacks, because a constant
 * state was folded there, so come to stand at the end of the step before, and the folded constants are the initial state:
 *
 *   step 0: A(x0, @k)            k1 = K(s0)        body(x, k) { a = A(x, k)  s = S(a)  k' = K(s) }
 *   step 1: A(x1, k1)            k2 = K(s1)        k starts as @k
 *   step 2: A(x2, k2)                              the last K(s2) is not in the model and not used
 *
 * Then, for a range of steps, every operand of every orbit must be one of reroll_source, in all steps, node by node: that is the proof.
 * An orbit for which this fails stays outside; where the body reads what is computed from itself outside, there is no Recur. */
#include "ir/base/assert.h"
#include "ir/cost.h"
#include "passes/reroll.h"
#include "passes/util.h"

enum {
    MIN_ROUNDS = 3,
    MAX_LACKING = 2, /* a dead update, and one for what is computed from it early: see above */
    MAX_ROUNDS_OF_OFFSETS = 16, /* offsets settle in one or two */
    MAX_RANGES = 6,             /* tried, best first */
    NODE_COST = 1000            /* operations that a call is worth */
};

/* ---- orbits -------------------------------------------------------------------------------------------------- */

ir_node *reroll_member(const reroll_plan *p, const reroll_orbit *x, uint32_t step) {
    if (step < x->offset || step - x->offset >= x->length) return NULL;
    return p->s->nodes[x->members[step - x->offset]].node;
}

static uint32_t member_step(const reroll_plan *p, uint32_t node) {
    const reroll_node *r = &p->s->nodes[node];
    return p->orbits[r->orbit].offset + r->rank;
}

reroll_orbit *reroll_orbit_of(const reroll_plan *p, const ir_node *n) {
    if (n->parent != p->s->region) return NULL;
    uint32_t k = (uint32_t)n->scratch;
    if (k >= p->s->n || p->s->nodes[k].node != n || p->s->nodes[k].orbit == REROLL_NONE)
        return NULL;
    reroll_orbit *x = &p->orbits[p->s->nodes[k].orbit];
    uint32_t step = member_step(p, k);
    return x->inside && step >= p->first && step <= p->last ? x : NULL;
}

/* Operand i of the member of this rank, as the first member orders them. */
static ir_value *operand_of(const reroll_plan *p, const reroll_orbit *x, uint32_t rank,
                            uint32_t i) {
    const ir_node *n = p->s->nodes[x->members[rank]].node;
    return n->in[x->swapped[rank] && i < 2 ? 1 - i : i].value;
}

/* Operations of one node; symbols count as 1. */
static bool symbol_is_one(void *data, const char *symbol, int64_t *value) {
    (void)data, (void)symbol;
    *value = 1;
    return true;
}

static double cost_of(ir_ctx *c, const ir_node *n) {
    int64_t flops;
    const ir_dim *d = ir_node_flops(c, n);
    bool known = !ir_dim_is_unknown(d) && ir_dim_eval(d, symbol_is_one, NULL, &flops);
    return NODE_COST + (known ? (double)flops : 0);
}

static void fill_orbit(reroll_plan *p, reroll_orbit *x, uint32_t first) {
    reroll *s = p->s;
    bool swapped = false;
    for (uint32_t k = first; k != REROLL_NONE; k = s->nodes[k].next)
        x->length++;
    x->first = first;
    x->group = (uint32_t)(x - p->orbits);
    x->members = TL_NEW_ARRAY(s->ctx->scratch, uint32_t, x->length);
    x->swapped = TL_NEW_ARRAY(s->ctx->scratch, bool, x->length);
    for (uint32_t k = first, i = 0; k != REROLL_NONE; k = s->nodes[k].next, i++) {
        x->members[i] = k;
        x->swapped[i] = swapped;
        swapped ^= s->nodes[k].swapped;
        s->nodes[k].orbit = x->group;
        s->nodes[k].rank = i;
    }
    x->cost = cost_of(s->ctx->c, s->nodes[first].node);
}

/* Copies of what is computed from constants are left to folding. */
static bool starts_orbit(const reroll *s, uint32_t k) {
    const reroll_node *r = &s->nodes[k];
    if (r->previous != REROLL_NONE || r->next == REROLL_NONE) return false;
    while (r->constant && r->next != REROLL_NONE)
        r = &s->nodes[r->next];
    return !r->constant;
}

static void make_orbits(reroll_plan *p) {
    reroll *s = p->s;
    for (uint32_t i = 0; i < s->n; i++) {
        s->nodes[i].orbit = REROLL_NONE;
        p->n_orbits += starts_orbit(s, i);
    }
    p->orbits = TL_NEW_ARRAY(s->ctx->scratch, reroll_orbit, p->n_orbits + 1);
    for (uint32_t i = 0, at = 0; i < s->n; i++)
        if (starts_orbit(s, i)) fill_orbit(p, &p->orbits[at++], i);
}

/* ---- offsets ----------------------------------------------------------------------------------------------------- */

/* The step in which v can be had, -1 for what no orbit makes. */
static int64_t step_of_value(const reroll_plan *p, const ir_value *v) {
    uint32_t k = reroll_find(p->s, v);
    if (k == REROLL_NONE || p->s->nodes[k].orbit == REROLL_NONE) return -1;
    return member_step(p, k);
}

/* Moves the orbit to where its first members can read what they read; true where it has moved. */
static bool settle(const reroll_plan *p, reroll_orbit *x) {
    uint32_t before = x->offset;
    for (uint32_t rank = 0; rank < 2; rank++) {
        const ir_node *n = p->s->nodes[x->members[rank]].node;
        for (uint32_t i = 0; i < n->n_in; i++) {
            int64_t step = step_of_value(p, n->in[i].value) - rank;
            if (step > x->offset) x->offset = (uint32_t)step;
        }
    }
    return x->offset != before;
}

static bool find_offsets(reroll_plan *p) {
    for (uint32_t round = 0; round < MAX_ROUNDS_OF_OFFSETS; round++) {
        bool moved = false;
        for (uint32_t i = 0; i < p->n_orbits; i++)
            moved |= settle(p, &p->orbits[i]);
        if (!moved) return true;
    }
    return false;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static uint32_t group_root(const reroll_plan *p, uint32_t i) {
    while (p->orbits[i].group != i)
        i = p->orbits[i].group = p->orbits[p->orbits[i].group].group;
    return i;
}

/* Orbits that read each other belong together; two chains that have nothing in common do not. */
static void find_groups(reroll_plan *p) {
    for (uint32_t i = 0; i < p->n_orbits; i++) {
        const reroll_orbit *x = &p->orbits[i];
        const ir_node *n = p->s->nodes[x->members[1]].node;
        for (uint32_t k = 0; k < n->n_in; k++) {
            uint32_t d = reroll_find(p->s, n->in[k].value);
            if (d == REROLL_NONE || p->s->nodes[d].orbit == REROLL_NONE) continue;
            p->orbits[group_root(p, p->s->nodes[d].orbit)].group = group_root(p, i);
        }
    }
    for (uint32_t i = 0; i < p->n_orbits; i++)
        p->orbits[i].group = group_root(p, i);
}

/* The group in which most is done. */
static uint32_t find_heaviest(const reroll_plan *p) {
    double *cost = TL_NEW_ARRAY(p->s->ctx->scratch, double, p->n_orbits);
    uint32_t best = 0;
    for (uint32_t i = 0; i < p->n_orbits; i++) {
        const reroll_orbit *x = &p->orbits[i];
        cost[x->group] += x->cost * x->length;
        if (cost[x->group] > cost[best]) best = x->group;
    }
    return best;
}

/* ---- ranges ------------------------------------------------------------------------------------------------------ */

typedef struct range {
    uint32_t first, last;
    double gain;
} range;

static uint32_t last_step(const reroll_orbit *x) {
    return x->offset + x->length - 1;
}

/* The last steps may lack an orbit's members: what is computed for them there is not read. */
static bool covers(const reroll_orbit *x, const range *r) {
    return x->offset <= r->first && last_step(x) > r->first &&
           last_step(x) + MAX_LACKING >= r->last;
}

static double range_gain(const reroll_plan *p, const range *r) {
    double gain = 0;
    for (uint32_t i = 0; i < p->n_orbits; i++) {
        const reroll_orbit *x = &p->orbits[i];
        if (x->group != p->group || !covers(x, r)) continue;
        double lacking = last_step(x) < r->last ? r->last - last_step(x) : 0;
        gain += x->cost * (r->last - r->first + 1 - 2 * lacking);
    }
    return gain;
}

/* The steps at which most orbits begin, or end; REROLL_NONE where there are fewer. */
static void find_common(const reroll_plan *p, bool ends, uint32_t *steps, uint32_t n) {
    uint32_t longest = 0;
    for (uint32_t i = 0; i < p->n_orbits; i++)
        if (last_step(&p->orbits[i]) > longest) longest = last_step(&p->orbits[i]);
    double *cost = TL_NEW_ARRAY(p->s->ctx->scratch, double, longest + 1);
    for (uint32_t i = 0; i < p->n_orbits; i++) {
        const reroll_orbit *x = &p->orbits[i];
        if (x->group == p->group) cost[ends ? last_step(x) : x->offset] += x->cost;
    }
    for (uint32_t k = 0; k < n; k++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i <= longest; i++)
            if (cost[i] > cost[best]) best = i;
        steps[k] = cost[best] > 0 ? best : REROLL_NONE;
        cost[best] = 0;
    }
}

/* Ranges with much in them, best first. */
static uint32_t find_ranges(const reroll_plan *p, range *out) {
    enum { N = 4 };
    uint32_t begins[N], ends[N], n = 0;
    range all[N * N];
    find_common(p, false, begins, N);
    find_common(p, true, ends, N);
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t k = 0; k < N; k++) {
            range r = {begins[i], ends[k], 0};
            if (begins[i] == REROLL_NONE || ends[k] == REROLL_NONE) continue;
            if (r.last < r.first || r.last - r.first + 1 < MIN_ROUNDS) continue;
            r.gain = range_gain(p, &r);
            all[n++] = r;
        }
    for (uint32_t i = 0; i < n && i < MAX_RANGES; i++) {
        uint32_t best = i;
        for (uint32_t k = i + 1; k < n; k++)
            if (all[k].gain > all[best].gain) best = k;
        out[i] = all[best];
        all[best] = all[i];
    }
    return n < MAX_RANGES ? n : MAX_RANGES;
}

/* ---- operands: the proof ----------------------------------------------------------------------------------------- */

static bool spoil(reroll_plan *p, const reroll_orbit *x, uint32_t i, const char *what) {
    const ir_node *n = p->s->nodes[x->members[0]].node;
    const char *name = n->out[0].name ? n->out[0].name : "";
    if (!p->why && ctx_explains(p->s->ctx))
        p->why = tl_arena_printf(p->s->ctx->scratch, "%s '%s', operand %u: %s", op_get(n->op)->name,
                                 name, i, what);
    return false;
}

static bool is_inside(const reroll_plan *p, const ir_value *v) {
    return v && v->def && reroll_orbit_of(p, v->def);
}

/* Last step in which both the plan and the orbit have a member. */
static uint32_t last_member_step(const reroll_plan *p, const reroll_orbit *x) {
    return last_step(x) < p->last ? last_step(x) : p->last;
}

/* In every step the operand is the result of orbit y's member, `late` steps before. */
static bool reads_orbit(const reroll_plan *p, const reroll_orbit *x, uint32_t i,
                        const reroll_orbit *y, uint32_t result, uint32_t late) {
    for (uint32_t step = p->first + late; step <= last_member_step(p, x); step++) {
        const ir_node *made = reroll_member(p, y, step - late);
        if (!made || operand_of(p, x, step - x->offset, i) != &made->out[result]) return false;
    }
    return true;
}

static uint32_t carry_index(reroll_plan *p, uint32_t orbit, uint32_t result, ir_value *initial) {
    for (uint32_t i = 0; i < p->carries.len; i++) {
        const reroll_carry *c = &p->carries.data[i];
        if (c->orbit == orbit && c->result == result && c->initial == initial) return i;
    }
    tl_vec_push(p->s->ctx->scratch, &p->carries, (reroll_carry){orbit, result, initial});
    return p->carries.len - 1;
}

static bool prove_orbit_operand(reroll_plan *p, reroll_orbit *x, uint32_t i, const ir_value *v,
                                reroll_operand *out) {
    uint32_t node = reroll_find(p->s, v);
    reroll_orbit *y = &p->orbits[p->s->nodes[node].orbit];
    uint32_t late = p->first + 1 - member_step(p, node);
    *out = (reroll_operand){REROLL_STEP, NULL, (uint32_t)(y - p->orbits), v->index, 0};
    if (late > 1) return spoil(p, x, i, "is made two steps before");
    if (!reads_orbit(p, x, i, y, v->index, late))
        return spoil(p, x, i, "is not made by the same node in every step");
    if (!late) return true;
    out->source = REROLL_CARRIED;
    out->value = operand_of(p, x, p->first - x->offset, i);
    if (!out->value || is_inside(p, out->value) || out->value->type != v->type)
        return spoil(p, x, i, "starts with a value of another type");
    if (out->value->tensor && !reroll_is_data(p->s->nodes[x->members[0]].node, i))
        return spoil(p, x, i, "is a constant in the first step, on which types depend");
    out->index = carry_index(p, out->orbit, out->result, out->value);
    return true;
}

static bool same_input(const reroll_plan *p, const reroll_input *a, ir_value *const *values) {
    for (uint32_t i = 0; i < reroll_rounds(p); i++)
        if (a->values[i] != values[i] && values[i]) return false;
    return true;
}

/* The input with these values; a new one where there is none and `add`. What the last steps lack matches any: orbits with members in all
 * steps come first. */
static bool find_input(reroll_plan *p, ir_value **values, bool add, uint32_t *index) {
    for (*index = 0; *index < p->inputs.len; ++*index)
        if (same_input(p, &p->inputs.data[*index], values)) return true;
    if (add) tl_vec_push(p->s->ctx->scratch, &p->inputs, (reroll_input){values});
    return add;
}

static bool prove_outside_operand(reroll_plan *p, reroll_orbit *x, uint32_t i,
                                  reroll_operand *out) {
    uint32_t rounds = reroll_rounds(p);
    bool same = true;
    ir_value **values = TL_NEW_ARRAY(p->s->ctx->scratch, ir_value *, rounds);
    for (uint32_t k = 0; k < rounds && p->first + k <= last_member_step(p, x); k++) {
        values[k] = operand_of(p, x, p->first + k - x->offset, i);
        if (is_inside(p, values[k]))
            return spoil(p, x, i, "is made by a step, but not by the same node of each");
        same = same && values[k] == values[0];
        if (!values[0] != !values[k] || (values[k] && values[k]->type != values[0]->type))
            return spoil(p, x, i, "has another type in some step");
    }
    *out = (reroll_operand){.source = values[0] ? REROLL_SAME : REROLL_OMITTED, .value = values[0]};
    if (same) return true;
    if (!reroll_is_data(p->s->nodes[x->members[0]].node, i))
        return spoil(p, x, i, "decides about types and is not the same in every step");
    out->source = REROLL_SLICED;
    return find_input(p, values, last_step(x) >= p->last, &out->index) ||
           spoil(p, x, i, "is of the next step's own");
}

static bool prove_operand(reroll_plan *p, reroll_orbit *x, uint32_t i) {
    /* The second step tells: in the first one, what is carried comes from outside. */
    const ir_value *v = operand_of(p, x, p->first + 1 - x->offset, i);
    if (is_inside(p, v)) return prove_orbit_operand(p, x, i, v, &x->in[i]);
    return prove_outside_operand(p, x, i, &x->in[i]);
}

static bool prove_orbit(reroll_plan *p, reroll_orbit *x) {
    const ir_node *n = p->s->nodes[x->members[0]].node;
    if (last_step(x) < p->last && node_can_fail(p->s->ctx->c, n))
        return spoil(p, x, 0, "could fail in the last step, which lacks this node");
    x->in = TL_NEW_ARRAY(p->s->ctx->scratch, reroll_operand, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!prove_operand(p, x, i)) return false;
    return true;
}

static bool prove_orbits_that(reroll_plan *p, bool lacking, bool *all) {
    for (uint32_t i = 0; i < p->n_orbits; i++) {
        reroll_orbit *x = &p->orbits[i];
        if (!x->inside || (last_step(x) < p->last) != lacking || prove_orbit(p, x)) continue;
        x->inside = false;
        *all = false;
    }
    return *all;
}

/* What fails leaves, and the others are proved again without it. */
static bool prove(reroll_plan *p) {
    enum { MAX_TRIES = 10 };
    for (uint32_t i = 0; i < MAX_TRIES; i++) {
        bool all = true;
        p->carries.len = p->inputs.len = 0;
        prove_orbits_that(p, false, &all);
        if (prove_orbits_that(p, true, &all)) return true;
    }
    return false;
}

/* ---- what is outside --------------------------------------------------------------------------------------------- */

static bool reads_dependent(const reroll_plan *p, const ir_node *n);

static bool region_reads_dependent(const reroll_plan *p, const ir_region *r) {
    ir_for_each_node (n, r)
        if (reads_dependent(p, n)) return true;
    return reads_dependent(p, r->yield);
}

/* n, or something in its regions, reads what the steps compute, or what depends on it. */
static bool reads_dependent(const reroll_plan *p, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        uint32_t k = reroll_find(p->s, n->in[i].value);
        if (k == REROLL_NONE) continue;
        if (p->depends[k] || reroll_orbit_of(p, p->s->nodes[k].node)) return true;
    }
    for (uint32_t i = 0; i < n->n_regions; i++)
        if (region_reads_dependent(p, n->regions[i])) return true;
    return false;
}

static bool step_reads_dependent(const reroll_plan *p, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        uint32_t k = reroll_find(p->s, n->in[i].value);
        if (k != REROLL_NONE && p->depends[k]) return true;
    }
    return false;
}

/* No step reads what another one computes by way of nodes outside. */
static bool is_closed(reroll_plan *p) {
    p->depends = TL_NEW_ARRAY(p->s->ctx->scratch, bool, p->s->n);
    for (uint32_t i = 0; i < p->s->n; i++) {
        const ir_node *n = p->s->nodes[i].node;
        bool inside = reroll_orbit_of(p, n) != NULL;
        if (inside && step_reads_dependent(p, n)) {
            if (!p->why && ctx_explains(p->s->ctx))
                p->why = tl_arena_printf(
                    p->s->ctx->scratch,
                    "%s '%s' reads what nodes outside of the steps make of them",
                    op_get(n->op)->name, n->out[0].name ? n->out[0].name : "");
            return false;
        }
        p->depends[i] = !inside && reads_dependent(p, n);
    }
    return true;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static void count_inside(reroll_plan *p) {
    p->n_inside = 0;
    for (uint32_t i = 0; i < p->n_orbits; i++)
        p->n_inside += p->orbits[i].inside;
}

/* Fewer nodes are worth the rounds of a loop, each of which costs about as much as three of them; of many rounds the code counts. */
static bool pays(const reroll_plan *p) {
    uint32_t rounds = reroll_rounds(p);
    return p->carries.len && p->n_inside > 1 &&
           (p->n_inside * (rounds - 1) > 3 * rounds || rounds >= 64);
}

static bool try_range(reroll_plan *p, const range *r) {
    p->first = r->first;
    p->last = r->last;
    p->why = NULL;
    for (uint32_t i = 0; i < p->n_orbits; i++)
        p->orbits[i].inside = p->orbits[i].group == p->group && covers(&p->orbits[i], r);
    if (!prove(p) || !is_closed(p)) return false;
    count_inside(p);
    p->gain = r->gain;
    return pays(p);
}

bool reroll_make_plan(reroll *s, reroll_plan *p) {
    range ranges[MAX_RANGES];
    *p = (reroll_plan){.s = s};
    make_orbits(p);
    if (!p->n_orbits || !find_offsets(p)) return false;
    find_groups(p);
    p->group = find_heaviest(p);
    uint32_t n = find_ranges(p, ranges);
    for (uint32_t i = 0; i < n; i++)
        if (try_range(p, &ranges[i])) return true;
    return false;
}
