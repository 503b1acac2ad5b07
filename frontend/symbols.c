/* Declared types, and the symbols in them.
 *
 * dim_param is free text by the letter of ONNX and an expression in what PyTorch writes: "s0 + 1",
 * "2*seq". A symbol has a value only where it stands alone as a dimension of a graph input; call
 * that bound. Text is read as an expression when all its symbols are bound ("s0 + 1" beside an
 * input of "s0"), and otherwise as one odd name ("batch-size" is no difference).
 *
 * Declared types of inner values are only hints, so there a dimension that is not an expression of
 * bound symbols is "?". */
#include "frontend/fe.h"

typedef Onnx__TensorShapeProto__Dimension pb_dim;

static void bind(fe_import *im, const char *symbol) {
    tl_map_set_ptr(&im->bound, ir_name(im->c, symbol), im);
}

static bool is_bound(fe_import *im, const char *symbol) {
    return tl_map_get_ptr(&im->bound, ir_name(im->c, symbol)) != NULL;
}

typedef struct bound_check {
    fe_import *im;
    bool all;
} bound_check;

static void check_bound(void *data, const char *symbol) {
    bound_check *b = data;
    b->all = b->all && is_bound(b->im, symbol);
}

static bool all_bound(fe_import *im, const ir_dim *d) {
    bound_check b = {im, true};
    ir_dim_each_symbol(d, check_bound, &b);
    return b.all;
}

static const ir_dim *parse(fe_import *im, const char *text) {
    return ir_dim_parse(im->c, text, strlen(text));
}

static const char *param_of(const pb_dim *d) {
    bool is_param = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    return is_param ? pb_text(d->dim_param) : "";
}

/* First the texts that are one symbol; then the expressions these do not explain. */
static void bind_shape(fe_import *im, const pb_shape *shape, bool expressions) {
    for (size_t i = 0; i < shape->n_dim; i++) {
        const char *text = param_of(shape->dim[i]);
        if (!*text || strlen(text) > IR_MAX_NAME) continue;
        const ir_dim *d = parse(im, text);
        if (!d)
            bind(im, text);
        else if (ir_dim_is_symbol(d))
            bind(im, ir_dim_symbol_name(d));
        else if (expressions && !all_bound(im, d))
            bind(im, text);
    }
}

static void bind_inputs(fe_import *im, const pb_graph *g, bool expressions) {
    for (size_t i = 0; i < g->n_input; i++) {
        const pb_type *t = g->input[i]->type;
        if (t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && t->tensor_type->shape)
            bind_shape(im, t->tensor_type->shape, expressions);
    }
}

bool fe_bind_symbols(fe_import *im, const pb_graph *g) {
    bind_inputs(im, g, false);
    bind_inputs(im, g, true);
    for (uint32_t i = 0; i < im->o->n_pins; i++)
        if (im->o->pins[i].value < 0)
            return diag_error(&im->c->diag, im->s->loc, "dimension '%s' cannot be %lld",
                              im->o->pins[i].symbol, (long long)im->o->pins[i].value);
    return true;
}

static const ir_dim *pin(void *data, const char *symbol) {
    fe_import *im = data;
    for (uint32_t i = 0; i < im->o->n_pins; i++)
        if (strcmp(im->o->pins[i].symbol, symbol) == 0) {
            im->pin_used[i] = true;
            return ir_dim_const(im->c, im->o->pins[i].value);
        }
    return NULL;
}

static const ir_dim *with_pins(fe_import *im, const ir_dim *d) {
    return im->o->n_pins ? ir_dim_substitute(im->c, d, pin, im) : d;
}

static const ir_dim *symbolic_dim(fe_import *im, const char *text) {
    if (is_bound(im, text)) return ir_dim_symbol(im->c, text);
    const ir_dim *d = parse(im, text);
    int64_t value;
    if (!d || ir_dim_is_unknown(d) || (ir_dim_is_const(d, &value) && value < 0)) return NULL;
    return all_bound(im, d) ? d : NULL;
}

/* NULL: the file does not say. */
static const ir_dim *declared_dim(fe_import *im, const pb_dim *d) {
    if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
        return d->dim_value < 0 ? NULL : ir_dim_const(im->c, d->dim_value); /* some write -1 */
    const char *text = param_of(d);
    return *text && strlen(text) <= IR_MAX_NAME ? symbolic_dim(im, text) : NULL;
}

static const ir_dim *fresh_dim(fe_import *im, const char *name, size_t axis) {
    return ir_dim_symbol(im->c, tl_arena_printf(im->s->arena, "%s.d%zu", name, axis));
}

static const ir_type *tensor_type(fe_import *im, const ir_loc *loc,
                                  const Onnx__TypeProto__Tensor *t, const char *name,
                                  fe_type_use use) {
    if (t->elem_type <= 0 || t->elem_type >= DT_COUNT) {
        diag_error(&im->c->diag, loc, "'%s': element type %d is not known", name, t->elem_type);
        return NULL;
    }
    ir_dtype dtype = (ir_dtype)t->elem_type;
    if (!t->shape) return ir_type_unranked(im->c, dtype);
    size_t rank = t->shape->n_dim;
    if (rank > IR_MAX_RANK) {
        diag_error(&im->c->diag, loc, "'%s': rank is %zu, the limit is %d", name, rank,
                   IR_MAX_RANK);
        return NULL;
    }
    const ir_dim *dims[IR_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        bool hidden = use == FE_TYPE_INPUT && im->o->symbolic_inputs;
        dims[i] = hidden ? NULL : declared_dim(im, t->shape->dim[i]);
        if (!dims[i])
            dims[i] = use == FE_TYPE_INPUT ? fresh_dim(im, name, i) : ir_dim_unknown(im->c);
        dims[i] = with_pins(im, dims[i]);
    }
    return ir_type_tensor(im->c, dtype, (int32_t)rank, dims);
}

const ir_type *fe_type(fe_import *im, const ir_loc *loc, const pb_type *t, const char *name,
                       fe_type_use use) {
    const ir_type *inner;
    switch (t ? t->value_case : ONNX__TYPE_PROTO__VALUE__NOT_SET) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        return tensor_type(im, loc, t->tensor_type, name, use);
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        inner = fe_type(im, loc, t->sequence_type->elem_type, name, FE_TYPE_HINT);
        return inner ? ir_type_sequence(im->c, inner) : NULL;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        inner = fe_type(im, loc, t->optional_type->elem_type, name, FE_TYPE_HINT);
        return inner ? ir_type_optional(im->c, inner) : NULL;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        if (t->map_type->key_type <= 0 || t->map_type->key_type >= DT_COUNT) break;
        inner = fe_type(im, loc, t->map_type->value_type, name, FE_TYPE_HINT);
        return inner ? ir_type_map(im->c, (ir_dtype)t->map_type->key_type, inner) : NULL;
    default:
        break;
    }
    diag_error(&im->c->diag, loc, "'%s': no type, or one that is not supported (sparse, opaque)",
               name);
    return NULL;
}
