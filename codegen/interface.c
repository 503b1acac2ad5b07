/* What callers see of a graph: the symbols of its inputs' sizes, the expressions that plan() computes from them, and whether both can be
 * had before the run (see interface.h). */
#include "codegen/interface.h"

#include "ir/cost.h"

#include "tlbc/runtime.h"

int32_t cg_interface_symbol(const cg_interface *io, const char *name) {
    for (uint32_t i = 0; i < io->symbols.len; i++)
        if (io->symbols.data[i] == name) return (int32_t)i;
    return -1;
}

int32_t cg_interface_expr(const cg_interface *io, const ir_dim *d) {
    for (uint32_t i = 0; i < io->exprs.len; i++)
        if (io->exprs.data[i] == d) return (int32_t)i;
    return -1;
}

typedef struct unbound_check {
    const cg_interface *io;
    const char *missing;
} unbound_check;

static void check_symbol(void *data, const char *symbol) {
    unbound_check *c = data;
    if (cg_interface_symbol(c->io, symbol) < 0) c->missing = symbol;
}

static bool is_bound(const cg_interface *io, const ir_dim *d) {
    unbound_check c = {.io = io};
    ir_dim_each_symbol(d, check_symbol, &c);
    return !d->unknown && !c.missing;
}

/* What the run alone can tell is no expression: plan() could not compute it. */
static void add_exprs(cg_interface *io, tl_arena *a, const ir_type *t) {
    for (int32_t i = 0; ir_type_is_ranked(t) && i < t->rank; i++)
        if (!ir_dim_is_const(t->dims[i], NULL) && is_bound(io, t->dims[i]) &&
            cg_interface_expr(io, t->dims[i]) < 0)
            tl_vec_push(a, &io->exprs, t->dims[i]);
}

static void add_symbols(cg_interface *io, tl_arena *a, const ir_type *t) {
    for (int32_t i = 0; ir_type_is_ranked(t) && i < t->rank; i++) {
        if (!ir_dim_is_symbol(t->dims[i])) continue;
        const char *name = ir_dim_symbol_name(t->dims[i]);
        if (cg_interface_symbol(io, name) < 0) tl_vec_push(a, &io->symbols, name);
    }
}

/* The runtime's tensors hold so many dimensions and no more. */
static bool check_tensor(ir_ctx *c, const char *kind, const char *name, const ir_type *t) {
    if (!ir_type_is_ranked(t) || t->rank <= TLBC_MAX_RANK) return true;
    return diag_error(&c->diag, NULL, "%s '%s' has rank %d, the limit is %d", kind, name, t->rank,
                      TLBC_MAX_RANK);
}

/* Sizes of inputs and states are told before the run: by the dimensions of the inputs alone. */
static bool check_bound(ir_module *m, const cg_interface *io, const ir_type *t, const char *kind,
                        const char *name) {
    unbound_check c = {.io = io};
    for (int32_t i = 0; ir_type_is_ranked(t) && i < t->rank; i++)
        ir_dim_each_symbol(t->dims[i], check_symbol, &c);
    if (!c.missing) return true;
    return diag_error(&m->ctx->diag, NULL,
                      "%s '%s': its shape depends on data ('%s' is not a dimension of an input)",
                      kind, name, c.missing);
}

/* The states' memory is as large as the session has streams: their number is all that a state's shape may leave open. */
static bool check_state(ir_module *m, cg_interface *io, const ir_value *v) {
    bool counted = false;
    if (!ir_type_is_known(v->type))
        return diag_error(&m->ctx->diag, NULL, "state '%s' is not a tensor of known rank", v->name);
    if (!check_tensor(m->ctx, "state", v->name, v->type)) return false;
    if (ir_dtype_bits(v->type->dtype) < 8 || v->type->dtype == DT_str)
        return diag_error(&m->ctx->diag, NULL, "state '%s': element type %s is not carried",
                          v->name, ir_dtype_name(v->type->dtype));
    for (int32_t i = 0; i < v->type->rank; i++) {
        const ir_dim *d = v->type->dims[i];
        if (ir_dim_is_const(d, NULL) || d == io->length) continue;
        const char *symbol = ir_dim_is_symbol(d) ? ir_dim_symbol_name(d) : NULL;
        if (symbol && !io->stream) io->stream = symbol;
        if (symbol && symbol == io->stream && !counted) {
            counted = true;
            continue;
        }
        tl_str text;
        tl_str_init(&text, m->arena);
        ir_dim_print(d, &text);
        return diag_error(&m->ctx->diag, NULL,
                          "state '%s': dimension %d is '%s'; a state's shape may leave open one "
                          "dimension, the number of streams, and the same in all states: pin "
                          "the others (--dim NAME=SIZE)",
                          v->name, i, text.data);
    }
    return check_bound(m, io, v->type, "state", v->name);
}

/* States that grow have one length: a symbol with a limit, which each step moves on in the same way. */
static bool collect_length(ir_module *m, const ir_graph *g, cg_interface *io) {
    for (uint32_t i = 0; i < g->n_states; i++) {
        const ir_dim *length = ir_graph_state_limit(g, i);
        int32_t axis = ir_graph_growing_axis(g, i);
        const ir_dim *next = axis < 0 ? length : ir_graph_next(g, i)->type->dims[axis];
        if (!length) continue;
        if ((io->length && io->length != length) || (io->next_length && io->next_length != next))
            return diag_error(&m->ctx->diag, NULL,
                              "state '%s' grows differently from the states before it: they have "
                              "one length",
                              ir_graph_state(g, i)->name);
        io->length = length;
        io->next_length = next;
    }
    if (!io->length) return true;
    tl_vec_push(m->arena, &io->symbols, ir_dim_symbol_name(io->length));
    if (io->next_length != io->length) tl_vec_push(m->arena, &io->exprs, io->next_length);
    return true;
}

/* Long formulas are not worth their evaluation in each plan: then all threads take part. */
static void collect_work(ir_module *m, const ir_graph *g, cg_interface *io) {
    enum { MOST_TERMS = 16 };
    const ir_dim *work = ir_graph_work(m->ctx, g);
    if (!is_bound(io, work) || work->n_terms > MOST_TERMS) return;
    io->work = work;
    if (!ir_dim_is_const(work, NULL)) tl_vec_push(m->arena, &io->exprs, work);
}

bool cg_interface_collect(ir_module *m, const ir_graph *g, tl_arena *a, cg_interface *out) {
    uint32_t n_in = ir_graph_n_inputs(g), n_out = ir_graph_n_outputs(g);
    *out = (cg_interface){.symbols = {NULL}, .exprs = {NULL}};
    if (!collect_length(m, g, out)) return false;
    for (uint32_t i = 0; i < n_in; i++) {
        const ir_type *t = g->body->params[i]->type;
        if (!check_tensor(m->ctx, "input", g->body->params[i]->name, t)) return false;
        add_symbols(out, a, t);
        add_exprs(out, a, t);
    }
    for (uint32_t i = 0; i < n_out; i++) {
        const ir_type *t = ir_region_result(g->body, i)->type;
        if (!check_tensor(m->ctx, "output", g->outputs[i], t)) return false;
        add_exprs(out, a, t);
    }
    collect_work(m, g, out);
    bool ok = true;
    for (uint32_t i = 0; i < n_in; i++)
        ok &= check_bound(m, out, g->body->params[i]->type, "input", g->body->params[i]->name);
    for (uint32_t i = 0; i < g->n_states; i++)
        ok &= check_state(m, out, ir_graph_state(g, i));
    return ok;
}
