/* Which node of the next step is the same as this one. See reroll.h.
 *
 * 1. The copies of an anchor depend on each other: their order tells the steps apart. The *level* of a node is the number of anchors on the
 *    way to it.
 * 2. Nodes of one colour (operator, attributes, constants) that occur once on each level are copies of each other.
 * 3. Backward: what copies read is a copy, where it is alike. This finds the part of a step that does not depend on the step before.
 * 4. Forward: where the copies of all operands are known, the copy of the node is the one that reads them.
 *
 * Each is one walk over the nodes; links are hints only, reroll_plan.c proves. */
#include "ir/base/hash.h"
#include "passes/reroll.h"

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

uint32_t reroll_find(const reroll *s, const ir_value *v) {
    if (!v || !v->def || v->def->parent != s->region) return REROLL_NONE;
    return (uint32_t)v->def->scratch;
}

bool reroll_is_data(const ir_node *n, uint32_t p) {
    switch (n->op) {
    case OP_Range:
    case OP_ConstantOfShape:
    case OP_OneHot:
        return false;
    case OP_Gather:
    case OP_GatherElements:
    case OP_GatherND:
    case OP_Where:
    case OP_Concat:
    case OP_MatMul:
    case OP_Gemm:
    case OP_Attention:
    case OP_LayerNormalization:
        return true;
    default:
        return p == 0 || op_is(n->op, OP_SCALAR);
    }
}

/* Constants that differ from step to step become slices of one. Weights do not: a product with a slice of a constant is slower than one with
 * the constant, and layers that are equal but for their weights share their code anyway. */
static bool may_stack(const ir_node *n, uint32_t p) {
    bool elementwise = op_is(n->op, OP_SCALAR) || n->op == OP_Where || n->op == OP_Concat;
    return elementwise || (n->op == OP_Attention && p >= 3);
}

static uint64_t hash_kind(const ir_node *n) {
    uint64_t h = tl_hash_mix(n->op, ((uint64_t)n->n_in << 32) | n->n_out);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const ir_attr *a = &n->attrs[i];
        h = tl_hash_mix(h, (uint64_t)(uintptr_t)a->name);
        if (a->kind == ATTR_INT) h = tl_hash_mix(h, (uint64_t)a->v.i);
        if (a->kind == ATTR_INTS) h = tl_hash_bytes(h, a->v.ints, a->n * sizeof *a->v.ints);
    }
    for (uint32_t i = 0; i < n->n_out; i++)
        h = tl_hash_mix(h, (uint64_t)(uintptr_t)n->out[i].type);
    return h;
}

static uint64_t hash_constants(uint64_t h, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = n->in[i].value;
        if (v && v->tensor) h = tl_hash_mix(h, tl_hash_mix(i, (uint64_t)(uintptr_t)v));
    }
    return h;
}

/* A node that may be copied and moved, with a type that all copies share. */
static bool may_roll(const ir_node *n) {
    if (!op_is(n->op, OP_PURE) || n->n_regions) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!n->out[i].type || !ir_type_is_known(n->out[i].type)) return false;
    return true;
}

static bool is_constant(const reroll *s, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = n->in[i].value;
        uint32_t k = reroll_find(s, v);
        if (!v || v->tensor) continue;
        if (k == REROLL_NONE || !s->nodes[k].constant) return false;
    }
    return true;
}

void reroll_number(reroll *s, pass_ctx *ctx, ir_region *region) {
    *s = (reroll){.ctx = ctx, .region = region};
    ir_for_each_node (n, region)
        n->scratch = s->n++;
    s->nodes = TL_NEW_ARRAY(ctx->scratch, reroll_node, s->n);
    ir_for_each_node (n, region) {
        reroll_node *r = &s->nodes[n->scratch];
        r->node = n;
        r->kind = hash_kind(n);
        r->colour = hash_constants(r->kind, n);
        r->fits = may_roll(n);
        r->constant = r->fits && is_constant(s, n);
    }
}

/* ---- levels ------------------------------------------------------------------------------------------------------ */

/* What is the deepest that n reads. */
static void level_of_operands(const reroll *s, const ir_node *n, uint32_t *level, uint32_t *chain) {
    *level = 0;
    *chain = REROLL_NONE;
    for (uint32_t i = 0; i < n->n_in; i++) {
        uint32_t k = reroll_find(s, n->in[i].value);
        if (k == REROLL_NONE || s->nodes[k].level <= *level) continue;
        *level = s->nodes[k].level;
        *chain = s->nodes[k].chain;
    }
}

/* false where no anchor depends on another one. */
static bool find_levels(reroll *s, uint64_t anchor) {
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        reroll_node *r = &s->nodes[i];
        level_of_operands(s, r->node, &r->level, &r->chain);
        if (r->colour != anchor || !r->fits) continue;
        if (!r->level) r->chain = i;
        if (++r->level > deepest) deepest = r->level;
    }
    return deepest > 1;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

static bool same_kind(const ir_node *a, const ir_node *b) {
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attrs != b->n_attrs)
        return false;
    for (uint32_t i = 0; i < a->n_out; i++)
        if (a->out[i].type != b->out[i].type) return false;
    for (uint32_t i = 0; i < a->n_attrs; i++)
        if (!ir_attr_equal(&a->attrs[i], &b->attrs[i])) return false;
    return true;
}

/* x, read by operand p of a, may be y, read by operand q of b. */
static bool operands_fit(const ir_node *a, uint32_t p, const ir_node *b, uint32_t q) {
    const ir_value *x = a->in[p].value, *y = b->in[q].value;
    if (x == y) return true;
    if (!x || !y || x->type != y->type) return false;
    if (x->tensor && y->tensor) return may_stack(a, p);
    return (!x->tensor && !y->tensor) || reroll_is_data(a, p);
}

static bool all_fit(const ir_node *a, const ir_node *b, bool swapped) {
    for (uint32_t i = 0; i < a->n_in; i++)
        if (!operands_fit(a, i, b, swapped && i < 2 ? 1 - i : i)) return false;
    return true;
}

static bool may_swap(const ir_node *n) {
    return op_is(n->op, OP_COMMUTES) && n->n_in == 2;
}

static bool may_link(const reroll *s, uint32_t a, uint32_t b) {
    const reroll_node *x = &s->nodes[a], *y = &s->nodes[b];
    if (a == b || x->kind != y->kind || !x->fits || !y->fits) return false;
    if (x->next != REROLL_NONE || y->previous != REROLL_NONE) return false;
    if (!same_kind(x->node, y->node)) return false;
    return all_fit(x->node, y->node, false) ||
           (may_swap(x->node) && all_fit(x->node, y->node, true));
}

static bool link(reroll *s, uint32_t a, uint32_t b) {
    if (a == REROLL_NONE || b == REROLL_NONE || !may_link(s, a, b)) return false;
    s->nodes[a].next = b;
    s->nodes[b].previous = a;
    return true;
}

/* ---- copies on consecutive levels ---------------------------------------------------------------------------- */

static uint64_t level_key(const reroll_node *r, uint32_t level) {
    return tl_hash_mix(r->colour, ((uint64_t)r->chain << 32) | level);
}

/* Nodes by colour, chain and level: number + 1, or REROLL_NONE for several. */
static void enter_levels(const reroll *s, tl_map *levels) {
    for (uint32_t i = 0; i < s->n; i++) {
        const reroll_node *r = &s->nodes[i];
        bool added;
        if (!r->fits || !r->level || r->constant) continue;
        uint64_t *slot = tl_map_insert(levels, level_key(r, r->level), &added);
        *slot = added ? i + 1 : REROLL_NONE;
    }
}

static void link_levels(reroll *s) {
    tl_map levels;
    tl_map_init(&levels, s->ctx->scratch);
    enter_levels(s, &levels);
    for (uint32_t i = 0; i < s->n; i++) {
        const reroll_node *r = &s->nodes[i];
        if (!r->fits || !r->level || r->constant) continue;
        const uint64_t *here = tl_map_find(&levels, level_key(r, r->level));
        const uint64_t *there = tl_map_find(&levels, level_key(r, r->level + 1));
        if (*here == REROLL_NONE || !there || *there == REROLL_NONE) continue;
        if (s->nodes[*there - 1].colour == r->colour) link(s, i, (uint32_t)*there - 1);
    }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* How sure it is that the operands correspond. */
static uint32_t likeness(const reroll *s, const ir_value *x, const ir_value *y) {
    uint32_t a = reroll_find(s, x), b = reroll_find(s, y);
    if (x == y) return 4;
    if (a == REROLL_NONE || b == REROLL_NONE || x->index != y->index) return 0;
    if (s->nodes[a].next == b) return 4;
    if (s->nodes[a].colour == s->nodes[b].colour) return 3;
    return may_link(s, a, b) ? 2 : 0;
}

/* Whether operand 0 of one node corresponds to operand 1 of its copy. */
static bool look_swapped(const reroll *s, const ir_node *a, const ir_node *b) {
    if (!may_swap(a)) return false;
    const ir_use *x = a->in, *y = b->in;
    uint32_t straight = likeness(s, x[0].value, y[0].value) + likeness(s, x[1].value, y[1].value);
    uint32_t crossed = likeness(s, x[0].value, y[1].value) + likeness(s, x[1].value, y[0].value);
    return crossed > straight;
}

static void link_operands(reroll *s, reroll_node *a, const reroll_node *b) {
    a->swapped = look_swapped(s, a->node, b->node);
    for (uint32_t i = 0; i < a->node->n_in; i++) {
        const ir_value *x = a->node->in[i].value,
                       *y = b->node->in[a->swapped && i < 2 ? 1 - i : i].value;
        if (x && y && x != y && x->index == y->index) link(s, reroll_find(s, x), reroll_find(s, y));
    }
}

static void link_backward(reroll *s) {
    for (uint32_t i = s->n; i-- > 0;) {
        const reroll_node *r = &s->nodes[i];
        if (r->previous != REROLL_NONE) link_operands(s, &s->nodes[r->previous], r);
    }
}

/* ---- forward ------------------------------------------------------------------------------------------------------ */

/* The copy of v in the next step: v itself where there is none. */
static const ir_value *copy_of(const reroll *s, const ir_value *v) {
    uint32_t k = reroll_find(s, v);
    if (k == REROLL_NONE || s->nodes[k].next == REROLL_NONE) return v;
    return &s->nodes[s->nodes[k].next].node->out[v->index];
}

/* Key of a node by what it reads; of the node's copy where `copied`. */
static uint64_t operand_key(const reroll *s, const reroll_node *r, bool copied) {
    uint64_t h = r->kind, both = 0;
    for (uint32_t i = 0; i < r->node->n_in; i++) {
        const ir_value *v = r->node->in[i].value;
        if (copied) v = copy_of(s, v);
        uint64_t x = tl_hash_mix(1, (uint64_t)(uintptr_t)v);
        if (may_swap(r->node))
            both += x;
        else
            h = tl_hash_mix(h, x);
    }
    return tl_hash_mix(h, both);
}

static bool reads_copies(const reroll *s, const ir_node *a, const ir_node *b) {
    for (uint32_t i = 0; i < a->n_in; i++) {
        const ir_value *v = copy_of(s, a->in[i].value);
        if (v != b->in[i].value && (!may_swap(a) || v != b->in[1 - i].value)) return false;
    }
    return true;
}

static bool reads_a_copied(const reroll *s, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (copy_of(s, n->in[i].value) != n->in[i].value) return true;
    return false;
}

static void link_forward(reroll *s) {
    tl_map readers;
    tl_map_init(&readers, s->ctx->scratch);
    for (uint32_t i = s->n; i-- > 0;)
        if (s->nodes[i].fits)
            *tl_map_insert(&readers, operand_key(s, &s->nodes[i], false), NULL) = i;
    for (uint32_t i = 0; i < s->n; i++) {
        reroll_node *r = &s->nodes[i];
        if (!r->fits || r->next != REROLL_NONE || !reads_a_copied(s, r->node)) continue;
        const uint64_t *found = tl_map_find(&readers, operand_key(s, r, true));
        if (!found || !same_kind(r->node, s->nodes[*found].node)) continue;
        if (reads_copies(s, r->node, s->nodes[*found].node) && link(s, i, (uint32_t)*found))
            r->swapped = look_swapped(s, r->node, s->nodes[*found].node);
    }
}

bool reroll_link(reroll *s, uint64_t anchor) {
    for (uint32_t i = 0; i < s->n; i++) {
        s->nodes[i].next = s->nodes[i].previous = REROLL_NONE;
        s->nodes[i].swapped = false;
    }
    if (!find_levels(s, anchor)) return false;
    link_levels(s);
    link_backward(s);
    link_forward(s);
    return true;
}
