/* Model-local functions. A call is replaced by the nodes of the body; inner names get the call's name
 * in front ("attn/scores"). The key is (domain, name, overload); a function may hide an operator. */
#include "frontend/fe.h"

enum { MAX_FORMAL_ATTRIBUTES = 1000 };

static const char *function_key(fe_import *im, const char *domain, const char *name,
                                const char *overload) {
    tl_arena_mark mark = tl_arena_get_mark(im->scratch);
    const char *key = ir_name(
        im->c, tl_arena_printf(im->scratch, "%s:%s:%s", fe_domain(im->c, domain), name, overload));
    tl_arena_reset(im->scratch, mark);
    return key;
}

static bool add_function(fe_import *im, const pb_function *p) {
    const char *name = pb_text(p->name);
    if (p->n_attribute_proto > MAX_FORMAL_ATTRIBUTES)
        return diag_error(&im->c->diag, im->s->loc,
                          "function '%s' has %zu attributes, the limit is "
                          "%d",
                          name, p->n_attribute_proto, MAX_FORMAL_ATTRIBUTES);
    const char *key = function_key(im, pb_text(p->domain), name, pb_text(p->overload));
    if (tl_map_get_ptr(&im->functions, key))
        return diag_error(&im->c->diag, im->s->loc, "function '%s' of domain '%s' is defined twice",
                          name, pb_text(p->domain));
    fe_function *f = TL_NEW(im->s->arena, fe_function);
    f->proto = p;
    tl_map_set_ptr(&im->functions, key, f);
    return true;
}

bool fe_collect_functions(fe_import *im) {
    bool ok = true;
    for (size_t i = 0; i < im->model->n_functions; i++)
        ok = add_function(im, im->model->functions[i]) && ok;
    return ok;
}

fe_function *fe_find_function(fe_import *im, const char *domain, const char *name,
                              const char *overload) {
    if (!im->model->n_functions) return NULL;
    return tl_map_get_ptr(&im->functions, function_key(im, domain, name, overload));
}

static bool check_call(fe_node *n, const fe_function *f) {
    const pb_function *p = f->proto;
    diag *d = &n->im->c->diag;
    if (f->active) return diag_error(d, n->loc, "function '%s' calls itself", pb_text(p->name));
    if (n->scope->depth >= IR_MAX_NESTING)
        return diag_error(d, n->loc, "nested more than %d deep", IR_MAX_NESTING);
    if (n->in.len > p->n_input)
        return diag_error(d, n->loc, "%u inputs given, function '%s' has %zu", n->in.len,
                          pb_text(p->name), p->n_input);
    if (n->n_out > p->n_output)
        return diag_error(d, n->loc, "%u outputs asked for, function '%s' has %zu", n->n_out,
                          pb_text(p->name), p->n_output);
    return true;
}

/* What inner names begin with: the name of the call, else that of its first result. */
static const char *call_prefix(const fe_node *n) {
    const char *own = n->loc->node && *n->loc->node ? n->loc->node : n->op;
    if ((!n->loc->node || !*n->loc->node) && n->n_out && *n->out_names[0]) own = n->out_names[0];
    const char *outer = n->scope->frame->prefix;
    if (!outer) return own;
    return strlen(outer) > 200 ? outer : tl_arena_printf(n->im->s->arena, "%s/%.100s", outer, own);
}

static const char *call_path(const fe_node *n, const pb_function *p) {
    if (strlen(n->scope->path) > 400) return n->scope->path;
    return tl_arena_printf(n->im->s->arena, "%s > function '%.60s'", n->scope->path,
                           pb_text(p->name));
}

static bool bind_formals(fe_node *n, const pb_function *p, fe_scope *scope) {
    for (size_t i = 0; i < p->n_input; i++) {
        ir_value *v = i < n->in.len ? n->in.data[i] : NULL;
        if (!fe_define_value(n->im, scope, n->loc, pb_text(p->input[i]), v ? v : &fe_omitted))
            return false;
    }
    for (uint32_t i = 0; i < n->n_out; i++)
        if (*n->out_names[i])
            tl_map_set_ptr(&scope->renames, ir_name(n->im->c, pb_text(p->output[i])),
                           n->out_names[i]);
    return true;
}

static bool fetch_results(fe_node *n, const pb_function *p, const fe_scope *scope) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!*n->out_names[i]) continue;
        if (!fe_find_value(n->im, scope, n->loc, pb_text(p->output[i]), &n->out[i])) return false;
        if (!n->out[i])
            return diag_error(&n->im->c->diag, n->loc, "output '%s' of function '%s' has no value",
                              pb_text(p->output[i]), pb_text(p->name));
    }
    return true;
}

bool fe_inline_function(fe_node *n, fe_function *f) {
    if (!check_call(n, f)) return false;
    fe_import *im = n->im;
    const pb_function *p = f->proto;
    fe_frame frame = {.caller = n->scope->frame,
                      .function = f,
                      .opsets = (const pb_opset *const *)p->opset_import,
                      .n_opsets = p->n_opset_import,
                      .call = n,
                      .prefix = call_prefix(n)};
    fe_scope scope;
    fe_scope_init(&scope, im, NULL, &frame, call_path(n, p));
    scope.depth = n->scope->depth + 1;
    f->active = true;
    bool ok = bind_formals(n, p, &scope) &&
              fe_import_nodes(im, &scope, n->region, p->node, p->n_node) &&
              fetch_results(n, p, &scope);
    f->active = false;
    n->done = ok;
    return ok;
}
