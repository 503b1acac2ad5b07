/* Operators that gain nothing from compiling: one C function each, tlbc_rt_op_<name>, linked only into models that use it. The
 * reference evaluator runs the same functions (ir/eval/call.c), so there is one definition of each.
 *
 *   bool tlbc_rt_op_StringConcat(tlbc_rt_call *c) {
 *       const tlbc_tensor *x = c->in[0], *y = c->in[1];
 *       tlbc_tensor *z = tlbc_rt_result(c, 0, TLBC_STRING, rank, dims);
 *       if (!z) return false;
 *       ...
 *       return true;
 *   }
 *
 * Operands are values of any kind (tlbc/runtime.h says how sequences, optionals and maps are kept in a tlbc_tensor). Results are new
 * values in the heap; they may share memory with operands, since nothing is ever changed. Element types and attributes have been
 * checked against the operator's schema; ranks, sizes and contents have not.
 * Whoever links this folder alone needs nothing but the C library. */
#ifndef TLBC_RUNTIME_CALL_H
#define TLBC_RUNTIME_CALL_H

#include "runtime/calls/heap.h"

#include "tlbc/runtime.h"

#include <stdbool.h>

typedef enum tlbc_rt_attr_kind {
    TLBC_RT_INTS,    /* int64_t[n] */
    TLBC_RT_FLOATS,  /* float[n] */
    TLBC_RT_STRINGS, /* tlbc_string[n] */
    TLBC_RT_TENSORS  /* tlbc_tensor[n] */
} tlbc_rt_attr_kind;

/* An attribute; single values are lists of one. The schema's defaults are among them. */
typedef struct tlbc_rt_attr {
    const char *name;
    uint32_t kind, n;
    const void *data;
} tlbc_rt_attr;

enum { TLBC_RT_CALL_MESSAGE = 256 };

typedef struct tlbc_rt_call {
    const tlbc_tensor *const *in; /* NULL = omitted */
    tlbc_tensor *out;             /* zeroed; dtype is what the model says, where it is one */
    const tlbc_rt_attr *attrs;
    uint32_t n_in, n_out, n_attrs;
    tlbc_rt_heap *heap;
    tlbc_status status; /* of a failure */
    char message[TLBC_RT_CALL_MESSAGE];
} tlbc_rt_call;

typedef bool tlbc_rt_op(tlbc_rt_call *c); /* false after tlbc_rt_call_fail */

#define CALL(name) tlbc_rt_op tlbc_rt_op_##name;
#include "runtime/calls/calls.def"
#undef CALL
#define SHAPE(name) tlbc_rt_op tlbc_rt_shape_##name;
#include "runtime/calls/shapes.def"
#undef SHAPE

/* ---- attributes, operands --------------------------------------------------------------------------------------- */
int64_t tlbc_rt_int(const tlbc_rt_call *c, const char *name, int64_t fallback);
float tlbc_rt_float(const tlbc_rt_call *c, const char *name, float fallback);
tlbc_string tlbc_rt_string(const tlbc_rt_call *c, const char *name); /* empty where absent */
bool tlbc_rt_string_is(const tlbc_rt_call *c, const char *name, const char *value);
const int64_t *tlbc_rt_ints(const tlbc_rt_call *c, const char *name,
                            uint32_t *n); /* NULL, 0 where absent */
const float *tlbc_rt_floats(const tlbc_rt_call *c, const char *name, uint32_t *n);
const tlbc_string *tlbc_rt_strings(const tlbc_rt_call *c, const char *name, uint32_t *n);
const tlbc_tensor *tlbc_rt_tensor(const tlbc_rt_call *c, const char *name); /* NULL where absent */
/* Operand i; NULL where omitted. */
static inline const tlbc_tensor *tlbc_rt_in(const tlbc_rt_call *c, uint32_t i) {
    return i < c->n_in ? c->in[i] : NULL;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------ */
uint32_t tlbc_rt_dtype_bits(unsigned dtype); /* 0 for what is no tensor */
int64_t tlbc_rt_elements(const tlbc_tensor *t);
int64_t tlbc_rt_product(const tlbc_tensor *t, uint32_t from,
                        uint32_t to); /* of the dims [from, to) */
/* Bytes of a dense tensor; false on overflow. */
bool tlbc_rt_bytes(unsigned dtype, uint32_t rank, const int64_t *dims, size_t *bytes);
double tlbc_rt_get_f64(const tlbc_tensor *t, int64_t i);
int64_t tlbc_rt_get_i64(const tlbc_tensor *t, int64_t i); /* floats: truncated and saturated */
void tlbc_rt_set_f64(tlbc_tensor *t, int64_t i,
                     double v); /* rounded; whole numbers: the fraction dropped */
/* Copies n elements of any type, packed ones included. */
void tlbc_rt_copy(unsigned dtype, void *to, int64_t to_at, const void *from, int64_t from_at,
                  int64_t n);
static inline tlbc_string *tlbc_rt_text(const tlbc_tensor *t) {
    return (tlbc_string *)t->data;
}
bool tlbc_rt_string_equal(tlbc_string a, tlbc_string b);
int tlbc_rt_string_compare(tlbc_string a, tlbc_string b); /* by bytes: the order of code points */
/* axis in [-rank, rank) brought into [0, rank); reports one outside. */
bool tlbc_rt_axis(tlbc_rt_call *c, int64_t axis, uint32_t rank, uint32_t *out);
/* Stable: `order` holds n indices, which are put in the order that `less` says. scratch has room for n. */
typedef bool tlbc_rt_less(const void *data, int64_t a, int64_t b);
void tlbc_rt_sort(int64_t *order, int64_t *scratch, int64_t n, tlbc_rt_less *less,
                  const void *data);

/* ---- results ------------------------------------------------------------------------------------------------------- */
/* Always false, so that callers can return it. */
bool tlbc_rt_call_fail(tlbc_rt_call *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Memory of the run; NULL after reporting. */
void *tlbc_rt_alloc(tlbc_rt_call *c, size_t n, size_t size);
/* Fills *t with a fresh zeroed tensor; false after reporting. */
bool tlbc_rt_new_tensor(tlbc_rt_call *c, tlbc_tensor *t, unsigned dtype, uint32_t rank,
                        const int64_t *dims);
/* Result i as a fresh tensor; a result nobody asked for gets memory too. NULL after reporting. */
tlbc_tensor *tlbc_rt_result(tlbc_rt_call *c, uint32_t i, unsigned dtype, uint32_t rank,
                            const int64_t *dims);
/* *t becomes a sequence (optional, map) of n values, whose memory is the result; NULL after reporting. */
tlbc_tensor *tlbc_rt_new_list(tlbc_rt_call *c, tlbc_tensor *t, unsigned kind, int64_t n);
/* A copy of n bytes. */
bool tlbc_rt_new_string(tlbc_rt_call *c, tlbc_string *s, const char *data, size_t len);

#endif
