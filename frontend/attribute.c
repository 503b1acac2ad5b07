/* Attributes of nodes. Inside a function body an attribute may be a reference: its value is what the
 * call gives for ref_attr_name, or the function's default, or it is absent. */
#include "frontend/fe.h"

/* Files of IR 1 do not say the type: the member that is there tells it. */
static ir_schema_attr_type guess_type(const pb_attr *p) {
    if (p->has_f) return IR_SCHEMA_ATTR_FLOAT;
    if (p->has_i) return IR_SCHEMA_ATTR_INT;
    if (p->has_s) return IR_SCHEMA_ATTR_STRING;
    if (p->t) return IR_SCHEMA_ATTR_TENSOR;
    if (p->g) return IR_SCHEMA_ATTR_GRAPH;
    if (p->n_floats) return IR_SCHEMA_ATTR_FLOATS;
    if (p->n_ints) return IR_SCHEMA_ATTR_INTS;
    if (p->n_strings) return IR_SCHEMA_ATTR_STRINGS;
    if (p->n_tensors) return IR_SCHEMA_ATTR_TENSORS;
    if (p->tp) return IR_SCHEMA_ATTR_TYPE_PROTO;
    return IR_SCHEMA_ATTR_UNDEFINED;
}

ir_schema_attr_type fe_attribute_type(const pb_attr *p) {
    bool known = p->has_type && p->type > 0 && p->type <= (int)IR_SCHEMA_ATTR_TYPE_PROTOS;
    return known ? (ir_schema_attr_type)p->type : guess_type(p);
}

static tl_sv copy_text(fe_import *im, const ProtobufCBinaryData *d) {
    return (tl_sv){tl_arena_strndup(im->s->arena, (const char *)d->data, d->len), d->len};
}

static bool set_tensor(fe_import *im, const ir_loc *loc, const pb_attr *p, ir_attr *a) {
    a->kind = ATTR_TENSOR;
    if (p->sparse_tensor)
        a->v.t = fe_sparse_tensor(im->s, loc, p->sparse_tensor);
    else if (p->t)
        a->v.t = fe_tensor(im->s, loc, p->t);
    else
        return diag_error(&im->c->diag, loc, "attribute '%s' has no value", a->name);
    return a->v.t != NULL;
}

static bool set_tensors(fe_import *im, const ir_loc *loc, const pb_attr *p, ir_attr *a) {
    const ir_tensor **list = TL_NEW_ARRAY(im->s->arena, const ir_tensor *, p->n_tensors);
    for (size_t i = 0; i < p->n_tensors; i++)
        if (!(list[i] = fe_tensor(im->s, loc, p->tensors[i]))) return false;
    a->kind = ATTR_TENSORS;
    a->n = (uint32_t)p->n_tensors;
    a->v.tensors = list;
    return true;
}

static void set_strings(fe_import *im, const pb_attr *p, ir_attr *a) {
    tl_sv *list = TL_NEW_ARRAY(im->s->arena, tl_sv, p->n_strings);
    for (size_t i = 0; i < p->n_strings; i++)
        list[i] = copy_text(im, &p->strings[i]);
    a->kind = ATTR_STRINGS;
    a->n = (uint32_t)p->n_strings;
    a->v.strings = list;
}

/* Lists of ints and floats are borrowed from the decoded file: ir_attr_set copies them. */
static bool set_value(fe_import *im, const fe_scope *scope, const ir_loc *loc, const pb_attr *p,
                      fe_attr *out) {
    ir_attr *a = &out->a;
    switch (fe_attribute_type(p)) {
    case IR_SCHEMA_ATTR_FLOAT:
        a->kind = ATTR_FLOAT;
        a->v.f = p->f;
        return true;
    case IR_SCHEMA_ATTR_INT:
        a->kind = ATTR_INT;
        a->v.i = p->i;
        return true;
    case IR_SCHEMA_ATTR_STRING:
        a->kind = ATTR_STRING;
        a->v.s = copy_text(im, &p->s);
        return true;
    case IR_SCHEMA_ATTR_FLOATS:
        a->kind = ATTR_FLOATS;
        a->n = (uint32_t)p->n_floats;
        a->v.floats = p->floats;
        return true;
    case IR_SCHEMA_ATTR_INTS:
        a->kind = ATTR_INTS;
        a->n = (uint32_t)p->n_ints;
        a->v.ints = p->ints;
        return true;
    case IR_SCHEMA_ATTR_STRINGS:
        set_strings(im, p, a);
        return true;
    case IR_SCHEMA_ATTR_TENSOR:
    case IR_SCHEMA_ATTR_SPARSE_TENSOR:
        return set_tensor(im, loc, p, a);
    case IR_SCHEMA_ATTR_TENSORS:
        return set_tensors(im, loc, p, a);
    case IR_SCHEMA_ATTR_TYPE_PROTO:
        a->kind = ATTR_TYPE;
        a->v.type = fe_type(im, loc, p->tp, a->name, FE_TYPE_HINT);
        return a->v.type != NULL;
    case IR_SCHEMA_ATTR_GRAPH:
        if (!p->g) break;
        out->graph = p->g;
        out->scope = scope;
        return true;
    default:
        break;
    }
    return diag_error(&im->c->diag, loc,
                      "attribute '%s' has no value, or one of a kind that is not "
                      "supported",
                      a->name);
}

/* The function's own default for an attribute of its calls, or NULL. */
static const pb_attr *find_default(const fe_frame *f, const char *name) {
    const pb_function *p = f->function->proto;
    for (size_t i = 0; i < p->n_attribute_proto; i++)
        if (strcmp(pb_text(p->attribute_proto[i]->name), name) == 0) return p->attribute_proto[i];
    return NULL;
}

static bool resolve_reference(fe_import *im, const fe_scope *scope, const ir_loc *loc,
                              const pb_attr *p, fe_attr *out, bool *present) {
    const fe_frame *f = scope->frame;
    if (!f->function)
        return diag_error(&im->c->diag, loc, "attribute '%s' refers to '%s', outside of a function",
                          out->a.name, p->ref_attr_name);
    const fe_attr *given = fe_find_attr(f->call, p->ref_attr_name);
    const pb_attr *fallback = given ? NULL : find_default(f, p->ref_attr_name);
    *present = given || fallback;
    const char *name = out->a.name;
    if (given) *out = *given;
    out->a.name = name;
    return !fallback || set_value(im, scope, loc, fallback, out);
}

bool fe_attribute(fe_import *im, const fe_scope *scope, const ir_loc *loc, const pb_attr *p,
                  fe_attr *out, bool *present) {
    *out = (fe_attr){.a.name = ir_name(im->c, pb_text(p->name))};
    *present = true;
    if (p->ref_attr_name && *p->ref_attr_name)
        return resolve_reference(im, scope, loc, p, out, present);
    return set_value(im, scope, loc, p, out);
}

const fe_attr *fe_find_attr(const fe_node *n, const char *name) {
    for (uint32_t i = 0; i < n->attrs.len; i++)
        if (strcmp(n->attrs.data[i].a.name, name) == 0) return &n->attrs.data[i];
    return NULL;
}
