/* A draft in canonical form becomes a node: its attributes those of the schema, its subgraphs
 * regions, its results typed by inference. */
#include "frontend/fe.h"

op_id fe_op_id(fe_import *im, const char *domain, const char *op) {
    const char *key = ir_name(im->c, op);
    bool added;
    uint64_t *slot = tl_map_insert(&im->op_ids, (uint64_t)(uintptr_t)key, &added);
    if (added) *slot = op_find(key);
    op_id id = (op_id)*slot;
    if (id == OP_None || op_is(id, OP_INTERNAL)) return OP_None;
    return strcmp(op_get(id)->domain, domain) == 0 ? id : OP_None;
}

/* ---- attributes ------------------------------------------------------------------------------- */

static bool ints_equal(const ir_attr *a, const ir_schema_ints *b) {
    return a->n == b->count && (!a->n || memcmp(a->v.ints, b->data, a->n * sizeof *b->data) == 0);
}

static bool is_default(const ir_attr *a, const ir_schema_attr *s) {
    if (!s->has_default) return false;
    switch (a->kind) {
    case ATTR_INT:
        return a->v.i == s->value.i;
    case ATTR_FLOAT:
        return memcmp(&a->v.f, &s->value.f, sizeof a->v.f) == 0;
    case ATTR_STRING:
        return tl_sv_is(a->v.s, s->value.s);
    case ATTR_INTS:
        return ints_equal(a, &s->value.ints);
    default:
        return false;
    }
}

/* An attribute the canonical form does not know is one an upgrade rule has forgotten or refuses. */
static bool set_attributes(fe_node *n, ir_node *node, const ir_schema *s) {
    for (uint32_t i = 0; i < n->attrs.len; i++) {
        const fe_attr *a = &n->attrs.data[i];
        const ir_schema_attr *known = ir_schema_attr_find(s, a->a.name);
        if (!known)
            return diag_error(&n->im->c->diag, n->loc,
                              "attribute '%s' of opset %d is not supported", a->a.name, n->opset);
        if (!a->graph && !is_default(&a->a, known)) ir_attr_set(n->im->m, node, &a->a);
    }
    return true;
}

/* ---- parameters of bodies --------------------------------------------------------------------- */

/* A carried value may change its shape from one iteration to the next. */
const ir_type *fe_general_type(fe_import *im, const ir_type *t) {
    if (!t) return NULL;
    if (t->kind == IR_TYPE_TENSOR) return ir_type_unranked(im->c, t->dtype);
    if (t->kind == IR_TYPE_SEQUENCE)
        return ir_type_sequence(im->c, fe_general_type(im, t->element));
    if (t->kind == IR_TYPE_OPTIONAL)
        return ir_type_optional(im->c, fe_general_type(im, t->element));
    return t;
}

const ir_type *fe_slice_type(fe_import *im, const ir_type *t, int64_t axis) {
    if (!t || !ir_type_is_ranked(t)) return fe_general_type(im, t);
    if (axis < 0) axis += t->rank;
    if (axis < 0 || axis >= t->rank) return fe_general_type(im, t);
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0, k = 0; i < t->rank; i++)
        if (i != axis) dims[k++] = t->dims[i];
    return ir_type_tensor(im->c, t->dtype, t->rank - 1, dims);
}

static const ir_type *operand_type(const fe_node *n, uint32_t i) {
    return n->in.data[i] ? n->in.data[i]->type : NULL;
}

static void loop_params(const fe_node *n, const ir_type **types) {
    types[0] = ir_type_scalar(n->im->c, DT_i64);
    types[1] = ir_type_scalar(n->im->c, DT_bool);
    for (uint32_t i = 2; i < n->in.len; i++)
        types[i] = fe_general_type(n->im, operand_type(n, i));
}

static bool scan_params(const fe_node *n, const ir_type **types) {
    const fe_attr *count = fe_find_attr(n, "num_scan_inputs");
    const fe_attr *axes = fe_find_attr(n, "scan_input_axes");
    int64_t scanned = count ? count->a.v.i : 0;
    if (scanned < 1 || scanned > n->in.len)
        return diag_error(&n->im->c->diag, n->loc, "num_scan_inputs is %lld, there are %u inputs",
                          (long long)scanned, n->in.len);
    uint32_t states = n->in.len - (uint32_t)scanned;
    for (uint32_t i = 0; i < n->in.len; i++) {
        uint32_t k = i - states;
        int64_t axis = axes && i >= states && k < axes->a.n ? axes->a.v.ints[k] : 0;
        types[i] = i < states ? fe_general_type(n->im, operand_type(n, i))
                              : fe_slice_type(n->im, operand_type(n, i), axis);
    }
    return true;
}

static bool import_body(fe_node *n, ir_node *node, const fe_attr *a) {
    ir_region *r = ir_node_add_region(n->im->m, node, a->a.name);
    const ir_type **types = TL_NEW_ARRAY(n->im->scratch, const ir_type *, (size_t)n->in.len + 2);
    size_t n_types = 0;
    if (node->op == OP_Loop) {
        loop_params(n, types);
        n_types = n->in.len;
    } else if (node->op == OP_Scan) {
        if (!scan_params(n, types)) return false;
        n_types = n->in.len;
    }
    return fe_import_subgraph(n->im, a->scope, n->loc, a->graph, r, types, n_types);
}

static bool import_bodies(fe_node *n, ir_node *node) {
    for (uint32_t i = 0; i < n->attrs.len; i++)
        if (n->attrs.data[i].graph && !import_body(n, node, &n->attrs.data[i])) return false;
    return true;
}

/* ---- the node --------------------------------------------------------------------------------- */

/* Trailing results nobody wants are dropped, where the operator does not count its results. */
static void trim_results(fe_node *n, const ir_schema *s) {
    while (n->n_out > s->min_out && !*n->out_names[n->n_out - 1]) {
        const ir_schema_slot *slot = ir_schema_find_output(s, n->n_out - 1);
        if (!slot || slot->kind == IR_SCHEMA_VARIADIC) return;
        n->n_out--;
    }
}

static void trim_operands(fe_node *n, const ir_schema *s) {
    while (n->in.len > s->min_in && !n->in.data[n->in.len - 1])
        n->in.len--;
}

/* Before inference: dimensions that depend on data are named after their value. */
static void name_results(fe_node *n, ir_node *node) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        n->out[i] = &node->out[i];
        n->out[i]->name = fe_unique_name(n->im, n->scope, n->out_names[i]);
    }
}

static bool is_in_branch(const ir_region *r) {
    for (; r && r->owner; r = r->owner->parent)
        if (r->owner->op == OP_If) return true;
    return false;
}

/* What does not fit together in one branch of an If may be ruled out by the sizes at hand: judged when both branches are there. */
static bool infer_result(fe_import *im, ir_node *node) {
    if (!is_in_branch(node->parent)) return ir_infer_node(im->c, node);
    ir_infer_node_quietly(im->c, node);
    for (uint32_t i = 0; i < node->n_out; i++)
        if (!node->out[i].type) return ir_infer_node(im->c, node);
    return true;
}

bool fe_emit(fe_node *n) {
    fe_import *im = n->im;
    op_id op = fe_op_id(im, n->domain, n->op);
    if (op == OP_None)
        return diag_error(&im->c->diag, n->loc, "operator '%s' is not supported", n->op);
    const ir_schema *s = op_schema(op);
    trim_results(n, s);
    trim_operands(n, s);
    ir_node *node = ir_node_create(im->m, op, n->in.data, n->in.len, n->n_out);
    node->loc = n->loc;
    ir_node_append(n->region, node);
    if (!set_attributes(n, node, s) || !import_bodies(n, node)) return false;
    name_results(n, node);
    if (!infer_result(im, node)) return false;
    n->done = true;
    return true;
}
