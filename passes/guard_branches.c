/* guard_branches: of an If whose condition only the run knows, one branch cannot run.
 *
 *   before: %y = If(%c) {then() {%p ...} else() {LSTM of an operand of rank 5 ...}}
 *   after:  the nodes of `then`, and %y = Guard(%p, %c): the run fails where %c does not hold
 *
 * Exporters write such branches for other ranks and sizes than the model is used with. There are two kinds:
 *   inside     the branch's own nodes do not fit together. A warning names the first thing that does not.
 *   behind     the branches give results of different rank, and with one of them the rest of the graph does not fit together:
 *              the branch is put in the If's place.
 * Both are tried on copies of the module, for at most MAX_TRIALS Ifs a run. Running the branch that is left beforehand is harmless:
 * nodes are pure. */
#include "passes/util.h"

#include "ir/base/assert.h"

enum { MAX_TRIALS = 16 };

typedef struct guarder {
    pass_ctx *ctx;
    ir_graph *g;
    uint32_t n_ifs, n_trials; /* n_ifs: met so far, in the order of the walk */
} guarder;

static bool is_undecided(const ir_node *n) {
    int64_t condition;
    return n->op == OP_If && !ir_value_const_i64(ir_in(n, 0), &condition);
}

/* All results are tensors, whose use can be guarded. */
static bool gives_tensors(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!ir_type_is_tensor(n->out[i].type)) return false;
    return n->n_out > 0;
}

/* ---- does it fit together? ------------------------------------------------------------------------------------------- */

/* The first complaint about a region, NULL where there is none; nothing is reported. */
static const char *find_fault(pass_ctx *ctx, ir_region *r) {
    diag saved = ctx->c->diag;
    const char *fault = NULL;
    ir_for_each_node (n, r)
        if (!fault && !ir_infer_node(ctx->c, n))
            fault = saved.n < ctx->c->diag.n ? ctx->c->diag.entries[saved.n].text
                                             : "no reason given";
    fault = fault ? tl_arena_strndup(&ctx->c->arena, fault, strlen(fault)) : NULL;
    ctx->c->diag = saved;
    return fault;
}

/* The If with this number in the order of the walk. */
static ir_node *find_if(ir_region *r, uint32_t *left) {
    ir_for_each_node (n, r) {
        if (n->op == OP_If && (*left)-- == 0) return n;
        for (uint32_t i = 0; i < n->n_regions; i++) {
            ir_node *found = find_if(n->regions[i], left);
            if (found) return found;
        }
    }
    return NULL;
}

/* The copy of the graph at hand. */
static ir_graph *copied_graph(const guarder *s, const ir_module *copy) {
    ir_graph *to = copy->graphs;
    for (const ir_graph *g = s->ctx->m->graphs; g != s->g; g = g->next)
        to = to->next;
    return to;
}

/* The same If in a copy of the module: inference leaves its traces there. */
static ir_node *copy_if(guarder *s, const ir_node *n, ir_graph **graph) {
    uint32_t left = s->n_ifs - 1;
    ir_graph *g = copied_graph(s, ir_module_clone(s->ctx->m, s->ctx->scratch));
    ir_node *copy = find_if(g->body, &left);
    TL_ASSERT(copy && copy->n_out == n->n_out);
    if (graph) *graph = g;
    return copy;
}

/* ---- inside -------------------------------------------------------------------------------------------------------------- */

static ir_value *condition_for(ir_builder *b, const ir_node *n, const ir_region *kept) {
    ir_value *c = ir_in(n, 0);
    return kept == ir_node_find_region(n, "then_branch") ? c : build_op1(b, OP_Not, c);
}

/* The kept branch takes the If's place. */
static void keep_branch(ir_module *m, ir_node *n, const ir_region *kept, ir_value **results) {
    ir_builder b = ir_build_before(n);
    ir_value *condition = condition_for(&b, n, kept);
    ir_region_inline(m, kept, NULL, n->parent, n, NULL, results);
    for (uint32_t i = 0; i < n->n_out; i++)
        results[i] = build_op2(&b, OP_Guard, results[i], condition);
}

static bool guard(guarder *s, ir_node *n, const ir_region *kept, const char *name) {
    pass_ctx *ctx = s->ctx;
    if (!ctx_take(ctx, name)) return false;
    ir_value **results = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_out);
    keep_branch(ctx->m, n, kept, results);
    for (uint32_t i = 0; i < n->n_out; i++)
        pass_replace(ctx, &n->out[i], results[i]);
    ir_node_remove(n);
    return true;
}

static bool guard_inside(guarder *s, ir_node *n, ir_region *a, ir_region *b) {
    const ir_node *copy = copy_if(s, n, NULL);
    const char *fault_a = find_fault(s->ctx, ir_node_find_region(copy, a->name)),
               *fault_b = find_fault(s->ctx, ir_node_find_region(copy, b->name));
    if (!fault_a == !fault_b) return false;
    diag_warning(&s->ctx->c->diag, n->loc, "'%s' cannot run and is left out: %s",
                 fault_a ? a->name : b->name, fault_a ? fault_a : fault_b);
    return guard(s, n, fault_a ? b : a, "inside");
}

/* ---- behind -------------------------------------------------------------------------------------------------------------- */

static bool ranks_differ(const ir_node *n, const ir_region *a, const ir_region *b) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_type *x = ir_region_result(a, i)->type, *y = ir_region_result(b, i)->type;
        if (ir_type_is_ranked(x) && ir_type_is_ranked(y) && x->rank != y->rank) return true;
    }
    return false;
}

/* What becomes of the graph with one branch of the If in its place. */
static bool fits_with(guarder *s, const ir_node *n, const char *branch) {
    pass_ctx *ctx = s->ctx;
    ir_graph *g;
    ir_node *copy = copy_if(s, n, &g);
    ir_region *place = copy->parent; /* perhaps a branch, whose faults are none of the graph */
    ir_value **results = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_out);
    ir_region_inline(g->module, ir_node_find_region(copy, branch), NULL, place, copy, NULL,
                     results);
    for (uint32_t i = 0; i < n->n_out; i++)
        ir_value_replace_uses(&copy->out[i], results[i]);
    ir_node_remove(copy);
    return !find_fault(ctx, place) && !find_fault(ctx, g->body);
}

static bool guard_behind(guarder *s, ir_node *n, ir_region *a, ir_region *b) {
    if (!ranks_differ(n, a, b)) return false;
    bool with_a = fits_with(s, n, a->name), with_b = fits_with(s, n, b->name);
    return with_a != with_b && guard(s, n, with_a ? a : b, "behind");
}

/* ---- walk ------------------------------------------------------------------------------------------------------------------ */

static bool guard_node(guarder *s, ir_node *n) {
    s->n_ifs += n->op == OP_If;
    if (!is_undecided(n) || !gives_tensors(n) || s->n_trials++ >= MAX_TRIALS) return false;
    ir_region *a = ir_node_find_region(n, "then_branch"),
              *b = ir_node_find_region(n, "else_branch");
    return guard_inside(s, n, a, b) || guard_behind(s, n, a, b);
}

/* The first one only: types behind it become known, and with them which other branches can run. */
static bool guard_first(guarder *s, ir_region *r) {
    ir_for_each_node (n, r) {
        if (guard_node(s, n)) return true;
        for (uint32_t i = 0; i < n->n_regions; i++)
            if (guard_first(s, n->regions[i])) return true;
    }
    return false;
}

pass_result pass_guard_branches(pass_ctx *ctx, ir_graph *g) {
    guarder s = {.ctx = ctx, .g = g};
    return guard_first(&s, g->body) ? PASS_CHANGED : PASS_SAME;
}
