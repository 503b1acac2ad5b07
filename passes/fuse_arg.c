/* fuse_arg: where only the position of the best in each row of a product is wanted, the product is not written.
 *
 *   before:  %s = MatMul(%x, @codes)                        f32[1536,8192]
 *            %d = Add(%s, @norms)
 *            %i = ArgMin<axis=-1, keepdims=0>(%d)           after:  %i = MatMulArg<largest=0, last=0>(%x, @codes, @norms) {
 *                                                                     epilogue(%0, %1) { %d = Add(%1, %0)  yield %d }
 *                                                                   }
 *
 * MatMulArg(A, B, extras...): the product as MatMul's, the region "epilogue" on it and the extras, and of each row of that the position
 * of the smallest (or largest) element, the first (or last) of equals, NaN before all. The kernel keeps a running best for each row. That
 * saves the writing and reading of rows x columns floats and their memory; the multiply-adds stay.
 *
 * Left alone: few rows, where threads share the columns, and few columns. */
#include "passes/epilogue.h"
#include "passes/match.h"
#include "passes/util.h"

enum { MIN_ROWS = 48, MIN_COLUMNS = 64, MAX_BATCH = 128 };

/* v can be read beside one product of a batch. */
static bool is_alongside(const ir_value *v, const ir_type *t) {
    for (int32_t i = 0; i < v->type->rank; i++) {
        const ir_dim *d = v->type->dims[i], *whole = t->dims[t->rank - v->type->rank + i];
        if (!ir_dim_is(d, 1) && !ir_dim_equal(d, whole)) return false;
    }
    return true;
}

/* All of [..., M, N], a row [N], a column [..., M, 1]: what lies evenly where all of M... are rows of one product. */
static bool is_beside_rows(const ir_value *v, const ir_type *t) {
    int32_t last = t->rank - 1;
    return chain_spans(v->type, t, 0, t->rank) || chain_spans(v->type, t, last, t->rank) ||
           chain_spans(v->type, t, 0, last);
}

/* One matrix, or one for each of a few leading indices of a. */
static bool has_few_matrices(const ir_type *a, const ir_type *b) {
    int64_t batch = 1;
    if (b->rank == 2) return true;
    for (int32_t i = 0; i < a->rank - 2; i++) {
        int32_t at = i - (a->rank - b->rank);
        int64_t size;
        if (!ir_dim_is_const(a->dims[i], &size) || size < 1 || size > MAX_BATCH) return false;
        if (at >= 0 && !ir_dim_equal(b->dims[at], a->dims[i]) && !ir_dim_is(b->dims[at], 1))
            return false;
        batch *= size;
        if (batch > MAX_BATCH) return false;
    }
    return true;
}

static bool is_large(const ir_type *a, const ir_type *b) {
    int64_t depth, columns, rows = 1, size;
    if (!ir_dim_is_const(b->dims[b->rank - 2], &depth) ||
        !ir_dim_is_const(b->dims[b->rank - 1], &columns) || depth < 1)
        return false;
    for (int32_t i = b->rank == 2 ? 0 : a->rank - 2; i < a->rank - 1; i++) {
        if (!ir_dim_is_const(a->dims[i], &size))
            rows = MIN_ROWS;
        else if (rows < MIN_ROWS || size == 0)
            rows *= size;
    }
    return rows >= MIN_ROWS && columns >= MIN_COLUMNS && columns <= INT32_MAX;
}

static bool is_possible_product(const ir_node *n) {
    if (n->op != OP_MatMul || !n->out[0].uses) return false;
    const ir_type *a = ir_in(n, 0)->type, *b = ir_in(n, 1)->type, *y = n->out[0].type;
    if (!ir_type_is_known(a) || !ir_type_is_known(b) || !ir_type_is_known(y)) return false;
    if (a->dtype != DT_f32 || a->rank < 2 || b->rank < 2 || y->rank != a->rank) return false;
    for (int32_t i = 0; i < a->rank - 1; i++)
        if (!ir_dim_equal(a->dims[i], y->dims[i])) return false;
    return has_few_matrices(a, b) && is_large(a, b);
}

/* The node that alone reads the end of the chain, where that takes the best along the last axis. */
static ir_node *find_arg(const chain *k) {
    ir_node *last = k->n ? k->nodes[k->n - 1] : k->product, *n = match_user(&last->out[0]);
    if (!n || (n->op != OP_ArgMax && n->op != OP_ArgMin) || n->parent != last->parent) return NULL;
    int64_t axis = ir_attr_int(n, "axis", 0);
    if (axis != -1 && axis != last->out[0].type->rank - 1) return NULL;
    return type_is_computable(n->parent->graph, n->out[0].type) ? n : NULL;
}

static void build(pass_ctx *ctx, const chain *k, ir_node *arg) {
    cluster c = chain_begin(ctx, k, OP_MatMulArg);
    ir_attr_set_int(ctx->m, c.node, "largest", arg->op == OP_ArgMax);
    ir_attr_set_int(ctx->m, c.node, "last", ir_attr_int(arg, "select_last_index", 0));
    cluster_add_operand(&c, ir_in(k->product, 0));
    cluster_add_operand(&c, ir_in(k->product, 1));
    ir_value *found = &chain_end(&c, k)->out[0];
    found->name = NULL;
    ir_builder b = ir_build_before(arg);
    const ir_value *old = &arg->out[0];
    if (old->type->rank > found->type->rank) found = build_reshape_to(&b, found, old->type);
    pass_replace(ctx, &arg->out[0], found);
    ir_node_remove(arg);
}

static bool fuse(pass_ctx *ctx, ir_node *n) {
    if (!is_possible_product(n)) return false;
    bool one_matrix = ir_in(n, 1)->type->rank == 2;
    chain k = {.product = n, .is_easy = one_matrix ? is_beside_rows : is_alongside};
    chain_follow(&k);
    ir_node *arg = find_arg(&k);
    if (!arg || !ctx_take(ctx, "products")) return false;
    build(ctx, &k, arg);
    return true;
}

pass_result pass_fuse_arg(pass_ctx *ctx, ir_graph *g) {
    return chain_fuse_all(ctx, g->body, fuse) ? PASS_CHANGED : PASS_SAME;
}
