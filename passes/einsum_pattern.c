/* Einsum: constants of zeros and ones that say which elements meet (see decompose_einsum.c).
 *
 *   P f32[3,4,6], 1 where i = o + k - 1:  the pattern of a convolution along one axis, kernel 3, padding 1
 *   Einsum<equation="ci,koi->cko">(%x, @P)   ->   Gather<axis=1>(Pad(%x, [0,1,0,1]), @table)     table[k,o] = o + k
 *
 * Looked along one axis such a tensor has at most one 1 for each place in its other axes: a sum over that axis is a table of positions.
 * Where positions go evenly, the operand is padded as far as they reach, so that the table stays one of even steps, which code
 * generation reads in place; else one 0 behind the operand stands for "nowhere". */
#include "passes/einsum.h"

#include "ir/tensor.h"

enum { MAX_ELEMENTS = 1 << 26 };

/* Positions along each axis, by the other axes in their order; NULL where there may be several. */
struct einsum_pattern {
    int32_t rank, size[3];
    const int32_t *position[3];
};

static int32_t next_axis(const einsum_pattern *p, int32_t axis, int32_t nth) {
    for (int32_t i = 0; i < p->rank; i++)
        if (i != axis && nth-- == 0) return i;
    return -1;
}

/* Size of the nth of the axes that are not `axis`. */
static int64_t other_size(const einsum_pattern *p, int32_t axis, int32_t nth) {
    int32_t other = next_axis(p, axis, nth);
    return other < 0 ? 1 : p->size[other];
}

static const int32_t *positions_along(tl_arena *arena, const ir_tensor *t, const einsum_pattern *p,
                                      int32_t axis) {
    size_t inner = 1, outer = 1, n = (size_t)p->size[axis];
    for (int32_t i = 0; i < p->rank; i++)
        if (i != axis) *(i < axis ? &outer : &inner) *= (size_t)p->size[i];
    int32_t *table = TL_NEW_ARRAY(arena, int32_t, outer *inner);
    for (size_t at = 0; at < outer * inner; at++) {
        table[at] = -1;
        for (size_t i = 0; i < n; i++) {
            if (ir_tensor_get_f64(t, (at / inner * n + i) * inner + at % inner) == 0) continue;
            if (table[at] >= 0) return NULL;
            table[at] = (int32_t)i;
        }
    }
    return table;
}

static bool is_zeros_and_ones(const ir_tensor *t, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double v = ir_tensor_get_f64(t, i);
        if (v != 0 && v != 1) return false;
    }
    return true;
}

/* Every operand with f's labels has numbers as sizes there. */
static bool sizes_are_known(const einsum *s, const factor *f) {
    for (uint32_t i = 0; i < s->n; i++) {
        const factor *x = &s->factors[i];
        for (int32_t k = 0; k < x->term.rank; k++)
            if (ir_einsum_axis(&f->term, x->term.label[k]) >= 0 &&
                !ir_dim_is_const(x->v->type->dims[k], NULL))
                return false;
    }
    return true;
}

const einsum_pattern *einsum_find_pattern(einsum *s, const factor *f) {
    if (!ir_value_is_const(f->v) || f->v->tensor->opaque || !ir_dtype_is_float(f->v->type->dtype))
        return NULL;
    size_t n = ir_tensor_elements(f->v->tensor);
    einsum_pattern p = {.rank = f->term.rank};
    if (p.rank < 2 || p.rank > 3 || !n || n > MAX_ELEMENTS || !sizes_are_known(s, f) ||
        !is_zeros_and_ones(f->v->tensor, n))
        return NULL;
    bool any = false;
    for (int32_t i = 0; i < p.rank; i++) {
        int64_t size = 0;
        ir_dim_is_const(f->v->type->dims[i], &size);
        p.size[i] = (int32_t)size;
    }
    for (int32_t i = 0; i < p.rank; i++) {
        p.position[i] = positions_along(s->arena, f->v->tensor, &p, i);
        any = any || p.position[i];
    }
    einsum_pattern *kept = any ? TL_NEW(s->arena, einsum_pattern) : NULL;
    if (kept) *kept = p;
    return kept;
}

/* ---- even steps ----------------------------------------------------------------------------------------------------------- */

/* The step of positions from one row (`along` = 0) or column of the table to the next, from the first pair that has both; 1 where no
 * pair tells. */
static int64_t find_step(const int32_t *table, int64_t rows, int64_t columns, int32_t along) {
    int64_t far = along ? 1 : columns;
    for (int64_t r = 0; r + !along < rows; r++)
        for (int64_t c = 0; c + along < columns; c++) {
            int32_t here = table[r * columns + c], next = table[r * columns + c + far];
            if (here >= 0 && next >= 0) return (int64_t)next - here;
        }
    return 1;
}

bool einsum_pattern_affine(const einsum_pattern *p, int32_t axis, affine_pattern *out) {
    const int32_t *table = p->position[axis];
    int64_t rows = other_size(p, axis, 0), columns = other_size(p, axis, 1), i = 0;
    if (!table) return false;
    while (i < rows * columns && table[i] < 0)
        i++;
    if (i == rows * columns) return false;
    out->a = find_step(table, rows, columns, 0);
    out->b = find_step(table, rows, columns, 1);
    out->offset = table[i] - out->a * (i / columns) - out->b * (i % columns);
    for (i = 0; i < rows * columns; i++) {
        int64_t at = out->offset + out->a * (i / columns) + out->b * (i % columns);
        if (table[i] != (at >= 0 && at < p->size[axis] ? at : -1)) return false;
    }
    return true;
}

/* ---- look-ups ------------------------------------------------------------------------------------------------------------- */

bool einsum_is_lookup(label_set x, const factor *p, label_set needed) {
    label_set both = x & factor_labels(p);
    if (!p->pattern || !both || (both & (both - 1)) || (both & needed)) return false;
    return p->pattern->position[ir_einsum_axis(&p->term, (uint32_t)__builtin_ctzll(both))] != NULL;
}

typedef struct look_up {
    einsum *s;
    const factor *x;
    const einsum_pattern *p;
    int32_t axis, p_axis;
    int64_t rows, columns;
} look_up;

static ir_value *padded(const look_up *l, int64_t before, int64_t after) {
    int64_t pads[2 * IR_MAX_RANK] = {0};
    uint32_t rank = (uint32_t)l->x->term.rank;
    pads[l->axis] = before, pads[rank + (uint32_t)l->axis] = after;
    return before || after
               ? build_op2(l->s->b, OP_Pad, l->x->v, build_i64s(l->s->b, pads, 2 * rank))
               : l->x->v;
}

/* Gather with positions[r, c] along the axis. */
static ir_value *gather(const look_up *l, ir_value *v, const int32_t *positions) {
    ir_builder *b = l->s->b;
    int64_t sizes[] = {l->rows, l->columns};
    ir_tensor *t = ir_tensor_alloc(b->m->arena,
                                   ir_type_tensor_static(b->m->ctx, DT_i64, l->p->rank - 1, sizes));
    for (int64_t i = 0; i < l->rows * l->columns; i++)
        ir_tensor_set_i64(t, (size_t)i, positions[i]);
    ir_tensor_seal(t);
    return build_op2_int(b, OP_Gather, v, ir_module_const(b->m, t, NULL), "axis", l->axis);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Even steps: padded as far as they reach; NULL where that would be mostly padding. */
static ir_value *look_up_evenly(const look_up *l) {
    affine_pattern f;
    int64_t size = l->p->size[l->p_axis];
    if (!einsum_pattern_affine(l->p, l->p_axis, &f)) return NULL;
    int64_t a_reach = f.a * (l->rows - 1), b_reach = f.b * (l->columns - 1);
    int64_t first = f.offset + least(a_reach, 0) + least(b_reach, 0);
    int64_t last = f.offset + a_reach - least(a_reach, 0) + b_reach - least(b_reach, 0);
    int64_t before = -least(first, 0), after = -least(size - 1 - last, 0);
    if (before + after > 2 * size + 16) return NULL;
    int32_t *positions = TL_NEW_ARRAY(l->s->arena, int32_t, l->rows * l->columns);
    for (int64_t i = 0; i < l->rows * l->columns; i++)
        positions[i] = (int32_t)(f.offset + f.a * (i / l->columns) + f.b * (i % l->columns) +
                                 before);
    return gather(l, padded(l, before, after), positions);
}

static ir_value *look_up_in_table(const look_up *l) {
    int32_t *positions = TL_NEW_ARRAY(l->s->arena, int32_t, l->rows * l->columns);
    bool any = false;
    for (int64_t i = 0; i < l->rows * l->columns; i++) {
        int32_t at = l->p->position[l->p_axis][i];
        positions[i] = at < 0 ? l->p->size[l->p_axis] : at;
        any = any || at < 0;
    }
    return gather(l, padded(l, 0, any), positions);
}

factor einsum_look_up(einsum *s, const factor *x, const factor *p) {
    uint32_t label = (uint32_t)__builtin_ctzll(factor_labels(x) & factor_labels(p));
    look_up l = {.s = s,
                 .x = x,
                 .p = p->pattern,
                 .axis = ir_einsum_axis(&x->term, label),
                 .p_axis = ir_einsum_axis(&p->term, label)};
    l.rows = other_size(l.p, l.p_axis, 0), l.columns = other_size(l.p, l.p_axis, 1);
    factor r = {.v = look_up_evenly(&l)};
    if (!r.v) r.v = look_up_in_table(&l);
    for (int32_t i = 0; i < x->term.rank; i++) {
        if (i == l.axis)
            einsum_append(&r.term, &p->term, ~einsum_bit(label));
        else
            r.term.label[r.term.rank++] = x->term.label[i];
    }
    return r;
}
