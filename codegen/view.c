/* Views: buffer + offset + a stride per dimension. What view operators compute instead of moving data; see lower.h.
 *
 *   %x f32[2,6] dense      strides 6,1      offset 0
 *   Transpose(%x)          strides 1,6
 *   Slice(%x, 1:5:2 on 1)  strides 6,2      offset 1
 *   Expand to [3,2,6]      strides 0,6,1
 *
 * Extents and strides are dimension expressions; what cannot be proven equal is taken as different, and the caller copies. */
#include "codegen/lower.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

static cg_view *view_alloc(cg *g, const cg_view *like, int32_t rank) {
    cg_view *v = TL_NEW(g->arena, cg_view);
    *v = *like;
    v->rank = rank;
    v->dims = TL_NEW_ARRAY(g->arena, const ir_dim *, (size_t)rank);
    v->strides = TL_NEW_ARRAY(g->arena, const ir_dim *, (size_t)rank);
    return v;
}

static void set_dense_strides(cg *g, cg_view *v) {
    const ir_dim *stride = cg_dc(g, 1);
    for (int32_t i = v->rank - 1; i >= 0; i--) {
        v->strides[i] = stride;
        stride = ir_dim_mul(g->c, stride, v->dims[i]);
    }
}

cg_view *cg_view_dense(cg *g, cg_buffer *b, const ir_type *t) {
    cg_view *v = view_alloc(g, &(cg_view){.buffer = b, .dtype = t->dtype, .offset = cg_dc(g, 0)},
                            t->rank);
    for (int32_t i = 0; i < t->rank; i++)
        v->dims[i] = t->dims[i];
    set_dense_strides(g, v);
    return v;
}

cg_view *cg_view_copy(cg *g, const cg_view *v) {
    cg_view *copy = view_alloc(g, v, v->rank);
    for (int32_t i = 0; i < v->rank; i++) {
        copy->dims[i] = v->dims[i];
        copy->strides[i] = v->strides[i];
    }
    return copy;
}

bool cg_view_is_dense(cg *g, const cg_view *v) {
    const ir_dim *stride = cg_dc(g, 1);
    for (int32_t i = v->rank - 1; i >= 0; i--) {
        if (!ir_dim_is(v->dims[i], 1) && !ir_dim_equal(v->strides[i], stride)) return false;
        stride = ir_dim_mul(g->c, stride, v->dims[i]);
    }
    return true;
}

/* Dimensions [first, first+n) of v step evenly through memory: each stride is the next one's times its extent. */
static bool is_even(cg *g, const cg_view *v, const int32_t *axes, int32_t n) {
    for (int32_t i = 0; i + 1 < n; i++) {
        const ir_dim *step = ir_dim_mul(g->c, v->strides[axes[i + 1]], v->dims[axes[i + 1]]);
        if (!ir_dim_equal(v->strides[axes[i]], step)) return false;
    }
    return true;
}

/* One group: the extents of `to`[j0, j1) multiply to those of the old axes. Strides follow from the innermost old one. */
static void split_group(cg *g, cg_view *to, int32_t j0, int32_t j1, const ir_dim *stride) {
    for (int32_t j = j1 - 1; j >= j0; j--) {
        to->strides[j] = stride;
        stride = ir_dim_mul(g->c, stride, to->dims[j]);
    }
}

/* Walks both shapes at once, cutting them into the smallest groups of equal size. */
static bool regroup(cg *g, const cg_view *v, const int32_t *axes, int32_t n_axes, cg_view *to) {
    int32_t i = 0, j = 0;
    while (i < n_axes) {
        int32_t i0 = i, j0 = j;
        const ir_dim *old_size = v->dims[axes[i++]], *new_size = cg_dc(g, 1);
        for (;;) {
            while (j < to->rank && !ir_dim_equal(old_size, new_size))
                new_size = ir_dim_mul(g->c, new_size, to->dims[j++]);
            if (ir_dim_equal(old_size, new_size)) break;
            if (i == n_axes) return false;
            old_size = ir_dim_mul(g->c, old_size, v->dims[axes[i++]]);
            new_size = cg_dc(g, 1);
            j = j0;
        }
        if (!is_even(g, v, axes + i0, i - i0)) return false;
        split_group(g, to, j0, j, v->strides[axes[i - 1]]);
    }
    for (; j < to->rank; j++) { /* trailing ones */
        if (!ir_dim_is(to->dims[j], 1)) return false;
        to->strides[j] = cg_dc(g, 1);
    }
    return true;
}

cg_view *cg_view_reshape(cg *g, const cg_view *v, int32_t rank, const ir_dim *const *dims) {
    cg_view *to = view_alloc(g, v, rank);
    for (int32_t i = 0; i < rank; i++)
        to->dims[i] = dims[i];
    if (cg_view_is_dense(g, v)) {
        set_dense_strides(g, to);
        return to;
    }
    int32_t axes[IR_MAX_RANK], n = 0;
    for (int32_t i = 0; i < v->rank; i++)
        if (!ir_dim_is(v->dims[i], 1)) axes[n++] = i;
    return regroup(g, v, axes, n, to) ? to : NULL;
}

cg_view *cg_view_permute(cg *g, const cg_view *v, const int64_t *perm) {
    cg_view *to = view_alloc(g, v, v->rank);
    for (int32_t i = 0; i < v->rank; i++) {
        to->dims[i] = v->dims[perm[i]];
        to->strides[i] = v->strides[perm[i]];
    }
    return to;
}

/* 1 where the extent is more than 1, else 0: what the stride of an axis is multiplied by that is stretched only if it is 1. */
static const ir_dim *is_not_one(cg *g, const ir_dim *d) {
    const ir_dim *more = ir_dim_sub(g->c, d, cg_dc(g, 1));
    return ir_dim_min(g->c, ir_dim_max(g->c, more, cg_dc(g, 0)), cg_dc(g, 1));
}

/* Stride of an axis of extent `from` in a space of extent `to`. Where the two are not known to be equal, the run tells: 1 is stretched,
 * anything else must be `to`. */
static const ir_dim *broadcast_stride(cg *g, const ir_dim *stride, const ir_dim *from,
                                      const ir_dim *to) {
    if (ir_dim_equal(from, to)) return stride;
    if (ir_dim_is(from, 1)) return cg_dc(g, 0);
    cg_check_broadcast(g, from, to);
    return ir_dim_mul(g->c, stride, is_not_one(g, from));
}

cg_view *cg_view_broadcast(cg *g, const cg_view *v, int32_t rank, const ir_dim *const *dims) {
    TL_ASSERT(rank >= v->rank);
    cg_view *to = view_alloc(g, v, rank);
    for (int32_t i = 0; i < rank; i++) {
        int32_t from = i - (rank - v->rank);
        to->dims[i] = dims[i];
        to->strides[i] = from < 0 ? cg_dc(g, 0)
                                  : broadcast_stride(g, v->strides[from], v->dims[from], dims[i]);
    }
    return to;
}

cg_view *cg_view_slice(cg *g, const cg_view *v, int32_t axis, const ir_dim *start,
                       const ir_dim *step, const ir_dim *n) {
    cg_view *to = cg_view_copy(g, v);
    to->offset = ir_dim_add(g->c, v->offset, ir_dim_mul(g->c, start, v->strides[axis]));
    to->strides[axis] = ir_dim_mul(g->c, v->strides[axis], step);
    to->dims[axis] = n;
    return to;
}

cg_view *cg_view_walk_axis(cg *g, const cg_view *v, int32_t axis, int64_t start,
                           const int64_t *steps, const ir_dim *const *dims, int32_t n) {
    cg_view *to = view_alloc(g, v, v->rank - 1 + n);
    for (int32_t i = 0; i < to->rank; i++) {
        int32_t from = i < axis ? i : i - n + 1;
        bool walks = i >= axis && i < axis + n;
        to->dims[i] = walks ? dims[i - axis] : v->dims[from];
        to->strides[i] = walks ? ir_dim_mul(g->c, v->strides[axis], cg_dc(g, steps[i - axis]))
                               : v->strides[from];
    }
    to->offset = ir_dim_add(g->c, v->offset, ir_dim_mul(g->c, cg_dc(g, start), v->strides[axis]));
    return to;
}

cg_view *cg_view_drop_axis(cg *g, const cg_view *v, int32_t axis) {
    cg_view *to = view_alloc(g, v, v->rank - 1);
    for (int32_t i = 0; i < to->rank; i++) {
        to->dims[i] = v->dims[i < axis ? i : i + 1];
        to->strides[i] = v->strides[i < axis ? i : i + 1];
    }
    return to;
}
