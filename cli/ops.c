/* tlbc ops: the operators the compiler knows, from the operator table and the ONNX schemas. */
#include "cli/commands.h"
#include "ir/dtype.h"
#include "ir/op.h"

typedef struct ops_args {
    bool markdown, missing;
} ops_args;

static const ops_args ops_defaults = {0};

static const cli_option ops_options[] = {
    CLI_FLAG(ops_args, markdown, "md", "as a Markdown table"),
    CLI_FLAG(ops_args, missing, "missing", "the operators of ONNX that are not supported, instead"),
};

/* "f32 f16 i64": what the first operand may be, by the schema. */
static void print_types(const ir_schema *s) {
    if (!s || s->n_in == 0) return;
    uint32_t mask = ir_schema_slot_types(s, &s->in[0])->tensor;
    for (int t = 1; t < DT_COUNT; t++)
        if (mask >> t & 1) printf(" %s", ir_dtype_name((ir_dtype)t));
}

static const char *how_lowered(const op_info *info) {
    return strcmp(info->lower_name, "none") ? info->lower_name : "before lowering";
}

static void print_op(op_id op, bool markdown) {
    const op_info *info = op_get(op);
    const ir_schema *s = op_schema(op);
    if (markdown) {
        printf("| %s | %s | %d | %s |", info->name, info->domain[0] ? info->domain : "ai.onnx",
               info->since, how_lowered(info));
        print_types(s);
        printf(" | %s |\n", info->summary);
        return;
    }
    printf("%-28s %3d  %-20s %s\n", info->name, info->since, how_lowered(info), info->summary);
}

static void print_known(bool markdown) {
    if (markdown)
        fputs("| operator | domain | form of opset | lowered as | first operand | |\n"
              "|---|---|---|---|---|---|\n",
              stdout);
    for (op_id op = OP_None + 1; op < OP_COUNT; op++)
        if (!op_is(op, OP_INTERNAL)) print_op(op, markdown);
}

/* Operators of the schema table that have no row, each once. */
static void print_missing(void) {
    const ir_schema *last = NULL;
    for (size_t i = 0; i < ir_schema_count(); i++) {
        const ir_schema *s = ir_schema_get(i);
        bool seen = last && !strcmp(last->name, s->name) && !strcmp(last->domain, s->domain);
        last = s;
        if (seen || op_find(s->name) != OP_None) continue;
        const ir_schema *newest = ir_schema_find_latest(s->domain, s->name);
        if (newest->flags & IR_SCHEMA_DEPRECATED) continue;
        printf("%-28s %3d  %s\n", s->name, newest->since, s->domain[0] ? s->domain : "ai.onnx");
    }
}

static int ops_main(cli *c) {
    const ops_args *args = c->args;
    if (args->missing)
        print_missing();
    else
        print_known(args->markdown);
    return cli_finish_output(c, stdout, "standard output");
}

const cli_command command_ops = {
    .name = "ops",
    .summary = "list the operators that are supported",
    .usage = "[--md] [--missing]",
    .text = "The number is the opset whose form of the operator the compiler works on: models of "
            "older\n"
            "opsets are upgraded when they are read. Made from the operator table and ONNX's "
            "schemas.\n",
    .options = ops_options,
    .n_options = sizeof ops_options / sizeof ops_options[0],
    .max_args = 0,
    .defaults = &ops_defaults,
    .args_size = sizeof(ops_args),
    .run = ops_main,
};
