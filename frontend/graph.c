/* One graph: its scope, its constants, its nodes, its results. */
#include "frontend/fe.h"

ir_value fe_omitted;

static ir_loc *graph_loc(fe_import *im, const fe_scope *scope) {
    ir_loc *loc = TL_NEW(im->s->arena, ir_loc);
    *loc = (ir_loc){.file = im->s->path, .path = scope->path};
    return loc;
}

/* ---- scopes ----------------------------------------------------------------------------------- */

void fe_scope_init(fe_scope *scope, fe_import *im, const fe_scope *outer, const fe_frame *frame,
                   const char *path) {
    *scope = (fe_scope){.outer = outer, .frame = frame, .path = path};
    scope->depth = outer ? outer->depth + 1 : 0;
    tl_map_init(&scope->values, im->s->arena);
    tl_map_init(&scope->renames, im->s->arena);
}

bool fe_find_value(fe_import *im, const fe_scope *scope, const ir_loc *loc, const char *name,
                   ir_value **v) {
    *v = NULL;
    if (!name || !*name) return true;
    const char *key = ir_name(im->c, name);
    for (const fe_scope *s = scope; s; s = s->outer) {
        ir_value *found = tl_map_get_ptr(&s->values, key);
        if (!found) continue;
        *v = found == &fe_omitted ? NULL : found;
        return true;
    }
    return diag_error(&im->c->diag, loc, "'%s' is not defined", name);
}

bool fe_define_value(fe_import *im, fe_scope *scope, const ir_loc *loc, const char *name,
                     ir_value *v) {
    if (!name || !*name) return diag_error(&im->c->diag, loc, "a value without a name");
    const char *key = ir_name(im->c, name);
    if (tl_map_get_ptr(&scope->values, key))
        return diag_error(&im->c->diag, loc, "'%s' is defined twice", name);
    tl_map_set_ptr(&scope->values, key, v);
    return true;
}

/* ---- initializers ----------------------------------------------------------------------------- */

static bool define_constant(fe_import *im, fe_scope *scope, const ir_loc *loc, const char *name,
                            const ir_tensor *t) {
    if (!t) return false;
    ir_value *v = ir_module_const(im->m, t, fe_unique_const_name(im, pb_text(name)));
    return fe_define_value(im, scope, loc, name, v);
}

/* An initializer whose name is a parameter already is that parameter's ignored default. */
static bool is_param(const fe_scope *scope, fe_import *im, const char *name) {
    ir_value *v = tl_map_get_ptr(&scope->values, ir_name(im->c, pb_text(name)));
    return v && v->region;
}

static bool import_initializers(fe_import *im, fe_scope *scope, const ir_loc *loc,
                                const pb_graph *g) {
    bool ok = true; /* all are looked at, so that one run reports all bad ones */
    for (size_t i = 0; i < g->n_initializer; i++) {
        const pb_tensor *t = g->initializer[i];
        if (is_param(scope, im, t->name)) continue;
        ok = define_constant(im, scope, loc, t->name, fe_tensor(im->s, loc, t)) && ok;
    }
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const pb_sparse *t = g->sparse_initializer[i];
        const char *name = t->values ? t->values->name : NULL;
        ok = define_constant(im, scope, loc, name, fe_sparse_tensor(im->s, loc, t)) && ok;
    }
    return ok;
}

/* ---- nodes ------------------------------------------------------------------------------------ */

bool fe_import_nodes(fe_import *im, fe_scope *scope, ir_region *r, pb_node *const *nodes,
                     size_t n) {
    if (n > im->max_nodes - im->n_nodes)
        return diag_error(&im->c->diag, im->s->loc, "more than %llu nodes",
                          (unsigned long long)im->max_nodes);
    tl_arena_mark mark = tl_arena_get_mark(im->scratch);
    const uint32_t *order;
    bool ok = fe_find_order(im, scope, nodes, n, &order);
    if (ok && !order) tl_arena_reset(im->scratch, mark);
    for (size_t i = 0; i < n && ok; i++) {
        uint32_t at = order ? order[i] : (uint32_t)i;
        ok = fe_import_node(im, scope, r, nodes[at], at);
    }
    tl_arena_reset(im->scratch, mark);
    return ok;
}

static bool find_results(fe_import *im, const fe_scope *scope, const ir_loc *loc, const pb_graph *g,
                         ir_value **results) {
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = pb_text(g->output[i]->name);
        if (!fe_find_value(im, scope, loc, name, &results[i])) return false;
        if (!results[i])
            return diag_error(&im->c->diag, loc, "output %zu '%s' has no value", i, name);
    }
    return true;
}

static bool import_results(fe_import *im, const fe_scope *scope, const ir_loc *loc,
                           const pb_graph *g, ir_region *r) {
    ir_value **results = TL_NEW_ARRAY(im->s->arena, ir_value *, g->n_output);
    if (!find_results(im, scope, loc, g, results)) return false;
    ir_region_set_results(r, results, (uint32_t)g->n_output);
    return true;
}

/* ---- the entry graph -------------------------------------------------------------------------- */

static void add_hints(fe_import *im, pb_value_info **info, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (info[i]->name) tl_map_set_ptr(&im->hints, ir_name(im->c, info[i]->name), info[i]);
}

static void collect_hints(fe_import *im, const pb_graph *g) {
    add_hints(im, g->value_info, g->n_value_info);
    add_hints(im, g->output, g->n_output);
}

static tl_map names_of_initializers(fe_import *im, const pb_graph *g) {
    tl_map names;
    tl_map_init(&names, im->s->arena);
    for (size_t i = 0; i < g->n_initializer; i++)
        tl_map_set_ptr(&names, ir_name(im->c, pb_text(g->initializer[i]->name)), g);
    return names;
}

/* Before IR 4 every initializer had to be listed as an input: that said nothing. */
static bool becomes_constant(fe_import *im, const tl_map *initializers, const char *name) {
    if (!tl_map_get_ptr(initializers, ir_name(im->c, name))) return false;
    if (im->ir_version < 4) return true;
    if (im->o->keep_initialized_inputs) return false;
    diag_warning(&im->c->diag, im->s->loc, "input '%s' has a default value: it becomes a constant",
                 name);
    return true;
}

static bool import_inputs(fe_import *im, fe_scope *scope, const ir_loc *loc, const pb_graph *g,
                          ir_region *r) {
    tl_map initializers = names_of_initializers(im, g);
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = pb_text(g->input[i]->name);
        if (becomes_constant(im, &initializers, name)) continue;
        const ir_type *type = fe_type(im, loc, g->input[i]->type, name, FE_TYPE_INPUT);
        if (!type) return false;
        ir_value *v = ir_region_add_param(r, type, fe_unique_name(im, scope, name));
        if (!fe_define_value(im, scope, loc, name, v)) return false;
    }
    return true;
}

static const char *type_text(fe_import *im, const ir_type *t) {
    tl_str text;
    tl_str_init(&text, im->s->arena);
    ir_type_print(t, &text);
    return text.data;
}

/* An input that is an initializer is declared twice: once with contents. */
static bool check_defaults(fe_import *im, const fe_scope *scope, const ir_loc *loc,
                           const pb_graph *g) {
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = pb_text(g->input[i]->name);
        ir_value *v;
        if (!g->input[i]->type || !fe_find_value(im, scope, loc, name, &v) || !v || !v->tensor)
            continue;
        const ir_type *declared = fe_type(im, loc, g->input[i]->type, name, FE_TYPE_HINT);
        if (!declared) return false;
        if (!ir_type_meet(im->c, v->type, declared))
            return diag_error(&im->c->diag, loc,
                              "input '%s' is declared as %s, but its value is %s", name,
                              type_text(im, declared), type_text(im, v->type));
    }
    return true;
}

static bool check_pins(fe_import *im) {
    bool ok = true;
    for (uint32_t i = 0; i < im->o->n_pins && !im->o->loose_pins; i++)
        if (!im->pin_used[i])
            ok = diag_error(&im->c->diag, im->s->loc, "no input has a dimension '%s'",
                            im->o->pins[i].symbol);
    return ok;
}

/* What a file says about its outputs may be imprecise; it may not be about another element type. */
static bool check_output(fe_import *im, const ir_loc *loc, const pb_value_info *p,
                         const ir_value *v) {
    if (!p->type || p->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return true;
    int32_t declared = p->type->tensor_type->elem_type;
    if (!declared || !ir_type_is_tensor(v->type) || (int32_t)v->type->dtype == declared)
        return true;
    const char *name = declared > 0 && declared < DT_COUNT ? ir_dtype_name((ir_dtype)declared)
                                                           : "?";
    return diag_error(&im->c->diag, loc, "output '%s' is declared as %s, but is %s",
                      pb_text(p->name), name, ir_dtype_name(v->type->dtype));
}

static bool finish_outputs(fe_import *im, const ir_loc *loc, const pb_graph *g, ir_graph *graph) {
    graph->outputs = TL_NEW_ARRAY(im->s->arena, const char *, g->n_output);
    tl_map seen;
    tl_map_init(&seen, im->s->arena);
    bool ok = true, added;
    for (size_t i = 0; i < g->n_output; i++) {
        graph->outputs[i] = ir_name(im->c, pb_text(g->output[i]->name));
        tl_map_insert(&seen, (uint64_t)(uintptr_t)graph->outputs[i], &added);
        if (!added)
            ok = diag_error(&im->c->diag, loc, "output '%s' is listed twice", graph->outputs[i]);
        ir_value *v = ir_region_result(graph->body, (uint32_t)i);
        ok = check_output(im, loc, g->output[i], v) && ok;
    }
    return ok;
}

bool fe_import_entry(fe_import *im, const fe_frame *frame, const char *name) {
    const pb_graph *g = im->model->graph;
    if (!name) name = g->name && *g->name ? g->name : "main";
    ir_graph *graph = ir_graph_create(im->m, name);
    fe_scope scope;
    fe_scope_init(&scope, im, NULL, frame, tl_arena_printf(im->s->arena, "graph '%s'", name));
    const ir_loc *loc = graph_loc(im, &scope);
    collect_hints(im, g);
    return fe_bind_symbols(im, g) && import_inputs(im, &scope, loc, g, graph->body) &&
           check_pins(im) && import_initializers(im, &scope, loc, g) &&
           check_defaults(im, &scope, loc, g) &&
           fe_import_nodes(im, &scope, graph->body, g->node, g->n_node) &&
           import_results(im, &scope, loc, g, graph->body) && finish_outputs(im, loc, g, graph);
}

/* ---- subgraphs -------------------------------------------------------------------------------- */

static bool import_params(fe_import *im, fe_scope *scope, const ir_loc *loc, const pb_graph *g,
                          ir_region *r, const ir_type *const *params, size_t n_params) {
    if (g->n_input != n_params)
        return diag_error(&im->c->diag, loc, "subgraph '%s' has %zu inputs, %zu are given to it",
                          r->name, g->n_input, n_params);
    for (size_t i = 0; i < n_params; i++) {
        const char *name = pb_text(g->input[i]->name);
        ir_value *v = ir_region_add_param(r, params[i], fe_unique_name(im, scope, name));
        if (!fe_define_value(im, scope, loc, name, v)) return false;
    }
    return true;
}

/* Paths are for people: a very deep one stops growing. */
static const char *subgraph_path(fe_import *im, const ir_loc *loc, const char *name) {
    if (strlen(loc->path) > 400) return loc->path;
    return tl_arena_printf(im->s->arena, "%s > %s '%.60s' > %s", loc->path, loc->op, loc->node,
                           name);
}

bool fe_import_subgraph(fe_import *im, const fe_scope *outer, const ir_loc *loc, const pb_graph *g,
                        ir_region *r, const ir_type *const *params, size_t n_params) {
    if (outer->depth >= IR_MAX_NESTING)
        return diag_error(&im->c->diag, loc, "nested more than %d deep", IR_MAX_NESTING);
    fe_scope scope;
    fe_scope_init(&scope, im, outer, outer->frame, subgraph_path(im, loc, r->name));
    return import_params(im, &scope, loc, g, r, params, n_params) &&
           import_initializers(im, &scope, loc, g) &&
           fe_import_nodes(im, &scope, r, g->node, g->n_node) &&
           import_results(im, &scope, loc, g, r);
}

bool fe_inline_graph(fe_node *n, const fe_scope *outer, const pb_graph *g, const char *name,
                     ir_value *const *args, uint32_t n_args, ir_value **results) {
    fe_import *im = n->im;
    if (outer->depth >= IR_MAX_NESTING)
        return diag_error(&im->c->diag, n->loc, "nested more than %d deep", IR_MAX_NESTING);
    if (g->n_input != n_args || g->n_output != n->n_out)
        return diag_error(&im->c->diag, n->loc,
                          "'%s' yields %zu values from %zu, expected %u from %u", name, g->n_output,
                          g->n_input, n->n_out, n_args);
    fe_scope scope;
    fe_scope_init(&scope, im, outer, outer->frame, subgraph_path(im, n->loc, name));
    for (uint32_t i = 0; i < n_args; i++)
        if (!fe_define_value(im, &scope, n->loc, pb_text(g->input[i]->name), args[i])) return false;
    return import_initializers(im, &scope, n->loc, g) &&
           fe_import_nodes(im, &scope, n->region, g->node, g->n_node) &&
           find_results(im, &scope, n->loc, g, results);
}
