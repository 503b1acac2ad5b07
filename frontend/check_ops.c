/* Before anything is built: all operators of the file that the compiler does not know, in one report.
 * Walks the graph, its subgraphs, and the functions that are called, each function once. */
#include "frontend/fe.h"

/* One operator that is not known, however often it occurs. */
typedef struct missing_op {
    const char *domain, *op;
    const pb_node *first;
    const char *why;
    int opset;
    uint32_t count;
} missing_op;

typedef struct op_check {
    fe_import *im;
    tl_map seen; /* interned "domain:op:opset" -> index into missing + 1, or KNOWN */
    TL_VEC(missing_op) missing;
    unsigned depth; /* of calls and subgraphs */
} op_check;

enum { KNOWN = UINT32_MAX };

static void check_nodes(op_check *k, const fe_frame *f, pb_node *const *nodes, size_t n);

/* NULL: known. Otherwise what is wrong. */
static const char *why_unknown(op_check *k, const char *domain, const char *op, int opset) {
    fe_import *im = k->im;
    const ir_schema *newest = ir_schema_find_latest(domain, op);
    bool ours = fe_op_id(im, domain, op) != OP_None || fe_replaces(domain, op);
    if (!opset) return "its domain is not among the model's opset imports";
    if (newest && !ir_schema_find(domain, op, opset)) return "it came with a later opset";
    if (ours) return NULL;
    return newest ? "it is not supported yet" : "it is not an ONNX operator";
}

static uint32_t look_up(op_check *k, const pb_node *p, const char *domain, int opset) {
    const char *op = pb_text(p->op_type);
    tl_arena_mark mark = tl_arena_get_mark(k->im->scratch);
    const char *key = ir_name(k->im->c,
                              tl_arena_printf(k->im->scratch, "%s:%s:%d", domain, op, opset));
    tl_arena_reset(k->im->scratch, mark);
    bool added;
    uint64_t *slot = tl_map_insert(&k->seen, (uint64_t)(uintptr_t)key, &added);
    if (!added) return (uint32_t)*slot;
    *slot = KNOWN;
    const char *why = why_unknown(k, domain, op, opset);
    if (!why) return KNOWN;
    tl_vec_push(k->im->scratch, &k->missing, (missing_op){domain, op, p, why, opset, 0});
    *slot = k->missing.len;
    return k->missing.len;
}

static void check_function(op_check *k, fe_function *fn) {
    if (fn->checked) return;
    fn->checked = true;
    const pb_function *p = fn->proto;
    fe_frame f = {.function = fn,
                  .opsets = (const pb_opset *const *)p->opset_import,
                  .n_opsets = p->n_opset_import};
    check_nodes(k, &f, p->node, p->n_node);
}

static void check_node(op_check *k, const fe_frame *f, const pb_node *p) {
    const char *domain = fe_domain(k->im->c, pb_text(p->domain));
    fe_function *fn = fe_find_function(k->im, domain, pb_text(p->op_type), pb_text(p->overload));
    if (fn) {
        check_function(k, fn);
    } else {
        uint32_t at = look_up(k, p, domain, fe_opset(k->im, f, domain));
        if (at != KNOWN) k->missing.data[at - 1].count++;
    }
    for (size_t i = 0; i < p->n_attribute; i++)
        if (p->attribute[i]->g)
            check_nodes(k, f, p->attribute[i]->g->node, p->attribute[i]->g->n_node);
}

/* What is nested too deeply to be imported is not looked at; the importer will say so. */
static void check_nodes(op_check *k, const fe_frame *f, pb_node *const *nodes, size_t n) {
    if (k->depth > IR_MAX_NESTING) return;
    k->depth++;
    k->im->n_file_nodes += n;
    for (size_t i = 0; i < n; i++)
        check_node(k, f, nodes[i]);
    k->depth--;
}

static void report(op_check *k, const missing_op *m) {
    const char *name = pb_text(m->first->name);
    if (!*name && m->first->n_output) name = pb_text(m->first->output[0]);
    diag_error(&k->im->c->diag, k->im->s->loc,
               "operator '%s' of domain '%s', opset %d: %s (%u node%s, the first is '%s')", m->op,
               *m->domain ? m->domain : "ai.onnx", m->opset, m->why, m->count,
               m->count == 1 ? "" : "s", name);
}

bool fe_check_ops(fe_import *im) {
    op_check k = {.im = im};
    tl_map_init(&k.seen, im->scratch);
    fe_frame model = {.opsets = (const pb_opset *const *)im->model->opset_import,
                      .n_opsets = im->model->n_opset_import};
    check_nodes(&k, &model, im->model->graph->node, im->model->graph->n_node);
    for (uint32_t i = 0; i < k.missing.len; i++)
        report(&k, &k.missing.data[i]);
    return k.missing.len == 0;
}
