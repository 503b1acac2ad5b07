/* tlbc inspect: what is in a model, compiled or not. */
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/model.h"
#include "frontend/frontend.h"
#include "ir/base/vec.h"
#include "ir/cost.h"

#include <stdlib.h>

typedef struct inspect_args {
    cli_list dims;
} inspect_args;

static const inspect_args inspect_defaults = {0};

static const cli_option inspect_options[] = {
    CLI_LIST(inspect_args, dims, "dim", "NAME=SIZE",
             "pin a symbolic dimension (.onnx), or its size for the memory plan (.so)"),
};

static void print_hash(const uint8_t *sha256) {
    bool any = false;
    for (int i = 0; i < 32; i++)
        any |= sha256[i] != 0;
    if (!any) return;
    printf("  sha256      ");
    for (int i = 0; i < 32; i++)
        printf("%02x", sha256[i]);
    putchar('\n');
}

/* ---- .so ------------------------------------------------------------------------------------------------------ */

static void print_tensors(cli *c, const char *what, const tlbc_tensor_info *t, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        printf("  %s %-4u %s %s\n", what, i, t[i].name, model_type_text(c->arena, &t[i]));
}

/* Bytes of the workspace for one thread: of the static shapes, or of those that --dim gives. */
static bool print_workspace(cli *c, const tlbc_model *m, cli_list dims) {
    model_tensors t;
    tlbc_session *s;
    size_t bytes;
    if (m->n_symbols && dims.n == 0) {
        printf("  workspace   depends on");
        for (uint32_t i = 0; i < m->n_symbols; i++)
            printf("%s %s", i ? "," : "", m->symbols[i]);
        puts("; give them by --dim");
        return true;
    }
    model_tensors_init(c, m, &t);
    if (!model_random_inputs(c, &t, dims, 1) || !model_session(c, m, 1, &s)) return false;
    tlbc_status status = tlbc_shapes(s, t.in, t.out, &bytes);
    if (status) model_report(c, s, status, m->name);
    tlbc_session_free(s);
    if (status) return false;
    printf("  workspace   %zu bytes\n", bytes);
    return true;
}

static bool inspect_library(cli *c, const char *path, cli_list dims) {
    model_source source = {.path = path};
    model_handle h;
    if (!model_open(c, &source, &h)) return false;
    const tlbc_model *m = h.model;
    printf("%s: model '%s' compiled by %s\n  for         %s\n", path, m->name, m->compiler,
           m->target);
    if (m->options && m->options[0]) printf("  options     %s\n", m->options);
    print_hash(m->sha256);
    print_tensors(c, "input ", m->inputs, m->n_inputs);
    print_tensors(c, "output", m->outputs, m->n_outputs);
    printf("  weights     %llu bytes\n", (unsigned long long)m->weight_bytes);
    if (m->flops > 0) printf("  products    %.6g MFLOP\n", m->flops * 1e-6);
    bool ok = print_workspace(c, m, dims);
    cli_report(c);
    model_close(&h);
    return ok;
}

/* ---- .onnx ---------------------------------------------------------------------------------------------------- */

static void count_ops(const ir_region *r, uint32_t *counts) {
    ir_for_each_node (n, r) {
        counts[n->op]++;
        for (uint32_t i = 0; i < n->n_regions; i++)
            count_ops(n->regions[i], counts);
    }
}

typedef struct op_count {
    op_id op;
    uint32_t n;
} op_count;

static int compare_counts(const void *a, const void *b) {
    const op_count *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? 1 : -1;
    return strcmp(op_get(x->op)->name, op_get(y->op)->name);
}

static void print_histogram(const ir_graph *g) {
    uint32_t counts[OP_COUNT] = {0}, n = 0, total = 0;
    op_count list[OP_COUNT];
    count_ops(g->body, counts);
    for (op_id op = OP_None; op < OP_COUNT; op++) {
        total += counts[op];
        if (counts[op]) list[n++] = (op_count){op, counts[op]};
    }
    qsort(list, n, sizeof *list, compare_counts);
    printf("  nodes       %u\n", total);
    for (uint32_t i = 0; i < n; i++)
        printf("    %6u %s\n", list[i].n, op_get(list[i].op)->name);
}

static void print_values(cli *c, const ir_graph *g) {
    tl_str s;
    tl_str_init(&s, c->arena);
    for (uint32_t i = 0; i < g->body->n_params; i++) {
        const ir_value *v = g->body->params[i];
        tl_str_printf(&s, "  input  %-4u %s ", i, v->name);
        ir_type_print(v->type, &s);
        tl_str_putc(&s, '\n');
    }
    for (uint32_t i = 0; i < ir_region_n_results(g->body); i++) {
        tl_str_printf(&s, "  output %-4u %s ", i, g->outputs[i]);
        ir_type_print(ir_region_result(g->body, i)->type, &s);
        tl_str_putc(&s, '\n');
    }
    fputs(s.data, stdout);
}

static void print_flops(cli *c, const ir_graph *g) {
    int64_t v;
    tl_str s;
    const ir_dim *f = ir_graph_flops(&c->ctx, g);
    tl_str_init(&s, c->arena);
    ir_dim_print(f, &s);
    if (ir_dim_is_const(f, &v))
        printf("  products    %.6g MFLOP\n", (double)v * 1e-6);
    else
        printf("  products    %s FLOP\n", ir_dim_is_unknown(f) ? "unknown" : s.data);
}

static bool parse_pins(cli *c, cli_list dims, fe_options *o) {
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

static bool inspect_onnx(cli *c, const char *path, cli_list dims) {
    fe_options o = {0};
    uint64_t elements, bytes;
    if (!parse_pins(c, dims, &o)) return false;
    ir_module *m = fe_import_file(&c->ctx, c->arena, path, &o);
    if (!m) return false;
    cli_report(c); /* warnings */
    printf("%s: ONNX model '%s'%s%s\n", path, m->graphs->name, m->producer ? " from " : "",
           m->producer ? m->producer : "");
    print_hash(m->sha256);
    print_values(c, m->graphs);
    ir_module_count_parameters(m, &elements, &bytes);
    printf("  parameters  %llu in %llu bytes\n", (unsigned long long)elements,
           (unsigned long long)bytes);
    print_flops(c, m->graphs);
    print_histogram(m->graphs);
    return true;
}

static int inspect_main(cli *c) {
    const inspect_args *args = c->args;
    const char *path = c->positional.items[0];
    bool ok = strcmp(file_extension(path), ".onnx") ? inspect_library(c, path, args->dims)
                                                    : inspect_onnx(c, path, args->dims);
    if (!ok) return cli_report(c);
    return cli_finish_output(c, stdout, "standard output");
}

const cli_command command_inspect = {
    .name = "inspect",
    .summary = "show what is in a model: inputs, outputs, operators, sizes, arithmetic",
    .usage = "MODEL.onnx|MODEL.so [--dim NAME=SIZE]",
    .text =
        "Of an .onnx: operators after upgrading to the newest opset, floating-point parameters,\n"
        "arithmetic of the matrix products. Of a compiled model: what its descriptor says, and "
        "the\n"
        "workspace one thread needs.\n\n"
        "  tlbc inspect model.onnx --dim batch=1\n",
    .options = inspect_options,
    .n_options = sizeof inspect_options / sizeof inspect_options[0],
    .min_args = 1,
    .max_args = 1,
    .defaults = &inspect_defaults,
    .args_size = sizeof(inspect_args),
    .run = inspect_main,
};
