/* Operators on strings. */
#include "ir/infer/infer.h"

bool infer_string_concat(ir_ctx *c, ir_node *n) {
    if (!infer_is_ranked(n, 0) || !infer_is_ranked(n, 1))
        return infer_set_unranked(c, n, 0, DT_str);
    ir_shape a = infer_in_shape(n, 0), b = infer_in_shape(n, 1);
    return infer_broadcast_with(c, n, 1, &a, &b) && infer_set_shape(c, n, 0, DT_str, &a);
}

/* One more dimension: the most parts that a string has. */
bool infer_string_split(ir_ctx *c, ir_node *n) {
    if (!infer_is_ranked(n, 0))
        return infer_set_unranked(c, n, 0, DT_str) && infer_set_unranked(c, n, 1, DT_i64);
    ir_shape s = infer_in_shape(n, 0);
    return infer_set_shape(c, n, 1, DT_i64, &s) && infer_push(c, n, &s, ir_dim_unknown(c)) &&
           infer_set_shape(c, n, 0, DT_str, &s);
}

/* [n] or [1, n]; stop words are left out. */
bool infer_string_normalizer(ir_ctx *c, ir_node *n) {
    const ir_type *x = infer_in(n, 0);
    if (!ir_type_is_ranked(x)) return infer_set_unranked(c, n, 0, DT_str);
    if (x->rank != 1 && x->rank != 2)
        return infer_error(c, n, 0, "rank is %d, expected 1 or 2", x->rank);
    ir_shape s = infer_in_shape(n, 0);
    if (s.rank == 2 && !infer_expect_dim(c, n, 0, 0, ir_dim_const(c, 1))) return false;
    if (s.rank == 2) s.dims[0] = ir_dim_const(c, 1);
    const ir_attr *words = ir_attr_find(n, "stopwords");
    bool may_be_empty = ir_dim_lower_bound(s.dims[s.rank - 1]) < 1;
    if ((words && words->n) || may_be_empty) s.dims[s.rank - 1] = ir_dim_unknown(c);
    return infer_set_shape(c, n, 0, DT_str, &s);
}

bool infer_regex(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), DT_bool));
}

/* One column more than the largest index. */
bool infer_tf_idf(ir_ctx *c, ir_node *n) {
    const ir_type *x = infer_in(n, 0);
    uint32_t count;
    const int64_t *columns = ir_attr_ints(n, "ngram_indexes", &count);
    int64_t width = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (columns[i] < 0 || columns[i] > INT32_MAX)
            return diag_error(&c->diag, n->loc, "attribute 'ngram_indexes' holds %lld",
                              (long long)columns[i]);
        if (columns[i] >= width) width = columns[i] + 1;
    }
    if (!ir_type_is_ranked(x)) return infer_set_unranked(c, n, 0, DT_f32);
    if (x->rank > 2) return infer_error(c, n, 0, "rank is %d, expected 2 at most", x->rank);
    ir_shape s = {0};
    if (x->rank == 2) s.dims[s.rank++] = x->dims[0];
    s.dims[s.rank++] = ir_dim_const(c, width);
    return infer_set_shape(c, n, 0, DT_f32, &s);
}
