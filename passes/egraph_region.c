/* From a region to an e-graph and back.
 *
 * Pure nodes with one result become nodes of the e-graph; what the others give, parameters, constants and values of outer regions are
 * leaves. The others stay as they are and where they are: they read the same classes afterwards as before, in whatever form these are then.
 *
 * Writing walks the region in order. Where the graph has a class for the first time, the chosen form of it is built, with all that it
 * needs and that is not there yet. A node that is chosen itself stays, on new operands; so a region of which little changes keeps its order,
 * names and places. */
#include "passes/egraph.h"

bool egraph_takes(const ir_node *n) {
    if (!op_is(n->op, OP_PURE) || n->n_regions || n->n_out != 1) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !ir_type_is_known(ir_in(n, i)->type)) return false;
    return ir_type_is_known(n->out[0].type);
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

/* A copy on the operands' classes, in nowhere. */
static ir_node *copy_node(egraph *g, const ir_node *n) {
    ir_module *m = g->ctx->m;
    ir_value **in = TL_NEW_ARRAY(g->arena, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i)) in[i] = eclass_of_outer(g, ir_in(n, i), EGRAPH_OUTSIDE)->value;
    ir_node *copy = ir_node_create(m, n->op, in, n->n_in, 1);
    for (uint32_t i = 0; i < n->n_attrs; i++)
        ir_attr_set(m, copy, &n->attrs[i]);
    copy->out[0].type = n->out[0].type;
    copy->out[0].known = n->out[0].known;
    copy->loc = n->loc;
    ir_node_append(g->nowhere, copy);
    return copy;
}

static void read_node(egraph *g, ir_node *n, uint32_t position) {
    if (!egraph_takes(n)) {
        for (uint32_t i = 0; i < n->n_out; i++)
            eclass_of_outer(g, &n->out[i], position);
        return;
    }
    enode *e = egraph_add(g, copy_node(g, n));
    enode_set_original(e, n, position);
    *tl_map_insert(&g->numbers, (uint64_t)(uintptr_t)&n->out[0], NULL) = e->of;
}

static eclass *class_of_result(egraph *g, ir_node *n) {
    return eclass_of_outer(g, &n->out[0], EGRAPH_OUTSIDE);
}

static double constant_operands(egraph *g, const ir_node *n, tl_map *seen) {
    double sum = 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const eclass *k = ir_in(n, i) ? eclass_of_outer(g, ir_in(n, i), EGRAPH_OUTSIDE) : NULL;
        bool added = false;
        if (k && k->constant) tl_map_insert(seen, eclass_number(k), &added);
        if (added) sum += egraph_constant_cycles(k->value->type);
    }
    return sum;
}

double egraph_region_cycles(egraph *g) {
    double sum = 0;
    tl_map seen;
    tl_map_init(&seen, g->arena);
    ir_for_each_node (n, g->region) {
        if (!egraph_takes(n) || !n->out[0].uses || class_of_result(g, n)->constant) continue;
        sum += egraph_node_cycles(g->ctx->c, n) + constant_operands(g, n, &seen);
    }
    return sum;
}

static bool is_read_by_others(const egraph *g, const ir_value *v) {
    ir_for_each_use (u, v)
        if (u->user->parent != g->region || u->user->op == OP_Yield || !egraph_takes(u->user))
            return true;
    return false;
}

void egraph_read(egraph *g) {
    uint32_t position = 0;
    ir_for_each_node (n, g->region)
        read_node(g, n, ++position);
}

eclass **egraph_roots(egraph *g, uint32_t *count) {
    TL_VEC(eclass *) roots = {0};
    ir_for_each_node (n, g->region)
        if (egraph_takes(n) && is_read_by_others(g, &n->out[0]))
            tl_vec_push(g->arena, &roots, class_of_result(g, n));
    *count = roots.len;
    return roots.data;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

typedef TL_VEC(const rule *) rule_vec;

static void add_rule(egraph *g, rule_vec *v, const rule *r) {
    for (uint32_t i = 0; i < v->len; i++)
        if (v->data[i] == r) return;
    tl_vec_push(g->arena, v, r);
}

/* The rules behind a node, in an order in which they can have been applied; at most so many steps back. */
static void collect_rules(egraph *g, const enode *e, uint32_t steps, rule_vec *out) {
    if (!e->origin || !steps) return;
    for (uint32_t i = 0; i < e->origin->n; i++)
        collect_rules(g, e->origin->from[i], steps - 1, out);
    add_rule(g, out, e->origin->rule);
}

/* "f32[4] %y = MatMul(%x, @0)  by matmul_right, matmul_difference" */
static void remark_made(egraph *g, const ir_node *n, const rule_vec *rules) {
    tl_str s;
    tl_str_init(&s, g->arena);
    ir_node_print(n, &s);
    for (uint32_t i = 0; i < rules->len; i++)
        tl_str_printf(&s, "%s%s", i ? ", " : "  by ", rules->data[i]->name);
    ctx_remark(g->ctx, "%s: %s", g->region->graph->name, s.data);
}

static void report_made(egraph *g, const ir_node *n, const enode *e) {
    rule_vec rules = {0};
    collect_rules(g, e, 8, &rules);
    for (uint32_t i = 0; i < rules.len; i++)
        ctx_count(g->ctx, rules.data[i]->name, 1);
    if (ctx_explains(g->ctx)) remark_made(g, n, &rules);
}

static ir_value *write_class(egraph *g, eclass *k, ir_node *at);

/* What the graph knew of the value's size holds for its new form. */
static void keep_type(egraph *g, ir_value *v, const ir_type *known) {
    const ir_type *meet = v->type == known ? known : ir_type_meet(g->ctx->c, v->type, known);
    if (meet) v->type = meet;
}

static ir_value *write_new(egraph *g, const enode *e, ir_value *const *in, ir_node *at) {
    ir_builder b = ir_build_before(at);
    ir_node *n = build_node(&b, e->node->op, in, e->node->n_in, 1, e->node->attrs,
                            e->node->n_attrs);
    n->loc = e->node->loc;
    keep_type(g, &n->out[0], eclass_of(g, e)->value->type);
    if (e->origin && !e->original) report_made(g, n, e);
    return &n->out[0];
}

static ir_value *write_node(egraph *g, const enode *e, ir_node *at) {
    ir_value **in = TL_NEW_ARRAY(g->arena, ir_value *, e->node->n_in);
    for (uint32_t i = 0; i < e->node->n_in; i++)
        if (ir_in(e->node, i)) in[i] = write_class(g, eclass_of_value(g, ir_in(e->node, i)), at);
    if (e->original != at) return write_new(g, e, in, at);
    for (uint32_t i = 0; i < at->n_in; i++)
        if (ir_in(at, i) != in[i]) ir_node_set_operand(at, i, in[i]);
    return &at->out[0];
}

static ir_value *write_class(egraph *g, eclass *k, ir_node *at) {
    if (!k->made) k->made = k->is_leaf ? k->leaf : write_node(g, k->chosen, at);
    return k->made;
}

static void replace(egraph *g, ir_node *n, eclass *k) {
    const ir_node *before = n->prev;
    ir_value *v = write_class(g, k, n);
    if (v == &n->out[0]) return;
    if (n->prev == before && k->merged_by) ctx_count(g->ctx, k->merged_by->name, 1);
    pass_replace(g->ctx, &n->out[0], v);
    ir_node_remove(n);
}

static void remove_unused(ir_region *r) {
    for (ir_node *n = r->last, *next; n; n = next) {
        next = n->prev;
        if (egraph_takes(n) && !n->out[0].uses) ir_node_remove(n);
    }
}

void egraph_write(egraph *g) {
    ir_for_each_node_safe (n, g->region) {
        eclass *k = egraph_takes(n) ? class_of_result(g, n) : NULL;
        if (k && k->references) replace(g, n, k);
    }
    remove_unused(g->region);
}
