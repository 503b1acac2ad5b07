/* Recognising causal masks; see causal.h. Constants by their elements; computed ones, whose size only the run knows, by what made them:
 *
 *   Trilu of ones, as a condition or compared with 0;  Trilu<upper=1>(-inf..., 1), added;  Where(condition, 0, -inf), added
 *
 * Leading dimensions must all be 1. */
#include "passes/causal.h"

#include "passes/match.h"
#include "passes/util.h"

/* What v holds on and below the diagonal, and above it. */
typedef struct halves {
    double below, above;
} halves;

static bool find_halves(const ir_value *v, halves *h, uint32_t depth);

/* Only the last two dims may differ from 1. */
static bool is_one_matrix(const ir_type *t) {
    if (!ir_type_is_ranked(t) || t->rank < 2) return false;
    for (int32_t i = 0; i < t->rank - 2; i++)
        if (!ir_dim_is(t->dims[i], 1)) return false;
    return true;
}

static bool constant_halves(const ir_value *v, halves *h) {
    int64_t rows = 0, columns = 0;
    const ir_type *t = v->type;
    if (v->tensor->opaque || t->dtype == DT_str || !is_one_matrix(t)) return false;
    ir_dim_is_const(t->dims[t->rank - 2], &rows);
    ir_dim_is_const(t->dims[t->rank - 1], &columns);
    if (rows < 1 || columns < 2) return false;
    *h = (halves){ir_tensor_get_f64(v->tensor, 0), ir_tensor_get_f64(v->tensor, 1)};
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            double x = ir_tensor_get_f64(v->tensor, (size_t)(i * columns + j));
            if (x != (j <= i ? h->below : h->above)) return false;
        }
    return true;
}

/* All elements of v have one value. */
static bool is_filled(const ir_value *v, double *x) {
    if (ir_value_is_const(v)) {
        if (v->tensor->opaque || v->type->dtype == DT_str || !ir_tensor_elements(v->tensor))
            return false;
        *x = ir_tensor_get_f64(v->tensor, 0);
        return ir_tensor_is_splat(v->tensor);
    }
    const ir_attr *a;
    if (!v->def) return false;
    if (v->def->op == OP_Expand || is_reshape_like(v->def->op))
        return is_filled(ir_in(v->def, 0), x);
    if (v->def->op != OP_ConstantOfShape) return false;
    a = ir_attr_find(v->def, "value");
    *x = a && a->kind == ATTR_TENSOR ? ir_tensor_get_f64(a->v.t, 0) : 0;
    return true;
}

static bool trilu_halves(const ir_node *n, halves *h) {
    double x;
    int64_t k = 0;
    bool upper = ir_attr_int(n, "upper", 1) != 0;
    if (ir_in(n, 1) && !ir_value_const_i64(ir_in(n, 1), &k)) return false;
    if (k != (upper ? 1 : 0) || !is_one_matrix(n->out[0].type) || !is_filled(ir_in(n, 0), &x))
        return false;
    *h = upper ? (halves){0, x} : (halves){x, 0};
    return true;
}

static bool where_halves(const ir_node *n, halves *h, uint32_t depth) {
    halves c;
    double x, y;
    if (!find_halves(ir_in(n, 0), &c, depth) || !is_filled(ir_in(n, 1), &x) ||
        !is_filled(ir_in(n, 2), &y))
        return false;
    *h = (halves){c.below != 0 ? x : y, c.above != 0 ? x : y};
    return true;
}

static bool equal_halves(const ir_node *n, halves *h, uint32_t depth) {
    double x;
    uint32_t at = is_filled(ir_in(n, 1), &x) ? 0 : 1;
    if (at == 1 && !is_filled(ir_in(n, 0), &x)) return false;
    if (!find_halves(ir_in(n, at), h, depth)) return false;
    *h = (halves){h->below == x, h->above == x};
    return true;
}

/* The same matrix with more or fewer ones in front. */
static bool keeps_matrix(const ir_node *n) {
    const ir_type *from = ir_in(n, 0)->type, *to = n->out[0].type;
    if (!is_one_matrix(from) || !is_one_matrix(to)) return false;
    return ir_dim_equal(from->dims[from->rank - 1], to->dims[to->rank - 1]) &&
           ir_dim_equal(from->dims[from->rank - 2], to->dims[to->rank - 2]);
}

static bool find_halves(const ir_value *v, halves *h, uint32_t depth) {
    const ir_node *n = v->def;
    if (ir_value_is_const(v)) return constant_halves(v, h);
    if (!n || depth == 0 || !is_one_matrix(v->type)) return false;
    if (n->op == OP_Trilu) return trilu_halves(n, h);
    if (n->op == OP_Where) return where_halves(n, h, depth - 1);
    if (n->op == OP_Equal) return equal_halves(n, h, depth - 1);
    if (is_reshape_like(n->op) || n->op == OP_Expand)
        return keeps_matrix(n) && find_halves(ir_in(n, 0), h, depth - 1);
    if (n->op != OP_Cast && n->op != OP_Not) return false;
    if (!find_halves(ir_in(n, 0), h, depth - 1)) return false;
    if (n->op == OP_Not)
        *h = (halves){h->below == 0, h->above == 0};
    else if (v->type->dtype == DT_bool)
        *h = (halves){h->below != 0, h->above != 0};
    return true;
}

enum { MAX_DEPTH = 8 };

bool causal_is_added_mask(const ir_value *v, double limit) {
    halves h;
    return find_halves(v, &h, MAX_DEPTH) && h.below == 0 && h.above <= limit;
}

bool causal_is_condition(const ir_value *v, bool below) {
    halves h;
    return find_halves(v, &h, MAX_DEPTH) && (h.below != 0) == below && (h.above != 0) != below;
}
