/* What an e-graph knows about its classes: the analysis of its nodes.
 *
 *   make     a node whose operands are all constant is: what is little work is computed at once, and then stands for itself as a constant
 *            with content, which rules can look at (is it 1?); products of large matrices are only marked. They are computed if they are chosen
 *   join     the class of both is constant if one of them is
 *   modify   a class whose content is known has a leaf: the constant of the module
 *
 * Types are facts as well, but do not change: classes of different types are never merged. */
#include "ir/eval.h"
#include "passes/egraph.h"

/* Estimated cycles of what is computed at once. */
static const double max_cycles_at_once = 1 << 12;

static bool all_constant(egraph *g, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !eclass_of_value(g, ir_in(n, i))->constant) return false;
    return true;
}

static bool all_known(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !ir_in(n, i)->tensor) return false;
    return true;
}

/* What fold_constants would take as well. */
static bool can_fold(const ir_node *n) {
    return n->op != OP_Dims && ir_type_is_static(n->out[0].type) && fold_fits(n) &&
           ir_eval_knows(n->op);
}

static void compute(egraph *g, const enode *e) {
    ir_datum out = {0};
    if (!ir_eval_can_fold(e->node) || !fold_evaluate(g->ctx, e->node, &out)) return;
    ir_value *v = ir_module_const(g->ctx->m, out.tensor, NULL);
    egraph_merge(g, eclass_of_outer(g, v, EGRAPH_OUTSIDE), eclass_of(g, e));
}

bool egraph_learn(egraph *g, enode *e) {
    eclass *k = eclass_of(g, e);
    if (k->value->tensor || !all_constant(g, e->node) || !can_fold(e->node)) return false;
    bool news = !k->constant;
    k->constant = true;
    if (all_known(e->node) && egraph_node_cycles(g->ctx->c, e->node) <= max_cycles_at_once)
        compute(g, e);
    return news;
}

void egraph_join(eclass *into, const eclass *from) {
    into->constant = into->constant || from->constant;
    if (!into->value->tensor) into->value->tensor = from->value->tensor;
    if (!into->value->known) into->value->known = from->value->known;
}
