/* For the files of ir/eval/: one function eval_<name>() per name in the eval column of ir/ops.def, grouped by family, and
 * the helpers they share.
 *
 * An eval function gets n->n_in operands (NULL = omitted) and fills n->n_out zeroed results. It must read nothing out of
 * bounds whatever the operands hold: indices and axes are checked, and an error is a message and `false`.
 *
 *   bool eval_transpose(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
 *       const ir_tensor *x = ev_need(e, n, in, 0);
 *       if (!x) return false;
 *       ...
 *       return (out[0].tensor = y) != NULL;
 *   } */
#ifndef TLBC_IR_EVAL_INTERNAL_H
#define TLBC_IR_EVAL_INTERNAL_H

#include "ir/base/assert.h"
#include "ir/eval.h"
#include "ir/limits.h"

#define OP(name, since, infer, eval, lower, traits, summary) ir_eval_fn eval_##eval;
#include "ir/ops.def"
#undef OP

/* Run-time dimensions. */
typedef struct ev_shape {
    int32_t rank;
    int64_t dims[IR_MAX_RANK];
} ev_shape;

/* ---- operands and messages ---------------------------------------------------------------------------------- */
bool ev_error(ir_eval *e, const ir_node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Operand i's tensor, or NULL where omitted; ev_need reports an omitted one. */
const ir_tensor *ev_tensor(const ir_node *n, const ir_datum *const *in, uint32_t i);
const ir_tensor *ev_need(ir_eval *e, const ir_node *n, const ir_datum *const *in, uint32_t i);
/* The only element of an integer tensor. */
bool ev_scalar_i64(ir_eval *e, const ir_node *n, const ir_tensor *t, int64_t *v);
/* All elements of an integer tensor, in the evaluator's arena. */
const int64_t *ev_i64s(ir_eval *e, const ir_tensor *t, size_t *count);
/* The same as doubles. */
double *ev_f64s(ir_eval *e, const ir_tensor *t);
/* axis in [-rank, rank) brought into [0, rank); reports one outside. */
bool ev_axis(ir_eval *e, const ir_node *n, int64_t axis, int32_t rank, int32_t *out);

/* ---- the entry graph ---------------------------------------------------------------------------------------- */
/* The first n inputs bind the dimension symbols, afresh, and are checked against the declared types. */
bool ev_bind_inputs(ir_eval *e, const ir_graph *g, const ir_datum *const *inputs, uint32_t n);
bool ev_dim(ir_eval *e, const ir_dim *d, int64_t *value); /* false where a symbol has no value */

/* ---- shapes -------------------------------------------------------------------------------------------------- */
ev_shape ev_shape_of(const ir_tensor *t);
/* Elements of the dims [from, to). */
int64_t ev_product(const ev_shape *s, int32_t from, int32_t to);
static inline int64_t ev_count(const ev_shape *s) {
    return ev_product(s, 0, s->rank);
}
bool ev_shape_equal(const ev_shape *a, const ev_shape *b);
/* Operand i, where it is there, has this shape. */
bool ev_expect_shape(ir_eval *e, const ir_node *n, const ir_datum *const *in, uint32_t i,
                     const ev_shape *s);
const char *ev_shape_text(ir_eval *e, const ev_shape *s); /* "[2,3]" for messages */
void ev_strides(const ev_shape *s, int64_t *strides);     /* row-major, in elements */
/* Strides for reading s as if it had the shape `out` it broadcasts to: 0 along repeated axes. */
void ev_broadcast_strides(const ev_shape *s, const ev_shape *out, int64_t *strides);
/* *acc becomes the shape that *acc and *s broadcast to; reports shapes that do not. */
bool ev_broadcast(ir_eval *e, const ir_node *n, ev_shape *acc, const ev_shape *s);
bool ev_broadcasts_to(const ev_shape *s, const ev_shape *out);
/* Steps a row-major index; false after the last one (the index is then all zeros again). */
bool ev_next(const ev_shape *s, int64_t *index);
static inline int64_t ev_dot(const int64_t *index, const int64_t *strides, int32_t rank) {
    int64_t at = 0;
    for (int32_t i = 0; i < rank; i++)
        at += index[i] * strides[i];
    return at;
}

/* A tensor seen as [outer, n, inner] around one axis: element (o, i, k) is at (o * n + i) * inner + k. */
typedef struct ev_lanes {
    int64_t outer, n, inner;
} ev_lanes;
ev_lanes ev_lanes_of(const ev_shape *s, int32_t axis);

/* ---- results ------------------------------------------------------------------------------------------------- */
ir_tensor *ev_alloc(ir_eval *e, const ir_node *n, ir_dtype t, const ev_shape *s);
/* The bytes of t under another shape with as many elements. */
ir_tensor *ev_alias(ir_eval *e, const ir_tensor *t, const ev_shape *s);
ir_datum *ev_copy_datum(ir_eval *e, tl_arena *a,
                        const ir_datum *d); /* deep: shares nothing with d's memory */

/* An operator that is linear and has real weights, on operand 0 of complex numbers: fn on the real parts, then on the imaginary ones. */
bool ev_by_parts(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out,
                 ir_eval_fn *fn);
static inline bool ev_is_complex(const ir_tensor *t) {
    return ir_dtype_get_class(t->type->dtype) == DTYPE_COMPLEX;
}

/* ---- elements of any type, strings and packed ones included --------------------------------------------------- */
void ev_copy_run(ir_dtype t, void *dst, int64_t d_at, const void *src, int64_t s_at, int64_t n);
void ev_fill(ir_dtype t, void *dst, int64_t at, const void *src,
             int64_t n); /* n times src's first element */
/* For every index of *s: dst[d_at + index.d_strides] = src[s_at + index.s_strides]. */
void ev_copy_nd(ir_dtype t, const ev_shape *s, void *dst, int64_t d_at, const int64_t *d_strides,
                const void *src, int64_t s_at, const int64_t *s_strides);
/* The items one behind the other along an axis; NULL after a message where they do not fit. */
ir_tensor *ev_concat(ir_eval *e, const ir_node *n, const ir_tensor *const *items, uint32_t count,
                     int64_t wanted_axis);
/* Gives the symbols of the type of a parameter of n's region their values; false after a message where the datum has another type. */
bool ev_bind_param(ir_eval *e, const ir_node *n, const ir_value *param, const ir_datum *d);
/* v rounded to t and back: what storing and loading would give. */
double ev_round(ir_dtype t, double v);

/* ---- between families ---------------------------------------------------------------------------------------- */
/* cast.c: handles strings, narrow floats and every conversion that needs a single rounding. */
/* The same for one number, with the attributes `saturate` and `round_mode` of n. */
void ev_store_float(const ir_node *n, ir_dtype t, void *data, size_t at, double v);
bool ev_cast(ir_eval *e, const ir_node *n, const ir_tensor *x, ir_tensor *y);

/* matmul.c: the node's region, on a product and the operands from number 2 on, gives the results. */
bool ev_epilogue(ir_eval *e, const ir_node *n, const ir_datum *const *in, const ir_tensor *product,
                 ir_datum *out);

#endif
