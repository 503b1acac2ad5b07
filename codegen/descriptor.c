/* Building the descriptor; see descriptor.h. The structs are those of the headers the runtime is compiled with, so their layout cannot
 * differ; pointers are zero in the bytes and listed as relocations to offsets in the same block. */
#include "codegen/descriptor.h"

#include "codegen/dynamic.h"
#include "codegen/place.h"
#include "codegen/program.h"

#include "ir/base/assert.h"
#include "ir/call.h"
#include "ir/cost.h"

#include <stdlib.h>
#include <string.h>

#define COMPILER_NAME "tlbc 0.1.0"

/* ---- bytes and relocations --------------------------------------------------------------------------------------------- */

typedef struct block {
    tl_arena *arena;
    const char *symbol;
    char *data;
    size_t len, cap;
    TL_VEC(cg_reloc) relocs;
} block;

/* Room for n bytes, zeroed, 8-byte aligned; the result is its offset. */
static size_t reserve(block *b, size_t n) {
    size_t at = (b->len + 7) & ~(size_t)7;
    if (at + n > b->cap) {
        size_t cap = (at + n) * 2;
        char *data = tl_arena_alloc(b->arena, cap, 8);
        if (b->len) memcpy(data, b->data, b->len);
        b->data = data;
        b->cap = cap;
    }
    b->len = at + n;
    return at;
}

static void point_to(block *b, size_t at, const char *symbol, int64_t addend) {
    tl_vec_push(b->arena, &b->relocs, (cg_reloc){at, symbol, addend});
}

static void point_inside(block *b, size_t at, size_t target) {
    point_to(b, at, b->symbol, (int64_t)target);
}

static void put_string(block *b, size_t at, const char *s) {
    if (!s) return;
    size_t n = strlen(s) + 1, to = reserve(b, n);
    memcpy(b->data + to, s, n);
    point_inside(b, at, to);
}

/* A string of the runtime: pointer and length. */
static void put_text(block *b, size_t at, tl_sv s) {
    tlbc_string text = {NULL, s.len};
    memcpy(b->data + at, &text, sizeof text);
    if (!s.len) return;
    size_t to = reserve(b, s.len);
    memcpy(b->data + to, s.data, s.len);
    point_inside(b, at + offsetof(tlbc_string, data), to);
}

static void put_strings(block *b, size_t at, const char *const *s, uint32_t n) {
    if (!n) return;
    size_t list = reserve(b, n * sizeof(char *));
    point_inside(b, at, list);
    for (uint32_t i = 0; i < n; i++)
        put_string(b, list + i * sizeof(char *), s[i]);
}

/* ---- the structs ---------------------------------------------------------------------------------------------------------- */

typedef struct binding {
    const cg_interface *io;
    bool *bound; /* by symbol: an earlier dimension defines it, this one is checked against it */
    bool inputs;
} binding;

static tlbc_dim make_dim(const ir_dim *d, binding *bind) {
    tlbc_dim out = {.value = -1, .expr = -1, .bind = -1};
    if (ir_dim_is_const(d, &out.value)) return out;
    out.value = -1;
    out.expr = cg_interface_expr(bind->io, d);
    if (!bind->inputs || !ir_dim_is_symbol(d)) return out;
    int32_t s = cg_interface_symbol(bind->io, ir_dim_symbol_name(d));
    if (!bind->bound[s]) out.bind = s;
    bind->bound[s] = true;
    return out;
}

static void put_dims(block *b, size_t at, const ir_type *t, binding *bind) {
    size_t dims = reserve(b, (size_t)t->rank * sizeof(tlbc_dim));
    point_inside(b, at, dims);
    for (int32_t i = 0; i < t->rank; i++) {
        tlbc_dim d = make_dim(t->dims[i], bind);
        size_t to = dims + (size_t)i * sizeof d;
        memcpy(b->data + to, &d, sizeof d);
        if (d.value >= 0) continue;
        tl_str text;
        tl_str_init(&text, b->arena);
        ir_dim_print(t->dims[i], &text);
        put_string(b, to + offsetof(tlbc_dim, symbol), text.data);
    }
}

/* A value that is no tensor: its kind, and what is inside. A list has one dimension, which the run tells. */
static tlbc_tensor_info list_info(const ir_type *t) {
    unsigned kind = t->kind == IR_TYPE_SEQUENCE   ? TLBC_SEQUENCE
                    : t->kind == IR_TYPE_OPTIONAL ? TLBC_OPTIONAL
                                                  : TLBC_MAP;
    return (tlbc_tensor_info){.dtype = (tlbc_dtype)kind, .rank = 1};
}

static void put_tensor(block *b, size_t at, const char *name, const ir_type *t, int32_t along,
                       binding *bind);

static void put_list(block *b, size_t at, const ir_type *t, binding *bind) {
    tlbc_dim open = {.value = -1, .expr = -1, .bind = -1};
    size_t dims = reserve(b, sizeof open), n = t->kind == IR_TYPE_MAP ? 2 : 1;
    memcpy(b->data + dims, &open, sizeof open);
    point_inside(b, at + offsetof(tlbc_tensor_info, dims), dims);
    size_t inside = reserve(b, n * sizeof(tlbc_tensor_info));
    point_inside(b, at + offsetof(tlbc_tensor_info, element), inside);
    bool inputs = bind->inputs;
    bind->inputs = false; /* sizes of elements bind nothing */
    if (n == 2) {
        tlbc_tensor_info key = {.dtype = (tlbc_dtype)t->dtype, .rank = TLBC_ANY_RANK};
        memcpy(b->data + inside, &key, sizeof key);
        inside += sizeof key;
    }
    put_tensor(b, inside, NULL, t->element, -1, bind);
    bind->inputs = inputs;
}

/* along: the axis of a sequence, or -1. */
static void put_tensor(block *b, size_t at, const char *name, const ir_type *t, int32_t along,
                       binding *bind) {
    bool tensor = ir_type_is_tensor(t), ranked = ir_type_is_ranked(t);
    tlbc_tensor_info info = {.dtype = (tlbc_dtype)t->dtype,
                             .rank = ranked ? (uint32_t)t->rank : TLBC_ANY_RANK,
                             .sequence = (uint32_t)(along + 1)};
    if (!tensor) info = list_info(t);
    memcpy(b->data + at, &info, sizeof info);
    put_string(b, at + offsetof(tlbc_tensor_info, name), name);
    if (ranked) put_dims(b, at + offsetof(tlbc_tensor_info, dims), t, bind);
    if (!tensor) put_list(b, at, t, bind);
}

static void put_delay(block *b, size_t at, const int64_t *delay) {
    uint32_t positions = delay ? (uint32_t)*delay : 0;
    memcpy(b->data + at + offsetof(tlbc_tensor_info, delay), &positions, sizeof positions);
}

/* A state's shape for one stream. */
typedef struct state_shape {
    int32_t stream_axis;
    size_t dims[TLBC_MAX_RANK], elements;
} state_shape;

static state_shape shape_of_state(const ir_type *t) {
    state_shape s = {.stream_axis = -1, .elements = 1};
    for (int32_t i = 0; i < t->rank; i++) {
        int64_t v;
        s.dims[i] = 1;
        if (ir_dim_is_const(t->dims[i], &v))
            s.dims[i] = (size_t)v;
        else if (ir_dim_upper_bound(t->dims[i]) < INT64_MAX)
            s.dims[i] = (size_t)ir_dim_upper_bound(t->dims[i]);
        else
            s.stream_axis = i;
        s.elements *= s.dims[i];
    }
    return s;
}

/* The initial value of one stream, stretched to its whole shape: element by element, the last axis fastest. */
static void put_initial(block *b, size_t to, const ir_tensor *from, const state_shape *s,
                        int32_t rank) {
    size_t width = ir_dtype_bits(from->type->dtype) / 8;
    int32_t lead = rank - from->type->rank;
    for (size_t i = 0; i < s->elements; i++) {
        size_t at = 0, left = i, step = 1;
        for (int32_t d = rank - 1; d >= lead; d--) {
            int64_t extent = 1;
            ir_dim_is_const(from->type->dims[d - lead], &extent);
            if (extent > 1) at += left % s->dims[d] * step;
            left /= s->dims[d];
            step *= (size_t)extent;
        }
        memcpy(b->data + to + i * width, (const char *)from->data + at * width, width);
    }
}

static bool is_zero(const ir_tensor *t) {
    const char *p = t->data;
    for (size_t i = 0; i < t->bytes; i++)
        if (p[i]) return false;
    return true;
}

static void put_state(block *b, size_t at, const cg_entry *e, uint32_t i, binding *bind) {
    const ir_graph *g = e->graph;
    const cg_place *place = &e->places[i];
    const ir_value *v = ir_graph_state(g, i);
    const ir_tensor *initial = ir_graph_initial(g, i)->tensor;
    state_shape s = shape_of_state(v->type);
    size_t bytes = s.elements * (ir_dtype_bits(v->type->dtype) / 8);
    put_tensor(b, at + offsetof(tlbc_state_info, tensor), v->name, v->type, -1, bind);
    if (!is_zero(initial)) {
        size_t to = reserve(b, bytes);
        put_initial(b, to, initial, &s, v->type->rank);
        point_inside(b, at + offsetof(tlbc_state_info, initial), to);
    }
    uint64_t stored = bytes;
    memcpy(b->data + at + offsetof(tlbc_state_info, bytes), &stored, sizeof stored);
    memcpy(b->data + at + offsetof(tlbc_state_info, stream_axis), &s.stream_axis,
           sizeof s.stream_axis);
    uint16_t kept = cg_state_is_kept(g, i), in_place = place->used;
    memcpy(b->data + at + offsetof(tlbc_state_info, kept), &kept, sizeof kept);
    memcpy(b->data + at + offsetof(tlbc_state_info, in_place), &in_place, sizeof in_place);
}

static void put_states(block *b, const cg_entry *e, binding *bind) {
    const ir_graph *g = e->graph;
    if (!g->n_states) return;
    size_t list = reserve(b, g->n_states * sizeof(tlbc_state_info));
    point_inside(b, offsetof(tlbc_model, states), list);
    for (uint32_t i = 0; i < g->n_states; i++)
        put_state(b, list + i * sizeof(tlbc_state_info), e, i, bind);
}

/* How a state lies that has a place: one stream of it. */
static tlbc_place describe_place(const ir_type *t, const cg_place *place) {
    state_shape s = shape_of_state(t);
    tlbc_place out = {.runs = 1, .row_bytes = ir_dtype_bits(t->dtype) / 8};
    for (int32_t i = 0; i < t->rank; i++) {
        if (i < place->axis) out.runs *= s.dims[i];
        if (i > place->axis) out.row_bytes *= s.dims[i];
    }
    out.rows = place->grows ? -1 : place->rows;
    out.room = place->room;
    out.advance = place->advance;
    out.written = place->written;
    return out;
}

static void put_places(block *b, size_t at, const cg_entry *e) {
    uint32_t n = e->graph->n_states, used = 0;
    for (uint32_t i = 0; i < n; i++)
        used += e->places[i].used;
    if (!used) return;
    size_t list = reserve(b, n * sizeof(tlbc_place));
    point_inside(b, at, list);
    for (uint32_t i = 0; i < n; i++) {
        if (!e->places[i].used) continue;
        tlbc_place p = describe_place(ir_graph_state(e->graph, i)->type, &e->places[i]);
        memcpy(b->data + list + i * sizeof p, &p, sizeof p);
    }
}

static void put_interface(block *b, const cg_entry *e) {
    const ir_graph *g = e->graph;
    const cg_interface *io = e->io;
    uint32_t n_in = ir_graph_n_inputs(g), n_out = ir_graph_n_outputs(g);
    binding bind = {.io = io, .inputs = true};
    bind.bound = TL_NEW_ARRAY(b->arena, bool, io->symbols.len);
    if (io->length) bind.bound[cg_interface_symbol(io, ir_dim_symbol_name(io->length))] = true;
    size_t in = reserve(b, n_in * sizeof(tlbc_tensor_info)),
           out = reserve(b, n_out * sizeof(tlbc_tensor_info));
    point_inside(b, offsetof(tlbc_model, inputs), in);
    point_inside(b, offsetof(tlbc_model, outputs), out);
    for (uint32_t i = 0; i < n_in; i++) {
        const ir_value *v = g->body->params[i];
        put_tensor(b, in + i * sizeof(tlbc_tensor_info), v->name, v->type,
                   ir_graph_along(g, v->name, false), &bind);
    }
    bind.inputs = false;
    for (uint32_t i = 0; i < n_out; i++) {
        size_t at = out + i * sizeof(tlbc_tensor_info);
        put_tensor(b, at, g->outputs[i], ir_region_result(g->body, i)->type,
                   ir_graph_along(g, g->outputs[i], true), &bind);
        put_delay(b, at, ir_graph_delay(g, g->outputs[i]));
    }
    put_states(b, e, &bind);
}

static void put_variants(block *b, size_t at, const cg_variant *variants, uint32_t n) {
    size_t list = reserve(b, n * sizeof(tlbc_variant));
    point_inside(b, at, list);
    for (uint32_t i = 0; i < n; i++) {
        const cg_variant *v = &variants[i];
        tlbc_variant out = {.features = v->target->required};
        size_t to = list + i * sizeof out;
        memcpy(b->data + to, &out, sizeof out);
        put_string(b, to + offsetof(tlbc_variant, cpu), v->target->name);
        point_to(b, to + offsetof(tlbc_variant, main), v->main_name, 0);
        point_to(b, to + offsetof(tlbc_variant, plan), v->plan_name, 0);
    }
}

/* ---- values only the run knows ----------------------------------------------------------------------------------------- */

/* A tensor as the runtime reads it, into place. */
static void put_tensor_value(block *b, size_t at, const tlbc_tensor *t) {
    tlbc_tensor v = *t;
    bool strings = t->dtype == TLBC_STRING;
    size_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (size_t)t->dims[i];
    v.data = NULL;
    memcpy(b->data + at, &v, sizeof v);
    size_t data = reserve(b, t->bytes);
    point_inside(b, at + offsetof(tlbc_tensor, data), data);
    if (!strings && t->bytes) memcpy(b->data + data, t->data, t->bytes);
    for (size_t i = 0; strings && i < n; i++)
        put_text(b, data + i * sizeof(tlbc_string), ((const tl_sv *)t->data)[i]);
}

static size_t put_constant(block *b, const ir_tensor *t) {
    tlbc_tensor v = {.data = (void *)(uintptr_t)t->data, .bytes = t->bytes};
    v.dtype = (tlbc_dtype)t->type->dtype;
    v.rank = (uint32_t)t->type->rank;
    for (int32_t i = 0; i < t->type->rank; i++)
        ir_dim_is_const(t->type->dims[i], &v.dims[i]);
    size_t at = reserve(b, sizeof v);
    put_tensor_value(b, at, &v);
    return at;
}

static void put_cells(block *b, size_t at, const cg_cells *c) {
    size_t list = reserve(b, c->cells.len * sizeof(tlbc_cell_info));
    point_inside(b, at, list);
    for (uint32_t i = 0; i < c->cells.len; i++) {
        const cg_cell *cell = &c->cells.data[i];
        tlbc_cell_info info = {cell->dtype, cell->rank, cell->input, cell->borrowed, NULL};
        size_t to = list + i * sizeof info;
        memcpy(b->data + to, &info, sizeof info);
        if (cell->constant)
            point_inside(b, to + offsetof(tlbc_cell_info, constant),
                         put_constant(b, cell->constant));
    }
}

/* Bytes of an attribute's payload: numbers as they are, strings and tensors with their pointers. */
static void put_payload(block *b, size_t at, const tlbc_rt_attr *a) {
    static const size_t sizes[] = {[TLBC_RT_INTS] = sizeof(int64_t),
                                   [TLBC_RT_FLOATS] = sizeof(float),
                                   [TLBC_RT_STRINGS] = sizeof(tlbc_string),
                                   [TLBC_RT_TENSORS] = sizeof(tlbc_tensor)};
    size_t to = reserve(b, a->n * sizes[a->kind]);
    point_inside(b, at, to);
    if (a->kind == TLBC_RT_INTS || a->kind == TLBC_RT_FLOATS) {
        if (a->n) memcpy(b->data + to, a->data, a->n * sizes[a->kind]);
        return;
    }
    for (uint32_t i = 0; a->kind == TLBC_RT_STRINGS && i < a->n; i++)
        put_text(b, to + i * sizeof(tlbc_string), ((const tl_sv *)a->data)[i]);
    for (uint32_t i = 0; a->kind == TLBC_RT_TENSORS && i < a->n; i++)
        put_tensor_value(b, to + i * sizeof(tlbc_tensor), &((const tlbc_tensor *)a->data)[i]);
}

static void put_attrs(block *b, size_t at, const tlbc_rt_attr *attrs, uint32_t n) {
    size_t list = reserve(b, n * sizeof *attrs);
    point_inside(b, at, list);
    for (uint32_t i = 0; i < n; i++) {
        tlbc_rt_attr a = {.kind = attrs[i].kind, .n = attrs[i].n};
        size_t to = list + i * sizeof a;
        memcpy(b->data + to, &a, sizeof a);
        put_string(b, to + offsetof(tlbc_rt_attr, name), attrs[i].name);
        put_payload(b, to + offsetof(tlbc_rt_attr, data), &attrs[i]);
    }
}

static void put_numbers(block *b, size_t at, const int32_t *v, uint32_t n) {
    size_t list = reserve(b, n * sizeof *v);
    point_inside(b, at, list);
    if (n) memcpy(b->data + list, v, n * sizeof *v);
}

static void put_calls(block *b, size_t at, const cg_cells *c) {
    size_t list = reserve(b, c->calls.len * sizeof(tlbc_call_info));
    point_inside(b, at, list);
    for (uint32_t i = 0; i < c->calls.len; i++) {
        const cg_call *call = &c->calls.data[i];
        tlbc_call_info info = {.n_in = call->n_in, .n_out = call->n_out, .keeps = call->keeps};
        const tlbc_rt_attr *attrs = ir_call_attrs(b->arena, call->node, &info.n_attrs);
        size_t to = list + i * sizeof info;
        memcpy(b->data + to, &info, sizeof info);
        point_to(b, to + offsetof(tlbc_call_info, fn), call->function, 0);
        put_string(b, to + offsetof(tlbc_call_info, where), call->where);
        put_attrs(b, to + offsetof(tlbc_call_info, attrs), attrs, info.n_attrs);
        put_numbers(b, to + offsetof(tlbc_call_info, cells), call->cells, call->n_in + call->n_out);
    }
}

static void put_dynamic(block *b, size_t at, const cg_cells *c, uint32_t n_outputs) {
    uint32_t counts[2] = {c->cells.len, c->calls.len};
    memcpy(b->data + at + offsetof(tlbc_program, n_cells), counts, sizeof counts);
    put_cells(b, at + offsetof(tlbc_program, cells), c);
    put_calls(b, at + offsetof(tlbc_program, calls), c);
    if (c->outputs)
        put_numbers(b, at + offsetof(tlbc_program, output_cells), c->outputs, n_outputs);
}

static uint32_t most_slots(const cg_variant *variants, uint32_t n) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        if (variants[i].plan.n_slots > most) most = variants[i].plan.n_slots;
    return most;
}

static void put_program(block *b, const cg_model *model, const cg_entry *e) {
    size_t at = reserve(b, sizeof(tlbc_program));
    point_inside(b, offsetof(tlbc_model, program), at);
    tlbc_program p = {.n_variants = model->n_variants,
                      .n_exprs = e->io->exprs.len,
                      .n_slots = most_slots(e->variants, model->n_variants),
                      .n_failures = e->n_failures};
    p.weights_hash = model->weights_hash;
    p.stream_symbol = e->io->stream ? cg_interface_symbol(e->io, e->io->stream) + 1 : 0;
    p.length_expr = p.work_expr = -1;
    if (!e->io->work)
        p.work = INT64_MAX;
    else if (!ir_dim_is_const(e->io->work, &p.work))
        p.work_expr = cg_interface_expr(e->io, e->io->work);
    if (e->io->length) {
        p.length_symbol = cg_interface_symbol(e->io, ir_dim_symbol_name(e->io->length)) + 1;
        p.length_limit = ir_dim_upper_bound(e->io->length);
        p.length_expr = cg_interface_expr(e->io, e->io->next_length);
    }
    memcpy(b->data + at, &p, sizeof p);
    put_variants(b, at + offsetof(tlbc_program, variants), e->variants, model->n_variants);
    if (model->options->weights_file)
        put_string(b, at + offsetof(tlbc_program, weights_file), model->options->weights_file);
    else if (model->weight_bytes)
        point_to(b, at + offsetof(tlbc_program, weights), model->weights_symbol, 0);
    put_strings(b, at + offsetof(tlbc_program, failures), e->failures, e->n_failures);
    put_places(b, at + offsetof(tlbc_program, places), e);
    if (e->cells) put_dynamic(b, at, e->cells, ir_graph_n_outputs(e->graph));
}

/* The table of all entries follows the first one's struct; the others point there. */
static void put_entries(block *b, const cg_model *model, const cg_entry *e) {
    const cg_entry *first = &model->entries[0];
    uint32_t n = 0;
    for (uint32_t i = 0; i < model->n_entries; i++)
        n += !model->entries[i].graph->tail;
    if (n == 1 || e->graph->tail) n = 0;
    size_t table = (sizeof(tlbc_model) + 7) & ~(size_t)7;
    memcpy(b->data + offsetof(tlbc_model, n_entries), &n, sizeof n);
    if (!n) return;
    point_to(b, offsetof(tlbc_model, entries), first->symbol, (int64_t)table);
    if (e != first) return;
    size_t at = reserve(b, n * sizeof(tlbc_entry_info));
    TL_ASSERT(at == table);
    for (uint32_t i = 0, k = 0; i < model->n_entries; i++) {
        if (model->entries[i].graph->tail) continue;
        size_t to = at + k++ * sizeof(tlbc_entry_info);
        put_string(b, to + offsetof(tlbc_entry_info, name), model->entries[i].graph->name);
        point_to(b, to + offsetof(tlbc_entry_info, model), model->entries[i].symbol, 0);
    }
}

static const char *target_names(const cg_model *model, tl_arena *a) {
    tl_str s;
    tl_str_init(&s, a);
    for (uint32_t i = 0; i < model->n_variants; i++)
        tl_str_printf(&s, "%s%s", i ? "," : "", model->entries[0].variants[i].target->name);
    return s.data;
}

static int by_offset(const void *x, const void *y) {
    const cg_reloc *a = x, *b = y;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Positions of the sequence in a step: what the first streamed input has. */
static uint32_t chunk_of(const ir_graph *g) {
    for (uint32_t i = 0; i < ir_graph_n_inputs(g); i++) {
        const ir_value *v = g->body->params[i];
        int32_t axis = ir_graph_along(g, v->name, false);
        int64_t n;
        if (axis >= 0 && axis < v->type->rank && ir_dim_is_const(v->type->dims[axis], &n) &&
            n <= INT32_MAX)
            return (uint32_t)n;
    }
    return 0;
}

static uint32_t largest_delay(const ir_graph *g) {
    int64_t most = 0;
    for (uint32_t i = 0; i < g->n_along; i++)
        if (g->along[i].delay > most) most = g->along[i].delay;
    return (uint32_t)most;
}

/* Where its sequence may end within a step. */
static void put_tail(block *b, const cg_model *model, const cg_entry *e) {
    const ir_graph *tail = ir_graph_tail(e->graph);
    for (uint32_t i = 0; tail && i < model->n_entries; i++)
        if (model->entries[i].graph == tail)
            point_to(b, offsetof(tlbc_model, tail), model->entries[i].symbol, 0);
    if (e->graph->no_tail) put_string(b, offsetof(tlbc_model, no_tail), e->graph->no_tail);
}

static tlbc_model numbers_of(const cg_model *model, const cg_entry *e) {
    const ir_graph *g = e->graph;
    tlbc_model d = {
        .abi_version = TLBC_ABI_VERSION, .struct_size = sizeof d, .n_inputs = ir_graph_n_inputs(g)};
    d.n_outputs = ir_graph_n_outputs(g);
    d.n_states = g->n_states;
    d.chunk = chunk_of(g);
    d.delay = largest_delay(g);
    d.n_symbols = e->io->symbols.len;
    d.flops = e->flops;
    d.weight_bytes = (uint64_t)model->weight_bytes;
    memcpy(d.sha256, model->m->sha256, sizeof d.sha256);
    return d;
}

void cg_descriptor_build(const cg_model *model, uint32_t i) {
    cg_entry *e = &model->entries[i];
    tl_arena *a = model->m->arena;
    block b = {.arena = a, .symbol = e->symbol};
    tlbc_model d = numbers_of(model, e);
    size_t at = reserve(&b, sizeof d);
    TL_ASSERT(at == 0);
    memcpy(b.data, &d, sizeof d);
    put_entries(&b, model, e);
    put_string(&b, offsetof(tlbc_model, name), e->name);
    put_string(&b, offsetof(tlbc_model, compiler), COMPILER_NAME);
    put_string(&b, offsetof(tlbc_model, target), target_names(model, a));
    put_string(&b, offsetof(tlbc_model, options),
               model->options->command_line ? model->options->command_line : "");
    put_strings(&b, offsetof(tlbc_model, symbols), e->io->symbols.data, d.n_symbols);
    point_to(&b, offsetof(tlbc_model, api), "tlbc_rt_api", 0);
    put_interface(&b, e);
    put_program(&b, model, e);
    put_tail(&b, model, e);
    qsort(b.relocs.data, b.relocs.len, sizeof *b.relocs.data, by_offset);
    e->descriptor = b.data;
    e->descriptor_bytes = b.len;
    e->relocs = b.relocs.data;
    e->n_relocs = b.relocs.len;
}
