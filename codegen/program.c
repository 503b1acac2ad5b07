/* The program: where values live, in which order kernels are called, where threads meet; see lower.h.
 *
 * Epochs number the stretches between barriers in program order. A workspace buffer is alive from the first to the last moment that
 * touches it. A moment is an epoch and a call in it, epoch << 32 | call: within an epoch only what thread 0 does alone has an order, and
 * everything else lasts from its beginning to its end. Inside a loop all that was made before the loop stays alive to the loop's end,
 * because the next round reads it again. */
#include "codegen/program.h"

#include "codegen/dynamic.h"
#include "codegen/place.h"
#include "codegen/steps.h"
#include "codegen/watch.h"

#include "ir/base/assert.h"
#include "ir/limits.h"
#include "runtime/abi.h"

#include <stdarg.h>

/* ---- failures and refusals ------------------------------------------------------------------------------------- */

bool cg_unsupported(cg *g, const ir_node *n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str s;
    tl_str_init(&s, g->arena);
    tl_str_vprintf(&s, format, args);
    va_end(args);
    g->failed = true;
    return diag_error(&g->c->diag, n ? n->loc : NULL, "%s: %s", n ? op_get(n->op)->name : "model",
                      s.data);
}

/* What has no form in generated code is refused by name, before anything is built from it. */
static bool check_type(cg *g, const ir_node *n, const ir_value *v) {
    const ir_type *t = v->type;
    if (cg_is_cell_value(v)) {
        bool known = !n || n->op == OP_If || n->op == OP_Loop || n->op == OP_Identity ||
                     cg_is_called(n);
        return known || cg_unsupported(g, n, "'%s' is a value this operator is not compiled for",
                                       v->name ? v->name : "");
    }
    switch (ir_dtype_get_class(t->dtype)) {
    case DTYPE_FLOAT:
    case DTYPE_INT:
    case DTYPE_UINT:
    case DTYPE_BOOL:
    case DTYPE_COMPLEX:
    case DTYPE_STRING:
        return true;
    default:
        break;
    }
    return cg_unsupported(g, n, "element type %s is not compiled", ir_dtype_name(t->dtype));
}

static bool check_types(cg *g, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && cg_reads_data(n, i) && !check_type(g, n, ir_in(n, i))) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i].uses && !check_type(g, n, &n->out[i])) return false;
    return true;
}

/* Names come from files, and failures are formats. */
static const char *as_format(cg *g, const char *text) {
    tl_str s;
    tl_str_init(&s, g->arena);
    for (; *text; text++)
        tl_str_printf(&s, *text == '%' ? "%%%%" : "%c", *text);
    return s.len ? s.data : "";
}

const char *cg_node_text(cg *g, const ir_node *n) {
    const ir_loc *loc = n->loc;
    const char *name = loc && loc->node && *loc->node ? loc->node : n->n_out ? n->out[0].name : "";
    return tl_arena_printf(g->arena, "node '%s' (%s)", name ? name : "",
                           loc && loc->op ? loc->op : op_get(n->op)->name);
}

int64_t cg_failure(cg *g, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str s;
    tl_str_init(&s, g->arena);
    if (g->node) tl_str_printf(&s, "%s, ", as_format(g, cg_node_text(g, g->node)));
    tl_str_vprintf(&s, format, args);
    va_end(args);
    for (uint32_t i = 0; i < g->failures.len; i++)
        if (strcmp(g->failures.data[i], s.data) == 0) return i;
    tl_vec_push(g->arena, &g->failures, s.data);
    return g->failures.len - 1;
}

static const char *dim_text(cg *g, const ir_dim *d) {
    tl_str s;
    tl_str_init(&s, g->arena);
    ir_dim_print(d, &s);
    return s.data;
}

static void add_check(cg *g, const ir_dim *from, const ir_dim *to, bool exact) {
    if (ir_dim_equal(from, to)) return;
    bool planned = cg_is_planned(g, from) && cg_is_planned(g, to);
    /* what holds in a branch is no condition of the others */
    if (!planned || (g->branches && !g->alone)) {
        if (g->alone) { /* one thread must not leave without the others */
            cg_unsupported(g, g->node, "sizes that only the run can compare");
            return;
        }
        cg_check_here(g, from, to, exact,
                      cg_failure(g, exact ? "dimension %%lld is not equal to %%lld"
                                          : "dimension %%lld is neither 1 nor equal to %%lld"));
        return;
    }
    for (uint32_t i = 0; i < g->checks.len; i++) {
        const cg_shape_check *c = &g->checks.data[i];
        if (c->from == from && c->to == to && c->exact == exact) return;
    }
    int64_t failure = cg_failure(g,
                                 exact ? "dimension '%s' is not equal to '%s'"
                                       : "dimension '%s' is neither 1 nor equal to '%s'",
                                 as_format(g, dim_text(g, from)), as_format(g, dim_text(g, to)));
    tl_vec_push(g->arena, &g->checks, (cg_shape_check){from, to, exact, failure});
}

void cg_check_broadcast(cg *g, const ir_dim *from, const ir_dim *to) {
    if (!ir_dim_is(from, 1)) add_check(g, from, to, false);
}

void cg_check_equal(cg *g, const ir_dim *from, const ir_dim *to) {
    add_check(g, from, to, true);
}

void cg_check_at_most(cg *g, const ir_dim *d, const ir_dim *most) {
    if (ir_dim_lower_bound(ir_dim_sub(g->c, most, d)) < 0)
        add_check(g, ir_dim_max(g->c, d, most), most, true);
}

/* ---- buffers --------------------------------------------------------------------------------------------------- */

static uint64_t moment(const cg *g, uint32_t call) {
    return (uint64_t)g->epoch << 32 | call;
}

static uint32_t epoch_of(uint64_t moment) {
    return (uint32_t)(moment >> 32);
}

cg_buffer *cg_buffer_create(cg *g, const ir_dim *bytes) {
    bytes = cg_dim_limit(g, bytes);
    if (!cg_is_planned(g, bytes)) return cg_buffer_grown(g, bytes, false);
    const ir_dim *line = cg_dc(g, 64);
    if (g->alone) bytes = ir_dim_mul(g->c, ir_dim_ceildiv(g->c, bytes, line), line);
    cg_buffer *b = TL_NEW(g->arena, cg_buffer);
    *b = (cg_buffer){.kind = CG_WORKSPACE,
                     .number = g->n_buffers++,
                     .bytes = bytes,
                     .per_thread = g->alone,
                     .first = moment(g, g->n_calls),
                     .last = moment(g, g->n_calls)};
    if (g->last_buffer)
        g->last_buffer->next = b;
    else
        g->buffers = b;
    g->last_buffer = b;
    return b;
}

cg_buffer *cg_thread_buffer(cg *g, const ir_dim *bytes) {
    bytes = cg_dim_limit(g, bytes);
    if (!cg_is_planned(g, bytes)) return cg_buffer_grown(g, bytes, true);
    cg_buffer *b = cg_buffer_create(g, bytes);
    b->per_thread = true;
    return b;
}

static const ir_dim *type_bytes(cg *g, const ir_type *t) {
    return ir_dim_mul(g->c, ir_type_elements(g->c, t), cg_dc(g, cg_elem_bytes(t->dtype)));
}

static cg_buffer *weight_buffer(cg *g, ir_value *v) {
    cg_weight_list *list = &g->weights_list;
    cg_buffer *b = tl_map_get_ptr(&list->by_tensor, v->tensor);
    if (b) return b;
    b = TL_NEW(g->arena, cg_buffer);
    *b = (cg_buffer){.kind = CG_WEIGHT, .offset = list->bytes, .tensor = v->tensor};
    b->bytes = type_bytes(g, v->type);
    size_t bytes = cg_is_packed(v->type->dtype) ? ir_tensor_elements(v->tensor) : v->tensor->bytes;
    list->bytes += (int64_t)((bytes + 63) & ~(size_t)63);
    *(list->last ? &list->last->next : &list->first) = b;
    tl_map_set_ptr(&list->by_tensor, v->tensor, b);
    return list->last = b;
}

/* Strings point to their bytes: the linker puts the addresses into the cell's constant, not into the block of weights. */
static cg_buffer *constant_strings(cg *g, ir_value *v) {
    cg_buffer *b = TL_NEW(g->arena, cg_buffer);
    *b = (cg_buffer){.kind = CG_CELL, .number = cg_value_cell(g, v)};
    return b;
}

static const cg_view *weight_view(cg *g, ir_value *v) {
    if (v->type->dtype == DT_str) return cg_view_dense(g, constant_strings(g, v), v->type);
    return cg_view_dense(g, weight_buffer(g, v), v->type);
}

static void keep_until(cg_buffer *b, uint64_t moment) {
    if (b->last < moment) b->last = moment;
}

/* Keeps the buffer alive now, and to the end of every loop around us that began after it was made. */
static void touch(cg *g, cg_buffer *b) {
    if (b->kind != CG_WORKSPACE) return;
    keep_until(b, moment(g, g->serial ? g->n_calls : UINT32_MAX));
    if (!g->serial && epoch_of(b->first) == g->epoch) b->first = moment(g, 0);
    for (cg_loop *l = g->loop; l; l = l->outer)
        if (epoch_of(b->first) < l->first_epoch) tl_vec_push(g->arena, &l->survivors, b);
}

void cg_loop_begin(cg *g, cg_loop *l) {
    *l = (cg_loop){.outer = g->loop};
    cg_barrier(g);
    l->first_epoch = g->epoch;
    g->loop = l;
}

void cg_loop_end(cg *g, cg_loop *l) {
    for (uint32_t i = 0; i < l->survivors.len; i++)
        keep_until(l->survivors.data[i], moment(g, UINT32_MAX));
    g->loop = l->outer;
    cg_barrier(g);
}

void cg_barrier(cg *g) {
    if (!g->alone) {
        lp_value *args[2] = {g->frame, g->tid};
        lp_call(&g->b, "tlbc_rt_barrier", lp_scalar(LP_VOID), args, 2);
        cg_step_add(g, CG_STEP_BARRIER, NULL, NULL);
    }
    g->epoch++;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

void cg_set_view(cg *g, ir_value *v, const cg_view *view) {
    tl_map_set_ptr(&g->views, v, view);
}
void cg_set_dest(cg *g, ir_value *v, const cg_view *view) {
    tl_map_set_ptr(&g->dests, v, view);
}

const cg_view *cg_read(cg *g, ir_value *v) {
    const cg_view *view = tl_map_get_ptr(&g->views, v);
    if (view) return view;
    TL_ASSERT(v->tensor); /* everything else has been lowered before it is read */
    view = weight_view(g, v);
    cg_set_view(g, v, view);
    return view;
}

static const cg_view *fresh_dense(cg *g, const ir_type *t) {
    return cg_view_dense(g, cg_buffer_create(g, type_bytes(g, t)), t);
}

const cg_view *cg_write(cg *g, ir_value *v) {
    const cg_view *view = tl_map_get_ptr(&g->dests, v);
    if (!view) view = fresh_dense(g, v->type);
    cg_set_view(g, v, view);
    return view;
}

static const ir_type *view_type(cg *g, const cg_view *v) {
    return ir_type_tensor(g->c, v->dtype, v->rank, v->dims);
}

const cg_view *cg_materialise(cg *g, const cg_view *v) {
    const cg_view *copy = fresh_dense(g, view_type(g, v));
    cg_copy(g, v, copy);
    return copy;
}

const cg_view *cg_read_dense(cg *g, ir_value *v) {
    const cg_view *view = cg_read(g, v);
    return cg_view_is_dense(g, view) ? view : cg_materialise(g, view);
}

const cg_view *cg_read_rows(cg *g, ir_value *v) {
    const cg_view *view = cg_read(g, v);
    int32_t last = view->rank - 1;
    if (last < 0 || ir_dim_is(view->strides[last], 1) || ir_dim_is(view->dims[last], 1))
        return view;
    return cg_materialise(g, view);
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

static lp_value *buffer_base(cg *g, const cg_buffer *b) {
    switch (b->kind) {
    case CG_WEIGHT:
        return lp_ptr_add(&g->b, g->weights, lp_index(&g->b, b->offset));
    case CG_INPUT:
        return lp_load(&g->b, lp_scalar(LP_PTR), g->inputs, lp_index(&g->b, b->number));
    case CG_OUTPUT:
        return lp_load(&g->b, lp_scalar(LP_PTR), g->outputs, lp_index(&g->b, b->number));
    case CG_STATE:
    case CG_PLACE:
        return lp_load(&g->b, lp_scalar(LP_PTR), g->states, lp_index(&g->b, b->number));
    case CG_NEXT:
        return lp_load(&g->b, lp_scalar(LP_PTR), g->next, lp_index(&g->b, b->number));
    case CG_WORKSPACE:
        return cg_watched_buffer(g, b, lp_buffer(&g->b, b->number));
    case CG_CELL:
        return cg_cell_data(g, b->number);
    }
    TL_UNREACHABLE();
}

lp_value *cg_pointer(cg *g, const cg_view *v) {
    touch(g, v->buffer);
    lp_value *base = buffer_base(g, v->buffer);
    if (v->buffer->per_thread)
        base = lp_ptr_add(&g->b, base, lp_bin(&g->b, LP_mul, g->tid, cg_dim(g, v->buffer->bytes)));
    if (ir_dim_is(v->offset, 0)) return base;
    const ir_dim *bytes = ir_dim_mul(g->c, v->offset, cg_dc(g, cg_elem_bytes(v->dtype)));
    return lp_ptr_add(&g->b, base, cg_dim(g, bytes));
}

lp_value *cg_load_scalar(cg *g, ir_value *v) {
    return cg_load_element(g, v, 0);
}

lp_value *cg_load_element(cg *g, ir_value *v, int64_t i) {
    const cg_view *view = cg_read(g, v);
    cg_buffer *b = view->buffer;
    if (!cg_is_read_only(b->kind) && b->write.epoch == g->epoch) cg_barrier(g);
    lp_value *at = lp_index(&g->b, i);
    if (i) at = lp_bin(&g->b, LP_mul, at, cg_dim(g, view->strides[0]));
    lp_value *x = lp_load(&g->b, lp_scalar(view->dtype), cg_pointer(g, view), at);
    /* the next kernel may overwrite it while another thread has not read it yet */
    b->read = (cg_access){.epoch = g->epoch};
    return x;
}

/* ---- which nodes run ------------------------------------------------------------------------------------------- */

static bool is_known_constant(const ir_value *v) {
    int64_t x[IR_MAX_KNOWN];
    return v && ir_value_const_ints(v, x, IR_MAX_KNOWN) >= 0;
}

bool cg_knows_contents(const ir_value *v) {
    if (!v || v->tensor) return v;
    for (uint32_t i = 0; v->known && i < v->known->n; i++)
        if (ir_dim_is_unknown(v->known->dims[i])) return false;
    return v->known;
}

bool cg_reads_data(const ir_node *n, uint32_t i) {
    if (cg_shape_operands(n) >> i & 1) return true;
    switch (n->op) {
    case OP_Shape:
    case OP_Size:
    case OP_EyeLike:
    case OP_ConstantOfShape:
    case OP_Mt19937:
        return false;
    case OP_Reshape:
    case OP_Expand:
    case OP_Tile:
    case OP_Squeeze:
    case OP_Unsqueeze:
    case OP_Split:
        return i == 0;
    case OP_Slice:
        return i == 0 || (i == 1 && !cg_knows_contents(ir_in(n, i)));
    case OP_Pad:
        return i == 0 || i == 2;
    case OP_Resize:
        return i == 0 || (i == 1 && ir_in(n, i) && !ir_in(n, i)->tensor);
    case OP_Col2Im:
        return i == 0;
    case OP_Range:
        return i != 1;
    case OP_Trilu:
    case OP_CumSum:
    case OP_CumProd:
        return i == 0 || !is_known_constant(ir_in(n, i));
    default:
        return true;
    }
}

static void mark_value(ir_value *v, uint32_t mark) {
    if (v) v->mark = mark;
}

static bool is_demanded(const ir_node *n, uint32_t mark) {
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i].mark == mark) return true;
    return false;
}

/* The values that give symbols which are no dimensions of inputs their meaning: symbol -> ir_value *. */
static void find_definers(cg *g, const ir_region *r) {
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_regions; i++)
            find_definers(g, n->regions[i]);
        for (uint32_t i = 0; i < n->n_out; i++) {
            const ir_type *t = n->out[i].type;
            for (int32_t k = 0; ir_type_is_ranked(t) && k < t->rank; k++) {
                if (!ir_dim_is_symbol(t->dims[k]) || cg_is_planned(g, t->dims[k])) continue;
                const char *symbol = ir_dim_symbol_name(t->dims[k]);
                if (!tl_map_get_ptr(&g->definers, symbol))
                    tl_map_set_ptr(&g->definers, symbol, &n->out[i]);
            }
        }
    }
}

static void demand_definer(void *data, const char *symbol) {
    const cg *g = data;
    mark_value(tl_map_get_ptr(&g->definers, symbol), g->demanded);
}

/* Whoever says "as many as there are in %y" needs what makes %y, whether it reads %y or not. */
static void demand_sizes(cg *g, const ir_value *v) {
    if (!v) return;
    for (int32_t i = 0; ir_type_is_ranked(v->type) && i < v->type->rank; i++)
        ir_dim_each_symbol(v->type->dims[i], demand_definer, g);
    for (uint32_t i = 0; v->known && i < v->known->n; i++)
        ir_dim_each_symbol(v->known->dims[i], demand_definer, g);
}

static void demand_region(cg *g, ir_region *r) {
    for (uint32_t i = 0; i < r->yield->n_in; i++) {
        mark_value(r->yield->in[i].value, g->demanded);
        demand_sizes(g, r->yield->in[i].value);
    }
    for (ir_node *n = r->last; n; n = n->prev) {
        if (!is_demanded(n, g->demanded)) continue;
        for (uint32_t i = 0; i < n->n_in; i++) {
            if (cg_reads_data(n, i)) mark_value(n->in[i].value, g->demanded);
            demand_sizes(g, ir_in(n, i));
        }
        for (uint32_t i = 0; i < n->n_out; i++)
            demand_sizes(g, &n->out[i]);
        for (uint32_t i = 0; i < n->n_regions; i++)
            demand_region(g, n->regions[i]);
    }
}

uint32_t cg_line(const cg *g, const ir_node *n) {
    const uint64_t *line = g->lines && n ? tl_map_find(g->lines, (uint64_t)(uintptr_t)n) : NULL;
    return line ? (uint32_t)*line : 0;
}

bool cg_lower_region(cg *g, ir_region *r) {
    ir_for_each_node (n, r) {
        if (!is_demanded(n, g->demanded)) continue;
        g->node = n;
        g->b.loc = n->loc;
        g->b.line = cg_line(g, n);
        cg_lower_fn *lower = cg_is_called(n) ? lower_call : cg_lower_get(n->op);
        if (!check_types(g, n) || !cg_resolve_shape(g, n) || !lower(g, n) || g->failed) {
            if (!g->failed) cg_unsupported(g, n, "cannot be compiled");
            return false;
        }
    }
    return true;
}

/* ---- the whole graph ------------------------------------------------------------------------------------------- */

static lp_value *frame_member(cg *g, size_t offset) {
    return lp_load(&g->b, lp_scalar(LP_PTR),
                   lp_ptr_add(&g->b, g->frame, lp_index(&g->b, (int64_t)offset)),
                   lp_index(&g->b, 0));
}

static void begin_program(cg *g, const ir_graph *graph) {
    lp_func *f = lp_func_create(g->lp, "program");
    f->external = true;
    g->frame = lp_func_add_param(f, lp_scalar(LP_PTR), "frame", LP_READONLY);
    g->tid = lp_func_add_param(f, LP_I64, "tid", 0);
    g->n_threads = lp_func_add_param(f, LP_I64, "n_threads", 0);
    g->b = lp_build_in(f);
    g->workspace = frame_member(g, offsetof(tlbc_frame, workspace));
    g->weights = frame_member(g, offsetof(tlbc_frame, weights));
    g->inputs = frame_member(g, offsetof(tlbc_frame, inputs));
    g->outputs = frame_member(g, offsetof(tlbc_frame, outputs));
    g->slots = frame_member(g, offsetof(tlbc_frame, slots));
    g->symbols = frame_member(g, offsetof(tlbc_frame, symbols));
    if (graph->n_states) {
        g->states = frame_member(g, offsetof(tlbc_frame, states));
        g->next = frame_member(g, offsetof(tlbc_frame, next));
    }
    cg_scope_begin(g);
    for (uint32_t i = 0; i < g->symbol_names.len; i++) {
        lp_value *v = lp_load(&g->b, LP_I64, g->symbols, lp_index(&g->b, i));
        cg_symbol_set(g, g->symbol_names.data[i], v);
    }
    cg_step_add(g, CG_STEP_BEGIN, NULL, NULL);
}

static void bind_cell_input(cg *g, ir_value *v, uint32_t i) {
    cg_cells_begin(g);
    uint32_t cell = cg_value_cell(g, v);
    g->cells->cells.data[cell].input = (int32_t)i;
}

static bool bind_inputs(cg *g, const ir_graph *graph) {
    uint32_t n_in = ir_graph_n_inputs(graph);
    for (uint32_t i = 0; i < graph->body->n_params; i++) {
        ir_value *v = graph->body->params[i];
        if (!check_type(g, NULL, v)) return false;
        if (cg_is_cell_value(v)) {
            bind_cell_input(g, v, i);
            continue;
        }
        if (!ir_type_is_known(v->type))
            return cg_unsupported(g, NULL, "input '%s' has no known rank", v->name);
        cg_buffer *b = TL_NEW(g->arena, cg_buffer);
        *b = i < n_in ? (cg_buffer){.kind = CG_INPUT, .number = i}
                      : (cg_buffer){.kind = CG_STATE, .number = i - n_in};
        const cg_view *given = cg_view_dense(g, b, v->type);
        cg_set_view(g, v, given);
        if (!cg_is_packed(v->type->dtype) || v->mark != g->demanded) continue;
        cg_set_view(g, v, fresh_dense(g, v->type));
        cg_unpack(g, given, cg_read(g, v));
    }
    return true;
}

bool cg_state_is_kept(const ir_graph *graph, uint32_t i) {
    return ir_region_result(graph->body, ir_graph_n_outputs(graph) + i) == ir_graph_state(graph, i);
}

static bool is_placed(const cg *g, uint32_t state) {
    return g->places && g->places[state].used;
}

/* Results are written to the caller's memory, or to the states', by the kernel that makes them, where one does. */
static const cg_view **assign_outputs(cg *g, const ir_graph *graph) {
    const ir_region *body = graph->body;
    uint32_t n = ir_region_n_results(body), n_out = ir_graph_n_outputs(graph);
    const cg_view **views = TL_NEW_ARRAY(g->arena, const cg_view *, n);
    for (uint32_t i = 0; i < n; i++) {
        ir_value *v = ir_region_result(body, i);
        if (i >= n_out && cg_state_is_kept(graph, i - n_out)) continue;
        if (i >= n_out && is_placed(g, i - n_out)) {
            views[i] = g->places[i - n_out].next;
            continue;
        }
        if (!check_type(g, NULL, v)) return NULL;
        bool planned = cg_is_planned_type(g, v->type) && v->type->dtype != DT_str;
        if (!planned) {
            if (i < n_out)
                continue; /* handed over when the run has told its shape, or its strings */
            cg_unsupported(g, v->def, "a state has no known shape");
            return NULL;
        }
        cg_buffer *b = TL_NEW(g->arena, cg_buffer);
        *b = i < n_out ? (cg_buffer){.kind = CG_OUTPUT, .number = i}
                       : (cg_buffer){.kind = CG_NEXT, .number = i - n_out};
        views[i] = cg_view_dense(g, b, v->type);
        bool packed = cg_is_packed(v->type->dtype);
        bool produced = !packed && v->def && !op_is(v->def->op, OP_VIEW) &&
                        !tl_map_get_ptr(&g->dests, v);
        if (produced) cg_set_dest(g, v, views[i]);
    }
    return views;
}

/* Elements of less than a byte as the caller gets them, in memory of their own. */
static const cg_view *packed_copy(cg *g, ir_value *v) {
    const ir_type *t = v->type;
    const ir_dim *per_byte = cg_dc(g, 8 / ir_dtype_bits(t->dtype)),
                 *bytes = ir_dim_ceildiv(g->c, cg_dims_product(g, t->dims, t->rank), per_byte);
    const cg_view *to = cg_view_dense(g, cg_buffer_grown(g, bytes, false), t);
    cg_pack(g, cg_read_dense(g, v), to);
    return to;
}

/* Outputs whose shape depends on data, or that are no tensors: the session finds them in cells. Nothing runs after this, so memory of
 * the workspace that a cell points to stays as it is. */
static bool hand_over_cells(cg *g, const ir_graph *graph, const cg_view *const *outputs) {
    uint32_t n = ir_graph_n_outputs(graph), count = 0;
    int32_t *cells = TL_NEW_ARRAY(g->arena, int32_t, (size_t)n + 1);
    const cg_view **packed = TL_NEW_ARRAY(g->arena, const cg_view *, (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++) {
        ir_value *v = ir_region_result(graph->body, i);
        cells[i] = -1;
        if (outputs[i]) continue;
        cg_cells_begin(g);
        if (!cg_is_cell_value(v) && cg_is_packed(v->type->dtype))
            packed[i] = packed_copy(g, v);
        else
            cg_make_bindable(g, v);
        count++;
    }
    if (!count) return true;
    cg_barrier(g);
    for (uint32_t i = 0; i < n; i++)
        if (!outputs[i])
            cells[i] = (int32_t)(packed[i] ? cg_bind(g, packed[i], packed[i]->dtype)
                                           : cg_as_cell(g, ir_region_result(graph->body, i)));
    g->cells->outputs = cells;
    return true;
}

static bool is_elsewhere(const cg_view *from, const cg_view *to) {
    return to->buffer->kind == CG_PLACE ? !cg_view_is_same(from, to) : from->buffer != to->buffer;
}

bool cg_lower_graph(cg *g, ir_graph *graph) {
    g->epoch = 1;
    g->demanded = ir_new_mark(g->c);
    find_definers(g, graph->body);
    demand_region(g, graph->body);
    begin_program(g, graph);
    if (!bind_inputs(g, graph)) return false;
    if (g->places) cg_places_bind(g, graph);
    const cg_view **outputs = assign_outputs(g, graph);
    if (!outputs || !cg_lower_region(g, graph->body)) return false;
    for (uint32_t i = 0; i < ir_region_n_results(graph->body); i++) {
        if (!outputs[i]) continue;
        const cg_view *from = cg_read(g, ir_region_result(graph->body, i));
        if (cg_is_packed(from->dtype))
            cg_pack(g, cg_view_is_dense(g, from) ? from : cg_materialise(g, from), outputs[i]);
        else if (is_elsewhere(from, outputs[i]))
            cg_copy(g, from, outputs[i]);
    }
    cg_places_end(g);
    if (!hand_over_cells(g, graph, outputs)) return false;
    cg_scope_end(g);
    return !g->failed;
}
