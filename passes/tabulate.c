/* tabulate: what is computed from one byte alone is read from a table.
 *
 *   before:  %f = Cast<to=1>(%q)          %q u8[N,C,H,W]          after:  %y = Lookup(%q, @y.table)          @y.table u8[256]
 *            %x = Mul(%f, @scale)
 *            %s = Sigmoid(%x)
 *            %m = Mul(%x, %s)
 *            ...                          quantised again
 *            %y = Cast<to=2>(%c)
 *
 * Whatever lies between, with its roundings and with tensors quantised on the way: a function of a byte has 256 results, which the reference
 * evaluator computes here. The operands beside the byte are constants of one element. Only conversions from floats to bytes are looked
 * at; bytes to bytes is arithmetic that vectors do faster than a table. What others read of the nodes between stays. Linear, but for the
 * evaluation of 256 elements for each node of a table. */
#include "ir/eval.h"
#include "passes/match.h"
#include "passes/quantized.h"
#include "passes/util.h"

enum { TABLE = 256, MAX_DEPTH = 64, MAX_OPERANDS = 8 };

/* ---- what values are computed from ---------------------------------------------------------------------------------- */

static bool is_byte(const ir_value *v) {
    return ir_type_is_tensor(v->type) && (v->type->dtype == DT_u8 || v->type->dtype == DT_i8);
}

/* The byte tensor of the same dims that v is computed from element by element, v itself where it is one; NULL: there is none. */
static ir_value *source_of(const ir_value *v) {
    return (ir_value *)(uintptr_t)v->scratch;
}

static void set_source(ir_value *v, ir_value *source) {
    v->scratch = (uint64_t)(uintptr_t)source;
}

static bool is_quantizing(const ir_node *n) {
    return (n->op == OP_QuantizeLinear || n->op == OP_DequantizeLinear) &&
           ir_attr_int(n, "block_size", 0) == 0;
}

static bool is_single_const(const ir_value *v) {
    return ir_value_is_const(v) && !v->tensor->opaque && v->type->dtype != DT_str &&
           ir_tensor_elements(v->tensor) == 1;
}

static ir_value *common_source(const ir_node *n) {
    ir_value *source = NULL;
    if ((!op_is(n->op, OP_SCALAR) && !is_quantizing(n)) || n->n_out != 1 || n->n_regions)
        return NULL;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = ir_in(n, i);
        if (!v || is_single_const(v)) continue;
        ir_value *s = ir_value_is_const(v) ? NULL : source_of(v);
        if (!s || (source && s != source) || !same_dims(v->type, n->out[0].type)) return NULL;
        source = s;
    }
    return source;
}

static void find_sources(ir_node *n) {
    ir_value *source = common_source(n);
    for (uint32_t i = 0; i < n->n_out; i++) {
        ir_value *v = &n->out[i];
        set_source(v, source ? source : is_byte(v) ? v : NULL);
    }
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

typedef struct table {
    pass_ctx *ctx;
    ir_builder b;
    tl_map values; /* value -> the same of all bytes, a constant */
} table;

static ir_value *constant(pass_ctx *ctx, const ir_tensor *t, const ir_value *of) {
    return ir_module_const(ctx->m, ir_tensor_create(ctx->m->arena, t->type, t->data),
                           ir_name_derive(ctx->m, of, "table"));
}

/* Elements in the order of the bytes as unsigned numbers. */
static ir_value *all_bytes(pass_ctx *ctx, const ir_value *source) {
    int64_t size = TABLE;
    ir_tensor *x = ir_tensor_alloc(ctx->m->arena,
                                   ir_type_tensor_static(ctx->c, source->type->dtype, 1, &size));
    for (int i = 0; i < TABLE; i++)
        ((uint8_t *)ir_tensor_data(x))[i] = (uint8_t)i;
    ir_tensor_seal(x);
    return constant(ctx, x, source);
}

/* n on constants, which is then gone; NULL where evaluation fails. */
static ir_value *fold(table *t, const ir_node *n, ir_value *const *in) {
    ir_datum out = {0};
    ir_node *copy = build_node(&t->b, n->op, in, n->n_in, 1, n->attrs, n->n_attrs);
    bool done = fold_evaluate(t->ctx, copy, &out) && ir_tensor_elements(out.tensor) == TABLE;
    ir_node_remove(copy);
    return done ? constant(t->ctx, out.tensor, &n->out[0]) : NULL;
}

static ir_value *evaluate(table *t, ir_value *v, unsigned depth) {
    ir_value *made = tl_map_get_ptr(&t->values, v), *in[MAX_OPERANDS];
    if (made || ir_value_is_const(v)) return made ? made : v;
    const ir_node *n = v->def;
    if (depth == MAX_DEPTH || n->n_in > MAX_OPERANDS) return NULL;
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = ir_in(n, i);
        if (in[i] && !(in[i] = evaluate(t, in[i], depth + 1))) return NULL;
    }
    made = fold(t, n, in);
    if (made) tl_map_set_ptr(&t->values, v, made);
    return made;
}

static ir_value *table_of(pass_ctx *ctx, ir_node *n, const ir_value *source) {
    table t = {.ctx = ctx, .b = ir_build_before(n)};
    tl_map_init(&t.values, ctx->scratch);
    tl_map_set_ptr(&t.values, source, all_bytes(ctx, source));
    ir_value *made = evaluate(&t, &n->out[0], 0);
    bool flat = made && made->type->rank == 1; /* not with axes of a constant in front */
    return flat ? made : NULL;
}

/* ---- the pass ------------------------------------------------------------------------------------------------------- */

/* A conversion of floats that come from bytes. */
static bool is_root(const ir_node *n) {
    bool converts = n->op == OP_Cast || n->op == OP_QuantizeLinear;
    if (!converts || !is_byte(&n->out[0]) || !n->out[0].uses) return false;
    return ir_dtype_is_float(ir_in(n, 0)->type->dtype) && source_of(&n->out[0]) != &n->out[0];
}

static bool replace(pass_ctx *ctx, ir_node *n) {
    ir_value *source = source_of(&n->out[0]), *elements;
    if (!ctx_take(ctx, "tables") || !(elements = table_of(ctx, n, source))) return false;
    ir_builder b = ir_build_before(n);
    ir_value *y = build_op2(&b, OP_Lookup, source, elements);
    set_source(y, source);
    pass_replace(ctx, &n->out[0], y);
    ir_node_remove(n);
    return true;
}

static bool tabulate_region(pass_ctx *ctx, ir_region *r) {
    bool changed = false;
    for (uint32_t i = 0; i < r->n_params; i++)
        set_source(r->params[i], r->params[i]->type && is_byte(r->params[i]) ? r->params[i] : NULL);
    for (ir_node *n = r->first, *next; n; n = next) {
        next = n->next;
        find_sources(n);
        for (uint32_t i = 0; i < n->n_regions; i++)
            changed = tabulate_region(ctx, n->regions[i]) || changed;
        if (is_root(n)) changed = replace(ctx, n) || changed;
    }
    return changed;
}

pass_result pass_tabulate(pass_ctx *ctx, ir_graph *g) {
    return tabulate_region(ctx, g->body) ? PASS_CHANGED : PASS_SAME;
}
