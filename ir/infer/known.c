/* Symbolic contents of small integer tensors: what Shape, Gather, Concat, Mul and the like make of dimensions, so that a
 * Reshape or Expand further on has a shape that is known.
 *
 *   %s = Shape(%x)            x: f32[batch,time,64]    {batch, time, 64}
 *   %t = Gather(%s, @1)                                {time}
 *   %u = Div(%t, @4)                                   {time/4}
 *
 * Elements that are not known are "?"; a tensor of which nothing is known has no contents. Booleans are 0 and 1, where the
 * comparison is decided for all sizes (a size equals -1: never). Contents are computed over exact integers: they hold while
 * the values fit the element type. Floats take part where they hold integers, since exporters compute sizes in floats:
 * Floor(Div(Cast(%t), @2.0)) is time/2. Constants have no contents stored; they are read from their payload. */
#include "ir/infer/known.h"

#include <math.h>

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static bool read_constant(ir_ctx *c, const ir_tensor *t, known_tensor *k) {
    bool is_float = ir_dtype_is_float(t->type->dtype);
    if (t->opaque || (!is_float && !ir_dtype_is_int(t->type->dtype) && t->type->dtype != DT_bool))
        return false;
    for (uint32_t i = 0; i < k->n; i++) {
        double v = is_float ? ir_tensor_get_f64(t, i) : 0;
        bool exact = !is_float || (v == floor(v) && fabs(v) <= 0x1p24);
        k->d[i] = exact ? ir_dim_const(c, ir_tensor_get_i64(t, i)) : ir_dim_unknown(c);
    }
    return true;
}

bool known_frame(const ir_type *t, known_tensor *k) {
    size_t n;
    if (!ir_type_is_ranked(t) || !ir_type_static_elements(t, &n) || n > IR_MAX_KNOWN) return false;
    k->n = (uint32_t)n;
    k->rank = t->rank;
    for (int32_t i = 0; i < t->rank; i++)
        ir_dim_is_const(t->dims[i], &k->size[i]);
    return true;
}

bool known_read(ir_ctx *c, const ir_value *v, known_tensor *k) {
    if (!v || (!v->tensor && !v->known) || !known_frame(v->type, k)) return false;
    if (v->tensor) return read_constant(c, v->tensor, k);
    if (v->known->n != k->n) return false;
    memcpy(k->d, v->known->dims, k->n * sizeof *k->d);
    return true;
}

bool known_in(ir_ctx *c, const ir_node *n, uint32_t i, known_tensor *k) {
    return known_read(c, ir_in(n, i), k);
}

/* ---- creation ------------------------------------------------------------------------------------------------------ */

static bool known_shape(ir_ctx *c, const ir_node *n, known_tensor *out) {
    (void)c;
    const ir_type *t = infer_in(n, 0);
    if (!ir_type_is_ranked(t)) return false;
    int64_t start = ir_attr_int(n, "start", 0);
    if (start < 0) start += t->rank;
    if (start < 0) start = 0;
    for (uint32_t i = 0; i < out->n; i++)
        out->d[i] = t->dims[start + i];
    return true;
}

static bool known_size(ir_ctx *c, const ir_node *n, known_tensor *out) {
    out->d[0] = ir_type_elements(c, infer_in(n, 0));
    return true;
}

static bool known_dims(ir_ctx *c, const ir_node *n, known_tensor *out) {
    (void)c;
    const ir_attr *dims = ir_attr_find(n, "dims");
    memcpy(out->d, dims->v.dims, out->n * sizeof *out->d);
    return true;
}

static bool known_constant_of_shape(ir_ctx *c, const ir_node *n, known_tensor *out) {
    const ir_attr *a = ir_attr_find(n, "value");
    known_tensor value;
    bool given = a && a->kind == ATTR_TENSOR;
    if (given &&
        (!known_frame(a->v.t->type, &value) || value.n != 1 || !read_constant(c, a->v.t, &value)))
        return false;
    for (uint32_t i = 0; i < out->n; i++)
        out->d[i] = given ? value.d[0] : ir_dim_const(c, 0);
    return true;
}

static bool known_range(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor start, delta;
    if (!known_in(c, n, 0, &start) || !known_in(c, n, 2, &delta) || start.n != 1 || delta.n != 1)
        return false;
    for (uint32_t i = 0; i < out->n; i++)
        out->d[i] = ir_dim_add(c, start.d[0], ir_dim_mul(c, delta.d[0], ir_dim_const(c, i)));
    return true;
}

/* ---- operators that move elements -------------------------------------------------------------------------------- */

static bool known_same(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x;
    if (!known_in(c, n, 0, &x) || x.n != out->n) return false;
    memcpy(out->d, x.d, x.n * sizeof *x.d);
    return true;
}

/* Position in a tensor of the element at these coordinates; `stride 0` for sizes of 1 makes it broadcast. */
static uint32_t position(const known_tensor *k, const int64_t *at, int32_t rank) {
    int64_t p = 0;
    for (int32_t i = 0; i < k->rank; i++)
        p = p * k->size[i] + (k->size[i] == 1 ? 0 : at[rank - k->rank + i]);
    return (uint32_t)p;
}

static void coordinates(const known_tensor *k, uint32_t index, int64_t *at) {
    for (int32_t i = k->rank; i-- > 0; index = (uint32_t)(index / k->size[i]))
        at[i] = index % k->size[i];
}

static bool known_gather(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x, index;
    int32_t axis;
    if (!known_in(c, n, 0, &x) || !known_in(c, n, 1, &index)) return false;
    if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), x.rank, &axis)) return false;
    for (uint32_t i = 0; i < out->n; i++) {
        int64_t at[IR_MAX_RANK], from[IR_MAX_RANK], k;
        coordinates(out, i, at);
        out->d[i] = ir_dim_unknown(c);
        const ir_dim *d = index.d[position(&index, at + axis, index.rank)];
        if (!ir_dim_is_const(d, &k)) continue;
        if (k < 0) k += x.size[axis];
        if (k < 0 || k >= x.size[axis]) continue;
        for (int32_t a = 0; a < x.rank; a++)
            from[a] = a < axis ? at[a] : a == axis ? k : at[a - 1 + index.rank];
        out->d[i] = x.d[position(&x, from, x.rank)];
    }
    return true;
}

static bool known_gather_elements(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x, index;
    int32_t axis;
    if (!known_in(c, n, 0, &x) || !known_in(c, n, 1, &index)) return false;
    if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), x.rank, &axis)) return false;
    for (int32_t a = 0; a < x.rank; a++)
        if (a != axis && out->size[a] > x.size[a]) return false; /* an error when it runs */
    for (uint32_t i = 0; i < out->n; i++) {
        int64_t at[IR_MAX_RANK], k;
        out->d[i] = ir_dim_unknown(c);
        if (!ir_dim_is_const(index.d[i], &k)) continue;
        coordinates(out, i, at);
        at[axis] = k < 0 ? k + x.size[axis] : k;
        if (at[axis] >= 0 && at[axis] < x.size[axis]) out->d[i] = x.d[position(&x, at, x.rank)];
    }
    return true;
}

static bool known_concat(ir_ctx *c, const ir_node *n, known_tensor *out) {
    int32_t axis;
    int64_t offset = 0, at[IR_MAX_RANK];
    bool any = false;
    if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), out->rank, &axis)) return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        known_tensor x;
        bool known = known_in(c, n, i, &x);
        if (!known && !known_frame(infer_in(n, i), &x)) return false;
        for (uint32_t k = 0; k < x.n; k++) {
            coordinates(&x, k, at);
            at[axis] += offset;
            out->d[position(out, at, out->rank)] = known ? x.d[k] : ir_dim_unknown(c);
        }
        offset += x.size[axis];
        any = any || known;
    }
    return any;
}

static bool known_transpose(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x;
    uint32_t count;
    const int64_t *perm = ir_attr_ints(n, "perm", &count);
    if (!known_in(c, n, 0, &x)) return false;
    for (uint32_t i = 0; i < out->n; i++) {
        int64_t at[IR_MAX_RANK], from[IR_MAX_RANK];
        coordinates(out, i, at);
        for (int32_t a = 0; a < x.rank; a++)
            from[perm ? perm[a] : x.rank - 1 - a] = at[a];
        out->d[i] = x.d[position(&x, from, x.rank)];
    }
    return true;
}

/* Expand and Tile: coordinates modulo the operand's sizes. */
static bool known_repeat(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x;
    if (!known_in(c, n, 0, &x)) return false;
    for (uint32_t i = 0; i < out->n; i++) {
        int64_t at[IR_MAX_RANK];
        coordinates(out, i, at);
        for (int32_t a = 0; a < x.rank; a++)
            at[out->rank - x.rank + a] %= x.size[a];
        out->d[i] = x.d[position(&x, at, out->rank)];
    }
    return true;
}

/* First element and step of a slice along one axis; false where they are no constants. */
static bool slice_start(const known_tensor *starts, const known_tensor *steps, int32_t i,
                        int64_t size, int64_t *start, int64_t *step) {
    *step = 1;
    if (!ir_dim_is_const(starts->d[i], start) || (steps && !ir_dim_is_const(steps->d[i], step)))
        return false;
    if (*start < 0) *start = *start < -size ? -1 : *start + size;
    int64_t last = *step > 0 ? size : size - 1;
    if (*start < 0) *start = 0;
    if (*start > last) *start = last;
    return true;
}

static bool known_slice(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x, starts, steps;
    int32_t axes[IR_MAX_RANK], count;
    int64_t start[IR_MAX_RANK] = {0}, step[IR_MAX_RANK];
    if (!known_in(c, n, 0, &x) || !known_in(c, n, 1, &starts) || starts.n > IR_MAX_RANK)
        return false;
    bool stepped = ir_in(n, 4) != NULL;
    if (stepped && !known_in(c, n, 4, &steps)) return false;
    for (int32_t i = 0; i < x.rank; i++)
        axes[i] = i, step[i] = 1;
    count = (int32_t)starts.n;
    if (ir_in(n, 3) && infer_in_axes(c, n, 3, x.rank, axes, &count) != INFER_KNOWN) return false;
    bool fits = count <= x.rank && (uint32_t)count == starts.n;
    if (!fits || (stepped && steps.n != starts.n)) return false;
    for (int32_t i = 0; i < count; i++)
        if (!slice_start(&starts, stepped ? &steps : NULL, i, x.size[axes[i]], &start[axes[i]],
                         &step[axes[i]]))
            return false;
    for (uint32_t i = 0; i < out->n; i++) {
        int64_t at[IR_MAX_RANK];
        coordinates(out, i, at);
        for (int32_t a = 0; a < x.rank; a++)
            at[a] = start[a] + at[a] * step[a];
        out->d[i] = x.d[position(&x, at, x.rank)];
    }
    return true;
}

/* ---- reductions ----------------------------------------------------------------------------------------------------- */

static const ir_dim *combine(ir_ctx *c, op_id op, const ir_dim *a, const ir_dim *b) {
    switch (op) {
    case OP_ReduceProd:
        return ir_dim_mul(c, a, b);
    case OP_ReduceMax:
        return ir_dim_max(c, a, b);
    case OP_ReduceMin:
        return ir_dim_min(c, a, b);
    default:
        return ir_dim_add(c, a, b);
    }
}

/* Over all elements of a tensor of rank 1 or 0. */
static bool known_reduce(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x;
    if (!known_in(c, n, 0, &x) || out->n != 1) return false;
    if (x.n == 0 && n->op != OP_ReduceSum && n->op != OP_ReduceProd) return false;
    out->d[0] = x.n ? x.d[0] : ir_dim_const(c, n->op == OP_ReduceProd);
    for (uint32_t i = 1; i < x.n; i++)
        out->d[0] = combine(c, n->op, out->d[0], x.d[i]);
    return true;
}

/* ---- elementwise: the elements themselves are computed in known_scalar.c ------------------------------------------- */

enum { MAX_KNOWN_OPERANDS = 4 };

static bool known_elementwise(ir_ctx *c, const ir_node *n, known_tensor *out) {
    known_tensor x[MAX_KNOWN_OPERANDS];
    if (n->n_in > MAX_KNOWN_OPERANDS) return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!ir_in(n, i) || known_in(c, n, i, &x[i])) continue;
        /* 0 times something is 0 for integers; a float may be NaN */
        if (ir_dtype_is_float(infer_in(n, i)->dtype) || !known_frame(infer_in(n, i), &x[i]))
            return false;
        for (uint32_t k = 0; k < x[i].n; k++)
            x[i].d[k] = ir_dim_unknown(c);
    }
    for (uint32_t i = 0; i < out->n; i++) {
        const ir_dim *args[MAX_KNOWN_OPERANDS] = {NULL};
        int64_t at[IR_MAX_RANK];
        coordinates(out, i, at);
        for (uint32_t k = 0; k < n->n_in; k++)
            if (ir_in(n, k)) args[k] = x[k].d[position(&x[k], at, out->rank)];
        out->d[i] = known_scalar(c, n, args);
    }
    return true;
}

/* Floor and Ceil of a number that is an integer, or of a quotient of integers that are not negative. */
static bool known_rounded(ir_ctx *c, const ir_node *n, known_tensor *out) {
    const ir_node *div = ir_in(n, 0)->def;
    known_tensor x, y;
    if (known_same(c, n, out)) return true;
    if (!div || div->op != OP_Div || !known_in(c, div, 0, &x) || !known_in(c, div, 1, &y))
        return false;
    if (x.n != out->n || y.n != 1) return false;
    for (uint32_t i = 0; i < x.n; i++) {
        if (ir_dim_lower_bound(x.d[i]) < 0 || ir_dim_lower_bound(y.d[0]) < 0) return false;
        out->d[i] = (n->op == OP_Floor ? ir_dim_floordiv : ir_dim_ceildiv)(c, x.d[i], y.d[0]);
    }
    return true;
}

/* ---- dispatch ------------------------------------------------------------------------------------------------------ */

typedef bool known_fn(ir_ctx *c, const ir_node *n, known_tensor *out);

static known_fn *find_rule(const ir_node *n) {
    switch (n->op) {
    case OP_Shape:
        return known_shape;
    case OP_Size:
        return known_size;
    case OP_Dims:
        return known_dims;
    case OP_ConstantOfShape:
        return known_constant_of_shape;
    case OP_Range:
        return known_range;
    case OP_Identity:
    case OP_Reshape:
    case OP_Flatten:
    case OP_Squeeze:
    case OP_Unsqueeze:
        return known_same;
    case OP_Round:
        return known_same;
    case OP_Floor:
    case OP_Ceil:
        return known_rounded;
    case OP_Gather:
        return known_gather;
    case OP_GatherElements:
        return known_gather_elements;
    case OP_Concat:
        return known_concat;
    case OP_Transpose:
        return known_transpose;
    case OP_Expand:
    case OP_Tile:
        return known_repeat;
    case OP_Slice:
        return known_slice;
    case OP_ReduceProd:
    case OP_ReduceSum:
    case OP_ReduceMax:
    case OP_ReduceMin:
        return known_reduce;
    default:
        return known_has_scalar(n->op) ? known_elementwise : NULL;
    }
}

static bool is_trackable(const ir_type *t, known_tensor *out) {
    if (!ir_type_is_tensor(t) || t->dtype == DT_str ||
        ir_dtype_get_class(t->dtype) == DTYPE_COMPLEX)
        return false;
    return known_frame(t, out);
}

static void set_known(ir_ctx *c, ir_value *v, const ir_dim *const *d, uint32_t n) {
    bool any = n == 0;
    for (uint32_t i = 0; i < n; i++)
        any = any || !ir_dim_is_unknown(d[i]);
    if (v->known && v->known->n == n && (n == 0 || memcmp(v->known->dims, d, n * sizeof *d) == 0))
        return;
    v->known = NULL;
    if (!any) return;
    ir_known *k = TL_NEW(&c->arena, ir_known);
    const ir_dim **copy = TL_NEW_ARRAY(&c->arena, const ir_dim *, n);
    if (n) memcpy(copy, d, n * sizeof *copy);
    *k = (ir_known){n, copy};
    v->known = k;
}

/* Split has several results, which cut the operand one after the other. */
static void known_split(ir_ctx *c, ir_node *n) {
    known_tensor x, part;
    uint32_t offset = 0;
    bool known = known_in(c, n, 0, &x) && x.rank == 1;
    for (uint32_t i = 0; i < n->n_out; i++) {
        known = known && known_frame(n->out[i].type, &part) && offset + part.n <= x.n;
        if (known)
            set_known(c, &n->out[i], x.d + offset, part.n);
        else
            n->out[i].known = NULL;
        if (known) offset += part.n;
    }
}

void infer_known(ir_ctx *c, ir_node *n) {
    if (n->op == OP_Split) {
        known_split(c, n);
        return;
    }
    known_fn *rule = find_rule(n);
    known_tensor out;
    if (rule && is_trackable(n->out[0].type, &out) && rule(c, n, &out))
        set_known(c, &n->out[0], out.d, out.n);
    else if (n->n_out)
        n->out[0].known = NULL;
}
