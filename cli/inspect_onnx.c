/* Facts about an .onnx: from the graph as imported, and from what the compiler makes of it. */
#include "cli/inspect.h"
#include "cli/schedule.h"
#include "codegen/cg.h"
#include "frontend/frontend.h"
#include "ir/cost.h"
#include "passes/pass.h"

#include <stdlib.h>

/* ---- the graph ------------------------------------------------------------------------------------------------ */

bool inspect_pins(cli *c, cli_list dims, fe_options *o) {
    fe_pin *pins = TL_NEW_ARRAY(c->arena, fe_pin, dims.n);
    for (uint32_t i = 0; i < dims.n; i++) {
        const char *value;
        size_t n;
        if (!cli_split(dims.items[i], &value, &n) || !cli_parse_int(value, &pins[i].value))
            return diag_error(c->diag, NULL, "--dim '%s': expected NAME=SIZE", dims.items[i]);
        pins[i].symbol = tl_arena_strndup(c->arena, dims.items[i], n);
    }
    o->pins = pins;
    o->n_pins = dims.n;
    return true;
}

static const char *type_text(tl_arena *a, const ir_type *t) {
    tl_str s;
    tl_str_init(&s, a);
    ir_type_print(t, &s);
    return s.data;
}

static const char *dim_text(tl_arena *a, const ir_dim *d) {
    tl_str s;
    tl_str_init(&s, a);
    ir_dim_print(d, &s);
    return s.data;
}

static void gather_values(cli *c, const ir_graph *g, inspect_facts *f) {
    f->n_inputs = ir_graph_n_inputs(g);
    f->n_outputs = ir_graph_n_outputs(g);
    f->inputs = TL_NEW_ARRAY(c->arena, inspect_value, f->n_inputs + 1);
    f->outputs = TL_NEW_ARRAY(c->arena, inspect_value, f->n_outputs + 1);
    for (uint32_t i = 0; i < f->n_inputs; i++) {
        const ir_value *v = g->body->params[i];
        f->inputs[i] = (inspect_value){v->name, type_text(c->arena, v->type), 0};
    }
    for (uint32_t i = 0; i < f->n_outputs; i++)
        f->outputs[i] = (inspect_value){g->outputs[i],
                                        type_text(c->arena, ir_region_result(g->body, i)->type), 0};
}

static void gather_costs(cli *c, const ir_module *m, inspect_facts *f) {
    uint64_t elements, bytes;
    const ir_dim *flops = ir_graph_flops(&c->ctx, m->graphs);
    ir_module_count_parameters(m, &elements, &bytes);
    f->parameters = (int64_t)elements;
    f->parameter_bytes = (int64_t)bytes;
    f->flops = ir_dim_is_unknown(flops) ? NULL : dim_text(c->arena, flops);
    f->flops_number = ir_graph_flops_const(&c->ctx, m->graphs);
}

/* After the passes: how many products are left, and how much of them still waits for a carried value. */
static void gather_serial(cli *c, const ir_graph *g, inspect_facts *f) {
    const ir_dim *serial = ir_graph_serial_flops(&c->ctx, g), *all = ir_graph_flops(&c->ctx, g);
    int64_t s, a;
    f->flops_after = ir_graph_flops_const(&c->ctx, g);
    if (ir_dim_is(serial, 0) || ir_dim_is_unknown(serial)) return;
    f->serial = dim_text(c->arena, serial);
    bool fixed = ir_dim_is_const(serial, &s) && ir_dim_is_const(all, &a) && a > 0;
    f->serial_share = fixed ? (double)s / (double)a : -1;
}

/* ---- operators ------------------------------------------------------------------------------------------------ */

static void count_ops(const ir_region *r, uint32_t *counts) {
    ir_for_each_node (n, r) {
        counts[n->op]++;
        for (uint32_t i = 0; i < n->n_regions; i++)
            count_ops(n->regions[i], counts);
    }
}

static int compare_counts(const void *a, const void *b) {
    const inspect_op *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? 1 : -1;
    return strcmp(op_get(x->op)->name, op_get(y->op)->name);
}

/* `after`: the graph that is lowered. An operator that has no lowering and is still there is not supported. */
static void gather_ops(cli *c, const ir_graph *before, const ir_graph *after, inspect_facts *f) {
    uint32_t *counts = TL_NEW_ARRAY(c->arena, uint32_t, OP_COUNT),
             *left = TL_NEW_ARRAY(c->arena, uint32_t, OP_COUNT);
    f->ops = TL_NEW_ARRAY(c->arena, inspect_op, OP_COUNT);
    count_ops(before->body, counts);
    count_ops(after->body, left);
    for (op_id op = OP_None + 1; op < OP_COUNT; op++) {
        bool lowered = strcmp(op_get(op)->lower_name, "none") != 0;
        f->n_nodes += counts[op];
        f->n_nodes_after += left[op];
        if (counts[op]) f->ops[f->n_ops++] = (inspect_op){op, counts[op], lowered || !left[op]};
    }
    qsort(f->ops, f->n_ops, sizeof *f->ops, compare_counts);
}

/* ---- what the compiler makes of it ---------------------------------------------------------------------------- */

static void gather_plan(cli *c, const cg_memory_plan *p, inspect_facts *f) {
    f->static_bytes = p->static_bytes;
    f->unshared_bytes = p->total_static;
    f->alive_bytes = p->most_alive;
    f->n_buffers = p->n_buffers;
    f->n_slots = p->n_slots;
    f->slots = TL_NEW_ARRAY(c->arena, inspect_slot, p->n_slots + 1);
    for (uint32_t i = 0; i < p->n_slots; i++)
        f->slots[i] = (inspect_slot){dim_text(c->arena, p->slots[i].bytes), p->slots[i].per_thread};
}

static bool gather_code(const cg_model *model, inspect_facts *f) {
    uint32_t n;
    cg_unit **units = cg_model_units(model, CG_OBJECT, &n);
    f->code_bytes = 0;
    for (uint32_t i = 0; units && i < n; i++) {
        tl_sv object;
        if (!cg_unit_get_result(units[i], &object)) return false;
        f->code_bytes += inspect_code_bytes(object);
    }
    return units != NULL;
}

static bool gather_compiled(cli *c, ir_module *m, inspect_facts *f) {
    cg_target target;
    const cg_options o = {.name = "model", .targets = &target, .n_targets = 1};
    if (!cg_target_find(&c->ctx, "native", &target)) return false;
    cg_model *model = cg_lower(m, &o);
    if (!model) return false;
    const cg_variant *v = &model->entries[0].variants[0];
    f->cpu = target.cpu;
    f->weight_bytes = model->weight_bytes;
    f->n_kernels = 0;
    for (const lp_func *k = v->lp->funcs; k; k = k->next)
        f->n_kernels += !k->external; /* the others are the program and its plan */
    gather_plan(c, &v->plan, f);
    return gather_code(model, f);
}

static ir_module *import(cli *c, const inspect_args *args, const char *path) {
    fe_options o = {0};
    if (!inspect_pins(c, args->dims, &o)) return NULL;
    ir_module *m = fe_import_file(&c->ctx, c->arena, path, &o);
    if (m) cli_report(c); /* warnings */
    return m;
}

static bool run_passes(cli *c, const inspect_args *args, ir_module *m) {
    pass_options passes = {.simplify = (pass_simplify_engine)args->simplify};
    return pass_options_add_environment(&passes, &c->ctx) && pass_run(m, "default", &passes);
}

bool inspect_onnx_schedule(cli *c, const inspect_args *args, const char *path) {
    schedule s;
    ir_module *m = import(c, args, path);
    if (!m || !run_passes(c, args, m)) return false;
    const schedule_options o = {.dims = args->dims, .threads = args->threads};
    if (!schedule_measure(c, m, &o, &s)) return false;
    if (args->json)
        schedule_print_json(c, &s);
    else
        schedule_print(c, &s);
    return !args->svg || schedule_write_svg(c, &s, args->svg);
}

bool inspect_onnx(cli *c, const inspect_args *args, inspect_facts *f) {
    ir_module *m = import(c, args, f->path);
    if (!m) return false;
    f->name = m->graphs->name;
    f->made_by = m->producer;
    f->sha256 = m->sha256;
    gather_values(c, m->graphs, f);
    gather_costs(c, m, f);
    ir_module *optimised = ir_module_clone(m, c->arena);
    if (!args->quick && !run_passes(c, args, optimised)) return false;
    gather_ops(c, m->graphs, optimised->graphs, f);
    if (!args->quick) gather_serial(c, optimised->graphs, f);
    return args->quick || gather_compiled(c, optimised, f);
}
