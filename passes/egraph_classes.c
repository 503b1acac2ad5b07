/* Classes and nodes of an e-graph: each node once (hash-consing), classes merged (union-find), congruence restored behind merges
 * (deferred: egraph_rebuild). See egraph.h.
 *
 * Merging two classes moves the uses of the younger one's value to the older one's, which has more of them as a rule. The nodes so
 * changed wait in `dirty`, for their place in the hash table is another one now; where an equal node is there already, the two
 * classes are one, and so on. */
#include "passes/egraph.h"

#include "ir/base/assert.h"

void egraph_init(egraph *g, pass_ctx *ctx, ir_region *r) {
    *g = (egraph){.ctx = ctx, .arena = ctx->scratch, .region = r, .mark = ir_new_mark(ctx->c)};
    g->nowhere = TL_NEW(g->arena, ir_region);
    g->nowhere->graph = r->graph;
    g->n_buckets = 1024;
    g->buckets = TL_NEW_ARRAY(g->arena, enode *, g->n_buckets);
    tl_map_init(&g->numbers, g->arena);
}

/* ---- classes -------------------------------------------------------------------------------------------------- */

eclass *eclass_find(egraph *g, uint32_t number) {
    eclass **all = g->classes.data;
    while (all[number]->parent != number) {
        all[number]->parent = all[all[number]->parent]->parent; /* half the way next time */
        number = all[number]->parent;
    }
    return all[number];
}

eclass *eclass_of(egraph *g, const enode *e) {
    return eclass_find(g, e->of);
}

static bool is_of_class(const egraph *g, const ir_value *v) {
    return v->mark == g->mark;
}

eclass *eclass_of_value(egraph *g, const ir_value *v) {
    TL_ASSERT(is_of_class(g, v));
    return eclass_find(g, (uint32_t)v->scratch);
}

static eclass *add_class(egraph *g, const ir_value *like) {
    eclass *k = TL_NEW(g->arena, eclass);
    k->value = TL_NEW(g->arena, ir_value);
    k->value->type = like->type;
    k->value->known = like->known;
    k->value->tensor = like->tensor;
    k->value->mark = g->mark;
    k->value->scratch = k->parent = g->classes.len;
    tl_vec_push(g->arena, &g->classes, k);
    return k;
}

eclass *eclass_of_outer(egraph *g, ir_value *v, uint32_t position) {
    bool added;
    uint64_t *slot = tl_map_insert(&g->numbers, (uint64_t)(uintptr_t)v, &added);
    if (!added) return eclass_find(g, (uint32_t)*slot);
    eclass *k = add_class(g, v);
    *slot = k->parent;
    k->leaf = v;
    k->leaf_position = position;
    k->constant = v->tensor && !v->tensor->opaque;
    return k;
}

/* ---- the hash table ------------------------------------------------------------------------------------------- */

static enode **bucket(const egraph *g, uint64_t hash) {
    return &g->buckets[hash & (g->n_buckets - 1)];
}

static void link_node(egraph *g, enode *e) {
    enode **at = bucket(g, e->hash);
    e->next_in_bucket = *at;
    *at = e;
}

static void unlink_node(egraph *g, enode *e) {
    enode **at = bucket(g, e->hash);
    while (*at != e)
        at = &(*at)->next_in_bucket;
    *at = e->next_in_bucket;
}

static void grow_table(egraph *g) {
    g->n_buckets *= 2;
    g->buckets = TL_NEW_ARRAY(g->arena, enode *, g->n_buckets);
    for (uint32_t i = 0; i < g->nodes.len; i++)
        if (!g->nodes.data[i]->gone) link_node(g, g->nodes.data[i]);
}

static enode *find_equal(const egraph *g, const ir_node *n, uint64_t hash) {
    for (enode *e = *bucket(g, hash); e; e = e->next_in_bucket)
        if (e->hash == hash && e->node != n && nodes_are_alike(e->node, n)) return e;
    return NULL;
}

/* ---- adding nodes --------------------------------------------------------------------------------------------- */

static void append_to_class(eclass *k, enode *e) {
    if (k->last)
        k->last->next_in_class = e;
    else
        k->first = e;
    k->last = e;
}

static enode *enter(egraph *g, ir_node *n, uint64_t hash) {
    enode *e = TL_NEW(g->arena, enode);
    eclass *k = add_class(g, &n->out[0]);
    *e = (enode){
        .node = n,
        .hash = hash,
        .of = k->parent,
        .id = g->nodes.len,
        .origin = g->origin,
    };
    n->scratch = (uint64_t)(uintptr_t)e;
    append_to_class(k, e);
    tl_vec_push(g->arena, &g->nodes, e);
    if (++g->n_live > g->n_buckets)
        grow_table(g);
    else
        link_node(g, e);
    return e;
}

/* Constants stand in operands as they are until now. */
static void replace_leaves(egraph *g, ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = ir_in(n, i);
        if (!v || is_of_class(g, v)) continue;
        ir_node_set_operand(n, i, eclass_of_outer(g, v, EGRAPH_OUTSIDE)->value);
    }
}

enode *egraph_add(egraph *g, ir_node *n) {
    if (!egraph_takes(n)) return NULL;
    replace_leaves(g, n);
    uint64_t hash = node_hash(n);
    enode *equal = find_equal(g, n, hash), *e = equal ? equal : enter(g, n, hash);
    ir_value_replace_uses(&n->out[0], eclass_of(g, e)->value);
    if (equal)
        ir_node_remove(n);
    else
        egraph_learn(g, e);
    return e;
}

/* ---- merging -------------------------------------------------------------------------------------------------- */

/* Of two names in the graph for one value the one that is there first. */
static void join_leaves(eclass *into, const eclass *from) {
    if (!from->leaf) return;
    if (into->leaf && into->leaf_position <= from->leaf_position &&
        (into->leaf->tensor || !from->leaf->tensor))
        return;
    into->leaf = from->leaf;
    into->leaf_position = from->leaf_position;
}

static void move_nodes(eclass *from, eclass *to) {
    if (!from->first) return;
    if (to->last)
        to->last->next_in_class = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    from->first = from->last = NULL;
}

/* Nodes that a rule has built and that are not entered yet need nothing. */
static void mark_users_dirty(egraph *g, const eclass *k) {
    ir_for_each_use (u, k->value)
        if (enode_of(u->user)) tl_vec_push(g->arena, &g->dirty, enode_of(u->user));
}

bool egraph_merge(egraph *g, eclass *a, eclass *b) {
    if (a == b || a->value->type != b->value->type) return false;
    eclass *to = eclass_number(a) < eclass_number(b) ? a : b, *from = to == a ? b : a;
    mark_users_dirty(g, from);
    if (from->constant != to->constant || from->value->tensor != to->value->tensor)
        mark_users_dirty(g, to);
    ir_value_replace_uses(from->value, to->value);
    from->parent = eclass_number(to);
    join_leaves(to, from);
    move_nodes(from, to);
    egraph_join(to, from);
    g->n_merged++;
    return true;
}

/* ---- congruence ----------------------------------------------------------------------------------------------- */

void enode_set_original(enode *e, ir_node *original, uint32_t position) {
    if (!original || (e->original && e->position <= position)) return;
    e->original = original;
    e->position = position;
}

static void remove_from_class(eclass *k, enode *e) {
    enode *before = NULL;
    for (enode *m = k->first; m != e; m = m->next_in_class)
        before = m;
    if (before)
        before->next_in_class = e->next_in_class;
    else
        k->first = e->next_in_class;
    if (k->last == e) k->last = before;
}

static void drop_node(egraph *g, enode *e, enode *kept) {
    e->gone = true;
    g->n_live--;
    enode_set_original(kept, e->original, e->position);
    remove_from_class(eclass_of(g, e), e);
    ir_node_remove(e->node);
}

static void repair(egraph *g, enode *e) {
    unlink_node(g, e);
    e->hash = node_hash(e->node);
    enode *equal = find_equal(g, e->node, e->hash);
    if (!equal) {
        link_node(g, e);
        if (egraph_learn(g, e)) mark_users_dirty(g, eclass_of(g, e));
        return;
    }
    eclass *k = eclass_of(g, e);
    drop_node(g, e, equal);
    egraph_merge(g, eclass_of(g, equal), k);
}

void egraph_rebuild(egraph *g) {
    while (g->dirty.len) {
        enode *e = g->dirty.data[--g->dirty.len];
        if (!e->gone) repair(g, e);
    }
}
