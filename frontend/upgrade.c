/* Old forms of operators to the one form that ir/ops.def names. The rules stand in tables, by family:
 *   upgrade_basic.c      elementwise operators, casts, softmax, reductions
 *   upgrade_shape.c      reshaping, slicing, padding, splitting
 *   upgrade_norm.c       normalisations, dropout
 *   upgrade_sequence.c   operators on sequences that are loops
 *   upgrade_other.c      the rest, also operators that ops.def may get later
 *   upgrade_quantize.c   quantised products, dynamic quantisation, with those of com.microsoft
 *   upgrade_ms_attention.c  attention and rotary embeddings of com.microsoft
 *   upgrade_ms_crop.c    CropAndResize of com.microsoft
 *   upgrade_microsoft.c  operators of com.microsoft that ONNX can say too
 *   flex_attention.c, training.c, gradient.c, random.c  operators that are short for several others
 *   upgrade_sizes.c      operators whose result is as large as an operand says
 * Versions that only allow more element types, or that only add attributes whose default is the old
 * meaning, need no rule. */
#include "frontend/upgrade.h"

#include "ir/build.h"

#include <stdarg.h>

static const fe_rule *const families[] = {
    fe_rules_basic,    fe_rules_shape,    fe_rules_norm,      fe_rules_other,
    fe_rules_sequence, fe_rules_quantize, fe_rules_microsoft, fe_rules_ms_attention,
    fe_rules_flex,     fe_rules_training, fe_rules_gradient,  fe_rules_random,
    fe_rules_sizes,    fe_rules_ms_crop};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

static bool is_for(const fe_rule *r, const char *domain, const char *op) {
    return strcmp(r->op, op) == 0 && strcmp(r->domain, domain) == 0;
}

/* A value that could not be built may look like one that was omitted: what was reported counts. */
static bool apply_rule(fe_node *n, const fe_rule *r) {
    uint32_t before = n->im->c->diag.n_errors;
    return r->fn(n) && n->im->c->diag.n_errors == before;
}

static bool apply_family(fe_node *n, const fe_rule *r, const char *domain, const char *op) {
    for (; r->op && !n->done; r++)
        if (n->opset < r->below && is_for(r, domain, op) && !apply_rule(n, r)) return false;
    return true;
}

bool fe_upgrade(fe_node *n) {
    fe_remove_attr(n, "consumed_inputs"); /* a hint for in-place execution, gone since opset 6 */
    const char *domain = n->domain, *op = n->op;
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (!apply_family(n, families[i], domain, op)) return false;
    return true;
}

/* The i-th rule, over all families, that makes other operators of its own. */
static const fe_rule *replacing_rule(size_t i) {
    for (size_t k = 0; k < N_FAMILIES; k++)
        for (const fe_rule *r = families[k]; r->op; r++)
            if (r->becomes && op_find(r->becomes) != OP_None && i-- == 0) return r;
    return NULL;
}

/* Constant comes first: node.c takes it, which needs no rule. */
bool fe_replaced_get(size_t i, fe_replaced *out) {
    const fe_rule *r = i ? replacing_rule(i - 1) : NULL;
    if (r) *out = (fe_replaced){r->domain, r->op, r->becomes};
    if (!i) *out = (fe_replaced){"", "Constant", "data of the model"};
    return !i || r;
}

bool fe_replaces(const char *domain, const char *op) {
    fe_replaced r;
    for (size_t i = 0; fe_replaced_get(i, &r); i++)
        if (strcmp(r.op, op) == 0 && strcmp(r.domain, domain) == 0) return true;
    return false;
}

/* ---- the draft -------------------------------------------------------------------------------- */

bool fe_error(fe_node *n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str text;
    tl_str_init(&text, n->im->s->arena);
    tl_str_vprintf(&text, format, args);
    va_end(args);
    return diag_error(&n->im->c->diag, n->loc, "%s", text.data);
}

bool fe_in_dtype(fe_node *n, uint32_t i, ir_dtype *out) {
    const ir_value *v = fe_in(n, i);
    bool ok = v && ir_type_is_tensor(v->type) && v->type->dtype != DT_str &&
              ir_dtype_get_class(v->type->dtype) != DTYPE_COMPLEX;
    if (!ok) return fe_error(n, "input %u is not a tensor of numbers", i);
    *out = v->type->dtype;
    return true;
}

bool fe_wants(const fe_node *n, uint32_t output) {
    return output < n->n_out && *n->out_names[output];
}

void fe_set_in(fe_node *n, uint32_t i, ir_value *v) {
    while (n->in.len <= i)
        tl_vec_push(n->im->scratch, &n->in, NULL);
    n->in.data[i] = v;
}

void fe_rename(fe_node *n, const char *op) {
    n->op = ir_name(n->im->c, op);
    n->domain = ir_name(n->im->c, "");
}

void fe_remove_attr(fe_node *n, const char *name) {
    const fe_attr *a = fe_find_attr(n, name);
    if (!a) return;
    uint32_t at = (uint32_t)(a - n->attrs.data);
    memmove(&n->attrs.data[at], &n->attrs.data[at + 1],
            (n->attrs.len - at - 1) * sizeof *n->attrs.data);
    n->attrs.len--;
}

void fe_set_attr(fe_node *n, ir_attr a) {
    a.name = ir_name(n->im->c, a.name);
    fe_remove_attr(n, a.name);
    tl_vec_push(n->im->scratch, &n->attrs, (fe_attr){.a = a});
}

void fe_set_attr_int(fe_node *n, const char *name, int64_t v) {
    fe_set_attr(n, (ir_attr){.name = name, .kind = ATTR_INT, .v.i = v});
}

void fe_set_attr_text(fe_node *n, const char *name, const char *v) {
    fe_set_attr(n, (ir_attr){.name = name, .kind = ATTR_STRING, .v.s = tl_sv_from(v)});
}

int64_t fe_attr_int(const fe_node *n, const char *name, int64_t fallback) {
    const fe_attr *a = fe_find_attr(n, name);
    return a && a->a.kind == ATTR_INT && !a->graph ? a->a.v.i : fallback;
}

float fe_attr_float(const fe_node *n, const char *name, float fallback) {
    const fe_attr *a = fe_find_attr(n, name);
    return a && a->a.kind == ATTR_FLOAT ? a->a.v.f : fallback;
}

bool fe_attr_is(const fe_node *n, const char *name, const char *text) {
    const fe_attr *a = fe_find_attr(n, name);
    return a && a->a.kind == ATTR_STRING && tl_sv_is(a->a.v.s, text);
}

static ir_value *floats(fe_node *n, const float *v, uint32_t count) {
    int64_t dim = count;
    ir_tensor *t = ir_tensor_alloc(n->im->s->arena,
                                   ir_type_tensor_static(n->im->c, DT_f32, 1, &dim));
    if (count) memcpy(ir_tensor_data(t), v, count * sizeof *v);
    ir_tensor_seal(t);
    return ir_module_const(n->im->m, t, NULL);
}

bool fe_attr_to_input(fe_node *n, const char *name, uint32_t i) {
    const fe_attr *a = fe_find_attr(n, name);
    if (!a) return true;
    if (fe_in(n, i)) return fe_error(n, "attribute '%s' and input %u are both given", name, i);
    if (a->a.kind == ATTR_INT)
        fe_set_in(n, i, fe_i64s(n, &a->a.v.i, 1));
    else if (a->a.kind == ATTR_INTS)
        fe_set_in(n, i, fe_i64s(n, a->a.v.ints, a->a.n));
    else if (a->a.kind == ATTR_FLOATS)
        fe_set_in(n, i, floats(n, a->a.v.floats, a->a.n));
    else
        return fe_error(n, "attribute '%s' has the wrong type", name);
    fe_remove_attr(n, name);
    return true;
}

/* ---- emitting --------------------------------------------------------------------------------- */

ir_node *fe_build_node(fe_node *n, op_id op, ir_value *const *in, uint32_t n_in, uint32_t n_out,
                       const ir_attr *attrs, uint32_t n_attrs) {
    for (uint32_t i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    ir_node *node = ir_node_create(n->im->m, op, in, n_in, n_out);
    for (uint32_t i = 0; i < n_in; i++)
        if (in[i] == &fe_omitted) ir_node_set_operand(node, i, NULL);
    for (uint32_t i = 0; i < n_attrs; i++)
        ir_attr_set(n->im->m, node, &attrs[i]);
    node->loc = n->loc;
    ir_node_append(n->region, node);
    const char *base = n->n_out ? n->out_names[0] : "";
    for (uint32_t i = 0; i < n_out; i++)
        node->out[i].name = fe_derived_name(n->im, n->scope, base, op_get(op)->name);
    return ir_infer_node(n->im->c, node) ? node : NULL;
}

ir_value *fe_build(fe_node *n, op_id op, ir_value *const *in, uint32_t n_in, const ir_attr *attrs,
                   uint32_t n_attrs) {
    ir_node *node = fe_build_node(n, op, in, n_in, 1, attrs, n_attrs);
    return node ? &node->out[0] : NULL;
}

ir_value *fe_cast(fe_node *n, ir_value *x, ir_dtype to) {
    return x && x->type->dtype == to ? x : fe_build1_int(n, OP_Cast, x, "to", to);
}

ir_value *fe_transpose(fe_node *n, ir_value *x, const int64_t *perm, uint32_t count) {
    ir_attr a = {.name = "perm", .kind = ATTR_INTS, .n = count, .v.ints = perm};
    return fe_build(n, OP_Transpose, &x, 1, &a, 1);
}

bool fe_need(fe_node *n, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (!fe_in(n, i)) return fe_error(n, "input %u is missing", i);
    return n->n_out >= 1 || fe_error(n, "there is no output");
}

ir_value *fe_build1(fe_node *n, op_id op, ir_value *x) {
    return fe_build(n, op, &x, 1, NULL, 0);
}

ir_value *fe_build2(fe_node *n, op_id op, ir_value *x, ir_value *y) {
    return fe_build(n, op, (ir_value *[]){x, y}, 2, NULL, 0);
}

ir_value *fe_build1_int(fe_node *n, op_id op, ir_value *x, const char *attr, int64_t v) {
    return fe_build(n, op, &x, 1, &(ir_attr){.name = attr, .kind = ATTR_INT, .v.i = v}, 1);
}

ir_value *fe_i64s(fe_node *n, const int64_t *v, uint32_t count) {
    ir_builder b = ir_build_at_end(n->region, n->loc);
    return build_i64s(&b, v, count);
}

ir_value *fe_scalar(fe_node *n, ir_dtype t, double x) {
    ir_builder b = ir_build_at_end(n->region, n->loc);
    return build_scalar(&b, t, x);
}

ir_value *fe_shape(fe_node *n, ir_value *x) {
    if (!x) return NULL;
    int64_t dims[IR_MAX_RANK];
    if (!ir_type_is_static(x->type)) return fe_build1(n, OP_Shape, x);
    for (int32_t i = 0; i < x->type->rank; i++)
        ir_dim_is_const(x->type->dims[i], &dims[i]);
    return fe_i64s(n, dims, (uint32_t)x->type->rank);
}

/* allowzero: the shape is meant literally. */
ir_value *fe_reshape_like(fe_node *n, ir_value *x, ir_value *like) {
    ir_attr allowzero = {.name = "allowzero", .kind = ATTR_INT, .v.i = 1};
    return fe_build(n, OP_Reshape, (ir_value *[]){x, fe_shape(n, like)}, 2, &allowzero, 1);
}

ir_value *fe_unsqueeze(fe_node *n, ir_value *x, const int64_t *axes, uint32_t count) {
    return fe_build2(n, OP_Unsqueeze, x, fe_i64s(n, axes, count));
}

/* The last value built takes the name the file gives it. Dimensions may be named after the value: they
 * are inferred again. */
static bool take_name(fe_node *n, ir_value *y) {
    y->name = fe_unique_name(n->im, n->scope, n->out_names[0]);
    y->type = NULL;
    return ir_infer_node(n->im->c, y->def);
}

bool fe_finish(fe_node *n, ir_value *y) {
    if (!y) return false;
    n->out[0] = y;
    n->done = true;
    bool built_here = y->def && y->def->loc == n->loc;
    return !built_here || !*n->out_names[0] || take_name(n, y);
}
