/* fold_constants: what can be computed now is.
 *
 *   before:  %c = Add(@two, @three)                      after:  uses of %c read a constant 5
 *   before:  %s = Shape(%x)  // x: f32[batch,4]          after:  %s2 = Dims<dims=[2*batch]>()
 *            %b = Gather(%s, @zero)
 *            %s2 = Mul(%b, @two)
 *
 * Two ways: nodes whose operands are all constants run through the reference evaluator; values whose contents inference knows
 * become constants, or Dims nodes when the contents depend on the dimensions of the graph's inputs (fold_shapes.c).
 *
 * Results that are much larger than the operands (Expand, ConstantOfShape, Tile) stay: they would bloat the model; weights of
 * products that are made in floats are an exception. A node whose
 * evaluation fails (an index out of range) stays as well, and fails when it runs, if it ever does. Linear. */
#include "ir/eval.h"
#include "ir/limits.h"
#include "passes/util.h"

enum {
    MAX_GROWTH = 64 << 10, /* bytes a result may have beyond twice its operands */
    MAX_WIDENING = 8
}; /* f32 from 4 bits */

/* ---- by evaluation ------------------------------------------------------------------------------------------ */

/* Only ever the matrix of a product, perhaps scaled first. */
static bool is_matrix_of_products(const ir_value *v, unsigned depth) {
    for (const ir_use *u = v->uses; u; u = u->next) {
        const ir_node *n = u->user;
        bool product = (n->op == OP_MatMul || n->op == OP_Gemm) && u == &n->in[1],
             scales = n->op == OP_Mul || n->op == OP_Sub || n->op == OP_Transpose;
        if (!product && !(scales && depth > 0 && is_matrix_of_products(n->out, depth - 1)))
            return false;
    }
    return v->uses != NULL;
}

/* A weight kept in small integers, in front of a product that has no kernel for them (fuse_quantized has been there): as floats it
 * is packed, and need not be multiplied out in every run. */
static bool widens_weight(const ir_node *n) {
    return (n->op == OP_Cast || n->op == OP_DequantizeLinear) &&
           ir_dtype_is_float(n->out[0].type->dtype) && is_matrix_of_products(n->out, 3);
}

static uint64_t allowed_bytes(const ir_node *n) {
    uint64_t bytes = MAX_GROWTH, times = widens_weight(n) ? MAX_WIDENING : 2;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = ir_in(n, i);
        size_t of_operand = 0;
        if (v && v->tensor)
            of_operand = v->tensor->bytes;
        else if (v) /* will be a constant: a question of the e-graph */
            ir_type_static_bytes(v->type, &of_operand);
        bytes += times * (uint64_t)of_operand;
    }
    return bytes < IR_MAX_FOLD_BYTES ? bytes : IR_MAX_FOLD_BYTES;
}

bool fold_fits(const ir_node *n) {
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

/* As the module keeps it: what evaluation has made is copied, what an operand of the node lends (Reshape) is not. */
static const ir_tensor *keep(pass_ctx *ctx, const ir_tensor *t) {
    if (tl_arena_contains(ctx->scratch, t->data)) return ir_tensor_copy(ctx->m->arena, t);
    ir_tensor *kept = TL_NEW(ctx->m->arena, ir_tensor);
    *kept = *t;
    return kept;
}

/* Evaluation takes much memory for what it needs only meanwhile: a matrix as doubles. */
bool fold_evaluate(pass_ctx *ctx, const ir_node *n, ir_datum *out) {
    tl_arena_mark mark = tl_arena_get_mark(ctx->scratch);
    const ir_datum **in = TL_NEW_ARRAY(ctx->scratch, const ir_datum *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = constant_datum(ctx, n->in[i].value);
    diag saved = ctx->c->diag;
    ir_eval e;
    ir_eval_init(&e, ctx->c, ctx->scratch);
    e.max_bytes = allowed_bytes(n);
    bool done = ir_eval_node(&e, n, in, out);
    ctx->c->diag = saved;
    for (uint32_t i = 0; i < n->n_out && done; i++)
        done = out[i].tensor || !n->out[i].uses;
    for (uint32_t i = 0; i < n->n_out && done; i++)
        if (out[i].tensor) out[i] = (ir_datum){.tensor = keep(ctx, out[i].tensor)};
    tl_arena_reset(ctx->scratch, mark);
    return done;
}

bool fold_by_evaluation(pass_ctx *ctx, ir_node *n) {
    if (!ir_eval_can_fold(n) || !fold_fits(n)) return false;
    ir_datum *out = TL_NEW_ARRAY(ctx->scratch, ir_datum, n->n_out);
    if (!fold_evaluate(ctx, n, out) || !ctx_take(ctx, "folded")) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i].uses)
            pass_replace(ctx, &n->out[i], ir_module_const(ctx->m, out[i].tensor, n->out[i].name));
    ir_node_remove(n);
    return true;
}

/* ---- both ------------------------------------------------------------------------------------------------- */

static pass_result fold_node(pass_ctx *ctx, ir_node *n) {
    return fold_known(ctx, n) || fold_by_evaluation(ctx, n) ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_fold_constants(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, fold_node);
}
