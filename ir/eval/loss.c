/* Losses over classes: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss. */
#include "ir/eval/eval_internal.h"

#include <math.h>

/* Scores seen as [batch, classes, pixels], a class and a loss for each of [batch, pixels]. */
typedef struct class_loss {
    int64_t batch, classes, pixels;
    double *x;             /* logarithms of probabilities */
    const int64_t *target; /* the right classes */
    const double *weight;  /* per class, or NULL */
    const int64_t *ignore; /* a class that does not count, or NULL */
    double *loss;
    double total_weight;
} class_loss;

static void log_softmax(class_loss *l) {
    for (int64_t i = 0; i < l->batch * l->pixels; i++) {
        double *x = l->x + i / l->pixels * l->classes * l->pixels + i % l->pixels;
        double max = -INFINITY, sum = 0;
        for (int64_t k = 0; k < l->classes; k++)
            if (!(x[k * l->pixels] <= max)) max = x[k * l->pixels];
        for (int64_t k = 0; k < l->classes; k++)
            sum += exp(x[k * l->pixels] - max);
        for (int64_t k = 0; k < l->classes; k++)
            x[k * l->pixels] -= max + log(sum);
    }
}

/* loss = -weight[class] * x[class]. Negative classes count from the end, as indices do. */
static bool pick_classes(ir_eval *e, const ir_node *n, class_loss *l) {
    for (int64_t i = 0; i < l->batch * l->pixels; i++) {
        int64_t k = l->target[i];
        l->loss[i] = 0;
        if (l->ignore && k == *l->ignore) continue;
        if (k < -l->classes || k >= l->classes)
            return ev_error(e, n, "class %lld of %lld", (long long)k, (long long)l->classes);
        if (k < 0) k += l->classes;
        double w = l->weight ? l->weight[k] : 1;
        l->loss[i] = -w * l->x[(i / l->pixels * l->classes + k) * l->pixels + i % l->pixels];
        l->total_weight += w;
    }
    return true;
}

static bool read_operands(ir_eval *e, const ir_node *n, const ir_datum *const *in, class_loss *l,
                          ev_shape *s) {
    const ir_tensor *x = ev_need(e, n, in, 0), *target = ev_need(e, n, in, 1),
                    *weight = ev_tensor(n, in, 2);
    if (!x || !target) return false;
    ev_shape sx = ev_shape_of(x), st = ev_shape_of(target);
    if (sx.rank < 2) return ev_error(e, n, "rank is %d, expected 2 or more", (int)sx.rank);
    *s = (ev_shape){1, {sx.dims[0]}};
    for (int32_t i = 2; i < sx.rank; i++)
        s->dims[s->rank++] = sx.dims[i];
    if (!ev_shape_equal(s, &st))
        return ev_error(e, n, "classes %s, expected %s", ev_shape_text(e, &st),
                        ev_shape_text(e, s));
    if (weight && ir_tensor_elements(weight) != (size_t)sx.dims[1])
        return ev_error(e, n, "%zu weights for %lld classes", ir_tensor_elements(weight),
                        (long long)sx.dims[1]);
    l->batch = sx.dims[0], l->classes = sx.dims[1], l->pixels = ev_product(&sx, 2, sx.rank);
    l->x = ev_f64s(e, x);
    size_t count;
    l->target = ev_i64s(e, target, &count);
    l->weight = weight ? ev_f64s(e, weight) : NULL;
    l->loss = TL_NEW_ARRAY(e->arena, double, count + 1);
    return true;
}

static bool give_loss(ir_eval *e, const ir_node *n, const class_loss *l, const ev_shape *s,
                      ir_dtype t, ir_datum *out) {
    const char *reduction = ir_attr_string(n, "reduction", "mean");
    bool whole = strcmp(reduction, "none") == 0;
    int64_t count = l->batch * l->pixels;
    ir_tensor *y = ev_alloc(e, n, t, whole ? s : &(ev_shape){0});
    if (!y) return false;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += l->loss[i];
        if (whole) ir_tensor_set_f64(y, (size_t)i, l->loss[i]);
    }
    if (!whole) ir_tensor_set_f64(y, 0, strcmp(reduction, "mean") ? sum : sum / l->total_weight);
    out[0].tensor = y;
    return true;
}

static bool give_logarithms(ir_eval *e, const ir_node *n, const class_loss *l, const ir_tensor *x,
                            ir_datum *out) {
    ev_shape s = ev_shape_of(x);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    for (int64_t i = 0; y && i < ev_count(&s); i++)
        ir_tensor_set_f64(y, (size_t)i, l->x[i]);
    return (out->tensor = y) != NULL;
}

bool eval_class_loss(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    class_loss l = {0};
    ev_shape s;
    if (!read_operands(e, n, in, &l, &s)) return false;
    const ir_tensor *x = in[0]->tensor;
    const ir_attr *ignore = ir_attr_find(n, "ignore_index");
    l.ignore = ignore ? &ignore->v.i : NULL;
    if (n->op == OP_SoftmaxCrossEntropyLoss) log_softmax(&l);
    if (n->n_out > 1 && !give_logarithms(e, n, &l, x, &out[1])) return false;
    return pick_classes(e, n, &l) && give_loss(e, n, &l, &s, x->type->dtype, out);
}
