/* merge_heads: Attention (LocalAttention, too) takes over the splitting of rows into heads and their merging.
 *
 *   before:  %q4 = Reshape(%q, [B,T,H,h])           after:  %y = Attention<q_num_heads=H, kv_num_heads=H>(%q, %k, %v)
 *            %qt = Transpose<perm=[0,2,1,3]>(%q4)
 *            (the same for k and v)
 *            %a = Attention(%qt, %kt, %vt)
 *            %at = Transpose<perm=[0,2,1,3]>(%a)
 *            %y = Reshape(%at, [B,T,H*h])
 *
 * The 3-D form reads and writes rows of [B,T,H*h] as the products around it do: nothing is left to be moved. An operand may also be a
 * constant, which is rearranged now, one of several that come packed as [B,T,3*H*h] and are taken apart behind a Transpose to
 * [3,B,H,T,h] (then it is a part of the packed rows), or have one head or one row, where exchanging the axes moves nothing. All uses of the result must
 * exchange the axes. Attention with past keys, or whose scores are used, stays as it is. */
#include "ir/limits.h"
#include "passes/match.h"
#include "passes/util.h"

/* One of the axes that change places has extent 1. */
static bool swaps_nothing(const ir_type *t) {
    return ir_dim_is(t->dims[1], 1) || ir_dim_is(t->dims[2], 1);
}

/* [B,H,T,h] as one of `parts` of rows [B,T,parts*H*h]. */
typedef struct packed {
    ir_value *rows;
    int64_t index;
} packed;

/* v is element `index` along axis 0 of *from. */
static bool is_element(const ir_value *v, ir_value **from, int64_t *index) {
    ir_node *n = v->def;
    int64_t axis = 0, step = 1;
    if (!n || v->type->rank < 1 || !ir_dim_is(v->type->dims[0], 1)) return false;
    *from = ir_in(n, 0);
    *index = v->index;
    if (n->op == OP_Split) {
        for (uint32_t i = 0; i < n->n_out; i++)
            if (!ir_dim_is(n->out[i].type->dims[0], 1)) return false;
        return normal_axis(ir_attr_int(n, "axis", 0), v->type->rank) == 0;
    }
    if (n->op != OP_Slice || !ir_value_const_i64(ir_in(n, 1), index) || *index < 0) return false;
    if (ir_in(n, 3) && !ir_value_const_i64(ir_in(n, 3), &axis)) return false;
    return axis == 0 && (!ir_in(n, 4) || (ir_value_const_i64(ir_in(n, 4), &step) && step == 1));
}

/* v = one of Transpose<perm=[2,0,3,1,4]>(Reshape(rows, [B,T,parts,H,h])) */
static bool find_packed(const ir_value *v, packed *p) {
    static const int64_t unpack[] = {2, 0, 3, 1, 4};
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    ir_value *all;
    const ir_node *drop = v->def && is_reshape_like(v->def->op) ? v->def : NULL;
    const ir_type *one = drop ? ir_in(drop, 0)->type : NULL;
    if (!one || !ir_type_is_ranked(one) || one->rank != 5) return false;
    for (int32_t i = 0; i < 4; i++)
        if (!ir_dim_equal(one->dims[i + 1], v->type->dims[i])) return false;
    if (!is_element(ir_in(drop, 0), &all, &p->index)) return false;
    ir_node *transpose = match_def(all, OP_Transpose);
    if (!transpose || !get_perm(transpose, perm, &rank) || rank != 5) return false;
    ir_node *split = ir_in(transpose, 0)->def;
    if (memcmp(perm, unpack, sizeof unpack) != 0 || !split || !is_reshape_like(split->op))
        return false;
    const ir_type *rows = ir_in(split, 0)->type, *parts = split->out[0].type;
    p->rows = ir_in(split, 0);
    return ir_type_is_ranked(rows) && rows->rank == 3 &&
           ir_dim_equal(rows->dims[0], parts->dims[0]) &&
           ir_dim_equal(rows->dims[1], parts->dims[1]);
}

/* The number of heads and their width are constants: shapes can then be given by copying the others. */
static bool has_constant_heads(const ir_type *t) {
    return ir_type_is_ranked(t) && t->rank == 4 && ir_dim_is_const(t->dims[1], NULL) &&
           ir_dim_is_const(t->dims[3], NULL);
}

static bool can_merge_operand(const ir_value *v) {
    if (!has_constant_heads(v->type)) return false;
    packed p;
    return is_head_swap(v->def) || ir_value_is_const(v) || find_packed(v, &p) ||
           swaps_nothing(v->type);
}

/* Users that an earlier run left dead do not count. */
static bool can_merge_result(const ir_value *y) {
    bool used = false, no_swap = swaps_nothing(y->type);
    ir_for_each_use (u, y) {
        if (!no_swap && !is_head_swap(u->user)) return false;
        used = used || u->user->op == OP_Yield || u->user->out[0].uses;
    }
    return used;
}

static bool can_merge(const ir_node *n) {
    if ((n->op != OP_Attention && n->op != OP_LocalAttention) || n->n_out != 1) return false;
    for (uint32_t i = 4; i < n->n_in && n->op == OP_Attention; i++)
        if (ir_in(n, i)) return false;
    for (uint32_t i = 0; i < 3; i++)
        if (!can_merge_operand(ir_in(n, i))) return false;
    return has_constant_heads(n->out[0].type) && can_merge_result(&n->out[0]);
}

static int64_t dim_value(const ir_type *t, int32_t axis) {
    int64_t v = 0;
    ir_dim_is_const(t->dims[axis], &v);
    return v;
}

/* A dimension given as 0 is copied from v: lengths that only the data tells need no expression. */
static ir_value *reshape(ir_builder *b, ir_value *v, const int64_t *dims, uint32_t n) {
    return build_op2(b, OP_Reshape, v, build_i64s(b, dims, n));
}

static ir_value *build_part(ir_builder *b, const packed *p, int64_t width) {
    int64_t first = p->index * width, end = first + width, axis = 2;
    ir_value *in[] = {p->rows, build_i64s(b, &first, 1), build_i64s(b, &end, 1),
                      build_i64s(b, &axis, 1)};
    return &build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out[0];
}

/* [B,H,T,h] as [B,T,H*h] */
static ir_value *merge_operand(ir_builder *b, ir_value *v) {
    const ir_type *heads = v->type;
    const ir_dim *rows[] = {heads->dims[0], heads->dims[2],
                            ir_dim_mul(b->m->ctx, heads->dims[1], heads->dims[3])};
    int64_t width = dim_value(heads, 1) * dim_value(heads, 3);
    bool swapped = is_head_swap(v->def);
    packed p;
    if (find_packed(v, &p)) return build_part(b, &p, width);
    if (swapped) v = ir_in(v->def, 0);
    ir_node *split = v->def;
    if (split && is_reshape_like(split->op) &&
        ir_in(split, 0)->type == ir_type_tensor(b->m->ctx, heads->dtype, 3, rows))
        return ir_in(split, 0);
    if (!swapped && ir_dim_is(heads->dims[1], 1))
        return build_op2(b, OP_Squeeze, v, build_i64s(b, (int64_t[]){1}, 1));
    if (!swapped && ir_dim_is(heads->dims[2], 1)) return reshape(b, v, (int64_t[]){0, 1, width}, 3);
    if (!swapped) v = build_head_swap(b, v);
    return reshape(b, v, (int64_t[]){0, 0, width}, 3);
}

static ir_node *build_merged(ir_builder *b, ir_node *n) {
    enum { MAX_OPERANDS = 6, MAX_ATTRS = 12 };
    ir_value *in[MAX_OPERANDS];
    uint32_t n_in = n->op == OP_LocalAttention || n->n_in < 4 ? n->n_in : 4;
    for (uint32_t i = 0; i < n_in; i++)
        in[i] = i < 3 ? merge_operand(b, ir_in(n, i)) : ir_in(n, i);
    ir_attr attrs[MAX_ATTRS] = {
        {.name = "q_num_heads", .kind = ATTR_INT, .v.i = dim_value(ir_in(n, 0)->type, 1)},
        {.name = "kv_num_heads", .kind = ATTR_INT, .v.i = dim_value(ir_in(n, 1)->type, 1)}};
    uint32_t n_attrs = 2;
    for (uint32_t i = 0; i < n->n_attrs && n_attrs < MAX_ATTRS; i++)
        attrs[n_attrs++] = n->attrs[i];
    return build_node(b, n->op, in, n_in, 1, attrs, n_attrs);
}

/* [B,T,H*h] as the type t, which is [B,T,H,h], or [B,H,T,h] where H or T is 1 */
static ir_value *split_rows(ir_builder *b, ir_value *rows, const ir_type *t, bool swapped) {
    int64_t width = dim_value(t, 3);
    if (swapped) return reshape(b, rows, (int64_t[]){0, 0, dim_value(t, 2), width}, 4);
    if (ir_dim_is(t->dims[1], 1))
        return build_op2(b, OP_Unsqueeze, rows, build_i64s(b, (int64_t[]){1}, 1));
    return reshape(b, rows, (int64_t[]){0, dim_value(t, 1), 1, width}, 4);
}

/* What reads v as rows reads `rows`; everything else a Reshape of it. */
static void replace_result(pass_ctx *ctx, ir_builder *b, ir_value *v, ir_value *rows,
                           bool swapped) {
    bool other = false;
    ir_for_each_use (u, v) {
        bool merges = is_reshape_like(u->user->op) && u->user->out[0].type == rows->type;
        if (merges && u->user->out[0].uses) pass_replace(ctx, &u->user->out[0], rows);
        other = other || !merges;
    }
    if (other) pass_replace(ctx, v, split_rows(b, rows, v->type, swapped));
}

static pass_result merge_heads_node(pass_ctx *ctx, ir_node *n) {
    if (!can_merge(n) || !ctx_take(ctx, "merged")) return PASS_SAME;
    ir_builder b = ir_build_before(n);
    ir_value *y = &n->out[0], *rows = &build_merged(&b, n)->out[0];
    if (swaps_nothing(y->type)) {
        replace_result(ctx, &b, y, rows, false);
        return PASS_CHANGED;
    }
    ir_for_each_use (u, y)
        if (u->user->out[0].uses) replace_result(ctx, &b, &u->user->out[0], rows, true);
    return PASS_CHANGED;
}

pass_result pass_merge_heads(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, merge_heads_node);
}
