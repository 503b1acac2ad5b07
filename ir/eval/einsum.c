/* Einsum: for each element of the result, the sum over all other labels of the product of the operands' elements. */
#include "ir/eval/eval_internal.h"

#include "ir/einsum.h"

typedef struct einsum {
    ir_einsum e;
    const ir_tensor **x;
    int64_t size[IR_EINSUM_MAX_LABELS];
    int64_t (*strides)
        [IR_EINSUM_MAX_LABELS]; /* of each operand, by label: 0 where it has none or one of size 1 */
    int64_t out_strides[IR_EINSUM_MAX_LABELS];
} einsum;

static bool fit_label(ir_eval *e, const ir_node *n, int64_t *size, int64_t d) {
    if (*size == 1) *size = d;
    return d == 1 || d == *size ||
           ev_error(e, n, "a label has size %lld and %lld", (long long)*size, (long long)d);
}

static bool read_operands(ir_eval *e, const ir_node *n, const ir_datum *const *in, einsum *s) {
    int32_t *ranks = TL_NEW_ARRAY(e->arena, int32_t, n->n_in);
    s->x = TL_NEW_ARRAY(e->arena, const ir_tensor *, n->n_in);
    s->strides = tl_arena_alloc_array(e->arena, n->n_in, sizeof *s->strides, _Alignof(int64_t));
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!(s->x[i] = ev_need(e, n, in, i))) return false;
        ranks[i] = s->x[i]->type->rank;
    }
    const char *equation = ir_attr_string(n, "equation", "");
    const char *problem = ir_einsum_parse(&s->e, e->arena, equation, ranks, n->n_in);
    if (problem) return ev_error(e, n, "equation '%s': %s", equation, problem);
    for (uint32_t i = 0; i < IR_EINSUM_MAX_LABELS; i++)
        s->size[i] = 1;
    for (uint32_t i = 0; i < n->n_in; i++) {
        ev_shape shape = ev_shape_of(s->x[i]);
        int64_t strides[IR_MAX_RANK];
        ev_strides(&shape, strides);
        for (int32_t k = 0; k < shape.rank; k++) {
            uint8_t label = s->e.terms[i].label[k];
            if (!fit_label(e, n, &s->size[label], shape.dims[k])) return false;
            if (shape.dims[k] != 1) s->strides[i][label] += strides[k]; /* a diagonal: both */
        }
    }
    return true;
}

/* The sum in the type the elements have: whole numbers wrap. */
typedef struct total {
    double f;
    uint64_t i;
} total;

static void add_product(const einsum *s, const int64_t *at, bool floats, total *t) {
    total p = {1, 1};
    for (uint32_t i = 0; i < s->e.n_terms; i++) {
        if (floats)
            p.f *= ir_tensor_get_f64(s->x[i], (size_t)at[i]);
        else
            p.i *= (uint64_t)ir_tensor_get_i64(s->x[i], (size_t)at[i]);
    }
    t->f += p.f, t->i += p.i;
}

/* Steps the labels' indices like an odometer and the operands' positions with them; false after the last. */
static bool step(const einsum *s, int64_t *index, int64_t *at, int64_t *out_at) {
    for (uint32_t l = s->e.n_labels; l-- > 0;) {
        int64_t back = ++index[l] == s->size[l] ? s->size[l] : 0;
        for (uint32_t i = 0; i < s->e.n_terms; i++)
            at[i] += (1 - back) * s->strides[i][l];
        *out_at += (1 - back) * s->out_strides[l];
        if (!back) return true;
        index[l] = 0;
    }
    return false;
}

static void sum_up(ir_eval *e, const einsum *s, ir_tensor *y) {
    size_t n = ir_tensor_elements(y);
    bool floats = ir_dtype_is_float(y->type->dtype);
    total *sums = TL_NEW_ARRAY(e->arena, total, n + 1);
    int64_t *at = TL_NEW_ARRAY(e->arena, int64_t, s->e.n_terms), out_at = 0;
    int64_t index[IR_EINSUM_MAX_LABELS] = {0};
    bool more = true;
    for (uint32_t l = 0; l < s->e.n_labels; l++)
        more = more && s->size[l] > 0;
    for (; more; more = step(s, index, at, &out_at))
        add_product(s, at, floats, &sums[out_at]);
    for (size_t i = 0; i < n; i++) {
        if (floats)
            ir_tensor_set_f64(y, i, sums[i].f);
        else
            ir_tensor_set_i64(y, i, (int64_t)sums[i].i);
    }
}

bool eval_einsum(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    einsum s = {0};
    ev_shape shape = {0};
    int64_t strides[IR_MAX_RANK];
    if (!read_operands(e, n, in, &s)) return false;
    shape.rank = s.e.out.rank;
    for (int32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = s.size[s.e.out.label[i]];
    ev_strides(&shape, strides);
    for (int32_t i = 0; i < shape.rank; i++)
        s.out_strides[s.e.out.label[i]] = strides[i];
    ir_tensor *y = ev_alloc(e, n, s.x[0]->type->dtype, &shape);
    if (!y) return false;
    sum_up(e, &s, y);
    out[0].tensor = y;
    return true;
}
