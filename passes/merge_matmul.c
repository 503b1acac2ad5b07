/* merge_matmul: products of one value with several constant matrices become one product (Q, K and V of a layer).
 *
 *   before:  %q = MatMul(%x, @wq)         after:  %m = MatMul(%x, @w)              @w = [@wq @wk], @b = [@bq @bk]
 *            %k = MatMul(%x, @wk)                 %s = Add(%m, @b)
 *            %p = Add(%q, @bq)                    %p, %l = Split<axis=-1>(%s, @sizes)
 *            %l = Add(%k, @bk)
 *
 * The parts are views of the product's columns. A bias belongs to its product; where some have none they get one of -0, which changes no
 * bit. Products that elementwise operators follow are left: fuse_matmul computes those in the product's tiles, which a merged product
 * could not. The first product's place is taken, where the common operand is known already. */
#include "ir/base/hash.h"
#include "ir/base/vec.h"
#include "passes/match.h"
#include "passes/util.h"

#include <stdlib.h>

enum { MAX_PARTS = 64 };

typedef struct part {
    ir_node *product, *add; /* add may be NULL */
    ir_value *weight, *bias;
    ir_value *end; /* what is replaced */
    int64_t columns;
} part;

typedef struct merge {
    part parts[MAX_PARTS];
    uint32_t n;
} merge;

typedef struct merger {
    pass_ctx *ctx;
    tl_map
        weights; /* hash of the list of constants -> joined constant: unrolled models repeat the same ones */
} merger;

static bool is_matrix(const ir_value *w) {
    if (!ir_value_is_const(w) || w->tensor->opaque || w->type->rank != 2) return false;
    return w->type->dtype == DT_f32 || w->type->dtype == DT_f64;
}

/* v adds one constant row to the product: that row. */
static ir_value *bias_of(const ir_node *add, const ir_value *product, int64_t columns) {
    ir_value *bias = ir_in(add, ir_in(add, 0) == product ? 1 : 0);
    if (!ir_value_is_const(bias) || bias->tensor->opaque || add->out[0].type != product->type)
        return NULL;
    int32_t rank = bias->type->rank;
    return rank > 0 && ir_dim_is(bias->type->dims[rank - 1], columns) &&
                   ir_tensor_elements(bias->tensor) == (size_t)columns
               ? bias
               : NULL;
}

/* The value's only reader would become part of the product's epilogue. */
static bool has_epilogue(const ir_value *v) {
    const ir_node *user = match_user(v);
    return user && op_is(user->op, OP_SCALAR) && user->out[0].type == v->type;
}

static bool read_part(ir_node *n, part *p) {
    if (n->op != OP_MatMul || !n->out[0].uses || !is_matrix(ir_in(n, 1)) ||
        !ir_type_is_known(n->out[0].type))
        return false;
    *p = (part){.product = n, .weight = ir_in(n, 1), .end = &n->out[0]};
    ir_dim_is_const(p->weight->type->dims[1], &p->columns);
    ir_node *user = match_user(p->end);
    if (user && user->op == OP_Add && user->parent == n->parent)
        p->bias = bias_of(user, p->end, p->columns);
    if (p->bias) {
        p->add = user;
        p->end = &user->out[0];
    }
    return p->end->uses && !has_epilogue(p->end);
}

static int compare_parts(const void *a, const void *b) {
    uint64_t x = ((const part *)a)->product->scratch, y = ((const part *)b)->product->scratch;
    return x < y ? -1 : x > y;
}

/* All products of n's left operand in its region that can be one with n; n is the first of them. */
static bool collect(ir_node *n, merge *m) {
    part own;
    m->n = 0;
    if (!read_part(n, &own)) return false;
    ir_for_each_use (u, ir_in(n, 0)) {
        if (u->user->parent != n->parent || u != &u->user->in[0] || m->n == MAX_PARTS ||
            !read_part(u->user, &m->parts[m->n]))
            continue;
        if (m->parts[m->n].weight->type->dtype == own.weight->type->dtype &&
            u->user->scratch >= n->scratch)
            m->n++;
    }
    qsort(m->parts, m->n, sizeof *m->parts, compare_parts);
    return m->n > 1;
}

/* ---- joining constants ------------------------------------------------------------------------------------------- */

static int64_t total_columns(const merge *m) {
    int64_t columns = 0;
    for (uint32_t i = 0; i < m->n; i++)
        columns += m->parts[i].columns;
    return columns;
}

static void copy_columns(ir_tensor *to, int64_t at, int64_t columns, const ir_tensor *from,
                         int64_t own) {
    size_t size = ir_dtype_bits(to->type->dtype) / 8, rows = ir_tensor_elements(from) / (size_t)own;
    for (size_t r = 0; r < rows; r++) {
        char *row = (char *)ir_tensor_data(to) + (r * (size_t)columns + (size_t)at) * size;
        memcpy(row, (const char *)from->data + r * (size_t)own * size, (size_t)own * size);
    }
}

static void fill_minus_zero(ir_tensor *t, int64_t at, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        ir_tensor_set_f64(t, (size_t)(at + i), -0.0);
}

/* The parts' weights side by side, or their biases in a row. */
static ir_value *join(merger *s, const merge *m, bool bias, const ir_type *t) {
    int64_t at = 0, columns = total_columns(m);
    ir_tensor *joined = ir_tensor_alloc(s->ctx->m->arena, t);
    for (uint32_t i = 0; i < m->n; at += m->parts[i++].columns) {
        const ir_value *v = bias ? m->parts[i].bias : m->parts[i].weight;
        if (v)
            copy_columns(joined, at, columns, v->tensor, m->parts[i].columns);
        else
            fill_minus_zero(joined, at, m->parts[i].columns);
    }
    ir_tensor_seal(joined);
    return ir_module_const(s->ctx->m, joined, NULL);
}

/* The same list of weights gives the same value without being joined again. */
static ir_value *join_weights(merger *s, const merge *m, const ir_type *t) {
    uint64_t key = 0;
    for (uint32_t i = 0; i < m->n; i++)
        key = tl_hash_mix(key, m->parts[i].weight->tensor->hash);
    bool added;
    uint64_t *slot = tl_map_insert(&s->weights, key, &added);
    if (added) *slot = (uint64_t)(uintptr_t)join(s, m, false, t);
    ir_value *joined = (ir_value *)(uintptr_t)*slot;
    return joined->type == t ? joined : join(s, m, false, t);
}

/* ---- building -------------------------------------------------------------------------------------------------- */

static ir_value *build_product(merger *s, ir_builder *b, const merge *m) {
    ir_ctx *c = s->ctx->c;
    const ir_type *w = m->parts[0].weight->type;
    const ir_dim *dims[] = {w->dims[0], ir_dim_const(c, total_columns(m))};
    ir_value *y = build_op2(b, OP_MatMul, ir_in(m->parts[0].product, 0),
                            join_weights(s, m, ir_type_tensor(c, w->dtype, 2, dims)));
    bool biased = false;
    for (uint32_t i = 0; i < m->n; i++)
        biased = biased || m->parts[i].bias;
    if (biased) {
        y->name = ir_name_derive(b->m, m->parts[0].end, "product");
        y = build_op2(b, OP_Add, y, join(s, m, true, ir_type_tensor(c, w->dtype, 1, dims + 1)));
    }
    y->name = ir_name_derive(b->m, m->parts[0].end, "merged");
    return y;
}

static void remove_part(const part *p) {
    if (p->add) ir_node_remove(p->add);
    ir_node_remove(p->product);
}

static void build(merger *s, const merge *m) {
    ir_builder b = ir_build_before(m->parts[0].product);
    int64_t sizes[MAX_PARTS];
    for (uint32_t i = 0; i < m->n; i++)
        sizes[i] = m->parts[i].columns;
    ir_value *in[] = {build_product(s, &b, m), build_i64s(&b, sizes, m->n)};
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = -1};
    ir_node *split = build_node(&b, OP_Split, in, 2, m->n, &axis, 1);
    for (uint32_t i = 0; i < m->n; i++) {
        pass_replace(s->ctx, m->parts[i].end, &split->out[i]);
        remove_part(&m->parts[i]);
    }
}

static bool merge_region(merger *s, ir_region *r) {
    bool changed = false;
    uint64_t place = 0;
    ir_for_each_node (n, r)
        n->scratch = place++;
    for (ir_node *n = r->first, *next; n; n = next) {
        next = n->next;
        for (uint32_t i = 0; i < n->n_regions; i++)
            changed = merge_region(s, n->regions[i]) || changed;
        merge m;
        if (n->op != OP_MatMul || !collect(n, &m) || !ctx_take(s->ctx, "merged")) continue;
        ir_node *before = n->prev;
        build(s, &m);
        next = before ? before->next : r->first;
        changed = true;
    }
    return changed;
}

pass_result pass_merge_matmul(pass_ctx *ctx, ir_graph *g) {
    merger s = {.ctx = ctx};
    tl_map_init(&s.weights, ctx->scratch);
    return merge_region(&s, g->body) ? PASS_CHANGED : PASS_SAME;
}
