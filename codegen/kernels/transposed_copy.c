/* See transposed_copy.h.
 *
 *   unit: two squares side by side, of one position of the outer axes    (as wide as a line of the cache, so that it is written whole)
 *     for j = 0 to across step side:    x[i] = load from[i][j .. j+side)   transpose   store to[j+i][...]
 *
 * What is left over at the end of an axis is covered by a square that reaches back to the end: it writes some elements again, by the same
 * thread. Elements have four bytes; sizes and strides of the axes within a square are constants, of the others anything. */
#include "codegen/kernels/transposed_copy.h"

#include "codegen/kernels/transpose.h"
#include "codegen/lower/short.h"

enum { MIN_ELEMENTS = 1024, MAX_SQUARES = 8 };

typedef struct axis {
    const ir_dim *size, *from, *to; /* strides of the two views */
} axis;

typedef struct crossing {
    cg_kernel k;
    axis axes[IR_MAX_RANK_NEST]; /* outermost first, those of the square's columns last */
    int32_t rank;
    unsigned lanes, run, side; /* of a square: side * run = lanes */
    axis across;               /* along it `from` is contiguous */
    int64_t length;            /* of it */
    unsigned squares;          /* side by side in a unit */
    int64_t inner;        /* of the last axis where a unit has all of it; 0: it is stepped along */
    int64_t inner_stride; /* in `from` */
    int64_t stepped;      /* size of the axis along which units follow each other */
    int64_t width;        /* positions of it in a unit */
    int64_t stepped_stride; /* in `from` */
    lp_value *from, *to;
} crossing;

/* ---- is it such a copy? ----------------------------------------------------------------------------------------------- */

static bool are_one(cg *g, const axis *outer, const axis *inner) {
    return ir_dim_equal(outer->from, ir_dim_mul(g->c, inner->from, inner->size)) &&
           ir_dim_equal(outer->to, ir_dim_mul(g->c, inner->to, inner->size));
}

/* Axes of one position are left out; neighbours that are one axis in both views are merged. */
static void gather_axes(cg *g, crossing *x, const cg_view *from, const cg_view *to) {
    for (int32_t i = 0; i < to->rank; i++) {
        axis a = {to->dims[i], from->strides[i], to->strides[i]};
        if (ir_dim_is(a.size, 1)) continue;
        axis *last = x->rank ? &x->axes[x->rank - 1] : NULL;
        if (last && are_one(g, last, &a))
            *last = (axis){ir_dim_mul(g->c, last->size, a.size), a.from, a.to};
        else
            x->axes[x->rank++] = a;
    }
}

/* Elements that stay side by side: an axis of its own, at the end. */
static void take_run(crossing *x) {
    int64_t n;
    x->run = 1;
    if (!x->rank) return;
    const axis *last = &x->axes[x->rank - 1];
    if (!ir_dim_is(last->from, 1) || !ir_dim_is(last->to, 1)) return;
    if (!ir_dim_is_const(last->size, &n) || (n != 2 && n != 4) || n >= x->lanes) return;
    x->run = (unsigned)n;
    x->rank--;
}

/* Takes the axis along which `from` goes on behind the run out of the others. */
static bool take_across(crossing *x) {
    for (int32_t i = 0; i + 1 < x->rank; i++) {
        if (!ir_dim_is(x->axes[i].from, x->run)) continue;
        x->across = x->axes[i];
        x->rank--;
        memmove(x->axes + i, x->axes + i + 1, (size_t)(x->rank - i) * sizeof *x->axes);
        return ir_dim_is_const(x->across.size, &x->length) && x->length >= x->side;
    }
    return false;
}

/* Squares side by side that are a whole number of positions of the stepped axis: two, or as few as that takes. */
static bool choose_width(crossing *x) {
    int64_t inner = x->inner ? x->inner : 1;
    for (unsigned i = 2; i <= MAX_SQUARES + 1; i++) {
        x->squares = i <= MAX_SQUARES ? i : 1;
        x->width = x->squares * x->side / inner;
        if (x->squares * x->side % inner == 0 && x->width <= x->stepped) return true;
    }
    return false;
}

/* The columns of squares run along the last axis, or along all of a short one and the axis before it. */
static bool take_columns(crossing *x) {
    const axis *last = &x->axes[x->rank - 1];
    if (!ir_dim_is(last->to, x->run) || !ir_dim_is_const(last->size, &x->stepped) ||
        !ir_dim_is_const(last->from, &x->stepped_stride))
        return false;
    if (x->stepped >= x->side) return choose_width(x);
    if (x->rank < 2 || !ir_dim_is(last[-1].to, x->stepped * x->run)) return false;
    x->inner = x->stepped;
    x->inner_stride = x->stepped_stride;
    x->rank--;
    return ir_dim_is_const(last[-1].size, &x->stepped) &&
           ir_dim_is_const(last[-1].from, &x->stepped_stride) && choose_width(x);
}

static bool find_crossing(cg *g, crossing *x, const cg_view *from, const cg_view *to) {
    int64_t elements;
    const ir_dim *all = cg_dims_product(g, to->dims, to->rank);
    x->lanes = g->target->lanes_f32;
    if (from->dtype != to->dtype || cg_elem_bytes(to->dtype) != 4 || x->lanes < 4 ||
        x->lanes > CG_TRANSPOSE_MAX || to->rank > IR_MAX_RANK_NEST ||
        (ir_dim_is_const(all, &elements) && elements < MIN_ELEMENTS))
        return false;
    gather_axes(g, x, from, to);
    take_run(x);
    x->side = x->lanes / x->run;
    return x->rank >= 2 && take_across(x) && take_columns(x);
}

/* ---- the kernel --------------------------------------------------------------------------------------------------------- */

/* Where the i-th column of a square begins in `from`, counted from the first. */
static int64_t column_offset(const crossing *x, int64_t i) {
    if (!x->inner) return i * x->stepped_stride;
    return i / x->inner * x->stepped_stride + i % x->inner * x->inner_stride;
}

/* Elements j .. j + side along the axis across, of squares side by side whose first columns begin at these elements. */
static void copy_squares(crossing *x, lp_value *from_at, lp_value *to_at, lp_value *j) {
    lp_builder *b = &x->k.b;
    lp_type type = lp_vec(x->k.args[0].view->dtype, x->lanes);
    lp_value *in = add(b, from_at, mul(b, j, lp_index(b, x->run)));
    lp_value *stride = cg_kernel_dim(&x->k, x->across.to), *row[CG_TRANSPOSE_MAX];
    for (unsigned s = 0; s < x->squares; s++) {
        for (unsigned i = 0; i < x->side; i++)
            row[i] = lp_load(b, type, x->from,
                             add(b, in, lp_index(b, column_offset(x, s * x->side + i))));
        cg_transpose(b, row, x->lanes, x->run);
        for (unsigned i = 0; i < x->side; i++) {
            lp_value *at = add(b, to_at, mul(b, add(b, j, lp_index(b, i)), stride));
            lp_store(b, x->to, add(b, at, lp_index(b, s * x->lanes)), row[i]);
        }
    }
}

/* All of the axis across, from position `first` of the stepped axis on. */
static void copy_columns(crossing *x, lp_value *from_at, lp_value *to_at, lp_value *first) {
    lp_builder *b = &x->k.b;
    const axis *a = &x->axes[x->rank - 1];
    from_at = add(b, from_at, mul(b, first, lp_index(b, x->stepped_stride)));
    to_at = add(b, to_at, mul(b, first, cg_kernel_dim(&x->k, a->to)));
    lp_value *whole = lp_index(b, x->length / x->side * x->side);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), whole, lp_index(b, x->side), NULL, 0);
    copy_squares(x, from_at, to_at, l.counter);
    lp_for_end(b, &l, NULL);
    if (x->length % x->side) copy_squares(x, from_at, to_at, lp_index(b, x->length - x->side));
}

/* The unit's squares, and behind the last ones those that reach back from the end. */
static void copy_unit(crossing *x, lp_value *unit, const ir_dim *const *sizes) {
    lp_builder *b = &x->k.b;
    lp_value *index[IR_MAX_RANK_NEST], *from_at = lp_index(b, 0), *to_at = from_at;
    int64_t units = x->stepped / x->width;
    cg_unravel(&x->k, unit, sizes, x->rank, index);
    for (int32_t i = 0; i + 1 < x->rank; i++) {
        from_at = add(b, from_at, mul(b, index[i], cg_kernel_dim(&x->k, x->axes[i].from)));
        to_at = add(b, to_at, mul(b, index[i], cg_kernel_dim(&x->k, x->axes[i].to)));
    }
    lp_value *number = index[x->rank - 1];
    copy_columns(x, from_at, to_at, mul(b, number, lp_index(b, x->width)));
    if (x->stepped % x->width == 0) return;
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_eq, number, lp_index(b, units - 1)), NULL, 0);
    copy_columns(x, from_at, to_at, lp_index(b, x->stepped - x->width));
    lp_if_end(b, &l, NULL);
}

bool cg_copy_transposed(cg *g, const cg_view *from, const cg_view *to) {
    crossing *x = TL_NEW(g->arena, crossing);
    const ir_dim *sizes[IR_MAX_RANK_NEST];
    if (!find_crossing(g, x, from, to)) return false;
    for (int32_t i = 0; i + 1 < x->rank; i++)
        sizes[i] = x->axes[i].size;
    sizes[x->rank - 1] = cg_dc(g, x->stepped / x->width);
    x->k = cg_kernel_begin(g, g->node, cg_dims_product(g, sizes, x->rank));
    x->from = cg_kernel_in(&x->k, from, false);
    x->to = cg_kernel_out(&x->k, to, false);
    lp_builder *b = &x->k.b;
    lp_loop l = lp_for_begin(b, x->k.begin, x->k.end, lp_index(b, 1), NULL, 0);
    copy_unit(x, l.counter, sizes);
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&x->k, "transposed copy");
    return true;
}
