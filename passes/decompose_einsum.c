/* Einsum as products of matrices (see decompose.c).
 *
 *   %y = Einsum<equation="bi,bji,jk->bk">(%a, %b, %c)       %1 = MatMul(%b as [b,j,i], %a as [b,i,1])      labels b, j
 *                                                     ->    %y = MatMul(%1, %c)                            labels b, k
 *
 * First every operand alone: repeated labels become diagonals, labels that nothing else has are summed. Then operands meet in pairs, in
 * the order of the least arithmetic: of all orders for up to MAX_EXACT operands (dynamic programming over the sets of operands), else the
 * cheapest pair first. A pair's labels are those of the batch (in both, still needed), summed ones (in both, needed no more), and those
 * of one side. Products that sum nothing are elementwise.
 *
 * Constants of zeros and ones that say which elements meet (one per axis of a convolution written as an einsum) are never multiplied
 * with: the whole may be a convolution (einsum_conv.c); else a product with one is a look-up (einsum_pattern.c), which costs what it
 * moves and no arithmetic. Both take 0 * x as 0 also where x is infinite: with --math=strict, patterns are tensors like others. */
#include "passes/einsum.h"

#include "passes/decompose.h"
#include "passes/util.h"

enum {
    MAX_EXACT = 10,
    ASSUMED_SIZE = 64, /* of a dimension only the run knows */
    MOVE = 8           /* what an element of a result costs, in multiply-adds */
};

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
    ir_value *v = build_range(b, f->v->type->dims[axis]);
    int64_t shape[IR_MAX_RANK];
    for (int32_t i = 0; i < f->term.rank; i++)
        shape[i] = i == axis ? -1 : 1;
    return build_op2(b, OP_Reshape, v, build_i64s(b, shape, (uint32_t)f->term.rank));
}

/* Two axes with one label: what is beside the diagonal counts as 0, and one axis is summed. */
static void take_diagonal(einsum *s, factor *f, int32_t first, int32_t second) {
    ir_value *row = positions(s, f, first), *column = positions(s, f, second);
    ir_value *on = build_op2(s->b, OP_Equal, row, column);
    f->v = build_op3(s->b, OP_Where, on, f->v, build_scalar(s->b, f->v->type->dtype, 0));
    sum_axis(s, f, second);
}

static void take_diagonals(einsum *s, factor *f) {
    for (int32_t i = f->term.rank; i-- > 0;) {
        int32_t first = ir_einsum_axis(&f->term, f->term.label[i]);
        if (first < i) take_diagonal(s, f, first, i);
    }
}

static void squeeze_axis(einsum *s, factor *f, int32_t axis) {
    f->v = build_op2(s->b, OP_Squeeze, f->v, build_i64s(s->b, (int64_t[]){axis}, 1));
    drop_axis(f, axis);
}

/* An axis of 1 that others repeat adds nothing but its label. */
static void drop_repeated(einsum *s, factor *f) {
    for (int32_t i = f->term.rank; i-- > 0;) {
        if (!ir_dim_is(f->v->type->dims[i], 1) || ir_dim_is(s->size[f->term.label[i]], 1)) continue;
        squeeze_axis(s, f, i);
    }
}

static void sum_unneeded(einsum *s, factor *f, label_set needed) {
    for (int32_t i = f->term.rank; i-- > 0;) {
        if (needed & einsum_bit(f->term.label[i])) continue;
        sum_axis(s, f, i);
        f->pattern = NULL;
    }
}

/* ---- the order ------------------------------------------------------------------------------------------------------------- */

double einsum_extent(const einsum *s, label_set set) {
    double n = 1;
    for (uint32_t i = 0; i < s->e.n_labels; i++) {
        int64_t size = ASSUMED_SIZE;
        if (!(set & einsum_bit(i))) continue;
        if (!ir_dim_is_const(s->size[i], &size)) size = ASSUMED_SIZE;
        n *= (double)size;
    }
    return n;
}

/* Labels that the operands outside of `group` (a set of operands) or the result have. */
label_set einsum_needed_outside(const einsum *s, uint64_t group) {
    label_set set = ir_einsum_labels(&s->e.out);
    for (uint32_t i = 0; i < s->n; i++)
        if (!(group >> i & 1)) set |= factor_labels(&s->factors[i]);
    return set;
}

static label_set labels_inside(const einsum *s, uint64_t group) {
    label_set set = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (group >> i & 1) set |= factor_labels(&s->factors[i]);
    return set;
}

/* What is left of a group of operands once they are multiplied. */
static label_set labels_of_product(const einsum *s, uint64_t group) {
    return labels_inside(s, group) & einsum_needed_outside(s, group);
}

/* p is one pattern, and x is only looked up in it. */
static bool is_look_up(const einsum *s, uint64_t x, uint64_t p, const label_set *left) {
    const factor *f = &s->factors[__builtin_ctzll(p)];
    return !(p & (p - 1)) && einsum_is_lookup(left[x], f, einsum_needed_outside(s, x | p));
}

/* A product's arithmetic and what it stores; a look-up only stores. `left`: what is left of each group. */
static double pair_cost(const einsum *s, uint64_t x, uint64_t y, const label_set *left) {
    double moved = MOVE * einsum_extent(s, left[x | y]);
    if (is_look_up(s, x, y, left) || is_look_up(s, y, x, left)) return moved;
    return einsum_extent(s, left[x] | left[y]) + moved;
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
            double c = cost[h] + cost[g & ~h] + pair_cost(s, h, g & ~h, left);
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
    return einsum_multiply(s, &x, &y, einsum_needed_outside(s, group));
}

/* Too many operands for all orders: the cheapest pair first. */
static factor multiply_greedily(einsum *s) {
    while (s->n > 1) {
        uint32_t best_i = 0, best_k = 1;
        double best = -1;
        for (uint32_t i = 0; i < s->n; i++)
            for (uint32_t k = i + 1; k < s->n; k++) {
                double c = einsum_extent(s, factor_labels(&s->factors[i]) |
                                                factor_labels(&s->factors[k]));
                if (best < 0 || c < best) best = c, best_i = i, best_k = k;
            }
        uint64_t pair = (uint64_t)1 << best_i | (uint64_t)1 << best_k;
        s->factors[best_i] = einsum_multiply(s, &s->factors[best_i], &s->factors[best_k],
                                             einsum_needed_outside(s, pair));
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
    if (n->n_in > EINSUM_MAX_OPERANDS) return false;
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
        s->factors[i] = (factor){.v = v, .term = s->e.terms[i]};
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

/* Patterns go last: groups of operands that are alike but for names are then multiplied in the same order, and computed once. */
static void find_patterns(einsum *s) {
    factor found[EINSUM_MAX_OPERANDS];
    uint32_t n_found = 0, n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        factor f = s->factors[i];
        f.pattern = einsum_find_pattern(s, &f);
        *(f.pattern ? &found[n_found++] : &s->factors[n++]) = f;
    }
    memcpy(s->factors + n, found, n_found * sizeof *found);
}

/* Operands without axes, multiplied together; they wait for the end, where the product's own kernel takes a factor over. NULL without
 * any, and where there is nothing else. */
static ir_value *take_scalars(einsum *s) {
    ir_value *product = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        factor *f = &s->factors[i];
        bool last = n == 0 && i + 1 == s->n;
        if (f->term.rank || last)
            s->factors[n++] = *f;
        else
            product = product ? build_op2(s->b, OP_Mul, product, f->v) : f->v;
    }
    s->n = n;
    return product;
}

static factor multiply_all(einsum *s) {
    ir_value *scalar = take_scalars(s);
    uint64_t all = s->n < 64 ? ((uint64_t)1 << s->n) - 1 : UINT64_MAX;
    factor y;
    if (!einsum_as_conv(s, &y))
        y = s->n <= MAX_EXACT ? multiply_group(s, best_halves(s), all) : multiply_greedily(s);
    if (scalar) y.v = build_op2(s->b, OP_Mul, y.v, scalar);
    return y;
}

static bool decompose(ir_builder *b, ir_node *n, bool patterns) {
    einsum s = {.b = b, .arena = b->m->arena};
    if (!read_operands(&s, n) || !ranks_fit(&s)) return false;
    ir_dtype type = n->out[0].type->dtype;
    for (uint32_t i = 0; i < s.n; i++) {
        s.factors[i].v = build_cast(b, s.factors[i].v, compute_type(type));
        drop_repeated(&s, &s.factors[i]);
        take_diagonals(&s, &s.factors[i]);
    }
    if (patterns) find_patterns(&s);
    for (uint32_t i = 0; i < s.n; i++)
        sum_unneeded(&s, &s.factors[i], einsum_needed_outside(&s, (uint64_t)1 << i));
    factor y = multiply_all(&s);
    return decompose_give(n, 0, build_cast(b, einsum_arranged(&s, &y, &s.e.out), type));
}

bool decompose_einsum(ir_builder *b, ir_node *n) {
    return decompose(b, n, true);
}

bool decompose_einsum_strict(ir_builder *b, ir_node *n) {
    return decompose(b, n, false);
}
