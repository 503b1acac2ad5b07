/* cse: merge equal pure nodes, and read through Identity.
 *
 *   before:  %a = Add(%x, %y)         after:  %a = Add(%x, %y)
 *            %b = Add(%y, %x)                 users of %b and %c read %a
 *            %c = Identity(%b)
 *
 * One walk in order. Nodes are found by a hash of operator, operands and attributes; those with equal hash are chained through
 * node->scratch. A node of an outer region serves inner ones, never the other way round. Results whose types differ are left:
 * they carry names of data-dependent dimensions that others refer to. */
#include "ir/base/hash.h"
#include "passes/util.h"

typedef struct cse {
    pass_ctx *ctx;
    tl_map nodes; /* hash -> newest ir_node */
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

static uint64_t hash_node(const ir_node *n) {
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

static bool same_node(const ir_node *a, const ir_node *b) {
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attrs != b->n_attrs)
        return false;
    for (uint32_t i = 0; i < a->n_out; i++)
        if (a->out[i].type != b->out[i].type) return false;
    for (uint32_t i = 0; i < a->n_attrs; i++)
        if (!ir_attr_equal(&a->attrs[i], &b->attrs[i])) return false;
    return same_operands(a, b);
}

/* An earlier equal node whose results are visible from n; n is entered where there is none. */
static ir_node *find_or_add(cse *s, ir_node *n) {
    bool added;
    uint64_t *slot = tl_map_insert(&s->nodes, hash_node(n), &added);
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
        if (earlier) merge(s, n, earlier);
    }
}

pass_result pass_cse(pass_ctx *ctx, ir_graph *g) {
    cse s = {.ctx = ctx};
    tl_map_init(&s.nodes, ctx->scratch);
    cse_region(&s, g->body);
    return s.changed ? PASS_CHANGED : PASS_SAME;
}
