/* Operators of ai.onnx.ml. Rows are the first dimension; a vector is one row. */
#include "ir/infer/infer.h"

static const ir_dim *rows_of(ir_ctx *c, const ir_type *x) {
    if (!ir_type_is_ranked(x)) return ir_dim_unknown(c);
    return x->rank > 1 ? x->dims[0] : ir_dim_const(c, 1);
}

static uint32_t list_length(const ir_node *n, const char *name) {
    const ir_attr *a = ir_attr_find(n, name);
    return a ? a->n : 0;
}

/* One of two attributes lists what there is: strings or integers. */
static bool read_choice(ir_ctx *c, const ir_node *n, const char *ints, const char *strings,
                        uint32_t *count, ir_dtype *dtype) {
    uint32_t n_ints = list_length(n, ints), n_strings = list_length(n, strings);
    if (n_ints && n_strings)
        return diag_error(&c->diag, n->loc, "attributes '%s' and '%s' are both given", ints,
                          strings);
    *count = n_strings ? n_strings : n_ints;
    *dtype = n_strings ? DT_str : DT_i64;
    return true;
}

static bool set_matrix(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype t, const ir_dim *columns) {
    return infer_set_shape(c, n, i, t, &(ir_shape){2, {rows_of(c, infer_in(n, 0)), columns}});
}

static bool set_labels(ir_ctx *c, ir_node *n, ir_dtype dtype) {
    return infer_set_shape(c, n, 0, dtype, &(ir_shape){1, {rows_of(c, infer_in(n, 0))}});
}

/* The operand's shape in floats. */
bool infer_ml_floats(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), DT_f32));
}

bool infer_ml_extract(ir_ctx *c, ir_node *n) {
    const ir_type *x = infer_in(n, 0);
    if (!ir_type_is_ranked(x)) return infer_set_unranked(c, n, 0, x->dtype);
    if (x->rank == 0) return infer_error(c, n, 0, "rank is 0, expected 1 at least");
    ir_shape s = infer_in_shape(n, 0);
    if (s.rank == 1) s.dims[0] = ir_dim_const(c, 1), s.rank = 2;
    s.dims[s.rank - 1] = infer_is_ranked(n, 1) ? ir_type_elements(c, infer_in(n, 1))
                                               : ir_dim_unknown(c);
    return infer_set_shape(c, n, 0, x->dtype, &s);
}

bool infer_ml_features(ir_ctx *c, ir_node *n) {
    const ir_dim *width = ir_dim_const(c, 0);
    uint32_t count;
    const int64_t *wanted = ir_attr_ints(n, "inputdimensions", &count);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_type *x = infer_in(n, i);
        const ir_dim *columns = ir_dim_unknown(c);
        if (i < count && wanted[i] < 0)
            return diag_error(&c->diag, n->loc, "attribute 'inputdimensions' holds %lld",
                              (long long)wanted[i]);
        if (i < count)
            columns = ir_dim_const(c, wanted[i]);
        else if (ir_type_is_ranked(x) && x->rank > 0 && x->rank <= 2)
            columns = x->dims[x->rank - 1];
        width = ir_dim_add(c, width, columns);
    }
    return set_matrix(c, n, 0, DT_f32, width);
}

bool infer_ml_mapper(ir_ctx *c, ir_node *n) {
    ir_dtype to = infer_in(n, 0)->dtype == DT_str ? DT_i64 : DT_str;
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), to));
}

bool infer_ml_label_encoder(ir_ctx *c, ir_node *n) {
    const ir_attr *tensor = ir_attr_find(n, "values_tensor");
    ir_dtype to = DT_undefined;
    if (tensor && tensor->kind == ATTR_TENSOR) to = tensor->v.t->type->dtype;
    if (ir_attr_has(n, "values_strings")) to = DT_str;
    if (ir_attr_has(n, "values_int64s")) to = DT_i64;
    if (ir_attr_has(n, "values_floats")) to = DT_f32;
    if (to == DT_undefined) return diag_error(&c->diag, n->loc, "no attribute gives the values");
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), to));
}

bool infer_ml_one_hot(ir_ctx *c, ir_node *n) {
    uint32_t count;
    ir_dtype dtype;
    if (!read_choice(c, n, "cats_int64s", "cats_strings", &count, &dtype)) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, DT_f32);
    ir_shape s = infer_in_shape(n, 0);
    return infer_push(c, n, &s, ir_dim_const(c, count)) && infer_set_shape(c, n, 0, DT_f32, &s);
}

/* ---- models ------------------------------------------------------------------------------------------------------------ */

static bool positive(ir_ctx *c, const ir_node *n, const char *name, int64_t *value) {
    *value = ir_attr_int(n, name, 1);
    return (*value >= 1 && *value <= INT32_MAX) ||
           diag_error(&c->diag, n->loc, "attribute '%s' is %lld", name, (long long)*value);
}

bool infer_ml_linear_regressor(ir_ctx *c, ir_node *n) {
    int64_t targets;
    return positive(c, n, "targets", &targets) &&
           set_matrix(c, n, 0, DT_f32, ir_dim_const(c, targets));
}

bool infer_ml_linear_classifier(ir_ctx *c, ir_node *n) {
    const ir_type *x = infer_in(n, 0);
    uint32_t count;
    ir_dtype dtype;
    int64_t columns;
    if (!read_choice(c, n, "classlabels_ints", "classlabels_strings", &count, &dtype)) return false;
    const ir_dim *width = ir_dim_unknown(c);
    bool known = ir_type_is_ranked(x) && x->rank > 0 && x->rank <= 2 &&
                 ir_dim_is_const(x->dims[x->rank - 1], &columns) && columns > 0;
    if (known) {
        int64_t rows = list_length(n, "coefficients") / columns;
        width = ir_dim_const(c, rows == 1 && count == 2 ? 2 : rows);
    }
    return set_labels(c, n, dtype) && set_matrix(c, n, 1, DT_f32, width);
}

bool infer_ml_svm_regressor(ir_ctx *c, ir_node *n) {
    return set_matrix(c, n, 0, DT_f32, ir_dim_const(c, 1));
}

bool infer_ml_svm_classifier(ir_ctx *c, ir_node *n) {
    uint32_t count, classes = list_length(n, "vectors_per_class");
    ir_dtype dtype;
    if (!read_choice(c, n, "classlabels_ints", "classlabels_strings", &count, &dtype)) return false;
    int64_t width = count;
    if (classes) {
        bool prob = list_length(n, "prob_a") > 0;
        width = prob || classes == 2 ? classes : (int64_t)classes * (classes - 1) / 2;
    }
    return set_labels(c, n, dtype) && set_matrix(c, n, 1, DT_f32, ir_dim_const(c, width));
}

bool infer_ml_tree_ensemble(ir_ctx *c, ir_node *n) {
    int64_t targets;
    return positive(c, n, "n_targets", &targets) &&
           set_matrix(c, n, 0, infer_in(n, 0)->dtype, ir_dim_const(c, targets));
}

bool infer_ml_tree_regressor(ir_ctx *c, ir_node *n) {
    int64_t targets;
    return positive(c, n, "n_targets", &targets) &&
           set_matrix(c, n, 0, DT_f32, ir_dim_const(c, targets));
}

bool infer_ml_tree_classifier(ir_ctx *c, ir_node *n) {
    uint32_t count;
    ir_dtype dtype;
    return read_choice(c, n, "classlabels_int64s", "classlabels_strings", &count, &dtype) &&
           set_labels(c, n, dtype) && set_matrix(c, n, 1, DT_f32, ir_dim_const(c, count));
}

/* ---- maps ----------------------------------------------------------------------------------------------------------------- */

bool infer_ml_cast_map(ir_ctx *c, ir_node *n) {
    const char *to = ir_attr_string(n, "cast_to", "TO_FLOAT"),
               *form = ir_attr_string(n, "map_form", "DENSE");
    ir_dtype dtype = !strcmp(to, "TO_STRING") ? DT_str : !strcmp(to, "TO_INT64") ? DT_i64 : DT_f32;
    int64_t width = ir_attr_int(n, "max_map", 1);
    bool sparse = !strcmp(form, "SPARSE") && width >= 0;
    ir_shape s = {2, {ir_dim_const(c, 1), sparse ? ir_dim_const(c, width) : ir_dim_unknown(c)}};
    return infer_set_shape(c, n, 0, dtype, &s);
}

bool infer_ml_dict(ir_ctx *c, ir_node *n) {
    uint32_t count;
    ir_dtype dtype;
    const ir_type *x = infer_in(n, 0);
    if (!read_choice(c, n, "int64_vocabulary", "string_vocabulary", &count, &dtype)) return false;
    if (x->kind != IR_TYPE_MAP) return infer_error(c, n, 0, "is no map");
    ir_shape s = {2, {ir_dim_const(c, 1), ir_dim_const(c, count)}};
    return infer_set_shape(c, n, 0, x->element->dtype, &s);
}

bool infer_ml_zip_map(ir_ctx *c, ir_node *n) {
    uint32_t count;
    ir_dtype dtype;
    if (!read_choice(c, n, "classlabels_int64s", "classlabels_strings", &count, &dtype))
        return false;
    const ir_type *map = ir_type_map(c, dtype, ir_type_scalar(c, DT_f32));
    return infer_set(c, n, 0, ir_type_sequence(c, map));
}
