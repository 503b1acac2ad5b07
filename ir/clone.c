/* Copies of modules, regions and nodes.
 *
 *   module    into a fresh arena: what is dead stays behind, the old arena may be released (garbage collection)
 *   region    its nodes in another place, parameters replaced by arguments (inlining, unrolling)
 *   node      one node with other operands; its regions are copied whole
 *
 * Bytes of constants are shared, unless they lie in the arena that the copy is to outlive. Types, names, dimensions and
 * locations live as long as the context and are always shared. */
#include "ir/base/vec.h"
#include "ir/ir.h"

typedef struct cloner {
    ir_module *m;          /* where the copies go */
    const ir_module *from; /* where they come from; may be m */
    tl_map values;         /* ir_value * -> its copy */
    const char *suffix;    /* appended to names, or NULL */
} cloner;

static void cloner_init(cloner *c, ir_module *m, const ir_module *from) {
    *c = (cloner){.m = m, .from = from};
    tl_map_init(&c->values, m->arena);
}

/* ---- payloads ----------------------------------------------------------------------------------------------- */

static const void *copy_bytes(cloner *c, const void *data, size_t n) {
    void *copy = tl_arena_alloc(c->m->arena, n, _Alignof(max_align_t));
    if (n) memcpy(copy, data, n);
    return copy;
}

static tl_sv copy_string(cloner *c, tl_sv s) {
    return (tl_sv){tl_arena_strndup(c->m->arena, s.data, s.len), s.len};
}

static const tl_sv *copy_strings(cloner *c, const tl_sv *s, size_t n) {
    tl_sv *copy = TL_NEW_ARRAY(c->m->arena, tl_sv, n);
    for (size_t i = 0; i < n; i++)
        copy[i] = copy_string(c, s[i]);
    return copy;
}

static const ir_tensor *copy_tensor(cloner *c, const ir_tensor *t) {
    if (c->m == c->from) return t;
    ir_tensor *copy = TL_NEW(c->m->arena, ir_tensor);
    *copy = *t; /* the hash too: large payloads are not read again */
    if (t->type->dtype == DT_str && t->data)
        copy->data = copy_strings(c, t->data, ir_tensor_elements(t));
    else if (t->data && tl_arena_contains(c->from->arena, t->data))
        copy->data = copy_bytes(c, t->data, t->bytes);
    return copy;
}

static void copy_attr_payload(cloner *c, ir_attr *a) {
    switch (a->kind) {
    case ATTR_STRING:
        a->v.s = copy_string(c, a->v.s);
        break;
    case ATTR_TENSOR:
        a->v.t = copy_tensor(c, a->v.t);
        break;
    case ATTR_INTS:
        a->v.ints = copy_bytes(c, a->v.ints, a->n * sizeof *a->v.ints);
        break;
    case ATTR_FLOATS:
        a->v.floats = copy_bytes(c, a->v.floats, a->n * sizeof *a->v.floats);
        break;
    case ATTR_STRINGS:
        a->v.strings = copy_strings(c, a->v.strings, a->n);
        break;
    case ATTR_DIMS:
        a->v.dims = copy_bytes(c, a->v.dims, a->n * sizeof *a->v.dims);
        break;
    case ATTR_TENSORS: {
        const ir_tensor **t = TL_NEW_ARRAY(c->m->arena, const ir_tensor *, a->n);
        for (uint32_t i = 0; i < a->n; i++)
            t[i] = copy_tensor(c, a->v.tensors[i]);
        a->v.tensors = t;
        break;
    }
    default:
        break;
    }
}

/* The array is always fresh, as attributes are set in place; what it points to is never changed and may be shared. */
static void copy_attrs(cloner *c, ir_node *copy, const ir_node *n) {
    copy->n_attrs = n->n_attrs;
    copy->attrs = TL_NEW_ARRAY(c->m->arena, ir_attr, n->n_attrs);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        copy->attrs[i] = n->attrs[i];
        if (c->m != c->from) copy_attr_payload(c, &copy->attrs[i]);
    }
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static const ir_known *copy_known(cloner *c, const ir_known *k) {
    if (!k || c->m == c->from) return k;
    ir_known *copy = TL_NEW(c->m->arena, ir_known);
    copy->n = k->n;
    copy->dims = copy_bytes(c, k->dims, k->n * sizeof *k->dims);
    return copy;
}

static void copy_value(cloner *c, ir_value *copy, const ir_value *v) {
    copy->type = v->type;
    copy->known = copy_known(c, v->known);
    copy->name = v->name && c->suffix ? ir_name_derive(c->m, v, c->suffix) : v->name;
    tl_map_set_ptr(&c->values, v, copy);
}

/* What a copy reads where the original reads v. Values from outside of what is copied stay what they are. */
static ir_value *map_value(cloner *c, ir_value *v) {
    if (!v) return NULL;
    ir_value *copy = tl_map_get_ptr(&c->values, v);
    if (copy) return copy;
    if (!v->tensor || c->m == c->from) return v;
    copy = ir_module_const(c->m, copy_tensor(c, v->tensor), v->name);
    tl_map_set_ptr(&c->values, v, copy);
    return copy;
}

/* ---- nodes and regions -------------------------------------------------------------------------------------- */

static ir_node *copy_node(cloner *c, const ir_node *n, ir_region *to, ir_node *at, ir_graph *g);

static ir_node *copy_yield(cloner *c, ir_region *parent, const ir_node *yield) {
    uint32_t n = yield->n_in;
    ir_value **v = TL_NEW_ARRAY(c->m->arena, ir_value *, n);
    for (uint32_t i = 0; i < n; i++)
        v[i] = map_value(c, yield->in[i].value);
    ir_node *copy = ir_node_create(c->m, OP_Yield, v, n, 0);
    copy->parent = parent;
    copy->loc = yield->loc;
    return copy;
}

/* Fills an empty region with a copy of r. */
static void fill_region(cloner *c, ir_region *copy, const ir_region *r, ir_graph *g) {
    copy->graph = g;
    copy->n_params = copy->params_cap = r->n_params;
    copy->params = TL_NEW_ARRAY(c->m->arena, ir_value *, r->n_params);
    for (uint32_t i = 0; i < r->n_params; i++) {
        copy->params[i] = TL_NEW(c->m->arena, ir_value);
        copy->params[i]->region = copy;
        copy->params[i]->index = i;
        copy_value(c, copy->params[i], r->params[i]);
    }
    ir_for_each_node (n, r)
        copy_node(c, n, copy, NULL, g);
    copy->yield = copy_yield(c, copy, r->yield);
}

static void copy_regions(cloner *c, ir_node *copy, const ir_node *n, ir_graph *g) {
    for (uint32_t i = 0; i < n->n_regions; i++)
        fill_region(c, ir_node_add_region(c->m, copy, n->regions[i]->name), n->regions[i], g);
}

/* The node without its place and regions. */
static ir_node *copy_shell(cloner *c, const ir_node *n, ir_value *const *in) {
    ir_node *copy = ir_node_create(c->m, n->op, in, n->n_in, n->n_out);
    copy_attrs(c, copy, n);
    copy->loc = n->loc;
    for (uint32_t i = 0; i < n->n_out; i++)
        copy_value(c, &copy->out[i], &n->out[i]);
    return copy;
}

static ir_node *copy_node(cloner *c, const ir_node *n, ir_region *to, ir_node *at, ir_graph *g) {
    ir_value **in = TL_NEW_ARRAY(c->m->arena, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = map_value(c, n->in[i].value);
    ir_node *copy = copy_shell(c, n, in);
    if (at)
        ir_node_insert_before(at, copy);
    else
        ir_node_append(to, copy);
    copy_regions(c, copy, n, g);
    return copy;
}

ir_node *ir_node_clone(ir_module *m, const ir_node *n, ir_value *const *in) {
    cloner c;
    ir_graph *g = n->parent ? n->parent->graph : m->graphs;
    cloner_init(&c, m, m);
    ir_node *copy = copy_shell(&c, n, in);
    copy_regions(&c, copy, n, g);
    return copy;
}

void ir_region_inline(ir_module *m, const ir_region *from, ir_value *const *args, ir_region *to,
                      ir_node *at, const char *suffix, ir_value **results) {
    cloner c;
    cloner_init(&c, m, from->graph->module);
    c.suffix = suffix;
    for (uint32_t i = 0; i < from->n_params; i++)
        tl_map_set_ptr(&c.values, from->params[i], args[i]);
    /* Where a region is copied into itself, its copies stand in front of `at` or behind its last node: not copied again. */
    const ir_node *last = from->last;
    for (const ir_node *n = from->first; n; n = n == last ? NULL : n->next)
        copy_node(&c, n, to, at, to->graph);
    for (uint32_t i = 0; i < ir_region_n_results(from); i++)
        results[i] = map_value(&c, ir_region_result(from, i));
}

/* ---- modules ------------------------------------------------------------------------------------------------ */

static ir_graph *copy_graph(cloner *c, const ir_graph *g, const char *name) {
    ir_graph *copy = ir_graph_create(c->m, name);
    uint32_t n = ir_region_n_results(g->body);
    copy->outputs = TL_NEW_ARRAY(c->m->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++)
        copy->outputs[i] = g->outputs[i];
    fill_region(c, copy->body, g->body, copy);
    copy->n_states = g->n_states;
    copy->steps = g->steps;
    copy->tail = g->tail;
    copy->no_tail = g->no_tail;
    for (uint32_t i = 0; i < g->n_along; i++)
        ir_graph_set_along(copy, g->along[i].name, g->along[i].output, g->along[i].axis);
    for (uint32_t i = 0; i < g->n_along; i++)
        copy->along[i].delay = g->along[i].delay;
    if (g->initial) copy->initial = copy_yield(c, copy->body, g->initial);
    return copy;
}

ir_graph *ir_graph_clone(ir_graph *g, const char *name) {
    cloner c;
    ir_graph *behind = g->next;
    g->next = NULL; /* so that the copy is created behind g */
    cloner_init(&c, g->module, g->module);
    ir_graph *copy = copy_graph(&c, g, name);
    copy->next = behind;
    return copy;
}

ir_module *ir_module_clone(const ir_module *m, tl_arena *a) {
    cloner c;
    ir_module *copy = ir_module_create(m->ctx, a);
    cloner_init(&c, copy, m);
    copy->opset = m->opset;
    copy->producer = m->producer ? ir_name(m->ctx, m->producer) : NULL;
    memcpy(copy->sha256, m->sha256, sizeof copy->sha256);
    for (const ir_const *k = m->consts; k; k = k->next)
        if (k->value.uses) map_value(&c, (ir_value *)&k->value); /* keeps their order */
    for (const ir_graph *g = m->graphs; g; g = g->next)
        copy_graph(&c, g, g->name);
    return copy;
}
