/* Node by node: the inner values of the graph become outputs of a copy that is compiled on its own, and the evaluator computes each
 * node again from the operands that compiled code had. So rounding does not add up, and the first node that is reported is the one at
 * fault. What the rounds of a Recur compute are stacked outputs of it (passes/expose_rounds.c), compared round by round; other loops and
 * branches are judged as a whole, by what they return.
 *
 * Not compared: sequences, values of unknown size, values that no operator reads (of shapes that are known at compile time). */
#include "cli/verify.h"

#include "codegen/cg.h"
#include "codegen/lower.h"
#include "ir/base/assert.h"
#include "passes/recur.h"

#include <string.h>

struct verify_nodes {
    ir_module *m;   /* the copy */
    tl_map outputs; /* value of m -> 1 + number of its output */
    tl_map symbols; /* interned names that inputs define */
    tl_map rounds;  /* value of a Recur's body -> the output of that Recur that it is stacked in */
    const tlbc_model *model;
    tlbc_session *session;
};

/* ---- which values --------------------------------------------------------------------------------------------- */

static void collect_symbols(struct verify_nodes *k, const ir_region *body) {
    for (uint32_t i = 0; i < body->n_params; i++) {
        const ir_type *t = body->params[i]->type;
        for (int32_t d = 0; d < t->rank; d++)
            if (ir_dim_is_symbol(t->dims[d]))
                tl_map_set_ptr(&k->symbols, ir_dim_symbol_name(t->dims[d]), k);
    }
}

typedef struct symbol_check {
    const tl_map *symbols;
    bool known;
} symbol_check;

static void check_symbol(void *data, const char *name) {
    symbol_check *s = data;
    s->known &= tl_map_get_ptr(s->symbols, name) != NULL;
}

/* The sizes can be told before the run, as those of an output must. */
static bool can_be_output(const struct verify_nodes *k, const ir_type *t) {
    symbol_check s = {&k->symbols, true};
    if (!t || !ir_type_is_known(t) || t->rank > TLBC_MAX_RANK || t->dtype == DT_str ||
        ir_dtype_bits(t->dtype) < 8)
        return false;
    for (int32_t d = 0; d < t->rank; d++)
        ir_dim_each_symbol(t->dims[d], check_symbol, &s);
    return s.known;
}

static bool is_read(const ir_value *v) {
    if (v->def->op == OP_Recur) return true; /* a round's value that is looked at */
    ir_for_each_use (u, v)
        if (cg_reads_data(u->user, (uint32_t)(u - u->user->in))) return true;
    return false;
}

static void expose_values(cli *c, struct verify_nodes *k) {
    ir_graph *g = k->m->graphs;
    for (uint32_t i = 0; i < ir_region_n_results(g->body); i++)
        *tl_map_insert(&k->outputs, (uint64_t)(uintptr_t)ir_region_result(g->body, i), NULL) = i +
                                                                                               1;
    ir_for_each_node (n, g->body) {
        for (uint32_t i = 0; i < n->n_out; i++) {
            ir_value *v = &n->out[i];
            if (tl_map_get_ptr(&k->outputs, v) || !can_be_output(k, v->type) || !is_read(v))
                continue;
            uint32_t number = ir_region_n_results(g->body);
            ir_graph_add_output(
                g, ir_name(&c->ctx, tl_arena_printf(c->arena, "inner value %u", number)), v);
            *tl_map_insert(&k->outputs, (uint64_t)(uintptr_t)v, NULL) = number + 1;
        }
    }
}

/* Which output of the Recur each value of its body is stacked in. */
static void find_rounds(struct verify_nodes *k) {
    ir_for_each_node (n, k->m->graphs->body) {
        if (n->op != OP_Recur) continue;
        for (uint32_t i = (uint32_t)ir_attr_int(n, "carries", 0); i < n->n_out; i++)
            tl_map_set_ptr(&k->rounds, ir_region_result(n->regions[0], i), &n->out[i]);
    }
}

/* ---- building ------------------------------------------------------------------------------------------------- */

const tlbc_model *verify_build(verify_job *j, ir_module *m, const char *name) {
    cli *c = j->c;
    cg_options *o = TL_NEW(c->arena, cg_options);
    cg_target *target = TL_NEW(c->arena, cg_target);
    *o = (cg_options){.name = name, .targets = target, .n_targets = 1, .watch = CG_WATCHED};
    if (!cg_target_find(&c->ctx, j->cpu ? j->cpu : "native", target)) return NULL;
    cg_model *model = cg_lower(m, o);
    return model ? cg_load_model(model) : NULL;
}

bool verify_nodes_prepare(verify_job *j) {
    cli *c = j->c;
    struct verify_nodes *k = j->nodes = TL_NEW(c->arena, struct verify_nodes);
    *k = (struct verify_nodes){.m = ir_module_clone(j->optimised, c->arena)};
    tl_map_init(&k->outputs, c->arena);
    tl_map_init(&k->symbols, c->arena);
    tl_map_init(&k->rounds, c->arena);
    if (!pass_run(k->m, "expose_rounds", &(pass_options){0})) return false;
    collect_symbols(k, k->m->graphs->body);
    expose_values(c, k);
    find_rounds(k);
    k->model = verify_build(j, k->m, "nodes");
    return k->model && model_session(c, k->model, j->threads, &k->session);
}

void verify_nodes_release(verify_job *j) {
    if (j->nodes) tlbc_session_free(j->nodes->session);
}

/* ---- one run -------------------------------------------------------------------------------------------------- */

typedef struct node_run {
    verify_job *j;
    const model_tensors *t;
    int64_t run;
    uint32_t nodes, compared;
    tl_map turns; /* value of a Recur's body -> how often it has been computed */
    const ir_node *worst_node;
    double worst;
    bool failed;
} node_run;

/* "Fused(Exp, Mul)": what the node stands for. */
static const char *operator_text(tl_arena *a, const ir_node *n) {
    tl_str s;
    tl_str_init(&s, a);
    tl_str_puts(&s, op_get(n->op)->name);
    if (n->op != OP_Fused) return s.data;
    tl_str_putc(&s, '(');
    ir_for_each_node (inner, n->regions[0])
        tl_str_printf(&s, "%s%s", inner->prev ? ", " : "", op_get(inner->op)->name);
    tl_str_putc(&s, ')');
    return s.data;
}

static const char *node_text(tl_arena *a, const ir_node *n) {
    const char *name = n->loc ? n->loc->node : NULL;
    if (!name || !name[0]) name = n->n_out && n->out[0].name ? n->out[0].name : "";
    return tl_arena_printf(a, "'%s' (%s)", name, operator_text(a, n));
}

static void report_node(node_run *r, const ir_node *n, uint32_t i, const char *text) {
    cli *c = r->j->c;
    const char *name = n->out[i].name;
    diag_error(c->diag, NULL, "run %lld: node %u %s, result %u%s%s%s: %s", (long long)r->run,
               r->nodes, node_text(c->arena, n), i, name ? " '" : "", name ? name : "",
               name ? "'" : "", text);
    if (n->loc && n->loc->path) diag_note(c->diag, NULL, "in %s", n->loc->path);
    diag_note(c->diag, NULL, "the graph after all passes: tlbc compile --emit=graph");
    r->failed = true;
}

static const ir_tensor *output_of(node_run *r, const ir_value *v) {
    const uint64_t *number = tl_map_find(&r->j->nodes->outputs, (uint64_t)(uintptr_t)v);
    return number ? data_to_ir(r->j->c, &r->t->out[*number - 1]) : NULL;
}

static int64_t extent(const ir_tensor *t, int32_t axis) {
    int64_t n = 0;
    ir_dim_is_const(t->type->dims[axis], &n);
    return n;
}

/* Elements at ... at+taken of `all` along an axis, as a tensor of this type. */
static const ir_tensor *part_of(tl_arena *a, const ir_type *type, const ir_tensor *all,
                                int32_t axis, int64_t at, int64_t taken) {
    size_t outer = 1, inner = ir_dtype_bits(type->dtype) / 8;
    for (int32_t i = 0; i < all->type->rank; i++)
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : (size_t)extent(all, i);
    size_t run = (size_t)taken * inner, stride = (size_t)extent(all, axis) * inner;
    ir_tensor *part = ir_tensor_alloc(a, type);
    for (size_t o = 0; o < outer; o++)
        memcpy((char *)ir_tensor_data(part) + o * run,
               (const char *)all->data + o * stride + (size_t)at * inner, run);
    return part;
}

/* This turn's part of the stacked output that shows v; NULL where nothing does. */
static const ir_tensor *round_of(node_run *r, const ir_value *v, const ir_tensor *want) {
    const ir_value *stacked = tl_map_get_ptr(&r->j->nodes->rounds, v);
    const ir_tensor *all = stacked ? output_of(r, stacked) : NULL;
    if (!all) return NULL;
    const ir_node *recur = stacked->def;
    uint32_t i = (uint32_t)(stacked - recur->out) - (uint32_t)ir_attr_int(recur, "carries", 0);
    int64_t span = ir_attr_int(recur, "span", 0);
    int32_t axis = (int32_t)recur_list_at(recur, "output_axes", i);
    if (axis < 0) axis += all->type->rank;
    uint64_t *turn = tl_map_insert(&r->turns, (uint64_t)(uintptr_t)v, NULL);
    int64_t at = (int64_t)(*turn)++ * (span ? span : 1), taken = span ? extent(want, axis) : 1,
            trips = extent(all, axis);
    if (recur_list_at(recur, "output_reverse", i)) at = trips - 1 - at;
    TL_ASSERT(at >= 0 && at + taken <= trips);
    return part_of(r->j->c->arena, want->type, all, axis, at, taken);
}

/* Only the first difference is told: what follows may come from it. */
static void check_result(node_run *r, const ir_node *n, uint32_t i, ir_datum *out) {
    cli *c = r->j->c;
    if (!out->tensor || out->tensor->type->dtype == DT_str) return;
    const ir_tensor *got = n->parent->owner ? round_of(r, &n->out[i], out->tensor)
                                            : output_of(r, &n->out[i]);
    if (!got) return;
    verify_result v = verify_compare(c->arena, &r->j->tolerance, got, out->tensor);
    r->compared++;
    if (v.ulp > r->worst) r->worst = v.ulp, r->worst_node = n;
    if (v.wrong && !r->failed) report_node(r, n, i, v.text);
    if (got->type == out->tensor->type) out->tensor = got;
}

static void check_node(void *data, const ir_node *n, ir_datum *out) {
    node_run *r = data;
    uint32_t before = r->compared;
    for (uint32_t i = 0; i < n->n_out; i++)
        check_result(r, n, i, &out[i]);
    r->nodes += !n->parent->owner || r->compared > before;
}

static bool run_compiled(verify_job *j, const model_tensors *inputs, model_tensors *t) {
    struct verify_nodes *k = j->nodes;
    model_tensors_init(j->c, k->model, t);
    for (uint32_t i = 0; i < k->model->n_inputs; i++)
        t->in[i] = inputs->in[i];
    if (!model_alloc_outputs(j->c, k->session, t)) return false;
    tlbc_status status = tlbc_run(k->session, t->in, t->out);
    if (status) model_report(j->c, k->session, status, "node by node");
    return status == TLBC_OK;
}

bool verify_nodes_run(verify_job *j, int64_t run, const model_tensors *inputs) {
    struct verify_nodes *k = j->nodes;
    model_tensors t;
    node_run r = {.j = j, .run = run, .t = &t};
    tl_map_init(&r.turns, j->c->arena);
    if (!run_compiled(j, inputs, &t)) return false;
    ir_datum *out = TL_NEW_ARRAY(j->c->arena, ir_datum, k->model->n_outputs);
    if (!verify_evaluate(j, k->m, &t, out, check_node, &r)) return false;
    printf("run %lld: %u results of %u nodes: at most %.3g ULP", (long long)run, r.compared,
           r.nodes, r.worst);
    if (r.worst_node) printf(", node %s", node_text(j->c->arena, r.worst_node));
    putchar('\n');
    return !r.failed;
}
