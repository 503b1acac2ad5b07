/* Shapes, strides, element copies: what the families of the evaluator share; see eval_internal.h. */
#include "ir/eval/eval_internal.h"

bool ev_error(ir_eval *e, const ir_node *n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str text;
    tl_str_init(&text, e->arena);
    tl_str_vprintf(&text, format, args);
    va_end(args);
    return diag_error(&e->ctx->diag, n ? n->loc : NULL, "%s: %s", n ? op_get(n->op)->name : "graph",
                      text.data);
}

const ir_tensor *ev_tensor(const ir_node *n, const ir_datum *const *in, uint32_t i) {
    return i < n->n_in && in[i] ? in[i]->tensor : NULL;
}

const ir_tensor *ev_need(ir_eval *e, const ir_node *n, const ir_datum *const *in, uint32_t i) {
    const ir_tensor *t = ev_tensor(n, in, i);
    if (!t) ev_error(e, n, "operand %u is missing", i);
    return t;
}

bool ev_expect_shape(ir_eval *e, const ir_node *n, const ir_datum *const *in, uint32_t i,
                     const ev_shape *s) {
    const ir_tensor *t = ev_tensor(n, in, i);
    ev_shape own = t ? ev_shape_of(t) : *s;
    return ev_shape_equal(&own, s) || ev_error(e, n, "operand %u is %s, expected %s", i,
                                               ev_shape_text(e, &own), ev_shape_text(e, s));
}

bool ev_scalar_i64(ir_eval *e, const ir_node *n, const ir_tensor *t, int64_t *v) {
    if (!t) return false;
    if (ir_tensor_elements(t) != 1) return ev_error(e, n, "a tensor of one element is expected");
    *v = ir_tensor_get_i64(t, 0);
    return true;
}

const int64_t *ev_i64s(ir_eval *e, const ir_tensor *t, size_t *count) {
    *count = ir_tensor_elements(t);
    int64_t *v = TL_NEW_ARRAY(e->arena, int64_t, *count + 1);
    for (size_t i = 0; i < *count; i++)
        v[i] = ir_tensor_get_i64(t, i);
    return v;
}

double *ev_f64s(ir_eval *e, const ir_tensor *t) {
    size_t count = ir_tensor_elements(t);
    double *v = TL_NEW_ARRAY(e->arena, double, count + 1);
    const float *f = t->type->dtype == DT_f32 ? t->data : NULL; /* most are */
    for (size_t i = 0; i < count; i++)
        v[i] = f ? (double)f[i] : ir_tensor_get_f64(t, i);
    return v;
}

bool ev_axis(ir_eval *e, const ir_node *n, int64_t axis, int32_t rank, int32_t *out) {
    if (axis < -rank || axis >= rank)
        return ev_error(e, n, "axis %lld is outside of rank %d", (long long)axis, (int)rank);
    *out = (int32_t)(axis < 0 ? axis + rank : axis);
    return true;
}

ev_shape ev_shape_of(const ir_tensor *t) {
    ev_shape s = {.rank = t->type->rank};
    for (int32_t i = 0; i < s.rank; i++) {
        bool known = ir_dim_is_const(t->type->dims[i], &s.dims[i]);
        TL_ASSERT(known);
    }
    return s;
}

int64_t ev_product(const ev_shape *s, int32_t from, int32_t to) {
    int64_t n = 1;
    /* Wraps where an empty tensor has huge other dims; the product then is 0 or unused. */
    for (int32_t i = from; i < to; i++)
        n = (int64_t)((uint64_t)n * (uint64_t)s->dims[i]);
    return n;
}

bool ev_shape_equal(const ev_shape *a, const ev_shape *b) {
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

const char *ev_shape_text(ir_eval *e, const ev_shape *s) {
    tl_str text;
    tl_str_init(&text, e->arena);
    tl_str_putc(&text, '[');
    for (int32_t i = 0; i < s->rank; i++)
        tl_str_printf(&text, i ? ",%lld" : "%lld", (long long)s->dims[i]);
    tl_str_putc(&text, ']');
    return text.data;
}

void ev_strides(const ev_shape *s, int64_t *strides) {
    int64_t step = 1;
    for (int32_t i = s->rank; i-- > 0;) {
        strides[i] = step;
        step = (int64_t)((uint64_t)step * (uint64_t)s->dims[i]);
    }
}

void ev_broadcast_strides(const ev_shape *s, const ev_shape *out, int64_t *strides) {
    int64_t own[IR_MAX_RANK];
    ev_strides(s, own);
    int32_t shift = out->rank - s->rank;
    for (int32_t i = 0; i < out->rank; i++)
        strides[i] = i < shift || s->dims[i - shift] == 1 ? 0 : own[i - shift];
}

bool ev_broadcasts_to(const ev_shape *s, const ev_shape *out) {
    int32_t shift = out->rank - s->rank;
    if (shift < 0) return false;
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dims[i] != 1 && s->dims[i] != out->dims[i + shift]) return false;
    return true;
}

/* Dimension i counted from the right; 1 beyond the left end. */
static int64_t dim_from_right(const ev_shape *s, int32_t i) {
    return i < s->rank ? s->dims[s->rank - 1 - i] : 1;
}

bool ev_broadcast(ir_eval *e, const ir_node *n, ev_shape *acc, const ev_shape *s) {
    ev_shape joined = {.rank = acc->rank > s->rank ? acc->rank : s->rank};
    for (int32_t i = 0; i < joined.rank; i++) {
        int64_t a = dim_from_right(acc, i), b = dim_from_right(s, i);
        if (a != b && a != 1 && b != 1)
            return ev_error(e, n, "shapes %s and %s do not broadcast", ev_shape_text(e, acc),
                            ev_shape_text(e, s));
        joined.dims[joined.rank - 1 - i] = a == 1 ? b : a;
    }
    *acc = joined;
    return true;
}

bool ev_next(const ev_shape *s, int64_t *index) {
    for (int32_t i = s->rank; i-- > 0;) {
        if (++index[i] < s->dims[i]) return true;
        index[i] = 0;
    }
    return false;
}

ev_lanes ev_lanes_of(const ev_shape *s, int32_t axis) {
    return (ev_lanes){.outer = ev_product(s, 0, axis),
                      .n = s->rank ? s->dims[axis] : 1,
                      .inner = ev_product(s, axis + 1, s->rank)};
}

ir_tensor *ev_alloc(ir_eval *e, const ir_node *n, ir_dtype t, const ev_shape *s) {
    return ir_eval_tensor(e, n, t, s->rank, s->dims);
}

ir_tensor *ev_alias(ir_eval *e, const ir_tensor *t, const ev_shape *s) {
    ir_tensor *y = TL_NEW(e->arena, ir_tensor);
    *y = *t;
    y->type = ir_type_tensor_static(e->ctx, t->type->dtype, s->rank, s->dims);
    y->hash = 0;
    return y;
}

static void copy_datum(tl_arena *a, const ir_datum *d, ir_datum *y) {
    *y = *d;
    if (d->tensor) y->tensor = ir_tensor_copy(a, d->tensor);
    if (!d->n) return;
    y->items = TL_NEW_ARRAY(a, ir_datum, d->n);
    for (uint32_t i = 0; i < d->n; i++)
        copy_datum(a, &d->items[i], &y->items[i]);
}

ir_datum *ev_copy_datum(ir_eval *e, tl_arena *a, const ir_datum *d) {
    (void)e;
    ir_datum *y = TL_NEW(a, ir_datum);
    copy_datum(a, d, y);
    return y;
}

/* ---- elements -------------------------------------------------------------------------------------------------- */

static size_t element_size(ir_dtype t) {
    return ir_dtype_bits(t) / 8;
}

/* Elements of less than a byte: the low bits come first. */
static void copy_packed(uint32_t bits, uint8_t *dst, int64_t d_at, const uint8_t *src,
                        int64_t s_at) {
    uint32_t per = 8 / bits, mask = (1u << bits) - 1;
    uint32_t from = (uint32_t)(s_at % per) * bits, to = (uint32_t)(d_at % per) * bits;
    uint32_t v = (uint32_t)(src[s_at / per] >> from) & mask;
    uint8_t *p = &dst[d_at / per];
    *p = (uint8_t)((*p & ~(mask << to)) | (v << to));
}

void ev_copy_run(ir_dtype t, void *dst, int64_t d_at, const void *src, int64_t s_at, int64_t n) {
    size_t size = element_size(t);
    if (n <= 0) return;
    if (size) {
        memcpy((char *)dst + (size_t)d_at * size, (const char *)src + (size_t)s_at * size,
               (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        copy_packed(ir_dtype_bits(t), dst, d_at + i, src, s_at + i);
}

void ev_fill(ir_dtype t, void *dst, int64_t at, const void *src, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        ev_copy_run(t, dst, at + i, src, 0, 1);
}

/* A block of n[0] by n[1] elements of `size` bytes. The size is a constant in each of copy_block's calls. */
static inline void copy_elements(size_t size, char *dst, const int64_t *d_steps, const char *src,
                                 const int64_t *s_steps, const int64_t *n) {
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            memcpy(dst + (i * d_steps[0] + j * d_steps[1]) * (int64_t)size,
                   src + (i * s_steps[0] + j * s_steps[1]) * (int64_t)size, size);
}

static void copy_block(size_t size, char *dst, const int64_t *d_steps, const char *src,
                       const int64_t *s_steps, const int64_t *n) {
    switch (size) {
    case 1:
        copy_elements(1, dst, d_steps, src, s_steps, n);
        break;
    case 2:
        copy_elements(2, dst, d_steps, src, s_steps, n);
        break;
    case 4:
        copy_elements(4, dst, d_steps, src, s_steps, n);
        break;
    case 8:
        copy_elements(8, dst, d_steps, src, s_steps, n);
        break;
    default:
        copy_elements(size, dst, d_steps, src, s_steps, n);
    }
}

/* The whole range of two axes, in square blocks: where the two sides have different axes side by side, a row of a block is read, or
 * written, before its cache lines are gone. */
static void copy_plane(size_t size, char *dst, const int64_t *d_steps, const char *src,
                       const int64_t *s_steps, const int64_t *n) {
    enum { BLOCK = 16 };
    for (int64_t i = 0; i < n[0]; i += BLOCK)
        for (int64_t j = 0; j < n[1]; j += BLOCK) {
            int64_t left[2] = {n[0] - i < BLOCK ? n[0] - i : BLOCK,
                               n[1] - j < BLOCK ? n[1] - j : BLOCK};
            copy_block(size, dst + (i * d_steps[0] + j * d_steps[1]) * (int64_t)size, d_steps,
                       src + (i * s_steps[0] + j * s_steps[1]) * (int64_t)size, s_steps, left);
        }
}

/* The axis before the last along which s lies closest together. */
static int32_t closest_axis(const ev_shape *s, const int64_t *strides) {
    int32_t best = s->rank - 2;
    for (int32_t i = best; i-- > 0;)
        if (s->dims[i] > 1 && (s->dims[best] == 1 || strides[i] < strides[best])) best = i;
    return best;
}

/* Two axes and more, elements of whole bytes. */
static void copy_planes(size_t size, const ev_shape *s, char *dst, const int64_t *d_strides,
                        const char *src, const int64_t *s_strides) {
    int32_t a = closest_axis(s, s_strides), b = s->rank - 1;
    int64_t n[2] = {s->dims[a], s->dims[b]}, index[IR_MAX_RANK] = {0},
            d_steps[2] = {d_strides[a], d_strides[b]}, s_steps[2] = {s_strides[a], s_strides[b]};
    ev_shape outer = *s;
    outer.dims[a] = outer.dims[b] = 1;
    do
        copy_plane(size, dst + ev_dot(index, d_strides, s->rank) * (int64_t)size, d_steps,
                   src + ev_dot(index, s_strides, s->rank) * (int64_t)size, s_steps, n);
    while (ev_next(&outer, index));
}

void ev_copy_nd(ir_dtype t, const ev_shape *s, void *dst, int64_t d_at, const int64_t *d_strides,
                const void *src, int64_t s_at, const int64_t *s_strides) {
    size_t size = element_size(t);
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(s);
    if (count > 0 && size && s->rank > 1) {
        copy_planes(size, s, (char *)dst + d_at * (int64_t)size, d_strides,
                    (const char *)src + s_at * (int64_t)size, s_strides);
        return;
    }
    for (int64_t i = 0; i < count; i++, ev_next(s, index))
        ev_copy_run(t, dst, d_at + ev_dot(index, d_strides, s->rank), src,
                    s_at + ev_dot(index, s_strides, s->rank), 1);
}

double ev_round(ir_dtype t, double v) {
    uint64_t cell[2] = {0};
    if (t == DT_f64) return v;
    if (t == DT_f32) return (float)v;
    ir_element_set_f64(t, cell, 0, v);
    return ir_element_get_f64(t, cell, 0);
}
