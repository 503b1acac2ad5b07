/* Rules about shapes and views that text cannot say; listed in simplify_rules.def, conventions in rule.h. */
#include "ir/base/vec.h"
#include "ir/limits.h"
#include "passes/piece.h"
#include "passes/simplify.h"

#define RULE_FN(name) ir_value *rule_##name(ir_builder *b, ir_node *n)

static ir_node *operand_node(const ir_node *n, op_id op) {
    ir_node *def = n->in[0].value ? n->in[0].value->def : NULL;
    return def && def->op == op ? def : NULL;
}

/* All of n integers equal x. */
static bool all_are(const int64_t *v, int32_t n, int64_t x) {
    for (int32_t i = 0; i < n; i++)
        if (v[i] != x) return false;
    return n >= 0;
}

/* ---- Transpose ---------------------------------------------------------------------------------------------- */

static bool is_identity(const int64_t *perm, uint32_t rank) {
    for (uint32_t i = 0; i < rank; i++)
        if (perm[i] != i) return false;
    return true;
}

RULE_FN(transpose_none) {
    (void)b;
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    return get_perm(n, perm, &rank) && is_identity(perm, rank) ? n->in[0].value : NULL;
}

RULE_FN(transpose_twice) {
    ir_node *inner = operand_node(n, OP_Transpose);
    int64_t p[IR_MAX_RANK], q[IR_MAX_RANK], both[IR_MAX_RANK];
    uint32_t rank, inner_rank;
    if (!inner || !get_perm(n, p, &rank) || !get_perm(inner, q, &inner_rank)) return NULL;
    for (uint32_t i = 0; i < rank; i++)
        both[i] = q[p[i]];
    ir_value *x = inner->in[0].value;
    return is_identity(both, rank) ? x : build_transpose(b, x, both, rank);
}

/* Dimensions other than 1 keep their order. */
static bool keeps_order(const int64_t *perm, const ir_type *t) {
    int64_t last = -1;
    for (int32_t i = 0; i < t->rank; i++) {
        if (ir_dim_is(t->dims[perm[i]], 1)) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

RULE_FN(transpose_ones) {
    ir_value *x = n->in[0].value;
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    if (!get_perm(n, perm, &rank) || !keeps_order(perm, x->type)) return NULL;
    return build_reshape_to(b, x, n->out[0].type);
}

/* Exchanges the last two dimensions and no others. */
static bool exchanges_last(const int64_t *perm, uint32_t rank) {
    for (uint32_t i = 0; i + 2 < rank; i++)
        if (perm[i] != i) return false;
    return rank >= 2 && perm[rank - 1] == rank - 2;
}

RULE_FN(transpose_matmul) {
    ir_node *product = operand_node(n, OP_MatMul);
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    if (!product || !get_perm(n, perm, &rank) || !exchanges_last(perm, rank)) return NULL;
    ir_value *x = ir_in(product, 0), *y = ir_in(product, 1);
    if (x->type->rank != (int32_t)rank || y->type->rank != (int32_t)rank) return NULL;
    ir_value *rows = build_transpose(b, y, perm, rank);
    return build_op2(b, OP_MatMul, rows, build_transpose(b, x, perm, rank));
}

/* ---- nodes that change nothing ------------------------------------------------------------------------------ */

RULE_FN(tile_none) {
    (void)b;
    int64_t repeats[IR_MAX_RANK];
    int32_t count = optional_ints(n->in[1].value, repeats, IR_MAX_RANK);
    return all_are(repeats, count, 1) ? n->in[0].value : NULL;
}

RULE_FN(pad_none) {
    (void)b;
    int64_t pads[2 * IR_MAX_RANK];
    int32_t count = optional_ints(n->in[1].value, pads, 2 * IR_MAX_RANK);
    return all_are(pads, count, 0) ? n->in[0].value : NULL;
}

/* Step 1 and as many elements as there are: all of them, in order. */
RULE_FN(slice_all) {
    (void)b;
    int64_t steps[IR_MAX_RANK];
    int32_t count = optional_ints(ir_in(n, 4), steps, IR_MAX_RANK);
    if (!all_are(steps, count, 1) || !same_type(&n->out[0], n->in[0].value)) return NULL;
    return n->in[0].value;
}

/* ---- Reshape and its kin ------------------------------------------------------------------------------------ */

RULE_FN(reshape_twice) {
    ir_value *x = n->in[0].value;
    if (!x->def || !is_reshape_like(x->def->op)) return NULL;
    return build_reshape_to(b, x->def->in[0].value, n->out[0].type);
}

RULE_FN(to_reshape) {
    return build_reshape_to(b, n->in[0].value, n->out[0].type);
}

/* The shape operand is a constant that holds 0 (copy) or -1 (the rest), or zeros could be meant either way. */
static bool is_inexact(const ir_node *n) {
    int64_t dims[IR_MAX_RANK];
    int32_t count = ir_value_const_ints(n->in[1].value, dims, IR_MAX_RANK);
    bool inexact = !ir_attr_int(n, "allowzero", 0);
    for (int32_t i = 0; i < count; i++)
        inexact |= dims[i] < 0;
    return inexact && ir_value_is_const(n->in[1].value);
}

RULE_FN(reshape_exact) {
    if (!ir_type_is_static(n->out[0].type) || !is_inexact(n)) return NULL;
    return build_reshape_to(b, n->in[0].value, n->out[0].type);
}

/* ---- Concat and Split --------------------------------------------------------------------------------------- */

static ir_value *build_concat(ir_builder *b, const ir_node *like, ir_value *const *in, uint32_t n) {
    return build_node(b, OP_Concat, in, n, 1, like->attrs, like->n_attrs)->out;
}

static bool is_empty_part(const ir_value *v, int64_t axis) {
    if (!ir_type_is_ranked(v->type)) return false;
    int32_t a = normal_axis(axis, v->type->rank);
    return a >= 0 && ir_dim_is(v->type->dims[a], 0);
}

RULE_FN(concat_empty) {
    int64_t axis = ir_attr_int(n, "axis", 0);
    ir_value **in = TL_NEW_ARRAY(b->m->arena, ir_value *, n->n_in);
    uint32_t left = 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!is_empty_part(n->in[i].value, axis)) in[left++] = n->in[i].value;
    return left && left < n->n_in ? build_concat(b, n, in, left) : NULL;
}

/* An operand that is a Concat along the same axis which nobody else reads. */
static ir_node *inner_concat(const ir_node *n, uint32_t i) {
    ir_value *v = n->in[i].value;
    if (!v->def || v->def->op != OP_Concat || !ir_value_has_one_use(v)) return NULL;
    if (!ir_type_is_ranked(v->type)) return NULL;
    int32_t a = normal_axis(ir_attr_int(n, "axis", 0), v->type->rank);
    return a == normal_axis(ir_attr_int(v->def, "axis", 0), v->type->rank) ? v->def : NULL;
}

RULE_FN(concat_concat) {
    TL_VEC(ir_value *) in = {0};
    bool any = false;
    for (uint32_t i = 0; i < n->n_in && !any; i++)
        any = inner_concat(n, i);
    if (!any) return NULL;
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_node *inner = inner_concat(n, i);
        if (!inner) tl_vec_push(b->m->arena, &in, n->in[i].value);
        for (uint32_t k = 0; inner && k < inner->n_in; k++)
            tl_vec_push(b->m->arena, &in, inner->in[k].value);
    }
    return build_concat(b, n, in.data, in.len);
}

/* t without the dimension `axis`. */
static bool lacks_axis(const ir_type *t, const ir_type *with, int32_t axis) {
    if (!ir_type_is_ranked(t) || t->rank != with->rank - 1) return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (!ir_dim_equal(t->dims[i], with->dims[i + (i >= axis)])) return false;
    return true;
}

/* Operand i: a part of something, perhaps one position of it whose axis a reshape has dropped; nobody else reads it. */
static bool piece_of_operand(const ir_node *n, uint32_t i, piece *out) {
    const ir_value *v = n->in[i].value;
    if (!v->def || !ir_value_has_one_use(v)) return false;
    if (!is_reshape_like(v->def->op)) return find_piece(v, out);
    const ir_value *inner = v->def->in[0].value;
    if (!ir_value_has_one_use(inner) || !find_piece(inner, out) || out->dropped) return false;
    out->dropped = true;
    return out->length == 1 && lacks_axis(v->type, inner->type, out->axis);
}

/* The operands are, in order, all of one value; *all: that, from 0 on as long as it is. */
static bool are_all_pieces(const ir_node *n, piece *all) {
    piece next;
    if (n->n_in < 2 || !piece_of_operand(n, 0, all) || all->start) return false;
    for (uint32_t i = 1; i < n->n_in; i++) {
        if (!piece_of_operand(n, i, &next) || next.from != all->from || next.axis != all->axis ||
            next.dropped != all->dropped || next.start != all->length)
            return false;
        all->length += next.length;
    }
    return ir_dim_is(all->from->type->dims[all->axis], all->length);
}

/* The axis that the pieces were cut along moves in front of the one that they are joined along. */
static ir_value *merge_pieces(ir_builder *b, const piece *all, int32_t axis, const ir_type *to) {
    ir_value *x = all->from;
    int64_t perm[IR_MAX_RANK];
    int32_t rank = x->type->rank, at = 0;
    for (int32_t i = 0; i < rank; i++) {
        if (i == axis)
            perm[i] = all->axis;
        else {
            at += at == all->axis;
            perm[i] = at++;
        }
    }
    if (!type_is_computable(b->region->graph, to)) return NULL;
    if (axis != all->axis) x = build_transpose(b, x, perm, (uint32_t)rank);
    return build_reshape(b, x, to->dims, (uint32_t)to->rank);
}

RULE_FN(concat_pieces) {
    piece all;
    const ir_type *to = n->out[0].type;
    if (!ir_type_is_ranked(to) || !are_all_pieces(n, &all)) return NULL;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), to->rank);
    if (all.dropped) return merge_pieces(b, &all, axis, to);
    return axis == all.axis && same_type(all.from, &n->out[0]) ? all.from : NULL;
}

/* ---- Gather ------------------------------------------------------------------------------------------------- */

/* i, i+1, i+2, ... */
static bool is_run(const int64_t *index, int32_t count) {
    for (int32_t i = 1; i < count; i++)
        if (index[i] != index[0] + i) return false;
    return count > 0;
}

/* The indices as a start in [0, size); false where one is out of range, which must stay an error, or size is not constant. */
static bool run_start(const int64_t *index, int32_t count, const ir_dim *size, int64_t *start) {
    int64_t n;
    if (!is_run(index, count) || !ir_dim_is_const(size, &n)) return false;
    *start = index[0] < 0 ? index[0] + n : index[0];
    return *start >= 0 && count <= n && *start <= n - count;
}

RULE_FN(gather_slice) {
    ir_value *x = n->in[0].value, *which = n->in[1].value;
    int64_t index[IR_MAX_KNOWN], start;
    if (!ir_value_is_const(which) || which->type->rank > 1 || !ir_type_is_ranked(x->type))
        return NULL;
    int32_t count = ir_value_const_ints(which, index, IR_MAX_KNOWN);
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), x->type->rank);
    if (axis < 0 || x->known || !run_start(index, count, x->type->dims[axis], &start)) return NULL;
    ir_value *in[] = {x, build_i64s(b, &start, 1), build_i64s(b, (int64_t[]){start + count}, 1),
                      build_i64s(b, (int64_t[]){axis}, 1)};
    ir_value *part = build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out;
    return which->type->rank ? part : build_op2(b, OP_Squeeze, part, in[3]);
}

/* ---- reductions --------------------------------------------------------------------------------------------- */

/* The axes of a reduction; false where they are not constants. None given: all, or none with noop_with_empty_axes. */
static bool reduced_axes(const ir_node *n, const ir_type *t, bool *reduced) {
    int64_t axes[IR_MAX_RANK];
    int32_t count = optional_ints(ir_in(n, 1), axes, IR_MAX_RANK);
    bool all = count == 0 && !ir_attr_int(n, "noop_with_empty_axes", 0);
    for (int32_t i = 0; i < t->rank; i++)
        reduced[i] = all;
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = normal_axis(axes[i], t->rank);
        if (axis < 0) return false;
        reduced[axis] = true;
    }
    return count >= 0;
}

RULE_FN(reduce_none) {
    ir_value *x = n->in[0].value;
    bool reduced[IR_MAX_RANK];
    if (!ir_type_is_ranked(x->type) || !reduced_axes(n, x->type, reduced)) return NULL;
    for (int32_t i = 0; i < x->type->rank; i++)
        if (reduced[i] && !ir_dim_is(x->type->dims[i], 1)) return NULL;
    if (same_type(x, &n->out[0])) return x;
    return build_reshape_to(b, x, n->out[0].type);
}
