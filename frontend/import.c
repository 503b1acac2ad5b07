/* The model: what it says about itself, then its functions and its graph. */
#include "frontend/fe.h"

#include "frontend/sha256.h"

enum {
    NEWEST_IR_VERSION = 13,
    MAX_OPSET_IMPORTS = 1000, /* looked up one after the other */
};

/* ---- opsets ----------------------------------------------------------------------------------- */

const char *fe_domain(ir_ctx *c, const char *domain) {
    return ir_name(c, strcmp(domain, "ai.onnx") == 0 ? "" : domain);
}

static bool is_domain(const char *text, const char *domain) {
    if (strcmp(text, "ai.onnx") == 0) text = "";
    return strcmp(text, domain) == 0;
}

/* Newer ones than the tables know have been refused, as far as the tables know the domain. */
static int known_opset(int64_t version) {
    return version > 0 && version < INT32_MAX ? (int)version : 0;
}

int fe_opset(const fe_import *im, const fe_frame *f, const char *domain) {
    for (size_t i = 0; i < f->n_opsets; i++)
        if (is_domain(pb_text(f->opsets[i]->domain), domain))
            return known_opset(f->opsets[i]->version);
    if (f->function) { /* the function leaves it out: what the model says */
        const pb_model *m = im->model;
        for (size_t i = 0; i < m->n_opset_import; i++)
            if (is_domain(pb_text(m->opset_import[i]->domain), domain))
                return known_opset(m->opset_import[i]->version);
    }
    return im->ir_version < 3 && !*domain ? 1 : 0; /* before IR 3 there were no imports */
}

static bool check_opsets(fe_import *im, pb_opset *const *opsets, size_t n) {
    if (n > MAX_OPSET_IMPORTS)
        return diag_error(&im->c->diag, im->s->loc, "%zu opset imports, the limit is %d", n,
                          MAX_OPSET_IMPORTS);
    for (size_t i = 0; i < n; i++) {
        const char *domain = fe_domain(im->c, pb_text(opsets[i]->domain));
        int newest = ir_schema_find_opset(domain);
        if (opsets[i]->version < 1)
            return diag_error(&im->c->diag, im->s->loc, "opset %lld of domain '%s'",
                              (long long)opsets[i]->version, *domain ? domain : "ai.onnx");
        if (newest && opsets[i]->version > newest)
            return diag_error(
                &im->c->diag, im->s->loc,
                "opset %lld of domain '%s' is newer than the newest that is known, %d",
                (long long)opsets[i]->version, *domain ? domain : "ai.onnx", newest);
    }
    return true;
}

static bool check_model(fe_import *im) {
    const pb_model *m = im->model;
    diag *d = &im->c->diag;
    if (!m->graph) return diag_error(d, im->s->loc, "not an ONNX model: there is no graph in it");
    im->ir_version = m->has_ir_version ? m->ir_version : NEWEST_IR_VERSION;
    if (im->ir_version > NEWEST_IR_VERSION)
        diag_warning(d, im->s->loc, "format version %lld is newer than tlbc knows (%d)",
                     (long long)im->ir_version, NEWEST_IR_VERSION);
    if (!check_opsets(im, m->opset_import, m->n_opset_import)) return false;
    for (size_t i = 0; i < m->n_functions; i++)
        if (!check_opsets(im, m->functions[i]->opset_import, m->functions[i]->n_opset_import))
            return false;
    return true;
}

/* ---- names ------------------------------------------------------------------------------------ */

/* Value names are unique in the whole module, though ONNX lets sibling subgraphs share them. */
static const char *unique(fe_import *im, tl_map *taken, const char *base) {
    bool added;
    uint64_t *next = tl_map_insert(taken, (uint64_t)(uintptr_t)ir_name(im->c, base), &added);
    if (added) return ir_name(im->c, base);
    for (uint64_t k = *next;;) {
        const char *name = ir_name(
            im->c, tl_arena_printf(im->s->arena, "%s.%llu", base, (unsigned long long)++k));
        tl_map_insert(taken, (uint64_t)(uintptr_t)name, &added);
        if (!added) continue;
        *tl_map_insert(taken, (uint64_t)(uintptr_t)ir_name(im->c, base), NULL) = k;
        return name;
    }
}

/* The caller's name for a function's result; the call's name in front of its other values. */
static const char *full_name(fe_import *im, const fe_scope *scope, const char *name) {
    const char *rename = tl_map_get_ptr(&scope->renames, ir_name(im->c, name));
    if (rename) return full_name(im, scope->frame->call->scope, rename);
    if (!scope->frame->prefix) return name;
    return tl_arena_printf(im->s->arena, "%s/%.200s", scope->frame->prefix, name);
}

const char *fe_unique_name(fe_import *im, const fe_scope *scope, const char *name) {
    return *name ? unique(im, &im->names, full_name(im, scope, name)) : NULL;
}

const char *fe_derived_name(fe_import *im, const fe_scope *scope, const char *name,
                            const char *suffix) {
    const char *base = full_name(im, scope, name);
    return unique(im, &im->names, tl_arena_printf(im->s->arena, "%.1000s.%s", base, suffix));
}

const char *fe_unique_const_name(fe_import *im, const char *name) {
    return *name ? unique(im, &im->const_names, name) : NULL;
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* Names of constants that are there already are taken. */
static void take_const_names(fe_import *im) {
    for (const ir_const *k = im->m->consts; k; k = k->next)
        if (k->value.name) unique(im, &im->const_names, k->value.name);
}

static void import_init(fe_import *im, fe_source *s, const fe_options *o, fe_message *msg,
                        ir_module *into) {
    static const fe_options defaults;
    *im = (fe_import){.c = s->c, .s = s, .o = o ? o : &defaults, .scratch = &msg->scratch};
    im->model = (const pb_model *)msg->root;
    im->m = into ? into : ir_module_create(s->c, s->arena);
    im->pin_used = TL_NEW_ARRAY(s->arena, bool, im->o->n_pins);
    tl_map *maps[] = {&im->functions, &im->bound,       &im->hints,
                      &im->names,     &im->const_names, &im->op_ids};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        tl_map_init(maps[i], s->arena);
    take_const_names(im);
}

/* Functions that call each other twice, forty deep, are a small file and 2^40 nodes: inlining may not
 * make more of a file than a multiple of what is written there. */
static uint64_t node_limit(const fe_import *im) {
    enum { FREE_NODES = 1 << 20, PER_NODE = 64 };
    if (im->o->max_nodes) return im->o->max_nodes;
    uint64_t limit = FREE_NODES + PER_NODE * im->n_file_nodes;
    return limit < IR_MAX_NODES ? limit : IR_MAX_NODES;
}

static bool import_model(fe_import *im, const char *name) {
    fe_frame frame = {.opsets = (const pb_opset *const *)im->model->opset_import,
                      .n_opsets = im->model->n_opset_import};
    if (!check_model(im) || !fe_collect_functions(im) || !fe_check_ops(im)) return false;
    im->max_nodes = node_limit(im);
    return fe_import_entry(im, &frame, name);
}

static void describe(fe_import *im) {
    const pb_model *m = im->model;
    if (m->producer_name && *m->producer_name)
        im->m->producer = tl_arena_printf(im->s->arena, "%s%s%s", m->producer_name,
                                          *pb_text(m->producer_version) ? " " : "",
                                          pb_text(m->producer_version));
    fe_sha256(im->s->bytes.data, im->s->bytes.size, im->m->sha256);
}

/* into, name: another graph of this module, under this name; NULL: a module of its own, the name that the file says. */
static ir_module *import_source(fe_source *s, const fe_options *o, ir_module *into,
                                const char *name) {
    fe_message *msg = fe_message_decode(s, &onnx__model_proto__descriptor);
    if (!msg) return NULL;
    fe_import im;
    import_init(&im, s, o, msg, into);
    bool ok = import_model(&im, name);
    if (ok && !into) describe(&im);
    fe_message_release(msg);
    return ok ? im.m : NULL;
}

ir_module *fe_import_file(ir_ctx *c, tl_arena *a, const char *path, const fe_options *o) {
    fe_source s;
    return fe_source_open(&s, c, a, path) ? import_source(&s, o, NULL, NULL) : NULL;
}

bool fe_import_another(ir_module *m, const char *path, const char *name, const fe_options *o) {
    fe_source s;
    return fe_source_open(&s, m->ctx, m->arena, path) && import_source(&s, o, m, name);
}

ir_module *fe_import_buffer(ir_ctx *c, tl_arena *a, const char *name, const void *data, size_t size,
                            const fe_options *o) {
    fe_source s;
    fe_source_init_buffer(&s, c, a, name, (fe_bytes){data, size});
    return import_source(&s, o, NULL, NULL);
}
