/* Values whose size or kind only the run tells.
 *
 *   %n = NonZero(%x)                       barrier
 *                                          thread 0: cells[0] = address and dims of %x
 *                                          thread 0: call tlbc_rt_invoke(frame, 0)          cells[1] is the result
 *                                          barrier; call tlbc_rt_stop(frame, tid)
 *                                          %n.d1 = load cells[1].dims[1]                    the symbol of %n's type
 *   %y = Gather(%z, %n)                    a nest over %n.d1 elements, as over any other symbol
 *
 * A tensor of known rank is a view as all others, over memory that a cell points to; sequences and tensors of unknown rank are
 * cells and nothing else. What a kernel writes and plan() cannot size is memory of a cell too (cg_buffer_grown).
 * All threads read the same symbols, so they take the same way; calls are made by thread 0 between barriers. */
#include "codegen/dynamic.h"

#include "ir/base/assert.h"
#include "runtime/calls/call.h"

#include <stddef.h>

void cg_cells_begin(cg *g) {
    if (g->cells) return;
    g->cells = TL_NEW(g->arena, cg_cells);
    *g->cells = (cg_cells){.numbers = -1};
    tl_map_init(&g->cells->of_value, g->arena);
    cg_cell_create(g, &(cg_cell){.input = -1}); /* a program that may be left has one at least */
}

uint32_t cg_cell_create(cg *g, const cg_cell *cell) {
    cg_cells_begin(g);
    tl_vec_push(g->arena, &g->cells->cells, *cell);
    return g->cells->cells.len - 1;
}

/* ---- which values ------------------------------------------------------------------------------------------------ */

bool cg_is_cell_value(const ir_value *v) {
    return !ir_type_is_ranked(v->type);
}

static uint32_t kind_of(const ir_type *t) {
    switch (t->kind) {
    case IR_TYPE_SEQUENCE:
        return TLBC_SEQUENCE;
    case IR_TYPE_OPTIONAL:
        return TLBC_OPTIONAL;
    case IR_TYPE_MAP:
        return TLBC_MAP;
    case IR_TYPE_TENSOR:
        break;
    }
    return (uint32_t)t->dtype;
}

static cg_cell cell_for(const ir_type *t) {
    return (cg_cell){.dtype = kind_of(t), .rank = t->rank > 0 ? (uint32_t)t->rank : 0, .input = -1};
}

void cg_set_cell(cg *g, const ir_value *v, uint32_t cell) {
    cg_cells_begin(g);
    bool added;
    *tl_map_insert(&g->cells->of_value, (uint64_t)(uintptr_t)v, &added) = cell + 1;
}

uint32_t cg_value_cell(cg *g, ir_value *v) {
    cg_cells_begin(g);
    const uint64_t *found = tl_map_find(&g->cells->of_value, (uint64_t)(uintptr_t)v);
    if (found) return (uint32_t)*found - 1;
    cg_cell cell = cell_for(v->type);
    cell.constant = v->tensor;
    uint32_t at = cg_cell_create(g, &cell);
    cg_set_cell(g, v, at);
    return at;
}

typedef struct planned {
    const cg *g;
    bool all;
} planned;

static void is_model_symbol(void *data, const char *name) {
    planned *p = data;
    bool found = false;
    for (uint32_t i = 0; i < p->g->symbol_names.len && !found; i++)
        found = strcmp(p->g->symbol_names.data[i], name) == 0;
    p->all = p->all && found;
}

bool cg_is_planned(cg *g, const ir_dim *d) {
    planned p = {g, !d->unknown};
    ir_dim_each_symbol(d, is_model_symbol, &p);
    return p.all;
}

bool cg_is_planned_type(cg *g, const ir_type *t) {
    if (!ir_type_is_ranked(t)) return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (!cg_is_planned(g, t->dims[i])) return false;
    return true;
}

static bool is_bounded(const ir_dim *symbol) {
    return symbol->terms[0].atoms[0]->b;
}

static void is_bounded_symbol(void *data, const char *name) {
    planned *p = data;
    const ir_dim *symbol = ir_dim_symbol(p->g->c, name);
    bool bounded = symbol->terms[0].atoms[0]->b;
    if (!bounded) is_model_symbol(data, name);
}

static bool is_planned_node(cg *g, const ir_node *n) {
    if (cg_is_called(n) || cg_shape_operands(n)) return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_type *t = n->out[i].type;
        planned p = {g, !cg_is_cell_value(&n->out[i])};
        for (int32_t k = 0; p.all && k < t->rank; k++)
            ir_dim_each_symbol(t->dims[k], is_bounded_symbol, &p);
        if (!p.all) return false;
    }
    return true;
}

bool cg_is_bounded_type(cg *g, const ir_type *t) {
    planned p = {g, ir_type_is_ranked(t)};
    for (int32_t i = 0; p.all && i < t->rank; i++)
        ir_dim_each_symbol(t->dims[i], is_bounded_symbol, &p);
    return p.all;
}

bool cg_is_planned_region(cg *g, const ir_region *r) {
    ir_for_each_node (n, r) {
        if (!is_planned_node(g, n)) return false;
        for (uint32_t i = 0; i < n->n_regions; i++)
            if (!cg_is_planned_region(g, n->regions[i])) return false;
    }
    return true;
}

/* ---- cells in the program ------------------------------------------------------------------------------------------ */

static lp_value *member(cg *g, uint32_t cell, size_t offset) {
    lp_value *cells = lp_ptr_add(&g->b, g->frame,
                                 lp_index(&g->b, (int64_t)offsetof(tlbc_frame, cells)));
    cells = lp_load(&g->b, lp_scalar(LP_PTR), cells, lp_index(&g->b, 0));
    return lp_ptr_add(&g->b, cells,
                      lp_index(&g->b, (int64_t)(cell * sizeof(tlbc_tensor) + offset)));
}

lp_value *cg_cell_data(cg *g, uint32_t cell) {
    return lp_load(&g->b, lp_scalar(LP_PTR), member(g, cell, offsetof(tlbc_tensor, data)),
                   lp_index(&g->b, 0));
}

static lp_value *cell_dim(cg *g, uint32_t cell, int32_t i) {
    return lp_load(&g->b, LP_I64, member(g, cell, offsetof(tlbc_tensor, dims)), lp_index(&g->b, i));
}

static lp_loop alone_begin(cg *g) {
    return lp_if_begin(&g->b, lp_bin(&g->b, LP_eq, g->tid, lp_index(&g->b, 0)), NULL, 0);
}

void cg_alone_call(cg *g, const char *function, int64_t a, lp_value *b) {
    lp_value *args[3] = {g->frame, lp_index(&g->b, a), b};
    lp_loop alone = alone_begin(g);
    lp_call(&g->b, function, lp_scalar(LP_VOID), args, b ? 3 : 2);
    lp_if_end(&g->b, &alone, NULL);
}

void cg_sync(cg *g) {
    cg_barrier(g);
    lp_call(&g->b, "tlbc_rt_stop", lp_scalar(LP_VOID), (lp_value *[]){g->frame, g->tid}, 2);
}

void cg_serial_call(cg *g, const char *function, int64_t a, lp_value *b) {
    cg_barrier(g);
    cg_alone_call(g, function, a, b);
    cg_sync(g);
}

void cg_cell_clear(cg *g, uint32_t cell, const ir_type *t) {
    lp_value *dims[TLBC_MAX_RANK];
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = cg_is_planned(g, t->dims[i]) ? cg_dim(g, t->dims[i]) : lp_index(&g->b, 0);
    lp_loop alone = alone_begin(g);
    for (int32_t i = 0; i < t->rank; i++)
        lp_store(&g->b, member(g, cell, offsetof(tlbc_tensor, dims)), lp_index(&g->b, i), dims[i]);
    lp_if_end(&g->b, &alone, NULL);
}

cg_buffer *cg_buffer_grown(cg *g, const ir_dim *bytes, bool per_thread) {
    cg_cells_begin(g);
    cg_buffer *b = TL_NEW(g->arena, cg_buffer);
    *b = (cg_buffer){.kind = CG_CELL, .bytes = bytes, .per_thread = per_thread};
    b->number = cg_cell_create(g, &(cg_cell){.dtype = DT_u8, .rank = 1, .input = -1});
    lp_value *size = cg_dim_bytes(g, bytes);
    if (per_thread) size = lp_bin(&g->b, LP_mul, size, g->n_threads);
    cg_serial_call(g, "tlbc_rt_grow", b->number, size);
    return b;
}

uint32_t cg_bind(cg *g, const cg_view *v, ir_dtype t) {
    cg_cell cell = {.dtype = (uint32_t)t, .rank = (uint32_t)v->rank, .input = -1, .borrowed = true};
    uint32_t at = cg_cell_create(g, &cell);
    lp_value *data = cg_pointer(g, v), *dims[TLBC_MAX_RANK];
    for (int32_t i = 0; i < v->rank; i++) /* computed by all threads: they may be used further on */
        dims[i] = cg_dim(g, v->dims[i]);
    lp_loop alone = alone_begin(g);
    lp_store(&g->b, member(g, at, offsetof(tlbc_tensor, data)), lp_index(&g->b, 0), data);
    for (int32_t i = 0; i < v->rank; i++)
        lp_store(&g->b, member(g, at, offsetof(tlbc_tensor, dims)), lp_index(&g->b, i), dims[i]);
    lp_if_end(&g->b, &alone, NULL);
    return at;
}

void cg_make_bindable(cg *g, ir_value *v) {
    if (!cg_is_cell_value(v)) cg_set_view(g, v, cg_read_dense(g, v));
}

uint32_t cg_as_cell(cg *g, ir_value *v) {
    if (cg_is_cell_value(v)) return cg_value_cell(g, v);
    const cg_view *view = cg_read(g, v);
    return cg_bind(g, view, cg_is_packed(view->dtype) ? DT_u8 : view->dtype);
}

/* ---- sizes from cells ----------------------------------------------------------------------------------------------- */

void cg_check_here(cg *g, const ir_dim *from, const ir_dim *to, bool exact, int64_t failure) {
    cg_cells_begin(g);
    lp_builder *b = &g->b;
    lp_value *x = cg_dim(g, from), *y = cg_dim(g, to), *bad = lp_bin(b, LP_ne, x, y);
    if (!exact) bad = lp_bin(b, LP_and, bad, lp_bin(b, LP_ne, x, lp_index(b, 1)));
    lp_loop l = lp_if_begin(b, bad, NULL, 0);
    lp_call(b, "tlbc_rt_leave", lp_scalar(LP_VOID),
            (lp_value *[]){g->frame, g->tid, lp_index(b, failure), x, y}, 5);
    lp_if_end(b, &l, NULL);
}

/* The dimension is `found`: where it is a symbol without a value it gets this one, else it must be it. */
static void settle_dim(cg *g, const ir_dim *d, lp_value *found) {
    if (ir_dim_is_symbol(d) && !cg_symbol_is_set(g, ir_dim_symbol_name(d))) {
        cg_symbol_set(g, ir_dim_symbol_name(d), found);
        return;
    }
    if (ir_dim_is_unknown(d)) return;
    int64_t failure = cg_failure(g, "a dimension of its result is %%lld, expected %%lld");
    lp_builder *b = &g->b;
    lp_value *expected = cg_dim(g, d);
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_ne, found, expected), NULL, 0);
    lp_call(b, "tlbc_rt_leave", lp_scalar(LP_VOID),
            (lp_value *[]){g->frame, g->tid, lp_index(b, failure), found, expected}, 5);
    lp_if_end(b, &l, NULL);
}

void cg_adopt(cg *g, ir_value *v, uint32_t cell) {
    if (cg_is_cell_value(v)) {
        cg_set_cell(g, v, cell);
        return;
    }
    for (int32_t i = 0; i < v->type->rank; i++)
        settle_dim(g, v->type->dims[i], cell_dim(g, cell, i));
    cg_buffer *b = TL_NEW(g->arena, cg_buffer);
    *b = (cg_buffer){.kind = CG_CELL, .number = cell};
    cg_set_view(g, v, cg_view_dense(g, b, v->type));
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

/* Barriers around it; operands have been bound since the first of them. */
static void invoke(cg *g, const cg_call *call) {
    tl_vec_push(g->arena, &g->cells->calls, *call);
    cg_alone_call(g, "tlbc_rt_invoke", g->cells->calls.len - 1, NULL);
    cg_sync(g);
}

static bool keeps_operands(op_id op) {
    return op == OP_SequenceConstruct || op == OP_SequenceInsert || op == OP_Optional ||
           op == OP_OptionalGetElement;
}

bool lower_call(cg *g, ir_node *n) {
    if (n->op == OP_ImageDecoder && *TLBC_MISSING_IMAGE_LIBRARIES)
        return cg_unsupported(g, n, "this tlbc was built without%s", TLBC_MISSING_IMAGE_LIBRARIES);
    cg_cells_begin(g);
    cg_call call = {.node = n, .n_in = n->n_in, .n_out = n->n_out, .where = cg_node_text(g, n)};
    call.function = tl_arena_printf(g->arena, "tlbc_rt_op_%s", op_get(n->op)->name);
    call.cells = TL_NEW_ARRAY(g->arena, int32_t, (size_t)n->n_in + n->n_out);
    call.keeps = keeps_operands(n->op);
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = ir_in(n, i);
        if (v && !cg_is_cell_value(v) && cg_is_packed(v->type->dtype))
            return cg_unsupported(g, n, "elements of type %s", ir_dtype_name(v->type->dtype));
        if (v) cg_make_bindable(g, v);
    }
    cg_barrier(g);
    for (uint32_t i = 0; i < n->n_in; i++)
        call.cells[i] = ir_in(n, i) ? (int32_t)cg_as_cell(g, ir_in(n, i)) : -1;
    for (uint32_t i = 0; i < n->n_out; i++) {
        cg_cell cell = cell_for(n->out[i].type);
        call.cells[n->n_in + i] = n->out[i].uses ? (int32_t)cg_cell_create(g, &cell) : -1;
    }
    invoke(g, &call);
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i].uses) cg_adopt(g, &n->out[i], (uint32_t)call.cells[n->n_in + i]);
    return true;
}

/* ---- shapes that are data ------------------------------------------------------------------------------------------------ */

static const struct shape_rule {
    op_id op;
    uint32_t operands; /* that hold sizes: a mask */
    const char *function;
} shape_rules[] = {
    {OP_Reshape, 1u << 1, "Reshape"},
    {OP_Expand, 1u << 1, "Expand"},
    {OP_ConstantOfShape, 1u << 0, "ConstantOfShape"},
    {OP_Range, 7u, "Range"},
    {OP_Tile, 1u << 1, "Tile"},
    {OP_Pad, 1u << 1 | 1u << 3, "Pad"},
    {OP_Slice, 15u << 1, "Slice"},
    {OP_Split, 1u << 1, "Split"},
    {OP_Squeeze, 1u << 1, "Squeeze"},
    {OP_Unsqueeze, 1u << 1, "Unsqueeze"},
    {OP_OneHot, 1u << 1, "OneHot"},
    {OP_TopK, 1u << 1, "TopK"},
    {OP_Resize, 1u << 2, "Resize"},
    {OP_ReduceL1, 1u << 1, "Reduce"},
    {OP_ReduceL2, 1u << 1, "Reduce"},
    {OP_ReduceLogSum, 1u << 1, "Reduce"},
    {OP_ReduceLogSumExp, 1u << 1, "Reduce"},
    {OP_ReduceMax, 1u << 1, "Reduce"},
    {OP_ReduceMean, 1u << 1, "Reduce"},
    {OP_ReduceMin, 1u << 1, "Reduce"},
    {OP_ReduceProd, 1u << 1, "Reduce"},
    {OP_ReduceSum, 1u << 1, "Reduce"},
    {OP_ReduceSumSquare, 1u << 1, "Reduce"},
};

static const struct shape_rule *find_rule(op_id op) {
    for (size_t i = 0; i < sizeof shape_rules / sizeof *shape_rules; i++)
        if (shape_rules[i].op == op) return &shape_rules[i];
    return NULL;
}

typedef struct mention {
    const char *symbol;
    bool found;
} mention;

static void look_for(void *data, const char *symbol) {
    mention *m = data;
    m->found = m->found || symbol == m->symbol;
}

/* The symbol is in the operand's type or in what is known of its contents. */
static bool mentions(const ir_value *v, const char *symbol) {
    mention m = {symbol, false};
    for (int32_t i = 0; ir_type_is_ranked(v->type) && i < v->type->rank; i++)
        ir_dim_each_symbol(v->type->dims[i], look_for, &m);
    for (uint32_t i = 0; v->known && i < v->known->n; i++)
        ir_dim_each_symbol(v->known->dims[i], look_for, &m);
    return m.found;
}

/* A dimension of a result that the node itself gives its meaning; `open`: which has no bound in its name. */
static bool defines_symbol(const ir_node *n, const ir_type *t, bool open) {
    for (int32_t k = 0; ir_type_is_ranked(t) && k < t->rank; k++) {
        bool fresh = ir_dim_is_symbol(t->dims[k]) && !(open && is_bounded(t->dims[k]));
        for (uint32_t i = 0; fresh && i < n->n_in; i++)
            fresh = !ir_in(n, i) || !mentions(ir_in(n, i), ir_dim_symbol_name(t->dims[k]));
        if (fresh) return true;
    }
    return false;
}

/* Contents that are known need no function, unless inference could not tell their sign (a slice from t + k - p on). */
uint32_t cg_shape_operands(const ir_node *n) {
    const struct shape_rule *rule = find_rule(n->op);
    bool unknown = false, defines = false;
    for (uint32_t i = 0; rule && i < n->n_in; i++)
        unknown = unknown ||
                  ((rule->operands >> i & 1) && ir_in(n, i) && !cg_knows_contents(ir_in(n, i)));
    for (uint32_t i = 0; rule && i < n->n_out; i++)
        defines = defines || defines_symbol(n, n->out[i].type, !unknown);
    return defines ? rule->operands : 0;
}

/* An operand of which the function reads the dims alone. */
static uint32_t bind_shape(cg *g, const ir_value *v) {
    const ir_type *t = v->type;
    uint32_t at = cg_cell_create(
        g, &(cg_cell){.dtype = (uint32_t)t->dtype, .rank = (uint32_t)t->rank, .input = -1});
    lp_value *dims[TLBC_MAX_RANK];
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = cg_dim(g, t->dims[i]);
    lp_loop alone = alone_begin(g);
    for (int32_t i = 0; i < t->rank; i++)
        lp_store(&g->b, member(g, at, offsetof(tlbc_tensor, dims)), lp_index(&g->b, i), dims[i]);
    lp_if_end(&g->b, &alone, NULL);
    return at;
}

static lp_value *load_number(cg *g, uint32_t i) {
    return lp_load(&g->b, LP_I64, cg_cell_data(g, (uint32_t)g->cells->numbers), lp_index(&g->b, i));
}

static void settle_results(cg *g, ir_node *n) {
    int64_t axis = ir_attr_int(n, "axis", 0);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_type *t = n->out[i].type;
        if (n->op == OP_Split) {
            if (axis < 0) axis += t->rank;
            settle_dim(g, t->dims[axis], load_number(g, i));
            continue;
        }
        for (int32_t k = 0; k < t->rank; k++)
            settle_dim(g, t->dims[k], load_number(g, (uint32_t)k));
    }
}

bool cg_resolve_shape(cg *g, ir_node *n) {
    uint32_t mask = cg_shape_operands(n);
    if (g->cells) g->cells->numbers = -1;
    if (!mask) return true;
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = ir_in(n, i);
        if (v && (!ir_type_is_known(v->type) || v->type->rank > TLBC_MAX_RANK))
            return cg_unsupported(g, n, "operand %u has no known rank", i);
    }
    cg_cells_begin(g);
    cg_call call = {.node = n, .n_in = n->n_in, .n_out = 1, .where = cg_node_text(g, n)};
    call.function = tl_arena_printf(g->arena, "tlbc_rt_shape_%s", find_rule(n->op)->function);
    call.cells = TL_NEW_ARRAY(g->arena, int32_t, (size_t)n->n_in + 1);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && (mask >> i & 1)) cg_make_bindable(g, ir_in(n, i));
    cg_barrier(g);
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = ir_in(n, i);
        call.cells[i] = !v ? -1 : (int32_t)(mask >> i & 1 ? cg_as_cell(g, v) : bind_shape(g, v));
    }
    uint32_t result = cg_cell_create(g, &(cg_cell){.dtype = DT_i64, .rank = 1, .input = -1});
    call.cells[n->n_in] = (int32_t)result;
    invoke(g, &call);
    g->cells->numbers = (int32_t)result;
    settle_results(g, n);
    return true;
}

const ir_dim *cg_number(cg *g, uint32_t i) {
    const char *name = tl_arena_printf(g->arena, "number%u", g->cells->n_symbols++);
    cg_symbol_set(g, name, load_number(g, i));
    return ir_dim_symbol(g->c, name);
}
