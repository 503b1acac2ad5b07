/* reroll: copies of one step, chained by what each hands to the next, become one Recur.
 *
 *   before:  %a0 = Slice(%x, 0, 4)  %m0 = Add(%a0, %s)    %s1 = MatMul(%m0, @w)
 *            %a1 = Slice(%x, 4, 8)  %m1 = Add(%a1, %s1)   %s2 = MatMul(%m1, @w)
 *            %a2 = Slice(%x, 8, 12) %m2 = Add(%a2, %s2)   %s3 = MatMul(%m2, @w)
 *            %y = Concat<axis=0>(%m0, %m1, %m2)   return %s3, %y
 *
 *   after:   %r = Reshape(%x, [3,4,16])                                     // a view
 *            %s3, %m = Recur<carries=1>(3, %s, %r) {
 *              body(%i, %before, %a) {
 *                %m0 = Add(%a, %before)   %s1 = MatMul(%m0, @w)   yield %s1, %m0
 *              }
 *            }                                                              // %m: f32[3,4,16]
 *            %y = Reshape(%m, [12,16])    return %s3, %y
 *
 * Steps are found wherever their nodes stand, peeled first and last ones and a shorter last one stay outside, or are taken in where that is
 * possible (reroll_plan.c). Nothing is computed in another way or order: every bit stays. Before anything is replaced, each operand of each node
 * of each step is compared with the body's; `--explain reroll` tells what was proved, or which node spoiled it.
 *
 * What may repeat is told by anchors: nodes of equal operator, attributes and constants that depend on each other, as all weights of a recurrent
 * step do. Only a few are tried, and each is a few walks over the nodes: linear. The plan that covers most arithmetic (ir/cost.h) is taken; so an
 * outer chain comes before the one inside its steps, which is looked for in the body afterwards. */
#include "passes/reroll.h"

enum {
    MAX_ANCHORS = 6, /* tried: one for each number of copies */
    MAX_SAMPLE = 64, /* colours looked at: a bit each */
    MAX_CHAINS = 64, /* in one region */
    MIN_COPIES = 3
};

/* Nodes of one colour. */
typedef struct colour {
    uint64_t hash;
    uint32_t count;
    bool chained; /* one of them depends on another one */
} colour;

typedef TL_VEC(colour) colours;

/* ---- anchors ----------------------------------------------------------------------------------------------------- */

static void find_colours(const reroll *s, colours *out) {
    tl_map by_hash;
    tl_map_init(&by_hash, s->ctx->scratch);
    for (uint32_t i = 0; i < s->n; i++) {
        const reroll_node *r = &s->nodes[i];
        bool added;
        if (!r->fits || r->constant) continue;
        uint64_t *slot = tl_map_insert(&by_hash, r->colour, &added);
        if (added) {
            *slot = out->len;
            tl_vec_push(s->ctx->scratch, out, (colour){r->colour, 0, false});
        }
        out->data[*slot].count++;
    }
}

/* Leaves those with enough copies, and of many of them an even sample. */
static void sample_colours(colours *all) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < all->len; i++)
        if (all->data[i].count >= MIN_COPIES) all->data[n++] = all->data[i];
    all->len = n < MAX_SAMPLE ? n : MAX_SAMPLE;
    for (uint32_t i = 0; i < all->len; i++)
        all->data[i] = all->data[(uint64_t)(i + 1) * n / all->len - 1];
}

/* Which colours depend on themselves: a bit each, handed on from operands to results. */
static void find_chained(const reroll *s, colours *all) {
    uint64_t *reached = TL_NEW_ARRAY(s->ctx->scratch, uint64_t, s->n);
    tl_map by_hash;
    tl_map_init(&by_hash, s->ctx->scratch);
    for (uint32_t k = 0; k < all->len; k++)
        *tl_map_insert(&by_hash, all->data[k].hash, NULL) = k;
    for (uint32_t i = 0; i < s->n; i++) {
        const reroll_node *r = &s->nodes[i];
        for (uint32_t k = 0; k < r->node->n_in; k++) {
            uint32_t d = reroll_find(s, r->node->in[k].value);
            if (d != REROLL_NONE) reached[i] |= reached[d];
        }
        const uint64_t *k = r->fits ? tl_map_find(&by_hash, r->colour) : NULL;
        if (!k) continue;
        all->data[*k].chained |= reached[i] >> *k & 1;
        reached[i] |= (uint64_t)1 << *k;
    }
}

/* One anchor for each number of copies, those with the most nodes first. */
static uint32_t choose_anchors(const colours *all, uint64_t *out) {
    uint32_t counts[MAX_ANCHORS], n = 0;
    for (uint32_t done = 0; n < MAX_ANCHORS && done < all->len; done++) {
        const colour *best = NULL;
        uint64_t most = 0;
        for (uint32_t i = 0; i < all->len; i++) {
            const colour *c = &all->data[i];
            bool had = !c->chained;
            for (uint32_t k = 0; k < n; k++)
                had |= counts[k] == c->count;
            if (had) continue;
            uint64_t nodes = 0;
            for (uint32_t k = 0; k < all->len; k++)
                nodes += all->data[k].count == c->count ? c->count : 0;
            if (nodes >= most)
                best = c, most = nodes; /* the last one: late in a step, it reads most of it */
        }
        if (!best) break;
        counts[n] = best->count;
        out[n++] = best->hash;
    }
    return n;
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

static void explain_failure(const reroll_plan *p, uint64_t anchor) {
    const reroll *s = p->s;
    if (!p->why || !ctx_explains(s->ctx)) return;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->nodes[i].colour != anchor) continue;
        const ir_node *n = s->nodes[i].node;
        ctx_remark(s->ctx, "copies of %s '%s' follow each other, but are left: %s",
                   op_get(n->op)->name, n->out[0].name ? n->out[0].name : "", p->why);
        return;
    }
}

static void explain(const reroll_plan *p) {
    uint32_t lacking = 0;
    for (uint32_t i = 0; i < p->n_orbits; i++) {
        const reroll_orbit *x = &p->orbits[i];
        for (uint32_t step = p->first; x->inside && step <= p->last; step++)
            lacking += reroll_member(p, x, step) == NULL;
    }
    uint32_t compared = p->n_inside * reroll_rounds(p) - lacking;
    ctx_remark(p->s->ctx,
               "%u steps of %u nodes become a Recur: %u carried values, %u sliced inputs",
               reroll_rounds(p), p->n_inside, p->carries.len, p->inputs.len);
    ctx_remark(p->s->ctx,
               "  proved: %u nodes equal the body's in operator, attributes, types, constants and "
               "operands",
               compared);
    if (lacking)
        ctx_remark(p->s->ctx, "  the last steps lack %u nodes: what they compute there is not read",
                   lacking);
}

/* The plan that saves most, of the links each anchor gives. */
static bool find_best(reroll *s, reroll_plan *best) {
    colours all = {0};
    uint64_t anchors[MAX_ANCHORS], chosen = 0;
    double gain = 0;
    find_colours(s, &all);
    sample_colours(&all);
    find_chained(s, &all);
    uint32_t n = choose_anchors(&all, anchors);
    for (uint32_t i = 0; i < n; i++) {
        if (!reroll_link(s, anchors[i])) continue;
        if (!reroll_make_plan(s, best)) {
            explain_failure(best, anchors[i]);
            continue;
        }
        if (best->gain > gain) gain = best->gain, chosen = anchors[i];
    }
    /* Links are kept in the nodes: those of the best are made once more. */
    return gain > 0 && reroll_link(s, chosen) && reroll_make_plan(s, best);
}

static pass_result roll_region(pass_ctx *ctx, ir_region *r) {
    pass_result result = PASS_SAME;
    for (uint32_t i = 0; i < MAX_CHAINS; i++) {
        reroll s;
        reroll_plan p;
        tl_arena_mark mark = tl_arena_get_mark(ctx->scratch);
        reroll_number(&s, ctx, r);
        bool found = find_best(&s, &p) && ctx_take(ctx, "chains");
        if (found) {
            explain(&p);
            reroll_build(&p);
            result = PASS_CHANGED;
        }
        tl_arena_reset(ctx->scratch, mark);
        if (!found) break;
    }
    ir_for_each_node (n, r)
        for (uint32_t i = 0; i < n->n_regions; i++)
            if (roll_region(ctx, n->regions[i]) == PASS_CHANGED) result = PASS_CHANGED;
    return result;
}

pass_result pass_reroll(pass_ctx *ctx, ir_graph *g) {
    return roll_region(ctx, g->body);
}
