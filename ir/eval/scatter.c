/* Writing by index: ScatterElements, ScatterND, TensorScatter. Updates apply in order, so that duplicates of a sum all count; reductions
 * add, mul, max, min combine with what is there. */
#include "ir/eval/eval_internal.h"
#include "ir/eval/sc_host.h"

typedef struct scatter {
    const ir_tensor *updates;
    ir_tensor *y;
    bool reduces;
    sc_op op;
} scatter;

static bool read_scatter(ir_eval *e, const ir_node *n, const ir_datum *const *in, scatter *s) {
    static const struct {
        const char *name;
        sc_op op;
    } kinds[] = {{"add", SC_ADD}, {"mul", SC_MUL}, {"max", SC_MAX}, {"min", SC_MIN}};
    const ir_tensor *x = ev_need(e, n, in, 0);
    *s = (scatter){.updates = ev_need(e, n, in, 2)};
    if (!x || !ev_need(e, n, in, 1) || !s->updates) return false;
    if (s->updates->type->dtype != x->type->dtype)
        return ev_error(e, n, "updates have another element type");
    const char *name = ir_attr_string(n, "reduction", "none");
    for (int i = 0; i < 4; i++)
        if (strcmp(name, kinds[i].name) == 0) s->reduces = true, s->op = kinds[i].op;
    if (!s->reduces && strcmp(name, "none") != 0)
        return ev_error(e, n, "reduction '%s' is not known", name);
    ir_dtype_class c = ir_dtype_get_class(x->type->dtype);
    if (s->reduces && c != DTYPE_FLOAT && c != DTYPE_INT && c != DTYPE_UINT && c != DTYPE_BOOL)
        return ev_error(e, n, "no reduction of %s", ir_dtype_name(x->type->dtype));
    ev_shape shape = ev_shape_of(x);
    s->y = ev_alloc(e, n, x->type->dtype, &shape);
    if (s->y) ev_copy_run(x->type->dtype, ir_tensor_data(s->y), 0, x->data, 0, ev_count(&shape));
    return s->y != NULL;
}

static void write_one(const scatter *s, int64_t to, int64_t from) {
    ir_dtype t = s->y->type->dtype, compute = ir_dtype_compute(t);
    void *data = ir_tensor_data(s->y);
    if (!s->reduces) {
        ev_copy_run(t, data, to, s->updates->data, from, 1);
        return;
    }
    sc_op op = s->op;
    if (t == DT_bool) op = op == SC_ADD || op == SC_MAX ? SC_OR : SC_AND;
    sc_cell x[3] = {sc_host_load(t, data, (size_t)to),
                    sc_host_load(t, s->updates->data, (size_t)from)};
    sc_host_store(t, data, (size_t)to, sc_host_apply(op, compute, compute, x));
}

static bool resolve(ir_eval *e, const ir_node *n, int64_t index, int64_t d, int64_t *at) {
    if (index < -d || index >= d)
        return ev_error(e, n, "index %lld is outside of dimension %lld", (long long)index,
                        (long long)d);
    *at = index < 0 ? index + d : index;
    return true;
}

bool eval_scatter_elements(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    scatter sc;
    int32_t axis;
    if (!read_scatter(e, n, in, &sc)) return false;
    const ir_tensor *indices = in[1]->tensor;
    ev_shape sx = ev_shape_of(in[0]->tensor), s = ev_shape_of(indices),
             su = ev_shape_of(sc.updates);
    if (!ev_axis(e, n, ir_attr_int(n, "axis", 0), sx.rank, &axis)) return false;
    bool fits = s.rank == sx.rank && ev_shape_equal(&s, &su);
    for (int32_t i = 0; fits && i < s.rank; i++)
        fits = i == axis || s.dims[i] <= sx.dims[i];
    if (!fits)
        return ev_error(e, n, "indices %s and updates %s do not fit %s", ev_shape_text(e, &s),
                        ev_shape_text(e, &su), ev_shape_text(e, &sx));
    int64_t strides[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, count = ev_count(&s), at;
    ev_strides(&sx, strides);
    for (int64_t i = 0; i < count; i++, ev_next(&s, index)) {
        if (!resolve(e, n, ir_tensor_get_i64(indices, (size_t)i), sx.dims[axis], &at)) return false;
        write_one(&sc, ev_dot(index, strides, s.rank) + (at - index[axis]) * strides[axis], i);
    }
    out[0].tensor = sc.y;
    return true;
}

bool eval_scatter_nd(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    scatter sc;
    if (!read_scatter(e, n, in, &sc)) return false;
    const ir_tensor *indices = in[1]->tensor;
    ev_shape sx = ev_shape_of(in[0]->tensor), si = ev_shape_of(indices),
             su = ev_shape_of(sc.updates);
    int64_t width = si.rank ? si.dims[si.rank - 1] : 0;
    bool fits = si.rank > 0 && width <= sx.rank && su.rank == si.rank - 1 + sx.rank - width;
    for (int32_t i = 0; fits && i < si.rank - 1; i++)
        fits = su.dims[i] == si.dims[i];
    for (int32_t i = si.rank - 1; fits && i < su.rank; i++)
        fits = su.dims[i] == sx.dims[width + i - (si.rank - 1)];
    if (!fits)
        return ev_error(e, n, "indices %s and updates %s do not fit %s", ev_shape_text(e, &si),
                        ev_shape_text(e, &su), ev_shape_text(e, &sx));
    int64_t strides[IR_MAX_RANK], tuples = ev_product(&si, 0, si.rank - 1),
                                  slice = ev_product(&sx, (int32_t)width, sx.rank), at;
    ev_strides(&sx, strides);
    for (int64_t i = 0; i < tuples; i++) {
        int64_t to = 0;
        for (int64_t k = 0; k < width; k++) {
            if (!resolve(e, n, ir_tensor_get_i64(indices, (size_t)(i * width + k)), sx.dims[k],
                         &at))
                return false;
            to += at * strides[k];
        }
        for (int64_t j = 0; j < slice; j++)
            write_one(&sc, to + j, i * slice + j);
    }
    out[0].tensor = sc.y;
    return true;
}

/* Where element `step` of sample b's update goes along the axis; false after reporting when that is outside. */
static bool cache_place(ir_eval *e, const ir_node *n, const ir_tensor *starts, int64_t b,
                        int64_t step, int64_t size, int64_t *at) {
    int64_t start = starts ? ir_tensor_get_i64(starts, (size_t)b) : 0;
    if (strcmp(ir_attr_string(n, "mode", "linear"), "circular") != 0)
        return resolve(e, n, (int64_t)((uint64_t)start + (uint64_t)step), size, at);
    if (size == 0) return ev_error(e, n, "the cache is empty");
    *at = (start % size + step % size + size) % size;
    return true;
}

bool eval_tensor_scatter(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *u = ev_need(e, n, in, 1),
                    *starts = ev_tensor(n, in, 2);
    int32_t axis;
    if (!x || !u) return false;
    ev_shape s = ev_shape_of(x), su = ev_shape_of(u), expected = s;
    if (!ev_axis(e, n, ir_attr_int(n, "axis", -2), s.rank, &axis)) return false;
    if (axis < su.rank) expected.dims[axis] = su.dims[axis];
    if (axis == 0 || !ev_shape_equal(&su, &expected) || u->type->dtype != x->type->dtype ||
        (starts && ir_tensor_elements(starts) != (size_t)s.dims[0]))
        return ev_error(e, n, "update %s does not fit %s", ev_shape_text(e, &su),
                        ev_shape_text(e, &s));
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    ev_copy_run(x->type->dtype, ir_tensor_data(y), 0, x->data, 0, ev_count(&s));
    int64_t index[IR_MAX_RANK] = {0}, strides[IR_MAX_RANK], at;
    ev_strides(&s, strides);
    for (int64_t i = 0; i < ev_count(&su); i++, ev_next(&su, index)) {
        if (!cache_place(e, n, starts, index[0], index[axis], s.dims[axis], &at)) return false;
        int64_t to = ev_dot(index, strides, s.rank) + (at - index[axis]) * strides[axis];
        ev_copy_run(x->type->dtype, ir_tensor_data(y), to, u->data, i, 1);
    }
    out[0].tensor = y;
    return true;
}
