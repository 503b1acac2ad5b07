/* Results made from shapes and positions: Shape, Size, Dims, Range, ConstantOfShape, EyeLike, Trilu. */
#include "codegen/lower.h"

#include "ir/limits.h"

/* ---- dimension expressions as data --------------------------------------------------------------------------------- */

/* One thread writes the numbers; there are few of them. */
static bool store_dims(cg *g, ir_node *n, const ir_dim *const *dims, uint32_t count) {
    const cg_view *y = cg_write(g, &n->out[0]);
    cg_kernel k = cg_kernel_begin(g, n, cg_dc(g, 1));
    lp_value *py = cg_kernel_out(&k, y, false);
    for (uint32_t i = 0; i < count; i++) {
        lp_value *v = cg_kernel_dim(&k, dims[i]);
        if (y->dtype != DT_i64) v = lp_cast(&k.b, v, y->dtype);
        lp_store(&k.b, py, lp_index(&k.b, i), v);
    }
    cg_kernel_end(&k, "%s", op_get(n->op)->name);
    return true;
}

bool lower_dims(cg *g, ir_node *n) {
    const ir_attr *a = ir_attr_find(n, "dims");
    return store_dims(g, n, a ? a->v.dims : NULL, a ? a->n : 0);
}

/* Shape and Size: inference knows their contents as expressions. */
bool lower_shape(cg *g, ir_node *n) {
    const ir_dim *dims[IR_MAX_KNOWN];
    int32_t count = ir_value_known_dims(g->c, &n->out[0], dims, IR_MAX_KNOWN);
    if (count < 0) return cg_unsupported(g, n, "shape of the operand depends on data");
    return store_dims(g, n, dims, (uint32_t)count);
}

/* ---- by position ------------------------------------------------------------------------------------------------------ */

static lp_value *literal(lp_builder *b, ir_dtype t, unsigned lanes, double v) {
    t = ir_dtype_compute(t);
    return ir_dtype_is_float(t) ? lp_const_f(b, lp_vec(t, lanes), v)
                                : lp_const_i(b, lp_vec(t, lanes), (int64_t)v);
}

static void constant_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const ir_attr *a = s->data;
    ir_dtype t = s->out[0]->dtype;
    if (!a) {
        out[0] = literal(&s->k->b, t, lanes, 0);
        return;
    }
    ir_value v = {.type = a->v.t->type, .tensor = a->v.t};
    out[0] = cg_const_value(&s->k->b, &v, lanes);
}

bool lower_constant_of_shape(cg *g, ir_node *n) {
    if (!ir_type_is_known(n->out[0].type))
        return cg_unsupported(g, n, "shape that depends on data");
    const ir_attr *value = ir_attr_find(n, "value");
    cg_nest *s = cg_nest_result(g, n, constant_point, (void *)(uintptr_t)value);
    s->needs_index = false;
    cg_nest_run(s);
    return true;
}

/* positions along the last axis as a vector */
static lp_value *columns(cg_nest *s, unsigned lanes) {
    lp_builder *b = &s->k->b;
    lp_value *first = lp_broadcast(b, s->index[s->rank - 1], lanes);
    return lanes == 1 ? first : lp_bin(b, LP_add, first, lp_iota(b, lp_vec(DT_i64, lanes)));
}

static void eye_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    lp_builder *b = &s->k->b;
    ir_dtype t = s->out[0]->dtype;
    lp_value *diagonal = lp_bin(b, LP_add, s->index[0], lp_index(b, ir_attr_int(s->node, "k", 0)));
    lp_value *hit = lp_bin(b, LP_eq, columns(s, lanes), lp_broadcast(b, diagonal, lanes));
    out[0] = lp_select(b, hit, literal(b, t, lanes, 1), literal(b, t, lanes, 0));
}

bool lower_eye_like(cg *g, ir_node *n) {
    cg_nest *s = cg_nest_result(g, n, eye_point, NULL);
    cg_nest_run(s);
    return true;
}

typedef struct trilu {
    int64_t k;
    const cg_view *k_data; /* NULL: k is constant */
    bool upper;
} trilu;

static void trilu_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    const trilu *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *k = lp_index(b, d->k), *zero = lp_index(b, 0);
    if (d->k_data) k = cg_load(b, DT_i64, 1, cg_kernel_in(s->k, d->k_data, false), zero, zero);
    lp_value *edge = lp_broadcast(b, lp_bin(b, LP_add, s->index[s->rank - 2], k), lanes);
    lp_value *keep = lp_bin(b, d->upper ? LP_ge : LP_le, columns(s, lanes), edge);
    out[0] = lp_select(b, keep, in[0], literal(b, s->out[0]->dtype, lanes, 0));
}

bool lower_trilu(cg *g, ir_node *n) {
    trilu *d = TL_NEW(g->arena, trilu);
    d->upper = ir_attr_int(n, "upper", 1);
    bool known = !ir_in(n, 1) || ir_value_const_i64(ir_in(n, 1), &d->k);
    if (!known) d->k_data = cg_read(g, ir_in(n, 1));
    cg_nest *s = cg_nest_result(g, n, trilu_point, d);
    s->in[s->n_in++] = cg_read(g, ir_in(n, 0));
    cg_nest_run(s);
    return true;
}

/* start + i * delta; both operands are read, or literals where constant */
static void range_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    lp_builder *b = &s->k->b;
    ir_dtype t = ir_dtype_compute(s->out[0]->dtype);
    lp_value *x[3] = {NULL, NULL, NULL};
    for (uint32_t i = 0; i < 3; i += 2) {
        ir_value *v = ir_in(s->node, i);
        if (v->tensor) {
            x[i] = cg_const_value(b, v, lanes);
            continue;
        }
        const cg_view *view = cg_read(s->g, v);
        x[i] = cg_load(b, view->dtype, 1, cg_kernel_in(s->k, view, false), lp_index(b, 0),
                       lp_index(b, 1));
        x[i] = lp_broadcast(b, x[i], lanes);
    }
    lp_value *i = lp_cast(b, columns(s, lanes), t);
    out[0] = lp_bin(b, LP_add, x[0], lp_bin(b, LP_mul, i, x[2]));
}

bool lower_range(cg *g, ir_node *n) {
    if (!ir_type_is_known(n->out[0].type))
        return cg_unsupported(g, n, "length that depends on data");
    cg_nest *s = cg_nest_result(g, n, range_point, NULL);
    cg_nest_run(s);
    return true;
}
