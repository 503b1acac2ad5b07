/* Operators that are calls: the function that compiled models call (runtime/calls/) on the evaluator's values. Results lie in the
 * evaluator's arena and share memory with operands where the function says so.
 *
 * A map is two items, keys and values; both sides of the conversion keep it so. */
#include "ir/call.h"
#include "ir/eval/eval_internal.h"

#include "runtime/calls/call.h"

_Static_assert(sizeof(tl_sv) == sizeof(tlbc_string) &&
                   offsetof(tl_sv, len) == offsetof(tlbc_string, len),
               "strings are the same on both sides");

/* ---- values ------------------------------------------------------------------------------------------------------ */

bool ir_datum_fits_runtime(const ir_datum *d) {
    if (d->tensor) return d->tensor->type->rank <= TLBC_MAX_RANK;
    for (uint32_t i = 0; i < d->n; i++)
        if (!ir_datum_fits_runtime(&d->items[i])) return false;
    return true;
}

static void list_to_runtime(tl_arena *a, const ir_datum *d, tlbc_tensor *t) {
    tlbc_tensor *items = TL_NEW_ARRAY(a, tlbc_tensor, (size_t)d->n + 1);
    for (uint32_t i = 0; i < d->n; i++)
        ir_datum_to_runtime(a, &d->items[i], &items[i]);
    *t = (tlbc_tensor){.data = items, .rank = 1, .dims = {d->n}};
    t->dtype = d->is_sequence ? TLBC_SEQUENCE : d->is_optional ? TLBC_OPTIONAL : TLBC_MAP;
    t->bytes = d->n * sizeof *items;
}

void ir_datum_to_runtime(tl_arena *a, const ir_datum *d, tlbc_tensor *t) {
    if (!d->tensor) {
        list_to_runtime(a, d, t);
        return;
    }
    ev_shape s = ev_shape_of(d->tensor);
    *t = (tlbc_tensor){.data = (void *)(uintptr_t)d->tensor->data,
                       .bytes = d->tensor->bytes,
                       .dtype = (tlbc_dtype)d->tensor->type->dtype,
                       .rank = (uint32_t)s.rank};
    for (int32_t i = 0; i < s.rank; i++)
        t->dims[i] = s.dims[i];
}

void ir_datum_from_runtime(ir_ctx *c, tl_arena *a, const tlbc_tensor *t, ir_datum *d) {
    *d = (ir_datum){0};
    if ((unsigned)t->dtype < DT_COUNT) {
        ir_tensor *y = TL_NEW(a, ir_tensor);
        y->type = ir_type_tensor_static(c, (ir_dtype)t->dtype, (int32_t)t->rank, t->dims);
        y->data = t->data;
        ir_type_static_bytes(y->type, &y->bytes);
        if (t->dtype == TLBC_STRING) y->bytes = t->bytes;
        d->tensor = y;
        return;
    }
    d->is_sequence = t->dtype == TLBC_SEQUENCE;
    d->is_optional = t->dtype == TLBC_OPTIONAL;
    d->is_map = t->dtype == TLBC_MAP;
    d->n = (uint32_t)t->dims[0];
    d->has_value = !d->is_optional || d->n;
    d->items = TL_NEW_ARRAY(a, ir_datum, (size_t)d->n + 1);
    for (uint32_t i = 0; i < d->n; i++)
        ir_datum_from_runtime(c, a, (const tlbc_tensor *)t->data + i, &d->items[i]);
}

static void seal_datum(ir_datum *d) {
    if (d->tensor) ir_tensor_seal((ir_tensor *)(uintptr_t)d->tensor);
    for (uint32_t i = 0; i < d->n; i++)
        seal_datum(&d->items[i]);
}

void ir_datum_take_runtime(ir_ctx *c, tl_arena *a, const tlbc_tensor *t, ir_datum *d) {
    ir_datum borrowed;
    ir_datum_from_runtime(c, a, t, &borrowed);
    *d = *ev_copy_datum(NULL, a, &borrowed);
    seal_datum(d);
}

/* ---- the call ------------------------------------------------------------------------------------------------------ */

static void *allocate(void *context, size_t bytes) {
    return tl_arena_alloc(context, bytes, 64);
}
static void release(void *context, void *memory) {
    (void)context, (void)memory;
}

bool eval_call(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    tlbc_rt_heap heap = {.allocate = allocate, .release = release, .context = e->arena};
    tlbc_tensor *operands = TL_NEW_ARRAY(e->arena, tlbc_tensor, n->n_in + 1);
    const tlbc_tensor **list = TL_NEW_ARRAY(e->arena, const tlbc_tensor *, n->n_in + 1);
    tlbc_rt_call c = {.in = list, .n_in = n->n_in, .n_out = n->n_out, .heap = &heap};
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!in[i]) continue;
        if (!ir_datum_fits_runtime(in[i]))
            return ev_error(e, n, "operand %u has too many dimensions", i);
        ir_datum_to_runtime(e->arena, in[i], &operands[i]);
        list[i] = &operands[i];
    }
    c.out = TL_NEW_ARRAY(e->arena, tlbc_tensor, n->n_out + 1);
    for (uint32_t i = 0; i < n->n_out; i++)
        if (ir_type_is_tensor(n->out[i].type)) c.out[i].dtype = (tlbc_dtype)n->out[i].type->dtype;
    c.attrs = ir_call_attrs(e->arena, n, &c.n_attrs);
    if (!ir_call_function(n->op)(&c)) return ev_error(e, n, "%s", c.message);
    for (uint32_t i = 0; i < n->n_out; i++)
        ir_datum_from_runtime(e->ctx, e->arena, &c.out[i], &out[i]);
    return true;
}
