/* Normalisations. Statistics in double over the elements that belong together, one rounding at the end; for f16 and bf16
 * the normalised value is rounded to the type before scale and bias apply, as the operators' two stages say. */
#include "ir/eval/eval_internal.h"

#include <math.h>

typedef struct stats {
    double mean, variance, mean_square;
} stats;

/* Of n elements from `at`, `stride` apart. Two passes: the variance does not cancel. */
static stats stats_of(const double *x, int64_t at, int64_t n, int64_t stride) {
    stats s = {0};
    for (int64_t i = 0; i < n; i++)
        s.mean += x[at + i * stride] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double v = x[at + i * stride], d = v - s.mean;
        s.variance += d * d / (double)n;
        s.mean_square += v * v / (double)n;
    }
    return s;
}

/* What follows the first stage is computed in t: f32 and f64 are wide enough to round once, at the end. */
static double stage(ir_dtype t, double v) {
    return t == DT_f32 || t == DT_f64 ? v : ev_round(t, v);
}

/* Operand i broadcast to s: its values and strides. Omitted: NULL values. */
typedef struct affine {
    const double *values;
    int64_t strides[IR_MAX_RANK];
} affine;

static bool read_affine(ir_eval *e, const ir_node *n, const ir_datum *const *in, uint32_t i,
                        const ev_shape *s, affine *a) {
    const ir_tensor *t = ev_tensor(n, in, i);
    *a = (affine){0};
    if (!t) return true;
    ev_shape own = ev_shape_of(t);
    if (!ev_broadcasts_to(&own, s))
        return ev_error(e, n, "operand %u %s does not broadcast to %s", i, ev_shape_text(e, &own),
                        ev_shape_text(e, s));
    a->values = ev_f64s(e, t);
    ev_broadcast_strides(&own, s, a->strides);
    return true;
}

/* ---- LayerNormalization, RMSNormalization ----------------------------------------------------------------------------- */

/* y = norm(x) * scale + bias over the trailing axes; mean and inv (may be NULL) take the rows' statistics. */
static void normalise_rows(const ir_node *n, const double *x, const ev_shape *s, int32_t axis,
                           const affine *scale, const affine *bias, ir_tensor *y, ir_tensor *mean,
                           ir_tensor *inv) {
    bool centre = n->op == OP_LayerNormalization;
    int64_t width = ev_product(s, axis, s->rank), index[IR_MAX_RANK] = {0}, count = ev_count(s);
    double epsilon = ir_attr_float(n, "epsilon", 1e-5f), shift = 0, factor = 1;
    ir_dtype t = y->type->dtype;
    for (int64_t i = 0; i < count; i++, ev_next(s, index)) {
        if (i % width == 0) {
            stats k = stats_of(x, i, width, 1);
            shift = centre ? k.mean : 0;
            factor = 1 / sqrt((centre ? k.variance : k.mean_square) + epsilon);
            if (mean) ir_tensor_set_f64(mean, (size_t)(i / width), k.mean);
            if (inv) ir_tensor_set_f64(inv, (size_t)(i / width), factor);
        }
        double v = stage(t, (x[i] - shift) * factor);
        if (scale->values) v = stage(t, v * scale->values[ev_dot(index, scale->strides, s->rank)]);
        if (bias->values) v += bias->values[ev_dot(index, bias->strides, s->rank)];
        ir_tensor_set_f64(y, (size_t)i, v);
    }
}

static bool normalise(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1);
    int32_t axis;
    affine scale, bias;
    if (!x || !w) return false;
    ev_shape s = ev_shape_of(x), rows = s;
    bool layer = n->op == OP_LayerNormalization;
    if (!ev_axis(e, n, ir_attr_int(n, "axis", -1), s.rank, &axis)) return false;
    if (!read_affine(e, n, in, 1, &s, &scale) || !read_affine(e, n, in, 2, &s, &bias)) return false;
    for (int32_t i = axis; i < s.rank; i++)
        rows.dims[i] = 1;
    ir_dtype stash = (ir_dtype)ir_attr_int(n, "stash_type", DT_f32);
    if (stash != DT_f32 && stash != DT_f64 && stash != DT_bf16 && stash != DT_f16)
        return ev_error(e, n, "stash_type is not valid");
    ir_tensor *extra[2] = {0};
    for (uint32_t i = 1; layer && i < 3 && i < n->n_out; i++) {
        if (!(extra[i - 1] = ev_alloc(e, n, stash, &rows))) return false;
        out[i].tensor = extra[i - 1];
    }
    ir_tensor *y = ev_alloc(e, n, layer ? x->type->dtype : w->type->dtype, &s);
    if (!y) return false;
    normalise_rows(n, ev_f64s(e, x), &s, axis, &scale, &bias, y, extra[0], extra[1]);
    out[0].tensor = y;
    return true;
}

bool eval_layer_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    return normalise(e, n, in, out);
}
bool eval_rms_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    return normalise(e, n, in, out);
}

/* ---- per channel: InstanceNormalization, GroupNormalization, BatchNormalization ---------------------------------------- */

/* Operand i as one value per channel; reports another number of them. */
static const double *per_channel(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                                 uint32_t i, int64_t channels) {
    const ir_tensor *t = ev_need(e, n, in, i);
    if (!t) return NULL;
    if (ir_tensor_elements(t) != (size_t)channels)
        return ev_error(e, n, "operand %u has %zu elements, expected %lld", i,
                        ir_tensor_elements(t), (long long)channels),
               NULL;
    return ev_f64s(e, t);
}

/* x as [batch, groups, channels per group, pixels], normalised over the last two. InstanceNormalization: one channel each. */
static bool group_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in, int64_t groups,
                       ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1);
    if (!x || !w) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank < 2) return ev_error(e, n, "rank is %d, expected 2 or more", (int)s.rank);
    int64_t channels = s.dims[1];
    if (groups < 0) groups = channels; /* InstanceNormalization */
    if (channels && (groups < 1 || channels % groups))
        return ev_error(e, n, "%lld channels in %lld groups", (long long)channels,
                        (long long)groups);
    /* The first form of GroupNormalization (opset 18) scales per group. */
    bool by_group = ir_tensor_elements(w) == (size_t)groups && groups != channels;
    const double *scale = per_channel(e, n, in, 1, by_group ? groups : channels);
    const double *bias = per_channel(e, n, in, 2, by_group ? groups : channels);
    ir_tensor *y = scale && bias ? ev_alloc(e, n, x->type->dtype, &s) : NULL;
    if (!y) return false;
    out[0].tensor = y;
    int64_t count = ev_count(&s), pixels = ev_product(&s, 2, s.rank);
    if (!count) return true;
    int64_t per_group = channels / groups, width = per_group * pixels;
    double epsilon = ir_attr_float(n, "epsilon", 1e-5f);
    const double *v = ev_f64s(e, x);
    stats k = {0};
    for (int64_t i = 0; i < count; i++) {
        if (i % width == 0) k = stats_of(v, i, width, 1);
        int64_t c = i / pixels % channels, at = by_group ? c / per_group : c;
        double normal = stage(x->type->dtype, (v[i] - k.mean) / sqrt(k.variance + epsilon));
        ir_tensor_set_f64(y, (size_t)i, normal * scale[at] + bias[at]);
    }
    return true;
}

bool eval_instance_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    return group_norm(e, n, in, -1, out);
}

bool eval_group_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    int64_t groups = ir_attr_int(n, "num_groups", 0);
    if (groups < 1) return ev_error(e, n, "num_groups is %lld", (long long)groups);
    return group_norm(e, n, in, groups, out);
}

/* Training mode: statistics of the batch, and running ones as further results; momentum weighs the old value. */
static bool train_stats(ir_eval *e, const ir_node *n, const double *x, const ev_shape *s,
                        double *mean, double *variance, ir_datum *out, const ir_datum *const *in) {
    int64_t channels = s->dims[1], pixels = ev_product(s, 2, s->rank), count = s->dims[0] * pixels;
    double momentum = ir_attr_float(n, "momentum", 0.9f);
    double *row = TL_NEW_ARRAY(e->arena, double, (size_t)count + 1);
    ir_tensor *running[2] = {0};
    ev_shape one = {1, {channels}};
    for (uint32_t i = 0; i < 2 && i + 1 < n->n_out; i++) {
        if (!(running[i] = ev_alloc(e, n, in[3 + i]->tensor->type->dtype, &one))) return false;
        out[i + 1].tensor = running[i];
    }
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t i = 0; i < count; i++)
            row[i] = x[(i / pixels * channels + c) * pixels + i % pixels];
        stats k = stats_of(row, 0, count, 1);
        if (running[0])
            ir_tensor_set_f64(running[0], (size_t)c, mean[c] * momentum + k.mean * (1 - momentum));
        if (running[1])
            ir_tensor_set_f64(running[1], (size_t)c,
                              variance[c] * momentum + k.variance * (1 - momentum));
        mean[c] = k.mean;
        variance[c] = k.variance;
    }
    return true;
}

bool eval_batch_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank == 1) s = (ev_shape){2, {s.dims[0], 1}}; /* a single channel */
    if (s.rank < 2) return ev_error(e, n, "rank is 0");
    const double *p[5] = {0};
    for (uint32_t i = 1; i < 5; i++)
        if (!(p[i] = per_channel(e, n, in, i, s.dims[1]))) return false;
    const double *v = ev_f64s(e, x);
    ev_shape own = ev_shape_of(x);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &own);
    bool training = ir_attr_int(n, "training_mode", 0) != 0;
    if (!y || (training && !train_stats(e, n, v, &s, (double *)p[3], (double *)p[4], out, in)))
        return false;
    double epsilon = ir_attr_float(n, "epsilon", 1e-5f);
    int64_t pixels = ev_product(&s, 2, s.rank), count = ev_count(&s);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / pixels % s.dims[1];
        ir_tensor_set_f64(y, (size_t)i,
                          (v[i] - p[3][c]) / sqrt(p[4][c] + epsilon) * p[1][c] + p[2][c]);
    }
    out[0].tensor = y;
    return true;
}

/* ---- LpNormalization, MeanVarianceNormalization -------------------------------------------------------------------------- */

bool eval_lp_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    int32_t axis;
    int64_t p = ir_attr_int(n, "p", 2);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (p != 1 && p != 2) return ev_error(e, n, "p is %lld, expected 1 or 2", (long long)p);
    if (!ev_axis(e, n, ir_attr_int(n, "axis", -1), s.rank, &axis)) return false;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    out[0].tensor = y;
    if (ev_count(&s) == 0) return true;
    ev_lanes l = ev_lanes_of(&s, axis);
    const double *v = ev_f64s(e, x);
    for (int64_t r = 0; r < l.outer * l.inner; r++) {
        int64_t base = r / l.inner * l.n * l.inner + r % l.inner;
        double norm = 0;
        for (int64_t i = 0; i < l.n; i++)
            norm += p == 1 ? fabs(v[base + i * l.inner])
                           : v[base + i * l.inner] * v[base + i * l.inner];
        if (p == 2) norm = sqrt(norm);
        for (int64_t i = 0; i < l.n; i++) /* a row of zeros stays one */
            ir_tensor_set_f64(y, (size_t)(base + i * l.inner),
                              norm == 0 ? 0 : v[base + i * l.inner] / norm);
    }
    return true;
}

/* (x - mean) / (sqrt(variance) + 1e-9) over the axes given (0, 2, 3 by default). */
bool eval_mean_variance_norm(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                             ir_datum *out) {
    static const int64_t default_axes[] = {0, 2, 3};
    const ir_tensor *x = ev_need(e, n, in, 0);
    uint32_t n_axes;
    const int64_t *axes = ir_attr_ints(n, "axes", &n_axes);
    if (!axes) axes = default_axes, n_axes = 3;
    if (!x) return false;
    ev_shape s = ev_shape_of(x), rows = s;
    int64_t strides[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, count = ev_count(&s), n_rows;
    for (uint32_t i = 0; i < n_axes; i++) {
        int32_t axis;
        if (!ev_axis(e, n, axes[i], s.rank, &axis)) return false;
        rows.dims[axis] = 1;
    }
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    ev_broadcast_strides(&rows, &s, strides);
    n_rows = ev_count(&rows);
    const double *v = ev_f64s(e, x);
    stats *k = TL_NEW_ARRAY(e->arena, stats, (size_t)n_rows + 1);
    double width = n_rows ? (double)(count / n_rows) : 1;
    for (int64_t i = 0; i < count; i++, ev_next(&s, index))
        k[ev_dot(index, strides, s.rank)].mean += v[i] / width;
    for (int64_t i = 0; i < count; i++, ev_next(&s, index)) {
        stats *r = &k[ev_dot(index, strides, s.rank)];
        r->variance += (v[i] - r->mean) * (v[i] - r->mean) / width;
    }
    for (int64_t i = 0; i < count; i++, ev_next(&s, index)) {
        const stats *r = &k[ev_dot(index, strides, s.rank)];
        ir_tensor_set_f64(y, (size_t)i, (v[i] - r->mean) / (sqrt(r->variance) + 1e-9));
    }
    out[0].tensor = y;
    return true;
}
