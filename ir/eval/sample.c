/* GridSample and AffineGrid, in double.
 *
 *   y[n,c,o] = x[n,c] at the point grid[n,o], whose coordinates run from -1 to 1, the last axis of x first */
#include "ir/eval/eval_internal.h"

#include <math.h>

enum { MAX_TAPS = 4, MAX_AXES = IR_MAX_RANK - 2 };

typedef struct sampler {
    int32_t axes;
    ev_shape in;
    int64_t strides[MAX_AXES];
    bool align, zeros, reflects;
    int taps; /* per axis: 1, 2 or 4 */
} sampler;

/* The elements around a coordinate of one axis; place -1: nothing there. */
typedef struct sample_axis {
    int64_t place[MAX_TAPS];
    double weight[MAX_TAPS];
} sample_axis;

/* Back and forth between the borders until it is inside. */
static double reflect(const sampler *s, int64_t size, double v) {
    double low = s->align ? 0 : -0.5, high = s->align ? (double)size - 1 : (double)size - 0.5,
           range = high - low;
    if (v >= low && v <= high) return v;
    if (!(range > 0)) return 0;
    double far = v < low ? low - v : v - high, times = floor(far / range),
           rest = far - times * range;
    bool from_low = (v < low) == (fmod(times, 2) == 0);
    return from_low ? low + rest : high - rest;
}

static double clamp(double v, double low, double high) {
    return v > low ? (v < high ? v : high) : low;
}

static int64_t place_of(const sampler *s, int64_t size, double i) {
    if (s->zeros) return i >= 0 && i < (double)size ? (int64_t)i : -1;
    if (s->reflects) i = trunc(reflect(s, size, i));
    return (int64_t)clamp(i, 0, (double)(size - 1));
}

static double cubic(double x) {
    const double a = -0.75;
    x = fabs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

static sample_axis sample_along(const sampler *s, int32_t axis, double v) {
    int64_t size = s->in.dims[axis];
    double high = s->align ? (double)size - 1 : (double)size - 0.5, low = s->align ? 0 : -0.5;
    v = s->align ? (v + 1) / 2 * (double)(size - 1) : ((v + 1) * (double)size - 1) / 2;
    if (s->taps == 1) v = nearbyint(v);
    if (s->reflects)
        v = reflect(s, size, v);
    else if (!s->zeros && !(v >= low && v <= high))
        v = clamp(v, 0, (double)(size - 1));
    sample_axis a;
    double first = s->taps == 1 ? v : floor(v) - (s->taps == 4);
    for (int t = 0; t < s->taps; t++) {
        double at = first + t, far = v - at;
        a.place[t] = place_of(s, size, at);
        a.weight[t] = s->taps == 1 ? 1 : s->taps == 2 ? 1 - fabs(far) : cubic(far);
    }
    return a;
}

static double sample_point(const sampler *s, const double *plane, const double *coordinates) {
    sample_axis axes[MAX_AXES];
    ev_shape taps = {s->axes, {0}};
    int64_t tap[IR_MAX_RANK] = {0};
    for (int32_t i = 0; i < s->axes; i++) {
        axes[i] = sample_along(s, i, coordinates[s->axes - 1 - i]);
        taps.dims[i] = s->taps;
    }
    double sum = 0;
    do {
        double weight = 1;
        int64_t at = 0;
        for (int32_t i = 0; i < s->axes && at >= 0; i++) {
            weight *= axes[i].weight[tap[i]];
            at = axes[i].place[tap[i]] < 0 ? -1 : at + axes[i].place[tap[i]] * s->strides[i];
        }
        if (at >= 0) sum += weight * plane[at];
    } while (ev_next(&taps, tap));
    return sum;
}

/* The one element that is nearest, of any type; zero bits, of a string no bytes, where there is none. */
static void pick_point(const sampler *s, const ir_tensor *x, int64_t plane,
                       const double *coordinates, ir_tensor *y, int64_t i) {
    int64_t at = 0;
    for (int32_t k = 0; k < s->axes && at >= 0; k++) {
        int64_t place = sample_along(s, k, coordinates[s->axes - 1 - k]).place[0];
        at = place < 0 ? -1 : at + place * s->strides[k];
    }
    if (at >= 0) ev_copy_run(x->type->dtype, ir_tensor_data(y), i, x->data, plane + at, 1);
}

static bool set_sampler(ir_eval *e, const ir_node *n, sampler *s, const ev_shape *x,
                        const ev_shape *grid) {
    const char *mode = ir_attr_string(n, "mode", "linear"),
               *padding = ir_attr_string(n, "padding_mode", "zeros");
    *s = (sampler){.axes = x->rank - 2,
                   .align = ir_attr_int(n, "align_corners", 0),
                   .zeros = strcmp(padding, "zeros") == 0,
                   .reflects = strcmp(padding, "reflection") == 0};
    s->taps = strcmp(mode, "nearest") == 0 ? 1 : strcmp(mode, "cubic") == 0 ? 4 : 2;
    if (x->rank < 3 || grid->rank != x->rank || grid->dims[0] != x->dims[0] ||
        grid->dims[x->rank - 1] != s->axes)
        return ev_error(e, n, "%s by grid %s", ev_shape_text(e, x), ev_shape_text(e, grid));
    s->in.rank = s->axes;
    memcpy(s->in.dims, x->dims + 2, (size_t)s->axes * sizeof *s->in.dims);
    ev_strides(&s->in, s->strides);
    return true;
}

bool eval_grid_sample(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *grid = ev_need(e, n, in, 1);
    if (!x || !grid) return false;
    if (ev_is_complex(x)) return ev_by_parts(e, n, in, out, eval_grid_sample);
    ev_shape sx = ev_shape_of(x), sg = ev_shape_of(grid), s = sx;
    sampler k;
    if (!set_sampler(e, n, &k, &sx, &sg)) return false;
    for (int32_t i = 2; i < s.rank; i++)
        s.dims[i] = sg.dims[i - 1];
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    int64_t points = ev_product(&s, 2, s.rank), size = ev_count(&k.in), count = ev_count(&s);
    if (count && !size) return ev_error(e, n, "the planes are empty");
    const double *values = k.taps > 1 ? ev_f64s(e, x) : NULL, *coordinates = ev_f64s(e, grid);
    for (int64_t i = 0; i < count; i++) {
        int64_t plane = i / points, sample = plane / s.dims[1];
        const double *at = coordinates + (sample * points + i % points) * k.axes;
        if (values)
            ir_tensor_set_f64(y, (size_t)i, sample_point(&k, values + plane * size, at));
        else
            pick_point(&k, x, plane * size, at, y, i);
    }
    out[0].tensor = y;
    return true;
}

/* ---- AffineGrid ------------------------------------------------------------------------------------------------------------ */

/* Coordinate of element i: from -1 to 1 at the centres of the corners (align) or at their outer edges. */
static double coordinate(bool align, int64_t i, int64_t size) {
    if (!align) return (double)(2 * i + 1) / (double)size - 1;
    return size > 1 ? -1 + 2 * (double)i / (double)(size - 1) : -1;
}

bool eval_affine_grid(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *theta = ev_need(e, n, in, 0), *size = ev_need(e, n, in, 1);
    size_t count;
    if (!theta || !size) return false;
    const int64_t *dims = ev_i64s(e, size, &count);
    ev_shape st = ev_shape_of(theta), s = {(int32_t)count, {0}};
    int64_t axes = (int64_t)count - 2;
    if ((axes != 2 && axes != 3) || st.rank != 3 || st.dims[0] != dims[0] || st.dims[1] != axes ||
        st.dims[2] != axes + 1)
        return ev_error(e, n, "theta %s for %zu sizes", ev_shape_text(e, &st), count);
    s.dims[0] = dims[0], s.dims[axes + 1] = axes;
    for (int64_t i = 0; i < axes; i++) {
        if (dims[2 + i] < 0) return ev_error(e, n, "a size is %lld", (long long)dims[2 + i]);
        s.dims[1 + i] = dims[2 + i];
    }
    ir_tensor *y = ev_alloc(e, n, theta->type->dtype, &s);
    if (!y) return false;
    const double *t = ev_f64s(e, theta);
    bool align = ir_attr_int(n, "align_corners", 0);
    int64_t at[IR_MAX_RANK] = {0}, total = ev_count(&s);
    for (int64_t i = 0; i < total; i++, ev_next(&s, at)) {
        const double *row = t + (at[0] * axes + at[axes + 1]) * (axes + 1);
        double sum = row[axes];
        for (int64_t k = 0; k < axes; k++) /* the last axis comes first */
            sum += row[k] * coordinate(align, at[axes - k], s.dims[axes - k]);
        ir_tensor_set_f64(y, (size_t)i, sum);
    }
    out[0].tensor = y;
    return true;
}
