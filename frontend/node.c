/* One node of the file: operands and attributes are looked up, then a function call is inlined, a
 * Constant becomes a constant, and everything else is checked, upgraded and emitted. */
#include "frontend/fe.h"

enum { MAX_ATTRIBUTES = 1000 }; /* of one node; looked up one after the other */

static const ir_loc *node_loc(fe_import *im, const fe_scope *scope, const pb_node *p,
                              uint32_t index) {
    ir_loc *loc = TL_NEW(im->s->arena, ir_loc);
    *loc = (ir_loc){.file = im->s->path, .path = scope->path, .index = index};
    loc->node = ir_name(im->c, pb_text(p->name));
    loc->op = ir_name(im->c, pb_text(p->op_type));
    return loc;
}

static bool read_operands(fe_node *n, const pb_node *p) {
    if (p->n_input > IR_MAX_OPERANDS || p->n_output > IR_MAX_OPERANDS)
        return diag_error(&n->im->c->diag, n->loc, "more than %d operands", IR_MAX_OPERANDS);
    for (size_t i = 0; i < p->n_input; i++) {
        ir_value *v;
        if (!fe_find_value(n->im, n->scope, n->loc, p->input[i], &v)) return false;
        tl_vec_push(n->im->scratch, &n->in, v);
    }
    while (n->in.len && !n->in.data[n->in.len - 1])
        n->in.len--;
    return true;
}

static void read_results(fe_node *n, const pb_node *p) {
    n->n_out = (uint32_t)p->n_output;
    n->out = TL_NEW_ARRAY(n->im->scratch, ir_value *, n->n_out);
    n->out_names = TL_NEW_ARRAY(n->im->scratch, const char *, n->n_out);
    for (uint32_t i = 0; i < n->n_out; i++)
        n->out_names[i] = ir_name(n->im->c, pb_text(p->output[i]));
}

static bool read_attributes(fe_node *n, const pb_node *p) {
    if (p->n_attribute > MAX_ATTRIBUTES)
        return diag_error(&n->im->c->diag, n->loc, "%zu attributes, the limit is %d",
                          p->n_attribute, MAX_ATTRIBUTES);
    for (size_t i = 0; i < p->n_attribute; i++) {
        fe_attr a;
        bool present;
        if (!fe_attribute(n->im, n->scope, n->loc, p->attribute[i], &a, &present)) return false;
        if (!present) continue;
        if (fe_find_attr(n, a.a.name))
            return diag_error(&n->im->c->diag, n->loc, "attribute '%s' is given twice", a.a.name);
        tl_vec_push(n->im->scratch, &n->attrs, a);
    }
    return true;
}

/* An If whose condition is known. Only the branch taken is looked at: exporters guard what makes no
 * sense for the shapes at hand, such as a Squeeze of a dimension that is not 1, by a test of them. */
static bool import_decided_if(fe_node *n, bool condition) {
    const char *name = condition ? "then_branch" : "else_branch";
    const fe_attr *branch = fe_find_attr(n, name);
    n->done = fe_inline_graph(n, branch->scope, branch->graph, name, NULL, 0, n->out);
    return n->done;
}

static bool is_decided_if(const fe_node *n, int64_t *condition) {
    return !*n->domain && strcmp(n->op, "If") == 0 && n->in.len == 1 &&
           ir_value_const_i64(n->in.data[0], condition);
}

static bool import_as_known(fe_node *n) {
    if (!*n->domain && strcmp(n->op, "Constant") == 0) return fe_constant_node(n);
    int64_t condition;
    if (is_decided_if(n, &condition)) return import_decided_if(n, condition != 0);
    return fe_upgrade(n) && (n->done || fe_emit(n));
}

static bool import_operator(fe_node *n) {
    n->opset = fe_opset(n->im, n->scope->frame, n->domain);
    fe_types types = {.schema = ir_schema_find(n->domain, n->op, n->opset)};
    if (!types.schema) return import_as_known(n);
    return fe_check_draft(n, types.schema) && fe_check_operand_types(n, &types) &&
           import_as_known(n) && fe_check_result_types(n, &types);
}

static bool import_draft(fe_node *n, const pb_node *p) {
    if (!read_operands(n, p) || !read_attributes(n, p)) return false;
    read_results(n, p);
    fe_function *f = fe_find_function(n->im, n->domain, n->op, pb_text(p->overload));
    return f ? fe_inline_function(n, f) : import_operator(n);
}

/* What a file declares about an inner value is used only where inference knows nothing: a rank. Declared
 * sizes are not believed over the symbols inference gives to sizes that depend on data: a file that
 * lies about them must not make compiled code write out of bounds. */
static const ir_type *hint_for(fe_node *n, const char *name) {
    const pb_value_info *p = tl_map_get_ptr(&n->im->hints, name);
    if (!p || !p->type || p->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return NULL;
    const Onnx__TypeProto__Tensor *t = p->type->tensor_type;
    bool usable = t->elem_type > 0 && t->elem_type < DT_COUNT && t->shape &&
                  t->shape->n_dim <= IR_MAX_RANK;
    return usable ? fe_type(n->im, n->loc, p->type, name, FE_TYPE_HINT) : NULL;
}

static void apply_hint(fe_node *n, ir_value *v, const char *name) {
    bool entry = !n->scope->outer && !n->scope->frame->function;
    if (!entry || !v->def || !ir_type_is_tensor(v->type) || ir_type_is_ranked(v->type)) return;
    if (v->def->n_regions) return; /* branches may differ in rank */
    const ir_type *hint = hint_for(n, name);
    if (!hint || hint->dtype != v->type->dtype) return;
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0; i < hint->rank; i++)
        dims[i] = ir_dim_symbol(n->im->c, tl_arena_printf(n->im->s->arena, "%s.d%d", v->name, i));
    v->type = ir_type_tensor(n->im->c, hint->dtype, hint->rank, dims);
}

static bool define_results(fe_node *n, fe_scope *scope) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        const char *name = n->out_names[i];
        if (!*name) continue;
        ir_value *v = n->out[i];
        if (!v)
            return diag_error(&n->im->c->diag, n->loc, "output %u '%s' is not supported", i, name);
        if (!fe_define_value(n->im, scope, n->loc, name, v)) return false;
        if (!v->name && v->def) v->name = fe_unique_name(n->im, scope, name);
        if (!v->type) return diag_error(&n->im->c->diag, n->loc, "'%s' has no type", name);
        apply_hint(n, v, name);
    }
    return true;
}

bool fe_import_node(fe_import *im, fe_scope *scope, ir_region *r, const pb_node *p,
                    uint32_t index) {
    if (im->n_nodes++ >= im->max_nodes)
        return diag_error(&im->c->diag, im->s->loc, "more than %llu nodes",
                          (unsigned long long)im->max_nodes);
    tl_arena_mark mark = tl_arena_get_mark(im->scratch);
    fe_node n = {.im = im, .scope = scope, .region = r, .loc = node_loc(im, scope, p, index)};
    n.domain = fe_domain(im->c, pb_text(p->domain));
    n.op = n.loc->op;
    bool ok = import_draft(&n, p) && define_results(&n, scope);
    tl_arena_reset(im->scratch, mark);
    return ok;
}
