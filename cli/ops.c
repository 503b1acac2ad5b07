/* tlbc ops: the operators the compiler knows, from the operator table, the importer's rules and the ONNX schemas; those that a model
 * uses. */
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

static const char *domain_text(const char *domain) {
    return *domain ? domain : "ai.onnx";
}

/* A bar would end the cell of a table. */
static void print_cell(const char *text) {
    for (; *text; text++)
        printf("%s%c", *text == '|' ? "\\" : "", *text);
}

static void print_row(const op_info *info, const ir_schema *s, bool markdown) {
    if (!markdown) {
        printf("%-28s %3d  %-20s %s\n", s->name, info->since, how_lowered(info), info->summary);
        return;
    }
    printf("| %s | %s | %d | %s |", s->name, domain_text(s->domain), info->since,
           how_lowered(info));
    print_types(s);
    fputs(" | ", stdout);
    print_cell(info->summary);
    puts(" |");
}

/* s is NULL for operators that are none of ONNX's. */
static void print_replaced(const fe_replaced *r, const ir_schema *s, bool markdown) {
    if (markdown) {
        printf("| %s | %s | %s |", r->op, domain_text(r->domain), r->becomes);
        print_types(s);
        puts(" |");
    } else if (s) {
        printf("%-28s %3d  %-20s as %s\n", r->op, s->since, "at import", r->becomes);
    } else {
        printf("%-28s %3s  %-20s as %s\n", r->op, "", domain_text(r->domain), r->becomes);
    }
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

static void print_rows(bool markdown) {
    if (markdown)
        fputs("| operator | domain | form of opset | lowered as | first operand | |\n"
              "|---|---|---|---|---|---|\n",
              stdout);
    for (op_id op = OP_None + 1; op < OP_COUNT; op++)
        if (!op_is(op, OP_INTERNAL)) print_row(op_get(op), op_schema(op), markdown);
}

/* ONNX's own first. */
static void print_replaced_ops(bool markdown) {
    if (markdown)
        fputs("\n## Operators that are rewritten when a model is read\n\n"
              "| operator | domain | becomes, with others | first operand |\n"
              "|---|---|---|---|\n",
              stdout);
    for (int own = 1; own >= 0; own--) {
        fe_replaced r;
        for (size_t i = 0; fe_replaced_get(i, &r); i++) {
            const ir_schema *s = ir_schema_find_latest(r.domain, r.op);
            if ((s != NULL) == own) print_replaced(&r, s, markdown);
        }
    }
}

static void print_missing(void) {
    for (size_t i = 0; i < ir_schema_count(); i = next_operator(i)) {
        const ir_schema *s = ir_schema_get(next_operator(i) - 1);
        bool known = has_row(s) || fe_replaces(s->domain, s->name);
        if (!known && !(s->flags & IR_SCHEMA_DEPRECATED))
            printf("%-28s %3d  %s\n", s->name, s->since, domain_text(s->domain));
    }
}

static void print_used(void *path, const char *domain, const char *op) {
    printf("%-28s %-12s %s\n", op, domain_text(domain), (const char *)path);
}

static bool list_used(cli *c) {
    for (uint32_t i = 0; i < c->positional.n; i++) {
        const char *path = c->positional.items[i];
        if (!fe_each_op(&c->ctx, c->arena, path, print_used, (void *)(uintptr_t)path)) return false;
    }
    return true;
}

static int ops_main(cli *c) {
    const ops_args *args = c->args;
    if (c->positional.n) {
        if (!list_used(c)) return cli_report(c);
    } else if (args->missing) {
        print_missing();
    } else {
        print_rows(args->markdown);
        print_replaced_ops(args->markdown);
    }
    return cli_finish_output(c, stdout, "standard output");
}

const cli_command command_ops = {
    .name = "ops",
    .summary = "list the operators that are supported, or those that models use",
    .usage = "[MODEL.onnx...] [--md] [--missing]",
    .text = "The number is the opset whose form of the operator the compiler works on: models of "
            "older\n"
            "opsets are upgraded when they are read. Made from the operator table and ONNX's "
            "schemas. Of a model: the operators that its file names, with their domains.\n",
    .options = ops_options,
    .n_options = sizeof ops_options / sizeof ops_options[0],
    .max_args = UINT32_MAX,
    .defaults = &ops_defaults,
    .args_size = sizeof(ops_args),
    .run = ops_main,
};
