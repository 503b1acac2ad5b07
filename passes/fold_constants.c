/* fold_constants: what can be computed now is.
 *
 *   before:  %c = Add(@two, @three)                      after:  uses of %c read a constant 5
 *   before:  %s = Shape(%x)  // x: f32[batch,4]          after:  %s2 = Dims<dims=[2*batch]>()
 *            %b = Gather(%s, @zero)
 *            %s2 = Mul(%b, @two)
 *
 * Two ways: nodes whose operands are all constants run through the reference evaluator; values whose contents inference knows
 * become constants, or Dims nodes when the contents depend on the dimensions of the graph's inputs. Only the end of a chain
 * of shape arithmetic gets a Dims node; the rest of the chain then has no users and goes with dce.
 *
 * Results that are much larger than the operands (Expand, ConstantOfShape, Tile) stay: they would bloat the model. A node whose
 * evaluation fails (an index out of range) stays as well, and fails when it runs, if it ever does. Linear. */
#include "ir/eval.h"
#include "ir/limits.h"
#include "passes/util.h"

enum { MAX_GROWTH = 64 << 10 }; /* bytes a result may have beyond twice its operands */

/* ---- by evaluation ------------------------------------------------------------------------------------------ */

static uint64_t allowed_bytes(const ir_node *n) {
    uint64_t bytes = MAX_GROWTH;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i].value) bytes += 2 * (uint64_t)n->in[i].value->tensor->bytes;
    return bytes < IR_MAX_FOLD_BYTES ? bytes : IR_MAX_FOLD_BYTES;
}

static bool results_fit(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        size_t bytes;
        if (!ir_type_is_tensor(n->out[i].type)) return false;
        if (!ir_type_is_static(n->out[i].type)) continue; /* the evaluator will see */
        if (!ir_type_static_bytes(n->out[i].type, &bytes) || bytes > allowed_bytes(n)) return false;
    }
    return true;
}

static const ir_datum *constant_datum(pass_ctx *ctx, const ir_value *v) {
    if (!v) return NULL;
    ir_datum *d = TL_NEW(ctx->scratch, ir_datum);
    d->tensor = v->tensor;
    return d;
}

/* Results in out[]; false where evaluation fails, with nothing reported. */
static bool evaluate(pass_ctx *ctx, const ir_node *n, ir_datum *out) {
    const ir_datum **in = TL_NEW_ARRAY(ctx->scratch, const ir_datum *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = constant_datum(ctx, n->in[i].value);
    diag saved = ctx->c->diag;
    ir_eval e;
    ir_eval_init(&e, ctx->c, ctx->m->arena); /* results become constants of the module */
    e.max_bytes = allowed_bytes(n);
    bool done = ir_eval_node(&e, n, in, out);
    ctx->c->diag = saved;
    for (uint32_t i = 0; i < n->n_out && done; i++)
        done = out[i].tensor || !n->out[i].uses;
    return done;
}

static ir_value *make_constant(pass_ctx *ctx, const ir_tensor *t, const char *name) {
    return ir_module_const(ctx->m, ir_tensor_create(ctx->m->arena, t->type, t->data), name);
}

static bool fold_by_evaluation(pass_ctx *ctx, ir_node *n) {
    if (!ir_eval_can_fold(n) || !results_fit(n)) return false;
    ir_datum *out = TL_NEW_ARRAY(ctx->scratch, ir_datum, n->n_out);
    if (!evaluate(ctx, n, out) || !ctx_take(ctx, "folded")) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i].uses)
            pass_replace(ctx, &n->out[i], make_constant(ctx, out[i].tensor, n->out[i].name));
    ir_node_remove(n);
    return true;
}

/* ---- by known contents -------------------------------------------------------------------------------------- */

static bool has_known_constants(const ir_value *v) {
    if (!v->known) return false;
    for (uint32_t i = 0; i < v->known->n; i++)
        if (!ir_dim_is_const(v->known->dims[i], NULL)) return false;
    return true;
}

/* The static type of a value with n known elements, or NULL where its shape is not clear. */
static const ir_type *known_type(ir_ctx *c, const ir_value *v) {
    size_t n;
    if (ir_type_static_elements(v->type, &n)) return n == v->known->n ? v->type : NULL;
    if (v->type->rank != 1) return NULL;
    return ir_type_tensor_static(c, v->type->dtype, 1, (int64_t[]){v->known->n});
}

static bool replace_by_constant(pass_ctx *ctx, ir_value *v) {
    const ir_type *type = known_type(ctx->c, v);
    if (!type || !ctx_take(ctx, "known")) return false;
    ir_tensor *t = ir_tensor_alloc(ctx->m->arena, type);
    for (uint32_t i = 0; i < v->known->n; i++) {
        int64_t x = 0;
        ir_dim_is_const(v->known->dims[i], &x);
        ir_tensor_set_i64(t, i, x);
    }
    ir_tensor_seal(t);
    pass_replace(ctx, v, ir_module_const(ctx->m, t, v->name));
    return true;
}

static bool can_be_dims(const ir_graph *g, const ir_value *v) {
    if (!v->known || !ir_type_is_ranked(v->type) || v->type->rank > 1) return false;
    if (v->type->dtype != DT_i64 && v->type->dtype != DT_i32) return false;
    return dims_are_computable(g, v->known->dims, v->known->n);
}

/* A user that is not itself about to be replaced. */
static bool has_final_user(const ir_graph *g, const ir_value *v) {
    ir_for_each_use (u, v) {
        const ir_node *user = u->user;
        if (user->op == OP_Yield || user->n_regions) return true;
        for (uint32_t i = 0; i < user->n_out; i++)
            if (!has_known_constants(&user->out[i]) && !can_be_dims(g, &user->out[i])) return true;
    }
    return false;
}

static bool replace_by_dims(pass_ctx *ctx, ir_value *v) {
    ir_node *n = v->def;
    const ir_graph *g = n->parent->graph;
    if (n->op == OP_Dims || !can_be_dims(g, v) || !has_final_user(g, v)) return false;
    if (!ctx_take(ctx, "dims")) return false;
    ir_attr attrs[] = {
        {.name = "dims", .kind = ATTR_DIMS, .n = v->known->n, .v.dims = v->known->dims},
        {.name = "rank", .kind = ATTR_INT, .v.i = v->type->rank},
        {.name = "dtype", .kind = ATTR_INT, .v.i = v->type->dtype},
    };
    ir_builder b = ir_build_before(n);
    uint32_t n_attrs = v->type->dtype == DT_i64 ? 2 : 3; /* i64 is the default */
    pass_replace(ctx, v, build_node(&b, OP_Dims, NULL, 0, 1, attrs, n_attrs)->out);
    return true;
}

static bool fold_known(pass_ctx *ctx, ir_node *n) {
    bool changed = false;
    if (!op_is(n->op, OP_PURE)) return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        ir_value *v = &n->out[i];
        if (!v->uses || !v->known || !ir_type_is_tensor(v->type)) continue;
        changed |= has_known_constants(v) ? replace_by_constant(ctx, v) : replace_by_dims(ctx, v);
    }
    return changed;
}

static pass_result fold_node(pass_ctx *ctx, ir_node *n) {
    return fold_known(ctx, n) || fold_by_evaluation(ctx, n) ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_fold_constants(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, fold_node);
}
