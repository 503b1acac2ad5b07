/* Inference of one node: checks, the operator's rule, known contents; and what all rules share. */
#include "ir/infer/infer.h"

#include "ir/text.h"

#include <stdarg.h>

bool ir_infer_node(ir_ctx *c, ir_node *n) {
    if (!ir_node_verify(c, n) || !op_infer(n->op)(c, n)) return false;
    infer_known(c, n);
    return true;
}

bool infer_none(ir_ctx *c, ir_node *n) {
    (void)c, (void)n;
    return true;
}

bool infer_region(ir_ctx *c, ir_region *r) {
    ir_for_each_node (n, r)
        if (!ir_infer_node(c, n)) return false;
    return true;
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

const char *infer_type_text(ir_ctx *c, const ir_type *t) {
    tl_str s;
    tl_str_init(&s, &c->arena);
    ir_type_print(t, &s);
    return s.data;
}

const char *infer_dim_text(ir_ctx *c, const ir_dim *d) {
    tl_str s;
    tl_str_init(&s, &c->arena);
    ir_dim_print(d, &s);
    return s.data;
}

bool infer_error(ir_ctx *c, const ir_node *n, uint32_t i, const char *format, ...) {
    tl_str s;
    const ir_value *v = ir_in(n, i);
    tl_str_init(&s, &c->arena);
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&s, format, args);
    va_end(args);
    if (!v || !v->name) return diag_error(&c->diag, n->loc, "input %u: %s", i, s.data);
    diag_error(&c->diag, n->loc, "input %u '%s': %s", i, v->name, s.data);
    return diag_note(&c->diag, n->loc, "'%s' has type %s", v->name, infer_type_text(c, v->type));
}

/* ---- operands ------------------------------------------------------------------------------------------------ */

const ir_type *infer_in(const ir_node *n, uint32_t i) {
    const ir_value *v = ir_in(n, i);
    return v ? v->type : NULL;
}

bool infer_is_ranked(const ir_node *n, uint32_t i) {
    return ir_type_is_ranked(infer_in(n, i));
}

ir_shape infer_in_shape(const ir_node *n, uint32_t i) {
    const ir_type *t = infer_in(n, i);
    ir_shape s;
    s.rank = t->rank;
    for (int32_t k = 0; k < t->rank; k++)
        s.dims[k] = t->dims[k];
    return s;
}

int32_t infer_in_dims(ir_ctx *c, const ir_node *n, uint32_t i, const ir_dim *out[IR_MAX_KNOWN]) {
    return ir_value_known_dims(c, ir_in(n, i), out, IR_MAX_KNOWN);
}

int64_t infer_in_length(const ir_node *n, uint32_t i) {
    const ir_type *t = infer_in(n, i);
    int64_t length;
    if (!ir_type_is_ranked(t) || t->rank > 1) return -1;
    if (t->rank == 0) return 1;
    return ir_dim_is_const(t->dims[0], &length) ? length : -1;
}

bool infer_expect_rank(ir_ctx *c, const ir_node *n, uint32_t i, int32_t rank) {
    const ir_type *t = infer_in(n, i);
    if (!ir_type_is_ranked(t) || t->rank == rank) return true;
    return infer_error(c, n, i, "rank is %d, expected %d", t->rank, rank);
}

bool infer_expect_dim(ir_ctx *c, const ir_node *n, uint32_t i, int32_t axis,
                      const ir_dim *expected) {
    int64_t found, wanted;
    const ir_dim *d = infer_in(n, i)->dims[axis];
    if (!ir_dim_is_const(d, &found) || !ir_dim_is_const(expected, &wanted) || found == wanted)
        return true;
    return infer_error(c, n, i, "dimension %d is %lld, expected %lld", axis, (long long)found,
                       (long long)wanted);
}

bool infer_expect_dims(ir_ctx *c, const ir_node *n, uint32_t i, const ir_dim *const *dims,
                       int32_t rank) {
    if (!infer_is_ranked(n, i)) return true;
    if (!infer_expect_rank(c, n, i, rank)) return false;
    for (int32_t k = 0; k < rank; k++)
        if (!infer_expect_dim(c, n, i, k, dims[k])) return false;
    return true;
}

bool infer_axis(ir_ctx *c, const ir_node *n, int64_t axis, int32_t rank, int32_t *out) {
    if (axis < -rank || axis >= rank)
        return diag_error(&c->diag, n->loc, "axis is %lld, expected -%d to %d", (long long)axis,
                          rank, rank - 1);
    *out = (int32_t)(axis < 0 ? axis + rank : axis);
    return true;
}

infer_answer infer_in_axes(ir_ctx *c, const ir_node *n, uint32_t i, int32_t rank,
                           int32_t axes[IR_MAX_RANK], int32_t *n_axes) {
    int64_t values[IR_MAX_RANK], length = infer_in_length(n, i);
    bool seen[IR_MAX_RANK] = {false};
    *n_axes = length >= 0 && length <= rank ? (int32_t)length : -1;
    if (length > rank) {
        infer_error(c, n, i, "%lld axes, expected %d at most", (long long)length, rank);
        return INFER_ERROR;
    }
    int32_t count = ir_value_const_ints(ir_in(n, i), values, IR_MAX_RANK);
    if (count < 0) return INFER_UNKNOWN;
    for (int32_t k = 0; k < count; k++) {
        if (!infer_axis(c, n, values[k], rank, &axes[k])) return INFER_ERROR;
        if (seen[axes[k]]) {
            infer_error(c, n, i, "axis %d is given twice", axes[k]);
            return INFER_ERROR;
        }
        seen[axes[k]] = true;
    }
    *n_axes = count;
    return INFER_KNOWN;
}

/* ---- results ------------------------------------------------------------------------------------------------- */

static const ir_dim *named_dim(ir_ctx *c, const char *name, uint32_t axis) {
    return name ? ir_dim_symbol(c, tl_arena_printf(&c->arena, "%s.d%u", name, axis))
                : ir_dim_unknown(c);
}

const ir_dim *infer_data_dim(ir_ctx *c, const ir_node *n, uint32_t result, uint32_t axis) {
    return named_dim(c, n->out[result].name, axis);
}

/* What depends on a loop's counter changes from step to step, but often has a limit: the chunk from 4*i to at most 4*i + 4
 * has 4 rows or fewer. The symbol says so in its name, and what it is, so that equal sizes have one symbol. So has one without limit,
 * as where the length of chunks is computed; what it is is noted beside it. */
static const ir_dim *counted_dim(ir_ctx *c, const ir_dim *d) {
    int64_t max = ir_dim_upper_bound(d);
    tl_str text;
    tl_str_init(&text, &c->arena);
    ir_dim_print(d, &text);
    if (max != INT64_MAX) {
        tl_str_printf(&text, ".max%lld", (long long)max);
        return ir_dim_bounded(c, text.data, max);
    }
    tl_str_printf(&text, ".size");
    const ir_dim *symbol = ir_dim_symbol(c, text.data);
    ir_dim_stands_for(symbol, d);
    return symbol;
}

const ir_type *infer_name_dims(ir_ctx *c, const ir_type *t, const char *name) {
    const ir_dim *dims[IR_MAX_RANK];
    if (!ir_type_is_ranked(t)) return t;
    for (int32_t i = 0; i < t->rank; i++) {
        dims[i] = t->dims[i];
        if (ir_dim_is_unknown(t->dims[i]))
            dims[i] = named_dim(c, name, (uint32_t)i);
        else if (ir_dim_has_counter(t->dims[i]))
            dims[i] = counted_dim(c, t->dims[i]);
    }
    return ir_type_tensor(c, t->dtype, t->rank, dims);
}

/* A size below zero is the model's mistake, whatever rule found it. */
static bool check_sizes(ir_ctx *c, const ir_node *n, uint32_t i, const ir_type *t) {
    int64_t size;
    for (int32_t k = 0; ir_type_is_ranked(t) && k < t->rank; k++)
        if (ir_dim_is_const(t->dims[k], &size) && size < 0)
            return diag_error(&c->diag, n->loc,
                              "output %u: dimension %d is %lld, expected 0 or more", i, k,
                              (long long)size);
    return true;
}

bool infer_set(ir_ctx *c, ir_node *n, uint32_t i, const ir_type *t) {
    if (i >= n->n_out) return true;
    ir_value *v = &n->out[i];
    if (!check_sizes(c, n, i, t)) return false;
    const ir_type *declared = v->type,
                  *met = ir_type_meet(c, infer_name_dims(c, t, v->name), declared);
    if (!met)
        return diag_error(&c->diag, n->loc, "output %u '%s': type is %s, declared as %s", i,
                          v->name ? v->name : "", infer_type_text(c, t),
                          infer_type_text(c, declared));
    v->type = infer_name_dims(c, met, v->name);
    return true;
}

bool infer_set_shape(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype t, const ir_shape *s) {
    return infer_set(c, n, i, ir_type_tensor(c, t, s->rank, s->dims));
}

bool infer_set_unranked(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype t) {
    return infer_set(c, n, i, ir_type_unranked(c, t));
}

bool infer_set_rank(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype t, int64_t rank) {
    ir_shape s = {.rank = 0};
    if (rank > IR_MAX_RANK)
        return diag_error(&c->diag, n->loc, "output %u: rank is %lld, at most %d", i,
                          (long long)rank, IR_MAX_RANK);
    for (int64_t k = 0; k < rank; k++)
        s.dims[s.rank++] = ir_dim_unknown(c);
    return infer_set_shape(c, n, i, t, &s);
}

bool infer_push(ir_ctx *c, const ir_node *n, ir_shape *s, const ir_dim *d) {
    if (s->rank == IR_MAX_RANK)
        return diag_error(&c->diag, n->loc, "rank of the result is above %d", IR_MAX_RANK);
    s->dims[s->rank++] = d;
    return true;
}

ir_dtype infer_result_dtype(const ir_node *n, uint32_t i) {
    const ir_schema *s = op_schema(n->op);
    const ir_schema_slot *out = ir_schema_find_output(s, i);
    for (uint32_t k = 0; k < n->n_in; k++) {
        const ir_schema_slot *in = ir_schema_find_input(s, k);
        bool same = ir_type_is_tensor(infer_in(n, k)) && in->constraint == out->constraint;
        if (same) return infer_in(n, k)->dtype;
    }
    int t = 1;
    while (t < DT_COUNT && !ir_schema_output_allows(s, i, t))
        t++;
    return t < DT_COUNT ? (ir_dtype)t : DT_undefined;
}

/* ---- broadcasting -------------------------------------------------------------------------------------------- */

/* NULL where they cannot be broadcast. Symbols that differ: they are equal or one of them is 1, so the larger one is the result
 * (0 against 1 would be 0; compiled code refuses that case by its check that every extent is 1 or the result's). */
static const ir_dim *broadcast_dim(ir_ctx *c, const ir_dim *a, const ir_dim *b) {
    int64_t x, y;
    if (ir_dim_equal(a, b) || ir_dim_is(b, 1)) return a;
    if (ir_dim_is(a, 1)) return b;
    bool a_const = ir_dim_is_const(a, &x), b_const = ir_dim_is_const(b, &y);
    if (a_const && b_const) return NULL;
    if (a_const || b_const) return a_const ? a : b;
    if (ir_dim_lower_bound(a) >= 2) return a;
    return ir_dim_lower_bound(b) >= 2 ? b : ir_dim_max(c, a, b);
}

static const char *shape_text(ir_ctx *c, const ir_shape *s) {
    tl_str text;
    tl_str_init(&text, &c->arena);
    for (int32_t i = 0; i < s->rank; i++) {
        tl_str_putc(&text, i ? ',' : '[');
        ir_dim_print(s->dims[i], &text);
    }
    tl_str_puts(&text, s->rank ? "]" : "[]");
    return text.data;
}

bool infer_broadcast_with(ir_ctx *c, const ir_node *n, uint32_t i, ir_shape *a, const ir_shape *b) {
    ir_shape r;
    r.rank = a->rank > b->rank ? a->rank : b->rank;
    for (int32_t k = 1; k <= r.rank; k++) {
        const ir_dim **out = &r.dims[r.rank - k];
        if (k > a->rank)
            *out = b->dims[b->rank - k];
        else if (k > b->rank)
            *out = a->dims[a->rank - k];
        else
            *out = broadcast_dim(c, a->dims[a->rank - k], b->dims[b->rank - k]);
        if (!*out)
            return infer_error(c, n, i, "shape is %s, which does not broadcast with %s",
                               shape_text(c, b), shape_text(c, a));
    }
    *a = r;
    return true;
}
