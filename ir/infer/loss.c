/* Losses over classes: scores [N,C,D1,...] and the right class of each element [N,D1,...]. */
#include "ir/infer/infer.h"

/* Shape of the right classes, which is that of a loss that is not reduced; false after reporting scores and classes that do not fit. */
static bool class_shape(ir_ctx *c, const ir_node *n, ir_shape *out) {
    ir_shape x = infer_in_shape(n, 0);
    if (x.rank < 2) return infer_error(c, n, 0, "rank is %d, expected 2 or more", x.rank);
    *out = (ir_shape){1, {x.dims[0]}};
    for (int32_t i = 2; i < x.rank; i++)
        out->dims[out->rank++] = x.dims[i];
    if (!infer_expect_rank(c, n, 1, out->rank)) return false;
    for (int32_t i = 0; i < out->rank && infer_is_ranked(n, 1); i++)
        if (!infer_expect_dim(c, n, 1, i, out->dims[i])) return false;
    return infer_expect_rank(c, n, 2, 1) &&
           (!infer_is_ranked(n, 2) || infer_expect_dim(c, n, 2, 0, x.dims[1]));
}

static bool check_reduction(ir_ctx *c, const ir_node *n, const char *reduction) {
    if (!strcmp(reduction, "none") || !strcmp(reduction, "sum") || !strcmp(reduction, "mean"))
        return true;
    return diag_error(&c->diag, n->loc,
                      "attribute 'reduction' is '%s', expected 'none', 'sum' or 'mean'", reduction);
}

/* Results: the loss, and for SoftmaxCrossEntropyLoss the logarithms of the probabilities. */
bool infer_class_loss(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const char *reduction = ir_attr_string(n, "reduction", "mean");
    ir_shape s = {.rank = 0};
    bool ranked = infer_is_ranked(n, 0), whole = strcmp(reduction, "none") == 0;
    if (!check_reduction(c, n, reduction) || (ranked && !class_shape(c, n, &s))) return false;
    if (!whole) s.rank = 0;
    bool set = ranked || !whole ? infer_set_shape(c, n, 0, dtype, &s)
                                : infer_set_unranked(c, n, 0, dtype);
    return set && infer_set(c, n, 1, infer_in(n, 0));
}
