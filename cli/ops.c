/* tlbc ops: the operators the compiler knows, from the operator table and the ONNX schemas. */
#include "cli/commands.h"
#include "frontend/frontend.h"
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

static void print_row(const ir_schema *s, int since, const char *how, const char *summary,
                      bool markdown) {
    if (!markdown) {
        printf("%-28s %3d  %-20s %s\n", s->name, since, how, summary);
        return;
    }
    printf("| %s | %s | %d | %s |", s->name, s->domain[0] ? s->domain : "ai.onnx", since, how);
    print_types(s);
    printf(" | %s |\n", summary);
}

/* The next operator of the schema table after the i-th entry's, or the number of entries: there is one per version. */
static size_t next_operator(size_t i) {
    const ir_schema *s = ir_schema_get(i);
    size_t n = ir_schema_count();
    for (i++; i < n; i++) {
        const ir_schema *t = ir_schema_get(i);
        if (strcmp(t->name, s->name) || strcmp(t->domain, s->domain)) break;
    }
    return i;
}

static bool has_row(const ir_schema *s) {
    op_id op = op_find(s->name);
    return op != OP_None && strcmp(op_get(op)->domain, s->domain) == 0;
}

static void print_known(bool markdown) {
    if (markdown)
        fputs("| operator | domain | form of opset | lowered as | first operand | |\n"
              "|---|---|---|---|---|---|\n",
              stdout);
    for (op_id op = OP_None + 1; op < OP_COUNT; op++) {
        const op_info *info = op_get(op);
        if (!op_is(op, OP_INTERNAL))
            print_row(op_schema(op), info->since, how_lowered(info), info->summary, markdown);
    }
    for (size_t i = 0; i < ir_schema_count(); i = next_operator(i)) {
        const ir_schema *s = ir_schema_get(next_operator(i) - 1);
        if (!has_row(s) && fe_replaces(s->domain, s->name))
            print_row(s, s->since, "at import", "expressed by others as the file is read",
                      markdown);
    }
}

static void print_missing(void) {
    for (size_t i = 0; i < ir_schema_count(); i = next_operator(i)) {
        const ir_schema *s = ir_schema_get(next_operator(i) - 1);
        bool known = has_row(s) || fe_replaces(s->domain, s->name);
        if (!known && !(s->flags & IR_SCHEMA_DEPRECATED))
            printf("%-28s %3d  %s\n", s->name, s->since, s->domain[0] ? s->domain : "ai.onnx");
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
