/* Creating, linking and unlinking modules, graphs, regions, nodes and uses; see ir.h. */
#include "ir/ir.h"

#include "ir/base/assert.h"
#include "ir/base/vec.h"

/* A list that grows by one element at a time doubles, so that hostile files cost no quadratic time or memory. */
static bool needs_room(uint32_t n, uint32_t *cap) {
    if (n < *cap) return false;
    *cap = n < 4 ? 4 : 2 * n;
    return true;
}

/* ---- uses --------------------------------------------------------------------------------------------------- */

static void use_link(ir_use *u, ir_node *user, ir_value *v) {
    *u = (ir_use){.value = v, .user = user};
    if (!v) return;
    u->next = v->uses;
    if (u->next) u->next->prev = u;
    v->uses = u;
}

static void use_unlink(ir_use *u) {
    if (!u->value) return;
    if (u->prev)
        u->prev->next = u->next;
    else
        u->value->uses = u->next;
    if (u->next) u->next->prev = u->prev;
    u->value = NULL;
    u->prev = u->next = NULL;
}

/* The use moved in memory: its neighbours must point to the new place. */
static void use_relocated(ir_use *u) {
    if (!u->value) return;
    if (u->prev)
        u->prev->next = u;
    else
        u->value->uses = u;
    if (u->next) u->next->prev = u;
}

/* ---- modules, graphs, regions ------------------------------------------------------------------------------- */

ir_module *ir_module_create(ir_ctx *c, tl_arena *a) {
    ir_module *m = TL_NEW(a, ir_module);
    m->ctx = c;
    m->arena = a;
    m->opset = 27;
    tl_map_init(&m->const_by_hash, a);
    return m;
}

static ir_region *region_create(ir_module *m, ir_graph *g, ir_node *owner, const char *name) {
    ir_region *r = TL_NEW(m->arena, ir_region);
    r->name = name;
    r->owner = owner;
    r->graph = g;
    r->yield = ir_node_create(m, OP_Yield, NULL, 0, 0);
    r->yield->parent = r;
    return r;
}

ir_graph *ir_graph_create(ir_module *m, const char *name) {
    ir_graph *g = TL_NEW(m->arena, ir_graph);
    g->module = m;
    g->name = ir_name(m->ctx, name);
    g->body = region_create(m, g, NULL, NULL);
    ir_graph **last = &m->graphs;
    while (*last)
        last = &(*last)->next;
    *last = g;
    return g;
}

static ir_module *region_module(const ir_region *r) {
    return r->graph->module;
}

ir_value *ir_region_add_param(ir_region *r, const ir_type *type, const char *name) {
    ir_module *m = region_module(r);
    ir_value *v = TL_NEW(m->arena, ir_value);
    v->type = type;
    v->name = name ? ir_name(m->ctx, name) : NULL;
    v->region = r;
    v->index = r->n_params;
    tl_vec_grow(m->arena, (void **)&r->params, r->n_params, &r->params_cap, sizeof *r->params);
    r->params[r->n_params++] = v;
    return v;
}

void ir_region_remove_param(ir_region *r, uint32_t index) {
    TL_ASSERT(index < r->n_params && !r->params[index]->uses);
    for (uint32_t i = index + 1; i < r->n_params; i++) {
        r->params[i - 1] = r->params[i];
        r->params[i - 1]->index = i - 1;
    }
    r->n_params--;
}

void ir_region_add_result(ir_region *r, ir_value *v) {
    ir_node_add_operand(region_module(r), r->yield, v);
}

void ir_region_set_results(ir_region *r, ir_value *const *v, uint32_t n) {
    ir_node_drop_operands_from(r->yield, 0);
    ir_use *in = TL_NEW_ARRAY(region_module(r)->arena, ir_use, n);
    for (uint32_t i = 0; i < n; i++)
        use_link(&in[i], r->yield, v[i]);
    r->yield->in = in;
    r->yield->n_in = r->yield->in_cap = n;
}

bool ir_region_is_inside(const ir_region *r, const ir_region *outer) {
    for (; r; r = r->owner ? r->owner->parent : NULL)
        if (r == outer) return true;
    return false;
}

static ir_const *const_create(ir_module *m, const ir_tensor *t, const char *name) {
    ir_const *k = TL_NEW(m->arena, ir_const);
    k->value.type = t->type;
    k->value.tensor = t;
    k->value.name = name ? ir_name(m->ctx, name) : NULL;
    if (m->last_const)
        m->last_const->next = k;
    else
        m->consts = k;
    m->last_const = k;
    return k;
}

ir_value *ir_module_const(ir_module *m, const ir_tensor *t, const char *name) {
    for (uint64_t key = t->hash;; key++) {
        bool added;
        uint64_t *slot = tl_map_insert(&m->const_by_hash, key, &added);
        if (added) {
            ir_const *k = const_create(m, t, name);
            *slot = (uint64_t)(uintptr_t)k;
            return &k->value;
        }
        ir_const *old = (ir_const *)(uintptr_t)*slot;
        if (!ir_tensor_equal(old->value.tensor, t)) continue; /* a collision: probe on */
        if (!old->value.name && name) old->value.name = ir_name(m->ctx, name);
        return &old->value;
    }
}

/* Enters a constant known to be new. */
static void const_enter(ir_module *m, ir_const *k) {
    bool added = false;
    for (uint64_t key = k->value.tensor->hash; !added; key++) {
        uint64_t *slot = tl_map_insert(&m->const_by_hash, key, &added);
        if (added) *slot = (uint64_t)(uintptr_t)k;
    }
}

uint32_t ir_module_sweep_consts(ir_module *m) {
    uint32_t dropped = 0;
    ir_const **link = &m->consts, *last = NULL;
    for (ir_const *k = m->consts; k; k = k->next) {
        if (!k->value.uses) {
            dropped++;
            continue;
        }
        *link = last = k;
        link = &k->next;
    }
    *link = NULL;
    m->last_const = last;
    if (!dropped) return 0;
    tl_map_clear(&m->const_by_hash);
    for (ir_const *k = m->consts; k; k = k->next)
        const_enter(m, k);
    return dropped;
}

/* ---- nodes -------------------------------------------------------------------------------------------------- */

static void init_results(ir_node *n, ir_value *out, uint32_t n_out) {
    for (uint32_t i = 0; i < n_out; i++) {
        out[i].def = n;
        out[i].index = i;
    }
}

ir_node *ir_node_create(ir_module *m, op_id op, ir_value *const *in, uint32_t n_in,
                        uint32_t n_out) {
    ir_node *n = TL_NEW(m->arena, ir_node);
    n->op = op;
    n->n_in = n->in_cap = n_in;
    n->n_out = n_out;
    n->in = TL_NEW_ARRAY(m->arena, ir_use, n_in);
    n->out = TL_NEW_ARRAY(m->arena, ir_value, n_out);
    for (uint32_t i = 0; i < n_in; i++)
        use_link(&n->in[i], n, in[i]);
    init_results(n, n->out, n_out);
    return n;
}

/* Links n between its future neighbours in r. */
static void node_link(ir_region *r, ir_node *prev, ir_node *n, ir_node *next) {
    TL_ASSERT(!n->parent);
    n->parent = r;
    n->prev = prev;
    n->next = next;
    if (prev)
        prev->next = n;
    else
        r->first = n;
    if (next)
        next->prev = n;
    else
        r->last = n;
}

static void node_unlink(ir_node *n) {
    ir_region *r = n->parent;
    if (n->prev)
        n->prev->next = n->next;
    else
        r->first = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else
        r->last = n->prev;
    n->parent = NULL;
    n->prev = n->next = NULL;
}

void ir_node_append(ir_region *r, ir_node *n) {
    node_link(r, r->last, n, NULL);
}

void ir_node_insert_before(ir_node *at, ir_node *n) {
    if (at->op == OP_Yield)
        node_link(at->parent, at->parent->last, n, NULL);
    else
        node_link(at->parent, at->prev, n, at);
}

void ir_node_insert_after(ir_node *at, ir_node *n) {
    node_link(at->parent, at, n, at->next);
}

static void drop_region(ir_region *r) {
    ir_node_drop_operands_from(r->yield, 0);
    while (r->last) {
        ir_node *n = r->last;
        for (uint32_t i = 0; i < n->n_out; i++)
            TL_ASSERT(!n->out[i].uses);
        ir_node_remove(n);
    }
}

void ir_node_remove(ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++)
        TL_ASSERT(!n->out[i].uses);
    for (uint32_t i = 0; i < n->n_regions; i++)
        drop_region(n->regions[i]);
    ir_node_drop_operands_from(n, 0);
    if (n->parent) node_unlink(n);
}

void ir_node_move_before(ir_node *at, ir_node *n) {
    if (at == n) return;
    node_unlink(n);
    ir_node_insert_before(at, n);
}

static ir_graph *node_graph(ir_module *m, const ir_node *n) {
    return n->parent ? n->parent->graph : m->graphs;
}

ir_region *ir_node_add_region(ir_module *m, ir_node *n, const char *name) {
    ir_region **regions = TL_NEW_ARRAY(m->arena, ir_region *, n->n_regions + 1);
    if (n->n_regions) memcpy(regions, n->regions, n->n_regions * sizeof *regions);
    ir_region *r = region_create(m, node_graph(m, n), n, name ? ir_name(m->ctx, name) : NULL);
    regions[n->n_regions++] = r;
    n->regions = regions;
    return r;
}

ir_region *ir_node_find_region(const ir_node *n, const char *name) {
    for (uint32_t i = 0; i < n->n_regions; i++)
        if (n->regions[i]->name && strcmp(n->regions[i]->name, name) == 0) return n->regions[i];
    return NULL;
}

void ir_node_set_operand(ir_node *n, uint32_t i, ir_value *v) {
    TL_ASSERT(i < n->n_in);
    if (n->in[i].value == v) return;
    use_unlink(&n->in[i]);
    use_link(&n->in[i], n, v);
}

static void grow_operands(ir_module *m, ir_node *n) {
    ir_use *in = TL_NEW_ARRAY(m->arena, ir_use, n->in_cap);
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i];
        use_relocated(&in[i]);
    }
    n->in = in;
}

void ir_node_add_operand(ir_module *m, ir_node *n, ir_value *v) {
    if (needs_room(n->n_in, &n->in_cap)) grow_operands(m, n);
    use_link(&n->in[n->n_in++], n, v);
}

void ir_node_drop_operands_from(ir_node *n, uint32_t first) {
    for (uint32_t i = first; i < n->n_in; i++)
        use_unlink(&n->in[i]);
    if (first < n->n_in) n->n_in = first;
}

void ir_node_set_n_out(ir_module *m, ir_node *n, uint32_t n_out) {
    for (uint32_t i = n_out; i < n->n_out; i++)
        TL_ASSERT(!n->out[i].uses);
    if (n_out <= n->n_out) {
        n->n_out = n_out;
        return;
    }
    ir_value *out = TL_NEW_ARRAY(m->arena, ir_value, n_out);
    if (n->n_out) memcpy(out, n->out, n->n_out * sizeof *out);
    init_results(n, out, n_out);
    for (uint32_t i = 0; i < n->n_out; i++)
        ir_for_each_use (u, &out[i])
            u->value = &out[i];
    n->out = out;
    n->n_out = n_out;
}

uint32_t ir_new_mark(ir_ctx *c) {
    return ++c->mark;
}

uint32_t ir_region_count_nodes(const ir_region *r) {
    uint32_t count = 0;
    ir_for_each_node (n, r) {
        count++;
        for (uint32_t i = 0; i < n->n_regions; i++)
            count += ir_region_count_nodes(n->regions[i]);
    }
    return count;
}
