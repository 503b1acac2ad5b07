/* Results put together from pieces: Concat writes each operand into its slice, unless it lies there already, as the rows of a cache do;
 * Pad and Tile read by position. */
#include "codegen/dynamic.h"
#include "codegen/layout.h"
#include "codegen/place.h"

#include "ir/limits.h"

bool lower_concat(cg *g, ir_node *n) {
    const cg_view *y = cg_write_like(g, &n->out[0], n->n_in ? cg_read(g, ir_in(n, 0)) : NULL);
    int64_t axis = ir_attr_int(n, "axis", 0);
    if (axis < 0) axis += y->rank;
    const ir_dim *start = cg_dc(g, 0);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const cg_view *x = cg_read(g, ir_in(n, i));
        const ir_dim *size = x->dims[axis];
        for (int32_t d = 0; d < y->rank; d++)
            if (d != axis) cg_check_equal(g, x->dims[d], y->dims[d]);
        const cg_view *part = cg_view_slice(g, y, (int32_t)axis, start, cg_dc(g, 1), size);
        if (!ir_dim_is(size, 0) && !cg_view_is_same(x, part)) cg_copy(g, x, part);
        start = ir_dim_add(g->c, start, size);
    }
    return true;
}

/* ---- Tile --------------------------------------------------------------------------------------------------------------- */

static void tile_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const cg_view *x = s->data;
    lp_builder *b = &s->k->b;
    lp_value *index[IR_MAX_RANK_NEST];
    for (int32_t a = 0; a < x->rank; a++) {
        bool once = ir_dim_equal(x->dims[a], s->dims[a]);
        index[a] = once ? s->index[a]
                        : lp_bin(b, LP_rem, s->index[a], cg_kernel_dim(s->k, x->dims[a]));
    }
    lp_value *at = cg_offset(s->k, x, index, x->rank);
    out[0] = cg_load(b, x->dtype, lanes, cg_kernel_in(s->k, x, false), at, lp_index(b, 1));
}

bool lower_tile(cg *g, ir_node *n) {
    if (!ir_type_is_known(n->out[0].type))
        return cg_unsupported(g, n, "repeats that depend on data");
    const cg_view *x = cg_read(g, ir_in(n, 0));
    cg_nest *s = cg_nest_result(g, n, tile_point, (void *)(uintptr_t)x);
    s->scalar = true;
    cg_nest_run(s);
    return true;
}

/* ---- Pad ---------------------------------------------------------------------------------------------------------------- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

typedef struct pad {
    const cg_view *x;
    const ir_dim *before[IR_MAX_RANK];
    pad_mode mode;
    ir_value *value;
} pad;

static pad_mode pad_mode_of(const ir_node *n) {
    const char *mode = ir_attr_string(n, "mode", "constant");
    if (strcmp(mode, "reflect") == 0) return PAD_REFLECT;
    if (strcmp(mode, "edge") == 0) return PAD_EDGE;
    return strcmp(mode, "wrap") == 0 ? PAD_WRAP : PAD_CONSTANT;
}

/* i mod n, never negative */
static lp_value *positive_rem(lp_builder *b, lp_value *i, lp_value *n) {
    lp_value *r = lp_bin(b, LP_rem, i, n);
    return lp_select(b, lp_bin(b, LP_lt, r, lp_index(b, 0)), lp_bin(b, LP_add, r, n), r);
}

/* Position i of the padded axis in the operand's axis of n > 0 elements. Reflect: period 2(n-1), folded back. */
static lp_value *source_position(lp_builder *b, pad_mode mode, lp_value *i, lp_value *n) {
    lp_value *zero = lp_index(b, 0), *one = lp_index(b, 1), *last = lp_bin(b, LP_sub, n, one);
    if (mode == PAD_WRAP) return positive_rem(b, i, n);
    if (mode == PAD_REFLECT) {
        lp_value *period = lp_bin(b, LP_max, lp_bin(b, LP_mul, last, lp_index(b, 2)), one),
                 *r = positive_rem(b, i, period);
        return lp_bin(b, LP_min, lp_bin(b, LP_min, r, lp_bin(b, LP_sub, period, r)), last);
    }
    return lp_bin(b, LP_max, lp_bin(b, LP_min, i, last), zero);
}

static lp_value *pad_value(cg_nest *s, const pad *d) {
    lp_builder *b = &s->k->b;
    ir_dtype t = ir_dtype_compute(d->x->dtype);
    if (!d->value)
        return ir_dtype_is_float(t) ? lp_const_f(b, lp_scalar(t), 0)
                                    : lp_const_i(b, lp_scalar(t), 0);
    if (cg_is_literal(d->value)) return cg_const_value(b, d->value, 1);
    const cg_view *v = cg_read(s->g, d->value);
    return cg_load(b, v->dtype, 1, cg_kernel_in(s->k, v, false), lp_index(b, 0), lp_index(b, 1));
}

static void pad_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    (void)lanes;
    const pad *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *index[IR_MAX_RANK_NEST], *inside = lp_const_i(b, lp_scalar(DT_bool), 1);
    for (int32_t a = 0; a < d->x->rank; a++) {
        lp_value *i = lp_bin(b, LP_sub, s->index[a], cg_kernel_dim(s->k, d->before[a])),
                 *n = cg_kernel_dim(s->k, d->x->dims[a]);
        lp_value *here = lp_bin(b, LP_and, lp_bin(b, LP_ge, i, lp_index(b, 0)),
                                lp_bin(b, LP_lt, i, n));
        inside = lp_bin(b, LP_and, inside, here);
        index[a] = d->mode == PAD_CONSTANT ? i : source_position(b, d->mode, i, n);
    }
    lp_value *ptr = cg_kernel_in(s->k, d->x, false), *at = cg_offset(s->k, d->x, index, d->x->rank);
    if (d->mode != PAD_CONSTANT) {
        out[0] = cg_load(b, d->x->dtype, 1, ptr, at, lp_index(b, 1));
        return;
    }
    lp_value *fill = pad_value(s, d);
    lp_loop l = lp_if_begin(b, inside, &fill->type, 1);
    lp_value *x = cg_load(b, d->x->dtype, 1, ptr, at, lp_index(b, 1));
    lp_if_else(b, &l, &x);
    lp_if_end(b, &l, &fill);
    out[0] = l.results[0];
}

/* What is put in front of each axis. */
static bool read_pads(cg *g, ir_node *n, pad *d) {
    const ir_dim *pads[2 * IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK];
    for (int32_t a = 0; cg_shape_operands(n) && a < d->x->rank; a++)
        d->before[a] = cg_number(g, (uint32_t)(d->x->rank + a));
    if (cg_shape_operands(n)) return true;
    int32_t count = ir_value_known_dims(g->c, ir_in(n, 1), pads, 2 * IR_MAX_RANK),
            n_axes = d->x->rank;
    for (int32_t a = 0; a < n_axes; a++)
        axes[a] = a, d->before[a] = cg_dc(g, 0);
    if (ir_in(n, 3)) n_axes = ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK);
    if (count < 0 || n_axes < 0 || count != 2 * n_axes)
        return cg_unsupported(g, n, "pads that depend on data");
    for (int32_t i = 0; i < n_axes; i++)
        d->before[axes[i] < 0 ? axes[i] + d->x->rank : axes[i]] = pads[i];
    return true;
}

/* A negative pad takes elements away before the others repeat what is left: x becomes that view, of extent 0 where more is taken than
 * there is. The end follows from the result's extent:
 *   Pad<mode="wrap">([0, 1, 2, 3, 4, 5], pads {-2, 3}) = [2, 3, 4, 5, 2, 3, 4]
 * (A constant is put around what is left by the result's extent alone.) */
static void crop(cg *g, const ir_node *n, pad *d) {
    ir_ctx *c = g->c;
    const ir_dim *zero = cg_dc(g, 0);
    for (int32_t a = 0; a < d->x->rank; a++) {
        const ir_dim *before = ir_dim_max(c, d->before[a], zero),
                     *from = ir_dim_sub(c, before, d->before[a]),
                     *after = ir_dim_sub(c, n->out[0].type->dims[a],
                                         ir_dim_add(c, d->x->dims[a], d->before[a])),
                     *left = ir_dim_add(c, ir_dim_sub(c, d->x->dims[a], from),
                                        ir_dim_min(c, after, zero));
        d->before[a] = before;
        if (ir_dim_equal(left, d->x->dims[a])) continue;
        d->x = cg_view_slice(g, d->x, a, from, cg_dc(g, 1), ir_dim_max(c, left, zero));
    }
}

bool lower_pad(cg *g, ir_node *n) {
    pad *d = TL_NEW(g->arena, pad);
    *d = (pad){.x = cg_read(g, ir_in(n, 0)), .mode = pad_mode_of(n), .value = ir_in(n, 2)};
    if (!read_pads(g, n, d)) return false;
    if (d->mode != PAD_CONSTANT) crop(g, n, d);
    cg_nest *s = cg_nest_result(g, n, pad_point, d);
    s->scalar = true;
    if (d->mode != PAD_CONSTANT) { /* nothing to repeat in an axis without elements */
        s->required = cg_dims_product(g, d->x->dims, d->x->rank);
        s->failure = cg_failure(g, "the operand is empty: nothing to pad with");
    }
    cg_nest_run(s);
    return true;
}
