/* Dimension expressions as values.
 *
 *   {2*batch, 4}       batch a dimension of an input      %s = Dims<dims=[2*batch,4]>()
 *   {%x.d1 + 2}        of an operand %x of b->sizes       %a = Shape(%x)   %d = Gather(%a, @1)   %s = Add(%d, @2)
 *   {%s.d0}            what operand %s holds              %d = Gather(%s, @0)
 *
 * Symbols that are dimensions of inputs mean the same everywhere. Others come from data and have a value behind what makes them, so
 * expressions of those are computed from the operands of the node that is being replaced. Inference knows what comes out. */
#include "ir/build.h"

#include "ir/base/assert.h"
#include "ir/limits.h"

/* ---- which dims can be had ------------------------------------------------------------------------------------------ */

static bool is_input_dim(const ir_graph *g, const char *symbol) {
    for (uint32_t p = 0; p < g->body->n_params; p++) {
        const ir_type *t = g->body->params[p]->type;
        if (!ir_type_is_ranked(t)) continue;
        for (int32_t i = 0; i < t->rank; i++)
            if (ir_dim_is_symbol(t->dims[i]) && ir_dim_symbol_name(t->dims[i]) == symbol)
                return true;
        if (g->steps == symbol) return true; /* a constant soon */
    }
    return false;
}

/* Where a symbol has its value from: dimension `at` of an operand's type, or element `at` of its contents. */
typedef struct source {
    ir_value *operand;
    uint32_t at;
    bool is_content;
} source;

static bool is_symbol(const ir_dim *d, const char *symbol) {
    return ir_dim_is_symbol(d) && ir_dim_symbol_name(d) == symbol;
}

static bool find_in(ir_value *v, const char *symbol, source *s) {
    const ir_type *t = v->type;
    for (int32_t i = 0; ir_type_is_ranked(t) && i < t->rank; i++) {
        *s = (source){v, (uint32_t)i, false};
        if (is_symbol(t->dims[i], symbol)) return true;
    }
    bool readable = v->known && ir_type_is_ranked(t) && t->rank <= 1 && ir_dtype_is_int(t->dtype);
    for (uint32_t i = 0; readable && i < v->known->n; i++) {
        *s = (source){v, i, true};
        if (is_symbol(v->known->dims[i], symbol)) return true;
    }
    return false;
}

static bool find_source(const ir_node *n, const char *symbol, source *s) {
    for (uint32_t i = 0; n && i < n->n_in; i++)
        if (ir_in(n, i) && find_in(ir_in(n, i), symbol, s)) return true;
    return false;
}

typedef struct symbol_search {
    const ir_graph *graph;
    const ir_node *sizes; /* NULL: dimensions of inputs alone */
    bool all_found;
} symbol_search;

static void look_for_symbol(void *data, const char *symbol) {
    symbol_search *s = data;
    source from;
    s->all_found = s->all_found &&
                   (is_input_dim(s->graph, symbol) || find_source(s->sizes, symbol, &from));
}

static bool find_all(const ir_graph *g, const ir_node *sizes, const ir_dim *const *dims,
                     uint32_t n) {
    symbol_search s = {g, sizes, true};
    for (uint32_t i = 0; i < n && s.all_found; i++) {
        if (ir_dim_is_unknown(dims[i])) return false;
        ir_dim_each_symbol(dims[i], look_for_symbol, &s);
    }
    return s.all_found;
}

bool dims_are_computable(const ir_graph *g, const ir_dim *const *dims, uint32_t n) {
    return find_all(g, NULL, dims, n);
}

bool type_is_computable(const ir_graph *g, const ir_type *t) {
    return ir_type_is_ranked(t) && dims_are_computable(g, t->dims, (uint32_t)t->rank);
}

bool can_build_dims(const ir_builder *b, const ir_dim *const *dims, uint32_t n) {
    return find_all(b->region->graph, b->sizes, dims, n);
}

bool can_build_type(const ir_builder *b, const ir_type *t) {
    return ir_type_is_ranked(t) && can_build_dims(b, t->dims, (uint32_t)t->rank);
}

/* ---- by arithmetic -------------------------------------------------------------------------------------------------- */

static ir_value *dims_node(ir_builder *b, const ir_dim *const *d, uint32_t n, int64_t rank) {
    ir_attr attrs[] = {{.name = "dims", .kind = ATTR_DIMS, .n = n, .v.dims = d},
                       {.name = "rank", .kind = ATTR_INT, .v.i = rank}};
    return build_node(b, OP_Dims, NULL, 0, 1, attrs, 2)->out;
}

static ir_value *i64_scalar(ir_builder *b, int64_t v) {
    ir_tensor *t = ir_tensor_alloc(b->m->arena, ir_type_scalar(b->m->ctx, DT_i64));
    ir_tensor_set_i64(t, 0, v);
    ir_tensor_seal(t);
    return ir_module_const(b->m, t, NULL);
}

static ir_value *symbol_value(ir_builder *b, const char *name) {
    source s;
    bool found = find_source(b->sizes, name, &s);
    TL_ASSERT(found);
    ir_value *list = s.is_content ? s.operand : build_op1(b, OP_Shape, s.operand);
    if (list->type->rank == 0) return build_cast(b, list, DT_i64);
    return build_cast(b, build_op2(b, OP_Gather, list, i64_scalar(b, s.at)), DT_i64);
}

static ir_value *floor_quotient(ir_builder *b, ir_value *x, ir_value *y, bool never_negative) {
    if (!never_negative) x = build_op2(b, OP_Sub, x, build_op2(b, OP_Mod, x, y));
    return build_op2(b, OP_Div, x, y);
}

static ir_value *atom_value(ir_builder *b, const ir_dim_atom *a) {
    if (a->op == DIM_SYMBOL) return symbol_value(b, a->symbol);
    ir_value *x = build_dim_scalar(b, a->a), *y = build_dim_scalar(b, a->b);
    bool never_negative = ir_dim_lower_bound(a->a) >= 0 && ir_dim_lower_bound(a->b) >= 0;
    switch (a->op) {
    case DIM_MAX:
        return build_op2(b, OP_Max, x, y);
    case DIM_MIN:
        return build_op2(b, OP_Min, x, y);
    case DIM_CEILDIV: /* the floor of (x + y - 1) / y */
        x = build_op2(b, OP_Add, x, build_op2(b, OP_Sub, y, i64_scalar(b, 1)));
        break;
    default:
        break;
    }
    return floor_quotient(b, x, y, never_negative);
}

static ir_value *term_value(ir_builder *b, const ir_dim_term *t) {
    ir_value *v = t->coef == 1 && t->n_atoms ? NULL : i64_scalar(b, t->coef);
    for (uint32_t i = 0; i < t->n_atoms; i++) {
        ir_value *factor = atom_value(b, t->atoms[i]);
        v = v ? build_op2(b, OP_Mul, v, factor) : factor;
    }
    return v;
}

static ir_value *computed(ir_builder *b, const ir_dim *d) {
    ir_value *sum = NULL;
    for (uint32_t i = 0; i < d->n_terms; i++) {
        ir_value *v = term_value(b, &d->terms[i]);
        sum = sum ? build_op2(b, OP_Add, sum, v) : v;
    }
    return sum;
}

/* ---- values ----------------------------------------------------------------------------------------------------------- */

ir_value *build_dim_scalar(ir_builder *b, const ir_dim *d) {
    int64_t value;
    if (ir_dim_is_const(d, &value)) return i64_scalar(b, value);
    if (b->sizes && !dims_are_computable(b->region->graph, &d, 1)) return computed(b, d);
    return dims_node(b, &d, 1, 0);
}

ir_value *build_range(ir_builder *b, const ir_dim *n) {
    ir_value *zero = i64_scalar(b, 0), *end = build_dim_scalar(b, n), *one = i64_scalar(b, 1);
    return build_op3(b, OP_Range, zero, end, one);
}

static ir_value *side_by_side(ir_builder *b, const ir_dim *const *d, uint32_t n) {
    ir_value *parts[IR_MAX_KNOWN];
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = 0};
    for (uint32_t i = 0; i < n; i++) {
        ir_value *size = build_dim_scalar(b, d[i]);
        parts[i] = build_op2(b, OP_Unsqueeze, size, build_i64s(b, (int64_t[]){0}, 1));
    }
    return n == 1 ? parts[0] : build_node(b, OP_Concat, parts, n, 1, &axis, 1)->out;
}

static bool all_const(const ir_dim *const *d, uint32_t n, int64_t *values) {
    for (uint32_t i = 0; i < n; i++)
        if (!ir_dim_is_const(d[i], &values[i])) return false;
    return true;
}

ir_value *build_dims(ir_builder *b, const ir_dim *const *d, uint32_t n) {
    int64_t values[IR_MAX_KNOWN];
    TL_ASSERT(n <= IR_MAX_KNOWN);
    if (all_const(d, n, values)) return build_i64s(b, values, n);
    if (b->sizes && !dims_are_computable(b->region->graph, d, n)) return side_by_side(b, d, n);
    return dims_node(b, d, n, 1);
}
