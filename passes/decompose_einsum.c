/* Einsum as products of matrices (see decompose.c).
 *
 *   %y = Einsum<equation="bi,bji,jk->bk">(%a, %b, %c)       %1 = MatMul(%b as [b,j,i], %a as [b,i,1])      labels b, j
 *                                                     ->    %y = MatMul(%1, %c)                            labels b, k
 *
 * First every operand alone: repeated labels become diagonals, labels that nothing else has are summed. Then operands meet in pairs, in
 * the order of the least arithmetic: of all orders for up to MAX_EXACT operands (dynamic programming over the sets of operands), else the
 * cheapest pair first. A pair's labels are those of the batch (in both, still needed), summed ones (in both, needed no more), and those
 * of one side. Products that sum nothing are elementwise. */
#include "passes/decompose.h"

#include "ir/einsum.h"
#include "passes/util.h"

enum {
    MAX_EXACT = 10,
    MAX_OPERANDS = 64,
    ASSUMED_SIZE = 64 /* of a dimension only the run knows */
};

typedef uint64_t label_set;

/* An operand, or what operands have become. */
typedef struct factor {
    ir_value *v;
    ir_einsum_term term;
} factor;

typedef struct einsum {
    ir_builder *b;
    ir_einsum e;
    const ir_dim *size[IR_EINSUM_MAX_LABELS];
    factor factors[MAX_OPERANDS];
    uint32_t n;
    tl_arena *arena;
} einsum;

static label_set bit(uint32_t label) {
    return (label_set)1 << label;
}

static label_set labels(const factor *f) {
    return ir_einsum_labels(&f->term);
}

/* ---- one operand ---------------------------------------------------------------------------------------------------- */

static void drop_axis(factor *f, int32_t axis) {
    for (int32_t i = axis; i + 1 < f->term.rank; i++)
        f->term.label[i] = f->term.label[i + 1];
    f->term.rank--;
}

static void sum_axis(einsum *s, factor *f, int32_t axis) {
    ir_value *in[] = {f->v, build_i64s(s->b, (int64_t[]){axis}, 1)};
    ir_attr keep = {.name = "keepdims", .kind = ATTR_INT, .v.i = 0};
    f->v = &build_node(s->b, OP_ReduceSum, in, 2, 1, &keep, 1)->out[0];
    drop_axis(f, axis);
}

/* Positions along an axis, as a tensor that broadcasts with f. */
static ir_value *positions(einsum *s, const factor *f, int32_t axis) {
    ir_builder *b = s->b;
    ir_value *n = build_dim_scalar(b, f->v->type->dims[axis]);
    ir_value *v = build_op3(b, OP_Range, build_scalar(b, DT_i64, 0), n, build_scalar(b, DT_i64, 1));
    int64_t shape[IR_MAX_RANK];
    for (int32_t i = 0; i < f->term.rank; i++)
        shape[i] = i == axis ? -1 : 1;
    return build_op2(b, OP_Reshape, v, build_i64s(b, shape, (uint32_t)f->term.rank));
}

/* Two axes with one label: what is beside the diagonal counts as 0, and one axis is summed. */
static void take_diagonal(einsum *s, factor *f, int32_t first, int32_t second) {
    ir_value *on = build_op2(s->b, OP_Equal, positions(s, f, first), positions(s, f, second));
    f->v = build_op3(s->b, OP_Where, on, f->v, build_scalar(s->b, f->v->type->dtype, 0));
    sum_axis(s, f, second);
}

static void take_diagonals(einsum *s, factor *f) {
    for (int32_t i = f->term.rank; i-- > 0;) {
        int32_t first = ir_einsum_axis(&f->term, f->term.label[i]);
        if (first < i) take_diagonal(s, f, first, i);
    }
}

/* An axis of 1 that others repeat adds nothing but its label. */
static void drop_repeated(einsum *s, factor *f) {
    for (int32_t i = f->term.rank; i-- > 0;) {
        if (!ir_dim_is(f->v->type->dims[i], 1) || ir_dim_is(s->size[f->term.label[i]], 1)) continue;
        f->v = build_op2(s->b, OP_Squeeze, f->v, build_i64s(s->b, (int64_t[]){i}, 1));
        drop_axis(f, i);
    }
}

static void sum_unneeded(einsum *s, factor *f, label_set needed) {
    for (int32_t i = f->term.rank; i-- > 0;)
        if (!(needed & bit(f->term.label[i]))) sum_axis(s, f, i);
}

/* ---- a pair ------------------------------------------------------------------------------------------------------------ */

/* f with its axes in the order of the labels given, and a new axis of 1 for each label it does not have. */
static ir_value *arranged(einsum *s, const factor *f, const ir_einsum_term *order) {
    int64_t perm[IR_MAX_RANK], added[IR_MAX_RANK];
    uint32_t n = 0, n_added = 0;
    bool sorted = true;
    for (int32_t i = 0; i < order->rank; i++) {
        int32_t axis = ir_einsum_axis(&f->term, order->label[i]);
        if (axis < 0) {
            added[n_added++] = i;
            continue;
        }
        sorted = sorted && axis == (int32_t)n;
        perm[n++] = axis;
    }
    ir_value *v = sorted ? f->v : build_transpose(s->b, f->v, perm, n);
    return n_added ? build_op2(s->b, OP_Unsqueeze, v, build_i64s(s->b, added, n_added)) : v;
}

static void append(ir_einsum_term *t, const ir_einsum_term *from, label_set which) {
    for (int32_t i = 0; i < from->rank; i++)
        if (which & bit(from->label[i])) t->label[t->rank++] = from->label[i];
}

/* v with the axes [batch, batch + n) and the m after them each merged into one. */
static ir_value *as_matrices(einsum *s, ir_value *v, int32_t batch, int32_t n, int32_t m) {
    const ir_dim *dims[IR_MAX_RANK + 2];
    const ir_dim *const *d = v->type->dims;
    if (n == 1 && m == 1) return v;
    for (int32_t i = 0; i < batch; i++)
        dims[i] = d[i];
    dims[batch] = dims[batch + 1] = ir_dim_const(s->b->m->ctx, 1);
    for (int32_t i = 0; i < n + m; i++) {
        const ir_dim **to = &dims[batch + (i >= n)];
        *to = ir_dim_mul(s->b->m->ctx, *to, d[batch + i]);
    }
    return build_reshape(s->b, v, dims, (uint32_t)batch + 2);
}

/* The product's rows and columns as axes of their own again. */
static ir_value *from_matrices(einsum *s, ir_value *v, const ir_einsum_term *t, const factor *x,
                               const factor *y) {
    const ir_dim *dims[IR_MAX_RANK];
    int32_t batch = v->type->rank - 2, rows = 0;
    for (int32_t i = batch; i < t->rank; i++)
        rows += ir_einsum_axis(&x->term, t->label[i]) >= 0;
    if (rows == 1 && t->rank == batch + 2) return v;
    for (int32_t i = 0; i < t->rank; i++) {
        int32_t in_x = ir_einsum_axis(&x->term, t->label[i]);
        int32_t in_y = ir_einsum_axis(&y->term, t->label[i]);
        dims[i] = i < batch   ? v->type->dims[i]
                  : in_x >= 0 ? x->v->type->dims[in_x]
                              : y->v->type->dims[in_y];
    }
    return build_reshape(s->b, v, dims, (uint32_t)t->rank);
}

static factor multiply(einsum *s, const factor *x, const factor *y, label_set needed) {
    label_set lx = labels(x), ly = labels(y), both = lx & ly;
    factor r = {0};
    append(&r.term, &x->term, both & needed);
    int32_t batch = r.term.rank;
    ir_einsum_term left = r.term, right = r.term;
    append(&r.term, &x->term, lx & ~ly);
    append(&r.term, &y->term, ly & ~lx);
    if (!(both & ~needed)) {
        r.v = build_op2(s->b, OP_Mul, arranged(s, x, &r.term), arranged(s, y, &r.term));
        return r;
    }
    append(&left, &x->term, lx & ~ly);
    int32_t rows = left.rank - batch;
    append(&left, &x->term, both & ~needed);
    append(&right, &x->term, both & ~needed);
    int32_t depth = right.rank - batch;
    append(&right, &y->term, ly & ~lx);
    ir_value *a = as_matrices(s, arranged(s, x, &left), batch, rows, depth);
    ir_value *b = as_matrices(s, arranged(s, y, &right), batch, depth, right.rank - batch - depth);
    r.v = from_matrices(s, build_op2(s->b, OP_MatMul, a, b), &r.term, x, y);
    return r;
}

/* ---- the order ------------------------------------------------------------------------------------------------------------- */

static double extent(const einsum *s, label_set set) {
    double n = 1;
    for (uint32_t i = 0; i < s->e.n_labels; i++) {
        int64_t size = ASSUMED_SIZE;
        if (!(set & bit(i))) continue;
        if (!ir_dim_is_const(s->size[i], &size)) size = ASSUMED_SIZE;
        n *= (double)size;
    }
    return n;
}

/* Labels that the operands outside of `group` (a set of operands) or the result have. */
static label_set needed_outside(const einsum *s, uint64_t group) {
    label_set set = ir_einsum_labels(&s->e.out);
    for (uint32_t i = 0; i < s->n; i++)
        if (!(group >> i & 1)) set |= labels(&s->factors[i]);
    return set;
}

static label_set labels_inside(const einsum *s, uint64_t group) {
    label_set set = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (group >> i & 1) set |= labels(&s->factors[i]);
    return set;
}

/* What is left of a group of operands once they are multiplied. */
static label_set labels_of_product(const einsum *s, uint64_t group) {
    return labels_inside(s, group) & needed_outside(s, group);
}

/* For every group of operands the half that is multiplied last, by the least cost of the whole. */
static uint64_t *best_halves(const einsum *s) {
    uint64_t all = ((uint64_t)1 << s->n) - 1;
    double *cost = TL_NEW_ARRAY(s->arena, double, all + 1);
    uint64_t *half = TL_NEW_ARRAY(s->arena, uint64_t, all + 1);
    label_set *left = TL_NEW_ARRAY(s->arena, label_set, all + 1);
    for (uint64_t g = 1; g <= all; g++) {
        left[g] = labels_of_product(s, g);
        for (uint64_t h = (g - 1) & g; h; h = (h - 1) & g) {
            if (!(h & (g & -g)))
                continue; /* each division once; the first operand stays on the left */
            double c = cost[h] + cost[g & ~h] + extent(s, left[h] | left[g & ~h]);
            if (!half[g] || c < cost[g]) cost[g] = c, half[g] = h;
        }
    }
    return half;
}

static factor multiply_group(einsum *s, const uint64_t *half, uint64_t group) {
    uint32_t first = (uint32_t)__builtin_ctzll(group);
    if (!half[group]) return s->factors[first];
    factor x = multiply_group(s, half, half[group]);
    factor y = multiply_group(s, half, group & ~half[group]);
    return multiply(s, &x, &y, needed_outside(s, group));
}

/* Too many operands for all orders: the cheapest pair first. */
static factor multiply_greedily(einsum *s) {
    while (s->n > 1) {
        uint32_t best_i = 0, best_k = 1;
        double best = -1;
        for (uint32_t i = 0; i < s->n; i++)
            for (uint32_t k = i + 1; k < s->n; k++) {
                double c = extent(s, labels(&s->factors[i]) | labels(&s->factors[k]));
                if (best < 0 || c < best) best = c, best_i = i, best_k = k;
            }
        uint64_t pair = (uint64_t)1 << best_i | (uint64_t)1 << best_k;
        s->factors[best_i] = multiply(s, &s->factors[best_i], &s->factors[best_k],
                                      needed_outside(s, pair));
        s->factors[best_k] = s->factors[--s->n];
    }
    return s->factors[0];
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------- */

/* The type that is computed in: products of matrices exist for integers of 32 bits and more. */
static ir_dtype compute_type(ir_dtype t) {
    return ir_dtype_is_float(t) ? ir_dtype_compute(t) : ir_dtype_bits(t) < 32 ? DT_i32 : t;
}

static bool read_operands(einsum *s, ir_node *n) {
    int32_t *ranks = TL_NEW_ARRAY(s->arena, int32_t, n->n_in);
    if (n->n_in > MAX_OPERANDS) return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_type *t = n->in[i].value->type;
        if (!can_build_type(s->b, t)) return false;
        ranks[i] = t->rank;
    }
    const char *equation = ir_attr_string(n, "equation", "");
    if (ir_einsum_parse(&s->e, s->arena, equation, ranks, n->n_in)) return false;
    s->n = n->n_in;
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = n->in[i].value;
        s->factors[i] = (factor){v, s->e.terms[i]};
        for (int32_t k = 0; k < ranks[i]; k++) {
            const ir_dim **size = &s->size[s->e.terms[i].label[k]];
            if (!*size || ir_dim_is(*size, 1)) *size = v->type->dims[k];
        }
    }
    return true;
}

static bool ranks_fit(const einsum *s) {
    return s->e.n_labels + 2 <= IR_MAX_RANK; /* a product has each label once */
}

bool decompose_einsum(ir_builder *b, ir_node *n) {
    einsum s = {.b = b, .arena = b->m->arena};
    if (!read_operands(&s, n) || !ranks_fit(&s)) return false;
    ir_dtype type = n->out[0].type->dtype;
    for (uint32_t i = 0; i < s.n; i++) {
        s.factors[i].v = build_cast(b, s.factors[i].v, compute_type(type));
        drop_repeated(&s, &s.factors[i]);
        take_diagonals(&s, &s.factors[i]);
    }
    for (uint32_t i = 0; i < s.n; i++)
        sum_unneeded(&s, &s.factors[i], needed_outside(&s, (uint64_t)1 << i));
    uint64_t all = s.n < 64 ? ((uint64_t)1 << s.n) - 1 : UINT64_MAX;
    factor y = s.n <= MAX_EXACT ? multiply_group(&s, best_halves(&s), all) : multiply_greedily(&s);
    return decompose_give(n, 0, build_cast(b, arranged(&s, &y, &s.e.out), type));
}
