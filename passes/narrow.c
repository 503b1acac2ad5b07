/* narrow: of a value of which only a part is read, only that part is computed.
 *
 *   before:  %h = Add(%x, %r)                          after:  %xs = Slice(%x, 0, 1, axis 1)
 *            %n = LayerNormalization(%h, @g)                   %rs = Slice(%r, 0, 1, axis 1)
 *            %y = MatMul(%n, @w)                               %hs = Add(%xs, %rs)
 *            %s = Slice(%y, 0, 1, axis 1)                      %ns = LayerNormalization(%hs, @g)
 *                                                              %s = MatMul(%ns, @w)
 *
 * A classifier that reads the class token computes queries, products and the feed-forward part of the last layer for that one row; keys
 * and values still need all. A Slice along one axis moves in front of the node whose result it alone reads, if an element of the result
 * needs just the elements at its own place along that axis: rows of products and normalisations, queries of Attention, all that is
 * elementwise. Nodes are looked at from the last to the first, and equal Slices of one value are one Slice, so that the two branches of a
 * residual meet again.
 *
 * One product that makes queries, keys and values side by side is taken apart where the queries are narrowed: its parts along the last
 * axis are products with parts of the matrix, a constant. Keys and values become one product again (merge_matmul).
 *
 * The first rows may be as many as only the run knows (trim_padding): Slice(%y, 0, %k) where %k is known to hold a size. Attention then
 * reads just the keys that its mask shows, where the mask ends at the same %k. An index out of range in a row that nobody reads is no
 * error any more.
 *
 * Bits stay: every element that is left is computed as before. The work never grows: a node is narrowed only where nobody else reads it.
 * Left alone: several Slices of one value that overlap, causal Attention, what mixes positions along the axis. */
#include "passes/narrow.h"
#include "ir/base/assert.h"
#include "ir/limits.h"
#include "passes/match.h"
#include "passes/prefix.h"
#include "passes/util.h"

typedef struct narrowing {
    pass_ctx *ctx;
    ir_node *n;     /* whose result is read in part */
    ir_node *slice; /* that reads it */
    int32_t axis;   /* of the result, >= 0 */
    const ir_dim *length;
    ir_node *end;   /* makes the number of rows where only the run knows it; else NULL */
    uint32_t early; /* mark of Slices that stand right behind what they cut */
} narrowing;

/* ---- slices ------------------------------------------------------------------------------------------------------- */

static bool is_const_int(const ir_value *v, int64_t *out) {
    return v && v->tensor && ir_value_const_ints(v, out, 1) == 1;
}

/* v holds a size that the run knows: whatever is cut there has the same size. */
static bool is_size(ir_ctx *c, const ir_value *v) {
    const ir_dim *size;
    return v->def && ir_value_known_dims(c, v, &size, 1) == 1 && !ir_dim_is_unknown(size) &&
           ir_dim_lower_bound(size) >= 0;
}

/* Bounds are constants, or the first rows are taken. */
static bool find_bounds(ir_ctx *c, ir_node *n, narrowing *out) {
    int64_t start, end;
    if (!is_const_int(ir_in(n, 1), &start)) return false;
    out->end = NULL;
    if (is_const_int(ir_in(n, 2), &end)) return ir_dim_is_const(out->length, NULL);
    out->end = ir_in(n, 2)->def;
    return start == 0 && is_size(c, ir_in(n, 2));
}

/* n = Slice of v along one axis, step 1, that takes a known number of positions, or as many first ones as the run says, but not all. */
static bool find_slice(ir_node *n, const ir_value *v, narrowing *out) {
    int64_t axis = 0, step = 1;
    if (!n || n->op != OP_Slice || ir_in(n, 0) != v ||
        (ir_in(n, 3) && !is_const_int(ir_in(n, 3), &axis)) ||
        (ir_in(n, 4) && !is_const_int(ir_in(n, 4), &step)) || step != 1)
        return false;
    const ir_type *t = ir_in(n, 0)->type;
    if (!ir_type_is_known(t) || !ir_type_is_known(n->out[0].type)) return false;
    out->slice = n;
    out->axis = normal_axis(axis, t->rank);
    if (out->axis < 0) return false;
    out->length = n->out[0].type->dims[out->axis];
    return !ir_dim_equal(out->length, t->dims[out->axis]) && find_bounds(out->ctx->c, n, out);
}

/* What the Slice needs is there before n, where its copies will stand. */
static bool is_early_enough(const narrowing *w) {
    const ir_node *m = w->end;
    if (!m || m->parent != w->n->parent) return true;
    while (m && m != w->n)
        m = m->next;
    return m != NULL;
}

static bool same_operands(const ir_node *n, ir_value *const *in) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) != in[i]) return false;
    return true;
}

/* Right behind what makes v and the Slice's bounds. */
static ir_builder place_of_part(const narrowing *w, const ir_value *v) {
    ir_node *from = v->def;
    if (w->end && w->end->parent == w->n->parent) {
        const ir_node *m = w->end;
        while (m && m != from)
            m = m->next;
        if (!m) from = w->end; /* it comes later than v */
    }
    return from ? ir_build_after(from) : ir_build_at_start(w->n->parent, w->n->loc);
}

/* The same Slice of v along this axis, as early as possible so that all who want it find it. */
static ir_value *part(narrowing *w, ir_value *v, int32_t axis) {
    ir_region *r = w->n->parent;
    bool inside = ir_value_region(v) == r;
    ir_builder b = inside ? place_of_part(w, v) : ir_build_before(w->n);
    ir_value *in[] = {v, ir_in(w->slice, 1), ir_in(w->slice, 2),
                      build_i64s(&b, (int64_t[]){axis}, 1)};
    ir_for_each_use (u, v)
        if (inside && u->user->mark == w->early && u->user->parent == r &&
            same_operands(u->user, in))
            return u->user->out;
    ir_value *made = build_node(&b, OP_Slice, in, 4, 1, NULL, 0)->out;
    if (inside) made->def->mark = w->early;
    return made;
}

/* v broadcasts to the result; *axis is the one of v that the result's is, below 0 where it has none. */
static bool is_aligned(const narrowing *w, const ir_value *v, int32_t *axis) {
    const ir_type *t = w->n->out[0].type;
    if (!v || !ir_type_is_known(v->type)) return false;
    *axis = w->axis - (t->rank - v->type->rank);
    return *axis < 0 || ir_dim_is(v->type->dims[*axis], 1) ||
           ir_dim_equal(v->type->dims[*axis], t->dims[w->axis]);
}

static ir_value *aligned_part(narrowing *w, ir_value *v, int32_t axis) {
    bool all = axis < 0 || ir_dim_is(v->type->dims[axis], 1);
    return all ? v : part(w, v, axis);
}

/* n again with other operands, right in front of it. */
static ir_value *again(narrowing *w, ir_value *const *in) {
    ir_node *copy = ir_node_clone(w->ctx->m, w->n, in);
    copy->loc = w->n->loc;
    for (uint32_t i = 0; i < copy->n_out; i++) {
        copy->out[i].name = ir_name_derive(w->ctx->m, &w->n->out[i], "read");
        copy->out[i].type = NULL;
        copy->out[i].known = NULL;
    }
    ir_node_insert_before(w->n, copy);
    bool inferred = ir_infer_node(w->ctx->c, copy);
    TL_ASSERT(inferred);
    return copy->out;
}

static ir_value **operands(const narrowing *w) {
    ir_value **in = TL_NEW_ARRAY(w->ctx->scratch, ir_value *, w->n->n_in + 1);
    for (uint32_t i = 0; i < w->n->n_in; i++)
        in[i] = ir_in(w->n, i);
    return in;
}

/* ---- rules: NULL where the node stays; nothing has been built then ---------------------------------------------------- */

static ir_value *narrow_elementwise(narrowing *w) {
    int32_t axis[IR_MAX_RANK];
    if (w->n->n_in > IR_MAX_RANK) return NULL;
    for (uint32_t i = 0; i < w->n->n_in; i++)
        if (ir_in(w->n, i) && !is_aligned(w, ir_in(w->n, i), &axis[i])) return NULL;
    ir_value **in = operands(w);
    for (uint32_t i = 0; i < w->n->n_in; i++)
        if (in[i]) in[i] = aligned_part(w, in[i], axis[i]);
    return again(w, in);
}

/* Rows of the left operand, columns of a constant right one, entries of the batch of both. */
static ir_value *narrow_matmul(narrowing *w) {
    ir_value **in = operands(w), *a = in[0], *b = in[1];
    int32_t rank = w->n->out[0].type->rank, axis[2];
    if (a->type->rank < 2 || b->type->rank < 2) return NULL;
    if (w->axis == rank - 1) {
        if (!b->tensor) return NULL;
        in[1] = part(w, b, b->type->rank - 1);
    } else if (w->axis == rank - 2) {
        in[0] = part(w, a, a->type->rank - 2);
    } else {
        if (!is_aligned(w, a, &axis[0]) || !is_aligned(w, b, &axis[1])) return NULL;
        in[0] = aligned_part(w, a, axis[0]);
        in[1] = aligned_part(w, b, axis[1]);
    }
    return again(w, in);
}

/* Only the first result counts; the node computes along the axes from `axis` on. */
static ir_value *narrow_normalization(narrowing *w) {
    int32_t rank = w->n->out[0].type->rank;
    int32_t first = normal_axis(ir_attr_int(w->n, "axis", -1), rank);
    for (uint32_t i = 1; i < w->n->n_in; i++)
        if (ir_in(w->n, i) &&
            (!ir_type_is_known(ir_in(w->n, i)->type) || ir_in(w->n, i)->type->rank > rank - first))
            return NULL;
    if (first < 0 || w->axis >= first) return NULL;
    ir_value **in = operands(w);
    in[0] = part(w, in[0], w->axis);
    return again(w, in);
}

static ir_value *narrow_softmax(narrowing *w) {
    int32_t rank = w->n->out[0].type->rank;
    if (normal_axis(ir_attr_int(w->n, "axis", -1), rank) == w->axis) return NULL;
    ir_value **in = operands(w);
    in[0] = part(w, in[0], w->axis);
    return again(w, in);
}

/* What is added to hidden scores makes their weights zero, whatever the others are. */
static const double hiding = -1e9;

/* The mask, of one row for all queries, hides the keys behind its first ones: a boolean, or Where(c, 0, -1e9). */
static bool hides_all_behind(ir_value *mask, prefix *p) {
    double x;
    if (mask->type->dtype == DT_bool) return prefix_find(mask, p) && !p->is_negated;
    const ir_node *choice = match_def(mask, OP_Where);
    return choice && prefix_find(ir_in(choice, 0), p) &&
           ir_value_is_splat(ir_in(choice, p->is_negated ? 2 : 1), 0) &&
           ir_value_const_f64(ir_in(choice, p->is_negated ? 1 : 2), &x) && x <= hiding;
}

/* All keys but those in front of the Slice's end are hidden. */
static bool ends_with_slice(const narrowing *w, ir_value *mask) {
    prefix p;
    return w->end && hides_all_behind(mask, &p) && p.from_back == 1 &&
           prefix_is_length(ir_in(w->slice, 2), &p);
}

/* Keys, values and mask up to the Slice's end; the queries that are left see nothing behind. */
static void narrow_keys(narrowing *w, ir_value **in) {
    for (uint32_t i = 1; i < 3; i++)
        in[i] = part(w, in[i], in[i]->type->rank - 2);
    in[3] = part(w, in[3], in[3]->type->rank - 1);
}

/* Queries; the mask has a row for each, or one for all. */
static ir_value *narrow_attention(narrowing *w) {
    ir_value **in = operands(w), *mask = ir_in(w->n, 3);
    if (w->axis != w->n->out[0].type->rank - 2 || ir_attr_int(w->n, "is_causal", 0)) return NULL;
    for (uint32_t i = 4; i < w->n->n_in; i++)
        if (in[i]) return NULL;
    if (mask && (!ir_type_is_known(mask->type) || mask->type->rank < 1)) return NULL;
    int32_t row = mask ? mask->type->rank - 2 : -1;
    in[0] = part(w, in[0], in[0]->type->rank - 2);
    if (row >= 0 && !ir_dim_is(mask->type->dims[row], 1))
        in[3] = part(w, mask, row);
    else if (mask && ends_with_slice(w, mask))
        narrow_keys(w, in);
    return again(w, in);
}

static ir_value *narrow_transpose(narrowing *w) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    if (!get_perm(w->n, perm, &rank)) return NULL;
    ir_value **in = operands(w);
    in[0] = part(w, in[0], (int32_t)perm[w->axis]);
    return again(w, in);
}

static const ir_dim *size_before(ir_ctx *c, const ir_type *t, int32_t axis) {
    const ir_dim *size = ir_dim_const(c, 1);
    for (int32_t i = 0; i < axis; i++)
        size = ir_dim_mul(c, size, t->dims[i]);
    return size;
}

/* The same where only the run knows the length: all other sizes are numbers, and that one is what is left. */
static ir_value *reshape_open(narrowing *w, ir_value *x, int32_t axis) {
    const ir_type *to = w->n->out[0].type;
    int64_t sizes[IR_MAX_RANK];
    for (int32_t i = 0; i < to->rank; i++)
        if (i != w->axis && !ir_dim_is_const(to->dims[i], &sizes[i])) return NULL;
    sizes[w->axis] = -1;
    ir_builder b = ir_build_before(w->n);
    return build_op2(&b, OP_Reshape, part(w, x, axis), build_i64s(&b, sizes, (uint32_t)to->rank));
}

/* The operand has the same axis, with as many elements in front of it. */
static ir_value *narrow_reshape(narrowing *w) {
    ir_ctx *c = w->ctx->c;
    ir_value *x = ir_in(w->n, 0);
    const ir_type *from = x->type, *to = w->n->out[0].type;
    const ir_dim *dims[IR_MAX_RANK], *before = size_before(c, to, w->axis);
    ir_builder b = ir_build_before(w->n);
    for (int32_t i = 0; i < to->rank; i++)
        dims[i] = i == w->axis ? w->length : to->dims[i];
    if (!ir_type_is_known(from) || (!w->end && !can_build_dims(&b, dims, (uint32_t)to->rank)))
        return NULL;
    for (int32_t i = 0; i < from->rank; i++)
        if (ir_dim_equal(from->dims[i], to->dims[w->axis]) &&
            ir_dim_equal(size_before(c, from, i), before))
            return w->end ? reshape_open(w, x, i)
                          : build_reshape(&b, part(w, x, i), dims, (uint32_t)to->rank);
    return NULL;
}

/* Rows by index: fewer indices, or what is read of each row. */
static ir_value *narrow_gather(narrowing *w) {
    ir_value **in = operands(w);
    if (!ir_type_is_known(in[0]->type) || !ir_type_is_known(in[1]->type)) return NULL;
    int32_t axis = normal_axis(ir_attr_int(w->n, "axis", 0), in[0]->type->rank),
            rank = in[1]->type->rank;
    if (w->axis >= axis && w->axis < axis + rank)
        in[1] = part(w, in[1], w->axis - axis);
    else
        in[0] = part(w, in[0], w->axis < axis ? w->axis : w->axis - rank + 1);
    return again(w, in);
}

/* Along axes that all lie behind. */
static ir_value *narrow_reduction(narrowing *w) {
    int64_t axes[IR_MAX_RANK];
    ir_value **in = operands(w);
    int32_t n = w->n->n_in > 1 && in[1] ? ir_value_const_ints(in[1], axes, IR_MAX_RANK) : -1;
    for (int32_t i = 0; i < n; i++)
        if (normal_axis(axes[i], in[0]->type->rank) <= w->axis) return NULL;
    if (n < 1) return NULL;
    in[0] = part(w, in[0], w->axis);
    return again(w, in);
}

static ir_value *narrow_concat(narrowing *w) {
    int32_t rank = w->n->out[0].type->rank;
    if (normal_axis(ir_attr_int(w->n, "axis", 0), rank) == w->axis) return NULL;
    ir_value **in = operands(w);
    for (uint32_t i = 0; i < w->n->n_in; i++)
        in[i] = part(w, in[i], w->axis);
    return again(w, in);
}

static const struct narrow_rule {
    op_id op;
    ir_value *(*narrow)(narrowing *w);
} rules[] = {
    {OP_MatMul, narrow_matmul},
    {OP_LayerNormalization, narrow_normalization},
    {OP_RMSNormalization, narrow_normalization},
    {OP_Softmax, narrow_softmax},
    {OP_LogSoftmax, narrow_softmax},
    {OP_Attention, narrow_attention},
    {OP_Transpose, narrow_transpose},
    {OP_Reshape, narrow_reshape},
    {OP_Concat, narrow_concat},
    {OP_Gather, narrow_gather},
    {OP_ReduceMax, narrow_reduction},
    {OP_ReduceMean, narrow_reduction},
    {OP_ReduceMin, narrow_reduction},
    {OP_ReduceSum, narrow_reduction},
};

static const struct narrow_rule *find_rule(const ir_node *n) {
    static const struct narrow_rule elementwise = {OP_Identity, narrow_elementwise};
    if (op_is(n->op, OP_SCALAR)) return &elementwise;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == n->op) return &rules[i];
    return NULL;
}

static bool has_one_result(const ir_node *n) {
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i].uses) return false;
    return n->n_out && n->n_regions == 0 && n->out[0].uses && ir_type_is_known(n->out[0].type);
}

static ir_value *apply_rule(narrowing *w) {
    const struct narrow_rule *rule = find_rule(w->n);
    return rule ? rule->narrow(w) : NULL;
}

bool narrow_has_rule(const ir_node *n) {
    return find_rule(n) != NULL && has_one_result(n);
}

/* ---- which nodes -------------------------------------------------------------------------------------------------------- */

static bool narrow_for(narrowing *w) {
    if (!is_early_enough(w) || !ctx_may(w->ctx, "narrowed")) return false;
    ir_value *now = apply_rule(w);
    if (!now) return false;
    ctx_take(w->ctx, "narrowed");
    pass_replace(w->ctx, w->slice->out, now);
    ir_node_remove(w->slice);
    return true;
}

/* One Slice reads the result, and nobody else. */
static bool narrow_single(narrowing *w) {
    ir_node *user = match_user(w->n->out);
    return ir_value_has_one_use(w->n->out) && find_slice(user, w->n->out, w) && narrow_for(w);
}

/* The node makes values side by side along its last axis, and can make each alone from a part of a constant. */
static bool is_side_by_side(const ir_node *n) {
    if (n->op == OP_MatMul) return ir_value_is_const(ir_in(n, 1)) && ir_in(n, 1)->type->rank == 2;
    bool product = op_is(n->op, OP_SCALAR) && n->n_in == 2;
    for (uint32_t i = 0; product && i < 2; i++) {
        ir_node *from = match_def(ir_in(n, i), OP_MatMul);
        if (ir_value_is_const(ir_in(n, 1 - i)) && from && is_side_by_side(from) &&
            ir_value_has_one_use(from->out))
            return true;
    }
    return false;
}

/* The result is read by Slices along the last axis which together take no more than there is, and one of them is narrowed further. */
static bool find_side_by_side(narrowing *w) {
    int64_t width, taken = 0, length;
    bool narrowed = false;
    const ir_type *t = w->n->out[0].type;
    if (!is_side_by_side(w->n) || !ir_dim_is_const(t->dims[t->rank - 1], &width)) return false;
    ir_for_each_use (u, w->n->out) {
        narrowing further = *w;
        if (!find_slice(u->user, w->n->out, w) || w->axis != t->rank - 1) return false;
        ir_dim_is_const(w->length, &length);
        taken += length;
        narrowed = narrowed || (ir_value_has_one_use(w->slice->out) &&
                                find_slice(match_user(w->slice->out), w->slice->out, &further) &&
                                further.axis != w->axis);
    }
    return narrowed && taken <= width;
}

static bool take_apart(narrowing *w) {
    bool changed = false, more = find_side_by_side(w);
    while (more && w->n->out[0].uses) {
        more = find_slice(w->n->out[0].uses->user, w->n->out, w) && narrow_for(w);
        changed = changed || more;
    }
    return changed;
}

/* What n's operands are read for counts only as long as n is there. */
static ir_node *step_back(ir_node *n, bool changed) {
    ir_node *prev = n->prev;
    if (changed && !n->out[0].uses) ir_node_remove(n);
    return prev;
}

static bool narrow_region(pass_ctx *ctx, ir_region *r, uint32_t early) {
    bool changed = false;
    for (ir_node *n = r->last; n;) {
        narrowing w = {.ctx = ctx, .n = n, .early = early};
        for (uint32_t i = 0; i < n->n_regions; i++)
            changed |= narrow_region(ctx, n->regions[i], early);
        bool narrowed = has_one_result(n) && (narrow_single(&w) || take_apart(&w));
        n = step_back(n, narrowed);
        changed |= narrowed;
    }
    return changed;
}

pass_result pass_narrow(pass_ctx *ctx, ir_graph *g) {
    return narrow_region(ctx, g->body, ir_new_mark(ctx->c)) ? PASS_CHANGED : PASS_SAME;
}
