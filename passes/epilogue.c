/* See epilogue.h. The new node stands where the chain ended, so that all extras are there. */
#include "passes/epilogue.h"

#include "passes/match.h"
#include "passes/util.h"

bool chain_spans(const ir_type *v, const ir_type *t, int32_t from, int32_t to) {
    for (int32_t i = 0; i < t->rank; i++) {
        int32_t at = i - (t->rank - v->rank);
        bool one = at < 0 || ir_dim_is(v->dims[at], 1);
        bool full = at < 0 ? ir_dim_is(t->dims[i], 1) : ir_dim_equal(v->dims[at], t->dims[i]);
        if (i >= from && i < to ? !full : !one) return false;
    }
    return true;
}

static bool is_of_integers(const chain *k) {
    return ir_dtype_is_int(k->product->out[0].type->dtype);
}

/* Behind a product of floats the type stays; behind one of integers it may be any number's. */
static bool is_possible_result(const chain *k, const ir_type *t) {
    const ir_type *product = k->product->out[0].type;
    if (!is_of_integers(k)) return t == product;
    return same_dims(t, product) && (ir_dtype_is_float(t->dtype) || ir_dtype_is_int(t->dtype));
}

static bool can_read(const chain *k, const ir_value *v, const ir_type *t) {
    if (cluster_is_scalar_const(v)) return true;
    if (!ir_type_is_known(v->type) || v->type->rank > t->rank) return false;
    if (!is_of_integers(k) && v->type->dtype != t->dtype) return false;
    return chain_spans(v->type, t, 0, 0) || k->is_easy(v, t);
}

/* n applies to v, the newest of the chain, and can be its next node. */
static bool can_follow(const chain *k, const ir_node *n, const ir_value *v) {
    const ir_type *t = k->product->out[0].type;
    if (!op_is(n->op, OP_SCALAR) || n->n_out != 1 || n->parent != k->product->parent ||
        !is_possible_result(k, n->out[0].type))
        return false;
    if (!n->out[0].uses || k->n_extras + n->n_in - 1 > CHAIN_MAX_EXTRAS) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && ir_in(n, i) != v && !can_read(k, ir_in(n, i), t)) return false;
    return true;
}

void chain_follow(chain *k) {
    ir_value *v = &k->product->out[0];
    while (k->n < CHAIN_MAX) {
        ir_node *n = match_user(v);
        if (!n || !can_follow(k, n, v)) return;
        k->nodes[k->n++] = n;
        k->n_extras += n->n_in - 1;
        v = &n->out[0];
    }
}

static ir_node *last_node(const chain *k) {
    return k->n ? k->nodes[k->n - 1] : k->product;
}

cluster chain_begin(pass_ctx *ctx, const chain *k, op_id op) {
    return cluster_begin(ctx, op, last_node(k), "epilogue");
}

ir_node *chain_end(cluster *c, const chain *k) {
    ir_value *replaced = &last_node(k)->out[0],
             *acc = cluster_add_param(c, k->product->out[0].type);
    if (k->n) ir_value_replace_uses(&k->product->out[0], acc);
    for (uint32_t i = 0; i < k->n; i++)
        cluster_take(c, k->nodes[i]);
    ir_node *n = cluster_end(c, k->n ? replaced : acc, replaced);
    ir_node_remove(k->product);
    return n;
}

bool chain_fuse_all(pass_ctx *ctx, ir_region *r, bool (*fuse)(pass_ctx *ctx, ir_node *n)) {
    bool changed = false;
    for (ir_node *n = r->first, *next; n; n = next) {
        for (uint32_t i = 0; i < n->n_regions && !cluster_is_node(n); i++)
            changed = chain_fuse_all(ctx, n->regions[i], fuse) || changed;
        ir_node *prev = n->prev;
        bool here = fuse(ctx, n);
        next = !here ? n->next : prev ? prev->next : r->first;
        changed = changed || here;
    }
    return changed;
}
