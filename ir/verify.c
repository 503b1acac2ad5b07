/* Verifier: all rules of a valid module, in one walk; everything found is reported, nothing stops at the first error.
 *
 *   links        lists of nodes, owners, parents, indices; every operand is in its value's list of uses and the other way round
 *   visibility   an operand is a constant, or defined before in the same region or one around it
 *   schema       counts, types, attributes, regions of each node (verify_node.c)
 *   interface    names of graphs, inputs and outputs are there and unique; results have values
 *   states       the parameter and the result have one name and one type, or one that grows along an axis with a limit; the initial
 *                value broadcasts to it
 *   types        all there; where everything else holds, inference run again on a copy must agree
 *
 * Names of inner values need not be unique: the printer tells them apart. Linear in nodes and operands. */
#include "ir/base/vec.h"
#include "ir/limits.h"
#include "ir/verify_internal.h"

static const char *describe(verifier *s, const ir_value *v) {
    if (!v->name) return v->tensor ? "an unnamed constant" : "an unnamed value";
    return tl_arena_printf(s->arena, "'%s'", v->name);
}

bool verify_error(verifier *s, const ir_node *n, const char *format, ...) {
    tl_str text;
    tl_str_init(&text, s->arena);
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&text, format, args);
    va_end(args);
    /* Locations of models name the operator themselves. */
    bool prefix = n && !(n->loc && n->loc->op) && n->op < OP_COUNT;
    diag_error(&s->c->diag, n ? n->loc : NULL, "%s%s%s", prefix ? op_get(n->op)->name : "",
               prefix ? ": " : "", text.data);
    if (s->n_errors++ < VERIFY_MAX_NOTES) tl_vec_push(s->arena, &s->notes, (ir_note){n, text.data});
    return false;
}

/* ---- uses --------------------------------------------------------------------------------------------------- */

static bool is_defined(const verifier *s, const ir_value *v) {
    return tl_map_find(&s->defined, (uint64_t)(uintptr_t)v) != NULL;
}

static void define(verifier *s, const ir_value *v) {
    tl_map_insert(&s->defined, (uint64_t)(uintptr_t)v, NULL);
}

static void check_operand(verifier *s, const ir_node *n, const ir_region *r, uint32_t i) {
    const ir_use *u = &n->in[i];
    verify_that(s, n, u->user == n, "operand %u does not know its node", i);
    const ir_value *v = u->value;
    if (!v) return;
    ++*tl_map_insert(&s->reads, (uint64_t)(uintptr_t)v, NULL);
    verify_that(s, n, u->prev ? u->prev->next == u : v->uses == u,
                "operand %u is not in the uses of its value", i);
    if (!verify_that(s, n, is_defined(s, v), "operand %u, %s, is not defined before", i,
                     describe(s, v)))
        return;
    if (v->tensor) return;
    verify_that(s, n, ir_region_is_inside(r, ir_value_region(v)),
                "operand %u, %s, is not visible here", i, describe(s, v));
}

/* The list of a value's uses against the operands counted by the walk. Stops where the list is longer, so that a cycle ends. */
static void check_uses(verifier *s, const ir_node *n, const ir_value *v) {
    const uint64_t *counted = tl_map_find(&s->reads, (uint64_t)(uintptr_t)v);
    uint64_t expected = counted ? *counted : 0, found = 0;
    ir_for_each_use (u, v) {
        if (!verify_that(s, n, u->value == v, "the uses of %s hold one of another value",
                         describe(s, v)))
            return;
        if (!verify_that(s, n, !u->next || u->next->prev == u, "the uses of %s are badly linked",
                         describe(s, v)))
            return;
        if (++found > expected) break;
    }
    verify_that(s, n, found == expected,
                "the uses of %s are %s than the operands that read it, %llu", describe(s, v),
                found > expected ? "more" : "fewer", (unsigned long long)expected);
}

/* ---- nodes and regions -------------------------------------------------------------------------------------- */

static void check_region(verifier *s, const ir_graph *g, const ir_node *owner, const ir_region *r,
                         int depth);

static void check_links(verifier *s, const ir_region *r, const ir_node *n) {
    verify_that(s, n, n->parent == r, "does not know its region");
    verify_that(s, n, n->prev ? n->prev->next == n : r->first == n,
                "is badly linked to the node before");
    verify_that(s, n, n->next ? n->next->prev == n : r->last == n,
                "is badly linked to the node after");
}

static void check_attr_order(verifier *s, const ir_node *n) {
    for (uint32_t i = 1; i < n->n_attrs; i++)
        verify_that(s, n, strcmp(n->attrs[i - 1].name, n->attrs[i].name) < 0,
                    "attributes '%s' and '%s' are out of order", n->attrs[i - 1].name,
                    n->attrs[i].name);
}

static void define_results(verifier *s, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_value *v = &n->out[i];
        verify_that(s, n, v->def == n && v->index == i && !v->region && !v->tensor,
                    "result %u does not know what it is", i);
        verify_that(s, n, v->type, "result %u has no type", i);
        define(s, v);
    }
}

static void check_node(verifier *s, const ir_graph *g, const ir_region *r, const ir_node *n,
                       int depth) {
    check_links(s, r, n);
    for (uint32_t i = 0; i < n->n_in; i++)
        check_operand(s, n, r, i);
    check_attr_order(s, n);
    verify_node_schema(s, n);
    for (uint32_t i = 0; i < n->n_regions; i++)
        check_region(s, g, n, n->regions[i], depth + 1);
    define_results(s, n);
}

static void check_params(verifier *s, const ir_node *owner, const ir_region *r) {
    for (uint32_t i = 0; i < r->n_params; i++) {
        const ir_value *v = r->params[i];
        verify_that(s, owner, v->region == r && v->index == i && !v->def && !v->tensor,
                    "parameter %u does not know what it is", i);
        verify_that(s, owner, v->type, "parameter %u, %s, has no type", i, describe(s, v));
        define(s, v);
    }
}

static void check_yield(verifier *s, const ir_region *r) {
    const ir_node *y = r->yield;
    verify_that(s, y, y->op == OP_Yield && y->n_out == 0 && y->n_regions == 0,
                "the terminator is no Yield");
    verify_that(s, y, y->parent == r, "does not know its region");
    for (uint32_t i = 0; i < y->n_in; i++) {
        verify_that(s, y, y->in[i].value, "operand %u is omitted", i);
        check_operand(s, y, r, i);
    }
}

static void check_region(verifier *s, const ir_graph *g, const ir_node *owner, const ir_region *r,
                         int depth) {
    verify_that(s, owner, r->owner == owner && r->graph == g, "a region does not know its place");
    if (!verify_that(s, owner, depth <= IR_MAX_NESTING, "regions are nested deeper than %d",
                     IR_MAX_NESTING))
        return;
    if (!verify_that(s, owner, r->yield, "a region has no Yield")) return;
    check_params(s, owner, r);
    const ir_node *last = NULL;
    ir_for_each_node (n, r) {
        check_node(s, g, r, n, depth);
        last = n;
    }
    verify_that(s, owner, r->last == last, "a region does not know its last node");
    check_yield(s, r);
}

/* The second walk: now that all operands are counted. */
static void check_region_uses(verifier *s, const ir_node *owner, const ir_region *r) {
    for (uint32_t i = 0; i < r->n_params; i++)
        check_uses(s, owner, r->params[i]);
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_out; i++)
            check_uses(s, n, &n->out[i]);
        for (uint32_t i = 0; i < n->n_regions; i++)
            check_region_uses(s, n, n->regions[i]);
    }
}

/* ---- graphs and the module ---------------------------------------------------------------------------------- */

/* Names are interned: equal means the same pointer. */
static void check_name(verifier *s, tl_map *taken, const char *what, const char *name) {
    bool added;
    if (!verify_that(s, NULL, name, "%s without a name", what)) return;
    tl_map_insert(taken, (uint64_t)(uintptr_t)ir_name(s->c, name), &added);
    verify_that(s, NULL, added, "%s '%s' is there twice", what, name);
}

/* A constant whose shape stretches to the state's. */
static bool fits_state(const ir_value *initial, const ir_type *t) {
    if (!initial || !initial->tensor || !initial->type) return false;
    const ir_type *from = initial->type;
    if (!ir_type_is_known(t) || from->dtype != t->dtype || from->rank > t->rank) return false;
    for (int32_t i = 0; i < from->rank; i++) {
        const ir_dim *d = from->dims[i];
        if (!ir_dim_is(d, 1) && !ir_dim_equal(d, t->dims[t->rank - from->rank + i])) return false;
    }
    return true;
}

static void check_state(verifier *s, const ir_graph *g, uint32_t i) {
    const ir_value *v = ir_graph_state(g, i), *next = ir_graph_next(g, i);
    const char *result = g->outputs[ir_graph_n_outputs(g) + i];
    check_operand(s, g->initial, g->body, i);
    if (!v->name || !v->type || !next || !next->type) return; /* said elsewhere */
    verify_that(s, NULL, !strcmp(v->name, result ? result : ""),
                "state '%s': the result in its place is called '%s'", v->name,
                result ? result : "");
    verify_that(s, g->body->yield, next->type == v->type || ir_graph_growing_axis(g, i) >= 0,
                "state '%s': its new value has another type", v->name);
    verify_that(s, NULL, fits_state(ir_graph_initial(g, i), v->type),
                "state '%s': its initial value is no constant that broadcasts to its type",
                v->name);
}

static void check_along(verifier *s, const ir_graph *g) {
    for (uint32_t i = 0; i < g->n_along; i++) {
        const ir_along *a = &g->along[i];
        uint32_t n = a->output ? ir_graph_n_outputs(g) : ir_graph_n_inputs(g);
        const ir_type *t = NULL;
        for (uint32_t k = 0; k < n; k++) {
            const char *name = a->output ? g->outputs[k] : g->body->params[k]->name;
            const ir_value *v = a->output ? ir_region_result(g->body, k) : g->body->params[k];
            if (name && v && !strcmp(name, a->name)) t = v->type;
        }
        verify_that(s, NULL, t && (!ir_type_is_ranked(t) || a->axis < t->rank),
                    "'%s' is part of a sequence along axis %d, which it does not have", a->name,
                    a->axis);
    }
}

static void check_states(verifier *s, const ir_graph *g) {
    if (!g->n_states) return;
    if (!verify_that(s, NULL,
                     g->initial && g->initial->n_in == g->n_states &&
                         g->n_states <= g->body->n_params &&
                         g->n_states <= ir_region_n_results(g->body),
                     "graph '%s' does not know its states", g->name))
        return;
    for (uint32_t i = 0; i < g->n_states; i++)
        check_state(s, g, i);
}

static void check_graph(verifier *s, const ir_graph *g) {
    tl_map inputs, outputs;
    tl_map_init(&inputs, s->arena);
    tl_map_init(&outputs, s->arena);
    verify_that(s, NULL, g->module == s->m, "graph '%s' does not know its module", g->name);
    for (uint32_t i = 0; i < g->body->n_params; i++)
        check_name(s, &inputs, "graph input", g->body->params[i]->name);
    if (!g->body->yield) return;
    for (uint32_t i = 0; i < ir_region_n_results(g->body); i++)
        check_name(s, &outputs, "graph output", g->outputs ? g->outputs[i] : NULL);
    check_region(s, g, NULL, g->body, 0);
    check_states(s, g);
    check_along(s, g);
    check_region_uses(s, NULL, g->body);
}

static void check_consts(verifier *s) {
    for (const ir_const *k = s->m->consts; k; k = k->next) {
        const ir_value *v = &k->value;
        const ir_tensor *t = v->tensor;
        define(s, v);
        if (!verify_that(s, NULL, t, "constant %s has no payload", describe(s, v))) continue;
        verify_that(s, NULL, v->type && v->type == t->type,
                    "constant %s has another type than its payload", describe(s, v));
        verify_that(s, NULL, ir_type_is_static(t->type), "constant %s has no static type",
                    describe(s, v));
        verify_that(s, NULL, t->opaque || t->data || !t->bytes, "constant %s has no bytes",
                    describe(s, v));
    }
}

/* Inference again, on a copy whose results it may set. Its messages become notes of the node. */
static void check_inference(verifier *s, const ir_node *n, ir_node *copy) {
    uint32_t before = s->c->diag.n;
    if (ir_infer_node(s->c, copy)) return;
    const char *text = s->c->diag.n > before ? s->c->diag.entries[before].text
                                             : "its types contradict inference";
    if (s->c->diag.n == before)
        diag_error(&s->c->diag, n->loc, "%s: %s", op_get(n->op)->name, text);
    if (s->n_errors++ < VERIFY_MAX_NOTES) tl_vec_push(s->arena, &s->notes, (ir_note){n, text});
}

static void check_all_inference(verifier *s) {
    const ir_module *copy = ir_module_clone(s->m, s->arena);
    const ir_graph *h = copy->graphs;
    for (const ir_graph *g = s->m->graphs; g; g = g->next, h = h->next) {
        ir_node *twin = h->body->first;
        for (const ir_node *n = g->body->first; n; n = n->next, twin = twin->next)
            check_inference(s, n, twin);
    }
}

static void check_module(verifier *s) {
    tl_map names;
    tl_map_init(&names, s->arena);
    tl_map_init(&s->defined, s->arena);
    tl_map_init(&s->reads, s->arena);
    check_consts(s);
    for (const ir_graph *g = s->m->graphs; g; g = g->next) {
        check_name(s, &names, "graph", g->name);
        check_graph(s, g);
    }
    for (const ir_const *k = s->m->consts; k; k = k->next)
        check_uses(s, NULL, &k->value);
    if (!s->n_errors) check_all_inference(s);
}

bool ir_module_verify(const ir_module *m) {
    tl_arena_mark mark = tl_arena_get_mark(m->arena); /* scratch, given back */
    verifier s = {.c = m->ctx, .m = m, .arena = m->arena};
    check_module(&s);
    if (m->arena != &m->ctx->arena)
        tl_arena_reset(m->arena, mark); /* that one holds new types and messages */
    return s.n_errors == 0;
}

bool ir_module_print_annotated(const ir_module *m, tl_str *out) {
    verifier s = {.c = m->ctx, .m = m, .arena = out->arena};
    check_module(&s);
    ir_module_print_notes(m, s.notes.data, s.notes.len, out);
    return s.n_errors == 0;
}
