/* cse: merge equal pure nodes, and read through Identity.
 *
 *   before:  %a = Add(%x, %y)         after:  %a = Add(%x, %y)
 *            %b = Add(%y, %x)                 users of %b and %c read %a
 *            %c = Identity(%b)
 *
 * and values of shape arithmetic whose contents are known to be the same, whatever computes them:
 *
 *   before:  %n = Gather(Shape(%x), @zero)             after:  users of %k read %n
 *            %k = Gather(Shape(%y), @zero)                      // x: f32[N,4], y: f32[N,8]
 *
 * One walk in order. Nodes are found by a hash of operator, operands and attributes; those with equal hash are chained through
 * node->scratch. A node of an outer region serves inner ones, never the other way round. Results whose types differ are left:
 * they carry names of data-dependent dimensions that others refer to. */
#include "ir/base/hash.h"
#include "passes/util.h"

typedef struct cse {
    pass_ctx *ctx;
    tl_map nodes;    /* hash -> newest ir_node */
    tl_map contents; /* hash of known contents -> newest ir_value, chained through value->scratch */
    bool changed;
} cse;

static uint64_t operand_hash(const ir_node *n, uint32_t i) {
    return tl_hash_bytes(0, &n->in[i].value, sizeof n->in[i].value);
}

/* The first two operands of a commutative operator count in either order. */
static uint64_t hash_operands(uint64_t h, const ir_node *n) {
    uint32_t first = 0;
    if (op_is(n->op, OP_COMMUTES) && n->n_in >= 2) {
        h = tl_hash_mix(h, operand_hash(n, 0) + operand_hash(n, 1));
        first = 2;
    }
    for (uint32_t i = first; i < n->n_in; i++)
        h = tl_hash_mix(h, operand_hash(n, i));
    return h;
}

uint64_t node_hash(const ir_node *n) {
    uint64_t h = tl_hash_mix(n->op, ((uint64_t)n->n_in << 32) | n->n_out);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        h = tl_hash_mix(h, (uint64_t)(uintptr_t)n->attrs[i].name);
        if (n->attrs[i].kind == ATTR_INT) h = tl_hash_mix(h, (uint64_t)n->attrs[i].v.i);
    }
    return hash_operands(h, n);
}

static bool same_operands(const ir_node *a, const ir_node *b) {
    uint32_t first = 0;
    if (op_is(a->op, OP_COMMUTES) && a->n_in >= 2 && a->in[0].value == b->in[1].value &&
        a->in[1].value == b->in[0].value)
        first = 2;
    for (uint32_t i = first; i < a->n_in; i++)
        if (a->in[i].value != b->in[i].value) return false;
    return true;
}

bool nodes_are_alike(const ir_node *a, const ir_node *b) {
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attrs != b->n_attrs)
        return false;
    for (uint32_t i = 0; i < a->n_attrs; i++)
        if (!ir_attr_equal(&a->attrs[i], &b->attrs[i])) return false;
    return same_operands(a, b);
}

static bool same_node(const ir_node *a, const ir_node *b) {
    if (!nodes_are_alike(a, b)) return false;
    for (uint32_t i = 0; i < a->n_out; i++)
        if (a->out[i].type != b->out[i].type) return false;
    return true;
}

/* An earlier equal node whose results are visible from n; n is entered where there is none. */
static ir_node *find_or_add(cse *s, ir_node *n) {
    bool added;
    uint64_t *slot = tl_map_insert(&s->nodes, node_hash(n), &added);
    for (ir_node *e = (ir_node *)(uintptr_t)*slot; e; e = (ir_node *)(uintptr_t)e->scratch)
        if (same_node(e, n) && ir_region_is_inside(n->parent, e->parent)) return e;
    n->scratch = *slot;
    *slot = (uint64_t)(uintptr_t)n;
    return NULL;
}

static void merge(cse *s, ir_node *n, ir_node *into) {
    if (!ctx_take(s->ctx, "merged")) return;
    for (uint32_t i = 0; i < n->n_out; i++)
        pass_replace(s->ctx, &n->out[i], &into->out[i]);
    ir_node_remove(n);
    s->changed = true;
}

static void drop_identity(cse *s, ir_node *n) {
    if (!ctx_take(s->ctx, "identity")) return;
    pass_replace(s->ctx, &n->out[0], n->in[0].value);
    ir_node_remove(n);
    s->changed = true;
}

/* ---- by contents -------------------------------------------------------------------------------------------- */

/* A small integer tensor all of whose elements are known as expressions. */
static bool has_contents(const ir_value *v) {
    if (!v->known || !ir_type_is_static(v->type)) return false;
    for (uint32_t i = 0; i < v->known->n; i++)
        if (ir_dim_is_unknown(v->known->dims[i])) return false;
    return v->known->n > 0;
}

static uint64_t hash_contents(const ir_value *v) {
    uint64_t h = (uint64_t)(uintptr_t)v->type;
    for (uint32_t i = 0; i < v->known->n; i++)
        h = tl_hash_mix(h, (uint64_t)(uintptr_t)v->known->dims[i]);
    return h;
}

static bool same_contents(const ir_value *a, const ir_value *b) {
    if (a->type != b->type || a->known->n != b->known->n) return false;
    for (uint32_t i = 0; i < a->known->n; i++)
        if (!ir_dim_equal(a->known->dims[i], b->known->dims[i])) return false;
    return true;
}

static ir_value *find_contents_or_add(cse *s, ir_value *v) {
    uint64_t *slot = tl_map_insert(&s->contents, hash_contents(v), NULL);
    for (ir_value *e = (ir_value *)(uintptr_t)*slot; e; e = (ir_value *)(uintptr_t)e->scratch)
        if (same_contents(e, v) && ir_region_is_inside(v->def->parent, e->def->parent)) return e;
    v->scratch = *slot;
    *slot = (uint64_t)(uintptr_t)v;
    return NULL;
}

static void merge_contents(cse *s, ir_node *n) {
    if (n->n_out != 1 || !has_contents(&n->out[0])) return;
    ir_value *earlier = find_contents_or_add(s, &n->out[0]);
    if (!earlier || !n->out[0].uses || !ctx_take(s->ctx, "contents")) return;
    pass_replace(s->ctx, &n->out[0], earlier);
    ir_node_remove(n);
    s->changed = true;
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

static void cse_region(cse *s, ir_region *r) {
    ir_for_each_node_safe (n, r) {
        for (uint32_t i = 0; i < n->n_regions; i++)
            cse_region(s, n->regions[i]);
        if (n->op == OP_Identity) {
            drop_identity(s, n);
            continue;
        }
        if (!op_is(n->op, OP_PURE) || n->n_regions) continue;
        ir_node *earlier = find_or_add(s, n);
        if (earlier)
            merge(s, n, earlier);
        else
            merge_contents(s, n);
    }
}

pass_result pass_cse(pass_ctx *ctx, ir_graph *g) {
    cse s = {.ctx = ctx};
    tl_map_init(&s.nodes, ctx->scratch);
    tl_map_init(&s.contents, ctx->scratch);
    cse_region(&s, g->body);
    return s.changed ? PASS_CHANGED : PASS_SAME;
}
