/* A module to code; see cg.h. */
#include "codegen/cg.h"

#include "codegen/descriptor.h"
#include "codegen/place.h"
#include "codegen/program.h"
#include "codegen/watch.h"
#include "ir/cost.h"
#include "runtime/calls/call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- lowering for one CPU ------------------------------------------------------------------------------------------ */

/* Of the lowering before, what belongs to the module stays: code, weights, and the views of constants. */
static void begin_entry(cg *g, const cg_entry *e, const cg_options *o) {
    cg_weight_list weights = g->weights_list;
    *g = (cg){.c = g->c, .arena = g->arena, .m = g->m, .target = g->target, .lp = g->lp};
    g->weights_list = weights;
    g->places = e->places;
    g->lines = o->lines;
    g->marked = o->mark != NULL;
    g->mark_data = (int64_t)(intptr_t)o->mark_data;
    g->watch = o->watch;
    tl_map *maps[] = {&g->views, &g->dests, &g->trips, &g->definers};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        tl_map_init(maps[i], g->arena);
    for (uint32_t s = 0; s < e->io->symbols.len; s++)
        tl_vec_push(g->arena, &g->symbol_names, e->io->symbols.data[s]);
}

/* Most instructions of a function: about 150 calls of kernels. Models of one step stay below it. */
enum { MAX_PROGRAM = 2000 };

static bool lower_variant(cg *g, const cg_entry *e, cg_variant *v) {
    if (!cg_lower_graph(g, e->graph)) return false;
    g->b.func->name = v->main_name;
    cg_plan_memory(g, &v->plan);
    cg_place_buffers(g);
    lp_func_split(g->b.func, MAX_PROGRAM);
    v->steps = g->steps.data;
    v->n_steps = g->steps.len;
    cg_emit_plan(g, &v->plan, v->plan_name, e->io->exprs.data, e->io->exprs.len);
    return !g->failed;
}

static void drop_written(const cg_model *model) {
    cg_place **places = TL_NEW_ARRAY(model->m->arena, cg_place *, model->n_entries);
    for (uint32_t i = 0; i < model->n_entries; i++)
        places[i] = model->entries[i].places;
    cg_places_drop_written(places, model->m);
}

/* The programs of all graphs for one CPU, in one module. The block of weights goes on from the CPU before: what only this one reads (bytes
 * in groups are for machines without VNNI) stands behind what others read. */
static bool lower_target(cg *g, cg_model *model, uint32_t t) {
    ir_module *m = model->m;
    cg_weight_list weights = g->weights_list;
    *g = (cg){.c = m->ctx, .arena = m->arena, .m = m, .target = &model->options->targets[t]};
    g->lp = lp_module_create(m->ctx, m->arena);
    g->weights_list = weights;
    for (uint32_t i = 0; i < model->n_entries; i++) {
        cg_entry *e = &model->entries[i];
        cg_variant *v = &e->variants[t];
        *v = (cg_variant){.target = g->target, .lp = g->lp};
        v->main_name = ir_name(m->ctx, tl_arena_printf(m->arena, "%s_main_%u", e->name, t));
        v->plan_name = ir_name(m->ctx, tl_arena_printf(m->arena, "%s_plan_%u", e->name, t));
        begin_entry(g, e, model->options);
        if (!lower_variant(g, e, v)) return false;
        if (g->cells && g->undo) { /* the program may be left before it has put things back */
            drop_written(model);
            return lower_target(g, model, t);
        }
        e->cells = g->cells;
        e->failures = g->failures.data;
        e->n_failures = g->failures.len;
    }
    return lp_module_verify(g->lp, &g->c->diag);
}

/* ---- weights --------------------------------------------------------------------------------------------------------- */

static void collect_weights(cg_model *model, const cg *g) {
    uint32_t n = 0;
    for (cg_buffer *b = g->weights_list.first; b; b = b->next)
        n++;
    cg_weight *w = TL_NEW_ARRAY(model->m->arena, cg_weight, n);
    n = 0;
    for (cg_buffer *b = g->weights_list.first; b; b = b->next)
        w[n++] = (cg_weight){b->offset, cg_unpacked(model->m->arena, g->c, b->tensor), b->tensor};
    model->weights = w;
    model->n_weights = n;
    model->weight_bytes = g->weights_list.bytes;
    if (!model->options->weights_file) return;
    cg_weights block = cg_model_weights(model);
    model->weights_hash = cg_weights_hash(&block);
}

cg_weights cg_model_weights(const cg_model *model) {
    cg_span *spans = TL_NEW_ARRAY(model->m->arena, cg_span, model->n_weights);
    for (uint32_t i = 0; i < model->n_weights; i++) {
        const cg_weight *w = &model->weights[i];
        spans[i] = (cg_span){(uint64_t)w->offset, w->tensor->data, w->tensor->bytes};
    }
    return (cg_weights){spans, model->n_weights, (uint64_t)model->weight_bytes};
}

/* "model", "model_NAME" */
static const char *entry_name(const cg_model *model, const ir_graph *g) {
    tl_arena *a = model->m->arena;
    if (g == model->m->graphs) return model->name;
    return tl_arena_printf(a, "%s_%s", model->name, g->name);
}

static bool collect_entries(cg_model *model) {
    ir_module *m = model->m;
    for (const ir_graph *g = m->graphs; g; g = g->next)
        model->n_entries++;
    model->entries = TL_NEW_ARRAY(m->arena, cg_entry, model->n_entries);
    cg_entry *e = model->entries;
    cg_place **places = cg_places_decide(m, m->arena);
    for (ir_graph *g = m->graphs; g; g = g->next, e++, places++) {
        cg_interface *io = TL_NEW(m->arena, cg_interface);
        if (!cg_interface_collect(m, g, m->arena, io)) return false;
        if (g->tail && !io->stream) io->stream = model->entries[0].io->stream;
        *e = (cg_entry){.graph = g, .io = io, .name = entry_name(model, g), .places = *places};
        e->symbol = tl_arena_printf(m->arena, "%s_model", e->name);
        e->variants = TL_NEW_ARRAY(m->arena, cg_variant, model->n_variants);
        e->flops = ir_graph_flops_const(m->ctx, g);
    }
    return true;
}

cg_model *cg_lower(ir_module *m, const cg_options *o) {
    cg_model *model = TL_NEW(m->arena, cg_model);
    *model = (cg_model){.m = m, .options = o, .n_variants = o->n_targets};
    model->name = o->name ? o->name : "model";
    model->weights_symbol = tl_arena_printf(m->arena, "%s_weights", model->name);
    if (!collect_entries(model)) return NULL;
    cg *g = TL_NEW(m->arena, cg);
    memset(g, 0, sizeof *g);
    tl_map_init(&g->weights_list.by_tensor, m->arena);
    for (uint32_t i = 0; i < o->n_targets; i++)
        if (!lower_target(g, model, i)) return NULL;
    collect_weights(model, g);
    for (uint32_t i = 0; i < model->n_entries; i++)
        cg_descriptor_build(model, i);
    return model;
}

/* ---- machine code ------------------------------------------------------------------------------------------------------ */

cg_unit **cg_model_units(const cg_model *model, cg_form form, uint32_t *n) {
    ir_module *m = model->m;
    cg_unit **units = TL_NEW_ARRAY(m->arena, cg_unit *, model->n_variants + 1);
    *n = 0;
    for (uint32_t i = 0; i < model->n_variants; i++) {
        const cg_variant *v = &model->entries[0].variants[i];
        cg_unit_options o = {.target = v->target,
                             .graph_path = model->options->graph_path,
                             .watch = model->options->watch};
        cg_unit *u = cg_unit_create(m->ctx, v->lp, &o);
        if (!u) return NULL;
        units[(*n)++] = u;
    }
    cg_unit *data = cg_unit_create_empty(m->ctx, model->entries[0].variants[0].target);
    if (!data) return NULL;
    for (uint32_t i = 0; i < model->n_entries; i++) {
        const cg_entry *e = &model->entries[i];
        cg_unit_add_data(data, e->symbol, e->descriptor, e->descriptor_bytes, e->relocs,
                         e->n_relocs, CG_DATA_EXTERNAL);
    }
    units[(*n)++] = data;
    cg_units_compile(units, *n, form);
    return units;
}

/* ---- in memory ----------------------------------------------------------------------------------------------------------- */

static const void *weights_in_memory(const cg_model *model) {
    char *p = tl_arena_alloc(model->m->arena, (size_t)model->weight_bytes + 64, 64);
    for (uint32_t i = 0; i < model->n_weights; i++) {
        const ir_tensor *t = model->weights[i].tensor;
        char *at = p + model->weights[i].offset;
        if (t->bytes) memcpy(at, t->data, t->bytes);
        size_t guard = -t->bytes & 63; /* up to the next one */
        if (model->options->watch) cg_watch_forbid(at + t->bytes, guard);
    }
    return p;
}

#define FUNCTION(name) {#name, (const void *)(uintptr_t)(name)}
#define MATHS(name)    FUNCTION(name), FUNCTION(name##f)

const tlbc_model *cg_load_model(const cg_model *model) {
    ir_ctx *c = model->m->ctx;
    const cg_symbol symbols[] = {{model->weights_symbol, weights_in_memory(model)},
                                 {"tlbc_rt_api", &tlbc_rt_api},
                                 {"tlbc_mark", (const void *)(uintptr_t)model->options->mark},
                                 FUNCTION(tlbc_watch_read),
                                 FUNCTION(tlbc_watch_write),
                                 FUNCTION(tlbc_watch_buffer),
                                 FUNCTION(tlbc_rt_barrier),
                                 FUNCTION(tlbc_rt_fail),
                                 FUNCTION(tlbc_rt_invoke),
                                 FUNCTION(tlbc_rt_grow),
                                 FUNCTION(tlbc_rt_assign),
                                 FUNCTION(tlbc_rt_copy_cell),
                                 FUNCTION(tlbc_rt_append),
                                 FUNCTION(tlbc_rt_exchange),
                                 FUNCTION(tlbc_rt_stop),
                                 FUNCTION(tlbc_rt_leave),
#define CALL(name) FUNCTION(tlbc_rt_op_##name),
#include "runtime/calls/calls.def"
#undef CALL
#define SHAPE(name) FUNCTION(tlbc_rt_shape_##name),
#include "runtime/calls/shapes.def"
#undef SHAPE
                                 FUNCTION(memcpy),
                                 FUNCTION(memset),
                                 FUNCTION(memmove),
                                 MATHS(exp),
                                 MATHS(log),
                                 MATHS(log1p),
                                 MATHS(expm1),
                                 MATHS(sin),
                                 MATHS(cos),
                                 MATHS(tan),
                                 MATHS(asin),
                                 MATHS(acos),
                                 MATHS(atan),
                                 MATHS(sinh),
                                 MATHS(cosh),
                                 MATHS(tanh),
                                 MATHS(asinh),
                                 MATHS(acosh),
                                 MATHS(atanh),
                                 MATHS(erf),
                                 MATHS(pow),
                                 MATHS(atan2),
                                 MATHS(fmod),
                                 MATHS(fma),
                                 MATHS(floor),
                                 MATHS(ceil),
                                 MATHS(rint),
                                 MATHS(trunc)};
    uint32_t n;
    cg_unit **units = cg_model_units(model, CG_OBJECT, &n);
    cg_jit *j = units ? cg_jit_create(c, symbols, sizeof symbols / sizeof *symbols) : NULL;
    if (!j) return NULL;
    for (uint32_t i = 0; i < n; i++)
        if (!cg_jit_add(j, units[i])) return NULL;
    return cg_jit_find(j, model->entries[0].symbol);
}
