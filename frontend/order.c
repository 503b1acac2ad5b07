/* Topological order of the nodes of one graph.
 *
 * ONNX asks files to be in order, and nearly all are: then one walk over all names settles it. Other
 * files are sorted, every node right behind the last one it needs; a cycle is reported by its nodes.
 * What the subgraphs of a node read from outside counts as operands of the node. */
#include "frontend/fe.h"

/* Names an inner graph defines itself, on the way down to the names it captures. */
typedef struct inner_names {
    const struct inner_names *outer;
    tl_map defined;
} inner_names;

typedef struct edge {
    uint32_t from, to; /* node `to` reads a result of node `from` */
} edge;

typedef struct sorter {
    fe_import *im;
    pb_node *const *nodes;
    uint32_t n;
    tl_map producer; /* interned name -> node index + 1 */
    TL_VEC(edge) edges;
    bool unordered;
    uint32_t current;
} sorter;

static void visit_node(sorter *s, const inner_names *inner, const pb_node *p);

static bool is_inner(const inner_names *inner, const char *name) {
    for (; inner; inner = inner->outer)
        if (tl_map_get_ptr(&inner->defined, name)) return true;
    return false;
}

static void visit_name(sorter *s, const inner_names *inner, const char *text) {
    if (!text || !*text) return;
    const char *name = ir_name(s->im->c, text);
    if (is_inner(inner, name)) return;
    uint32_t from = (uint32_t)(uintptr_t)tl_map_get_ptr(&s->producer, name);
    if (!from) return;
    if (from - 1 >= s->current) s->unordered = true;
    tl_vec_push(s->im->scratch, &s->edges, (edge){from - 1, s->current});
}

static void define_inner(sorter *s, inner_names *inner, const char *text) {
    if (text && *text) tl_map_set_ptr(&inner->defined, ir_name(s->im->c, text), s);
}

static void visit_graph(sorter *s, const inner_names *outer, const pb_graph *g) {
    inner_names inner = {.outer = outer};
    tl_map_init(&inner.defined, s->im->scratch);
    for (size_t i = 0; i < g->n_input; i++)
        define_inner(s, &inner, g->input[i]->name);
    for (size_t i = 0; i < g->n_initializer; i++)
        define_inner(s, &inner, g->initializer[i]->name);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            define_inner(s, &inner, g->node[i]->output[k]);
    for (size_t i = 0; i < g->n_node; i++)
        visit_node(s, &inner, g->node[i]);
    for (size_t i = 0; i < g->n_output; i++)
        visit_name(s, &inner, g->output[i]->name);
}

static void visit_node(sorter *s, const inner_names *inner, const pb_node *p) {
    for (size_t i = 0; i < p->n_input; i++)
        visit_name(s, inner, p->input[i]);
    for (size_t i = 0; i < p->n_attribute; i++)
        if (p->attribute[i]->g) visit_graph(s, inner, p->attribute[i]->g);
}

static void map_producers(sorter *s) {
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->nodes[i]->n_output; k++) {
            const char *text = s->nodes[i]->output[k];
            if (text && *text)
                tl_map_set_ptr(&s->producer, ir_name(s->im->c, text), (void *)(uintptr_t)(i + 1));
        }
}

static void collect_edges(sorter *s) {
    for (s->current = 0; s->current < s->n; s->current++)
        visit_node(s, NULL, s->nodes[s->current]);
}

/* ---- sorting: depth-first over predecessors, with a stack of its own -------------------------- */

enum { NEW, OPEN, DONE };

typedef struct walk {
    sorter *s;
    uint32_t *first, *preds; /* predecessors of node i: preds[first[i] .. first[i + 1]) */
    uint32_t *next;          /* which of them comes next */
    uint8_t *state;
    uint32_t *stack, n_stack;
    uint32_t *order, n_order;
} walk;

static void group_edges(walk *w) {
    sorter *s = w->s;
    w->first = TL_NEW_ARRAY(s->im->scratch, uint32_t, (size_t)s->n + 2);
    w->preds = TL_NEW_ARRAY(s->im->scratch, uint32_t, s->edges.len);
    for (uint32_t i = 0; i < s->edges.len; i++)
        w->first[s->edges.data[i].to + 2]++;
    for (uint32_t i = 2; i < s->n + 2; i++)
        w->first[i] += w->first[i - 1];
    for (uint32_t i = 0; i < s->edges.len; i++)
        w->preds[w->first[s->edges.data[i].to + 1]++] = s->edges.data[i].from;
}

static const char *node_name(const pb_node *p) {
    if (p->name && *p->name) return p->name;
    return p->n_output ? pb_text(p->output[0]) : "";
}

static bool report_cycle(const walk *w, const fe_scope *scope, uint32_t back_to) {
    uint32_t start = 0;
    while (w->stack[start] != back_to)
        start++;
    fe_import *im = w->s->im;
    ir_loc *loc = TL_NEW(im->s->arena, ir_loc);
    *loc = (ir_loc){.file = im->s->path, .path = scope->path};
    uint32_t length = w->n_stack - start;
    if (length == 1)
        diag_error(&im->c->diag, loc, "a node needs its own result");
    else
        diag_error(&im->c->diag, loc, "%u nodes need each other's results", length);
    for (uint32_t i = start; i < w->n_stack && i < start + 5; i++) {
        const pb_node *p = w->s->nodes[w->stack[i]];
        diag_note(&im->c->diag, loc, "node '%s' (%s)", node_name(p), pb_text(p->op_type));
    }
    return false;
}

static bool walk_from(walk *w, const fe_scope *scope, uint32_t root) {
    if (w->state[root] != NEW) return true;
    w->state[root] = OPEN;
    w->stack[w->n_stack++] = root;
    while (w->n_stack) {
        uint32_t i = w->stack[w->n_stack - 1];
        if (w->next[i] == w->first[i + 1]) {
            w->state[i] = DONE;
            w->order[w->n_order++] = i;
            w->n_stack--;
            continue;
        }
        uint32_t pred = w->preds[w->next[i]++];
        if (w->state[pred] == OPEN) return report_cycle(w, scope, pred);
        if (w->state[pred] == DONE) continue;
        w->state[pred] = OPEN;
        w->stack[w->n_stack++] = pred;
    }
    return true;
}

static bool sort_nodes(sorter *s, const fe_scope *scope, const uint32_t **order) {
    tl_arena *a = s->im->scratch;
    walk w = {.s = s};
    group_edges(&w);
    w.next = TL_NEW_ARRAY(a, uint32_t, (size_t)s->n + 1);
    memcpy(w.next, w.first, ((size_t)s->n + 1) * sizeof *w.next);
    w.state = TL_NEW_ARRAY(a, uint8_t, s->n);
    w.stack = TL_NEW_ARRAY(a, uint32_t, s->n);
    w.order = TL_NEW_ARRAY(a, uint32_t, s->n);
    for (uint32_t i = 0; i < s->n; i++)
        if (!walk_from(&w, scope, i)) return false;
    *order = w.order;
    return true;
}

bool fe_find_order(fe_import *im, const fe_scope *scope, pb_node *const *nodes, size_t n,
                   const uint32_t **order) {
    *order = NULL;
    sorter s = {.im = im, .nodes = nodes, .n = (uint32_t)n};
    tl_map_init(&s.producer, im->scratch);
    map_producers(&s);
    collect_edges(&s);
    return !s.unordered || sort_nodes(&s, scope, order);
}
