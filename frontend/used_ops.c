/* The operators that a file names, without importing it: of the graph, its subgraphs and the functions the file brings along, before
 * anything is upgraded. */
#include "frontend/fe.h"

typedef struct used_ops {
    ir_ctx *c;
    tl_arena *arena;
    tl_map seen; /* interned "domain:op" -> 1 */
    fe_op_fn *found;
    void *data;
    unsigned depth; /* of subgraphs */
} used_ops;

static void add_op(used_ops *u, const pb_node *p) {
    const char *domain = fe_domain(u->c, pb_text(p->domain)), *op = pb_text(p->op_type);
    const char *key = ir_name(u->c, tl_arena_printf(u->arena, "%s:%s", domain, op));
    bool added;
    tl_map_insert(&u->seen, (uint64_t)(uintptr_t)key, &added);
    if (added) u->found(u->data, domain, op);
}

/* What is nested too deeply to be imported is not looked at. */
static void add_nodes(used_ops *u, pb_node *const *nodes, size_t n) {
    if (u->depth > IR_MAX_NESTING) return;
    u->depth++;
    for (size_t i = 0; i < n; i++) {
        add_op(u, nodes[i]);
        for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
            const pb_graph *g = nodes[i]->attribute[k]->g;
            if (g) add_nodes(u, g->node, g->n_node);
        }
    }
    u->depth--;
}

bool fe_each_op(ir_ctx *c, tl_arena *a, const char *path, fe_op_fn *found, void *data) {
    fe_source s;
    if (!fe_source_open(&s, c, a, path)) return false;
    fe_message *msg = fe_message_decode(&s, &onnx__model_proto__descriptor);
    if (!msg) return false;
    const pb_model *model = (const pb_model *)msg->root;
    used_ops u = {.c = c, .arena = a, .found = found, .data = data};
    tl_map_init(&u.seen, a);
    if (model->graph) add_nodes(&u, model->graph->node, model->graph->n_node);
    for (size_t i = 0; i < model->n_functions; i++)
        add_nodes(&u, model->functions[i]->node, model->functions[i]->n_node);
    fe_message_release(msg);
    return true;
}
