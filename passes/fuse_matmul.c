/* fuse_matmul: products with a constant matrix, and what follows them, become MatMulPacked.
 *
 *   before:  %p = MatMul(%x, @w)              after:  %y = MatMulPacked<n=256>(%x, @w, @b, %r) {
 *            %s = Add(%p, @b)                           epilogue(%0, %1, %2) { %s = Add(%0, %1)  %y.inner = Add(%s, %2)  yield %y.inner }
 *            %y = Add(%s, %r)                         }
 *
 * MatMulPacked(A, W, extras...): A[..., K] times W[K, N] (pack_weights changes W to the kernel's layout), then the region "epilogue" on
 * the product and the extras. The region takes the chain of elementwise operators behind the product as long as each value has one
 * reader and keeps the product's type. Other operands of the chain must be easy to read beside a tile of the product: one element, a
 * row [N], a column [..., M, 1] or all of [..., M, N]. The new node stands where the chain ended, so that all extras are there. */
#include "passes/cluster.h"
#include "passes/match.h"
#include "passes/util.h"

enum { MAX_CHAIN = 16, MAX_EXTRAS = 12 };

typedef struct chain {
    ir_node *product;
    ir_node *nodes[MAX_CHAIN];
    uint32_t n, n_extras;
} chain;

/* dims of v are those of t in axes [from, to) and 1 elsewhere. */
static bool spans(const ir_type *v, const ir_type *t, int32_t from, int32_t to) {
    for (int32_t i = 0; i < t->rank; i++) {
        int32_t at = i - (t->rank - v->rank);
        bool one = at < 0 || ir_dim_is(v->dims[at], 1);
        bool full = at < 0 ? ir_dim_is(t->dims[i], 1) : ir_dim_equal(v->dims[at], t->dims[i]);
        if (i >= from && i < to ? !full : !one) return false;
    }
    return true;
}

static bool is_easy_extra(const ir_value *v, const ir_type *t) {
    if (cluster_is_scalar_const(v)) return true;
    if (!ir_type_is_known(v->type) || v->type->rank > t->rank || v->type->dtype != t->dtype)
        return false;
    int32_t last = t->rank - 1;
    return spans(v->type, t, 0, t->rank) || spans(v->type, t, last, t->rank) ||
           spans(v->type, t, 0, last) || spans(v->type, t, 0, 0);
}

/* n applies to v, the newest of the chain, and can be its next node. */
static bool can_follow(const chain *k, const ir_node *n, const ir_value *v) {
    const ir_type *t = k->product->out[0].type;
    if (!op_is(n->op, OP_SCALAR) || n->n_out != 1 || n->parent != k->product->parent ||
        n->out[0].type != t)
        return false;
    if (!n->out[0].uses || k->n_extras + n->n_in - 1 > MAX_EXTRAS) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && ir_in(n, i) != v && !is_easy_extra(ir_in(n, i), t)) return false;
    return true;
}

static void follow(chain *k) {
    ir_value *v = &k->product->out[0];
    while (k->n < MAX_CHAIN) {
        ir_node *n = match_user(v);
        if (!n || !can_follow(k, n, v)) return;
        k->nodes[k->n++] = n;
        k->n_extras += n->n_in - 1;
        v = &n->out[0];
    }
}

/* The weight as a matrix; NULL where it is no constant that can be packed. */
static ir_value *find_weight(pass_ctx *ctx, const ir_node *n) {
    ir_value *w = ir_in(n, 1);
    const ir_type *a = ir_in(n, 0)->type, *t = w->type;
    if (!ir_value_is_const(w) || w->tensor->opaque || !ir_type_is_ranked(a) || a->rank < 2 ||
        !ir_type_is_known(n->out[0].type))
        return NULL;
    if (t->dtype != DT_f32 || t->rank < 2 || t->rank > a->rank) return NULL;
    for (int32_t i = 0; i < t->rank - 2; i++)
        if (!ir_dim_is(t->dims[i], 1)) return NULL;
    if (t->rank == 2) return w;
    const ir_type *matrix = ir_type_tensor(ctx->c, t->dtype, 2, t->dims + t->rank - 2);
    return ir_module_const(ctx->m, ir_tensor_create(ctx->m->arena, matrix, w->tensor->data),
                           w->name);
}

static void build(pass_ctx *ctx, const chain *c, ir_value *weight) {
    ir_node *product = c->product, *last = c->n ? c->nodes[c->n - 1] : product;
    int64_t columns = 0;
    ir_dim_is_const(weight->type->dims[1], &columns);
    cluster k = cluster_begin(ctx, OP_MatMulPacked, last, "epilogue");
    ir_attr_set_int(ctx->m, k.node, "n", columns);
    cluster_add_operand(&k, ir_in(product, 0));
    cluster_add_operand(&k, weight);
    ir_value *replaced = &last->out[0], *acc = cluster_add_param(&k, replaced->type);
    if (c->n) ir_value_replace_uses(&product->out[0], acc);
    for (uint32_t i = 0; i < c->n; i++)
        cluster_take(&k, c->nodes[i]);
    cluster_end(&k, c->n ? replaced : acc, replaced);
    ir_node_remove(product);
}

static bool fuse_product(pass_ctx *ctx, ir_node *n) {
    chain k = {.product = n};
    ir_value *weight = n->op == OP_MatMul && n->out[0].uses ? find_weight(ctx, n) : NULL;
    if (!weight || !ctx_take(ctx, "products")) return false;
    follow(&k);
    ctx_count(ctx, "epilogue nodes", k.n);
    build(ctx, &k, weight);
    return true;
}

static bool fuse_region(pass_ctx *ctx, ir_region *r) {
    bool changed = false;
    for (ir_node *n = r->first, *next; n; n = next) {
        for (uint32_t i = 0; i < n->n_regions && !cluster_is_node(n); i++)
            changed = fuse_region(ctx, n->regions[i]) || changed;
        ir_node *prev = n->prev;
        bool here = fuse_product(ctx, n);
        next = !here ? n->next : prev ? prev->next : r->first;
        changed = changed || here;
    }
    return changed;
}

pass_result pass_fuse_matmul(pass_ctx *ctx, ir_graph *g) {
    return fuse_region(ctx, g->body) ? PASS_CHANGED : PASS_SAME;
}
